"""The command line as a user meets it: output, exit codes, JSON keys, one message per mistake."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from tests.catalogue import OPTIMIZER_NAMES, either
from tests.command import Call

CONFIGS = Path(__file__).parent.parent / "configs"
DIGITS = str(CONFIGS / "digits.yaml")
SHORT = ("--set", "training.epochs=2")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", str(tmp_path / "data"))


def test_version(call: Call) -> None:
    import mlptrain

    assert call("--version").out == f"mlptrain {mlptrain.__version__}\n"


def test_init_check_train_eval_runs(call: Call) -> None:
    assert call("init", "first").code == 0
    assert call("check", "first.yaml").code == 0
    trained = call("train", "first.yaml", *SHORT)
    assert trained.code == 0
    assert "epoch 2/2" in trained.err
    run = trained.out.split("run folder: ")[1].strip()
    evaluated = call("eval", run)
    assert "wrong of 360" in evaluated.out
    assert "95 % interval" in evaluated.out
    assert Path(run).name in call("runs").out


def test_a_comparison_to_begin_with_runs_as_it_is(call: Call) -> None:
    assert "run it with `mlptrain compare ours.yaml`" in call("init", "ours", "--kind", "comparison").err
    assert "2 arms (ReLU, GELU) by test_accuracy" in call("check", "ours.yaml").out
    short = ["base.training.epochs=1", "scoring.seeds=6", "tuning.seeds=1", "tuning.extensions=0"]
    done = call("compare", "ours.yaml", *[part for text in short for part in ("--set", text)], "--json").json
    assert (done["name"], sorted(done["ranking"])) == ("ours", ["GELU", "ReLU"])


def test_a_search_to_begin_with_runs_as_it_is(call: Call) -> None:
    assert "run it with `mlptrain search ours.yaml`" in call("init", "ours", "--kind", "search").err
    assert "40 trials by tpe" in call("check", "ours.yaml").out
    short = ["base.training.epochs=1", "trials=8", "scoring.seeds=1"]
    done = call("search", "ours.yaml", *[part for text in short for part in ("--set", text)], "--json").json
    assert (done["name"], done["asked"]) == ("ours", 8)


def test_there_is_no_other_kind_to_begin_with(call: Call) -> None:
    refused = call("init", "ours", "--kind", "studie")
    assert (refused.code, "name experiment, comparison or search" in refused.err) == (2, True)
    assert not Path("ours.yaml").exists()


def test_init_overwrites_nothing(call: Call) -> None:
    Path("mine.yaml").write_text("precious")
    result = call("init", "mine")
    assert (result.code, Path("mine.yaml").read_text()) == (2, "precious")
    assert "mine.yaml exists" in result.err


def test_json_keys(call: Call) -> None:
    trained = call("train", DIGITS, *SHORT, "--run-dir", "run", "--json").json
    assert list(trained) == [
        "run", "status", "epochs", "steps", "kept", "last", "diagnosis", "test_evaluations", "undefined", "calibration",
        "stopped_early", "choice", "still_falling",
    ]  # fmt: skip
    evaluated = call("eval", "run", "--json").json
    assert list(evaluated) == [
        "split", "examples", "loss", "accuracy", "wrong", "interval", "per_class", "confusion", "metrics",
        "undefined", "temperature",
    ]  # fmt: skip
    assert list(evaluated["per_class"][0]) == ["class", "precision", "recall", "examples"]
    assert evaluated["accuracy"] == trained["kept"]["test_accuracy"]
    (listed,) = call("runs", ".", "--json").json
    assert list(listed) == [
        "path", "status", "data", "model", "optimizer", "lr", "epoch", "epochs", "figures", "metric", "value", "age",
        "what", "name", "best", "trials",
    ]  # fmt: skip
    assert listed["figures"] == {key: value for key, value in trained["kept"].items() if "_" in key}
    (checked,) = call("check", DIGITS, "--json").json
    assert list(checked) == [
        "config", "name", "model", "optimizer", "rows", "steps_per_epoch", "layers", "parameter_tensors", "parameters",
        "statistics", "columns", "notes", "warnings",
    ]  # fmt: skip
    verified = call("data", "verify", "digits", "--json").json
    assert all(list(check) == ["what", "ok", "detail"] and check["ok"] for check in verified)


def test_several_networks_are_evaluated_in_one_table(call: Call) -> None:
    call("train", DIGITS, *SHORT, "--run-dir", "one")
    call("train", DIGITS, *SHORT, "--set", "model.hidden=[5]", "--run-dir", "two")
    alone = [call("eval", run, "--split", "validation", "--json").json for run in ("one", "two")]
    both = call("eval", "one", "two", "--split", "validation", "--json").json
    assert both == [{"run": run, **report} for run, report in zip(("one", "two"), alone, strict=True)]
    shown = call("eval", "two", "absent", "one/checkpoints/best.safetensors")
    assert (shown.code, shown.err) == (
        2,
        "error: absent: no such checkpoint or run folder; `mlptrain runs` lists the runs\n",
    )
    lines = [line.split() for line in shown.out.splitlines()]
    [row] = [line for line in lines if line[:1] == ["two"]]
    report = call("eval", "two", "--json").json
    assert row[:5] == ["two", "test", "360", f"{report['loss']:.4f}", f"{report['accuracy']:.4f}"]
    assert any(line[:1] == ["one/checkpoints/best.safetensors"] for line in lines)


def test_runs_are_sorted_by_any_column_best_first(call: Call) -> None:
    for lr in ("0.1", "0.001", "0.02"):
        call("train", DIGITS, *SHORT, "--set", f"optimizer.lr={lr}", "--run-dir", f"runs/lr-{lr}")
    call("train", DIGITS, *SHORT, "--seeds", "4,5", "--run-dir", "group")
    call("train", str(CONFIGS / "regression_by_heart.yaml"), *SHORT, "--run-dir", "elsewhere/values")
    places = ("runs", "group/seed-4", "elsewhere/values", "runs/lr-0.02")
    assert len(call("runs", *places, "--json").json) == 5  # one named twice is listed once
    for key, sign in (("test_accuracy", -1), ("validation_loss", 1), ("train_loss", 1)):
        for spelling in (key, key.replace("_", "-"), key.replace("_", " ").upper()):
            values = [run["figures"].get(key) for run in call("runs", *places, "--sort", spelling, "--json").json]
            known = [value for value in values if value is not None]
            assert values[: len(known)] == known == sorted(known, key=lambda value: sign * value)
            assert len(known) == (5 if key == "train_loss" else 4)
    assert [run["lr"] for run in call("runs", "runs", "--sort", "lr", "--json").json] == [0.001, 0.02, 0.1]
    rows = [line.split()[0] for line in call("runs", *places, "--sort", "run").out.splitlines() if "completed" in line]
    assert rows == sorted(rows)
    refused = call("runs", "runs", "--sort", "accuracy")
    assert refused.code == 2
    assert "did you mean train_accuracy, validation_accuracy or test_accuracy?" in refused.err
    assert "choose from run, status, data" in call("runs", "runs", "--sort", "speed").err


def test_places_that_hold_no_runs(call: Call) -> None:
    call("train", DIGITS, *SHORT, "--run-dir", "runs/one")
    Path("runs/note.txt").write_text("x")
    named = call("runs", "runs/note.txt", "runs/one")
    assert (named.code, "runs/note.txt is a file" in named.err, "completed" in named.out) == (0, True, True)
    assert call("runs", "runs/note.txt").code == 2
    absent = call("runs", "runs/one", "runs/absent")
    assert (absent.code, absent.out) == (2, "")


def test_the_report_on_a_deeper_module(call: Call) -> None:
    config = str(CONFIGS / "stuck_network.yaml")
    result = call("check", config, "--set", "model.hidden=[32, 64, 128, 64]", "--json")
    (report,) = result.json
    assert (report["parameter_tensors"], report["parameters"]) == (10, 44_458)
    assert [layer["outputs"] for layer in report["layers"]] == [32, 64, 128, 64, 10]


def test_check_shows_all_that_a_layer_does(call: Call) -> None:
    model = (
        "model={hidden: [8, 8, 4], norm: batch, output_norm: {name: layer, eps: 0.1}, dropout: [0.1, 0.2, 0], "
        "input_dropout: 0.3, residual: true, activation: {name: elu, alpha: 2}}"
    )
    (report,) = call("check", DIGITS, "--set", model, "--json").json
    assert [layer["operations"] for layer in report["layers"]] == [
        ["input dropout 0.3", "batch norm", "elu (alpha 2)", "dropout 0.1"],
        ["batch norm", "elu (alpha 2)", "dropout 0.2", "residual"],
        ["batch norm", "elu (alpha 2)"],
        ["layer norm (eps 0.1)", "identity"],
    ]
    network = nn.Sequential(
        nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 4), nn.BatchNorm1d(4),
        nn.Linear(4, 10), nn.LayerNorm(10),
    )  # fmt: skip
    assert report["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert report["statistics"] == sum(buffer.numel() for buffer in network.buffers() if buffer.dim())
    shown = " ".join(call("check", DIGITS, "--set", model).out.split())
    assert "input dropout 0.3" in shown
    assert f"{report['parameters']} parameters and 40 running statistics, which are not trained" in shown


def test_a_layer_of_many_tensors_fits_into_80_columns(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = call("check", DIGITS, "--set", "model={hidden: [128, 64], norm: batch, dropout: 0.2}").out.splitlines()
    table = shown[: next(index for index, line in enumerate(shown) if "parameter tensors" in line)]
    assert all(len(line) <= 80 for line in table)
    for tensor in ("weight 128×64", "bias 128", "norm_weight 128", "norm_bias 64"):
        assert any(tensor in line for line in table), tensor


def test_check_goes_on_after_a_faulty_file(call: Call) -> None:
    Path("bad.yaml").write_text("data: digits\nmodel: {hidden: [0]}\noptimizer: sgdd\n")
    result = call("check", "bad.yaml", DIGITS, "absent.yaml")
    assert result.code == 2
    assert "6 parameter tensors" in result.out
    assert result.err.splitlines() == [
        "bad.yaml:2:18  model.hidden[0]: must be at least 1, got 0",
        f"bad.yaml:3:12  optimizer: must be {either(OPTIMIZER_NAMES)}, got the text 'sgdd'; did you mean 'sgd'?",
        "absent.yaml  no such file; in that folder: bad.yaml",
    ]


def test_a_diverged_run_exits_with_3(call: Call) -> None:
    result = call("train", DIGITS, "--set", "optimizer={name: sgd, lr: 1e25}", "--run-dir", "run")
    assert result.code == 3
    assert "diverged" in result.err
    assert "lr 1e+25" in result.err
    assert call("runs", ".", "--json").json[0]["status"] == "diverged"
    assert call("train", "--resume", "run").code == 2


def test_a_run_that_does_not_learn_says_why(call: Call) -> None:
    result = call("train", DIGITS, *SHORT, "--set", "optimizer={name: sgd, lr: 1e-9}")
    assert result.code == 0
    assert "warning: stuck" in result.err
    assert "optimizer.lr: 1e-09 moved the weights by only" in result.err


UNTRAINED = ("--set", "optimizer={name: sgd, lr: 100}")  # after which no epoch is better than none
ALL_ROWS = ("--set", "data.validation=0", "--set", "evaluation={split: none, keep: last}")
FEW = ("--set", "data={name: digits, train_size: 12, validation: 3}", "--set", "training.batch_size=4")


def test_kept_weights_that_are_untrained_are_called_so(call: Call) -> None:
    trained = call("train", DIGITS, *SHORT, *UNTRAINED, "--run-dir", "run").out
    assert trained.startswith(
        "kept: epoch 0 of 2, best.safetensors: the initial weights, untrained by this run; no epoch lowered the "
        "validation loss\n"
        "figures of the kept weights; losses are means per example:\n"
    )
    for command in (("eval", "run"), ("predict", "run", "--index", "0"), ("eval", "run/checkpoints/best.safetensors")):
        assert "note: epoch 0 was kept: the initial weights, untrained by this run\n" in call(*command).err, command
    assert "untrained" not in call("eval", "run/checkpoints/last.safetensors").err
    seeds = call("train", DIGITS, *SHORT, *UNTRAINED, "--seeds", "0,1").out
    assert len(re.findall(r"^ [01]     epoch 0, untrained ", seeds, re.MULTILINE)) == 2


def test_train_figures_say_which_they_are(call: Call) -> None:
    trained = call("train", DIGITS, *SHORT, "--run-dir", "run")
    kept = json.loads(Path("run/result.json").read_text())["kept"]
    [row] = [line.split() for line in trained.out.splitlines() if line.split()[:1] == ["train"]]
    assert row == ["train", f"{kept['train_loss']:.4f}", f"{kept['train_accuracy']:.4f}"]
    evaluated = call("eval", "run", "--split", "train").out
    assert f"loss {kept['train_loss']:.4f} (mean per example)" in evaluated
    assert f"accuracy {kept['train_accuracy']:.4f} " in evaluated
    last = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[2])
    during = f"train loss {last['train_loss']:.4f} accuracy {last['train_accuracy']:.4f} (during the epoch)"
    assert during in trained.err.splitlines()[2]


def test_classes_without_training_rows_are_named(call: Call) -> None:
    named = r"note: no training rows of classes ('\d', )+'\d': a network cannot learn what it never sees"
    assert re.search(named, call("train", DIGITS, *SHORT, *FEW, "--run-dir", "run").err)
    evaluated = call("eval", "run")
    assert re.search(named, evaluated.err)
    assert re.search(r"^  \d +– +0\.0000 +\d+ +$", evaluated.out, re.MULTILINE)
    assert "–: undefined, since the class was never predicted (precision) or has no examples (recall)" in evaluated.out
    per_class = call("eval", "run", "--json").json["per_class"]
    assert any(row["precision"] is None for row in per_class)
    seeds = call("train", DIGITS, *SHORT, *FEW, "--seeds", "0,1,2").err
    assert re.search(r"^note: seed 0: no training rows of classes", seeds, re.MULTILINE)
    seeds = call("train", DIGITS, *SHORT, *FEW, *ALL_ROWS, "--seeds", "0,1").err
    assert len(re.findall(r"^note: no training rows of classes", seeds, re.MULTILINE)) == 1  # the same of all seeds


def test_warnings_before_training(call: Call) -> None:
    result = call("train", DIGITS, *SHORT, "--set", "training.batch_size=100000")
    assert "warning: --set training.batch_size=100000  training.batch_size: 100,000 exceeds the 1,293" in result.err


def test_resume_and_extend(call: Call) -> None:
    call("train", DIGITS, *SHORT, "--run-dir", "run")
    assert call("train", "--resume", "run").code == 2
    assert call("train", "--resume", "run", "--set", "training.epochs=4", "--json").json["epochs"] == 4
    refused = call("train", "--resume", "run", "--set", "optimizer.lr=1")
    assert (refused.code, "only change training.epochs" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train",), "nothing to train"),
        (("train", DIGITS, "--resume", "run"), "name one of the two"),
        (("train", "absent.yaml"), "no such file"),
        (("train", "."), "cannot be read"),
        (("train", DIGITS, "--set", "optimizer.lr"), "key=value"),
        (("train", "--resume", "absent"), "no such run folder"),
        (("train", "--resume", "."), "is not a run folder"),
        (("train", "--resume", "x", "--run-dir", "y"), "--run-dir conflicts with --resume"),
        (("eval", "absent"), "no such checkpoint or run folder"),
        (("eval", DIGITS), "is a configuration, expected a run folder or a checkpoint"),
        (("metrics", DIGITS), "is a file, expected a run folder"),
        (("train", DIGITS, "--from", DIGITS), "is a configuration, expected a run folder or a checkpoint"),
        (("init", "my file"), "since it names a folder"),
        (("runs", "absent"), "no such folder"),
        (("data", "fetch", "cifar"), "cifar"),
        (("data", "fetch", "digits"), "are installed"),
        (("data", "verify", "spirals"), "spirals"),
    ],
)
def test_mistakes_have_one_message_and_exit_with_2(call: Call, arguments: tuple[str, ...], message: str) -> None:
    result = call(*arguments)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""
    assert [path.name for path in Path().iterdir()] == []


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_cuda_where_there_is_none(call: Call, name: str) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    result = call("train", DIGITS, "--set", f"training.device={name}", "--run-dir", "run")
    assert (result.code, "no CUDA device" in result.err, Path("run").exists()) == (2, True, False)


def test_a_run_folder_in_use_is_left_alone(call: Call) -> None:
    Path("run").mkdir()
    Path("run/notes.txt").write_text("mine")
    result = call("train", DIGITS, "--run-dir", "run")
    assert (result.code, "not empty" in result.err) == (2, True)
    assert [path.name for path in Path("run").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    "command",
    [
        ("train", DIGITS),
        ("train", DIGITS, "--seeds", "2"),
        ("compare", "configs/comparisons/digits.yaml"),
        ("search", "configs/searches/digits.yaml"),
    ],
    ids=["train", "seeds", "compare", "search"],
)
def test_a_run_folder_below_a_file(call: Call, command: tuple[str, ...]) -> None:
    Path("notes.txt").write_text("mine")
    kind, config, *options = command
    result = call(kind, str(CONFIGS.parent / config), *options, "--run-dir", "notes.txt/deep/run")
    said = "error: notes.txt/deep/run cannot be a folder: notes.txt is a file; choose another folder with --run-dir"
    assert (result.code, [line for line in result.err.splitlines() if "error" in line]) == (2, [said])
    assert Path("notes.txt").read_text() == "mine"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder in which nobody can write")
def test_an_unwritable_run_folder(call: Call) -> None:
    result = call("train", DIGITS, "--run-dir", "/proc/run")
    assert result.code == 1
    assert "no run folder can be made at /proc/run" in result.err


def test_a_damaged_checkpoint(call: Call) -> None:
    call("train", DIGITS, *SHORT, "--run-dir", "run")
    path = Path("run/checkpoints/best.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    result = call("eval", "run")
    assert (result.code, "best.safetensors" in result.err) == (2, True)


def test_offline_and_absent(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """No address can be reached: the message names folder, files and the way out."""
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    result = call("train", str(CONFIGS / "mnist.yaml"), "--run-dir", "run")
    assert result.code == 1
    for part in ("data/MNIST/raw", "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "configs/digits.yaml"):
        assert part in result.err
    assert not Path("run").exists()


def test_a_corrupt_archive(call: Call, data_dir: Path) -> None:
    raw = Path("data/MNIST/raw")
    raw.mkdir(parents=True)
    for archive in (data_dir / "MNIST/raw").glob("*.gz"):
        shutil.copy(archive, raw)
    path = raw / "train-labels-idx1-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    result = call("train", str(CONFIGS / "mnist.yaml"), "--run-dir", "run")
    assert (result.code, "train-labels-idx1-ubyte.gz" in result.err) == (2, True)
    assert not Path("run").exists()
    assert call("data", "verify", "mnist").code == 2


def test_fetch_finds_what_lies_there(call: Call, data_dir: Path) -> None:
    raw = Path("data/MNIST/raw")
    raw.mkdir(parents=True)
    for archive in (data_dir / "MNIST/raw").glob("*.gz"):
        shutil.copy(archive, raw)
    assert call("data", "fetch", "mnist", "--json").json["downloaded"] == []
    assert call("data", "verify", "mnist").code == 0


def test_a_diverged_run_says_where_it_is(call: Call) -> None:
    diverging = ("--set", "optimizer={name: sgd, lr: 1e25}")
    assert "run folder: run" in call("train", DIGITS, *diverging, "--run-dir", "run").out
    result = call("train", DIGITS, *diverging, "--run-dir", "other", "--json")
    assert (result.code, result.json["run"], result.json["status"]) == (3, "other", "diverged")
    assert "note: other diverged" in call("eval", "other").err


def test_another_runs_checkpoint_is_not_believed(call: Call) -> None:
    call("train", DIGITS, *SHORT, "--run-dir", "run")
    call("train", DIGITS, *SHORT, "--set", "seed=1", "--run-dir", "other")
    shutil.copy("other/checkpoints/best.safetensors", "run/checkpoints/best.safetensors")
    for command in (("eval", "run"), ("predict", "run", "--index", "0"), ("report", "run"), ("plot", "weights", "run")):
        result = call(*command)
        assert (result.code, "belongs to another run" in result.err) == (2, True), command


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("metrics.jsonl", lambda text: text.split("\n", 1)[1]),
        ("metrics.jsonl", lambda text: text.replace('"step": 41', '"step": "many"')),
        ("metrics.jsonl", lambda text: "[]\n" + text),
        ("metrics.jsonl", lambda text: ""),
        ("result.json", lambda text: '{"status": "completed"}'),
        ("result.json", lambda text: '{"status": "fine"}'),
        ("result.json", lambda text: "["),
    ],
)
def test_a_damaged_run_folder_is_not_gone_on_with(call: Call, file: str, damage: Any) -> None:
    call("train", DIGITS, *SHORT, "--run-dir", "run")
    Path("run", file).write_text(damage(Path("run", file).read_text()))
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    result = call("train", "--resume", "run", "--set", "training.epochs=4")
    assert (result.code, "damaged" in result.err) == (2, True), result.err
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before


def test_paths_may_be_strings() -> None:
    import mlptrain

    mlptrain.train(DIGITS, run_dir=Path("run"))
    assert mlptrain.evaluate("run")["examples"] == 360
    assert mlptrain.resume("run", epochs=31).result.plain()["epochs"] == 31


def test_a_run_folder_is_no_configuration(call: Call) -> None:
    call("train", DIGITS, *SHORT, "--run-dir", "run")
    result = call("train", "run")
    assert (result.code, "--resume run" in result.err) == (2, True)


def test_debug_shows_the_traceback() -> None:
    command = [sys.executable, "-m", "mlptrain", "train", "absent.yaml", "--debug"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" in result.stderr
    assert result.returncode != 0


def test_no_colour_no_terminal_narrow_and_ascii() -> None:
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "40", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "mlptrain", "check", DIGITS]
    result = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    assert b"\x1b" not in result.stdout


def test_training_goes_on_when_nobody_listens() -> None:
    train = f"{sys.executable} -m mlptrain train {DIGITS} --run-dir run --set training.epochs=25"
    result = subprocess.run(["bash", "-c", f"{train} 2>&1 | head -n 1"], capture_output=True, text=True, check=False)
    assert len(result.stdout.splitlines()) == 1
    assert json.loads(Path("run/result.json").read_text())["epochs"] == 25


def test_output_into_a_closed_pipe() -> None:
    command = f"{sys.executable} -m mlptrain schema | head -c 10"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.stderr == ""


def test_more_epochs_say_what_they_do_to_a_schedule(call: Call) -> None:
    """A cosine of 3 epochs ends near 0, and its 4th of 6 epochs begins halfway."""
    config = ("train", DIGITS, "--set", "schedule=cosine", "--set", "training.epochs=3")
    assert call(*config, "--set", "optimizer={name: sgd, lr: 0.1}", "--run-dir", "run").code == 0
    result = call("train", "--resume", "run", "--set", "training.epochs=6")
    assert result.code == 0
    note = result.err
    steps = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[3])["step"]
    last = 0.05 * (1 + math.cos(math.pi * (1 - 1 / steps)))
    assert "the schedule 'cosine' now spans 6 epochs: lr continues at 0.05, where 3 epochs end at " in note
    assert f"3 epochs end at {last:.3g}. " in note
