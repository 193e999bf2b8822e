"""How much a path forgives: the same plan under three hands.

The spreads are those measured with a CT laser and free hand (Korean J Radiol 2015), and the default between them.
"""

import trocar
from trocar.anatomy.phantom import PhantomSpec, phantom
from trocar.procedures import Vertebroplasty

HANDS = {"CT laser": (0.8, 1.3), "default": (1.5, 2.5), "free hand": (6.1, 3.4)}

patient = phantom(PhantomSpec(levels=("L2", "L3", "L4"), focus="L3"))
anatomy = trocar.read_anatomy(patient.labels, on=patient.ct, scheme="totalseg-v2")

chances = {}
for hand, (entry_sd_mm, angle_sd_deg) in HANDS.items():
    plan = trocar.plan(anatomy, Vertebroplasty(level="L3", entry_sd_mm=entry_sd_mm, angle_sd_deg=angle_sd_deg))
    chance = plan.best.trajectories[0].breach_probability
    chances[hand] = chance.value
    print(f"{hand}: ± {entry_sd_mm} mm, ± {angle_sd_deg}°: a breach in {100 * chance.value:.1f} % of attempts")
