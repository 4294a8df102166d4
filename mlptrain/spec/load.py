"""From a YAML file and overrides to a checked experiment, or to every fault at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

from mlptrain.errors import DataError, Fault, SpecError
from mlptrain.sources.facts import ChoiceError, DataFacts
from mlptrain.spec.base import Section
from mlptrain.spec.data import DataSpec
from mlptrain.spec.experiment import EvaluationSpec, Experiment, ExperimentSpec
from mlptrain.spec.overrides import apply_override
from mlptrain.spec.reader import Document, parse, read_file
from mlptrain.spec.rules import RULES, Finding, broken_rules, warnings_about
from mlptrain.spec.wording import fault_path, message_for

_MOST_DETAILS = 1000  # faults of one configuration; looking for what was meant by 10,000 unknown keys took a second


@dataclass(frozen=True)
class Loaded:
    """A checked experiment, the bytes it was read from, and what is odd about it without being wrong."""

    experiment: Experiment
    source: bytes
    warnings: tuple[Fault, ...]

    @property
    def spec(self) -> ExperimentSpec:
        """What the file wishes for."""
        return self.experiment.spec


def load_spec(path: Path | str, overrides: Sequence[str] = (), *, facts: DataFacts | None = None) -> Loaded:
    """Read, override (``"optimizer.lr=0.1"``) and check an experiment. Raises SpecError with every fault.

    ``facts`` are those on record; without them the data are asked.
    """
    path = Path(path)
    content, document = read_file(path)
    if {"base", "optimizers"} <= document.value.keys():
        message = f"is a comparison, wanted an experiment; run it with `mlptrain compare-optimizers {path}`"
        raise SpecError([Fault(str(path), None, None, "", message)])
    return _load(document, content, default_name=path.stem, overrides=overrides, facts=facts)


def load_text(
    text: str, *, source: str = "<text>", overrides: Sequence[str] = (), facts: DataFacts | None = None
) -> Loaded:
    """As load_spec, from YAML text; ``source`` stands in the places of faults."""
    document = parse(text, source=source)
    return _load(document, text.encode(), default_name="experiment", overrides=overrides, facts=facts)


def _load(
    document: Document, content: bytes, *, default_name: str, overrides: Sequence[str], facts: DataFacts | None
) -> Loaded:
    for override in overrides:
        apply_override(document, override)
    document.value.setdefault("name", folder_name(default_name))
    spec, sections, faults = check(document, ExperimentSpec, RULES, facts=facts)
    known = sections.get("facts")
    if spec is None or faults or not isinstance(known, DataFacts):
        raise SpecError(in_order(faults, document.source))
    experiment = Experiment(with_defaults(spec), known)
    warnings = tuple(document.fault(path, message) for path, message in warnings_about(experiment))
    return Loaded(experiment, content, warnings)


def folder_name(text: str) -> str:
    """The text as far as it can name a folder, for a configuration without a name of its own."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-")[:64] or "experiment"


Checked = TypeVar("Checked", bound=Section)


def check(
    document: Document,
    model: type[Checked],
    rules: Iterable[Callable[..., Iterator[Finding]]],
    *,
    known: Mapping[str, object] | None = None,
    facts: DataFacts | None = None,
) -> tuple[Checked | None, dict[str, object], list[Fault]]:
    """The document as ``model``, or None; its sections that have no fault of their own; and every fault.

    The rules may read those sections, the ``known`` ones and, as a section of its own, the ``facts`` of the data, which
    are asked for where they are not given.
    """
    faults = list(document.faults)
    sections: dict[str, object] = {}
    spec: Checked | None = None
    try:
        spec = model.model_validate(document.value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        faulty = {detail["loc"][0] for detail in details}
        for detail in details[:_MOST_DETAILS]:
            path = fault_path(document, detail, model)
            message = message_for(detail, path, model, within=document.prefix)
            faults.append(document.fault(path, message, key=detail["type"] == "extra_forbidden"))
        hints = get_type_hints(model, include_extras=True)
        for name, field in model.model_fields.items():
            if name in document.value and name not in faulty:
                sections[name] = TypeAdapter(hints[name]).validate_python(document.value[name])
            elif name not in faulty:
                sections[name] = field.get_default()
    else:
        sections = {name: getattr(spec, name) for name in model.model_fields}
    if (data := sections.get("data")) is not None:
        try:
            sections["facts"] = facts or cast(DataSpec, data).facts()
        except ChoiceError as error:
            faults.append(document.fault(("data", error.key), str(error)))
        except DataError as error:
            faults.append(document.fault(("data",), str(error)))
    findings = broken_rules({**(known or {}), **sections}, rules)
    return spec, sections, faults + [document.fault(path, message) for path, message in findings]


def in_order(faults: Iterable[Fault], source: str) -> list[Fault]:
    """Each fault once, in the order of their places: first the file ``source``, other files, then overrides."""
    return sorted(
        dict.fromkeys(faults),
        key=lambda fault: (fault.line is None, fault.source != source, fault.line or 0, fault.column or 0),
    )


def measured_split(data: DataSpec, evaluation: EvaluationSpec) -> Literal["validation", "test", "none"]:
    """The split that is measured after every epoch."""
    return evaluation.split or ("validation" if data.validation else "none")


def with_defaults(spec: ExperimentSpec) -> ExperimentSpec:
    """The experiment with the defaults that follow from other values written out."""
    split = measured_split(spec.data, spec.evaluation)
    keep = spec.evaluation.keep or ("best" if split == "validation" else "last")
    return spec.model_copy(update={"evaluation": EvaluationSpec(split=split, keep=keep)})
