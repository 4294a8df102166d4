"""The ``space`` section of a search: ranges and lists by key path, each checked in a copy of the base.

What a range may hold is checked at its two ends and a list at each of its values, in combination where these are few;
of many combinations as many are tried as it takes until each value is possible in one.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, product
from random import Random
from typing import Any, get_args

from mlptrain.errors import Fault, SpecError
from mlptrain.spec.comparison.arms import Base, Changing, SettingsReader, Values, example_of, is_section
from mlptrain.spec.comparison.candidates import FaultyError
from mlptrain.spec.comparison.changes import form_at, is_unknown
from mlptrain.spec.dump import plain
from mlptrain.spec.hints import value_hint
from mlptrain.spec.overrides import key_path
from mlptrain.spec.reader import Document, KeyPath, dotted
from mlptrain.spec.rules.registry import Finding
from mlptrain.spec.search.sections import Choice, Choices, Range, RangeName
from mlptrain.spec.search.setting import decides, put_all
from mlptrain.spec.wording import described

Value = tuple[KeyPath, int]  # a key, and which of its values

_RANGES: tuple[RangeName, ...] = get_args(RangeName)
_SEARCH = Changing(
    "a search", "trials", "is the search's: every trial trains with its seed; set seed beside space, and scoring.seeds"
)
# What other libraries call a list of values, and the two ends of a range.
_LISTS = ("values", "choice", "choices", "categorical", "options", "enum", "list", "grid")
_ENDS = (("low", "high"), ("min", "max"), ("lower", "upper"), ("min_value", "max_value"))
_MAX_COMBINATIONS = 256  # that are all checked
_MAX_TRIES, _TRIES_EACH = 1024, 64  # of more that may be impossible, in all and of one value: 10 ms each
_EXAMPLE = "{optimizer.lr: {log_uniform: [0.0001, 0.1]}, model.hidden: [[64], [256, 256]]}"


def read_space(document: Document, base: Base | None) -> tuple[dict[str, Choice], list[Fault], list[Fault]]:
    """The space without what is faulty, the faults, without a ``base`` only those that need none, and warnings.

    A value that is faulty whatever the others are is a fault, one that is so beside some of them a warning.
    """
    section = document.value["space"]
    if not isinstance(section, dict) or not section:
        got = "an empty one" if section in ({}, None) else described(section)
        return {}, [document.fault(("space",), f"must be a mapping such as {_EXAMPLE}, got {got}", key=True)], []
    space: dict[str, Choice] = {}
    faults: list[Fault] = []
    listed = _with_lists(document)  # ranges as lists of their ends, which arms can have too
    values: dict[KeyPath, Values] = {}
    for key, value in section.items():
        try:
            choice = _range(key, value)
            reader = SettingsReader(listed, ("space",), limit=None, who=_SEARCH)
            listed.value["space"][key] = [choice.low, choice.high] if choice is not None else value
            if choice is not None:
                at: KeyPath = ("space", key, choice.name)
                for index in (0, 1):
                    listed.positions["space", key, index] = document.position((*at, index))
            found = reader.values_of({key: listed.value["space"][key]})
            if len(found) > 1 or not (is_unknown(key_path(key) or ()) or all(of.is_grid for of in found.values())):
                raise FaultyError([_not_several(key, value)])
        except FaultyError as error:
            faults += [document.fault(("space", *at), message) for at, message in error.findings]
            continue
        except SpecError as error:
            faults += error.faults
            continue
        values |= found
        [only] = found.values()
        space[key] = choice or Choices(only.values)
    doubts: list[Fault] = []
    if base is not None and values:
        reader = SettingsReader(listed, ("space",), limit=None, who=_SEARCH)
        ordered = dict(sorted(values.items(), key=lambda item: len(item[0])))
        wrong, doubts = _Checking(reader, ordered, base).run()
        faults += [_as_of_a_range(fault, document) for fault in wrong]
    return space, list(dict.fromkeys(faults)), _beside_some(doubts)


def _with_lists(document: Document) -> Document:
    """A copy in which values can be replaced."""
    value = {"space": copy.deepcopy(document.value["space"])}
    return Document(document.source, value, dict(document.positions), dict(document.key_positions))


def _range(key: str, value: Any) -> Range | None:
    """A range; None for what is a list of values. Raises FaultyError."""
    if value and not isinstance(value, dict) and is_unknown(key_path(key) or ()):
        return None  # which is its fault, however many values it has
    if isinstance(value, list):
        if len(value) < 2:
            raise FaultyError([((key,), _one_point(key, value))])
        return None
    if not isinstance(value, dict):
        raise FaultyError([((key,), _one_point(key, value))])
    if set(value) == {"log_grid"}:
        return None
    if len(value) > 1 and set(value) <= {*_RANGES, "log_grid"}:
        one = example_of(key, {name: value[name] for name in list(value)[:1]})
        raise FaultyError([((key,), f"has {len(value)} ranges, {' and '.join(value)}; keep one of them, {one}")])
    if len(value) != 1 or next(iter(value)) not in _RANGES:
        expected = "a list of values, or one of {uniform: [low, high]}, log_uniform, integers, log_integers"
        raise FaultyError([((key,), f"must be {expected}, got {described(value)}{_instead(key, value)}")])
    [(name, ends)] = value.items()
    if not (isinstance(ends, list) and len(ends) == 2 and all(map(_is_number, ends))):
        raise FaultyError([((key, name), f"must be two numbers, low and high, got {described(ends)}")])
    low, high = ends
    if name.endswith("integers") and not all(isinstance(end, int) for end in ends):
        raise FaultyError([((key, name), f"must be two whole numbers, got {low} and {high}")])
    if low >= high:
        message = f"low must be below high, got {low:g} and {high:g}"
        if low == high:
            message += "; a range of one point is a fixed value, which belongs into the base"
        raise FaultyError([((key, name), message)])
    if name.startswith("log") and low <= 0:
        raise FaultyError([((key, name, 0), f"must be above 0, which has a logarithm, got {low:g}")])
    path = key_path(key)
    if path is not None and form_at(path) == "list":
        message = f"takes a list, not a number; write lists to choose from, or a range of {key}[0]"
        raise FaultyError([((key,), message)])
    if not name.endswith("integers"):
        low, high = float(low), float(high)
    return Range(name, low, high)


def _instead(key: str, value: dict[str, Any]) -> str:
    """What to write instead of a mapping that is no range, as the end of a sentence."""
    path = key_path(key)
    if path is not None and is_section(path) and value and "name" not in value:
        inner, of = next(iter(value.items()))
        return f"; keys of the space are written with dots, {example_of(f'{key}.{inner}', of)}"
    if path is not None and is_section(path) and value:
        return f"; write a list of such mappings to choose from, or with dots a key of it, such as {key}.name: [a, b]"
    values = next((value[word] for word in _LISTS if isinstance(value.get(word), list)), None)
    if values is not None:
        return f"; write the list alone, {example_of(key, values)}"
    ends = next(([value[low], value[high]] for low, high in _ENDS if low in value and high in value), None)
    if ends is not None:
        is_log = any("log" in str(part) for one in value.items() for part in one) and value.get("log") is not False
        return f"; write {example_of(key, {'log_uniform' if is_log else 'uniform': ends})}"
    word = next((word for word in value if word not in _RANGES), next(iter(value), ""))
    return value_hint(str(word), _RANGES, "space") if value else ""


def _as_of_a_range(fault: Fault, document: Document) -> Fault:
    """Both ends' fault as one with its remedy, where a key takes whole numbers alone or none; others as they are."""
    key = re.sub(r"\[[01]\]$", "", fault.path.removeprefix("space."))
    value = document.value["space"].get(key)
    name = next((name for name in _RANGES if isinstance(value, dict) and name in value), None)
    if name is None:
        return fault
    if (words := re.match(r"must be (?!.*number)([^0-9]+), got [-0-9.e+]+(;|$)", fault.message)) is not None:
        message = f"draws numbers, but the key takes {words[1]}; write a list of values to choose from"
        return document.fault(("space", key, name), message)
    if name.endswith("integers") or "must be a whole number" not in fault.message:
        return fault
    whole = name.replace("uniform", "integers")
    low, high = value[name]
    ends = [math.ceil(low), math.floor(high)]
    message = f"draws fractions, but the key takes whole numbers; write {example_of(key, {whole: ends})}"
    return document.fault(("space", key, name), message)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _not_several(key: str, value: Any) -> Finding:
    """What is wrong with a list that a key takes as one value, such as one of lists and numbers."""
    if any(isinstance(item, list) for item in value):
        place, item = next((place, item) for place, item in enumerate(value) if not isinstance(item, list))
        return (key, place), f"must be a list as the values beside it are, got {described(item)}; write {[item]}"
    return (key,), _one_point(key, value)


def _one_point(key: str, value: Any) -> str:
    if value == [] or value is None:
        return "has no values to choose from; give a list such as [64, 128], or a range"
    of_one = isinstance(value, list) and len(value) == 1
    message = f"is one point, {described(value[0] if of_one else value)}: there is nothing to search; "
    if isinstance(value, list) and not of_one:  # which the key takes as one value
        return message + f"write a list of lists, {example_of(key, [[item] for item in value])}"
    return message + f"set base.{key}, or give at least two values"


@dataclass
class _Checking:
    """The space's values in copies of the base: which were tried, which are possible, and what is wrong with others."""

    reader: SettingsReader
    values: dict[KeyPath, Values]
    base: Base
    tried: dict[frozenset[Value], list[Fault]] = field(default_factory=dict)
    possible: set[Value] = field(default_factory=set)
    hopeless: set[Value] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.whole = plain(self.base.spec)

    def run(self) -> tuple[list[Fault], list[Fault]]:
        """What is wrong with values whatever the others are, and what beside some of the others alone."""
        unknown = [
            path for path in self.values if not any(path in self._with(places)[1] for places in self._deciding(path))
        ]
        if unknown:
            return [fault for path in unknown for fault in self._unknown(path)], []
        sizes = {path: len(of.values) for path, of in self.values.items()}
        if math.prod(sizes.values()) <= _MAX_COMBINATIONS:
            for places in product(*map(range, sizes.values())):
                self._try(dict(zip(sizes, places, strict=True)))
            self.hopeless = {value for counting in self.tried for value in counting} - self.possible
        else:
            self._try_each(sizes)
        always, partly = [], []
        for counting, found in self.tried.items():
            if not (those := counting & self.hopeless):
                partly += found
                continue
            keys = tuple(f"space.{dotted(path)}" for path, _ in those)
            always += [fault for fault in found if fault.path.startswith(keys)] or found
        return [fault for fault in dict.fromkeys(always) if fault not in partly], list(dict.fromkeys(partly))

    def _try_each(self, sizes: Mapping[KeyPath, int]) -> None:
        """Each value beside others, until it is possible beside some: first ones, one other changed, and any."""
        random, left = Random(0), _MAX_TRIES
        for value in [(path, place) for path, size in sizes.items() for place in range(size)]:
            for places in islice(_beside(*value, sizes, random), _TRIES_EACH):
                if value in self.possible or left == 0:
                    break
                left -= self._try(places)
            if value not in self.possible and left > 0:
                self.hopeless.add(value)

    def _try(self, places: Mapping[KeyPath, int]) -> bool:
        """Check one combination, which is one of the counting keys; whether that found anything wrong."""
        document, counting = self._with(places)
        chosen = {path: place for path, place in places.items() if path in counting}
        if (key := frozenset(chosen.items())) in self.tried:
            return False
        self.tried[key] = self.reader.check_setting(chosen, self.values, replace(self.base, document=document))[1]
        if not self.tried[key]:
            self.possible |= key
        return bool(self.tried[key])

    def _with(self, places: Mapping[KeyPath, int]) -> tuple[Document, set[KeyPath]]:
        written = self.base.document
        setting = {dotted(path): self.values[path].values[place] for path, place in places.items()}
        value, counting = put_all(self.whole, setting)
        return Document(written.source, value, written.positions, written.key_positions), counting

    def _deciding(self, path: KeyPath) -> Iterator[dict[KeyPath, int]]:
        """The first value of a key beside those of the keys that decide about it."""
        deciding = {other: range(len(of.values)) for other, of in self.values.items() if decides(other, path)}
        for places in islice(product(*deciding.values()), _MAX_TRIES):
            yield {**dict(zip(deciding, places, strict=True)), path: 0}

    def _unknown(self, path: KeyPath) -> list[Fault]:
        """What is wrong with a key that belongs to none of them, with a hint if one of them has a similar one."""
        found: list[Fault] = []
        for places in islice(self._deciding(path), _TRIES_EACH):
            base = replace(self.base, document=self._with(places)[0])
            found = self.reader.check_setting(places, self.values, base)[1]
            if any("did you mean" in fault.message for fault in found):
                break
        return found


def _beside(path: KeyPath, place: int, sizes: Mapping[KeyPath, int], random: Random) -> Iterator[dict[KeyPath, int]]:
    """Combinations in which one key has one value, without end."""
    start = dict.fromkeys(sizes, 0) | {path: place}
    while True:
        yield start
        for other, size in sizes.items():
            if other != path:
                yield from (start | {other: at} for at in random.sample(range(size), min(size, 16)))
        start = {other: random.randrange(size) for other, size in sizes.items()} | {path: place}


def _beside_some(faults: Sequence[Fault]) -> list[Fault]:
    """Warnings instead, one for each place."""
    first = {(fault.line, fault.column, fault.path): fault for fault in reversed(faults)}
    rest = "; so it is beside some of the other values: those settings are not trained"
    return [replace(fault, message=fault.message + rest) for fault in reversed(first.values())]
