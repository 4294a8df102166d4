"""What a terminal of 80 columns shows: whole names and figures, whatever has to be folded for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlptrain.cli import main, screen
from mlptrain.experiment import train
from mlptrain.spec import load_spec

CONFIGS = Path(__file__).parent.parent / "configs"
LONG = "a_run_with_a_name_that_is_far_longer_than_its_column"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the digits, one of them with a long name, and one of a regression."""
    path = tmp_path_factory.mktemp("runs")
    momentum = "optimizer={name: sgd, lr: 0.05, momentum: 0.9, nesterov: true}"
    train(load_spec(CONFIGS / "digits.yaml", ["training.epochs=2", momentum]), run_dir=path / "good")
    shutil.copytree(path / "good", path / LONG)
    train(load_spec(CONFIGS / "regression_by_heart.yaml", ["training.epochs=2"]), run_dir=path / "values")
    return path


def in_terminal(*arguments: str, columns: int = 80, code: int = 0) -> str:
    """What a terminal gets of a command, without escape sequences."""
    inside, outside = os.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"}
    command = [sys.executable, "-m", "mlptrain", *arguments]
    process = subprocess.Popen(command, stdout=outside, stderr=subprocess.DEVNULL, env=environment)
    os.close(outside)
    shown = b""
    while chunk := _read(inside):
        shown += chunk
    os.close(inside)
    assert process.wait() == code
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # Linux says so when the other end is closed
        return b""


def first_column(text: str, title: str) -> str:
    """All letters of the first column of a table, whose second one begins at ``title``."""
    [start] = {line.index(title) for line in text.splitlines() if title in line}
    return "".join(line[:start].strip() for line in text.splitlines())


@pytest.mark.parametrize("seeds", [(), ("--seeds", "0..1")])
def test_gradcheck_names_every_tensor(seeds: tuple[str, ...]) -> None:
    text = in_terminal("gradcheck", str(CONFIGS / "digits.yaml"), "--set", "model.hidden=[5, 4]", *seeds)
    for name in [f"layers.{layer}.{kind}" for layer in range(3) for kind in ("weight", "bias")]:
        assert name in text
    assert "…" not in text
    table = text[: text.index("float64, ")]
    assert max(map(len, table.splitlines())) <= 80


def test_gradcheck_needs_no_more_than_80_columns_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["gradcheck", str(CONFIGS / "digits.yaml"), "--set", "model.hidden=[500, 256]", "--seeds", "0..1"])
    with pytest.raises(SystemExit):
        main(["gradcheck", str(CONFIGS / "digits.yaml"), "--set", "model.hidden=[500, 256]"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("layers.")]
    assert [line.split()[0] for line in lines if "weight" in line] == [f"layers.{n}.weight" for n in range(3)] * 2
    assert max(map(len, lines)) <= 80


def test_a_pipe_is_as_wide_as_columns_says_where_it_is_exported(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in ("", "80"):
        monkeypatch.setenv("COLUMNS", columns)
        with pytest.raises(SystemExit):
            main(["runs", str(folder)])
        out = capsys.readouterr().out
        assert (max(map(len, out.splitlines())) <= 80) == bool(columns)
        assert "…" not in out


def test_runs_are_whole_at_every_width(folder: Path) -> None:
    results = {run.name: json.loads((run / "result.json").read_text())["kept"] for run in folder.iterdir()}
    for columns in (80, 100, 250):
        text = in_terminal("runs", str(folder), columns=columns)
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= columns
        for kept in results.values():
            assert {f"{value:.4f}" for key, value in kept.items() if key.endswith(("loss", "accuracy"))} <= set(
                text.split()
            )
        for word in ("completed", "nesterov", "64-64-32-10", "random_regression", "0.05"):
            assert word in text
    assert LONG in text
    assert LONG in first_column(in_terminal("runs", str(folder)), "data, model").replace("completed", " ")


def test_a_word_wider_than_the_terminal_is_folded() -> None:
    verified = in_terminal("data", "verify", "digits")
    assert "…" not in verified
    assert max(map(len, verified.splitlines())) <= 80
    [digest] = re.findall(r"[0-9a-f]{64}", in_terminal("data", "verify", "digits", columns=200))
    assert digest in re.sub(r"\s+", "", verified)


def test_a_pipe_has_lines_of_any_length(capsys: pytest.CaptureFixture[str]) -> None:
    screen.show_table(("a", "b"), [["x" * 300, "y" * 300]])
    assert f"{'x' * 300}   {'y' * 300}" in capsys.readouterr().out


def test_names_that_do_not_fit_are_numbers_over_the_confusion(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Ankle boot"]
    report = {
        "split": "test", "examples": 49, "loss": 1.0, "accuracy": 0.5, "interval": [0.4, 0.6], "wrong": 18,
        "metrics": {}, "undefined": {}, "temperature": None,
        "per_class": [{"class": name, "precision": 0.5, "recall": 0.5, "examples": 6} for name in names],
        "confusion": np.arange(49).reshape(7, 7).tolist(),
    }  # fmt: skip
    screen.show_evaluation(report)
    shown = capsys.readouterr().out
    lines = [line.split() for line in shown[shown.index("confusion") :].splitlines()]
    assert ["true", "\\", "predicted", *map(str, range(7))] in lines
    assert ["0", "T-shirt/top", "·", "1", "2", "3", "4", "5", "6"] in lines
