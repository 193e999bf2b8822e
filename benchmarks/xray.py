"""Projections of a CT beside RTK's Joseph projection and the closed form, in one run.

    python benchmarks/xray.py [--quick] [--json] [--threads N]

The volume is 512 x 512 x 200 voxels of 0.8 x 0.8 x 1.25 mm, float32, filled with 61 Gaussians whose line integrals are
known; the detector has 512 x 512 pixels of 0.6 mm, 1020 mm from a source that is 620 mm from the volume's middle.
Times are the least of several, kernels compiled and the volume in memory before. RTK (``make peers``) is timed without
its start and without reading the volume; without it those lines are left out. Where other work shares the machine the
processor time is the fairer ratio. Memory is the greatest resident size of
a fresh process that reads the volume and projects it once (/proc: Linux only).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trocar.physics.multigrid import cores
from trocar.physics.xray import Method, line_integrals
from trocar.physics.xray_pose import line_integrals_and_gradient, rigid_motions

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))

from tests.physics.peers import high_water  # noqa: E402
from tests.physics.xray_peers import Problem, plastimatch, rtk, run_plastimatch, run_rtk  # noqa: E402
from tests.physics.xray_scenes import Gaussians, apart, c_arm, gaussians  # noqa: E402

SHAPE, SPACING = (200, 512, 512), (1.25, 0.8, 0.8)
SMALL_SHAPE, SMALL_SPACING = (200, 256, 256), (1.25, 1.6, 1.6)
WIDTHS_MM = (8.0, 24.0)
VIEWS = {"AP": (0.0, 0.0), "LAO 25 CRA 15": (25.0, 15.0), "lateral": (90.0, 0.0)}
#: Of the closed form at most, relative L2; of RTK; of plastimatch.
ASKED_OF_TRUTH = {Method.INTERPOLATED: 6e-4, Method.EXACT: 2e-3}
ASKED_OF_RTK, ASKED_OF_PLASTIMATCH = 1e-5, 2e-3
ASKED_GB, ASKED_SMALL_MS, ASKED_RATIO = 0.4, 10.0, 1.0
REPEATS = 5
MS_PER_S, BYTES_PER_GB = 1e3, 1e9


def least(work: Callable[[], Any]) -> tuple[float, float]:
    """The least seconds of several by the clock and of all processors; once before, to compile and to warm."""
    work()
    clock, processor = [], []
    for _ in range(REPEATS):
        began, worked = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - began)
        processor.append(time.process_time() - worked)
    return min(clock), min(processor)


def least_s(work: Callable[[], Any]) -> float:
    """The least seconds by the clock."""
    return least(work)[0]


def figures_of(quick: bool, threads: int, folder: Path) -> list[dict[str, Any]]:
    scene = gaussians(SHAPE, SPACING, 61, WIDTHS_MM)
    volume = scene.volume(SHAPE, SPACING)
    views = {"AP": VIEWS["AP"]} if quick else VIEWS
    found = [f for name, view in views.items() for f in of_view(name, view, scene, volume, threads)]
    found += beside_rtk(views, volume, threads, folder)
    found += [] if quick else beside_plastimatch(volume, folder)
    found += of_small(threads)
    return [*found, memory(volume, threads, folder)]


def of_view(
    name: str, view: tuple[float, float], scene: Gaussians, volume: np.ndarray, threads: int
) -> list[dict[str, Any]]:
    """Time and distance from the closed form, of both methods."""
    beam = c_arm(SHAPE, SPACING, *view, pixels=512)
    truth, found = scene.projected(beam), []
    for method, asked in ASKED_OF_TRUTH.items():
        say = f"{name}, {method.name.lower()}"
        seconds = least_s(lambda: line_integrals(volume, SPACING, beam, method, threads=threads))  # noqa: B023
        found.append(figure(f"{say}, {threads} threads", MS_PER_S * seconds, "ms"))
        image = line_integrals(volume, SPACING, beam, method, threads=threads)
        found.append(figure(f"{say}, from the closed form", apart(image, truth), "", asked={"max": asked}))
    return found


def beside_rtk(
    views: dict[str, tuple[float, float]], volume: np.ndarray, threads: int, folder: Path
) -> list[dict[str, Any]]:
    """Time and image beside RTK's; one right after the other, as other work may share the machine."""
    python, found = rtk(), []
    if python is None:
        return []
    for name, view in views.items():
        beam = c_arm(SHAPE, SPACING, *view, pixels=512)
        theirs = run_rtk(python, [Problem(volume, SPACING, beam)], folder, threads, REPEATS)[0]
        seconds, cpu_s = least(lambda: line_integrals(volume, SPACING, beam, threads=threads))  # noqa: B023
        image = line_integrals(volume, SPACING, beam, threads=threads)
        peer = {
            "peer": "RTK",
            "peer_value": rounded(MS_PER_S * theirs.seconds),
            "ratio": rounded(seconds / theirs.seconds),
        }
        found += [
            figure(f"{name}, interpolated beside RTK, {threads} threads", MS_PER_S * seconds, "ms", **peer),
            figure(f"{name}, time over RTK's", seconds / theirs.seconds, "", asked={"max": ASKED_RATIO}),
            figure(f"{name}, processor time over RTK's", cpu_s / theirs.cpu_s, "", asked={"max": ASKED_RATIO}),
            figure(f"{name}, apart from RTK", apart(image, theirs.image), "", asked={"max": ASKED_OF_RTK}),
        ]
    return found


def beside_plastimatch(volume: np.ndarray, folder: Path) -> list[dict[str, Any]]:
    """The exact path beside plastimatch's."""
    program = plastimatch()
    if program is None:
        return []
    beam = c_arm(SHAPE, SPACING, *VIEWS["LAO 25 CRA 15"], pixels=512)
    theirs = run_plastimatch(program, Problem(volume, SPACING, beam), folder).image
    image = line_integrals(volume, SPACING, beam, Method.EXACT)
    say = "LAO 25 CRA 15, exact, apart from plastimatch"
    return [figure(say, apart(image, theirs), "", asked={"max": ASKED_OF_PLASTIMATCH})]


def of_small(threads: int) -> list[dict[str, Any]]:
    """What registration asks for, again and again: a quarter of the rows and columns, with and without derivatives."""
    volume = gaussians(SMALL_SHAPE, SMALL_SPACING, 61, WIDTHS_MM).volume(SMALL_SHAPE, SMALL_SPACING)
    beam = c_arm(SMALL_SHAPE, SMALL_SPACING, 25.0, 15.0, pixels=128, pixel_mm=2.4)
    motions = rigid_motions(beam, (np.array(SMALL_SHAPE) - 1) / 2 * SMALL_SPACING)
    image = least_s(lambda: line_integrals(volume, SMALL_SPACING, beam, threads=threads))
    both = least_s(lambda: line_integrals_and_gradient(volume, SMALL_SPACING, beam, motions, threads=threads))
    say = f"128 x 128 of 256 x 256 x 200, {threads} threads"
    return [
        figure(say, MS_PER_S * image, "ms", asked={"max": ASKED_SMALL_MS}),
        figure(f"{say}, with six derivatives", MS_PER_S * both, "ms"),
    ]


def memory(volume: np.ndarray, threads: int, folder: Path) -> dict[str, Any]:
    """A fresh process that reads the volume and projects it."""
    path = folder / "volume.npy"
    np.save(path, volume)
    command = [sys.executable, str(HERE), "--threads", str(threads), "--once", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return figure(
        "greatest resident size of a process, volume included", float(done.stdout), "GB", asked={"max": ASKED_GB}
    )


def once(path: Path, threads: int) -> None:
    """Read, project, and print the greatest resident size, GB."""
    line_integrals(np.load(path), SPACING, c_arm(SHAPE, SPACING, pixels=512), threads=threads)
    print(high_water("self") / BYTES_PER_GB)


def figure(name: str, value: float, unit: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": rounded(value), "unit": unit, **more}


def rounded(value: float) -> float:
    return float(f"{value:.3g}")


def show(figures: list[dict[str, Any]]) -> None:
    for entry in figures:
        bounds = [f"asked: at most {bound:g}" for bound in entry.get("asked", {}).values()]
        if "peer" in entry:
            bounds.append(f"{entry['peer']}: {entry['peer_value']:g}, ratio {entry['ratio']:g}")
        print(f"{entry['name']:<62}{entry['value']:>11g} {entry['unit']:<4} {'; '.join(bounds)}".rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one view: within 40 s")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--threads", type=int, default=min(2, cores()), help="ours and RTK's (default: 2)")
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        once(given.once, given.threads)
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = figures_of(given.quick, given.threads, Path(folder))
    show(figures)
    if given.json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
