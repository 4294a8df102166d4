"""Comparisons that are allowed but take something away from the result. A mark « stands before the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlptrain.spec.comparison.load import comparison_from_options, load_comparison
from mlptrain.spec.dump import yaml_text
from tests.spec.texts import ROOT, marked

BASE = "base: {data: digits, model: {hidden: [4]}}\n"
WITH_SGD = "base: {data: digits, model: {hidden: [4]}, optimizer: sgd}\n"
PAIR = "optimizers: {A: sgd, B: adam}\n"
TUNED = "optimizers: {A: {name: sgd, lr: [0.1, 1]}, B: {name: adam, lr: [0.1, 1]}}\n"
THREE = "optimizers: {A: sgd, B: adam, C: nadam}\n"

# The text with the warning, its path and message, and a text that differs little and has none.
CASES: dict[str, tuple[str, str, str, str]] = {
    "five seeds": (
        f"{BASE}{PAIR}scoring: {{seeds: «5}}\n",
        "scoring.seeds",
        "no verdict is possible over one pair with 5 seeds, figures only: the corrected p cannot go below 0.062; "
        "6 seeds are needed",
        f"{BASE}{PAIR}scoring: {{seeds: 6}}\n",
    ),
    "six seeds for three pairs": (
        f"{BASE}{THREE}scoring: {{seeds: «[5, 4, 3, 2, 1, 0]}}\n",
        "scoring.seeds",
        "no verdict is possible over 3 pairs with 6 seeds, figures only: the corrected p cannot go below 0.094; "
        "7 seeds are needed",
        f"{BASE}{THREE}scoring: {{seeds: 7}}\n",
    ),
    "one seed": (
        f"{BASE}{PAIR}scoring: {{seeds: «1}}\n",
        "scoring.seeds",
        "no verdict is possible over one pair with 1 seed, figures only: the corrected p cannot go below 1; "
        "6 seeds are needed",
        f"{BASE}{PAIR}",
    ),
    "unequal budgets": (
        f"{BASE}«optimizers: {{A: {{name: sgd, lr: [0.1, 1]}}, B: adam}}\n",
        "optimizers",
        "tuning budgets differ, which favours the larger: settings of A 2, B 1; give each grid the same size",
        f"{BASE}{TUNED}",
    ),
    "unequal budgets of arms that are optimizers": (
        f"{WITH_SGD}arms: «{{A: {{optimizer.lr: [0.1, 1]}}, B: {{optimizer.lr: 0.5}}}}\n",
        "arms",
        "tuning budgets differ, which favours the larger: settings of A 2, B 1; give each grid the same size",
        f"{WITH_SGD}arms: {{A: {{optimizer.lr: [0.1, 1]}}, B: {{optimizer.lr: [0.5, 2]}}}}\n",
    ),
    "tuning of nothing": (
        f"{BASE}{PAIR}tuning: «{{seeds: 3}}\n",
        "tuning",
        "has no effect: no optimizer has values to choose from",
        f"{BASE}{PAIR}tuning: none\n",
    ),
    "scoring on what tuned": (
        f"{BASE}{TUNED}scoring: {{split: «validation}}\n",
        "scoring.split",
        "scores on rows that tuning chooses by, which flatters the winner; use test data",
        f"{BASE}{PAIR}scoring: {{split: validation}}\n",
    ),
    "twins": (
        f"{BASE}optimizers: {{A: {{name: nesterov}}, B: «{{name: sgd, momentum: 0.9, nesterov: true}}}}\n",
        "optimizers.B",
        "is the same as 'A', so the two can only tie",
        f"{BASE}optimizers: {{A: {{name: momentum}}, B: {{name: sgd, momentum: 0.9, nesterov: true}}}}\n",
    ),
    "wide tie": (
        f"{BASE}{PAIR}tie: «0.1\n",
        "tie",
        "counts differences up to 10 percentage points as ties; 0.001 is 0.1 points",
        f"{BASE}{PAIR}tie: 0.01\n",
    ),
    "a part of no GPU": (
        f"base: {{data: digits, model: {{hidden: [4]}}, training: {{device: cpu}}}}\n{PAIR}"
        "executor: {name: ray, gpus: «0.5}\n",
        "executor.gpus",
        "has no effect: base.training.device is cpu",
        f"{BASE}{PAIR}executor: {{name: ray, gpus: 0.5}}\n",
    ),
    "optimizer of the base": (
        f"base: {{data: digits, model: {{hidden: [4]}}, optimizer: «{{name: sgd, rate: 3}}}}\n{PAIR}",
        "base.optimizer",
        "has no effect: the comparison names the optimizers",
        f"{BASE}{PAIR}",
    ),
    "seed of the base": (
        f"base: {{data: digits, model: {{hidden: [4]}}, seed: «4}}\n{PAIR}",
        "base.seed",
        "has no effect: trials train with scoring.seeds",
        f"{BASE}{PAIR}",
    ),
    "seed of the base beside tuning": (
        f"base: {{data: digits, model: {{hidden: [4]}}, seed: «4}}\n{TUNED}",
        "base.seed",
        "has no effect: trials train with tuning.seeds and scoring.seeds",
        f"{BASE}{TUNED}",
    ),
    "a warning of the base": (
        f"base: {{data: digits, model: {{hidden: [], activation: «tanh}}}}\n{PAIR}",
        "base.model.activation",
        "has no effect: there is no hidden layer",
        f"{BASE}{PAIR}",
    ),
}


@pytest.mark.parametrize(("text", "path", "message", "fine"), CASES.values(), ids=CASES)
def test_warning(text: str, path: str, message: str, fine: str, tmp_path: Path) -> None:
    text, [(line, column)] = marked(text)
    file = tmp_path / "c.yaml"
    if path == "optimizers":
        column += len("optimizers: ")
    file.write_text(text, encoding="utf-8")
    [warning] = load_comparison(file).warnings
    assert str(warning) == f"{file}:{line}:{column}  {path}: {message}"
    file.write_text(fine, encoding="utf-8")
    assert load_comparison(file).warnings == ()


def test_warning_stays_with_a_dump(tmp_path: Path) -> None:
    """The plan of a comparison warns of what the comparison does, and of nothing that was written out."""
    for text, wanted in ((f"{BASE}{PAIR}scoring: {{seeds: 3}}\n", ["scoring.seeds"]), (f"{BASE}{TUNED}", [])):
        file = tmp_path / "c.yaml"
        file.write_text(text, encoding="utf-8")
        file.write_text(yaml_text(load_comparison(file).spec.to_plain()), encoding="utf-8")
        assert [warning.path for warning in load_comparison(file).warnings] == wanted


def test_seed_of_a_file_is_its_own_and_that_of_an_option_has_no_effect(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("data: digits\nmodel: {hidden: [4]}\noptimizer: sgd\nseed: 4\n")
    (tmp_path / "c.yaml").write_text(f"base: one.yaml\n{PAIR}")
    assert load_comparison(tmp_path / "c.yaml").warnings == ()
    [warning] = load_comparison(tmp_path / "c.yaml", ["base.seed=5"]).warnings
    assert str(warning) == "--set base.seed=5  has no effect: trials train with scoring.seeds"


def test_warning_of_a_base_by_path_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        "data: digits\nmodel: {hidden: [4], output_activation: relu}\noptimizer: {name: ignored}\n", encoding="utf-8"
    )
    (tmp_path / "c.yaml").write_text(f"base: one.yaml\n{PAIR}", encoding="utf-8")
    [warning] = load_comparison(tmp_path / "c.yaml").warnings
    place = f"{tmp_path / 'one.yaml'}:2:41"
    assert str(warning).startswith(f"{place}  model.output_activation: 'relu' is applied to the logits")


def test_override_of_the_bases_optimizer(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("data: digits\nmodel: {hidden: [4]}\noptimizer: sgd\n", encoding="utf-8")
    (tmp_path / "c.yaml").write_text(f"base: one.yaml\n{PAIR}", encoding="utf-8")
    [warning] = load_comparison(tmp_path / "c.yaml", ["base.optimizer.lr=5"]).warnings
    assert str(warning) == "--set base.optimizer.lr=5  has no effect: the comparison names the optimizers"


def test_warning_names_the_option() -> None:
    loaded = comparison_from_options(ROOT / "configs" / "digits.yaml", optimizers="sgd,adam", lr="0.1", seeds="3")
    [warning] = loaded.warnings
    assert str(warning).startswith("--seeds  no verdict is possible over one pair with 3 seeds")
