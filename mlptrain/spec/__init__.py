"""What a YAML file may say. Nothing here loads torch.

What the file of a comparison may say is imported from ``mlptrain.spec.comparison``: the commands on one experiment
then need not wait for it.
"""

from mlptrain.spec.dump import to_yaml
from mlptrain.spec.experiment import NAME_PATTERN, Experiment, ExperimentSpec
from mlptrain.spec.load import Loaded, as_loaded, load_spec, load_text
from mlptrain.spec.mapping import Config, Overrides
from mlptrain.spec.optimizer import OptimizerSpec
from mlptrain.spec.starter import json_schema, starter_yaml
from mlptrain.spec.summary import check_report, describe_model, describe_ops, describe_optimizer, layers_of

__all__ = [
    "NAME_PATTERN",
    "Config",
    "Experiment",
    "ExperimentSpec",
    "Loaded",
    "OptimizerSpec",
    "Overrides",
    "as_loaded",
    "check_report",
    "describe_model",
    "describe_ops",
    "describe_optimizer",
    "json_schema",
    "layers_of",
    "load_spec",
    "load_text",
    "starter_yaml",
    "to_yaml",
]
