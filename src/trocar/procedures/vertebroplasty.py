"""Percutaneous vertebroplasty: a needle into the vertebral body, for cement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from trocar.anatomy.vertebra import Vertebra
from trocar.measure import Finding, Measure, Severity
from trocar.mechanics.comparison import Comparison, compare
from trocar.mechanics.filling import Filling, about_tips
from trocar.mechanics.lesion import lytic_region
from trocar.mechanics.model import BoneModel, Ends
from trocar.mechanics.scenario import Scenario, as_is, augmented, fractured, intact
from trocar.mechanics.sweep import Sweep, fillings, sweep
from trocar.procedures.bone_access import BoneAccess
from trocar.treatment import Plan, Progress, Simulation, choice, silent

#: Fillings that are compared with the planned one, percent of the body's volume.
COMPARED_PERCENT = (5.0, 10.0, 15.0, 20.0, 25.0)
#: Tilt under 1000 N that is worth a caution where cement adds it. Our judgement: over a body 40 mm wide, 0.1 mm.
TILT_CAUTION_DEG = 0.15


@dataclass(frozen=True)
class Vertebroplasty(BoneAccess):
    """Cement through a needle; one-sided to the centre of the body where that can be reached.

    Lumbar vertebrae are entered through the pedicle, thoracic ones beside it, between rib and
    transverse process. The target is the anterior-middle third of the body at the midline. Both
    sides and the two-sided plan are offered as ranked alternatives.

    The simulation loads the vertebra along its axis before and after the planned volume of cement lies about the
    needle's tip, and tells stiffness, strength by three criteria, who carries the load, and whether it tilts. Where the
    body has a lesion or a graded fracture, what those took comes first.
    """

    name: ClassVar[str] = "vertebroplasty"
    references: ClassVar[tuple[str, ...]] = (
        "Kim AK, Jensen ME, Dion JE, et al. Unilateral transpedicular percutaneous vertebroplasty: initial experience. "
        "Radiology 2002;222(3):737-741.",
        "Li H, Yang L, Tang J, et al. An MRI-based feasibility study of unilateral percutaneous vertebroplasty. "
        "BMC Musculoskelet Disord 2015;16:162. doi:10.1186/s12891-015-0619-x",
        "Yin S, Zhang Y, Du Y, et al. An imaging anatomical study on percutaneous vertebral augmentation for thoracic "
        "spine via the unilateral transverse process-pedicle approach. J Orthop Surg Res 2025;20:414. "
        "doi:10.1186/s13018-025-05824-x",
        "Buckley JM, Loo K, Motherway J. Comparison of quantitative computed tomography-based measures in predicting "
        "vertebral compressive strength. Bone 2007;40(3):767-774. doi:10.1016/j.bone.2006.10.025",
        "Kopperdahl DL, Morgan EF, Keaveny TM. Quantitative computed tomography estimates of the mechanical properties "
        "of human vertebral trabecular bone. J Orthop Res 2002;20(4):801-805.",
    )

    compare_fillings: str = choice("yes", ("yes", "no"), "Simulation: also other places and volumes of cement.")

    def simulate(self, plan: Plan, progress: Progress = silent) -> Simulation:
        """What the planned cement gives the vertebra; raises ``ValueError`` for more than its body holds."""
        progress("building the bone model")
        model = self.bone(plan, Ends.CAPS)
        filling = about_tips(model, plan.best.trajectories, ml=self.cement_volume_ml)
        scenarios = _scenarios(model, plan.anatomy.vertebra(self.level), filling)
        found = compare(scenarios, progress)
        before = list(scenarios.values())[-2]
        swept = self._swept(before, progress)
        status = next((s for s in (found.status, *(w.status for w in swept)) if s.value), found.status)
        return Simulation(
            plan,
            status,
            {"cement": model.volume(filling.region, "mask"), **found.volumes()},
            {"section": found.sections()} | ({"sweep": _table(swept[0])} if swept else {}),
            (*_cement(filling), *found.measures),
            (*model.findings, *_told(found, list(scenarios), plan.anatomy.vertebra(self.level))),
            self.references,
        )

    def _swept(self, before: Scenario, progress: Progress) -> tuple[Sweep, ...]:
        """Other places and volumes of cement, if they are asked for."""
        if self.compare_fillings == "no":
            return ()

        def tell(done: int, of: int, name: str) -> None:
            progress(f"comparing fillings: {done} of {of}")

        return (sweep(fillings(before, percent=COMPARED_PERCENT), tilt=False, offset=False, progress=tell),)


def _scenarios(model: BoneModel, vertebra: Vertebra, filling: Filling) -> dict[str, Scenario]:
    """What the vertebra would be without its lesion, as it is, with its fracture weak, and with cement; the last two
    are before and after.
    """
    found: dict[str, Scenario] = {}
    if lytic_region(model).any():
        found["intact"] = intact(model)
    found["as_is"] = as_is(model)
    if _graded(vertebra):
        found["fractured"] = fractured(model)
    before = list(found.values())[-1]
    return {**found, "augmented": before.then(augmented, filling)}


def _graded(vertebra: Vertebra) -> bool:
    """Whether the body has lost enough height to be graded as fractured."""
    return any(m.name == "genant_grade" and m.value > 0.0 for m in vertebra.measures)


def _cement(filling: Filling) -> tuple[Measure, Measure]:
    how = f"Spheroid {filling.name}, {filling.shell_mm:g} mm under the surface of the body: a shape, not a flow."
    return (
        Measure("cement_volume", filling.ml, "mL", method=how),
        Measure("fill_share", filling.percent, "%", method="Of the volume of the vertebral body."),
    )


def _table(swept: Sweep) -> Mapping[str, object]:
    """The rows of a sweep as columns."""
    kinds = {"stiffness": "stiffness_n_per_mm", "strength_stiffness": "strength_stiffness_n"}
    kinds["strength_section"] = "strength_section_n"
    return {
        "place": [_place(name) for name in swept.names],
        "fill_percent": swept.column("cement_percent"),
        "cement_ml": swept.column("cement_ml"),
        **{column: swept.column(name) for name, column in kinds.items()},
    }


def _place(name: str) -> str:
    """ "as it is, cement one-sided, left 15 %" is a filling "one-sided, left"."""
    return name.partition("cement ")[2].rpartition(" ")[0].rpartition(" ")[0]


def _told(found: Comparison, names: list[str], vertebra: Vertebra) -> tuple[Finding, ...]:
    """What a reader should not miss."""
    told: list[Finding] = []
    if "fractured" in names:
        text = f"{vertebra.level} has lost height: its crushed bone is taken to be weak. If the fracture has healed, "
        because = "CT shows crushed bone as dense, and does not show whether its struts are broken"
        told.append(
            Finding(Severity.NOTE, text + "read 'as scanned' as before and expect less from the cement.", because)
        )
    if found.status.value:
        return tuple(told)
    before, after = (_tilt_deg(found, n) for n in names[-2:])
    if after - before > TILT_CAUTION_DEG:
        text = f"With this cement the upper endplate tilts {after:.2f}° under load, {before:.2f}° without it."
        told.append(Finding(Severity.CAUTION, text, "uneven filling toggles; a central or two-sided one tilts less"))
    return tuple(told)


def _tilt_deg(found: Comparison, scenario: str) -> float:
    """How far the upper end leans, whichever way."""
    return math.hypot(found.value("tilt_forward", scenario), found.value("tilt_left", scenario))
