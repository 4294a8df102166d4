"""Work in threads, where the system gives any."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads(ThreadPoolExecutor):
    """A pool of threads that works in the caller's own where no other can be started.

    A thread wants 8 MB of addresses for its stack, which a limit of the memory or of the number of threads may refuse.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As of every executor; the work is done when this returns where there is no thread for it."""
        done = Future[T]()
        free = threading.Lock()

        def once() -> None:  # a pool that cannot start a thread has queued the work by then, for any thread it has
            if not free.acquire(blocking=False) or not done.set_running_or_notify_cancel():
                return
            try:
                done.set_result(fn(*args, **kwargs))
            except BaseException as error:  # whoever asks for the result raises it
                done.set_exception(error)

        try:
            super().submit(once)
        except RuntimeError:
            once()
        return done
