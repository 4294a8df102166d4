"""What must answer at once loads none of the heavy packages; and the import order is a rule that is run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.spec.texts import ROOT, complete

HEAVY = ("torch", "torchvision", "sklearn", "scipy", "numpy", "polars")
RUN = f"""
import json, sys
code = 0
try:
    exec(sys.argv.pop(1))
except SystemExit as end:
    code = end.code or 0
loaded = sorted({{name.partition(".")[0] for name in sys.modules}} & set({HEAVY}))
print()
print(json.dumps([code, loaded]))
"""
MAIN = "from mlptrain.cli import main; main()"


@pytest.mark.parametrize(
    ("code", "arguments", "exit_code"),
    [
        ("import mlptrain, mlptrain.spec, mlptrain.runs, mlptrain.errors, mlptrain.seeds", [], 0),
        (MAIN, ["--help"], 0),
        (MAIN, ["--version"], 0),
        (MAIN, ["train", "--help"], 0),
        (MAIN, ["check", "good.yaml"], 0),
        (MAIN, ["check", "bad.yaml"], 2),
        (MAIN, ["check", "--json", "good.yaml"], 0),
        (MAIN, ["check", "absent.yaml"], 2),
        (MAIN, ["train", "bad.yaml"], 2),
        (MAIN, ["schema"], 0),
        (MAIN, ["init", "new"], 0),
        (MAIN, ["runs"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_loads_nothing_heavy(code: str, arguments: list[str], exit_code: int, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(complete("data: digits"))
    (tmp_path / "bad.yaml").write_text(complete("data: digitz\nseed: -1"))
    (tmp_path / "runs").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", RUN, code, *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [exit_code, []], done.stderr


def test_packages_import_in_their_order() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [sys.executable, str(command), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
