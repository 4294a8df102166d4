"""A run folder that was begun before: what may be taken over, and what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlptrain.errors import RunFolderError
from mlptrain.runs import RunFolder


def test_what_a_run_left_before_its_first_epoch_is_taken_over(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/.last.safetensors.0123abcd.tmp").write_bytes(b"half")
    (run / "environment.json").write_text("{}")
    (run / "config.yaml").write_text("name: small")
    with RunFolder.create("small", run_dir=run):
        assert [path.relative_to(run) for path in run.rglob("*")] == [Path("checkpoints")]


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints/last.safetensors", "thesis.tex", "config.yaml"])
def test_what_is_more_than_that_is_left_alone(tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / name).write_text("precious")
    with pytest.raises(RunFolderError, match="exists and is not empty; name a new folder"):
        RunFolder.create("small", run_dir=run)
    assert (run / name).read_text() == "precious"
