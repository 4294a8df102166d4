"""Arrays and data frames from Python go where a file goes, with the same checks and the same results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import mlptrain
from mlptrain.errors import DataError, SpecError, UserError
from tests.command import Call

SPEC: dict[str, Any] = {
    "name": "own",
    "model": {"hidden": [8]},
    "optimizer": {"name": "adam", "lr": 0.01},
    "training": {"epochs": 3, "device": "cpu"},
}


def frame(rows: int = 120, seed: int = 0) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    colour = generator.choice(["red", "green", "blue"], rows)
    size = generator.normal(170, 10, rows).round(1)
    kind = np.where(size + 10 * (colour == "red") > 172, "large", "small")
    return pl.DataFrame({"colour": colour, "size": size, "kind": kind}).with_columns(
        pl.when(pl.int_range(rows) % 17 != 5).then(pl.col("size")).alias("size")
    )


def arrays(rows: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 4)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64)


def train(given: Any, folder: Path, **sections: Any) -> mlptrain.experiment.Outcome:
    return mlptrain.train(SPEC | sections, data=given, run_dir=folder)


def metrics(folder: Path) -> bytes:
    return (folder / "metrics.jsonl").read_bytes()


def test_a_frame_trains_as_its_file(tmp_path: Path) -> None:
    frame().write_csv(tmp_path / "own.csv")
    section = {"target": "kind", "validation": 0.2}
    outcome = train(frame(), tmp_path / "frame", data=section)
    train(None, tmp_path / "file", data=section | {"name": "table", "path": str(tmp_path / "own.csv")})
    assert metrics(tmp_path / "frame") == metrics(tmp_path / "file")
    facts = outcome.folder.experiment().facts
    assert facts.class_names == ("large", "small")
    assert [column.name for column in facts.columns] == ["colour", "size"]


@pytest.mark.parametrize("form", ["columns", "rows", "apart", "pandas", "pandas apart", "lazy"])
def test_other_forms_of_a_frame_are_the_same(form: str, tmp_path: Path) -> None:
    own, data = frame(), dict[str, Any]()
    if form.startswith("pandas"):
        pandas = pytest.importorskip("pandas")
        as_pandas = pandas.DataFrame(own.to_dict(as_series=False))
        whole = (as_pandas.drop(columns="kind"), as_pandas["kind"])
        data = {"pandas": as_pandas, "pandas apart": whole}
    data |= {
        "columns": own.to_dict(as_series=False),
        "rows": own.to_dicts(),
        "apart": (own.drop("kind"), own["kind"]),
        "lazy": own.lazy(),
    }
    section = {} if "apart" in form else {"data": {"target": "kind"}}
    train(own, tmp_path / "polars", data={"target": "kind"})
    train(data[form], tmp_path / "other", **section)
    assert metrics(tmp_path / "polars") == metrics(tmp_path / "other")


def test_test_rows_of_frames(tmp_path: Path) -> None:
    outcome = train((frame(), frame(30, seed=1)), tmp_path / "a", data={"target": "kind"})
    assert outcome.folder.experiment().facts.test_rows == 30
    own, test = frame(), frame(30, seed=1)
    parts = (own.drop("kind"), own["kind"], test.drop("kind"), test["kind"])
    train(parts, tmp_path / "b")
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")


def test_arrays_train_as_their_file(tmp_path: Path) -> None:
    x, y = arrays()
    np.savez(tmp_path / "own.npz", x=x, y=y)
    train((x, y), tmp_path / "arrays")
    train(None, tmp_path / "file", data={"name": "arrays", "path": str(tmp_path / "own.npz")})
    assert metrics(tmp_path / "arrays") == metrics(tmp_path / "file")
    train((torch.from_numpy(x), torch.from_numpy(y)), tmp_path / "tensors")
    train({"x": x, "y": y}, tmp_path / "mapping")
    train((x.tolist(), y.tolist()), tmp_path / "lists", data={"scaling": "standard"})
    assert len({metrics(tmp_path / name) for name in ("arrays", "tensors", "mapping", "lists")}) == 1


def test_arrays_with_test_rows_and_texts(tmp_path: Path) -> None:
    x, y = arrays()
    names = np.array(["no", "yes"], dtype=object)[y]
    outcome = train((x[:80], names[:80], x[80:], names[80:]), tmp_path / "run")
    facts = outcome.folder.experiment().facts
    assert (facts.class_names, facts.test_rows) == (("no", "yes"), 40)


def test_seeds_and_folds(tmp_path: Path) -> None:
    group = mlptrain.train_seeds(SPEC | {"data": {"target": "kind"}}, [0, 1], data=frame(), run_dir=tmp_path / "seeds")
    assert len(group.outcomes) == 2


def test_resuming_takes_the_same_data_again(tmp_path: Path) -> None:
    data, section = frame(), {"target": "kind"}
    train(data, tmp_path / "whole", data=section)
    shorter = SPEC["training"] | {"epochs": 1}
    train(data, tmp_path / "run", data=section, training=shorter)
    with pytest.raises(DataError, match=r"python:[0-9a-f]{32} stands for data that were given in Python"):
        mlptrain.resume(tmp_path / "run", epochs=3)
    with pytest.raises(DataError, match="others were given now"):
        mlptrain.resume(tmp_path / "run", epochs=3, data=frame(seed=4))
    mlptrain.resume(tmp_path / "run", epochs=3, data=data)
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")


def test_evaluating_the_same_data_and_others(tmp_path: Path) -> None:
    outcome = train(frame(), tmp_path / "run", data={"target": "kind"})
    run = outcome.folder.path
    of_test = mlptrain.evaluate(run, data=frame())
    assert (of_test["split"], of_test["examples"]) == ("test", 24)
    others = mlptrain.evaluate(run, data=frame(50, seed=3))
    assert (others["split"], others["examples"]) == (None, 50)
    with pytest.raises(DataError, match="stands for data that were given in Python"):
        mlptrain.evaluate(run)


def test_exports_and_pictures_take_the_same_data_again(tmp_path: Path) -> None:
    x, y = arrays(80)
    outcome = train((x, y), tmp_path / "run")
    for draws in (mlptrain.export, mlptrain.plot.confusion):
        with pytest.raises(
            DataError, match=r"give them again, as data=…, which train, .* export and .* mlptrain\.plot"
        ):
            draws(outcome)
        assert draws(outcome, data=(x, y))
    rows = mlptrain.export(outcome, rows=True, data=(x, y))
    assert (rows["train.y"] == np.unique(y, return_inverse=True)[1][rows["train.index"]]).all()


def test_the_command_line_says_why_it_has_none(call: Call, tmp_path: Path) -> None:
    train(frame(), tmp_path / "run", data={"target": "kind"})
    for arguments in (["train", str(tmp_path / "run" / "resolved.yaml")], ["eval", str(tmp_path / "run")]):
        result = call(*arguments)
        assert result.code == 2
        assert "stands for data that were given in Python" in result.err


X, Y = arrays(20)
BAD: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "one array": (X, {}, UserError, r"an array of shape \(20, 4\) alone; expected arrays \(x, y\)"),
    "three": ((X, Y, X), {}, UserError, "3 parts; expected arrays"),
    "a number": (3, {}, UserError, "a int; expected arrays"),
    "a gap": ((X, None), {}, UserError, "2 parts; expected arrays"),
    "objects": ((X, [{}] * 20), {}, UserError, "y holds Python objects"),
    "ragged": (([[1], [1, 2]], [0, 1]), {}, UserError, "x is not an array"),
    "of unequal lengths": ((X, Y[:9]), {}, SpecError, "9"),
    "not finite": ((np.where(X > 2, np.nan, X), Y), {}, DataError, "x.*nan"),
    "without a target": (frame(), {}, SpecError, "data.target: required key is missing"),
    "with a wrong target": (frame(), {"data": {"target": "knd"}}, SpecError, "data.target: .*did you mean 'kind'"),
    "beside a path": (
        frame(),
        {"data": {"target": "kind", "path": "x.csv"}},
        SpecError,
        "data.path: names data besides",
    ),
    "beside another name": (frame(), {"data": "mnist"}, SpecError, "data.name: is 'mnist', but the data .* 'table'"),
    "of unequal columns": ({"a": [1, 2], "b": [1]}, {"data": {"target": "b"}}, UserError, "different lengths"),
    "targets too few": ((frame().drop("kind"), [1, 2]), {}, UserError, "120 rows of inputs, but 2 targets"),
}


@pytest.mark.parametrize(("data", "sections", "error", "says"), BAD.values(), ids=BAD)
def test_bad_data_are_one_error(
    data: Any, sections: dict[str, Any], error: type[Exception], says: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        train(data, tmp_path / "run", **sections)
    assert not (tmp_path / "run").exists()
