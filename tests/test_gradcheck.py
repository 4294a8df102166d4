"""`mlptrain gradcheck`: every shipped configuration passes, and planted mistakes end with exit code 1."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mlptrain.checks.gradients import gradcheck
from mlptrain.cli import main
from mlptrain.errors import UserError
from mlptrain.experiment.build import build_trainer, load_data
from mlptrain.nn.losses import CrossEntropy
from mlptrain.nn.ops.rectifiers import ReLU
from mlptrain.spec import load_spec, load_text

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
    assert sum(one.checked for one in check.parameters) > 50


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
