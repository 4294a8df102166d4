"""Data that come with scikit-learn, as they are installed and in files of one's own, against its own loaders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlptrain.experiment.build import load_data
from mlptrain.spec import load_text
from tests.catalogue import SOURCES, SourceRow
from tests.spec.texts import complete

every_source = pytest.mark.parametrize(("name", "row"), SOURCES.items())


def sorted_rows(x: Any, y: Any) -> Any:
    """Rows with their labels, float64, in an order of their own."""
    rows = np.column_stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    return rows[np.lexsort(rows.T)]


@pytest.fixture
def data(name: str, row: SourceRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The section, as YAML, of files in the current folder where it reads any."""
    monkeypatch.chdir(tmp_path)
    return f"data: {json.dumps({'name': name, **row.write(tmp_path)})}"


@every_source
def test_facts_are_those_of_the_loader(name: str, row: SourceRow, data: str) -> None:
    reference = row.reference()
    source = load_text(complete(data)).spec.data.source().facts()
    counts = [sum(pair) for pair in zip(source.train_counts, source.test_counts or (0,) * 99, strict=False)]
    assert counts == np.bincount(reference.target).tolist()
    assert source.n_features == reference.data.shape[1]
    assert list(source.class_names) == [str(name) for name in reference.target_names]
    assert [column.name for column in source.columns] == (reference.feature_names if row.column_names else [])


@every_source
def test_splits_hold_every_row_once_and_as_many_as_the_facts_say(name: str, row: SourceRow, data: str) -> None:
    experiment = load_text(complete(f"{data}\nseed: 3")).experiment
    splits = load_data(experiment)
    parts = {key: part for key in ("train", "validation", "test") if (part := getattr(splits, key)) is not None}
    assert {key: len(part) for key, part in parts.items()} == experiment.facts.rows
    x = np.concatenate([part.stored().numpy() for part in parts.values()])
    y = np.concatenate([part.targets.numpy() for part in parts.values()])
    np.testing.assert_allclose(sorted_rows(x, y), sorted_rows(*row.reference(return_X_y=True)), rtol=1e-7)
