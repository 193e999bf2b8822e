"""What load a bone bears, by three stated criteria that are read side by side.

None of them is the strength of the bone. They are three ways to turn an elastic model (or an elastic-plastic one) into
a number that has been compared with crushed cadaver vertebrae, and where they disagree the disagreement is the answer.
Compression counts as positive: loads in N, displacements in mm, both growing from zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.physics.materials import OFFSET_STRAIN
from trocar.physics.solid import Solid

#: Overall strain at which a vertebral body fails. Crawford RP, Cann CE, Keaveny TM, Bone 33:744-750 (2003): load =
#: stiffness x 0.0068 x height; the number and its authors as quoted by two open programs, the paper itself not read.
FAILURE_STRAIN = 0.0068
#: Strain at which human vertebral trabecular bone yields in compression, 0.84 % with SD 0.06 %: the whole strain where
#: the curve meets its 0.2 % offset line. Kopperdahl DL, Keaveny TM, J Biomech 31:601-608 (1998).
#: Two papers, two numbers: ``materials.YIELD_STRAIN``, 8 % lower, belongs to the laws of its own authors, which have
#: no yield stress; this one was measured by those of the default law.
SECTION_YIELD_STRAIN = 0.0084
#: A cross-section counts as whole with at least this share of the median area of the body's sections. The endplates
#: are hollow and tilted, so the first and last layers hold slivers of bone that no load passes through alone. Our
#: choice; 0.6 and 0.9 find the same section in the published L2 (benchmarks/published_vertebra.py).
WHOLE_SECTION = 0.75


class Criterion(Enum):
    """How a strength was found; the value is the sentence the reader sees."""

    STIFFNESS = "stiffness x 0.68 % of the height"
    OFFSET = "0.2 % offset on the load-displacement curve, bone elastic and then perfectly plastic"
    SECTION = "the weakest cross-section at the yield strain of trabecular bone, from the moduli alone"


def stiffness_strength_n(stiffness_n_mm: float, height_mm: float) -> float:
    """Load at an overall strain of :data:`FAILURE_STRAIN`; ``height_mm`` is the vertebral body's, without caps."""
    _check_positive(stiffness_n_mm=stiffness_n_mm, height_mm=height_mm)
    return FAILURE_STRAIN * stiffness_n_mm * height_mm


def offset_strength_n(
    displacement_mm: ArrayLike,
    load_n: ArrayLike,
    stiffness_n_mm: float,
    height_mm: float,
    offset: float = OFFSET_STRAIN,
) -> float | None:
    """Load where a curve meets the line of its elastic ``stiffness_n_mm`` shifted by ``offset`` x ``height_mm``.

    ``displacement_mm`` and ``load_n`` are the curve's points in order, straight between them. ``None`` where the curve
    ends before it meets the line: it was not loaded far enough, and its last load is only a lower bound. Raises
    ``ValueError`` for a curve that is not one, or that is stiffer at its start than ``stiffness_n_mm`` says.
    """
    _check_positive(stiffness_n_mm=stiffness_n_mm, height_mm=height_mm, offset=offset)
    shortening, load = _curve(displacement_mm, load_n)
    _check_stiffness(shortening, load, stiffness_n_mm)
    above = load - stiffness_n_mm * (shortening - offset * height_mm)
    below = np.flatnonzero(above <= 0.0)
    if not len(below):
        return None
    end = int(below[0])
    share = above[end - 1] / (above[end - 1] - above[end])
    return float(load[end - 1] + share * (load[end] - load[end - 1]))


def _curve(displacement_mm: ArrayLike, load_n: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The curve from the unloaded state on."""
    shortening, load = np.asarray(displacement_mm, np.float64), np.asarray(load_n, np.float64)
    if shortening.ndim != 1 or shortening.shape != load.shape or not len(shortening):
        raise ValueError(f"a curve needs as many loads as displacements; got {load.shape} and {shortening.shape}.")
    if not (np.all(np.isfinite(shortening)) and np.all(np.isfinite(load))):
        raise ValueError("a point of the load-displacement curve is not a number.")
    if shortening[0] > 0.0:
        shortening, load = np.insert(shortening, 0, 0.0), np.insert(load, 0, 0.0)
    if shortening[0] != 0.0 or load[0] != 0.0:
        raise ValueError(f"a curve starts at 0 mm and 0 N; got {shortening[0]:g} mm and {load[0]:g} N.")
    if len(shortening) < 2 or np.any(np.diff(shortening) <= 0.0):
        raise ValueError("the displacements of a curve grow from point to point, compression counted as positive.")
    return shortening, load


#: How much stiffer than the stiffness it is judged by a curve may start: two solvers' tolerances, no more.
_STIFFER = 1.01


def _check_stiffness(shortening: NDArray[np.float64], load: NDArray[np.float64], stiffness_n_mm: float) -> None:
    first = load[1] / shortening[1]
    if first > _STIFFER * stiffness_n_mm:
        raise ValueError(
            f"the curve starts with {first:g} N/mm, stiffer than stiffness_n_mm={stiffness_n_mm:g}: they do not "
            "belong to the same model."
        )


@dataclass(frozen=True, eq=False)
class Rigidity:
    """How stiff every cross-section of a body is, layer by layer along k; one value for each of the box's layers.

    ``axial_n`` is EA. ``centroid_mm`` is ``[2, k]``, the modulus-weighted middle along j and i from the box's corner
    (not a number where there is nothing). ``about_i_n_mm2`` is EI about the axis through it along i (bending that
    spreads strain along j: flexion and extension, where j is posterior), ``about_j_n_mm2`` about the axis along j.
    ``whole`` says which layers count as cross-sections.
    """

    axial_n: NDArray[np.float64]
    centroid_mm: NDArray[np.float64]
    about_i_n_mm2: NDArray[np.float64]
    about_j_n_mm2: NDArray[np.float64]
    whole: NDArray[np.bool_]

    @property
    def weakest(self) -> int:
        """The layer (index along k) of the least axial rigidity."""
        return int(np.argmin(np.where(self.whole, self.axial_n, np.inf)))

    @property
    def least_n(self) -> float:
        """(EA)min: predicts cadaver strength as well as finite elements do (R2 0.81 beside 0.80, 81 vertebrae).

        Buckley JM, Loo K, Motherway J, Bone 40:767-774 (2007), table 3.
        """
        return float(self.axial_n[self.weakest])

    def strength_n(self, yield_strain: float = SECTION_YIELD_STRAIN) -> float:
        """Load at which the weakest section yields as a whole: (EA)min x the elastic part of ``yield_strain``.

        At yield by the 0.2 % offset the stress is the modulus times (``yield_strain`` - :data:`OFFSET_STRAIN`). The
        correlation of :attr:`least_n` with strength is published; this scale is ours.
        """
        if not OFFSET_STRAIN < yield_strain < np.inf:
            raise ValueError(f"yield_strain={yield_strain:g} must be above the offset of {OFFSET_STRAIN:g}.")
        return self.least_n * (yield_strain - OFFSET_STRAIN)


def section_rigidity(solid: Solid, body: NDArray[np.bool_], share: float = WHOLE_SECTION) -> Rigidity:
    """The rigidity of every layer of ``body[k, j, i]`` (a mask that may cover voids, such as a lesion).

    A layer counts as a section where the mask's area is at least ``share`` of the median over the mask's layers.
    Layers are taken as loaded side by side (a uniform strain), voids carry nothing, and each voxel counts with its own
    second moment. Raises ``ValueError`` for a mask of another shape or without material.
    """
    if body.shape != solid.shape:
        raise ValueError(f"body {body.shape} must be a mask of the solid's shape {solid.shape}.")
    if not (body & solid.filled).any():
        raise ValueError("there is no material inside the body's mask: no cross-section to measure.")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share={share:g} must be above 0 and at most 1.")
    _, h_j, h_i = solid.spacing_mm
    force = _along_k(solid, body) * h_j * h_i
    axial = force.sum((1, 2))
    j, about_i = _second_moment(force.sum(2), axial, h_j)
    i, about_j = _second_moment(force.sum(1), axial, h_i)
    return Rigidity(axial, np.stack([j, i]), about_i, about_j, _whole(solid, body, share))


def _along_k(solid: Solid, body: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Young's modulus along k in every voxel of the body, 0 elsewhere."""
    relative = np.array([0.0, *(m.young[0] for m in solid.materials)])[solid.material]
    return np.where(body & solid.filled, relative * solid.modulus_mpa, 0.0).astype(np.float64)


def _second_moment(
    force: NDArray[np.float64], axial: NDArray[np.float64], step_mm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted middle and second moment of ``force[k, x]`` along x, each strip with its own ``step^2 / 12``."""
    x = (np.arange(force.shape[1]) + 0.5) * step_mm
    middle = np.divide(force @ x, axial, out=np.full(len(axial), np.nan), where=axial > 0.0)
    arm = x[None, :] - np.nan_to_num(middle)[:, None]
    return middle, np.asarray((force * (arm**2 + step_mm**2 / 12.0)).sum(1), np.float64)


def _whole(solid: Solid, body: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    area = body.sum((1, 2))
    whole = area >= share * np.median(area[area > 0])
    return np.asarray(whole & (area > 0), np.bool_)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0.0):
            raise ValueError(f"{name}={value:g} must be a positive number.")
