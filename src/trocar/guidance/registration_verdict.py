"""What speaks for and against a registration, in sentences and numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trocar.anatomy.vertebra import Vertebra
from trocar.geometry import Vector, angle_deg
from trocar.guidance.carm import CArm
from trocar.guidance.confidence import Confidence
from trocar.guidance.image_faults import Reading
from trocar.guidance.level_check import FARTHEST_OFF, LEAST_FIT, LEAST_LEAD, Place
from trocar.guidance.refinement import Optimum
from trocar.measure import Finding, Measure, Severity

#: Less of the vertebra than this in an image decides nothing.
LEAST_SEEN = 0.55
#: A registration that expects to be off by more than this, mm (root mean square over the body), is not relied on.
MOST_EXPECTED_MM = 1.5
#: Two views nearer in direction than this, degrees, count as one.
LEAST_BETWEEN_DEG = 30.0


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything a verdict rests on."""

    vertebra: Vertebra
    arms: tuple[CArm, ...]
    best: Optimum
    confidence: Confidence
    places: tuple[Place, ...]
    lead: float
    faults: tuple[Reading, ...]

    @property
    def blind_direction(self) -> Vector | None:
        """The central ray (LPS) along which one view sees next to nothing; None with two views across each other."""
        rays = [a.toward_detector for a in self.arms]
        between = angle_deg(rays[0], rays[-1])
        return rays[0] if min(between, 180.0 - between) < LEAST_BETWEEN_DEG else None

    @property
    def expected_mm(self) -> float:
        """The expected error over the vertebral body, without what lies along a single view's ray."""
        points = self.best.displacement.to_world(self.vertebra.body.points_mm())
        return self.confidence.expected_mm(points, across=self.blind_direction)


def findings(evidence: Evidence) -> tuple[Finding, ...]:
    """What the user has to know: stops first."""
    stops = (*_cut(evidence), *_faulty(evidence), *_unclear(evidence), *_vague(evidence))
    return (*stops, *_noted(evidence))


def _cut(e: Evidence) -> tuple[Finding, ...]:
    """A vertebra that is not seen."""
    return tuple(
        Finding(
            Severity.STOP,
            f"Image {n} shows only {100 * share:.0f} % of {e.vertebra.level}: open the collimation or move the C-arm.",
            f"less than {100 * LEAST_SEEN:.0f} % lies within the open field, free of metal",
        )
        for n, share in enumerate(e.best.usable, 1)
        if share < LEAST_SEEN
    )


def _faulty(e: Evidence) -> tuple[Finding, ...]:
    """Images that are not what they say."""
    return tuple(
        Finding(
            Severity.STOP,
            f"Image {n} fits the CT better with {reading.value}: check how it is shown and how the patient lies.",
            "the bones fit that reading of the image better than the image as given",
        )
        for n, reading in enumerate(e.faults, 1)
        if reading is not Reading.AS_GIVEN
    )


def _unclear(e: Evidence) -> tuple[Finding, ...]:
    """A place that fits badly, or not clearly better than another level."""
    level, fit = e.vertebra.level, e.places[0].fit
    if fit < LEAST_FIT:
        text = f"{level} was not found in the images: the best place fits too badly to be relied on."
        return (Finding(Severity.STOP, text, f"fit {fit:.2f}, at least {LEAST_FIT:.2f} is asked for"),)
    if e.lead < LEAST_LEAD:
        text = f"{level} cannot be told from a neighbouring level in these images: confirm the level, and start there."
        return (Finding(Severity.STOP, text, f"the next place fits worse by {e.lead:.2f} only"),)
    if abs(e.places[0].levels_off) >= FARTHEST_OFF:
        text = f"{level} fits best {FARTHEST_OFF} levels away from the start: confirm the level, and start there."
        return (Finding(Severity.STOP, text, "nothing further away was tried"),)
    return ()


def _vague(e: Evidence) -> tuple[Finding, ...]:
    """An optimum that is too flat."""
    if e.expected_mm <= MOST_EXPECTED_MM:
        return ()
    text = f"The place of {e.vertebra.level} is uncertain by {e.expected_mm:.1f} mm: take a clearer image."
    return (Finding(Severity.STOP, text, f"more than {MOST_EXPECTED_MM} mm is not relied on"),)


def _noted(e: Evidence) -> tuple[Finding, ...]:
    """What does not stop anyone."""
    out = []
    off = -e.places[0].levels_off
    if off:
        where = "low" if off > 0 else "high"
        out.append(
            Finding(
                Severity.CAUTION,
                f"{e.vertebra.level} was found {abs(off)} level(s) away from the start, which was too {where}: "
                "confirm the level.",
                f"that place fits better than any other by {e.lead:.2f}",
            )
        )
    blind = e.blind_direction
    if blind is not None:
        out.append(
            Finding(
                Severity.CAUTION,
                f"One direction of view tells depth along the ray to ±{e.confidence.along_mm(blind):.0f} mm only: "
                "take a second view for depth.",
                "one standard deviation, from the surface of similarity",
            )
        )
    return tuple(out)


def measures(e: Evidence) -> tuple[Measure, ...]:
    """The numbers of a registration."""
    how = "One standard deviation, from the surface of similarity at its optimum."
    sides = zip(("left_right", "front_back", "head_feet"), np.eye(3), strict=True)
    spread = tuple(Measure(f"uncertainty_{n}", e.confidence.along_mm(d), "mm", method=how) for n, d in sides)
    return (
        Measure("similarity", e.best.mean, "1", method="Correlation of edges, mean of the views."),
        Measure("fit", e.places[0].fit, "1", method="Similarity of the vertebra and of the bones around it."),
        Measure("lead", e.lead, "1", method="By how much the next place that was tried fits worse."),
        Measure("expected_error", e.expected_mm, "mm", method="Root mean square over the vertebral body. " + how),
        *spread,
    )
