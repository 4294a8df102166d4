"""Arrays by name in .npz, .npy, MATLAB's .mat and safetensors files, and which of them are inputs and targets.

What a file is, its first bytes say; it may be packed by gzip. Heads are read first, values when they are asked for.
Nothing in a file is executed: arrays of objects, which are pickles, are not read.
"""

from __future__ import annotations

import difflib
import gzip
import io
import math
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from mlptrain.errors import DataError, UserError
from mlptrain.sources.arrays.source import SPLITS, Parts
from mlptrain.sources.arrays.stored import Stored
from mlptrain.sources.facts import DataKeyError
from mlptrain.sources.files import files_of
from mlptrain.sources.held import ARRAYS, held, is_held
from mlptrain.sources.idx import what_is
from mlptrain.system.files import open_regular
from mlptrain.system.memory import available_memory

# What arrays are usually called, in lower-case letters and digits: inputs, targets, and both of the test rows. Those of
# validation rows are called as the test rows are, with another word.
_USUAL = (
    "xtrain ytrain xtest ytest",
    "trainx trainy testx testy",
    "trainimages trainlabels testimages testlabels",
    "traindata trainlabels testdata testlabels",
    "traindata traintargets testdata testtargets",
    "traindata trainlabel testdata testlabel",
    "traininputs traintargets testinputs testtargets",
    "trainfeatures trainlabels testfeatures testlabels",
    "x y xtest ytest",
    "x labels xtest testlabels",
    "x label xtest testlabel",
    "x targets xtest testtargets",
    "x target xtest testtarget",
    "data target testdata testtarget",
    "data labels testdata testlabels",
    "data label testdata testlabel",
    "data targets testdata testtargets",
    "images labels testimages testlabels",
    "images target testimages testtarget",
    "inputs targets testinputs testtargets",
    "features labels testfeatures testlabels",
)
_VALIDATION = ("val", "valid", "validation", "dev")
_PART = 1 << 24  # bytes that are unpacked at once
_MAX_NAMED = 12  # arrays in a message
_MAX_DETAIL = 200  # characters of another library's message, which quotes the file
_CONTROL = re.compile(rb"[^\t\n\f\r\x20-\xff]")  # what no text has, in whatever encoding of single bytes or UTF-8
_SAFETENSORS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_MATLAB = {"double": "float64", "single": "float32", "logical": "bool", "char": "str", "cell": "str"}
_MATLAB_NUMBERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))


def parts_of(paths: str | Sequence[str], names: Mapping[str, str | None]) -> Parts:
    """Inputs and targets in files; ``names`` are those of ``ARRAYS`` that the configuration gives.

    Others are guessed where the arrays have usual names. Of a single matrix in an .npy file the last column are the
    targets. Raises DataKeyError, which lists what is there, where one is not.
    """
    if is_held(paths):
        given: Mapping[str, NDArray[Any]] = held(str(paths))
        return _parts(
            {key: Stored(key, one.shape, _word_of(one.dtype), partial(np.asarray, one)) for key, one in given.items()}
        )
    files = files_of(paths)
    stored = arrays_in(files)
    chosen = {key: name for key, name in names.items() if name is not None}
    absent = []
    for key, name in chosen.items():
        if name not in stored:
            near = difflib.get_close_matches(name, stored, n=1)
            hint = f"; did you mean '{near[0]}'? " if near else "; "
            absent.append(DataKeyError(key, f"there is no array '{name}'{hint}{_holding(files, stored)}"))
    if absent:
        raise absent[0].beside(absent[1:])
    guessed = _guessed(stored, chosen)
    if "x" not in guessed and len(stored) == 1 and not chosen:
        [matrix] = stored.values()
        if len(matrix.shape) == 2 and matrix.shape[1] > 1:
            return _of_matrix(matrix)
    for key, what in (("x", "inputs"), ("y", "targets")):
        if key not in guessed:
            raise DataKeyError(key, f"must name the array of the {what}. {_holding(files, stored)}")
    detected = [f"{key} is '{name}'" for key, name in guessed.items() if key not in chosen]
    unused = [name for name in stored if name not in guessed.values()]
    notes = [f"detected by their names: {', '.join(detected)}"] if detected else []
    notes += [f"not used: {_named(unused)}"] if unused else []
    return _parts({key: stored[name] for key, name in guessed.items()}, notes)


def _parts(arrays: Mapping[str, Stored], notes: Sequence[str] = ()) -> Parts:
    """Of arrays by the names of ``ARRAYS``, which has those of a split one after the other."""
    pairs = zip(SPLITS, zip(ARRAYS[::2], ARRAYS[1::2], strict=True), strict=True)
    return Parts({split: (arrays.get(x), arrays.get(y)) for split, (x, y) in pairs}, tuple(notes))


def _guessed(stored: Mapping[str, Stored], given: Mapping[str, str]) -> dict[str, str]:
    """The name of each array that is known: given, or by the first row of usual names that fits what is given."""
    ordered = sorted(stored, key=lambda name: name.islower())  # x rather than X
    by_word = {re.sub(r"[\W_]", "", name).lower(): name for name in ordered}
    for row in _USUAL:
        found = {key: by_word[word] for key, words in _words(row).items() for word in words if word in by_word}
        agrees = all(found.get(key, name) == name for key, name in given.items())
        if {"x", "y"} <= found.keys() | given.keys() and agrees:
            found |= given
            for pair in (ARRAYS[2:4], ARRAYS[4:]):
                if len(found.keys() & pair) == 1:  # one without the other counts only where it is given
                    found = {key: name for key, name in found.items() if key not in pair or key in given}
            return {key: found[key] for key in ARRAYS if key in found}
    return dict(given)


def _words(row: str) -> dict[str, list[str]]:
    """The words for each key, of a row of ``_USUAL``."""
    words = [[word] for word in row.split()]
    words += [[word.replace("test", other) for other in _VALIDATION] for word in row.split()[2:]]
    return dict(zip(ARRAYS, words, strict=True))


def _of_matrix(matrix: Stored) -> Parts:
    n, columns = matrix.shape
    x = Stored(matrix.title, (n, columns - 1), matrix.dtype, lambda: matrix.load()[:, :-1])
    y = Stored(f"the last column of {matrix.title}", (n,), matrix.dtype, lambda: matrix.load()[:, -1])
    return Parts({"train": (x, y)}, ("a single matrix, whose last column are the targets",))


def _holding(files: Sequence[Path], stored: Mapping[str, Stored]) -> str:
    where = files[0] if len(files) == 1 else f"the {len(files)} files"
    arrays = [f"{name} {one.described}" for name, one in stored.items()]
    return f"{where} holds {_named(arrays)}" if len(files) == 1 else f"{where} hold {_named(arrays)}"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED:,} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def arrays_in(files: Sequence[Path]) -> dict[str, Stored]:
    """The arrays of all files by name; where several have one of a name, the file's comes before it, as ``test.x``."""
    of_files = [(file, _arrays_of(file)) for file in files]
    names = [name for _, arrays in of_files for name in arrays]
    found: dict[str, Stored] = {}
    for file, arrays in of_files:
        for name, array in arrays.items():
            unique = name if names.count(name) == 1 else f"{_stem(file)}.{name}"
            if unique in found:
                raise DataKeyError("path", f"{file} is named twice, or holds a second '{unique}'; rename one of them")
            found[unique] = array
    return found


def _stem(file: Path) -> str:
    return file.name.removesuffix(".gz").rpartition(".")[0] or file.name


def _arrays_of(file: Path) -> dict[str, Stored]:
    """The heads of a file's arrays. Raises DataKeyError, one message, for what is not such a file."""
    with _reading(file) as stream:
        start = stream.read(128)
        stream.seek(0)
        read = _reader_of(file, start)
        heads = read.heads(file, stream)
    if not heads:
        raise DataKeyError("path", f"{file} holds no arrays")
    titles = {name: file.name if name == _stem(file) else f"{file.name}: {name}" for name in heads}
    return {
        name: Stored(titles[name], shape, dtype, partial(_load, file, name, (shape, dtype), read.values))
        for name, (shape, dtype) in heads.items()
    }


Heads = dict[str, tuple[tuple[int, ...], str]]


class _Format(NamedTuple):
    """One kind of file: its arrays' shapes and types, and reading one of them."""

    heads: Callable[[Path, BinaryIO], Heads]
    values: Callable[[Path, BinaryIO, str], NDArray[Any]]


def _reader_of(file: Path, start: bytes) -> _Format:
    if start[:4] == b"PK\x03\x04":
        return _NPZ
    if start[:6] == b"\x93NUMPY":
        return _NPY
    if start[:10] == b"MATLAB 5.0" or (file.name.removesuffix(".gz").endswith(".mat") and start[:6] != b"MATLAB"):
        return _MAT
    if start[:10] == b"MATLAB 7.3":
        raise DataKeyError("path", f"{file} is a MATLAB 7.3 file, which is HDF5; save it with the option -v7")
    if start[8:9] == b"{":
        return _SAFE
    if start[:4] == b"\x89HDF":
        raise DataKeyError("path", f"{file} is an HDF5 file; save its arrays with numpy.savez")
    if start and not _CONTROL.search(start) and not start.lstrip().startswith(b"<"):
        raise DataKeyError("path", f"{file} is a text; if it is a table, `data: {{name: table}}` reads it")
    raise DataKeyError(
        "path", f"{file} is {what_is(np.frombuffer(start, np.uint8))}: expected an .npz, .npy, .mat or safetensors file"
    )


@contextmanager
def _reading(file: Path) -> Iterator[BinaryIO]:
    """The file, unpacked in memory where it is a gzip archive; whatever its reader raises is one message."""
    try:
        with open_regular(file) as stream:
            if stream.read(2) == b"\x1f\x8b":
                stream.seek(0)
                with gzip.GzipFile(fileobj=stream) as unpacked:
                    yield _unpacked(file, cast(BinaryIO, unpacked))
            else:
                stream.seek(0)
                yield stream
    except (UserError, MemoryError):
        raise
    except (OSError, zlib.error, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataKeyError("path", f"{file} cannot be read: {reason[:_MAX_DETAIL]}") from None
    except Exception as error:  # the readers of these formats raise nearly anything for damaged files
        detail = str(error).partition("\n")[0][:_MAX_DETAIL]
        raise DataKeyError("path", f"{file} is damaged: {detail or type(error).__name__}") from None


def _unpacked(file: Path, stream: BinaryIO) -> BinaryIO:
    """All of an archive in memory. Raises DataKeyError where that, and an array of it, exceed what is free."""
    free, content = available_memory(), io.BytesIO()
    while part := stream.read(_PART):
        content.write(part)
        if free is not None and 2 * content.tell() > free:
            raise DataKeyError(
                "path",
                f"{file} unpacks to more than {content.tell() / 1e9:,.1f} GB, which with its arrays is more memory "
                f"than the {free / 1e9:,.1f} GB that are free. Unpack it, take a part of its rows, or use a machine "
                "with more memory",
            )
    content.seek(0)
    return content


def _load(
    file: Path, name: str, head: tuple[tuple[int, ...], str], values: Callable[[Path, BinaryIO, str], NDArray[Any]]
) -> NDArray[Any]:
    """The values of an array. Raises DataKeyError where its head promises more than the free memory holds."""
    shape, dtype = head
    bits = re.fullmatch(r"(?:float|u?int)(\d+)", dtype)
    size = int(bits[1]) // 8 if bits else 1
    needed, free = math.prod(shape) * size, available_memory()
    if free is not None and needed > free:
        raise DataKeyError(
            "path",
            f"{file}: {name} {shape} {dtype} takes {needed / 1e9:,.1f} GB of memory, but {free / 1e9:,.1f} GB are "
            "free. Take a part of its rows, or use a machine with more memory",
        )
    with _reading(file) as stream:
        return values(file, stream, name)


def npy_head(entry: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array, from its header in the format .npy."""
    version = np.lib.format.read_magic(entry)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(entry)
    return tuple(shape), dtype


def _checked_head(entry: Any, size: int) -> tuple[tuple[int, ...], str]:
    """Shape and type of an array in ``size`` bytes. Raises ValueError where these are not what the header promises."""
    shape, dtype = npy_head(entry)
    promised = entry.tell() + math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and promised != size:
        raise ValueError(f"{size:,} bytes, but the header promises {promised:,}")
    return shape, _word_of(dtype)


def _word_of(dtype: np.dtype[Any]) -> str:
    return dtype.name if dtype.kind in "biuf" else "object" if dtype.hasobject else dtype.str


def _npz_heads(file: Path, stream: BinaryIO) -> Heads:
    with zipfile.ZipFile(stream) as archive:
        names = [entry.filename for entry in archive.infolist()]
        if any(name.endswith("data.pkl") for name in names):
            raise DataKeyError(
                "path", f"{file} is a pickle of torch, which can run code and is not read; save it with numpy.savez"
            )
        heads = {}
        for name in (name for name in names if name.endswith(".npy")):
            with archive.open(name) as entry:
                heads[name.removesuffix(".npy")] = _checked_head(entry, archive.getinfo(name).file_size)
    if not heads and names:
        raise DataKeyError("path", f"{file} is a ZIP archive without arrays, which holds {_named(names)}; unpack it")
    return heads


def _npz_values(_: Path, stream: BinaryIO, name: str) -> NDArray[Any]:
    with zipfile.ZipFile(stream) as archive, archive.open(f"{name}.npy") as entry:
        values: NDArray[Any] = np.lib.format.read_array(entry, allow_pickle=False)
    return values


def _npy_heads(file: Path, stream: BinaryIO) -> Heads:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return {_stem(file): _checked_head(stream, size)}


def _npy_values(_: Path, stream: BinaryIO, name: str) -> NDArray[Any]:  # noqa: ARG001 – there is but one
    values: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return values


def _mat_heads(_: Path, stream: BinaryIO) -> Heads:
    from scipy.io import whosmat

    return {
        name: (tuple(shape), kind if kind in _MATLAB_NUMBERS else _MATLAB.get(kind, kind))
        for name, shape, kind in whosmat(stream)
    }


def _mat_values(file: Path, stream: BinaryIO, name: str) -> NDArray[Any]:
    from scipy.io import loadmat

    values = loadmat(stream, variable_names=[name])[name]
    if not isinstance(values, np.ndarray):
        raise DataError(f"{file.name}: {name} is a sparse matrix; save it with full({name})")
    if values.dtype.kind == "O":  # a cell, which is read where every one holds a text
        texts = [one.item() if isinstance(one, np.ndarray) and one.size == 1 else one for one in values.reshape(-1)]
        if not all(isinstance(text, str) for text in texts):
            raise DataError(f"{file.name}: {name} is a cell array: expected numbers or texts")
        return np.array(texts).reshape(values.shape)
    if values.dtype.kind == "U":
        return np.char.rstrip(values)  # rows of a matrix of characters have one length
    return values


def _safe_heads(file: Path, _: BinaryIO) -> Heads:
    from safetensors import safe_open

    with safe_open(file, framework="np") as opened:
        slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
        return {
            name: (tuple(one.get_shape()), _SAFETENSORS.get(one.get_dtype(), one.get_dtype()))
            for name, one in slices.items()
        }


def _safe_values(file: Path, _: BinaryIO, name: str) -> NDArray[Any]:
    from safetensors import safe_open

    with safe_open(file, framework="np") as opened:
        values: NDArray[Any] = opened.get_tensor(name)
    return values


_NPZ, _NPY = _Format(_npz_heads, _npz_values), _Format(_npy_heads, _npy_values)
_MAT, _SAFE = _Format(_mat_heads, _mat_values), _Format(_safe_heads, _safe_values)
