"""What a simulated injection is told as: where the cement goes, when it sets, where it leaks."""

from __future__ import annotations

from collections.abc import Mapping

from trocar.measure import Measure
from trocar.reporting.cement_answers import (
    ANY,
    Leak,
    about_cement,
    duration,
    in_percent,
    injected_ml,
    leaks,
    likeliest,
    limit_percent,
    named,
    percent_words,
    place_words,
    planned_ml,
    route_words,
    row_words,
    seconds,
    simulated,
    stop_at_ml,
    whole,
    without_cement,
)
from trocar.reporting.cement_pictures import pictures
from trocar.reporting.cement_tables import kilopascals, off_centre, tables
from trocar.reporting.content import Chapter
from trocar.reporting.first_page import concerns
from trocar.reporting.words import amount, number, sentence
from trocar.treatment import Simulation

__all__ = ["chapter", "lines", "simulated", "without_cement"]

TITLE = "Where the cement goes"
#: Less than this that did not go in is rounding, mL.
LEAST_MISSING_ML = 0.05
#: What every number of the chapter rests on.
CAUTION = (
    "Computed from the CT numbers and from published properties of bone, marrow and cement. A probability is the share "
    "of computed injections in which that happens while bone, ways out, cement and tip vary within their spreads. "
    "It is not a rate among patients: use it to compare one plan with another."
)


def chapter(simulation: Simulation) -> Chapter:
    """Everything a simulation says about its cement; figures on the CT where its images are at hand."""
    return Chapter(
        TITLE,
        _lead(simulation),
        tuple(pictures(simulation)),
        tuple(tables(simulation)),
        concerns(tuple(f for f in simulation.findings if about_cement(f))),
        _headline(simulation),
    )


def lines(simulation: Simulation) -> list[str]:
    """The chapter in a few lines for a terminal."""
    found = named(simulation)
    told = [_sentence(s) for s in (_filled(found), _window(found), _pushed(found)) if s]
    every = leaks(found.values())
    told += [f"{sentence(row_words(leak, every))}: {_leak_line(leak)}" for leak in every]
    told += [s for s in (_sentence(_hottest(found)),) if s]
    return [*told, "A leak's probability is a share of computed injections, not a rate among patients."]


def _leak_line(leak: Leak) -> str:
    model = percent_words(leak.probability) if leak.probability else "not computed"
    return f"{model}{f', published {percent_words(leak.published)}' if leak.published else ''}"


def _headline(simulation: Simulation) -> str:
    """The likely spread, the two likeliest leaks, the working window: one line for the first page."""
    found = named(simulation)
    parts = (_spread(found), _likely(found), _window(found))
    return _sentence("; ".join(p for p in parts if p))


def _spread(found: Mapping[str, Measure]) -> str:
    parts = [f"{number(found['cement_volume'].value)} mL"] if "cement_volume" in found else ["the cement"]
    if "fill_share" in found:
        parts.append(f"fills {found['fill_share'].value:.0f} % of the body")
    if "cement_beyond_midline" in found:
        parts.append(f"{found['cement_beyond_midline'].value:.0f} % of it beyond the midline")
    return "" if len(parts) == 1 else f"{parts[0]} {', '.join(parts[1:])}"


def _likely(found: Mapping[str, Measure]) -> str:
    every = leaks(found.values())
    shown = [
        f"{route_words(leak.route)} {percent_words(leak.probability)}" for leak in likeliest(every) if leak.probability
    ]
    if not shown:
        return "no leak in any computed injection" if any(leak.probability for leak in every) else ""
    return f"leaks most often: {', '.join(shown)}"


def _window(found: Mapping[str, Measure]) -> str:
    start, end = (found.get(f"working_window_{n}") for n in ("start", "end"))
    if start is None or end is None:
        return ""
    return f"inject {number(start.value)} to {number(end.value)} min after mixing"


def _lead(simulation: Simulation) -> str:
    """The few sentences one reads first."""
    found = named(simulation)
    said = (_planned(simulation), _placed(found), _leaking(found), _climbs(simulation), _window(found), _hottest(found))
    return " ".join((*(_sentence(s) for s in said if s), CAUTION))


def _planned(simulation: Simulation) -> str:
    found, wanted, got = named(simulation), planned_ml(simulation), injected_ml(simulation)
    if wanted is None or got is None or "injection_time" not in found:
        return _filled(found)
    takes = duration(seconds(found["injection_time"]))
    if got < wanted - LEAST_MISSING_ML:
        went = f"of the planned {number(wanted)} mL, {number(got)} mL goes in{f', in {takes}' if got else ''}"
        return "; ".join(part for part in (went, _filled(found)) if part)
    return f"the planned {number(wanted)} mL takes {takes}; {_filled(found)}"


def _filled(found: Mapping[str, Measure]) -> str:
    if "cement_volume" not in found:
        return ""
    share = f", {found['fill_share'].value:.0f} % of the body" if "fill_share" in found else ""
    return f"{amount(found['cement_volume'])} of cement lies in the vertebra{share}"


def _placed(found: Mapping[str, Measure]) -> str:
    parts = []
    if "cement_off_centre_left" in found:
        parts.append(f"its middle lies {off_centre(found['cement_off_centre_left'])} of the body's")
    if "cement_to_posterior_wall" in found:
        parts.append(f"it ends {number(found['cement_to_posterior_wall'].value)} mm from the posterior wall")
    return ", and ".join(parts)


def _leaking(found: Mapping[str, Measure]) -> str:
    every = leaks(found.values())
    whole = next((leak for leak in every if leak.route == ANY and leak.probability), None)
    first = likeliest(every)
    if whole is None or whole.probability is None:
        return _likely(found)
    text = f"cement leaves the bone in {percent_words(whole.probability)} of the computed injections"
    if first:
        where = " and ".join(
            f"{place_words(leak.route)}, {percent_words(leak.probability)}" for leak in first if leak.probability
        )
        text += f", most often {where}"
    return f"{text}; published: {percent_words(whole.published)}" if whole.published else text


def _climbs(simulation: Simulation) -> str:
    """From which volume on cement in the canal is too likely; or how sure it is that it stays unlikely."""
    series, name = simulation.series.get("leak_risk") or {}, "epidural"
    limit = limit_percent(name)
    if limit is None or name not in series:
        return ""
    at, risk = stop_at_ml(series, name), "the computed risk of a leak into the canal"
    if at is not None:
        return f"{risk} reaches {limit:.0f} % {f'at {at:.1f} mL' if at > 0.0 else 'with the first drops'}"
    top = named(simulation).get(f"leak_probability_{name}")
    if top is None or top.high is None:
        return ""
    most, ml = in_percent(top).high or 0.0, f"up to {series['volume_ml'][-1]:.1f} mL"
    if most < limit:
        return f"{risk} stays below {limit:.0f} % {ml}, at most {whole(most)} % with 95 % confidence"
    return (
        f"{risk} is {whole(in_percent(top).value)} % {ml}, but may be {whole(most)} %: too few draws to say that it "
        f"stays below {limit:.0f} %"
    )


def _hottest(found: Mapping[str, Measure]) -> str:
    """The posterior wall, and the nerves behind it."""
    peaks = {words: found.get(f"heating_{region}_peak") for region, words in _WARMED.items()}
    parts = [f"the {words} to {number(m.value)} °C" for words, m in peaks.items() if m]
    return f"setting warms {', '.join(parts)}" if parts else ""


#: Regions whose warmth is told at once.
_WARMED = {"posterior_wall": "posterior wall", "canal": "canal", "cord": "cord", "roots": "roots"}


def _pushed(found: Mapping[str, Measure]) -> str:
    peak, time = (
        found.get("injection_pressure_over_draws", found.get("injection_pressure_peak")),
        found.get("injection_time"),
    )
    parts = [f"the injection takes {duration(seconds(time))}"] if time else []
    parts += [f"it needs up to {kilopascals(peak)} before the cannula"] if peak else []
    return ", and ".join(parts)


def _sentence(text: str) -> str:
    return f"{sentence(text)}." if text else ""
