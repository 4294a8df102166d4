"""What a comparison's file means: settings, seeds, the base and the dump."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import yaml
from hypothesis import given, settings

from mlptrain.comparison.trials import Trial
from mlptrain.spec import load_spec
from mlptrain.spec.comparison.load import LoadedComparison, load_comparison
from mlptrain.spec.comparison.sections import ComparisonSpec
from mlptrain.spec.dump import yaml_text
from mlptrain.spec.optimizer import AdamW
from mlptrain.spec.reader import read_file
from mlptrain.spec.which import is_comparison
from tests.spec.comparison_strategies import comparisons
from tests.spec.texts import ROOT

HONEST = """\
name: c3-honest
base: mnist.yaml
optimizers:
  SGD: {name: sgd, lr: {log_grid: [1e-3, 1, 7]}}
  momentum: {name: momentum, lr: [0.1, 0.01]}
  Adam (plain): {name: adam, lr: 0.001, betas: [0.9, 0.999]}
  AdamW: {name: adamw, betas: [[0.9, 0.999], [0.8, 0.99]], lr: [0.01, 0.001]}
tuning: {seeds: [100, 101, 102], extensions: 2}
scoring: {seeds: 10}
target: {metric: validation_accuracy, value: 0.97}
tie: 0.001
executor: local
"""
PLAIN = "base: {data: digits, model: {hidden: [4]}}\n"


def load(text: str, folder: Path, *overrides: str) -> LoadedComparison:
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return load_comparison(path, overrides)


@pytest.fixture
def honest(tmp_path: Path) -> ComparisonSpec:
    (tmp_path / "mnist.yaml").write_bytes((ROOT / "configs" / "mnist.yaml").read_bytes())
    return load(HONEST, tmp_path).spec


def test_settings_are_the_product_of_the_grids(honest: ComparisonSpec) -> None:
    pairs = [
        (setting.lr, setting.betas) for setting in honest.optimizers["AdamW"].settings() if isinstance(setting, AdamW)
    ]
    assert pairs == list(itertools.product([0.001, 0.01], [[0.9, 0.999], [0.8, 0.99]]))
    assert {setting.name for setting in honest.optimizers["AdamW"].settings()} == {"adamw"}
    assert [setting.lr for setting in honest.optimizers["momentum"].settings()] == [0.01, 0.1]
    [adam] = honest.optimizers["Adam (plain)"].settings()
    assert adam.model_dump() == {
        **{"name": "adam", "lr": 0.001, "weight_decay": 0.0, "weight_decay_for": "all"},
        **{"betas": [0.9, 0.999], "eps": 1e-8, "amsgrad": False},
    }


def test_tuned_fields_and_their_grids(honest: ComparisonSpec) -> None:
    assert {name: tuple(candidate.grids) for name, candidate in honest.optimizers.items()} == {
        "SGD": ("lr",),
        "momentum": ("lr",),
        "Adam (plain)": (),
        "AdamW": ("lr", "betas"),
    }
    np.testing.assert_allclose(honest.optimizers["SGD"].grids["lr"], np.geomspace(1e-3, 1, 7), rtol=1e-11)
    assert honest.optimizers["AdamW"].grids["betas"] == [[0.9, 0.999], [0.8, 0.99]]
    assert honest.budgets == {"SGD": 7, "momentum": 2, "Adam (plain)": 1, "AdamW": 4}
    assert honest.pairs == 6


def test_grids_of_a_call_replace_those_of_the_file(honest: ComparisonSpec) -> None:
    replaced = honest.optimizers["AdamW"].settings({"lr": [1.0]})
    assert [(setting.lr, setting.betas) for setting in replaced if isinstance(setting, AdamW)] == [
        (1.0, [0.9, 0.999]),
        (1.0, [0.8, 0.99]),
    ]


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ("momentum", {"lr": 0.001, "momentum": 0.9, "nesterov": False}),
        ("nesterov", {"lr": 0.001, "momentum": 0.9, "nesterov": True}),
        ("{name: momentum, lr: 0.1}", {"lr": 0.1, "momentum": 0.9, "nesterov": False}),
        ("{name: nesterov, momentum: 0.5}", {"lr": 0.001, "momentum": 0.5, "nesterov": True}),
        ("sgd", {"lr": 0.001, "momentum": 0.0, "nesterov": False}),
    ],
)
def test_shorthands_are_sgd(entry: str, wanted: dict[str, Any], tmp_path: Path) -> None:
    [setting] = load(f"{PLAIN}optimizers: {{A: {entry}, B: adam}}\n", tmp_path).spec.optimizers["A"].settings()
    values = setting.model_dump()
    assert setting.name == "sgd"
    assert {key: values[key] for key in wanted} == wanted


def test_shorthand_with_a_tuned_momentum(tmp_path: Path) -> None:
    spec = load(f"{PLAIN}optimizers: {{A: {{name: nesterov, momentum: [0.9, 0.5]}}, B: adam}}\n", tmp_path).spec
    assert spec.optimizers["A"].grids["momentum"] == [0.5, 0.9]


@pytest.mark.parametrize(
    ("name", "field", "values", "side", "wanted"),
    [
        ("SGD", "lr", [0.01, 0.1], "high", 1.0),
        ("SGD", "lr", [1e10, 1e29], "high", None),  # beyond the largest lr there is
        ("SGD", "momentum", [0.5, 0.9], "high", None),  # above 1
        ("SGD", "momentum", [0.5, 0.9], "low", 0.277777777778),
        ("AdamW", "weight_decay", [0.0, 0.1], "low", None),
        ("AdamW", "betas", [[0.9, 0.999], [0.8, 0.99]], "high", None),
    ],
)
def test_next_value_stays_in_the_range_of_the_field(
    honest: ComparisonSpec,
    name: str,
    field: str,
    values: list[Any],
    side: Literal["low", "high"],
    wanted: float | None,
) -> None:
    assert honest.optimizers[name].next_value(field, values, side) == wanted


SEEDS: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "defaults": ("", (100, 101, 102), tuple(range(10))),
    "counts": ("tuning: {seeds: 2}\nscoring: {seeds: 3}", (100, 101), (0, 1, 2)),
    "counts that would meet": ("tuning: {seeds: 1}\nscoring: {seeds: 102}", (102,), tuple(range(102))),
    "tuning by list": ("tuning: {seeds: [1, 0, 7]}\nscoring: {seeds: 4}", (1, 0, 7), (2, 3, 4, 5)),
    "scoring by list": ("tuning: {seeds: 2}\nscoring: {seeds: [101, 5]}", (100, 102), (101, 5)),
    "lists": ("tuning: {seeds: [1]}\nscoring: {seeds: [2]}", (1,), (2,)),
}


@pytest.mark.parametrize(("text", "tuning", "scoring"), SEEDS.values(), ids=SEEDS)
def test_seeds(text: str, tuning: tuple[int, ...], scoring: tuple[int, ...], tmp_path: Path) -> None:
    spec = load(f"{PLAIN}optimizers: {{A: {{name: sgd, lr: [0.1, 1]}}, B: adam}}\n{text}\n", tmp_path).spec
    assert (spec.tuning_seeds, spec.scoring_seeds) == (tuning, scoring)


@given(comparisons())
@settings(max_examples=50, deadline=None)
def test_tuning_and_scoring_seeds_are_disjoint_and_as_many_as_wanted(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    spec = load(json.dumps(document), tmp_path_factory.getbasetemp()).spec
    tuning, scoring = spec.tuning_seeds, spec.scoring_seeds
    assert len({*tuning, *scoring}) == len(tuning) + len(scoring)
    for section, seeds in (("tuning", tuning), ("scoring", scoring)):
        wanted = document.get(section, {}).get("seeds")
        assert wanted is None or len(seeds) == (wanted if isinstance(wanted, int) else len(wanted))


def test_nothing_tuned_needs_no_tuning(tmp_path: Path) -> None:
    for text in ("", "tuning: none"):
        spec = load(f"{PLAIN}optimizers: {{A: sgd, B: adam}}\n{text}\n", tmp_path).spec
        assert (spec.tuning, spec.tuning_seeds) == (None, ())


@pytest.mark.parametrize(
    ("base", "split"),
    [
        ("{data: digits, model: {hidden: [4]}}", "test"),
        ("{data: {name: digits, validation: 0}, model: {hidden: [4]}, evaluation: {split: test}}", "test"),
        ("{data: spirals, model: {hidden: [4]}}", "validation"),
    ],
)
def test_scoring_split_by_default(base: str, split: str, tmp_path: Path) -> None:
    assert load(f"base: {base}\noptimizers: {{A: sgd, B: adam}}\n", tmp_path).spec.scoring.split == split


def test_base_by_path_is_that_experiment_but_for_its_optimizer(honest: ComparisonSpec, tmp_path: Path) -> None:
    experiment = load_spec(tmp_path / "mnist.yaml").experiment
    [setting] = honest.optimizers["Adam (plain)"].settings()
    trial = Trial("scoring", "Adam (plain)", setting, 7).experiment(load(HONEST, tmp_path).base)
    assert trial == experiment.changed(optimizer=setting, seed=7)
    assert honest.optimizers["SGD"].settings()[0] not in (trial.optimizer, experiment.optimizer)


def test_base_lies_beside_the_file_wherever_one_stands(
    honest: ComparisonSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.yaml").write_text(HONEST.replace("mnist.yaml", "../mnist.yaml"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_comparison("deep/c.yaml").spec == honest
    assert load_comparison("c.yaml").spec.base == honest.base


def test_inline_base_has_the_name_of_the_comparison(tmp_path: Path) -> None:
    spec = load(f"name: mine\n{PLAIN}optimizers: {{A: sgd, B: adam}}\n", tmp_path).spec
    assert spec.base.name == "mine"
    assert load(f"{PLAIN}optimizers: {{A: sgd, B: adam}}\n", tmp_path).spec.name == "c"


def test_overrides_reach_both_files(honest: ComparisonSpec, tmp_path: Path) -> None:
    changed = load(
        HONEST, tmp_path, "base.training.epochs=3", "scoring.seeds=[5]", "optimizers.SGD.lr.log_grid[2]=3"
    ).spec
    assert (changed.base.training.epochs, changed.scoring_seeds) == (3, (5,))
    assert changed.optimizers["SGD"].grids["lr"] == [0.001, 0.0316227766017, 1.0]
    (tmp_path / "other.yaml").write_text("data: digits\nmodel: {hidden: [4]}\n", encoding="utf-8")
    swapped = load(HONEST, tmp_path, "base=other.yaml", "base.training.epochs=3").spec
    assert (swapped.base.name, swapped.base.training.epochs) == ("other", 3)
    assert load(HONEST, tmp_path).spec == honest


def test_dump_is_read_back_from_anywhere(honest: ComparisonSpec, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    again = load(yaml_text(honest.to_plain()), tmp_path / "elsewhere")
    assert again.spec == honest
    assert yaml_text(again.spec.to_plain()) == yaml_text(honest.to_plain())
    assert list(again.spec.optimizers) == list(honest.optimizers)
    assert yaml.safe_load(yaml_text(honest.to_plain())) == honest.to_plain()  # for readers of YAML 1.1 too


def test_dump_has_every_value_in_force(honest: ComparisonSpec) -> None:
    values = honest.to_plain()
    assert list(values) == [key for key in ComparisonSpec.model_fields if key not in ("arms", "metric")]
    assert "optimizer" not in values["base"]
    evaluation = {"split": "validation", "keep": "best", "metric": "validation_loss"}
    assert values["base"]["evaluation"] == {**evaluation, "metrics": [], "calibrate": "none"}
    assert values["optimizers"]["momentum"] == {
        **{"name": "sgd", "lr": [0.01, 0.1], "weight_decay": 0.0, "weight_decay_for": "all"},
        **{"momentum": 0.9, "dampening": 0.0, "nesterov": False},
    }
    assert values["tuning"] == {"seeds": [100, 101, 102], "extensions": 2}
    assert values["scoring"] == {"seeds": list(range(10)), "split": "test"}
    assert values["executor"] == {"name": "local"}


def test_dump_has_the_defaults_that_follow_from_others(tmp_path: Path) -> None:
    values = load(f"{PLAIN}optimizers: {{A: sgd, B: adam}}\n", tmp_path).spec.to_plain()
    evaluation = {"split": "validation", "keep": "best", "metric": "validation_loss"}
    assert values["base"]["evaluation"] == {**evaluation, "metrics": [], "calibrate": "none"}
    assert (values["tuning"], values["scoring"]["split"]) == ("none", "test")


def test_a_grid_means_the_same_however_it_is_written(tmp_path: Path) -> None:
    grids = ["{log_grid: [1e-3, 0.1, 3]}", "[0.1, 0.001, 0.01]", "[1e-3, 1e-2, 1e-1]"]
    texts = [f"{PLAIN}optimizers: {{A: {{name: sgd, lr: {grid}}}, B: adam}}\n" for grid in grids]
    dumps = {yaml_text(load(text, tmp_path).spec.to_plain()) for text in texts}
    assert len(dumps) == 1


@given(comparisons())
@settings(max_examples=80, deadline=None)
def test_any_comparison_survives(tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]) -> None:
    folder = tmp_path_factory.getbasetemp()
    spec = load(json.dumps(document), folder).spec
    again = load(yaml_text(spec.to_plain()), folder).spec
    assert again == spec
    assert [again.optimizers[name].settings() for name in again.optimizers] == [
        spec.optimizers[name].settings() for name in spec.optimizers
    ]
    assert math.prod(spec.budgets.values()) == math.prod(
        len(spec.optimizers[name].settings()) for name in spec.optimizers
    )


def test_what_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("optimizers: 3\n", encoding="utf-8")
    (tmp_path / "b.yaml").write_text("base: x.yaml\n", encoding="utf-8")
    assert is_comparison(read_file(tmp_path / "c.yaml")[1])
    assert is_comparison(read_file(tmp_path / "b.yaml")[1])
    assert not is_comparison(read_file(ROOT / "configs" / "mnist.yaml")[1])
