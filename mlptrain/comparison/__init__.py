"""An honest comparison of optimizers: trials paired by seed, tuned on validation data, judged by exact tests.

``compare_optimizers`` is what the command runs.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlptrain.system.signals import ended_by_signals

if TYPE_CHECKING:
    from mlptrain.comparison.folder import ComparisonFolder
    from mlptrain.comparison.plan import Plan
    from mlptrain.comparison.protocol import OnSummary, Progress
    from mlptrain.spec.comparison.sections import ComparisonSpec


def make_plan(spec: ComparisonSpec) -> Plan:
    """The plan of a comparison on this machine: device, precision and threads are decided here, once."""
    from mlptrain.comparison.plan import Plan
    from mlptrain.training.device import resolve_device

    wanted = spec.base.training
    decisions = resolve_device(device=wanted.device, precision=wanted.precision, threads=wanted.threads)
    return Plan(spec, decisions.device, decisions.precision, decisions.threads)


def compare_optimizers(
    spec: ComparisonSpec,
    *,
    folder: Path | None = None,
    data_dir: Path | None = None,
    progress: Progress | None = None,
    on_summary: OnSummary = lambda *_: None,
) -> tuple[ComparisonFolder, dict[str, Any]]:
    """Run a comparison, or what is missing of it, in ``runs/<name>-<plan hash>/`` or ``folder``.

    Returns its folder and the content of ``summary.json``, for which ``on_summary`` may write more into the folder
    while it is locked. Raises the errors of mlptrain.errors; after an
    InterruptedRunError the same call goes on.
    """
    from mlptrain.comparison.executors import make_executor
    from mlptrain.comparison.folder import ComparisonFolder
    from mlptrain.comparison.protocol import Silent, compare
    from mlptrain.sources.store import data_folder

    plan = make_plan(spec)
    place = ComparisonFolder.of(plan, folder=folder)
    # A single run stops after its step, and saves. Of a batch of models nothing would be saved, and one step of 64 of
    # them may take seconds.
    with ended_by_signals("stopped by a signal"), closing(make_executor(spec.executor)) as executor:
        summary = compare(
            plan,
            place,
            executor=executor,
            progress=progress or Silent(),
            data_dir=data_folder(data_dir).resolve(),  # workers elsewhere have another working folder
            on_summary=on_summary,
        )
    return place, summary
