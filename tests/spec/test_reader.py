"""Scalars by the core schema of YAML 1.2, and a reader that no text can surprise."""

from __future__ import annotations

import contextlib
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlptrain.errors import Fault, SpecError
from mlptrain.spec import load_spec, load_text
from mlptrain.spec.reader import parse
from tests.spec.texts import complete

SCALARS: dict[str, Any] = {
    # https://yaml.org/spec/1.2.2/#103-core-schema
    "1e-3": 0.001,
    "1E5": 100000.0,
    "+1.5e+2": 150.0,
    ".5": 0.5,
    "-.5": -0.5,
    "5.": 5.0,
    "0.0": 0.0,
    "0": 0,
    "-19": -19,
    "+19": 19,
    "0123": 123,
    "0o17": 15,
    "0x1F": 31,
    ".inf": math.inf,
    "-.Inf": -math.inf,
    "+.INF": math.inf,
    "~": None,
    "null": None,
    "Null": None,
    "": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "NULL": None,
    "FALSE": False,
    # Numbers, truth values, dates and times of YAML 1.1, or none at all.
    "on": "on",
    "Off": "Off",
    "yes": "yes",
    "No": "No",
    "y": "y",
    "tRue": "tRue",
    "nULL": "nULL",
    "1_000": "1_000",
    "0b101": "0b101",
    "-0x1F": "-0x1F",
    "1:30": "1:30",
    "190:20:30.15": "190:20:30.15",
    "2024-01-01": "2024-01-01",
    "1e": "1e",
    "e5": "e5",
    ".": ".",
    "1.5.2": "1.5.2",
    "nan": "nan",
    "inf": "inf",
    "1,5": "1,5",
    "٣": "٣",
    "=": "=",
    # Quoted and block text is text.
    "'1e-3'": "1e-3",
    '"0x1F"': "0x1F",
    "'true'": "true",
    '""': "",
    "|-\n  5": "5",
}


@pytest.mark.parametrize("text", SCALARS)
def test_scalar(text: str) -> None:
    value = parse(f"value: {text}", source="").value["value"]
    assert (type(value), value) == (type(SCALARS[text]), SCALARS[text])


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_nan(text: str) -> None:
    assert math.isnan(parse(f"value: {text}", source="").value["value"])


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e-5)
@example(1e16)
@example(5e-324)
def test_floats_are_read_as_python_writes_them(number: float) -> None:
    for text in (repr(number), f"{number:.17e}", f"{number:.17E}"):
        value = parse(f"value: {text}", source="").value["value"]
        assert isinstance(value, float)
        assert value == number


@given(st.integers(-(10**300), 10**300))
def test_whole_numbers_are_read_as_python_writes_them(number: int) -> None:
    texts = [str(number)] if number < 0 else [str(number), hex(number), oct(number), f"+{number}", f"0{number}"]
    for text in texts:
        value = parse(f"value: {text}", source="").value["value"]
        assert isinstance(value, int)
        assert value == number


def test_number_as_key_stays_text() -> None:
    assert parse("1e-3: {on: 1, ~: 2}", source="").value == {"1e-3": {"on": 1, "~": 2}}


def test_places_count_characters_and_lines_from_one() -> None:
    document = parse("a: [1,\n  {é: 'x'}]\nb: größe\n", source="c.yaml")
    place = document.position(("a", 1, "é"))
    assert (place.source, place.line, place.column) == ("c.yaml", 2, 7)
    key = document.position(("a", 1, "é"), key=True)
    assert (key.line, key.column) == (2, 4)
    absent = document.position(("b", "c"))
    assert (absent.line, absent.column) == (3, 1)


PIECES = st.sampled_from(
    [
        *("data", "model", "optimizer", "loss", "name", "hidden", "lr", "scaling", "mean", "training", "evaluation"),
        *("mnist", "relu", "sgd", "elu", "word", "numbers", "classes", "split", "keep", "test", "none", "best"),
        *(": ", ":", "\n", "\n  ", "\n    ", "- ", "[", "]", "{", "}", ", ", "'", '"', "#", "?", "|", ">", "\t"),
        *("&a ", "*a", "!", "!!str ", "%", "---", "...", "<<", "~", "\ufeff", "\r", "\x85", "\u2028", "\x00", "\ud800"),
        *("0", "-1", "1e999", "1e-3", ".nan", "9" * 399, "9" * 5000, "true", "0x", "é", "𝄞"),
    ]
)
TEXTS = st.text() | st.lists(PIECES, max_size=40).map("".join)


@given(TEXTS)
@settings(max_examples=200, deadline=None)
@example("a: [1\u2028,2\n\t\t")
@example("data: \ud800")
def test_any_text_is_read_or_refused_with_faults(text: str) -> None:
    _read_or_refuse(text)
    _read_or_refuse(complete(text))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | PIECES.filter(lambda text: text.isalpha()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PIECES.filter(str.isalpha), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(PIECES.filter(str.isalpha), VALUES, max_size=8))
@settings(max_examples=200, deadline=None)
@example({"optimizer": {"name": ["sgd"]}, "data": {"scaling": {"word": {"numbers": 1}}}})
@example({"data": {"name": "mnist", "scaling": {"numbers": 1}, "mnist": {"mnist": 1}}})
@example({"loss": {"name": {"name": "mse"}}, "model": {"hidden": [[1]], "activation": {"name": {}}}})
def test_any_mapping_is_read_or_refused_with_faults(document: dict[str, Any]) -> None:
    _read_or_refuse(repr(document).replace("None", "~").replace("nan", ".nan").replace("inf", ".inf"))


def _read_or_refuse(text: str) -> None:
    faults: tuple[Fault, ...] | None = None
    try:
        load_text(text, source="c.yaml")
    except SpecError as error:
        faults = error.faults
    assert faults is None or faults
    for fault in faults or ():
        assert fault.message
        assert re.match(r"c\.yaml(:[1-9]\d*:[1-9]\d*)?  ", str(fault))


@given(st.binary() | TEXTS.map(lambda text: text.encode("utf-16", "surrogatepass")))
@settings(max_examples=100, deadline=None)
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(content)
    with contextlib.suppress(SpecError):
        assert load_spec(path).source == content


def test_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + complete("seed: 3").encode())
    assert load_spec(path).spec.seed == 3


@pytest.mark.parametrize(
    ("file", "name"), [("my run (2).yaml", "my-run-2-"), ("-x.yaml", "x"), ("é.yaml", "experiment")]
)
def test_name_defaults_to_the_file(file: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_text(complete("seed: 3"))
    assert load_spec(path).spec.name == name
