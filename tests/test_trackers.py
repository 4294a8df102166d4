"""Runs told to TensorBoard and MLflow: what their own readers find is what the run folder holds, whatever fails."""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlptrain
from mlptrain.errors import DivergedError, InterruptedRunError, RunFolderError, UserError
from mlptrain.runs import RunFolder
from tests.command import Call
from tests.listeners import interrupting

SPEC: dict[str, Any] = {
    "name": "small",
    "data": {"name": "digits", "train_size": 200, "validation": 50, "test_size": 100},
    "model": {"hidden": [8], "activation": "relu"},
    "optimizer": {"name": "adam", "lr": 0.01},
    "schedule": "cosine",
    "training": {"epochs": 4, "batch_size": 50, "device": "cpu", "threads": 1},
    "evaluation": {"metrics": ["balanced_accuracy"]},
}


def events(folder: Path) -> Any:
    """What TensorBoard itself reads from a folder, all of it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()


def curves(folder: Path, found: Any = None) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of every scalar, as a reader has ``found`` them, or a new one does."""
    found = found or events(folder)
    return {tag: [(one.step, one.value) for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def recorded(run: Path, stored: Callable[[float], Any] = np.float32) -> dict[str, list[tuple[int, float]]]:
    """The same by ``metrics.jsonl`` and ``result.json``, in the precision of an event."""
    expected: dict[str, list[tuple[int, float]]] = {}
    for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
        for key, value in line.items():
            if key in ("epoch", "step"):
                continue
            split, _, metric = key.partition("_")
            tag = "lr" if key == "lr" else f"{metric}/{split}"
            expected.setdefault(tag, []).append((line["epoch"], float(stored(value))))
    if (run / "result.json").exists():
        result = json.loads((run / "result.json").read_text())
        kept = result.get("kept", {})
        for key, value in kept.items():
            if key not in ("checkpoint", "epoch"):
                expected[f"kept/{key}"] = [(kept["epoch"], float(stored(value)))]
    return expected


def content(run: Path) -> dict[str, bytes]:
    """Every file of a run folder whose bytes a repetition has too."""
    clocks = ("timings.jsonl", "tensorboard", "mlflow.txt", "environment.json")  # which holds the folder's commit
    files = [path for path in sorted(run.rglob("*")) if path.is_file()]
    named = {path.relative_to(run).as_posix(): path.read_bytes() for path in files}
    return {name: read for name, read in named.items() if name.partition("/")[0] not in clocks}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody was told of."""
    return mlptrain.train(SPEC, run_dir=tmp_path_factory.mktemp("plain") / "run").folder.path


@pytest.fixture
def copied(plain: Path, tmp_path: Path) -> Path:
    return shutil.copytree(plain, tmp_path / "copied")


def test_the_events_are_the_records_and_the_run_is_the_same(plain: Path, tmp_path: Path) -> None:
    run = mlptrain.train(SPEC, run_dir=tmp_path / "run", log="tensorboard").folder.path
    assert curves(run / "tensorboard") == recorded(run)
    assert {
        "loss/train",
        "loss/validation",
        "balanced_accuracy/validation",
        "lr",
        "kept/test_balanced_accuracy",
    } < recorded(run).keys()
    assert content(run) == content(plain)
    [file] = (run / "tensorboard").iterdir()
    assert "tfevents" in file.name
    assert platform.node() not in file.name


def test_configuration_and_hyperparameters_are_shown(copied: Path) -> None:
    from tensorboard.plugins.hparams import plugin_data_pb2

    export_events(copied)
    found = events(copied / "tensorboard")
    shown = found.Tensors("configuration/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "".join(line[4:] for line in shown.splitlines(keepends=True)) == (copied / "resolved.yaml").read_text()
    [outcome] = found.Tensors("outcome/text_summary")
    assert outcome.tensor_proto.string_val[0].startswith(b"completed after epoch 4")
    content_of = found.PluginTagToContent("hparams")
    start = plugin_data_pb2.HParamsPluginData.FromString(content_of["_hparams_/session_start_info"])
    values = start.session_start_info.hparams
    assert values["optimizer.lr"].number_value == 0.01
    assert values["schedule.name"].string_value == "cosine"
    assert values["model.hidden"].string_value == "[8]"
    assert "_hparams_/session_end_info" in content_of


def export_events(run: Path) -> None:
    from mlptrain.trackers import parse_logs, replay

    [log] = parse_logs("tensorboard")
    replay(RunFolder.open(run), log)


def test_a_finished_run_gives_the_same_events(plain: Path, copied: Path, tmp_path: Path, call: Call) -> None:
    written = call("export", str(copied), "--to", "tensorboard")
    assert (written.code, written.err) == (0, "")
    assert f"tensorboard --logdir {copied}" in written.out
    assert curves(copied / "tensorboard") == recorded(copied)
    assert content(copied) == content(plain)
    again = call("export", "tensorboard", str(copied), "--out", str(tmp_path / "events"), "--json")
    assert again.json == {"to": "tensorboard", "runs": [{"run": str(copied), "lines": 5}]}
    assert curves(tmp_path / "events" / "copied") == recorded(copied)
    ends = [one.wall_time for one in events(copied / "tensorboard").Scalars("loss/train")]
    assert ends == sorted(ends)
    for arguments in ((), (str(plain), "--to", "npz")):
        refused = call("export", str(copied), *arguments)
        assert (refused.code, "expected one run and a format" in refused.message) == (2, True)
    arrays = call("export", str(copied), "--to", "tensorboard", "--rows")
    assert (arrays.code, "--rows adds arrays" in arrays.message) == (2, True)
    (copied / "metrics.jsonl").write_bytes(b"")
    refused = call("export", str(copied), "--to", "tensorboard")
    assert (refused.code, "no epoch on record" in refused.message) == (2, True)


@pytest.mark.parametrize("place", ["", "logs"])
def test_runs_of_a_group_have_events_each(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = f"tensorboard:{place}" if place else "tensorboard"
    notes: list[str] = []
    groups = [
        mlptrain.train_seeds(SPEC, [3, 4], run_dir="seeds", log=log).group.path,
        mlptrain.train_folds(SPEC, 2, run_dir="folds", log=[log], on_note=notes.append).group.path,
    ]
    assert len(notes) == 1  # on the test rows, which are not read
    for group in groups:
        for run in sorted(group.glob("*-*")):
            assert curves(Path(place, group, run.name) if place else run / "tensorboard") == recorded(run)


@pytest.mark.parametrize("logged_before", [False, True])
def test_a_resumed_run_has_every_epoch_once(logged_before: bool, plain: Path, tmp_path: Path) -> None:
    log = "tensorboard" if logged_before else ()
    with pytest.raises(InterruptedRunError):
        mlptrain.train(SPEC, run_dir=tmp_path / "run", log=log, listeners=[interrupting(2)])
    if logged_before:
        looking = events(tmp_path / "run" / "tensorboard")
        assert curves(tmp_path, looking) == recorded(tmp_path / "run")
    run = mlptrain.resume(tmp_path / "run", log="tensorboard").folder.path
    assert curves(run / "tensorboard") == recorded(run) == recorded(plain)
    assert content(run) == content(plain)
    run = mlptrain.resume(run, epochs=6, log="tensorboard").folder.path
    assert curves(run / "tensorboard") == recorded(run)
    if logged_before:
        assert curves(run, looking.Reload()) == recorded(run)
    assert sum(file.stat().st_size > 0 for file in (run / "tensorboard").iterdir()) == 1


def test_a_resumed_group_tells_of_its_finished_runs_too(tmp_path: Path) -> None:
    early = SPEC | {"training": SPEC["training"] | {"epochs": 20, "early_stopping": {"patience": 1}}}
    early["optimizer"] = {"name": "adam", "lr": 0.3}
    with pytest.raises(InterruptedRunError):
        mlptrain.train_seeds(early, [0, 1, 2], run_dir=tmp_path / "group", listeners=[interrupting(3)])
    runs = sorted((tmp_path / "group").glob("seed-*"))
    assert any((run / "result.json").exists() for run in runs)
    from mlptrain.experiment import resume_group

    resume_group(tmp_path / "group", log="tensorboard")
    for run in runs:
        assert curves(run / "tensorboard") == recorded(run)


def test_a_run_that_diverges(tmp_path: Path) -> None:
    wild = SPEC | {"optimizer": {"name": "sgd", "lr": 1e12}, "schedule": "constant", "loss": "mse"}
    with pytest.raises(DivergedError):
        mlptrain.train(wild, run_dir=tmp_path / "run", log="tensorboard")
    assert curves(tmp_path / "run" / "tensorboard") == recorded(tmp_path / "run")
    found = events(tmp_path / "run" / "tensorboard")
    assert found.Tensors("outcome/text_summary")[0].tensor_proto.string_val[0].startswith(b"diverged")


@pytest.mark.parametrize("at", [0, 3, 5])
def test_a_disk_that_is_full_costs_the_events_alone(
    at: int, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From an epoch on, and at the end of the run, by what its own writer meets."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    whole, wanted = RecordWriter.write, 0

    def write(self: Any, data: bytes) -> None:
        if (b"kept/" if at == 5 else f"loss/{'train' if at else 'validation'}".encode()) in data:
            nonlocal wanted
            wanted += 1
            if wanted >= max(at, 1) or at == 5:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(self, data)

    monkeypatch.setattr(RecordWriter, "write", write)
    notes: list[str] = []
    run = mlptrain.train(SPEC, run_dir=tmp_path / "run", log="tensorboard", on_note=notes.append).folder.path
    assert content(run) == content(plain)
    [note] = notes
    assert note.startswith(
        "tensorboard failed, and gets nothing more of this run, which continues (OSError: [Errno 28]"
    )
    wanted = 0
    with pytest.warns(UserWarning, match="tensorboard failed") as warned:
        mlptrain.train_seeds(SPEC, [0, 1], run_dir=tmp_path / "seeds", log="tensorboard")
    assert len(warned) == 1
    assert content(tmp_path / "seeds" / "seed-0").keys() == content(plain).keys()


def test_a_folder_of_choice_that_cannot_be_made(plain: Path, tmp_path: Path, call: Call) -> None:
    (tmp_path / "file").write_text("mine")
    config = tmp_path / "small.yaml"
    config.write_text(json.dumps(SPEC))
    log = ("--log", f"tensorboard:{tmp_path / 'file'}")
    done = call("train", str(config), *log, "--run-dir", str(tmp_path / "run"))
    assert done.code == 0
    assert done.err.count("note: tensorboard failed") == 1
    assert content(tmp_path / "run").keys() == content(plain).keys()
    refused = call("export", str(plain), "--to", "tensorboard", "--out", str(tmp_path / "file"))
    assert (refused.code, "is a file; name a folder" in refused.message) == (2, True)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("wandb", "log 'wandb': choose tensorboard or mlflow"),
        ("mlflow:here", "MLFLOW_TRACKING_URI says where"),
        ("tensorboard", r'needs a package that is not installed: `pip install "mlptrain\[tensorboard\]"`'),
        (["tensorboard", "mlflow"], r"pip install \"mlptrain\[tensorboard\]\""),
    ],
)
def test_what_cannot_be_told_is_an_error_before_anything_is_made(
    log: str | list[str], message: str, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserError, match=message):
        mlptrain.train(SPEC, run_dir=tmp_path / "run", log=log)
    assert not (tmp_path / "run").exists()
    with pytest.raises(RunFolderError if log == "none" else UserError, match=message):
        mlptrain.resume(plain, epochs=5, log=log)


# Of its own dependencies, which a later version of one of them has.
LATER_SQLALCHEMY = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@LATER_SQLALCHEMY
def test_mlflow_has_the_records_and_resumes(
    store: str, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    with pytest.raises(InterruptedRunError):
        mlptrain.train(SPEC, run_dir="run", log="mlflow", listeners=[interrupting(2)])
    assert of_mlflow("run").info.status == "KILLED"
    run = mlptrain.resume("run", log="mlflow").folder.path
    found = of_mlflow("run")
    assert found.info.status == "FINISHED"
    assert found.data.params["optimizer.lr"] == "0.01"
    assert found.data.params["model.hidden"] == "[8]"
    assert found.data.tags["outcome"].startswith("completed after epoch 4")
    told = {name: in_mlflow(found, name) for name in found.data.metrics}
    assert told == recorded(run, stored=float)
    assert content(run) == content(plain)
    export_events(run)
    from mlptrain.trackers import parse_logs, replay

    replay(RunFolder.open(run), *parse_logs("mlflow"))
    assert in_mlflow(of_mlflow("run"), "lr") == told["lr"]


def of_mlflow(run: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient().get_run(Path(run, "mlflow.txt").read_text().strip())


def in_mlflow(run: Any, metric: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    return [(one.step, one.value) for one in MlflowClient().get_metric_history(run.info.run_id, metric)]


def test_a_server_that_is_gone_is_a_note(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    notes: list[str] = []
    began = time.monotonic()
    run = mlptrain.train(SPEC, run_dir=tmp_path / "run", log="mlflow", on_note=notes.append).folder.path
    assert time.monotonic() - began < 30  # MLflow alone would try again for minutes
    assert content(run) == content(plain)
    assert len(notes) == 1
    assert "mlflow failed" in notes[0]
