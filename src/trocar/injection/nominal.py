"""The planned injection with every unknown at its middle: how the vertebra fills, what it takes, what leaves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from trocar.injection.medium import Draw
from trocar.injection.risk import LEAK_ML
from trocar.injection.site import Site
from trocar.measure import Finding, Measure, Severity, Status
from trocar.physics.cement import TABLE_SHEAR_PER_S, Window
from trocar.physics.porous import Injection
from trocar.volume import Volume

_MM3_PER_ML, _PA_PER_KPA, _S_PER_MIN = 1000.0, 1000.0, 60.0
#: Points of the curve of viscosity that is told.
POINTS = 60


@dataclass(frozen=True, eq=False)
class Nominal:
    """An injection of a site; fields are ``[k, j, i]`` on the grid of the site's model."""

    site: Site
    injection: Injection

    @property
    def status(self) -> Status:
        """How it ended."""
        return self.injection.status

    @property
    def injected_ml(self) -> float:
        """What left the tips."""
        return float(self.injection.injected_mm3[-1]) / _MM3_PER_ML if self.injection.injected_mm3.size else 0.0

    @cached_property
    def saturation(self) -> Volume:
        """Share of the pores that cement fills, in the patient."""
        return self.site.model.volume(np.minimum(self.injection.saturation, 1.0), "1")

    @cached_property
    def arrival_ml(self) -> Volume:
        """How much had been injected when a voxel was half full, ml; 0 where it never was."""
        arrival = self.injection.arrival_mm3 / np.float32(_MM3_PER_ML)
        return self.site.model.volume(np.where(np.isfinite(arrival), arrival, 0.0).astype(np.float32), "mL")

    @property
    def window(self) -> Window:
        """When this cement may be injected in this room, seconds since mixing."""
        return self.site.cement.working_window(self.site.room_c)

    def series(self) -> dict[str, dict[str, list[Any]]]:
        """``injection`` over time, ``leaks`` by way, ``viscosity`` of the cement that waits in the room."""
        found = self.injection
        course = {
            "time_s": found.time_s,
            "injected_ml": found.injected_mm3 / _MM3_PER_ML,
            "tip_kpa": found.tip_pa / _PA_PER_KPA,
            "driving_kpa": found.driving_pa / _PA_PER_KPA,
            "viscosity_pa_s": found.viscosity_pa_s,
            "leaked_ml": found.leaked_mm3.sum(axis=1) / _MM3_PER_ML,
        }
        courses = {name: values.tolist() for name, values in course.items()}
        return {"injection": courses, "leaks": self._leaks(), "viscosity": self._waiting()}

    def measures(self) -> tuple[Measure, ...]:
        """What should go in and what does, the working window, how long it takes and the highest pressure."""
        window, cement, found = self.window, self.site.cement, self.injection
        room = f"{cement.name} cement, mixed and waiting at {self.site.room_c:g} degC."
        peak = float(found.driving_pa.max(initial=0.0)) / _PA_PER_KPA
        tip = float(found.tip_pa.max(initial=0.0)) / _PA_PER_KPA
        time_s = float(found.time_s[-1]) if found.time_s.size else 0.0
        return (
            Measure("working_window_start", window.start_s / _S_PER_MIN, "min", method=f"Since mixing; {room}"),
            Measure("working_window_end", window.end_s / _S_PER_MIN, "min", method=f"Since mixing; {room}"),
            Measure("injection_start", self.site.minutes, "min", method="Since mixing."),
            Measure("injection_time", time_s / _S_PER_MIN, "min", method=self._pace),
            Measure("cement_planned", self.site.volume_ml, "mL", method="What should go in, all needles together."),
            Measure("cement_injected", self.injected_ml, "mL", method="Through all needles together."),
            Measure("injection_pressure_peak", peak, "kPa", method="Before the cannula, every unknown at its middle."),
            Measure("tip_pressure_peak", tip, "kPa", method="At the needle's tip, every unknown at its middle."),
        )

    @property
    def _pace(self) -> str:
        if self.site.pressure_pa:
            return f"Pushed with {self.site.pressure_pa / 1e6:g} MPa before the cannula."
        return f"At {self.site.rate_ml_min:g} ml a minute."

    def findings(self) -> tuple[Finding, ...]:
        """Where it ended, if it could not be finished, and whether the cement is in its window throughout."""
        return (*self._unfinished(), *self._untimely())

    def _unfinished(self) -> tuple[Finding, ...]:
        if self.status is Status.SUCCESS:
            return ()
        wanted, got = self.site.volume_ml, self.injected_ml
        text = f"Of {wanted:.1f} ml only {got:.1f} ml went in. {self.status.value}"
        limit = f"the injector gives {self.site.limit_pa / 1e6:.2g} MPa before the cannula"
        return (Finding(Severity.STOP, text, limit if self.status is Status.INJECTOR_LIMIT else ""),)

    def _untimely(self) -> tuple[Finding, ...]:
        window, begin = self.window, self.site.minutes * _S_PER_MIN
        end = begin + (float(self.injection.time_s[-1]) if self.injection.time_s.size else 0.0)
        between = f"its window is {window.start_s / _S_PER_MIN:.0f} to {window.end_s / _S_PER_MIN:.0f} min after mixing"
        found = []
        if begin < window.start_s:
            text = f"{begin / _S_PER_MIN:.0f} min after mixing the cement is still thin: it runs into veins."
            found.append(Finding(Severity.CAUTION, text, between))
        if end > window.end_s:
            text = f"The injection would end {end / _S_PER_MIN:.0f} min after mixing, when the cement hardly flows."
            found.append(Finding(Severity.CAUTION, text, between))
        return tuple(found)

    def _leaks(self) -> dict[str, list[Any]]:
        """One row for each way that lets cement out."""
        routes = {way.name: way.route.value for way in self.site.ways}
        columns: dict[str, list[Any]] = {n: [] for n in ("way", "leads_to", "leaked_ml", "starts_at_ml", "starts_at_s")}
        for outlet, leaked in zip(
            self.injection.medium.outlets, self.injection.leaked_mm3.T / _MM3_PER_ML, strict=True
        ):
            begun = np.flatnonzero(leaked > LEAK_ML)
            if not begun.size:
                continue
            at = int(begun[0])
            row = (
                outlet.name,
                routes[outlet.name],
                float(leaked[-1]),
                float(self.injection.injected_mm3[at]) / _MM3_PER_ML,
                float(self.injection.time_s[at]),
            )
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
        return columns

    def _waiting(self) -> dict[str, list[float]]:
        """Viscosity at 1/s of cement that waits in the room, over the minutes since mixing."""
        cement, known = self.site.cement, self.site.cement.valid_age_s
        ages = np.linspace(known.low, known.high, POINTS)
        minutes = ages / cement.ageing(self.site.room_c) / _S_PER_MIN
        thick = cement.viscosity_pa_s(ages, np.full(POINTS, TABLE_SHEAR_PER_S))
        return {"minutes": minutes.tolist(), "pa_s": thick.tolist()}


def nominal(site: Site) -> Nominal:
    """Inject with every unknown at its middle (:meth:`trocar.injection.medium.Draw.middle`)."""
    return Nominal(site, site.inject(Draw.middle(site.ways)))
