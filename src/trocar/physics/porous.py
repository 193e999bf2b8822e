"""A viscous fluid pushed into a porous medium that is full of another: where it goes, what it takes, what leaves.

Cells are ``[k, j, i]``. Lengths are millimetres, volumes cubic millimetres, times seconds, pressures pascals,
viscosities pascal seconds and permeabilities square millimetres (1e-8 m2 is 0.01 mm2): with these Darcy's law,
``flow = permeability area / (viscosity length) pressure``, needs no factor and flow is mm3/s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.measure import Status


@dataclass(frozen=True, eq=False)
class Outlet:
    """A way out of the medium, to a reservoir at pressure 0.

    ``cells`` are flat indices of the cells it leaves from, ``conductance_mm3`` permeability times area over length
    between the middle of each of them and the outside. Beyond a ``bore_mm`` (radius) what has left fills a tube of
    that radius, which holds back what follows; ``inf`` is open. With ``passes`` False only the fluid that was there
    first gets through: pores too fine for the other.
    """

    name: str
    cells: NDArray[np.int64]
    conductance_mm3: NDArray[np.float64]
    bore_mm: float = np.inf
    passes: bool = True


@dataclass(frozen=True, eq=False)
class Medium:
    """What is flowed through.

    ``porosity`` (float32 ``[k, j, i]``, 0 where there is none of it) is the share of a cell that fluid can fill,
    ``permeability_mm2`` (float32 ``[3, k, j, i]``) that along k, j and i, ``spacing_mm`` the cell along k, j, i.
    """

    porosity: NDArray[np.float32]
    permeability_mm2: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    outlets: tuple[Outlet, ...] = ()


class Injectate(Protocol):
    """The fluid that is pushed in. Its age is in seconds at a temperature of its own choice."""

    @property
    def ageing(self) -> float:
        """Seconds it ages in each second inside the medium."""

    @property
    def ageing_outside(self) -> float:
        """Seconds it ages in each second before it gets there."""

    def viscosity_pa_s(self, age_s: ArrayLike, shear_per_s: ArrayLike) -> NDArray[np.float64]:
        """Viscosity at an age and a shear rate, arrays of one shape."""


@dataclass(frozen=True)
class Stroke:
    """So much through one tip at a constant rate, after a pause."""

    volume_mm3: float
    rate_mm3_s: float
    tip: int = 0
    pause_s: float = 0.0


@dataclass(frozen=True)
class Tube:
    """What the fluid passes before the medium: a cannula's bore."""

    radius_mm: float
    length_mm: float


@dataclass(frozen=True, eq=False)
class Injection:
    """How it went: one row for each step, and the fields at the end.

    ``time_s`` since the injection began, ``injected_mm3`` through all tips, ``tip_pa`` at the tip and ``driving_pa``
    before the tube, ``viscosity_pa_s`` in the tube, ``leaked_mm3`` ``[step, outlet]``. ``content_mm3`` (float32
    ``[k, j, i]``) is how much of the injected fluid each cell holds, ``age_s`` its mean age there, ``arrival_mm3`` how
    much had been injected when the cell was half full (``inf`` where it never was).
    """

    medium: Medium
    status: Status
    time_s: NDArray[np.float64]
    injected_mm3: NDArray[np.float64]
    tip_pa: NDArray[np.float64]
    driving_pa: NDArray[np.float64]
    viscosity_pa_s: NDArray[np.float64]
    leaked_mm3: NDArray[np.float64]
    content_mm3: NDArray[np.float32]
    age_s: NDArray[np.float32]
    arrival_mm3: NDArray[np.float32]
    iterations: int = field(default=0)

    @property
    def saturation(self) -> NDArray[np.float32]:
        """Share of each cell's pore space that the injected fluid fills, ``[k, j, i]``."""
        room = self.medium.porosity * np.float32(np.prod(self.medium.spacing_mm))
        return np.divide(self.content_mm3, room, out=np.zeros_like(self.content_mm3), where=room > 0.0)
