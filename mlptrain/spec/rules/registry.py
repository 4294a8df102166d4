"""How a rule is written down, and how rules are run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from mlptrain.spec.reader import KeyPath

Finding = tuple[KeyPath, str]
Rule = Callable[..., Iterator[Finding]]
Written = TypeVar("Written", bound=Rule)


class Rules(list[Rule]):
    """Rules in the order in which they are written; one is a function below ``@RULES.rule``.

    It names the sections it reads as its arguments and runs when all of them are valid by themselves, so that one
    mistake does not hide another. It yields the keys at fault, and what is wrong.
    """

    def rule(self, written: Written) -> Written:
        """Add a function."""
        self.append(written)
        return written


def broken_rules(sections: Mapping[str, Any], rules: Iterable[Rule]) -> Iterator[Finding]:
    """Findings of every rule whose sections are all in ``sections``."""
    for rule in rules:
        names = inspect.signature(rule).parameters
        if sections.keys() >= names.keys():
            yield from rule(**{name: sections[name] for name in names})
