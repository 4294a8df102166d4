"""The gradient check: it passes what is right, catches what is wrong, and counts what it leaves out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mlptrain.cli import main
from mlptrain.data.generated import make_spirals
from mlptrain.errors import UserError
from mlptrain.gradcheck import gradcheck
from mlptrain.nn.activations import Tanh, make_activation
from mlptrain.nn.gradcheck import GradientCheck, check_gradients
from mlptrain.nn.initialisation import initialise_
from mlptrain.nn.losses import CrossEntropy, MeanSquaredError, make_loss
from mlptrain.nn.network import MLP, Parameters
from mlptrain.nn.rectifiers import LeakyReLU, ReLU
from mlptrain.spec import load_spec, load_text

CONFIGS = sorted((Path(__file__).parent.parent / "configs").rglob("*.yaml"))
DIGITS = str(Path(__file__).parent.parent / "configs" / "digits.yaml")


def random_network_check(
    widths: list[int],
    *,
    activation: str,
    output_activation: str = "identity",
    loss: str = "cross_entropy",
    reduction: Any = "mean",
    rows: int = 100,
    std: float = 1.0,
    seed: int,
    x: Tensor | None = None,
    labels: Tensor | None = None,
    most_coordinates: int = 200,
) -> GradientCheck:
    """A network with weights and biases from N(0, std), on N(0, 1) inputs and random labels unless given."""
    generator = torch.Generator().manual_seed(seed)
    network = MLP(
        widths,
        activation=make_activation(activation),
        output_activation=make_activation(output_activation),
        bias=True,
    )
    parameters = Parameters.zeros(network.parameter_shapes)
    initialise_(parameters, generator=generator, name="normal", std=std, bias="normal")
    x = torch.randn(rows, widths[0], generator=generator) if x is None else x
    labels = torch.randint(0, max(widths[-1], 2), (rows,), generator=generator) if labels is None else labels
    objective = make_loss(loss, reduction)
    targets = objective.encode_targets(labels, widths[-1])
    return check_gradients(
        network,
        loss=objective,
        parameters=parameters,
        x=x,
        targets=targets,
        generator=generator,
        most_coordinates=most_coordinates,
    )


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """Products this small only lose by a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_hundred_random_leaky_networks_pass() -> None:
    checks = [
        random_network_check([10, 20, 4], activation="leaky_relu", seed=seed, most_coordinates=50)
        for seed in range(100)
    ]
    assert all(check.passed for check in checks)
    assert sum(one.checked for check in checks for one in check.parameters) > 100 * 120
    # About one network in 600 has a coordinate at a kink.
    assert sum(one.left_out for check in checks for one in check.parameters) < 10


def test_the_five_layer_arctan_network_on_spirals() -> None:
    x, labels = make_spirals(seed=0)
    check = random_network_check(
        [2, 4, 5, 8, 4, 3],
        activation="arctan",
        output_activation="arctan",
        reduction="sum",
        seed=1,
        x=x,
        labels=labels,
    )
    assert check.passed
    assert len(check.parameters) == 10
    assert max(one.autograd_error for one in check.parameters) < 1e-12
    assert all(one.gradient_norm > 1 for one in check.parameters)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "mse", "mae"])
@pytest.mark.parametrize("rows", [1, 30])
@pytest.mark.parametrize("std", [0.1, 3.0])
def test_correct_gradients_raise_no_alarm(loss: str, reduction: str, rows: int, std: float) -> None:
    """Also where rows are saturated, so that whole gradients are nothing but rounding."""
    for seed, activation in enumerate(["relu", "prelu", "elu", "softplus", "tanh", "sigmoid", "gelu", "silu"]):
        outputs = 1 if loss == "bce" else 3
        check = random_network_check(
            [5, 7, 6, outputs], activation=activation, loss=loss, reduction=reduction, rows=rows, std=std, seed=seed
        )
        assert check.passed, (activation, check)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_passes(config: Path, request: pytest.FixtureRequest) -> None:
    needs_files = load_spec(config).spec.data.name in ("mnist", "fashion_mnist")
    folder = request.getfixturevalue("data_dir") if needs_files else None
    check = gradcheck(load_spec(config, ["training.threads=1"]), data_dir=folder)
    assert check.passed, check.verdict
    assert sum(one.checked for one in check.parameters) > 50


def test_the_batch_is_the_first_that_training_takes() -> None:
    """The objective is the loss of the first step, which record_steps would show."""
    from mlptrain.experiment import build_trainer, load_data

    loaded = load_spec(DIGITS, ["training.device=cpu", "training.threads=1"])
    trainer = build_trainer(loaded.spec, load_data(loaded.spec))
    first_step = next(trainer.epochs(first=1, last=1, should_stop=lambda: False)).step_losses
    assert first_step is not None
    check = gradcheck(loaded)
    assert check.rows == 32
    assert check.objective == pytest.approx(float(first_step[0]), rel=1e-6)


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
        "rows",
        "objective",
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

    def backward_(self: ReLU, upstream: Tensor, z: Tensor, y: Tensor, slope: Tensor | None = None) -> Tensor:
        return change(right(self, upstream, z, y, slope))

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


def test_a_wrong_loss_gradient_is_caught(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    right = CrossEntropy.loss_and_gradient

    def without_the_mean(self: CrossEntropy, outputs: Tensor, targets: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        return right(replace(self, reduction="sum"), outputs, targets, out)

    monkeypatch.setattr(CrossEntropy, "loss_and_gradient", without_the_mean)
    code, out, _ = run(["gradcheck", DIGITS], capfd)
    assert code == 1
    assert out.count("WRONG") == 6
    assert "The gradients disagree for layers.0.weight" in out


def test_differences_do_not_trust_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    """A derivative that is wrong by hand and in autograd alike is caught by differences."""

    class WronglyDifferentiable(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Tensor) -> Tensor:
            ctx.save_for_backward(z)
            return z.tanh()

        @staticmethod
        def backward(ctx: Any, *upstream: Tensor) -> Tensor:
            (z,) = ctx.saved_tensors
            gradient: Tensor = upstream[0] * (1 - z.tanh().square()) * 1.01
            return gradient

    right = Tanh.backward_

    def backward_(self: Tanh, upstream: Tensor, z: Tensor, y: Tensor, slope: Tensor | None = None) -> Tensor:
        return right(self, upstream, z, y, slope).mul_(1.01)

    monkeypatch.setattr(Tanh, "__call__", lambda self, z, slope=None: WronglyDifferentiable.apply(z))
    monkeypatch.setattr(Tanh, "backward_", backward_)
    check = random_network_check([4, 6, 3], activation="tanh", seed=0)
    first = check.parameters[0]
    assert first.autograd_error < 1e-12
    assert first.difference_error is not None
    assert first.difference_error > 1e-4
    assert not check.passed


def linear_then(activation: Any, *, weight: list[list[float]], x: list[list[float]]) -> GradientCheck:
    """A bias-free layer with this activation on its outputs, squared error to 1."""
    network = MLP(
        [len(weight[0]), len(weight)], activation=make_activation("identity"), output_activation=activation, bias=False
    )
    parameters = Parameters.zeros(network.parameter_shapes).copy_({"layers.0.weight": torch.tensor(weight)})
    inputs = torch.tensor(x)
    targets = torch.ones(len(x), len(weight))
    return check_gradients(
        network,
        loss=MeanSquaredError(),
        parameters=parameters,
        x=inputs,
        targets=targets,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.mark.parametrize("activation", [ReLU(), LeakyReLU(0.01), make_activation("elu", alpha=2.0)])
def test_coordinates_at_a_kink_are_left_out_and_counted(activation: Any) -> None:
    """z = (w₁x₁ + w₂x₂) of the first unit is 2⁻²² ≈ 2.4e-7, within ε of the kink at 0; the second unit is far off."""
    check = linear_then(activation, weight=[[1.0, -1.0 + 2.0**-22], [0.5, 2.0]], x=[[1.0, 1.0]])
    (weight,) = check.parameters
    assert (weight.checked, weight.left_out) == (2, 2)
    assert check.passed
    assert "2 at a kink left out" in check.verdict


def test_a_coordinate_that_does_not_move_the_kink_is_checked() -> None:
    check = linear_then(ReLU(), weight=[[1.0, -1.0], [0.5, 2.0]], x=[[0.0, 1.0]])
    (weight,) = check.parameters
    assert (weight.checked, weight.left_out) == (4, 0)
    assert check.passed


def test_smooth_activations_leave_nothing_out() -> None:
    check = linear_then(make_activation("elu"), weight=[[1.0, -1.0 + 2.0**-22], [0.5, 2.0]], x=[[1.0, 1.0]])
    assert check.parameters[0].left_out == 0


def test_the_kink_of_mae_is_left_out() -> None:
    """Both targets are 1; the first output is 1 exactly, the second is not."""
    network = MLP([1, 2], activation=ReLU(), output_activation=make_activation("identity"), bias=False)
    parameters = Parameters.zeros(network.parameter_shapes)
    parameters["layers.0.weight"].copy_(torch.tensor([[1.0], [3.0]]))
    check = check_gradients(
        network,
        loss=make_loss("mae"),
        parameters=parameters,
        x=torch.ones(1, 1),
        targets=torch.ones(1, 2),
        generator=torch.Generator().manual_seed(0),
    )
    assert (check.parameters[0].checked, check.parameters[0].left_out) == (1, 1)


def test_nothing_checked_is_not_a_pass() -> None:
    check = linear_then(ReLU(), weight=[[1.0, -1.0]], x=[[1.0, 1.0]])
    assert not check.passed
    assert "all 2 coordinates are at a kink" in check.verdict


def test_a_network_that_amplifies_rounding_is_refused_rather_than_called_wrong() -> None:
    with pytest.raises(UserError, match=r"changes by .* with the last bits of the inputs"):
        random_network_check([10, *[50] * 25, 3], activation="arctan", rows=30, seed=0, most_coordinates=5)


def test_a_gradient_that_is_not_finite_is_refused() -> None:
    loaded = load_text(
        "data: {name: random_regression}\nmodel: {hidden: [5], activation: identity, init: {name: normal, std: 1e30}}\n"
        "loss: mse\noptimizer: sgd\n"
    )
    overflowing = loaded.spec.model_copy(update={"model": loaded.spec.model.model_copy(update={"hidden": [5] * 8})})
    with pytest.raises(UserError, match="not finite"):
        gradcheck(replace(loaded, spec=overflowing))


def test_parameters_and_random_state_are_left_alone() -> None:
    network = MLP([3, 4, 2], activation=ReLU(), output_activation=make_activation("identity"), bias=True)
    parameters = Parameters.zeros(network.parameter_shapes)
    initialise_(parameters, generator=torch.Generator().manual_seed(0))
    before, state = parameters.flat.clone(), torch.random.get_rng_state()
    check_gradients(
        network,
        loss=CrossEntropy(),
        parameters=parameters,
        x=torch.ones(5, 3),
        targets=torch.zeros(5, dtype=torch.int64),
        generator=torch.Generator().manual_seed(0),
    )
    assert torch.equal(parameters.flat, before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_wrong_config_is_exit_code_two(capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(["gradcheck", DIGITS, "--set", "loss=bce"], capfd)
    assert code == 2
    assert "needs exactly two classes" in err
