"""From samples to what is reported: medians, ratios to ours, and whether every row has trained. Plain values only."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.steady import Timed
from tests.benchmarks.whole_process import EPOCHS, Process
from tests.benchmarks.workloads import FLOOR, OURS, SEEDS, WORKLOADS, Workload

Record = dict[str, Any]


def deviation(losses: Sequence[Sequence[float]], ours: Sequence[Sequence[float]]) -> float | None:
    """Largest relative difference, over the models, of the mean loss of all epochs that both have; None without any.

    A row of one model is held against the first of ours.
    """
    both = list(zip(losses, ours, strict=False))
    if not both or not both[0][0]:
        return None
    differences = []
    for model in range(len(both[0][0])):
        theirs, own = (statistics.fmean(pair[side][model] for pair in both) for side in (0, 1))
        differences.append(abs(theirs - own) / abs(own))
    # max() would pass over nan, which stands for a model that diverged
    return max(differences) if all(value == value for value in differences) else float("inf")


def steady_record(workload: Workload, found: Sequence[Timed]) -> Record:
    """One workload: every row with its samples, median seconds per model, and ratio to ours with the same optimizer.

    Of variants the fastest has ``counts`` set. A row has ``trained`` where its losses agree with ours within the
    workload's tolerance, None where it makes no losses.
    """
    ours = {timed.row.optimizer: timed for timed in found if timed.row.title == OURS}
    rows = []
    for timed in found:
        reference = ours[timed.row.optimizer]
        off = deviation(timed.losses, reference.losses)
        median = statistics.median(timed.seconds) / timed.row.models if timed.seconds else None
        own = statistics.median(reference.seconds) / reference.row.models if reference.seconds else None
        rows.append(
            {
                **vars(timed.row),
                "seconds": median,
                "minimum": min(timed.seconds) / timed.row.models if timed.seconds else None,
                "ratio": median / own if median is not None and own is not None else None,
                "loss_deviation": off,
                "trained": None if off is None else off <= workload.tolerance,
                "problem": timed.problem,
                "first_seconds": timed.first_seconds,
                "samples": timed.seconds,
                "losses": timed.losses,
            }
        )
    _mark_fastest_variants(rows)
    about = {"title": workload.title, "models": workload.models, "epochs_per_timing": workload.epochs}
    about |= {"tolerance": workload.tolerance, "learning_rates": workload.rates}
    return {**about, "against": _against(rows), "rows": rows}


def _mark_fastest_variants(rows: list[Record]) -> None:
    best: dict[tuple[str, str], Record] = {}
    for row in rows:
        key = (row["title"], row["optimizer"])
        if key not in best or (row["seconds"] or float("inf")) < (best[key]["seconds"] or float("inf")):
            best[key] = row
    for row in rows:
        row["counts"] = best[row["title"], row["optimizer"]] is row


def _against(rows: list[Record]) -> Record:
    """For every optimizer our time over the fastest peer's, with its name, and ours over the floor."""
    found: Record = {}
    timed = [row for row in rows if row["counts"] and row["ratio"] is not None]
    floor = next((row for row in timed if row["title"] == FLOOR), None)
    for own in (row for row in timed if row["title"] == OURS):
        peers = [
            row for row in timed if row["optimizer"] == own["optimizer"] and row["title"] not in (OURS, FLOOR, SEEDS)
        ]
        entry: Record = {"over_floor": own["seconds"] / floor["seconds"] if floor else None}
        if peers:
            fastest = min(peers, key=lambda row: float(row["seconds"]))
            entry |= {"over_fastest_peer": 1 / fastest["ratio"], "fastest_peer": fastest["title"]}
        seeds = [row for row in timed if row["optimizer"] == own["optimizer"] and row["title"] == SEEDS]
        if seeds:
            entry["over_seeds"] = 1 / seeds[0]["ratio"]
        found[own["optimizer"]] = entry
    return found


def whole_record(processes: Sequence[Process]) -> Record:
    """Whole processes by workload: median seconds from start to exit and ratio to ours."""
    found: Record = {"epochs": EPOCHS, "workloads": {}}
    for name in dict.fromkeys(process.workload for process in processes):
        of_workload = [process for process in processes if process.workload == name]
        ours = next(process for process in of_workload if process.title == OURS)
        rows = [_process_record(process, ours, tolerance=WORKLOADS[name].tolerance) for process in of_workload]
        found["workloads"][name] = {"title": WORKLOADS[name].title, "rows": rows}
    return found


def _process_record(process: Process, ours: Process, *, tolerance: float) -> Record:
    median = statistics.median(process.seconds) if process.seconds else None
    off = deviation(process.losses, ours.losses)
    return {
        "title": process.title,
        "seconds": median,
        "minimum": min(process.seconds, default=None),
        "ratio": median / statistics.median(ours.seconds) if median is not None and ours.seconds else None,
        "peak_mb": max(process.peak_mb, default=None),
        "loss_deviation": off,
        "trained": None if off is None else off <= tolerance,
        "problem": process.problem,
        "samples": process.seconds,
        "losses": process.losses,
    }


def start_up_record(bare: Process, ours: Sequence[Process]) -> Record:
    """What whole runs of ours cost above `import torch` and their epochs, and their memory above `import torch`."""
    found: Record = {"import_torch": {"seconds": statistics.median(bare.seconds), "peak_mb": max(bare.peak_mb)}}
    for process in ours:
        if process.problem:
            found[process.workload] = {"problem": process.problem}
            continue
        whole, training = statistics.median(process.seconds), statistics.median(process.training_seconds)
        found[process.workload] = {
            "seconds": whole,
            "training_seconds": training,
            "start_up_seconds": whole - training - statistics.median(bare.seconds),
            "peak_mb": max(process.peak_mb),
            "memory_above_torch_mb": max(process.peak_mb) - max(bare.peak_mb),
            "samples": process.seconds,
        }
    return found


def untrained(results: Record) -> list[str]:
    """What must not be believed: rows whose losses do not agree with ours, and ours where it failed."""
    sections = [*results["steady"].items(), *results.get("whole_process", {}).get("workloads", {}).items()]
    bad = []
    for name, section in sections:
        for row in section["rows"]:
            which = f"{name}: {row['title']} {row.get('optimizer', '')}".rstrip()
            if row["trained"] is False:
                bad.append(f"{which} did not train as ours: mean loss off by {row['loss_deviation']:.1%}")
            elif row["title"] == OURS and row["problem"]:
                bad.append(f"{which}: {row['problem']}")
    return bad
