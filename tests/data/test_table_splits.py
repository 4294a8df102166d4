"""Test and validation rows of a table: by class, group, time or a column, against scikit-learn's splitters."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

from mlptrain.data import Examples, Splits, load_splits, read_data
from mlptrain.data.drawing import Drawing, shares_of
from mlptrain.errors import DataError, SpecError
from mlptrain.spec import Experiment, load_spec
from mlptrain.spec.overview import duplicates
from mlptrain.spec.table import TableData

NOWHERE = Path("/nonexistent")
CLASSES = ["ant"] * 120 + ["bee"] * 47 + ["cat"] * 30 + ["dog"] * 2 + ["elk"]


def rows_of(n: int = 200) -> list[dict[str, Any]]:
    """Rows with their number in ``a``, classes of very different size, groups, times and words."""
    generator = np.random.default_rng(3)
    classes = generator.permutation(CLASSES)
    return [
        {
            "a": index,
            "b": f"{generator.normal():.4f}",
            "patient": f"p{int(generator.integers(1, 9) ** 2) // 2}",
            "when": f"20{20 + index % 3}-0{1 + index % 7}-1{index % 9}",
            "part": generator.choice(["train", "Training", " train", "valid", "val", "DEV", "test"]),
            "w": generator.choice([0, 0.5, 1, 3]),
            "y": classes[index % len(classes)],
        }
        for index in range(n)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "t.csv", rows_of())


def experiment(path: Path, *, seed: int = 0, loss: str = "cross_entropy", **data: Any) -> Experiment:
    fields = {"name": "table", "path": str(path), "target": "y", "columns": {"a": "numeric"}, **data}
    return load_spec(
        {"data": fields, "model": {"hidden": []}, "loss": loss, "optimizer": "sgd", "seed": seed}
    ).experiment


def load(path: Path, **settings: Any) -> tuple[Splits, Experiment]:
    one = experiment(path, **settings)
    return load_splits(one, read_data(one, folder=NOWHERE)), one


def numbers(path: Path, **settings: Any) -> dict[str, list[int]]:
    """The numbers of the rows of each split, whose counts are those of the facts."""
    one = experiment(path, **settings)
    raw = read_data(one, folder=NOWHERE)
    splits = load_splits(one, raw)
    found = {
        name: [] if some is None else (some.index if some.index is not None else torch.arange(len(some))).tolist()
        for name, some in (("train", splits.train), ("validation", splits.validation), ("test", splits.test))
    }
    facts = one.facts
    assert [len(rows) for rows in found.values()] == [facts.train_rows, facts.validation_rows, facts.test_rows]
    return found


def test_stratified_rows_have_the_shares_of_the_classes(table: Path) -> None:
    labels = np.array([row["y"] for row in rows_of()])
    found = numbers(table, test=0.25, validation=0.2)

    assert sorted(itertools.chain(*found.values())) == list(range(200))
    for name, before in (("test", range(200)), ("validation", sorted(found["train"] + found["validation"]))):
        there, drawn = Counter(labels[list(before)]), Counter(labels[found[name]])
        for kind, count in there.items():
            assert abs(drawn[kind] - count * len(found[name]) / len(before)) < 1, kind
    assert "elk" in labels[found["train"]], "the one row of a class stays in training"
    assert set(labels[found["train"]]) == set(CLASSES)
    again, other = numbers(table, test=0.25, validation=0.2), numbers(table, seed=1, test=0.25, validation=0.2)
    assert again == found != other
    assert [*map(len, other.values())] == [*map(len, found.values())], "seeds train together"


@pytest.mark.parametrize("test", [0.1, 0.25, 0.5])
def test_stratified_counts_are_those_of_scikit_learn(test: float) -> None:
    """Where no two remainders are equal, and no class has a single row, which it refuses."""
    labels = np.repeat([0, 1, 2], [113, 61, 29])
    (_, drawn), *_ = StratifiedShuffleSplit(1, test_size=round(test * len(labels)), random_state=0).split(
        labels[:, None], labels
    )
    _, own = Drawing("stratified", 0, torch.from_numpy(labels))(torch.arange(len(labels)), test, purpose="test")
    assert np.bincount(labels[own.numpy()]).tolist() == np.bincount(labels[drawn]).tolist()


def test_equal_remainders_are_rounded_up_in_turn() -> None:
    keys, drawn = torch.arange(30) % 3, Counter[int]()
    for seed in range(300):
        _, rows = Drawing("stratified", seed, keys)(torch.arange(30), 4, purpose="test")
        counts = keys[rows].bincount(minlength=3).tolist()
        assert sorted(counts) == [1, 1, 2]
        drawn.update([counts.index(2)])
    assert all(60 < count < 140 for count in drawn.values())


def test_shares_add_up_and_leave_one_row_of_each_class() -> None:
    generator = np.random.default_rng(1)
    for _ in range(200):
        counts = [1, *generator.integers(0, 12, size=generator.integers(1, 9)).tolist()]
        most = sum(size - 1 for size in counts if size)
        for count in range(most + 1):
            shares = shares_of(counts, count, generator.random(len(counts)).tolist())
            assert sum(shares) == count
            assert all(0 <= share <= max(0, size - 1) for share, size in zip(shares, counts, strict=True))


def test_too_many_rows_for_stratified_are_refused_and_drawn_at_random_by_default(tmp_path: Path) -> None:
    rows = [{"a": index, "y": kind} for index, kind in enumerate([*"aabbccdefghij"])]
    path = write(tmp_path / "t.csv", rows)
    with pytest.raises(DataError, match=r"takes 5 of 13 rows, but stratified takes 3 at most.* use split: random"):
        numbers(path, test=5, validation=0, split="stratified")
    assert len(numbers(path, test=5, validation=0)["test"]) == 5
    assert len(numbers(path, test=3, validation=0, split="stratified")["test"]) == 3


def test_random_and_regression_are_drawn_as_ever(table: Path) -> None:
    plain = Drawing("random", 7)(torch.arange(200), 0.2, purpose="test")[1].tolist()
    assert numbers(table, seed=7, split="random")["test"] == plain
    assert numbers(table, seed=7, target="b", loss="mse")["test"] == plain
    assert numbers(table, seed=7)["test"] != plain


@pytest.mark.parametrize("by", ["auto", "random", "stratified", "column"])
def test_a_number_draws_the_test_rows_of_all_seeds(tmp_path: Path, by: str) -> None:
    rows = [row | {"part": "dev" if row["part"] == "test" else row["part"]} for row in rows_of()]
    path, split = write(tmp_path / "t.csv", rows), {"by": by} | ({"column": "part"} if by == "column" else {})
    alone = numbers(path, seed=7, test=0.25, split=split)
    fixed = [numbers(path, seed=seed, test=0.25, split=split | {"draw": 7}) for seed in (0, 1, 7)]
    assert [found["test"] for found in fixed] == [alone["test"]] * 3
    assert numbers(path, seed=0, test=0.25, split=split)["test"] != alone["test"]
    assert fixed[2] == alone
    assert (fixed[0]["validation"] == fixed[1]["validation"]) == (by == "column")  # else each seed's own
    for found in fixed:
        assert sorted(itertools.chain(*found.values())) == list(range(200))


def test_a_number_that_draws_nothing_is_warned_of(tmp_path: Path) -> None:
    path, other = (write(tmp_path / name, rows_of()) for name in ("t.csv", "e.csv"))
    split = {"split": {"by": "auto", "draw": 7}}

    def warned(**data: Any) -> bool:
        fields = {"name": "table", "path": str(path), "target": "y", **split, **data}
        loaded = load_spec({"data": fields, "model": {"hidden": []}, "optimizer": "sgd"})
        return any("draw has no effect: test rows are not drawn" in str(one) for one in loaded.warnings)

    assert warned(test_path=str(other))
    assert warned(test=0)
    assert not warned()
    assert not warned(test=0, fold={"of": 3, "index": 0})
    assert not warned(test_path=str(other), split="auto")


@pytest.mark.parametrize(("test", "validation"), [(0.2, 0.25), (60, 0), (0, 0.3), (0.5, 0.5)])
def test_groups_stay_on_one_side(table: Path, test: float, validation: float) -> None:
    groups = np.array([row["patient"] for row in rows_of()])
    split = {"by": "group", "column": "patient"}
    found = numbers(table, test=test, validation=validation, split=split)

    assert sorted(itertools.chain(*found.values())) == list(range(200))
    sides = [set(groups[rows]) for rows in found.values()]
    assert sum(map(len, sides)) == len(set(groups)), "as GroupShuffleSplit: no group is on two sides"
    largest, wish = max(Counter(groups).values()), test if test >= 1 else 200 * test
    assert abs(len(found["test"]) - wish) <= largest
    assert numbers(table, seed=5, test=test, validation=validation, split=split) == found
    draws = [numbers(table, test=test, validation=validation, split=split | {"draw": draw}) for draw in range(5)]
    assert len({str(draw) for draw in draws}) > 1
    # The column is no input, and neither are others' places: `a`, `b`, the date's parts, `part` and `w`.
    assert "patient" not in {column.origin for column in experiment(table, split=split).facts.columns}


def test_drawn_groups_are_as_near_to_the_wish_as_scikit_learns() -> None:
    """Over many draws at least: it counts groups, and these have different sizes."""
    groups = np.repeat(np.arange(60), np.random.default_rng(2).integers(1, 30, size=60))
    keys, n = torch.from_numpy(groups), len(groups)
    sizes = [len(Drawing("group", seed, keys)(torch.arange(n), 0.2, purpose="test")[1]) for seed in range(50)]
    theirs = [
        len(rows) for _, rows in GroupShuffleSplit(50, test_size=0.2, random_state=0).split(groups, groups=groups)
    ]
    assert np.abs(np.array(sizes) - 0.2 * n).max() <= np.abs(np.array(theirs) - 0.2 * n).max()
    chosen = [set(groups[Drawing("group", seed, keys)(torch.arange(n), 0.2, purpose="test")[1]]) for seed in range(50)]
    assert set.union(*chosen) == set(range(60)), "every group is drawn at times, large ones too"


def test_one_group_cannot_be_parted(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [{"a": i, "g": "x", "y": "no" if i % 2 else "yes"} for i in range(20)])
    split = {"by": "group", "column": "g"}
    with pytest.raises(SpecError, match=r"data.test: takes all 20 rows, since groups are drawn whole and leaves none"):
        experiment(path, split=split)
    with pytest.raises(SpecError, match=r"data.validation: takes 20 of 20 training rows, since groups are drawn whole"):
        experiment(path, split=split, test=0)
    with pytest.raises(SpecError, match=r"data.fold: splits one group into 2 folds, and a group lies in one; take fe"):
        experiment(path, split=split, test=0, fold={"of": 2, "index": 0})


@pytest.mark.parametrize("column", ["when", "a", 0])
def test_the_latest_rows_are_test_rows_and_those_before_validation_rows(table: Path, column: str | int) -> None:
    times = np.array([row["a" if column == 0 else str(column)] for row in rows_of()])
    found = numbers(table, test=40, validation=0.25, split={"by": "time", "column": column})

    assert [*map(len, found.values())] == [120, 40, 40]
    assert max(times[found["train"]]) <= min(times[found["validation"]])
    assert max(times[found["validation"]]) <= min(times[found["test"]])
    for early, late in (("train", "validation"), ("validation", "test")):  # of one time the later rows of the file
        edge = min(times[found[late]])
        tied = [[row for row in found[name] if times[row] == edge] for name in (early, late)]
        assert not (tied[0] and tied[1]) or max(tied[0]) < min(tied[1])
    assert numbers(table, seed=3, test=40, validation=0.25, split={"by": "time", "column": column}) == found


def test_a_column_says_what_rows_are_for(table: Path) -> None:
    words = [row["part"].strip().lower() for row in rows_of()]
    found = numbers(table, split={"by": "column", "column": "part"})

    for name, meant in (("train", ("train", "training")), ("validation", ("valid", "val", "dev")), ("test", ("test",))):
        assert found[name] == [index for index, word in enumerate(words) if word in meant]
    assert numbers(table, seed=9, split={"by": "column", "column": "part"}) == found
    without = numbers(table, split={"by": "column", "column": "part"}, validation=0)
    assert without == found, "what the column states needs no other key"


def test_what_the_column_never_says_is_drawn_from_training_rows(tmp_path: Path) -> None:
    rows = [row | {"part": "test" if index % 4 == 0 else "train"} for index, row in enumerate(rows_of())]
    path = write(tmp_path / "t.csv", rows)
    found = numbers(path, split={"by": "column", "column": "part"}, validation=30)
    assert found["test"] == list(range(0, 200, 4))
    assert len(found["validation"]) == 30
    assert "elk" in {rows[row]["y"] for row in found["train"] + found["test"]}


def test_files_of_their_own(tmp_path: Path) -> None:
    rows = rows_of()
    path, validation, test = (
        write(tmp_path / name, some)
        for name, some in (("t.csv", rows[:120]), ("v.csv", rows[120:160]), ("e.csv", rows[160:]))
    )
    settings: dict[str, Any] = {"validation_path": str(validation), "test_path": str(test)}
    splits, one = load(path, validation=0, **settings)

    assert one.evaluation.split == "validation"
    assert (one.facts.train_rows, one.facts.validation_rows, one.facts.test_rows) == (120, 40, 40)
    for some, first in ((splits.train, 0), (splits.validation, 120), (splits.test, 160)):
        assert some is not None
        target = [one.facts.class_names.index(row["y"]) for row in rows[first : first + len(some)]]
        assert some.targets.tolist() == target
    alone, _ = load(path, **settings)
    assert alone.fingerprint == splits.fingerprint
    write(validation, [*rows[120:159], rows[0]])
    changed, _ = load(path, **settings)
    assert changed.fingerprint != splits.fingerprint


def test_a_file_of_its_own_needs_no_column_of_the_split(tmp_path: Path) -> None:
    rows = rows_of()
    test = write(
        tmp_path / "e.csv", [{key: value for key, value in row.items() if key != "when"} for row in rows[150:]]
    )
    path = write(tmp_path / "t.csv", rows[:150])
    _, one = load(path, test_path=str(test), split={"by": "time", "column": "when"})
    assert (one.facts.train_rows, one.facts.validation_rows, one.facts.test_rows) == (135, 15, 50)


BAD: list[tuple[dict[str, Any], dict[int, dict[str, Any]], str]] = [
    ({"split": {"by": "group", "column": "patien"}}, {}, r"data.split.column: there is no column 'patien'; did you m"),
    ({"split": {"by": "group", "column": "y"}}, {}, r"data.split.column: 'y' is the target already"),
    (
        {"split": {"by": "time", "column": "w"}, "weight": "w"},
        {},
        r"data.split.column: 'w' is the column of weights al",
    ),
    (
        {"split": {"by": "time", "column": "patient"}},
        {},
        r"'p\d+' in column 'patient' at \S+:2:\d+ is neither a date nor a number",
    ),
    (
        {"split": {"by": "time", "column": "when"}},
        {3: {"when": ""}},
        r"a value in column 'when' at \S+:5:\d+ is missing",
    ),
    ({"split": {"by": "group", "column": "patient"}}, {7: {"patient": ""}}, r"'patient' at \S+:9:\d+ is missing"),
    ({"split": {"by": "column", "column": "a"}}, {}, r"'0' in column 'a' at \S+:2:1 says no split; write train, valid"),
    (
        {"split": {"by": "column", "column": "part"}},
        {4: {"part": "holdout"}},
        r"'holdout' .*:6:\d+ says no split; write",
    ),
    ({"split": {"by": "column", "column": "part"}}, {4: {"part": ""}}, r"'part' at \S+:6:\d+ is missing; write train"),
    ({"split": {"by": "column", "column": "part"}}, {-1: {"part": "test"}}, r"no row has train in column 'part'"),
    (
        {"split": {"by": "column", "column": "part"}, "test_path": "t.csv"},
        {},
        r"data.test_path: is given, but data.spl",
    ),
    ({"split": "stratified", "target": "b"}, {}, r"data.split: stratified keeps the shares of classes, but the targ"),
    ({"weight": "wt"}, {}, r"data.weight: there is no column 'wt'"),
    ({"weight": "y"}, {}, r"data.weight: 'y' is the target already"),
    ({"weight": "patient"}, {}, r"data.weight: 'p\d+' in column 'patient' at \S+:2:\d+ is not a number"),
    ({"weight": "w"}, {5: {"w": -1}}, r"data.weight: '-1' in column 'w' at \S+:7:\d+ is negative; weights are 0 or"),
    ({"weight": "w"}, {5: {"w": ""}}, r"data.weight: a value in column 'w' at \S+:7:\d+ is missing; a weight of 0"),
    ({"weight": "w"}, {-1: {"w": 0}}, r"data.weight: all 200 weights in 'w' are 0"),
    ({"weight": "w"}, {5: {"w": "1e31"}}, r"'1e\+31' in column 'w' at \S+:7:\d+ is not between 1e-30 and 1e\+30"),
    ({"validation_path": "nowhere.csv"}, {}, r"data.validation_path: \S+nowhere.csv: no such file"),
]


@pytest.mark.parametrize(("data", "changes", "message"), BAD, ids=[message[:40] for *_, message in BAD])
def test_what_cannot_be_is_said_with_its_place(
    tmp_path: Path, data: dict[str, Any], changes: dict[int, dict[str, Any]], message: str
) -> None:
    """In the configuration, and in the data file where a row is wrong; −1 changes all rows."""
    rows = rows_of()
    for at, change in changes.items():
        rows = [row | change if at in (index, -1) else row for index, row in enumerate(rows)]
    write(tmp_path / "t.csv", rows)
    config = tmp_path / "c.yaml"
    fields = {"name": "table", "path": "t.csv", "target": "y", **data}
    loss = "mse" if fields["target"] == "b" else "cross_entropy"
    config.write_text(f"data: {fields}\nmodel: {{hidden: [4]}}\nloss: {loss}\noptimizer: sgd\n".replace("True", "true"))
    with pytest.raises(SpecError, match=message) as caught:
        load_spec(config)
    assert str(caught.value).startswith(f"{config}:1:")


def test_rows_without_a_target_are_left_out_and_others_keep_their_place(tmp_path: Path) -> None:
    rows = rows_of(60)
    for index in (0, 1, 2, 30):
        rows[index]["y"] = ""
    path = write(tmp_path / "t.csv", rows)
    one = experiment(path, split={"by": "time", "column": "when"}, test=10, validation=10)
    assert one.facts.train_rows + one.facts.validation_rows + one.facts.test_rows == 56
    raw = read_data(one, folder=NOWHERE)
    assert raw.x[:, 0].tolist() == [index for index in range(60) if rows[index]["y"]]
    assert isinstance(one.data, TableData)
    assert ("path", "4 of 60 rows have no 'y', the target, and are left out") in one.data.warnings()

    rows[40]["w"] = -2
    write(path, rows)
    with pytest.raises(SpecError, match=r"t.csv:42:\d+ is negative"):
        experiment(path, weight="w")


def test_rows_of_other_files_that_are_trained_on_are_counted(tmp_path: Path) -> None:
    rows = rows_of(80)
    path = write(tmp_path / "t.csv", [*rows, rows[3], rows[3], rows[5]])
    test = write(tmp_path / "e.csv", [*rows_of(90)[80:], rows[0], rows[7]])
    validation = write(tmp_path / "v.csv", [*rows_of(95)[90:], rows[1]])
    one = experiment(path, test_path=str(test), validation_path=str(validation))
    found = duplicates(read_data(one, folder=NOWHERE))
    assert (found["rows"], found["test"], found["validation"]) == (3, 2, 1)


def test_weights_are_those_of_the_rows(table: Path) -> None:
    splits, one = load(table, weight="w", seed=2)
    raw = read_data(one, folder=NOWHERE)
    given = np.array([row["w"] for row in rows_of()], dtype=np.float32)
    assert raw.weight is not None
    assert raw.weight.tolist() == given.tolist()
    assert "w" not in {column.origin for column in one.facts.columns}
    for some in (splits.train, splits.validation, splits.test):
        assert isinstance(some, Examples)
        assert some.index is not None
        assert some.chosen_weights().tolist() == given[some.index.numpy()].tolist()
    plain, _ = load(table, seed=2, columns={"a": "numeric", "w": "drop"})
    assert plain.train.index is not None
    assert splits.train.index is not None
    assert torch.equal(plain.train.index, splits.train.index)
    assert plain.fingerprint != splits.fingerprint
