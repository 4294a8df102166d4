"""The page of a comparison: its figures are those of summary.json, escaped, whatever became of the trials."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mlptrain.report.comparison.outputs import comparison_page
from mlptrain.report.comparison.words import caveats
from tests.report.comparison_samples import KINDS, RATES, Samples, read, summary_of
from tests.report.test_report_command import Page

MINUS = "\N{MINUS SIGN}"


class Tables(HTMLParser):
    """The tables of a page by their names: rows of cells' texts, the headings first."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, list[list[str]]] = {}
        self._rows: list[list[str]] = []
        self._inside = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "div" and attributes.get("class") == "scroll":
            self._rows = self.found.setdefault(attributes["aria-label"] or "", [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._rows[-1][-1] += data


def tables_of(page: str) -> dict[str, list[dict[str, str]]]:
    """Every table as rows by heading."""
    return {
        name: [dict(zip(rows[0], row, strict=True)) for row in rows[1:]] for name, rows in Tables(page).found.items()
    }


def figures(text: str) -> list[float]:
    return [float(one) for one in re.findall(r"[+-]?\d[\d.]*(?:e[+-]?\d+)?", text.replace(MINUS, "-").replace(",", ""))]


@pytest.mark.parametrize("kind", ["six", "failures", "fifteen"])
def test_the_table_holds_the_summarys_figures_best_first(samples: Samples, kind: str) -> None:
    summary, rows = read(samples(kind)), tables_of(samples.page(kind))["Results"]
    assert [row["optimizer"] for row in rows] == summary["ranking"]
    means = [summary["optimizers"][name]["accuracy"]["mean"] for name in summary["ranking"]]
    assert means == sorted(means, reverse=True)
    seconds = json.loads((samples(kind) / "timings.json").read_bytes())["seconds_per_epoch"]
    for row in rows:
        entry = summary["optimizers"][row["optimizer"]]
        accuracy, times = entry["accuracy"], entry["epochs_to_target"]
        assert figures(row["mean accuracy"]) == pytest.approx([100 * accuracy["mean"]], abs=0.0051)
        bounds = [100 * accuracy["low"], 100 * accuracy["high"]]
        assert figures(row["95 % interval"]) == pytest.approx(bounds, abs=0.0051)
        assert figures(row["median"]) == pytest.approx([100 * accuracy["median"]], abs=0.0051)
        assert row["learnt"] == f"{[t['status'] for t in entry['trials']].count('completed')} of {len(entry['trials'])}"
        assert figures(row["s/epoch alone"]) == pytest.approx([seconds[row["optimizer"]]], rel=0.005)
        assert f"lr {entry['setting']['lr']:g}" in row["chosen setting"]
        if not times["reached"]:
            assert row["epochs to target"] == "not reached"
        elif times["median"] is None:
            assert row["epochs to target"].startswith("not reached (")
            assert figures(row["epochs to target"]) == [times["reached"], 10]
        else:
            assert figures(row["epochs to target"]) == [times["median"], times["reached"], 10]


@pytest.mark.parametrize("kind", ["six", "failures", "fifteen", "seven seeds"])
def test_the_verdicts_are_the_summarys_as_matrix_and_as_list(samples: Samples, kind: str) -> None:
    summary, tables = read(samples(kind)), tables_of(samples.page(kind))
    matrix = {row["row \\ column"]: row for row in tables["Verdicts by pair"]}
    listed = {row["pair"]: row for row in tables["Verdicts as a list"]}
    assert list(matrix) == summary["ranking"]
    assert len(listed) == len(summary["pairs"])
    mirror = {"better": "worse", "worse": "better"}
    place = {name: index for index, name in enumerate(summary["ranking"])}
    for pair in summary["pairs"]:
        there, back = matrix[pair["a"]][pair["b"]], matrix[pair["b"]][pair["a"]]
        assert figures(there) == pytest.approx([100 * pair["mean"]], abs=0.0051)
        assert figures(back) == pytest.approx([-100 * pair["mean"]], abs=0.0051)
        assert there.endswith(f" {pair['verdict']}")
        assert back.endswith(f" {mirror.get(pair['verdict'], pair['verdict'])}")
        ahead = place[pair["a"]] < place[pair["b"]]
        first, second, sign = (pair["a"], pair["b"], 100) if ahead else (pair["b"], pair["a"], -100)
        row = listed[f"{first} against {second}"]
        assert figures(row["difference (points)"]) == pytest.approx([sign * pair["mean"]], abs=0.0051)
        bounds = sorted(sign * pair[bound] for bound in ("low", "high"))
        assert figures(row["95 % interval"]) == pytest.approx(bounds, abs=0.0051)
        assert figures(row["p (Holm)"]) == pytest.approx([pair["p_holm"]], rel=0.005)
        told = pair["verdict"] if ahead else mirror.get(pair["verdict"], pair["verdict"])
        assert row["verdict on the first"][2:] == told + (f" ({pair['reason']})" if pair["reason"] else "")


def test_the_good_range_is_where_the_median_stays_within_a_point(samples: Samples) -> None:
    summary, rows = read(samples("six")), tables_of(samples.page("six"))["Learning rates"]
    assert len(rows) == 6
    for row in rows:
        entry = summary["optimizers"][row["optimizer"]]
        chosen = entry["setting"]["lr"]
        medians = {
            tried["setting"]["lr"]: np.median([-1 if value is None else value for value in tried["accuracies"]])
            for tried in entry["tuning"]
        }
        assert medians[chosen] == max(medians.values())
        fine = np.logspace(np.log10(RATES[0]), np.log10(RATES[-1]), 30_001)
        good = fine[np.interp(np.log10(fine), np.log10(RATES), list(medians.values())) >= max(medians.values()) - 0.01]
        if not any(good[0] <= rate <= good[-1] for rate in medians if rate != chosen):
            assert (figures(row["good range"]), row["width"]) == ([chosen], "no other tried rate is as good")
            continue
        assert figures(row["good range"]) == pytest.approx([good[0], good[-1]], rel=0.05)  # two digits
        assert figures(row["width"]) == pytest.approx([np.log10(good[-1] / good[0])], rel=0.05)
        assert "at least" not in row["width"]
        assert row["tried"] == "4 values"
        assert row["did not last"] == "1 of 12 trials"


def test_a_good_range_ends_at_a_value_that_diverged_and_is_open_at_the_edge(samples: Samples, tmp_path: Path) -> None:
    folder = shutil.copytree(samples("six"), tmp_path / "copy")
    summary = read(folder)
    accuracies: dict[str, list[list[float | None]]] = {
        "SGD": [[0.5] * 3, [0.97] * 3, [0.975] * 3, [None, None, 0.9]],  # flat, then gone
        "Adam": [[0.96] * 3, [0.961] * 3, [0.965] * 3, [0.964] * 3],  # flat all over
        "AdamW": [[None] * 3] * 4,
    }
    for name, values in accuracies.items():
        for tried, row in zip(summary["optimizers"][name]["tuning"], values, strict=True):
            tried["accuracies"] = row
        summary["optimizers"][name]["setting"]["lr"] = 0.1
    (folder / "summary.json").write_text(json.dumps(summary))
    rows = {row["optimizer"]: row for row in tables_of(comparison_page(folder))["Learning rates"]}
    low, high = figures(rows["SGD"]["good range"])
    share = (0.97 - 0.965) / (0.97 - 0.5)
    assert (low, high) == pytest.approx((0.01 * 10**-share, 0.1), rel=0.05)
    assert "at least" not in rows["SGD"]["width"]
    assert figures(rows["Adam"]["good range"]) == [0.001, 1]
    assert rows["Adam"]["width"] == "at least 3.0 decades"
    assert rows["AdamW"]["good range"] == "–"
    assert rows["AdamW"]["width"] == "no good range"


def test_where_no_scoring_seed_learnt_the_median_stands_and_why_there_is_no_range(samples: Samples) -> None:
    summary = read(samples("failures"))
    row = next(row for row in tables_of(samples.page("failures"))["Learning rates"] if row["optimizer"] == "AdamW")
    entry = summary["optimizers"]["AdamW"]
    [accuracies] = [one["accuracies"] for one in entry["tuning"] if one["setting"]["lr"] == entry["setting"]["lr"]]
    assert figures(row["its median accuracy"]) == pytest.approx([100 * np.median(accuracies)], abs=0.0051)
    assert row["good range"] == "–"
    assert row["width"] == "no good range: no scoring seed learnt"


def test_time_to_target_in_epochs_steps_and_seconds_alone(samples: Samples) -> None:
    folder = samples("failures")
    summary, rows = read(folder), tables_of(samples.page("failures"))["Time to target"]
    seconds = json.loads((folder / "timings.json").read_bytes())["seconds_per_epoch"]
    medians = []
    for row in rows:
        times = summary["optimizers"][row["optimizer"]]["epochs_to_target"]["trials"]
        median = float(np.median([np.inf if time is None else time for time in times]))
        medians.append(median)
        assert row["reached"] == f"{sum(time is not None for time in times)} of 10"
        if np.isinf(median):
            assert row["median epochs"] == row["median steps"] == row["seconds"] == "not reached"
        else:
            assert figures(row["median epochs"]) == [median]
            assert figures(row["median steps"]) == [round(median * summary["steps_per_epoch"])]
            assert figures(row["seconds"]) == pytest.approx([median * seconds[row["optimizer"]]], rel=0.005)
    assert medians == sorted(medians)
    assert np.isinf(medians[-1])
    assert not (samples("one seed") / "timings.json").exists()
    assert "seconds" not in tables_of(samples.page("one seed"))["Time to target"][0]


def test_what_failed_and_what_is_under_tuned(samples: Samples) -> None:
    tables = tables_of(samples.page("failures"))
    rows = {row["optimizer"]: row for row in tables["What failed"]}
    assert {name: (row["what"], row["trials"]) for name, row in rows.items()} == {
        "Adam": ("diverged", "10 of 10"),
        "momentum": ("diverged", "4 of 10"),
        "AdamW": ("did not learn", "10 of 10"),
        "RMSprop": ("failed", "10 of 10"),
    }
    wanted = "; ".join(f"seed {seed} at step {7 + seed} (epoch {1 + seed})" for seed in (0, 3, 6, 9))
    assert rows["momentum"]["where"] == wanted
    assert rows["AdamW"]["where"] == "test accuracy of 12.22 % (seeds 0 to 9)"
    assert "out of <memory> & luck" in rows["RMSprop"]["where"]
    text = Page(samples.page("failures")).text
    assert "Nesterov is under-tuned" in text
    assert "momentum (only 6 of 10)" in text
    assert "While tuning, 6 of 72 trials did not last: 6 diverged, 0 failed." in text
    assert "Adam (none of 10)" in text
    budget = {row["optimizer"]: row for row in tables["Tuning budget"]}
    assert {name: row["under-tuned"] for name, row in budget.items()} == {
        name: "yes" if name == "Nesterov" else "no" for name in read(samples("failures"))["optimizers"]
    }
    assert all(row["tuning trials"] == "12" for row in budget.values())
    assert all(row["tried values"] == "lr 0.001, 0.01, 0.1, 1" for row in budget.values())


def test_the_top_says_it_in_words_and_the_foot_how(samples: Samples) -> None:
    folder = samples("six")
    summary, page = read(folder), Page(samples.page("six"))
    assert page.text.index(summary["sentence"]) < page.text.index("Results")
    facts = {row["what"]: row["value"] for row in tables_of(samples.page("six"))["How it was done"]}
    assert facts["scoring seeds"] == "0 to 9"
    assert facts["tuning seeds"] == "100, 101, 102"
    assert facts["plan's hash"] == summary["plan"]
    assert facts["share of the largest class"] == "12.22 %"
    assert facts["target"] == "validation accuracy of at least 90 %"
    assert facts["device"] == "cpu"
    assert " ".join((folder / "plan.yaml").read_text().split()) in page.text
    assert "64-8-10 relu on digits, 20 epochs of 18 steps" in page.text


def test_a_wider_family_that_lost_is_told(samples: Samples, tmp_path: Path) -> None:
    folder = shutil.copytree(samples("six"), tmp_path / "copy")
    summary = read(folder)
    summary["inclusion"] = [summary["pairs"][0]]
    (folder / "summary.json").write_text(json.dumps(summary | {"majority_bar": 0.1567}))
    text = Page(comparison_page(folder)).text
    assert "SGD contains momentum as a special case but scored worse" in text
    assert "below 15.67 %" in text


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_page_is_well_formed_accessible_and_needs_nothing_else(samples: Samples, kind: str) -> None:
    text = samples.page(kind)
    page = Page(text)
    assert not page.all("script")
    assert not re.search(r"@import|url\((?!#)", text)
    ids = {attributes.get("id") for _, attributes in page.tags}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{name} in {tag}"
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                assert (value or "").startswith(("#", "data:"))
            if "//" in (value or "") and not (value or "").startswith("data:"):
                assert name in ("xmlns", "xmlns:xlink")
    for svg in page.all("svg"):
        described = set((svg.get("aria-labelledby") or "none").split()) <= ids
        assert (svg.get("role") == "img" and described) or svg.get("aria-hidden") == "true"
    assert all(cell["scope"] in ("row", "col") for cell in page.all("th"))
    assert all(section["aria-labelledby"] in ids for section in page.all("section"))


def test_the_same_comparison_gives_the_same_page(samples: Samples) -> None:
    assert comparison_page(samples("one epoch")) == samples.page("one epoch")


def test_what_a_comparison_has_not_is_left_out_or_said(samples: Samples) -> None:
    plain = Page(samples.page("plain")).text
    assert "Time to target" not in plain
    assert "How much the learning rate matters" not in plain
    assert "none: nothing was tuned" in plain
    assert "Mean test accuracy over the seeds" in plain
    one = tables_of(samples.page("one seed"))
    assert {row["95 % interval"] for row in one["Results"]} == {"–"}
    assert {row["95 % interval"] for row in one["Verdicts as a list"]} == {"–"}
    text = Page(samples.page("one seed")).text
    assert "No verdicts: 6 pairs of optimizers need at least 8 seeds, and there is 1." in text
    alone = summary_of(samples("one seed"))
    pair = alone.model_copy(update={"pairs": alone.pairs[:1], "seeds_for_verdict": 6})
    assert caveats(pair)[0] == "No verdicts: 1 pair of optimizers needs at least 6 seeds, and there is 1."
    assert "No trial lasted, so there are none." in Page(samples.page("all failed")).text
    assert "all 60 scored trials lasted and learnt" in Page(samples.page("six")).text


def test_what_a_user_wrote_is_escaped(samples: Samples, tmp_path: Path) -> None:
    folder = shutil.copytree(samples("failures"), tmp_path / "copy")
    evil = "<script>alert(\"1\")</script> & 'two' $x$"
    text = (folder / "summary.json").read_text()
    summary = json.loads(re.sub(r'"(Adam|RMSprop)"', lambda name: json.dumps(f"{name[1]} {evil}"), text))
    (folder / "summary.json").write_text(json.dumps(summary | {"name": f"<i>{evil}", "sentence": f"{evil} won."}))
    (folder / "plan.yaml").write_text(f"# </code></pre>{evil}\n" + (folder / "plan.yaml").read_text())
    page = Page(comparison_page(folder))
    assert not page.all("script")
    assert not page.all("i")
    for wanted in (f"Adam {evil}", f"<i>{evil}", f"{evil} won.", "out of <memory> & luck", f"</code></pre>{evil}"):
        assert wanted in page.text


def test_the_page_ends_with_the_command_that_repeats_it(samples: Samples) -> None:
    page = Page(samples.page("six"))
    assert f"mlptrain compare-optimizers {samples('six') / 'plan.yaml'} --run-dir NEW" in page.text
