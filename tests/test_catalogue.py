"""The catalogue has a row for every name that a configuration may write, and no other; so have the package's tables."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mlptrain.nn.engines.adversarial import ADVERSARIAL
from mlptrain.nn.losses import LOSSES
from mlptrain.nn.ops import OPS
from mlptrain.nn.ops.activations import ACTIVATIONS
from mlptrain.nn.ops.embeddings import NUMERIC
from mlptrain.spec.adversarial import AdversarialSpec
from mlptrain.spec.base import names_in, names_of
from mlptrain.spec.inputs import NumericEmbeddingSpec
from mlptrain.spec.loss import LossSpec
from mlptrain.spec.metrics import MetricSpec
from mlptrain.spec.model import ActivationSpec, NormSpec
from mlptrain.spec.optimizer import WRAPPED, Foreign, OptimizerSpec
from mlptrain.spec.schedule import ScheduleSpec
from mlptrain.training.scores import SCORES
from mlptrain.updates.optimizers import OPTIMIZERS
from tests import catalogue


def names_of_all(sections: Any) -> set[str]:
    return {name for section in sections for name in names_of(section)}


@pytest.mark.parametrize(
    ("rows", "sections"),
    [
        ({**catalogue.OPTIMIZERS, **catalogue.WRAPPED}, OptimizerSpec),
        (catalogue.ACTIVATIONS, ActivationSpec),
        (catalogue.LOSSES, LossSpec),
        (catalogue.SCHEDULES, ScheduleSpec),
        (catalogue.METRICS, MetricSpec),
        (catalogue.ADVERSARIAL, AdversarialSpec),
        ({"none": None, **catalogue.NORMS}, NormSpec),
        ({"none": None, **catalogue.EMBEDDINGS}, NumericEmbeddingSpec),
    ],
)
def test_every_name_of_a_configuration_has_its_row(rows: dict[str, Any], sections: Any) -> None:
    """In one order, since messages list the names."""
    assert list(rows) == list(names_in(sections))


def test_every_entry_of_the_packages_tables_has_its_row() -> None:
    assert names_of_all(OPTIMIZERS) == set(catalogue.OPTIMIZERS)
    assert names_of_all(ADVERSARIAL) == set(catalogue.ADVERSARIAL)
    assert names_of_all(LOSSES) == set(catalogue.LOSSES)
    assert set(ACTIVATIONS) == set(catalogue.ACTIVATIONS)
    assert set(OPS) == {*catalogue.OPS, *catalogue.NORMS}
    assert {"accuracy", *SCORES} == set(catalogue.METRICS)
    assert names_of_all(NUMERIC) == set(catalogue.EMBEDDINGS)


def test_all_of_torch_optim_is_offered() -> None:
    """But SparseAdam, which wants sparse gradients, as no layer here has them."""
    classes = {name for name, value in vars(torch.optim).items() if isinstance(value, type)} - {"Optimizer"}
    sections: list[Any] = [*OPTIMIZERS, *(one for one in WRAPPED if one is not Foreign)]
    offered = names_of_all(sections)
    assert {name.lower() for name in classes - {"SparseAdam"}} == offered


@pytest.mark.parametrize("rows", [catalogue.OPTIMIZERS, catalogue.OPS, catalogue.EMBEDDINGS, catalogue.ADVERSARIAL])
def test_defaults_are_the_first_case_of_every_row(rows: dict[str, Any]) -> None:
    assert all(row.cases[0] == {} for row in rows.values())
