"""The comparison that options of the command line stand for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlptrain.errors import SpecError
from mlptrain.spec.comparison.load import comparison_from_options
from mlptrain.spec.dump import yaml_text
from tests.catalogue import COMPARED, either
from tests.spec.test_comparison import load
from tests.spec.texts import ROOT

MNIST = ROOT / "configs" / "mnist.yaml"


def test_options_stand_for_a_file(tmp_path: Path) -> None:
    loaded = comparison_from_options(
        MNIST, optimizers="sgd,momentum, nesterov,adam", lr="1e-3,1e-2,1e-1", seeds="10", overrides=["tie=0.002"]
    )
    rates = "lr: [1e-3, 1e-2, 1e-1]"
    text = f"""\
name: mnist-optimizers
base: {MNIST}
optimizers:
  sgd: {{name: sgd, {rates}}}
  momentum: {{name: sgd, momentum: 0.9, {rates}}}
  nesterov: {{name: sgd, momentum: 0.9, nesterov: true, {rates}}}
  adam: {{name: adam, {rates}}}
tuning: {{seeds: 3}}
tie: 0.002
"""
    assert loaded.spec == load(text, tmp_path).spec
    assert loaded.warnings == ()
    assert load(yaml_text(loaded.spec.to_plain()), tmp_path).spec == loaded.spec


def test_options_and_overrides() -> None:
    loaded = comparison_from_options(
        str(MNIST),
        optimizers="sgd,adam",
        lr="0.1,0.01",
        seeds=",".join(map(str, range(5, 15))),
        overrides=[
            *("tuning.seeds=2", "tuning.extensions=1", "executor=ray", "executor.address=auto", "name=mine"),
            *("target.metric=validation_loss", "target.value=0.1"),
        ],
    )
    assert loaded.spec.name == "mine"
    assert loaded.spec.scoring_seeds == tuple(range(5, 15))
    assert loaded.spec.tuning is not None
    assert (loaded.spec.tuning_seeds, loaded.spec.tuning.extensions) == ((100, 101), 1)
    assert loaded.spec.target is not None
    assert (loaded.spec.target.metric, loaded.spec.target.value) == ("validation_loss", 0.1)
    assert loaded.spec.executor.model_dump() == {"name": "ray", "address": "auto", "gpus": 1.0}


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [("0..3", range(4)), (" 5-8", range(5, 9)), ("9,0..2", [9, 0, 1, 2]), ("3", range(3)), ("4..4", [4])],
)
def test_ranges_of_seeds(seeds: str, expected: Sequence[int]) -> None:
    spec = comparison_from_options(MNIST, optimizers="sgd,adam", seeds=seeds).spec
    assert list(spec.scoring_seeds) == list(expected)


@pytest.mark.parametrize(("lr", "wanted"), [(None, [0.001, 0.01]), ("0.5", [0.5, 0.5]), (" 0.5,", [0.5, 0.5])])
def test_one_learning_rate_tunes_nothing(lr: Any, wanted: list[float]) -> None:
    spec = comparison_from_options(MNIST, optimizers="sgd,adagrad", lr=lr).spec
    assert spec.tuning is None
    assert [spec.optimizers[name].settings()[0].lr for name in spec.optimizers] == wanted


OPTIMIZERS = either(COMPARED)
OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "optimizer": (
        {"optimizers": "sgd,adamm"},
        f"--optimizers  must be {OPTIMIZERS}, got the text 'adamm'; did you mean 'adam'?",
    ),
    "no optimizer": ({"optimizers": ""}, "--optimizers  must name at least 2 optimizers to compare, got 0"),
    "optimizer twice": ({"optimizers": "sgd,adam,sgd"}, "--optimizers  names sgd twice; keep one of them"),
    "lr negative": ({"lr": "0.1,-1"}, "--lr  must be above 0, got -1"),
    "lr text": ({"lr": "0.1,fast"}, "--lr  must be a number, got the text 'fast'"),
    "lr empty": ({"lr": ","}, "--lr  must have at least two values to choose from, got none"),
    "lr twice": ({"lr": "0.1,0.1"}, "--lr  repeats lr[0], 0.1; keep one of them"),
    "seeds": (
        {"seeds": "many"},
        "--seeds  must be a count from 1 to 1,000, or a list of seeds such as [0, 1, 2], got the text 'many'",
    ),
    "range of seeds upside down": (
        {"seeds": "9..0"},
        "--seeds  must be a whole number, got the text '9..0'",
    ),
    "seeds twice": ({"seeds": "1,2,1"}, "--seeds  seed 1 is given twice; take another"),
    "tuning seeds that score": (
        {"lr": "0.1,1", "seeds": "1,2", "overrides": ["tuning.seeds=[2]"]},
        "--set tuning.seeds=[2]  tuning.seeds[0]: 2 is a scoring seed too, and would score values that it chose; take "
        "another, or a count",
    ),
    "target": (
        {"overrides": ["target={metric: validation_accuracy, value: 97}"]},
        "--set target={metric: validation_accuracy, value: 97}  target.value: an accuracy is a fraction, so no trial "
        "reaches 97; must be at most 1; write 0.97 for 97 %",
    ),
    "executor": (
        {"overrides": ["executor=rya"]},
        "--set executor=rya  executor: must be local or ray, got the text 'rya'; did you mean 'ray'?",
    ),
    "an override": (
        {"overrides": ["base.training.epochs=0"]},
        "--set base.training.epochs=0  training.epochs: must be at least 1, got 0",
    ),
}


@pytest.mark.parametrize(("options", "message"), OPTIONS.values(), ids=OPTIONS)
def test_fault_names_the_option(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        comparison_from_options(MNIST, **{"optimizers": "sgd,adam", **options})
    assert str(caught.value) == message


def test_base_of_options(tmp_path: Path) -> None:
    test_only = ROOT / "configs" / "optimizer_sgd.yaml"
    with pytest.raises(SpecError) as caught:
        comparison_from_options(test_only, optimizers="sgd,adam", lr="0.1,1")
    assert str(caught.value) == (
        f"{test_only}  tuning chooses by validation rows, but its data.validation is 0; set that, e.g. 0.1, or give "
        "every optimizer fixed values"
    )
    with pytest.raises(SpecError) as caught:
        comparison_from_options(tmp_path / "absent.yaml", optimizers="sgd,adam")
    assert str(caught.value) == f"{tmp_path / 'absent.yaml'}  no such file"
    with pytest.raises(SpecError, match=r"regression_by_heart\.yaml  is a regression: "):
        comparison_from_options(ROOT / "configs" / "regression_by_heart.yaml", optimizers="sgd,adam")
