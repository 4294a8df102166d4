"""What was probably meant by an unknown key or name: our own word, another library's, or a slip of the pen."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pydantic import BaseModel

from mlptrain.spec.base import either, names_in, names_of, sections_at
from mlptrain.spec.reader import KeyPath, dotted
from mlptrain.spec.schedule import ScheduleSpec
from mlptrain.spec.synonyms import KEYS, KEYS_NOT_OFFERED, KEYS_OF, VALUES, VALUES_NOT_OFFERED

Sections = Sequence[type[BaseModel]]

_ENDING = re.compile(
    r"(?<=.)(loss|lr|schedule(r)?|decay|optimizer|activation|init(ializer)?|scal(er|ing)|data(set|loader)?)$"
)
_ASPECT = re.compile(r"(?<=..)(name|type|value|num|rate)$")  # opt_name, loss_type: what is meant is before it


def compact(word: object) -> str:
    """The form in which words are compared: ``torch.optim.RMSprop()``, ``rms-prop`` and ``RMS_PROP`` are one word."""
    parts = [part for part in re.split(r"\.|__", str(word)[:200].partition("(")[0]) if part]
    if not parts or re.fullmatch(r"_[a-z]+_", parts[-1]):  # Hydra's own: _target_ is not a target
        return parts[-1] if parts else ""
    return re.sub(r"[\W_]", "", parts[-1]).lower()


def close(word: str, known: Iterable[str], *, at_least: float = 0.82) -> str | None:
    """The one of the compact ``known`` words that ``word`` is a slip of the pen for, or None."""
    alike = [other for other in known if abs(len(other) - len(word)) <= 2]
    swapped = next((other for other in alike if sorted(other) == sorted(word)), None)
    return swapped or next(iter(difflib.get_close_matches(word, alike, n=1, cutoff=at_least)), None)


def value_hint(word: object, allowed: Collection[str], place: str, sections: Sections = ()) -> str:
    """The end of a sentence that says what to write instead of ``word``: ``"; did you mean 'adam'?"``, or nothing.

    ``allowed`` are the names there are, ``place`` is the key whose value it is, ``sections`` are those with the names.
    """
    answer = _answer(word, allowed, place, sections) or ";"
    name, _, remark = answer.partition("?")
    return answer.rstrip(";") if answer.startswith(";") else f"; did you mean '{name}'?{remark}"


def meant(word: object, allowed: Collection[str], place: str, sections: Sections = ()) -> str | None:
    """The allowed name that was probably meant, or None."""
    name = (_answer(word, allowed, place, sections) or "").partition("?")[0]
    return name if name in allowed else None


def _answer(word: object, allowed: Collection[str], place: str, sections: Sections) -> str | None:
    """What stands in the tables for ``word``: a name with a remark, or "; not offered" with a remark."""
    answers = {compact(section.__name__): names_of(section)[0] for section in sections if len(names_of(section)) == 1}
    for key in dict.fromkeys((place.removeprefix("output_"), place)):
        answers |= _rows(VALUES.get(key, {}))
        not_offered = _rows(VALUES_NOT_OFFERED.get(key, {}))
        answers |= {other: f"; not offered{remark and ': '}{remark}" for other, remark in not_offered.items()}
    answers = {other: answer for other, answer in answers.items() if _is_possible(answer, allowed)}
    answers |= {compact(name): name for name in allowed}
    written = compact(word)
    for known in (written, _ENDING.sub("", written)):
        if known in answers:
            return answers[known]
    slip = close(written, map(compact, allowed), at_least=0.75) or close(written, answers, at_least=0.88)
    return answers[slip] if slip and len(written) > 2 else None


def _is_possible(answer: str, allowed: Collection[str]) -> bool:
    """Whether the suggested name, or that of the suggested mapping, is among those allowed here."""
    return answer.startswith(";") or re.sub(r"^{name: (\w+),.*}$", r"\1", answer.partition("?")[0]) in allowed


def _rows(table: Mapping[str, str]) -> dict[str, str]:
    return {compact(word): answer for answer, words in table.items() for word in words.split()}


@dataclass(frozen=True)
class UnknownKey:
    """A key that its section does not know."""

    key: str
    path: KeyPath  # of its section
    sections: Sections  # that this may be, usually one
    siblings: Sections  # that it might be under another name
    model: type[BaseModel]  # of the whole document
    within: KeyPath  # leads to what ``model`` describes

    @property
    def allowed(self) -> list[str]:
        """The keys that the section knows."""
        return list(dict.fromkeys(name for section in self.sections for name in section.model_fields))

    def message(self) -> str:
        """What to say: the key or section that was meant, that it is not offered, or what is known here."""
        word = compact(self.key)
        first, dot, rest = self.key.partition(".")
        if dot and first in self.allowed:
            return f"unknown key; a dot does not nest here, write {first}: {{{rest}: …}}"
        for kind in dict.fromkeys(kind for section in self.sections for kind in section.__mro__):
            if answer := _rows(KEYS_OF.get(kind.__name__, {})).get(word):
                return f"unknown key; did you mean '{answer}'?" if answer in self.allowed else f"unknown key; {answer}"
        here = {compact(name): name for name in self.allowed}
        if (plural := here.get(f"{word}s")) is not None:
            return f"unknown key; did you mean '{plural}'?"
        for exact in (word, _ASPECT.sub("", word)):
            if answer := self._known(exact, here):
                return answer
        slip = close(word, here)
        if slip is None and len(word) > 4:
            slip = close(word, _words(self.model).get(word[0], []), at_least=0.88)
        return (slip and self._known(slip, here)) or f"unknown key; known here: {', '.join(self.allowed)}"

    def _known(self, word: str, here: Mapping[str, str]) -> str | None:
        """What to say of a compact word that is a key somewhere, or stands in the tables."""
        paths = _paths().get(word, [])
        near = (self.path, ("",)) if self.path else (self.path,)  # the experiment's own name is not that of a section
        own = [path[-1] for path in paths if path[-1] in self.allowed and path[:-1] in near]
        if own or word in here:
            names = [here[word]] if word in here else dict.fromkeys(own)
            meant_ones = either([f"'{name}'" for name in names])
            return f"unknown key; did you mean {meant_ones}?"
        key = _keys(self.model).get(word)
        homes = self._homes(key) if key else []
        beside = [path for path in paths if path[:-1] == self.path]  # of another of the sections that this may be
        targets = list(dict.fromkeys(target for path in beside or paths for target in self._target(path)))
        if beside and targets and not any(key in section.model_fields for section in self.siblings):
            homes = []
        reason = _reasons().get(word)
        if homes:
            return f"unknown key here; it belongs to {either(homes)}" + (
                f"; or did you mean {either(targets)}?" if targets else f"; or else {reason}" if reason else ""
            )
        return f"unknown key here; did you mean {either(targets)}?" if targets else reason and f"unknown key; {reason}"

    def _homes(self, key: str) -> list[str]:
        is_one = self.path and len(self.sections) == 1 and key != "name"
        if is_one and (below := list(_below(self.sections, self.allowed, key, (*self.within, *self.path)))):
            return below
        owners = [section for section in self.siblings if key in section.model_fields]
        names = [name for owner in owners for name in names_of(owner)]
        return [f"{self.path[-1]} {name}" for name in names] or homes_of(self.model, key, self.within)

    def _target(self, path: KeyPath) -> Iterator[str]:
        """A key of the experiment as it is written in this document."""
        owners = [section for section in self.siblings if path[-1] in section.model_fields]
        base = _base_of(self.model)
        if path[:-1] == self.path and owners:
            yield f"{path[-1]} of {self.path[-1]} {either([name for owner in owners for name in names_of(owner)])}"
        elif path[0] in self.model.model_fields:
            yield dotted((*self.within, *path)) + (" at the top level" if not self.within and len(path) == 1 else "")
        elif base is not None and path[0] not in ("", "optimizer"):
            yield dotted((*self.within, "base", *path))


@cache
def _paths() -> dict[str, list[KeyPath]]:
    """Compact words that stand for keys, with the paths of those keys."""
    paths: dict[str, list[KeyPath]] = {}
    for path, words in KEYS.items():
        for word in words.split():
            paths.setdefault(compact(word), []).append(tuple(path.split(".")))
    return paths


def stands_for_name(word: str) -> bool:
    """Whether ``word`` is another library's for the key ``name`` of a section."""
    return ("", "name") in _paths().get(compact(word), [])


@cache
def _reasons() -> dict[str, str]:
    """Compact words of what is not offered, with the sentence that says so."""
    schedules = either(names_in(ScheduleSpec))
    return {word: reason.format(schedules=schedules) for word, reason in _rows(KEYS_NOT_OFFERED).items()}


@cache
def _keys(model: type[BaseModel]) -> dict[str, str]:
    """Every key of a document, by its compact form."""
    below = {
        key for name in model.model_fields for section in sections_at([model], name) for key in _keys(section).values()
    }
    return {compact(key): key for key in sorted({*model.model_fields, *below})}


@cache
def _words(model: type[BaseModel]) -> dict[str, list[str]]:
    """Every compact word that ``UnknownKey`` has an answer for, by its first letter: slips of the pen keep that."""
    words: dict[str, list[str]] = {}
    for word in {**_keys(model), **_paths(), **_reasons()}:
        words.setdefault(word[0], []).append(word)
    return words


def homes_of(model: type[BaseModel], key: str, within: KeyPath = ()) -> list[str]:
    """The dotted paths at which ``key`` is known, with the names of the sections where less than half of them know it.

    ``within`` leads to the mapping that ``model`` describes. In a comparison these are the paths in its base where it
    has none of its own, but for those of the optimizer, which the comparison names.
    """
    homes = [dotted(within) or "the top level"] if key in model.model_fields else []
    base = _base_of(model)
    homes += _below([model], [name for name in model.model_fields if name != "base"], key, within)
    if homes or base is None:
        return homes
    path: KeyPath = (*within, "base")
    homes = [dotted(path)] if key in base.model_fields else []
    return homes + list(_below([base], [name for name in base.model_fields if name != "optimizer"], key, path))


def key_named(word: str, model: type[BaseModel]) -> str | None:
    """The dotted path of the one key that ``word`` names in a document, in its sections' own too; None of several.

    The word is a key as it stands in the file, or another library's for it.
    """
    written = compact(word)
    top = [name for name in model.model_fields if name not in ("name", "base")]
    sections = {name: sections_at([model], name) for name in top}
    keys = {name: name for name in top}
    keys |= {f"{name}.{key}": key for name in top for one in sections[name] for key in one.model_fields}
    found = [path for path, key in keys.items() if compact(key) == written and not path.endswith(".name")]
    of_top = [path for path in found if "." not in path]
    found = of_top or found
    if not found:
        found = [path for path in map(dotted, _paths().get(written, [])) if path in keys]
        answer = _rows(KEYS_OF.get(model.__name__, {})).get(written)
        found = [answer] if answer in top else found
    return found[0] if len(found) == 1 else None


def _base_of(model: type[BaseModel]) -> type[BaseModel] | None:
    return next(iter(sections_at([model], "base")), None)


def _below(sections: Sections, names: Iterable[str], key: str, path: KeyPath) -> Iterator[str]:
    """``homes_of`` in the sections that the fields ``names`` of ``sections`` may be."""
    for name in names:
        inner = sections_at(sections, name)
        owners = [section for section in inner if key in section.model_fields]
        if owners and len(owners) > len(inner) / 2:
            yield dotted((*path, name, key))
        else:
            yield from (f"{dotted((*path, name))} {tag}" for owner in owners for tag in names_of(owner))
        fields = dict.fromkeys(field for section in inner for field in section.model_fields)
        yield from _below(inner, fields, key, (*path, name))
