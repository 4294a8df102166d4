"""A dumped experiment is read back as the same experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings

from mlptrain.spec import ExperimentSpec, load_spec, load_text, to_yaml
from tests.spec.strategies import TRICKY_NAMES, experiments
from tests.spec.texts import CONFIGS, complete


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configurations_survive(path: Path) -> None:
    spec = load_spec(path).spec
    assert load_text(to_yaml(spec)).spec == spec


@given(experiments())
@settings(max_examples=150, deadline=None)
def test_any_experiment_survives(document: dict[str, Any]) -> None:
    spec = load_text(json.dumps(document)).spec  # JSON is YAML 1.2
    again = load_text(to_yaml(spec)).spec
    assert again == spec
    assert _same(document, again.model_dump())


def _same(given_: Any, read: Any) -> bool:
    """Whether everything given stands in what was read, short names written out."""
    if isinstance(given_, dict):
        return all(_same(value, read[key]) for key, value in given_.items())
    if isinstance(given_, str) and isinstance(read, dict):
        return bool(read["name"] == given_)
    return bool(given_ == read)


@pytest.mark.parametrize("name", TRICKY_NAMES)
def test_a_name_stays_text(name: str) -> None:
    text = to_yaml(load_text(complete(f"name: '{name}'")).spec)
    assert load_text(text).spec.name == name
    assert yaml.safe_load(text)["name"] == name  # and for readers of YAML 1.1


def test_every_value_in_force_is_written() -> None:
    spec = load_text(complete("loss: mse"), overrides=["optimizer.lr=5"]).spec
    values = yaml.safe_load(to_yaml(spec))
    assert list(values) == list(ExperimentSpec.model_fields)
    assert values["optimizer"] == {
        **{"name": "sgd", "lr": 5.0, "weight_decay": 0.0, "weight_decay_for": "all"},
        **{"momentum": 0.0, "dampening": 0.0, "nesterov": False},
    }
    assert next(iter(values["optimizer"])) == "name"
    assert values["loss"] == {"name": "mse", "reduction": "mean"}
    evaluation = {"split": "validation", "keep": "best", "metric": "validation_loss"}
    assert values["evaluation"] == {**evaluation, "metrics": [], "calibrate": "none"}
    assert values["training"]["epochs"] == 10
