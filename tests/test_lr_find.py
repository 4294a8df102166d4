"""Learning rates tried side by side: their losses are those of runs, and what is suggested where the best is known."""

from __future__ import annotations

import math
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import mlptrain
from mlptrain.errors import DivergedError, InterruptedRunError, UserError
from mlptrain.experiment.lr_finding import suggested
from mlptrain.runs.steps import step_figures
from mlptrain.spec import load_text
from tests.catalogue import OPTIMIZERS
from tests.command import Call

DIGITS = str(Path(__file__).parent.parent / "configs/digits.yaml")
FEW = ("--set", "data.train_size=400", "--set", "training.threads=1", "--rates", "8", "--steps", "60")
TRAINING = {"batch_size": 48, "epochs": 4, "threads": 1, "device": "cpu"}


def config(**sections: Any) -> dict[str, Any]:
    """200 rows of digits in batches of 48: an epoch has 4 steps and a fifth one of 8 rows."""
    return {
        "name": "small",
        "data": {"name": "digits", "train_size": 223, "validation": 23},
        "model": {"hidden": [16], "dropout": 0.2},
        "optimizer": {"name": "adam", "lr": 0.01},
        "training": TRAINING,
    } | sections


@pytest.mark.parametrize("steps", [3, 18])
def test_every_rate_gives_the_first_steps_of_a_run_with_it(
    steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = mlptrain.lr_find(config(), low=1e-4, high=0.1, rates=4, steps=steps)
    assert found.rates == (1e-4, 1e-3, 1e-2, 1e-1)
    assert not list(tmp_path.iterdir())
    for rate, curve, loss in zip(found.rates, found.curves, found.losses, strict=True):
        own = {"optimizer.lr": rate, "training.record_steps": True}
        run = mlptrain.train(config(), overrides=own, run_dir=f"rate-{rate}")
        losses = step_figures(run.folder.steps)["loss"]
        assert len(losses) == 20
        np.testing.assert_allclose(curve, losses[:steps], rtol=1e-4)
        assert loss == pytest.approx(np.mean(losses[steps - found.averaged : steps]), rel=1e-4)


def test_augmented_batches_are_those_of_the_run_too(tmp_path: Path) -> None:
    spec = config(augmentation={"noise": 0.3, "shift": 1})
    found = mlptrain.lr_find(spec, low=0.01, high=1, rates=3, steps=7)
    own = {"optimizer.lr": 0.1, "training.record_steps": True}
    run = mlptrain.train(spec, overrides=own, run_dir=tmp_path / "run")
    np.testing.assert_allclose(found.curves[1], step_figures(run.folder.steps)["loss"][:7], rtol=1e-4)


def test_schedule_average_and_early_stopping_are_left_out() -> None:
    notes: list[str] = []
    plain = mlptrain.lr_find(config(), rates=4)
    assert plain.steps == 20  # the run has no more
    training = TRAINING | {"ema": 0.9, "early_stopping": 1}
    whole = config(schedule={"name": "cosine", "warmup": 0.5}, training=training)
    other = mlptrain.lr_find(whole, rates=4, on_note=notes.append)
    assert np.array_equal(plain.curves, other.curves)
    [note] = notes
    assert "the schedule 'cosine' is left out" in note


def parabola() -> tuple[Any, Any, float]:
    """Rows and targets, and the largest eigenvalue of the Hessian of their mean squared error, with a bias."""
    generator = np.random.default_rng(3)
    x = generator.normal(size=(60, 5)) * [1, 0.8, 0.6, 0.5, 0.5]
    inputs = np.hstack([x, np.ones((60, 1))])
    return x, x @ [1.0, -2, 0.5, 3, 1] + 0.7, float(np.linalg.eigvalsh(2 / 60 * inputs.T @ inputs)[-1])


LINEAR = {
    "data": {"scaling": "none", "validation": 0, "test": 0},
    "model": {"hidden": []},
    "loss": "mse",
    "optimizer": {"name": "sgd", "lr": 0.1},
    "training": {"batch_size": "full", "epochs": 300, "threads": 1, "device": "cpu"},
}


def test_on_a_parabola_what_diverges_is_above_the_limit_of_stability() -> None:
    """Gradient descent on a parabola converges below 2 over the largest eigenvalue, and nowhere above."""
    x, y, curvature = parabola()
    limit = 2 / curvature
    found = mlptrain.lr_find(LINEAR, data=(x, y), low=limit / 1000, high=limit * 1000, rates=20, steps=30)
    assert found.diverges == tuple(rate > limit for rate in found.rates)
    assert found.suggestion is not None
    assert limit / 10 < found.suggestion < limit
    assert found.warnings == ()


def test_losses_and_the_step_of_a_divergence_are_those_of_torch(tmp_path: Path) -> None:
    x, y, curvature = parabola()
    found = mlptrain.lr_find(LINEAR, data=(x, y), low=0.1 / curvature, high=1000 / curvature, rates=3, steps=40)
    untrained = mlptrain.train(LINEAR, data=(x, y), overrides={"training.epochs": 0}, run_dir=tmp_path / "run")
    start = mlptrain.load(untrained).state_dict()
    rows, targets = (torch.tensor(np.asarray(values), dtype=torch.float32) for values in (x, y.reshape(-1, 1)))
    for rate, curve, ended in zip(found.rates, found.curves, found.ended, strict=True):
        layer, losses = torch.nn.Linear(5, 1), []
        layer.load_state_dict({key: start[f"layers.0.{key}"] for key in ("weight", "bias")})
        optimizer = torch.optim.SGD(layer.parameters(), lr=rate)
        for _ in range(40):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(layer(rows), targets)
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.item())
        finite = int(np.isfinite(losses).sum())
        np.testing.assert_allclose(curve[:finite], losses[:finite], rtol=1e-3)
        assert ended == (None if finite == 40 else finite + 1)
    assert [ended is None for ended in found.ended] == [True, False, False]
    assert found.losses[1:] == (math.inf, math.inf)


def test_a_divergence_is_that_of_the_run(tmp_path: Path) -> None:
    spec = config(optimizer={"name": "sgd", "lr": 0.1}, model={"hidden": [16, 16]})
    found = mlptrain.lr_find(spec, low=0.1, high=1e9, rates=3, steps=15)
    with pytest.raises(DivergedError) as diverged:
        mlptrain.train(spec, overrides={"optimizer.lr": 1e9}, run_dir=tmp_path / "run")
    assert (found.ended[0], found.ended[-1]) == (None, diverged.value.step)
    assert (found.diverges[-1], found.losses[-1]) == (True, math.inf)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_has_its_rates_tried(name: str) -> None:
    training = TRAINING | ({"batch_size": "full"} if name == "lbfgs" else {})
    spec = config(optimizer={"name": name, "lr": 0.01}, training=training)
    found = mlptrain.lr_find(spec, low=1e-5, high=1e-1, rates=3, steps=3)
    assert np.isfinite(found.curves).all()
    assert np.allclose(found.curves[:, 0], found.curves[0, 0], rtol=1e-5)  # one start, one batch
    assert len(set(found.curves[:, 1].tolist())) == 3


LOW_AND_FLAT = [2.3, 2.2, 1.2, 0.21, 0.2, 0.22, 1.9, 2.4, math.inf]
RATES = [10.0**power for power in range(-7, 2)]


def test_the_rule() -> None:
    assert suggested(RATES, LOW_AND_FLAT, 2.3)[0] == RATES[3]
    assert suggested(RATES, [2.3, 2.2, 1.2, 0.3, 0.2, 0.22, 1.9, 2.4, math.inf], 2.3)[0] == RATES[4]
    noisy = [1.3, 1.25, 1.1, 1.015, 1.0, 1.2, 2.0, 3.0, 9.0]  # most of which no network can take off
    assert suggested(RATES, noisy, 1.3)[0] == RATES[4]
    assert suggested(RATES, [1.0, 0.8, 0.1, 8e-4, 1e-7, 0.0, 0.5, 2.0, 9.0], 1.0)[0] == RATES[3]
    for losses, start in (([2.29] * 9, 2.3), ([math.inf] * 9, 2.3), ([1.0] * 9, math.inf)):
        suggestion, reason = suggested(RATES, losses, start)
        assert suggestion is None
        assert reason.startswith("nothing is learnt")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (1e-9, 1e-7, "no rate is suggested: try higher rates, e.g. --from 1e-07 --to 0.001"),
        (1e-5, 1e-3, "lowest at the highest rate tried, 0.001: try higher ones, up to 0.1"),
        (0.05, 10.0, "the lowest rate tried, 0.05, does nearly as well as the best: try lower ones, from 0.0005 on"),
    ],
)
def test_what_the_range_leaves_open(low: float, high: float, words: str) -> None:
    found = mlptrain.lr_find(config(), low=low, high=high, rates=6, steps=60)
    [warning] = found.warnings
    assert words in warning
    assert (found.suggestion is None) == (found.yaml == "") == (low == 1e-9)


def test_where_every_rate_diverges_lower_ones_are_to_try() -> None:
    x, y, curvature = parabola()
    low, high = 8 / curvature, 64 / curvature
    found = mlptrain.lr_find(LINEAR, data=(x, y), low=low, high=high, rates=3, steps=30)
    assert (found.diverges, found.suggestion) == ((True,) * 3, None)
    assert found.reason == f"nothing is learnt: every rate diverges, from {low:g} on"
    assert found.warnings == (f"no rate is suggested: try lower rates, e.g. --from {low / 1e4:g} --to {low:g}",)
    lower = mlptrain.lr_find(LINEAR, data=(x, y), low=low / 1e4, high=low, rates=9, steps=30)
    assert lower.suggestion is not None
    left, right = found.figure.axes[:2]
    shown = [line for line in right.lines if np.isfinite(np.asarray(line.get_ydata())).any()]
    assert len(shown) == 3
    for line in shown:
        assert (np.asarray(line.get_ydata())[0] <= right.get_ylim()[1]).all()
    assert left.get_ylim()[0] < found.start < left.get_ylim()[1]


def test_losses_that_go_up_and_down_make_a_suggestion_uncertain() -> None:
    """Of 300 rows of penguins, where chance decides which rate gets furthest; not of digits."""
    found = mlptrain.lr_find(Path(DIGITS).parent / "tables" / "penguins.yaml")
    [warning] = found.warnings
    assert "the suggestion is uncertain: from rate to rate losses go up and down by" in warning
    fall = np.log(found.start) - np.log(found.losses).min()
    wiggle = max(np.log(found.losses[later]) - np.log(found.losses[later + 1]) for later in range(16, 21))
    assert wiggle > 0.2 * fall
    assert mlptrain.lr_find(DIGITS).warnings == ()


def test_few_rates_leave_open_where_divergence_begins() -> None:
    x, y, curvature = parabola()
    low, high = 0.001 / curvature, 10 / curvature
    [warning] = mlptrain.lr_find(LINEAR, data=(x, y), low=low, high=high, rates=3, steps=30).warnings
    assert warning.startswith(f"the next rate tried, {high:g}, diverges")


def test_the_section_leaves_out_what_an_own_class_has_by_default(tmp_path: Path) -> None:
    code = "import torch\n\n\nclass Own(torch.optim.SGD):\n    pass\n"
    (tmp_path / "mine.py").write_text(code)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.py").write_text(code)
    for own, section in (
        ("{name: 'mine:Own', lr: 0.5, momentum: 0.5}", "{name: 'mine:Own', lr: 0.1, momentum: 0.5}"),
        ("{name: 'mine:Own', lr: 0.5, path: elsewhere/mine.py}", None),
    ):
        (config := tmp_path / "own.yaml").write_text(
            "data: {name: digits, train_size: 223, validation: 23}\nmodel: {hidden: [16]}\n"
            f"training: {{batch_size: 48, epochs: 4, threads: 1, device: cpu}}\noptimizer: {own}\n"
        )
        found = mlptrain.lr_find(config, low=1e-3, high=0.1, rates=3, allow_code=True)
        assert found.suggestion == 0.1
        expected = section or f"{{name: 'mine:Own', lr: 0.1, path: {tmp_path / 'elsewhere' / 'mine.py'}}}"
        assert found.yaml == f"optimizer: {expected}"


def test_initial_weights_from_a_file_are_the_same_in_every_part(tmp_path: Path) -> None:
    """As a cluster's nodes must have them: of a network whose rates train one by one, the file changes on the way."""
    large = config(model={"hidden": [1024, 1024]}, optimizer={"name": "adam", "lr": 0.01})
    for seed in (0, 1):
        short = {"seed": seed, "training.epochs": 0}
        mlptrain.export(mlptrain.train(large, overrides=short, run_dir=tmp_path / str(seed)), tmp_path / f"{seed}.npz")
    file = (tmp_path / "0.npz").rename(tmp_path / "weights.npz")
    from_file = large | {"model": {"hidden": [1024, 1024], "init": {"name": "file", "path": str(file)}}}
    drawn, read = (mlptrain.lr_find(one, rates=3, steps=2) for one in (large, from_file))
    assert drawn.curves.tobytes() == read.curves.tobytes()

    def replace(done: int, total: int) -> None:
        assert total == 8
        if done == 1:
            (tmp_path / "1.npz").rename(file)

    with pytest.raises(UserError, match=r"weights\.npz holds other weights than expected"):
        mlptrain.lr_find(from_file, rates=3, steps=2, on_steps=replace)


def test_rates_are_even_and_short() -> None:
    wide = mlptrain.lr_find(config(), rates=22, steps=1).rates
    assert wide[:4] == (1e-6, 2.2e-6, 4.6e-6, 1e-5)
    assert wide[-1] == 10
    narrow = mlptrain.lr_find(config(), low=0.01, high=0.0101, rates=16, steps=1).rates
    assert (narrow[0], narrow[-1]) == (0.01, 0.0101)
    assert all(high / low == pytest.approx(1.01 ** (1 / 15), abs=1e-4) for low, high in pairwise(narrow))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"low": 1.0, "high": 0.1}, "rates from 1 to 0.1: expected two numbers above 0, the lower first"),
        ({"low": 0.0}, "rates from 0 to 10"),
        ({"low": math.nan}, "rates from nan to 10"),
        ({"rates": 2}, "2 rates: expected 3 to 200"),
        ({"steps": 0}, "steps 0: expected 1 to 100,000"),
    ],
)
def test_rates_that_cannot_be(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        mlptrain.lr_find(config(), **wrong)


def test_the_command_repeats_to_the_same_bytes(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, again = (call("lr-find", DIGITS, *FEW, "--out", f"{name}.png", "--json") for name in "ab")
    assert first.out.replace("a.png", "b.png") == again.out
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
    with Image.open("a.png") as picture:
        assert picture.size[0] > 1000
    found = mlptrain.lr_find(DIGITS, overrides=[FEW[1], FEW[3]], rates=8, steps=60)
    assert [row["loss"] for row in first.json["rates"]] == list(found.losses)
    assert first.json["suggestion"] == found.suggestion


def test_what_the_command_says(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = call("lr-find", DIGITS, *FEW, "--to", "1e12", "--set", "schedule=cosine")
    assert told.code == 0
    assert Path("lr-find.png").is_file()
    assert "the schedule 'cosine' is left out" in told.err
    assert "diverges: not finite at step" in told.out
    [line] = [line for line in told.out.splitlines() if line.startswith(f"in {DIGITS}: ")]
    section = line.removeprefix(f"in {DIGITS}: ")
    optimizer = load_text(f"data: digits\nmodel: {{hidden: [4]}}\n{section}").spec.optimizer
    [row] = [line for line in told.out.splitlines() if line.rstrip().endswith("suggested")]
    assert optimizer.model_dump() == {
        **load_text(Path(DIGITS).read_text(encoding="utf-8")).spec.optimizer.model_dump(),
        "lr": float(row.split()[0]),
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--from", "1", "--to", "0.1"), "rates from 1 to 0.1"),
        (("--out", "rates.pdf"), "a picture's file ends in .png or .svg"),
        (("--set", "optimizer={name: adam, momentum: 0.9}"), "optimizer.momentum"),
    ],
)
def test_what_the_command_refuses(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = call("lr-find", DIGITS, *arguments)
    assert refused.code == 2
    assert words in refused.message
    assert not list(tmp_path.iterdir())


def test_a_signal_ends_it_after_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    steps: list[int] = []

    def interrupt(done: int, total: int) -> None:
        steps.append(done)
        assert total == 30
        if done == 4:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(InterruptedRunError, match="nothing was written"):
        mlptrain.lr_find(config(), rates=5, steps=30, on_steps=interrupt)
    assert steps == [1, 2, 3, 4]
    assert not list(tmp_path.iterdir())
