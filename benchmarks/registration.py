"""2D/3D registration of vertebrae on simulated fluoroscopy of the real scans: how exact, how sure, how fast.

    python benchmarks/registration.py [--runs 200] [--levels 2] [--quick] [--json] [--each]

The images are those of tests/guidance/fluoroscopy_cases.py: the whole patient by another attenuation, noise, scatter,
a needle, 30 % of the field closed, each vertebra displaced for itself; the starts are up to 10 mm and 10 degrees off
along and about each axis. Needs the scans at ../shared/data. ``--levels`` is how many cases of each scan start one and
two vertebrae off, both ways, with and without the further 10 mm and 10 degrees. ``--each`` prints every run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
sys.path.insert(0, str(ROOT / "tests" / "guidance"))

import fluoroscopy_cases as fluoroscopy  # noqa: E402  the folder of the tests is no package

SEED, LEVEL_SEED, ONE_VIEW_SEED = 2026, 7, 11
RUNS, QUICK_RUNS = 200, 3
#: Bounds that are asked for: mean distance over the body, mm; the share of runs that keep it; seconds.
TWO_VIEWS_MM, ONE_VIEW_MM, SHARE, SECONDS = 1.0, 2.0, 0.95, 5.0
#: A registration that is further off than this, mm, is at another place.
WRONG_MM = 5.0

Row = dict[str, Any]


def figure(name: str, value: float, unit: str, **asked: float) -> Row:
    """A figure and the bound that was asked for, where one was."""
    row: Row = {"name": name, "value": float(f"{value:.4g}"), "unit": unit}
    return row | ({"asked": asked} if asked else {})


def two_views(runs: list[fluoroscopy.Run]) -> list[Row]:
    errors = np.array([r.error_mm for r in runs])
    said = np.array([r.error_mm for r in runs if r.reliable])
    return [
        figure("two views: runs", len(runs), "1"),
        figure("two views: median error", float(np.median(errors)), "mm"),
        figure("two views: 95th percentile of the error", float(np.percentile(errors, 95)), "mm"),
        figure("two views: share below 1 mm", float(np.mean(errors < TWO_VIEWS_MM)), "1", min=SHARE),
        figure("two views: share called reliable", len(said) / len(runs), "1"),
        figure("two views: share below 1 mm of those called reliable", below(said, TWO_VIEWS_MM), "1"),
        figure("two views: called reliable and more than 5 mm off", float(np.sum(said > WRONG_MM)), "1", max=0.0),
        figure("two views: median of error to expected error", honest(runs), "1"),
        figure(
            "two views: median time, start to verdict", float(np.median([r.seconds for r in runs])), "s", max=SECONDS
        ),
    ]


def below(errors: np.ndarray, bound: float) -> float:
    return float(np.mean(errors < bound)) if len(errors) else float("nan")


def honest(runs: list[fluoroscopy.Run]) -> float:
    """How large errors are to what was expected of them, of the runs called reliable."""
    ratio = [r.across_mm / r.expected_mm for r in runs if r.reliable]
    return float(np.median(ratio)) if ratio else float("nan")


def one_view(runs: list[fluoroscopy.Run]) -> list[Row]:
    across = np.array([r.across_mm for r in runs])
    return [
        figure("one view: runs", len(runs), "1"),
        figure("one view: median error across the ray", float(np.median(across)), "mm"),
        figure("one view: share below 2 mm across the ray", float(np.mean(across < ONE_VIEW_MM)), "1", min=SHARE),
        figure("one view: share called reliable", float(np.mean([r.reliable for r in runs])), "1"),
        figure(
            "one view: called reliable and more than 5 mm off across the ray",
            float(sum(r.reliable and r.across_mm > WRONG_MM for r in runs)),
            "1",
            max=0.0,
        ),
    ]


def off_levels(runs: list[fluoroscopy.Run]) -> list[Row]:
    recovered = sum(r.reliable and r.error_mm <= WRONG_MM for r in runs)
    wrong = sum(r.reliable and r.error_mm > WRONG_MM for r in runs)
    return [
        figure("start 1 or 2 vertebrae off: runs", len(runs), "1"),
        figure("start 1 or 2 vertebrae off: recovered", recovered, "1"),
        figure("start 1 or 2 vertebrae off: said to be unreliable", len(runs) - recovered - wrong, "1"),
        figure("start 1 or 2 vertebrae off: wrong and unsaid", wrong, "1", max=0.0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS, help="runs with two views; a quarter as many with one")
    parser.add_argument("--levels", type=int, default=2, help="cases of each scan that start at a wrong level")
    parser.add_argument("--quick", action="store_true", help="a few runs, within 40 s")
    parser.add_argument("--json", action="store_true", help="the figures as one object on the last line")
    parser.add_argument("--each", action="store_true", help="print every run")
    asked = parser.parse_args()
    if not SHARED.is_dir():
        print("the real scans are not at ../shared/data: nothing was measured")
        print(json.dumps({"figures": [figure("two views: runs", 0, "1")]}) if asked.json else "")
        return
    count = QUICK_RUNS if asked.quick else asked.runs
    runs = fluoroscopy.seeded_runs(SHARED, count, SEED)
    single = fluoroscopy.seeded_runs(SHARED, 2 if asked.quick else max(4, count // 4), ONE_VIEW_SEED, views=1)
    wrong = [] if asked.quick else fluoroscopy.level_runs(SHARED, LEVEL_SEED, asked.levels)
    if asked.each:
        for name, some in (("two views", runs), ("one view", single), ("wrong level", wrong)):
            print(f"-- {name}\n{fluoroscopy.table(some)}")
    rows = two_views(runs) + one_view(single) + (off_levels(wrong) if wrong else [])
    for row in rows:
        print(f"{row['name']:66s} {row['value']:10.4g} {row['unit']:3s} {row.get('asked', '')}")
    if asked.json:
        print(json.dumps({"figures": rows}))


if __name__ == "__main__":
    main()
