"""A viscous fluid pushed into a porous medium that is full of another: where it goes, what it takes, what leaves.

Cells are ``[k, j, i]``. Lengths are millimetres, volumes cubic millimetres, times seconds, pressures pascals,
viscosities pascal seconds and permeabilities square millimetres (1e-8 m2 is 0.01 mm2): with these Darcy's law,
``flow = permeability area / (viscosity length) pressure``, needs no factor and flow is mm3/s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from trocar.measure import Status
from trocar.physics.cannula import tube_drop_pa, wall_shear_per_s
from trocar.physics.diffusion import Diffusion
from trocar.physics.faces import Faces
from trocar.physics.front import advance, conductances, settle, speeds
from trocar.physics.opening import Opening, opening
from trocar.physics.pores import shear_rate_per_s

#: Steps to a whole injection, unless a step is asked for.
STEPS = 40
#: How far the pressure is solved: the residual of a step over what is pushed in.
TOLERANCE = 1e-6
#: Relative distance within which two pressures are one: that with which a rate is found for a pressure.
TIE = 1e-9
#: A flow below this is none: 3 mm3 a minute.
STANDSTILL_MM3_S = 0.05
#: The rate at which a resistance is looked for, where a pressure is prescribed.
TRIAL_MM3_S = 1.0
#: What a way that lets only the first fluid through still conducts once the other has reached it: next to nothing, but
#: enough for the pressure of what it encloses to be known.
SEALED = 1e-6
#: A cell counts as reached from this share of its pores on.
HALF = 0.5


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

    @property
    def shear_index(self) -> float:
        """The n of its shear thinning: viscosity falls as shear to the power n - 1; 1 for none."""

    def viscosity_pa_s(self, age_s: ArrayLike, shear_per_s: ArrayLike) -> NDArray[np.float64]:
        """Viscosity at an age and a shear rate, arrays of one shape."""


@dataclass(frozen=True)
class Stroke:
    """So much through one tip after a pause: at a constant rate, or as fast as a constant pressure drives it."""

    volume_mm3: float
    rate_mm3_s: float | None = None
    tip: int = 0
    pause_s: float = 0.0
    pressure_pa: float | None = None


@dataclass(frozen=True)
class Tube:
    """What the fluid passes before the medium: a cannula's bore."""

    radius_mm: float
    length_mm: float


@dataclass(frozen=True, eq=False)
class Injection:
    """How it went: one row for each state before a step and one at the end, and the fields at the end.

    ``time_s`` since the first stroke's turn, ``injected_mm3`` through all tips, ``tip_pa`` at the tip and
    ``driving_pa`` before the tube, ``viscosity_pa_s`` in the tube, ``rate_mm3_s`` of the step that begins there,
    ``leaked_mm3`` ``[step, outlet]``. ``content_mm3``
    (float32 ``[k, j, i]``) is how much of the injected fluid each cell holds, ``age_s`` its mean age there,
    ``arrival_mm3`` how much had been injected when the cell was half full (``inf`` where it never was).
    """

    medium: Medium
    status: Status
    time_s: NDArray[np.float64]
    injected_mm3: NDArray[np.float64]
    tip_pa: NDArray[np.float64]
    driving_pa: NDArray[np.float64]
    viscosity_pa_s: NDArray[np.float64]
    rate_mm3_s: NDArray[np.float64]
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


def inject(
    medium: Medium,
    tips_mm: ArrayLike,
    injectate: Injectate,
    strokes: Sequence[Stroke],
    *,
    resident_pa_s: float,
    tip_radius_mm: float,
    tube: Tube | None = None,
    age_s: float = 0.0,
    limit_pa: float = np.inf,
    step_mm3: float | None = None,
    tolerance: float = TOLERANCE,
    progress: Callable[[float], None] = lambda injected_mm3: None,
) -> Injection:
    """Push a fluid into a medium that is full of another, of viscosity ``resident_pa_s``, stroke by stroke.

    ``tips_mm`` ``(n, 3)`` are where it leaves, in mm along k, j, i from the box's corner, each spread over a ball of
    ``tip_radius_mm``; ``age_s`` is the injectate's age, in its own seconds, when the first stroke begins. In each step
    (:data:`STEPS` to the whole, unless ``step_mm3`` says otherwise) the pressure is solved with the fluids where they
    are (a cell that both share resists as both in series) and the front moves with it. Where the pressure before the
    ``tube`` would exceed ``limit_pa``, or a stroke's own pressure drives less than :data:`STANDSTILL_MM3_S`, the
    injection ends with :attr:`Status.INJECTOR_LIMIT` at what was reached.

    First order in the step and in the cell. Raises ``ValueError`` for a tip with no medium around it, a stroke of no
    volume, and numbers that are not positive.
    """
    _check(medium, strokes, resident_pa_s=resident_pa_s, tip_radius_mm=tip_radius_mm)
    tips = [
        opening(medium.porosity, medium.permeability_mm2, medium.spacing_mm, tip, tip_radius_mm)
        for tip in np.atleast_2d(np.asarray(tips_mm, np.float64))
    ]
    step_mm3 = step_mm3 or sum(s.volume_mm3 for s in strokes) / STEPS
    flow = _Flow(medium, injectate, resident_pa_s, tube, age_s, tolerance)
    status = Status.SUCCESS
    for stroke in strokes:
        flow.wait(stroke.pause_s)
        count = max(1, int(np.ceil(stroke.volume_mm3 / step_mm3 - 1e-9)))
        for _ in range(count):
            status = flow.push(tips[stroke.tip], stroke, stroke.volume_mm3 / count, limit_pa)
            if status is not Status.SUCCESS:
                return flow.result(status)
            progress(flow.injected_mm3)
    last = strokes[-1]
    ending = flow.look(tips[last.tip], last)
    return flow.result(Status.SUCCESS if ending is Status.INJECTOR_LIMIT else ending)  # all of it is in


class _Flow:
    """The state of an injection between two steps, and the room it works in."""

    def __init__(
        self,
        medium: Medium,
        injectate: Injectate,
        resident_pa_s: float,
        tube: Tube | None,
        age_s: float,
        tolerance: float,
    ) -> None:
        self.medium, self.injectate, self.tube = medium, injectate, tube
        self.resident_pa_s, self.tolerance = resident_pa_s, tolerance
        shape = medium.porosity.shape
        self.spacing = np.asarray(medium.spacing_mm, np.float64)
        self.permeability = np.where(medium.porosity > 0.0, medium.permeability_mm2, 0.0).astype(np.float64)
        self.mean_permeability = np.cbrt(self.permeability.prod(axis=0))
        self.room = medium.porosity.astype(np.float64) * self.spacing.prod()
        self.active = np.flatnonzero(self.room)
        self.solver = Diffusion(shape)
        self.faces, self.ground = np.zeros((3, *shape)), np.zeros(shape)
        self.content, self.aged, self.arriving, self.arriving_aged, self.pressure = np.zeros((5, *shape))
        self.viscosity, self.speed = np.full(shape, resident_pa_s), np.zeros(shape)
        self.arrival = np.full(shape, np.inf)
        self.ways = _Ways.of(medium)
        self.outflow = np.zeros(self.ways.cells.size)
        self.time_s, self.age_s, self.injected_mm3, self.iterations = 0.0, age_s, 0.0, 0
        self.rate_mm3_s = 0.0
        self.rows: list[tuple[float, ...]] = []
        self.leaks: list[NDArray[np.float64]] = []

    def wait(self, seconds: float) -> None:
        """Let time pass, inside and outside the medium."""
        self.time_s += seconds
        self.age_s += seconds * self.injectate.ageing_outside
        self.aged += self.content * (seconds * self.injectate.ageing)

    def look(self, where: Opening, stroke: Stroke, limit_pa: float = np.inf) -> Status:
        """Solve for the pressure of the state there is, and write it down."""
        self._thicken()
        solved = self._solve(where, stroke.rate_mm3_s or TRIAL_MM3_S)
        tip_pa = self._tip_pa(where, stroke.rate_mm3_s or TRIAL_MM3_S)
        if not (solved and np.isfinite(tip_pa)):
            return Status.NOT_CONVERGED if np.isfinite(tip_pa) else Status.NOT_FINITE
        self.rate_mm3_s = stroke.rate_mm3_s or self._driven(tip_pa / TRIAL_MM3_S, stroke.pressure_pa or 0.0)
        if stroke.rate_mm3_s is None:  # all flows and pressures are in proportion, as long as viscosities are
            share = self.rate_mm3_s / TRIAL_MM3_S
            tip_pa, self.pressure, self.outflow = share * tip_pa, share * self.pressure, share * self.outflow
        thick, drop_pa = self._in_tube(self.rate_mm3_s)
        self.rows.append((self.time_s, self.injected_mm3, tip_pa, tip_pa + drop_pa, thick, self.rate_mm3_s))
        self.leaks.append(self.ways.leaked(len(self.medium.outlets)))
        moves = tip_pa + drop_pa <= limit_pa * (1.0 + TIE) and self.rate_mm3_s > STANDSTILL_MM3_S
        return Status.SUCCESS if moves else Status.INJECTOR_LIMIT

    def push(self, where: Opening, stroke: Stroke, volume_mm3: float, limit_pa: float) -> Status:
        """One step; the fluid stays where it was where it cannot be made."""
        status = self.look(where, stroke, limit_pa)
        if status is Status.SUCCESS:
            self._advance(where, volume_mm3)
            self.wait(volume_mm3 / self.rate_mm3_s)
            self.injected_mm3 += volume_mm3
            newly = np.isinf(self.arrival) & (self.content >= HALF * self.room) & (self.room > 0.0)
            self.arrival[newly] = self.injected_mm3
        return status

    def _driven(self, resistance_pa_s_mm3: float, pressure_pa: float) -> float:
        """The rate at which medium and tube together take a pressure, mm3/s."""

        def missing(rate_mm3_s: float) -> float:
            return resistance_pa_s_mm3 * rate_mm3_s + self._in_tube(rate_mm3_s)[1] - pressure_pa

        return float(brentq(missing, 0.0, 2.0 * pressure_pa / resistance_pa_s_mm3))

    def result(self, status: Status) -> Injection:
        """What has happened so far; what is over in a cell that it could not leave goes to the nearest with room."""
        settle(self.room, self.content, self.aged)
        time, injected, tip, driving, thick, rate = np.array(self.rows, np.float64).reshape(-1, 6).T
        leaked = np.array(self.leaks, np.float64).reshape(len(self.rows), len(self.medium.outlets))
        age = np.divide(self.aged, self.content, out=np.zeros_like(self.aged), where=self.content > 0.0)
        content, aged, arrival = (a.astype(np.float32) for a in (self.content, age, self.arrival))
        return Injection(
            self.medium,
            status,
            time,
            injected,
            tip,
            driving,
            thick,
            rate,
            leaked,
            content,
            aged,
            arrival,
            self.iterations,
        )

    def _thicken(self) -> None:
        """The viscosity of every cell: both fluids in series, the injectate at its mean age and own shear."""
        here = self.content > 0.0
        self.viscosity.fill(self.resident_pa_s)
        if not here.any():
            return
        speeds(self.faces, self.pressure, self.content, self.spacing, self.speed)
        pores = self.mean_permeability[here], self.medium.porosity[here]
        shear = shear_rate_per_s(self.speed[here], *pores, self.injectate.shear_index)
        age = np.full(shear.shape, self.aged.sum() / self.content.sum())
        full = np.minimum(self.content[here] / self.room[here], 1.0)
        own = self.injectate.viscosity_pa_s(age, shear)
        self.viscosity[here] = full * own + (1.0 - full) * self.resident_pa_s

    def _solve(self, where: Opening, rate_mm3_s: float) -> bool:
        """The pressure, and the flow through each way out; returns whether the solver got there."""
        conductances(self.permeability, self.viscosity, self.spacing, self.faces)
        opens = self.ways.conductances(self.viscosity, self.content, self.room)
        self.ground.fill(0.0)
        np.add.at(self.ground.reshape(-1), self.ways.cells, opens)
        source = np.zeros_like(self.ground)
        source.reshape(-1)[where.cells] = rate_mm3_s * where.shares
        faces = Faces(self.faces[0], self.faces[1], self.faces[2], self.ground)
        found = self.solver.solve(faces, source, start=self.pressure, tolerance=self.tolerance)
        self.iterations += found.iterations
        self.pressure[...] = found.value
        self.outflow = np.where(self.ways.passes, opens * found.value.reshape(-1)[self.ways.cells], 0.0)
        return found.status is Status.SUCCESS

    def _tip_pa(self, where: Opening, rate_mm3_s: float) -> float:
        """The pressure on the surface of the tip."""
        pressure, viscosity = (a.reshape(-1)[where.cells] for a in (self.pressure, self.viscosity))
        return float(where.shares @ (pressure + where.beyond * rate_mm3_s * viscosity))

    def _in_tube(self, rate_mm3_s: float) -> tuple[float, float]:
        """Viscosity at the tube's wall, and the pressure that it takes; without a tube, unsheared and none."""
        shear, drop_pa = 0.0, 0.0
        if self.tube is not None:
            radius, length = self.tube.radius_mm, self.tube.length_mm
            shear = wall_shear_per_s(self.injectate, radius, rate_mm3_s, self.age_s)
            drop_pa = tube_drop_pa(self.injectate, radius, length, rate_mm3_s, self.age_s)
        return float(self.injectate.viscosity_pa_s(np.array([self.age_s]), np.array([shear]))[0]), drop_pa

    def _advance(self, where: Opening, volume_mm3: float) -> None:
        """Move the front by what a step pushes in."""
        arriving = volume_mm3 * where.shares
        self.arriving.reshape(-1)[where.cells] += arriving
        self.arriving_aged.reshape(-1)[where.cells] += arriving * self.age_s
        order = self.active[np.argsort(-self.pressure.reshape(-1)[self.active], kind="stable")]
        advance(
            order, self.faces, self.pressure, self.ways.first, self.outflow, self.room,
            self.content, self.aged, self.arriving, self.arriving_aged, self.ways.left_mm3,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Ways:
    """All cells of all outlets in one list, ordered by cell; ``left_mm3`` is what has left through each so far."""

    cells: NDArray[np.int64]
    outlet: NDArray[np.int64]
    conductance_mm3: NDArray[np.float64]
    beside: NDArray[np.float64]
    bore_mm: NDArray[np.float64]
    passes: NDArray[np.bool_]
    first: NDArray[np.int64]
    left_mm3: NDArray[np.float64]

    @classmethod
    def of(cls, medium: Medium) -> _Ways:
        """The outlets of a medium."""
        outlet = np.repeat(np.arange(len(medium.outlets)), [o.cells.size for o in medium.outlets])
        cells = np.concatenate([o.cells for o in medium.outlets])
        order = np.argsort(cells, kind="stable")
        cells, outlet = cells[order], outlet[order]
        own = np.concatenate([o.conductance_mm3 for o in medium.outlets])[order]
        count = np.array([o.cells.size for o in medium.outlets], np.float64)
        bore = np.array([o.bore_mm for o in medium.outlets])
        passes = np.array([o.passes for o in medium.outlets])
        first = np.searchsorted(cells, np.arange(medium.porosity.size + 1))
        return cls(cells, outlet, own, count[outlet], bore[outlet], passes[outlet], first, np.zeros(cells.size))

    def leaked(self, outlets: int) -> NDArray[np.float64]:
        """What has left by each outlet, mm3."""
        return np.asarray(np.bincount(self.outlet, self.left_mm3, outlets), np.float64)

    def conductances(
        self, viscosity: NDArray[np.float64], content: NDArray[np.float64], room: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Flow per pressure of each: its own and, beyond a bore, what has left already, in series."""
        mu = viscosity.reshape(-1)[self.cells]
        length = np.bincount(self.outlet, self.left_mm3)[self.outlet] / (np.pi * self.bore_mm**2)
        beyond = 8.0 * self.beside * length / (np.pi * self.bore_mm**4)
        free = 1.0 - np.minimum(content.reshape(-1)[self.cells] / room.reshape(-1)[self.cells], 1.0)
        return np.where(self.passes, 1.0, np.maximum(free, SEALED)) / (mu * (1.0 / self.conductance_mm3 + beyond))


def _check(medium: Medium, strokes: Sequence[Stroke], **positive: float) -> None:
    """Refuse what cannot be computed."""
    shape = medium.porosity.shape
    if len(shape) != 3 or medium.permeability_mm2.shape != (3, *shape):
        raise ValueError(f"porosity {shape} and permeability {medium.permeability_mm2.shape} must be one box.")
    if not ((medium.porosity >= 0.0) & (medium.porosity <= 1.0)).all():
        raise ValueError("the porosity of a medium must lie between 0 and 1 everywhere.")
    if not np.all(medium.permeability_mm2[:, medium.porosity > 0.0] > 0.0):
        raise ValueError("every cell with pores needs a positive permeability along k, j and i.")
    if not any(o.cells.size for o in medium.outlets):
        raise ValueError("the medium has no way out: what is in it cannot make room.")
    if any((medium.porosity.reshape(-1)[o.cells] <= 0.0).any() for o in medium.outlets):
        raise ValueError("an outlet leads from a cell that has no pores.")
    for stroke in strokes:
        if (stroke.rate_mm3_s is None) == (stroke.pressure_pa is None):
            raise ValueError(f"a stroke has either a rate_mm3_s or a pressure_pa; got {stroke}.")
        for name in ("volume_mm3", "rate_mm3_s", "pressure_pa"):
            value = getattr(stroke, name)
            if value is not None:
                _positive(name, value)
        if not stroke.pause_s >= 0.0:
            raise ValueError(f"pause_s={stroke.pause_s} must be 0 or more seconds.")
    for name, value in positive.items():
        _positive(name, value)
    if not strokes:
        raise ValueError("an injection needs at least one stroke.")


def _positive(name: str, value: float) -> None:
    if not (np.isfinite(value) and value > 0.0):
        raise ValueError(f"{name}={value} must be a positive number.")
