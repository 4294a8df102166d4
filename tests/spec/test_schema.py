"""The JSON Schema, and the names that schema, mathematics and torch must share."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from mlptrain.nn.initialisation import INITIALISATIONS
from mlptrain.nn.losses import LOSSES
from mlptrain.nn.ops.activations import ACTIVATIONS
from mlptrain.sources.published import IMAGE_DATASETS
from mlptrain.spec import json_schema, load_text, starter_yaml
from mlptrain.spec.base import Section
from mlptrain.spec.reader import parse
from mlptrain.updates.optimizers import OPTIMIZERS
from tests import catalogue
from tests.spec.strategies import experiments
from tests.spec.texts import CONFIGS, complete

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def test_schema_is_one() -> None:
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(SCHEMA)
    json.dumps(SCHEMA, allow_nan=False)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_accepts_shipped_configurations(path: Path) -> None:
    VALIDATOR.validate(parse(path.read_text(encoding="utf-8"), source=path.name).value)


def test_accepts_the_starter_which_is_free_of_faults() -> None:
    text = starter_yaml("first")
    VALIDATOR.validate(parse(text, source="").value)
    loaded = load_text(text)
    assert (loaded.spec.name, loaded.warnings) == ("first", ())


@given(experiments())
@settings(max_examples=60, deadline=None)
def test_accepts_what_the_reader_accepts(document: dict[str, Any]) -> None:
    load_text(json.dumps(document))
    VALIDATOR.validate(document)


@pytest.mark.parametrize(
    "text",
    [
        "optimiser: sgd",
        "data: cifar10",
        "data: {name: mnist, noise: 0.1}",
        "data: {name: spirals, scaling: unit}",
        "data: {name: mnist, validation: -1}",
        "data: {name: mnist, validation: 1.5}",
        "data: {name: mnist, classes: [3]}",
        "model: {}",
        "model: {hidden: 64}",
        "model: {hidden: [0]}",
        "model: {hidden: [4], activation: {name: elu, slope: 1}}",
        "model: {hidden: [4], init: {name: normal, std: 0}}",
        "optimizer: {name: adam, momentum: 0.9}",
        "optimizer: {name: sgd, lr: 0}",
        "optimizer: {name: sgd, lr: '0.1'}",
        "optimizer: {lr: 0.1}",
        "loss: {name: mse, reduction: none}",
        "training: {epochs: 1.5}",
        "training: {batch_size: all}",
        "training: {device: gpu}",
        "evaluation: {split: train}",
        "seed: -1",
        "name: a/b",
    ],
)
def test_refuses(text: str) -> None:
    assert not VALIDATOR.is_valid(parse(complete(text), source="").value)


def test_refuses_what_lacks_a_section() -> None:
    assert [error.message for error in VALIDATOR.iter_errors({})] == [
        f"'{section}' is a required property" for section in ("data", "model", "optimizer")
    ]


def _properties(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        for name, value in schema.get("properties", {}).items():
            yield f"{path}/{name}", value
    children = schema.items() if isinstance(schema, dict) else enumerate(schema) if isinstance(schema, list) else ()
    for key, child in children:
        yield from _properties(child, f"{path}/{key}")


def test_every_property_is_described() -> None:
    properties = dict(_properties(SCHEMA))
    assert len(properties) > 60
    assert [path for path, value in properties.items() if len(value.get("description", "")) < 5] == []


def _short_names(schema: dict[str, Any]) -> set[str]:
    """The names offered for a section's short form."""
    [names] = [choice["enum"] for choice in schema["anyOf"] if "enum" in choice]
    return set(names)


def _names(sections: Iterable[type[Section]]) -> set[str]:
    """What the sections that a table has a class for are called."""
    return {name for section in sections for name in get_args(get_type_hints(section)["name"])}


def test_names_are_those_of_the_tables() -> None:
    top, model = SCHEMA["properties"], SCHEMA["$defs"]["ModelSpec"]["properties"]
    assert _short_names(model["activation"]) == _short_names(model["output_activation"]) == set(ACTIVATIONS)
    assert _short_names(model["init"]) == set(INITIALISATIONS)
    assert _short_names(top["loss"]) == _names(LOSSES)
    assert _short_names(top["optimizer"]) == _names(OPTIMIZERS) | set(catalogue.WRAPPED)
    assert _short_names(top["data"]) >= set(IMAGE_DATASETS)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_have_the_fields_that_the_section_has(name: str) -> None:
    fields = load_text(complete(f"model: {{hidden: [4], activation: {name}}}")).spec.model.activation.model_dump()
    parameters = inspect.signature(ACTIVATIONS[name]).parameters
    assert {key: parameter.default for key, parameter in parameters.items()} == {
        key: value for key, value in fields.items() if key != "name"
    }


LEFT_OUT = {"params", "maximize", "foreach", "fused", "capturable", "differentiable", "decoupled_weight_decay"}


@pytest.mark.parametrize("name", sorted(_names(OPTIMIZERS)))
def test_optimizers_have_the_fields_and_defaults_of_torch(name: str) -> None:
    fields = load_text(complete(f"optimizer: {name}")).spec.optimizer.model_dump()
    assert fields.pop("name") == name
    assert fields.pop("weight_decay_for") == "all"  # torch has groups of parameters for it
    parameters = inspect.signature(catalogue.OPTIMIZERS[name].reference).parameters
    wanted = {key: parameter.default for key, parameter in parameters.items() if key not in LEFT_OUT}
    wanted = {key: list(value) if isinstance(value, tuple) else value for key, value in wanted.items()}
    assert fields == wanted


def test_the_shipped_schema_is_the_printed_one() -> None:
    """`mlptrain schema > configs/experiment.schema.json` brings it up to date."""
    shipped = json.loads((Path(__file__).parents[2] / "configs" / "experiment.schema.json").read_text())
    assert shipped == json_schema()
