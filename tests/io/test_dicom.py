"""DICOM CT: the same patient whatever the files look like, and a plain sentence when they cannot be used."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2K, ExplicitVRBigEndian, JPEGLosslessSV1, SecondaryCaptureImageStorage

from trocar.errors import ImageError
from trocar.io.ct import read_ct
from trocar.io.stored import Stored
from trocar.measure import Severity
from trocar.volume import Volume

from .dicom_fixtures import (
    FRAME_UID,
    SERIES_UID,
    ct_series,
    enhanced_ct,
    placed,
    reordered,
    scan,
    set_stored,
    tilted,
    write,
)

ARRAY, AFFINE = scan()


def texts(volume: Volume) -> str:
    return "\n".join(str(f) for f in volume.findings)


def assert_is_the_scan(volume: Volume) -> None:
    assert volume.array.dtype == np.float32
    assert volume.array.flags.c_contiguous
    assert not volume.array.flags.writeable
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-4)


# --- the same patient ----------------------------------------------------------------------------


def test_a_folder_of_slices_is_the_scan_and_says_where_it_came_from(tmp_path: Path) -> None:
    ct = read_ct(write(ct_series(ARRAY, AFFINE), tmp_path / "CT"))
    assert_is_the_scan(ct)
    assert ct.findings == ()
    assert (ct.unit, ct.frame_of_reference) == ("HU", FRAME_UID)
    made = ct.acquisition
    assert made is not None
    assert (made.patient_position, made.series_uid) == ("HFS", SERIES_UID)
    assert [s.instance_number for s in made.slices] == list(range(1, 9))
    assert [s.position_mm for s in made.slices] == pytest.approx([100.0 + 2.0 * k for k in range(8)])
    assert made.slices[3].slice_location_mm == pytest.approx(106.0)
    first = tmp_path / "CT" / "000.dcm"
    assert made.digests["000.dcm"] == hashlib.sha256(first.read_bytes()).hexdigest()
    assert len(made.digests) == 8


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    order=st.permutations([0, 1, 2]),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    shuffle=st.permutations(range(8)),
    position=st.sampled_from(["HFS", "FFS", "HFP", "FFDR"]),
)
def test_orientation_and_file_order_do_not_matter(order, flips, shuffle, position) -> None:
    """Axial, sagittal and coronal stacks, either way along every axis, in any order of files."""
    array, affine = reordered(ARRAY, AFFINE, order, flips)
    datasets = ct_series(array, affine, PatientPosition=position)
    shuffled = [datasets[n] for n in shuffle if n < len(datasets)] + datasets[len(shuffle) :]
    ct = read_ct(shuffled)
    assert_is_the_scan(ct)
    assert ct.acquisition is not None
    assert ct.acquisition.patient_position == position


def test_an_oblique_stack_keeps_its_own_axes(tmp_path: Path) -> None:
    angle = np.radians(20.0)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    ct = read_ct(write(ct_series(ARRAY, turn @ AFFINE), tmp_path))
    np.testing.assert_array_equal(ct.array, ARRAY)
    np.testing.assert_allclose(ct.affine, turn @ AFFINE, atol=1e-5)
    assert ct.findings == ()


def test_a_zip_is_read_without_being_unpacked(tmp_path: Path) -> None:
    """Names that climb out of the archive lead nowhere: only their last part is used, as a name."""
    folder = write(ct_series(ARRAY, AFFINE), tmp_path / "CT")
    archive = tmp_path / "scan.zip"
    with zipfile.ZipFile(archive, "w") as z:
        for n, file in enumerate(sorted(folder.iterdir())):
            z.write(file, f"../../../{n}.dcm")
    before = sorted(p for p in tmp_path.rglob("*"))
    ct = read_ct(archive)
    assert_is_the_scan(ct)
    assert sorted(p for p in tmp_path.rglob("*")) == before
    assert ct.acquisition is not None
    assert ct.acquisition.digests == {"scan.zip": hashlib.sha256(archive.read_bytes()).hexdigest()}


def test_one_multi_frame_file_is_the_scan(tmp_path: Path) -> None:
    """Enhanced CT: positions, and a different intercept for every frame, come from the functional groups."""
    folder = write([enhanced_ct(ARRAY, AFFINE)], tmp_path, ["enhanced.dcm"])
    for source in (folder / "enhanced.dcm", folder):
        ct = read_ct(source)
        assert_is_the_scan(ct)
        assert ct.acquisition is not None
        assert [s.instance_number for s in ct.acquisition.slices] == list(range(1, 9))
        assert [s.table_position_mm for s in ct.acquisition.slices] == [500.0 + k for k in range(8)]
        assert list(ct.acquisition.digests) == ["enhanced.dcm"]


def test_localiser_frames_of_a_multi_frame_file_are_left_out() -> None:
    dataset = enhanced_ct(ARRAY, AFFINE)
    kind = Dataset()
    kind.FrameType = ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]
    dataset.PerFrameFunctionalGroupsSequence[7].CTImageFrameTypeSequence = [kind]
    ct = read_ct([dataset])
    assert ct.shape == (7, 12, 10)
    assert "1 × localiser frame" in texts(ct)


def test_every_slice_has_its_own_slope_and_intercept() -> None:
    def edit(dataset: Dataset, k: int) -> None:
        dataset.RescaleIntercept, dataset.RescaleSlope = str(-1024 - 10 * k), "0.5"
        set_stored(dataset, (ARRAY[k].astype(int) + 1024 + 10 * k) * 2)

    assert_is_the_scan(read_ct(ct_series(ARRAY, AFFINE, edit)))


def test_signed_pixels_with_unused_bits_are_sign_extended() -> None:
    """12 bits stored in 16: the four bits above hold an overlay here, as old scanners wrote them."""

    def edit(dataset: Dataset, k: int) -> None:
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation, dataset.RescaleIntercept = 12, 11, 1, "0"
        dataset.PixelData = ((ARRAY[k].astype(int) & 0x0FFF) | 0x5000).astype("<u2").tobytes()

    assert_is_the_scan(read_ct(ct_series(ARRAY, AFFINE, edit)))


def test_big_endian_pixels_are_read(tmp_path: Path) -> None:
    def edit(dataset: Dataset, k: int) -> None:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dataset.PixelData = (ARRAY[k].astype(int) + 1024).astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"

    assert_is_the_scan(read_ct(write(ct_series(ARRAY, AFFINE, edit), tmp_path)))


def test_a_list_of_files_is_read(tmp_path: Path) -> None:
    files = sorted(write(ct_series(ARRAY, AFFINE), tmp_path).iterdir())
    assert_is_the_scan(read_ct(files[::-1]))
    assert_is_the_scan(read_ct([str(f) for f in files]))
    assert read_ct(files[:4]).shape == (4, 12, 10)


def test_slices_without_a_modality_are_known_by_their_class(tmp_path: Path) -> None:
    assert_is_the_scan(read_ct(write(ct_series(ARRAY, AFFINE, lambda d, k: delattr(d, "Modality")), tmp_path)))


def test_files_without_the_preamble_are_read(tmp_path: Path) -> None:
    folder = write(ct_series(ARRAY, AFFINE), tmp_path)
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[132:])
    assert_is_the_scan(read_ct(folder))


@pytest.mark.parametrize("compressor", ["JPEG", "JPEGLS", "JPEG2000"])
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_compression_changes_nothing(tmp_path: Path, compressor: str, signed: bool) -> None:
    """Encoded by GDCM: JPEG Lossless is what most archives store."""

    def edit(dataset: Dataset, k: int) -> None:
        dataset.PixelRepresentation, dataset.RescaleIntercept = int(signed), str(-1024 * (not signed))
        stored = ARRAY[k].astype(np.int16) if signed else (ARRAY[k].astype(int) + 1024).astype(np.uint16)
        _compress(dataset, stored, tmp_path / f"{k}.dcm", compressor)

    datasets = ct_series(ARRAY, AFFINE, edit)
    assert datasets[0].file_meta.TransferSyntaxUID.is_compressed
    assert_is_the_scan(read_ct(write(datasets, tmp_path / "CT")))


def test_a_compressed_multi_frame_file_is_the_scan(tmp_path: Path) -> None:
    dataset = enhanced_ct(ARRAY, AFFINE)
    stored = np.frombuffer(dataset.PixelData, "<u2").reshape(ARRAY.shape)
    _compress(dataset, stored, tmp_path / "scratch.dcm", "JPEG")
    assert_is_the_scan(read_ct(write([dataset], tmp_path / "CT")))


def _compress(dataset: Dataset, stored: np.ndarray, scratch: Path, compressor: str) -> None:
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(scratch))
    writer.SetUseCompression(True)
    writer.SetCompressor(compressor)
    writer.Execute(sitk.GetImageFromArray(stored.reshape(-1, *stored.shape[-2:])))
    encoded = dcmread(scratch)
    dataset.file_meta.TransferSyntaxUID = encoded.file_meta.TransferSyntaxUID
    dataset.PixelData = encoded.PixelData
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


# --- what is mended, and told --------------------------------------------------------------------


def test_junk_is_skipped_and_told(tmp_path: Path) -> None:
    folder = write(ct_series(ARRAY, AFFINE), tmp_path)
    (folder / "notes.txt").write_text("prone, arms up")
    (folder / "empty").write_bytes(b"")
    write(ct_series(ARRAY[:1], AFFINE, Modality="RTSTRUCT"), folder, ["rs.dcm"])
    write(ct_series(ARRAY[:1], AFFINE, Modality="SEG"), folder / "sub", ["seg.dcm"])
    scout = ct_series(ARRAY[:1], AFFINE, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write(scout, folder, ["scout.dcm"])
    shot = ct_series(ARRAY[:1], AFFINE, SOPClassUID=SecondaryCaptureImageStorage)[0]
    del shot.ImagePositionPatient
    write([shot], folder, ["dose.dcm"])
    ct = read_ct(folder)
    assert_is_the_scan(ct)
    assert len(ct.findings) == 1
    assert ct.findings[0].severity is Severity.NOTE
    assert "1 × RTSTRUCT, 1 × SEG, 1 × localiser, 2 × not DICOM, 1 × screen shot" in texts(ct)


def test_identical_duplicates_are_read_once_and_told() -> None:
    datasets = ct_series(ARRAY, AFFINE)
    again = ct_series(ARRAY, AFFINE)[3]
    again.InstanceNumber = 99
    ct = read_ct([*datasets, again])
    assert_is_the_scan(ct)
    assert "there twice, pixel for pixel, were read once: 1 (instance 99)" in texts(ct)


@pytest.mark.parametrize("padding_hu", [-2000, -2048, -3024])
def test_padding_becomes_air_and_is_told(padding_hu: int) -> None:
    padded = ARRAY.copy()
    padded[:, 0, :] = padding_hu

    def edit(dataset: Dataset, k: int) -> None:
        dataset.PixelRepresentation = 1
        set_stored(dataset, padded[k].astype(int) + 1024)

    ct = read_ct(ct_series(padded, AFFINE, edit))
    np.testing.assert_array_equal(ct.array, np.maximum(padded, -1024))
    assert f"down to {padding_hu} HU" in texts(ct)


def test_padding_declared_unsigned_for_signed_pixels_is_understood() -> None:
    """GE writes 63536 for -2000; where that is no lower than air, only the tag can tell it from air."""
    assert _padding(value=63536, stored=-2000, intercept=1500).array.min() == -1024.0
    assert _padding(value=63536, stored=-2000, intercept=1500).array[0, 0, 0] == -1024.0


def test_a_padding_range_is_understood() -> None:
    ct = _padding(value=-2000, stored=-1990, intercept=1500, PixelPaddingRangeLimit=-1980)
    assert ct.array[0, 0, 0] == -1024.0
    assert "padding outside the field of view" in texts(ct)


def _padding(value: int, stored: int, intercept: int, **tags) -> Volume:
    """The scan with a padded corner column, padding that by value alone would be -500 HU or so."""

    def edit(dataset: Dataset, k: int) -> None:
        dataset.PixelRepresentation, dataset.RescaleIntercept = 1, str(intercept)
        pixels = ARRAY[k].astype(int) - intercept
        pixels[0, :] = stored
        set_stored(dataset, pixels)
        dataset.add_new("PixelPaddingValue", "US" if value > 32767 else "SS", value)
        for keyword, limit in tags.items():
            dataset.add_new(keyword, "SS", limit)

    return read_ct(ct_series(ARRAY, AFFINE, edit))


def test_a_padding_value_inside_the_body_is_not_believed() -> None:
    """A tag that names water as padding must not drill holes of air into the patient."""

    def edit(dataset: Dataset, k: int) -> None:
        dataset.add_new("PixelPaddingValue", "US", 1024 + 40)

    ct = read_ct(ct_series(ARRAY, AFFINE, edit))
    assert_is_the_scan(ct)
    assert ct.findings[0].severity is Severity.CAUTION
    assert "taken for measured values" in texts(ct)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.floats(-0.05, 0.05), min_size=8, max_size=8))
def test_rounded_positions_are_accepted(jitter: list[float]) -> None:
    """Archives that keep one decimal move every slice by up to 0.05 mm."""

    def edit(dataset: Dataset, k: int) -> None:
        dataset.ImagePositionPatient[2] += jitter[k] / 2.0

    ct = read_ct(ct_series(ARRAY, AFFINE, edit))
    np.testing.assert_array_equal(ct.array, ARRAY)
    np.testing.assert_allclose(ct.affine, AFFINE, atol=0.06)
    assert np.linalg.norm(ct.affine[:3, :3].T @ ct.affine[:3, :3] - np.diag(np.diag(ct.affine) ** 2)[:3, :3]) < 1e-9


def test_slices_thinner_than_their_distance_are_told() -> None:
    ct = read_ct(ct_series(ARRAY, AFFINE, SliceThickness="1.0"))
    assert "1.00 mm thick lie 2.00 mm apart" in texts(ct)


def test_a_missing_frame_of_reference_is_none() -> None:
    assert read_ct(ct_series(ARRAY, AFFINE, FrameOfReferenceUID="")).frame_of_reference is None


# --- gantry tilt ---------------------------------------------------------------------------------


def ball(affine: np.ndarray, shape: tuple[int, int, int], centre: np.ndarray, radius_mm: float) -> np.ndarray:
    """A bone ball in air, as sampled at the voxels of any affine grid."""
    ijk = np.indices(shape[::-1]).reshape(3, -1)
    points = (affine[:3, :3] @ ijk + affine[:3, 3:]).T
    depth = radius_mm - np.linalg.norm(points - centre, axis=1)
    values = np.clip(depth + 0.5, 0.0, 1.0) * 2300.0 - 1000.0
    return values.reshape(shape[::-1]).transpose(2, 1, 0).round().astype(np.int16)


@pytest.mark.parametrize("degrees", [15.0, -15.0, 25.0])
@pytest.mark.parametrize("backwards", [False, True])
def test_gantry_tilt_is_taken_out(degrees: float, backwards: bool) -> None:
    """A ball's centre is where it was, within 0.3 voxels, on a grid at right angles along the patient."""
    shape, centre = (24, 60, 40), np.array([3.0, 12.0, 40.0])
    affine = tilted(placed((1.0, 1.0, 2.0), (-17.0, -18.0, 17.0)), degrees)
    array, stored_affine = ball(affine, shape, centre, 9.0), affine
    if backwards:
        array, stored_affine = reordered(array, affine, (0, 1, 2), (False, False, True))
    ct = read_ct(ct_series(array, stored_affine, GantryDetectorTilt=str(degrees)))
    weight = ct.array.astype(float) + 1024.0
    weight[weight < 200.0] = 0.0
    index = np.array([np.average(axis, weights=weight) for axis in np.indices(ct.shape)])
    found = ct.world_mm(index)
    assert np.all(np.abs(found - centre) < 0.3 * np.array(ct.spacing_mm[::-1]))
    np.testing.assert_allclose(ct.affine[:3, :3], np.diag([1.0, 1.0, 2.0]), atol=1e-6)
    np.testing.assert_allclose(ct.spacing_mm, (2.0, 1.0, 1.0), atol=1e-6)
    assert f"caution: The gantry was tilted by {abs(degrees):.1f}°" in texts(ct)
    assert "no slice number can be given" in texts(ct)
    assert len(ct.findings) == 2
    assert ct.acquisition is not None
    assert ct.acquisition.slices == ()


def test_what_a_tilted_scan_did_not_see_is_air() -> None:
    affine = tilted(placed((1.0, 1.0, 2.0), (0.0, 0.0, 0.0)), 20.0)
    array = np.full((10, 40, 12), 40, dtype=np.int16)
    array[:, :, 0], array[:, :, -1] = -1000, 700
    ct = read_ct(ct_series(array, affine))
    assert ct.array[0, -1, 5] == -1024.0
    assert ct.array[-1, 0, 5] == -1024.0
    inside = ct.index_kji((affine @ [5, 20, 5, 1])[:3])
    assert ct.array[tuple(np.rint(inside).astype(int))] == pytest.approx(40.0)


def test_a_linear_ramp_survives_the_untilting_exactly() -> None:
    """Linear interpolation reproduces a linear function of position, so any error would be one of geometry."""
    affine = tilted(placed((0.7, 0.9, 2.5), (-3.0, 5.0, -40.0)), 18.0)
    ijk = np.indices((12, 40, 16)).transpose(1, 2, 3, 0) @ affine[:3, :3].T + affine[:3, 3]
    ramp = (ijk @ [9.0, -7.0, 11.0] + 300.0).transpose(2, 1, 0)
    up = Stored("ramp", ramp, affine).volume("HU", outside=np.nan)
    points = up.world_mm(np.moveaxis(np.indices(up.shape), 0, -1))
    index = np.linalg.solve(affine[:3, :3], (points - affine[:3, 3]).reshape(-1, 3).T).T
    seen = np.all((index >= 0) & (index <= np.array(ramp.shape[::-1]) - 1), axis=1).reshape(up.shape)
    assert seen.mean() > 0.5
    np.testing.assert_allclose(up.array[seen], points[seen] @ [9.0, -7.0, 11.0] + 300.0, atol=1e-6)


def test_a_tilt_that_positions_do_not_show_is_told() -> None:
    ct = read_ct(ct_series(ARRAY, AFFINE, GantryDetectorTilt="12.0"))
    assert_is_the_scan(ct)
    assert "gantry tilt of 12.0°, the slice positions 0.0°" in texts(ct)


# --- what is refused -----------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, derandomize=True)
@given(gone=st.sets(st.integers(1, 6), min_size=1, max_size=3))
def test_missing_slices_are_refused(gone: set[int]) -> None:
    datasets = [d for k, d in enumerate(ct_series(ARRAY, AFFINE)) if k not in gone]
    first = min(gone)
    with pytest.raises(ImageError, match=r"missing: the first gap lies between|unevenly spaced") as refusal:
        read_ct(datasets)
    if len(gone) < 3:
        assert f"{len(gone)} slice" in str(refusal.value)
        assert f"instance {first} (z {100.0 + 2.0 * (first - 1):.2f} mm)" in str(refusal.value)


def test_a_missing_slice_of_a_tilted_scan_is_refused() -> None:
    datasets = ct_series(ARRAY, tilted(AFFINE, 15.0))
    with pytest.raises(ImageError, match=r"1 slice is missing.*instance 4 .* and instance 6"):
        read_ct(datasets[:4] + datasets[5:])


def shift(k: int, by_mm: float, axis: int = 2):
    def edit(dataset: Dataset, n: int) -> None:
        if n == k:
            dataset.ImagePositionPatient[axis] += by_mm

    return edit


def on_one(k: int, **tags):
    def edit(dataset: Dataset, n: int) -> None:
        if n == k:
            for keyword, value in tags.items():
                setattr(dataset, keyword, value)

    return edit


def without(keyword: str):
    return lambda dataset, k: delattr(dataset, keyword)


def smaller(dataset: Dataset, k: int) -> None:
    if k == 2:
        dataset.Rows, dataset.Columns = 10, 12


REFUSALS = {
    "uneven": (shift(3, 0.7), r"unevenly spaced: 2.00 mm apart mostly, but (2.70|1.30) mm between instance"),
    "sideways": (shift(3, 0.7, axis=0), r"one straight, even line"),
    "orientations": (
        on_one(2, ImageOrientationPatient=[0, 1, 0, 0, 0, 1]),
        r"mixes orientations: .* in instance 1 .* and instance 3",
    ),
    "frames": (on_one(2, FrameOfReferenceUID="1.2.3"), r"mixes frames of reference: .* and 1.2.3"),
    "pixel spacing": (on_one(2, PixelSpacing=["0.9", "0.9"]), r"mixes pixel spacings"),
    "size": (smaller, r"mixes image sizes: 10 × 12 and 12 × 10 voxels"),
    "colour": (lambda d, k: setattr(d, "SamplesPerPixel", 3), r"holds no CT slice, but 8 × colour image"),
    "MR": (lambda d, k: setattr(d, "Modality", "MR"), r"holds no CT slice, but 8 × MR"),
    "slope": (without("RescaleSlope"), r"no usable Rescale Slope"),
    "intercept": (without("RescaleIntercept"), r"no usable Rescale Intercept"),
    "position": (without("ImagePositionPatient"), r"no usable Image Position Patient"),
    "orientation": (without("ImageOrientationPatient"), r"no usable Image Orientation Patient"),
    "spacing": (without("PixelSpacing"), r"no usable Pixel Spacing"),
    "density": (lambda d, k: setattr(d, "RescaleType", "MGML"), r"holds MGML values, not Hounsfield units"),
    "skewed axes": (
        lambda d, k: setattr(d, "ImageOrientationPatient", [1, 0, 0, 0.5, 0.8, 0]),
        r"not two unit vectors at right angles",
    ),
    "localisers": (lambda d, k: setattr(d, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), r"but 8 × localiser"),
    "short": (lambda d, k: setattr(d, "PixelData", d.PixelData[:100]), r"cut short: 100 of 240 bytes of pixels"),
    "no pixels": (without("PixelData"), r"no pixel data"),
    "offset": (lambda d, k: setattr(d, "RescaleIntercept", "0"), r"not in Hounsfield units: its values run from"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_with_what_was_found(name: str, tmp_path: Path) -> None:
    edit, sentence = REFUSALS[name]
    folder = write(ct_series(ARRAY, AFFINE, edit), tmp_path)
    with pytest.raises(ImageError, match=sentence):
        read_ct(folder)


def test_two_phases_at_one_position_are_refused() -> None:
    other = ct_series(ARRAY + 30, AFFINE)[3]
    other.InstanceNumber = 44
    with pytest.raises(ImageError, match=r"same position \[-5.0, 20.0, 106.0\] mm: instance 4 .* and instance 44"):
        read_ct([*ct_series(ARRAY, AFFINE), other])


def test_a_missing_frame_of_a_multi_frame_file_is_refused() -> None:
    dataset = enhanced_ct(ARRAY, AFFINE)
    for k in (5, 6, 7):
        moved = dataset.PerFrameFunctionalGroupsSequence[k].PlanePositionSequence[0]
        moved.ImagePositionPatient[2] += 2.0
    with pytest.raises(ImageError, match=r"1 slice is missing.*instance 5 \(z 108.00 mm\) and instance 6"):
        read_ct([dataset])


def test_a_multi_frame_file_of_densities_is_refused() -> None:
    dataset = enhanced_ct(ARRAY, AFFINE)
    dataset.PerFrameFunctionalGroupsSequence[2].PixelValueTransformationSequence[0].RescaleType = "Z_EFF"
    with pytest.raises(ImageError, match=r"holds Z_EFF values, not Hounsfield units"):
        read_ct([dataset])


def test_slices_without_instance_numbers_are_named_by_file(tmp_path: Path) -> None:
    datasets = ct_series(ARRAY, AFFINE, InstanceNumber=None)
    del datasets[4]
    with pytest.raises(ImageError, match=r"between 003.dcm \(z 106.00 mm\) and 004.dcm \(z 110.00 mm\)"):
        read_ct(write(datasets, tmp_path))


def test_one_slice_is_refused() -> None:
    with pytest.raises(ImageError, match=r"one slice at z 100.00 mm is not a volume"):
        read_ct(ct_series(ARRAY[:1], AFFINE))


def test_several_series_are_listed_and_one_can_be_named(tmp_path: Path) -> None:
    write(ct_series(ARRAY, AFFINE), tmp_path / "a")
    tags = {"SeriesInstanceUID": "1.2.3.4", "SeriesNumber": 5, "SeriesDescription": "Bone 1.0", "SliceThickness": "1"}
    write(ct_series(ARRAY[:6] + 5, AFFINE, **tags), tmp_path / "b")
    with pytest.raises(ImageError) as refusal:
        read_ct(tmp_path)
    assert f'{SERIES_UID}, number 3, "Spine 2.0", 8 slices, 2 mm thick, 2024-05-17' in str(refusal.value)
    assert '1.2.3.4, number 5, "Bone 1.0", 6 slices, 1 mm thick, 2024-05-17' in str(refusal.value)
    assert "--series UID" in str(refusal.value)
    assert_is_the_scan(read_ct(tmp_path, series="3"))
    assert read_ct(tmp_path, series="1.2.3.4").shape == (6, 12, 10)
    with pytest.raises(ImageError, match=r"no CT series 7\. It holds:\n.*number 3"):
        read_ct(tmp_path, series="7")


def test_files_of_one_name_keep_both_digests(tmp_path: Path) -> None:
    datasets = ct_series(ARRAY, AFFINE)
    write(datasets[:4], tmp_path / "1")
    write(datasets[4:], tmp_path / "2")
    made = read_ct(tmp_path).acquisition
    assert made is not None
    assert len(made.digests) == 8
    assert "000.dcm (2)" in made.digests


def test_an_unknown_compression_is_refused(tmp_path: Path) -> None:
    def edit(dataset: Dataset, k: int) -> None:
        dataset.file_meta.TransferSyntaxUID = HTJ2K
        dataset.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])
        dataset["PixelData"].VR = "OB"

    with pytest.raises(ImageError, match=r"compressed as High-Throughput JPEG 2000.*could not be decoded"):
        read_ct(write(ct_series(ARRAY, AFFINE, edit), tmp_path))


def test_damaged_compressed_pixels_are_refused(tmp_path: Path) -> None:
    def edit(dataset: Dataset, k: int) -> None:
        dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        dataset.PixelData = encapsulate([bytes(64)])
        dataset["PixelData"].VR = "OB"

    with pytest.raises(ImageError, match=r"JPEG Lossless.*could not be decoded"):
        read_ct(write(ct_series(ARRAY, AFFINE, edit), tmp_path))


@pytest.mark.parametrize("keep", [132, 140, 300, 400, 600, 800, 900, 1000, -60])
def test_the_last_file_cut_short_anywhere_is_refused(tmp_path: Path, keep: int) -> None:
    """The last slice, so that no gap would give it away."""
    folder = write(ct_series(ARRAY, AFFINE), tmp_path)
    victim = folder / "007.dcm"
    victim.write_bytes(victim.read_bytes()[:keep])
    with pytest.raises(ImageError, match=r"007.dcm (ends within its header|is damaged|is cut short|has no usable)"):
        read_ct(folder)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
@pytest.mark.parametrize("kind", ["slice", "multi-frame"])
def test_damaged_bytes_are_never_our_crash(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever a few wrong bytes in a header do, the user reads a sentence that names what is wrong, or a CT."""
    folder = tmp_path_factory.mktemp("damaged")
    write(ct_series(ARRAY[:3], AFFINE) if kind == "slice" else [enhanced_ct(ARRAY[:3], AFFINE)], folder)
    victim = folder / "000.dcm"
    content = bytearray(victim.read_bytes())
    places = st.tuples(st.integers(132, len(content) - 1), st.integers(0, 255))
    for at, byte in data.draw(st.lists(places, min_size=1, max_size=4)):
        content[at] = byte
    victim.write_bytes(content)
    sentence = refusal_of(folder)
    assert sentence is None or sentence.endswith(".")


def refusal_of(folder: Path) -> str | None:
    """The sentence, or None where a CT of the right size came out; anything else is our bug and raises."""
    try:
        assert read_ct(folder).shape[1:] == ARRAY.shape[1:]
    except ImageError as error:
        return str(error)
    return None


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"holds no DICOM image: it is empty"):
        read_ct(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ImageError, match=r"none of its 1 files is DICOM"):
        read_ct(tmp_path)
    (tmp_path / "scan.nii.gz").write_bytes(b"x")
    with pytest.raises(ImageError, match=r"it holds scan.nii.gz: give that file itself"):
        read_ct(tmp_path)


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "scan.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        for file in sorted(write(ct_series(ARRAY, AFFINE), tmp_path / "CT").iterdir()):
            z.write(file, file.name)
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(ImageError, match=r"cannot be read|damaged"):
        read_ct(archive)


def test_a_locked_zip_is_refused(tmp_path: Path) -> None:
    """The encryption bit set in every header, as a zip with a password has it."""
    archive = tmp_path / "scan.zip"
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("1.dcm", b"x" * 200)
    data = bytearray(archive.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(ImageError, match=r"1.dcm cannot be read \(.*encrypted"):
        read_ct(archive)


# --- real scans ----------------------------------------------------------------------------------


def test_lidc_equals_what_simpleitk_reads(shared_data: Path, tmp_path: Path) -> None:
    """The zip, against SimpleITK's own series reader: equal HU wherever it is not padding."""
    archive = shared_data / "lidc0001" / "lidc0001_lower_dicom.zip"
    with zipfile.ZipFile(archive) as z:
        z.extractall(tmp_path)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    peer = sitk.ReadImage(names)
    ct = read_ct(archive)
    expected = sitk.GetArrayFromImage(peer)
    measured = expected >= -1024
    np.testing.assert_array_equal(ct.array[measured], expected[measured])
    assert np.all(ct.array[~measured] == -1024.0)
    np.testing.assert_allclose(ct.affine[:3, 3], peer.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(ct.spacing_mm[::-1], peer.GetSpacing(), atol=1e-6)
    assert ct.acquisition is not None
    assert ct.acquisition.patient_position == "FFS"
    assert "down to -2048 HU" in texts(ct)


def test_compressed_slices_without_uids_are_read(shared_data: Path) -> None:
    """JPEG 2000, no SOP class, no series UID: anonymised too well, but one even series all the same."""
    ct = read_ct(shared_data / "ts_dicom_20")
    peer = sitk.ReadImage(sorted(str(p) for p in (shared_data / "ts_dicom_20").iterdir()))
    assert ct.shape == (20, 512, 512)
    assert ct.spacing_mm == pytest.approx((2.0, 0.9765625, 0.9765625))
    expected = sitk.GetArrayFromImage(peer)
    order = 1 if peer.GetOrigin()[2] < ct.affine[2, 3] + 1.0 else -1
    np.testing.assert_array_equal(ct.array, expected[::order])


def test_a_segmentation_beside_the_slices_is_skipped(shared_data: Path) -> None:
    ct = read_ct(shared_data / "dcmqi_ct3_seg")
    assert ct.shape == (3, 512, 512)
    assert "1 × SEG" in texts(ct)
