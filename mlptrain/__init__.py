"""Train, check and compare multi-layer perceptrons from a YAML file."""

__version__ = "0.1.0"
