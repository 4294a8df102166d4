"""How long requests to `mlptrain serve` wait for their answers, many at once: a table in Markdown.

    python tests/benchmarks/serving.py RUN... [--requests 2000] [--at-once 16]

Each run is served by a process of its own. The same request is sent over and over by as many connections that stay
open: one row of JSON, and of networks that read digits also a drawing of 168 × 168 pixels as PNG. The client takes its
share of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

import numpy as np
from PIL import Image, ImageDraw


@contextmanager
def serving(run: str) -> Iterator[str]:
    """The address of a server of the run."""
    command = [sys.executable, "-m", "mlptrain", "serve", run, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        if not (address := process.stdout.readline().strip()):
            raise SystemExit(f"{run} cannot be served: `mlptrain serve {run}` says why")
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def bodies(description: dict[str, object]) -> Iterator[tuple[str, str, bytes]]:
    """What there is to send: its name, media type and bytes."""
    taken = description["paths"]["/predict"]["post"]["requestBody"]["content"]  # type: ignore[index]
    row = taken["application/json"].get("example")
    if row is None:
        items = description["components"]["schemas"]["Rows"]["items"]  # type: ignore[index]
        row = [[255 * (place % 7 == 0) for place in range(items.get("oneOf", [items])[0]["minItems"])]]
    yield f"a row of {len(row[0])} values", "application/json", json.dumps(row).encode()
    if "image/*" in taken:
        drawing = Image.new("L", (168, 168))
        ImageDraw.Draw(drawing).line([(50, 40), (120, 40), (78, 130)], fill=255, width=12, joint="curve")
        stream = io.BytesIO()
        drawing.save(stream, format="PNG")
        yield "a drawing", "image/png", stream.getvalue()


async def measure(address: str, kind: str, body: bytes, *, requests: int, at_once: int) -> tuple[list[float], float]:
    """Seconds of each request, and of all. Ends the process at the first answer that is not one."""
    to = urlsplit(address)
    head = f"POST /predict HTTP/1.1\r\nHost: {to.netloc}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    left = iter(range(requests))
    seconds: list[float] = []

    async def send() -> None:
        reader, writer = await asyncio.open_connection(to.hostname, to.port)
        for _ in left:
            started = time.perf_counter()
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            content = await reader.readexactly(int(length.split(b":")[1]))
            seconds.append(time.perf_counter() - started)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(content.decode())
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(at_once)))
    return seconds, time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=16)
    wishes = parser.parse_args()
    print("| network | request | a second | median, ms | 99 %, ms | slowest, ms |\n|---|---|---|---|---|---|")
    for run in wishes.runs:
        with serving(run) as address:
            # The machine's own settings may send requests to a proxy.
            with build_opener(ProxyHandler({})).open(f"{address}/openapi.json") as answer:
                description = json.load(answer)
            for name, kind, body in bodies(description):
                asyncio.run(measure(address, kind, body, requests=50, at_once=2))
                found, total = asyncio.run(
                    measure(address, kind, body, requests=wishes.requests, at_once=wishes.at_once)
                )
                middle, late = (1000 * float(value) for value in np.quantile(found, [0.5, 0.99]))
                network = description["info"]["description"].partition(",")[0]
                print(
                    f"| {network} | {name} | {len(found) / total:,.0f} | {middle:.1f} | {late:.1f} "
                    f"| {1000 * max(found):.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
