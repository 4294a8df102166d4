"""Arguments and options of the commands, each defined once, and what the shell completes for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from glob import escape
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from mlptrain.errors import UserError
from mlptrain.keys import SPLITS
from mlptrain.seeds import seed_range

SEEDS = "N,N,...|N..N"  # how --seeds is written
_MAX_SEED = 2**63 - 1


def complete_config(incomplete: str) -> list[str]:
    """YAML files whose path begins so, also in the folders whose name does; the shell itself knows all other files."""
    return _matching(incomplete, "*.yaml", "*.yml", "*/*.yaml", "*/*.yml")


def complete_run(incomplete: str) -> list[str]:
    """Folders of runs, groups of runs, comparisons and searches whose path begins so, a folder further down too."""
    marks = ("resolved.yaml", "seeds.json", "folds.json", "plan.yaml", "search.yaml")
    files = _matching(incomplete, *(f"{folder}/{mark}" for mark in marks for folder in ("*", "*/*")))
    return sorted({str(Path(path).parent) for path in files})


def complete_data(incomplete: str) -> list[str]:
    """Data sets that can be fetched or verified."""
    from mlptrain.sources.published import IMAGE_DATASETS

    return [name for name in IMAGE_DATASETS if name.startswith(incomplete)]


def _matching(incomplete: str, *patterns: str) -> list[str]:
    root = Path(incomplete).anchor
    start = escape(incomplete.removeprefix(root))
    return sorted(str(path) for pattern in patterns for path in Path(root).glob(start + pattern))


def _argument(metavar: str, about: str, complete: Callable[[str], list[str]]) -> Any:
    return typer.Argument(metavar=metavar, help=about, show_default=False, autocompletion=complete)


Config = Annotated[Path, _argument("CONFIG", "A configuration, e.g. configs/digits.yaml.", complete_config)]
ConfigOrRun = Annotated[
    Path,
    _argument(
        "CONFIG_OR_RUN",
        "A configuration, or a run folder or checkpoint file with trained weights.",
        lambda incomplete: sorted({*complete_config(incomplete), *complete_run(incomplete)}),
    ),
]
Configs = Annotated[list[Path], _argument("CONFIG...", "Configurations.", complete_config)]
Run = Annotated[Path, _argument("RUN", "A run folder or a checkpoint file.", complete_run)]
OneRun = Annotated[Path, _argument("RUN", "A run folder.", complete_run)]
Checkpoints = Annotated[list[Path], _argument("RUN...", "Run folders or checkpoint files.", complete_run)]
Runs = Annotated[
    list[Path], _argument("RUN", "Run folders; that of `train --seeds` or `--folds` stands for its runs.", complete_run)
]
Curves = Annotated[
    list[Path], _argument("RUN", "Run folders, and groups of `train --seeds` or `--folds`.", complete_run)
]
RunOrComparison = Annotated[
    Path, _argument("RUN_OR_COMPARISON", "The folder of a run, a group, a comparison or a search.", complete_run)
]
DataName = Annotated[str, _argument("NAME", "mnist, fashion_mnist or digits.", complete_data)]
Set = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, e.g. optimizer.lr=0.1. May be repeated."),
]
Logs = Annotated[
    list[str],
    typer.Option(
        "--log",
        metavar="<tensorboard|mlflow>",
        help="Show the training live in TensorBoard, from the run folder or with tensorboard:FOLDER from there, or in "
        "MLflow; with --resume too. May be repeated.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        help="train, validation or test; default test, else validation, else train.",
        autocompletion=lambda: list(SPLITS),
    ),
]
DataDir = Annotated[
    Path | None, typer.Option(help="The folder of data sets; default $MLPTRAIN_DATA_DIR, else the user's cache folder.")
]


def _allow_code(context: typer.Context, allow: bool) -> bool:
    """Let modules that a configuration names be imported until the command ends; otherwise none are."""
    if allow:
        from mlptrain.spec.foreign import code_allowed

        context.with_resource(code_allowed())
    return allow


AllowCode = Annotated[  # no command has to read it
    bool,
    typer.Option(
        "--allow-code",
        callback=_allow_code,
        help="Import the optimizer that the file names by an import path. Only for code that you trust.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def seeds_without_clash(seeds: str | None, overrides: Sequence[str]) -> list[int] | None:
    """The seeds that ``--seeds`` names; None without it. Raises UserError where ``--set`` names one too."""
    if seeds is None:
        return None
    numbers = parse_seeds(seeds)
    if clash := [text for text in overrides if text.partition("=")[0].strip() == "seed"]:
        raise UserError(f"--set {clash[0]} conflicts with --seeds {seeds}; name every seed in --seeds")
    return numbers


def parse_seeds(text: str) -> list[int]:
    """The seeds in ``0,1,2``, ``0..99`` or ``0-4,7``. Raises UserError for anything else, with the parts at fault."""
    from mlptrain.spec.comparison.sections import MAX_SEEDS

    expected = (
        "expected whole numbers from 0 to 2^63 - 1 with commas between them, or ranges, the lower end first: "
        "--seeds 0,1,2 or 0..99"
    )
    parts = [part.strip() for part in text.split(",")]
    ranges = [seed_range(part) for part in parts]
    if bad := [part for part, seeds in zip(parts, ranges, strict=True) if not seeds or seeds.stop - 1 > _MAX_SEED]:
        are = "is not a seed" if len(bad) == 1 else "are not seeds"
        raise UserError(f"--seeds: {_first_few(bad)} {are}; {expected}")
    if (count := sum(seeds.stop - seeds.start for seeds in ranges)) > MAX_SEEDS:
        raise UserError(f"--seeds names {count:,} seeds, and at most {MAX_SEEDS:,} are taken at once; name fewer")
    listed = list(chain.from_iterable(ranges))
    if twice := [seed for seed, times in Counter(listed).items() if times > 1]:
        raise UserError(f"--seeds: {_first_few(twice)}: named more than once; name every seed once")
    return listed


def _first_few(values: Sequence[object]) -> str:
    return ", ".join([f"'{value}'" for value in values[:5]] + (["…"] if len(values) > 5 else []))


def output_file(out: Path | None, *, default: Path, what: str, suffixes: Sequence[str]) -> Path:
    """The file for a ``what``, asked before anything is computed.

    Raises UserError where no such file can be: another suffix, a folder of that name, or no folder to put it in.
    """
    path = out or default
    if path.suffix.lower() not in suffixes:
        raise UserError(f"--out {path}: a {what}'s file ends in {' or '.join(suffixes)}, not in '{path.suffix}'")
    if path.is_dir():
        raise UserError(f"--out {path} is a folder; name a file")
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: there is no folder {path.parent}; make it first")
    return path
