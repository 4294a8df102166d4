"""Configurations drawn at random, valid by construction; written without the package's own schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests import catalogue

Mapping = dict[str, Any]

# Names that a YAML reader of version 1.1, of version 1.2, or a hasty one takes for something other than text.
TRICKY_NAMES = (
    *("1e-3", "1E5", "007", "0x10", "0o17", "0b1", "1.5", "1_000", "12", "2024-01-01", "1.", "1e999"),
    *("on", "off", "yes", "no", "y", "n", "true", "False", "null", "Null", "NULL", "nan", "inf", "e3", "0"),
)
NAMES = st.sampled_from(TRICKY_NAMES) | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
FRACTIONS = st.floats(0, 1, exclude_max=True)
NUMBERS = st.floats(-1e6, 1e6)
POSITIVE = st.floats(1e-12, 1e6)
SLOPES = st.floats(-10, 10)
ROWS = {"mnist": 54_000, "fashion_mnist": 50_000, "digits": 1_000}  # fewer than there are


def section(name: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Mapping]:
    """A section of that name with any of the fields."""
    return st.fixed_dictionaries({"name": st.just(name)}, optional=fields)


def scalings(*words: str) -> st.SearchStrategy[Any]:
    return st.sampled_from(words) | st.fixed_dictionaries({"mean": NUMBERS, "std": POSITIVE})


VALIDATION = st.integers(0, 90) | st.floats(0.01, 0.9)
SUBSETS = st.lists(st.integers(0, 9), min_size=2, unique=True)
IMAGES = st.sampled_from(sorted(ROWS)).flatmap(
    lambda name: section(
        name,
        train_size=st.integers(100, 200),
        test_size=st.integers(1, 50),
        classes=SUBSETS,
        validation=VALIDATION,
        scaling=scalings("none", "unit", "standard"),
    )
)
SPIRALS = section(
    "spirals",
    n_classes=st.integers(2, 5),
    points_per_class=st.integers(50, 200),
    noise=st.floats(0, 100),
    validation=VALIDATION,
    scaling=scalings("none", "standard"),
)
NOISE = st.floats(0, 100)
OF_TOYS: dict[str, st.SearchStrategy[Any]] = {
    "test": st.integers(0, 5),
    "noise": NOISE,
    "scaling": scalings("none", "standard"),
}
TOYS = st.one_of(
    st.builds(
        lambda drawn, points: drawn | {"points_per_corner": points}, section("xor", **OF_TOYS), st.integers(50, 100)
    ),
    section("moons", n_samples=st.integers(150, 500), **OF_TOYS),
    section("circles", n_samples=st.integers(150, 500), factor=FRACTIONS, **OF_TOYS),
)
FUNCTIONS = section(
    "function",
    function=st.sampled_from(list(catalogue.FUNCTIONS)),
    low=st.floats(-10, 0),
    high=st.floats(0.1, 10),
    n_samples=st.integers(150, 500),
    **OF_TOYS,
)
DRAWN: dict[str, st.SearchStrategy[Any]] = {
    "n_samples": st.integers(100, 10_000),
    "n_features": st.integers(1, 1_000),
    "scaling": scalings("none", "standard"),
}
CLASSIFICATION = section("random_classification", n_classes=st.integers(2, 20), **DRAWN)
REGRESSION = section("random_regression", n_targets=st.integers(1, 20), **DRAWN)

SMALL = str(Path(__file__).with_name("small.csv"))  # age colour when size kind price, 160 rows
OF_COLUMNS = {
    "age": st.just("numeric"),
    "1": st.sampled_from(["drop", "categorical"]),
    "when": st.sampled_from(["drop", "categorical", "date"]),
}
OF_TABLE: dict[str, st.SearchStrategy[Any]] = {
    "test_path": st.just(SMALL),
    "format": st.sampled_from(["auto", "csv"]),
    "separator": st.sampled_from(["auto", ",", "comma"]),
    "header": st.sampled_from(["auto", True]),
    "missing_values": st.lists(st.text("abc-9 ", max_size=5), max_size=3).filter(lambda words: not {*words} & {*"abc"}),
    "columns": st.fixed_dictionaries({}, optional=OF_COLUMNS),
    "numeric": st.fixed_dictionaries(
        {},
        optional={
            "missing": st.sampled_from(["median", "mean", "drop_row"])
            | st.fixed_dictionaries({"constant": NUMBERS | st.integers(-9, 9)}),
            "indicator": st.booleans(),
            "scaling": st.sampled_from(["none", "standard", "minmax", "robust", "robust_clip", "quantile"]),
        },
    ),
    "categorical": st.fixed_dictionaries(
        {},
        optional={
            "encoding": st.sampled_from(["one_hot", "ordinal"]),
            "min_frequency": st.integers(1, 100),
            "max_levels": st.integers(2, 10_000),
        },
    ),
    "target_scaling": st.sampled_from(["none", "standard", "log1p"]),
    "test": st.integers(0, 40) | st.floats(0.1, 0.4),
    "validation": st.integers(0, 40) | st.floats(0.1, 0.4),
}
TABLES = st.one_of(
    section("table", **OF_TABLE, task=st.sampled_from(["auto", "classification"])).map(
        lambda drawn: drawn | {"path": SMALL, "target": "kind"}
    ),
    st.builds(
        lambda drawn, target: drawn | {"path": [SMALL], "target": target},
        section("table", **OF_TABLE, task=st.sampled_from(["auto", "regression"])),
        st.sampled_from(["price", 5, -1, ["price"], ["size", "price"], [3, -1]]),
    ),
)

ACTIVATIONS = st.one_of(
    st.sampled_from(list(catalogue.ACTIVATIONS)),
    section("leaky_relu", slope=SLOPES),
    section("prelu", slope=SLOPES),
    section("elu", alpha=st.floats(-1000, 1000)),
    section("softplus", beta=st.floats(1e-6, 1000)),
)
INITIALISATIONS = st.one_of(
    st.sampled_from(["default", "normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"]),
    section("normal", std=POSITIVE | st.just("fan_in") | st.integers(1, 9), bias=st.sampled_from(["zeros", "normal"])),
)
NUMERIC_EMBEDDINGS = st.one_of(
    st.sampled_from(["none", *catalogue.EMBEDDINGS]),
    section(
        "periodic",
        frequencies=st.integers(1, 9),
        sigma=st.floats(1e-6, 1e4),
        size=st.integers(1, 9),
        relu=st.booleans(),
    ),
    section("piecewise_linear", bins=st.integers(1, 9), size=st.integers(1, 9), relu=st.booleans()),
    section("pbld", frequencies=st.integers(1, 9), sigma=st.floats(1e-6, 1e4), size=st.integers(2, 9)),
)
MODELS = st.fixed_dictionaries(
    {"hidden": st.lists(st.integers(1, 300), max_size=5)},
    optional={
        "activation": ACTIVATIONS,
        "output_activation": ACTIVATIONS,
        "bias": st.booleans(),
        "init": INITIALISATIONS,
        "numeric_embedding": NUMERIC_EMBEDDINGS,
        "embedding": st.fixed_dictionaries({"size": st.just("auto") | st.integers(1, 9)}),
        "members": st.fixed_dictionaries(
            {"k": st.integers(1, 4)}, optional={"kind": st.sampled_from(["tabm", "mini"])}
        ),
    },
)

COMMON: dict[str, st.SearchStrategy[Any]] = {
    "lr": st.floats(1e-12, 1e9) | st.integers(1, 3),
    "weight_decay": st.floats(0, 1e6),
    "weight_decay_for": st.sampled_from(["all", "weights"]),
}
ADAM: dict[str, st.SearchStrategy[Any]] = {
    **COMMON,
    "betas": st.lists(FRACTIONS, min_size=2, max_size=2),
    "eps": st.floats(0, 1),
}
OPTIMIZERS = st.one_of(
    st.sampled_from(list(catalogue.OPTIMIZERS)),
    section("sgd", momentum=st.floats(0, 1), dampening=st.floats(0, 1), **COMMON),
    section("adam", amsgrad=st.booleans(), **ADAM),
    section("adamw", amsgrad=st.booleans(), **ADAM),
    section("nadam", momentum_decay=st.floats(0, 1), **ADAM),
    section("rmsprop", alpha=FRACTIONS, momentum=st.floats(0, 1), centered=st.booleans(), **COMMON),
    section("adagrad", lr_decay=st.floats(0, 1e6), initial_accumulator_value=st.floats(0, 1e6), **COMMON),
)
FITTING_ALL = {"noise": st.floats(0, 10), "mixup": st.floats(0, 100)}
OF_IMAGES: dict[str, st.SearchStrategy[Any]] = {
    "shift": st.integers(0, 7),
    "rotate": st.floats(0, 180),
    "scale": st.floats(0, 0.9),
    "shear": st.floats(0, 80),
    "elastic": st.fixed_dictionaries({"alpha": st.floats(0, 1e4), "sigma": st.floats(1e-3, 100)}),
    "flip": st.sampled_from(["none", "horizontal", "vertical"]),
    "erase": st.floats(0, 1),
}
TRAINING = st.fixed_dictionaries(
    {},
    optional={
        "epochs": st.integers(1, 10_000_000),
        "batch_size": st.integers(1, 100_000) | st.just("full"),
        "shuffle": st.booleans(),
        "record_steps": st.booleans(),
        "clip_norm": POSITIVE,
        "max_norm": POSITIVE | st.integers(1, 9),
        "l1": st.floats(0, 1e6),
        "ema": FRACTIONS,
        "device": st.sampled_from(["auto", "cpu", "cuda", "cuda:0", "cuda:12"]),
        "precision": st.sampled_from(["auto", "highest", "high", "medium"]),
        "threads": st.integers(1, 1024) | st.just("auto"),
        "early_stopping": st.fixed_dictionaries(
            {"metric": st.just("train_loss")},
            optional={"patience": st.integers(1, 99), "min_delta": st.floats(0, 9), "start": st.integers(0, 99)},
        ),
    },
)


def is_regression(data: Mapping) -> bool:
    """Whether targets are numbers."""
    return data["name"] in ("random_regression", "function") or data.get("target", "kind") != "kind"


@st.composite
def experiments(draw: st.DrawFn) -> Mapping:
    """A whole experiment as plain values."""
    data = draw(st.one_of(IMAGES, SPIRALS, TOYS, FUNCTIONS, CLASSIFICATION, REGRESSION, TABLES))
    losses = ["mse", "mae"] if is_regression(data) else ["cross_entropy", "mse", "mae"]
    loss = draw(st.sampled_from(losses) | st.sampled_from(losses).flatmap(_with_reduction))
    splits = ["none"]
    splits += ["validation"] if data.get("validation", 0 if data["name"] == "xor" else 0.1) != 0 else []
    splits += ["test"] if data["name"] in ROWS or data.get("test") or data.get("test_path") else []
    keep = st.just("last")  # best goes with a measured validation only
    evaluation = draw(st.fixed_dictionaries({}, optional={"split": st.sampled_from(splits), "keep": keep}))
    chosen = {"data": data, "model": draw(MODELS), "loss": loss, "optimizer": draw(OPTIMIZERS)}
    augmentation = (OF_IMAGES if data["name"] in ROWS else {}) | FITTING_ALL
    if (loss if isinstance(loss, str) else loss["name"]) != "cross_entropy":
        del augmentation["mixup"]
    optional = {"name": NAMES, "seed": st.integers(0, 2**63 - 1), "training": TRAINING}
    optional["augmentation"] = st.fixed_dictionaries({}, optional=augmentation)
    return chosen | {"evaluation": evaluation} | draw(st.fixed_dictionaries({}, optional=optional))


def _with_reduction(name: str) -> st.SearchStrategy[Mapping]:
    return section(name, reduction=st.sampled_from(["mean", "sum"]))
