"""A network in ONNX, in torch.export and as a NumPy script: raw rows in, the predictions of mlptrain out, to 1e-6.

The rows are put together here by what a model says of its inputs, and read by the csv module. The .pt2 files and the
scripts run in processes that have no mlptrain, the scripts without torch as well.
"""

from __future__ import annotations

import csv
import gc
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from numpy.typing import NDArray
from pydantic import TypeAdapter
from safetensors.numpy import load_file
from sklearn import datasets

import mlptrain
from mlptrain.experiment import train
from mlptrain.inference.evaluate import load_kept
from mlptrain.inference.export.model import MODELS, model_of
from mlptrain.inference.export.predictor import Predictor
from mlptrain.inference.tables import predict_table
from mlptrain.spec import load_text
from mlptrain.spec.model import ActivationSpec, BatchNorm, Dropout, LayerNorm, LayerSpec, ModelSpec, PlainActivation
from tests import catalogue
from tests.command import Call

ROOT = Path(__file__).parent.parent
NAMES = ("a number", "skewed", "where", "größe", "zip", "layers.0.weight", "day", "moment", "kind", "amount", "yes")
LEVELS = ("low, or lower", 'the "middle"', "hoch", "rare")

# Each is told folders, a line each: loads the model there, and predicts from the rows beside it.
WITH_TORCH = """
import sys
sys.modules["mlptrain"] = None
import json, pathlib, numpy, torch
def watch(event, arguments):
    assert not event.startswith(("pickle.", "socket.")), event
sys.addaudithook(watch)
for line in sys.stdin:
    folder = pathlib.Path(line.rstrip())
    extra = {"about.json": ""}
    program = torch.export.load(folder / "model.pt2", extra_files=extra).module()
    about = json.loads(extra["about.json"])
    arrays = {name: torch.from_numpy(array) for name, array in numpy.load(folder / "rows.npz").items()}
    rows = arrays["rows"] if list(arrays) == ["rows"] else arrays
    found = program(rows)
    for count in (0, 1):
        some = {name: array[:count] for name, array in rows.items()} if isinstance(rows, dict) else rows[:count]
        assert program(some).shape == (count, *found.shape[1:])
    numpy.save(folder / "torch.npy", found.numpy())
    print("done", flush=True)
"""
WITH_NUMPY = """
import sys
sys.modules["mlptrain"] = sys.modules["torch"] = None
import csv, pathlib, runpy, numpy
numpy.seterr(all="raise", under="ignore")
for line in sys.stdin:
    folder = pathlib.Path(line.rstrip())
    names = runpy.run_path(str(folder / "model.py"))
    if (folder / "rows.csv").exists():
        with open(folder / "rows.csv", newline="", encoding="utf-8") as stream:
            lines = list(csv.DictReader(stream))
        rows = {name: [line[name] for line in lines] for name in lines[0]}
    else:
        rows = numpy.load(folder / "rows.npz")["rows"]
    found = names["predict"](rows)
    for count in (0, 1):
        some = {name: rows[name][:count] for name in rows} if isinstance(rows, dict) else rows[:count]
        assert names["predict"](some).shape == (count, *found.shape[1:])
    numpy.save(folder / "numpy.npy", found)
    print("done", flush=True)
"""


def table(path: Path, rows: int, seed: int, *, later: bool = False) -> None:
    """Rows of a table with columns of every kind and missing values; ``later`` ones have levels that are not known."""
    draw = np.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(NAMES)
        for index in range(rows):
            number, level = draw.normal(), int(draw.choice(4, p=[0.5, 0.3, 0.19, 0.01]))
            day = np.datetime64("2021-03-01") + int(draw.integers(900))
            moment = np.datetime64("2021-03-01T00:00") + int(draw.integers(900 * 1440))
            values: list[Any] = [
                f"{number:.4f}",
                round(float(np.exp(3 * draw.normal())), 3),
                int(draw.integers(5)),
                LEVELS[level],
                int(draw.choice([10115, 20095, 80331])),
                "ja" if draw.random() < 0.5 else "nein",
                str(day),
                str(moment).replace("T", " "),
            ]
            if later and index % 5 == 0:
                values[3], values[4] = "unheard of", 12345
            values = [
                value if draw.random() > 0.08 else ("" if place % 2 else "?") for place, value in enumerate(values)
            ]
            if later and index == 1:
                values[:8] = [""] * 8
            if later and index == 2:
                values[0], values[1] = "-50", 1e4
            kind = ("red", "green", "blue")[(level + (number > 0)) % 3]
            writer.writerow([*values, kind, f"{np.exp(number + level / 2):.3f}", int(number + level > 1)])


def of_table(target: str, **more: str) -> dict[str, str]:
    """The overrides of a data section."""
    others = "".join(f", {name}: drop" for name in ("kind", "amount", "'yes'") if name != target)
    keys = "".join(f", {key}: {value}" for key, value in more.items())
    columns = f"columns: {{zip: categorical{others}}}"
    return {"data": f"{{name: table, path: table.csv, target: {target}, validation: 0.3, {columns}{keys}}}"}


LEARNED = {"training.epochs": "8"}  # a run that has not learned looks for the reason, which takes longer
DEEP = {"data": "{name: iris, scaling: standard, validation: 0.3}", "model.residual": "true"}
BASES: dict[str, Mapping[str, str]] = {
    "every op": DEEP | {"model.input_dropout": "0.1", "evaluation.calibrate": "temperature"},
    "classes": of_table("kind", numeric="{scaling: quantile}") | {"model.members": "{k: 3, kind: tabm}"} | LEARNED,
    "binary": of_table("'yes'", numeric="{scaling: minmax, missing: mean}", categorical="{encoding: ordinal}")
    | {"loss": "bce", "model.members": "3", "evaluation.calibrate": "temperature"}
    | LEARNED,
    "amounts": of_table("amount", target_scaling="log1p", numeric="{scaling: robust_clip}") | {"loss": "huber"},
    "quantiles": of_table("amount", numeric="{scaling: robust, indicator: false}")
    | {"loss": "quantile", "model.members": "{k: 3, kind: mini}"},
    "embedded": of_table("amount", target_scaling="none", categorical="{encoding: embedding, min_frequency: 4}")
    | {"loss": "mae", "model.embedding": "3", "model.input_dropout": "0.1"}
    | LEARNED,
    "no logits": of_table("kind", numeric="{missing: {constant: -1}, scaling: none}", categorical="{max_levels: 2}")
    | {"loss": "mse", "model.bias": "false"},
    "labels": {"data": "{name: random_multilabel, validation: 0.3}", "loss": "multi_label_bce"},
}
ACTIVATIONS = catalogue.cases(catalogue.ACTIVATIONS)


def cases() -> dict[str, dict[str, str]]:
    """Every embedding of the catalogue with each of its settings, spread over the bases that are tables."""
    embeddings = [catalogue.yaml(*case) for case in catalogue.cases(catalogue.EMBEDDINGS)]
    of_tables = [name for name, base in BASES.items() if "path" in base["data"]]
    found = {name: dict(base) for name, base in BASES.items()}
    for number, (embedding, name) in enumerate(zip(embeddings, cycle(of_tables), strict=False)):
        key = name if number < len(of_tables) else f"{name}, embedded otherwise"
        found[key] = {**BASES[name], "model.numeric_embedding": embedding}
    return found


CASES = cases()


def layer(model: ModelSpec, index: int) -> LayerSpec:
    """Of the network with every op: each hidden layer has another activation of the catalogue, and norms in turn."""
    if index == len(model.hidden):
        return LayerSpec((), [LayerNorm(name="layer"), PlainActivation(name="identity")])
    name, settings = ACTIVATIONS[index]
    norms = ([], [BatchNorm(name="batch")], [LayerNorm(name="layer")])[index % 3]
    section = TypeAdapter(ActivationSpec).validate_python({"name": name, **settings})
    before = [] if index else [Dropout(name="dropout", p=0.1)]
    return LayerSpec(before, [*norms, section, Dropout(name="dropout", p=0.1)], residual=index > 0)


CONFIG = """\
name: exported
data: {name: iris}
model: {hidden: [7, 7, 6]}
optimizer: {name: adam, lr: 0.01}
training: {epochs: 2, batch_size: 32, device: cpu, threads: 1, precision: highest}
"""


def rows_for(inputs: Sequence[Mapping[str, Any]], raw: Any, *, texts: bool) -> dict[str, NDArray[Any]]:
    """Raw values, an array or texts by column, as inputs that describe themselves; ``texts``: for ONNX."""
    if inputs[0]["name"] == "rows":
        return {"rows": np.asarray(raw).reshape(-1, *inputs[0]["shape"]).astype(inputs[0]["dtype"])}
    rows: dict[str, NDArray[Any]] = {}
    for one in inputs:
        values, dtype = raw[one["name"]], one["dtype"]
        if dtype == "category":
            codes = {level: code for code, level in enumerate(one["categories"])} | dict.fromkeys(one["missing"], -2)
            rows[one["name"]] = np.array(values, object) if texts else np.array([codes.get(v, -1) for v in values])
        elif one["kind"] == "date":
            dates = [value if value not in ("", "?") else "NaT" for value in values]
            rows[one["name"]] = np.array(dates, "datetime64[ms]").astype(dtype)
        else:
            rows[one["name"]] = np.array([np.nan if v in ("", "?", "NA") else v for v in values], dtype)
    return rows


def columns_in(file: Path) -> dict[str, list[str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    return {name: [line[name] for line in lines] for name in lines[0]}


def export_all(run: Path, folder: Path, raw: Any, expected: NDArray[Any]) -> None:
    """Every format into the folder, and beside them rows for all of them and the predictions of ONNX."""
    folder.mkdir()
    np.save(folder / "expected.npy", expected)
    predictor = Predictor(load_kept(run))
    for to, (suffix, _) in MODELS.items():
        model = model_of(predictor, to)
        (folder / f"model{suffix}").write_bytes(model.content)
    mlptrain.export(run, folder / "model.npz", epochs=0)
    inputs = json.loads(model.about["inputs"])
    np.savez(folder / "rows.npz", allow_pickle=False, **rows_for(inputs, raw, texts=False))
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    rows = rows_for(inputs, raw, texts=True)
    [found] = session.run([model.output], rows)
    for count in (0, 1):
        [some] = session.run([model.output], {name: values[:count] for name, values in rows.items()})
        assert some.shape == (count, *found.shape[1:])
    assert len(json.loads(model.about["output_names"])) == found.shape[1]
    np.save(folder / "onnx.npy", found)


class Elsewhere:
    """Predicts by the models and scripts of folders, each kind in a process of its own."""

    def __init__(self) -> None:
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for code in (WITH_TORCH, WITH_NUMPY)
        ]

    def predict(self, folder: Path) -> None:
        """Leave torch.npy and numpy.npy there."""
        for process in self.processes:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{folder.resolve()}\n")
            process.stdin.flush()
            told = process.stdout.readline()
            assert told == "done\n", told + process.stdout.read()

    def end(self) -> None:
        """Both have nothing more to say."""
        told = [process.communicate()[0] for process in self.processes]
        assert told == ["", ""]


def check(folder: Path, elsewhere: Elsewhere) -> None:
    """All formats give what is expected."""
    elsewhere.predict(folder)
    expected = np.load(folder / "expected.npy")
    for by in ("onnx", "torch", "numpy"):
        found = np.load(folder / f"{by}.npy")
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6, err_msg=f"{folder.name} by {by}")


def predictions(run: Path, raw: Any) -> NDArray[Any]:
    """What mlptrain predicts, of a file or an array."""
    if isinstance(raw, Path):
        table = predict_table(run, raw, device="cpu")
        return table.outputs if table.probabilities is None else table.probabilities
    network = mlptrain.load(run)
    with torch.no_grad():
        found = network.predict_proba(raw) if network.gives_probabilities else network(network.preprocess(raw))
    return np.asarray(found)


def export_case(run: Path, folder: Path, settings: Mapping[str, str]) -> None:
    train(load_text(CONFIG, overrides=[f"{key}={value}" for key, value in settings.items()]), run_dir=run)
    if "path" in settings["data"]:
        later = Path("later.csv")
        export_all(run, folder, columns_in(later), predictions(run, later))
        (folder / "rows.csv").write_bytes(later.read_bytes())
    else:
        raw = np.random.default_rng(0).normal(size=(20, mlptrain.load(run).experiment.facts.n_features)).astype("f4")
        export_all(run, folder, raw, predictions(run, raw))


def of_data(name: str, raw: Path) -> list[str]:
    """What is said of a real table, and a thousand rows of it with the names of their columns in ``raw``."""
    tables = Path(os.environ.get("MLPTRAIN_DATA_DIR", "")) / "tables"
    file = tables / {"adult": "adult/adult.data", "california": "california/housing_with_missing.csv"}[name]
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    section = yaml.safe_load((ROOT / f"configs/tables/{name}.yaml").read_text())["data"]
    header = [",".join(section["header"])] if "header" in section else []
    lines = [*header, *file.read_text().splitlines()[: 6000 + (not header)]]
    lines = [re.sub(", *", ",", line) for line in lines]
    Path("train.csv").write_text("\n".join(lines) + "\n")
    raw.write_text("\n".join([lines[0], *lines[-1000:]]) + "\n")
    target = "income" if name == "adult" else "median_house_value"
    data = f"{{name: table, path: train.csv, target: {target}, numeric: {{scaling: quantile}}, validation: 1000}}"
    return [f"data={data}", "model={hidden: [256, 256], dropout: 0.2}", "training.batch_size=256"]


def export_real(name: str, folder: Path, request: pytest.FixtureRequest) -> None:
    """A network that was trained on some rows of real data, and a thousand rows."""
    run, raw = Path("runs") / name, Path(f"{name}.csv")
    if name == "mnist":
        data_dir = request.getfixturevalue("data_dir")
        settings = ["data={name: mnist, train_size: 6000, validation: 1000}", "model.hidden=[500, 256]"]
        train(load_text(CONFIG, overrides=settings), run_dir=run, data_dir=data_dir)
        pixels = gzip.decompress((data_dir / "MNIST/raw/t10k-images-idx3-ubyte.gz").read_bytes())
        images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28)[:1000]
        export_all(run, folder, images, predictions(run, images))
        return
    if name == "diabetes":
        settings = ["data=diabetes"]
        datasets.load_diabetes(as_frame=True, scaled=False).data.to_csv(raw, index=False)
    else:
        settings = of_data(name, raw)
    train(load_text(CONFIG, overrides=settings), run_dir=run)
    export_all(run, folder, columns_in(raw), predictions(run, raw))
    (folder / "rows.csv").write_bytes(raw.read_bytes())


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    """Both processes, which import what they need while the first models are written here.

    Torch's exporters leave much garbage, and a fifth of their time is spent looking for more.
    """
    found = Elsewhere()
    gc.disable()
    yield found
    gc.enable()
    found.end()


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table to train on, and one of later rows."""
    folder = tmp_path_factory.mktemp("models")
    table(folder / "table.csv", 240, 0)
    table(folder / "later.csv", 60, 1, later=True)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_predictions_are_those_of_mlptrain(
    name: str, tables: Path, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tables)
    settings = CASES[name]
    if name == "every op":
        monkeypatch.setattr(ModelSpec, "layer", layer)
        settings = {**settings, "model.hidden": str([7] * len(ACTIVATIONS))}
    export_case(Path("runs") / name, Path(name), settings)
    check(Path(name), elsewhere)


@pytest.mark.parametrize("name", ["mnist", "adult", "california", "diabetes"])
def test_a_thousand_real_rows(
    name: str, tmp_path: Path, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    export_real(name, Path(name), request)
    check(Path(name), elsewhere)


def test_the_cases_have_everything() -> None:
    """Whatever the catalogue names is exported at least once."""
    text = json.dumps(list(CASES.values()))
    for name in (*catalogue.EMBEDDINGS, *catalogue.LOSSES):
        assert f"{{name: {name}" in text or f'"{name}"' in text or name == "cross_entropy", name
    assert {*catalogue.OPS} - {*catalogue.ACTIVATIONS} == {"dropout"}
    assert [*catalogue.NORMS] == ["batch", "layer"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was trained for no epoch."""
    monkeypatch.chdir(tmp_path)
    Path("iris.yaml").write_text(CONFIG)
    train(load_text(CONFIG, overrides=["training.epochs=0"]), run_dir=Path("run"))
    return Path("run")


def test_what_a_model_says_of_itself(run: Path, call: Call) -> None:
    """Names, shapes, opset and metadata are inside, and nothing of this machine; the same run gives the same bytes."""
    shown = call("export", str(run), "--to", "onnx", "--json").json
    assert shown == {
        "file": "model.onnx",
        "script": None,
        "to": "onnx",
        "epoch": 0,
        "inputs": {"rows": ["n", 4]},
        "outputs": {"probabilities": ["n", 3]},
        "arrays": {},
    }
    first = Path("model.onnx").read_bytes()
    assert len(repr(mlptrain.export_model(run, "model.onnx"))) < 2_000  # without the file's bytes
    assert call("export", str(run), "--to", "onnx").code == 0  # an export may be repeated
    assert Path("model.onnx").read_bytes() == first
    assert str(ROOT).encode() not in first
    session = onnxruntime.InferenceSession(first, providers=["CPUExecutionProvider"])
    [given], [made] = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == ("rows", "tensor(float)", ["n", 4])
    assert (made.name, made.type, made.shape) == ("probabilities", "tensor(float)", ["n", 3])
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["class_names"]) == ["setosa", "versicolor", "virginica"]
    assert about["output_names"] == about["class_names"]
    assert (about["name"], about["epoch"], about["task"]) == ("exported", "0", "classification")
    weights = load_file(run / "checkpoints/best.safetensors")
    parameters = hashlib.sha256()
    for layer in range(4):
        for part in ("weight", "bias"):
            parameters.update(weights[f"layers.{layer}.{part}"].tobytes())
    assert about["weights_sha256"] == parameters.hexdigest()
    assert call("export", str(run), "--to", "torch").out.splitlines()[-1] == "model.pt2"
    with zipfile.ZipFile("model.pt2") as archive:
        content = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert json.loads(content["extra/about.json"]) == about
    assert not any(str(ROOT).encode() in part for part in content.values())


def test_what_cannot_be_exported(run: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear error each, before anything is written."""
    diverging = ("--set", "optimizer={name: sgd, lr: 1e25}", "--run-dir", "diverged")
    assert call("train", "iris.yaml", *diverging).code == 3
    before = sorted(Path().rglob("*"))
    for arguments, message in (
        (
            ("diverged", "--to", "onnx"),
            "diverged diverged, and has no trained network to export; to export the weights",
        ),
        (("diverged", "--to", "npz"), "diverged diverged, and has no trained network to export"),
        (("run", "onnx"), "expected one run and a format, such as --to onnx"),
        (("run", "--to", "keras"), "format 'keras': choose onnx, torch, npz, tensorboard or mlflow"),
        (("run", "--to", "onnx", "--out", "model.pt2"), "ends in .onnx, not in '.pt2'"),
        (("run", "--to", "torch", "--rows"), "--rows adds arrays, which --to npz writes"),
        (("nowhere", "--to", "onnx"), "nowhere: no such checkpoint or run folder"),
    ):
        refused = call("export", *arguments)
        assert (refused.code, refused.out) == (2, "")
        assert message in refused.err
        assert len(refused.err.splitlines()) == 1
    assert sorted(Path().rglob("*")) == before
    for name, to in (("model.onnx", "onnx"), ("model.pt2", "torch"), ("weights.py", "npz")):
        Path(name).write_text("mine")
        refused = call("export", "run", "--to", to)
        assert refused.code == 2
        assert f"{name} is here already" in refused.err
        assert Path(name).read_text() == "mine"
    monkeypatch.setitem(sys.modules, "onnx", None)
    refused = call("export", "run", "--to", "onnx", "--out", "other.onnx")
    assert refused.code == 2
    assert 'pip install "mlptrain[onnx]"' in refused.err
    kept = next(Path("diverged/checkpoints").iterdir())
    assert call("export", str(kept), "--to", "torch", "--out", "kept.pt2").code == 0


def test_a_script_of_images_has_some_twenty_lines(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And predicts from its command line as mlptrain does."""
    monkeypatch.chdir(tmp_path)
    assert call("train", str(ROOT / "configs/digits.yaml"), "--set", "training.epochs=2", "--run-dir", "run").code == 0
    assert call("export", "run", "--to", "npz").out.splitlines()[-2:] == ["weights.npz", "weights.py"]
    lines = Path("weights.py").read_text().split('"""')[2].splitlines()
    assert len([line for line in lines if line and not line.startswith(("import", "from"))]) <= 20
    pixels = datasets.load_digits().images[:50]
    np.save("rows.npy", pixels)
    command = [sys.executable, "-c", f"import sys; sys.modules['mlptrain'] = None\n{SCRIPT}", "weights.py", "rows.npy"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    head, *rows = shown.splitlines()
    assert head == "# 0 1 2 3 4 5 6 7 8 9"
    found = np.array([line.split() for line in rows], float)
    np.testing.assert_allclose(found, mlptrain.load("run").predict_proba(pixels), atol=1e-6)


def test_a_script_reads_the_file_that_it_was_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a spreadsheet writes it; and its values are called as `predict` calls them."""
    monkeypatch.chdir(tmp_path)
    lines = ["größe;kind;price", *(f"{number / 10};{'ab'[number % 2]};{number}" for number in range(60))]
    Path("prices.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    data = "data={name: table, path: prices.csv, target: price}"
    train(load_text(CONFIG, overrides=[data, "loss={name: quantile, quantiles: [0.1, 0.9]}"]), run_dir=Path("run"))
    mlptrain.export("run", "prices.npz", epochs=0)
    command = [sys.executable, "-c", f"import sys; sys.modules['mlptrain'] = None\n{SCRIPT}", "prices.py", "prices.csv"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = np.array([line.split() for line in shown.splitlines()[1:]], float)
    np.testing.assert_allclose(found, predict_table("run", "prices.csv").outputs, rtol=1e-6)
    assert shown.splitlines()[0] == "# price_0.1 price_0.9"
    assert json.loads(mlptrain.export_model("run", "prices.pt2").about["output_names"]) == ["price_0.1", "price_0.9"]


SCRIPT = "import runpy\nsys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')"
