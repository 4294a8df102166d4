"""Pictures of a comparison: they hold the summary's figures, one look per optimizer, and no text is cut."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations
from typing import Literal

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PolyCollection
from matplotlib.colors import same_color, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation, Text

from mlptrain.report.comparison.curves import draw_learning_curves, draw_learning_rates
from mlptrain.report.comparison.figures import draw_differences, draw_scores, draw_times
from mlptrain.report.comparison.rates import good_range, rates_are_tuned
from mlptrain.report.style import INK, new_figure, picture_bytes, set_log_scale
from mlptrain.runs.comparison import Summary
from tests.report.comparison_samples import KINDS, Samples, summary_of

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def six(samples: Samples) -> Summary:
    return summary_of(samples("six"))


@pytest.fixture(scope="module")
def failures(samples: Samples) -> Summary:
    return summary_of(samples("failures"))


def drawn(summary: Summary) -> dict[str, Figure]:
    figures = {"scores": draw_scores(summary), "differences": draw_differences(summary)}
    if summary.target is not None:
        figures["times"] = draw_times(summary)
    if any(entry.curves for entry in summary.optimizers.values()):
        figures |= {metric: draw_learning_curves(summary, metric) for metric in ("loss", "accuracy")}
    if rates_are_tuned(summary):
        figures["rates"] = draw_learning_rates(summary)
    return figures


def texts(figure: Figure) -> list[str]:
    """Every line of text in the picture's SVG."""
    root = ET.fromstring(picture_bytes(figure, "svg", text_as_shapes=False))
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


def dots(axes: Axes, row: float) -> list[tuple[float, float, Line2D]]:
    """The signs of the trials in a row: their places, and the line that each belongs to."""
    lines = [line for line in axes.get_lines() if line.get_linestyle() == "None" and abs(y_of(line) - row) < 0.45]
    return [
        (float(x), float(y), line)
        for line in lines
        for x, y in zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True)
    ]


def x_of(line: Line2D) -> float:
    return float(np.asarray(line.get_xdata())[0])


def y_of(line: Line2D) -> float:
    return float(np.asarray(line.get_ydata())[0])


def test_every_score_is_a_dot_in_its_row_the_best_on_top(six: Summary) -> None:
    figure = draw_scores(six)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == six.ranking
    low, high = axes.get_xlim()
    for row, (_, entry) in enumerate(six.ranked):
        scores = [trial.score for trial in entry.trials]
        found = dots(axes, row)
        assert sorted(x for x, _, _ in found) == sorted(scores)
        assert low < min(scores) <= max(scores) < high
        places = {(round(x, 6), round(y, 3)) for x, y, _ in found}
        assert len(places) == len(scores), "equal scores hide each other"
        (mean,) = [line for line in axes.get_lines() if line.get_color() == INK and abs(y_of(line) + 0.42 - row) < 0.01]
        assert x_of(mean) == pytest.approx(np.mean(scores))
    shown = texts(figure)
    for entry in six.optimizers.values():
        assert f"{100 * entry.accuracy.mean:.2f} %" in shown
    assert "test accuracy over 10 seeds" in " ".join(shown)
    assert shown.count("worse") + shown.count("not decided") + shown.count("tie") == 5


def test_scores_far_below_stand_as_text_and_leave_room_for_the_rest(failures: Summary) -> None:
    figure = draw_scores(failures)
    (axes,) = figure.axes
    lasting = [t.score for entry in failures.optimizers.values() for t in entry.trials if t.status == "completed"]
    low, high = axes.get_xlim()
    assert low < min(lasting)
    assert max(lasting) < high
    assert high - low < 2 * (max(lasting) - min(lasting))
    shown = " ".join(texts(figure))
    assert "◀ 12.22 % (4 of 10 seeds diverged)" in shown
    assert "◀ 12.22 % (10 of 10 seeds did not learn)" in shown
    assert "◀ 12.22 % (10 of 10 seeds failed)" in shown
    assert "diverged or failed" in shown


def test_trials_far_below_that_learnt_are_not_called_failed(failures: Summary) -> None:
    idle = next(
        name for name, entry in failures.optimizers.items() if {t.status for t in entry.trials} == {"did not learn"}
    )
    entry = failures.optimizers[idle]
    trials = [trial.model_copy(update={"status": "completed"}) if trial.seed < 2 else trial for trial in entry.trials]
    changed = {**failures.optimizers, idle: entry.model_copy(update={"trials": trials})}
    shown = " ".join(texts(draw_scores(failures.model_copy(update={"optimizers": changed}))))
    assert "(10 of 10 seeds, 8 did not learn)" in shown


def test_scores_all_over_the_place_are_all_shown(six: Summary) -> None:
    values = read_scores(
        six, {"SGD": 0.5, "momentum": 0.6, "Nesterov": 0.91, "RMSprop": 0.97, "Adam": 0.2, "AdamW": 0.4}
    )
    (axes,) = draw_scores(values).axes
    assert axes.get_xlim()[0] < 0.2
    # One optimizer that stands out to the top is no reason to hide all others.
    values = read_scores(six, dict.fromkeys(six.optimizers, 0.2) | {"Adam": 0.9})
    (axes,) = draw_scores(values).axes
    assert axes.get_xlim()[0] < 0.2


def read_scores(summary: Summary, scores: dict[str, float]) -> Summary:
    """The comparison with scores close to those given."""
    values = summary.plain()
    for name, score in scores.items():
        for place, trial in enumerate(values["optimizers"][name]["trials"]):
            trial["score"] = trial["accuracy"] = score + place / 10_000
        values["optimizers"][name]["accuracy"]["mean"] = score
    return Summary.model_validate(values)


def test_differences_have_the_pairs_means_and_intervals(six: Summary) -> None:
    (axes,) = draw_differences(six).axes
    best = six.ranking[0]
    for row, name in enumerate(six.ranking[1:]):
        (pair,) = [pair for pair in six.pairs if {pair.a, pair.b} == {best, name}]
        sign = 1 if pair.a == name else -1
        assert pair.low is not None
        assert pair.high is not None
        (dot,) = dots_of_rows(axes, row)
        assert x_of(dot) == pytest.approx(sign * pair.mean)
        (line,) = [one for one in axes.get_lines() if one.get_linewidth() == 2.4 and y_of(one) == row]
        np.testing.assert_allclose(np.sort(line.get_xdata()), np.sort([sign * pair.low, sign * pair.high]))
    bands = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert (bands[0].get_x(), bands[0].get_width()) == pytest.approx((-0.001, 0.002))


def with_intervals(summary: Summary, ends: dict[int, tuple[float, float]]) -> Summary:
    """With other intervals around the mean differences of the arms in some rows."""
    best, *others = summary.ranking
    pairs = []
    for pair in summary.pairs:
        row = next((row for row in ends if {pair.a, pair.b} == {best, others[row]}), None)
        below, above = (0.001, 0.001) if row is None else ends[row]
        below, above = (below, above) if pair.b == best else (above, below)
        pairs.append(pair.model_copy(update={"low": pair.mean - below, "high": pair.mean + above}))
    return summary.model_copy(update={"pairs": pairs})


def test_no_interval_is_cut_without_an_arrow(six: Summary) -> None:
    """Intervals that are wider than the means lie apart are on the axis; one that dwarfs all others has an arrow."""
    wide = with_intervals(six, {row: (0.2 + row / 1000, 0.3) for row in range(5)})
    (axes,) = draw_differences(wide).axes
    low, high = axes.get_xlim()
    for line in axes.get_lines():
        if line.get_linewidth() == 2.4:
            assert low < min(np.asarray(line.get_xdata()))
            assert max(np.asarray(line.get_xdata())) < high
    assert not {"◀", "▶"} & set(texts(draw_differences(wide)))
    one = with_intervals(six, {2: (0.5, 0.001)})
    (axes,) = draw_differences(one).axes
    assert np.ptp(axes.get_xlim()) < 0.1
    arrows = [text for text in axes.texts if isinstance(text, Annotation) and text.get_text() == "◀"]
    assert [text.xy for text in arrows] == [(0.0, 2)]
    assert "▶" not in texts(draw_differences(one))


def with_differences(summary: Summary, differences: dict[str, float]) -> Summary:
    """With other mean differences from the best, and intervals of 0.001 around them."""
    best = summary.ranking[0]
    pairs = []
    for pair in summary.ranked_pairs:
        mean = -differences[pair.b] if pair.a == best else pair.mean
        pairs.append(pair.model_copy(update={"mean": mean, "low": mean - 0.001, "high": mean + 0.001}))
    return summary.model_copy(update={"pairs": pairs})


@pytest.mark.parametrize("fate", ["completed", "diverged", "failed"])
def test_of_a_few_arms_none_is_off_the_scale_that_lasted(six: Summary, fate: str) -> None:
    """A difference of 20 points beside four of 0.3 stands on the axis; one of an arm that diverged at its edge."""
    *near, far = six.ranking[1:]
    summary = with_differences(six, dict.fromkeys(near, -0.003) | {far: -0.2})
    if fate != "completed":
        lost = summary.optimizers[far].model_copy(update={fate: 1})
        summary = summary.model_copy(update={"optimizers": {**summary.optimizers, far: lost}})
    figure = draw_differences(summary)
    low, high = figure.axes[0].get_xlim()
    arrows = [text for text in texts(figure) if "◀" in text or "▶" in text]
    assert (low < -0.2 < high, arrows) == ((True, []) if fate == "completed" else (False, ["◀ −20.00"]))
    assert low < -0.003 < high


def dots_of_rows(axes: Axes, row: int) -> list[Line2D]:
    return [line for line in axes.get_lines() if line.get_markersize() == 8 and y_of(line) == row]


def test_times_are_dots_at_their_epochs_and_misses_stand_apart(failures: Summary) -> None:
    (axes,) = draw_times(failures).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(names) == sorted(failures.ranking)
    for row, name in enumerate(names):
        times = failures.optimizers[name].epochs_to_target
        assert times is not None
        found = dots(axes, row)
        reached = [x for x, _, dot in found if dot.get_marker() != "x"]
        assert sorted(reached) == sorted(epoch for epoch in times.trials if epoch is not None)
        misses = [x for x, _, dot in found if dot.get_marker() == "x"]
        assert len(misses) == times.trials.count(None)
        assert all(x > failures.epochs for x in misses)
    assert "not reached" in texts(draw_times(failures))


def test_curves_hold_mean_and_spread(six: Summary) -> None:
    cases: tuple[tuple[Literal["loss", "accuracy"], str, float], ...] = (
        ("loss", "train_loss", 0.5),  # means during an epoch lie at its middle
        ("accuracy", "validation_accuracy", 0),
    )
    for metric, key, first in cases:
        (axes,) = draw_learning_curves(six, metric).axes
        lines = {str(line.get_label()): line for line in axes.get_lines()}
        bands = [band for band in axes.collections if isinstance(band, PolyCollection)]
        assert len(bands) == 6
        for (name, entry), band in zip(six.ranked, bands, strict=True):
            curve = entry.curves[key]
            np.testing.assert_array_equal(lines[name].get_xdata(), first + np.arange(20 if metric == "loss" else 21))
            np.testing.assert_array_equal(lines[name].get_ydata(), curve.mean)
            corners = {tuple(corner) for corner in np.asarray(band.get_paths()[0].vertices).tolist()}
            for epoch, (low, high) in enumerate(zip(curve.low, curve.high, strict=True)):
                assert {(epoch + first, low), (epoch + first, high)} <= corners
        assert ("target" in lines) == (metric == "accuracy")


def test_many_optimizers_get_a_panel_each(samples: Samples) -> None:
    summary = summary_of(samples("fifteen"))
    figure = draw_learning_curves(summary, "loss")
    lasting = [name for name, entry in summary.ranked if entry.curves]
    assert len(lasting) == 14
    titles = [" ".join(axes.get_title(loc="left").split()) for axes in figure.axes]
    assert titles == lasting
    for axes, name in zip(figure.axes, lasting, strict=True):
        np.testing.assert_array_equal(
            axes.get_lines()[0].get_ydata(), summary.optimizers[name].curves["train_loss"].mean
        )
        assert len(axes.collections[0].get_paths()) == 13  # the others in grey
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_rates_at_which_no_seed_learns_have_no_good_range(six: Summary) -> None:
    for entry in six.optimizers.values():
        lost = [trial.model_copy(update={"status": "did not learn"}) for trial in entry.trials]
        one_learnt = [lost[0].model_copy(update={"status": "completed"}), *lost[1:]]
        assert good_range(entry.model_copy(update={"trials": lost})) is None
        assert good_range(entry.model_copy(update={"trials": one_learnt})) == good_range(entry) is not None


def test_every_tried_rate_is_shown_with_medians_choice_and_good_range(six: Summary) -> None:
    figure = draw_learning_rates(six)
    assert len(figure.axes) == 6
    for axes, (_, entry) in zip(figure.axes, six.ranked, strict=True):
        assert axes.get_xscale() == "log"
        shown, crosses, medians, chosen = axes.get_lines()
        tried = [(one.setting["lr"], value) for one in entry.tuning for value in one.accuracies]
        points = list(zip(np.asarray(shown.get_xdata()), np.asarray(shown.get_ydata()), strict=True))
        assert points == [(rate, value) for rate, value in tried if value is not None]
        assert list(np.asarray(crosses.get_xdata())) == [rate for rate, value in tried if value is None]
        wanted = {
            one.setting["lr"]: np.median([-1 if v is None else v for v in one.accuracies]) for one in entry.tuning
        }
        assert dict(zip(np.asarray(medians.get_xdata()), np.asarray(medians.get_ydata()), strict=True)) == wanted
        assert entry.rate is not None
        assert (x_of(chosen), y_of(chosen)) == (entry.rate, wanted[entry.rate])
        (band,) = axes.patches
        assert isinstance(band, Rectangle)
        good = good_range(entry)
        assert good is not None
        ends = (good.low, good.high)
        assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx(ends, rel=0.03)
        told = "no other tried rate is as good" if good.is_alone else f"{good.decades:#.2g} decades"
        assert told in axes.get_title(loc="left")


def shown_labels(axis: Axis, figure: Figure) -> list[str]:
    figure.canvas.draw()
    unseen = {id(label) for label in beyond(axis)}
    labels = [tick.label1 for tick in axis.get_major_ticks() + axis.get_minor_ticks()]
    return [label.get_text() for label in labels if label.get_text() and id(label) not in unseen]


@pytest.mark.parametrize("rates", [(0.003, 0.01, 0.02, 0.03), (0.02, 0.025, 0.03, 0.035), (0.01, 0.1, 1.0, 10.0)])
def test_an_axis_of_rates_has_two_labels_at_least(six: Summary, rates: tuple[float, ...]) -> None:
    values = six.plain()
    for entry in values["optimizers"].values():
        for tried, rate in zip(entry["tuning"], rates, strict=True):
            tried["setting"]["lr"] = rate
    figure = draw_learning_rates(Summary.model_validate(values))
    labels = [float(label) for label in shown_labels(figure.axes[-1].xaxis, figure)]
    assert len(labels) >= 2
    assert min(labels) < 2 * min(rates)
    assert max(labels) > max(rates) / 2


FAR_APART = {
    "two": ((1e-3, 1e-2, 1.0, 10.0), (1e-6, 1e-5, 1e-4, 1e-3)),
    "one among the others": ((0.01, 0.1, 1.0, 10.0), (1e7, 1e8, 1e9, 1e10)),
    "wide": ((1e-12, 1e-6, 1.0, 1e9),),
    "narrow": ((0.0123, 0.0124, 0.0125, 0.0126),),
    "all over": ((1e-8, 1e-6, 1e-4, 1e-2), (1e-3, 0.1, 10.0, 1e3), (0.02, 0.03, 0.045, 0.07)),
}


@pytest.mark.parametrize("kind", ["plain", "six", "fifteen"])
@pytest.mark.parametrize("rates", list(FAR_APART))
def test_labels_of_rates_keep_apart(samples: Samples, kind: str, rates: str) -> None:
    values = summary_of(samples("six" if kind == "plain" else kind)).plain()
    if kind == "plain":
        for name in list(values["optimizers"])[2:]:
            values["optimizers"][name]["tuning"] = []
    for arm, entry in enumerate(values["optimizers"].values()):
        chosen = FAR_APART[rates][arm % len(FAR_APART[rates])]
        for tried, rate in zip(entry["tuning"], chosen, strict=False):
            tried["setting"]["lr"] = rate
        entry["setting"]["lr"] = chosen[1]
    figure = draw_learning_rates(Summary.model_validate(values))
    figure.canvas.draw()
    boxes = []
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert all(low < x < high for line in axes.get_lines()[:1] for x in np.asarray(line.get_xdata()))
        unseen = {id(label) for label in beyond(axes.xaxis)}
        labels = [tick.label1 for tick in axes.xaxis.get_major_ticks() + axes.xaxis.get_minor_ticks()]
        shown = [label for label in labels if label.get_text() and label.get_visible() and id(label) not in unseen]
        assert len(shown) >= 2 or not axes.xaxis.get_tick_params()["labelbottom"]
        boxes += [label.get_window_extent() for label in shown]
    crossing = [(one, other) for one, other in combinations(boxes, 2) if one.overlaps(other)]
    assert not crossing
    spans = [np.log(axes.get_xlim()[1] / axes.get_xlim()[0]) for axes in figure.axes]
    np.testing.assert_allclose(spans, spans[0])


def test_curves_of_arms_that_never_learn_do_not_squeeze_the_others(six: Summary) -> None:
    values = six.plain()
    idle = values["optimizers"]["Adam"]
    idle["curves"]["train_loss"] = {
        key: [1e9 * value for value in line] for key, line in idle["curves"]["train_loss"].items()
    }
    idle["completed"], idle["did_not_learn"] = 0, 10
    figure = draw_learning_curves(Summary.model_validate(values), "loss")
    [axes] = figure.axes
    assert axes.get_ylim()[1] < 10
    assert "beyond the axis: Adam" in texts(figure)
    assert "beyond the axis: Adam" not in texts(draw_learning_curves(six, "loss"))


@pytest.mark.parametrize("ends", [(0.2, 9), (0.011, 0.9), (0.3, 4), (2, 3), (0.01, 5)])
def test_a_logarithmic_axis_has_two_labels_at_least(ends: tuple[float, float]) -> None:
    figure = new_figure(3, 3)
    axes = figure.add_subplot()
    axes.plot([0, 1], ends)
    set_log_scale(axes)
    axes.set_ylim(*ends)
    assert len(shown_labels(axes.yaxis, figure)) >= 2


def test_even_steps_up_the_accuracy_axis_halve_the_error(six: Summary) -> None:
    (axes,) = draw_learning_curves(six, "accuracy").axes
    heights = [float(axes.transData.transform((0, accuracy))[1]) for accuracy in (0.84, 0.92, 0.96, 0.98)]
    assert np.ptp(np.diff(heights)) == pytest.approx(0, abs=0.01)
    assert heights[1] - heights[0] > 5
    assert "logarithmic in the error" in axes.get_ylabel()


def test_an_optimizer_has_one_colour_in_every_picture(samples: Samples) -> None:
    summary = summary_of(samples("six"))
    colours: dict[str, set[str]] = {name: set() for name in summary.optimizers}
    scores, differences = draw_scores(summary).axes[0], draw_differences(summary).axes[0]
    for row, name in enumerate(summary.ranking):
        colours[name] |= {to_hex(dot.get_markerfacecolor()) for _, _, dot in dots(scores, row)}
        if row:
            colours[name].add(to_hex(dots_of_rows(differences, row - 1)[0].get_color()))
    for line in draw_learning_curves(summary, "loss").axes[0].get_lines():
        colours[str(line.get_label())].add(to_hex(line.get_color()))
    for axes, name in zip(draw_learning_rates(summary).axes, summary.ranking, strict=True):
        colours[name].add(to_hex(axes.get_lines()[0].get_color()))
    assert all(len(found) == 1 for found in colours.values())
    assert len(set.union(*colours.values())) == 6
    assert not any(same_color(colour, INK) for found in colours.values() for colour in found)


@pytest.mark.parametrize("kind", list(KINDS))
def test_no_text_is_cut(samples: Samples, kind: str) -> None:
    for name, figure in drawn(summary_of(samples(kind))).items():
        figure.canvas.draw()
        unseen = {id(label) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in beyond(axis)}
        for text in figure.findobj(Text):
            assert isinstance(text, Text)
            if id(text) in unseen or not text.get_visible() or not text.get_text().strip():
                continue
            box, whole = text.get_window_extent(), figure.bbox
            inside = box.x0 > -1 and box.y0 > -1 and box.x1 < whole.x1 + 1 and box.y1 < whole.y1 + 1
            assert inside, f"{kind}, {name}: {text.get_text()!r}"


def beyond(axis: Axis) -> list[Text]:
    """Labels of ticks outside the axis's limits, which are not drawn."""
    low, high = sorted(axis.get_view_interval())
    return [label for tick in axis.get_major_ticks() + axis.get_minor_ticks() if not low <= tick.get_loc() <= high
            for label in (tick.label1, tick.label2)]  # fmt: skip
