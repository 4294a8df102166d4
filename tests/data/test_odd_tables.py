"""Tables that cannot be learnt from as they are: one located message; and those that can, though they look odd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save

from mlptrain.errors import CheckpointError, SpecError
from mlptrain.spec import load_spec
from mlptrain.spec.load import Loaded
from mlptrain.system.sealed import BLANK, FORMAT_VERSION, MAX_HEADER_BYTES, read_header, sealed

N = 40


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(rows: str, *, loss: str = "cross_entropy", **keys: Any) -> Loaded:
    Path("t.csv").write_text(rows)
    data = {"name": "table", "path": "t.csv", "target": "y", **keys}
    config = {"data": data, "model": {"hidden": [3]}, "optimizer": "sgd", "loss": loss}
    Path("c.yaml").write_text(yaml.safe_dump(config))
    return load_spec(Path("c.yaml"))


def message(rows: str, **keys: Any) -> str:
    with pytest.raises(SpecError) as caught:
        loaded(rows, **keys)
    [fault] = caught.value.faults
    assert fault.line is not None
    return f"{fault.path}: {fault.message}".replace(f"{Path.cwd()}/", "")


def table(*targets: object) -> str:
    return "x,y\n" + "".join(f"{number / 8},{target}\n" for number, target in enumerate(targets))


TARGETS: dict[str, tuple[list[object], str]] = {
    "a text among numbers": (
        [number / 7 for number in range(N)] + ["n.b."],
        "data.target: 'y' has 41 different values in 41 rows, which are not all numbers, such as 'n.b.' at t.csv:42:5",
    ),
    "amounts": ([f"{number}.5 kg" for number in range(N)], "such as '0.5 kg' at t.csv:2:5; correct it, add it to"),
    "names": ([f"row {number}" for number in range(N)], "or set data.task: classification if they are classes"),
    "dates": ([f"2024-01-{number:02}" for number in range(1, 29)], "such as '2024-01-01' at t.csv:2:5"),
    "one fraction": ([2.5] * N, "data.target: 'y' has one value only, '2.5': nothing to learn"),
    "one word": (["yes"] * N, "data.target: 'y' has one value only, 'yes': nothing to learn"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_targets_from_which_nothing_is_learnt(name: str) -> None:
    targets, words = TARGETS[name]
    assert words in message(table(*targets))


def test_many_classes_are_classes_where_it_is_stated() -> None:
    names = [f"row {number}" for number in range(N)]
    assert len(loaded(table(*names), task="classification").experiment.facts.class_names) == N
    assert len(loaded(table(*names, *names, *names)).experiment.facts.class_names) == N, "with rows for each"


def test_a_regression_names_the_text_and_not_the_first_number() -> None:
    rows = table(*range(9), "abc", *range(9))
    assert "'y' holds text, such as 'abc' at t.csv:11:7" in message(rows, task="regression")


def test_a_separator_at_the_end_of_lines_is_no_column() -> None:
    words = ["no", "yes"] * 20
    rows = table(*words).replace("\n", ",\n")
    for given in (rows, rows.replace("x,y,\n", "x,y\n")):
        found = loaded(given, target=-1)
        assert found.experiment.facts.target_names == ("y",)
        assert any("lines end with a separator" in note for note in found.notes)
    of_numbers = rows.replace("yes,\n", "yes,3\n").replace("no,\n", "no,4\n")
    assert [column.name for column in loaded(of_numbers).experiment.facts.columns] == ["x", "column_2"]


def test_a_checkpoint_of_many_columns_is_read(tmp_path: Path) -> None:
    """The text about 100,000 columns has 27 million characters; what safetensors would not read either is refused."""

    def written(characters: int) -> Path:
        text = f'{{"format": {FORMAT_VERSION}, "digest": "{BLANK}", "columns": "{"x" * characters}"}}'
        (path := tmp_path / "c").write_bytes(sealed(save({"w": torch.ones(2)}, {"mlptrain": text})))
        return path

    path = written(27_000_000)
    with path.open("rb") as stream:
        assert len(read_header(path, stream, most=2**30)["columns"]) == 27_000_000
    path.write_bytes((MAX_HEADER_BYTES + 1).to_bytes(8, "little") + bytes(MAX_HEADER_BYTES + 9))
    with path.open("rb") as stream, pytest.raises(CheckpointError, match="is not a checkpoint"):
        read_header(path, stream, most=2**30)
