"""The division of a vertebra: body, pedicles, arch and canal lie where they were put."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label

from trocar.anatomy.labels import split
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import build_anatomy
from trocar.anatomy.reading import measure_vertebra
from trocar.anatomy.schemes import scheme
from trocar.anatomy.vertebra import Part, Vertebra
from trocar.geometry import Side
from trocar.volume import Volume

from .block_vertebra import BlockVertebra, turned
from .vertebra_cases import RUNS, read_phantom, read_scan, spec


def read(shape: BlockVertebra) -> Vertebra:
    """The block vertebra in a scan that is much larger than it: bone 500 HU, else -50 HU."""
    bone = shape.bone()
    pad = np.pad(bone.mask.array, 30)
    affine = bone.mask.affine.copy()
    affine[:3, 3] = bone.mask.world_mm((-30, -30, -30))
    ct = Volume(np.where(pad, 500.0, -50.0).astype(np.float32), affine)
    return measure_vertebra(bone, ct).vertebra


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (12.0, -8.0, 10.0), (-18.0, 6.0, -9.0)])
def test_the_parts_of_a_block_vertebra(turn: tuple[float, float, float]) -> None:
    """Every voxel more than a voxel away from the borders between parts has the part it was drawn as."""
    shape = BlockVertebra(pose=turned(turn))
    found = read(shape)
    assert found.whole
    assert found.how == "derived"
    local = shape.pose.to_local(found.mask.world_mm(np.indices(found.mask.shape).reshape(3, -1).T))
    parts, bone = found.parts.array.ravel(), found.mask.array.ravel()
    x, y, z = local.T
    body = bone & (np.abs(y) < shape.wall - 1.5) & (np.abs(x) < 18.5)
    assert np.all(parts[body] == Part.BODY)
    behind = bone & (y > shape.wall + 20.0)
    assert np.all(parts[behind] == Part.ARCH)
    for side, part in ((Side.LEFT, Part.PEDICLE_LEFT), (Side.RIGHT, Part.PEDICLE_RIGHT)):
        near = bone & (np.abs(y - shape.wall - 7.0) < 1.5) & (side.sign * x > 0)
        assert near.sum() > 100
        assert np.mean(parts[near] == part) > 0.97
    canal = (np.abs(x) < 7.0) & (y > shape.wall + 1.5) & (y < shape.wall + 18.5) & (np.abs(z) < 8.0)
    assert np.all(parts[canal & ~bone] == Part.CANAL)
    assert not np.any(bone & (parts == Part.CANAL))
    assert not np.any(~bone & (parts != Part.CANAL) & (parts != Part.NONE))
    assert not np.any((parts == Part.CANAL) & ((y < shape.wall - 2.0) | (np.abs(x) > 16.0)))


@pytest.mark.parametrize("run", RUNS, ids=lambda r: f"{r[0]}-{r[-1]}")
def test_the_parts_of_the_phantom(run: tuple[str, ...]) -> None:
    """Body in front of the posterior wall, the true isthmus in its pedicle, the true canal's axis in the canal."""
    drawn, anatomy = read_phantom(spec(*run))
    for level in drawn.spec.levels:
        truth, found = drawn.truth.vertebrae[level], anatomy.vertebra(level)
        wall = 0.25 * (truth.morphometry.upper_depth_mm + truth.morphometry.lower_depth_mm)
        body = truth.frame.to_local(found.body.points_mm())
        assert np.mean(body[:, 1] > wall + 1.5) < 0.01
        assert np.abs(np.mean(body, axis=0)).max() < 2.0
        size = np.ptp(body, axis=0)
        assert size[0] == pytest.approx(truth.morphometry.upper_width_mm, rel=0.4)
        for side, part in ((Side.LEFT, Part.PEDICLE_LEFT), (Side.RIGHT, Part.PEDICLE_RIGHT)):
            pedicle = found.part(part)
            assert pedicle.sample(truth.pedicles[side].axis.point_mm, order=0) == 1.0
            assert np.all(side.sign * truth.frame.to_local(pedicle.points_mm())[:, 0] > 0)
        middle = truth.frame.to_world(np.array([0.0, wall + 0.5 * truth.morphometry.canal_depth_mm, 0.0]))
        assert found.canal.sample(middle, order=0) == 1.0


def test_a_labelled_body_is_used() -> None:
    """Voxels that a label file calls body are body, and the rest of the bone is not."""
    drawn, derived = read_phantom(spec("L1", "L2", "L3"))
    labels = split(drawn.labels, scheme("totalseg-v2"))
    own = derived.vertebra("L2").body
    trimmed = replace(own, array=own.array & (np.arange(own.shape[2]) % 7 > 0))
    labelled = replace(labels, subregions={"body": trimmed})
    found = build_anatomy(drawn.ct, labelled)
    assert found.vertebra("L2").how == "labelled"
    body = found.vertebra("L2").body.array
    pedicles = found.vertebra("L2").part(Part.PEDICLE_LEFT, Part.PEDICLE_RIGHT).array
    assert np.array_equal(body, trimmed.array & ~pedicles)
    assert found.vertebra("L1").how == "derived"


def test_a_labelled_body_of_another_bone_is_not_used() -> None:
    drawn, derived = read_phantom(spec("L1", "L2", "L3"))
    labels = replace(split(drawn.labels, scheme("totalseg-v2")), subregions={"body": derived.vertebra("L1").body})
    found = build_anatomy(drawn.ct, labels)
    assert found.vertebra("L1").how == "labelled"
    assert found.vertebra("L3").how == "derived"


def test_parts_of_every_whole_level_are_one_piece(shared_data: Path) -> None:
    """On the chest scan: one body, one pedicle a side, each a single piece but for crumbs."""
    anatomy = read_scan(shared_data, "chest")[1]
    assert set(anatomy.whole_levels) == {Level.T9, Level.T10, Level.T11, Level.T12, Level.L1, Level.L2}
    for level in anatomy.whole_levels:
        found = anatomy.vertebra(level)
        for part in (Part.BODY, Part.PEDICLE_LEFT, Part.PEDICLE_RIGHT, Part.CANAL):
            region, _ = label(found.part(part).array, np.ones((3, 3, 3)))
            sizes = np.bincount(region.ravel())[1:]
            assert sizes.max() > 0.97 * sizes.sum(), (level, part)
        body = found.body.array.sum() * found.mask.voxel_ml
        pedicles = found.part(Part.PEDICLE_LEFT, Part.PEDICLE_RIGHT).array.sum() * found.mask.voxel_ml
        assert 8.0 < body < 60.0
        assert 0.02 * body < pedicles < 0.25 * body
