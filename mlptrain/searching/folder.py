"""A search's folder while it is written: it takes more trials, and tells which settings read test rows."""

from __future__ import annotations

from collections.abc import Sequence

from mlptrain.comparison.folder import StudyFolder
from mlptrain.comparison.records import read_batches, read_content
from mlptrain.errors import RunFolderError
from mlptrain.runs.search import SearchFiles
from mlptrain.runs.trials import TrialRecord
from mlptrain.spec.reader import parse
from mlptrain.system.atomic import write_atomically
from mlptrain.system.lock import LockedFolder


class SearchFolder(SearchFiles, StudyFolder):
    """Files and records of a search."""

    def _check_plan(self, content: bytes) -> None:
        if self._differences(content) == ["trials"]:
            self._extend(content)
        super()._check_plan(content)

    def _extend(self, content: bytes) -> None:
        """Take another number of trials. Raises RunFolderError for fewer than are on record."""
        wanted = parse(content.decode(), source="").value["trials"]
        with LockedFolder(self.path):
            if (tried := self._tried()) > wanted:
                raise RunFolderError(
                    f"{self.path} has {tried:,} trials on record, more than trials: {wanted:,} asks for; set trials to "
                    f"{tried:,} or more, or name a new folder with --run-dir"
                )
            self.summary.unlink(missing_ok=True)  # of the search as it was; its trials stay on record
            write_atomically(self.plan, content)

    def _tried(self) -> int:
        """How many trials are on record; of a search that has not ended yet, each setting counts once."""
        try:
            return self.read_summary().asked
        except RunFolderError:
            batches = read_batches(read_content(self.trials), path=self.trials).values()
            return len({record.trial for batch in batches for record in batch if record.role == "tuning"})

    @property
    def tested(self) -> list[TrialRecord]:
        """The records of trials that were measured on test rows."""
        return [record for record in self._records if record.is_tested]

    def sort(self, order: Sequence[str]) -> None:
        """As of any study, without batches that are no longer wanted. Raises OSError.

        Those are left out whose trials all stand in other ones, and those that scored a setting which is no longer the
        chosen one, unless they read test rows: that these were read stays on record.
        """
        known = set(order)
        trained = {record.trial for name in known & self._batches.keys() for record in self._batches[name]}
        self._batches = {
            name: batch
            for name, batch in self._batches.items()
            if name in known
            or any(record.is_tested for record in batch)
            or (batch[0].role == "tuning" and not trained.issuperset(record.trial for record in batch))
        }
        super().sort(order)
