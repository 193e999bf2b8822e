"""The tables of leaks: how often beside published rates, by which ways, what would change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trocar.injection.routes import Basis
from trocar.measure import Measure
from trocar.reporting.cement_answers import Leak, duration, percent_words, route_words, row_words, whole
from trocar.reporting.content import Badge, Table, Tone
from trocar.reporting.words import number, phrase, sentence

#: Stands where a number is missing.
NONE = "–"
#: How a way out is known, as a badge: what was seen matters more than what is common.
BASES = {
    Basis.SEEN: Badge("●", "seen", Tone.DOUBT),
    Basis.EXPECTED: Badge("○", "expected", Tone.UNKNOWN),
}


def leaks_table(found: Sequence[Leak]) -> Table:
    """How often each route leaks in the model and as published, how much, from when, and where to stop."""
    rows = tuple(
        (
            sentence(row_words(leak, found)),
            percent_words(leak.probability) if leak.probability else NONE,
            percent_words(leak.published) if leak.published else NONE,
            *(spread(m) if m else NONE for m in (leak.volume, leak.onset, leak.stop)),
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


def nominal_table(series: Mapping[str, Sequence[Any]]) -> Table:
    """What leaks in the planned injection, and from when on."""
    rows = tuple(
        (sentence(str(way)), route_words(str(to)), _two(ml), _one(at_ml), NONE if at_s is None else duration(at_s))
        for way, to, ml, at_ml, at_s in zip(
            *(series.get(n, ()) for n in ("way", "leads_to", "leaked_ml", "starts_at_ml", "starts_at_s")), strict=True
        )
    )
    heads = ("Through", "Leads to", "Leaked, mL", "Begins at, mL", "Begins after")
    remark = "One injection, with the numbers that are most likely; others leak elsewhere or not at all (above)."
    return Table("Leaks of the planned injection", heads, rows, (2, 3, 4), remark, (1.6, 1.2, 0.6, 0.6, 0.6))


def ways_out_table(series: Mapping[str, Sequence[Any]]) -> Table:
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
    return Table("Ways out of the bone", heads, cells, (3, 5), remark, (1.5, 0.9, 0, 0, 0.8, 0, 2.0))


def _basis(row: Mapping[str, Any]) -> Basis:
    return Basis.SEEN if str(row.get("basis", "")).lower().startswith("seen") else Basis.EXPECTED


def _far(row: Mapping[str, Any]) -> float:
    far = row.get("distance_to_tip_mm")
    return float("inf") if far is None or far != far else float(far)


def _place(row: Mapping[str, Any]) -> str:
    """The way, and where it is."""
    return sentence(", ".join(str(row[name]) for name in ("way", "place") if row.get(name)))


#: What a reader must know who compares the rows. Habib M et al., SAS J 2010;4:26; the risk ratio: PMC5895344, 2018.
_TOO_LITTLE = (
    "This model reacts far less to viscosity, pace and pauses than experiments do: rows that look alike do not say "
    "that thick cement does not help. In patients thick cement leaked 0.38 times as often as thin (meta-analysis, "
    "PMC5895344); on the bench a thin one leaked more than four times as much when fresh as a thick one later "
    "(Habib 2010)."
)
#: Where no row leaks more than this in the mean, volumes that leak have a third decimal, mL.
FINE_ML = 0.1
#: Columns of "leak_changes": of a difference its value and its bounds, and how its numbers are written.
_POINTS, _ML = ("difference_points", "low", "high"), ("leaked_ml_difference", "leaked_low", "leaked_high")


def changes_table(series: Mapping[str, Sequence[Any]]) -> Table:
    """What another tip, volume, viscosity or a pause would do to the probabilities, and to how much leaks."""
    routes = [name for name in series if name.endswith("_percent")]
    leaked = "leaked_ml_mean" in series
    digits = 2 if max((ml for ml in series.get("leaked_ml_mean", ()) if ml is not None), default=0.0) >= FINE_ML else 3
    count = len(series.get("change", ()))
    none = (None,) * count
    rows = tuple(
        (
            sentence(str(series["change"][n])),
            *(_whole(series[name][n]) for name in routes),
            _difference(series, n, _POINTS, _points),
            *_leaked(series, n, digits),
            _one(series.get("cement_ml_median", none)[n]),
        )
        for n in range(count)
    )
    names = (route_words(name.removesuffix("_percent")) for name in routes)
    volumes = ("Leaks, mL", "Difference, mL") if leaked else ()
    heads = ("Change", *(f"{sentence(name)}, %" for name in names), "Difference, points", *volumes, "Cement, mL")
    numeric = tuple(range(1, len(heads)))
    widths = (1.8, *(0.6,) * len(routes), 1.1, *((0.6, 1.3) if leaked else ()), 0.6)
    return Table("What would change it", heads, rows, numeric, _compared(leaked, series.get("draws", ())), widths)


def _leaked(series: Mapping[str, Sequence[Any]], n: int, digits: int) -> tuple[str, ...]:
    """How much leaks in the mean, and its difference; nothing where a simulation does not say."""
    if "leaked_ml_mean" not in series:
        return ()
    mean = series["leaked_ml_mean"][n]
    told = NONE if mean is None else f"{mean:.{digits}f}"
    return told, _difference(series, n, _ML, lambda ml: _signed(ml, digits))


def _compared(leaked: bool, draws: Sequence[int]) -> str:
    """What the columns of a comparison mean, and what they do not."""
    count = f"Of the first {max(draws)} computed injections: shares differ from those of all. " if draws else ""
    much = " Leaks: the mean over all computed injections, by all ways together." if leaked else ""
    return (
        f"{count}Difference: {'' if leaked else 'of any leak, '}against the plan, with its interval (95 %)"
        f"{': in points of any leak, in mL of what leaks' if leaked else ''}. Where the interval holds 0, the "
        f"computation cannot tell the two apart.{much} Cement: the median that stays in the vertebra. {_TOO_LITTLE}"
    )


def _difference(
    series: Mapping[str, Sequence[Any]], n: int, columns: tuple[str, str, str], written: Callable[[float], str]
) -> str:
    value, low, high = (series[k][n] if k in series else None for k in columns)
    if value is None or (value == low == high == 0):
        return NONE
    text = written(value)
    if low is not None and high is not None:
        text += f" ({written(low)} to {written(high)})"
    return text.replace("-", "\N{MINUS SIGN}")


def _points(value: float) -> str:
    """Percentage points with their sign; none for what rounds to 0."""
    return f"{value:+.0f}" if abs(value) >= 0.5 else "0"


def _signed(ml: float, digits: int) -> str:
    """Millilitres with their sign; none for what rounds to 0."""
    return f"{ml:+.{digits}f}" if abs(ml) >= 0.5 * 10.0**-digits else "0"


def published_table(found: Sequence[Leak], series: Mapping[str, Sequence[Any]]) -> Table:
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


def spread(measure: Measure) -> str:
    """The value and its interval without the unit; the value alone where that is all there is to see."""
    digits = _digits(measure.name)
    value = digits(measure.value)
    if measure.low is None or measure.high is None:
        return value
    low, high = digits(measure.low), digits(measure.high)
    return value if low == value == high else f"{value} ({low} to {high})"


def _digits(name: str) -> Callable[[float], str]:
    """How the values of a measure are written."""
    if name.endswith("_cem43"):
        return dose
    if name.startswith("leak_stop_volume_"):
        return _stop
    return _litre if name.startswith("leak_volume_") else number


def _stop(ml: float) -> str:
    """As the findings tell it: rounded down."""
    from trocar.injection.risk import rounded_down_ml

    return f"{rounded_down_ml(ml):.1f}"


def dose(minutes: float) -> str:
    """Equivalent minutes at 43 degC: they run over many powers of ten, and few of their digits are sure."""
    from trocar.injection.heating import MOST_MIN

    if minutes < 0.1:
        return "under 0.1"
    if minutes >= MOST_MIN:
        return f"{MOST_MIN:.0f} or more"
    return f"{minutes:.0f}" if minutes >= 10.0 else f"{minutes:.1f}"


def _litre(ml: float) -> str:
    return f"{ml:.2f}"


def _whole(value: float | None) -> str:
    return NONE if value is None else whole(float(value))


def _one(value: float | None) -> str:
    return NONE if value is None else number(float(value))


def _two(value: float | None) -> str:
    return NONE if value is None else f"{float(value):.2f}"
