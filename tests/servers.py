"""Servers of trained networks: in the test's own process, as a client sees them; and as the command."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlptrain.inference.module import load
from mlptrain.serving.answers import Answers
from mlptrain.serving.app import Server, application
from mlptrain.serving.run import http_server, listening_at


@contextmanager
def serving(run: Path, failures: list[str] | None = None) -> Iterator[str]:
    """The address of a server in a thread; what it reports goes to ``failures``."""
    told: list[str] = [] if failures is None else failures
    with listening_at("127.0.0.1", 0) as listening:
        app = application(
            Server(Answers.of(load(run)), run=run.name, notes=(), on_error=told.append), hosts=["127.0.0.1"]
        )
        server = http_server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
    if failures is None:
        assert told == []


@contextmanager
def command(run: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process of `mlptrain serve`, and the address that it prints. It is killed where it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "mlptrain", "serve", str(run), "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address or process.stderr is None, process.stderr.read()
        yield process, address
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def end(process: subprocess.Popen[str], by: signal.Signals) -> tuple[int, str]:
    """Exit code and standard error."""
    process.send_signal(by)
    _, told = process.communicate(timeout=20)
    return process.returncode, told
