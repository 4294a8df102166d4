"""Optimizers by import path: what may be imported, from where, and whether a section fits its class's constructor.

A class of the two collections of ``mlptrain[optimizers]``, which the user installed for this, is imported without more
ado. Any other module is code that a configuration names and might have come with it, and is imported inside
``code_allowed`` alone, which is what ``--allow-code`` opens. What lies beside the YAML file is recorded with its path
and its SHA-256, so that a run goes on with the same code or not at all.

What is checked here needs the class, and with it torch.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import importlib.util
import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from mlptrain.errors import Fault, SpecError, UserError
from mlptrain.spec.hints import close, compact
from mlptrain.spec.optimizer import CODE_PATTERN, Foreign, OptimizerSpec
from mlptrain.spec.reader import Document, KeyPath
from mlptrain.spec.wording import must_be
from mlptrain.system.files import read_regular
from mlptrain.system.paths import user_path

COLLECTIONS = {
    "pytorch_optimizer": "pytorch-optimizer",
    "schedulefree": "schedulefree",
}  # modules, and what is installed
_OURS = ("name", "weight_decay_for", "path", "sha256")  # keys that no constructor is given
_BASE = ("lr", "weight_decay")  # which every optimizer has, and whose values are checked alike
_MAX_BYTES = 10_000_000  # of a module

_allowed = [False]
_modules: dict[tuple[str, str], ModuleType] = {}  # by file and digest
_shipped: dict[str, bytes] = {}  # by file, which need not be here
_inspected: dict[str, _Signature] = {}  # by the name of a class
_named: dict[str, Fault] = {}  # by the name of a class, a fault where a configuration names it


@contextmanager
def code_allowed(allow: bool = True) -> Iterator[None]:
    """Inside, modules that a configuration names may be imported, in this process; with ``allow`` false as before."""
    before = _allowed[0]
    _allowed[0] = before or allow
    try:
        yield
    finally:
        _allowed[0] = before


def is_code_allowed() -> bool:
    """Whether this is inside of ``code_allowed``."""
    return _allowed[0]


@contextmanager
def code_shipped(files: Mapping[str, bytes]) -> Iterator[None]:
    """Inside, modules have these contents, by path: what ``code_of`` read on the machine that they lie on."""
    _shipped.update(files)
    try:
        yield
    finally:
        for path in files:
            del _shipped[path]


def code_of(sections: Iterable[OptimizerSpec]) -> dict[str, bytes]:
    """The files of the user's own that sections name, by path. Raises UserError for one that is gone or has changed."""
    found = {}
    for section in sections:
        if not isinstance(section, Foreign) or section.path is None or section.path in found:
            continue
        try:
            content = _content(Path(section.path))
            if section.sha256 not in (None, hashlib.sha256(content).hexdigest()):
                raise CodeError("sha256", _changed(section.path))
        except CodeError as error:
            raise UserError(f"optimizer '{section.name}' {error}") from None
        found[section.path] = content
    return found


class CodeError(Exception):
    """A class that cannot be had, or not be made with these values: the key at fault, and what is wrong."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True)
class _Place:
    """Where a class comes from: the module and, where that is a file of the user's own, its path and digest."""

    name: str
    path: str | None
    sha256: str | None

    @property
    def module(self) -> str:
        return self.name.partition(":")[0]

    @property
    def cls(self) -> str:
        return self.name.partition(":")[2]


def inspect_code(document: Document, path: KeyPath, *, imports: bool = True, grids: bool = True) -> bool:
    """Check the section at ``path`` where it names a class by its import path, and write out what its constructor has.

    With ``grids`` every value may be one, as a comparison has them. Faults join the document's; returns whether there
    are none and the class was looked at, which it is not without ``imports``. Raises nothing.
    """
    parent: Any = document.value
    for key in path[:-1]:
        parent = parent[key] if isinstance(parent, dict) and key in parent else {}
    section = parent.get(path[-1]) if isinstance(parent, dict) else None
    section = {"name": section} if isinstance(section, str) else section
    name = section.get("name") if isinstance(section, dict) else None
    if not isinstance(section, dict) or not isinstance(name, str) or ":" not in name:
        return True
    if not imports:
        return False
    faults: list[CodeError] = []
    if not re.fullmatch(CODE_PATTERN, name):
        faults.append(CodeError("name", f"must be module:Class, such as pytorch_optimizer:Lion, got '{name[:80]}'"))
    else:
        position = document.position((*path, "path" if "path" in section else "name"))
        folder = Path() if position.line is None else Path(position.source).parent
        try:
            place = _placed(section, folder)
            section = {**section, **{key: value for key in ("path", "sha256") if (value := getattr(place, key))}}
            signature = _Signature.of(_class(place))
        except CodeError as error:
            faults.append(error)
        else:
            section = signature.completed(section)
            faults += signature.faults(section, grids=grids)
            _inspected[name] = signature
            _remember(name, document.fault((*path, "name"), ""))
    parent[path[-1]] = section
    for fault in faults:
        unknown = str(fault).startswith("unknown key")
        document.faults.append(document.fault((*path, fault.key), str(fault), key=unknown))
    return not faults


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
    with _as_user_error(section):
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
    with _as_user_error(section):
        values = {"lr": section.lr, "weight_decay": section.weight_decay, **section.arguments}
        return _Signature.of(_class_of(section)).called(list(groups), values)


def _class_of(section: Foreign) -> Callable[..., Any]:
    return _class(_Place(section.name, section.path, section.sha256))


@contextmanager
def _as_user_error(section: Foreign) -> Iterator[None]:
    """A CodeError of a section that is no longer in its file, as a UserError."""
    try:
        yield
    except CodeError as error:
        raise UserError(f"optimizer '{section.name}' {error}") from None


def _base(name: object) -> Callable[..., Any]:
    """The class that another one is built on, as SAM is. Raises CodeError."""
    if not isinstance(name, str) or not re.fullmatch(CODE_PATTERN, name):
        raise CodeError("base_optimizer", f"must be module:Class, such as torch.optim:SGD, got {name!r:.80}")
    try:
        return _class(_Place(name, None, None))
    except CodeError as error:
        raise CodeError("base_optimizer", str(error)) from None


def _placed(section: Mapping[str, Any], folder: Path) -> _Place:
    """The place of a section's class; nothing is imported."""
    name = str(section["name"])
    module = name.partition(":")[0]
    first = module.partition(".")[0]
    path = section.get("path")
    if _is_trusted(module) and path is None:
        return _Place(name, None, None)
    if path is not None and not isinstance(path, str):
        raise CodeError("path", "must be the path of the module's file")
    file = folder / (user_path(path) if path is not None else Path(*module.split(".")).with_suffix(".py"))
    if file.is_dir():
        file = file / Path(*module.split(".")).with_suffix(".py")
    if file.is_file():
        given = section.get("sha256")
        digest = _digest(file)
        if isinstance(given, str) and given != digest:
            raise CodeError("sha256", _changed(file))
        return _Place(name, str(file.absolute()), digest)
    if path is not None:
        raise CodeError("path", f"names no file: there is no {file}")
    if not _is_installed(first):
        raise CodeError("name", f"names the module '{module}', which neither lies in {file} nor is installed")
    return _Place(name, None, None)


def _is_trusted(module: str) -> bool:
    """Whether importing it runs nothing but what is installed for this, or is imported anyway."""
    return module.partition(".")[0] in COLLECTIONS or module == "torch.optim"


def _digest(file: Path) -> str:
    return hashlib.sha256(_content(file)).hexdigest()


def _content(file: Path) -> bytes:
    if str(file) in _shipped:
        return _shipped[str(file)]
    try:
        return read_regular(file, most=_MAX_BYTES)
    except (OSError, ValueError) as error:
        raise CodeError("name", f"names a module in {file}, which cannot be read: {error}") from None


def _changed(file: Path | str) -> str:
    return (
        f"is code that has changed: {file} is not the file that was recorded; restore it, or start anew without sha256"
    )


def _is_installed(module: str) -> bool:
    try:
        return module in sys.modules or importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _class(place: _Place) -> Callable[..., Any]:
    """Import a class, where that is allowed. Raises CodeError."""
    first = place.module.partition(".")[0]
    if place.path is None and _is_trusted(place.module):
        if not _is_installed(first):
            message = f'is of {COLLECTIONS[first]}, which is not installed: pip install "mlptrain[optimizers]"'
            raise CodeError("name", message)
    elif not _allowed[0]:
        origin = place.path or f"the installed module {place.module}"
        raise CodeError(
            "name",
            f"is code: importing '{place.name}' would run {origin}; read that first, and then allow it with "
            "--allow-code, from Python with allow_code=True",
        )
    try:
        module = importlib.import_module(place.module) if place.path is None else _loaded(place)
    except CodeError:
        raise
    except (Exception, SystemExit) as error:
        origin = place.path or place.module
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
        raise CodeError("name", f"cannot be imported: {origin} raises {reason}") from error
    found = getattr(module, place.cls, None)
    torch = importlib.import_module("torch")
    if found is None:
        known = {
            compact(name): name
            for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
        }
        slip = close(compact(place.cls), known, at_least=0.7)
        hint = f"; did you mean '{place.module}:{known[slip]}'?" if slip else ""
        raise CodeError("name", f"names a class that is not there: {place.module} has no {place.cls}{hint}")
    if not isinstance(found, type) or not issubclass(found, torch.optim.Optimizer):
        raise CodeError("name", f"must be a subclass of torch.optim.Optimizer, and {place.cls} is none")
    return found


def _loaded(place: _Place) -> ModuleType:
    """The module in a file, of these very bytes; modules that lie beside it can be imported by it."""
    path = str(place.path)
    digest = _digest(Path(path))
    if place.sha256 not in (None, digest):
        raise CodeError("sha256", _changed(path))
    if (path, digest) not in _modules:
        name = f"mlptrain_code_{digest[:16]}_{place.module.replace('.', '_')}"
        loader = _Shipped(path) if path in _shipped else None
        spec = importlib.util.spec_from_file_location(name, path, loader=loader)
        if spec is None or spec.loader is None:
            raise CodeError("name", f"names a module in {path}, which is no Python file")
        module = importlib.util.module_from_spec(spec)
        folder = str(Path(path).parent)
        sys.path.insert(0, folder)
        sys.modules[name] = module  # as dataclasses want it
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        finally:
            sys.path.remove(folder)
        _modules[path, digest] = module
    return _modules[path, digest]


class _Shipped(importlib.abc.InspectLoader):
    """Loads a module that was shipped."""

    def __init__(self, path: str) -> None:
        self._path = path

    def get_source(self, fullname: str) -> str:  # noqa: ARG002 - the name of the one module it is made for
        return importlib.util.decode_source(_shipped[self._path])

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_source(fullname), self._path)


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
