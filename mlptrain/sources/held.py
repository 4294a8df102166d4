"""Data that a caller in Python gives instead of files: held under a name that stands where a path would.

The name begins with ``python:`` and ends with a digest of the content, so that a run resumes only with the very same
data, and the command line can say why it has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlptrain.errors import UserError
from mlptrain.sources.facts import DataKeyError
from mlptrain.sources.tables.given import digest_of, frame_of, holds_rows

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

_PREFIX = "python:"
ARRAYS = ("x", "y", "x_test", "y_test", "x_val", "y_val")
TARGET = "target"  # the name of one that is given beside a frame without a name of its own
_EXPECTED = (
    "expected arrays (x, y) or (x, y, x_test, y_test), a data frame or a mapping of columns, two of them for training "
    "and test, or inputs and targets (frame, column)"
)
_HELD: dict[str, Any] = {}  # a frame, arrays by their names, or the settled content of a table


def is_held(path: object) -> bool:
    """Whether a path is such a name."""
    return isinstance(path, str) and path.startswith(_PREFIX)


def held(name: str, *, key: str = "path") -> Any:
    """What is held under a name: a frame, arrays by their names, or a table. Raises DataKeyError where it is not."""
    if name in _HELD:
        return _HELD[name]
    functions = "train, resume, evaluate, export and the functions of mlptrain.plot"
    given = "others were given now" if _HELD else f"in Python give them again, as data=…, which {functions} take"
    raise DataKeyError(key, f"{name} stands for data that were given in Python, not for a file; {given}")


@contextmanager
def holding(data: Any) -> Iterator[dict[str, Any]]:
    """Hold ``data`` for the time being; the keys of the data section that stand for them, none of None.

    Arrays or tensors (x, y) or (x, y, x_test, y_test), or a mapping with these names, and x_val, y_val; a frame
    of polars or pandas, a mapping of columns or a list of rows, or two of them, the second of test rows; inputs and
    targets apart, as (frame, column), and of test rows behind these; or a ``TableContent`` that is settled already.
    Raises UserError for anything else.
    """
    named = {} if data is None else _named(data)
    with holding_contents({value: content for value, content in named.values() if is_held(value)}):
        yield {key: value for key, (value, _) in named.items()}


def contents_held() -> dict[str, Any]:
    """All that is held now, by its names."""
    return dict(_HELD)


@contextmanager
def holding_contents(contents: Mapping[str, Any]) -> Iterator[None]:
    """Hold what ``contents_held`` gave, in another process."""
    new = {name: content for name, content in contents.items() if name not in _HELD}
    _HELD.update(new)
    try:
        yield
    finally:
        for name in new:
            del _HELD[name]


def _named(data: Any) -> dict[str, tuple[str, Any]]:
    """Each key of the data section with its value, and what is held under that."""
    from mlptrain.sources.tables.source import TableContent

    if isinstance(data, TableContent):
        target: Any = [*data.facts.target_names]
        section: dict[str, Any] = {"name": "table", "target": target[0] if len(target) == 1 else target}
        return {key: (value, None) for key, value in section.items()} | {"path": (_name(data.facts.digest), data)}
    if isinstance(data, Mapping) and {"x", "y"} <= data.keys() <= {*ARRAYS} and _dimensions(data["x"]) > 1:
        return _of_arrays({key: data[key] for key in ARRAYS if key in data}, data)
    if holds_rows(data):
        return _of_frames(data)
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 4) or any(part is None for part in data):
        raise UserError(f"data: {_described(data)}; {_EXPECTED}")
    if holds_rows(data[0]):
        if len(data) == 2 and holds_rows(data[1]) and _is_wide(data[1]):
            return _of_frames(*data)
        target = _name_of(data[1])
        joined = [_joined(data[place], data[place + 1], target) for place in range(0, len(data), 2)]
        return _of_frames(*joined) | {"target": (target, None)}
    return _of_arrays(dict(zip(ARRAYS, data, strict=False)), data)


def _of_arrays(given: Mapping[str, Any], data: Any) -> dict[str, tuple[str, Any]]:
    """Inputs and targets, of every split both. Raises UserError for one without the other."""
    is_whole = all((f"x{end}" in given) == (f"y{end}" in given) for end in ("_test", "_val"))
    if not is_whole or any(values is None for values in given.values()):
        raise UserError(f"data: {_described(data)}; {_EXPECTED}")
    arrays = {name: _array(name, values) for name, values in given.items()}
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data if array.flags.c_contiguous else array.tobytes())
    return {"name": ("arrays", None), "path": (_name(digest.hexdigest()), arrays)}


def _name(digest: str) -> str:
    return f"{_PREFIX}{digest[:32]}"


def _of_frames(*frames: Any) -> dict[str, tuple[str, Any]]:
    named: dict[str, tuple[str, Any]] = {"name": ("table", None)}
    for key, rows in zip(("path", "test_path"), frames, strict=False):
        frame = frame_of(rows)[0]
        named[key] = (_name(digest_of(frame)), frame)
    return named


def _joined(inputs: Any, column: Any, target: str) -> pl.DataFrame:
    """Inputs with their target beside them, as the last column."""
    frame = frame_of(inputs)[0]
    if target in frame.columns:
        raise UserError(f"data: the inputs have a column '{target}' too; give the targets another name")
    column = column if not hasattr(column, "columns") else frame_of(column)[0].to_series()
    found, _ = frame_of({target: column})
    if len(found) != len(frame):
        raise UserError(f"data: {len(frame):,} rows of inputs, but {len(found):,} targets")
    return frame.with_columns(found.to_series())


def _name_of(column: Any) -> str:
    names: Any = getattr(column, "columns", None)
    name = getattr(column, "name", None) if names is None else names[0]
    return str(name) if isinstance(name, str) and name else TARGET


def _is_wide(rows: Any) -> bool:
    """Whether this is a table of more than one column, rather than a column."""
    if isinstance(rows, (Mapping, list)):
        return len(rows if isinstance(rows, Mapping) else rows[0]) > 1
    return hasattr(rows, "columns") and len(rows.columns) > 1


def _dimensions(values: Any) -> int:
    shape = getattr(values, "shape", None)
    return len(shape) if shape is not None else 1 + (isinstance(values, Sequence) and hasattr(values[0], "__len__"))


def _array(name: str, values: Any) -> NDArray[Any]:
    """An array of numbers or texts. Raises UserError for what is none."""
    import numpy as np

    if hasattr(values, "detach"):  # of torch
        values = values.detach().cpu().numpy()
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise UserError(f"data: {name} is not an array: {str(error).partition(chr(10))[0]}") from None
    if array.dtype.kind == "O":
        if not all(isinstance(value, str) for value in array.reshape(-1).tolist()):
            raise UserError(f"data: {name} holds Python objects: expected numbers or texts; a data frame may have both")
        array = array.astype(str)
    return array


def _described(data: Any) -> str:
    shape = getattr(data, "shape", None)
    if shape is not None:
        return f"an array of shape {tuple(shape)} alone" if not hasattr(data, "columns") else "a frame"
    return f"{len(data)} parts" if isinstance(data, (tuple, list)) else f"a {type(data).__name__}"
