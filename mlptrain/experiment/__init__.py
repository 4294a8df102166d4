"""Runs from beginning to end: parts, training and run folders meet here, for one model or for several seeds at once."""

from __future__ import annotations

from mlptrain.experiment.fit import Listener, fit
from mlptrain.experiment.recording import Outcome
from mlptrain.experiment.running import SeedsOutcome, resume, resume_seeds, train, train_seeds

__all__ = ["Listener", "Outcome", "SeedsOutcome", "fit", "resume", "resume_seeds", "train", "train_seeds"]
