"""What fails is a result: it stays in the denominator, is shown, and ends nothing."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from scipy.stats import binomtest

import mlptrain
from mlptrain.errors import DivergedError
from tests.comparison.small import BASE, compare, labels_of_test_set

FAILING = """\
optimizers:
  Adam: {name: adam, lr: 0.03}
  wild: {name: sgd, lr: 1.0e+20}
  idle: {name: sgd, lr: 1.0e-20}
tuning: none
scoring: {seeds: 3}
"""


def majority(rows: int = 200) -> float:
    return max(Counter(labels_of_test_set(rows)).values()) / rows


def test_a_diverged_trial_counts_as_the_majority_class(tmp_path: Path) -> None:
    found = compare(FAILING, tmp_path)
    wild = found.optimizer("wild")
    assert found.summary["majority"] == pytest.approx(majority())
    assert [trial["status"] for trial in wild["trials"]] == ["diverged"] * 3
    assert [trial["score"] for trial in wild["trials"]] == pytest.approx([majority()] * 3)
    assert [trial["accuracy"] for trial in wild["trials"]] == [None] * 3
    assert wild["accuracy"]["mean"] == pytest.approx(majority())
    assert (wild["diverged"], wild["completed"], wild["curves"]) == (3, 0, {})
    assert "wild diverged in 3 of 3 trials" in found.summary["sentence"]
    assert found.optimizer("Adam")["completed"] == 3  # beside them, in the same batches
    pair = next(pair for pair in found.summary["pairs"] if (pair["a"], pair["b"]) == ("Adam", "wild"))
    scores = [trial["score"] - majority() for trial in found.optimizer("Adam")["trials"]]
    assert pair["mean"] == pytest.approx(statistics.fmean(scores))
    assert pair["n"] == 3


def test_the_step_of_divergence_is_that_of_training_alone(tmp_path: Path) -> None:
    found = compare(FAILING, tmp_path)
    trial = found.optimizer("wild")["trials"][2]
    path = tmp_path / "alone.yaml"
    lines = [line.removeprefix("  ") for line in BASE.splitlines()[1:]]
    path.write_text("\n".join([*lines, "optimizer: {name: sgd, lr: 1.0e+20}", "seed: 2"]))
    with pytest.raises(DivergedError) as error:
        mlptrain.train(path, run_dir=tmp_path / "run")
    assert (trial["epoch"], trial["step"]) == (error.value.epoch, error.value.step)


def test_a_trial_that_did_not_learn_says_so_and_stays(tmp_path: Path) -> None:
    """Weights that never move guess; their accuracy is one that always naming the largest class would reach."""
    found = compare(FAILING, tmp_path)
    idle = found.optimizer("idle")
    assert [trial["status"] for trial in idle["trials"]] == ["did not learn"] * 3
    assert all(trial["accuracy"] < found.summary["majority_bar"] for trial in idle["trials"])
    correct = round(200 * found.summary["majority_bar"])  # nine trials share the 5 %
    assert binomtest(correct, 200, majority(), alternative="greater").pvalue <= 0.05 / 9
    assert binomtest(correct - 1, 200, majority(), alternative="greater").pvalue > 0.05 / 9
    assert idle["accuracy"]["mean"] == pytest.approx(statistics.fmean(one["accuracy"] for one in idle["trials"]))
    assert (idle["did_not_learn"], idle["completed"]) == (3, 0)
    assert "idle did not learn in 3 of 3 trials" in found.summary["sentence"]
    assert found.summary["ranking"][0] == "Adam"


def test_a_diverged_setting_is_never_chosen_over_one_that_lasted(tmp_path: Path) -> None:
    text = FAILING.replace("lr: 1.0e+20", "lr: [0.3, 1.0e+19, 1.0e+20]").replace("tuning: none", "tuning: {seeds: 2}")
    found = compare(text, tmp_path)
    wild = found.optimizer("wild")
    assert [tried["accuracies"] for tried in wild["tuning"]][-2:] == [[None, None]] * 2
    assert (wild["setting"]["lr"], wild["tuning_trials"]) == (0.3, 2 * len(wild["grids"]["lr"]))


def test_the_majority_is_that_of_each_seed_where_the_split_is_drawn_by_it(tmp_path: Path) -> None:
    base = BASE.replace("validation: 100", "validation: 60")
    found = compare(FAILING.replace("seeds: 3", "seeds: 4, split: validation"), tmp_path, base=base)
    counted = {record["seed"]: record["scored"]["majority"] / 60 for record in found.records}
    assert len(set(counted.values())) > 1
    for name in ("wild", "Adam"):
        assert [trial["seed"] for trial in found.optimizer(name)["trials"]] == list(counted)
    assert [trial["score"] for trial in found.optimizer("wild")["trials"]] == list(counted.values())


def test_all_diverged(tmp_path: Path) -> None:
    text = "optimizers: {a: {name: sgd, lr: 1e20}, b: {name: adam, lr: 1e30}}\ntuning: none\nscoring: {seeds: 7}\n"
    found = compare(text + "target: {metric: validation_accuracy, value: 0.5}\n", tmp_path)
    assert {found.optimizer(name)["diverged"] for name in "ab"} == {7}
    assert found.summary["pairs"][0]["verdict"] == "tie"
    assert found.optimizer("a")["epochs_to_target"]["trials"] == [None] * 7
    timings = json.loads((found.path / "timings.json").read_bytes())
    assert timings["seconds_per_epoch"].keys() == {"a", "b"}


# A machine with too little memory, and then with enough. What is allowed is counted from what the process has by then.
OUT_OF_MEMORY = """
import json, re, resource, sys
from pathlib import Path
from tests.comparison.small import BASE, compare
from tests.comparison.test_failures import FAILING
folder = Path(sys.argv[1])
large = BASE.replace("hidden: [8]", "hidden: [3000, 1000]").replace("epochs: 2", "epochs: 1")
compare(FAILING, folder, name="warm")  # everything is loaded
used = 1024 * int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + 8_000_000, before[1]))  # a model has 13 MB of weights
first = compare(FAILING, folder, base=large)
resource.setrlimit(resource.RLIMIT_AS, before)
second = compare(FAILING, folder, base=large)
untouched = compare(FAILING, folder, base=large, name="untouched")
print(json.dumps([first.summary, second.summary, second.bytes == untouched.bytes]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS and /proc are Linux's")
def test_a_batch_that_finds_no_memory_is_a_result_and_is_tried_again(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, str(tmp_path)], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    first, second, equal = json.loads(done.stdout)
    for name in ("Adam", "wild", "idle"):
        trials = first["optimizers"][name]["trials"]
        assert [trial["status"] for trial in trials] == ["failed"] * 3
        assert all(trial["message"].startswith("out of memory") for trial in trials)
        assert second["optimizers"][name]["failed"] == 0
    assert first["sentence"].startswith("The machine could not train a single trial. Adam, wild and idle failed")
    assert second["optimizers"]["wild"]["diverged"] == 3
    assert equal  # the failure leaves no trace
