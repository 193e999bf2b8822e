"""A small patient made of ellipsoids, with one marker on the patient's left front top, and a plan through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Heights, Part, Pedicle, Vertebra
from trocar.geometry import Line, Plane, Pose, Side
from trocar.measure import Finding, Measure, Severity, Status
from trocar.planning.instrument import Needle
from trocar.planning.trajectory import Clearance, Trajectory
from trocar.treatment import Option, Plan, Procedure, Provenance, Simulation, quantity
from trocar.volume import Acquisition, Slice, Volume

MARKER_MM = np.array([32.0, -28.0, 20.0])  # left, in front, above
SPACING = (2.0, 1.0, 1.0)
SHAPE = (44, 130, 120)


@dataclass(frozen=True)
class Biopsy(Procedure):
    """A stand-in procedure with two numeric fields and one reference."""

    name: ClassVar[str] = ""  # nameless, so that it is not offered as a real procedure
    references: ClassVar[tuple[str, ...]] = ("Deramond H et al. Radiol Clin North Am 1998;36:533-546.",)

    error_mm: float = quantity(1.5, 0.0, 10.0, "mm", "hand error at the entry, standard deviation per axis")
    error_deg: float = quantity(2.5, 0.0, 20.0, "deg", "hand error in angle, standard deviation per axis")


def _grid() -> tuple[np.ndarray, np.ndarray]:
    affine = np.diag([SPACING[2], SPACING[1], SPACING[0], 1.0])
    affine[:3, 3] = (-60.0, -50.0, -44.0)
    k, j, i = np.indices(SHAPE)
    return affine, np.stack([i - 60.0, j - 50.0, 2.0 * k - 44.0], axis=-1)


def _ellipsoid(p: np.ndarray, centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    return np.sum(((p - centre) / radii) ** 2, axis=-1) <= 1.0


def _parts(p: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(p, -1, 0)
    parts = np.zeros(SHAPE, np.uint8)
    ring = _ellipsoid(p, (0, 27, 0), (19, 14, 400)) & (np.abs(z) <= 9) & (y > 20)
    parts[ring] = Part.ARCH
    parts[(np.abs(x) <= 3) & (y > 38) & (y < 58) & (np.abs(z + 3) <= 6)] = Part.ARCH
    for side, part in ((1, Part.PEDICLE_LEFT), (-1, Part.PEDICLE_RIGHT)):
        parts[(np.abs(side * x - 14.5) <= 5) & (y > 13) & (y <= 23) & (np.abs(z - 2) <= 7)] = part
    parts[_ellipsoid(p, (0, 0, 0), (22, 16, 400)) & (np.abs(z) <= 12)] = Part.BODY
    canal = (_ellipsoid(p, (0, 23, 0), (9, 7.5, 400))) & (np.abs(z) <= 16)
    parts[canal & (parts != Part.BODY)] = Part.CANAL
    return parts


def _mask(array: np.ndarray, affine: np.ndarray) -> Volume:
    whole = Volume(array, affine, "1.2.3", "mask")
    where = np.argwhere(array)
    return whole.crop(where.min(axis=0), where.max(axis=0) + 1)


def _mm(name: str, value: float, method: str = "test body") -> Measure:
    return Measure(name, value, "mm", value - 0.5, value + 0.5, "voxel", method)


def make_vertebra(parts: Volume) -> Vertebra:
    bone = Volume((parts.array > 0) & (parts.array != Part.CANAL), parts.affine, "1.2.3", "mask")
    angle = Measure("angle", 5.0, "deg")
    pedicles = {
        side: Pedicle(side, Line((side.sign * 14.5, 18, 2), (0, -1, 0)), _mm("w", 10), _mm("h", 14), angle, angle)
        for side in Side
    }
    planes = {"superior": Plane((0, 0, 12), (0, 0, 1)), "inferior": Plane((0, 0, -12), (0, 0, -1))}
    measures = (
        _mm("anterior height", 24.0),
        Measure("trabecular density", 131.0, "[hnsf'U]", method="mean of the body, 3 mm from its walls"),
    )
    return Vertebra(
        Level.L1,
        bone,
        parts,
        Pose((0, 0, 0), np.eye(3)),
        pedicles,
        planes,
        Heights(_mm("a", 24), _mm("m", 24), _mm("p", 24)),
        measures=measures,
    )


def make_anatomy() -> Anatomy:
    affine, p = _grid()
    parts = _parts(p)
    skin = _ellipsoid(p, (0, 8, 0), (56, 66, 400))
    aorta = _ellipsoid(p, (9, -27, 0), (8, 8, 400))
    cord = _ellipsoid(p, (0, 23, 0), (4, 3.5, 400))
    lung = _ellipsoid(p, (-36, 0, 30), (12, 30, 22)) & skin & (parts == 0)
    hu = np.where(skin, 40.0, -1000.0).astype(np.float32)
    hu[(parts > 0) & (parts != Part.CANAL)] = 350.0
    hu[aorta], hu[lung] = 180.0, -850.0
    hu[np.linalg.norm(p - MARKER_MM, axis=-1) <= 4.0] = 3000.0
    slices = tuple(Slice(n + 1, 2.0 * n - 44.0, table_position_mm=300.0 - 2.0 * n) for n in range(SHAPE[0]))
    scan = Acquisition("FFS", "1.2.840.99.1", slices, {"IM0001": "ab" * 32, "IM0002": "cd" * 32})
    structures = {name: _mask(m, affine) for name, m in (("aorta", aorta), ("spinal_cord", cord), ("lung_right", lung))}
    structures["spinal_canal"] = _mask(parts == Part.CANAL, affine)
    label = Volume(parts, affine, "1.2.3", "label")
    where = np.argwhere(parts)
    return Anatomy(
        Volume(hu, affine, "1.2.3", "HU", scan),
        {Level.L1: make_vertebra(label.crop(where.min(axis=0), where.max(axis=0) + 1))},
        structures,
        Volume(skin, affine, "1.2.3", "mask"),
        frozenset({"spinal_canal"}),
        scheme="totalseg-v2",
        digests=(("labels.nii.gz", "ef" * 32),),
    )


def make_trajectory(side: Side) -> Trajectory:
    target, entry = np.array([0.0, -5.0, 0.0]), np.array([side.sign * 18.0, 30.0, 5.0])
    skin = entry + 0.86 * (entry - target)
    clearances = (
        Clearance("canal", 2.6, 0.5, 2.0),
        Clearance("pedicle_wall_medial", 2.5, 0.5, 1.0),
        Clearance("aorta", 11.2, 0.5, 5.0),
        Clearance("lung_right", 4.1, 0.5, 5.0),
    )
    how = "hand error 1.5 mm, 2.5°"
    breach = Measure("breach_probability", 0.034, "1", 0.02, 0.05, "95 %", how)
    measures = (
        Measure("transverse_angle", 27.0, "deg", method="in the vertebra's own frame"),
        Measure("tip_off_midline", 0.4, "mm", method="in the vertebra's own frame"),
        Measure("breach_probability_canal", 0.021, "1", method=how),
        Measure("breach_probability_lung", 0.0, "1", method=how),
    )
    needle = Needle.of_gauge(11)
    return Trajectory(Level.L1, side, "transpedicular", needle, skin, entry, target, clearances, breach, measures)


def make_plan(two_sided: bool = False) -> Plan:
    left, right = make_trajectory(Side.LEFT), make_trajectory(Side.RIGHT)
    one = Option(
        (left,),
        "Widest clearance to the canal and the tip at the midline.",
        (Measure("slack", 0.6, "mm", method="least clearance beyond its margin"),),
    )
    other = Option((right,), "Same path from the right; nearer to the lung.")
    both = Option((left, right), "Two needles, where one cannot reach the midline.")
    options = (both, one, other) if two_sided else (one, other, both)
    findings = (
        Finding(Severity.STOP, "The posterior wall is broken.", "gap of 4.2 mm"),
        Finding(Severity.CAUTION, "The canal clearance is borderline.", "0.6 mm above the margin"),
        Finding(Severity.NOTE, "The arch tip is cut by the field of view.", "last slice"),
    )
    anatomy = make_anatomy()
    return Plan(
        Biopsy("L1"),
        anatomy,
        options,
        ("inferior_vena_cava", "lung_left"),
        anatomy.vertebrae[Level.L1].measures,
        findings,
        Provenance.of(anatomy),
    )


# --- a simulation: not solved, drawn, so that what is told of it is known -------------------------

CEMENT_MM = (8.0, -5.0, 1.0)  # in the vertebra's own frame: on the patient's left, in front of the middle
LAW = "Axial, PMMA caps, 1.9 mm along the vertebra; law: Kopperdahl 2002"


def model_grid(vertebra: Vertebra, step_mm: float = 1.5, turn_deg: float = 9.0) -> Volume:
    """The body's voxels on a grid of its own, turned against the CT about the vertebra's posterior axis."""
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    axes = vertebra.frame.axes @ np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    affine = np.eye(4)
    affine[:3, :3] = axes * step_mm
    half = np.array([20, 30, 30])  # k, j, i
    affine[:3, 3] = vertebra.frame.origin_mm - affine[:3, :3] @ half[::-1]
    grid = Volume(np.zeros(tuple(2 * half + 1), bool), affine, "1.2.3", "mask")
    return Volume(vertebra.body.onto(grid).array, affine, "1.2.3", "mask")


def make_simulation(plan: Plan, cement_mm: tuple[float, float, float] = CEMENT_MM, turn_deg: float = 9.0) -> Simulation:
    """Two scenarios; the field grows to the patient's left, and the cement (a ball of 7 mm) unloads its neighbours."""
    vertebra = plan.anatomy.vertebra(plan.procedure.level)
    body = model_grid(vertebra, turn_deg=turn_deg)
    at = vertebra.frame.to_local(body.world_mm(np.moveaxis(np.indices(body.shape), 0, -1)))
    distance = np.linalg.norm(at - cement_mm, axis=-1)
    cement = body.array & (distance <= 7.0)
    strain = np.where(body.array, 0.004 + 0.00012 * at[..., 0], 0.0).astype(np.float32)
    relieved = np.where(cement, 0.0006, strain * np.clip(distance / 16.0, 0.25, 1.0)).astype(np.float32)
    volumes = {"cement": Volume(cement, body.affine, "1.2.3", "mask")}
    for scenario, values in (("as_is", strain), ("augmented", relieved)):
        volumes[f"effective_strain_{scenario}"] = Volume(values, body.affine, "1.2.3", "1")
        volumes[f"strain_energy_{scenario}"] = Volume(150.0 * values**2, body.affine, "1.2.3", "mJ/mm3")
    return Simulation(
        plan, Status.SUCCESS, volumes, make_series(), make_answers(), make_worries(), ("Keaveny TM. A book (2001).",)
    )


def make_answers() -> tuple[Measure, ...]:
    found = {"stiffness": ("N/mm", 11_240.0, 14_900.0), "strength_stiffness": ("N", 3310.0, 4388.0),
             "strength_offset": ("N", 3105.0, 3960.0), "strength_section": ("N", 2890.0, 3050.0)}  # fmt: skip
    loads = tuple(
        Measure(f"{name}_{scenario}", value, unit, 0.72 * value, 1.31 * value, "bone laws", f"{LAW}, {name}")
        for scenario, place in (("as_is", 1), ("augmented", 2))
        for name, (unit, *values) in found.items()
        for value in (values[place - 1],)
    )
    return (
        *loads,
        Measure("tilt_forward_as_is", 0.05, "deg", method="Turn of the loaded end about the left-right axis"),
        Measure("tilt_forward_augmented", 0.62, "deg", method="Turn of the loaded end about the left-right axis"),
        Measure("cement_volume", 3.5, "mL", method="As prescribed"),
        Measure("anterior_height_before", 19.2, "mm", 18.2, 20.2, "voxel", "At the front of the body"),
        Measure("anterior_height_after", 22.0, "mm", 20.1, 23.9, "bone laws", "At the front of the body"),
    )


def make_worries() -> tuple[Finding, ...]:
    return (
        Finding(Severity.CAUTION, "The cement lies on one side: the vertebra tilts under load.", "0.6° at 1 kN"),
        Finding(Severity.NOTE, "No phantom was scanned: density rests on fat and muscle.", "internal calibration"),
    )


def make_series() -> dict[str, dict[str, list[float] | list[str]]]:
    fills = [5.0, 10.0, 15.0, 20.0, 25.0]
    gains = {"central": 190.0, "eccentric": 150.0, "two-sided": 205.0}
    z = np.linspace(0.0, 24.0, 25)
    rigid = 1.6e6 + 5e5 * np.cos(2.0 * np.pi * z / 24.0)
    return {
        "sweep": {
            "place": [name for name in gains for _ in fills],
            "fill_percent": fills * 3,
            "stiffness_n_per_mm": [11_240.0 + g * f for g in gains.values() for f in fills],
            "strength_n": [3105.0 + 0.24 * g * f for g in gains.values() for f in fills],
        },
        "section": {
            "height_mm": z.tolist(),
            "axial_rigidity_as_is_n": rigid.tolist(),
            "axial_rigidity_augmented_n": (rigid + 9e5 * np.exp(-(((z - 13.0) / 6.0) ** 2))).tolist(),
        },
    }


@pytest.fixture(scope="session")
def simulation(plan: Plan) -> Simulation:
    return make_simulation(plan)


@pytest.fixture(scope="session")
def plan() -> Plan:
    return make_plan()


@pytest.fixture(scope="session")
def two_sided_plan() -> Plan:
    return make_plan(two_sided=True)
