"""Which figures an injection gets, in which order, and what is said under them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from trocar.reporting.cement_answers import (
    Leak,
    duration,
    injected_ml,
    leaks,
    limits,
    named,
    percent_words,
    place_words,
    planned_ml,
    route_words,
    seconds,
    stop_at_ml,
)
from trocar.reporting.cement_charts import (
    MARKED_C,
    injection_picture,
    rates_picture,
    risk_picture,
    temperature_picture,
    window_picture,
)
from trocar.reporting.cement_planes import LEAST_REACH, on_paper, reach_picture, slides, steps_ml, strip, warmth_picture
from trocar.reporting.figures import Picture
from trocar.reporting.words import number, plain, sentence
from trocar.treatment import Simulation

_SIDES = (
    "In the axial and coronal image the patient's left is on the image's right; in the sagittal image the front is on "
    "the left."
)


def pictures(simulation: Simulation) -> Iterable[Picture]:
    """Rates, fill on planes, risk, reach, pressure, setting and heat: as far as the simulation has them."""
    placed = simulation.plan.images is not None and bool(simulation.plan.options)
    found = leaks(simulation.measures)
    if any(leak.probability for leak in found):
        yield _rates(found)
    if placed and "cement_arrival" in simulation.volumes and simulation.volumes["cement_arrival"].array.any():
        yield _fill(simulation)
    if simulation.series.get("leak_risk"):
        yield _risk(simulation)
    if placed and "cement_reach" in simulation.volumes:
        yield _reach(simulation)
    if len((simulation.series.get("injection") or {}).get("time_s", ())) > 1:
        yield _injection(simulation)
    if simulation.series.get("viscosity"):
        yield _window(simulation)
    if simulation.series.get("heating"):
        yield _temperature(simulation)
    if placed and "temperature_peak" in simulation.volumes:
        yield _warmth(simulation)


def _fill(simulation: Simulation) -> Picture:
    arrival = simulation.volumes["cement_arrival"]
    volumes = steps_ml(injected_ml(simulation) or float(arrival.array.max()))
    printed = on_paper(volumes)
    told = [step_text(simulation, v) for v in volumes]
    return Picture(
        "cement_fill",
        "How the cement spreads",
        "Where it has come when so much has been injected, with the numbers that are most likely. Planes of the "
        "vertebra's own frame through the needle's tip; what leaks beside them is not in the picture.",
        f"Cement over the CT in an axial, a coronal and a sagittal plane through the needle's tip, after "
        f"{', '.join(f'{v:.3g}' for v in volumes)} mL. {_SIDES} At the end: {told[-1]}",
        strip(simulation.plan, arrival, printed),
        wide=True,
        slides=slides(simulation.plan, arrival, volumes, told),
    )


def step_text(simulation: Simulation, volume_ml: float) -> str:
    """What is so when so much has been injected: "3.0 mL after 90 s, 186 kPa at the tip. Leaked: nothing."."""
    series = simulation.series.get("injection") or {}
    injected = np.asarray(series.get("injected_ml", ()), float)
    if len(injected) < 2:
        return f"{volume_ml:.3g} mL injected."

    def at(name: str) -> float | None:
        return float(np.interp(volume_ml, injected, np.asarray(series[name], float))) if name in series else None

    time, tip, driving, leaked = (at(n) for n in ("time_s", "tip_kpa", "driving_kpa", "leaked_ml"))
    parts = [f"{volume_ml:.3g} mL injected" + ("" if time is None else f" after {duration(time)}")]
    parts += [f"{tip:.0f} kPa at the tip"] if tip is not None else []
    parts += [f"{driving:.0f} kPa before the cannula"] if driving is not None else []
    lost = "" if leaked is None else f" Leaked: {f'{leaked:.2f} mL' if leaked >= 0.005 else 'nothing'}"
    where = _begun(simulation, volume_ml) if leaked is not None and leaked >= 0.005 else ()
    return f"{', '.join(parts)}.{lost}{f', {chr(44).join(where)}' if where else ''}{'.' if lost else ''}"


def _begun(simulation: Simulation, volume_ml: float) -> tuple[str, ...]:
    """Where cement has leaked to by then."""
    series = simulation.series.get("leaks") or {}
    pairs = zip(series.get("leads_to", ()), series.get("starts_at_ml", ()), strict=True)
    return tuple(dict.fromkeys(place_words(to) for to, start in pairs if start is not None and start <= volume_ml))


def _rates(found: tuple[Leak, ...]) -> Picture:
    values = "; ".join(
        f"{route_words(leak.route)} {percent_words(leak.probability)}" for leak in found if leak.probability
    )
    kinds = "; ".join(dict.fromkeys(leak.probability.interval for leak in found if leak.probability))
    return Picture(
        "leak_probability",
        "How often it leaks, and where to",
        f"Circle: share of the computed injections, with its interval{f' ({kinds})' if kinds else ''}. Diamond: what "
        "others found in patients, for comparison.",
        f"Probability of a leak by route: {values}.",
        rates_picture(found),
        wide=True,
    )


def _risk(simulation: Simulation) -> Picture:
    series, planned = simulation.series["leak_risk"], planned_ml(simulation)
    told = limits(series)
    levels = "; ".join(f"{limit:.0f} % for {_joined(names)}" for limit, names in told.items())
    reached = "; ".join(
        f"{route_words(name)} at {ml:.1f} mL"
        for names in told.values()
        for name in names
        if (ml := stop_at_ml(series, name)) is not None
    )
    where = f"Reached: {reached or 'by no route'}."
    dashed = f"Dashed: {levels}. {where} The limits are our own judgement, not from a trial." if told else ""
    return Picture(
        "leak_risk",
        "Risk of a leak against the injected volume",
        dashed or "No computed injection leaked.",
        f"Share of the computed injections that leaked, against the injected volume. Limits: {levels or 'none'}. "
        f"{where}{'' if planned is None else f' Planned: {planned:.1f} mL.'}",
        risk_picture(series, planned),
        wide=True,
    )


def _joined(names: Sequence[str]) -> str:
    *others, last = (route_words(name) for name in names)
    return f"{', '.join(others)} and {last}" if others else last


def _reach(simulation: Simulation) -> Picture:
    return Picture(
        "cement_reach",
        "Where cement may get to",
        "Share of the computed injections in which cement reaches a place; nothing is coloured below "
        f"{100.0 * LEAST_REACH:.0f} %. The same planes as above.",
        f"Probability that cement reaches each place, in colour over the CT. {_SIDES}",
        reach_picture(simulation.plan, simulation.volumes["cement_reach"]),
        wide=True,
    )


def _injection(simulation: Simulation) -> Picture:
    series = simulation.series["injection"]
    driving = _highest(series["driving_kpa"]) if "driving_kpa" in series else None
    most = "" if driving is None else f" At most {driving:.0f} kPa before the cannula."
    return Picture(
        "injection",
        "Pressure, viscosity and volume during the injection",
        f"With the numbers that are most likely. Most of the pressure is spent in the cannula.{most}"
        if driving is not None and "tip_kpa" in series and _highest(series["tip_kpa"]) < 0.5 * driving
        else f"With the numbers that are most likely.{most}",
        f"Pressure, viscosity, injected and leaked volume over time.{most}",
        injection_picture(series),
        wide=True,
    )


def _window(simulation: Simulation) -> Picture:
    found = named(simulation)
    start, end = (found[n].value if n in found else None for n in ("working_window_start", "working_window_end"))
    told = "" if start is None or end is None else f" It can be injected from {start:.1f} to {end:.1f} min."
    planned = _planned_min(simulation)
    when = "" if planned is None else f" Planned: from {planned[0]:.1f} to {planned[1]:.1f} min (shaded)."
    method = f" {sentence(found['working_window_start'].method)}" if "working_window_start" in found else ""
    return Picture(
        "working_window",
        "When the cement can be injected",
        f"Viscosity of the cement that waits, from the start of mixing; bar: the working window.{when}{method}",
        f"Viscosity against the minutes from mixing.{told}{when}",
        window_picture(simulation.series["viscosity"], start, end, planned),
        wide=True,
    )


def _planned_min(simulation: Simulation) -> tuple[float, float] | None:
    """First and last minute of the planned injection, from mixing."""
    begin, time = (named(simulation).get(n) for n in ("injection_start", "injection_time"))
    if begin is None or time is None:
        return None
    return seconds(begin) / 60.0, (seconds(begin) + seconds(time)) / 60.0


def _temperature(simulation: Simulation) -> Picture:
    series = simulation.series["heating"]
    peaks = "; ".join(f"{plain(n)} {number(_highest(series[n]))} °C" for n in series if n != "time_min")
    return Picture(
        "temperature",
        "Heat while it sets",
        f"The warmest place of each region; highest: {peaks}. Dashed: {MARKED_C[0]:.0f} and {MARKED_C[1]:.0f} °C.",
        f"Temperature over time. Highest: {peaks}.",
        temperature_picture(series),
        wide=True,
    )


def _highest(values: Sequence[float | None]) -> float:
    """The highest of some values, of which some may be missing."""
    return max((v for v in values if v is not None), default=math.nan)


def _warmth(simulation: Simulation) -> Picture:
    peak = simulation.volumes["temperature_peak"]
    above = [c for c in MARKED_C if (peak.array >= c).any()]
    told = "" if above else f" Nothing gets warmer than {MARKED_C[0]:.0f} °C."
    arrival = simulation.volumes.get("cement_arrival")
    cement = None if arrival is None else replace(arrival, array=arrival.array > 0.0, unit="mask")
    return Picture(
        "warmth",
        "Where it gets warm",
        f"Highest temperature at each place while the cement sets, on the same planes.{told}",
        f"Lines around what gets warmer than {' and '.join(f'{c:.0f}' for c in MARKED_C)} °C, over the CT.{told} "
        f"{_SIDES}",
        warmth_picture(simulation.plan, peak, cement),
        wide=True,
    )
