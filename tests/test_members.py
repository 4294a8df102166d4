"""An ensemble in one network from the configuration to the run folder: figures are those of the mean probability."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics

from mlptrain.errors import InterruptedRunError
from mlptrain.experiment import resume, train, train_seeds
from mlptrain.experiment.build import load_data
from mlptrain.inference.evaluate import evaluate_checkpoint
from mlptrain.inference.module import TrainedNetwork, load
from mlptrain.spec import Loaded, load_text
from tests.command import Call
from tests.listeners import interrupting

CONFIG = """\
name: iris
data: {name: iris, validation: 0.2}
model: {hidden: [12, 12], members: 5, dropout: 0.1}
optimizer: {name: adam, lr: 0.01}
training: {epochs: 6, batch_size: 32, device: cpu, threads: 1, precision: highest}
evaluation: {metrics: [log_loss, roc_auc]}
"""
COMPARED = ("metrics.jsonl", "checkpoints/last.safetensors", "checkpoints/best.safetensors")
KINDS = pytest.mark.parametrize("kind", ["members=5", "members={k: 5, kind: mini}"])


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("iris.yaml").write_text(CONFIG)


def iris(*overrides: str) -> Loaded:
    return load_text(CONFIG, overrides=overrides)


def of_members(network: TrainedNetwork, x: torch.Tensor) -> torch.Tensor:
    """Outputs (members, n, outputs), by loops over the parameters."""
    values: dict[str, torch.Tensor] = dict(network.named_parameters())
    k = network.experiment.model.members.k
    found, last = [], len(network.layers) - 1
    for member in range(k):
        y = x
        for index in range(last + 1):
            weight, bias = values[f"layers.{index}.weight"], values[f"layers.{index}.bias"]
            if index == last:
                weight, bias = weight.chunk(k)[member], bias.chunk(k)[member]
            y = y * values[f"layers.{index}.input_scale"][member] if f"layers.{index}.input_scale" in values else y
            y = y @ weight.t()
            y = y * values[f"layers.{index}.output_scale"][member] if f"layers.{index}.output_scale" in values else y
            y = y + (bias[member] if bias.dim() == 2 else bias)
            y = y if index == last else y.relu()
        found.append(y)
    return torch.stack(found).detach()


@KINDS
def test_every_figure_is_that_of_the_mean_probability(kind: str) -> None:
    """Against scikit-learn on the mean over a loop; the run keeps its best epoch by them too."""
    outcome = train(iris(f"model.{kind}"), run_dir=Path("run"))
    network, rows = load("run"), load_data(iris().experiment).validation
    assert rows is not None
    mean = of_members(network, rows.inputs).double().softmax(dim=2).mean(dim=0).numpy()
    labels = rows.targets.numpy()
    kept = outcome.result.plain()["kept"]
    expected = metrics.log_loss(labels, mean, labels=range(3))
    assert kept["validation_loss"] == pytest.approx(expected, rel=1e-5)
    assert kept["validation_log_loss"] == pytest.approx(expected, rel=1e-5)
    assert kept["validation_accuracy"] == metrics.accuracy_score(labels, mean.argmax(axis=1))
    assert kept["validation_roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, mean, multi_class="ovr"))
    losses = [json.loads(line)["validation_loss"] for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert kept["validation_loss"] == min(losses)
    assert evaluate_checkpoint("run", split="validation")["loss"] == pytest.approx(expected, rel=1e-5)
    raw = torch.from_numpy(load_data(iris().experiment).train.stored().numpy()[:4])
    of_raw = of_members(network, network.preprocess(raw)).double().softmax(dim=2).mean(dim=0)
    torch.testing.assert_close(network.predict_proba(raw), of_raw, rtol=1e-5, atol=1e-7)


def test_values_of_a_regression_are_the_mean_of_the_members() -> None:
    text = "{name: random_regression, n_samples: 200, n_features: 4, n_targets: 2}"
    overrides = (f"data={text}", "loss=mse", "evaluation={}")
    outcome = train(iris(*overrides), run_dir=Path("run"))
    network, rows = load("run"), load_data(iris(*overrides).experiment).validation
    assert rows is not None
    mean = of_members(network, rows.inputs).mean(dim=0)
    torch.testing.assert_close(network(rows.inputs), mean)
    expected = metrics.mean_squared_error(rows.targets.numpy(), mean.numpy())
    assert outcome.result.plain()["kept"]["validation_loss"] == pytest.approx(expected, rel=1e-5)


@KINDS
def test_killed_runs_resume_to_the_same_bytes(kind: str) -> None:
    overrides = (f"model.{kind}", "training.ema=0.9", "model.norm=layer")
    train(iris(*overrides), run_dir=Path("whole"))
    with pytest.raises(InterruptedRunError):
        train(iris(*overrides), run_dir=Path("part"), listeners=[interrupting(2)])
    resume(Path("part"))
    for file in COMPARED:
        assert Path("whole", file).read_bytes() == Path("part", file).read_bytes(), file


@KINDS
def test_seeds_train_together_as_alone(kind: str) -> None:
    outcome = train_seeds(iris(f"model.{kind}"), [0, 1], run_dir=Path("group"))
    for seed, member in enumerate(outcome.outcomes):
        alone = train(iris(f"model.{kind}", f"seed={seed}"), run_dir=Path(f"alone-{seed}"))
        one, other = (load(found.folder.path).state_dict() for found in (member, alone))
        for name, values in one.items():
            torch.testing.assert_close(values, other[name], rtol=1e-4, atol=1e-5, msg=name)


def test_an_ensemble_beats_its_members_on_average() -> None:
    """The loss of the mean is below the mean of the losses, by convexity."""
    train(iris(), run_dir=Path("run"))
    network, rows = load("run"), load_data(iris().experiment).test
    assert rows is not None
    losses = [float(torch.nn.functional.cross_entropy(one, rows.targets)) for one in of_members(network, rows.inputs)]
    assert len(set(losses)) == 5
    assert evaluate_checkpoint("run", split="test")["loss"] < np.mean(losses)


def test_check_counts_and_names_them(call: Call) -> None:
    [report] = call("check", "iris.yaml", "--json").json
    assert report["model"] == "4-12-12-3 relu, dropout 0.1, 5 members"
    operations = [layer["operations"] for layer in report["layers"]]
    assert operations == [
        ["relu", "dropout 0.1", "5 members: scaled inputs and outputs"],
        ["relu", "dropout 0.1", "5 members: scaled inputs and outputs"],
        ["identity", "5 members: weights of their own"],
    ]
    assert report["layers"][0]["tensors"] == {
        "weight": [12, 4], "bias": [5, 12], "input_scale": [5, 4], "output_scale": [5, 12],
    }  # fmt: skip
    assert report["layers"][2]["tensors"] == {"weight": [15, 12], "bias": [15]}
    scaled = sum(12 * inputs + 5 * (12 + inputs + 12) for inputs in (4, 12))
    assert report["parameters"] == scaled + 15 * 12 + 15


def test_other_commands(call: Call) -> None:
    more = ("--set", "training.record_layers=true", "--set", "evaluation.calibrate=temperature")
    assert call("train", "iris.yaml", "--run-dir", "run", *more).code == 0
    assert call("gradcheck", "run").code == 0
    assert call("plot", "layers", "run", "--out", "layers.png").code == 0
    assert call("report", "run").code == 0
    assert call("export", "run", "--to", "npz", "--out", "run.npz").code == 0
    [prediction] = call("predict", "run", "--index", "0", "--json").json
    assert sum(prediction["probabilities"]) == pytest.approx(1)
    stuck = call("train", "iris.yaml", "--run-dir", "stuck", "--set", "optimizer.lr=1e-7", "--json")
    assert stuck.json["diagnosis"]["kind"] in ("stuck", "slow")


def test_training_statistics_of_batch_norm_are_those_of_all_members(call: Call) -> None:
    more = ("--set", "model.norm=batch", "--set", "training.norm_statistics=training_rows")
    assert call("train", "iris.yaml", "--run-dir", "run", *more).code == 0
    assert call("eval", "run").code == 0
