"""Fluoroscopic images of the real scans whose truth is known, for the tests and the benchmark of registration.

The image is made from the *whole* patient, by another attenuation than registration assumes: two spectral lines, bone
that weighs more or less, scatter, quantum and electronic noise, a steel needle, 30 % of the field closed. Every
vertebra is displaced for itself with the ribs that its joints hold, and soft tissue by a breath against the spine.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import trocar
from trocar.anatomy.labels import union
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Vertebra
from trocar.geometry import SUPERIOR, Pose, Side, Vector
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.exposure import Shutters, Technique, attenuation, expose
from trocar.guidance.frames import Frame
from trocar.guidance.registration import register
from trocar.guidance.rods import Rod
from trocar.volume import Volume

#: Whole levels of each scan with at least half a field of view around them.
LEVELS = {"lidc0001": ("T10", "T11", "T12", "L1"), "ts_example": ("L1", "L2", "L3", "L4", "L5")}
#: How far things are from where the CT has them: the patient on the table, and soft tissue in a breath.
PATIENT_MM, PATIENT_DEG, BREATH_MM = 8.0, 5.0, 5.0
#: Below this, HU, there is gas.
GAS_HU = -250.0
#: What is added beyond the ends of a scan, so that its edge is no edge in the image, mm.
BEYOND_MM = 60.0
AP, LATERAL = (0.0, 0.0), (90.0, 0.0)
#: How far the views are from a true AP and lateral, degrees; the isocentre from the vertebra, mm.
VIEW_DEG, ISOCENTRE_MM = 5.0, 12.0
CLOSED = 0.3
NEEDLE_MM = 3.05


class Setting(Enum):
    """How the patient of the image differs from the CT.

    How far each vertebra moves for itself, beyond the patient (mm along and degrees about each axis), and whether all
    lungs and gas are filled with water: another soft tissue than any CT's.
    """

    #: The patient lies otherwise and hardly bends.
    RIGID = (0.5, 0.5, False)
    #: The patient bends: every joint between two vertebrae by up to twice as much.
    ARTICULATED = (2.0, 2.0, False)
    #: And nothing that the CT shows of lungs and bowel is to be seen.
    OTHER_TISSUE = (2.0, 2.0, True)


@dataclass(frozen=True, eq=False)
class Case:
    """Images of one vertebra and where it truly is: ``truth.to_world`` takes the CT to the fluoroscopy."""

    scan: str
    level: str
    frames: tuple[Frame, ...]
    truth: Pose


@lru_cache(maxsize=2)
def scanned(scan: str, folder: Path) -> Anatomy:
    """The anatomy of a scan in the folder of the shared data."""
    if scan == "lidc0001":
        ct = trocar.read_ct(folder / scan / "lidc0001_lower_dicom.zip")
        return trocar.read_anatomy(folder / scan / "lidc0001_lower_totalseg_mask.nii.gz", on=ct, scheme="totalseg-v2")
    ct = trocar.read_ct(folder / scan / "example_ct.nii.gz")
    labels = folder / scan / "totalseg_vertebrae_v2labels.nii.gz"
    return trocar.read_anatomy(labels, on=ct, scheme="totalseg-v2")


@lru_cache(maxsize=2)
def patient(scan: str, folder: Path, filled: bool = False) -> Volume:
    """The CT within the skin, its first and last slices repeated beyond its ends; ``filled``: water for all gas."""
    anatomy = scanned(scan, folder)
    ct = anatomy.ct
    inside = np.where(anatomy.skin.array, ct.array, -1000.0).astype(np.float32)
    if filled:
        inside[anatomy.skin.array & (ct.array < GAS_HU)] = 0.0
    more = round(BEYOND_MM / ct.spacing_mm[0])
    affine = ct.affine.copy()
    affine[:3, 3] = ct.world_mm((-more, 0, 0))
    return replace(ct, array=np.pad(inside, ((more, more), (0, 0), (0, 0)), mode="edge"), affine=affine)


def turned(about_mm: Vector, shift_mm: Vector, turn_deg: Vector) -> Pose:
    """A shift and a turn about a point."""
    turn = Rotation.from_rotvec(np.radians(turn_deg)).as_matrix()
    return Pose(about_mm + shift_mm - turn @ about_mm, turn)


def after(second: Pose, first: Pose) -> Pose:
    """First one displacement, then the other."""
    return Pose(second.to_world(first.origin_mm), second.axes @ first.axes)


def drawn(rng: np.random.Generator, about_mm: Vector, most_mm: float, most_deg: float) -> Pose:
    """A displacement about a point: each of its six parts evenly between the bounds."""
    return turned(about_mm, rng.uniform(-most_mm, most_mm, 3), rng.uniform(-most_deg, most_deg, 3))


def off_start(
    case: Case, anatomy: Anatomy, rng: np.random.Generator, most_mm: float = 10.0, most_deg: float = 10.0
) -> Pose:
    """A start that is off the truth by up to so much along and about each axis."""
    centre = case.truth.to_world(anatomy.vertebra(case.level).frame.origin_mm)
    return after(drawn(rng, centre, most_mm, most_deg), case.truth)


def step_mm(anatomy: Anatomy, level: str, levels: int) -> Vector:
    """From a vertebra's centre to that of one so many levels lower (negative: higher); beyond the scan straight on."""
    centres = {v.order: x.frame.origin_mm for v, x in anatomy.vertebrae.items() if x.whole}
    here = Level.parse(level).order
    there = here + levels
    if there in centres:
        return centres[there] - centres[here]
    known = sorted(centres)
    a, b = (known[-2], known[-1]) if levels > 0 else (known[1], known[0])
    return centres[b] - centres[here] + abs(there - b) * (centres[b] - centres[a])


def drawn_case(
    scan: str,
    level: str,
    folder: Path,
    rng: np.random.Generator,
    views: tuple[tuple[float, float], ...] = (AP, LATERAL),
    setting: Setting = Setting.ARTICULATED,
) -> Case:
    """One patient on the table under a C-arm that was set by eye, with a needle in one pedicle."""
    anatomy = scanned(scan, folder)
    vertebra = anatomy.vertebra(level)
    centre = vertebra.frame.origin_mm
    bone_mm, bone_deg, filled = setting.value
    whole = drawn(rng, centre, PATIENT_MM, PATIENT_DEG)
    own = {v: after(whole, drawn(rng, x.frame.origin_mm, bone_mm, bone_deg)) for v, x in anatomy.vertebrae.items()}
    truth = own[vertebra.level]
    breath = turned(np.zeros(3), rng.uniform(-BREATH_MM, BREATH_MM) * SUPERIOR, np.zeros(3))
    arms = [_arm(truth.to_world(centre) + rng.uniform(-ISOCENTRE_MM, ISOCENTRE_MM, 3), view, rng) for view in views]
    bones = [(with_ribs(anatomy, v), own[v]) for v in anatomy.vertebrae]
    rods = (needle(vertebra, truth),)
    frames = tuple(
        expose(
            attenuation(patient(scan, folder, filled), technique),
            arm,
            technique,
            rng,
            rods=rods,
            displacement=after(breath, whole),
            moved=bones,
            number=n,
        )
        for n, (arm, technique) in enumerate((arm, _technique(rng)) for arm in arms)
    )
    return Case(scan, level, frames, truth)


def with_ribs(anatomy: Anatomy, level: Level) -> Volume:
    """A vertebra with its own ribs, which its joints hold."""
    names = [f"rib_{side.value}_{level.value[1:]}" for side in Side] if level.region == "thoracic" else []
    ribs = [anatomy.structures[n] for n in names if n in anatomy.structures]
    return union([anatomy.vertebrae[level].mask, *ribs])


def _arm(isocentre_mm: Vector, view: tuple[float, float], rng: np.random.Generator) -> CArm:
    primary, secondary = np.array(view) + rng.uniform(-VIEW_DEG, VIEW_DEG, 2)
    return CArm(isocentre_mm, primary, secondary, 1020.0, 620.0, Detector(512, 512, 0.6, 0.6))


def _technique(rng: np.random.Generator) -> Technique:
    """Another dose, hardness, scatter and weight of bone every time."""
    return Technique(
        counts=rng.uniform(100.0, 400.0),
        scatter=rng.uniform(0.3, 0.8),
        hardening=rng.uniform(0.05, 0.2),
        bone=rng.uniform(0.8, 1.3),
        shutters=Shutters.closing(CLOSED),
    )


def needle(vertebra: Vertebra, truth: Pose) -> Rod:
    """An 11 G needle through the left pedicle, its tip at the middle of the body."""
    frame = vertebra.frame
    tip = frame.to_world(np.array((6.0, 0.0, 0.0)))
    hub = frame.to_world(np.array((45.0, 90.0, 10.0)))
    return Rod(truth.to_world(hub), truth.to_world(tip), NEEDLE_MM)


def errors_mm(anatomy: Anatomy, case: Case, found: Pose) -> NDArray[np.float64]:
    """Where each voxel of the vertebral body was put, less where it is: ``(n, 3)``, LPS."""
    points = anatomy.vertebra(case.level).body.points_mm()
    return found.to_world(points) - case.truth.to_world(points)


@dataclass(frozen=True)
class Run:
    """One registration of a case: what it was off (mean distance over the body, mm), and what it said of itself.

    ``across_mm`` leaves out what lies along the ray of a single view. ``levels_off`` is how many vertebrae too low the
    start was.
    """

    scan: str
    level: str
    levels_off: int
    error_mm: float
    across_mm: float
    expected_mm: float
    similarity: float
    fit: float
    lead: float
    reliable: bool
    seconds: float


def level_off(case: Case, anatomy: Anatomy, levels: int, start: Pose) -> Pose:
    """A start that takes the vertebra for the one so many levels lower."""
    by = start.axes @ step_mm(anatomy, case.level, levels)
    return Pose(start.origin_mm + by, start.axes)


def run(case: Case, anatomy: Anatomy, start: Pose, levels_off: int = 0, views: int = 2, threads: int = 2) -> Run:
    """Register a case from a start, with its first ``views`` images, and compare with the truth."""
    began = time.perf_counter()
    found = register(case.frames[:views], anatomy, case.level, start, threads=threads)
    seconds = time.perf_counter() - began
    errors = errors_mm(anatomy, case, found.displacement)
    ray = case.frames[0].view.toward_detector if views == 1 and case.frames[0].view else np.zeros(3)
    value = {m.name: m.value for m in found.measures}
    return Run(
        case.scan,
        case.level,
        levels_off,
        float(np.linalg.norm(errors, axis=1).mean()),
        float(np.linalg.norm(errors - np.outer(errors @ ray, ray), axis=1).mean()),
        value["expected_error"],
        found.similarity,
        found.tried[0].fit,
        found.lead,
        found.reliable,
        seconds,
    )


def in_turn(n: int) -> tuple[str, str]:
    """The n-th scan and level: the scans by turns, their levels one after the other."""
    scan = tuple(LEVELS)[n % len(LEVELS)]
    return scan, LEVELS[scan][n // len(LEVELS) % len(LEVELS[scan])]


def seeded_runs(folder: Path, count: int, seed: int, setting: Setting, views: int = 2, at_once: int = 1) -> list[Run]:
    """Runs from starts of up to 10 mm and 10 degrees along and about each axis; one view: AP, lateral by turns.

    ``at_once`` of them are made side by side, each then on one thread: their times say little.
    """
    threads = 2 if at_once == 1 else 1

    def one(n: int) -> Run:
        scan, level = in_turn(n)
        rng = np.random.default_rng((seed, n))
        sight = (AP, LATERAL) if views == 2 else ((AP, LATERAL)[n // 2 % 2],)
        case, anatomy = drawn_case(scan, level, folder, rng, sight, setting), scanned(scan, folder)
        return run(case, anatomy, off_start(case, anatomy, rng), views=views, threads=threads)

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, range(count)))


def level_runs(folder: Path, seed: int, per_scan: int) -> list[Run]:
    """Runs from starts one and two vertebrae off, both ways, with and without the further 10 mm and 10 degrees."""
    out = []
    for n in range(per_scan * len(LEVELS)):
        scan, level = in_turn(n)
        rng = np.random.default_rng((seed, n))
        case, anatomy = drawn_case(scan, level, folder, rng), scanned(scan, folder)
        for start in (case.truth, off_start(case, anatomy, rng)):
            out += [run(case, anatomy, level_off(case, anatomy, off, start), off) for off in (-2, -1, 1, 2)]
    return out


def table(runs: list[Run]) -> str:
    """Runs as lines to read."""
    return "\n".join(
        f"{r.scan:11s}{r.level:4s}{r.levels_off:+d}  off {r.error_mm:6.2f} mm (across {r.across_mm:5.2f}, "
        f"expected {r.expected_mm:4.2f})  similarity {r.similarity:.2f}  fit {r.fit:.2f}  lead {r.lead:.2f}  "
        f"{'reliable' if r.reliable else 'unreliable':10s} {r.seconds:5.1f} s"
        for r in runs
    )
