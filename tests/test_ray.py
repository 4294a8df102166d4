"""Executor ray: the same bytes as the local one, also when a node is killed, and errors that say what to do.

Comparisons, searches and learning rates share a cluster, and workers that have imported torch.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mlptrain
from mlptrain.cli import main
from mlptrain.comparison.plan import make_plan
from mlptrain.comparison.trials import TrialBatch
from mlptrain.errors import MachineError, UserError
from mlptrain.executors import Local, Ray, run_on_node, software
from mlptrain.experiment.lr_finding import LearningRates
from mlptrain.runs.trials import TrialRecord
from mlptrain.spec import Config
from mlptrain.spec.code import code_allowed
from mlptrain.spec.comparison.load import load_comparison
from tests.comparison.processes import LONGER, TEXT, ended, errors_of, started, until_some_are_on_record
from tests.comparison.small import FIXED, TUNED, Result, compare, write
from tests.searching.small import BASE as SEARCHED
from tests.searching.small import run as search
from tests.searching.small import written

ray = pytest.importorskip("ray")
SIGNS = Path(__file__).parents[1] / "configs" / "comparisons" / "signs.py"
DIGITS = str(Path(__file__).parents[1] / "configs" / "digits.yaml")


# --- clusters that are not there ---


def told_by(capfd: pytest.CaptureFixture[str], tmp_path: Path, address: str) -> str:
    """The one message of the command, which ends with exit code 2."""
    ray.shutdown()  # of a connection that another order of the tests has left
    config = write(FIXED, tmp_path)
    options = ["--set", "executor=ray", "--set", f"executor.address={address}", "--run-dir", str(tmp_path / "run")]
    return error_of(capfd, "compare-optimizers", str(config), *options)


def told_by_lr_find(capfd: pytest.CaptureFixture[str], executor: str) -> str:
    """The same of `lr-find`."""
    ray.shutdown()
    return error_of(capfd, "lr-find", DIGITS, "--steps", "2", "--executor", executor)


def error_of(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ending:
        main([*arguments])
    assert ending.value.code == 2
    others = ("warning: ", "scoring: ", "note: ")
    [told] = [line for line in capfd.readouterr().err.splitlines() if not line.startswith(others)]
    return told


def test_an_address_where_nothing_listens(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    for prefix in ("", "ray://"):
        told = told_by(capfd, tmp_path, f"{prefix}127.0.0.1:{port}")
        assert told_by_lr_find(capfd, f"{{name: ray, address: '{prefix}127.0.0.1:{port}'}}") == told
        assert told.startswith(f"error: executor ray: no cluster answers at '{prefix}127.0.0.1:{port}' (")
        assert "refused" in told
        assert told.endswith("start one with `ray start --head`, or take address local, or executor local")


@pytest.mark.parametrize("address", ["of the server", "auto"])
def test_an_address_where_something_else_listens(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Asked itself, Ray waits for minutes; auto is the address that RAY_ADDRESS names."""
    monkeypatch.setattr("mlptrain.executors.CONNECT_SECONDS", 2.0)
    began = time.monotonic()
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        there = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", there)
        named = address if address == "auto" else there
        assert f"no cluster answers at '{named}' (none within 2 seconds)" in told_by(capfd, tmp_path, named)
    assert time.monotonic() - began < 12


def test_a_host_that_no_one_knows(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "no cluster answers at 'no-such-host.invalid:6379' (" in told_by(
        capfd, tmp_path, "no-such-host.invalid:6379"
    )


def scoring_batches(config: Path) -> list[TrialBatch]:
    """Of the first setting of every optimizer."""
    plan = make_plan(load_comparison(config).spec)
    return plan.scoring_batches({name: arm.settings()[0] for name, arm in plan.spec.optimizers.items()})


def test_a_node_with_other_versions(tmp_path: Path) -> None:
    [batch, *_] = scoring_batches(write(FIXED, tmp_path))
    says = r"the command runs with mlptrain 999\.0 .* install the same versions on every node"
    with pytest.raises(UserError, match=says):
        run_on_node(batch, software() | {"mlptrain": "999.0"})


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A comparison of an optimizer of the user's own, which lies beside it, on eight seeds."""
    shutil.copyfile(SIGNS, tmp_path / "signs.py")
    return write(FIXED.replace("name: sgd", "name: 'signs:SignMomentum'").replace("seeds: 3", "seeds: 8"), tmp_path)


def test_a_node_where_the_users_module_does_not_lie(own: Path) -> None:
    with code_allowed():
        [batch, *_] = scoring_batches(own)
    (module := own.with_name("signs.py")).unlink()
    says = f"node {socket.gethostname()}: optimizer 'signs:SignMomentum' names a module in {module}, which cannot be"
    with pytest.raises(UserError, match=re.escape(says)):
        run_on_node(batch, software(), allow_code=True)


def test_ray_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for run in (lambda: compare(FIXED, tmp_path, "executor=ray"), lambda: rates_of(DIGITS, "ray")):
        with pytest.raises(UserError, match=r"pip install 'mlptrain\[ray\]'"):
            run()


@pytest.mark.parametrize(
    ("executor", "words"),
    [
        ("rey", "--executor  must be local or ray, got the text 'rey'"),
        ("{name: ray, adress: auto}", "--executor  adress: unknown key; did you mean 'address'?"),
        ("{name: ray, gpus: 2}", "--executor  gpus: must be at most 1, got 2"),
        ("{name: ray", "--executor  is not valid YAML: the mapping opened with '{' is not closed"),
    ],
)
def test_executors_that_there_are_not(capfd: pytest.CaptureFixture[str], executor: str, words: str) -> None:
    assert told_by_lr_find(capfd, executor).startswith(words)
    refused = {"name": "ray", "gpus": 2} if "gpus" in executor else executor
    with pytest.raises(UserError, match=re.escape(words.removeprefix("--"))):
        mlptrain.lr_find(DIGITS, executor=refused)


@pytest.mark.parametrize(
    ("device", "gpus", "reason"),
    [
        ("cpu", 0.25, "training.device is cpu"),
        ("auto", 0.25, "training.device is auto, and this machine has no GPU that torch can use"),
        ("cpu", 1, None),
        ("auto", 1, None),
    ],
)
def test_a_part_of_a_gpu_where_there_is_none_is_warned_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    device: str,
    gpus: float,
    reason: str | None,
) -> None:
    if device == "auto" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    executor = f"{{name: ray, gpus: {gpus}}}"
    path = write(FIXED, tmp_path)
    options = ["--plan", "--set", f"executor={executor}", "--set", f"base.training.device={device}"]
    with pytest.raises(SystemExit):
        main(["compare", str(path), *options])
    of_study = capfd.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    options = ["--steps", "2", "--set", f"training.device={device}", "--executor", executor]
    with pytest.raises(SystemExit):
        main(["lr-find", DIGITS, *options])
    of_rates = capfd.readouterr().err
    assert ("has no effect" in of_study, "has no effect" in of_rates) == (reason is not None, reason is not None)
    if reason is not None:
        assert re.search(rf"warning: .*executor\.gpus: has no effect: base\.{re.escape(reason)}\n", of_study)
        assert f"warning: --executor  gpus: has no effect: {reason}\n" in of_rates


# --- clusters that are ---


class TwoNodes:
    """A cluster of two nodes with one CPU and two, on this machine, in processes of its own."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self._second: Any = None

    @property
    def of_search(self) -> dict[str, str]:
        return {"name": "ray", "address": self.cluster.address}

    @property
    def override(self) -> str:
        return f"executor={json.dumps(self.of_search)}"

    def complete(self) -> None:
        if self._second is None:
            self._second = self.cluster.add_node(num_cpus=2)

    def kill_second(self) -> None:
        self.cluster.remove_node(self._second, allow_graceful=False)
        self._second = None

    @contextmanager
    def second_killed(self, place: Path, *, free: int) -> Iterator[None]:
        """Kill the second node once batches of the folder are on record and so many CPUs are free.

        It must have happened before the block ends.
        """
        killed = threading.Event()

        def kill() -> None:
            while not (place / "summary.json").exists():
                if (place / "trials.jsonl").exists() and ray.available_resources().get("CPU", 0) == free:
                    self.kill_second()
                    killed.set()
                    return
                time.sleep(0.02)

        killer = threading.Thread(target=kill)
        killer.start()
        yield
        killer.join()
        assert killed.is_set()

    @contextmanager
    def with_gpu(self, cpus: int) -> Iterator[None]:
        """With a third node, which says that it has a GPU."""
        node = self.cluster.add_node(num_cpus=cpus, num_gpus=1)
        try:
            yield
        finally:
            self.cluster.remove_node(node, allow_graceful=False)


@pytest.fixture(scope="module")
def cluster() -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_health_check_period_ms", "200")  # a dead node is noticed after a second instead of 15
        patch.setenv("GOMP_SPINCOUNT", "10000")  # idle threads of a worker leave the cores to the other ones sooner
        patch.delenv("OMP_NUM_THREADS", raising=False)  # so that Ray sets it in its workers, to a task's CPUs
        nodes = TwoNodes()
        nodes.complete()
        yield nodes
        ray.shutdown()
        nodes.cluster.shutdown()


@pytest.fixture
def two_nodes(cluster: TwoNodes) -> TwoNodes:
    """Two nodes, and a connection that stays, so that workers that have imported torch serve the next test too."""
    cluster.complete()
    if not ray.is_initialized():
        ray.init(address=cluster.cluster.address, log_to_driver=False, logging_level="error")
    return cluster


def test_a_cluster_gives_the_same_bytes(tmp_path: Path, two_nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = compare(TUNED, tmp_path)
    there = compare(TUNED, tmp_path, two_nodes.override, name="there")
    assert there.bytes == here.bytes


def test_a_study_gives_the_same_bytes_there(tmp_path: Path, two_nodes: TwoNodes) -> None:
    arms = "{ReLU: {optimizer: adam, model.activation: relu}, wide: {optimizer: adam, model.hidden: [[9], [4, 4]]}}"
    text = f"arms: {arms}\nmetric: test_loss\ntuning: {{seeds: 2}}\nscoring: {{seeds: 2}}\n"
    here = compare(text, tmp_path)
    assert compare(text, tmp_path, two_nodes.override, name="there").bytes == here.bytes


@pytest.mark.parametrize("prune", ["none", "halving"])
def test_an_adaptive_search_gives_the_same_bytes_there(tmp_path: Path, two_nodes: TwoNodes, prune: str) -> None:
    """Each round has three batches, one for each CPU."""
    changes: dict[str, Any] = {"method": "tpe", "trials": 24, "batch": 12, "together": 4, "prune": prune}
    search(tmp_path / "here", **changes)
    search(tmp_path / "there", **changes, executor=two_nodes.of_search)
    assert written(tmp_path / "there") == written(tmp_path / "here")


def test_nodes_are_given_the_users_module(
    own: Path, two_nodes: TwoNodes, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which after the first batches lies nowhere; the working folder is another one anyway."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    def trained(executor: Local | Ray, on_done: Callable[[], None]) -> list[TrialRecord]:
        records: list[TrialRecord] = []

        def done(found: list[TrialRecord]) -> None:
            records.extend(found)
            on_done()

        executor.run(scoring_batches(own), done, lambda _: None)
        return sorted(records, key=lambda record: (record.seed, record.trial))

    with code_allowed():
        here = trained(Local(), lambda: None)
        there = trained(Ray(two_nodes.cluster.address), lambda: own.with_name("signs.py").unlink(missing_ok=True))
    assert len(here) == 16
    assert there == here


def test_batches_share_a_gpu(tmp_path: Path, two_nodes: TwoNodes) -> None:
    """Two of them, that want two threads each, take two of four quarters, and a CPU each. There need not be a GPU."""
    [batch, *_] = scoring_batches(write(FIXED, tmp_path))
    batches = [replace(batch, resolved=replace(batch.resolved, device="cuda:0", threads=2))] * 2
    free: set[tuple[float, float]] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            now = ray.available_resources()
            if "GPU" in now:
                free.add((now["GPU"], now.get("CPU", 0.0)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    says = r"was started with a GPU that torch cannot use; .* --num-gpus 0"
    try:
        refused = nullcontext() if torch.cuda.is_available() else pytest.raises(UserError, match=says)
        with two_nodes.with_gpu(cpus=2), refused:
            Ray(two_nodes.cluster.address, gpus=0.25).run(batches, lambda _: None, lambda _: None)
    finally:
        ended.set()
        watcher.join()
    assert min(free) == (0.5, 3.0)


def test_a_node_killed_half_way_loses_nothing(tmp_path: Path, two_nodes: TwoNodes) -> None:
    """Two threads ask for two CPUs, which only one of the nodes has. When it is gone, the other takes over.

    There Ray sets OMP_NUM_THREADS to 1, but the plan says two.
    """
    base = LONGER.replace("epochs: 15", "epochs: 30").replace("threads: 1", "threads: 2")
    text = FIXED.replace("seeds: 3", "seeds: 4")  # as many batches
    here = compare(text, tmp_path, base=base)
    with two_nodes.second_killed(tmp_path / "there", free=1):
        there = compare(text, tmp_path, two_nodes.override, base=base, name="there")
    assert {record["threads"] for record in there.records} == {2}
    assert there.bytes == here.bytes


def test_a_search_loses_nothing_by_a_node_killed_half_way(tmp_path: Path, two_nodes: TwoNodes) -> None:
    """At a time when all CPUs are busy, and so both nodes."""
    base = {**SEARCHED, "model": {"hidden": [32]}, "training": {**SEARCHED["training"], "epochs": 40}}
    changes: dict[str, Any] = {"base": base, "method": "tpe", "trials": 12, "batch": 6, "together": 2}
    search(tmp_path / "here", **changes)
    with two_nodes.second_killed(tmp_path / "there", free=0):
        search(tmp_path / "there", **changes, executor=two_nodes.of_search)
    assert written(tmp_path / "there") == written(tmp_path / "here")


# --- learning rates ---


def in_parts(**sections: Any) -> dict[str, Any]:
    """Nine models of which a trainer holds two: five parts."""
    return {
        "data": {"name": "digits", "train_size": 500, "validation": 50},
        "model": {"hidden": [512, 512], "dropout": 0.1},
        "optimizer": {"name": "adam", "lr": 0.01},
        "training": {"batch_size": 50, "epochs": 20, "threads": 1, "device": "cpu"},
    } | sections


def rates_of(config: Config, executor: Any = "local", **options: Any) -> tuple[LearningRates, list[int]]:
    """What is found, and the steps that are done of all, as they were told."""
    told: list[int] = []
    options = {"rates": 8, "steps": 12, "on_steps": lambda done, _total: told.append(done), **options}
    return mlptrain.lr_find(config, executor=executor, on_note=lambda _: None, **options), told


def assert_same(there: LearningRates, here: LearningRates) -> None:
    """To the byte, the curves too."""
    assert there.curves.tobytes() == here.curves.tobytes()
    assert repr(replace(there, curves=here.curves)) == repr(here)


def test_rates_are_the_same_bytes_there(two_nodes: TwoNodes) -> None:
    """The highest of them diverges."""
    here, steps = rates_of(in_parts(), high=1e30)
    there, parts = rates_of(in_parts(), two_nodes.of_search, high=1e30)
    assert here.ended[-1] is not None
    assert_same(there, here)
    assert steps[:40] == list(range(1, 41))  # step by step; a part that has diverged ends before its time
    assert steps[-1] == 60
    assert parts == [12, 24, 36, 48, 60]


@pytest.mark.parametrize("kind", ["arrays", "frame"])
def test_rates_of_data_in_memory(two_nodes: TwoNodes, kind: str) -> None:
    x = np.random.default_rng(5).normal(size=(300, 6)).astype(np.float32)
    y = x @ np.ones(6) + 0.3
    frame = {**{f"column {index}": column for index, column in enumerate(x.T)}, "y": y}
    given = (x, y) if kind == "arrays" else frame
    config = in_parts(data={"validation": 30, "test": 0} | ({"target": "y"} if kind == "frame" else {}), loss="mse")
    here, _ = rates_of(config, data=given)
    there, parts = rates_of(config, two_nodes.of_search, data=given)
    assert len(parts) > 1
    assert_same(there, here)


def test_rates_of_an_optimizer_of_the_users_own(
    own: Path, two_nodes: TwoNodes, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its module lies in no folder that a worker knows, and nowhere once the tasks are handed out."""
    module = own.with_name("signs.py")
    config = in_parts(optimizer={"name": "signs:SignMomentum", "lr": 0.01, "path": str(module)})
    here, _ = rates_of(config, allow_code=True)
    module.write_text(f"{module.read_text(encoding='utf-8')}\n# another digest, which no worker has loaded\n")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    there, _ = rates_of(
        config,
        two_nodes.of_search,
        allow_code=True,
        on_steps=lambda *_: module.unlink(missing_ok=True),
    )
    assert not module.exists()
    assert there.curves.tobytes() == here.curves.tobytes()


def test_rates_lose_nothing_by_a_node_killed_half_way(two_nodes: TwoNodes) -> None:
    """Each of three parts wants the two CPUs of the node that is killed after the first; the other node takes over."""
    config = in_parts(training={"batch_size": 50, "epochs": 20, "threads": 2, "device": "cpu"})
    here, _ = rates_of(config, rates=5, steps=40)
    left: list[int] = []

    def kill(done: int, total: int) -> None:
        if not left:
            left.append(total - done)
            two_nodes.kill_second()

    there, _ = rates_of(config, two_nodes.of_search, rates=5, steps=40, on_steps=kill)
    assert left == [80]
    assert_same(there, here)


def test_rates_whose_workers_die_each_time(
    two_nodes: TwoNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And sooner than they do here."""
    monkeypatch.setattr("mlptrain.executors.RETRIES", 0)
    (tmp_path / "deadly.py").write_text(
        "import os\n\nimport torch\n\n\nclass Deadly(torch.optim.SGD):\n"
        f"    def step(self, closure=None):\n        if os.getpid() != {os.getpid()}:\n            os._exit(1)\n"
        "        return super().step(closure)\n"
    )
    config = in_parts(optimizer={"name": "deadly:Deadly", "lr": 0.01, "path": str(tmp_path / "deadly.py")})
    with pytest.raises(MachineError, match=r"^executor ray: a part of the rates cannot be trained \("):
        rates_of(config, two_nodes.of_search, allow_code=True, rates=3)


def stopped(place: Path, number: signal.Signals, *options: str) -> None:
    """Run until a batch is on record, then send a signal; the command says so and ends."""
    process = started(place, *options)
    until_some_are_on_record(place, process, 9)
    sent = time.monotonic()
    assert process.pid is not None
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    assert ended(process) == 130
    assert time.monotonic() - sent < 10
    [told] = [line for line in errors_of(place).read_text().splitlines() if "stopped" in line]
    assert told == "stopped by a signal; every finished batch of trials is saved. Rerun the same command to resume"


def test_sigterm_ends_it_whatever_ray_makes_of_it(tmp_path: Path, cluster: TwoNodes) -> None:
    """Another executor goes on."""
    stopped(tmp_path / "there", signal.SIGTERM, "--set", cluster.override)
    there = compare(TEXT, tmp_path, base=LONGER, name="there")
    assert there.bytes == compare(TEXT, tmp_path, base=LONGER, name="here").bytes


def test_ctrl_c_in_the_terminal_of_a_cluster_of_its_own(tmp_path: Path) -> None:
    """It reaches every process that Ray has started in the terminal's group. Another executor goes on."""
    place = tmp_path / "there"
    stopped(place, signal.SIGINT, "--set", "executor=ray")
    assert ended(started(place)) == 0
    assert Result(place).bytes == compare(TEXT, tmp_path, base=LONGER, name="here").bytes
