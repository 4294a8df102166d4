"""An honest comparison of optimizers: trials paired by seed, tuned on validation data, judged by exact tests.

``compare_optimizers`` is what the command runs.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlptrain.comparison.folder import ComparisonFolder
    from mlptrain.comparison.plan import Plan
    from mlptrain.comparison.protocol import Progress
    from mlptrain.spec.comparison import ComparisonSpec


def make_plan(spec: ComparisonSpec) -> Plan:
    """The plan of a comparison on this machine: device, precision and threads are decided here, once."""
    from mlptrain.comparison.plan import Plan
    from mlptrain.training.device import decide

    wanted = spec.base.training
    decisions = decide(device=wanted.device, precision=wanted.precision, threads=wanted.threads)
    return Plan(spec, decisions.device, decisions.precision, decisions.threads)


def compare_optimizers(
    spec: ComparisonSpec,
    *,
    folder: Path | None = None,
    data_dir: Path | None = None,
    progress: Progress | None = None,
) -> tuple[ComparisonFolder, dict[str, Any]]:
    """Run a comparison, or what is missing of it, in ``runs/<name>-<plan hash>/`` or ``folder``.

    Returns its folder and the content of ``summary.json``. Raises the errors of mlptrain.errors; after an
    InterruptedRunError the same call goes on.
    """
    from mlptrain.comparison.executors import make_executor
    from mlptrain.comparison.folder import ComparisonFolder
    from mlptrain.comparison.protocol import Silent, compare
    from mlptrain.data import data_folder
    from mlptrain.training.signals import stop_on_signals

    plan = make_plan(spec)
    place = ComparisonFolder.of(plan, folder=folder)
    with stop_on_signals() as should_stop, closing(make_executor(spec.executor, should_stop)) as executor:
        summary = compare(
            plan,
            place,
            executor=executor,
            progress=progress or Silent(),
            should_stop=should_stop,
            data_dir=data_folder(data_dir).resolve(),  # workers elsewhere have another working folder
        )
    return place, summary
