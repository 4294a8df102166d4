"""A trained network as an ONNX model: torch's own exporter, and in front of it texts as inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlptrain.errors import UserError
from mlptrain.inference.export.inputs import ABSENT, UNSEEN, Input
from mlptrain.inference.export.predictor import Predictor, quiet

if TYPE_CHECKING:
    import onnx

OPSET = 18  # the one that torch's exporter writes as it is; runtimes have it since 2023
_OPSET_ML = 2
PRODUCER = "mlptrain"
_MAX_BYTES = 2_000_000_000  # a file of ONNX is one protocol buffer, which ends at 2 GiB


def onnx_model(predictor: Predictor, about: dict[str, str]) -> bytes:
    """The model as the bytes of a file, with ``about`` as its metadata.

    Inputs and output have the names of the predictor's, the number of rows is free and called n. Raises UserError where
    the extra is not installed, and for networks that the format cannot hold.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 – what torch's exporter is written with
    except ImportError:
        raise UserError('an ONNX model is written by onnx and onnxscript: pip install "mlptrain[onnx]"') from None
    size = sum(4 * parameter.numel() for parameter in predictor.parameters())
    if size > _MAX_BYTES:
        raise UserError(f"weights of {size:,} bytes: an ONNX file has at most 2 GiB; use --to torch or --to npz")
    with quiet():
        written = torch.onnx.export(
            predictor.program,
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            custom_translation_table={torch.ops.aten.logaddexp.default: _logaddexp},
        )
    assert written is not None
    model = written.model_proto
    _tidy(model.graph, predictor)
    model.producer_name, model.producer_version, model.doc_string = PRODUCER, about["mlptrain"], ""
    model.graph.name = about["name"]
    if any(one.is_text for one in predictor.inputs):
        model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", _OPSET_ML))
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _logaddexp(a: Any, b: Any) -> Any:
    """log(eᵃ + eᵇ) in ONNX's operators that does not overflow; the exporter's own does."""
    from onnxscript import opset18 as op

    near = op.Exp(op.Neg(op.Abs(op.Sub(a, b))))
    return op.Add(op.Max(a, b), op.Log(op.Add(op.CastLike(1.0, near), near)))


def _tidy(graph: onnx.GraphProto, predictor: Predictor) -> None:
    """Inputs and output by their names, the number of rows called n, and no traces of this machine."""
    del graph.value_info[:]
    for node in graph.node:
        node.doc_string = ""
    for one in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del one.metadata_props[:]
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    names = {predictor.output, *(one.name for one in predictor.inputs)}
    within = {value.name for value in (*graph.input, *graph.initializer)}
    within |= {name for node in graph.node for name in node.output}
    renamed = {name: f"{name}/inner" for name in names & within}  # columns may be called as values within are
    encoders = []
    for value, one in zip(graph.input, predictor.inputs, strict=True):
        codes = f"{one.name}/codes" if one.is_text else one.name
        renamed[value.name], value.name = codes, one.name
        if one.is_text:
            encoders.append(_encoder(value, one, codes))
    renamed[graph.output[0].name] = graph.output[0].name = predictor.output
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for node in graph.node:
        for part in (node.input, node.output):
            part[:] = [renamed.get(name, name) for name in part]
    nodes = [*encoders, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _encoder(value: onnx.ValueInfoProto, one: Input, codes: str) -> onnx.NodeProto:
    """Make texts of an input, and give the node that turns these into codes."""
    import onnx

    value.type.tensor_type.elem_type = onnx.TensorProto.STRING
    known = {level: code for code, level in enumerate(one.categories)} | dict.fromkeys(one.missing, ABSENT)
    return onnx.helper.make_node(
        "LabelEncoder",
        [one.name],
        [codes],
        name=f"{one.name}/encoder",
        domain="ai.onnx.ml",
        keys_strings=list(known),
        values_int64s=list(known.values()),
        default_int64=UNSEEN,
    )
