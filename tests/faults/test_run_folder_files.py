"""Run folders that were edited by hand, half deleted or forged: shown as damaged, refused, or read as they were."""

from __future__ import annotations

import io
import json
import pickle
import random
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlptrain
from mlptrain.errors import RunFolderError
from mlptrain.runs import list_runs
from mlptrain.runs.steps import step_figures
from mlptrain.spec import load_text
from mlptrain.system.jsonfiles import Count, read_json
from tests.faults.tools.hostile import NO_FILES, SMALL, call, put, refused

Attacks = Callable[[str, int, int], Iterator[int]]
FILES = (
    "config.yaml", "resolved.yaml", "facts.json", "environment.json", "metrics.jsonl", "timings.jsonl", "steps.npz",
    "result.json", "checkpoints/last.safetensors", "checkpoints/best.safetensors",
)  # fmt: skip
JSON = ("facts.json", "environment.json", "metrics.jsonl", "timings.jsonl", "result.json")
VALUES = (
    *("[]", "null", "{}", "1", '"x"', "true", "1e999", "NaN", "-Infinity", "1e400", "9" * 400, "9" * 5_000),
    *('"\\ud800"', '"\\u0000"', "[" * 100_000, '{"a":' * 100_000, "[1, ", "\ufeff{}", "{'a': 1}", '{"a": 1, "a": 2}'),
)
RESUME = ("--set", "training.epochs=3")


def content_of(folder: Path) -> dict[str, bytes]:
    found = {name: folder / name for name in FILES if (folder / name).is_file()}
    return {name: path.read_bytes() if path.stat().st_size < 10**8 else b"" for name, path in found.items()}


def survives(folder: Path, whole: Path, *, drawn: bool) -> None:
    """Every command on the folder ends well or with one message, and a refused resume changes nothing.

    ``drawn`` adds those that draw, which take most of the time.
    """
    assert len([run for run in list_runs(folder.parent) if run.path == folder]) <= 1
    commands: list[tuple[object, ...]] = [("runs", folder.parent, "--json")]
    if drawn:
        commands += [("report", folder, "--out", folder.parent / "page.html")]
        commands += [("plot", "curves", folder, "--out", folder.parent / "curves.png")]
    for command in commands:
        code, _, err = call(*command)
        assert code in (0, 1, 2), err
    code, out, err = call("eval", folder, "--json")
    assert code in (0, 1, 2), err
    if code == 0:
        assert out == figures_of(whole)  # no silently wrong network
    before = content_of(folder)
    code, _, err = call("train", "--resume", folder, *RESUME)
    assert code in (0, 1, 2), err
    if code:
        assert content_of(folder) == before
    else:
        assert_extended(folder, whole)


@cache
def figures_of(whole: Path) -> str:
    return call("eval", whole, "--json")[1]


def assert_extended(folder: Path, whole: Path) -> None:
    """What was resumed has the bytes of the run that was never damaged."""
    extended = whole.parent / "extended"
    if not extended.exists():
        shutil.copytree(whole, extended)
        assert call("train", "--resume", extended, *RESUME)[0] == 0
    for name in ("metrics.jsonl", "checkpoints/last.safetensors", "checkpoints/best.safetensors"):
        assert (folder / name).read_bytes() == (extended / name).read_bytes(), name


@pytest.mark.parametrize("name", FILES)
def test_each_file_gone_emptied_cut_or_no_file(
    run: Path, whole: Path, name: str, attacks: Attacks, chance: random.Random
) -> None:
    good = (run / name).read_bytes()
    kinds: list[Any] = ["gone", b"", good[: chance.randrange(1, len(good))], b"\0" * len(good), good + good, *NO_FILES]
    chance.shuffle(kinds)
    for number in attacks("run folder: a file gone, cut or no file", 3, len(kinds)):
        shutil.rmtree(run)
        shutil.copytree(whole, run)
        if kinds[number] == "gone":
            (run / name).unlink()
        elif isinstance(kinds[number], str):
            put(run / name, kinds[number])
        else:
            (run / name).write_bytes(kinds[number])
        survives(run, whole, drawn=number % 4 == 0)


def test_parts_gone(run: Path, whole: Path) -> None:
    for gone in (FILES[6:], FILES[2:], FILES[:2], ("checkpoints",)):
        shutil.rmtree(run)
        shutil.copytree(whole, run)
        for name in gone:
            shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
        survives(run, whole, drawn=False)


@pytest.mark.parametrize("name", JSON)
def test_other_json(run: Path, whole: Path, name: str, attacks: Attacks, chance: random.Random) -> None:
    """Whole files, and single values in them, replaced by values of other types."""
    good = (run / name).read_text()
    first = good.splitlines()[-1] if name.endswith("l") else good
    values = json.loads(first)
    edits: list[str] = [value for value in VALUES if name in ("result.json", "metrics.jsonl")]
    for key in values:
        short = VALUES[:16] if name != "environment.json" else ("[]", "null", '"x"', "1e999")
        edits += [json.dumps({**values, key: "HERE"}).replace('"HERE"', value) for value in short]
        edits.append(json.dumps({other: values[other] for other in values if other != key}))
    for inner in ("kept", "diagnosis", "hashes", "last"):
        for value in VALUES[:6] if inner in values else ():
            entries = values[inner] if isinstance(values[inner], dict) else {"kind": 1, "message": 2, "causes": 3}
            for key in entries:
                edited = {**values, inner: {**entries, key: "HERE"}}
                edits.append(json.dumps(edited).replace('"HERE"', value))
    chance.shuffle(edits)
    for number in attacks("run folder: JSON of other types", 3, 300):
        if number >= len(edits):
            break
        shutil.rmtree(run)
        shutil.copytree(whole, run)
        text = edits[number].encode("utf-8", "surrogatepass")
        lines = good.encode().splitlines(keepends=True)
        (run / name).write_bytes(b"".join([*lines[:-1], text, b"\n"]) if name.endswith("l") else text)
        survives(run, whole, drawn=number % 4 == 0)


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, ("executed", "w"))


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def archive(compression: int = zipfile.ZIP_STORED, **entries: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as written:
        for name, content in entries.items():
            written.writestr(f"{name}.npy", content)
    return stream.getvalue()


def repaired(content: bytearray) -> bytes:
    """A zip archive with the sums of its stored entries put right again, so that reading gets beyond them."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as read:
            entries = read.infolist()
        for entry in entries:
            name, extra = struct.unpack_from("<HH", content, entry.header_offset + 26)
            start = entry.header_offset + 30 + name + extra
            struct.pack_into("<I", content, entry.header_offset + 14, zlib.crc32(content[start:][: entry.file_size]))
            directory = content.rindex(b"PK\1\2", 0, content.rindex(entry.filename.encode()))
            struct.pack_into("<I", content, directory + 16, zlib.crc32(content[start:][: entry.file_size]))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error):
        pass  # the damage is of another kind
    return bytes(content)


def test_forged_steps(run: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    good = dict(np.load(whole / "steps.npz"))
    loss, accuracy = good["loss"], good["accuracy"]
    with zipfile.ZipFile(whole / "steps.npz") as written:
        array, other = written.read("loss.npy"), written.read("accuracy.npy")
    shape = f"({len(loss)},), }}".encode()

    def of_shape(claimed: bytes) -> bytes:
        """The archive whose losses claim another shape, in a header of the same length."""
        padded = shape + b" " * (len(claimed) - len(shape))
        assert padded in array
        return archive(loss=array.replace(padded, claimed.ljust(len(shape))), accuracy=other)

    def with_one(name: str, value: float) -> bytes:
        return npz(**{**good, name: np.append(good[name][:-1], value)})

    contents = {
        "a pickle": pickle.dumps(Payload()),
        "an array of pickles": npz(loss=np.array([Payload()], dtype=object), accuracy=accuracy),
        "a pickle for an array": archive(loss=pickle.dumps(Payload()), accuracy=other),
        "10 GB packed": archive(zipfile.ZIP_DEFLATED, loss=array[:128] + bytes(200_000_000), accuracy=other),
        "10¹² values": of_shape(b"(1000000000000,), }"),
        "2⁷⁰ values": of_shape(b"(%d,), }" % 2**70),
        "less than none": of_shape(b"(-1,), }"),
        "of Python 2": of_shape(b"(%dL,), }" % len(loss)),
        "no header": of_shape(b"(((((((("),
        "text": npz(loss=np.array(["a", "b"]), accuracy=accuracy),
        "complex": npz(loss=loss.astype(complex), accuracy=accuracy),
        "float32": npz(loss=loss.astype(np.float32), accuracy=accuracy),
        "two dimensions": npz(loss=loss[None], accuracy=accuracy),
        "too few": npz(loss=loss[:1], accuracy=accuracy[:1]),
        "a path": archive(zipfile.ZIP_STORED, **{"../../executed": b"", "loss": array, "accuracy": other}),
        "nothing of ours": npz(other=loss),
        "an empty archive": archive(),
        "no accuracy": npz(loss=loss),
        "no loss": npz(accuracy=accuracy),
        "one more": npz(**good, other=loss),
        "twice as many": npz(loss=np.append(loss, loss), accuracy=accuracy),
        "fewer of one": npz(loss=loss, accuracy=accuracy[:-1]),
        **{f"{name} {value}": with_one(name, value) for name in good for value in (np.nan, np.inf, -np.inf)},
    }
    for name, content in contents.items():
        (run / "steps.npz").write_bytes(content)
        before = content_of(run)
        assert "steps.npz cannot be read" in refused("train", "--resume", run, *RESUME), name
        assert content_of(run) == before
        if name != "too few":
            told = refused("plot", "curves", run, "--steps", "--out", "steps.png")
            assert "steps.npz cannot be read" in told, name
            assert told.count("\n") == 1
    assert not Path("executed").exists()
    assert not (run.parents[1] / "executed").exists()


def test_steps_that_a_run_can_write(run: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest losses are drawn, and more steps than the checkpoint has are those of epochs that are lost."""
    monkeypatch.chdir(run.parent)
    good = dict(np.load(whole / "steps.npz"))
    good["loss"][:2] = np.finfo(np.float32).max, 0
    (run / "steps.npz").write_bytes(npz(**good))
    assert call("plot", "curves", run, "--steps", "--out", "steps.png")[0] == 0
    (run / "steps.npz").write_bytes(npz(**{name: np.append(values, values) for name, values in good.items()}))
    assert call("train", "--resume", run, *RESUME)[0] == 0
    extended = np.load(run / "steps.npz")
    for name, values in good.items():
        assert len(extended[name]) == len(values) * 3 // 2
        np.testing.assert_array_equal(extended[name][: len(values)], values)


def test_steps_of_a_regression_have_no_accuracy(tmp_path: Path) -> None:
    text = "name: r\ndata: random_regression\nmodel: {hidden: [4]}\nloss: mse\noptimizer: sgd\n"
    training = "training: {epochs: 1, record_steps: true, device: cpu, threads: 1}\n"
    mlptrain.train(load_text(text + training), run_dir=tmp_path / "run")
    good = dict(np.load(tmp_path / "run" / "steps.npz"))
    assert list(good) == ["loss"]
    (tmp_path / "run" / "steps.npz").write_bytes(npz(**good, accuracy=np.zeros(len(good["loss"]))))
    assert "does not hold loss alone" in refused("train", "--resume", tmp_path / "run", *RESUME)
    (tmp_path / "run" / "steps.npz").write_bytes(npz(**good))
    assert call("train", "--resume", tmp_path / "run", *RESUME)[0] == 0


def test_damaged_headers_of_steps(run: Path, attacks: Attacks, chance: random.Random) -> None:
    """Bytes changed in the headers of both formats: as many figures as there were, or one line that says no."""
    path = run / "steps.npz"
    good, figures = path.read_bytes(), step_figures(path)
    shapes = {name: values.shape for name, values in figures.items()}
    starts = [good.index(b"\x93NUMPY"), good.rindex(b"\x93NUMPY")]
    for _ in attacks("run folder: headers of steps.npz damaged", 300, 20_000):
        changed = bytearray(good)
        for _ in range(chance.randrange(1, 3)):
            place = chance.choice(starts) + chance.randrange(-40, 128)
            changed[place] = chance.choice([chance.randrange(256), *b"()[]{}'\"0123456789L,:<>|fOV"])
        path.write_bytes(repaired(changed))
        try:
            found = step_figures(path)
        except RunFolderError as error:
            message = str(error)
        else:
            message = ""
            assert {name: values.shape for name, values in found.items()} == shapes
        assert "\n" not in message


def test_edited_metrics_stop_resuming(run: Path) -> None:
    """A number is a number, but the wrong step, a missing loss and an epoch twice are not what a run writes."""
    good = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    before = content_of(run)
    for old, new in (
        ('"step": 3', '"step": 4'),
        ('"train_loss"', '"training_loss"'),
        ('"validation_loss"', '"loss"'),
        ('"lr"', '"rate"'),
        ('"epoch": 1', '"epoch": 1.5'),
        ('"epoch": 2', '"epoch": 1'),
    ):
        text = "".join(good)
        assert old in text
        (run / "metrics.jsonl").write_text(text.replace(old, new))
        assert "metrics.jsonl" in refused("train", "--resume", run, *RESUME), new
        (run / "metrics.jsonl").write_bytes(before["metrics.jsonl"])
        assert content_of(run) == before
    (run / "metrics.jsonl").write_text("".join(good[:2]))
    assert "ends before epoch 2" in refused("train", "--resume", run, *RESUME)


def test_resolved_that_means_harm(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    good = (run / "resolved.yaml").read_text()
    for text in (
        good.replace("name: small", "name: !!python/object/apply:os.system ['touch executed']"),
        good.replace("name: small", "name: ../../small"),
        good.replace("hidden: [6]", "hidden: [1000000000000]"),
        good.replace("hidden: [6]", "hidden: [7]"),
        good.replace("lr: 0.01", "lr: 0.02"),
        good + "seed: 1\n",
        "a: &a [*a]",
        "[" * 100_000,
        "seed: 1" + "0" * 5_000,
        "#" * 10_000_000,
        "\0",
    ):
        assert text != good
        (run / "resolved.yaml").write_text(text)
        before = content_of(run)
        for command in (
            ("eval", run),
            ("report", run),
            ("train", "--resume", run, *RESUME),
            ("predict", run, "--index", 0),
        ):
            assert "resolved.yaml" in refused(*command)
        call("runs", run.parent)
        assert content_of(run) == before
    assert not Path("executed").exists()


def test_the_largest_whole_number(tmp_path: Path) -> None:
    path = tmp_path / "values.json"
    for number in (2**63 - 1, 0, 10**18):
        path.write_text(json.dumps({"a": number}))
        assert read_json(path, dict[str, Count]) == {"a": number}
    for number in (2**63, -1, 2**63 + 1, 10**19, 10**30):
        path.write_text(json.dumps({"a": number}))
        with pytest.raises(RunFolderError, match="is damaged: a is not what was written"):
            read_json(path, dict[str, Count])


def test_groups_of_seeds(
    tmp_path: Path, attacks: Attacks, chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole, group = tmp_path / "whole", tmp_path / "runs" / "group"
    mlptrain.train_seeds(load_text(SMALL, overrides=["training.epochs=1"]), [0, 1], run_dir=whole)
    (whole / "seed-1" / "result.json").unlink()
    (whole / "summary.json").unlink()
    seeds = ("[]", "null", "[0]", "[0, 0]", "[0, 1, 2]", "[0, -1]", "[0, 1.0]", '["0", "1"]', "[0, true]", '"01"', "0")
    contents = [*(f'{{"seeds": {value}}}' for value in seeds), f'{{"seeds": [{"9" * 400}]}}', *VALUES]
    contents += ['{"seeds": ["../../.."]}', "", "{"]
    chance.shuffle(contents)
    for number in attacks("run folder: seeds.json of other content", 10, len(contents)):
        shutil.rmtree(group, ignore_errors=True)
        shutil.copytree(whole, group)
        (group / "seeds.json").write_bytes(contents[number].encode("utf-8", "surrogatepass"))
        before = {path: path.read_bytes() for path in group.rglob("*") if path.is_file()}
        call("runs", group.parent)
        call("eval", group / "seed-0")
        if contents[number] == '{"seeds": [0]}':
            continue  # a group of fewer
        refused("train", "--resume", group)
        assert {path: path.read_bytes() for path in group.rglob("*") if path.is_file()} == before
    for kind in NO_FILES:
        put(group / "seeds.json", kind)
        refused("train", "--resume", group)
        call("runs", group.parent)
    shutil.copy(whole / "seeds.json", group / "good.json")
    (group / "good.json").replace(group / "seeds.json")
    assert call("train", "--resume", group)[0] == 0
