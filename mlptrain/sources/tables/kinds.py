"""Kinds of files that hold tables, by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Format = Literal["auto", "csv", "parquet", "jsonl", "arff", "libsvm"]
_SUFFIXES = {
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet", ".pq"),
    "jsonl": (".jsonl", ".ndjson"),
    "arff": (".arff",),
    "libsvm": (".libsvm", ".svm", ".svmlight"),
}
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")


def by_name(path: Path) -> str | None:
    """The kind of file that its name says, before that of an archive; None where it says none."""
    return next((kind for kind, suffixes in _SUFFIXES.items() if suffix_of(path) in suffixes), None)


def suffix_of(path: Path) -> str:
    """In small letters, without that of an archive."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _PACKED]
    return suffixes[-1] if suffixes else ""
