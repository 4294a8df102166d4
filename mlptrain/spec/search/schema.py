"""The JSON Schema of a search, with descriptions, for editors."""

from __future__ import annotations

from typing import Any

from mlptrain.spec.comparison.schema import KEY_PATTERN, study_schema
from mlptrain.spec.search.sections import SearchSpec


def search_json_schema() -> dict[str, Any]:
    """The JSON Schema of a search (draft 2020-12)."""
    schema = study_schema(SearchSpec, of_the_base=("name",))
    definitions, properties = schema["$defs"], schema["properties"]
    del definitions["Range"], definitions["Choices"]
    number, whole = {"type": "number"}, {"type": "integer"}
    ranges = {"uniform": number, "log_uniform": number, "integers": whole, "log_integers": whole}
    forms = [_mapping(name, {"type": "array", "items": end, **_PAIR}) for name, end in ranges.items()]
    grid = {"type": "array", "items": number, "minItems": 3, "maxItems": 3}
    choices = {"type": "array", "minItems": 2, "uniqueItems": True}
    properties["space"] |= {
        "minProperties": 1,
        "propertyNames": {"pattern": KEY_PATTERN},
        "additionalProperties": {"anyOf": [choices, *forms, _mapping("log_grid", grid)]},
    }
    properties["prune"]["anyOf"] = [{"enum": ["none", "halving"]}, {"$ref": "#/$defs/HalvingSpec"}]
    for key in ("trials", "batch", "prune"):
        properties[key].pop("default", None)
    for key in ("trials", "batch"):
        properties[key] |= properties[key].pop("anyOf")[0]
    schema["title"] = "mlptrain search"
    schema["description"] = "What may be changed in an experiment, and how good values of it are searched."
    return schema


_PAIR = {"minItems": 2, "maxItems": 2}


def _mapping(name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: value}, "required": [name], "additionalProperties": False}
