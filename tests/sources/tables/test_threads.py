"""What is read, encoded and fitted in threads: the same, and the same error, as without."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Generator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from mlptrain.data.tabular import Columns
from mlptrain.errors import DataError
from mlptrain.sources.facts import Column, DataFacts
from mlptrain.sources.tables.encode import encode_inputs, encode_labels
from mlptrain.sources.tables.files import ahead
from mlptrain.sources.tables.narrow import narrowed
from mlptrain.sources.tables.read import read_table
from mlptrain.sources.tables.table import Part, Table
from mlptrain.spec.table import FileTable
from mlptrain.system import memory
from tests.sources.tables.conftest import Write

ROWS = 600_000  # of two columns more than 16 parts


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    generator = np.random.default_rng(0)
    whole = generator.integers(0, 9, ROWS).astype(np.int32)
    return pl.DataFrame({"x": generator.normal(size=ROWS), "k": whole, "y": whole.astype(str)})


def table(frame: pl.DataFrame) -> Table:
    return Table(frame, has_names=True, parts=(Part(Path("x.parquet"), frame.height),))


def test_many_parts_are_encoded_as_the_columns_are(frame: pl.DataFrame) -> None:
    columns = [Column(name="x"), *(Column(name=f"k{place}", source="k") for place in range(20))]
    found = encode_inputs(table(frame), columns)
    assert np.array_equal(found[:, 0], frame["x"].to_numpy().astype(np.float32))
    assert all(np.array_equal(found[:, place], frame["k"].to_numpy()) for place in range(1, 21))


def test_the_first_fault_is_the_one_that_is_said(frame: pl.DataFrame) -> None:
    """Later ones are found earlier where their parts are done first."""
    rows = [ROWS - 1, ROWS - 70_000, 400_000, 399_999]
    wide = frame.with_columns(x=frame["x"].scatter(rows, [1e39, 2e39, 3e39, 4e39]))
    columns = [Column(name="x"), *(Column(name=f"k{place}", source="k") for place in range(20))]
    for _ in range(5):
        with pytest.raises(DataError, match=r"row 400,000, column 'x'  4e\+39: beyond the numbers of float32"):
            encode_inputs(table(wide), columns)


def test_labels_of_many_rows(frame: pl.DataFrame) -> None:
    many = pl.concat([frame.select("y")] * 8)
    names = [str(number) for number in range(8, -1, -1)]
    assert np.array_equal(encode_labels(table(many), "y", names), 8 - many["y"].cast(pl.Int64).to_numpy())
    with pytest.raises(
        DataError, match=f"row {(many['y'] == '4').to_list().index(True) + 1:,}, column 'y'  class '4' is not"
    ):
        encode_labels(table(many), "y", [name for name in names if name != "4"])


def test_what_is_made_ahead_comes_in_order_and_so_does_its_error() -> None:
    def items() -> Generator[int, None, None]:
        yield from range(5)
        raise DataError("of the sixth")

    found = ahead(items())
    assert [next(found) for _ in range(5)] == list(range(5))
    with pytest.raises(DataError, match="of the sixth"):
        next(found)


def test_an_iterator_that_is_left_ends_its_thread_and_closes_what_it_read() -> None:
    closed, before = threading.Event(), threading.active_count()

    def items() -> Generator[int, None, None]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    left = ahead(items())
    assert next(left) == 0
    left.close()
    assert closed.is_set()
    assert threading.active_count() == before


@pytest.mark.parametrize("scaling", ["standard", "minmax", "robust_clip", "quantile"])
@pytest.mark.parametrize("missing", ["median", "mean"])
def test_fitting_in_threads_is_fitting(scaling: str, missing: str) -> None:
    generator = np.random.default_rng(0)
    count = 150_007  # more than are added up at once
    x = generator.normal(size=(count, 7)).astype(np.float32) * np.arange(1, 8, dtype=np.float32)
    x[generator.random(x.shape) < 0.1] = np.nan
    x[:, 0], x[:, 6] = 3, generator.integers(0, 3, count)
    columns = (
        *(Column(name=f"x{place}") for place in range(6)),
        Column(name="c", kind="categorical", categories=("a", "b", "c")),
    )
    facts = DataFacts(train_rows=count, validation_rows=0, test_rows=0, n_features=7, n_targets=1, columns=columns)
    data = FileTable.model_validate(
        {"name": "table", "path": "x", "target": "y", "numeric": {"scaling": scaling, "missing": missing}}
    )
    rows = torch.from_numpy(x)
    one, three = (
        Columns.fit(data, count, lambda some: torch.split(rows, some, dim=1), facts, threads=threads)
        for threads in (1, 3)
    )
    assert one == three
    if scaling == "standard":  # to the bit what NumPy says of the whole column
        filled = x[:, 1].astype(np.float64)
        there = filled[~np.isnan(filled)]
        filled[np.isnan(filled)] = there.mean() if missing == "mean" else np.median(there)
        assert (one.of[1].center, one.of[1].scale) == (filled.mean(), filled.std())  # type: ignore[union-attr]


@pytest.mark.parametrize("rows", [100, 20_000])
def test_narrow_columns_hold_the_same_numbers(rows: int) -> None:
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=rows)
    gaps = numbers.copy()
    gaps[7] = np.nan
    frame = pl.DataFrame(
        {"x": numbers, "gaps": gaps, "late": 1.7e9 + numbers, "none": pl.Series([None, *numbers[1:]]),
         "k": np.arange(rows), "far": np.arange(rows) + 2**40, "t": ["a"] * rows}
    )  # fmt: skip
    found = narrowed(pl.concat([frame[: rows // 3], frame[rows // 3 :]], rechunk=False))
    assert found.dtypes == [pl.Float32, pl.Float32, pl.Float64, pl.Float32, pl.Int32, pl.Int64, pl.String]
    wanted = frame.with_columns(pl.col("x", "gaps", "none").fill_nan(None).cast(pl.Float32), pl.col("k").cast(pl.Int32))
    assert found.equals(wanted)


def test_an_archive_that_grows_is_refused_while_it_is_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = b"1.25,2.5\n" * 8_000_000
    path = write("x.csv.gz", gzip.compress(b"a,b\n" + lines, 1))
    meminfo = write("meminfo", "MemAvailable: 50000 kB\n")
    monkeypatch.setattr(memory, "FILES", memory.MemoryFiles(meminfo, ()))
    with pytest.raises(DataError, match=r"x\.csv\.gz would take about 0\.\d GB of memory"):
        read_table(path)
