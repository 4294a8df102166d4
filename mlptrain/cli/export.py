"""``mlptrain export``: a run as a file that other programs read. Torch is imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli import screen
from mlptrain.cli.export_log import export_log
from mlptrain.cli.options import DataDir, Json, Run, output_file
from mlptrain.errors import UserError

_FORMATS = ("npz",)


def export(
    run: Run,
    of: Annotated[Path | None, typer.Argument(hidden=True)] = None,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="<npz|tensorboard|mlflow>",
            help="npz: arrays for numpy.load. tensorboard, mlflow: the figures of a run, or of a group's runs.",
        ),
    ] = "",
    out: Annotated[Path | None, typer.Option(help="The file, ending in .npz; default: weights.npz, here.")] = None,
    epochs: Annotated[int, typer.Option(min=0, help="Of how many epochs the batch order is given.")] = 1,
    rows: Annotated[bool, typer.Option("--rows", help="The scaled inputs and the targets of every split too.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Weights, scaling and batch order as arrays.

    Kept, initial and last weights under the names of the checkpoint, (outputs, inputs) as in torch, the numbers of the
    scaling, the class names, and the rows of every step.
    """
    if of is not None and not to:  # `mlptrain export tensorboard RUN`
        run, to, of = of, str(run), None
    if of is not None or not to:
        raise UserError("expected one run and a format, such as --to tensorboard")
    if to in ("tensorboard", "mlflow"):
        if rows:
            raise UserError("--rows adds arrays, which --to npz writes; leave it out")
        export_log(run, to, out=out, as_json=as_json)
        return
    if to not in _FORMATS:
        raise UserError(
            f"format '{to}': choose {' or '.join(_FORMATS)}; mlptrain.load(RUN) is a torch.nn.Module, which "
            "torch's own functions write in other formats"
        )
    file = output_file(out, default=Path(f"weights.{to}"), what="network", suffixes=(f".{to}",))
    from mlptrain.inference import export as exporting
    from mlptrain.inference.evaluate import unfinished

    if out is None and file.exists() and not exporting.is_export(file):
        raise UserError(f"{file} is here already and is not an exported run; name another file with --out")
    with screen.Fetching() as fetching:
        arrays = exporting.export(run, epochs=epochs, rows=rows, data_dir=data_dir, on_fetch=fetching.fetch)
    if (state := unfinished(run)) is not None:
        screen.say(f"note: {state}; these are the weights it has kept so far", err=True)
    screen.write_file(file, exporting.npz(arrays), announced=False)
    if exporting.is_of_columns(arrays):
        screen.say(
            "note: raw rows need the preprocessing of their columns, which the file does not hold as code (its array "
            "'about' describes it); `mlptrain predict` applies it",
            err=True,
        )
    if as_json:
        shapes = {name: list(array.shape) for name, array in arrays.items()}
        screen.say_json({"file": str(file), "to": to, "epoch": exporting.epoch_of(arrays), "arrays": shapes})
    else:
        table = [(name, "×".join(map(str, array.shape)) or "()") for name, array in arrays.items()]
        screen.show_table(("array", "shape"), table)
        screen.say(file)
