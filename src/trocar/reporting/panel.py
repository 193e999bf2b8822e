"""A dark square picture of a view: the image, lines in millimetres on it, letters, a scale, a legend below.

Drawn with matplotlib's Agg on a bare figure: no axes, whose ticks and margins cost more than the drawing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.reporting import palette
from trocar.reporting.palette import Stroke
from trocar.reporting.views import View

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

#: Edge of an image in pixels, and height of the strip with its legend.
PIXELS = 720
STRIP_PIXELS = 112
DPI = 144
#: PNG compression: 9 is a tenth smaller and four times slower.
PNG_COMPRESSION = 4
#: Length of the scale bar, mm.
SCALE_MM = 20.0
#: Columns and rows of the legend, its type size in points and the length of a sample of line in pixels.
LEGEND_COLUMNS, LEGEND_ROWS, LEGEND_PT, SAMPLE_PIXELS = 4, 4, 7.4, 28


def blank(width_px: int, height_px: int, colour: str) -> Figure:
    """An empty figure of exactly that many pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor=colour)
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes, without a date or a program's name in it."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": PNG_COMPRESSION}
    )
    return buffer.getvalue()


class Panel:
    """A picture of ``view`` under construction. Points are mm (right, down) from the view's centre."""

    def __init__(self, view: View, strip: bool = True, pixels: int = PIXELS) -> None:
        from matplotlib.transforms import Affine2D, Bbox

        below = STRIP_PIXELS if strip else 0
        scale = pixels / view.size_mm
        self.view = view
        self.pixels = pixels
        self.below = below
        self.figure = blank(pixels, pixels + below, palette.PANEL)
        self._mm = Affine2D().scale(scale, -scale).translate(pixels / 2.0, below + pixels / 2.0)
        self._frame = Bbox.from_bounds(0.0, below, pixels, pixels)

    def image(self, pixels: NDArray[np.uint8]) -> None:
        """Fill the square with grey ``(rows, columns)`` or colour ``(rows, columns, 3)``, ``pixels`` each way."""
        colour = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        self.figure.figimage(colour, 0, self.below, origin="upper")

    def lines(self, lines: Sequence[NDArray[np.float64]], stroke: Stroke) -> None:
        """Open or closed lines ``(n, 2)``."""
        from matplotlib.collections import LineCollection

        style: Any = (0, stroke.dashes) if stroke.dashes else "solid"
        made = LineCollection(lines, colors=stroke.colour, linestyles=[style], linewidths=stroke.width_pt)
        self._add(made)

    def area(self, outline: NDArray[np.float64], colour: str, alpha: float) -> None:
        """A filled outline ``(n, 2)``."""
        from matplotlib.patches import Polygon

        self._add(Polygon(outline, fc=colour, alpha=alpha, lw=0))

    def closed(self, outline: NDArray[np.float64], stroke: Stroke) -> None:
        """A stroked outline ``(n, 2)``."""
        self.lines([np.concatenate([outline, outline[:1]])], stroke)

    def inner_edge(self, outline: NDArray[np.float64], stroke: Stroke, alpha: float = 1.0) -> None:
        """The half of a stroke that lies inside the outline: what is drawn is not wider than the outline."""
        from matplotlib.patches import Polygon

        style: Any = (0, stroke.dashes) if stroke.dashes else "solid"
        patch = Polygon(outline, fill=False, ec=stroke.colour, lw=2.0 * stroke.width_pt, ls=style, alpha=alpha)
        self._add(patch)
        patch.set_clip_path(patch)

    def marker(self, at: ArrayLike, symbol: str, size_pt: float, alpha: float = 1.0) -> None:
        """A white symbol with a black rim."""
        x, y = np.asarray(at, dtype=float)[:2]
        for colour, width in (("black", 3.0), ("white", 1.4)):
            self._add(_symbol([x], [y], symbol, size_pt, colour, width, alpha))

    def letters(self) -> None:
        """What lies at each edge, and the view's title."""
        left, right, top, bottom = self.view.letters
        # on a small panel the title is as wide as the panel: the letter at the top stands under it
        high = 0.965 if self.pixels == PIXELS else 1.0 - 44.0 / self.pixels
        for x, y, text, side in (
            (0.012, 0.5, left, "left"),
            (0.988, 0.5, right, "right"),
            (0.5, high, top, "center"),
            (0.5, 0.035, bottom, "center"),
        ):
            self._text(x, y, text, ha=side, va="center", fontsize=12, fontweight="bold")
        self._text(0.015, 0.985, self.view.title, ha="left", va="top", fontsize=8)

    def scale(self) -> None:
        """A bar of :data:`SCALE_MM` in the lower right corner."""
        right, low = 0.475 * self.view.size_mm, 0.46 * self.view.size_mm
        bar = [np.array([[right - SCALE_MM, low], [right, low]])]
        self.lines(bar, Stroke("", "black", (), 4.0))
        self.lines(bar, Stroke("", "white", (), 2.0))
        middle = 0.975 - SCALE_MM / self.view.size_mm / 2.0
        self._text(middle, 0.05, f"{SCALE_MM:g} mm", ha="center", va="bottom", fontsize=8)

    def legend(self, strokes: Sequence[Stroke], markers: Sequence[tuple[str, str]]) -> None:
        """Names of what was drawn, column by column: ``strokes``, then ``markers`` (name, symbol)."""
        entries: list[Stroke | tuple[str, str]] = [*strokes, *markers]
        rows = max(LEGEND_ROWS - 1, -(-len(entries) // LEGEND_COLUMNS))
        step, width = STRIP_PIXELS / (rows + 0.7), self.pixels / LEGEND_COLUMNS
        for n, entry in enumerate(entries):
            x, y = 10.0 + n // rows * width, STRIP_PIXELS - (n % rows + 0.85) * step
            legend_entry(self.figure, x, y, entry)

    def png(self) -> bytes:
        """The picture as PNG bytes."""
        return png(self.figure)

    def drawn(self) -> NDArray[np.uint8]:
        """The picture as pixels ``(rows, columns, 3)``, to be set beside others."""
        canvas: Any = self.figure.canvas
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    def _add(self, artist: Artist) -> None:
        artist.set_transform(self._mm)
        self.figure.add_artist(artist)
        artist.set_clip_box(self._frame)

    def _text(self, x: float, y: float, text: str, **style: Any) -> None:
        from matplotlib.patheffects import withStroke

        share = self.pixels / (self.pixels + self.below)
        rim = [withStroke(linewidth=2.2, foreground="black")]
        self.figure.text(x, 1.0 - share + share * y, text, color="white", path_effects=rim, **style)


def legend_entry(figure: Figure, x: float, y: float, entry: Stroke | tuple[str, str]) -> None:
    """A sample of a line, or a (name, symbol), with its name, its left end at pixel ``(x, y)`` from the lower left."""
    from matplotlib.lines import Line2D
    from matplotlib.text import Text
    from matplotlib.transforms import IdentityTransform

    if isinstance(entry, Stroke):
        name, style = entry.label, (0, entry.dashes) if entry.dashes else "solid"
        line = Line2D([x, x + SAMPLE_PIXELS], [y, y], color=entry.colour, lw=max(entry.width_pt, 1.4), ls=style)
    else:
        name = entry[0]
        line = _symbol([x + SAMPLE_PIXELS / 2.0], [y], entry[1], 6.0, "white", 1.0, 1.0)
    words = Text(x + SAMPLE_PIXELS + 8.0, y, name, color=palette.PANEL_INK, fontsize=LEGEND_PT, va="center_baseline")
    for artist in (line, words):
        artist.set_transform(IdentityTransform())
        figure.add_artist(artist)


def _symbol(
    x: list[float], y: list[float], symbol: str, size_pt: float, colour: str, width: float, alpha: float
) -> Any:
    from matplotlib.lines import Line2D

    return Line2D(x, y, ls="none", marker=symbol, ms=size_pt, mfc="none", mec=colour, mew=width, alpha=alpha)
