"""A search repeats to the same bytes whatever stops it, and its best YAML trains to the recorded figure."""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlptrain
from mlptrain.errors import RunFolderError, UserError
from mlptrain.experiment import train
from mlptrain.experiment.build import load_data
from mlptrain.report.search.notes import notes_of
from mlptrain.report.search.words import trial_rows, trials_text
from mlptrain.runs.search import SearchSummary
from mlptrain.spec import load_spec
from mlptrain.spec.search.load import load_search
from tests.command import Call
from tests.comparison.processes import command, ended, errors_of, until_some_are_on_record
from tests.faults.tools.processes import FORKS
from tests.searching.small import BASE, SMALL, records, run, written


def test_sixty_trials_that_are_killed_three_times_end_as_those_left_alone(tmp_path: Path, call: Call) -> None:
    changes = {"method": "tpe", "trials": 60, "batch": 8, "together": 8}
    run(tmp_path / "alone", **changes)
    place = killed(tmp_path, {**SMALL, **changes}, (8, 24, 48))
    assert len(records(place)) < 62
    assert call("search", str(place)).code == 0  # the folder itself resumes it
    assert written(place) == written(tmp_path / "alone")
    assert len(json.loads((place / "summary.json").read_text())["trials"]) == 60


def killed(folder: Path, values: dict[str, Any], after: Sequence[int]) -> Path:
    """The folder of a search that is killed and resumed, each time once so many trials are on record."""
    config, place = folder / "killed.yaml", folder / "killed"
    config.write_text(json.dumps(values))
    for wanted in after:
        arguments = ["search", str(config), "--run-dir", str(place)]
        process = FORKS.Process(target=command, args=(arguments, str(errors_of(place))))
        process.start()
        until_some_are_on_record(place, process, wanted)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        ended(process)
        assert not (place / "summary.json").exists()
    return place


def test_the_best_yaml_trains_to_the_recorded_figure(tmp_path: Path) -> None:
    summary = run(tmp_path / "search")
    kept = train(tmp_path / "search" / "best.yaml", run_dir=tmp_path / "run").result.plain()["kept"]
    first = summary.scored[0]
    assert (kept["validation_accuracy"], kept["test_accuracy"]) == (first.validation, first.test)
    again = train(tmp_path / "search" / "best.yaml", overrides=["seed=1"], run_dir=tmp_path / "other")
    assert again.result.plain()["kept"]["test_accuracy"] == summary.scored[1].test


def test_what_is_chosen_and_what_half_the_trials_would_have_found(tmp_path: Path) -> None:
    summary = run(tmp_path / "search")
    values = [trial.value or 0.0 for trial in summary.trials]
    assert summary.best == values.index(max(values))
    assert summary.half.trials == 6
    assert summary.half.value == max(values[:6])
    assert summary.validation is not None
    scored = [one.validation or 0.0 for one in summary.scored]
    assert summary.validation.mean == pytest.approx(sum(scored) / 2)


def test_test_rows_are_read_for_the_chosen_setting_alone(tmp_path: Path) -> None:
    run(tmp_path / "search")
    tested = [one for one in records(tmp_path / "search") if "test_accuracy" in (one.get("kept") or {})]
    assert [one["role"] for one in tested] == ["scoring", "scoring"]
    assert {one["seed"] for one in tested} == {0, 1}


@pytest.mark.parametrize("split", [None, "stratified", {"by": "random", "draw": 3}])
def test_no_trial_has_seen_the_rows_that_the_setting_is_tested_on(tmp_path: Path, split: Any) -> None:
    """Which rows a trial had is told by their hash on record, which best.yaml with its seed must give again."""
    table = tmp_path / "t.csv"
    table.write_text("a,id,y\n" + "".join(f"{i % 7},{i},{'no' if i % 3 else 'yes'}\n" for i in range(150)))
    data = {"name": "table", "path": str(table), "target": "y", "columns": {"id": "numeric"}}
    base = {**BASE, "data": data | ({} if split is None else {"split": split})}
    changes = {"base": base, "trials": 3, "space": {"optimizer.lr": [0.001, 0.03]}}
    summary = run(tmp_path / "search", **changes)
    used, tested = set[int](), set[int]()
    for record in records(tmp_path / "search"):
        one = load_spec(tmp_path / "search" / "best.yaml", [f"seed={record['seed']}"]).experiment
        splits = load_data(one)
        assert splits.fingerprint == record["hashes"]["data"]
        rows = {name: set(getattr(splits, name).index.tolist()) for name in ("train", "validation", "test")}
        if record["role"] == "tuning":
            used |= rows["train"] | rows["validation"]
        else:
            tested |= rows["test"]
    assert (len(used), len(tested)) == (120, 30)
    assert not used & tested
    kept = train(tmp_path / "search" / "best.yaml", run_dir=tmp_path / "run").result.plain()["kept"]
    assert kept["test_accuracy"] == summary.scored[0].test


def test_generated_rows_and_stored_test_rows_leave_nothing_to_fix(tmp_path: Path) -> None:
    for data, draw in (
        ({"name": "digits"}, None),
        ({"name": "moons", "validation": 0.2}, None),
        ({"name": "moons", "test": 0.2}, 100),
        ({"name": "diabetes", "split": {"by": "time", "column": "age"}}, None),
        ({"name": "iris", "test": 0, "fold": {"of": 3, "index": 0}}, 100),
    ):
        base = {**BASE, "data": data, "model": {"hidden": [4]}}
        spec = load_search({"base": base, "space": {"optimizer.lr": [0.1, 0.2]}}).spec
        assert getattr(spec.base.data.split, "draw", None) == draw, data


@pytest.mark.parametrize("sizes", [[64, 2000, 4000], [64, "full"], [100, 300, 2000], {"log_integers": [16, 100000]}])
def test_batches_of_all_rows_stand_beside_smaller_ones(tmp_path: Path, sizes: Any) -> None:
    """A batch of all rows has them in no drawn order, so that its trials do not share the order of others."""
    space = {"training.batch_size": sizes, "training.shuffle": [True, False], "loss": ["cross_entropy", "bce"]}
    data = {"name": "digits", "classes": [0, 1], "validation": 98}  # of 298 rows
    base = {**BASE, "data": data, "training": {**BASE["training"], "epochs": 1}}
    run(tmp_path / "search", base=base, space=space, trials=12, scoring={"seeds": 1})
    orders: dict[bool, set[str]] = {}
    for record in records(tmp_path / "search"):
        if record["role"] == "tuning" and record["changes"]["training.shuffle"]:
            orders.setdefault(record["steps_per_epoch"] == 1, set()).add(record["hashes"]["batch_order"])
    assert [len(some) for some in orders.values()] == [1, 1]


def test_halving_trains_the_better_part_further(tmp_path: Path) -> None:
    """With 9 trials, eta 3 and rungs after 1 and 3 of 9 epochs: 6 end after 1, 2 after 3, and 1 trains to the end."""
    base = {**BASE, "training": {**BASE["training"], "epochs": 9}}
    changes = {"base": base, "trials": 9, "together": 9}
    summary = run(tmp_path / "halved", **changes, prune="halving")
    assert sorted(trial.epochs for trial in summary.trials) == [1] * 6 + [3] * 2 + [9]
    assert summary.trained_epochs == 21
    whole = {trial.trial: trial for trial in run(tmp_path / "whole", **changes).trials}
    unpruned = {one["trial"]: one["curves"] for one in records(tmp_path / "whole")}
    for halved in records(tmp_path / "halved")[:9]:  # among whomever each trained
        for key, curve in halved["curves"].items():
            assert curve == pytest.approx(unpruned[halved["trial"]][key][: len(curve)], rel=1e-5)
    curves = {one["trial"]: one["curves"]["validation_accuracy"] for one in records(tmp_path / "whole")}
    losses = {one["trial"]: one["curves"]["validation_loss"] for one in records(tmp_path / "whole")}
    [last] = [trial for trial in summary.trials if trial.status == "completed"]
    assert last.value == whole[last.trial].value  # from its state, not anew

    def after(trial: str, epoch: int) -> float:
        loss = losses[trial][: epoch + 1]
        return float(curves[trial][loss.index(min(loss))])

    weak = [after(trial.trial, 1) for trial in summary.trials if trial.epochs == 1]
    strong = [after(trial.trial, 1) for trial in summary.trials if trial.epochs > 1]
    assert max(weak) <= min(strong)


def test_a_halved_search_that_is_killed_ends_as_one_left_alone(tmp_path: Path, call: Call) -> None:
    """One batch of nine is on record, the survivors of another have begun to train on their own or not."""
    base = {**BASE, "training": {**BASE["training"], "epochs": 9}}
    changes = {"base": base, "trials": 18, "together": 9, "prune": "halving"}
    run(tmp_path / "alone", **changes)
    place = killed(tmp_path, {**SMALL, **changes}, (9,))
    assert len(records(place)) < 20
    assert call("search", str(place)).code == 0
    assert written(place) == written(tmp_path / "alone")


@pytest.mark.parametrize(
    "space", [SMALL["space"], {"model.hidden": [[width] for width in range(8, 13)]}], ids=["ranges", "repeated"]
)
def test_hours_end_a_search_with_the_trials_it_would_have_begun_with(space: dict[str, Any], tmp_path: Path) -> None:
    values = {**SMALL, "space": space}
    whole = mlptrain.search(values, run_dir=tmp_path / "whole")[1]
    short = mlptrain.search(values, run_dir=tmp_path / "short", hours=1e-9)[1]
    assert (short.asked, short.budget) == (4, 12)
    assert list(short.trials) == list(whole.trials[:4])
    trained = [one for one in records(tmp_path / "short") if one["role"] == "tuning"]
    assert trained == records(tmp_path / "whole")[: len(trained)]  # in the same batches, so that none is trained again
    mlptrain.search(values, run_dir=tmp_path / "short")  # the rest
    assert written(tmp_path / "short") == written(tmp_path / "whole")


def test_test_rows_are_read_once_all_trials_are_done(tmp_path: Path) -> None:
    """What --hours ends again and again scores each setting that is then the best, on validation rows alone."""
    whole = run(tmp_path / "whole")
    asked, tested, best = [], [], set()
    while True:
        summary = mlptrain.search(SMALL, run_dir=tmp_path / "short", hours=1e-9)[1]
        asked.append(summary.asked)
        tested.append([one["trial"] for one in records(tmp_path / "short") if (one.get("kept") or {}).get("test_loss")])
        best.add(summary.best)
        assert [one["seed"] for one in records(tmp_path / "short") if one["role"] == "scoring"] == [0, 1]
        if summary.asked == 12:
            break
        assert (summary.test, summary.tested) == (None, [])
        assert summary.validation is not None
    assert asked == [4, 8, 12]
    assert len(best) > 1
    assert [len(names) for names in tested] == [0, 0, 2]
    assert (summary.best, summary.tested) == (whole.best, [whole.best])
    assert written(tmp_path / "short") == written(tmp_path / "whole")
    mlptrain.search(SMALL, run_dir=tmp_path / "short", hours=1e-9)  # nothing is left to train
    assert written(tmp_path / "short") == written(tmp_path / "whole")


def test_a_search_that_time_ended_may_end_there(tmp_path: Path, call: Call) -> None:
    mlptrain.search(SMALL, run_dir=tmp_path / "short", hours=1e-9)
    assert call("report", str(tmp_path / "short")).code == 0
    page = (tmp_path / "short" / "report.html").read_text()
    assert "4 of 12 trials: time was up" in page
    assert "--set trials=4" in page
    assert call("search", str(tmp_path / "short"), "--set", "trials=4").code == 0
    run(tmp_path / "four", trials=4)
    assert written(tmp_path / "short") == written(tmp_path / "four")


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "random"},
        {"method": "halton"},
        {"method": "tpe", "batch": 5},
        {"method": "random", "space": {"model.hidden": [[8], [9], [10]], "model.dropout": [0, 0.1, 0.2]}},
        {"method": "tpe", "prune": "halving"},
    ],
    ids=["random", "halton", "tpe", "repeated", "halved"],
)
def test_more_trials_give_the_search_of_so_many(changes: dict[str, Any], tmp_path: Path, call: Call) -> None:
    """From 14 to 22, each with a last round that is cut short, which is trained again with more trials beside it."""
    place = tmp_path / "grown"
    first = run(place, trials=14, **changes)
    shown = call("search", str(place), "--set", "trials=22")
    assert shown.code == 0
    whole = run(tmp_path / "whole", trials=22, **changes)
    assert first.best == whole.best
    assert "test rows were read" not in shown.out
    grown = written(place)
    assert grown == written(tmp_path / "whole")
    says = "has 22 trials on record, more than trials: 14 asks for; set trials to 22 or more"
    with pytest.raises(RunFolderError, match=says):
        run(place, trials=14, **changes)
    assert written(place) == grown


def test_that_test_rows_were_read_for_another_setting_stays_on_record(tmp_path: Path, call: Call) -> None:
    place = tmp_path / "grown"
    first = run(place, trials=4)
    assert first.tested == [first.best]
    shown = call("search", str(place), "--set", "trials=12")
    whole = run(tmp_path / "whole", trials=12)
    assert first.best is not None
    assert whole.best is not None
    assert first.best < 4 <= whole.best
    says = f"test rows were read for 2 settings: those of trials {first.best}, {whole.best}, since the search went on"
    assert says in shown.out
    grown, others = written(place), written(tmp_path / "whole")
    assert json.loads(grown["summary.json"]) == {
        **json.loads(others["summary.json"]),
        "tested": [first.best, whole.best],
    }
    assert grown["trials.jsonl"].startswith(others["trials.jsonl"])
    earlier = records(place)[-2:]
    assert [(one["role"], one["changes"]) for one in earlier] == [("scoring", first.trials[first.best].changes)] * 2
    assert [one["kept"]["test_accuracy"] for one in earlier] == [one.test for one in first.scored]
    call("search", str(place))
    assert written(place) == grown


def noted(**changes: Any) -> list[str]:
    """What is noted of a search of three trials, of which the last two are equal, with other results."""
    trials = [
        {
            "number": n,
            "trial": f"{n}",
            "changes": {"model.dropout": n / 10},
            "status": "completed",
            "epochs": 4,
            "value": value,
        }
        for n, value in enumerate((0.5, 0.75, 0.75))
    ]
    spread = {"n": 2, "mean": 0.7, "std": 0.01, "min": 0.69, "max": 0.71}
    values = {
        "name": "small", "plan": "1" * 8, "method": "random", "metric": {"name": "validation_accuracy", "goal": "max"},
        "space": {"model.dropout": {"uniform": [0, 0.5]}}, "budget": 3, "asked": 3, "epochs": 4, "trained_epochs": 12,
        "trials": trials, "best": 1, "scored": [], "tested": [1], "validation": spread, "test": spread,
        "importances": {}, "edges": [], "half": {"trials": 2, "number": 1, "value": 0.75}, "sentence": "",
    }  # fmt: skip
    return list(notes_of(SearchSummary.model_validate(values | changes), Path("a folder")))


def test_a_figure_is_flattered_where_fresh_seeds_are_worse_alone() -> None:
    tie = "trials 1, 2 tie for the best value, 75.00 %; the first drawn, trial 1, was taken"
    flattered = "the best trial's own 75.00 % is flattered, since it was chosen by it; with fresh seeds 70.00 %"
    assert noted() == [tie, flattered]
    better = {"n": 2, "mean": 0.8, "std": 0.01, "min": 0.79, "max": 0.81}
    assert noted(validation=better) == [tie, "with fresh seeds 80.00 %, better than the best trial's own 75.00 %"]
    by_loss = {"best": 0, "metric": {"name": "validation_loss", "goal": "min"}}
    assert noted(**by_loss)[0].startswith("the best trial's own 0.5000 is flattered")
    assert "better than the best trial's own 0.5" in noted(**by_loss, validation=better | {"mean": 0.4})[0]


def test_what_has_read_test_rows_and_what_has_not_is_noted() -> None:
    first = noted(budget=9, tested=[])[0]
    assert first == (
        "3 of 9 trials: time was up; rerun the same command for the rest, or end it with `mlptrain search 'a folder' "
        "--set trials=3`; test rows are read at the end alone"
    )
    assert "test rows" not in noted(budget=9, tested=None)[0]
    assert (
        "test rows were read for 2 settings: those of trials 0, 1, since the search went on" in noted(tested=[0, 1])[-1]
    )


def test_a_search_of_which_nothing_lasts_ends_as_a_diverged_run(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base = BASE | {"loss": "mse", "optimizer": {"name": "sgd", "lr": 1}}
    wild = SMALL | {"base": base, "space": {"optimizer.lr": {"log_uniform": [1e5, 1e8]}}, "trials": 3}
    Path("wild.yaml").write_text(json.dumps(wild))
    ended = call("search", "wild.yaml", "--run-dir", "run")
    assert ended.code == 3
    assert "no trial trained to its last epoch, all 3 diverged; search lower ranges" in ended.err
    assert "the best of" not in ended.out
    assert not Path("run/best.yaml").exists()
    assert call("search", "wild.yaml", "--run-dir", "run", "--json").json["best"] is None
    arms = {name: {"optimizer.lr": lr} for name, lr in (("a", 1e6), ("b", 1e7))}
    Path("arms.yaml").write_text(json.dumps({"base": base, "arms": arms, "scoring": {"seeds": 2}}))
    ended = call("compare", "arms.yaml", "--run-dir", "arms")
    assert ended.code == 3
    assert "no scoring trial trained to its last epoch, all 4 diverged" in ended.err


def test_settings_that_are_drawn_twice_are_trained_once(tmp_path: Path) -> None:
    summary = run(tmp_path / "search", space={"model.hidden": [[8], [12]]}, trials=6)
    assert trials_text(summary) == "6 trials of 2 settings"
    assert "6 trials drew 2 different settings" in " ".join(notes_of(summary, tmp_path))
    assert sorted(int(row[0]) for row in trial_rows(summary, once=True)[1:]) == sorted(
        [one.trial for one in summary.trials].index(name) for name in {one.trial for one in summary.trials}
    )
    names = {trial.trial for trial in summary.trials}
    assert len(summary.trials) == 6
    assert summary.tested == [summary.best]
    assert len([one for one in records(tmp_path / "search") if one["role"] == "tuning"]) == len(names) == 2


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_sentence_says_what_its_spread_is_and_what_flatters(tmp_path: Path, keep: str) -> None:
    summary = run(tmp_path / "search", base=BASE | {"evaluation": {"keep": keep}}, trials=2)
    values = [one.validation for one in summary.scored if one.validation is not None]
    spread = f"{100 * statistics.fmean(values):.2f} ± {100 * statistics.stdev(values):.2f} %"
    assert f"with 2 other seeds it reaches {spread} (mean ± standard deviation over the seeds)" in summary.sentence
    assert summary.sentence.count("±") == 3  # its meaning, and the figure of test rows
    assert ("validation rows chose the epoch of each training too" in summary.sentence) == (keep == "best")


def test_a_value_on_an_edge_is_warned_of(tmp_path: Path) -> None:
    """Too low a rate is searched; the best dropout lies at 0, below which there is none."""
    space = {"optimizer.lr": [0.0001, 0.001, 0.01], "model.dropout": [0.0, 0.5]}
    summary = run(tmp_path / "search", space=space, method="grid", trials=None)
    [edge] = [one for one in summary.edges if one.key == "optimizer.lr"]
    assert (edge.side, edge.end) == ("high", 0.01)
    assert not [one for one in summary.edges if one.key == "model.dropout" and one.side == "low"]


def test_a_regression_is_searched_by_its_rmse(tmp_path: Path) -> None:
    base = {**BASE, "data": {"name": "diabetes"}, "model": {"hidden": [4]}}
    summary = run(tmp_path / "search", base=base, space={"optimizer.lr": [0.001, 0.03]}, method="grid", trials=None)
    assert (summary.metric.name, summary.metric.goal) == ("validation_rmse", "min")
    assert summary.best == min((0, 1), key=lambda number: summary.trials[number].value or 0.0)


def test_a_folder_of_another_search_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "search", trials=4)
    with pytest.raises(RunFolderError, match=r"holds another plan.*: seed differs; name a new folder"):
        run(tmp_path / "search", trials=4, seed=101)
    with pytest.raises(RunFolderError, match="trials, seed differ; name"):
        run(tmp_path / "search", trials=5, seed=101)


def test_without_optuna_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r'Optuna, which is not installed; `pip install "mlptrain\[search\]"`'):
        run(tmp_path / "search")
    assert not (tmp_path / "search").exists()


def test_the_command_shows_the_best_and_a_page(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("search.yaml").write_text(json.dumps(SMALL | {"trials": 16}))
    assert "16 trials by random" in call("check", "search.yaml").out
    shown = call("search", "search.yaml", "--run-dir", "run")
    assert shown.code == 0
    assert "trials by validation_accuracy" in shown.out
    assert "mlptrain train run/best.yaml" in shown.out
    own = json.loads(Path("run/summary.json").read_text())["scored"][0]["test"]
    assert f"best.yaml: the training with seed 0, one of the 2, by itself: test_accuracy {100 * own:.2f} %" in shown.out
    assert "search: 16 trials" in shown.err
    assert call("report", "run").code == 0
    page = Path("run/report.html").read_text()
    assert "What mattered" in page
    assert page.count("<svg") >= 3
    for name in ("history", "parallel", "importances"):
        assert Path(f"run/pictures/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_search_of_one_key_is_shown_by_its_value(tmp_path: Path, call: Call) -> None:
    space = {"optimizer": [{"name": "adam", "lr": 0.01}, {"name": "adam", "lr": 0.1}]}
    config = tmp_path / "one.yaml"
    config.write_text(json.dumps(SMALL | {"space": space, "method": "grid", "trials": None}))
    text = "[{name: adam, lr: 0.01}, {name: adam, lr: 0.1}]"
    assert text in call("check", str(config)).out
    shown = call("search", str(config), "--run-dir", str(tmp_path / "run")).out
    assert "optimizer {name: adam, lr: 0.1" in shown or "optimizer {name: adam, lr: 0.01" in shown
    assert "importances" not in shown
    assert {path.stem for path in (tmp_path / "run" / "pictures").iterdir()} == {"history", "values"}
    assert call("report", str(tmp_path / "run")).code == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Every trial by its value" in page
    assert "in the ring the best one" in page


def test_a_grid_of_logarithms_is_shown_in_few_digits(tmp_path: Path, call: Call) -> None:
    """The file and the JSON output keep all of them."""
    path = tmp_path / "grid.yaml"
    base = "{data: digits, model: {hidden: [4]}, optimizer: adam}"
    path.write_text(f"base: {base}\nspace: {{optimizer.lr: {{log_grid: [0.001, 0.1, 4]}}}}\nmethod: grid\n")
    assert "[0.001, 0.004642, 0.02154, 0.1]" in call("check", str(path)).out
    [report] = json.loads(call("check", str(path), "--json").out)
    np.testing.assert_allclose(report["space"]["optimizer.lr"], np.geomspace(0.001, 0.1, 4), rtol=1e-11)
