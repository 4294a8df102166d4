"""Numbers written with the sign of a currency or percent, and columns that only look so."""

from __future__ import annotations

import pytest

from mlptrain.sources.tables.read import read_table
from tests.sources.tables.conftest import Write

AMOUNTS: dict[str, tuple[list[str], list[float] | None]] = {
    "percent": (["5%", "-12.5%", "0.3 %"], [5, -12.5, 0.3]),
    "dollars": (["$5.00", "-$12.50", "$ 1e3"], [5, -12.5, 1000]),
    "thousands": (["$1,234.50", "$12.00", "$1,000,000.00"], [1234.5, 12, 1_000_000]),
    "euros": (["1.234,50 €", "12,00 €", "-0,50 €"], [1234.5, 12, -0.5]),
    "two currencies": (["$5", "€6", "$7"], None),
    "a number without": (["5%", "6", "7%"], None),
    "words": (["$a", "$b", "$c"], None),
    "the sign twice": (["$5$", "$6$", "$7$"], None),
}


@pytest.mark.parametrize("name", AMOUNTS)
def test_amounts(name: str, write: Write) -> None:
    written, numbers = AMOUNTS[name]
    table = read_table(write("x.csv", "n;v\n" + "".join(f"1;{value}\n" for value in written)))
    assert table.frame["v"].to_list() == pytest.approx(numbers) if numbers else table.frame["v"].to_list() == written
    assert any("numbers with the sign" in note for note in table.notes) == (numbers is not None)


def test_later_files_are_read_the_same(write: Write) -> None:
    first = read_table(write("x.csv", "n,v\n1,5%\n2,7%\n"))
    assert read_table(write("y.csv", "v,n\n9 %,1\n"), like=first).frame["v"].to_list() == [9]
