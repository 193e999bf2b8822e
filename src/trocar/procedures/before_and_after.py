"""The planned vertebra under load before and after its cement: what every procedure that leaves cement tells."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trocar.anatomy.lesion import CORE_DEPTH_MM
from trocar.anatomy.levels import Level
from trocar.anatomy.vertebra import Heights, Vertebra
from trocar.measure import Finding, Measure, Severity, Status
from trocar.mechanics.comparison import Comparison, compare
from trocar.mechanics.filling import Filling, inside
from trocar.mechanics.lesion import lytic_region
from trocar.mechanics.model import BoneModel, Tissue
from trocar.mechanics.scenario import CRUSHED_SHARE, Scenario, as_is, augmented, fractured, intact
from trocar.treatment import Progress
from trocar.volume import Volume

#: Tilt under 1000 N that is worth a caution where cement adds it. Our judgement: over a body 40 mm wide, 0.1 mm.
TILT_CAUTION_DEG = 0.15
#: Less than this share of height lost against the back is no wedge (all of it may have sunk); more than this share
#: cannot be a band of a body that still stands. Our judgement.
LEAST_CRUSHED, MOST_CRUSHED = 0.1, 0.6
#: The fill at which a finite element model of T12 was as stiff as sound bone, percent of the body (Kim 2012).
FULL_PERCENT = 30.0


@dataclass(frozen=True, eq=False)
class BeforeAndAfter:
    """Scenarios of one vertebra, the last two before and after the cement, and their answers."""

    vertebra: Vertebra
    model: BoneModel
    filling: Filling
    scenarios: dict[str, Scenario]
    found: Comparison

    @classmethod
    def of(cls, vertebra: Vertebra, model: BoneModel, filling: Filling, progress: Progress) -> BeforeAndAfter:
        """Load the vertebra as it is and with the cement, and first without its lesion, if it has one."""
        scenarios = _scenarios(model, vertebra, filling)
        return cls(vertebra, model, filling, scenarios, compare(scenarios, progress))

    @property
    def before(self) -> Scenario:
        """The vertebra that the cement goes into."""
        return list(self.scenarios.values())[-2]

    @property
    def status(self) -> Status:
        """How the solves ended."""
        return self.found.status

    @property
    def volumes(self) -> dict[str, Volume]:
        """The cement and the fields of every scenario."""
        return {"cement": self.model.volume(self.filling.region, "mask"), **self.found.volumes()}

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The cement, the bone it goes into, and every answer."""
        return (_soaked(self.filling), *_density(self.model), *self.found.measures)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What a reader should not miss."""
        weak = (_weak(self.vertebra.level),) if "fractured" in self.scenarios else ()
        told = (*weak, *_overfilled(self.filling))
        return told if self.status.value else (*told, *self._tilting())

    def _tilting(self) -> tuple[Finding, ...]:
        before, after = (_tilt_deg(self.found, name) for name in list(self.scenarios)[-2:])
        if after - before <= TILT_CAUTION_DEG:
            return ()
        text = f"With this cement the upper endplate tilts {after:.2f}° under load, {before:.2f}° without it."
        return (Finding(Severity.CAUTION, text, "uneven filling toggles; a central or two-sided one tilts less"),)


def _scenarios(model: BoneModel, vertebra: Vertebra, filling: Filling) -> dict[str, Scenario]:
    """What the vertebra would be without its lesion, as it is, with its fracture weak, and with cement; the last two
    are before and after.
    """
    found: dict[str, Scenario] = {}
    if lytic_region(model).any():
        found["intact"] = intact(model)
    found["as_is"] = as_is(model)
    if vertebra.graded:
        found["fractured"] = fractured(model, share=_crushed_share(vertebra.heights))
    before = list(found.values())[-1]
    return {**found, "augmented": before.then(augmented, filling)}


def _crushed_share(heights: Heights) -> float:
    """The share of height that is missing in front or in the middle against the back; the usual one where none is."""
    least = min(heights.anterior.value, heights.middle.value)
    lost = 1.0 - least / heights.posterior.value
    return min(lost, MOST_CRUSHED) if lost >= LEAST_CRUSHED else CRUSHED_SHARE


def _soaked(filling: Filling) -> Measure:
    how = "Bone that cement soaks, of the volume of the vertebral body, as it is loaded."
    return Measure("cement_loaded", filling.percent, "%", method=how)


def _density(model: BoneModel) -> tuple[Measure, ...]:
    core = inside(model, CORE_DEPTH_MM) & model.tissue(Tissue.BONE)
    if not core.any():
        return ()
    value = 1000.0 * float(model.density_g_cc[core].mean())
    how = f"Mean of the body's core, K2HPO4 equivalent. {model.calibration}"
    return (Measure("trabecular_density", value, "mg/cm3", method=how),)


def _overfilled(filling: Filling) -> tuple[Finding, ...]:
    if filling.percent <= FULL_PERCENT:
        return ()
    text = f"{filling.ml:.1f} mL is {filling.percent:.0f} % of the body: more than stiffness asks for."
    because = f"about {FULL_PERCENT:.0f} % gives sound bone's stiffness; more leaks more often and loads the neighbours"
    return (Finding(Severity.CAUTION, text, because),)


def _weak(level: Level) -> Finding:
    text = f"{level} has lost height: its crushed bone is taken to be weak. If the fracture has healed, "
    because = "CT shows crushed bone as dense, and does not show whether its struts are broken"
    return Finding(Severity.NOTE, f"{text}read 'as scanned' as before and expect less from the cement.", because)


def _tilt_deg(found: Comparison, scenario: str) -> float:
    """How far the upper end leans, whichever way."""
    return math.hypot(found.value("tilt_forward", scenario), found.value("tilt_left", scenario))
