"""Whether the trials of one seed had the same noise, which makes their differences the arms' own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlptrain.errors import RunFolderError
from mlptrain.runs.trials import TrialRecord

# What the noise of a trial depends on, by the key paths that it may change; all else leaves it as it is.
_NOISE_OF = {
    "data": ("data",),
    "batch_order": ("data",),
    "initial_weights": ("data", "model", "loss"),  # a loss may want another number of outputs
}
_NO_WEIGHTS = ("model.dropout", "model.input_dropout", "model.output_activation")


def check_paired(records: Sequence[TrialRecord]) -> None:
    """Trials of one seed had the same data, initial weights and batch order, where their arms agree in what decides it.

    Raises RunFolderError otherwise.
    """
    first: dict[tuple[int, str, str], TrialRecord] = {}
    for record in records:
        other, different = record, []
        for key, digest in record.hashes or ():
            before = first.setdefault((record.seed, key, _noise_key(record, key)), record)
            if digest != dict(before.hashes or ())[key]:
                other = before
                different.append(key.replace("_", " "))
        if different:
            raise RunFolderError(
                f"trials {other.trial} and {record.trial} of seed {record.seed} had different "
                f"{' and '.join(different)}, so that they cannot be compared: the data changed between them, or "
                "trials.jsonl was edited; start the comparison over in another folder, with --run-dir"
            )


def _noise_key(record: TrialRecord, what: str) -> str:
    """What of a trial's changes decides a part of its noise, as a text; nothing of one that changes its optimizer.

    The order of batches also goes by whether an epoch has several: a single one has all rows as they are stored.
    """
    changes = record.changes or {}
    deciding = {key: value for key, value in changes.items() if key.partition(".")[0] in _NOISE_OF[what]}
    if what == "initial_weights":
        deciding = {key: value for key, value in deciding.items() if not _leaves_weights(key, value, changes)}
    if what == "batch_order":
        deciding |= {key: changes[key] for key in ("training", "training.shuffle") if key in changes}
        deciding["steps"] = (record.steps_per_epoch or 0) > 1
    return json.dumps(deciding, sort_keys=True)


def _leaves_weights(key: str, value: object, changes: Mapping[str, Any]) -> bool:
    """Whether a change leaves the initial weights as they are."""
    if key == "model.activation":  # a slope that is learnt is a weight; He's gain goes by the slope below zero
        name = value.get("name") if isinstance(value, dict) else value
        return name != "prelu" and not any(other.startswith("model.init") for other in changes)
    return key in _NO_WEIGHTS
