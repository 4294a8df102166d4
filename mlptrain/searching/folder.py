"""A search's folder while it is written, as a comparison's: the plan, every trial's record, the summary last.

What lies in it is listed in ``mlptrain.runs.search``.
"""

from __future__ import annotations

from pathlib import Path

from mlptrain.comparison.folder import ComparisonFolder
from mlptrain.runs.search import SearchFiles, SearchSummary, SearchTimings
from mlptrain.spec.search.load import check_format
from mlptrain.system.atomic import write_atomically


class SearchFolder(ComparisonFolder):
    """Files and records of a search. Use as a context: it is locked while trials run."""

    what = "search"
    check_format = staticmethod(check_format)

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._files = SearchFiles(path)
        self.plan = self._files.plan

    def write_result(self, results: SearchSummary | SearchTimings) -> None:
        """Write a summary, or the seconds. Raises OSError."""
        self._files.write(results)

    def write_best(self, text: str) -> None:
        """Write the chosen setting as an experiment's file. Raises OSError."""
        write_atomically(self._files.best, text.encode())

    def read_search_timings(self) -> SearchTimings:
        """The seconds so far. Raises RunFolderError for a damaged file."""
        return self._files.read_timings()
