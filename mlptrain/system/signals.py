"""Ctrl-C, SIGTERM and SIGHUP (the terminal is closed), from the first moment of the process to its last.

What the process was started to ignore, as by ``nohup`` or in the background of a script, stays ignored. The command
line calls ``listen`` first of all and ``ignore`` at its end. In between training asks after every step whether to stop
(``stop_on_signals``), and what cannot be saved halfway ends at once (``ended_by_signals``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

EXIT_CODE = 130
INTERRUPTED = "interrupted; what was saved is kept. Run the same command again"  # which resumes what can be resumed
_NUMBERS = tuple(  # Windows has no SIGHUP
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__
)
_IMPORT = "<frozen importlib._bootstrap>"  # the code that runs below every import

_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None

received = False  # whether a signal came since ``listen``
_silenced: tuple[signal.Signals, ...] = ()  # by ``ignore``, so that a later ``listen`` hears them again
_unraisable = sys.unraisablehook


def listen() -> None:
    """Let each raise KeyboardInterrupt, so that what is half-written is removed, or end the process while it imports.

    In the C code that torch, numpy and pydantic run as they are imported an exception gets lost or becomes another one:
    of 104 signals there 5 were swallowed, or came out as an AttributeError.
    """
    global received, _silenced
    received = False
    for number in _silenced:
        signal.signal(number, signal.SIG_DFL)
    _silenced = ()
    sys.unraisablehook = _sent_again
    _handle_with(_interrupt)


def end_at_once() -> None:
    """Let each end the process as the system does, without Python, which may be waiting in C."""
    _handle_with(signal.SIG_DFL)


def ignore() -> None:
    """From here on nothing changes the exit code, as the process is at its end."""
    global _silenced
    _silenced += _handle_with(signal.SIG_IGN)
    sys.unraisablehook = _unraisable
    # A KeyboardInterrupt that left code in a string, as that by which dataclasses makes methods during an import, has
    # `python -m` end itself by SIGINT even where it was caught; running another string takes that back.
    exec("")


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Within the block the first signal only makes the yielded function true; a second one ends at once.

    Outside the main thread, where Python sets no handlers, the function stays false.
    """
    stopped = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        if stopped:
            raise KeyboardInterrupt
        stopped = True

    with _restored_handlers():
        _handle_with(handle)
        yield lambda: stopped


@contextlib.contextmanager
def ended_by_signals(message: str) -> Iterator[None]:
    """The signals end the block at once, with an InterruptedRunError of this message.

    Handlers in Python, as those of the command line and of ``stop_on_signals``, stay and have more to do.
    """
    from mlptrain.errors import InterruptedRunError  # here, since `listen` comes before every other import

    try:
        with _restored_handlers() as before:
            for number, handler in before.items():
                signal.signal(number, handler if callable(handler) else signal.default_int_handler)
            yield
    except KeyboardInterrupt:
        raise InterruptedRunError(message) from None


@contextlib.contextmanager
def ended_at_once() -> Iterator[None]:
    """``end_at_once`` within the block."""
    with _restored_handlers():
        end_at_once()
        yield


@contextlib.contextmanager
def _restored_handlers() -> Iterator[dict[signal.Signals, _Handler]]:
    """The handlers at the beginning of the block, put back at its end; none outside the main thread."""
    before = {number: signal.getsignal(number) for number in _heard()}
    try:
        yield before
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handle_with(handler: _Handler) -> tuple[signal.Signals, ...]:
    """Set the handler of the signals that are heard, which are returned."""
    numbers = _heard()
    for number in numbers:
        signal.signal(number, handler)
    return numbers


def _heard() -> tuple[signal.Signals, ...]:
    """The signals that are not ignored and have no handler from outside Python; none outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return ()
    return tuple(number for number in _NUMBERS if signal.getsignal(number) not in (signal.SIG_IGN, None))


def _interrupt(_number: int, frame: FrameType | None) -> None:
    global received
    received = True
    if _is_importing(frame):
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        with contextlib.suppress(OSError):
            os.write(2, f"error: {INTERRUPTED}\n".encode())
        os._exit(EXIT_CODE)
    raise KeyboardInterrupt


def _sent_again(lost: sys.UnraisableHookArgs) -> None:
    """A signal that arrives in the callback of a weak reference, as while pictures are drawn, raises nothing there."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        again = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()
    else:
        _unraisable(lost)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False
