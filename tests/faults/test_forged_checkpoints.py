"""Checkpoints of any content with a right digest, as somebody who means harm can write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from mlptrain.errors import CheckpointError
from mlptrain.experiment.checkpoints import load_checkpoint
from tests.faults.tools.checkpoints import Tensors, assert_refused_at_every_door, best_of, last_of, read, seal
from tests.faults.tools.hostile import call, ends_within, refused

Attacks = Callable[[str, int, int], Iterator[int]]


def test_a_sealed_checkpoint_is_as_good_as_the_original(run: Path) -> None:
    described, tensors = read(best_of(run))
    before = load_checkpoint(best_of(run))
    seal(best_of(run), described, tensors)
    after = load_checkpoint(best_of(run))
    assert (after.experiment, after.best, after.preprocessing) == (before.experiment, before.best, before.preprocessing)
    assert call("eval", run)[0] == 0


def respecified(old: str, new: str) -> Callable[[dict[str, Any]], object]:
    def change(described: dict[str, Any]) -> object:
        assert old in described["spec"]
        return {**described, "spec": described["spec"].replace(old, new)}

    return change


def with_(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda described: {**described, **values}


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda described: {name: value for name, value in described.items() if name != key}


ALIASES = "a: &a [lol, lol]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghi"))
BESTS: tuple[Any, ...] = (
    *([], "x", {}, 3, {"epoch": 1}, {"epoch": "1", "loss": 1}),
    {"epoch": 1, "loss": float("nan")},
    {"epoch": 1, "loss": 10**400},
)


def refacted(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda described: {**described, "facts": {**described["facts"], **values}}


def scaled(**values: Any) -> dict[str, Any]:
    return {"transforms": [{"name": "scale", "divisor": 16.0, "mean": 0.0, "std": 1.0, **values}]}


def standardized(mean: Any, std: Any) -> dict[str, Any]:
    return {"transforms": [{"name": "standardize", "mean": mean, "std": std}]}


NO_MAPPINGS: tuple[Any, ...] = ([], None, "unit", 5)
NO_TRANSFORMS: tuple[Any, ...] = ({}, 5, None, {"divisor": 16.0}, {"name": ["scale"]})
NO_COLUMNS: tuple[Any, ...] = ([{"name": "a"}], [{"name": 5}] * 64, {})
PREPROCESSINGS: dict[str, Any] = {
    **{repr(value): value for value in (*NO_MAPPINGS, {"transforms": None}, {"transforms": {}})},
    **{repr(value): {"transforms": [value]} for value in NO_TRANSFORMS},
    **{f"scale, {values}": scaled(**values)
       for values in (
           {"name": "log"}, {"divisor": 0.0}, {"divisor": -1.0}, {"std": 0.0}, {"std": -1.0}, {"mean": float("nan")},
           {"mean": float("inf")}, {"divisor": "1"}, {"divisor": True}, {"divisor": 10**400}, {"x": 1},
       )},
    "no column": standardized([], []),
    "columns with and without std": standardized([0.0] * 64, [1.0] * 63),
    "one number for every column": standardized([0.0], [1.0]),
    "a column more": standardized([0.0] * 65, [1.0] * 65),
    "a column that is nothing": standardized([None] * 64, [1.0] * 64),
    "a column of std 0": standardized([0.0] * 64, [1.0] * 63 + [0.0]),
}  # fmt: skip
FACTS: list[dict[str, Any]] = [  # a value for each key
    *({"train_rows": value} for value in (0, -1, 900, "1337", 10**30, 1.5, None, True)),
    *({"test_rows": value} for value in (-1, "1", None)),
    *({"n_features": value} for value in (0, 63, -64, None)),
    *({"class_names": value} for value in ([], ["0"] * 9, [0] * 10, "0123456789", None)),
    *({"image_shape": value} for value in ([8], [4, 4], [8, 8, 1], [-8, -8], "88")),
    *({"columns": value} for value in NO_COLUMNS),
    {"n_targets": 3},
    {"maximum": -1},
    {"unheard": 1},
]
DESCRIPTIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a list": lambda described: [described],
    "null": lambda described: None,
    "no JSON": lambda described: "{",
    "brackets": lambda described: "[" * 100_000,
    **{f"no {key}": without(key)
       for key in ("format", "digest", "epoch", "step", "best", "preprocessing", "facts", "data_fingerprint",
                   "metrics_digest", "spec")},
    "terabytes": respecified("hidden: [6]", f"hidden: {[65_536] * 200}"),
    "10¹² wide": respecified("hidden: [6]", "hidden: [1000000000000]"),
    "another width": respecified("hidden: [6]", "hidden: [7]"),
    "another activation": respecified("name: prelu", "name: relu"),
    "a path for a name": respecified("name: small", "name: ../../../etc/passwd"),
    "a path for data": respecified("name: digits", "name: /etc/passwd"),
    "a tag": respecified("name: small", "name: !!python/object/apply:os.system ['touch executed']"),
    "aliases": with_(spec=ALIASES),
    "a long specification": with_(spec="a: " + "x" * 1_500_000),
    "an endless list": with_(spec="[" * 900_000),
    "a number for a specification": with_(spec=5),
    "half a surrogate pair": with_(spec="name: \ud800"),
    "a newer format": with_(format=3),
    "a much newer format": with_(format=10**30),
    **{f"format {value!r}": with_(format=value) for value in (0, -1, True, 1.0, "1", None, [1])},
    **{f"epoch {value!r}": with_(epoch=value, step=value)
       for value in (-1, 2.0, "2", None, float("inf"), True, 10**30)},
    "another step": with_(step=7),
    **{f"digest {value!r}": with_(digest=value) for value in ("", 5, None, "\ud800" * 64, "A" * 64, "é" * 64)},
    **{f"best {value!r}": with_(best=value) for value in BESTS},
    **{f"preprocessing: {name}": with_(preprocessing=value) for name, value in PREPROCESSINGS.items()},
    **{f"facts {value!r}": with_(facts=value) for value in (*NO_MAPPINGS, {})},
    **{f"facts, {values!r}": refacted(**values) for values in FACTS},
    "a fingerprint that is none": with_(data_fingerprint=["x"]),
}  # fmt: skip


@pytest.mark.parametrize("change", DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_forged_descriptions_with_a_right_digest(
    run: Path, change: Callable[[dict[str, Any]], object], attacks: Attacks
) -> None:
    for _ in attacks("checkpoint: forged with a right digest", 1, 1):
        for file in (best_of(run), last_of(run)):
            described, tensors = read(file)
            seal(file, change(described), tensors)
            with ends_within(20), pytest.raises(CheckpointError) as caught:
                load_checkpoint(file)
            assert str(file) in str(caught.value)
            assert len(str(caught.value)) < 2000
        assert "safetensors" in refused("eval", run)
        assert not Path("executed").exists()


def test_a_newer_format_says_so(run: Path) -> None:
    described, tensors = read(best_of(run))
    seal(best_of(run), {**described, "format": 3}, tensors)
    assert "has format 3, but this mlptrain reads up to 2; update mlptrain" in refused("eval", run)


@pytest.mark.parametrize("other", [scaled(mean=3.0, std=0.01), scaled(divisor=255.0), {"transforms": []}])
def test_preprocessing_that_is_not_that_of_the_run_is_other_data(run: Path, other: dict[str, Any]) -> None:
    for file in (best_of(run), last_of(run)):
        described, tensors = read(file)
        seal(file, {**described, "preprocessing": other}, tensors)
    for arguments in (("eval", run), ("predict", run, "--index", 0)):
        assert "this run was trained on other data" in refused(*arguments)
    message = refused("train", "--resume", run, "--set", "training.epochs=4")
    assert "last.safetensors was trained on other data than the run it lies in" in message


def replaced(name: str, tensor: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, name: tensor(tensors[name]).contiguous()}


def spoilt(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def spoil(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[-1] = value
        return tensor

    return spoil


WEIGHT = "layers.0.weight"
TENSORS: dict[str, Callable[[Tensors], Tensors]] = {
    "none": lambda tensors: {},
    "one missing": lambda tensors: {name: tensor for name, tensor in tensors.items() if name != WEIGHT},
    "one more": lambda tensors: {**tensors, "layers.9.weight": torch.zeros(1)},
    "one renamed": lambda tensors: {name.replace("layers.0.w", "layers.0.W"): tensors[name] for name in tensors},
    "transposed": replaced(WEIGHT, lambda tensor: tensor.T),
    "flattened": replaced(WEIGHT, lambda tensor: tensor.flatten()),
    "one row too few": replaced(WEIGHT, lambda tensor: tensor[1:]),
    "empty": replaced(WEIGHT, lambda tensor: tensor[:0]),
    "a slope with a dimension": replaced("layers.0.slope", lambda tensor: tensor.reshape(1)),
    **{f"of {dtype}": replaced(WEIGHT, lambda tensor, dtype=dtype: tensor.to(dtype))  # type: ignore[misc]
       for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.bool, torch.uint8)},
    **{f"with {value}": replaced("layers.1.bias", spoilt(float(value))) for value in ("nan", "inf", "-inf")},
}  # fmt: skip


@pytest.mark.parametrize("change", TENSORS.values(), ids=TENSORS)
def test_forged_tensors_with_a_right_digest(run: Path, change: Callable[[Tensors], Tensors], attacks: Attacks) -> None:
    for _ in attacks("checkpoint: forged with a right digest", 1, 1):
        for file in (best_of(run), last_of(run)):
            described, tensors = read(file)
            seal(file, described, change(tensors))
        assert_refused_at_every_door(run)


STEP, BUFFER, RAW = "optimizer.step", f"optimizer.exp_avg.{WEIGHT}", f"raw.{WEIGHT}"
STATES: dict[str, Callable[[Tensors], Tensors]] = {
    "gone": lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer.")},
    "a buffer gone": lambda tensors: {name: tensors[name] for name in tensors if ".exp_avg." not in name},
    "a part of a buffer gone": lambda tensors: {name: tensors[name] for name in tensors if name != BUFFER},
    "a buffer more": lambda tensors: {
        name.replace("exp_avg.", part): tensors[name] for part in ("exp_avg.", "evil.") for name in tensors
    },
    "a part of another shape": replaced(BUFFER, lambda tensor: tensor.T),
    "a part of another type": replaced(BUFFER, lambda tensor: tensor.double()),
    "no step": lambda tensors: {name: tensors[name] for name in tensors if name != STEP},
    "two steps": replaced(STEP, lambda tensor: torch.ones(2)),
    "a nan in a buffer": replaced(BUFFER, spoilt(float("nan"))),
    "a square below 0": replaced(BUFFER.replace("exp_avg", "exp_avg_sq"), spoilt(-1.0)),
    **{f"{value} steps": replaced(STEP, spoilt(value)) for value in (float("nan"), -42.0, 1.5, 7.0, 1e30)},
    "no raw weights": lambda tensors: {name: tensors[name] for name in tensors if not name.startswith("raw.")},
    "a raw weight gone": lambda tensors: {name: tensors[name] for name in tensors if name != RAW},
    "a raw weight more": lambda tensors: {**tensors, "raw.layers.9.weight": torch.zeros(1)},
    "a raw weight of another shape": replaced(RAW, lambda tensor: tensor.T),
    "a raw weight of another type": replaced(RAW, lambda tensor: tensor.double()),
    **{f"a raw {value}": replaced(RAW, spoilt(float(value))) for value in ("nan", "inf")},
    "a name of nothing": lambda tensors: {**tensors, "optimizer.": torch.tensor(1.0)},
}  # fmt: skip


@pytest.mark.parametrize("change", STATES.values(), ids=STATES)
def test_forged_state_of_the_optimizer_stops_resuming(run: Path, change: Callable[[Tensors], Tensors]) -> None:
    described, tensors = read(last_of(run))
    seal(last_of(run), described, change(tensors))
    kept = (run / "result.json").read_bytes(), (run / "metrics.jsonl").read_bytes()
    assert "last.safetensors" in refused("train", "--resume", run, "--set", "training.epochs=4")
    assert ((run / "result.json").read_bytes(), (run / "metrics.jsonl").read_bytes()) == kept


def test_a_checkpoint_of_other_data_than_its_run_stops_resuming(run: Path) -> None:
    described, tensors = read(last_of(run))
    seal(last_of(run), with_(data_fingerprint="ab" * 32)(described), tensors)
    kept = (run / "result.json").read_bytes(), (run / "metrics.jsonl").read_bytes()
    assert "last.safetensors" in refused("train", "--resume", run, "--set", "training.epochs=4")
    assert ((run / "result.json").read_bytes(), (run / "metrics.jsonl").read_bytes()) == kept
