"""Label maps of every format become the same masks; every kind of wrong one is refused with a plain sentence."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from trocar.anatomy.labels import Labels
from trocar.anatomy.levels import Level
from trocar.anatomy.schemes import scheme
from trocar.errors import FrameMismatchError, ImageError, LabelSchemeError
from trocar.io.ct import read_ct
from trocar.io.labels import read_labels
from trocar.io.onto_grid import overlap
from trocar.measure import Severity
from trocar.planning.access import Kind, kind_of
from trocar.volume import Volume

from ..anatomy.spine import numbered, numbers_of, spine
from .dicom_fixtures import FRAME_UID, reordered, tilted, write
from .label_fixtures import described, dicom_seg, terminology, write_image, write_named_nifti, write_seg_nrrd

CT, MASKS = spine()
AFFINE = np.array(CT.affine)
V2 = {level.value: number for number, level in scheme("totalseg-v2").levels.items()}
NUMBERS = numbered(MASKS, V2)
LEVELS = [Level.T11, Level.T12, Level.L1, Level.L2, Level.L3]
FRAMED = replace(CT, frame_of_reference=FRAME_UID)


def array_of(name: str) -> np.ndarray:
    return numbered(MASKS, numbers_of(scheme(name).levels))


def check(found: Labels, ct: Volume = CT) -> None:
    """All five vertebrae, voxel for voxel."""
    assert list(found.vertebrae) == LEVELS
    for level, mask in found.vertebrae.items():
        np.testing.assert_array_equal(mask.onto(ct).array, MASKS[level])
        assert mask.unit == "mask"


def block(low: tuple[int, int, int], high: tuple[int, int, int]) -> np.ndarray:
    array = np.zeros(CT.shape, bool)
    array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return array


def texts(found: Labels) -> str:
    return "\n".join(str(f) for f in found.findings)


# --- what can be read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd", "mha", "mhd"])
def test_every_format_gives_the_same_masks(ending: str, tmp_path: Path):
    path = write_image(tmp_path / f"labels.{ending}", NUMBERS, AFFINE)
    found = read_labels(path, CT, "totalseg-v2")
    check(found)
    assert found.scheme == "totalseg-v2"
    files = [path, path.with_suffix(".raw")] if ending == "mhd" else [path]
    assert found.digests == tuple((p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files)
    assert found.findings == ()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_orientation_of_the_file_does_not_matter(order: tuple[int, ...], tmp_path: Path):
    array, affine = reordered(NUMBERS, AFFINE, order, (True, False, True))
    check(read_labels(write_image(tmp_path / "labels.nrrd", array, affine), CT, "totalseg-v2"))


def test_volumes_and_arrays():
    check(read_labels(NUMBERS, CT, "totalseg-v2"))
    array, affine = reordered(NUMBERS, AFFINE, (0, 1, 2), (False, True, True))
    check(read_labels(Volume(array, affine, unit="label"), CT, "totalseg-v2"))


def test_floats_that_are_whole_are_labels(tmp_path: Path):
    """TotalSegmentator 1 wrote 18.0."""
    check(read_labels(write_image(tmp_path / "labels.nii", NUMBERS.astype(np.float64), AFFINE), CT, "totalseg-v2"))


@pytest.mark.parametrize("name", ["totalseg-v1", "totalseg-v2", "totalseg-v2-pp", "verse", "spineps-vert"])
def test_every_scheme_of_vertebrae(name: str):
    check(read_labels(array_of(name), CT, name))


def test_masks_are_cropped_and_lie_on_the_grid():
    mask = read_labels(NUMBERS, CT, "totalseg-v2").vertebrae[Level.L1]
    start = CT.index_kji(mask.world_mm((0, 0, 0)))
    np.testing.assert_allclose(start, np.rint(start), atol=1e-9)
    assert mask.array[0].any()
    assert mask.array[-1].any()
    assert np.prod(mask.shape) < 0.1 * np.prod(CT.shape)


def test_own_scheme(tmp_path: Path):
    path = tmp_path / "ours.json"
    path.write_text(json.dumps({"name": "ours", "labels": {str(n + 1): str(v) for n, v in enumerate(LEVELS)}}))
    array = numbered(MASKS, {str(v): n + 1 for n, v in enumerate(LEVELS)})
    found = read_labels(array, CT, path)
    check(found)
    assert found.scheme == "ours"
    with pytest.raises(ValueError, match="there is no scheme file"):
        read_labels(array, CT, tmp_path / "absent.json")


def test_names_in_a_nifti_header(tmp_path: Path):
    names = {number: f"vertebrae_{level}" for level, number in V2.items()} | {52: "aorta"}
    found = read_labels(write_named_nifti(tmp_path / "labels.nii.gz", NUMBERS, AFFINE, names), CT)
    check(found)
    assert found.scheme == "header"


def test_a_header_table_of_no_names_is_no_scheme(tmp_path: Path):
    """TotalSegmentator fills the table with "L18.0" where it knows no names."""
    path = write_named_nifti(tmp_path / "labels.nii", NUMBERS, AFFINE, {n: f"L{float(n)}" for n in V2.values()})
    with pytest.raises(LabelSchemeError, match="gives its labels as numbers alone"):
        read_labels(path, CT)


# --- several files ---------------------------------------------------------------------------------------------------


def test_vertebrae_and_a_canal_of_ones_own(tmp_path: Path):
    own = tmp_path / "ours.json"
    own.write_text(json.dumps({"labels": {"1": "spinal_canal"}}))
    canal = block((5, 50, 30), (60, 55, 35))
    found = read_labels([NUMBERS, canal.astype(np.uint8)], CT, ["totalseg-v2", own])
    check(found)
    np.testing.assert_array_equal(found.structures["spinal_canal"].onto(CT).array, canal)
    assert found.scheme == "totalseg-v2 + ours.json"
    assert "place of the label array was not checked" in texts(found)


def test_vertebrae_and_bodies():
    bodies = (block((0, 0, 0), CT.shape) & np.any(list(MASKS.values()), axis=0)).astype(np.uint8)
    bodies[:, 52:, :] = 0
    for named in (["totalseg-v2", "totalseg-v2-body"], "totalseg-v2 + totalseg-v2-body"):
        found = read_labels([NUMBERS, bodies], CT, named)
        check(found)
        np.testing.assert_array_equal(found.subregions["body"].onto(CT).array, bodies > 0)


def test_bodies_of_another_scan_are_refused():
    bodies = np.roll(np.any(list(MASKS.values()), axis=0), 20, axis=2).astype(np.uint8)
    with pytest.raises(
        FrameMismatchError, match=r"% of the parts of vertebrae .* lie in the vertebrae \(50% is needed"
    ):
        read_labels([NUMBERS, bodies], CT, ["totalseg-v2", "totalseg-v2-body"])


def test_spineps_files_are_told_apart_by_their_names(tmp_path: Path):
    parts = np.where(np.any(list(MASKS.values()), axis=0), 50, 0).astype(np.uint8)
    parts[:, 56:, :][parts[:, 56:, :] > 0] = 41
    vert = write_image(tmp_path / "sub-1_ct_seg-vert_msk.nii.gz", array_of("spineps-vert"), AFFINE)
    semantic = write_image(tmp_path / "sub-1_ct_seg-spine_msk.nii.gz", parts, AFFINE)
    for pair in ([vert, semantic], [semantic, vert]):
        found = read_labels(pair, CT, "spineps")
        check(found)
        assert set(found.subregions) == {"body", "arch"}
    with pytest.raises(LabelSchemeError, match="does not tell which SPINEPS file"):
        read_labels(write_image(tmp_path / "labels.nii.gz", parts, AFFINE), CT, "spineps")
    with pytest.raises(ImageError, match=r"no vertebra is labelled \(spineps-spine\)"):
        read_labels(semantic, CT, "spineps")


def test_the_same_structure_in_two_files_is_joined_with_a_note():
    upper, lower = NUMBERS.copy(), NUMBERS.copy()
    middle = int(np.argwhere(MASKS[Level.L1])[:, 0].mean())
    upper[:middle] = 0
    lower[middle:] = 0
    found = read_labels([upper, lower], CT, "totalseg-v2")
    check(found)
    assert "in more than one label file or layer, joined" in texts(found)


def test_as_many_schemes_as_files():
    with pytest.raises(ValueError, match="scheme: 2 given for 1 label files"):
        read_labels([NUMBERS], CT, ["totalseg-v2", "verse"])


# --- DICOM SEG and Slicer --------------------------------------------------------------------------------------------

HU = np.array(CT.array)
VERTEBRA_CODES = [getattr(codes.SCT, f"{level}Vertebra") for level in LEVELS]
COUNTED = numbered(MASKS, {str(v): n + 1 for n, v in enumerate(LEVELS)})
DESCRIBED = [described(n + 1, f"segment {n}", code) for n, code in enumerate(VERTEBRA_CODES)]


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_dicom_seg(kind: str, tmp_path: Path):
    seg = dicom_seg(HU, AFFINE, COUNTED, DESCRIBED, kind)
    check(read_labels(seg, FRAMED))
    folder = write([seg], tmp_path / "seg")
    found = read_labels(folder, FRAMED)
    check(found)
    assert found.scheme == "dicom-seg"
    assert [name for name, _ in found.digests] == ["000.dcm"]


def test_dicom_seg_with_sides_old_codes_and_unknown_segments():
    left, right = block((10, 10, 60), (16, 16, 70)), block((10, 10, 5), (16, 16, 15))
    aorta = block((5, 5, 40), (60, 10, 44))
    pixels = COUNTED.copy()
    for n, mask in enumerate((left, right, aorta, block((1, 1, 1), (3, 3, 3)))):
        pixels[mask] = 6 + n
    more = [
        described(6, "a", codes.SCT.Kidney, codes.SCT.Left),
        described(7, "b", codes.SCT.Kidney, codes.SCT.Right),
        described(8, "c", Code("T-42000", "SRT", "Aorta")),
        described(9, "mystery", Code("1", "99LOCAL", "mystery")),
    ]
    found = read_labels(dicom_seg(HU, AFFINE, pixels, DESCRIBED + more), FRAMED, "dicom-seg")
    check(found)
    assert set(found.structures) == {"kidney_left", "kidney_right", "aorta", "mystery"}  # kept: avoided like an organ
    np.testing.assert_array_equal(found.structures["kidney_left"].onto(CT).array, left)
    assert "mystery" in texts(found)


def test_overlapping_and_fractional_dicom_segs():
    canal = block((10, 44, 40), (50, 60, 52))
    stack = np.stack([*(MASKS[v] for v in LEVELS), canal], axis=-1)
    described_all = [*DESCRIBED, described(6, "spinal canal", Code("61853006", "SCT", "Spinal canal"))]
    assert (stack.sum(axis=-1) > 1).any()
    found = read_labels(dicom_seg(HU, AFFINE, stack.astype(np.uint8), described_all), FRAMED)
    check(found)
    np.testing.assert_array_equal(found.structures["spinal_canal"].onto(CT).array, canal)

    soft = dicom_seg(HU, AFFINE, np.where(stack, 0.8, 0.2).astype(np.float32), described_all, "FRACTIONAL")
    found = read_labels(soft, FRAMED)
    check(found)
    assert "fractional segmentation: voxels of at least 50%" in texts(found)


def test_dicom_that_is_no_segmentation_of_this_scan(tmp_path: Path):
    seg = dicom_seg(HU, AFFINE, COUNTED, DESCRIBED)
    with pytest.raises(FrameMismatchError, match="register the two images first"):
        read_labels(seg, replace(CT, frame_of_reference="1.2.3"))
    twice = write([seg, dicom_seg(HU, AFFINE, COUNTED, DESCRIBED)], tmp_path / "two")
    with pytest.raises(ImageError, match="holds 2 DICOM segmentations"):
        read_labels(twice, FRAMED)
    seg.Modality = "CT"
    with pytest.raises(ImageError, match="is a DICOM CT, not a segmentation"):
        read_labels(seg, FRAMED)


def test_damaged_segmentations_are_refused():
    uneven = dicom_seg(HU, AFFINE, COUNTED, DESCRIBED)
    for group in uneven.PerFrameFunctionalGroupsSequence[7:]:
        group.PlanePositionSequence[0].ImagePositionPatient[2] += 0.9
    with pytest.raises(ImageError, match="frames of the DICOM segmentation do not make a volume"):
        read_labels(uneven, FRAMED)
    bare = dicom_seg(HU, AFFINE, COUNTED, DESCRIBED)
    del bare.SegmentSequence
    with pytest.raises(ImageError, match="is not a complete DICOM segmentation"):
        read_labels(bare, FRAMED)


def test_two_segments_of_one_vertebra_are_refused():
    again = [*DESCRIBED[:-1], described(5, "again", VERTEBRA_CODES[0])]
    with pytest.raises(LabelSchemeError, match="labels 1 and 5 both say T11"):
        read_labels(dicom_seg(HU, AFFINE, COUNTED, again), FRAMED)


def test_slicer_segmentation_by_name_and_by_terminology(tmp_path: Path):
    by_name = [{"ID": f"s{n}", "Name": f"{v} vertebra", "LabelValue": n + 1, "Layer": 0} for n, v in enumerate(LEVELS)]
    found = read_labels(write_seg_nrrd(tmp_path / "a.seg.nrrd", [COUNTED], AFFINE, by_name), CT)
    check(found)
    assert found.scheme == "slicer"
    by_code = [
        {"ID": f"s{n}", "Name": f"Segment_{n}", "LabelValue": n + 1, "Layer": 0, "Tags": terminology(code.value)}
        for n, code in enumerate(VERTEBRA_CODES)
    ]
    check(read_labels(write_seg_nrrd(tmp_path / "b.seg.nrrd", [COUNTED], AFFINE, by_code), CT, "slicer"))


def test_slicer_segments_that_overlap(tmp_path: Path):
    """Two layers on a fourth axis; label values start again in each."""
    canal = block((10, 44, 40), (50, 60, 52))
    segments = [{"ID": f"s{n}", "Name": str(v), "LabelValue": n + 1, "Layer": 0} for n, v in enumerate(LEVELS)]
    segments += [
        {"ID": "c", "Name": "spinal canal", "LabelValue": 1, "Layer": 1},
        {"ID": "k", "Name": "x", "LabelValue": 2, "Layer": 1, "Tags": terminology("64033007", "7771000")},
        {"ID": "m", "Name": "my lesion", "LabelValue": 3, "Layer": 1},
    ]
    second = canal.astype(np.uint8)
    second[2:6, 2:6, 70:76] = 2
    second[2:6, 12:16, 70:76] = 3
    path = write_seg_nrrd(tmp_path / "overlap.seg.nrrd", [COUNTED, second], AFFINE, segments)
    found = read_labels(path, CT)
    check(found)
    assert set(found.structures) == {"spinal_canal", "kidney_left", "my_lesion"}
    np.testing.assert_array_equal(found.structures["spinal_canal"].onto(CT).array, canal)
    assert "no scheme here uses: my lesion" in texts(found)
    assert kind_of("my_lesion") is Kind.ORGAN  # as the note says


def test_a_slicer_segment_named_like_a_vertebra_that_is_none(tmp_path: Path):
    segments = [{"ID": "a", "Name": "L9", "LabelValue": 1, "Layer": 0}]
    with pytest.raises(LabelSchemeError, match="segment 'L9' is not a vertebra"):
        read_labels(write_seg_nrrd(tmp_path / "a.seg.nrrd", [COUNTED], AFFINE, segments), CT)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("totalseg-v1", "totalseg-v2"),
        ("totalseg-v2", "totalseg-v1"),
        ("verse", "totalseg-v1"),
        ("verse", "totalseg-v2"),
        ("totalseg-v1", "verse"),
        ("totalseg-v2", "verse"),
    ],
)
def test_a_wrong_scheme_is_refused_with_the_one_that_fits(wrong: str, right: str):
    with pytest.raises(LabelSchemeError, match=right):
        read_labels(array_of(right), CT, wrong)


def test_numbers_without_a_scheme_are_refused_with_the_one_that_fits():
    with pytest.raises(LabelSchemeError, match=r"name their scheme with --scheme. It would fit totalseg-v2"):
        read_labels(NUMBERS, CT)


@pytest.mark.parametrize("name", ["dicom-seg", "slicer", "header"])
def test_a_file_without_coded_metadata_cannot_be_read_by_it(name: str):
    with pytest.raises(LabelSchemeError, match=f"so {name} cannot read it"):
        read_labels(NUMBERS, CT, name)


def test_a_scheme_that_contradicts_the_header_is_refused(tmp_path: Path):
    names = {number: f"vertebrae_{level}" for level, number in V2.items()}
    path = write_named_nifti(tmp_path / "labels.nii", NUMBERS, AFFINE, names)
    with pytest.raises(
        LabelSchemeError, match=r"says itself that label 29 is L3; in totalseg-v1 it is T6.*totalseg-v2"
    ):
        read_labels(path, CT, "totalseg-v1")
    check(read_labels(path, CT, "totalseg-v2"))


def test_unknown_scheme():
    with pytest.raises(ValueError, match="label scheme 'totalseg' is not known"):
        read_labels(NUMBERS, CT, "totalseg")


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (NUMBERS + 0.5, "holds 0.5; labels are whole numbers"),
        (np.where(NUMBERS, np.nan, 0.0), "holds nan; labels are whole numbers"),
        (NUMBERS.astype(np.int16) - 1, "holds numbers from -1"),
        (NUMBERS.astype(np.int32) * 10_000, "labels run from 0 to 65535"),
        (NUMBERS.astype(np.complex64), "holds complex64"),
        (np.zeros_like(NUMBERS), "is empty: no voxel is labelled"),
        (np.where(NUMBERS, 1, 0).astype(np.uint8), r"no vertebra is labelled \(totalseg-v2\)"),
    ],
)
def test_arrays_that_are_no_label_map_with_vertebrae(array: np.ndarray, sentence: str):
    with pytest.raises(ImageError, match=sentence):
        read_labels(array, CT, "totalseg-v2")


def test_callers_mistakes():
    with pytest.raises(ValueError, match="does not lie on the CT's grid"):
        read_labels(NUMBERS[1:], CT, "totalseg-v2")
    with pytest.raises(TypeError, match="int is not a path"):
        read_labels(7, CT, "totalseg-v2")


def test_files_that_are_no_label_map(tmp_path: Path):
    with pytest.raises(ImageError, match="there is no file or folder"):
        read_labels(tmp_path / "absent.nii.gz", CT, "totalseg-v2")
    (tmp_path / "notes.txt").write_text("L1")
    with pytest.raises(ImageError, match=r"notes\.txt is no label map that can be read"):
        read_labels(tmp_path / "notes.txt", CT, "totalseg-v2")
    (tmp_path / "labels.nii").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"labels\.nii"):
        read_labels(tmp_path / "labels.nii", CT, "totalseg-v2")
    empty = tmp_path / "folder"
    empty.mkdir()
    with pytest.raises(ImageError, match="holds 0 DICOM segmentations"):
        read_labels(empty, CT)


@pytest.mark.parametrize("ending", ["nii", "nrrd", "mha"])
def test_colour_images_are_refused(ending: str, tmp_path: Path):
    path = tmp_path / f"colour.{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True), str(path))
    with pytest.raises(ImageError, match=r"colou?r|one three-dimensional volume"):
        read_labels(path, CT, "totalseg-v2")


def test_exchanged_sides_are_refused():
    array = NUMBERS.copy()
    array[2:8, 2:10, 2:12] = 3  # kidney_left, on the right
    array[2:8, 2:10, 66:76] = 2
    with pytest.raises(ImageError, match=r"left and right are exchanged in the labels \(kidney\)"):
        read_labels(array, CT, "totalseg-v2")


def test_one_exchanged_pair_among_several_is_told():
    array = NUMBERS.copy()
    for n, (left, right) in enumerate([(3, 2), (9, 8), (100, 112)]):
        array[2:8, 2 + 12 * n : 12 + 12 * n, 66:76] = left
        array[2:8, 2 + 12 * n : 12 + 12 * n, 2:12] = right
    array[2:8, 2:12, 66:76], array[2:8, 2:12, 2:12] = 2, 3
    found = read_labels(array, CT, "totalseg-v2")
    assert "left on the right side for kidney" in texts(found)


# --- another grid ----------------------------------------------------------------------------------------------------


def regridded(spacing_ijk: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """The labels as another grid over the same box would hold them, without interpolating twice."""
    affine = AFFINE.copy()
    affine[:3, :3] = np.diag(spacing_ijk)
    shape = tuple(int(n * s / t) for n, s, t in zip(CT.shape, CT.spacing_mm, spacing_ijk[::-1], strict=True))
    grid = Volume(np.zeros(shape, np.uint8), affine, unit="label")
    return Volume(NUMBERS, AFFINE, unit="label").onto(grid).array, affine


@pytest.mark.parametrize("spacing_ijk", [(1.0, 1.0, 1.25), (3.0, 3.0, 3.0)])
@pytest.mark.parametrize("frame", [None, FRAME_UID])
def test_another_grid_is_resampled_and_told(spacing_ijk: tuple[float, float, float], frame: str | None):
    array, affine = regridded(spacing_ijk)
    found = read_labels(Volume(array, affine, frame, "label"), FRAMED, "totalseg-v2")
    assert "was resampled to the CT's (2.00 × 2.00 × 2.50 mm)" in texts(found)
    for level in LEVELS:
        theirs, ours = found.vertebrae[level].onto(CT).array, MASKS[level]
        dice = 2 * np.count_nonzero(theirs & ours) / (np.count_nonzero(theirs) + np.count_nonzero(ours))
        # half a voxel of surface at most: 3 mm voxels on a ring 5 mm thick
        assert dice > (0.97 if spacing_ijk[0] == 1.0 else 0.75)


def test_nothing_is_lost_at_the_edge_of_the_label_volume():
    """The CT's end slice lies within the outer half of the labels' end slice: it is labelled, and cut by the scan."""
    middle = int(np.argwhere(MASKS[Level.L2])[:, 0].mean())
    ct = CT.crop((middle, 0, 0), CT.shape)
    affine = ct.affine.copy()
    affine[2, 3] += 0.4 * CT.spacing_mm[0]
    found = read_labels(Volume(NUMBERS[middle:], affine, unit="label"), ct, "totalseg-v2")
    assert set(found.vertebrae) == {Level.T11, Level.T12, Level.L1, Level.L2}
    mask = found.vertebrae[Level.L2]
    assert ct.index_kji(mask.world_mm((0, 0, 0)))[0] == pytest.approx(0.0, abs=1e-9)


def test_labels_on_a_tilted_grid_are_read_and_told(tmp_path: Path):
    """The planes of the labels lean by 8 degrees, as a gantry's do; the bones stay where they are."""
    affine = tilted(AFFINE, 8.0)
    inverse = np.linalg.inv(AFFINE)
    index = np.moveaxis(np.indices(CT.shape), 0, -1)[..., ::-1].reshape(-1, 3)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    ijk = np.rint(world @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    inside = np.all((ijk >= 0) & (ijk < CT.shape[::-1]), axis=1)
    leaning = np.zeros(len(ijk), np.uint8)
    leaning[inside] = NUMBERS[tuple(ijk[inside].T[::-1])]
    path = write_image(tmp_path / "labels.nrrd", leaning.reshape(CT.shape), affine)
    found = read_labels(path, CT, "totalseg-v2")
    assert "gantry was tilted by 8.0" in texts(found)
    a, b = found.vertebrae[Level.L1].onto(CT).array, MASKS[Level.L1]
    # two nearest-neighbour steps on 2 x 2 x 2.5 mm voxels
    assert 2 * np.count_nonzero(a & b) / (a.sum() + b.sum()) > 0.8


def test_frames_that_differ_are_refused():
    with pytest.raises(FrameMismatchError, match="register the two images first"):
        read_labels(Volume(NUMBERS, AFFINE, "1.2.3", "label"), FRAMED, "totalseg-v2")


def test_a_crop_of_the_scan_is_taken():
    part = Volume(NUMBERS, AFFINE, unit="label").crop((3, 10, 10), np.array(CT.shape) - 3)
    check(read_labels(part, CT, "totalseg-v2"))


def test_vertebrae_cut_by_the_edge_of_the_label_map_are_set_aside():
    middle = int(np.argwhere(MASKS[Level.L2])[:, 0].mean())
    part = Volume(NUMBERS, AFFINE, unit="label").crop((middle, 0, 0), CT.shape)
    found = read_labels(part, CT, "totalseg-v2")
    assert list(found.vertebrae) == [Level.T11, Level.T12, Level.L1]
    assert set(found.structures) == {"vertebra_L2"}
    assert "ends within the CT and cuts L2" in texts(found)


def test_labels_cropped_tightly_to_their_bones_are_not_cut():
    """As Slicer saves segments, and DICOM leaves out empty frames: processes touch the edge, bodies do not."""
    low, high = np.argwhere(NUMBERS).min(axis=0), np.argwhere(NUMBERS).max(axis=0) + 1
    check(read_labels(Volume(NUMBERS, AFFINE, unit="label").crop(low, high), CT, "totalseg-v2"))


def test_labels_elsewhere_are_refused_with_the_measured_overlap():
    far = AFFINE.copy()
    far[:3, 3] += [0.0, 0.0, 150.0]
    volume = Volume(NUMBERS, far, unit="label")
    assert overlap(volume, CT) == pytest.approx((CT.shape[0] * 2.5 - 150.0) / (CT.shape[0] * 2.5))
    with pytest.raises(FrameMismatchError, match=rf"overlaps the CT by {overlap(volume, CT):.0%}"):
        read_labels(volume, CT, "totalseg-v2")


@pytest.mark.parametrize("shift_mm", [(10.0, 0.0, 0.0), (0.0, -10.0, 0.0), (0.0, 0.0, 10.0)])
def test_labels_that_are_off_the_bone_are_refused_with_the_measured_contrast(shift_mm: tuple[float, float, float]):
    moved = AFFINE.copy()
    moved[:3, 3] += shift_mm
    with pytest.raises(FrameMismatchError, match=r"bone contrast under the vertebra labels is 0\.\d\d"):
        read_labels(Volume(NUMBERS, moved, unit="label"), CT, "totalseg-v2")


def test_mirrored_labels_are_refused():
    with pytest.raises(FrameMismatchError, match=r"bone contrast .* when they are mirrored"):
        read_labels(NUMBERS[:, :, ::-1], CT, "totalseg-v2")
    # upside down, the order of levels gives it away before the bone does
    with pytest.raises(LabelSchemeError, match="would lie above"):
        read_labels(NUMBERS[::-1], CT, "totalseg-v2")


def test_a_scan_that_is_not_in_hounsfield_units_is_told():
    found = read_labels(NUMBERS, replace(CT, unit="1"), "totalseg-v2")
    assert [f.severity for f in found.findings] == [Severity.CAUTION]
    assert "the scan is in 1, not HU" in found.findings[0].text


def test_a_lost_level_and_an_island_are_told():
    array = NUMBERS.copy()
    array[array == V2["L1"]] = 0
    array[4, 4, 4:6] = V2["L3"]
    found = read_labels(array, CT, "totalseg-v2")
    assert "lack L1 between T12 and L2" in texts(found)
    assert "L3: 0.02 ml of the label were dropped, in 1 island" in texts(found)


# --- real scans ------------------------------------------------------------------------------------------------------


def test_lidc0001(shared_data: Path):
    """Feet first, mask rows stored the other way round, 57 labels, one number that no scheme knows."""
    ct = read_ct(shared_data / "lidc0001" / "lidc0001_lower_dicom.zip")
    mask = shared_data / "lidc0001" / "lidc0001_lower_totalseg_mask.nii.gz"
    found = read_labels(mask, ct, "totalseg-v2")
    assert [str(v) for v in found.vertebrae] == ["T7", "T8", "T9", "T10", "T11", "T12", "L1", "L2", "L3"]
    assert {"aorta", "inferior_vena_cava", "spinal_cord", "lung_left", "lung_right", "kidney_left"} <= set(
        found.structures
    )
    assert "118 (74551 voxels)" in texts(found)
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(mask)))
    for level, number in (("T9", 35), ("L1", 31)):
        assert found.vertebrae[Level[level]].array.sum() == np.count_nonzero(image == number)
    for wrong in ("totalseg-v1", "verse", "spineps-vert"):
        with pytest.raises(LabelSchemeError, match="It would fit totalseg-v2"):
            read_labels(mask, ct, wrong)
    with pytest.raises(LabelSchemeError, match=r"name their scheme with --scheme. It would fit totalseg-v2"):
        read_labels(mask, ct)


def test_lidc0001_mirrored_or_displaced(shared_data: Path):
    ct = read_ct(shared_data / "lidc0001" / "lidc0001_lower_dicom.zip")
    path = shared_data / "lidc0001" / "lidc0001_lower_totalseg_mask.nii.gz"
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)[:, ::-1]
    vertebrae = np.where((array >= 26) & (array <= 50), array, 0).astype(np.uint8)
    with pytest.raises(ImageError, match="left and right are exchanged"):
        read_labels(array[:, :, ::-1], ct, "totalseg-v2")
    for wrong in (vertebrae[:, :, ::-1], np.roll(vertebrae, 14, axis=2), np.roll(vertebrae, 14, axis=1)):
        with pytest.raises(FrameMismatchError, match="does not lie on the bone"):
            read_labels(wrong, ct, "totalseg-v2")


def test_ts_example_with_both_versions(shared_data: Path):
    """Version 1 as float64, version 2 with names in its header; the same vertebrae."""
    folder = shared_data / "ts_example"
    ct = read_ct(folder / "example_ct.nii.gz")
    v1, v2 = folder / "example_seg_full_v1labels.nii.gz", folder / "totalseg_vertebrae_v2labels.nii.gz"
    old = read_labels(v1, ct, "totalseg-v1")
    assert [str(v) for v in old.vertebrae] == ["T11", "T12", "L1", "L2", "L3", "L4", "L5"]
    new = read_labels(v2, ct, "totalseg-v2")
    assert [str(v) for v in new.vertebrae] == ["T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1"]
    assert list(read_labels(v2, ct).vertebrae) == list(new.vertebrae)
    for level in (Level.L1, Level.L5):
        a, b = old.vertebrae[level].onto(ct).array, new.vertebrae[level].onto(ct).array
        assert 2 * np.count_nonzero(a & b) / (a.sum() + b.sum()) > 0.9
    for path, wrong, right in [(v1, "totalseg-v2", "totalseg-v1"), (v1, "verse", "totalseg-v1")]:
        with pytest.raises(LabelSchemeError, match=f"It would fit {right}"):
            read_labels(path, ct, wrong)
    for wrong in ("totalseg-v1", "verse"):
        with pytest.raises(LabelSchemeError, match="It would fit totalseg-v2"):
            read_labels(v2, ct, wrong)
        # and by geometry alone, without the names in the header
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(v2)))
        with pytest.raises(LabelSchemeError, match="totalseg-v2"):
            read_labels(Volume(array, _affine(v2), unit="label"), ct, wrong)


def _affine(path: Path) -> np.ndarray:
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return affine


def test_ts_dicom_20(shared_data: Path):
    """Every vertebra is cut: they are read, and it is for the planner to refuse them."""
    ct = read_ct(shared_data / "ts_dicom_20")
    found = read_labels(shared_data / "ts_dicom_20_seg_v2.nii.gz", ct, "totalseg-v2")
    assert [str(v) for v in found.vertebrae] == ["T11", "T12"]


def test_dcmqi_ct3(shared_data: Path, tmp_path: Path):
    """A real DICOM SEG in the retired SRT codes, beside NRRD masks of the same three slices."""
    folder = shared_data / "dcmqi_ct3_seg"
    ct = read_ct([*_datasets(folder)])
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"name": "own", "labels": {"1": "liver", "2": "T12"}}))
    found = read_labels([folder / "spine_seg.nrrd", folder / "liver.dcm"], ct, [own, None])
    assert list(found.vertebrae) == [Level.T12]
    by_nrrd = read_labels(folder / "liver_spine_seg.nrrd", ct, own).structures["liver"]
    np.testing.assert_array_equal(found.structures["liver"].onto(ct).array, by_nrrd.onto(ct).array)
    assert "only vertebra in the labels" in texts(found)
    with pytest.raises(ImageError, match=r"no vertebra is labelled \(dicom-seg\)"):
        read_labels(folder / "liver.dcm", ct)
    with pytest.raises(ImageError, match=r"01\.dcm is a DICOM CT, not a segmentation"):
        read_labels(folder / "01.dcm", ct)


def _datasets(folder: Path) -> list:
    from pydicom import dcmread

    return [dcmread(folder / f"0{n}.dcm") for n in (1, 2, 3)]
