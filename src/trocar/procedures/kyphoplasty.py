"""Balloon kyphoplasty: a balloon through a working cannula makes room in the body, lifts its endplates, and leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from trocar.anatomy.bone import calibrated
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Vertebra
from trocar.errors import NoSafeTrajectory
from trocar.measure import Finding, Measure, Range, Severity, Status, ending
from trocar.mechanics.balloon import Inflation, Stop, inflate
from trocar.mechanics.balloon_place import Placed, room_measures
from trocar.mechanics.endplate_lift import lift
from trocar.mechanics.model import Ends
from trocar.mechanics.reduction import angle_measures, cavity_measure, filling_measures, height_measures, lost_mm
from trocar.planning.candidates import TargetZone
from trocar.planning.instrument import BALLOONS, PSI_MPA, Balloon, Needle
from trocar.planning.ranking import STEADY
from trocar.procedures.before_and_after import BeforeAndAfter
from trocar.procedures.cement_access import CementAccess
from trocar.procedures.cemented import Cemented
from trocar.treatment import Means, Option, Plan, Simulation, choice, quantity

#: The far end of a balloon belongs further in front and nearer the midline than a needle's tip: its middle lies half
#: its length behind, and further aside on a path that converges.
BALLOON_TARGET = TargetZone(depth=Range(0.15, 0.5), ideal_depth=0.25, aside_mm=6.0)
#: A path is put back where its balloon would meet a side wall before this share of the filling. Our judgement.
LEAST_SHARE = 0.75


@dataclass(frozen=True)
class Kyphoplasty(CementAccess):
    """A balloon on either side makes a cavity and lifts the endplates; cement fills the cavity afterwards.

    The path ends at the far tip of the balloon, the working cannula one balloon's length before it. Two balloons are
    usual and come first; the whole length of each must lie in the vertebral body. The simulation tells how far the
    balloons can be filled and what ends it, the height they give back while full and once they are empty, and the
    cavity they leave. Then it pushes the cement into cavity and marrow: how it spreads, by which ways it leaks and how
    often, how warm it gets, and what the vertebra carries before and after.
    """

    name: ClassVar[str] = "kyphoplasty"
    references: ClassVar[tuple[str, ...]] = (
        "Belkoff SM, Mathis JM, Fenton DC, et al. An ex vivo biomechanical evaluation of an inflatable bone tamp used "
        "in the treatment of compression fracture. Spine 2001;26(2):151-156. doi:10.1097/00007632-200101150-00008",
        "Gibson LJ, Ashby MF. Cellular Solids: Structure and Properties. 2nd ed. Cambridge University Press 1997.",
        "Wegrzyn J, Roux JP, Arlot ME, et al. Determinants of the mechanical behavior of human lumbar vertebrae after "
        "simulated mild fracture. J Bone Miner Res 2011;26(4):739-746.",
    )

    balloons: str = choice("auto", ("auto", "one", "two"), "Balloons to use; 'auto' puts two first where they fit.")
    balloon_length_mm: str = choice("15", tuple(str(n) for n in BALLOONS), "Length of the empty balloon.")
    balloon_volume_ml: float = quantity(3.0, 0.5, 6.0, "mL", "Filling of each balloon; its maker's limit holds.")
    balloon_pressure_limit_mpa: float = quantity(
        2.07, 0.3, 2.76, "MPa", "Pressure at which to stop filling; 2.07 is 300 psi, 2.76 is 400 psi."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.balloon.size_mm(self.balloon_volume_ml)  # refuses what the balloon does not hold
        if self.balloons == "two" and self.side != "any":
            raise ValueError(f"side={self.side!r} leaves one path: balloons='two' needs side='any'.")

    @property
    def balloon(self) -> Balloon:
        """The balloon that was asked for."""
        return BALLOONS[int(self.balloon_length_mm)]

    def trajectories(self, anatomy: Anatomy) -> tuple[Option, ...]:
        """Ways in whose balloons lie wholly in the body; two balloons first, unless a hand error breaches too often.

        Raises ``NoSafeTrajectory`` without one.
        """
        count = {"one": (1,), "two": (2,), "auto": (2, 1)}[self.balloons]
        ways = [o for o in self._ways(anatomy) if len(o.trajectories) in count]
        vertebra = anatomy.vertebra(self.level)
        told = [_told(o, self.balloon, vertebra) for o in ways]
        fitting = [o for o in told if _least(o, "balloon_room") >= self.balloon.length_mm]
        if not fitting:
            raise self._no_room(max((_least(o, "balloon_room") for o in told), default=0.0), bool(ways))
        return tuple(sorted(fitting, key=self._place))

    def review(self, anatomy: Anatomy, options: tuple[Option, ...]) -> tuple[Finding, ...]:
        """Concerns about the labels, the best option, and whether there is height to give back."""
        vertebra = anatomy.vertebra(self.level)
        told = super().review(anatomy, options)
        if max(lost_mm(anatomy, vertebra)) > 0.0:
            return told
        text = f"{self.level} has no graded loss of height: a balloon makes a cavity, but has no height to give back."
        return (*told, Finding(Severity.NOTE, text, "heights against its own posterior wall and the neighbours'"))

    def simulate(self, plan: Plan, means: Means) -> Simulation:
        """Fill the balloons of the best option, lift the endplates, empty them, push in cement, and load the outcome.

        The vertebra is loaded in the shape that CT shows. Raises ``ValueError`` for more cement than its body holds.
        """
        anatomy, vertebra = plan.anatomy, plan.anatomy.vertebra(self.level)
        means.progress("modelling the bone")
        line = calibrated(anatomy)
        model = self.bone(plan, Ends.EMBEDDED, line)
        lost = lost_mm(anatomy, vertebra)
        inflations = inflate(
            model,
            [Placed.on(model, t, self.balloon) for t in plan.best.trajectories],
            volume_ml=self.balloon_volume_ml,
            pressure_mpa=self.balloon_pressure_limit_mpa,
            lost_mm=lost,
        )
        found = Simulation(
            plan,
            Status.SUCCESS,
            series={f.placed.name.replace(" ", "_"): _curve(f) for f in inflations},
            measures=tuple(m for f in inflations for m in filling_measures(f)),
            findings=(*model.findings, *(c for f in inflations for c in self._ended(f, max(lost) > 0.0))),
            references=self.references,
        )
        if not any(f.hollow.any() for f in inflations):
            return found
        means.progress("lifting the endplates")
        raised = lift(model, inflations, lost)
        hollow, crushed = (np.logical_or.reduce([getattr(f, n) for f in inflations]) for n in ("hollow", "crushed"))
        volumes = {
            "cavity": model.volume(hollow, "mask"),
            "crushed_bone": model.volume(crushed, "mask"),
            "effective_strain_inflated": model.volume(raised.deformation.effective_strain, "1"),
        }
        cavity = cavity_measure(inflations, raised)
        regained = height_measures(vertebra, raised, lost) + angle_measures(vertebra, raised)
        capped = self.bone(plan, Ends.CAPS, line)
        cement_ml = self.cement_ml(capped)
        cemented = Cemented.of(self, plan, cement_ml, means, line, volumes["cavity"])
        flowed = cemented.simulation()
        found = replace(
            found,
            status=ending(raised.status, flowed.status),
            volumes={**volumes, **flowed.volumes},
            series={**found.series, **flowed.series},
            measures=(*found.measures, cavity, *regained, *flowed.measures),
            findings=(*found.findings, *_cement(cement_ml, cavity), *flowed.findings),
            references=flowed.references,
        )
        if not cemented.holds:
            return found
        loaded = BeforeAndAfter.of(vertebra, capped, cemented.filling(capped), means.progress)
        return replace(
            found,
            status=ending(found.status, loaded.status),
            volumes={**loaded.volumes, **found.volumes},
            series={**found.series, "section": loaded.found.sections()},
            measures=(*loaded.measures, *found.measures),
            findings=tuple(dict.fromkeys((*found.findings, *loaded.findings))),
        )

    def _ways(self, anatomy: Anatomy) -> tuple[Option, ...]:
        """Every way in for the cannula; a refusal names no needle that the balloon would not pass."""
        try:
            return super().trajectories(anatomy)
        except NoSafeTrajectory as error:
            nearest = error.nearest
            if nearest is not None and nearest.instrument.outer_diameter_mm > self.balloon.diameter_mm:
                raise
            raise self._too_thick(error) from error

    def _too_thick(self, error: NoSafeTrajectory) -> NoSafeTrajectory:
        short = f", {error.shortfall_mm:.1f} mm short at best" if np.isfinite(error.shortfall_mm) else ""
        text = (
            f"No path into {self.level} keeps its margins with a {self._needle().name}: "
            f"{error.structure.replace('_', ' ')} is in the way{short}. "
            "A thinner needle lets no balloon pass: vertebroplasty may still be possible."
        )
        return NoSafeTrajectory(text, structure=error.structure, shortfall_mm=error.shortfall_mm)

    def _place(self, option: Option) -> tuple[bool, int]:
        """What an option is ranked by before all else: whether it is safe and has room, then that balloons are two."""
        cramped = _least(option, "balloon_to_wall") < LEAST_SHARE * self.balloon_volume_ml
        return cramped or _breach(option) > STEADY, -len(option.trajectories)

    def _target(self) -> TargetZone:
        return BALLOON_TARGET

    def _needle(self) -> Needle:
        """The working cannula: the balloon's, or the user's if the folded balloon passes it."""
        needle = super()._needle() or self.balloon.cannula(self.needle_length_mm)
        if needle.outer_diameter_mm <= self.balloon.diameter_mm:
            raise ValueError(
                f"a {needle.name} ({needle.outer_diameter_mm:g} mm) is too thin for the {self.balloon.name}, which is "
                f"{self.balloon.diameter_mm:g} mm thick when folded: take a thicker cannula."
            )
        return needle

    def _no_room(self, most_mm: float, any_way: bool) -> NoSafeTrajectory:
        if not any_way:
            text = f"No option into {self.level} has the number of balloons that was asked for ({self.balloons})."
            return NoSafeTrajectory(text, structure="the second path", shortfall_mm=0.0)
        short = self.balloon.length_mm - most_mm
        text = (
            f"No path into {self.level} has room for the {self.balloon.name}: at most {most_mm:.0f} mm of the channel "
            "lie in the vertebral body. Take a shorter balloon."
        )
        return NoSafeTrajectory(text, structure="the vertebral body's length", shortfall_mm=short)

    def _ended(self, f: Inflation, collapsed: bool) -> tuple[Finding, ...]:
        """What ended the inflation, where it was not the volume."""
        if f.stop is Stop.VOLUME:
            return self._doubtful(f)
        why = f"the crushed bone reaches the {f.wall} wall of {self.level}" if f.wall else f.stop.value
        text = f"Stop the {f.placed.name} at {f.volume_ml:.1f} of {self.balloon_volume_ml:.1f} mL: {why}."
        severity = Severity.CAUTION
        if not f.hollow.any() or f.wall == "posterior":
            severity = Severity.STOP
        elif f.stop is Stop.ENDPLATE and collapsed:
            severity = Severity.NOTE
        because = f"{f.pressure_mpa:.1f} MPa ({f.pressure_mpa / PSI_MPA:.0f} psi) in the balloon, by the bone's density"
        return (Finding(severity, text, because),)

    def _doubtful(self, f: Inflation) -> tuple[Finding, ...]:
        """Where another law of bone would have had the pressure limit reached first."""
        if f.high_mpa <= self.balloon_pressure_limit_mpa:
            return ()
        text = f"The {f.placed.name} may reach its pressure limit before {f.volume_ml:.1f} mL: watch the gauge."
        because = f"the laws of bone give {f.low_mpa:.1f} to {f.high_mpa:.1f} MPa at the end"
        return (Finding(Severity.NOTE, text, because),)


def _told(option: Option, balloon: Balloon, vertebra: Vertebra) -> Option:
    """The option with the room for its balloons and the depth of its cannulas."""
    paths = (replace(t, measures=t.measures + room_measures(vertebra, t, balloon)) for t in option.trajectories)
    told = replace(option, trajectories=tuple(paths))
    slack = next(m.value for m in option.measures if m.name == "slack")
    room = min(_least(told, "balloon_to_wall"), balloon.max_volume_ml)
    reason = (
        f"Room for {room:.1f} mL in {'each' if len(told.trajectories) > 1 else 'the'} balloon before the crushed bone "
        f"meets a side wall; {slack:.1f} mm to spare beyond the margins; a hand error breaches something in "
        f"{100.0 * _breach(told):.0f} of 100 attempts."
    )
    return replace(told, reason=reason)


def _breach(option: Option) -> float:
    """The largest chance among its paths that a hand error breaches something."""
    return max(t.breach_probability.value if t.breach_probability else 1.0 for t in option.trajectories)


def _least(option: Option, name: str) -> float:
    """The smallest value of a measure among an option's paths."""
    return min(m.value for t in option.trajectories for m in t.measures if m.name == name)


def _curve(f: Inflation) -> dict[str, list[float]]:
    return {"volume_ml": f.curve_ml.tolist(), "pressure_mpa": f.curve_mpa.tolist()}


def _cement(cement_ml: float, cavity: Measure) -> tuple[Finding, ...]:
    """How the cement stands to the cavity."""
    rest = cement_ml - cavity.value
    if rest <= 0.0:
        text = f"{cement_ml:.1f} mL of cement leave {-rest:.1f} mL of the cavity empty."
        return (Finding(Severity.CAUTION, text, cavity.method),)
    text = f"The cavity takes {cavity.value:.1f} of {cement_ml:.1f} mL of cement: the rest soaks the bone around it."
    return (Finding(Severity.NOTE, text, cavity.method),)
