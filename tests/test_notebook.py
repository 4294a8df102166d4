"""What a notebook is shown: the shipped one from data to report, progress, outcomes, and figures of matplotlib."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from nbclient import NotebookClient
from PIL import Image

import mlptrain
from mlptrain.errors import RunFolderError, UserError

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "configs").rglob("*.ipynb"))
SPEC: dict[str, Any] = {
    "name": "small",
    "data": {"name": "digits", "train_size": 200, "validation": 50, "test_size": 100},
    "model": {"hidden": [8]},
    "optimizer": {"name": "adam", "lr": 0.01},
    "training": {"epochs": 3, "batch_size": 50, "device": "cpu", "threads": 1},
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return mlptrain.train(SPEC, run_dir=tmp_path_factory.mktemp("one") / "run")


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return mlptrain.train_seeds(SPEC, range(2, 4), run_dir=tmp_path_factory.mktemp("two") / "seeds")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_output_is_shipped(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert len(cells) > 10
    for cell in cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert not cell.metadata


@pytest.mark.filterwarnings("default")  # of the kernel's own connections
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_notebook_runs_from_data_to_report(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    notebook = nbformat.read(path, as_version=4)
    wrong = nbformat.v4.new_code_cell('mlptrain.train("digits.yaml", overrides={"model.hidden": [0]})')
    wrong.metadata["tags"] = ["raises-exception"]
    notebook.cells.append(wrong)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path / "configs")}}).execute()
    [error] = notebook.cells.pop().outputs  # the message alone, as of the command
    assert error.traceback == ["SpecError: --set model.hidden=[0]  model.hidden[0]: must be at least 1, got 0"]
    shown = {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    for source, outputs in shown.items():
        kinds = [kind for output in outputs for kind in output.get("data", {})]
        texts = "".join(output.get("text", "") for output in outputs)
        assert "Traceback" not in texts
        assert not any(output.output_type == "stream" and output.name == "stderr" for output in outputs), texts
        if "mlptrain.plot." in source:
            assert set(kinds[-2:]) == {"image/png", "text/plain"}
        if "mlptrain.train" in source:  # one bar, which moved in its place
            bars = [output for output in outputs if "<progress" in output.get("data", {}).get("text/html", "")]
            assert len(bars) == 1
            assert 'value="30" max="30"' in bars[0]["data"]["text/html"]
    [outcome] = [outputs[-1]["data"]["text/html"] for source, outputs in shown.items() if source.endswith("\ndigits")]
    accuracy = re.search(r">test</th>\s*<td>[\d.]+</td>\s*<td>([\d.]+)</td>", outcome)
    assert accuracy is not None
    assert float(accuracy[1]) > 0.95
    [run] = [path for path in (tmp_path / "configs" / "runs").glob("digits-*") if (path / "report.html").exists()]
    assert "<svg" in (run / "report.html").read_text(encoding="utf-8")


class Table(HTMLParser):
    """The texts of the cells of a table, by rows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def test_an_outcome_shows_its_figures_and_curves(outcome: Any) -> None:
    page = outcome._repr_html_()
    head, *rows = Table(page.partition("</table>")[0]).rows
    assert head == ["split", "loss", "accuracy"]
    kept = outcome.result.kept.metrics
    assert rows == [
        [split, f"{kept[f'{split}_loss']:.4f}", f"{kept[f'{split}_accuracy']:.4f}"]
        for split in ("train", "validation", "test")
    ]
    assert str(outcome.folder.path) in page
    assert "data:image/png;base64," in page
    assert "<script" not in page


def test_a_group_shows_every_run_with_mean_and_spread(group: Any) -> None:
    page = group._repr_html_()
    rows = {row[0]: row for row in Table(page.partition("</table>")[0]).rows}
    assert list(rows) == ["seed", "2", "3", "mean", "std"]
    at = rows["seed"].index("test accuracy")
    values = [one.result.kept.metrics["test_accuracy"] for one in group.outcomes]
    assert [rows[seed][at] for seed in "23"] == [f"{value:.4f}" for value in values]
    assert rows["mean"][at] == f"{np.mean(values):.4f}"
    assert rows["std"][at] == f"{np.std(values, ddof=1):.4f}"


def test_a_name_acts_in_no_page_and_a_lost_folder_leaves_the_figures(tmp_path: Path) -> None:
    lost: Any = mlptrain.train(SPEC, run_dir=tmp_path / "<img src=x>")
    assert "&lt;img src=x&gt;" in lost._repr_html_()
    shutil.rmtree(lost.folder.path)
    page = lost._repr_html_()
    assert "<img" not in page
    assert f"{lost.result.kept.metrics['test_loss']:.4f}" in page
    with pytest.raises(RunFolderError, match="no such run folder"):
        lost.history  # noqa: B018


def test_histories_are_the_metrics(outcome: Any, group: Any) -> None:
    columns = mlptrain.metrics(outcome)
    frame = outcome.history
    assert isinstance(frame, pl.DataFrame)
    assert frame.columns == list(columns)
    for name, values in columns.items():
        np.testing.assert_array_equal(frame[name].cast(float).fill_null(np.nan), values.astype(float))
    assert frame["running_train_loss"].null_count() == 1
    both = group.history
    assert both["seed"].unique().sort().to_list() == [2, 3]
    assert both.filter(seed=3).drop("seed").equals(group.outcomes[1].history)


def test_every_picture_of_a_run_comes_as_a_figure(outcome: Any, group: Any) -> None:
    """From an outcome, its folder, a path as text or an object, with what the command draws."""
    run = outcome.folder.path
    drawn = [*map(mlptrain.plot.curves, (outcome, outcome.folder, str(run))), mlptrain.plot.confusion(run)]
    for figure in drawn:
        assert isinstance(figure, Figure)
        assert "run run, data digits" in str(figure.get_suptitle()) + figure.axes[0].get_title()
    lines = mlptrain.plot.curves(outcome, group, labels=["one", "seeds"], ylim=(0, 3), log=False).axes[0].get_lines()
    assert [line.get_label() for line in lines[:3]].count("one") == 2
    loss = next(line for line in lines if line.get_label() == "one" and line.get_linestyle() == "-")
    np.testing.assert_array_equal(loss.get_ydata(), mlptrain.metrics(run)["validation_loss"])
    for figure in (
        mlptrain.plot.mistakes(outcome, count=3),
        mlptrain.plot.reliability(outcome, split="validation"),
        mlptrain.plot.roc(outcome),
        mlptrain.plot.weights(outcome, count=4),
        mlptrain.plot.layers(outcome),
        mlptrain.plot.samples(outcome, count=3),
        mlptrain.plot.samples(SPEC, overrides={"augmentation.shift": 2}, augmented=True, count=2),
        mlptrain.plot.histogram(SPEC),
        mlptrain.plot.schedule(SPEC, overrides={"schedule": "cosine"}),
        mlptrain.plot.activation("relu", "elu:alpha=2"),
    ):
        assert isinstance(figure, Figure)
        shown: Any = figure
        with Image.open(io.BytesIO(shown._repr_png_()[0])) as image:
            assert len(np.unique(np.asarray(image.convert("L")))) > 20, "an empty picture"


def test_every_kind_of_the_command_is_a_function() -> None:
    from mlptrain.cli.plot import plot_app

    kinds = [command.callback.__name__ for command in plot_app.registered_commands if command.callback]
    assert sorted(kinds) == mlptrain.plot.__all__


def test_pictures_of_tables_curves_and_data_from_python(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(120, 2)).astype(np.float32), np.arange(120) % 2
    spec = SPEC | {"data": {"validation": 20, "test": 20}}
    outcome = mlptrain.train(spec, data=(x, y), run_dir=tmp_path / "arrays")
    for draw in (mlptrain.plot.confusion, mlptrain.plot.decision):
        assert isinstance(draw(outcome, data=(x, y)), Figure)
    assert isinstance(mlptrain.plot.samples(spec, data=(x, y)), Figure)
    function = mlptrain.train(SPEC | {"data": {"name": "function"}, "loss": "mse"}, run_dir=tmp_path / "function")
    assert isinstance(mlptrain.plot.fit(function), Figure)
    assert isinstance(mlptrain.plot.residuals(function), Figure)
    iris = mlptrain.train(SPEC | {"data": {"name": "iris"}}, run_dir=tmp_path / "iris")
    assert isinstance(mlptrain.plot.importance(iris, repeats=2), Figure)


def test_what_cannot_be_drawn_says_so(outcome: Any) -> None:
    cases: list[tuple[Callable[[], Figure], str]] = [
        (mlptrain.plot.curves, "name a run"),
        (lambda: mlptrain.plot.curves(outcome, labels=["a", "b"]), "expected a name for each of 1 runs"),
        (lambda: mlptrain.plot.curves(outcome, ylim=(2, 1)), "ylim 2 1: expected two numbers, the lower first"),
        (lambda: mlptrain.plot.curves(outcome, ylim=(0, 1), log=True), "begins above 0"),
        (lambda: mlptrain.plot.fit(outcome), "a fitted curve is drawn for one target"),
    ]
    for wrong, message in cases:
        with pytest.raises(UserError, match=message):
            wrong()


def test_progress_is_shown_where_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mlptrain.train(SPEC, run_dir=tmp_path / "quiet")
    assert capsys.readouterr() == ("", "")
    mlptrain.train(SPEC, run_dir=tmp_path / "lines", progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split("  ")[0] for line in err.splitlines()] == [f"epoch {number}/3" for number in range(4)]
    mlptrain.train_seeds(SPEC, [0, 1], run_dir=tmp_path / "seeds", progress=True, overrides={"training.epochs": 1})
    assert "(2 seeds)" in capsys.readouterr().err


def test_matplotlib_and_polars_are_imported_when_they_are_needed() -> None:
    code = (
        "import sys, mlptrain, mlptrain.plot, mlptrain.experiment\n"
        "print([name for name in ('matplotlib', 'polars', 'tensorboard', 'mlflow', 'IPython', 'jinja2') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
