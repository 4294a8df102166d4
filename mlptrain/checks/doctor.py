"""Is this machine fit to train on? Findings about what a run depends on; nothing is printed, and nothing is kept.

A finding is ``ok``, a ``note`` (training works, and here is what would be better) or a ``problem`` (something is
broken), and what is not ok comes with what to do about it. A check that breaks down itself is a finding too, and the
others go on: the broken machine is the one that this is for.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mlptrain.errors import DivergedError, InterruptedRunError, MlptrainError

Level = Literal["ok", "note", "problem"]

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)>=(?P<least>[0-9.]+)")  # with `; extra == …` behind it: an extra's
_SHOWN_VERSIONS = ("torch", "numpy", "safetensors")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_PROC_BIND", "GOMP_CPU_AFFINITY",
                     "KMP_AFFINITY", "KMP_BLOCKTIME")  # fmt: skip
_ROUNDING_VARIABLES = ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")
_REINSTALL = "install it anew: `pip install --force-reinstall {}`"
_DISBELIEVE = f"do not believe what is trained here: {_REINSTALL.format('torch')}, or train with device: cpu"
_USUAL_SECONDS, _MOST_SECONDS = 3.0, 30.0  # of the self-training
_LITTLE_SPACE, _NO_SPACE = 10**9, 10**8  # bytes: MNIST takes 66 MB unpacked with its archives, a checkpoint 2 to 6


@dataclass(frozen=True)
class Finding:
    """What was found about one thing, and, unless it is ok, what to do about it; ``figures`` has the numbers."""

    about: str
    level: Level
    found: str
    advice: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


def examine(*, data_dir: Path | None = None) -> Iterator[Finding]:
    """Every finding, as soon as it is made. Never raises; what torch is needed for is left out where it is broken.

    ``data_dir`` is the data folder as everywhere else. Takes 5 s with MNIST and Fashion-MNIST in place.
    """
    try:
        Path.cwd()
    except OSError:
        yield Finding("current folder", "problem", "is gone", "go to another: `cd`; every other command needs one")
        os.chdir(tempfile.gettempdir())  # some of torch's libraries end the process where there is none
    yield from _guarded("versions", _versions)
    torch_works = True
    for finding in _guarded("torch", _torch):
        torch_works = finding.level != "problem"
        yield finding
    if torch_works:
        for about, check in (("device", _device), ("threads", _threads), ("precision", _precision)):
            yield from _guarded(about, check)
        yield from _guarded("data", lambda: _data(data_dir))
    yield from _guarded("run folders", lambda: [_place("run folders", Path("runs"), "name another: --run-dir")])
    yield from _guarded("terminal", _terminal)
    if torch_works:
        yield from _guarded("self-training", _self_training)


def _guarded(about: str, check: Callable[[], Iterator[Finding] | list[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:  # whatever it is that is broken here
        advice = f"if this does not say what to mend, {_REINSTALL.format('mlptrain')}"
        yield Finding(about, "problem", f"the check itself failed: {_in_words(error)}", advice)


def _in_words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _versions() -> Iterator[Finding]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    wanted: dict[str, str] = {}
    try:
        about = importlib.metadata.metadata("mlptrain")
        found["mlptrain"] = about["Version"]
        wanted["python"] = str(about["Requires-Python"] or "").removeprefix(">=")
        for requirement in importlib.metadata.requires("mlptrain") or ():
            if "extra ==" not in requirement and (match := _REQUIREMENT.match(requirement)):
                wanted[match["name"]] = match["least"]
    except importlib.metadata.PackageNotFoundError:
        yield Finding("versions", "note", "mlptrain runs from its source and is not installed", "`pip install -e .`")
    for name in [*_SHOWN_VERSIONS, *(name for name in wanted if name not in ("python", *_SHOWN_VERSIONS))]:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    for name, least in wanted.items():
        version = found[name]
        if version is None:
            yield Finding("versions", "problem", f"{name} is not installed", f"`pip install '{name}>={least}'`")
        elif numbers(version) < numbers(least):
            remedy = f"install Python {least} or later" if name == "python" else f"`pip install -U '{name}>={least}'`"
            yield Finding("versions", "problem", f"{name} {version} is too old, wanted {least} or later", remedy)
    shown = ", ".join(f"{name} {found[name]}" for name in ("mlptrain", "python", *_SHOWN_VERSIONS) if found.get(name))
    yield Finding("versions", "ok", f"{shown}; {platform.platform()}", figures=found)


def numbers(version: str) -> tuple[int, ...]:
    """The numbers a version begins with, for comparison: ``2.15.0+cpu`` is (2, 15, 0)."""
    leading = re.match(r"[0-9.]*", version)
    return tuple(int(part) for part in (leading[0] if leading else "").split(".") if part)


def _torch() -> Iterator[Finding]:
    try:
        torch = importlib.import_module("torch")
    except Exception as error:
        found = f"cannot be loaded: {_in_words(error)}"
        yield Finding("torch", "problem", found, _REINSTALL.format("torch"))
        return
    build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    yield Finding("torch", "ok", build)


def _device() -> Iterator[Finding]:
    import torch

    name = torch.backends.cpu.get_cpu_capability()
    yield Finding("device", "ok", f"cpu: {os.cpu_count()} cores, {platform.machine()} with {name}")
    with warnings.catch_warnings(record=True) as caught:  # a driver that is too old is a warning of torch's
        warnings.simplefilter("always")
        works = torch.cuda.is_available()
    said = " ".join(" ".join(str(one.message).split()) for one in caught)
    if not works:
        if said or (Path("/proc/driver/nvidia").exists() and torch.version.cuda is None):
            why = said or "an NVIDIA driver is here, and torch is built without CUDA"
            advice = "install a torch built for this driver, or update the driver; until then training is on the CPU"
            yield Finding("device", "note", f"no CUDA device can be used: {why}", advice)
        else:
            yield Finding("device", "ok", "no CUDA device; device: auto is cpu")
        return
    for index in range(torch.cuda.device_count()):
        place, title = f"cuda:{index}", torch.cuda.get_device_name(index)
        try:
            torch.ones(8, 8, device=place).mm(torch.ones(8, 8, device=place)).sum().item()
            free, total = torch.cuda.mem_get_info(index)
        except RuntimeError as error:
            advice = "free the device or restart its driver, or train with training.device: cpu"
            yield Finding("device", "problem", f"{place}, {title}, computes nothing: {error}", advice)
        else:
            yield Finding("device", "ok", f"{place}: {title}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free")


def _threads() -> Iterator[Finding]:
    import torch

    from mlptrain.training.device import usable_cores

    threads, cores = torch.get_num_threads(), usable_cores()
    given = [f"{name}={os.environ[name]}" for name in _THREAD_VARIABLES if name in os.environ]
    figures = {"threads": threads, "cores": cores}
    found = f"{threads} for {cores:g} usable cores" + (f"; set: {', '.join(given)}" if given else "")
    whole = max(1, int(cores))
    if threads > whole:
        advice = f"threads that wait for a core slow each other down: set training.threads: {whole}, or OMP_NUM_THREADS"
        yield Finding("threads", "note", found, advice, figures)
    elif threads < whole and "OMP_NUM_THREADS" in os.environ:
        yield Finding("threads", "note", found, "unset OMP_NUM_THREADS to let large networks use all cores", figures)
    else:
        yield Finding("threads", "ok", found, figures=figures)


def _precision() -> Iterator[Finding]:
    from mlptrain.training.device import LARGEST_ERROR, Precision, error_under, resolve_device

    resolved = resolve_device(device="auto", precision="auto", threads="auto")
    levels: tuple[Precision, ...] = ("medium", "high", "highest")
    errors: dict[str, float] = {level: error_under(level, resolved.device) for level in levels}
    listed = ", ".join(f"{level} {error:.1e}" for level, error in errors.items())
    found = f"auto is {resolved.precision} on {resolved.device}; relative errors of products: {listed}"
    if errors["highest"] < LARGEST_ERROR:
        yield Finding("precision", "ok", f"{found} (float32: below {LARGEST_ERROR:g})", figures=errors)
        return
    named = [name for name in _ROUNDING_VARIABLES if name in os.environ]
    advice = f"unset {' and '.join(named)}" if named else f"{_REINSTALL.format('torch')}, or train with device: cpu"
    yield Finding("precision", "problem", f"{found}; none is float32's, below {LARGEST_ERROR:g}", advice, errors)


def _data(data_dir: Path | None) -> Iterator[Finding]:
    from mlptrain.sources.store import FOLDER_VARIABLE, RAW_SHA256, data_folder

    yield _data_set("digits", Path())
    advice = f"to fetch into another folder, name it with --data-dir or ${FOLDER_VARIABLE}"
    try:
        folder = data_folder(data_dir)
    except MlptrainError as error:
        yield Finding("data folder", "problem", str(error), advice)
        return
    for name in RAW_SHA256:
        yield _data_set(name, folder)
    place = _place("data folder", folder, advice)
    # What lies in a read-only folder can be trained on, and digits need none.
    yield replace(place, level="note") if place.level == "problem" else place


def _data_set(name: str, folder: Path) -> Finding:
    """Whether a data set is there, and every byte of it is right."""
    from mlptrain.sources.store import RAW_FILES, raw_folder
    from mlptrain.sources.verify import verify

    about, fetch = f"data {name}", f"`mlptrain data fetch {name}`"
    advice = _REINSTALL.format("scikit-learn") if name == "digits" else f"{fetch} repairs it"
    try:
        place = "comes with scikit-learn"
        if name != "digits":
            raw = raw_folder(name, folder)
            place = f"in {raw}"
            absent = [file for file in RAW_FILES if not ((raw / file).is_file() or (raw / f"{file}.gz").is_file())]
            if len(absent) == len(RAW_FILES):
                return Finding(about, "note", f"not {place}", f"{fetch}, if you train on it")
            if absent:
                return Finding(about, "problem", f"incomplete {place}: no {', '.join(absent)}", f"{fetch} completes it")
        wrong = [f"{check.what}: {check.detail}" for check in verify(name, folder) if not check.ok]
    except (MlptrainError, OSError, ValueError) as error:
        return Finding(about, "problem", str(error), advice)
    if wrong:
        return Finding(about, "problem", f"{place}, and damaged: {'; '.join(wrong)}", advice)
    return Finding(about, "ok", f"{place}, every byte as published")


def _place(about: str, folder: Path, advice: str) -> Finding:
    """Whether files can be written in a folder, or where it will be made, and how much more."""
    here = whole = folder
    try:
        here = whole = folder if folder.is_absolute() else Path.cwd() / folder
        while not os.path.lexists(here) and here != here.parent:  # a link to nowhere cannot be written either
            here = here.parent
        with tempfile.TemporaryFile(dir=here) as file:
            file.write(b"0")
        free = shutil.disk_usage(here).free
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return Finding(about, "problem", f"{here} cannot be written: {reason}", advice)
    made = "" if here == whole else f" ({folder} will be made)"
    found, figures = f"{here}{made}: can be written, {free / 1e9:,.1f} GB free", {"free_bytes": free}
    if free >= _LITTLE_SPACE:
        return Finding(about, "ok", found, figures=figures)
    level: Level = "problem" if free < _NO_SPACE else "note"
    return Finding(about, level, found, f"free some space; or {advice}", figures)


def _terminal() -> Iterator[Finding]:
    encoding = getattr(sys.stdout, "encoding", None) or "none"
    is_terminal = bool(sys.stdout and sys.stdout.isatty())
    given = [
        f"{name}={os.environ[name]}" for name in ("TERM", "NO_COLOR", "COLUMNS", "LC_ALL", "LANG") if name in os.environ
    ]
    found = (
        f"{'a terminal' if is_terminal else 'no terminal'}, encoding {encoding}; {', '.join(given) or 'nothing set'}"
    )
    try:
        "×é±…─".encode(encoding)
    except (LookupError, UnicodeEncodeError):
        yield Finding("terminal", "note", found, "letters such as × show as ?; set PYTHONUTF8=1, or LC_ALL=C.UTF-8")
        return
    yield Finding("terminal", "ok", found)


def _self_training() -> Iterator[Finding]:
    from mlptrain.checks.known_training import EXPECTED_LOSS, STEPS, TOLERANCE, train_known_network

    crowded = "other programs take the cores, or a container holds this one back: see threads"
    try:
        trained = train_known_network(max_seconds=_MOST_SECONDS)
    except InterruptedRunError:
        found = f"not done after {_MOST_SECONDS:g} s, usually below 1 s"
        yield Finding("self-training", "problem", found, crowded)
        return
    except DivergedError as error:
        yield Finding("self-training", "problem", str(error), _DISBELIEVE)
        return
    figures = {**asdict(trained), "expected": EXPECTED_LOSS, "tolerance": TOLERANCE}
    found = (
        f"loss {trained.loss:.6f} after {STEPS} steps in {trained.seconds:.1f} s on {trained.device}; float64 gives "
        f"{EXPECTED_LOSS:.6f}, threads and precision may change {TOLERANCE:.6f} of it"
    )
    if not trained.as_expected:
        yield Finding("self-training", "problem", found, _DISBELIEVE, figures)
    elif trained.seconds > _USUAL_SECONDS:
        yield Finding("self-training", "note", f"{found}; usually below 1 s", crowded, figures)
    else:
        yield Finding("self-training", "ok", found, figures=figures)
