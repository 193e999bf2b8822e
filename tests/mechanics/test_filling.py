"""Cement regions: exact volumes, their place, their shell, left and right, and what does not fit."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from trocar.anatomy.vertebra import Part
from trocar.geometry import Side
from trocar.mechanics.filling import SHELL_MM, body_of, central, direction_of, index_mm, inside, one_sided, two_sided
from trocar.mechanics.model import Tissue

from .body_models import block, mirrored, vertebra

KINDS = {
    "central": central,
    "left": lambda m, **v: one_sided(m, Side.LEFT, **v),
    "right": lambda m, **v: one_sided(m, Side.RIGHT, **v),
    "two-sided": two_sided,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("percent", [5.0, 14.0, 30.0])
def test_the_volume_is_met_to_within_one_voxel(kind: str, percent: float) -> None:
    model = vertebra()
    filling = KINDS[kind](model, percent=percent)
    voxel_ml = model.solid.voxel_mm3 / 1000.0
    body_ml = float((model.parts == Part.BODY).sum()) * voxel_ml
    assert filling.region.sum() * voxel_ml == pytest.approx(percent / 100.0 * body_ml, abs=voxel_ml)
    assert filling.ml == pytest.approx(filling.region.sum() * voxel_ml)
    assert filling.percent == pytest.approx(100.0 * filling.ml / body_ml)


@pytest.mark.parametrize("kind", KINDS)
def test_millilitres_and_percent_say_the_same(kind: str) -> None:
    model = vertebra()
    given = KINDS[kind](model, percent=12.0)
    assert np.array_equal(KINDS[kind](model, ml=given.ml).region, given.region)


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_filling_contains_the_smaller_one(kind: str) -> None:
    model = vertebra()
    regions = [KINDS[kind](model, percent=p).region for p in (5.0, 10.0, 20.0, 30.0)]
    assert all(not (a & ~b).any() for a, b in pairwise(regions))


@pytest.mark.parametrize("kind", KINDS)
def test_the_shell_stays_free(kind: str) -> None:
    model = vertebra(mm=1.0)
    region = KINDS[kind](model, percent=30.0).region
    body = model.parts == Part.BODY
    to_surface = distance_transform_edt(body) - 0.5
    assert to_surface[region].min() > SHELL_MM
    assert to_surface[body].min() == 0.5


def test_where_each_kind_lies() -> None:
    """The middle third of the depth from the front, the midline or half-way to the wall, the body's mid height."""
    model = vertebra(mm=1.0)
    middle = {kind: np.argwhere(make(model, percent=4.0).region).mean(axis=0) for kind, make in KINDS.items()}
    first, last = (f(np.argwhere(body_of(model)), axis=0) for f in (np.min, np.max))
    depth = first[1] - 0.5 + (last[1] - first[1] + 1) / 3.0
    midline, half = 0.5 * (first[2] + last[2]), 0.5 * (last[2] - first[2] + 1)
    for kind, aside in (("central", 0.0), ("left", 0.5), ("right", -0.5), ("two-sided", 0.0)):
        assert middle[kind][0] == pytest.approx(0.5 * (first[0] + last[0]), abs=0.3)
        # in front the ellipse narrows, so that the shell pushes a little backwards and inwards
        assert middle[kind][1] == pytest.approx(depth, abs=1.2)
        assert middle[kind][2] == pytest.approx(midline + aside * half, abs=1.5)


@pytest.mark.parametrize("percent", [3.0, 10.0, 30.0])
def test_left_mirrors_right(percent: float) -> None:
    model = vertebra()
    other = mirrored(model)
    for kind, opposite in (("central", "central"), ("two-sided", "two-sided"), ("left", "right")):
        here = KINDS[kind](model, percent=percent).region
        there = KINDS[opposite](other, percent=percent).region
        assert np.array_equal(here[:, :, ::-1], there)


def test_two_sided_is_the_two_lobes() -> None:
    model = vertebra()
    left, right = (one_sided(model, s, percent=4.0).region for s in (Side.LEFT, Side.RIGHT))
    assert np.array_equal(two_sided(model, percent=8.0).region, left | right)


def test_a_place_and_a_way_are_the_same_wherever_the_model_lies_in_the_patient() -> None:
    """A model turned by 30 degrees in the patient: places and ways of its own stay what they are."""
    model = block((20, 30, 30))
    angle = np.radians(30.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, (5.0, -70.0, 400.0)
    turned = replace(model, affine=affine)
    place, way = np.array([9.0, 12.0, 10.0]), np.array([0.0, 0.6, 0.8])
    assert index_mm(model, place) == pytest.approx([10.5, 12.5, 9.5])
    assert index_mm(turned, turn @ place + affine[:3, 3]) == pytest.approx([10.5, 12.5, 9.5])
    assert direction_of(turned, turn @ way) == pytest.approx([0.8, 0.6, 0.0])


def test_a_cavity_can_be_filled() -> None:
    """Cement may lie where the bone was taken out: the body's place counts, not what is left in it."""
    model = vertebra()
    tissue = np.where(inside(model, 8.0), int(Tissue.VOID), model.solid.material)
    hollow = replace(model, solid=replace(model.solid, material=tissue))
    assert np.array_equal(central(hollow, percent=10.0).region, central(model, percent=10.0).region)


@pytest.mark.parametrize(
    ("volume", "says"),
    [
        ({}, "either in ml or in percent"),
        ({"ml": 2.0, "percent": 10.0}, "either in ml or in percent"),
        ({"ml": -1.0}, "must be positive"),
        ({"percent": float("nan")}, "must be positive"),
        ({"percent": 95.0}, "holds up to"),
        ({"ml": 2.0, "shell_mm": 15.0}, "thinner shell"),
        ({"ml": 2.0, "shell_mm": -1.0}, "zero or more"),
    ],
)
def test_what_cannot_be_filled_is_refused(volume: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        central(vertebra(), **volume)


def test_a_model_without_a_body_is_refused() -> None:
    model = vertebra()
    with pytest.raises(ValueError, match="no vertebral body"):
        central(replace(model, parts=np.zeros_like(model.parts)), ml=1.0)
