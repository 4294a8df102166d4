"""Where a study's trials run, or the learning rates that are tried: the section ``executor``, and the option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from mlptrain.errors import Fault, SpecError
from mlptrain.spec.base import Section, ShortName
from mlptrain.spec.reader import Document, Position, parse_value
from mlptrain.spec.wording import fault_of


class LocalExecutor(Section):
    """Trials run in this process."""

    name: Literal["local"]


class RayExecutor(Section):
    """Batches of trials run on the nodes of a Ray cluster."""

    name: Literal["ray"]
    address: str = Field(
        "local",
        pattern=r"^(local|auto|(ray://)?[A-Za-z0-9._-]{1,253}:[0-9]{1,5})$",
        description="local starts Ray on this machine; auto finds the cluster that runs here; else HOST:PORT or "
        "ray://HOST:PORT.",
    )
    gpus: float = Field(
        1.0, ge=0.01, le=1, description="Of a GPU, what a batch that trains on one takes: 0.25 lets four share it."
    )


ExecutorSpec = Annotated[LocalExecutor | RayExecutor, Field(discriminator="name"), ShortName()]


def divides_gpus(executor: LocalExecutor | RayExecutor) -> bool:
    """Whether it asks for a part of a GPU."""
    return isinstance(executor, RayExecutor) and executor.gpus < 1


class _Where(Section):
    """What ``read_executor`` reads."""

    executor: ExecutorSpec


def read_executor(value: str | Mapping[str, Any], *, source: str = "executor") -> LocalExecutor | RayExecutor:
    """The executor that a YAML file would name so: ``ray``, ``"{name: ray, address: auto}"``, or a mapping of this.

    Raises SpecError, whose faults name the ``source``.
    """
    here = Position(source)
    document = Document(source, {"executor": value}, {(): here}, {(): here})
    faults: list[Fault] = []
    if isinstance(value, str):
        try:
            document.value["executor"], faults = parse_value(value, source=source)
        except SpecError as error:
            faults = [*error.faults]
        if faults:  # which stand in a line of the option, not of a file
            raise SpecError([Fault(source, None, None, "", fault.message) for fault in faults])
    try:
        return _Where.model_validate(document.value).executor
    except ValidationError as error:
        faults = [fault_of(detail, document, _Where) for detail in error.errors(include_url=False)]
    raise SpecError([replace(fault, path=fault.path.removeprefix("executor").lstrip(".")) for fault in faults])
