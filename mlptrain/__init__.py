"""Train, check and compare multi-layer perceptrons from a YAML file.

``train``, ``train_seeds``, ``train_folds``, ``resume``, ``evaluate``, ``metrics``, ``load``, ``export`` and
``compare`` do what the commands do; torch is imported when one of them needs it, not by ``import mlptrain``.
Paths are text or objects, with ``~`` for the home folder; a configuration is a file's path or a mapping of the same
content.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlptrain.comparison import compare, compare_optimizers
    from mlptrain.experiment import resume, train, train_folds, train_seeds
    from mlptrain.inference.evaluate import evaluate_checkpoint as evaluate
    from mlptrain.inference.export import export
    from mlptrain.inference.module import load
    from mlptrain.runs.metrics import metrics

__all__ = [
    "__version__",
    "compare",
    "compare_optimizers",
    "evaluate",
    "export",
    "load",
    "metrics",
    "resume",
    "train",
    "train_folds",
    "train_seeds",
]

__version__ = "0.1.0"

_HOMES = {
    "compare": ("mlptrain.comparison", "compare"),
    "compare_optimizers": ("mlptrain.comparison", "compare_optimizers"),
    "evaluate": ("mlptrain.inference.evaluate", "evaluate_checkpoint"),
    "export": ("mlptrain.inference.export", "export"),
    "load": ("mlptrain.inference.module", "load"),
    "metrics": ("mlptrain.runs.metrics", "metrics"),
    "resume": ("mlptrain.experiment", "resume"),
    "train": ("mlptrain.experiment", "train"),
    "train_folds": ("mlptrain.experiment", "train_folds"),
    "train_seeds": ("mlptrain.experiment", "train_seeds"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlptrain' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
