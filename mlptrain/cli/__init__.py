"""The command line: parse, call, draw. The only user of rich and the only printer."""

from __future__ import annotations

import os

from mlptrain.system import signals

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Run a command and end the process with its exit code; errors become one message on standard error."""
    if _assists():  # saves nothing and says nothing, so that a signal just ends it
        signals.end_at_once()
    else:
        signals.listen()  # before anything else is imported
    from mlptrain.cli.app import run

    run(arguments)


def _assists() -> bool:
    """Whether this is a worker of several, and not the first."""
    if os.environ.get("RANK", "0") == "0":
        return False
    from mlptrain.system.launch import assists

    return assists()
