"""Networks that were trained on a table, on later files and frames: predictions, evaluation, what is missing or new."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray

import mlptrain
from mlptrain.errors import DataError, UserError
from mlptrain.experiment.build import build_network
from mlptrain.inference.evaluate import load_kept, load_split
from mlptrain.inference.tables import predict_table
from mlptrain.nn.parameters import Parameters
from mlptrain.training.device import applied, resolve_device
from mlptrain.training.metrics import outputs_of
from tests.command import Call

N = 240
SETTINGS: dict[str, dict[str, Any]] = {
    "one_hot": {},
    "ordinal": {"data.categorical": {"encoding": "ordinal", "min_frequency": 5}, "data.numeric": {"scaling": "minmax"}},
    "quantile": {"data.numeric": {"scaling": "quantile", "missing": "mean"}},
    "robust_clip": {"data.numeric": {"scaling": "robust_clip", "indicator": False}, "data.categorical.max_levels": 3},
    "embedding": {"data.categorical.encoding": "embedding", "model.numeric_embedding": "periodic"},
    "members": {"model.members": 3, "model.dropout": 0.1},
    "regression": {"data.target": "price", "loss": "mse", "data.target_scaling": "log1p"},
    "quantiles": {"data.target": "price", "loss": {"name": "quantile", "quantiles": [0.1, 0.9]}},
}


def table(n: int = N, *, seed: int = 0) -> pl.DataFrame:
    """Rows of every kind of column, with missing values, of which class and price can be learnt in part."""
    generator = np.random.default_rng(seed)
    size = generator.normal(50, 9, n).round(2)
    colour = generator.choice(["red", "green", "blue", "rare"], n, p=[0.4, 0.3, 0.28, 0.02])
    when = np.datetime64("2023-01-01") + generator.integers(0, 700, n)
    holes = pl.DataFrame(generator.random((n, 3)) < 0.08)
    frame = pl.DataFrame(
        {
            "remark": [f"secret {number * 7919 + 17}" for number in generator.permutation(n)],
            "size": size,
            "count": generator.integers(0, 500, n),
            "colour": colour,
            "when": when,
            "price": (np.abs(size * 3 + (colour == "red") * 40 + generator.normal(0, 5, n))).round(3),
            "kind": np.where(size + 10 * (colour == "blue") + generator.normal(0, 4, n) > 52, "large & wide", "small"),
        }
    )
    hidden = [
        pl.when(~holes.to_series(place)).then(pl.col(name)).alias(name)
        for place, name in enumerate(("size", "colour", "when"))
    ]
    return frame.with_columns(hidden)


def train(folder: Path, name: str, **changes: Any) -> Path:
    """A run named so in the folder, whose rows.csv is trained on."""
    config = {
        "data": {"name": "table", "path": str(folder / "rows.csv"), "target": "kind", "test": 60, "validation": 30},
        "model": {"hidden": [5]},
        "optimizer": {"name": "adam", "lr": 0.01},
        "training": {"epochs": 3, "batch_size": 32},
    }
    mlptrain.train(config, overrides={"data.columns": {"price": "drop"}} | changes, run_dir=folder / name)
    return folder / name


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows.csv, and runs ``kind`` and ``price``."""
    folder = tmp_path_factory.mktemp("tables")
    table().write_csv(folder / "rows.csv")
    train(folder, "kind")
    train(folder, "price", **SETTINGS["regression"] | {"data.columns": {"kind": "drop"}})
    return folder


@pytest.fixture
def here(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with the runs of ``place``, which is the current one."""
    shutil.copytree(place, tmp_path / "all")
    monkeypatch.chdir(tmp_path / "all")
    return tmp_path / "all"


def evaluated(run: Path, split: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """What the network gives for the run's own rows when it is evaluated, and where these stand in the file."""
    checkpoint = load_kept(run)
    _, rows = load_split(checkpoint, split)
    network = build_network(checkpoint.experiment)
    parameters = Parameters.zeros(network.shapes).copy_(checkpoint.state.parameters)
    with applied(resolve_device(device="cpu", precision="auto", threads="auto")):
        outputs, scaling = outputs_of(network, parameters, rows.inputs), checkpoint.preprocessing.target
    index = torch.arange(len(rows)) if rows.index is None else rows.index
    return (outputs if scaling is None else scaling.restored(outputs)).numpy(), index.numpy()


@pytest.mark.parametrize("setting", SETTINGS)
def test_raw_rows_give_what_their_evaluation_gives(place: Path, tmp_path: Path, setting: str) -> None:
    """To the bit: rows of a split, written to a file of their own, and the figures of the evaluation."""
    shutil.copy(place / "rows.csv", tmp_path)
    drop = "price" if "data.target" not in SETTINGS[setting] else "kind"
    run = train(tmp_path, setting, **SETTINGS[setting] | {"data.columns": {drop: "drop"}})
    for split in ("train", "validation", "test"):
        outputs, index = evaluated(run, split)
        pl.read_csv(tmp_path / "rows.csv")[index.tolist()].write_csv(tmp_path / "part.csv")
        found = predict_table(run, tmp_path / "part.csv")
        np.testing.assert_array_equal(found.outputs, outputs)
        later = mlptrain.evaluate(run, data=tmp_path / "part.csv")
        own = mlptrain.evaluate(run, split=split)
        assert {key: later[key] for key in own if key != "split"} == {key: own[key] for key in own if key != "split"}


def test_all_of_the_file_and_rows_by_their_number(place: Path, tmp_path: Path, call: Call) -> None:
    """Without other splits the file is the training rows; `predict --index` gives the very same numbers."""
    shutil.copy(place / "rows.csv", tmp_path)
    run = train(tmp_path, "all", **{"data.test": 0, "data.validation": 0})
    np.testing.assert_array_equal(predict_table(run, tmp_path / "rows.csv").outputs, evaluated(run, "train")[0])
    own = call("predict", str(run), "--split", "train", "--index", "3,17,200", "--json").json
    later = call("predict", str(run), str(tmp_path / "rows.csv"), "--json").json["predictions"]
    for one in own:
        for key in ("class", "name", "confidence", "probabilities", "outputs"):
            assert later[one["index"]][key] == one[key]


def test_columns_are_matched_by_name(here: Path) -> None:
    """In any order, with others, without the target and those that are not read; in any format."""
    whole = predict_table("kind", "rows.csv")
    frame = pl.read_csv("rows.csv", try_parse_dates=True)
    used = frame.select("when", "count", "colour", "size")
    used.with_columns(extra=pl.lit("x")).write_csv("other.csv", separator=";")
    used.write_parquet("other.parquet")
    used.write_ndjson("other.jsonl")
    text = used.with_columns(size=pl.col("size").cast(str).str.replace(".", ",", literal=True))
    text.write_csv("comma.csv", separator=";")
    mapping = used.to_dict(as_series=False)
    objects = {name: np.array(values, dtype=object) for name, values in mapping.items()}
    files = ("other.csv", Path("other.parquet"), "other.jsonl", "comma.csv")
    for data in (*files, used, mapping, used.to_dicts(), objects):
        found = predict_table("kind", data)
        np.testing.assert_array_equal(found.outputs, whole.outputs)
        assert (found.missing, found.unseen) == (whole.missing, whole.unseen)
    assert any("'extra' is not in rows.csv and dropped" in note for note in predict_table("kind", "other.csv").notes)
    assert not any("dropped" in note for note in whole.notes)
    several = predict_table("kind", ["rows.csv"] * 2)
    np.testing.assert_array_equal(several.outputs[N:], several.outputs[:N])
    assert len(several) == 2 * N
    assert here == Path.cwd()


@pytest.mark.usefixtures("here")
def test_columns_are_matched_by_place() -> None:
    """Where the file has no names, or the configuration gives them."""
    frame = pl.read_csv("rows.csv").drop("remark", "price")
    frame.write_csv("rows.csv", include_header=False)
    folder = Path.cwd()
    train(folder, "places", **{"data.columns": {}, "data.target": -1})
    train(folder, "named", **{"data.columns": {}, "data.header": ["a", "b", "c", "d", "e"], "data.target": "e"})
    whole = predict_table("places", "rows.csv").outputs
    frame.drop("kind").write_csv("other.csv", include_header=False)
    frame.drop("kind").rename(dict(zip(["size", "count", "colour", "when"], "abcd", strict=True))).select(
        "d", "b", "a", "c"
    ).write_csv("by_name.csv")
    np.testing.assert_array_equal(predict_table("places", "other.csv").outputs, whole)
    np.testing.assert_array_equal(predict_table("places", frame.drop("kind").to_numpy()).outputs, whole)
    named = predict_table("named", "rows.csv").outputs
    for data in ("other.csv", "by_name.csv", frame.drop("kind").to_numpy()):
        np.testing.assert_array_equal(predict_table("named", data).outputs, named)
    frame.drop("kind", "when").write_csv("fewer.csv", include_header=False)
    with pytest.raises(DataError, match=r"fewer.csv has 3 columns, but rows.csv has 5"):
        predict_table("places", "fewer.csv")


@pytest.mark.usefixtures("here")
def test_missing_and_unseen_values_are_counted(call: Call) -> None:
    frame = pl.read_csv("rows.csv", try_parse_dates=True).with_columns(
        colour=pl.when(pl.int_range(pl.len()) < 5).then(pl.lit("violet")).otherwise(pl.col("colour")),
        count=pl.when(pl.int_range(pl.len()) >= 7).then(pl.col("count")),
    )
    frame.write_csv("new.csv")
    done = call("predict", "kind", "new.csv", "--json")
    report = done.json
    assert list(report) == ["data", "rows", "missing", "unseen", "notes", "file", "predictions"]
    assert (report["rows"], len(report["predictions"])) == (N, N)
    assert report["missing"] == {name: frame[name].null_count() for name in ("size", "count", "colour", "when")}
    assert report["unseen"] == {"colour": 5}
    assert "note: 'count' is missing in 7 of 240 rows, and never was in the training file" in done.err
    assert "note: 'colour' holds 5 values that the training file has not: violet" in done.err
    assert all(np.isfinite(one["outputs"]).all() for one in report["predictions"])
    # A level that training has not seen, and a missing number where there was none, leave the other rows alone.
    before = call("predict", "kind", "rows.csv", "--json").json["predictions"]
    assert report["predictions"][7:] == before[7:]
    assert report["predictions"][0]["outputs"] != before[0]["outputs"]


@pytest.mark.usefixtures("here")
def test_predictions_in_files(call: Call) -> None:
    shown = call("predict", "kind", "rows.csv", "--json").json["predictions"]
    for suffix, read in (("csv", pl.read_csv), ("parquet", pl.read_parquet), ("jsonl", pl.read_ndjson)):
        done = call("predict", "kind", "rows.csv", "--out", f"found.{suffix}")
        assert done.out.splitlines()[0] == f"found.{suffix}"
        frame = read(f"found.{suffix}")
        assert frame.columns == ["predicted_kind", "probability_large & wide", "probability_small"]
        assert frame["predicted_kind"].to_list() == [one["name"] for one in shown]
        np.testing.assert_array_equal(frame[:, 1:].to_numpy(), [one["probabilities"] for one in shown])
    call("predict", "price", "rows.csv", "--out", "price.parquet")
    values = pl.read_parquet("price.parquet")
    assert values.columns == ["predicted_price"]
    np.testing.assert_array_equal(values.to_numpy(), predict_table("price", "rows.csv").outputs)
    own = pl.read_csv("rows.csv")["price"]
    assert np.median(values.to_numpy()) == pytest.approx(own.median(), rel=0.5)  # in the target's own unit
    for out, message in (("found.txt", "ends in .csv or .parquet or .jsonl"), ("absent/x.csv", "there is no folder")):
        assert message in call("predict", "kind", "rows.csv", "--out", out).message


@pytest.mark.usefixtures("here")
def test_the_screen(call: Call) -> None:
    done = call("predict", "kind", "rows.csv")
    counts = pl.Series(predict_table("kind", "rows.csv").names()).value_counts(sort=True)
    assert done.out.splitlines()[-1] == "240 rows of rows.csv: " + ", ".join(
        f"{name} {count}" for name, count in counts.iter_rows()
    )
    assert "… and 220 rows more" in done.out
    assert "predicted" not in done.out.splitlines()[1]
    assert "price" in call("predict", "price", "rows.csv").out.splitlines()[1]
    done = call("eval", "kind", "price", "--data", "rows.csv")
    assert done.out.count("rows.csv") == 2
    assert call("eval", "kind", "--data", "rows.csv").out.startswith("rows.csv: 240 examples, loss ")


@pytest.mark.usefixtures("here")
def test_evaluation_of_another_file(call: Call) -> None:
    table(90, seed=1).write_csv("other.csv")
    report = call("eval", "kind", "--data", "other.csv", "--json").json
    found = predict_table("kind", "other.csv")
    true = pl.read_csv("other.csv")["kind"].to_list()
    assert (report["split"], report["data"], report["examples"]) == (None, "other.csv", 90)
    assert report["wrong"] == sum(a != b for a, b in zip(found.names(), true, strict=True))
    assert report["missing"] == found.missing
    table(90, seed=1).with_columns(kind=pl.when(pl.col("count") > 100).then(pl.col("kind"))).write_csv("holes.csv")
    done = call("eval", "kind", "--data", "holes.csv", "--json")
    left = (table(90, seed=1)["count"] > 100).sum()
    assert done.json["examples"] == left
    assert f"note: {90 - left} of 90 rows have no 'kind', the target, and are left out" in done.err
    mse = call("eval", "price", "--data", "other.csv", "--json").json["loss"]
    expected = np.mean(
        (predict_table("price", "other.csv").outputs[:, 0] - pl.read_csv("other.csv")["price"].to_numpy()) ** 2
    )
    assert mse == pytest.approx(expected, rel=1e-5)


@pytest.mark.usefixtures("here")
def test_what_cannot_be_read_is_named_with_its_place(call: Call) -> None:
    frame = pl.read_csv("rows.csv")
    frame.with_columns(size=pl.col("size").cast(str).fill_null("1").str.replace("^5.*$", "big")).write_csv("text.csv")
    line = frame["size"].cast(str).str.starts_with("5").fill_null(value=False).arg_max() + 2  # type: ignore[operator]
    assert f"text.csv:{line}:" in call("predict", "kind", "text.csv").message
    frame.drop("when").write_csv("fewer.csv")
    assert "lacks the column 'when' of rows.csv" in call("predict", "kind", "fewer.csv").message
    frame.drop("kind").write_csv("fewer.csv")
    assert call("predict", "kind", "fewer.csv").code == 0
    assert "'kind'" in call("eval", "kind", "--data", "fewer.csv").message
    frame.with_columns(kind=pl.lit("medium")).write_csv("third.csv")
    assert "class 'medium' is not among those of the training file: large & wide, small" in (
        call("eval", "kind", "--data", "third.csv").message
    )
    for arguments, message in (
        (("predict", "kind", "absent.csv"), "absent.csv: no such file or folder"),
        (("predict", "kind", "rows.csv", "--no-invert"), "the network was trained on a table"),
        (("predict", "kind", "--index", "0", "--out", "x.csv"), "--out needs the file of a table"),
        (("eval", "kind", "--data", "rows.csv", "--split", "test"), "belong to no split"),
    ):
        done = call(*arguments)
        assert done.code == 2
        assert message in done.message
    with pytest.raises(DataError, match="expected a path, a data frame"):
        predict_table("kind", np.zeros(3))
    with pytest.raises(DataError, match="different lengths"):
        predict_table("kind", {"size": [1, 2], "count": [1]})


def test_rules_for_missing_numbers_hold_later(place: Path, tmp_path: Path) -> None:
    """Rows without a number are kept where they are predicted, and left out where they are evaluated."""
    frame = pl.read_csv(place / "rows.csv")
    frame.write_csv(tmp_path / "rows.csv")
    columns = {"data.columns": {"price": "drop", "when": "drop"}}
    dropping = train(tmp_path, "drop_row", **{"data.numeric.missing": "drop_row"} | columns)
    assert len(predict_table(dropping, frame)) == N
    assert mlptrain.evaluate(dropping, data=frame)["examples"] == frame["size"].count()
    frame.drop_nulls("size").write_csv(tmp_path / "rows.csv")
    refusing = train(tmp_path, "error", **{"data.numeric.missing": "error"} | columns)
    with pytest.raises(DataError, match="has no 'size'"):
        predict_table(refusing, frame)


def test_numbers_as_levels(tmp_path: Path) -> None:
    """A category of numbers is known again whatever type its column has in the later file."""
    frame = pl.DataFrame({"zip": [10, 20, 30] * 40, "x": np.arange(120) % 7, "y": ["a", "b", "b"] * 40})
    frame.write_csv(tmp_path / "rows.csv")
    run = train(tmp_path, "zip", **{"data.columns": {"zip": "categorical"}, "data.target": "y"})
    own = predict_table(run, tmp_path / "rows.csv")
    later = frame.with_columns(zip=pl.when(pl.int_range(pl.len()) > 1).then(pl.col("zip") + 0.0).otherwise(10.5))
    found = predict_table(run, later)
    np.testing.assert_array_equal(found.outputs[2:], own.outputs[2:])
    assert (found.unseen, own.unseen) == ({"zip": 2}, {"zip": 0})


def test_no_row_is_in_a_checkpoint(place: Path) -> None:
    content = (place / "kind" / "checkpoints" / "best.safetensors").read_bytes()
    assert b"secret" not in content
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["mlptrain"]
    numbers = {round(value, 2) for value in table()["size"].drop_nulls().to_list()}
    written = {one.get("fill") for one in json.loads(header)["preprocessing"]["columns"]["of"]}
    assert len(written & numbers) <= 1  # the median may be a row's
    facts = json.loads(header)["facts"]
    assert list(facts["file"]["kinds"]) == table().columns
    assert facts["file"]["date_formats"] == {"when": "%Y-%m-%d"}


def test_from_python(here: Path) -> None:
    frame = pl.read_csv("rows.csv", try_parse_dates=True)
    network = mlptrain.load("kind")
    found = predict_table("kind", "rows.csv")
    assert found.probabilities is not None
    for data in ("rows.csv", frame, frame.to_dict(as_series=False)):
        np.testing.assert_allclose(network.predict_proba(data).numpy(), found.probabilities, atol=1e-6)
    checkpoint = load_kept("kind")
    _, test = load_split(checkpoint, "test")
    assert test.index is not None
    torch.testing.assert_close(network.preprocess(frame)[test.index], test.inputs, rtol=0, atol=0)
    stored = torch.full((2, checkpoint.experiment.facts.n_features), torch.nan)
    stored[0] = 1
    assert network.preprocess(stored).isfinite().all()
    assert here == Path.cwd()
    moons = {"data": {"name": "moons", "n_samples": 20}, "model": {"hidden": []}, "training": {"epochs": 1}}
    mlptrain.train(moons | {"optimizer": {"name": "sgd", "lr": 0.1}}, run_dir="moons")
    with pytest.raises(UserError, match="which are no table"):
        predict_table("moons", frame)
