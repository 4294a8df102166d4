"""The tables of a comparison as CSV, Markdown and LaTeX, read back by other readers, and the files in its folder."""

from __future__ import annotations

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from mlptrain.errors import MachineError
from mlptrain.report.comparison.artist import Artist
from mlptrain.report.comparison.files import latex_text, markdown_text
from mlptrain.report.comparison.outputs import write_outputs
from mlptrain.report.comparison.rows import pair_rows
from mlptrain.report.comparison.words import steps_by_arm
from mlptrain.runs.comparison import ComparisonFiles, Summary, Timings
from mlptrain.system.jsonfiles import to_json
from tests.report.comparison_samples import KINDS, Samples, read, summary_of

MINUS = "\N{MINUS SIGN}"
NASTY = [
    "a_b & 50 % {x} $y$ #1 ~^ \\ <script>alert(1)</script>",
    "| pipes | and `code`, *stars*, __lines__, [a](http://a.invalid) ![b](c)",
    "&amp; \\| \\begin{evil} \\\\ % comment",
    "~~gone~~ <!-- hidden --> $\\alpha$",
]
PICTURES = {"scores", "differences", "loss_curves", "accuracy_curves", "learning_rates", "time_to_target"} | {
    "budget",
    "budget_seconds",
}


@pytest.fixture(scope="module")
def written(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(samples("failures"), tmp_path_factory.mktemp("written") / "copy")


def write(folder: Path, copy: Path, **changes: Any) -> Path:
    """A copy of the comparison with its outputs."""
    shutil.copytree(folder, copy)
    write_outputs(copy, Summary.model_validate(read(copy) | changes), ComparisonFiles(copy).read_timings())
    return copy


class Cells(HTMLParser):
    """Tables of a document as lists of rows of texts; every tag is counted."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[list[list[str]]] = []
        self.tags: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] in ("td", "th") and data.strip():
            self.tables[-1][-1][-1] += data


def markdown_tables(text: str) -> list[list[list[str]]]:
    return Cells(MarkdownIt("commonmark").enable("table").render(text)).tables


def latex_tables(text: str) -> list[list[list[str]]]:
    """The cells of every tabular, with LaTeX's escapes undone."""
    found = []
    for columns, body in re.findall(r"\\begin\{tabular\}\{(l+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        lines = [line for line in body.strip().splitlines() if line != r"\hline"]
        rows = [[plain(cell) for cell in re.split(r"(?<!\\) & ", line.removesuffix(r" \\"))] for line in lines]
        assert all(line.endswith(r" \\") for line in lines)
        assert {len(row) for row in rows} == {len(columns)}
        found.append(rows)
    return found


def tables(written: Path, kind: str) -> list[list[list[str]]]:
    """The two tables of ``summary.md`` or ``summary.tex``: results and verdicts."""
    text = (written / f"summary.{kind}").read_text(encoding="utf-8")
    return markdown_tables(text) if kind == "md" else latex_tables(text)


def plain(latex: str) -> str:
    named = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<", "textgreater": ">",
             "textbar": "|", "char34": '"',
             "textendash": "–"}  # fmt: skip
    latex = re.sub(r"\$(-|\\pm)\$", lambda match: MINUS if match[1] == "-" else "±", latex)
    latex = re.sub(r"\\([a-z0-9]+)\{\}", lambda match: named[match[1]], latex)
    assert "--" not in latex
    return re.sub(r"\\([{}$&#_%])", r"\1", latex.replace("-{}", "-"))


def test_the_csv_holds_every_scored_trial_to_the_last_digit(samples: Samples, written: Path) -> None:
    summary = read(samples("failures"))
    with (written / "summary.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    trials = [(name, entry, trial) for name, entry in summary["optimizers"].items() for trial in entry["trials"]]
    assert len(rows) == len(trials) == 60
    for row, (name, entry, trial) in zip(rows, trials, strict=True):
        assert (row["optimizer"], int(row["seed"]), row["status"]) == (name, trial["seed"], trial["status"])
        assert float(row["score"]) == trial["score"]
        for key in ("accuracy", "loss", "epoch", "step"):
            value = trial.get(key)
            assert row[key] == "" if value is None else float(row[key]) == value
        assert (row["name"], float(row["lr"])) == ("sgd", entry["setting"]["lr"])
        assert float(row["weight_decay"]) == entry["setting"]["weight_decay"]
        assert row["nesterov"] == "false"
    for name, entry in summary["optimizers"].items():
        epochs = [float(row["epochs_to_target"]) for row in rows if row["optimizer"] == name]
        median = entry["epochs_to_target"]["median"]
        assert np.median(epochs) == (np.inf if median is None else median)


def test_the_csv_of_different_settings_and_no_target(samples: Samples, tmp_path: Path) -> None:
    optimizers = read(samples("plain"))["optimizers"]
    optimizers["momentum"]["setting"] = {"name": "adam", "lr": 0.02, "betas": [0.9, 0.999], "amsgrad": True}
    folder = write(samples("plain"), tmp_path / "copy", optimizers=optimizers)
    with (folder / "summary.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    by_name = {row["optimizer"]: row for row in rows}
    assert (by_name["SGD"]["betas"], by_name["SGD"]["momentum"]) == ("", "0.0")
    assert by_name["momentum"]["betas"] == "0.9 0.999"
    assert (by_name["momentum"]["amsgrad"], by_name["momentum"]["momentum"]) == ("true", "")
    assert {row["epochs_to_target"] for row in rows} == {""}


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "SGD = best"])
def test_a_spreadsheet_takes_no_name_for_a_formula(samples: Samples, tmp_path: Path, name: str) -> None:
    renamed = json.loads(json.dumps(read(samples("plain"))).replace('"SGD"', json.dumps(name)))
    folder = write(samples("plain"), tmp_path / "copy", **renamed)
    with (folder / "summary.csv").open(newline="", encoding="utf-8") as stream:
        cells = {row["optimizer"] for row in csv.DictReader(stream)}
    assert cells - {"momentum"} == {name if name == "SGD = best" else f"'{name}"}


@pytest.mark.parametrize("kind", ["md", "tex"])
def test_the_results_are_the_summarys(samples: Samples, written: Path, kind: str) -> None:
    summary, (results, _) = read(samples("failures")), tables(written, kind)
    assert [row[0] for row in results[1:]] == summary["ranking"]
    for name, setting, mean, interval, median, learnt, _, epochs in results[1:]:
        entry = summary["optimizers"][name]
        accuracy = entry["accuracy"]
        assert mean == f"{100 * accuracy['mean']:.2f} %"
        assert interval == f"{100 * accuracy['low']:.2f} to {100 * accuracy['high']:.2f} %"
        assert median == f"{100 * accuracy['median']:.2f} %"
        assert learnt == f"{entry['completed']} of 10"
        assert ("(under-tuned)" in setting) == (name == "Nesterov")
        times = entry["epochs_to_target"]
        shown = "not reached" if times["median"] is None else f"{times['median']:g}"
        assert epochs == (f"{shown} ({times['reached']} of 10)" if times["reached"] else "not reached")


@pytest.mark.parametrize("kind", ["md", "tex"])
def test_the_verdicts_are_the_summarys(samples: Samples, written: Path, kind: str) -> None:
    summary, (_, verdicts) = read(samples("failures")), tables(written, kind)
    pairs = {frozenset((pair["a"], pair["b"])): pair for pair in summary["pairs"]}
    assert len(verdicts) - 1 == len(pairs)
    for who, difference, _, p, _, verdict in verdicts[1:]:
        a, b = who.split(" against ")
        pair = pairs[frozenset((a, b))]
        sign = 1 if pair["a"] == a else -1
        assert float(difference.replace(MINUS, "-")) == pytest.approx(sign * 100 * pair["mean"], abs=0.0051)
        assert float(p) == pytest.approx(pair["p_holm"], rel=0.005)
        if pair["verdict"] in ("better", "worse"):
            assert (verdict == "better") == (sign * pair["mean"] > 0)
        else:
            assert verdict == pair["verdict"] + (f" ({pair['reason']})" if pair["reason"] else "")
    assert summary["plan"] in (written / f"summary.{kind}").read_text(encoding="utf-8")


def test_a_summary_of_an_earlier_version_is_read(samples: Samples) -> None:
    """Without the reasons of verdicts, and without the steps of each arm."""
    values = read(samples("failures"))
    assert {pair.pop("reason") for pair in values["pairs"]} > {None}
    summary = Summary.model_validate(values)
    told = {row[-1] for row in pair_rows(summary.ranked_pairs)[1:]}
    assert told <= {"better", "worse", "tie", "not decided", "no verdict"}
    assert {*steps_by_arm(summary).values()} == {summary.steps_per_epoch}


def test_tables_without_timings_target_or_verdict(samples: Samples, tmp_path: Path) -> None:
    folder = write(samples("one seed"), tmp_path / "one")
    text = (folder / "summary.md").read_text(encoding="utf-8")
    results, verdicts = markdown_tables(text)
    assert len(results[0]) == 7
    assert {row[3] for row in results[1:]} == {row[2] for row in verdicts[1:]} == {"–"}
    assert "No verdicts: 6 pairs" in text
    assert len(latex_tables((folder / "summary.tex").read_text())[0][0]) == 7
    folder = write(samples("plain"), tmp_path / "two")
    assert "target" not in (folder / "summary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NASTY)
def test_a_cell_of_markdown_shows_what_was_written(name: str) -> None:
    cell = markdown_tables(f"| {markdown_text(name)} | b |\n|---|---|\n| {markdown_text(name)} | d |")
    assert [[" ".join(one.split()) for one in row] for row in cell[0]] == [[name, "b"], [name, "d"]]


@pytest.mark.parametrize("name", NASTY)
def test_nothing_that_was_written_acts_in_markdown(name: str) -> None:
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown_text(name))
    assert Cells(html).tags == ["p"]


@pytest.mark.parametrize("name", NASTY)
def test_nothing_that_was_written_acts_in_latex(name: str) -> None:
    escaped = latex_text(name)
    assert plain(escaped) == name
    commands = {"textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar", "char34"}
    assert set(re.findall(r"\\([a-z]+[0-9]*)", escaped)) <= commands
    assert not re.search(r"(?<!\\)[$&#_%~^<>|]", escaped)


def test_paragraphs_do_not_become_lists_or_headings(samples: Samples, tmp_path: Path) -> None:
    for number, sentence in enumerate(("1. SGD won", "# Adam", "- Adam", "+ 3", "=== x")):
        folder = write(samples("plain"), tmp_path / str(number), sentence=sentence, name="<b>_x_")
        html = MarkdownIt("commonmark").render((folder / "summary.md").read_text(encoding="utf-8").split("| ")[0])
        assert Cells(html).tags == ["h1", "p"]


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_comparison_gets_its_pictures(samples: Samples, tmp_path: Path, kind: str) -> None:
    folder = write(samples(kind), tmp_path / "copy")
    absent = {
        "plain": {"learning_rates", "time_to_target", "budget", "budget_seconds"},
        "one seed": {"learning_rates", "budget", "budget_seconds"},
        "all failed": {"loss_curves", "accuracy_curves"},
    }
    names = {f"{name}.{ending}" for name in PICTURES - absent.get(kind, set()) for ending in ("png", "svg")}
    assert {path.name for path in (folder / "pictures").iterdir()} == names
    for name in names:
        if name.endswith("svg"):
            assert ET.parse(folder / "pictures" / name).getroot().tag.endswith("svg")
        else:
            with Image.open(folder / "pictures" / name) as image:
                assert image.size[0] > 700
    assert not list(folder.rglob("*.tmp"))


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_summary_that_is_read_and_written_keeps_its_bytes(samples: Samples, kind: str) -> None:
    files = ComparisonFiles(samples(kind))
    assert to_json(files.read_summary()) == files.summary.read_bytes()
    assert (json.dumps(read(samples(kind)), indent=2) + "\n").encode() == files.summary.read_bytes()


def test_writing_again_gives_the_same_bytes(samples: Samples, tmp_path: Path) -> None:
    one, two = (write(samples("one epoch"), tmp_path / name) for name in ("one", "two"))
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert len(files) == 3 + 3 + 16
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)


def test_the_process_that_draws_gives_the_same_pictures(samples: Samples, tmp_path: Path) -> None:
    """All of them, so that this process need not load matplotlib; none of a folder whose summary it cannot read."""
    folder = shutil.copytree(samples("failures"), tmp_path / "copy")
    (folder / "pictures").mkdir()
    with Artist() as artist:
        assert artist.draw(folder)
        assert not artist.draw(folder)
    here = write(samples("failures"), tmp_path / "here")
    drawn = {path.name: path.read_bytes() for path in (folder / "pictures").iterdir()}
    assert drawn == {path.name: path.read_bytes() for path in (here / "pictures").iterdir()}

    summary = summary_of(folder)
    (folder / "summary.json").write_text("{}")
    shutil.rmtree(folder / "pictures")
    with Artist() as artist:
        write_outputs(folder, summary, ComparisonFiles(folder).read_timings(), artist=artist)
    assert drawn == {path.name: path.read_bytes() for path in (folder / "pictures").iterdir()}


def test_what_cannot_be_written(samples: Samples, tmp_path: Path) -> None:
    folder = shutil.copytree(samples("one epoch"), tmp_path / "copy")
    (folder / "pictures").write_text("in the way")
    with pytest.raises(
        MachineError, match=r"pictures: File exists; .*then run `mlptrain compare .*`: it retrains nothing"
    ):
        write_outputs(folder, summary_of(folder), Timings())


def test_budgets_that_an_extension_made_unequal_are_named_in_every_file(samples: Samples, tmp_path: Path) -> None:
    values = read(samples("six"))
    values["optimizers"]["Adam"] |= {"extensions": 1, "tuning_trials": 15}
    folder = shutil.copytree(samples("six"), tmp_path / "copy")
    write_outputs(folder, Summary.model_validate(values), Timings())
    for name in ("summary.md", "summary.tex"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "since grids were extended by the rule for Adam: Adam 15, " in text
    rows = csv.DictReader((folder / "summary.csv").read_text(encoding="utf-8").splitlines())
    assert {(row["optimizer"], row["tuning_trials"]) for row in rows} == {
        (name, "15" if name == "Adam" else "12") for name in values["optimizers"]
    }
