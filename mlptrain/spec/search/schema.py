"""The JSON Schema of a search, with descriptions, for editors."""

from __future__ import annotations

from typing import Any

from mlptrain.spec.comparison.schema import KEY_PATTERN
from mlptrain.spec.search.sections import SearchSpec


def search_json_schema() -> dict[str, Any]:
    """The JSON Schema of a search (draft 2020-12)."""
    schema = SearchSpec.model_json_schema()
    definitions, properties = schema["$defs"], schema["properties"]
    del definitions["Range"], definitions["Choices"]
    base = definitions["ExperimentSpec"]
    base["required"] = [key for key in base["required"] if key != "name"]
    properties["base"] |= {"anyOf": [{"type": "string"}, {"$ref": properties["base"].pop("$ref")}]}
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
    properties["metric"]["anyOf"] = [{"type": "string"}, {"$ref": "#/$defs/ComparedMetric"}]
    for key in ("metric", "trials", "batch", "prune"):
        properties[key].pop("default", None)
    for key in ("trials", "batch"):
        properties[key] |= properties[key].pop("anyOf")[0]
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "mlptrain search"
    schema["description"] = "What may be changed in an experiment, and how good values of it are searched."
    schema["required"] = [key for key in schema["required"] if key != "name"]  # the file's name stands in for it
    return schema


_PAIR = {"minItems": 2, "maxItems": 2}


def _mapping(name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: value}, "required": [name], "additionalProperties": False}
