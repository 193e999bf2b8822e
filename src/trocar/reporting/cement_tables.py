"""The tables of an injection in their order; those of filling, setting and heat are made here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from trocar.measure import Measure
from trocar.reporting.cement_answers import duration, leaks, named, percent_words
from trocar.reporting.cement_leak_tables import (
    NONE,
    changes_table,
    leaks_table,
    nominal_table,
    published_table,
    spread,
    ways_out_table,
)
from trocar.reporting.content import Table
from trocar.reporting.words import amount, is_probability, number, phrase, title
from trocar.treatment import Simulation

#: Kilopascals in a bar.
KPA_IN_BAR = 100.0
#: Measures with a direction: what a positive and a negative one is called.
_TOWARDS = {
    "cement_off_centre_left": ("to the left", "to the right"),
    "cement_off_centre_posterior": ("backwards", "forwards"),
    "cement_off_centre_superior": ("towards the head", "towards the feet"),
}
#: Names of measures that do not read well as they are.
_NAMES = {
    "fill_share": "Share of the body",
    "cement_beyond_midline": "Cement beyond the midline",
    "cement_in_left_half": "Filled of the left half",
    "cement_in_right_half": "Filled of the right half",
    "cement_planned": "Cement that should go in",
    "cement_injected": "Cement that goes in",
    "injection_start": "Injection begins after mixing",
    "injection_time": "Injection takes",
    "injection_pressure_peak": "Highest pressure, likeliest numbers",
    "injection_pressure_over_draws": "Highest pressure, all computed",
    "tip_pressure_peak": "Highest pressure at the tip",
    "injection_unfinished_probability": "The injector cannot finish",
    "working_window_start": "Thick enough from",
    "working_window_end": "Too thick from",
    **dict.fromkeys(_TOWARDS, "Middle of the cement"),
}
#: How the names of measures of heat end, behind the region.
_HEAT = {
    "_peak": "Highest, °C",
    "_above_45_c": "Above 45 °C, min",
    "_above_50_c": "Above 50 °C, min",
    "_cem43": "CEM43, min",
}
_HEATED = re.compile(rf"heating_(.+?)({'|'.join(_HEAT)})")
#: Starts of the names of measures that have a table of their own.
_FILLING, _SETTING = ("cement_", "fill_share"), ("injection_", "tip_pressure", "working_window_")


def tables(simulation: Simulation) -> Iterable[Table]:
    """Every table that has a row, the one that one came for first."""
    found = named(simulation)
    series = simulation.series
    routes = leaks(found.values())
    every = (
        leaks_table(routes),
        _filling(found),
        nominal_table(series.get("leaks") or {}),
        ways_out_table(series.get("ways_out") or {}),
        changes_table(series.get("leak_changes") or {}),
        _setting(found),
        _heat(found),
        published_table(routes, series.get("published") or {}),
        _others(found),
    )
    return (t for t in every if t.rows)


def _filling(found: Mapping[str, Measure]) -> Table:
    shown = sorted((m for n, m in found.items() if n.startswith(_FILLING)), key=_first)
    rows = tuple((_name(m), _value(m), phrase(m.method) or NONE) for m in shown)
    return Table("How the body is filled", ("Goal", "Reached", "How it was measured"), rows, (1,), "", (1.3, 1.0, 2.2))


#: The first rows of the filling, in their order.
_FIRST = ("cement_planned", "cement_injected", "cement_volume", "fill_share")


def _first(measure: Measure) -> int:
    return _FIRST.index(measure.name) if measure.name in _FIRST else len(_FIRST)


def _setting(found: Mapping[str, Measure]) -> Table:
    shown = [m for n, m in found.items() if n.startswith(_SETTING)]
    rows = tuple((_name(m), _value(m), " ".join(_told(m)) or NONE) for m in shown)
    return Table("Injecting and setting", ("", "Value", "How it was computed"), rows, (1,), "", (1.3, 1.0, 2.2))


def _told(measure: Measure) -> tuple[str, ...]:
    """How it was computed, and what its brackets mean."""
    brackets = f"In brackets: {measure.interval}." if measure.interval else ""
    return tuple(s for s in (phrase(measure.method), brackets) if s)


def _heat(found: Mapping[str, Measure]) -> Table:
    """One row for each region; a tumour's rim is told with what it does not mean."""
    by: dict[str, dict[str, Measure]] = {}
    for name, measure in found.items():
        if match := _HEATED.fullmatch(name):
            by.setdefault(match[1], {})[match[2]] = measure
    kinds = [end for end in _HEAT if any(end in each for each in by.values())]
    rows = tuple(
        (title(region), *(spread(each[end]) if end in each else NONE for end in kinds)) for region, each in by.items()
    )
    if "heating_peak" in found and rows:
        rows = (
            *rows,
            ("Warmest place, in the cement", number(found["heating_peak"].value), *(NONE,) * (len(kinds) - 1)),
        )
    heads = ("Region", *(_HEAT[end] for end in kinds))
    numeric = tuple(range(1, len(heads)))
    return Table(
        "Heat while it sets",
        heads,
        rows,
        numeric,
        _heat_remark(by, found.get("heating_peak")),
        (1.6, *(1.0,) * len(kinds)),
    )


def _heat_remark(by: Mapping[str, Mapping[str, Measure]], peak: Measure | None) -> str:
    how = dict.fromkeys(phrase(m.method) for each in by.values() for end, m in each.items() if end == "_peak")
    remark = "CEM43: minutes at 43 °C that would do the same harm."
    rims = [m for region, each in by.items() if "tumour" in region for m in each.values()]
    if rims:
        spread = next((f", in brackets {m.interval}" for m in rims if m.interval), "")
        remark += f" At the tumour's rim (median{spread}) it is a number of low certainty, and not tumour control."
    return " ".join((remark, *((_beside_measured(peak.value),) if peak else ()), *(h for h in how if h)))


def _beside_measured(peak_c: float) -> str:
    """The warmest cement beside what was measured in vertebrae."""
    from trocar.injection.heating import CENTRE_C

    span = f"{CENTRE_C.low:.0f} to {CENTRE_C.high:.0f} °C"
    told = f"In the middle of vertebrae {span} were measured (Belkoff and Molloy 2003)"
    if peak_c > CENTRE_C.high:
        return f"{told}: the warmest cement lies above that, and may be computed too warm."
    return f"{told}; the warmest cement lies {'within' if peak_c >= CENTRE_C.low else 'below'} that."


def _others(found: Mapping[str, Measure]) -> Table:
    """What is told of the cement and in no other table."""
    of_leaks = {m.name for leak in leaks(found.values()) for m in leak.measures}
    left = [
        m
        for n, m in found.items()
        if not n.startswith((*_FILLING, *_SETTING))
        and n not in (*of_leaks, "heating_peak")
        and not _HEATED.fullmatch(n)
    ]
    rows = tuple((_name(m), _value(m), " ".join(_told(m)) or NONE) for m in left)
    return Table("Also computed of the cement", ("Measure", "Value", "How it was computed"), rows, (1,))


def _name(measure: Measure) -> str:
    return _NAMES.get(measure.name, title(measure.name))


def _value(measure: Measure) -> str:
    """The value in the unit and with the direction that people use."""
    if measure.name in _TOWARDS:
        return off_centre(measure)
    if is_probability(measure):
        return percent_words(measure)
    if measure.unit == "s":
        spread = "" if measure.low is None or measure.high is None else f" ({measure.low:.0f} to {measure.high:.0f} s)"
        return f"{duration(measure.value)}{spread}"
    if measure.unit == "kPa":
        bar = measure.value / KPA_IN_BAR
        return f"{kilopascals(measure)}, {bar:.1f} bar" if bar >= 1.0 else kilopascals(measure)
    return amount(measure)


def kilopascals(measure: Measure) -> str:
    """ "1440 kPa", with its interval where it has one."""
    if measure.low is None or measure.high is None:
        return f"{measure.value:.0f} kPa"
    return f"{measure.value:.0f} ({measure.low:.0f} to {measure.high:.0f}) kPa"


def off_centre(measure: Measure) -> str:
    """ "6.4 mm to the left"."""
    to, away = _TOWARDS[measure.name]
    return f"{abs(measure.value):.1f} mm {to if measure.value >= 0.0 else away}"
