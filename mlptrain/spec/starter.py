"""What `mlptrain init` writes and `mlptrain schema` prints."""

from __future__ import annotations

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
  # one of {data}
  name: digits
  validation: 0.1            # rows taken from the training rows: a count, or a fraction below 1; 0 for none
  scaling: unit              # none | unit | standard | {{mean: 0.1307, std: 0.3081}}
  # classes: [0, 1]          # a subset, relabelled 0..k-1
  # train_size: 500          # only the first n training rows

model:
  hidden: [64, 32]           # widths of the hidden layers; [] is a linear model
  # one of {activation}
  activation: relu
  # one of {init}
  # init: {{name: normal, std: fan_in}}

# one of {loss}
loss: cross_entropy

# one of {optimizer}
optimizer:
  name: sgd
  lr: 0.1
  momentum: 0.9
  nesterov: true

# one of {schedule}
# schedule: constant

# augmentation: {{shift: 1, rotate: 10}}   # random changes of the training images

training:
  epochs: 20
  batch_size: 32             # or full
  device: auto               # auto | cpu | cuda | cuda:N
  # early_stopping: 5        # ends the run after so many epochs without a better validation loss

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
    names = {key: ", ".join(names_in(union)) for key, union in CHOICES.items()}
    return STARTER.format(name=name, **names)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of an experiment, with descriptions, for editors (draft 2020-12)."""
    schema = ExperimentSpec.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "mlptrain experiment"
    schema["required"] = [key for key in schema["required"] if key != "name"]  # the file's name stands in for it
    return schema
