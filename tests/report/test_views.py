"""What the pictures show, against networks and derivatives computed by other means."""

from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix

from mlptrain import views
from mlptrain.data.augmentation import Augmentation
from mlptrain.errors import CheckpointError, DataError, RunFolderError, UserError
from mlptrain.experiment import resume, train
from mlptrain.experiment.build import load_data
from mlptrain.inference.module import load
from mlptrain.inference.predict import predict_rows
from mlptrain.report.arrays import LabelledPoints, Samples
from mlptrain.runs import RunFolder
from mlptrain.spec import load_spec
from mlptrain.training.metrics import probabilities
from tests import catalogue
from tests.report.conftest import CONFIGS, Runs

Array = NDArray[np.float64]


def outputs_by_hand(run: Path, x: Array, *, hidden: Any, output: Any = lambda z: z) -> Array:
    """The network written out in numpy, in float64, from the tensors in the checkpoint file."""
    best, last = (run / "checkpoints" / f"{name}.safetensors" for name in ("best", "last"))
    tensors = {name: value.astype(np.float64) for name, value in load_file(best if best.exists() else last).items()}
    layers = sorted({int(name.split(".")[1]) for name in tensors if name.startswith("layers.")})
    for layer in layers:
        x = x @ tensors[f"layers.{layer}.weight"].T + tensors[f"layers.{layer}.bias"]
        x = output(x) if layer == layers[-1] else hidden(x)
    return x


def softmax(z: Array) -> Array:
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    shares: Array = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def relu(z: Array) -> Array:
    return np.maximum(z, 0)


def digits_split(run: Path) -> tuple[Array, NDArray[np.int64]]:
    """Pixels / 16 and labels of scikit-learn's digits that the run was tested on."""
    pixels, labels = load_digits(return_X_y=True)
    tested = np.random.RandomState(0).permutation(len(pixels))[:360]
    mask = np.isin(np.arange(len(pixels)), tested)
    return pixels[mask] / 16, labels[mask]


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 99), (99, 0), (37, 81)])
def test_decision_map_is_the_network_on_a_grid(runs: Runs, row: int, column: int) -> None:
    run = runs("spirals")
    found = views.decision_map(run)
    assert found.probabilities.shape == (100, 100, 3)
    assert list(found.extent) == [-1, 1, -1, 1]
    at = np.array([-1 + 2 * column / 99, -1 + 2 * row / 99])
    expected = softmax(outputs_by_hand(run, at, hidden=np.arctan, output=np.arctan))
    np.testing.assert_allclose(found.probabilities[row, column], expected, atol=1e-5)


def test_decision_map_states_points_and_accuracy(runs: Runs) -> None:
    run = runs("spirals")
    found = views.decision_map(run, label="three arms")
    data = found.training
    called = outputs_by_hand(run, data.points, hidden=np.arctan, output=np.arctan).argmax(axis=1)
    assert found.accuracy == pytest.approx((called == data.labels).mean())
    assert found.model.startswith("2-15-3 ")
    assert (data.label, len(data.points), data.class_names) == ("three arms", 300, ("0", "1", "2"))
    radius = np.linalg.norm(data.points[data.labels == 1], axis=1)
    np.testing.assert_allclose(radius, np.linspace(0, 1, 100), atol=1e-6)


def test_decision_map_of_other_points_covers_them_with_a_margin(runs: Runs) -> None:
    found = views.decision_map(runs("wide spirals"))
    left, right, bottom, top = found.extent
    assert right - left == pytest.approx(top - bottom)
    assert np.abs(found.training.points).max() > 1
    for low, high, values in ((left, right, found.training.points[:, 0]), (bottom, top, found.training.points[:, 1])):
        assert low < values.min() - 0.05
        assert high > values.max() + 0.05


def test_decision_map_of_one_logit_has_both_classes(runs: Runs) -> None:
    run = runs("two spirals")
    found = views.decision_map(run, resolution=11).probabilities
    logit = outputs_by_hand(run, np.array([1.0, -1.0]), hidden=np.arctan, output=np.arctan)
    np.testing.assert_allclose(found[0, 10], [1 / (1 + np.exp(logit[0])), 1 / (1 + np.exp(-logit[0]))], atol=1e-6)


def test_one_hot_outputs_are_read_as_shares(runs: Runs) -> None:
    run = runs("one-hot spirals")
    found = views.decision_map(run, resolution=5).probabilities
    raw = outputs_by_hand(run, np.array([-1.0, 1.0]), hidden=np.arctan, output=np.arctan).clip(1e-12)
    np.testing.assert_allclose(found[4, 0], raw / raw.sum(), atol=1e-5)


def test_what_has_no_decision_map(runs: Runs) -> None:
    with pytest.raises(UserError, match="over two inputs, but data 'digits' has 64"):
        views.decision_map(runs("digits"))
    with pytest.raises(UserError, match="needs classes, but the targets of data 'random_regression' are numbers"):
        views.decision_map(runs("regression"))


def test_a_fitted_curve_is_the_network_and_the_function(runs: Runs) -> None:
    run = runs("sine")
    found = views.fitted_curve(run, label="wave")
    assert (found.label, found.model) == ("wave", "1-32-1 tanh")
    np.testing.assert_allclose(found.targets, np.sin(found.inputs), atol=1e-6)
    assert found.truth is not None
    assert found.outputs is not None
    assert found.loss is not None
    np.testing.assert_allclose(found.truth, np.sin(found.x), atol=1e-12)
    assert found.x.min() < found.inputs.min() < found.inputs.max() < found.x.max()
    scaled = (found.x - found.inputs.mean()) / found.inputs.std()
    expected = outputs_by_hand(run, scaled[:, None], hidden=np.tanh)[:, 0]
    np.testing.assert_allclose(found.outputs[:, 0], expected, atol=1e-5)
    at = (found.inputs - found.inputs.mean()) / found.inputs.std()
    errors = outputs_by_hand(run, at[:, None], hidden=np.tanh)[:, 0] - found.targets
    name, loss = found.loss
    assert name == "mse"
    assert loss == pytest.approx((errors**2).mean(), rel=1e-5)


def test_what_has_no_fitted_curve(runs: Runs) -> None:
    with pytest.raises(UserError, match="data 'moons' has 2 inputs and 2 classes"):
        views.fitted_curve(runs("moons"))
    with pytest.raises(UserError, match="data 'random_regression' has 10 inputs and 1 targets"):
        views.fitted_curve(runs("regression"))
    with pytest.raises(UserError, match="mlptrain plot fit"):
        views.decision_map(runs("sine"))


def test_points_on_one_side_do_not_lie_on_the_edge(runs: Runs) -> None:
    left, right, bottom, top = views.decision_map(runs("xor"), resolution=5).extent
    assert left < 0 < 1 < right
    assert bottom < 0 < 1 < top


def test_confusion_against_scikit_learn(runs: Runs) -> None:
    run = runs("digits")
    x, labels = digits_split(run)
    found = views.confusion(run)
    assert found.split == "test"
    expected = confusion_matrix(labels, outputs_by_hand(run, x, hidden=relu).argmax(axis=1))
    np.testing.assert_array_equal(found.counts, expected)


def test_confusion_of_one_logit(runs: Runs) -> None:
    run = runs("zero or one")
    x, labels = digits_split(run)
    chosen = (labels == 3) | (labels == 8)
    called = outputs_by_hand(run, x[chosen], hidden=relu)[:, 0] > 0
    found = views.confusion(run)
    np.testing.assert_array_equal(found.counts, confusion_matrix(labels[chosen] == 8, called))
    assert found.class_names == ("3", "8")


def test_confusion_of_other_splits(runs: Runs) -> None:
    assert views.confusion(runs("digits"), split="validation").counts.sum() == 144
    assert views.confusion(runs("digits"), split="train").counts.sum() == 1437 - 144
    assert views.confusion(runs("spirals")).split == "train"
    with pytest.raises(DataError, match="has no test rows; choose train"):
        views.confusion(runs("spirals"), split="test")


def test_mistakes_are_the_most_confident_wrong_images(runs: Runs) -> None:
    run = runs("digits")
    x, labels = digits_split(run)
    shares = softmax(outputs_by_hand(run, x, hidden=relu))
    called = shares.argmax(axis=1)
    wrong = np.flatnonzero(called != labels)
    worst = wrong[np.argsort(-shares[wrong, called[wrong]])][:5]
    assert len(worst) == 5, "the run is too good to test with"

    found = views.mistakes(run, count=5)
    assert (found.wrong, found.examples) == (len(wrong), 360)
    np.testing.assert_allclose(found.images.reshape(5, 64), x[worst], atol=1e-6)
    np.testing.assert_array_equal(found.true, labels[worst])
    np.testing.assert_array_equal(found.predicted, called[worst])
    np.testing.assert_array_equal(found.index, worst)
    assert [p.true for p in predict_rows(load(run), found.index.tolist())] == found.true.tolist()  # its `--index`
    np.testing.assert_allclose(found.confidence, shares[worst, called[worst]], atol=1e-5)


def test_a_fit_is_the_network_on_the_rows(runs: Runs) -> None:
    run = runs("regression")
    fit = views.residuals(run)
    train = load_data(RunFolder.open(run).experiment()).train
    expected = outputs_by_hand(run, train.inputs.double().numpy(), hidden=relu)
    np.testing.assert_allclose(fit.predicted, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(fit.true, train.targets.double().numpy())
    assert np.mean((fit.predicted - fit.true) ** 2) == pytest.approx(views.page_parts(run)["evaluation"]["loss"])
    with pytest.raises(UserError, match="residuals are of numbers, but data 'digits' has classes"):
        views.residuals(runs("digits"))


def test_what_has_no_mistakes_to_show(runs: Runs) -> None:
    with pytest.raises(UserError, match="2 numbers per row, which are not an image"):
        views.mistakes(runs("spirals"))
    with pytest.raises(UserError, match="needs classes"):
        views.mistakes(runs("regression"))


def test_weights_are_the_longest_rows(runs: Runs) -> None:
    run = runs("digits")
    weights = load_file(run / "checkpoints" / "best.safetensors")["layers.0.weight"]
    found = views.first_layer_weights(run, count=10)
    assert found.total == 64
    lengths = np.linalg.norm(weights, axis=1)
    assert set(found.units.tolist()) == set(np.argsort(lengths)[-10:].tolist())
    assert list(found.units) == sorted(found.units)
    np.testing.assert_allclose(found.images, weights[found.units].reshape(10, 8, 8), atol=1e-7)
    with pytest.raises(UserError, match="not an image"):
        views.first_layer_weights(runs("regression"))


REFERENCES: dict[str, Any] = {
    **{name: row.exact for name, row in catalogue.ACTIVATIONS.items()},
    "half_tanh": lambda z: mpmath.tanh(z / 2),
}


@pytest.mark.parametrize("name", views.ACTIVATION_NAMES)
def test_derivatives_against_fifty_digits(name: str) -> None:
    (curve,) = views.activation_curves([name], derivatives=6, low=-7, high=7)
    assert curve.values.shape == (7, len(curve.z))
    with mpmath.workdps(50):
        for index in np.linspace(20, len(curve.z) - 20, 8).astype(int):
            at = mpmath.mpf(float(curve.z[index]))
            expected = [float(mpmath.diff(REFERENCES[name], at, order)) for order in range(7)]
            np.testing.assert_allclose(curve.values[:, index], expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("name", "order"), [("relu", 1), ("leaky_relu", 1), ("prelu", 1), ("elu", 2)])
def test_a_line_breaks_only_where_its_derivative_jumps(name: str, order: int) -> None:
    (curve,) = views.activation_curves([name], derivatives=3)
    missing = np.isnan(curve.values)
    assert not missing[:order].any()
    for row in missing[order:]:
        assert np.abs(curve.z[row]).max() < 0.01


def test_smooth_activations_have_no_gap() -> None:
    for curve in views.activation_curves(["sigmoid", "gelu", "half_tanh", "identity"], derivatives=6):
        assert np.isfinite(curve.values).all()


SETTINGS: dict[str, Any] = {
    "elu:alpha=2": lambda z: z if z > 0 else 2 * (mpmath.exp(z) - 1),
    "leaky_relu:slope=-0.5": lambda z: z if z > 0 else -z / 2,
    " prelu : slope = 1e-1 ": lambda z: z if z > 0 else z / 10,
    "softplus:beta=3": lambda z: mpmath.log(1 + mpmath.exp(3 * z)) / 3,
    "elu:alpha=0": lambda z: max(z, mpmath.mpf(0)),
}


@pytest.mark.parametrize("text", SETTINGS)
def test_settings_of_activations(text: str) -> None:
    (curve,) = views.activation_curves([text], derivatives=2)
    for index in (30, 400, 600, 970):
        at = mpmath.mpf(float(curve.z[index]))
        expected = [float(mpmath.diff(SETTINGS[text], at, order)) for order in range(3)]
        np.testing.assert_allclose(curve.values[:, index], expected, rtol=1e-8, atol=1e-9)
    [(letter, value)] = curve.constants
    assert (curve.name, value) == (text.split(":")[0].strip(), float(text.split("=")[1]))
    assert letter in "αβ"


def by_formula(formula: str, z: float, constants: Any) -> float:
    """A formula of a title, read as a person reads it."""
    text = formula.split(r"\ \mathrm{with}")[0].split(" = ")[0]
    text = re.sub(r"(.*)\\ \\mathrm\{for\}\\ z > 0,\\ \\mathrm\{else\}\\ (.*)", r"(\1) if z > 0 else (\2)", text)
    text = re.sub(r"e\^(?:\{(.*?)\}|z)", lambda power: f"exp({power[1] or 'z'})", text)
    for name, letter in (("alpha", "α"), ("beta", "β"), ("lambda", "λ")):
        text = text.replace(f"\\{name}", letter)
    text = (
        re.sub(r"([αβλz])(?:\\,|\s)*(?=[αβλz(\\])", r"\1*", text).replace("\\arctan z", "arctan(z)").replace("\\", "")
    )
    functions = {name: getattr(np, name) for name in ("exp", "log", "arctan", "tanh")}
    normal = {"Phi": lambda value: float(mpmath.ncdf(value)), "max": max, "min": min}
    return float(eval(text, functions | normal | dict(constants) | {"z": z}))


@pytest.mark.parametrize("text", [*views.ACTIVATION_NAMES, *SETTINGS])
def test_formulas_say_what_is_drawn(text: str) -> None:
    (curve,) = views.activation_curves([text])
    for index in (50, 350, 501, 700, 960):
        value = by_formula(curve.formula, float(curve.z[index]), curve.constants)
        assert value == pytest.approx(curve.values[0, index], rel=1e-12, abs=1e-12), curve.formula


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("elu:beta=2", "'elu:beta=2': elu has no setting 'beta'; it has alpha"),
        ("leaky_relu:negative_slope=0.1", "no setting 'negative_slope'; it has slope"),
        ("softplus:beta=0", "beta: must be above 0, got 0"),
        ("elu:alpha=much", "alpha: must be a number, got the text 'much'"),
        ("elu:alpha=nan", "alpha: must be a number"),
        ("elu:2", r"expected settings such as elu:alpha=2 behind the name, got '2'"),
        ("elu:alpha=1,alpha=2", "got 'alpha=2'"),
        ("elu:name=relu", "got 'name=relu'"),
        ("half_tanh:scale=2", "half_tanh has no setting 'scale'; name it alone"),
        ("swish:beta=1", "unknown activation swish:beta=1; choose from relu"),
    ],
)
def test_settings_that_there_are_not(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        views.activation_curves(["relu", text])


def test_what_is_no_activation_curve() -> None:
    with pytest.raises(
        UserError, match=r"unknown activation swish; choose from relu, .*half_tanh; did you mean 'silu'"
    ):
        views.activation_curves(["relu", "swish"])
    with pytest.raises(UserError, match="from 1 to 6, got 7"):
        views.activation_curves(["relu"], derivatives=7)
    for low, high in ((1, 1), (4, -4), (0, float("nan")), (0, float("inf"))):
        with pytest.raises(UserError, match="lower end first"):
            views.activation_curves(["relu"], low=low, high=high)


def test_samples_are_the_first_rows_as_scaled() -> None:
    overrides = ["data.validation=0", "evaluation.split=none", "evaluation.keep=last", "data.scaling=standard"]
    experiment = load_spec(CONFIGS / "digits.yaml", overrides).experiment
    found = views.samples(experiment, count=3)
    assert isinstance(found, Samples)
    pixels, labels = load_digits(return_X_y=True)
    tested = np.random.RandomState(0).permutation(len(pixels))[:360]
    train = np.delete(pixels, tested, axis=0)
    np.testing.assert_allclose(found.images.reshape(3, 64), (train[:3] - train.mean()) / train.std(), atol=1e-5)
    np.testing.assert_array_equal(found.labels, np.delete(labels, tested)[:3])
    assert found.scaling == "standard"


def test_augmented_samples_are_batches_of_those_rows() -> None:
    overrides = ["augmentation={shift: 1, mixup: 0.4}", "data.scaling=standard"]
    experiment = load_spec(CONFIGS / "digits.yaml", overrides).experiment
    found = views.augmented_samples(experiment, count=5, draws=3)
    plain = views.samples(experiment, count=5)
    assert isinstance(plain, Samples)
    np.testing.assert_array_equal(found.samples.images, plain.images)
    assert found.changes == "shift 1, mixup 0.4"
    assert found.drawn.shape == (5, 3, 8, 8)
    train = load_data(experiment).train.head(5)
    augmentation = Augmentation(experiment.augmentation, experiment.facts)
    for draw in range(3):
        epoch, out = augmentation.epoch(experiment.seed, draw + 1), torch.empty(5, 64)
        shares = epoch.targets(train.targets, 5)
        epoch.write(train.stored(), train.preprocessing, out=out)
        np.testing.assert_allclose(found.drawn[:, draw].reshape(5, 64), out)
        for row in range(5):
            named = {int(name): int(share) for share, name in re.findall(r"(\d+) % (\d)", found.mixtures[row][draw])}
            assert named == {at: round(100 * float(s)) for at, s in enumerate(shares[row]) if s}


def test_samples_in_the_plane_are_points() -> None:
    found = views.samples(load_spec(CONFIGS / "spirals.yaml").experiment)
    assert isinstance(found, LabelledPoints)
    assert found.points.shape == (300, 2)
    with pytest.raises(UserError, match="10 numbers per row, which are not an image"):
        views.samples(load_spec(CONFIGS / "regression_by_heart.yaml").experiment)


def test_histogram_of_standardised_clothes(data_dir: Path) -> None:
    experiment = load_spec(CONFIGS / "fashion_leaky_relu.yaml").experiment
    found = views.input_histogram(experiment, data_dir=data_dir)
    assert (found.rows, found.counts.sum(), len(found.counts)) == (60_000, 60_000 * 784, 100)
    assert found.edges[0] == pytest.approx(-0.81, abs=0.005)
    assert found.edges[-1] == pytest.approx(2.02, abs=0.005)
    assert found.mean == pytest.approx(0, abs=1e-4)
    assert found.std == pytest.approx(1, abs=1e-4)
    raw = np.frombuffer((data_dir / "FashionMNIST/raw/train-images-idx3-ubyte").read_bytes(), np.uint8, offset=16)
    # The last bin is the values from edge 99 on: from 252.45 of 255.
    assert found.counts[-1] == (raw >= 253).sum()


def test_an_unfinished_run_shows_its_checkpoint_but_not_the_test_set(runs: Runs, tmp_path: Path) -> None:
    run = shutil.copytree(runs("digits"), tmp_path / "run")
    (run / "result.json").unlink()
    assert views.confusion(run).counts.sum() == 360
    assert views.page_parts(run) == {}


def test_a_run_without_or_with_a_foreign_checkpoint(runs: Runs, tmp_path: Path) -> None:
    run = shutil.copytree(runs("spirals"), tmp_path / "run")
    last = run / "checkpoints" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match="damaged"):
        views.decision_map(run)
    last.unlink()
    with pytest.raises(RunFolderError, match="holds no checkpoint yet; resume with"):
        views.decision_map(run)


def test_parts_of_the_page_agree_with_the_result(runs: Runs) -> None:
    run = runs("digits")
    parts = views.page_parts(run)
    assert set(parts) == {"evaluation", "mistakes"}
    result = json.loads((run / "result.json").read_text())
    assert parts["evaluation"]["accuracy"] == result["kept"]["test_accuracy"]
    assert parts["evaluation"]["wrong"] == parts["mistakes"].wrong
    assert set(views.page_parts(runs("spirals"))) == {"evaluation", "decision"}
    assert set(views.page_parts(runs("regression"))) == {"evaluation", "residuals"}


def test_probabilities_sum_to_one_for_any_logits() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]])
    found = probabilities(logits)
    torch.testing.assert_close(found, torch.tensor([[1.0, 0, 0], [1 / 3] * 3], dtype=torch.float64))
    single = probabilities(torch.tensor([[-1e4], [0.0], [1e4]]))
    torch.testing.assert_close(single, torch.tensor([[1.0, 0], [0.5, 0.5], [0, 1]], dtype=torch.float64))


def test_confidence_falls_along_the_list(runs: Runs) -> None:
    confidence = views.mistakes(runs("digits")).confidence
    assert all(before >= after for before, after in pairwise(confidence))


def test_layers_before_training_and_kept_against_torch(runs: Runs) -> None:
    """Activations of torch modules with the run's weights, and the gradients that autograd gives there."""
    run = runs("digits")
    profiles = views.layer_profiles(run)
    assert profiles.moments[0].title == "before training"
    [kept] = [moment for moment in profiles.moments if "(kept)" in moment.title]
    network = load(run)
    rows = load_data(network.experiment).train.spaced(2048)
    assert profiles.rows == len(rows)
    y, activations = rows.inputs, []
    for layer in network.layers:
        y = layer(y)
        activations.append(y)
    weights = [parameter for parameter in network.parameters() if parameter.dim() == 2]
    gradients = torch.autograd.grad(torch.nn.functional.cross_entropy(y, rows.targets), weights)
    for index, (a, gradient) in enumerate(zip(activations, gradients, strict=True)):
        assert kept.mean[index] == pytest.approx(float(a.detach().mean()), rel=1e-4)
        assert kept.std[index] == pytest.approx(float(a.detach().std(correction=0)), rel=1e-4)
        assert kept.zero[index] == pytest.approx(float((a == 0).double().mean()), abs=1e-3)
        assert kept.gradient[index] == pytest.approx(float(gradient.norm()), rel=1e-3)


def test_layers_by_epoch_are_those_of_the_weights_on_record(tmp_path: Path) -> None:
    """Also of a run that was extended, whose lines are then one for each epoch."""
    overrides = ["training.record_layers=true", "training.epochs=2", "evaluation={split: none, keep: last}"]
    run = train(load_spec(CONFIGS / "digits.yaml", overrides), run_dir=tmp_path / "run").folder.path
    resume(run, epochs=4)
    profiles = views.layer_profiles(run)
    before, last = profiles.moments
    assert profiles.recorded is not None
    assert profiles.recorded["std"].shape == (5, 3)
    for name, by_epoch in profiles.recorded.items():
        at = {0: getattr(before, name), 4: getattr(last, name)}  # of 2,048 rows, and of 512 by epoch
        assert by_epoch[0] == pytest.approx(at[0], rel=0.2, abs=0.02)
        assert by_epoch[4] == pytest.approx(at[4], rel=0.3, abs=0.05)
    plain = train(load_spec(CONFIGS / "digits.yaml", [*overrides[1:], "training.epochs=4"]), run_dir=tmp_path / "plain")
    assert plain.folder.metrics.read_bytes() == (run / "metrics.jsonl").read_bytes()
    damaged = run / "layers.jsonl"
    damaged.write_text(damaged.read_text().replace("gradient_3", "gradient_4"))
    with pytest.raises(RunFolderError, match="gradient_3"):
        views.layer_profiles(run)
