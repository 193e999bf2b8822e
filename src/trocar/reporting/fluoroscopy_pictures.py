"""Fluoroscopic images with landmarks, needle, margins and tips drawn on them, each a PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Vector
from trocar.guidance.carm import CArm
from trocar.guidance.checkpoints import AT_LINE_MM, Checkpoint, Checkpoints, Event
from trocar.guidance.view_drawing import Mark, Outline, ViewDrawing, needle_outlines
from trocar.guidance.views import Kind, PlannedView
from trocar.planning.trajectory import Trajectory
from trocar.reporting import palette
from trocar.reporting.chart import WIDE_PIXELS
from trocar.reporting.fields import GAP, edge_of
from trocar.reporting.figures import margins_shown
from trocar.reporting.fluoroscopy_views import FIELD_MM, Views
from trocar.reporting.palette import Stroke
from trocar.reporting.panel import PIXELS, Panel, blank, legend_entry, png
from trocar.reporting.views import View

#: Edge of a small picture of one checkpoint at the depth of the vertebra, mm.
SMALL_MM = 78.0
#: A small lateral is centred this far behind the body's centre, so that the arch is in it, mm.
BEHIND_MM = 5.0
#: Most checkpoints side by side, and the height of their legend, pixels.
MOST, STRIP = 6, 48

STROKES = {
    Mark.BODY: palette.BODY,
    Mark.ENDPLATE: Stroke("endplate's rim", palette.SKY, (3, 1.6), 0.9),
    Mark.PEDICLE: palette.PEDICLE,
    Mark.MEDIAL: Stroke("medial border", "#FFFFFF", (4, 1.6), 1.8),
    Mark.POSTERIOR: Stroke("posterior wall", "#FFFFFF", (), 1.8),
    Mark.CANAL: replace(palette.CANAL, dashes=(1, 1.4)),
}
_NEEDLE = Stroke("needle", palette.NEEDLE, (), 1.0)
_MARKERS = {
    Mark.SPINOUS: ("spinous process", "v", 8.0),
    Mark.SKIN: ("skin", "s", 6.0),
    Mark.ENTRY: ("bone entry", "o", 7.0),
    Mark.TARGET: ("target", "+", 11.0),
}
#: What a checkpoint is called over its small picture.
SHORT = {
    Event.DOCK: "at the bone",
    Event.PEDICLE: "enters pedicle",
    Event.MEDIAL_BORDER: "medial border",
    Event.POSTERIOR_WALL: "posterior wall",
    Event.MID_BODY: "mid-body",
    Event.MIDLINE: "midline",
    Event.CANNULA: "cannula stops",
    Event.TARGET: "target",
    Event.LIMIT: "no farther",
}


@dataclass(frozen=True)
class Frame:
    """A square part of an image: its view in millimetres at the depth of the isocentre, and its corner in pixels."""

    view: View
    top: float
    left: float
    mm_per_pixel: float

    @classmethod
    def of(cls, arm: CArm, title: str, size_mm: float = FIELD_MM, centre: Vector | None = None) -> Frame:
        """The part about ``centre`` (row, column), or about the image's middle."""
        pitch = arm.detector.row_spacing_mm / arm.magnification
        centre = np.asarray(arm.detector.middle) if centre is None else centre
        right, down = arm.axes
        half = 0.5 * size_mm / pitch
        return cls(View("", title, arm.isocentre_mm, right, down, size_mm), centre[0] - half, centre[1] - half, pitch)

    def place(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels (row, column) as (right, down) from the panel's centre, mm."""
        half = self.view.size_mm / 2.0
        row, column = np.asarray(pixels)[..., 0], np.asarray(pixels)[..., 1]
        return np.stack(
            [(column - self.left) * self.mm_per_pixel - half, (row - self.top) * self.mm_per_pixel - half], axis=-1
        )

    def cut(self, image: NDArray[np.uint8], edge: int) -> NDArray[np.uint8]:
        """This part of the image with ``edge`` pixels each way."""
        from PIL import Image

        size = self.view.size_mm / self.mm_per_pixel
        # a pixel's centre is a whole number: its box begins half a pixel before it
        box = (self.left + 0.5, self.top + 0.5, self.left + 0.5 + size, self.top + 0.5 + size)
        low = [int(np.floor(max(-b, 0.0))) + 2 for b in box[:2]]
        high = [int(np.ceil(max(b - n, 0.0))) + 2 for b, n in zip(box[2:], image.shape[::-1], strict=True)]
        pad = max(*low, *high)
        wide = Image.fromarray(np.pad(image, pad, mode="edge"))
        moved = tuple(b + pad for b in box)
        return np.asarray(wide.resize((edge, edge), Image.Resampling.BICUBIC, box=moved))  # type: ignore[arg-type]


# --- one view -----------------------------------------------------------------------------------


def view_picture(views: Views, view: PlannedView, image: NDArray[np.uint8], needles: Sequence[Trajectory]) -> bytes:
    """One simulated image: landmarks, needles at their true diameter, their margins, letters, scale and legend."""
    drawing = views.drawing(view, needles)
    frame = Frame.of(view.arm, view.title[:1].upper() + view.title[1:])
    panel = Panel(frame.view)
    panel.image(frame.cut(image, PIXELS))
    strokes = _draw_bone(panel, frame, drawing, {t.side.value for t in needles})
    strokes += _draw_needles(panel, frame, drawing, needles)
    markers = _draw_points(panel, frame, drawing)
    panel.letters()
    panel.scale()
    panel.legend(strokes, markers)
    return panel.png()


def _draw_bone(panel: Panel, frame: Frame, drawing: ViewDrawing, sides: set[str]) -> list[Stroke]:
    drawn: dict[str, Stroke] = {}
    for outline in drawing.outlines:
        stroke = STROKES.get(outline.mark)
        # the border that counts is that of the needle's own pedicle
        if stroke is None or (outline.mark is Mark.MEDIAL and outline.name not in sides):
            continue
        _line(panel, frame, outline, stroke)
        drawn[stroke.label] = stroke
    return list(drawn.values())


def _line(panel: Panel, frame: Frame, outline: Outline, stroke: Stroke) -> None:
    at = frame.place(outline.pixels)
    (panel.closed if outline.closed else lambda line, s: panel.lines([line], s))(at, stroke)


def _draw_needles(panel: Panel, frame: Frame, drawing: ViewDrawing, needles: Sequence[Trajectory]) -> list[Stroke]:
    """Needles filled at their true diameter; the margins that are asked for by what is on the picture, dashed."""
    for outline in drawing.of(Mark.NEEDLE):
        at = frame.place(outline.pixels)
        panel.area(at, palette.NEEDLE, 0.4)
        panel.inner_edge(at, _NEEDLE)
    wide = sorted({2.0 * t.instrument.radius_mm for t in needles})
    named = [Stroke(f"needle, {' and '.join(f'{w:.1f}' for w in wide)} mm", palette.NEEDLE, (), 3.0)]
    margins: dict[float, str] = {}
    for t in needles:
        margins |= margins_shown(t, {palette.CANAL.label, palette.PEDICLE.label})
    strokes = {mm: Stroke(f"{mm:g} mm margin", colour, (3, 2), 0.9) for mm, colour in sorted(margins.items())}
    for outline in drawing.of(Mark.MARGIN):
        stroke = strokes.get(float(outline.name.split(" ")[0]))
        if stroke is not None:
            panel.closed(frame.place(outline.pixels), stroke)
    return named + list(strokes.values())


def _draw_points(panel: Panel, frame: Frame, drawing: ViewDrawing) -> list[tuple[str, str]]:
    drawn: dict[str, str] = {}
    end_on = drawing.view.kind is Kind.BARREL
    for point in drawing.points:
        name, symbol, size = _MARKERS[point.mark]
        at = frame.place(point.pixel)
        # down the barrel skin, entry and target are one point
        if np.max(np.abs(at)) >= frame.view.size_mm / 2.0 or (end_on and point.mark in (Mark.SKIN, Mark.ENTRY)):
            continue
        panel.marker(at, symbol, size)
        drawn[name] = symbol
    return list(drawn.items())


# --- checkpoints --------------------------------------------------------------------------------


def shown_events(checked: Checkpoints) -> tuple[Checkpoint, ...]:
    """The checkpoints that get a picture: at most :data:`MOST`, the less telling ones left out first."""
    events = list(checked.events)
    for spare in (Event.MIDLINE, Event.PEDICLE, Event.MID_BODY, Event.LIMIT):
        if len(events) > MOST:
            events = [c for c in events if c.event is not spare]
    return tuple(events[:MOST])


def checkpoint_picture(views: Views, checked: Checkpoints, ap: NDArray[np.uint8], lateral: NDArray[np.uint8]) -> bytes:
    """The tip at each checkpoint, the AP above and the lateral below."""
    events = shown_events(checked)
    edge = edge_of(len(events))
    shown = ((views.drawing(view, ()), image) for view, image in ((views.ap, ap), (views.lateral, lateral)))
    rows = [[_small(checked, c, drawing, image, edge) for c in events] for drawing, image in shown]
    high = 2 * edge + GAP + STRIP
    figure = blank(WIDE_PIXELS, high, palette.PANEL)
    for m, row in enumerate(rows):
        for n, panel in enumerate(row):
            figure.figimage(panel, n * (edge + GAP), high - m * (edge + GAP) - edge, origin="upper")
    entries: tuple[Stroke | tuple[str, str], ...] = (
        palette.PEDICLE,
        STROKES[Mark.MEDIAL],
        STROKES[Mark.POSTERIOR],
        palette.BODY,
        ("needle tip", "x"),
    )
    for n, entry in enumerate(entries):
        legend_entry(figure, 16.0 + 260.0 * n, STRIP / 2.0, entry)
    return png(figure)


def _small(
    checked: Checkpoints, check: Checkpoint, drawing: ViewDrawing, image: NDArray[np.uint8], edge: int
) -> NDArray[np.uint8]:
    """One checkpoint on one view: needle as far as it has come, and the border that counts there."""
    view, frontal = drawing.view, drawing.view.kind is Kind.AP
    word = SHORT[check.event] if check.event is not None else ""
    title = f"{check.depth_mm:.0f} mm: {word}" if frontal else _before_wall(check.wall_mm)
    centre = view.vertebra.frame.origin_mm + (0.0 if frontal else BEHIND_MM) * view.vertebra.frame.posterior
    frame = Frame.of(view.arm, title, SMALL_MM, view.arm.project(centre))
    panel = Panel(frame.view, strip=False, pixels=edge)
    panel.image(frame.cut(image, edge))
    trajectory = checked.trajectory
    wanted = {Mark.PEDICLE, Mark.MEDIAL} if frontal else {Mark.BODY, Mark.POSTERIOR}
    for outline in drawing.outlines:
        of_side = outline.mark is Mark.BODY or outline.name in ("", trajectory.side.value)
        if outline.mark in wanted and of_side:
            _line(panel, frame, outline, STROKES[outline.mark])
    if check.depth_mm > 0.0:
        (needle, *_) = needle_outlines(view.arm, trajectory, check.tip_mm)
        panel.area(frame.place(needle.pixels), palette.NEEDLE, 0.75)
    panel.marker(frame.place(view.arm.project(check.tip_mm)), "x", 6.0)
    panel.letters()
    panel.scale()
    return panel.drawn()


def _before_wall(wall_mm: float) -> str:
    if abs(wall_mm) < AT_LINE_MM:
        return "lateral: at the wall"
    return f"lateral: {abs(wall_mm):.0f} mm {'before' if wall_mm > 0.0 else 'past'} wall"
