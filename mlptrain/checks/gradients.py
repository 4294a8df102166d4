"""The gradient check of a configuration: its network with its initial weights, on the first batch of its data."""

from __future__ import annotations

import torch

from mlptrain.experiment.build import build_trainer, load_data
from mlptrain.nn.gradcheck import GradientCheck, check_gradients
from mlptrain.seeds import derived_seed
from mlptrain.sources.fetch import Progress
from mlptrain.spec import Config, Loaded, Overrides, as_loaded
from mlptrain.system.paths import AnyPath
from mlptrain.training.device import applied, resolve_device

MAX_ROWS = 100  # more rows check nothing more, and bring every coordinate nearer to a kink


def gradcheck(
    config: Loaded | Config,
    *,
    overrides: Overrides = (),
    data_dir: AnyPath | None = None,
    on_fetch: Progress | None = None,
) -> GradientCheck:
    """Check the gradients of an experiment before training, in float64 on the CPU.

    Taken are the initial weights of the seed and the first batch of epoch 1, of which 100 rows at most. Coordinates of
    large tensors are drawn by the seed, so that a check repeats itself.

    Raises the errors of mlptrain.errors for the specification and data, and UserError where gradients are not finite.
    """
    experiment = as_loaded(config, overrides).experiment.with_training(device="cpu")
    with applied(resolve_device(device="cpu", precision="highest", threads=experiment.training.threads)):
        splits = load_data(experiment, data_dir=data_dir, on_fetch=on_fetch)
        trainer = build_trainer([experiment], [splits])
        model = trainer.model()
        rows = model.order(1)[: min(experiment.batch_size, MAX_ROWS)]
        return check_gradients(
            trainer.network,
            loss=trainer.loss,
            parameters=model.parameters,
            x=model.examples.inputs[rows],
            targets=model.examples.targets[rows],
            generator=torch.Generator().manual_seed(derived_seed(experiment.seed, "gradcheck")),
        )
