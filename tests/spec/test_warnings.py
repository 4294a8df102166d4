"""Settings that are allowed but surely not meant. A mark « stands before the place that the warning must name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlptrain.spec import load_spec, load_text, to_yaml
from tests.spec.texts import CONFIGS, complete, marked

# The text with the warning, the path, what it says, and a text that differs little and has no warning.
CASES: dict[str, tuple[str, str, str, str]] = {
    "relu on the logits": (
        "model: {hidden: [4], output_activation: «relu}",
        "model.output_activation",
        "'relu' is applied to the logits that 'cross_entropy' expects and can keep the network from learning; "
        "use identity, cross_entropy contains the softmax",
        "model: {hidden: [4], output_activation: identity}",
    ),
    "sigmoid before bce": (
        "data: {name: mnist, classes: [0, 1]}\nloss: bce\nmodel: {hidden: [4], output_activation: «sigmoid}",
        "model.output_activation",
        "'sigmoid' is applied to the logits that 'bce' expects and can keep the network from learning; "
        "use identity, bce contains the sigmoid",
        "loss: mse\nmodel: {hidden: [4], output_activation: sigmoid}",
    ),
    "activation of no layer": (
        "model: {hidden: [], activation: «tanh}",
        "model.activation",
        "has no effect: there is no hidden layer",
        "model: {hidden: []}",
    ),
    "no drop": (
        "training: {epochs: 5}\nschedule: {name: step, step_size: «5}",
        "schedule.step_size",
        "has no effect: the first drop comes after epoch 5 of 5",
        "training: {epochs: 5}\nschedule: {name: step, step_size: 4}",
    ),
    "cycles of less than two steps": (
        "training: {epochs: 10, batch_size: full}\nschedule: {name: cosine, cycles: «6}",
        "schedule.cycles",
        "gives the first of 6 cycles 1.7 steps, in which lr cannot fall; take fewer",
        "training: {epochs: 10, batch_size: full}\nschedule: {name: cosine, cycles: 5}",
    ),
    "cycles that double": (
        "training: {epochs: 10, batch_size: full}\nschedule: {name: coslog, cycles: «3}",
        "schedule.cycles",
        "gives the first of 3 cycles 1.4 steps, in which lr cannot fall; take fewer",
        "training: {epochs: 10, batch_size: full}\nschedule: {name: coslog, cycles: 2}",
    ),
    "late drops": (
        "training: {epochs: 5}\nschedule: {name: multi_step, milestones: «[2, 5, 9]}",
        "schedule.milestones",
        "[5, 9] have no effect: the run has 5 epochs",
        "training: {epochs: 5}\nschedule: {name: multi_step, milestones: [2, 4]}",
    ),
    "no end before the end": (
        "training: {epochs: 11, early_stopping: {patience: «10}}",
        "training.early_stopping.patience",
        "has no effect: training can stop after epoch 11 at the earliest, and the run has 11 epochs",
        "training: {epochs: 12, early_stopping: {patience: 10}}",
    ),
    "no end before the end, short": (
        "training: {epochs: 4, «early_stopping: true}",
        "training.early_stopping.patience",
        "has no effect: training can stop after epoch 11 at the earliest, and the run has 4 epochs",
        "training: {epochs: 4, early_stopping: 2}",
    ),
    "a start behind the end": (
        "training: {epochs: 5, early_stopping: {patience: 1, start: «4}}",
        "training.early_stopping.start",
        "has no effect: training can stop after epoch 6 at the earliest, and the run has 5 epochs",
        "training: {epochs: 5, early_stopping: {patience: 1, start: 2}}",
    ),
    "a plateau as long as the run": (
        "training: {epochs: 5}\nschedule: {name: plateau, patience: «3}",
        "schedule.patience",
        "has no effect: lr can drop after epoch 5 at the earliest, and the run has 5 epochs",
        "training: {epochs: 5}\nschedule: {name: plateau, patience: 2}",
    ),
    "a plateau behind a warm-up": (
        "training: {epochs: 10}\nschedule: {name: plateau, patience: «4, warmup: 0.5}",
        "schedule.patience",
        "has no effect: lr can drop after epoch 10 at the earliest, and the run has 10 epochs",
        "training: {epochs: 10}\nschedule: {name: plateau, patience: 3, warmup: 0.5}",
    ),
    "a metric that chooses nothing": (
        "evaluation: {keep: last, metric: «validation_accuracy}",
        "evaluation.metric",
        "has no effect: evaluation.keep is last",
        "evaluation: {keep: last}",
    ),
    "initial biases of none": (
        "model: {hidden: [4], bias: false, init: {name: normal, bias: «normal}}",
        "model.init.bias",
        "has no effect: model.bias is false",
        "model: {hidden: [4], bias: false, init: normal}",
    ),
    "dampening of no momentum": (
        "optimizer: {name: sgd, dampening: «0.5}",
        "optimizer.dampening",
        "has no effect: momentum is 0",
        "optimizer: {name: sgd, dampening: 0.5, momentum: 0.5}",
    ),
    "decay of nothing": (
        "optimizer: {name: sgd, weight_decay_for: «weights}",
        "optimizer.weight_decay_for",
        "has no effect: weight_decay is 0",
        "optimizer: {name: sgd, weight_decay_for: weights, weight_decay: 0.1}",
    ),
    "an average over more steps than there are": (
        "data: {name: digits, train_size: 1000, validation: 0}\ntraining: {epochs: 5, batch_size: 10, ema: «0.999}",
        "training.ema",
        "averages over about 1,000 steps, but the run has 500: the average stays near the first weights; take 0.98",
        "data: {name: digits, train_size: 1000, validation: 0}\ntraining: {epochs: 11, batch_size: 10, ema: 0.999}",
    ),
    "fewer rows than classes": (
        "data: {name: digits, train_size: «12, validation: 3}\ntraining: {epochs: 10, batch_size: 1}",
        "data.train_size",
        "leaves 9 training rows for 10 classes; some of these have none",
        "data: {name: digits, train_size: 13, validation: 3}\ntraining: {epochs: 10, batch_size: 1}",
    ),
    "validation that leaves fewer rows than classes": (
        "data: {name: iris, validation: «118}\ntraining: {epochs: 10, batch_size: 1}",
        "data.validation",
        "leaves 2 training rows for 3 classes",
        "data: {name: iris, validation: 117}\ntraining: {epochs: 10, batch_size: 1}",
    ),
    "scaling in raw units": (
        "data: {name: mnist, scaling: {mean: «33.3, std: 78.6}}",
        "data.scaling.mean",
        "33.3 cannot be the mean of inputs from 0 to 1: those of 'mnist' are divided by their maximum, 255, before; "
        "use {mean: 0.1306, std: 0.3082}",
        "data: {name: mnist, scaling: {mean: 0.1306, std: 0.3082}}",
    ),
    "a raw std alone": (
        "data: {name: digits, scaling: {mean: 0.305, std: «6.02}}",
        "data.scaling.std",
        "6.02 cannot be the standard deviation of inputs from 0 to 1: those of 'digits' are divided by their maximum, "
        "16, before; use {mean: 0.305, std: 0.3762}",
        "data: {name: digits, scaling: {mean: 0, std: 1}}",
    ),
    "a mean below all inputs": (
        "data: {name: digits, scaling: {mean: «-1, std: 1}}",
        "data.scaling.mean",
        "use standard, which measures both",
        "data: {name: spirals, scaling: {mean: -1, std: 1}}\ntraining: {epochs: 200}",
    ),
    "disturbances that reach other rows": (
        "data: iris\ntraining: {batch_size: 1, adversarial: {name: vat, epsilon: «2.1}}",
        "training.adversarial.epsilon",
        "moves each row by 2.1, and rows of 4 inputs are about 2.83 apart: disturbed rows are those of other classes; "
        "take 0.7 or less",
        "data: iris\ntraining: {batch_size: 1, adversarial: {name: vat, epsilon: 0.7}}",
    ),
    "disturbances of each input that reach other rows": (
        "training: {adversarial: {name: fgsm, norm: linf, epsilon: «0.5}}",
        "training.adversarial.epsilon",
        "moves each row by 14, and rows of 784 inputs are about 19.8 apart: disturbed rows are those of other classes; "
        "take 0.2 or less",
        "training: {adversarial: {name: fgsm, norm: linf, epsilon: 0.3}}",
    ),
    "differences that are rounded off": (
        "training: {adversarial: {name: vat, step: «1e-6}}",
        "training.adversarial.step",
        "moves each of 784 inputs by about 4e-08, which float32 rounds off; use 0.01",
        "training: {adversarial: vat}",
    ),
    "mirrored digits": (
        "data: {name: mnist, classes: [0, 1, 7, 2]}\naugmentation: {flip: «horizontal}",
        "augmentation.flip",
        "a mirrored 2 or 7 is another character, which no test image shows; leave flip out",
        "data: {name: mnist, classes: [0, 1, 8]}\naugmentation: {flip: horizontal}",
    ),
    "digits upside down": (
        "data: digits\naugmentation: {rotate: «90}",
        "augmentation.rotate",
        "beyond 45° a 6 comes to look like a 9, and both are classes here; 15 is usual",
        "data: {name: digits, classes: [0, 6]}\naugmentation: {rotate: 90}\ntraining: {epochs: 50}",
    ),
    "clothes upside down": (
        "data: fashion_mnist\naugmentation: {flip: «vertical}",
        "augmentation.flip",
        "turns clothes upside down",
        "data: fashion_mnist\naugmentation: {flip: horizontal}",
    ),
    "shift out of sight": (
        "augmentation: {shift: «8}",
        "augmentation.shift",
        "moves images of 28 pixels by up to 8 out of sight",
        "augmentation: {shift: 7, rotate: 15}",
    ),
    "shift of a small image": (
        "data: digits\naugmentation: {shift: «2}",
        "augmentation.shift",
        "moves images of 8 pixels by up to 2 out of sight",
        "data: digits\naugmentation: {shift: 1}",
    ),
    "noise that drowns a small image": (
        "data: digits\naugmentation: {noise: «1}",
        "augmentation.noise",
        "drowns images of 8 pixels, which lie about 1.6 from the nearest one of another class; take 0.4 or less",
        "augmentation: {noise: 1}",
    ),
    "elastic distortion beyond recognition": (
        "augmentation: {elastic: {alpha: «300, sigma: 6}}",
        "augmentation.elastic.alpha",
        "displaces the pixels of images of 28 by 8.14",
        "augmentation: {elastic: {alpha: 36, sigma: 6}}",
    ),
    "a mixture of one": (
        "training: {batch_size: 1}\naugmentation: {mixup: «0.2}",
        "augmentation.mixup",
        "has no effect: a batch of one example",
        "training: {batch_size: 2}\naugmentation: {mixup: 0.2}",
    ),
    "batch larger than the data": (
        "data: {name: digits, validation: 0}\ntraining: {epochs: 10, batch_size: «1438}",
        "training.batch_size",
        "1,438 exceeds the 1,437 training rows",
        "data: {name: digits, validation: 0}\ntraining: {epochs: 10, batch_size: 1437}",
    ),
    "ten epochs of few rows that nobody chose": (
        "data: iris\n«training: {batch_size: 30}",
        "training.epochs",
        "the default of 10 epochs is only 40 steps with 108 training rows, and few networks have learnt by then; "
        "set training.epochs: 125, with training.early_stopping where these may be too many",
        "data: iris\ntraining: {batch_size: 30, epochs: 10}",
    ),
    "ten epochs of nearly enough rows": (
        "data: {name: digits, validation: 0, train_size: 1216}\n«training: {shuffle: true}",
        "training.epochs",
        "only 190 steps with 1,216 training rows, and few networks have learnt by then; set training.epochs: 100",
        "data: {name: digits, validation: 0, train_size: 1217}",
    ),
}


@pytest.mark.parametrize(("text", "path", "says", "fine"), CASES.values(), ids=CASES)
def test_warning(text: str, path: str, says: str, fine: str) -> None:
    text, [(line, column)] = marked(complete(text))
    [warning] = load_text(text, source="c.yaml").warnings
    assert (warning.source, warning.line, warning.column, warning.path) == ("c.yaml", line, column, path)
    assert says in warning.message
    assert load_text(complete(fine)).warnings == ()


@pytest.mark.parametrize("text", ["training: {batch_size: full}", "model: {hidden: [], bias: false, init: normal}"])
def test_defaults_written_out_are_no_reason_to_warn(text: str) -> None:
    spec = load_text(complete(text)).spec
    assert load_text(to_yaml(spec)).warnings == ()


def test_warning_names_the_override() -> None:
    [warning] = load_text(complete(""), overrides=["model.output_activation=relu"]).warnings
    assert str(warning).startswith("--set model.output_activation=relu  model.output_activation: 'relu' is applied")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configurations(path: Path) -> None:
    """Two show what the warning is about; the rest has none."""
    warned = ["model.output_activation"] if path.stem in ("spirals", "stuck_network") else []
    assert [warning.path for warning in load_spec(path).warnings] == warned


def test_configurations_are_found() -> None:
    assert len(CONFIGS) >= 14


def test_a_batch_size_that_nobody_chose_is_no_reason_to_warn() -> None:
    """Also where the default is written out, as in resolved.yaml."""
    for training in ("training: {epochs: 10}", "training: {epochs: 1}", "training: {epochs: 10, batch_size: 64}"):
        loaded = load_text(complete(f"data: {{name: digits, train_size: 50, validation: 10}}\n{training}"))
        assert loaded.experiment.facts.train_rows < 64
        assert loaded.warnings == ()
