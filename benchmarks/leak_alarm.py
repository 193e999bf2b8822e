"""The leak monitor over many simulated injections: what it finds, how late, how often it cries for nothing, how fast.

    python benchmarks/leak_alarm.py [--count 200] [--seed 1] [--pixels 1024] [--workers 2] [--quick] [--json]

Each injection is drawn from its seed: AP or lateral, 1 to 2.5 mm of cement leaving through one place or none, breathing
of 3 mm, and at random a move of the table, jumps of exposure, the needle pushed on, an outline that is off by up to
1 mm. A leak counts from the first frame in which its projection reaches 3 mm beyond the body's outline. Every frame's
evidence is kept, so that each threshold of the trade-off is read from the same runs. ``--pixels 512`` is a detector of
the same pixels and a quarter of the area. Any other monitor can be run on the same frames: see ``injections``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "guidance"))
from leak_cases import RATE_HZ, Case, Injection, Trace, View, drawn_cases, traced

from trocar.guidance.leak import LeakMonitor, Settings

THRESHOLDS = (2.0, 3.0, 5.0, 7.0, 9.0, 12.0, 15.0, 18.0, 21.0)
#: Leaks of less than this, of up to this, and of more when they count, ml.
VOLUMES_ML = (0.01, 0.02, 0.04)
QUICK, TIMED = 6, 200


def injections(count: int, seed: int, pixels: int) -> Iterator[Injection]:
    """The injections: iterate over each for its frames with truth; ``outline`` is what a monitor is given."""
    return (Injection(case, pixels) for case in drawn_cases(count, seed))


def run(count: int, seed: int, pixels: int, workers: int) -> list[Trace]:
    """Every injection as it was judged."""
    cases = drawn_cases(count, seed)
    if workers == 1:
        return [_traced(c, pixels) for c in cases]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(partial(_traced, pixels=pixels), cases, chunksize=4))


def _traced(case: Case, pixels: int) -> Trace:
    cv2.setNumThreads(1)
    return traced(case, pixels)


def point(traces: list[Trace], threshold: float) -> dict[str, float]:
    """One point of the trade-off."""
    counted = [t for t in traces if t.counts]
    delays = [d for t in counted if (d := t.found(threshold)) is not None]
    late = np.maximum(delays, 0)
    minutes = sum(float(t.watching.sum()) for t in traces) / RATE_HZ / 60.0
    return {
        "threshold": threshold,
        "leaks": len(counted),
        "found": len(delays) / max(len(counted), 1),
        "median": float(np.median(late)) if delays else float("inf"),
        "p95": float(np.percentile(late, 95)) if delays else float("inf"),
        "false_per_min": sum(t.false_alarms(threshold) for t in traces) / max(minutes, 1e-9),
        "minutes": minutes,
    }


def table(traces: list[Trace], threshold: float) -> list[str]:
    """The curve, and the figures by class, by volume and by what disturbs, for people."""
    lines = [" threshold   found   median    p95   false/min"]
    for h in THRESHOLDS:
        p = point(traces, h)
        lines.append(f"{h:10g} {100 * p['found']:6.1f} % {p['median']:7.1f} {p['p95']:6.1f} {p['false_per_min']:9.2f}")
    lines.append(
        f"\nby class and view, threshold {threshold:g}: leaks, found, median, 95th percentile of delay (frames)"
    )
    for view in View:
        for zone in sorted({t.case.leak.name for t in traces if t.case.leak and t.case.which is view}):
            lines.append(_line(f"{view.value} {zone}", [t for t in traces if _is(t, view, zone)], threshold))
    lines.append("\nby volume outside when it counts")
    for low, high in zip((0.0, *VOLUMES_ML), (*VOLUMES_ML, np.inf), strict=True):
        lines.append(_line(f"{low:g} to {high:g} ml", [t for t in traces if low <= t.counted_ml < high], threshold))
    lines.append("\nby what else happens")
    for name, some in _disturbed(traces).items():
        false = sum(t.false_alarms(threshold) for t in some)
        lines.append(_line(name, some, threshold) + f"; false alarms {false} in {len(some)} injections")
    return lines


def _is(trace: Trace, view: View, zone: str) -> bool:
    return trace.case.which is view and trace.case.leak is not None and trace.case.leak.name == zone


def _disturbed(traces: list[Trace]) -> dict[str, list[Trace]]:
    return {
        "table moved": [t for t in traces if any(t.case.pan_mm)],
        "table at rest": [t for t in traces if not any(t.case.pan_mm)],
        "needle pushed on": [t for t in traces if t.case.push_mm],
        "exposure jumps": [t for t in traces if t.case.jumps],
        "on the needle's line": [t for t in traces if t.veiled],
        "clear of the needle": [t for t in traces if not t.veiled],
    }


def _line(name: str, traces: list[Trace], threshold: float) -> str:
    p = point(traces, threshold)
    if not p["leaks"]:
        return f"{name:28s}   0 leaks"
    return f"{name:28s} {p['leaks']:3d} {100 * p['found']:6.1f} % {p['median']:6.1f} {p['p95']:6.1f}"


def speed(pixels: int, frames: int) -> tuple[float, float]:
    """Frames per processor second of the monitor on one core, and MiB that it grew by in the second half."""
    cv2.setNumThreads(1)
    injection = Injection(Case(1, length_s=frames / RATE_HZ), pixels)
    watch, spent, half = LeakMonitor(injection.outline), 0.0, 0
    for frame, _ in injection:
        start = time.process_time()
        watch.step(frame)
        spent += time.process_time() - start
        if frame.number == frames // 2:
            half = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return frames / spent, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - half) / 1024.0


def figures(traces: list[Trace], pixels: int, threshold: float, timed: int) -> list[dict[str, Any]]:
    """What is compared with what was asked for."""
    p = point(traces, threshold)
    rate, grown = speed(pixels, timed)
    return [
        {"name": "injections", "value": len(traces), "unit": "1"},
        {"name": "leaks counted", "value": p["leaks"], "unit": "1"},
        {"name": "leaks found", "value": 100.0 * p["found"], "unit": "%", "asked": {"min": 95.0}},
        {"name": "median delay", "value": p["median"], "unit": "frames", "asked": {"max": 5.0}},
        {"name": "95th percentile of delay", "value": p["p95"], "unit": "frames", "asked": {"max": 10.0}},
        {"name": "false alarms", "value": p["false_per_min"], "unit": "/min", "asked": {"max": 0.2}},
        {"name": "watched", "value": p["minutes"], "unit": "min"},
        {"name": f"frames a second at {pixels} x {pixels}", "value": rate, "unit": "/s", "asked": {"min": 30.0}},
        {"name": "memory grown over the second half", "value": max(grown, 0.0), "unit": "MiB"},
    ]


def main() -> None:
    """Print the table, or figures for programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pixels", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    count, pixels, workers = (QUICK, 512, 1) if asked.quick else (asked.count, asked.pixels, asked.workers)
    threshold = Settings().threshold
    traces = run(count, asked.seed, pixels, workers)
    found = figures(traces, pixels, threshold, 60 if asked.quick else TIMED)
    if not asked.json:
        print("\n".join(table(traces, threshold)), "\n")
    for row in found:
        print(f"{row['name']:40s} {row['value']:10.2f} {row['unit']}")
    if asked.json:
        print(json.dumps({"figures": found}))


if __name__ == "__main__":
    main()
