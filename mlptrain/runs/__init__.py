"""A run folder: create, append, finish, read, list. Nothing here loads torch."""

from mlptrain.runs.folder import RunFolder, is_comparison, runs_of_seeds
from mlptrain.runs.group import SeedGroup
from mlptrain.runs.listing import RunSummary, list_runs, sort_runs
from mlptrain.runs.log import RunLog

__all__ = [
    "RunFolder",
    "RunLog",
    "RunSummary",
    "SeedGroup",
    "is_comparison",
    "list_runs",
    "runs_of_seeds",
    "sort_runs",
]
