"""Every public name has a docstring with its arguments and errors, and a row in the table of `mlptrain/README.md`."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pydantic
import pytest
import sklearn.base

import mlptrain
import mlptrain.errors
import mlptrain.sklearn
from mlptrain.experiment import GroupOutcome, LearningRates, Outcome
from mlptrain.inference.export.model import ExportedModel
from mlptrain.inference.module import TrainedNetwork
from mlptrain.runs.comparison import Summary
from mlptrain.runs.records import CompletedRun, DivergedRun, Kept

README = Path(mlptrain.__file__).parent / "README.md"
MODULES = {"mlptrain": mlptrain, "plot": mlptrain.plot, "sklearn": mlptrain.sklearn, "errors": mlptrain.errors}
RETURNED: tuple[type[Any], ...] = (
    Outcome, GroupOutcome, LearningRates, CompletedRun, DivergedRun, Kept, TrainedNetwork, ExportedModel, Summary,
)  # fmt: skip


def errors() -> Iterator[str]:
    """The tree of errors, and what a faulty configuration's consists of."""
    for name, value in vars(mlptrain.errors).items():
        if isinstance(value, type) and value.__module__ == "mlptrain.errors":
            yield name


def functions() -> Iterator[tuple[str, FunctionType]]:
    """Public functions, and the methods of estimators and of what functions return, by their names in the table."""
    for module in ("mlptrain", "plot"):
        for name in MODULES[module].__all__:
            if isinstance(value := getattr(MODULES[module], name), FunctionType):
                yield f"{module}.{name}", value
    for owner in (*map(mlptrain.sklearn.__dict__.__getitem__, mlptrain.sklearn.__all__), *RETURNED):
        for name, value in members(owner):
            function = value.__func__ if isinstance(value, classmethod) else value
            if isinstance(function, FunctionType):
                yield f"{owner.__name__}.{name}", function


def members(owner: type[Any]) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that mlptrain gives a class."""
    for base in owner.__mro__:
        if base.__module__.startswith("mlptrain.") and base.__name__ not in ("Record", "Deferred", "_Sparse"):
            for name, value in vars(base).items():
                if not name.startswith("_") and isinstance(
                    value, (FunctionType, property, cached_property, classmethod)
                ):
                    yield name, value


def attributes(owner: type[Any]) -> Iterator[str]:
    """Public attributes that are no methods: fields, and what a documented network or estimator has."""
    if issubclass(owner, pydantic.BaseModel):
        yield from owner.model_fields
    elif (fields := getattr(owner, "__dataclass_fields__", None)) is not None:
        yield from fields
    yield from (name for name, value in members(owner) if isinstance(value, property | cached_property))


def table() -> list[str]:
    """The names in the first column; one that begins with a point belongs to the class before it."""
    section = README.read_text().partition("\n## The Python API\n")[2].partition("\n## ")[0]
    names: list[str] = []
    for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE):
        for name in re.findall(r"`([\w.]+)`", row):
            names.append(names[-1].partition(".")[0] + name if name.startswith(".") else name)
    return names


def test_every_public_name_is_in_the_table_and_no_other() -> None:
    names = [f"mlptrain.{name}" for name in mlptrain.__all__ if not name.startswith("__")]
    names = [name for name in names if not isinstance(getattr(mlptrain, name.partition(".")[2]), ModuleType)]
    names += [f"plot.{name}" for name in mlptrain.plot.__all__]
    names += [f"sklearn.{name}" for name in mlptrain.sklearn.__all__]
    names += [f"errors.{name}" for name in errors()]
    names += [name for name, _ in functions() if name.partition(".")[0] not in MODULES]
    names += [f"{owner.__name__}.{name}" for owner in RETURNED for name in attributes(owner)]
    listed = table()
    assert len(listed) == len(set(listed))
    assert {name for name in listed if not is_named_in_docstring(name)} == set(names)


def is_named_in_docstring(name: str) -> bool:
    """Whether the attribute is set by ``__init__`` or ``fit``, and documented by the class."""
    owner, _, attribute = name.partition(".")
    if owner == "TrainedNetwork" and not hasattr(TrainedNetwork, attribute):
        return f"``{attribute}``" in inspect.cleandoc(TrainedNetwork.__doc__ or "")
    if owner == "MLPClassifier" and attribute.endswith("_"):
        return attribute in (mlptrain.sklearn.MLPClassifier.__doc__ or "").partition("Attributes")[2]
    return False


@pytest.mark.parametrize(("name", "function"), list(functions()))
def test_a_docstring_names_arguments_and_errors(name: str, function: FunctionType) -> None:
    text = inspect.getdoc(function) or ""
    arguments = [one for one in inspect.signature(function).parameters if one not in ("self", "cls")]
    assert [one for one in arguments if not re.search(rf"\b{one}\b", text)] == []
    assert re.search(r"\b(Raises?|raises|errors)\b", text), text


@pytest.mark.parametrize("owner", [*RETURNED, *(getattr(mlptrain.errors, name) for name in errors())])
def test_classes_and_properties_are_documented(owner: type[Any]) -> None:
    assert owner.__doc__
    assert all(value.__doc__ for _, value in members(owner))


def test_an_estimator_documents_its_arguments_and_what_fit_leaves() -> None:
    text = mlptrain.sklearn.MLPClassifier.__doc__ or ""
    parameters = re.findall(r"^    (\w[\w, ]*) :", text, re.MULTILINE)
    documented = {name for line in parameters for name in line.split(", ")}
    x, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]
    fitted = mlptrain.sklearn.MLPClassifier(hidden=(), epochs=1, random_state=0).fit(x, y)
    left = {name for name in vars(fitted) if name.endswith("_")} | {"network_"}
    assert documented == {*fitted.get_params(), *left, "feature_names_in_"}
    assert isinstance(fitted, sklearn.base.BaseEstimator)


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_examples(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert not found.failed
    assert found.attempted or module is not mlptrain
