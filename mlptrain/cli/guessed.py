"""Options that a command does not have, since they are keys of its file: the error says how ``--set`` sets them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel


def with_the_key(error: Any, command: str, arguments: Sequence[str]) -> None:
    """Let a usage error of click end with what to write, where that is known; other errors stay as they are."""
    name = getattr(error, "option_name", None)
    if type(error).__name__ == "NoSuchOption" and isinstance(name, str):
        if (key := _key_of(name.lstrip("-"), command)) is None:
            return
        named = [other for other in error.possibilities or () if other.startswith(name)]
        or_option = f", or did you mean {named[0]}?" if named else ""
        error.message = f"{error.message}; write --set {_assignment(key, _value_of(name, arguments))}{or_option}"
        error.possibilities = None
    elif type(error).__name__ == "UsageError" and "unexpected extra argument" in error.message:
        for at, argument in enumerate(arguments[:-2]):
            key, value = arguments[at + 1 : at + 3]
            if argument == "--set" and "=" not in key and not value.startswith("-"):
                error.message = f"{error.message}; write --set {_assignment(key, value)}"
                return


def _assignment(key: str, value: str) -> str:
    return shlex.quote(f"{key}={value}") if value != "…" else f"{key}={value}"


def _value_of(name: str, arguments: Sequence[str]) -> str:
    """What stands behind an option, with or without an equals sign; else an ellipsis."""
    for argument, following in zip(arguments, [*arguments[1:], "--"], strict=True):
        if argument == name:
            return "…" if following.startswith("--") else following
        if argument.startswith(f"{name}="):
            return argument.removeprefix(f"{name}=")
    return "…"


def _key_of(word: str, command: str) -> str | None:
    """The one key that a command's file has for a word, with those of a study's base behind its own."""
    from mlptrain.spec.experiment import ExperimentSpec
    from mlptrain.spec.hints import key_named

    if (study := _study_of(command)) is None:
        return key_named(word, ExperimentSpec)
    own = key_named(word, study)
    if own is None and (key := key_named(word, ExperimentSpec)) is not None:
        own = f"base.{key}"
    return own


def _study_of(command: str) -> type[BaseModel] | None:
    if command == "search":
        from mlptrain.spec.search.sections import SearchSpec

        return SearchSpec
    if command.startswith("compare"):
        from mlptrain.spec.comparison.sections import ComparisonSpec

        return ComparisonSpec
    return None
