"""On a real patient: the liver is on the right, spleen and stomach on the left, in every view and position."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from trocar.guidance.carm import CArm, Detector
from trocar.guidance.carm_position import PatientPosition, RoomAngles, about_patient
from trocar.physics.xray import line_integrals
from trocar.volume import Volume

#: TotalSegmentator's numbers, version 2.
ORGANS = {"spleen": (1,), "liver": (5,), "heart": (51,), "T12": (32,), "sternum": (116,)}


@pytest.fixture(scope="module")
def organs(shared_data: Path) -> dict[str, Volume]:
    """Masks on every second voxel, placed by SimpleITK alone."""
    image = sitk.ReadImage(str(shared_data / "lidc0001" / "lidc0001_lower_totalseg_mask.nii.gz"))
    image = image[::2, ::2, :]
    labels = sitk.GetArrayFromImage(image)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    masks = {name: np.isin(labels, numbers).astype(np.float32) for name, numbers in ORGANS.items()}
    assert all(mask.any() for mask in masks.values())
    return {name: Volume(mask, affine, None, "mask") for name, mask in masks.items()}


@pytest.fixture(scope="module")
def ap(organs: dict[str, Volume]) -> CArm:
    """About the twelfth thoracic vertebra, detector in front."""
    spine = organs["T12"]
    kji = np.argwhere(spine.array).mean(axis=0)
    return CArm((spine.affine @ (*kji[::-1], 1.0))[:3], detector=Detector(128, 128, 4.0, 4.0))


def middles(organs: dict[str, Volume], view: CArm) -> dict[str, np.ndarray]:
    """Row and column of the middle of each organ's shadow."""
    found = {}
    for name, mask in organs.items():
        shadow = line_integrals(mask.array, mask.spacing_mm, view.beam(mask))
        rows, columns = np.indices(shadow.shape)
        found[name] = np.array(((rows * shadow).sum(), (columns * shadow).sum())) / shadow.sum()
    return found


#: What lies further right on the image, and what is higher up, in each view.
@pytest.mark.parametrize(
    ("angles", "from_left"),
    [
        ((0.0, 0.0), ["liver", "T12", "spleen"]),
        ((180.0, 0.0), ["spleen", "T12", "liver"]),
        ((90.0, 0.0), ["sternum", "heart", "T12"]),
        ((-90.0, 0.0), ["T12", "heart", "sternum"]),
        ((25.0, 15.0), ["liver", "T12", "spleen"]),
    ],
)
def test_organs_lie_where_they_do_in_this_patient(
    organs: dict[str, Volume], ap: CArm, angles: tuple[float, float], from_left: list[str]
) -> None:
    view = replace(ap, primary_angle_deg=angles[0], secondary_angle_deg=angles[1])
    seen = middles(organs, view)
    columns = [seen[name][1] for name in from_left]
    assert all(b - a > 5.0 for a, b in pairwise(columns))
    assert seen["heart"][0] < seen["T12"][0] - 5.0


def test_prone_with_the_detector_above_has_the_liver_on_the_images_right(organs: dict[str, Volume], ap: CArm) -> None:
    """As the operator stands behind the patient's back."""
    seen = middles(organs, about_patient(ap, RoomAngles(0.0, 0.0), PatientPosition.HFP))
    assert seen["liver"][1] > seen["T12"][1] + 5.0 > seen["spleen"][1] + 10.0
    assert seen["heart"][0] < seen["T12"][0]


def test_feet_first_on_an_unturned_detector_has_the_feet_up(organs: dict[str, Volume], ap: CArm) -> None:
    seen = middles(organs, about_patient(ap, RoomAngles(0.0, 0.0), PatientPosition.FFS))
    assert seen["heart"][0] > seen["T12"][0]
    assert seen["liver"][1] > seen["T12"][1] > seen["spleen"][1]
