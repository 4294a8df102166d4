"""``mlptrain export``: a run as a file that other programs read. Torch is imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mlptrain.cli import screen
from mlptrain.cli.export_log import export_log
from mlptrain.cli.options import DataDir, Json, Run, output_file
from mlptrain.errors import UserError

_DEFAULTS = {"onnx": "model.onnx", "torch": "model.pt2", "npz": "weights.npz"}
_TRACKERS = ("tensorboard", "mlflow")


def export(
    run: Run,
    of: Annotated[Path | None, typer.Argument(hidden=True)] = None,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="<onnx|torch|npz|tensorboard|mlflow>",
            help="onnx; torch: a .pt2 for torch.export.load; npz: arrays, and a script that predicts with NumPy. "
            "tensorboard, mlflow: the figures of a run, or of a group's runs.",
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="The file; default: model.onnx, model.pt2 or weights.npz, here.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=0, help="npz: of how many epochs the batch order is given. Default: 1.", show_default=False),
    ] = None,
    rows: Annotated[
        bool, typer.Option("--rows", help="npz: the scaled inputs and the targets of every split too.")
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """The network for other tools: ONNX, torch.export, NumPy.

    Raw rows go in: pixels, or the columns of a table with missing and unseen values. Class probabilities or values in
    the target's own unit come out. The NumPy script lies beside the arrays, which are kept, initial and last weights,
    scaling, class names, and the rows of every step.
    """
    if of is not None and not to and str(run) in (*_DEFAULTS, *_TRACKERS):  # `mlptrain export tensorboard RUN`
        run, to, of = of, str(run), None
    if of is not None or not to:
        raise UserError("expected one run and a format, such as --to onnx")
    if to in _TRACKERS:
        if rows:
            raise UserError("--rows adds arrays, which --to npz writes; leave it out")
        export_log(run, to, out=out, as_json=as_json)
        return
    if to not in _DEFAULTS:
        raise UserError(f"format '{to}': choose {', '.join(_DEFAULTS)}, tensorboard or mlflow")
    default = Path(_DEFAULTS[to])
    file = output_file(out, default=default, what="network", suffixes=(default.suffix,))
    if to != "npz" and (rows or epochs is not None):
        raise UserError(f"--{'rows' if rows else 'epochs'} adds arrays, which --to npz writes; leave it out")
    from mlptrain.inference.evaluate import unfinished
    from mlptrain.inference.export import arrays, model

    known = arrays.is_export if to == "npz" else model.is_model
    if out is None and file.exists() and not known(file):
        raise UserError(f"{file} is here already and is not an exported run; name another file with --out")
    model.refuse_diverged(run)
    report: dict[str, Any] = {"file": str(file), "script": None, "to": to}
    if to == "npz":
        from mlptrain.inference.export import script

        beside = file.with_suffix(".py")
        if beside.exists() and not script.is_script(beside):
            raise UserError(f"{beside} is here already and is not the script of an exported run; name another --out")
        with screen.Fetching() as fetching:
            found = arrays.export(
                run, epochs=1 if epochs is None else epochs, rows=rows, data_dir=data_dir, on_fetch=fetching.fetch
            )
        files = {file: arrays.npz(found), beside: script.script_of(run).encode()}
        shapes = {name: list(array.shape) for name, array in found.items()}
        report |= {"script": str(beside), "epoch": arrays.epoch_of(found), "inputs": {}, "outputs": {}}
        report["arrays"] = shapes
        table = [(name, "×".join(map(str, shape)) or "()") for name, shape in shapes.items()]
        heads = ("array", "shape")
    else:
        exported = model.exported_model(run, to)
        files = {file: exported.content}
        report |= {
            "epoch": exported.epoch,
            "inputs": {one.name: ["n", *one.shape] for one in exported.inputs},
            "outputs": {exported.output: ["n", *exported.shape]},
            "arrays": {},
        }
        table = [(one.name, f"{one.kind}, {_shape(one.shape)}") for one in exported.inputs]
        table.append((exported.output, f"output, {_shape(exported.shape)}"))
        heads = ("input", "kind and shape")
    if (state := unfinished(run)) is not None:
        screen.say(f"note: {state}; these are the weights it has kept so far", err=True)
    for path, content in files.items():
        screen.write_file(path, content, announced=False)
    if as_json:
        screen.say_json(report)
    else:
        screen.show_table(heads, table)
        for path in files:
            screen.say(path)


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, ("n", *shape)))
