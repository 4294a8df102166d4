"""Tables that need no path: those of scikit-learn against its loaders, and penguins from the file to a verdict."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlptrain.experiment import train, train_seeds
from mlptrain.experiment.build import load_data
from mlptrain.inference.evaluate import evaluate_checkpoint as evaluate
from mlptrain.sources.tables.shipped import SHIPPED
from mlptrain.spec import load_spec, load_text
from tests.spec.texts import complete

LOADERS = {
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "diabetes": lambda: datasets.load_diabetes(scaled=False),
}
PENGUINS = Path(__file__).parents[2] / "configs" / "tables" / "penguins.yaml"


@pytest.mark.parametrize("name", LOADERS)
def test_rows_are_those_of_scikit_learns_loader(name: str) -> None:
    reference: Any = LOADERS[name]()
    loss = "mse" if name == "diabetes" else "cross_entropy"
    source = load_text(complete(f"data: {name}\nloss: {loss}")).spec.data.source()
    facts, raw = source.facts(), source.read(seed=0, folder=Path())
    assert [column.name for column in facts.columns] == list(reference.feature_names)
    np.testing.assert_array_equal(raw.x, reference.data.astype(np.float32))
    if facts.class_names:
        np.testing.assert_array_equal(np.array(facts.class_names)[raw.y], reference.target_names[reference.target])
    else:
        np.testing.assert_array_equal(raw.y[:, 0], reference.target)


def test_every_shipped_table_is_checked() -> None:
    assert set(SHIPPED) == {"penguins", *LOADERS}


def penguins() -> list[dict[str, str]]:
    with Path(SHIPPED["penguins"].files()[0]).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_another_column_of_a_shipped_table_is_the_target() -> None:
    loaded = load_text(complete("data: {name: penguins, target: body_mass_g}\nloss: mse"))
    rows = [row for row in penguins() if row["body_mass_g"] != "NA"]
    assert sum(loaded.experiment.facts.rows.values()) == len(rows) == 342
    assert "species" in [column.name for column in loaded.experiment.facts.columns]


def test_penguins_from_the_file_to_a_verdict(tmp_path: Path) -> None:
    """As good as scikit-learn's logistic regression with imputation, indicators and one-hot columns, on one split."""
    experiment = load_spec(PENGUINS).experiment
    rows, facts = penguins(), experiment.facts
    assert facts.class_names == tuple(sorted(Counter(row["species"] for row in rows)))
    assert sum(facts.rows.values()) == len(rows) == 344
    splits = load_data(experiment)
    assert splits.train.index is not None
    assert splits.test is not None
    assert splits.test.index is not None
    numbers = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year"]
    x = np.array([[np.nan if row[key] == "NA" else float(row[key]) for key in numbers] for row in rows])
    levels = np.array([[row["island"], row["sex"]] for row in rows])
    y, both = np.array([row["species"] for row in rows]), np.column_stack([x.astype(object), levels])
    reference = make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), slice(0, 5)),
            (OneHotEncoder(handle_unknown="ignore"), [5, 6]),
        ),
        LogisticRegression(max_iter=1000),
    )
    train_rows, test_rows = splits.train.index.numpy(), splits.test.index.numpy()
    reference.fit(both[train_rows], y[train_rows])
    outcome = train(PENGUINS, run_dir=tmp_path / "run").result.plain()["kept"]
    assert outcome["test_accuracy"] >= reference.score(both[test_rows], y[test_rows]) - 1.5 / len(test_rows)
    assert outcome["test_accuracy"] >= 0.97


def test_figures_of_seeds_are_in_the_unit_of_their_own_targets(tmp_path: Path) -> None:
    """Each seed's targets are scaled by its own training rows, and what it ends with is what ``eval`` measures."""
    config = {"data": "diabetes", "model": {"hidden": [4]}, "loss": "mse", "optimizer": "adam"}
    extra = {"training": {"epochs": 2}, "evaluation": {"metrics": ["rmse"]}}
    outcomes = train_seeds(config | extra, [0, 1], run_dir=tmp_path / "group").outcomes
    for outcome in outcomes:
        kept = outcome.result.plain()["kept"]
        for split in ("validation", "test"):
            measured = evaluate(outcome.folder.path, split=split)
            assert kept[f"{split}_rmse"] == pytest.approx(measured["metrics"]["rmse"], rel=1e-6)
            assert kept[f"{split}_loss"] == pytest.approx(measured["loss"], rel=1e-6)
