"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Set = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, e.g. optimizer.lr=0.1. May be repeated."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Where data sets lie; default $MLPTRAIN_DATA_DIR, else the user's cache folder."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
