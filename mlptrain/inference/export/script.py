"""A script that predicts from raw rows with NumPy alone, from the arrays of the same run beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import mlptrain
from mlptrain.data.tabular import BEND, CLIP, MAX_INPUT
from mlptrain.experiment.build import build_network
from mlptrain.experiment.checkpoints import Checkpoint
from mlptrain.inference.evaluate import load_kept
from mlptrain.inference.export.inputs import ROWS, inputs_of
from mlptrain.nn.network import MLP, Layer
from mlptrain.nn.ops.embeddings import Embedding
from mlptrain.sources.facts import DAYS_IN
from mlptrain.spec.table import FileTable, TableData
from mlptrain.system.paths import AnyPath

_MARK = '"""Predicts from raw rows with NumPy alone'
_MANY = 2  # alike layers that are worth a loop
_SIGMOID = "(1 + np.tanh(z / 2)) / 2"
_LOG_SOFTMAX = ("z = z - z.max(-1, keepdims=True)", "z = z - np.log(np.exp(z).sum(-1, keepdims=True))")


def script_of(run: AnyPath | Checkpoint) -> str:
    """The script of a run or checkpoint, which reads an .npz file of its own name.

    It has the lines that this network needs, and no others. Raises the errors of a run that cannot be read.
    """
    checkpoint = run if isinstance(run, Checkpoint) else load_kept(run)
    network, of_table = build_network(checkpoint.experiment), checkpoint.preprocessing.columns is not None
    body = "\n".join(
        [
            'w = dict(np.load(Path(__file__).with_suffix(".npz")))',
            'about = json.loads(str(w["about"]))',
            "",
            "",
            "def p(layer, name):",
            '    return w[f"layers.{layer}.{name}"]',
            "",
            "",
            *(_table(checkpoint) if of_table else _rows(network.layers[0].inputs)),
            "",
            "",
            "def predict(rows):",
            "    x = inputs(rows)",
            *(f"    {line}" for line in (*_network(network), *_ending(checkpoint, network))),
            "",
            "",
            'if __name__ == "__main__":',
            *(f"    {line}" for line in _main(checkpoint)),
        ]
    )
    modules = [name for name in ("csv", "json", "math", "sys") if f"{name}." in body]
    imports = [*(f"import {name}" for name in modules), "from pathlib import Path"]
    imports += ["from statistics import NormalDist"] * ("NormalDist" in body)
    return "\n".join([*_docstring(checkpoint), "", *imports, "", "import numpy as np", "", body, ""])


def is_script(file: Path) -> bool:
    """Whether an existing file is such a script."""
    with file.open("rb") as stream:
        return stream.read(len(_MARK)) == _MARK.encode()


def columns_of(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """What a script knows of each stored column of a table, as JSON.

    ``column`` in the file, ``part`` of a date, ``start`` among the inputs and ``indicator``; of a number ``fill``,
    ``center``, ``scale`` and ``quantiles``, of a category its ``slots`` by level, that of ``other`` ones and of
    ``missing``, −1 for none, and whether its levels are ``numbers``.
    """
    columns = checkpoint.preprocessing.columns
    if columns is None:
        return []
    numbers = {one.name for one in inputs_of(checkpoint.experiment) if one.categories and not one.is_text}
    found = []
    for column, start, indicator, one in zip(
        checkpoint.experiment.facts.columns, columns.starts, columns.indicators, columns.of, strict=True
    ):
        own: dict[str, Any] = one.plain()
        if column.kind == "categorical":
            own["slots"] = dict(zip(column.categories, own["slots"], strict=True))
            own["numbers"] = column.origin in numbers
        found.append({"column": column.origin, "part": column.part, "start": start, "indicator": indicator} | own)
    return found


def _docstring(checkpoint: Checkpoint) -> Iterator[str]:
    experiment = checkpoint.experiment
    name = "".join(letter for letter in experiment.name if letter.isprintable() and letter not in '"\\')
    file = "ROWS.csv" if checkpoint.preprocessing.columns is not None else "ROWS.npy"
    yield f"{_MARK}: `python THIS.py {file}`, or `predict(rows)` from Python."
    yield ""
    yield f"Made by mlptrain {mlptrain.__version__} of '{name}', epoch {checkpoint.epoch}; its arrays lie in the .npz"
    yield "file of the same name."
    if checkpoint.preprocessing.columns is not None:
        yield "Rows are a mapping of columns to values, or a data frame. Missing are None, nan, and the texts that are"
        yield "in the training file. Dates are ISO 8601, or datetime64, in UTC."
    else:
        [one] = inputs_of(experiment)
        shape = ", ".join(map(str, ("n", *one.shape)))
        yield f"Rows are an array ({shape}) of {one.kind} as they lie in the training file."
    yield '"""'


def _rows(width: int) -> Iterator[str]:
    yield f"def inputs({ROWS}):"
    yield f'    x = np.asarray({ROWS}, "float32").reshape(len({ROWS}), {width})'
    yield '    x = (x / w["scaling.divisor"] - w["scaling.mean"]) / w["scaling.std"]'
    yield '    return x.astype("float32")'


def _table(checkpoint: Checkpoint) -> Iterator[str]:
    columns = checkpoint.preprocessing.columns
    assert columns is not None
    of = columns_of(checkpoint)
    categories, numbers = [one for one in of if "slots" in one], [one for one in of if "slots" not in one]
    lines = [
        f'x = np.zeros((len(rows[about["columns"][0]["column"]]), {columns.inputs}))',
        'for c in about["columns"]:',
        '    values = [None if v in about["missing"] or v != v else v for v in rows[c["column"]]]',
    ]
    if categories:
        key = "str(v)"
        lines += ['    if "slots" in c:']
        if any(one["numbers"] for one in categories):
            key = "key(v)"
            lines += ['        key = float if c["numbers"] else str']
            lines += ["        slots = {key(level): slot for level, slot in c['slots'].items()}".replace("'", '"')]
        else:
            lines += ['        slots = c["slots"]']
        lines += [
            f'        s = np.array([c["missing"] if v is None else slots.get({key}, c["other"]) for v in values], int)'
        ]
        if columns.one_hot:
            lines += ['        x[s >= 0, c["start"] + s[s >= 0]] = 1']
        else:
            lines += ['        x[:, c["start"]] = s']
        lines += ["        continue"]
    if numbers:
        lines += [f"    {line}" for line in _numbers(numbers, bend=columns.bend)]
    yield "def inputs(rows):"
    yield from (f"    {line}" for line in (*lines, 'return x.astype("float32")'))


def _numbers(of: list[dict[str, Any]], *, bend: bool) -> Iterator[str]:
    """Numbers of one column c from ``values`` into x."""
    number = 'np.array([np.nan if v is None else v for v in values], "float32").astype(float)'
    if any(one["part"] for one in of):
        yield 'if c["part"]:'
        yield '    values = np.array(["NaT" if v is None else v for v in values], "datetime64[ms]")'
        yield '    values = (values - np.datetime64("2000-01-01")) / np.timedelta64(1, "D")'
        yield '    cycle, _, wave = c["part"].partition("_")'
        yield "    if wave:"
        yield f"        values = getattr(np, wave)(2 * np.pi * values / {DAYS_IN}[cycle])".replace("'", '"')
    yield f"v = {number}"
    yield "missing = np.isnan(v)"
    yield 'v = np.where(missing, c["fill"], v)'
    if any(one["quantiles"] for one in of):
        yield 'q, s = np.array(c["quantiles"]), np.linspace(0, 1, len(c["quantiles"]))'
        yield "r = (np.interp(v, q, s) - np.interp(-v, -q[::-1], -s[::-1])) / 2"
        yield f"r = np.where(v - {CLIP} < q[0], 0, np.where(v + {CLIP} > q[-1], 1, r)).clip({CLIP}, 1 - {CLIP})"
        yield "v = np.vectorize(NormalDist().inv_cdf, [float])(r)"
    else:
        yield 'v = (v - c["center"]) / c["scale"]'
        if bend:
            yield f"v = v / np.sqrt(1 + (v / {BEND:g}) ** 2)"
    yield f'x[:, c["start"]] = v.clip(-{MAX_INPUT:g}, {MAX_INPUT:g})'
    if any(one["indicator"] for one in of):
        yield 'if c["indicator"]:'
        yield '    x[:, c["start"] + 1] = missing'


def _network(network: MLP) -> Iterator[str]:
    """From inputs x to outputs z, of several members (members, n, outputs)."""
    of_layers = [tuple(_layer(layer, last=layer is network.layers[-1])) for layer in network.layers]
    for lines, alike in groupby(range(len(of_layers)), key=of_layers.__getitem__):
        places = list(alike)
        if len(places) >= _MANY:
            yield f"for i in range({places[0]}, {places[-1] + 1}):"
            yield from (f"    {line}" for line in lines)
        else:
            yield from (line.replace("p(i, ", f"p({places[0]}, ") for line in lines)


def _layer(layer: Layer, *, last: bool) -> Iterator[str]:
    """One layer i from x to x, the last one to z."""
    if layer.embedding is not None:
        yield from _embedding(layer.embedding)
    x, weight = "x", 'p(i, "weight").T'
    members = layer.members
    if members is not None and members.scales_inputs:
        x = '(x * p(i, "input_scale")[:, None])'
    bias = ' + p(i, "bias")' if layer.bias else ""
    if members is not None and members.apart:
        weight = f'p(i, "weight").reshape({members.k}, -1, {layer.inputs}).swapaxes(1, 2)'
        bias = f' + p(i, "bias").reshape({members.k}, 1, -1)' if layer.bias else ""
    z = f"{x} @ {weight}"
    if members is not None and members.scales_outputs:
        z = f'{z} * p(i, "output_scale")[:, None]'
        bias = ' + p(i, "bias")[:, None]' if layer.bias else ""
    lines = [z + bias]
    for op in layer.ops:
        own = [*op.parameter_shapes(layer.outputs), *op.state_shapes(layer.outputs)]
        formula = op.numpy.format_map(
            {name: getattr(op, name) for name in dir(op) if not name.startswith("_")} | _named(own)
        )
        lines += [formula] if formula != "z" else []
    yield from (f"z = {line}" for line in lines[:-1])
    if last and not layer.residual:
        yield f"z = {lines[-1]}"
    else:
        yield f"x = {f'x + {_wrapped(lines[-1])}' if layer.residual else lines[-1]}"


def _embedding(embedding: Embedding) -> Iterator[str]:
    embeddings = embedding.embeddings
    parts = []
    if embedding.numeric is not None:
        section = embedding.numeric.section
        names = _named([*embedding.parameter_shapes, *embedding.state_shapes])
        numeric = list(embeddings.layout.numeric)
        whole = numeric == list(range(embeddings.layout.width))
        yield f"v = u = x[:, {':' if whole else numeric}, None]"
        yield from (line.format_map(names) for line in embedding.numeric.numpy)
        yield 'v = np.einsum("ncp,csp->ncs", v, p(i, "numeric_weight")) + p(i, "numeric_bias")'
        if getattr(section, "relu", False):
            yield "v = np.maximum(v, 0)"
        if embedding.numeric.keeps_numbers:
            yield "v = np.concatenate([u, v], axis=-1)"
        parts.append("v.reshape(len(x), math.prod(v.shape[1:]))")
    for index, (position, _) in enumerate(embeddings.layout.coded):
        yield f"c{index} = x[:, {position}].astype(int)"
        parts.append(f'p(i, "category_{index}")[c{index}] * (c{index} >= 0)[:, None]')
    if embeddings.passed:
        parts.append(f"x[:, {list(embeddings.passed)}]")
    yield f"x = np.concatenate([{', '.join(parts)}], axis=1)" if len(parts) > 1 else f"x = {parts[0]}"


def _ending(checkpoint: Checkpoint, network: MLP) -> Iterator[str]:
    """From outputs z to what is returned."""
    experiment, k = checkpoint.experiment, network.members
    yield "z = z.astype(float)"
    if k > 1 and network.link == "softmax":
        yield from _LOG_SOFTMAX
        yield f"z = np.logaddexp.reduce(z, 0) - np.log({k})"
    elif k > 1 and network.link == "sigmoid":
        yield "z = np.logaddexp.reduce(-np.logaddexp(0, -z), 0) - np.logaddexp.reduce(-np.logaddexp(0, z), 0)"
    elif k > 1:
        yield "z = z.mean(0)"
    if experiment.loss.reads == "logits":
        if checkpoint.temperature is not None:
            yield 'z = z / w["temperature"]'
        if experiment.facts.is_multi_label:
            yield f"return {_SIGMOID}"
        elif experiment.output_width == 1:
            yield f"z = {_SIGMOID}"
            yield "return np.concatenate([1 - z, z], axis=1)"
        else:
            yield from _LOG_SOFTMAX
            yield "return np.exp(z)"
        return
    target = checkpoint.preprocessing.target
    if target is not None:
        each = experiment.output_width // len(target.mean)
        mean, std = (f'np.repeat(about["preprocessing"]["target"]["{name}"], {each})' for name in ("mean", "std"))
        yield f"z = z * {std} + {mean}"
        if target.log1p:
            yield "z = np.expm1(z)"
    yield "return z"


def _main(checkpoint: Checkpoint) -> Iterator[str]:
    facts, section = checkpoint.experiment.facts, checkpoint.experiment.data
    names = 'header=" ".join(w["class_names"])'
    if not facts.class_names:
        names = f"header={json.dumps(' '.join(checkpoint.experiment.value_names))}"
    if facts.file is None or not isinstance(section, TableData):
        yield f'np.savetxt(sys.stdout, predict(np.load(sys.argv[1])), "%.7g", {names})'
        return
    unnamed = not facts.file.has_names or (isinstance(section, FileTable) and isinstance(section.header, list))
    known = f", {list(facts.file.kinds)}" if unnamed else ""
    yield 'with open(sys.argv[1], newline="", encoding="utf-8-sig") as file:'
    yield r'    separator = max(",;\t|", key=file.readline().count)'
    yield "    file.seek(0)"
    yield f"    rows = list(csv.DictReader(file{known}, delimiter=separator, skipinitialspace=True))"
    yield "table = {name: [row[name] for row in rows] for name in rows[0]}"
    yield f'np.savetxt(sys.stdout, predict(table), "%.7g", {names})'


def _named(names: list[str]) -> dict[str, str]:
    """Parameters as the script has them."""
    return {name: f'p(i, "{name}")' for name in names}


def _wrapped(expression: str) -> str:
    return f"({expression})" if " " in expression else expression
