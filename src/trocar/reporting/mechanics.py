"""What a simulation of loaded bone is told as: numbers, figures, what each rests on. Looks are decided elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from trocar.measure import Measure
from trocar.reporting import fields
from trocar.reporting.answers import Answers, Question, answers, question_of, scenario_words
from trocar.reporting.bars import bars_picture
from trocar.reporting.content import Chapter, Table
from trocar.reporting.curves import columns, section_picture, sweep_picture
from trocar.reporting.figures import Picture
from trocar.reporting.first_page import concerns
from trocar.reporting.words import amount, number, title
from trocar.treatment import Simulation
from trocar.volume import Volume

#: At most this many scenarios are compared in pictures: the first, and the last ones.
MOST_PICTURED = 3
#: Fields drawn on planes, the first that there is, and on the surface likewise.
_ON_PLANES = ("effective_strain", "strain_energy")
_ON_SURFACE = ("strain_energy", "effective_strain")
_LABELS = {"effective_strain": "effective strain", "strain_energy": "strain energy density"}


def chapter(simulation: Simulation) -> Chapter:
    """Everything a simulation says about the loaded vertebra; figures on the CT where its images are at hand."""
    found = answers(simulation.measures)
    return Chapter(
        "Bone that carries load" if found.by else "What it is expected to do",
        _lead(found, simulation),
        tuple(pictures(simulation, found)),
        tuple(t for t in _tables(simulation, found) if t.rows),
        concerns(simulation.findings),
    )


def _lead(found: Answers, simulation: Simulation) -> str:
    """The few sentences one reads first."""
    told = [_compared(found, s) for s in found.scenarios if s != found.reference] if found.by else []
    caution = (
        "Computed from the CT numbers and laws from the literature, for one vertebra under one load: compare the "
        "scenarios with one another, and do not read them as what this patient can carry."
        if found.by
        else ""
    )
    return " ".join(s for s in (*told, caution) if s)


def _compared(found: Answers, scenario: str) -> str:
    parts = [
        f"{word} {100.0 * share:.0f} %"
        for question, word in ((Question.STIFFNESS, "stiffness"), (_a_strength(found), "strength"))
        if question is not None and (share := found.share(question, scenario)) is not None
    ]
    return (
        f"{scenario_words(scenario)}: {', '.join(parts)} of {scenario_words(found.reference).lower()}." if parts else ""
    )


def _a_strength(found: Answers) -> Question | None:
    """The strength that is told in one word: with yielding bone where it was computed."""
    wanted = (Question.BY_OFFSET, Question.BY_STIFFNESS, Question.BY_SECTION)
    return next((q for q in wanted if q in found.by), None)


# --- tables -------------------------------------------------------------------------------------


def _tables(simulation: Simulation, found: Answers) -> Iterable[Table]:
    rest = [m for m in simulation.measures if question_of(m) is None]
    yield _by_scenario(found, rest)
    yield _questions(found)
    yield _before_and_after(rest)
    yield _others(rest, found)
    yield _sweep(simulation)


def _tilts(measures: Iterable[Measure]) -> dict[str, Measure]:
    return {m.name.removeprefix("tilt_"): m for m in measures if m.name.startswith("tilt_")}


def _by_scenario(found: Answers, rest: list[Measure]) -> Table:
    """One row for each scenario, one column for each answer."""
    tilts = _tilts(rest)
    heads = ["Scenario"]
    for question, by in found.by.items():
        heads.append(f"{question.head}, {next(iter(by.values())).unit}")
        if question is Question.STIFFNESS:
            heads.append(f"of {scenario_words(found.reference).lower()}, %")
    heads += ["Tilt, °"] if tilts else []
    rows = tuple(_row(found, scenario, tilts) for scenario in found.scenarios)
    remark = f"In brackets: {_spread(found)}." if _spread(found) else ""
    return Table("Stiffness and strength", tuple(heads), rows, tuple(range(1, len(heads))), remark, _even(len(heads)))


def _spread(found: Answers) -> str:
    """What the intervals of the answers mean."""
    return "; ".join(dict.fromkeys(m.interval for by in found.by.values() for m in by.values() if m.interval))


def _even(count: int) -> tuple[float, ...]:
    return (1.2, *(1.0,) * (count - 1))


def _row(found: Answers, scenario: str, tilts: dict[str, Measure]) -> tuple[str, ...]:
    cells = [scenario_words(scenario)]
    for question, by in found.by.items():
        cells.append(_with_interval(by.get(scenario)))
        if question is Question.STIFFNESS:
            share = found.share(question, scenario)
            cells.append("–" if share is None else f"{100.0 * share:.0f}")
    if tilts:
        cells.append(_with_interval(tilts.get(scenario)))
    return tuple(cells)


def _with_interval(measure: Measure | None) -> str:
    if measure is None:
        return "–"
    text = number(measure.value, measure.unit)
    if measure.low is not None and measure.high is not None:
        interval = f"({number(measure.low, measure.unit)} to {number(measure.high, measure.unit)})"
        text += " " + interval.replace(" ", "\N{NO-BREAK SPACE}")
    return text


def _questions(found: Answers) -> Table:
    """What each number means, and the load and the law it was computed with."""
    rows = tuple((q.head, q.meaning, _methods(by.values())) for q, by in found.by.items())
    return Table("What the numbers mean", ("Answer", "What it is", "How it was computed"), rows, widths=(0.9, 1.4, 1.8))


def _methods(measures: Iterable[Measure]) -> str:
    return " ".join(dict.fromkeys(f"{m.method.rstrip('.')}." for m in measures if m.method))


#: How the names of one measure at several times end, in the order of the columns.
_TIMES = ("before", "inflated", "deflated", "after")


def _time_of(measure: Measure) -> tuple[str, str] | None:
    """Name and time of a measure that was taken more than once, e.g. ``anterior_height_before``."""
    stem, _, time = measure.name.rpartition("_")
    return (stem, time) if stem and time in _TIMES else None


def _before_and_after(rest: list[Measure]) -> Table:
    by: dict[str, dict[str, Measure]] = {}
    for measure in rest:
        if (named := _time_of(measure)) is not None:
            by.setdefault(named[0], {})[named[1]] = measure
    times = tuple(t for t in _TIMES if any(t in found for found in by.values()))
    rows = tuple(
        (title(stem), *(amount(found[t]) if t in found else "–" for t in times), _methods(found.values()))
        for stem, found in by.items()
    )
    heads = ("Measure", *(t.capitalize() for t in times), "How it was computed")
    numeric = tuple(range(1, len(times) + 1))
    return Table("Before and after", heads, rows, numeric, widths=(1.0, *(0.9,) * len(times), 1.8))


def _others(rest: list[Measure], found: Answers) -> Table:
    told = set(_tilts(rest)) & set(found.scenarios)
    left = [m for m in rest if _time_of(m) is None and m.name.removeprefix("tilt_") not in told]
    rows = tuple((title(m.name), amount(m), m.method) for m in left)
    return Table("Also computed", ("Measure", "Value", "How it was computed"), rows, (1,))


def _sweep(simulation: Simulation) -> Table:
    if not simulation.series.get("sweep"):
        return Table("", ("",), ())
    found = columns(simulation.series["sweep"])
    rows = tuple(zip(*(c.cells() for c in found), strict=True))
    numeric = tuple(n for n, c in enumerate(found) if c.is_number)
    return Table("Every filling", tuple(c.head for c in found), rows, numeric, widths=(1.0,) * len(found))


# --- pictures -----------------------------------------------------------------------------------


def pictures(simulation: Simulation, found: Answers) -> Iterable[Picture]:
    """Bars, fields on planes and on the surface, curves: as far as the simulation has them."""
    if found.by:
        yield _bars(found)
    if simulation.plan.images is not None:
        yield from _planes(simulation)
        yield from _surface(simulation)
    if simulation.series.get("section"):
        yield Picture(
            "axial_rigidity",
            "Axial rigidity along the height",
            "Modulus times area, summed over each cross-section of the body; dot: the weakest. No finite elements are "
            "in it.",
            "Axial rigidity of each cross-section of the vertebral body from its lower to its upper end, by scenario.",
            section_picture(simulation.series["section"]),
            wide=True,
        )
    if simulation.series.get("sweep"):
        yield Picture(
            "sweep",
            "Stiffness and strength against the fill",
            "Each point is one computed filling. The table below has every number.",
            "Stiffness and strength against the share of the body that is filled, by the cement's place.",
            sweep_picture(simulation.series["sweep"]),
            wide=True,
        )


def _bars(found: Answers) -> Picture:
    told = "; ".join(
        f"{scenario_words(s)} {question.head.lower()} {amount(by[s])}" for question, by in found.by.items() for s in by
    )
    spread = f" Whiskers: {_spread(found)}." if _spread(found) else ""
    return Picture(
        "stiffness_and_strength",
        "Stiffness and strength by scenario",
        f"{_basis(found)}{spread}",
        f"Bars by scenario. {told}.",
        bars_picture(found),
        wide=True,
    )


def _basis(found: Answers) -> str:
    """The load and the law the bars rest on: the first answer's own sentence."""
    return _methods([next(iter(next(iter(found.by.values())).values()))])


def _fields(simulation: Simulation, names: tuple[str, ...]) -> tuple[str, dict[str, Volume]]:
    """The first kind of field among ``names`` that there is, by scenario, thinned to :data:`MOST_PICTURED`."""
    for name in names:
        by = {key.removeprefix(f"{name}_"): v for key, v in simulation.volumes.items() if key.startswith(f"{name}_")}
        if by:
            order = list(by)
            kept = order if len(order) <= MOST_PICTURED else [order[0], *order[1 - MOST_PICTURED :]]
            return name, {s: by[s] for s in kept}
    return "", {}


_OUTLINES = {"cement": fields.CEMENT, "cavity": fields.CAVITY}


def _planes(simulation: Simulation) -> Iterable[Picture]:
    kind, by = _fields(simulation, _ON_PLANES)
    if not by:
        return
    plan = simulation.plan
    outlines = [(stroke, simulation.volumes[n]) for n, stroke in _OUTLINES.items() if n in simulation.volumes]
    region = outlines[0][1] if outlines else None
    views = fields.planes(plan.anatomy.vertebra(plan.procedure.level), region)
    scale = fields.scale_of(by.values(), _LABELS[kind])
    for scenario, field in by.items():
        words = scenario_words(scenario)
        yield Picture(
            f"{kind}_{scenario}_planes",
            f"{words}: {_LABELS[kind]}",
            _told(kind, simulation),
            f"{words}: {_LABELS[kind]} in colour over the CT, in the mid-sagittal, a coronal and an axial plane of the "
            "vertebra. In the coronal and axial image the patient's left is on the image's right; in the sagittal "
            f"image the front is on the left. Colours from 0 to {scale.high:g} ({scale.label}).",
            fields.planes_picture(plan, field, scale, views, outlines),
            wide=True,
        )


#: What a field shows, in one sentence.
_SHOWN = {
    "effective_strain": "Effective strain: the strain that would store the same energy under plain compression.",
    "strain_energy": "Strain energy density: where the work of the load is stored.",
}


def _told(kind: str, simulation: Simulation) -> str:
    load = str(simulation.series.get("load", ""))
    return " ".join(
        s
        for s in (_SHOWN[kind], load, "One scale of colours for all scenarios; planes of the vertebra's own frame.")
        if s
    )


def _surface(simulation: Simulation) -> Iterable[Picture]:
    kind, by = _fields(simulation, _ON_SURFACE)
    if not by:
        return
    shown = {s: by[s] for s in dict.fromkeys((next(iter(by)), list(by)[-1]))}
    scale = fields.scale_of(shown.values(), _LABELS[kind])
    named = [(scenario_words(s), field) for s, field in shown.items()]
    words = " and ".join(name.lower() for name, _ in named)
    yield Picture(
        f"{kind}_surface",
        f"{_LABELS[kind].capitalize()} under the surface: {words}",
        f"{_SHOWN[kind]} The value of the bone just under the surface, which is smoothed for display; grey: not in the "
        "model. Seen from the front, so that the patient's left is on the image's right.",
        f"Surface of the vertebra from the front and both sides, coloured by {_LABELS[kind]}, {words}.",
        fields.surface_picture(simulation.plan, named, scale),
        wide=True,
    )
