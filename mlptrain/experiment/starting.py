"""A training that starts from weights in a file: where they came from, and what they were trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlptrain.data import Preprocessing, Splits
from mlptrain.errors import SpecError
from mlptrain.runs.records import Origin
from mlptrain.spec import Experiment
from mlptrain.spec.reader import parse
from mlptrain.spec.weights import InitialWeights


def started_from(weights: InitialWeights | None) -> Origin | None:
    """What ``environment.json`` says of them."""
    if weights is None:
        return None
    file, epoch = weights.file.absolute(), weights.about.get("epoch")
    with suppress(ValueError):  # outside the current folder
        file = file.relative_to(Path.cwd())
    return Origin(file=str(file), epoch=epoch if type(epoch) is int and epoch >= 0 else None)


def notes_on(weights: InitialWeights, experiments: Sequence[Experiment], splits: Sequence[Splits]) -> Iterator[str]:
    """Sentences on what the weights were trained on, where that differs from what a new run trains on.

    That are other numbers of the scaling, and validation rows that were training rows of the weights.
    """
    with suppress(ValidationError):  # of a file that somebody else wrote, or that says nothing
        theirs = Preprocessing.model_validate(weights.about.get("preprocessing"))
        if other := [one.preprocessing for one in splits if one.preprocessing != theirs]:
            yield (
                f"the weights in {weights.file} were trained on inputs scaled by {theirs.described()}; this run scales "
                f"by {other[0].described()}, as its data section says"
            )
    before = _spec_of(weights)
    for one in experiments:
        same_rows = before.get("data", {}).get("name") == one.data.name and not one.data.source().by_seed
        if same_rows and before.get("seed") != one.seed and one.facts.validation_rows:
            yield (
                f"the weights were trained with seed {before.get('seed')}, and seed {one.seed} draws other validation "
                "rows: the weights have been trained on most of them, so that their figures are too good"
            )
            break


def _spec_of(weights: InitialWeights) -> dict[str, Any]:
    """The configuration that the weights were trained with, as plain values; empty where that is not on record."""
    try:
        return parse(str(weights.about.get("spec") or ""), source=str(weights.file)).value
    except SpecError:
        return {}
