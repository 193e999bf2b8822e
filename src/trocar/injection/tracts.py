"""Ways out that the needle makes: back along the cannula, and through the wall of the pedicle it passes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from trocar.geometry import Vector
from trocar.injection.bearings import Bearings, pedicle_part
from trocar.injection.openings import behind
from trocar.injection.routes import Basis, Route, Shape, WayOut
from trocar.injection.veins import LEAST_RADIUS_VOXELS, from_segment
from trocar.injection.walls import Skin
from trocar.mechanics.filling import Mask, index_mm
from trocar.mechanics.model import BoneModel
from trocar.planning.access import APPROACHES
from trocar.planning.robustness import HandError
from trocar.planning.trajectory import Trajectory

#: The gap between cannula and bone, mm, and its spread (SD of the logarithm): it was hammered in. Ours.
GAP_MM, GAP_SPREAD = 0.1, 0.5
#: How often a cannula sits loose enough. No leak along the needle in 106 balloon kyphoplasties by one channel: the
#: upper bound of the two-sided 95 % interval (Clopper-Pearson) of 0 in 106. The series is not ours to check.
LOOSE_SHARE = 0.034
#: A breach opens the wall this far about its nearest point, mm: the width of a cannula. Ours.
BREACH_MM = 2.0
#: A breach less likely than this is not worth a line.
LEAST_CHANCE = 1e-4
#: Where a cannula may break out of the pedicle.
TOWARDS = {
    Route.EPIDURAL: "to the canal",
    Route.FORAMINAL: "to a root foramen",
    Route.LATERAL: "to the side",
}

TRACT_SOURCE = "0 of 106 kyphoplasties, upper 95 % bound; gap chosen"
PIERCED_SOURCE = "Planned path: the cannula passes through the wall"
BREACH_SOURCE = "Breach probability of the planned path, by hand error"


def tracts(
    model: BoneModel, skin: Skin, bearings: Bearings, trajectories: tuple[Trajectory, ...]
) -> tuple[WayOut, ...]:
    """Back along each cannula, from its tip to where it leaves the porous bone behind."""
    return tuple(_tract(model, skin, bearings, t) for t in trajectories)


def breaches(
    model: BoneModel, skin: Skin, bearings: Bearings, trajectories: tuple[Trajectory, ...], hand: HandError
) -> tuple[WayOut, ...]:
    """Through the walls beside each path, with the probability that the hand's error breaches them."""
    return tuple(w for t in trajectories for w in _breaches(model, skin, bearings, t, hand))


def path_mm(model: BoneModel, trajectory: Trajectory) -> tuple[Vector, Vector]:
    """Entry into bone and tip, mm along k, j, i from the box's corner."""
    return index_mm(model, trajectory.entry_mm), index_mm(model, trajectory.target_mm)


def equal_radius_mm(radius_mm: float, gap_mm: float) -> float:
    """The radius of a tube that lets as much through as a narrow ring of that gap about a cannula.

    A ring is a slit as long as its circumference: ``2 pi R w^3 / 12 = pi r^4 / 8``.
    """
    return float((4.0 * radius_mm * gap_mm**3 / 3.0) ** 0.25)


def _tract(model: BoneModel, skin: Skin, bearings: Bearings, trajectory: Trajectory) -> WayOut:
    entry, tip = path_mm(model, trajectory)
    radius = trajectory.instrument.outer_diameter_mm / 2.0
    near = from_segment(model, entry, tip)
    channel = skin.porous & (near <= max(radius, LEAST_RADIUS_VOXELS * max(model.solid.spacing_mm)))
    return WayOut(
        name=f"along the {trajectory.side.value} needle",
        route=Route.TRACT,
        basis=Basis.EXPECTED,
        shape=Shape.TUBE,
        channel=channel,
        exits=_outermost(channel, bearings, entry, tip),
        present=LOOSE_SHARE,
        bore_mm=equal_radius_mm(radius, GAP_MM),
        # the bore goes with the gap to the power of 3/4
        bore_spread=0.75 * GAP_SPREAD,
        source=TRACT_SOURCE,
    )


def _outermost(channel: Mask, bearings: Bearings, entry: Vector, tip: Vector) -> Mask:
    """The layer of a channel nearest to where the needle entered, one voxel thick."""
    out = np.zeros(channel.shape, bool)
    cells = np.argwhere(channel)
    if len(cells):
        along = (bearings.mm(cells) - entry) @ (tip - entry) / max(float(np.linalg.norm(tip - entry)), 1e-9)
        out[tuple(cells[along <= along.min() + max(bearings.spacing_mm)].T)] = True
    return out


def _breaches(
    model: BoneModel, skin: Skin, bearings: Bearings, trajectory: Trajectory, hand: HandError
) -> list[WayOut]:
    beside = _beside(model, skin, bearings, trajectory)
    radius = trajectory.instrument.outer_diameter_mm / 2.0
    # beside a pedicle the needle enters through the wall there: that hole is its tract
    routes = [r for r in TOWARDS if r is not Route.LATERAL or _through_pedicle(trajectory)]
    nearest = {r: _nearest(beside, skin, r) for r in routes}
    spare = {r: float(beside[at] - radius) for r, at in nearest.items() if at is not None}
    sd = {r: hand.sd_mm(_depth_mm(model, skin, bearings, trajectory, nearest[r])) for r in spare}
    chances = _chances(spare, sd, trajectory, 0.5 * max(bearings.spacing_mm))
    return [
        _breach(model, skin, bearings, trajectory, route, nearest[route], chance)
        for route, chance in chances.items()
        if chance >= LEAST_CHANCE
    ]


def _beside(model: BoneModel, skin: Skin, bearings: Bearings, trajectory: Trajectory) -> NDArray[np.float64]:
    """Bone between the path and each voxel of its own pedicle's skin, mm ``(n,)``.

    Negative where the path itself runs outside the bone before that wall; infinite beyond its ends and elsewhere.
    """
    entry, tip = path_mm(model, trajectory)
    places = bearings.mm(skin.cells) + 0.5 * min(bearings.spacing_mm) * skin.outward
    length = max(float(np.linalg.norm(tip - entry)), 1e-9)
    way = (tip - entry) / length
    along = (places - entry) @ way
    feet = entry + along[:, None] * way
    passed = ((feet - places) * skin.outward).sum(axis=1) > 0.0
    away = np.linalg.norm(places - feet, axis=1) * np.where(passed & ~_in_bone(model, feet), -1.0, 1.0)
    own = skin.part == pedicle_part(trajectory.side)
    return np.where(own & (along > 0.0) & (along < length), away, np.inf)


def _depth_mm(model: BoneModel, skin: Skin, bearings: Bearings, trajectory: Trajectory, at: int | None) -> float:
    """How far below its entry into bone a path passes a voxel of the skin, mm."""
    entry, tip = path_mm(model, trajectory)
    away = bearings.mm(skin.cells[at]) - entry
    return float(away @ (tip - entry)) / max(float(np.linalg.norm(tip - entry)), 1e-9)


def _in_bone(model: BoneModel, places_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether places (mm from the box's corner, ``(n, 3)``) lie in a voxel of bone."""
    cells = np.floor(places_mm / np.asarray(model.solid.spacing_mm)).astype(int)
    inside = np.all((cells >= 0) & (cells < model.solid.shape), axis=1)
    out = np.zeros(len(cells), bool)
    out[inside] = model.solid.filled[tuple(cells[inside].T)]
    return out


def _nearest(beside: NDArray[np.float64], skin: Skin, route: Route) -> int | None:
    """The voxel nearest to the path that opens there, or None."""
    away = np.where(skin.opens_to(route), beside, np.inf)
    at = int(np.argmin(away))
    return at if np.isfinite(away[at]) else None


def _through_pedicle(trajectory: Trajectory) -> bool:
    """Whether its approach keeps the needle within the pedicle; one of an unknown name is taken to."""
    return {a.name: a.through_pedicle for a in APPROACHES}.get(trajectory.approach, True)


def _chances(
    spare_mm: dict[Route, float], sd_mm: dict[Route, float], trajectory: Trajectory, known_to_mm: float
) -> dict[Route, float]:
    """How likely each wall is breached: certain where the cannula itself passes it by more than the grid can err.

    The breach probability of the path is shared out by how likely a hand error as large as each wall's spare bone is.
    """
    tail = {r: _tail(s, sd_mm[r]) for r, s in spare_mm.items()}
    whole = sum(tail.values())
    measured = trajectory.breach_probability.value if trajectory.breach_probability is not None else 0.0
    shared = {r: measured * t / whole if whole > 0.0 else 0.0 for r, t in tail.items()}
    return {r: 1.0 if spare_mm[r] < -known_to_mm else p for r, p in shared.items()}


def _tail(spare_mm: float, sd_mm: float) -> float:
    """How likely a normal error of this standard deviation is larger than the spare bone, either way."""
    if spare_mm <= 0.0:
        return 1.0
    return float(erfc(spare_mm / (sd_mm * np.sqrt(2.0)))) if sd_mm > 0.0 else 0.0


def _breach(
    model: BoneModel,
    skin: Skin,
    bearings: Bearings,
    trajectory: Trajectory,
    route: Route,
    at: int | None,
    chance: float,
) -> WayOut:
    away = np.linalg.norm(bearings.mm(skin.cells) - bearings.mm(skin.cells[at]), axis=1)
    near = (away <= BREACH_MM) & skin.opens_to(route) & skin.pedicle
    exits = skin.marked(near)
    return WayOut(
        name=f"breach of the {trajectory.side.value} pedicle {TOWARDS[route]}",
        route=route,
        basis=Basis.SEEN if chance >= 1.0 else Basis.EXPECTED,
        shape=Shape.OPENING,
        channel=behind(exits, skin.porous, bearings.spacing_mm, BREACH_MM),
        exits=exits,
        present=chance,
        source=PIERCED_SOURCE if chance >= 1.0 else BREACH_SOURCE,
    )
