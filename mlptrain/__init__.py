"""Train, check and compare multi-layer perceptrons from a YAML file.

``train``, ``train_seeds``, ``train_folds``, ``resume``, ``lr_find``, ``evaluate``, ``metrics``, ``load``, ``export``,
``export_model``, ``compare`` and ``search`` do what the commands do, ``plot`` draws what ``mlptrain plot`` does,
``sklearn`` has estimators, and ``errors`` what they raise; torch is imported when one of them needs it, not by
``import mlptrain``. Paths are text or objects, with ``~`` for the home folder, or what ``train`` returns; a
configuration is a file's path or a mapping of the same content.

>>> import mlptrain
>>> config = {"data": "iris", "model": {"hidden": [16]}, "optimizer": {"name": "adam", "lr": 0.03}}
>>> outcome = mlptrain.train(config, run_dir="first")
>>> mlptrain.evaluate(outcome, split="test")["examples"]
30
>>> mlptrain.load(outcome).class_names
('setosa', 'versicolor', 'virginica')
>>> mlptrain.train(config, overrides=["optimizer.lr=fast"])
Traceback (most recent call last):
mlptrain.errors.SpecError: --set optimizer.lr=fast  optimizer.lr: must be a number, got the text 'fast'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlptrain import errors, plot
    from mlptrain import sklearn as sklearn
    from mlptrain.comparison import compare, compare_optimizers
    from mlptrain.experiment import lr_find, resume, train, train_folds, train_seeds
    from mlptrain.inference.evaluate import evaluate_checkpoint as evaluate
    from mlptrain.inference.export.arrays import export
    from mlptrain.inference.export.model import export_model
    from mlptrain.inference.module import load
    from mlptrain.runs.metrics import metrics
    from mlptrain.searching import search

__all__ = [
    "__version__",
    "compare",
    "compare_optimizers",
    "errors",
    "evaluate",
    "export",
    "export_model",
    "load",
    "lr_find",
    "metrics",
    "plot",
    "resume",
    "search",
    "train",
    "train_folds",
    "train_seeds",
]

__version__ = "0.1.0"

_HOMES = {
    "compare": ("mlptrain.comparison", "compare"),
    "compare_optimizers": ("mlptrain.comparison", "compare_optimizers"),
    "evaluate": ("mlptrain.inference.evaluate", "evaluate_checkpoint"),
    "export": ("mlptrain.inference.export.arrays", "export"),
    "export_model": ("mlptrain.inference.export.model", "export_model"),
    "load": ("mlptrain.inference.module", "load"),
    "lr_find": ("mlptrain.experiment", "lr_find"),
    "metrics": ("mlptrain.runs.metrics", "metrics"),
    "resume": ("mlptrain.experiment", "resume"),
    "search": ("mlptrain.searching", "search"),
    "train": ("mlptrain.experiment", "train"),
    "train_folds": ("mlptrain.experiment", "train_folds"),
    "train_seeds": ("mlptrain.experiment", "train_seeds"),
}


_MODULES = ("errors", "plot", "sklearn")


if not TYPE_CHECKING:  # to a type checker what is not named above is an error, not Any

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f"mlptrain.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'mlptrain' has no attribute {name!r}")
        module, attribute = _HOMES[name]
        return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
