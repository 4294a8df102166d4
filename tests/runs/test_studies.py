"""`mlptrain runs` lists comparisons and searches beside runs, whatever state they are in."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import mlptrain
from mlptrain.errors import RunFolderError
from mlptrain.runs import RunFolder, list_runs, list_studies
from mlptrain.system.lock import LockedFolder
from tests.command import Call
from tests.searching.small import BASE, SMALL

DIGITS = str(Path(__file__).parent.parent.parent / "configs" / "digits.yaml")
STUDY = {
    "name": "arms",
    "base": BASE,
    "arms": {"wide": {"model.hidden": [12]}, "narrow": {"model.hidden": [2]}},
    "scoring": {"seeds": 2},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listed")
    mlptrain.train({"name": "one", **BASE}, run_dir=folder / "run")
    mlptrain.compare(STUDY, run_dir=folder / "compared")
    mlptrain.search(SMALL | {"trials": 4}, run_dir=folder / "searched")
    for age, name in enumerate(("searched", "compared")):
        plan = folder / name / ("search.yaml" if name == "searched" else "plan.yaml")
        os.utime(plan, (plan.stat().st_mtime - 100 * age,) * 2)
    return folder


def test_what_is_best_in_each(made: Path) -> None:
    searched, compared = list_studies(made)
    assert [run.what for run in list_runs(made)] == ["run"]
    of_search, of_arms = (json.loads((made / name / "summary.json").read_text()) for name in ("searched", "compared"))
    assert (searched.what, searched.status, searched.name) == ("search", "completed", "small")
    assert searched.best == f"trial {of_search['best']}"
    assert (searched.metric, searched.value) == ("test_accuracy", of_search["test"]["mean"])
    assert (compared.what, compared.status, compared.name) == ("comparison", "completed", "arms")
    means = {name: arm["score"]["mean"] for name, arm in of_arms["arms"].items()}
    assert (compared.best, compared.value) == (max(means, key=lambda name: means[name]), max(means.values()))
    assert compared.metric == "test_accuracy"


def test_states(made: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(made, tmp_path / "copy")
    (copy / "searched" / "summary.json").unlink()
    (copy / "compared" / "summary.json").write_text("{")
    assert {one.what: one.status for one in list_studies(copy)} == {"search": "interrupted", "comparison": "damaged"}
    plan = copy / "compared" / "plan.yaml"
    plan.write_text(plan.read_text().replace("format: 2\n", "format: 1\n"))
    with LockedFolder(copy / "searched"):
        assert {one.what: one.status for one in list_studies(copy)} == {"search": "running", "comparison": "outdated"}
    plan.write_text("[")
    [found] = list_studies(copy / "compared")
    assert (found.status, found.best, found.value) == ("damaged", "", None)


def test_the_command(made: Path, call: Call) -> None:
    shown = call("runs", str(made)).out
    assert shown.index("run ") < shown.index("comparisons and searches")
    assert "search, completed" in shown
    assert "comparison, completed" in shown
    listed = json.loads(call("runs", str(made), "--json").out)
    assert [one["what"] for one in listed] == ["run", "search", "comparison"]
    assert len({tuple(one) for one in listed}) == 1  # the same keys
    best = json.loads(call("runs", str(made), "--sort", "test_accuracy", "--json").out)
    assert [one["value"] for one in best] == sorted((one["value"] for one in best), reverse=True)
    [alone] = json.loads(call("runs", str(made / "searched"), "--json").out)
    assert alone["best"].startswith("trial ")
    assert "no runs" not in call("runs", str(made / "compared")).out


@pytest.mark.parametrize(("name", "word"), [("searched", "search"), ("compared", "compare")])
def test_what_wants_a_run_says_what_shows_the_study(made: Path, call: Call, name: str, word: str) -> None:
    folder = made / name
    with pytest.raises(
        RunFolderError, match=f"`mlptrain report {folder}` shows it, `mlptrain {word} {folder}` resumes"
    ):
        RunFolder.open(folder)
    assert call("plot", "curves", str(folder)).code == 2
    other = "compare" if word == "search" else "search"
    for command in (["train"], ["check"], ["lr-find"], ["eval"], [other], ["train", DIGITS, "--from"]):
        told = call(*command, str(folder))
        assert (told.code, f"`mlptrain {word} {folder}` resumes it" in told.err) == (2, True), command
    assert call("report", str(folder)).code == 0
    assert "<svg" in (folder / "report.html").read_text()
