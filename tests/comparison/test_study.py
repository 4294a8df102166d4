"""Studies: arms over any keys, by any metric, with the protocol of comparisons of optimizers."""

from __future__ import annotations

import csv
import json
import statistics
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import mlptrain
from mlptrain.comparison import compare as run
from mlptrain.comparison import make_plan
from mlptrain.comparison.pairing import check_paired
from mlptrain.comparison.statistics import holm
from mlptrain.comparison.trials import Trial, run_batch
from mlptrain.comparison.verdicts import compare_all
from mlptrain.errors import RunFolderError, SpecError
from mlptrain.executors import Local
from mlptrain.experiment.build import SharedData
from mlptrain.report.comparison.outputs import comparison_page, write_outputs
from mlptrain.report.comparison.rows import time_rows
from mlptrain.report.comparison.words import caveats, describe_setting
from mlptrain.runs.comparison import ComparisonFiles, StudyPair, StudySummary
from mlptrain.runs.trials import TrialRecord
from mlptrain.spec.comparison.load import load_comparison
from mlptrain.spec.dump import yaml_text
from tests.command import Call
from tests.comparison.small import BASE, TUNED, Result, compare, write

WITH_ADAM = BASE.replace("  training:", "  optimizer: {name: adam, lr: 0.03}\n  training:")
REGRESSION = """\
base:
  data: {name: function, function: sin, n_samples: 120, test: 30, validation: 30}
  model: {hidden: [8]}
  optimizer: {name: adam, lr: 0.03}
  training: {epochs: 3, batch_size: 15, device: cpu, threads: 1, precision: highest}
"""
RELU_GELU = """\
arms:
  ReLU: {model.activation: relu}
  GELU: {model.activation: gelu}
"""
BY_RMSE = """\
arms:
  base: {optimizer.lr: [0.01, 0.03]}
  GELU: {model.activation: gelu, optimizer.lr: [0.01, 0.03]}
  wide: {model.hidden: [[16], [8, 8]], training.batch_size: 30}
  broken: {optimizer: {name: sgd, lr: 1.0e+25}}
metric: rmse
tuning: {seeds: 2, extensions: 0}
scoring: {seeds: 8}
"""


def study(text: str, folder: Path, *, base: str = WITH_ADAM, name: str = "study") -> dict[str, Any]:
    """The summary of a study, run in ``folder/name``."""
    place, _ = run(load_comparison(write(text, folder, base=base)).spec, run_dir=folder / name)
    found: dict[str, Any] = json.loads((place.path / "summary.json").read_bytes())
    return found


def records_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "trials.jsonl").read_bytes().splitlines()]


# --- one study underneath ---


def test_arms_that_are_optimizers_are_a_comparison_of_optimizers(tmp_path: Path) -> None:
    """Byte for byte, in whichever of three ways the arms name their optimizers."""
    whole = compare(TUNED, tmp_path, name="optimizers")
    arms = """\
arms:
  SGD: {optimizer.name: sgd, optimizer.lr: [0.03, 0.3, 3.0]}
  Nesterov: {optimizer: {name: sgd, momentum: 0.9, nesterov: true, lr: [0.01, 0.1, 1.0]}}
  Adam: {optimizer: adam, optimizer.lr: [0.3, 0.03, 0.003]}
tuning: {seeds: 3, extensions: 1}
scoring: {seeds: 3}
"""
    same = compare(arms, tmp_path, name="arms")
    assert same.bytes == whole.bytes
    assert (same.path / "plan.yaml").read_bytes() == (whole.path / "plan.yaml").read_bytes()


def test_the_plan_of_a_study_is_a_study_with_the_same_plan(tmp_path: Path) -> None:
    plan = make_plan(load_comparison(write(BY_RMSE + "tie: 0.5\n", tmp_path, base=REGRESSION)).spec)
    (tmp_path / "plan.yaml").write_text(yaml_text(plan.to_plain()))
    again = make_plan(load_comparison(tmp_path / "plan.yaml").spec)
    assert again.to_plain() == plan.to_plain()
    assert again.digest == plan.digest


def test_a_stopped_study_goes_on_to_the_same_bytes(tmp_path: Path, call: Call) -> None:
    study(BY_RMSE, tmp_path, base=REGRESSION)
    whole = Result(tmp_path / "study")
    expected, first = whole.bytes, whole.records[0]["batch_size"]
    (whole.path / "trials.jsonl").write_bytes(b"".join(whole.lines[:first]))
    (whole.path / "summary.json").unlink()
    told = call("compare", str(whole.path))
    assert told.code == 0
    assert f"tuning: 12 trials, {first} of them already recorded" in told.err.splitlines()
    assert whole.bytes == expected


# --- noise ---


def test_gelu_and_relu_had_the_same_noise(tmp_path: Path) -> None:
    study(RELU_GELU + "scoring: {seeds: 3}\n", tmp_path)
    by_seed: dict[int, list[dict[str, Any]]] = {}
    for record in records_of(tmp_path / "study"):
        by_seed.setdefault(record["seed"], []).append(record)
    assert len(by_seed) == 3
    for first, second in by_seed.values():
        assert first["hashes"] == second["hashes"]
        assert first["curves"]["validation_loss"] != second["curves"]["validation_loss"]


def trial_record(arm: str, changes: dict[str, Any], steps: int = 4, **hashes: str) -> TrialRecord:
    known = {key: hashes.get(key, "0" * 64) for key in ("data", "initial_weights", "batch_order")}
    return TrialRecord.model_validate(
        {"trial": "0" * 16, "batch": "0" * 16, "batch_size": 2, "role": "scoring", "arm": arm, "changes": changes}
        | {"seed": 0, "status": "completed", "hashes": known, "steps_per_epoch": steps}
    )


def test_noise_is_demanded_where_arms_agree() -> None:
    other: dict[str, Any] = {"initial_weights": "1" * 64}
    base = trial_record("base", {})
    check_paired([base, trial_record("wide", {"model.hidden": [9]}, **other)])  # other shapes, other weights
    check_paired([base, trial_record("prelu", {"model.activation": {"name": "prelu", "slope": 0.25}}, **other)])
    for changes in ({"model.activation": {"name": "gelu"}}, {"model.dropout": 0.5}, {"optimizer.lr": 0.1}):
        with pytest.raises(RunFolderError, match="had different initial weights"):
            check_paired([base, trial_record("other", changes, **other)])
    with pytest.raises(RunFolderError, match="had different batch order"):
        check_paired([base, trial_record("wide", {"model.hidden": [9]}, batch_order="1" * 64)])
    whole = trial_record("whole", {"training.batch_size": "full"}, steps=1, batch_order="1" * 64)
    check_paired([trial_record("small", {"training.batch_size": 8}, steps=9), whole])
    small = trial_record("small", {"training.batch_size": 8}, steps=9, batch_order="1" * 64)
    with pytest.raises(RunFolderError, match="had different batch order"):
        check_paired([trial_record("smaller", {"training.batch_size": 4}, steps=18), small])


# --- a regression, by its RMSE ---


def test_a_regression_is_ranked_by_rmse_as_scipy_has_it(tmp_path: Path) -> None:
    found = study(BY_RMSE, tmp_path, base=REGRESSION)
    assert found["metric"] == {"name": "test_rmse", "goal": "min"}
    scores = {name: [trial["score"] for trial in arm["trials"]] for name, arm in found["arms"].items()}
    records = records_of(tmp_path / "study")
    for name, values in scores.items():
        arm = found["arms"][name]
        kept = [record["kept"]["further"]["test_rmse"] for record in records
                if record["role"] == "scoring" and record["arm"] == name and "kept" in record]  # fmt: skip
        assert kept == ([] if name == "broken" else values)
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert (arm["score"]["mean"], arm["score"]["low"], arm["score"]["high"]) == pytest.approx(
            (np.mean(values), low, high)
        )
    assert found["ranking"] == sorted(scores, key=lambda name: statistics.fmean(scores[name]))
    assert found["ranking"][-1] == "broken"
    assert found["sentence"].startswith(f"{found['ranking'][0]} has the lowest mean RMSE, ")
    pairs = {(pair["a"], pair["b"]): pair for pair in found["pairs"]}
    exact = {}
    for a, b in combinations(scores, 2):
        differences = np.subtract(scores[a], scores[b])
        assert pairs[a, b]["mean"] == pytest.approx(differences.mean())
        exact[a, b] = stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
        ).pvalue
        assert pairs[a, b]["p"] == pytest.approx(exact[a, b])
    for pair, corrected in zip(exact, holm(list(exact.values())), strict=True):
        assert pairs[pair]["p_holm"] == pytest.approx(corrected)
        if pairs[pair]["verdict"] == "better":
            assert pairs[pair]["mean"] < 0
    assert found["seeds_for_verdict"] == 8
    assert pairs["base", "broken"]["verdict"] == "better"


def test_a_trial_that_did_not_last_scores_as_the_mean_of_the_training_targets(tmp_path: Path) -> None:
    found = study(BY_RMSE, tmp_path, base=REGRESSION)
    spec = load_comparison(tmp_path / "small.yaml")
    for trial in found["arms"]["broken"]["trials"]:
        splits = SharedData(spec.base)(trial["seed"])
        assert splits.test is not None
        guess = splits.train.chosen_targets().double().mean()
        rmse = (splits.test.chosen_targets().double() - guess).square().mean().sqrt()
        assert (trial["status"], trial["score"]) == ("diverged", pytest.approx(float(rmse), rel=1e-6))


def test_tuning_takes_the_lowest_median_on_validation_rows(tmp_path: Path) -> None:
    found = study(BY_RMSE, tmp_path, base=REGRESSION)
    for name, key in (("base", "optimizer.lr"), ("GELU", "optimizer.lr"), ("wide", "model.hidden")):
        arm = found["arms"][name]
        medians = [(statistics.median(tried["scores"]), tried["setting"][key]) for tried in arm["tuning"]]
        assert arm["changes"][key] == min(medians)[1]
        records = [r for r in records_of(tmp_path / "study") if r["role"] == "tuning" and r["arm"] == name]
        assert sorted(value for tried in arm["tuning"] for value in tried["scores"]) == sorted(
            record["kept"]["further"]["validation_rmse"] for record in records
        )
        assert not [key for record in records for key in record["kept"]["further"] if key.startswith("test")]


def test_lower_is_better_mirrors_the_verdicts() -> None:
    scores = {"a": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], "b": [2.0, 3.5, 4.1, 5.2, 6.7, 7.1, 8.9]}
    [higher], [lower] = (compare_all(scores, higher_is_better=way, tie=0, kind=StudyPair) for way in (True, False))
    assert (higher.verdict, lower.verdict) == ("worse", "better")
    assert higher.model_copy(update={"verdict": "better"}) == lower


@pytest.mark.parametrize("arms", [2, 6, 15])
def test_false_verdicts_of_studies_are_rare(arms: int) -> None:
    """Arms without a difference, skewed scores in some unit, lower is better: at most 6 % of studies say otherwise."""
    rng, studies, wrong = np.random.default_rng(arms), 600 if arms < 15 else 150, 0
    for _ in range(studies):
        common = rng.gamma(2, 20, size=10)
        scores = {str(arm): (common + rng.gamma(2, 3, size=10)).tolist() for arm in range(arms)}
        pairs = compare_all(scores, tie=0, higher_is_better=False, resamples=20, kind=StudyPair)
        wrong += any(pair.verdict in ("better", "worse") for pair in pairs)
    assert wrong / studies <= 0.06


# --- trials by hand, as a search runs them ---


def test_any_changes_and_seeds_train_as_a_batch(tmp_path: Path) -> None:
    plan = make_plan(load_comparison(write(BY_RMSE, tmp_path, base=REGRESSION)).spec)
    trials = [
        Trial("tuning", "a", {"optimizer.lr": 0.02}, 7),
        Trial("tuning", "b", {"optimizer.lr": 0.05, "model.hidden": [4, 4]}, 8),
        Trial("scoring", "c", {"model.dropout": 0.2}, 7),
    ]
    done: list[TrialRecord] = []
    Local().run([plan.batch(trials)], done.extend, lambda _: None)
    assert [record.arm for record in done] == ["a", "b", "c"]
    assert done == run_batch(plan.batch(trials))
    values = [record.kept.figure("validation_rmse") for record in done if record.kept is not None]
    assert len({*values}) == 3


# --- budgets that are not equal ---

BATCHES = """\
arms:
  b10: {training.batch_size: 10, optimizer.lr: 0.1}
  b50: {optimizer.lr: [0.03, 0.1, 0.3]}
  b200: {training.batch_size: full, optimizer.lr: [0.3, 1.0, 3.0]}
tuning: {seeds: 1, extensions: 1}
scoring: {seeds: 3}
target: {metric: validation_accuracy, value: 0.3}
"""


def test_arms_of_other_batches_have_their_own_steps(tmp_path: Path, call: Call) -> None:
    """200 training rows: 20, 4 and 1 steps an epoch, which the records of the trials say too."""
    base = WITH_ADAM.replace("adam, lr: 0.03", "sgd, lr: 0.1").replace("epochs: 2", "epochs: 4")
    found = study(BATCHES, tmp_path, base=base)
    steps = {record["arm"]: record["steps_per_epoch"] for record in records_of(tmp_path / "study")}
    assert steps == {"b10": 20, "b50": 4, "b200": 1}
    assert {name: arm.get("steps_per_epoch", 4) for name, arm in found["arms"].items()} == steps
    files = ComparisonFiles(tmp_path / "study")
    summary, timings = files.read_summary(), files.read_timings()
    for name, _, epochs, shown, *_ in time_rows(summary, timings)[1:]:
        assert epochs == shown == "not reached" or float(shown.replace(",", "")) == float(epochs) * steps[name]
    noted = " ".join(caveats(summary))
    assert "Arms differ in updates, since their steps per epoch do: b10 80, b50 16, b200 4 in 4 epochs" in noted
    trials = {name: len({*map(str, arm["tuning"])}) for name, arm in found["arms"].items()}
    assert trials["b10"] == 0
    assert all(f"{name} {count}" in noted or f"and {name} {count}" in noted for name, count in trials.items())
    write_outputs(files.path, summary, timings)
    rows = [*csv.DictReader((files.path / "summary.csv").read_text().splitlines())]
    assert {(row["arm"], int(row["steps_per_epoch"]), int(row["tuning_trials"])) for row in rows} == {
        (name, steps[name], trials[name]) for name in steps
    }
    page = comparison_page(files.path)
    assert "4 epochs of 1 to 20 steps ·" in page
    assert "with batches of" not in page.partition('id="plan"')[0]
    assert noted.split(". ")[0] in (files.path / "summary.md").read_text()
    first = noted.split(". ")[0]
    assert f"note: {first[0].lower()}{first[1:]}" in call("compare", str(files.path)).out


def test_a_step_that_evaluates_several_gradients_is_said(tmp_path: Path) -> None:
    """As often as torch's L-BFGS at most, and for disturbed inputs once more."""
    model = torch.nn.Linear(2, 1)
    default = torch.optim.LBFGS(model.parameters(), max_iter=8).param_groups[0]["max_eval"]
    text = """\
arms:
  plain: {}
  lbfgs: {optimizer: {name: lbfgs, max_iter: 8}, training.batch_size: full}
  fgsm: {training.adversarial: {name: fgsm, epsilon: 0.1}}
  SAM: {optimizer: {name: "pytorch_optimizer:SAM", base_optimizer: "torch.optim:SGD", lr: 0.1}}
scoring: {seeds: 3}
"""
    found = study(text, tmp_path)
    assert {name: arm.get("gradients_per_step", 1) for name, arm in found["arms"].items()} == {
        "plain": 1, "lbfgs": default, "fgsm": 2, "SAM": 2,
    }  # fmt: skip
    summary = ComparisonFiles(tmp_path / "study").read_summary()
    noted = " ".join(caveats(summary))
    assert "base_optimizer torch.optim:SGD" in describe_setting(summary.optimizers["SAM"])
    assert "foreach" not in describe_setting(summary.optimizers["SAM"])
    assert f"the gradients that a step evaluates at most: lbfgs {default}, " in noted


def test_the_chosen_setting_is_what_is_not_as_by_default(tmp_path: Path) -> None:
    text = """\
arms:
  whole: {model: {hidden: [4]}}
  other: {model: {hidden: [8], activation: {name: leaky_relu, slope: 0.2}}}
  lists: {model.hidden: [[1], [2], [30]]}
tuning: {seeds: 1}
scoring: {seeds: 3}
"""
    study(text, tmp_path)
    summary = ComparisonFiles(tmp_path / "study").read_summary()
    arms = summary.optimizers
    assert describe_setting(arms["whole"]) == "model (hidden [4])"
    assert describe_setting(arms["other"]) == "model (hidden [8], activation leaky_relu (slope 0.2))"
    noted = " ".join(caveats(summary))
    assert "lists: the best model.hidden, [30], is the last of its list" in noted


# --- what is read of it ---


def test_report_tables_and_pictures_of_a_study(tmp_path: Path) -> None:
    study(BY_RMSE + "tie: 0.01\n", tmp_path, base=REGRESSION)
    files = ComparisonFiles(tmp_path / "study")
    summary, timings = files.read_summary(), files.read_timings()
    assert isinstance(summary, StudySummary)
    write_outputs(files.path, summary, timings)
    assert {path.stem for path in (files.path / "pictures").iterdir()} == {
        "scores", "differences", "loss_curves", "rmse_curves", "learning_rates", "budget", "budget_seconds"
    }  # fmt: skip
    table = (files.path / "summary.md").read_text()
    assert "| arm | chosen setting | mean RMSE |" in table
    assert "accuracy" not in table
    assert "optimizer" not in table.replace("optimizer.lr", "")
    page = comparison_page(files.path)
    for words in ("accuracy", "percentage", "compare-optimizers", "largest class", "each optimizer"):
        assert words not in page.partition('id="plan"')[0], words
    assert "lower is better" in page
    rows = (files.path / "summary.csv").read_text().splitlines()
    assert len(rows) == 1 + 4 * 8
    assert rows[0].startswith("arm,")


def test_commands_on_a_study(tmp_path: Path, call: Call) -> None:
    path = str(write(RELU_GELU + "scoring: {seeds: 6}\n", tmp_path, base=WITH_ADAM))
    assert call("check", path).out.startswith("small: 2 arms (ReLU, GELU) by test_accuracy, higher is better;")
    planned = call("compare", path, "--plan", "--json").json
    assert planned["scoring_trials"] == 12
    assert planned["scored_rows"] == 200
    assert 1 / 200 < planned["assumed_spread"] < planned["smallest_detectable"] < 0.05  # a row is the least difference
    assert "percentage points" in call("compare", path, "--plan").out
    found = call("compare", path, "--json", "--run-dir", str(tmp_path / "own")).json
    written = json.loads((tmp_path / "own" / "summary.json").read_bytes())
    assert list(found) == ["folder", *written, "timings"]
    assert found["metric"] == {"name": "test_accuracy", "goal": "max"}
    assert list(found["arms"]) == ["ReLU", "GELU"]
    assert found["arms"]["GELU"]["changes"] == {"model.activation": {"name": "gelu"}}
    shown = call("compare", str(tmp_path / "own")).out
    assert found["sentence"] in shown
    assert "repeat: mlptrain compare " in shown
    refused = call("train", path)
    assert (refused.code, f"run it with `mlptrain compare {path}`" in refused.message) == (2, True)
    assert call("report", str(tmp_path / "own")).code == 0


@pytest.mark.parametrize("split", ["{by: random}", "{by: random, draw: 0}"])
def test_test_rows_that_tuning_may_have_used_are_told(tmp_path: Path, call: Call, split: str) -> None:
    base = REGRESSION.replace("function, function: sin, n_samples: 120", f"diabetes, split: {split}")
    arms = "arms: {A: {optimizer.lr: [0.01, 0.03]}, B: {}}\ntuning: {seeds: 1, extensions: 0}\nscoring: {seeds: 2}\n"
    told = call("compare", str(write(arms, tmp_path, base=base)), "--run-dir", str(tmp_path / "own"))
    assert told.code == 0
    words = "est rows are drawn by the seed, so that those of a scoring seed may have been used in tuning"
    page = comparison_page(tmp_path / "own")
    assert [f"note: t{words}" in told.err, f"T{words}" in page] == ["draw" not in split] * 2
    hashes: dict[str, set[str]] = {}
    for record in records_of(tmp_path / "own"):
        hashes.setdefault(record["role"], set()).add(record["hashes"]["data"])
    assert len(hashes["scoring"]) == 2  # the validation rows are each seed's own


# --- what is refused ---

PAIR = "arms: {A: {}, B: {optimizer.lr: 0.1}}\n"
BAD: dict[str, tuple[str, str, str]] = {  # the text, the faulty path, and its message
    "an unknown key": (
        "arms: {A: {}, B: {model.activaton: relu}}", "arms.B.model.activaton", "did you mean 'activation'"
    ),
    "no path": ("arms: {A: {}, B: {'model..x': 1}}", "arms.B.model..x", "must be a key of the base such as"),
    "an unknown section": (
        "arms: {A: {}, B: {modle.hidden: 1}}", "arms.B.modle.hidden", "modle: unknown key; did you mean 'model'"
    ),
    "a bad value": ("arms: {A: {}, B: {model.hidden: [0]}}", "arms.B.model.hidden[0]", "must be at least 1, got 0"),
    "a bad value to choose": (
        "arms: {A: {}, B: {optimizer.lr: [0.1, -1]}}", "arms.B.optimizer.lr[1]", "must be above 0, got -1"
    ),
    "other rows": (
        "arms: {A: {}, B: {data.train_size: 9}}", "arms.B.data.train_size", "changes the rows that are scored"
    ),
    "other validation rows": (
        "arms: {A: {}, B: {data.validation: 9}}", "arms.B.data.validation", "could not be compared"
    ),
    "other data": ("arms: {A: {}, B: {data: iris}}", "arms.B.data", "changes the rows that are scored"),
    "another measure": (
        "arms: {A: {}, B: {evaluation.split: test}}", "arms.B.evaluation.split", "changes what is measured"
    ),
    "other budgets": ("arms: {A: {}, B: {training.epochs: 9}}", "arms.B.training.epochs", "unequal budgets"),
    "stopping early": (
        "arms: {A: {}, B: {training.early_stopping: 3}}", "arms.B.training.early_stopping", "unequal budgets"
    ),
    "budgets of a whole section": (
        "arms: {A: {}, B: {training: {batch_size: 4}}}", "arms.B.training", "keys, such as training.batch_size"
    ),
    "a part of a section": (
        "arms: {A: {}, B: {model: {activation: gelu}}}", "arms.B.model",
        "leaves out hidden: a section replaces that of the base as a whole; write model.activation: gelu to change",
    ),
    "a part of an optimizer": (
        "arms: {A: {}, B: {optimizer: {lr: [0.1, 0.2]}}}", "arms.B.optimizer", "write optimizer.lr: [0.1, 0.2] to"
    ),
    "a range": (
        "arms: {A: {}, B: {optimizer.lr: {log_uniform: [0.1, 1]}}}", "arms.B.optimizer.lr",
        "log_uniform is a range of a search",
    ),
    "a misspelt grid": (
        "arms: {A: {}, B: {optimizer.lr: {loggrid: [0.1, 1, 2]}}}", "arms.B.optimizer.lr", "did you mean 'log_grid'?"
    ),
    "an unknown key with one value": (
        "arms: {A: {}, B: {model.hiden: [3]}}", "arms.B.model.hiden", "did you mean 'hidden'?"
    ),
    "an unknown key to choose": (
        "arms: {A: {}, B: {model.droput: [0.1, 0.2]}}", "arms.B.model.droput", "did you mean 'dropout'?"
    ),
    "keys of the base's path": (
        "arms: {A: {}, B: {base.model.dropout: 0.1}}", "arms.B.base.model.dropout", "write model.dropout"
    ),
    "a place that is not there": (
        "arms: {A: {}, B: {'model.hidden[3]': 4}}", "arms.B.model.hidden[3]", "to replace in the base"
    ),
    "misspelt arms": ("arm: {A: {}, B: {model.dropout: 0.1}}", "arm", "did you mean 'arms'?"),
    "another word for arms": ("variants: {A: {}, B: {model.dropout: 0.1}}", "variants", "did you mean 'arms'?"),
    "seeds beside them": (PAIR + "seeds: 5", "seeds", "seeds stand in scoring: {seeds: 10} and tuning: {seeds: 3}"),
    "a number of trials": (PAIR + "tuning: {trials: 5}", "tuning.trials", "every setting of a grid is tried"),
    "another word for a split": (
        PAIR + "metric: val_loss", "metric.name", "there is no split 'val'; did you mean 'validation_loss'?"
    ),
    "a goal in full": (PAIR + "metric: {name: test_loss, goal: minimize}", "metric.goal", "did you mean 'min'?"),
    "a seed": ("arms: {A: {}, B: {seed: 9}}", "arms.B.seed", "set scoring.seeds"),
    "equal content": (
        "arms: {A: {}, B: {model.activation: relu}}", "arms.B", "is the same as 'A', so the two could only tie"
    ),
    "one arm": ("arms: {A: {}}", "arms", "must name at least 2 arms to compare, got 1"),
    "arms of text": ("arms: relu", "arms", "must be a mapping such as {ReLU: {model.activation: relu}"),
    "an arm of text": ("arms: {A: {}, B: relu}", "arms.B", "must be a mapping of keys of the base"),
    "one value to choose": ("arms: {A: {}, B: {optimizer.lr: [0.1]}}", "arms.B.optimizer.lr", "got one; write"),
    "a value twice": (
        "arms: {A: {}, B: {optimizer.lr: [0.1, 0.1]}}", "arms.B.optimizer.lr[1]", "repeats the value 0.1"
    ),
    "a large grid": (
        "arms: {A: {}, B: {optimizer.lr: {log_grid: [1e-5, 1, 40]}, model.dropout: {log_grid: [1e-3, 0.5, 40]}}}",
        "arms.B", "the grids make 1,600 settings; the limit is 1,000",
    ),
    "a metric that is not recorded": (
        PAIR + "metric: test_f1", "metric.name", "add it there, evaluation: {metrics: [f1]}"
    ),
    "a metric of numbers": (
        PAIR + "metric: rmse", "metric.name", "rmse needs numbers, but the targets of 'digits' are classes"
    ),
    "no metric": (
        PAIR + "metric: {name: test_acuracy}", "metric.name", "so which way is better is not known; did you mean"
    ),
    "the other direction": (
        PAIR + "metric: {name: test_accuracy, goal: min}", "metric.goal", "is min, but accuracy is better when higher"
    ),
    "of training rows": (PAIR + "metric: {name: train_loss}", "metric.name", "is of the rows that are trained on"),
    "two splits": (
        PAIR + "metric: test_loss\nscoring: {split: validation}", "scoring.split", "but the metric is test_loss"
    ),
    "values of other losses": (
        "arms: {A: {}, B: {loss: mse}}\nmetric: loss", "arms.B.loss", "changes what the metric loss measures"
    ),
    "both sections": (PAIR + "optimizers: {A: sgd, B: adam}", "optimizers", "beside arms; leave one of the two out"),
    "a tie of ten": (PAIR + "tie: 10", "tie", "must be below 1, got 10"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_one_located_fault(name: str, tmp_path: Path) -> None:
    text, path, message = BAD[name]
    file = write(f"{text}\n", tmp_path, base=WITH_ADAM)
    with pytest.raises(SpecError) as error:
        load_comparison(file)
    [fault] = error.value.faults
    assert (fault.path, message in fault.message) == (path, True), fault
    # Their own section's line, not that of the base.
    assert fault.line is not None
    assert fault.line > len(f"name: small\n{WITH_ADAM}".splitlines())


def test_an_option_changes_a_key_of_an_arm(tmp_path: Path) -> None:
    file = write("arms: {A: {model.hidden: [4]}, B: {optimizer.lr: 0.1}}\n", tmp_path, base=WITH_ADAM)
    options = ["arms.B.optimizer.lr=[0.1, 0.2]", "arms.A.model.activation=gelu", "arms.A.model.hidden[0]=5"]
    arms = load_comparison(file, options).spec.arms
    assert arms["B"].grids == {"optimizer.lr": [0.1, 0.2]}
    assert arms["A"].fixed == {"model.hidden": [5], "model.activation": {"name": "gelu"}}
    with pytest.raises(SpecError, match=r"--set arms\.B\.optimizer\.rate=1  arms\.B\.optimizer\.rate: unknown key"):
        load_comparison(file, ["arms.B.optimizer.rate=1"])


def test_an_option_changes_a_key_of_an_arm_whose_name_holds_dots_and_signs(tmp_path: Path) -> None:
    file = write(
        "arms: {lr.0.1: {}, lr.0.1.b: {model.hidden: [4]}, x (y=1): {model.hidden: [6]}}\n", tmp_path, base=WITH_ADAM
    )
    options = ["arms.lr.0.1.model.hidden[0]=5", "arms.lr.0.1.b.model.hidden[0]=7", "arms.x (y=1).model.activation=gelu"]
    options = ["arms.lr.0.1={model.hidden: [3]}", *options, "arms.new={model.activation: tanh}"]
    arms = load_comparison(file, options).spec.arms
    assert {name: arm.fixed.get("model.hidden") for name, arm in arms.items()} == {
        "lr.0.1": [5], "lr.0.1.b": [7], "x (y=1)": [6], "new": None
    }  # fmt: skip
    with pytest.raises(SpecError, match=r"arms has no 'lr'; there are: lr\.0\.1, lr\.0\.1\.b, x \(y=1\)"):
        load_comparison(file, ["arms.lr.optimizer.lr=1"])
    with pytest.raises(
        SpecError, match=r"--set arms\.x \(y=1\)\.optimizer\.lr=-1  arms\.x \(y=1\)\.optimizer\.lr: must be above"
    ):
        load_comparison(file, ["arms.x (y=1).optimizer.lr=-1"])


@pytest.mark.parametrize("kind", ["search", "comparison"])
def test_a_search_and_a_comparison_are_not_taken_for_each_other(kind: str, tmp_path: Path, call: Call) -> None:
    search = write("space: {model.dropout: {uniform: [0, 0.5]}}\n", tmp_path, base=WITH_ADAM)
    (tmp_path / "other").mkdir()
    comparison = write(PAIR, tmp_path / "other", base=WITH_ADAM)
    path, right = (search, "search") if kind == "search" else (comparison, "compare")
    for command in ["train", *(["compare", "compare-optimizers"] if kind == "search" else ["search"])]:
        refused = call(command, str(path))
        assert (refused.code, refused.message.count("\n")) == (2, 0)
        assert f"is a {kind}, " in refused.message
        assert f"run it with `mlptrain {right} {path}`" in refused.message
    (as_base := tmp_path / "on_top.yaml").write_text(f"base: {path}\n{PAIR}")
    with pytest.raises(SpecError, match=f"on_top.yaml:1:7  base: .* is a {kind}, not an experiment"):
        load_comparison(as_base)


def test_unequal_budgets_are_said(tmp_path: Path, call: Call) -> None:
    """Before the study, and beside its result; a target may be in its metric."""
    text = "arms: {A: {}, B: {optimizer.lr: [0.1, 0.2]}}\nmetric: rmse\nscoring: {seeds: 2}\n"
    path = write(text + "tuning: {seeds: 1, extensions: 0}\n", tmp_path, base=REGRESSION)
    assert any("tuning budgets differ" in str(warning) for warning in load_comparison(path).warnings)
    target = ["--set", "target={metric: validation_rmse, value: 0.6}"]
    shown = call("compare", str(path), "--run-dir", str(tmp_path / "study"), *target).out
    assert "note: tuning budgets differ, which favours the larger: tuning trials of A 0, B 2." in shown
    assert "time to validation RMSE of at most 0.6" in shown
    summary = json.loads((tmp_path / "study" / "summary.json").read_bytes())
    for name, arm in summary["arms"].items():
        records = [r for r in records_of(tmp_path / "study") if (r["role"], r["arm"]) == ("scoring", name)]
        curves = [record["curves"]["validation_rmse"] for record in records]
        first = [next((at for at, rmse in enumerate(curve) if at and rmse <= 0.6), None) for curve in curves]
        assert arm["epochs_to_target"]["trials"] == first
    assert any(arm["epochs_to_target"]["reached"] for arm in summary["arms"].values())


def test_a_target_may_be_in_any_metric_that_runs_record(tmp_path: Path) -> None:
    """Of a regression by R² the RMSE, which is the root of the mean squared error, epoch by epoch."""
    text = "arms: {A: {}, B: {optimizer.lr: 0.1}}\nmetric: r2\nscoring: {seeds: 2}\n"
    found = study(text + "target: {metric: validation_rmse, value: 0.6}\n", tmp_path, base=REGRESSION)
    trials: dict[str, list[int | None]] = {"A": [], "B": []}
    for record in records_of(tmp_path / "study"):
        curves = record["curves"]
        np.testing.assert_allclose(curves["validation_rmse"], np.sqrt(curves["validation_loss"]), rtol=1e-6)
        reached = [epoch for epoch, loss in enumerate(curves["validation_loss"]) if epoch and loss <= 0.6**2]
        trials[record["arm"]].append(min(reached, default=None))
    assert {name: arm["epochs_to_target"]["trials"] for name, arm in found["arms"].items()} == trials
    assert any(trials["A"] + trials["B"])
    listed = WITH_ADAM + "  evaluation: {metrics: [f1]}\n"
    lower = RELU_GELU + "scoring: {seeds: 1}\ntarget: {metric: validation_f1, value: 0.05}\n"
    study(lower, tmp_path, base=listed, name="f1")
    assert all(len(record["curves"]["validation_f1"]) == 3 for record in records_of(tmp_path / "f1"))


@pytest.mark.parametrize(
    ("arms", "counts"),
    [
        ("{A: {}, B: {model.hidden: [16, 4]}, C: {model.bias: false}}", [64 * 8 + 8 + 8 * 10 + 10,
         64 * 16 + 16 + 16 * 4 + 4 + 4 * 10 + 10, 64 * 8 + 8 * 10]),
        ("{A: {}, B: {model.members: {k: 4, kind: mini}}}",
         [64 * 8 + 8 + 8 * 10 + 10, 64 * 8 + 8 + 4 * 64 + 40 * 8 + 40]),
        ("{A: {}, B: {model.activation: gelu}}", None),
        ("{A: {}, B: {optimizer.lr: 0.1}}", None),
    ],
)  # fmt: skip
def test_arms_with_networks_of_different_sizes_say_so(
    arms: str, counts: list[int] | None, tmp_path: Path, call: Call
) -> None:
    path = write(f"arms: {arms}\nscoring: {{seeds: 1}}\n", tmp_path, base=WITH_ADAM)
    shown = call("compare", str(path), "--run-dir", str(tmp_path / "study")).out
    page = comparison_page(tmp_path / "study")
    assert ("differ in parameters" in shown, "differ in parameters" in page) == (counts is not None, counts is not None)
    if counts is not None:
        names = "ABC"[: len(counts)]
        summary = json.loads((tmp_path / "study" / "summary.json").read_bytes())
        assert [summary["arms"][name]["parameters"] for name in names] == counts
        least, most = (names[counts.index(end)] for end in (min(counts), max(counts)))
        said = f"note: arms differ in parameters, from {min(counts):,} ({least}) to {max(counts):,} ({most}): part"
        assert said in shown


def test_parameters_are_counted_where_the_data_decide_how_wide_inputs_are(tmp_path: Path) -> None:
    """As many as the modules have that the arms train to."""
    base = {"data": "penguins", "model": {"hidden": [4]}, "optimizer": "adam", "training": {"epochs": 1}}
    arms: dict[str, dict[str, Any]] = {
        "codes": {},
        "embedded": {"model.numeric_embedding": "periodic"},
        "few": {"data.columns": {"sex": "drop"}},
    }
    _, summary = run({"base": base, "arms": arms, "scoring": {"seeds": 1}}, run_dir=tmp_path / "study")
    for name, changes in arms.items():
        overrides = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
        outcome = mlptrain.train(base, overrides=overrides, run_dir=tmp_path / name)
        module = mlptrain.load(outcome)
        assert summary.optimizers[name].parameters == sum(one.numel() for one in module.parameters())


def test_equal_budgets_are_passed_over(tmp_path: Path, call: Call) -> None:
    text = "arms: {A: {optimizer.lr: [0.1, 0.3]}, B: {optimizer.lr: [0.001, 0.003]}}\nscoring: {seeds: 1}\n"
    path = write(text + "tuning: {seeds: 1, extensions: 1}\n", tmp_path, base=WITH_ADAM)
    shown = call("compare", str(path), "--run-dir", str(tmp_path / "study")).out
    assert "Tuning budgets differ" not in shown
    summary = json.loads((tmp_path / "study" / "summary.json").read_bytes())
    assert any(arm["tuning_trials"] == 3 for arm in summary["optimizers"].values())  # one more, by the rule


@pytest.mark.parametrize(
    ("value", "fixed", "grid"),
    [
        ("model.hidden: [4, 4]", [4, 4], None),
        ("model.hidden: [[4], [4, 4]]", None, [[4], [4, 4]]),
        ("model.dropout: 0.5", 0.5, None),
        ("model.dropout: [0.5, 0.1]", None, [0.1, 0.5]),
        ("model.dropout: [[0.5]]", [0.5], None),
        ("optimizer.betas: [0.8, 0.9]", [0.8, 0.9], None),
        ("optimizer.betas: [[0.8, 0.9], [0.9, 0.99]]", None, [[0.8, 0.9], [0.9, 0.99]]),
        ("training.batch_size: [20, 10]", None, [10, 20]),
        ("model.activation: [relu, {name: leaky_relu, slope: 0.2}]", None,
         [{"name": "relu"}, {"name": "leaky_relu", "slope": 0.2}]),
        ("model.norm: batch", {"name": "batch", "eps": 1e-05, "momentum": 0.1}, None),
    ],
)  # fmt: skip
def test_a_value_that_is_a_list_and_a_list_of_values(value: str, fixed: object, grid: object, tmp_path: Path) -> None:
    text = f"arms: {{A: {{model.bias: false}}, B: {{{value}}}}}\n"
    arm = load_comparison(write(text, tmp_path, base=WITH_ADAM)).spec.arms["B"]
    [key] = [*arm.fixed, *arm.grids]
    assert key == value.partition(":")[0]
    assert (arm.fixed.get(key), arm.grids.get(key)) == (fixed, grid)
