"""Comparisons that train in a fraction of a second."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from mlptrain.comparison import compare_optimizers, make_plan
from mlptrain.comparison.plan import Plan
from mlptrain.spec.comparison.load import load_comparison
from mlptrain.spec.comparison.sections import ComparisonSpec

BASE = """\
base:
  data: {name: digits, train_size: 300, validation: 100, test_size: 200}
  model: {hidden: [8]}
  training: {epochs: 2, batch_size: 50, device: cpu, threads: 1, precision: highest}
"""
FIXED = """\
optimizers:
  SGD: {name: sgd, lr: 0.5}
  Adam: {name: adam, lr: 0.03}
scoring: {seeds: 3}
"""
TUNED = """\
optimizers:
  SGD: {name: sgd, lr: [0.03, 0.3, 3.0]}
  Nesterov: {name: nesterov, lr: [0.01, 0.1, 1.0]}
  Adam: {name: adam, lr: [0.003, 0.03, 0.3]}
tuning: {seeds: 3, extensions: 1}
scoring: {seeds: 3}
"""


def write(text: str, folder: Path, *, base: str = BASE) -> Path:
    """The comparison's file."""
    path = folder / "small.yaml"
    path.write_text(f"name: small\n{base}{text}")
    return path


def load(text: str, folder: Path, *overrides: str, base: str = BASE) -> ComparisonSpec:
    """The comparison of a text without name and base."""
    return load_comparison(write(text, folder, base=base), overrides).spec


def plan_of(text: str, folder: Path, *overrides: str, base: str = BASE) -> Plan:
    return make_plan(load(text, folder, *overrides, base=base))


def forged(record: dict[str, Any]) -> bytes:
    """A line of trials.jsonl with the digest that belongs to it."""
    content = json.dumps({key: value for key, value in record.items() if key != "digest"})
    return f'{content[:-1]}, "digest": "{hashlib.sha256(content.encode()).hexdigest()}"}}\n'.encode()


class Result:
    """A finished comparison as it lies on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.summary: dict[str, Any] = json.loads((path / "summary.json").read_bytes())
        self.lines = (path / "trials.jsonl").read_bytes().splitlines(keepends=True)
        self.records: list[dict[str, Any]] = [json.loads(line) for line in self.lines]

    def forge(self, records: Sequence[dict[str, Any]]) -> None:
        """Put other records on record, as somebody would who knows how the lines are made."""
        (self.path / "trials.jsonl").write_bytes(b"".join(map(forged, records)))

    def of_role(self, role: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["role"] == role]

    def optimizer(self, name: str) -> dict[str, Any]:
        entry: dict[str, Any] = self.summary["optimizers"][name]
        return entry

    @property
    def bytes(self) -> tuple[bytes, bytes]:
        """What may not depend on how often the comparison was stopped, or where its trials ran."""
        return (self.path / "summary.json").read_bytes(), (self.path / "trials.jsonl").read_bytes()


def compare(text: str, folder: Path, *overrides: str, base: str = BASE, name: str = "comparison") -> Result:
    """Run a comparison in ``folder/name``, from its beginning or from where it is."""
    spec = load(text, folder, *overrides, base=base)
    place, summary = compare_optimizers(spec, run_dir=folder / name)
    found = Result(place.path)
    assert summary.plain() == found.summary
    return found


def labels_of_test_set(rows: int) -> list[int]:
    """Of the first rows of the test set: every fifth image, as scikit-learn splits them, in stored order."""
    labels = load_digits().target
    _, chosen = train_test_split(range(len(labels)), test_size=0.2, random_state=0)
    found: list[int] = labels[sorted(chosen)][:rows].tolist()
    return found
