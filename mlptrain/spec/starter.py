"""What `mlptrain init` writes and `mlptrain schema` prints."""

from __future__ import annotations

import textwrap
from typing import Any

from mlptrain.spec.base import names_in
from mlptrain.spec.data import DataSpec
from mlptrain.spec.experiment import ExperimentSpec
from mlptrain.spec.loss import LossSpec
from mlptrain.spec.model import ActivationSpec, InitSpec
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.schedule import ScheduleSpec

STARTER = """\
# {name}: an MLP on scikit-learn's bundled digits; a few seconds on a CPU.
# Check it with `mlptrain check {name}.yaml`, train it with `mlptrain train {name}.yaml`.
name: {name}
seed: 0                      # determines every random number of the run

data:
{data}
  name: digits
  validation: 0.1            # rows taken from the training rows: a count, or a fraction below 1; 0 for none
  scaling: unit              # none | unit | standard | {{mean: 0.1307, std: 0.3081}}
  # classes: [0, 1]          # a subset, relabelled 0..k-1
  # train_size: 500          # only the first n training rows

model:
  hidden: [64, 32]           # widths of the hidden layers; [] is a linear model
{activation}
  activation: relu
{init}
  # init: {{name: normal, std: fan_in}}

{loss}
loss: cross_entropy

{optimizer}
optimizer:
  name: sgd
  lr: 0.1
  momentum: 0.9
  nesterov: true

{schedule}
# schedule: constant

training:
  epochs: 20
  batch_size: 32             # or full
  device: auto               # auto | cpu | cuda | cuda:N

evaluation:
  split: validation          # measured after every epoch: validation | test | none
  keep: best                 # the run stands for the weights with the lowest validation loss, or the last
"""
CHOICES = {
    "data": DataSpec,
    "activation": ActivationSpec,
    "init": InitSpec,
    "loss": LossSpec,
    "optimizer": OptimizerSpec,
    "schedule": ScheduleSpec,
}


def starter_yaml(name: str) -> str:
    """A commented configuration to start with, which lists the names in the schema."""
    lists = {}
    for key, union in CHOICES.items():
        indent = "  # " if key in ("data", "activation", "init") else "# "
        text = f"one of {', '.join(names_in(union))}"
        lists[key] = textwrap.fill(text, 100, initial_indent=indent, subsequent_indent=indent)
    return STARTER.format(name=name, **lists)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of an experiment, with descriptions, for editors (draft 2020-12)."""
    schema = ExperimentSpec.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "mlptrain experiment"
    schema["required"] = [key for key in schema["required"] if key != "name"]  # the file's name stands in for it
    return schema
