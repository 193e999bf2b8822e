"""Bulge, canal and posterior wall under load, against prisms that widen by Poisson's ratio."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from trocar.anatomy.vertebra import Part
from trocar.mechanics.answers import Loaded, press
from trocar.mechanics.lesion import lesion_at
from trocar.mechanics.loads import Contact, Load
from trocar.mechanics.model import BoneModel, Ends, Tissue
from trocar.mechanics.scenario import ablated, lysed
from trocar.mechanics.wall import bulge_mm, hoop_strain, narrowing_mm, posterior_wall, wall_measures
from trocar.physics.elasticity import deform
from trocar.physics.solid import Boundary

from .body_models import block, mirrored, model_of, vertebra

STRAIN, POISSON = 0.01, 0.3


def ring() -> BoneModel:
    """A prism 6 high: body 8 wide and 6 deep, canal 4 x 4 behind it, bone around and behind the canal."""
    parts = np.full((6, 12, 8), Part.ARCH)
    parts[:, :6] = Part.BODY
    parts[:, 6:10, 2:6] = Part.CANAL
    tissue = np.where(parts == Part.CANAL, int(Tissue.VOID), int(Tissue.BONE))
    return model_of(np.full(parts.shape, 500.0), tissue, parts, poisson=POISSON, ends=Ends.PLATES)


def ball(model: BoneModel) -> NDArray[np.bool_]:
    """A ball of a tenth of the body, well under its surface."""
    return lesion_at(model, (0.5, 0.5, 0.5), 10.0, shell_mm=4.0)


def shortened(model: BoneModel) -> Loaded:
    """All of the prism between sliding planes, 1 % shorter: uniaxial stress, so that every length across grows."""
    bottom, top = (np.zeros(model.solid.nodes, bool) for _ in range(2))
    bottom[0], top[-1] = True, True
    middle, aside = (np.zeros(model.solid.nodes, bool) for _ in range(2))
    middle[0, 0, 0] = aside[0, 0, -1] = True
    held = Boundary.displace(middle | aside, 1, 0.0) + Boundary.displace(middle, 2, 0.0)
    ends = Boundary.displace(bottom, 0, 0.0) + Boundary.displace(top, 0, -STRAIN * model.solid.shape[0])
    amount = STRAIN * model.solid.shape[0]
    return Loaded(model, Load.AXIAL, amount, Contact.SLIDING, deform(model.solid, ends + held))


def test_a_prism_widens_by_poissons_ratio() -> None:
    loaded = shortened(ring())
    grows = POISSON * STRAIN
    # the outermost face of the body lies at (2.5, 4) or (3, 3.5) mm from its middle
    assert np.nanmax(bulge_mm(loaded)) == pytest.approx(grows * np.hypot(2.5, 4.0), rel=1e-4)
    assert np.nanmax(hoop_strain(loaded)) == pytest.approx(grows, rel=1e-4)
    # a hole in a pressed prism widens too: the canal is 4 mm deep
    assert np.nanmax(narrowing_mm(loaded)) == pytest.approx(-4.0 * grows, rel=1e-4)


def test_where_the_posterior_wall_lies() -> None:
    wall = posterior_wall(ring())
    assert np.argwhere(wall.any(axis=0)).tolist() == [[5, 2], [5, 3], [5, 4], [5, 5]]
    assert np.array_equal(np.isfinite(narrowing_mm(shortened(ring()))), wall.any(axis=1))


def test_without_a_canal_the_back_of_the_body_counts() -> None:
    model = block((6, 6, 8), 500.0, POISSON, ends=Ends.PLATES)
    assert np.argwhere(posterior_wall(model).any(axis=0)).tolist() == [[5, 2], [5, 3], [5, 4], [5, 5]]
    assert np.nanmax(narrowing_mm(shortened(model))) == pytest.approx(3.0 * POISSON * STRAIN, rel=1e-4)


def test_a_lean_is_no_bulge() -> None:
    """A body that only moves and turns keeps its walls."""
    loaded = shortened(ring())
    k = np.arange(7.0)[:, None, None] + np.zeros(loaded.model.solid.nodes)
    shifted = loaded.deformation.displacement_mm + np.stack([0.0 * k, 0.3 * k, -0.2 * k])
    leaning = replace(loaded, deformation=replace(loaded.deformation, displacement_mm=shifted))
    for field in (bulge_mm, narrowing_mm):
        assert np.nanmax(np.abs(field(leaning) - field(loaded))) < 1e-9


def test_the_wall_of_a_hollow_inside_is_no_side_wall() -> None:
    model = vertebra(mm=2.0)
    hollow = ball(model)
    loaded = press(ablated(model, hollow).model)
    beside = binary_dilation(hollow) & ~hollow
    assert not np.isfinite(bulge_mm(loaded)[beside]).any()
    assert np.isfinite(bulge_mm(loaded)).any()


def test_the_measures_grow_with_the_force() -> None:
    loaded = press(block((6, 6, 8), 500.0, POISSON, ends=Ends.PLATES))
    one, two = (wall_measures(loaded, n) for n in (400.0, 800.0))
    assert [m.name for m in one] == ["vertebral_bulge", "canal_narrowing", "posterior_wall_hoop_strain"]
    assert [m.unit for m in one] == ["mm", "mm", "%"]
    assert [m.value for m in two] == pytest.approx([2.0 * m.value for m in one])
    # 800 N on 48 mm2 of 500 MPa: 3.333 % shorter, 1 % wider
    assert two[2].value == pytest.approx(1.0, rel=1e-4)
    assert "no posterior elements" in two[1].method


def test_a_lesion_at_the_back_pushes_the_wall_into_the_canal() -> None:
    """As all of the metastatic models find: bulge, narrowing and hoop strain grow with a lesion.

    Whyne 2003, Tschirhart 2006, Salvatore 2018 (15 % of the body: bulge +178 % in a motion segment with discs).
    """
    model = vertebra(mm=2.0)
    sick = lysed(model, percent=15.0, place=(0.5, 0.7, 0.5)).model
    sound, ill = (wall_measures(press(m)) for m in (model, sick))
    assert all(b.value > 1.02 * a.value > 0.0 for a, b in zip(sound, ill, strict=True))
    assert "Greatest shortening of the canal" in sound[1].method


def test_left_and_right_exchange() -> None:
    model = lysed(vertebra(mm=3.0, noise=0.2), percent=8.0, place=(0.5, 0.6, 0.75)).model
    here, there = (press(m) for m in (model, mirrored(model)))
    for field in (bulge_mm, hoop_strain):
        assert np.allclose(field(here)[:, :, ::-1], field(there), rtol=1e-3, atol=1e-8, equal_nan=True)
    assert np.allclose(narrowing_mm(here)[:, ::-1], narrowing_mm(there), rtol=1e-3, atol=1e-8, equal_nan=True)


def test_newtons_do_not_bend() -> None:
    with pytest.raises(ValueError, match="this is flexion"):
        wall_measures(press(vertebra(mm=4.0), Load.FLEXION))
