"""Comparisons with damage done to their files at random, and what the program says of it."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlptrain.comparison import compare_optimizers
from mlptrain.errors import MlptrainError
from mlptrain.spec.comparison.sections import ComparisonSpec
from tests.comparison.small import Result
from tests.faults.tools.hostile import ends_within

VALUES: tuple[Any, ...] = (
    *(None, True, "", "x", "0.5", "\ud800", "\0", [], {}, [[]], ["a"], {"a": 1}, [1e308], [None]),
    *(-1, 0, 1, 2, 7, 10**6, 2**63, 10**30, 0.5, 1.5, -0.5, 5e-324, 1e39, 1e40, 1e308, -1e308, 0.1 + 1e-9),
    *(float("nan"), float("inf"), "a" * 100_000, "completed", "did not learn", "failed", "diverged", "validation_loss"),
)
NO_LINES = (b"\n", b"null\n", b"{}\n", b"[1]\n", b'"x"\n', b"[" * 100_000 + b"\n", b"\xff\xfe\n", b'{"digest": 1}\n')


def message_of(action: Callable[[], object]) -> str:
    """Of the one error that an action may end with; nothing where it ends well."""
    with ends_within(60):
        try:
            action()
        except MlptrainError as error:
            code, message = error.exit_code, str(error)
        else:
            return ""
    assert code in (1, 2)
    assert 0 < len(message) < 2000
    return message


class Compared:
    """A finished comparison, and a copy of it that is damaged and put back."""

    def __init__(self, whole: Path, copy: Path, spec: ComparisonSpec) -> None:
        self.whole, self.path, self.spec = Result(whole), copy, spec
        self.trials, self.summary = copy / "trials.jsonl", copy / "summary.json"
        self.restore()

    def restore(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(self.whole.path, self.path)

    def goes_on(self, content: bytes | None = None) -> str:
        """What the same command says of other lines: nothing and the same verdict, or why it refuses."""
        if content is not None:
            self.trials.write_bytes(content)
        told = message_of(lambda: compare_optimizers(self.spec, run_dir=self.path))
        assert not told or content is None or self.trials.read_bytes() == content  # a refusal changes nothing
        return told

    @property
    def bytes(self) -> tuple[bytes, bytes]:
        return self.summary.read_bytes(), self.trials.read_bytes()


def edit(value: Any, chance: random.Random) -> None:
    """Changes one value somewhere below a mapping or a list, or drops or adds one."""
    while True:
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        below = [key for key in keys if isinstance(value[key], (dict, list)) and value[key]]
        if below and chance.random() < 0.85:
            value = value[chance.choice(below)]
            continue
        key = chance.choice(keys)
        kind = chance.random()
        if kind < 0.15:
            del value[key]
        elif kind < 0.2 and isinstance(value, list):
            value.append(value[key])
        elif kind < 0.4 and type(value[key]) in (int, float):
            value[key] = chance.choice((value[key] * 1.01, value[key] + 1, -value[key], value[key] * 1e9))
        else:
            value[key] = copy.deepcopy(chance.choice(VALUES))
        return


def edited_lines(lines: list[bytes], chance: random.Random) -> bytes:
    """The file after a clumsy edit, one that knows of no digest."""
    lines = list(lines)
    at = chance.randrange(len(lines))
    kind = chance.randrange(7)
    if kind == 0:
        lines.insert(chance.randrange(len(lines) + 1), lines[at])
    elif kind == 1:
        del lines[at]
    elif kind == 2:
        chance.shuffle(lines)
    elif kind == 3:
        content = bytearray(b"".join(lines))
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        return bytes(content)
    elif kind == 4:
        content = bytearray(b"".join(lines))
        return bytes(content[: chance.randrange(len(content))])
    elif kind == 5:
        lines[at] = chance.choice((*NO_LINES, lines[at][:-9] + b"\n"))
    else:
        record = json.loads(lines[at])
        edit(record, chance)
        lines[at] = json.dumps(record).encode() + b"\n"
    return b"".join(lines)
