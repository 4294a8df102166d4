"""A run folder: create, append, finish, read, list. Nothing here loads torch."""

from mlptrain.runs.folder import RunFolder, member_word, runs_of_group
from mlptrain.runs.group import FoldGroup, RunGroup, SeedGroup
from mlptrain.runs.listing import RunSummary, list_runs, list_studies, sort_runs
from mlptrain.runs.log import RunLog

__all__ = [
    "FoldGroup",
    "RunFolder",
    "RunGroup",
    "RunLog",
    "RunSummary",
    "SeedGroup",
    "list_runs",
    "list_studies",
    "member_word",
    "runs_of_group",
    "sort_runs",
]
