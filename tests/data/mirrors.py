"""Mirrors of MNIST on the loopback: good ones, and ones that fail in all the ways that mirrors do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mlptrain.sources.store import RAW_FILES
from tests.data.damage import DAMAGES

ARCHIVES = [f"{file}.gz" for file in RAW_FILES]
FIRST = ARCHIVES[0]


class Mirrors(ThreadingHTTPServer):
    """They are told apart by the first part of the path."""

    daemon_threads = True

    def __init__(self, archives: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.archives = archives
        self.requests: list[str] = []
        self.agents: set[str] = set()
        self.closing = threading.Event()
        self.both_here = threading.Barrier(2, timeout=60)

    def address(self, mirror: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{mirror}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up early is what some tests want."""


class Handler(BaseHTTPRequestHandler):
    server: Mirrors

    def do_GET(self) -> None:
        _, mirror, archive = self.path.split("/")
        self.server.requests.append(f"{mirror}/{archive}")
        self.server.agents.add(str(self.headers["User-Agent"]))
        content = (self.server.archives / archive).read_bytes()
        asked = self.server.requests.count(f"{mirror}/{archive}")
        if mirror in ("403", "404", "503") or (mirror == "busy-once" and asked == 1):
            self.send_error(503 if mirror == "busy-once" else int(mirror))
        elif mirror == "silent":
            self.server.closing.wait(30)
        elif mirror == "hanging-up":
            self.close_connection = True
        elif mirror == "endless":
            self.answer(b"", None)
            for _ in range(2000):
                self.wfile.write(bytes(1 << 16))
        else:
            if mirror == "meeting" and archive == FIRST:
                self.server.both_here.wait()
            self.answer(content, mirror)

    def answer(self, content: bytes, mirror: str | None) -> None:
        body = DAMAGES["one bit flipped"](content) if mirror == "damaged" else content
        body = DAMAGES["a web page"](content) if mirror == "portal" else body
        self.send_response(200)
        if mirror not in ("unsized", None):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if mirror == "truncated":
            self.wfile.write(body[: len(body) // 2])
        elif mirror == "stalled":
            self.wfile.write(body[:1000])
            self.server.closing.wait(30)
        elif mirror == "dripping":
            for index in range(0, 1000, 10):  # for five seconds at most
                self.wfile.write(body[index : index + 10])
                if self.server.closing.wait(0.05):
                    break
        else:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silence."""


@contextmanager
def serving(archives: Path) -> Iterator[Mirrors]:
    """Mirrors of the archives in a folder, for as long as the context lasts."""
    with Mirrors(archives) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


def files_below(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*") if file.is_file())
