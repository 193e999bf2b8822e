"""What was measured at several times: before, with the balloon full, after it was emptied, at the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from trocar.measure import Measure
from trocar.reporting.chart import PENS, SOFT, plain_axes, wide_sheet
from trocar.reporting.palette import INK
from trocar.reporting.panel import png
from trocar.reporting.words import number, title, unit_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: How the names of one measure at several times end, in their order.
TIMES = ("before", "inflated", "deflated", "after")
#: What the times are called.
TIME_WORDS = {
    "before": "Before",
    "inflated": "Balloon full",
    "deflated": "Balloon empty",
    "after": "After",
}
#: Said wherever angles are told.
KYPHOSIS_IS_POSITIVE = "Kyphosis is positive."
_MARKS = ("o", "^", "s", "D")
#: Pixels for each mark, between two measures, and for title and axis.
ROW_PIXELS, GAP_PIXELS, HEAD_PIXELS = 30, 16, 130

ByTime = dict[str, dict[str, Measure]]


def time_of(measure: Measure) -> tuple[str, str] | None:
    """Name and time of a measure that was taken at several times, e.g. ``anterior_height_before``."""
    stem, _, time = measure.name.rpartition("_")
    return (stem, time) if stem and time in TIMES else None


def by_time(measures: Iterable[Measure]) -> ByTime:
    """The measures that were taken at several times, ``[name][time]``."""
    found: ByTime = {}
    for measure in measures:
        if (named := time_of(measure)) is not None:
            found.setdefault(named[0], {})[named[1]] = measure
    return found


def times_in(found: ByTime) -> tuple[str, ...]:
    """The times there are, in their order."""
    return tuple(t for t in TIMES if any(t in by for by in found.values()))


def times_picture(found: ByTime) -> bytes:
    """One row of marks with intervals for each measure and time; one chart for each unit."""
    units = list(dict.fromkeys(next(iter(by.values())).unit for by in found.values()))[:2]
    groups = [{n: by for n, by in found.items() if next(iter(by.values())).unit == u} for u in units]
    step = len(times_in(found)) * ROW_PIXELS + GAP_PIXELS
    high = HEAD_PIXELS + step * max(len(g) for g in groups)
    figure = wide_sheet(high)
    for n, (unit, group) in enumerate(zip(units, groups, strict=True)):
        height = step * len(group) / high
        axes = figure.add_axes((0.12 + 0.5 * n, 1.0 - 76.0 / high - height, 0.36, height))
        _draw(axes, group, times_in(found), unit)
        if n == 0:
            axes.legend(
                fontsize=7.5, frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(-0.02, 1.0), labelcolor=SOFT
            )
    return png(figure)


def _draw(axes: Axes, group: ByTime, times: tuple[str, ...], unit: str) -> None:
    step = len(times) + GAP_PIXELS / ROW_PIXELS
    for row, by in enumerate(group.values()):
        for n, time in enumerate(times):
            if time in by:
                _mark(axes, row * step + n, by[time], n, TIME_WORDS[time] if row == 0 else "_")
    middles = [row * step + (len(times) - 1) / 2.0 for row in range(len(group))]
    axes.set(ylim=(middles[-1] + step / 2.0, middles[0] - step / 2.0), yticks=middles)
    axes.set_yticklabels([title(name) for name in group])
    axes.set_title(f"{'Heights' if unit == 'mm' else 'Angles'}, {unit_words(unit)}", loc="left", fontsize=9, pad=26)
    axes.margins(x=0.14)
    plain_axes(axes, "x")
    axes.tick_params(axis="y", labelsize=8, labelcolor=INK)


def _mark(axes: Axes, row: float, measure: Measure, n: int, label: str) -> None:
    colour = (INK, *(pen for pen, _ in PENS))[n]
    if measure.low is not None and measure.high is not None:
        axes.plot([measure.low, measure.high], [row, row], color=colour, lw=1.4, solid_capstyle="butt")
    axes.plot([measure.value], [row], _MARKS[n], ms=6, color=colour, ls="none", label=label)
    end = measure.value if measure.high is None else max(measure.value, measure.high)
    axes.annotate(
        number(measure.value, measure.unit), (end, row), (7, 0), textcoords="offset points", va="center", fontsize=7.5
    )
