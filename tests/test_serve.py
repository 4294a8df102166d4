"""`mlptrain serve`: what it answers, what it refuses, and the page in a real browser."""

from __future__ import annotations

import contextlib
import io
import json
import math
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import polars as pl
import pytest
from openapi_spec_validator import validate
from PIL import Image, ImageDraw

import mlptrain
from mlptrain.inference.tables import predict_table
from tests.command import Call
from tests.servers import command, end, serving

ROOT = Path(__file__).parent.parent
PENGUINS = ROOT / "mlptrain/sources/tables/penguins.csv"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: chromium is not on the PATH")
Strokes = list[list[tuple[float, float]]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: digits, penguins, prices (a regression with dates), colours (images of one's own), xor."""
    folder = tmp_path_factory.mktemp("runs")
    generator = np.random.default_rng(0)
    mlptrain.train(ROOT / "configs/digits.yaml", run_dir=folder / "digits")
    penguins = {"data": {"name": "table", "path": str(PENGUINS), "target": "species"}, "model": {"hidden": [8]}}
    quick = {"optimizer": {"name": "adam", "lr": 0.01}, "training": {"epochs": 15}}
    mlptrain.train({**penguins, **quick}, run_dir=folder / "penguins")
    days = generator.integers(0, 900, 200)
    size = generator.random(200)
    prices = pl.DataFrame(
        {
            "sold": np.datetime64("2022-01-01") + days,
            "size": size,
            "price": 1000 * size + days,
            "zip": ["01", "02"] * 100,
        }
    )
    prices.with_columns(pl.col("sold").dt.strftime("%d.%m.%Y")).write_csv(folder / "prices.csv")
    of_prices = {
        "name": "table",
        "path": str(folder / "prices.csv"),
        "target": "price",
        "columns": {"zip": "categorical"},
    }
    mlptrain.train(
        {"data": of_prices, "model": {"hidden": [8]}, "optimizer": "adam", "training": {"epochs": 3}},
        run_dir=folder / "prices",
    )
    colours = generator.integers(0, 100, (60, 4, 4, 3), dtype=np.uint8)
    labels = np.arange(60) % 2
    colours[np.arange(60), :, :, labels] += 150
    np.savez(folder / "colours.npz", x=colours, y=np.array(["red", "green"])[labels])
    mlptrain.train(
        {
            "data": {"name": "arrays", "path": str(folder / "colours.npz")},
            "model": {"hidden": [8]},
            "optimizer": {"name": "adam", "lr": 0.01},
            "training": {"epochs": 20},
        },
        run_dir=folder / "colours",
    )
    mlptrain.train(ROOT / "configs/xor.yaml", run_dir=folder / "xor")
    return folder


@pytest.fixture(scope="module")
def digits(runs: Path) -> Iterator[httpx.Client]:
    with serving(runs / "digits") as address, httpx.Client(base_url=address, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def penguins(runs: Path) -> Iterator[httpx.Client]:
    with serving(runs / "penguins") as address, httpx.Client(base_url=address, trust_env=False) as client:
        yield client


def png(*strokes: list[tuple[float, float]], side: int = 140) -> bytes:
    """Strokes, in parts of the side, light on dark."""
    image = Image.new("L", (side, side))
    for stroke in strokes:
        ImageDraw.Draw(image).line([(x * side, y * side) for x, y in stroke], fill=255, width=side // 14, joint="curve")
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


SEVEN: Strokes = [[(0.3, 0.2), (0.7, 0.2), (0.42, 0.8)]]
ZERO: Strokes = [
    [(0.5 + 0.2 * math.sin(angle), 0.5 - 0.3 * math.cos(angle)) for angle in np.linspace(0, 2 * math.pi, 20).tolist()]
]
IMAGE = {"Content-Type": "image/png"}


def rows_of_penguins(count: int) -> list[dict[str, Any]]:
    return pl.read_csv(PENGUINS, null_values="NA").head(count).to_dicts()


def test_rows_of_a_table_are_answered_as_predict_does(penguins: httpx.Client, runs: Path) -> None:
    rows = rows_of_penguins(344)
    rows[7]["island"] = "Atlantis"
    answer = penguins.post("/predict", json=rows).json()
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    expected = predict_table(runs / "penguins", columns)
    assert answer["rows"] == 344
    assert answer["missing"] == expected.missing
    assert answer["missing"]["sex"] == 11
    assert answer["unseen"] == {"island": 1, "sex": 0}
    assert any("Atlantis" in note for note in answer["notes"])
    assert [one["name"] for one in answer["predictions"]] == expected.names()
    assert expected.probabilities is not None
    found = [list(one["probabilities"].values()) for one in answer["predictions"]]
    np.testing.assert_allclose(found, expected.probabilities, atol=1e-6)
    assert list(answer["predictions"][0]["probabilities"]) == ["Adelie", "Chinstrap", "Gentoo"]
    assert {one["confidence"] for one in answer["predictions"]} == {max(row) for row in found}
    # By place, and as the file has them.
    names = [name for name in rows[0] if name != "species"]
    by_place = penguins.post("/predict", json=[[row[name] for name in names] for row in rows])
    assert by_place.json() == answer
    csv = penguins.post("/predict", content=PENGUINS.read_bytes(), headers={"Content-Type": "text/csv"}).json()
    assert csv["predictions"][:7] == answer["predictions"][:7]
    assert csv["missing"] == predict_table(runs / "penguins", PENGUINS).missing


def test_a_regression_with_dates_is_answered_in_its_unit(runs: Path) -> None:
    row = {"sold": "2023-05-06", "size": 0.5, "zip": "02"}
    (runs / "later.csv").write_text("sold,size,zip\n06.05.2023,0.5,02\n")
    with serving(runs / "prices") as address:
        answers = [
            httpx.post(f"{address}/predict", json=[one], trust_env=False).json()
            for one in (row, row | {"zip": 2}, row | {"sold": None})
        ]
    expected = float(predict_table(runs / "prices", runs / "later.csv").outputs[0, 0])
    assert answers[0]["predictions"][0]["values"] == {"price": pytest.approx(expected, rel=1e-5)}
    assert answers[1]["predictions"] == answers[0]["predictions"]
    assert answers[2]["missing"] == {"sold": 1, "size": 0, "zip": 0}


def test_rows_of_pixels_are_answered_as_the_network_does(digits: httpx.Client, runs: Path) -> None:
    from sklearn.datasets import load_digits

    pixels = load_digits().images[:50]
    network = mlptrain.load(runs / "digits")
    expected = network.predict_proba(pixels).numpy()
    for rows in (pixels, pixels.reshape(50, 64)):
        answer = digits.post("/predict", json=rows.tolist()).json()
        found = [list(one["probabilities"].values()) for one in answer["predictions"]]
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("strokes", "name"), [(SEVEN, "7"), (ZERO, "0")])
def test_an_image_is_answered_as_predict_does(
    strokes: Strokes, name: str, digits: httpx.Client, runs: Path, tmp_path: Path, call: Call
) -> None:
    (tmp_path / "drawn.png").write_bytes(png(*strokes))
    [expected] = call("predict", str(runs / "digits"), str(tmp_path / "drawn.png"), "--show", "--json").json
    as_body = digits.post("/predict?seen=true", content=png(*strokes), headers=IMAGE).json()
    with (tmp_path / "drawn.png").open("rb") as file:
        as_form = digits.post("/predict?seen=true", files={"image": file}).json()
    assert as_form == as_body
    [one] = as_body["predictions"]
    assert one["name"] == expected["name"] == name
    assert {key: one[key] for key in ("class", "confidence", "inverted", "notes", "seen")} == {
        key: expected[key] for key in ("class", "confidence", "inverted", "notes", "seen")
    }
    assert list(one["probabilities"].values()) == expected["probabilities"]


JSON, CSV = "application/json", "text/csv"
ROW = {name: value for name, value in rows_of_penguins(1)[0].items() if name != "species"}
FAULTS: dict[str, tuple[str, bytes, int, str]] = {
    "a column is missing": (
        JSON,
        json.dumps([ROW, {name: ROW[name] for name in ROW if name != "sex"}]).encode(),
        422,
        "row 2 lacks the column 'sex'; null stands for a missing value",
    ),
    "a text in a column of numbers": (
        JSON,
        json.dumps([ROW, ROW | {"bill_length_mm": "long"}]).encode(),
        422,
        "row 2, column 'bill_length_mm': expected a number, or null, got \"long\"",
    ),
    "a list in a category": (
        JSON,
        json.dumps([ROW | {"island": ["a"]}]).encode(),
        422,
        "row 1, column 'island': expected",
    ),
    "a number beyond float32": (
        JSON,
        json.dumps([ROW | {"year": 1e300}]).encode(),
        422,
        "'1e+300' is not a finite number",
    ),
    "too few values": (JSON, b"[[1, 2]]", 422, "row 1 has 2 values, expected 7 in the order island, bill_length_mm"),
    "a row that is a number": (JSON, b"[3]", 422, "row 1: expected an object or a list, got 3"),
    "no list": (JSON, b'{"rows": []}', 422, "the body is not a list"),
    "no rows": (JSON, b"[]", 422, "0 rows: expected at least one"),
    "too many rows": (
        JSON,
        b"[" + b"[]," * 10_000 + b"[]]",
        422,
        "10,001 rows: expected at least one and at most 10,000",
    ),
    "no JSON": (JSON, b"[1,", 400, "the body is not JSON: "),
    "no UTF-8": (JSON, b'["\xff"]', 400, "the body is not JSON: "),
    "NaN": (JSON, b"[[NaN]]", 400, "the body is not JSON: "),
    "a deep list": (JSON, b"[" * 100_000, 400, "the body is not JSON: "),
    "an empty body": (JSON, b"", 400, "the body is not JSON: "),
    "another media type": (
        "application/xml",
        b"<a/>",
        415,
        "Content-Type is 'application/xml': expected application/json or",
    ),
    "no media type": ("", b"[]", 415, "Content-Type is absent"),
    "an image for a table": ("image/png", png(*SEVEN), 415, "Content-Type is 'image/png'"),
    "a CSV that lacks a column": (
        CSV,
        b"island,sex\nDream,male\n",
        422,
        "rows.csv lacks 5 columns ('bill_length_mm', ",
    ),
    "a CSV with text for a number": (
        CSV,
        (",".join(ROW) + "\n" + ",".join(["x"] * 7) + "\n").encode(),
        422,
        "rows.csv:2:3  column 'bill_length_mm' holds numbers",
    ),
    "an empty CSV": (CSV, b"", 422, "rows.csv"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_answered_with_one_sentence(fault: str, penguins: httpx.Client) -> None:
    kind, body, status, words = FAULTS[fault]
    answer = penguins.post("/predict", content=body, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert "/tmp" not in answer.json()["error"]


def picture(size: tuple[int, int], shade: int = 0, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("L", size, shade).save(stream, format=kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "body", "status", "words"),
    [
        ("image/png", picture((140, 140)), 422, "the image is blank: nothing stands out from the ground"),
        ("image/jpeg", picture((140, 140), 255, "JPEG"), 422, "the image is blank"),
        ("image/png", b"not an image", 422, "the image is not an image in PNG"),
        ("image/png", b"", 422, "the image is empty"),
        ("image/png", png(*SEVEN)[:-40], 422, "the image is a damaged image"),
        ("image/png", picture((60_000, 1_000)), 422, "at most 50,000,000 pixels in all"),
        ("multipart/form-data; boundary=x", b"--x\r\nnothing", 422, "the form has no file"),
        ("multipart/form-data", b"", 400, "boundary"),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 422, "the form has no file"),
        (JSON, b"[[1, 2]]", 422, "row 1: expected 64 or 8 × 8 numbers in a list, got 2"),
        (JSON, json.dumps([[0] * 64, [[0] * 8] * 8]).encode(), 422, "rows of different shapes"),
        (JSON, json.dumps([[0.5] * 64]).encode(), 422, "multiply them by 16"),
        (JSON, json.dumps([[0] * 63 + ["x"]]).encode(), 422, "row 1: expected 64 or 8 × 8 numbers in a list"),
        (CSV, b"a\n1\n", 415, "Content-Type is 'text/csv': expected application/json or image/*"),
    ],
)
def test_what_is_wrong_with_an_image(kind: str, body: bytes, status: int, words: str, digits: httpx.Client) -> None:
    answer = digits.post("/predict", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_paths_and_methods_that_there_are_not(digits: httpx.Client) -> None:
    assert digits.get("/x").status_code == 404
    assert digits.get("/predict").status_code == 405
    assert "/predict to post to" in digits.get("/predict").json()["error"]
    assert (
        "invert=maybe: expected true or false" in digits.post("/predict?invert=maybe", content=b"", headers=IMAGE).text
    )


def test_a_body_of_50_mb_is_refused_and_the_server_goes_on(digits: httpx.Client) -> None:
    for kind in ("image/png", JSON):
        answer = digits.post("/predict", content=bytes(50_000_000), headers={"Content-Type": kind})
        assert answer.status_code == 413
        assert answer.json() == {"error": "the body is larger than 20,000,000 bytes, the most that is read"}
    assert digits.get("/health").json()["status"] == "ok"


def test_a_body_that_does_not_come_is_given_up(digits: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlptrain.serving.app.SECONDS_TO_SEND", 0.2)
    with socket.create_connection((digits.base_url.host, digits.base_url.port or 0), timeout=10) as connection:
        head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {JSON}\r\nContent-Length: 10\r\n\r\n["
        connection.sendall(head.encode())
        assert connection.recv(10_000).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "sent",
    [
        [b""],
        [b"GET /health HTTP/1.1\r\nHost: 127", *[b"."] * 40],
        [b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"GET", *[b" "] * 40],
        [b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\n", *[b"."] * 40],
    ],
    ids=["nothing", "half a head", "half a second head", "a body that nobody reads"],
)
def test_a_request_that_does_not_come_is_given_up(
    sent: list[bytes], digits: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though a byte of it comes now and then."""
    monkeypatch.setattr("mlptrain.serving.run.SECONDS_TO_ASK", 0.2)
    begun = time.monotonic()
    with socket.create_connection((digits.base_url.host, digits.base_url.port or 0), timeout=0.02) as connection:
        answered, closed = b"", False
        while not closed and time.monotonic() < begun + 4:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(sent.pop(0) if sent else b"")
            try:
                answered += (part := connection.recv(10_000))
                closed = not part
            except TimeoutError:
                continue
            except ConnectionResetError:
                closed = True
    assert closed
    assert time.monotonic() > begun + 0.2
    assert answered.count(b"HTTP/1.1 200") == (b"\r\n\r\n" in answered)
    assert digits.get("/health").json()["status"] == "ok"


def test_a_client_that_goes_is_no_failure(runs: Path) -> None:
    with serving(runs / "digits") as address:  # which says so at its end
        to = httpx.URL(address)
        head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {JSON}\r\nContent-Length: 10\r\n\r\n["
        with socket.create_connection((to.host, to.port or 0), timeout=10) as connection:
            connection.sendall(head.encode())
        assert httpx.get(f"{address}/health", trust_env=False).status_code == 200


def test_only_who_calls_it_by_its_name_is_answered(digits: httpx.Client) -> None:
    """A name of elsewhere that is made to lead to this machine is what a page of elsewhere would call it by."""
    for host in ("attacker.example", "attacker.example:80", "127.0.0.1.attacker.example", ""):
        answer = digits.get("/health", headers={"Host": host})
        assert answer.status_code in (400, 403), host
    assert digits.get("/health", headers={"Host": "127.0.0.1:1"}).status_code == 200


def test_what_fails_within_is_told_in_the_terminal_alone(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[str] = []
    with serving(runs / "digits", failures) as address:
        monkeypatch.setattr("mlptrain.serving.answers.predict_images", lambda *_, **__: 1 / 0)
        answer = httpx.post(f"{address}/predict", content=png(*SEVEN), headers=IMAGE, trust_env=False)
    assert answer.status_code == 500
    assert answer.json() == {"error": "internal error; see the server's terminal"}
    assert failures == ["POST /predict: internal error: ZeroDivisionError: division by zero"]


def test_many_requests_at_once_get_their_own_answers(penguins: httpx.Client) -> None:
    """Rows that are computed together, among them some with missing values and some that are refused."""
    rows = rows_of_penguins(200)
    rows[50]["island"] = "Atlantis"
    rows[100]["bill_length_mm"] = "long"
    rows[101]["year"] = 1e300

    def ask(row: dict[str, Any]) -> httpx.Response:
        return penguins.post("/predict", json=[row])

    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(ask, rows))
    for number, (row, answer) in enumerate(zip(rows, together, strict=True)):
        assert answer.status_code == (422 if number in (100, 101) else 200)
        alone = ask(row)
        if answer.status_code == 422:
            assert answer.json() == alone.json()
            continue
        one, other = (dict(one.json()["predictions"][0]) for one in (answer, alone))
        assert one.pop("probabilities") == pytest.approx(other.pop("probabilities"), abs=1e-6)
        assert one.pop("confidence") == pytest.approx(other.pop("confidence"), abs=1e-6)
        assert one == other
        assert {key: answer.json()[key] for key in ("rows", "missing", "unseen", "notes")} == {
            key: alone.json()[key] for key in ("rows", "missing", "unseen", "notes")
        }
    assert together[50].json()["unseen"]["island"] == 1


@pytest.mark.parametrize("name", ["digits", "penguins", "prices", "colours", "xor"])
def test_the_description_holds(name: str, runs: Path) -> None:
    with serving(runs / name) as address, httpx.Client(base_url=address, trust_env=False) as client:
        description = client.get("/openapi.json").json()
        validate(description)
        content = description["paths"]["/predict"]["post"]["requestBody"]["content"]
        schemas = description["components"]["schemas"]
        checker = jsonschema.Draft202012Validator
        row = content[JSON].get("example", [[0] * mlptrain.load(runs / name).experiment.facts.n_features])
        checker(schemas["Rows"]).validate(row)
        answer = client.post("/predict", json=row)
        assert answer.status_code == 200
        checker(schemas["Answer"]).validate(answer.json())
        wrongs: list[Any] = [[], [1], [[]], [{}], row[0], [row[0], ["x"] * 3]]
        for wrong in wrongs:
            assert not checker(schemas["Rows"]).is_valid(wrong)
            refused = client.post("/predict", json=wrong)
            assert refused.status_code == 422
            checker(schemas["Error"]).validate(refused.json())
        health = client.get("/health").json()
        checker(description["paths"]["/health"]["get"]["responses"]["200"]["content"][JSON]["schema"]).validate(health)
        assert set(content) == {JSON} | (
            {CSV} if name in ("penguins", "prices") else {"image/*", "multipart/form-data"} if name != "xor" else set()
        )


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(by: signal.Signals, runs: Path, call: Call) -> None:
    with command(runs / "digits") as (process, address):
        answer = httpx.post(f"{address}/predict", content=png(*SEVEN), headers=IMAGE, trust_env=False)
        assert answer.json()["predictions"][0]["name"] == "7"
        port = httpx.URL(address).port
        told = call("serve", str(runs / "digits"), "--port", str(port))
        assert (told.code, told.out) == (2, "")
        assert told.message == f"error: port {port} is in use; choose another with --port, or 0 for any free one"
        assert end(process, by) == (130, "Ctrl-C ends it\nthe server has ended\n")


def test_what_cannot_be_served(runs: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no such checkpoint or run folder" in call("serve", str(tmp_path / "x")).message
    diverging = ["--set", "optimizer={name: sgd, lr: 1e20}", "--set", "training.epochs=2"]
    assert call("train", str(ROOT / "configs/digits.yaml"), *diverging, "--run-dir", str(tmp_path / "bad")).code == 3
    told = call("serve", str(tmp_path / "bad"))
    assert (told.code, told.out) == (2, "")
    assert "diverged, so that its network is of no use" in told.message
    told = call("serve", str(runs / "digits"), "--host", "no such host")
    assert told.code == 2
    assert "choose another with --host or --port" in told.message
    for module in ("starlette.applications", "uvicorn", "python_multipart"):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, module, None)
            for name in [name for name in sys.modules if name.startswith("mlptrain.serving")]:
                patched.delitem(sys.modules, name)
            told = call("serve", str(runs / "digits"))
        assert told.code == 2
        assert 'is not installed; install it with `pip install "mlptrain[serve]"`' in told.message


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Looked:
    """A page of a server, what it asked for and what went wrong in it."""

    def __init__(self, browser: Any, address: str) -> None:
        self.page = browser.new_page()
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.goto(address)

    def verdict(self, text: str) -> None:
        """Wait until the page says so."""
        self.page.get_by_text(text, exact=True).and_(self.page.locator("#verdict")).wait_for(timeout=30_000)

    def draw(self, strokes: Strokes) -> None:
        box = self.page.locator("#paper").bounding_box()
        for stroke in strokes:
            places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
            self.page.mouse.move(*places[0])
            self.page.mouse.down()
            for place in places[1:]:
                self.page.mouse.move(*place, steps=2)
            self.page.mouse.up()


@needs_chromium
def test_a_digit_drawn_by_the_mouse_is_recognised(browser: Any, digits: httpx.Client) -> None:
    address = str(digits.base_url)
    looked = Looked(browser, address)
    looked.verdict("Draw, and see.")
    looked.draw(SEVEN)
    looked.verdict("7")
    assert looked.page.locator("#bars .best .name").text_content() == "7"
    assert looked.page.locator("#bars .name").all_text_contents() == list("0123456789")
    widths = looked.page.locator("#bars .bar").evaluate_all("bars => bars.map(bar => parseFloat(bar.style.width))")
    assert widths.index(max(widths)) == 7
    assert sum(widths) == pytest.approx(100, abs=0.1)
    assert looked.page.locator("#seen canvas").evaluate("canvas => [canvas.width, canvas.height]") == [8, 8]
    looked.page.get_by_text("Clear").click()
    looked.verdict("Draw, and see.")
    looked.draw(ZERO)
    looked.verdict("0")
    looked.page.locator("#file").set_input_files({"name": "7.png", "mimeType": "image/png", "buffer": png(*SEVEN)})
    looked.verdict("7")
    assert looked.wrong == []
    assert {url.split("?")[0] for url in looked.asked} == {
        *(f"{address}/{path}" for path in ("", "page.js", "page.css", "predict")),
        "data:,",
    } - ({"data:,"} - set(looked.asked))
    looked.page.locator("#file").set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": b"x"})
    looked.page.locator("#verdict.fault").wait_for()
    assert "not an image" in looked.page.locator("#verdict").text_content()


@needs_chromium
def test_a_touch_draws_too(browser: Any, digits: httpx.Client) -> None:
    context = browser.new_context(has_touch=True, viewport={"width": 360, "height": 740}, color_scheme="dark")
    looked = Looked(context, str(digits.base_url))
    assert looked.page.evaluate("document.documentElement.scrollWidth") <= 360
    box = looked.page.locator("#paper").bounding_box()
    touch = looked.page.context.new_cdp_session(looked.page)
    kinds = ["touchStart", *["touchMove"] * (len(SEVEN[0]) - 1)]
    for kind, (x, y) in zip(kinds, SEVEN[0], strict=True):
        point = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    looked.verdict("7")


@needs_chromium
def test_the_form_of_a_table(browser: Any, penguins: httpx.Client) -> None:
    from playwright.sync_api import expect

    looked = Looked(browser, str(penguins.base_url))
    for row in (rows_of_penguins(300)[0], rows_of_penguins(300)[200]):
        for name in ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year"):
            looked.page.get_by_label(name).fill(str(row[name]))
        for name in ("island", "sex"):
            looked.page.get_by_label(name).select_option(str(row[name]))
        [answer] = penguins.post("/predict", json=[row]).json()["predictions"]
        percents = [f"{100 * p:.{2 if p < 0.0995 or p > 0.9995 else 1}f} %" for p in answer["probabilities"].values()]
        # All figures: the name alone may be that of an answer on the way to this row.
        expect(looked.page.locator("#bars .value")).to_have_text(percents)
        looked.verdict(str(row["species"]))
    looked.page.get_by_label("sex").select_option("(missing)")
    looked.page.get_by_text("'sex' is missing in 1 of 1 rows").wait_for()
    assert looked.wrong == []


@needs_chromium
@pytest.mark.parametrize("name", ["prices", "xor", "colours"])
def test_pages_of_other_networks(name: str, browser: Any, runs: Path) -> None:
    with serving(runs / name) as address:
        looked = Looked(browser, address)
        if name == "prices":
            looked.page.get_by_label("sold").fill("2023-05-06")
            looked.page.locator("#verdict").get_by_text("price ").wait_for()
        elif name == "xor":
            looked.page.get_by_label("input 1").fill("1")
            looked.page.locator("#bars .best").wait_for()
        else:
            stream = io.BytesIO()
            Image.new("RGB", (9, 9), (30, 220, 30)).save(stream, format="PNG")
            file = {"name": "green.png", "mimeType": "image/png", "buffer": stream.getvalue()}
            looked.page.locator("#file").set_input_files(file)
            looked.verdict("green")
            assert looked.page.locator("#chosen").evaluate("image => image.naturalWidth") == 9
            text = {"name": "x.yaml", "mimeType": "application/yaml", "buffer": b"x"}
            looked.page.locator("#file").set_input_files(text)
            looked.page.locator("#verdict.fault").get_by_text("the image is not an image in PNG").wait_for()
            looked.page.locator("#chosen").wait_for(state="hidden")
            looked.wrong.clear()  # a browser tells of each answer with an error
        assert looked.wrong == []


@needs_chromium
def test_a_page_cannot_load_from_elsewhere(browser: Any, digits: httpx.Client) -> None:
    """The page's own rules stop what an injected text would load, and what it would run."""
    looked = Looked(browser, str(digits.base_url))
    injected = "<img src=http://127.0.0.2:9/x.png onerror='window.ran = 1'>"
    looked.page.evaluate("text => document.body.insertAdjacentHTML('beforeend', text)", injected)
    looked.page.wait_for_function("() => document.images.length")
    time.sleep(0.2)
    assert looked.page.evaluate("window.ran") is None
    assert any("Content Security Policy" in text for text in looked.wrong)
