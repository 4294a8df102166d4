"""A run folder: create, append, finish, read, list. Nothing here loads torch."""

from mlptrain.runs.folder import RunFolder, is_comparison, runs_of_seeds
from mlptrain.runs.group import SeedGroup
from mlptrain.runs.listing import RunSummary, list_runs
from mlptrain.runs.log import RunLog
from mlptrain.system.atomic import write_atomically
from mlptrain.system.disk import machine_errors

__all__ = [
    "RunFolder",
    "RunLog",
    "RunSummary",
    "SeedGroup",
    "is_comparison",
    "list_runs",
    "machine_errors",
    "runs_of_seeds",
    "write_atomically",
]
