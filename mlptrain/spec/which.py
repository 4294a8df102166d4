"""Which kind of file a document is: an experiment, a comparison or a search; the command that another kind wants."""

from __future__ import annotations

from typing import Literal

from mlptrain.errors import SpecError
from mlptrain.spec.comparison.sections import ComparisonSpec
from mlptrain.spec.hints import UnknownKey
from mlptrain.spec.reader import Document, refusal
from mlptrain.spec.search.sections import SearchSpec

# What each kind of study is known by, with the model of its file.
_KNOWN_BY: dict[str, tuple[type[ComparisonSpec] | type[SearchSpec], tuple[str, ...]]] = {
    "search": (SearchSpec, ("space",)),
    "comparison": (ComparisonSpec, ("arms", "optimizers")),
}
_COMMANDS = {"space": "search", "arms": "compare", "optimizers": "compare-optimizers"}


def is_comparison(document: Document) -> bool:
    """Whether a file has a base, optimizers or arms, and is not a search."""
    return bool({"base", "optimizers", "arms"} & document.value.keys()) and not is_search(document)


def is_search(document: Document) -> bool:
    """Whether a file has a space, or beside its base a key that can only be of a search, or meant as its space."""
    values = document.value
    if "space" in values:
        return True
    if "base" not in values or {"arms", "optimizers"} & values.keys():
        return False
    of_search, of_comparison = (
        bool(values.keys() & (one.model_fields.keys() - other.model_fields.keys()))
        for one, other in ((SearchSpec, ComparisonSpec), (ComparisonSpec, SearchSpec))
    )
    return misspelt(document, "search") is not None or (
        of_search and not of_comparison and misspelt(document, "comparison") is None
    )


def misspelt(document: Document, kind: str) -> tuple[str, str] | None:
    """The key that is meant as the one which a kind of study is known by, and that one, of a file without any."""
    values = document.value
    if {"space", "arms", "optimizers"} & values.keys():
        return None
    model, wanted = _KNOWN_BY[kind]
    for key in [key for key, value in values.items() if key not in model.model_fields and isinstance(value, dict)]:
        message = UnknownKey(key, (), (model,), (model,), model, ()).message()
        for one in wanted:
            if message == meant_as(one):
                return key, one
    return None


def meant_as(key: str) -> str:
    """What is said of a misspelt key."""
    return f"unknown key; did you mean '{key}'?"


def refuse_other(document: Document, expected: Literal["experiment", "comparison", "search"]) -> None:
    """Raises SpecError for a file of another kind, with the command that runs it, at a key that shows which it is."""
    values = document.value
    found = "search" if is_search(document) else "comparison" if is_comparison(document) else "experiment"
    if found in (expected, "experiment"):
        return
    wrong = misspelt(document, found)
    by = wrong[1] if wrong else next((key for key in ("space", "arms", "optimizers") if key in values), None)
    if by is None and expected != "experiment" and found == "comparison":
        return  # a base alone, which is a study of either kind
    command = _COMMANDS[by or _KNOWN_BY[found][1][0]]
    # A mapping from Python has no file to name.
    has_file = document.position(()).line is not None
    how = (
        f"run it with `mlptrain {command} {document.source}`"
        if has_file
        else f"call mlptrain.{command.replace('-', '_')} with it"
    )
    what = f"is a {found}, expected {'an' if expected == 'experiment' else 'a'} {expected}; {how}"
    if wrong is None:
        raise refusal(document.source, what)
    raise SpecError([document.fault((wrong[0],), f"{meant_as(wrong[1])} The file then {what}", key=True)])
