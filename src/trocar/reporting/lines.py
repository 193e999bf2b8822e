"""A simulation in a few lines of text: what a terminal shows, and a reader takes in before the report."""

from __future__ import annotations

from trocar.measure import Measure
from trocar.planning.instrument import PSI_MPA
from trocar.reporting import cement
from trocar.reporting.answers import answers, scenario_words, told
from trocar.reporting.words import amount, title
from trocar.treatment import Simulation

#: How the name of a number ends that was taken from the literature and stands beside the model's own.
_PUBLISHED = "_published"


def simulation_lines(simulation: Simulation) -> list[str]:
    """One line for each scenario, and one for each measure that is of none; then what they hold for.

    Where cement was made to flow, first its own few lines. The report has the rest.
    """
    if cement.simulated(simulation):
        return [*cement.lines(simulation), *_bone_lines(cement.without_cement(simulation))]
    return _bone_lines(simulation)


def _bone_lines(simulation: Simulation) -> list[str]:
    found = answers(simulation.measures)
    alone = [m for m in simulation.measures if not any(m.name.endswith(f"_{scenario}") for scenario in found.scenarios)]
    lines = [_line(m) for m in alone if not m.name.endswith(_PUBLISHED)]
    for scenario in found.scenarios:
        values = [f"{q.head.lower()} {amount(by[scenario])}" for q, by in found.by.items() if scenario in by]
        lines.append(f"{scenario_words(scenario)}: {', '.join(values)}")
    lines += [f"Load: {told(found).all}"] if found.scenarios and told(found).all else []
    lines += _brackets((*alone, *found.measures))
    published = [_line(m) for m in alone if m.name.endswith(_PUBLISHED)]
    return lines + [f"Published by others, not from this model: {line}" for line in published]


def _brackets(measures: tuple[Measure, ...]) -> list[str]:
    """What intervals mean unless it is said beside them; nothing where no measure has such a one."""
    if not any(_by_law(m) for m in measures):
        return []
    cement = ", with cement also softer and stiffer cement" if any("PMMA" in m.interval for m in measures) else ""
    return [f"In brackets: lowest and highest under other published laws of bone{cement}, unless said otherwise."]


def _by_law(measure: Measure) -> bool:
    """Whether a measure's interval spans published laws of bone."""
    return "laws of bone" in measure.interval or measure.interval.startswith("lowest and highest")


def _line(measure: Measure) -> str:
    """A measure with what its interval means, where that is not the laws of bone; a pressure also in psi."""
    psi = f", {measure.value / PSI_MPA:.0f} psi" if measure.unit == "MPa" else ""
    known = measure.low is not None and measure.interval and not _by_law(measure)
    meaning = f"; in brackets: {measure.interval}" if known and not measure.name.endswith(_PUBLISHED) else ""
    return f"{title(measure.name.removesuffix(_PUBLISHED))}: {amount(measure)}{psi}{meaning}"
