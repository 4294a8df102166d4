"""Several seeds at once: the group folder, each seed's own run, exact repetition, resuming after every kind of end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mlptrain.errors import DataError, DivergedError, InterruptedRunError, RunFolderError, UserError
from mlptrain.experiment import GroupOutcome, Listener, resume, resume_group, train, train_seeds
from mlptrain.experiment.checkpoints import load_checkpoint
from mlptrain.inference.evaluate import evaluate_checkpoint
from mlptrain.runs import list_runs
from mlptrain.spec import load_text
from mlptrain.training.trainer import Epoch
from tests.listeners import OnEpoch, interrupting

SEEDS = (3, 0, 11)
BASE = """\
name: small
data: {name: digits, validation: 100}
model: {hidden: [13]}
optimizer: {name: adam, lr: 0.01}
training: {epochs: 6, batch_size: 100, record_steps: true, device: cpu, precision: highest}
"""
# Gradient descent on a quadratic: a seed diverges where lr exceeds 2 over the largest curvature of its data, which is
# 0.66 for the seeds 1 and 3 and 0.49 for seed 5.
LINEAR = """\
data: {name: random_regression, validation: 0}
model: {hidden: []}
loss: mse
optimizer: {name: sgd, lr: 0.65}
training: {epochs: 130, batch_size: full, device: cpu, precision: highest}
"""
LAST, BEST = "checkpoints/last.safetensors", "checkpoints/best.safetensors"
OF_A_RUN = ("resolved.yaml", "metrics.jsonl", "steps.npz", LAST, BEST, "result.json")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(folder: str = "group", *overrides: str, seeds: Sequence[int] = SEEDS, **more: Any) -> GroupOutcome:
    return train_seeds(load_text(BASE, overrides=overrides), seeds, run_dir=Path(folder), **more)


def lines(folder: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in Path(folder, "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An unbroken group of BASE; read it, change nothing in it."""
    folder = tmp_path_factory.mktemp("whole") / "group"
    run(str(folder))
    return str(folder)


def read(path: str) -> Any:
    return json.loads(Path(path).read_text())


def assert_same_bytes(one: str, other: str, names: Sequence[str]) -> None:
    for name in names:
        assert Path(one, name).exists() == Path(other, name).exists(), name
        if Path(one, name).exists():
            assert Path(one, name).read_bytes() == Path(other, name).read_bytes(), f"{other}/{name}"


def assert_same_group(one: str, other: str, *, seeds: Sequence[int] = SEEDS) -> None:
    assert_same_bytes(one, other, ("seeds.json", "summary.json"))
    for seed in seeds:
        assert_same_bytes(f"{one}/seed-{seed}", f"{other}/seed-{seed}", OF_A_RUN)


def test_the_group_folder() -> None:
    outcome = run()
    assert sorted(path.name for path in Path("group").iterdir()) == [
        "seed-0", "seed-11", "seed-3", "seeds.json", "summary.json",
    ]  # fmt: skip
    assert read("group/seeds.json") == {"seeds": [3, 0, 11]}
    assert [one.folder.path for one in outcome.outcomes] == [Path(f"group/seed-{seed}") for seed in SEEDS]
    for seed, one in zip(SEEDS, outcome.outcomes, strict=True):
        folder = Path(f"group/seed-{seed}")
        assert sorted(path.name for path in folder.iterdir()) == [
            "checkpoints", "config.yaml", "environment.json", "facts.json", "metrics.jsonl", "resolved.yaml",
            "result.json", "steps.npz", "timings.jsonl",
        ]  # fmt: skip
        assert (folder / "config.yaml").read_text() == BASE
        assert read(f"{folder}/result.json") == one.result.plain()
        assert load_checkpoint(folder / LAST).experiment.seed == seed
        kept = one.result.plain()["kept"]
        report = evaluate_checkpoint(folder)
        assert report["loss"] == pytest.approx(kept["test_loss"], rel=1e-6)
        assert report["accuracy"] == kept["test_accuracy"]
    assert {summary.path.name for summary in list_runs(Path())} == {"seed-3", "seed-0", "seed-11"}


def test_the_summary_is_over_the_kept_weights_of_all_seeds() -> None:
    summary = run().summary.plain()
    assert read("group/summary.json") == summary
    assert (summary["seeds"], summary["diverged"]) == ([3, 0, 11], [])
    kept = [read(f"group/seed-{seed}/result.json")["kept"] for seed in SEEDS]
    assert set(summary["kept"]) == {
        f"{split}_{kind}" for split in ("train", "validation", "test") for kind in ("loss", "accuracy")
    }
    for name, found in summary["kept"].items():
        values = np.array([figures[name] for figures in kept])
        assert len(set(values)) > 1
        expected = {"mean": values.mean(), "std": values.std(ddof=1), "min": values.min(), "max": values.max()}
        assert found == pytest.approx(expected, rel=1e-12)


def test_one_seed_has_no_spread() -> None:
    found = run("group", "training.epochs=1", seeds=[4]).summary.plain()["kept"]["test_loss"]
    assert found["mean"] == found["min"] == found["max"]
    assert found["std"] is None


def assert_close(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Figures of a seed among others and alone; accuracies may differ by an example on a boundary."""
    assert list(one) == list(other)
    for name, value in one.items():
        accuracy = name.endswith("_accuracy")
        assert value == pytest.approx(other[name], rel=0 if accuracy else 1e-5, abs=5e-3 if accuracy else 0), name


NORMS = (
    "model={hidden: [16, 16], norm: batch, output_norm: layer, dropout: [0.2, 0.3], residual: true}",
    "model.input_dropout=0.1",
    "training.norm_statistics=training_rows",
)


@pytest.mark.parametrize(
    "overrides", [(), ("data.validation=0", "evaluation.split=test", "model.hidden=[16,7]"), NORMS]
)
def test_each_seed_is_its_single_run(overrides: tuple[str, ...]) -> None:
    run("group", *overrides)
    for seed in SEEDS:
        one, other = f"group/seed-{seed}", f"alone-{seed}"
        train(load_text(BASE, overrides=[*overrides, f"seed={seed}"]), run_dir=Path(other))
        assert_same_bytes(one, other, ("config.yaml", "resolved.yaml"))
        ours, theirs = read(f"{one}/environment.json"), read(f"{other}/environment.json")
        assert ours["hashes"] == theirs["hashes"]
        for line, expected in zip(lines(one), lines(other), strict=True):
            assert_close(line, expected)
        ours, theirs = read(f"{one}/result.json"), read(f"{other}/result.json")
        for key in ("kept", "last"):
            assert ours[key].pop("checkpoint", None) == theirs[key].pop("checkpoint", None)
            assert_close(ours.pop(key), theirs.pop(key))
        assert ours == theirs
        # As in tests/training/test_many_models.py, where the tolerance is measured.
        mine, its = load_checkpoint(Path(one, LAST)), load_checkpoint(Path(other, LAST))
        assert (mine.epoch, mine.step) == (its.epoch, its.step)
        for name, tensor in its.state.parameters.items():
            torch.testing.assert_close(mine.state.parameters[name], tensor, rtol=1e-4, atol=1e-5)
        with np.load(f"{one}/steps.npz") as steps, np.load(f"{other}/steps.npz") as expected_steps:
            np.testing.assert_allclose(steps["loss"], expected_steps["loss"], rtol=1e-4)


def test_the_same_call_twice_gives_the_same_bytes(whole: str) -> None:
    run("again")
    assert_same_group(whole, "again")


@pytest.mark.parametrize(("name", "at"), [("sgd", 0), ("adam", 1), ("nadam", 3), ("rmsprop", 4), ("adagrad", 2)])
def test_interrupted_by_a_signal_and_gone_on_with(name: str, at: int) -> None:
    momentum = ", momentum: 0.9" if name in ("sgd", "rmsprop") else ""
    optimizer = f"optimizer={{name: {name}, lr: 0.01{momentum}}}"
    run("whole", optimizer)
    with pytest.raises(InterruptedRunError, match=rf"; {at} of 6 epochs are saved, resume with .* --resume part`"):
        run("part", optimizer, listeners=[interrupting(at)])
    assert not Path("part/summary.json").exists()
    assert [len(lines(f"part/seed-{seed}")) for seed in SEEDS] == [at + 1] * 3
    outcome = resume_group(Path("part"))
    assert outcome.summary.plain() == read("whole/summary.json")
    assert_same_group("whole", "part")


def test_averages_interrupted_and_gone_on_with() -> None:
    settings = ("training.ema=0.9", "training.clip_norm=0.5", "training.max_norm=1")
    run("whole", *settings)
    with pytest.raises(InterruptedRunError):
        run("part", *settings, listeners=[interrupting(2)])
    resume_group(Path("part"))
    assert_same_group("whole", "part")


def test_a_group_too_large_for_one_trainer_interrupted_and_gone_on_with() -> None:
    """Each seed is a part of its own: an unbroken group, a resumed one, and each seed alone end with the same bytes."""
    settings = ("model.hidden=[900,700]", "data.train_size=300", "training.epochs=3", "training.threads=1")
    run("whole", *settings)
    with pytest.raises(InterruptedRunError):
        run("part", *settings, listeners=[interrupting(1)])
    resume_group(Path("part"))
    assert_same_group("whole", "part")
    train(load_text(BASE, overrides=[*settings, "seed=11"]), run_dir=Path("alone"))
    assert_same_bytes("whole/seed-11", "alone", OF_A_RUN)


def test_interrupted_twice(whole: str) -> None:
    with pytest.raises(InterruptedRunError):
        run("part", listeners=[interrupting(1)])
    with pytest.raises(InterruptedRunError, match="3 of 6 epochs"):
        resume_group("part", listeners=[interrupting(3)])
    resume_group("part")
    assert_same_group(whole, "part")


def numbers(found: Sequence[Epoch | None]) -> list[int | None]:
    return [None if epoch is None else epoch.epoch for epoch in found]


class Aside(Listener):
    """A listener that copies a run's checkpoints aside after an epoch, as a slower disk would have left them."""

    def __init__(self, run: str, *, at: int) -> None:
        self.run, self.at = Path(run), at

    def epoch(self, epochs: Sequence[Epoch | None]) -> None:
        if any(epoch is not None and epoch.epoch == self.at for epoch in epochs):
            shutil.copytree(self.run / "checkpoints", f"aside-{self.run.name}")

    def put_back(self) -> None:
        """The run as it would lie there had it been killed some epochs after this checkpoint."""
        shutil.rmtree(self.run / "checkpoints")
        shutil.copytree(f"aside-{self.run.name}", self.run / "checkpoints")
        (self.run / "result.json").unlink(missing_ok=True)
        (self.run.parent / "summary.json").unlink(missing_ok=True)


@pytest.mark.parametrize(("name", "behind"), [("adam", 3), ("adam", 0), ("adam", 11), ("nadam", 0), ("adagrad", 3)])
def test_a_run_behind_the_finished_others(name: str, behind: int) -> None:
    """The others take part from their initial weights, and what they were stays as it was."""
    aside = Aside(f"part/seed-{behind}", at=1)
    optimizer = f"optimizer={{name: {name}, lr: 0.01}}"
    run("part", optimizer, listeners=[aside])
    shutil.copytree("part", "whole")
    aside.put_back()
    heard: list[list[int | None]] = []
    resume_group("part", listeners=[OnEpoch(lambda found: heard.append(numbers(found)))])
    assert_same_group("whole", "part")
    place = SEEDS.index(behind)
    assert heard == [[epoch if index == place else None for index in range(3)] for epoch in range(2, 7)]


def test_runs_at_different_epochs(whole: str) -> None:
    """One at its last epoch without a result, one in the middle, one without any checkpoint."""
    run("part", "training.epochs=4")
    for seed in SEEDS:  # as if the run of six epochs had been stopped after four
        resolved = Path(f"part/seed-{seed}/resolved.yaml")
        resolved.write_bytes(Path(f"{whole}/seed-{seed}/resolved.yaml").read_bytes())
        Path(f"part/seed-{seed}/result.json").unlink()
    shutil.copytree(f"{whole}/seed-3", "part/seed-3", dirs_exist_ok=True)
    Path("part/seed-3/result.json").unlink()
    shutil.rmtree("part/seed-11/checkpoints")
    Path("part/seed-11/checkpoints").mkdir()
    Path("part/seed-11/steps.npz").unlink()
    with pytest.raises(InterruptedRunError, match="; 2 of 6 epochs are saved"):
        resume_group("part", listeners=[interrupting(2)])
    assert load_checkpoint(Path("part/seed-0", LAST)).epoch == 4
    heard: list[list[int | None]] = []
    resume_group("part", listeners=[OnEpoch(lambda found: heard.append(numbers(found)))])
    assert heard == [[None, None, 3], [None, None, 4], [None, 5, 5], [None, 6, 6]]
    assert_same_group(whole, "part")


def test_a_group_that_ended_before_its_summary(whole: str) -> None:
    shutil.copytree(whole, "part")
    Path("part/summary.json").unlink()
    before = Path("part/seed-0/result.json").stat().st_mtime_ns
    resume_group("part")
    assert_same_group(whole, "part")
    assert Path("part/seed-0/result.json").stat().st_mtime_ns == before


def test_extending(whole: str) -> None:
    run("part", "training.epochs=4")
    with pytest.raises(RunFolderError, match=r"part is complete; extend it with --set training\.epochs="):
        resume_group("part")
    outcome = resume_group("part", epochs=6)
    for seed, one in zip(SEEDS, outcome.outcomes, strict=True):
        assert_same_bytes(f"{whole}/seed-{seed}", f"part/seed-{seed}", OF_A_RUN[:-1])
        assert one.result.plain()["test_evaluations"] == 2
    assert_same_bytes(whole, "part", ("summary.json",))
    with pytest.raises(RunFolderError, match="part is complete"):
        resume_group("part", epochs=6)
    with pytest.raises(RunFolderError, match="3 is fewer"):
        resume_group("part", epochs=3)


@pytest.mark.parametrize("named", [None, 6])
def test_an_extension_that_one_run_has_behind_it_already(named: int | None) -> None:
    aside = Aside("part/seed-0", at=5)
    run("part", "training.epochs=4")
    resume_group("part", epochs=6, listeners=[aside])
    shutil.copytree("part", "whole")
    aside.put_back()
    resume_group("part", epochs=named)
    assert_same_group("whole", "part")


def test_no_summary_of_an_earlier_end_outlives_an_extension() -> None:
    run("group", "training.epochs=2")
    with pytest.raises(InterruptedRunError):
        resume_group("group", epochs=6, listeners=[interrupting(4)])
    assert not Path("group/summary.json").exists()


def linear(folder: str, seeds: Sequence[int], **more: Any) -> GroupOutcome:
    return train_seeds(load_text(LINEAR), seeds, run_dir=Path(folder), **more)


def test_a_diverged_seed_leaves_the_others_alone() -> None:
    outcome = linear("group", [1, 5, 3])
    assert [one.result.plain()["status"] for one in outcome.outcomes] == ["completed", "diverged", "completed"]
    with pytest.raises(DivergedError) as caught:
        train(load_text(LINEAR, overrides=["seed=5"]), run_dir=Path("alone"))
    alone = read("alone/result.json")
    assert 20 < caught.value.epoch < 130
    assert outcome.outcomes[1].result.plain() == alone == read("group/seed-5/result.json")
    assert len(lines("group/seed-5")) == len(lines("alone")) == caught.value.epoch
    assert load_checkpoint(Path("group/seed-5", LAST)).epoch == caught.value.epoch - 1
    kept = [one.result.plain()["kept"]["train_loss"] for one in (outcome.outcomes[0], outcome.outcomes[2])]
    assert (outcome.summary.plain()["seeds"], outcome.summary.plain()["diverged"]) == ([1, 5, 3], [5])
    assert outcome.summary.plain()["kept"]["train_loss"]["mean"] == pytest.approx(np.mean(kept))
    assert outcome.summary.plain()["kept"]["train_loss"]["std"] == pytest.approx(np.std(kept, ddof=1))
    for seed in (1, 3):
        train(load_text(LINEAR, overrides=[f"seed={seed}"]), run_dir=Path(f"alone-{seed}"))
        for line, expected in zip(lines(f"group/seed-{seed}"), lines(f"alone-{seed}"), strict=True):
            assert line == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("at", [10, 120])
def test_interrupted_before_and_after_a_seed_has_diverged(at: int) -> None:
    linear("whole", [1, 5, 3])
    with pytest.raises(InterruptedRunError):
        linear("part", [1, 5, 3], listeners=[interrupting(at)])
    assert Path("part/seed-5/result.json").exists() == (at == 120)
    outcome = resume_group("part")
    assert outcome.summary.plain()["diverged"] == [5]
    assert_same_group("whole", "part", seeds=[1, 5, 3])


def test_a_diverged_seed_stays_as_it_is_when_the_others_are_extended() -> None:
    linear("group", [1, 5, 3])
    before = Path("group/seed-5/result.json").read_bytes()
    outcome = resume_group("group", epochs=140)
    assert [len(lines(f"group/seed-{seed}")) for seed in (1, 3)] == [141, 141]
    assert Path("group/seed-5/result.json").read_bytes() == before
    assert outcome.summary.plain()["diverged"] == [5]


@pytest.mark.parametrize("epochs", [None, 200])
def test_all_seeds_diverged(epochs: int | None) -> None:
    outcome = train_seeds(load_text(LINEAR, overrides=["optimizer.lr=1e20"]), [0, 1], run_dir=Path("group"))
    assert outcome.summary.plain() == {"seeds": [0, 1], "diverged": [0, 1], "kept": {}}
    with pytest.raises(RunFolderError, match="all seeds of group diverged; start over with a smaller learning rate"):
        resume_group("group", epochs=epochs)


def test_one_run_of_a_group_is_not_resumed_alone() -> None:
    with pytest.raises(InterruptedRunError):
        run("group", listeners=[interrupting(2)])
    before = {path: path.read_bytes() for path in Path("group").rglob("*") if path.is_file()}
    for name in ("group/seed-0", Path("group").resolve() / "seed-0"):
        with pytest.raises(RunFolderError, match=r"together with other seeds; .*--resume \S*group`"):
            resume(name, epochs=9)
    assert {path: path.read_bytes() for path in Path("group").rglob("*") if path.is_file()} == before
    shutil.copytree("group/seed-0", "elsewhere")
    assert resume("elsewhere").result.plain()["epochs"] == 6


def test_what_is_no_group() -> None:
    with pytest.raises(RunFolderError, match=r"not a group of seeds or folds: it has no seeds\.json or folds\.json"):
        resume_group("nowhere")
    run("group", "training.epochs=1")
    Path("group/seeds.json").write_text('{"seeds": [1, "two"]}')
    with pytest.raises(RunFolderError, match=r"seeds\.json is damaged"):
        resume_group("group")
    Path("group/seeds.json").write_text('{"seeds": [3, 0, 11, 12]}')
    with pytest.raises(RunFolderError, match="seed-12: no such run folder"):
        resume_group("group")


def test_other_data_than_a_seed_was_trained_on() -> None:
    with pytest.raises(InterruptedRunError):
        run("group", listeners=[interrupting(1)])
    path = Path("group/seed-11/environment.json")
    path.write_text(path.read_text().replace('"data": "', '"data": "0'))
    with pytest.raises(DataError, match="seed-11 was trained on other data"):
        resume_group("group")


@pytest.mark.parametrize("seeds", [[], [1, 2, 1], [0, -1]])
def test_seeds_that_cannot_be_trained(seeds: list[int]) -> None:
    with pytest.raises(UserError, match=r"expected at least one whole number from 0 on, each once"):
        run("group", seeds=seeds)
    assert not Path("group").exists()


def test_a_folder_in_use_is_left_alone() -> None:
    Path("taken").mkdir()
    Path("taken/thesis.txt").write_text("years of work")
    with pytest.raises(RunFolderError, match="not empty"):
        run("taken")
    assert [path.name for path in Path("taken").iterdir()] == ["thesis.txt"]
