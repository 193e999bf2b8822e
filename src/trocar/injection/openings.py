"""Walls whose cortex is missing in this patient's CT, and the foramen of the basivertebral vein where CT shows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.ndimage import label as components
from scipy.spatial import cKDTree

from trocar.anatomy.lesion import CORTEX_SHARE, LEAST_RISE_HU
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.surface import Surface
from trocar.anatomy.wall_map import WallMap, wall_map
from trocar.injection.bearings import Bearings
from trocar.injection.routes import Basis, Route, Shape, WayOut
from trocar.injection.walls import Skin, directions_lps, places_mm
from trocar.measure import Finding, Severity
from trocar.mechanics.filling import Mask
from trocar.mechanics.model import BoneModel

#: A hole in a wall is told from this area on, mm2: what a foramen of a segmental vein and noise do not reach. Ours.
HOLE_MM2 = 15.0
#: The bone behind a hole is part of the way out to this depth, mm: cortex and what shares its voxels.
HOLE_DEPTH_MM = 2.0
#: In a pedicle, which is thin, and whose two walls lie close together, from this area on, mm2. Ours, as is the next.
PEDICLE_HOLE_MM2 = 30.0
#: A wall this near to an endplate, or an endplate this near to a wall, is not judged, mm: the rim is dense throughout.
RIM_MM = 4.0
#: A wall of which less than this share could be read is not judged.
READ_SHARE = 0.5
#: The foramen of the basivertebral vein lies within this of the middle of the posterior wall, mm, across and up: half
#: its width and height (7.8 and 5.4 mm in 107 lumbar osteoporotic fractures; He, Wang, Li, Chin J Clin Anat 41:283
#: (2023)) and as much again for its place.
FORAMEN_HALF_MM = (8.0, 6.0)
#: No foramen is larger than this, mm2: its mean width and height, each with one standard deviation more (He 2023).
FORAMEN_MOST_MM2 = (7.8 + 1.6) * (5.4 + 1.1)
#: The foramen is seen from this area on, mm2: a few voxels of a fine scan. Ours.
FORAMEN_MM2 = 6.0
#: Endplates are judged where the scan's voxels are at most this long across them, mm: 5 mm slices invent holes in them
#: (measured on the phantom), 3 mm slices do not.
COARSEST_MM = 3.5
#: How the cortex is judged, for the report.
SOURCE = (
    f"CT of this patient: across the wall the CT number rises by less than {100.0 * CORTEX_SHARE:g} % of what is usual"
)

Bools = NDArray[np.bool_]

#: What a gap is called, by where it opens.
NAMES = {
    Route.DISC: "interrupted {vertical} endplate",
    Route.EPIDURAL: "gap in the posterior wall",
    Route.FORAMINAL: "gap in the wall of the {side} root foramen",
    Route.ANTERIOR: "gap in the front wall",
    Route.LATERAL: "gap in the {side} side wall",
}


@dataclass(frozen=True, eq=False)
class Cortex:
    """The walls and the endplates of one bone, each judged against its own usual brightness.

    ``across_plates_mm`` is how long the scan's voxels are across the endplates.
    """

    skin: Skin
    walls: WallMap
    plates: WallMap
    across_plates_mm: float

    @property
    def missing(self) -> Bools:
        """Which voxels of the skin have no cortex, ``(n,)``."""
        fine = self.across_plates_mm <= COARSEST_MM
        return np.where(self.skin.opens_to(Route.DISC), self.plates.missing & fine, self.walls.missing)


def cortex_of(model: BoneModel, anatomy: Anatomy, skin: Skin) -> Cortex:
    """The cortex over the skin of a model, read from the patient's CT; unknown at the rims of the endplates."""
    ct, surface = anatomy.ct, Surface.of(anatomy.vertebra(model.level).mask, anatomy.ct)
    way = directions_lps(model, skin.outward)
    points = places_mm(model, skin.cells) + 0.5 * min(model.solid.spacing_mm) * way
    disc, clear = skin.opens_to(Route.DISC), _off_the_rim(model, skin)
    sides = (skin.opens_to(Route.ANTERIOR) | skin.opens_to(Route.LATERAL)) & ~skin.pedicle
    fine = max(2.0 * ct.half_voxel_mm(n.normal) for n in anatomy.vertebra(model.level).endplates.values())
    walls = wall_map(ct, surface, points, way, clear & ~disc, sides)
    plates = wall_map(ct, surface, points, way, clear & disc, disc)
    return Cortex(skin, walls, plates, fine)


def _off_the_rim(model: BoneModel, skin: Skin) -> Bools:
    """Which walls are far enough from an endplate, and which endplates far enough from a wall, ``(n,)``."""
    places = skin.cells * np.asarray(model.solid.spacing_mm)
    disc = skin.opens_to(Route.DISC)
    out = np.ones(len(places), bool)
    for own in (disc, ~disc):
        if own.any() and not own.all():
            out[own] = cKDTree(places[~own]).query(places[own])[0] > RIM_MM
    return out


def gaps(cortex: Cortex, bearings: Bearings) -> tuple[WayOut, ...]:
    """Every hole in the cortex that CT shows, by where it opens."""
    found = []
    for route in NAMES:
        here = cortex.missing & cortex.skin.opens_to(route)
        for piece in _pieces(here, cortex.skin):
            if cortex.skin.area_mm2[piece].sum() >= _least_mm2(route, piece, cortex.skin, bearings):
                found.append(_gap(route, piece, cortex.skin, bearings))
    return tuple(found)


def visible_foramen(cortex: Cortex, bearings: Bearings) -> Bools:
    """The part of the posterior wall without cortex that is the basivertebral foramen, ``(n,)``; empty if not seen.

    What is larger than a foramen is a gap in the wall and says nothing about where the foramen was.
    """
    skin = cortex.skin
    here = cortex.missing & skin.opens_to(Route.EPIDURAL) & ~skin.pedicle & _near_foramen(skin, bearings)
    pieces = _pieces(here, skin)
    piece = max(pieces, key=lambda p: float(skin.area_mm2[p].sum()), default=np.zeros(len(skin.cells), bool))
    return piece & (FORAMEN_MM2 <= float(skin.area_mm2[piece].sum()) < FORAMEN_MOST_MM2)


def judged(model: BoneModel, cortex: Cortex) -> tuple[Finding, ...]:
    """What could not be told about the walls and the endplates, with the number and its bound."""
    out = []
    wall = cortex.skin.opens_to(Route.EPIDURAL) & ~cortex.skin.pedicle & _off_the_rim(model, cortex.skin)
    if not cortex.walls.judged:
        out.append(_unjudged(f"the scan is too coarse to tell gaps in the walls of {model.level}", _dull(cortex.walls)))
    elif (share := float(cortex.walls.known[wall].mean()) if wall.any() else 0.0) < READ_SHARE:
        because = f"{100.0 * share:.0f} % of it could be read, and {100.0 * READ_SHARE:g} % are needed"
        out.append(_unjudged(f"the posterior wall of {model.level} could not be judged", because))
    coarse = cortex.across_plates_mm > COARSEST_MM
    if coarse or not cortex.plates.judged:
        size = f"a voxel is {cortex.across_plates_mm:.1f} mm long across them, and {COARSEST_MM:g} mm is the most"
        text = f"the scan is too coarse to tell gaps in the endplates of {model.level}"
        out.append(_unjudged(text, size if coarse else _dull(cortex.plates)))
    return tuple(out)


def _dull(seen: WallMap) -> str:
    return f"their cortex rises by {seen.usual_hu:.0f} HU, and {LEAST_RISE_HU:g} are needed"


def _unjudged(text: str, because: str) -> Finding:
    return Finding(Severity.CAUTION, f"{text}: leaks there are told from published frequency alone.", because)


def _near_foramen(skin: Skin, bearings: Bearings) -> Bools:
    across, up = FORAMEN_HALF_MM
    k, _, i = (bearings.from_wall_middle_mm(skin.cells)).T
    return np.asarray((np.abs(i) <= across) & (np.abs(k) <= up))


def _least_mm2(route: Route, piece: Bools, skin: Skin, bearings: Bearings) -> float:
    """The area from which a hole is a gap: at the basivertebral foramen it must exceed the foramen itself."""
    if route is Route.EPIDURAL and (piece & _near_foramen(skin, bearings)).any():
        return FORAMEN_MOST_MM2
    return PEDICLE_HOLE_MM2 if skin.pedicle[piece].all() else HOLE_MM2


def _pieces(here: Bools, skin: Skin) -> list[Bools]:
    """The pieces that hang together by corners, each as a mask over the skin ``(n,)``."""
    region, count = components(skin.marked(here), np.ones((3, 3, 3), bool))
    number = region[tuple(skin.cells.T)]
    return [here & (number == n) for n in range(1, count + 1)]


def _gap(route: Route, piece: Bools, skin: Skin, bearings: Bearings) -> WayOut:
    exits = skin.marked(piece)
    words = bearings.words(exits)
    name = NAMES[route] if not skin.pedicle[piece].all() else "gap in the wall of the {side} pedicle"
    return WayOut(
        name=name.format(side=words.side, vertical=words.endplate),
        route=route,
        basis=Basis.SEEN,
        shape=Shape.OPENING,
        channel=behind(exits, skin.porous, bearings.spacing_mm, HOLE_DEPTH_MM),
        exits=exits,
        source=SOURCE,
    )


def behind(exits: Mask, porous: Mask, spacing_mm: tuple[float, float, float], depth_mm: float) -> Mask:
    """The porous bone within a distance of exits, ``[k, j, i]``."""
    return np.asarray((distance_transform_edt(~exits, sampling=spacing_mm) <= depth_mm) & porous)
