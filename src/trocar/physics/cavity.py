"""Pressure in a spherical cavity: an elastic wall, one that yields, and cellular bone that is crushed and compacted.

Elastic-perfectly-plastic solid (Hill R. The Mathematical Theory of Plasticity. Clarendon, Oxford 1950, chapter V),
inner radius ``a``, outer ``b`` (infinite unless given), yield stress ``Y``, plastic out to ``c``::

    elastic       u(a) = p a (1 + nu) / (2 E)
    first yield   p = 2 Y / 3
    plastic       p = 2 Y / 3 (1 + 3 ln(c / a))
    limit         p = 2 Y / 3 (1 + ln(E / (3 (1 - nu) Y)))     grown from a far smaller radius

Cellular bone does not flow round the cavity. Its cells collapse at a plateau stress until their walls touch, and do not
spread sideways meanwhile (Gibson LJ, Ashby MF. Cellular Solids, 2nd ed. Cambridge 1997); the marrow is squeezed out.
Whatever volume the cavity gains, compaction of a shell around it gives: that fixes the shell's radius.

Lengths are millimetres, stresses and moduli megapascals, volumes mm3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

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


def _outside(radius_mm: float, outer_mm: float) -> float:
    """(radius / outer)^3; raises ``ValueError`` where the outer surface does not lie outside."""
    if not outer_mm > radius_mm:
        raise ValueError(f"outer_mm={outer_mm:g} must be greater than the radius {radius_mm:g} mm inside it.")
    return (radius_mm / outer_mm) ** 3


@dataclass(frozen=True)
class Ductile:
    """An elastic-perfectly-plastic solid: von Mises and Tresca agree around a sphere."""

    young_mpa: float
    yield_mpa: float
    poisson: float = 0.3

    def __post_init__(self) -> None:
        _positive(young_mpa=self.young_mpa, yield_mpa=self.yield_mpa)
        POISSON_RANGE.check("poisson", self.poisson, "a ductile solid")

    def elastic_displacement_mm(self, pressure_mpa: float, radius_mm: float, outer_mm: float = math.inf) -> float:
        """How far the wall of a cavity moves while nothing yields; the outer surface is free."""
        share = _outside(radius_mm, outer_mm)
        nu = self.poisson
        inner = (1.0 - 2.0 * nu) * share + (1.0 + nu) / 2.0
        return pressure_mpa * radius_mm * inner / (self.young_mpa * (1.0 - share))

    def first_yield_mpa(self, radius_mm: float = 1.0, outer_mm: float = math.inf) -> float:
        """The pressure at which the wall begins to yield."""
        return 2.0 / 3.0 * self.yield_mpa * (1.0 - _outside(radius_mm, outer_mm))

    def plastic_pressure_mpa(self, radius_mm: float, plastic_mm: float, outer_mm: float = math.inf) -> float:
        """The pressure at which bone is plastic out to the radius ``plastic_mm``."""
        if plastic_mm < radius_mm:
            raise ValueError(f"plastic_mm={plastic_mm:g} lies inside the cavity of radius {radius_mm:g} mm.")
        share = 1.0 if plastic_mm == outer_mm else _outside(plastic_mm, outer_mm)
        return 2.0 / 3.0 * self.yield_mpa * (1.0 + 3.0 * math.log(plastic_mm / radius_mm) - share)

    def plastic_radius_mm(self, pressure_mpa: float, radius_mm: float, outer_mm: float = math.inf) -> float:
        """How far out a pressure makes the solid plastic; the cavity's radius where it does not yield.

        Raises ``ValueError`` for a pressure that no finite wall bears.
        """
        if pressure_mpa <= self.first_yield_mpa(radius_mm, outer_mm):
            return radius_mm
        free = radius_mm * math.exp((1.5 * pressure_mpa / self.yield_mpa - 1.0) / 3.0)
        if math.isinf(outer_mm):
            return free
        bearable = self.plastic_pressure_mpa(radius_mm, outer_mm, outer_mm)
        if pressure_mpa >= bearable:
            raise ValueError(f"pressure_mpa={pressure_mpa:g} bursts the wall, which bears {bearable:g} MPa.")
        return float(
            brentq(lambda c: self.plastic_pressure_mpa(radius_mm, c, outer_mm) - pressure_mpa, radius_mm, outer_mm)
        )

    def displacement_mm(self, pressure_mpa: float, radius_mm: float, outer_mm: float = math.inf) -> float:
        """How far the wall moves, elastic or plastic; small strains (Hill's equation for ``u``)."""
        if pressure_mpa <= self.first_yield_mpa(radius_mm, outer_mm):
            return self.elastic_displacement_mm(pressure_mpa, radius_mm, outer_mm)
        nu, plastic = self.poisson, self.plastic_radius_mm(pressure_mpa, radius_mm, outer_mm)
        volume = (1.0 - nu) * (plastic / radius_mm) ** 3
        shrink = 2.0 / 3.0 * (1.0 - 2.0 * nu) * 1.5 * pressure_mpa / self.yield_mpa
        return self.yield_mpa * radius_mm / self.young_mpa * (volume - shrink)

    def grown_pressure_mpa(self, growth: float) -> float:
        """The pressure in a cavity that grew to ``growth`` times its first radius, in an infinite solid.

        Finite strains in the plastic part, small ones outside; exact to the first order of Y/E for an incompressible
        solid. Before the wall yields it is the elastic pressure of ``ln(growth)``.
        """
        if not growth >= 1.0:
            raise ValueError(f"growth={growth:g} must be at least 1: a cavity that grew.")
        swept = self._stiffness_ratio * (1.0 - growth**-3)
        if swept <= 1.0:
            return 2.0 * self.young_mpa / (1.0 + self.poisson) * math.log(growth)
        return 2.0 / 3.0 * self.yield_mpa * (1.0 + math.log(swept))

    @property
    def limit_pressure_mpa(self) -> float:
        """The pressure that grows a cavity without end. Bishop RF, Hill R, Mott NF. Proc Phys Soc 1945;57:147-159."""
        return 2.0 / 3.0 * self.yield_mpa * (1.0 + math.log(self._stiffness_ratio))

    @property
    def _stiffness_ratio(self) -> float:
        """(c / a)^3 of a cavity that grew from nothing."""
        return self.young_mpa / (3.0 * (1.0 - self.poisson) * self.yield_mpa)


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
