"""Nothing is sent, nothing unverified is opened, no name leads out of its folder, and no text acts on who reads it."""

from __future__ import annotations

import contextlib
import gzip
import html
import http.server
import io
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mlptrain.errors import MachineError, RunFolderError
from mlptrain.runs import SeedGroup
from mlptrain.sources.fetch import fetch
from mlptrain.system.text import printable
from tests.faults.tools.hostile import SMALL, call, refused

ROOT = Path(__file__).parent.parent.parent
Attacks = Callable[[str, int, int], Iterator[int]]

# Reports every use of a socket and every program that is started to the file named first, then runs the commands.
WATCHED = """
import shlex, sys
import urllib3.util.connection  # of MLflow's, which asks at its import whether this machine has an IPv6 of its own
log = open(sys.argv[1], "w", encoding="utf-8", buffering=1)
def watch(event, arguments):
    if event.startswith("socket.") or event in ("urllib.Request", "http.client.connect", "ftplib.connect"):
        print("network", event, arguments[-1:], file=log)
        raise ConnectionRefusedError("the network is forbidden")
    if event == "subprocess.Popen" and "mlptrain.report.comparison.artist" in arguments[1]:
        raise OSError("draw in this process, which is watched")
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"):
        print("program", [str(one) for one in arguments[1]] if len(arguments) > 1 else arguments, file=log)
sys.addaudithook(watch)
from mlptrain.cli import main
for line in open(sys.argv[2], encoding="utf-8"):
    print("command", line.strip(), file=log)
    try:
        main(shlex.split(line))
    except SystemExit as ended:
        print("ended", ended.code or 0, flush=True)
"""
COMMANDS = (
    "check small.yaml",
    "train small.yaml --run-dir run",
    "train small.yaml --seeds 0,1 --run-dir seeds",
    "train --resume run --set training.epochs=3",
    "eval run",
    "predict run --index 0",
    "gradcheck small.yaml",
    "compare-optimizers small.yaml --optimizers sgd,adam --lr 0.1 --seeds 2 --set tuning.seeds=1 --run-dir compared",
    "train small.yaml --log tensorboard --log mlflow --run-dir told",
    "export run --to tensorboard",
    "report run",
    "report compared",
    "plot curves run",
    "runs .",
    "data verify digits",
    "doctor",
)
FETCH = "data fetch mnist --mirror http://127.0.0.1:9/x --data-dir data"  # what the hook must see
# What is started besides, by us (git, for environment.json) and by libraries that look at the machine.
PROGRAMS = {"git", "uname", "lscpu", "ldconfig", "/sbin/ldconfig", "fc-list", "gcc", "cc", "ld", "objdump"}


def watched(lines: tuple[str, ...], folder: Path) -> tuple[str, str]:
    """What the commands print, and what the hook has seen."""
    (folder / "small.yaml").write_text(SMALL.replace("activation: prelu", "activation: tanh"), encoding="utf-8")
    (folder / "lines").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, "seen", "lines"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MLPTRAIN_DATA_DIR": "data", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, (folder / "seen").read_text(encoding="utf-8")


def test_nothing_is_sent_anywhere_but_by_fetching(tmp_path: Path, attacks: Attacks) -> None:
    out, seen = watched((*COMMANDS, FETCH), tmp_path)
    ended = [line for line in out.splitlines() if line.startswith("ended ")]
    assert ended == ["ended 0"] * len(COMMANDS) + ["ended 1"], out
    assert list(attacks("commands watched for any use of the network", len(COMMANDS), len(COMMANDS)))
    before, _, after = seen.partition(f"command {FETCH}")
    assert "network" not in before
    assert "network" in after
    assert (tmp_path / "told" / "mlflow.txt").exists()
    assert list((tmp_path / "told" / "tensorboard").iterdir())
    programs = [line.removeprefix("program ") for line in before.splitlines() if line.startswith("program ")]
    assert any("rev-parse" in line for line in programs), "the hook does not see what is started"
    assert {line.strip("[]").split(",")[0].strip("'") for line in programs} <= PROGRAMS, programs


def test_what_a_run_keeps_names_neither_its_user_nor_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run folders are handed on: no host, user, home or folder in them that the user did not write."""
    secrets = {"HOME": "hidden-home", "USER": "hidden-user", "LOGNAME": "hidden-user", "HOSTNAME": "hidden-host"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, f"/{value}" if name == "HOME" else value)
    monkeypatch.setattr("socket.gethostname", lambda: "hidden-host")
    monkeypatch.setattr("platform.node", lambda: "hidden-host")
    (tmp_path / "hidden-place").mkdir()
    monkeypatch.chdir(tmp_path / "hidden-place")
    Path("small.yaml").write_text(SMALL)
    assert call("train", "small.yaml", "--run-dir", "run", "--data-dir", tmp_path / "hidden-data")[0] == 0
    assert call("report", "run", "--data-dir", tmp_path / "hidden-data")[0] == 0
    assert call("export", "run", "--to", "tensorboard")[0] == 0
    for path in Path("run").rglob("*"):
        assert "hidden-" not in path.name
        if path.is_file():
            assert b"hidden-" not in path.read_bytes(), path


class Server(http.server.ThreadingHTTPServer):
    """A mirror that answers everything with ``body``, or sends the caller elsewhere."""

    body = b""
    elsewhere: str | None = None


class Answer(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.server.elsewhere is not None:
            self.send_response(302)
            self.send_header("Location", self.server.elsewhere)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silence."""


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def never(*arguments: object, **options: object) -> None:
    raise AssertionError("what was fetched was opened before it was verified")


def hostile_archive(chance: random.Random) -> bytes:
    kind = chance.randrange(5)
    if kind == 0:  # 10 MB from 10 kB
        return gzip.compress(bytes(10**7), 9)
    if kind == 1:  # a header that names a file to write to
        return gzip.compress(b"x").replace(b"\x1f\x8b\x08\x00", b"\x1f\x8b\x08\x08", 1) + b"../../../x\0"
    if kind == 2:
        return b"<html>sign in</html>"
    if kind == 3:
        return b"cos\nsystem\n(S'touch executed'\ntR."
    return gzip.compress(chance.randbytes(1000))[: chance.randrange(1, 1000)]


def test_what_is_fetched_is_verified_before_it_is_opened_or_stored(
    mirror: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attacks: Attacks, chance: random.Random
) -> None:
    for name in ("decompress", "open", "GzipFile"):
        monkeypatch.setattr(gzip, name, never)
    monkeypatch.setattr(zlib, "decompressobj", never)
    for _ in attacks("hostile archives from a mirror", 20, 500):
        mirror.body = hostile_archive(chance)
        with pytest.raises(MachineError, match="not the published archive"):
            fetch("mnist", tmp_path / "data", mirrors=[address(mirror)], attempts=1)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "elsewhere", ["file:///etc/passwd", "ftp://127.0.0.1:9/x", "/again", "javascript:1", "http://["]
)
def test_a_mirror_that_sends_elsewhere(elsewhere: str, mirror: Server, tmp_path: Path) -> None:
    mirror.elsewhere = elsewhere
    told = refused("data", "fetch", "mnist", "--mirror", address(mirror), "--data-dir", tmp_path / "data")
    assert "MNIST could not be fetched" in told
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_mirror_that_is_a_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"x")
    told = refused("data", "fetch", "mnist", "--mirror", tmp_path.as_uri(), "--data-dir", tmp_path / "data")
    assert "http://" in told


OUTSIDE = (
    *("../../x", "/etc/x", "..", ".", "a/b", "a\\b", "a\0b", "a\nb", "", " ", "~", "-x", "$(touch x)", "x" * 65),
    *("x" * 10_000, "%2e%2e%2fx", "．．／x", "a\u202eb", "\x1b[31m", "<script>", "C:", "nul\x00", "../", "é"),
)


def names_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leads_out_of_its_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of experiments, of comparisons and of their optimizers: refused before anything is made."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    experiment = re.sub("^name: small", lambda _: f"name: {json.dumps(name)}", SMALL)
    Path("hostile.yaml").write_text(experiment, encoding="utf-8")
    base = {"data": "digits", "model": {"hidden": [6]}, "training": {"epochs": 1}}
    optimizers = {"a": {"name": "sgd", "lr": 0.1}, "b": {"name": "adam", "lr": 0.1}}
    comparison = {"name": name, "base": base, "optimizers": optimizers, "scoring": {"seeds": 2}}
    Path("compared.yaml").write_text(json.dumps(comparison), encoding="utf-8")  # JSON is YAML
    optimizers = {name: optimizers["a"], "b": optimizers["b"]}
    Path("optimizers.yaml").write_text(
        json.dumps(comparison | {"name": "x", "optimizers": optimizers}), encoding="utf-8"
    )
    before = names_below(tmp_path)
    for command in ("train hostile.yaml", "train hostile.yaml --seeds 0,1", "compare-optimizers compared.yaml"):
        assert "name" in refused(*shlex.split(command))
    refused("compare-optimizers", "optimizers.yaml")
    assert names_below(tmp_path) == before


@pytest.mark.parametrize("name", ["con", "nul", "prn", "aux", "a.b", "0", "x" * 64])
def test_names_that_other_systems_reserve_are_parts_of_longer_ones(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run named con lies in con-<time>-<digits>, which no system takes for a device."""
    from mlptrain.runs import RunFolder

    monkeypatch.chdir(tmp_path)
    with RunFolder.create(name) as folder:
        assert folder.path.parent == Path("runs")
        assert re.fullmatch(rf"{re.escape(name)}-\d{{8}}T\d{{6}}Z-[0-9a-f]{{4}}", folder.path.name)


@pytest.mark.parametrize(
    "seeds", ['["../../x"]', "[-1]", "[1.0]", "[true]", '"0"', '{"0": 0}', "[null]", '["0"]', "[[0]]"]
)
def test_seeds_that_are_no_numbers_name_no_folder(seeds: str, tmp_path: Path) -> None:
    (tmp_path / "seeds.json").write_text(f'{{"seeds": {seeds}}}')
    with pytest.raises(RunFolderError, match=r"seeds(\.0)? is not what was written"):
        SeedGroup.open(tmp_path).numbers  # noqa: B018
    refused("train", "--resume", tmp_path)


def test_a_checkpoint_whose_specification_has_such_a_name_is_refused(run: Path, tmp_path: Path) -> None:
    from mlptrain.experiment.checkpoints import load_checkpoint, save_checkpoint

    checkpoint = load_checkpoint(run / "checkpoints" / "last.safetensors")
    from dataclasses import replace

    experiment = checkpoint.experiment.changed(name="../../outside")
    save_checkpoint(tmp_path / "forged.safetensors", replace(checkpoint, experiment=experiment))
    refused("eval", tmp_path / "forged.safetensors")


@pytest.mark.parametrize("content", ["", "the lines of the run"])
def test_a_log_that_is_a_link_is_not_followed_out_of_the_folder(content: str, run: Path, tmp_path: Path) -> None:
    """As in a run folder that came in an archive of somebody else's."""
    outside = tmp_path / "outside"
    for name in ("metrics.jsonl", "timings.jsonl"):
        outside.write_bytes((run / name).read_bytes() if content else b"")
        before = outside.read_bytes()
        kept = (run / name).read_bytes()
        (run / name).unlink()
        (run / name).symlink_to(outside)
        call("train", "--resume", run, "--set", "training.epochs=4")
        assert outside.read_bytes() == before
        if (run / name).is_symlink():
            (run / name).unlink()
            (run / name).write_bytes(kept)


def test_a_page_does_not_overwrite_what_a_link_in_its_place_names(run: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("mine")
    (run / "report.html").symlink_to(tmp_path / "outside")
    assert call("report", run)[0] == 0
    assert (tmp_path / "outside").read_text() == "mine"
    assert not (run / "report.html").is_symlink()


def test_the_page_of_a_server_loads_nothing_from_elsewhere(run: Path) -> None:
    import httpx

    from tests.servers import serving

    with serving(run) as address, httpx.Client(base_url=address, trust_env=False) as client:
        answers = {path: client.get(path) for path in ("/", "/page.js", "/page.css")}
        refused = client.post("/predict", content=b"", headers={"Origin": "http://elsewhere.example"})
    page = Elements(answers["/"].text)
    assert page.targets <= {"page.js", "page.css", "openapi.json", "data"}
    assert not {"style", "iframe", "form", "attribute style", "attribute onclick", "attribute onload"} & page.found
    for path, answer in answers.items():
        assert not re.search(r"https?:|//[a-z]|@import|url\(", answer.text.replace("// ", "")), path
        rules = dict(rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; "))
        assert rules["default-src"] == "'none'"
        assert {source for rule in rules.values() for source in rule.split()} == {"'none'", "'self'", "data:"}
    assert "Access-Control-Allow-Origin" not in refused.headers


def test_no_name_of_a_column_or_class_acts_in_the_page_of_a_server(tmp_path: Path) -> None:
    import httpx
    import polars as pl

    import mlptrain
    from tests.servers import serving

    pages = []
    for number, names in enumerate((HOSTILE, [f"level {place}" for place in range(len(HOSTILE))])):
        columns: dict[str, list[Any]] = {names[place]: [0.5 * place, 1, 2, 3] * 10 for place in range(4)}
        columns |= {names[4]: [names[place % len(names)] for place in range(40)], "y": [names[0], names[1]] * 20}
        pl.DataFrame(columns).write_csv(tmp_path / f"{number}.csv")
        data = {
            "name": "table",
            "path": str(tmp_path / f"{number}.csv"),
            "target": "y",
            "columns": {names[4]: "categorical"},
        }
        experiment = {"data": data, "model": {"hidden": [4]}, "optimizer": "adam", "training": {"epochs": 1}}
        mlptrain.train(experiment, run_dir=tmp_path / f"run {number}")
        with serving(tmp_path / f"run {number}") as address:
            pages.append(httpx.get(address, trust_env=False).text)
    assert_harmless(pages[0])
    assert Elements(pages[0]).found == Elements(pages[1]).found
    assert Elements(pages[0]).targets == Elements(pages[1]).targets
    assert {printable(name.strip()) for name in HOSTILE} <= set(Elements(pages[0]).words)


HOSTILE = (
    *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "</style><script>"),
    *(
        "</title><b>",
        "javascript:alert(1)",
        "<!-- ",
        "]]>",
        "&lt;b&gt;",
        "</code></pre><iframe src=//a>",
        "<svg/onload=x>",
    ),
    *("[red]x[/red]", "[/]", "[link=file:///etc/passwd]x[/link]", ":smile:", "$x^2$", r"\input{/etc/passwd}"),
    *(
        "| a | b |",
        "`x`",
        "![x](http://a/b)",
        "<a href='javascript:alert(1)'>x</a>",
        "a\x1b[31mb",
        "a\x9b31mb",
        "a\u202eb",
    ),
)


class Elements(HTMLParser):
    """The kinds of elements and of attributes, and what attributes lead to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.targets: set[str] = set()
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(f"attribute {name}" for name, _ in attrs)}
        led = [str(value) for name, value in attrs if name in ("href", "src", "action", "xlink:href")]
        self.targets |= {"#" if value.startswith("#") else value.partition(":")[0] for value in led}

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.found.add(f"comment {data[:20]}")


def strings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all texts in a JSON value."""
    if isinstance(value, str):
        yield path
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from strings(one, (*path, key))


def put_at(value: Any, path: tuple[Any, ...], text: str) -> Any:
    if not path:
        return text
    copy = value.copy()
    copy[path[0]] = put_at(value[path[0]], path[1:], text)
    return copy


def test_no_text_of_a_run_acts_in_its_page(run: Path, tmp_path: Path, attacks: Attacks, chance: random.Random) -> None:
    from mlptrain.report.page import render_page

    harmless = Elements(render_page(run))
    folder = tmp_path / "run <script>alert(1)<"
    for _ in attacks("hostile texts in a run's page", 12, 300):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(run, folder)
        evil = chance.choice(HOSTILE)
        (folder / "config.yaml").write_text(f"# {evil}\n{SMALL}", encoding="utf-8")
        file = folder / chance.choice(("environment.json", "result.json"))
        value = json.loads(file.read_bytes())
        file.write_text(json.dumps(put_at(value, chance.choice(list(strings(value))), evil)), encoding="utf-8")
        try:
            text = render_page(folder)
        except RunFolderError:
            continue
        assert_harmless(text)
        page = Elements(text)
        assert page.found <= harmless.found, (evil, page.found - harmless.found)
        assert page.targets <= harmless.targets
        assert printable(evil) in "".join(page.words)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.comparison.small import FIXED, compare

    result = compare(FIXED, tmp_path_factory.mktemp("compared"))
    from mlptrain.report.comparison.outputs import write_outputs
    from mlptrain.runs.comparison import Summary, Timings

    write_outputs(result.path, Summary.model_validate(result.summary), Timings())
    return result.path


def renamed(summary: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The summary with other names, keys and sentences, as if somebody had edited it."""

    def other(value: Any) -> Any:
        if isinstance(value, dict):
            return {names.get(key, key): other(one) for key, one in value.items()}
        if isinstance(value, list):
            return [other(one) for one in value]
        return names.get(value, value) if isinstance(value, str) else value

    changed: dict[str, Any] = other(summary)
    return changed | {"name": names["SGD"], "sentence": f"{names['SGD']} won."}


def test_no_text_of_a_comparison_acts_in_page_tables_or_terminal(
    compared: Path, tmp_path: Path, attacks: Attacks, chance: random.Random
) -> None:
    from mlptrain.cli.compare_screen import show_summary
    from mlptrain.report.comparison.outputs import comparison_page, write_outputs
    from mlptrain.runs.comparison import Summary, Timings

    harmless = Elements(comparison_page(compared))
    files = {path.relative_to(compared) for path in compared.rglob("*")}
    for _ in attacks("hostile names in a comparison", 4, 60):
        folder = shutil.copytree(compared, tmp_path / "x" / "copy", dirs_exist_ok=True)
        evil = f"{chance.choice(HOSTILE)} ../../{chance.choice(HOSTILE)}"
        summary = renamed(json.loads((compared / "summary.json").read_bytes()), {"SGD": evil})
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        text = comparison_page(folder)
        assert_harmless(text)
        page = Elements(text)
        assert page.found <= harmless.found, (evil, page.found - harmless.found)
        assert page.targets <= harmless.targets
        assert printable(evil) in "".join(page.words)
        typed = Summary.model_validate(summary)
        write_outputs(folder, typed, Timings())
        assert {path.relative_to(folder) for path in folder.rglob("*")} == files
        assert names_below(tmp_path / "x") == sorted(["copy", *(f"copy/{path}" for path in files)])
        markdown = (folder / "summary.md").read_text(encoding="utf-8")
        assert not re.search(r"<(script|img|svg|iframe|a|b)\b", markdown)
        assert not re.search(r"(?<!\\)!\[|(?<!\\)\]\(", markdown)
        latex = (folder / "summary.tex").read_text(encoding="utf-8")
        assert "\\input" not in latex
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            show_summary("folder", typed, Timings())
        assert_harmless(out.getvalue())
        assert printable(evil).split()[0] in out.getvalue()


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def assert_harmless(shown: str) -> None:
    assert not CONTROL.search(shown), repr(CONTROL.search(shown))


def test_no_text_of_a_configuration_acts_on_the_terminal(
    tmp_path: Path, attacks: Attacks, chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys, values and overrides in messages: brackets as they are, control characters written out."""
    monkeypatch.chdir(tmp_path)
    for _ in attacks("hostile texts in a configuration", 25, 1_000):
        evil = "".join(chance.choice(HOSTILE) for _ in range(chance.randint(1, 3)))
        text = chance.choice(
            ("model: {hidden: [%s]}\n", "%s: 1\n", "model: {hidden: [3], activation: %s}\n", "data: {name: %s}\n")
        )
        Path("evil.yaml").write_text(SMALL.split("model")[0] + text % json.dumps(evil), encoding="utf-8")
        for arguments in (("evil.yaml",), ("absent.yaml",), ("evil.yaml", "--set", f"loss={json.dumps(evil)}")):
            told = refused("check", *arguments)
            assert_harmless(told)
        if "[red]" in evil:
            assert "[red]" in told


NAMES = ("a [red]b[red]", "a [] b", "a\x1b[31mb", "a\x9b31mb", "a\u202eb", "a\x07b\x08c", "a\rb", "[bold]", ":smile:")


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_folder_or_file_acts_on_the_terminal(
    name: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    run.rename(name)
    Image.new("L", (8, 8)).save(Path(f"{name}.png"))
    outputs = [call("runs", "."), call("runs", name), call("predict", name, f"{name}.png"), call("eval", f"{name}x")]
    outputs += [
        call("check", f"{name}/config.yaml"),
        call("train", "--resume", name),
        call("plot", "curves", name, "--out", "x.png"),
    ]
    outputs += [call("plot", "weights", name, "--out", f"{name}.svg"), call("init", f"{name}/y")]
    for _, out, err in outputs:
        assert_harmless(out + err)
    for _, out, err in (outputs[0], outputs[2], outputs[3], outputs[5]):
        assert printable(name) in out + err


def test_no_name_of_a_folder_acts_in_a_page_or_picture(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that are no UTF-8, of control characters and of letters that the pictures' font has not."""
    monkeypatch.chdir(tmp_path)
    names = [os.fsdecode(b"nu_\xff"), "a\x1b[31mb", "a\u202eb\nc", "\u5b9f\u9a13", "x" * 255]
    try:
        for name in names:
            shutil.copytree(run, name)
    except OSError as error:
        pytest.skip(f"no such folder can be here: {error}")
    for name in names:
        assert call("report", name, "--out", "page.html") == (0, "page.html\n", "")
        page = Path("page.html").read_text(encoding="utf-8")
        assert_harmless(page)
        assert f"<br>{html.escape(printable(name))}</p>" in page
    for command in (("curves",), ("curves", "--steps")):
        assert call("plot", *command, *names, "--out", "picture.png") == (0, "picture.png\n", "")
        assert call("plot", *command, *names, "--out", "picture.svg") == (0, "picture.svg\n", "")
        assert_harmless(Path("picture.svg").read_text(encoding="utf-8"))
        assert ET.parse("picture.svg").getroot().tag.endswith("svg")
