"""What the phantom is, in numbers: read from the parameters that draw it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.anatomy import phantom_surroundings as around
from trocar.anatomy.levels import Level
from trocar.anatomy.morphometry import Morphometry, morphometry
from trocar.anatomy.phantom_shapes import Grid, Shape
from trocar.anatomy.phantom_spec import PhantomSpec
from trocar.anatomy.phantom_spine import PedicleForm, VertebraForm, body_form, body_heights_mm, stations_mm
from trocar.geometry import Line, Plane, Pose, Side, Vector, frozen, unit
from trocar.volume import Volume

#: Turns LPS coordinates into those of the mirror image.
MIRROR = frozen([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class PedicleTruth:
    """One pedicle as drawn.

    ``axis`` is the centreline of the pedicle's tube: its point is the centre of the narrowest
    section, its direction runs from the arch into the body. ``width_mm`` is the narrowest diameter
    in the plane of the vertebra's left axis and the pedicle's axis, perpendicular to the axis;
    ``height_mm`` the diameter at the same place perpendicular to both. In the vertebra's frame the
    transverse angle is that between the axis, seen from above, and the midplane (positive where it
    converges in front); the sagittal angle is that between the axis and the transverse plane
    (positive where it rises in front).
    """

    side: Side
    axis: Line
    width_mm: float
    height_mm: float
    transverse_angle_deg: float
    sagittal_angle_deg: float


@dataclass(frozen=True, eq=False)
class VertebraTruth:
    """One vertebra as drawn, in LPS mm.

    ``frame`` has its origin halfway between the intact endplates' rims, at half the body's width
    and depth. Heights are the distance between the endplates' outer surfaces along the frame's
    superior axis, in the frame's midsagittal plane, at ``stations_mm`` (front, middle, back:
    posterior coordinates in the frame); front and back are 3 mm inside the body's edges, the middle
    halfway. ``intact_heights_mm`` are the same before a fracture. ``endplates`` ("superior",
    "inferior") pass through the endplate at the front and the back station, parallel to the left
    axis, normals out of the body. ``landmarks``: "spinous_tip" is its most posterior bone;
    "articular_transverse_junction_left/right" (lumbar) lies on the bone behind, where the lateral
    edge of the superior articular process meets the middle of the transverse process;
    "rib_transverse_notch_left/right" (thoracic) is the middle of the gap between rib and transverse
    process. ``distance_mm`` is the signed distance to the drawn surface, before any lesion.
    ``whole`` says whether body, pedicles and arch with all its processes lie inside the
    field of view.
    """

    level: Level
    frame: Pose
    pedicles: dict[Side, PedicleTruth]
    heights_mm: tuple[float, float, float]
    intact_heights_mm: tuple[float, float, float]
    stations_mm: tuple[float, float, float]
    endplates: dict[str, Plane]
    landmarks: dict[str, Vector]
    morphometry: Morphometry
    whole: bool
    form: VertebraForm
    mirrored: bool

    def distance_mm(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Signed distance of LPS points ``(..., 3)`` to the bone's surface, negative inside."""
        points = np.asarray(points_mm, dtype=np.float64)
        points = points * MIRROR if self.mirrored else points
        return self.form.shape.distance_mm(self.form.pose.to_local(points))

    def height_mm(self, posterior_mm: float) -> float:
        """Body height in the midsagittal plane at a posterior coordinate of the frame."""
        bottom, top = self.form.body.endplates_mm(0.0, posterior_mm)
        return top - bottom


@dataclass(frozen=True, eq=False)
class Truth:
    """Everything that was drawn and can be asked for.

    ``canal`` (the space between the bones), ``discs``, ``lesion`` (what replaces bone) and
    ``epidural`` (soft tissue grown into the canal) are masks on the CT's grid. ``back_skin_mm`` is,
    per slice, the posterior coordinate of the skin in the midline (x of the focus). ``notes`` say
    what was interpolated or is unverified.
    """

    vertebrae: dict[Level, VertebraTruth]
    canal: Volume
    discs: Volume
    lesion: Volume
    epidural: Volume
    back_skin_mm: NDArray[np.float64]
    notes: tuple[str, ...]


def vertebra_truth(forms: dict[Level, VertebraForm], level: Level, grid: Grid) -> VertebraTruth:
    """What was drawn at one level (unmirrored)."""
    form = forms[level]
    return VertebraTruth(
        level=level,
        frame=form.pose,
        pedicles={side: _pedicle_truth(form.pose, p) for side, p in form.pedicles.items()},
        heights_mm=body_heights_mm(form.body),
        intact_heights_mm=body_heights_mm(body_form(form.measures)),
        stations_mm=stations_mm(form.body),
        endplates=_endplates(form),
        landmarks=_landmarks(forms, level),
        morphometry=form.measures,
        whole=_is_whole(form, grid),
        form=form,
        mirrored=False,
    )


def _pedicle_truth(pose: Pose, p: PedicleForm) -> PedicleTruth:
    axis = Line(pose.to_world(p.isthmus_mm), pose.axes @ p.direction)
    return PedicleTruth(p.side, axis, p.width_mm, p.height_mm, p.transverse_angle_deg, p.sagittal_angle_deg)


def _endplates(form: VertebraForm) -> dict[str, Plane]:
    front, _, back = stations_mm(form.body)
    ends = [form.body.endplates_mm(0.0, y) for y in (front, back)]
    out = {}
    for name, n, sign in (("inferior", 0, -1.0), ("superior", 1, 1.0)):
        slope = (ends[1][n] - ends[0][n]) / (back - front)
        normal = sign * unit([0.0, -slope, 1.0])
        point = [0.0, 0.5 * (front + back), 0.5 * (ends[0][n] + ends[1][n])]
        out[name] = Plane(form.pose.to_world(point), form.pose.axes @ normal)
    return out


def _landmarks(forms: dict[Level, VertebraForm], level: Level) -> dict[str, Vector]:
    form = forms[level]
    out = {"spinous_tip": _rearmost(form)}
    for side in Side:
        if level.region == "lumbar":
            out[f"articular_transverse_junction_{side.value}"] = _on_surface(form, form.points[f"crease_{side.value}"])
        else:
            out[f"rib_transverse_notch_{side.value}"] = _gap_middle(form, around.rib(forms, level, side), side)
    return {name: form.pose.to_world(point) for name, point in out.items()}


def _rearmost(form: VertebraForm) -> Vector:
    """The most posterior bone of the spinous process in the midsagittal plane."""
    reach = np.arange(-9.0, 9.01, 0.2)
    y, z = np.meshgrid(reach, reach, indexing="ij")
    plane = form.points["spinous_end"] + np.stack([np.zeros_like(y), y, z], axis=-1).reshape(-1, 3)
    bone = plane[form.shape.distance_mm(plane) <= 0.0]
    return np.asarray(bone[bone[:, 1] > bone[:, 1].max() - 0.05].mean(axis=0))


def _on_surface(form: VertebraForm, point: Vector) -> Vector:
    """The most posterior bone at a point's left and superior coordinate."""
    y = point[1] + np.arange(25.0, -15.0, -0.05)
    line = np.column_stack([np.full_like(y, point[0]), y, np.full_like(y, point[2])])
    hits = form.shape.distance_mm(line) <= 0.0
    return np.asarray(line[int(np.argmax(hits))])


def _gap_middle(form: VertebraForm, rib: Shape, side: Side) -> Vector:
    """Where, on the line from the transverse process's tip to the rib's tubercle, both are equally far."""
    tip = form.points[f"transverse_tip_{side.value}"]
    points = tip + np.linspace(0.0, 1.0, 401)[:, None] * (around.rib_tubercle(form, side) - tip)
    nearer_rib = rib.distance_mm(form.pose.to_world(points)) <= form.shape.distance_mm(points)
    return np.asarray(points[int(np.argmax(nearer_rib))])


def _is_whole(form: VertebraForm, grid: Grid) -> bool:
    low, high = form.shape.bounds_mm()
    ends = np.array([[a[0], a[-1]] for a in (grid.x, grid.y, grid.z)])
    return bool(np.all(low >= ends[:, 0]) and np.all(high <= ends[:, 1]))


def notes(spec: PhantomSpec) -> tuple[str, ...]:
    """What in the drawn levels is interpolated between published levels, and what is unverified."""
    out = []
    for level in spec.levels:
        m = morphometry(level)
        if m.interpolated:
            out.append(f"{level}: {', '.join(sorted(m.interpolated))} interpolated between published levels.")
        if m.unverified:
            out.append(f"{level}: {', '.join(sorted(m.unverified))} recalled or chosen, not read in a source.")
    return tuple(out)


# --- mirror -------------------------------------------------------------------------------------


def swap_side(name: str) -> str:
    """A structure's name on the other side."""
    for a, b in (("left", "right"), ("right", "left")):
        if a in name.split("_"):
            return "_".join(b if word == a else word for word in name.split("_"))
    return name


def mirror_vertebra(t: VertebraTruth) -> VertebraTruth:
    """The same vertebra in the mirror image of the patient."""
    axes = MIRROR[:, None] * t.frame.axes * MIRROR[None, :]
    return replace(
        t,
        frame=Pose(t.frame.origin_mm * MIRROR, axes),
        pedicles={p.side.other: _mirror_pedicle(p) for p in t.pedicles.values()},
        endplates={k: Plane(p.point_mm * MIRROR, p.normal * MIRROR) for k, p in t.endplates.items()},
        landmarks={swap_side(k): v * MIRROR for k, v in t.landmarks.items()},
        mirrored=True,
    )


def _mirror_pedicle(p: PedicleTruth) -> PedicleTruth:
    return replace(p, side=p.side.other, axis=Line(p.axis.point_mm * MIRROR, p.axis.direction * MIRROR))
