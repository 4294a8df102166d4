"""Comparisons edited by hand, damaged or forged: they say what was trained, or one message says what is wrong."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlptrain.report.comparison.outputs import comparison_page
from mlptrain.spec.comparison.load import load_comparison
from tests.comparison.damaged import Compared, edit, edited_lines, message_of
from tests.comparison.small import BASE, forged, write
from tests.faults.tools.hostile import NO_FILES, call, put, refused

Attacks = Callable[[str, int, int], Iterator[int]]
Change = Callable[[dict[str, Any]], object]
# Tuning, a batch for each seed, trials that last and that diverge, and a time to target.
TEXT = """\
optimizers:
  SGD: {name: sgd, lr: [0.1, 1.0]}
  wild: {name: sgd, lr: 1.0e+20}
tuning: {seeds: 1, extensions: 0}
scoring: {seeds: 2}
target: {metric: validation_accuracy, value: 0.2}
"""


@pytest.fixture(scope="module")
def _compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("compared")
    code, _, err = call("compare-optimizers", write(TEXT, place, base=BASE), "--run-dir", place / "whole")
    assert code == 0, err
    return place


@pytest.fixture
def compared(_compared: Path, tmp_path: Path) -> Compared:
    return Compared(_compared / "whole", tmp_path / "copy", load_comparison(_compared / "small.yaml").spec)


# --- trials.jsonl ---


def test_clumsily_edited_trials_change_no_verdict(compared: Compared, attacks: Attacks, chance: random.Random) -> None:
    refusals = 0
    for _ in attacks("random edits of trials.jsonl", 20, 500):
        compared.restore()
        told = compared.goes_on(edited_lines(compared.whole.lines, chance))
        refusals += bool(told)
        if told:
            assert str(compared.trials) in told
            assert "restore the file, or delete it" in told
        else:
            assert compared.bytes == compared.whole.bytes
    assert refusals


def in_all(change: Change) -> Callable[[list[dict[str, Any]]], object]:
    return lambda records: [change(record) for record in records]


def of_kept(**figures: Any) -> Change:
    return lambda record: "kept" in record and record["kept"].update(figures)


# As another version of this package might write them, with the digest that belongs to them.
FOREIGN: dict[str, tuple[Change, str]] = {
    "hashes of nothing": (lambda record: record["hashes"].pop("data"), "key hashes.data is missing"),
    "a new status": (lambda record: record.update(status="splendid"), "status is not"),
    "a status of lists": (lambda record: record.update(status=[]), "status is not"),
    "a batch of lists": (lambda record: record.update(batch=["a"]), "batch is not"),
    "a seed of lists": (lambda record: record.update(seed=[1]), "seed is not"),
    "an unknown key": (lambda record: record.update(a=1), "key a is unknown"),
    "an empty kept": (lambda record: record.update(kept={}), "key kept.epoch is missing"),
    "an accuracy of 5": (of_kept(test_accuracy=5.0), "kept.test_accuracy is not"),
    "an accuracy that is none": (of_kept(test_accuracy=float("nan")), "is not a record of a trial as it was written"),
    "half a character": (lambda record: record.update(optimizer="\ud800"), "is not a record of a trial as it was"),
    "an accuracy of words": (of_kept(test_accuracy="0.9"), "kept.test_accuracy is not"),
    "an epoch of words": (of_kept(epoch="x"), "kept.epoch is not"),
    "curves in a list": (lambda record: record.update(curves=[]), "curves is not"),
    "a loss too large": (lambda record: record["curves"].update(train_loss=[1e308, 1.0]), "curves.train_loss.0 is not"),
    "scored by words": (lambda record: record.update(scored="x"), "scored is not"),
    "a divergence of words": (lambda record: record.update(diverged="x"), "diverged is not"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_record_is_named_even_with_its_digest(compared: Compared, kind: str) -> None:
    """Of the first scored trial, which lasts."""
    change, told = FOREIGN[kind]
    records = compared.whole.records
    scored = next(record for record in records if record["role"] == "scoring" and record["status"] == "completed")
    change(scored)
    message = compared.goes_on(b"".join(map(forged, records)))
    assert re.search(told, message), message
    assert "restore the file, or delete it" in message


MOVED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "every line twice": lambda lines: [line for line in lines for _ in range(2)],
    "the file twice": lambda lines: lines * 2,
    "the last line twice": lambda lines: [*lines, lines[-1]],
    "the first line twice": lambda lines: [lines[0], *lines],
    "the first line gone": lambda lines: lines[1:],
    "a line of the middle gone": lambda lines: [*lines[:2], *lines[3:]],
    "the first line behind": lambda lines: [*lines[1:], lines[0]],
    "a batch within another": lambda lines: [lines[0], *lines[2:4], lines[1], *lines[4:]],
}
ALIEN: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "an empty line": lambda lines: [*lines[:2], b"\n", *lines[2:]],
    "brackets without end": lambda lines: [*lines, b"[" * 100_000 + b"\n"],
    "brackets without end or line end": lambda lines: [*lines, b"[" * 100_000],
    "something else": lambda lines: [b"precious"],
}


@pytest.mark.parametrize("kind", MOVED)
def test_batches_with_missing_doubled_or_moved_lines_are_retrained(compared: Compared, kind: str) -> None:
    compared.summary.unlink()
    assert compared.goes_on(b"".join(MOVED[kind](compared.whole.lines))) == ""
    assert compared.bytes == compared.whole.bytes


@pytest.mark.parametrize("name", ["0" * 16, None])
def test_a_batch_that_holds_other_trials_is_retrained(compared: Compared, name: str | None) -> None:
    """None: the name of the trial beside it."""
    records = compared.whole.records
    records[0]["trial"] = name or records[1]["trial"]
    assert compared.goes_on(b"".join(map(forged, records))) == ""
    assert compared.bytes == compared.whole.bytes


@pytest.mark.parametrize("kind", ALIEN)
def test_lines_of_something_else_are_refused(compared: Compared, kind: str) -> None:
    told = compared.goes_on(b"".join(ALIEN[kind](compared.whole.lines)))
    assert f"{compared.trials}:" in told
    assert "restore the file, or delete it" in told
    compared.trials.unlink()
    assert compared.goes_on() == ""
    assert compared.bytes == compared.whole.bytes


def test_an_edited_figure_is_found_out(compared: Compared) -> None:
    """As long as before, and still a record: only the digest tells."""
    for number, line in enumerate(compared.whole.lines, 1):
        record = json.loads(line)
        if "kept" not in record:
            continue
        record["kept"] |= {key: 0.99 for key in record["kept"] if key.endswith("accuracy")}
        lines = list(compared.whole.lines)
        lines[number - 1] = json.dumps(record).encode() + b"\n"
        assert f"trials.jsonl:{number} is not a record of a trial as it was written" in compared.goes_on(
            b"".join(lines)
        )


def test_zeros_that_a_power_cut_left_are_no_damage(compared: Compared) -> None:
    content = b"".join(compared.whole.lines)
    for zeros in (b"\0" * 4096, content[:100] + b"\0" * 99, content[:5]):
        assert compared.goes_on(content + zeros) == ""
        assert compared.bytes == compared.whole.bytes


@pytest.mark.parametrize("kind", NO_FILES)
def test_no_file_in_the_place_of_the_trials(compared: Compared, kind: str) -> None:
    put(compared.trials, kind)
    told = compared.goes_on()
    if kind == "nothing":
        assert compared.bytes == compared.whole.bytes
    else:
        assert f"{compared.trials} cannot be read" in told


def test_links_in_the_place_of_the_trials_lead_nowhere(compared: Compared, tmp_path: Path) -> None:
    content = compared.trials.read_bytes()
    elsewhere = tmp_path / "elsewhere"
    for kept in (None, content[: len(content) // 2]):
        compared.trials.unlink()
        compared.trials.symlink_to(elsewhere)
        if kept is not None:
            elsewhere.write_bytes(kept)
        assert compared.goes_on() == ""
        assert compared.bytes == compared.whole.bytes
        assert (elsewhere.read_bytes() if elsewhere.exists() else None) == kept


def test_the_command_refuses_in_one_message_that_does_not_loop(compared: Compared) -> None:
    lines = list(compared.whole.lines)
    records = [json.loads(line) for line in lines]
    in_all(of_kept(epoch="x"))(records)
    for content in (b"precious\n", b"".join(map(forged, records)), b"[" * 100_000 + b"\n"):
        compared.trials.write_bytes(content)
        for command in (("compare-optimizers", compared.path), ("compare-optimizers", compared.path, "--json")):
            err = refused(*command)
            assert [line for line in err.splitlines() if line.startswith("error: ")] == [err.splitlines()[-1]]
            assert "trials.jsonl" in err
            assert "summary.json" not in err


# --- summary.json, timings.json and plan.yaml, as the report reads them ---


def test_a_summary_cut_off_anywhere_is_refused(compared: Compared, attacks: Attacks, chance: random.Random) -> None:
    content = compared.summary.read_bytes()
    for _ in attacks("cuts of summary.json", 20, 500):
        compared.summary.write_bytes(content[: chance.randrange(len(content) - 1)])
        told = message_of(lambda: comparison_page(compared.path))
        assert f"run `mlptrain compare {compared.path}`" in told
    assert compared.goes_on() == ""
    assert compared.bytes == compared.whole.bytes  # it is written anew from the trials, whatever it held


def test_a_damaged_summary_is_drawn_or_refused(compared: Compared, attacks: Attacks, chance: random.Random) -> None:
    """A letter changed by a bad disk may change a word; it never ends in anything but one message of ours."""
    content = compared.summary.read_bytes()
    for _ in attacks("letters of summary.json", 10, 300):
        at = chance.randrange(len(content))
        compared.summary.write_bytes(content[:at] + bytes([chance.randrange(32, 127)]) + content[at + 1 :])
        told = message_of(lambda: comparison_page(compared.path))
        assert not told or f"run `mlptrain compare {compared.path}`" in told


def test_edited_seconds_are_drawn_or_refused(compared: Compared, attacks: Attacks, chance: random.Random) -> None:
    timings = json.loads((compared.path / "timings.json").read_bytes())
    for _ in attacks("random edits of timings.json", 3, 50):
        changed = json.loads(json.dumps(timings))
        edit(changed, chance)
        (compared.path / "timings.json").write_text(json.dumps(changed))
        told = message_of(lambda: comparison_page(compared.path))
        assert not told or ("timings.json" in told and f"run `mlptrain compare {compared.path}`" in told)
        code, _, err = call("compare-optimizers", compared.path)
        assert code == 0, err
        assert compared.bytes == compared.whole.bytes


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", ["summary.json", "timings.json", "plan.yaml"])
def test_no_file_in_the_place_of_what_the_report_reads(compared: Compared, name: str, kind: str) -> None:
    put(compared.path / name, kind)
    code, _, err = call("report", compared.path)
    if code:
        assert str(compared.path) in err
    else:
        assert name == "timings.json"
