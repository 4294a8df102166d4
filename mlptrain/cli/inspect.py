"""``mlptrain gradcheck``: are the gradients of a configuration right?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from mlptrain.cli import screen
from mlptrain.cli.options import Config, DataDir, Json, Set

if TYPE_CHECKING:
    from mlptrain.nn.gradcheck import GradientCheck


def gradcheck(config: Config, overrides: Set = [], data_dir: DataDir = None, as_json: Json = False) -> None:  # noqa: B006 - typer copies it
    """Check the gradients against autograd and differences.

    Every parameter's gradient by hand, by autograd and by central differences; exit code 1 where they disagree.
    """
    from mlptrain.spec import load_spec

    loaded = load_spec(config, overrides)  # before torch is imported: a typing error is answered at once
    screen.show_warnings(loaded.warnings)
    from mlptrain.checks.gradients import gradcheck as check_experiment
    from mlptrain.nn.gradcheck import AUTOGRAD_TOLERANCE, DIFFERENCE_TOLERANCE, EPSILON

    with screen.Fetching() as fetching:
        check = check_experiment(loaded, data_dir=data_dir, on_fetch=fetching.fetch)
    if as_json:
        screen.say_json(
            {
                "config": str(config),
                "rows": check.rows,
                "objective": check.objective,
                "epsilon": EPSILON,
                "tolerances": {"autograd": AUTOGRAD_TOLERANCE, "differences": DIFFERENCE_TOLERANCE},
                "parameters": [asdict(parameter) | {"passed": parameter.passed} for parameter in check.parameters],
                "passed": check.passed,
                "verdict": check.verdict,
            }
        )
    else:
        _show_gradcheck(loaded.spec.name, check)
    if not check.passed:
        raise typer.Exit(1)


def _show_gradcheck(name: str, check: GradientCheck) -> None:
    """A line per parameter tensor and the verdict."""
    from mlptrain.nn.gradcheck import AUTOGRAD_TOLERANCE, DIFFERENCE_TOLERANCE, EPSILON

    title = f"{name}: {check.rows} rows, loss {check.objective:.6g}, float64, ε = {EPSILON:g}"
    columns = ("gradient norm", "analytic - autograd", "analytic - differences", "checked", "at a kink")
    rows = [
        [
            parameter.name,
            "×".join(map(str, parameter.shape)) or "1",
            f"{parameter.gradient_norm:.3g}",
            f"{parameter.autograd_error:.1e}",
            "" if parameter.difference_error is None else f"{parameter.difference_error:.1e}",
            f"{parameter.checked:,}",
            f"{parameter.left_out:,}",
            "ok" if parameter.passed else "WRONG",
        ]
        for parameter in check.parameters
    ]
    screen.show_table(("parameter", "shape", *columns, ""), rows, title=title, right=range(2, 7))
    screen.say(
        f"largest errors relative to the gradient's norm; tolerances {AUTOGRAD_TOLERANCE:g} and "
        f"{DIFFERENCE_TOLERANCE:g}"
    )
    screen.say(check.verdict)
