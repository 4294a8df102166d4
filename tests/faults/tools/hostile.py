"""Calling the program on files that mean harm: it must end, soon, with one message and no traceback."""

from __future__ import annotations

import contextlib
import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from mlptrain.cli import main

SMALL = (  # a run of two epochs on the digits, to be damaged
    "name: small\ndata: digits\nmodel: {hidden: [6], activation: prelu}\noptimizer: {name: adam, lr: 0.01}\n"
    "training: {epochs: 2, batch_size: 500, record_steps: true, device: cpu, threads: 1, ema: 0.5}\n"
)


class Hung(BaseException):
    """Not an Exception, so that nothing on the way takes it for a damaged file."""


@contextlib.contextmanager
def ends_within(seconds: int) -> Iterator[None]:
    """What blocks for ever, as opening a pipe does, fails the test. Time in which the process is stopped is none."""
    left = seconds

    def tick(_number: int, _frame: FrameType | None) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise Hung(f"nothing came back within {seconds} s")

    before = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 1, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def call(*arguments: object, seconds: int = 60) -> tuple[int, str, str]:
    """Runs the program; exit code, output and errors. No traceback, and no error that it did not expect."""
    out, err = io.StringIO(), io.StringIO()
    code: int | str | None = 0
    with ends_within(seconds), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int) or code is None
    assert "Traceback" not in err.getvalue()
    assert "internal error" not in err.getvalue(), err.getvalue()
    return code or 0, out.getvalue(), err.getvalue()


def refused(*arguments: object, seconds: int = 60) -> str:
    """The one message with which the program refuses what the arguments name."""
    code, _, err = call(*arguments, seconds=seconds)
    assert code in (1, 2), (code, err, arguments)
    assert err.strip(), arguments
    assert len(err) < 100_000
    return err


def put(path: Path, kind: str) -> None:
    """Something that is no file in the place of one."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device without end":
        path.symlink_to("/dev/zero")
    elif kind == "a link to itself":
        path.symlink_to(path.name)
    elif kind == "a terabyte of nothing":
        with path.open("wb") as stream:
            stream.truncate(10**12)
    else:
        assert kind == "nothing"
        path.touch()


NO_FILES = ("a folder", "a pipe", "a device without end", "a link to itself", "a terabyte of nothing", "nothing")
