from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlptrain.experiment import train
from mlptrain.spec import load_spec
from tests.report.comparison_samples import Samples

CONFIGS = Path(__file__).parent.parent.parent / "configs"

Runs = Callable[[str], Path]

_KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "spirals": ("spirals", ("training.epochs=300",)),
    "wide spirals": ("spirals", ("training.epochs=30", "model.hidden=[4, 5]", "data.scaling=standard")),
    "two spirals": ("spirals", ("training.epochs=50", "data.n_classes=2", "loss=bce")),
    "one-hot spirals": ("spirals", ("training.epochs=50", "loss=mse")),
    "digits": ("digits", ("training.epochs=4", "training.record_steps=true")),
    "zero or one": ("digits", ("training.epochs=2", "data.classes=[3, 8]", "loss=bce", "optimizer.lr=0.01")),
    "moons": ("moons", ("training.epochs=20",)),
    "xor": ("xor", ()),
    "sine": ("function", ("training.epochs=30",)),
    "regression": ("regression_by_heart", ("training.epochs=40",)),
}


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Small finished runs by their kind, each trained once: read them, change nothing in them."""
    made: dict[str, Path] = {}
    parent = tmp_path_factory.mktemp("runs")

    def run(kind: str) -> Path:
        if kind not in made:
            config, overrides = _KINDS[kind]
            loaded = load_spec(CONFIGS / f"{config}.yaml", overrides)
            made[kind] = train(loaded, run_dir=parent / kind.replace(" ", "-")).folder.path
        return made[kind]

    return run


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Small finished comparisons by their kind, each run once: read them, change nothing in them."""
    return Samples(tmp_path_factory.mktemp("comparisons"))
