"""Injection into a porous medium: exact fronts and pressures, balance, symmetry, order, trends, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from trocar.measure import Status
from trocar.physics.porous import (
    STANDSTILL_MM3_S,
    STEPS,
    Injection,
    Medium,
    Outlet,
    Stroke,
    Tube,
    inject,
)

K_MM2, POROSITY = 0.04, 0.8
THICK, THIN = 100.0, 0.1


class Plain:
    """A fluid of one viscosity, which ages as fast as the clock."""

    ageing = ageing_outside = 1.0
    shear_index = 1.0

    def __init__(self, pa_s: float = THICK) -> None:
        self.pa_s = pa_s

    def viscosity_pa_s(self, age_s: ArrayLike, shear_per_s: ArrayLike) -> NDArray[np.float64]:
        return np.full(np.shape(age_s), self.pa_s)


class Thinning(Plain):
    """Half as thick at ten times the shear rate."""

    shear_index = 0.7

    def viscosity_pa_s(self, age_s: ArrayLike, shear_per_s: ArrayLike) -> NDArray[np.float64]:
        return self.pa_s * (1.0 + np.asarray(shear_per_s)) ** -0.3


class Setting(Plain):
    """Twice as thick every minute; half as fast outside."""

    ageing_outside = 0.5

    def viscosity_pa_s(self, age_s: ArrayLike, shear_per_s: ArrayLike) -> NDArray[np.float64]:
        return self.pa_s * 2.0 ** (np.asarray(age_s) / 60.0)


def middles(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> list[NDArray[np.float64]]:
    return list(np.meshgrid(*[(np.arange(n) + 0.5) * h for n, h in zip(shape, spacing, strict=True)], indexing="ij"))


def surface(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many faces of each cell have nothing beyond."""
    padded = np.pad(inside, 1)
    open_ = [~np.roll(padded, s, axis)[1:-1, 1:-1, 1:-1] for axis in range(3) for s in (1, -1)]
    return np.where(inside, np.sum(open_, axis=0), 0)


def drained(
    inside: NDArray[np.bool_],
    permeability: NDArray[np.float64] | float,
    spacing: tuple[float, float, float],
    porosity: NDArray[np.float64] | float = POROSITY,
) -> Medium:
    """A body that lets go over its whole surface."""
    kept = np.broadcast_to(permeability, (3, *inside.shape)) * inside
    cells = np.flatnonzero(surface(inside))
    flow = 2.0 * K_MM2 * spacing[0] * surface(inside).reshape(-1)[cells]
    pores = np.where(inside, porosity, 0.0).astype(np.float32)
    return Medium(pores, kept.astype(np.float32), spacing, (Outlet("surface", cells, flow),))


def sphere(h: float, radius_mm: float = 15.0, permeability: NDArray[np.float64] | float = K_MM2) -> Medium:
    n = round(2.0 * radius_mm / h) + 2
    apart = [x - 0.5 * n * h for x in middles((n, n, n), (h, h, h))]
    return drained(np.sqrt(sum(a * a for a in apart)) < radius_mm, permeability, (h, h, h))


def push(medium: Medium, tip: ArrayLike, volume: float, fluid: Plain | None = None, **kwargs: object) -> Injection:
    settings = {"resident_pa_s": THIN, "tip_radius_mm": 1.5, **kwargs}
    return inject(medium, tip, fluid or Plain(), [Stroke(volume, 16.0)], **settings)


def centre(medium: Medium) -> NDArray[np.float64]:
    return 0.5 * np.asarray(medium.spacing_mm) * medium.porosity.shape


# --- exact --------------------------------------------------------------------------------------


@pytest.mark.parametrize("h", [2.0, 1.0])
def test_radial_front_and_pressure(h: float) -> None:
    """R^3 = 3 Q t / (4 pi phi); p = Q / (4 pi K) [mu_c (1/r0 - 1/R) + mu_m (1/R - 1/b)]."""
    medium, volume = sphere(h), 3000.0
    found = push(medium, centre(medium), volume)
    far = np.sqrt(
        sum((x - c) ** 2 for x, c in zip(middles(medium.porosity.shape, (h, h, h)), centre(medium), strict=True))
    )
    front = np.cbrt(3.0 * volume / (4.0 * np.pi * POROSITY))
    assert found.status is Status.SUCCESS
    assert far[(found.saturation < 0.5) & (medium.porosity > 0)].min() > front - 0.5 * h
    assert far[found.saturation >= 0.5].max() < front + 0.5 * h

    radius = np.cbrt(3.0 * found.injected_mm3[5:] / (4.0 * np.pi * POROSITY))
    exact = 16.0 / (4.0 * np.pi * K_MM2) * (THICK * (1 / 1.5 - 1 / radius) + THIN * (1 / radius - 1 / 15.0))
    np.testing.assert_allclose(found.tip_pa[5:], exact, rtol=0.06 if h > 1.0 else 0.02)
    np.testing.assert_allclose(found.tip_pa[-1], exact[-1], rtol=0.01 if h > 1.0 else 0.003)


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.3, -0.2, 0.45), (0.5, 0.5, 0.5)])
def test_a_ball_stays_a_ball_wherever_the_tip_lies_among_the_voxels(shift: tuple[float, float, float]) -> None:
    medium = sphere(1.0)
    tip = centre(medium) + shift
    found = push(medium, tip, 3000.0)
    far = np.sqrt(sum((x - c) ** 2 for x, c in zip(middles(medium.porosity.shape, (1.0, 1.0, 1.0)), tip, strict=True)))
    front = np.cbrt(9000.0 / (4.0 * np.pi * POROSITY))
    assert far[(found.saturation < 0.5) & (medium.porosity > 0)].min() > front - 0.5
    assert far[found.saturation >= 0.5].max() < front + 0.5


def test_an_anisotropic_medium_makes_an_ellipsoid_whose_axes_are_as_the_roots_of_its_permeabilities() -> None:
    """x_k : x_j : x_i = sqrt(K_k) : sqrt(K_j) : sqrt(K_i), far from the surface and with hardly viscous marrow."""
    ratios = np.array([1.0, 0.78, 0.78])
    permeability = (K_MM2 * ratios)[:, None, None, None]
    medium = sphere(1.0, 20.0, permeability)
    found = push(medium, centre(medium), 3000.0)
    away = [x - c for x, c in zip(middles(medium.porosity.shape, (1.0, 1.0, 1.0)), centre(medium), strict=True)]
    content = found.content_mm3.astype(float)
    spread = np.sqrt([np.sum(content * a * a) / content.sum() for a in away])
    # stretched by the roots of its permeabilities the medium is isotropic, and the front a ball
    assert spread[0] / spread[1] == pytest.approx(np.sqrt(1.0 / 0.78), abs=0.02)
    assert spread[1] == pytest.approx(spread[2], rel=1e-6)


def channel(length: int, permeability: NDArray[np.float64], porosity: NDArray[np.float64] | float = POROSITY) -> Medium:
    """Cells in a row along k, open at the far end; cubes of 1 mm."""
    shape = (length, 1, 1)
    kept = np.broadcast_to(permeability, (3, *shape)).astype(np.float32)
    pores = np.broadcast_to(np.asarray(porosity), shape).astype(np.float32)
    last = Outlet("end", np.array([length - 1]), np.array([2.0 * float(np.ravel(permeability)[-1])]))
    return Medium(pores, kept, (1.0, 1.0, 1.0), (last,))


def test_planar_front_and_pressure() -> None:
    """x = V / (phi A); the pressure rises by (mu_c - mu_m) u dx / K."""
    found = push(channel(40, np.array(K_MM2)), [0.5, 0.5, 0.5], 24.0, step_mm3=0.8, tip_radius_mm=0.4)
    assert found.saturation[:30].min() == pytest.approx(1.0, abs=1e-6)
    assert found.saturation[30:].max() == pytest.approx(0.0, abs=1e-6)
    risen = found.tip_pa[1:] - found.tip_pa[1]
    advanced = (found.injected_mm3[1:] - found.injected_mm3[1]) / POROSITY
    np.testing.assert_allclose(risen, (THICK - THIN) * 16.0 * advanced / K_MM2, rtol=1e-5)


def test_layers_in_series_add_their_resistance() -> None:
    permeability = np.where(np.arange(40) < 15, K_MM2, 0.25 * K_MM2).reshape(-1, 1, 1)
    porosity = np.where(np.arange(40) < 15, 0.8, 0.5).reshape(-1, 1, 1)
    found = push(channel(40, permeability, porosity), [0.5, 0.5, 0.5], 20.0, step_mm3=0.1, tip_radius_mm=0.4)
    into = (found.injected_mm3 - 12.0).clip(0.0) / 0.5
    through = np.minimum(found.injected_mm3, 12.0) / 0.8
    exact = (THICK - THIN) * 16.0 * (through / K_MM2 + into / (0.25 * K_MM2))
    np.testing.assert_allclose(np.diff(found.tip_pa[16:]), np.diff(exact[16:]), rtol=1e-4, atol=400.0)
    assert found.tip_pa[-1] - found.tip_pa[16] == pytest.approx(exact[-1] - exact[16], rel=1e-3)


def test_layers_side_by_side_share_the_flow() -> None:
    """K2 (mu_m L x1 + (mu_c - mu_m) x1^2 / 2) = K1 (mu_m L x2 + (mu_c - mu_m) x2^2 / 2), and x1 + x2 = V / (phi A)."""
    length, first, second, volume = 60, K_MM2, 0.3 * K_MM2, 40.0
    porosity = np.zeros((length + 1, 3, 1), np.float32)
    permeability = np.zeros((3, length + 1, 3, 1), np.float32)
    porosity[0], permeability[:, 0] = 1e-3, 1e4  # shares the pressure and holds next to nothing
    for lane, own in ((0, first), (2, second)):
        porosity[1:, lane], permeability[:, 1:, lane] = POROSITY, own
    ends = np.ravel_multi_index((np.full(2, length), np.array([0, 2]), np.zeros(2, int)), porosity.shape)
    outlet = Outlet("end", ends, 2.0 * np.array([first, second]))
    medium = Medium(porosity, permeability, (1.0, 1.0, 1.0), (outlet,))
    found = push(medium, [0.5, 1.5, 0.5], volume, step_mm3=0.2, tip_radius_mm=0.4)
    x1, x2 = (found.content_mm3[1:, lane, 0].sum(dtype=float) / POROSITY for lane in (0, 2))
    weight = [own * (THIN * length * x + 0.5 * (THICK - THIN) * x * x) for own, x in ((second, x1), (first, x2))]
    assert x1 + x2 == pytest.approx(volume / POROSITY, rel=1e-3)
    assert np.sqrt(weight[0] / weight[1]) == pytest.approx(1.0, abs=0.01)


def test_a_tube_drops_pressure_as_hagen_and_poiseuille_say() -> None:
    medium = sphere(2.0)
    tube = Tube(1.2, 125.0)
    found = push(medium, centre(medium), 1000.0, tube=tube)
    exact = 8.0 * THICK * 125.0 * 16.0 / (np.pi * 1.2**4)
    np.testing.assert_allclose(found.driving_pa - found.tip_pa, exact, rtol=1e-12)


def test_a_constant_pressure_drives_it_ever_more_slowly() -> None:
    """Planar, p = mu_c u x / K with hardly viscous marrow: t = phi mu_c x^2 / (2 K p)."""
    strokes = [Stroke(24.0, pressure_pa=4e5)]
    settings = {"resident_pa_s": 1e-3, "tip_radius_mm": 0.4, "step_mm3": 0.08}
    found = inject(channel(40, np.array(K_MM2)), [0.5, 0.5, 0.5], Plain(), strokes, **settings)
    assert found.status is Status.SUCCESS
    np.testing.assert_allclose(found.driving_pa, 4e5, rtol=1e-9)
    x = found.injected_mm3 / POROSITY
    exact = POROSITY * THICK * (x**2 - x[100] ** 2) / (2.0 * K_MM2 * 4e5)
    np.testing.assert_allclose((found.time_s - found.time_s[100])[150:], exact[150:], rtol=0.05)


def test_a_tube_takes_its_share_of_a_constant_pressure() -> None:
    medium, tube = sphere(2.0), Tube(1.2, 125.0)
    strokes = [Stroke(500.0, pressure_pa=2.5e5)]
    found = inject(medium, centre(medium), Plain(), strokes, resident_pa_s=THIN, tip_radius_mm=1.5, tube=tube)
    rates = np.diff(found.injected_mm3) / np.diff(found.time_s)
    np.testing.assert_allclose(found.driving_pa, 2.5e5, rtol=1e-9)
    np.testing.assert_allclose(
        (found.driving_pa - found.tip_pa)[:-1], 8.0 * THICK * 125.0 * rates / (np.pi * 1.2**4), rtol=1e-6
    )


def test_a_pressure_that_hardly_drives_it_is_the_injectors_limit() -> None:
    medium = sphere(2.0)
    found = inject(
        medium, centre(medium), Setting(), [Stroke(4000.0, pressure_pa=600.0)], resident_pa_s=THIN, tip_radius_mm=1.5
    )
    assert found.status is Status.INJECTOR_LIMIT
    assert 0.0 < found.injected_mm3[-1] < 4000.0


def test_what_stands_still_once_all_is_in_is_a_success() -> None:
    medium = sphere(2.0)
    limit = inject(
        medium, centre(medium), Setting(), [Stroke(4000.0, pressure_pa=600.0)], resident_pa_s=THIN, tip_radius_mm=1.5
    )
    reached = float(limit.injected_mm3[-1])
    strokes = [Stroke(reached, pressure_pa=600.0)]
    found = inject(
        medium, centre(medium), Setting(), strokes, resident_pa_s=THIN, tip_radius_mm=1.5, step_mm3=4000.0 / STEPS
    )
    assert found.rate_mm3_s[-1] <= STANDSTILL_MM3_S  # the next step could not be made, but none is asked for
    assert found.status is Status.SUCCESS
    assert found.injected_mm3[-1] == pytest.approx(reached)


def test_a_body_filled_to_the_brim_through_pores_for_marrow_alone_overfills_no_cell() -> None:
    medium = sphere(2.0, 9.0)
    (surface_,) = medium.outlets
    few = Outlet("vein", surface_.cells[:2], surface_.conductance_mm3[:2])
    sealed = Outlet("cortex", surface_.cells[2:], surface_.conductance_mm3[2:], passes=False)
    room = float(medium.porosity.sum(dtype=float)) * 8.0
    found = push(replace(medium, outlets=(few, sealed)), centre(medium), 0.97 * room, step_mm3=room / 8.0)
    assert found.content_mm3.sum(dtype=float) + found.leaked_mm3[-1].sum() == pytest.approx(0.97 * room, rel=1e-6)
    assert found.saturation.max() < 1.0 + 1e-5


# --- balance, symmetry, order -------------------------------------------------------------------


def wild(seed: int, n: int = 24, h: float = 1.0) -> Medium:
    """A ball of smoothly varying, anisotropic bone with a vein, a closed wall and an open patch."""
    rng = np.random.default_rng(seed)
    x = middles((n, n, n), (h, h, h))
    inside = sum((a - 0.5 * n * h) ** 2 for a in x) < (0.48 * n * h) ** 2
    waves = sum(np.sin(2 * np.pi * (rng.normal(size=3) @ np.array([a.ravel() for a in x])) / 12.0) for _ in range(4))
    permeability = K_MM2 * np.exp(0.5 * waves.reshape(n, n, n)) * np.array([1.3, 1.0, 1.0])[:, None, None, None]
    permeability[:, n // 2, n // 2 :, n // 2 - 2] *= 30.0
    body = drained(inside, permeability, (h, h, h))
    cells = body.outlets[0].cells
    k, j, i = np.unravel_index(cells, inside.shape)
    vein = (k == n // 2) & (i == n // 2 - 2) & (j > n // 2)
    patch = ~vein & (i > 0.8 * n)
    wall = Outlet("wall", cells[~vein & ~patch], np.full((~vein & ~patch).sum(), 1e-5), passes=False)
    return replace(
        body,
        outlets=(
            Outlet("vein", cells[vein], np.full(vein.sum(), 0.5), bore_mm=0.8),
            Outlet("patch", cells[patch], np.full(patch.sum(), 2.0 * K_MM2 * h)),
            wall,
        ),
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_lost(seed: int) -> None:
    medium = wild(seed)
    found = push(medium, centre(medium) + np.array([0.0, 1.0, 2.0]), 3500.0, Setting())
    kept, left = found.content_mm3.sum(dtype=float), found.leaked_mm3[-1].sum()
    assert found.status is Status.SUCCESS
    assert left > 100.0  # some leaves, or the test says little
    assert kept + left == pytest.approx(3500.0, rel=1e-6)
    assert found.saturation.max() < 1.0 + 1e-3
    assert np.all(np.diff(found.leaked_mm3, axis=0) >= 0.0)
    assert found.leaked_mm3[-1, 2] == 0.0  # a wall of fine pores lets none of it through


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_medium_is_filled_as_in_a_mirror(axis: int) -> None:
    medium, n = wild(5, 20), 20
    tip = centre(medium) + np.array([1.2, -0.7, 2.3])
    turned = [np.ravel_multi_index(_flip(o.cells, n, axis), (n, n, n)) for o in medium.outlets]
    outlets = tuple(replace(o, cells=cells) for o, cells in zip(medium.outlets, turned, strict=True))
    mirrored = Medium(
        np.flip(medium.porosity, axis), np.flip(medium.permeability_mm2, axis + 1), medium.spacing_mm, outlets
    )
    other = tip.copy()
    other[axis] = n - tip[axis]
    one, two = (push(m, t, 1500.0, tolerance=1e-10) for m, t in ((medium, tip), (mirrored, other)))
    np.testing.assert_allclose(np.flip(two.content_mm3, axis), one.content_mm3, atol=2e-3)
    np.testing.assert_allclose(two.leaked_mm3, one.leaked_mm3, atol=1e-2)


def _flip(cells: NDArray[np.int64], n: int, axis: int) -> tuple[NDArray[np.int64], ...]:
    place = list(np.unravel_index(cells, (n, n, n)))
    place[axis] = n - 1 - place[axis]
    return tuple(place)


def test_halving_the_voxel_halves_what_the_spread_is_off_by() -> None:
    """First order: the filled region against that of a much finer grid, as a volume."""
    found = {}
    for h in (2.0, 1.0, 0.5):
        n = int(24 / h)
        x = middles((n, n, n), (h, h, h))
        inside = sum((a - 12.0) ** 2 for a in x) < 11.5**2
        permeability = K_MM2 * np.exp(0.8 * np.sin(x[0] / 4.0) + 0.5 * np.cos(x[2] / 5.0))
        medium = drained(inside, permeability, (h, h, h))
        content = push(medium, [12.3, 11.8, 12.1], 1500.0, tip_radius_mm=2.0).saturation
        found[h] = content.repeat(int(2 * h), 0).repeat(int(2 * h), 1).repeat(int(2 * h), 2)
    coarse, fine = (np.abs(found[h] - found[0.5]).sum() * 0.125 for h in (2.0, 1.0))
    assert fine < 0.6 * coarse  # against an endless refinement a half; against half the voxel a third


def test_the_step_matters_little() -> None:
    medium = wild(2)
    usual, fine = (
        push(medium, centre(medium), 2500.0, step_mm3=step).content_mm3 for step in (2500.0 / 40, 2500.0 / 160)
    )
    assert np.abs(usual - fine).sum() < 0.02 * usual.sum()


# --- what experiments agree on ------------------------------------------------------------------


def test_thicker_leaks_less_and_a_vein_takes_more_than_a_wall_of_bone() -> None:
    medium = wild(1)
    thin, thick = (push(medium, centre(medium), 3500.0, Plain(v)).leaked_mm3[-1, 0] for v in (0.3, 300.0))
    assert thick < 0.8 * thin


def test_a_narrow_vein_is_plugged_by_what_is_in_it() -> None:
    medium = wild(1)
    vein = medium.outlets[0]
    left = [
        push(replace(medium, outlets=(replace(vein, bore_mm=bore), *medium.outlets[1:])), centre(medium), 3500.0)
        for bore in (0.3, 1.0, np.inf)
    ]
    narrow, wide, open_ = (f.leaked_mm3[-1, 0] for f in left)
    assert narrow < 0.5 * wide < 0.5 * open_


def test_a_cleft_fills_first() -> None:
    n = 24
    medium = sphere(1.0, 11.0)
    permeability = medium.permeability_mm2.copy()
    cleft = np.zeros_like(medium.porosity, bool)
    cleft[n // 2 + 3, 6:18, 6:18] = medium.porosity[n // 2 + 3, 6:18, 6:18] > 0.0
    permeability[:, cleft] *= 100.0
    found = push(replace(medium, permeability_mm2=permeability), centre(medium), 1500.0)
    above = found.arrival_mm3[cleft]
    below = np.flip(found.arrival_mm3, 0)[cleft]  # as far below the tip
    assert np.isfinite(above).sum() > np.isfinite(below).sum()


def test_waiting_makes_it_thicker_and_slow_shear_too() -> None:
    medium = sphere(2.0)
    strokes = [Stroke(500.0, 16.0), Stroke(500.0, 16.0, pause_s=120.0)]
    paused = inject(medium, centre(medium), Setting(), strokes, resident_pa_s=THIN, tip_radius_mm=1.5)
    at_once = push(medium, centre(medium), 1000.0, Setting())
    assert paused.tip_pa[-1] > 2.0 * at_once.tip_pa[-1]  # 2^2 for what was inside, 2 for what came after
    assert paused.age_s[paused.content_mm3 > 0].max() > 120.0
    fast, slow = (
        inject(medium, centre(medium), Thinning(), [Stroke(1000.0, q)], resident_pa_s=THIN, tip_radius_mm=1.5)
        for q in (40.0, 4.0)
    )
    assert fast.tip_pa[-1] < 10.0 * slow.tip_pa[-1] * 0.95


def test_the_age_inside_is_a_mean_between_the_oldest_and_the_youngest() -> None:
    medium = sphere(2.0)
    found = push(medium, centre(medium), 1600.0, Setting(), age_s=300.0)
    inside = found.age_s[found.content_mm3 > 1e-3]
    assert inside.min() >= 350.0  # 100 s in all, of which outside only half count
    assert inside.max() <= 400.0 + 1e-3
    tip = tuple(int(n) for n in centre(medium) / 2.0)
    assert found.age_s[tip] < 360.0 < 380.0 < inside.max()  # the youngest is at the tip


# --- endings and refusals -----------------------------------------------------------------------


def test_what_the_injector_cannot_push_ends_with_what_was_reached() -> None:
    medium = sphere(2.0)
    free = push(medium, centre(medium), 2000.0, Setting(30.0), tube=Tube(1.2, 125.0))
    limit = 0.5 * (free.driving_pa[0] + free.driving_pa[-1])
    found = push(medium, centre(medium), 2000.0, Setting(30.0), tube=Tube(1.2, 125.0), limit_pa=limit)
    assert found.status is Status.INJECTOR_LIMIT
    assert found.driving_pa[-1] > limit >= found.driving_pa[-2]
    assert 0.0 < found.injected_mm3[-1] < 2000.0
    assert found.content_mm3.sum(dtype=float) + found.leaked_mm3[-1].sum() == pytest.approx(found.injected_mm3[-1])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"tips_mm": [99.0, 1.0, 1.0]}, "outside the box"),
        ({"tips_mm": [1.0, 1.0, 1.0]}, "no medium within 1.5 mm"),
        ({"strokes": []}, "at least one stroke"),
        ({"strokes": [Stroke(0.0, 1.0)]}, "volume_mm3=0.0 must be a positive"),
        ({"strokes": [Stroke(1.0, -1.0)]}, "rate_mm3_s=-1.0 must be a positive"),
        ({"strokes": [Stroke(1.0)]}, "either a rate_mm3_s or a pressure_pa"),
        ({"strokes": [Stroke(1.0, 1.0, pressure_pa=1.0)]}, "either a rate_mm3_s or a pressure_pa"),
        ({"strokes": [Stroke(1.0, pressure_pa=0.0)]}, "pressure_pa=0.0 must be a positive"),
        ({"strokes": [Stroke(1.0, 1.0, pause_s=-2.0)]}, "pause_s=-2.0 must be 0 or more"),
        ({"resident_pa_s": 0.0}, "resident_pa_s=0.0 must be a positive"),
        ({"tip_radius_mm": float("nan")}, "tip_radius_mm=nan must be a positive"),
    ],
)
def test_what_cannot_be_injected_is_refused(change: dict[str, object], text: str) -> None:
    medium = sphere(2.0, 8.0)
    right = {"tips_mm": centre(medium), "strokes": [Stroke(100.0, 16.0)], "resident_pa_s": THIN, "tip_radius_mm": 1.5}
    given = {**right, **change}
    with pytest.raises(ValueError, match=text):
        inject(medium, given.pop("tips_mm"), Plain(), given.pop("strokes"), **given)


def test_what_is_no_medium_is_refused() -> None:
    medium = sphere(2.0, 8.0)
    empty = int(np.flatnonzero(medium.porosity == 0.0)[0])
    for wrong, text in (
        (replace(medium, porosity=medium.porosity * 2.0), "between 0 and 1"),
        (replace(medium, permeability_mm2=0.0 * medium.permeability_mm2), "positive permeability"),
        (replace(medium, permeability_mm2=medium.permeability_mm2[:, 1:]), "one box"),
        (replace(medium, outlets=()), "no way out"),
        (replace(medium, outlets=(Outlet("void", np.array([empty]), np.array([1.0])),)), "has no pores"),
    ):
        with pytest.raises(ValueError, match=text):
            push(wrong, centre(medium), 100.0)
