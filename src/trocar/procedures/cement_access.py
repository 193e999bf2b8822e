"""What every procedure that leaves cement in a vertebra shares: the cement, what pushes it, and where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trocar.anatomy.bone import Calibration
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Vertebra
from trocar.injection.aetiology import Aetiology
from trocar.injection.medium import Spread
from trocar.injection.site import RATE, VOLUME, Site, usual_start_min
from trocar.injection.ways_out import WaysOut, ways_out
from trocar.measure import Finding, Severity
from trocar.mechanics.filling import SHELL_MM, Filling, body_of, deeper, index_mm
from trocar.mechanics.model import BoneModel, Ends, bone_model
from trocar.physics.cannula import INJECTORS
from trocar.physics.cement import CEMENTS, TEMPERATURE_RANGE
from trocar.physics.porous import Tube
from trocar.planning.robustness import HandError
from trocar.planning.trajectory import Trajectory
from trocar.procedures.bone_access import BoneAccess
from trocar.treatment import Option, Plan, choice, quantity
from trocar.volume import Volume

#: Cement unless a volume is asked for, as a share of the body: stiffness and strength come back at 14 to 16 %
#: (Liebschner 2001, Molloy 2003; from memory, unverified).
USUAL_FILL = 0.15


@dataclass(frozen=True)
class CementAccess(BoneAccess):
    """Cement through a needle into the body. It has no ``name``, so that no list shows it."""

    cement_volume_ml: float = quantity(
        0.0, 0.0, 15.0, "mL", "Cement to put in, all paths together; 0 takes 15 % of the body."
    )
    cement: str = choice("medium viscosity", tuple(CEMENTS), "Kind of cement.")
    cement_age_min: float = quantity(
        0.0, 0.0, 30.0, "min", "Minutes from mixing to the first drop; 0 waits until the cement is thick enough."
    )
    room_temperature_c: float = quantity(
        21.0, TEMPERATURE_RANGE.low, 30.0, "Cel", "Temperature of the room where the cement is mixed and waits."
    )
    injection_rate_ml_min: float = quantity(2.0, RATE.low, RATE.high, "mL/min", "How fast the cement is pushed in.")
    injection_pressure_mpa: float = quantity(
        0.0, 0.0, 20.0, "MPa", "Push with this constant pressure; 0 pushes at the rate above."
    )
    injector: str = choice("screw pump", tuple(INJECTORS), "What pushes the cement: it limits the pressure.")
    aetiology: str = choice(
        "auto", ("auto", *(a.value for a in Aetiology)), "Why the bone is weak; 'auto' looks for a lytic lesion."
    )
    leak_runs: str = choice(
        "100",
        ("0", "20", "50", "100", "200", "500"),
        "Simulation: injections with bone, ways out, cement and tip varied.",
    )
    leak_voxel_mm: float = quantity(1.5, 1.0, 3.0, "mm", "Simulation: voxel of the varied injections.")
    leak_seed: float = quantity(1.0, 0.0, 1e6, "1", "Simulation: seed of what is varied, a whole number.")
    compare_changes: str = choice(
        "yes", ("yes", "no"), "Simulation: also what another way in, cement or pace, or a pause would change."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0.0 < self.cement_volume_ml < VOLUME.low:
            raise ValueError(
                f"cement_volume_ml={self.cement_volume_ml:g} is less than the {VOLUME.low:g} mL that can be simulated; "
                "0 takes 15 % of the body."
            )
        if self.leak_seed != int(self.leak_seed):
            raise ValueError(f"leak_seed={self.leak_seed} must be a whole number.")
        self._check_age()
        most = INJECTORS[self.injector].limit_pa / 1e6
        if self.injection_pressure_mpa > most:
            raise ValueError(
                f"injection_pressure_mpa={self.injection_pressure_mpa:g} is more than the {most:.2g} MPa of a "
                f"{self.injector}."
            )

    def review(self, anatomy: Anatomy, options: tuple[Option, ...]) -> tuple[Finding, ...]:
        """Concerns about the labels, the best option and the cement."""
        said = too_much(anatomy.vertebra(self.level), self.cement_volume_ml)
        stop = (Finding(Severity.STOP, said, "ask for less"),) if said else ()
        return (*super().review(anatomy, options), *stop)

    def _check_age(self) -> None:
        """Refuse an age at which nobody knows how thick this cement is."""
        cement = CEMENTS[self.cement]
        pace = 60.0 * cement.ageing(self.room_temperature_c)
        low, high = cement.valid_age_s.low / pace, cement.valid_age_s.high / pace
        if self.cement_age_min and not low <= self.cement_age_min <= high:
            raise ValueError(
                f"cement_age_min={self.cement_age_min:g}: viscosity of {cement.name} cement is known from {low:.1f} "
                f"to {high:.1f} min after mixing at {self.room_temperature_c:g} degC; 0 takes the start of its window."
            )

    def cement_ml(self, model: BoneModel) -> float:
        """The cement to put in: what was asked for, or the usual share of the body."""
        whole = float(body_of(model).sum()) * model.solid.voxel_mm3 / 1000.0
        return self.cement_volume_ml or USUAL_FILL * whole

    def cause(self, vertebra: Vertebra) -> Aetiology:
        """Why the bone is weak: as asked for, or a metastasis where the body has a lytic lesion."""
        if self.aetiology != "auto":
            return Aetiology(self.aetiology)
        lysed = any(m.name == "lytic_volume" and m.value > 0.0 for m in vertebra.measures)
        return Aetiology.METASTASIS if lysed else Aetiology.OSTEOPOROTIC

    def filling(self, model: BoneModel, plan: Plan) -> Filling | None:
        """Where the planned cement lies in a model of the planned vertebra; None where only a simulation can say.

        Raises ``ValueError`` for more cement than the body holds.
        """
        return None

    @property
    def start_min(self) -> float:
        """Minutes from mixing to the first drop: as asked for, or a little after the cement is thick enough."""
        return self.cement_age_min or usual_start_min(CEMENTS[self.cement], self.room_temperature_c)

    def site(
        self,
        plan: Plan,
        paths: Sequence[Trajectory],
        voxel_mm: float,
        volume_ml: float,
        *,
        calibration: Calibration | None = None,
        cavity: Volume | None = None,
    ) -> tuple[Site, WaysOut]:
        """The planned vertebra with everything that its injection needs, and its ways out.

        ``cavity`` is a mask in the patient: what a balloon left. Raises ``ValueError`` for a tip outside the bone, more
        cement than the body holds, and cement that is too old or too young for its viscosity to be known.
        """
        said = too_much(plan.anatomy.vertebra(self.level), volume_ml)
        if said:
            raise ValueError(said)
        model = bone_model(
            plan.anatomy,
            self.level,
            law=self.bone_law,
            calibration=calibration,
            spacing_mm=voxel_mm,
            ends=Ends.EMBEDDED,
            arch=True,
        )
        hand = HandError(self.entry_sd_mm, self.angle_sd_deg)
        found = ways_out(plan.anatomy, model, paths, self.cause(plan.anatomy.vertebra(self.level)), hand)
        needle = paths[0].instrument
        hollow = None if cavity is None else cavity.onto(model.volume(model.parts, "label")).array.astype(bool)
        site = Site(
            model,
            found.ways,
            np.array([index_mm(model, t.target_mm) for t in paths]),
            CEMENTS[self.cement],
            Tube(0.5 * needle.bore_mm, needle.length_mm),
            volume_ml,
            self.start_min,
            rate_ml_min=self.injection_rate_ml_min,
            room_c=self.room_temperature_c,
            limit_pa=INJECTORS[self.injector].limit_pa,
            pressure_pa=1e6 * self.injection_pressure_mpa,
            spread=Spread.of_hand(hand),
            cavity=None if hollow is None else hollow & body_of(model),
        )
        return site, found


def room_ml(vertebra: Vertebra) -> float:
    """What the body holds inside the shell that cement keeps from."""
    body = vertebra.body
    return float(deeper(body.array, body.spacing_mm, SHELL_MM).sum() * np.prod(body.spacing_mm)) / 1000.0


def too_much(vertebra: Vertebra, asked_ml: float) -> str:
    """Why so much cement does not fit; empty where it does."""
    room = room_ml(vertebra)
    if asked_ml <= room:
        return ""
    return (
        f"{asked_ml:.1f} mL of cement do not fit: the body of {vertebra.level} holds about {room:.1f} mL "
        f"inside a shell of {SHELL_MM:g} mm."
    )
