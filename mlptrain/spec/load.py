"""From a YAML file and overrides to a checked experiment, or to every fault at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from pydantic import TypeAdapter, ValidationError

from mlptrain.errors import Fault, SpecError
from mlptrain.spec.experiment import EvaluationSpec, ExperimentSpec
from mlptrain.spec.overrides import apply_override
from mlptrain.spec.reader import Document, parse, read_file
from mlptrain.spec.rules import broken_rules, warnings_about
from mlptrain.spec.wording import fault_path, message_for


@dataclass(frozen=True)
class Loaded:
    """A checked experiment, the bytes it was read from, and what is odd about it without being wrong."""

    spec: ExperimentSpec
    source: bytes
    warnings: tuple[Fault, ...]


def load_spec(path: Path | str, overrides: Sequence[str] = ()) -> Loaded:
    """Read, override (``"optimizer.lr=0.1"``) and check an experiment. Raises SpecError with every fault."""
    path = Path(path)
    content, document = read_file(path)
    return _load(document, content, default_name=path.stem, overrides=overrides)


def load_text(text: str, *, source: str = "<text>", overrides: Sequence[str] = ()) -> Loaded:
    """As load_spec, from YAML text; ``source`` stands in the places of faults."""
    return _load(parse(text, source=source), text.encode(), default_name="experiment", overrides=overrides)


def _load(document: Document, content: bytes, *, default_name: str, overrides: Sequence[str]) -> Loaded:
    for override in overrides:
        apply_override(document, override)
    if "name" not in document.value:
        document.value["name"] = re.sub(r"[^A-Za-z0-9._-]+", "-", default_name).lstrip("._-")[:64] or "experiment"
    spec = _validated(document)
    return Loaded(spec, content, tuple(document.fault(path, message) for path, message in warnings_about(spec)))


def _validated(document: Document) -> ExperimentSpec:
    faults = list(document.faults)
    sections: dict[str, object] = {}
    try:
        spec = ExperimentSpec.model_validate(document.value)
    except ValidationError as error:
        faulty = set()
        for detail in error.errors(include_url=False):
            faulty.add(detail["loc"][0])
            path = fault_path(document, detail, ExperimentSpec)
            unknown = detail["type"] == "extra_forbidden"
            faults.append(document.fault(path, message_for(detail, path, ExperimentSpec), key=unknown))
        hints = get_type_hints(ExperimentSpec, include_extras=True)
        for name, field in ExperimentSpec.model_fields.items():
            if name in document.value and name not in faulty:
                sections[name] = TypeAdapter(hints[name]).validate_python(document.value[name])
            elif name not in faulty:
                sections[name] = field.get_default()
    else:
        sections = {name: getattr(spec, name) for name in ExperimentSpec.model_fields}
    faults += [document.fault(path, message) for path, message in broken_rules(sections)]
    if faults:
        raise SpecError(
            sorted(dict.fromkeys(faults), key=lambda fault: (fault.line is None, fault.line or 0, fault.column or 0))
        )
    evaluation = spec.evaluation
    split = evaluation.split or ("validation" if spec.data.validation else "none")
    keep = evaluation.keep or ("best" if split == "validation" else "last")
    return spec.model_copy(update={"evaluation": EvaluationSpec(split=split, keep=keep)})
