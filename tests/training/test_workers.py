"""Two processes that train one model, started as torchrun starts them, and what becomes of the run without one."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mlptrain.data import Examples
from mlptrain.data.augmentation import Augmentation
from mlptrain.data.batches import Batches
from mlptrain.errors import UserError
from mlptrain.experiment import resume, train
from mlptrain.experiment.together import check_can_share
from mlptrain.nn.shares import Share
from mlptrain.spec import load_text
from mlptrain.system.cores import usable_cores
from mlptrain.system.launch import Launch, launched
from mlptrain.training.device import ResolvedDevice, applied, resolve_device

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="workers are found by Linux's /proc")

CONFIG = """
data: {name: digits, train_size: 345}
model: {hidden: [24, 16], activation: tanh, norm: batch, dropout: 0.3, input_dropout: 0.1}
loss: {name: cross_entropy, class_weights: balanced, label_smoothing: 0.1}
optimizer: {name: sgd, lr: 0.03, momentum: 0.9}
schedule: cosine
training: {epochs: 14, batch_size: 103, clip_norm: 1.0, ema: 0.9, max_norm: 2.0, threads: 2}
"""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@dataclass
class Worker:
    """A process, and what it has said when it is over."""

    process: subprocess.Popen[str]

    def end(self, seconds: float = 60) -> tuple[int, str]:
        said, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, said


Start = Callable[..., list[Worker]]


def started(folder: Path, *arguments: str) -> list[Worker]:
    """Two workers in a folder, with a command's arguments."""
    port, pair = str(free_port()), []
    for rank in range(2):
        numbers = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"}
        process = subprocess.Popen(
            [sys.executable, "-m", "mlptrain", *arguments],
            cwd=folder,
            env=os.environ | numbers | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        pair.append(Worker(process))
    return pair


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``started`` in the test's folder; no worker outlives the test."""
    all_started: list[Worker] = []

    def make(*arguments: str) -> list[Worker]:
        all_started.extend(pair := started(tmp_path, *arguments))
        return pair

    yield make
    for worker in all_started:
        worker.process.kill()
        worker.process.communicate()


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def wait_for_epochs(run: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while not (run / "metrics.jsonl").exists() or len(lines_begun(run)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def lines_begun(run: Path) -> list[str]:
    return (run / "metrics.jsonl").read_text().splitlines()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and the run ``two`` of two workers."""
    folder = tmp_path_factory.mktemp("unbroken")
    (folder / "small.yaml").write_text(CONFIG)
    together = started(folder, "train", "small.yaml", "--run-dir", "two")
    (code, said), of_other = together[0].end(), together[1].end()
    assert code == 0, said
    assert of_other == (0, "")
    return folder


@pytest.fixture
def place(tmp_path: Path, unbroken: Path) -> Path:
    shutil.copy(unbroken / "small.yaml", tmp_path)
    return tmp_path


def same_bytes(run: Path, other: Path) -> None:
    for name in ("metrics.jsonl", "checkpoints/last.safetensors", "checkpoints/best.safetensors", "result.json"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name


def close_to(run: Path, other: Path) -> None:
    """Figures of every epoch and weights that agree to rounding."""
    expected, found = lines(other), lines(run)
    assert [line.keys() for line in found] == [line.keys() for line in expected]
    for line, theirs in zip(found, expected, strict=True):
        assert line == pytest.approx(theirs, rel=1e-5, abs=1e-6)
    weights = [load_file(folder / "checkpoints" / "last.safetensors") for folder in (run, other)]
    for name, tensor in weights[1].items():
        torch.testing.assert_close(weights[0][name], tensor, rtol=1e-4, atol=1e-5)


def test_two_workers_give_the_figures_of_one_process(unbroken: Path, tmp_path: Path) -> None:
    train(unbroken / "small.yaml", run_dir=tmp_path / "one")
    close_to(unbroken / "two", tmp_path / "one")
    configurations = [(run / "resolved.yaml").read_text() for run in (tmp_path / "one", unbroken / "two")]
    assert configurations[0] == configurations[1]
    environments = [json.loads((run / "environment.json").read_text()) for run in (tmp_path / "one", unbroken / "two")]
    assert [environment["workers"] for environment in environments] == [1, 2]


OWN = """
from pytorch_optimizer import AggMo

class Own(AggMo):
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr, betas=(0.0, 0.9))
"""


def test_two_workers_train_with_an_optimizer_of_ones_own(start: Start, place: Path) -> None:
    """Of a class of a collection; without batch norm, under which biases have gradients of rounding alone."""
    (place / "own.py").write_text(OWN)
    text = CONFIG.replace("{name: sgd, lr: 0.03, momentum: 0.9}", "{name: 'own:Own', lr: 0.02}")
    (place / "own.yaml").write_text(text.replace("epochs: 14", "epochs: 3").replace("norm: batch, ", ""))
    pair = start("train", "own.yaml", "--run-dir", "two", "--allow-code")
    train(place / "own.yaml", run_dir=place / "one", allow_code=True)
    (code, said), of_other = pair[0].end(), pair[1].end()
    assert code == 0, said
    assert of_other == (0, "")
    close_to(place / "two", place / "one")


def test_a_killed_worker_ends_the_run_and_two_resume_it_to_the_same_bytes(
    start: Start, place: Path, unbroken: Path
) -> None:
    launch = under_torchrun(place)
    try:
        wait_for_epochs(place / "run", 1)
        second = worker_of(launch.process.pid, rank=1)
        wait_for_epochs(place / "run", 4)
        os.kill(second, signal.SIGKILL)
        _, said = launch.end(10)
    finally:
        launch.process.kill()
    assert said.count("epochs are saved, resume with `mlptrain train --resume run`") == 1, said
    assert not (place / "run" / "result.json").exists()
    shutil.copytree(place / "run", place / "copy")
    together = start("train", "--resume", "run")
    resume(place / "copy")
    close_to(place / "copy", unbroken / "two")
    (code, said), of_other = together[0].end(), together[1].end()
    assert code == 0, said
    assert of_other == (0, "")
    same_bytes(place / "run", unbroken / "two")


def test_where_the_first_worker_is_killed_the_second_says_how_to_resume(place: Path) -> None:
    launch = under_torchrun(place)
    try:
        wait_for_epochs(place / "run", 4)
        os.kill(worker_of(launch.process.pid, rank=0), signal.SIGKILL)
        _, said = launch.end(10)
    finally:
        launch.process.kill()
    assert (
        said.count("worker 0, which recorded the run, has ended; the epochs saved before are kept, resume with ") == 1
    )
    assert "`mlptrain train --resume run`" in said
    assert not (place / "run" / "result.json").exists()


def under_torchrun(place: Path) -> Worker:
    """Two workers of torchrun, which train into ``run``."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--master-addr=127.0.0.1"]
    return Worker(
        subprocess.Popen(
            [
                *launcher,
                f"--master-port={free_port()}",
                "--nproc-per-node=2",
                *("-m", "mlptrain", "train", "small.yaml", "--run-dir", "run"),
            ],
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    )


def worker_of(launcher: int, *, rank: int) -> int:
    """The process that torchrun started as this RANK."""
    [found] = [
        int(environment.parent.name)
        for environment in Path("/proc").glob("[0-9]*/environ")
        if f"PPid:\t{launcher}\n" in (environment.parent / "status").read_text()
        and f"\0RANK={rank}\0".encode() in environment.read_bytes()
    ]
    return found


def test_an_error_of_all_workers_is_shown_once(start: Start, place: Path) -> None:
    first, other = start("train", "small.yaml", "--set", "optimizer.lrr=1")
    code, said = first.end()
    assert code == 2
    assert "optimizer.lrr" in said
    other.process.terminate()  # as the launcher does
    assert other.end(5) == (-signal.SIGTERM, "")


@pytest.mark.parametrize("steps", [1, 2, 99])
@pytest.mark.parametrize("section", [{}, {"rotate": 20, "elastic": {"alpha": 2, "sigma": 1}, "mixup": 0.3}])
def test_workers_read_their_rows_of_the_batches_of_one_process(section: dict[str, Any], steps: int) -> None:
    experiment = load_text(
        f"data: digits\nmodel: {{hidden: []}}\noptimizer: {{name: sgd, lr: 1}}\naugmentation: {section}"
    ).experiment
    x, y = torch.rand(23, 64), torch.arange(23) % 10

    def read(share_of: Callable[[int], Share] | None) -> list[tuple[Tensor, Tensor]]:
        batches = Batches(
            [Examples(x, y)],
            seeds=[3],
            models=[2],
            batch_size=10,
            shuffle=True,
            augmentation=Augmentation.of(experiment.augmentation, experiment.facts),
            share_of=share_of,
        )
        sizes = [share.stop - share.start for share in batches.shares] or [10, 10, 3]
        found = []
        for targets, inputs in batches.blocks(1, steps=steps):
            at = 0
            for [batch] in inputs:
                found.append((batch.clone(), targets[..., at : at + len(batch)]))
                at += len(batch)
            assert at == targets.shape[2]
        assert [len(batch) for batch, _ in found] == sizes
        return found

    whole = read(None)
    for rank in range(4):
        of_rank = partial(Share.of, rank=rank, count=4, sum_=torch.sum)
        for (batch, targets), (own, its_targets) in zip(whole, read(of_rank), strict=True):
            rows = of_rank(len(batch)).rows
            assert torch.equal(own, batch[rows])
            assert torch.equal(its_targets, targets[..., rows])


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("training.adversarial=vat", "training.adversarial: 'vat'"),
        ("model.members=4", "model.members"),
        ("training.batch_size=1", "training.batch_size: 2 workers"),
        (
            "optimizer={name: 'pytorch_optimizer:SAM', base_optimizer: 'torch.optim:SGD', lr: 0.1}",
            "optimizer: 'pytorch_",
        ),
    ],
)
def test_what_workers_cannot_share_is_refused(setting: str, named: str) -> None:
    text = "data: digits\nmodel: {hidden: [8]}\noptimizer: {name: sgd, lr: 0.1}"
    experiment = load_text(text, overrides=[setting]).experiment
    with pytest.raises(UserError, match=re.escape(named)):
        check_can_share(experiment, Launch(0, 2, 0, 2))


def test_workers_divide_the_threads_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as torchrun sets it
    launch = Launch(1, 4, 1, 2)
    resolved = resolve_device(device="cpu", precision="highest", threads="auto", step_flops=1e12, launch=launch)
    assert resolved.threads == max(1, int(usable_cores()))
    with applied(ResolvedDevice("cpu", "highest", 5), launch):
        assert torch.get_num_threads() == 2


def test_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert launched() is None
    for name, value in zip(names, ("3", "4", "1", "2", "localhost", "29500"), strict=True):
        monkeypatch.setenv(name, value)
    assert launched() == Launch(3, 4, 1, 2)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match="RANK=3, WORLD_SIZE=3"):
        launched()
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(UserError, match="WORLD_SIZE='many'"):
        launched()
