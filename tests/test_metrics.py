"""`mlptrain metrics` and ``mlptrain.metrics``: a run's log in columns, its units held against the losses themselves."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mlptrain
from mlptrain.data.batches import epoch_order
from mlptrain.errors import RunFolderError, UserError
from mlptrain.experiment.build import build_network, initial_parameters, load_data
from mlptrain.spec import load_text
from tests.command import Call

CONFIG = """\
name: small
data: {name: digits, validation: 100}
model: {hidden: [16]}
loss: {name: cross_entropy, reduction: sum}
optimizer: {name: sgd, lr: 0.001}
training: {epochs: 3, batch_size: 100, record_steps: true, device: cpu}
"""
ROWS, STEPS, VALIDATION = 1337, 14, 100  # of training: 13 batches of 100 and one of 37


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("metrics") / "run"
    mlptrain.train(load_text(CONFIG), run_dir=folder)
    return folder


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def first_batches(count: int) -> list[tuple[float, int, int]]:
    """Summed loss, correct and number of examples of the first steps, trained by torch's own loop."""
    experiment = load_text(CONFIG).experiment
    rows = load_data(experiment).train
    layers: list[torch.nn.Module] = [torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10)]
    model = torch.nn.Sequential(*layers)
    parameters = initial_parameters(experiment, build_network(experiment))
    for parameter, value in zip(model.parameters(), parameters.values(), strict=True):
        parameter.data.copy_(value)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    found = []
    for batch in torch.split(epoch_order(ROWS, seed=0, epoch=1, shuffle=True), 100)[:count]:
        x, y = rows.inputs[batch], rows.targets[batch]
        outputs = model(x)
        loss = torch.nn.functional.cross_entropy(outputs, y, reduction="sum")
        found.append((loss.item(), int((outputs.argmax(dim=1) == y).sum()), len(y)))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return found


def test_by_epoch_the_columns_are_the_log(run: Path) -> None:
    columns = mlptrain.metrics(run)
    names = {"running_train_loss": "train_loss", "running_train_accuracy": "train_accuracy"}
    assert list(columns) == ["epoch", "step", "lr", *names, "validation_loss", "validation_accuracy"]
    for name, values in columns.items():
        expected = [line.get(names.get(name, name), math.nan) for line in log(run)]
        np.testing.assert_array_equal(values, expected)
    assert np.isnan(columns["running_train_loss"]).tolist() == [True, False, False, False]
    assert columns["epoch"].dtype == columns["step"].dtype == np.int64


def test_sums_are_those_of_a_plain_loop(run: Path) -> None:
    """By step what a notebook adds up, loss.item() with reduction sum, and by epoch all of that."""
    steps = mlptrain.metrics(str(run), by="step", reduction="sum")
    assert list(steps) == ["step", "epoch", "examples", "batch_loss_sum", "batch_correct"]
    expected = first_batches(STEPS)
    assert [int(value) for value in steps["examples"][:STEPS]] == [examples for *_, examples in expected]
    assert steps["examples"][:STEPS].sum() == ROWS
    np.testing.assert_allclose(steps["batch_loss_sum"][:STEPS], [loss for loss, *_ in expected], rtol=1e-4)
    assert steps["batch_correct"][:STEPS].tolist() == [correct for _, correct, _ in expected]
    epochs = mlptrain.metrics(run, reduction="sum")
    for epoch in (1, 2, 3):
        of_epoch = steps["epoch"] == epoch
        assert epochs["running_train_loss_sum"][epoch] == pytest.approx(steps["batch_loss_sum"][of_epoch].sum())
        assert epochs["running_train_correct"][epoch] == steps["batch_correct"][of_epoch].sum()
    means = mlptrain.metrics(run)
    np.testing.assert_allclose(epochs["validation_loss_sum"], VALIDATION * means["validation_loss"])
    assert (epochs["validation_correct"] % 1 == 0).all()


def test_means_by_step(run: Path) -> None:
    steps = mlptrain.metrics(run, by="step")
    with np.load(run / "steps.npz") as recorded:
        np.testing.assert_array_equal(steps["batch_loss"], recorded["loss"])
        np.testing.assert_array_equal(steps["batch_accuracy"], recorded["accuracy"])
    assert steps["step"].tolist() == list(range(1, 3 * STEPS + 1))
    assert steps["epoch"].tolist() == [1 + step // STEPS for step in range(3 * STEPS)]


def test_csv_gives_back_every_bit(call: Call, run: Path) -> None:
    for arguments in ([], ["--by", "step"], ["--reduction", "sum"], ["--by", "step", "--reduction", "sum"]):
        printed = call("metrics", str(run), *arguments, "--csv")
        assert printed.code == 0
        header, *rows = csv.reader(io.StringIO(printed.out))
        options = dict(zip((name.removeprefix("--") for name in arguments[::2]), arguments[1::2], strict=True))
        columns = mlptrain.metrics(run, **options)
        assert header == list(columns)
        for name, cells in zip(header, zip(*rows, strict=True), strict=True):
            values = [float(cell) if cell else math.nan for cell in cells]
            np.testing.assert_array_equal(values, columns[name], err_msg=name)
        assert call("metrics", str(run), *arguments, "--out", "table.csv").out == "table.csv\n"
        assert Path("table.csv").read_text() == printed.out
    assert call("metrics", str(run), "--reduction", "sum", "--csv").out.splitlines()[2].split(",")[4].isdigit()


def test_the_table_says_its_units(call: Call, run: Path) -> None:
    assert call("metrics", str(run)).out.startswith("losses are means per example:\n")
    assert "sums over the examples" in call("metrics", str(run), "--reduction", "sum").out
    shown = call("metrics", str(run), "--by", "step")
    assert shown.out.startswith("losses are means per example of the step's batch, before the step:\n")
    assert "a row for every 2 of 42 steps; --every 1 shows all of them" in shown.err
    some = call("metrics", str(run), "--by", "step", "--every", "10", "--json")
    assert [row["step"] for row in some.json["rows"]] == [10, 20, 30, 40, 42]
    assert call("metrics", str(run), "--by", "step", "--every", "10").err == ""
    assert call("metrics", str(run), "--json").json["rows"][0]["running_train_loss"] is None


def test_regression_and_other_splits(call: Call) -> None:
    text = "data: {name: random_regression, validation: 0}\nmodel: {hidden: [4]}\nloss: mse\noptimizer: sgd\n"
    mlptrain.train(load_text(f"{text}training: {{epochs: 2, device: cpu}}\n"), run_dir=Path("regression"))
    assert list(mlptrain.metrics("regression")) == ["epoch", "step", "lr", "running_train_loss"]
    assert "–" in call("metrics", "regression").out  # epoch 0


def test_what_cannot_be_shown(call: Call, run: Path) -> None:
    without = Path(shutil.copytree(run, "without"))
    (without / "steps.npz").unlink()
    resolved = (without / "resolved.yaml").read_text()
    (without / "resolved.yaml").write_text(resolved.replace("record_steps: true", "record_steps: false"))
    for arguments, message in (
        (["absent"], "no such run folder"),
        (["without", "--by", "step"], "no steps on record; train with --set training.record_steps=true"),
        ([str(run), "--by", "batch"], "by 'batch': choose epoch or step"),
        ([str(run), "--reduction", "none"], "reduction 'none': choose mean or sum"),
        ([str(run), "--json", "--csv"], "name one of the two"),
        ([str(run), "--out", "table.txt"], "ends in .csv"),
        ([str(run), "--out", "no/table.csv"], "no folder no"),
    ):
        result = call("metrics", *arguments)
        assert (result.code, result.out) == (2, "")
        assert message in result.err
    with pytest.raises(UserError, match="choose epoch or step"):
        mlptrain.metrics(run, by="steps")
    (without / "metrics.jsonl").write_text("")
    with pytest.raises(RunFolderError, match="no epoch on record yet"):
        mlptrain.metrics(without)
