"""Cavities under pressure: closed forms, their limits, conservation of volume, and the voxel solver beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from trocar.physics.cavity import (
    Crushable,
    densification_strain,
    opened_mm3,
    pressed,
    radius_of_mm,
    shell_ratio,
)
from trocar.physics.elasticity import deform
from trocar.physics.solid import Boundary, Solid

WEAK = Crushable(young_mpa=200.0, crush_mpa=1.2, densification=0.82)


def test_what_the_cavity_gains_the_shell_gives() -> None:
    """Compaction alone (a rigid surround): the volume gained is the densification of what was crushed."""
    rigid = Crushable(1e12, 1.0, 0.8)
    front = rigid.front_mm(8.0, 3.0)
    gained = 8.0**3 - 3.0**3
    assert gained == pytest.approx(0.8 * (front**3 - 3.0**3), rel=1e-9)
    assert rigid.front_mm(8.0) == pytest.approx(8.0 * shell_ratio(rigid.densification), rel=1e-9)


def test_solid_is_conserved_through_crushing_with_an_elastic_surround() -> None:
    front = WEAK.front_mm(8.0, 2.0)
    before = (front / (1.0 + WEAK.wall_strain)) ** 3 - 2.0**3
    assert front**3 - 8.0**3 == pytest.approx((1.0 - 0.82) * before, rel=1e-12)


def test_the_curve_is_continuous_where_crushing_begins_and_stays_near_the_plateau() -> None:
    start = 3.0 * (1.0 + WEAK.wall_strain)
    assert WEAK.pressure_mpa(start * (1.0 - 1e-9), 3.0) == pytest.approx(1.2, rel=1e-6)
    assert WEAK.pressure_mpa(start * (1.0 + 1e-9), 3.0) == pytest.approx(1.2, rel=1e-6)
    radii = np.linspace(3.0, 10.0, 400)
    curve = [WEAK.pressure_mpa(float(r), 3.0) for r in radii]
    assert curve == sorted(curve)
    assert curve[-1] == pytest.approx(1.2 * WEAK.front_mm(10.0, 3.0) ** 2 / 100.0)
    assert curve[-1] < 1.2 * 0.82 ** (-2.0 / 3.0) * 1.01


def test_the_work_of_the_pressure_is_what_crushing_takes() -> None:
    """A rigid surround, from nothing: p V is the plateau's work on the crushed bone and the shell's own thinning.

    With no hoop stress the radial stress at r is p (a/r)^2; a shell that moves out thins at that stress, so that
    p dV = crush dens dV0 + the integral of sigma_r over the thinning: all three in closed form at one radius.
    """
    rigid = Crushable(1e12, 1.0, 0.8)
    a, b = 8.0, rigid.front_mm(8.0)
    p = rigid.pressure_mpa(8.0)
    per_da = 4.0 * math.pi * a**2 * p
    db = b / a  # self-similar growth
    crushing = 4.0 * math.pi * b**2 * db * 1.0 * 0.8
    # velocity in the shell is a^2 / r^2 (solid is conserved), thinning rate 2 a^2 / r^3
    thinning = quad(lambda r: 4.0 * math.pi * r**2 * p * (a / r) ** 2 * 2.0 * a**2 / r**3, a, b)[0]
    assert per_da == pytest.approx(crushing + thinning, rel=1e-9)


def test_a_deflated_cavity_keeps_what_was_crushed() -> None:
    left = WEAK.deflated_mm(8.0, 2.0)
    front = WEAK.front_mm(8.0, 2.0)
    assert 2.0 < left < 8.0
    sprung = front**3 - (front / (1.0 + WEAK.wall_strain)) ** 3
    assert 8.0**3 - left**3 == pytest.approx(sprung, rel=1e-9)
    assert WEAK.deflated_mm(3.005, 3.0) == 3.0, "what only stretched comes back whole"


def test_the_balloon_curve_in_volumes_is_the_one_in_radii() -> None:
    assert radius_of_mm(4.0 / 3.0 * math.pi * 8.0) == pytest.approx(2.0)
    volume = 4.0 / 3.0 * math.pi * 8.0**3
    assert WEAK.pressure_at_volume_mpa(volume, 33.51032) == pytest.approx(WEAK.pressure_mpa(8.0, 2.0), rel=1e-6)


def test_weak_bone_gives_the_pressures_that_gauges_show() -> None:
    """Ex vivo mean inflation pressure 175 +- 37 psi (balloon) in osteoporotic bodies; 100 to 400 psi is the scale."""
    assert 100.0 < WEAK.pressure_mpa(9.0) / 6.894757e-3 < 400.0


def test_denser_bone_compacts_less() -> None:
    assert densification_strain(0.1) == pytest.approx(0.86)
    assert Crushable(200.0, 1.0, densification_strain(0.3)).front_mm(8.0) > WEAK.front_mm(8.0)


def ball(n: int, radius: float, outer: float) -> tuple[np.ndarray, np.ndarray, float]:
    """An eighth of a hollow ball on n voxels a side: the hollow, the wall, and the voxel's side."""
    h = outer / n
    k, j, i = ((np.arange(n) + 0.5) * h for _ in range(3))
    r = np.sqrt(k[:, None, None] ** 2 + j[None, :, None] ** 2 + i[None, None, :] ** 2)
    return r < radius, (r >= radius) & (r < outer), h


def elastic_mm(pressure: float, radius: float, outer: float, young: float = 200.0, nu: float = 0.3) -> float:
    """How far the wall of a hollow ball moves outwards: Lame's thick sphere, free outside."""
    share = (radius / outer) ** 3
    return pressure * radius * ((1.0 - 2.0 * nu) * share + (1.0 + nu) / 2.0) / (young * (1.0 - share))


def wall_moves_mm(n: int, radius: float = 7.5, outer: float = 22.5) -> float:
    """Mean displacement of the wall of a pressurised hollow ball, from the volume its hollow gains.

    The faces of the eighth are planes of symmetry.
    """
    hollow, wall, h = ball(n, radius, outer)
    solid = Solid(np.full(wall.shape, 200.0, np.float32), wall.astype(np.uint8), spacing_mm=(h, h, h))
    nodes = np.zeros(solid.nodes, bool)
    boundary = pressed(hollow, wall, solid.spacing_mm, 1.5)
    for axis in range(3):
        plane = nodes.copy()
        plane[(slice(None),) * axis + (0,)] = True
        boundary += Boundary.displace(plane & touched(wall), axis, 0.0)
    found = deform(solid, boundary, tolerance=1e-8)
    area = 4.0 * math.pi * radius**2 / 8.0
    return opened_mm3(boundary, found.displacement_mm, 1.5) / area


def touched(filled: np.ndarray) -> np.ndarray:
    """The nodes of voxels that are filled."""
    nodes = np.zeros(tuple(n + 1 for n in filled.shape), bool)
    k, j, i = filled.shape
    for a, b, c in np.ndindex(2, 2, 2):
        nodes[a : a + k, b : b + j, c : c + i] |= filled
    return nodes


def test_a_pressurised_void_in_voxels_converges_to_the_closed_form() -> None:
    errors = [abs(wall_moves_mm(n) / elastic_mm(1.5, 7.5, 22.5) - 1.0) for n in (12, 24, 48)]
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.03


def test_pressure_pushes_every_wall_and_nothing_altogether() -> None:
    rng = np.random.default_rng(3)
    hollow = np.zeros((8, 9, 10), bool)
    hollow[2:6, 3:7, 2:8] = rng.random((4, 4, 6)) < 0.7
    boundary = pressed(hollow, ~hollow, (1.0, 2.0, 0.5), 3.0)
    force = np.zeros((3, *boundary.nodes))
    np.add.at(force.reshape(-1), boundary.loaded, boundary.force_n)
    assert np.abs(force.sum(axis=(1, 2, 3))).max() < 1e-9
    k = np.arange(9.0)[:, None, None]
    assert (force[0] * k).sum() == pytest.approx(3.0 * hollow.sum()), "p times volume, by the divergence theorem"


def test_what_opens_is_the_volume_between_the_walls() -> None:
    """A uniform stretch along k opens a hollow by its volume times the strain."""
    hollow = np.zeros((6, 6, 6), bool)
    hollow[2:4, 1:5, 2:5] = True
    boundary = pressed(hollow, ~hollow, (2.0, 1.0, 1.0), 0.7)
    move = np.zeros((3, 7, 7, 7))
    move[0] = 0.01 * 2.0 * np.arange(7.0)[:, None, None]
    assert opened_mm3(boundary, move, 0.7) == pytest.approx(0.01 * hollow.sum() * 2.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Crushable(0.0, 1.0, 0.8), "young_mpa=0 must be a positive number"),
        (lambda: Crushable(200.0, math.nan, 0.8), "crush_mpa=nan must be a positive number"),
        (lambda: Crushable(200.0, 1.0, 0.8, 0.6), "poisson=0.6 is outside 0 to 0.5"),
        (lambda: Crushable(200.0, 1.0, 1.0), "densification=1.0 is outside 0.05 to 0.99"),
        (lambda: densification_strain(0.9), "relative_density=0.9 is outside"),
        (lambda: WEAK.front_mm(2.0, 3.0), "radius_mm=2 must be at least the first radius 3 mm"),
        (lambda: radius_of_mm(-1.0), "volume_mm3=-1 must not be negative"),
        (lambda: pressed(np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool), (1, 1, 1), 1.0), "no wall to press on"),
        (lambda: pressed(np.ones((2, 2, 2), bool), np.ones((2, 2, 2), bool), (1, 1, 1), 1.0), "hollow and filled"),
    ],
)
def test_what_cannot_be_is_refused(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
