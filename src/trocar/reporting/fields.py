"""Fields of a simulation in colour: on CT planes in the vertebra's own frame, and on its surface.

A field lies on the model's grid, which is turned against the CT: everything is sampled at the pixels' places in the
patient. Pictures of one field share one scale of colours, so that they can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.vertebra import Vertebra
from trocar.geometry import LEFT, POSTERIOR, SUPERIOR, Vector, unit
from trocar.reporting import palette
from trocar.reporting.chart import WIDE_PIXELS
from trocar.reporting.figures import contours, ct_pixels
from trocar.reporting.palette import Stroke
from trocar.reporting.panel import Panel, blank, legend_entry, png
from trocar.reporting.surface import OVERSAMPLING, Mesh, mesh_of, render
from trocar.reporting.views import View, rejected
from trocar.reporting.words import unit_words
from trocar.treatment import Plan
from trocar.volume import Volume

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours beyond this share of the bone's voxels are not told apart: single voxels at edges would take the scale.
TOP_SHARE = 0.98
#: How much of the CT a field hides.
OPACITY = 0.78
#: A pixel is coloured where at least this share of what surrounds it is in the model.
LEAST_SHARE = 0.3
#: A line shorter than this is a crumb of single voxels: nobody sees its dashes, and it gets no name under the picture.
LEAST_OUTLINE_MM = 8.0
#: Room around the body in a plane, mm.
AROUND_MM = 9.0
#: Depths under the surface at which the surface's colour is read, mm: the first that lies in the model.
DEPTHS_MM = (0.6, 1.2, 1.8, 2.4, 3.2)
#: Gap between two panels and height of the strip under them, pixels.
GAP, STRIP = 8, 84
#: Edge of a surface picture over the extent of the body in it.
BODY_ROOM = 1.45
#: Where a surface has no field.
NO_FIELD_RGB = (0.42, 0.45, 0.48)

VERTEBRA = Stroke("vertebra", palette.SKY)
CEMENT = Stroke("cement", "#FFFFFF", (), 1.8)
PLANNED_CEMENT = Stroke("cement, planned", "#FFFFFF", (3, 1.6), 1.2)
CAVITY = Stroke("cavity", "#FFFFFF", (3, 1.6), 1.6)
CRUSHED = Stroke("crushed bone", palette.ORANGE, (1, 1.4), 1.4)


@dataclass(frozen=True)
class ColourScale:
    """Colours from 0 to ``high`` in the unit shown, ``factor`` times the volume's values; ``label`` names both.

    A ``closed`` one ends at ``high``: there are no values beyond.
    """

    label: str
    high: float
    factor: float = 1.0
    closed: bool = False

    def rgb(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Colours ``(..., 3)``, 0 to 1, of values in the volume's own unit."""
        from matplotlib import colormaps

        share = np.clip(values * self.factor / self.high, 0.0, 1.0)
        return np.asarray(colormaps["viridis"](share)[..., :3], np.float32)


def scale_of(fields: Iterable[Volume], label: str) -> ColourScale:
    """One scale for several fields of one unit; a strain is shown in per cent."""
    found = list(fields)
    return _scale((f.array[f.array > 0.0] for f in found), label, found[0].unit)


def _scale(values: Iterable[NDArray[Any]], label: str, unit_name: str) -> ColourScale:
    factor, shown = (100.0, "%") if unit_name == "1" else (1.0, unit_words(unit_name))
    top = max((float(np.quantile(v, TOP_SHARE)) for v in values if v.size), default=0.0)
    return ColourScale(f"{label}, {shown}", _round_up(factor * top) if top > 0.0 else 1.0, factor)


def _round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8, 10 times a power of ten: every half of it is short to write."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * next(s for s in (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0) if s >= value / power - 1e-9))


# --- planes -------------------------------------------------------------------------------------


def planes(vertebra: Vertebra, region: tuple[Stroke, Volume] | None = None) -> tuple[View, View, View]:
    """Mid-sagittal, coronal and axial in the vertebra's own frame; the last two through a named region, if any."""
    frame = vertebra.frame
    local = frame.to_local(vertebra.body.points_mm())
    low, high = local.min(axis=0), local.max(axis=0)
    middle = (low + high) / 2.0
    size = float(np.max(high - low)) + 2.0 * AROUND_MM
    at, where = middle, "middle"
    if region is not None and region[1].array.any():
        at, where = frame.to_local(region[1].points_mm()).mean(axis=0), region[0].label
    left, back, up = frame.left, frame.posterior, frame.superior
    return (
        View("sagittal", "Mid-sagittal", frame.to_world([0.0, *middle[1:]]), back, -up, size),
        View(
            "coronal", f"Coronal, through the {where}", frame.to_world([middle[0], at[1], middle[2]]), left, -up, size
        ),
        View("axial", f"Axial, through the {where}", frame.to_world([*middle[:2], at[2]]), left, back, size),
    )


def planes_picture(
    plan: Plan, field: Volume, scale: ColourScale, views: Sequence[View], outlines: Sequence[tuple[Stroke, Volume]]
) -> bytes:
    """The field over the CT on some planes side by side, with the outlines of the vertebra and of ``outlines``."""
    vertebra = plan.anatomy.vertebra(plan.procedure.level)
    drawn: dict[str, Stroke] = {}
    panels = []
    for view in views:
        panel = Panel(view, strip=False, pixels=edge_of(len(views)))
        panel.image(tinted(plan.anatomy.ct, vertebra.mask, field, scale, view, panel.pixels))
        for stroke, mask in ((VERTEBRA, vertebra.mask), *outlines):
            lines = [line for line in contours(mask, view) if _length(line) >= LEAST_OUTLINE_MM]
            if lines:
                panel.lines(lines, stroke)
                drawn[stroke.label] = stroke
        panel.letters()
        panel.scale()
        panels.append(panel.drawn())
    return sheet(panels, scale, tuple(drawn.values()))


def _length(line: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(np.diff(line, axis=0), axis=-1).sum())


def tinted(ct: Volume, bone: Volume, field: Volume, scale: ColourScale, view: View, pixels: int) -> NDArray[np.uint8]:
    """The CT on a view, ``(pixels, pixels, 3)``, coloured where bone and model are."""
    points = view.points_mm(pixels)
    share = replace(field, array=(field.array > 0.0).astype(np.float32)).sample(points)
    inside = (share >= LEAST_SHARE) & (bone.sample(points) >= 0.5)
    # the mean over the model's voxels alone: outside the model there is no field, not a field of zero
    values = field.sample(points) / np.maximum(share, LEAST_SHARE)
    grey = ct_pixels(ct, view, pixels).astype(np.float32)[..., None] / 255.0
    colour = np.where(inside[..., None], (1.0 - OPACITY) * grey + OPACITY * scale.rgb(values), grey)
    return (255.0 * colour + 0.5).astype(np.uint8)


# --- surface ------------------------------------------------------------------------------------


def surface_views(vertebra: Vertebra) -> tuple[View, View, View]:
    """The body from above and from the right front, straight in front, and the left front."""
    points = vertebra.body.points_mm()[::5]
    sides = ((-0.58, "From the front and the right"), (0.0, "From the front"), (0.58, "From the front and the left"))
    right, front, left = (_seen(sideways, title, points) for sideways, title in sides)
    return right, front, left


def _seen(sideways: float, title: str, points_mm: NDArray[np.float64]) -> View:
    """The view of one whose eye lies so far to the patient's left, in front and above."""
    into = unit(0.72 * POSTERIOR - sideways * LEFT - 0.38 * SUPERIOR)
    down = rejected(-SUPERIOR, into, POSTERIOR)
    right: Vector = np.cross(down, into)
    flat = np.stack([points_mm @ right, points_mm @ down, points_mm @ into], axis=-1)
    low, high = flat.min(axis=0), flat.max(axis=0)
    centre = (low + high) / 2.0 @ np.stack([right, down, into])
    return View("surface", title, centre, right, down, BODY_ROOM * float(np.max(high[:2] - low[:2])))


def surface_picture(plan: Plan, fields: Sequence[tuple[str, Volume]], label: str) -> bytes:
    """The vertebra's surface in the colours of each of some named fields: one from three sides, several from two.

    The scale is the surface's own: what lies inside may be far less or more.
    """
    vertebra = plan.anatomy.vertebra(plan.procedure.level)
    mesh = mesh_of(vertebra.mask)
    if mesh is None:
        raise ValueError(f"the mask of {vertebra.level} is empty: nothing to draw.")
    values = [surface_values(mesh, field) for _, field in fields]
    scale = _scale((v[np.isfinite(v)] for v in values), label, fields[0][1].unit)
    right, front, left = surface_views(vertebra)
    views = (right, front, left) if len(fields) == 1 else (right, left)
    edge = edge_of(len(views) * len(fields))
    panels = []
    for (name, _), found in zip(fields, values, strict=True):
        colours = surface_colours(found, scale)
        panels += [_surface(mesh, colours, replace(v, title=f"{name}: {v.title.lower()}"), edge) for v in views]
    return sheet(panels, scale, ())


def surface_values(mesh: Mesh, field: Volume) -> NDArray[np.float64]:
    """The field just under each point of a surface ``(n,)``; not a number where no model lies there."""
    normals = mesh.normals / np.maximum(np.linalg.norm(mesh.normals, axis=-1, keepdims=True), 1e-9)
    model = replace(field, array=(field.array > 0.0).astype(np.float32))
    values = np.full(len(mesh.points_mm), np.nan)
    for depth in reversed(DEPTHS_MM):  # the shallowest is written last
        at = mesh.points_mm - depth * normals
        share = model.sample(at)
        found = share >= 0.5
        values[found] = field.sample(at[found]) / share[found]
    return values


def surface_colours(values: NDArray[np.float64], scale: ColourScale) -> NDArray[np.float32]:
    """Colours ``(n, 3)`` of values at points; grey where there are none."""
    there = np.isfinite(values)
    return np.where(there[:, None], scale.rgb(np.where(there, values, 0.0)), np.array(NO_FIELD_RGB, np.float32))


def _surface(mesh: Mesh, colours: NDArray[np.float32], view: View, edge: int) -> NDArray[np.uint8]:
    from PIL import Image

    drawn = render([(mesh, colours)], view, int(OVERSAMPLING * edge))
    empty = np.array([int(palette.PANEL[n : n + 2], 16) / 255.0 for n in (1, 3, 5)])
    image = np.where(np.isfinite(drawn.depth)[..., None], np.clip(drawn.colour, 0.0, 1.0), empty)
    small = Image.fromarray((255.0 * image).astype(np.uint8)).resize((edge, edge), Image.Resampling.BOX)
    panel = Panel(view, strip=False, pixels=edge)
    panel.image(np.asarray(small))
    panel.letters()
    panel.scale()
    return panel.drawn()


# --- the sheet ----------------------------------------------------------------------------------


def edge_of(count: int) -> int:
    """Edge of each of ``count`` panels that share the report's width."""
    return (WIDE_PIXELS - (count - 1) * GAP) // count


def sheet(panels: Sequence[NDArray[np.uint8]], scale: ColourScale, strokes: Sequence[Stroke]) -> bytes:
    """Panels side by side, and under them the scale of colours and the names of the lines."""
    edge = len(panels[0])
    figure = blank(WIDE_PIXELS, edge + STRIP, palette.PANEL)
    for n, panel in enumerate(panels):
        figure.figimage(panel, n * (edge + GAP), STRIP, origin="upper")
    width, x, y = 460, 16, 42
    ramp = (255.0 * scale.rgb(np.linspace(0.0, scale.high / scale.factor, width))).astype(np.uint8)
    figure.figimage(np.repeat(ramp[None], 18, axis=0), x, y, origin="upper")
    for share in (0.0, 0.5, 1.0):
        text = f"{share * scale.high:.3g}" + (" and above" if share == 1.0 and not scale.closed else "")
        _write(figure, x + share * width, y - 6, text, "left" if share == 0.0 else "center", "top")
    _write(figure, x + width + 18, y + 9, scale.label, "left", "center")
    for n, stroke in enumerate(strokes):
        legend_entry(figure, WIDE_PIXELS - 230.0 * (len(strokes) - n), y + 9.0, stroke)
    return png(figure)


def _write(figure: Figure, x: float, y: float, text: str, ha: str, va: str) -> None:
    from matplotlib.transforms import IdentityTransform

    figure.text(x, y, text, ha=ha, va=va, color=palette.PANEL_INK, fontsize=7.8, transform=IdentityTransform())
