"""Reading a file that may be anything: a pipe that never answers, a device without an end, a terabyte of nothing."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class _Answering(io.FileIO):
    """A file whose reading raises BlockingIOError where it would have to wait; io.FileIO returns None there.

    Some files of the system, such as /proc/kmsg, call themselves regular and wait for more to come.
    """

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count: int | None = super().readinto(buffer)
        return self._waiting() if count is None else count

    def readall(self) -> bytes:
        content: bytes | None = super().readall()
        return self._waiting() if content is None else content

    def _waiting(self) -> NoReturn:
        raise BlockingIOError(errno.EAGAIN, "it has no end: reading would wait for more")


def open_regular(path: Path) -> BinaryIO:
    """A regular file, opened for reading. Raises OSError for all else, pipes and devices included, without waiting."""
    try:
        # A pipe without a writer would block; the flag is without meaning for the files that are read in the end.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError:
        raise OSError(errno.EINVAL, "a NUL stands in the file's name", str(path)) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
            raise OSError(number, "Is a directory" if stat.S_ISDIR(mode) else "it is not a regular file", str(path))
        return io.BufferedReader(_Answering(descriptor))
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, *, most: int) -> bytes:
    """The bytes of a regular file. Raises OSError, also for one of more than ``most`` bytes."""
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = stream.read(most + 1) if size <= most else b""
    if max(size, len(content)) > most:
        raise OSError(errno.EFBIG, f"is larger than {most:,} bytes", str(path))
    return content
