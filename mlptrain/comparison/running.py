"""From a checked comparison to its results, in one call."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from mlptrain.comparison.executors import make_executor
from mlptrain.comparison.folder import ComparisonFolder
from mlptrain.comparison.plan import Plan
from mlptrain.comparison.protocol import NullProgress, OnSummary, Progress, compare
from mlptrain.runs.comparison import Summary
from mlptrain.sources.store import data_folder
from mlptrain.spec.comparison.sections import ComparisonSpec
from mlptrain.system.signals import ended_by_signals
from mlptrain.training.device import resolve_device


def make_plan(spec: ComparisonSpec) -> Plan:
    """The plan of a comparison on this machine: device, precision and threads are resolved here, once.

    Raises DeviceError for a device that is not there.
    """
    training = spec.base.training
    return Plan(spec, resolve_device(device=training.device, precision=training.precision, threads=training.threads))


def compare_optimizers(
    spec: ComparisonSpec,
    *,
    folder: Path | None = None,
    data_dir: Path | None = None,
    progress: Progress | None = None,
    on_summary: OnSummary = lambda *_: None,
) -> tuple[ComparisonFolder, Summary]:
    """Run a comparison, or what is missing of it, in ``runs/<name>-<plan hash>/`` or ``folder``.

    Returns its folder and its summary, for which ``on_summary`` may write more into the folder while it is locked.
    Raises the errors of mlptrain.errors; after an InterruptedRunError the same call resumes.
    """
    plan = make_plan(spec)
    place = ComparisonFolder.of(plan, folder=folder)
    with ended_by_signals("stopped by a signal"), closing(make_executor(spec.executor)) as executor:
        summary = compare(
            plan,
            place,
            executor=executor,
            progress=progress or NullProgress(),
            data_dir=data_folder(data_dir).resolve(),  # workers elsewhere have another working folder
            on_summary=on_summary,
        )
    return place, summary
