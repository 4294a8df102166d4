"""What a run's metrics depend on besides its configuration."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict

import numpy
import torch

import mlptrain
from mlptrain.data import Examples, Splits
from mlptrain.data.preprocessing import Preprocessing, Scale, Standardize
from mlptrain.experiment.build import class_weights_of
from mlptrain.experiment.trials import best_constant_loss, largest_share
from mlptrain.nn.losses import make_loss
from mlptrain.runs.records import Environment, Hashes, Moments, Origin, Scaling
from mlptrain.sources.facts import Column
from mlptrain.spec import Experiment
from mlptrain.training.device import ResolvedDevice
from mlptrain.training.trainer import TrainedModel


def describe_environment(
    resolved: ResolvedDevice,
    hashes: Hashes,
    *,
    guess: dict[str, float],
    scaling: Scaling | None = None,
    class_weights: dict[str, float] | None = None,
    started_from: Origin | None = None,
    workers: int = 1,
) -> Environment:
    """The content of ``environment.json``; ``guess`` as ``constant_guess`` gives it, ``scaling`` as ``scaling_of``."""
    on_gpu = resolved.device != "cpu"
    return Environment(
        mlptrain=mlptrain.__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=numpy.__version__,
        platform=platform.platform(),
        processor=torch.backends.cpu.get_cpu_capability(),
        device_name=torch.cuda.get_device_name(resolved.device) if on_gpu else None,
        **asdict(resolved),
        git_commit=_git_commit(),
        hashes=hashes,
        scaling=scaling,
        class_weights=class_weights,
        constant_guess=guess,
        started_from=started_from,
        workers=workers,
    )


def scaling_of(preprocessing: Preprocessing, columns: Sequence[Column]) -> Scaling | None:
    """The numbers of a preprocessing, by name where the inputs are ``columns``; None where it changes nothing."""
    scaling: Scaling | None = None
    for transform in preprocessing.transforms:
        match transform:
            case Scale(divisor=divisor, mean=mean, std=std):
                scaling = Scaling(divisor=divisor, mean=mean, std=std)
            case Standardize(mean=means, std=stds):
                numbers = zip(columns, means, stds, strict=True)
                scaling = Scaling(columns={column.name: Moments(mean=mean, std=std) for column, mean, std in numbers})
    return scaling


def constant_guess(experiment: Experiment, train: Examples) -> dict[str, float]:
    """What answers that ignore the inputs reach on the training rows: ``loss``, and of classes ``accuracy``.

    The loss is that of ``Loss.constant_guess``, left out where float32 cannot hold it, the accuracy that of naming the
    most frequent class, or the most frequent choice of labels.
    """
    loss = make_loss(experiment.loss, [class_weights_of(experiment, train)])
    y = train.chosen_targets()
    cost = best_constant_loss(experiment, loss, loss.encode_targets(y, experiment.output_width))
    guess = {"loss": cost} if cost < torch.finfo(torch.float32).max else {}
    if not experiment.facts.is_regression:
        guess["accuracy"] = largest_share(y)
    return guess


def hashes_of(splits: Splits, model: TrainedModel) -> Hashes:
    """Of a model before its training."""
    weights, order = (
        hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
        for tensor in (model.parameters.clone().flat, model.order(1))
    )
    return Hashes(data=splits.fingerprint, initial_weights=weights, batch_order=order)


def _git_commit() -> str | None:
    """The commit of the working folder, or None outside a repository or without git."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
