"""Files to report: how long ``trocar plan`` takes, where the time goes, and beside what.

    python benchmarks/plan.py [--scan lidc | phantom] [--quick] [--json]

Each figure is a whole process, run once to fill the caches of compiled kernels and then timed. The
scan ``lidc`` is the 512 x 512 x 70 one at ../shared/data; without it the phantom is used. The peer of
the search is a brute force written with NumPy alone: the same rays (one in fifty), the same samples on
the same maps, in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy, build_anatomy
from trocar.geometry import Side
from trocar.io.ct import read_ct
from trocar.io.labels import read_labels
from trocar.planning.access import Approach, approaches_for
from trocar.planning.appraisal import Task
from trocar.planning.candidates import Site, TargetZone, enumerate_candidates
from trocar.planning.corridor import find_corridors, judge
from trocar.planning.instrument import Needle
from trocar.planning.rays import STEP_MM
from trocar.planning.robustness import HandError

NEEDLE = Needle.of_gauge(11)
#: The command of the environment that runs this script, whether or not it is on the path.
TROCAR = str(Path(sys.executable).with_name("trocar"))
LIDC = Path(__file__).resolve().parents[2] / "shared" / "data" / "lidc0001"


def run(command: list[str]) -> tuple[float, float, str]:
    """Wall seconds, peak memory in GB and standard error of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{error}")
    return time.perf_counter() - start, usage.ru_maxrss / 1e6, error


def stages(error: str) -> dict[str, float]:
    """Stage -> seconds from what ``-v`` prints on standard error."""
    found: dict[str, float] = {}
    for name, seconds in re.findall(r"^(.+) \.\.\.\n\s+([\d.]+) s$", error, re.MULTILINE):
        name = re.sub(r"writing .*", "writing the report", name)
        name = re.sub(r"searching the way into .*", "searching the way in", name)
        found[name] = found.get(name, 0.0) + float(seconds)
    return found


def scan_arguments(scan: str, folder: Path) -> tuple[list[str], str]:
    """The arguments that name the scan, and a level in it."""
    if scan == "lidc":
        mask = LIDC / "lidc0001_lower_totalseg_mask.nii.gz"
        return [str(LIDC / "lidc0001_lower_dicom.zip"), "--labels", str(mask), "--scheme", "totalseg-v2"], "L1"
    subprocess.run([TROCAR, "demo", "-q", "-o", str(folder)], check=True, stdout=subprocess.DEVNULL)
    files = [str(folder / "scan.nii.gz"), "--labels", str(folder / "labels.nii.gz"), "--scheme", "totalseg-v2"]
    return files, "L1"


def whole_command(arguments: list[str], level: str, runs: int) -> tuple[float, float, dict[str, float]]:
    """Median wall seconds, peak GB and stages of ``trocar plan`` after one run that fills the caches."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for n in range(runs + 1):
            out = ["--level", level, "--out", str(Path(folder) / str(n)), "-v"]
            results.append(run([TROCAR, "plan", *arguments, *out]))
    timed = sorted(results[1:])[runs // 2]
    return timed[0], max(r[1] for r in results[1:]), stages(timed[2])


def site_and_paths(arguments: list[str], level_name: str) -> tuple[Anatomy, Level, list[tuple[Side, Approach]]]:
    """The patient of the scan, the level, and every side and approach there."""
    ct = read_ct(arguments[0])
    anatomy = build_anatomy(ct, read_labels([arguments[2]], ct, [arguments[4]]))
    level = Level.parse(level_name)
    return anatomy, level, [(side, approach) for side in Side for approach in approaches_for(level)]


def search_seconds(anatomy: Anatomy, level: Level, ways: list[tuple[Side, Approach]]) -> tuple[float, int]:
    """Seconds of the whole search at one level, maps included, and how many pairs of tip and gate it looked at."""
    site = Site.of(anatomy, level)
    rays = sum(len(enumerate_candidates(site, s, a, NEEDLE, a.margins, TargetZone()).tips_mm) for s, a in ways)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        site = Site.of(anatomy, level)
        for side, approach in ways:
            find_corridors(site, side, approach, NEEDLE)
        seconds.append(time.perf_counter() - start)
    return min(seconds), rays


def ray_nanoseconds(anatomy: Anatomy, level: Level, ways: list[tuple[Side, Approach]]) -> tuple[float, float]:
    """Nanoseconds a ray takes here (the cheap ones are given up early, exactly) and in NumPy, sample by sample."""
    site, (side, approach) = Site.of(anatomy, level), ways[0]
    task = Task(site, side, approach, NEEDLE, approach.margins, HandError())
    c = enumerate_candidates(site, side, approach, NEEDLE, approach.margins, TargetZone())
    start = time.perf_counter()
    judge(task, c, strict=True)
    ours = (time.perf_counter() - start) / len(c.tips_mm)
    some, depth = np.arange(0, len(c.tips_mm), 50), np.arange(0.0, 90.0, STEP_MM)
    start = time.perf_counter()
    points = c.tips_mm[some][:, None] + depth[None, :, None] * c.ways[some][:, None]
    for channel in range(len(site.maps.values)):
        site.maps.sample(points, channel).min(axis=1)
    return 1e9 * ours, 1e9 * (time.perf_counter() - start) / len(some)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scan", choices=["lidc", "phantom"], default="lidc" if LIDC.is_dir() else "phantom")
    parser.add_argument("--quick", action="store_true", help="one timed run, one level; ends within 40 s")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    given = parser.parse_args()
    figures = []

    def add(name: str, value: float, unit: str, **more: object) -> None:
        figures.append({"name": name, "value": round(value, 3), "unit": unit, **more})

    with tempfile.TemporaryDirectory() as folder:
        arguments, level = scan_arguments(given.scan, Path(folder))
        runs = 1 if given.quick else 3
        run([TROCAR, "--help"])
        add("trocar --help", min(run([TROCAR, "--help"])[0] for _ in range(3)), "s", asked={"max": 1.0})
        wall, memory, share = whole_command(arguments, level, runs)
        add(f"trocar plan, {given.scan}, {level}", wall, "s", asked={"max": 10.0})
        add("peak memory", memory, "GB", asked={"max": 2.0})
        for name, seconds in share.items():
            add(f"  {name}", seconds, "s", share=round(seconds / wall, 3))
        add("  starting Python and loading libraries", wall - sum(share.values()), "s")
        if not given.quick:
            wall, memory, _ = whole_command(arguments, "all", 1)
            add(f"trocar plan, {given.scan}, all levels", wall, "s", asked={"max": 30.0})
        found = site_and_paths(arguments, level)
        seconds, rays = search_seconds(*found)
        add("search of one level, maps included", seconds, "s", asked={"max": 1.0}, rays=rays)
        ours, naive = ray_nanoseconds(*found)
        add("one ray", ours, "ns", peer="NumPy, ns", peer_value=round(naive), ratio=round(ours / naive, 4))
    show(figures, given.json)


def show(figures: list[dict[str, object]], as_json: bool) -> None:
    for figure in figures:
        asked = figure.get("asked")
        bound = f"asked: at most {asked['max']:g}" if isinstance(asked, dict) else ""
        peer = f"peer {figure['peer']}: {figure['peer_value']}" if "peer" in figure else ""
        share = f"{100 * float(str(figure['share'])):.0f} %" if "share" in figure else ""
        print(f"{figure['name']:<44}{figure['value']:>9} {figure['unit']:<3} {share:>5} {bound} {peer}".rstrip())
    if as_json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
