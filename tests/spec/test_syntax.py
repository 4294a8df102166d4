"""What breaks the syntax of YAML: one line, in our own words, with the place where it shows and where it was opened.

A mark « stands before the place that the fault must name.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mlptrain.errors import SpecError
from mlptrain.spec import load_spec
from mlptrain.spec.reader import parse
from tests.spec.texts import CONFIGS, ROOT, marked

BROKEN: dict[str, tuple[str, str]] = {
    "a list in the middle": (
        "data: digits\nmodel:\n  hidden: [64, 32\n  activation«: relu\noptimizer: {name: sgd, lr: 0.1}\n",
        "the list opened with '[' at 3:11 is not closed, or a ',' is missing in it",
    ),
    "a list over several lines": (
        "a: [\n  1,\n  2\nb«: [3]\nc: 4\n",
        "the list opened with '[' at 1:4 is not closed, or a ',' is missing in it",
    ),
    "a list at the end": (
        "data: digits\nmodel: {hidden: [64, 32\n«",
        "the list opened with '[' at 2:17 is not closed, or a ',' is missing in it",
    ),
    "a mapping in the middle": (
        "optimizer: {name: sgd, lr: 0.1\nmodel«:\n  hidden: [64]\n",
        "the mapping opened with '{' at 1:12 is not closed, or a ',' is missing in it",
    ),
    "a mapping before another": (
        "data: digits\nmodel: {hidden: [64]\n«optimizer: {name: sgd, lr: 0.1}\n",
        "the mapping opened with '{' at 2:8 is not closed, or a ',' is missing in it",
    ),
    "a mapping at the end": (
        "a: {b: 1\n«",
        "the mapping opened with '{' at 1:4 is not closed, or a ',' is missing in it",
    ),
    "a list in mappings": (
        "a: {b: [1, {c: 2, d: [3]}\n«e: 5\n",
        "the list opened with '[' at 1:8 is not closed, or a ',' is missing in it",
    ),
    "another bracket": (
        "a: [1, 2«}\nb: 2\n",
        "the list opened with '[' at 1:4 is not closed, or a ',' is missing in it",
    ),
    "a comma": (
        "a: [1, 'x' «'y', 2]\nb: 2\n",
        "the list opened with '[' at 1:4 is not closed, or a ',' is missing in it",
    ),
    "one bracket too many": ("a: [1, 2]«]\nb: 2\n", "this ']' closes nothing"),
    "a single quote in the middle": (
        "name: 'a\nloss: '«mse'\nseed: 1\n",
        "the text opened with ' at 1:7 is not closed in its line",
    ),
    "a double quote in the middle": (
        'data: "digits\nmodel: {hidden: [4]}\nname: "«mine"\nseed: 1\n',
        'the text opened with " at 1:7 is not closed in its line',
    ),
    "a quote in a mapping": (
        "model: {hidden: [4], activation: 'relu}\nname: '«x'\n",
        "the text opened with ' at 1:34 is not closed in its line",
    ),
    "a single quote at the end": ("seed: 1\nname: 'a\n«", "the text opened with ' at 2:7 is not closed"),
    "a double quote at the end": ('name: "a\nseed: 1\n«', 'the text opened with " at 1:7 is not closed'),
    "a quote before a document": ("name: 'a\n«---\nseed: 1\n", "the text opened with ' at 1:7 is not closed"),
    "a quote around a key": ("a: 1\n'b: 2\nc: 3\n«", "the text opened with ' at 2:1 is not closed"),
    "a quote in quotes": ("name: 'it'«s'\n", "the text opened with ' at 1:7 ends before this; write '' for a ' in it"),
    "a Windows path": (
        'name: "C:«\\data"\n',
        'the text opened with " at 1:7 has an unknown escape here; write \\\\ for a backslash',
    ),
    "a colon": (
        "training: epochs«: 5\n",
        "a ':' is not expected here; quote text that contains ': ', and indent the keys of a mapping alike",
    ),
    "no colon": ("a: 1\nepochs\n«b: 2\n", "a ':' is missing after the key at 2:1"),
    "no colon after quotes": ("a: 1\n'epochs'\n«b: 2\n", "a ':' is missing after the key at 2:1"),
    "less indented": (
        "a:\n  b: 1\n «c: 2\n",
        "this does not fit the mapping that starts at 1:1; indent what belongs together alike",
    ),
    "a key in a list": (
        "a:\n  - 1\n  «b: 2\n",
        "this does not fit the list that starts at 2:3; indent what belongs together alike",
    ),
    "an at sign": ("a: «@x\n", "a value cannot start with '@'; put it in quotes"),
    "a tab": ("a:\n«\tb: 1\n", "a tab cannot indent; use spaces"),
    "a NUL": ("é: 1\na: «\0", "the character U+0000 is not allowed"),
    "a bell": ("a: 1\nb: x«\a\n", "the character U+0007 is not allowed"),
}


@pytest.mark.parametrize(("text", "says"), BROKEN.values(), ids=BROKEN)
def test_broken_syntax_is_one_line_with_both_places(text: str, says: str) -> None:
    text, [(line, column)] = marked(text)
    with pytest.raises(SpecError) as caught:
        parse(text, source="c.yaml")
    [fault] = caught.value.faults
    assert (fault.line, fault.column) == (line, column)
    assert fault.message == f"is not valid YAML: {says}"
    assert len(str(caught.value).splitlines()) == 1


def test_what_has_no_words_of_ours_has_the_parsers_last() -> None:
    with pytest.raises(SpecError, match=r"^c\.yaml:1:5  is not valid YAML: the parser stops here \(.+\)$"):
        parse("a: & x\n", source="c.yaml")


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ("[a, ", "the top level must be a mapping"),
        ("a: [&c 1, ", "anchors and aliases"),
        ("a: [!c 1, ", "tags such"),
    ],
)
def test_what_is_refused_is_named_before_what_breaks(start: str, says: str) -> None:
    """Also where the parser breaks first, which reads ahead of what it gives."""
    with pytest.raises(SpecError, match=rf"^c\.yaml:1:\d  (a: )?{says}"):
        parse(start + "[" * 1_000, source="c.yaml")


DEEP = {
    "open": "seed: " + "[" * 1_000,
    "closed": "seed: " + "[" * 1_000 + "]" * 1_000,
    "open mappings": "seed: " + "{a: " * 1_000,
    "100,000": "seed: " + "[" * 100_000 + "]" * 100_000,
    "in lines": "seed:\n" + " [\n" * 1_000,
    "before a broken line": "seed: " + "[" * 25 + "\nb: 1\n",
    "dashes": "seed:\n" + "- " * 2_000,
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_what_is_too_deep_is_named_before_what_breaks(text: str) -> None:
    """The parser has a limit of its own in some versions, and reads ahead, so that it stops before it gives a value."""
    with pytest.raises(SpecError) as caught:
        parse(text, source="c.yaml")
    [fault] = caught.value.faults
    assert fault.message == "is nested deeper than 20 levels"
    opened = [index for index, character in enumerate(text) if character in "[{-"]
    index = opened[19]  # the mapping of the file is the first level
    if text[index] == "{":  # 19 of them hold a key each, which is deeper than its mapping
        index = opened[18] + 1
    line, column = text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
    assert (fault.line, fault.column) == (line, column)


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("model.hidden=[1, 2", "the list opened with '[' is not closed, or a ',' is missing in it"),
        ("name='a", "the text opened with ' is not closed"),
    ],
)
def test_an_override_has_no_lines(assignment: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(CONFIGS[0], [assignment])
    assert str(caught.value) == f"--set {assignment}  is not valid YAML: {says}"


WITHOUT_LIBYAML = """
import json, sys
sys.modules["yaml._yaml"] = None
import yaml
from mlptrain.errors import SpecError
from mlptrain.spec.reader import parse
assert not hasattr(yaml, "CSafeLoader")
said = []
for text in json.load(sys.stdin):
    try:
        parse(text, source="c.yaml")
    except SpecError as error:
        said.append(error.faults[0].message)
print(json.dumps(said))
"""


def test_both_parsers_give_the_same_messages() -> None:
    """PyYAML's own parser, for a wheel without libyaml, words nearly every error in another way."""
    texts = [text.replace("«", "") for text, _ in BROKEN.values()]
    said = []
    for text in texts:
        with pytest.raises(SpecError) as caught:
            parse(text, source="c.yaml")
        said.append(caught.value.faults[0].message)
    command = [sys.executable, "-c", WITHOUT_LIBYAML]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == said
