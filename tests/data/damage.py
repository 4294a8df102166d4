"""Ways in which a file goes bad."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterator
from pathlib import Path


def _flip_a_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "one bit flipped": _flip_a_bit,
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "a web page": lambda content: b"<html><body>Please log in to the network</body></html>",
}


def damage(file: Path, kind: str) -> None:
    file.write_bytes(DAMAGES[kind](file.read_bytes()))


@contextlib.contextmanager
def full_disk(largest: int) -> Iterator[None]:
    """No file can grow beyond ``largest`` bytes, for any user, root included."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
