"""A simulation in a few lines of text."""

from __future__ import annotations

from trocar.measure import Measure, Status
from trocar.reporting.lines import simulation_lines
from trocar.treatment import Simulation


def test_what_a_simulation_holds_for_is_told() -> None:
    law, hinge = "lowest and highest under other laws, PMMA 2100 MPa", "healed to mobile fracture"
    measures = (
        Measure("left_balloon_pressure", 2.07, "MPa", 2.0, 3.8, "laws of bone"),
        Measure("anterior_height_inflated", 16.8, "mm", 16.2, 17.5, hinge),
        Measure("cement_volume", 4.0, "mL"),
        Measure("anterior_height_gain_published", 3.6, "mm", 1.7, 5.4, "published"),
        Measure("stiffness_as_is", 11240.0, "N/mm", 8100.0, 14700.0, law, "Between PMMA caps, glued ends; a law."),
    )
    told = simulation_lines(Simulation(None, Status.SUCCESS, measures=measures))  # type: ignore[arg-type]
    thin = "\N{NARROW NO-BREAK SPACE}"
    assert told == [
        "Left balloon pressure: 2.1 (2.0 to 3.8) MPa, 300 psi",
        "Anterior height inflated: 16.8 (16.2 to 17.5) mm; in brackets: healed to mobile fracture",
        "Cement volume: 4.0 mL",
        f"As scanned: stiffness 11{thin}240 (8{thin}100 to 14{thin}700) N/mm",
        "Load: Between PMMA caps, glued ends; a law.",
        "In brackets: lowest and highest under other published laws of bone, with cement also softer and "
        "stiffer cement, unless said otherwise.",
        "Published by others, not from this model: Anterior height gain: 3.6 (1.7 to 5.4) mm",
    ]
