"""The command line: parse, call, draw. The only user of rich and the only printer."""

from mlptrain.cli.app import main

__all__ = ["main"]
