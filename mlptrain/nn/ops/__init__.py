"""What a layer does after its product, by the names of a configuration."""

from __future__ import annotations

from mlptrain.nn.ops.activations import ACTIVATIONS
from mlptrain.nn.ops.base import CompiledOp, Op
from mlptrain.nn.ops.dropout import Dropout
from mlptrain.nn.ops.norms import BatchNorm, LayerNorm
from mlptrain.spec.base import Section

__all__ = ["OPS", "CompiledOp", "Op", "make_op"]

OPS: dict[str, type[Op]] = {**ACTIVATIONS, **{kind.name: kind for kind in (Dropout, BatchNorm, LayerNorm)}}


def make_op(section: Section) -> Op:
    """The op of a section."""
    settings = section.model_dump()
    return OPS[settings.pop("name")](**settings)
