"""A comparison's plan and folder are comparisons too: one repeats it, the other resumes it."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from mlptrain.comparison import make_plan
from mlptrain.spec.comparison.load import load_comparison
from mlptrain.spec.dump import yaml_text
from mlptrain.spec.kinds import plan_digest
from mlptrain.spec.reader import read_file
from mlptrain.training.device import ResolvedDevice
from tests.command import Call
from tests.comparison.small import FIXED, TUNED, Result, compare, plan_of

GRID = """\
optimizers:
  SGD: {name: sgd, lr: {log_grid: [0.01, 0.3, 4]}, momentum: [0, 0.9]}
  Adam: {name: adam, lr: 0.03, betas: [[0.9, 0.999], [0.8, 0.99]]}
target: {metric: validation_accuracy, value: 0.9}
tie: 0.002
"""
ODD = """\
optimizers:
  "0.10": {name: nadam, lr: [5.0e-324, 1.0e-300, 0.1, 12345678901234567.0, 1.0e+30], momentum_decay: 4.0e-3}
  "null": {name: rmsprop, lr: 0.30000000000000004, alpha: 1.0e-7, centered: true}
  a ()= b: {name: adagrad, lr: [0.1, 1], lr_decay: 1.0e-12}
tuning: {seeds: [9223372036854775807, 0], extensions: 0}
scoring: {seeds: [5, 1]}
tie: 1.0e-7
"""


@pytest.mark.parametrize("text", [FIXED, TUNED, GRID, ODD], ids=["fixed", "tuned", "grid", "odd"])
def test_a_plan_is_a_comparison_with_the_same_plan(tmp_path: Path, text: str) -> None:
    plan = plan_of(text, tmp_path, "base.training.threads=auto", "base.training.precision=auto")
    (tmp_path / "plan.yaml").write_text(yaml_text(plan.to_plain()))
    loaded = load_comparison(tmp_path / "plan.yaml")
    assert make_plan(loaded.spec).to_plain() == plan.to_plain()
    assert make_plan(loaded.spec).digest == plan.digest
    assert plan_digest(read_file(tmp_path / "plan.yaml")[1].value) == plan.digest  # what the report compares


def test_device_precision_and_threads_of_the_plan_are_repeated(tmp_path: Path) -> None:
    plan = plan_of(FIXED, tmp_path, "base.training.threads=3", "base.training.precision=high")
    (tmp_path / "plan.yaml").write_text(yaml_text(plan.to_plain()))
    again = make_plan(load_comparison(tmp_path / "plan.yaml").spec)
    assert again.resolved == ResolvedDevice("cpu", "high", 3)


def test_the_command_at_the_end_trains_the_same_anew(
    tmp_path: Path,
    call: Call,
) -> None:
    first = compare(TUNED, tmp_path, name="of $1 'mine'")
    told = call("compare-optimizers", str(tmp_path / "small.yaml"), "--run-dir", str(first.path))
    [command] = re.findall(r"^repeat: mlptrain (.*) NEW$", told.out, re.MULTILINE)
    again = call(*shlex.split(command), str(tmp_path / "again"))
    assert again.code == 0
    assert "scoring: 9 trials" in again.err.splitlines()  # none of them on record
    assert Result(tmp_path / "again").bytes == first.bytes
    assert (tmp_path / "again" / "plan.yaml").read_bytes() == (first.path / "plan.yaml").read_bytes()


def test_a_folder_goes_on_with_its_comparison(tmp_path: Path, call: Call) -> None:
    whole = compare(TUNED, tmp_path)
    part = shutil.copytree(whole.path, tmp_path / "part")
    (part / "trials.jsonl").write_bytes(b"".join(whole.lines[:18]))
    (part / "summary.json").unlink()
    told = call("compare-optimizers", str(part))
    assert told.code == 0
    assert "tuning: 27 trials, 18 of them already recorded" in told.err.splitlines()
    assert Result(part).bytes == whole.bytes


def test_a_folder_without_a_comparison(tmp_path: Path, call: Call) -> None:
    told = call("compare-optimizers", str(tmp_path))
    assert told.code == 2
    assert told.err.startswith(
        f"error: {tmp_path} is not a comparison's folder: it holds no plan.yaml; name a YAML file"
    )


def test_training_does_not_go_on_with_a_comparison(tmp_path: Path, call: Call) -> None:
    place = compare(FIXED, tmp_path).path
    told = call("train", "--resume", str(place))
    assert (told.code, f"`mlptrain compare {place}` resumes it" in told.err) == (2, True)
