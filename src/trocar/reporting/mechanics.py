"""What a simulation of loaded bone is told as: numbers, figures, what each rests on. Looks are decided elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from trocar.measure import Measure
from trocar.physics.materials import LAWS
from trocar.reporting.answers import (
    FROM_MODULI,
    Answers,
    Question,
    answers,
    grouped_methods,
    scenario_words,
    shared_methods,
    spread_words,
    told,
)
from trocar.reporting.content import Chapter, Table
from trocar.reporting.curves import columns
from trocar.reporting.first_page import concerns
from trocar.reporting.mechanics_pictures import pictures, unfilled
from trocar.reporting.times import KYPHOSIS_IS_POSITIVE, TIME_WORDS, ByTime, by_time, time_of, times_in
from trocar.reporting.words import amount, bounds_words, number, phrase, plain, title
from trocar.treatment import Simulation

_HARD_SPACE = "\N{NO-BREAK SPACE}"


def chapter(simulation: Simulation) -> Chapter:
    """Everything a simulation says about the loaded vertebra; figures on the CT where its images are at hand."""
    found = answers(simulation.measures)
    return Chapter(
        _title(simulation, found),
        _lead(found, simulation),
        tuple(pictures(simulation, found)),
        tuple(t for t in _tables(simulation, found) if t.rows),
        concerns(simulation.findings),
        _headline(found, simulation),
    )


def _title(simulation: Simulation, found: Answers) -> str:
    if found.by:
        return "Bone that carries load"
    return "What the balloon restores" if "cavity" in simulation.volumes else "What it is expected to do"


def _lead(found: Answers, simulation: Simulation) -> str:
    """The few sentences one reads first."""
    said = [_compared(found, s) for s in found.scenarios if s != found.reference] if found.by else []
    said += [_changed(stem, by) for stem, by in by_time(simulation.measures).items()]
    said += [_positive(by_time(simulation.measures)), _unfilled(simulation)]
    caution = (
        "Computed from the CT numbers and laws from the literature, for one vertebra under one load: compare the "
        "scenarios with one another, and do not read them as what this patient can carry."
        if found.by
        else "Computed from the CT numbers and laws from the literature: an estimate, not a promise."
        if any(said)
        else ""
    )
    return " ".join(s for s in (*said, caution) if s)


def _compared(found: Answers, scenario: str) -> str:
    """ "With cement, between PMMA caps: stiffness 119 %, strength at 0.2 % offset 167 % of as scanned."."""
    parts = [
        f"{_IN_SENTENCE[q]} {100.0 * share:.0f} %"
        for q in (Question.STIFFNESS, Question.BY_OFFSET)
        if (share := found.share(q, scenario)) is not None
    ]
    parts += _from_moduli(found, scenario)
    ends = f", {found.ends}" if found.ends else ""
    of = scenario_words(found.reference).lower()
    return f"{scenario_words(scenario)}{ends}: {', '.join(parts)} of {of}." if parts else ""


def _from_moduli(found: Answers, scenario: str) -> list[str]:
    """The strengths that are read from moduli, with a warning where bone is crushed."""
    shares = [100.0 * share for q in FROM_MODULI if (share := found.share(q, scenario)) is not None]
    if not shares:
        return []
    low, high = f"{min(shares):.0f}", f"{max(shares):.0f}"
    span = f"{low} %" if low == high else f"{low} to {high} %"
    return [f"strength read from moduli {span}" + (" (too low for crushed bone)" if found.crushed else "")]


#: How an answer is called within a sentence.
_IN_SENTENCE = {Question.STIFFNESS: "stiffness", Question.BY_OFFSET: "strength at 0.2 % offset"}


def _headline(found: Answers, simulation: Simulation) -> str:
    """The main result in one line, for the first page: the last two scenarios, before and after."""
    if len(found.scenarios) > 1:
        before, after = found.scenarios[-2:]
        parts = [
            f"{words} {number(by[before].value, by[before].unit)} → {amount(_bare(by[after]))}"
            for q, words in _IN_SENTENCE.items()
            if {before, after} <= (by := found.by.get(q, {})).keys()
        ]
        ends = f", {found.ends}" if found.ends else ""
        names = f"{scenario_words(before)} → {scenario_words(after).lower()}"
        return f"{names}{ends}: {', '.join(parts)}." if parts else ""
    changed = (_changed(stem, by) for stem, by in by_time(simulation.measures).items())
    return next((text for text in changed if text), "")


def _changed(stem: str, by: dict[str, Measure]) -> str:
    """From the first to the last time: "Anterior height: 16.8 mm before, 19.1 mm with the balloon empty."."""
    times = times_in({stem: by})
    if len(times) < 2:
        return ""
    first, last = times[0], times[-1]
    return f"{title(stem)}: {amount(_bare(by[first]))} {_when(first)}, {amount(_bare(by[last]))} {_when(last)}."


def _positive(by: ByTime) -> str:
    return KYPHOSIS_IS_POSITIVE if any("kyphosis" in stem for stem in by) else ""


def _unfilled(simulation: Simulation) -> str:
    """Balloons that take nothing, for which there is no curve to draw."""
    names = [plain(name) for name in unfilled(simulation)]
    return f"No curve of pressure for the {' and the '.join(names)}: the filling ends at 0 mL." if names else ""


def _when(time: str) -> str:
    words = TIME_WORDS[time].lower()
    return f"with the {words}" if words.startswith("balloon") else words


def _bare(measure: Measure) -> Measure:
    return replace(measure, low=None, high=None)


# --- tables -------------------------------------------------------------------------------------


def _tables(simulation: Simulation, found: Answers) -> Iterable[Table]:
    rest = [m for m in simulation.measures if m not in found.measures]
    yield _by_scenario(found)
    yield _scenarios(found)
    yield _rests_on(simulation)
    yield _questions(found)
    yield _more_by_scenario(found, rest)
    yield _before_and_after(rest)
    yield _others(rest, found)
    yield _sweep(simulation)


def _by_scenario(found: Answers) -> Table:
    """One row for each scenario, one column for each answer."""
    heads = ["Scenario"]
    for question, by in found.by.items():
        heads.append(f"{question.head}, {next(iter(by.values())).unit}")
        if question is Question.STIFFNESS:
            heads.append(f"of {scenario_words(found.reference).lower()}, %")
    rows = tuple(_row(found, scenario) for scenario in found.scenarios)
    remark = f"In brackets: {told_spread}" if (told_spread := spread_words(found)) else ""
    return Table("Stiffness and strength", tuple(heads), rows, tuple(range(1, len(heads))), remark, _even(len(heads)))


def _even(count: int) -> tuple[float, ...]:
    return (1.2, *(1.0,) * (count - 1))


def _row(found: Answers, scenario: str) -> tuple[str, ...]:
    cells = [scenario_words(scenario)]
    for question, by in found.by.items():
        cells.append(_with_interval(by.get(scenario)))
        if question is Question.STIFFNESS:
            share = found.share(question, scenario)
            cells.append("–" if share is None else f"{100.0 * share:.0f}")
    return tuple(cells)


def _with_interval(measure: Measure | None) -> str:
    if measure is None:
        return "–"
    text = number(measure.value, measure.unit)
    bounds = bounds_words(measure)
    return f"{text} {f'({bounds})'.replace(' ', _HARD_SPACE)}" if bounds else text


def _questions(found: Answers) -> Table:
    """What each number means, and the load and the law it was computed with."""
    how = told(found)
    rows = tuple((q.head, q.meaning, how.question[q] or "–") for q in found.by)
    heads = ("Answer", "What it is", "How it was computed")
    return Table("What the numbers mean", heads, rows, remark=_all(how.all), widths=(0.9, 1.4, 1.8))


def _scenarios(found: Answers) -> Table:
    """What each scenario is, where the methods say it."""
    rows = tuple((scenario_words(s), text) for s, text in told(found).scenario.items() if text)
    return Table("The scenarios", ("Scenario", "What it is"), rows)


#: Measures of what the density rests on, in their table.
_BASIS = ("trabecular_density",)


def _rests_on(simulation: Simulation) -> Table:
    """The law of bone with its source, and the calibration of this scan."""
    law = LAWS.get(getattr(simulation.plan.procedure, "bone_law", ""))
    rows = [("Law of bone", law.name, law.source)] if law else []
    rows += [(title(m.name), amount(m), phrase(m.method)) for m in _basis(simulation.measures)]
    return Table("What it rests on", ("", "Value", "Source"), tuple(rows), widths=(1.0, 1.0, 3.4))


def _basis(measures: Iterable[Measure]) -> list[Measure]:
    return [m for m in measures if m.name in _BASIS]


def _all(sentences: str) -> str:
    return f"For all of them: {sentences}" if sentences else ""


def _before_and_after(rest: list[Measure]) -> Table:
    by = by_time(rest)
    times = times_in(by)
    how, all_of_them = shared_methods([list(found.values()) for found in by.values()])
    rows = tuple(
        (title(stem), *(_with_unit(found.get(t)) for t in times), text or "–")
        for (stem, found), text in zip(by.items(), how, strict=True)
    )
    heads = ("Measure", *(TIME_WORDS[t] for t in times), "How it was computed")
    kinds = dict.fromkeys(m.interval for found in by.values() for m in found.values() if m.interval)
    brackets = f"In brackets: {'; '.join(kinds)}." if kinds else ""
    remark = " ".join(s for s in (brackets, _positive(by), _all(all_of_them)) if s)
    numeric = tuple(range(1, len(times) + 1))
    return Table("Before and after", heads, rows, numeric, remark, (0.8, *(0.9,) * len(times), 1.8))


def _with_unit(measure: Measure | None) -> str:
    if measure is None:
        return "–"
    value, _, interval = amount(measure).partition(" (")
    interval, _, unit = interval.partition(")")
    return (
        f"{value}{unit} ({interval})".replace(" ", _HARD_SPACE).replace(f"{_HARD_SPACE}(", " (")
        if interval
        else amount(measure)
    )


def _scenario_of(measure: Measure, found: Answers) -> tuple[str, str] | None:
    """Name and scenario of a further measure of a scenario, e.g. ``load_share_shell_as_is``."""
    for scenario in sorted(found.scenarios, key=len, reverse=True):
        if measure.name.endswith(f"_{scenario}"):
            return measure.name.removesuffix(f"_{scenario}"), scenario
    return None


def _more_by_scenario(found: Answers, rest: list[Measure]) -> Table:
    """One row for each further measure, one column for each scenario."""
    by: dict[str, dict[str, Measure]] = {}
    for measure in rest:
        if (named := _scenario_of(measure, found)) is not None:
            by.setdefault(named[0], {})[named[1]] = measure
    said = told(found)
    known = (said.all, *said.scenario.values())
    how, shared = grouped_methods({title(name): list(each.values()) for name, each in by.items()}, known)
    rows = tuple(
        (title(name), *(_with_unit(each.get(s)) for s in found.scenarios), text or "see below")
        for (name, each), text in zip(by.items(), how, strict=True)
    )
    heads = ("Measure", *(scenario_words(s) for s in found.scenarios), "How it was computed")
    numeric = tuple(range(1, len(found.scenarios) + 1))
    widths = (1.1, *(0.9,) * len(found.scenarios), 1.6)
    return Table("Also by scenario", heads, rows, numeric, f"{shared} {_AS_ABOVE}".strip(), widths)


#: What the rows of a further table share with those of the first.
_AS_ABOVE = "Where no other load is named: load, ends and law as above."


def _others(rest: list[Measure], found: Answers) -> Table:
    left = [m for m in rest if time_of(m) is None and _scenario_of(m, found) is None]
    rows = tuple((title(m.name), amount(m), phrase(m.method)) for m in left if m.name not in _BASIS)
    return Table("Also computed", ("Measure", "Value", "How it was computed"), rows, (1,))


def _sweep(simulation: Simulation) -> Table:
    if not simulation.series.get("sweep"):
        return Table("", ("",), ())
    found = columns(simulation.series["sweep"])
    rows = tuple(zip(*(c.cells() for c in found), strict=True))
    numeric = tuple(n for n, c in enumerate(found) if c.is_number)
    widths = tuple(1.0 if c.is_number else 1.6 for c in found)
    return Table("Every filling", tuple(c.head for c in found), rows, numeric, widths=widths)
