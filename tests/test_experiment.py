"""Whole runs: the run folder, exact repetition, resuming after every kind of end."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mlptrain.errors import CheckpointError, DataError, DivergedError, RunFolderError
from mlptrain.experiment import Outcome, resume, train
from mlptrain.experiment.build import build_network, initial_parameters, load_data
from mlptrain.experiment.checkpoints import load_checkpoint
from mlptrain.inference.evaluate import evaluate_checkpoint, evaluation_of
from mlptrain.inference.module import load
from mlptrain.nn.losses import make_loss
from mlptrain.runs import RunFolder, list_runs
from mlptrain.sources.digits import read_digits
from mlptrain.spec import load_spec, load_text
from mlptrain.training.metrics import classification_table, evaluate
from tests.command import Call

BASE = """\
name: small
data: {name: digits, validation: 100}
model: {hidden: [16]}
optimizer: {name: adam, lr: 0.01}
training: {epochs: 6, batch_size: 100, record_steps: true}
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(folder: str = "run", *overrides: str) -> Outcome:
    return train(load_text(BASE, overrides=overrides), run_dir=Path(folder))


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


COMPARED = ("metrics.jsonl", "steps.npz", "checkpoints/last.safetensors", "checkpoints/best.safetensors", "result.json")


def assert_same_run(one: Path, other: Path) -> None:
    for name in COMPARED:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_the_run_folder() -> None:
    outcome = run()
    folder = outcome.folder.path
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoints",
        "config.yaml",
        "environment.json",
        "facts.json",
        "metrics.jsonl",
        "resolved.yaml",
        "result.json",
        "steps.npz",
        "timings.jsonl",
    ]
    assert (folder / "config.yaml").read_text() == BASE
    found = lines(folder)
    assert [line["epoch"] for line in found] == list(range(7))
    assert list(found[0]) == ["epoch", "step", "lr", "validation_loss", "validation_accuracy"]
    assert list(found[1]) == [
        "epoch", "step", "lr", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy",
    ]  # fmt: skip
    assert [line["step"] for line in found] == [14 * epoch for epoch in range(7)]
    result = json.loads((folder / "result.json").read_text())
    assert result == outcome.result.plain()
    assert (result["status"], result["epochs"], result["steps"], result["test_evaluations"]) == ("completed", 6, 84, 1)
    lowest = min(found[1:], key=lambda line: line["validation_loss"])
    assert result["kept"]["epoch"] == lowest["epoch"]
    assert result["kept"]["validation_loss"] == lowest["validation_loss"]
    timings = [json.loads(line) for line in (folder / "timings.jsonl").read_text().splitlines()]
    keys = ["checkpoint", "epoch", "evaluation", "training", "waiting"]
    assert [sorted(line) for line in timings] == [keys] * 7


def test_untrained_figures_are_line_zero() -> None:
    outcome = run("run", "evaluation.split=test", "evaluation.keep=last")
    experiment = load_text(BASE).experiment
    network = build_network(experiment)
    test = load_data(experiment).test
    assert test is not None
    loss = make_loss(experiment.loss)
    expected = evaluate(network, initial_parameters(experiment, network), loss=loss, examples=test, classify=True)
    first = lines(outcome.folder.path)[0]
    assert first["test_loss"] == pytest.approx(expected.loss, rel=1e-6)
    assert first["test_accuracy"] == expected.accuracy
    assert outcome.result.plain()["test_evaluations"] == 7


def test_recorded_steps_average_to_the_epochs() -> None:
    folder = run().folder.path
    with np.load(folder / "steps.npz") as steps:
        assert steps["loss"].shape == steps["accuracy"].shape == (84,)
        sizes = np.array([100] * 13 + [37])
        by_epoch = (steps["loss"].reshape(6, 14) * sizes).sum(axis=1) / sizes.sum()
    np.testing.assert_allclose(by_epoch, [line["train_loss"] for line in lines(folder)[1:]], rtol=1e-12)


def test_same_specification_same_bytes() -> None:
    assert_same_run(run("one").folder.path, run("two").folder.path)
    other = run("three", "seed=1").folder.path
    assert (other / "metrics.jsonl").read_bytes() != Path("one/metrics.jsonl").read_bytes()


def test_the_resolved_file_repeats_the_run() -> None:
    run("one", "training.epochs=3", "optimizer.lr=0.02")
    train(Path("one/resolved.yaml"), run_dir=Path("two"))
    assert_same_run(Path("one"), Path("two"))
    assert Path("one/resolved.yaml").read_bytes() == Path("two/resolved.yaml").read_bytes()


def test_environment_holds_decisions_and_hashes() -> None:
    environments = [
        run(name, *overrides).folder.read_environment()
        for name, overrides in (("a", ()), ("b", ("optimizer.lr=1e-3",)), ("c", ("seed=5",)))
    ]
    assert environments[0].threads >= 1
    assert environments[0].device == "cpu" or torch.cuda.is_available()
    assert environments[0].torch == torch.__version__
    same, other = environments[1].hashes.plain(), environments[2].hashes.plain()
    assert environments[0].hashes.plain() == same
    assert all(other[key] != same[key] for key in same)


@pytest.mark.parametrize("name", ["sgd", "nadam", "rmsprop", "adagrad", "adamw"])
def test_resuming_an_earlier_boundary_gives_the_same_bytes(name: str) -> None:
    optimizer = f"optimizer={{name: {name}, lr: 0.01}}"
    whole = run("whole", optimizer).folder.path
    run("part", optimizer, "training.epochs=2")
    Path("part/result.json").unlink()
    resume(Path("part"), epochs=6)
    for file in COMPARED[:-1]:
        assert (whole / file).read_bytes() == Path("part", file).read_bytes(), file


@pytest.mark.parametrize("ema", [0, 0.9])
@pytest.mark.parametrize("statistics", ["running", "training_rows"])
def test_masks_and_running_statistics_survive_resuming(statistics: str, ema: float) -> None:
    model = "model={hidden: [16, 16], norm: batch, dropout: [0.2, 0.5], input_dropout: 0.1, residual: true}"
    overrides = (model, f"training.norm_statistics={statistics}", f"training.ema={ema}")
    whole = run("whole", *overrides).folder.path
    run("part", *overrides, "training.epochs=3")
    Path("part/result.json").unlink()
    resume(Path("part"), epochs=6)
    for file in COMPARED[:-1]:
        assert (whole / file).read_bytes() == Path("part", file).read_bytes(), file
    figures = [evaluate_checkpoint("whole"), evaluate_checkpoint("part", split="train")]
    kept = Outcome.read(RunFolder.open("whole")).result.plain()["kept"]
    assert [figure["loss"] for figure in figures] == [kept["test_loss"], kept["train_loss"]]
    network = load("whole")
    rows = load_data(load_text(BASE).experiment).validation
    assert rows is not None
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(network(rows.inputs), rows.targets)
    assert float(loss) == pytest.approx(kept["validation_loss"], rel=1e-6)


AVERAGED = ("training.ema=0.95", "training.clip_norm=1", "training.max_norm=2", "training.l1=1e-4")


def test_a_run_with_an_average_resumes_to_the_same_bytes() -> None:
    """Killed in mid-epoch and at a boundary: the raw weights lie beside the average, which the run stands for."""
    decay = ("optimizer.weight_decay=0.01", "optimizer.weight_decay_for=weights")
    whole = run("whole", *AVERAGED, *decay).folder.path
    run("part", *AVERAGED, *decay, "training.epochs=2")
    Path("part/result.json").unlink()
    resume(Path("part"), epochs=6)
    for file in COMPARED[:-1]:
        assert (whole / file).read_bytes() == Path("part", file).read_bytes(), file


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_run_stands_for_its_average(keep: str) -> None:
    folder = run("run", *AVERAGED, f"evaluation.keep={keep}").folder.path
    last, kept = (load_checkpoint(folder / "checkpoints" / f"{name}.safetensors") for name in ("last", keep))
    assert last.state.raw.keys() == last.state.parameters.keys()
    assert not any(torch.equal(last.state.raw[name], values) for name, values in last.state.parameters.items())
    result = json.loads((folder / "result.json").read_text())["kept"]
    module = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10))
    for leaf, values in zip(module.parameters(), kept.state.parameters.values(), strict=True):
        leaf.data.copy_(values)
    its = load_data(last.experiment)
    for split in ("train", "validation", "test"):
        rows = getattr(its, split)
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(module(rows.inputs), rows.targets)
        assert result[f"{split}_loss"] == pytest.approx(float(loss), rel=1e-5)
        report = evaluate_checkpoint(folder / "checkpoints" / f"{keep}.safetensors", split=split)
        assert report["loss"] == result[f"{split}_loss"]


@pytest.mark.parametrize("overrides", [(), AVERAGED])
def test_extending_a_completed_run(overrides: tuple[str, ...]) -> None:
    whole = run("whole", *overrides).folder.path
    run("part", *overrides, "training.epochs=4")
    outcome = resume(Path("part"), epochs=6)
    assert outcome.result.plain()["test_evaluations"] == 2
    assert (whole / "metrics.jsonl").read_bytes() == Path("part/metrics.jsonl").read_bytes()
    assert (whole / "resolved.yaml").read_bytes() == Path("part/resolved.yaml").read_bytes()
    with pytest.raises(RunFolderError, match="complete after epoch 6"):
        resume(Path("part"))
    with pytest.raises(RunFolderError, match="3 is fewer"):
        resume(Path("part"), epochs=3)


def test_a_diverged_run() -> None:
    loaded = load_text(BASE, overrides=["optimizer={name: sgd, lr: 1e20}"])
    with pytest.raises(DivergedError, match=r"step \d+ \(epoch 1\) with lr 1e\+20"):
        train(loaded, run_dir=Path("run"))
    result = json.loads(Path("run/result.json").read_text())
    assert (result["status"], result["epoch"], result["lr"]) == ("diverged", 1, 1e20)
    assert [line["epoch"] for line in lines(Path("run"))] == [0]
    assert load_checkpoint(Path("run/checkpoints/last.safetensors")).epoch == 0
    with pytest.raises(RunFolderError, match="diverged"):
        resume(Path("run"))


def test_resuming_without_any_checkpoint_begins_again() -> None:
    whole = run("whole").folder.path
    shutil.copytree(whole, "cut")
    for name in ("result.json", "checkpoints/last.safetensors", "checkpoints/best.safetensors", "steps.npz"):
        Path("cut", name).unlink()
    Path("cut/metrics.jsonl").write_text(Path("cut/metrics.jsonl").read_text()[:-20])
    resume(Path("cut"))
    assert_same_run(whole, Path("cut"))


def test_killed_between_the_last_checkpoint_and_the_result() -> None:
    stuck = ("optimizer={name: sgd, lr: 1e-9}", "training.epochs=2")
    whole = run("whole", *stuck).folder.path
    shutil.copytree(whole, "cut")
    Path("cut/result.json").unlink()
    assert resume(Path("cut")).result.plain()["diagnosis"]["kind"] == "stuck"
    assert_same_run(whole, Path("cut"))


def test_a_foreign_or_damaged_checkpoint_stops_resuming() -> None:
    run("one", "training.epochs=2")
    run("two", "training.epochs=2", "model.hidden=[8]")
    shutil.copy("two/checkpoints/last.safetensors", "one/checkpoints/last.safetensors")
    with pytest.raises(CheckpointError, match="another run"):
        resume(Path("one"), epochs=4)
    path = Path("two/checkpoints/last.safetensors")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="two/checkpoints"):
        resume(Path("two"), epochs=4)
    assert Path("two/result.json").exists()  # nothing was touched


def test_other_data_than_it_was_trained_on() -> None:
    run("run", "training.epochs=2")
    path = Path("run/environment.json")
    path.write_text(path.read_text().replace('"data": "', '"data": "0'))
    with pytest.raises(DataError, match="other data"):
        resume(Path("run"), epochs=4)


def test_run_dir_must_be_new_or_empty() -> None:
    Path("taken").mkdir()
    Path("taken/thesis.txt").write_text("years of work")
    with pytest.raises(RunFolderError, match="not empty"):
        run("taken")
    assert Path("taken/thesis.txt").read_text() == "years of work"
    Path("empty").mkdir()
    run("empty", "training.epochs=1")


@pytest.mark.parametrize("dropout", [0, 0.3])
def test_evaluation_repeats_the_runs_figures(dropout: float) -> None:
    outcome = run("run", f"model.dropout={dropout}")
    kept = outcome.result.plain()["kept"]
    report = evaluate_checkpoint(outcome.folder.path)
    assert (report["split"], report["examples"]) == ("test", 360)
    assert (report["loss"], report["accuracy"]) == (kept["test_loss"], kept["test_accuracy"])
    for split in ("validation", "train"):
        report = evaluate_checkpoint(outcome.folder.best, split=split)
        assert (report["loss"], report["accuracy"]) == (kept[f"{split}_loss"], kept[f"{split}_accuracy"])


def of_kept_weights(outcome: Outcome, data: str) -> tuple[float, float]:
    """Loss and accuracy of a run's kept weights on its training rows, in float64 by torch alone."""
    checkpoint = load_checkpoint(outcome.folder.path / "checkpoints" / outcome.result.plain()["kept"]["checkpoint"])
    train_rows = load_data(load_text(data).experiment).train
    x = train_rows.inputs.double()
    parameters = {name: tensor.double() for name, tensor in checkpoint.state.parameters.items()}
    for layer in range(len(parameters) // 2):
        x = x.relu() if layer else x
        x = torch.nn.functional.linear(x, parameters[f"layers.{layer}.weight"], parameters[f"layers.{layer}.bias"])
    loss = torch.nn.functional.cross_entropy(x, train_rows.targets)
    return float(loss), float((x.argmax(dim=1) == train_rows.targets).double().mean())


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("model.dropout=0.3", "loss={name: cross_entropy, reduction: sum}", "optimizer.lr=0.001"),
        ("evaluation={split: test, keep: last}",),
        ("evaluation={split: none, keep: last}", "training.shuffle=false"),
        ("data={name: random_classification, n_samples: 5000, n_features: 6, n_classes: 3}",),  # three chunks of rows
    ],
)
def test_the_training_figures_are_those_of_the_kept_weights(overrides: tuple[str, ...]) -> None:
    """And not the means over the epoch, from weights that learnt on the way, which bear another name."""
    outcome = run("run", *overrides, "training.epochs=1")
    result, last = outcome.result.plain(), lines(outcome.folder.path)[-1]
    loss, accuracy = of_kept_weights(outcome, (outcome.folder.path / "resolved.yaml").read_text())
    assert result["kept"]["train_loss"] == pytest.approx(loss, rel=1e-5)
    assert result["kept"]["train_accuracy"] == pytest.approx(accuracy, abs=1e-12)
    assert loss < 0.995 * last["train_loss"]
    assert result["last"]["running_train_loss"] == last["train_loss"]
    assert "train_loss" not in result["last"]


def test_weights_before_training_have_training_figures_too() -> None:
    """No epoch is better on the validation rows: epoch 0 is kept, of which the log has no training figures."""
    outcome = run("run", "optimizer={name: sgd, lr: 3e3}", "training.epochs=2")
    result = outcome.result.plain()
    assert result["kept"]["epoch"] == 0
    loss, accuracy = of_kept_weights(outcome, BASE)
    assert result["kept"]["train_loss"] == pytest.approx(loss, rel=1e-5)
    assert result["kept"]["train_accuracy"] == accuracy
    assert list(result["kept"]) == ["checkpoint", "epoch"] + [
        f"{split}_{figure}" for split in ("train", "validation", "test") for figure in ("loss", "accuracy")
    ]


def test_nothing_is_kept_of_the_training_rows_in_memory() -> None:
    """Evaluating them once leaves no scaled copy of all of them behind."""
    experiment = load_text(BASE).experiment
    network, loss, rows = build_network(experiment), make_loss(experiment.loss), load_data(experiment).train
    parameters = initial_parameters(experiment, network)
    found = evaluate(network, parameters, loss=loss, examples=rows, classify=True, once=True)
    assert not {"inputs", "targets"} & set(vars(rows))
    assert found == evaluate(network, parameters, loss=loss, examples=rows, classify=True)


def test_evaluation_against_scikit_learn_and_scipy() -> None:
    from scipy.stats import binomtest
    from sklearn.datasets import load_digits
    from sklearn.metrics import classification_report, confusion_matrix
    from sklearn.model_selection import train_test_split

    outcome = run()
    report = evaluate_checkpoint(outcome.folder.path)
    digits = load_digits()
    _, rows = train_test_split(np.arange(1797), test_size=0.2, random_state=0)
    rows = np.sort(rows)
    checkpoint = load_checkpoint(outcome.folder.best)
    x = torch.from_numpy(digits.data[rows] / 16).float()
    outputs = build_network(checkpoint.experiment).forward(checkpoint.state.parameters, x)
    called, truth = outputs.argmax(1).numpy(), digits.target[rows]
    assert report["confusion"] == confusion_matrix(truth, called).tolist()
    assert report["wrong"] == int((called != truth).sum())
    table = classification_report(truth, called, output_dict=True)
    for row in report["per_class"]:
        assert row["precision"] == pytest.approx(table[row["class"]]["precision"])
        assert row["recall"] == pytest.approx(table[row["class"]]["recall"])
        assert row["examples"] == table[row["class"]]["support"]
    assert all(0 < row["precision"] <= 1 for row in report["per_class"])
    interval = binomtest(360 - report["wrong"], 360).proportion_ci(method="wilson")
    assert report["interval"] == [interval.low, interval.high]


def test_undefined_precision_and_recall() -> None:
    """Of a class that is never predicted, and of one without examples; 0 where there is something to be wrong about."""
    predicted, labels = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2, 2, 2])
    table = classification_table(predicted, labels, class_names=("a", "b", "c", "d"))
    assert [(row["precision"], row["recall"]) for row in table["per_class"]] == [
        (0.5, 1.0), (0.0, None), (None, 0.0), (None, None),
    ]  # fmt: skip


def test_classes_without_training_rows_are_named() -> None:
    few = ("data={name: digits, train_size: 12, validation: 3}", "training.epochs=1")
    told: list[str] = []
    outcome = train(load_text(BASE, overrides=few), run_dir=Path("run"), on_note=told.append)
    labels = read_digits().train_labels[:12]
    splits = load_data(outcome.folder.experiment())
    assert set(splits.train.targets.tolist()) < set(labels.tolist())
    absent = [f"'{label}'" for label in sorted(set(range(10)) - set(splits.train.targets.tolist()))]
    [note] = told
    assert note.startswith(f"no training rows of classes {', '.join(absent)}: ")
    assert evaluation_of(outcome.folder.path).missing_classes == note
    assert splits.missing_classes(()) == ""  # regression
    run("whole", "training.epochs=1")
    assert evaluation_of(Path("whole")).notes == []


def test_regression_has_no_accuracy() -> None:
    text = """
data: {name: random_regression, validation: 10}
model: {hidden: [8]}
loss: mse
optimizer: {name: sgd, lr: 0.01}
training: {epochs: 2}
"""
    outcome = train(load_text(text), run_dir=Path("run"))
    assert "train_accuracy" not in lines(Path("run"))[-1]
    report = evaluate_checkpoint(outcome.folder.path)
    assert (report["split"], report["accuracy"], report["confusion"]) == ("validation", None, None)
    assert evaluate_checkpoint(outcome.folder.path, split="train")["examples"] == 54
    with pytest.raises(DataError, match="no test rows; choose validation, train"):
        evaluate_checkpoint(outcome.folder.path, split="test")


def test_a_run_without_checkpoint() -> None:
    run("run", "training.epochs=1")
    shutil.rmtree("run/checkpoints")
    with pytest.raises(RunFolderError, match="no checkpoint"):
        evaluate_checkpoint(Path("run"))


def test_the_list_of_runs(tmp_path: Path) -> None:
    train(load_text(BASE, overrides=["training.epochs=1"]))
    (tmp_path / "runs" / "not-a-run").mkdir()
    damaged = tmp_path / "runs" / "damaged"
    shutil.copytree(list_runs(Path("runs"))[0].path, damaged)
    (damaged / "result.json").write_text("{")
    os.utime(damaged / "resolved.yaml", (0, 0))
    found = list_runs(Path("runs"))
    assert [run.status for run in found] == ["completed", "damaged"]
    assert (found[0].data, found[0].model, found[0].metric) == ("digits", "64-16-10 relu", "test_accuracy")
    assert list_runs(Path("nowhere")) == []


@pytest.mark.parametrize("data", ["digits", "iris"])
def test_the_fitted_scaling_is_where_a_person_reads_it(data: str, call: Call) -> None:
    from sklearn.preprocessing import StandardScaler

    Path("x.yaml").write_text(
        f"data: {{name: {data}, scaling: standard}}\nmodel: {{hidden: []}}\noptimizer: sgd\ntraining: {{epochs: 1}}\n"
    )
    shown = call("train", "x.yaml", "--run-dir", "run")
    call("train", "x.yaml", "--seeds", "0,1", "--run-dir", "seeds")
    call("report", "run")

    rows = load_data(load_spec("x.yaml").experiment).train.stored().double().numpy()
    recorded = json.loads(Path("run/environment.json").read_text())["scaling"]
    scaler = StandardScaler().fit(rows.reshape(-1, 1) / 16 if data == "digits" else rows)
    expected = np.column_stack([scaler.mean_, scaler.scale_])
    found = [[one["mean"], one["std"]] for one in recorded["columns"].values() or [recorded]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    [line] = [line for line in shown.out.splitlines() if line.startswith("scaling, fitted on the training rows: ")]
    page = Path("run/report.html").read_text()
    for number in expected.flatten():
        assert f"{number:.6g}"[:7] in line
        assert f"{number:.6g}"[:7] in page
    first, second = (Path(f"seeds/seed-{seed}/environment.json").read_text() for seed in (0, 1))
    assert json.loads(first)["scaling"] == recorded != json.loads(second)["scaling"]
