"""The JSON Schema of a comparison, held against the reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from mlptrain.errors import SpecError
from mlptrain.spec.code import code_allowed
from mlptrain.spec.comparison.load import load_comparison
from mlptrain.spec.comparison.schema import comparison_json_schema
from mlptrain.spec.reader import parse
from tests.spec.broken_comparisons import BASES, SECTIONS
from tests.spec.broken_optimizers import GRIDS, OPTIMIZERS
from tests.spec.comparison_strategies import comparisons
from tests.spec.test_comparison import HONEST
from tests.spec.test_comparison_broken import BASE
from tests.spec.test_schema import _properties
from tests.spec.texts import MARK

SCHEMA = comparison_json_schema()
CONFIGS = Path(__file__).parents[2] / "configs"
VALIDATOR = Draft202012Validator(SCHEMA)


def test_schema_is_one() -> None:
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(SCHEMA)
    json.dumps(SCHEMA, allow_nan=False)


def test_every_property_is_described() -> None:
    properties = dict(_properties(SCHEMA))
    assert len(properties) > 100
    assert [path for path, value in properties.items() if len(value.get("description", "")) < 5] == []


def test_accepts_an_honest_comparison() -> None:
    VALIDATOR.validate(parse(HONEST, source="").value)


@given(comparisons())
@settings(max_examples=50, deadline=None)
def test_accepts_what_the_reader_accepts(tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "c.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    spec = load_comparison(path).spec
    VALIDATOR.validate(document)
    VALIDATOR.validate(json.loads(json.dumps(spec.to_plain())))


# What a schema cannot tell: keys given twice, rules between values, NaN.
BEYOND = {
    *("names that differ in case", "a name twice", "a name that ends in a line break", "too many settings"),
    *("nesterov of no momentum", "nesterov of a tuned momentum that begins with 0"),
    *("nesterov of a tuned momentum that holds 0", "not a number", "log_grid upside down", "log_grid of one value"),
    *("log_grid beyond the field", "log_grid too dense", "log_grid of fractional points"),
    *("tuning: none beside a grid", "a seed that tunes and scores", "target above 1", "target far above 1"),
    *("target on the test set", "target's metric", "target that nothing records"),
}
BROKEN = {name: case[0] for cases in (OPTIMIZERS, GRIDS, SECTIONS) for name, case in cases.items()}
OF_BASES = {name: BASES[name][0] for name in ("missing", "null", "fault inside", "missing section", "unknown key")}


@pytest.mark.parametrize("name", BROKEN)
def test_refuses_what_the_reader_refuses(name: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"{BROKEN[name]}\n{BASE}\n".replace(MARK, ""), encoding="utf-8")
    with pytest.raises(SpecError):
        load_comparison(path)
    assert VALIDATOR.is_valid(parse(path.read_text(encoding="utf-8"), source="").value) == (name in BEYOND)


@pytest.mark.parametrize("name", OF_BASES)
def test_refuses_a_broken_base(name: str) -> None:
    assert not VALIDATOR.is_valid(parse(OF_BASES[name].replace(MARK, ""), source="").value)


def test_the_shipped_schema_is_the_printed_one() -> None:
    """`mlptrain schema comparison > configs/comparison.schema.json` brings it up to date."""
    shipped = json.loads((CONFIGS / "comparison.schema.json").read_text())
    assert shipped == comparison_json_schema()


@pytest.mark.parametrize("path", sorted((CONFIGS / "comparisons").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_comparisons_load_and_fit_the_schema(path: Path) -> None:
    with code_allowed():
        loaded = load_comparison(path)
    assert not loaded.warnings
    assert len(set(loaded.spec.budgets.values())) == 1
