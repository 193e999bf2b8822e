"""Percutaneous vertebroplasty: a needle into the vertebral body, for cement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from trocar.anatomy.bone import calibrated
from trocar.anatomy.levels import neighbours
from trocar.errors import SimulationError
from trocar.injection.goals import simulated_filling
from trocar.injection.nominal import nominal
from trocar.measure import Finding, Measure, Severity, Status, ending
from trocar.mechanics.filling import Filling
from trocar.mechanics.model import BoneModel, Ends
from trocar.mechanics.scenario import Scenario, augmented
from trocar.mechanics.segment import load_transfer, segment_model
from trocar.mechanics.sweep import Sweep, sweep
from trocar.procedures.before_and_after import BeforeAndAfter
from trocar.procedures.cement_access import CementAccess
from trocar.procedures.cemented import Cemented
from trocar.treatment import Means, Plan, Progress, Simulation, choice

#: Voxel of a model of two vertebrae and their disc, at least.
SEGMENT_VOXEL_MM = 1.5


@dataclass(frozen=True)
class Vertebroplasty(CementAccess):
    """Cement through a needle; one-sided to the centre of the body where that can be reached.

    Lumbar vertebrae are entered through the pedicle, thoracic ones beside it, between rib and
    transverse process. The target is the anterior-middle third of the body at the midline. Both
    sides and the two-sided plan are offered as ranked alternatives.

    The simulation pushes the planned cement through the needle into the marrow: how it spreads, what pressure that
    takes, by which ways it leaks and how often, how warm it gets. Then it loads the vertebra along its axis before and
    after that cement, and tells stiffness, strength by three criteria, who carries the load, and whether it tilts.
    Where the body has a lesion or a graded fracture, what those took comes first.
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

    compare_fillings: str = choice(
        "yes", ("yes", "no"), "Simulation: also load the cement of other ways in, and of smaller volumes."
    )
    adjacent_level: str = choice(
        "none", ("none", "above", "below"), "Simulation: also what the cement changes in a neighbour and the disc."
    )

    def simulate(self, plan: Plan, means: Means) -> Simulation:
        """Where the planned cement goes, and what it gives the vertebra.

        Raises ``ValueError`` for more cement than the body holds, a tip outside the bone, and cement whose viscosity is
        not known at that time.
        """
        means.progress("building the bone model")
        line = calibrated(plan.anatomy)
        model = self.bone(plan, Ends.CAPS, line)
        cemented = Cemented.of(self, plan, self.cement_ml(model), means, line)
        found = cemented.simulation(model.findings)
        if not cemented.holds:
            return found
        vertebra = plan.anatomy.vertebra(self.level)
        loaded = BeforeAndAfter.of(vertebra, model, cemented.filling(model), means.progress)
        swept, compared = self._swept(loaded.before, cemented, means.progress)
        beside, told, ended = self._beside(plan, cemented, means.progress)
        return replace(
            found,
            status=ending(found.status, loaded.status, *(w.status for w in swept), ended),
            volumes={**loaded.volumes, **found.volumes},
            series={**found.series, "section": loaded.found.sections()}
            | ({"sweep": _table(swept[0])} if swept else {}),
            measures=(*loaded.measures, *beside, *found.measures),
            findings=tuple(dict.fromkeys((*found.findings, *loaded.findings, *compared, *told))),
        )

    def _beside(
        self, plan: Plan, cemented: Cemented, progress: Progress
    ) -> tuple[tuple[Measure, ...], tuple[Finding, ...], Status]:
        """What the cement changes in a neighbour, if that is asked for."""
        if self.adjacent_level == "none":
            return (), (), Status.SUCCESS
        near = neighbours(self.level, frozenset(plan.anatomy.whole_levels))[self.adjacent_level == "below"]
        if near is None:
            text = f"No whole vertebra {self.adjacent_level} {self.level}: what the cement changes there is not known."
            return (), (Finding(Severity.NOTE, text, "the scan or the labels end there"),), Status.SUCCESS
        progress(f"loading {self.level} with {near} and their disc")
        segment = segment_model(
            plan.anatomy, self.level, near, law=self.bone_law, spacing_mm=max(self.model_voxel_mm, SEGMENT_VOXEL_MM)
        )
        measures, status = load_transfer(segment, lambda model: augmented(model, cemented.filling(model)))
        return measures, segment.model.findings, status

    def filling(self, model: BoneModel, plan: Plan) -> Filling:
        """The planned cement in a model of the planned vertebra, injected with every unknown at its middle.

        Raises :class:`trocar.errors.SimulationError` where it could not all be injected.
        """
        site, _ = self.site(plan, plan.best.trajectories, self.model_voxel_mm, self.cement_ml(model))
        found = nominal(site)
        if found.status is not Status.SUCCESS:
            raise SimulationError(found.status.value)
        return simulated_filling(model, found.saturation)

    def _swept(
        self, before: Scenario, cemented: Cemented, progress: Progress
    ) -> tuple[tuple[Sweep, ...], tuple[Finding, ...]]:
        """The cement of each way in, as it fills up, if that is asked for; and notes on what could not be compared."""
        if self.compare_fillings == "no":
            return (), ()

        def tell(done: int, of: int, name: str) -> None:
            progress(f"comparing ways in and volumes: {done} of {of}")

        fillings, told = cemented.fillings(before.model)
        made = tuple(before.then(augmented, filling) for filling in fillings)
        return (sweep(made, offset=False, progress=tell),), told


def _table(swept: Sweep) -> Mapping[str, object]:
    """The rows of a sweep as columns."""
    kinds = {"stiffness": "stiffness_n_per_mm", "strength_stiffness": "strength_stiffness_n"}
    kinds |= {
        "strength_section": "strength_section_n",
        "tilt_forward": "tilt_forward_deg",
        "tilt_left": "tilt_left_deg",
    }
    return {
        "place": [_place(name) for name in swept.names],
        "fill_percent": swept.column("cement_percent"),
        "cement_ml": swept.column("cement_ml"),
        **{column: swept.column(name) for name, column in kinds.items()},
    }


def _place(name: str) -> str:
    """ "as it is, cement one-sided, left 15 %" is a filling "one-sided, left"."""
    return name.partition("cement ")[2].rpartition(" ")[0].rpartition(" ")[0]
