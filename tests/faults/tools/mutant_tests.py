"""Which tests are most likely to notice a change to a module."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[3]
FAULTS = "tests/faults/"
FOLDERS = ["tests/runs", FAULTS + "test_run_folder_files.py", "tests/test_experiment.py", "tests/test_cli.py"]
COMPARISON = [f"tests/spec/test_comparison{part}.py" for part in ("_broken", "", "_options", "_grids", "_warnings")]
SPEC = [f"tests/spec/test_{part}.py" for part in ("broken", "overrides", "derived", "dump", "warnings", "reader")]
LATER = ["tests/spec/test_schema.py", "tests/spec/test_comparison_schema.py", FAULTS + "test_yaml_files.py"]
TESTS: dict[str, list[str]] = {  # a module, or what its path begins with, and the tests most likely to notice
    "mlptrain/experiment/checkpoints.py": ["tests/training/test_checkpoints.py", FAULTS + "test_forged_checkpoints.py",
                                         FAULTS + "test_checkpoint_files.py"],
    "mlptrain/system/lock.py": ["tests/runs", FAULTS + "test_two_at_once.py"],
    "mlptrain/runs/log.py": [*FOLDERS, FAULTS + "test_disk.py"],
    "mlptrain/system/disk.py": [FAULTS + "test_disk.py", FAULTS + "test_disk_gone.py"],
    "mlptrain/system/atomic.py": ["tests/training/test_checkpoints.py", "tests/runs", FAULTS + "test_disk.py"],
    "mlptrain/runs/folder.py": [*FOLDERS, FAULTS + "test_disk.py"],
    "mlptrain/runs/comparison.py": ["tests/report/test_comparison_command.py", FAULTS + "test_comparison_files.py",
                                    "tests/report/test_comparison_files.py", "tests/comparison/test_folder.py"],
    "mlptrain/runs/": FOLDERS,
    "mlptrain/spec/comparison/candidates.py": [*COMPARISON, *LATER],
    "mlptrain/spec/comparison/grids.py": [*reversed(COMPARISON), *LATER],
    "mlptrain/spec/comparison/": [*COMPARISON, *LATER, "tests/comparison/test_plan.py"],
    "mlptrain/spec/starter.py": ["tests/test_configs.py", "tests/test_cli.py"],
    "mlptrain/spec/summary.py": ["tests/test_cli.py", "tests/test_experiment.py"],
    "mlptrain/spec/overrides.py": ["tests/spec/test_overrides.py", *SPEC, *COMPARISON, *LATER],
    "mlptrain/spec/": [*SPEC, *COMPARISON, *LATER, "tests/test_configs.py"],
}  # fmt: skip


def modules_of(root: Path) -> list[str]:
    """The modules of the package in ``root`` that the table names or whose folder it names."""
    names = [path.relative_to(root).as_posix() for path in sorted((root / "mlptrain").rglob("*.py"))]
    return [name for name in names if name.startswith(tuple(TESTS))]


def tests_of(file: str) -> list[str]:
    """The tests of a module, each once, the most likely first."""
    found = next(tests for start, tests in TESTS.items() if file.startswith(start))
    return [test for test in dict.fromkeys(found) if (ROOT / test).exists()]
