"""Whether a run ended too soon: said of losses that clearly fall, and of no others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mlptrain.training.endings import still_falling
from tests.command import Call

EPOCHS = np.arange(1, 31)
TABLE = str(Path(__file__).parent.parent / "configs/tables/penguins.yaml")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(losses: Sequence[float] | np.ndarray, *, key: str = "validation_loss", lr: Sequence[float] = ()) -> str:
    """Of a run with these losses after its epochs, and a constant guess that costs 1."""
    rates = lr or [0.1] * len(losses)
    lines = [{"epoch": 0, "step": 0, "lr": rates[0]} | ({key: 1.0} if key != "train_loss" else {})]
    for epoch, (loss, rate) in enumerate(zip(losses, rates, strict=True), 1):
        lines.append({"epoch": epoch, "step": epoch, "lr": rate, key: float(loss)})
    return still_falling(lines, split="validation", guess=1.0)


@pytest.mark.parametrize("key", ["validation_loss", "train_loss"])
def test_a_loss_on_its_way_down(key: str) -> None:
    text = said(np.exp(-EPOCHS / 30), key=key)
    assert text == (
        f"the {key.replace('_', ' ').replace('train ', 'training ')} was still falling when the run ended, from 0.5134 "
        "after epoch 20 to 0.3679 after epoch 30: more epochs may lower it further"
    )


@pytest.mark.parametrize(
    "losses",
    [
        0.3 + np.exp(-EPOCHS / 3),  # levelled off
        1e-3 * np.exp(-EPOCHS / 30),  # nothing that a prediction would show
        np.abs(EPOCHS - 25) / 30 + 0.1,  # past its best
        0.5 + 0.4 * np.random.default_rng(0).random(30),
        [0.9, 0.5],  # two epochs say nothing
        [1.0, 0.9, 0.8, 0.7, 0.6, 0.8, 0.6, 0.7, 0.55],  # wanders
        [*np.exp(-EPOCHS[:-1] / 30), np.nan],
    ],
)
def test_losses_of_which_nothing_can_be_said(losses: Sequence[float]) -> None:
    assert said(losses) == ""


def test_noise_that_has_levelled_off_is_hardly_ever_taken_for_a_fall() -> None:
    draw = np.random.default_rng(1)
    false = sum(said(0.5 + 0.05 * draw.standard_normal(30)) != "" for _ in range(500))
    assert false <= 10


def test_a_schedule_that_ends_low_lowers_the_loss_by_itself() -> None:
    rates = [0.1 * (1 - epoch / 31) for epoch in EPOCHS]
    assert said(np.exp(-EPOCHS / 30), lr=rates) == ""
    assert said(np.exp(-EPOCHS / 30), lr=[rate + 0.05 for rate in rates]) != ""


def test_the_command_says_it_and_how_to_train_on(call: Call) -> None:
    short = ("--set", "training.epochs=4", "--set", "optimizer.lr=1e-3", "--set", "schedule=constant")
    trained = call("train", TABLE, *short, "--run-dir", "short")
    assert "note: the validation loss was still falling when the run ended, from " in trained.err
    assert "`mlptrain train --resume short --set training.epochs=8`" in trained.err
    result = json.loads(Path("short/result.json").read_text())
    log = [json.loads(line) for line in Path("short/metrics.jsonl").read_text().splitlines()]
    assert f"to {log[-1]['validation_loss']:.4g} after epoch 4" in result["still_falling"]
    call("report", "short")
    assert "was still falling when the run ended" in Path("short/report.html").read_text()
    longer = call("train", "--resume", "short", "--set", "training.epochs=150")
    assert "still falling" not in longer.err
    assert json.loads(Path("short/result.json").read_text())["still_falling"] is None


def test_of_several_seeds(call: Call) -> None:
    short = ("--set", "training.epochs=4", "--set", "optimizer.lr=1e-3", "--set", "schedule=constant")
    trained = call("train", TABLE, *short, "--seeds", "0,1,2", "--run-dir", "group")
    assert "note: seed 0: the validation loss was still falling" in trained.err
    assert "; so was that of seeds 1, 2: `mlptrain train --resume group --set training.epochs=8`" in trained.err
