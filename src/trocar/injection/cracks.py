"""Cracks that CT hardly shows: through the endplates to the disc, and through the walls of a fractured body.

How often they are there is taken from published series and told as such. Where an endplate is pressed in, that it is
broken is seen, even if the crack itself is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from trocar.anatomy.lesion import Deformity, fracture
from trocar.anatomy.vertebra import Heights
from trocar.injection.aetiology import Aetiology
from trocar.injection.bearings import Bearings
from trocar.injection.openings import RIM_MM, behind
from trocar.injection.routes import Basis, Route, Shape, WayOut
from trocar.injection.walls import Skin, endplate_cells
from trocar.mechanics.ends import Endplate, endplates
from trocar.mechanics.filling import Mask, body_of
from trocar.mechanics.model import BoneModel

#: Endplates injured on MR in 211 osteoporotic fractures: the upper alone 39 %, the lower alone 12 %, both 29 %
#: (Ortiz, Bordia, AJNR 32:115 (2011)). The series does not split them by grade. Taken for metastasis and myeloma too:
#: leaks into the disc are as frequent there (Saad et al., Indian J Radiol Imaging 32:46 (2022)).
UPPER_SHARE, LOWER_SHARE = 0.68, 0.41
#: With a cleft leaks into the disc are this many times as frequent: 16.5 against 6.5 % of 139 fractures each (case-
#: control study, PMC8449924 (2021)). Taken for the cracks themselves, up to certainty.
CLEFT_RATIO = 16.5 / 6.5
#: Leaks through cortical defects, taken for how often a wall has a crack. Osteoporotic: 12.2 % of 139 without and
#: 25.9 % of 139 with a cleft (PMC8449924 (2021)). Metastasis: 32 % of 81 vertebrae, those into the disc among them
#: (Corcos et al., Spine 39:E332 (2014)). Myeloma: 27.7 % of 18 vertebrae, leaks of every kind (La Maida et al., Eur
#: Spine J 21 Suppl 1:61 (2012)); an upper bound.
WALL_SHARE: Mapping[Aetiology, float] = MappingProxyType(
    {Aetiology.OSTEOPOROTIC: 0.122, Aetiology.METASTASIS: 0.32, Aetiology.MYELOMA: 0.277}
)
WALL_SHARE_CLEFT = 0.259
#: Walls among which that frequency is shared evenly and independently: front, left, right, back. Ours.
WALLS = 4
#: An endplate is pressed in where it lies deeper than this under its fitted plane, mm, over at least this area, mm2,
#: away from its rim; less deep where the body has lost 20 % or more of its middle height (Genant's first grade). Ours:
#: in two healthy spines no endplate lay 3.5 mm deep.
DEPRESSED_MM, DEPRESSED_GRADED_MM, DEPRESSED_MM2 = 3.5, 1.5, 20.0
#: Where an endplate breaks, share of its depth from the front: the second of five segments was the deepest point in
#: about 45 % of 263 fractures (Wang et al., Chin Med J 133:2696 (2020)).
ENDPLATE_BREAK = 0.3
#: Where the front wall breaks, share of the body's height from below: its upper third most often (Wang 2020). Taken
#: for the side walls too.
WALL_BREAK = 5.0 / 6.0
#: Half the length of a crack across an endplate, share of the body's width. Ours.
HALF_LENGTH_SHARE = 0.25
#: Median width of a crack that CT does not show, and of one under a pressed-in endplate, mm; spread (SD of the
#: logarithm). Ours: below a CT voxel, and about one.
CRACK_MM, PRESSED_MM, WIDTH_SPREAD = 0.3, 0.6, 0.6
#: A crack runs this deep under the surface, mm: through cortex and the dense bone beside it. Ours.
CRACK_DEPTH_MM = 3.0
#: A cleft no farther under an endplate than this, mm, is one fracture with the crack in it: the crack lies where the
#: cleft comes nearest, reaches it, and is as wide as one under a pressed-in endplate. Ours.
CLEFT_NEAR_MM = 6.0

PLATE_SOURCE = "Endplate injured on MR, 211 fractures: Ortiz 2011; width chosen"
CLEFT_SOURCE = "Gas under the endplate; disc leaks with a cleft, 139 fractures each: PMC8449924 (2021); width chosen"
PRESSED_SOURCE = "CT of this patient: endplate more than {depth:g} mm under its plane; width chosen"
WALL_SOURCE = {
    Aetiology.OSTEOPOROTIC: "Leak through a cortical defect, 139 fractures each: PMC8449924 (2021); width chosen",
    Aetiology.METASTASIS: "Cortical leak, 81 vertebrae: Corcos 2014; width chosen",
    Aetiology.MYELOMA: "Leak of any kind, 18 vertebrae: La Maida 2012, an upper bound; width chosen",
}


def endplate_cracks(
    model: BoneModel, skin: Skin, bearings: Bearings, seen: Iterable[WayOut], heights: Heights, cleft: Mask
) -> tuple[WayOut, ...]:
    """One across each endplate that CT does not already show interrupted; ``cleft`` marks gas in the body."""
    least_mm = DEPRESSED_GRADED_MM if _is_biconcave(heights) else DEPRESSED_MM
    open_already = {w.name for w in seen if w.route is Route.DISC}
    return tuple(
        _plate_crack(model, skin, bearings, upper, least_mm, cleft)
        for upper in (True, False)
        if f"interrupted {_vertical(upper)} endplate" not in open_already
    )


def wall_cracks(
    model: BoneModel, skin: Skin, bearings: Bearings, seen: Iterable[WayOut], aetiology: Aetiology, cleft: bool
) -> tuple[WayOut, ...]:
    """One along each wall of the body in which CT does not already show a gap."""
    open_already = [w for w in seen if w.route is not Route.DISC]
    present = _each(WALL_SHARE_CLEFT if cleft and aetiology is Aetiology.OSTEOPOROTIC else WALL_SHARE[aetiology])
    out = []
    for name, route, exits in _wall_lines(model, skin, bearings):
        if exits.any() and not any(_same_wall(w, route, exits, bearings) for w in open_already):
            channel = behind(exits, skin.porous, bearings.spacing_mm, CRACK_DEPTH_MM) & _rows(exits, 0)
            out.append(_slit(name, route, channel, exits, present, CRACK_MM, WALL_SOURCE[aetiology]))
    return tuple(out)


def _is_biconcave(heights: Heights) -> bool:
    """Whether the body has lost height in its middle above all, by its own posterior height."""
    found = fracture(heights, None)
    return found is not None and found.deformity is Deformity.BICONCAVE


def _each(any_of_them: float) -> float:
    """The probability of each of :data:`WALLS` independent events of which one or more has a probability."""
    return float(1.0 - (1.0 - any_of_them) ** (1.0 / WALLS))


def _vertical(upper: bool) -> str:
    return "upper" if upper else "lower"


def _plate_crack(model: BoneModel, skin: Skin, bearings: Bearings, upper: bool, least_mm: float, cleft: Mask) -> WayOut:
    plate = endplates(body_of(model), model.solid.spacing_mm)[0 if upper else 1]
    deep = _pressed_in(plate, model.solid.spacing_mm, least_mm)
    pressed = bool(deep.any())
    j_mm = _deepest_mm(plate, deep, bearings) if pressed else bearings.share(0.0, ENDPLATE_BREAK)[1]
    cells = endplate_cells(model, upper)
    away_mm, beside_mm = _to_cleft(cells, cleft, bearings)
    joined = away_mm <= CLEFT_NEAR_MM
    exits = cells & _line(model, bearings, beside_mm if joined else j_mm)
    depth_mm = max(CRACK_DEPTH_MM, away_mm) if joined else CRACK_DEPTH_MM
    channel = behind(exits, skin.porous, bearings.spacing_mm, depth_mm) & _rows(exits, 1)
    name = f"crack in the {_vertical(upper)} endplate"
    if pressed:
        source = PRESSED_SOURCE.format(depth=least_mm)
        return _slit(name, Route.DISC, channel, exits, 1.0, PRESSED_MM, source, Basis.SEEN)
    share = UPPER_SHARE if upper else LOWER_SHARE
    if joined:
        return _slit(name, Route.DISC, channel, exits, min(CLEFT_RATIO * share, 1.0), PRESSED_MM, CLEFT_SOURCE)
    return _slit(name, Route.DISC, channel, exits, share, CRACK_MM, PLATE_SOURCE)


def _to_cleft(cells: Mask, cleft: Mask, bearings: Bearings) -> tuple[float, float]:
    """How far a cleft is from an endplate's cells, and where it is nearest from front to back, mm; ``inf`` without."""
    if not (cleft.any() and cells.any()):
        return np.inf, np.nan
    away = np.where(cells, distance_transform_edt(~cleft, sampling=bearings.spacing_mm), np.inf)
    nearest = float(away.min())
    rows = np.argwhere(away <= nearest + 0.5 * min(bearings.spacing_mm))[:, 1]
    return nearest, (float(rows.mean()) + 0.5) * bearings.spacing_mm[1]


def _pressed_in(plate: Endplate, spacing_mm: tuple[float, float, float], least_mm: float) -> NDArray[np.bool_]:
    """The columns of a pressed-in area, ``[j, i]``; none where it is too small to be one."""
    inner = distance_transform_edt(np.pad(plate.footprint, 1), sampling=spacing_mm[1:])[1:-1, 1:-1] > RIM_MM
    deep = np.asarray(inner & (plate.above_mm < -least_mm))
    return deep & (float(deep.sum()) * spacing_mm[1] * spacing_mm[2] >= DEPRESSED_MM2)


def _deepest_mm(plate: Endplate, deep: NDArray[np.bool_], bearings: Bearings) -> float:
    """Where the deepest point lies from front to back, mm from the box's front."""
    lowest = np.where(deep, plate.above_mm, np.inf)
    rows = np.argwhere(lowest <= lowest.min() + 1e-9)[:, 0]
    return (float(rows.mean()) + 0.5) * bearings.spacing_mm[1]


def _line(model: BoneModel, bearings: Bearings, j_mm: float) -> Mask:
    """The columns of one row from left to right about the midline, ``[1, j, i]``."""
    _, nj, ni = model.solid.shape
    _, hj, hi = bearings.spacing_mm
    row = np.arange(nj) == int(np.clip(j_mm / hj, 0, nj - 1))
    half = HALF_LENGTH_SHARE * float(bearings.high[2] - bearings.low[2])
    near = np.abs((np.arange(ni) + 0.5) * hi - bearings.midline) <= half
    return (row[:, None] & near[None, :])[None]


def _rows(exits: Mask, axis: int) -> Mask:
    """The layers across an axis in which there are exits."""
    others = tuple(a for a in range(3) if a != axis)
    return np.asarray(exits.any(axis=others, keepdims=True))


def _wall_lines(model: BoneModel, skin: Skin, bearings: Bearings) -> list[tuple[str, Route, Mask]]:
    """A horizontal line of the skin along each wall: in the upper third, behind at the basivertebral foramen."""
    high = bearings.share(WALL_BREAK, 0.0)[0]
    left = bearings.mm(skin.cells)[:, 2] > bearings.midline
    lines = (
        ("crack in the front wall", Route.ANTERIOR, high, np.ones_like(left)),
        ("crack in the left side wall", Route.LATERAL, high, left),
        ("crack in the right side wall", Route.LATERAL, high, ~left),
        ("crack in the posterior wall", Route.EPIDURAL, float(bearings.wall_middle[0]), np.ones_like(left)),
    )
    return [(name, route, _layer(model, skin, route, k, where)) for name, route, k, where in lines]


def _layer(model: BoneModel, skin: Skin, route: Route, k_mm: float, where: NDArray[np.bool_]) -> Mask:
    layer = skin.cells[:, 0] == int(np.clip(k_mm / model.solid.spacing_mm[0], 0, model.solid.shape[0] - 1))
    return skin.marked(layer & where & skin.opens_to(route) & ~skin.pedicle)


def _same_wall(seen: WayOut, route: Route, exits: Mask, bearings: Bearings) -> bool:
    """Whether a gap that was seen lies in the same wall: the same route and, at the sides, the same side."""
    if seen.route is not route:
        return False
    return route is not Route.LATERAL or bearings.words(seen.exits).side == bearings.words(exits).side


def _slit(
    name: str,
    route: Route,
    channel: Mask,
    exits: Mask,
    present: float,
    width_mm: float,
    source: str,
    basis: Basis = Basis.EXPECTED,
) -> WayOut:
    return WayOut(name, route, basis, Shape.SLIT, channel | exits, exits, present, width_mm, WIDTH_SPREAD, source)
