"""A plan's cement, simulated: how it fills, what it reaches and warms, where it leaks and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trocar.anatomy.bone import Calibration
from trocar.geometry import Side
from trocar.injection.changes import COMPARED, Changes, changes, usual_changes
from trocar.injection.ensemble import run
from trocar.injection.goals import Goals, filling_goals, simulated_filling
from trocar.injection.heat_site import heat_site
from trocar.injection.heat_source import cement_after
from trocar.injection.heating import Heating, heating
from trocar.injection.leak_series import Augmentation, Rate
from trocar.injection.nominal import Nominal, nominal
from trocar.injection.outcome import ENDED, Outcome
from trocar.injection.published import measures as published_measures
from trocar.injection.published import published
from trocar.injection.published import table as published_table
from trocar.injection.references import REFERENCES
from trocar.injection.site import Site
from trocar.injection.ways_out import WaysOut
from trocar.measure import Finding, Measure, Severity, Status, Topic, ending
from trocar.mechanics.filling import Filling, filled
from trocar.mechanics.lesion import lytic_region
from trocar.mechanics.model import BoneModel
from trocar.physics.cement import CEMENTS
from trocar.procedures.cement_access import CementAccess
from trocar.treatment import Means, Option, Plan, Simulation
from trocar.volume import Volume

#: Steps by which fillings grow that are compared, percent of the body's volume.
STEP_PERCENT = 5.0


@dataclass(frozen=True, eq=False)
class Cemented:
    """The injection with every unknown at its middle, what follows from it, and the many with them varied.

    ``calibration`` is that of the bone. ``heat`` and ``goals`` are None where nothing went in, ``outcome`` and
    ``changed`` where they were not asked for or the planned injection could not be finished.
    """

    procedure: CementAccess
    plan: Plan
    calibration: Calibration
    ways: WaysOut
    nominal: Nominal
    goals: Goals | None
    heat: Heating | None
    outcome: Outcome | None
    changed: Changes | None

    @classmethod
    def of(
        cls,
        procedure: CementAccess,
        plan: Plan,
        volume_ml: float,
        means: Means,
        calibration: Calibration,
        cavity: Volume | None = None,
    ) -> Cemented:
        """Inject the plan's best option; ``cavity`` is a mask in the patient, what a balloon left."""
        paths = plan.best.trajectories
        means.progress("injecting the cement")
        site, ways = procedure.site(
            plan, paths, procedure.model_voxel_mm, volume_ml, calibration=calibration, cavity=cavity
        )
        found = nominal(site)
        goals, heat = None, None
        if found.injected_ml > 0.0:
            goals = filling_goals(
                site.model,
                found.injection.content_mm3,
                found.saturation.array,
                needle=_one_side(plan.best),
                structures=plan.anatomy.structures,
            )
            means.progress("letting it cure")
            heat = _warmed(found, plan)
        outcome, changed = None, None
        # how seldom cement leaks that cannot be pushed in is no comfort
        if procedure.leak_runs != "0" and found.status is Status.SUCCESS:
            coarse, _ = procedure.site(
                plan, paths, procedure.leak_voxel_mm, volume_ml, calibration=calibration, cavity=cavity
            )
            outcome = _varied(procedure, coarse, means)
            if procedure.compare_changes == "yes":
                changed = _compared(procedure, plan, outcome, means, calibration)
        return cls(procedure, plan, calibration, ways, found, goals, heat, outcome, changed)

    @property
    def status(self) -> Status:
        """The first of the computations that did not end well."""
        return ending(self.nominal.status, *(part.status for part in (self.heat, self.outcome) if part is not None))

    @property
    def holds(self) -> bool:
        """Whether any cement stays in the bone."""
        return self.goals is not None and bool(self.nominal.injection.content_mm3.any())

    def simulation(self, findings: tuple[Finding, ...] = ()) -> Simulation:
        """All of it as a simulation of the plan, with ``findings`` before its own."""
        told = (*findings, *self.findings)
        references = (*self.procedure.references, *REFERENCES)
        return Simulation(self.plan, self.status, self.volumes, dict(self.series), self.measures, told, references)

    def filling(self, model: BoneModel) -> Filling:
        """The simulated cement in a mechanical model of the same vertebra."""
        return simulated_filling(model, self.nominal.saturation)

    def fillings(self, model: BoneModel) -> tuple[tuple[Filling, ...], tuple[Finding, ...]]:
        """What the cement of each way in fills as it goes in, small before large, in a mechanical model.

        And notes on the ways in that cannot be compared, or only as far as the injector gets.
        """
        others, told = _other_ways(
            self.procedure, self.plan, self.nominal.site, self.procedure.model_voxel_mm, self.calibration
        )
        made = _growing(model, _sides(self.plan.best.name), self.nominal)
        for name, site in others.items():
            grown, notes = _as_far_as_it_goes(model, name, nominal(site))
            made, told = (*made, *grown), (*told, *notes)
        return made, tuple(replace(f, topic=Topic.CEMENT) for f in told)

    @property
    def volumes(self) -> dict[str, Volume]:
        """When cement arrives where, how likely it gets there, and how warm it gets."""
        found = {"cement_arrival": self.nominal.arrival_ml}
        if self.outcome is not None:
            found["cement_reach"] = self.outcome.site.model.volume(self.outcome.reach, "1")
        if self.heat is not None:
            found["temperature_peak"] = Volume(self.heat.peak_c, self.heat.site.affine, unit="Cel")
        return found

    @property
    def series(self) -> dict[str, Mapping[str, Sequence[Any]]]:
        """Courses and tables."""
        parts = [part.series() for part in (self.heat, self.outcome, self.changed) if part is not None]
        found: dict[str, Mapping[str, Sequence[Any]]] = {"ways_out": self.ways.table(), **self.nominal.series()}
        for part in parts:
            found.update(part)
        return found | {"published": published_table(self._rates)}

    @property
    def _rates(self) -> tuple[Rate, ...]:
        """What others have seen in vertebrae like this one."""
        cause = self.procedure.cause(self.plan.anatomy.vertebra(self.procedure.level))
        return published(cause, Augmentation(self.procedure.name))

    @property
    def measures(self) -> tuple[Measure, ...]:
        """All numbers, with what others have published beside those of the model."""
        parts = [part.measures() for part in (self.nominal, self.heat, self.outcome) if part is not None]
        goals = () if self.goals is None else self.goals.measures
        return (*goals, *(m for part in parts for m in part), *published_measures(self._rates))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What a reader should not miss; all of it is about the cement, wherever it comes from."""
        parts = [part.findings() for part in (self.nominal, self.heat) if part is not None]
        goals = () if self.goals is None else self.goals.findings
        varied = () if self.outcome is None else self.outcome.findings(published=published_measures(self._rates))
        tried = () if self.changed is None else self.changed.findings
        told = (*self.ways.findings, *goals, *(f for part in parts for f in part), *varied, *tried)
        return tuple(replace(f, topic=Topic.CEMENT) for f in dict.fromkeys(told))


def _one_side(option: Option) -> Side | None:
    """The side that all needles come from; None for both."""
    sides = {t.side for t in option.trajectories}
    return sides.pop() if len(sides) == 1 else None


def _warmed(found: Nominal, plan: Plan) -> Heating:
    """The vertebra while the cement cures."""
    model, cement = found.site.model, found.site.cement
    lesion = lytic_region(model)
    around = heat_site(model, plan.anatomy.structures, tumour=lesion if lesion.any() else None)
    content, age_s = cement_after(around, found.injection, found.site.ways)
    return heating(around, content, age_s, cement)


def _varied(procedure: CementAccess, site: Site, means: Means) -> Outcome:
    """Many injections with the unknown numbers drawn anew."""
    means.progress(f"varying what is not known: {procedure.leak_runs} injections")

    def tell(done: int, of: int) -> None:
        if done % 10 == 0 or done == of:
            means.progress(f"injections: {done} of {of}")

    return run(site, int(procedure.leak_runs), int(procedure.leak_seed), means.workers, tell, means.kept)


def _compared(procedure: CementAccess, plan: Plan, outcome: Outcome, means: Means, calibration: Calibration) -> Changes:
    """What another way in, cement, pace or a pause would change, by the first draws of the plan."""
    ways_in, kept_out = _other_ways(procedure, plan, outcome.site, procedure.leak_voxel_mm, calibration)
    others, refused = usual_changes(outcome.site, ways_in, CEMENTS.values())

    def tell(done: int, of: int) -> None:
        if done % 50 == 0 or done == of:
            means.progress(f"injections with something changed: {done} of {of}")

    found = changes(outcome, others, count=COMPARED, workers=means.workers, progress=tell, kept=means.kept)
    return Changes(found.rows, (*found.findings, *kept_out, *refused))


def _other_ways(
    procedure: CementAccess, plan: Plan, site: Site, voxel_mm: float, calibration: Calibration
) -> tuple[dict[str, Site], tuple[Finding, ...]]:
    """The other ways in by name, each with the ways out that its own needles make, and notes on those refused.

    None where a balloon left a cavity: what it would leave on another path is not known.
    """
    found, refused = {}, []
    for option in different(plan)[1:] if site.cavity is None else ():
        try:
            found[option.name], _ = procedure.site(
                plan, option.trajectories, voxel_mm, site.volume_ml, calibration=calibration
            )
        except ValueError as error:
            refused.append(_not_compared(option.name, str(error)))
    return found, tuple(refused)


def _not_compared(name: str, because: str) -> Finding:
    return Finding(Severity.NOTE, f"Not compared: {name}.", because)


def _as_far_as_it_goes(model: BoneModel, name: str, found: Nominal) -> tuple[tuple[Filling, ...], tuple[Finding, ...]]:
    """The fillings of another way in, and a note where there are none or fewer than planned."""
    if found.status not in ENDED:
        return (), (_not_compared(name, found.status.value),)
    try:
        grown = _growing(model, _sides(name), found)
    except ValueError as error:  # no cement lies in the body
        return (), (_not_compared(name, str(error)),)
    if found.status is Status.SUCCESS:
        return grown, ()
    text = f"Compared as far as it goes: {name}: {found.injected_ml:.1f} of {found.site.volume_ml:.1f} ml went in."
    return grown, (Finding(Severity.NOTE, text, found.status.value),)


def _sides(option: str) -> str:
    """ "one-sided, left" of "one-sided, left, extrapedicular": there is one option for each set of sides."""
    return option.rpartition(", ")[0]


def _growing(model: BoneModel, name: str, found: Nominal) -> tuple[Filling, ...]:
    """Fillings of one injection at steps of :data:`STEP_PERCENT` of the body, and at its end."""
    last = simulated_filling(model, found.saturation)
    arrival = found.arrival_ml.onto(model.volume(model.parts, "label")).array.astype(np.float64)
    order = np.where(last.region & (arrival > 0.0), arrival, found.injected_ml + 1.0)
    steps = np.arange(STEP_PERCENT, last.percent - 0.5 * STEP_PERCENT, STEP_PERCENT)
    shorter = (filled(name, model, np.where(last.region, order, np.inf), percent=p, shell_mm=0.0) for p in steps)
    return (*shorter, replace(last, name=name))


def different(plan: Plan) -> tuple[Option, ...]:
    """The best option for each set of sides that needles can come from, the best of all first."""
    found: dict[frozenset[Side], Option] = {}
    for option in plan.options:
        found.setdefault(frozenset(t.side for t in option.trajectories), option)
    return tuple(found.values())
