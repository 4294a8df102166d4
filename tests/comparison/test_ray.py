"""Executor ray: the same bytes as the local one, also when a node is killed, and errors that say what to do."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlptrain.cli import main
from mlptrain.comparison.executors import run_on_node
from mlptrain.comparison.trials import software
from mlptrain.errors import UserError
from tests.comparison.processes import LONGER, TEXT, ended, errors_of, started, until_some_are_on_record
from tests.comparison.small import FIXED, TUNED, Result, compare, plan_of, write

ray = pytest.importorskip("ray")


# --- clusters that are not there ---


def told_by(capfd: pytest.CaptureFixture[str], tmp_path: Path, address: str) -> str:
    """The one message of the command, which ends with exit code 2."""
    config = write(FIXED, tmp_path)
    options = ["--set", "executor=ray", "--set", f"executor.address={address}", "--run-dir", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as ending:
        main(["compare-optimizers", str(config), *options])
    assert ending.value.code == 2
    [told] = [line for line in capfd.readouterr().err.splitlines() if not line.startswith(("warning: ", "scoring: "))]
    return told


def test_an_address_where_nothing_listens(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    for prefix in ("", "ray://"):
        told = told_by(capfd, tmp_path, f"{prefix}127.0.0.1:{port}")
        assert told.startswith(f"error: executor ray: no cluster answers at '{prefix}127.0.0.1:{port}' (")
        assert "refused" in told
        assert told.endswith("start one with `ray start --head`, or take address local, or executor local")


@pytest.mark.parametrize("address", ["of the server", "auto"])
def test_an_address_where_something_else_listens(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Asked itself, Ray waits for minutes; auto is the address that RAY_ADDRESS names."""
    monkeypatch.setattr("mlptrain.comparison.executors.CONNECT_SECONDS", 4.0)
    began = time.monotonic()
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        there = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", there)
        named = address if address == "auto" else there
        assert f"no cluster answers at '{named}' (none within 4 seconds)" in told_by(capfd, tmp_path, named)
    assert time.monotonic() - began < 12


def test_a_host_that_no_one_knows(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "no cluster answers at 'no-such-host.invalid:6379' (" in told_by(
        capfd, tmp_path, "no-such-host.invalid:6379"
    )


def test_a_node_with_other_versions(tmp_path: Path) -> None:
    plan = plan_of(FIXED, tmp_path)
    [batch, *_] = plan.scoring_batches(
        {name: plan.spec.optimizers[name].settings()[0] for name in plan.spec.optimizers}
    )
    with pytest.raises(UserError, match=r"the plan is for mlptrain 999\.0 .* install the same versions on every node"):
        run_on_node(batch, software() | {"mlptrain": "999.0"})


def test_ray_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'mlptrain\[ray\]'"):
        compare(FIXED, tmp_path, "executor=ray")


# --- clusters that are ---


class TwoNodes:
    """A cluster of two nodes with one CPU and two, on this machine, in processes of its own."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.second: Any = self.cluster.add_node(num_cpus=2)

    @property
    def override(self) -> str:
        return f"executor={{name: ray, address: '{self.cluster.address}'}}"

    def kill_second(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_health_check_period_ms", "1000")  # a dead node is noticed after 5 s instead of 15
        patch.setenv("GOMP_SPINCOUNT", "10000")  # idle threads of a worker leave the cores to the other ones sooner
        patch.delenv("OMP_NUM_THREADS", raising=False)  # so that Ray sets it in its workers, to a task's CPUs
        nodes = TwoNodes()
        yield nodes
        nodes.cluster.shutdown()


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


def test_a_node_killed_half_way_loses_nothing(tmp_path: Path, two_nodes: TwoNodes) -> None:
    """Two threads ask for two CPUs, which only one of the nodes has. When it is gone, the other takes over.

    There Ray sets OMP_NUM_THREADS to 1, but the plan says two.
    """
    base = LONGER.replace("epochs: 15", "epochs: 30").replace("threads: 1", "threads: 2")
    text = FIXED.replace("seeds: 3", "seeds: 4")  # as many batches
    here = compare(text, tmp_path, base=base)
    place = tmp_path / "there"
    killed_while_it_trained = threading.Event()

    def kill() -> None:
        """Once a batch is on record and both CPUs of the node are busy with another."""
        while not (place / "summary.json").exists():
            time.sleep(0.05)
            if (place / "trials.jsonl").exists() and ray.available_resources().get("CPU", 0) == 1:
                two_nodes.kill_second()
                killed_while_it_trained.set()
                return

    killer = threading.Thread(target=kill)
    killer.start()
    there = compare(text, tmp_path, two_nodes.override, base=base, name="there")
    killer.join()
    assert killed_while_it_trained.is_set()
    assert {record["threads"] for record in there.records} == {2}
    assert there.bytes == here.bytes


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


def test_sigterm_ends_it_whatever_ray_makes_of_it(tmp_path: Path, two_nodes: TwoNodes) -> None:
    stopped(tmp_path / "there", signal.SIGTERM, "--set", two_nodes.override)


def test_ctrl_c_in_the_terminal_of_a_cluster_of_its_own(tmp_path: Path) -> None:
    """It reaches every process that Ray has started in the terminal's group. Another executor goes on."""
    place = tmp_path / "there"
    stopped(place, signal.SIGINT, "--set", "executor=ray")
    assert ended(started(place)) == 0
    assert Result(place).bytes == compare(TEXT, tmp_path, base=LONGER, name="here").bytes
