"""What every section of a configuration shares: strict types, no unknown keys, and short forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Discriminator, GetCoreSchemaHandler, GetJsonSchemaHandler, GetPydanticSchema
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, core_schema

from mlptrain.system.deferred import Deferred

MAX_NUMBER = 1e30  # finite in float32, and so is its square in float64


TAGS = ("name", "by")  # the keys that say which of several sections one is


def tag_of(section: type[BaseModel]) -> str:
    """Which of ``TAGS`` names a section; ``name`` where it has none."""
    return next((key for key in TAGS if key in section.model_fields), "name")


def _describe_name(schema: dict[str, Any]) -> None:
    """A section's ``name`` means what the section's docstring says."""
    for key in TAGS:
        name = schema["properties"].get(key, {})
        if "const" in name or "enum" in name:
            name["description"] = schema["description"]


class Section(Deferred):
    """A mapping of the YAML file: unknown keys are errors, types are strict, instances are immutable."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        json_schema_extra=_describe_name,
    )


def sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every section of a field's annotation, in order: those of a union, of a list's items, or the section itself."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        if get_origin(annotation) is not Literal and not isinstance(inner, (str, int)):
            yield from sections_in(inner)


def sections_at(sections: Sequence[type[BaseModel]], key: str) -> list[type[BaseModel]]:
    """The sections that the field ``key`` of any of ``sections`` may be."""
    fields = [section.model_fields[key] for section in sections if key in section.model_fields]
    return list(dict.fromkeys(inner for field in fields for inner in sections_in(field.annotation)))


def is_tagged(field: FieldInfo) -> bool:
    """Whether a field is one of several sections, which ``name`` discriminates, or one of several forms."""
    inner = (part for union in get_args(field.annotation) for part in getattr(union, "__metadata__", ()))
    marks = (*field.metadata, *inner)
    return field.discriminator is not None or any(
        isinstance(part, Discriminator) or getattr(part, "discriminator", None) is not None for part in marks
    )


def words_in(annotation: Any) -> Iterator[str]:
    """The words of every ``Literal`` in an annotation, but for the names of sections."""
    for inner in get_args(annotation):
        if get_origin(annotation) is not Literal:
            yield from words_in(inner)
        elif isinstance(inner, str):
            yield inner


def names_of(section: type[BaseModel]) -> tuple[str, ...]:
    """The names of a section; none for a section without one of the ``TAGS``."""
    field = section.model_fields.get(tag_of(section))
    return get_args(field.annotation) if field is not None else ()


def names_in(annotation: Any) -> tuple[str, ...]:
    """The names of every section of a union, in order: what a configuration may write there."""
    return tuple(name for section in sections_in(annotation) for name in names_of(section))


def either(names: Sequence[str]) -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def first_of(names: Sequence[str], most: int) -> str:
    """``a, b, c``, of more than so many ``a, b and 5 more``."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


@dataclass(frozen=True)
class ShortName:
    """Lets ``relu`` stand for ``{name: relu}`` before a section, or a union of sections that ``name`` discriminates.

    Another of the ``TAGS`` may be the ``key``.
    """

    key: str = "name"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        enough = [name for section in sections_in(source) if self._is_enough(section) for name in names_of(section)]
        return core_schema.no_info_before_validator_function(
            self._expand, handler(source), metadata={"short_names": enough}
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"enum": schema["metadata"]["short_names"]}, handler(schema)]}

    def _expand(self, value: object) -> object:
        return {self.key: value} if isinstance(value, str) else value

    def _is_enough(self, section: type[BaseModel]) -> bool:
        """Whether a section's other keys all have defaults."""
        return all(key == self.key or not field.is_required() for key, field in section.model_fields.items())


@dataclass(frozen=True)
class ShortForm:
    """Lets values of ``types`` stand for a section, as ``expand`` says; others are refused: "must be ``expected``, …".

    ``shapes`` are those of the short forms in the JSON schema.
    """

    expand: Callable[[object], object]
    types: tuple[type, ...]
    expected: str
    shapes: tuple[dict[str, Any], ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._expand, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(schema), *self.shapes]}

    def _expand(self, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, self.types):
            raise PydanticCustomError("expected", "must be {expected}", {"expected": self.expected})
        return self.expand(value)


def _checked(
    accepts: Callable[[object], bool], expected: str, json_schema: dict[str, Any], *, flags: bool = False
) -> GetPydanticSchema:
    """A value that ``accepts`` decides on; a refusal reads "must be ``expected``, got …". With ``flags`` also of truth
    values, which are refused otherwise.
    """

    def check(value: object) -> object:
        if (isinstance(value, bool) and not flags) or not accepts(value):
            raise PydanticCustomError("expected", "must be {expected}", {"expected": expected})
        return value

    return GetPydanticSchema(
        lambda _source, _handler: core_schema.no_info_plain_validator_function(check),
        lambda _schema, _handler: dict(json_schema),
    )


def count_or(word: str, *, most: int) -> GetPydanticSchema:
    """A whole number from 1 to ``most``, or one word such as ``full``."""
    return _checked(
        lambda value: value == word or (isinstance(value, int) and 1 <= value <= most),
        f"a whole number from 1 to {most:,} or the word {word}",
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": most}, {"const": word}]},
    )


def positive_or(word: str) -> GetPydanticSchema:
    """A positive number up to 1e30, or one word such as ``fan_in``."""
    return _checked(
        lambda value: value == word or (isinstance(value, (int, float)) and 0 < value <= MAX_NUMBER),
        f"a positive number up to {MAX_NUMBER:g} or the word {word}",
        {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": MAX_NUMBER}, {"const": word}]},
    )


def _one_or_list(
    accepts: Callable[[object], bool], expected: str, one: dict[str, Any], *, least: int = 0, most: int | None = None
) -> GetPydanticSchema:
    """A value that ``accepts`` decides on, with the schema ``one``, or a list of ``least`` to ``most`` such values."""

    def accepts_all(value: object) -> bool:
        if not isinstance(value, list):
            return accepts(value)
        return least <= len(value) and (most is None or len(value) <= most) and all(map(accepts, value))

    limits = {"minItems": least} if least else {}
    limits |= {} if most is None else {"maxItems": most}
    several = {"type": "array", "items": one, **limits}
    return _checked(accepts_all, expected, {"anyOf": [*one.get("anyOf", [one]), several]})


def _is_number(value: object) -> TypeGuard[float]:
    return type(value) in (int, float)


def positive_or_list() -> GetPydanticSchema:
    """A positive number up to 1e30, or a list of such numbers."""
    return _one_or_list(
        lambda value: _is_number(value) and 0 < value <= MAX_NUMBER,
        f"a positive number up to {MAX_NUMBER:g}, or a list with one for each layer",
        {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_NUMBER},
        least=1,
    )


class OrNone:
    """Lets the word none stand for no value, as where a key is left out."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: None if value == "none" else value, handler(source)
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [*handler(schema)["anyOf"], {"const": "none"}]}


def count_or_fraction(*, most: int) -> GetPydanticSchema:
    """A whole number from 0 to ``most``, or a fraction below 1."""
    return _checked(
        lambda value: isinstance(value, (int, float)) and 0 <= value <= (most if isinstance(value, int) else 1 - 1e-12),
        f"a whole number from 0 to {most:,} or a fraction below 1",
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": most},
                {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
            ]
        },
    )


def rate_or_rates() -> GetPydanticSchema:
    """A number from 0 to below 1, or a list of such numbers."""
    return _one_or_list(
        lambda value: _is_number(value) and 0 <= value < 1,
        "a number from 0 to below 1, or a list of them with one for each hidden layer",
        {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    )


def side_or_sides(*, most: int) -> GetPydanticSchema:
    """A whole number from 1 to ``most``, or two of them."""
    return _one_or_list(
        lambda value: type(value) is int and 1 <= value <= most,
        f"a whole number from 1 to {most:,}, or [height, width] of them",
        {"type": "integer", "minimum": 1, "maximum": most},
        least=2,
        most=2,
    )


def name_or_number(expected: str = "a name or a whole number", *, several: bool = False) -> GetPydanticSchema:
    """A text that is not empty, or a whole number; with ``several`` also a list of them."""

    def accepts(value: object) -> bool:
        return type(value) is int or _is_text(value)

    one = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]}
    return _one_or_list(accepts, expected, one, least=1) if several else _checked(accepts, expected, one)


def path_or_paths() -> GetPydanticSchema:
    """A text that is not empty, or a list of such texts."""
    return _one_or_list(_is_text, "a path, or a list of paths", {"type": "string", "minLength": 1}, least=1)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def texts(expected: str, *, most: int) -> GetPydanticSchema:
    """A list of up to ``most`` texts; a refusal reads "must be ``expected``, got …"."""
    return _checked(
        lambda value: isinstance(value, list) and len(value) <= most and all(isinstance(one, str) for one in value),
        expected,
        {"type": "array", "items": {"type": "string"}, "minItems": 0, "maxItems": most},
    )


def word_or_flag(word: str) -> GetPydanticSchema:
    """One word such as ``auto``, or true or false."""
    return _checked(
        lambda value: value == word or isinstance(value, bool),
        f"{word}, true or false",
        {"anyOf": [{"const": word}, {"type": "boolean"}]},
        flags=True,
    )


def header_of(*, most: int) -> GetPydanticSchema:
    """The word auto, true or false, or the names of columns, of which none is empty and none is there twice."""

    def accepts(value: object) -> bool:
        if isinstance(value, list):
            is_text = all(isinstance(name, str) and name for name in value)
            return 1 <= len(value) <= most and is_text and len(set(value)) == len(value)
        return value == "auto" or isinstance(value, bool)

    names = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "uniqueItems": True}
    return _checked(
        accepts,
        "auto, true, false or a list of different names such as [age, income]",
        {"anyOf": [{"const": "auto"}, {"type": "boolean"}, names | {"maxItems": most}]},
        flags=True,
    )
