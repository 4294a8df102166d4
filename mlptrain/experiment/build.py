"""From an experiment to its parts: network, initial weights, data, and the trainer that holds them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from mlptrain.data import Examples, Preprocessing, Splits, load_splits, read_data
from mlptrain.data.augmentation import Augmentation
from mlptrain.errors import DataAbsentError
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.losses import Loss, make_loss
from mlptrain.nn.network import MLP, Layer, together
from mlptrain.nn.ops import make_op
from mlptrain.nn.ops.embeddings import Embedding
from mlptrain.nn.parameters import Parameters
from mlptrain.nn.targets import TargetScaling
from mlptrain.seeds import derived_seed
from mlptrain.sources.facts import RawData
from mlptrain.sources.fetch import Progress, fetch
from mlptrain.sources.store import data_folder
from mlptrain.spec import Experiment
from mlptrain.spec.model import FileInit
from mlptrain.spec.weights import InitialWeights, read_weights
from mlptrain.system.launch import Launch
from mlptrain.system.paths import AnyPath
from mlptrain.training.device import ResolvedDevice, resolve_device
from mlptrain.training.scores import Scorer
from mlptrain.training.trainer import Model, Trainer
from mlptrain.training.workers import Workers


def build_network(experiment: Experiment) -> MLP:
    """The network of an experiment, without parameters."""
    model, layers = experiment.model, []
    for index, (inputs, outputs) in enumerate(pairwise(experiment.widths)):
        of = model.layer(index)
        ops, before = (tuple(map(make_op, sections)) for sections in (of.ops, of.before))
        residual = of.residual and inputs == outputs
        embeddings = None if index else model.embeddings(experiment.layout)
        embedding = None if embeddings is None else Embedding(embeddings)
        members = model.members.layer(index, len(model.hidden))
        layers.append(Layer(index, inputs, outputs, model.bias, ops, before, residual, embedding, members))
    return MLP(layers, link=experiment.loss.contains)


def initial_parameters(
    experiment: Experiment, network: MLP, train: Examples | Mapping[str, Tensor] | None = None
) -> Parameters:
    """The parameters before training, on the CPU; they follow from the seed alone, or lie in a file.

    Embeddings may have statistics, which are fitted on the training rows ``train``, or copied from tensors that have
    them; a file has them too. Raises UserError where the file is absent or holds others, ValueError where there are
    statistics and ``train`` is None.
    """
    parameters = Parameters.zeros(network.shapes)
    if (weights := initial_weights(experiment)) is not None:
        return parameters.copy_({name: torch.from_numpy(tensor) for name, tensor in weights.tensors.items()})
    generator = torch.Generator().manual_seed(derived_seed(experiment.seed, "initial weights"))
    initialise_(network, parameters, generator=generator, **experiment.model.init.model_dump())
    network.fit_(parameters, train.inputs_once if isinstance(train, Examples) else train)
    return parameters


def initial_weights(experiment: Experiment) -> InitialWeights | None:
    """What the file of the initial weights holds; None where they are drawn. Raises UserError as ``read_weights``."""
    init = experiment.model.init
    if not isinstance(init, FileInit):
        return None
    return read_weights(experiment.folder / init.path, experiment.shapes, sha256=init.sha256)


def load_data(
    experiment: Experiment,
    *,
    data_dir: AnyPath | None = None,
    preprocessing: Preprocessing | None = None,
    on_fetch: Progress | None = None,
) -> Splits:
    """The splits of an experiment; a data set that is not there yet is fetched. Raises as ``load_splits``."""
    return load_splits(experiment, _read(experiment, data_dir=data_dir, on_fetch=on_fetch), preprocessing=preprocessing)


class SharedData:
    """The splits of an experiment with any seed; stored rows are in memory once. Raises as ``load_data``."""

    def __init__(
        self, experiment: Experiment, *, data_dir: AnyPath | None = None, on_fetch: Progress | None = None
    ) -> None:
        self._experiment, self._data_dir = experiment, data_dir
        by_seed = experiment.data.source().by_seed
        self._raw = None if by_seed else _read(experiment, data_dir=data_dir, on_fetch=on_fetch)
        self._undrawn: Splits | None = None

    def __call__(self, seed: int) -> Splits:
        """The splits of one seed."""
        return self.of(self._experiment.changed(seed=seed))

    def of(self, experiment: Experiment) -> Splits:
        """The splits of an experiment with another seed or fold."""
        if self._undrawn is not None:
            return self._undrawn
        raw = self._raw or _read(experiment, data_dir=self._data_dir, on_fetch=None)
        splits = load_splits(experiment, raw)
        if self._raw is not None and not splits.drawn:
            self._undrawn = splits  # that of every seed: fitting and hashing is done once
        return splits


def load_data_of_seeds(
    experiments: Sequence[Experiment], *, data_dir: AnyPath | None = None, on_fetch: Progress | None = None
) -> list[Splits]:
    """The splits of experiments that differ in their seed, or their fold, alone."""
    shared = SharedData(experiments[0], data_dir=data_dir, on_fetch=on_fetch)
    return list(map(shared.of, experiments))


def _read(experiment: Experiment, *, data_dir: AnyPath | None, on_fetch: Progress | None) -> RawData:
    folder = data_folder(data_dir)
    try:
        return read_data(experiment, folder=folder)
    except DataAbsentError:
        fetch(experiment.data.name, folder, on_progress=on_fetch)
        return read_data(experiment, folder=folder)


def prepared(
    examples: Examples, *, loss: Loss, experiment: Experiment, device: str, moved: dict[int, Tensor] | None = None
) -> Examples:
    """Examples ready for training or evaluation: on the device, targets as the loss encodes them.

    ``moved`` is that of Examples.to.
    """
    encoded = examples.encoded(partial(loss.encoded, n_outputs=experiment.output_width))
    return encoded.to(device, moved={} if moved is None else moved)


def class_weights_of(experiment: Experiment, train: Examples) -> tuple[float, ...]:
    """The weight of every class, fitted on these training rows; empty where the loss has none.

    ``train`` has labels as stored. Raises DataError where these rows give none.
    """
    if experiment.loss.is_plain:
        return ()
    weights = None if train.weight is None else train.chosen_weights().double()
    counts: list[float] = train.chosen_targets().bincount(weights, len(experiment.facts.class_names)).tolist()
    return experiment.loss.class_weights_of(experiment.facts, counts)


def loss_of(
    experiments: Sequence[Experiment],
    class_weights: Sequence[tuple[float, ...]] = (),
    scalings: Sequence[TargetScaling | None] = (),
) -> Loss:
    """The loss of experiments that ``alike`` lets train together, with what was fitted for each: as ``make_loss``."""
    first = experiments[0]
    smoothing = [getattr(one.loss, "label_smoothing", 0.0) for one in experiments]
    weighted = bool(first.facts.weight)
    return make_loss(first.loss, class_weights, scalings, smoothing=smoothing, weighted=weighted)


def fitted_loss(experiment: Experiment, train: Examples) -> Loss:
    """The loss of an experiment with ``class_weights_of`` its training rows and the scaling of their targets.

    Raises DataError as ``class_weights_of``.
    """
    return loss_of([experiment], [class_weights_of(experiment, train)], [train.preprocessing.target])


class Ready:
    """Splits as trainers read them, each made ready once, however many trainers read it."""

    def __init__(self) -> None:
        self._moved: dict[int, Tensor] = {}
        self._made: dict[tuple[int, str, str], tuple[Splits, Examples, Examples | None]] = {}

    def __call__(
        self, its: Splits, experiment: Experiment, *, loss: Loss, measured: str
    ) -> tuple[Examples, Examples | None]:
        """The rows to train on and those to measure, which may be ``none``, on the device of the experiment."""
        key = id(its), repr(experiment.loss), measured
        if key not in self._made:
            device = device_of(experiment)
            on_device = partial(prepared, loss=loss, experiment=experiment, device=device, moved=self._moved)
            evaluated: Examples | None = None if measured == "none" else getattr(its, measured)
            ready = on_device(its.train), None if evaluated is None else on_device(evaluated)
            self._made[key] = its, *ready
        return self._made[key][1:]


def resolved_for(experiment: Experiment, *, models: int = 1, launch: Launch | None = None) -> ResolvedDevice:
    """What an experiment wishes for on this machine, where each step trains so many ``models``.

    Raises DeviceError for a device that is not there.
    """
    wished, flops = experiment.training, models * experiment.step_flops
    device, precision, threads = wished.device, wished.precision, wished.threads
    return resolve_device(device=device, precision=precision, threads=threads, step_flops=flops, launch=launch)


def device_of(experiment: Experiment) -> str:
    """Where an experiment trains; one whose device was not resolved does so on the CPU."""
    return "cpu" if experiment.training.device == "auto" else experiment.training.device


def alike(experiment: Experiment) -> str:
    """What experiments have in common whose models can train together, as a text that is equal then.

    A model may have of its own: seed and fold, initial weights, optimizer, schedule, rates of dropout, label smoothing,
    and when training ends and what is recorded or kept.
    """
    evaluation, training = experiment.evaluation, experiment.training
    sections = (
        (experiment.model, {"dropout", "input_dropout", "init"}),
        (experiment.loss, {"label_smoothing"}),
        (experiment.augmentation, None),
        (training, {"epochs", "batch_size", "early_stopping", "record_steps", "record_layers"}),
    )
    of_sections = [section.model_dump(exclude=left_out) for section, left_out in sections]
    measured = evaluation.split, evaluation.metrics
    return repr((of_sections, measured, experiment.widths, experiment.batch_size, experiment.facts.weight))


def build_trainer(
    experiments: Sequence[Experiment],
    splits: Sequence[Splits],
    *,
    evaluate: bool = True,
    ready: Ready | None = None,
    workers: Workers | None = None,
) -> Trainer:
    """One model for every experiment, with its splits, on its device and ready to train.

    ``alike`` says what the experiments have in common; those with the very same splits share their batches if they
    stand side by side. ``evaluate`` false leaves out what their configurations measure; what is ``ready`` may be shared
    with other trainers, and ``workers`` share the batches. Raises DataError as ``class_weights_of``, and ValueError for
    experiments that are not alike.
    """
    experiment, ready = experiments[0], ready or Ready()
    if len(set(map(alike, experiments))) > 1:
        raise ValueError("experiments that differ in more than seed, optimizer, schedule and rates")
    of_models = {repr(one.model): build_network(one) for one in experiments}
    network = together([of_models[repr(one.model)] for one in experiments])
    weights = {id(its): class_weights_of(experiment, its.train) for its in splits}
    of_splits = [weights[id(its)] for its in splits], [its.train.preprocessing.target for its in splits]
    loss = loss_of(experiments, *of_splits)
    measured = str(experiment.evaluation.split) if evaluate else "none"
    models = []
    for index, (one, its) in enumerate(zip(experiments, splits, strict=True)):
        train, evaluated = ready(its, experiment, loss=loss.of_model(index), measured=measured)
        initial = initial_parameters(one, network, its.train).clone(device=device_of(experiment))
        models.append(Model(initial, one.optimizer, one.seed, train, evaluated, one.schedule))
    return Trainer(
        network,
        models=models,
        loss=loss,
        classify=not experiment.facts.is_regression,
        batch_size=experiment.batch_size,
        shuffle=experiment.training.shuffle,
        epochs=max(one.training.epochs for one in experiments),  # a seed that ended is not extended with the others
        training=experiment.training,
        augmentation=Augmentation.of(experiment.augmentation, experiment.facts),
        scorer=Scorer.of(experiment),
        workers=workers,
    )
