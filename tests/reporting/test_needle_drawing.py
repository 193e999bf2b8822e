"""The shadow of a cylinder against its closed form."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.geometry import unit
from trocar.reporting.needle_drawing import cut, shadow
from trocar.reporting.views import orthogonal

AXIAL = orthogonal(np.zeros(3))[0]


def _width(points: np.ndarray, across: tuple[float, float]) -> float:
    along = points @ np.array(across)
    return float(along.max() - along.min())


def test_a_needle_in_the_plane_is_a_rectangle_of_its_diameter():
    outline = shadow(AXIAL, np.array([0.0, 40.0, 0.0]), np.array([0.0, 0.0, 0.0]), 1.5)
    assert _width(outline, (1, 0)) == pytest.approx(3.0, abs=1e-6)
    assert _width(outline, (0, 1)) == pytest.approx(40.0, abs=1e-6)


def test_a_needle_at_right_angles_to_the_plane_is_a_disc():
    outline = shadow(AXIAL, np.array([3.0, 4.0, 40.0]), np.array([3.0, 4.0, 0.0]), 1.5)
    assert np.linalg.norm(outline - (3.0, 4.0), axis=-1) == pytest.approx(1.5)


@pytest.mark.parametrize("tilt_deg", [10.0, 45.0, 80.0])
def test_a_tilted_needle_keeps_its_width_and_gains_its_round_end(tilt_deg):
    """A flat end tilted by t casts an ellipse of half-axis r sin t along the needle."""
    t = np.radians(tilt_deg)
    start = 40.0 * np.array([0.0, np.cos(t), np.sin(t)])
    outline = shadow(AXIAL, start, np.zeros(3), 1.5)
    assert _width(outline, (1, 0)) == pytest.approx(3.0, abs=1e-3)
    assert _width(outline, (0, 1)) == pytest.approx(40.0 * np.cos(t) + 3.0 * np.sin(t), abs=1e-3)


def test_a_margin_moves_every_edge_out_by_itself():
    start, end = np.array([20.0, 30.0, 5.0]), np.zeros(3)
    bare, wide = shadow(AXIAL, start, end, 1.5), shadow(AXIAL, start, end, 1.5, 2.0)
    assert np.linalg.norm(wide - bare, axis=-1) == pytest.approx(2.0)


def test_only_the_stretch_near_the_plane_is_cut():
    start, end = np.array([0.0, 40.0, 30.0]), np.zeros(3)
    met = cut(AXIAL, start, end, 1.5)
    assert met is not None
    heights = sorted(AXIAL.project(np.stack(met))[:, 2])
    assert heights == pytest.approx([0.0, 1.5])
    assert unit(met[1] - met[0]) == pytest.approx(unit(start - end)) or unit(met[0] - met[1]) == pytest.approx(
        unit(start - end)
    )


def test_a_needle_beside_the_plane_is_not_cut():
    assert cut(AXIAL, np.array([0.0, 40.0, 9.0]), np.array([0.0, 0.0, 2.0]), 1.5) is None
    assert cut(AXIAL, np.array([0.0, 40.0, 2.0]), np.array([0.0, 0.0, 2.0]), 1.5) is None
    lying = cut(AXIAL, np.array([0.0, 40.0, 1.0]), np.array([0.0, 0.0, 1.0]), 1.5)
    assert lying is not None
