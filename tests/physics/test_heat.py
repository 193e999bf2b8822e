"""Heat on voxels against closed forms, its orders, what it conserves, and the dose it leaves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.special import erf, erfc

from trocar.physics.heat import (
    BLOOD_C,
    FAR,
    INSULATED,
    LONGEST,
    Heat,
    HeatMedium,
    cem43,
    equivalent,
    longest_step_s,
    minutes_above,
)

CAPACITY, CONDUCTIVITY, PERFUSION = 3.5e-3, 5e-4, 3e-5  #: soft tissue; the perfusion is high, so that it shows
ALPHA = CONDUCTIVITY / CAPACITY


def medium(
    shape: tuple[int, int, int],
    spacing: float | tuple[float, float, float] = 1.0,
    *,
    capacity: Any = CAPACITY,
    conductivity: Any = CONDUCTIVITY,
    perfusion: Any = 0.0,
    **more: Any,
) -> HeatMedium:
    sizes = (spacing,) * 3 if isinstance(spacing, float) else spacing
    fields = (np.broadcast_to(np.asarray(f, float), shape) for f in (capacity, conductivity, perfusion))
    return HeatMedium(*fields, sizes, **more)


def run(heat: Heat, temperature: np.ndarray, steps: int, source: Any = 0.0) -> np.ndarray:
    for _ in range(steps):
        temperature = heat.advance(temperature, source)
    return temperature


def middles(n: int, spacing: float, start: float = 0.0) -> np.ndarray:
    return start + spacing * (np.arange(n) + 0.5)


def radii(n: int, spacing: float) -> np.ndarray:
    """Distances of the middles of n^3 voxels from the corner of the box, an eighth of a ball's surroundings."""
    x = middles(n, spacing)
    return np.sqrt(x[:, None, None] ** 2 + x[None, :, None] ** 2 + x[None, None, :] ** 2)


def ball(n: int, spacing: float, radius: float, fine: int = 12) -> np.ndarray:
    """Share of each of n^3 voxels inside a ball about the corner of the box: chords along i, exact along themselves."""
    x = middles(n * fine, spacing / fine)
    chord = np.sqrt(np.maximum(radius**2 - x[:, None] ** 2 - x**2, 0.0)).reshape(n, fine, n, fine)
    return np.clip(chord[..., None] / spacing - np.arange(n), 0.0, 1.0).mean(axis=(1, 3))


class TestClosedForms:
    def hot_sphere(self, n: int, dt: float, until: float = 40.0) -> float:
        """Greatest error, K, of a ball of 6 mm that was 50 K hotter; an eighth of it in 24 mm."""
        spacing, radius, hotter = 24.0 / n, 6.0, 50.0
        heat = Heat(medium((n, n, n), spacing, faces_c=((None, 37.0),) * 3), dt, np.float64)
        got = run(heat, BLOOD_C + hotter * ball(n, spacing, radius), round(until / dt))
        r, wide = radii(n, spacing), math.sqrt(4.0 * ALPHA * until)
        low, high = (radius - r) / wide, (radius + r) / wide
        exact = hotter / 2.0 * (erf(low) + erf(high))
        exact -= hotter / r * math.sqrt(ALPHA * until / math.pi) * (np.exp(-(low**2)) - np.exp(-(high**2)))
        return float(np.abs(got - BLOOD_C - exact).max())

    def test_a_hot_sphere_and_the_order_in_the_voxel(self) -> None:
        coarse, fine = self.hot_sphere(16, 0.5), self.hot_sphere(32, 0.5)
        assert fine < 0.1
        assert math.log2(coarse / fine) > 1.8

    def test_two_half_spaces_in_contact(self) -> None:
        """The face between them takes (e1 T1 + e2 T2) / (e1 + e2), e = sqrt(k rho c), at once and for good."""
        n, spacing, dt = 400, 0.1, 0.05
        k, c = (np.repeat(v, n // 2) for v in ((1.8e-4, 5e-4), (1.7e-3, 3.5e-3)))
        column = (n, 1, 1)
        box = medium(
            column,
            (spacing, 1.0, 1.0),
            capacity=c.reshape(column),
            conductivity=k.reshape(column),
            faces_c=((80.0, 37.0), (None, None), (None, None)),
        )
        start = np.repeat([80.0, 37.0], n // 2).reshape(column)
        got = run(Heat(box, dt, np.float64), start, 400)[:, 0, 0]
        e1, e2 = math.sqrt(1.8e-4 * 1.7e-3), math.sqrt(5e-4 * 3.5e-3)
        contact = (e1 * 80.0 + e2 * 37.0) / (e1 + e2)
        x, t = middles(n // 2, spacing), 400 * dt
        hot = contact + (80.0 - contact) * erf(x[::-1] / math.sqrt(4.0 * 1.8e-4 / 1.7e-3 * t))
        cold = contact + (37.0 - contact) * erf(x / math.sqrt(4.0 * ALPHA * t))
        assert np.abs(got - np.concatenate([hot, cold])).max() < 0.03
        face = (1.8e-4 * got[n // 2 - 1] + 5e-4 * got[n // 2]) / (1.8e-4 + 5e-4)
        assert face == pytest.approx(contact, abs=0.01)

    def test_a_source_without_loss_heats_evenly(self) -> None:
        got = run(Heat(medium((4, 5, 6), faces_c=INSULATED), 2.0, np.float64), np.full((4, 5, 6), 37.0), 30, 1e-3)
        assert np.allclose(got, 37.0 + 60.0 * 1e-3 / CAPACITY, rtol=0.0, atol=1e-10)

    def steady_ball(self, n: int) -> tuple[float, float]:
        """Errors of the steady state about an even source in a ball: in its middle and 12 mm away, of their values."""
        spacing, radius, q, length = 28.0 / n, 5.0, 1e-3, math.sqrt(CONDUCTIVITY / PERFUSION)
        box = medium((n, n, n), spacing, perfusion=PERFUSION, faces_c=((None, 37.0),) * 3)
        got = run(Heat(box, 8.0, np.float64), np.full((n, n, n), 37.0), 150, q * ball(n, spacing, radius)) - 37.0
        r, x = radii(n, spacing) / length, radius / length
        inside = q / PERFUSION * (1.0 - (1.0 + x) * np.exp(-x) * np.sinh(r) / r)
        outside = q / PERFUSION * (x * np.cosh(x) - np.sinh(x)) * np.exp(-r) / r
        away = np.unravel_index(np.argmin(np.abs(r * length - 12.0)), r.shape)
        centre = float(got[0, 0, 0] / inside[0, 0, 0] - 1.0)
        return abs(centre), abs(float(got[away] / outside[away] - 1.0))

    def test_an_even_source_in_a_perfused_ball(self) -> None:
        (centre, away), (finer, _) = self.steady_ball(28), self.steady_ball(14)
        assert centre < 2e-3
        assert away < 1e-2
        assert finer > 3.0 * centre

    def test_a_point_source_switched_on(self) -> None:
        n, power, until = 40, 5e-2 / 8.0, 60.0  # an eighth of the source at the corner
        box = medium((n, n, n), perfusion=PERFUSION, faces_c=((None, 37.0),) * 3)
        source = np.zeros((n, n, n))
        source[0, 0, 0] = power
        got = run(Heat(box, 1.0, np.float64), np.full((n, n, n), 37.0), 60, source) - 37.0
        r, beta = radii(n, 1.0)[:, 3, 3], PERFUSION / CAPACITY
        length, wide, cooled = (
            math.sqrt(CONDUCTIVITY / PERFUSION),
            math.sqrt(4.0 * ALPHA * until),
            math.sqrt(beta * until),
        )
        exact = np.exp(-r / length) * erfc(r / wide - cooled) + np.exp(r / length) * erfc(r / wide + cooled)
        exact *= 8.0 * power / (8.0 * math.pi * CONDUCTIVITY * r)
        near = exact > 0.05
        assert near.sum() > 5
        assert np.allclose(got[near, 3, 3], exact[near], rtol=0.03)

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_a_slab_with_cold_faces(self, axis: int) -> None:
        n, until, q, length = 80, 120.0, 5e-4, 20.0
        shape, spacing = [1, 1, 1], [1.0, 1.0, 1.0]
        shape[axis], spacing[axis] = n, length / n
        faces: list[Any] = [(None, None)] * 3
        faces[axis] = (37.0, 37.0)
        box = medium(tuple(shape), tuple(spacing), perfusion=PERFUSION, faces_c=tuple(faces))
        got = run(Heat(box, 0.5, np.float64), np.full(shape, 37.0), 240, q).ravel() - 37.0
        x, exact = middles(n, length / n), np.zeros(n)
        for m in range(1, 200, 2):
            beta = ALPHA * (m * math.pi / length) ** 2 + PERFUSION / CAPACITY
            wave = np.sin(m * math.pi * x / length) * (1.0 - math.exp(-beta * until))
            exact += 4.0 * q / (m * math.pi * CAPACITY * beta) * wave
        assert np.abs(got - exact).max() < 2e-3 * exact.max()

    def test_a_wall_between_two_temperatures_is_straight(self) -> None:
        """Layers in series carry one flow: exact with harmonic faces, whatever the contrast."""
        k = np.array([2e-4, 6e-4, 3e-4, 1e-3]).reshape(4, 1, 1)
        box = medium((4, 1, 1), conductivity=k, faces_c=((45.0, 37.0), (None, None), (None, None)))
        got = run(Heat(box, 2.0, np.float64), np.full((4, 1, 1), 37.0), 400)[:, 0, 0]
        resistance = np.cumsum(np.repeat(0.5 / k.ravel(), 2))
        assert np.allclose(got, 45.0 - 8.0 * resistance[::2] / resistance[-1], atol=1e-9)


class TestOrderInTime:
    def bump(self, dt: float) -> np.ndarray:
        """A warm bump in tissue of uneven conductivity, perfused, 32 s later."""
        rng, x = np.random.default_rng(3), middles(12, 1.0, -6.0)
        uneven = CONDUCTIVITY * rng.uniform(0.5, 1.5, (12, 12, 12))
        start = 37.0 + 10.0 * np.exp(-(x[:, None, None] ** 2 + x[None, :, None] ** 2 + x**2) / 16.0)
        box = medium((12, 12, 12), conductivity=uneven, perfusion=PERFUSION)
        return run(Heat(box, dt, np.float64), start, round(32.0 / dt), 1e-4)

    def test_it_is_second(self) -> None:
        exact = self.bump(0.25)
        coarse, fine = (np.abs(self.bump(dt) - exact).max() for dt in (4.0, 2.0))
        assert fine < 0.02
        assert math.log2(coarse / fine) == pytest.approx(2.0, abs=0.2)

    def growth(self, seed: int, steps: float) -> float:
        """The most that ``steps`` longest steps in one make of any temperature in a small, most uneven medium."""
        rng = np.random.default_rng(seed)
        shape = (int(rng.integers(2, 5)), int(rng.integers(2, 5)), int(rng.integers(2, 5)))
        conductivity = np.where(rng.random(shape) < rng.uniform(0.1, 0.9), 10.0 ** rng.uniform(-3.0, 0.0), 1.0)
        capacity = 1e-3 * 10.0 ** rng.uniform(0.0, rng.uniform(0.0, 2.0), shape)
        box = medium(shape, conductivity=conductivity, capacity=capacity, faces_c=INSULATED)
        heat, one = Heat(box, steps * longest_step_s(box), np.float64), np.eye(box.capacity_j_per_mm3_k.size)
        after = [heat.advance(37.0 + column.reshape(shape)).ravel() - 37.0 for column in one]
        return float(np.abs(np.linalg.eigvals(np.array(after))).max())

    def test_no_temperature_grows_in_the_longest_step(self) -> None:
        assert max(self.growth(seed, 1.0) for seed in range(300)) < 1.0 + 1e-9

    def test_in_steps_four_times_as_long_some_may(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ValueError, match=r"dt_s=.* is too long for this medium: at most"):
            self.growth(0, 4.0)
        monkeypatch.setattr("trocar.physics.heat.LONGEST", 4.0 * LONGEST)
        assert max(self.growth(seed, 1.0) for seed in range(300)) > 1.5


class TestConservation:
    def test_energy_put_in_is_energy_held(self) -> None:
        rng = np.random.default_rng(1)
        capacity, conductivity = rng.uniform(1e-3, 4e-3, (2, 9, 8, 7)) * [[[[1.0]]], [[[0.1]]]]
        box = medium((9, 8, 7), (1.0, 0.7, 1.3), capacity=capacity, conductivity=conductivity, faces_c=INSULATED)
        source = rng.uniform(0.0, 1e-3, (9, 8, 7))
        got = run(Heat(box, 2.0, np.float64), np.full((9, 8, 7), 37.0), 150, source)
        assert np.sum(capacity * (got - 37.0)) == pytest.approx(300.0 * source.sum(), rel=1e-12)

    def test_single_precision_holds_it_to_a_part_in_a_hundred_thousand(self) -> None:
        box = medium((20, 20, 20), faces_c=INSULATED)
        source = np.where(ball(20, 1.0, 6.0) > 0.5, 2e-3, 0.0)
        got = run(Heat(box, 1.0), np.full((20, 20, 20), 37.0), 300, source)
        assert got.dtype == np.float32
        held = CAPACITY * np.sum(got.astype(np.float64) - 37.0)
        assert held == pytest.approx(300.0 * source.sum(), rel=1e-5)

    def test_blood_takes_heat_as_it_says(self) -> None:
        box = medium((3, 3, 3), perfusion=PERFUSION, faces_c=INSULATED)
        got = run(Heat(box, 1.0, np.float64), np.full((3, 3, 3), 60.0), 100)
        assert np.allclose(got, 37.0 + 23.0 * math.exp(-PERFUSION / CAPACITY * 100.0), atol=1e-3)

    def test_what_is_as_warm_as_blood_stays_so(self) -> None:
        got = run(Heat(medium((4, 4, 4), perfusion=PERFUSION, faces_c=FAR), 3.0), np.full((4, 4, 4), 37.0), 5)
        assert np.all(got == 37.0)

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_it_mirrors(self, axis: int) -> None:
        rng = np.random.default_rng(2)
        conductivity, start = rng.uniform(1e-4, 1e-3, (6, 7, 8)), rng.uniform(37.0, 60.0, (6, 7, 8))
        faces = [(37.0, None), (None, 40.0), (37.0, 39.0)]
        turned = [f[::-1] if n == axis else f for n, f in enumerate(faces)]
        one = run(Heat(medium((6, 7, 8), conductivity=conductivity, faces_c=tuple(faces)), 2.0, np.float64), start, 9)
        flipped = medium((6, 7, 8), conductivity=np.flip(conductivity, axis), faces_c=tuple(turned))
        other = run(Heat(flipped, 2.0, np.float64), np.flip(start, axis), 9)
        assert np.allclose(one, np.flip(other, axis), atol=1e-11)

    def test_the_axes_may_be_exchanged(self) -> None:
        """The order in which lines are solved shows only in what the step leaves out."""
        rng = np.random.default_rng(4)
        start = rng.uniform(37.0, 45.0, (6, 7, 8))
        one = run(Heat(medium((6, 7, 8), (1.0, 0.8, 1.2)), 0.25, np.float64), start, 40)
        turned = medium((8, 6, 7), (1.2, 1.0, 0.8))
        other = run(Heat(turned, 0.25, np.float64), np.transpose(start, (2, 0, 1)), 40)
        assert np.allclose(one, np.transpose(other, (1, 2, 0)), atol=1e-4)


class TestDose:
    def test_a_constant_temperature(self) -> None:
        for degrees, equal in ((43.0, 10.0), (45.0, 40.0), (42.0, 2.5)):
            assert cem43(np.full(600, degrees), 1.0) == pytest.approx(equal, rel=1e-12)

    def test_a_ramp_from_37_to_50_in_ten_minutes(self) -> None:
        middle = 37.0 + 13.0 * (np.arange(6000) + 0.5) / 6000
        assert cem43(middle, 0.1) == pytest.approx(141.495, abs=1e-3)

    def test_it_sums_over_the_first_axis_alone(self) -> None:
        assert cem43(np.full((60, 2, 3), 44.0), 1.0).tolist() == [[2.0] * 3] * 2
        assert equivalent([42.0, 43.0, 44.0]).tolist() == [0.25, 1.0, 2.0]

    def test_minutes_above(self) -> None:
        before, after = np.array([44.0, 46.0, 44.0, 47.0, 45.0]), np.array([44.5, 47.0, 48.0, 43.0, 45.0])
        assert minutes_above(45.0, before, after, 60.0) == pytest.approx([0.0, 1.0, 0.75, 0.5, 0.0])


class TestRefusals:
    def test_a_medium(self) -> None:
        ok = np.full((2, 2, 2), 1e-3)
        with pytest.raises(ValueError, match=r"box of voxels"):
            HeatMedium(np.ones(3), ok, ok, (1.0, 1.0, 1.0))
        with pytest.raises(ValueError, match=r"one box"):
            HeatMedium(ok, ok[:1], ok, (1.0, 1.0, 1.0))
        with pytest.raises(ValueError, match=r"spacing_mm"):
            HeatMedium(ok, ok, ok, (1.0, 0.0, 1.0))
        with pytest.raises(ValueError, match=r"capacity_j_per_mm3_k at voxel \[0, 0, 0\] is 0 J/mm3/K"):
            HeatMedium(0.0 * ok, ok, ok, (1.0, 1.0, 1.0))
        with pytest.raises(ValueError, match=r"conductivity_w_per_mm_k .* zero or more"):
            HeatMedium(ok, -ok, ok, (1.0, 1.0, 1.0))
        with pytest.raises(ValueError, match=r"perfusion_w_per_mm3_k .* nan"):
            HeatMedium(ok, ok, np.nan * ok, (1.0, 1.0, 1.0))
        with pytest.raises(ValueError, match=r"temperatures"):
            HeatMedium(ok, ok, ok, (1.0, 1.0, 1.0), faces_c=((math.nan, None), (None, None), (None, None)))

    def test_a_step_and_a_temperature(self) -> None:
        box = medium((2, 2, 2))
        for bad in (0.0, -1.0, math.inf):
            with pytest.raises(ValueError, match=r"dt_s"):
                Heat(box, bad)
        with pytest.raises(ValueError, match=r"shape \(2, 2, 3\)"):
            Heat(box, 1.0).advance(np.full((2, 2, 3), 37.0))

    def test_a_medium_cannot_be_changed(self) -> None:
        with pytest.raises(ValueError, match="read-only"):
            medium((2, 2, 2)).capacity_j_per_mm3_k[0, 0, 0] = 1.0
