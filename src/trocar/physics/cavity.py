"""Pressure in a spherical cavity of cellular bone, which is crushed and compacted; and the forces of a pressure.

Cellular bone does not flow round the cavity as a metal does. Its cells collapse at a plateau stress until their walls
touch, and do not spread sideways meanwhile (Gibson LJ, Ashby MF. Cellular Solids, 2nd ed. Cambridge 1997); the marrow
is squeezed out. Whatever volume the cavity gains, compaction of a shell around it gives: that fixes the shell's radius.

Lengths are millimetres, stresses and moduli megapascals, volumes mm3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trocar.measure import Range
from trocar.physics.solid import Boundary

POISSON_RANGE = Range(0.0, 0.5)
DENSIFICATION_RANGE = Range(0.05, 0.99)
RELATIVE_DENSITY_RANGE = Range(0.01, 0.6)
#: Densification strain is 1 less this many times the relative density. Gibson & Ashby 1997.
DENSIFICATION_SLOPE = 1.4


def _positive(**values: float) -> None:
    """Refuse a length, modulus or stress that is not a positive number."""
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0.0):
            raise ValueError(f"{name}={value:g} must be a positive number.")


def densification_strain(relative_density: float) -> float:
    """The compressive strain at which a cellular solid's walls touch; ``relative_density`` is solid per whole volume.

    Gibson & Ashby 1997: ``1 - 1.4 rho / rho_s``.
    """
    RELATIVE_DENSITY_RANGE.check("relative_density", relative_density, "a cellular solid")
    return 1.0 - DENSIFICATION_SLOPE * relative_density


def shell_ratio(densification: float) -> float:
    """Outer radius of the compacted shell over the cavity's, for one that grew from nothing; no elastic strain."""
    DENSIFICATION_RANGE.check("densification", densification, "crushable bone")
    return float(densification ** (-1.0 / 3.0))


@dataclass(frozen=True)
class Crushable:
    """Cellular bone: elastic up to the plateau stress ``crush_mpa``, then compacted by ``densification`` (a strain).

    Crushing needs a radial stress of the plateau and no shear: a cellular solid fails by its greatest compressive
    stress. Compacted bone is a powder that carries no hoop stress, so that the radial stress falls with the square of
    the radius through the shell.
    """

    young_mpa: float
    crush_mpa: float
    densification: float
    poisson: float = 0.3

    def __post_init__(self) -> None:
        _positive(young_mpa=self.young_mpa, crush_mpa=self.crush_mpa)
        DENSIFICATION_RANGE.check("densification", self.densification, "crushable bone")
        POISSON_RANGE.check("poisson", self.poisson, "crushable bone")

    @cached_property
    def wall_strain(self) -> float:
        """Hoop strain of the wall when it begins to crush."""
        return self.crush_mpa * (1.0 + self.poisson) / (2.0 * self.young_mpa)

    def front_mm(self, radius_mm: float, first_mm: float = 0.0) -> float:
        """Outer radius of the compacted shell around a cavity that grew from ``first_mm`` to ``radius_mm``.

        The shell's solid came from inside the front, which itself has moved outwards elastically::

            front^3 - radius^3 = (1 - densification) ((front / (1 + strain))^3 - first^3)

        It is the cavity's own radius where nothing is crushed yet.
        """
        if not radius_mm >= first_mm >= 0.0:
            raise ValueError(f"radius_mm={radius_mm:g} must be at least the first radius {first_mm:g} mm.")
        left = 1.0 - self.densification
        if radius_mm <= first_mm * (1.0 + self.wall_strain):
            return radius_mm
        moved = 1.0 - left / (1.0 + self.wall_strain) ** 3
        return float(((radius_mm**3 - left * first_mm**3) / moved) ** (1.0 / 3.0))

    def pressure_mpa(self, radius_mm: float, first_mm: float = 0.0) -> float:
        """The pressure that holds a cavity open at ``radius_mm`` while it grows from ``first_mm``."""
        front = self.front_mm(radius_mm, first_mm)
        if front > radius_mm or first_mm == 0.0:
            return self.crush_mpa * (front / radius_mm) ** 2 if radius_mm > 0.0 else self.crush_mpa
        return self.crush_mpa * (radius_mm / first_mm - 1.0) / self.wall_strain

    def pressure_at_volume_mpa(self, volume_mm3: float, first_mm3: float = 0.0) -> float:
        """The pressure-volume curve of a balloon: pressure at a volume that grew from ``first_mm3``."""
        return self.pressure_mpa(radius_of_mm(volume_mm3), radius_of_mm(first_mm3))

    def deflated_mm(self, radius_mm: float, first_mm: float = 0.0) -> float:
        """The cavity's radius once the pressure is gone: the bone outside the front springs back, the shell with it."""
        front = self.front_mm(radius_mm, first_mm)
        if front == radius_mm:
            return first_mm if first_mm else radius_mm
        back = front / (1.0 + self.wall_strain)
        return float((radius_mm**3 - front**3 + back**3) ** (1.0 / 3.0))


def radius_of_mm(volume_mm3: float) -> float:
    """Radius of a ball."""
    if not volume_mm3 >= 0.0:
        raise ValueError(f"volume_mm3={volume_mm3:g} must not be negative.")
    return (3.0 * volume_mm3 / (4.0 * math.pi)) ** (1.0 / 3.0)


def pressed(
    hollow: NDArray[np.bool_], filled: NDArray[np.bool_], spacing_mm: tuple[float, float, float], pressure_mpa: float
) -> Boundary:
    """The forces of a pressure in the voxels ``hollow`` on the faces of the voxels ``filled`` beside them.

    Both are ``[k, j, i]``. A face's force goes in equal parts to its four nodes. Raises ``ValueError`` where a voxel is
    both, or where the hollow has no wall.
    """
    if np.any(hollow & filled):
        raise ValueError(f"{int((hollow & filled).sum())} voxels are hollow and filled at once.")
    k, j, i = hollow.shape
    force = np.zeros((3, k + 1, j + 1, i + 1))
    for axis in range(3):
        quarter = 0.25 * pressure_mpa * float(np.prod(spacing_mm)) / spacing_mm[axis]
        before, after = _beside(axis, slice(None, -1)), _beside(axis, slice(1, None))
        push = (hollow[before] & filled[after]).astype(float) - (filled[before] & hollow[after])
        inner = force[axis][_beside(axis, slice(1, -1))]
        for a, b in np.ndindex(2, 2):
            inner[_corner(axis, a, b, push.shape)] += quarter * push
    loaded = np.flatnonzero(force)
    if not len(loaded):
        raise ValueError("there is no wall to press on: the hollow touches no filled voxel.")
    return Boundary((k + 1, j + 1, i + 1), loaded=loaded, force_n=force.reshape(-1)[loaded])


def opened_mm3(boundary: Boundary, displacement_mm: NDArray[np.float64], pressure_mpa: float) -> float:
    """The volume that a hollow gains: the work of the forces of :func:`pressed` over its pressure."""
    return float(boundary.force_n @ displacement_mm.reshape(-1)[boundary.loaded]) / pressure_mpa


def _beside(axis: int, part: slice) -> tuple[slice, ...]:
    """A part along one axis, all of the others."""
    return tuple(part if a == axis else slice(None) for a in range(3))


def _corner(axis: int, a: int, b: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The nodes at corner (a, b) of every face across ``axis``."""
    shifts = iter((a, b))
    starts = [0 if n == axis else next(shifts) for n in range(3)]
    return tuple(slice(start, start + size) for start, size in zip(starts, shape, strict=True))
