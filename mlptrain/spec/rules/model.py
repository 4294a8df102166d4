"""Rules about the network: its size, and what its layers need of data and batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from mlptrain.errors import UserError
from mlptrain.sources.facts import DataFacts
from mlptrain.spec.augmentation import AugmentationSpec
from mlptrain.spec.data import (
    DataSpec,
)
from mlptrain.spec.experiment import TrainingSpec
from mlptrain.spec.inputs import NoEmbedding
from mlptrain.spec.loss import LossSpec
from mlptrain.spec.model import MAX_PARAMETERS, BatchNorm, FileInit, ModelSpec
from mlptrain.spec.rules.registry import Finding, Rules
from mlptrain.spec.weights import read_weights

RULES = Rules()


@RULES.rule
def network_fits_memory(data: DataSpec, facts: DataFacts, loss: LossSpec, model: ModelSpec) -> Iterator[Finding]:
    """The parameters fit in memory, also where a width is mistyped."""
    shapes = model.parameter_shapes(data.layout(facts), loss.n_outputs(facts))
    parameters = sum(math.prod(shape) for shape in shapes.values())
    if parameters > MAX_PARAMETERS:
        yield ("model", "hidden"), f"makes {parameters:,} parameters; the limit is {MAX_PARAMETERS:,}"


@RULES.rule
def embedding_has_its_columns(data: DataSpec, facts: DataFacts, model: ModelSpec) -> Iterator[Finding]:
    """There are numbers to embed."""
    if not isinstance(model.numeric_embedding, NoEmbedding) and not data.layout(facts).numeric:
        yield ("model", "numeric_embedding"), f"embeds numbers, and '{data.label}' has none among its inputs"


@RULES.rule
def categories_stay_whole(
    data: DataSpec, facts: DataFacts, augmentation: AugmentationSpec, training: TrainingSpec
) -> Iterator[Finding]:
    """A category that is embedded is the number of its slot, which nothing may be added to."""
    if not data.layout(facts).coded:
        return
    remedy = "encode categories one_hot, or leave it out"
    for key in (key for key in ("noise", "mixup") if getattr(augmentation, key)):
        message = f"changes inputs, and categories that are embedded cannot be changed a little; {remedy}"
        yield ("augmentation", key), message
    if training.adversarial is not None:
        message = f"disturbs inputs, and categories that are embedded cannot be disturbed a little; {remedy}"
        yield ("training", "adversarial"), message


@RULES.rule
def norm_has_rows(facts: DataFacts, model: ModelSpec, training: TrainingSpec) -> Iterator[Finding]:
    """Batch norm takes mean and variance over more than one row."""
    norms = {"norm": model.norm if model.hidden else None, "output_norm": model.output_norm}
    one = training.batch_size == 1 or facts.train_rows == 1
    for key, norm in norms.items():
        if one and isinstance(norm, BatchNorm):
            yield ("model", key), "batch norm needs batches of two rows or more; use norm: layer, or a larger batch"


def initial_weights_fit(data: DataSpec, facts: DataFacts, loss: LossSpec, model: ModelSpec) -> Iterator[Finding]:
    """The file of initial weights is there and holds this network; not among RULES, since it reads that file."""
    if isinstance(model.init, FileInit):
        network = data.layout(facts), loss.n_outputs(facts)
        shapes = model.parameter_shapes(*network) | model.state_shapes(*network)
        try:
            read_weights(Path(model.init.path), shapes, sha256=model.init.sha256)
        except UserError as error:
            yield ("model", "init", "path"), str(error)
