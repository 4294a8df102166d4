"""A folder that ``--run-dir`` names: what is in it is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlptrain.errors import RunFolderError
from mlptrain.runs import RunFolder


@pytest.mark.parametrize(
    "names",
    [
        ["environment.json", "config.yaml"],
        ["environment.json", "config.yaml/mine"],
        ["checkpoints"],
        ["checkpoints/thesis.tex"],
        ["seed-a/environment.json", "seed-a/resolved.yaml"],
        [".keep.00000000.tmp/mine"],
        ["metrics.jsonl"],
        ["thesis.tex"],
    ],
)
def test_files_that_may_be_the_users_own_are_left_alone(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text("precious")
    with pytest.raises(RunFolderError, match="exists and is not empty; name a new folder"):
        RunFolder.create("small", run_dir=tmp_path / "run")
    for name in names:
        assert (tmp_path / "run" / name).read_text() == "precious"
