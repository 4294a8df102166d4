"""The command line called within the test's process, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """Exit code, standard output and standard error of one command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def message(self) -> str:
        """The only line on standard error that is no warning."""
        [told] = [line for line in self.err.splitlines() if not line.startswith("warning: ")]
        return told


Call = Callable[..., Result]
