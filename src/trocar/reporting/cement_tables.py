"""The tables of an injection: leaks beside published rates, ways out, what would change it, filling, heat."""

from __future__ import annotations

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
from trocar.reporting.words import amount, number, phrase, sentence, title
from trocar.treatment import Simulation

#: Stands where a number is missing.
NONE = "–"
#: How a way out is known, as a badge: what was seen matters more than what is common.
BASES = {
    Basis.SEEN: Badge("●", "seen", Tone.DOUBT),
    Basis.EXPECTED: Badge("○", "expected", Tone.UNKNOWN),
}
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
    "cement_to_posterior_wall": "From the cement to the posterior wall",
    "injection_time": "Injection takes",
    "injection_pressure_peak": "Highest pressure at the syringe",
    "working_window_start": "Thick enough from",
    "working_window_end": "Too thick from",
    **dict.fromkeys(_TOWARDS, "Middle of the cement"),
}
_HEAT = {
    "temperature_peak_": "Highest, °C",
    "minutes_above_45_": "Above 45 °C, min",
    "minutes_above_50_": "Above 50 °C, min",
    "cem43_": "CEM43, min",
}
#: Thermal doses beyond this are told as "more than": the exponential says nothing there any more.
MOST_CEM43_MIN = 10_000.0


def tables(simulation: Simulation) -> Iterable[Table]:
    """Every table that has a row, the one that one came for first."""
    found = named(simulation)
    series = simulation.series
    every = (
        _leaks(leaks(found.values())),
        _filling(found),
        _nominal(series.get("leaks") or {}),
        _ways_out(series.get("ways_out") or {}),
        _changes(series.get("leak_changes") or {}),
        _setting(found),
        _heat(found),
        _others(found),
    )
    return (t for t in every if t.rows)


def _leaks(found: Sequence[Leak]) -> Table:
    rows = tuple(
        (
            sentence(route_words(leak.route)),
            percent_words(leak.probability) if leak.probability else NONE,
            amount(leak.volume) if leak.volume else NONE,
            "; ".join(percent_words(m) for m in leak.published) or NONE,
            " ".join(dict.fromkeys(phrase(m.method) for m in leak.published if m.method)) or NONE,
        )
        for leak in found
    )
    kinds = dict.fromkeys(m.interval for leak in found for m in (leak.probability,) if m and m.interval)
    amounts = dict.fromkeys(m.interval for leak in found for m in (leak.volume,) if m and m.interval)
    remark = " ".join(
        s
        for s in (
            "In this model: the share of computed injections that leak so, not a rate among patients.",
            f"In brackets: {'; '.join(kinds)}." if kinds else "",
            f"Leaked volume in brackets: {'; '.join(amounts)}." if amounts else "",
        )
        if s
    )
    heads = ("Leak", "In this model", "Leaked", "Published", "Where it was published")
    return Table("How often it leaks", heads, rows, (1, 2, 3), remark, (1.0, 0.9, 0.9, 0.9, 2.0))


def _ways_out(series: Mapping[str, Sequence[Any]]) -> Table:
    """Those that were seen first, then the nearest."""
    rows = [dict(zip(series, values, strict=True)) for values in zip(*series.values(), strict=True)]
    rows.sort(key=lambda row: (_basis(row) is not Basis.SEEN, _far(row)))
    cells = tuple(
        (
            sentence(str(row.get("way", NONE))),
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
    return float("inf") if far is None else float(far)


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


#: The first rows of the filling, in this order.
_FILLING = ("cement_volume", "fill_share")


def _filling(found: Mapping[str, Measure]) -> Table:
    shown = [found[n] for n in _FILLING if n in found]
    shown += [m for n, m in found.items() if n.startswith("cement_") and n not in _FILLING]
    rows = tuple((_name(m), _value(m), phrase(m.method) or NONE) for m in shown)
    return Table("How the body is filled", ("Goal", "Reached", "How it was measured"), rows, (1,), "", (1.3, 1.0, 2.2))


def _setting(found: Mapping[str, Measure]) -> Table:
    shown = [m for n, m in found.items() if n.startswith(("injection_", "working_window_"))]
    rows = tuple((_name(m), _value(m), phrase(m.method) or NONE) for m in shown)
    return Table("Injecting and setting", ("", "Value", "How it was computed"), rows, (1,), "", (1.3, 1.0, 2.2))


def _heat(found: Mapping[str, Measure]) -> Table:
    """One row for each region; a tumour's rim is told with what it does not mean."""
    regions = [n.removeprefix(start) for start in _HEAT for n in found if n.startswith(start)]
    kinds = {start: head for start, head in _HEAT.items() if any(n.startswith(start) for n in found)}
    rows = tuple(
        (title(region), *(_heated(found.get(f"{start}{region}"), start) for start in kinds))
        for region in dict.fromkeys(regions)
    )
    remark = "CEM43: minutes at 43 °C that would do the same harm."
    if any("tumour" in region for region in regions):
        remark += " At the tumour's rim it is a number of low certainty, and not tumour control."
    heads = ("Region", *kinds.values())
    numeric = tuple(range(1, len(heads)))
    return Table("Heat while it sets", heads, rows, numeric, remark, (1.6, *(1.0,) * len(kinds)))


def _heated(measure: Measure | None, start: str) -> str:
    if measure is None:
        return NONE
    if start == "cem43_" and measure.value > MOST_CEM43_MIN:
        return f"more than {number(MOST_CEM43_MIN, 'N')}"
    text = (
        f"{measure.value:.0f}" if start == "cem43_" and measure.value >= 10.0 else number(measure.value, measure.unit)
    )
    if measure.low is None or measure.high is None:
        return text
    return f"{text} ({number(measure.low, measure.unit)} to {number(measure.high, measure.unit)})"


def _others(found: Mapping[str, Measure]) -> Table:
    """What is told of the cement and in no other table."""
    told = ("cement_", "fill_share", "injection_", "working_window_", "leak_probability_", *_HEAT)
    routes = {leak.route for leak in leaks(found.values())}
    left = [
        m
        for n, m in found.items()
        if not n.startswith(told)
        and not (n.startswith("leak_rate_") and n.endswith("_published"))
        and n.removeprefix("leak_volume_") not in routes
    ]
    rows = tuple((_name(m), amount(m), phrase(m.method) or NONE) for m in left)
    return Table("Also computed of the cement", ("Measure", "Value", "How it was computed"), rows, (1,))


def _name(measure: Measure) -> str:
    return _NAMES.get(measure.name, title(measure.name))


def _value(measure: Measure) -> str:
    """The value in the unit and with the direction that people use."""
    if measure.name in _TOWARDS:
        return off_centre(measure)
    if measure.unit == "s":
        return duration(measure.value)
    if measure.unit == "kPa":
        return f"{measure.value:.0f} kPa ({measure.value / 100.0:.1f} bar)"
    return amount(measure)


def off_centre(measure: Measure) -> str:
    """ "6.4 mm to the left"."""
    to, away = _TOWARDS[measure.name]
    return f"{number(abs(measure.value))} mm {to if measure.value >= 0.0 else away}"


def _whole(value: float | None) -> str:
    return NONE if value is None else whole(float(value))


def _one(value: float | None) -> str:
    return NONE if value is None else number(float(value))


def _two(value: float | None) -> str:
    return NONE if value is None else f"{float(value):.2f}"
