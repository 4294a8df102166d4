"""Kinds of files that hold tables, by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Format = Literal["auto", "csv", "parquet", "jsonl", "arff", "libsvm"]
_SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arff": "arff",
    ".libsvm": "libsvm",
    ".svm": "libsvm",
    ".svmlight": "libsvm",
    ".csv": "csv",
    ".tsv": "csv",
}
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")


def by_name(path: Path) -> str | None:
    """The kind of file that its name says, before that of an archive; None where it says none."""
    return _SUFFIXES.get(suffix_of(path))


def suffix_of(path: Path) -> str:
    """In small letters, without that of an archive."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _PACKED]
    return suffixes[-1] if suffixes else ""
