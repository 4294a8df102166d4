"""Calls from Python: a configuration as a file or as a mapping, overrides, and paths as people write them."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import mlptrain
from mlptrain.comparison.preview import preview
from mlptrain.errors import MlptrainError, SpecError, UserError
from mlptrain.inference.predict import predict_images
from mlptrain.report.history import read_history
from mlptrain.runs import list_runs
from mlptrain.spec import load_spec
from mlptrain.spec.comparison.load import load_comparison
from mlptrain.system.paths import user_path

SPEC: dict[str, Any] = {
    "name": "small",
    "data": {"name": "digits", "train_size": 200, "validation": 50, "test_size": 100},
    "model": {"hidden": (8,)},
    "optimizer": {"name": "adam", "lr": 0.01},
    "training": {"epochs": 2, "batch_size": 50, "device": "cpu", "threads": 1},
}
TEXT = (
    "name: small\ndata: {name: digits, train_size: 200, validation: 50, test_size: 100}\nmodel: {hidden: [8]}\n"
    "optimizer: {name: adam, lr: 0.1}\ntraining: {epochs: 1, batch_size: 50, device: cpu, threads: 1}\n"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder, which is not the current one."""
    for folder in ("home", "work"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def test_a_mapping_trains_as_the_file_of_the_same_content(home: Path) -> None:
    (home / "small.yaml").write_text(TEXT)
    spec, before = copy.deepcopy(SPEC), copy.deepcopy(SPEC)
    spec["training"]["epochs"] = np.int64(2)
    spec["optimizer"]["lr"] = np.float64(0.01)

    one = mlptrain.train(spec, overrides=["optimizer.lr=0.1"], run_dir="~/mapping").folder
    mlptrain.train("~/small.yaml", overrides={"training.epochs": 2}, run_dir=home / "file")
    mlptrain.train(home / "small.yaml", overrides="training.epochs=2", run_dir=str(home / "text"))

    assert {**spec, "training": before["training"], "optimizer": before["optimizer"]} == before
    for other in ("file", "text"):
        for file in ("resolved.yaml", "metrics.jsonl", "result.json", "checkpoints/last.safetensors"):
            assert (one.path / file).read_bytes() == (home / other / file).read_bytes()
    # What was asked for, without the override, and itself a file that trains.
    again = load_spec(one.config)
    assert (again.spec.optimizer.lr, again.spec.model.hidden) == (0.01, [8])


def test_every_function_takes_text_and_objects_and_a_home_folder(home: Path) -> None:
    run = mlptrain.train(SPEC, overrides={"training.epochs": 1}, run_dir="~/run", data_dir="~/data").folder.path
    assert run == home / "run"
    assert mlptrain.resume("~/run", epochs=2, data_dir="~/data").folder.path == run
    for path in ("~/run", str(run), run, "~/run/checkpoints/last.safetensors"):
        network = mlptrain.load(path)
        assert mlptrain.evaluate(path, split="test", data_dir="~/data")["examples"] == 100
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(home / "black.png")
    assert predict_images(network, ["~/black.png"]).predictions[0].image == "~/black.png"
    assert [one.path for one in list_runs("~")] == [run]
    assert read_history("~/run").values.keys() >= {"train_loss"}
    group = mlptrain.train_seeds(SPEC, [0, 1], overrides=["training.epochs=1"], run_dir="~/seeds").group.path
    assert group == home / "seeds"
    assert not list(Path.cwd().iterdir())


COMPARISON: dict[str, Any] = {
    "base": SPEC,
    "optimizers": {"SGD": {"name": "sgd", "lr": 0.1}, "Adam": {"name": "adam", "lr": 0.01}},
    "scoring": {"seeds": 2},
}


def test_a_comparison_too(home: Path) -> None:
    (home / "small.yaml").write_text(TEXT)
    base = {key: value for key, value in SPEC.items() if key != "optimizer"}
    folder, summary = mlptrain.compare_optimizers(
        COMPARISON | {"base": base},
        overrides={"base.training.epochs": 1, "scoring.seeds": [3, 4]},
        run_dir="~/compared",
    )
    assert folder.path == home / "compared"
    assert summary.seeds == [3, 4]
    of_file = load_comparison(COMPARISON | {"base": "~/small.yaml"}, ["base.optimizer.lr=3"])
    assert of_file.spec.base.training.epochs == 1
    assert "has no effect" in str(of_file.warnings[0])


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "an unknown key": (
        lambda spec: spec["optimizer"].update(learning_rate=0.1),
        "configuration  optimizer.learning_rate: unknown key; did you mean 'lr'?",
    ),
    "a number too small": (
        lambda spec: spec["model"].update(hidden=[4, -1]),
        "configuration  model.hidden[1]: must be at least 1, got -1",
    ),
    "a section left out": (lambda spec: spec.pop("data"), "configuration  data: required key is missing"),
    "a value of no file": (
        lambda spec: spec["model"].update(hidden={1, 2}),
        "configuration  model.hidden: must be text, a number, true or false, a list or a mapping, got set",
    ),
    "a class instead of its name": (
        lambda spec: spec["optimizer"].update(name=torch.optim.SGD),
        "configuration  optimizer.name: must be text, a number, true or false, a list or a mapping, got type",
    ),
    "a key that is no text": (
        lambda spec: spec["model"].update({3: 4}),
        "configuration  model: keys must be text, got 3",
    ),
    "itself": (lambda spec: spec.update(model=spec), "is nested deeper than 20 levels"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_mapping_gets_the_same_checks_located_by_its_keys(kind: str, home: Path) -> None:
    spec = copy.deepcopy(SPEC)
    change, message = FAULTS[kind]
    change(spec)
    with pytest.raises(SpecError) as caught:
        mlptrain.train(spec, run_dir="run")
    assert message in str(caught.value)
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"optimizer.rate": 0.1}, "--set optimizer.rate=0.1  optimizer.rate: unknown key"),
        ({"optimizer.lr": "fast"}, "must be a number"),
        ({"lr": object()}, "got object"),
        (["optimizer.lr"], "must have the form key=value"),
    ],
)
def test_overrides_are_checked(overrides: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_spec(SPEC, overrides)


def test_overrides_of_what_is_loaded_are_refused() -> None:
    with pytest.raises(UserError, match="give them to load_spec"):
        mlptrain.train(load_spec(SPEC), overrides=["seed=1"])


def test_commands_expand_a_home_folder_in_every_argument(home: Path) -> None:
    """Also where no shell has done it: within a word, in quotes, in another program's call."""
    (home / "small.yaml").write_text(TEXT)
    (home / "study.yaml").write_text(
        "base: ~/small.yaml\noptimizers: {SGD: {name: sgd, lr: 0.1}, Adam: {name: adam, lr: 0.1}}\n"
        "scoring: {seeds: 2}\n"
    )
    lines = [
        ["check", "~/small.yaml"],
        ["train", "~/small.yaml", "--run-dir=~/run", "--data-dir", "~/data"],
        ["train", "--resume=~/run", "--set", "training.epochs=2"],
        ["eval", "~/run", "--data-dir=~/data"],
        ["plot", "curves", "~/run", "--out=~/curves.png"],
        ["runs", "~"],
        ["init", "~/first"],
        ["compare-optimizers", "~/study.yaml", "--plan"],
    ]
    code = (
        "import sys\nfrom mlptrain.cli import main\nfor line in "
        + repr(lines)
        + (":\n    try: main(line)\n    except SystemExit as ended: print('ended', ended.code or 0, flush=True)\n")
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.count("ended 0") == len(lines), (done.stdout, done.stderr)
    made = {"run", "curves.png", "first.yaml"}
    assert made <= {path.name for path in home.iterdir()}
    assert not list(Path.cwd().iterdir())


def test_a_tilde_that_is_no_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_path("~nobody-here") == Path("~nobody-here")
    with pytest.raises(MlptrainError, match="~nobody-here is not a known home folder"):
        user_path("~nobody-here/x")
    assert user_path("a/~/b") == Path("a/~/b")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(MlptrainError, match="give the full path"):
        user_path("~/x")


def test_a_preview_takes_text(home: Path) -> None:
    from mlptrain.comparison import make_plan

    base = {key: value for key, value in SPEC.items() if key != "optimizer"}
    plan = make_plan(load_comparison(COMPARISON | {"base": base}).spec)
    assert preview(plan, data_dir="~/data")["scoring_trials"] == 4
