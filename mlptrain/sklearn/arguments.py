"""Constructor arguments as a configuration: which key each stands for, and its faults in the argument's name."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

from mlptrain.errors import Fault, MlptrainError, SpecError
from mlptrain.spec import Config, Loaded, load_spec
from mlptrain.spec.splitting import BY_COLUMN

Arguments = ParamSpec("Arguments")

# Keys of a configuration by the argument that sets them.
KEYS = {
    "hidden": "model.hidden",
    "activation": "model.activation",
    "norm": "model.norm",
    "dropout": "model.dropout",
    "numeric_embedding": "model.numeric_embedding",
    "members": "model.members",
    "loss": "loss",
    "optimizer": "optimizer",
    "lr": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay",
    "schedule": "schedule",
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "ema": "training.ema",
    "clip_norm": "training.clip_norm",
    "validation": "data.validation",
    "patience": "training.early_stopping",
    "scaling": "data.numeric.scaling",
    "encoding": "data.categorical.encoding",
    "device": "training.device",
    "threads": "training.threads",
}
# What ``partial_fit`` trains by: a run of unknown length, every row of which is trained on.
ONE_EPOCH: Mapping[str, Any] = {
    "data.validation": 0,
    "schedule": "constant",
    "training.early_stopping": "none",
    "evaluation": {},
}
# Keys of a data section that read or leave out columns or rows of a file.
_WITHOUT_EFFECT = {
    "weight": "give sample_weight to fit",
    "columns": "leave columns out of X, and make categories of a data frame's where they hold numbers",
    "fold": "scikit-learn's cross_val_score holds folds out",
}
_ARGUMENTS = {key: argument for argument, key in KEYS.items()}
_FEWEST, _MOST = 32, 256  # rows of a batch
_STEPS = 2_000
_MOST_EPOCHS = 100
VALIDATION, _ENOUGH = 0.15, 200  # of as many rows or more


def names_known(init: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """A constructor that says of an argument that there is not which class has none, and what was meant."""
    names = [*inspect.signature(init).parameters][1:]

    @functools.wraps(init)
    def checked(*values: Arguments.args, **named: Arguments.kwargs) -> None:
        unknown = [name for name in named if name not in names]
        if unknown:
            near = difflib.get_close_matches(unknown[0], names, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names)}"
            raise TypeError(f"{type(values[0]).__name__} has no argument '{unknown[0]}'; {hint}")
        init(*values, **named)

    return checked


def resolved(values: Mapping[str, Any], *, rows: int) -> dict[str, Any]:
    """The arguments without ``auto``, and validation rows only where the fraction makes some, by key; without None."""
    found = {argument: values[argument] for argument in KEYS if values.get(argument) is not None}
    if found.get("batch_size") == "auto":
        found["batch_size"] = automatic_batch(rows)
    validation = found.get("validation")
    if validation == "auto":
        found["validation"] = VALIDATION if rows >= _ENOUGH else 0
    elif isinstance(validation, float) and 0 < validation < 1 and (round(validation * rows) < 1 or rows < 2):
        found["validation"] = 0
    if not found.get("validation") and "patience" in found:
        raise ValueError(
            f"patience={found['patience']!r} goes by validation rows, and validation={validation!r} takes none of "
            f"{rows:,} rows; set validation, such as 0.1, or leave patience at None"
        )
    if found.get("epochs") == "auto":
        found["epochs"] = automatic_epochs(rows, found.get("batch_size", _FEWEST))
    return {KEYS[argument]: value for argument, value in found.items()}


def automatic_batch(rows: int) -> int:
    """A power of two between 32 and 256: of about 64 in an epoch's steps."""
    return min(_MOST, max(_FEWEST, 1 << max(0, (rows // 64).bit_length() - 1)))


def automatic_epochs(rows: int, batch_size: Any) -> int:
    """About 2,000 steps, in at most 100 epochs."""
    steps = -(-rows // batch_size) if isinstance(batch_size, int) and batch_size > 0 else 1
    return max(1, min(_MOST_EPOCHS, round(_STEPS / max(1, steps))))


def load(
    spec: Config | None,
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
    forced: Mapping[str, Any],
    *,
    given: Mapping[str, Any],
    rows: int,
) -> Loaded:
    """The experiment of an estimator with its data. Raises ValueError with every fault.

    Without a ``spec`` all arguments count, with one those that are not at their ``defaults``; ``forced`` are keys that
    hold whatever is said.
    """
    stated = values
    if spec is not None:  # by their texts, since arrays are compared element by element
        stated = {name: value for name, value in values.items() if repr(value) != repr(defaults[name])}
    try:
        if spec is None:
            settings = resolved(stated, rows=rows)
            return load_spec(_nested({**settings, **forced}), given=given)
        settings = {KEYS[name]: stated[name] for name in KEYS if name in stated}
        loaded = load_spec(spec, {**settings, **forced}, given=given)
    except SpecError as error:
        raise ValueError("\n".join(map(_described, error.faults))) from None
    except MlptrainError as error:
        raise ValueError(str(error)) from None
    data = loaded.spec.data
    for key, remedy in _WITHOUT_EFFECT.items():
        if (value := getattr(data, key)) != type(data).model_fields[key].default:
            raise ValueError(f"spec: data.{key} cannot be {value!r} here; {remedy}")
    if isinstance(data.split, BY_COLUMN):
        raise ValueError(f"spec: data.split cannot go by a column here, got {data.split.by}; use random or stratified")
    return loaded


def defaults_of(estimator: type) -> dict[str, Any]:
    """The default of every constructor argument."""
    parameters = inspect.signature(estimator).parameters
    return {name: one.default for name, one in parameters.items()}


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as mappings in mappings; a name becomes a mapping where a key of it follows."""
    config: dict[str, Any] = {}
    for key, value in settings.items():
        *path, last = key.split(".")
        section = config
        for part in path:
            if not isinstance(inner := section.setdefault(part, {}), dict):
                inner = section[part] = {**inner} if isinstance(inner, Mapping) else {"name": inner}
            section = inner
        if last not in section:  # what a mapping says itself
            section[last] = value
    return config


def _described(fault: Fault) -> str:
    """A fault of an argument by that; one of a file with its place."""
    for key, argument in sorted(_ARGUMENTS.items(), reverse=True):  # optimizer.lr before optimizer
        rest = fault.path.removeprefix(key)
        if fault.line is None and rest != fault.path and (not rest or rest[0] in ".["):
            return f"{argument}{rest}: {fault.message}"
    return str(fault)
