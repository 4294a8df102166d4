"""The rows of mlptrain itself, and the file with the weights that every other framework starts from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain.experiment.build import build_network, build_trainer, initial_parameters, load_data
from mlptrain.spec import ExperimentSpec, load_text
from mlptrain.training.device import decide, in_force
from tests.benchmarks.problem import Epochs, inputs_file
from tests.benchmarks.workloads import WORKLOADS, OptimizerName, Row, Workload

_in_force = ExitStack()


def start() -> None:
    """Threads and precision as the `mlptrain` command chooses them, for as long as this process lives."""
    _in_force.enter_context(in_force(decide(device="cpu", precision="auto", threads="auto")))


def write_inputs(name: str, *, folder: Path, data_dir: Path) -> None:
    """Write the initial weights of all models of a workload and, if generated, its rows."""
    workload = WORKLOADS[name]
    specs = _specs(workload, next(iter(workload.rates)))
    drawn = [initial_parameters(spec, build_network(spec)) for spec in specs]
    arrays: dict[str, Any] = {}
    for layer in range(len(workload.widths) - 1):
        for kind in ("weight", "bias"):
            stacked = [parameters[f"layers.{layer}.{kind}"].numpy() for parameters in drawn]
            arrays[f"{kind}{layer}"] = np.stack(stacked)
    train = load_data(specs[0], data_dir=data_dir).train  # fetched and unpacked here, before anybody reads it
    if workload.data == "spirals":
        arrays |= {"x": train.x.numpy(), "y": train.y.numpy()}
    np.savez(inputs_file(folder, name), **arrays)


def epochs(row: Row, data_dir: Path) -> Epochs:
    """Trains all models of the row together; those of one seed share their batches."""
    workload = WORKLOADS[row.workload]
    specs = _specs(workload, row.optimizer)
    first = load_data(specs[0], data_dir=data_dir)
    splits = [first if spec.seed == specs[0].seed else load_data(spec, data_dir=data_dir, like=first) for spec in specs]
    trainer = build_trainer(specs, splits)
    never: Callable[[], bool] = lambda: False  # noqa: E731
    for found in trainer.epochs(first=1, last=10**9, should_stop=never):
        if found[0] is None or found[0].epoch % workload.epochs == 0:
            yield [epoch.train.loss if epoch and epoch.train else float("nan") for epoch in found]


def _specs(workload: Workload, optimizer: OptimizerName) -> list[ExperimentSpec]:
    return [load_text(workload.yaml(optimizer, model)).spec for model in range(workload.models)]
