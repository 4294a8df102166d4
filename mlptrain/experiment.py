"""From a specification to a finished run: the one place where data, network, loop and run folder meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mlptrain.data import Scaling, Split, Splits, data_folder, load_splits
from mlptrain.data.fetch import Progress, fetch
from mlptrain.errors import (
    CheckpointError,
    DataAbsentError,
    DataError,
    DivergedError,
    InterruptedRunError,
    MachineError,
    RunFolderError,
)
from mlptrain.nn.activations import make_activation
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.losses import Loss, make_loss
from mlptrain.nn.network import MLP, Parameters
from mlptrain.runs import RunFolder, RunLog, machine_errors
from mlptrain.seeds import derived_seed
from mlptrain.spec import ExperimentSpec, Loaded, load_spec, to_yaml
from mlptrain.training.checkpoints import Checkpoint, load_checkpoint
from mlptrain.training.device import decide, in_force
from mlptrain.training.diagnosis import diagnose
from mlptrain.training.environment import describe_environment
from mlptrain.training.evaluation import Figures, evaluate
from mlptrain.training.loop import Epoch, Trainer
from mlptrain.training.optimizers import make_optimizer
from mlptrain.training.recorder import Recorder, figures_of
from mlptrain.training.signals import stop_on_signals

OnEpoch = Callable[[Epoch], None]


@dataclass(frozen=True)
class Outcome:
    """A finished run: its folder and the content of its ``result.json``."""

    folder: RunFolder
    result: Mapping[str, Any]


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
    only: tuple[str, ...] | None = None,
    on_fetch: Progress | None = None,
) -> Splits:
    """The splits of a specification; a data set that is not there yet is fetched."""
    folder = data_folder(data_dir)
    values = spec.data.model_dump()

    def load() -> Splits:
        return load_splits(**values, seed=spec.seed, folder=folder, fixed_scaling=fixed_scaling, only=only)

    try:
        return load()
    except DataAbsentError:
        fetch(spec.data.name, folder, on_progress=on_fetch)
        return load()


def on_device(split: Split, *, loss: Loss, spec: ExperimentSpec, device: str) -> Split:
    """A split ready for the loop: on the device, targets as the loss encodes them."""
    return Split(split.x.to(device), loss.encode_targets(split.y, spec.output_width).to(device))


def train(
    loaded: Loaded | Path | str,
    *,
    run_dir: Path | None = None,
    data_dir: Path | None = None,
    on_epoch: OnEpoch | None = None,
    on_fetch: Progress | None = None,
) -> Outcome:
    """Train an experiment into a new run folder below ``runs/``, or at ``run_dir``.

    Raises the errors of mlptrain.errors: of the specification, data and device before a folder is made;
    DivergedError and InterruptedRunError from the loop, with the folder left in order.
    """
    if not isinstance(loaded, Loaded):
        loaded = load_spec(loaded)
    wanted = loaded.spec.training
    decisions = decide(device=wanted.device, precision=wanted.precision, threads=wanted.threads)
    with in_force(decisions), stop_on_signals() as should_stop:
        spec = _with_training(loaded.spec, **asdict(decisions))
        splits = load_data(spec, data_dir=data_dir, on_fetch=on_fetch)
        trainer = build_trainer(spec, splits)
        environment = describe_environment(
            decisions,
            data_fingerprint=splits.fingerprint,
            initial_weights=trainer.parameters.flat,
            batch_order=trainer.order(1),
        )
        folder = RunFolder.create(spec.name, run_dir=run_dir)
        try:
            folder.write_start(config=loaded.source, resolved=to_yaml(spec), environment=environment)
        except OSError as error:
            folder.discard()
            raise MachineError(f"{folder.path}: {error.strerror or error}; no run was started") from error
        return _run(folder, spec, splits, trainer, None, should_stop=should_stop, on_epoch=on_epoch)


def resume(
    run: Path | str,
    *,
    epochs: int | None = None,
    data_dir: Path | None = None,
    on_epoch: OnEpoch | None = None,
    on_fetch: Progress | None = None,
) -> Outcome:
    """Go on with an interrupted run, or with ``epochs`` extend a completed one, under the recorded decisions.

    Raises RunFolderError for a run that cannot be resumed: completed, diverged, or damaged.
    """
    folder = RunFolder.open(Path(run))
    spec = load_spec(folder.resolved).spec
    checkpoint = load_own_checkpoint(folder, folder.last) if folder.last.exists() else None
    if checkpoint is not None and len(folder.read_metrics()) <= checkpoint.epoch:
        raise RunFolderError(f"{folder.metrics} ends before epoch {checkpoint.epoch}; the run folder is damaged")
    spec = _extended(folder, spec, epochs, done=checkpoint.epoch if checkpoint else 0)
    environment = folder.read_environment()
    decisions = decide(device=spec.training.device, precision=spec.training.precision, threads=spec.training.threads)
    with in_force(decisions), stop_on_signals() as should_stop:
        splits = load_data(spec, data_dir=data_dir, on_fetch=on_fetch)
        if splits.fingerprint != environment.get("hashes", {}).get("data"):
            raise DataError(f"{run} was trained on other data than what is in {data_folder(data_dir)} now")
        trainer = build_trainer(spec, splits)
        return _run(folder, spec, splits, trainer, checkpoint, should_stop=should_stop, on_epoch=on_epoch)


def load_own_checkpoint(folder: RunFolder, path: Path) -> Checkpoint:
    """A checkpoint of this very run. Raises CheckpointError for another run's, or of an edited ``resolved.yaml``."""
    checkpoint, spec = load_checkpoint(path), load_spec(folder.resolved).spec
    if _with_training(checkpoint.spec, epochs=spec.training.epochs) != spec:
        raise CheckpointError(f"{path} belongs to another run than {folder.resolved}, or that file was edited")
    return checkpoint


def _extended(folder: RunFolder, spec: ExperimentSpec, epochs: int | None, *, done: int) -> ExperimentSpec:
    """The specification to go on with. Raises RunFolderError where there is nothing to go on with."""
    result = folder.read_result()
    if result is not None and result.get("status") == "diverged":
        raise RunFolderError(f"{folder.path} diverged; start a new run with a smaller learning rate instead")
    wanted = epochs or spec.training.epochs
    if wanted < done:
        raise RunFolderError(f"{folder.path} has {done} epochs behind it; training.epochs={wanted} is fewer")
    if result is not None and wanted == done:
        raise RunFolderError(
            f"{folder.path} is complete with {done} epochs; extend it with --set training.epochs={done * 2}"
        )
    return _with_training(spec, epochs=wanted)


def _with_training(spec: ExperimentSpec, **values: Any) -> ExperimentSpec:
    return spec.model_copy(update={"training": spec.training.model_copy(update=values)})


def build_trainer(spec: ExperimentSpec, splits: Splits) -> Trainer:
    """Network, initial weights, optimizer and data of a specification, on its device and ready to train."""
    device = "cpu" if spec.training.device == "auto" else spec.training.device
    network = build_network(spec)
    parameters = initial_parameters(spec, network).clone(device=device)
    loss = make_loss(spec.loss.name, spec.loss.reduction)
    evaluated = {"validation": splits.validation, "test": splits.test}.get(str(spec.evaluation.split))
    settings = spec.optimizer.model_dump(exclude={"name"})
    return Trainer(
        network=network,
        parameters=parameters,
        optimizer=make_optimizer(spec.optimizer.name, parameters.flat, **settings),
        loss=loss,
        train=on_device(splits.train, loss=loss, spec=spec, device=device),
        evaluated=evaluated and on_device(evaluated, loss=loss, spec=spec, device=device),
        classify=not spec.is_regression,
        batch_size=spec.batch_size,
        shuffle=spec.training.shuffle,
        seed=spec.seed,
    )


def _run(
    folder: RunFolder,
    spec: ExperimentSpec,
    splits: Splits,
    trainer: Trainer,
    checkpoint: Checkpoint | None,
    *,
    should_stop: Callable[[], bool],
    on_epoch: OnEpoch | None,
) -> Outcome:
    first = checkpoint.epoch + 1 if checkpoint else 0
    with machine_errors(folder.path), RunLog(folder, epoch=first - 1) as log:
        recorder = Recorder(
            folder, log, spec=spec, trainer=trainer, scaling=splits.scaling, data_fingerprint=splits.fingerprint
        )
        if checkpoint is not None:
            recorder.restore(checkpoint)
            folder.extend(resolved=to_yaml(spec))
        try:
            for epoch in trainer.epochs(first=first, last=spec.training.epochs, should_stop=should_stop):
                recorder.record(epoch)
                if on_epoch is not None:
                    on_epoch(epoch)
        except DivergedError as error:
            recorder.save()
            folder.write_result(
                {"status": "diverged", "epoch": error.epoch, "step": error.step, "lr": error.lr, "message": str(error)}
            )
            error.run = folder.path
            raise
        except InterruptedRunError as error:
            recorder.save()
            kept = max(recorder.saved_epoch, 0)
            raise InterruptedRunError(
                f"{error}; {kept} of {spec.training.epochs} epochs are kept, "
                f"go on with `mlptrain train --resume {folder.path}`"
            ) from None
        recorder.save()
        result = _result(folder, spec, splits, trainer, recorder)
        folder.write_result(result)
    return Outcome(folder, result)


def _result(
    folder: RunFolder, spec: ExperimentSpec, splits: Splits, trainer: Trainer, recorder: Recorder
) -> dict[str, Any]:
    lines = folder.read_metrics()
    last = lines[-1]
    diagnosis = diagnose(
        trainer,
        spec,
        train=Figures(last["train_loss"], last.get("train_accuracy")),
        losses=[line["train_loss"] for line in lines[1:]],
        initial=initial_parameters(spec, trainer.network).clone(device=spec.training.device),
    )
    if spec.evaluation.keep == "best" and recorder.best is not None:
        kept = next(line for line in lines if line["epoch"] == recorder.best.epoch)
        parameters = recorder.best_parameters or trainer.parameters.clone().copy_(
            load_checkpoint(folder.best).parameters
        )
        file = folder.best.name
    else:
        kept, parameters, file = last, trainer.parameters, folder.last.name
    looks = int(folder.read_environment().get("earlier_test_looks", 0))
    figures = {key: value for key, value in kept.items() if key not in ("epoch", "step", "lr")}
    if spec.evaluation.split == "test":
        looks += len(lines)
    elif splits.test is not None:
        looks += 1
        test = on_device(splits.test, loss=trainer.loss, spec=spec, device=spec.training.device)
        found = evaluate(
            trainer.network, parameters, loss=trainer.loss, x=test.x, targets=test.y, classify=trainer.classify
        )
        figures |= figures_of("test", found)
    return {
        "status": "completed",
        "epochs": last["epoch"],
        "steps": last["step"],
        "kept": {"checkpoint": file, "epoch": kept["epoch"], **figures},
        "last": {key: value for key, value in last.items() if key not in ("epoch", "step", "lr")},
        "diagnosis": asdict(diagnosis) if diagnosis else None,
        "test_looks": looks,
    }
