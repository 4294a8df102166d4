"""How runs end and what they stand for: early stopping and the kept epoch in folders, on the screen, and resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mlptrain.errors import InterruptedRunError, RunFolderError
from mlptrain.experiment import resume, resume_group, train, train_seeds
from mlptrain.experiment.checkpoints import load_checkpoint
from mlptrain.report.curves import draw_curves
from mlptrain.report.history import read_history
from mlptrain.report.page import render_page
from mlptrain.runs import list_runs
from mlptrain.spec import load_text
from tests.command import Call
from tests.listeners import OnEpoch, interrupting
from tests.test_seeds import BEST, LAST, OF_A_RUN, assert_same_bytes, lines

SEEDS = (3, 0, 11)
# Alone these seeds end with epochs 25 (the last), 10 and 18, at different learning rates.
BASE = """\
name: small
data: {name: digits, train_size: 200, test_size: 50, validation: 60}
model: {hidden: [9, 5], activation: tanh}
optimizer: {name: adam, lr: 0.1}
schedule: {name: plateau, patience: 0, factor: 0.5, warmup: 12}
training: {epochs: 25, batch_size: 16, device: cpu, precision: highest, early_stopping: 3}
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(folder: str = "run", *overrides: str, **more: Any) -> Any:
    return train(load_text(BASE, overrides=overrides), run_dir=Path(folder), **more).result


def group(folder: str = "group", *overrides: str, seeds: Sequence[int] = SEEDS, **more: Any) -> Any:
    return train_seeds(load_text(BASE, overrides=overrides), seeds, run_dir=Path(folder), **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unbroken: the group, and the run of seed 0 alone. Read them, change nothing in them."""
    folder = tmp_path_factory.mktemp("whole")
    group(str(folder / "group"))
    run(str(folder / "run"))
    return folder


def test_the_result_says_what_ended_the_run_and_what_the_choice_was_worth(whole: Path) -> None:
    log, result = lines(str(whole / "run")), json.loads((whole / "run/result.json").read_text())
    losses = [line["validation_loss"] for line in log]
    best = losses.index(min(losses))
    last = len(log) - 1
    assert last == best + 3 < 25
    assert (result["status"], result["epochs"], result["kept"]["epoch"]) == ("completed", last, best)
    message = f"stopped early after epoch {last}: no better validation_loss for 3 epochs"
    assert result["stopped_early"] == {"metric": "validation_loss", "best_epoch": best, "message": message}
    chosen = {"metric": "validation_loss", "epochs": last + 1, "kept": losses[best], "last": losses[-1]}
    assert result["choice"] == chosen
    assert load_checkpoint(whole / "run" / BEST).epoch == best
    assert load_checkpoint(whole / "run" / LAST).epoch == last
    [summary] = list_runs(whole / "run")
    assert (summary.status, summary.epoch, summary.epochs) == ("stopped early", last, 25)


def test_the_screen_and_the_page_say_it(whole: Path, call: Call) -> None:
    shutil.copytree(whole / "run", "run")
    log = lines("run")
    losses = [line["validation_loss"] for line in log]
    chosen = f"chosen by its validation_loss, {min(losses):.4f} against {losses[-1]:.4f} after the last epoch"
    Path("small.yaml").write_text(BASE)
    shown = call("train", "small.yaml", "--run-dir", "again").out
    for text in (shown, render_page(Path("run"))):
        flat = " ".join(text.split())
        assert f"topped early after epoch {len(log) - 1}: no better validation_loss for 3 epochs" in flat
        assert chosen in flat
        assert f"the best of {len(log)} on the rows that chose it, that figure is likely a little too good" in flat
    assert "seed 0 stopped early after epoch" in call("train", "small.yaml", "--seeds", "0,1", "--run-dir", "g").err


def test_the_curves_mark_the_kept_epoch_and_the_end(whole: Path) -> None:
    figure = draw_curves([read_history(whole / "run")])
    last = len(lines(str(whole / "run"))) - 1
    for axes in figure.axes:
        marks = {str(line.get_label()): np.asarray(line.get_xdata()).tolist() for line in axes.get_lines()}
        assert marks[f"kept: epoch {last - 3}"] == [last - 3] * 2
        assert marks[f"stopped early: epoch {last}"] == [last] * 2
    both = draw_curves([read_history(whole / "run"), read_history(whole / "group/seed-3")])
    assert not any("kept" in str(line.get_label()) for axes in both.axes for line in axes.get_lines())


def test_best_goes_by_the_metric_and_of_equals_the_first() -> None:
    result = run("run", "evaluation.metric=validation_accuracy", "training.early_stopping=none")
    accuracies = [line["validation_accuracy"] for line in lines("run")]
    assert accuracies.count(max(accuracies)) > 1
    assert result.kept.epoch == accuracies.index(max(accuracies)) == load_checkpoint(Path("run", BEST)).epoch
    assert result.stopped_early is None
    assert (result.choice.metric, result.choice.kept) == ("validation_accuracy", max(accuracies))
    assert "(highest validation accuracy)" in " ".join(render_page(Path("run")).split())


def test_stopping_and_keeping_may_go_by_different_metrics() -> None:
    stopping = "{patience: 2, min_delta: 0.02, start: 2, metric: validation_accuracy}"
    result = run("run", f"training.early_stopping={stopping}", "schedule=constant")
    log = lines("run")
    losses = [line["validation_loss"] for line in log]
    assert result.stopped_early.metric == "validation_accuracy"
    assert result.stopped_early.message.endswith("no better validation_accuracy by more than 0.02 for 2 epochs")
    best = log[result.stopped_early.best_epoch]["validation_accuracy"]
    assert all(line["validation_accuracy"] <= best + 0.02 for line in log[3:])
    assert result.kept.epoch == losses.index(min(losses))


def test_without_validation_the_training_loss_can_end_a_run_and_its_last_weights_are_kept() -> None:
    result = run(
        "run", "data.validation=0", "schedule=constant", "training.early_stopping={patience: 1, metric: train_loss}"
    )
    losses = [line["train_loss"] for line in lines("run")[1:]]
    assert losses[-1] >= losses[-2]
    assert all(after < before for before, after in pairwise(losses[:-1]))
    assert (result.choice, result.kept.epoch, result.epochs) == (None, len(losses), len(losses))


@pytest.mark.parametrize("keep", ["best", "last"])
def test_each_seed_stops_where_it_does_alone(whole: Path, keep: str) -> None:
    """Its results are of the weights that it stopped with, though these go on changing among the others."""
    place = whole / "group" if keep == "best" else Path("last")
    if keep == "last":
        group("last", "evaluation.keep=last")
    endings = {seed: json.loads((place / f"seed-{seed}/result.json").read_text()) for seed in SEEDS}
    assert {ending["stopped_early"] is None for ending in endings.values()} == {True, False}
    for seed, ours in endings.items():
        theirs = run(f"alone-{seed}", f"seed={seed}", f"evaluation.keep={keep}").plain()
        for key in ("epochs", "steps", "stopped_early", "diagnosis", "test_evaluations"):
            assert ours[key] == theirs[key]
        for key in ("kept", "last", *(["choice"] if keep == "best" else [])):
            for name, value in theirs[key].items():
                if not isinstance(value, str):
                    value = pytest.approx(value, rel=1e-5, abs=0.03 if name.endswith("accuracy") else 0)
                assert ours[key][name] == value
        mine, its = (load_checkpoint(folder / LAST) for folder in (place / f"seed-{seed}", Path(f"alone-{seed}")))
        for name, tensor in its.state.parameters.items():
            torch.testing.assert_close(mine.state.parameters[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("at", [1, 9, 10, 17, 22])
def test_a_group_that_is_interrupted_ends_with_the_same_bytes(whole: Path, at: int) -> None:
    """Before a seed stops, in the epoch with which it does, and while the others go on."""
    with pytest.raises(InterruptedRunError):
        group(listeners=[interrupting(at)])
    resume_group(Path("group"))
    for seed in SEEDS:
        assert_same_bytes(f"{whole}/group/seed-{seed}", f"group/seed-{seed}", OF_A_RUN)
    assert_same_bytes(f"{whole}/group", "group", ["summary.json"])


@pytest.mark.parametrize("seeds", [(0,), SEEDS])
@pytest.mark.parametrize("changes", [(), ("evaluation.keep=last", "training.ema=0.5")])
def test_killed_between_its_last_checkpoint_and_its_result(
    whole: Path, seeds: tuple[int, ...], changes: tuple[str, ...]
) -> None:
    """It has no more to train, alone or among others that have."""

    def fall(epochs: Sequence[Any]) -> None:
        if any(epoch is not None and epoch.ending is not None for epoch in epochs):
            raise RuntimeError

    if changes:
        whole = Path("other")
        whole.mkdir()
        group("other/group", *changes)
        run("other/run", *changes)
    if seeds == (0,):
        shutil.copytree(whole / "run", "run")
        Path("run/result.json").unlink()
        resume(Path("run"))
        assert_same_bytes(f"{whole}/run", "run", OF_A_RUN)
        return
    with pytest.raises(RuntimeError):
        group("group", *changes, listeners=[OnEpoch(fall)])
    for seed in seeds:  # what a kill leaves: the others are further back, and this one has no result
        Path(f"group/seed-{seed}/result.json").unlink(missing_ok=True)
    resume_group(Path("group"))
    for seed in seeds:
        assert_same_bytes(f"{whole}/group/seed-{seed}", f"group/seed-{seed}", OF_A_RUN)


def test_more_epochs_do_not_change_a_run_that_stopped_early(whole: Path) -> None:
    shutil.copytree(whole / "run", "run")
    for epochs in (None, 50):
        with pytest.raises(RunFolderError, match=r"whatever training.epochs is: no better .* with a larger .*patience"):
            resume(Path("run"), epochs=epochs)
    assert_same_bytes(f"{whole}/run", "run", OF_A_RUN)


@pytest.mark.parametrize("schedule", ["constant", "{name: plateau, patience: 0, factor: 0.5, warmup: 12}"])
def test_an_extended_run_follows_its_whole_history(schedule: str) -> None:
    """Of its 10 epochs 2 are without a better loss already: with 15 in all it ends where that of 15 at once does."""
    changes = (f"schedule={schedule}", "training.early_stopping=4", "seed=0")
    whole = run("whole", *changes)
    short = whole.epochs - 1
    run("part", *changes, f"training.epochs={short}")
    assert json.loads(Path("part/result.json").read_text())["stopped_early"] is None
    resumed = resume(Path("part"), epochs=25).result
    assert_same_bytes("whole", "part", ["metrics.jsonl", "resolved.yaml", LAST])
    assert resumed == whole.model_copy(update={"test_evaluations": 2})
    kept, expected = (load_checkpoint(Path(folder, BEST)) for folder in ("part", "whole"))
    assert kept.epoch == expected.epoch == whole.kept.epoch
    assert all(
        torch.equal(kept.state.parameters[name], expected.state.parameters[name]) for name in kept.state.parameters
    )
    at_its_end = run("at-its-end", *changes, f"training.epochs={whole.epochs}")
    assert at_its_end.stopped_early is None
    with pytest.raises(RunFolderError, match=r"whatever training\.epochs is"):
        resume(Path("at-its-end"), epochs=25)


def test_a_group_is_extended_without_the_seeds_that_stopped(whole: Path) -> None:
    shutil.copytree(whole / "group", "group")
    resume_group(Path("group"), epochs=26)
    group("longer", "training.epochs=26")
    for seed in SEEDS:
        assert_same_bytes(f"longer/seed-{seed}", f"group/seed-{seed}", ["metrics.jsonl"])
    assert_same_bytes("longer/seed-3", "group/seed-3", [LAST])
    assert len(lines("group/seed-3")) == 27
    stopped = group("stopped", seeds=(0, 11)).group.path
    with pytest.raises(RunFolderError, match="early stopping ends its seeds"):
        resume_group(stopped, epochs=50)


def test_a_schedule_of_an_extended_group_spans_the_new_length_though_its_first_seed_stopped() -> None:
    changes = ("schedule=linear", "optimizer.lr=0.05", "training.early_stopping=1", "training.epochs=12")
    group("group", *changes, seeds=(0, 3))
    assert [len(lines(f"group/seed-{seed}")) for seed in (0, 3)] == [10, 13]
    resume_group(Path("group"), epochs=16)
    assert len(lines("group/seed-0")) == 10
    added = lines("group/seed-3")[13]
    per_epoch = lines("group/seed-3")[1]["step"]
    assert added["lr"] == pytest.approx(0.05 * (1 - (13 * per_epoch - 1) / (16 * per_epoch)))
