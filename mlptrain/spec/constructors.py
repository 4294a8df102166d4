"""Optimizers by their import path: whether the values of a section fit the constructor of the class that it names.

What is checked here needs the class, which ``mlptrain.spec.code`` imports, and with it torch.
"""

from __future__ import annotations

import importlib
import inspect
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from mlptrain.errors import Fault, SpecError, UserError
from mlptrain.spec.code import COLLECTIONS, ClassPath, CodeError, as_user_error
from mlptrain.spec.hints import close, compact
from mlptrain.spec.optimizer import CODE_PATTERN, Foreign, OptimizerSpec
from mlptrain.spec.reader import Document, KeyPath
from mlptrain.spec.wording import must_be

STAND_IN = "sgd"  # for an optimizer that is not checked any further
_OURS = ("name", "weight_decay_for", "path", "sha256")  # keys that no constructor is given
_BASE = ("lr", "weight_decay")  # which every optimizer has, and whose values are checked alike

_inspected: dict[str, _Signature] = {}  # by the name of a class
_named: dict[str, Fault] = {}  # by the name of a class, a fault where a configuration names it


def inspect_code(
    document: Document, path: KeyPath, *, imports: bool = True, grids: bool = True, stand_in: object = STAND_IN
) -> None:
    """Check the section at ``path`` where it names a class by its import path, and write out what its constructor has.

    With ``grids`` every value may be one, as a comparison has them. Faults join the document's. Where there are some,
    and without ``imports``, under which nothing is looked at, another optimizer stands in, so that no fault is
    reported twice.
    """
    parent = document.mapping(path[:-1])
    section = parent.get(path[-1])
    section = {"name": section} if isinstance(section, str) else section
    name = section.get("name") if isinstance(section, dict) else None
    if not isinstance(section, dict) or not isinstance(name, str) or ":" not in name:
        return
    if not imports:
        parent[path[-1]] = stand_in
        return
    faults: list[CodeError] = []
    if not re.fullmatch(CODE_PATTERN, name):
        faults.append(CodeError("name", f"must be module:Class, such as pytorch_optimizer:Lion, got '{name[:80]}'"))
    else:
        position = document.position((*path, "path" if "path" in section else "name"))
        try:
            place = ClassPath.of(section, position.folder)
            section = {**section, **({} if place.path is None else {"path": place.path, "sha256": place.sha256})}
            signature = _Signature.of(place.imported())
        except CodeError as error:
            faults.append(error)
        else:
            section = signature.completed(section)
            faults += signature.faults(section, grids=grids)
            _inspected[name] = signature
            _remember(name, document.fault((*path, "name"), ""))
    parent[path[-1]] = stand_in if faults else section
    for fault in faults:
        unknown = str(fault).startswith("unknown key")
        document.faults.append(document.fault((*path, fault.key), str(fault), key=unknown))


def defaults_of(name: str) -> Mapping[str, Any]:
    """What the constructor of an inspected class takes, with its defaults."""
    return _inspected[name].defaults if name in _inspected else {}


def takes(name: str, key: str) -> bool:
    """Whether the constructor of an inspected class has the argument ``key``."""
    return name in _inspected and _inspected[name].takes(key)


def _remember(name: str, fault: Fault) -> None:
    """Where a file names a class, for ``refused``: by the longest path, since an arm's is read as a base's too."""
    known = _named.get(name, fault)
    is_shorter = known.source == fault.source and len(known.path) > len(fault.path)
    if fault.source and fault.line is not None and not is_shorter:
        _named[name] = fault


def refused(section: Foreign, reason: str) -> UserError:
    """That a class is of no use, at its place where this process has read a configuration that names it."""
    if section.name in _named:
        return SpecError([replace(_named[section.name], message=reason)])
    return UserError(f"optimizer '{section.name}' {reason}")


def tells_matrices_apart(section: Foreign) -> bool:
    """Whether a class wants its parameters in groups that say by ``use_muon`` which are matrices to orthogonalise.

    Raises UserError where there is no such class.
    """
    with as_user_error(section):
        return _tells_apart(_class_of(section))


def _tells_apart(cls: Callable[..., Any]) -> bool:
    try:
        return "use_muon" in inspect.getsource(cls)
    except (OSError, TypeError):
        return False


def accepts(section: OptimizerSpec) -> bool:
    """Whether the constructor of a class by its import path takes the values of a section; others say so themselves."""
    if not isinstance(section, Foreign):
        return True
    torch = importlib.import_module("torch")
    try:
        made(section, [torch.nn.Parameter(torch.zeros(4, 3))])
    except UserError:
        return False
    return True


def made(section: Foreign, groups: Sequence[Any]) -> Any:
    """The optimizer of a section, on parameters or groups of them. Raises UserError where it cannot be made."""
    with as_user_error(section):
        values = {"lr": section.lr, "weight_decay": section.weight_decay, **section.arguments}
        return _Signature.of(_class_of(section)).called(list(groups), values)


def _class_of(section: Foreign) -> Callable[..., Any]:
    return ClassPath(section.name, section.path, section.sha256).imported()


def _base(name: object) -> Callable[..., Any]:
    """The class that another one is built on, as SAM is. Raises CodeError."""
    if not isinstance(name, str) or not re.fullmatch(CODE_PATTERN, name):
        raise CodeError("base_optimizer", f"must be module:Class, such as torch.optim:SGD, got {name!r:.80}")
    try:
        return ClassPath(name).imported()
    except CodeError as error:
        raise CodeError("base_optimizer", str(error)) from None


@dataclass(frozen=True)
class _Signature:
    """What a constructor takes besides the parameters: names with defaults, and whether any other name too."""

    cls: Callable[..., Any]
    parameters: Mapping[str, inspect.Parameter]
    takes_any: bool

    @classmethod
    def of(cls, of: Callable[..., Any]) -> _Signature:
        """Raises CodeError for a constructor that cannot be read, wants more than parameters, or takes no rate."""
        try:
            first, *others = inspect.signature(of).parameters.values()
        except (TypeError, ValueError):
            raise CodeError("name", "has a constructor whose arguments cannot be read") from None
        if first.name in ("optimizer", "model"):
            whole = "another optimizer" if first.name == "optimizer" else "the whole model"
            raise CodeError("name", f"is made from {whole}, and here a class is given parameters alone")
        plain = {one.name: one for one in others if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}
        takes_any = any(one.kind is one.VAR_KEYWORD for one in others)
        if "lr" not in plain and not takes_any:
            known = ", ".join(plain) or "nothing"
            raise CodeError(
                "name", f"takes no lr, which schedules drive and records show; its constructor takes {known}"
            )
        return cls(of, plain, takes_any)

    @property
    def defaults(self) -> dict[str, Any]:
        """The arguments that have a default."""
        return {name: one.default for name, one in self.parameters.items() if one.default is not one.empty}

    def takes(self, key: str) -> bool:
        """Whether there is such an argument."""
        return key in self.parameters or (self.takes_any and _is_read(self.cls, key))

    def completed(self, section: dict[str, Any]) -> dict[str, Any]:
        """With the defaults of the constructor that a YAML file can hold."""
        usual = {name: plain for name, value in self.defaults.items() if (plain := _plain(value)) is not None}
        rate = {"lr": float(section["lr"])} if type(section.get("lr")) is int else {}
        if type(usual.get("lr")) is int:
            usual["lr"] = float(usual["lr"])
        if type(usual.get("weight_decay")) is int:
            usual["weight_decay"] = float(usual["weight_decay"])
        return {**section, **{key: value for key, value in usual.items() if key not in section}, **rate}

    def faults(self, section: Mapping[str, Any], *, grids: bool) -> list[CodeError]:
        """What the constructor says of a section, whose values may be ``grids`` of them."""
        found = []
        given = {key: value for key, value in section.items() if key not in _OURS}
        for key, value in list(given.items()):
            if key == "weight_decay" and not value and key not in self.parameters:
                del given[key]
            elif not self.takes(key):
                found.append(self._unknown(key))
            elif isinstance(value, float) and not math.isfinite(value):
                found.append(CodeError(key, f"must be a finite number, got {value}"))
            elif grids and isinstance(value, dict) and isinstance(value.get("log_grid"), list) and value["log_grid"]:
                given[key] = value["log_grid"][0]
            elif grids and isinstance(value, list) and value and self._is_grid(key, value):
                given[key] = value[0]
            elif key not in _BASE and (expected := _expected(self.defaults.get(key), value)):
                found.append(CodeError(key, must_be(expected, value)))
        if section.get("weight_decay_for", "all") != "all" and "weight_decay" not in self.parameters:
            found.append(CodeError("weight_decay_for", "has no effect: the constructor takes no weight_decay"))
        for name, one in self.parameters.items():
            if one.default is one.empty and name not in given:
                found.append(CodeError(name, "required key is missing: the constructor has no default for it"))
        rate = given.get("lr")
        if found or not isinstance(rate, (int, float)) or isinstance(rate, bool):
            return found if found or "lr" in given else [CodeError("lr", "required key is missing; e.g. lr: 0.01")]
        torch = importlib.import_module("torch")
        leaves = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((4, 3), (4,))]
        if _tells_apart(self.cls):
            leaves = [{"params": [leaf], "use_muon": leaf.dim() == 2} for leaf in leaves]
        try:
            self.called(leaves, given)
        except CodeError as error:
            found.append(error)
        return found

    def _unknown(self, key: str) -> CodeError:
        known = {compact(name): name for name in self.parameters}
        slip = known.get(compact(key)) or known.get(close(compact(key), known) or "")
        hint = f"did you mean '{slip}'?" if slip else f"its constructor takes {', '.join(self.parameters)}"
        return CodeError(key, f"unknown key; {hint}")

    def called(self, groups: list[Any], values: Mapping[str, Any]) -> Any:
        """The optimizer. Raises CodeError with the key that the constructor's complaint names."""
        arguments = {}
        for key, value in values.items():
            if key == "weight_decay" and not value and key not in self.parameters:
                continue
            usual = self.parameters[key].default if key in self.parameters else None
            arguments[key] = tuple(value) if isinstance(value, list) and isinstance(usual, tuple) else value
        if "base_optimizer" in self.parameters:
            arguments["base_optimizer"] = _base(arguments.get("base_optimizer"))
        try:
            return self.cls(groups, **arguments)
        except Exception as error:
            text = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
            named = [
                key
                for key in sorted(values, key=len, reverse=True)
                if re.search(rf"\b{key.rstrip('s')}", str(error), re.I)
            ]
            key = named[0] if named else "name"
            got = f", got {values[key]}" if named else ""
            raise CodeError(key, f"is refused by the constructor of {self.cls.__name__}{got} ({text})") from None

    def _is_grid(self, key: str, value: list[Any]) -> bool:
        """Whether a list holds values to choose from, and is not one itself, as betas are."""
        return isinstance(value[0], list) or not isinstance(self.defaults.get(key), (tuple, list))


def _is_read(cls: Callable[..., Any], key: str) -> bool:
    """Whether a class that takes any argument may read this one; those of the collections name what they read."""
    if "base_optimizer" in inspect.signature(cls).parameters:
        return True  # the class that it is built on does, or refuses it
    modules = {base.__module__ for base in inspect.getmro(cls)} if isinstance(cls, type) else set()
    ours = [name for name in modules if name.partition(".")[0] in COLLECTIONS]
    reads = rf"""(get\(|pop\(|\[)["']{re.escape(key)}["']"""
    with suppress(OSError):
        return not ours or any(re.search(reads, inspect.getsource(sys.modules[name])) for name in ours)
    return True


def _expected(usual: object, value: object) -> str | None:
    """What a value must be that is of another kind than its default; None where it is not, or nothing is known."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(usual, (tuple, list)) and usual and not isinstance(value, list):
        return f"a list such as {_plain(usual)}"
    if isinstance(usual, bool):
        return None if isinstance(value, bool) else "true or false"
    return "a number" if isinstance(usual, float) and not is_number and value is not None else None


def _plain(value: Any) -> Any:
    """A default as a YAML file has it; None for one that it cannot hold."""
    if isinstance(value, (tuple, list)) and value:
        plain = [_plain(item) for item in value]
        return None if None in plain else plain
    if isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return None
