"""Curves of classes, importance of columns and pages of networks for tables, against scikit-learn on the raw rows."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn import inspection, metrics

import mlptrain
from mlptrain import views
from mlptrain.errors import UserError
from mlptrain.inference.evaluate import load_kept, load_split
from mlptrain.inference.tables import predict_table
from mlptrain.report.arrays import ClassCurve, ClassCurves
from mlptrain.report.page import render_page, shown_figure
from mlptrain.report.style import picture_bytes
from mlptrain.report.tables import draw_class_curves, draw_importance
from mlptrain.seeds import derived_seed
from mlptrain.views.tables import class_curves, permutation_importance
from tests.command import Call
from tests.test_tables_in_use import table, train

NAMES = ("large & wide", "small")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs ``kind`` of two classes, ``colour`` of four and ``price``, a regression, beside their rows.csv."""
    folder = tmp_path_factory.mktemp("tables")
    table().write_csv(folder / "rows.csv")
    train(folder, "kind", **{"training.epochs": 20, "evaluation.metrics": ["roc_auc", "average_precision"]})
    train(folder, "colour", **{"data.target": "colour"})
    train(folder, "price", **{"data.target": "price", "loss": "mse", "data.columns": {"kind": "drop"}})
    return folder


def raw_rows(place: Path, run: str) -> pl.DataFrame:
    """The raw test rows of a run."""
    _, rows = load_split(load_kept(place / run), "test")
    assert rows.index is not None
    frame = pl.read_csv(place / "rows.csv")
    target = load_kept(place / run).experiment.facts.target_names[0]
    return frame.drop_nulls(target)[rows.index.tolist()]


def test_curves_are_those_of_scikit_learn(place: Path) -> None:
    frame = raw_rows(place, "kind")
    found = class_curves(place / "kind")
    (curve,) = found.curves
    assert (curve.name, found.split, found.rows, found.classes) == ("small", "test", 60, 1)
    chances = predict_table(place / "kind", frame).probabilities
    assert chances is not None
    true, scores = frame["kind"].to_numpy() == "small", chances[:, 1]
    false_positive, true_positive, _ = metrics.roc_curve(true, scores)
    precision, recall, _ = metrics.precision_recall_curve(true, scores)
    np.testing.assert_allclose(curve.false_positive, false_positive)
    np.testing.assert_allclose(curve.true_positive, true_positive)
    np.testing.assert_allclose(curve.precision, precision)
    np.testing.assert_allclose(curve.recall, recall)
    own = mlptrain.evaluate(place / "kind")["metrics"]
    assert curve.area == pytest.approx(own["roc_auc"])
    assert curve.average_precision == pytest.approx(own["average_precision"])
    assert curve.share == true.mean()
    several = class_curves(place / "colour", split="train")
    assert [one.name for one in several.curves] == ["blue", "green", "rare", "red"]
    assert sum(one.share for one in several.curves) == pytest.approx(1)


class Raw:
    """A run as an estimator of scikit-learn that reads raw columns, as objects."""

    def __init__(self, run: Path, columns: list[str]) -> None:
        self.run, self.columns = run, columns

    def fit(self, *_: Any) -> Self:
        return self

    def found(self, x: NDArray[Any]) -> Any:
        return predict_table(self.run, {name: list(x[:, place]) for place, name in enumerate(self.columns)})


def log_loss(estimator: Raw, x: NDArray[Any], y: NDArray[Any]) -> dict[str, float]:
    found = estimator.found(x)
    loss = metrics.log_loss(y, found.probabilities, labels=list(NAMES))
    return {"loss": -loss, "second": metrics.accuracy_score(y, found.names())}


def squared_error(estimator: Raw, x: NDArray[Any], y: NDArray[Any]) -> dict[str, float]:
    values = estimator.found(x).outputs[:, 0]
    return {"loss": -metrics.mean_squared_error(y, values), "second": metrics.r2_score(y, values)}


@pytest.mark.parametrize(("target", "scores"), [("kind", log_loss), ("price", squared_error)])
def test_importance_is_that_of_scikit_learn(place: Path, target: str, scores: Any) -> None:
    """Of the raw columns: those that become several inputs are shuffled as one."""
    frame, run = raw_rows(place, target), place / target
    found = permutation_importance(run, repeats=3)
    columns = ["size", "count", "colour", "when"]
    assert set(columns) <= set(found.columns)
    expected = inspection.permutation_importance(
        Raw(run, list(found.columns)),
        frame.select(found.columns).to_numpy().astype(object),
        frame[target].to_numpy(),
        scoring=scores,
        n_repeats=3,
        random_state=derived_seed(0, "permutation importance") % 2**32,
    )
    np.testing.assert_allclose(found.increase, expected["loss"].importances, rtol=1e-4, atol=1e-6)
    assert found.decrease is not None
    np.testing.assert_allclose(found.decrease, expected["second"].importances, rtol=1e-4, atol=1e-6)
    assert (found.rows, found.split, found.repeats) == (60, "test", 3)
    assert found.columns[found.order[0]] == "size"  # what the rows were made from


@pytest.mark.parametrize("is_embedded", [False, True])
def test_which_of_many_columns_are_shuffled(tmp_path: Path, is_embedded: bool) -> None:
    """The ones that say something stand behind 220 that say nothing, and are among those that the network weighs."""
    draw = np.random.default_rng(0)
    noise = {f"noise {number}": draw.normal(size=300) for number in range(220)}
    told = {f"told {number}": draw.normal(size=300) for number in range(5)}
    pl.DataFrame({**noise, **told, "y": sum(told.values())}).write_csv(tmp_path / "rows.csv")
    embedding = {"model.numeric_embedding": "periodic"} if is_embedded else {}
    many = {"data.target": "y", "data.columns": {}, "loss": "mse", "training.epochs": 10, "model.hidden": []}
    train(tmp_path, "many", **many, **embedding)
    found = permutation_importance(tmp_path / "many", repeats=2)
    assert (len(found.columns), found.all_columns) == (200, 225)
    assert list(found.columns) == sorted(found.columns, key=[*noise, *told].index)
    if is_embedded:
        assert found.which == "of 225 columns 200, drawn at random"
        assert found.columns == permutation_importance(tmp_path / "many", repeats=2).columns
    else:
        assert found.which == "of 225 columns 200, those that the first layer weighs most"
        assert set(told) <= set(found.columns)
        assert {found.columns[column] for column in found.order[:5]} == set(told)
    assert found.which in draw_importance(found).axes[0].get_xlabel()


def test_pictures(place: Path) -> None:
    figure = draw_class_curves(class_curves(place / "colour", split="train"))
    roc, precision = figure.axes
    assert len(roc.get_lines()) == len(precision.get_lines()) // 2 + 1 + 2  # chance, and what the legend explains
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[0].startswith("blue: area 0.")
    assert "data rows.csv" in figure.get_suptitle()
    found = permutation_importance(place / "kind", repeats=3)
    (axes,) = draw_importance(found).axes
    widths = [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]
    assert widths == sorted(widths, reverse=True)
    np.testing.assert_allclose(widths, found.increase[found.order].mean(axis=1))
    assert [label.get_text() for label in axes.get_yticklabels()] == [found.columns[column] for column in found.order]


def test_curves_of_classes_with_long_names_have_room_for_them() -> None:
    line = np.array([0.0, 0.5, 1.0])
    curves = tuple(ClassCurve(f"class {index} {'n' * 40}", 0.1, line, line, 0.5, line, line, 0.5) for index in range(8))
    figure = draw_class_curves(ClassCurves("long", "test", 80, curves, 20))
    picture_bytes(figure, "png")  # fixes the layout
    assert figure.get_tightbbox().x0 >= 0
    assert figure.get_tightbbox().x1 <= figure.get_figwidth()


def test_a_page_of_a_table(place: Path) -> None:
    parts = views.page_parts(place / "kind")
    assert set(parts) == {"evaluation", "columns", "curves_of_classes", "importance", "reliability"}
    page = render_page(place / "kind", **parts)
    for text in (
        *map(escape, NAMES),
        "data rows.csv",
        "ROC and precision–recall curves of the test examples",
        "Importance of the columns on the test rows",
        "How much worse the predictions of 60 test rows are",
        "one-hot: 4 + 2 inputs",
        "dropped: text",
        "Calibration on the test examples",
    ):
        assert text in page
    parts = views.page_parts(place / "price")
    assert set(parts) == {"evaluation", "columns", "importance", "residuals"}
    page = render_page(place / "price", **parts)
    assert "predicted value of price" in page
    assert "decrease of R²" in page
    assert (shown_figure("r2", -0.25), shown_figure("r2", 0.25)) == ("−0.2500", "0.2500")


def test_the_commands(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("plot", "roc", str(place / "kind")).out == "roc.png\n"
    assert call("plot", "importance", str(place / "price"), "--repeats", "2").out == "importance.png\n"
    assert "ROC curves need probabilities of classes" in call("plot", "roc", str(place / "price")).message
    listed = call("runs", str(place), "--json").json
    assert {run["data"] for run in listed} == {"rows.csv"}
    done = call("plot", "decision", str(place / "kind"))
    assert "a decision map is drawn over two inputs, but data 'rows.csv' has " in done.message
    assert "which are not an image" in call("plot", "mistakes", str(place / "kind")).message


@pytest.mark.parametrize(("column", "is_curve"), [("count", True), ("colour", False)])
def test_a_table_of_one_column(tmp_path: Path, column: str, is_curve: bool) -> None:
    """A curve over the numbers of the file where there are numbers."""
    frame = table().select(column, pl.col("count").alias("y") * 2.5)
    frame.write_csv(tmp_path / "rows.csv")
    run = train(tmp_path, "one", **{"data.target": "y", "loss": "mse", "data.columns": {}})
    if not is_curve:
        with pytest.raises(UserError, match="has 6 inputs and 1 targets;"):
            views.fitted_curve(run)
        return
    fit = views.fitted_curve(run)
    np.testing.assert_allclose(fit.targets, 2.5 * fit.inputs)
    assert fit.outputs is not None
    expected = predict_table(run, {"count": fit.x[::100]}).outputs
    np.testing.assert_allclose(fit.outputs[::100], expected, rtol=1e-3, atol=1e-3)
