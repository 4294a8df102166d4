"""What ``configs/tables`` ships: recipes that say where their files are, and the protocol of the published figures."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import mlptrain
from mlptrain.errors import SpecError
from mlptrain.experiment import train_seeds
from mlptrain.spec import load_spec

TABLES = Path(__file__).parent.parent / "configs" / "tables"
RECIPES = sorted(TABLES.glob("*.yaml"))
SHIPPED = {"penguins", "iris", "wine", "breast_cancer", "diabetes"}


@pytest.fixture
def uci(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script ``uci_regression.py``."""
    monkeypatch.syspath_prepend(TABLES)
    return importlib.import_module("uci_regression")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_checked_or_names_the_file_that_it_needs_and_where_it_is(path: Path) -> None:
    if path.stem in SHIPPED:
        assert not load_spec(path).warnings
        return
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    [fault] = caught.value.faults
    assert fault.path == "data.path"
    assert "no such file" in fault.message
    assert "--set data.path=" in path.read_text().split("\ndata:")[0]


def test_uci_splits_are_the_published_ones(uci: ModuleType) -> None:
    """By the lines that repeat the published index files."""
    splits = uci.published_splits(308, 20)
    generator = np.random.RandomState(1)
    for train, test in splits:
        order = generator.choice(range(308), 308, replace=False)
        assert train.tolist() == order[:277].tolist()
        assert test.tolist() == order[277:].tolist()
    assert len(splits) == 20


def test_uci_figures_of_a_small_set(uci: ModuleType, tmp_path: Path) -> None:
    """A plane with noise of 0.1: no network is better than the noise, and five together are no worse than one."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 3))
    y = x @ [1.0, -2.0, 0.5] + 0.1 * generator.normal(size=200)
    np.savetxt(tmp_path / "data.txt", np.column_stack([x, y]))
    rates = 1e-6, 0.03  # of which the first learns nothing
    found = uci.figures(uci.UciSet(3, (0.0, 0.0), 40, 32, rates, splits=3), tmp_path / "data.txt")
    assert found["chosen"] == [{"model.dropout": 0.0, "optimizer.lr": 0.03}] * 3
    assert 0.08 < np.mean(found["five"]) <= np.mean(found["one"]) < 0.25


def test_a_group_of_seeds_averaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Test rows that are stored apart are those of every seed; those that are drawn are not."""
    rows = ["x,y", *(f"{value},{2 * value}" for value in range(20))]
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("\n".join(rows))
    data = {"name": "table", "path": str(tmp_path / "train.csv"), "target": "y", "task": "regression"}
    config = {"model": {"hidden": [4]}, "loss": "mse", "optimizer": "adam", "training": {"epochs": 2}}
    apart = {**data, "test_path": str(tmp_path / "test.csv")}
    for name, of_data in (("drawn", data), ("apart", apart)):
        train_seeds({"data": of_data, **config}, [0, 1], run_dir=tmp_path / name)
    monkeypatch.syspath_prepend(TABLES)
    main = importlib.import_module("averaged").main
    monkeypatch.setattr("sys.argv", ["averaged.py", str(tmp_path / "drawn")])
    with pytest.raises(SystemExit):
        main()
    assert "test rows, which are drawn" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["averaged.py", str(tmp_path / "apart")])
    main()
    networks = [mlptrain.load(tmp_path / "apart" / f"seed-{seed}") for seed in (0, 1)]
    x, y = np.arange(20.0)[:, None], 2 * np.arange(20.0)
    values = [network(network.preprocess(x)).detach().double().numpy()[:, 0] for network in networks]
    expected = float(np.sqrt(((np.mean(values, axis=0) - y) ** 2).mean()))
    assert f"all 2 averaged {expected:.4f}" in capsys.readouterr().out
