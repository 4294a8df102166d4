"""Broken configurations. A mark « stands before the place that the fault must name."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from mlptrain.errors import SpecError
from mlptrain.spec import load_spec, load_text
from mlptrain.spec.base import Section
from mlptrain.spec.load import check
from mlptrain.spec.reader import parse
from tests.spec.broken_keys import TYPES, UNKNOWN_KEYS, Case
from tests.spec.broken_values import RANGES, RULES, UNIONS
from tests.spec.texts import complete, marked

SYNTAX: dict[str, Case] = {
    "key twice": ("seed: 1\n«seed: 1", "seed", ["given twice", "first in line 1"]),
    "key twice, nested": (
        "training:\n  epochs: 5\n  shuffle: true\n  «epochs: 6",
        "training.epochs",
        ["given twice", "first in line 2"],
    ),
    "section twice": ("model: {hidden: [4]}\n«model: {hidden: [5]}", "model", ["given twice", "first in line 1"]),
    "anchor": ("seed: «&s 1", "", ["anchors and aliases", "write the value out"]),
    "anchor on a section": ("data: «&d {name: mnist}", "", ["anchors and aliases"]),
    "anchor on a key": ("«&k seed: 1", "", ["anchors and aliases"]),
    "alias": ("seed: «*s", "", ["anchors and aliases"]),
    "nested alias": ("training: {epochs: «*s}", "training", ["anchors and aliases"]),
    "merge key": ("training: {«<<: {epochs: 5}}", "training.<<", ["merge keys are not", "write the keys out"]),
    "tag": ("seed: «!!python/object/apply:os.system ['true']", "", ["tags", "python/object/apply:os.system"]),
    "own tag": ("data: «!load mnist", "", ["tags", "'!load'"]),
    "tag of text": ("name: «!!str 1", "", ["tags", "write a plain value"]),
    "two documents": ("seed: 1\n«---\nseed: 2", "", ["second document", "one file is one experiment"]),
    "list as key": ("? «[a]\n: 1", "", ["a key must be a word"]),
    "tab": ("training:\n«\tepochs: 5", "", ["not valid YAML", "tab", "spaces"]),
    "colon in a value": ("training: epochs«: 5", "", ["not valid YAML", "a ':' is not expected here"]),
    "after characters of several bytes": ("name: größe€𝄞«: 1", "", ["a ':' is not expected here"]),
    "unfinished list": (
        "model: {hidden: [1, 2\n«",
        "model.hidden",
        ["not valid YAML", "the list opened with '[' at 1:17"],
    ),
    "unfinished text": ("name: 'a\n«", "", ["not valid YAML", "the text opened with ' at 1:7 is not closed"]),
    "nested 25 deep": ("seed: " + "[" * 19 + "«" + "[" * 6 + "]" * 25, "seed" + "[0]" * 18, ["deeper than 20 levels"]),
    "nested 1,000 deep": ("seed: " + "[" * 19 + "«" + "[" * 981, "seed" + "[0]" * 18, ["deeper than 20 levels"]),
    "mappings 1,000 deep": ("seed: " + "{a: " * 18 + "{«" + "a: {" * 981, "seed" + ".a" * 18, ["deeper than 20"]),
    "300,000 values": ("seed: [" + "1," * 19_997 + "«" + "1," * 300_000 + "]", "seed", ["more than 20,000 values"]),
}

ALL = {
    f"{kind}: {name}": case
    for kind, cases in (
        ("unknown key", UNKNOWN_KEYS),
        ("type", TYPES),
        ("range", RANGES),
        ("union", UNIONS),
        ("rule", RULES),
        ("syntax", SYNTAX),
    )
    for name, case in cases.items()
}
WHOLE = ("unfinished", "deep", "300,000", "two documents", "tab")  # nothing may be appended to these


@pytest.mark.parametrize(("text", "path", "says"), ALL.values(), ids=ALL)
def test_one_fault_at_its_place(text: str, path: str, says: list[str], request: pytest.FixtureRequest) -> None:
    whole = any(word in request.node.name for word in WHOLE)
    text, [(line, column)] = marked(text if whole else complete(text))
    started = time.process_time()
    with pytest.raises(SpecError) as caught:
        load_text(text, source="c.yaml")
    assert time.process_time() - started < 2
    [fault] = caught.value.faults
    assert (fault.line, fault.column, fault.path) == (line, column, path), str(fault)
    for part in says:
        assert part in fault.message
    if not any(re.search("mean '|did you mean", part) for part in says):
        assert "did you mean" not in fault.message
    assert len(fault.message) < 300
    assert str(caught.value) == f"c.yaml:{line}:{column}  {path}{': ' if path else ''}{fault.message}"


def test_all_faults_at_once_in_the_order_of_their_places() -> None:
    text, places = marked("""\
data: mnist
«trainign: {epochs: 3}
model:
  hidden: [500, «-256]
  activation: {name: elu, «slope: 0.1}
loss: «bce
optimizer:
  name: sgd
  «learning_rate: 0.1
  weight_decay: «'0'
evaluation: {split: none, keep: «best}
training:
  epochs:«
  shuffle: true
  «shuffle: false
seed: «.5
""")
    with pytest.raises(SpecError) as caught:
        load_text(text, source="configs/typo.yaml")
    faults = caught.value.faults
    assert [(fault.line, fault.column) for fault in faults] == places
    assert [fault.path for fault in faults] == [
        "trainign",
        "model.hidden[1]",
        "model.activation.slope",
        "loss",
        "optimizer.learning_rate",
        "optimizer.weight_decay",
        "evaluation.keep",
        "training.epochs",
        "training.shuffle",
        "seed",
    ]
    lines = str(caught.value).splitlines()
    assert lines[0] == "configs/typo.yaml:2:1  trainign: unknown key; did you mean 'training'?"
    assert lines[1] == "configs/typo.yaml:4:17  model.hidden[1]: must be at least 1, got -256"
    assert lines[3] == (
        "configs/typo.yaml:6:7  loss: "
        "'bce' needs exactly two classes, data 'mnist' has 10; set data.classes, e.g. [0, 1]"
    )
    assert lines[4] == "configs/typo.yaml:9:3  optimizer.learning_rate: unknown key; did you mean 'lr'?"


def test_both_sizes_are_named() -> None:
    with pytest.raises(SpecError) as caught:
        load_text(complete("data: {name: mnist, train_size: 70000, test_size: 20000}"))
    assert [fault.path for fault in caught.value.faults] == ["data.train_size", "data.test_size"]


def test_every_missing_section_is_named() -> None:
    with pytest.raises(SpecError) as caught:
        load_text("seed: 1\n")
    assert [fault.path for fault in caught.value.faults] == ["data", "model", "optimizer"]
    for fault, example in zip(caught.value.faults, ["data: digits", "{hidden: [64]}", "{name: sgd"], strict=True):
        assert "required key is missing" in fault.message
        assert example in fault.message


BYTES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "only a comment": (b"# nothing\n\n", "is empty"),
    "only a document start": (b"---\n", "is empty"),
    "list": (b"- data: mnist\n", "top level must be a mapping"),
    "word": (b"mnist\n", "top level must be a mapping"),
    "Latin-1": ("name: größe\n".encode("latin-1"), "not UTF-8 text: byte 8 is 0xf6"),
}


@pytest.mark.parametrize(("content", "says"), BYTES.values(), ids=BYTES)
def test_files_that_are_no_configuration(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    started = time.process_time()
    with pytest.raises(SpecError, match=says) as caught:
        load_spec(path)
    assert time.process_time() - started < 2
    assert str(caught.value).startswith(str(path))


def test_absent_file_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "mnist.yaml").touch()
    with pytest.raises(SpecError, match=r"mnits\.yaml  no such file; in that folder: .*mnist\.yaml"):
        load_spec(tmp_path / "mnits.yaml")
    with pytest.raises(SpecError, match=r"no such file$"):
        load_spec(tmp_path / "nowhere" / "mnist.yaml")


def test_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        load_spec(tmp_path)


class _Other(Section):
    choice: Literal["a or b", "c, d", "it's"]


class _Odd(Section):
    name: Literal["odd"]
    choice: Literal["this, or that", "neither"] | None = None


class _Even(Section):
    name: Literal["even", "'even'"]


class _Whole(Section):
    other: _Other
    either: Annotated[_Odd | _Even, Field(discriminator="name")]


@pytest.mark.parametrize(
    ("other", "either", "says"),
    [
        ("c", "{name: odd}", "other.choice: must be a or b, c, d or it's, got the text 'c'"),
        (
            "'a or b'",
            "{name: odder}",
            "either.name: must be odd, even or 'even', got the text 'odder'; did you mean 'odd'?",
        ),
        (
            "'c, d'",
            "{name: odd, choice: those}",
            "either.choice: must be this, or that or neither, got the text 'those'",
        ),
    ],
)
def test_choices_are_those_of_the_schema(other: str, either: str, says: str) -> None:
    """Whatever the words hold that pydantic's sentence about them has too."""
    _, _, [fault] = check(parse(f"other: {{choice: {other}}}\neither: {either}", source="c.yaml"), _Whole, [])
    assert f"{fault.path}: {fault.message}" == says
