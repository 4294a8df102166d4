"""Searches that train in a second or two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlptrain.runs.search import SearchSummary
from mlptrain.searching import search

BASE: dict[str, Any] = {
    "data": {"name": "digits", "train_size": 300, "validation": 100, "test_size": 200},
    "model": {"hidden": [8]},
    "optimizer": {"name": "adam", "lr": 0.01},
    "training": {"epochs": 4, "batch_size": 50, "device": "cpu", "threads": 1, "precision": "highest"},
}
SMALL: dict[str, Any] = {
    "name": "small",
    "base": BASE,
    "space": {
        "optimizer.lr": {"log_uniform": [0.0003, 0.3]},
        "model.hidden": [[8], [12, 8]],
        "model.dropout": {"uniform": [0, 0.5]},
    },
    "method": "random",
    "trials": 12,
    "together": 4,
    "scoring": {"seeds": 2},
}


def run(folder: Path, **changes: Any) -> SearchSummary:
    """The summary of a small search with other values."""
    return search({**SMALL, **changes}, run_dir=folder)[1]


def written(folder: Path) -> dict[str, bytes]:
    """What no run of the same search may differ in."""
    return {name: (folder / name).read_bytes() for name in ("summary.json", "trials.jsonl", "best.yaml", "search.yaml")}


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
