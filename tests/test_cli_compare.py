"""`mlptrain compare-optimizers` as a user meets it: tables, --plan, --json, and one message for each mistake."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlptrain.cli.compare_screen import TrialProgress, show_summary
from mlptrain.comparison import preview
from mlptrain.runs.comparison import Summary, Timings
from mlptrain.runs.search import SearchSummary
from mlptrain.searching import preview as search_preview
from tests.command import Call, Result
from tests.comparison.small import BASE, FIXED, TUNED, write
from tests.report.comparison_samples import KINDS, make, summary_of

CONFIGS = Path(__file__).parent.parent / "configs"
DIGITS = str(CONFIGS / "digits.yaml")
JSON_KEYS = CONFIGS.parent / "mlptrain/README.md"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preview, "PROBE_SECONDS", 0.2)


@pytest.fixture
def compared(call: Call) -> Callable[..., Result]:
    """The command on a comparison of its own."""

    def run(text: str, *options: str) -> Result:
        return call("compare-optimizers", str(write(text, Path())), *options)

    return run


SHORT = (
    *("--set", "base.training.epochs=1", "--set", "base.data.train_size=200"),
    *("--set", "base.data.validation=50", "--set", "base.model.hidden=[4]"),
)


def documented(function: Callable[..., Any]) -> list[str]:
    """The keys that a docstring lists after ``Keys:``, up to the end of the sentence."""
    text = " ".join((inspect.getdoc(function) or "").split())
    [listed] = re.findall(r"Keys: (.*?)\.(?: |$)", text)
    return re.sub(r"\([^)]*\)", "", listed).replace(" ", "").split(",")


# --- what comes out ---


def test_tables_and_sentence_again_and_again(compared: Callable[..., Result]) -> None:
    text = TUNED + "target: {metric: validation_accuracy, value: 0.99}\n"
    first, second = compared(text), compared(text)
    assert first.code == 0
    for told in (
        "test accuracy over 3 seeds",
        "95 % interval",
        "median time to validation accuracy of at least 99 %",
        "not reached",
        "0 of 3",
        "Adam against Nesterov",
        "no verdict",
        "has the highest mean accuracy",
        "without a verdict (too few seeds)",
    ):
        assert told in first.out
    [folder] = re.findall(r"^comparison: (\S+)$", first.out, re.MULTILINE)
    assert (Path(folder) / "summary.json").is_file()
    for line in ("tuning: 27 trials", "tuning, extension 1: 3 trials", "scoring: 9 trials", "timing: 3 trials"):
        assert line in first.err.splitlines()
    assert "no verdict is possible over 3 pairs with 3 seeds" in first.err
    assert second.out == first.out
    assert "scoring: 9 trials, 9 of them already recorded" in second.err


def test_json_has_the_documented_keys_and_what_was_planned(compared: Callable[..., Result]) -> None:
    planned, found = compared(TUNED, "--plan", "--json").json, compared(TUNED, "--json").json
    assert list(found) == ["folder", *Summary.model_fields, "timings"]
    assert list(found["timings"]) == list(Timings.model_fields)
    written = json.loads((Path(found["folder"]) / "summary.json").read_bytes())
    assert {key: value for key, value in found.items() if key not in ("folder", "timings")} == written

    assert found["plan"] == planned["plan"]
    trials = sum(entry["tuning_trials"] for entry in found["optimizers"].values())
    assert planned["tuning_trials"] <= trials <= planned["tuning_trials"] + planned["most_extension_trials"]
    on_disk = (Path(found["folder"]) / "trials.jsonl").stat().st_size
    assert planned["bytes"] == pytest.approx(on_disk, rel=0.3)


def test_the_keys_of_all_outputs_are_documented(call: Call) -> None:
    text = JSON_KEYS.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `((?:check|search|compare)[^`]*)`[^|]* \| (.*) \|$", text, re.M))
    files = {
        kind: str(CONFIGS / f"{kind}{more}" / "digits.yaml") for kind, more in (("comparison", "s"), ("search", "es"))
    }
    checked = {kind: call("check", path, "--json").json[0] for kind, path in files.items()}
    wanted = {
        ("compare-optimizers", "`summary.json`: "): [*Summary.model_fields],
        ("compare-optimizers --plan", ""): documented(preview.preview),
        ("search", ""): ["folder", *SearchSummary.model_fields],
        ("search --plan", ""): documented(search_preview.preview),
        **{("check", f"of a {kind} "): list(found) for kind, found in checked.items()},
    }
    for (command, before), keys in wanted.items():
        [listed] = re.findall(rf"{re.escape(before)}`([\w, ]+)`", rows[command])[:1]
        assert listed.split(", ") == keys, command


def test_what_failed_is_shown_with_its_step(compared: Callable[..., Result]) -> None:
    result = compared(FIXED.replace("lr: 0.5", "lr: 1e20"))
    [where] = re.findall(r"^note: SGD diverged: (.*)$", result.out, re.M)
    assert re.fullmatch("; ".join(rf"seed {seed} at step [1-9]\d* \(epoch [12]\)" for seed in range(3)), where)
    assert "0 of 3" in result.out


def test_an_experiment_with_options(call: Call) -> None:
    options = ("--optimizers", "sgd,nesterov", "--lr", "1e-2,1e-1", "--seeds", "2", "--set", "tuning.seeds=1")
    found = call("compare-optimizers", DIGITS, *options, *SHORT, "--json").json
    assert list(found["optimizers"]) == ["sgd", "nesterov"]
    assert found["optimizers"]["nesterov"]["setting"]["nesterov"] is True
    assert (found["seeds"], found["tuning_seeds"]) == ([0, 1], [100])
    assert found["optimizers"]["sgd"]["tuning_trials"] >= 2


def test_other_commands_and_a_comparison(call: Call, compared: Callable[..., Result]) -> None:
    assert compared(FIXED).code == 0
    [folder] = Path("runs").iterdir()
    for listed in (call("runs"), call("runs", str(folder))):
        assert "comparison, completed" in listed.out
    for command in (("eval", folder), ("plot", "curves", folder)):
        refused = call(*map(str, command))
        assert (refused.code, f"`mlptrain report {folder}` shows it" in refused.message) == (2, True)
    assert call("train", DIGITS, "--set", "training.epochs=1").code == 0
    assert "completed" in call("runs").out
    refused = call("train", "small.yaml")
    assert (refused.code, "run it with `mlptrain compare-optimizers small.yaml`" in refused.message) == (2, True)


def test_of_many_pairs_the_terminal_shows_those_of_the_best(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for kind, shown in (("six", 15), ("fifteen", 14)):
        parent = tmp_path / kind
        parent.mkdir()
        summary = summary_of(make(parent, **KINDS[kind]))
        capfd.readouterr()
        show_summary("runs/x", summary, Timings())
        told = re.findall(r"^  (.*) against ", capfd.readouterr().out, re.MULTILINE)
        assert len(told) == shown
        assert (set(told) == {summary.ranking[0]}) == (kind == "fifteen")


# --- --plan ---


def test_plan_by_hand(compared: Callable[..., Result], tmp_path: Path) -> None:
    text = TUNED.replace("scoring: {seeds: 3}", "scoring: {seeds: 7}").replace("extensions: 1", "extensions: 2")
    result = compared(text, "--plan", "--json")
    found = result.json
    assert list(found) == documented(preview.preview)
    assert found["tuning_trials"] == 3 * 3 * 3  # optimizers, values, seeds
    assert found["most_extension_trials"] == 3 * 2 * 3
    assert found["scoring_trials"] == 3 * 7
    assert (found["batches"], found["models_at_once"]) == (3 + 7, 9)
    assert (found["seeds"], found["seeds_for_verdict"], found["verdict_possible"]) == (7, 7, True)
    assert 0 < found["smallest_detectable"] < 0.05
    assert 0 < found["seconds"] < 60
    assert [file.name for file in tmp_path.iterdir()] == ["small.yaml"]  # and no run folder
    assert result.err == ""


def test_plan_says_what_the_seeds_can_show(compared: Callable[..., Result]) -> None:
    few, enough = compared(TUNED, "--plan"), compared(FIXED.replace("seeds: 3", "seeds: 6"), "--plan")
    assert "verdicts: none possible with 3 seeds, 7 are needed" in few.out
    assert (
        "27 tuning trials (extensions of the grids: up to 9 more), 9 scoring trials, in 6 batches of up to 9" in few.out
    )
    assert "small: nothing to tune, 12 scoring trials" in enough.out
    assert re.search(r"6 seeds would show a true difference of \d\.\d\d points in four comparisons of five", enough.out)


# --- mistakes ---

EXPERIMENT = ("compare-optimizers", DIGITS)
PAIR = ("--optimizers", "sgd,adam")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "is an experiment: say which optimizers, e.g. --optimizers sgd,nesterov,adam"),
        (("--optimizers", "sgd,adamm"), "--optimizers  must be .* got the text 'adamm'; did you mean 'adam'?"),
        (("--optimizers", "sgd"), "--optimizers  must name at least 2 optimizers to compare, got 1"),
        (("--optimizers", "sgd,adam,sgd"), "--optimizers  names sgd twice"),
        ((*PAIR, "--lr", ""), "--lr  .*must have at least two values to choose from, got none"),
        ((*PAIR, "--lr", "fast"), "--lr  .*must be a number, got the text 'fast'"),
        ((*PAIR, "--lr", "0.1,-1"), "--lr  .*must be above 0, got -1"),
        ((*PAIR, "--seeds", "0"), "--seeds  must be a count from 1"),
        ((*PAIR, "--seeds", "0,1,1"), "--seeds .*1 is given twice"),
        ((*PAIR, "--set", "target={metric: accuracy, value: 0.9}"), "--set target=.* target.metric: must be "),
        ((*PAIR, "--set", "executor=slurm"), "--set executor=slurm .*must be local or ray, got the text 'slurm'"),
        ((*PAIR, "--set", "base.model.hiden=[3]"), "unknown key; did you mean 'hidden'?"),
        ((*PAIR, "--set", "base.training.device=cuda:77"), "device cuda:77 was asked for"),
    ],
)
def test_a_mistake_in_the_options_is_one_message(call: Call, options: tuple[str, ...], told: str) -> None:
    if options[:1] == ("--optimizers",) and "--lr" not in options:
        options = (*options, "--lr", "0.1")
    result = call(*EXPERIMENT, *options)
    assert result.code == 2
    assert re.search(told.replace("?", r"\?"), result.message), result.message
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            FIXED.replace("lr: 0.5", "lr: []"),
            "optimizers.SGD.lr: must have at least two values to choose from, got none",
        ),
        (FIXED.replace("name: sgd", "name: sdg"), "optimizers.SGD.name: must be .*, got .*'sdg'"),
        (f"{FIXED}target: {{metric: validation_accuracy, value: 97}}\n", "no trial reaches 97; .* write 0.97 for 97 %"),
        (f"{FIXED}target: {{metric: test_accuracy, value: 0.9}}\n", "target.metric: is not measured"),
        (
            f"{TUNED.replace('scoring: {seeds: 3}', 'scoring: {seeds: [100]}').replace('seeds: 3,', 'seeds: [100],')}",
            "is a scoring seed",
        ),
    ],
)
def test_a_mistake_in_the_file_is_one_message(compared: Callable[..., Result], text: str, told: str) -> None:
    result = compared(text)
    assert result.code == 2
    assert re.search(told, result.message), result.message
    assert result.message.startswith("small.yaml:")


def test_what_belongs_to_the_base_is_said_to(call: Call, compared: Callable[..., Result]) -> None:
    told = call(*EXPERIMENT, *PAIR, "--lr", "0.1", "--set", "training.epochs=2")
    assert (told.code, "training: unknown key here; it belongs to base.training" in told.message) == (2, True)
    told = compared(f"{FIXED}training: {{epochs: 2}}\n")
    assert (told.code, "training: unknown key here; it belongs to base.training" in told.message) == (2, True)


def test_a_regression_cannot_be_compared(call: Call) -> None:
    Path("regression.yaml").write_text("data: random_regression\nmodel: {hidden: [4]}\nloss: mse\noptimizer: sgd\n")
    result = call("compare-optimizers", "regression.yaml", *PAIR, "--lr", "0.1")
    assert (result.code, "optimizers are compared by accuracy" in result.message) == (2, True)


@pytest.mark.parametrize("path", ["absent.yaml", "."])
def test_a_file_that_cannot_be_read(call: Call, path: str) -> None:
    result = call("compare-optimizers", path)
    assert result.code == 2
    assert result.message


@pytest.mark.parametrize("option", [("--seeds", "4"), ("--lr", "0.1"), ("--optimizers", "sgd")])
def test_a_comparison_says_itself_what_options_say(compared: Callable[..., Result], option: tuple[str, str]) -> None:
    result = compared(FIXED, *option)
    assert (result.code, f"leave out {option[0]}" in result.message) == (2, True)


def test_untuned_learning_rates_are_said(call: Call) -> None:
    result = call(*EXPERIMENT, *PAIR, "--set", "tuning.seeds=5", "--plan", *SHORT)
    assert result.code == 0
    assert "warning: --lr  not given, so every optimizer keeps its default learning rate untuned" in result.err
    assert "tuning: has no effect: no optimizer has values to choose from" in result.err


def test_a_folder_in_the_way(compared: Callable[..., Result]) -> None:
    Path("taken").mkdir()
    Path("taken/thesis.tex").write_text("")
    result = compared(FIXED, "--run-dir", "taken")
    assert (result.code, "taken exists and is not a comparison's folder" in result.message) == (2, True)
    result = compared(FIXED, "--run-dir", "small.yaml/below")
    assert (result.code, "--run-dir" in result.message) == (2, True)


def test_data_that_are_damaged_are_one_message(call: Call, tmp_path: Path) -> None:
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"nonsense")
    mnist = BASE.replace("name: digits", "name: mnist")
    path = write(FIXED, tmp_path, base=mnist)
    result = call("compare-optimizers", str(path), "--data-dir", str(tmp_path / "data"))
    assert (result.code, "MNIST/raw" in result.message) == (2, True)


# --- progress ---


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_counts_from_the_first_step(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ten trials on record, five seconds to load data, then two trials in eight seconds: 88 take 352 seconds."""
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    with TrialProgress() as progress:
        progress.phase("tuning", trials=100, done=10)
        clock.now += 5
        progress.advance(0.0)
        clock.now += 8
        progress.advance(2.0)
        clock.now += 1
        progress.advance(0.5)  # too soon for another line
    assert capfd.readouterr().err.splitlines() == [
        "tuning: 100 trials, 10 of them already recorded",
        "tuning: 10 of 100 trials",
        "tuning: 12 of 100 trials  6 min left",
    ]


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with TrialProgress() as progress:
        progress.phase("tuning", trials=3, done=0)
        for _ in range(21):
            progress.advance(3 / 21)  # does not add up to 3
        progress.phase("scoring", trials=4, done=2)
        progress.advance(1.0)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capfd.readouterr().err).replace("\r", "\n").splitlines()
    last = [line.split() for line in shown if line.strip()][-2:]
    assert last[0][0] == "tuning"
    assert last[0][2:] == ["3", "of", "3", "trials"]
    assert set(last[0][1]) == {"━"}  # a full bar
    assert last[1][0] == "scoring"
    assert last[1][2:6] == ["3", "of", "4", "trials"]
