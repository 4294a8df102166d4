"""What `mlptrain gradcheck` shows: of one network a line per parameter tensor, of several a summary over the seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlptrain.cli import screen

if TYPE_CHECKING:
    from mlptrain.checks.gradients import SeedsCheck
    from mlptrain.nn.gradcheck import GradientCheck, ParameterCheck

_OUTCOMES = {True: "ok", False: "WRONG", None: "not checked"}
_ERRORS = ("autograd\nerror", "difference\nerror")
_MAX_LISTED = 10  # verdicts of networks that did not pass


def show_check(source: Path, name: str, epoch: int, check: GradientCheck, *, show: int, as_json: bool) -> bool:
    """One network, and ``show`` coordinates of every tensor; whether all gradients agree."""
    if as_json:
        screen.say_json({"config": str(source), "epoch": epoch, **_as_json(check, show=show, more=_conditions())})
        return check.passed is True
    penalty = f" with a penalty of {check.penalty:.6g}" if check.penalty else ""
    weights = "initial weights" if epoch == 0 else f"weights after epoch {epoch}"
    title = f"{name}, {weights}: {check.rows} rows, objective {check.objective:.6g}{penalty}"
    rows = [
        [
            parameter.name,
            _shape(parameter),
            f"{parameter.gradient_norm:.3g}",
            f"{parameter.autograd_error:.1e}",
            "–" if parameter.difference_error is None else f"{parameter.difference_error:.1e}",
            f"{parameter.checked:,}",
            f"{parameter.left_out:,}",
            _OUTCOMES[parameter.passed],
        ]
        for parameter in check.parameters
    ]
    columns = ("gradient\nnorm", *_ERRORS, "checked", "at a\nkink")
    screen.show_table(("parameter", "shape", *columns, ""), rows, title=title, right=range(2, 7))
    if show:
        _show_numbers(check, show)
    _say_tolerances()
    screen.say(check.verdict)
    return check.passed is True


def show_seeds_check(source: Path, name: str, checks: SeedsCheck, *, as_json: bool) -> bool:
    """Several networks; whether all gradients of all agree."""
    word = checks.word
    worst = {kind: checks.worst(kind) for kind in ("autograd_error", "difference_error")}
    if as_json:
        report: dict[str, Any] = {
            "config": str(source),
            f"{word}s": [*checks.checks, *checks.refused],
            **_conditions(),
            "worst": {
                kind: one and {"error": one.error, word: one.number, "parameter": one.parameter}
                for kind, one in worst.items()
            },
            "networks": [{word: number, **_as_json(check)} for number, check in checks.checks.items()],
            "refused": [{word: number, "reason": reason} for number, reason in checks.refused.items()],
            "passed": checks.passed,
            "verdict": checks.verdict,
        }
        screen.say_json(report)
        return checks.passed is True
    rows = []
    for same in checks.by_parameter:
        errors = [one.difference_error for one in same if one.difference_error is not None]
        outcomes = Counter(one.passed for one in same)
        row = [same[0].name, _shape(same[0]), f"{max(one.autograd_error for one in same):.1e}"]
        row += [f"{max(errors):.1e}" if errors else "–"]
        row += [f"{sum(one.checked for one in same):,}", f"{sum(one.left_out for one in same):,}"]
        rows.append(
            [*row, ", ".join(f"{outcomes[key]:,} {words}" for key, words in _OUTCOMES.items() if outcomes[key])]
        )
    columns = ("parameter", "shape", *_ERRORS, "checked", "at a\nkink")
    title = f"{name}: largest errors over {len(checks.checks):,} networks"
    screen.show_table((*columns, "networks"), rows, title=title, right=range(2, 6))
    _say_tolerances()
    for what, one in (("autograd", worst["autograd_error"]), ("differences", worst["difference_error"])):
        if one is not None:
            screen.say(f"worst against {what}: {one.error:.1e} ({word} {one.number}, {one.parameter})")
    failed = {number: check.verdict for number, check in checks.checks.items() if not check.passed}
    failed |= checks.refused
    for number, reason in list(failed.items())[:_MAX_LISTED]:
        screen.say(f"{word} {number}: {reason}")
    if (more := len(failed) - _MAX_LISTED) > 0:
        screen.say(f"and {more:,} more, in --json")
    screen.say(checks.verdict)
    return checks.passed is True


def _show_numbers(check: GradientCheck, count: int) -> None:
    """The first coordinates of every tensor: its analytic derivative, autograd's and the difference quotient."""
    for parameter in check.parameters:
        shown = parameter.coordinates[:count]
        total = len(parameter.coordinates)
        of_all = f"all {total}" if len(shown) == total else f"{len(shown)} of the {total} coordinates that were drawn"
        rows = [
            [
                f"[{', '.join(map(str, one.index))}]" if one.index else "",
                f"{one.analytic:+.12e}",
                f"{one.autograd:+.12e}",
                "at a kink" if one.difference is None else f"{one.difference:+.12e}",
            ]
            for one in shown
        ]
        columns = ("", "analytic", "autograd", "central difference")
        screen.show_table(columns, rows, title=f"{parameter.name} {_shape(parameter)}: {of_all}", right=(1, 2, 3))


def _conditions() -> dict[str, Any]:
    from mlptrain.nn.gradcheck import AUTOGRAD_TOLERANCE, DIFFERENCE_TOLERANCE, EPSILON

    tolerances = {"autograd": AUTOGRAD_TOLERANCE, "differences": DIFFERENCE_TOLERANCE}
    return {"epsilon": EPSILON, "tolerances": tolerances}


def _as_json(check: GradientCheck, *, show: int = 0, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One network; ``show`` coordinates of every tensor are under ``values``."""
    parameters = []
    for parameter in check.parameters:
        plain = asdict(parameter)
        coordinates = plain.pop("coordinates")
        parameters.append(plain | {"passed": parameter.passed} | ({"values": coordinates[:show]} if show else {}))
    return {
        "rows": check.rows,
        "objective": check.objective,
        "penalty": check.penalty,
        **(more or {}),
        "parameters": parameters,
        "passed": check.passed,
        "verdict": check.verdict,
    }


def _say_tolerances() -> None:
    conditions = _conditions()
    screen.say(
        f"float64, ε = {conditions['epsilon']:g}; errors: the largest distances of the analytic gradient from "
        "autograd's and from the central differences, relative to the gradient's norm; tolerances "
        f"{conditions['tolerances']['autograd']:g} and {conditions['tolerances']['differences']:g}"
    )


def _shape(parameter: ParameterCheck) -> str:
    return "×".join(map(str, parameter.shape)) or "1"
