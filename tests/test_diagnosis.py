"""Networks that are broken in one way each: the diagnosis names what was broken, and what it advises helps."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import mlptrain
from mlptrain.errors import DivergedError, UserError
from mlptrain.experiment import train
from mlptrain.experiment.diagnosis import is_falling
from mlptrain.experiment.trials import best_constant_loss
from mlptrain.nn.losses import make_loss
from mlptrain.nn.network import MLP
from mlptrain.nn.ops import make_op
from mlptrain.nn.parameters import Parameters
from mlptrain.runs import RunFolder
from mlptrain.runs.records import CompletedRun, Diagnosis
from mlptrain.spec import load_text
from mlptrain.spec.load import starting_from
from mlptrain.training.layers import measure_layers

TEXT = """\
name: broken
data: {name: digits, train_size: 600, validation: 0}
model: {hidden: [32, 16]}
optimizer: {name: sgd, lr: 0.1}
training: {epochs: 6, batch_size: 32}
evaluation: {split: none, keep: last}
"""
REGRESSION = "data={name: random_regression, n_samples: 64, validation: 0}"
DEEP = "model={hidden: [24, 24, 24, 24, 24, 24, 24, 24], activation: sigmoid}"
TWO = "data={name: digits, classes: [3, 8], validation: 0}"


@dataclass(frozen=True)
class Broken:
    """What is set, how the run ends, what one of the causes says, and the keys of the remedies."""

    overrides: Sequence[str]
    kind: str
    says: str
    keys: Sequence[str]


SGD = "optimizer={name: sgd, lr: %s}"
ADAM = "optimizer={name: adam, lr: %s}"
CASES = {
    "adam lr 1": Broken([ADAM % 1], "stuck", "give 0 for every one of 600 examples", ["optimizer.lr"]),
    "adam lr 1000": Broken([ADAM % 1000], "stuck", "optimizer.lr: 1000 threw the weights", ["optimizer.lr"]),
    "sgd lr 10": Broken([SGD % 10], "stuck", "optimizer.lr: 10 threw the weights", ["optimizer.lr"]),
    "sgd lr 1e25": Broken([SGD % "1e25"], "diverged", "optimizer.lr: 1e+25 is too high", ["optimizer.lr"]),
    "sgd lr 1e-9": Broken([SGD % "1e-9"], "stuck", "optimizer.lr: 1e-09 moved the weights by only", ["optimizer.lr"]),
    "summed loss": Broken(
        ["loss={name: cross_entropy, reduction: sum}", SGD % 1], "stuck", "optimizer.lr: 1 threw", ["optimizer.lr"]
    ),
    "unscaled": Broken(
        ["data.scaling=none", SGD % 0.5], "stuck", "the inputs are not scaled: from 0 to 16", ["data.scaling"]
    ),
    "scaled to nothing": Broken(
        ["data.scaling={mean: 4.9, std: 6.0}"], "stuck", "the inputs are scaled to an unusual range", ["data.scaling"]
    ),
    "eps 0": Broken(["optimizer={name: adam, eps: 0}"], "diverged", "optimizer.eps: 0 divides by 0", ["optimizer.eps"]),
    "eps 0 in float32": Broken(
        ["optimizer={name: adagrad, eps: 1e-50}"], "diverged", "1e-50, which is 0 in float32", ["optimizer.eps"]
    ),
    "eps 1": Broken(["optimizer={name: adam, eps: 1}"], "stuck", "outweighs the gradients", ["optimizer.eps"]),
    "centred": Broken(
        ["model={hidden: []}", "optimizer={name: rmsprop, lr: 1e-3, alpha: 0.1, centered: true}",
         "training={epochs: 300, batch_size: full}"],
        "diverged", "divides by the standard deviation of each gradient", ["optimizer.centered"],
    ),
    "vanishing": Broken([DEEP], "stuck", "the gradient vanishes", ["model.activation", "model.init"]),
    "zero weights": Broken(
        ["model.init={name: normal, std: 1e-300}"], "stuck", "weights of hidden layer 1 start at 0", ["model.init"]
    ),
    "tiny weights": Broken(["model.init={name: normal, std: 1e-30}"], "stuck", "times smaller than", ["model.init"]),
    "saturated": Broken(
        ["model={hidden: [32], activation: tanh, init: {name: normal, std: 20}}", SGD % 0.001], "slow",
        "times larger than 1/√inputs", ["model.init"],
    ),
    "mse on classes": Broken(["loss=mse", ADAM % 1], "stuck", "threw the weights", ["optimizer.lr"]),
    "mae on classes": Broken(["loss=mae"], "stuck", "9 of 10 one-hot targets are 0", ["loss"]),
    "bce": Broken([TWO, "loss=bce", SGD % "1e-6"], "stuck", "moved the weights by only", ["optimizer.lr"]),
    "regression": Broken([REGRESSION, "loss=mse", SGD % "1e-6"], "stuck", "moved the weights", ["optimizer.lr"]),
    "dead regression": Broken([REGRESSION, "loss=huber", ADAM % 10], "stuck", "threw the weights", ["optimizer.lr"]),
    "one step": Broken(
        [SGD % 0.3, "training={epochs: 1, batch_size: full}"], "stuck", "1 are 1 step in all", ["training.epochs"]
    ),
    "dampening": Broken(
        ["optimizer={name: sgd, lr: 0.03, momentum: 0.9, dampening: 1}"], "stuck", "optimizer.dampening: 1 keeps",
        ["optimizer.dampening"],
    ),
    "clipped to nothing": Broken(
        ["training.clip_norm=1e-6"], "stuck", "training.clip_norm: 1e-06 cuts", ["training.clip_norm"]
    ),
    "elements cut off": Broken(
        ["training.clip_value=1e-8"], "stuck", "training.clip_value: 1e-08 cuts off", ["training.clip_value"]
    ),
    "weights held down": Broken(
        ["training.max_norm=0.01"], "stuck", "training.max_norm: 0.01 holds", ["training.max_norm"]
    ),
    "l1 that outweighs the data": Broken(["training.l1=1"], "stuck", "training.l1: 1 outweighs", ["training.l1"]),
    "augmented beyond recognition": Broken(
        [SGD % 0.1, "augmentation={rotate: 180, noise: 8, elastic: {alpha: 500, sigma: 2}}"], "stuck",
        "augmentation: rotate, elastic, noise may leave too little", ["augmentation"],
    ),
    "disturbed beyond recognition": Broken(
        [SGD % 0.1, "training.adversarial={name: fgsm, epsilon: 30}"], "slow",
        "training.adversarial.epsilon: 30 may turn examples", ["training.adversarial.epsilon"],
    ),
    "decayed to nothing": Broken(
        [SGD % 0.1, "schedule={name: exponential, gamma: 1e-6}"], "stuck", "schedule: 'exponential' leaves",
        ["schedule"],
    ),
    "lowered to nothing": Broken(
        [SGD % 0.1, "schedule={name: plateau, metric: train_loss, patience: 0, factor: 1e-6, threshold: 1}"],
        "stuck", "schedule: 'plateau' has left", ["schedule"],
    ),
    "decay that overshoots": Broken(
        ["optimizer={name: sgd, lr: 0.1, weight_decay: 100}"], "diverged", "takes 10 times every weight away",
        ["optimizer.weight_decay"],
    ),
}  # fmt: skip


def result_of(overrides: Sequence[str], seed: int = 0) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        with suppress(DivergedError):
            train(load_text(TEXT, overrides=[*overrides, f"seed={seed}"]), run_dir=run)
        result = RunFolder.open(run).read_result()
    assert result is not None
    return result.plain()


@pytest.mark.parametrize("name", CASES)
def test_the_cause_is_named_and_its_remedy_helps(name: str) -> None:
    case = CASES[name]
    before = result_of(case.overrides)
    diagnosis = before["diagnosis"]
    assert diagnosis is not None
    texts = [diagnosis["message"], *diagnosis["causes"]]
    assert (diagnosis["kind"], list(case.keys)) == (
        case.kind,
        [key for key in diagnosis["remedies"] if key in case.keys],
    )
    assert any(case.says in cause for cause in diagnosis["causes"]), diagnosis["causes"]
    assert not re.search(r"\b(inf|nan)\b", " ".join(texts))
    after = result_of([*case.overrides, *(f"{key}={value}" for key, value in diagnosis["remedies"].items())])
    assert after["status"] == "completed"
    if "running_train_accuracy" in after["last"]:
        accuracy = before["last"]["running_train_accuracy"] if before["status"] == "completed" else 0.1
        assert after["last"]["running_train_accuracy"] > accuracy + 0.2
    else:
        assert after["last"]["running_train_loss"] < 0.8 * before["last"]["running_train_loss"]
    # What is advised is not what the next diagnosis advises against.
    again = (after["diagnosis"] or {"remedies": {}})["remedies"]
    assert not again.keys() & diagnosis["remedies"].keys(), again


IRIS = "data={name: iris, validation: 0}"
LINEAR = (REGRESSION, "loss=mse", "model.hidden=[]")


@pytest.mark.parametrize(
    ("source", "kept", "broken", "kind"),
    [
        ("learnt", (IRIS, "optimizer={name: adam, lr: 0.01}", "training.epochs=40"), SGD % "1e20", "diverged"),
        ("learnt", (IRIS, "optimizer={name: adam, lr: 0.01}", "training.epochs=40"), SGD % 30, "stuck"),
        # The minimum, from where every rate of small batches leads away.
        ("minimum", (*LINEAR, "training={epochs: 600, batch_size: full}"), SGD % 10, "diverged"),
    ],
)
def test_a_run_from_trained_weights_is_told_a_rate_that_trains(
    tmp_path: Path, source: str, kept: Sequence[str], broken: str, kind: str
) -> None:
    """The trials begin at the weights in the file, and the advised rate neither leaves them there nor loses them."""
    train(load_text(TEXT, overrides=kept), run_dir=tmp_path / source)
    learnt = running_loss(tmp_path / source)

    def started(name: str, *overrides: str) -> dict[str, Any]:
        data = [text for text in kept if not text.startswith(("optimizer", "training"))]
        loaded = load_text(TEXT, overrides=[*data, broken, "training={epochs: 20, batch_size: 8}", *overrides])
        with suppress(DivergedError):
            train(loaded, run_dir=tmp_path / name, from_run=tmp_path / source)
        result = RunFolder.open(tmp_path / name).read_result()
        assert result is not None
        return result.plain()

    diagnosis = started("broken")["diagnosis"]
    assert (diagnosis["kind"], list(diagnosis["remedies"])) == (kind, ["optimizer.lr"])
    after = started("repaired", f"optimizer.lr={diagnosis['remedies']['optimizer.lr']}")
    assert (after["status"], after["diagnosis"]) == ("completed", None)
    assert after["last"]["running_train_loss"] < 1.5 * learnt
    initial, last = (
        load_file(tmp_path / "repaired/checkpoints" / f"{name}.safetensors") for name in ("initial", "last")
    )
    moved = math.dist(*(torch.cat([weights[key].flatten() for key in sorted(weights)]) for weights in (initial, last)))
    assert moved > 0.01 * math.hypot(*torch.cat([tensor.flatten() for tensor in initial.values()]))


def running_loss(run: Path) -> float:
    result = RunFolder.open(run).read_result()
    assert result is not None
    return float(result.plain()["last"]["running_train_loss"])


def test_weights_of_a_dead_network_are_named_as_the_cause(tmp_path: Path) -> None:
    train(load_text(TEXT, overrides=["model.hidden=[16]", ADAM % 100]), run_dir=tmp_path / "dead")
    fresh = load_text(TEXT, overrides=["model.hidden=[16]"])
    train(fresh, run_dir=tmp_path / "run", from_run=tmp_path / "dead")
    result = RunFolder.open(tmp_path / "run").read_result()
    assert result is not None
    diagnosis = result.plain()["diagnosis"]
    assert "gives 0 for every example before the first step" in diagnosis["causes"][0]
    assert "where --from names it, leave that out" in diagnosis["causes"][0]
    [init] = diagnosis["remedies"].items()
    with pytest.raises(UserError, match=r"^model\.init=.* conflicts with starting from the weights in"):
        starting_from(fresh, tmp_path / "dead", overrides=["=".join(init)])
    assert result_of(["model.hidden=[16]", "=".join(init)])["diagnosis"] is None


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "huber"])
def test_a_network_that_learns_has_no_diagnosis(loss: str, seed: int) -> None:
    assert (
        result_of([f"loss={loss}", "optimizer={name: adam, lr: 0.003}", "training.epochs=10"], seed)["diagnosis"]
        is None
    )


UNEQUAL = """\
data: {{name: table, path: {path}, target: y, validation: 0.2}}
model: {{hidden: [16]}}
optimizer: {{name: adam, lr: 0.003}}
training: {{epochs: 8, batch_size: 32}}
"""


def unequal_table(folder: Path) -> Path:
    """Two thousand rows, one in ten of a second class that lies elsewhere, with some overlap."""
    generator = torch.Generator().manual_seed(0)
    rare = torch.arange(2000) % 10 == 0
    x = torch.randn(2000, 3, generator=generator) + 1.5 * rare.unsqueeze(1)
    lines = (f"{a:.4f},{b:.4f},{c:.4f},{'yes' if label else 'no'}" for (a, b, c), label in zip(x, rare, strict=True))
    path = folder / "rows.csv"
    path.write_text("\n".join(["a,b,c,y", *lines]) + "\n")
    return path


def diagnosed(folder: Path, *overrides: str) -> tuple[Diagnosis | None, float]:
    """The diagnosis of a run on unequal classes, and what its constant guess costs."""
    text = UNEQUAL.format(path=unequal_table(folder))
    train(load_text(text, overrides=overrides), run_dir=folder / "run")
    run = RunFolder.open(folder / "run")
    result, guess = run.read_result(), run.read_environment().constant_guess
    assert isinstance(result, CompletedRun)
    assert guess is not None
    cost = guess["loss"]
    assert isinstance(cost, float)
    return result.diagnosis, cost


@pytest.mark.parametrize(
    ("overrides", "kind"),
    [
        (["optimizer={name: sgd, lr: 1e-9}"], "stuck"),
        (["optimizer={name: adam, lr: 1e-5}", "training.epochs=12"], "slow"),
        (["optimizer={name: sgd, lr: 1e-9}", "loss=bce"], "stuck"),
        (["optimizer={name: sgd, lr: 1e-9}", "loss={name: cross_entropy, class_weights: balanced}"], "stuck"),
    ],
)
def test_a_network_that_only_names_the_largest_class_did_not_learn(
    tmp_path: Path, overrides: Sequence[str], kind: str
) -> None:
    diagnosis, guess = diagnosed(tmp_path, *overrides)
    assert diagnosis is not None
    assert (diagnosis.kind, list(diagnosis.remedies)) == (kind, ["optimizer.lr"])
    weighted = any("balanced" in one for one in overrides)
    wanted = math.log(2) if weighted else -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert guess == pytest.approx(wanted, abs=0.01)  # the shares of the training rows are not quite those of all
    assert f"(a constant guess over 2 classes costs {guess:.4f})" in diagnosis.message
    better = f"optimizer.lr={diagnosis.remedies['optimizer.lr']}"
    (tmp_path / "again").mkdir()
    assert diagnosed(tmp_path / "again", *overrides, better)[0] is None


@pytest.mark.parametrize("loss", [
    "cross_entropy", "bce", "mse", "{name: cross_entropy, class_weights: balanced}",
    "{name: cross_entropy, class_weights: balanced, label_smoothing: 0.1}", "{name: cross_entropy, reduction: sum}",
])  # fmt: skip
@pytest.mark.parametrize("epochs", [1, 8])
def test_a_network_that_learns_of_a_rare_class_has_no_diagnosis(tmp_path: Path, loss: str, epochs: int) -> None:
    assert diagnosed(tmp_path, f"loss={loss}", "optimizer.lr=0.01", f"training.epochs={epochs}")[0] is None


def test_where_there_is_nothing_to_learn_no_remedy_is_promised() -> None:
    diagnosis = result_of(["data={name: random_classification, n_samples: 1000, validation: 0}", SGD % 0.01])[
        "diagnosis"
    ]
    assert diagnosis["remedies"] == {}
    assert "the inputs may say little about the targets" in diagnosis["causes"][-1]


def test_a_diagnosis_under_lbfgs_counts_evaluations_and_names_the_cause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A trial has as many evaluations as others have steps."""
    steps = [0, 0]
    of_torch: Any = torch.optim.LBFGS.step

    def step(self: Any, closure: Any) -> Any:
        def counted() -> Any:
            steps[1] += 1
            return closure()

        steps[0] += 1
        return of_torch(self, counted)

    monkeypatch.setattr(torch.optim.LBFGS, "step", step)
    config = {
        "data": "iris",
        "model": {"hidden": [8] * 12, "activation": "sigmoid"},
        "optimizer": {"name": "lbfgs", "max_iter": 200},
        "training": {"epochs": 3, "batch_size": "full"},
    }
    diagnosis = mlptrain.train(config, run_dir=tmp_path / "run").result.diagnosis
    assert diagnosis is not None
    assert set(diagnosis.remedies) == {"model.activation", "model.init"}
    assert steps[0] < 300
    assert steps[1] < 5_000


@pytest.mark.parametrize("broken", [SGD % 1e-6, SGD % 1e9])
def test_a_diagnosis_costs_at_most_1e11_operations_or_as_many_as_the_run(broken: str) -> None:
    """Counted by torch, beside the same run when it learns. Trials of all rates for 40 steps would take 2.1e11."""
    counts, diagnoses = [], []
    for optimizer in (SGD % 0.1, broken):
        with FlopCounterMode(display=False) as counter:
            result = result_of(["model.hidden=[1024, 1024]", optimizer])
        counts.append(counter.get_total_flops())
        diagnoses.append(result["diagnosis"])
    assert diagnoses[0] is None
    assert list(diagnoses[1]["remedies"]) == ["optimizer.lr"]
    assert counts[0] < 5e10
    assert 1e10 < counts[1] - counts[0] < 1e11


@pytest.mark.parametrize(
    ("name", "settings"), [("mse", {}), ("mae", {}), ("huber", {"delta": 0.3}), ("huber", {"delta": 5})]
)
def test_the_best_constant_guess(name: str, settings: dict[str, float]) -> None:
    y = torch.randn(301, 2, generator=torch.Generator().manual_seed(0)).exp()
    text = f"{TEXT}loss: {{name: {name}, {', '.join(f'{key}: {value}' for key, value in settings.items())}}}\n"
    experiment = load_text(text.replace("digits, train_size: 600", "random_regression")).experiment
    delta = settings.get("delta", 1.0)
    reference: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "mse": functional.mse_loss,
        "mae": functional.l1_loss,
        "huber": lambda p, t: functional.huber_loss(p, t, delta=delta),
    }

    def best(column: Tensor) -> float:
        def cost(guess: float) -> float:
            return float(reference[name](torch.full_like(column, guess), column))

        return float(minimize_scalar(cost, bounds=(0, 20)).fun)

    best_of_columns = [best(column) for column in y.double().T]
    found = best_constant_loss(experiment, make_loss(experiment.loss), y)
    assert found == pytest.approx(sum(best_of_columns) / 2, rel=1e-6)


def test_is_falling() -> None:
    assert is_falling([3, 2.9, 2.8, 2.7])
    assert not is_falling([3, 2.9, 2.8, 2.81])
    assert not is_falling([2.3026, 2.30259, 2.302589])
    assert not is_falling([2.3])


@pytest.mark.parametrize("scale", [1.0, 1e20])
def test_the_figures_of_layers_are_those_of_autograd(scale: float) -> None:
    """Also of weights whose norm and activations leave float32."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 7), nn.Sigmoid(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    network = MLP.of([5, 7, 6, 3], hidden=[], output=[], bias=True)
    names = [f"layers.{index}.{kind}" for index in range(3) for kind in ("weight", "bias")]
    parameters = Parameters.zeros({name: tuple(p.shape) for name, p in zip(names, module.parameters(), strict=True)})
    ops = {"sigmoid": load_text(TEXT, overrides=["model.activation=sigmoid"]), "relu": load_text(TEXT)}
    sigmoid, relu = (make_op(ops[name].experiment.model.activation) for name in ("sigmoid", "relu"))
    layers = list(network.layers)
    object.__setattr__(layers[0], "ops", (sigmoid,))
    object.__setattr__(layers[1], "ops", (relu,))
    parameters.copy_({name: p.detach() * scale for name, p in zip(names, module.parameters(), strict=True)})
    with torch.no_grad():
        for p, name in zip(module.parameters(), names, strict=True):
            p.copy_(parameters[name])
    x, labels = torch.randn(40, 5), torch.arange(40) % 3
    figures = measure_layers(network, parameters, loss=make_loss(load_text(TEXT).experiment.loss), x=x, targets=labels)
    activations, y = [], x.double()
    for index, layer in enumerate(module):
        y = layer(y)
        if index in (1, 3, 4):
            activations.append(y.detach())
    inner = [parameter for parameter in module.parameters() if parameter.dim() == 2]
    gradients = torch.autograd.grad(functional.cross_entropy(y, labels), inner)
    for figure, a, gradient in zip(figures, activations, gradients, strict=True):
        assert figure.mean == pytest.approx(float(a.mean()))
        assert figure.std == pytest.approx(float(a.std(correction=0)))
        assert figure.zeros == pytest.approx(float((a == 0).double().mean()))
        assert figure.gradient == pytest.approx(float(gradient.norm()), rel=1e-6, abs=1e-300)
        assert all(math.isfinite(value) for value in vars(figure).values() if isinstance(value, float))
    slope = 4 * activations[0] * (1 - activations[0])
    assert figures[0].flat == pytest.approx(float((slope < 0.005).double().mean()))
    assert figures[0].idle == pytest.approx(float((slope < 0.005).all(dim=0).double().mean()))
