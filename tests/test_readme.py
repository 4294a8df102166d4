"""Every `mlptrain` command of the README runs, in the order of the README, in a folder like a fresh checkout's."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from mlptrain.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
_COMMAND = re.compile(r"^(?:.*&& )?(?:\.venv/bin/)?mlptrain (?P<arguments>.*?)(?:\s+#.*)?$")


def blocks() -> list[tuple[str, str]]:
    """Language and text of every fenced block, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands_in(block: str) -> list[str]:
    """Arguments of the `mlptrain` commands in a block."""
    lines = block.replace("\\\n", " ").splitlines()
    return [found["arguments"] for line in lines if (found := _COMMAND.match(line))]


def test_commands_are_found() -> None:
    named = {command.split()[0] for kind, block in blocks() if kind == "sh" for command in commands_in(block)}
    everyday = {"init", "check", "train", "eval", "runs", "data", "plot", "report", "predict", "gradcheck", "doctor"}
    assert named >= everyday | {"compare-optimizers"}


@pytest.mark.filterwarnings("default")  # the commands' own warnings are theirs to show
def test_every_command_and_example_runs(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", str(data_dir))
    shutil.copytree(ROOT / "configs", "configs")
    for kind, block in blocks():
        for command in commands_in(block) if kind == "sh" else ():
            with pytest.raises(SystemExit) as ended:
                main(shlex.split(command))
            assert not ended.value.code, command
        if kind == "python":
            exec(compile(block, "README.md", "exec"), {})


def test_the_files_shown_are_valid(tmp_path: Path) -> None:
    from mlptrain.spec import load_text
    from mlptrain.spec.comparison.load import load_comparison

    experiment, comparison = re.findall(r"^```yaml\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert load_text(experiment).spec.name == "mnist"
    (tmp_path / "configs").mkdir()
    shutil.copy(ROOT / "configs/mnist.yaml", tmp_path)
    (tmp_path / "configs/shown.yaml").write_text(comparison, encoding="utf-8")
    assert len(load_comparison(tmp_path / "configs/shown.yaml").spec.settings("Nesterov")) == 4


def test_every_configuration_is_mentioned() -> None:
    for path in (ROOT / "configs").rglob("*.yaml"):
        assert f"{path.stem}" in README, path.name


def test_every_file_mentioned_exists() -> None:
    for name in re.findall(r"`((?:configs|tests|mlptrain)/[\w./]+)`", README):
        assert (ROOT / name).exists(), name
