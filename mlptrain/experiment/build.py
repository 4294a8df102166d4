"""From a specification to its parts: network, initial weights, data, and the trainer that holds them together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mlptrain.data import Scaling, Split, Splits, data_folder, load_splits
from mlptrain.data.batches import TrainingRows
from mlptrain.errors import DataAbsentError
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.losses import Loss, make_loss
from mlptrain.nn.network import MLP
from mlptrain.nn.ops.activations import make_activation
from mlptrain.nn.parameters import Parameters
from mlptrain.seeds import derived_seed
from mlptrain.sources.fetch import Progress, fetch
from mlptrain.spec import ExperimentSpec
from mlptrain.training.trainer import Model, Trainer


def build_network(spec: ExperimentSpec) -> MLP:
    """The network of a specification, without parameters."""
    model = spec.model
    return MLP(
        spec.widths,
        activation=make_activation(**model.activation.model_dump()),
        output_activation=make_activation(**model.output_activation.model_dump()),
        bias=model.bias,
    )


def initial_parameters(spec: ExperimentSpec, network: MLP) -> Parameters:
    """The parameters before training, on the CPU; they follow from the seed alone."""
    parameters = Parameters.zeros(network.parameter_shapes)
    hidden = spec.model.activation
    initialise_(
        parameters,
        generator=torch.Generator().manual_seed(derived_seed(spec.seed, "initial weights")),
        slope=getattr(hidden, "slope", 0.25) if hidden.name == "prelu" else 0.25,
        activation_slope=getattr(hidden, "slope", 0.0),
        **spec.model.init.model_dump(),
    )
    return parameters


def load_data(
    spec: ExperimentSpec,
    *,
    data_dir: Path | None = None,
    fixed_scaling: Scaling | None = None,
    like: Splits | None = None,
    on_fetch: Progress | None = None,
) -> Splits:
    """The splits of a specification; a data set that is not there yet is fetched.

    ``like`` are splits of the same data section with another seed, to share rows with.
    """
    folder = data_folder(data_dir)
    values = spec.data.model_dump()

    def load() -> Splits:
        return load_splits(**values, seed=spec.seed, folder=folder, fixed_scaling=fixed_scaling, like=like)

    try:
        return load()
    except DataAbsentError:
        fetch(spec.data.name, folder, on_progress=on_fetch)
        return load()


def on_device(split: Split, *, loss: Loss, spec: ExperimentSpec, device: str) -> Split:
    """A split ready for the loop: on the device, targets as the loss encodes them."""
    return Split(split.x.to(device), loss.encode_targets(split.y, spec.output_width).to(device))


def build_trainer(specs: Sequence[ExperimentSpec], splits: Sequence[Splits], *, evaluate: bool = True) -> Trainer:
    """One model for every specification, with its splits, on its device and ready to train.

    The specifications may differ in seed and optimizer and are alike in all else; those with the very same splits share
    their batches if they stand side by side. ``evaluate`` false leaves out what their configurations measure.
    """
    spec = specs[0]
    device = "cpu" if spec.training.device == "auto" else spec.training.device
    network = build_network(spec)
    loss = make_loss(spec.loss.name, spec.loss.reduction)
    on_its_device: dict[int, Tensor] = {}
    prepared: dict[int, tuple[TrainingRows, Split | None]] = {}
    models = []
    for one, its in zip(specs, splits, strict=True):
        if id(its) not in prepared:
            stored = its.all_training_rows
            x = on_its_device.setdefault(id(stored.x), stored.x.to(device))
            y = loss.encode_targets(stored.y, one.output_width).to(device)
            chosen = None if its.chosen is None else its.chosen.to(device)
            measured = str(spec.evaluation.split)
            evaluated = getattr(its, measured) if evaluate and measured != "none" else None
            prepared[id(its)] = (
                TrainingRows(one.seed, x, y, chosen, its.scaling),
                evaluated and on_device(evaluated, loss=loss, spec=one, device=device),
            )
        rows, evaluated = prepared[id(its)]
        models.append(
            Model(
                initial=initial_parameters(one, network).clone(device=device),
                optimizer=one.optimizer.name,
                settings=one.optimizer.model_dump(exclude={"name"}),
                rows=rows,
                evaluated=evaluated,
            )
        )
    return Trainer(
        network,
        models=models,
        loss=loss,
        classify=not spec.is_regression,
        batch_size=spec.batch_size,
        shuffle=spec.training.shuffle,
    )
