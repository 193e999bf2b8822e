"""Slices with outlines, needle and margins, each a PNG."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.vertebra import Part
from trocar.planning.trajectory import Trajectory
from trocar.reporting import palette
from trocar.reporting.needle_drawing import cut, shadow
from trocar.reporting.palette import Stroke
from trocar.reporting.panel import PIXELS, Panel
from trocar.reporting.slides import Slides
from trocar.reporting.views import View
from trocar.treatment import Plan
from trocar.volume import Volume

#: Outlines are sampled on a coarser grid than the image: their smoothness comes from interpolation.
OUTLINE_PIXELS = 240
#: The staircase of the voxels is taken off the outlines by a Gaussian of this width; a flat edge does not move.
OUTLINE_SMOOTHING_VOXELS = 0.6
#: Outlines of fewer points than this are specks.
FEWEST_POINTS = 9
#: Empty voxels put around a mask before it is interpolated.
PADDING = 3
#: Bone window, HU.
WINDOW_WIDTH_HU = 1800.0
WINDOW_LEVEL_HU = 400.0
#: CT number shown outside the scan.
OUTSIDE_HU = -1024.0

_EDGE = Stroke("needle", palette.NEEDLE, (), 1.0)
_PROJECTED = Stroke("needle", palette.NEEDLE, (1.2, 1.2), 0.8)
_AXIS = Stroke("axis", palette.NEEDLE, (), 0.6)


@dataclass(frozen=True)
class Picture:
    """A figure of the report: PNG bytes, what it shows, and the same in words for those who cannot see it.

    A ``wide`` one takes the width of two. One with ``slides`` can be moved through on a screen; ``png`` is for paper.
    """

    name: str
    title: str
    caption: str
    alt: str
    png: bytes
    wide: bool = False
    slides: Slides | None = None


def slice_picture(plan: Plan, trajectory: Trajectory, view: View, others: tuple[Trajectory, ...] = ()) -> bytes:
    """One panel: CT in the bone window, outlines, the needle at true diameter, its margins, letters, scale."""
    panel = Panel(view)
    panel.image(ct_pixels(plan.anatomy.ct, view))
    drawn = _draw_outlines(panel, plan)
    drawn += _draw_needle(panel, trajectory, {s.label for s in drawn})
    for other in others:
        _draw_projection(panel, other)
    markers = _draw_markers(panel, trajectory)
    panel.letters()
    panel.scale()
    panel.legend(drawn, markers)
    return panel.png()


# --- what lies in the plane ---------------------------------------------------------------------


def ct_pixels(ct: Volume, view: View, pixels: int = PIXELS) -> NDArray[np.uint8]:
    """The CT on the view in the bone window, ``(rows, columns)``, 0 to 255."""
    part = _near(ct, view)
    if part is None:
        return np.zeros((pixels, pixels), np.uint8)
    hu = part.sample(view.points_mm(pixels), outside=OUTSIDE_HU)
    low = WINDOW_LEVEL_HU - WINDOW_WIDTH_HU / 2.0
    return np.clip((hu - low) * (255.0 / WINDOW_WIDTH_HU), 0.0, 255.0).astype(np.uint8)


def contours(mask: Volume, view: View, pixels: int = OUTLINE_PIXELS) -> list[NDArray[np.float64]]:
    """Outlines ``(n, 2)`` of a mask on the view, mm (right, down) from the panel's centre."""
    from scipy.ndimage import gaussian_filter
    from skimage.measure import find_contours

    part = _near(mask, view)
    if part is None or not part.array.any():
        return []
    around = padded(part)
    soft = replace(around, array=gaussian_filter(around.array, OUTLINE_SMOOTHING_VOXELS))
    lines = find_contours(soft.sample(view.points_mm(pixels)), 0.5)
    return [((line[:, ::-1] + 0.5) / pixels - 0.5) * view.size_mm for line in lines if len(line) >= FEWEST_POINTS]


def outlined(plan: Plan) -> Iterator[tuple[Stroke, Volume]]:
    """Every mask that is outlined, with its stroke: the vertebra's parts first, then what lies around it."""
    vertebra = plan.anatomy.vertebrae[plan.procedure.level]
    yield palette.BONE, vertebra.mask
    yield palette.BODY, vertebra.body
    yield palette.PEDICLE, vertebra.part(Part.PEDICLE_LEFT, Part.PEDICLE_RIGHT)
    if "spinal_canal" not in plan.anatomy.structures:
        yield palette.CANAL, vertebra.canal
    for name, mask in sorted(plan.anatomy.structures.items()):
        stroke = palette.stroke(name)
        if stroke is not None:
            yield stroke, mask


def padded(mask: Volume) -> Volume:
    """A mask as float32 with empty voxels around it: one that fills its own grid has its edge there too."""
    affine = mask.affine.copy()
    affine[:3, 3] = mask.world_mm([-PADDING] * 3)
    return replace(mask, array=np.pad(mask.array.astype(np.float32), PADDING), affine=affine)


def _near(volume: Volume, view: View) -> Volume | None:
    """The part of a volume that the view can touch, or None."""
    index = volume.index_kji(view.corners_mm())
    low, high, last = index.min(axis=0), index.max(axis=0), np.array(volume.shape) - 1
    if np.any(high < -1.0) or np.any(low > last + 1):
        return None
    start = np.minimum(np.floor(low) - PADDING, last)
    return volume.crop(start.astype(int), np.maximum(np.ceil(high) + PADDING, 1).astype(int))


def _draw_outlines(panel: Panel, plan: Plan) -> list[Stroke]:
    drawn: dict[str, Stroke] = {}
    for stroke, mask in outlined(plan):
        lines = contours(mask, panel.view)
        if lines:
            panel.lines(lines, stroke)
            drawn[stroke.label] = stroke
    return list(drawn.values())


# --- the needle ---------------------------------------------------------------------------------


def margins_shown(trajectory: Trajectory, labels: set[str]) -> dict[float, str]:
    """The margins to draw around the needle, mm, each with the colour of the structure that asks for it.

    Only margins asked for by a structure whose outline is in the panel (or by a wall of bone).
    """
    found: dict[float, str] = {}
    for clearance in trajectory.clearances:
        wall = "wall" in clearance.structure
        stroke = palette.PEDICLE if wall else palette.stroke(clearance.structure)
        if stroke is not None and stroke.label in labels and clearance.margin_mm > 0.0:
            found.setdefault(clearance.margin_mm, stroke.colour)
    return dict(sorted(found.items()))


def _draw_needle(panel: Panel, trajectory: Trajectory, labels: set[str]) -> list[Stroke]:
    """Its projection dashed, the stretch that the plane cuts filled, its margins dashed; the legend's entries."""
    radius = trajectory.instrument.radius_mm
    _draw_projection(panel, trajectory)
    met = cut(panel.view, trajectory.skin_mm, trajectory.target_mm, radius)
    if met is None:
        return [replace(_PROJECTED, label=f"needle, {2 * radius:.1f} mm")]
    band = shadow(panel.view, *met, radius)
    panel.area(band, palette.NEEDLE, 0.45)
    panel.inner_edge(band, _EDGE)
    panel.lines([panel.view.project(np.stack(met))[:, :2]], _AXIS)
    return [
        Stroke(f"needle, {2 * radius:.1f} mm", palette.NEEDLE, (), 3.0),
        *_draw_margins(panel, trajectory, margins_shown(trajectory, labels)),
    ]


def _draw_margins(panel: Panel, trajectory: Trajectory, margins: dict[float, str]) -> list[Stroke]:
    radius = trajectory.instrument.radius_mm
    in_bone = cut(panel.view, trajectory.entry_mm, trajectory.target_mm, radius)
    strokes = [Stroke(f"{mm:g} mm margin", colour, (3, 2), 0.9) for mm, colour in margins.items()] if in_bone else []
    for margin, stroke in zip(margins, strokes, strict=False):
        if in_bone is not None:
            panel.closed(shadow(panel.view, *in_bone, radius, margin), stroke)
    return strokes


def _draw_projection(panel: Panel, trajectory: Trajectory) -> None:
    """The whole needle as it projects on the plane: dashed edges, at true diameter."""
    radius = trajectory.instrument.radius_mm
    panel.inner_edge(shadow(panel.view, trajectory.skin_mm, trajectory.target_mm, radius), _PROJECTED, 0.75)


def _draw_markers(panel: Panel, trajectory: Trajectory) -> list[tuple[str, str]]:
    """Skin, bone entry and target, faint where they lie in front of or behind the plane; what was drawn."""
    drawn = []
    for name, symbol, point, size in (
        ("skin", "v", trajectory.skin_mm, 8.0),
        ("bone entry", "o", trajectory.entry_mm, 7.0),
        ("target", "+", trajectory.target_mm, 11.0),
    ):
        at = panel.view.project(point)
        near = abs(at[2]) <= trajectory.instrument.radius_mm
        if panel.view.holds(point) and panel.view.name != "across":
            panel.marker(at, symbol, size, 1.0 if near else 0.5)
            drawn.append((name, symbol))
    return drawn
