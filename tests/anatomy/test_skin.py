"""The body surface: bodies of known shape, then three real scans."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from trocar.anatomy.skin import body_mask, scanned_region, skin_exit, skin_exits
from trocar.volume import Volume, canonical

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
HALF_WIDTH_MM, HALF_DEPTH_MM = 150.0, 100.0


def grid(shape=(12, 320, 400), spacing_kji=(2.5, 0.8, 0.8), turn_deg=0.0):
    """A grid centred on the origin of LPS, turned about the superior axis: affine and LPS points."""
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag(spacing_kji[::-1])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    k, j, i = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    return affine, np.stack([i, j, k], axis=-1) @ affine[:3, :3].T + affine[:3, 3]


def painted(hu, distance_mm, value, blur_mm=0.8):
    """``value`` where the signed distance is negative, with partial volume over one voxel."""
    share = np.clip(0.5 - distance_mm / blur_mm, 0.0, 1.0)
    return hu + share * (value - hu)


def ellipse_mm(p, centre, half):
    """First-order signed distance to an elliptic cylinder along the body axis."""
    q = (p[..., :2] - centre) / half
    r = np.linalg.norm(q, axis=-1)
    return (r - 1.0) * r / np.maximum(np.linalg.norm(q / half, axis=-1), 1e-9)


def body(p, hu_tissue=-60.0):
    """An elliptic trunk with two lungs, bowel gas and a spine."""
    hu = np.full(p.shape[:3], -1000.0)
    hu = painted(hu, ellipse_mm(p, (0, 0), (HALF_WIDTH_MM, HALF_DEPTH_MM)), hu_tissue)
    for x in (-75.0, 75.0):
        hu = painted(hu, ellipse_mm(p, (x, 0), (50, 70)), -830.0)
    hu = painted(hu, ellipse_mm(p, (0, -70), (12, 12)), -1000.0)
    return painted(hu, ellipse_mm(p, (0, 30), (25, 40)), 250.0)


def scan(hu, affine):
    return Volume(hu.astype(np.float32), affine)


def true_depth_mm(start, direction):
    """Distance from a start to the elliptic trunk along a direction, closed form."""
    a = (direction[:2] / (HALF_WIDTH_MM, HALF_DEPTH_MM)) @ (direction[:2] / (HALF_WIDTH_MM, HALF_DEPTH_MM))
    b = (start[:2] / (HALF_WIDTH_MM, HALF_DEPTH_MM)) @ (direction[:2] / (HALF_WIDTH_MM, HALF_DEPTH_MM))
    c = np.sum((start[:2] / (HALF_WIDTH_MM, HALF_DEPTH_MM)) ** 2) - 1.0
    return (-b + np.sqrt(b * b - a * c)) / a


@pytest.mark.parametrize("hu_tissue", [-100.0, 40.0])
@pytest.mark.parametrize("turn_deg", [0.0, 7.0])
def test_skin_depth_is_exact_to_a_fifth_of_a_voxel(hu_tissue, turn_deg):
    affine, p = grid(turn_deg=turn_deg)
    ct = scan(body(p, hu_tissue), affine)
    mask = body_mask(ct)
    start = np.array([4.0, 20.0, 0.0])
    for degrees in range(0, 360, 15):
        direction = np.array([np.sin(np.radians(degrees)), np.cos(np.radians(degrees)), 0.03])
        direction /= np.linalg.norm(direction)
        found = skin_exit(ct, mask, start, direction)
        assert found.through_skin
        assert found.depth_mm == pytest.approx(true_depth_mm(start, direction), abs=0.2 * 0.8), degrees
        np.testing.assert_allclose(found.point_mm, start + found.depth_mm * direction)


def test_lungs_and_bowel_gas_are_inside_and_the_edge_is_within_a_voxel():
    affine, p = grid()
    mask = body_mask(scan(body(p), affine)).array
    distance = ellipse_mm(p, (0, 0), (HALF_WIDTH_MM, HALF_DEPTH_MM))
    assert mask[distance < -0.8].all()
    assert not mask[distance > 0.8].any()


def test_table_blanket_wire_and_arm_are_not_body():
    affine, p = grid()
    bare = body(p)
    hu = painted(bare, np.abs(p[..., 1] - 118.0) - 1.5, 200.0)  # table top, 3 mm, 16 mm behind the back
    hu = painted(hu, np.abs(ellipse_mm(p, (0, 0), (158, 106))) - 0.8, -500.0)  # blanket around the trunk
    hu = painted(hu, np.hypot(p[..., 0] - 30, p[..., 1] + 112) - 2.0, 2500.0)  # ECG wire
    np.testing.assert_array_equal(body_mask(scan(hu, affine)).array, body_mask(scan(bare, affine)).array)


def test_a_separate_arm_is_left_out():
    affine, p = grid(shape=(6, 320, 480))
    bare = body(p)
    hu = painted(bare, np.hypot(p[..., 0] - 180, p[..., 1]) - 10.0, 40.0)
    np.testing.assert_array_equal(body_mask(scan(hu, affine)).array, body_mask(scan(bare, affine)).array)


def test_a_mat_that_touches_the_back_is_peeled_off():
    """A 1.5 mm mat lies on a flat back with 1.6 mm of partly filled air between."""
    affine, p = grid()
    flat = np.maximum(ellipse_mm(p, (0, 0), (HALF_WIDTH_MM, HALF_DEPTH_MM)), p[..., 1] - 80.0)
    hu = painted(np.full(p.shape[:3], -1000.0), flat, 40.0)
    hu = painted(hu, np.abs(p[..., 1] - 82.35) - 0.75, 0.0)
    ct = scan(hu, affine)
    depth, through = skin_exits(ct, body_mask(ct), [[x, 0.0, 0.0] for x in range(-60, 61, 5)], [0.0, 1.0, 0.0])
    assert through.all()
    np.testing.assert_allclose(depth, 80.0, atol=0.4)  # half a voxel


def test_a_mat_whose_gap_fills_up_is_peeled_off_too():
    """Behind the last row of skin: -180, -300, -200, -220, -700 HU, as measured on a chest scan: skin, gap, mat."""
    affine, p = grid()
    hu = np.where(ellipse_mm(p, (0, 0), (HALF_WIDTH_MM, HALF_DEPTH_MM)) < 0, 40.0, -1000.0)
    back = int(np.argmax(p[0, :, 0, 1] > 80.0))
    profile = np.full(hu.shape[1] - back, -1000.0)
    profile[:5] = (-180.0, -300.0, -200.0, -220.0, -700.0)
    hu[:, back:] = profile[:, None]
    ct = scan(hu, affine)
    depth, _ = skin_exits(ct, body_mask(ct), [[x, 0.0, 0.0] for x in range(-60, 61, 5)], [0.0, 1.0, 0.0])
    np.testing.assert_allclose(depth, p[0, back, 0, 1] + 0.4, atol=1.0)  # the outer side of that row, to a voxel


def test_a_thick_plate_that_touches_the_back_is_body_only_where_it_touches():
    affine, p = grid()
    hu = painted(body(p), np.abs(p[..., 1] - 103.5) - 3.5, 100.0)  # 7 mm thick, touching at the midline
    mask = body_mask(scan(hu, affine)).array
    assert not mask[(p[..., 1] > 99.0) & (np.abs(p[..., 0]) > 60.0)].any()


@pytest.mark.parametrize(("margin_mm", "through"), [(1.6, False), (4.8, True)])
def test_a_surface_at_the_border_of_the_scan_is_not_taken_for_skin(margin_mm, through):
    affine, p = grid()
    ct = scan(body(p), affine)
    part = ct.crop((0, 0, 0), (12, int(ct.index_kji([0.0, HALF_DEPTH_MM + margin_mm, 0.0])[1]) + 1, 400))
    assert skin_exit(part, body_mask(part), [0.0, 20.0, 0.0], [0.0, 1.0, 0.0]).through_skin is through


def test_mirrored_scan_gives_the_mirrored_mask():
    affine, p = grid(shape=(8, 301, 379), spacing_kji=(2.0, 0.83, 0.83))
    rng = np.random.default_rng(3)
    hu = painted(body(p), np.hypot(p[..., 0] - 60, p[..., 1] - 92) - 14.0, 20.0) + rng.normal(0, 25, p.shape[:3])
    mask = body_mask(scan(hu, affine)).array
    for axis in range(3):
        np.testing.assert_array_equal(body_mask(scan(np.flip(hu, axis), affine)).array, np.flip(mask, axis))


def test_noise_of_a_low_dose_scan_leaves_no_holes():
    affine, p = grid(shape=(8, 320, 400))
    hu = body(p, -100.0) + np.random.default_rng(5).normal(0.0, 60.0, p.shape[:3])
    mask = body_mask(scan(hu, affine)).array
    distance = ellipse_mm(p, (0, 0), (HALF_WIDTH_MM, HALF_DEPTH_MM))
    assert np.mean(mask[distance < -1.6]) > 0.9999
    assert not mask[distance > 1.6].any()


def test_a_lung_cut_by_the_side_of_the_scan_stays_inside_and_that_side_is_not_skin():
    affine, p = grid()
    whole = scan(body(p), affine)
    narrow = whole.crop((0, 0, 110), (12, 320, 290))  # 72 mm to either side: through both lungs
    mask = body_mask(narrow)
    q = p[:, :, 110:290]
    assert mask.array[ellipse_mm(q, (0, 0), (HALF_WIDTH_MM, HALF_DEPTH_MM)) < -0.8].all()
    depth, through = skin_exits(narrow, mask, [0.0, 20.0, 0.0], np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0]]))
    assert through.tolist() == [False, False, True]
    np.testing.assert_allclose(depth[:2], 72.0, atol=1.0)


def test_beyond_the_scan_circle_nothing_is_skin():
    """A spine protocol: a 130 mm circle about the spine of a 300 mm trunk; what lies beyond it is air already."""
    affine, p = grid(shape=(6, 164, 164), spacing_kji=(2.5, 0.8, 0.8))
    affine[1, 3] += 25.0
    p = p + np.array([0.0, 25.0, 0.0])
    radius = np.hypot(p[..., 0], p[..., 1] - 25.0)
    ct = scan(np.where(radius <= 65.6, body(p), -1000.0), affine)
    assert not scanned_region(ct)[0, 0]
    assert scanned_region(ct)[82, 82]
    mask = body_mask(ct)
    assert mask.array[radius < 63.0].all()
    _, through = skin_exits(ct, mask, [0.0, 20.0, 0.0], np.array([[0, 1, 0], [1, 1, 0], [-1, 0, 0]]))
    assert not through.any()


def test_a_full_square_scan_has_no_circle():
    affine, p = grid(shape=(4, 200, 200), spacing_kji=(2.5, 0.8, 0.8))
    assert scanned_region(scan(body(p), affine)).all()


def test_a_ray_through_the_last_slice_did_not_meet_skin():
    affine, p = grid()
    ct = scan(body(p), affine)
    up = skin_exit(ct, body_mask(ct), [0.0, 30.0, 0.0], [0.0, 0.1, 1.0])
    assert not up.through_skin
    assert up.point_mm[2] == pytest.approx(15.0, abs=1.3)  # 12 slices of 2.5 mm


def test_start_outside_the_body_is_refused():
    affine, p = grid()
    ct = scan(body(p), affine)
    with pytest.raises(ValueError, match=r"\[0.0, 110.0, 0.0\] \(LPS mm\) is not inside the body"):
        skin_exit(ct, body_mask(ct), [0.0, 110.0, 0.0], [0.0, -1.0, 0.0])


def test_foam_as_dense_as_lung_is_not_lung():
    """A narrow scan: between back and table top there is nothing but foam of -880 HU, up to the border."""
    affine, p = grid()
    bare = body(p)
    foam = np.where((p[..., 1] > 0) & (ellipse_mm(p, (0, 0), (HALF_WIDTH_MM, HALF_DEPTH_MM)) > 0.8), -880.0, bare)
    table = painted(foam, np.abs(p[..., 1] - 118.0) - 1.5, 200.0)
    narrow = (slice(None), slice(60, 310), slice(110, 290))
    np.testing.assert_array_equal(
        body_mask(scan(table[narrow], affine)).array, body_mask(scan(bare[narrow], affine)).array
    )


def test_what_is_not_a_ct_or_not_its_mask_is_refused():
    affine, p = grid(shape=(4, 64, 64))
    ct = scan(np.zeros(p.shape[:3]), affine)
    with pytest.raises(ValueError, match="unit='Gy' of the volume: the body is found in a CT in HU only"):
        body_mask(replace(ct, unit="Gy"))
    with pytest.raises(ValueError, match="on another grid than the CT"):
        skin_exit(ct, body_mask(ct).crop((0, 0, 0), (4, 60, 64)), [0.0, 0.0, 0.0], [0.0, 1.0, 0.0])


def test_an_empty_scan_has_no_body():
    affine, p = grid(shape=(4, 64, 64))
    assert not body_mask(scan(np.full(p.shape[:3], -1000.0), affine)).array.any()


# --- real scans ---------------------------------------------------------------------------------------------------


def as_volume(image, unit):
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    array, affine = canonical(sitk.GetArrayFromImage(image), affine)
    if unit == "HU":
        array = np.where(array < -1024, -1000, array).astype(np.float32)
    return Volume(array, affine, unit=unit)


def dicom_series(folder):
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return as_volume(sitk.ReadImage(files), "HU")


@pytest.fixture(scope="module")
def lidc(tmp_path_factory):
    source = DATA / "lidc0001"
    if not source.is_dir():
        pytest.skip(f"no real scan at {source}")
    folder = tmp_path_factory.mktemp("lidc")
    zipfile.ZipFile(source / "lidc0001_lower_dicom.zip").extractall(folder)
    slices = next(f.parent for f in sorted(folder.rglob("*")) if f.is_file())
    labels = as_volume(sitk.ReadImage(str(source / "lidc0001_lower_totalseg_mask.nii.gz")), "label")
    return dicom_series(slices), labels


def test_real_chest_scan_supine_on_a_table(lidc):
    """Every labelled organ is inside; the table, 30 mm behind, is not; the back is found behind each vertebra."""
    ct, labels = lidc
    mask = body_mask(ct)
    assert mask.array[labels.onto(ct).array > 0].mean() > 0.9999
    table_top = ct.array[:, 450:470].max(axis=1) > 0.0  # rows of the table top in this scan
    assert table_top.any()
    assert not mask.array[:, 450:].any()
    for vertebra in range(31, 37):  # L1 to T8 in this scheme; T8 is cut but has a back
        points = Volume(labels.array == vertebra, labels.affine, unit="mask").points_mm()
        if len(points):
            found = skin_exit(ct, mask, points.mean(axis=0), [0.0, 1.0, 0.0])
            assert found.through_skin
            assert 30.0 < found.depth_mm < 90.0, (vertebra, found.depth_mm)


@pytest.mark.parametrize(
    ("row", "column", "size", "disc"), [(340, 262, 256, True), (370, 262, 220, True), (330, 262, 280, False)]
)
def test_real_chest_scan_narrowed_to_the_spine(lidc, row, column, size, disc):
    """What a spine protocol sees of the same patient: the same body; lungs cut by the border, no foam, no table."""
    ct, _ = lidc
    whole = body_mask(ct)
    start, stop = (0, row - size // 2, column - size // 2), (70, row + size // 2, column + size // 2)
    part = ct.crop(start, stop)
    y, x = np.mgrid[: part.shape[1], : part.shape[2]] - (np.array(part.shape[1:]) - 1)[:, None, None] / 2
    seen = np.hypot(x, y) <= min(part.shape[1:]) / 2 if disc else np.ones(part.shape[1:], bool)
    part = replace(part, array=np.where(seen, part.array, np.float32(-1000.0)))
    mask = body_mask(part)
    inner = seen & (np.hypot(x, y) < size / 2 - 10)
    true = whole.crop(start, stop).array
    # a mat's edge moves by a voxel with the coarse grid; a sliver of lung at the border is below the size of a lung
    assert np.sum(mask.array & ~true & inner) < 2e-4 * true.size
    assert np.sum(~mask.array & true & inner) < 1e-3 * true.size
    back = [m.shape[1] - 1 - m[:, ::-1].argmax(axis=1) for m in (mask.array, true)]
    middle = slice(size // 2 - 60, size // 2 + 60)
    shift = np.abs(back[0] - back[1])[:, middle]
    assert np.mean(shift <= 1) > 0.97
    assert shift.max() * ct.spacing_mm[1] < 3.0  # never the table, 12 mm behind


def test_real_scan_mirrored(lidc):
    ct, _ = lidc
    flipped = replace(ct, array=np.ascontiguousarray(ct.array[:, :, ::-1]))
    np.testing.assert_array_equal(body_mask(flipped).array[:, :, ::-1], body_mask(ct).array)


def test_real_abdomen_of_3_mm_voxels():
    source = DATA / "ts_example"
    if not source.is_dir():
        pytest.skip(f"no real scan at {source}")
    ct = as_volume(sitk.ReadImage(str(source / "example_ct.nii.gz")), "HU")
    labels = as_volume(sitk.ReadImage(str(source / "example_seg_full_v1labels.nii.gz")), "label").onto(ct)
    mask = body_mask(ct)
    assert mask.array[labels.array > 0].mean() > 0.9999
    for vertebra in range(18, 23):  # L5 to L1
        points = Volume(labels.array == vertebra, ct.affine, unit="mask").points_mm()
        assert skin_exit(ct, mask, points.mean(axis=0), [0.0, 1.0, 0.0]).through_skin


def test_real_scan_with_arms_at_the_edge_of_the_circle():
    source = DATA / "ts_dicom_20"
    if not source.is_dir():
        pytest.skip(f"no real scan at {source}")
    ct = dicom_series(source)
    assert not scanned_region(ct)[0, 0]
    mask = body_mask(ct)
    labels = as_volume(sitk.ReadImage(str(DATA / "ts_dicom_20_seg_v2.nii.gz")), "label").onto(ct)
    trunk = (labels.array > 0) & ~np.isin(labels.array, (69, 70))  # but for the two humeri
    assert mask.array[trunk].mean() > 0.9999
    spine = Volume(np.isin(labels.array, range(26, 51)), ct.affine, unit="mask").points_mm()
    assert skin_exit(ct, mask, spine.mean(axis=0), [0.0, 1.0, 0.0]).through_skin
