"""A CT from volume files and arrays: the same patient in any orientation, and what is no CT is refused."""

from __future__ import annotations

import gzip
import hashlib
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from trocar.errors import ImageError
from trocar.io.ct import read_ct
from trocar.measure import Severity
from trocar.volume import Acquisition, Volume

from .dicom_fixtures import ct_series, placed, reordered, scan, tilted

ARRAY, AFFINE = scan()

#: Where an index axis may run, as an LPS axis and whether it runs backwards.
TOWARDS = {"L": (0, False), "R": (0, True), "P": (1, False), "A": (1, True), "S": (2, False), "I": (2, True)}


def texts(volume: Volume) -> str:
    return "\n".join(str(f) for f in volume.findings)


def image(array: np.ndarray, affine: np.ndarray) -> sitk.Image:
    out = sitk.GetImageFromArray(array)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    out.SetSpacing(spacing.tolist())
    out.SetOrigin(affine[:3, 3].tolist())
    out.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return out


def written(path: Path, array: np.ndarray = ARRAY, affine: np.ndarray = AFFINE) -> Path:
    sitk.WriteImage(image(array, affine), str(path))
    return path


def oriented(code: str) -> tuple[np.ndarray, np.ndarray]:
    """The scan with index axes running as the three letters say ("RAS": to right, front, top)."""
    order, flips = zip(*[TOWARDS[letter] for letter in code], strict=True)
    return reordered(ARRAY, AFFINE, order, flips)


def patched(path: Path, *changes: tuple[int, str, float]) -> Path:
    """A NIfTI-1 file with header fields overwritten: (offset, struct format, value)."""
    data = bytearray(path.read_bytes())
    for offset, form, value in changes:
        struct.pack_into(f"<{form}", data, offset, value)
    path.write_bytes(data)
    return path


DIM, DATATYPE, PIXDIM, SLOPE, UNITS, QFORM, SFORM, SROW = 40, 70, 76, 112, 123, 252, 254, 280


# --- the same patient ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize("code", ["LPS", "RAS", "PIR", "ASL", "SPR"])
def test_orientation_and_format_do_not_matter(tmp_path: Path, suffix: str, code: str) -> None:
    """The volume from any file equals the volume from DICOM."""
    ct = read_ct(written(tmp_path / f"scan{suffix}", *oriented(code)))
    dicom = read_ct(ct_series(*oriented(code)))
    assert ct.array.dtype == np.float32
    assert ct.array.flags.c_contiguous
    np.testing.assert_array_equal(ct.array, ARRAY)
    np.testing.assert_array_equal(ct.array, dicom.array)
    np.testing.assert_allclose(ct.affine, AFFINE, atol=1e-4)
    np.testing.assert_allclose(ct.affine, dicom.affine, atol=1e-4)
    assert ct.same_grid(dicom)
    assert (ct.unit, ct.frame_of_reference, ct.findings) == ("HU", None, ())


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.permutations([0, 1, 2]),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.floats(-30.0, 30.0),
    st.sampled_from([0, 1, 2]),
)
def test_turned_volumes_keep_every_voxel_in_its_place(order, flips, degrees: float, about: int) -> None:
    """Whatever the storage order and rotation, the value read at a point of the patient is the same."""
    turn = np.eye(4)
    a, b = [axis for axis in range(3) if axis != about]
    angle = np.radians(degrees)
    turn[a, a] = turn[b, b] = np.cos(angle)
    turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
    ct = read_ct(reordered(ARRAY, turn @ AFFINE, order, flips))
    np.testing.assert_array_equal(ct.array, ARRAY)
    np.testing.assert_allclose(ct.affine, turn @ AFFINE, atol=1e-9)


def test_names_and_digests_of_the_files_are_kept(tmp_path: Path) -> None:
    for name, parts in {"a.nii.gz": ["a.nii.gz"], "b.nrrd": ["b.nrrd"], "c.mhd": ["c.mhd", "c.raw"]}.items():
        made = read_ct(written(tmp_path / name)).acquisition
        assert made is not None
        expected = {p: hashlib.sha256((tmp_path / p).read_bytes()).hexdigest() for p in parts}
        assert made.digests == expected


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float64])
def test_voxel_types_do_not_matter(tmp_path: Path, dtype: type) -> None:
    ct = read_ct(written(tmp_path / "scan.nii.gz", ARRAY.astype(dtype)))
    assert ct.array.dtype == np.float32
    np.testing.assert_array_equal(ct.array, ARRAY)


def test_the_qform_places_a_file_without_sform(tmp_path: Path) -> None:
    """Quaternions as another program wrote them, for both handednesses."""
    for code in ("RAS", "LPS", "LAS", "PIR"):
        path = patched(written(tmp_path / "scan.nii", *oriented(code)), (SFORM, "h", 0))
        np.testing.assert_allclose(read_ct(path).affine, AFFINE, atol=1e-4)


def test_the_sform_is_believed_and_not_pixdim(tmp_path: Path) -> None:
    """Files of some programs leave 1 mm in pixdim; with the qform switched off nothing else contradicts the sform."""
    path = written(tmp_path / "scan.nii")
    patched(path, (QFORM, "h", 0), *[(PIXDIM + 4 * n, "f", 1.0) for n in (1, 2, 3)])
    np.testing.assert_allclose(read_ct(path).spacing_mm, (2.0, 0.9, 0.8), atol=1e-6)


def test_slope_and_intercept_of_nifti_are_applied(tmp_path: Path) -> None:
    path = patched(written(tmp_path / "scan.nii", ARRAY * 2 + 2048), (SLOPE, "f", 0.5), (SLOPE + 4, "f", -1024.0))
    np.testing.assert_array_equal(read_ct(path).array, ARRAY)


def test_big_endian_nifti(tmp_path: Path) -> None:
    """The byte order is read from the header, fields and voxels alike."""
    data = written(tmp_path / "scan.nii").read_bytes()
    header = bytearray(data[:352])
    fields = [(0, 4, 1), (36, 2, 1), (40, 2, 8), (68, 2, 4), (76, 4, 8), (108, 4, 3), (252, 2, 2), (256, 4, 18)]
    for start, size, count in [*fields, (32, 4, 1), (124, 4, 4)]:
        for n in range(count):
            at = start + n * size
            header[at : at + size] = header[at : at + size][::-1]
    swapped = np.frombuffer(data[352:], "<i2").astype(">i2").tobytes()
    path = tmp_path / "big.nii"
    path.write_bytes(bytes(header) + swapped)
    ct = read_ct(path)
    np.testing.assert_array_equal(ct.array, ARRAY)
    np.testing.assert_allclose(ct.affine, AFFINE, atol=1e-4)


def test_nifti_2(tmp_path: Path) -> None:
    header = bytearray(544)
    struct.pack_into("<i", header, 0, 540)
    header[4:12] = b"n+2\0\r\n\032\n"
    struct.pack_into("<hh", header, 12, 4, 16)
    struct.pack_into("<8q", header, 16, 3, *ARRAY.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<q", header, 168, 544)
    struct.pack_into("<ii", header, 344, 0, 1)
    struct.pack_into("<12d", header, 400, *(np.diag([-1, -1, 1, 1]) @ AFFINE)[:3].ravel())
    struct.pack_into("<i", header, 500, 2)
    path = tmp_path / "scan.nii"
    path.write_bytes(bytes(header) + ARRAY.astype("<i2").tobytes())
    ct = read_ct(path)
    np.testing.assert_array_equal(ct.array, ARRAY)
    np.testing.assert_allclose(ct.affine, AFFINE, atol=1e-12)


# --- arrays and volumes --------------------------------------------------------------------------


def test_a_volume_passes_through_with_all_it_knows() -> None:
    made = Acquisition("HFP", "1.2.3")
    ct = read_ct(Volume(ARRAY.astype(np.float32), AFFINE, "1.2", "HU", made))
    np.testing.assert_array_equal(ct.array, ARRAY)
    assert (ct.frame_of_reference, ct.acquisition) == ("1.2", made)


def test_reading_what_was_read_changes_nothing() -> None:
    once = read_ct((ARRAY, AFFINE))
    twice = read_ct(once)
    assert np.shares_memory(once.array, twice.array)
    np.testing.assert_array_equal(once.affine, twice.affine)


def test_the_callers_array_is_left_alone() -> None:
    mine = ARRAY.astype(np.float32)
    mine[0, 0, 0] = -3024.0
    ct = read_ct((mine, AFFINE))
    assert mine[0, 0, 0] == -3024.0
    assert ct.array[0, 0, 0] == -1024.0
    assert "down to -3024 HU" in texts(ct)


@pytest.mark.parametrize(
    ("source", "error", "sentence"),
    [
        (Volume(ARRAY, AFFINE, unit="label"), ValueError, r"unit='label'"),
        ((ARRAY[0], AFFINE), ValueError, r"got shape \(12, 10\)"),
        ((ARRAY.astype(complex), AFFINE), ValueError, r"real numbers; got shape .* of complex"),
        ((ARRAY, np.eye(3)), ValueError, r"invertible 4x4 matrix"),
        ((ARRAY, np.zeros((4, 4))), ValueError, r"invertible 4x4 matrix"),
        (7, TypeError, r"not from int"),
        ([], TypeError, r"not from list"),
        ([1, 2, 3], TypeError, r"not from list"),
    ],
)
def test_the_callers_mistakes(source, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        read_ct(source)


# --- what is mended, and told --------------------------------------------------------------------


def test_values_below_air_become_air_and_are_told(tmp_path: Path) -> None:
    padded = ARRAY.astype(np.int32)
    padded[:, :3, :] = -2000
    ct = read_ct(written(tmp_path / "scan.nrrd", padded))
    np.testing.assert_array_equal(ct.array, np.maximum(padded, -1024))
    assert ct.findings[0].severity is Severity.NOTE
    assert "25 % of the voxels were below air (down to -2000 HU)" in texts(ct)


def test_clipped_values_are_told() -> None:
    ct = read_ct((np.minimum(ARRAY, 240), AFFINE))
    assert ct.findings[0].severity is Severity.CAUTION
    assert "cut off at 240 HU" in texts(ct)


def test_a_tilted_volume_file_is_set_upright(tmp_path: Path) -> None:
    """A sheared sform, as converters write for tilted gantries, equals the same slices from DICOM."""
    affine = tilted(placed((1.0, 1.0, 2.0), (3.0, 4.0, 5.0)), 15.0)
    rng = np.random.default_rng(3)
    array = rng.integers(-1000, 1500, (9, 30, 12)).astype(np.int16)
    path = written(tmp_path / "scan.nii", array, placed((1.0, 1.0, 2.0), (0.0, 0.0, 0.0)))
    rows = (np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)[:3].ravel()
    patched(path, (QFORM, "h", 0), *[(SROW + 4 * n, "f", value) for n, value in enumerate(rows)])
    nrrd = written(tmp_path / "scan.nrrd", array, affine)
    dicom = read_ct(ct_series(array, affine))
    for ct in (read_ct(path), read_ct(nrrd), read_ct((array, affine))):
        np.testing.assert_allclose(ct.affine, dicom.affine, atol=1e-4)
        np.testing.assert_allclose(ct.array, dicom.array, atol=0.5)
        assert "tilted by 15.0°" in texts(ct)


# --- what is refused -----------------------------------------------------------------------------


def refused(source) -> str:
    with pytest.raises(ImageError) as refusal:
        read_ct(source)
    return str(refusal.value)


def test_a_missing_path(tmp_path: Path) -> None:
    assert "there is no file or folder" in refused(tmp_path / "nowhere.nii")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_file_cut_short(tmp_path: Path, suffix: str, share: float) -> None:
    path = written(tmp_path / f"scan{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    sentence = refused(path)
    assert path.name in sentence
    assert "cut short" in sentence or "not a NIfTI" in sentence


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".dcm", ""])
def test_a_file_of_something_else(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(b"Dear colleague, thank you for referring this patient. " * 20)
    assert "scan" in refused(path)


def test_a_meta_image_without_its_voxels(tmp_path: Path) -> None:
    path = written(tmp_path / "scan.mhd")
    (tmp_path / "scan.raw").unlink()
    assert "keeps its voxels in scan.raw, which is not beside it" in refused(path)


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_colour(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scan{suffix}"
    colours = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    sitk.WriteImage(colours, str(path))
    if suffix == ".nii":
        patched(path, (DATATYPE, "h", 128), (DIM, "h", 3))
    assert "colour" in refused(path)


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_four_and_two_dimensions(tmp_path: Path, suffix: str) -> None:
    series = sitk.JoinSeries([image(ARRAY, AFFINE)] * 3)
    sitk.WriteImage(series, str(tmp_path / f"four{suffix}"))
    assert "10 × 12 × 8 × 3 voxels: one three-dimensional volume" in refused(tmp_path / f"four{suffix}")
    sitk.WriteImage(sitk.GetImageFromArray(ARRAY[0]), str(tmp_path / f"two{suffix}"))
    assert "10 × 12 voxels: one three-dimensional volume" in refused(tmp_path / f"two{suffix}")


def test_a_single_slice(tmp_path: Path) -> None:
    assert "single slice (10 × 12 × 1 voxels)" in refused(written(tmp_path / "scan.nii", ARRAY[:1]))


def test_a_nifti_that_does_not_say_where_it_lies(tmp_path: Path) -> None:
    path = patched(written(tmp_path / "scan.nii"), (QFORM, "h", 0), (SFORM, "h", 0))
    assert "does not say where it lies" in refused(path)


def test_a_nifti_with_two_opinions_of_where_it_lies(tmp_path: Path) -> None:
    path = patched(written(tmp_path / "scan.nii"), (SROW + 12, "f", 17.0))
    assert "places itself twice, 12.0 mm apart" in refused(path)


@pytest.mark.parametrize(("unit", "word"), [(1, "metres"), (3, "micrometres")])
def test_a_nifti_in_another_unit(tmp_path: Path, unit: int, word: str) -> None:
    assert f"says it is in {word}" in refused(patched(written(tmp_path / "scan.nii"), (UNITS, "B", unit)))


def test_a_nifti_with_a_broken_affine(tmp_path: Path) -> None:
    broken = patched(written(tmp_path / "scan.nii"), (QFORM, "h", 0), (SROW, "f", float("nan")))
    assert "broken affine" in refused(broken)


def test_a_grid_no_gantry_could_make(tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[1, 2] = 6.0
    assert "more than any gantry tilts" in refused((ARRAY, affine))


def test_an_nrrd_without_a_space(tmp_path: Path) -> None:
    path = written(tmp_path / "scan.nrrd")
    path.write_bytes(path.read_bytes().replace(b"space: left-posterior-superior\n", b"space dimension: 3\n"))
    assert "does not name its space" in refused(path)


def test_an_nrrd_of_a_space_that_is_no_patient(tmp_path: Path) -> None:
    path = written(tmp_path / "scan.nrrd")
    path.write_bytes(path.read_bytes().replace(b"space: left-posterior-superior\n", b"space: scanner-xyz\n"))
    assert "not in the patient" in refused(path)


def test_an_nrrd_in_metres(tmp_path: Path) -> None:
    path = written(tmp_path / "scan.nrrd")
    path.write_bytes(path.read_bytes().replace(b"kinds: domain", b'space units: "m" "m" "m"\nkinds: domain'))
    assert "is in m: convert it" in refused(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_voxels_that_are_not_numbers(bad: float) -> None:
    array = ARRAY.astype(np.float64)
    array[3, 4, 5] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "has 1 voxels that are not numbers" in refused((array, AFFINE))


@pytest.mark.parametrize(
    ("array", "lacks"),
    [
        (np.maximum(ARRAY, 0), "no air or fat"),
        (np.minimum(ARRAY, 100), "no bone"),
        ((ARRAY > 300).astype(np.uint8), "no air or fat"),
        (ARRAY + 1024, "no air or fat"),
        (np.zeros_like(ARRAY), "no air or fat"),
    ],
)
def test_values_that_cannot_be_hounsfield_units(array: np.ndarray, lacks: str) -> None:
    sentence = refused((array, AFFINE))
    assert f"not in Hounsfield units: its values run from {array.min():g} to {array.max():g}" in sentence
    assert lacks in sentence


def test_a_damaged_gzip(tmp_path: Path) -> None:
    path = written(tmp_path / "scan.nii.gz")
    data = bytearray(gzip.compress(gzip.decompress(path.read_bytes())))
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert "scan.nii.gz is damaged or cut short" in refused(path)


# --- real scans ----------------------------------------------------------------------------------


def test_the_totalsegmentator_example(shared_data: Path) -> None:
    """int32, RAS, hip metal, below -1024 by the reconstruction's overshoot."""
    path = shared_data / "ts_example" / "example_ct.nii.gz"
    ct = read_ct(path)
    peer = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
    expected = sitk.GetArrayFromImage(peer)
    np.testing.assert_array_equal(ct.array, np.maximum(expected, -1024))
    np.testing.assert_allclose(ct.affine[:3, 3], peer.GetOrigin(), atol=1e-3)
    assert ct.array.max() == 3382.0
    assert "down to -1207 HU" in texts(ct)


def test_an_mr_is_refused(shared_data: Path) -> None:
    sentence = refused(shared_data / "sct_t2_lumbar" / "t2_lumbar.nii.gz")
    assert "t2_lumbar.nii.gz is not in Hounsfield units: its values run from 0 to 455, with no air or fat" in sentence


@pytest.mark.parametrize("labels", ["ts_example/example_seg_full_v1labels.nii.gz", "ts_dicom_20_seg_v2.nii.gz"])
def test_a_label_map_is_refused(shared_data: Path, labels: str) -> None:
    assert "Hounsfield" in refused(shared_data / labels)


def test_one_slice_of_a_treatment_plan_is_refused(shared_data: Path) -> None:
    assert "one slice at z -632.00 mm is not a volume" in refused(shared_data / "mcbrachy_ldr_i125")
