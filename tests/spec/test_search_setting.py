"""Which keys of a drawn setting count, and what is said of those that never do."""

from __future__ import annotations

from typing import Any

import pytest

from mlptrain.errors import SpecError
from mlptrain.spec import Experiment
from mlptrain.spec.comparison.changes import changed_spec
from mlptrain.spec.search.load import LoadedSearch, load_search
from mlptrain.spec.search.setting import that_counts, why_not

DIGITS: dict[str, Any] = {
    "data": "digits",
    "model": {"hidden": [8, 8]},
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    "training": {"epochs": 2},
}
IRIS: dict[str, Any] = {**DIGITS, "data": {"name": "iris", "validation": 0.2}}


def loaded(space: dict[str, Any], base: dict[str, Any] = DIGITS) -> LoadedSearch:
    return load_search({"base": base, "space": space, "trials": 4, "method": "random"})


def faults_of(space: dict[str, Any], base: dict[str, Any] = DIGITS) -> list[str]:
    with pytest.raises(SpecError) as error:
        loaded(space, base)
    return [f"{fault.path}: {fault.message}" for fault in error.value.faults]


@pytest.mark.parametrize(
    ("key", "having", "others", "inner", "values", "base"),
    [
        ("optimizer.name", ["sgd", "rmsprop"], ["adam", "adagrad"], "optimizer.momentum", [0.5, 0.9], DIGITS),
        ("optimizer.name", ["adam", "adamw"], ["sgd"], "optimizer.betas", [[0.9, 0.99], [0.8, 0.9]], DIGITS),
        ("optimizer", [{"name": "sgd", "momentum": 0.9}], ["adam"], "optimizer.nesterov", [True, False], DIGITS),
        ("schedule", ["cosine"], ["constant"], "schedule.final", [0.0, 0.1], DIGITS),
        ("schedule.name", ["exponential"], ["constant", "cosine"], "schedule.gamma", [0.8, 0.9], DIGITS),
        ("model.activation", ["leaky_relu"], ["relu", "elu"], "model.activation.slope", [0.1, 0.2], DIGITS),
        ("model.norm", ["batch"], ["none", "layer"], "model.norm.momentum", [0.1, 0.2], DIGITS),
        ("model.init", [{"name": "normal", "std": 0.1}], ["xavier_normal"], "model.init.std", [0.1, 0.2], DIGITS),
        ("model.numeric_embedding", ["periodic"], ["none"], "model.numeric_embedding.size", [4, 8], IRIS),
        ("loss", ["cross_entropy"], ["mse"], "loss.label_smoothing", [0.0, 0.1], DIGITS),
        ("data.scaling", [{"mean": 0.0, "std": 1.0}], ["unit"], "data.scaling.mean", [0.1, 0.2], DIGITS),
        ("model.hidden", [[8, 8], [4, 4, 4]], [[8], []], "model.hidden[1]", [2, 3], DIGITS),
    ],
)
def test_a_key_counts_where_the_chosen_section_has_it(
    key: str, having: list[Any], others: list[Any], inner: str, values: list[Any], base: dict[str, Any]
) -> None:
    """And the setting without it is one that can be trained, as the one with it is."""
    search = loaded({inner: values, key: [*having, *others]}, base)
    for choice in [*having, *others]:
        changes = that_counts(search.base.spec, {inner: values[1], key: choice})
        assert changes == ({inner: values[1], key: choice} if choice in having else {key: choice})
        assert that_counts(search.base.spec, changes) == changes
        assert why_not(search.base, changes) is None


def test_a_key_without_a_choice_is_the_bases() -> None:
    """Nothing in the space decides about it, so it is there or an error."""
    assert that_counts(loaded({"optimizer.momentum": [0.1, 0.2]}).spec.base, {"optimizer.momentum": 0.1})
    [fault] = faults_of({"optimizer.betas": [[0.9, 0.99], [0.8, 0.9]]})
    assert fault.startswith("space.optimizer.betas: unknown key here; it belongs to optimizer adam")


@pytest.mark.parametrize(
    ("inner", "says"),
    [
        ("optimizer.momentum", "space.optimizer.momentum: unknown key here; it belongs to optimizer sgd"),
        ("optimizer.betaz", "space.optimizer.betaz: unknown key; did you mean 'betas'?"),
        ("optimizer.lr_decai", "space.optimizer.lr_decai: unknown key; did you mean 'lr_decay'?"),
    ],
)
def test_a_key_that_belongs_to_no_choice_is_an_error(inner: str, says: str) -> None:
    """With the hint of whichever choice has a similar one."""
    [fault] = faults_of({"optimizer.name": ["adam", "adagrad"], inner: [0.1, 0.2]})
    assert fault.startswith(says)


def test_another_optimizer_keeps_what_the_two_have_and_is_no_default() -> None:
    """Also from the plan, in which every default of the base is written out."""
    base = {**DIGITS, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.001}}
    search = loaded({"optimizer.name": ["sgd", "adamw", "adagrad"]}, base)
    for spec in (search.spec, load_search(search.spec.to_plain()).spec):
        task = Experiment(spec.base, search.base.facts)
        assert why_not(task, {"optimizer.name": "adamw"}) is None
        adamw = changed_spec(spec.base, {"optimizer.lr": 0.01, "optimizer.name": "adamw"}).optimizer
        assert (adamw.name, adamw.lr, adamw.weight_decay) == ("adamw", 0.01, 0.001)
    plain = loaded({"optimizer.name": ["sgd", "adamw"]}).spec.base
    assert changed_spec(plain, {"optimizer.name": "adamw"}).optimizer.weight_decay == 0.01  # AdamW's own, not SGD's 0


def test_a_value_beside_none_of_the_others_is_an_error_beside_some_a_warning() -> None:
    space = {"model.hidden": [[8], [8, 8]], "model.dropout": [0.0, [0.1, 0.2], 1.5], "optimizer.lr": [0.1, 0.2]}
    [fault] = faults_of(space)
    assert fault.startswith("space.model.dropout[2]: must be a number from 0 to below 1")
    space["model.dropout"] = [0.0, [0.1, 0.2]]
    [warning] = loaded(space).warnings
    assert warning.path == "space.model.dropout[1]"
    assert warning.message == (
        "has 2 rates for 1 hidden layer; give one for each, or a number; so it is beside some of the other values: "
        "those settings are not trained"
    )
    space["model.hidden"] = [[8], [4]]
    [fault] = faults_of(space)
    assert fault.startswith("space.model.dropout[1]: has 2 rates for 1 hidden layer")


def many(**values: list[Any]) -> dict[str, Any]:
    """More combinations than are all checked; two rates go with the last of the widths alone."""
    space = {
        "model.hidden": [*([width] for width in range(10, 29)), [8, 8]],
        "model.dropout": [[0.1, 0.2], 0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
        "optimizer.lr": [0.1 * number for number in range(1, 8)],
        "optimizer.name": ["adam", "sgd"],
        "optimizer.momentum": [0.0, 0.9],
    }
    return space | {f"{'optimizer' if key == 'momentum' else 'model'}.{key}": of for key, of in values.items()}


def test_of_many_combinations_each_value_is_tried_until_it_fits() -> None:
    """The first of all is possible beside one width of twenty, and a momentum counts beside the last optimizer."""
    assert all("model.dropout[0]" in str(warning) for warning in loaded(many()).warnings)
    [fault] = faults_of(many(momentum=[0.0, 1.9]))
    assert fault.startswith("space.optimizer.momentum[1]: must be at most 1")
    assert {fault.partition(":")[0] for fault in faults_of(many(dropout=[0.1, 1.5, [0.1, 0.2, 0.3]]))} == {
        "space.model.dropout[1]",
        "space.model.dropout[2]",
    }
