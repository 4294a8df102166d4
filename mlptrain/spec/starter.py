"""What `mlptrain init` writes and `mlptrain schema` prints."""

from __future__ import annotations

from typing import Any, get_args

from mlptrain.spec.base import names_in
from mlptrain.spec.data import DataSpec
from mlptrain.spec.executor import ExecutorSpec
from mlptrain.spec.experiment import ExperimentSpec
from mlptrain.spec.loss import LossSpec
from mlptrain.spec.metrics import MetricSpec
from mlptrain.spec.model import ActivationSpec, InitSpec
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.schedule import ScheduleSpec
from mlptrain.spec.search.sections import HalvingSpec, Method, RangeName

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
COMPARISON = """\
# {name}: does GELU help on scikit-learn's bundled digits, each activation with its own learning rate?
# Check it with `mlptrain check {name}.yaml`, run it with `mlptrain compare {name}.yaml`; with --plan that says first
# how long it will take.
name: {name}

base:                        # what every arm trains: an experiment, or the path of its file, beside this one
  data: {{name: digits, validation: 0.2}}
  model: {{hidden: [64]}}
  optimizer: {{name: adam, lr: 0.003}}
  training: {{epochs: 15, batch_size: 64}}

arms:                        # two or more, under names of your own: keys of the base, and what they become
  ReLU:
    # one of {activation}
    model.activation: relu
    # a list is tuned, of as many values in each arm; or {{log_grid: [low, high, points]}}
    optimizer.lr: [0.001, 0.003, 0.01]
  GELU:
    model.activation: gelu
    optimizer.lr: [0.001, 0.003, 0.01]
    # a section replaces that of the base as a whole; one of {optimizer}
    # optimizer: {{name: sgd, lr: [0.03, 0.1, 0.3]}}

# loss, accuracy, or what evaluation.metrics of the base names: {metrics}
metric: test_accuracy        # behind the rows that are scored, test or validation
tuning: {{seeds: 3}}           # values are chosen by their median over so many seeds, by validation rows
scoring: {{seeds: 10}}         # what is compared: other seeds, on rows that chose nothing
# tie: 0.001                 # half the width of a tie, here 0.1 percentage points
# executor: local            # one of {executor}
"""
SEARCH = """\
# {name}: which learning rate, widths and dropout for scikit-learn's bundled digits? A few seconds on a CPU.
# Check it with `mlptrain check {name}.yaml`, run it with `mlptrain search {name}.yaml`.
name: {name}

base:                        # what every trial trains: an experiment, or the path of its file, beside this one
  data: {{name: digits, validation: 0.2}}
  model: {{hidden: [64]}}
  optimizer: {{name: adam, lr: 0.003}}
  training: {{epochs: 15, batch_size: 64}}

space:                       # keys of the base, each with a list of values or a low and a high end
  # one of {ranges}
  optimizer.lr: {{log_uniform: [0.0001, 0.1]}}
  model.hidden: [[32], [64], [64, 32]]
  model.dropout: {{uniform: [0, 0.5]}}
  # training.batch_size: {{log_integers: [16, 256]}}
  # schedule: [constant, cosine]

# loss, accuracy, or what evaluation.metrics of the base names: {metrics}
metric: validation_accuracy
method: tpe                  # one of {method}
trials: 40
# prune: {{name: {prune}, eta: 3}}   # ends weak trials early: of those that train together one in three goes on
seed: 100                    # of the draws, and of the training of every trial
scoring: {{seeds: 3}}          # fresh seeds, which the best setting is trained with
# executor: local            # one of {executor}
"""
CHOICES = {
    "data": DataSpec,
    "activation": ActivationSpec,
    "init": InitSpec,
    "loss": LossSpec,
    "optimizer": OptimizerSpec,
    "schedule": ScheduleSpec,
    "metrics": MetricSpec,
    "executor": ExecutorSpec,
    "prune": HalvingSpec,
}
STARTERS = {"experiment": STARTER, "comparison": COMPARISON, "search": SEARCH}


def starter_yaml(name: str, kind: str = "experiment") -> str:
    """A commented configuration of one of the ``STARTERS`` to start with, which lists the names in the schema."""
    names = {key: ", ".join(names_in(union)) for key, union in CHOICES.items()}
    words = {"method": ", ".join(get_args(Method)), "ranges": ", ".join(get_args(RangeName))}
    return STARTERS[kind].format(name=name, **names, **words)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of an experiment, with descriptions, for editors (draft 2020-12)."""
    schema = ExperimentSpec.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "mlptrain experiment"
    schema["required"] = [key for key in schema["required"] if key != "name"]  # the file's name stands in for it
    return schema
