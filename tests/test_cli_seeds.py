"""`mlptrain train --seeds` as a user meets it, and what the other commands say to a group of seeds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mlptrain.experiment import train_seeds
from mlptrain.experiment.build import load_data
from mlptrain.spec import load_spec, load_text
from tests.command import Call

DIGITS = str(Path(__file__).parent.parent / "configs" / "digits.yaml")
SHORT = ("--set", "training.epochs=2")

# Gradient descent on a quadratic: a seed diverges where the learning rate exceeds 2 over the largest curvature. From
# weights this large float32 is left behind within a few steps.
LINEAR = """\
data: {name: random_regression, validation: 0}
model: {hidden: [], init: {name: normal, std: 1e17}}
loss: mse
optimizer: {name: sgd, lr: 0.57}
training: {epochs: 25, batch_size: full}
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", str(tmp_path / "data"))
    Path("linear.yaml").write_text(LINEAR)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds") / "group"
    train_seeds(load_spec(DIGITS, ["training.epochs=2"]), [0, 1], run_dir=folder)
    return folder


@pytest.fixture
def group(trained: Path) -> None:
    """A group of the seeds 0 and 1 at ``group``, completed with two epochs."""
    shutil.copytree(trained, "group")


def rows_of(out: str) -> dict[str, list[str]]:
    """Cells of the lines of the table, by their first."""
    cells = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]
    return {line[0]: line[1:] for line in cells if len(line) > 1}


def lines(run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]


def test_mean_and_spread_of_every_epoch(call: Call) -> None:
    shown = call("train", DIGITS, *SHORT, "--seeds", "3,0,11", "--run-dir", "group").err.splitlines()
    of_runs = [lines(f"group/seed-{seed}") for seed in (3, 0, 11)]
    timings = json.loads(Path("group/seed-3/timings.jsonl").read_text().splitlines()[2])
    parts = []
    for split in ("train", "validation"):
        for kind in ("loss", "accuracy"):
            values = [run[2][f"{split}_{kind}"] for run in of_runs]
            name = f"{split} loss" if kind == "loss" else "accuracy"
            parts.append(f"{name} {np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}")
    rate = f"{3 * 1293 / timings['training']:,.0f} examples/s"
    during, after = f"{parts[0]} {parts[1]} (during the epoch)", f"{parts[2]} {parts[3]}"
    assert shown[2] == f"epoch 2/2  {during}  {after}  {rate}  (3 seeds)"
    assert shown[0].startswith("epoch 0/2  validation loss ")
    assert re.search(r"\(3 seeds\)  \d+ s left$", shown[1])
    assert len(shown) == 3


def test_the_table_has_every_seed_with_mean_and_standard_deviation(call: Call) -> None:
    result = call("train", DIGITS, *SHORT, "--seeds", " 3, 0,11", "--run-dir", "group")
    assert result.code == 0
    assert "3 of 3 seeds completed" in result.out
    assert result.out.splitlines()[-1] == "group folder: group"
    table = rows_of(result.out)
    names = [f"{split}_{kind}" for split in ("train", "validation", "test") for kind in ("loss", "accuracy")]
    figures = []
    for seed in (3, 0, 11):
        kept = json.loads(Path(f"group/seed-{seed}/result.json").read_text())["kept"]
        figures.append([kept[name] for name in names])
        assert table[str(seed)] == [f"epoch {kept['epoch']}", *(f"{figure:.4f}" for figure in figures[-1])]
    assert table["mean"] == [f"{value:.4f}" for value in np.mean(figures, axis=0)]
    assert table["std"] == [f"{value:.4f}" for value in np.std(figures, axis=0, ddof=1)]
    assert [seed for seed in table if seed.isdigit()] == ["3", "0", "11"]


def test_the_table_fits_a_terminal_of_80_columns(call: Call) -> None:
    out = call("train", DIGITS, *SHORT, "--seeds", "0,1").out
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 80


def test_every_seed_is_its_single_run(call: Call) -> None:
    call("train", DIGITS, *SHORT, "--seeds", "0,5", "--run-dir", "group")
    call("train", DIGITS, *SHORT, "--set", "seed=5", "--run-dir", "alone")
    assert Path("group/seed-5/resolved.yaml").read_bytes() == Path("alone/resolved.yaml").read_bytes()
    for together, alone in zip(lines("group/seed-5"), lines("alone"), strict=True):
        assert together == pytest.approx(alone, rel=1e-3)
    assert lines("group/seed-0")[2]["train_loss"] != pytest.approx(lines("alone")[2]["train_loss"], rel=1e-2)


def test_json_keys(call: Call) -> None:
    found = call("train", DIGITS, *SHORT, "--seeds", "4,2", "--run-dir", "group", "--json").json
    assert list(found) == ["group", "seeds", "diverged", "kept", "runs"]
    assert (found["group"], found["seeds"], found["diverged"]) == ("group", [4, 2], [])
    assert [(run["seed"], run["run"]) for run in found["runs"]] == [(4, "group/seed-4"), (2, "group/seed-2")]
    assert list(found["runs"][0]) == [
        "seed", "run", "status", "epochs", "steps", "kept", "last", "diagnosis", "test_evaluations", "undefined",
        "calibration", "stopped_early", "choice", "still_falling",
    ]  # fmt: skip
    accuracies = [run["kept"]["test_accuracy"] for run in found["runs"]]
    assert found["kept"]["test_accuracy"] == pytest.approx(
        {
            "mean": np.mean(accuracies),
            "std": np.std(accuracies, ddof=1),
            "min": min(accuracies),
            "max": max(accuracies),
        }
    )
    assert list(found["kept"]) == [name for name in found["runs"][0]["kept"] if name not in ("checkpoint", "epoch")]


def test_one_seed_has_a_mean_and_no_spread(call: Call) -> None:
    result = call("train", DIGITS, *SHORT, "--seeds", "7", "--run-dir", "group")
    assert "±" not in result.err
    *_, last, note = result.err.splitlines()
    assert last.endswith("(1 seed)")
    assert note == "note: one seed has no spread; --seeds names the seeds, such as --seeds 0,1,2,3,4 for five"
    table = rows_of(result.out)
    assert table["mean"] == table["7"][1:]
    assert set(table["std"]) == {"–"}


def curvature(seed: int) -> float:
    """The largest eigenvalue of the Hessian of the mean squared error of LINEAR."""
    splits = load_data(load_text(LINEAR, overrides=[f"seed={seed}"]).experiment)
    inputs = torch.cat([splits.train.x.double(), torch.ones(len(splits.train.x), 1, dtype=torch.float64)], dim=1)
    return float(torch.linalg.eigvalsh(2 * inputs.T @ inputs / len(inputs)).max())


def test_a_diverged_seed_is_named_and_leaves_the_others(call: Call) -> None:
    assert [2 / curvature(seed) < 0.57 for seed in (1, 5, 3)] == [False, True, False]
    result = call("train", "linear.yaml", "--seeds", "1,5,3", "--run-dir", "group")
    assert result.code == 3
    epoch = json.loads(Path("group/seed-5/result.json").read_text())["epoch"]
    assert 1 < epoch < 25
    named, *after = result.err.splitlines()[epoch : epoch + 2]
    assert re.match(rf"seed 5 diverged: the training loss .* \(epoch {epoch}\) with lr 0.57", named)
    assert after[0].startswith(f"epoch {epoch}/25 ")
    counted = re.findall(r"\((\d) seeds\)", result.err)
    assert counted == ["3"] * epoch + ["2"] * (26 - epoch)  # epochs 0 to 25
    assert "nan" not in result.err + result.out
    assert "inf" not in result.err + result.out
    assert result.err.splitlines()[-1] == (
        "error: seed 5 diverged; the other 2 are complete; try a smaller learning rate"
    )
    assert "2 of 3 seeds completed" in result.out
    table = rows_of(result.out)
    assert table["5"] == [f"diverged in epoch {epoch}"]
    figures = [float(table[seed][1]) for seed in ("1", "3")]
    assert float(table["mean"][0]) == pytest.approx(np.mean(figures), abs=1e-4)
    assert {run["status"] for run in call("runs", "group", "--json").json} == {"completed", "diverged"}


def test_a_diverged_seed_is_not_extended_with_the_others(call: Call) -> None:
    call("train", "linear.yaml", "--seeds", "5,1,3", "--run-dir", "group")
    result = call("train", "--resume", "group", "--set", "training.epochs=28", "--json")
    assert (result.code, result.json["diverged"]) == (3, [5])
    assert [run.get("epochs") for run in result.json["runs"]] == [None, 28, 28]
    assert re.findall(r"^epoch (\d+)/28 .*\((\d) seeds\)", result.err, re.MULTILINE) == [
        ("26", "2"), ("27", "2"), ("28", "2"),
    ]  # fmt: skip
    losses = [lines(f"group/seed-{seed}")[28]["train_loss"] for seed in (1, 3)]
    assert f"train loss {np.mean(losses):.4f} ± " in result.err


def test_json_of_a_diverged_seed(call: Call) -> None:
    result = call("train", "linear.yaml", "--seeds", "1,5", "--json")
    assert (result.code, result.json["diverged"]) == (3, [5])
    assert [run["status"] for run in result.json["runs"]] == ["completed", "diverged"]
    assert result.json["kept"]["train_loss"]["mean"] == result.json["runs"][0]["kept"]["train_loss"]
    assert result.json["kept"]["train_loss"]["std"] is None


def test_all_seeds_diverged(call: Call) -> None:
    result = call("train", "linear.yaml", "--seeds", "1,5", "--set", "optimizer.lr=1e10", "--run-dir", "group")
    assert result.code == 3
    assert result.err.splitlines()[-1] == "error: seeds 1, 5 diverged; try a smaller learning rate"
    assert "0 of 2 seeds completed" in result.out
    assert "mean" not in rows_of(result.out)
    assert call("train", "--resume", "group").code == 2


def test_seeds_that_do_not_learn_are_named_with_the_reason(call: Call) -> None:
    result = call("train", DIGITS, *SHORT, "--set", "optimizer={name: sgd, lr: 1e-9}", "--seeds", "0,1,2")
    assert result.code == 0
    assert "warning: seed 0 stuck" in result.err
    assert "optimizer.lr: 1e-09 moved the weights by only" in result.err
    assert "seeds 1, 2 are stuck too" in result.err
    assert rows_of(result.out)["2"][0].endswith("(stuck)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seeds", "0,-1,x"), "--seeds: '-1', 'x' are not seeds; expected whole numbers from 0 to 2^63 - 1"),
        (
            ("--seeds", "4-0"),
            "'4-0' is not a seed; expected whole numbers from 0 to 2^63 - 1 with commas between them, or ranges",
        ),
        (("--seeds", "0...4"), "'0...4' is not a seed"),
        (("--seeds", "0..4,3"), "'3': named more than once"),
        (("--seeds", "0..1000"), "1,001 seeds, and at most 1,000"),
        (("--seeds", f"0..{10**29}"), f"'0..{10**29}' is not a seed"),
        (("--seeds", "1.5"), "'1.5' is not a seed"),
        (("--seeds", ""), "'' is not a seed"),
        (("--seeds", "0,,1"), "'' is not a seed"),
        (("--seeds", "٣"), "'٣' is not a seed"),
        (("--seeds", "1,2,01"), "'1': named more than once"),
        (("--seeds", f"0,{2**63}"), f"'{2**63}' is not a seed"),
        (("--seeds", "9" * 5000), "9999' is not a seed"),
        (("--seeds", ",".join(map(str, range(1001)))), "1,001 seeds, and at most 1,000"),
        (("--seeds", "0,1", "--set", "seed=3"), "--set seed=3 conflicts with --seeds 0,1"),
        (("--seeds", "0,1", "--set", "optimizer.lr=fast"), "optimizer.lr"),
    ],
)
def test_mistakes_have_one_message_and_exit_with_2(call: Call, arguments: tuple[str, ...], message: str) -> None:
    result = call("train", DIGITS, *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not Path("runs").exists()


def test_a_thousand_seeds_are_allowed_and_the_largest_seed() -> None:
    from mlptrain.cli.options import parse_seeds

    assert parse_seeds(",".join(map(str, range(1000)))) == list(range(1000)) == parse_seeds("0..999")
    assert parse_seeds("5, 0..2 , 7-8") == [5, 0, 1, 2, 7, 8]
    assert load_text(LINEAR, overrides=[f"seed={parse_seeds(str(2**63 - 1))[0]}"]).spec.seed == 2**63 - 1


def test_extending_a_group(call: Call, group: None) -> None:
    call("train", DIGITS, "--set", "training.epochs=4", "--seeds", "0,1", "--run-dir", "whole")
    complete = call("train", "--resume", "group")
    assert (complete.code, "--set training.epochs=N" in complete.err) == (2, True)
    refused = call("train", "--resume", "group", "--set", "optimizer.lr=1")
    assert (refused.code, "only change training.epochs" in refused.err) == (2, True)
    extended = call("train", "--resume", "group", "--set", "training.epochs=4", "--json")
    assert [run["epochs"] for run in extended.json["runs"]] == [4, 4]
    assert extended.err.splitlines()[0].startswith("epoch 3/4  train loss ")
    for seed in (0, 1):
        for file in ("metrics.jsonl", "resolved.yaml", "checkpoints/last.safetensors"):
            assert Path(f"group/seed-{seed}", file).read_bytes() == Path(f"whole/seed-{seed}", file).read_bytes()


def test_resume_with_what_a_group_has_settled(call: Call, group: None) -> None:
    for arguments, message in (
        (("--resume", "group", "--seeds", "2"), "--seeds conflicts with --resume"),
        (("--resume", "group", "--run-dir", "other"), "--run-dir conflicts with --resume"),
        (("--resume", "group/seed-1", "--set", "training.epochs=4"), "`mlptrain train --resume group`"),
        ((DIGITS, "--resume", "group"), "name one of the two"),
        ((DIGITS, "--seeds", "0,1", "--run-dir", "group"), "not empty"),
        (("group",), "`mlptrain train --resume group`"),
    ):
        result = call("train", *arguments)
        assert (result.code, message in result.err.replace(str(Path.cwd()) + "/", "")) == (2, True), result.err


def test_a_group_that_lost_a_run_or_its_list(call: Call, group: None) -> None:
    extend = ("train", "--resume", "group", "--set", "training.epochs=4")
    shutil.move("group/seed-1", "lost")
    result = call(*extend)
    assert (result.code, "group/seed-1: no such run folder" in result.err) == (2, True)
    shutil.move("lost", "group/seed-1")
    Path("group/seeds.json").write_text('{"seeds": "0,1"}')
    result = call(*extend)
    assert (result.code, "group/seeds.json is damaged: seeds is not what was written" in result.err) == (2, True)


@pytest.mark.parametrize("other", ["its neighbour", "another network", "an edited result"])
def test_a_group_with_a_run_that_is_not_its_own(call: Call, group: None, other: str) -> None:
    files = {path: path.read_bytes() for path in Path("group").rglob("*") if path.is_file()}
    if other == "an edited result":
        result = json.loads(Path("group/seed-1/result.json").read_bytes())
        result["kept"]["accuracy"] = result["kept"].pop("test_accuracy")
        Path("group/seed-1/result.json").write_text(json.dumps(result))
        Path("group/summary.json").unlink()
        refused = call("train", "--resume", "group")
        assert (refused.code, "group/seed-1: its result lacks metrics of the others'" in refused.err) == (2, True)
        return
    shutil.move("group/seed-1", "mine")
    if other == "its neighbour":
        shutil.copytree("group/seed-0", "group/seed-1")
    else:
        call("train", DIGITS, *SHORT, "--set", "seed=1", "--set", "model.activation=tanh", "--run-dir", "group/seed-1")
    for path in Path("group/seed-1").rglob("*"):
        if path.is_file():
            files[path] = path.read_bytes()
    for extend in ((), ("--set", "training.epochs=4")):
        refused = call("train", "--resume", "group", *extend)
        assert refused.code == 2
        assert "group/seed-1 is not the experiment of group/seed-0 with seed 1" in refused.err
    assert files == {path: path.read_bytes() for path in files}
    assert len(files) == sum(path.is_file() for path in Path("group").rglob("*"))


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "RUN"),
        ("predict", "RUN", "--index", "0"),
        ("plot", "confusion", "RUN"),
        ("plot", "weights", "RUN"),
    ],
)
def test_commands_on_one_run_name_those_of_the_group(call: Call, group: None, command: tuple[str, ...]) -> None:
    result = call(*(part.replace("RUN", "group") for part in command))
    assert (result.code, result.out) == (2, "")
    assert result.err == "error: group holds the runs of 2 seeds; name one of them: group/seed-0, group/seed-1\n"
    assert call(*(part.replace("RUN", "group/seed-1") for part in command)).code == 0


def test_curves_of_a_group_are_one_curve_with_a_band(call: Call, group: None) -> None:
    assert call("plot", "curves", "group", "group/seed-1", "--labels", "mean,alone", "--out", "both.svg").code == 0
    refused = call("plot", "curves", "group", "--labels", "one,two")
    assert (refused.code, "expected a name for each of 1 runs" in refused.err) == (2, True)


def test_runs_are_listed_with_their_group(call: Call, group: None) -> None:
    Path("runs").mkdir()
    shutil.move("group", "runs/group")
    call("train", DIGITS, *SHORT, "--run-dir", "runs/alone")
    assert list(rows_of(call("runs").out))[1:] == ["alone", "group/seed-0", "group/seed-1"]
    assert list(rows_of(call("runs", "runs/group").out))[1:] == ["seed-0", "seed-1"]
    assert [run["path"] for run in call("runs", "--json").json][1] == "runs/group/seed-0"


def test_progress_in_a_terminal() -> None:
    """All figures are there in a narrow terminal, folded; and a diverged seed is named."""
    inside, outside = os.openpty()
    command = [sys.executable, "-m", "mlptrain", "train", "linear.yaml", "--seeds", "1,5,3"]
    environment = os.environ | {"COLUMNS": "72", "TERM": "xterm"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=outside, env=environment)
    os.close(outside)
    shown = b""
    while chunk := _read(inside):
        shown += chunk
    os.close(inside)
    assert process.wait() == 3
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    last = re.sub(r"\s+", " ", text[text.rindex("epoch 25/25") :])
    assert re.search(
        r"train loss \d+\.\d{4} ± \d+\.\d{4} \(during the epoch\) [\d,]+ examples/s \(2 seeds\)",
        re.sub("[━╸╺] ?", "", last),
    ), last
    assert "seed 5 diverged: the training loss" in text


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other side is closed
        return b""


def test_from_python(call: Call) -> None:
    import mlptrain

    outcome = mlptrain.train_seeds(DIGITS, [0, 1], run_dir=Path("group"))
    assert outcome.group.path == Path("group")
    assert mlptrain.evaluate("group/seed-1")["accuracy"] == outcome.outcomes[1].result.plain()["kept"]["test_accuracy"]
    assert call("train", "--resume", "group").code == 2
