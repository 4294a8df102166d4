"""A checked experiment as YAML that the reader gives back unchanged."""

from __future__ import annotations

import math
from typing import Any

import yaml

from mlptrain.spec.experiment import ExperimentSpec
from mlptrain.spec.reader import scalar


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.2 would read as something else, which PyYAML's YAML 1.1 rules do not know."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None if isinstance(scalar(value), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)


def to_yaml(spec: ExperimentSpec) -> str:
    """Every resolved value, defaults and overrides included, keys in the order of the schema."""
    return yaml_text(plain(spec))


def plain(spec: ExperimentSpec) -> dict[str, Any]:
    """As to_yaml, as mappings, lists, numbers and text."""
    return {key: _name_first(value) for key, value in spec.model_dump(exclude_none=True).items()}


def yaml_text(values: dict[str, Any]) -> str:
    """Plain values as YAML that the reader gives back unchanged."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def yaml_line(values: dict[str, Any]) -> str:
    """The same in one line, each value as short as YAML has it: ``optimizer: {name: adam, lr: 0.01}``."""
    text: str = yaml.dump(
        values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf, default_flow_style=True
    )
    return text.strip()[1:-1]


def yaml_value(value: Any) -> str:
    """One value in one line: ``{name: adam, lr: 0.01}``."""
    return yaml_line({"value": value}).partition(": ")[2]


def _name_first(value: Any) -> Any:
    """A section with its ``name`` ahead of the fields that it shares with its kind."""
    if not isinstance(value, dict):
        return value
    name = {"name": value["name"]} if "name" in value else {}
    return name | {key: _name_first(child) for key, child in value.items()}
