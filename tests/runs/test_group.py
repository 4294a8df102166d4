"""The folder of several seeds' runs, whole and damaged, and how runs in it are found and listed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlptrain.errors import RunFolderError
from mlptrain.runs import RunFolder, SeedGroup, list_runs
from mlptrain.runs.records import RUN_RESULT, Environment, Hashes
from mlptrain.spec import load_text, to_yaml

EXPERIMENT = load_text("{name: small, data: digits, model: {hidden: [4]}, optimizer: {name: sgd, lr: 0.1}}").experiment
COMPLETED = {"status": "completed", "epochs": 2, "steps": 8, "last": {}, "diagnosis": None, "test_evaluations": 1}
DIVERGED = {"status": "diverged", "epoch": 1, "step": 2, "lr": 0.1, "message": "diverged"}
ENVIRONMENT = Environment(
    mlptrain="1", python="3", torch="2", numpy="2", platform="Linux", processor="AVX2", device="cpu", device_name=None,
    precision="highest", threads=1, git_commit=None, hashes=Hashes(data="0", initial_weights="1", batch_order="2"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make_run(path: Path, *, result: dict[str, Any] | None = None, written: float | None = None) -> RunFolder:
    """A run folder as training leaves it, ``written`` seconds after the epoch."""
    with RunFolder.create("small", run_dir=path) as folder:
        folder.write_start(
            config=b"", resolved=to_yaml(EXPERIMENT.spec), facts=EXPERIMENT.facts, environment=ENVIRONMENT
        )
    lines = [
        {
            "epoch": epoch,
            "step": epoch * EXPERIMENT.steps_per_epoch,
            "lr": 0.1,
            "train_loss": 2.5,
            "validation_loss": 2.5,
        }
        for epoch in range(3)
    ]
    folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if result is not None:
        folder.write_result(RUN_RESULT.validate_python(result))
    if written is not None:
        os.utime(folder.resolved, (written, written))
    return folder


def make_group(path: Path, seeds: list[int], *, written: float | None = None) -> SeedGroup:
    with SeedGroup.create("small", run_dir=path) as group:
        for place, seed in enumerate(seeds):
            make_run(group.member(seed), written=None if written is None else written - place)
        group.write_start(seeds)
    return group


def test_a_new_group_is_named_like_a_run_and_holds_its_runs() -> None:
    group = SeedGroup.create("small")
    assert group.path.parent == Path("runs")
    assert group.path.name.startswith("small-seeds-")
    assert not SeedGroup.is_group(group.path)  # until its runs are there
    group.write_start([5, 3])
    assert [path.name for path in group.path.iterdir()] == ["seeds.json"]
    assert SeedGroup.open(group.path).numbers == [5, 3]


def test_a_group_takes_no_folder_in_use() -> None:
    make_group(Path("group"), [0])
    with pytest.raises(RunFolderError, match="not empty; name a new folder, or resume with `mlptrain train --resume"):
        SeedGroup.create("small", run_dir=Path("group"))


def test_opening_what_is_no_group() -> None:
    make_run(Path("run"))
    for path in ("run", "absent"):
        with pytest.raises(RunFolderError, match=rf"^{path} is not a group of seeds: it has no seeds.json"):
            SeedGroup.open(Path(path))


@pytest.mark.parametrize(
    "content",
    ["", "[", "[0, 1]", "{}", '{"seeds": []}', '{"seeds": 3}', '{"seeds": [0, "1"]}', '{"seeds": [0, -1]}',
     '{"seeds": [true]}', '{"seeds": [0.0]}', '{"seeds": null}', "\udcff"],
)  # fmt: skip
def test_a_damaged_list_of_seeds(content: str) -> None:
    group = make_group(Path("group"), [0, 1])
    group.start.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(RunFolderError, match=r"group/seeds\.json.*damaged"):
        _ = group.numbers
    assert [run.path.name for run in list_runs(Path())] == ["seed-0", "seed-1"]  # their own folders are whole


def test_summary_against_numpy() -> None:
    group = make_group(Path("group"), [4, 0, 9])
    losses, accuracies = [0.5, 0.25, 0.125], [0.7, 0.8, 0.95]
    results = []
    for loss, accuracy in zip(losses, accuracies, strict=True):
        kept = {"checkpoint": "best.safetensors", "epoch": 2, "test_loss": loss, "test_accuracy": accuracy}
        results.append(RUN_RESULT.validate_python(COMPLETED | {"kept": kept}))
    diverged = RUN_RESULT.validate_python(DIVERGED)
    summary = group.write_summary(results).plain()
    assert json.loads(group.summary.read_text()) == summary
    assert (summary["seeds"], summary["diverged"], list(summary["kept"])) == (
        [4, 0, 9],
        [],
        ["test_loss", "test_accuracy"],
    )
    for name, values in (("test_loss", losses), ("test_accuracy", accuracies)):
        expected = {"mean": np.mean(values), "std": np.std(values, ddof=1), "min": min(values), "max": max(values)}
        assert summary["kept"][name] == pytest.approx(expected)
    without_one = group.write_summary([results[0], diverged, results[2]]).plain()
    assert without_one["diverged"] == [0]
    assert without_one["kept"]["test_loss"]["mean"] == np.mean([0.5, 0.125])
    assert without_one["kept"]["test_loss"]["std"] == pytest.approx(np.std([0.5, 0.125], ddof=1))
    alone = group.write_summary([diverged, diverged, results[2]]).plain()
    assert alone["kept"]["test_loss"] == {"mean": 0.125, "std": None, "min": 0.125, "max": 0.125}
    assert group.write_summary([diverged] * 3).kept == {}


def test_a_summary_over_runs_of_two_versions() -> None:
    """Of the earlier one there are no training figures of the kept weights, so the summary has none either."""
    group = make_group(Path("group"), [0, 1])
    kept = {"checkpoint": "best.safetensors", "epoch": 2, "train_loss": 0.9, "test_loss": 0.5}
    earlier = RUN_RESULT.validate_python(COMPLETED | {"kept": kept, "last": {"train_loss": 0.9}})
    later = RUN_RESULT.validate_python(COMPLETED | {"kept": kept | {"test_loss": 0.3}})
    for results in ([earlier, later], [later, earlier]):
        assert group.write_summary(results).plain()["kept"].keys() == {"test_loss"}
    assert group.write_summary([later, later]).plain()["kept"].keys() == {"train_loss", "test_loss"}
    lacking = RUN_RESULT.validate_python(COMPLETED | {"kept": {"checkpoint": "best.safetensors", "epoch": 2}})
    with pytest.raises(RunFolderError, match="its result lacks metrics"):
        group.write_summary([later, lacking])


def test_a_group_is_no_run_and_names_those_it_holds() -> None:
    make_group(Path("few"), [10, 9, 2])
    with pytest.raises(RunFolderError, match=r"holds the runs of 3 seeds; .*: few/seed-2, few/seed-9, few/seed-10$"):
        RunFolder.open(Path("few"))
    make_group(Path("many"), list(range(12)))
    with pytest.raises(RunFolderError, match=r"holds the runs of 12 seeds; .*many/seed-8, many/seed-9, …$"):
        RunFolder.open(Path("many"))
    Path("empty").mkdir()
    with pytest.raises(RunFolderError, match=r"^empty is not a run folder: it has no resolved.yaml$"):
        RunFolder.open(Path("empty"))


def test_the_list_keeps_a_group_together_by_seed() -> None:
    make_group(Path("runs/old"), [10, 2], written=1_000)
    make_group(Path("runs/new"), [1, 0], written=3_000)
    make_run(Path("runs/between"), written=2_000)
    make_run(Path("runs/newest"), written=4_000)
    (Path("runs/new") / "seed-5").mkdir()  # of a run there is nothing yet
    paths = [str(run.path) for run in list_runs(Path("runs"))]
    assert paths == [
        "runs/newest", "runs/new/seed-0", "runs/new/seed-1", "runs/between", "runs/old/seed-2", "runs/old/seed-10",
    ]  # fmt: skip
    assert [str(run.path) for run in list_runs(Path("runs/old"))] == ["runs/old/seed-2", "runs/old/seed-10"]


def test_every_run_of_a_group_has_its_own_status() -> None:
    group = make_group(Path("group"), [0, 1, 2, 3])
    kept = {"checkpoint": "best.safetensors", "epoch": 1, "test_loss": 0.5}
    RunFolder(group.member(0)).write_result(RUN_RESULT.validate_python(COMPLETED | {"kept": kept}))
    RunFolder(group.member(1)).write_result(RUN_RESULT.validate_python(DIVERGED))
    RunFolder(group.member(2)).metrics.write_text("[]\n")
    with RunFolder(group.member(3)):
        found = {run.path.name: run for run in list_runs(Path())}
    assert {name: run.status for name, run in found.items()} == {
        "seed-0": "completed",
        "seed-1": "diverged",
        "seed-2": "damaged",
        "seed-3": "running",
    }
    assert (found["seed-0"].metric, found["seed-0"].value) == ("test_loss", 0.5)
    RunFolder(group.member(0)).metrics.unlink()  # a result without what led to it
    assert {run.path.name: run.status for run in list_runs(Path())}["seed-0"] == "damaged"
