"""Configurations that cannot be read, or whose names would break a message in two: one line for every fault."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import pytest
from PIL import Image

from mlptrain.errors import CheckpointError, Fault, SpecError, UserError
from mlptrain.spec import load_spec
from mlptrain.spec.reader import read_file
from mlptrain.system.files import open_regular, read_regular
from tests.command import Call

TEXT = "name: größe\ndata: digits\nmodel: {hidden: [4]}\noptimizer: {name: sgd, lr: 0.1}\n"


def no_end() -> Path:
    """A file that calls itself regular and has nothing to give: the kernel's messages, which only root may read."""
    path = Path("/proc/kmsg")
    try:
        with path.open("rb", buffering=0) as stream:
            os.set_blocking(stream.fileno(), False)
            while stream.read(100_000):
                pass
    except OSError as error:
        pytest.skip(f"no file without an end can be read here: {error}")
    return path


def test_a_file_without_an_end_is_no_file() -> None:
    path = no_end()
    with pytest.raises(BlockingIOError):
        open_regular(path)
    with pytest.raises(SpecError, match="kmsg  cannot be read: "):
        load_spec(path)


def test_no_command_breaks_on_a_file_without_an_end() -> None:
    from mlptrain.experiment.checkpoints import load_checkpoint
    from mlptrain.inference.image_files import read_image

    path = no_end()
    with pytest.raises(UserError, match="kmsg cannot be read: "):
        read_image(path)
    with pytest.raises(CheckpointError, match="kmsg cannot be read: "):
        load_checkpoint(path)


def test_a_nul_in_a_name() -> None:
    with pytest.raises(SpecError, match="cannot be read: a NUL stands in the file's name"):
        read_file(Path("a\0b.yaml"))


@pytest.mark.parametrize("size", [0, 1, 8_191, 8_193, 3_000_000])
def test_a_file_with_an_end_is_read_to_it(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert read_regular(tmp_path / "file", most=size) == content
    with open_regular(tmp_path / "file") as stream:
        assert stream.read(5) + stream.read() == content
        assert stream.seek(0) == 0
        assert b"".join(stream) == content
    with pytest.raises(OSError, match="is larger than"):
        read_regular(tmp_path / "file", most=size - 1)


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_utf16_is_named(tmp_path: Path, mark: bytes) -> None:
    """As some editors and shells write it."""
    path = tmp_path / "c.yaml"
    path.write_bytes(mark + TEXT.encode("utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-16-be"))
    with pytest.raises(SpecError) as told:
        read_file(path)
    assert str(told.value) == f"{path}  is not UTF-8 text: it looks like UTF-16; save it as UTF-8"


def test_a_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.png"
    Image.new("L", (2, 2)).save(path)
    with pytest.raises(SpecError) as told:
        read_file(path)
    assert str(told.value).startswith(f"{path}  is a picture (PNG), no configuration; ")


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_refused(tmp_path: Path, coding: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes("seed: 1\n".encode(coding))
    with pytest.raises(SpecError, match=r"c\.yaml:1:[12]  is not valid YAML: the character U\+0000 is not allowed"):
        read_file(path)


@pytest.mark.parametrize(
    "content", [b"\0", b"\0\0", b"\0\0\0a", b"\xef\xbb\xbf\xff", b"a\xff\xfe", b"", bytes(range(256))]
)
def test_what_is_no_utf16_is_not_called_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(SpecError) as told:
        read_file(tmp_path / "c.yaml")
    assert "UTF-16" not in str(told.value)


def test_line_feeds_in_names_make_no_second_line(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.yaml"
    path.write_text('"e\\nf": 2\nname: "g\\nh"\ndata: {name: digits, "i\\nj": 1}\noptimizer: {name: "k\\nl"}\n')
    with pytest.raises(SpecError) as told:
        load_spec(path)
    lines = str(told.value).split("\n")
    assert len(lines) == len(told.value.faults) >= 4
    assert all(line.startswith(str(tmp_path / r"a\nb.yaml")) for line in lines)
    for text in (r"e\nf: unknown key", r"g\nh", r"data.i\nj: unknown key", r"k\nl"):
        assert text in str(told.value)
    assert str(Fault("a", 1, 2, "b\nc", "d\ne")) == r"a:1:2  b\nc: d\ne"


@pytest.mark.parametrize("name", ["log.csv", "log.TSV", "log.csv.gz", "rows.parquet", "d.arff", "x.jsonl"])
@pytest.mark.parametrize("command", ["check", "train"])
def test_a_table_in_place_of_a_configuration(
    call: Call, name: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(b"a,b\n1,2\n\xff")
    refused = call(command, name)
    assert refused.code == 2
    assert refused.message == (
        f"{name}  is a file of data, expected a configuration; `mlptrain data show {name}` shows what it holds, and "
        "how a configuration for it begins"
    )
    assert "no such file" in call(command, f"other-{name}").message


def test_arrays_in_place_of_a_configuration(call: Call, tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(b"PK")
    assert call("check", str(tmp_path / "d.npz")).message.endswith("begins with: data: {name: arrays, path: d.npz}")
