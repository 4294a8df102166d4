"""Is this machine ready to train? Findings about what a run depends on; nothing is printed, and nothing is kept.

A finding is ``ok``, a ``note`` (training works, but could work better) or a ``problem`` (something is broken). A check
that fails itself is a finding too, and the others continue: doctor is for broken machines.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mlptrain.errors import InterruptedRunError, MlptrainError
from mlptrain.system.paths import AnyPath

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)>=(?P<least>[0-9.]+)")  # with `; extra == …` behind it: an extra's
_SHOWN_VERSIONS = ("mlptrain", "python", "torch", "numpy", "safetensors")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_PROC_BIND", "GOMP_CPU_AFFINITY",
                     "KMP_AFFINITY", "KMP_BLOCKTIME")  # fmt: skip
_ROUNDING_VARIABLES = ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")
_REINSTALL = "reinstall it: `pip install --force-reinstall {}`"
_OTHER_TORCH = f"{_REINSTALL.format('torch')}, or train with device: cpu"
_UNRELIABLE = f"results from this machine are unreliable: {_OTHER_TORCH}"
_CROWDED = "other programs take the cores, or a container limits this one: see threads"
_NEEDS_TORCH = ("device", "threads", "precision", "data", "self-training")
_USUAL_SECONDS, _MAX_SECONDS = 3.0, 30.0  # of the self-training
_LITTLE_SPACE, _NO_SPACE = 10**9, 10**8  # bytes: MNIST takes 66 MB unpacked with its archives, a checkpoint 2 to 6


@dataclass(frozen=True)
class Finding:
    """What was found about one thing, and, unless it is ok, what to do about it; ``figures`` has the numbers."""

    about: str
    level: Literal["ok", "note", "problem"]
    found: str
    advice: str
    figures: Mapping[str, Any]


def _finding(about: str, found: str, *, problem: str = "", note: str = "", figures: Any = None) -> Finding:
    """A problem or a note where there is advice on one, else ok."""
    return Finding(about, "problem" if problem else "note" if note else "ok", found, problem or note, figures or {})


def examine(*, data_dir: AnyPath | None = None) -> Iterator[Finding]:
    """Every finding, as soon as it is made. Never raises; what needs torch is left out where torch is broken.

    ``data_dir`` is the data folder as everywhere else.
    """
    checks: dict[str, Callable[[], Iterable[Finding]]] = {
        "versions": _versions,
        "torch": _torch,
        "device": _device,
        "threads": _threads,
        "precision": _precision,
        "data": lambda: _data(data_dir),
        "run folders": lambda: [_space("run folders", Path("runs"), "name another: --run-dir")],
        "pictures": _pictures,
        "self-training": _self_training,
    }
    torch_works = True
    for about, check in checks.items():
        if not torch_works and about in _NEEDS_TORCH:
            continue
        try:
            for finding in check():
                torch_works &= (finding.about, finding.level) != ("torch", "problem")
                yield finding
        except Exception as error:  # whatever it is that is broken here
            advice = f"if this does not say what to fix, {_REINSTALL.format('mlptrain')}"
            yield _finding(about, f"the check itself failed: {_in_words(error)}", problem=advice)


def _in_words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _versions() -> Iterator[Finding]:
    least: dict[str, str] = {}
    try:
        for requirement in importlib.metadata.requires("mlptrain") or ():
            if "extra ==" not in requirement and (match := _REQUIREMENT.match(requirement)):
                least[match["name"]] = match["least"]
    except importlib.metadata.PackageNotFoundError:
        yield _finding("versions", "mlptrain runs from its source and is not installed", note="`pip install -e .`")
    versions = {name: _version(name) for name in (*_SHOWN_VERSIONS, *least)}
    for name, needed in least.items():
        if (version := versions[name]) is None:
            yield _finding("versions", f"{name} is not installed", problem=f"`pip install '{name}>={needed}'`")
        elif numbers(version) < numbers(needed):
            found = f"{name} {version} is too old, expected {needed} or later"
            yield _finding("versions", found, problem=f"`pip install -U '{name}>={needed}'`")
    shown = ", ".join(f"{name} {versions[name]}" for name in _SHOWN_VERSIONS if versions[name])
    yield _finding("versions", f"{shown}; {platform.platform()}", figures=versions)


def _version(name: str) -> str | None:
    try:
        return platform.python_version() if name == "python" else importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def numbers(version: str) -> tuple[int, ...]:
    """The numbers a version begins with, for comparison: ``2.15.0+cpu`` is (2, 15, 0)."""
    leading = re.match(r"[0-9.]*", version)
    return tuple(int(part) for part in (leading[0] if leading else "").split(".") if part)


def _torch() -> Iterator[Finding]:
    try:
        torch = importlib.import_module("torch")
    except Exception as error:
        yield _finding("torch", f"cannot be loaded: {_in_words(error)}", problem=_REINSTALL.format("torch"))
    else:
        cuda = torch.version.cuda
        yield _finding("torch", f"built for CUDA {cuda}" if cuda else "built without CUDA")


def _device() -> Iterator[Finding]:
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    yield _finding("device", f"cpu: {os.cpu_count()} cores, {platform.machine()} with {capability}")
    with warnings.catch_warnings(record=True) as caught:  # torch warns of a driver that is too old
        warnings.simplefilter("always")
        works = torch.cuda.is_available()
    reason = " ".join(" ".join(str(warning.message).split()) for warning in caught)
    if Path("/proc/driver/nvidia").exists() and torch.version.cuda is None:
        reason = reason or "there is an NVIDIA driver, and torch is built without CUDA"
    if not works:
        advice = "install a torch built for this driver, or update the driver; until then training is on the CPU"
        found = f"no CUDA device can be used: {reason}" if reason else "no CUDA device; device: auto is cpu"
        yield _finding("device", found, note=advice if reason else "")
    for device in map("cuda:{}".format, range(torch.cuda.device_count() if works else 0)):
        title = f"{device}: {torch.cuda.get_device_name(device)}"
        try:
            torch.ones(8, 8, device=device).mm(torch.ones(8, 8, device=device)).sum().item()
            free, total = torch.cuda.mem_get_info(device)
        except RuntimeError as error:
            advice = "free the device or restart its driver, or train with training.device: cpu"
            yield _finding("device", f"{title}, computes nothing: {error}", problem=advice)
        else:
            yield _finding("device", f"{title}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free")


def _threads() -> Iterator[Finding]:
    import torch

    from mlptrain.system.cores import usable_cores

    threads, cores = torch.get_num_threads(), usable_cores()
    variables = ", ".join(f"{name}={os.environ[name]}" for name in _THREAD_VARIABLES if name in os.environ)
    found = f"{threads} for {cores:g} usable cores; variables set: {variables or 'none'}"
    whole, note = max(1, int(cores)), ""
    if threads > whole:
        note = f"threads that wait for a core slow each other down: set training.threads: {whole}, or OMP_NUM_THREADS"
    elif threads < whole and "OMP_NUM_THREADS" in os.environ:
        note = "unset OMP_NUM_THREADS to let large networks use all cores"
    yield _finding("threads", found, note=note, figures={"threads": threads, "cores": cores})


def _precision() -> Iterator[Finding]:
    from mlptrain.training.device import LARGEST_ERROR, Precision, error_under, resolve_device

    resolved = resolve_device(device="auto", precision="auto", threads="auto")
    levels: tuple[Precision, ...] = ("medium", "high", "highest")
    errors: dict[str, float] = {level: error_under(level, resolved.device) for level in levels}
    listed = ", ".join(f"{level} {error:.1e}" for level, error in errors.items())
    found = f"auto is {resolved.precision} on {resolved.device}; relative errors of products: {listed}"
    accurate = errors["highest"] < LARGEST_ERROR
    found += f" (float32: below {LARGEST_ERROR:g})" if accurate else f"; none is float32's, below {LARGEST_ERROR:g}"
    variables = " and ".join(name for name in _ROUNDING_VARIABLES if name in os.environ)
    advice = f"unset {variables}" if variables else _OTHER_TORCH
    yield _finding("precision", found, problem="" if accurate else advice, figures=errors)


def _data(data_dir: AnyPath | None) -> Iterator[Finding]:
    from mlptrain.sources.store import FOLDER_VARIABLE, RAW_SHA256, data_folder

    yield _data_set("digits", Path())
    advice = f"to fetch into another folder, name it with --data-dir or ${FOLDER_VARIABLE}"
    try:
        folder = data_folder(data_dir)
    except MlptrainError as error:
        yield _finding("data folder", str(error), problem=advice)
        return
    for name in RAW_SHA256:
        yield _data_set(name, folder)
    finding = _space("data folder", folder, advice)
    # Data in a read-only folder can be trained on, and digits need none.
    yield replace(finding, level="note") if finding.level == "problem" else finding


def _data_set(name: str, folder: Path) -> Finding:
    """Whether a data set is there, and every byte of it is right."""
    from mlptrain.sources.store import RAW_FILES, raw_folder, stored_files
    from mlptrain.sources.verify import verify

    about, fetch = f"data {name}", f"`mlptrain data fetch {name}`"
    advice, place = f"{fetch} gets it, and moves aside what is in its place", "comes with scikit-learn"
    try:
        if name == "digits":
            advice = _REINSTALL.format("scikit-learn")
        elif places := {path.parent for file in RAW_FILES for path in stored_files(name, file, folder)}:
            place = f"in {', '.join(sorted(map(str, places)))}"
        else:
            return _finding(about, f"not in {raw_folder(name, folder)}", note=f"{fetch}, if you train on it")
        wrong = [f"{check.what}: {check.detail}" for check in verify(name, folder) if not check.ok]
    except (MlptrainError, OSError, ValueError) as error:
        return _finding(about, str(error), problem=advice)
    if wrong:
        return _finding(about, f"{place}, incomplete or damaged: {'; '.join(wrong)}", problem=advice)
    return _finding(about, f"{place}, every byte as published")


def _space(about: str, folder: Path, advice: str) -> Finding:
    """Whether files can be written in a folder, or where it will be made, and how much more."""
    existing = whole = folder
    try:
        existing = whole = folder if folder.is_absolute() else Path.cwd() / folder
        while not os.path.lexists(existing) and existing != existing.parent:  # a dangling link cannot be written either
            existing = existing.parent
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"0")
        free = shutil.disk_usage(existing).free
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return _finding(about, f"{existing} cannot be written: {reason}", problem=advice)
    made = "" if existing == whole else f" ({folder} will be made)"
    found, more = f"{existing}{made}: can be written, {free / 1e9:,.1f} GB free", f"free some space; or {advice}"
    problem, note = (more if free < least else "" for least in (_NO_SPACE, _LITTLE_SPACE))
    return _finding(about, found, problem=problem, note=note, figures={"free_bytes": free})


def _pictures() -> Iterator[Finding]:
    """Whether one can be drawn; with what the environment says of pictures, which they do not depend on."""
    from mlptrain.report.loading import BACKEND_VARIABLE, load_matplotlib

    advice = "`plot` and `report` will fail, and a comparison will have its tables alone: "
    try:
        left_out = load_matplotlib()
        from mlptrain.report.style import new_figure, picture_bytes

        figure = new_figure(2, 1)
        figure.add_subplot().plot([0, 1], label="drawn")
        sizes = {kind: len(picture_bytes(figure, kind)) for kind in ("png", "svg")}
    except Exception as error:
        yield _finding("pictures", _in_words(error), problem=advice + _REINSTALL.format("matplotlib"))
        return
    found = f"one drawn as PNG and SVG by matplotlib {_version('matplotlib')}"
    if backend := os.environ.get(BACKEND_VARIABLE):
        found += f"; {BACKEND_VARIABLE}={backend} is not used"
    note = f"fix {left_out} for programs of your own that draw; mlptrain does without" if left_out else ""
    yield _finding("pictures", found, note=note, figures=sizes)


def _self_training() -> Iterator[Finding]:
    from mlptrain.checks.known_training import EXPECTED_LOSS, STEPS, TOLERANCE, train_known_network

    try:
        trained = train_known_network(max_seconds=_MAX_SECONDS)
    except InterruptedRunError:
        yield _finding("self-training", f"not done after {_MAX_SECONDS:g} s, usually below 1 s", problem=_CROWDED)
        return
    slow = trained.seconds > _USUAL_SECONDS
    found = (
        f"loss {trained.loss:.6f} after {STEPS} steps in {trained.seconds:.1f} s on {trained.device}; float64 gives "
        f"{EXPECTED_LOSS:.6f}, threads and precision may change {TOLERANCE:.6f} of it"
    )
    problem, note = "" if trained.as_expected else _UNRELIABLE, f"usually below 1 s: {_CROWDED}" if slow else ""
    figures = {**asdict(trained), "expected": EXPECTED_LOSS, "tolerance": TOLERANCE}
    yield _finding("self-training", found, problem=problem, note=note, figures=figures)
