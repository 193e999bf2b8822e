"""The mark on the skin: what the operator measures, sets and feels at the table.

Two points are told apart. The *needle's mark* is where the needle's axis meets the skin: there it
goes in. The *laser's mark* lies straight above the bone entry, where the scanner's light falls
when the slice of the bone entry lies under it. Everything is in the patient's left and right;
what depends on the room (up, tilt, the operator's hand) comes from the patient's position.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from trocar.anatomy.patient import Anatomy
from trocar.anatomy.skin import SkinExit, skin_exit
from trocar.anatomy.vertebra import Vertebra
from trocar.geometry import LEFT, POSTERIOR, SUPERIOR, Vector, angle_deg, frozen
from trocar.measure import Finding, Measure, Range, Severity
from trocar.planning.access import APPROACHES
from trocar.planning.position import NeedleAngles, PatientPosition, angles_of
from trocar.planning.spoken import PEN_MM, aside, lines
from trocar.planning.trajectory import Trajectory
from trocar.volume import Slice, Volume

#: Length of the transverse skin cut, mm: 1.5 cm in the PKP series.
CUT_MM = 15.0

#: A path's skin point may lie this far (mm) from the surface of the scan: one slice of a thick scan.
SURFACE_TOLERANCE_MM = 3.0

#: Less of the needle than this (mm) outside the skin leaves nothing to hold; our judgement.
HOLD_MM = 10.0

PITCH_RANGE = Range(2.0, 50.0, "mm")

#: A tape along the skin from the midline to the mark that reads this much (mm) too long leads astray; our judgement.
ALONG_SKIN_MM = 3.0

#: Slices turned further than this (degrees) from axial do not show the angles that are set at the table.
AXIAL_DEG = 0.5

_LATERAL = "level, across the body, from the vertebra's mid-plane, positive to the patient's left"
_FORWARD = "level, from the tip of the spinous process, positive to the front"


class Face(Enum):
    """The side of the body a mark is counted on: back or front, and a flank where the patient lies on a side."""

    BACK = "back"
    FRONT = "front"
    LEFT = "left flank"
    RIGHT = "right flank"

    @property
    def outward(self) -> Vector:
        """Away from the body, LPS."""
        return {"back": POSTERIOR, "front": -POSTERIOR, "left flank": LEFT, "right flank": -LEFT}[self.value]

    @property
    def flank(self) -> bool:
        """Whether it is a flank, where distances are counted to the front and not to a side."""
        return self in (Face.LEFT, Face.RIGHT)

    @property
    def across(self) -> Vector:
        """Across the body on this face: the patient's left, on a flank the front (LPS)."""
        return -POSTERIOR if self.flank else LEFT

    def side_of(self, offset_mm: float) -> str:
        """The side an offset lies on: "left" or "right", on a flank "front" or "back"."""
        names = ("front", "back") if self.flank else ("left", "right")
        return names[0] if offset_mm > 0 else names[1]


@dataclass(frozen=True)
class SkinGrid:
    """A wire grid on the skin: lines parallel to the body, line 0 on the midline, at a stated pitch."""

    pitch_mm: float = 10.0

    def __post_init__(self) -> None:
        PITCH_RANGE.check("pitch_mm", self.pitch_mm, "SkinGrid")

    def nearest(self, offset_mm: float, face: Face) -> Wire:
        """The wire nearest to an offset from the midline; half-way counts for the one nearer the midline."""
        number = int(np.ceil(abs(offset_mm) / self.pitch_mm - 0.5))
        return Wire(number, abs(offset_mm) - number * self.pitch_mm, face.side_of(offset_mm))


@dataclass(frozen=True)
class Wire:
    """A wire by its count from the midline, and what is left to the mark: positive away from the midline."""

    number: int
    beyond_mm: float
    side: str

    def __str__(self) -> str:
        rest = f"{abs(self.beyond_mm):.0f} mm"
        if self.number == 0:
            return "line 0 (midline)" + (f" + {rest} to the {self.side}" if abs(self.beyond_mm) >= PEN_MM else "")
        sign = "" if abs(self.beyond_mm) < PEN_MM else f" {'+' if self.beyond_mm > 0 else '-'} {rest}"
        return f"line {self.number} {self.side}{sign}"


@dataclass(frozen=True)
class SlicePlace:
    """The axial image nearest to a point, and the point's distance from it, positive towards the head.

    ``numbered_by_scanner``: the number is DICOM's instance number (0020,0013); otherwise images are
    counted from the feet, the lowest being 1.
    """

    image: Slice
    count: int
    numbered_by_scanner: bool
    offset_mm: float

    def __str__(self) -> str:
        # a scanner's numbers need not start at 1: "133 of 70" would be nonsense
        which = "" if self.numbered_by_scanner else f" of {self.count}, counted from the feet"
        shown = [f"position {self.image.position_mm:.1f} mm"]
        if self.image.slice_location_mm is not None:
            shown.append(f"slice location {self.image.slice_location_mm:.1f} mm")
        if self.image.table_position_mm is not None:
            shown.append(f"table {self.image.table_position_mm:.1f} mm")
        return f"image {self.image.instance_number}{which} ({', '.join(shown)})"


@dataclass(frozen=True, eq=False)
class SkinPoint:
    """A mark on the skin, LPS mm.

    ``lateral_mm`` is its level distance from the midline, the vertebra's mid-plane at the depth of its
    spinous process: positive to the patient's left. ``offset_mm`` is the distance by which the mark is
    found on its face: the same, but on a flank from the tip of the spinous process, positive to the
    front. ``from_origin_mm`` is the patient's left coordinate in the scan, counted from x = 0, where the
    laser's line along the body falls when the table has not been shifted sideways. ``in_view`` is
    False where the scan ends before the skin.
    """

    point_mm: Vector
    face: Face
    lateral_mm: float
    offset_mm: float
    place: SlicePlace
    wire: Wire
    in_view: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "point_mm", frozen(self.point_mm))

    @property
    def from_origin_mm(self) -> float:
        """The patient's left coordinate in the scan, mm."""
        return float(self.point_mm[0])

    def __str__(self) -> str:
        if self.face.flank:
            way = "in front of" if self.offset_mm > 0 else "behind"
            return f"{abs(self.offset_mm):.0f} mm {way} the tip of the spinous process"
        if abs(self.offset_mm) < PEN_MM:
            return "on the midline"
        return f"{abs(self.offset_mm):.0f} mm to the patient's {self.face.side_of(self.offset_mm)} of the midline"


@dataclass(frozen=True, eq=False)
class Palpable:
    """A bony landmark a finger can find.

    ``across_mm`` and ``headwards_mm`` lead from the needle's mark to the skin straight over it
    (signs as in :class:`SkinPoint`); ``under_skin_mm`` is its depth straight in from there;
    ``along_needle_mm`` the needle's depth when its axis passes the landmark, at ``aside_mm`` from it.
    """

    name: str
    point_mm: Vector
    across_mm: float
    headwards_mm: float
    under_skin_mm: float
    along_needle_mm: float
    aside_mm: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "point_mm", frozen(self.point_mm))


@dataclass(frozen=True, eq=False)
class SkinMark:
    """Everything the operator measures, sets and feels for one path in one position.

    ``vertical_to_bone_mm`` runs from the laser's mark straight down to the bone entry,
    ``vertical_to_target_mm`` from there to the target's depth. ``cut_mm`` is the length of the
    transverse skin cut, centred on the needle's mark. ``half_voxel_mm``: along left, posterior, superior.
    ``spinous_off_mm`` is how far the tip of the spinous process lies off the midline, positive to the
    patient's left; None where the process is not in the scan. ``falls_mm`` is how much lower the skin
    lies at the needle's mark than on the midline in its slice; None where the scan does not show it.
    """

    trajectory: Trajectory
    position: PatientPosition
    grid: SkinGrid
    needle: SkinPoint
    laser: SkinPoint
    angles: NeedleAngles
    vertical_to_bone_mm: float
    vertical_to_target_mm: float
    half_voxel_mm: Vector
    spinous_off_mm: float | None
    falls_mm: float | None
    landmark: Palpable | None
    findings: tuple[Finding, ...]
    cut_mm: float = CUT_MM

    @property
    def falls_away(self) -> bool:
        """Whether a tape along the skin from the midline to the needle's mark would lead astray."""
        return self.falls_mm is not None and _along_skin_mm(self.needle, self.falls_mm) >= ALONG_SKIN_MM

    def measures(self) -> tuple[Measure, ...]:
        """The numbers, for tables and records; distances carry the voxel's uncertainty."""
        t, up = self.trajectory, self.position.up
        found = [
            *self._places("needle_mark", self.needle),
            *self._places("laser_mark", self.laser),
            self._distance("skin_to_bone", t.skin_to_bone_mm, t.direction, "along the needle"),
            self._distance("bone_to_target", t.bone_to_target_mm, t.direction, "along the needle"),
            self._distance(
                "vertical_skin_to_bone", self.vertical_to_bone_mm, up, "straight down from the laser's mark"
            ),
            self._distance("vertical_bone_to_target", self.vertical_to_target_mm, up, "straight down"),
            *self._angles(),
            Measure("skin_cut", self.cut_mm, "mm", method="across the body, its middle on the needle's mark"),
        ]
        if self.spinous_off_mm is not None:
            found.append(self._distance("spinous_tip_from_midline", self.spinous_off_mm, LEFT, _LATERAL))
        if self.landmark is not None:
            how = f"{self.landmark.name}, straight in"
            outward = self.needle.face.outward
            found.append(self._distance("landmark_under_skin", self.landmark.under_skin_mm, outward, how))
        return tuple(found)

    def _places(self, name: str, mark: SkinPoint) -> tuple[Measure, ...]:
        lateral = self._distance(f"{name}_from_midline", mark.lateral_mm, LEFT, _LATERAL)
        if not mark.face.flank:
            return (lateral,)
        return (lateral, self._distance(f"{name}_from_spinous_tip", mark.offset_mm, mark.face.across, _FORWARD))

    def _distance(self, name: str, value: float, along: Vector, method: str) -> Measure:
        open_mm = float(np.abs(along) @ self.half_voxel_mm)
        return Measure(name, value, "mm", value - open_mm, value + open_mm, "voxel", method)

    def _angles(self) -> tuple[Measure, ...]:
        a, tilt = self.angles, self.angles.dicom_tilt_deg
        how = f"from straight down, positive: {aside(self.position, 1.0)}"
        found = (
            Measure("angle_in_slice", a.in_slice_deg, "deg", method=how),
            Measure("angle_out_of_slice", a.out_of_slice_deg, "deg", method="positive: tip towards the head"),
        )
        if tilt is None:
            return found
        return (*found, Measure("gantry_tilt", tilt, "deg", method="DICOM's sign (0018,1120)"))

    def lines(self) -> tuple[str, ...]:
        """The mark in short sentences, in the order of work; to be read out at the table."""
        return lines(self)


def mark_of(
    trajectory: Trajectory,
    anatomy: Anatomy,
    position: PatientPosition | None = None,
    grid: SkinGrid | None = None,
    cut_mm: float = CUT_MM,
) -> SkinMark:
    """The mark on the skin for one path, and a skin cut of ``cut_mm``.

    ``position`` is the patient's at the procedure; None means prone, entering the gantry the way the
    scan says (head first where it does not say). Raises ``ValueError`` where the bone entry does not
    lie inside the body of the scan.
    """
    position = position or usual_position(anatomy.ct)
    grid = grid or SkinGrid()
    midline = _midline_mm(anatomy.vertebra(trajectory.level))
    d = trajectory.direction
    way_out = skin_exit(anatomy.ct, anatomy.skin, trajectory.entry_mm, -d)
    above = skin_exit(anatomy.ct, anatomy.skin, trajectory.entry_mm, position.up)
    needle = _skin_point(anatomy.ct, trajectory.skin_mm, _facing(-d, position), way_out.through_skin, midline, grid)
    laser = _skin_point(anatomy.ct, above.point_mm, _facing(position.up, position), above.through_skin, midline, grid)
    angles = angles_of(d, position)
    falls_mm = _falls_mm(anatomy, trajectory, needle, midline)
    return SkinMark(
        trajectory,
        position,
        grid,
        needle,
        laser,
        angles,
        above.depth_mm,
        float((trajectory.entry_mm - trajectory.target_mm) @ position.up),
        frozen(0.5 * np.abs(anatomy.ct.affine[:3, :3]).sum(axis=1)),
        _spinous_off_mm(anatomy.vertebra(trajectory.level), midline),
        falls_mm,
        _palpable(trajectory, anatomy, needle),
        _findings(trajectory, anatomy, position, angles, way_out, above, needle, falls_mm),
        cut_mm,
    )


def usual_position(ct: Volume) -> PatientPosition:
    """Prone, entering the gantry the way the scan says; head first where it does not say."""
    scanned = _scanned_position(ct)
    return PatientPosition.FFP if scanned is not None and not scanned.head_first else PatientPosition.HFP


def slice_place(ct: Volume, point_mm: Vector) -> SlicePlace:
    """The axial image nearest to a point; half-way between two it is the one nearer the head."""
    middle = [(n - 1) / 2.0 for n in ct.shape[1:]]
    acquired = ct.acquisition.slices if ct.acquisition else ()
    counted = np.sort([ct.world_mm([k, *middle])[2] for k in range(ct.shape[0])])
    images = acquired or tuple(Slice(n, float(z)) for n, z in enumerate(counted, 1))
    height_mm = float(ct.world_mm([ct.index_kji(point_mm)[0], *middle])[2])
    nearest = min(images, key=lambda s: (round(abs(s.position_mm - height_mm), 6), -s.position_mm))
    return SlicePlace(nearest, len(images), bool(acquired), height_mm - nearest.position_mm)


def _scanned_position(ct: Volume) -> PatientPosition | None:
    word = ct.acquisition.patient_position if ct.acquisition else None
    return PatientPosition.parse(word) if word and word.upper() in PatientPosition.__members__ else None


def _midline_mm(vertebra: Vertebra) -> Vector:
    """The point of the vertebra's midplane at the depth of its spinous process, LPS."""
    frame = vertebra.frame
    tip = vertebra.landmarks.get("spinous_tip")
    points = frame.to_local(vertebra.mask.points_mm() if tip is None else tip[None])
    return frame.to_world(np.array([0.0, float(points[:, 1].max()), 0.0]))


def _spinous_off_mm(vertebra: Vertebra, midline: Vector) -> float | None:
    tip = vertebra.landmarks.get("spinous_tip")
    return None if tip is None else float((tip - midline) @ LEFT)


def _facing(outward: Vector, position: PatientPosition) -> Face:
    """The face of the body on which a mark is counted whose needle leaves along ``outward``.

    A patient who lies prone or supine is measured from the midline, however steep the skin; a flank
    counts only where the patient lies on a side. Half-way counts for back or front, level for what is up.
    """
    x, y, _ = outward
    if position.on_side and abs(x) > abs(y):
        return Face.LEFT if x > 0 else Face.RIGHT
    y = y or position.up[1]
    return Face.FRONT if y < 0 else Face.BACK


def _skin_point(ct: Volume, point: Vector, face: Face, in_view: bool, midline: Vector, grid: SkinGrid) -> SkinPoint:
    lateral, offset = float((point - midline) @ LEFT), float((point - midline) @ face.across)
    return SkinPoint(point, face, lateral, offset, slice_place(ct, point), grid.nearest(offset, face), in_view)


def _falls_mm(anatomy: Anatomy, trajectory: Trajectory, needle: SkinPoint, midline: Vector) -> float | None:
    """How much lower the skin lies at the needle's mark than on the midline of its slice, mm."""
    if needle.face.flank or not needle.in_view:
        return None
    # from the depth of the bone entry: deep enough to be in the body, and clear of the air in the belly
    start = np.array([midline[0], trajectory.entry_mm[1], needle.point_mm[2]])
    if not anatomy.skin.sample(start, order=0) > 0.5:
        return None
    over = skin_exit(anatomy.ct, anatomy.skin, start, needle.face.outward)
    return float((over.point_mm - needle.point_mm) @ needle.face.outward) if over.through_skin else None


def _along_skin_mm(needle: SkinPoint, falls_mm: float) -> float:
    """By how much a tape from the midline to the mark reads too long at least: the chord less the level distance."""
    return float(np.hypot(needle.lateral_mm, falls_mm) - abs(needle.lateral_mm))


#: Landmarks of one side by region, the one a needle is led to first.
_LANDMARKS = {
    "lumbar": ("articular_transverse_junction", "transverse_tip"),
    "thoracic": ("rib_transverse_notch", "transverse_tip"),
}
_SPOKEN = {a.landmark_key: a.landmark for a in APPROACHES} | {"transverse_tip": "tip of the transverse process"}


def _palpable(trajectory: Trajectory, anatomy: Anatomy, needle: SkinPoint) -> Palpable | None:
    """The landmark that leads to the bone entry, or None where the vertebra has none on that side."""
    found = anatomy.vertebra(trajectory.level).landmarks
    for name in _LANDMARKS.get(trajectory.level.region, ()):
        point = found.get(f"{name}_{trajectory.side.value}")
        if point is not None:
            over = skin_exit(anatomy.ct, anatomy.skin, point, needle.face.outward)
            way = over.point_mm - needle.point_mm
            return Palpable(
                _SPOKEN[name],
                point,
                float(way @ needle.face.across),
                float(way @ SUPERIOR),
                over.depth_mm,
                float((point - trajectory.skin_mm) @ trajectory.direction),
                float(trajectory.axis.distance_mm(point)),
            )
    return None


# --- what worries us ------------------------------------------------------------------------------------------------


def _findings(
    t: Trajectory,
    anatomy: Anatomy,
    position: PatientPosition,
    angles: NeedleAngles,
    way_out: SkinExit,
    above: SkinExit,
    needle: SkinPoint,
    falls_mm: float | None,
) -> tuple[Finding, ...]:
    found = [
        *_about_position(anatomy.ct, position),
        *_about_slices(anatomy.ct),
        *_about_reach(t, position, angles),
        *_about_view(t, way_out, above, angles),
        *_about_slope(needle, falls_mm),
    ]
    return tuple(sorted(found, key=lambda f: -f.severity.rank))


def _about_position(ct: Volume, position: PatientPosition) -> list[Finding]:
    scanned = _scanned_position(ct)
    word = ct.acquisition.patient_position if ct.acquisition else None
    if scanned is None:
        text = "The scan does not say how the patient lay. Check the mark on a scan in the position of the procedure."
        return [Finding(Severity.NOTE, text, f"patient position {word!r}" if word else "no patient position")]
    if scanned.lies != position.lies:
        text = (
            f"The scan was made {scanned}, the needle goes in {position}. The spine bends and the skin shifts when the "
            "patient turns: scan again in the position of the procedure and mark on that scan."
        )
        return [Finding(Severity.CAUTION, text, "patient position of the scan")]
    if scanned is not position:
        text = (
            f"The scan was made {scanned}, the procedure is {position}: slice and table positions will not be the same."
        )
        return [Finding(Severity.NOTE, text, "patient position of the scan")]
    return []


def _about_slices(ct: Volume) -> list[Finding]:
    """Angles and positions are spoken upright, whatever the slices of the scan."""
    turned = angle_deg(ct.affine[:3, 2], SUPERIOR)
    turned = min(turned, 180.0 - turned)
    if turned <= AXIAL_DEG:
        return []
    text = (
        f"The scan's slices are turned {turned:.1f}° from axial: distances and angles are for upright axial slices, "
        "not for these images, and an image's position holds only at its centre. Make an axial reconstruction "
        "and plan on that."
    )
    return [Finding(Severity.CAUTION, text, "the normal of the slices against the patient's long axis")]


def _about_slope(needle: SkinPoint, falls_mm: float | None) -> list[Finding]:
    if falls_mm is None or _along_skin_mm(needle, falls_mm) < ALONG_SKIN_MM:
        return []
    text = (
        "The skin falls away at the needle's mark: measure level, not along the skin. "
        "Lines of a grid that follows the skin stand closer together than their pitch."
    )
    because = (
        f"the skin lies {falls_mm:.0f} mm lower than on the midline: a tape along it reads at least "
        f"{_along_skin_mm(needle, falls_mm):.0f} mm too long"
    )
    return [Finding(Severity.CAUTION, text, because)]


def _about_reach(t: Trajectory, position: PatientPosition, angles: NeedleAngles) -> list[Finding]:
    spare = t.instrument.length_mm - t.length_mm
    found = []
    if angles.from_below:
        text = (
            f"With the patient {position} the needle would have to come up through the table: choose another position."
        )
        found.append(Finding(Severity.STOP, text, f"{abs(angles.in_slice_deg):.0f}° from straight down"))
    if spare < 0:
        text = f"The needle is {-spare:.0f} mm too short: take one of at least {t.length_mm + HOLD_MM:.0f} mm."
        found.append(Finding(Severity.STOP, text, f"path {t.length_mm:.0f} mm, needle {t.instrument.length_mm:.0f} mm"))
    elif spare < HOLD_MM:
        text = f"Only {spare:.0f} mm of the needle stay outside the skin: a longer one is easier to hold."
        found.append(
            Finding(Severity.CAUTION, text, f"path {t.length_mm:.0f} mm, needle {t.instrument.length_mm:.0f} mm")
        )
    return found


def _about_view(t: Trajectory, way_out: SkinExit, above: SkinExit, angles: NeedleAngles) -> list[Finding]:
    found = []
    apart = float(np.linalg.norm(way_out.point_mm - t.skin_mm))
    if not way_out.through_skin:
        text = "The skin where the needle goes in lies outside the scan: its mark, depth and length are not known."
        found.append(Finding(Severity.STOP, text, "the needle's axis leaves the scan before the skin"))
    elif apart > SURFACE_TOLERANCE_MM:
        text = f"The path starts {apart:.0f} mm from the skin of the scan: check where the needle goes in."
        found.append(Finding(Severity.CAUTION, text, "the path's skin point against the scan's surface"))
    if not above.through_skin and not angles.from_below:
        text = "The skin straight above the bone entry lies outside the scan: the laser's mark is not known."
        found.append(Finding(Severity.CAUTION, text, "the vertical through the bone entry leaves the scan first"))
    return found
