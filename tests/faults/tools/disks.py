"""Small, full and read-only disks for a process alone, which are gone when it ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.tools.processes import Child

_NEW_MOUNTS, _NEW_USER, _DETACH = 0x00020000, 0x10000000, 2
_READ_ONLY, _REMOUNT, _RECURSIVE, _PRIVATE = 1, 32, 1 << 14, 1 << 18
PAGE = os.sysconf("SC_PAGE_SIZE")  # what a tmpfs counts in


def own_mounts() -> None:
    """Mounts of this process's own from now on. Raises OSError where the system does not allow it."""
    user, group = os.geteuid(), os.getegid()
    try:
        _system_call("unshare", ctypes.c_int(_NEW_MOUNTS))
    except PermissionError:
        _system_call("unshare", ctypes.c_int(_NEW_MOUNTS | _NEW_USER))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _mount("none", "/", None, _RECURSIVE | _PRIVATE, "")


@contextlib.contextmanager
def disk(place: Path, *, pages: int = 1000, files: int = 1000) -> Iterator[None]:
    """An empty disk at ``place`` with room for so many pages, and so many files and folders."""
    place.mkdir(exist_ok=True)
    _mount("none", str(place), "tmpfs", 0, f"size={pages * PAGE},nr_inodes={files}")
    try:
        yield
    finally:
        _system_call("umount2", str(place).encode(), ctypes.c_int(_DETACH))


def make_room(place: Path) -> None:
    """The disk at ``place`` has room for everything."""
    _mount("none", str(place), None, _REMOUNT, f"size={1000 * PAGE},nr_inodes=1000")


def make_read_only(place: Path) -> None:
    """The disk at ``place`` from now on. Raises OSError while a file there is open for writing."""
    _mount("none", str(place), None, _REMOUNT | _READ_ONLY, "")


def make_writable(place: Path) -> None:
    _mount("none", str(place), None, _REMOUNT, "")


def skip_without_own_mounts(folder: Path) -> None:
    child = Child(own_mounts, folder=folder)
    if child.end() != 0:
        pytest.skip(f"this system grants neither root nor `unshare -rm`: {child.told.splitlines()[-1]}")


def _mount(source: str, place: str, kind: str | None, flags: int, options: str) -> None:
    _system_call(
        "mount",
        source.encode(),
        place.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode(),
    )


def _system_call(name: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
