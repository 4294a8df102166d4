"""The command line: parse, call, draw. The only user of rich and the only printer."""

from __future__ import annotations

from mlptrain.system import signals

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Run a command and end the process with its exit code; errors become one message on standard error."""
    signals.listen()  # before anything else is imported
    from mlptrain.cli.app import run

    run(arguments)
