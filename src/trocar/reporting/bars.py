"""Bars of stiffness and strength by scenario, with the intervals of the material laws: one wide chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trocar.measure import Measure, unit_text
from trocar.reporting.answers import STRENGTHS, Answers, Question, scenario_words
from trocar.reporting.chart import SOFT, plain_axes, wide_sheet
from trocar.reporting.palette import INK
from trocar.reporting.panel import png
from trocar.reporting.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colour and hatching of each answer's bars: neither alone carries the meaning.
_FILLS: dict[Question, tuple[str, str]] = {
    Question.STIFFNESS: ("#8494A3", ""),
    Question.BY_STIFFNESS: ("#0072B2", ""),
    Question.BY_OFFSET: ("#E69F00", "////"),
    Question.BY_SECTION: ("#56B4E9", "...."),
}
#: Pixels for each bar, between two scenarios, and for headings and legend.
BAR_PIXELS, GAP_PIXELS, HEAD_PIXELS = 30, 22, 150
#: Of a bar's row: how far below its middle the interval is drawn, and how far above it the value stands.
WHISKER_BELOW, VALUE_ABOVE = 0.24, 0.13


def bars_picture(found: Answers) -> bytes:
    """Stiffness on the left, every strength on the right, one group of bars for each scenario."""
    strengths = tuple(q for q in STRENGTHS if q in found.by)
    rows = max(1, len(strengths))
    high = HEAD_PIXELS + len(found.scenarios) * (rows * BAR_PIXELS + GAP_PIXELS)
    figure = wide_sheet(high)
    bottom, height = 24.0 / high, 1.0 - (24.0 + 92.0) / high
    if Question.STIFFNESS in found.by:
        _draw(figure.add_axes((0.115, bottom, 0.36, height)), found, (Question.STIFFNESS,), rows)
    if strengths:
        _draw(figure.add_axes((0.615, bottom, 0.365, height)), found, strengths, rows)
    return png(figure)


def _draw(axes: Axes, found: Answers, questions: tuple[Question, ...], rows: int) -> None:
    """Bars of some questions; ``rows`` bars fit into a group."""
    step = rows + GAP_PIXELS / BAR_PIXELS
    centres = [n * step for n in range(len(found.scenarios))]
    top = 1.22 * max(_end(m) for q in questions for m in found.by[q].values())
    for place, question in enumerate(questions):
        offset = place - (len(questions) - 1) / 2.0
        for centre, scenario in zip(centres, found.scenarios, strict=True):
            if scenario in found.by[question]:
                _bar(axes, centre + offset, found.by[question][scenario], question, top)
    axes.set(xlim=(0.0, top), ylim=(centres[-1] + step / 2.0, -step / 2.0), yticks=centres)
    axes.set_yticklabels([scenario_words(s) for s in found.scenarios])
    _head(axes, questions, unit_text(next(iter(found.by[questions[0]].values())).unit))
    plain_axes(axes, "x")
    axes.tick_params(axis="y", labelsize=8, labelcolor=INK)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda value, _: number(value, "N"))


def _bar(axes: Axes, row: float, measure: Measure, question: Question, top: float) -> None:
    colour, hatch = _FILLS[question]
    axes.barh([row], [measure.value], color=colour, hatch=hatch, edgecolor="white", linewidth=0.0, height=0.82)
    if measure.low is not None and measure.high is not None:
        whisker: dict[str, Any] = {"color": INK, "lw": 1.2, "solid_capstyle": "butt"}
        low = row + WHISKER_BELOW  # the value stands over it, at the end of the bar
        axes.plot([measure.low, measure.high], [low, low], **whisker)
        for end in (measure.low, measure.high):
            axes.plot([end, end], [low - 0.13, low + 0.13], **whisker)
    place = row - VALUE_ABOVE if measure.high is not None else row
    text = number(measure.value, measure.unit)
    axes.text(measure.value + 0.012 * top, place, text, va="center", fontsize=7.5, color=INK)


def _end(measure: Measure) -> float:
    return max(measure.value, measure.high or 0.0)


def _head(axes: Axes, questions: tuple[Question, ...], unit: str) -> None:
    from matplotlib.patches import Patch

    one = len(questions) == 1
    axes.set_title(f"{questions[0].head if one else 'Strength'}, {unit}", loc="left", fontsize=9, color=INK, pad=34)
    if not one:
        patches = [
            Patch(facecolor=_FILLS[q][0], hatch=_FILLS[q][1], edgecolor="white", lw=0.0, label=_short(q))
            for q in questions
        ]
        axes.legend(
            handles=patches, fontsize=7.5, frameon=False, ncols=len(questions), loc="lower left",
            bbox_to_anchor=(-0.02, 1.0), handlelength=2.0, columnspacing=1.2, labelcolor=SOFT,
        )  # fmt: skip


def _short(question: Question) -> str:
    """The heading without its first word, which the chart's title says."""
    return question.head.removeprefix("Strength ")
