"""A server from its socket to its end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mlptrain.errors import MachineError, RunFolderError, UserError
from mlptrain.inference.evaluate import unfinished
from mlptrain.inference.module import load
from mlptrain.system import signals

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
_SECONDS_TO_END = 1  # that requests have to be answered
SECONDS_TO_ASK = 30.0  # from a connection, or a request's first byte, to the end of its headers


def serve(
    run: Path, *, host: str, port: int, on_ready: Callable[[str, bool], None], on_note: Callable[[str], None]
) -> None:
    """Answer requests until a signal comes, which raises KeyboardInterrupt then.

    ``on_ready`` is told the address, and whether only this machine reaches it, ``on_note`` what fails. Raises UserError
    for an extra that is not installed, a diverged run and an address that cannot be had, and as ``load``.
    """
    try:
        import python_multipart  # noqa: F401 - which Starlette looks for at the first form
        import uvicorn  # noqa: F401

        from mlptrain.serving.answers import Answers
        from mlptrain.serving.app import Server, application
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "python_multipart"):
            raise
        raise UserError(f'{error.name} is not installed; install it with `pip install "mlptrain[serve]"`') from None
    state = unfinished(run)
    if state is not None and state.endswith("diverged"):
        raise RunFolderError(f"{state}, so that its network is of no use; `mlptrain report {run}` shows why")
    notes = () if state is None else (f"{state}; the weights it has kept so far are served",)
    with listening_at(host, port) as listening:
        address: tuple[str, int] = listening.getsockname()[:2]
        only_here = ipaddress.ip_address(address[0].partition("%")[0]).is_loopback
        bracketed = f"[{address[0]}]" if ":" in address[0] else address[0]
        network = load(run)
        torch.set_num_threads(1)  # the products of a row are too small for more
        server = Server(Answers.of(network), run=run.resolve().name, notes=notes, on_error=on_note)
        for note in server.notes:
            on_note(f"note: {note}")
        app = application(server, hosts={*_LOOPBACK, bracketed, host.lower()} if only_here else ())
        on_ready(f"http://{bracketed}:{address[1]}", only_here)
        http_server(app).run(sockets=[listening])
    raise KeyboardInterrupt  # nothing else ends it


def http_server(app: ASGIApp) -> uvicorn.Server:
    """The HTTP server of an application, without a log of its own: it is told what fails."""
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        """Is closed where a request does not come; uvicorn waits without end once a byte of it has come."""

        late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.late = self.loop.call_later(SECONDS_TO_ASK, transport.close)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            answering = self.cycle is not None and not self.cycle.response_complete
            if self.late is not None and answering:
                self.late.cancel()
                self.late = None
            elif self.late is None and not answering:
                self.late = self.loop.call_later(SECONDS_TO_ASK, self.transport.close)

    config = uvicorn.Config(
        app, log_config=None, log_level="critical", access_log=False, lifespan="off", ws="none", http=Connection,
        loop="asyncio", server_header=False, proxy_headers=False, timeout_graceful_shutdown=_SECONDS_TO_END,
    )  # fmt: skip

    class Server(uvicorn.Server):
        """Ends by the signals that end every command; those that are ignored stay ignored, which uvicorn's do not."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            with signals.stop_on_signals() as self.stopped:
                yield

        async def on_tick(self, counter: int) -> bool:
            return self.stopped() or await super().on_tick(counter)

    return Server(config)


def listening_at(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UserError where there is none to be had."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.create_server((str(address[0]), port), family=family, backlog=1024)
        # Which asyncio does for sockets of its own: without it an answer waits 40 ms for the client's acknowledgement.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            raise UserError(f"port {port} is in use; choose another with --port, or 0 for any free one") from None
        if number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise MachineError(f"no socket can be opened: {error}") from None
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{host}, port {port}: {reason}; choose another with --host or --port") from None
