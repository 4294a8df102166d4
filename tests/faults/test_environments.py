"""Every command in surroundings that are not a developer's: no home, no terminal, no UTF-8, nobody who listens."""

from __future__ import annotations

import io
import json
import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlptrain.cli import main
from mlptrain.errors import DataError

ROOT = Path(__file__).parent.parent.parent
DIGITS = str(ROOT / "configs" / "digits.yaml")
Attacks = Callable[[str, int, int], Iterator[int]]

NO_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SURROUNDINGS: dict[str, dict[str, str | None]] = {
    "a C locale": {**NO_UTF8, "HOME": "/nonexistent"},
    "ASCII streams": {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "COLUMNS": "20", "NO_COLOR": "1"},
    "latin-1 streams": {"LC_ALL": "POSIX", "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0", "TERM": "dumb"},
    "no home, a cache that cannot be written": {"HOME": None, "XDG_CACHE_HOME": "/proc/none", "TERM": None},
    "a home that is a file": {"HOME": "/etc/hostname", "COLUMNS": "1", "LINES": "1"},
    "a notebook's": {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "MPLCONFIGDIR": "/proc/none"},
    "colour forced and forbidden": {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "0"},
    "nothing set at all": dict.fromkeys(("HOME", "TERM", "LANG", "LC_ALL", "USER", "LOGNAME", "PWD", "SHELL")),
}
# One process, so that torch is loaded once: main() as often as there are lines.
CALLER = """
import shlex, sys
from mlptrain.cli import main
from mlptrain.errors import DataError
for line in open(sys.argv[1], encoding="utf-8"):
    try:
        main(shlex.split(line))
    except SystemExit as ended:
        print("ended", ended.code or 0, flush=True)
"""
LIGHT = {
    "--help": 0,
    "train --help": 0,
    "init first": 0,
    "check first.yaml": 0,
    "check faulty.yaml": 2,
    "check absent.yaml": 2,
    "schema": 0,
    "runs .": 0,
    "runs absent": 2,
}
HEAVY = {
    "train first.yaml --set training.epochs=2 --run-dir run": 0,
    "train first.yaml --set training.epochs=1 --seeds 0,1 --run-dir seeds": 0,
    "train first.yaml --set training.epochs=3 --set optimizer.lr=1e30 --run-dir diverged": 3,
    "eval run": 0,
    "predict run --index 0": 0,
    "runs .": 0,
    "doctor": 0,
}
PICTURE = {"plot activation relu": 0}
COMPARED = {
    "compare-optimizers first.yaml --optimizers sgd,adam --lr 0.1 --seeds 2 --set tuning.seeds=1 "
    "--set base.training.epochs=1 --run-dir compared": 0,
    "report run": 0,
    "report compared": 0,
    "plot curves run": 0,
}


def surroundings(changed: dict[str, str | None]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NO_COLOR", "COLUMNS")}
    kept |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MLPTRAIN_DATA_DIR": "data"}
    for name, value in changed.items():
        kept.pop(name, None)
        if value is not None:
            kept[name] = value
    if changed.get("XDG_CACHE_HOME"):
        del kept["MLPTRAIN_DATA_DIR"]  # the cache itself is what is asked for
    return kept


def call(lines: dict[str, int], folder: Path, changed: dict[str, str | None]) -> str:
    """Run the commands in one process without a terminal or an input; what they wrote, with both streams in one."""
    (folder / "faulty.yaml").write_text(
        "data: {name: dïgits×}\nmodel: {hidden: [é]}\noptimizer: sgd\n", encoding="utf-8"
    )
    (folder / "lines").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", CALLER, "lines"],
        cwd=folder,
        env=surroundings(changed),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=600,
    )
    out = done.stdout.decode("latin-1")
    assert done.returncode == 0, out
    assert "Traceback" not in out
    assert "internal error" not in out
    assert "\x1b" not in out
    ended = [int(line.split()[1]) for line in out.splitlines() if line.startswith("ended ")]
    assert dict(zip(lines, ended, strict=True)) == lines, out
    return out


@pytest.mark.parametrize("what", SURROUNDINGS)
def test_commands_without_torch(what: str, attacks: Attacks, tmp_path: Path) -> None:
    for _ in attacks("surroundings for the commands without torch", 1, 1):
        call(LIGHT, tmp_path, SURROUNDINGS[what])


@pytest.mark.parametrize("what", SURROUNDINGS)
def test_all_commands(what: str, request: pytest.FixtureRequest, attacks: Attacks, tmp_path: Path) -> None:
    """In the short size two of the surroundings, with what all the others have of their kind."""
    full = request.config.getoption("--faults") == "full"
    if not full and what not in ("a C locale", "no home, a cache that cannot be written"):
        pytest.skip("this one is in the full size")
    for _ in attacks("surroundings for all commands", 1, 1):
        lines = {"init first": 0, **HEAVY, **(COMPARED if full or what == "a C locale" else {})}
        out = call(lines, tmp_path, SURROUNDINGS[what])
        assert "ready to train" in out
        assert (tmp_path / "run" / "result.json").is_file()
        assert not (tmp_path / "~").exists()


MATPLOTLIBS: dict[str, dict[str, str | None]] = {
    "a backend that is not installed, and settings that are not text": {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": "not-text",
    },
    "a backend that does not exist, and settings of the current folder that are not text": {"MPLBACKEND": "nonsense"},
}


@pytest.mark.parametrize("what", MATPLOTLIBS)
def test_pictures_do_not_depend_on_the_settings_of_matplotlib(what: str, tmp_path: Path) -> None:
    (tmp_path / "not-text").write_bytes(b"\xff\xfe\0")
    if "current" in what:
        (tmp_path / "not-text").rename(tmp_path / "matplotlibrc")
    out = call(PICTURE, tmp_path, MATPLOTLIBS[what])
    assert out == "activation.png\nended 0\n"
    assert (tmp_path / "activation.png").read_bytes().startswith(b"\x89PNG")


def test_a_backend_that_the_user_has_is_left_to_the_user(tmp_path: Path) -> None:
    """As in a notebook, whose own pictures come after ours."""
    code = (
        "import os, sys\nfrom mlptrain.report.loading import load_matplotlib\nload_matplotlib()\n"
        "import matplotlib\nprint(os.environ['MPLBACKEND'], matplotlib.get_backend())"
    )
    done = subprocess.run([sys.executable, "-c", code], env=surroundings({"MPLBACKEND": "svg"}), capture_output=True)
    assert (done.stdout, done.stderr) == (b"svg svg\n", b"")


def test_a_comparison_whose_pictures_fail_keeps_and_shows_its_tables(tmp_path: Path) -> None:
    """With a matplotlib that is broken for good; doctor notices."""
    (tmp_path / "broken" / "matplotlib").mkdir(parents=True)
    (tmp_path / "broken" / "matplotlib" / "__init__.py").write_text("raise ImportError('it is broken')\n")
    [(compare, _), *_] = COMPARED.items()
    lines = {"init first": 0, compare: 1, "doctor": 1, "report compared": 1}
    out = call(lines, tmp_path, {"PYTHONPATH": f"{tmp_path / 'broken'}{os.pathsep}{ROOT}"})
    assert "paired differences" in out
    assert out.count("it is broken") == 3
    assert {"summary.csv", "summary.md", "summary.tex"} <= {path.name for path in (tmp_path / "compared").iterdir()}

    out = call({compare: 0}, tmp_path, {"MPLBACKEND": "nonsense"})  # retrains nothing
    assert "paired differences" in out
    assert (tmp_path / "compared" / "pictures" / "scores.png").is_file()


def in_a_shell(command: str, folder: Path, **changed: str) -> subprocess.CompletedProcess[bytes]:
    line = command.replace("mlptrain", f"{shlex.quote(sys.executable)} -m mlptrain")
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=surroundings(dict(changed)), capture_output=True, check=False, timeout=300
    )


NOBODY_LISTENS = (
    "mlptrain check first.yaml | head -c 0",
    "mlptrain runs . | head -c 0",
    "mlptrain --help | head -c 0",
    "mlptrain schema | head -c 10",
    "mlptrain check absent.yaml 2>&1 | head -c 0",
    "mlptrain check first.yaml --json >&-",
    "mlptrain check absent.yaml 2>&-",
    "mlptrain init again >&- 2>&- <&-",
)


@pytest.mark.parametrize("command", NOBODY_LISTENS)
def test_nobody_listens(command: str, tmp_path: Path) -> None:
    """No traceback, and no complaint of the interpreter's at its end."""
    (tmp_path / "first.yaml").write_bytes(Path(DIGITS).read_bytes())
    done = in_a_shell(command, tmp_path)
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["check first.yaml", "check first.yaml --json", "runs ."])
def test_an_output_that_takes_nothing_is_one_message(command: str, tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_bytes(Path(DIGITS).read_bytes())
    done = in_a_shell(f"mlptrain {command} > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: the output: No space left on device")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_training_whose_progress_nobody_can_read_goes_on(tmp_path: Path) -> None:
    """Standard error on a full disk, and on a terminal that was closed."""
    train = f"mlptrain train {DIGITS} --set training.epochs=4 --run-dir"
    assert b"run folder: full" in in_a_shell(f"{train} full 2> /dev/full", tmp_path).stdout
    unseen = in_a_shell(f"{train} unseen > /dev/full", tmp_path)
    told = b"error: unseen is complete, but its result cannot be shown: No space left on device"
    assert (unseen.returncode, unseen.stderr.splitlines()[-1]) == (1, told)
    assert b"group folder: seeds" in in_a_shell(f"{train} seeds --seeds 0,1 2> /dev/full", tmp_path).stdout
    ours, theirs = pty.openpty()
    os.close(ours)
    command = [sys.executable, "-m", *f"{train} closed".split()]
    done = subprocess.run(
        command, cwd=tmp_path, env=surroundings({}), stdout=subprocess.PIPE, stderr=theirs, check=False
    )
    os.close(theirs)
    assert (done.returncode, b"run folder: closed" in done.stdout) == (0, True)


def test_a_training_with_every_stream_closed_writes_into_no_file_of_the_run(tmp_path: Path) -> None:
    """The first files that are opened would get the numbers of standard output and error, and what is printed."""
    train = f"mlptrain train {DIGITS} --set training.epochs=2 --run-dir"
    for folder, streams in (("closed", "<&- >&- 2>&-"), ("open", "")):
        assert in_a_shell(f"{train} {folder} {streams}", tmp_path).returncode == 0
    for name in ("config.yaml", "resolved.yaml", "metrics.jsonl", "result.json", "checkpoints/best.safetensors"):
        assert (tmp_path / "closed" / name).read_bytes() == (tmp_path / "open" / name).read_bytes(), name


def on_a_terminal(*arguments: str, monkeypatch: pytest.MonkeyPatch, **given: str) -> bytes:
    """What a command writes on a terminal of 20 columns."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm", "COLUMNS": "20"} | given).items():
        monkeypatch.setenv(name, value)
    ours, theirs = pty.openpty()
    written = b""
    try:
        with io.TextIOWrapper(os.fdopen(theirs, "wb", 0), encoding="utf-8", write_through=True) as terminal:
            monkeypatch.setattr(sys, "stdout", terminal)
            monkeypatch.setattr(sys, "stderr", terminal)
            os.set_blocking(ours, False)
            with pytest.raises(SystemExit) as ended:
                main(list(arguments))
            assert not ended.value.code
            while True:
                try:
                    written += os.read(ours, 1 << 16)
                except OSError:
                    return written
    finally:
        monkeypatch.undo()
        os.close(ours)


@pytest.mark.parametrize("given", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": "unknown"}])
def test_a_terminal_gets_escape_sequences_only_where_they_are_wanted(
    given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = on_a_terminal("check", DIGITS, monkeypatch=monkeypatch, **given)
    assert (b"\x1b" in written) == (not given)
    assert b"weight 32\xc3\x9764" in written  # wrapped by the terminal, and nothing cut off
    train = ("train", DIGITS, "--set", "training.epochs=2", "--run-dir", str(tmp_path / "run"))
    written = on_a_terminal(*train, monkeypatch=monkeypatch, **given)
    assert (b"\x1b" in written) == (not given)
    assert (tmp_path / "run" / "result.json").is_file()


def test_a_home_that_cannot_be_found_gets_no_folder_named_tilde(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As of a user whom the system does not know, in a container."""
    from mlptrain.sources.store import data_folder

    for name in ("HOME", "XDG_CACHE_HOME", "MLPTRAIN_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert data_folder().is_absolute()
    assert "~" not in data_folder().parts
    with pytest.raises(DataError, match="give the full path"):
        data_folder(Path("~/data"))


def test_results_are_json_also_where_a_figure_is_no_number(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wild = ["--set", "optimizer.lr=1e30", "--set", "training.batch_size=full", "--set", "training.epochs=1"]
    wild += ["--set", "data.validation=0", "--set", "evaluation={split: none}", "--run-dir", "run"]

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    for arguments in (["train", DIGITS, *wild], ["eval", "run"], ["runs", "."]):
        capfd.readouterr()
        with pytest.raises(SystemExit):
            main([*arguments, "--json"])
        found = json.loads(capfd.readouterr().out, parse_constant=refuse)
        if arguments[0] == "eval":
            assert found["loss"] is None
