"""``mlptrain serve``: a trained network behind HTTP, with a page to try it. Torch is imported inside."""

from __future__ import annotations

from typing import Annotated

import typer

from mlptrain.cli import screen
from mlptrain.cli.options import Run
from mlptrain.system import signals


def serve(
    run: Run,
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one, which is printed.")] = 8000,
) -> None:
    """A trained network behind HTTP, with a page to try it.

    POST /predict takes rows as JSON (objects by column name, or lists), a table as CSV, or an image; /openapi.json
    describes them, /health says which network it is. The page at / has a field to draw in for networks that read
    digits, and a form for tables. Ctrl-C ends it.
    """
    from mlptrain.serving.run import serve as serve_run

    def ready(address: str, only_here: bool) -> None:
        if not only_here:
            screen.say("note: every machine that reaches this one can use it; there is no password", err=True)
        screen.say(address)
        screen.say("Ctrl-C ends it", err=True)

    with signals.ended_by_signals("the server has ended"):
        serve_run(run, host=host, port=port, on_ready=ready, on_note=lambda text: screen.say(text, err=True))
