"""What less tuning would have found, beside every way to try fewer settings."""

from __future__ import annotations

import statistics
from itertools import combinations

import numpy as np
import pytest

from mlptrain.report.comparison.budgets import around_half, budgets, expected_best, half_text
from mlptrain.report.comparison.curves import draw_budgets
from mlptrain.report.comparison.rows import half_budget_rows
from mlptrain.runs.comparison import ComparisonFiles, Summary, Timings
from tests.report.comparison_samples import Samples, summary_of


@pytest.mark.parametrize("higher", [True, False])
def test_expected_best_is_the_mean_over_all_subsets(higher: bool) -> None:
    values = [*np.random.default_rng(0).normal(size=8).tolist(), 0.25, 0.25]
    best = max if higher else min
    expected = [statistics.fmean(map(best, combinations(values, k))) for k in range(1, 11)]
    assert expected_best(values, higher_is_better=higher) == pytest.approx(expected, rel=1e-12)
    assert expected_best([3.0]) == [3.0]


def test_half_of_the_settings(samples: Samples) -> None:
    """From the recorded figures of every tuning seed; the highest rate did not last on one of three seeds."""
    summary, timings = summary_of(samples("six")), ComparisonFiles(samples("six")).read_timings()
    found = budgets(summary, timings)
    assert list(found) == summary.ranking
    for name, entry in summary.ranked:
        medians = [statistics.median(-np.inf if v is None else v for v in tried.accuracies) for tried in entry.tuning]
        pairs = [max(pair) for pair in combinations(medians, 2)]
        budget, seconds = found[name], timings.seconds_per_epoch[name]
        assert budget.best[-1] == max(medians)
        assert budget.of_half == pytest.approx(statistics.fmean(pairs))
        assert seconds is not None
        assert budget.seconds == pytest.approx(seconds * summary.epochs * len(summary.tuning_seeds))
        row = next(row for row in half_budget_rows(summary, timings) if row[0] == name)
        assert row[3] == f"{100 * statistics.fmean(pairs):.2f} %"
        assert row[5] == f"{100 * (max(medians) - statistics.fmean(pairs)):.2f}"


def test_the_arm_that_half_the_budget_costs_most_is_said(samples: Samples) -> None:
    summary, timings = summary_of(samples("six")), ComparisonFiles(samples("six")).read_timings()
    _, *rows = half_budget_rows(summary, timings)
    most = max(rows, key=lambda row: float(row[5]))
    told = half_text(summary, timings)
    assert told is not None
    assert told.startswith(f"with half the tuning budget: {most[0]} would lose most, with an expected validation ")
    assert told.endswith(f" of {most[3]} instead of {most[4]}")
    untuned = summary.plain()
    for entry in untuned["optimizers"].values():
        entry["tuning"] = []
    assert half_text(type(summary).model_validate(untuned), timings) is None


def test_a_setting_that_did_not_last_counts_as_the_worst_that_did(samples: Samples) -> None:
    summary = summary_of(samples("six"))
    values = summary.plain()
    values["optimizers"]["Adam"]["tuning"][0]["accuracies"] = [None, None, 0.9]
    for tried in values["optimizers"]["SGD"]["tuning"]:
        tried["accuracies"] = [None, None, None]
    changed = type(summary).model_validate(values)
    found = budgets(changed, Timings())
    medians = [
        statistics.median(-np.inf if v is None else v for v in tried.accuracies)
        for entry in changed.optimizers.values()
        for tried in entry.tuning
    ]
    worst = min(value for value in medians if np.isfinite(value))
    own = [value for value in medians[16:20] if np.isfinite(value)]
    assert len(own) == 3
    assert found["Adam"].best[0] == pytest.approx(statistics.fmean([worst, *own]))
    assert found["Adam"].seconds is None
    assert "SGD" not in found


@pytest.mark.parametrize(("kind", "panels"), [("six", 1), ("fifteen", 15)])
def test_every_arm_is_drawn_with_its_half(samples: Samples, kind: str, panels: int) -> None:
    summary, timings = summary_of(samples(kind)), ComparisonFiles(samples(kind)).read_timings()
    found = budgets(summary, timings)
    for over in ("trials", "seconds"):
        figure = draw_budgets(summary, timings, over=over)
        assert len(figure.axes) == panels
        lines = [line for axes in figure.axes for line in axes.get_lines() if len(np.asarray(line.get_xdata())) > 1]
        rings = [line for axes in figure.axes for line in axes.get_lines() if len(np.asarray(line.get_xdata())) == 1]
        for line, ring, budget in zip(lines, rings, found.values(), strict=True):
            assert np.asarray(line.get_ydata()).tolist() == budget.best
            step = budget.trials if over == "trials" else budget.seconds
            assert step is not None
            assert np.asarray(line.get_xdata()) == pytest.approx(step * np.arange(1, 5))
            assert np.asarray(ring.get_xdata())[0] == pytest.approx(2 * step)
            assert np.asarray(ring.get_ydata())[0] == budget.best[1]


def test_half_of_an_odd_number_is_half_the_budget(samples: Samples) -> None:
    """One of three settings with a coin's chance, else two: half of them on average, and so is what they find."""
    values = summary_of(samples("six")).plain()
    tried = values["optimizers"]["Adam"]["tuning"]
    del tried[-1]
    medians = [statistics.median(one["accuracies"]) for one in tried]
    one = [value for value in medians for _ in range(3)]
    two = [max(pair) for pair in combinations(medians, 2) for _ in range(3)]
    changed = Summary.model_validate(values)
    budget = budgets(changed, Timings())["Adam"]
    assert (around_half(3), around_half(4)) == ((1, 2), (2, 2))
    assert budget.half == 1.5
    assert budget.of_half == pytest.approx(statistics.fmean([*one, *two]))
    (axes,) = draw_budgets(changed, Timings()).axes
    rings = [line for line in axes.get_lines() if len(np.asarray(line.get_xdata())) == 1]
    place = list(budgets(changed, Timings())).index("Adam")
    assert [*np.asarray(rings[place].get_xydata())[0]] == pytest.approx([1.5 * 3, budget.of_half])


def test_seconds_are_known_where_settings_are_alike_in_size(samples: Samples) -> None:
    """Only the chosen setting was timed: with other widths or batches it says nothing of the others."""
    values, timings = summary_of(samples("six")).plain(), ComparisonFiles(samples("six")).read_timings()
    entry = values["optimizers"]["Adam"]
    alike = ["lr", "optimizer.lr", "model.dropout", "loss.label_smoothing"]
    for key in [*alike, "max_iter", "model.hidden", "training.batch_size"]:
        entry["grids"] = {key: [0.1, 0.2]}
        found = budgets(Summary.model_validate(values), timings)
        assert (found["Adam"].seconds is not None) == (key in alike), key
        assert found["SGD"].seconds is not None


def test_nothing_tuned_has_no_budget(samples: Samples) -> None:
    assert budgets(summary_of(samples("plain")), Timings()) == {}
    assert "What less tuning would have found" not in samples.page("plain")
    assert "What less tuning would have found" in samples.page("six")
