"""Same noise for all, a test set that is read after everything is chosen, and choices that follow from the records."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import mlptrain
from mlptrain.data import Examples, Splits
from mlptrain.errors import RunFolderError
from mlptrain.experiment.build import SharedData
from mlptrain.spec import load_spec
from tests.comparison.small import FIXED, TUNED, Result, compare, load

# --- paired noise ---


def test_all_optimizers_of_a_seed_had_the_same_noise(tmp_path: Path) -> None:
    found = compare(TUNED, tmp_path)
    for what in ("initial_weights", "batch_order", "data"):
        by_seed = {(record["seed"], record["hashes"][what]) for record in found.records}
        assert len(by_seed) == len({digest for _, digest in by_seed}) == 6  # one for each of six seeds, all different
    assert len(found.records) > 9 * 3 + 3 * 3


def test_a_trial_is_what_training_alone_gives(tmp_path: Path) -> None:
    """Beside two other optimizers, and over another seed's head: the same noise, and the same curve to rounding."""
    spec = load(FIXED, tmp_path)
    found = compare(FIXED, tmp_path)
    record = next(one for one in found.of_role("scoring") if one["seed"] == 1 and one["optimizer"] == "Adam")
    path = tmp_path / "alone.yaml"
    path.write_text((tmp_path / "small.yaml").read_text().split("optimizers:")[0].replace("base:\n", ""))
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join(line.removeprefix("  ") for line in lines) + "\noptimizer: {name: adam, lr: 0.03}\nseed: 1\n"
    )
    assert load_spec(path).spec.model == spec.base.model
    run = mlptrain.train(path, run_dir=tmp_path / "run").folder.path
    assert json.loads((run / "environment.json").read_bytes())["hashes"] == record["hashes"]
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for key in ("validation_loss", "validation_accuracy"):
        assert record["curves"][key] == pytest.approx([line[key] for line in metrics], rel=1e-4)
    assert record["curves"]["train_loss"] == pytest.approx([line["train_loss"] for line in metrics[1:]], rel=1e-4)
    result = json.loads((run / "result.json").read_bytes())
    assert record["kept"]["epoch"] == result["kept"]["epoch"]
    assert record["kept"]["test_accuracy"] == pytest.approx(result["kept"]["test_accuracy"])


@pytest.mark.parametrize("what", ["initial_weights", "batch_order", "data"])
def test_other_noise_on_record_is_an_error(tmp_path: Path, what: str) -> None:
    found = compare(FIXED, tmp_path)
    changed = found.records[1]
    changed["hashes"][what] = "0" * 64
    found.forge(found.records)
    with pytest.raises(RunFolderError, match=f"{changed['trial']} of seed 0 had different {what.replace('_', ' ')}"):
        compare(FIXED, tmp_path)


def test_other_noise_in_a_later_trial_is_an_error(tmp_path: Path) -> None:
    """The record that is there may be the odd one: it is found when the next batch of its seed comes."""
    base = "base: {data: {name: spirals, validation: 0.5}, model: {hidden: [4]}, training: {epochs: 1}}\n"
    text = "optimizers: {a: {name: sgd, lr: 0.1}, b: {name: adam, lr: 0.1}}\nscoring: {seeds: 2}\n"
    found = compare(text, tmp_path, base=base)
    kept = [record for record in found.records if record["seed"] == 0]
    for record in kept:
        record["seed"], record["batch"] = 1, "0123456789abcdef"  # of another plan
    found.forge(kept)
    with pytest.raises(RunFolderError, match="of seed 1 had different"):
        compare(text, tmp_path, base=base)


# --- the test set ---


class CountedExamples:
    """The test split with its labels in another order; ``read`` is called when anything but the labels is asked for."""

    def __init__(self, examples: Examples, read: Callable[[], None]) -> None:
        self._examples, self._read = replace(examples, y=examples.y.roll(1)), read

    @property
    def targets(self) -> Tensor:
        return self._examples.targets

    def __getattr__(self, name: str) -> Any:
        self._read()
        return getattr(self._examples, name)


def test_the_test_set_is_read_once_per_scored_trial_after_tuning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = compare(TUNED, tmp_path, name="honest")
    of_seed = SharedData.__call__
    looks: list[int] = []  # at each, how many tuning trials were on record

    def look() -> None:
        looks.append((tmp_path / "blind" / "trials.jsonl").read_text().count('"role": "tuning"'))

    def counted(data: SharedData, seed: int) -> Splits:
        splits = of_seed(data, seed)
        assert splits.test is not None
        test: Any = CountedExamples(splits.test, look)
        return replace(splits, test=test)

    monkeypatch.setattr(SharedData, "__call__", counted)
    blind = compare(TUNED, tmp_path, name="blind")

    tuning = len(honest.of_role("tuning"))
    assert looks == [tuning] * len(honest.of_role("scoring"))
    assert honest.lines[:tuning] == blind.lines[:tuning]  # labels that are nonsense change nothing that is chosen by
    for name in ("SGD", "Nesterov", "Adam"):
        for key in ("setting", "grids", "tuning", "extensions", "under_tuned"):
            assert honest.optimizer(name)[key] == blind.optimizer(name)[key]
    assert blind.optimizer("Adam")["accuracy"]["mean"] < honest.optimizer("Adam")["accuracy"]["mean"]


def test_nothing_of_the_test_set_is_on_record_of_tuning(tmp_path: Path) -> None:
    found = compare(TUNED, tmp_path)
    for record in found.of_role("tuning"):
        assert "scored" not in record
        assert not [key for key in (*record["kept"], *record["curves"]) if key.startswith("test")]
    for record in found.of_role("scoring"):
        assert record["scored"]["split"] == "test"
        assert not [key for key in record["curves"] if key.startswith("test")]


def test_each_trial_is_scored_once_on_seeds_that_chose_nothing(tmp_path: Path) -> None:
    found = compare(TUNED, tmp_path)
    scored = Counter((record["optimizer"], record["seed"]) for record in found.of_role("scoring"))
    assert scored == Counter({(name, seed): 1 for name in ("SGD", "Nesterov", "Adam") for seed in (0, 1, 2)})
    assert {record["seed"] for record in found.of_role("tuning")} == {100, 101, 102}
    assert len({record["trial"] for record in found.records}) == len(found.records)


# --- tuning ---


def by_hand(found: Result, name: str) -> tuple[float, dict[float, float]]:
    """The learning rate with the best median of the kept accuracies, of equals the one with the best mean."""
    accuracies: dict[float, list[float]] = {}
    for record in found.of_role("tuning"):
        if record["optimizer"] == name:
            accuracies.setdefault(record["setting"]["lr"], []).append(record["kept"]["validation_accuracy"])
    assert {len(values) for values in accuracies.values()} == {3}
    medians = {lr: statistics.median(values) for lr, values in accuracies.items()}
    best = max(medians, key=lambda lr: (medians[lr], statistics.fmean(accuracies[lr])))
    return best, medians


@pytest.mark.parametrize("seeds", ["3", "[102, 119, 132]"])  # with the second SGD's best mean is at another rate
def test_the_choice_is_the_best_median_on_validation_data(tmp_path: Path, seeds: str) -> None:
    found = compare(TUNED.replace("{seeds: 3, extensions: 1}", f"{{seeds: {seeds}, extensions: 1}}"), tmp_path)
    for name in ("SGD", "Nesterov", "Adam"):
        best, medians = by_hand(found, name)
        entry = found.optimizer(name)
        assert entry["setting"]["lr"] == best
        assert sorted(medians) == entry["grids"]["lr"]
        assert {tried["setting"]["lr"]: statistics.median(tried["accuracies"]) for tried in entry["tuning"]} == medians
        assert {record["setting"]["lr"] for record in found.of_role("scoring") if record["optimizer"] == name} == {best}


def test_every_optimizer_gets_the_same_trials_before_extensions(tmp_path: Path) -> None:
    found = compare(TUNED, tmp_path, "tuning.extensions=0")
    assert Counter(record["optimizer"] for record in found.of_role("tuning")) == {"SGD": 9, "Nesterov": 9, "Adam": 9}
    assert {found.optimizer(name)["tuning_trials"] for name in ("SGD", "Nesterov", "Adam")} == {9}
    assert {len(record["curves"]["validation_loss"]) for record in found.records} == {3}  # the same epochs


# --- the edge of a grid ---

PAIR = "optimizers: {{tuned: {tuned}, other: {{name: adam, lr: 0.03}}}}\ntuning: {{seeds: 3, extensions: {most}}}\n"
ONE_SEED = "scoring: {seeds: 1}\n"


def tuned_alone(tmp_path: Path, tuned: str, most: int) -> dict[str, Any]:
    return compare(PAIR.format(tuned=tuned, most=most) + ONE_SEED, tmp_path, "base.training.epochs=6").optimizer(
        "tuned"
    )


def test_an_edge_goes_on_by_the_ratio_until_the_best_lies_inside(tmp_path: Path) -> None:
    entry = tuned_alone(tmp_path, "{name: sgd, lr: [0.01, 0.1]}", 5)
    assert entry["grids"]["lr"] == [0.01, 0.1, 1.0, 10.0]  # 1 is better than 0.1, and 10 is not
    assert (entry["setting"]["lr"], entry["extensions"], entry["under_tuned"]) == (1.0, 2, False)
    assert entry["tuning_trials"] == 4 * 3


def test_the_lower_edge_goes_on_too(tmp_path: Path) -> None:
    entry = tuned_alone(tmp_path, "{name: sgd, lr: [3.0, 30.0]}", 5)
    assert entry["grids"]["lr"][:2] == [0.03, 0.3]
    assert (entry["setting"]["lr"], entry["under_tuned"]) == (0.3, False)


@pytest.mark.parametrize("most", [0, 1])
def test_beyond_the_cap_an_optimizer_is_under_tuned(tmp_path: Path, most: int) -> None:
    entry = tuned_alone(tmp_path, "{name: sgd, lr: [0.01, 0.1]}", most)
    assert entry["grids"]["lr"] == [0.01, 0.1, 1.0][: 2 + most]
    assert (entry["setting"]["lr"], entry["extensions"]) == (entry["grids"]["lr"][-1], most)
    assert entry["under_tuned"]


def test_nothing_lies_beyond_a_natural_bound(tmp_path: Path) -> None:
    entry = tuned_alone(tmp_path, "{name: sgd, lr: 0.3, weight_decay: [0, 3.0]}", 3)
    assert (entry["setting"]["weight_decay"], entry["grids"]["weight_decay"]) == (0, [0, 3])
    assert (entry["extensions"], entry["under_tuned"]) == (0, False)


def test_an_edge_that_the_rule_cannot_extend_is_an_edge(tmp_path: Path) -> None:
    """The next momentum by the rule would be 1.62, yet 0.95 might be better than 0.9."""
    entry = tuned_alone(tmp_path, "{name: sgd, lr: 0.03, momentum: [0.5, 0.9]}", 3)
    assert (entry["setting"]["momentum"], entry["grids"]["momentum"]) == (0.9, [0.5, 0.9])
    assert (entry["extensions"], entry["under_tuned"]) == (0, True)


def test_two_fields_extend_together(tmp_path: Path) -> None:
    entry = tuned_alone(tmp_path, "{name: sgd, lr: [0.01, 0.1], weight_decay: [0.1, 1.0]}", 1)
    assert entry["grids"] == {"lr": [0.01, 0.1, 1.0], "weight_decay": [0.01, 0.1, 1.0]}
    assert entry["tuning_trials"] == 9 * 3
