"""Keys that belong to some values of others alone, and settings that no experiment can have."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import optuna
import pytest

from mlptrain.errors import SpecError
from mlptrain.searching import search
from mlptrain.seeds import derived_seed
from mlptrain.spec.search.load import load_search
from tests.command import Call
from tests.searching.small import BASE, SMALL, records, run, written

SGD = {**BASE, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}}
RATES = {"optimizer.lr": [0.003, 0.03]}
# With one hidden layer two rates have no place.
UNEVEN: dict[str, Any] = {
    "model.hidden": [[8], [6], [8, 6]],
    "model.dropout": [0.0, [0.1, 0.2]],
    "optimizer.lr": {"log_uniform": [0.001, 0.1]},
}


def test_a_key_counts_beside_the_choice_that_has_it(tmp_path: Path) -> None:
    """What a trial without the key trains is what a search from a base with that optimizer trains."""
    space = {"optimizer.name": ["sgd", "adam"], "optimizer.momentum": [0.0, 0.5, 0.9], **RATES}
    summary = run(tmp_path / "both", base=SGD, space=space, method="grid", trials=None)
    by_name = {
        name: [trial for trial in summary.trials if trial.changes["optimizer.name"] == name] for name in ("sgd", "adam")
    }
    assert all("optimizer.momentum" in trial.changes for trial in by_name["sgd"])
    assert [sorted(trial.changes) for trial in by_name["adam"]] == [["optimizer.lr", "optimizer.name"]] * 6
    assert len({trial.trial for trial in by_name["adam"]}) == 2  # the six are two, and are trained once
    assert len([one for one in records(tmp_path / "both") if one["role"] == "tuning"]) == 8
    adam = run(tmp_path / "adam", base=BASE, space=RATES, method="grid", trials=None)
    assert {trial.changes["optimizer.lr"]: trial.value for trial in by_name["adam"]} == {
        trial.changes["optimizer.lr"]: trial.value for trial in adam.trials
    }


def test_a_class_by_its_import_path_has_the_keys_of_its_constructor(tmp_path: Path) -> None:
    lion = {"name": "pytorch_optimizer:Lion", "lr": 0.003}
    space = {
        "optimizer": [{"name": "sgd", "lr": 0.1}, lion],
        "optimizer.momentum": {"uniform": [0, 0.9]},
        "optimizer.betas": [[0.9, 0.99], [0.8, 0.95]],
    }
    summary = run(tmp_path / "search", space=space, trials=8)
    assert {(trial.changes["optimizer"]["name"], *sorted(trial.changes)) for trial in summary.trials} == {
        ("sgd", "optimizer", "optimizer.momentum"),
        ("pytorch_optimizer:Lion", "optimizer", "optimizer.betas"),
    }
    with pytest.raises(SpecError, match=r"optimizer\.weight_decuple: unknown key; did you mean 'weight_decouple'\?"):
        load_search({**SMALL, "space": {**space, "optimizer.weight_decuple": [True, False]}})
    with pytest.raises(SpecError, match=r"optimizer\.betas\[1\]: is refused by the constructor of Lion"):
        load_search({**SMALL, "space": {**space, "optimizer.betas": [[0.9, 0.99], [0.9, 1.5]]}})


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_a_setting_that_no_experiment_can_have_takes_no_training(tmp_path: Path, method: str) -> None:
    changes = {"space": UNEVEN, "method": method, "trials": 16}
    summary = run(tmp_path / "search", **changes)
    impossible = [
        trial
        for trial in summary.trials
        if isinstance(trial.changes["model.dropout"], list) and len(trial.changes["model.hidden"]) == 1
    ]
    assert 0 < len(impossible) < 16
    assert [trial for trial in summary.trials if trial.status == "infeasible"] == impossible
    assert {(trial.value, trial.epochs, trial.reason) for trial in impossible} == {
        (None, 0, "model.dropout: has 2 rates for 1 hidden layer; give one for each, or a number")
    }
    assert summary.asked == 16
    assert summary.trained_epochs == 4 * (16 - len(impossible))
    assert not {trial.trial for trial in impossible} & {one["trial"] for one in records(tmp_path / "search")}
    before = written(tmp_path / "search")
    lines = before["trials.jsonl"].decode().splitlines(keepends=True)
    (tmp_path / "search" / "summary.json").unlink()
    (tmp_path / "search" / "trials.jsonl").write_text("".join(lines[:8]))
    run(tmp_path / "search", **changes)
    assert written(tmp_path / "search") == before


def test_the_sampler_is_told_of_a_pruned_trial_without_a_value(tmp_path: Path) -> None:
    """The same trials as Optuna's TPE alone, which hears of the impossible ones as of pruned ones."""
    summary = run(tmp_path / "search", space=UNEVEN, method="tpe", trials=40, batch=4)
    hidden, dropout, (low, high) = *(UNEVEN[key] for key in list(UNEVEN)[:2]), UNEVEN["optimizer.lr"]["log_uniform"]
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        "model.hidden": optuna.distributions.CategoricalDistribution([json.dumps(value) for value in hidden]),
        "model.dropout": optuna.distributions.CategoricalDistribution([json.dumps(value) for value in dropout]),
        "optimizer.lr": optuna.distributions.FloatDistribution(low, high, log=True),
    }
    seed = derived_seed(100, "search") % 2**32
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    assert any(trial.reason is not None for trial in summary.trials[10:])  # TPE draws the first ten at random
    for start in range(0, 40, 4):
        asked = [study.ask(distributions) for _ in range(4)]
        for mine, tried in zip(asked, summary.trials[start:], strict=False):
            assert {key: json.loads(str(value)) for key, value in mine.params.items()} == tried.changes
            if tried.reason is None:
                study.tell(mine, tried.value)
            else:
                study.tell(mine, state=optuna.trial.TrialState.PRUNED)


def test_where_no_first_setting_is_possible_there_is_one_error_at_the_space(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in a hundred settings is possible, and every value in one of them."""
    monkeypatch.chdir(tmp_path)
    space = {
        "model.hidden": [[4, 4], *([width] for width in range(2, 202))],
        "model.dropout": [0.0, *([0.001 * number, 0.1] for number in range(200))],
    }
    Path("search.yaml").write_text(json.dumps({**SMALL, "space": space, "trials": 40}, indent=1))
    line = next(
        number for number, text in enumerate(Path("search.yaml").read_text().splitlines(), 1) if "space" in text
    )
    for options in ([], ["--plan"]):
        told = call("search", "search.yaml", *options)
        assert told.code == 2
        assert (
            f"search.yaml:{line}:2  space: none of the first 20 settings can be trained, e.g. since model.dropout: has "
            "2 rates for 1 hidden layer; give one for each, or a number; change the space"
        ) in told.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["search.yaml"]
    with pytest.raises(SpecError, match=r"space: none of the first 20 settings"):
        search(load_search("search.yaml").spec, run_dir="run")


def test_tables_and_pictures_have_room_for_what_is_not_there(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    space = {
        "optimizer.name": ["sgd", "adam"],
        "optimizer.momentum": {"uniform": [0, 0.9]},
        "optimizer.lr": {"log_uniform": [0.001, 0.1]},
        **{key: UNEVEN[key] for key in ("model.hidden", "model.dropout")},
    }
    Path("search.yaml").write_text(json.dumps({**SMALL, "base": SGD, "space": space, "trials": 32}))
    shown = call("search", "search.yaml", "--run-dir", "run")
    assert shown.code == 0
    assert " of 32 settings could not be trained: model.dropout: has 2 rates for 1 hidden layer" in shown.out
    assert "–" in shown.out
    assert call("search", "search.yaml", "--plan").code == 0
    assert call("report", "run").code == 0
    page = Path("run/report.html").read_text()
    assert "settings could not be trained" in page.replace("\n", " ")
    assert page.count("<svg") >= 3
    shares = json.loads(Path("run/summary.json").read_text())["importances"]
    assert all(math.isfinite(share["mean"]) for share in shares.values())
    best = call("train", "run/best.yaml", "--run-dir", "best")
    assert best.code == 0
