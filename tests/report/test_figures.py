"""Pictures: what their axes say and hold, how they look in black and white, and the bytes they become."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from scipy.stats import entropy

from mlptrain import views
from mlptrain.data import Splits
from mlptrain.errors import DivergedError, RunFolderError, UserError
from mlptrain.experiment import resume, train, train_seeds
from mlptrain.experiment.build import load_data
from mlptrain.report.arrays import (
    AugmentedSamples,
    Confusion,
    InputHistogram,
    LabelledPoints,
    Mistakes,
    Residuals,
    Samples,
    WeightImages,
)
from mlptrain.report.curves import Look, draw_curves, draw_steps, thinned
from mlptrain.report.figures import (
    draw_activations,
    draw_confusion,
    draw_decisions,
    draw_histogram,
    draw_points,
    draw_residuals,
)
from mlptrain.report.history import History, read_curves, read_history, read_steps, run_labels
from mlptrain.report.images import draw_augmented, draw_mistakes, draw_samples, draw_weights, percentage
from mlptrain.report.layers import draw_layers
from mlptrain.report.style import class_colours, inline_svg, picture_bytes
from mlptrain.runs import RunFolder
from mlptrain.spec import load_spec
from tests.report.conftest import CONFIGS, Runs

SVG = "{http://www.w3.org/2000/svg}"


def history(label: str = "one", **values: list[float]) -> History:
    pairs = {key: (np.arange(1, len(v) + 1, dtype=float), np.array(v)) for key, v in values.items()}
    return History(label, "completed", "cross_entropy", "epoch", pairs)


def splits_of(run: Path) -> Splits:
    return load_data(RunFolder.open(run).experiment())


def texts(figure: Figure) -> list[str]:
    """Every piece of text that a reader of the picture's SVG finds."""
    root = ET.fromstring(picture_bytes(figure, "svg", text_as_shapes=False))
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


def test_curves_hold_the_runs_figures(runs: Runs) -> None:
    run = runs("digits")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    figure = draw_curves([read_history(run)])
    loss, accuracy = figure.axes
    for axes, metric in ((loss, "loss"), (accuracy, "accuracy")):
        train, validation, guess = axes.get_lines()
        np.testing.assert_array_equal(train.get_xdata(), [0.5, 1.5, 2.5, 3.5])
        np.testing.assert_array_equal(train.get_ydata(), [line[f"train_{metric}"] for line in lines[1:]])
        np.testing.assert_array_equal(validation.get_xdata(), [0, 1, 2, 3, 4])
        np.testing.assert_array_equal(validation.get_ydata(), [line[f"validation_{metric}"] for line in lines])
        counts = np.bincount(splits_of(run).train.targets.numpy())
        share = counts.max() / 1293
        expected = entropy(counts) if metric == "loss" else share
        np.testing.assert_allclose(np.asarray(guess.get_ydata()), expected, rtol=1e-6)
    shown = texts(figure)
    for wanted in (
        "run digits, data digits", "train, mean during the epoch", "validation, at the epoch's end",
        f"constant guess (loss {entropy(counts):.4g})", f"constant guess (most frequent class: {100 * share:.3g} %)",
        "accuracy (% of examples)",
    ):  # fmt: skip
        assert wanted in shown
    assert figure.axes[0].get_ylabel() == "cross-entropy (nats, mean per\nexample)"
    assert shown.count("epoch (passes over the training rows)") == 2


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([2.0, 0.2], "log"), ([2.0, 0.21], "linear"), ([2.0, 0.0], "linear"), ([5.0], "linear")],
)
def test_loss_is_logarithmic_from_a_decade_on(losses: list[float], scale: str) -> None:
    figure = draw_curves([history(train_loss=losses)])
    assert figure.axes[0].get_yscale() == scale
    assert any("logarithmic" in text for text in texts(figure)) == (scale == "log")


def test_regression_has_one_panel(runs: Runs) -> None:
    figure = draw_curves([read_history(runs("regression"))])
    assert len(figure.axes) == 1
    assert " ".join(figure.axes[0].get_ylabel().split()) == "squared error (target units², mean per example)"
    with pytest.raises(UserError, match="accuracy"):
        draw_curves([read_history(runs("regression"))], metrics=("accuracy",))


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    overrides = ["training.epochs=3", "training.record_steps=true"]
    return train_seeds(
        load_spec(CONFIGS / "digits.yaml", overrides), [3, 1, 2], run_dir=tmp_path_factory.mktemp("groups") / "seeds"
    ).group.path


def test_a_group_is_its_mean_in_the_band_of_its_seeds(group: Path) -> None:
    logs = [(group / f"seed-{seed}" / "metrics.jsonl").read_text().splitlines() for seed in (1, 2, 3)]
    lines = [[json.loads(line) for line in log] for log in logs]
    figure = draw_curves([read_curves(group)])
    for axes, metric in zip(figure.axes, ("loss", "accuracy"), strict=True):
        train, validation, _ = axes.get_lines()
        for line, key, skipped in ((train, f"train_{metric}", 1), (validation, f"validation_{metric}", 0)):
            values = np.array([[epoch[key] for epoch in seed[skipped:]] for seed in lines])
            np.testing.assert_allclose(np.asarray(line.get_ydata()), values.mean(axis=0), rtol=1e-12)
            band = axes.collections[1 - skipped]
            corners = np.asarray(band.get_paths()[0].vertices)
            for x, low, high in zip(np.asarray(line.get_xdata()), values.min(axis=0), values.max(axis=0), strict=True):
                assert {low, high} <= set(corners[corners[:, 0] == x, 1])
    shown = texts(figure)
    assert "band: lowest to highest of 3 seeds" in shown
    assert "group seeds, mean over 3 seeds, data digits" in shown
    stepwise = draw_steps([read_curves(group, steps=True)]).axes[0]
    mean, _ = stepwise.get_lines()
    window = int(re.search(r"last (\d+) steps", str(mean.get_label()))[1])  # type: ignore[index]
    losses = [np.load(group / f"seed-{seed}" / "steps.npz")["loss"][-window:].mean() for seed in (1, 2, 3)]
    assert np.asarray(mean.get_ydata())[-1] == pytest.approx(np.mean(losses))


def test_a_seed_that_diverged_is_left_out_of_the_mean(group: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(group, tmp_path / "copy")
    diverged = {"status": "diverged", "epoch": 1, "step": 1, "lr": 0.1, "message": "the loss is not finite"}
    for seed in (1, 2):
        (copy / f"seed-{seed}" / "result.json").write_text(json.dumps(diverged))
    history = read_curves(copy)
    assert "group copy (without 2 that diverged), data digits" in texts(draw_curves([history]))
    np.testing.assert_array_equal(
        history.values["validation_loss"][1], read_history(group / "seed-3").values["validation_loss"][1]
    )
    (copy / "seed-3" / "result.json").write_text(json.dumps(diverged))
    with pytest.raises(RunFolderError, match=r"every seed of .* diverged; name one of its runs"):
        read_curves(copy)


def test_scale_and_limits_are_the_readers(runs: Runs) -> None:
    drawn = [read_history(runs("digits"))]
    assert draw_curves(drawn, look=Look(log=True)).axes[0].get_yscale() == "log"
    linear = draw_curves(drawn, look=Look(log=False, limits={"loss": (0, 2), "accuracy": (0.9, 1)}))
    assert [axes.get_ylim() for axes in linear.axes] == [(0, 2), (0.9, 1)]
    assert draw_curves(drawn, look=Look(limits={"loss": (0, 2)})).axes[0].get_yscale() == "linear"
    assert len(draw_curves(drawn, look=Look(guess=False)).axes[0].get_lines()) == 2
    zeros = draw_curves([history(train_loss=[1.0, 0.0, 0.5])], look=Look(log=True))
    assert "Loss by epoch (logarithmic scale; losses of 0 are not shown)" in texts(zeros)
    with pytest.raises(UserError, match="no loss is above 0"):
        draw_curves([history(train_loss=[0.0])], look=Look(log=True))


def test_runs_on_the_same_data_share_the_line_of_the_guess(runs: Runs) -> None:
    def guess(value: float) -> History:
        return replace(history("one", train_accuracy=[0.2, 0.9]), guess={"accuracy": value})

    def lines(*values: float) -> list[str]:
        drawn = draw_curves([guess(value) for value in values]).axes[0].get_lines()
        return [str(line.get_label()) for line in drawn if "constant guess" in str(line.get_label())]

    assert lines(0.1) == ["constant guess (most frequent class: 10 %)"]
    assert lines(0.1, 0.104) == ["constant guess (most frequent class: about 10.2 %)"]
    assert len(lines(0.1, 0.3, 0.1)) == 2


@pytest.mark.parametrize(("size", "power"), [(1e10, "1e10"), (1e-9, "1e\N{MINUS SIGN}9")])
def test_no_power_of_ten_stands_over_the_axes(size: float, power: str) -> None:
    """Where titles are: each tick says its own."""
    shown = texts(draw_curves([history(train_loss=[1.0 * size, 1.5 * size, 2.0 * size])]))
    assert power not in shown
    ticks = [text.replace("\N{MINUS SIGN}", "-") for text in shown if text.endswith(power.removeprefix("1"))]
    assert sum(0.9 * size <= float(tick) <= 2.1 * size for tick in ticks) >= 3


def test_predicted_against_true_values_and_residuals(runs: Runs) -> None:
    fit = views.residuals(runs("regression"))
    figure = draw_residuals(fit)
    against, residuals = (np.asarray(axes.collections[0].get_offsets()) for axes in figure.axes)
    np.testing.assert_array_equal(against, np.column_stack([fit.true[:, 0], fit.predicted[:, 0]]))
    np.testing.assert_allclose(residuals[:, 1], fit.predicted[:, 0] - fit.true[:, 0])
    assert "run regression, data random_regression: 64 train examples" in texts(figure)
    rms = np.sqrt(np.mean((fit.predicted - fit.true) ** 2))
    assert figure.axes[1].get_title(loc="left") == f"Residuals (root mean square {rms:.3g})"
    assert figure.axes[0].get_xlim() == figure.axes[0].get_ylim()
    assert figure.axes[0].get_aspect() == 1
    two = np.random.default_rng(0).normal(size=(9, 7))
    assert len(draw_residuals(Residuals("many", "test", two, two + 1)).axes) == 8


def test_runs_with_other_losses_share_no_name() -> None:
    other = History("two", "completed", "mse", "epoch", history(train_loss=[1.0, 2.0]).values)
    assert "each run's own" in draw_curves([history(train_loss=[1.0, 2.0]), other]).axes[0].get_ylabel()


def test_lines_differ_without_colour() -> None:
    drawn = [history(f"run {n}", train_loss=[1.0, 0.9], validation_loss=[1.1, 1.0]) for n in range(20)]
    lines = draw_curves(drawn).axes[0].get_lines()
    assert len(lines) == 40
    looks = [(line.get_marker(), line.get_markerfacecolor() == "white", line.get_linestyle()) for line in lines[:16]]
    assert all(one != other for one, other in combinations(looks, 2))
    with_colour = [(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines]
    assert len(set(with_colour)) == 40


def test_neighbouring_classes_differ_in_lightness() -> None:
    weights = np.array([0.299, 0.587, 0.114])  # of luma
    lightness = class_colours(3) @ weights
    assert min(abs(one - other) for one, other in combinations(lightness, 2)) > 0.1
    assert len({tuple(colour) for colour in class_colours(40)}) == 40


def test_thinning_keeps_every_extreme() -> None:
    rng = np.random.default_rng(0)
    x, y = np.arange(100_000.0), rng.normal(size=100_000)
    y[[777, 54_321]] = 50, -50
    kept_x, kept_y = thinned(x, y)
    assert len(kept_x) <= 1500
    assert (kept_x[0], kept_x[-1]) == (0, 99_999)
    assert (np.diff(kept_x) > 0).all()
    np.testing.assert_array_equal(kept_y, y[kept_x.astype(int)])
    assert {50.0, -50.0} <= set(kept_y)
    assert thinned(x[:1500], y[:1500])[0] is not None
    np.testing.assert_array_equal(thinned(x[:1500], y[:1500])[1], y[:1500])


def test_step_curves_hold_every_step_and_its_running_mean(runs: Runs) -> None:
    run = runs("digits")
    saved = np.load(run / "steps.npz")
    figure = draw_steps([read_steps(run)])
    raw, mean, _ = figure.axes[0].get_lines()
    np.testing.assert_array_equal(raw.get_ydata(), saved["loss"])
    window = int(re.search(r"last (\d+) steps", str(mean.get_label()))[1])  # type: ignore[index]
    at, value = int(np.asarray(mean.get_xdata())[-1]), float(np.asarray(mean.get_ydata())[-1])
    assert at == len(saved["loss"])
    assert value == pytest.approx(saved["loss"][-window:].mean())
    assert len(figure.axes) == 2


def test_steps_need_a_record(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no steps on record; train with --set training\.record_steps=true"):
        read_steps(runs("spirals"))
    run = shutil.copytree(runs("digits"), tmp_path / "run")
    (run / "steps.npz").write_bytes(b"PK nothing")
    with pytest.raises(RunFolderError, match="damaged"):
        read_steps(run)


def test_unfinished_runs_say_so(runs: Runs, tmp_path: Path) -> None:
    run = shutil.copytree(runs("digits"), tmp_path / "run")
    (run / "result.json").unlink()
    assert "run run (interrupted), data digits" in texts(draw_curves([read_history(run)]))
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(RunFolderError, match="has no epoch yet to draw; resume with `mlptrain train --resume"):
        read_history(run)
    with RunFolder.open(run), pytest.raises(RunFolderError, match="it is being trained, so draw it later"):
        read_history(run)


def test_a_run_that_diverged_at_once_is_not_to_be_resumed(tmp_path: Path) -> None:
    """As `train --resume` refuses it."""
    overrides = ["optimizer.lr=1e+30", "evaluation={split: none, keep: last}"]
    with pytest.raises(DivergedError):
        train(load_spec(CONFIGS / "digits.yaml", overrides), run_dir=tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"diverged in its first epoch .* start a new run with a smaller") as told:
        read_history(tmp_path / "run")
    assert "--resume" not in str(told.value)
    with pytest.raises(RunFolderError, match="diverged"):
        resume(tmp_path / "run")


def test_labels_are_the_shortest_that_differ(runs: Runs, tmp_path: Path) -> None:
    digits, spirals = runs("digits"), runs("spirals")
    assert run_labels([digits, spirals]) == ["digits", "spirals"]
    assert run_labels([spirals, runs("two spirals")]) == ["spirals", "two-spirals"]
    copy = shutil.copytree(spirals, tmp_path / "spirals")
    assert run_labels([spirals, copy]) == [str(spirals), str(copy)]
    other = shutil.copytree(spirals, tmp_path / "a\x1b[31m" / "spirals")
    assert run_labels([spirals, other]) == [str(spirals), str(other).replace("\x1b", r"\x1b")]


def test_a_dollar_sign_is_a_dollar_sign() -> None:
    shown = texts(draw_curves([history(r"$\frac{a", train_loss=[1.0, 10.0]), history("_b", train_loss=[1.0])]))
    assert r"$\frac{a" in shown
    assert "_b" in shown


def test_activations_have_a_panel_each() -> None:
    figure = draw_activations(views.activation_curves(["relu", "sigmoid", "tanh", "arctan", "half_tanh"]))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.splitlines()[0] for title in titles] == ["relu", "sigmoid", "tanh", "arctan", "half_tanh"]
    assert titles[1].splitlines()[1] == r"$f(z) = 1/(1 + e^{-z})$"
    assert {"function", "gradient", "input z (no unit)", "value (no unit)"} <= set(texts(figure))
    higher = texts(draw_activations(views.activation_curves(["half_tanh"], derivatives=6)))
    assert "6th derivative" in higher


def test_activations_with_settings_are_told_apart_by_their_titles() -> None:
    curves = views.activation_curves(
        ["elu:alpha=0.5", "elu:alpha=2", "leaky_relu:slope=0.2", "softplus:beta=3", "selu"]
    )
    titles = [axes.get_title(loc="left") for axes in draw_activations(curves).axes]
    assert [title.splitlines()[0] for title in titles] == [
        *("elu, α = 0.5", "elu, α = 2", "leaky_relu, α = 0.2", "softplus, β = 3"),
        "selu, α = 1.67326, λ = 1.0507",
    ]
    assert r"\beta" in titles[3]


@pytest.mark.parametrize("names", [["relu", "sigmoid", "tanh"], list(views.ACTIVATION_NAMES)])
def test_shared_axes_are_the_same_in_every_panel(names: list[str]) -> None:
    curves = views.activation_curves(names)
    limits = {axes.get_ylim() for axes in draw_activations(curves, shared=True).axes}
    assert len(limits) == 1
    [(low, high)] = limits
    assert all(low < np.nanmin(curve.values) and np.nanmax(curve.values) < high for curve in curves)
    assert len({axes.get_ylim() for axes in draw_activations(curves).axes}) > 1


def test_activations_on_top_of_one_another() -> None:
    curves = views.activation_curves(["elu", "elu:alpha=2", "half_tanh"], derivatives=2)
    figure = draw_activations(curves, overlay=True)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["function", "gradient", "2nd derivative"]
    for order, axes in enumerate(figure.axes):
        drawn = axes.get_lines()[2:]  # after the two axes through the origin
        assert len(drawn) == 3
        for line, curve in zip(drawn, curves, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), curve.values[order])
    [legend] = figure.legends
    labels = [text.get_text().split(":")[0] for text in legend.get_texts()]
    assert labels == ["elu, α = 1", "elu, α = 2", "half_tanh"]
    picture_bytes(figure, "svg")  # every formula can be set


def test_decision_panels_name_widths_and_accuracy(runs: Runs) -> None:
    maps = [views.decision_map(runs(kind), label=kind) for kind in ("spirals", "wide spirals")]
    figure = draw_decisions(maps)
    for axes, found, widths in zip(figure.axes, maps, ("2-15-3", "2-4-5-3"), strict=True):
        title = axes.get_title(loc="left")
        assert widths in title
        assert f"training accuracy {100 * found.accuracy:.1f} %" in title
    assert {"class 0", "class 1", "class 2"} <= set(texts(figure))


@pytest.mark.parametrize("panels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("label", ["a", "a run whose name needs a line more", "a name that goes on " * 5])
def test_titles_of_decision_panels_are_whole(runs: Runs, panels: int, label: str) -> None:
    maps = [views.decision_map(runs("spirals"), label=f"{label} {n}") for n in range(panels)]
    figure = draw_decisions(maps)
    picture_bytes(figure, "png")
    titles = [text for text in figure.findobj(Text) if "training accuracy" in text.get_text()]
    assert len(titles) == panels
    assert all(title.get_window_extent().y1 <= figure.bbox.y1 for title in titles)
    for axes in figure.axes:
        below = axes.xaxis.label.get_window_extent()
        assert not below.overlaps(figure.legends[0].get_window_extent())


def test_the_title_over_the_layers_is_whole(runs: Runs) -> None:
    profiles = replace(views.layer_profiles(runs("digits")), model="64-64-10 relu, " + "batch norm, dropout 0.1, " * 6)
    figure = draw_layers(profiles)
    picture_bytes(figure, "png")
    [title] = [text for text in figure.findobj(Text) if "training rows" in text.get_text()]
    box = title.get_window_extent()
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1


def test_decision_colours_follow_the_probabilities(runs: Runs) -> None:
    found = views.decision_map(runs("spirals"))
    (image,) = draw_decisions([found]).axes[0].get_images()
    drawn = np.asarray(image.get_array())
    sure = found.probabilities.max(axis=2) > 0.75
    nearest = ((drawn[:, :, None] - (0.5 + 0.5 * class_colours(3))) ** 2).sum(axis=-1).argmin(axis=-1)
    np.testing.assert_array_equal(nearest[sure], found.probabilities.argmax(axis=2)[sure])


def test_confusion_writes_every_count() -> None:
    counts = np.array([[40, 2], [1, 1357]])
    figure = draw_confusion(Confusion("mine", "test", counts, ("cat", "dog")))
    # Columns are predicted classes, from the left; rows are true ones, from the top.
    cells = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert cells == {(0, 0): "40", (1, 0): "2", (0, 1): "1", (1, 1): "1,357"}
    assert figure.axes[0].get_xlabel().startswith("predicted class")
    shown = texts(figure)
    assert {"40", "2", "1", "1,357", "cat", "dog", "true class"} <= set(shown)
    assert figure.get_suptitle() == "mine: 3 wrong of 1,400 test examples"


def test_confusion_of_long_names_is_not_cut_off() -> None:
    names = tuple(f"number {index} of the species with very long names" for index in range(20))
    label = "run long-20260101T000000Z-0000, data with_a_long_name.csv"
    figure = draw_confusion(Confusion(label, "test", np.eye(20, dtype=np.int64), names))
    picture_bytes(figure, "png")  # fixes the layout
    assert figure.get_tightbbox().width < figure.get_figwidth()
    assert figure.get_tightbbox().height < figure.get_figheight()
    matrix, bar = (axes.get_tightbbox() for axes in figure.axes)
    assert matrix is not None
    assert bar is not None
    assert matrix.x1 < bar.x0


def test_confusion_of_very_many_classes_is_drawn() -> None:
    counts = np.eye(100, dtype=np.int64)
    draw_confusion(Confusion("many", "test", counts, tuple(map(str, range(100)))))


def test_histogram_states_its_numbers() -> None:
    histogram = InputHistogram("x", "unit", "pixel", 2, np.array([3, 0, 5]), np.linspace(0, 1, 4), 0.25, 0.5)
    figure = draw_histogram(histogram)
    heights = [bar.get_height() for bar in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert heights == [3, 0, 5]
    shown = " ".join(texts(figure))
    for wanted in (
        "8 values from 0.000 to 1.000 in 3 bins",
        "mean 0.2500",
        "pixel value after scaling (unit; no unit)",
    ):
        assert wanted in shown


def test_sheets_of_images() -> None:
    images = np.random.default_rng(0).normal(size=(5, 4, 4))
    labels, names = np.array([0, 1, 0, 1, 0]), ("T-shirt/top", "Bag")
    samples = draw_samples(Samples("clothes", "standard", images, labels, names, np.arange(5)))
    assert texts(samples).count("T-shirt/top") == 3
    assert "row 4" in texts(samples)
    np.testing.assert_array_equal(np.asarray(samples.axes[0].get_images()[1].get_array()), images[1])
    index = np.array([70, 3, 12, 99, 0])
    mistakes = Mistakes("clothes", "test", 9, 100, images, labels, 1 - labels, np.linspace(1, 0.5, 5), names, index)
    shown = texts(draw_mistakes(mistakes))
    assert [text for text in shown if text.startswith("row ")] == [f"row {row}" for row in index]
    assert "T-shirt/top → Bag" in shown
    assert "50.0 %" in shown
    assert any("9 wrong in 100 test images" in text for text in shown)
    weights = draw_weights(WeightImages("clothes", images, np.array([3, 5, 8, 9, 11]), 12))
    assert {"3", "11"} <= set(texts(weights))
    low, high = weights.axes[0].get_images()[0].get_clim()
    assert low == -high
    single = draw_samples(Samples("one", "unit", images[:1] * 0, labels[:1], names, index[-1:]))
    assert "one: the first training image" in texts(single)


def test_augmented_samples_stand_beside_their_images() -> None:
    random = np.random.default_rng(0)
    images, drawn = random.normal(size=(2, 4, 4)), random.normal(size=(2, 3, 4, 4))
    samples = Samples("clothes", "standard", images, np.array([1, 0]), ("T-shirt/top", "Bag"), np.arange(2))
    mixtures = [["91 % Bag\n9 % T-shirt/top", "", ""], ["", "", ""]]
    figure = draw_augmented(AugmentedSamples(samples, "shift 2, mixup 0.2", drawn, mixtures))
    assert {"Bag · row 0", "T-shirt/top · row 1", "91 % Bag", "shift 2, mixup 0.2"} <= set(texts(figure))
    shown = figure.axes[0].get_images()
    for row in range(2):
        for column, expected in enumerate([images[row], *drawn[row]]):
            np.testing.assert_array_equal(np.asarray(shown[4 * row + column].get_array()), expected)
    frames = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert [frame.get_linewidth() > 1 for frame in frames] == [True, False, False, False] * 2
    left = [frame.get_x() for frame in frames[:4]]
    assert left[1] - left[0] > left[2] - left[1] == pytest.approx(left[3] - left[2])


def test_points() -> None:
    points = LabelledPoints("two", np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 1]), ("a", "b"))
    assert {"two: 2 training points", "class a", "class b"} <= set(texts(draw_points(points)))


@pytest.mark.parametrize(
    ("fraction", "text"), [(1, "100.0 %"), (0.99999, "> 99.9 %"), (0.9994, "99.9 %"), (0.5, "50.0 %"), (0, "0.0 %")]
)
def test_percentages_do_not_claim_certainty(fraction: float, text: str) -> None:
    assert percentage(fraction) == text


def test_the_same_picture_gives_the_same_bytes_whatever_the_users_settings() -> None:
    def drawn() -> tuple[bytes, bytes]:
        figure = draw_activations(views.activation_curves(["tanh"]))
        return picture_bytes(figure, "png"), picture_bytes(figure, "svg")

    first = drawn()
    assert first[0].startswith(b"\x89PNG\r\n\x1a\n")
    assert ET.fromstring(first[1]).tag == f"{SVG}svg"
    settings: dict[Any, Any] = {"axes.facecolor": "black", "font.size": 30, "svg.hashsalt": None, "savefig.dpi": 20}
    with mpl.rc_context(settings):
        assert drawn() == first
        assert mpl.rcParams["font.size"] == 30


def test_inline_pictures_do_not_share_ids() -> None:
    figure = draw_curves([history(train_loss=[1.0, 0.5], validation_loss=[1.0, 0.6])])
    pictures = [inline_svg(figure, prefix=p, title="<b>", description='"&') for p in ("loss", "accuracy")]
    ids = []
    for picture in pictures:
        root = ET.fromstring(picture)
        own = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        used = re.findall(r'(?:url\(#|href="#)([^")]+)', picture)
        assert used
        assert set(used) <= set(own)
        assert root.find(f"{SVG}title").text == "<b>"  # type: ignore[union-attr]
        assert root.find(f"{SVG}desc").text == '"&'  # type: ignore[union-attr]
        assert root.attrib["role"] == "img"
        assert set(root.attrib["aria-labelledby"].split()) <= set(own)
        assert root.find(f".//{SVG}style") is None
        ids += own
    assert len(ids) == len(set(ids))
