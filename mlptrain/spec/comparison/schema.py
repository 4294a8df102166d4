"""The JSON Schema of a comparison, with descriptions, for editors."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from mlptrain.spec.base import Section
from mlptrain.spec.comparison.candidates import CANDIDATE_PATTERN, MAX_OPTIMIZERS, NAMES, SECTIONS, SHORTHANDS, LogGrid
from mlptrain.spec.comparison.sections import ComparisonSpec

_CODE = "compared_code"  # an optimizer by its import path
KEY_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]*([.\[][A-Za-z0-9_.\[\]-]*)?$"  # of the base, such as model.hidden[0]


def comparison_json_schema() -> dict[str, Any]:
    """The JSON Schema of a comparison (draft 2020-12)."""
    schema = study_schema(ComparisonSpec, of_the_base=("name", "optimizer"))
    definitions = schema["$defs"]
    del definitions["Candidate"], definitions["Arm"]
    for name in NAMES:
        definitions[_title(name)] = _with_grids(definitions, name)
    definitions[_CODE] = _grids_in(copy.deepcopy(definitions["Foreign"]), {})
    definitions[_CODE]["title"] = _CODE
    properties = schema["properties"]
    properties["tuning"]["anyOf"] = [{"const": "none"}, {"$ref": "#/$defs/TuningSpec"}]
    properties["optimizers"] |= {
        "minProperties": 2,
        "maxProperties": MAX_OPTIMIZERS,
        "propertyNames": {"pattern": CANDIDATE_PATTERN},
        "additionalProperties": {
            "anyOf": [
                {"enum": list(NAMES)},
                *({"$ref": f"#/$defs/{title}"} for title in (*map(_title, NAMES), _CODE)),
            ]
        },
    }
    properties["arms"] |= {
        "minProperties": 2,
        "maxProperties": MAX_OPTIMIZERS,
        "propertyNames": {"pattern": CANDIDATE_PATTERN},
        "additionalProperties": {"type": ["object", "null"], "propertyNames": {"pattern": KEY_PATTERN}},
    }
    for key in ("optimizers", "arms"):
        properties[key].pop("default", None)
    properties["tie"] |= {"type": "number", "minimum": 0, "maximum": properties["tie"].pop("anyOf")[0]["maximum"]}
    del properties["tie"]["default"]
    fractions = {"properties": {"tie": {"exclusiveMaximum": 1, "description": "A fraction, of accuracies."}}}
    schema["if"], schema["then"] = {"not": {"anyOf": [{"required": ["metric"]}, {"required": ["arms"]}]}}, fractions
    schema["oneOf"] = [{"required": ["optimizers"]}, {"required": ["arms"]}]
    schema["title"] = "mlptrain comparison"
    schema["description"] = "Optimizers, or arms over any keys, compared on one experiment over the same seeds."
    return schema


def study_schema(model: type[Section], *, of_the_base: Sequence[str]) -> dict[str, Any]:
    """The schema of a study, whose base may be a path and needs no keys ``of_the_base``; metrics have short names."""
    schema = model.model_json_schema()
    base, properties = schema["$defs"]["ExperimentSpec"], schema["properties"]
    base["required"] = [key for key in base["required"] if key not in of_the_base]
    properties["base"] |= {"anyOf": [{"type": "string"}, {"$ref": properties["base"].pop("$ref")}]}
    properties["metric"]["anyOf"] = [{"type": "string"}, {"$ref": "#/$defs/ComparedMetric"}]
    del properties["metric"]["default"]
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["required"] = [key for key in schema["required"] if key != "name"]  # the file's name stands in for it
    return schema


def _title(name: str) -> str:
    return f"compared {name}".replace(" ", "_")


def _with_grids(definitions: dict[str, Any], name: str) -> dict[str, Any]:
    """The schema of an optimizer section whose numbers may be grids; ``name`` may be a shorthand."""
    shorthand = SHORTHANDS.get(name, {"name": name})
    section: dict[str, Any] = copy.deepcopy(definitions[SECTIONS[shorthand["name"]].__name__])
    section["title"] = _title(name)
    return _grids_in(section, shorthand)


def _grids_in(section: dict[str, Any], shorthand: dict[str, Any]) -> dict[str, Any]:
    """The section with lists where it has numbers, and with the values of a shorthand."""
    for key, field in section["properties"].items():
        if key in shorthand:
            field |= (
                {"const": section["title"].removeprefix("compared_")} if key == "name" else {"default": shorthand[key]}
            )
        if field.get("type") in ("number", "array"):
            about = {word: field.pop(word) for word in ("description", "default", "title") if word in field}
            several = {"type": "array", "items": dict(field), "minItems": 2, "uniqueItems": True}
            forms = [dict(field), several, *([LogGrid.model_json_schema()] if field["type"] == "number" else [])]
            section["properties"][key] = about | {"anyOf": forms}
    return section
