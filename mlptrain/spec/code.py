"""Classes by their import path, ``module:Class``: what may be imported, and from where.

A class of the two collections of ``mlptrain[optimizers]``, which the user installed for this, is imported without more
ado. Any other module is code that a configuration names and might have come with it, and is imported inside
``code_allowed`` alone, which is what ``--allow-code`` opens. What lies beside the YAML file is recorded with its path
and its SHA-256, so that a run goes on with the same code or not at all.

Importing a class needs torch.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import CodeType, ModuleType
from typing import Any

from mlptrain.errors import UserError
from mlptrain.spec.hints import close, compact
from mlptrain.spec.optimizer import Foreign, OptimizerSpec
from mlptrain.system.files import read_regular
from mlptrain.system.paths import user_path

COLLECTIONS = {
    "pytorch_optimizer": "pytorch-optimizer",
    "schedulefree": "schedulefree",
}  # modules, and what is installed
_MAX_BYTES = 10_000_000  # of a module

_allowed = [False]
_modules: dict[tuple[str, str], ModuleType] = {}  # by file and digest
_shipped: dict[str, bytes] = {}  # by file, which need not be here


class CodeError(Exception):
    """A class that cannot be had, or not be made with these values: the key at fault, and what is wrong."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@contextmanager
def as_user_error(section: Foreign) -> Iterator[None]:
    """A CodeError of a section that is no longer in its file, as a UserError."""
    try:
        yield
    except CodeError as error:
        raise UserError(f"optimizer '{section.name}' {error}") from None


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
    found: dict[str, bytes] = {}
    for section in sections:
        if isinstance(section, Foreign) and section.path is not None and section.path not in found:
            with as_user_error(section):
                found[section.path], _ = _content(Path(section.path), section.sha256)
    return found


@dataclass(frozen=True)
class ClassPath:
    """Where a class comes from: ``module:Class`` and, where that is a file of the user's own, its path and digest."""

    name: str
    path: str | None = None
    sha256: str | None = None

    @classmethod
    def of(cls, section: Mapping[str, Any], folder: Path) -> ClassPath:
        """That of a section beside files in ``folder``; nothing is imported. Raises CodeError where there is none."""
        found, path = cls(str(section["name"])), section.get("path")
        if path is None and found._is_trusted:
            return found
        if path is not None and not isinstance(path, str):
            raise CodeError("path", "must be the path of the module's file")
        beside = Path(*found._module.split(".")).with_suffix(".py")
        file = folder / (user_path(path) if path is not None else beside)
        if file.is_dir():
            file = file / beside
        if file.is_file():
            recorded = section.get("sha256")
            _, digest = _content(file, recorded if isinstance(recorded, str) else None)
            return cls(found.name, str(file.absolute()), digest)
        if path is not None:
            raise CodeError("path", f"names no file: there is no {file}")
        if found._module.endswith(".py"):
            named = found.name.partition(":")[2]
            stem = PurePath(found._module).stem
            raise CodeError("name", f"names a file; write {stem}:{named}, the module's name without its .py")
        if not _is_installed(found._package):
            raise CodeError(
                "name", f"names the module '{found._module}', which neither lies in {file} nor is installed"
            )
        return found

    def imported(self) -> Callable[..., Any]:
        """The class, where importing it is allowed. Raises CodeError."""
        self._check_allowed()
        origin = self.path or self._module
        try:
            module = importlib.import_module(self._module) if self.path is None else self._loaded(self.path)
        except CodeError:
            raise
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
            raise CodeError("name", f"cannot be imported: {origin} raises {reason}") from error
        return self._class_in(module)

    @property
    def _module(self) -> str:
        return self.name.partition(":")[0]

    @property
    def _package(self) -> str:
        return self._module.partition(".")[0]

    @property
    def _is_trusted(self) -> bool:
        """Whether importing it runs nothing but what is installed for this, or is imported anyway."""
        return self._module == "torch.optim" or (self._package in COLLECTIONS and _is_no_other(self._package))

    def _check_allowed(self) -> None:
        if self.path is None and self._is_trusted:
            if not _is_installed(self._package):
                package = COLLECTIONS[self._package]
                message = f'is of {package}, which is not installed: pip install "mlptrain[optimizers]"'
                raise CodeError("name", message)
        elif not _allowed[0]:
            origin = self.path or f"the installed module {self._module}"
            raise CodeError(
                "name",
                f"is code: importing '{self.name}' would run {origin}; read that first, and then allow it with "
                "--allow-code, from Python with allow_code=True",
            )

    def _loaded(self, path: str) -> ModuleType:
        """The module in a file, of these very bytes; modules that lie beside it can be imported by it."""
        _, digest = _content(Path(path), self.sha256)
        if (path, digest) not in _modules:
            name = f"mlptrain_code_{digest[:16]}_{self._module.replace('.', '_')}"
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

    def _class_in(self, module: ModuleType) -> Callable[..., Any]:
        name = self.name.partition(":")[2]
        found = getattr(module, name, None)
        optimizer = importlib.import_module("torch").optim.Optimizer
        if found is None:
            known = {
                compact(other): other
                for other, value in vars(module).items()
                if isinstance(value, type) and issubclass(value, optimizer)
            }
            slip = close(compact(name), known, at_least=0.7)
            hint = f"; did you mean '{self._module}:{known[slip]}'?" if slip else ""
            raise CodeError("name", f"names a class that is not there: {self._module} has no {name}{hint}")
        if not isinstance(found, type) or not issubclass(found, optimizer):
            raise CodeError("name", f"must be a subclass of torch.optim.Optimizer, and {name} is none")
        return found


def _content(file: Path, recorded: str | None) -> tuple[bytes, str]:
    """What a module's file holds, and its digest. Raises CodeError where another digest is ``recorded``."""
    if str(file) in _shipped:
        content = _shipped[str(file)]
    else:
        try:
            content = read_regular(file, most=_MAX_BYTES)
        except (OSError, ValueError) as error:
            raise CodeError("name", f"names a module in {file}, which cannot be read: {error}") from None
    digest = hashlib.sha256(content).hexdigest()
    if recorded not in (None, digest):
        raise CodeError(
            "sha256",
            f"is code that has changed: {file} is not the file that was recorded; restore it, or start anew without "
            "sha256",
        )
    return content, digest


def _is_installed(module: str) -> bool:
    try:
        return module in sys.modules or importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _is_no_other(collection: str) -> bool:
    """Whether a module of that name, where there is one, is that of the collection.

    Under ``python -m`` the folder one works in is searched first, where a file of that name may be anybody's.
    """
    from importlib.metadata import PackageNotFoundError, distribution  # 10 ms, for those who name one

    try:
        found = importlib.util.find_spec(collection)
    except (ImportError, ValueError):
        return True  # there is none
    if found is None or found.origin is None:
        return found is None
    try:
        folder = distribution(COLLECTIONS[collection]).locate_file(collection)
    except PackageNotFoundError:
        return False
    return Path(found.origin).resolve().parent == Path(str(folder)).resolve()


class _Shipped(importlib.abc.InspectLoader):
    """Loads a module that was shipped."""

    def __init__(self, path: str) -> None:
        self._path = path

    def get_source(self, fullname: str) -> str:  # noqa: ARG002 - the name of the one module it is made for
        return importlib.util.decode_source(_shipped[self._path])

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_source(fullname), self._path)
