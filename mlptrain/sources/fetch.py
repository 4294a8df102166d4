"""Getting MNIST and Fashion-MNIST: time-outs, retries, every mirror, and no half-written file.

Mirrors, file names and MD5 sums are those of torchvision's classes; its own download has no time-out and no retry.
"""

from __future__ import annotations

import contextlib
import hashlib
import http
import http.client
import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from mlptrain.errors import DataError, MachineError
from mlptrain.sources.store import (
    FOLDER_VARIABLE,
    OFFLINE_ALTERNATIVE,
    RAW_FILES,
    archive_of,
    data_folder,
    download_of,
    packed_hint,
    raw_folder,
    read_published,
    read_raw,
    stored_files,
    unpack,
)
from mlptrain.system.atomic import remove_temporary, write_atomically
from mlptrain.system.disk import remedy
from mlptrain.system.lock import shared_lock
from mlptrain.system.paths import AnyPath

Progress = Callable[[str, int, int | None], None]
OnMoved = Callable[[Path, Path], None]

_BLOCK = 1 << 16
_MIN_RATE = 1024  # bytes per second; a trickle of bytes would never hit the socket's time-out
_MAX_BYTES = 1 << 26  # bytes; the largest archive has 26 MB, and a wrong answer must not fill the memory
_PAUSE = 0.5  # seconds between rounds over the mirrors


def fetch(
    name: str,
    folder: AnyPath,
    *,
    mirrors: Sequence[str] | None = None,
    timeout: float = 10.0,
    attempts: int = 2,
    on_progress: Progress | None = None,
    on_moved: OnMoved = lambda *_: None,
) -> list[str]:
    """Make the four files of ``name`` complete below the data folder; returns the archives that were downloaded.

    Good archives or unpacked files, also under other usual names and in other usual places, are kept and cost no
    network. Anything else in the place of a published file may be somebody's own: once the good file is on the disk, it
    is renamed into a new folder ``moved-aside-…`` beside it, and ``on_moved`` is called with both paths.

    ``mirrors`` are addresses of folders (default: torchvision's), each asked up to ``attempts`` times; ``timeout`` is
    in seconds and also ends a connection that stalls. ``on_progress`` is called with archive name, bytes so far and
    total bytes (None where the mirror does not say). Several processes may fetch at once: each writes files of its own
    and renames them. What a killed one left half-written is removed by the next one that is alone.

    Raises DataError for a name that is not downloaded, MachineError where no mirror has a good file or the folder
    cannot be written.
    """
    folder = data_folder(folder)
    images, raw = download_of(name), raw_folder(name, folder)
    import torchvision

    published = getattr(torchvision.datasets, str(images.folder))
    checksums, order = dict(published.resources), list(published.mirrors if mirrors is None else mirrors)
    downloaded = []
    try:
        raw.mkdir(parents=True, exist_ok=True)
        aside = _Aside(raw, on_moved)
        with shared_lock(raw, alone=partial(remove_temporary, raw)):
            for file in RAW_FILES:
                archive = archive_of(raw / file)
                if not _is_good(name, file, folder):
                    try:
                        content = _download(
                            archive.name, checksums[archive.name], order, timeout, attempts, on_progress
                        )
                    except _NoMirrorError as error:
                        raise MachineError(_unfetched(name, folder, archive, str(error))) from None
                    aside.write(archive, content)
                    downloaded.append(archive.name)
                elif not (archive.is_file() or (raw / file).is_file()):
                    continue  # it lies elsewhere, and is used there
                try:
                    read_raw(name, raw / file)
                except DataError:
                    aside.write(raw / file, unpack(name, raw / file).data)
    except OSError as error:  # of the disk; what the network raises is a _MirrorError by then
        raise MachineError(
            f"cannot write to the data folder {raw}: {error.strerror or error}. {remedy(error)}, "
            f"or name another folder with --data-dir or ${FOLDER_VARIABLE}."
        ) from error
    return downloaded


class _Aside:
    """Writes files whose place may be taken by what is not known; that is moved into a folder of its own, made once."""

    def __init__(self, raw: Path, on_moved: OnMoved) -> None:
        self._raw, self._on_moved = raw, on_moved
        self._folder: Path | None = None

    def write(self, path: Path, content: bytearray | memoryview) -> None:
        """The file whole, and what was there not lost, also where the process is killed in between. Raises OSError."""
        write_atomically(path, content, before_rename=partial(self._make_way, path, content))

    def _make_way(self, path: Path, content: bytearray | memoryview) -> None:
        if not os.path.lexists(path) or (path.is_file() and memoryview(path.read_bytes()) == content):
            return  # free, or another process has fetched it in the meantime
        if self._folder is None:
            # Made exclusively, so that no other process moves something to the same place.
            folder = self._raw / f"moved-aside-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
            folder.mkdir()
            self._folder = folder
        path.rename(self._folder / path.name)
        self._on_moved(path, self._folder / path.name)


def _is_good(name: str, file: str, folder: Path) -> bool:
    """Whether the archive, or without one the unpacked file, is there and has the published content."""
    present = stored_files(name, file, folder)
    with contextlib.suppress(DataError):
        for path in present[-1:]:
            read_published(name, file, path)
            return True
    return False


def _unfetched(name: str, folder: Path, archive: Path, tried: str) -> str:
    files = "\n".join(f"  {file}.gz" for file in RAW_FILES)
    return (
        f"{download_of(name).title} could not be fetched: no mirror has a good {archive.name}.\n{tried}\n"
        f"Try again later, or put these four files into {archive.parent}:\n{files}\n"
        f"{packed_hint(RAW_FILES, folder, name).strip()}{OFFLINE_ALTERNATIVE}"
    )


class _NoMirrorError(Exception):
    """No mirror has a good archive; what each did wrong, a line each."""


class _MirrorError(Exception):
    """What a mirror did wrong, in words; ``permanent`` where asking it again is useless."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        self.permanent = permanent
        super().__init__(reason)


def _download(
    archive: str, md5: str, mirrors: list[str], timeout: float, attempts: int, on_progress: Progress | None
) -> bytearray:
    """One archive from the first mirror that has it; raises _NoMirrorError with the reason of each.

    The mirror that worked moves to the front of ``mirrors``, so that a dead one costs its time-outs once only.
    """
    report = partial(on_progress or (lambda *_: None), archive)
    reasons: dict[str, str] = {}
    remaining = list(mirrors)
    for attempt in range(attempts):
        if attempt and remaining:
            time.sleep(_PAUSE)
        for mirror in tuple(remaining):
            address = f"{mirror.rstrip('/')}/{archive}"
            try:
                content = _content(address, md5, timeout, report)
            except _MirrorError as error:
                reasons[address] = str(error)
                if error.permanent:
                    remaining.remove(mirror)
            else:
                mirrors.insert(0, mirrors.pop(mirrors.index(mirror)))
                return content
    raise _NoMirrorError(
        "\n".join(f"  {address}: {reason}" for address, reason in reasons.items()) or "  none is known"
    )


def _content(address: str, md5: str, timeout: float, on_progress: Callable[[int, int | None], None]) -> bytearray:
    """The archive at an address, checked. Raises _MirrorError."""
    content, begin = bytearray(), time.monotonic()
    with _open(address, timeout) as response:
        total: int | None = response.length
        while block := _block(response, timeout, len(content)):
            content += block
            elapsed = time.monotonic() - begin
            if elapsed > timeout and len(content) < elapsed * _MIN_RATE:
                raise _MirrorError(f"too slow: {len(content)} bytes in {elapsed:.0f} s")
            if len(content) > _MAX_BYTES:
                raise _MirrorError(f"not the published archive: more than {_MAX_BYTES} bytes", permanent=True)
            on_progress(len(content), total)
    if total is not None and len(content) != total:
        raise _MirrorError(f"the connection ended after {len(content)} of {total} bytes")
    if (digest := hashlib.md5(content, usedforsecurity=False).hexdigest()) != md5:
        raise _MirrorError(f"not the published archive: MD5 {digest}, expected {md5}")
    return content


def _open(address: str, timeout: float) -> http.client.HTTPResponse:
    try:  # with a name of our own, since some servers refuse urllib's
        request = urllib.request.Request(address, headers={"User-Agent": "mlptrain"})
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        # Only "too many requests" and failures of the server can pass; "forbidden" and "not found" are permanent.
        permanent = error.code < 500 and error.code != http.HTTPStatus.TOO_MANY_REQUESTS
        raise _MirrorError(f"HTTP {error.code} {error.reason}", permanent=permanent) from error
    except ValueError as error:
        reason = f"is not an address that begins with http:// or https:// ({error})"
        raise _MirrorError(reason, permanent=True) from error
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorError(_reason(error, timeout)) from error
    if not isinstance(response, http.client.HTTPResponse):  # file: and ftp:, also by way of a mirror that redirects
        response.close()
        raise _MirrorError("is not answered over HTTP; an address begins with http:// or https://", permanent=True)
    return response


def _block(response: http.client.HTTPResponse, timeout: float, received: int) -> bytes:
    try:
        return response.read1(_BLOCK)  # as soon as anything arrives
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorError(f"{_reason(error, timeout)} after {received} bytes") from error


def _reason(error: Exception, timeout: float) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no data for {timeout:g} s"
    if isinstance(cause, http.client.RemoteDisconnected):
        return "the server closed the connection without an answer"
    return str(cause) or type(cause).__name__
