"""Veins of a vertebral body as tubes: the basivertebral vein, the segmental veins, the vessels of a tumour.

The basivertebral veins lie in channels of the trabecular bone, meet in one trunk that leaves through the middle of the
posterior wall, and leave in front and at the sides by small foramina (Gray's Anatomy, 20th ed. 1918, p. 668). They are
in every vertebra from C2 down; how wide they are in this patient CT mostly does not show, so the bore is spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Vector
from trocar.injection.bearings import Bearings
from trocar.injection.openings import Cortex, visible_foramen
from trocar.injection.routes import Basis, Route, Shape, WayOut
from trocar.injection.walls import ROUTES, Skin
from trocar.mechanics.filling import Mask, middles_mm
from trocar.mechanics.lesion import lytic_region
from trocar.mechanics.model import BoneModel

#: How deep the basivertebral canal reaches into the body, share of its depth: 2/5 on CT of 107 lumbar osteoporotic
#: fractures (12.4 +- 2.1 mm; He, Wang, Li, Chin J Clin Anat 41:283 (2023)); 0.12 to 0.22 on dried bone of 70 spines
#: (Tzika et al., Surg Radiol Anat 43:889 (2021)). CT of fractured bone is what is treated.
TRUNK_SHARE = 0.4
#: The foramen lies nearer the upper rim at T10 to L4, nearer the lower at C7 to T4, T6 to T8 and L5 (Tzika 2021). By
#: how much is not told there: ours, share of the posterior wall's height.
OFF_MIDDLE_SHARE = 0.05
NEARER_UPPER = ("T10", "T11", "T12", "L1", "L2", "L3", "L4")
NEARER_LOWER = ("C7", "T1", "T2", "T3", "T4", "T6", "T7", "T8", "L5")
#: Median radius of the trunk, mm, and its spread (SD of the logarithm). The bony foramen is 7.8 by 5.4 mm (He 2023)
#: with bars across and fat and nerve in it; leakage benchmarks put a path 3 mm wide in its place (Baroud, Crookshank,
#: Bohner, Spine 31:2562 (2006); from memory, unverified).
TRUNK_RADIUS_MM, TRUNK_SPREAD = 1.5, 0.4
#: Of the trunk's branches, and of the foramina in front and at the sides, which are "small": foramina under 1 mm across
#: are told apart from the others in Tzika 2021. Ours.
BRANCH_RADIUS_MM, BRANCH_SPREAD = 0.6, 0.5
#: Where segmental veins leave, degrees from straight ahead about the end of the trunk: in front and at the waist. Ours.
FRONT_VEIN_DEG, SIDE_VEIN_DEG = 25.0, 85.0
#: A tube is drawn at least so many voxels in radius that its voxels hang together by faces.
LEAST_RADIUS_VOXELS = 0.87
#: Vascular leaks in metastases, share of 81 vertebrae (Corcos et al., Spine 39:E332 (2014)): taken for how often a
#: lytic lesion has a vessel of its own wide enough for cement.
TUMOUR_VEIN_SHARE = 0.25
#: Cement in a segmental artery is told in single cases (Amoretti et al., Skeletal Radiol 36:685 (2007); Matouk et al.,
#: Interv Neuroradiol 18:358 (2012)). Chosen: below the 1 % that the series would have shown.
TUMOUR_ARTERY_SHARE = 0.005
#: Radius of an artery that feeds a tumour, mm, and its spread. Ours.
ARTERY_RADIUS_MM, ARTERY_SPREAD = 0.4, 0.4

FORAMEN_SOURCE = "In every vertebra; place and size: He 2023, Tzika 2021; bore from memory, unverified: Baroud 2006"
SEGMENTAL_SOURCE = "In every vertebra: Gray 1918; small foramina: Tzika 2021; bore chosen"
TUMOUR_SOURCE = "Vascular leak in 25 % of 81 metastatic vertebrae: Corcos 2014; bore chosen"
ARTERY_SOURCE = "Single cases: Amoretti 2007, Matouk 2012; share and bore chosen"


def basivertebral(model: BoneModel, cortex: Cortex, bearings: Bearings) -> WayOut:
    """The trunk from the middle of the posterior wall; the segmental veins start at its end, so all form one tree."""
    seen = visible_foramen(cortex, bearings)
    mouth, hub = _trunk(model, cortex.skin, seen, bearings)
    channel = _drawn(model, cortex.skin, TRUNK_RADIUS_MM, [mouth, hub])
    exits = _mouths(channel, cortex.skin, mouth, Route.EPIDURAL, bearings)
    return WayOut(
        name="basivertebral foramen",
        route=Route.EPIDURAL,
        basis=Basis.SEEN if seen.any() else Basis.EXPECTED,
        shape=Shape.TUBE,
        channel=channel | exits,
        exits=exits,
        bore_mm=TRUNK_RADIUS_MM,
        bore_spread=TRUNK_SPREAD,
        source=FORAMEN_SOURCE,
    )


def segmental(model: BoneModel, cortex: Cortex, bearings: Bearings) -> tuple[WayOut, ...]:
    """Four veins from the end of the trunk: two to the front wall, one to either side wall."""
    _, hub = _trunk(model, cortex.skin, visible_foramen(cortex, bearings), bearings)
    places = ((FRONT_VEIN_DEG, "segmental vein, front {side}"), (SIDE_VEIN_DEG, "segmental vein, {side} side"))
    return tuple(
        _vein(model, cortex.skin, bearings, hub, sign * angle, name.format(side=side))
        for angle, name in places
        for sign, side in ((1.0, "left"), (-1.0, "right"))
    )


def tumour_vessels(model: BoneModel, cortex: Cortex, bearings: Bearings) -> tuple[WayOut, ...]:
    """Veins and arteries of a lytic lesion, to the nearest wall and to both side walls; none without a lesion."""
    lesion = lytic_region(model)
    if not lesion.any():
        return ()
    middle = bearings.mm(np.argwhere(lesion)).mean(axis=0)
    veins = [_tumour_vein(model, cortex.skin, bearings, middle, route) for route in (Route.VENOUS, Route.EPIDURAL)]
    arteries = [_tumour_artery(model, cortex.skin, bearings, middle, sign) for sign in (1.0, -1.0)]
    return (*veins, *arteries)


def _trunk(model: BoneModel, skin: Skin, seen: NDArray[np.bool_], bearings: Bearings) -> tuple[Vector, Vector]:
    """The mouth of the trunk in the posterior wall and its front end, mm from the box's corner."""
    if seen.any():
        mouth = np.average(bearings.mm(skin.cells[seen]), axis=0, weights=skin.area_mm2[seen])
    else:
        off_mm = _off_middle_mm(model, bearings)
        mouth = _on_wall(skin, bearings, bearings.wall_middle + np.array([off_mm, 0.0, 0.0]))
    return mouth, mouth - np.array([0.0, TRUNK_SHARE * (mouth[1] - bearings.low[1]), 0.0])


def _off_middle_mm(model: BoneModel, bearings: Bearings) -> float:
    """How far above the middle of the posterior wall the foramen lies."""
    sign = (str(model.level) in NEARER_UPPER) - (str(model.level) in NEARER_LOWER)
    return sign * OFF_MIDDLE_SHARE * float(bearings.high[0] - bearings.low[0])


def _on_wall(skin: Skin, bearings: Bearings, place: Vector) -> Vector:
    """A place in the posterior wall's plane moved onto the wall there; it keeps its height and side."""
    wall = bearings.mm(skin.cells[skin.opens_to(Route.EPIDURAL) & ~skin.pedicle])
    away = np.hypot(wall[:, 0] - place[0], wall[:, 2] - place[2])
    near = away <= away.min() + max(bearings.spacing_mm)
    return np.array([place[0], float(wall[near, 1].mean()), place[2]])


def _ahead(angle_deg: float) -> Vector:
    """A unit direction along k, j, i: straight ahead turned to the left by an angle."""
    turn = np.radians(angle_deg)
    return np.array([0.0, -np.cos(turn), np.sin(turn)])


def _drawn(model: BoneModel, skin: Skin, radius_mm: float, path: Sequence[Vector]) -> Mask:
    """The porous voxels within a radius of a broken line, ``[k, j, i]``."""
    radius = max(radius_mm, LEAST_RADIUS_VOXELS * max(model.solid.spacing_mm))
    out = np.zeros(model.solid.shape, bool)
    for start, stop in pairwise(path):
        out |= from_segment(model, start, stop) <= radius + 1e-9
    return out & skin.porous


def from_segment(model: BoneModel, start: Vector, stop: Vector) -> NDArray[np.float64]:
    """Distance of every voxel's middle from a segment, mm ``[k, j, i]``."""
    away = [x - a for x, a in zip(middles_mm(model), start, strict=True)]
    way, square = stop - start, max(float((stop - start) @ (stop - start)), 1e-12)
    along = sum((a * d for a, d in zip(away, way, strict=True)), np.zeros(model.solid.shape)) / square
    along = np.clip(along, 0.0, 1.0)
    gap = sum(((a - along * d) ** 2 for a, d in zip(away, way, strict=True)), np.zeros(model.solid.shape))
    return np.sqrt(gap)


def _mouths(channel: Mask, skin: Skin, end: Vector, route: Route | None, bearings: Bearings) -> Mask:
    """Where a channel leaves near its end: its voxels in the skin, or the nearest of the skin."""
    candidates = ~skin.opens_to(Route.DISC) if route is None else skin.opens_to(route)
    away = np.linalg.norm(bearings.mm(skin.cells) - end, axis=1)
    inside = channel[tuple(skin.cells.T)] & candidates & (away <= away[candidates].min() + 2.0 * TRUNK_RADIUS_MM)
    chosen = inside if inside.any() else candidates & (away <= away[candidates].min() + 1e-6)
    return skin.marked(chosen)


def _wall_ahead(skin: Skin, bearings: Bearings, start: Vector, way: Vector) -> Vector:
    """Where a ray from inside the body meets its skin: the voxel nearest to the ray among those before it."""
    side = (skin.opens_to(Route.ANTERIOR) | skin.opens_to(Route.LATERAL)) & ~skin.pedicle
    places = bearings.mm(skin.cells[side]) - start
    along = places @ way
    away = np.linalg.norm(places - along[:, None] * way, axis=1) + np.where(along > 0.0, 0.0, np.inf)
    near = away <= away.min() + 0.5 * max(bearings.spacing_mm)
    return start + float(along[near].mean()) * way


def _vein(model: BoneModel, skin: Skin, bearings: Bearings, hub: Vector, angle_deg: float, name: str) -> WayOut:
    end = _wall_ahead(skin, bearings, hub, _ahead(angle_deg))
    channel = _drawn(model, skin, BRANCH_RADIUS_MM, [hub, end])
    exits = _mouths(channel, skin, end, None, bearings)
    return WayOut(
        name,
        Route.VENOUS,
        Basis.EXPECTED,
        Shape.TUBE,
        channel | exits,
        exits,
        bore_mm=BRANCH_RADIUS_MM,
        bore_spread=BRANCH_SPREAD,
        source=SEGMENTAL_SOURCE,
    )


def _tumour_vein(model: BoneModel, skin: Skin, bearings: Bearings, middle: Vector, route: Route) -> WayOut:
    """From the lesion to the nearest front or side wall, or to the nearest wall of the canal."""
    leave = [Route.EPIDURAL] if route is Route.EPIDURAL else [Route.ANTERIOR, Route.LATERAL]
    can = np.isin(skin.route, [ROUTES.index(r) for r in leave]) & ~skin.pedicle
    places = bearings.mm(skin.cells[can])
    away = np.linalg.norm(places - middle, axis=1)
    end = places[away <= away.min() + 1e-6].mean(axis=0)
    to = "the epidural veins" if route is Route.EPIDURAL else "the paravertebral veins"
    return _tumour_way(model, skin, bearings, (middle, end), f"tumour veins to {to}", route)


def _tumour_artery(model: BoneModel, skin: Skin, bearings: Bearings, middle: Vector, sign: float) -> WayOut:
    end = _wall_ahead(skin, bearings, middle, _ahead(sign * SIDE_VEIN_DEG))
    side = "left" if sign > 0.0 else "right"
    return _tumour_way(model, skin, bearings, (middle, end), f"tumour artery, {side} side", Route.ARTERIAL)


def _tumour_way(
    model: BoneModel, skin: Skin, bearings: Bearings, path: tuple[Vector, Vector], name: str, route: Route
) -> WayOut:
    artery = route is Route.ARTERIAL
    radius = ARTERY_RADIUS_MM if artery else BRANCH_RADIUS_MM
    channel = _drawn(model, skin, radius, path)
    exits = _mouths(channel, skin, path[1], None, bearings)
    return WayOut(
        name,
        route,
        Basis.EXPECTED,
        Shape.TUBE,
        channel | exits,
        exits,
        present=TUMOUR_ARTERY_SHARE if artery else TUMOUR_VEIN_SHARE,
        bore_mm=radius,
        bore_spread=ARTERY_SPREAD if artery else BRANCH_SPREAD,
        source=ARTERY_SOURCE if artery else TUMOUR_SOURCE,
    )
