"""What the command line says of itself: help in panels, a line for each command, and completion in the shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import Call

ROOT = Path(__file__).parent.parent
PANELS = {
    (): {
        "Train and evaluate": ["init", "check", "lr-find", "train", "eval", "predict", "export", "serve"],
        "Look": ["runs", "metrics", "report", "gradcheck", "plot"],
        "Compare": ["compare", "compare-optimizers", "search"],
        "Data": ["data"],
        "Help": ["doctor", "schema"],
    },
    ("plot",): {
        "Runs": [
            "curves",
            "decision",
            "fit",
            "confusion",
            "mistakes",
            "residuals",
            "reliability",
            "roc",
            "importance",
            "seen",
            "weights",
            "layers",
        ],
        "Data": ["samples", "histogram", "schedule"],
        "Functions": ["activation"],
    },
    ("data",): {"Data": ["show", "fetch", "verify"]},
}


def complete(*words: str, folder: Path, code: str = "") -> list[str]:
    """What bash is offered for the last word; ``code`` runs when the process has completed it."""
    run = f"import atexit, sys\natexit.register(lambda: exec({code!r}))\nfrom mlptrain.cli import main; main()"
    environment = {
        "_MLPTRAIN_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["mlptrain", *words]),
        "COMP_CWORD": str(len(words)),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", run],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("group", PANELS)
def test_every_command_has_a_line_in_a_panel(call: Call, group: tuple[str, ...]) -> None:
    text = call(*group, "--help").out
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    sections = dict(re.findall(r"^(\S.*):\n((?:  .*\n)+)", text, re.MULTILINE))
    sections.pop("Options")
    lines = {panel: block.splitlines() for panel, block in sections.items()}
    assert {panel: [line.split()[0] for line in block] for panel, block in lines.items()} == PANELS[group]
    assert all(re.fullmatch(r"  [a-z-]+ {2,}[A-Z].*[^.…]", line) for block in lines.values() for line in block)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("train", "x.yaml", "--lr", "0.1"), "--lr; write --set optimizer.lr=0.1"),
        (("train", "--learning-rate=0.1", "x.yaml"), "--learning-rate; write --set optimizer.lr=0.1"),
        (("train", "x.yaml", "--epochs", "3"), "--epochs; write --set training.epochs=3"),
        (("train", "x.yaml", "--batch-size", "8"), "--batch-size; write --set training.batch_size=8"),
        (("lr-find", "x.yaml", "--optimizer", "adam"), "--optimizer; write --set optimizer=adam"),
        (("train", "x.yaml", "--seed", "3"), "--seed; write --set seed=3, or did you mean --seeds?"),
        (("check", "x.yaml", "--hidden", "[3, 4]"), "--hidden; write --set 'model.hidden=[3, 4]'"),
        (("train", "x.yaml", "--hidden"), "--hidden; write --set model.hidden=…"),
        (("search", "x.yaml", "--trials", "10"), "--trials; write --set trials=10"),
        (("search", "x.yaml", "--n-trials", "10"), "--n-trials; write --set trials=10"),
        (("search", "x.yaml", "--lr", "0.1"), "--lr; write --set base.optimizer.lr=0.1"),
        (("compare", "x.yaml", "--executor", "ray"), "--executor; write --set executor=ray"),
        (("train", "x.yaml", "--set", "optimizer.lr", "0.1"), "(0.1); write --set optimizer.lr=0.1"),
        (("train", "x.yaml", "--nosuch", "1"), "--nosuch"),
        (("compare", "x.yaml", "--seeds", "3"), "--seeds (Possible options: --set)"),  # of scoring, or of tuning
        (("eval", "run", "--lr", "3"), "--lr (Possible options: --help)"),  # which has no --set
    ],
)
def test_an_option_that_is_a_key_is_told_how_to_set_it(arguments: tuple[str, ...], says: str, call: Call) -> None:
    refused = call(*arguments)
    assert refused.code == 2
    assert refused.err.rstrip().endswith(says)


def test_completion_of_commands_files_and_names(tmp_path: Path) -> None:
    for file in ("mine.yaml", "configs/digits.yaml", "runs/first/resolved.yaml", "runs/group/seeds.json", "notes.txt"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    for words, offered in {
        ("tr",): ["train"],
        ("plot", "con"): ["confusion"],
        ("train", ""): ["configs/digits.yaml", "mine.yaml"],
        ("train", "co"): ["configs/digits.yaml"],
        ("check", "mine.yaml", "configs/"): ["configs/digits.yaml"],
        ("train", "--resume", ""): ["runs/first", "runs/group"],
        ("eval", "runs/f"): ["runs/first"],
        ("report", "ru"): ["runs/first", "runs/group"],
        ("eval", "runs/first", "--split", "va"): ["validation"],
        ("data", "fetch", "fa"): ["fashion_mnist"],
        ("train", "no"): [],
    }.items():
        assert complete(*words, folder=tmp_path) == offered, words
    absolute = str(tmp_path / "m")
    assert complete("check", absolute, folder=tmp_path) == [str(tmp_path / "mine.yaml")]


def test_completion_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    for words in (("tr",), ("train", "m"), ("data", "fetch", "m"), ("plot", "c")):
        modules = set(complete(*words, folder=tmp_path, code=loaded))
        assert "typer" in modules
        assert not modules & {"torch", "numpy", "scipy", "sklearn", "matplotlib", "rich"}, words
        assert ("pydantic" in modules) <= (words[0] in ("train", "data")), words  # arguments of commands are converted


def test_the_script_of_completion_is_bashs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlptrain", "--show-completion", "bash"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "_MLPTRAIN_COMPLETE=complete_bash" in done.stdout
    assert subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=False).returncode == 0
