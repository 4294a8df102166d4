"""Data whose picture is known: held against scikit-learn without noise, and their noise against the normal one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from scipy import stats

from mlptrain.sources.generated import FUNCTIONS
from mlptrain.spec import load_text
from mlptrain.spec.data import FunctionData
from tests import catalogue
from tests.command import Call


def read(settings: str, *, seed: int = 0) -> tuple[Any, Any]:
    """Inputs and targets of a data section."""
    text = f"data: {settings}\nmodel: {{hidden: [3]}}\noptimizer: sgd\nloss: mse"
    raw = load_text(text).spec.data.source().read(seed=seed, folder=Path())
    return raw.x, raw.y


def of(name: str, n: int, noise: float, *, seed: int = 0) -> tuple[Any, Any]:
    return read(catalogue.yaml(name, {**catalogue.TOYS[name].rows(n), "noise": noise}), seed=seed)


@pytest.mark.parametrize("n", [8, 100, 148])
@pytest.mark.parametrize("name", catalogue.TOYS)
def test_without_noise_they_are_the_reference(name: str, n: int) -> None:
    x, y = of(name, n, 0)
    expected_x, expected_y = catalogue.TOYS[name].reference(n)
    np.testing.assert_allclose(x, expected_x, atol=1e-6)
    np.testing.assert_allclose(y, expected_y, atol=1e-6)
    assert x.dtype == np.float32
    assert y.dtype == (np.float32 if name == "function" else np.int64)


@pytest.mark.parametrize("n", [9, 51])
@pytest.mark.parametrize("name", ["moons", "circles"])
def test_odd_numbers_of_points(name: str, n: int) -> None:
    x, y = of(name, n, 0)
    expected_x, expected_y = catalogue.TOYS[name].reference(n)
    np.testing.assert_allclose(x, expected_x, atol=1e-6)
    assert y.tolist() == expected_y.tolist()


@pytest.mark.parametrize("name", catalogue.TOYS)
def test_noise_is_normal_and_follows_from_the_seed(name: str) -> None:
    n, noise = 4000, 0.2
    found, clean = of(name, n, noise), catalogue.TOYS[name].reference(n)
    part = 1 if name == "function" else 0  # of a function it is the target that is noisy
    residuals = np.asarray(found[part], dtype=float) - clean[part]
    for column in residuals.T:
        assert stats.kstest(column, stats.norm(scale=noise).cdf).pvalue > 0.01
    np.testing.assert_allclose(found[1 - part], clean[1 - part], atol=1e-6)
    again, other = of(name, n, noise), of(name, n, noise, seed=1)
    np.testing.assert_array_equal(found[part], again[part])
    assert not np.array_equal(found[part], other[part])


def test_every_function_has_its_name() -> None:
    assert list(FUNCTIONS) == list(catalogue.FUNCTIONS)
    assert list(get_args(FunctionData.model_fields["function"].annotation)) == list(FUNCTIONS)


@pytest.mark.parametrize("name", catalogue.FUNCTIONS)
def test_functions(name: str) -> None:
    x, y = read(f"{{name: function, function: {name}, low: -2, high: 1.5, n_samples: 15}}")
    np.testing.assert_allclose(x[:, 0], np.linspace(-2, 1.5, 15), atol=1e-6)
    np.testing.assert_allclose(
        y[:, 0], [catalogue.FUNCTIONS[name](value) for value in np.linspace(-2, 1.5, 15)], atol=1e-6
    )


@pytest.mark.parametrize(
    ("section", "place", "message"),
    [
        ("{name: function, low: 2, high: 2}", "data.high", "must be above low, got 2.0 with low 2.0"),
        ("{name: function, function: exp(x)}", "data.function", "must be sin, cos"),
        ("{name: circles, factor: 1}", "data.factor", "must be below 1, got 1"),
        ("{name: moons, n_samples: 3}", "data.n_samples", "must be at least 4, got 3"),
        ("{name: xor, validation: 0.1}", "data.validation", "takes no rows"),
        ("{name: moons, classes: [0, 1]}", "data.classes", "unknown key"),
    ],
)
def test_what_is_refused(section: str, place: str, message: str, call: Call, tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(f"data: {section}\nmodel: {{hidden: [3]}}\noptimizer: sgd\nloss: mse\n")
    refused = call("check", str(tmp_path / "toy.yaml"))
    assert refused.code == 2
    assert "toy.yaml:1:" in refused.err
    assert f"{place}: {message}" in refused.err
