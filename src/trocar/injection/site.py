"""Everything that one injection needs, checked: a vertebra, its ways out, the tips, the cement and what pushes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.vertebra import Part
from trocar.errors import LevelError
from trocar.geometry import frozen
from trocar.injection.medium import Draw, Spread, medium
from trocar.injection.routes import told_apart
from trocar.injection.ways_out import WayOut
from trocar.measure import Range
from trocar.mechanics.filling import Mask, body_of
from trocar.mechanics.model import BoneModel
from trocar.physics.cement import Cement
from trocar.physics.heat import BLOOD_C
from trocar.physics.porous import Injection, Medium, Stroke, Tube, inject

#: The curves of risk are given at volumes no farther apart than this, ml.
NODE_ML = 0.1
#: Volumes and rates at which cement is injected into one vertebra; beyond, a number is in another unit.
VOLUME, RATE = Range(0.2, 15.0, "ml"), Range(0.05, 20.0, "ml/min")
#: A pause longer than this is the end of an injection.
PAUSE = Range(0.0, 600.0, "s")
#: Steps of an injection, and how far the pressure of each is solved: four times as many, solved a hundred times as far,
#: move no leak by as much as a fifth of what counts as one, see the tests.
STEPS, TOLERANCE = 24, 1e-4
#: Constant pressures that can be asked for; 0 asks for a rate. Pumps give less than 20 MPa.
PRESSURE = Range(0.0, 20e6, "Pa")
#: Minutes by which the injection waits, unless told, after the cement has become thick enough. Ours.
AFTER_START_MIN = 1.0
_MM3_PER_ML, _S_PER_MIN = 1000.0, 60.0


def usual_start_min(cement: Cement, room_c: float) -> float:
    """Minutes from mixing to the first drop, unless told: a little after a cement is thick enough, and known."""
    known_s = cement.valid_age_s.low / cement.ageing(room_c)
    return max(cement.working_window(room_c).start_s, known_s) / _S_PER_MIN + AFTER_START_MIN


@dataclass(frozen=True, eq=False)
class Site:
    """One planned injection.

    ``model`` is a bone model with its arch, ``ways`` the ways out on its grid, ``tips_mm`` ``(n, 3)`` the needle tips
    in mm along k, j, i from the box's corner (:func:`trocar.mechanics.filling.index_mm`). ``volume_ml`` is shared
    equally among the tips, one after the other, at ``rate_ml_min`` or, where ``pressure_pa`` is not 0, as fast as that
    constant pressure before the cannula drives it; a pause of ``pause_s`` comes when half of it is in.
    The injection starts ``minutes`` after mixing, in a room of ``room_c``. ``cavity`` is what a balloon left.
    ``limit_pa`` is the most that the injector gives before the ``cannula``. Ways out of one name are renamed
    (:func:`trocar.injection.routes.told_apart`).

    Raises ``ValueError`` for a tip outside the bone that cement flows in or in the canal, for more cement than the
    body's pores hold, for a time or room at which the cement's viscosity is not known, and for numbers out of range;
    :class:`trocar.errors.LevelError` for a body without a wall towards the canal.
    """

    model: BoneModel
    ways: tuple[WayOut, ...]
    tips_mm: NDArray[np.float64]
    cement: Cement
    cannula: Tube
    volume_ml: float
    minutes: float
    rate_ml_min: float = 1.0
    room_c: float = 21.0
    limit_pa: float = np.inf
    pause_s: float = 0.0
    pressure_pa: float = 0.0
    spread: Spread = field(default_factory=Spread)
    cavity: Mask | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ways", told_apart(self.ways))
        object.__setattr__(self, "tips_mm", frozen(np.atleast_2d(self.tips_mm)))
        self._check_numbers()
        check_posterior_wall(self.model)
        for number, tip in enumerate(self.tips_mm, 1):
            self._check_tip(number, tip)
        if self.volume_ml > self.capacity_ml:
            raise ValueError(
                f"volume_ml={self.volume_ml:g} is more than the {self.capacity_ml:.1f} ml that the pores of the body "
                f"of {self.model.level} hold."
            )
        self.cement.viscosity_pa_s([self.age_s], [1.0])  # refuses a time at which it is not known

    @cached_property
    def nominal(self) -> Medium:
        """The medium with every unknown at its middle."""
        return medium(self.model, self.ways, Draw.middle(self.ways), self.cavity)

    @property
    def capacity_ml(self) -> float:
        """The pore space of the body."""
        inside = self.nominal.porosity[body_of(self.model)]
        return float(inside.sum(dtype=np.float64)) * self.model.solid.voxel_mm3 / _MM3_PER_ML

    @property
    def age_s(self) -> float:
        """The cement's age when the injection begins, in its own seconds."""
        return self.minutes * _S_PER_MIN * self.cement.ageing(self.room_c)

    @property
    def nodes_ml(self) -> NDArray[np.float64]:
        """The volumes at which risk is told, from none to all, ``[node]``."""
        return np.linspace(0.0, self.volume_ml, int(np.ceil(self.volume_ml / NODE_ML - 1e-9)) + 1)

    def strokes(self, factor: float = 1.0) -> tuple[Stroke, ...]:
        """What the injector does, with ``factor`` times the planned volume."""
        total, tips = self.volume_ml * factor * _MM3_PER_ML, len(self.tips_mm)
        ends = {float(n * total / tips): n - 1 for n in range(1, tips + 1)}
        if self.pause_s > 0.0 and tips % 2:  # half of it falls within a tip's share
            ends[0.5 * total] = tips // 2
        starts = [0.0, *sorted(ends)]
        pairs = zip(starts, sorted(ends), strict=False)
        rate = None if self.pressure_pa else self.rate_ml_min * _MM3_PER_ML / _S_PER_MIN
        return tuple(
            Stroke(end - start, rate, ends[end], self._pause(start, total), self.pressure_pa or None)
            for start, end in pairs
        )

    def inject(self, draw: Draw) -> Injection:
        """The injection with one draw of what is not known.

        A tip that the hand's error takes out of the bone is put back into the nearest of it: how likely a needle leaves
        the bone is for planning to tell.
        """
        drawn = medium(self.model, self.ways, draw, self.cavity)
        return inject(
            drawn,
            back_inside(drawn.porosity > 0.0, self.tips_mm + np.array(draw.tip_shift_mm), drawn.spacing_mm),
            self.cement.thickened(draw.cement).in_bone(self.room_c, BLOOD_C),
            self.strokes(draw.volume),
            resident_pa_s=draw.marrow_pa_s,
            tip_radius_mm=self.cannula.radius_mm,
            tube=self.cannula,
            age_s=self.age_s,
            limit_pa=self.limit_pa,
            step_mm3=self.volume_ml * draw.volume * _MM3_PER_ML / STEPS,
            tolerance=TOLERANCE,
        )

    def _pause(self, start_mm3: float, total_mm3: float) -> float:
        """The pause before a stroke that begins when so much is in."""
        return self.pause_s if np.isclose(start_mm3, 0.5 * total_mm3) else 0.0

    def _check_numbers(self) -> None:
        VOLUME.check("volume_ml", self.volume_ml, "an injection")
        RATE.check("rate_ml_min", self.rate_ml_min, "an injection")
        PAUSE.check("pause_s", self.pause_s, "an injection")
        PRESSURE.check("pressure_pa", self.pressure_pa, "an injection")
        if self.tips_mm.shape[1:] != (3,) or not len(self.tips_mm) or not np.isfinite(self.tips_mm).all():
            raise ValueError(f"tips_mm {self.tips_mm.shape} must be (n, 3) mm along k, j, i, at least one.")
        if not self.limit_pa > 0.0:
            raise ValueError(f"limit_pa={self.limit_pa} must be a positive pressure in Pa.")

    def _check_tip(self, number: int, tip_mm: NDArray[np.float64]) -> None:
        """Refuse a tip that cement cannot leave."""
        spacing = np.asarray(self.model.solid.spacing_mm)
        voxel = np.floor(tip_mm / spacing).astype(int)
        within = bool(((voxel >= 0) & (voxel < self.model.solid.shape)).all())
        if within and self.model.parts[tuple(voxel)] == Part.CANAL:
            raise ValueError(f"tip {number} lies in the spinal canal of {self.model.level}: choose another path.")
        away = _outside_mm(self.nominal.porosity > 0.0, tip_mm, spacing)
        if away > 0.0:
            raise ValueError(
                f"tip {number} lies {away:.1f} mm outside the bone of {self.model.level} that cement flows in; "
                "it must lie within (0 mm)."
            )


def check_posterior_wall(model: BoneModel) -> None:
    """Raise :class:`LevelError` unless somewhere the canal lies straight behind the body."""
    body, canal = body_of(model), model.parts == Part.CANAL
    before = np.logical_or.accumulate(body, axis=1)
    if not (before & canal).any():
        raise LevelError(
            f"the body of {model.level} has no wall towards the spinal canal in the labels: whether cement leaks there "
            "cannot be told. Label the whole vertebra, and leave the canal free."
        )


def _outside_mm(region: Mask, point_mm: NDArray[np.float64], spacing_mm: NDArray[np.float64]) -> float:
    """How far a point lies outside the voxels of a region, mm; 0 within."""
    low = np.argwhere(region) * spacing_mm
    gap = np.maximum(np.maximum(low - point_mm, point_mm - (low + spacing_mm)), 0.0)
    return float(np.sqrt((gap**2).sum(axis=1)).min(initial=np.inf))


def back_inside(region: Mask, tips_mm: NDArray[np.float64], spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """Tips ``(n, 3)``, each that lies outside a region moved to the middle of its nearest voxel."""
    spacing = np.asarray(spacing_mm)
    middles = (np.argwhere(region) + 0.5) * spacing
    out = np.array(tips_mm, np.float64)
    for n, tip in enumerate(out):
        if _outside_mm(region, tip, spacing) > 0.0:
            out[n] = middles[int(((middles - tip) ** 2).sum(axis=1).argmin())]
    return out
