"""Inputs made of a table's columns, and targets of a regression, against scikit-learn's transformers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from mlptrain.data.tabular import Columns
from mlptrain.errors import DataError
from mlptrain.nn.targets import TargetScaling
from mlptrain.sources.facts import Column, DataFacts, DataKeyError
from mlptrain.spec.table import FileTable, TableData

Rows = NDArray[np.float32]
SCALERS: dict[str, Any] = {
    "none": FunctionTransformer,
    "standard": StandardScaler,
    "minmax": MinMaxScaler,
    "robust": RobustScaler,
}


def section(**keys: Any) -> TableData:
    return FileTable.model_validate({"name": "table", "path": "x.csv", "target": "y", **keys})


def numbers(x: Rows) -> DataFacts:
    """The facts of a table with these numeric columns."""
    columns = tuple(Column(name=f"x{place}", missing=int(np.isnan(values).sum())) for place, values in enumerate(x.T))
    return DataFacts(
        train_rows=len(x), validation_rows=0, test_rows=0, n_features=x.shape[1], n_targets=1, columns=columns
    )


def levels(x: Rows, count: int) -> DataFacts:
    """The facts of a table with one categorical column of so many levels."""
    column = Column(
        name="c", kind="categorical", categories=tuple(f"{n:04}" for n in range(count)), missing=int(np.isnan(x).sum())
    )
    return DataFacts(train_rows=len(x), validation_rows=0, test_rows=0, n_features=1, n_targets=1, columns=(column,))


def applied(data: TableData, fitted_on: Rows, to: Rows, facts: DataFacts) -> Rows:
    rows = torch.from_numpy(fitted_on)
    fitted = Columns.fit(data, len(rows), lambda some: torch.split(rows, some, dim=1), facts)
    found: Rows = fitted.apply(torch.from_numpy(to)).numpy()
    assert not np.isnan(found).any()
    return found


def with_gaps(seed: int, rows: int = 400) -> Rows:
    """Columns of several shapes: normal, skewed, with ties, whole numbers far from 0; a tenth is missing."""
    generator = np.random.default_rng(seed)
    x = np.column_stack(
        [
            generator.normal(3, 2, rows),
            np.exp(generator.normal(0, 3, rows)),
            generator.integers(0, 4, rows),
            generator.integers(1_000_000, 1_000_400, rows),
        ]
    ).astype(np.float32)
    x[generator.random(x.shape) < 0.1] = np.nan
    return x


@pytest.mark.parametrize("missing", ["median", "mean", {"constant": -3.5}])
@pytest.mark.parametrize("scaling", SCALERS)
def test_numbers_are_imputed_and_scaled_as_by_scikit_learn(missing: Any, scaling: str) -> None:
    x, new = with_gaps(0), with_gaps(1)
    imputer = (
        SimpleImputer(strategy="constant", fill_value=-3.5)
        if isinstance(missing, dict)
        else SimpleImputer(strategy=missing)
    )
    scaler = SCALERS[scaling]()
    scaler.fit(imputer.fit_transform(x.astype(float)))
    found = applied(section(numeric={"missing": missing, "scaling": scaling}), x, new, numbers(x))
    wanted = scaler.transform(imputer.transform(new.astype(float)))
    np.testing.assert_allclose(found[:, ::2], wanted, rtol=1e-6, atol=1e-6)
    flags = MissingIndicator(features="all").fit(x).transform(new)
    np.testing.assert_array_equal(found[:, 1::2], flags)


def test_numbers_become_normal_as_by_scikit_learn() -> None:
    x, new = with_gaps(0, 3_000), with_gaps(1, 3_000)
    imputer = SimpleImputer(strategy="median").fit(x.astype(float))
    found = applied(section(numeric={"scaling": "quantile", "indicator": False}), x, new, numbers(x))
    count = max(min(len(x) // 30, 1000), 10)
    wanted = QuantileTransformer(output_distribution="normal", n_quantiles=count, subsample=None)
    wanted.fit(imputer.transform(x.astype(float)))
    np.testing.assert_allclose(found, wanted.transform(imputer.transform(new.astype(float))), rtol=1e-6, atol=1e-6)


def test_robust_clip_follows_its_formula() -> None:
    x, new = with_gaps(0), with_gaps(1)
    x, new = np.nan_to_num(x), np.nan_to_num(new)
    scaled = RobustScaler().fit(x.astype(float)).transform(new.astype(float))
    found = applied(section(numeric={"scaling": "robust_clip"}), x, new, numbers(x))
    np.testing.assert_allclose(found, scaled / np.sqrt(1 + (scaled / 3) ** 2), rtol=1e-6, atol=1e-6)
    assert np.abs(found).max() <= 3


def test_robust_clip_of_columns_without_quartiles() -> None:
    """Most values alike: the range instead of the quartiles (Holzmüller et al., 2024); all alike: zeros."""
    x = np.array([[0, 7]] * 9 + [[4, 7]], dtype=np.float32)
    found = applied(section(numeric={"scaling": "robust_clip"}), x, x, numbers(x))
    assert found[0].tolist() == [0, 0]
    assert found[9, 0] == pytest.approx(2 / np.sqrt(1 + (2 / 3) ** 2))
    assert found[9, 1] == 0


ODD = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 40), st.integers(1, 3)),
    elements=st.one_of(
        st.just(float("nan")),
        st.sampled_from([0.0, 1.0, -1.0, 1e30, -1e30, 1e-30, 3e-45, 16777216.0, 3.0]),
        st.floats(-1e6, 1e6, width=32),
    ),
)


@pytest.mark.parametrize("scaling", ["none", "standard", "minmax", "robust", "robust_clip", "quantile"])
@given(x=ODD, new=ODD)
@example(x=np.array([[np.nan], [5]], dtype=np.float32), new=np.array([[np.nan]], dtype=np.float32))
@example(x=np.full((5, 1), 1e30, dtype=np.float32), new=np.array([[-1e30]], dtype=np.float32))
@example(x=np.full((9, 1), 0.1, dtype=np.float32), new=np.array([[0.2]], dtype=np.float32))
@example(x=np.array([[0]] * 9 + [[3e-45]], dtype=np.float32), new=np.array([[1e30]], dtype=np.float32))
@settings(max_examples=40, deadline=None)
def test_odd_numbers_are_scaled_or_refused(scaling: str, x: Rows, new: Rows) -> None:
    """Whatever is fitted and applied: finite inputs, which are scikit-learn's where it does not divide by rounding."""
    new = np.resize(new, (len(new), x.shape[1]))
    data = section(numeric={"scaling": scaling, "indicator": False})
    if np.isnan(x).all(axis=0).any():
        with pytest.raises(DataError, match="no training row has a value in column 'x"):
            applied(data, x, new, numbers(x))
        return
    found = applied(data, x, new, numbers(x))
    assert np.isfinite(found).all()
    assert found.shape == new.shape
    imputer = SimpleImputer(strategy="median").fit(x.astype(float))
    whole = imputer.transform(x.astype(float))
    if scaling in ("standard", "minmax", "robust"):
        wanted = SCALERS[scaling]().fit(whole)
        spread = np.ptp(whole, axis=0)  # of less than 2e-15 scikit-learn divides by 1
        plain = (spread > 1e-12) & (spread > 1e-9 * np.abs(whole).max(axis=0)) | (spread == 0)
        if scaling == "robust":
            quartiles = np.quantile(whole, [0.25, 0.75], axis=0)
            plain &= (np.ptp(quartiles, axis=0) > 1e-12) | (spread == 0)
        ours = np.clip(wanted.transform(imputer.transform(new.astype(float))), -3.4e38, 3.4e38)
        near = np.abs(ours) < 1e30
        for column in np.flatnonzero(plain):
            rows = near[:, column]
            np.testing.assert_allclose(found[rows, column], ours[rows, column], rtol=1e-5, atol=1e-5)


def coded(seed: int, rows: int, count: int, *, missing: float = 0.1) -> Rows:
    generator = np.random.default_rng(seed)
    codes = np.minimum(generator.geometric(0.25, rows) - 1, count - 1).astype(np.float32)
    codes[generator.random(rows) < missing] = np.nan
    return codes[:, None]


@pytest.mark.parametrize("min_frequency", [1, 5, 40, 1000])
@pytest.mark.parametrize("max_levels", [2, 4, 100])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_one_hot_is_that_of_scikit_learn(min_frequency: int, max_levels: int, missing: float) -> None:
    """Its columns are those of the slots that training rows fill; unseen levels are infrequent ones, as there."""
    x, new = coded(0, 300, 12, missing=missing), coded(1, 300, 14, missing=missing)
    count = 12
    stored = np.where(new >= count, -1, new).astype(np.float32)  # as the reader stores what the training file lacks
    data = section(categorical={"min_frequency": min_frequency, "max_levels": max_levels})
    found = applied(data, x, stored, levels(x, count))
    assert found.shape[1] == min(count, max_levels) + 2
    # None is a level of scikit-learn's encoder, which is counted like others; here it has a place of its own.
    present = ~np.isnan(x[:, 0])
    encoder = OneHotEncoder(
        min_frequency=min_frequency,
        max_categories=max_levels + 1 if (levels_left(x, min_frequency) > max_levels) else None,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
    ).fit(x[present])
    known = ~np.isnan(new[:, 0])
    wanted = encoder.transform(new[known])
    has_infrequent = encoder.infrequent_categories_[0] is not None
    kept = wanted.shape[1] - has_infrequent
    np.testing.assert_array_equal(found[known][:, :kept], wanted[:, :kept])
    other = wanted[:, kept] if has_infrequent else np.zeros(known.sum())
    np.testing.assert_array_equal(found[known][:, -2], other)
    assert not found[:, kept:-2].any()
    np.testing.assert_array_equal(found[:, -1], ~known)


def levels_left(x: Rows, min_frequency: int) -> int:
    _, counts = np.unique(x[~np.isnan(x)], return_counts=True)
    return int((counts >= min_frequency).sum())


def test_ordinal_codes_are_those_of_scikit_learn() -> None:
    """Slots are positions among the levels; those that training has not seen have the code −1."""
    x, new = coded(0, 300, 8, missing=0), coded(1, 300, 12, missing=0)
    stored = np.where(new >= 8, -1, new).astype(np.float32)
    found = applied(section(categorical={"encoding": "ordinal"}), x, stored, levels(x, 8))
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(x)
    np.testing.assert_array_equal(found, encoder.transform(new))


@pytest.mark.parametrize("encoding", ["one_hot", "ordinal", "embedding"])
@given(
    x=st.lists(st.none() | st.integers(0, 5), min_size=1, max_size=30),
    new=st.lists(st.none() | st.integers(-1, 5), min_size=1, max_size=30),
    min_frequency=st.integers(1, 9),
    max_levels=st.integers(2, 9),
)
@settings(max_examples=40, deadline=None)
def test_every_level_has_one_place_or_none(
    encoding: str, x: list[int | None], new: list[int | None], min_frequency: int, max_levels: int
) -> None:
    """Levels that training rows have are somewhere; alike are only infrequent ones; others are all zeros, or −1."""
    rows, others = (np.array(codes, dtype=np.float32)[:, None] for codes in (x, new))
    data = section(categorical={"encoding": encoding, "min_frequency": min_frequency, "max_levels": max_levels})
    found = applied(data, rows, others, levels(rows, 6))
    seen = {code: x.count(code) for code in x}
    frequent = {code for code, count in seen.items() if code is not None and count >= min_frequency}
    slots = min(6, max_levels) + 2
    for code, row in zip(new, found, strict=True):
        filled = [int(place) for place in np.flatnonzero(row)] if encoding == "one_hot" else [int(row[0])]
        if code in seen:
            assert len(filled) == 1
            assert 0 <= filled[0] < slots
            assert (filled[0] == slots - 1) == (code is None)
            assert not (code not in frequent and code is not None) or filled[0] == slots - 2
        else:
            has_other = len([code for code in seen if code is not None and code not in frequent]) > 0
            has_other |= len(frequent) > max_levels
            assert filled == ([slots - 2] if has_other and code is not None else [] if encoding == "one_hot" else [-1])


@pytest.mark.parametrize("log1p", [False, True])
def test_targets_are_scaled_as_by_scikit_learn(log1p: bool) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 3))
    y = np.exp(x @ [0.5, -1, 2] + generator.normal(size=200)).astype(np.float32)[:, None]
    scaling = TargetScaling.fit(torch.from_numpy(y), log1p=log1p)
    transformer: Any = StandardScaler()
    before = np.log1p(y.astype(float)) if log1p else y.astype(float)
    wanted = transformer.fit_transform(before)
    np.testing.assert_allclose(scaling.scaled(torch.from_numpy(y)).numpy(), wanted, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scaling.restored(scaling.scaled(torch.from_numpy(y))).numpy(), y, rtol=1e-4, atol=1e-5)
    whole = TransformedTargetRegressor(
        LinearRegression(),
        func=lambda values: transformer.transform(np.log1p(values) if log1p else values),
        inverse_func=lambda values: (
            np.expm1(transformer.inverse_transform(values)) if log1p else transformer.inverse_transform(values)
        ),
        check_inverse=False,
    ).fit(x, y)
    inner = whole.regressor_.predict(x)
    found = scaling.restored(torch.from_numpy(inner.reshape(-1, 1))).numpy()
    np.testing.assert_allclose(found, whole.predict(x).reshape(-1, 1), rtol=1e-6)


def test_a_constant_target_is_only_shifted() -> None:
    scaling = TargetScaling.fit(torch.full((5, 1), 3.0), log1p=False)
    assert (scaling.mean, scaling.std) == ((3.0,), (1.0,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DummyRegressor().fit(np.zeros((5, 1)), scaling.scaled(torch.full((5, 1), 3.0)).numpy())


@pytest.mark.parametrize("y", [[1.0, -1.0], [-2.5, 3.0]])
def test_log1p_needs_targets_above_minus_one(y: list[float]) -> None:
    with pytest.raises(DataError, match=r"log1p needs targets above −1, got -"):
        TargetScaling.fit(torch.tensor(y)[:, None], log1p=True)


def test_targets_without_a_square_are_refused_at_their_place(tmp_path: Path) -> None:
    file = tmp_path / "far.csv"
    file.write_text("a,y\n1,2.5\n2,\n3,4e30\n4,1.5\n")
    with pytest.raises(
        DataKeyError, match=rf"{file}:4:3  4e\+30: its square is beyond the numbers of float32"
    ) as caught:
        FileTable(name="table", path=str(file), target="y").facts()
    assert caught.value.path == ("path",)
