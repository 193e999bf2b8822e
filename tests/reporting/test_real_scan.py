"""Pictures of a real, feet-first scan: organs lie where a radiologist expects them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from trocar.anatomy.labels import Labels
from trocar.anatomy.levels import Level
from trocar.io.ct import read_ct
from trocar.io.labels import read_labels
from trocar.reporting.figures import contours, ct_pixels
from trocar.reporting.views import View, orthogonal
from trocar.volume import Volume


@pytest.fixture(scope="module")
def patient(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Volume, Labels]:
    """LIDC-IDRI-0001 (TCIA, CC BY 3.0) with its TotalSegmentator mask, stored in another row order."""
    folder = shared_data / "lidc0001"
    scan = tmp_path_factory.mktemp("lidc0001")
    zipfile.ZipFile(folder / "lidc0001_lower_dicom.zip").extractall(scan)
    ct = read_ct(scan)
    return ct, read_labels([folder / "lidc0001_lower_totalseg_mask.nii.gz"], ct, ["totalseg-v2"])


def _panel(patient: tuple[Volume, Labels], number: int, through_mm: np.ndarray) -> View:
    """A wide axial (0), sagittal (1) or coronal (2) panel through a point, centred on T12 otherwise."""
    spine = patient[1].vertebrae[Level.T12].points_mm().mean(axis=0)
    view = orthogonal(spine)[number]
    centre = spine + view.normal * float(view.normal @ (through_mm - spine))
    return View(view.name, view.title, centre, view.right, view.down, 340.0)


def _middle(patient: tuple[Volume, Labels], name: str, number: int) -> np.ndarray:
    """Where a structure lies on a panel through itself: mm to the right of and below the spine."""
    mask = patient[1].structures[name]
    return np.concatenate(contours(mask, _panel(patient, number, mask.points_mm().mean(axis=0)))).mean(axis=0)


@pytest.mark.parametrize("number", [0, 2], ids=["axial", "coronal"])
def test_the_liver_is_on_the_left_of_the_image_and_the_spleen_on_the_right(patient, number):
    assert _middle(patient, "liver", number)[0] < -30.0
    assert _middle(patient, "spleen", number)[0] > 30.0


def test_the_aorta_is_above_the_spine_in_the_axial_and_left_of_it_in_the_sagittal_image(patient):
    assert _middle(patient, "aorta", 0)[1] < -20.0
    assert _middle(patient, "aorta", 1)[0] < -20.0


@pytest.mark.parametrize("number", [1, 2], ids=["sagittal", "coronal"])
def test_the_lung_is_above_the_kidney(patient, number):
    assert _middle(patient, "lung_left", number)[1] < _middle(patient, "kidney_left", number)[1] - 20.0


def test_image_and_labels_agree_on_the_panel(patient):
    """They come from two files of different row order: inside its outline the lung is dark, the aorta is not."""
    ct, labels = patient
    for name, low, high in (("lung_left", 0, 30), ("aorta", 80, 160)):
        mask = labels.structures[name]
        view = _panel(patient, 0, mask.points_mm().mean(axis=0))
        inside = mask.sample(view.points_mm(170)) > 0.99
        assert inside.sum() > 50
        assert low <= np.median(ct_pixels(ct, view, 170)[inside]) <= high
