"""How near the needle's tip is found, in two simulated views of real scans, and how long one image takes.

    python benchmarks/tracking.py [--quick] [--json]

Needles are put beside planned paths of the scans at ../shared/data (without them: of the phantom), exposed from the
front and from the side with 200 quanta a pixel, scatter, a spectrum and the blur of a detector, found in either image
with the planned path alone as a hint, and put together. Nothing is told of where the needle really is.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy, build_anatomy
from trocar.anatomy.phantom import SCHEME, PhantomSpec, phantom
from trocar.errors import ImageError
from trocar.geometry import angle_deg, unit
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.expected_needle import expected
from trocar.guidance.exposure import Technique, attenuation, counts, integrals, open_counts, recorded, soft_per_mm
from trocar.guidance.frames import Frame
from trocar.guidance.needle_image import Unseen, find_needle
from trocar.guidance.rods import Rod, rod_mm
from trocar.guidance.triangulation import Look, triangulate
from trocar.io.ct import read_ct
from trocar.io.labels import read_labels
from trocar.planning.trajectory import Trajectory
from trocar.procedures.vertebroplasty import Vertebroplasty
from trocar.treatment import plan

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
#: Scan, labels, their scheme, and the levels that are used.
SCANS = {
    "lidc0001": ("lidc0001/lidc0001_lower_dicom.zip", "lidc0001/lidc0001_lower_totalseg_mask.nii.gz", "totalseg-v2",
                 ("T12", "L1")),
    "ts_example": ("ts_example/example_ct.nii.gz", "ts_example/example_seg_full_v1labels.nii.gz", "totalseg-v1",
                   ("L2", "L4")),
}  # fmt: skip
FRONT_DEG, SIDE_DEG = 180.0, 90.0
TECHNIQUE = Technique(counts=200.0)
#: A wedge filter lets no more through beside the patient than this many times what comes through him (e to the power).
WEDGE = 2.5
#: How far needles are put off their paths: standard deviations per axis, mm and degrees; and how far before the target.
OFF_MM, OFF_DEG, BACK_MM = 2.0, 2.0, 30.0


@dataclass(frozen=True, eq=False)
class Site:
    """One level of one scan: the paths planned there, and what the beam meets in both views, without needles."""

    name: str
    paths: tuple[Trajectory, ...]
    views: tuple[tuple[CArm, NDArray[np.float32]], ...]


@dataclass
class Outcome:
    """What came of many needles: errors of those that were found, and why the others were not."""

    tip_mm: list[float] = field(default_factory=list)
    turn_deg: list[float] = field(default_factory=list)
    ratio: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


def patients() -> Iterator[tuple[str, Anatomy, tuple[str, ...]]]:
    """The real scans, or the phantom where they are not at hand."""
    if not SHARED.is_dir():
        drawn = phantom(PhantomSpec(levels=("T12", "L1", "L2")))
        yield "phantom", build_anatomy(drawn.ct, read_labels_of(drawn)), ("L1",)
        return
    for name, (scan, labels, scheme, levels) in SCANS.items():
        ct = read_ct(SHARED / scan)
        yield name, build_anatomy(ct, read_labels([SHARED / labels], ct, [scheme])), levels


def read_labels_of(drawn):
    """The phantom's labels, by way of what ``trocar demo`` writes."""
    import tempfile

    from trocar.io.phantom_files import write_phantom

    with tempfile.TemporaryDirectory() as folder:
        write_phantom(drawn, Path(folder))
        return read_labels([Path(folder) / "labels.nii.gz"], drawn.ct, [SCHEME])


def sites(levels_each: int = 2) -> Iterator[Site]:
    """Every level with its paths and its two views."""
    for name, anatomy, levels in patients():
        mu = attenuation(anatomy.ct, TECHNIQUE)
        for level in levels[-levels_each:]:
            options = plan(anatomy, Vertebroplasty(level=level)).options
            middle = anatomy.vertebra(Level.parse(level)).frame.origin_mm
            arms = [CArm(middle, degrees, detector=Detector(512, 512, 0.6, 0.6)) for degrees in (FRONT_DEG, SIDE_DEG)]
            views = tuple((arm, filtered(integrals(mu, arm))) for arm in arms)
            yield Site(f"{name} {level}", tuple(t for o in options for t in o.trajectories), views)


def filtered(met: NDArray[np.float32]) -> NDArray[np.float32]:
    """The exponents behind a wedge filter: open beam beside the patient would drown everything in scatter."""
    return np.maximum(met, np.median(met) - WEDGE)


def exposed(view: CArm, met: NDArray[np.float32], rod: Rod, rng: np.random.Generator) -> Frame:
    """One image with a needle."""
    through = met + np.float32(rod.per_mm - soft_per_mm()) * rod_mm(rod, view)
    mean = counts(through, view, TECHNIQUE, open_counts(through, TECHNIQUE))
    return Frame(0, 0.0, "simulated", recorded(mean, TECHNIQUE, rng), view, TECHNIQUE.intensity)


def strayed(path: Trajectory, rng: np.random.Generator, stylet: bool) -> Rod:
    """A needle beside its path."""
    way = unit(path.direction + np.tan(np.radians(OFF_DEG)) * rng.standard_normal(3))
    tip = path.target_mm - rng.uniform(0.0, BACK_MM) * path.direction + OFF_MM * rng.standard_normal(3)
    return Rod.of(path.instrument, tip, way, stylet=stylet)


def trial(site: Site, rng: np.random.Generator, stylet: bool, out: Outcome) -> None:
    """Expose one needle in both views, find it, put it together, and note what came of it."""
    path = site.paths[rng.integers(len(site.paths))]
    rod = strayed(path, rng, stylet)
    looks = []
    for view, met in site.views:
        frame = exposed(view, met, rod, rng)
        start = time.process_time()
        seen = find_needle(frame, path.instrument, expected(view, path))
        out.seconds.append(time.process_time() - start)
        if isinstance(seen, Unseen):
            out.refused[seen.why.name.lower().replace("_", " ")] += 1
            return
        looks.append(Look(view, seen))
    try:
        tip = triangulate(*looks, planned=path.direction)
    except ImageError:
        out.refused["views do not fit"] += 1
        return
    off = tip.tip_mm - rod.tip_mm
    out.tip_mm.append(float(np.linalg.norm(off)))
    out.turn_deg.append(angle_deg(tip.direction, rod.axis.direction))
    out.ratio.append(float(off @ np.linalg.solve(tip.covariance_mm2, off)) / 3.0)


def run(each: int, levels_each: int = 2, seed: int = 1) -> Outcome:
    """``each`` needles at every site, with and without their stylets by turns."""
    out, rng = Outcome(), np.random.default_rng(seed)
    for site in sites(levels_each):
        for n in range(each):
            trial(site, rng, bool(n % 2 == 0), out)
    return out


def figures(out: Outcome) -> list[dict[str, object]]:
    """What was measured, as programs read it."""
    tip, turn = np.array(out.tip_mm), np.array(out.turn_deg)
    tried = len(tip) + sum(out.refused.values())
    return [
        {"name": "needles", "value": tried, "unit": "1"},
        {"name": "found in both views", "value": len(tip) / tried, "unit": "1"},
        {"name": "tip error, median", "value": float(np.median(tip)), "unit": "mm"},
        {
            "name": "tip error, 95th percentile",
            "value": float(np.percentile(tip, 95)),
            "unit": "mm",
            "asked": {"max": 0.5},
        },
        {"name": "tip error, largest", "value": float(tip.max()), "unit": "mm"},
        {"name": "tips within 0.5 mm", "value": float((tip <= 0.5).mean()), "unit": "1", "asked": {"min": 0.95}},
        {"name": "axis error, median", "value": float(np.median(turn)), "unit": "deg"},
        {"name": "axis error, 95th percentile", "value": float(np.percentile(turn, 95)), "unit": "deg"},
        {"name": "squared error over its stated variance, mean", "value": float(np.mean(out.ratio)), "unit": "1"},
        {
            "name": "CPU time of one image of 512 x 512, median",
            "value": 1e3 * float(np.median(out.seconds)),
            "unit": "ms",
        },
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few needles at one level of each scan")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    arguments = parser.parse_args()
    out = run(6, 1) if arguments.quick else run(30)
    told = figures(out)
    for figure in told:
        print(f"{figure['name']:48s} {figure['value']:8.3f} {figure['unit']}")
    for why, n in sorted(out.refused.items()):
        print(f"{'not found: ' + why:48s} {n:8d}")
    if arguments.json:
        print(json.dumps({"figures": told}))


if __name__ == "__main__":
    main()
