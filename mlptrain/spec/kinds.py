"""Comparisons and searches are studies: what each kind is called, and the plan that lies in its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlptrain.errors import RunFolderError
from mlptrain.spec.wording import described
from mlptrain.system.paths import AnyPath, user_path


@dataclass(frozen=True)
class Kind:
    """A kind of study: its name, its command, the file of its plan, and what that says besides the study itself."""

    name: str
    command: str
    plan: str
    format: int
    plan_keys: tuple[str, ...]

    def instead(self, folder: Path, expected: str) -> str:
        """What to say of its folder where something else was expected, such as a run."""
        hint = f"`mlptrain report {folder}` shows it, `mlptrain {self.command} {folder}` resumes it"
        return f"is a {self.name}, not a {expected}; {hint}"

    def rerun(self, folder: Path) -> str:
        """How to resume one, or to rewrite what it leaves; recorded trials are not retrained."""
        return f"run `mlptrain {self.command} {folder}`"

    def check_format(self, plan: Mapping[str, Any], path: Path) -> None:
        """Raises RunFolderError where the plan at ``path`` is of another layout of its folder's files."""
        if (written := plan.get("format", 1)) != self.format:
            raise RunFolderError(
                f"{path} belongs to a {self.name} of another version of mlptrain (format {described(written)}, "
                f"expected {self.format}); use that version, or start the {self.name} over in a new folder"
            )


# The number is raised whenever the files of a folder change their layout.
COMPARISON = Kind(
    "comparison",
    "compare",
    "plan.yaml",
    2,
    ("format", "software", "extension_rule", "models_at_once", "tuning_batches"),
)
SEARCH = Kind("search", "search", "search.yaml", 1, ("format", "software"))


def study_in(path: AnyPath) -> Kind | None:
    """What a folder is of, by the plan in it; None of any other folder."""
    return next((kind for kind in (COMPARISON, SEARCH) if (user_path(path) / kind.plan).is_file()), None)


def plan_digest(plan: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of SHA-256 over the content of a plan, as made or as read, without its format."""
    content = {key: value for key, value in plan.items() if key != "format"}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]
