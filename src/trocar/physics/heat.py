"""Heat in living tissue, and the dose it leaves: Pennes' equation on voxels, and equivalent minutes at 43 degC.

    capacity dT/dt = div(conductivity grad T) + perfusion (T_blood - T) + source

Pennes, J Appl Physiol 1:93 (1948). Voxels are ``[k, j, i]``, lengths millimetres, so capacity is J/mm3/K, conductivity
W/mm/K, perfusion (blood flow times the blood's capacity) W/mm3/K and a source W/mm3. Temperature belongs to the middle
of a voxel; between two voxels heat passes through their halves in series (finite volumes, harmonic mean), so what one
loses the other gains.

A step solves lines of voxels along i, then j, then k (Douglas, Numer Math 4:41, 1962). It is second order in the step
and in the voxel. In an even medium any step stays bounded; in an uneven one the three directions do not commute, and
steps beyond :data:`LONGEST`, a dozen times what an explicit scheme bears, have been seen to grow and are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.physics import heat_sweeps

#: Temperature of arterial blood, degC.
BLOOD_C = 37.0
#: Share of a step that is taken implicitly: one half is second order, and the least that stays bounded.
IMPLICIT = 0.5
#: Longest step in units of ``spacing^2 / diffusivity``. Found by trial: of many small random media, conductivities up
#: to 1000 to 1 and capacities up to 100 to 1, none was found in which a temperature grows; at 3 there are some.
LONGEST = 2.0
#: Below and above this temperature a degree changes the rate of damage four times and two times.
#: Sapareto & Dewey, Int J Radiat Oncol Biol Phys 10:787 (1984).
BREAK_C = 43.0
RATIO_BELOW, RATIO_ABOVE = 0.25, 0.5

#: Temperature, degC, that a face of the box is held at, or None where no heat passes.
Face = float | None
Faces = tuple[tuple[Face, Face], tuple[Face, Face], tuple[Face, Face]]
#: A box in a body so large that its faces stay as warm as blood.
FAR: Faces = ((BLOOD_C, BLOOD_C), (BLOOD_C, BLOOD_C), (BLOOD_C, BLOOD_C))
#: A box that no heat leaves.
INSULATED: Faces = ((None, None), (None, None), (None, None))


@dataclass(frozen=True, eq=False)
class HeatMedium:
    """What heat passes through, ``[k, j, i]``; ``spacing_mm`` is the voxel along k, j, i.

    ``faces_c`` are what the outer faces of the box are held at, first and last along k, then j, then i. Raises
    ``ValueError`` for arrays of different shapes, a capacity that is not positive, a conductivity or perfusion that is
    negative, and anything that is not a number.
    """

    capacity_j_per_mm3_k: NDArray[np.float64]
    conductivity_w_per_mm_k: NDArray[np.float64]
    perfusion_w_per_mm3_k: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    blood_c: float = BLOOD_C
    faces_c: Faces = FAR

    def __post_init__(self) -> None:
        shape = np.shape(self.capacity_j_per_mm3_k)
        if len(shape) != 3 or 0 in shape:
            raise ValueError(f"a medium is a box of voxels [k, j, i]; its capacity has the shape {shape}.")
        if not (len(self.spacing_mm) == 3 and all(np.isfinite(h) and h > 0.0 for h in self.spacing_mm)):
            raise ValueError(f"spacing_mm={self.spacing_mm} must be three positive lengths along k, j, i.")
        held = [c for pair in self.faces_c for c in pair if c is not None]
        if len(self.faces_c) != 3 or not np.all(np.isfinite([self.blood_c, *held])):
            raise ValueError(f"blood_c={self.blood_c} and faces_c={self.faces_c} must be temperatures, degC.")
        for name, unit, positive in _FIELDS:
            object.__setattr__(self, name, _field(name, unit, positive, getattr(self, name), shape))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along k, j, i."""
        k, j, i = self.capacity_j_per_mm3_k.shape
        return (k, j, i)

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm))


#: The fields of a medium, their units, and whether zero is too little.
_FIELDS = (
    ("capacity_j_per_mm3_k", "J/mm3/K", True),
    ("conductivity_w_per_mm_k", "W/mm/K", False),
    ("perfusion_w_per_mm3_k", "W/mm3/K", False),
)


def _field(name: str, unit: str, positive: bool, values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.array(values, np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} {array.shape} and the capacity {shape} must be one box [k, j, i].")
    good = np.isfinite(array) & ((array > 0.0) if positive else (array >= 0.0))
    if not good.all():
        place = tuple(int(n) for n in np.argwhere(~good)[0])
        bound = "positive" if positive else "zero or more"
        raise ValueError(f"{name} at voxel {list(place)} is {array[place]:g} {unit}: it must be {bound}.")
    array.flags.writeable = False
    return array


class Heat:
    """Steps of ``dt_s`` through a medium; ``dtype`` is the precision that is worked in.

    Single precision is enough for tissue: temperatures are kept as their excess over blood. Raises ``ValueError`` for a
    step that is not positive or longer than :func:`longest_step_s`.
    """

    def __init__(self, medium: HeatMedium, dt_s: float, dtype: type[np.floating[Any]] = np.float32) -> None:
        if not (np.isfinite(dt_s) and dt_s > 0.0):
            raise ValueError(f"dt_s={dt_s} must be a positive number of seconds.")
        if dt_s > longest_step_s(medium):
            raise ValueError(f"dt_s={dt_s} is too long for this medium: at most {longest_step_s(medium):.3g} s.")
        self.medium, self.dt_s, self._type = medium, float(dt_s), dtype
        self._step, self._share = dtype(dt_s), dtype(IMPLICIT * dt_s)
        along = [conductances(medium, axis) for axis in range(3)]
        self._pivots = [pivots(medium, along[axis], axis, IMPLICIT * dt_s).astype(dtype) for axis in range(3)]
        self._along = [g.astype(dtype) for g in along]
        self._capacity = medium.capacity_j_per_mm3_k.astype(dtype)
        self._perfusion = medium.perfusion_w_per_mm3_k.astype(dtype)
        self._ghosted = _ghosts(medium, dtype)
        self._change = np.empty(medium.shape, dtype)

    def advance(self, temperature_c: ArrayLike, source_w_per_mm3: ArrayLike = 0.0) -> NDArray[Any]:
        """The temperature, degC ``[k, j, i]``, one step later.

        The source, one number or ``[k, j, i]``, is what it is in the middle of the step, and constant during it.
        """
        shape, blood = self.medium.shape, self._type(self.medium.blood_c)
        if np.shape(temperature_c) != shape:
            raise ValueError(f"temperature_c has the shape {np.shape(temperature_c)}; the medium is {shape}.")
        excess = self._ghosted[1:-1, 1:-1, 1:-1]
        np.subtract(temperature_c, blood, out=excess, casting="same_kind")
        source = np.ascontiguousarray(np.broadcast_to(np.asarray(source_w_per_mm3, self._type), shape))
        self._sweep(source)
        return np.asarray(excess + self._change + blood)

    def _sweep(self, source: NDArray[Any]) -> None:
        (k, j, i), (pk, pj, pi), change = self._along, self._pivots, self._change
        planes, rows, _ = self.medium.shape
        heat_sweeps.sweep_i(
            self._ghosted, k, j, i, self._perfusion, source, pi, self._step, self._share, change, 0, planes
        )
        heat_sweeps.sweep_j(j, self._capacity, pj, self._share, change, 0, planes)
        heat_sweeps.sweep_k(k, self._capacity, pk, self._share, change, 0, rows)


def longest_step_s(medium: HeatMedium) -> float:
    """The longest step, s, that a medium may be given (:data:`LONGEST`)."""
    fastest = float((medium.conductivity_w_per_mm_k / medium.capacity_j_per_mm3_k).max())
    return LONGEST * min(medium.spacing_mm) ** 2 / fastest if fastest > 0.0 else np.inf


def conductances(medium: HeatMedium, axis: int) -> NDArray[np.float64]:
    """W/mm3/K of the faces along an axis, per voxel volume; the first and last are the faces of the box."""
    half = 2.0 * np.moveaxis(medium.conductivity_w_per_mm_k, axis, 0) / medium.spacing_mm[axis] ** 2
    along = np.zeros((len(half) + 1, *half.shape[1:]))
    both = half[:-1] + half[1:]
    np.divide(half[:-1] * half[1:], both, out=along[1:-1], where=both > 0.0)
    first, last = medium.faces_c[axis]
    along[0], along[-1] = half[0] * (first is not None), half[-1] * (last is not None)
    return np.ascontiguousarray(np.moveaxis(along, 0, axis))


def pivots(medium: HeatMedium, along: NDArray[np.float64], axis: int, share_s: float) -> NDArray[np.float64]:
    """Inverse of the diagonal that elimination along an axis leaves: capacity, faces and a third of the perfusion."""
    faces = share_s * np.moveaxis(along, axis, 0)
    whole = medium.capacity_j_per_mm3_k + share_s / 3.0 * medium.perfusion_w_per_mm3_k
    diagonal = np.moveaxis(whole, axis, 0) + faces[:-1] + faces[1:]
    inverse = 1.0 / diagonal
    for n, (_, face) in enumerate(pairwise(faces[:-1]), 1):
        inverse[n] = 1.0 / (diagonal[n] - face**2 * inverse[n - 1])
    return np.ascontiguousarray(np.moveaxis(inverse, 0, axis))


def _ghosts(medium: HeatMedium, dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Room for the excess over blood, with what the faces are held at in a layer around it."""
    ghosted = np.zeros(tuple(n + 2 for n in medium.shape), dtype)
    for axis, pair in enumerate(medium.faces_c):
        for place, held in zip((0, -1), pair, strict=True):
            np.moveaxis(ghosted, axis, 0)[place] = 0.0 if held is None else held - medium.blood_c
    return ghosted


def equivalent(temperature_c: ArrayLike) -> NDArray[np.float64]:
    """Minutes at 43 degC that one minute at this temperature equals. Sapareto & Dewey (1984)."""
    above = np.asarray(temperature_c, np.float64) - BREAK_C
    return np.where(above >= 0.0, RATIO_ABOVE, RATIO_BELOW) ** -above


def cem43(temperature_c: ArrayLike, dt_s: float) -> NDArray[np.float64]:
    """Cumulative equivalent minutes at 43 degC over the first axis: temperatures in the middle of steps of ``dt_s``."""
    return np.asarray(np.sum(equivalent(temperature_c), axis=0) * dt_s / 60.0)


def minutes_above(threshold_c: float, before_c: ArrayLike, after_c: ArrayLike, dt_s: float) -> NDArray[np.float64]:
    """Minutes above a threshold in a step of ``dt_s`` that leads straight from one temperature to another."""
    first, last = np.asarray(before_c, np.float64) - threshold_c, np.asarray(after_c, np.float64) - threshold_c
    over, span = np.maximum(first, 0.0) + np.maximum(last, 0.0), np.abs(first) + np.abs(last)
    return np.divide(over, span, out=np.zeros(np.shape(span)), where=span > 0.0) * dt_s / 60.0
