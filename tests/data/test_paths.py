"""Paths in a configuration: where they start from, patterns and lists of them, and what is wrong with one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mlptrain.errors import UserError
from mlptrain.sources.facts import DataKeyError
from mlptrain.sources.files import files_of, natural
from mlptrain.spec.experiment import ExperimentSpec
from mlptrain.spec.load import anchor
from mlptrain.spec.mapping import document_of
from mlptrain.spec.overrides import apply_override
from mlptrain.spec.reader import read_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That of a configuration, whose name holds a pattern's characters; the current one is another."""
    folder = tmp_path / "mine[1]"
    (folder / "parts").mkdir(parents=True)
    for name in ("parts/p-10.csv", "parts/p-2.csv", "parts/p-1.csv", "adult.data", "odd[1].csv"):
        (folder / name).touch()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


def anchored(folder: Path, data: str, *overrides: str) -> dict[str, Any]:
    (folder / "c.yaml").write_text(f"data: {data}\nmodel: {{hidden: [3]}}\n")
    document = read_file(folder / "c.yaml")[1]
    for override in overrides:
        apply_override(document, override, ExperimentSpec)
    anchor(document)
    found: dict[str, Any] = document.value["data"]
    return found


def test_they_start_from_the_files_folder(folder: Path) -> None:
    data = anchored(folder, "{name: t, path: adult.data, test_path: ../adult.test, validation_path: [a, ./b]}")
    assert files_of(data["path"]) == [folder / "adult.data"]
    assert os.path.normpath(data["test_path"]) == str(folder.parent / "adult.test")
    assert data["validation_path"] == [str(folder / "a"), str(folder / "b")]


def test_those_of_an_option_start_from_the_current_folder(folder: Path) -> None:
    data = anchored(folder, "{name: t, path: adult.data}", "data.path=x/*.csv", "data.test_path=[y, ~/z]")
    assert data["path"] == str(Path.cwd() / "x/*.csv")
    assert data["test_path"] == [str(Path.cwd() / "y"), str(Path.home() / "z")]


def test_those_of_a_mapping_start_from_the_current_folder() -> None:
    document = document_of({"data": {"path": Path("x.csv")}, "model": {"init": {"path": "w.npz"}}})
    anchor(document)
    assert document.value["data"]["path"] == str(Path.cwd() / "x.csv")
    assert document.value["model"]["init"]["path"] == str(Path.cwd() / "w.npz")


@pytest.mark.parametrize("data", ["digits", "[1]", "{name: t, path: 3}", "{name: t, path: ''}", "{path: [1, {a: b}]}"])
def test_what_is_no_path_is_left_to_the_checks(folder: Path, data: str) -> None:
    before = anchored(folder, data)
    assert before == document_of({"data": before}).value["data"]


def test_patterns_are_in_natural_order_whatever_the_folder_is_called(folder: Path) -> None:
    path = anchored(folder, "{name: t, path: parts/p-*.csv}")["path"]
    assert [file.name for file in files_of(path)] == ["p-1.csv", "p-2.csv", "p-10.csv"]
    assert len(files_of(anchored(folder, "{name: t, path: '**/*.csv'}")["path"])) == 4
    assert files_of(anchored(folder, "{name: t, path: 'odd[1].csv'}")["path"]) == [folder / "odd[1].csv"]


def test_a_list_keeps_its_order(folder: Path) -> None:
    paths = anchored(folder, "{name: t, path: [parts/p-2.csv, adult.data, 'parts/p-1*']}")["path"]
    assert [file.name for file in files_of(paths)] == ["p-2.csv", "adult.data", "p-1.csv", "p-10.csv"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("adult.dat", "no such file or folder; did you mean 'adult.data'?"),
        ("ADULT.DATA", "did you mean 'adult.data'?"),
        ("nothing-like-it", "no such file or folder; in that folder: adult.data, c.yaml, empty, odd[1].csv, parts"),
        ("part/p-1.csv", "; there is no folder"),
        ("parts/*.tsv", "no file matches"),
        ("empty/x", "; that folder is empty"),
        ("~nobody-of-this-name/x", "no such file or folder"),
        ('"a\\0b"', "a NUL"),
    ],
)  # fmt: skip
def test_what_is_not_there(folder: Path, path: str, words: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(DataKeyError) as caught:
        files_of(anchored(folder, f"{{name: t, path: {path}}}")["path"])
    assert words in str(caught.value)
    assert (caught.value.path, isinstance(caught.value, UserError)) == (("path",), True)


def test_natural_order() -> None:
    names = ["10", "9", "a10", "a9b2", "a9b10", "b", "00", "0", "1" * 40, "cat"]
    expected = ["0", "00", "9", "10", "1" * 40, "a9b2", "a9b10", "a10", "b", "cat"]
    assert sorted(names, key=natural) == expected
