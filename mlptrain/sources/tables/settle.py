"""What columns of text hold after all: dates, numbers with thousands separators or decimal commas; and narrow types."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from mlptrain.system.text import printable

_TIMES = ("%H:%M:%S%.f", "%H:%M:%S", "%H:%M")
_TIMES_OF_HALF_DAYS = ("%I:%M:%S %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p")
# What a value must look like, and the formats that may then be meant, in turn.
_DATES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"^\d{4}-\d{1,2}-\d{1,2}", ("%Y-%m-%d",)),
    (r"^\d{4}/\d{1,2}/\d{1,2}", ("%Y/%m/%d",)),
    (r"^\d{4}\.\d{1,2}\.\d{1,2}", ("%Y.%m.%d",)),
    (r"^\d{1,2}\.\d{1,2}\.\d{4}", ("%d.%m.%Y",)),
    (r"^\d{1,2}/\d{1,2}/\d{4}", ("%d/%m/%Y", "%m/%d/%Y")),
    (r"^\d{1,2}-\d{1,2}-\d{4}", ("%d-%m-%Y", "%m-%d-%Y")),
    (r"^\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{4}", ("%d-%b-%Y", "%d %b %Y", "%d-%B-%Y", "%d %B %Y")),
    (r"^[A-Za-z]{3,9} \d{1,2}, \d{4}", ("%b %d, %Y", "%B %d, %Y")),
)
_BLANK = r"[ \x{00a0}\x{202f}]"
_SIGNS = ("%", "$", "€", "£", "¥")
_MIN_NUMBERS = 0.5  # share of the values; a column of text with as many numbers has some faults in it
_MAX_FAULTS, _MAX_MARKS = 0.05, 3  # share of texts that may be mistakes, and different marks of missing values
# What groups digits, as a pattern and in a word, the shape of all values, and a shape of which one decides: nothing but
# thousands can be meant by two groups of three digits, or by one and decimals.
_GROUPED = (
    ("[,]", "commas", r"^[+-]?\d{1,3}(?:,\d{3})*(?:\.\d+)?$", r"^[+-]?\d{1,3}(?:,\d{3}){2,}|,\d{3}\."),
    ("[.]", "points", r"^[+-]?\d{1,3}(?:\.\d{3})*(?:,\d+)?$", r"^[+-]?\d{1,3}(?:\.\d{3}){2,}|\.\d{3},"),
    (_BLANK, "blanks", rf"^[+-]?\d{{1,3}}(?:{_BLANK}\d{{3}})*(?:[.,]\d+)?$", rf"\d{_BLANK}\d{{3}}"),
    ("['’]", "apostrophes", r"^[+-]?\d{1,3}(?:['’]\d{3})*(?:\.\d+)?$", r"\d['’]\d{3}"),
)


@dataclass(frozen=True)
class Settled:
    """A column, a note about it or "", and the format of its dates or ""."""

    values: pl.Series
    note: str = ""
    date_format: str = ""


def settle(values: pl.Series, *, decimal_comma: bool, where: Callable[[int], str], date_format: str = "") -> Settled:
    """A column of text as the dates or numbers that all its values are, else unchanged.

    ``date_format`` is that of the same column of an earlier table. ``where`` gives the place of a row.
    """
    if values.null_count() == values.len():
        return Settled(values)
    if date_format:
        dated = as_date(values, date_format)
        return Settled(dated, date_format=date_format) if dated is not None else Settled(values)
    first = str(values[values.is_not_null().arg_max() or 0])
    if not any(letter.isdigit() for letter in first) and not _share_of_numbers(values) >= _MIN_NUMBERS:
        return Settled(values)
    found = _dates(values) or _numbers(values, decimal_comma) or _amounts(values, decimal_comma)
    return found or Settled(values, _note(values, where))


def _dates(values: pl.Series) -> Settled | None:
    name = printable(values.name)
    first = values[values.is_not_null().arg_max() or 0]
    for shape, formats in _DATES:
        if not pl.Series([first]).str.contains(shape).item():
            continue
        fitting = []
        for date in formats:
            for format_ in _with_times(date):
                dated = as_date(values, format_)
                if dated is not None:
                    fitting.append((dated, format_))
                    break
        if len(fitting) > 1 and not fitting[0][0].equals(fitting[1][0]):
            return Settled(
                values,
                f"column '{name}' is text: '{printable(first)}' may be day/month or month/day, and no value decides; "
                "write dates as year-month-day",
            )
        if fitting:
            dated, format_ = fitting[0]
            kind = "dates" if dated.dtype == pl.Date else "dates with times"
            return Settled(dated, f"column '{name}': {kind}, {format_}", format_)
    return None


def _with_times(date: str) -> list[str]:
    times = [f"{date}{between}{time}{zone}" for between in ("T", " ") for time in _TIMES for zone in ("", "%#z", "Z")]
    return [date, *times, *(f"{date} {time}" for time in _TIMES_OF_HALF_DAYS)]


def as_date(values: pl.Series, format_: str) -> pl.Series | None:
    """Text as dates of a format, in UTC where it has time zones; None where a value is not one."""
    sample = values.drop_nulls().head(1)
    for part in (sample, values):
        if "%H" not in format_ and "%I" not in format_:
            dated = part.str.to_date(format_, strict=False, exact=True)
        elif "%#z" in format_:
            dated = part.str.to_datetime(format_, strict=False, time_unit="us", time_zone="UTC")
            dated = dated.dt.replace_time_zone(None)
        else:
            dated = part.str.to_datetime(format_, strict=False, time_unit="us", exact=True)
        if dated.null_count() > part.null_count():
            return None
    assert isinstance(dated, pl.Series)
    return dated


def _numbers(values: pl.Series, decimal_comma: bool) -> Settled | None:
    """Numbers that polars does not read as such, where no value leaves a doubt."""
    name, rows = printable(values.name), values.len() - values.null_count()
    plain = values.cast(pl.Float64, strict=False)
    if plain.count() == rows and not decimal_comma:  # of a file with types: a text file's are numbers already
        if values.str.contains(r"^[+-]?0\d").any():
            return None  # codes, such as postal ones
        whole = values.cast(pl.Int64, strict=False)
        return Settled(whole if whole.count() == rows else plain, f"column '{name}': texts that are all numbers")
    if plain.count() == rows:
        grouped = values.str.contains(r"^[+-]?\d{1,3}(?:\.\d{3})+$").sum()
        if grouped == values.str.contains(".", literal=True).sum():
            bare = values.str.replace_all(".", "", literal=True)
            return Settled(bare.cast(pl.Float64), f"column '{name}': points group thousands")
        return Settled(plain, f"column '{name}': decimal points, unlike other columns")
    for mark, word, shape, decisive in _GROUPED:
        if values.str.contains(shape).sum() != rows:
            continue
        if values.str.contains(decisive).any() or (word == "points" and decimal_comma):
            bare = values.str.replace_all(mark, "").str.replace(",", ".", literal=True)
            return Settled(bare.cast(pl.Float64), f"column '{name}': {word} group thousands")
    if values.str.contains(r"^[+-]?\d+(?:,\d+)?(?:[eE][+-]?\d+)?$").sum() == rows:
        if values.str.contains(r"^[+-]?(?:\d{4,}|0),|,(?:\d{1,2}|\d{4,})(?:[eE]|$)").any():
            bare = values.str.replace(",", ".", literal=True)
            return Settled(bare.cast(pl.Float64), f"column '{name}': decimal comma")
        first = values.filter(values.str.contains(",", literal=True))[0]
        return Settled(
            values, f"column '{name}' is text: the comma of '{printable(first)}' may be decimal or group thousands"
        )
    return None


def _amounts(values: pl.Series, decimal_comma: bool) -> Settled | None:
    """Numbers that all have the same sign of a currency or percent, before or behind them; the sign is left out."""
    rows, name = values.count(), printable(values.name)
    for sign in _SIGNS:
        if values.str.count_matches(sign, literal=True).eq(1).sum() != rows:
            continue
        mark = re.escape(sign)
        bare = values.str.replace(rf"^([+-]?)\s*{mark}\s*|\s*{mark}$", "${1}")
        numbers = None if decimal_comma else bare.cast(pl.Float64, strict=False)
        if numbers is None or numbers.count() < rows:
            settled = _numbers(bare, decimal_comma)
            numbers = None if settled is None or settled.values.dtype == pl.String else settled.values
        return None if numbers is None else Settled(numbers, f"column '{name}': numbers with the sign {sign}")
    return None


def _share_of_numbers(values: pl.Series) -> float:
    some = values.drop_nulls().head(10_000)
    return some.cast(pl.Float64, strict=False).count() / max(1, some.len())


def _note(values: pl.Series, where: Callable[[int], str]) -> str:
    """For a column of numbers but for some texts, the first of these and its place."""
    numbers = values.cast(pl.Float64, strict=False)
    count, rows = numbers.count(), values.count()
    if count < _MIN_NUMBERS * rows or count == rows:
        return ""
    texts = numbers.is_null() & values.is_not_null()
    if rows - count > _MAX_FAULTS * rows and values.filter(texts).n_unique() > _MAX_MARKS:
        return ""  # codes, such as the numbers of tickets, some of which have no letter
    row = texts.arg_max() or 0
    others = f"{rows - count:,} of {rows:,} values are not numbers"
    return (
        f"column '{printable(values.name)}' is text: {others}, first {printable(str(values[row]))!r} at {where(row)}; "
        "if it stands for a missing value, add it to missing_values"
    )
