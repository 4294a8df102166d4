"""JSON files as this package writes and reads them: UTF-8, finite numbers of 64 bits, and records with checked types.

A record is a subclass of ``Record``. What a file holds is checked against its types when it is read, since the files
lie in the open: anybody may have edited, cut or replaced them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic_core
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from mlptrain.errors import RunFolderError
from mlptrain.system.deferred import Deferred
from mlptrain.system.files import read_regular

MAX_BYTES = 50_000_000  # of a JSON file; the longest is a comparison's summary, with the curves of its optimizers
LARGEST = 3.5e38  # just above the largest float32, as the losses and weights of a training are

Count = Annotated[int, Field(ge=0, lt=2**63)]
Figure = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]

T = TypeVar("T")


class Record(Deferred):
    """What one JSON object holds: known keys only, strict types, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def plain(self) -> dict[str, Any]:
        """As mappings, lists, numbers and text, in the order of the fields."""
        return self.model_dump(mode="json", by_alias=True)


def to_json(value: Record | Mapping[str, Any]) -> bytes:
    """A readable file: indented, one line feed at the end. Raises ValueError for NaN and infinity."""
    plain = value.plain() if isinstance(value, Record) else value
    return (json.dumps(plain, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def to_line(value: Mapping[str, Any]) -> bytes:
    """One line of JSON. Floats are written with repr, which gives back the same float."""
    return (json.dumps(value, allow_nan=False) + "\n").encode()


def from_json(content: bytes) -> Any:
    """The value in JSON text: UTF-8, without NaN, at most 200 levels deep. Raises ValueError."""
    return pydantic_core.from_json(content, allow_inf_nan=False)


def read_json(path: Path, kind: type[T] | TypeAdapter[T]) -> T:
    """The content of a JSON file as ``kind``, a Record or any type pydantic knows; a union comes as its adapter.

    Raises RunFolderError where the file cannot be read or holds something else, with the first thing that is wrong.
    """
    try:
        adapter = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
        return adapter.validate_python(from_json(read_regular(path, most=MAX_BYTES)))
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read ({error.strerror}); the folder is damaged") from None
    except ValidationError as error:
        raise RunFolderError(f"{path} is damaged: {first_fault(error)}") from None
    except ValueError:
        raise RunFolderError(f"{path} is damaged: its content is not valid JSON") from None


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong with a record: its key, or what the record's own validator says."""
    [detail, *_] = error.errors(include_url=False, include_input=False, include_context=False)
    key = ".".join(map(str, detail["loc"]))
    match detail["type"]:
        case "missing":
            return f"key {key} is missing"
        case "extra_forbidden":
            return f"key {key} is unknown"
        case "value_error":  # of a record's own validator
            return detail["msg"].removeprefix("Value error, ")
        case _:
            return f"{key or 'its content'} is not what was written"
