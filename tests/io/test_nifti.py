"""NIfTI against its peers: what a header says, what it cannot say, and what damage does to it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from trocar.errors import ImageError
from trocar.io.nifti import QFORM_TURN_RAD, read_nifti, write_nifti
from trocar.io.nifti_names import header_names
from trocar.volume import Volume

from .dicom_fixtures import scan
from .label_fixtures import write_image, write_named_nifti

ARRAY, AFFINE = scan()
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def turned(affine: np.ndarray, angle_rad: float) -> np.ndarray:
    """``affine`` turned about the patient's long axis."""
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle_rad), -np.sin(angle_rad)], [np.sin(angle_rad), np.cos(angle_rad)]]
    return turn @ affine


def changed(path: Path, **fields: float) -> Path:
    """A NIfTI file with header fields overwritten, whatever they mean together."""
    data = path.read_bytes()
    header = nib.Nifti1Header(data[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + data[348:])
    return path


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_what_is_written_is_read_by_us_and_by_simpleitk(tmp_path: Path, name: str, dtype: type) -> None:
    affine = turned(AFFINE, 0.2)
    path = write_nifti(Volume(ARRAY.astype(np.float32), affine), tmp_path / name, dtype)
    stored, peer = read_nifti(path), sitk.ReadImage(str(path))
    assert stored.array.dtype == dtype
    np.testing.assert_array_equal(stored.array, ARRAY)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(peer), ARRAY)
    for index in [(0, 0, 0), (9, 11, 7)]:
        np.testing.assert_allclose((stored.affine @ [*index, 1])[:3], (affine @ [*index, 1])[:3], atol=1e-4)
        np.testing.assert_allclose(peer.TransformIndexToPhysicalPoint(index), (affine @ [*index, 1])[:3], atol=1e-3)


def test_equal_volumes_make_equal_files(tmp_path: Path) -> None:
    volume = Volume(ARRAY, AFFINE)
    one, two = (write_nifti(volume, tmp_path / name, np.int16).read_bytes() for name in ("a.nii.gz", "b.nii.gz"))
    assert one == two


def test_values_are_rounded_and_not_cut_off(tmp_path: Path) -> None:
    path = write_nifti(Volume(ARRAY - 0.4, AFFINE), tmp_path / "scan.nii", np.int16)
    np.testing.assert_array_equal(read_nifti(path).array, ARRAY)


@pytest.mark.parametrize("name", ["uint8", "int8", "uint16", "int32", "uint32", "int64", "uint64", "float64"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_every_real_type_is_kept(tmp_path: Path, name: str, kind: type) -> None:
    """Labels beyond 2^24 are whole in their own type and would not be in single precision."""
    array = np.arange(60).reshape(3, 4, 5).astype(name)
    array[0, 0, 0] = min(np.iinfo(name).max, 2**24 + 1) if name != "float64" else 2**24 + 1
    kind(array.T, RAS @ AFFINE, dtype=name).to_filename(tmp_path / "scan.nii")
    found = read_nifti(tmp_path / "scan.nii").array
    assert found.dtype == np.dtype(name)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("angle_rad", [1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3])
def test_a_small_turn_beyond_what_a_qform_resolves_is_no_second_opinion(tmp_path: Path, angle_rad: float) -> None:
    """A plane of 400 mm in LPS, turned by hundredths of a degree: the sform says it, the qform cannot."""
    affine = turned(np.diag([0.8, 0.8, 2.0, 1.0]), angle_rad)
    path = write_image(tmp_path / "scan.nii", np.zeros((2, 500, 500), np.uint8), affine)
    np.testing.assert_allclose(read_nifti(path).affine, affine, atol=1e-6)


def test_a_turn_that_a_qform_resolves_is_a_second_opinion(tmp_path: Path) -> None:
    path = write_image(tmp_path / "scan.nii", np.zeros((2, 500, 500), np.uint8), np.eye(4))
    image = nib.load(path)
    image.set_qform(RAS @ turned(np.eye(4), 3 * QFORM_TURN_RAD), 1)
    image.to_filename(tmp_path / "two.nii")
    with pytest.raises(ImageError, match=r"places itself twice, 2\.\d mm apart"):
        read_nifti(tmp_path / "two.nii")


def test_a_handedness_of_0_is_1(tmp_path: Path) -> None:
    """nifti1.h: "if pixdim[0]=0 (which should not occur), we take qfac=1"."""
    path = write_image(tmp_path / "scan.nii", ARRAY, AFFINE)
    expected = read_nifti(path).affine
    steps = nib.load(path).header["pixdim"].copy()
    assert steps[0] == 1
    steps[0] = 0
    np.testing.assert_array_equal(read_nifti(changed(path, pixdim=steps, sform_code=0)).affine, expected)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"datatype": 1792}, "holds voxels of type complex128, not one real number each"),
        ({"datatype": 1536}, "holds voxels of type float128"),
        ({"datatype": 7}, "holds voxels of type <unknown code 7>"),
        ({"quatern_b": 1.1}, "has a damaged header .*w2 should be positive"),
        ({"pixdim": -1.0}, "has a damaged header .*pixdims.* should be positive"),
        ({"scl_slope": 1.0, "scl_inter": np.inf}, "has a damaged header .*invalid intercept inf"),
        ({"vox_offset": np.nan}, "is cut short: 0 of 1920 bytes"),
        ({"vox_offset": np.inf}, "is cut short: 0 of 1920 bytes"),
        ({"vox_offset": 0}, "is cut short: 0 of 1920 bytes"),
        ({"dim": 32767}, "has no voxels"),
        ({"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "is cut short: 1920 of 70362301923326 bytes"),
        ({"magic": b"ni1"}, "is not a NIfTI file of one piece"),
    ],
)
def test_headers_that_make_no_sense_are_refused(tmp_path: Path, fields: dict, sentence: str) -> None:
    with pytest.raises(ImageError, match=rf"scan\.nii {sentence}"):
        read_nifti(changed(write_image(tmp_path / "scan.nii", ARRAY, AFFINE), **fields))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data())
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_damaged_headers_are_never_our_crash(
    kind: type, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever wrong bytes in a header do, the user reads a sentence or has a volume; label names are there or not."""
    path = tmp_path_factory.mktemp("damaged") / "labels.nii"
    image = kind(ARRAY.T, RAS @ AFFINE)
    image.set_qform(image.affine, 1)
    xml = b'<CaretExtension><LabelTable><Label Key="1">L1</Label></LabelTable></CaretExtension>'
    image.header.extensions.append(nib.nifti1.Nifti1Extension(0, xml))
    content = bytearray(image.to_bytes())
    ends = len(content) - ARRAY.size * 2
    words = st.one_of(st.binary(min_size=1, max_size=4), st.floats(width=32).map(lambda x: np.float32(x).tobytes()))
    for at, word in data.draw(st.lists(st.tuples(st.integers(0, ends // 4 - 1), words), min_size=1, max_size=4)):
        content[4 * at : 4 * at + len(word)] = word
    path.write_bytes(content)
    assert all(number > 0 for number in header_names(path))
    sentence = refusal_of(path)
    assert sentence is None or sentence.endswith(".")


def refusal_of(path: Path) -> str | None:
    """The sentence, or None where a volume came out; anything else is our bug and raises."""
    try:
        assert read_nifti(path).array.ndim == 3
    except ImageError as error:
        return str(error)
    return None


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "NII.GZ"])
def test_label_names_are_read_from_the_header(tmp_path: Path, ending: str) -> None:
    names = {26: "vertebrae_S1", 31: "vertebrae_L1", 52: "aorta"}
    written = write_named_nifti(tmp_path / f"names.{ending.lower()}", ARRAY.astype(np.uint8), AFFINE, names)
    path = written.rename(tmp_path / f"labels.{ending}")
    assert {n: meaning.name for n, meaning in header_names(path).items()} == {26: "S1", 31: "L1", 52: "aorta"}


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3])
def test_label_names_of_a_damaged_file_are_none(tmp_path: Path, share: float) -> None:
    path = write_named_nifti(tmp_path / "labels.nii.gz", ARRAY.astype(np.uint8), AFFINE, {26: "vertebrae_S1"})
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert header_names(path) == {}
