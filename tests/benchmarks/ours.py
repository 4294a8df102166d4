"""The rows of mlptrain itself, and the file with the weights that every other framework starts from."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlptrain.experiment.build import (
    build_network,
    initial_parameters,
    load_data,
    load_data_of_seeds,
)
from mlptrain.experiment.fit import epochs_of
from mlptrain.experiment.parts import most_together
from mlptrain.spec import Experiment, load_text
from mlptrain.training.device import applied, resolve_device
from tests.benchmarks.problem import Epochs, inputs_file
from tests.benchmarks.workloads import WORKLOADS, OptimizerName, Row, Workload

_settings = ExitStack()


def start() -> None:
    """Precision, and turns at the cores, as the `mlptrain` command chooses them, for as long as this process lives."""
    _settings.enter_context(applied(resolve_device(device="cpu", precision="auto", threads="auto")))


def write_inputs(name: str, *, folder: Path, data_dir: Path) -> None:
    """Write the initial weights of all models of a workload and, if generated, its rows."""
    workload = WORKLOADS[name]
    experiments = _experiments(workload, next(iter(workload.rates)))
    drawn = [initial_parameters(one, build_network(one)) for one in experiments]
    arrays: dict[str, Any] = {}
    for layer in range(len(workload.widths) - 1):
        for kind in ("weight", "bias"):
            stacked = [parameters[f"layers.{layer}.{kind}"].numpy() for parameters in drawn]
            arrays[f"{kind}{layer}"] = np.stack(stacked)
    train = load_data(experiments[0], data_dir=data_dir).train  # fetched and unpacked here, before anybody reads it
    if workload.data == "spirals":
        arrays |= {"x": train.inputs.numpy(), "y": train.targets.numpy()}
    np.savez(inputs_file(folder, name), **arrays)


def epochs(row: Row, data_dir: Path) -> Epochs:
    """Trains all models of the row together; those of one seed share their batches.

    The method ``seeds`` trains as many that differ in their seed instead, whose losses are others and so not given.
    """
    workload = WORKLOADS[row.workload]
    if row.method == "seeds":
        workload = replace(workload, vary="seed")
    experiments = _experiments(workload, row.optimizer)
    of_seeds = {one.seed: one for one in experiments}
    splits = dict(zip(of_seeds, load_data_of_seeds(list(of_seeds.values()), data_dir=data_dir), strict=True))
    threads = resolve_device(
        device="cpu",
        precision="auto",
        threads="auto",
        step_flops=min(len(experiments), most_together(experiments[0])) * experiments[0].step_flops,
    ).threads
    endless = [one.with_training(epochs=10**6) for one in experiments]
    trained = epochs_of(endless, [splits[one.seed] for one in experiments], evaluate=False)
    while True:
        torch.set_num_threads(threads)  # other rows of this process have numbers of their own
        found = next(trained)
        if found[0] is None or found[0].epoch % workload.epochs == 0:
            losses = [epoch.train.loss if epoch and epoch.train else float("nan") for epoch in found]
            yield [] if row.method == "seeds" else losses


def _experiments(workload: Workload, optimizer: OptimizerName) -> list[Experiment]:
    return [load_text(workload.yaml(optimizer, model)).experiment for model in range(workload.models)]
