"""Slices with outlines, needle and margins, each a PNG. Drawn with matplotlib's Agg, without pyplot."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.vertebra import Part
from trocar.geometry import Vector
from trocar.planning.trajectory import Trajectory
from trocar.reporting import palette
from trocar.reporting.needle_drawing import cut, shadow
from trocar.reporting.palette import Stroke
from trocar.reporting.views import View
from trocar.treatment import Plan
from trocar.volume import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Edge of an image in pixels, and of the strip with its legend.
PIXELS = 720
STRIP_PIXELS = 112
DPI = 144
#: Outlines are sampled on a coarser grid than the image: their smoothness comes from interpolation.
OUTLINE_PIXELS = 240
#: The staircase of the voxels is taken off the outlines by a Gaussian of this width; a flat edge does not move.
OUTLINE_SMOOTHING_VOXELS = 0.6
#: Empty voxels put around a mask before it is interpolated.
PADDING = 3
#: Bone window, HU.
WINDOW_WIDTH_HU = 1800.0
WINDOW_LEVEL_HU = 400.0
#: CT number shown outside the scan.
OUTSIDE_HU = -1024.0
#: PNG compression: 9 is a tenth smaller and four times slower.
PNG_COMPRESSION = 4


@dataclass(frozen=True)
class Picture:
    """A figure of the report: PNG bytes, what it shows, and the same in words for those who cannot see it.

    A ``wide`` one takes the width of two.
    """

    name: str
    title: str
    caption: str
    alt: str
    png: bytes
    wide: bool = False


def slice_picture(plan: Plan, trajectory: Trajectory, view: View, others: tuple[Trajectory, ...] = ()) -> bytes:
    """One panel: CT in the bone window, outlines, the needle at true diameter, its margins, letters, scale."""
    figure, axes = panel(view)
    _show_ct(axes, plan.anatomy.ct, view)
    drawn = _draw_outlines(axes, plan, view)
    drawn += _draw_needle(axes, view, trajectory, {s.label for s in drawn})
    for other in others:
        _draw_shadow(axes, view, other)
    markers = _draw_markers(axes, view, trajectory)
    draw_letters(axes, view)
    draw_scale(axes, view)
    _draw_legend(figure, drawn, markers)
    return png(figure)


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes, without a date or a program's name in it."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": PNG_COMPRESSION}
    )
    return buffer.getvalue()


def blank(width_px: int, height_px: int, colour: str) -> Figure:
    """An empty figure of exactly that many pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor=colour)
    FigureCanvasAgg(figure)
    return figure


def panel(view: View, strip: bool = True) -> tuple[Figure, Axes]:
    """A dark square of ``PIXELS`` whose axes are mm (right, down) from the view's centre, with a strip below."""
    below = STRIP_PIXELS if strip else 0
    figure = blank(PIXELS, PIXELS + below, palette.PANEL)
    share = PIXELS / (PIXELS + below)
    axes = figure.add_axes((0.0, 1.0 - share, 1.0, share))
    half = view.size_mm / 2.0
    axes.set(xlim=(-half, half), ylim=(half, -half))
    axes.axis("off")
    return figure, axes


def _show_ct(axes: Axes, ct: Volume, view: View) -> None:
    half = view.size_mm / 2.0
    axes.imshow(
        ct_pixels(ct, view),
        cmap="gray",
        vmin=0,
        vmax=255,
        extent=(-half, half, half, -half),
        interpolation="nearest",
        resample=False,
    )


def ct_pixels(ct: Volume, view: View, pixels: int = PIXELS) -> NDArray[np.uint8]:
    """The CT on the view in the bone window, ``(rows, columns)``, 0 to 255."""
    part = _near(ct, view)
    if part is None:
        return np.zeros((pixels, pixels), np.uint8)
    hu = part.sample(view.points_mm(pixels), outside=OUTSIDE_HU)
    low = WINDOW_LEVEL_HU - WINDOW_WIDTH_HU / 2.0
    return np.clip((hu - low) * (255.0 / WINDOW_WIDTH_HU), 0.0, 255.0).astype(np.uint8)


def _near(volume: Volume, view: View) -> Volume | None:
    """The part of a volume that the view can touch, or None."""
    index = volume.index_kji(view.corners_mm())
    low, high = index.min(axis=0), index.max(axis=0)
    if np.any(high < -1.0) or np.any(low > np.array(volume.shape)):
        return None
    return volume.crop(
        np.minimum(np.floor(low) - 2, np.array(volume.shape) - 1).astype(int),
        np.maximum(np.ceil(high) + 3, 1).astype(int),
    )


def padded(mask: Volume) -> Volume:
    """A mask as float32 with empty voxels around it: one that fills its own grid has its edge there too."""
    affine = mask.affine.copy()
    affine[:3, 3] = mask.world_mm([-PADDING] * 3)
    return replace(mask, array=np.pad(mask.array.astype(np.float32), PADDING), affine=affine)


def outlined(plan: Plan) -> Iterator[tuple[Stroke, Volume]]:
    """Every mask that is outlined, with its stroke: the vertebra's parts first, then what lies around it."""
    vertebra = plan.anatomy.vertebrae[plan.procedure.level]
    yield palette.BONE, vertebra.mask
    yield palette.BODY, vertebra.body
    yield palette.PEDICLE, vertebra.part(Part.PEDICLE_LEFT, Part.PEDICLE_RIGHT)
    if "spinal_canal" not in plan.anatomy.structures:
        canal = palette.stroke("spinal_canal")
        assert canal is not None
        yield canal, vertebra.canal
    for name, mask in sorted(plan.anatomy.structures.items()):
        stroke = palette.stroke(name)
        if stroke is not None:
            yield stroke, mask


def contours(mask: Volume, view: View, pixels: int = OUTLINE_PIXELS) -> list[NDArray[np.float64]]:
    """Outlines ``(n, 2)`` of a mask on the view, mm (right, down) from the panel's centre."""
    from scipy.ndimage import gaussian_filter
    from skimage.measure import find_contours

    part = _near(mask, view)
    if part is None or not part.array.any():
        return []
    around = padded(part)
    soft = replace(around, array=gaussian_filter(around.array, OUTLINE_SMOOTHING_VOXELS))
    values = soft.sample(view.points_mm(pixels))
    lines = find_contours(values, 0.5)
    return [((line[:, ::-1] + 0.5) / pixels - 0.5) * view.size_mm for line in lines if len(line) > 8]


def _draw_outlines(axes: Axes, plan: Plan, view: View) -> list[Stroke]:
    from matplotlib.collections import LineCollection

    drawn: dict[str, Stroke] = {}
    for stroke, mask in outlined(plan):
        lines = contours(mask, view)
        if lines:
            style: Any = (0, stroke.dashes) if stroke.dashes else "solid"
            axes.add_collection(
                LineCollection(lines, colors=stroke.colour, linestyles=[style], linewidths=stroke.width_pt)
            )
            drawn[stroke.label] = stroke
    return list(drawn.values())


def margins_shown(trajectory: Trajectory, labels: set[str]) -> dict[float, str]:
    """The margins to draw around the needle, mm, each with the colour of the structure that asks for it.

    Only margins asked for by a structure whose outline is in the panel (or by the pedicle's wall).
    """
    found: dict[float, str] = {}
    for clearance in trajectory.clearances:
        stroke = palette.stroke(clearance.structure)
        if "pedicle" in clearance.structure:
            stroke = palette.PEDICLE
        if stroke is not None and stroke.label in labels and clearance.margin_mm > 0.0:
            found.setdefault(clearance.margin_mm, stroke.colour)
    return dict(sorted(found.items()))


def _draw_needle(axes: Axes, view: View, trajectory: Trajectory, labels: set[str]) -> list[Stroke]:
    from matplotlib.patches import Polygon

    radius = trajectory.instrument.radius_mm
    met = cut(view, trajectory.skin_mm, trajectory.target_mm, radius)
    drawn = [Stroke(f"needle, {2 * radius:.1f} mm", palette.NEEDLE, (), 3.0)]
    _draw_shadow(axes, view, trajectory)
    if met is not None:
        band = shadow(view, *met, radius)
        axes.add_patch(Polygon(band, fc=palette.NEEDLE, alpha=0.45, lw=0))
        _edge(axes, band, lw=2.0)
        for margin, colour in margins_shown(trajectory, labels).items():
            near = cut(view, trajectory.entry_mm, trajectory.target_mm, radius)
            if near is not None:
                outline = shadow(view, *near, radius, margin)
                axes.add_patch(Polygon(outline, fill=False, ec=colour, lw=0.9, ls=(0, (3, 2))))
                drawn.append(Stroke(f"{margin:g} mm margin", colour, (3, 2), 0.9))
        _draw_axis(axes, view, *met)
    return drawn


def _draw_shadow(axes: Axes, view: View, trajectory: Trajectory) -> None:
    """The whole needle as it projects on the plane: dashed edges, at true diameter."""
    outline = shadow(view, trajectory.skin_mm, trajectory.target_mm, trajectory.instrument.radius_mm)
    _edge(axes, outline, lw=1.6, ls=(0, (1.2, 1.2)), alpha=0.75)


def _edge(axes: Axes, outline: NDArray[np.float64], **style: Any) -> None:
    """Half of a stroke, the half inside the outline: the drawn needle is not wider than the real one."""
    from matplotlib.patches import Polygon

    patch = Polygon(outline, fill=False, ec=palette.NEEDLE, **style)
    axes.add_patch(patch)
    patch.set_clip_path(patch)


def _draw_axis(axes: Axes, view: View, start_mm: Vector, end_mm: Vector) -> None:
    ends = view.project(np.stack([start_mm, end_mm]))
    axes.plot(ends[:, 0], ends[:, 1], color=palette.NEEDLE, lw=0.6, alpha=0.9)


def _draw_markers(axes: Axes, view: View, trajectory: Trajectory) -> list[tuple[str, str]]:
    """Skin, bone entry and target, faint where they lie in front of or behind the plane; what was drawn."""
    drawn = []
    for name, symbol, point, size in (
        ("skin", "v", trajectory.skin_mm, 8),
        ("bone entry", "o", trajectory.entry_mm, 7),
        ("target", "+", trajectory.target_mm, 11),
    ):
        x, y, height = view.project(point)
        near = abs(height) <= trajectory.instrument.radius_mm
        if view.holds(point) and (near or view.name != "across"):
            for colour, width in (("black", 3.0), ("white", 1.4)):
                axes.plot([x], [y], symbol, ms=size, mfc="none", mec=colour, mew=width, alpha=1.0 if near else 0.5)
            drawn.append((name, symbol))
    return drawn


def _outline_text(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    from matplotlib.patheffects import withStroke

    options: dict[str, Any] = {
        "color": "white",
        "fontsize": 9,
        "path_effects": [withStroke(linewidth=2.2, foreground="black")],
    }
    axes.text(x, y, text, transform=axes.transAxes, **(options | style))


def draw_letters(axes: Axes, view: View) -> None:
    """What lies at each edge, and the panel's title."""
    left, right, top, bottom = view.letters
    for x, y, text in ((0.03, 0.5, left), (0.97, 0.5, right), (0.5, 0.965, top), (0.5, 0.035, bottom)):
        _outline_text(axes, x, y, text, ha="center", va="center", fontsize=12, fontweight="bold")
    _outline_text(axes, 0.015, 0.985, view.title, ha="left", va="top", fontsize=8)


def draw_scale(axes: Axes, view: View) -> None:
    """A bar of 20 mm in the lower right corner."""
    length = 20.0
    x1, y = view.size_mm / 2.0 * 0.95, view.size_mm / 2.0 * 0.92
    for colour, width in (("black", 4.0), ("white", 2.0)):
        axes.plot([x1 - length, x1], [y, y], color=colour, lw=width, solid_capstyle="butt")
    _outline_text(axes, 0.975 - length / view.size_mm / 2, 0.05, f"{length:g} mm", ha="center", va="bottom", fontsize=8)


def _draw_legend(figure: Figure, strokes: list[Stroke], markers: list[tuple[str, str]]) -> None:
    from matplotlib.lines import Line2D

    handles: list[Any] = [
        Line2D(
            [], [], color=s.colour, lw=max(s.width_pt, 1.4), ls=(0, s.dashes) if s.dashes else "solid", label=s.label
        )
        for s in strokes
    ]
    for label, marker in markers:
        handles.append(Line2D([], [], ls="none", marker=marker, mfc="none", mec="white", ms=6, label=label))
    figure.legend(
        handles=handles,
        loc="center",
        bbox_to_anchor=(0.0, 0.0, 1.0, STRIP_PIXELS / (PIXELS + STRIP_PIXELS)),
        ncol=4,
        mode="expand",
        frameon=False,
        fontsize=7.4,
        labelcolor=palette.PANEL_INK,
        handlelength=1.9,
        columnspacing=0.8,
        borderaxespad=0.3,
        labelspacing=0.3,
    )
