"""What preprocessing is fitted on, against scikit-learn and by changing what it must not see; its way through JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler
from torch import Tensor

import mlptrain
from mlptrain.data import Preprocessing, Scale, Splits, Standardize
from mlptrain.errors import DataError
from mlptrain.experiment.build import load_data
from mlptrain.experiment.checkpoints import load_checkpoint
from mlptrain.spec import Experiment, Loaded, load_text
from tests.tables import COLUMNS, Table


def loaded(scaling: str = "standard", *, seed: int = 0) -> Loaded:
    return load_text(f"""
name: table
seed: {seed}
data: {{name: spirals, scaling: {scaling}, validation: 0.25}}
model: {{hidden: [6]}}
optimizer: {{name: adam, lr: 0.05}}
training: {{epochs: 3, batch_size: 16, device: cpu, threads: 1, precision: highest}}
evaluation: {{keep: last}}
""")


def experiment(scaling: str = "standard") -> Experiment:
    return loaded(scaling).experiment


def as_columns() -> Table:
    return Table()


def without_names() -> Table:
    return Table(columns=())


def as_bytes() -> Table:
    """As images are stored: one mean and one std, from a histogram."""
    table = Table(columns=(), maximum=16)
    table.x = np.random.default_rng(3).integers(17, size=table.x.shape, dtype=np.uint8)
    return table


KINDS = pytest.mark.parametrize("make", [as_columns, without_names, as_bytes])


def unseen_rows(splits: Splits) -> np.ndarray[Any, Any]:
    """Positions in the table of the rows to validate and to test with."""
    assert splits.validation is not None
    assert splits.test is not None
    assert splits.validation.index is not None
    assert splits.test.index is not None
    return torch.cat([splits.validation.index, splits.test.index]).numpy()


def trained(path: Path) -> tuple[Preprocessing, dict[str, Tensor]]:
    checkpoint = load_checkpoint(path / "checkpoints" / "last.safetensors")
    return checkpoint.preprocessing, dict(checkpoint.state.parameters)


def assert_same_training(one: Path, other: Path) -> None:
    (first, weights), (second, others) = trained(one), trained(other)
    assert first == second
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def change(table: Table, rows: np.ndarray[Any, Any]) -> None:
    """Other values and labels in these rows, further out than any before."""
    table.x[rows] = 255 - table.x[rows] if table.x.dtype == np.uint8 else -1000 * table.x[rows] - 5
    table.y[rows] = (table.y[rows] + 1) % 4


@KINDS
@pytest.mark.parametrize("scaling", ["standard", "none"])
def test_no_row_that_is_validated_or_tested_with_has_a_part_in_training(
    make: Any, scaling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = make()
    table.put_in_place(monkeypatch)
    unseen = unseen_rows(load_data(experiment(scaling)))
    assert len(unseen) == 60
    mlptrain.train(loaded(scaling), run_dir=tmp_path / "before")
    change(table, unseen)
    mlptrain.train(loaded(scaling), run_dir=tmp_path / "after")

    assert_same_training(tmp_path / "before", tmp_path / "after")
    before, after = (mlptrain.evaluate(tmp_path / "after", split=split) for split in ("train", "test"))
    assert before["loss"] != after["loss"], "the rows were changed"


@KINDS
def test_nor_do_those_of_one_seed_that_others_train_on(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeds that train together share the rows in memory, not what is fitted on them."""
    table = make()
    table.put_in_place(monkeypatch)
    mlptrain.train_seeds(loaded(), [0, 1], run_dir=tmp_path / "before")
    change(table, unseen_rows(load_data(experiment())))
    mlptrain.train_seeds(loaded(), [0, 1], run_dir=tmp_path / "after")

    assert_same_training(tmp_path / "before/seed-0", tmp_path / "after/seed-0")
    assert trained(tmp_path / "before/seed-1")[0] != trained(tmp_path / "after/seed-1")[0]


@KINDS
def test_every_row_that_is_trained_on_has_a_part_in_what_is_fitted(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = make()
    table.put_in_place(monkeypatch)
    splits = load_data(experiment())
    assert splits.train.index is not None
    assert len(splits.train.index) == 90
    for row in splits.train.index.tolist():
        kept = table.x[row].copy()
        change(table, np.array([row]))
        assert load_data(experiment()).preprocessing != splits.preprocessing, row
        table.x[row] = kept


def test_columns_are_those_of_scikit_learns_scaler_fitted_on_the_training_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    table = as_columns()
    table.put_in_place(monkeypatch)
    splits = load_data(experiment())
    assert splits.train.index is not None

    scaler = StandardScaler().fit(table.x[splits.train.index.numpy()].astype(np.float64))
    [fitted] = splits.preprocessing.transforms
    assert isinstance(fitted, Standardize)
    assert fitted.mean == pytest.approx(scaler.mean_, rel=1e-12)
    assert fitted.std == pytest.approx(scaler.scale_, rel=1e-12)
    for part in (splits.train, splits.validation, splits.test):
        assert part is not None
        assert part.index is not None
        expected = scaler.transform(table.x[part.index.numpy()].astype(np.float64))
        np.testing.assert_allclose(part.inputs.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e-20, 3e30])
def test_a_constant_column_becomes_zero_and_keeps_its_unit(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the mean of equal numbers, rounded, is not that number: a std of 1e-17 would be no unit."""
    table = as_columns()
    table.put_in_place(monkeypatch)
    table.x[:, 4] = value
    splits = load_data(experiment())
    assert splits.train.index is not None
    scaler = StandardScaler().fit(table.x[splits.train.index.numpy()].astype(np.float64))
    [fitted] = splits.preprocessing.transforms
    assert isinstance(fitted, Standardize)
    assert fitted.std[4] == scaler.scale_[4] == 1
    assert fitted.std == pytest.approx(scaler.scale_, rel=1e-12)
    assert (splits.train.inputs[:, 4] == 0).all()
    other = torch.from_numpy(table.x[:1].copy())
    other[0, 4] = value + 2
    assert float(splits.preprocessing.apply(other)[0, 4]) == pytest.approx(value + 2 - value, abs=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_column_that_is_not_finite_is_named(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    table = as_columns()
    table.put_in_place(monkeypatch)
    index = load_data(experiment()).train.index
    assert index is not None
    table.x[int(index[5]), 6] = value
    with pytest.raises(
        DataError, match=r"^scaling of column 'price \$' needs finite values, got mean -?(nan|inf), std nan$"
    ):
        load_data(experiment())


def test_names_of_columns_decide_how_a_table_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = []
    for make in (as_columns, without_names):
        make().put_in_place(monkeypatch)
        [transform] = load_data(experiment()).preprocessing.transforms
        kinds.append(type(transform))
    assert kinds == [Standardize, Scale]
    assert len(COLUMNS) == 7


FINITE = st.floats(-3e38, 3e38, allow_nan=False)
DIVISORS = st.floats(1e-300, 1e38)


@st.composite
def transforms(draw: st.DrawFn) -> Scale | Standardize:
    if draw(st.booleans()):
        return Scale(divisor=draw(DIVISORS), mean=draw(FINITE), std=draw(DIVISORS))
    seven = [st.lists(numbers, min_size=7, max_size=7) for numbers in (FINITE, DIVISORS)]
    return Standardize(mean=tuple(draw(seven[0])), std=tuple(draw(seven[1])))


@given(st.lists(transforms(), max_size=3))
@settings(max_examples=100, deadline=None)
def test_state_survives_json_to_the_bit(chain: list[Scale | Standardize]) -> None:
    preprocessing = Preprocessing(transforms=tuple(chain))
    text = json.dumps(preprocessing.plain(), allow_nan=False)
    again = Preprocessing.model_validate(json.loads(text))
    assert again == preprocessing
    assert json.dumps(again.plain()) == text
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again.apply(x).view(torch.int32), preprocessing.apply(x).view(torch.int32))
    assert torch.equal(x, torch.randn(5, 7, generator=torch.Generator().manual_seed(1))), "applied to a copy"


@KINDS
def test_state_survives_a_checkpoint(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = make()
    table.put_in_place(monkeypatch)
    mlptrain.train(loaded(), run_dir=tmp_path / "run")
    splits, network = load_data(experiment()), mlptrain.load(tmp_path / "run")
    assert network.preprocessing == splits.preprocessing
    assert splits.test is not None
    assert torch.equal(network.preprocess(splits.test.stored()), splits.test.inputs)


@pytest.mark.parametrize("n", [6, 8])
def test_rows_of_another_width_do_not_fit(n: int) -> None:
    seven = Preprocessing(transforms=(Standardize(mean=(0.0,) * 7, std=(1.0,) * 7),))
    assert (seven.fits(7), seven.fits(n)) == (True, False)
    assert Preprocessing(transforms=(Scale(divisor=16),)).fits(n)
