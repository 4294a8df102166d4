"""``mlptrain doctor``: is this machine ready to train? Torch is imported inside."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from mlptrain.cli import screen
from mlptrain.cli.options import DataDir, Json

if TYPE_CHECKING:
    from mlptrain.checks.doctor import Finding


def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Is this machine ready to train?

    Versions, device, threads, precision, data, disk, terminal, and a training whose outcome is known. Every problem
    comes with what to do about it. Exit code 0, also with notes, and 1 where something is broken.
    """
    from mlptrain.checks.doctor import examine

    findings = []
    for finding in examine(data_dir=data_dir):
        findings.append(finding)
        if not as_json:
            _show(finding)
    problems = sum(finding.level == "problem" for finding in findings)
    if as_json:
        screen.say_json({"healthy": not problems, "findings": [asdict(one) for one in findings]})
    elif problems:
        screen.say(f"{problems} {'problem' if problems == 1 else 'problems'}: see above what to do")
    else:
        screen.say("ready to train")
    if problems:
        raise typer.Exit(1)


def _show(finding: Finding) -> None:
    level = "PROBLEM" if finding.level == "problem" else finding.level
    screen.say(f"{level:<8} {finding.about}: {finding.found}")
    if finding.advice:
        screen.say(f"{'':<8} → {finding.advice}")
