"""What `mlptrain init` writes and `mlptrain schema` prints."""

from __future__ import annotations

from typing import Any

from mlptrain.spec.experiment import ExperimentSpec

STARTER = """\
# {name}: an MLP on scikit-learn's bundled digits; a few seconds on a CPU.
# Check it with `mlptrain check {name}.yaml`, train it with `mlptrain train {name}.yaml`.
name: {name}
seed: 0                      # every random number of the run follows from it

data:
  name: digits               # mnist | fashion_mnist | digits | spirals | random_regression | random_classification
  validation: 0.1            # rows taken from the training rows: a count, or a fraction below 1; 0 for none
  scaling: unit              # none | unit | standard | {{mean: 0.1307, std: 0.3081}}
  # classes: [0, 1]          # a subset, relabelled 0..k-1
  # train_size: 500          # only the first n training rows

model:
  hidden: [64, 32]           # widths of the hidden layers; [] is a linear model
  activation: relu           # relu leaky_relu elu prelu sigmoid tanh softplus arctan gelu silu identity
  # init: kaiming_normal     # default | {{name: normal, std: fan_in}} | xavier_uniform | kaiming_normal …

loss: cross_entropy          # cross_entropy | bce (two classes) | mse | mae

optimizer:
  name: sgd                  # sgd adam adamw nadam rmsprop adagrad
  lr: 0.1
  momentum: 0.9
  nesterov: true

training:
  epochs: 20
  batch_size: 32             # or full
  device: auto               # auto | cpu | cuda | cuda:N

evaluation:
  split: validation          # measured after every epoch: validation | test | none
  keep: best                 # the run stands for the weights with the lowest validation loss, or the last
"""


def starter_yaml(name: str) -> str:
    """A commented configuration to begin with."""
    return STARTER.format(name=name)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of an experiment, with descriptions, for editors (draft 2020-12)."""
    schema = ExperimentSpec.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "mlptrain experiment"
    schema["required"] = [key for key in schema["required"] if key != "name"]  # the file's name stands in for it
    return schema
