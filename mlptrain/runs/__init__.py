"""A run folder: create, append, finish, read, list. Nothing here loads torch."""

from mlptrain.runs.atomic import write_atomically
from mlptrain.runs.folder import RunFolder, RunLog, machine_errors
from mlptrain.runs.listing import RunSummary, describe_model, describe_optimizer, list_runs

__all__ = [
    "RunFolder",
    "RunLog",
    "RunSummary",
    "describe_model",
    "describe_optimizer",
    "list_runs",
    "machine_errors",
    "write_atomically",
]
