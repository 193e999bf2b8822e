"""What every procedure through a needle into a vertebral body shares: the way in, its margins, the hand, the skin."""

from __future__ import annotations

from dataclasses import dataclass, replace

from trocar.anatomy.bone import Calibration
from trocar.anatomy.patient import Anatomy
from trocar.geometry import Side
from trocar.measure import Finding, Measure, Severity
from trocar.mechanics.model import SPACING, BoneModel, Ends, bone_model
from trocar.physics.materials import DEFAULT_LAW, LAWS
from trocar.planning.access import (
    APPROACHES,
    EXTRAPEDICULAR,
    TRANSPEDICULAR,
    Approach,
    Margins,
    approaches_for,
    not_checked,
)
from trocar.planning.candidates import TargetZone
from trocar.planning.instrument import OUTER_DIAMETER_MM, Needle
from trocar.planning.position import PatientPosition
from trocar.planning.ranking import Choice, ways_in
from trocar.planning.robustness import HandError
from trocar.planning.skin import SkinGrid, SkinMark, mark_of
from trocar.planning.trajectory import Trajectory
from trocar.treatment import Option, Plan, Procedure, choice, quantity

_THROUGH, _BESIDE = TRANSPEDICULAR.margins, EXTRAPEDICULAR.margins

#: A breach chance above this is worth a caution. Our judgement: one in ten.
BREACH_CAUTION = 0.10


@dataclass(frozen=True)
class BoneAccess(Procedure):
    """A straight instrument through or beside a pedicle into the vertebral body.

    It has no ``name``, so that no list shows it: Vertebroplasty and Kyphoplasty are such procedures.
    """

    side: str = choice("any", ("any", "left", "right"), "The patient's side to come from; 'any' ranks both.")
    approach: str = choice("any", ("any", *(a.name for a in APPROACHES)), "Way past the pedicle; 'any' ranks them.")
    gauge: str = choice("auto", ("auto", *(str(g) for g in OUTER_DIAMETER_MM)), "Needle; 'auto' takes the usual one.")
    outer_diameter_mm: float = quantity(0.0, 0.0, 6.0, "mm", "Your needle's outer diameter; 0 takes the gauge's.")
    needle_length_mm: float = quantity(125.0, 60.0, 300.0, "mm", "Length of the needle's shaft.")
    pedicle_wall_margin_mm: float = quantity(
        _THROUGH.pedicle_wall_mm, 0.0, 5.0, "mm", "Bone to leave around the needle in the pedicle."
    )
    canal_margin_mm: float = quantity(_THROUGH.canal_mm, 0.0, 10.0, "mm", "Distance to keep from canal and cord.")
    root_margin_mm: float = quantity(_THROUGH.root_mm, 0.0, 10.0, "mm", "Distance to keep from the root foramina.")
    lung_margin_mm: float = quantity(
        _THROUGH.lung_mm, 0.0, 10.0, "mm", "Distance to keep from the lung, transpedicular."
    )
    lung_margin_beside_pedicle_mm: float = quantity(_BESIDE.lung_mm, 0.0, 10.0, "mm", "The same, extrapedicular.")
    vessel_margin_mm: float = quantity(
        _THROUGH.vessel_mm, 0.0, 10.0, "mm", "Distance to keep from aorta, vena cava and vessels."
    )
    organ_margin_mm: float = quantity(
        _THROUGH.organ_mm, 0.0, 10.0, "mm", "Distance to keep from kidneys and other organs."
    )
    endplate_margin_mm: float = quantity(_THROUGH.endplate_mm, 0.0, 10.0, "mm", "Distance to keep from both endplates.")
    cortex_margin_mm: float = quantity(
        _THROUGH.anterior_cortex_mm, 0.0, 10.0, "mm", "Bone to leave in front of the tip."
    )
    entry_sd_mm: float = quantity(1.5, 0.0, 20.0, "mm", "Hand error at the bone entry, 1 SD per axis.")
    angle_sd_deg: float = quantity(2.5, 0.0, 30.0, "deg", "Hand error in angle, 1 SD per axis.")
    position: str = choice(
        "auto", ("auto", *(p.value for p in PatientPosition)), "How the patient will lie; 'auto' is prone, as scanned."
    )
    grid_pitch_mm: float = quantity(10.0, 2.0, 50.0, "mm", "Distance between the wires of the skin grid.")
    skin_cut_mm: float = quantity(15.0, 2.0, 40.0, "mm", "Length of the transverse skin cut.")
    bone_law: str = choice(DEFAULT_LAW.name, tuple(LAWS), "Simulation: law from bone density to stiffness.")
    model_voxel_mm: float = quantity(1.0, SPACING.low, SPACING.high, "mm", "Simulation: voxel of the bone model.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._needle()  # a needle that cannot be is refused with the other fields

    def trajectories(self, anatomy: Anatomy) -> tuple[Option, ...]:
        """Every way in, best first; raises ``NoSafeTrajectory`` when none keeps the margins."""
        found = ways_in(
            anatomy,
            self.level,
            approaches=self._approaches(),
            sides=tuple(Side) if self.side == "any" else (Side(self.side),),
            instrument=self._needle(),
            length_mm=self.needle_length_mm,
            target=self._target(),
            hand=HandError(self.entry_sd_mm, self.angle_sd_deg),
        )
        return tuple(_option(c) for c in found)

    def not_checked(self, anatomy: Anatomy) -> tuple[str, ...]:
        """Structures that matter at this level and that the labels lack."""
        return not_checked(self.level, {*anatomy.structures, *(f"vertebra_{v}" for v in anatomy.vertebrae)})

    def mark(self, trajectory: Trajectory, anatomy: Anatomy) -> SkinMark:
        """The mark on the skin for one path, for the position and grid that were asked for."""
        position = None if self.position == "auto" else PatientPosition(self.position)
        return mark_of(trajectory, anatomy, position, SkinGrid(self.grid_pitch_mm), self.skin_cut_mm)

    def review(self, anatomy: Anatomy, options: tuple[Option, ...]) -> tuple[Finding, ...]:
        """Concerns about the labels and the best option."""
        return (*_unchecked(self.not_checked(anatomy)), *_uncertain_hand(options[0]))

    def bone(self, plan: Plan, ends: Ends, calibration: Calibration | None = None) -> BoneModel:
        """The planned vertebra as a solid, as this procedure's simulation sees it."""
        return bone_model(
            plan.anatomy,
            self.level,
            law=self.bone_law,
            calibration=calibration,
            spacing_mm=self.model_voxel_mm,
            ends=ends,
        )

    def _target(self) -> TargetZone | None:
        """Where the tip belongs; None for the anterior-middle third."""
        return None

    def _approaches(self) -> tuple[Approach, ...]:
        offered = approaches_for(self.level)
        if self.approach != "any":
            offered = tuple(a for a in offered if a.name == self.approach)
        return tuple(replace(a, margins=self.margins(a)) for a in offered)

    def margins(self, approach: Approach) -> Margins:
        """The margins that were asked for; another to the lung beside the pedicle than through it."""
        return replace(
            approach.margins,
            pedicle_wall_mm=self.pedicle_wall_margin_mm,
            canal_mm=self.canal_margin_mm,
            root_mm=self.root_margin_mm,
            lung_mm=self.lung_margin_mm if approach.through_pedicle else self.lung_margin_beside_pedicle_mm,
            vessel_mm=self.vessel_margin_mm,
            organ_mm=self.organ_margin_mm,
            endplate_mm=self.endplate_margin_mm,
            anterior_cortex_mm=self.cortex_margin_mm,
        )

    def _needle(self) -> Needle | None:
        if self.outer_diameter_mm:
            return Needle(self.outer_diameter_mm, self.needle_length_mm, None, f"{self.outer_diameter_mm:g} mm needle")
        return None if self.gauge == "auto" else Needle.of_gauge(int(self.gauge), self.needle_length_mm)


def _option(found: Choice) -> Option:
    return Option(found.trajectories, found.reason, found.measures, found.findings)


def _unchecked(names: tuple[str, ...]) -> tuple[Finding, ...]:
    if not names:
        return ()
    told = ", ".join(n.replace("_", " ") for n in names)
    return (Finding(Severity.CAUTION, f"Not checked: {told}.", "the labels lack them; look at the images yourself"),)


def _uncertain_hand(best: Option) -> tuple[Finding, ...]:
    chances = [t.breach_probability for t in best.trajectories if t.breach_probability]
    return tuple(_shaky(c) for c in chances if c.value > BREACH_CAUTION)


def _shaky(chance: Measure) -> Finding:
    return Finding(
        Severity.CAUTION,
        f"A hand error breaches a wall or enters a structure in {100 * chance.value:.0f} of 100 attempts.",
        chance.method,
    )
