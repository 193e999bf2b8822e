"""What the report's charts on white share: pens, axes without ornament, a wide sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trocar.reporting.panel import PIXELS, blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's set in the strength that shows on white, and a dash pattern for each line.
PENS: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("#D55E00", ()),
    ("#0072B2", (5, 1.5)),
    ("#CC79A7", (2, 1.2)),
    ("#8A6A00", (6, 1.5, 1, 1.5)),
    ("#56B4E9", (1, 1)),
)
#: Words beside a chart that are not its message.
SOFT = "#55626F"
#: A wide sheet takes the width of two panels and their gap.
WIDE_PIXELS = 2 * PIXELS + 16


def wide_sheet(height_px: int) -> Figure:
    """An empty white figure as wide as the report."""
    return blank(WIDE_PIXELS, height_px, "white")


def plain_axes(axes: Axes, lines: Literal["x", "y"] = "y") -> None:
    """No frame, no ticks, faint ``lines`` along one axis."""
    axes.tick_params(labelsize=7.5, colors=SOFT, length=0)
    axes.grid(axis=lines, color="#E3E8ED", lw=0.6)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color("#AAB4BE")
