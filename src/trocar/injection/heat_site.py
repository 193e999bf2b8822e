"""What the heat of curing cement meets: a treated vertebra with its surroundings, and the places that must stay cool.

The box is a bone model's grid widened by a margin: k superior, j posterior, i left. What is neither bone, canal, disc
nor a labelled structure counts as muscle. Beyond the box everything is as warm as blood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from trocar.anatomy.vertebra import Part
from trocar.geometry import frozen
from trocar.mechanics.ends import endplates
from trocar.mechanics.filling import Mask
from trocar.mechanics.model import WHOLE, BoneModel
from trocar.physics.heat import HeatMedium
from trocar.physics.tissues import CANCELLOUS, CEMENT, CORD, CSF, DISC, LYTIC_TUMOUR, MUSCLE, TISSUES, HeatTissue
from trocar.volume import Volume

#: Heat from a vertebra is small this far beyond it within the minutes that curing takes (ours; widening it to 25 mm
#: moves no region by a tenth of a degree, see the tests), mm.
MARGIN_MM = 15.0
#: The parts that cement may lie in; the rest of the arch is cut off with the margin.
HELD = (Part.BODY, Part.PEDICLE_LEFT, Part.PEDICLE_RIGHT)
#: Blood flows where less of a voxel than this is cement. Ours: vessels that are filled carry none.
BLOODLESS_SHARE = 0.05


class Region(Enum):
    """A place whose temperature is told."""

    SUPERIOR_ENDPLATE = "superior endplate"
    INFERIOR_ENDPLATE = "inferior endplate"
    POSTERIOR_WALL = "posterior wall"
    CANAL = "spinal canal"
    CORD = "spinal cord"
    ROOTS = "nerve roots"
    TUMOUR_RIM = "tumour rim"


#: Where nerves lie.
NERVES = (Region.CANAL, Region.CORD, Region.ROOTS)


@dataclass(frozen=True, eq=False)
class HeatSite:
    """Tissues and regions on one grid ``[k, j, i]``.

    ``tissue`` holds places in :data:`trocar.physics.tissues.TISSUES`, ``affine`` takes ``(i, j, k, 1)`` to LPS mm, and
    the bone model's voxel ``[0, 0, 0]`` is this grid's voxel ``origin`` (may be negative); ``regions`` are masks, none
    of them empty.
    """

    tissue: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    affine: NDArray[np.float64]
    origin: tuple[int, int, int]
    model_shape: tuple[int, int, int]
    regions: Mapping[Region, Mask]

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm))

    def of_model(self, array: NDArray[Any], outside: float = 0.0) -> NDArray[Any]:
        """An array on the model's grid brought to this one; raises ``ValueError`` for any other shape."""
        if array.shape != self.model_shape:
            raise ValueError(f"an array of shape {array.shape} is not on the model's grid of {self.model_shape}.")
        return _moved(array, self.origin, self.tissue.shape, outside)

    def medium(self, content: NDArray[np.float64], perfused: bool = True) -> HeatMedium:
        """The medium with a share ``content`` of each voxel turned to cement; without blood if not ``perfused``."""
        capacity = _mixed([t.capacity_j_per_mm3_k for t in TISSUES], self.tissue, CEMENT.capacity_j_per_mm3_k, content)
        passing = [t.conductivity_w_per_mm_k for t in TISSUES]
        conductivity = _mixed(passing, self.tissue, CEMENT.conductivity_w_per_mm_k, content)
        blood = np.array([t.perfusion_w_per_mm3_k for t in TISSUES])[self.tissue]
        flowing = perfused * (content < BLOODLESS_SHARE)
        return HeatMedium(capacity, conductivity, blood * flowing, self.spacing_mm)

    def room_mm3(self, content: NDArray[np.float64], into: Mask) -> float:
        """How much more cement a region can hold."""
        return float(np.maximum(1.0 - content[into], 0.0).sum()) * self.voxel_mm3

    def deposited(self, content: NDArray[np.float64], near: Mask, volume_mm3: float, into: Mask) -> NDArray[np.float64]:
        """``content`` with so much cement more: it fills the voxels of ``into`` that are nearest to ``near``.

        All on this grid. Meant for what leaked, whose shape is not known. Raises ``ValueError`` for an empty ``near``
        and for more than ``into`` has room for.
        """
        room, whole = np.where(into, np.maximum(1.0 - content, 0.0), 0.0), self.room_mm3(content, into)
        if not near.any() or not 0.0 <= volume_mm3 <= whole:
            raise ValueError(
                f"{volume_mm3:g} mm3 of cement do not fit: there is room for {whole:g} mm3 behind {near.sum()} exits."
            )
        away = distance_transform_edt(~near, sampling=self.spacing_mm)
        shells, shell = np.unique(np.round(away[into], 6), return_inverse=True)  # alike left and right
        volume = np.bincount(shell, room[into], len(shells)) * self.voxel_mm3
        before = np.concatenate([[0.0], np.cumsum(volume)[:-1]])
        share = np.divide(volume_mm3 - before, volume, out=np.zeros(len(shells)), where=volume > 0.0)
        out = content.copy()
        out[into] += np.clip(share, 0.0, 1.0)[shell] * room[into]
        return out


def heat_site(
    model: BoneModel,
    structures: Mapping[str, Volume] | None = None,
    *,
    tumour: Mask | None = None,
    margin_mm: float = MARGIN_MM,
) -> HeatSite:
    """The surroundings of a bone model.

    ``structures`` are a patient's masks by name, of which the spinal canal, the cord and the root foramina are used
    where they reach into the box; ``tumour`` is a mask on the model's grid. Raises ``ValueError`` for a model without a
    vertebral body, a margin that is not positive and a tumour on another grid.
    """
    if not (np.isfinite(margin_mm) and margin_mm > 0.0):
        raise ValueError(f"margin_mm={margin_mm} must be a positive number of millimetres.")
    if tumour is not None and tumour.shape != model.parts.shape:
        raise ValueError(f"the tumour's mask {tumour.shape} and the model {model.parts.shape} must be one box.")
    if not (model.parts == Part.BODY).any():
        raise ValueError(f"the model of {model.level} has no vertebral body: no part is marked as body.")
    origin, shape = _box(model, margin_mm)
    affine = _shifted(model.affine, origin)
    parts = _moved(model.parts, origin, shape)
    mass = None if tumour is None else _moved(tumour, origin, shape)
    bone = np.isin(parts, [int(p) for p in WHOLE])
    marked = _marked(structures or {}, Volume(np.zeros(shape, bool), affine, unit="mask"), bone)
    canal = (parts == Part.CANAL) | marked[Region.CANAL]
    tissue = _tissues(parts, bone, canal, marked[Region.CORD], mass)
    regions = _walls(parts, canal, model.solid.spacing_mm) | marked | {Region.CANAL: canal}
    if mass is not None:
        regions[Region.TUMOUR_RIM] = mass & ~binary_erosion(mass)
    told = {r: frozen(regions[r], bool) for r in Region if r in regions and regions[r].any()}
    return HeatSite(tissue, model.solid.spacing_mm, affine, origin, model.solid.shape, told)


def _box(model: BoneModel, margin_mm: float) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Where the model's first voxel lies in the box, and the box's shape."""
    where = np.argwhere(np.isin(model.parts, [int(p) for p in HELD]))
    room = np.ceil(margin_mm / np.asarray(model.solid.spacing_mm)).astype(int)
    first, last = where.min(axis=0) - room, where.max(axis=0) + 1 + room
    k, j, i = (int(n) for n in -first)
    nk, nj, ni = (int(n) for n in last - first)
    return (k, j, i), (nk, nj, ni)


def _moved(array: NDArray[Any], origin: tuple[int, ...], shape: tuple[int, ...], outside: float = 0.0) -> NDArray[Any]:
    """An array set into a box of ``shape`` with its first voxel at ``origin``; what lies outside is cut."""
    out = np.full(shape, outside, array.dtype)
    into = tuple(slice(max(o, 0), min(o + n, m)) for o, n, m in zip(origin, array.shape, shape, strict=True))
    out[into] = array[tuple(slice(s.start - o, s.stop - o) for s, o in zip(into, origin, strict=True))]
    return out


def _shifted(affine: NDArray[np.float64], origin: tuple[int, int, int]) -> NDArray[np.float64]:
    out = np.array(affine, np.float64)
    out[:3, 3] = (out @ [-origin[2], -origin[1], -origin[0], 1.0])[:3]
    return frozen(out)


#: Names of the patient's masks, or how they begin, by region.
_NAMED = {Region.CANAL: "spinal_canal", Region.CORD: "spinal_cord", Region.ROOTS: "foramen_"}


def _marked(structures: Mapping[str, Volume], grid: Volume, bone: Mask) -> dict[Region, Mask]:
    """Where nerves lie by the patient's masks, as far as they are not bone."""
    out = {}
    for region, start in _NAMED.items():
        found = [mask.onto(grid).array.astype(bool) for name, mask in structures.items() if name.startswith(start)]
        out[region] = np.any([np.zeros(grid.shape, bool), *found], axis=0) & ~bone
    return out


def _tissues(parts: NDArray[np.uint8], bone: Mask, canal: Mask, cord: Mask, tumour: Mask | None) -> NDArray[np.uint8]:
    """Places in :data:`TISSUES`; the later rules win. All bone is cancellous: cortex conducts alike."""
    out = np.full(parts.shape, _place(MUSCLE), np.uint8)
    out[:, (parts == Part.BODY).any(axis=0)] = _place(DISC)
    out[canal] = _place(CSF)
    out[cord] = _place(CORD)
    out[bone] = _place(CANCELLOUS)
    if tumour is not None:
        out[tumour] = _place(LYTIC_TUMOUR)
    return out


def _walls(parts: NDArray[np.uint8], canal: Mask, spacing_mm: tuple[float, float, float]) -> dict[Region, Mask]:
    """The outermost voxels of the body: under both endplates, and towards the canal."""
    body = np.asarray(parts == Part.BODY, bool)
    out: dict[Region, Mask] = {}
    for region, plate in zip(
        (Region.SUPERIOR_ENDPLATE, Region.INFERIOR_ENDPLATE), endplates(body, spacing_mm), strict=True
    ):
        j, i = np.nonzero(plate.footprint)
        out[region] = np.zeros(body.shape, bool)
        out[region][plate.surface[j, i] - (plate.outward > 0), j, i] = True
    behind = np.cumsum(body[:, ::-1], axis=1)[:, ::-1]
    out[Region.POSTERIOR_WALL] = body & (behind == 1) & np.any(canal, axis=(0, 1), keepdims=True)
    return out


def _mixed(
    values: ArrayLike, tissue: NDArray[np.uint8], cement: float, content: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A property of tissue and cement by their shares of each voxel."""
    own = np.asarray(values, np.float64)[tissue]
    return own + content * (cement - own)


def _place(tissue: HeatTissue) -> int:
    return TISSUES.index(tissue)
