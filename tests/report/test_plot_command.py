"""``mlptrain plot`` as a user meets it: files, paths, one message per mistake."""

from __future__ import annotations

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlptrain.cli import main
from tests.report.conftest import CONFIGS, Runs


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def plot(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["plot", *map(str, arguments)])
    code = ended.value.code
    assert code is None or isinstance(code, int)
    return code or 0


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one message of a command that must end with exit code 2 and write nothing."""
    before = set(Path.cwd().rglob("*"))
    capsys.readouterr()
    assert plot(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert err.count("error") <= 1
    assert set(Path.cwd().rglob("*")) == before
    return err


@pytest.mark.parametrize(
    ("kind", "of"),
    [
        ("curves", ["digits"]),
        ("curves", ["digits", "spirals", "regression"]),
        ("decision", ["spirals", "two spirals"]),
        ("decision", ["moons", "xor"]),
        ("fit", ["sine"]),
        ("confusion", ["digits"]),
        ("mistakes", ["digits"]),
        ("weights", ["digits"]),
        ("layers", ["digits"]),
        ("layers", ["regression"]),
    ],
)
def test_every_picture_of_runs(runs: Runs, kind: str, of: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert plot(kind, *map(runs, of)) == 0
    assert capsys.readouterr().out == f"{kind}.png\n"
    with Image.open(f"{kind}.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 400
        assert len(np.unique(np.asarray(image.convert("L")))) > 20, "an empty picture"


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("schedule", "digits"),
        ("samples", "digits"),
        ("samples", "spirals"),
        ("samples", "moons"),
        ("samples", "function"),
        ("histogram", "digits"),
        ("histogram", "regression_by_heart"),
    ],
)
def test_every_picture_of_a_configuration(kind: str, config: str) -> None:
    assert plot(kind, CONFIGS / f"{config}.yaml", "--out", "picture.svg") == 0
    assert ET.parse("picture.svg").getroot().tag.endswith("svg")


def test_augmented_samples(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    digits, turned = CONFIGS / "digits.yaml", ["--set", "augmentation={rotate: 15, mixup: 0.4}"]
    sizes = []
    for count in ("2", "6"):
        assert plot("samples", digits, "--augmented", *turned, "--count", count) == 0
        with Image.open("samples.png") as image:
            sizes.append(image.size)
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] < sizes[1][1]
    (tmp_path / "run").mkdir()
    shutil.copy(digits, tmp_path / "run" / "resolved.yaml")  # of a run folder its configuration
    assert plot("samples", tmp_path / "run", "--augmented", *turned, "--count", "6", "--out", "again.png") == 0
    assert Path("again.png").read_bytes() == Path("samples.png").read_bytes()
    capsys.readouterr()
    assert "nothing is augmented; set a key of the section" in fails(capsys, "samples", digits, "--augmented")
    noise = ["--set", "augmentation.noise=1"]
    assert "2 numbers per row" in fails(capsys, "samples", CONFIGS / "spirals.yaml", "--augmented", *noise)


def test_steps_and_activations(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert plot("curves", "--steps", runs("digits")) == 0
    assert plot("activation", "relu", "sigmoid", "tanh") == 0
    assert plot("activation", "arctan", "--range", "-5", "5", "--out", "arctan.PNG") == 0
    assert plot("activation", "half_tanh", "--derivatives", "6", "--out", "half_tanh.svg") == 0
    assert plot("activation", "elu:alpha=2", "elu", "--shared", "--overlay", "--out", "elu.png") == 0
    assert capsys.readouterr().out.split() == ["steps.png", "activation.png", "arctan.PNG", "half_tanh.svg", "elu.png"]
    with Image.open("arctan.PNG") as image:
        assert image.format == "PNG"


def test_the_same_command_gives_the_same_file(runs: Runs) -> None:
    for name in ("one.svg", "two.svg"):
        assert plot("decision", runs("spirals"), "--out", name) == 0
    assert Path("one.svg").read_bytes() == Path("two.svg").read_bytes()


def test_a_checkpoint_file_serves_as_a_run(runs: Runs) -> None:
    assert plot("confusion", runs("digits") / "checkpoints" / "best.safetensors") == 0
    assert plot("decision", runs("spirals") / "checkpoints" / "last.safetensors") == 0


def test_what_cannot_be_drawn(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    digits, regression, spirals = runs("digits"), runs("regression"), runs("spirals")
    for message, arguments in {
        "over two inputs, but data 'digits' has 64": ("decision", digits),
        "needs classes, but the targets": ("decision", regression),
        "a confusion matrix needs classes": ("confusion", regression),
        f"`mlptrain plot residuals {regression}` is for numbers": ("confusion", regression),
        "which are not an image": ("mistakes", spirals),
        "has 2 numbers per row, which are not an image": ("weights", spirals),
        "no steps on record": ("curves", spirals, "--steps"),
        "no such run folder": ("curves", "nowhere"),
        "no such checkpoint or run folder": ("confusion", "nowhere"),
        "unknown activation swish": ("activation", "swish"),
        "lower end first": ("activation", "relu", "--range", "4", "-4"),
        "not an image": ("samples", CONFIGS / "regression_by_heart.yaml"),
        "no such file": ("samples", "nowhere.yaml"),
        "has no all rows; choose ": ("confusion", digits, "--split", "all"),
        "has no test rows; choose train": ("confusion", spirals, "--split", "test"),
        "RUN": ("decision",),
    }.items():
        assert message in fails(capsys, *arguments)


def test_files_that_cannot_be(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs("spirals")
    Path("folder.png").mkdir()
    for out, message in {
        "curves.pdf": "ends in .png or .svg, not in '.pdf'",
        "curves": "ends in .png or .svg",
        "no/curves.png": "there is no folder no",
        "folder.png": "is a folder; name a file",
    }.items():
        assert message in fails(capsys, "curves", run, "--out", out)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write to: /proc")
def test_a_disk_that_refuses(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert plot("curves", runs("spirals"), "--out", "/proc/curves.png") == 1
    assert "/proc/curves.png cannot be written" in capsys.readouterr().err


def test_nothing_wrong_is_nothing_to_draw(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mlptrain.experiment import train
    from mlptrain.spec import load_spec

    overrides = ["data.classes=[0, 1]", "data.test_size=20", "training.epochs=8"]
    run = train(load_spec(CONFIGS / "digits.yaml", overrides), run_dir=tmp_path / "perfect").folder.path
    assert "predicts all 20 test examples correctly" in fails(capsys, "mistakes", run)


def test_unfinished_runs(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(runs("digits"), tmp_path / "run")
    (run / "result.json").unlink()
    assert plot("curves", run) == 0
    assert plot("confusion", run) == 0
    shutil.rmtree(run / "checkpoints")
    assert "holds no checkpoint yet" in fails(capsys, "confusion", run)
    assert plot("curves", run) == 0
    (run / "metrics.jsonl").write_text("")
    assert "has no epoch yet" in fails(capsys, "curves", run)


def modules_loaded_by(arguments: list[str]) -> set[str]:
    """Top-level modules in memory after a command in a process of its own."""
    code = (
        "import sys; from mlptrain.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: print('MODULES', *{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("MODULES")[2].split())


def test_heavy_modules_are_loaded_where_they_are_needed(runs: Runs) -> None:
    for arguments in (["--help"], ["plot", "--help"], ["check", str(CONFIGS / "digits.yaml")]):
        assert not modules_loaded_by(arguments) & {"matplotlib", "torch"}
    curves = modules_loaded_by(["plot", "curves", str(runs("digits"))])
    assert "matplotlib" in curves
    assert "torch" not in curves
