"""Initial weights from a file, read with numpy alone: what `model.init: {name: file, path: …}` and `--from` name.

That is a run folder (its kept checkpoint), a checkpoint, any safetensors file, or an .npz file as `mlptrain export` or
``numpy.savez`` writes it. It holds the parameters under their names, ``layers.0.weight`` (outputs, inputs),
``layers.0.bias`` (outputs,) and so on. What else it holds is passed over, other layers are an error. Nothing in a file
is executed: arrays of objects, which are pickles, are not read.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zipfile
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mlptrain.errors import CheckpointError, UserError
from mlptrain.spec.kinds import study_in
from mlptrain.spec.model import MAX_PARAMETERS
from mlptrain.spec.reader import read_file
from mlptrain.system.files import open_regular
from mlptrain.system.sealed import read_header, refuse_configuration

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

Shapes = Mapping[str, tuple[int, ...]]

MAX_FILE_BYTES = 5 * 4 * MAX_PARAMETERS  # a checkpoint's weights and three buffers of float32, and room
ABOUT = "about"  # the array of an .npz file that is a JSON text
_DTYPES = {"F32": "float32", "F64": "float64", "F16": "float16"}  # of safetensors, in numpy's words
_ACCEPTED = ("float32", "float64")
_OF_A_LAYER = re.compile(r"layers\.[0-9]{1,4}\.\w+")
_MAX_NAMED = 8
_MAX_DETAIL = 200  # characters of another library's message, which quotes the file


@dataclass(frozen=True)
class InitialWeights:
    """``tensors`` are float32, in the order of the network; ``file`` is the one that was read.

    ``about`` is what the file says of their training: ``spec`` (YAML), ``preprocessing`` and ``epoch``, as in a
    checkpoint's header. A file that mlptrain did not write says nothing.
    """

    tensors: dict[str, NDArray[np.float32]]
    file: Path
    about: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """SHA-256 over the bytes of all tensors, one after the other, as little-endian float32."""
        digest = hashlib.sha256()
        for tensor in self.tensors.values():
            digest.update(tensor.astype("<f4").tobytes())
        return digest.hexdigest()


def read_weights(path: Path, shapes: Shapes, *, sha256: str | None = None) -> InitialWeights:
    """The weights of a network of these ``shapes``; ``sha256`` is the expected ``InitialWeights.sha256``.

    Numbers of 64 bits are rounded to 32. Raises UserError, one message, where there is no such file, or it holds
    anything but finite numbers in these shapes.
    """
    file = path
    try:
        file = kept_file(path) if path.is_dir() else path
        with open_regular(file) as stream:
            refuse_configuration(file)
            start = stream.read(9)
            stream.seek(0)
            opened = _npz(file, stream) if start[:2] == b"PK" else _safetensors(file, stream, start)
            with opened as archive:
                found = InitialWeights(_checked(file, archive, shapes), file, archive.about)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file or run folder") from None
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror or error}") from None
    if sha256 is not None and found.sha256 != sha256:
        raise CheckpointError(f"{file} holds other weights than expected: SHA-256 {found.sha256}, expected {sha256}")
    return found


def kept_file(folder: Path) -> Path:
    """The kept checkpoint of a run folder. Raises UserError where there is none."""
    resolved = folder / "resolved.yaml"
    if not resolved.is_file():
        for word in ("seed", "fold"):
            if runs := sorted(str(one.parent) for one in folder.glob(f"{word}-*/resolved.yaml")):
                these = f"{len(runs):,} {word}{'s' * (len(runs) != 1)}"
                raise CheckpointError(f"{folder} holds the runs of {these}; name one of them, e.g. {runs[0]}")
        if (study := study_in(folder)) is not None:
            raise CheckpointError(f"{folder} {study.instead(folder, 'run')}")
        raise CheckpointError(f"{folder} is not a run folder: it has no {resolved.name}")
    evaluation = read_file(resolved)[1].value.get("evaluation")
    name = "best" if isinstance(evaluation, dict) and evaluation.get("keep") == "best" else "last"
    file = folder / "checkpoints" / f"{name}.safetensors"
    if not file.exists():
        raise CheckpointError(f"{folder} holds no {file.name} yet; train it first, or name a checkpoint file")
    return file


@dataclass(frozen=True)
class _Archive:
    """A file's tensors by name: shape and dtype without reading them, and reading one."""

    heads: Mapping[str, tuple[tuple[int, ...], str]]
    read: Callable[[str], NDArray[Any]]
    about: Mapping[str, Any]


def _checked(file: Path, archive: _Archive, shapes: Shapes) -> dict[str, NDArray[np.float32]]:
    """The tensors of these shapes. Raises CheckpointError for the first that is absent, another, or not finite."""
    import numpy as np

    heads = {name: head for name, head in archive.heads.items() if _OF_A_LAYER.fullmatch(name)}
    for name, shape in shapes.items():
        if name not in heads:
            raise CheckpointError(f"{file} has no {name}, expected {shape}; {_names(archive.heads)}")
        found, dtype = heads[name]
        if found != shape:
            layer = f"{file}: {name} (layer {int(name.split('.')[1]) + 1}) has shape {found}, expected {shape}"
            if len(shape) == 1 and math.prod(found) == math.prod(shape):
                raise CheckpointError(f"{layer}: biases have one axis, so flatten it")
            turned = "; weights are (outputs, inputs), so transpose it" if found == shape[::-1] else ""
            widths = _widths({name: head[0] for name, head in heads.items()})
            raise CheckpointError(f"{layer}: the file holds a network {widths}, expected {_widths(shapes)}{turned}")
        if dtype not in _ACCEPTED:
            raise CheckpointError(f"{file}: {name} is {dtype}, expected {' or '.join(_ACCEPTED)}")
    if more := [name for name in heads if name not in shapes]:
        found_widths, widths = _widths({name: head[0] for name, head in heads.items()}), _widths(shapes)
        differs = f"the file holds a network {found_widths}, expected {widths}"
        if found_widths == widths:
            differs = "set the norms, activations and biases of model as in the network that the file holds"
        raise CheckpointError(f"{file} has {more[0]} too, which this network has not: {differs}")
    tensors = {}
    for name in shapes:
        with np.errstate(over="ignore"):  # what is too large for float32 is refused below
            tensors[name] = np.ascontiguousarray(archive.read(name), dtype=np.float32).reshape(shapes[name])
        if bad := int((~np.isfinite(tensors[name])).sum()):
            raise CheckpointError(f"{file}: {name} holds {bad:,} numbers that are not finite in float32")
    return tensors


def _names(names: Mapping[str, object]) -> str:
    some = [name[:60] for name in list(names)[:_MAX_NAMED]] + (["…"] if len(names) > _MAX_NAMED else [])
    return f"it holds {', '.join(some)}" if some else "it is empty"


def _widths(shapes: Shapes) -> str:
    """``784-64-10``, by the weights."""
    weights = [shape for name, shape in shapes.items() if name.endswith(".weight") and len(shape) == 2]
    return "-".join(map(str, [weights[0][1], *(outputs for outputs, _ in weights)])) if weights else "without weights"


@contextmanager
def _safetensors(file: Path, stream: BinaryIO, start: bytes) -> Iterator[_Archive]:
    from safetensors import SafetensorError, safe_open

    if start[:6] == b"\x93NUMPY":
        raise CheckpointError(f"{file} is a single array; save all of them: numpy.savez('weights.npz', **arrays)")
    if start[:1] == b"\x80" and start[8:] != b"{":  # a header's length may begin with that byte too
        raise _pickle(file)
    about: dict[str, Any] = {}
    try:
        with safe_open(file, framework="np") as opened:
            if "mlptrain" in (opened.metadata() or {}):
                about = read_header(file, stream, most=MAX_FILE_BYTES)
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
            heads = {
                name: (tuple(one.get_shape()), _DTYPES.get(one.get_dtype(), one.get_dtype()))
                for name, one in slices.items()
            }
            yield _Archive(heads, opened.get_tensor, about)
    except SafetensorError as error:
        raise CheckpointError(f"{file} is neither an .npz nor a safetensors file: {str(error)[:_MAX_DETAIL]}") from None


@contextmanager
def _npz(file: Path, stream: BinaryIO) -> Iterator[_Archive]:
    import numpy as np

    try:
        with zipfile.ZipFile(stream) as archive:
            names = [entry.filename for entry in archive.infolist()]
            if any(name.endswith("data.pkl") for name in names):
                raise _pickle(file)
            members = {name.removesuffix(".npy"): name for name in names if name.endswith(".npy")}

            def read(name: str) -> NDArray[Any]:
                with archive.open(members[name]) as entry:
                    array: NDArray[Any] = np.lib.format.read_array(entry, allow_pickle=False)
                return array

            heads = {}
            for name in members:
                with archive.open(members[name]) as entry:
                    heads[name] = _npy_head(entry)
            about = json.loads(str(read(ABOUT))) if ABOUT in members else {}
            yield _Archive(heads, read, about if isinstance(about, dict) else {})
    except UserError:
        raise
    except Exception as error:  # the readers of both formats raise nearly anything for forged headers
        detail = str(error).partition("\n")[0][:_MAX_DETAIL]
        raise CheckpointError(f"{file} is not a sound .npz file: {detail or type(error).__name__}") from None


def _npy_head(entry: Any) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of an array, from its header."""
    import numpy as np

    version = np.lib.format.read_magic(entry)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(entry)
    return tuple(shape), dtype.name


def _pickle(file: Path) -> CheckpointError:
    return CheckpointError(
        f"{file} is a pickle, as torch.save writes it, which can run code and is not read; save the weights with "
        "safetensors.torch.save_file or numpy.savez"
    )
