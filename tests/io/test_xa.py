"""X-ray runs: what is written is read back, by this program and by others, and what cannot be used is told."""

from __future__ import annotations

import shutil
import subprocess
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedXAImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    XRayRadiofluoroscopicImageStorage,
)

from trocar.errors import ImageError, OutputError
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.carm_position import PatientPosition, RoomAngles, about_patient
from trocar.guidance.frames import Frame, Intensity
from trocar.io.xa import XA, read_xa
from trocar.io.xa_collimation import Collimation
from trocar.io.xa_header import About
from trocar.io.xa_write import write_xa
from trocar.measure import Severity

FRAME_UID = "1.2.826.0.1.3680043.8.498.2"
SHAPE = (24, 33)
VIEW = CArm((3.25, -41.0, 187.5), 25.0, 15.0, 1050.0, 700.0, Detector(*SHAPE, 1.5, 1.25))
ABOUT = About(FRAME_UID, PatientPosition.HFS, tube_voltage_kv=78.0, pseudonym="case-7")


def image(number: int, kind: Any = np.uint16) -> np.ndarray:
    rng = np.random.default_rng(number)
    return rng.integers(0, np.iinfo(kind).max, SHAPE, dtype=kind)


def frames(count: int = 3, view: CArm | None = VIEW, kind: Any = np.uint16, **rest: Any) -> Iterator[Frame]:
    for n in range(count):
        yield Frame(n, 10.0 + n / 15.0, "test", image(n, kind), view, **rest)


def written(path: Path, about: About = ABOUT, **rest: Any) -> Path:
    write_xa(path, frames(**rest), about)
    return path


def edited(path: Path, **tags: Any) -> Path:
    """The file with these elements set, or taken away where they are None."""
    dataset = dcmread(path)
    for keyword, value in tags.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.save_as(path)
    return path


def texts(run: XA) -> str:
    return "\n".join(str(f) for f in run.findings)


def assert_same_view(a: CArm | None, b: CArm | None) -> None:
    assert a is not None
    assert b is not None
    points = np.array(b.isocentre_mm) + np.random.default_rng(1).uniform(-80.0, 80.0, (20, 3))
    np.testing.assert_allclose(a.project(points), b.project(points), atol=1e-8)
    assert a.detector.shape == b.detector.shape


# --- what is written -----------------------------------------------------------------------------


def test_other_programs_find_the_geometry_where_dicom_has_it(tmp_path: Path) -> None:
    open_to = Collimation(2, 20, 4, 30)
    dataset = dcmread(written(tmp_path / "run.dcm", replace(ABOUT, collimation=open_to)))
    found = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.12.1",
        "NumberOfFrames": 3,
        "DistanceSourceToDetector": 1050.0,
        "DistanceSourceToPatient": 700.0,
        "EstimatedRadiographicMagnificationFactor": 1.5,
        "ImagerPixelSpacing": [1.5, 1.25],
        "PositionerPrimaryAngle": 25.0,
        "PositionerSecondaryAngle": 15.0,
        "PositionerMotion": "STATIC",
        "PatientPosition": "HFS",
        "PatientOrientation": ["LP", "FA"],
        "PixelIntensityRelationship": "LIN",
        "PixelIntensityRelationshipSign": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "FieldOfViewRotation": 0,
        "FieldOfViewHorizontalFlip": "NO",
        "FrameOfReferenceUID": FRAME_UID,
        "IsocenterPosition": [3.25, -41.0, 187.5],
        "KVP": 78.0,
        "PatientID": "case-7",
        "CollimatorUpperHorizontalEdge": 3,
        "CollimatorLowerHorizontalEdge": 21,
        "CollimatorLeftVerticalEdge": 5,
        "CollimatorRightVerticalEdge": 31,
    }
    assert {keyword: dataset[keyword].value for keyword in found} == found
    assert float(dataset.FrameTime) == pytest.approx(1000.0 / 15.0)
    np.testing.assert_array_equal(dataset.pixel_array, [image(n) for n in range(3)])


def test_the_same_frames_give_the_same_file(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a.dcm"), written(tmp_path / "b.dcm")
    assert a.read_bytes() == b.read_bytes()
    other = written(tmp_path / "c.dcm", view=replace(VIEW, primary_angle_deg=26.0))
    assert dcmread(other).SOPInstanceUID != dcmread(a).SOPInstanceUID


@pytest.mark.parametrize("position", list(PatientPosition))
@pytest.mark.parametrize("front", [True, False])
def test_every_position_comes_back(tmp_path: Path, position: PatientPosition, front: bool) -> None:
    """Prone and supine, head and feet first, on either side; the detector above the table or under it; oblique."""
    room = RoomAngles(20.0, -10.0) if front else RoomAngles(-160.0, 10.0)
    view = about_patient(VIEW, room, position)
    run = read_xa(written(tmp_path / "run.dcm", replace(ABOUT, position=position), view=view))
    assert_same_view(run.view(0), view)
    assert run.patient is position
    assert run.frame_of_reference == FRAME_UID
    told = [f for f in run.findings if "over the table" in f.text]
    assert len(told) == len(run.findings) == (0 if front else 1)


@pytest.mark.parametrize("roll", [0.0, 90.0, 180.0, -90.0, 7.5, -133.0])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("position", [PatientPosition.HFP, PatientPosition.FFS])
def test_turn_and_mirror_come_back(tmp_path: Path, roll: float, mirrored: bool, position: PatientPosition) -> None:
    view = replace(VIEW, primary_angle_deg=-170.0, roll_deg=roll, mirrored=mirrored)
    run = read_xa(written(tmp_path / "run.dcm", replace(ABOUT, position=position), view=view))
    assert_same_view(run.view(0), view)
    assert run.positions[0].mirrored is mirrored


def test_angles_and_places_that_change_come_back(tmp_path: Path) -> None:
    views = [
        replace(VIEW, primary_angle_deg=170.0 + 7.0 * n).about(VIEW.isocentre_mm + np.array((0.0, 0.1 * n, n)))
        for n in range(4)
    ]
    path = tmp_path / "run.dcm"
    write_xa(path, (Frame(n, n / 10.0, "t", image(n), v) for n, v in enumerate(views)), ABOUT)
    dataset = dcmread(path)
    assert [float(v) for v in dataset.PositionerPrimaryAngleIncrement] == [0.0, 7.0, 14.0, 21.0]
    assert (dataset.PositionerMotion, dataset.TableMotion) == ("DYNAMIC", "DYNAMIC")
    for frame, view in zip(read_xa(path).frames(), views, strict=True):
        assert_same_view(frame.view, view)


def test_a_central_ray_off_the_middle_comes_back(tmp_path: Path) -> None:
    view = replace(VIEW, detector=replace(VIEW.detector, principal=(3.25, 30.5)))
    assert_same_view(read_xa(written(tmp_path / "run.dcm", view=view)).view(0), view)


@pytest.mark.parametrize("intensity", list(Intensity))
def test_pixels_times_and_meaning_come_back(tmp_path: Path, intensity: Intensity) -> None:
    times = (0.0, 0.07, 0.125, 0.3)
    path = tmp_path / "run.dcm"
    write_xa(path, (Frame(n, 5.0 + t, "t", image(n), VIEW, intensity) for n, t in enumerate(times)), ABOUT)
    run = read_xa(path)
    assert run.intensity is intensity
    for n, frame in enumerate(run.frames()):
        np.testing.assert_array_equal(frame.image, image(n))
        assert frame.image.dtype == np.uint16
        assert (frame.number, frame.source, frame.intensity) == (n, "run.dcm", intensity)
        assert frame.time_s == pytest.approx(times[n], abs=1e-9)


def test_eight_bits_stay_eight_bits_also_in_an_odd_number_of_them(tmp_path: Path) -> None:
    path = tmp_path / "run.dcm"
    odd = [image(n, np.uint8)[:23] for n in range(3)]
    write_xa(path, (Frame(n, n / 15.0, "t", i) for n, i in enumerate(odd)), ABOUT)
    np.testing.assert_array_equal([f.image for f in read_xa(path).frames()], odd)
    np.testing.assert_array_equal(dcmread(path).pixel_array, odd)
    assert path.stat().st_size % 2 == 0  # every element of DICOM is of even length


def test_counts_with_decimals_are_rounded(tmp_path: Path) -> None:
    path = tmp_path / "run.dcm"
    write_xa(path, [Frame(0, 0.0, "t", np.full(SHAPE, 1234.4, np.float32))], ABOUT)
    assert next(read_xa(path).frames()).image[0, 0] == 1234


def test_a_run_too_long_for_short_elements_is_still_whole(tmp_path: Path) -> None:
    """Moving isocentres of 3000 frames are more than an explicit element of 64 kB holds."""
    path = tmp_path / "run.dcm"
    small = np.zeros((2, 2), np.uint8)
    detector = Detector(2, 2)
    views = [CArm((0.0, 0.0, 0.01 * n), detector=detector) for n in range(3000)]
    write_xa(path, (Frame(n, n / 30.0, "t", small, v) for n, v in enumerate(views)), ABOUT)
    run = read_xa(path)
    assert_same_view(run.view(2999), views[-1])
    assert dcmread(path).file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


def test_a_long_run_is_written_and_read_in_little_memory(tmp_path: Path) -> None:
    """300 frames of half a megabyte are 150 MB; no more than a few of them are held at a time."""
    shape, count = (512, 512), 300
    one = np.arange(shape[0] * shape[1], dtype=np.uint16).reshape(shape)
    path = tmp_path / "long.dcm"
    tracemalloc.start()
    write_xa(path, (Frame(n, n / 15.0, "t", one + np.uint16(n)) for n in range(count)), ABOUT)
    for n, frame in enumerate(read_xa(path).frames()):
        assert frame.image[0, 1] == (1 + n) % 65536
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * one.nbytes


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dicom3tools is not installed")
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("kind", ["moving", "logarithmic", "without geometry"])
def test_another_program_finds_every_element_that_the_standard_asks_for(tmp_path: Path, count: int, kind: str) -> None:
    path = tmp_path / "run.dcm"
    view = replace(VIEW, roll_deg=7.0, detector=replace(VIEW.detector, principal=(3.0, 4.0)))
    given = {
        "moving": lambda n: Frame(
            n, n * n / 9.0, "t", image(n), view.about((0.0, 0.0, n)).facing((n - 1.0, -9.0, 2.0))
        ),
        "logarithmic": lambda n: Frame(n, n / 9.0, "t", image(n), view, Intensity.LOG),
        "without geometry": lambda n: Frame(n, n / 9.0, "t", image(n, np.uint8)),
    }[kind]
    write_xa(path, map(given, range(count)), replace(ABOUT, collimation=Collimation(2, 20, 3, 30, (12.0, 16.0, 10.0))))
    told = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False).stderr
    assert "XAImage" in told
    assert [line for line in told.splitlines() if "Error" in line] == []


# --- refusals on writing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoiled", "told"),
    [
        ({"image": np.zeros((3, 3), np.uint16)}, "a run has one size"),
        ({"image": np.zeros(SHAPE, np.uint8)}, "one kind of pixel"),
        ({"intensity": Intensity.LOG}, "one kind of pixel"),
        ({"time_s": 10.0}, "not later than the one before"),
        ({"time_s": float("nan")}, "not later"),
        ({"view": None}, "all have one, or none"),
        ({"view": replace(VIEW, source_to_detector_mm=1100.0)}, "source_to_detector_mm changes at frame 2"),
        ({"view": replace(VIEW, mirrored=True)}, "mirrored changes at frame 2"),
        ({"image": np.full(SHAPE, -1.0, np.float32)}, "must lie in 0 to 65535"),
        ({"image": np.full(SHAPE, np.nan, np.float32)}, "must lie in 0 to 65535"),
    ],
)
def test_frames_that_do_not_make_one_run_leave_no_file(tmp_path: Path, spoiled: dict[str, Any], told: str) -> None:
    path = tmp_path / "run.dcm"
    path.write_bytes(b"what was there before")
    good = list(frames(3))
    with pytest.raises(ValueError, match=told):
        write_xa(path, [*good[:2], replace(good[2], **spoiled)], ABOUT)
    assert path.read_bytes() == b"what was there before"
    assert list(tmp_path.iterdir()) == [path]


def test_no_frame_or_another_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a frame"):
        write_xa(tmp_path / "run.dcm", [])
    with pytest.raises(ValueError, match="its view's detector"):
        written(tmp_path / "run.dcm", view=replace(VIEW, detector=Detector(5, 5)))
    with pytest.raises(OutputError, match="is a folder"):
        written(tmp_path)
    assert not list(tmp_path.iterdir())


# --- other people's files ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEGLSLossless, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian]
)
def test_other_encodings_give_the_same_frames(tmp_path: Path, syntax: str) -> None:
    path = written(tmp_path / "run.dcm")
    dataset = dcmread(path)
    if syntax in (RLELossless, JPEGLSLossless):
        try:
            dataset.compress(syntax, generate_instance_uid=False)
        except (RuntimeError, NotImplementedError):
            pytest.skip("no encoder for this syntax is installed")
        dataset.save_as(path)
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(
            path, enforce_file_format=True, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True
        )
    run = read_xa(path)
    for _ in range(2):  # a run can be read again
        np.testing.assert_array_equal([f.image for f in run.frames()], [image(n) for n in range(3)])
    assert_same_view(run.view(0), VIEW)


def test_the_usual_encoding_of_angiography_is_read_frame_by_frame(tmp_path: Path) -> None:
    """JPEG Lossless, selection value 1, encoded by ITK."""
    path = written(tmp_path / "run.dcm")
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    encoded = []
    for n in range(3):
        writer.SetFileName(str(tmp_path / f"{n}.dcm"))
        writer.Execute(sitk.GetImageFromArray(image(n)))
        one = dcmread(tmp_path / f"{n}.dcm")
        assert one.file_meta.TransferSyntaxUID == JPEGLosslessSV1
        encoded.append(get_frame(one.PixelData, 0, number_of_frames=1))
    dataset = dcmread(path)
    dataset.PixelData, dataset.file_meta.TransferSyntaxUID = encapsulate(encoded), JPEGLosslessSV1
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.save_as(path)
    np.testing.assert_array_equal([f.image for f in read_xa(path).frames()], [image(n) for n in range(3)])


def test_big_endian_files_of_old_systems_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "run.dcm")
    dataset = dcmread(path)
    dataset.PixelData = np.array([image(n) for n in range(3)]).astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dcmwrite(path, dataset, enforce_file_format=True)
    np.testing.assert_array_equal([f.image for f in read_xa(path).frames()], [image(n) for n in range(3)])


def bare_legacy(path: Path, **tags: Any) -> Path:
    """As many angiography systems write it: nothing of this program's, no isocentre, no turn, no flip."""
    dataset = dcmread(written(path))
    gone = ("IsocenterPosition", "FieldOfViewRotation", "FieldOfViewHorizontalFlip", "FieldOfViewOrigin")
    for keyword in (*gone, "PixelIntensityRelationshipSign", "FrameOfReferenceUID"):
        del dataset[keyword]
    dataset.save_as(path)
    return edited(path, **tags)


def test_without_an_isocentre_the_angles_are_known_and_it_can_be_given(tmp_path: Path) -> None:
    run = read_xa(bare_legacy(tmp_path / "run.dcm"))
    assert run.view(0) is None
    assert [f.view for f in run.frames()] == [None] * 3
    assert str(run.positions[0]) == "LAO 25, CRA 15"
    assert "does not say where the isocentre lies" in texts(run)
    assert_same_view(run.about(VIEW.isocentre_mm).view(2), VIEW)


def test_an_isocentre_in_an_unnamed_frame_is_told(tmp_path: Path) -> None:
    run = read_xa(edited(written(tmp_path / "run.dcm"), FrameOfReferenceUID=None))
    assert "does not say in which CT" in texts(run)


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        ({"PositionerPrimaryAngle": ""}, "Positioner Primary Angle (0018,1510) and Positioner Secondary"),
        ({"ImagerPixelSpacing": None}, "Imager Pixel Spacing (0018,1164)"),
        ({"DistanceSourceToDetector": None}, "Distance Source to Detector (0018,1110)"),
        (
            {"DistanceSourceToPatient": None, "EstimatedRadiographicMagnificationFactor": None},
            "Distance Source to Patient (0018,1111)",
        ),
    ],
)
def test_an_image_without_geometry_is_read_and_names_what_lacks(
    tmp_path: Path, lacking: dict[str, Any], told: str
) -> None:
    path = edited(written(tmp_path / "run.dcm"), **lacking)
    run = read_xa(path)
    assert run.positions == ()
    assert run.view(0) is None
    assert told in texts(run)
    np.testing.assert_array_equal(next(run.frames()).image, image(0))
    with pytest.raises(ImageError, match="does not say where the C-arm stood"):
        read_xa(path, needs_geometry=True)


def test_the_magnification_stands_in_for_a_missing_distance(tmp_path: Path) -> None:
    run = read_xa(edited(written(tmp_path / "run.dcm"), DistanceSourceToPatient=None))
    assert run.positions[0].source_to_isocentre_mm == pytest.approx(700.0)


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"DistanceSourceToPatient": 1050.0}, "source to detector is 1050 mm and source to patient 1050 mm"),
        ({"DistanceSourceToPatient": -5.0}, "source to patient -5 mm"),
        ({"PositionerSecondaryAngle": 95.0}, "do not exist"),
        ({"PositionerPrimaryAngleIncrement": [0.0, 1.0]}, "2 primary angle increments for 3 frames"),
        ({"PositionerSecondaryAngleIncrement": [0.0, 40.0, 80.0]}, "beyond the pole"),
        ({"PatientOrientation": ["A", "F"]}, "one of them is wrong"),
        ({"FieldOfViewHorizontalFlip": "YES"}, "RAO|with its rotation and flip gives R"),
        ({"FieldOfViewRotation": 180}, "LAO 25, CRA 15 with its rotation and flip gives RA"),
    ],
)
def test_impossible_geometry_is_a_stop_and_never_used(tmp_path: Path, tags: dict[str, Any], told: str) -> None:
    path = edited(written(tmp_path / "run.dcm"), **tags)
    run = read_xa(path)
    assert run.positions == ()
    assert run.findings[0].severity is Severity.STOP
    with pytest.raises(ImageError, match=told):
        read_xa(path, needs_geometry=True)


def test_a_mirrored_image_is_told_with_both_explanations(tmp_path: Path) -> None:
    """Angles as if in front, the patient's right at the image's right: flipped, or prone with the detector behind."""
    run = read_xa(bare_legacy(tmp_path / "run.dcm", PatientOrientation=["R", "F"]))
    assert run.positions == ()
    assert run.findings[0].severity is Severity.STOP
    assert "has R at the right" in run.findings[0].text
    assert "gives LP" in run.findings[0].text
    assert "mirrored, or the patient lay the other way round" in run.findings[0].text


def test_a_turned_image_is_told_and_taken_so(tmp_path: Path) -> None:
    run = read_xa(bare_legacy(tmp_path / "run.dcm", PatientOrientation=["R", "H"]))
    assert run.positions[0].roll_deg == 180.0
    assert "turned by 180°" in texts(run)


def test_edges_in_one_word_say_nothing(tmp_path: Path) -> None:
    """ "RF" is no pair of "R" and "F"."""
    assert "has no Patient Orientation" in texts(read_xa(bare_legacy(tmp_path / "run.dcm", PatientOrientation="RF")))


def test_left_and_right_that_nobody_states_are_told(tmp_path: Path) -> None:
    run = read_xa(bare_legacy(tmp_path / "run.dcm", PatientOrientation=None))
    assert run.positions
    assert "has no Patient Orientation: LP is taken to be at the right" in texts(run)


def test_a_prone_patient_recorded_as_supine_puts_the_tube_over_the_table(tmp_path: Path) -> None:
    run = read_xa(bare_legacy(tmp_path / "run.dcm", PatientPosition="HFP"))
    assert "with the patient prone, head first puts the tube over the table" in texts(run)


def test_a_moving_table_of_another_system_is_told(tmp_path: Path) -> None:
    run = read_xa(bare_legacy(tmp_path / "run.dcm", TableMotion="DYNAMIC"))
    assert "only for the first frame" in texts(run)


def test_distances_and_magnification_that_disagree_are_told(tmp_path: Path) -> None:
    run = read_xa(edited(written(tmp_path / "run.dcm"), EstimatedRadiographicMagnificationFactor=1.3))
    assert "magnification of 1.3, its distances 1.500" in texts(run)


def test_a_tilted_detector_is_told(tmp_path: Path) -> None:
    run = read_xa(edited(written(tmp_path / "run.dcm"), DetectorSecondaryAngle=-3.0))
    assert "meets the detector -3° off the perpendicular" in texts(run)


def test_one_increment_is_a_step_from_frame_to_frame(tmp_path: Path) -> None:
    path = edited(bare_legacy(tmp_path / "run.dcm"), PositionerPrimaryAngleIncrement=2.5, PositionerMotion="DYNAMIC")
    assert [v.primary_angle_deg for v in read_xa(path).positions] == [25.0, 27.5, 30.0]


# --- polarity, time, kind ------------------------------------------------------------------------


def test_values_that_fall_with_the_dose_are_turned_round(tmp_path: Path) -> None:
    run = read_xa(edited(written(tmp_path / "run.dcm"), PixelIntensityRelationshipSign=-1))
    np.testing.assert_array_equal(next(run.frames()).image, 65535 - image(0))
    assert "turned round" in texts(run)
    assert run.intensity is Intensity.LINEAR


def test_an_inverted_picture_betrays_itself_outside_the_collimator(tmp_path: Path) -> None:
    open_to = Collimation(4, 18, 6, 26)
    bright = np.where(open_to.mask(SHAPE), 3000, 40).astype(np.uint16)
    about = replace(ABOUT, collimation=open_to)
    for name, picture, stops in (("right", bright, 0), ("inverted", 4095 - bright, 1)):
        path = tmp_path / f"{name}.dcm"
        write_xa(path, [Frame(0, 0.0, "t", picture, VIEW)], about)
        run = read_xa(path)
        assert run.collimation == open_to
        assert sum(f.severity is Severity.STOP and "looks inverted" in f.text for f in run.findings) == stops


def test_a_round_collimator_comes_back(tmp_path: Path) -> None:
    open_to = Collimation(0, 23, 0, 32, (11.0, 16.0, 9.0))
    run = read_xa(written(tmp_path / "run.dcm", replace(ABOUT, collimation=open_to)))
    assert run.collimation == open_to
    mask = open_to.mask(SHAPE)
    assert mask[11, 16]
    assert mask[2, 16]
    assert not mask[1, 16]
    with pytest.raises(ValueError, match="is shut"):
        Collimation(5, 4, 0, 9)


def test_a_file_that_does_not_say_what_its_values_mean_is_told(tmp_path: Path) -> None:
    path = bare_legacy(tmp_path / "run.dcm", PixelIntensityRelationship="", PhotometricInterpretation="MONOCHROME1")
    run = read_xa(path)
    assert run.intensity is Intensity.DISPLAYED
    assert "how its values follow the dose" in texts(run)
    assert "is to be shown inverted" in texts(run)


def test_frames_without_a_time_have_none(tmp_path: Path) -> None:
    run = read_xa(edited(written(tmp_path / "run.dcm"), FrameTime=None))
    assert np.isnan(run.times_s).all()
    assert "does not say when its frames were taken" in texts(run)
    rated = read_xa(edited(tmp_path / "run.dcm", CineRate=30))
    np.testing.assert_allclose(rated.times_s, np.arange(3) / 30.0)


def test_a_fluoroscopy_table_is_read_too(tmp_path: Path) -> None:
    run = read_xa(edited(written(tmp_path / "run.dcm"), SOPClassUID=XRayRadiofluoroscopicImageStorage))
    assert_same_view(run.view(0), VIEW)


# --- enhanced XA ---------------------------------------------------------------------------------


def enhanced(path: Path, count: int = 3, patient_angles: bool = True) -> Path:
    """An Enhanced XA whose angles change from frame to frame and whose distances all share."""
    dataset = dcmread(written(path))
    for keyword in list(dataset.dir()):
        if keyword.startswith(("Positioner", "Distance", "Imager", "Estimated", "PixelIntensity", "Frame", "FieldOf")):
            del dataset[keyword]
    dataset.SOPClassUID = EnhancedXAImageStorage
    dataset.FrameOfReferenceUID = FRAME_UID
    shared = Dataset()
    shared.XRayGeometrySequence = [item(DistanceSourceToDetector=1050.0, DistanceSourceToIsocenter=700.0)]
    shared.FramePixelDataPropertiesSequence = [
        item(ImagerPixelSpacing=[1.5, 1.25], PixelIntensityRelationship="LOG", PixelIntensityRelationshipSign=-1)
    ]
    shared.FieldOfViewSequence = [item(FieldOfViewRotation=0, FieldOfViewHorizontalFlip="NO")]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [_of_frame(n, patient_angles) for n in range(count)]
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.save_as(path)
    return path


def item(**tags: Any) -> Dataset:
    out = Dataset()
    for keyword, value in tags.items():
        setattr(out, keyword, value)
    return out


def _of_frame(n: int, patient_angles: bool) -> Dataset:
    out = Dataset()
    if patient_angles:
        out.PositionerPositionSequence = [item(PositionerPrimaryAngle=25.0 + n, PositionerSecondaryAngle=15.0)]
    out.IsocenterReferenceSystemSequence = [
        item(PositionerIsocenterPrimaryAngle=25.0 + n, PositionerIsocenterSecondaryAngle=15.0, TableHeadTiltAngle=0.0)
    ]
    out.FrameContentSequence = [item(FrameAcquisitionDateTime=f"20240101120000.{n}00000")]
    return out


@pytest.mark.parametrize("patient_angles", [True, False])
def test_enhanced_xa_has_a_position_for_each_frame(tmp_path: Path, patient_angles: bool) -> None:
    run = read_xa(enhanced(tmp_path / "run.dcm", patient_angles=patient_angles))
    assert run.intensity is Intensity.LOG
    np.testing.assert_allclose(run.times_s, [0.0, 0.1, 0.2])
    for n, frame in enumerate(run.frames()):
        assert_same_view(frame.view, replace(VIEW, primary_angle_deg=25.0 + n))


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", ["NO", "YES"])
def test_enhanced_xa_says_where_the_central_ray_meets_the_image(tmp_path: Path, turn: int, flip: str) -> None:
    """A detector of 0.25 mm elements binned to 1.5 x 1.25 mm; the image, then turned and flipped, begins at (12, 20).

    Marks are put into an unturned image by numpy, which turns and flips it as the tags say; the view must find them.
    """
    upright = SHAPE if turn % 180 == 0 else SHAPE[::-1]
    spacing = (1.5, 1.25) if turn % 180 == 0 else (1.25, 1.5)
    central = np.array((8.0, 10.0))  # row and column of the unturned image
    marked = np.zeros(upright, np.uint16)
    marked[8, 10] = 1
    stored = np.rot90(marked, -turn // 90)
    stored = stored[:, ::-1] if flip == "YES" else stored
    path = enhanced(tmp_path / "run.dcm")
    dataset = dcmread(path)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    element = 0.25
    shared.FieldOfViewSequence = [
        item(FieldOfViewRotation=turn, FieldOfViewHorizontalFlip=flip, FieldOfViewOrigin=[12, 20])
    ]
    shared.FramePixelDataPropertiesSequence[0].ImagerPixelSpacing = [1.5, 1.25]
    dataset.DetectorElementSpacing = [element, element]
    # the image's own spacing is that of the stored image; the unturned one has it exchanged for a quarter turn
    dataset.PositionOfIsocenterProjection = list((central + 0.5) * spacing / element - 0.5 + (12, 20))
    del dataset.PatientOrientation
    dataset.save_as(path)
    run = read_xa(path)
    row, column = run.positions[0].detector.middle
    assert (row, column) == pytest.approx(tuple(np.argwhere(stored)[0]))


def test_enhanced_xa_says_prone_in_codes(tmp_path: Path) -> None:
    path = enhanced(tmp_path / "run.dcm", patient_angles=False)
    modifier = item(CodeValue="1240000", CodingSchemeDesignator="SCT", CodeMeaning="prone")
    lies = item(CodeValue="102538003", CodingSchemeDesignator="SCT", CodeMeaning="recumbent")
    lies.PatientOrientationModifierCodeSequence = [modifier]
    first = item(CodeValue="102540008", CodingSchemeDesignator="SCT", CodeMeaning="headfirst")
    edited(
        path,
        PatientPosition=None,
        PatientOrientation=None,
        PatientOrientationCodeSequence=[lies],
        PatientGantryRelationshipCodeSequence=[first],
    )
    run = read_xa(path)
    assert run.patient is PatientPosition.HFP
    assert run.positions[0].primary_angle_deg == pytest.approx(-155.0)


def test_a_tilted_table_leaves_room_angles_unused(tmp_path: Path) -> None:
    path = enhanced(tmp_path / "run.dcm", patient_angles=False)
    dataset = dcmread(path)
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        groups.IsocenterReferenceSystemSequence[0].TableHeadTiltAngle = 5.0
    dataset.save_as(path)
    assert "lacks Positioner Primary Angle" in texts(read_xa(path))


# --- files that cannot be used -------------------------------------------------------------------


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "run.dcm")
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    with pytest.raises(ImageError, match=r"cut short: 4652 of 4752 bytes"):
        read_xa(path)
    path.write_bytes(data[: data.index(b"\xe0\x7f\x10\x00") - 3])
    with pytest.raises(ImageError, match=r"run.dcm"):
        read_xa(path)


@pytest.mark.parametrize("cut", [1, 40, 700])
def test_a_compressed_file_that_was_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path / "run.dcm")
    dataset = dcmread(path)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ImageError, match="cut short"):
        read_xa(path)


def test_fewer_compressed_frames_than_promised_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "run.dcm")
    dataset = dcmread(path)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.NumberOfFrames = 4
    dataset.save_as(path)
    with pytest.raises(ImageError, match="3 of 4 frames"):
        read_xa(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_header_is_told_or_read_and_never_breaks(tmp_path: Path, compressed: bool) -> None:
    """Up to three bytes changed anywhere before the pixels, every fourth file also cut short; seeded."""
    path = written(tmp_path / "run.dcm", replace(ABOUT, collimation=Collimation(2, 20, 3, 30)))
    if compressed:
        dataset = dcmread(path)
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(path)
    data, rng = path.read_bytes(), np.random.default_rng(11)
    ended = {"told": 0, "read": 0}
    for n in range(150):
        spoiled = bytearray(data)
        for at in rng.integers(132, data.index(b"\xe0\x7f\x10\x00") + 20, rng.integers(1, 4)):
            spoiled[at] = rng.integers(256)
        path.write_bytes(spoiled[: rng.integers(len(data))] if n % 4 == 0 else spoiled)
        try:
            assert sum(1 for _ in read_xa(path).frames()) > 0
            ended["read"] += 1
        except ImageError:
            ended["told"] += 1
    assert min(ended.values()) > 20


def test_a_damaged_compressed_frame_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "run.dcm")
    dataset = dcmread(path)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.PixelData = encapsulate([b"\xff" * 80] * 3)
    dataset.save_as(path)
    with pytest.raises(ImageError, match=r"frame 1 of run\.dcm"):
        list(read_xa(path).frames())


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"SOPClassUID": CTImageStorage}, "is CT Image Storage, not an X-ray run"),
        ({"PhotometricInterpretation": "RGB"}, "is in colour"),
        ({"PixelRepresentation": 1}, "negative pixel values"),
        ({"Rows": None}, "does not say its Rows"),
    ],
)
def test_another_kind_of_image_is_refused_by_its_name(tmp_path: Path, tags: dict[str, Any], told: str) -> None:
    with pytest.raises(ImageError, match=told):
        read_xa(edited(written(tmp_path / "run.dcm"), **tags))


def test_what_is_no_dicom_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"nothing of the kind")
    with pytest.raises(ImageError, match="is not DICOM"):
        read_xa(tmp_path / "film.mp4")
    with pytest.raises(ImageError, match="no file or folder"):
        read_xa(tmp_path / "gone.dcm")
    with pytest.raises(ImageError, match="is a folder"):
        read_xa(tmp_path)
