"""The OpenAPI description of a server: rows, answers and errors as this very run has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mlptrain
from mlptrain.serving.answers import MAX_ROWS, Answers
from mlptrain.spec.summary import describe_model

_MAX_LEVELS = 20  # of a category, as examples
_TYPES: dict[str, dict[str, Any]] = {
    "number": {"type": ["number", "null"]},
    "category": {"type": ["string", "number", "boolean", "null"]},
    "date": {"type": ["string", "null"], "format": "date"},
    "datetime": {"type": ["string", "null"], "format": "date-time"},
}
_NUMBER = {"type": "number"}
_TEXTS = {"type": "array", "items": {"type": "string"}}
_COUNTS = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}
_ERRORS = {
    "4XX": "What was sent is not what this network takes: one sentence says which row, column or file, and why.",
    "5XX": "The server failed (500), or is too busy to answer in time (503).",
}


def openapi(answers: Answers, answer: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAPI 3.1; ``answer`` is that to ``answers.example()``."""
    experiment = answers.network.experiment
    rows = {"$ref": "#/components/schemas/Rows"}
    bodies: dict[str, Any] = {"application/json": {"schema": rows}}
    if answers.columns is not None:
        bodies["application/json"]["example"] = answers.example()
        bodies["text/csv"] = {"schema": {"type": "string", "description": "A table as it was trained on."}}
    parameters = []
    if answers.takes_images:
        bodies["image/*"] = {"schema": {"description": "The bytes of a PNG, JPEG or other image file."}}
        file = {"type": "object", "properties": {"image": {"contentMediaType": "image/*"}}, "required": ["image"]}
        bodies["multipart/form-data"] = {"schema": file}
        about = {
            "invert": "Whether an image is dark on light; decided for each if absent.",
            "seen": "Also answer what the network saw of an image.",
        }
        parameters = [
            {"name": name, "in": "query", "description": text, "schema": {"type": "boolean"}}
            for name, text in about.items()
        ]
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    predict = {
        "summary": "Predict rows" + (" or an image" if answers.takes_images else ""),
        "operationId": "predict",
        "parameters": parameters,
        "requestBody": {"required": True, "content": bodies},
        "responses": {
            "200": {
                "description": "A prediction for each row.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}},
            },
            **{code: {"description": text, "content": error} for code, text in _ERRORS.items()},
        },
    }
    health = {
        "summary": "Whether the server answers, and which network it has",
        "operationId": "health",
        "responses": {"200": {"description": "It does.", "content": {"application/json": {"schema": _HEALTH}}}},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": experiment.name,
            "version": mlptrain.__version__,
            "description": f"{describe_model(experiment)}, trained on data '{experiment.data.label}'.",
        },
        "paths": {"/predict": {"post": predict}, "/health": {"get": health}},
        "components": {
            "schemas": {
                "Rows": _rows(answers),
                "Answer": _answer(answer),
                "Error": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]},
            }
        },
    }


_HEALTH = {
    "type": "object",
    "properties": {
        "status": {"const": "ok"},
        **{key: {"type": "string"} for key in ("name", "data", "model")},
        "epoch": {"type": "integer"},
        "notes": _TEXTS,
    },
}


def _rows(answers: Answers) -> dict[str, Any]:
    limits = {"type": "array", "minItems": 1, "maxItems": MAX_ROWS}
    if answers.columns is None:
        shapes = [_nested(shape) for shape in answers.shapes]
        return {**limits, "items": shapes[0] if len(shapes) == 1 else {"oneOf": shapes}}
    fields = answers.columns.fields
    columns: dict[str, Any] = {}
    for field in fields:
        examples = list(field.levels[:_MAX_LEVELS]) if field.levels else [field.example]
        about = {"title": field.name, "description": "null where it is missing.", "examples": examples}
        columns[field.name] = _TYPES[field.kind] | about
    of_names: dict[str, Any] = {"type": "object", "properties": columns}
    if not answers.columns.sparse:
        of_names["required"] = list(columns)
    count = len(fields)
    by_place = {"type": "array", "prefixItems": list(columns.values()), "minItems": count, "maxItems": count}
    return {**limits, "items": {"oneOf": [of_names, by_place]}}


def _nested(shape: tuple[int, ...]) -> dict[str, Any]:
    inner = _nested(shape[1:]) if len(shape) > 1 else _NUMBER
    return {"type": "array", "items": inner, "minItems": shape[0], "maxItems": shape[0]}


def _answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of all answers, which have the keys of one of them."""
    [one] = answer["predictions"]
    of_labels = isinstance(one.get("class"), (list, tuple))
    kinds: dict[str, dict[str, Any]] = {
        "index": {"type": "integer", "description": "The row, counted from 0."},
        "class": {"type": "array", "items": {"type": "integer"}} if of_labels else {"type": "integer"},
        "name": {"type": "string"},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    }
    for key in ("probabilities", "outputs", "values"):
        if key in one:
            kinds[key] = {"type": "object", "properties": dict.fromkeys(one[key], _NUMBER), "required": list(one[key])}
    of_images = {"inverted": {"type": "boolean"}, "notes": _TEXTS, "seen": {"type": "array"}}
    properties = {key: kinds[key] for key in one} | of_images
    prediction = {"type": "object", "properties": properties, "required": list(one)}
    return {
        "type": "object",
        "properties": {
            "rows": {"type": "integer"},
            "missing": _COUNTS | {"description": "Missing values by column."},
            "unseen": _COUNTS | {"description": "Values that training has not seen, by column."},
            "notes": _TEXTS,
            "predictions": {"type": "array", "items": prediction},
        },
        "required": ["rows", "missing", "unseen", "notes", "predictions"],
    }
