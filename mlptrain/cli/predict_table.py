"""Rows of a table in ``mlptrain predict``: on the screen, as JSON, or in a file."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlptrain.cli import screen

if TYPE_CHECKING:
    from mlptrain.experiment.checkpoints import Checkpoint
    from mlptrain.inference.tables import TablePredictions

SUFFIXES = (".csv", ".parquet", ".jsonl")
_MAX_SHOWN = 20  # rows on the screen
_MAX_CLASSES = 10


def predict_files(checkpoint: Checkpoint, files: Sequence[Path], *, out: Path | None, top: int, as_json: bool) -> None:
    """Predict the rows of files, in turn; what is notable goes to standard error."""
    from mlptrain.inference.tables import predict_table

    with screen.Counting() as counting:
        found = predict_table(checkpoint, list(files), on_progress=counting.count)
    for note in found.notes:
        screen.say(f"note: {note}", err=True)
    if out is not None:
        screen.write_file(out, _written(found, out.suffix.lower()), announced=not as_json)
    if as_json:
        report = {"data": found.data, "rows": len(found), "missing": found.missing, "unseen": found.unseen}
        report |= {"notes": list(found.notes), "file": None if out is None else str(out)}
        screen.say_json(report | {"predictions": list(found.rows()) if out is None else []})
    elif out is None:
        _show(found, top)
    if not as_json:
        _summarise(found)


def _written(found: TablePredictions, suffix: str) -> bytes:
    stream = io.BytesIO()
    frame = found.frame()
    if suffix == ".parquet":
        frame.write_parquet(stream)
    elif suffix == ".jsonl":
        frame.write_ndjson(stream)
    else:
        frame.write_csv(stream)
    return stream.getvalue()


def _show(found: TablePredictions, top: int) -> None:
    """The first rows."""
    names = found.experiment.facts.class_names
    rows = []
    for row in found.rows(_MAX_SHOWN):
        if not names:
            rows.append([row["index"], *(f"{value:.6g}" for value in row["outputs"])])
            continue
        chances = row["probabilities"]
        others = runners_up(names, row["class"], chances, row["outputs"], top - 1)
        rows.append([row["index"], row["name"], "" if chances is None else screen.share(row["confidence"]), others])
    columns = ("row", "class", "confidence", "runners-up") if names else ("row", *found.experiment.value_names)
    screen.show_table(columns, rows, right=(0, 2) if names else range(len(columns)))
    if len(found) > len(rows):
        screen.say(f"… and {len(found) - len(rows):,} rows more; --out FILE writes all, --json prints them")


def runners_up(
    names: Sequence[str], label: Any, chances: Sequence[float] | None, outputs: Sequence[float], count: int
) -> str:
    """So many classes besides the predicted one, the most likely first, each with its probability or its output."""
    values, written = (outputs, "{:.4g}".format) if chances is None else (chances, screen.share)
    order = sorted((other for other in range(len(values)) if other != label), key=lambda other: -values[other])
    return ", ".join(f"{names[other]} {written(values[other])}" for other in order[:count])


def _summarise(found: TablePredictions) -> None:
    """How many rows, and of each class."""
    import numpy as np

    total = f"{len(found):,} row{'' if len(found) == 1 else 's'} of {found.data}"
    if found.labels is None:
        means = [
            f"{name} {low:.6g} … {high:.6g}, mean {mean:.6g}"
            for name, low, high, mean in zip(
                found.experiment.value_names,
                found.outputs.min(axis=0),
                found.outputs.max(axis=0),
                found.outputs.astype(np.float64).mean(axis=0),
                strict=True,
            )
        ]
        screen.say(f"{total}: {'; '.join(means[:_MAX_CLASSES])}")
        return
    counts = Counter(dict(enumerate(np.bincount(found.labels, minlength=1).tolist()))).most_common(_MAX_CLASSES)
    names = found.experiment.facts.class_names
    shown = ", ".join(f"{names[label]} {count:,}" for label, count in counts if count)
    screen.say(f"{total}: {shown}" + (", …" if len(names) > _MAX_CLASSES else ""))
