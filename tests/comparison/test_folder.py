"""The comparison's folder: what is damaged, taken, edited or cut off."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mlptrain.comparison import compare_optimizers
from mlptrain.comparison.folder import ComparisonFolder
from mlptrain.comparison.trials import run_batch
from mlptrain.errors import MachineError, MlptrainError, RunFolderError
from mlptrain.report.comparison.outputs import comparison_page
from mlptrain.runs import list_studies
from mlptrain.sources.store import data_folder
from mlptrain.spec.comparison.load import load_comparison
from mlptrain.system.lock import LockedFolder
from tests.comparison.small import FIXED, TUNED, compare, forged, load, plan_of


def test_the_folder_is_named_by_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place, _ = compare_optimizers(load(FIXED, tmp_path))
    assert place.path == Path("runs") / f"small-{plan_of(FIXED, tmp_path).digest}"
    assert sorted(file.name for file in place.path.iterdir()) == [
        "plan.yaml",
        "summary.json",
        "timings.json",
        "trials.jsonl",
    ]
    again, _ = compare_optimizers(load(FIXED, tmp_path))
    assert again.path == place.path
    other, _ = compare_optimizers(load(FIXED, tmp_path, "tie=0.5"))
    assert other.path != place.path


def test_the_plan_tells_what_decides_the_results(tmp_path: Path) -> None:
    found = compare(TUNED, tmp_path)
    plan = (found.path / "plan.yaml").read_text()
    for line in ("extension_rule:", "threads: 1", "precision: highest", "extensions: 1", "seeds: [100, 101, 102]"):
        assert line in plan
    first = {record["batch"] for record in found.of_role("tuning")[: 3 * 9]}
    assert all(name in plan for name in first)
    assert len(first) == 3


def test_a_finished_comparison_is_left_as_it_is(tmp_path: Path) -> None:
    found = compare(TUNED, tmp_path)
    stamps = {file.name: file.stat().st_mtime_ns for file in found.path.iterdir()}
    assert compare(TUNED, tmp_path).bytes == found.bytes
    again = {file.name: file.stat().st_mtime_ns for file in found.path.iterdir()}
    assert [name for name in stamps if stamps[name] != again[name]] == ["summary.json"]


@pytest.mark.parametrize("keep", [0.001, 0.2, 0.5, 0.8, 0.999])
def test_lines_that_a_crash_cut_off_are_trained_again(tmp_path: Path, keep: float) -> None:
    found = compare(TUNED, tmp_path)
    content = b"".join(found.lines)
    (found.path / "trials.jsonl").write_bytes(content[: int(len(content) * keep)])
    (found.path / "summary.json").unlink()
    with ComparisonFolder(found.path) as folder:  # before the first batch is appended
        whole = folder.trials.read_bytes()
    assert whole in [b"".join(found.lines[:count]) for count in range(len(found.lines))]
    assert compare(TUNED, tmp_path).bytes == found.bytes


def test_a_batch_that_is_not_whole_is_trained_again_whole(tmp_path: Path) -> None:
    """The other lines of its batch would stand beside trials of another grouping."""
    found = compare(TUNED, tmp_path)
    changed = [json.loads(line) for line in found.lines[:-1]]
    changed[-1]["kept"]["test_accuracy"] = 0.5  # trained again, it is right again
    found.forge(changed)
    assert compare(TUNED, tmp_path).bytes == found.bytes


def test_a_trial_on_record_in_another_batch_is_not_taken_from_it(tmp_path: Path) -> None:
    """Which models train together decides the last bits, so a restart may not regroup them."""
    plan = plan_of(TUNED, tmp_path)
    whole = replace(plan.tuning_batches(plan.first_grids())[0], data_dir=data_folder())
    parts = [
        replace(whole, trials=whole.trials[some], identities=whole.identities[some])
        for some in (slice(4), slice(4, None))
    ]
    with ComparisonFolder.of(plan, folder=tmp_path / "comparison") as folder:
        for part in parts:
            folder.add(run_batch(part))
        assert folder.missing([whole, *parts]) == [whole]
    undisturbed = compare(TUNED, tmp_path, name="undisturbed")
    found = compare(TUNED, tmp_path)
    assert found.summary == undisturbed.summary
    assert found.lines[:-9] == undisturbed.lines  # the odd ones stay on record, behind all others


def test_every_line_carries_the_digest_of_its_content(tmp_path: Path) -> None:
    found = compare(TUNED, tmp_path)
    assert found.lines == [forged(record) for record in found.records]
    assert {tuple(record)[-1] for record in found.records} == {"digest"}


def test_a_folder_in_use_is_refused_and_free_afterwards(tmp_path: Path) -> None:
    found = compare(FIXED, tmp_path)
    with LockedFolder(found.path), pytest.raises(RunFolderError, match="by another process"):
        compare(FIXED, tmp_path)
    (found.path / "trials.jsonl").write_text("{}\n")
    for _ in range(2):  # a refusal leaves no lock behind
        with pytest.raises(RunFolderError, match="is not a record"):
            compare(FIXED, tmp_path)


def test_an_edited_plan_is_refused(tmp_path: Path) -> None:
    found = compare(FIXED, tmp_path)
    plan = found.path / "plan.yaml"
    plan.write_text(plan.read_text().replace("lr: 0.5", "lr: 0.6"))
    with pytest.raises(RunFolderError, match=r"plan.yaml was edited: optimizers\.\w+\.lr differs; name a new folder"):
        compare(FIXED, tmp_path)
    plan.write_text("[")
    with pytest.raises(RunFolderError, match=r"plan.yaml cannot be read \(.+\); name a new folder"):
        compare(FIXED, tmp_path)


@pytest.mark.parametrize(
    ("written", "shown"), [("format: 1", "format 1"), ("", "format 1"), ("format: 99", "format 99")]
)
def test_a_comparison_of_another_layout_is_named_as_such(tmp_path: Path, written: str, shown: str) -> None:
    found = compare(FIXED, tmp_path)
    plan = found.path / "plan.yaml"
    whole = plan.read_text()
    assert whole.count("format: 2\n") == 1
    plan.write_text(whole.replace("format: 2\n", f"{written}\n"))
    for command in (
        lambda: compare(FIXED, tmp_path),
        lambda: load_comparison(plan),
        lambda: comparison_page(found.path),
    ):
        with pytest.raises(RunFolderError, match=rf"another version .*\({shown}, expected 2\)"):
            command()


@pytest.mark.parametrize("override", ["tie=0.5", "base.training.threads=2"])
def test_a_folder_of_another_plan_is_refused(tmp_path: Path, override: str) -> None:
    compare(FIXED, tmp_path)
    with pytest.raises(RunFolderError, match=f"holds another plan, or plan.yaml was edited: {override.split('=')[0]}"):
        compare(FIXED, tmp_path, override)


def test_more_seeds_for_a_finished_comparison_are_refused_with_the_reason(tmp_path: Path) -> None:
    folder = compare(FIXED, tmp_path).path
    before = (folder / "trials.jsonl").read_bytes()
    with pytest.raises(RunFolderError, match=r"is finished.+false verdicts more likely.+Begin a new comparison"):
        compare(FIXED, tmp_path, "scoring.seeds=5")
    assert (folder / "trials.jsonl").read_bytes() == before
    (folder / "summary.json").unlink()  # none was seen
    with pytest.raises(RunFolderError, match=r"holds another plan.+scoring\.seeds differs"):
        compare(FIXED, tmp_path, "scoring.seeds=5")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / "thesis.tex").write_text("precious")
    with pytest.raises(RunFolderError, match="is not a comparison's folder"):
        compare(FIXED, tmp_path)
    assert [file.name for file in (tmp_path / "comparison").iterdir()] == ["thesis.tex"]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="is not a comparison's folder"):
        compare(FIXED, tmp_path, name="file")


def test_a_folder_killed_while_its_plan_was_written_is_taken(tmp_path: Path) -> None:
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / ".plan.yaml.0a1b2c3d.tmp").write_text("half")
    found = compare(FIXED, tmp_path)
    assert not list(found.path.glob(".*"))


@pytest.mark.parametrize(
    ("place", "kind", "says"),
    [
        ("file/comparison", RunFolderError, "file is a file; .* --run-dir"),
        ("/proc/comparison", MachineError, r"cannot be used: .* --run-dir"),
    ],
)
def test_a_folder_that_cannot_be_made_is_one_message(
    tmp_path: Path, place: str, kind: type[MlptrainError], says: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(kind, match=says) as error:
        compare_optimizers(load(FIXED, tmp_path), run_dir=tmp_path / place)
    assert "\n" not in str(error.value)


def test_an_unfinished_comparison_has_no_summary(tmp_path: Path) -> None:
    plan = plan_of(FIXED, tmp_path)
    folder = ComparisonFolder.of(plan, folder=tmp_path / "comparison")
    with pytest.raises(RunFolderError, match="is not finished: run"):
        folder.read_summary()
    (folder.path / "trials.jsonl").write_text("{}\n{}\n{")  # the third is being written
    with pytest.raises(RunFolderError, match="is not finished, 2 trials are recorded: run"):
        folder.read_summary()
    (listed,) = list_studies(folder.path)
    assert (listed.status, listed.trials) == ("interrupted", 2)


def test_seconds_of_other_settings_are_measured_anew(tmp_path: Path) -> None:
    found = compare(FIXED, tmp_path)
    timings = json.loads((found.path / "timings.json").read_bytes())
    assert timings["seconds_per_epoch"].keys() == {"SGD", "Adam"}
    for content in (
        "{",
        json.dumps(timings | {"settings": {}}),
        json.dumps(timings | {"seconds_per_epoch": {"SGD": "0.5"}}),
        json.dumps(timings | {"seconds_per_epoch": {"SGD": -1}}),
    ):
        (found.path / "timings.json").write_text(content)
        compare(FIXED, tmp_path)
        anew = json.loads((found.path / "timings.json").read_bytes())
        assert anew["settings"] == timings["settings"]
        assert anew["samples"] != timings["samples"]


def test_a_disk_that_refuses_is_one_message(tmp_path: Path) -> None:
    """Here a folder stands where the records should."""
    plan = plan_of(FIXED, tmp_path)
    folder = ComparisonFolder.of(plan, folder=tmp_path / "comparison")
    folder.trials.mkdir()
    with pytest.raises(MlptrainError, match=r"trials\.jsonl"):
        compare(FIXED, tmp_path)
