"""What the command line sets before torch is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DIGITS = str(Path(__file__).parent.parent / "configs" / "digits.yaml")

# Ends the process where torch would be imported, with what its libraries would find in the environment.
WATCH = """
import os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_WAIT_POLICY"))
            sys.exit(7)

sys.meta_path.insert(0, Watch())
from mlptrain.cli import main
main()
"""


def watch(*arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    return subprocess.run(
        [sys.executable, "-c", WATCH, *arguments],
        env=environment | given | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({}, "10000 None"),
        ({"GOMP_SPINCOUNT": "55"}, "55 None"),
        ({"GOMP_SPINCOUNT": ""}, " None"),
        ({"OMP_WAIT_POLICY": "active"}, "None active"),
        ({"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "55"}, "55 passive"),
    ],
)
def test_waiting_threads_are_told_before_torch_is_imported(given: dict[str, str], seen: str, tmp_path: Path) -> None:
    done = watch("train", DIGITS, "--run-dir", str(tmp_path / "run"), **given)
    assert (done.returncode, done.stdout) == (7, f"{seen}\n"), done.stderr


@pytest.mark.parametrize("mistake", [("--seeds", "0,x"), ("--seeds", "0,1", "--set", "optimizer.lr=fast")])
def test_mistakes_with_seeds_are_answered_without_torch(mistake: tuple[str, ...]) -> None:
    done = watch("train", DIGITS, *mistake)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
