"""Series of a simulation as lines: axial rigidity along the height, and answers against the fill."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.measure import Measure
from trocar.planning.instrument import PSI_MPA
from trocar.reporting.answers import Question, scenario_words
from trocar.reporting.chart import PENS, SOFT, plain_axes, wide_sheet
from trocar.reporting.palette import INK
from trocar.reporting.panel import png
from trocar.reporting.words import number, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Heights of the sheets, pixels.
SECTION_PIXELS, SWEEP_PIXELS = 440, 470
#: How the names of columns end, the longest first, and the unit that is printed for it.
_UNITS = {
    "_n_per_mm": "N/mm",
    "_percent": "%",
    "_deg": "°",
    "_mpa": "MPa",
    "_mm2": "mm²",
    "_mm": "mm",
    "_ml": "mL",
    "_mn": "MN",
    "_n": "N",
}
_MARKS = ("o", "s", "^", "D", "v")


@dataclass(frozen=True)
class Column:
    """One column of a series: its name without the unit, the unit as printed, its values."""

    name: str
    unit: str
    values: tuple[Any, ...]

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers (None where one is missing)."""
        return all(v is None or isinstance(v, (int, float, np.number)) for v in self.values)

    @property
    def head(self) -> str:
        """The heading: name and unit; an answer has the heading of its column elsewhere."""
        name = next((q.head for q in Question if q.value == self.name), title(self.name))
        return f"{name}, {self.unit}" if self.unit else name

    def numbers(self) -> np.ndarray:
        """The values as floats, missing ones not a number."""
        return np.array([np.nan if v is None else float(v) for v in self.values])

    def cells(self) -> tuple[str, ...]:
        """The values as a table shows them."""
        if not self.is_number:
            return tuple(title(name) for name in without_common([str(v) for v in self.values]))
        return tuple("–" if v is None or not np.isfinite(v) else number(float(v), self.unit) for v in self.values)


def columns(series: Mapping[str, Sequence[Any]]) -> tuple[Column, ...]:
    """The columns of a series; raises ``ValueError`` where they are not equally long."""
    lengths = {name: len(values) for name, values in series.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns of a series must be equally long; got {lengths}.")
    return tuple(_column(name, values) for name, values in series.items())


def _column(name: str, values: Sequence[Any]) -> Column:
    ending = next((e for e in _UNITS if name.endswith(e)), "")
    return Column(name.removesuffix(ending), _UNITS.get(ending, ""), tuple(values))


def section_picture(series: Mapping[str, Sequence[Any]]) -> bytes:
    """Each curve of the section series across the page, the height of the body along it, the weakest place marked."""
    height, *curves = columns(series)
    figure = wide_sheet(SECTION_PIXELS)
    axes = figure.add_axes((0.06, 0.15, 0.76, 0.72))
    thousands = curves[0].unit == "N"
    for curve, (colour, dashes) in zip(curves, PENS, strict=False):
        values = curve.numbers() / (1000.0 if thousands else 1.0)
        label = scenario_words(curve.name.removeprefix("axial_rigidity_"))
        axes.plot(height.numbers(), values, color=colour, lw=1.5, ls=(0, dashes) if dashes else "solid", label=label)
        weakest = int(np.nanargmin(values))
        axes.plot([height.numbers()[weakest]], [values[weakest]], "o", ms=5, color=colour)
    shown = height.numbers()[np.any([np.isfinite(c.numbers()) for c in curves], axis=0)]
    axes.set(xlim=(float(shown.min()), float(shown.max())), ylim=(0.0, None))
    axes.set_xlabel(f"height, {height.unit or 'mm'} (feet to head)", fontsize=7.5, color=SOFT)
    axes.set_title(
        f"Axial rigidity of each cross-section, {'kN' if thousands else curves[0].unit}",
        loc="left",
        fontsize=9,
        color=INK,
    )
    _beside(axes)
    return png(figure)


def pressure_picture(
    series: Mapping[str, Mapping[str, Sequence[float]]],
    limit_mpa: float | None = None,
    ends: Mapping[str, Measure] | None = None,
) -> bytes:
    """Pressure against volume, one line for each of some named balloons; where each ends is marked.

    ``limit_mpa`` is the pressure at which to stop; ``ends`` the last pressure of each balloon with its interval.
    """
    figure = wide_sheet(SECTION_PIXELS)
    axes = figure.add_axes((0.06, 0.15, 0.70, 0.72))
    for (name, curve), (colour, dashes) in zip(series.items(), PENS, strict=False):
        x, y = np.asarray(curve["volume_ml"], float), np.asarray(curve["pressure_mpa"], float)
        axes.plot(x, y, color=colour, lw=1.5, ls=(0, dashes) if dashes else "solid", label=title(name))
        axes.plot(x[-1:], y[-1:], "o", ms=5, color=colour)
        end = (ends or {}).get(name)
        if end is not None and end.low is not None and end.high is not None:
            axes.plot([x[-1]] * 2, [end.low, end.high], color=colour, lw=1.4, marker="_", ms=7)
    if limit_mpa is not None:
        axes.axhline(limit_mpa, color=INK, lw=1.1, ls=(0, (6, 3)), label="Pressure limit")
    axes.set(xlim=(0.0, 1.04 * axes.get_xlim()[1]), ylim=(0.0, 1.06 * axes.get_ylim()[1]))
    axes.set_xlabel("volume of the balloon, mL", fontsize=7.5, color=SOFT)
    axes.set_title("Pressure in the balloon, MPa", loc="left", fontsize=9, color=INK)
    axes.set_title("psi", loc="right", fontsize=9, color=INK)
    axes.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(1.07, 1.02), handlelength=3.0)
    plain_axes(axes)
    psi = axes.secondary_yaxis("right", functions=(_psi, _mpa))
    psi.tick_params(labelsize=7.5, colors=SOFT, length=0)
    psi.spines["right"].set_visible(False)
    return png(figure)


def _psi(mpa: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(mpa, float) / PSI_MPA


def _mpa(psi: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(psi, float) * PSI_MPA


def sweep_picture(series: Mapping[str, Sequence[Any]]) -> bytes:
    """Stiffness and strength against the fill, one line for each place of the cement."""
    found = columns(series)
    fill = next(c for c in found if c.is_number and c.name.startswith(("fill", "cement")))
    place = next((c for c in found if not c.is_number), None)
    answers = [c for c in found if c.is_number and c.name.startswith(("stiffness", "strength"))]
    # the strength from the stiffness is the same curve once more
    shown = [c for c in answers if len(answers) < 3 or c.name != Question.BY_STIFFNESS.value][:2]
    figure = wide_sheet(SWEEP_PIXELS)
    width = 0.79 / len(shown) - 0.06
    for n, answer in enumerate(shown):
        axes = figure.add_axes((0.05 + n * (width + 0.07), 0.14, width, 0.73))
        _sweep(axes, fill, answer, place)
        if place is not None and n == len(shown) - 1:
            _beside(axes)
    return png(figure)


def _sweep(axes: Axes, fill: Column, answer: Column, place: Column | None) -> None:
    x, y = fill.numbers(), answer.numbers()
    groups = np.array([""] * len(x) if place is None else _places(place))
    bare = x == 0.0
    axes.plot(x[bare], y[bare], "X", ms=6, color=INK, ls="none", label="No cement" if bare.any() else "_")
    for name, (colour, dashes), mark in zip(dict.fromkeys(groups[~bare]), PENS, _MARKS, strict=False):
        order = np.flatnonzero((groups == name) & ~bare)
        order = order[np.argsort(x[order])]
        style: Any = (0, dashes) if dashes else "solid"
        axes.plot(x[order], y[order], color=colour, ls=style, lw=1.4, marker=mark, ms=4, label=title(str(name)))
    axes.set_xticks(sorted(set(np.round(x).tolist())))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    axes.set_ylim(0.0, 1.08 * float(np.nanmax(y)))
    of = " of the body's volume" if fill.unit == "%" else ""
    axes.set_xlabel(f"{fill.name.replace('_', ' ')}, {fill.unit}{of}", fontsize=7.5, color=SOFT)
    axes.set_title(answer.head, loc="left", fontsize=9, color=INK)
    axes.yaxis.set_major_formatter(lambda value, _: number(value, "N"))
    plain_axes(axes)


def _places(place: Column) -> list[str]:
    """The line that each point is on."""
    return without_common([_without_amount(str(v)) for v in place.values])


def without_common(names: Sequence[str]) -> list[str]:
    """Names without the words that all of them begin with, as long as something is left of each."""
    words = [name.split() for name in names]
    while len(set(names)) > 1 and all(len(w) > 1 for w in words) and len({w[0] for w in words}) == 1:
        words = [w[1:] for w in words]
    return [" ".join(w) for w in words]


def _without_amount(name: str) -> str:
    """A filling's name without how much it is: "central 15 %" is a point of the line "central"."""
    return re.sub(r"[ ,]*[\d.]+ ?(%|mL)?$", "", name)


def _beside(axes: Axes) -> None:
    axes.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.02), handlelength=3.0)
    axes.yaxis.set_major_formatter(lambda value, _: number(value, "N"))
    plain_axes(axes)
