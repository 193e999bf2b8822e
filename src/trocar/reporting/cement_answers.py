"""What a simulation says of its cement, read from the names of its measures and series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trocar.injection.routes import Route
from trocar.measure import Finding, Measure, Topic
from trocar.reporting.words import plain
from trocar.treatment import Simulation

#: All routes together.
ANY = "any"
#: Anterior and lateral together, as series count them.
BESIDE = "paravertebral"
#: How the names of measures begin that are told of the cement; all others are told of the loaded bone.
_OF_CEMENT = (
    "cement_",
    "fill_share",
    "heating_",
    "injection_",
    "leak_",
    "tip_pressure",
    "working_window_",
)
_PROBABILITY, _RATE, _PUBLISHED = "leak_probability_", "leak_rate_", "_published"
#: What else is told of a route: how the names of its measures begin.
_ALSO = {"volume": "leak_volume_", "onset": "leak_onset_volume_", "stop": "leak_stop_volume_"}
#: Series that are of the cement alone.
SERIES = ("injection", "leaks", "ways_out", "leak_risk", "leak_changes", "published", "heating", "viscosity")
#: Where a route's cement lies, for the end of "leaks ...".
_PLACES = {Route.EPIDURAL: "into the canal", Route.FORAMINAL: "into a foramen", Route.DISC: "into a disc",
           Route.ANTERIOR: "in front of the body", Route.LATERAL: "beside the body", Route.VENOUS: "into veins",
           Route.TRACT: "along the needle", Route.ARTERIAL: "into an artery"}  # fmt: skip


@dataclass(frozen=True)
class Leak:
    """One route, or :data:`ANY`: how often it leaks in the model and as published, and where it leaks: how much, from
    which injected volume on, and where to stop.
    """

    route: str
    probability: Measure | None
    published: Measure | None = None
    volume: Measure | None = None
    onset: Measure | None = None
    stop: Measure | None = None

    @property
    def measures(self) -> tuple[Measure, ...]:
        """All that is known of it."""
        each = (self.probability, self.published, self.volume, self.onset, self.stop)
        return tuple(m for m in each if m is not None)

    @property
    def is_part(self) -> bool:
        """Whether it is counted within :data:`BESIDE`."""
        return route_of(self.route) in (Route.ANTERIOR, Route.LATERAL)

    @property
    def percent(self) -> float:
        """The probability in percent; -1 where the model has none."""
        return -1.0 if self.probability is None else in_percent(self.probability).value


def simulated(simulation: Simulation) -> bool:
    """Whether cement was made to flow; otherwise it is a shape that was put there."""
    leaks = any(m.name.startswith(_PROBABILITY) for m in simulation.measures)
    return leaks or "cement_arrival" in simulation.volumes or bool(simulation.series.get("injection"))


def of_cement(measure: Measure) -> bool:
    """Whether a measure of a simulated injection is told in the cement's chapter."""
    return measure.name.startswith(_OF_CEMENT) and measure.name != "cement_loaded"


def about_cement(finding: Finding) -> bool:
    """Whether a finding of a simulated injection is told in the cement's chapter."""
    return finding.topic is Topic.CEMENT


def without_cement(simulation: Simulation) -> Simulation:
    """What is left for the chapter of the loaded bone."""
    return replace(
        simulation,
        measures=tuple(m for m in simulation.measures if not of_cement(m)),
        findings=tuple(f for f in simulation.findings if not about_cement(f)),
        series={name: s for name, s in simulation.series.items() if name not in SERIES},
    )


def named(simulation: Simulation) -> dict[str, Measure]:
    """The measures of the cement by name."""
    return {m.name: m for m in simulation.measures if of_cement(m)}


def leaks(measures: Iterable[Measure]) -> tuple[Leak, ...]:
    """Every route, all together first, then the likeliest; last what only others published.

    Anterior and lateral follow what they are together.
    """
    found = {m.name: m for m in measures}
    model = {n.removeprefix(_PROBABILITY): m for n, m in found.items() if n.startswith(_PROBABILITY)}
    others = {
        n.removeprefix(_RATE).removesuffix(_PUBLISHED): m
        for n, m in found.items()
        if n.startswith(_RATE) and n.endswith(_PUBLISHED)
    }
    each = [
        Leak(r, model.get(r), others.get(r), **{field: found.get(f"{start}{r}") for field, start in _ALSO.items()})
        for r in dict.fromkeys((*model, *others))
    ]
    whole = next((leak.percent for leak in each if leak.route == BESIDE and leak.probability), None)

    def place(leak: Leak) -> tuple[bool, float, bool, bool, float]:
        part = whole is not None and leak.is_part
        likely = whole if part and whole is not None else leak.percent
        return leak.route != ANY, -likely, not (part or leak.route == BESIDE), part, -leak.percent

    return tuple(sorted(each, key=place))


def likeliest(found: Iterable[Leak], most: int = 2) -> tuple[Leak, ...]:
    """The routes that leak most often in the model, at most so many; none that never leaks, and no sum of routes."""
    return tuple(leak for leak in found if leak.route not in (ANY, BESIDE) and leak.percent > 0.0)[:most]


def route_of(name: str) -> Route | None:
    """The route of that name, as measures and series write it."""
    wanted = name.replace("_", " ").lower()
    return next((r for r in Route if wanted in (r.value, r.name.lower())), None)


def route_words(name: str) -> str:
    """A route for people: "anterior paravertebral", "any leak"."""
    route = route_of(name)
    return "any leak" if name == ANY else route.value if route else plain(name)


def row_words(leak: Leak, found: Iterable[Leak]) -> str:
    """The same at the head of a row: "of these, anterior" under what anterior and lateral are together."""
    if leak.is_part and any(other.route == BESIDE and other.probability for other in found):
        return f"of these, {route_words(leak.route).split()[0]}"
    return route_words(leak.route)


def place_words(name: str) -> str:
    """Where a route's cement goes: "into the canal"."""
    route = route_of(name)
    return _PLACES[route] if route else plain(name)


def in_percent(measure: Measure) -> Measure:
    """A share of one as percent; percent as they are."""
    if measure.unit != "1":
        return measure
    low, high = (None if v is None else 100.0 * v for v in (measure.low, measure.high))
    return replace(measure, value=100.0 * measure.value, unit="%", low=low, high=high)


def percent_words(measure: Measure) -> str:
    """A probability as an ensemble of some hundred draws knows it: "19 % (12 to 28)"."""
    shown = in_percent(measure)
    text = f"{whole(shown.value)} %"
    if shown.low is not None and shown.high is not None:
        text += f" ({whole(shown.low)} to {whole(shown.high)})"
    return text


def whole(percent: float) -> str:
    """Percent without decimals; one where less than one is left."""
    return f"{percent:.1f}" if 0.05 <= percent < 0.95 else f"{percent:.0f}"


def injected_ml(simulation: Simulation) -> float | None:
    """What goes in, mL: the end of the injection, or of the map of arrival."""
    injection = simulation.series.get("injection") or {}
    if len(injection.get("injected_ml", ())):
        return float(injection["injected_ml"][-1])
    if "cement_arrival" in simulation.volumes:
        return float(simulation.volumes["cement_arrival"].array.max())
    return None


def planned_ml(simulation: Simulation) -> float | None:
    """What should go in, mL; never what did."""
    planned = named(simulation).get("cement_planned")
    return None if planned is None else planned.value


def limit_percent(name: str) -> float | None:
    """The probability of a leak by a route at which to stop, %; None for what is no single route."""
    from trocar.injection.risk import STOP_AT

    route = route_of(name)
    return None if route is None else 100.0 * STOP_AT[route]


def stop_at_ml(series: dict[str, Any], name: str) -> float | None:
    """The injected volume at which a route's risk reaches its limit, mL, rounded down; None where it does not."""
    from trocar.injection.risk import passed_ml, rounded_down_ml

    limit = limit_percent(name)
    at = None if limit is None else passed_ml(series["volume_ml"], series[name], limit / 100.0)
    return None if at is None else rounded_down_ml(at)


def limits(series: Mapping[str, Any]) -> dict[float, tuple[str, ...]]:
    """The limits of the routes in a series of risks, %, and which routes have each; only of what ever leaked."""
    found: dict[float, tuple[str, ...]] = {}
    for name in series:
        limit = limit_percent(name)
        if limit is not None and any(series[name]):
            found[limit] = (*found.get(limit, ()), name)
    return dict(sorted(found.items()))


def seconds(measure: Measure) -> float:
    """A time in seconds."""
    return measure.value * (60.0 if measure.unit == "min" else 1.0)


def duration(seconds: float) -> str:
    """Seconds for people: "45 s", "2 min", "2 min 5 s"."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
