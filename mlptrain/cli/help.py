"""The help of groups of commands: a line for each command, below the heading of its panel."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

_ARGUMENTS = "mlptrain.arguments"
TRAIN, LOOK, COMPARE, DATA, HELP = "Train and evaluate", "Look", "Compare", "Data", "Help"


class PanelledGroup(TyperGroup):
    """Commands below their ``rich_help_panel``, drawn without rich, which would take longer to import than all else."""

    def get_params(self, ctx: Any) -> list[Any]:
        """A flag that is not given is false: of None typer would ask pydantic, which completion has no time to load."""
        params = super().get_params(ctx)
        for param in params:
            if getattr(param, "is_flag", False) and param.default is None:
                param.default = False
        return params

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As they were written, they are kept for ``invoke``."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; where it lacks an option that is a key of its file, the error names ``--set``."""
        try:
            return super().invoke(ctx)
        except Exception as error:  # typer may have a copy of click of its own, whose errors are no others' classes
            command: Any = getattr(getattr(error, "ctx", None), "command", None)
            if any("--set" in param.opts for param in getattr(command, "params", ())):
                from mlptrain.cli.guessed import with_the_key

                with_the_key(error, str(command.name), ctx.meta[_ARGUMENTS])
            raise

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the panels in the order of their first commands, that of the help last."""
        panels: dict[str, list[tuple[str, str]]] = {}
        names = self.list_commands(ctx)
        for name in names:
            command: Any = self.get_command(ctx, name)
            summary = command.short_help or " ".join((command.help or "").partition("\n\n")[0].split())
            panels.setdefault(command.rich_help_panel, []).append(
                (name.ljust(max(map(len, names))), summary.removesuffix("."))
            )
        for panel, rows in sorted(panels.items(), key=lambda item: item[0] == HELP):
            with formatter.section(panel):
                formatter.write_dl(rows)


def new_group(summary: str, *, add_completion: bool = False) -> typer.Typer:
    """An empty group of commands; with ``add_completion`` its options install the shell's completion."""
    return typer.Typer(
        cls=PanelledGroup,
        help=summary,
        no_args_is_help=True,
        add_completion=add_completion,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
