"""Comparisons drawn at random, valid by construction; written without the package's own schema."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.spec.strategies import FRACTIONS, NAMES, Mapping, experiments, is_regression

LABELS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 ._()=-]{0,20}[A-Za-z0-9_()=-]", fullmatch=True) | st.sampled_from(
    ["1e-3", "on", "null", "name", "sgd", "Adam (lr = 1)", "007", "0x10"]
)
RATES = st.floats(1e-12, 1e6) | st.sampled_from([1e-3, 0.1, 1, 0.3])
SHARES = st.floats(0.01, 0.99)
NUMBERS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    **{name: {"lr": RATES, "weight_decay": RATES, "momentum": SHARES} for name in ("sgd", "momentum", "nesterov")},
    **{name: {"lr": RATES, "weight_decay": RATES, "eps": SHARES} for name in ("adam", "adamw", "nadam")},
    "rmsprop": {"lr": RATES, "alpha": SHARES, "momentum": SHARES},
    "adagrad": {"lr": RATES, "lr_decay": RATES},
}
PAIRS = st.lists(FRACTIONS, min_size=2, max_size=2)


@st.composite
def fields(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> Any:
    """A number, or a grid of them."""
    form = draw(st.sampled_from(["fixed", "list", "log_grid"]))
    if form == "fixed":
        return draw(values)
    several = draw(st.lists(values, min_size=2, max_size=3, unique=True))
    if form == "list":
        return several
    low, high = min(several[:2]), max(several[:2])
    return {"log_grid": [low, high, draw(st.integers(2, 4))]} if high > low * 1.001 else several


@st.composite
def entries(draw: st.DrawFn) -> Any:
    """One optimizer: a short name, or a mapping with fixed and tuned values."""
    name = draw(st.sampled_from(sorted(NUMBERS)))
    if draw(st.booleans()):
        return name
    chosen = {key: fields(values) for key, values in NUMBERS[name].items()}
    if name.startswith(("adam", "nadam")):
        chosen["betas"] = PAIRS | st.lists(PAIRS, min_size=2, max_size=2, unique_by=tuple)
    return {"name": name} | draw(st.fixed_dictionaries({}, optional=chosen))


@st.composite
def comparisons(draw: st.DrawFn) -> Mapping:
    """A whole comparison as plain values."""
    base = draw(experiments().filter(lambda experiment: not is_regression(experiment["data"])))
    del base["optimizer"]
    base.pop("evaluation", None)
    base.get("training", {}).pop("early_stopping", None)  # equal budgets
    base["data"]["validation"] = draw(st.integers(1, 90) | st.floats(0.01, 0.9))
    labels = draw(st.lists(LABELS, min_size=2, max_size=3, unique_by=str.lower))
    seeds = draw(st.lists(st.integers(0, 2**63 - 1), min_size=4, max_size=8, unique=True))
    optional = {
        "name": NAMES,
        "tuning": st.fixed_dictionaries(
            {}, optional={"seeds": st.integers(1, 5) | st.just(seeds[:2]), "extensions": st.integers(0, 20)}
        ),
        "scoring": st.fixed_dictionaries(
            {}, optional={"seeds": st.integers(1, 12) | st.just(seeds[2:]), "split": st.just("validation")}
        ),
        "target": st.one_of(
            st.fixed_dictionaries({"metric": st.just("validation_accuracy"), "value": st.floats(0.01, 1)}),
            st.fixed_dictionaries({"metric": st.just("validation_loss"), "value": st.floats(1e-9, 1e9)}),
        ),
        "tie": FRACTIONS,
        "executor": st.sampled_from(
            ["local", "ray", {"name": "ray", "address": "ray://head-1.local:10001", "gpus": 0.5}]
        ),
    }
    chosen = {"base": base, "optimizers": {label: draw(entries()) for label in labels}}
    return chosen | draw(st.fixed_dictionaries({}, optional=optional))
