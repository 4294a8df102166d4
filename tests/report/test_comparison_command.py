"""`mlptrain report` of a comparison: where the page goes, what it says of damage, and what a browser makes of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlptrain.errors import RunFolderError
from mlptrain.report.comparison.outputs import comparison_page
from tests.report.comparison_samples import Samples, read
from tests.report.test_report_command import (  # noqa: F401 - the proxy is a fixture
    browse,
    needs_chromium,
    of_the_page,
    proxy,
    report,
)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return Samples(tmp_path_factory.mktemp("comparisons"))


def test_the_command_writes_the_page_into_the_folder(
    samples: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(samples("one epoch"), tmp_path / "copy")
    assert report(folder) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert (folder / "report.html").read_text(encoding="utf-8") == comparison_page(folder)
    assert report(folder, "--out", tmp_path / "page.htm") == 0
    assert (tmp_path / "page.htm").read_bytes() == (folder / "report.html").read_bytes()
    assert report(folder, "--out", tmp_path / "page.txt") == 2
    assert "ends in .html" in capsys.readouterr().err


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda summary: summary.pop(key)


def emptied(summary: dict[str, Any]) -> None:
    summary["seeds"] = []
    for entry in summary["optimizers"].values():
        entry["trials"] = []


def of_curve(summary: dict[str, Any], name: str) -> dict[str, list[float]]:
    curve: dict[str, list[float]] = summary["optimizers"]["SGD"]["curves"][name]
    return curve


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a key gone": (without("ranking"), "key ranking is missing"),
    "a key too many": (lambda s: s.update(winner="SGD"), "key winner is unknown"),
    "no optimizer": (lambda s: s.update(optimizers={}), "optimizers is not"),
    "text for a number": (lambda s: s["optimizers"]["Adam"]["accuracy"].update(mean="high"), r"Adam\.accuracy\.mean"),
    "9900 %": (lambda s: s["optimizers"]["Adam"]["accuracy"].update(mean=99), r"Adam\.accuracy\.mean"),
    "a score of a thousand": (lambda s: s["optimizers"]["Adam"]["trials"][0].update(score=1000.0), r"trials\.0\.score"),
    "a majority of ten": (lambda s: s.update(majority=10.0), "majority"),
    "a p of two": (lambda s: s["pairs"][0].update(p_holm=2.0), r"pairs\.0\.p_holm"),
    "a difference without end": (lambda s: s["pairs"][0].update(mean=1e308), r"pairs\.0\.mean"),
    "no seeds": (lambda s: emptied(s), "seeds is not"),
    "a loss too large": (lambda s: of_curve(s, "train_loss").update(mean=[1e308] * 20), r"train_loss\.mean\.0"),
    "a late target": (lambda s: s["optimizers"]["SGD"]["epochs_to_target"].update(median=1e8), "epochs_to_target"),
    "a number of words": (lambda s: s["optimizers"]["SGD"]["accuracy"].update(mean="0.5"), r"SGD\.accuracy\.mean"),
    "a nest": (lambda s: s["optimizers"]["SGD"]["setting"].update(lr=[[[]]]), r"SGD\.setting\.sgd\.lr"),
    "a rate of words": (lambda s: s["optimizers"]["SGD"]["setting"].update(lr="fast"), r"setting\.sgd\.lr"),
    "a new verdict": (lambda s: s["pairs"][0].update(verdict="splendid"), "verdict"),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_a_damaged_summary_is_one_clear_message(samples: Samples, tmp_path: Path, damage: str) -> None:
    folder = shutil.copytree(samples("six"), tmp_path / "copy")
    change, message = DAMAGE[damage]
    summary = read(folder)
    change(summary)
    (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(RunFolderError, match=f"summary.json is damaged: .*{message}") as error:
        comparison_page(folder)
    assert f"run `mlptrain compare {folder}`" in str(error.value)


def test_a_protocol_that_was_not_followed_is_not_shown(samples: Samples, tmp_path: Path) -> None:
    folder = shutil.copytree(samples("six"), tmp_path / "copy")
    plan = folder / "plan.yaml"
    whole = plan.read_text()
    [rates] = set(re.findall(r"lr: (\[.*\])", whole))
    for changed in (
        whole.replace(rates, "[7, 9]", 1),
        whole.replace("extensions: 2", "extensions: 3"),
        whole.replace("weight_decay: 0.001", "weight_decay: 0.0010000000000000002"),
        re.sub("(name: sample)\n(base:(?s:.*?))(optimizers:)", r"\2\1\n\3", whole, count=1),
    ):
        assert changed != whole
        plan.write_text(changed)
        with pytest.raises(RunFolderError, match=r"plan\.yaml is not the plan that summary\.json is of"):
            comparison_page(folder)
    plan.write_text(whole.replace(f"lr: {rates}", f"lr: [7, 9]\n    lr: {rates}", 1))  # the last one counts
    with pytest.raises(RunFolderError, match=r"is not a plan \(.*lr: key given twice"):
        comparison_page(folder)
    plan.write_text(whole)
    summary = read(folder)
    (folder / "summary.json").write_text(json.dumps(summary | {"plan": "00000000"}))
    with pytest.raises(RunFolderError, match="is not the plan that"):
        comparison_page(folder)


def test_what_cannot_be_reported_on(samples: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def message(name: str, content: str | None) -> str:
        folder = shutil.copytree(samples("one epoch"), tmp_path / f"{name}-{content}"[:20].strip("{"))
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_text(content)
        assert report(folder) == 2
        assert not (folder / "report.html").exists()
        return capsys.readouterr().err

    assert "is not finished: run `mlptrain compare " in message("summary.json", None)
    for content in ("{", '{"tie": NaN}', '{"split": "\\ud800"}'):
        assert "summary.json is damaged: its content is not valid JSON" in message("summary.json", content)
    assert "summary.json is damaged: its content is not" in message("summary.json", "[]")
    assert "timings.json is damaged: seconds_per_epoch is not" in message("timings.json", '{"seconds_per_epoch": 3}')
    assert "plan.yaml belongs to a comparison of another version" in message("plan.yaml", "name: x\n")
    assert "plan.yaml is not a plan" in message("plan.yaml", "name: x\nformat: 2\n")
    assert "plan.yaml is not a plan" in message("plan.yaml", "base: [1\n")
    assert "is not a run folder" in message("plan.yaml", None)
    with pytest.raises(RunFolderError, match=r"is not a comparison's folder: it holds no plan\.yaml"):
        comparison_page(tmp_path)


def test_reading_and_tables_load_neither_matplotlib_nor_torch_nor_jinja2() -> None:
    code = (
        "import sys, mlptrain.report.comparison.outputs, mlptrain.report.comparison.files, mlptrain.cli.plot\n"
        "print([name for name in ('matplotlib', 'torch', 'scipy', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@needs_chromium
def test_a_browser_opens_it_without_request_or_error(
    samples: Samples,
    tmp_path: Path,
    proxy: tuple[int, list[str]],  # noqa: F811
) -> None:
    port, asked = proxy
    written = samples.page("failures")
    (tmp_path / "page.html").write_text(written, encoding="utf-8")
    document, console = browse(tmp_path / "page.html", port, tmp_path / "profile")
    assert console == []
    assert of_the_page(asked) == []
    seen, expected = (re.sub(r"\s+", "", text) for text in (document, written))
    for element in ("<section", "<svg", "<table", "<path", "<td"):
        assert seen.count(element) == expected.count(element)
