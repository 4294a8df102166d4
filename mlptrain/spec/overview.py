"""What a configuration's data are: the columns of a table and what becomes of each, classes, splits, doubts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlptrain.sources.facts import DataFacts, RawData
from mlptrain.sources.tables.source import Described
from mlptrain.spec.load import Loaded
from mlptrain.spec.table import Block, ConstantFill, TableData
from mlptrain.system.text import printable

_MAX_LEVELS = 5  # that are named
_WIDE = 10_000  # numbers of a row, from which on a column costs more than its values
_SCALINGS = {
    "none": "unscaled",
    "standard": "standardized",
    "minmax": "scaled to 0 … 1",
    "robust": "scaled by quartiles",
    "robust_clip": "scaled by quartiles, within ±3",
    "quantile": "to normal quantiles",
}


def columns_report(data: TableData, facts: DataFacts) -> list[dict[str, Any]]:
    """Every column of a table's file in order, with what becomes of it. Raises as ``TableSource.content``.

    Keys: name, kind, why, missing, levels (different values; None where many numbers are no inputs), low and high (as
    text, empty but for numbers and dates), examples (its first levels), inputs (how many of the network's), becomes
    (in words).
    """
    blocks: dict[str, list[Block]] = {}
    for block in data.blocks(facts):
        blocks.setdefault(block.column.origin, []).append(block)
    found = []
    content = data.source().content()
    for one in content.inferred.described:
        own = blocks.get(one.name, [])
        levels = next((block.column.categories for block in own if block.column.kind == "categorical"), ())
        examples = facts.class_names if one.kind == "target" else levels
        found.append(
            {
                "name": one.name,
                "kind": one.kind,
                "why": one.why,
                "missing": one.missing,
                "levels": one.levels if one.levels is not None else _counted(content.raw, facts, one),
                "low": one.low,
                "high": one.high,
                "examples": list(examples[:_MAX_LEVELS]),
                "inputs": sum(block.width for block in own),
                "becomes": _becomes(data, one, own, facts),
            }
        )
    return found


def _counted(raw: RawData, facts: DataFacts, column: Described) -> int | None:
    """The different values of a column of many numbers, as stored; None where it is neither input nor target."""
    import numpy as np

    if column.kind == "target":
        values = raw.y if facts.has_classes else raw.y[:, facts.target_names.index(column.name)]
    elif any(stored.name == column.name for stored in facts.columns):
        values = raw.x[:, [stored.name for stored in facts.columns].index(column.name)]
    else:
        return None
    return len(np.unique(values[~np.isnan(values)]))


def _becomes(data: TableData, column: Described, blocks: Sequence[Block], facts: DataFacts) -> str:
    if column.kind == "target":
        if not facts.is_regression:
            return f"{len(facts.class_names):,} classes"
        return "predicted" + ("" if data.target_scaling == "none" else f", scaled: {data.target_scaling}")
    if not blocks:
        dropped = f"dropped: {column.why.partition(':')[0]}"
        return {"weight": "weights of the rows", "split": "chooses the split", "drop": dropped}.get(column.kind, "")
    first = blocks[0]
    if first.column.kind == "categorical":
        if data.categorical.encoding == "one_hot":
            return f"one-hot: {first.slots - 2:,} + 2 inputs"
        what = "level's number" if data.categorical.encoding == "ordinal" else "learnt vectors"
        return f"{what}: {first.slots - 2:,} + 2 levels"
    parts = [block.column.part.replace("_", " ") for block in blocks if block.column.part]
    words = [*([", ".join(parts)] if parts else []), _SCALINGS[data.numeric.scaling]]
    if column.missing:
        fill = data.numeric.missing
        flag = " + flag" * any(block.indicator for block in blocks)
        words.append(f"missing: {f'{fill.constant:g}' if isinstance(fill, ConstantFill) else fill}{flag}")
    return ", ".join(words)


def legend(columns: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the short words of ``columns_report`` stand for, as far as they are used."""
    becomes = [column["becomes"] for column in columns]
    found = []
    if any(" + 2 " in text for text in becomes):
        found.append("+ 2: one for all other levels and one for missing values")
    if any(text.endswith(" + flag") for text in becomes):
        found.append("flag: an input that is 1 where the value is missing, else 0")
    if any(text == "dropped: text" for text in becomes):
        name = next(column["name"] for column in columns if column["becomes"] == "dropped: text")
        found.append(
            f"dropped: text has too many different values for a category; data.columns: {{{printable(name)}: "
            "categorical} keeps it"
        )
    return found


def data_report(config: str, loaded: Loaded, *, folder: Path) -> dict[str, Any]:
    """What `mlptrain data show` prints. Raises as Source.read.

    Keys: config, name, data (what the data are called), rows by split, inputs, columns as ``columns_report`` (of data
    with named columns that are no table: name and kind), targets, task and why, class_counts of the training and
    test_class_counts of the test file by class, duplicates, leaks, notes, warnings.
    """
    experiment = loaded.experiment
    data, facts = experiment.data, experiment.facts
    source = data.source()
    of_source, why = source.facts(), ""
    columns: list[dict[str, Any]] = [
        {"name": one.name, "kind": one.kind, "levels": len(one.categories)} for one in facts.columns
    ]
    leaks: list[dict[str, Any]] = []
    if isinstance(data, TableData):
        content = data.source().content()
        columns, why = columns_report(data, facts), content.inferred.why
        leaks = [vars(leak) for leak in content.leaks]
    return {
        "config": config,
        "name": experiment.name,
        "data": data.label,
        "rows": {"train": facts.train_rows, "validation": facts.validation_rows, "test": facts.test_rows},
        "inputs": data.layout(facts).width,
        "columns": columns,
        "targets": list(facts.target_names),
        "task": _task(facts),
        "why": why,
        "class_counts": _by_class(of_source.train_counts, of_source.class_names),
        "test_class_counts": _by_class(of_source.test_counts, of_source.class_names),
        "duplicates": duplicates(source.read(seed=experiment.seed, folder=folder)),
        "leaks": leaks,
        "notes": list(loaded.notes),
        "warnings": [str(warning) for warning in (*loaded.warnings, *loaded.dropped)],
    }


def _task(facts: DataFacts) -> str:
    if facts.is_regression:
        return "regression"
    return "classification" if facts.has_classes else "several labels"


def _by_class(counts: Sequence[int], names: Sequence[str]) -> Mapping[str, int] | None:
    return dict(zip(names, counts, strict=True)) if names and len(counts) == len(names) else None


def duplicates(raw: RawData) -> dict[str, int | None]:
    """Rows of the training file that stand there before, by inputs and target; ``contradicting``: rows whose inputs
    stand there with another target, too; ``test`` and ``validation``: rows of these files that stand in the training
    file, None without.

    Rows are compared as a network sees them, without columns that are dropped.
    """
    import numpy as np

    inputs, rows = _hashed(raw.x), _hashed(raw.x, raw.y)
    of_inputs, place = np.unique(inputs, return_inverse=True)
    of_rows, first = np.unique(rows, return_index=True)
    targets = np.bincount(place[first], minlength=len(of_inputs))  # how many different ones
    found: dict[str, int | None] = {
        "rows": len(rows) - len(of_rows),
        "contradicting": int((targets[place] > 1).sum()),
        "test": None,
        "validation": None,
    }
    for what, x, y in (("test", raw.test_x, raw.test_y), ("validation", raw.validation_x, raw.validation_y)):
        if x is not None and y is not None:
            found[what] = int(np.isin(_hashed(x, y), of_rows).sum())
    return found


def _hashed(*arrays: Any) -> Any:
    """A hash of each row of arrays (n, …) side by side, (n,) of 64 bits, in parts that bound the memory."""
    import numpy as np
    import polars as pl

    n = len(arrays[0])
    if n and sum(array[0].size for array in arrays) > _WIDE:
        return _hashed_wide(arrays)
    width = max(1, sum(array[0].size for array in arrays if n))
    step = max(1, 2**24 // width)
    parts = []
    for start in range(0, n, step):
        some = [np.ascontiguousarray(array[start : start + step]).reshape(min(step, n - start), -1) for array in arrays]
        frame = pl.concat(
            [
                pl.from_numpy(part, schema=[f"{number} {column}" for column in range(part.shape[1])])
                for number, part in enumerate(some)
            ],
            how="horizontal",
        )
        parts.append(frame.hash_rows(seed=0).to_numpy())
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)


def _hashed_wide(arrays: Sequence[Any]) -> Any:
    """As ``_hashed``, by the bytes of each row; +0 and −0 are one number, and so are all nan."""
    import numpy as np

    found = []
    for row in range(len(arrays[0])):
        digest = hashlib.sha256()
        for array in arrays:
            values = np.atleast_1d(array[row])
            if values.dtype.kind == "f":
                values = np.where(np.isnan(values), np.nan, values + 0.0)
            digest.update(np.ascontiguousarray(values).tobytes())
        found.append(int.from_bytes(digest.digest()[:8], "little"))
    return np.array(found, dtype=np.uint64)
