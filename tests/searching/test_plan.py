"""What `mlptrain search --plan` says beforehand is what the search then takes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlptrain.comparison import preview as probing
from mlptrain.searching import make_plan
from mlptrain.searching.preview import preview
from mlptrain.spec.dump import yaml_text
from mlptrain.spec.kinds import plan_digest
from mlptrain.spec.reader import read_file
from mlptrain.spec.search.load import load_search
from tests.command import Call
from tests.searching.small import BASE, SMALL, records, run
from tests.test_cli_compare import documented

Planned = Callable[..., dict[str, Any]]


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Planned:
    monkeypatch.setattr(probing, "PROBE_SECONDS", 0.1)
    return lambda **changes: preview(make_plan(load_search({**SMALL, **changes}).spec))


def test_the_keys_are_those_documented(planned: Planned) -> None:
    assert list(planned()) == documented(preview)


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_trials_and_batches_are_those_of_the_search(planned: Planned, tmp_path: Path, method: str) -> None:
    changes = {"method": method, "trials": 12, "batch": 4 if method == "tpe" else None, "together": 4}
    changes = {key: value for key, value in changes.items() if value is not None}
    found = planned(**changes)
    summary = run(tmp_path / "search", **changes)
    written = records(tmp_path / "search")
    assert (found["trials"], found["scoring_trials"]) == (summary.asked, len(summary.scored)) == (12, 2)
    assert found["batches"] == len({record["batch"] for record in written})
    assert found["models_at_once"] == max(record["batch_size"] for record in written)
    assert found["epochs"] == summary.trained_epochs + 2 * summary.epochs == 14 * 4
    assert found["at_once"] == (4 if method == "tpe" else 12)
    assert found["settings"] is None
    size = (tmp_path / "search" / "trials.jsonl").stat().st_size
    assert 0.5 < found["bytes"] / size < 2
    assert 0 < found["seconds"] < 60


def test_halving_leaves_the_epochs_that_it_then_trains(planned: Planned, tmp_path: Path) -> None:
    """The search trains 21 of 81 epochs, and the best setting 2 times 9."""
    base = {**BASE, "training": {**BASE["training"], "epochs": 9}}
    changes = {"base": base, "trials": 9, "together": 9, "prune": "halving"}
    assert planned(**changes)["epochs"] == run(tmp_path / "search", **changes).trained_epochs + 18 == 21 + 18


def test_the_size_of_what_can_be_counted(planned: Planned) -> None:
    lists = {"optimizer.lr": [0.001, 0.01, 0.1], "model.hidden": [[8], [12, 8]]}
    grid = planned(space=lists, method="grid", trials=None)
    assert (grid["settings"], grid["trials"]) == (6, 6)
    whole = planned(space={**lists, "training.batch_size": {"integers": [20, 29]}})
    assert (whole["settings"], whole["trials"]) == (60, 12)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"batch": 5},
        {"method": "tpe", "batch": None},
        {"method": "gp", "metric": "validation_loss"},
        {
            "method": "grid",
            "trials": None,
            "space": {"model.dropout": {"log_grid": [0.01, 0.1, 3]}, "schedule": ["cosine", "constant"]},
        },
        {"prune": {"name": "halving", "first": 2, "eta": 2}, "executor": {"name": "ray"}, "scoring": {"seeds": [7, 3]}},
        {"prune": "halving", "base": BASE | {"training": {**BASE["training"], "epochs": 9}}},
    ],
)
def test_the_plan_of_a_folder_is_a_search_with_the_same_plan(changes: dict[str, Any], tmp_path: Path) -> None:
    """Whatever keys its file names, and in which order."""
    values = {**SMALL, **changes}
    for written in (values, dict(reversed(values.items()))):
        plan = make_plan(load_search(written).spec)
        (path := tmp_path / "search.yaml").write_text(yaml_text(plan.to_plain()))
        again = make_plan(load_search(path).spec)
        assert yaml_text(again.to_plain()) == path.read_text()
        assert again.digest == plan.digest == plan_digest(read_file(path)[1].value)


def test_the_command_keeps_nothing(
    planned: Planned, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(json.dumps(SMALL | {"method": "tpe", "batch": 4}))
    shown = call("search", "s.yaml", "--plan")
    assert shown.code == 0
    assert (
        "small: 12 trials by tpe, 4 at a time, over 3 keys; 2 scoring trials; in 5 batches of up to 4 models"
        in shown.out
    )
    assert re.search(r"training: about .* by a probe of this machine; .*; disk: under 0\.1 MB", shown.out)
    assert list(json.loads(call("search", "s.yaml", "--plan", "--json").out)) == documented(preview)
    assert [file.name for file in tmp_path.iterdir()] == ["s.yaml"]
