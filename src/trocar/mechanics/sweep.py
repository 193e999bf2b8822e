"""Many what-ifs on one vertebra: a table of answers, each solve started from the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Side
from trocar.measure import Measure, Status, ending
from trocar.mechanics.answers import (
    Loaded,
    bounded,
    load_share,
    press,
    spread_text,
    stiffness,
    strain_energy,
    strengths,
    variants,
)
from trocar.mechanics.crush import crush
from trocar.mechanics.filling import SHELL_MM, Filling, body_of, central, one_sided, two_sided
from trocar.mechanics.model import BoneModel, Tissue
from trocar.mechanics.scenario import Scenario, augmented
from trocar.mechanics.tilt import Platen, platen
from trocar.physics.elasticity import deform

#: Fillings that are compared unless others are named, percent of the body's volume.
FILL_PERCENT = (5.0, 10.0, 15.0, 20.0, 30.0)
#: The kinds of filling that are compared, each a function of a model and ``percent``.
KINDS: tuple[Callable[..., Filling], ...] = (
    central,
    partial(one_sided, side=Side.LEFT),
    partial(one_sided, side=Side.RIGHT),
    two_sided,
)

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class Row:
    """What one scenario gave; a measure that the solver did not get to is absent, and ``status`` says why.

    ``cement_percent`` is of the body's volume; ``iterations`` those of its elastic solves together.
    """

    name: str
    method: str
    cement_ml: float
    cement_percent: float
    measures: tuple[Measure, ...]
    status: Status
    iterations: int

    def value(self, name: str) -> float:
        """The value of a measure, NaN where it is absent."""
        return next((m.value for m in self.measures if m.name == name), float("nan"))


@dataclass(frozen=True, eq=False)
class Sweep:
    """The rows of a table, in the order of the scenarios."""

    rows: tuple[Row, ...]

    @property
    def status(self) -> Status:
        """Success where every row is one, otherwise the first failure."""
        return ending(*(r.status for r in self.rows))

    @property
    def names(self) -> tuple[str, ...]:
        """The scenarios."""
        return tuple(r.name for r in self.rows)

    def column(self, name: str) -> NDArray[np.float64]:
        """One measure of every row (NaN where absent), or "cement_ml" or "cement_percent"."""
        if name in ("cement_ml", "cement_percent"):
            return np.array([getattr(r, name) for r in self.rows])
        return np.array([r.value(name) for r in self.rows])

    def relative(self, name: str, to: str) -> NDArray[np.float64]:
        """One measure of every row over that of the row called ``to``; raises ``ValueError`` where there is none."""
        if to not in self.names:
            raise ValueError(f"no scenario is called {to!r}; there are {', '.join(self.names)}.")
        return self.column(name) / self.column(name)[self.names.index(to)]


def fillings(
    before: Scenario,
    *,
    percent: Sequence[float] = FILL_PERCENT,
    kinds: Sequence[Callable[..., Filling]] = KINDS,
    shell_mm: float = SHELL_MM,
) -> tuple[Scenario, ...]:
    """A scenario augmented with every kind of filling at every volume, kind by kind, small before large."""
    made = (kind(before.model, percent=p, shell_mm=shell_mm) for kind in kinds for p in sorted(percent))
    return tuple(before.then(augmented, filling) for filling in made)


def sweep(
    scenarios: Sequence[Scenario],
    *,
    tilt: bool = True,
    offset: bool = True,
    intervals: bool = False,
    progress: Progress | None = None,
) -> Sweep:
    """Stiffness, strengths, energy, load share and, with ``tilt``, the tilt of every scenario under axial load.

    All must lie on one grid. One solve for each, and three more for its tilt; each starts from the solution of the one
    before. With ``offset`` the bone is pressed on until it yields, where the model has yield stresses, for the strength
    by the 0.2 % offset. With ``intervals`` two to six more, under the other material laws and limits
    (:func:`trocar.mechanics.answers.variants`), bound everything but the tilt. ``progress`` is called with the number
    done, the number of all, and the name. What does not converge is absent from its row, whose status says so.
    """
    _check_one_grid(scenarios)
    rows: list[Row] = []
    loaded: Loaded | None = None
    plate: Platen | None = None
    for scenario in scenarios:
        loaded = _pressed(scenario.model, loaded)
        known = plate if plate is not None and plate.status is Status.SUCCESS else None
        plate = platen(scenario.model, start=known) if tilt else None
        rows.append(_row(scenario, loaded, plate, offset, intervals))
        if progress is not None:
            progress(len(rows), len(scenarios), scenario.name)
    return Sweep(tuple(rows))


def _pressed(model: BoneModel, last: Loaded | None) -> Loaded:
    start = None if last is None or last.status is not Status.SUCCESS else last.deformation.displacement_mm
    return press(model, solve=partial(deform, start_mm=start))


def _row(scenario: Scenario, loaded: Loaded, plate: Platen | None, offset: bool, intervals: bool) -> Row:
    cement = float(scenario.model.tissue(Tissue.CEMENT).sum())
    ml = cement * scenario.model.solid.voxel_mm3 / 1000.0
    percent = 100.0 * cement / float(body_of(scenario.model).sum())
    count = loaded.deformation.iterations + sum(c.iterations for c in (plate.cases if plate else ()))
    measures, status = everything(loaded, plate, offset=offset, intervals=intervals)
    return Row(scenario.name, scenario.method, ml, percent, measures, status, count)


def everything(
    loaded: Loaded, plate: Platen | None = None, *, offset: bool = True, intervals: bool = False
) -> tuple[tuple[Measure, ...], Status]:
    """Every answer of one loaded scenario that could be read (see :func:`sweep`), and how it ended."""
    elastic = loaded.status if plate is None or loaded.status is not Status.SUCCESS else plate.status
    if elastic is not Status.SUCCESS:
        return (), elastic
    found, status = _read(loaded, offset)
    if intervals:
        solved = {name: _pressed(model, loaded) for name, model in variants(loaded.model).items()}
        others = {name: _read(v, offset)[0] for name, v in solved.items() if v.status is Status.SUCCESS}
        found = bounded(found, others.values(), spread_text(others))
    return (found if plate is None else (*found, *plate.measures())), status


def _read(loaded: Loaded, offset: bool) -> tuple[tuple[Measure, ...], Status]:
    yields = offset and loaded.model.solid.yield_mpa is not None
    curve = crush(loaded) if yields else None
    borne = strengths(loaded) if curve is None else curve.strengths(loaded)
    found = (stiffness(loaded), *borne, strain_energy(loaded), *load_share(loaded).measures())
    return found, Status.SUCCESS if curve is None else curve.status


def _check_one_grid(scenarios: Sequence[Scenario]) -> None:
    if not scenarios:
        raise ValueError("a sweep needs at least one scenario.")
    first = scenarios[0].model.solid
    for s in scenarios:
        if s.model.solid.shape != first.shape or s.model.solid.spacing_mm != first.spacing_mm:
            raise ValueError(
                f"{s.name} lies on a grid of {s.model.solid.shape} voxels, the first scenario on one of {first.shape}: "
                "sweep scenarios of one model."
            )
