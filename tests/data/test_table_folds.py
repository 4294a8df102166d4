"""The folds of a table by group, by time and of a column's training rows, against scikit-learn's splitters."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, TimeSeriesSplit

from mlptrain.errors import SpecError
from mlptrain.sources.grouping import block_of_fold, folds_of_groups
from mlptrain.spec import load_spec
from mlptrain.spec.load import in_folds
from tests.data.test_table_splits import numbers, rows_of, write

GROUP = {"by": "group", "column": "patient"}
TIME = {"by": "time", "column": "when"}
COLUMN = {"by": "column", "column": "part"}
Parts = dict[str, list[int]]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "t.csv", rows_of())


def folds(path: Path, of: int, **settings: Any) -> list[Parts]:
    """The numbers of the rows of each split in each fold, whose counts are those of the facts."""
    return [numbers(path, test=0, fold={"of": of, "index": index}, **settings) for index in range(of)]


@given(sizes=st.lists(st.integers(1, 30), min_size=2, max_size=25), data=st.data())
def test_groups_fill_folds_as_scikit_learn_has_it(sizes: list[int], data: st.DataObject) -> None:
    of = data.draw(st.integers(2, len(sizes)))
    own = folds_of_groups(tuple(sizes), of, seed=data.draw(st.integers(0, 2**63 - 1)))
    rows = np.repeat(np.arange(len(sizes)), sizes)
    theirs = [len(test) for _, test in GroupKFold(of).split(rows, groups=rows)]
    assert sorted(np.bincount(np.array(own)[rows], minlength=of)) == sorted(theirs)


@given(of=st.integers(2, 12), more=st.integers(1, 60))
def test_blocks_of_time_are_those_of_scikit_learn(of: int, more: int) -> None:
    rows = of + more
    for index, (train, test) in enumerate(TimeSeriesSplit(of).split(np.zeros(rows))):
        block = block_of_fold(rows, of, index)
        assert [*block] == test.tolist()
        assert [*range(block.start)] == train.tolist()


@pytest.mark.parametrize("of", [2, 4])
def test_a_group_never_lies_in_two_folds(table: Path, of: int) -> None:
    groups = np.array([row["patient"] for row in rows_of()])
    found = folds(table, of, split=GROUP, validation=0.2)

    assert sorted(itertools.chain(*(its["test"] for its in found))) == list(range(200))
    for its in found:
        assert sorted(itertools.chain(*its.values())) == list(range(200))
        assert sum(len(set(groups[rows])) for rows in its.values()) == len(set(groups))
        assert its["validation"]
    theirs = [len(test) for _, test in GroupKFold(of).split(groups, groups=groups)]
    assert sorted(len(its["test"]) for its in found) == sorted(theirs)
    assert folds(table, of, seed=5, split=GROUP, validation=0.2) == found, "all seeds share them"


def test_another_draw_parts_groups_of_one_size_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [row | {"patient": index // 10} for index, row in enumerate(rows_of())])
    draws = [folds(path, 4, split=GROUP | {"draw": draw}, validation=0) for draw in range(3)]
    assert len({str(found) for found in draws}) == 3
    assert all(len(its["test"]) == 50 for found in draws for its in found)


def test_as_many_folds_as_groups_leave_each_out_in_turn(table: Path) -> None:
    groups = np.array([row["patient"] for row in rows_of()])
    found = folds(table, len(set(groups)), split=GROUP, validation=0)
    theirs = LeaveOneGroupOut().split(groups, groups=groups)
    for its, (train, test) in zip(found, theirs, strict=True):
        assert (its["train"], its["test"]) == (train.tolist(), test.tolist())


@pytest.mark.parametrize("column", ["when", "a"])
@pytest.mark.parametrize("of", [2, 5, 11])
def test_nothing_of_the_future_is_trained_on(table: Path, column: str, of: int) -> None:
    """Of one time the rows that stand later are the later ones."""
    times = np.array([row[column] for row in rows_of()])
    order = np.argsort(times, kind="stable")
    found = folds(table, of, split={"by": "time", "column": column}, validation=0.25)
    for its, (train, test) in zip(found, TimeSeriesSplit(of).split(times), strict=True):
        assert its["test"] == sorted(order[test])
        before = order[train].tolist()
        assert sorted(its["train"] + its["validation"]) == sorted(before)
        assert its["validation"] == sorted(before[len(before) - round(0.25 * len(before)) :])
        assert max(times[its["train"]]) <= min(times[its["validation"]])
        assert max(times[its["validation"]]) <= min(times[its["test"]])


def test_training_rows_that_a_column_states_are_parted_by_class(table: Path) -> None:
    rows = rows_of()
    whole, found = numbers(table, split=COLUMN), folds(table, 3, split=COLUMN)
    assert sorted(itertools.chain(*(its["test"] for its in found))) == whole["train"]
    for its in found:
        assert its["validation"] == whole["validation"]
        assert sorted(its["train"] + its["test"]) == whole["train"]
    counts = [Counter(rows[row]["y"] for row in its["test"]) for its in found]
    assert all(
        max(of[kind] for of in counts) - min(of[kind] for of in counts) <= 1 for kind in {row["y"] for row in rows}
    )


@pytest.mark.parametrize(
    ("split", "of", "message"),
    [
        (GROUP, 40, r"data.fold: splits \d+ groups into 40 folds, and a group lies in one; take fewer"),
        (
            TIME,
            200,
            r"data.fold: splits 200 training rows into 201 blocks of time, one more than folds; take fewer",
        ),
        (COLUMN, 199, r"data.fold: splits \d+ training rows into 199 folds; take fewer"),
        (GROUP | {"column": "y"}, 3, r"data.split.column: 'y' is the target already"),
        (TIME, 199, r"data.validation: takes no rows: 0.1 of 1 rows rounds to 0; use a count, or 0 for none"),
    ],
)
def test_folds_that_there_cannot_be(table: Path, split: Any, of: int, message: str) -> None:
    text = {"name": "table", "path": str(table), "target": "y", "test": 0, "split": split}
    config = table.parent / "c.yaml"
    config.write_text(f"data: {text | {'fold': {'of': of, 'index': 0}}}\nmodel: {{hidden: []}}\noptimizer: sgd\n")
    with pytest.raises(SpecError, match=message) as refused:
        load_spec(config)
    assert str(refused.value).startswith(f"{config}:1:")


def test_a_fold_whose_rows_do_not_suffice_is_named(tmp_path: Path) -> None:
    """The second of two holds out two of three groups, and validation rows would be all of the third."""
    sizes = {"x": 60, "y": 30, "z": 10}
    rows = [
        {"a": index, "g": name, "y": index % 2} for index, name in enumerate("".join(k * n for k, n in sizes.items()))
    ]
    path = write(tmp_path / "t.csv", rows)
    loaded = load_spec(
        {
            "data": {"name": "table", "path": str(path), "target": "y", "split": {"by": "group", "column": "g"}},
            "model": {"hidden": []},
            "optimizer": "sgd",
        }
    )
    with pytest.raises(
        SpecError, match=r"--folds 2, fold 1  data.validation: takes 60 of 60 training rows, since groups"
    ):
        in_folds(loaded, 2)


def test_groups_need_a_table() -> None:
    with pytest.raises(SpecError, match=r"data.split: 'group' goes by a column of a table, and 'iris' has none"):
        load_spec(
            {
                "data": {"name": "iris", "test": 0, "split": GROUP, "fold": {"of": 3, "index": 0}},
                "model": {"hidden": []},
                "optimizer": "sgd",
            }
        )
