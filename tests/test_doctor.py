"""`mlptrain doctor`: what it says of a sound machine, and of broken ones."""

from __future__ import annotations

import gzip
import importlib
import importlib.metadata
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mlptrain.checks import doctor
from mlptrain.checks.doctor import Finding, examine, numbers
from mlptrain.checks.known_training import _CONFIGURATION, EXPECTED_LOSS, STEPS, TOLERANCE, train_known_network
from mlptrain.cli import main
from mlptrain.experiment.build import build_trainer, load_data
from mlptrain.nn.ops.activations import Tanh
from mlptrain.spec import load_text
from mlptrain.system.cores import usable_cores

RAW = "MNIST/raw"
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
ABOUT = {"versions", "torch", "device", "threads", "precision", "data digits", "data mnist", "data fashion_mnist",
         "data folder", "run folders", "pictures", "self-training"}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", str(tmp_path / "data"))
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(1)  # threads of small products wait for one another where other tests take the cores
    yield
    torch.set_num_threads(before[0])
    torch.set_float32_matmul_precision(before[1])


def findings(**options: Any) -> list[Finding]:
    found = list(examine(**options))
    for one in found:
        assert one.found
        assert one.level in ("ok", "note", "problem")
        assert bool(one.advice) == (one.level != "ok"), one
    return found


def about(what: str, found: list[Finding]) -> Finding:
    [one] = [finding for finding in found if finding.about == what]
    return one


def test_a_sound_machine_is_fit_and_leaves_no_trace(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    out, err = capfd.readouterr()
    assert (ended.value.code or 0, err) == (0, "")
    assert out.splitlines()[-1] == "ready to train"
    assert {line[9:].partition(":")[0] for line in out.splitlines()[:-1] if line[9:11] != "→ "} == ABOUT
    assert "`mlptrain data fetch mnist`" in out
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]


def test_json_has_the_documented_keys(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--json"])
    found = json.loads(capfd.readouterr().out)
    assert list(found) == ["healthy", "findings"]
    assert found["healthy"] is True
    assert {one["about"] for one in found["findings"]} == ABOUT
    assert all(list(one) == ["about", "level", "found", "advice", "figures"] for one in found["findings"])
    figures = {one["about"]: one["figures"] for one in found["findings"]}
    assert figures["versions"]["torch"] == importlib.metadata.version("torch")
    assert figures["threads"]["threads"] == torch.get_num_threads()
    assert set(figures["precision"]) == {"medium", "high", "highest"}
    assert figures["self-training"]["expected"] == EXPECTED_LOSS
    assert abs(figures["self-training"]["loss"] - EXPECTED_LOSS) <= figures["self-training"]["tolerance"]


def known_loss(dtype: torch.dtype, rounded: Callable[[torch.Tensor], torch.Tensor] = lambda t: t) -> float:
    """The self-training by torch's autograd and torch.optim.SGD; ``rounded`` is what a product sees of its factors."""

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(x, weight)
            return rounded(x) @ rounded(weight).t()

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            (x, weight), g = ctx.saved_tensors, rounded(gradients[0])
            return g @ rounded(weight), g.t() @ rounded(x)

    experiment = load_text(_CONFIGURATION).experiment
    model = build_trainer([experiment], [load_data(experiment)]).model()
    weights = [tensor.detach().to(dtype).clone().requires_grad_() for tensor in model.parameters.values()]
    optimizer = torch.optim.SGD(weights, lr=0.1, momentum=0.9)
    x, y = model.examples.inputs.to(dtype), model.examples.targets
    total = math.nan
    for epoch in range(1, 41):
        total = 0.0
        for rows in torch.split(model.order(epoch), 100):
            optimizer.zero_grad()
            h = x[rows]
            for layer in range(3):
                h = Product.apply(h, weights[2 * layer]) + weights[2 * layer + 1]
                h = torch.tanh(h) if layer < 2 else h
            loss = torch.nn.functional.cross_entropy(h, y[rows])
            torch.autograd.backward(loss)
            optimizer.step()
            total += float(loss.detach()) * len(rows) / len(x)
    return total


def test_the_stored_loss_is_that_of_float64_and_the_tolerance_that_of_every_precision() -> None:
    assert known_loss(torch.float64) == pytest.approx(EXPECTED_LOSS, rel=1e-9)
    in_bfloat16 = known_loss(torch.float32, lambda tensor: tensor.bfloat16().float())
    assert 1e-6 < abs(in_bfloat16 - EXPECTED_LOSS) < TOLERANCE / 3


@pytest.mark.parametrize(("threads", "precision"), [(1, "highest"), (1, "medium"), (2, "medium")])
def test_threads_and_precision_do_not_matter(threads: int, precision: str) -> None:
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    trained = train_known_network(max_seconds=600)
    assert trained.as_expected
    assert abs(trained.loss - EXPECTED_LOSS) < 1e-5 * EXPECTED_LOSS


@pytest.mark.parametrize(("factor", "told"), [(1.02, "loss 0.0"), (math.nan, "loss nan")])
def test_a_machine_that_computes_wrongly_is_unreliable(
    factor: float, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Tanh.write

    def wrong(z: torch.Tensor, *, out: torch.Tensor) -> None:
        right(z, out=out)
        out.mul_(factor)

    monkeypatch.setattr(Tanh, "write", staticmethod(wrong))
    found = about("self-training", findings())
    assert found.level == "problem"
    assert told in found.found
    assert "results from this machine are unreliable" in found.advice


def test_a_machine_that_is_far_too_slow_is_told_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_MAX_SECONDS", 0.0)
    found = about("self-training", findings())
    assert (found.level, "not done after 0 s" in found.found, "see threads" in found.advice) == ("problem", True, True)
    monkeypatch.setattr(doctor, "_MAX_SECONDS", 600.0)
    monkeypatch.setattr(doctor, "_USUAL_SECONDS", 0.0)
    assert about("self-training", findings()).level == "note"


def test_versions_that_are_too_old_or_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def other(name: str) -> str:
        if name == "rich":
            raise importlib.metadata.PackageNotFoundError(name)
        return {"numpy": "1.26.4", "torch": "2.7.1+cu118"}.get(name) or version(name)

    monkeypatch.setattr(importlib.metadata, "version", other)
    found = [one for one in findings() if one.about == "versions"]
    problems = {one.found: one.advice for one in found if one.level == "problem"}
    assert problems == {
        "numpy 1.26.4 is too old, expected 2.0 or later": "`pip install -U 'numpy>=2.0'`",
        "torch 2.7.1+cu118 is too old, expected 2.8 or later": "`pip install -U 'torch>=2.8'`",
        "rich is not installed": "`pip install 'rich>=13.7'`",
    }


@pytest.mark.parametrize(
    ("version", "expected"), [("2.15.0+cpu", (2, 15, 0)), ("2.8rc1", (2, 8)), ("10", (10,)), ("", ()), ("x", ())]
)
def test_numbers_of_a_version(version: str, expected: tuple[int, ...]) -> None:
    assert numbers(version) == expected


def test_a_torch_that_cannot_be_loaded_leaves_the_rest_to_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    load = importlib.import_module

    def broken(name: str, *rest: Any) -> Any:
        if name == "torch":
            raise OSError("libtorch_cpu.so: cannot open shared object file")
        return load(name, *rest)

    monkeypatch.setattr(importlib, "import_module", broken)
    found = findings()
    assert "libtorch_cpu.so" in about("torch", found).found
    assert "pip install --force-reinstall torch" in about("torch", found).advice
    assert {one.about for one in found} == {"versions", "torch", "run folders", "pictures"}


def test_a_check_that_breaks_down_is_a_finding_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> int:
        raise ZeroDivisionError("no\nthreads")

    monkeypatch.setattr(torch, "get_num_threads", broken)
    found = findings()
    assert about("threads", found).found == "the check itself failed: ZeroDivisionError: no threads"
    assert {one.about for one in found} == ABOUT


@pytest.mark.parametrize("variable", ["NVIDIA_TF32_OVERRIDE", None])
def test_products_that_are_never_accurate(variable: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if variable is not None:
        monkeypatch.setenv(variable, "1")
    monkeypatch.setattr("mlptrain.training.device.product_error", lambda device: 3e-4)
    found = about("precision", findings())
    assert found.level == "problem"
    assert f"unset {variable}" in found.advice if variable else "train with device: cpu" in found.advice


@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ("50000 100000\n", 0.5),
        ("max 100000\n", None),
        ("9900000 100000\n", None),
        ("odd", None),
        ("é", None),
        ("", None),
    ],
)
def test_the_share_of_a_container_is_seen(content: str, cores: float | None, tmp_path: Path) -> None:
    own = float(len(os.sched_getaffinity(0)))
    second, first = tmp_path / "cpu.max", tmp_path / "cpu.cfs_quota_us"
    assert usable_cores((second, first)) == own
    second.write_text(content)
    assert usable_cores((second, first)) == min(own, cores or own)
    second.unlink()  # the same by the first interface, which has -1 for no limit and the period in a file of its own
    quota, *period = content.replace("max", "-1").split() or [""]
    first.write_text(quota)
    (tmp_path / "cpu.cfs_period_us").write_text("".join(period))
    assert usable_cores((second, first)) == min(own, cores or own)


@pytest.mark.parametrize(("threads", "cores", "level"), [(2, 0.5, "note"), (2, 2.0, "ok"), (1, 4.0, "note")])
def test_threads_that_do_not_fit_the_cores(
    threads: int, cores: float, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlptrain.system.cores.usable_cores", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    monkeypatch.setattr(doctor, "_MAX_SECONDS", 0.0)  # the self-training has no part in this
    found = about("threads", findings())
    assert (found.level, f"OMP_NUM_THREADS={threads}" in found.found) == (level, True)
    if threads > cores:
        assert "training.threads: 1" in found.advice


def test_the_published_data_are_in_order(data_dir: Path) -> None:
    found = findings(data_dir=data_dir)
    for name in ("mnist", "fashion_mnist"):
        assert about(f"data {name}", found).level == "ok"
    assert str(data_dir) in about("data folder", found).found


def a_wrong_byte(folder: Path) -> str:
    (folder / FILES[0]).write_bytes(b"\0" * 100)
    return "damaged"


def an_archive_that_is_none(folder: Path) -> str:
    (folder / f"{FILES[1]}.gz").write_bytes(gzip.compress(b"x")[:-4])
    (folder / FILES[1]).unlink()
    return "damaged"


def one_file_only(folder: Path) -> str:
    for name in FILES[1:]:
        (folder / name).unlink()
    return "; ".join(f"{name}: absent from {folder}, and so is its archive" for name in FILES[1:])


def a_file_for_a_folder(folder: Path) -> str:
    for name in FILES:
        (folder / name).unlink()
        (folder / name).mkdir()
    return "not in"


@pytest.mark.parametrize("damage", [a_wrong_byte, an_archive_that_is_none, one_file_only, a_file_for_a_folder])
def test_data_that_are_not_in_order(damage: Callable[[Path], str], tmp_path: Path) -> None:
    folder = tmp_path / "data" / RAW
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_bytes(b"\0\0\x08\x01\0\0\0\0")
    told = damage(folder)
    found = about("data mnist", findings())
    assert told in found.found
    assert found.level == ("note" if damage is a_file_for_a_folder else "problem")
    assert "`mlptrain data fetch mnist`" in found.advice


@pytest.mark.parametrize("place", ["a file", "a loop", "~nobody-of-this-name/data"])
def test_a_data_folder_that_cannot_be(place: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    (tmp_path / "a loop").symlink_to(tmp_path / "a loop")
    found = findings(data_dir=Path(place) if place.startswith("~") else tmp_path / place)
    assert about("data folder", found).level != "ok"
    assert "--data-dir or $MLPTRAIN_DATA_DIR" in about("data folder", found).advice
    assert about("self-training", found).level == "ok"


def test_no_room_for_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage(".")
    for free, level in ((5 * 10**8, "note"), (10**6, "problem")):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage._replace(free=free))
        found = about("run folders", findings())
        assert (found.level, "free some space" in found.advice) == (level, True)
        assert found.figures["free_bytes"] == free


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder in which nobody can write")
def test_runs_where_nobody_can_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/proc")
    found = about("run folders", findings())
    assert (found.level, "/proc cannot be written" in found.found) == ("problem", True)


def test_the_current_folder_is_gone(tmp_path: Path) -> None:
    """In a process of its own: libraries that come with torch end it while they are loaded, unless they are helped."""
    root = Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    for command in ("doctor", "runs"):
        (tmp_path / "here").mkdir(exist_ok=True)
        line = ["sh", "-c", f"rmdir ../here && exec {shlex.quote(sys.executable)} -m mlptrain {command}"]
        done = subprocess.run(line, cwd=tmp_path / "here", env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: the current folder cannot be used")


def test_looking_loads_no_torch_before_it_is_needed() -> None:
    code = "import sys, mlptrain.checks.doctor, mlptrain.cli.app; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_the_steps_named_are_those_made() -> None:
    experiment = load_text(_CONFIGURATION).experiment
    assert experiment.training.epochs * experiment.steps_per_epoch == STEPS
