"""Bone and air that no label names, seen by their CT numbers."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.anatomy.labels import Labels
from trocar.anatomy.levels import Level
from trocar.anatomy.unlabelled import AIR, BONE, unlabelled
from trocar.volume import Volume

SHAPE = (24, 90, 90)
PLACE = np.diag([1.5, 1.5, 2.0, 1.0])


def block(low: tuple[int, ...], high: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(SHAPE, dtype=bool)
    out[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return out


BODY = block((0, 5, 5), (24, 85, 85))
VERTEBRA = block((4, 20, 38), (20, 45, 52))
RIB = block((8, 50, 60), (14, 54, 80))
LUNG = block((2, 20, 10), (22, 50, 30))


def seen(hu: np.ndarray, **structures: np.ndarray) -> dict[str, np.ndarray]:
    ct = Volume(hu.astype(np.float32), PLACE)
    masks = {name: Volume(mask, PLACE, unit="mask") for name, mask in structures.items()}
    labels = Labels("own", {Level.L1: Volume(VERTEBRA, PLACE, unit="mask")}, masks)
    found, told = unlabelled(ct, Volume(BODY, PLACE, unit="mask"), labels)
    assert len(found) == len(told)
    return {name: mask.onto(ct).array for name, mask in found.items()}


def scan() -> np.ndarray:
    hu = np.where(BODY, 40.0, -1000.0)
    hu[VERTEBRA], hu[RIB], hu[LUNG] = 300.0, 600.0, -850.0
    return hu


def test_what_is_labelled_is_not_news() -> None:
    assert seen(scan(), rib_left_12=RIB, lung_right=LUNG) == {}


def test_what_no_label_names_is_seen_to_the_voxel() -> None:
    found = seen(scan())
    np.testing.assert_array_equal(found[BONE], RIB)
    np.testing.assert_array_equal(found[AIR], LUNG)


def test_the_missing_half_of_a_lung_is_seen() -> None:
    half = LUNG.copy()
    half[12:] = False
    air = seen(scan(), rib_left_12=RIB, lung_right=half)[AIR]
    assert air[16:22].sum() == LUNG[16:22].sum()
    assert not air[:12].any()


def test_air_around_the_body_and_specks_are_nothing() -> None:
    hu = scan()
    hu[10, 60, 60] = 900.0
    assert seen(hu, rib_left_12=RIB, lung_right=LUNG) == {}


@pytest.mark.parametrize("hu_of_rib", [120.0, 249.0])
def test_soft_bone_falls_through_the_net(hu_of_rib: float) -> None:
    hu = scan()
    hu[RIB] = hu_of_rib
    assert BONE not in seen(hu, lung_right=LUNG)


def test_a_mirrored_scan_shows_the_mirror_image() -> None:
    found = seen(scan()[:, :, ::-1])
    np.testing.assert_array_equal(found[BONE], RIB[:, :, ::-1])
    np.testing.assert_array_equal(found[AIR], LUNG[:, :, ::-1])
