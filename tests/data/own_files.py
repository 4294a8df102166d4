"""Data of one's own in every form that is read, written from the same arrays."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Values = NDArray[Any]
NAMES = ("x_train", "y_train", "x_test", "y_test")
_CODES = {"uint8": (8, "u1"), "int8": (9, "i1"), "int16": (11, ">i2"), "int32": (12, ">i4"), "float32": (13, ">f4")}
IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def named(arrays: Sequence[Values]) -> dict[str, Values]:
    return dict(zip(NAMES, map(np.ascontiguousarray, arrays), strict=False))


def write_npz(folder: Path, arrays: Sequence[Values]) -> dict[str, Any]:
    np.savez(folder / "d.npz", allow_pickle=True, **named(arrays))
    return {"name": "arrays", "path": "d.npz"}


def write_compressed(folder: Path, arrays: Sequence[Values]) -> dict[str, Any]:
    np.savez_compressed(folder / "c.npz", allow_pickle=True, **named(arrays))
    return {"name": "arrays", "path": "c.npz"}


def write_npy(folder: Path, arrays: Sequence[Values]) -> dict[str, Any]:
    for name, values in named(arrays).items():
        np.save(folder / f"{name}.npy", values)
    return {"name": "arrays", "path": "*.npy"}


def write_packed_npy(folder: Path, arrays: Sequence[Values]) -> dict[str, Any]:
    files: list[str] = []
    for name, values in named(arrays).items():
        files.append(f"p_{name}.npy.gz")
        with gzip.open(folder / files[-1], "wb") as stream:
            np.save(stream, values)
    keys = dict(zip(("x", "y", "x_test", "y_test"), (f"p_{name}" for name in NAMES), strict=True))
    return {"name": "arrays", "path": files, **keys}


def write_mat(folder: Path, arrays: Sequence[Values]) -> dict[str, Any]:
    """As MATLAB does: labels are doubles, and vectors are rows."""
    from scipy.io import savemat

    values = named(arrays)
    savemat(folder / "d.mat", values | {name: values[name].astype(float) for name in ("y_train", "y_test")})
    return {"name": "arrays", "path": "d.mat"}


def write_safetensors(folder: Path, arrays: Sequence[Values]) -> dict[str, Any]:
    from safetensors.numpy import save_file

    save_file(named(arrays), folder / "d.safetensors")
    return {"name": "arrays", "path": "d.safetensors"}


def idx_bytes(values: Values) -> bytes:
    code, dtype = _CODES[values.dtype.name]
    return (
        bytes([0, 0, code, values.ndim])
        + struct.pack(f">{values.ndim}I", *values.shape)
        + values.astype(dtype).tobytes()
    )


def write_idx(
    folder: Path, arrays: Sequence[Values], *, names: Sequence[str] = IDX_NAMES, packed: bool = True
) -> dict[str, Any]:
    """Images packed, labels plain."""
    (folder / "idx").mkdir(exist_ok=True)
    for name, values in zip(names, arrays, strict=False):
        if packed and values.ndim > 1:
            (folder / "idx" / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(values)))
        else:
            (folder / "idx" / name).write_bytes(idx_bytes(values))
    return {"name": "idx", "path": "idx"}


def write_images(folder: Path, arrays: Sequence[Values]) -> dict[str, Any]:
    """train/ and test/ with a subfolder for each class."""
    for split, (x, y) in {"train": arrays[:2], "test": arrays[2:]}.items():
        for number, (image, label) in enumerate(zip(x, y, strict=True)):
            place = folder / "images" / split / str(label)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{number}.png")
    return {"name": "images", "path": "images"}


def write_table(folder: Path, arrays: Sequence[Values]) -> dict[str, Any]:
    """A table of file names and labels, in the order of the rows; without test rows."""
    (folder / "pixels").mkdir()
    lines = ["file,label"]
    for number, (image, label) in enumerate(zip(*arrays[:2], strict=True)):
        Image.fromarray(image).save(folder / "pixels" / f"{number}.png")
        lines.append(f"pixels/{number}.png,{label}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return {"name": "images", "path": "labels.csv"}
