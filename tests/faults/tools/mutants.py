"""Takes protections out, one at a time, and sees whether a test notices: python tests/faults/tools/mutants.py

A seeded sample of small changes to the code of checkpoints, run folders and specifications (comparisons swapped,
conditions negated, constants changed, statements and arguments left out) is made in copies of the package in a
temporary folder; the working tree is only read. Each mutant meets the tests of its module. What survives is listed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
# By its own folder: were the package `tests` loaded here, the copies would run the tests of the working tree.
mutant_tests = importlib.import_module("mutant_tests")
tests_of = mutant_tests.tests_of
CPU_SECONDS = 120  # of one mutant; the longest list of tests takes a third of that
HEAVY = ("torch", "numpy", "scipy", "sklearn.metrics", "PIL.Image", "pytest", "hypothesis", "safetensors.torch",
         "pydantic", "yaml", "typer.testing", "rich.table", "jsonschema", "matplotlib.figure")  # fmt: skip
COMPARES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
SUMS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the text from ``start`` to ``end`` (bytes) of a file becomes ``new``."""

    file: str
    line: int
    kind: str
    old: str
    new: str
    start: int
    end: int


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What may become of a node."""
    if isinstance(node, ast.Compare):
        swapped = copy.deepcopy(node)
        swapped.ops[0] = COMPARES[type(node.ops[0])]()
        yield "comparison", swapped
    elif isinstance(node, ast.BoolOp):
        yield "and/or", ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.BinOp) and type(node.op) in SUMS:
        yield "arithmetic", ast.BinOp(node.left, SUMS[type(node.op)](), node.right)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield "constant", ast.Constant(not node.value)
        elif isinstance(node.value, (int, float)):
            yield "constant", ast.Constant(node.value + 1)
        elif isinstance(node.value, str) and node.value.isidentifier():
            yield "constant", ast.Constant(node.value + "_")
    elif isinstance(node, ast.Call) and len(node.args) + len(node.keywords) > 1:
        shorter = copy.deepcopy(node)
        shorter.keywords.pop() if shorter.keywords else shorter.args.pop()
        yield "argument dropped", shorter
    elif isinstance(node, (ast.If, ast.IfExp, ast.While)):
        yield "condition negated", ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.comprehension) and node.ifs:
        yield "condition negated", ast.UnaryOp(ast.Not(), node.ifs[0])
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield "statement deleted", ast.Constant(None)
    elif isinstance(node, (ast.Raise, ast.Break, ast.Continue)) or _is_call(node):
        yield "statement deleted", ast.Pass()


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def mutants_of(root: Path, file: str) -> list[Mutant]:
    """Every change to a file: not to docstrings, messages, or annotations that nothing reads."""
    text = (root / file).read_text(encoding="utf-8")
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    found = []
    for node in _nodes(ast.parse(text)):
        for kind, changed in changes(node):
            place = _place(node)
            start = starts[place.lineno - 1] + place.col_offset
            end = starts[(place.end_lineno or 0) - 1] + (place.end_col_offset or 0)
            new = ast.unparse(ast.fix_missing_locations(changed))
            new = new if isinstance(changed, ast.Pass) else f"({new})"
            old = text.encode()[start:end].decode()
            found.append(Mutant(file, place.lineno, kind, " ".join(old.split()), new, start, end))
    return found


def _place(node: ast.AST) -> ast.expr | ast.stmt:
    """The part of a node that is replaced."""
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        return node.test
    if isinstance(node, ast.comprehension):
        return node.ifs[0]
    if isinstance(node, ast.Return):
        assert node.value is not None
        return node.value
    assert isinstance(node, (ast.expr, ast.stmt))
    return node


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    for name, value in ast.iter_fields(node):
        if name == "returns" or (name == "annotation" and isinstance(node, ast.arg)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, (ast.JoinedStr, ast.Import, ast.ImportFrom)):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue  # a docstring
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            yield child
            yield from _nodes(child)


def run_tests(root: Path, tests: Sequence[str], log: Path, *, cpu_seconds: int = CPU_SECONDS) -> str:
    """killed, survived or timeout, from a child of this process, which has the heavy imports behind it."""
    child = os.fork()
    if child == 0:
        code = 3
        try:
            code = _pytest_in(root, tests, log, cpu_seconds)
            sys.stdout.flush()
        finally:
            os._exit(code)
    ended, status, waited = 0, 0, 0.0
    while not ended and waited < 2 * cpu_seconds:
        time.sleep(0.1)
        waited += 0.1  # not by the clock: time in which everything is stopped is none
        ended, status = os.waitpid(child, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what the tests left behind, too
    if not ended:
        os.waitpid(child, 0)
    if not ended or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return "timeout"
    return "survived" if status == 0 else "killed"


def _pytest_in(root: Path, arguments: Sequence[str], log: Path, cpu_seconds: int) -> int:
    left_out = [argument for argument in arguments if argument.startswith("-")]
    tests = [argument for argument in arguments if argument not in left_out]
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(root)
    sys.path.insert(0, str(root))
    import hypothesis
    import pytest

    # A property needs few examples to be seen broken, and nobody reads the smallest counter-example.
    first = hypothesis.settings.__init__

    def fewer(self: hypothesis.settings, *parent: object, **values: Any) -> None:
        first(self, *parent, **{**values, "max_examples": min(values.get("max_examples", 25), 25)})  # type: ignore[arg-type]

    hypothesis.settings.__init__ = fewer  # type: ignore[method-assign]
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("few", phases=phases, database=None, deadline=None)
    hypothesis.settings.load_profile("few")
    quiet = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", f"--rootdir={root}"]
    loaded = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # that a plugin is among what is loaded already
    # The first file alone: most mutants fall there, and collecting the others takes longer than running it.
    code = int(pytest.main([*quiet, *loaded, *tests[:1], *left_out]))
    return code or int(pytest.main([*quiet, *loaded, *tests[1:], *left_out]) if tests[1:] else 0)


def outcome_of(root: Path, mutant: Mutant, tests: Sequence[str], log: Path) -> str:
    """Write the mutant into the copy, run its tests, put the original back."""
    path = root / mutant.file
    original, times = path.read_bytes(), path.stat()
    path.write_bytes(original[: mutant.start] + mutant.new.encode() + original[mutant.end :])
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()
    try:
        return run_tests(root, tests, log)
    finally:
        path.write_bytes(original)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def copy_of_all(root: Path, folder: Path) -> Path:
    """What the tests need, with its compiled files."""
    for name in ("mlptrain", "tests", "configs"):
        shutil.copytree(root / name, folder / name)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy2(root / name, folder / name)
    return folder


def failing_tests(root: Path, files: Sequence[str]) -> list[str]:
    """The tests that fail on the code as it is, and so can say nothing."""
    log = root / "log"
    wanted = dict.fromkeys(test for file in files for test in tests_of(file))
    if run_tests(root, [*wanted, "--maxfail=1000"], log, cpu_seconds=10 * CPU_SECONDS) == "survived":
        return []
    found = re.findall(r"^(?:FAILED|ERROR) (\S+?::.+?|\S+)(?: - .*)?$", log.read_text(), flags=re.MULTILINE)
    if not found:
        raise SystemExit(log.read_text())
    for test in found:
        print(f"left out, since it fails without any change: {test}", flush=True)
    return found


def work(number: int, jobs: int, chosen: Sequence[Mutant], failing: list[str], folder: Path, results: object) -> None:
    """Every ``jobs``-th mutant, in a copy of this worker's own."""
    root = copy_of_all(folder / "original", folder / str(number))
    for mutant in chosen[number::jobs]:
        tests = tests_of(mutant.file) + [f"--deselect={test}" for test in failing]
        results.put((mutant, outcome_of(root, mutant, tests, folder / f"log-{number}")))  # type: ignore[attr-defined]


def main() -> int:
    """Make the mutants, print and write what became of them; 1 where fewer than 80 % were noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("mutants.json"))
    parser.add_argument("--trust", action="store_true", help="do not run the tests on the code as it is first")
    options = parser.parse_args()
    os.environ.pop("MLPTRAIN_DATA_DIR", None)  # no test of these modules needs real data
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in HEAVY:
        importlib.import_module(name)
    outcomes: list[tuple[Mutant, str]] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        original = copy_of_all(ROOT, folder / "original")  # whoever edits the tree meanwhile changes nothing here
        everything = [mutant for file in mutant_tests.modules_of(original) for mutant in mutants_of(original, file)]
        chosen = random.Random(options.seed).sample(everything, min(options.count, len(everything)))
        print(f"{len(chosen)} of {len(everything)} mutants, seed {options.seed}", flush=True)
        failing = [] if options.trust else failing_tests(original, sorted({mutant.file for mutant in chosen}))
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        arguments = (options.jobs, chosen, failing, folder, results)
        workers = [context.Process(target=work, args=(number, *arguments)) for number in range(options.jobs)]
        for worker in workers:
            worker.start()
        for number in range(1, len(chosen) + 1):
            mutant, outcome = results.get()
            outcomes.append((mutant, outcome))
            print(f"{number:4} {outcome:9} {mutant.file}:{mutant.line}  {mutant.kind}: {mutant.old[:70]} -> "
                  f"{mutant.new[:70]}", flush=True)  # fmt: skip
            options.out.write_text(json.dumps([{**asdict(one), "outcome": what} for one, what in outcomes], indent=1))
        for worker in workers:
            worker.join()
    counts = Counter(outcome for _, outcome in outcomes)
    print(f"killed {counts['killed']}, out of time {counts['timeout']}, survived {counts['survived']}")
    for mutant, outcome in sorted(outcomes, key=lambda one: (one[0].file, one[0].line)):
        if outcome == "survived":
            print(f"{mutant.file}:{mutant.line}  {mutant.kind}: {mutant.old} -> {mutant.new}")
    return int(counts["survived"] > 0.2 * len(outcomes))


if __name__ == "__main__":
    sys.exit(main())
