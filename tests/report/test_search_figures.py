"""What a search's pictures and texts show: every trial with a mark, labels that differ, plain figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlptrain.keys import decimals_for, run_figure
from mlptrain.report.comparison.units import MINUS, Units
from mlptrain.report.search import words
from mlptrain.report.search.figures import (
    Shown,
    broken,
    draw_history,
    draw_importances,
    draw_parallel,
    draw_values,
    labels_of,
)
from mlptrain.report.style import picture_bytes
from mlptrain.runs.search import SearchSummary, SearchTimings, Spread
from mlptrain.spec.metrics import figure_text

SPACE: dict[str, Any] = {"optimizer.lr": {"log_uniform": [1e-4, 0.1]}, "model.dropout": [0, 0.125, 0.25]}
METRIC = {"name": "validation_rmse", "goal": "min"}
GOOD = [50 + 0.1 * number for number in range(20)]


def summary_of(values: Sequence[float | None], *, space: dict[str, Any] = SPACE, **changes: Any) -> SearchSummary:
    """A search by the RMSE whose trials diverged where they have no value; ``pruned`` are numbers of trials."""
    pruned = changes.pop("pruned", ())
    settings = [
        {
            key: entry[number % len(entry)] if isinstance(entry, list) else 10 ** (-4 + 3 * number / len(values))
            for key, entry in space.items()
        }
        for number in range(len(values))
    ]
    trials = [
        {
            "number": number,
            "trial": f"t{number}",
            "changes": settings[number],
            "status": "diverged" if value is None else "pruned" if number in pruned else "completed",
            "epochs": 3,
            "value": value,
        }
        for number, value in enumerate(values)
    ]
    whole = {number: value for number, value in enumerate(values) if value is not None and number not in pruned}
    best = min(whole, key=lambda number: whole[number], default=None)
    plain = {
        "name": "small", "plan": "0" * 8, "method": "random", "metric": METRIC, "space": space,
        "budget": len(values), "asked": len(values), "epochs": 3, "trained_epochs": 3, "trials": trials, "best": best,
        "scored": [], "tested": None, "validation": None, "test": None, "importances": {}, "edges": [],
        "half": {"trials": len(values) // 2, "number": None, "value": None}, "sentence": "",
    }  # fmt: skip
    return SearchSummary.model_validate(plain | changes)


def points(line: Line2D) -> list[tuple[float, float]]:
    x, y = (np.asarray(data, dtype=np.float64).tolist() for data in (line.get_xdata(), line.get_ydata()))
    return list(zip(x, y, strict=True))


def marks(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """The places of all markers but the ring of the best one, by their kinds."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in axes.lines:
        marker = str(line.get_marker())
        if marker != "None" and line.get_markersize() < 9:
            found.setdefault(marker, []).extend(points(line))
    return found


def legend(figure: Figure) -> list[str]:
    [found] = figure.legends
    return [text.get_text() for text in found.get_texts()]


def test_every_trial_has_a_mark_at_its_number() -> None:
    """Two far worse ones at the upper edge, two that diverged there too, with their counts."""
    values: list[float | None] = [900.0, *GOOD, None, 70_000.0, None]
    summary = summary_of(values, pruned=(3, 4))
    figure = draw_history(summary, SearchTimings())
    [axes] = figure.axes
    found = marks(axes)
    assert sorted(x for places in found.values() for x, _ in places) == list(range(24))
    assert [x for x, _ in found["^"]] == [0, 22]
    assert [x for x, _ in found["X"]] == [21, 23]
    assert [x for x, _ in found["x"]] == [3, 4]
    low, high = axes.get_ylim()
    assert all(low < y < high for marker in ("o", "x") for _, y in found[marker])
    assert all(0.9 < y < 1 for marker in ("^", "X") for _, y in found[marker])  # of the axis's height
    assert Shown.of(summary).beyond == 2
    shown = legend(figure)
    assert "beyond the axis: 2, to 70,000" in shown
    assert {"completed: 20", "pruned: 2", "diverged: 2", "the best, trial 1"} <= set(shown)
    assert summary.best == 1


def test_a_few_bad_trials_do_not_squeeze_the_others() -> None:
    shown = Shown.of(summary_of([*GOOD, 1e6]))
    assert (shown.low, shown.beyond) == (50.0, 1)
    assert shown.high == pytest.approx(51.9)
    assert Shown.of(summary_of(GOOD)).beyond == 0
    assert Shown.of(summary_of([50.0] * 9 + [60.0])).beyond == 0  # nothing to spread out


def test_trials_share_the_seconds_of_their_batch_by_their_epochs() -> None:
    summary = summary_of(GOOD[:6])
    trials = {"a": ["t0", "t1"], "b": ["t2", "t3"], "c": ["t4", "t5"]}
    figure = draw_history(summary, SearchTimings(seconds={"a": 1.0, "b": 2.0, "c": 4.0}, trials=trials))
    assert [x for x, _ in marks(figure.axes[1])["o"]] == [0.5, 1, 2, 3, 5, 7]
    dotted = [points(line)[0][0] for axes in figure.axes for line in axes.lines if line.get_linestyle() == ":"]
    assert dotted == [2.5, 3.5]  # after three of six trials; at half of seven seconds
    together = SearchTimings(seconds={"a": 12.0}, trials={"a": [f"t{number}" for number in range(6)]})
    halved = summary.model_copy(
        update={
            "trials": [
                t.model_copy(update={"epochs": n}) for t, n in zip(summary.trials, (1, 1, 9, 3, 9, 1), strict=True)
            ]
        }
    )
    _, times = draw_history(halved, together).axes  # one batch has its panel too
    assert [x for x, _ in marks(times)["o"]] == pytest.approx([0.5, 1, 5.5, 7, 11.5, 12])
    assert (
        len(draw_history(summary, SearchTimings(seconds={"a": 1.0}, trials={"a": ["t0"]})).axes) == 1
    )  # not all known


def test_what_half_of_a_pruned_bracket_would_have_found_is_not_known() -> None:
    told = words.half_text(summary_of(GOOD[:6][::-1], pruned=(0, 1, 2, 3)))
    assert told.startswith("what half the budget would have found is not known: none of the first 3 trials")
    of_a_grid = summary_of(GOOD[:4], method="grid", half={"trials": 2, "number": 1, "value": 50.1})
    assert words.half_text(of_a_grid).startswith("the first half of the grid, 2 trials, would have found 50.10")
    assert words.half_text(summary_of([None, None, 50.0, 51.0])) == "the first 2 trials alone would have found nothing"


def test_parallel_coordinates_have_a_line_for_every_trial_and_exact_labels() -> None:
    figure = draw_parallel(summary_of([*GOOD, 1e6, None], pruned=(5,)))
    axes, bar = figure.axes
    lines = [line for line in axes.lines if points(line)[0][0] != points(line)[-1][0]]  # the axes are upright
    assert len(lines) == 22
    assert len({points(line)[1] for line in lines}) == 22  # those of the same choice beside each other
    assert [line.get_linewidth() for line in lines].count(3) == 1
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["0.0001", "0.001", "0.01", "0.1", "0", "0.125", "0.25"]
    assert "as dark: 1 beyond the colour bar" in legend(figure)
    assert {"pruned: 1", "diverged: 1"} <= set(legend(figure))
    assert bar.get_ylim()[1] == pytest.approx(51.9)
    assert picture_bytes(figure, "png").startswith(b"\x89PNG")


def test_many_keys_stand_in_rows_that_a_page_has_room_for() -> None:
    space = SPACE | {f"model.key_{index}": ["relu", "gelu"] for index in range(10)}
    figure = draw_parallel(summary_of(GOOD, space=space))
    *rows, _ = figure.axes
    names = [[label.get_text().replace("\n", "") for label in axes.get_xticklabels()] for axes in rows]
    assert [*names[0], *(name for row in names[1:] for name in row[1:])] == list(space)
    assert all(above[-1] == below[0] for above, below in pairwise(names))
    assert figure.get_figwidth() <= 12
    for axes in rows:
        assert len([line for line in axes.lines if len(points(line)) > 2]) == len(GOOD)


def test_trials_of_one_choice_stand_around_its_place() -> None:
    summary = summary_of(GOOD, space={"model.dropout": SPACE["model.dropout"]})
    [axes] = draw_values(summary).axes
    for index, place in enumerate(axes.get_xticks()):
        at = [x for number, (x, _) in enumerate(marks(axes)["o"]) if number % 3 == index]
        assert np.mean(at) == pytest.approx(place)
        assert len(set(at)) == len(at)


def test_a_key_that_a_trial_does_not_have_is_below_its_axis() -> None:
    whole = summary_of(GOOD)
    trials = [one.plain() for one in whole.trials]
    del trials[3]["changes"]["model.dropout"]
    summary = SearchSummary.model_validate(whole.plain() | {"trials": trials})
    [axes, _] = draw_parallel(summary).axes
    lines = [points(line) for line in axes.lines if points(line)[0][0] != points(line)[-1][0]]
    assert [line[0][1] for line in lines if line[1][1] < -0.05] == [pytest.approx(3 * 3 / 20 / 3)]
    assert "not set" in [text.get_text() for text in axes.texts]
    assert words.trial_rows(summary)[4][-1] == "–"


@pytest.mark.parametrize("values", [[None, None, None], [50.0, 50.0, 50.0]])
def test_searches_without_any_difference_are_drawn(values: list[float | None]) -> None:
    summary = summary_of(values)
    for figure in (draw_history(summary, SearchTimings()), draw_parallel(summary)):
        assert picture_bytes(figure, "png").startswith(b"\x89PNG")


def test_a_single_key_is_drawn_against_the_metric() -> None:
    summary = summary_of(GOOD, space={"optimizer.lr": SPACE["optimizer.lr"]})
    figure = draw_values(summary)
    [axes] = figure.axes
    rates = [float(trial.changes["optimizer.lr"]) for trial in summary.trials]
    expected = [((math.log10(rate) + 4) / 3, value) for rate, value in zip(rates, GOOD, strict=True)]
    assert marks(axes)["o"] == [pytest.approx(place) for place in expected]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.0001", "0.001", "0.01", "0.1"]


def test_labels_of_sections_name_what_differs() -> None:
    sections = [{"name": "adam", "lr": 0.01}, {"name": "adam", "lr": 0.1}, {"name": "sgd", "lr": 0.1}, "lion"]
    assert labels_of(sections) == ["adam\nlr: 0.01", "adam\nlr: 0.1", "sgd", "lion"]
    assert labels_of([{"name": "adam"}, {"name": "adam", "lr": 0.1}]) == ["adam", "adam\nlr: 0.1"]
    assert labels_of([[64], [64, 32], None, True]) == ["[64]", "[64, 32]", "null", "true"]
    assert labels_of([0.12345678, 0.1234567]) == ["0.12345678", "0.1234567"]
    assert labels_of(np.geomspace(0.001, 0.1, 7).tolist()[1:4]) == ["0.002154", "0.004642", "0.01"]
    assert labels_of([1234567.0, 0.0001]) == ["1.235e+06", "0.0001"]


def test_labels_of_keys_end_at_dots_and_underscores() -> None:
    assert broken("optimizer.weight_decay") == "optimizer.\nweight_decay"
    assert broken("model.numeric_embedding") == "model.\nnumeric_embedding"
    assert broken("model.numeric_embedding.size") == "model.numeric_\nembedding.size"
    assert broken("optimizer.lr") == "optimizer.lr"


@pytest.mark.parametrize(
    ("value", "text"),
    [(61043.2, "61,043"), (53.214, "53.21"), (0.00012345, "0.0001234"), (-3.0, "-3.000"), (0.0, "0"), (None, "none")],
)
def test_figures_are_plain(value: float | None, text: str) -> None:
    assert figure_text("rmse", value) == text
    assert run_figure("validation_rmse", value) == ("–" if value is None else text)
    assert value is None or Units("rmse", decimals=decimals_for(value, 4)).value(value) == text.replace("-", MINUS)


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [(60512.0, 1403.2, "60,512 ± 1,403"), (59650.0, 43.1, "59,650 ± 43"), (0.1234, 0.0000512, "0.123400 ± 0.000051")],
)
def test_mean_and_deviation_have_the_same_decimals(mean: float, std: float, text: str) -> None:
    assert words.spread_text("rmse", Spread(n=3, mean=mean, std=std, min=mean, max=mean)) == text


def test_values_are_yaml() -> None:
    assert words.value_text({"name": "periodic", "size": 8}) == "{name: periodic, size: 8}"
    assert [words.value_text(value) for value in (None, True, 0.0123456, "1e3", [64, 32])] == [
        "null", "true", "0.01235", "'1e3'", "[64, 32]"
    ]  # fmt: skip


def test_importances_say_what_they_are_of() -> None:
    importances = {key: {"mean": 0.5, "low": 0.4, "high": 0.7} for key in SPACE}
    told = words.of_importances(summary_of([*GOOD, None], pruned=(2, 3), importances=importances, method="tpe"))
    assert "18 trials trained to the end" in told[0]
    assert told[1].startswith("2 pruned, 1 diverged are left out")
    assert "tpe" in told[2]
    [axes] = draw_importances(summary_of(GOOD, importances=importances)).axes
    ends = [[x for x, _ in points(line)] for line in axes.lines]
    assert ends == [[0.4, 0.4], [0.7, 0.7]]
    assert "5 trials trained to the end say too little of 2 keys" in words.of_importances(summary_of(GOOD[:5]))[0]
    assert "1 trial trained to the end says too" in words.of_importances(summary_of(GOOD[:2], pruned=(0,)))[0]
    assert words.of_importances(summary_of(GOOD, space={"optimizer.lr": SPACE["optimizer.lr"]})) == []
