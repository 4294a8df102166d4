"""`mlptrain gradcheck`: every shipped configuration passes, and planted mistakes end with exit code 1."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mlptrain
from mlptrain.checks.gradients import gradcheck
from mlptrain.cli import main
from mlptrain.errors import UserError
from mlptrain.experiment import train_seeds
from mlptrain.experiment.build import build_network, build_trainer, initial_parameters, load_data
from mlptrain.nn.losses import CrossEntropy
from mlptrain.nn.ops.rectifiers import ReLU
from mlptrain.spec import load_spec, load_text
from tests.catalogue import OPTIMIZERS as ROWS
from tests.catalogue import optimizer_section

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))
DIGITS = str(Path(__file__).parent.parent / "configs" / "digits.yaml")


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """Products this small only lose by a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_passes(config: Path, request: pytest.FixtureRequest) -> None:
    needs_files = load_spec(config).spec.data.name in ("mnist", "fashion_mnist")
    folder = request.getfixturevalue("data_dir") if needs_files else None
    check = gradcheck(load_spec(config, ["training.threads=1"]), data_dir=folder)
    assert check.passed, check.verdict
    total = sum(math.prod(one.shape) for one in check.parameters)
    assert sum(one.checked for one in check.parameters) >= min(51, total)


def test_the_batch_is_the_first_that_training_takes() -> None:
    """The objective is the loss of the first step, which record_steps would show."""
    loaded = load_spec(DIGITS, ["training.device=cpu", "training.threads=1"])
    trainer = build_trainer([loaded.experiment], [load_data(loaded.experiment)])
    [epoch] = next(trainer.epochs(first=1, last=1, should_stop=lambda: False))
    assert epoch is not None
    assert epoch.step_losses is not None
    check = gradcheck(loaded)
    assert check.rows == 32
    assert check.objective == pytest.approx(float(epoch.step_losses[0]), rel=1e-6)


def test_a_check_repeats_itself() -> None:
    assert gradcheck(DIGITS) == gradcheck(DIGITS)


def run(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return int(ended.value.code or 0), out, err


def test_the_command_shows_a_table_and_a_verdict(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(["gradcheck", DIGITS], capfd)
    assert code == 0
    lines = out.splitlines()
    assert next(line.split()[:2] for line in lines if "layers." in line) == ["layers.0.weight", "64×64"]
    assert "agree for all 6 parameter tensors (706 coordinates by differences" in lines[-1]


def test_json_keys(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(["gradcheck", DIGITS, "--set", "model.hidden=[5]", "--json"], capfd)
    report = json.loads(out)
    assert code == 0
    assert list(report) == [
        "config",
        "epoch",
        "rows",
        "objective",
        "penalty",
        "epsilon",
        "tolerances",
        "parameters",
        "passed",
        "verdict",
    ]
    assert [one["name"] for one in report["parameters"]] == [
        f"layers.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")
    ]
    assert list(report["parameters"][0]) == [
        "name",
        "shape",
        "gradient_norm",
        "autograd_error",
        "difference_error",
        "checked",
        "left_out",
        "passed",
    ]
    assert report["parameters"][0]["shape"] == [5, 64]
    assert report["parameters"][0]["checked"] + report["parameters"][0]["left_out"] == 200


def plant_in_activation(monkeypatch: pytest.MonkeyPatch, change: Callable[[Tensor], Tensor]) -> None:
    right = ReLU.backward_

    def backward_(self: ReLU, upstream: Tensor, z: Tensor, y: Tensor) -> Tensor:
        return change(right(self, upstream, z, y))

    monkeypatch.setattr(ReLU, "backward_", backward_)


def test_a_wrong_activation_derivative_is_caught(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    plant_in_activation(monkeypatch, lambda delta: delta.mul_(1.001))
    code, out, _ = run(["gradcheck", DIGITS, "--json"], capfd)
    report = json.loads(out)
    passed = {one["name"]: one["passed"] for one in report["parameters"]}
    assert code == 1
    assert not report["passed"]
    # The last layer lies above every ReLU, so its own gradient is right.
    assert [name for name, right in passed.items() if right] == ["layers.2.weight", "layers.2.bias"]
    assert report["parameters"][0]["difference_error"] > 1e-5
    assert "layers.0.weight" in report["verdict"]


def test_a_derivative_that_is_not_a_number_is_caught(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    plant_in_activation(monkeypatch, lambda delta: delta.fill_(torch.nan))
    code, out, _ = run(["gradcheck", DIGITS, "--json"], capfd)
    first = json.loads(out)["parameters"][0]
    assert code == 1
    assert (first["passed"], first["autograd_error"], first["difference_error"]) == (False, None, None)
    assert gradcheck(DIGITS).parameters[0].difference_error == math.inf


def test_a_wrong_loss_gradient_is_caught(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    right = CrossEntropy.write_gradient

    def without_the_mean(self: CrossEntropy, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        summed = self.section.model_copy(update={"reduction": "sum"})
        right(replace(self, section=summed), outputs, targets, out)

    monkeypatch.setattr(CrossEntropy, "write_gradient", without_the_mean)
    code, out, _ = run(["gradcheck", DIGITS], capfd)
    assert code == 1
    assert out.count("WRONG") == 6
    assert "The gradients disagree for layers.0.weight" in out


def test_a_gradient_that_is_not_finite_is_refused() -> None:
    loaded = load_text(
        "data: {name: random_regression}\nmodel: {hidden: [5], activation: identity, init: {name: normal, std: 1e30}}\n"
        "loss: mse\noptimizer: sgd\n"
    )
    deep = loaded.spec.model.model_copy(update={"hidden": [5] * 8})
    with pytest.raises(UserError, match="not finite"):
        gradcheck(replace(loaded, experiment=loaded.experiment.changed(model=deep)))


def test_a_wrong_config_is_exit_code_two(capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(["gradcheck", DIGITS, "--set", "loss=bce"], capfd)
    assert code == 2
    assert "needs exactly two classes" in err


REGRESSION = str(Path(__file__).parent.parent / "configs" / "regression_by_heart.yaml")


@pytest.mark.parametrize("config", [DIGITS, REGRESSION], ids=["digits", "regression"])
def test_dropout_and_penalty_are_those_of_the_first_step(config: str) -> None:
    """The loss of the step is the training's own; the penalty is λ/2 · Σ w² of the initial weights."""
    loaded = load_spec(
        config,
        ["training.threads=1", "model.dropout=0.4", "optimizer.weight_decay=2", "training.record_steps=true"],
    )
    trainer = build_trainer([loaded.experiment], [load_data(loaded.experiment)])
    penalty = sum(float(value.double().square().sum()) for value in trainer.model().parameters.values())
    [epoch] = next(trainer.epochs(first=1, last=1, should_stop=lambda: False))
    assert epoch is not None
    assert epoch.step_losses is not None
    check = gradcheck(loaded)
    assert check.passed is True, check
    assert check.penalty == pytest.approx(penalty, rel=1e-12)
    assert check.objective == pytest.approx(float(epoch.step_losses[0]) + penalty, rel=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_l1_and_decay_of_weights_alone_are_part_of_the_objective(name: str) -> None:
    """But for decoupled decay; the weights are the tensors with two dimensions."""
    experiment = load_spec(
        REGRESSION,
        [f"optimizer={{name: {name}, weight_decay: 2, weight_decay_for: weights}}", "training.l1=0.5"],
    )
    parameters = initial_parameters(experiment.experiment, build_network(experiment.experiment))
    weights = [values.double() for values in parameters.values() if values.dim() == 2]
    decayed = sum(float(values.square().sum()) for values in weights) if name == "sgd" else 0.0
    check = gradcheck(experiment)
    assert check.penalty == pytest.approx(decayed + 0.5 * sum(float(values.abs().sum()) for values in weights))
    assert check.passed is True


@pytest.mark.parametrize("weight_decay", [0.5, 5.0])
def test_another_penalty_gives_other_gradients(weight_decay: float) -> None:
    """They differ from those of the loss alone by λ·w, for the weights that training starts from."""
    with_penalty, alone = (
        gradcheck(load_spec(REGRESSION, [f"optimizer.weight_decay={value}"])) for value in (weight_decay, 0)
    )
    experiment = load_spec(REGRESSION).experiment
    initial = initial_parameters(experiment, build_network(experiment))
    for one, other in zip(with_penalty.parameters, alone.parameters, strict=True):
        weights = initial[one.name].double()
        for a, b in zip(one.coordinates, other.coordinates, strict=True):
            for kind, tolerance in (("analytic", 1e-10), ("autograd", 1e-10), ("difference", 1e-4)):
                added = getattr(a, kind) - getattr(b, kind)
                assert added == pytest.approx(weight_decay * float(weights[a.index]), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("name", ROWS)
def test_the_penalty_is_what_the_optimizer_descends(name: str) -> None:
    """Weight decay is a step from the gradient plus penalty · w in torch's own class; AdamW has no penalty."""
    section = optimizer_section(name, {"weight_decay": 0.3})
    weights, gradient = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.3, 0.1, -0.7])

    def stepped(weight_decay: float, penalty: float) -> Tensor:
        parameter = torch.nn.Parameter(weights.clone())
        optimizer = ROWS[name].reference([parameter], lr=0.1, weight_decay=weight_decay)
        for _ in range(2):  # Adam's first step is the sign alone
            parameter.grad = gradient + penalty * parameter.detach()
            optimizer.step()
        return parameter.detach()

    assert torch.allclose(stepped(0.3, 0.0), stepped(0.0, section.penalty)) == (name != "adamw")
    assert (section.penalty == 0) == (name == "adamw")


def test_decoupled_weight_decay_is_no_part_of_the_objective(capfd: pytest.CaptureFixture[str]) -> None:
    _, _, err = run(["gradcheck", DIGITS, "--set", "optimizer=adamw"], capfd)
    assert "the weight decay of adamw is decoupled" in err
    assert run(["gradcheck", REGRESSION], capfd)[2] == ""
    adamw = gradcheck(load_spec(DIGITS, ["optimizer={name: adamw, weight_decay: 5}"]))
    assert adamw.penalty == 0
    assert adamw == gradcheck(load_spec(DIGITS, ["optimizer={name: sgd, lr: 0.1}"]))


def test_a_tensor_that_was_not_checked_is_neither_ok_nor_wrong(capfd: pytest.CaptureFixture[str]) -> None:
    """Hidden values so near to ReLU's kink that no first-layer coordinate can be differenced."""
    arguments = ["gradcheck", REGRESSION, "--set", "model={hidden: [3], init: {name: normal, std: 1e-10}}"]
    code, out, _ = run(arguments, capfd)
    assert code == 1
    states = {line.split()[0]: line.split()[-2:] for line in out.splitlines() if line.strip().startswith("layers.")}
    assert states["layers.0.weight"] == states["layers.0.bias"] == ["not", "checked"]
    assert states["layers.1.weight"][1] == states["layers.1.bias"][1] == "ok"
    assert "2 of 4 parameter tensors agree, 2 not checked by differences" in out.splitlines()[-1]
    code, out, _ = run([*arguments, "--json"], capfd)
    report = json.loads(out)
    assert (code, report["passed"]) == (1, None)
    assert [one["passed"] for one in report["parameters"]] == [None, None, True, True]
    assert report["parameters"][0]["difference_error"] is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A group of the seeds 0 and 1, an L2-penalised regression after twenty epochs."""
    folder = tmp_path_factory.mktemp("trained") / "group"
    train_seeds(load_spec(REGRESSION, ["training.epochs=20"]), [0, 1], run_dir=folder)
    return folder


def test_trained_weights_are_checked_with_autograd_through_the_loaded_network(trained: Path) -> None:
    run_folder = trained / "seed-1"
    check = gradcheck(run_folder)
    network = mlptrain.load(run_folder).double()
    experiment = network.experiment
    train = load_data(experiment, preprocessing=network.preprocessing).train
    error = torch.nn.functional.mse_loss(network(train.inputs.double()), train.targets.double())
    penalty = 0.25 * torch.stack([parameter.square().sum() for parameter in network.parameters()]).sum()
    parameters = dict(network.named_parameters())
    gradients = dict(zip(parameters, torch.autograd.grad(error + penalty, list(parameters.values())), strict=True))
    assert check.passed is True
    assert check.objective == pytest.approx(float((error + penalty).detach()), rel=1e-12)
    for one in check.parameters:
        gradient = gradients[one.name]
        for at in one.coordinates:
            assert at.analytic == pytest.approx(float(gradient[at.index]), rel=1e-9, abs=1e-9)
    assert check == gradcheck(run_folder / "checkpoints" / "last.safetensors")
    assert check.objective < 0.7 * gradcheck(REGRESSION).objective  # which has not been trained


def test_the_batch_of_trained_weights_is_the_next_one(tmp_path: Path) -> None:
    """Resumed for one epoch, training's first loss is the check's objective."""
    outcome = mlptrain.train(load_spec(DIGITS, ["training.epochs=1", "evaluation.keep=last"]), run_dir=tmp_path / "run")
    check = gradcheck(outcome.folder.path)
    loaded = load_spec(DIGITS, ["training.threads=1"])
    trainer = build_trainer([loaded.experiment], [load_data(loaded.experiment)])
    _, second = trainer.epochs(first=1, last=2, should_stop=lambda: False)
    assert second[0] is not None
    assert second[0].step_losses is not None
    assert check.objective == pytest.approx(float(second[0].step_losses[0]), rel=1e-5)


def test_the_command_on_trained_weights(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(["gradcheck", str(trained / "seed-0"), "--json"], capfd)
    report = json.loads(out)
    assert (code, report["epoch"], report["passed"]) == (0, 20, True)
    assert report["objective"] > report["penalty"] > 0
    code, out, _ = run(["gradcheck", str(trained / "seed-0")], capfd)
    assert "weights after epoch 20: 64 rows, objective" in out
    code, out, _ = run(["gradcheck", str(trained), "--json"], capfd)
    report = json.loads(out)
    assert (code, report["seeds"], report["verdict"]) == (0, [0, 1], "2 of 2 networks passed.")
    assert [one["objective"] for one in report["networks"]] == [
        gradcheck(trained / f"seed-{seed}").objective for seed in (0, 1)
    ]


def test_a_run_that_cannot_be_read_leaves_the_others(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "group")
    (tmp_path / "group/seed-1/checkpoints/last.safetensors").write_bytes(b"damaged")
    code, out, _ = run(["gradcheck", str(tmp_path / "group")], capfd)
    assert code == 1
    assert out.splitlines()[-1] == "1 of 2 networks passed; cannot be checked: seed 1."
    assert "seed 1: " in out
    (tmp_path / "group/seed-0/checkpoints/last.safetensors").write_bytes(b"damaged")
    code, _, err = run(["gradcheck", str(tmp_path / "group")], capfd)
    assert code == 2
    assert "is not a checkpoint of mlptrain" in err


HUNDRED = [
    *("gradcheck", REGRESSION, "--set", "data=random_classification", "--set", "loss=cross_entropy"),
    *("--set", "model={hidden: [20], activation: leaky_relu, init: {name: normal, bias: normal}}", "--seeds"),
]


def test_a_hundred_networks_in_one_summary(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run([*HUNDRED, "0..99"], capfd)
    assert code == 0
    assert out.splitlines()[-1] == "100 of 100 networks passed."
    assert "20,000" in next(line for line in out.splitlines() if "layers.0.weight" in line)
    code, out, _ = run([*HUNDRED, "7,3", "--json"], capfd)
    report = json.loads(out)
    assert report["seeds"] == [one["seed"] for one in report["networks"]] == [7, 3]
    alone = [gradcheck(load_spec(REGRESSION, [*HUNDRED[3:-1:2], f"seed={seed}"])) for seed in (7, 3)]
    assert [one["objective"] for one in report["networks"]] == [check.objective for check in alone]
    worst = max(
        (one.difference_error or 0, seed, one.name)
        for seed, c in zip((7, 3), alone, strict=True)
        for one in c.parameters
    )
    assert tuple(report["worst"]["difference_error"].values()) == worst


def test_wrong_networks_among_several_are_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    right = CrossEntropy.write_gradient

    def write_gradient(self: CrossEntropy, outputs: Tensor, targets: Tensor, out: Tensor) -> None:
        right(self, outputs, targets, out)
        if float(outputs.max()) > largest:
            out.mul_(1.001)

    peaks = {}
    for seed in range(4):
        loaded = load_spec(DIGITS, [f"seed={seed}"])
        trainer = build_trainer([loaded.experiment], [load_data(loaded.experiment)])
        model = trainer.model()
        peaks[seed] = float(trainer.network.forward(model.parameters, model.examples.inputs[model.order(1)[:32]]).max())
    largest = sum(sorted(peaks.values())[-2:]) / 2  # between the two largest
    monkeypatch.setattr(CrossEntropy, "write_gradient", write_gradient)
    code, out, _ = run(["gradcheck", DIGITS, "--seeds", "0..3"], capfd)
    wrong = max(peaks, key=peaks.__getitem__)
    assert code == 1
    assert out.splitlines()[-1] == f"3 of 4 networks passed; disagree: seed {wrong}."
    assert f"seed {wrong}: The gradients disagree for layers.0.weight" in out


def test_numbers_side_by_side(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["gradcheck", REGRESSION, "--show", "--count", "3"]
    code, out, _ = run(arguments, capfd)
    assert code == 0
    assert "layers.0.weight 100×10: 3 of the 200 coordinates that were drawn" in out
    assert "layers.1.bias 1: all 1" in out
    shown = [line.split("  ") for line in out.splitlines() if line.strip().startswith("[")]
    numbers = [[float(cell) for cell in cells if re.match(r" ?[+-]\d", cell)] for cells in shown]
    checked = gradcheck(REGRESSION)
    expected = [
        [one.analytic, one.autograd, one.difference] for tensor in checked.parameters for one in tensor.coordinates[:3]
    ]
    assert numbers == [pytest.approx(three, rel=1e-11) for three in expected]
    values = json.loads(run([*arguments, "--json"], capfd)[1])["parameters"][0]["values"]
    assert [list(value) for value in values] == [["index", "analytic", "autograd", "difference"]] * 3
    assert values[0]["analytic"] == expected[0][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN", "--set", "optimizer.weight_decay=1"], "--set needs a configuration"),
        (["RUN", "--seeds", "0..3"], "--seeds needs a configuration"),
        (["GROUP", "--show"], "--show prints the numbers of one network"),
        ([DIGITS, "--show", "--seeds", "0,1"], "--show prints the numbers of one network"),
        ([DIGITS, "--seeds", "3..0"], "'3..0' is not a seed"),
        ([DIGITS, "--seeds", "0..1", "--set", "seed=4"], "--set seed=4 conflicts with --seeds 0..1"),
        (["nowhere.yaml"], "nowhere.yaml"),
        (["nowhere.safetensors"], "nowhere.safetensors"),
        (["FOLDER"], "is not a run folder"),
    ],
)
def test_mistakes_have_one_message(
    arguments: list[str], message: str, trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    paths = {"RUN": str(trained / "seed-0"), "GROUP": str(trained), "FOLDER": str(tmp_path)}
    code, out, err = run(["gradcheck", *(paths.get(argument, argument) for argument in arguments)], capfd)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
