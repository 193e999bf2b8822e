"""Which figures a simulation of loaded bone gets, in which order, and what is said under them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trocar.mechanics.answers import TOLD_N
from trocar.planning.instrument import PSI_MPA
from trocar.reporting import fields
from trocar.reporting.answers import Answers, answers, methods, scenario_words, spread_words, told
from trocar.reporting.bars import bars_picture
from trocar.reporting.curves import pressure_picture, section_picture, sweep_picture
from trocar.reporting.figures import Picture
from trocar.reporting.palette import Stroke
from trocar.reporting.times import KYPHOSIS_IS_POSITIVE, ByTime, by_time, times_picture
from trocar.reporting.words import amount, plain, title
from trocar.treatment import Simulation
from trocar.volume import Volume

#: At most this many scenarios are compared in pictures: the first, and the last ones.
MOST_PICTURED = 3
#: Fields drawn on planes, the first that there is, and on the surface likewise.
_ON_PLANES = ("effective_strain", "strain_energy")
_ON_SURFACE = ("strain_energy", "effective_strain")
_LABELS = {"effective_strain": "effective strain", "strain_energy": "strain energy density"}


def pictures(simulation: Simulation, found: Answers) -> Iterable[Picture]:
    """Bars, fields on planes and on the surface, curves: as far as the simulation has them."""
    if found.by:
        yield _bars(found)
    if by := by_time(simulation.measures):
        yield _times(by)
    if simulation.plan.images is not None:
        yield from _planes(simulation)
        yield from _surface(simulation)
    if fillings := _fillings(simulation):
        yield _pressure(fillings, simulation)
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
        yield _sweep(simulation, found)


def _sweep(simulation: Simulation, found: Answers) -> Picture:
    how = _basis(found) if found.by else ""
    return Picture(
        "sweep",
        "Stiffness and strength against the fill",
        "Each point is one computed filling: the simulated cement of a way in, as it fills up. The table below has "
        "every number. More cement is not better: it leaks more often and loads the neighbours."
        f"{_crushed(found)} {how}".strip(),
        "Stiffness and strength against the share of the body that is filled, by the cement's place.",
        sweep_picture(simulation.series["sweep"]),
        wide=True,
    )


def _crushed(found: Answers) -> str:
    """The warning that goes with strengths of crushed bone."""
    return " Strengths read from stiffness or section are too low for crushed bone." if found.crushed else ""


def _pressure(fillings: dict[str, dict[str, Any]], simulation: Simulation) -> Picture:
    limit = getattr(simulation.plan.procedure, "balloon_pressure_limit_mpa", None)
    ends = {name: m for name in fillings for m in simulation.measures if m.name == f"{name}_pressure"}
    line = (
        "" if limit is None else f" Dashed: the pressure at which to stop, {limit:.2f} MPa ({limit / PSI_MPA:.0f} psi)."
    )
    bar = " Bar: the range there by the laws of bone." if any(m.low is not None for m in ends.values()) else ""
    return Picture(
        "balloon_pressure",
        "Pressure in the balloon against its filling",
        f"By the density of the bone that is crushed at each filling; dot: where the filling ends.{bar}{line}",
        f"Pressure against volume for {', '.join(plain(name) for name in fillings)}.",
        pressure_picture(fillings, limit, ends),
        wide=True,
    )


def _fillings(simulation: Simulation) -> dict[str, dict[str, Any]]:
    """The series that are a pressure against a volume and have something to draw."""
    return {name: series for name, series in _balloons(simulation).items() if _takes(series)}


def unfilled(simulation: Simulation) -> tuple[str, ...]:
    """The balloons that take nothing."""
    return tuple(name for name, series in _balloons(simulation).items() if not _takes(series))


def _takes(series: dict[str, Any]) -> bool:
    return len(series["volume_ml"]) > 0 and max(series["volume_ml"]) > 0.0


def _balloons(simulation: Simulation) -> dict[str, dict[str, Any]]:
    return {
        name: series
        for name, series in simulation.series.items()
        if isinstance(series, dict) and {"volume_ml", "pressure_mpa"} <= series.keys()
    }


def _bars(found: Answers) -> Picture:
    values = "; ".join(
        f"{scenario_words(s)} {question.head.lower()} {amount(by[s])}" for question, by in found.by.items() for s in by
    )
    whiskers = f" The value stands at its bar's end. Whiskers: {words}" if (words := spread_words(found)) else ""
    return Picture(
        "stiffness_and_strength",
        "Stiffness and strength by scenario",
        f"{_basis(found)}{_crushed(found)}{whiskers}",
        f"Bars by scenario. {values}.",
        bars_picture(found),
        wide=True,
    )


def _times(by: ByTime) -> Picture:
    kinds = dict.fromkeys(m.interval for found in by.values() for m in found.values() if m.interval)
    values = "; ".join(f"{title(n)} {t} {amount(m)}" for n, found in by.items() for t, m in found.items())
    lines = f"Lines: {'; '.join(kinds)}." if kinds else ""
    if any("kyphosis" in name for name in by):
        lines = f"{lines} {KYPHOSIS_IS_POSITIVE}".strip()
    return Picture("before_and_after", "Before and after", lines, f"{values}.", times_picture(by), wide=True)


def _basis(found: Answers) -> str:
    """The load and the law that all the bars rest on."""
    return told(found).all or methods(found.measures[:1])


def _fields(simulation: Simulation, names: tuple[str, ...]) -> tuple[str, dict[str, Volume]]:
    """The first kind of field among ``names`` that there is, by scenario, thinned to :data:`MOST_PICTURED`."""
    for name in names:
        by = {key.removeprefix(f"{name}_"): v for key, v in simulation.volumes.items() if key.startswith(f"{name}_")}
        if by:
            order = list(by)
            kept = order if len(order) <= MOST_PICTURED else [order[0], *order[1 - MOST_PICTURED :]]
            return name, {s: by[s] for s in kept}
    return "", {}


#: Regions that are outlined.
_OUTLINES = {"cement": fields.CEMENT, "cavity": fields.CAVITY, "crushed_bone": fields.CRUSHED}


def _planes(simulation: Simulation) -> Iterable[Picture]:
    kind, by = _fields(simulation, _ON_PLANES)
    if not by:
        return
    plan = simulation.plan
    loaded = answers(simulation.measures).scenarios
    # a full balloon strains the bone far more than a load: on its scale the load would not be seen
    scales = {
        under: fields.scale_of(among, _LABELS[kind])
        for under in (True, False)
        if (among := [f for s, f in by.items() if (s in loaded) is under])
    }
    for scenario, field in by.items():
        scale = scales[scenario in loaded]
        words = scenario_words(scenario)
        names = _outlined(scenario in loaded, simulation)
        regions = [(_OUTLINES[n], simulation.volumes[n]) for n in names]
        views = fields.planes(plan.anatomy.vertebra(plan.procedure.level), *regions[:1])
        yield Picture(
            f"{kind}_{scenario}_planes",
            f"{words}: {_LABELS[kind]}",
            _told(kind, scenario, simulation),
            f"{words}: {_LABELS[kind]} in colour over the CT, in the mid-sagittal, a coronal and an axial plane of the "
            "vertebra. In the coronal and axial image the patient's left is on the image's right; in the sagittal "
            f"image the front is on the left. Colours from 0 to {scale.high:g} ({scale.label}).",
            fields.planes_picture(plan, field, scale, views, [(_in(scenario, s), v) for s, v in regions]),
            wide=True,
        )


def _outlined(loaded: bool, simulation: Simulation) -> list[str]:
    """What is outlined, planes through the first: the cement under load, cavity and crushed bone about a balloon."""
    names = [n for n in _OUTLINES if n in simulation.volumes]
    if {"cement", "cavity"} <= set(names):
        names = ["cement"] if loaded else [n for n in names if n != "cement"]
    return names


def _in(scenario: str, outline: Stroke) -> Stroke:
    """Cement is drawn where it would lie, and named so, in a scenario without it."""
    planned = outline is fields.CEMENT and scenario in ("intact", "as_is", "fractured", "lysed", "ablated")
    return fields.PLANNED_CEMENT if planned else outline


#: What a field shows, in one sentence.
_SHOWN = {
    "effective_strain": "Effective strain: the strain that would store the same energy under plain compression.",
    "strain_energy": "Strain energy density: where the work of the load is stored.",
}


def _told(kind: str, scenario: str, simulation: Simulation) -> str:
    loaded = scenario in answers(simulation.measures).scenarios
    load = f"Under {TOLD_N:g} N along the vertebra's axis." if loaded else ""
    load = "With the balloon full." if scenario == "inflated" else load
    scale = "One scale of colours for all loaded scenarios" if loaded else "A scale of colours of its own"
    frame = f"{scale}; planes of the vertebra's own frame."
    return " ".join(s for s in (_SHOWN[kind], load, frame) if s)


def _surface(simulation: Simulation) -> Iterable[Picture]:
    kind, by = _fields(simulation, _ON_SURFACE)
    if not by:
        return
    shown = {s: by[s] for s in dict.fromkeys((next(iter(by)), list(by)[-1]))}
    named = [(scenario_words(s), field) for s, field in shown.items()]
    words = " and ".join(name.lower() for name, _ in named)
    yield Picture(
        f"{kind}_surface",
        f"{_LABELS[kind].capitalize()} under the surface: {words}",
        f"{_SHOWN[kind]} The value of the bone just under the surface, which is smoothed for display; grey: not in the "
        "model. Seen from the front, so that the patient's left is on the image's right.",
        f"Surface of the vertebra from the front and both sides, coloured by {_LABELS[kind]}, {words}.",
        fields.surface_picture(simulation.plan, named, _LABELS[kind]),
        wide=True,
    )
