"""The command line: parse, call, draw. The only user of rich and the only printer."""

from __future__ import annotations

from mlptrain.system import launch, signals

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Run a command and end the process with its exit code; errors become one message on standard error."""
    # Before anything else is imported. An assisting worker saves nothing and says nothing: a signal just ends it.
    (signals.end_at_once if launch.assists() else signals.listen)()
    from mlptrain.cli.app import run

    run(arguments)
