"""Cement on CT planes through the needle's tip: as far as it has come at some volumes, and how often it gets there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from trocar.geometry import Vector
from trocar.reporting import fields, palette
from trocar.reporting.cement_charts import MARKED_C
from trocar.reporting.chart import WIDE_PIXELS
from trocar.reporting.fields import GAP, VERTEBRA, ColourScale, edge_of
from trocar.reporting.figures import contours, ct_pixels
from trocar.reporting.palette import CANAL, Stroke
from trocar.reporting.panel import Panel, blank, legend_entry, png
from trocar.reporting.slides import OPACITY, Area, Slides, Step, path_data
from trocar.reporting.views import View
from trocar.treatment import Plan
from trocar.volume import Volume

#: Room around the body in a plane, mm: the canal behind it, the discs, the vessels in front.
AROUND_MM = 13.0
#: Height of the strip with the legend, pixels.
STRIP = 48
#: Panels of the strip of pictures side by side: so many volumes.
ON_PAPER = 4
#: A slider has at most about so many steps, and these are the volumes between two of them, mL.
MOST_STEPS = 8.25
STEPS_ML = (0.05, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 5.0)
#: A tip farther from a plane than this is drawn faint, mm.
NEAR_MM, FAINT = 3.0, 0.4
#: Below this probability a place is not coloured.
LEAST_REACH = 0.05

CEMENT = Stroke("cement", "#FF6FD8", (), 1.8)
OUTSIDE = Stroke("cement outside the bone", palette.YELLOW, (3, 1.6), 1.8)
OFTEN = Stroke("reached in half of them", "#FFFFFF", (3, 1.6), 1.4)
REACH = ColourScale("of the computed injections, %", 100.0, 100.0, closed=True)
#: Lines around what gets warmer than the marked temperatures.
WARM = {
    above: Stroke(f"above {above:.0f} °C", colour, dashes, 1.6)
    for above, (colour, dashes) in zip(MARKED_C, ((palette.YELLOW, (3, 1.6)), (palette.ORANGE, ())), strict=True)
}
_TIP = ("needle tip", "x")

#: Cement in the bone and outside it, at some volume.
Parts = tuple[Volume, Volume]


def tip_planes(plan: Plan) -> tuple[View, View, View]:
    """Axial, coronal and sagittal in the vertebra's own frame, about its body; two tips share the first two planes."""
    vertebra = plan.anatomy.vertebra(plan.procedure.level)
    frame = vertebra.frame
    local = frame.to_local(vertebra.body.points_mm())
    low, high = local.min(axis=0), local.max(axis=0)
    middle, size = (low + high) / 2.0, float(np.max(high - low)) + 2.0 * AROUND_MM
    tips = frame.to_local(np.array([t.target_mm for t in plan.best.trajectories]))
    at, side = tips.mean(axis=0), plan.best.trajectories[0].side.value
    through, first = ("the tip", "the tip") if len(tips) == 1 else ("the tips", f"the {side} tip")
    left, back, up = frame.left, frame.posterior, frame.superior

    def place(*xyz: float) -> Vector:
        return np.asarray(frame.to_world(np.array(xyz)))

    return (
        View("axial", f"Axial, through {through}", place(middle[0], middle[1], at[2]), left, back, size),
        View("coronal", f"Coronal, through {through}", place(middle[0], at[1], middle[2]), left, -up, size),
        View("sagittal", f"Sagittal, through {first}", place(tips[0][0], middle[1], middle[2]), back, -up, size),
    )


def steps_ml(total_ml: float) -> tuple[float, ...]:
    """Round volumes up to the last, which is all of it."""
    step = next((s for s in STEPS_ML if total_ml / s <= MOST_STEPS), total_ml / MOST_STEPS)
    before = step * np.arange(1, int(total_ml / step) + 1)
    return (*(float(v) for v in np.round(before[before < total_ml - 0.5 * step], 6)), total_ml)


def on_paper(volumes_ml: Sequence[float]) -> tuple[float, ...]:
    """At most :data:`ON_PAPER` of some volumes, evenly, the last among them."""
    if len(volumes_ml) <= ON_PAPER:
        return tuple(volumes_ml)
    return tuple(volumes_ml[n - 1] for n in np.rint(np.linspace(0, len(volumes_ml), ON_PAPER + 1)[1:]).astype(int))


def parts_at(plan: Plan, arrival: Volume) -> Callable[[float], Parts]:
    """What cement has filled at a volume, in the bone and outside it: what gets more than a voxel's width beyond."""
    bone = plan.anatomy.vertebra(plan.procedure.level).mask.onto(arrival).array.astype(bool)
    beyond = ~binary_dilation(bone)

    def at(volume_ml: float) -> Parts:
        # the last voxel's arrival is the whole volume, but for rounding
        there = (arrival.array > 0.0) & (arrival.array <= volume_ml * (1.0 + 1e-6))
        outside = binary_dilation(there & beyond) & there & ~bone
        return replace(arrival, array=there & ~outside, unit="mask"), replace(arrival, array=outside, unit="mask")

    return at


def slides(plan: Plan, arrival: Volume, volumes_ml: Sequence[float], texts: Sequence[str]) -> Slides:
    """The planes with the cement at each volume, to be moved through."""
    views, at = tip_planes(plan), parts_at(plan, arrival)
    edge = edge_of(len(views))
    steps = []
    for volume, text in zip(volumes_ml, texts, strict=True):
        areas = []
        for part, stroke in zip(at(volume), (CEMENT, OUTSIDE), strict=True):
            lines = [
                (line / view.size_mm + 0.5) * edge + (n * (edge + GAP), 0.0)
                for n, view in enumerate(views)
                for line in contours(part, view)
            ]
            areas += [Area(path_data(lines), stroke)] if lines else []
        steps.append(Step(f"{volume:.3g}", text, tuple(areas)))
    panels = [_panel(plan, view, edge).drawn() for view in views]
    strokes = _named(plan, bool(at(volumes_ml[-1])[1].array.any()))
    return Slides(_sheet([panels], strokes), WIDE_PIXELS, edge + STRIP, "Injected, mL", tuple(steps))


def strip(plan: Plan, arrival: Volume, volumes_ml: Sequence[float]) -> bytes:
    """One row for each plane, one column for each volume."""
    at = parts_at(plan, arrival)
    edge = edge_of(len(volumes_ml))
    rows = []
    for view in tip_planes(plan):
        row = []
        for n, volume in enumerate(volumes_ml):
            name = view.title.replace(", through ", " at ") if n == 0 else ""
            titled = replace(view, title=f"{volume:.3g} mL{f': {name[:1].lower()}{name[1:]}' if name else ''}")
            panel = _panel(plan, titled, edge, at(volume))
            row.append(panel.drawn())
        rows.append(row)
    return _sheet(rows, _named(plan, bool(at(volumes_ml[-1])[1].array.any())))


def reach_picture(plan: Plan, reach: Volume) -> bytes:
    """How many of the computed injections reach each place, on the same planes."""
    often = replace(reach, array=reach.array >= 0.5, unit="mask")
    views = tip_planes(plan)
    panels, edge = [], edge_of(len(views))
    for view in views:
        grey = ct_pixels(plan.anatomy.ct, view, edge).astype(np.float32)[..., None] / 255.0
        share = reach.sample(view.points_mm(edge))[..., None]
        shown = fields.OPACITY * (share >= LEAST_REACH)
        image = (1.0 - shown) * grey + shown * REACH.rgb(share[..., 0])
        panel = _panel(plan, view, edge, image=(255.0 * image + 0.5).astype(np.uint8))
        panel.lines(contours(often, view), OFTEN)
        panels.append(panel.drawn())
    return fields.sheet(panels, REACH, (*_outlines(plan), OFTEN))


def warmth_picture(plan: Plan, peak: Volume, cement: Volume | None) -> bytes:
    """What gets warmer than the marked temperatures, on the same planes, about the cement."""
    views = tip_planes(plan)
    panels, edge, drawn = [], edge_of(len(views)), dict[str, Stroke]()
    for view in views:
        panel = _panel(plan, view, edge, () if cement is None else (cement,))
        for above, stroke in WARM.items():
            lines = contours(replace(peak, array=peak.array >= above, unit="mask"), view)
            if lines:
                panel.lines(lines, stroke)
                drawn[stroke.label] = stroke
        panels.append(panel.drawn())
    own = () if cement is None else (CEMENT,)
    return _sheet([panels], (*_outlines(plan), *own, *drawn.values()))


def _panel(
    plan: Plan, view: View, edge: int, parts: tuple[Volume, ...] = (), image: NDArray[np.uint8] | None = None
) -> Panel:
    """The CT, or another image, with cement, the outlines of the vertebra and its canal, and the tips near it."""
    panel = Panel(view, strip=False, pixels=edge)
    panel.image(ct_pixels(plan.anatomy.ct, view, edge) if image is None else image)
    for stroke, mask in _masks(plan):
        panel.lines(contours(mask, view), stroke)
    for part, stroke in zip(parts, (CEMENT, OUTSIDE), strict=False):
        for line in contours(part, view):
            panel.area(line, stroke.colour, OPACITY)
            panel.closed(line, stroke)
    for trajectory in plan.best.trajectories:
        at = view.project(trajectory.target_mm)
        if view.holds(trajectory.target_mm):
            panel.marker(at, _TIP[1], 6.0, 1.0 if abs(at[2]) <= NEAR_MM else FAINT)
    panel.letters()
    panel.scale()
    return panel


def _masks(plan: Plan) -> tuple[tuple[Stroke, Volume], ...]:
    vertebra = plan.anatomy.vertebra(plan.procedure.level)
    canal = plan.anatomy.structures.get("spinal_canal", vertebra.canal)
    return ((VERTEBRA, vertebra.mask), (CANAL, canal))


def _outlines(plan: Plan) -> tuple[Stroke, ...]:
    return tuple(stroke for stroke, _ in _masks(plan))


def _named(plan: Plan, outside: bool) -> tuple[Stroke | tuple[str, str], ...]:
    """What the legend names."""
    return (*_outlines(plan), _TIP, CEMENT, *((OUTSIDE,) if outside else ()))


def _sheet(rows: Sequence[Sequence[NDArray[np.uint8]]], entries: Sequence[Stroke | tuple[str, str]]) -> bytes:
    """Rows of panels, and under them the names of what is drawn."""
    edge = len(rows[0][0])
    high = len(rows) * (edge + GAP) - GAP + STRIP
    figure = blank(WIDE_PIXELS, high, palette.PANEL)
    for m, row in enumerate(rows):
        for n, panel in enumerate(row):
            figure.figimage(panel, n * (edge + GAP), high - m * (edge + GAP) - edge, origin="upper")
    for n, entry in enumerate(entries):
        legend_entry(figure, 16.0 + 250.0 * n, STRIP / 2.0, entry)
    return png(figure)
