"""What an installation gets: the archives that `python -m build` makes, and the commands of the wheel alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

import pytest

import mlptrain

ROOT = Path(__file__).parent.parent


# As `python -m build --no-isolation` does it, in one process.
BUILD = """
import os, shutil, sys
from setuptools import build_meta

folder = sys.argv[1]  # which the backend changes
sdist = build_meta.build_sdist(folder)
shutil.unpack_archive(os.path.join(folder, sdist), "unpacked", filter="data")
os.chdir(os.path.join("unpacked", sdist.removesuffix(".tar.gz")))
build_meta.build_wheel(folder)
"""


@dataclass(frozen=True)
class Built:
    """The files that are built from, those of the source archive, and the wheel made of that."""

    tracked: set[str]
    sdist: set[str]
    wheel: zipfile.Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Of a copy, since building writes beside the sources."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so that nothing says which files belong to it")
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    folder = tmp_path_factory.mktemp("built")
    for name in tracked:
        (folder / "sources" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / "sources" / name)
    command = [sys.executable, "-c", BUILD, str(folder)]
    done = subprocess.run(command, cwd=folder / "sources", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {member.name.partition("/")[2] for member in archive if member.isfile()}
    return Built(tracked, held, zipfile.Path(wheel))


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    names = {name for name in built.wheel.root.namelist() if not name.endswith("/")}
    info = f"mlptrain-{mlptrain.__version__}.dist-info/"
    package = {name for name in built.tracked if name.startswith("mlptrain/")} - {"mlptrain/README.md"}
    assert {name for name in names if not name.startswith(info)} == package

    metadata = HeaderParser().parsestr((built.wheel / info / "METADATA").read_text())
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Version"] == mlptrain.__version__
    assert "Root-Is-Purelib: true" in (built.wheel / info / "WHEEL").read_text()  # so that no compiler is needed


def test_the_source_archive_holds_every_file_that_is_tracked(built: Built) -> None:
    assert built.tracked <= built.sdist
    made = {name for name in built.sdist - built.tracked if not name.startswith("mlptrain.egg-info/")}
    assert made == {"PKG-INFO", "setup.cfg"}


SESSION = """
import json, sys
from importlib.metadata import entry_points

[found] = [one for one in entry_points(group="console_scripts") if one.name == "mlptrain"]
command = found.load()
for line in [
    "--version",
    "--help",
    "init first",
    "check first.yaml",
    "train penguins.yaml --run-dir run",
    "report run",
    "export run --to npz",
]:
    try:
        command(line.split())
    except SystemExit as ended:
        assert not ended.code, (line, ended.code)
import mlptrain

print(json.dumps([sys.path, mlptrain.__file__, mlptrain.evaluate("run")["examples"]]))
"""


def test_the_commands_work_with_nothing_but_the_wheel(built: Built, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    built.wheel.root.extractall(installed)
    (tmp_path / "penguins.yaml").write_text(
        "data: penguins\nmodel: {hidden: [4]}\noptimizer: adam\ntraining: {epochs: 1, device: cpu, threads: 1}\n"
    )
    # Packages from where they are, without the .pth files that lead to this checkout.
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), *packages])}
    command = [sys.executable, "-S", "-P", "-c", SESSION]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    path, file, examples = json.loads(done.stdout.splitlines()[-1])
    assert str(ROOT) not in path
    assert Path(file).is_relative_to(installed)
    assert f"mlptrain {mlptrain.__version__}" in done.stdout
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    assert examples == 69  # a fifth of the 344 penguins
