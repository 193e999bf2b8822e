"""What balloons give back, as measures: height and kyphosis before, with full balloons and with empty ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trocar.anatomy.levels import neighbours
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Vertebra
from trocar.measure import Measure
from trocar.mechanics.balloon import Inflation, Stations
from trocar.mechanics.endplate_lift import Lift
from trocar.planning.instrument import PSI_MPA

#: Share of the lost height that came back ex vivo under a load of 110 N, and without load. The first: half of 18
#: bodies, in "Effect of an outer sleeve on an inflatable balloon tamp in terms of height restoration under simulated
#: physiological load", from its abstract; the second: Belkoff 2001.
RESTORED_SHARE = (0.30, 0.97)
_BOUNDS = "healed to mobile fracture"
_HOW = (
    "Model: the middle between a fracture that has healed (elastic bone, soft where it is crushed) and one whose "
    "endplates lie loose, hinged at the back; patient prone, no load."
)


def lost_mm(anatomy: Anatomy, vertebra: Vertebra) -> Stations:
    """Height lost in front, in the middle and at the back; nothing where the deformity is not graded.

    Against the greater of the body's own posterior height and the neighbours' mean.
    """
    if not vertebra.graded:
        return (0.0, 0.0, 0.0)
    near = neighbours(vertebra.level, frozenset(anatomy.whole_levels))
    beside = [anatomy.vertebra(v).heights.posterior.value for v in near if v is not None]
    h = vertebra.heights
    whole = max(h.posterior.value, float(np.mean(beside)) if beside else 0.0)
    lost = [max(whole - m.value, 0.0) for m in (h.anterior, h.middle, h.posterior)]
    return lost[0], lost[1], lost[2]


def filling_measures(f: Inflation) -> tuple[Measure, Measure]:
    """Volume and pressure at which one balloon ends."""
    name = f.placed.name.replace(" ", "_")
    how = "Yield stress of the bone that is crushed just then, by its density and the laws of bone"
    return (
        Measure(
            f"{name}_volume",
            f.volume_ml,
            "mL",
            f.low_ml,
            f.high_ml,
            "laws of bone",
            f"Filling at which {f.stop.value}; by the other laws of bone another may end at the same pressure limit.",
        ),
        Measure(
            f"{name}_pressure",
            f.pressure_mpa,
            "MPa",
            f.low_mpa,
            f.high_mpa,
            "laws of bone",
            f"{how}; {f.pressure_mpa / PSI_MPA:.0f} psi.",
        ),
    )


def cavity_measure(inflations: Sequence[Inflation], raised: Lift) -> Measure:
    """The room for cement once the balloons are out."""
    filled = sum(f.volume_ml for f in inflations)
    method = (
        f"Filling of the balloons ({filled:.1f} mL) less what the bone springs back when they are empty "
        f"({raised.closing_ml:.2f} mL). Room for cement."
    )
    least, most = sum(f.low_ml for f in inflations), sum(f.high_ml for f in inflations)
    value = max(filled - raised.closing_ml, 0.0)
    low, high = max(least - raised.soft * raised.closing_ml, 0.0), max(most - raised.stiff * raised.closing_ml, value)
    return Measure("cavity_volume", value, "mL", low, high, "laws of bone", method)


def height_measures(vertebra: Vertebra, raised: Lift, lost: Stations) -> tuple[Measure, ...]:
    """Heights before, with full balloons and with empty ones; and what was published, beside the model."""
    found = []
    for n, (station, before) in enumerate(
        (("anterior", vertebra.heights.anterior), ("middle", vertebra.heights.middle))
    ):
        name = f"{station}_height"
        found.append(replace(before, name=f"{name}_before"))
        for time, gain in (("inflated", raised.inflated_mm), ("deflated", raised.deflated_mm)):
            value, low, high = (before.value + part[n] for part in gain)
            found.append(Measure(f"{name}_{time}", value, "mm", low, high, _BOUNDS, _HOW))
    return (*found, *_published(lost))


def _published(lost: Stations) -> tuple[Measure, ...]:
    """What experiments let one expect of the anterior height."""
    if lost[0] <= 0.0:
        return ()
    low, high = (share * lost[0] for share in RESTORED_SHARE)
    method = (
        f"Published, not this model: {100 * RESTORED_SHARE[0]:.0f} % of the lost height came back under 110 N and "
        f"{100 * RESTORED_SHARE[1]:.0f} % without load in cadaver experiments, about half of it by itself once the "
        f"load was gone; {lost[0]:.1f} mm are lost here in front."
    )
    return (Measure("anterior_height_gain_published", 0.5 * (low + high), "mm", low, high, "published", method),)


def angle_measures(vertebra: Vertebra, raised: Lift) -> tuple[Measure, ...]:
    """Wedge angle and local kyphosis before, with full balloons and with empty ones."""
    found = []
    for before in (m for m in vertebra.measures if m.name in ("wedge_angle", "local_kyphosis")):
        found.append(replace(before, name=f"{before.name}_before"))
        for time, gain in (("inflated", raised.inflated_mm), ("deflated", raised.deflated_mm)):
            value, most, least = (before.value - raised.opened_deg(part) for part in gain)
            low, high = min(most, least, value), max(most, least, value)
            method = f"Less the angle by which the endplates of {vertebra.level} part. {_HOW}"
            found.append(Measure(f"{before.name}_{time}", value, "deg", low, high, _BOUNDS, method))
    return tuple(found)
