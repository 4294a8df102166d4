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
from mlptrain.report.comparison import comparison_page
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


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a key gone": (without("ranking"), "ranking: Field required"),
    "no optimizer": (lambda s: s.update(optimizers={}), "ranking: names other optimizers"),
    "text for a number": (lambda s: s["optimizers"]["Adam"]["accuracy"].update(mean="high"), r"Adam\.accuracy\.mean"),
    "a stranger": (lambda s: s["pairs"][0].update(a="nobody"), "pairs: name other optimizers"),
    "a trial gone": (lambda s: s["optimizers"]["SGD"]["trials"].pop(), r"optimizers\.SGD\.trials"),
    "a curve cut": (lambda s: s["optimizers"]["SGD"]["curves"]["train_loss"]["low"].pop(), "curves"),
    "a rate of 0": (lambda s: s["optimizers"]["SGD"]["tuning"][0]["setting"].update(lr=0), "tuning"),
    "a rate of words": (lambda s: s["optimizers"]["SGD"]["setting"].update(lr="fast"), r"setting\.lr"),
    "an epoch gone": (lambda s: s["optimizers"]["SGD"]["epochs_to_target"]["trials"].pop(), "epochs_to_target"),
    "a new verdict": (lambda s: s["pairs"][0].update(verdict="splendid"), "verdict"),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_a_damaged_summary_is_one_clear_message(samples: Samples, tmp_path: Path, damage: str) -> None:
    folder = shutil.copytree(samples("six"), tmp_path / "copy")
    change, message = DAMAGE[damage]
    summary = read(folder)
    change(summary)
    (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(RunFolderError, match=f"summary.json is damaged .*{message}") as error:
        comparison_page(folder)
    assert "run the same `mlptrain compare-optimizers` again" in str(error.value)


def test_what_cannot_be_reported_on(samples: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def message(name: str, content: str | None) -> str:
        folder = shutil.copytree(samples("one epoch"), tmp_path / f"{name}-{content}"[:20].strip("{"))
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_text(content)
        assert report(folder) == 2
        assert not (folder / "report.html").exists()
        return capsys.readouterr().err

    assert "is not finished: run the same `mlptrain compare-optimizers` again" in message("summary.json", None)
    assert "cannot be read" in message("summary.json", "{")
    assert "cannot be read" in message("summary.json", '{"tie": NaN}')
    assert "holds no mapping" in message("summary.json", "[]")
    assert "timings.json is damaged (seconds_per_epoch" in message("timings.json", '{"seconds_per_epoch": 3}')
    assert "plan.yaml is no plan" in message("plan.yaml", "name: x\n")
    assert "plan.yaml is no plan" in message("plan.yaml", "base: [1\n")
    assert "is no run folder" in message("plan.yaml", None)
    with pytest.raises(RunFolderError, match=r"no comparison's folder: it holds no plan\.yaml"):
        comparison_page(tmp_path)


def test_reading_and_tables_load_neither_matplotlib_nor_torch() -> None:
    code = (
        "import sys, mlptrain.report.comparison, mlptrain.report.comparison_files, mlptrain.cli.report\n"
        "print([name for name in ('matplotlib', 'torch', 'scipy') if name in sys.modules])"
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
