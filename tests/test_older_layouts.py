"""Checkpoints and run folders of earlier versions: one sentence that says so, by every command, and nothing changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mlptrain
from mlptrain.errors import CheckpointError, RunFolderError
from mlptrain.spec import load_text
from tests.command import Call
from tests.faults.tools.checkpoints import best_of, last_of, read, seal

CONFIG = """\
name: old
data: {name: digits, train_size: 200, test_size: 50}
model: {hidden: [4]}
optimizer: {name: adam, lr: 0.01}
training: {epochs: 2, batch_size: 50, device: cpu, threads: 1}
"""
COMMANDS = (
    ("eval", "run"),
    ("predict", "run", "--index", "0"),
    ("report", "run"),
    ("plot", "weights", "run"),
    ("train", "--resume", "run", "--set", "training.epochs=4"),
)


@pytest.fixture(autouse=True)
def _a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mlptrain.train(load_text(CONFIG), run_dir=Path("run"))


def contents() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}


def test_checkpoints_of_format_1(call: Call) -> None:
    for path in (best_of(Path("run")), last_of(Path("run"))):
        described, tensors = read(path)
        del described["facts"], described["preprocessing"]
        seal(path, {**described, "format": 1, "scaling": {"divisor": 16.0, "mean": 0.0, "std": 1.0}}, tensors)
    before = contents()
    for arguments in COMMANDS:
        refused = call(*arguments)
        assert refused.code == 2
        assert refused.err.count("\n") == 1
        assert refused.err.startswith("error: run/checkpoints/")
        assert refused.err.endswith("was written by an earlier version of mlptrain; retrain the network\n")
    with pytest.raises(CheckpointError, match=r"earlier version of mlptrain; retrain the network$"):
        mlptrain.load("run")
    assert contents() == before


def test_a_run_folder_without_facts(call: Call) -> None:
    Path("run/facts.json").unlink()
    before = contents()
    for arguments in COMMANDS:
        refused = call(*arguments)
        assert refused.code == 2
        assert (
            refused.err
            == "error: run was written by an earlier version of mlptrain (it has no facts.json); train it again\n"
        )
    with pytest.raises(
        RunFolderError, match=r"^run was written by an earlier version of mlptrain \(it has no facts\.json\)"
    ):
        mlptrain.load("run")
    assert contents() == before
    [listed] = call("runs", ".", "--json").json
    assert listed["status"] == "outdated"
    assert call("eval", "run/checkpoints/best.safetensors").code == 0, "a checkpoint has facts of its own"


def test_a_group_without_facts(call: Call) -> None:
    assert call("train", "run/config.yaml", "--seeds", "1,2", "--run-dir", "group").code == 0
    for seed in (1, 2):
        Path(f"group/seed-{seed}/facts.json").unlink()
    refused = call("train", "--resume", "group", "--set", "training.epochs=4")
    assert refused.code == 2
    assert (
        refused.err
        == "error: group/seed-1 was written by an earlier version of mlptrain (it has no facts.json); train it again\n"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "its content is not valid JSON"),
        ("[]", "its content is not what was written"),
        ("{}", "key train_rows is missing"),
        ("null", "its content is not what was written"),
    ],
)
def test_facts_that_are_damaged(call: Call, content: str, says: str) -> None:
    path = Path("run/facts.json")
    path.write_text(content)
    for arguments in COMMANDS:
        refused = call(*arguments)
        assert refused.code == 2
        assert refused.err.startswith("error: run/facts.json is damaged: ")
        assert refused.err.count("\n") == 1
        assert says in refused.err


def test_facts_of_another_run(call: Call) -> None:
    """They contradict the checkpoint, whose own are those that it was trained with."""
    path = Path("run/facts.json")
    facts = json.loads(path.read_text())
    for key, value in (("train_rows", 100), ("test_rows", 40), ("class_names", facts["class_names"][::-1])):
        path.write_text(json.dumps({**facts, key: value}))
        refused = call("eval", "run")
        assert refused.code == 2
        assert "belongs to another run than run/resolved.yaml" in refused.err
