"""The application: paths, media types, limits and errors. Starlette is imported here, and by nothing outside."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlptrain.errors import UserError, is_out_of_memory
from mlptrain.runs.records import untrained
from mlptrain.serving.answers import MAX_ROWS, Answers
from mlptrain.serving.openapi import openapi
from mlptrain.spec import describe_model
from mlptrain.system.jsonfiles import from_json
from mlptrain.system.text import printable

T = TypeVar("T")

MAX_BYTES = 20_000_000  # of a body; the largest photographs of telephones have as many
_MAX_REFUSED = 200_000_000  # that are read on, since who still sends would not see the answer
SECONDS_TO_SEND, SECONDS_TO_ANSWER = 30.0, 60.0

_PAGE = Environment(
    loader=PackageLoader("mlptrain.serving"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip
_DRAWN = ("mnist", "digits")  # data whose images are drawn in strokes
_MAX_FIELDS = 200  # of a form
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Server:
    """What the paths answer."""

    def __init__(self, answers: Answers, *, run: str, notes: tuple[str, ...], on_error: Callable[[str], None]) -> None:
        self.answers, self.on_error = answers, on_error
        network = answers.network
        experiment = network.experiment
        first = answers.of_rows(answers.example())  # which also loads what the first request would wait for
        self.notes = (*notes, *filter(None, [untrained(network.epoch)]))
        health = {
            "status": "ok",
            "name": experiment.name,
            "data": experiment.data.label,
            "model": describe_model(experiment),
            "epoch": network.epoch,
            "notes": self.notes,
        }
        page = _PAGE.get_template("page.html.jinja").render(run=run, kind=self._kind(), answers=answers, **health)
        style = _file("mlptrain.report", "page.css") + _file("mlptrain.serving", "page.css")
        self.contents = {
            "/": Response(printable(page), media_type="text/html"),
            "/page.js": Response(_file("mlptrain.serving", "page.js"), media_type="text/javascript"),
            "/page.css": Response(style, media_type="text/css"),
            "/health": JSONResponse(health),
            "/openapi.json": JSONResponse(openapi(answers, first)),
        }
        self._waiting = deque[tuple[list[Any], asyncio.Future[dict[str, Any]]]]()
        self._gathering: asyncio.Task[None] | None = None
        # One thread: the memory that an image may take is taken once.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")

    def _kind(self) -> str:
        if self.answers.takes_images:
            return "draw" if self.answers.network.experiment.data.name in _DRAWN else "upload"
        fields = self.answers.columns.fields if self.answers.columns else self.answers.example()[0]
        return "form" if len(fields) <= _MAX_FIELDS else "none"

    async def content(self, request: Request) -> Response:
        """The page and its parts, the description, and which network this is: none of them changes."""
        return self.contents[request.url.path]

    async def predict(self, request: Request) -> Response:
        """Predictions for rows or an image."""
        work = await self._work(request)
        try:
            async with asyncio.timeout(SECONDS_TO_ANSWER):
                answer = await work
        except TimeoutError:
            raise HTTPException(503, f"no answer within {SECONDS_TO_ANSWER:.0f} s: too many requests") from None
        return JSONResponse(answer)

    async def _work(self, request: Request) -> Awaitable[dict[str, Any]]:
        """What is computed for a request."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        takes_images, takes_tables = self.answers.takes_images, self.answers.columns is not None
        taken = ["application/json", *["text/csv"] * takes_tables, *["image/*", "multipart/form-data"] * takes_images]
        if not (kind in taken or (takes_images and kind.startswith("image/"))):
            named = f"'{printable(kind)}'" if kind else "absent"
            raise HTTPException(415, f"Content-Type is {named}: expected {' or '.join(taken)}")
        body = await _body(request)
        if kind == "text/csv":
            return self._compute(self.answers.of_csv, body)
        if kind == "application/json":
            return self._together(_rows(body))
        image = await _uploaded(request, body) if kind == "multipart/form-data" else body
        invert, seen = (_switch(request, name) for name in ("invert", "seen"))
        return self._compute(partial(self.answers.of_image, image, invert=invert, seen=bool(seen)))

    def _together(self, rows: list[Any]) -> asyncio.Future[dict[str, Any]]:
        """What is answered to rows, with those that come while the thread is at work."""
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, answer))
        if self._gathering is None:
            self._gathering = asyncio.create_task(self._answer_waiting())
        return answer

    async def _answer_waiting(self) -> None:
        while self._waiting:
            taken, rows = list[tuple[list[Any], asyncio.Future[dict[str, Any]]]](), 0
            while self._waiting and (not taken or rows + len(self._waiting[0][0]) <= MAX_ROWS):
                taken.append(self._waiting.popleft())
                rows += len(taken[-1][0])
            try:
                found: Sequence[Any] = await self._compute(self.answers.of_several, [rows for rows, _ in taken])
            except Exception as error:
                found = [error] * len(taken)
            for (_, answer), one in zip(taken, found, strict=True):
                if answer.done():  # whoever asked has gone
                    continue
                if isinstance(one, Exception):
                    answer.set_exception(one)
                else:
                    answer.set_result(one)
        self._gathering = None

    def _compute(self, work: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def refused(self, _request: Request, error: Exception) -> Response:
        """The answer to what cannot be answered: one sentence."""
        assert isinstance(error, (HTTPException, UserError))
        if isinstance(error, HTTPException):
            return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)
        return JSONResponse({"error": printable(str(error)).replace("\n", " ")}, 422)

    async def failed(self, request: Request, error: Exception) -> Response:
        """The answer where we or the machine failed."""
        what = "out of memory" if is_out_of_memory(error) else f"internal error: {type(error).__name__}: {error}"
        self.on_error(f"{request.method} {request.url.path}: {what}")
        return JSONResponse({"error": f"{what.partition(': ')[0]}; see the server's terminal"}, 500)


def application(server: Server, *, hosts: Collection[str]) -> ASGIApp:
    """The paths of a server. ``hosts`` are the names that it may be called by, empty for any."""
    routes = [Route(path, server.content) for path in server.contents]
    routes.append(Route("/predict", server.predict, methods=["POST"]))

    async def unknown(request: Request, error: Exception) -> Response:
        paths = "there are /, /health and /openapi.json to get, and /predict to post to"
        assert isinstance(error, HTTPException)
        detail = f"{request.method} {printable(request.url.path)}: {paths}"
        return JSONResponse({"error": detail}, error.status_code, headers=error.headers)

    handlers = {404: unknown, 405: unknown, HTTPException: server.refused, UserError: server.refused}
    return Guard(Starlette(routes=routes, exception_handlers={**handlers, Exception: server.failed}), hosts)


class Guard:
    """Answers only who calls the server by its name, and sends the headers that keep a page by itself.

    Without the former a page from elsewhere, whose name is made to lead to this machine, could read the answers.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app, self._hosts = app, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As every ASGI application."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        host = Headers(scope=scope).get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if self._hosts and name.lower() not in self._hosts:
            text = f"the Host header is '{printable(host)}': this server answers to {', '.join(sorted(self._hosts))}"
            await JSONResponse({"error": text}, 403)(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)


def _file(package: str, name: str) -> bytes:
    return files(package).joinpath("templates", name).read_bytes()


async def _body(request: Request) -> bytes:
    """The body. Raises HTTPException for one that is too large or does not come."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(SECONDS_TO_SEND):
            async for part in request.stream():
                size += len(part)
                if size <= MAX_BYTES:
                    parts.append(part)
                elif size > _MAX_REFUSED:
                    break
    except ClientDisconnect:
        raise HTTPException(400, "the client has gone") from None
    except TimeoutError:
        raise HTTPException(408, f"the body did not arrive within {SECONDS_TO_SEND:.0f} s") from None
    if size > MAX_BYTES:
        raise HTTPException(413, f"the body is larger than {MAX_BYTES:,} bytes, the most that is read")
    return b"".join(parts)


def _rows(body: bytes) -> list[Any]:
    try:
        rows = from_json(body)
    except ValueError as error:
        raise HTTPException(400, f"the body is not JSON: {printable(str(error))}") from None
    if not isinstance(rows, list):
        raise HTTPException(422, "the body is not a list: expected a list of rows, each an object or a list")
    if not 0 < len(rows) <= MAX_ROWS:
        raise HTTPException(422, f"{len(rows):,} rows: expected at least one and at most {MAX_ROWS:,}")
    return rows


async def _uploaded(request: Request, body: bytes) -> bytes:
    """The one file of a form. Raises HTTPException."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async with Request(request.scope, receive).form(max_files=1, max_fields=10) as form:
        for value in form.values():
            if isinstance(value, UploadFile):
                return await value.read()
    raise HTTPException(422, "the form has no file: expected a field 'image' with one")


def _switch(request: Request, name: str) -> bool | None:
    value = request.query_params.get(name)
    if value not in (None, "true", "false"):
        raise HTTPException(422, f"{name}={printable(value)}: expected true or false")
    return None if value is None else value == "true"
