"""The tables of an injection: leaks beside published rates, ways out, what would change it, filling, heat."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trocar.injection.ways_out import Basis
from trocar.measure import Measure
from trocar.reporting.cement_answers import (
    Leak,
    duration,
    leaks,
    named,
    percent_words,
    route_words,
    whole,
)
from trocar.reporting.content import Badge, Table, Tone
from trocar.reporting.words import amount, is_probability, number, phrase, sentence, title
from trocar.treatment import Simulation

#: Stands where a number is missing.
NONE = "–"
#: How a way out is known, as a badge: what was seen matters more than what is common.
BASES = {
    Basis.SEEN: Badge("●", "seen", Tone.DOUBT),
    Basis.EXPECTED: Badge("○", "expected", Tone.UNKNOWN),
}
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
        _leaks(routes),
        _filling(found),
        _nominal(series.get("leaks") or {}),
        _ways_out(series.get("ways_out") or {}),
        _changes(series.get("leak_changes") or {}),
        _setting(found),
        _heat(found),
        _published(routes, series.get("published") or {}),
        _others(found),
    )
    return (t for t in every if t.rows)


def _leaks(found: Sequence[Leak]) -> Table:
    rows = tuple(
        (
            sentence(route_words(leak.route)),
            percent_words(leak.probability) if leak.probability else NONE,
            percent_words(leak.published) if leak.published else NONE,
            *(_spread(m) if m else NONE for m in (leak.volume, leak.onset, leak.stop)),
        )
        for leak in found
    )
    heads = ("Leak", "In this model", "Published", "Leaks, mL", "From, mL", "Stop at, mL")
    numeric = tuple(range(1, len(heads)))
    return Table("How often it leaks", heads, rows, numeric, _what_is_counted(found), (1.2, 1.1, 1.1, 1.0, 1.0, 1.0))


def _what_is_counted(found: Sequence[Leak]) -> str:
    told = {
        "In this model": [leak.probability for leak in found],
        "Published": [leak.published for leak in found],
        "Leaks, from": [m for leak in found for m in (leak.volume, leak.onset)],
        "Stop at": [leak.stop for leak in found],
    }
    kinds = {head: dict.fromkeys(m.interval for m in each if m and m.interval) for head, each in told.items()}
    brackets = "; ".join(f"{head.lower()}: {' or '.join(k)}" for head, k in kinds.items() if k)
    stops = dict.fromkeys(phrase(leak.stop.method) for leak in found if leak.stop)
    return " ".join(
        (
            "In this model: the share of computed injections that leak so, not a rate among patients. Leaks: how much, "
            "where it leaks; from: what had been injected by then.",
            *((f"In brackets: {brackets}.",) if brackets else ()),
            *((f"Stop at: {' '.join(stops)}",) if stops else ()),
        )
    )


def _published(found: Sequence[Leak], series: Mapping[str, Sequence[Any]]) -> Table:
    """The series that others published, each by itself; without them the sources of the numbers beside ours."""
    if not series:
        sources: tuple[tuple[str, ...], ...] = tuple(
            (sentence(route_words(leak.route)), percent_words(leak.published), phrase(leak.published.method))
            for leak in found
            if leak.published
        )
        return Table("Published rates", ("Leak", "Rate", "Where"), sources, (1,), "", (1.0, 1.0, 4.0))
    rows = tuple(_series_row(dict(zip(series, values, strict=True))) for values in zip(*series.values(), strict=True))
    heads = ("Leak", "Rate", "Of", "Seen on", "Treated", "Source")
    remark = "CT shows half as many leaks again as radiographs do; compare what was counted in the same way."
    return Table("Published rates", heads, rows, (1, 2), remark, (1.0, 1.0, 0.9, 0.8, 1.2, 2.4))


def _series_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    interval = f" ({whole(row['low_percent'])} to {whole(row['high_percent'])})"
    read = "" if row["verified"] else " (read in another paper's table)"
    return (
        sentence(str(row["leak"])),
        f"{whole(row['rate_percent'])} %{interval}",
        f"{row['of']} {row['unit']}s".replace("vertebras", "vertebrae"),
        str(row["modality"]),
        f"{row['treated']}, {row['procedure']}",
        f"{phrase(str(row['source']))}{read}",
    )


def _ways_out(series: Mapping[str, Sequence[Any]]) -> Table:
    """Those that were seen first, then the nearest."""
    rows = [dict(zip(series, values, strict=True)) for values in zip(*series.values(), strict=True)]
    rows.sort(key=lambda row: (_basis(row) is not Basis.SEEN, _far(row)))
    cells = tuple(
        (
            _place(row),
            route_words(str(row.get("leads_to", NONE))),
            BASES[_basis(row)],
            _whole(row.get("present_percent")),
            phrase(str(row.get("size") or NONE)),
            _one(row.get("distance_to_tip_mm")),
            phrase(str(row.get("source") or NONE)),
        )
        for row in rows
    )
    heads = ("Way", "Leads to", "Known", "There in, %", "Size", "From the tip, mm", "Source")
    remark = (
        "Seen: in this patient's images. Expected: CT does not show it; it is there in the stated share of the "
        "computed injections, as published."
    )
    return Table("Ways out of the bone", heads, cells, (3, 5), remark, (1.5, 1.0, 0, 0, 1.0, 0, 1.5))


def _basis(row: Mapping[str, Any]) -> Basis:
    return Basis.SEEN if str(row.get("basis", "")).lower().startswith("seen") else Basis.EXPECTED


def _far(row: Mapping[str, Any]) -> float:
    far = row.get("distance_to_tip_mm")
    return float("inf") if far is None or far != far else float(far)


def _place(row: Mapping[str, Any]) -> str:
    """The way, and where it is."""
    return sentence(", ".join(str(row[name]) for name in ("way", "place") if row.get(name)))


def _nominal(series: Mapping[str, Sequence[Any]]) -> Table:
    rows = tuple(
        (sentence(str(way)), route_words(str(to)), _two(ml), _one(at_ml), NONE if at_s is None else duration(at_s))
        for way, to, ml, at_ml, at_s in zip(
            *(series.get(n, ()) for n in ("way", "leads_to", "leaked_ml", "starts_at_ml", "starts_at_s")), strict=True
        )
    )
    heads = ("Through", "Leads to", "Leaked, mL", "Begins at, mL", "Begins after")
    remark = "One injection, with the numbers that are most likely; others leak elsewhere or not at all (above)."
    return Table("Leaks of the planned injection", heads, rows, (2, 3, 4), remark, (1.6, 1.2, 0.6, 0.6, 0.6))


def _changes(series: Mapping[str, Sequence[Any]]) -> Table:
    """What another tip, volume, viscosity or a pause would do to the probabilities."""
    routes = [name for name in series if name.endswith("_percent")]
    count = len(series.get("change", ()))
    rows = tuple(
        (
            sentence(str(series["change"][n])),
            *(_whole(series[name][n]) for name in routes),
            _difference(series, n),
            _one(series.get("cement_ml_median", (None,) * count)[n]),
        )
        for n in range(count)
    )
    names = (route_words(name.removesuffix("_percent")) for name in routes)
    heads = ("Change", *(f"{sentence(name)}, %" for name in names), "Difference, points", "Cement, mL")
    remark = (
        "Difference: of any leak, against the plan, with its interval. Where the interval holds 0, the computation "
        "cannot tell the two apart. Cement: the median that stays in the vertebra."
    )
    numeric = tuple(range(1, len(heads)))
    return Table("What would change it", heads, rows, numeric, remark, (1.8, *(0.6,) * len(routes), 1.1, 0.6))


def _difference(series: Mapping[str, Sequence[Any]], n: int) -> str:
    value, low, high = (series[k][n] if k in series else None for k in ("difference_points", "low", "high"))
    if value is None or (value == low == high == 0):
        return NONE
    text = f"{value:+.0f}"
    if low is not None and high is not None:
        text += f" ({low:+.0f} to {high:+.0f})"
    return text.replace("-", "\N{MINUS SIGN}")


def _filling(found: Mapping[str, Measure]) -> Table:
    shown = sorted((m for n, m in found.items() if n.startswith(_FILLING)), key=_first)
    rows = tuple((_name(m), _value(m), phrase(m.method) or NONE) for m in shown)
    return Table("How the body is filled", ("Goal", "Reached", "How it was measured"), rows, (1,), "", (1.3, 1.0, 2.2))


#: The first rows of the filling, in their order.
_FIRST = ("cement_injected", "cement_volume", "fill_share")


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
    rows = tuple((title(region), *(_heated(each.get(end)) for end in kinds)) for region, each in by.items())
    if "heating_peak" in found and rows:
        rows = (*rows, ("Warmest place", number(found["heating_peak"].value), *(NONE,) * (len(kinds) - 1)))
    heads = ("Region", *(_HEAT[end] for end in kinds))
    numeric = tuple(range(1, len(heads)))
    return Table("Heat while it sets", heads, rows, numeric, _heat_remark(by), (1.6, *(1.0,) * len(kinds)))


def _heat_remark(by: Mapping[str, Mapping[str, Measure]]) -> str:
    how = dict.fromkeys(phrase(m.method) for each in by.values() for end, m in each.items() if end == "_peak")
    remark = "CEM43: minutes at 43 °C that would do the same harm."
    rims = [m for region, each in by.items() if "tumour" in region for m in each.values()]
    if rims:
        spread = next((f", in brackets {m.interval}" for m in rims if m.interval), "")
        remark += f" At the tumour's rim (median{spread}) it is a number of low certainty, and not tumour control."
    return " ".join((remark, *(h for h in how if h)))


def _heated(measure: Measure | None) -> str:
    if measure is None:
        return NONE
    text = _spread(measure)
    return f"{text} or more" if "Told up to" in measure.method else text


def _spread(measure: Measure) -> str:
    """The value and its interval without the unit; large doses without decimals."""

    def digits(value: float) -> str:
        return f"{value:.0f}" if measure.name.endswith("_cem43") and value >= 10.0 else number(value, measure.unit)

    if measure.low is None or measure.high is None:
        return digits(measure.value)
    return f"{digits(measure.value)} ({digits(measure.low)} to {digits(measure.high)})"


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
        return f"{kilopascals(measure)}, {measure.value / KPA_IN_BAR:.0f} bar"
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


def _whole(value: float | None) -> str:
    return NONE if value is None else whole(float(value))


def _one(value: float | None) -> str:
    return NONE if value is None else number(float(value))


def _two(value: float | None) -> str:
    return NONE if value is None else f"{float(value):.2f}"
