"""2D/3D registration of vertebrae on simulated fluoroscopy of the real scans: how exact, how sure, how fast.

    python benchmarks/registration.py [--runs 200] [--levels 2] [--seed 2026] [--quick] [--json] [--each]

The images are those of tests/guidance/fluoroscopy_cases.py: the whole patient by another attenuation, noise, scatter,
a needle, 30 % of the field closed; the starts are up to 10 mm and 10 degrees off along and about each axis. "rigid":
the patient lies otherwise, each vertebra moves by 0.5 mm and degrees for itself (what is asked for); "articulated":
by 2 (harder); "other tissue": that, and neither lungs nor gas are in the image. Soft tissue breathes in all.

Needs the scans at ../shared/data. ``--levels`` is how many cases of each scan start one and two vertebrae off, both
ways, with and without the further 10 mm and 10 degrees. ``--each`` prints every run.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
sys.path.insert(0, str(ROOT / "tests" / "guidance"))

import fluoroscopy_cases as fluoroscopy  # noqa: E402  the folder of the tests is no package

SEED, LEVEL_SEED, ONE_VIEW_SEED = 2026, 7, 11
RUNS, QUICK_RUNS = 200, 2
#: Bounds that are asked for: mean distance over the body, mm; the share of runs that keep it; seconds.
TWO_VIEWS_MM, ONE_VIEW_MM, SHARE, SECONDS = 1.0, 2.0, 0.95, 5.0
ASKED = {"min": SHARE}
#: A registration that is further off than this, mm, is at another place.
WRONG_MM = 5.0

Row = dict[str, Any]


def figure(name: str, value: float, unit: str, **asked: float) -> Row:
    """A figure and the bound that was asked for, where one was."""
    row: Row = {"name": name, "value": float(f"{value:.4g}"), "unit": unit}
    return row | ({"asked": asked} if asked else {})


def two_views(runs: list[fluoroscopy.Run], name: str, share: dict[str, float]) -> list[Row]:
    """The figures of runs with two views; ``share`` is the bound on those below 1 mm, where one is asked for."""
    errors = np.array([r.error_mm for r in runs])
    said = np.array([r.error_mm for r in runs if r.reliable])
    return [
        figure(f"two views, {name}: runs", len(runs), "1"),
        figure(f"two views, {name}: median error", float(np.median(errors)), "mm"),
        figure(f"two views, {name}: 95th percentile of the error", float(np.percentile(errors, 95)), "mm"),
        figure(f"two views, {name}: share below 1 mm", float(np.mean(errors < TWO_VIEWS_MM)), "1", **share),
        figure(f"two views, {name}: share called reliable", len(said) / len(runs), "1"),
        figure(f"two views, {name}: share below 1 mm of those called reliable", below(said, TWO_VIEWS_MM), "1"),
        figure(
            f"two views, {name}: called reliable and more than 5 mm off", float(np.sum(said > WRONG_MM)), "1", max=0.0
        ),
        figure(f"two views, {name}: root mean square of error to expected error", honest(runs), "1"),
        figure(
            f"two views, {name}: median time, start to verdict",
            float(np.median([r.seconds for r in runs])),
            "s",
            max=SECONDS,
        ),
    ]


def below(errors: np.ndarray, bound: float) -> float:
    return float(np.mean(errors < bound)) if len(errors) else float("nan")


def honest(runs: list[fluoroscopy.Run]) -> float:
    """How large errors are to what was expected of them, of the runs called reliable."""
    ratio = np.array([r.across_mm / r.expected_mm for r in runs if r.reliable])
    return float(np.sqrt(np.mean(ratio**2))) if ratio.size else float("nan")


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
    parser.add_argument("--seed", type=int, default=SEED, help="of the runs with two views")
    parser.add_argument("--quick", action="store_true", help="a few runs, within 40 s")
    parser.add_argument("--json", action="store_true", help="the figures as one object on the last line")
    parser.add_argument("--each", action="store_true", help="print every run")
    asked = parser.parse_args()
    if asked.runs < 1 or asked.levels < 0:
        parser.error(f"--runs {asked.runs} --levels {asked.levels}: at least one run, and no fewer than no levels.")
    if not SHARED.is_dir():
        print("the real scans are not at ../shared/data: nothing was measured")
        print(json.dumps({"figures": [figure("two views: runs", 0, "1")]}) if asked.json else "")
        return
    count = QUICK_RUNS if asked.quick else asked.runs
    few = 1 if asked.quick else max(4, count // 4)
    rigid, bent, other = fluoroscopy.Setting
    runs = {"rigid": fluoroscopy.seeded_runs(SHARED, count, asked.seed, rigid)}
    if not asked.quick:
        runs["articulated"] = fluoroscopy.seeded_runs(SHARED, count, asked.seed, bent)
        runs["other tissue"] = fluoroscopy.seeded_runs(SHARED, few, asked.seed, other)
    single = fluoroscopy.seeded_runs(SHARED, few, ONE_VIEW_SEED, rigid, views=1)
    wrong = [] if asked.quick else fluoroscopy.level_runs(SHARED, LEVEL_SEED, asked.levels)
    if asked.each:
        for name, some in (*runs.items(), ("one view", single), ("wrong level", wrong)):
            print(f"-- {name}\n{fluoroscopy.table(some)}")
    rows = [row for name, some in runs.items() for row in two_views(some, name, ASKED if name == "rigid" else {})]
    rows += one_view(single)
    rows += off_levels(wrong) if wrong else []
    for row in rows:
        print(f"{row['name']:66s} {row['value']:10.4g} {row['unit']:3s} {row.get('asked', '')}")
    if asked.json:
        # a share of no runs is no figure
        print(json.dumps({"figures": [row for row in rows if math.isfinite(row["value"])]}))


if __name__ == "__main__":
    main()
