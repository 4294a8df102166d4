"""Runs from beginning to end: parts, training and run folders meet here, for one model or for several at once."""

from __future__ import annotations

from mlptrain.experiment.fit import Listener, fit
from mlptrain.experiment.lr_finding import LearningRates, lr_find
from mlptrain.experiment.recording import Outcome
from mlptrain.experiment.running import GroupOutcome, resume, resume_group, train, train_folds, train_seeds

__all__ = [
    "GroupOutcome",
    "LearningRates",
    "Listener",
    "Outcome",
    "fit",
    "lr_find",
    "resume",
    "resume_group",
    "train",
    "train_folds",
    "train_seeds",
]
