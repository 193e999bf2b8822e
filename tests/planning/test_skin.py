"""The mark on the skin, on an elliptic trunk whose skin is known, in all eight positions."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import numpy as np
import pydicom
import pytest

import trocar
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.skin import body_mask
from trocar.anatomy.vertebra import Heights, Vertebra
from trocar.geometry import LEFT, POSTERIOR, SUPERIOR, Plane, Pose, Side, unit
from trocar.measure import Measure, Severity
from trocar.planning.instrument import Needle
from trocar.planning.position import PatientPosition
from trocar.planning.skin import CUT_MM, Face, SkinGrid, mark_of, slice_place, usual_position
from trocar.planning.trajectory import Trajectory
from trocar.volume import Acquisition, Slice, Volume

HALF = np.array([120.0, 90.0])  # half-axes of the trunk, left and posterior, mm
SPACING = np.array([0.8, 0.8, 2.5])  # left, posterior, superior
SHAPE = (24, 260, 330)
MIDLINE = 6.0  # the spine stands 6 mm to the left of the scan's centre
ENTRY = np.array([MIDLINE + 24.0, 32.0, 3.0])
TARGET = np.array([MIDLINE + 2.0, -8.0, 8.0])
JUNCTION = np.array([MIDLINE + 22.0, 36.0, 5.0])
MIRROR = np.array([-1.0, 1.0, 1.0])
WHEN_MIRRORED = {"HFDL": "HFDR", "HFDR": "HFDL", "FFDL": "FFDR", "FFDR": "FFDL"}


def to_skin(start, direction):
    """Closed form: distance from a point inside the elliptic cylinder to its surface."""
    a, b = direction[:2] / HALF, start[:2] / HALF
    return (-a @ b + np.sqrt((a @ b) ** 2 - (a @ a) * (b @ b - 1.0))) / (a @ a)


def trunk(centre=(0.0, 0.0)):
    """The trunk with partial volume at its edge, on a grid centred on the origin."""
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = -SPACING * (np.array(SHAPE[::-1]) - 1) / 2
    y, x = (affine[a, 3] + SPACING[a] * np.arange(SHAPE[2 - a]) for a in (1, 0))
    qx, qy = np.meshgrid((x - centre[0]) / HALF[0], (y - centre[1]) / HALF[1])
    r = np.hypot(qx, qy)
    distance = (r - 1.0) * r / np.hypot(qx / HALF[0], qy / HALF[1])
    hu = -1000.0 + 1020.0 * np.clip(0.5 - distance / 0.8, 0.0, 1.0)
    return Volume(np.broadcast_to(hu, SHAPE).astype(np.float32), affine)


def vertebra(sign=1.0, junction=JUNCTION, side="left"):
    """A stand-in for L1: its frame, its spinous process and one landmark are all the mark needs."""
    mask = Volume(np.ones((3, 3, 3), bool), np.eye(4), unit="mask")
    frame = Pose(np.array([sign * MIDLINE, 0.0, 0.0]), np.eye(3))
    flat = Measure("height", 25.0, "mm")
    marks = {"spinous_tip": np.array([sign * MIDLINE, 62.0, -4.0])}
    if junction is not None:
        marks[f"articular_transverse_junction_{side}"] = junction
    plates = {"superior": Plane(frame.origin_mm, SUPERIOR), "inferior": Plane(frame.origin_mm, -SUPERIOR)}
    parts = replace(mask, array=np.ones((3, 3, 3), np.uint8), unit="label")
    return Vertebra(Level.L1, mask, parts, frame, {}, plates, Heights(flat, flat, flat), marks)


def patient(ct, bone=None):
    return Anatomy(ct, {Level.L1: bone or vertebra()}, {}, body_mask(ct))


@pytest.fixture(scope="module")
def anatomy():
    return patient(trunk())


@pytest.fixture(scope="module")
def mirrored():
    return patient(trunk(), vertebra(-1.0, JUNCTION * MIRROR, "right"))


def path(entry=ENTRY, target=TARGET, side=Side.LEFT, needle=None):
    way = unit(np.subtract(entry, target))
    skin = entry + to_skin(entry, way) * way
    return Trajectory(Level.L1, side, "transpedicular", needle or Needle.of_gauge(11), skin, entry, target)


def said_as(anatomy, position):
    """The anatomy with that patient position in its header."""
    return replace(anatomy, ct=replace(anatomy.ct, acquisition=Acquisition(patient_position=position)))


# --- numbers in closed form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", PatientPosition)
def test_depths_are_exact_to_a_fifth_of_a_voxel(anatomy, position):
    """C15: the vertical projection of the entry on the skin, in every position."""
    mark = mark_of(path(), anatomy, position)
    true = to_skin(ENTRY, position.up)
    assert mark.vertical_to_bone_mm == pytest.approx(true, abs=0.2 * 0.8)
    np.testing.assert_allclose(mark.laser.point_mm, ENTRY + true * position.up, atol=0.2 * 0.8)
    assert mark.vertical_to_target_mm == pytest.approx((ENTRY - TARGET) @ position.up)
    assert mark.trajectory.skin_to_bone_mm == pytest.approx(to_skin(ENTRY, unit(ENTRY - TARGET)))


@pytest.mark.parametrize("position", PatientPosition)
def test_turning_the_patient_in_the_room_keeps_the_anatomical_side(anatomy, position):
    mark = mark_of(path(), anatomy, position)
    prone = mark_of(path(), anatomy, PatientPosition.HFP)
    assert mark.needle.face is Face.BACK
    assert str(mark.needle) == str(prone.needle)
    assert str(mark.needle.wire) == str(prone.needle.wire)
    assert mark.needle.offset_mm == prone.needle.offset_mm > 0
    assert "to the patient's left of the midline" in str(mark.needle)
    assert mark.landmark.across_mm == pytest.approx(prone.landmark.across_mm)


def test_the_numbers_prone_by_hand(anatomy):
    """d = (-22, -40, 5): in the slice atan(22/40), along the body atan(5/40)."""
    mark = mark_of(path(), anatomy, PatientPosition.HFP)
    assert mark.angles.in_slice_deg == pytest.approx(-np.degrees(np.arctan2(22, 40)))
    assert mark.angles.tilt_deg == pytest.approx(np.degrees(np.arctan2(5, 40)))
    assert mark.laser.offset_mm == pytest.approx(24.0)
    assert mark.laser.from_origin_mm == pytest.approx(30.0)
    assert mark.needle.offset_mm == pytest.approx(mark.trajectory.skin_mm[0] - MIDLINE)
    over = JUNCTION + to_skin(JUNCTION, POSTERIOR) * POSTERIOR
    assert mark.landmark.under_skin_mm == pytest.approx(to_skin(JUNCTION, POSTERIOR), abs=0.16)
    assert mark.landmark.across_mm == pytest.approx(over[0] - mark.trajectory.skin_mm[0], abs=0.16)
    assert mark.landmark.headwards_mm == pytest.approx(over[2] - mark.trajectory.skin_mm[2], abs=0.16)
    assert mark.landmark.along_needle_mm == pytest.approx(
        (JUNCTION - mark.trajectory.skin_mm) @ mark.trajectory.direction
    )


@pytest.mark.parametrize("position", PatientPosition)
def test_the_laser_lies_on_the_face_that_is_up(anatomy, position):
    face = {"P": Face.BACK, "S": Face.FRONT, "DL": Face.RIGHT, "DR": Face.LEFT}[position.value[2:]]
    mark = mark_of(path(), anatomy, position)
    assert mark.laser.face is face
    along = (mark.laser.point_mm - [MIDLINE, 62.0, 0.0]) @ (-POSTERIOR if position.on_side else LEFT)
    assert mark.laser.offset_mm == pytest.approx(along)
    if position.on_side:
        assert str(mark.laser) == "30 mm in front of the tip of the spinous process"


def steep(sign=1.0):
    """A path 60° from straight down: it leaves the trunk through its side."""
    target = np.array([sign * MIDLINE, 0.0, 0.0])
    entry = target + 30.0 * np.array([sign * np.sin(np.pi / 3), np.cos(np.pi / 3), 0.0])
    return path(entry, target, Side.LEFT if sign > 0 else Side.RIGHT)


@pytest.mark.parametrize("position", PatientPosition)
def test_a_steep_path_is_counted_from_the_midline_unless_the_patient_lies_on_a_side(anatomy, position):
    """Closed form: the mark's level distance is the skin point's own, far down the side of the ellipse."""
    t = steep()
    mark = mark_of(t, anatomy, position)
    away = float(t.skin_mm[0] - MIDLINE)
    measures = {m.name: m.value for m in mark.measures()}
    assert away > 80.0
    assert mark.needle.lateral_mm == measures["needle_mark_from_midline"] == pytest.approx(away)
    if position.on_side:
        assert mark.needle.face is Face.LEFT
        assert measures["needle_mark_from_spinous_tip"] == pytest.approx(62.0 - t.skin_mm[1])
        return
    assert mark.needle.face is Face.BACK
    assert "needle_mark_from_spinous_tip" not in measures
    assert str(mark.needle) == f"{away:.0f} mm to the patient's left of the midline"
    assert str(mark.needle.wire) == str(SkinGrid().nearest(away, Face.BACK))
    assert not any("flank" in line for line in mark.lines())


def test_where_the_skin_falls_away_the_distance_is_measured_level(anatomy):
    """Closed form: the height of the ellipse over the midline less that at the mark."""
    t = steep()
    mark = mark_of(t, said_as(anatomy, "HFP"))
    falls = HALF[1] * np.sqrt(1.0 - (MIDLINE / HALF[0]) ** 2) - t.skin_mm[1]
    assert mark.falls_mm == pytest.approx(falls, abs=0.3)
    assert mark.lines()[2].endswith("The skin falls away here: measure level, not along the skin.")
    (told,) = mark.findings
    assert told.severity is Severity.CAUTION
    too_long = np.hypot(mark.needle.lateral_mm, falls) - mark.needle.lateral_mm
    assert f"at least {too_long:.0f} mm too long" in told.because
    assert not mark_of(path(), anatomy).falls_away


def test_a_level_needle_is_counted_on_what_is_up(anatomy):
    t = path(np.array([MIDLINE + 30.0, 0.0, 0.0]), np.array([MIDLINE, 0.0, 0.0]))
    faces = {"HFP": Face.BACK, "HFS": Face.FRONT, "HFDL": Face.LEFT}
    for code, face in faces.items():
        assert mark_of(t, anatomy, PatientPosition.parse(code)).needle.face is face


@pytest.mark.parametrize("lean_mm", [-3.0, 1.4, 1.6])
def test_a_spinous_process_that_leans_is_told(anatomy, lean_mm):
    bone = vertebra()
    bone = replace(bone, landmarks={**bone.landmarks, "spinous_tip": np.array([MIDLINE + lean_mm, 62.0, -4.0])})
    mark = mark_of(path(), replace(anatomy, vertebrae={Level.L1: bone}))
    side = "left" if lean_mm > 0 else "right"
    told = f"Midline: the mid-plane of the vertebra; the tip of the spinous process lies {abs(lean_mm):.0f} mm {side}"
    assert any(line.startswith(told) for line in mark.lines()) == (abs(lean_mm) >= 1.5)
    assert "Midline: the mid-plane of the vertebra" in " ".join(mark.lines())
    assert {m.name: m.value for m in mark.measures()}["spinous_tip_from_midline"] == pytest.approx(lean_mm)
    assert mark.needle.offset_mm == mark_of(path(), anatomy).needle.offset_mm


# --- symmetry -------------------------------------------------------------------------------------------------------


def swapped(text):
    return text.replace("left", "\0").replace("right", "left").replace("\0", "right")


#: Words that a mirror leaves alone: the orientation of the screen is a convention.
_SCREEN = "On the screen with the front at the top and the patient's left on the right"


@pytest.mark.parametrize("position", PatientPosition)
def test_a_mirrored_patient_swaps_the_words_and_keeps_the_numbers(anatomy, mirrored, position):
    other = PatientPosition.parse(WHEN_MIRRORED.get(position.value, position.value))
    ours = mark_of(path(), anatomy, position)
    theirs = mark_of(path(ENTRY * MIRROR, TARGET * MIRROR, Side.RIGHT), mirrored, other)
    for mine, yours in zip(ours.lines(), theirs.lines(), strict=True):
        expected = swapped(mine.removeprefix(_SCREEN))
        for code, mirror in WHEN_MIRRORED.items():
            if f"({code})" in expected:
                expected = expected.replace(f"({code})", f"({mirror})")
                break
        assert yours.removeprefix(_SCREEN) == expected
    for mine, yours in zip(ours.measures(), theirs.measures(), strict=True):
        assert abs(yours.value) == pytest.approx(abs(mine.value), abs=1e-6), mine.name
    assert [f.severity for f in ours.findings] == [f.severity for f in theirs.findings]


def test_a_shifted_patient_changes_only_the_scan_s_own_coordinates(anatomy):
    shift = np.array([8.0, -4.0, 2.5])  # whole voxels
    ct = trunk(centre=shift[:2])
    bone = vertebra()
    marks = {name: point + shift for name, point in bone.landmarks.items()}
    bone = replace(bone, frame=Pose(bone.frame.origin_mm + shift, bone.frame.axes), landmarks=marks)
    t = path()
    there = Trajectory(t.level, t.side, t.approach, t.instrument, t.skin_mm + shift, ENTRY + shift, TARGET + shift)
    a, b = mark_of(t, anatomy), mark_of(there, patient(ct, bone))
    assert a.needle.offset_mm == pytest.approx(b.needle.offset_mm)
    assert a.vertical_to_bone_mm == pytest.approx(b.vertical_to_bone_mm, abs=1e-4)
    assert b.needle.from_origin_mm - a.needle.from_origin_mm == pytest.approx(8.0)
    assert b.needle.place.image.instance_number - a.needle.place.image.instance_number == 1


# --- slices, grid, cut ----------------------------------------------------------------------------------------------


def test_slices_are_named_as_the_scanner_names_them(anatomy):
    """Instance numbers run from the head here; the table moves the other way."""
    z = anatomy.ct.world_mm([[k, 0, 0] for k in range(SHAPE[0])])[:, 2]
    slices = tuple(Slice(100 - k, float(h), float(-h), 500.0 + float(h)) for k, h in enumerate(z))
    ct = replace(anatomy.ct, acquisition=Acquisition("HFP", slices=slices))
    place = slice_place(ct, np.array([0.0, 0.0, z[10] + 0.9]))
    assert (place.image.instance_number, place.numbered_by_scanner) == (90, True)
    assert place.offset_mm == pytest.approx(0.9)
    mark = mark_of(path(), replace(anatomy, ct=ct))
    assert f"position {mark.laser.place.image.position_mm:.1f} mm, slice location" in mark.lines()[3]
    assert "table" in mark.lines()[3]
    assert mark.findings == ()


def test_without_numbers_slices_are_counted_from_the_feet(anatomy):
    place = slice_place(anatomy.ct, anatomy.ct.world_mm([0, 5, 5]))
    assert (place.image.instance_number, place.numbered_by_scanner) == (1, False)
    assert "image 1 of 24, counted from the feet" in str(place)
    upside_down = replace(anatomy.ct, affine=anatomy.ct.affine @ np.diag([1.0, 1.0, -1.0, 1.0]))
    lowest = slice_place(upside_down, upside_down.world_mm([SHAPE[0] - 1, 5, 5]))
    assert lowest.image.instance_number == 1


def test_halfway_between_two_slices_is_the_one_nearer_the_head(anatomy):
    half = anatomy.ct.world_mm([10.5, 5, 5])
    assert slice_place(anatomy.ct, half).image.instance_number == 12
    assert slice_place(anatomy.ct, half).offset_mm == pytest.approx(-1.25)


@pytest.mark.parametrize(
    ("offset_mm", "text"),
    [
        (42.0, "line 4 left + 2 mm"),
        (-42.0, "line 4 right + 2 mm"),
        (38.0, "line 4 left - 2 mm"),
        (40.2, "line 4 left"),
        (35.0, "line 3 left + 5 mm"),
        (-35.0, "line 3 right + 5 mm"),
        (3.0, "line 0 (midline) + 3 mm to the left"),
        (-3.0, "line 0 (midline) + 3 mm to the right"),
        (0.2, "line 0 (midline)"),
    ],
)
def test_wires(offset_mm, text):
    assert str(SkinGrid(10.0).nearest(offset_mm, Face.BACK)) == text


def test_wires_of_another_pitch_and_on_a_flank():
    assert str(SkinGrid(15.0).nearest(-47.0, Face.BACK)) == "line 3 right + 2 mm"
    assert str(SkinGrid(10.0).nearest(31.0, Face.LEFT)) == "line 3 front + 1 mm"
    assert str(SkinGrid(10.0).nearest(-31.0, Face.RIGHT)) == "line 3 back + 1 mm"
    with pytest.raises(ValueError, match="pitch_mm=0 is outside 2 to 50 mm for SkinGrid"):
        SkinGrid(0)


def test_the_cut_is_one_and_a_half_centimetres(anatomy):
    """C16: 15 mm is 1.5 cm, transverse."""
    mark = mark_of(path(), anatomy)
    assert CUT_MM == mark.cut_mm == 15.0
    cut = next(line for line in mark.lines() if line.startswith("Skin cut"))
    assert "15 mm (1.5 cm) across the body, its middle on the needle's mark" in cut
    assert {m.name: m.value for m in mark.measures()}["skin_cut"] == 15.0


# --- words ----------------------------------------------------------------------------------------------------------


def test_prone_head_first_in_words(anatomy):
    """C07, C08, C15, C16, as read out at the table."""
    mark = mark_of(path(), said_as(anatomy, "HFP"))
    lines = mark.lines()
    assert lines[0] == "L1, left, transpedicular. Patient prone, head first (HFP)."
    assert "Angle in the slice: 29° from straight down, tip to the patient's right, towards the midline." in lines
    assert (
        "Angle along the body: 6° out of the slice, tip towards the head; "
        "a gantry tilt of 7°, its top towards the feet, shows it in one slice." in lines
    )
    laser = (
        "Laser's mark: 24 mm to the patient's left of the midline; grid line 2 left + 4 mm; 30 mm left of the scan's"
    )
    assert any(line.startswith(laser) for line in lines)
    feel = next(line for line in lines if line.startswith("Feel"))
    assert (
        "junction of superior articular and transverse process: 28 mm towards the midline and 8 mm towards the head"
        in feel
    )
    table = next(line for line in lines if line.startswith("From the free end"))
    assert table.endswith("the mark is to your left of the midline; the hub leans to your left.")
    screen = next(line for line in lines if line.startswith("On the screen"))
    assert screen.endswith("the needle runs up and left.")
    assert 10 <= len(lines) <= 14


def test_feet_first_the_operator_sees_the_other_hand(anatomy):
    lines = mark_of(path(), anatomy, PatientPosition.FFP).lines()
    assert any("to your right of the midline; the hub leans to your right" in line for line in lines)
    assert any("tip to the patient's right, towards the midline" in line for line in lines)


def test_on_the_side_the_tip_points_to_front_or_back(anatomy):
    lines = mark_of(path(), anatomy, PatientPosition.HFDR).lines()
    assert any("straight down, tip to the patient's front" in line for line in lines)
    assert any("the laser's mark lies on the left flank" in line for line in lines)


def test_a_straight_needle_over_the_midline(anatomy):
    entry, target = np.array([MIDLINE, 50.0, 0.0]), np.array([MIDLINE, 0.0, 0.0])
    lines = mark_of(path(entry, target), patient(anatomy.ct, vertebra(junction=None))).lines()
    assert "Angle in the slice: straight down." in lines
    assert "Angle along the body: none, the needle stays in its slice." in lines
    assert any(line.startswith("Needle's mark: on the midline; grid line 0 (midline);") for line in lines)
    assert any(line.endswith("which is also the laser's.") for line in lines)
    assert not any(line.startswith("Feel") for line in lines)


def test_a_landmark_across_the_midline_is_named_by_its_side(anatomy):
    entry, target = np.array([MIDLINE + 4.0, 40.0, 0.0]), np.array([MIDLINE + 4.0, 0.0, 0.0])
    far = vertebra(junction=np.array([MIDLINE - 20.0, 36.0, 0.0]))
    lines = mark_of(path(entry, target), patient(anatomy.ct, far)).lines()
    assert any("process: 24 mm to the patient's right from the needle's mark" in line for line in lines)


# --- findings -------------------------------------------------------------------------------------------------------


def severities(mark):
    return [f.severity for f in mark.findings]


@pytest.mark.parametrize(
    ("scanned", "position", "severity", "says"),
    [
        ("HFS", PatientPosition.HFP, Severity.CAUTION, "made supine, head first (HFS), the needle goes in prone"),
        ("FFS", PatientPosition.FFP, Severity.CAUTION, "The spine bends and the skin shifts"),
        ("FFP", PatientPosition.HFP, Severity.NOTE, "slice and table positions will not be the same"),
        (None, PatientPosition.HFP, Severity.NOTE, "does not say how the patient lay"),
        ("SITTING", PatientPosition.HFP, Severity.NOTE, "does not say how the patient lay"),
    ],
)  # fmt: skip
def test_scan_and_procedure_in_different_positions(anatomy, scanned, position, severity, says):
    mark = mark_of(path(), said_as(anatomy, scanned), position)
    assert severities(mark) == [severity]
    assert says in mark.findings[0].text


def test_same_position_worries_nobody(anatomy):
    assert mark_of(path(), said_as(anatomy, "HFP"), PatientPosition.HFP).findings == ()


@pytest.mark.parametrize(("scanned", "usual"), [("FFS", "FFP"), ("HFS", "HFP"), (None, "HFP"), ("FFDR", "FFP")])
def test_the_usual_position_is_prone_the_way_the_scan_went_in(anatomy, scanned, usual):
    assert usual_position(said_as(anatomy, scanned).ct).value == usual


def test_a_needle_through_the_table_is_stopped(anatomy):
    mark = mark_of(path(), said_as(anatomy, "HFS"), PatientPosition.HFS)
    assert severities(mark) == [Severity.STOP]
    assert "come up through the table" in mark.findings[0].text


@pytest.mark.parametrize(("turned_deg", "cautions"), [(0.0, 0), (0.4, 0), (-0.6, 1), (7.0, 1)])
def test_turned_slices_are_told(anatomy, turned_deg, cautions):
    a = np.radians(turned_deg)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    ct, skin = (replace(v, affine=turn @ v.affine) for v in (anatomy.ct, anatomy.skin))
    mark = mark_of(path(), said_as(replace(anatomy, ct=ct, skin=skin), "HFP"))
    told = [f for f in mark.findings if f.text.startswith(f"The scan's slices are turned {abs(turned_deg):.1f}° from")]
    assert [f.severity for f in told] == [Severity.CAUTION] * cautions


def test_needle_too_short_and_nearly_so(anatomy):
    said = said_as(anatomy, "HFP")
    length = path().length_mm
    short = mark_of(path(needle=Needle(3.0, length - 6.0)), said)
    assert severities(short) == [Severity.STOP]
    assert "6 mm too short" in short.findings[0].text
    assert any("needle is 6 mm too short" in line for line in short.lines())
    near = mark_of(path(needle=Needle(3.0, length + 4.0)), said)
    assert severities(near) == [Severity.CAUTION]
    assert "Only 4 mm of the needle stay outside" in near.findings[0].text
    assert mark_of(path(needle=Needle(3.0, length + 10.5)), said).findings == ()


def test_skin_outside_the_scan_is_stopped(anatomy):
    """The scan is cut 62 mm behind the centre: the back, at 90 mm, is not in it."""
    start = (0, 0, 0)
    stop = (SHAPE[0], int(anatomy.ct.index_kji([0.0, 62.0, 0.0])[1]), SHAPE[2])
    cut = replace(anatomy, ct=anatomy.ct.crop(start, stop), skin=anatomy.skin.crop(start, stop))
    mark = mark_of(path(), cut)
    assert severities(mark) == [Severity.STOP, Severity.CAUTION, Severity.NOTE]
    assert not mark.needle.in_view
    assert not mark.laser.in_view


def test_a_skin_point_off_the_surface_is_told(anatomy):
    t = path()
    off = replace(t, skin_mm=t.skin_mm - 5.0 * t.direction)
    mark = mark_of(off, said_as(anatomy, "HFP"))
    assert severities(mark) == [Severity.CAUTION]
    assert "starts 5 mm from the skin" in mark.findings[0].text


def test_a_bone_entry_outside_the_body_is_refused(anatomy):
    t = replace(path(), entry_mm=np.array([0.0, 100.0, 0.0]))
    with pytest.raises(ValueError, match="is not inside the body"):
        mark_of(t, anatomy)


# --- a real scan ----------------------------------------------------------------------------------------------------


def test_real_scan_feet_first_supine(shared_data):
    """The slice is named by the header of the file that holds it; the skin of the back is found through a mat."""
    source = shared_data / "lidc0001" / "lidc0001_lower_dicom.zip"
    ct = trocar.read_ct(source)
    entry = np.array([35.0, 74.0, -281.0])  # left of the L1 spinous process, between pedicle and skin
    target = np.array([16.0, 35.0, -279.0])
    skin = body_mask(ct)
    t = Trajectory(Level.L1, Side.LEFT, "transpedicular", Needle.of_gauge(11), 2 * entry - target, entry, target)
    bone = replace(vertebra(junction=None), frame=Pose(np.array([14.0, 30.0, -280.0]), np.eye(3)))
    mark = mark_of(t, Anatomy(ct, {Level.L1: bone}, {}, skin))
    with zipfile.ZipFile(source) as archive:
        named = [n for n in archive.namelist() if n.endswith(".dcm")]
        headers = [pydicom.dcmread(io.BytesIO(archive.read(n)), stop_before_pixels=True) for n in named]
    nearest = min(headers, key=lambda h: abs(float(h.ImagePositionPatient[2]) - mark.laser.point_mm[2]))
    assert mark.laser.place.image.instance_number == int(nearest.InstanceNumber)
    assert mark.laser.place.numbered_by_scanner
    assert mark.position is PatientPosition.FFP
    assert mark.laser.in_view
    assert 30.0 < mark.vertical_to_bone_mm < 60.0
    assert any("made supine, feet first (FFS)" in f.text for f in mark.findings)


#: The best path to L4 of that patient: 45° from straight down, its skin point far down the right side.
STEEP = {"skin": (-105.5, -45.7, 304.0), "entry": (-29.8, -117.4, 285.8), "target": (5.0, -150.3, 277.4)}


def test_real_scan_of_a_big_patient_with_a_steep_path(shared_data):
    """Prone, a mark 110 mm right of the midline is on the patient's back, not behind a spinous process."""
    folder = shared_data / "ts_example"
    ct = trocar.read_ct(folder / "example_ct.nii.gz")
    target, entry = np.array(STEEP["target"]), np.array(STEEP["entry"])
    t = Trajectory(Level.L4, Side.RIGHT, "transpedicular", Needle.of_gauge(11), np.array(STEEP["skin"]), entry, target)
    bone = replace(vertebra(junction=None), level=Level.L4, frame=Pose(target, np.eye(3)), landmarks={})
    mark = mark_of(t, Anatomy(ct, {Level.L4: bone}, {}, body_mask(ct)), PatientPosition.HFP)
    assert mark.needle.in_view
    assert mark.needle.face is Face.BACK
    assert str(mark.needle) == f"{target[0] - t.skin_mm[0]:.0f} mm to the patient's right of the midline"
    assert mark.needle.lateral_mm == pytest.approx(t.skin_mm[0] - target[0])
    assert mark.needle.lateral_mm < -100.0
    assert mark.needle.wire.number in (10, 11)
    assert not any("flank" in line or "spinous process" in line for line in mark.lines())
    assert not mark.falls_away  # this back was pressed flat by the table
