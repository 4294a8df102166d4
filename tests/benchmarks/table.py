"""The tables: seconds, ratios to ours with the same optimizer, and how far the losses are from ours."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table

from tests.benchmarks.results import Record
from tests.benchmarks.workloads import FLOOR, OPTIMIZER_TITLES, OURS


def tables(results: Record) -> Iterator[RenderableType]:
    """What to print, one after the other."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    yield f"{machine['processor']}, {machine['usable_cores']} cores, {machine['date']}; {versions}"
    for name, section in results["steady"].items():
        yield _steady_table(name, section)
        yield _against(section)
    if "whole_process" in results:
        yield _whole_table(results["whole_process"])
    if "start_up" in results:
        yield _start_up_table(results["start_up"])


def _steady_table(name: str, section: Record) -> Table:
    unit = "s per epoch" if section["epochs_per_timing"] == 1 else f"s per {section['epochs_per_timing']:,} epochs"
    each = " and model" if section["models"] > 1 else ""
    table = _table(f"{name}: {section['title']}\n{unit}{each}, and × ours")
    table.add_column("")
    optimizers = list(dict.fromkeys(row["optimizer"] for row in section["rows"]))
    for optimizer in optimizers:
        table.add_column(OPTIMIZER_TITLES[optimizer], justify="right", no_wrap=True)
    table.add_column("loss off by", justify="right")
    counted = [row for row in section["rows"] if row["counts"]]
    for title in dict.fromkeys(row["title"] for row in counted):
        of_title = {row["optimizer"]: row for row in counted if row["title"] == title}
        cells = [_cell(of_title[name]) if name in of_title else "" for name in optimizers]
        table.add_row(title, *cells, _deviation(of_title.values()))
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _cell(row: Record) -> str:
    if row["seconds"] is None:
        return str(row["problem"]).splitlines()[0][:40]
    seconds = f"{seconds_text(row['seconds'])} s"
    return f"{seconds}       " if row["title"] == OURS else f"{seconds} × {ratio_text(row['ratio']):<4}"


def seconds_text(seconds: float) -> str:
    """Three significant digits, with their zeros."""
    return f"{seconds:#.3g}".removesuffix(".")


def ratio_text(ratio: float | None) -> str:
    """Two decimals for what is close to ours, fewer for what is far."""
    if ratio is None:
        return "–"
    return f"{ratio:.2f}" if ratio < 9.95 else f"{ratio:.0f}"


def _deviation(rows: Collection[Record]) -> str:
    found = [row["loss_deviation"] for row in rows if row["loss_deviation"] is not None]
    failed = any(row["trained"] is False for row in rows)
    return "" if not found else f"{max(found):.2%}{' !' if failed else ''}"


def _against(section: Record) -> str:
    lines = []
    for optimizer, entry in section["against"].items():
        parts = []
        if "fastest_peer" in entry:
            parts.append(f"{entry['over_fastest_peer']:.2f} × the fastest peer ({entry['fastest_peer']})")
        if "over_seeds" in entry:
            parts.append(f"{entry['over_seeds']:.2f} × as many seeds")
        if entry["over_floor"] is not None:
            parts.append(f"{entry['over_floor']:.2f} × {FLOOR}")
        lines.append(f"  ours, {OPTIMIZER_TITLES[optimizer]}: {', '.join(parts)}")
    return "\n".join(lines) + "\n"


def _whole_table(whole: Record) -> Table:
    sections = whole["workloads"]
    title = f"Whole process, {whole['epochs']} epochs with SGD: s from start to exit, and × ours"
    table = _table(title)
    table.add_column("")
    for name, section in sections.items():
        table.add_column(f"{name}: {section['title']}", justify="right")
    for title in dict.fromkeys(row["title"] for section in sections.values() for row in section["rows"]):
        rows = [next((row for row in section["rows"] if row["title"] == title), None) for section in sections.values()]
        table.add_row(title, *("" if row is None else _cell(row) for row in rows))
    return table


def _start_up_table(start_up: Record) -> Table:
    bare = start_up["import_torch"]
    table = _table("Whole runs of `mlptrain train` beside `import torch`")
    for title in ("", "whole, s", "its epochs, s", "above import torch and epochs, s", "peak, MB", "above, MB"):
        table.add_column(title, justify="right" if title else "left")
    table.add_row("import torch", f"{bare['seconds']:.2f}", "", "", f"{bare['peak_mb']:.0f}", "")
    for name, row in start_up.items():
        if name == "import_torch":
            continue
        if "problem" in row:
            table.add_row(name, row["problem"])
            continue
        seconds = (f"{row[key]:.2f}" for key in ("seconds", "training_seconds", "start_up_seconds"))
        table.add_row(name, *seconds, f"{row['peak_mb']:.0f}", f"{row['memory_above_torch_mb']:.0f}")
    return table
