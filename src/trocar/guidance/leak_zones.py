"""Where cement may go when it leaves a vertebral body: the zones around it, in the patient and in one view.

Zones are told apart in the vertebra's own frame, so that left is the patient's left and up is the vertebra's own up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.anatomy.levels import Level, neighbours
from trocar.anatomy.vertebra import Part, Vertebra
from trocar.geometry import Line, Pose, Side
from trocar.guidance.carm import AT_REST, CArm
from trocar.guidance.vision import opencv
from trocar.volume import Volume


class Zone(Enum):
    """Where cement outside the body lies; the value completes "cement ...". A vessel is known by its shape."""

    DISC_ABOVE = "in the disc above"
    DISC_BELOW = "in the disc below"
    CANAL = "in the spinal canal"
    FORAMEN = "in a foramen"
    FRONT = "in front of the body"
    LEFT = "beside the body, left"
    RIGHT = "beside the body, right"
    TRACT = "behind the body, in bone or along the needle"
    VESSEL = "in a vessel"
    ELSEWHERE = "outside the body"


#: What asks for the quickest hand, first: of two zones that lie over each other this one is named.
GRAVEST = (
    Zone.CANAL, Zone.FORAMEN, Zone.FRONT, Zone.DISC_ABOVE, Zone.DISC_BELOW, Zone.LEFT, Zone.RIGHT, Zone.TRACT,
)  # fmt: skip

#: How far around a body zones are told apart, mm: about a disc and half a vertebra. Ours.
REACH_MM = 25.0
#: A disc's zone reaches this far from the endplate, mm (lumbar discs are 8 to 14 mm high), and this far beyond the
#: endplate's rim. Ours.
DISC_MM, DISC_RIM_MM = 12.0, 2.0
#: Along the needle: this far from its axis, mm: an 8G needle's radius and 2 mm of cement. Ours.
TRACT_MM = 4.0
#: The grid on which zones are told apart, mm.
STEP_MM = 1.0
#: A zone's near part, mm from the body: where cement that leaves the body is first.
NEAR_MM = 6.0


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The places around one body: ``zone_of[zone]`` are LPS points ``(n, 3)`` as in the CT, one per mm3.

    ``away_mm[zone]`` is how far each lies from the body.
    """

    zone_of: dict[Zone, NDArray[np.float64]]
    away_mm: dict[Zone, NDArray[np.float64]]

    def zone_at(self, points_mm: NDArray[np.float64]) -> list[Zone]:
        """The zone that most of each point's surroundings belong to: that of its nearest known place."""
        from scipy.spatial import cKDTree

        zones = list(self.zone_of)
        places = np.concatenate([self.zone_of[z] for z in zones])
        owner = np.repeat(np.arange(len(zones)), [len(self.zone_of[z]) for z in zones])
        return [zones[i] for i in owner[cKDTree(places).query(points_mm)[1]]]


def surroundings(
    vertebra: Vertebra, structures: Mapping[str, Volume] | None = None, needle: Line | None = None
) -> Surroundings:
    """The zones around a body, from its own parts and from the patient's ``structures`` (canal, foramina).

    Without a ``needle`` (its axis, LPS) the pedicles and the arch stand for its tract.
    """
    points, inside, away = _grid(vertebra.body)
    points, away = points[~inside], away[~inside]
    label = _labels(points, vertebra, structures or {}, needle)
    return Surroundings(
        {z: points[label == n] for n, z in enumerate(GRAVEST) if np.any(label == n)},
        {z: away[label == n] for n, z in enumerate(GRAVEST) if np.any(label == n)},
    )


def _grid(body: Volume) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Points around a body, whether each lies in it, and how far from it; those within reach."""
    place = body.points_mm()
    if not len(place):
        raise ValueError("a vertebra without a body has no zones around it.")
    low, high = place.min(axis=0) - REACH_MM, place.max(axis=0) + REACH_MM
    axes = [np.arange(a, b, STEP_MM) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    inside = body.sample(points) >= 0.5
    away = ndimage.distance_transform_edt(~inside, sampling=STEP_MM)
    near = away <= REACH_MM
    return points[near], inside[near], away[near]


def _labels(
    points: NDArray[np.float64], vertebra: Vertebra, structures: Mapping[str, Volume], needle: Line | None
) -> NDArray[np.int64]:
    """The number of each point's zone in :data:`GRAVEST`; -1 for none."""
    local = vertebra.frame.to_local(points)
    body = vertebra.frame.to_local(vertebra.body.points_mm())
    half = 0.5 * np.ptp(np.percentile(body, (1, 99), axis=0), axis=0)
    middle = 0.5 * np.sum(np.percentile(body, (1, 99), axis=0), axis=0)
    x, y, _ = ((local - middle) / half).T
    label = np.full(len(points), -1)

    def mark(zone: Zone, where: NDArray[np.bool_]) -> None:
        label[where] = GRAVEST.index(zone)

    mark(Zone.TRACT, y > np.abs(x))
    mark(Zone.LEFT, (x >= np.abs(y)) | ((x > 0.0) & (y <= 0.6) & (y > -np.abs(x))))
    mark(Zone.RIGHT, (-x >= np.abs(y)) | ((x < 0.0) & (y <= 0.6) & (y > -np.abs(x))))
    mark(Zone.FRONT, -y > np.abs(x))
    footprint = _footprint(local, body)
    for name, zone in (("superior", Zone.DISC_ABOVE), ("inferior", Zone.DISC_BELOW)):
        height = vertebra.endplates[name].height_mm(points)
        mark(zone, footprint & (height > -1.0) & (height < DISC_MM))
    for volume in _foramina(vertebra, structures):
        mark(Zone.FORAMEN, volume.sample(points, order=0) > 0.5)
    mark(Zone.CANAL, structures.get("spinal_canal", vertebra.canal).sample(points, order=0) > 0.5)
    mark(Zone.TRACT, vertebra.part(Part.PEDICLE_LEFT, Part.PEDICLE_RIGHT, Part.ARCH).sample(points, order=0) > 0.5)
    if needle is not None:
        mark(Zone.TRACT, (needle.distance_mm(points) < TRACT_MM) & (y > 0.0))
    return label


def _footprint(local: NDArray[np.float64], body: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points (vertebra's frame) lie above or below the body, within :data:`DISC_RIM_MM` of its outline."""
    low = np.floor(body[:, :2].min(axis=0)) - 10.0
    shape = (np.ceil(np.ptp(body[:, :2], axis=0)) + 20.0).astype(int)
    plan = np.zeros(shape, dtype=bool)
    plan[tuple((body[:, :2] - low).astype(int).T)] = True
    plan = ndimage.distance_transform_edt(~ndimage.binary_fill_holes(plan)) <= DISC_RIM_MM
    at = (local[:, :2] - low).astype(int)
    held = np.all((at >= 0) & (at < shape), axis=1)
    out = np.zeros(len(local), dtype=bool)
    out[held] = plan[tuple(at[held].T)]
    return out


def _foramina(vertebra: Vertebra, structures: Mapping[str, Volume]) -> list[Volume]:
    """The foramina below and above a vertebra's pedicles, as far as they are known."""
    named = {n.split("_")[1] for n in structures if n.startswith("foramen_")}
    above, _ = neighbours(vertebra.level, frozenset(Level.parse(n) for n in named) | {vertebra.level})
    names = [f"foramen_{level}_{side.value}" for level in (vertebra.level, above) if level for side in Side]
    return [structures[n] for n in names if n in structures]


@dataclass(frozen=True, eq=False)
class ZoneShadow:
    """One zone in one view: where it appears ``[row, column]``, and how much of it the body hides.

    ``hidden`` is the share of the zone's near part (:data:`NEAR_MM`) that lies in front of or behind the body;
    ``hidden_mm3`` its volume.
    """

    mask: NDArray[np.bool_]
    hidden: float
    hidden_mm3: float


#: A zone of which the body hides more than this share cannot be judged in this view. Ours.
UNDECIDABLE_SHARE = 0.6


def shadows(
    around: Surroundings, body: NDArray[np.bool_], view: CArm, displacement: Pose = AT_REST
) -> dict[Zone, ZoneShadow]:
    """Each zone in a view; ``body`` is the body's own silhouette there, widened by what counts as its edge."""
    return {z: _shadow(p, around.away_mm[z], body, view, displacement) for z, p in around.zone_of.items()}


def _shadow(
    points: NDArray[np.float64], away: NDArray[np.float64], body: NDArray[np.bool_], view: CArm, displacement: Pose
) -> ZoneShadow:
    cv2 = opencv()
    pixel = np.rint(view.project(displacement.to_world(points)))
    seen = np.all(np.isfinite(pixel) & (pixel >= 0) & (pixel < body.shape), axis=1)
    row, column = pixel[seen].astype(int).T
    mask = np.zeros(body.shape, dtype=np.uint8)
    mask[row, column] = 1
    # a point stands for a cube of the grid: what its corners reach is the zone's too
    width = STEP_MM * view.magnification / min(view.detector.row_spacing_mm, view.detector.column_spacing_mm)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * int(np.ceil(width)) + 1,) * 2)
    near = away[seen] <= NEAR_MM
    covered = near & body[row, column]
    return ZoneShadow(
        cv2.dilate(mask, disc) > 0,
        float(covered.sum() / max(int(np.sum(away <= NEAR_MM)), 1)),
        float(covered.sum()) * STEP_MM**3,
    )
