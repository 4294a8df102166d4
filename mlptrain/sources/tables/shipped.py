"""Tables that need no file of the user's: penguins, shipped with this package, and those of scikit-learn.

``penguins.csv`` beside this file is that of the palmerpenguins package (Horst, Hill & Gorman, 2020), CC0: 344 penguins
of three species, measured at Palmer Station, Antarctica, by Kristen Gorman and the Palmer Station LTER.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlptrain.errors import DataError
from mlptrain.sources.bundled import bundled_file

if TYPE_CHECKING:
    import polars as pl

    from mlptrain.sources.tables.table import Table

# Names of the columns as scikit-learn's loaders give them; its files have none.
_WINE = [
    "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids",
    "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline",
]  # fmt: skip
_NUCLEUS = "radius,texture,perimeter,area,smoothness,compactness,concavity,concave points,symmetry,fractal dimension"
_BREAST_CANCER = [form.format(name) for form in ("mean {}", "{} error", "worst {}") for name in _NUCLEUS.split(",")]
_DIABETES = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]


@dataclass(frozen=True)
class Shipped:
    """An installed table: its files, the target that it is known for, and how its files become a frame.

    ``frame`` None: they are read as any table.
    """

    target: str
    names: tuple[str, ...]
    frame: Callable[[list[Path]], pl.DataFrame] | None = None

    def files(self) -> tuple[str, ...]:
        """Their absolute paths. Raises DataError where this version of scikit-learn keeps them elsewhere."""
        if self.frame is None:
            return tuple(str(Path(__file__).parent / name) for name in self.names)
        found = {name: bundled_file(name) for name in self.names}
        if lacking := [name for name, path in found.items() if path is None]:
            raise DataError(f"this version of scikit-learn does not bring {lacking[0]} along; install another one")
        return tuple(map(str, found.values()))

    def read(self) -> Table:
        """The rows. Raises DataError where a file is not what it should be."""
        from mlptrain.sources.tables.read import read_table
        from mlptrain.sources.tables.table import Part, Table

        files = list(map(Path, self.files()))
        if self.frame is None:
            return read_table(files)
        try:
            frame = self.frame(files)
            digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"cannot read {files[0]}: {error}. Reinstall scikit-learn.") from None
        return Table(frame, True, (Part(files[0], frame.height),), digest=digest)


def _labelled(columns: list[str], target: str) -> Callable[[list[Path]], pl.DataFrame]:
    """A file whose first line is rows, columns and the names of the classes, whose numbers end the other lines."""

    def frame(files: list[Path]) -> pl.DataFrame:
        import polars as pl

        with files[0].open(encoding="utf-8", newline="") as stream:
            (_, _, *classes), *rows = csv.reader(stream)
        of_columns = list(zip(*rows, strict=True))
        numbers = [pl.Series(name, map(float, of)) for name, of in zip(columns, of_columns[:-1], strict=True)]
        return pl.DataFrame([*numbers, pl.Series(target, [classes[int(label)] for label in of_columns[-1]])])

    return frame


def _diabetes(files: list[Path]) -> pl.DataFrame:
    import polars as pl

    of_files = [gzip.decompress(path.read_bytes()).decode().split("\n") for path in files]
    rows = [
        list(map(float, f"{inputs} {target}".split()))
        for inputs, target in zip(*of_files, strict=True)
        if inputs.strip()
    ]
    return pl.DataFrame(rows, schema=[*_DIABETES, "progression"], orient="row")


SHIPPED = {
    "penguins": Shipped("species", ("penguins.csv",)),
    "wine": Shipped("cultivar", ("wine_data.csv",), _labelled(_WINE, "cultivar")),
    "breast_cancer": Shipped("diagnosis", ("breast_cancer.csv",), _labelled(_BREAST_CANCER, "diagnosis")),
    "diabetes": Shipped("progression", ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"), _diabetes),
}
