"""Finished comparisons that took no training: invented records, summarised by the package itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain.comparison.folder import ComparisonFolder
from mlptrain.comparison.plan import Plan
from mlptrain.comparison.summary import Tuned, summarise
from mlptrain.comparison.verdicts import choose
from mlptrain.report.comparison.outputs import comparison_page
from mlptrain.runs.comparison import Summary, Timings, TriedSetting
from mlptrain.runs.trials import TrialRecord
from mlptrain.spec.comparison.load import load_comparison
from mlptrain.training.device import ResolvedDevice

SIX = ("SGD", "momentum", "Nesterov", "RMSprop", "Adam", "AdamW")
FIFTEEN = (*SIX, "NAdam", "Adagrad", "SGD decay", "Adam amsgrad", "RMSprop centred", "SGD 0.5", "SGD 0.99", "Adam_low",
           "A name of sixty-four letters that has to go on in further lines")  # fmt: skip
RATES = (0.001, 0.01, 0.1, 1.0)
EXAMPLES, MAJORITY = 360, 44


KINDS: dict[str, dict[str, Any]] = {
    "six": {},
    "fifteen": {
        "optimizers": FIFTEEN,
        "fates": {"Adam": "diverged", "SGD": "some diverged", "NAdam": "did not learn"},
        "under_tuned": ["Adagrad"],
    },
    "failures": {
        "fates": {"Adam": "diverged", "momentum": "some diverged", "AdamW": "did not learn", "RMSprop": "failed"},
        "under_tuned": ["Nesterov"],
    },
    "plain": {"optimizers": SIX[:2], "tuned": False, "target": False, "validation": False},
    "one seed": {"optimizers": SIX[:4], "seeds": 1, "tuned": False, "timed": False},
    "seven seeds": {"optimizers": SIX[:3], "seeds": 7, "fates": {"SGD": "diverged"}},
    "all failed": {"optimizers": SIX[:3], "fates": {"SGD": "diverged", "momentum": "failed", "Nesterov": "diverged"}},
    "one epoch": {"epochs": 1, "seeds": 3},
}


class Samples:
    """A finished comparison of every kind, made on first use: read them, change nothing in them."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._made: dict[str, Path] = {}
        self._pages: dict[str, str] = {}

    def __call__(self, kind: str) -> Path:
        if kind not in self._made:
            parent = self._parent / kind.replace(" ", "-")
            parent.mkdir()
            self._made[kind] = make(parent, **KINDS[kind])
        return self._made[kind]

    def page(self, kind: str) -> str:
        """The page of the comparison, drawn once."""
        if kind not in self._pages:
            self._pages[kind] = comparison_page(self(kind))
        return self._pages[kind]


def make(
    parent: Path,
    *,
    optimizers: Sequence[str] = SIX,
    seeds: int = 10,
    epochs: int = 20,
    tuned: bool = True,
    target: bool = True,
    validation: bool = True,
    fates: Mapping[str, str] | None = None,
    under_tuned: Sequence[str] = (),
    timed: bool = True,
) -> Path:
    """A folder with plan, summary and timings. ``fates`` gives all trials of an optimizer a status.

    A fate of ``some diverged`` is that of every third seed.
    """
    fates = fates or {}
    split = "validation" if validation else "test"
    file = parent / "sample.yaml"
    file.write_text(_written(optimizers, seeds, epochs, split=split, tuned=tuned, target=target), encoding="utf-8")
    plan = Plan(load_comparison(file).spec, ResolvedDevice("cpu", "highest", 1))
    rng = np.random.default_rng(0)
    choices = {
        name: _tuned(plan, name, rng) if tuned else Tuned(plan.spec.optimizers[name].settings()[0])
        for name in plan.spec.optimizers
    }
    for name in under_tuned:
        choices[name].under_tuned = True
    records = {
        name: [
            _record(plan, name, choices[name], seed, fates.get(name, "completed"), rng)
            for seed in plan.spec.scoring_seeds
        ]
        for name in choices
    }
    folder = ComparisonFolder.of(plan, folder=parent / "comparison")
    folder.write_summary(summarise(plan, choices, records))
    if timed:
        samples = {name: rng.uniform(0.01, 0.03, size=3).tolist() for name in choices}
        medians = {name: sorted(values)[1] for name, values in samples.items()}
        settings: dict[str, Any] = {name: choice.setting for name, choice in choices.items()}
        folder.write_timings(Timings(rounds=3, seconds_per_epoch=medians, samples=samples, settings=settings))
    return folder.path


def _written(optimizers: Sequence[str], seeds: int, epochs: int, *, split: str, tuned: bool, target: bool) -> str:
    share, keep = (0.2, "best") if split == "validation" else (0, "last")
    entries = [
        f"  {name}: {{name: sgd, lr: {list(RATES) if tuned else 0.01 + index / 100}, weight_decay: {index / 1000}}}"
        for index, name in enumerate(optimizers)
    ]
    lines = [
        "name: sample",
        f"base: {{data: {{name: digits, validation: {share}}}, model: {{hidden: [8]}}, "
        f"training: {{epochs: {epochs}}}, evaluation: {{split: {split}, keep: {keep}}}}}",
        "optimizers:",
        *entries,
        f"scoring: {{seeds: {seeds}}}",
        *([f"target: {{metric: {split}_accuracy, value: 0.9}}"] if target else []),
    ]
    return "\n".join(lines)


def read(folder: Path) -> dict[str, Any]:
    """The folder's summary as it stands on the disk."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_bytes())
    return summary


def summary_of(folder: Path) -> Summary:
    """The same, typed."""
    return Summary.model_validate(read(folder))


def _tuned(plan: Plan, name: str, rng: np.random.Generator) -> Tuned:
    """Best near 0.1; the highest rate diverges on one seed of three."""
    settings = plan.spec.optimizers[name].settings()
    seeds = len(plan.spec.tuning_seeds)
    values = {}
    for index, setting in enumerate(settings):
        peak = 0.97 - 0.08 * abs(np.log10(setting.lr) + 1.3) ** 2
        values[index] = (peak + rng.normal(0, 0.004, size=seeds)).round(6).tolist()
        if setting.lr == RATES[-1]:
            values[index][0] = float("-inf")
    tried = [
        TriedSetting(setting={"lr": setting.lr}, accuracies=[None if v == float("-inf") else v for v in values[index]])
        for index, setting in enumerate(settings)
    ]
    return Tuned(settings[choose(values)], {"lr": list(RATES)}, 0, tried=tried)


def _record(plan: Plan, name: str, choice: Tuned, seed: int, fate: str, rng: np.random.Generator) -> TrialRecord:
    status = ("diverged" if seed % 3 == 0 else "completed") if fate == "some diverged" else fate
    place = list(plan.spec.optimizers).index(name)
    epochs, split = plan.spec.base.training.epochs, str(plan.spec.base.evaluation.split)
    head: dict[str, Any] = {"trial": f"{place:08x}{seed:08x}", "batch": "0" * 16, "batch_size": 1, "role": "scoring"}
    head |= {"optimizer": name, "setting": choice.setting, "seed": seed}
    counted = {"scored": {"split": plan.split, "examples": EXAMPLES, "majority": MAJORITY}}
    if status == "diverged":
        where = {"epoch": 1 + seed, "step": 7 + seed, "message": "diverged: the loss is not finite"}
        return TrialRecord.model_validate(head | counted | {"status": "diverged", "diverged": where})
    if status == "failed":
        message = "RuntimeError: out of <memory> & luck"
        return TrialRecord.model_validate(head | {"status": "failed", "message": message})
    last = 0.122 if status == "did not learn" else 0.975 - 0.004 * place + rng.normal(0, 0.003)
    at = np.arange(epochs + 1)
    accuracy = np.clip(0.1 + (last - 0.1) * (1 - np.exp(-at * (2 - place / 20) / 4)) + rng.normal(0, 0.003, epochs + 1),
                       0.05, 1)  # fmt: skip
    loss = -np.log(np.clip(accuracy, 0.1, 0.995))
    curves = {
        f"{split}_loss": loss.tolist(),
        f"{split}_accuracy": accuracy.tolist(),
        "train_loss": (0.9 * loss[1:]).tolist(),
        "train_accuracy": np.clip(accuracy[1:] + 0.01, 0, 1).tolist(),
    }
    score = round(last * EXAMPLES) / EXAMPLES
    kept = {"epoch": epochs, f"{plan.split}_accuracy": score, f"{plan.split}_loss": float(loss[-1])}
    return TrialRecord.model_validate(head | counted | {"status": "completed", "curves": curves, "kept": kept})
