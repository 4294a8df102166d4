"""YAML that is damaged, huge or means harm: read, or refused with faults, in under a second and half a gigabyte."""

from __future__ import annotations

import gc
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from mlptrain.errors import SpecError
from mlptrain.spec import load_spec, load_text, to_yaml
from mlptrain.spec.comparison.load import load_comparison
from tests.faults.tools.hostile import NO_FILES, ends_within, put, refused
from tests.spec.texts import CONFIGS, ROOT

Attacks = Callable[[str, int, int], Iterator[int]]
COMPARISONS = sorted((ROOT / "configs" / "comparisons").glob("*.yaml"))
SHIPPED = [path.read_text() for path in (*CONFIGS, *COMPARISONS)]
WORDS = sorted({word for text in SHIPPED for word in text.replace(":", " ").split()})
NASTY = (
    *("1e999", "-1e999", ".nan", ".inf", "9" * 399, "-" + "9" * 320, "9" * 5000, "0x" + "f" * 390, "1e-400", "-0.0"),
    *("null", "~", "[]", "{}", "[[]]", "{a: {}}", "''", '"\\0"', '"\\uD800"', '"\\x1b[31m"', "\x00", "\x85", "\ufeff"),
    *("&a [*a]", "*a", "<<: *a", "!!python/object/apply:os.system ['touch executed']", "!<tag> x", "!!binary AAAA"),
    *("---", "...", "%YAML 1.1", "? [a]\n: b", "|\n", ">-\n", "\t", "\r", "\u2028", "𝄞", "é" * 300, "[" * 50, "{" * 50),
    *("true", "../../../etc/passwd", "/dev/zero", "a\\0b", "{log_grid: [1e-9, 1, 9]}", "[1, 1]", "1" * 19, "2" * 20),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A shipped file with a few of its lines, words, marks or bytes changed, or bytes that are no file at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    text = draw(st.sampled_from(SHIPPED))
    for _ in range(draw(st.integers(1, 4))):
        lines = text.split("\n")
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["drop", "double", "swap", "indent", "value", "word", "insert", "splice", "cut"]))
        other = draw(st.integers(0, len(lines) - 1))
        if kind == "drop":
            del lines[at]
        elif kind == "double":
            lines.insert(other, lines[at])
        elif kind == "swap":
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == "indent":
            lines[at] = " " * draw(st.integers(0, 9)) + lines[at].lstrip()
        elif kind == "value":
            lines[at] = lines[at].partition(":")[0] + ": " + draw(st.sampled_from(NASTY))
        elif kind == "word":
            words = lines[at].split(" ")
            words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from([*NASTY, *WORDS]))
            lines[at] = " ".join(words)
        elif kind == "insert":
            place = draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:place] + draw(st.sampled_from(NASTY)) + lines[at][place:]
        elif kind == "splice":
            lines[at:] = draw(st.sampled_from(SHIPPED)).split("\n")[other:]
        else:
            lines = "\n".join(lines)[: draw(st.integers(0, 400))].split("\n")
        text = "\n".join(lines)
    content = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 4)) == 0 and content:
        place = draw(st.integers(0, len(content) - 1))
        content = content[:place] + draw(st.binary(min_size=1, max_size=2)) + content[place + 1 :]
    return content


def fuzz(examples: int, chance: random.Random, check: Callable[[bytes], None]) -> None:
    quiet = settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
    )
    quiet(seed(chance.randrange(2**32))(given(mutated())(check)))()


def read_or_refuse(read: Callable[[], object]) -> None:
    gc.disable()  # collecting what ten thousand examples left behind is none of this reading's time
    started, refusal = time.process_time(), None
    try:
        read()
    except SpecError as error:
        refusal = error
    finally:
        gc.enable()
    assert time.process_time() - started < 1
    if refusal is not None:
        assert refusal.faults
        assert len(str(refusal)) < 100_000
        assert all(fault.message for fault in refusal.faults)


def test_mutated_files(
    tmp_path: Path, attacks: Attacks, chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As experiments and as comparisons; what is read at all is read again from what it is written as."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "fuzzed.yaml"
    (tmp_path / "base.yaml").write_text(SHIPPED[0])

    def check(content: bytes) -> None:
        path.write_bytes(content)
        read_or_refuse(lambda: load_comparison(path))
        try:
            spec = load_spec(path).spec
        except SpecError:
            read_or_refuse(lambda: load_spec(path))
        else:
            assert load_text(to_yaml(spec)).spec == spec

    fuzz(sum(1 for _ in attacks("YAML: mutated files", 500, 10_000)), chance, check)
    assert not (tmp_path / "executed").exists()


def test_mutated_overrides(attacks: Attacks, chance: random.Random) -> None:
    comparison = COMPARISONS[0] if COMPARISONS else None
    keys = (
        "optimizer.lr",
        "data.name",
        "model.hidden[0]",
        "name",
        "data",
        "training",
        "loss.reduction",
        "a.b.c[9]",
        "",
    )

    def check(content: bytes) -> None:
        value = content[-60:].decode(errors="surrogateescape")
        assignment = f"{chance.choice(keys)}{chance.choice(['=', '=', '==', ' = ', ''])}{value}"
        read_or_refuse(lambda: load_spec(CONFIGS[0], [assignment]))
        if comparison is not None:
            read_or_refuse(lambda: load_comparison(comparison, overrides=[f"base.{assignment}", assignment]))

    fuzz(sum(1 for _ in attacks("YAML: mutated overrides", 150, 3_000)), chance, check)


START = "data: digits\nmodel: {hidden: [4]}\noptimizer: {name: sgd, lr: 0.1}\n"
BASE = "base: {data: digits, model: {hidden: [4]}}\noptimizers: {a: {name: adam, lr: %s}, b: sgd}\n"
LAUGHS = "a0: &a0 [lol]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(30))
TEXTS: dict[str, str | bytes] = {
    "billion laughs": LAUGHS,
    "billion laughs as merges": START + LAUGHS.replace("[", "{<<: [").replace("]", "]}"),
    "an alias in itself": "a: &a [*a]",
    "os.system": START + "seed: !!python/object/apply:os.system ['touch executed']",
    "a module": START + "seed: !!python/name:os.system",
    "a new object": START + "seed: !!python/object/new:subprocess.Popen [[touch, executed]]",
    "a tag without end": "a: !<" + "x" * 900_000,
    "ten megabytes": START + "#" * 10_000_000,
    "ten megabytes of values": START + "seed: [" + "1," * 5_000_000,
    "100,000 brackets": "seed: " + "[" * 100_000,
    "100,000 braces": "seed: " + "{a: " * 100_000,
    "100,000 closed brackets": "[" * 100_000 + "]" * 100_000,
    "dashes": "- " * 400_000,
    "question marks": "? " * 400_000,
    "colons": ": " * 400_000,
    "anchors": "a: &" + "a" * 900_000,
    "documents": "---\n" * 240_000,
    "lines": START + "name: >\n" + " x\n" * 300_000,
    "escapes": START + 'name: "' + "\\x41" * 240_000 + '"',
    "a key of a megabyte": START + '? "' + "k" * 900_000 + '"\n: 1',
    "10,000 unknown keys": START + "".join(f"learning_rate_{n}: 1\n" for n in range(9_900)),
    "10,000 keys twice": START + "seed: 1\n" * 9_900,
    "10,000 wrong widths": START.replace("[4]", str([-1] * 19_000)),
    "a long text for a width": START.replace("[4]", "[" + "x" * 900_000 + "]"),
    "a whole number of 5,000 digits": START + "seed: 1" + "0" * 5_000,
    "a whole number of 399 digits": START.replace("0.1", "9" * 399),
    "a hexadecimal number": START + "seed: 0x" + "f" * 390,
    "a float beyond all": START.replace("0.1", "1e" + "9" * 300),
    "a grid of a billion": BASE % "{log_grid: [1e-9, 1, 1000000000]}",
    "a grid of 10,000": BASE % str([0.1] * 10_000),
    "a billion seeds": BASE % "0.1" + "scoring: {seeds: 1000000000}",
    "19,000 seeds": BASE % "0.1" + f"scoring: {{seeds: {list(range(19_000))}}}",
    "binary": bytes(range(256)) * 100,
    "NULs": START.encode() + bytes(1_000),
    "UTF-16": START.encode("utf-16"),
    "UTF-32": START.encode("utf-32"),
    "half a surrogate pair": START.encode() + b"name: \xed\xa0\x80",
    "gzip": b"\x1f\x8b\x08" + bytes(100),
    "a NUL in a path": b'base: "a\\0b"\noptimizers: [sgd, adam]\n',
    "a path of 5,000 letters": b"base: " + b"x" * 5_000 + b"\noptimizers: [sgd, adam]\n",
    "a device for a base": b"base: /dev/zero\noptimizers: [sgd, adam]\n",
}
BOMBS = {name: text if isinstance(text, bytes) else text.encode() for name, text in TEXTS.items()}
SAYS = {
    "billion laughs": "anchors and aliases",
    "os.system": "tags such as",
    "ten megabytes": "is larger than 1,000,000 bytes",
    "ten megabytes of values": "is larger than 1,000,000 bytes",
    "100,000 brackets": "deeper than 20 levels",
    "100,000 closed brackets": "top level must be a mapping",
    "documents": "more than 20,000 values",
    "a key of a megabyte": "longer than 200 characters",
    "10,000 keys twice": "and 9,799 more",
    "binary": "not UTF-8 text: byte 128 is 0x80",
    "NULs": "not valid YAML",
    "UTF-16": "not UTF-8 text: it looks like UTF-16",
    "gzip": "not UTF-8 text: byte 1 is 0x8b",
}


@pytest.mark.parametrize("name", BOMBS)
def test_files_that_mean_harm(name: str, tmp_path: Path, attacks: Attacks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bomb.yaml"
    path.write_bytes(BOMBS[name])
    for _ in attacks("YAML: files that mean harm", 1, 1):
        for command in ("check", "compare-optimizers"):
            message = refused(command, path, seconds=30)
            assert "bomb.yaml" in message
        assert SAYS.get(name, "") in refused("check", path)
        with pytest.raises(SpecError):
            load_comparison(path)
    assert not (tmp_path / "executed").exists()


def test_the_longest_key() -> None:
    for length, says in ((200, "unknown key"), (201, "longer than 200 characters")):
        with pytest.raises(SpecError, match=says):
            load_text(START + "k" * length + ": 1\n")


ONE_BY_ONE = """
import json, os, sys, time
from pathlib import Path
from mlptrain.errors import SpecError
from mlptrain.spec import load_spec
from mlptrain.spec.comparison.load import load_comparison
load_spec(Path(sys.argv[1]))  # what every process needs once
found = {}
for path in sorted(Path(sys.argv[2]).iterdir()):
    for read in (load_spec, load_comparison):
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            try:
                read(path)
            except SpecError as error:
                str(error)
                os._exit(0)
            os._exit(1)
        _, status, usage = os.wait4(child, 0)
        found[f"{path.name} {read.__name__}"] = status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss
print(json.dumps(found))
"""


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="measures children as Unix counts them")
def test_under_a_second_and_half_a_gigabyte(tmp_path: Path) -> None:
    folder = tmp_path / "bombs"
    folder.mkdir()
    for name, content in BOMBS.items():
        (folder / f"{name}.yaml").write_bytes(content)
    for kind in NO_FILES:
        put(folder / f"{kind}.yaml", kind)
    command = [sys.executable, "-c", ONE_BY_ONE, str(CONFIGS[0]), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    for name, (status, seconds, kilobytes) in json.loads(done.stdout).items():
        assert status == 0, name
        assert seconds < 1, name
        assert kilobytes < 500_000, name


@pytest.mark.parametrize("kind", NO_FILES)
def test_no_file_in_the_place_of_one(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "c.yaml"
    put(path, kind)
    with ends_within(20), pytest.raises(SpecError, match=r"c\.yaml"):
        load_spec(path)
    with ends_within(20), pytest.raises(SpecError, match=r"c\.yaml"):
        load_comparison(path)
    (tmp_path / "comparison.yaml").write_text("base: c.yaml\noptimizers: [sgd, adam]\n")
    assert "c.yaml" in refused("compare-optimizers", tmp_path / "comparison.yaml", "--plan")
    for command in ("check", "train", "gradcheck"):
        assert "c.yaml" in refused(command, path)
