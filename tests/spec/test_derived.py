"""What follows from a specification without loading data or torch, against torch and the published counts."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import pytest
from torch import nn

from mlptrain.experiment.build import build_network
from mlptrain.sources.published import IMAGE_DATASETS
from mlptrain.sources.store import raw_folder
from mlptrain.spec import Experiment, check_report, load_text
from tests.spec.texts import complete


def _experiment(text: str) -> Experiment:
    return load_text(complete(text)).experiment


@pytest.mark.parametrize(
    ("text", "widths"),
    [
        ("data: mnist", (784, 4, 10)),
        ("data: fashion_mnist\nmodel: {hidden: []}", (784, 10)),
        ("data: digits\nmodel: {hidden: [5, 6]}", (64, 5, 6, 10)),
        ("data: {name: digits, classes: [1, 7, 3]}", (64, 4, 3)),
        ("data: {name: digits, classes: [1, 7]}\nloss: bce", (64, 4, 1)),
        ("data: {name: digits, classes: [1, 7]}\nloss: mse", (64, 4, 2)),
        ("data: spirals", (2, 4, 3)),
        ("data: {name: spirals, n_classes: 2}\nloss: bce", (2, 4, 1)),
        ("data: {name: random_classification, n_features: 7, n_classes: 5}", (7, 4, 5)),
        ("data: {name: random_regression, n_features: 7, n_targets: 3}\nloss: mae", (7, 4, 3)),
    ],
)
def test_widths(text: str, widths: tuple[int, ...]) -> None:
    experiment = _experiment(text)
    assert experiment.widths == widths
    assert (experiment.output_width, experiment.facts.is_regression) == (widths[-1], "regression" in text)


@pytest.mark.parametrize("bias", ["true", "false"])
@pytest.mark.parametrize("activation", ["relu", "prelu"])
@pytest.mark.parametrize("output", ["identity", "prelu"])
@pytest.mark.parametrize("hidden", [[], [5], [5, 6, 7]])
@pytest.mark.parametrize("data", ["data: spirals", "data: {name: mnist, classes: [0, 1]}\nloss: bce"])
def test_parameter_shapes(data: str, hidden: list[int], output: str, activation: str, bias: str) -> None:
    experiment = _experiment(
        f"{data}\nmodel: {{hidden: {hidden}, activation: {activation}, output_activation: {output}, bias: {bias}}}"
    )
    assert build_network(experiment).parameter_shapes == experiment.parameter_shapes
    wanted: list[tuple[int, ...]] = []
    for i in range(len(experiment.widths) - 1):
        linear = nn.Linear(experiment.widths[i], experiment.widths[i + 1], bias=bias == "true")
        wanted += [tuple(parameter.shape) for parameter in linear.parameters()]
        if (activation if i < len(hidden) else output) == "prelu":
            wanted.append(())
    assert list(experiment.parameter_shapes.values()) == wanted


def test_five_layers_make_ten_tensors_and_44458_parameters() -> None:
    shapes = _experiment("model: {hidden: [32, 64, 128, 64]}").parameter_shapes
    assert len(shapes) == 10
    assert sum(math.prod(shape) for shape in shapes.values()) == 44_458
    assert list(shapes)[:2] == ["layers.0.weight", "layers.0.bias"]
    assert shapes["layers.4.weight"] == (10, 64)


@pytest.mark.parametrize(
    ("data", "training", "rows", "batch_size", "steps"),
    [
        ("{name: mnist, validation: 0}", "{batch_size: 64}", 60_000, 64, 938),
        ("{name: mnist, validation: 10000}", "{batch_size: 125}", 50_000, 125, 400),
        ("mnist", "{}", 54_000, 64, 844),
        ("{name: mnist, validation: 0}", "{batch_size: full}", 60_000, 60_000, 1),
        ("{name: mnist, validation: 0, train_size: 100}", "{batch_size: 64}", 100, 64, 2),
        ("{name: mnist, validation: 0, train_size: 100}", "{batch_size: 50}", 100, 50, 2),
        ("{name: mnist, validation: 0.25, train_size: 100}", "{batch_size: 1000}", 75, 75, 1),
        ("{name: mnist, classes: [0, 1], validation: 0}", "{batch_size: 12665}", 12_665, 12_665, 1),
        ("{name: spirals, n_classes: 4, points_per_class: 50, validation: 1}", "{batch_size: 199}", 199, 199, 1),
        ("{name: digits, validation: 0}", "{batch_size: 1}", 1_437, 1, 1_437),
    ],
)
def test_rows_batches_and_steps(data: str, training: str, rows: int, batch_size: int, steps: int) -> None:
    experiment = _experiment(f"data: {data}\ntraining: {training}")
    assert (experiment.facts.train_rows, experiment.batch_size, experiment.steps_per_epoch) == (rows, batch_size, steps)


@pytest.mark.parametrize(
    ("text", "split", "keep"),
    [
        ("data: mnist", "validation", "best"),
        ("data: {name: mnist, validation: 0}", "none", "last"),
        ("evaluation: {split: test}", "test", "last"),
        ("evaluation: {split: none}", "none", "last"),
        ("evaluation: {keep: last}", "validation", "last"),
        ("data: {name: mnist, validation: 0}\nevaluation: {split: test}", "test", "last"),
    ],
)
def test_evaluation_defaults(text: str, split: str, keep: str) -> None:
    evaluation = _experiment(text).evaluation
    assert (evaluation.split, evaluation.keep) == (split, keep)


def test_other_defaults() -> None:
    experiment = _experiment("")
    assert (experiment.name, experiment.seed, experiment.data.validation, experiment.loss.name) == (
        "experiment",
        0,
        0.1,
        "cross_entropy",
    )
    assert (experiment.model.activation.name, experiment.model.output_activation.name) == ("relu", "identity")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize(("split", "file"), [("train", "train"), ("test", "t10k")])
def test_class_counts_are_those_of_the_files(name: str, split: str, file: str, data_dir: Path) -> None:
    path = raw_folder(name, data_dir) / f"{file}-labels-idx1-ubyte.gz"
    content = gzip.decompress(path.read_bytes())
    (count,) = struct.unpack(">I", content[4:8])
    assert tuple(content[8:].count(label) for label in range(10)) == getattr(
        IMAGE_DATASETS[name].facts(), f"{split}_counts"
    )
    assert count == len(content) - 8


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [
        ("{name: sgd, lr: 0.1}", "sgd 0.1"),
        ("{name: sgd, lr: 1e-3, momentum: 0.9, nesterov: true}", "sgd 0.001 momentum 0.9 nesterov"),
        ("{name: rmsprop, lr: 0.01, momentum: 0.5}", "rmsprop 0.01 momentum 0.5"),
        ("{name: adam, lr: 0.002}", "adam 0.002"),
    ],
)
def test_a_description_names_what_is_set(optimizer: str, told: str) -> None:
    text = f"{{name: x, data: digits, model: {{hidden: [3, 2]}}, optimizer: {optimizer}}}"
    report = check_report("x.yaml", load_text(text))
    assert (report["optimizer"], report["model"]) == (told, "64-3-2-10 relu")


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("{hidden: []}", "2-3 linear"),
        ("{hidden: [], activation: arctan}", "2-3 linear"),
        ("{hidden: [], output_activation: arctan}", "2-3 arctan"),
        ("{hidden: [], output_activation: {name: leaky_relu, slope: 0.2}}", "2-3 leaky_relu"),
        ("{hidden: [15], activation: arctan, output_activation: arctan}", "2-15-3 arctan, output arctan"),
        ("{hidden: [15], activation: tanh, output_activation: sigmoid}", "2-15-3 tanh, output sigmoid"),
        ("{hidden: [15], activation: identity, output_activation: arctan}", "2-15-3 identity, output arctan"),
        ("{hidden: [15], activation: prelu}", "2-15-3 prelu"),
    ],
)
def test_a_description_names_every_activation_there_is(model: str, told: str) -> None:
    text = f"{{name: x, data: spirals, model: {model}, optimizer: {{name: sgd, lr: 0.1}}}}"
    assert check_report("x.yaml", load_text(text))["model"] == told


@pytest.mark.parametrize("key", ["clip_norm", "clip_value", "max_norm", "early_stopping"])
def test_none_is_as_leaving_the_key_out(key: str) -> None:
    assert load_text(complete(f"training: {{{key}: none}}")).spec == load_text(complete("")).spec


@pytest.mark.parametrize(
    ("data", "loss"),
    [("digits", "cross_entropy"), ("random_multilabel", "multi_label_bce"), ("function", "mse"), ("diabetes", "mse")],
)
def test_without_a_loss_the_targets_decide(data: str, loss: str) -> None:
    given = load_text(f"data: {data}\nmodel: {{hidden: [4]}}\noptimizer: adam\n").experiment
    assert given.loss.name == given.spec.loss.name == loss
