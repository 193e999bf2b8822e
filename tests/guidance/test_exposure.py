"""One exposed image: known shapes give known numbers, and noise is as large as it is said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.geometry import Pose
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.exposure import (
    CEMENT_PER_MM,
    IDEAL,
    WATER_PER_MM,
    Shutters,
    Technique,
    attenuation,
    blur_share,
    exponents,
    expose,
    inverted_untold,
    mirrored_untold,
    soft_per_mm,
)
from trocar.guidance.frames import Intensity
from trocar.guidance.rods import Rod, rod_mm
from trocar.physics.attenuation import CORTICAL_BONE
from trocar.volume import Volume

DETECTOR = Detector(96, 128, 2.0, 2.0)
AP = CArm((0.0, 0.0, 0.0), detector=DETECTOR)
LATERAL = CArm((0.0, 0.0, 0.0), 90.0, detector=DETECTOR)


def water(*holes: tuple[tuple[slice, slice, slice], float]) -> Volume:
    """A block of water, 240 x 120 x 240 mm about the isocentre, with boxes of other HU."""
    hu = np.zeros((120, 60, 120), np.float32)
    for where, value in holes:
        hu[where] = value
    affine = np.diag((2.0, 2.0, 2.0, 1.0))
    affine[:3, 3] = (-119.0, -59.0, -119.0)
    return Volume(hu, affine)


def test_a_slab_of_water_attenuates_as_beers_law_has_it() -> None:
    slab = water((np.s_[:, :1, :], -1000.0), (np.s_[:, -1:, :], -1000.0))  # in air: 58 of its 60 planes are water
    image = expose(slab, AP, IDEAL).image
    pixels = np.stack(np.meshgrid(np.arange(96), np.arange(128), indexing="ij"), axis=-1)
    rays = AP.on_detector_mm(pixels) - AP.source_mm
    path = 116.0 / np.abs(rays[..., 1] / np.linalg.norm(rays, axis=-1))
    inner = np.s_[8:-8, 8:-8]  # rays that leave by the sides are shorter
    passed = np.exp(-WATER_PER_MM * path)
    # float32 line integrals of 60 planes; the exposure is automatic, so that ratios count
    np.testing.assert_allclose(image[inner] / image[48, 64], passed[inner] / passed[48, 64], rtol=1e-4)
    met = exponents(attenuation(slab), AP)
    np.testing.assert_allclose(met[inner], WATER_PER_MM * path[inner], rtol=1e-5)


def test_padding_below_air_is_air() -> None:
    scanned = water((np.s_[:, :10, :], -3024.0))
    np.testing.assert_array_equal(attenuation(scanned).array, attenuation(water((np.s_[:, :10, :], -1000.0))).array)
    assert attenuation(scanned).array.min() == 0.0


def test_attenuation_is_that_of_the_tables() -> None:
    """NISTIR 5632 (Hubbell & Seltzer 1995), 60 keV: water 0.2059 cm2/g, cortical bone 0.3148 at 1.92 g/cm3."""
    hu = np.array([[[-1000.0, 0.0, CORTICAL_BONE.hu()]]], np.float32)
    air, water_, bone = attenuation(Volume(hu, np.eye(4))).array[0, 0]
    assert air == 0.0
    assert water_ == pytest.approx(0.02059, rel=2e-3)
    assert bone == pytest.approx(0.3148 * 0.192, rel=5e-3)
    heavier = attenuation(Volume(hu, np.eye(4)), Technique(bone=1.5)).array[0, 0]
    assert heavier[2] - heavier[1] == pytest.approx(1.5 * (bone - water_), rel=1e-5)
    # barium 8.511, PMMA 0.1924, sulphur and oxygen of the sulphate about 0.25 cm2/g, 1.53 g/cm3
    assert pytest.approx(0.153 * (0.7 * 0.1924 + 0.3 * (0.588 * 8.511 + 0.412 * 0.26)), rel=0.01) == CEMENT_PER_MM


def test_attenuation_refuses_what_is_no_ct() -> None:
    with pytest.raises(ValueError, match="needs HU"):
        attenuation(attenuation(water()))


def test_noise_of_a_flat_field_has_the_mean_and_variance_that_are_stated() -> None:
    flat = Volume(np.full((2, 2, 2), -1000.0, np.float32), np.eye(4))
    technique = Technique(counts=200.0, bits=None, gain=1.0, scatter=0.0)
    view = CArm((500.0, 0.0, 0.0), detector=Detector(400, 400, 1.0, 1.0))  # the volume is out of the field
    image = expose(flat, view, technique, np.random.default_rng(1)).image[4:-4, 4:-4]
    variance = 200.0 * blur_share(technique) + technique.electronic**2
    # 154,000 pixels, correlated over some 6: the variance is known to about 1 %
    assert image.mean() == pytest.approx(200.0, rel=1e-3)
    assert image.var() == pytest.approx(variance, rel=0.03)


def test_scatter_and_shutters_keep_the_exposure() -> None:
    bright = expose(water(), AP, replace(IDEAL, counts=200.0, scatter=1.0, shutters=Shutters.closing(0.3))).image
    opening = Shutters.closing(0.3).opening(DETECTOR.shape)
    assert np.median(bright[opening]) == pytest.approx(200.0, rel=0.02)
    assert (bright[opening].size / bright.size) == pytest.approx(0.7, abs=0.02)
    outside = bright.copy()
    outside[opening] = 0.0
    assert not outside.any()


def test_a_bone_at_rest_changes_nothing_and_a_displaced_one_takes_its_shadow_along() -> None:
    where = np.s_[55:65, 25:35, 55:65]
    bone = water((where, 600.0))
    inside = np.zeros(bone.shape, bool)
    inside[where] = True
    mask = replace(bone, array=inside, unit="mask")
    mu = attenuation(bone)
    still = exponents(mu, AP, moved=((mask, Pose(np.zeros(3), np.eye(3))),))
    np.testing.assert_allclose(still, exponents(mu, AP), atol=1e-4)
    aside = exponents(mu, AP, moved=((mask, Pose(np.array((12.0, 0.0, -8.0)), np.eye(3))),))
    more = aside - exponents(attenuation(water((where, 40.0))), AP)
    rows, columns = np.nonzero(more > 0.15)
    middle = AP.project(mask.points_mm().mean(axis=0) + np.array((12.0, 0.0, -8.0)))
    np.testing.assert_allclose((rows.mean(), columns.mean()), middle, atol=0.5)  # half a pixel


def test_left_is_on_the_right_of_an_image_seen_from_the_front() -> None:
    left = expose(water((np.s_[50:70, 20:40, 90:110], 800.0)), AP, IDEAL).image
    right = expose(water((np.s_[50:70, 20:40, 10:30], 800.0)), AP, IDEAL).image
    assert np.argmin(left[48]) > 64 > np.argmin(right[48])
    np.testing.assert_allclose(left, right[:, ::-1], rtol=1e-4)


def test_steel_is_as_long_as_a_cylinder_across_along_and_oblique() -> None:
    across = rod_mm(Rod((-50.0, 0.0, 0.0), (50.0, 0.0, 0.0), 8.0), AP)
    tube = rod_mm(Rod((-50.0, 0.0, 0.0), (50.0, 0.0, 0.0), 8.0, 6.0), AP)
    # nearest pixels half a spacing from the axis, at the isocentre 1 / magnification of that
    off = 0.5 * 2.0 / AP.magnification
    assert across[47, 64] == pytest.approx(2.0 * np.sqrt(16.0 - off**2), rel=1e-3)
    assert tube[47, 64] == pytest.approx(2.0 * (np.sqrt(16.0 - off**2) - np.sqrt(9.0 - off**2)), rel=1e-3)
    barrel = rod_mm(Rod((0.0, 30.0, 0.0), (0.0, -30.0, 0.0), 20.0), AP)
    assert barrel[47, 63] == pytest.approx(60.0, rel=1e-3)
    turned = rod_mm(Rod((-50.0, -50.0, 0.0), (50.0, 50.0, 0.0), 8.0), AP)
    assert turned[47, 64] == pytest.approx(across[47, 64] / np.sin(np.radians(45.0)), rel=3e-3)


def test_steel_in_the_image_is_its_volume() -> None:
    """A rod's shadow: length of steel times the area of a pixel at the rod adds up to its volume."""
    fine = replace(AP, detector=Detector(256, 512, 0.25, 0.25))
    steel = rod_mm(Rod((-20.0, 0.0, 5.0), (15.0, 0.0, 9.0), 3.0, 2.0), fine)
    area = (0.25 / fine.magnification) ** 2
    volume = np.pi * (1.5**2 - 1.0) * np.hypot(35.0, 4.0)
    # magnification over 3 mm of depth, and rays that are not parallel: below 1 %
    assert steel.sum() * area == pytest.approx(volume, rel=0.01)


def test_a_rod_behind_the_source_is_refused() -> None:
    with pytest.raises(ValueError, match="behind the X-ray source"):
        rod_mm(Rod((0.0, 900.0, 0.0), (0.0, 0.0, 0.0), 3.0), AP)


def test_cement_adds_its_share() -> None:
    filled = np.zeros((120, 60, 120), np.float32)
    filled[55:65, 25:35, 55:65] = 0.5
    share = Volume(filled, water().affine, unit="1")
    plain, more = exponents(attenuation(water()), AP), exponents(attenuation(water()), AP, cement=(share,))
    assert (more - plain)[47, 63] == pytest.approx((CEMENT_PER_MM - soft_per_mm()) * 10.0, rel=0.01)


def test_what_pixels_mean_is_as_told() -> None:
    def seen(intensity: Intensity) -> np.ndarray:
        technique = Technique(intensity=intensity, bits=12, gain=2.0)
        frame = expose(water((np.s_[50:70, 20:40, 50:70], 800.0)), AP, technique)
        assert frame.intensity is intensity
        return frame.image.astype(float)

    for bright in (Intensity.LINEAR, Intensity.LOG_BRIGHT, Intensity.DISPLAYED):
        assert seen(bright)[47, 63] < seen(bright)[47, 20]
    assert seen(Intensity.LOG)[47, 63] > seen(Intensity.LOG)[47, 20]


def test_bad_images_for_tests_are_what_they_say() -> None:
    frame = expose(water((np.s_[50:70, 20:40, 90:110], 800.0)), AP)
    assert np.array_equal(mirrored_untold(frame).image[:, ::-1], frame.image)
    assert np.argmax(inverted_untold(frame).image[48]) == np.argmin(frame.image[48])


@pytest.mark.parametrize(
    "wrong",
    [{"counts": 0.0}, {"scatter": -1.0}, {"hardening": 0.9}, {"blur_px": -1.0}, {"gain": 0.0}, {"bits": 11}],
)
def test_a_technique_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Technique(**wrong)


def test_shutters_that_leave_nothing_open_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing open"):
        Shutters(left=0.6, right=0.4)
    with pytest.raises(ValueError, match="share"):
        Shutters.closing(1.0)


def test_a_bone_outside_the_ct_is_refused() -> None:
    away = Volume(np.ones((3, 3, 3), bool), np.diag((1.0, 1.0, 1.0, 1.0)) + np.eye(4, k=3) * 900.0, unit="mask")
    with pytest.raises(ValueError, match="no voxel"):
        exponents(attenuation(water()), AP, moved=((away, Pose(np.zeros(3), np.eye(3))),))
