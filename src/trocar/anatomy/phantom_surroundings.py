"""What lies around the bones of the phantom: ribs, discs, cord, vessels, lungs, organs, muscle, fat.

Places are typical of an adult lying supine and come from no one series; they follow the vertebrae
level by level, as offsets in mm from the body's centre along the patient's axes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.anatomy.levels import Level
from trocar.anatomy.morphometry import MEASURED_LEVELS, morphometry
from trocar.anatomy.phantom_shapes import BodyForm, Distances, Grid, Shape, Tube, ellipsoid, rod
from trocar.anatomy.phantom_spine import VertebraForm, canal_centre_mm, wall_mm
from trocar.geometry import Pose, Side, Vector, unit

Column = Mapping[Level, VertebraForm]
Table = Mapping[str, tuple[float, ...]]  # a row of numbers by level name
WORLD = Pose(np.zeros(3), np.eye(3))

#: Radius of a rib, mm: half its thickness and half its height.
RIB_RADII_MM = (3.2, 5.5)
#: Gap of the joints between rib and vertebra, mm.
RIB_JOINT_MM = 1.5
#: From the cage (the line of the ribs) in to the pleura, mm.
PLEURA_BEHIND_RIB_MM = 6.0
#: From the cage out to the outer face of the wall of muscle, mm.
WALL_OUTSIDE_RIB_MM = 9.0
#: Between lung and the vertebral bodies, aorta and costovertebral joints, mm.
PLEURA_GAP_MM = 4.0
#: How far the trunk runs on above T1 and below L5, mm.
RUN_ON_MM = 200.0


@dataclass(frozen=True)
class Tissue:
    """A structure to paint: its name in the label map ("" when it has none), form and HU."""

    name: str
    form: Tube | Shape
    hu: float


def _by_level(table: Table, levels: tuple[Level, ...]) -> NDArray[np.float64]:
    """Rows of a table interpolated over ``levels``; its keys are level names."""
    places = {str(v): n for n, v in enumerate(MEASURED_LEVELS)}
    known = sorted((places[name], row) for name, row in table.items())
    at = [places[str(v)] for v in levels]
    columns = np.array([row for _, row in known]).T
    return np.stack([np.interp(at, [p for p, _ in known], c) for c in columns], axis=1)


def _span(table: Table) -> tuple[Level, ...]:
    orders = [Level(name).order for name in table]
    return tuple(v for v in MEASURED_LEVELS if min(orders) <= v.order <= max(orders))


def _tube(
    column: Column,
    table: Table,
    *,
    above: bool = False,
    below: bool = False,
    flip: bool = False,
) -> Tube:
    """A tube at offsets (x, y) with half-axes (a, b) from the bodies' centres, by level.

    It runs on above or below the table's levels where told; ``flip`` puts it on the other side.
    """
    levels = _span(table)
    rows = _by_level(table, levels)
    centres = np.array([column[v].pose.origin_mm for v in levels])
    rows[:, 0] *= -1.0 if flip else 1.0
    nodes = np.column_stack([centres[:, 2], centres[:, 0] + rows[:, 0], centres[:, 1] + rows[:, 1], rows[:, 2:4]])
    return Tube(_run_on(nodes, above, below))


def _run_on(nodes: NDArray[np.float64], above: bool = True, below: bool = True) -> NDArray[np.float64]:
    """The nodes of a tube (head to foot) with its ends carried on straight."""
    top, bottom = nodes[:1].copy(), nodes[-1:].copy()
    top[0, 0] += RUN_ON_MM
    bottom[0, 0] -= RUN_ON_MM
    return np.vstack([*([top] if above else []), nodes, *([bottom] if below else [])])


# level: half-width of the cage, half-depth, and its back behind the body's centre
_CAGE = {
    "T1": (62.0, 45.0, 44.0),
    "T2": (80.0, 56.0, 47.0),
    "T4": (106.0, 74.0, 51.0),
    "T6": (122.0, 86.0, 53.0),
    "T8": (132.0, 93.0, 54.0),
    "T10": (136.0, 96.0, 54.0),
    "T12": (134.0, 96.0, 54.0),
    "L3": (130.0, 92.0, 50.0),
    "L5": (132.0, 92.0, 50.0),
}
# level: skin behind the body's centre
_BACK = {"T1": (80.0,), "T4": (78.0,), "T8": (78.0,), "T12": (82.0,), "L2": (88.0,), "L4": (90.0,), "L5": (92.0,)}
#: Thickness of muscle, fat and skin outside the cage at the flanks, mm.
FLANK_MM = 24.0


def _cage(column: Column, inset_mm: float) -> Tube:
    rows = _by_level(_CAGE, MEASURED_LEVELS)
    centres = np.array([column[v].pose.origin_mm for v in MEASURED_LEVELS])
    y = centres[:, 1] + rows[:, 2] - rows[:, 1]
    nodes = np.column_stack([centres[:, 2], centres[:, 0] * 0.5, y, rows[:, :2] - inset_mm])
    return Tube(_run_on(nodes))


def skin(column: Column) -> Tube:
    """The outline of the trunk."""
    cage = _by_level(_CAGE, MEASURED_LEVELS)
    back = _by_level(_BACK, MEASURED_LEVELS)[:, 0]
    centres = np.array([column[v].pose.origin_mm for v in MEASURED_LEVELS])
    half_width, half_depth = cage[:, 0] + FLANK_MM + 12.0, cage[:, 1] + FLANK_MM
    y = centres[:, 1] + back - half_depth
    return Tube(_run_on(np.column_stack([centres[:, 2], centres[:, 0] * 0.5, y, half_width, half_depth])))


# offsets to the left and to posterior of the body's centre, half-width, half-depth
_AORTA = {
    "T4": (27, -10, 12, 12),
    "T5": (27, -9, 12, 12),
    "T7": (25, -15, 12, 12),
    "T9": (19, -24, 11.5, 11.5),
    "T11": (10, -31, 11, 11),
    "L1": (7, -32, 10.5, 10.5),
    "L4": (5, -31, 9, 9),
}
_VENA_CAVA = {
    "T9": (-26, -62, 12, 11),
    "T11": (-22, -42, 12, 10),
    "L1": (-18, -32, 11.5, 9),
    "L4": (-17, -30, 12, 9),
    "L5": (-16, -29, 12, 9),
}
_OESOPHAGUS = {"T1": (3, -20, 8, 5), "T5": (3, -27, 8, 5), "T8": (4, -34, 8, 5), "T10": (12, -44, 8, 6)}
_TRACHEA = {"T1": (0, -34, 9, 8.5), "T4": (-2, -44, 9, 8.5)}
_BACK_MUSCLE = {
    "T1": (27, 42, 22, 15),
    "T6": (27, 41, 22, 14),
    "T12": (31, 43, 26, 18),
    "L3": (33, 50, 30, 22),
    "L5": (32, 54, 29, 22),
}
_PSOAS = {
    "T12": (27, 2, 4, 7),
    "L1": (30, 4, 7, 11),
    "L2": (35, 5, 11, 14),
    "L3": (40, 4, 15, 17),
    "L4": (45, 0, 18, 20),
    "L5": (51, -8, 20, 22),
}
_QUADRATUS = {"T12": (52, 26, 12, 5), "L2": (64, 28, 17, 8), "L4": (70, 28, 18, 9)}


def trunk(column: Column) -> list[Tissue]:
    """Skin with fat, the wall of muscle, and the fat within it; later ones lie over earlier ones."""
    return [
        Tissue("", skin(column), -95.0),
        Tissue("", _cage(column, -WALL_OUTSIDE_RIB_MM), 52.0),
        Tissue("", _cage(column, PLEURA_BEHIND_RIB_MM), -90.0),
    ]


def soft_tissue(column: Column, contrast: bool) -> list[Tissue]:
    """Muscles, organs and vessels; later ones lie over earlier ones. HU without or with contrast."""
    blood, kidney = (170.0, 160.0) if contrast else (42.0, 32.0)
    out = []
    for side in Side:
        flip = side is Side.RIGHT
        out.append(
            Tissue(f"autochthon_{side.value}", _tube(column, _BACK_MUSCLE, above=True, below=True, flip=flip), 55.0)
        )
        out.append(Tissue("", _tube(column, _QUADRATUS, below=True, flip=flip), 55.0))
        out.append(Tissue(f"iliopsoas_{side.value}", _tube(column, _PSOAS, below=True, flip=flip), 57.0))
    out += _organs(column, kidney, blood)
    out.append(Tissue("esophagus", _tube(column, _OESOPHAGUS), 35.0))
    out.append(Tissue("trachea", _tube(column, _TRACHEA), -980.0))
    out.append(Tissue("aorta", _tube(column, _AORTA), blood))
    out.append(Tissue("inferior_vena_cava", _tube(column, _VENA_CAVA), blood - (20.0 if contrast else 0.0)))
    return out


def _at(column: Column, level: Level, offset: ArrayLike) -> Vector:
    return np.asarray(column[level].pose.origin_mm + np.asarray(offset, dtype=float))


def _blob(column: Column, level: Level, offset: ArrayLike, half_axes: tuple[float, float, float]) -> Shape:
    return Shape(WORLD, np.array([ellipsoid(_at(column, level, offset), half_axes, (0.0, 0.15, 1.0))]))


def domes(column: Column) -> tuple[Shape, Shape]:
    """What fills the two domes of the diaphragm: liver on the right, stomach on the left."""
    return (
        _blob(column, Level.T12, (-72.0, -52.0, 6.0), (58.0, 62.0, 62.0)),
        _blob(column, Level.T12, (66.0, -62.0, 2.0), (52.0, 52.0, 52.0)),
    )


def _organs(column: Column, kidney_hu: float, blood_hu: float) -> list[Tissue]:
    liver, stomach = domes(column)
    return [
        Tissue("heart", _blob(column, Level.T8, (18.0, -92.0, 0.0), (58.0, 40.0, 52.0)), blood_hu),
        Tissue("liver", liver, 62.0),
        Tissue("stomach", stomach, 30.0),
        Tissue("spleen", _blob(column, Level.T11, (98.0, 4.0, -12.0), (20.0, 30.0, 48.0)), 50.0),
        Tissue("", _blob(column, Level.L1, (-64.0, 4.0, -18.0), (36.0, 32.0, 62.0)), -100.0),
        Tissue("", _blob(column, Level.L1, (64.0, 4.0, -4.0), (36.0, 32.0, 62.0)), -100.0),
        Tissue("kidney_right", _blob(column, Level.L1, (-64.0, 5.0, -18.0), (26.0, 22.0, 52.0)), kidney_hu),
        Tissue("kidney_left", _blob(column, Level.L1, (64.0, 5.0, -4.0), (26.0, 22.0, 52.0)), kidney_hu),
    ]


# --- lungs --------------------------------------------------------------------------------------

_HULL: dict[str, Table] = {  # paravertebral tissue that keeps the lung off the spine: bodies, then gutters beside them
    "body": {"T1": (0, 2, 21, 17), "T6": (0, 2, 20, 18), "T12": (0, 2, 26, 22)},
    "gutter": {"T1": (25, 20, 15, 18), "T6": (22, 23, 14, 17), "T12": (25, 26, 14, 17)},
    "back": {"T1": (0, 34, 26, 36), "T12": (0, 36, 25, 36)},
    "aorta": {k: (x, y, a + PLEURA_GAP_MM - 2.0, b + PLEURA_GAP_MM - 2.0) for k, (x, y, a, b) in _AORTA.items()},
    "front": {"T1": (0, -32, 26, 26), "T4": (2, -42, 22, 32), "T8": (8, -62, 24, 52), "T12": (8, -62, 30, 52)},
}


def lung_distance(column: Column, grid: Grid) -> Distances:
    """Signed distance of both lungs: inside the cage, off the spine, above the diaphragm."""
    cage = _cage(column, PLEURA_BEHIND_RIB_MM).render(grid)
    out = cage.copy()
    for name, table in _HULL.items():
        on = name != "aorta"
        for flip in (False, True) if name == "gutter" else (False,):
            np.maximum(out, -_tube(column, table, above=on, below=on, flip=flip).render(grid), out=out)
    for shape in (*domes(column), _pleural_angle(column)):
        np.maximum(out, 3.0 - shape.render(grid), out=out)
    floor = column[Level.T12].pose.origin_mm[2] - 12.0
    equator = column[Level.T10].pose.origin_mm[2]
    above = np.clip((grid.z - floor) / (equator - floor), 0.0, 1.0)
    recess = (30.0 * above / (1.03 - above))[:, None, None]
    np.maximum(out, -cage - recess, out=out)
    roof = column[Level.T1].pose.origin_mm[2]
    np.maximum(out, np.maximum(floor - grid.z, grid.z - roof)[:, None, None], out=out)
    return np.asarray(out, dtype=np.float32)


def _pleural_angle(column: Column) -> Shape:
    """Head, neck and angle of every rib with the tissue that parts them from the pleura."""
    rows = []
    for level in MEASURED_LEVELS[:12]:
        for side in Side:
            head, tubercle, angle = rib_path(column, level, side)[:3]
            rows.append(rod(head, tubercle, (RIB_RADII_MM[0] + 1.5, 7.0), blend_mm=3.0))
            rows.append(rod(tubercle, angle, (RIB_RADII_MM[0] + 1.0, 7.0), blend_mm=3.0))
    return Shape(WORLD, np.array(rows))


def lobes(column: Column, grid: Grid) -> dict[Side, list[NDArray[np.bool_]]]:
    """Masks (broadcastable to the grid) that part each lung into its lobes, upper one first."""
    z, y, x = grid.z[:, None, None], grid.y[None, :, None], grid.x[None, None, :]
    centre = column[Level.T6].pose.origin_mm
    left = x > centre[0]
    lower = (z - centre[2]) < (y - centre[1]) + 20.0
    middle = z < column[Level.T7].pose.origin_mm[2]
    return {
        Side.LEFT: [left & ~lower, left & lower],
        Side.RIGHT: [~left & ~lower & ~middle, ~left & ~lower & middle, ~left & lower],
    }


# --- canal, discs, roots ------------------------------------------------------------------------


def canal_tube(column: Column, share: float = 1.0) -> Tube:
    """The canal through all levels, or the given share of its section."""
    nodes = []
    for level, form in column.items():
        m = morphometry(level)
        reach = 0.4 * m.posterior_height_mm
        steep = 1.0 / max(form.pose.superior[2], 0.5)
        for z in (reach, -reach):
            p = form.pose.to_world([0.0, canal_centre_mm(m), z])
            nodes.append(
                [p[2], p[0], p[1], 0.5 * m.canal_width_mm * share, 0.5 * m.canal_depth_mm * share * steep],
            )
    return Tube(_run_on(np.array(sorted(nodes, key=lambda n: -n[0]))))


def cord(column: Column) -> Tube:
    """The spinal cord, tapering to the conus at the lower edge of L1."""
    nodes = []
    for level, form in column.items():
        if level.order > Level.L1.order:
            continue
        m = morphometry(level)
        taper = {Level.T12: 0.95, Level.L1: 0.75}.get(level, 1.0)
        p = form.pose.to_world([0.0, canal_centre_mm(m), 0.0])
        nodes.append([p[2], p[0], p[1], 5.0 * taper, 3.9 * taper])
    m = morphometry(Level.L1)
    p = column[Level.L1].pose.to_world([0.0, canal_centre_mm(m), -0.5 * m.posterior_height_mm])
    nodes.append([p[2], p[0], p[1], 1.5, 1.5])
    top = [nodes[0][0] + RUN_ON_MM, *nodes[0][1:]]
    return Tube(np.array([top, *nodes]))


def discs(column: Column) -> Shape:
    """The discs between the levels."""
    levels = list(column)
    rows = [_disc(column[a], column[b]) for a, b in pairwise(levels)]
    return Shape(WORLD, np.array([*rows, _lowest_disc(column[Level.L5])]))


def _disc(upper: VertebraForm, lower: VertebraForm) -> NDArray[np.float64]:
    a, b = upper.body, lower.body
    radii_a, radii_b = (a.half_width_bottom, a.half_depth_bottom), (b.half_width_top, b.half_depth_top)
    start = upper.pose.to_world([0.0, 0.0, a.bottom + 1.5])
    stop = lower.pose.to_world([0.0, 0.0, b.top - 0.5 * b.wedge - 1.5])
    return rod(start, stop, radii_a, radii_b, across=upper.pose.left, cap_mm=1.5, blend_mm=0.0)


def _lowest_disc(form: VertebraForm) -> NDArray[np.float64]:
    b, height = form.body, form.measures.disc_height_mm
    start, stop = [0.0, 0.0, b.bottom + 1.5], [0.0, 0.0, b.bottom - height - 1.5]
    radii = (b.half_width_bottom, b.half_depth_bottom)
    return rod(
        form.pose.to_world(start), form.pose.to_world(stop), radii, across=form.pose.left, cap_mm=1.5, blend_mm=0.0
    )


def roots(column: Column) -> Shape:
    """The nerve roots that leave below each pedicle."""
    rows = []
    for form in column.values():
        m = form.measures
        for p in form.pedicles.values():
            x = abs(float(p.isthmus_mm[0]))
            low = float(p.isthmus_mm[2]) - 0.5 * m.pedicle_height_mm - 4.0
            start = [p.side.sign * 0.3 * m.canal_width_mm, canal_centre_mm(m), low + 2.0]
            middle = [p.side.sign * x, wall_mm(m) + 3.0, low - 1.0]
            stop = [p.side.sign * (x + 12.0), wall_mm(m) - 4.0, low - 9.0]
            for a, b, r in ((start, middle, 1.6), (middle, stop, 2.4)):
                rows.append(rod(form.pose.to_world(a), form.pose.to_world(b), (r, r), blend_mm=1.0))
    return Shape(WORLD, np.array(rows))


def sacrum(column: Column) -> Shape:
    """A plain sacrum that closes the column below L5: S1's body, the wings, the tail."""
    rows = [rod([0.0, 2.0, -8.0], [0.0, 22.0, -70.0], (19.0, 11.0), (9.0, 7.0), blend_mm=6.0)]
    for g in (1.0, -1.0):
        rows.append(
            rod([g * 14.0, 2.0, 2.0], [g * 46.0, 10.0, -12.0], (12.0, 13.0), across=(0, 1, 0), blend_mm=6.0),
        )
    return Shape(sacral_pose(column), np.array(rows), _SACRAL_BODY)


#: The first sacral body: as wide as L5's lower endplate above, tapering to the second below, mm.
_SACRAL_BODY = BodyForm(
    half_width_top=24.5,
    half_width_bottom=17.0,
    half_depth_top=16.5,
    half_depth_bottom=11.5,
    waist=0.95,
    top=15.0,
    top_slope=0.0,
    top_bowl=0.8,
    bottom=-15.0,
    bottom_slope=0.0,
    bottom_bowl=0.0,
    notch=0.8,
    squareness=2.4,
    rounding=1.5,
    wedge=0.0,
    front=-13.0,
    back=13.0,
    sink=0.0,
)
#: How much farther the sacrum leans forward than L5, degrees.
SACRAL_LEAN_DEG = 16.0


def sacral_pose(column: Column) -> Pose:
    """Where S1 stands: below the last disc, leaning forward."""
    l5 = column[Level.L5]
    c, s = np.cos(np.radians(SACRAL_LEAN_DEG)), np.sin(np.radians(SACRAL_LEAN_DEG))
    axes = l5.pose.axes @ np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    promontory = l5.pose.to_world([0.0, 0.0, l5.body.bottom - l5.measures.disc_height_mm])
    return Pose(promontory - _SACRAL_BODY.top * axes[:, 2], axes)


def first_sacral(column: Column, grid: Grid) -> NDArray[np.bool_]:
    """Which voxels of the sacrum are its first vertebra, S1."""
    pose = sacral_pose(column)
    z, y, x = np.meshgrid(grid.z, grid.y, grid.x, indexing="ij", sparse=True)
    up, origin = pose.superior, pose.origin_mm
    height = (x - origin[0]) * up[0] + (y - origin[1]) * up[1] + (z - origin[2]) * up[2]
    return np.asarray(height > _SACRAL_BODY.bottom)


# --- ribs ---------------------------------------------------------------------------------------

#: How far round the chest each rib is drawn, degrees from the back; 11 and 12 float.
_RIB_REACH_DEG = {1: 140.0, 11: 100.0, 12: 50.0}


#: Half the thickness of a transverse process at its tip, mm.
TRANSVERSE_TIP_MM = 3.8
#: The last two ribs have no joint with the transverse process and pass this much farther from it, mm.
FLOATING_MM = {Level.T11: 4.0, Level.T12: 6.0}


def rib(column: Column, level: Level, side: Side) -> Shape:
    """The rib of a thoracic level: head beside the body, tubercle before the transverse process."""
    return Shape(WORLD, np.array(_rib_rods(rib_path(column, level, side))))


def rib_path(column: Column, level: Level, side: Side) -> NDArray[np.float64]:
    """Centreline ``(n, 3)`` in the patient: head, neck, tubercle, angle, and round the cage."""
    form = column[level]
    head = form.pose.to_world(_rib_head(form, side))
    facing = rib_tubercle(form, side)
    tubercle = form.pose.to_world(facing)
    bend = form.pose.to_world(facing + np.array([side.sign * 9.0, 8.0, -3.0]))
    number = int(level.value[1:])
    reach = _RIB_REACH_DEG.get(number, 150.0)
    half_width, half_depth, back = _by_level(_CAGE, (level,))[0]
    centre = form.pose.origin_mm
    first = np.degrees(np.arcsin(min((abs(bend[0] - 0.5 * centre[0]) + 8.0) / half_width, 0.9)))
    angles = np.radians(np.linspace(first, reach, max(3, int(reach / 11.0))))
    x = centre[0] * 0.5 + side.sign * half_width * np.sin(angles)
    y = centre[1] + back - half_depth + half_depth * np.cos(angles)
    drop = 14.0 + 60.0 * (angles - angles[0]) / np.radians(124.0) if number > 1 else 6.0 + 20.0 * (angles - angles[0])
    z = head[2] - drop
    return np.vstack([head, tubercle, bend, np.column_stack([x, y, z])])


def rib_tubercle(form: VertebraForm, side: Side) -> Vector:
    """Centre of the rib where it faces the transverse process, in the vertebra's frame."""
    tip = form.points[f"transverse_tip_{side.value}"]
    reach = TRANSVERSE_TIP_MM + RIB_RADII_MM[0] + RIB_JOINT_MM + FLOATING_MM.get(form.level, 0.0)
    floating = form.level in FLOATING_MM
    forward = unit([0.6 * side.sign, -0.8, -0.15] if floating else [0.45 * side.sign, -1.0, -0.1])
    return np.asarray(tip + reach * forward)


def _rib_head(form: VertebraForm, side: Side) -> Vector:
    """Ribs 2 to 9 meet the disc above, the others their own body; head and neck clear the bone."""
    number = int(form.level.value[1:])
    height = form.body.top
    z = height + 1.0 if 2 <= number <= 9 else {1: 0.0, 10: 0.5 * height}.get(number, 0.2 * height)
    y = wall_mm(form.measures) - (6.0 if number == 1 else 4.0)
    tubercle = rib_tubercle(form, side)
    share = np.linspace(0.0, 0.8, 17)[:, None]
    for x in np.arange(8.0, 40.0, 0.1):
        head = np.array([side.sign * x, y, z])
        neck = head + share * (tubercle - head)
        neck[:, 2] = np.minimum(neck[:, 2], height - 2.0)
        if float(form.shape.distance_mm(neck).min()) >= RIB_RADII_MM[0] + 0.6 + RIB_JOINT_MM:
            return head
    raise ValueError(f"no room for the rib's head at {form.level}.")


def _rib_rods(path: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    rows = []
    for n, (a, b) in enumerate(pairwise(path)):
        inward = np.cross(b - a, [0.0, 0.0, 1.0])
        radii = (RIB_RADII_MM[0], 4.0) if n == 0 else RIB_RADII_MM
        rows.append(rod(a, b, radii, RIB_RADII_MM, across=inward, blend_mm=1.5))
    return rows
