"""What stands behind a vertebra: the patient but for what moves, and left out where the image denies it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fluoroscopy_cases as fluoroscopy
import numpy as np
import pytest
from test_registration_parts import AT_REST, CENTRE, DETECTOR, VIEWS, bone

from trocar.guidance.articulation import alone, articulate, backed
from trocar.guidance.backdrop import AIR_HU, BESIDE_MM, DENSEST_HU, PER_MM_HU
from trocar.guidance.bone_parts import BonePart, BoneParts, bone_parts
from trocar.guidance.carm import CArm
from trocar.guidance.edge_view import EdgeView, Window, edge_view
from trocar.guidance.frames import Frame, Intensity
from trocar.guidance.rigid_motion import shift
from trocar.volume import Volume


@pytest.fixture(scope="module")
def parts(shared_data: Path) -> BoneParts:
    anatomy = fluoroscopy.scanned("ts_example", shared_data)
    return bone_parts(anatomy, anatomy.vertebra("L3"))


def test_the_vertebrae_and_the_rest_make_up_the_patient(parts: BoneParts, shared_data: Path) -> None:
    anatomy = fluoroscopy.scanned("ts_example", shared_data)
    ct, rest = anatomy.ct, parts.rest.volume
    whole = (np.clip(ct.array, AIR_HU, DENSEST_HU) - AIR_HU) * PER_MM_HU * anatomy.skin.array
    for part in (parts.own, *parts.neighbours):
        size = np.array(part.volume.shape)
        inner = [part.volume.world_mm(corner) for corner in ((0, 0, 0), size - 1)]
        (a, b), (c, d) = (np.rint([v.index_kji(p) for p in inner]).astype(int) for v in (ct, rest))
        of_ct, of_rest = (tuple(slice(x, y + 1) for x, y in zip(*e, strict=True)) for e in ((a, b), (c, d)))
        left = whole[of_ct] - rest.array[of_rest]
        assert (left - part.volume.array).min() > -1e-6
        assert (left - part.volume.array)[part.volume.array > 0].max() < 1e-2


def test_the_last_slices_go_on_beyond_the_scan(shared_data: Path) -> None:
    anatomy = fluoroscopy.scanned("ts_example", shared_data)
    last = bone_parts(anatomy, anatomy.vertebra("L5")).rest.volume
    heights = last.world_mm([(0, 0, 0), (last.shape[0] - 1, 0, 0)])[:, 2]
    at = anatomy.vertebra("L5").mask.points_mm()[:, 2]
    assert heights.min() <= at.min() - BESIDE_MM
    assert heights.max() >= at.max() + BESIDE_MM


def blobs(seed: int) -> BonePart:
    """A patient of random blobs, 4 mm voxels."""
    rng = np.random.default_rng(seed)
    affine = np.diag((4.0, 4.0, 4.0, 1.0))
    affine[:3, 3] = -80.0
    mu = np.kron(rng.uniform(0.0, 0.01, (10, 10, 10)), np.ones((4, 4, 4)))
    return BonePart(Volume(mu.astype(np.float32), affine, unit="/mm"), CENTRE)


def views(parts: list[BonePart], places: list) -> list[EdgeView]:
    """Images of some parts at their places."""
    out = []
    for angles in VIEWS:
        arm = CArm(CENTRE, *angles, detector=DETECTOR)
        shape = DETECTOR.shape
        blank = EdgeView(arm, np.zeros((2, *shape), np.float32), np.ones(shape, np.float32), np.zeros(()))
        dense = sum(blank.shadow(p.volume, place, Window(0, 0, *shape)) for p, place in zip(parts, places, strict=True))
        frame = Frame(0, 0.0, "drawn", dense.astype(np.float32), arm, Intensity.LOG)
        out.append(edge_view(frame, arm, np.ones(shape, bool), 2.0))
    return out


def only_bone(rest: BonePart) -> BoneParts:
    nothing = replace(bone().volume, array=np.zeros_like(bone().volume.array))
    return BoneParts(None, bone(), (), BonePart(nothing, CENTRE), bone(), rest)  # type: ignore[arg-type]


def test_the_rest_that_the_image_shows_is_put_in_place_and_the_vertebra_found_before_it() -> None:
    rest, bones = blobs(1), only_bone(blobs(1))
    breath = shift((0.0, 0.0, 2.0))
    seen = views([bone(), rest], [AT_REST, breath])
    bare = articulate(seen, bones, alone(seen, bones, AT_REST))
    found = backed(seen, bones, bare, 2)
    assert found.behind is bones.rest
    assert found.own.mean > 0.9 > bare.own.mean
    assert found.others.origin_mm == pytest.approx(breath.origin_mm, abs=0.5)
    assert np.linalg.norm(found.own.displacement.origin_mm) < 0.2


def test_a_rest_that_the_image_denies_is_left_out() -> None:
    bones = only_bone(blobs(2))
    seen = views([bone()], [AT_REST])
    bare = articulate(seen, bones, alone(seen, bones, AT_REST))
    found = backed(seen, bones, bare, 2)
    assert found is bare
