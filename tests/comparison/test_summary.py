"""From records to what is said: verdicts, special cases that win, times to a target."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlptrain.comparison.summary import sentence
from mlptrain.runs.comparison import OptimizerResult, Pair, Reason, Verdict
from tests.comparison.small import BASE, compare

SIX = BASE.replace("epochs: 2", "epochs: 6")
SCORING = "scoring: {seeds: 6}\n"


def fixed(**optimizers: str) -> str:
    entries = ", ".join(f"{name}: {{{values}}}" for name, values in optimizers.items())
    return f"optimizers: {{{entries}}}\ntuning: none\n{SCORING}"


GOOD, SLOW = "name: sgd, lr: 1.0", "name: sgd, lr: 0.01"
SLOW_MOMENTUM = "name: sgd, lr: 1.0e-4, momentum: 0.5"


# --- verdicts ---


def test_a_clear_difference_is_better_or_worse(tmp_path: Path) -> None:
    found = compare(fixed(good=GOOD, slow=SLOW), tmp_path, base=SIX).summary
    [pair] = found["pairs"]
    scores = {name: [trial["score"] for trial in found["optimizers"][name]["trials"]] for name in ("good", "slow")}
    assert all(good > slow for good, slow in zip(scores["good"], scores["slow"], strict=True))
    assert (pair["a"], pair["b"], pair["verdict"], pair["p"], pair["p_holm"]) == (
        "good",
        "slow",
        "better",
        2 / 2**6,
        2 / 2**6,
    )
    assert found["sentence"].startswith("good has the highest mean accuracy")
    assert "better than slow" in found["sentence"]


def test_the_same_setting_ties(tmp_path: Path) -> None:
    found = compare(fixed(one=GOOD, two=GOOD), tmp_path, base=SIX)
    [pair] = found.summary["pairs"]
    assert (pair["verdict"], pair["mean"], pair["low"], pair["high"]) == ("tie", 0, 0, 0)
    assert len(found.records) == 6  # equal trials are trained once
    assert "tied with two" in found.summary["sentence"]


def test_holm_counts_all_pairs(tmp_path: Path) -> None:
    """Six seeds suffice for one pair and not for three."""
    found = compare(fixed(good=GOOD, slow=SLOW, other="name: sgd, lr: 0.02"), tmp_path, base=SIX).summary
    assert {pair["verdict"] for pair in found["pairs"]} == {"no verdict"}
    assert found["seeds_for_verdict"] == 7


def test_nothing_is_claimed_against_an_under_tuned_optimizer(tmp_path: Path) -> None:
    text = f"""\
optimizers: {{good: {{{GOOD}}}, slow: {{name: sgd, lr: [0.001, 0.01]}}}}
tuning: {{seeds: 1, extensions: 0}}
{SCORING}"""
    found = compare(text, tmp_path, base=SIX).summary
    [pair] = found["pairs"]
    assert found["optimizers"]["slow"]["under_tuned"]
    assert (pair["p_holm"], pair["verdict"], pair["reason"]) == (2 / 2**6, "not decided", "under-tuned")
    assert "without a verdict (under-tuned) against slow" in found["sentence"]
    assert "significant" not in found["sentence"]
    assert "slow is under-tuned" in found["sentence"]


def told_of(
    others: int, *, verdict: Verdict = "no verdict", reason: Reason | None = "too few seeds", did_not_learn: int = 0
) -> str:
    """The sentence about a best optimizer and others of one verdict, of which some did not learn."""
    names = ["best", *(f"n{index}" for index in range(others))]
    trial = {"seed": 0, "trial": "", "status": "completed", "score": 0.9, "accuracy": 0.9, "loss": 0.1, "epoch": 1}
    entry = {
        "setting": {"name": "sgd", "lr": 0.1}, "grids": {}, "tuning_trials": 0, "failed_tuning_trials": 0,
        "extensions": 0, "under_tuned": False, "tuning": [], "trials": [trial] * 7, "completed": 7, "diverged": 0,
        "accuracy": {"mean": 0.9, "low": None, "high": None, "median": 0.9}, "failed": 0, "epochs_to_target": None,
        "curves": {},
    }  # fmt: skip
    optimizers = {
        name: OptimizerResult.model_validate(entry | {"did_not_learn": 7 * (0 < index <= did_not_learn)})
        for index, name in enumerate(names)
    }
    pairs = [
        Pair(a="best", b=name, n=7, mean=0.1, low=0.0, high=0.2, p=0.1, p_holm=0.1, verdict=verdict, reason=reason)
        for name in names[1:]
    ]
    return sentence(names, optimizers, pairs)


def test_the_sentence_names_some_and_counts_many() -> None:
    assert (
        told_of(2, verdict="better", reason=None)
        == "best has the highest mean accuracy, 90.00 %: better than n0 and n1."
    )
    assert told_of(19).endswith(": without a verdict (too few seeds) against all 19 others.")
    assert told_of(2, did_not_learn=1).endswith(". n0 did not learn in 7 of 7 trials.")
    assert told_of(8, did_not_learn=7).endswith(
        ". n0, n1, n2, n3, n4, n5 and 1 more did not learn in 7 of 7 trials each."
    )


# --- inclusion ---


def noted(found: dict[str, object]) -> list[tuple[str, str]]:
    pairs = found["inclusion"]
    assert isinstance(pairs, list)
    return [(pair["a"], pair["b"]) for pair in pairs]


@pytest.mark.parametrize(
    ("wide", "narrow", "is_noted"),
    [
        (SLOW_MOMENTUM, GOOD, True),
        (f"{SLOW_MOMENTUM}, nesterov: true", GOOD, True),
        ("name: rmsprop, lr: 1.0e-6, momentum: 0.5", "name: rmsprop, lr: 0.01", True),
        ("name: adamw, lr: 1.0e-6", "name: adam, lr: 0.03", True),
        (f"{SLOW_MOMENTUM}, weight_decay: 0.1", GOOD, False),  # momentum 0 would not make it plain SGD
        ("name: adam, lr: 1.0e-6", GOOD, False),
        (SLOW, GOOD, False),  # neither contains the other
    ],
)
def test_a_special_case_that_wins_is_noted(tmp_path: Path, wide: str, narrow: str, is_noted: bool) -> None:
    found = compare(fixed(wide=wide, narrow=narrow), tmp_path, base=SIX).summary
    assert found["pairs"][0]["verdict"] == "worse"
    assert noted(found) == ([("wide", "narrow")] if is_noted else [])


def test_each_special_case_is_noted(tmp_path: Path) -> None:
    text = fixed(wide=SLOW_MOMENTUM, one=GOOD, two="name: sgd, lr: 0.9").replace("seeds: 6", "seeds: 7")
    assert noted(compare(text, tmp_path, base=SIX).summary) == [("wide", "one"), ("wide", "two")]


def test_a_wide_family_that_wins_is_not_noted(tmp_path: Path) -> None:
    found = compare(fixed(wide="name: sgd, lr: 0.3, momentum: 0.5", narrow=SLOW), tmp_path, base=SIX).summary
    assert (found["pairs"][0]["verdict"], noted(found)) == ("better", [])


# --- time to target ---


def test_a_miss_is_not_the_budget(tmp_path: Path) -> None:
    text = fixed(good=GOOD, slow=SLOW) + "target: {metric: validation_accuracy, value: 0.4}\n"
    found = compare(text, tmp_path, base=SIX)
    for name in ("good", "slow"):
        records = [record for record in found.records if record["optimizer"] == name]
        by_hand = [
            next((epoch for epoch in range(1, 7) if record["curves"]["validation_accuracy"][epoch] >= 0.4), None)
            for record in records
        ]
        times = found.optimizer(name)["epochs_to_target"]
        assert times["trials"] == by_hand
        assert times["reached"] == sum(one is not None for one in by_hand)
    assert found.optimizer("good")["epochs_to_target"]["reached"] > 0
    assert found.optimizer("slow")["epochs_to_target"] == {"median": None, "reached": 0, "n": 6, "trials": [None] * 6}


def test_a_loss_is_reached_from_above_and_never_before_training(tmp_path: Path) -> None:
    text = fixed(good=GOOD, slow=SLOW) + "target: {metric: validation_loss, value: 100}\n"
    found = compare(text, tmp_path, base=SIX)
    assert found.optimizer("slow")["epochs_to_target"]["trials"] == [1] * 6


def test_no_target_no_time(tmp_path: Path) -> None:
    assert compare(fixed(good=GOOD, slow=SLOW), tmp_path, base=SIX).optimizer("good")["epochs_to_target"] is None


# --- curves ---


def test_curves_are_over_the_seeds(tmp_path: Path) -> None:
    found = compare(fixed(good=GOOD, slow=SLOW), tmp_path, base=SIX)
    curves = found.optimizer("good")["curves"]
    rows = [record["curves"] for record in found.records if record["optimizer"] == "good"]
    assert curves.keys() == {"validation_loss", "validation_accuracy", "train_loss", "train_accuracy"}
    for name, curve in curves.items():
        assert len(curve["mean"]) == (6 if name.startswith("train") else 7)
        for epoch, values in enumerate(zip(*(row[name] for row in rows), strict=True)):
            assert curve["mean"][epoch] == pytest.approx(sum(values) / 6)
            assert (curve["low"][epoch], curve["high"][epoch]) == (min(values), max(values))
