"""Several scenarios of one vertebra under the same load, side by side: the numbers, the fields, the cross-sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from trocar.measure import Measure, Status, ending
from trocar.mechanics.answers import TOLD_N, Loaded, press, strained_most
from trocar.mechanics.filling import body_of
from trocar.mechanics.scenario import Scenario
from trocar.mechanics.sweep import everything
from trocar.mechanics.tilt import Platen, platen
from trocar.mechanics.wall import wall_measures
from trocar.physics.elasticity import deform
from trocar.physics.strength import section_rigidity
from trocar.volume import Volume

#: Called with what is being computed, in words.
Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Compared:
    """One scenario under load, its answers, and how their computation ended; ``plate`` is an end free to tilt."""

    name: str
    scenario: Scenario
    loaded: Loaded
    plate: Platen
    measures: tuple[Measure, ...]
    status: Status


@dataclass(frozen=True, eq=False)
class Comparison:
    """Scenarios in the order in which they were asked for."""

    of: tuple[Compared, ...]

    @property
    def status(self) -> Status:
        """Success where every scenario is one, otherwise the first failure."""
        return ending(*(c.status for c in self.of))

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Every answer, its name followed by the scenario's."""
        return tuple(replace(m, name=f"{m.name}_{c.name}") for c in self.of for m in c.measures)

    def value(self, measure: str, scenario: str) -> float:
        """The value of one answer of one scenario."""
        return next(m.value for c in self.of if c.name == scenario for m in c.measures if m.name == measure)

    def volumes(self) -> dict[str, Volume]:
        """Modulus, strain energy density and effective strain of every scenario, at :data:`answers.TOLD_N`."""
        found: dict[str, Volume] = {}
        for c in self.of:
            model, share = c.scenario.model, abs(TOLD_N / c.loaded.resistance)
            deformation = c.loaded.deformation
            fields = {
                "modulus": (model.solid.modulus_mpa, "MPa"),
                "strain_energy": (np.float32(share**2) * deformation.energy_density_mpa, "mJ/mm3"),
                "effective_strain": (np.float32(share) * deformation.effective_strain, "1"),
            }
            found |= {f"{name}_{c.name}": model.volume(array, unit) for name, (array, unit) in fields.items()}
        return found

    def sections(self) -> dict[str, NDArray[np.float64]]:
        """Axial rigidity of every cross-section of the body, N, by its height over the lowest, mm."""
        first = self.of[0].scenario.model
        layers = np.flatnonzero(body_of(first).any(axis=(1, 2)))
        columns = {"height_mm": (layers - layers[0] + 0.5) * first.solid.spacing_mm[0]}
        for c in self.of:
            rigidity = section_rigidity(c.scenario.model.solid, body_of(c.scenario.model))
            columns[f"axial_rigidity_{c.name}_n"] = np.where(rigidity.whole, rigidity.axial_n, np.nan)[layers]
        return columns


def compare(scenarios: Mapping[str, Scenario], progress: Progress | None = None) -> Comparison:
    """Stiffness, strength by three criteria, strain, load share and tilt of every scenario under axial load.

    All on one grid; each solve starts from the one before. Intervals are the lowest and highest under the other laws of
    bone and the limits of cement and tumour.
    """
    done: list[Compared] = []
    for name, scenario in scenarios.items():
        if progress is not None:
            progress(f"loading the vertebra {scenario.name}")
        done.append(_compared(name, scenario, done[-1] if done else None))
    return Comparison(tuple(done))


def _compared(name: str, scenario: Scenario, last: Compared | None) -> Compared:
    good = last if last is not None and last.status is Status.SUCCESS else None  # a failed field is no first guess
    start = None if good is None else good.loaded.deformation.displacement_mm
    loaded = press(scenario.model, solve=partial(deform, start_mm=start))
    plate = platen(scenario.model, start=None if good is None else good.plate)
    found, status = everything(loaded, plate, intervals=True)
    if loaded.status is Status.SUCCESS:
        found = (
            *(replace(m, method=f"{scenario.method} {m.method}") for m in found),
            strained_most(loaded),
            *wall_measures(loaded),
        )
    return Compared(name, scenario, loaded, plate, found, status)
