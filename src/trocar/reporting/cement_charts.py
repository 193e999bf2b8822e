"""Curves of an injection: pressure, viscosity, leaks, the risk by volume, what others found, and the heat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trocar.measure import Measure
from trocar.reporting.cement_answers import (
    ANY,
    Leak,
    in_percent,
    limits,
    percent_words,
    route_words,
    row_words,
)
from trocar.reporting.chart import PENS, SOFT, plain_axes, wide_sheet
from trocar.reporting.palette import INK
from trocar.reporting.panel import png
from trocar.reporting.words import sentence, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Series = Mapping[str, Sequence[Any]]

#: Heights of the sheets, pixels; of the sheet with a row for each route without, and for each row.
CURVES_PIXELS, HEAD_PIXELS, ROW_PIXELS = 390, 120, 54
#: The axis of the risk goes at least so many times as high as the highest limit on it.
ABOVE_LIMIT = 1.6
#: Temperatures that are marked, degC: where heating beside the cord is stopped (Nakatsuka 2009, Cardiovasc Intervent
#: Radiol 32:70), and above which the time was told when cement was measured in vertebrae (Belkoff and Molloy 2003,
#: Spine 28:1555).
MARKED_C = (45.0, 50.0)
#: Temperature of the body, degC.
BODY_C = 37.0
_PUBLISHED = "#0072B2"


def injection_picture(series: Series) -> bytes:
    """Pressure, viscosity, and what has been injected and has leaked, over the time of the injection."""
    figure = wide_sheet(CURVES_PIXELS)
    seconds = _numbers(series, "time_s")
    parts = (
        ("Pressure, kPa", {"driving_kpa": "before the cannula", "tip_kpa": "at the tip"}),
        ("Viscosity, Pa s", {"viscosity_pa_s": "entering the bone"}),
        ("Volume, mL", {"injected_ml": "injected", "leaked_ml": "leaked"}),
    )
    shown = [(head, {k: w for k, w in lines.items() if k in series}) for head, lines in parts]
    shown = [(head, lines) for head, lines in shown if lines]
    width = 0.95 / len(shown)
    for n, (head, lines) in enumerate(shown):
        axes = figure.add_axes((0.045 + n * width, 0.15, width - 0.06, 0.65))
        for (name, words), (colour, dashes) in zip(lines.items(), PENS, strict=False):
            axes.plot(seconds, _numbers(series, name), color=colour, ls=_style(dashes), lw=1.5, label=words)
        axes.set(xlim=(0.0, float(seconds[-1])), ylim=(0.0, None))
        axes.margins(y=0.08)
        _heads(axes, head, "time from the start of the injection, s")
        axes.legend(fontsize=7.5, frameon=False, loc="lower left", bbox_to_anchor=(-0.02, 1.08), ncols=2)
        plain_axes(axes)
    return png(figure)


def window_picture(
    series: Series, start_min: float | None, end_min: float | None, planned_min: tuple[float, float] | None = None
) -> bytes:
    """Viscosity from mixing on, as a bar the time in which it can be injected, and as a shade that of the plan."""
    figure = wide_sheet(CURVES_PIXELS)
    minutes, viscosity = _numbers(series, "minutes"), _numbers(series, "pa_s")
    axes = figure.add_axes((0.06, 0.30, 0.91, 0.58))
    bar = figure.add_axes((0.06, 0.13, 0.91, 0.07), sharex=axes)
    axes.semilogy(minutes, viscosity, color=PENS[0][0], lw=1.6)
    axes.set_xlim(0.0, float(minutes[-1]))
    _heads(axes, "Viscosity, Pa s", "")
    plain_axes(axes)
    axes.tick_params(labelbottom=False)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    low, high = start_min or 0.0, float(minutes[-1]) if end_min is None else end_min
    for left, right, colour, words in (
        (0.0, low, "#E3E8ED", "too thin"),
        (low, high, "#BFE3D6", f"inject: {low:.1f} to {high:.1f} min"),
        (high, float(minutes[-1]), "#C9D0D7", "too thick"),
    ):
        if right > left:
            bar.barh([0], [right - left], left=left, color=colour, height=1.0)
            if right - left > 0.08 * minutes[-1]:
                bar.text((left + right) / 2.0, 0, words, ha="center", va="center", fontsize=8, color=INK)
    if planned_min is not None:
        axes.axvspan(*planned_min, color=PENS[4][0], alpha=0.3, lw=0)
    for at in (low, high):
        axes.axvline(at, color=SOFT, lw=0.9, ls=(0, (3, 2)))
    bar.set(ylim=(-0.5, 0.5), yticks=[])
    bar.set_xlabel("minutes from the start of mixing", fontsize=7.5, color=SOFT)
    plain_axes(bar, "x")
    return png(figure)


def risk_picture(series: Series, planned_ml: float | None) -> bytes:
    """The share of computed injections that have leaked when so much is in: by any route, and by each that leaked.

    Dashed: the limits of the routes that are drawn.
    """
    figure = wide_sheet(CURVES_PIXELS)
    axes = figure.add_axes((0.05, 0.15, 0.72, 0.74))
    volume = _numbers(series, "volume_ml")
    told = [n for n in series if n == ANY or (n != "volume_ml" and _numbers(series, n).any())]
    for name, (colour, dashes) in zip(told, _pens(len(told)), strict=False):
        percent = 100.0 * _numbers(series, name)
        width = 2.0 if name == ANY else 1.5
        axes.plot(volume, percent, color=colour, ls=_style(dashes), lw=width, label=sentence(route_words(name)))
    found = limits(series)
    for limit in found:
        axes.axhline(limit, color=INK, lw=0.9, ls=(0, (6, 3)), zorder=1.5)
        axes.annotate(f"limit {limit:.0f} %", (0.0, limit), (3, 2), xycoords=("axes fraction", "data"), fontsize=7.5,
                      textcoords="offset points", color=INK)  # fmt: skip
    top = max((1.1 * axes.get_ylim()[1], *(ABOVE_LIMIT * limit for limit in found)))
    axes.set(xlim=(0.0, 1.03 * float(volume[-1])), ylim=(0.0, top))
    if planned_ml is not None:
        axes.axvline(planned_ml, color=SOFT, lw=1.2, ls=(0, (2, 2)), label=f"Planned, {planned_ml:.1f} mL")
    _heads(axes, "Leaked, % of the computed injections", "injected, mL")
    axes.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.02), handlelength=3.0)
    plain_axes(axes)
    return png(figure)


def rates_picture(found: Sequence[Leak]) -> bytes:
    """The model's probability of each route with its interval, and under it what others published."""
    rows = [leak for leak in found if leak.probability is not None]
    high = HEAD_PIXELS + ROW_PIXELS * len(rows)
    figure = wide_sheet(high)
    axes = figure.add_axes((0.17, 52.0 / high, 0.79, 1.0 - HEAD_PIXELS / high))
    for row, leak in enumerate(rows):
        if leak.probability is not None:
            _dot(axes, row - 0.18, leak.probability, INK, "o", "this model" if row == 0 else "_")
        if leak.published is not None:
            first = not any(other.published for other in rows[:row])
            _dot(axes, row + 0.22, leak.published, _PUBLISHED, "D", "published" if first else "_")
    top = max(_end(m) for leak in rows for m in (leak.probability, leak.published) if m)
    axes.set(xlim=(0.0, max(1.2 * top, 1.0)), ylim=(len(rows) - 0.5, -0.5), yticks=range(len(rows)))
    axes.set_yticklabels([sentence(row_words(leak, rows)) for leak in rows])
    axes.set_xlabel("%", fontsize=7.5, color=SOFT)
    axes.legend(fontsize=7.5, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(-0.01, 1.0), labelcolor=SOFT)
    plain_axes(axes, "x")
    axes.tick_params(axis="y", labelsize=8, labelcolor=INK)
    return png(figure)


def temperature_picture(series: Series) -> bytes:
    """The temperature of each region over the minutes after the injection, with the levels that are marked."""
    figure = wide_sheet(CURVES_PIXELS)
    axes = figure.add_axes((0.05, 0.15, 0.72, 0.74))
    minutes = _numbers(series, "time_min")
    names = [n for n in series if n != "time_min"]
    for name, (colour, dashes) in zip(names, _pens(len(names)), strict=False):
        axes.plot(minutes, _numbers(series, name), color=colour, ls=_style(dashes), lw=1.5, label=title(name))
    top = max(MARKED_C[-1] + 3.0, *(float(np.nanmax(_numbers(series, n))) + 2.0 for n in names))
    for at in MARKED_C:
        axes.axhline(at, color=INK, lw=0.9, ls=(0, (6, 3)))
        axes.annotate(f"{at:.0f} °C", (1.0, at), (-3, 2), xycoords=("axes fraction", "data"), ha="right",
                      textcoords="offset points", fontsize=7.5, color=INK)  # fmt: skip
    axes.set(xlim=(0.0, float(minutes[-1])), ylim=(BODY_C - 1.0, top))
    _heads(axes, "Temperature, °C", "minutes from the end of the injection")
    axes.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.02), handlelength=3.0)
    plain_axes(axes)
    return png(figure)


def _dot(axes: Axes, row: float, measure: Measure, colour: str, mark: str, label: str) -> None:
    shown = in_percent(measure)
    if shown.low is not None and shown.high is not None:
        axes.plot([shown.low, shown.high], [row, row], color=colour, lw=1.4, solid_capstyle="butt")
    axes.plot([shown.value], [row], mark, ms=5.5, color=colour, ls="none", label=label, clip_on=False)
    style: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 7.5, "color": colour}
    axes.annotate(percent_words(measure), (_end(measure), row), (9, 0), **style)


def _end(measure: Measure) -> float:
    """Where a dot's interval ends, in percent."""
    shown = in_percent(measure)
    return shown.value if shown.high is None else max(shown.value, shown.high)


def _heads(axes: Axes, head: str, below: str) -> None:
    axes.set_title(head, loc="left", fontsize=9, color=INK)
    axes.set_xlabel(below, fontsize=7.5, color=SOFT)


def _pens(count: int) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """A pen for each of many lines: the same colours again in other dashes."""
    more = tuple((colour, (1.0, 2.5)) for colour, _ in PENS)
    return (PENS + more)[: max(count, 1)]


def _style(dashes: tuple[float, ...]) -> Any:
    return (0, dashes) if dashes else "solid"


def _numbers(series: Series, name: str) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else float(v) for v in series[name]])
