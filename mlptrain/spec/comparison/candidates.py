"""The ``optimizers`` section of a comparison, read into fixed values and grids.

A list, or ``{log_grid: [low, high, points]}``, in the place of a number makes the field a tuned one. ``betas`` are a
list anyway, so a list of lists tunes them. Every value is checked by the optimizer section of an experiment itself, and
a fault is reported at the value in the file.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from mlptrain.errors import Fault
from mlptrain.spec.base import MAX_NUMBER, Section, either, names_of, sections_in
from mlptrain.spec.comparison.grids import log_grid
from mlptrain.spec.comparison.sections import Candidate, optimizer_adapter
from mlptrain.spec.experiment import ExperimentSpec
from mlptrain.spec.foreign import defaults_of
from mlptrain.spec.hints import meant, value_hint
from mlptrain.spec.optimizer import Foreign, OptimizerSpec
from mlptrain.spec.reader import Document, KeyPath
from mlptrain.spec.wording import described, message_for, must_be

MAX_OPTIMIZERS = 50
MAX_SETTINGS = 1000  # of one optimizer; with ten seeds that is 10,000 trainings
CANDIDATE_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9 ._()=-]{0,62}[A-Za-z0-9_()=-])?$"

SECTIONS = {name: section for section in sections_in(OptimizerSpec) for name in names_of(section)}
SHORTHANDS: dict[str, dict[str, Any]] = {
    "momentum": {"name": "sgd", "momentum": 0.9},
    "nesterov": {"name": "sgd", "momentum": 0.9, "nesterov": True},
}
NAMES = ("sgd", *SHORTHANDS, *(name for name in SECTIONS if name != "sgd"))

Finding = tuple[KeyPath, str]
End = Annotated[float, Field(gt=0, le=MAX_NUMBER)]
Points = Annotated[int, Field(ge=2, le=MAX_SETTINGS)]


class LogGrid(Section):
    """Values at one ratio."""

    log_grid: tuple[End, End, Points] = Field(
        strict=False, description="[low, high, points]: both ends and points between them at one ratio."
    )


class FaultyError(Exception):
    """An optimizer or an arm that cannot be read further, with what is wrong: paths below it and messages."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = list(findings)


@dataclass(frozen=True)
class _Grid:
    """Values of one tuned field as they stand in the file, and the key path below the field that leads to each."""

    values: list[Any]
    places: list[KeyPath]


def read_candidates(document: Document) -> tuple[dict[str, Candidate], list[Fault]]:
    """The optimizers that have no fault, and the faults of the others."""
    section = document.value["optimizers"]
    if not isinstance(section, dict):
        example = "{SGD: {name: sgd, lr: [0.01, 0.1]}, Adam: {name: adam, lr: [0.001, 0.01]}}"
        message = f"must be a mapping such as {example}, got {described(section)}"
        return {}, [document.fault(("optimizers",), message)]
    candidates: dict[str, Candidate] = {}
    faults: list[Fault] = []
    if not 2 <= len(section) <= MAX_OPTIMIZERS:
        limit = "at least 2" if len(section) < 2 else f"at most {MAX_OPTIMIZERS}"
        message = f"must name {limit} optimizers to compare, got {len(section)}"
        faults.append(document.fault(("optimizers",), message))
    for key, entry in section.items():
        path: KeyPath = ("optimizers", key)
        faults += [document.fault(path, message, key=True) for message in unusable_name(key, section)]
        try:
            candidates[key] = read_candidate(entry, key)
        except FaultyError as error:
            for below, message in error.findings:
                unknown = message.startswith("unknown key")
                faults.append(document.fault((*path, *below), message, key=unknown))
    return candidates, faults


def unusable_name(key: str, section: Mapping[str, Any], what: str = "an optimizer") -> Iterator[str]:
    """What is wrong with the name of an entry of ``section``."""
    if not re.fullmatch(CANDIDATE_PATTERN, key, re.ASCII):
        yield (
            f"{what}'s name must be at most 64 letters (a–z, A–Z), digits, spaces or ._()=- and start with a letter or "
            "digit and end with no space or '.', since it names files"
        )
    keys = list(section)
    twin = next((other for other in keys[: keys.index(key)] if other.lower() == key.lower()), None)
    if twin is not None:
        yield f"differs from '{twin}' in case only, which some file systems do not distinguish; rename one"


def read_candidate(entry: object, key: str) -> Candidate:
    """One optimizer of the section. Raises FaultyError with every fault of it."""
    written = _named(entry, key)
    section = SECTIONS.get(written["name"], Foreign)
    usual = defaults_of(written["name"])
    fixed: dict[str, Any] = {}
    grids: dict[str, _Grid] = {}
    findings: list[Finding] = []
    for field, value in written.items():
        known, foreign = section.model_fields.get(field), section is Foreign
        annotation = known.annotation if known is not None else _kind_of(usual.get(field)) if foreign else None
        try:
            if annotation is not None and (grid := _grid_of(field, value, annotation)) is not None:
                grids[field] = grid
            else:
                fixed[field] = value
        except FaultyError as error:
            findings += error.findings
    findings += _faults_of_values(fixed, grids)
    findings += [] if findings else _repeated(grids)
    if findings:
        raise FaultyError(dict.fromkeys(findings))
    return _resolved(fixed, grids, section)


def _named(entry: object, key: str) -> dict[str, Any]:
    """The mapping with torch's name of the optimizer, short forms and shorthands written out."""
    path: KeyPath = () if isinstance(entry, str) else ("name",)
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, dict):
        raise FaultyError(
            [((), f"must be a name such as sgd, or a mapping of keys and values, got {described(entry)}")]
        )
    if "name" not in entry:
        raise FaultyError(
            [(("name",), f"required key is missing; e.g. name: {meant(key, NAMES, 'optimizer') or 'sgd'}")]
        )
    name = entry["name"]
    if not isinstance(name, str) or (name not in NAMES and ":" not in name):
        raise FaultyError([(path, must_be(either(NAMES), name) + value_hint(name, NAMES, "optimizer"))])
    shorthand = SHORTHANDS.get(name, {"name": name})
    return shorthand | {field: value for field, value in entry.items() if field != "name"}


def _kind_of(usual: object) -> object:
    """What a constructor's argument is, as the annotation of a field, by its default."""
    if isinstance(usual, (tuple, list)):
        return list
    return type(usual) if isinstance(usual, (bool, str)) else float


def _grid_of(field: str, value: object, annotation: object) -> _Grid | None:
    """The values to choose from, or None where the field is fixed. Raises FaultyError for a broken grid."""
    if annotation is float and isinstance(value, dict):
        return _Grid(log_grid_values(field, value), [("log_grid", 0), ("log_grid", 1)])
    pairs = isinstance(value, list) and any(isinstance(item, list) for item in value)
    if isinstance(value, list) and annotation is bool:
        message = (
            f"must be true or false, got {described(value)}; only numbers are tuned, so name an optimizer for each"
        )
        raise FaultyError([((field,), message)])
    if not isinstance(value, list) or (annotation is not float and not pairs):
        return None
    if len(value) < 2:
        had = "one" if value else "none"
        if value and (pairs or isinstance(value[0], (int, float))):
            had += f"; write {field}: {described(value[0])} for a fixed value"
        raise FaultyError([((field,), f"must have at least two values to choose from, got {had}")])
    return _Grid(value, [(index,) for index in range(len(value))])


def log_grid_values(field: str, value: dict[str, Any]) -> list[float]:
    """The values of ``{log_grid: [low, high, points]}``. Raises FaultyError."""
    given, path = value.get("log_grid"), (field, "log_grid")
    if "log_grid" in value and (not isinstance(given, list) or len(given) != 3):
        message = f"must be [low, high, points] such as [1e-3, 1, 7], got {described(given)}"
        raise FaultyError([(path, message)])
    try:
        low, high, points = LogGrid.model_validate(value).log_grid
    except ValidationError as error:
        details = [detail for detail in error.errors(include_url=False) if detail["type"] != "missing"]
        message = f"must be a number, a list or {{log_grid: [low, high, points]}}, got {described(value)}"
        findings = [((field, *detail["loc"]), message_for(detail, LogGrid)) for detail in details]
        raise FaultyError(findings or [((field,), message)]) from None
    if low >= high:
        raise FaultyError([(path, f"low must be below high, got low {low:g} and high {high:g}")])
    values = log_grid(low, high, points)
    if any(value <= before for before, value in itertools.pairwise(values)):
        message = f"{points:,} points between {low:.15g} and {high:.15g} are too close; take fewer"
        raise FaultyError([(path, message)])
    return values


def _faults_of_values(fixed: Mapping[str, Any], grids: Mapping[str, _Grid]) -> Iterator[Finding]:
    """Faults of every value, each checked beside the first values of the other grids."""
    first = {field: grid.values[0] for field, grid in grids.items()}
    yield from _checked({**fixed, **first}, {field: grid.places[0] for field, grid in grids.items()})
    for field, grid in grids.items():
        # Of a log_grid the two ends: what lies between them is in any range that holds both.
        values = grid.values if len(grid.places) == len(grid.values) else [grid.values[0], grid.values[-1]]
        for value, place in zip(values, grid.places, strict=True):
            findings = _checked({**fixed, **first, field: value}, {field: place})
            yield from ((path, message) for path, message in findings if path[0] == field)


def _checked(values: dict[str, Any], places: Mapping[str, KeyPath]) -> Iterator[Finding]:
    """What the optimizer section of an experiment says of ``values``; ``places`` lead on from a tuned field."""
    try:
        optimizer_adapter.validate_python(values)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            field, *below = detail["loc"][1:] or [detail["type"].removeprefix("at:")]
            as_section = cast(ErrorDetails, {**detail, "loc": ("optimizer", *detail["loc"])})
            message = message_for(as_section, ExperimentSpec, within=("base",))
            yield (field, *places.get(str(field), ()), *below), message


def _repeated(grids: Mapping[str, _Grid]) -> Iterator[Finding]:
    for field, grid in grids.items():
        for index, value in enumerate(grid.values):
            if (before := grid.values.index(value)) < index:
                yield (field, *grid.places[index]), f"repeats {field}[{before}], {value}; keep one of them"


def _resolved(fixed: Mapping[str, Any], grids: Mapping[str, _Grid], section: Any) -> Candidate:
    """Every default written out. Raises FaultyError where values are fine alone but not together."""
    total = math.prod(len(grid.values) for grid in grids.values())
    if total > MAX_SETTINGS:
        raise FaultyError([((), f"the grids make {total:,} settings; the limit is {MAX_SETTINGS:,}")])
    own = [field for field in grids if field not in section.model_fields]  # of a class by its import path
    chosen = {
        field: [value if isinstance(value, list) or field in own else float(value) for value in grids[field].values]
        for field in (*section.model_fields, *own)
        if field in grids
    }
    ordered = {field: values if isinstance(values[0], list) else sorted(values) for field, values in chosen.items()}
    candidate = Candidate(dict(fixed), ordered)
    try:
        settings = candidate.settings()
    except ValidationError as error:
        [detail] = error.errors(include_url=False)
        raise FaultyError([((detail["type"].removeprefix("at:"),), detail["msg"])]) from None
    values = settings[0].model_dump()
    return Candidate(
        {"name": values["name"]} | {key: value for key, value in values.items() if key not in grids}, ordered
    )
