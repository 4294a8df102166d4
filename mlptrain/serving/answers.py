"""What is answered to rows, a table's text or an image, as JSON values. Everything is computed as `predict` does."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mlptrain.errors import DataError, UserError
from mlptrain.inference.module import TrainedNetwork
from mlptrain.inference.predict import predict_images, predict_raw
from mlptrain.inference.tables import predict_table
from mlptrain.serving.columns import Rows, check_numbers
from mlptrain.sources.tables.given import A_FRAME, FRAME

MAX_ROWS = 10_000  # of a request; one of 30 columns takes 3 MB of JSON at most


@dataclass(frozen=True)
class Answers:
    """A network, and ``columns`` of its rows; None where these are no table's."""

    network: TrainedNetwork
    columns: Rows | None

    @classmethod
    def of(cls, network: TrainedNetwork) -> Answers:
        """Answers of this network."""
        return cls(network, Rows.of(network) if network.experiment.facts.is_table else None)

    @property
    def takes_images(self) -> bool:
        """Whether image files can be predicted."""
        return self.network.image_shape is not None and self.network.maximum is not None

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of a row of numbers."""
        shape = self.network.image_shape
        return ((self.network.experiment.facts.n_features,), *([] if shape is None else [shape]))

    def example(self) -> list[Any]:
        """A row to begin with: usual values of a table's columns, else zeros."""
        if self.columns is None:
            return [[0.0] * self.shapes[0][0]]
        return [{field.name: field.example for field in self.columns.fields}]

    def of_rows(self, rows: Sequence[Any]) -> dict[str, Any]:
        """For rows as objects by column name, or as lists. Raises UserError that names the row, and the column."""
        if self.columns is not None:
            return self._of_table(self.columns.read(rows))
        check_numbers(rows, self.shapes)
        if len({len(row) for row in rows}) > 1:
            raise DataError("rows of different shapes: expected all as lists of numbers, or all as images")
        predictions = [self._named(one.as_json()) for one in predict_raw(self.network, rows)]
        return {"rows": len(rows), "missing": {}, "unseen": {}, "notes": [], "predictions": predictions}

    def of_several(self, requests: Sequence[Sequence[Any]]) -> list[dict[str, Any] | UserError]:
        """``of_rows`` for each of them, or what it raises. A table's are computed together if no value is notable.

        Reading a table of one row takes as long as one of a hundred.
        """
        if self.columns is not None and len(requests) > 1:
            with contextlib.suppress(UserError):
                found = self.of_rows([row for rows in requests for row in rows])
                if not found["notes"]:
                    left = iter(found["predictions"])
                    taken = [[next(left) | {"index": index} for index in range(len(rows))] for rows in requests]
                    return [found | {"rows": len(those), "predictions": those} for those in taken]
        answers: list[dict[str, Any] | UserError] = []
        for rows in requests:
            try:
                answers.append(self.of_rows(rows))
            except UserError as error:
                answers.append(error)
        return answers

    def of_csv(self, content: bytes) -> dict[str, Any]:
        """For the text of a table's file. Raises UserError, located."""
        if self.columns is None:
            raise DataError("CSV is read by networks that were trained on a table, which this one was not")
        with tempfile.TemporaryDirectory(prefix="mlptrain-") as folder:
            file = Path(folder, "rows.csv")
            file.write_bytes(content)
            try:
                return self._of_table(file)
            except UserError as error:
                raise DataError(str(error).replace(f"{folder}/", "")) from None

    def of_image(self, content: bytes, *, invert: bool | None = None, seen: bool = False) -> dict[str, Any]:
        """For the bytes of an image file; with ``seen`` also what the network saw of it. Raises UserError."""
        outcome = predict_images(self.network, [content], invert=invert)
        if outcome.faults:
            raise DataError(outcome.faults[0])
        [one] = outcome.predictions
        if blank := [note for note in one.notes if note.startswith("blank")]:
            raise DataError(f"the image is {blank[0]}")
        beside = {"inverted": one.inverted, "notes": list(one.notes)}
        predictions = [self._named(one.as_json() | {"index": 0}) | beside]
        if seen:
            predictions[0] |= {"seen": one.as_json(seen=True)["seen"]}
        return {"rows": 1, "missing": {}, "unseen": {}, "notes": [], "predictions": predictions}

    @torch.inference_mode()
    def _of_table(self, data: Any) -> dict[str, Any]:
        try:
            found = predict_table(self.network.checkpoint, data, compute=self.network)
        except DataError as error:
            raise DataError(str(error).replace(f"{FRAME}, row", "row").replace(str(FRAME), "the request")) from None
        if len(found) > MAX_ROWS:
            raise DataError(f"{len(found):,} rows: at most {MAX_ROWS:,} are predicted at once")
        return {
            "rows": len(found),
            "missing": found.missing,
            "unseen": found.unseen,
            "notes": [note for note in found.notes if note != A_FRAME],
            "predictions": [self._named(row) for row in found.rows()],
        }

    def _named(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A prediction with the keys of `mlptrain predict --json`, its numbers by their names."""
        shown = {"index": row["index"]}
        if not self.network.class_names:
            return shown | {"values": dict(zip(self.network.experiment.value_names, row["outputs"], strict=True))}
        shown |= {key: row[key] for key in ("class", "name", "confidence") if row[key] is not None}
        kind = "outputs" if row["probabilities"] is None else "probabilities"
        return shown | {kind: dict(zip(self.network.class_names, row[kind], strict=True))}
