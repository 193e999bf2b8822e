"""A vertebra as a solid: its place, its density, its caps, its loose pieces, and what cannot be a model."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from trocar.anatomy.bone import Mineral, calibrated
from trocar.anatomy.levels import Level
from trocar.anatomy.vertebra import Part
from trocar.errors import LevelError
from trocar.measure import Severity
from trocar.mechanics.ends import CAP_MM, SIDE_WALL_MM, cap, endplates
from trocar.mechanics.model import BoneModel, Ends, Tissue, bone_model
from trocar.physics.materials import LAWS, PMMA, Density
from trocar.volume import Volume

from .patients import LINE, patient, thoracolumbar


@cache
def model(mirror: bool = False, arch: bool = False, ends: Ends = Ends.CAPS, spacing_mm: float = 2.0) -> BoneModel:
    return bone_model(patient(mirror), "L1", calibration=LINE, arch=arch, ends=ends, spacing_mm=spacing_mm)


def slanted(slope: float = 0.2, shape: tuple[int, int, int] = (20, 24, 30)) -> np.ndarray:
    """A block whose upper face rises to the back and whose lower face is flat."""
    k, j, _ = np.indices(shape)
    return (k >= 4) & (k < 10 + slope * j)


def built(body: np.ndarray, density: float = 0.2, **options: object) -> BoneModel:
    parts = body * np.uint8(Part.BODY)
    return BoneModel.from_density(np.full(body.shape, density), parts, (1.0, 1.0, 1.0), level="L1", **options)


# --- place -----------------------------------------------------------------------------------------------------------


def test_the_body_has_the_volume_of_its_label() -> None:
    label = patient().vertebra("L1").body
    volume_ml = model(spacing_mm=1.0).body.sum() / 1000.0
    assert volume_ml == pytest.approx(label.array.sum() * label.voxel_ml, rel=0.02)


def test_every_voxel_lies_in_the_label_where_the_affine_puts_it() -> None:
    vertebra, own = patient().vertebra("L1"), model(arch=True)
    bone = own.volume(own.tissue(Tissue.BONE), "mask")
    mask = vertebra.mask
    assert mask.sample(bone.points_mm(), order=0).mean() > 0.95  # the rest lies between the label and its surface
    around = replace(mask, array=binary_dilation(np.pad(mask.array, 1), np.ones((3, 3, 3))))
    shifted = around.affine.copy()
    shifted[:3, 3] = mask.world_mm((-1, -1, -1))
    assert replace(around, affine=shifted).sample(bone.points_mm(), order=0).all()
    assert bone.array.sum() * bone.voxel_ml == pytest.approx(mask.array.sum() * mask.voxel_ml, rel=0.03)


def test_k_runs_up_j_to_the_back_and_i_to_the_left() -> None:
    own, frame = model(), patient().vertebra("L1").frame
    steps = own.affine[:3, :3] / 2.0
    assert np.allclose(steps, frame.axes, atol=1e-9)
    canal, body = np.argwhere(own.parts == Part.CANAL), np.argwhere(own.body)
    assert canal[:, 1].mean() > body[:, 1].max() - 4


def test_left_and_right_exchange() -> None:
    """The phantom's mirror image is exact; what differs are voxels whose middle lies on the surface to rounding."""
    one, other = model(), model(mirror=True)
    assert one.solid.shape == other.solid.shape
    differ = one.solid.material != other.solid.material[:, :, ::-1]
    assert differ.sum() <= 0.002 * one.solid.filled.sum()
    both = one.solid.filled & other.solid.filled[:, :, ::-1]
    assert np.allclose(one.solid.modulus_mpa[both], other.solid.modulus_mpa[:, :, ::-1][both], rtol=0.02, atol=3.0)


# --- density ---------------------------------------------------------------------------------------------------------


def test_modulus_and_yield_are_the_laws_of_the_density() -> None:
    own = built(np.ones((6, 6, 6), bool), 0.18, law="kopperdahl-2002-linear")
    bone = own.tissue(Tissue.BONE)
    assert own.solid.modulus_mpa[bone] == pytest.approx(-34.7 + 3230 * 0.18, rel=1e-6)
    assert own.solid.yield_mpa[bone] == pytest.approx(-0.75 + 24.9 * 0.18, rel=1e-6)
    assert own.law == "kopperdahl-2002-linear"
    assert np.all(own.solid.modulus_mpa[own.tissue(Tissue.CAP)] == PMMA.modulus_mpa)
    assert np.all(own.density_g_cc[~bone] == 0.0)


@pytest.mark.parametrize("law", LAWS)
def test_every_law_makes_a_model(law: str) -> None:
    own = built(np.ones((4, 4, 4), bool), 0.15, law=law)
    expected = LAWS[law].evaluate(0.15, Density.K2HPO4)[0]
    assert own.solid.modulus_mpa[own.tissue(Tissue.BONE)] == pytest.approx(float(expected))


def test_the_kind_of_density_counts() -> None:
    """What a solid phantom calls 0.2 is 0.167 to a liquid one; the model keeps the latter."""
    own = built(np.ones((4, 4, 4), bool), 0.2, kind=Density.HYDROXYAPATITE)
    assert own.density_g_cc[own.body] == pytest.approx(0.2 * 0.835)
    solid = replace(LINE, mineral=Mineral.HYDROXYAPATITE)
    ratio = (
        bone_model(patient(), "L1", calibration=solid, spacing_mm=3.0).density_g_cc.sum()
        / model(spacing_mm=3.0).density_g_cc.sum()
    )
    assert ratio == pytest.approx(0.835, rel=1e-5)


def test_the_density_is_what_the_scan_says_there() -> None:
    """At 1 mm the grid is as fine as the scan and nothing is smoothed: the same linear interpolation twice."""
    own, ct = model(spacing_mm=1.0), patient().ct
    body = own.volume(own.body, "mask")
    assert own.density_g_cc[own.body] == pytest.approx(LINE.slope * ct.sample(body.points_mm()), abs=1e-4)


def test_a_coarse_model_averages_the_scan() -> None:
    """A body 2 mm coarse has less noise and nearly the mineral of one of 1 mm: its rim shares with what is outside."""
    fine, coarse = model(spacing_mm=1.0), model(spacing_mm=2.0)
    mineral = [m.density_g_cc.sum() * m.solid.voxel_mm3 for m in (fine, coarse)]
    assert mineral[1] == pytest.approx(mineral[0], rel=0.06)
    inner = [m.density_g_cc[binary_erosion(m.body, iterations=n)] for m, n in ((fine, 6), (coarse, 3))]
    assert inner[1].std() < 0.8 * inner[0].std()


def test_without_a_calibration_the_patients_own_tissues_are_asked_and_the_answer_is_named() -> None:
    own = bone_model(patient(), "L1", spacing_mm=3.0)
    line = calibrated(patient())
    assert own.calibration == line.text
    assert set(line.findings) <= set(own.findings)


# --- caps ------------------------------------------------------------------------------------------------------------


def test_caps_fill_from_a_slanted_endplate_to_a_flat_plane() -> None:
    own = built(slanted())
    caps, body = own.tissue(Tissue.CAP), own.body
    top, bottom = caps[-1], caps[0]
    assert top.all()
    assert bottom.all()
    # every column is bone between two caps, without a hole
    assert np.array_equal((caps | body).sum(axis=0), np.full(top.shape, own.solid.shape[0]))
    # at the highest point and over the flat face the cap is CAP_MM thick
    highest = np.argmax(body[::-1], axis=0)
    assert highest.min() == CAP_MM
    assert np.all(np.argmax(body, axis=0) == CAP_MM)
    # at the lowest point of the slope it is thicker by the rise of 0.2 over 23 mm, in whole layers
    assert highest.max() - highest.min() == 5


def test_caps_do_not_run_down_the_side_wall() -> None:
    body = np.zeros((24, 20, 26), bool)
    body[2:22, 2:18, 3:23] = True
    body[10:13, 0:2, 8:16] = True  # a spur at half height
    upper, _ = endplates(body, (1.0, 1.0, 1.0))
    assert not upper.footprint[:2].any()
    assert upper.footprint[2:18, 3:23].all()
    assert SIDE_WALL_MM < 22 - 13


def test_a_pressed_in_endplate_stays_under_the_cap() -> None:
    body = np.zeros((30, 24, 24), bool)
    body[3:27, 2:22, 2:22] = True
    body[15:27, 8:16, 8:16] = False  # deeper than what counts as side wall, but enclosed by the rim
    upper, _ = endplates(body, (1.0, 1.0, 1.0))
    assert upper.footprint[8:16, 8:16].all()
    assert cap(body, upper, (1.0, 1.0, 1.0))[15:27, 8:16, 8:16].all()


def test_a_cap_needs_room() -> None:
    body = np.ones((5, 5, 5), bool)
    with pytest.raises(ValueError, match="does not fit: the box ends before node plane 8"):
        cap(body, endplates(body, (1.0, 1.0, 1.0))[0], (1.0, 1.0, 1.0))


def test_other_ends_have_no_caps_and_the_same_bone() -> None:
    capped, bare = model(), model(ends=Ends.EMBEDDED)
    assert not bare.tissue(Tissue.CAP).any()
    layers = int(np.ceil(CAP_MM / 2.0))
    assert np.array_equal(capped.body[layers:-layers], bare.body)
    assert np.allclose(capped.affine @ [0, 0, layers, 1], bare.affine @ [0, 0, 0, 1])


# --- pieces and refusals ---------------------------------------------------------------------------------------------


def test_what_hangs_by_an_edge_is_left_out_and_told() -> None:
    body = np.zeros((12, 12, 12), bool)
    body[2:10, 2:10, 2:10] = True
    body[10:12, 10:12, 2:4] = True  # shares an edge only
    own = built(body, ends=Ends.EMBEDDED)
    assert own.solid.shape == (8, 8, 8)
    (finding,) = own.findings
    assert finding.text == "8 mm³ of bone (1.5 %) hangs loose and is left out of the model"
    assert finding.severity is Severity.CAUTION


def test_a_hole_in_the_label_is_bone_as_dense_as_the_scan_and_told() -> None:
    """A lesion that the label leaves out of the body."""
    anatomy = patient()
    whole = anatomy.vertebra("L1")
    points = whole.mask.world_mm(np.moveaxis(np.indices(whole.mask.shape), 0, -1))
    ball = np.linalg.norm(points - whole.frame.origin_mm, axis=-1) <= 6.0
    mask, parts = whole.mask.array & ~ball, np.where(ball, Part.NONE, whole.parts.array).astype(np.uint8)
    holed = replace(whole, mask=replace(whole.mask, array=mask), parts=replace(whole.parts, array=parts))
    own = bone_model(replace(anatomy, vertebrae={Level.L1: holed}), "L1", calibration=LINE, spacing_mm=2.0)
    assert np.array_equal(own.solid.material, model().solid.material)
    assert np.array_equal(own.density_g_cc, model().density_g_cc)
    (finding,) = (f for f in own.findings if "holes" in f.text)
    assert finding.severity is Severity.CAUTION
    assert "L1 has holes of 0.9 ml" in finding.text


def test_what_cannot_be_a_model_is_refused() -> None:
    body = np.ones((4, 4, 4), bool)
    with pytest.raises(ValueError, match="no bone in the box: no voxel is body, pedicle left"):
        built(~body)
    with pytest.raises(ValueError, match="no voxel is arch"):
        built(body, keep=(Part.ARCH,))
    with pytest.raises(ValueError, match="law='carter' is not one of kopperdahl-2002-linear"):
        built(body, law="carter")
    holed = np.full((4, 4, 4), 0.2)
    holed[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match=r"voxel \[k, j, i\] = \[1, 2, 3\] is not a number \(1 such"):
        BoneModel.from_density(holed, body * np.uint8(1), (1.0, 1.0, 1.0), level="L1")
    with pytest.raises(ValueError, match="must be one box"):
        BoneModel.from_density(holed, np.ones((4, 4, 5), np.uint8), (1.0, 1.0, 1.0), level="L1")


@pytest.mark.parametrize("spacing_mm", [0.29, 3.1, float("nan")])
def test_a_spacing_out_of_range_is_refused(spacing_mm: float) -> None:
    with pytest.raises(ValueError, match=r"spacing_mm=.* is outside 0\.3 to 3 mm for a bone model"):
        bone_model(patient(), "L1", spacing_mm=spacing_mm)


def test_a_level_that_is_absent_or_cut_is_refused() -> None:
    with pytest.raises(LevelError, match="L4 is not in the labels"):
        bone_model(patient(), "L4")
    cut = replace(patient().vertebrae[Level.L1], whole=False)
    with pytest.raises(LevelError, match="L1 is not whole"):
        bone_model(replace(patient(), vertebrae={Level.L1: cut}), "L1")


# --- real scans ------------------------------------------------------------------------------------------------------


def test_a_real_vertebra_keeps_its_volume_and_its_numbers(shared_data: Path) -> None:
    anatomy = thoracolumbar(shared_data)
    own, label = bone_model(anatomy, "L1"), anatomy.vertebra("L1").body
    assert own.body.sum() / 1000.0 == pytest.approx(label.array.sum() * label.voxel_ml, rel=0.03)
    assert 100.0 < np.median(own.solid.modulus_mpa[own.body]) < 1500.0
    assert own.tissue(Tissue.CAP)[-1].sum() > 0.8 * own.body.any(axis=0).sum()


def published_l2(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Density in g/cc and the published labels, ``[k, j, i]`` with k up, j to the back and i to the left."""
    image, label = (nibabel.load(folder / f"L2_{n}.nii.gz") for n in ("im", "seg"))
    density, kinds = (np.asarray(x.dataobj).transpose(2, 1, 0) for x in (image, label))
    return density[:, ::-1] / 1000.0, kinds[:, ::-1]


def test_moulded_caps_lie_where_the_published_model_has_its_discs(shared_data: Path) -> None:
    density, kinds = published_l2(shared_data / "bonelab_verse004_L2")
    parts = np.select([np.isin(kinds, (1, 2)), np.isin(kinds, (3, 4))], [Part.BODY, Part.ARCH], Part.NONE)
    discs = np.isin(kinds, (5, 6))
    own = BoneModel.from_density(density, parts, (1.0, 1.0, 1.0), level="L2")
    given = BoneModel.from_density(density, parts, (1.0, 1.0, 1.0), level="L2", caps=discs)
    assert given.tissue(Tissue.CAP).sum() == discs.sum()
    assert given.tissue(Tissue.BONE).sum() == own.tissue(Tissue.BONE).sum()
    where = own.volume(own.tissue(Tissue.CAP), "mask").onto(given.volume(given.solid.filled, "mask")).array
    theirs = given.tissue(Tissue.CAP)
    assert 2.0 * (where & theirs).sum() / (where.sum() + theirs.sum()) > 0.85


def test_a_volume_of_the_model_lies_in_the_patient() -> None:
    own = model()
    assert isinstance(own.volume(own.density_g_cc, "g/cc"), Volume)
    middle = own.volume(own.body, "mask").points_mm().mean(axis=0)
    assert np.linalg.norm(middle - patient().vertebra("L1").frame.origin_mm) < 4.0
