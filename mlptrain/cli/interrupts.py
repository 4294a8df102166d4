"""Ctrl-C and SIGTERM from the first moment of the process to its last; training has a way of its own with them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType

EXIT_CODE = 130
TOLD = "interrupted; what was completed is kept, and the same command begins or goes on"
_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_IMPORT = "<frozen importlib._bootstrap>"  # the code that runs below every import
came = False


def listen() -> None:
    """Let both raise KeyboardInterrupt, so that what is half-written is removed, or end the process while it imports.

    In the C code that torch, numpy and pydantic run as they are imported an exception gets lost or becomes another one:
    of 104 signals there 5 were swallowed, or came out as an AttributeError.
    """
    global came
    came = False
    if threading.current_thread() is threading.main_thread():
        for number in _NUMBERS:
            signal.signal(number, _handle)


def ignore() -> None:
    """From here on nothing changes the exit code, as the process is at its end."""
    if threading.current_thread() is threading.main_thread():
        for number in _NUMBERS:
            signal.signal(number, signal.SIG_IGN)
    # A KeyboardInterrupt that left code in a string, as that by which dataclasses makes methods during an import, has
    # `python -m` end itself by SIGINT even where it was caught; running another string takes that back.
    exec("")


def _handle(_number: int, frame: FrameType | None) -> None:
    global came
    came = True
    if _is_importing(frame):
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        with contextlib.suppress(OSError):
            os.write(2, f"error: {TOLD}\n".encode())
        os._exit(EXIT_CODE)
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False
