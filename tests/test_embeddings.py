"""Embedded inputs from the configuration to the run folder: every command, exact repetition, other seeds beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mlptrain.errors import InterruptedRunError
from mlptrain.experiment import resume, train, train_seeds
from mlptrain.experiment.build import load_data
from mlptrain.inference.evaluate import evaluate_checkpoint
from mlptrain.inference.module import load
from mlptrain.spec import Loaded, load_spec, load_text
from mlptrain.spec.data import SpiralsData
from mlptrain.spec.inputs import InputLayout
from tests import catalogue
from tests.command import Call
from tests.listeners import interrupting
from tests.tables import Table

LAYOUT = InputLayout(7, (0, 1, 3, 4), ((2, 3),))  # columns 5 and 6 are read as they are
CONFIG = """\
name: fruit
data: {name: spirals, validation: 0.25}
model: {hidden: [9], numeric_embedding: {name: piecewise_linear, bins: 8, size: 3}, embedding: 2}
optimizer: {name: adam, lr: 0.02}
training: {epochs: 4, batch_size: 20, device: cpu, threads: 1, precision: highest}
"""
COMPARED = ("metrics.jsonl", "checkpoints/last.safetensors", "checkpoints/best.safetensors")


@pytest.fixture(autouse=True)
def _table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours are slots, of which a third has no rows."""
    monkeypatch.chdir(tmp_path)
    table = Table()
    numbers = [0, 1, 3, 4, 5, 6]
    table.x[:, numbers] /= table.x[:, numbers].std(axis=0)
    table.put_in_place(monkeypatch)
    monkeypatch.setattr(SpiralsData, "layout", lambda *_: LAYOUT)
    Path("fruit.yaml").write_text(CONFIG)


def fruit(*overrides: str) -> Loaded:
    return load_text(CONFIG, overrides=overrides)


EMBEDDINGS = [f"model.numeric_embedding={catalogue.yaml(*case)}" for case in catalogue.cases(catalogue.EMBEDDINGS)]


@pytest.mark.parametrize("embedding", ["model.numeric_embedding=none", *EMBEDDINGS, "model.input_dropout=0.1"])
def test_killed_runs_and_averages_resume_to_the_same_bytes(embedding: str) -> None:
    overrides = (embedding, "training.ema=0.9", "model.dropout=0.2")
    train(fruit(*overrides), run_dir=Path("whole"))
    with pytest.raises(InterruptedRunError, match="signal"):
        train(fruit(*overrides), run_dir=Path("part"), listeners=[interrupting(2)])
    resume(Path("part"))
    for file in COMPARED:
        assert Path("whole", file).read_bytes() == Path("part", file).read_bytes(), file


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_seeds_train_together_as_alone(embedding: str) -> None:
    """Their splits differ, and so do the bins that are fitted on them."""
    outcome = train_seeds(fruit(embedding), [0, 1, 2], run_dir=Path("group"))
    for seed, member in enumerate(outcome.outcomes):
        alone = train(fruit(embedding, f"seed={seed}"), run_dir=Path(f"alone-{seed}"))
        one, other = (load(found.folder.path).state_dict() for found in (member, alone))
        for name, values in one.items():
            torch.testing.assert_close(values, other[name], rtol=1e-4, atol=1e-5, msg=name)


def test_bins_are_fitted_on_training_rows_and_stay() -> None:
    outcome = train(fruit(), run_dir=Path("run"))
    splits = load_data(fruit().experiment)
    expected = np.quantile(splits.train.inputs[:, list(LAYOUT.numeric)].double().numpy(), np.linspace(0, 1, 9), axis=0)
    for name in ("best", "last"):
        found = load(outcome.folder.path / "checkpoints" / f"{name}.safetensors").get_buffer("layers.0.numeric_edges")
        np.testing.assert_allclose(found.numpy(), expected.T, rtol=1e-6)


def test_a_loaded_network_gives_the_figures_of_the_run_and_can_be_exported(call: Call) -> None:
    outcome = train(fruit(), run_dir=Path("run"))
    network, rows = load("run"), load_data(fruit().experiment).validation
    assert rows is not None
    with torch.no_grad():
        outputs = network(rows.inputs)
    assert float(torch.nn.functional.cross_entropy(outputs, rows.targets)) == pytest.approx(
        outcome.result.plain()["kept"]["validation_loss"], rel=1e-6
    )
    found = evaluate_checkpoint("run", split="validation")
    assert found["loss"] == pytest.approx(outcome.result.plain()["kept"]["validation_loss"], rel=1e-6)
    assert call("export", "run", "--to", "npz", "--out", "run.npz").code == 0
    with np.load("run.npz") as arrays:
        assert arrays["layers.0.category_0"].shape == (3, 2)
        for moment in ("", "initial.", "last."):
            np.testing.assert_array_equal(
                arrays[f"{moment}layers.0.numeric_edges"], network.get_buffer("layers.0.numeric_edges")
            )
        assert not np.array_equal(arrays["layers.0.category_0"], arrays["initial.layers.0.category_0"])
        np.testing.assert_array_equal(arrays["layers.0.category_0"][2], arrays["initial.layers.0.category_0"][2])


def test_training_starts_from_the_weights_and_bins_of_another_run() -> None:
    train(fruit(), run_dir=Path("run"))
    with pytest.warns(UserWarning, match="seed 3 draws other validation rows") as warned:
        started = train(fruit("training.epochs=0", "seed=3"), run_dir=Path("more"), from_run="run")
    assert warned[0].filename == __file__
    one, other = load("run").state_dict(), load(started.folder.path).state_dict()
    assert all(torch.equal(values, other[name]) for name, values in one.items())


def test_check_counts_and_names_it(call: Call) -> None:
    [report] = call("check", "fruit.yaml", "--json").json
    first = report["layers"][0]
    assert report["model"] == "16-9-4 relu, piecewise linear embedding, category embedding"
    assert first["inputs"] == 4 * 3 + 2 + 2
    assert first["operations"] == [
        "piecewise linear embedding of 4 numbers (bins 8, size 3)", "embedding of 1 category (2 wide)", "relu",
    ]  # fmt: skip
    assert first["tensors"] == {
        "weight": [9, 16], "bias": [9], "numeric_weight": [4, 3, 8], "numeric_bias": [4, 3], "category_0": [3, 2],
    }  # fmt: skip
    assert first["parameters"] == 9 * 16 + 9 + 4 * 3 * 8 + 4 * 3 + 3 * 2
    assert (report["parameters"], report["statistics"]) == (first["parameters"] + 4 * 9 + 4, 4 * 9)


def test_other_commands(call: Call) -> None:
    assert call("train", "fruit.yaml", "--run-dir", "run", "--set", "training.record_layers=true").code == 0
    assert call("gradcheck", "fruit.yaml").code == 0
    assert call("gradcheck", "run").code == 0
    assert call("plot", "layers", "run", "--out", "layers.png").code == 0
    assert call("report", "run").code == 0
    assert "piecewise linear embedding of 4 numbers" in Path("run/report.html").read_text()


def test_a_network_that_does_not_learn_is_diagnosed(call: Call) -> None:
    stuck = call("train", "fruit.yaml", "--run-dir", "run", "--set", "optimizer.lr=1e-7", "--json")
    assert stuck.json["diagnosis"]["kind"] in ("stuck", "slow")
    assert "optimizer.lr" in stuck.json["diagnosis"]["remedies"]


@pytest.mark.parametrize(
    ("override", "path", "says"),
    [
        ("augmentation.noise=0.1", "augmentation.noise", "embedded cannot be changed a little"),
        ("training.adversarial=vat", "training.adversarial", "embedded cannot be disturbed a little"),
    ],
)
def test_a_slot_is_no_number(override: str, path: str, says: str, call: Call) -> None:
    refused = call("check", "fruit.yaml", "--set", override)
    assert refused.code == 2
    assert path in refused.err
    assert says in refused.err


def test_where_there_is_nothing_to_embed(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpiralsData, "layout", lambda *_: InputLayout(7, ()))
    refused = call("check", "fruit.yaml")
    assert refused.code == 2
    assert "model.numeric_embedding: embeds numbers, and 'spirals' has none among its inputs" in refused.err
    warned = call("check", "fruit.yaml", "--set", "model.numeric_embedding=none")
    assert "model.embedding: has no effect: no column is encoded by embedding" in warned.err + warned.out


TABLE = """\
name: shops
data: {name: table, path: shops.csv, target: sold, categorical: {encoding: embedding}, validation: 20}
model: {hidden: [8], numeric_embedding: pbld, embedding: 3, members: {k: 2, kind: mini}}
loss: mse
optimizer: {name: adam, lr: 0.02}
training: {epochs: 3, batch_size: 20, device: cpu, threads: 1, precision: highest}
evaluation: {}
"""


def test_categories_of_a_file_are_slots_that_have_vectors(call: Call) -> None:
    """Slots of levels, one of all others, one of missing values; only what training has seen has a vector."""
    generator = np.random.default_rng(1)
    lines = [
        f"{generator.choice(['north', 'south', ''])},{generator.normal():.3f},{generator.choice(['a', 'b', 'c'])},"
        f"{generator.normal():.3f}"
        for _ in range(120)
    ]
    Path("shops.csv").write_text("\n".join(["region,size,kind,sold", *lines]))
    Path("shops.yaml").write_text(TABLE)
    experiment = load_spec(Path("shops.yaml")).experiment
    assert experiment.layout == InputLayout(3, numeric=(1,), coded=((0, 4), (2, 5)))
    assert experiment.widths == (4 + 3 + 3, 8, 1)
    assert call("train", "shops.yaml", "--run-dir", "run").code == 0
    rows = load_data(experiment).train.inputs
    assert set(rows[:, 0].tolist()) == {0.0, 1.0, 3.0}
    assert set(rows[:, 2].tolist()) == {0.0, 1.0, 2.0}
    network = load("run")
    values = dict(network.named_parameters())
    first = network.layers[0]
    without = first(torch.cat([torch.tensor([-1.0]).expand(1, 1), rows[:1, 1:]], dim=1))
    values["layers.0.category_0"].data[:] = 0
    torch.testing.assert_close(first(rows[:1]), without)
    assert call("gradcheck", "run").code == 0
    assert call("eval", "run").code == 0
    refused = call("check", "shops.yaml", "--set", "data.columns={size: drop}")
    assert refused.code == 2
    assert "embeds numbers, and 'shops.csv' has none among its inputs" in refused.err
