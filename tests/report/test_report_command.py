"""The page of a run: valid, self-contained, escaped, and right about the run; opened in a real browser."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mlptrain import views
from mlptrain.cli import main
from mlptrain.experiment import train
from mlptrain.report.page import render_page
from mlptrain.spec import load_spec
from tests.report.conftest import CONFIGS, Runs

VOID = {"meta", "link", "img", "br"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Reads a page strictly: every tag closed in order, no attribute twice, no id twice."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(ids) == len(set(ids))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice in {tag}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{tag}/> is no HTML"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def report(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["report", *map(str, arguments)])
    code = ended.value.code
    assert code is None or isinstance(code, int)
    return code or 0


def page_of(run: Path, tmp_path: Path) -> Page:
    assert report(run, "--out", tmp_path / "page.html") == 0
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


def section_of(run: Path, name: str, **changes: object) -> str:
    """A section of the run's page, with an evaluation that has these values."""
    evaluation = {"split": "test", "examples": 9, "loss": 0.5, "accuracy": 0.9, "interval": [0.8, 0.95], "wrong": 1}
    evaluation |= {"confusion": None, "per_class": None}
    page = render_page(run, evaluation=evaluation | changes)
    [section] = re.findall(rf'<section aria-labelledby="{name}">.*?</section>', page, flags=re.DOTALL)
    return str(section)


def class_rows(names: Sequence[str]) -> list[dict[str, object]]:
    return [{"class": name, "precision": 0.5, "recall": 1.0, "examples": 2} for name in names]


def test_the_page_of_digits(runs: Runs, tmp_path: Path) -> None:
    run = runs("digits")
    page = page_of(run, tmp_path)
    result = json.loads((run / "result.json").read_text())
    accuracy = result["kept"]["test_accuracy"]
    wrong = round((1 - accuracy) * 360)
    for wanted in (
        f"Test accuracy {100 * accuracy:.2f} %",
        f"Misclassified {wrong} of 360 test examples",
        f"Test loss {result['kept']['test_loss']:.4f}",
        "Completed: 4 epochs, 164 steps.",
        f"weights after epoch {result['kept']['epoch']} (lowest validation loss). This run evaluated the test set once",
        "64-64-32-10 relu, 6,570 parameters · sgd 0.1 momentum 0.9 nesterov · data digits",
        f"mlptrain train {run / 'resolved.yaml'}",
        json.loads((run / "environment.json").read_text())["hashes"]["data"],
    ):
        assert wanted in page.text
    assert " ".join((run / "resolved.yaml").read_text().split()) in page.text
    assert page.text.index("Outcome") < page.text.index("Training curves") < page.text.index("Confusion")
    assert len(page.all("svg")) == 4  # by epoch and by step
    for wanted in (
        "Training loss, mean during the epoch, from", "0 64 → 64 relu weight 64×64, bias 64 4,160",
        "2 32 → 10 identity weight 10×32, bias 10 330",
    ):  # fmt: skip
        assert wanted in page.text
    rows = [int(row) for row in re.findall(r"row (\d+)", page.text)]
    assert rows == views.mistakes(run).index.tolist()
    assert len(page.all("img")) == min(24, wrong)


def test_the_figures_of_the_kept_weights_on_every_split(runs: Runs, tmp_path: Path) -> None:
    run = runs("digits")
    kept, text = json.loads((run / "result.json").read_text())["kept"], page_of(run, tmp_path).text
    assert "split loss, mean per example accuracy Training" in text
    for split, name in (("train", "Training"), ("validation", "Validation"), ("test", "Test")):
        assert f"{name} {kept[f'{split}_loss']:.4f} {100 * kept[f'{split}_accuracy']:.2f} %" in text


def test_untrained_weights_and_missing_classes(tmp_path: Path) -> None:
    overrides = ["data={name: digits, train_size: 12, validation: 3}", "optimizer={name: sgd, lr: 3e3}"]
    loaded = load_spec(CONFIGS / "digits.yaml", [*overrides, "training.epochs=1"])
    with pytest.warns(UserWarning, match="no training rows of classes '"):
        run = train(loaded, run_dir=tmp_path / "run").folder
    text = page_of(run.path, tmp_path).text
    weights = "the initial weights, untrained by this run"
    assert f"The figures are those of epoch 0, {weights}; no epoch lowered the validation loss." in text
    assert "No training rows of classes '" in text
    assert re.search(r" \d – 0\.0 % \d+ ", text)
    assert "–: undefined, since the class was never predicted" in text


def test_the_interval_is_wilsons(runs: Runs, tmp_path: Path) -> None:
    run = runs("digits")
    found = re.search(r"interval \(Wilson\) ([\d.]+) to ([\d.]+) %", page_of(run, tmp_path).text)
    p, n, z = json.loads((run / "result.json").read_text())["kept"]["test_accuracy"], 360, 1.959964
    centre, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    bounds = [100 * (centre + sign * half) / (1 + z * z / n) for sign in (-1, 1)]
    assert found is not None
    assert [float(found[1]), float(found[2])] == pytest.approx(bounds, abs=0.006)


def test_the_page_needs_nothing_else(runs: Runs, tmp_path: Path) -> None:
    page = page_of(runs("spirals"), tmp_path)
    assert not page.all("script")
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{name} in {tag}"
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                assert (value or "").startswith(("#", "data:"))
            if "//" in (value or "") and not (value or "").startswith("data:"):
                assert name in ("xmlns", "xmlns:xlink")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"@import|url\((?!#)", text)


def test_pictures_have_names_and_tables_headings(runs: Runs, tmp_path: Path) -> None:
    for kind in ("digits", "spirals"):
        page = page_of(runs(kind), tmp_path)
        ids = {attributes.get("id") for _, attributes in page.tags}
        assert page.all("svg")
        for svg in page.all("svg"):
            assert svg["role"] == "img"
            assert set((svg["aria-labelledby"] or "").split()) <= ids
        for image in page.all("img"):
            assert re.fullmatch(r"An image of class \d that was predicted as \d\.", image["alt"] or "")
        for section in page.all("section"):
            assert section["aria-labelledby"] in ids
        assert all(cell["scope"] in ("row", "col") for cell in page.all("th"))
        assert page.all("html")[0]["lang"] == "en"
        assert [meta for meta in page.all("meta") if meta.get("name") == "viewport"]


def test_what_a_user_wrote_is_escaped(runs: Runs, tmp_path: Path) -> None:
    run = shutil.copytree(runs("digits"), tmp_path / "<i>&run")
    evil = '# </code></pre><script>alert(1)</script> & "quotes"\n'
    (run / "config.yaml").write_text(evil + (run / "config.yaml").read_text())
    environment = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps(environment | {"platform": "<script>alert(2)</script>"}))
    page = page_of(run, tmp_path)
    assert not page.all("script")
    assert not page.all("i")
    assert "<script>alert(1)</script>" in page.text
    assert "<script>alert(2)</script>" in page.text
    names = ["<b>", "a & b"]
    for section in ("confusion", "classes"):
        text = section_of(run, section, confusion=[[1, 2], [0, 3]], per_class=class_rows(names))
        assert not Page(text).all("b")
        assert all(escape(name) in text for name in names)


def test_long_names_of_classes_stand_upright_over_the_confusion_matrix(runs: Runs) -> None:
    for letters, upright in ((4, False), (40, True)):
        names = [f"{index:0{letters}}" for index in range(8)]
        counts = [[int(i == j) for j in range(8)] for i in range(8)]
        page = Page(section_of(runs("digits"), "confusion", confusion=counts, per_class=class_rows(names)))
        [table] = page.all("table")
        assert ("wide" in (table["class"] or "").split()) is upright


def test_a_configuration_as_windows_writes_it_is_shown_without_its_carriage_returns(runs: Runs, tmp_path: Path) -> None:
    run = shutil.copytree(runs("spirals"), tmp_path / "run")
    (run / "config.yaml").write_bytes(b"# a \x1b[31m\r\nname: x\r\n")
    page_of(run, tmp_path)
    assert r"<code># a \x1b[31m" + "\nname: x</code>" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_tables_have_true_classes_in_rows(runs: Runs) -> None:
    run = runs("digits")
    counts, names = [[40, 2], [0, 1357]], ["cat", "dog"]
    page = Page(section_of(run, "confusion", confusion=counts, per_class=class_rows(names)))
    assert page.text.endswith("true \\ predicted cat dog cat 40 2 dog · 1,357")
    rows = [
        {"class": "cat", "precision": 1.0, "recall": 0.952, "examples": 42},
        {"class": "dog", "precision": 0.9985, "recall": 1.0, "examples": 1357},
    ]
    assert Page(section_of(run, "classes", per_class=rows)).text == (
        "Per class class precision recall examples cat 100.0 % 95.2 % 42 dog 99.9 % 100.0 % 1,357"
    )
    unknown = [{"class": "none", "precision": None, "recall": None, "examples": 0}, *rows]
    assert "none – – 0 cat 100.0 % 95.2 %" in Page(section_of(run, "classes", per_class=unknown)).text
    many = [{"class": str(n), "precision": 1.0, "recall": n / 150, "examples": 1} for n in range(150)]
    shown = Page(section_of(run, "classes", per_class=many))
    assert len(shown.all("tr")) == 101
    assert "66.0 %" in shown.text
    assert "66.7 %" not in shown.text
    shown = Page(section_of(run, "classes", per_class=[unknown[0], *many]))  # undefined is not the lowest
    assert "none – –" not in shown.text


def test_confusion_of_very_many_classes_lists_the_mix_ups(runs: Runs) -> None:
    counts = [[5 if i == j else 0 for j in range(40)] for i in range(40)]
    counts[7][9] = 4
    names = [f"c{number}" for number in range(40)]
    page = Page(section_of(runs("digits"), "confusion", confusion=counts, per_class=class_rows(names)))
    assert len(page.all("tr")) == 2
    assert "c7 c9 4" in page.text


def test_the_same_run_gives_the_same_page(runs: Runs, tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        assert report(runs("spirals"), "--out", tmp_path / name) == 0
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_the_default_place_and_the_printed_path(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(runs("regression"), tmp_path / "run")
    assert report(run) == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    assert "Training loss" in page.text
    assert "Completed: 40 epochs" in page.text
    assert "Predicted and true values of the training examples" in page.text
    for absent in ("accuracy", "Confusion", "confident errors", "Per class", "the test set"):
        assert absent not in page.text


def test_an_interrupted_run_says_how_to_go_on(runs: Runs, tmp_path: Path) -> None:
    run = shutil.copytree(runs("digits"), tmp_path / "a run")
    (run / "result.json").unlink()
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:3]))
    page = page_of(run, tmp_path)
    assert "Interrupted after epoch 2 of 4." in page.text
    assert f"mlptrain train --resume '{run}'" in page.text
    assert f"Validation loss {json.loads(lines[2])['validation_loss']:.4f} after epoch 2, mean per example" in page.text
    assert f"Training loss {json.loads(lines[2])['train_loss']:.4f} during epoch 2, mean per example" in page.text
    assert "Test accuracy" not in page.text
    (run / "metrics.jsonl").write_text("")
    assert "Interrupted after no epoch yet." in page_of(run, tmp_path).text


def test_a_diverged_run_says_what_to_do(tmp_path: Path) -> None:
    from mlptrain.errors import DivergedError

    overrides = ["optimizer.lr=1e+6", "optimizer.momentum=0.99"]
    with pytest.raises(DivergedError) as error:
        train(load_spec(CONFIGS / "digits.yaml", overrides), run_dir=tmp_path / "run")
    page = page_of(tmp_path / "run", tmp_path)
    assert str(error.value)[1:] in page.text
    assert "try a smaller learning rate" in page.text
    diagnosis = json.loads((tmp_path / "run" / "result.json").read_text())["diagnosis"]
    lr = diagnosis["remedies"]["optimizer.lr"]
    assert f"mlptrain train {tmp_path / 'run' / 'resolved.yaml'} --set optimizer.lr={lr:g}" in page.text
    assert all(cause in page.text for cause in diagnosis["causes"])
    assert "Confusion" not in page.text


def test_a_stuck_run_says_why(tmp_path: Path) -> None:
    overrides = ["model.output_activation=relu", "optimizer.weight_decay=1", "training.epochs=3"]
    outcome = train(load_spec(CONFIGS / "digits.yaml", overrides), run_dir=tmp_path / "run")
    diagnosis = outcome.result.plain()["diagnosis"]
    assert diagnosis, "the run was to be stuck"
    page = page_of(tmp_path / "run", tmp_path)
    assert diagnosis["message"][1:] in page.text
    assert all(cause in page.text for cause in diagnosis["causes"])


def test_what_is_no_run_or_no_page(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(tmp_path) == 2
    assert "is not a run folder" in capsys.readouterr().err
    assert report(runs("digits"), "--out", tmp_path / "page.txt") == 2
    assert "ends in .html" in capsys.readouterr().err
    assert report(runs("digits"), "--out", tmp_path / "no" / "page.html") == 2
    assert "there is no folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def mnist_page(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mnist")
    overrides = ["data.train_size=6000", "data.validation=1000", "training.epochs=2"]
    train(load_spec(CONFIGS / "mnist.yaml", overrides), run_dir=folder / "run", data_dir=data_dir)
    assert report(folder / "run", "--data-dir", data_dir) == 0
    return folder / "run" / "report.html"


def test_the_page_of_a_real_mnist_run(mnist_page: Path) -> None:
    assert mnist_page.stat().st_size < 2_000_000
    page = Page(mnist_page.read_text(encoding="utf-8"))
    assert len(page.all("img")) == 24
    assert "of 10,000 test examples" in page.text


class Recorder(http.server.BaseHTTPRequestHandler):
    """A proxy that answers nothing and remembers what was asked of it."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    do_POST = do_HEAD = do_CONNECT = do_GET  # noqa: N815

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def proxy() -> Iterator[tuple[int, list[str]]]:
    asked: list[str] = []
    handler = type("OwnRecorder", (Recorder,), {"asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, asked
        server.shutdown()
        thread.join()


def browse(page: Path, port: int, profile: Path) -> tuple[str, list[str]]:
    """The document as the browser has it, and the lines of its console."""
    flags = (
        "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-extensions --enable-logging=stderr --dump-dom"
    )
    proxied = (f"--proxy-server=http://127.0.0.1:{port}", "--proxy-bypass-list=<-loopback>")
    command = [str(CHROMIUM), *flags.split(), *proxied, f"--user-data-dir={profile}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


def of_the_page(asked: list[str]) -> list[str]:
    """Without what the browser asks its makers on its own account; no page of ours names them."""
    own = re.compile(r"^(https?://)?([\w-]+\.)*(google|googleapis|gvt1)\.com[:/]")
    return [address for address in asked if not own.match(address)]


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: chromium is not on the PATH")


@needs_chromium
def test_a_browser_opens_it_without_request_or_error(runs: Runs, tmp_path: Path, proxy: tuple[int, list[str]]) -> None:
    port, asked = proxy
    page_of(runs("digits"), tmp_path)
    assert "google" not in (tmp_path / "page.html").read_text(encoding="utf-8")
    document, console = browse(tmp_path / "page.html", port, tmp_path / "profile")
    assert console == []
    assert of_the_page(asked) == []
    seen, written = (re.sub(r"\s+", "", text) for text in (document, (tmp_path / "page.html").read_text("utf-8")))
    for element in ("<section", "<svg", "<img", "<table", "<path"):
        assert seen.count(element) == written.count(element)


@needs_chromium
def test_a_browser_opens_the_mnist_page(mnist_page: Path, tmp_path: Path, proxy: tuple[int, list[str]]) -> None:
    port, asked = proxy
    document, console = browse(mnist_page, port, tmp_path / "profile")
    assert "Most confident errors" in document
    assert console == []
    assert of_the_page(asked) == []


@needs_chromium
def test_the_browser_test_can_fail(tmp_path: Path, proxy: tuple[int, list[str]]) -> None:
    port, asked = proxy
    bad = tmp_path / "bad.html"
    bad.write_text('<!DOCTYPE html><title>x</title><img src="http://pictures.invalid/a.png"><script>nothing()</script>')
    _, console = browse(bad, port, tmp_path / "profile")
    assert of_the_page(asked) == ["http://pictures.invalid/a.png"]
    assert "nothing is not defined" in " ".join(console)
