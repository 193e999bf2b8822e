"""The main job on real scans, measured anew from the masks: nothing here believes the planner's own words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

import trocar
from trocar.anatomy.patient import Anatomy
from trocar.geometry import Side
from trocar.planning.trajectory import Trajectory
from trocar.procedures.vertebroplasty import Vertebroplasty
from trocar.treatment import Plan

LIDC_LEVELS = ("T9", "T10", "T11", "T12", "L1")
LUMBAR_LEVELS = ("L1", "L2", "L3", "L4", "L5")

#: TotalSegmentator numbers, by version, of what no needle may touch, and of the vertebrae.
FORBIDDEN = {
    "totalseg-v1": {"kidney": (2, 3), "aorta": (7,), "inferior vena cava": (8,), "lung": (13, 14, 15, 16, 17)},
    "totalseg-v2": {
        "kidney": (2, 3),
        "lung": (10, 11, 12, 13, 14),
        "aorta": (52,),
        "inferior vena cava": (63,),
        "spinal cord": (79,),
    },
}
VERTEBRAE = {"totalseg-v1": range(18, 42), "totalseg-v2": range(26, 51)}


class Mask:
    """A label file read by SimpleITK alone, and asked by position."""

    def __init__(self, path: Path) -> None:
        image = sitk.ReadImage(str(path))
        self.array = np.rint(sitk.GetArrayFromImage(image)).astype(int)
        self.spacing = np.array(image.GetSpacing())
        steps = np.array(image.GetDirection()).reshape(3, 3) * self.spacing
        self.inverse = np.linalg.inv(steps)
        self.origin = np.array(image.GetOrigin())

    def at(self, points: np.ndarray, array: np.ndarray) -> np.ndarray:
        """The value of the voxel box that each LPS point lies in; 0 outside the image."""
        ijk = np.rint((points - self.origin) @ self.inverse.T).astype(int)
        inside = np.all((ijk >= 0) & (ijk < array.shape[::-1]), axis=1)
        out = np.zeros(len(points), dtype=array.dtype)
        i, j, k = ijk[inside].T
        out[inside] = array[k, j, i]
        return out

    def canal(self, vertebrae: range) -> np.ndarray:
        """The hole in the bony ring: axial slice by slice, gaps up to 6 mm closed, holes of 60 to 900 mm² kept."""
        bone = np.isin(self.array, vertebrae)
        pixel = float(self.spacing[0])
        reach = max(1, round(3.0 / pixel))
        y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
        disc = x * x + y * y <= reach * reach
        canal = np.zeros_like(bone)
        for k in np.flatnonzero(bone.any(axis=(1, 2))):
            padded = np.pad(bone[k], reach + 1)
            closed = ndimage.binary_closing(padded, disc)[reach + 1 : -reach - 1, reach + 1 : -reach - 1]
            holes, n = ndimage.label(ndimage.binary_fill_holes(closed) & ~closed)
            area = ndimage.sum_labels(np.ones_like(holes), holes, range(1, n + 1)) * pixel * pixel
            canal[k] = np.isin(holes, 1 + np.flatnonzero((area >= 60.0) & (area <= 900.0)))
        return canal


def cylinder(t: Trajectory) -> np.ndarray:
    """Points that fill the needle from skin to tip, at most 0.35 mm apart."""
    axis = (t.target_mm - t.skin_mm) / np.linalg.norm(t.target_mm - t.skin_mm)
    across = np.linalg.svd(axis[None])[2][1:]
    depth = np.arange(0.0, t.length_mm + 1e-9, 0.3)
    turn = np.linspace(0.0, 2.0 * np.pi, 36, endpoint=False)
    radius = t.instrument.outer_diameter_mm / 2.0 * np.array([0.25, 0.5, 0.75, 1.0])
    ring = np.concatenate([[[0.0, 0.0]], *[r * np.column_stack([np.cos(turn), np.sin(turn)]) for r in radius]])
    return (t.skin_mm + depth[:, None, None] * axis + (ring @ across)[None]).reshape(-1, 3)


def one_sided(plan: Plan, side: Side) -> list[Trajectory]:
    return [o.trajectories[0] for o in plan.options if len(o.trajectories) == 1 and o.trajectories[0].side is side]


@pytest.fixture(scope="module")
def lidc(shared_data: Path) -> Anatomy:
    ct = trocar.read_ct(shared_data / "lidc0001" / "lidc0001_lower_dicom.zip")
    mask = shared_data / "lidc0001" / "lidc0001_lower_totalseg_mask.nii.gz"
    return trocar.read_anatomy(mask, on=ct, scheme="totalseg-v2")


@pytest.fixture(scope="module", params=["totalseg-v1", "totalseg-v2"])
def lumbar(request: pytest.FixtureRequest, shared_data: Path) -> Anatomy:
    ct = trocar.read_ct(shared_data / "ts_example" / "example_ct.nii.gz")
    return trocar.read_anatomy(shared_data / "ts_example" / LUMBAR_MASK[request.param], on=ct, scheme=request.param)


LUMBAR_MASK = {
    "totalseg-v1": "example_seg_full_v1labels.nii.gz",
    "totalseg-v2": "totalseg_vertebrae_v2labels.nii.gz",
}


def check_every_path(plan: Plan, mask: Mask, scheme: str) -> None:
    canal = mask.canal(VERTEBRAE[scheme])
    assert canal.sum() * np.prod(mask.spacing) > 5000.0  # the recipe found a canal: it is no empty check
    for side in Side:
        assert one_sided(plan, side), f"no one-sided path from the {side.value} at {plan.procedure.level}"
    for option in plan.options:
        for t in option.trajectories:
            points = cylinder(t)
            assert not mask.at(points, canal).any(), f"{option.name} touches the canal at {t.level}"
            touched = mask.at(points, mask.array)
            for name, numbers in FORBIDDEN[scheme].items():
                assert not np.isin(touched, numbers).any(), f"{option.name} touches {name} at {t.level}"
            own = mask.at(t.target_mm[None], mask.array)[0]
            assert own in VERTEBRAE[scheme], "the tip is not in a vertebra"


@pytest.mark.parametrize("level", LIDC_LEVELS)
def test_every_side_of_the_thoracolumbar_scan_has_a_path_that_touches_nothing(
    lidc: Anatomy, shared_data: Path, level: str
) -> None:
    mask = Mask(shared_data / "lidc0001" / "lidc0001_lower_totalseg_mask.nii.gz")
    check_every_path(trocar.plan(lidc, Vertebroplasty(level=level)), mask, "totalseg-v2")


@pytest.mark.parametrize("level", LUMBAR_LEVELS)
def test_every_side_of_the_coarse_lumbar_scan_has_a_path_that_touches_nothing(
    lumbar: Anatomy, shared_data: Path, level: str
) -> None:
    mask = Mask(shared_data / "ts_example" / LUMBAR_MASK[lumbar.scheme])
    check_every_path(trocar.plan(lumbar, Vertebroplasty(level=level)), mask, lumbar.scheme)


def test_what_the_labels_lack_is_not_checked(lumbar: Anatomy) -> None:
    plan = trocar.plan(lumbar, Vertebroplasty(level="L3"))
    assert "spinal_cord" in plan.not_checked
    lacking_vessels = lumbar.scheme == "totalseg-v2"  # that file holds vertebrae alone
    assert ("aorta" in plan.not_checked) == lacking_vessels
    checked = {c.structure for o in plan.options for t in o.trajectories for c in t.clearances}
    assert not checked & set(plan.not_checked)


def test_the_entry_a_finger_finds_lies_where_200_patients_have_it(lumbar: Anatomy) -> None:
    """C07, C08. Bone entry to midline 20.6 ± 2.0 mm at L1 to 29.8 ± 2.9 mm at L5, 200 CTs, one-sided."""
    aside = []
    for level in LUMBAR_LEVELS:
        vertebra = lumbar.vertebra(level)
        found = [vertebra.frame.to_local(vertebra.landmarks[f"articular_transverse_junction_{s.value}"]) for s in Side]
        left, right = found
        assert abs(left[1] - right[1]) < 6.0  # as deep on either side, within two voxels
        aside.append((left[0] - right[0]) / 2.0)
    expected = np.linspace(20.6, 29.8, 5)
    assert np.all(np.abs(np.array(aside) - expected) < 3.0 * np.linspace(2.0, 2.9, 5))
    assert aside[-1] > aside[0] + 5.0


def without(labels: Path, numbers: tuple[int, ...], to: Path) -> Path:
    """The label file with some structures erased."""
    image = sitk.ReadImage(str(labels))
    array = sitk.GetArrayFromImage(image)
    array[np.isin(array, numbers)] = 0
    erased = sitk.GetImageFromArray(array)
    erased.CopyInformation(image)
    sitk.WriteImage(erased, str(to))
    return to


def touched(plan: Plan, mask: Mask, numbers: tuple[int, ...]) -> int:
    """Points of any path's cylinder in voxels of these numbers."""
    paths = [t for option in plan.options for t in option.trajectories]
    return sum(int(np.isin(mask.at(cylinder(t), mask.array), numbers).sum()) for t in paths)


@pytest.mark.parametrize("level", ["T12", "T11"])
def test_half_a_lung_that_no_label_names_is_not_pierced(shared_data: Path, tmp_path: Path, level: str) -> None:
    """Both lower lobes erased: the upper ones still make "lung_left" and "lung_right"."""
    whole = shared_data / "lidc0001" / "lidc0001_lower_totalseg_mask.nii.gz"
    ct = trocar.read_ct(shared_data / "lidc0001" / "lidc0001_lower_dicom.zip")
    half = trocar.read_anatomy(without(whole, (11, 14), tmp_path / "half.nii.gz"), on=ct, scheme="totalseg-v2")
    plan = trocar.plan(half, Vertebroplasty(level=level))
    assert touched(plan, Mask(whole), (10, 11, 12, 13, 14)) == 0
    assert any("in no label" in f.text for f in plan.findings)


def test_hip_bones_that_no_label_names_are_not_pierced(shared_data: Path) -> None:
    """Vertebrae alone are labelled; hips (90, 91) and sacrum (92) are looked up in the full file of version 1."""
    folder = shared_data / "ts_example"
    ct = trocar.read_ct(folder / "example_ct.nii.gz")
    bare = trocar.read_anatomy(folder / LUMBAR_MASK["totalseg-v2"], on=ct, scheme="totalseg-v2")
    plan = trocar.plan(bare, Vertebroplasty(level="L5"))
    assert {"hip_left", "hip_right"} <= set(plan.not_checked)
    full = Mask(folder / LUMBAR_MASK["totalseg-v1"])
    paths = [t for o in plan.options for t in o.trajectories]
    axes = [t.skin_mm + np.arange(0.0, t.skin_to_bone_mm, 0.25)[:, None] * t.direction for t in paths]
    assert not any(np.isin(full.at(points, full.array), (90, 91)).any() for points in axes)
