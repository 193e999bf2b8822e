"""Strength by each criterion where the answer is known in closed form, and the refusal of what cannot be answered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trocar.physics.solid import Material, Solid
from trocar.physics.strength import (
    offset_strength_n,
    section_rigidity,
    stiffness_strength_n,
)


def bar(shape: tuple[int, int, int] = (6, 4, 5), modulus: float = 1000.0, spacing: tuple = (1.0, 1.0, 1.0)) -> Solid:
    return Solid(np.full(shape, modulus, np.float32), np.ones(shape, np.uint8), spacing_mm=spacing)


def test_the_stiffness_criterion_gives_the_published_load_of_the_published_stiffness() -> None:
    # 12 362 N/mm and 29 mm -> 2437.7864 N: Walle, Matheson & Boyd, GigaScience giaf094 (2025), appendix A.
    assert stiffness_strength_n(12362.0, 29.0) == pytest.approx(2437.7864, abs=1e-4)


@pytest.mark.parametrize(
    ("stiffness", "height"), [(0.0, 30.0), (-1.0, 30.0), (1e4, 0.0), (np.nan, 30.0), (1e4, np.inf)]
)
def test_the_stiffness_criterion_refuses_what_is_not_positive(stiffness: float, height: float) -> None:
    with pytest.raises(ValueError, match="must be a positive number"):
        stiffness_strength_n(stiffness, height)


class TestOffset:
    """A curve that is elastic up to ``FY`` and then rises with ``KT`` meets the offset line at a known load."""

    K, FY, HEIGHT = 10_000.0, 2000.0, 30.0

    def curve(self, kt: float, end_mm: float = 1.0, points: int = 41) -> tuple[np.ndarray, np.ndarray]:
        u = np.union1d(np.linspace(0.0, end_mm, points), [self.FY / self.K])
        return u, np.where(u * self.K < self.FY, u * self.K, self.FY + kt * (u - self.FY / self.K))

    @pytest.mark.parametrize("kt", [0.0, 100.0, 2500.0])
    def test_a_bilinear_curve(self, kt: float) -> None:
        shortening = (self.FY * (1.0 - kt / self.K) + self.K * 0.002 * self.HEIGHT) / (self.K - kt)
        expected = self.K * (shortening - 0.002 * self.HEIGHT)
        assert offset_strength_n(*self.curve(kt), self.K, self.HEIGHT) == pytest.approx(expected, rel=1e-12)

    def test_perfectly_plastic_is_the_yield_load(self) -> None:
        assert offset_strength_n(*self.curve(0.0), self.K, self.HEIGHT) == pytest.approx(self.FY)

    @given(st.integers(3, 60), st.floats(0.0, 4000.0))
    def test_it_does_not_depend_on_how_finely_a_bilinear_curve_is_sampled(self, points: int, kt: float) -> None:
        coarse = offset_strength_n(*self.curve(kt, points=points), self.K, self.HEIGHT)
        assert coarse == pytest.approx(offset_strength_n(*self.curve(kt, points=500), self.K, self.HEIGHT), rel=1e-9)

    def test_the_unloaded_point_may_be_left_out(self) -> None:
        u, load = self.curve(100.0)
        assert offset_strength_n(u[1:], load[1:], self.K, self.HEIGHT) == offset_strength_n(
            u, load, self.K, self.HEIGHT
        )

    def test_a_curve_that_ends_too_early_has_no_answer(self) -> None:
        assert offset_strength_n(*self.curve(0.0, end_mm=0.25), self.K, self.HEIGHT) is None
        assert offset_strength_n([0.1], [1000.0], self.K, self.HEIGHT) is None

    @pytest.mark.parametrize(
        ("u", "load", "words"),
        [
            ([0.0, 0.1], [0.0], "as many loads"),
            ([], [], "as many loads"),
            ([0.0, 0.1, 0.1], [0.0, 1.0, 2.0], "grow from point to point"),
            ([0.0, -0.1, -0.2], [0.0, -1000.0, -2000.0], "compression counted as positive"),
            ([0.0, 0.1], [5.0, 1000.0], "starts at 0 mm and 0 N"),
            ([0.0], [0.0], "grow from point to point"),
            ([0.0, 0.1], [0.0, np.nan], "not a number"),
            ([0.0, 0.1], [0.0, 1100.0], "do not belong to the same model"),
        ],
    )
    def test_it_refuses(self, u: list[float], load: list[float], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            offset_strength_n(u, load, self.K, self.HEIGHT)


class TestSection:
    def test_a_homogeneous_bar_is_the_textbook_beam(self) -> None:
        solid = bar((6, 4, 5), 1000.0, (2.0, 0.5, 3.0))
        b_j, b_i = 4 * 0.5, 5 * 3.0
        found = section_rigidity(solid, solid.filled)
        assert found.axial_n == pytest.approx(1000.0 * b_j * b_i)
        assert found.about_i_n_mm2 == pytest.approx(1000.0 * b_i * b_j**3 / 12.0)
        assert found.about_j_n_mm2 == pytest.approx(1000.0 * b_j * b_i**3 / 12.0)
        assert found.centroid_mm[:, 0] == pytest.approx([b_j / 2, b_i / 2])

    def test_two_materials_side_by_side_bend_about_their_common_axis(self) -> None:
        # Width 1, strips of 3 mm of 300 MPa and of 2500 MPa: the axis of the transformed section.
        solid = Solid(np.repeat([300.0, 2500.0], 3).reshape(1, 6, 1).astype(np.float32), np.ones((1, 6, 1), np.uint8))
        axis = (300.0 * 1.5 + 2500.0 * 4.5) / 2800.0
        stiffness = sum(e * 3.0 * (9.0 / 12.0 + (y - axis) ** 2) for e, y in ((300.0, 1.5), (2500.0, 4.5)))
        found = section_rigidity(solid, solid.filled)
        assert found.centroid_mm[0, 0] == pytest.approx(axis)
        assert found.about_i_n_mm2[0] == pytest.approx(stiffness)

    def test_a_notch_is_the_weakest_section(self) -> None:
        material = np.ones((9, 4, 5), np.uint8)
        material[5, :, :2] = 0
        solid = Solid(np.full(material.shape, 1000.0, np.float32), material)
        found = section_rigidity(solid, np.ones(material.shape, bool))
        assert (found.weakest, found.least_n) == (5, pytest.approx(1000.0 * 12.0))
        # Yield at 1 % of strain by the 0.2 % offset is a stress of 0.8 % of the modulus.
        assert found.strength_n(0.01) == pytest.approx(0.008 * 12_000.0)
        assert found.strength_n() == pytest.approx(0.0064 * 12_000.0)
        assert found.centroid_mm[1, 5] == pytest.approx(3.5)

    def test_slivers_at_the_ends_are_no_sections_but_a_lesion_is(self) -> None:
        material = np.ones((8, 4, 5), np.uint8)
        material[0, 1:] = material[7, :, 1:] = 0
        body = material > 0
        material[4, 1:, 1:] = 0
        found = section_rigidity(Solid(np.full(material.shape, 1000.0, np.float32), material), body)
        assert found.whole.tolist() == [False, *[True] * 6, False]
        assert (found.weakest, found.least_n) == (4, pytest.approx(8000.0))

    def test_orthotropic_bone_counts_with_its_modulus_along_k(self) -> None:
        soft = Material("soft along k", (0.25, 1.0, 1.0), poisson=(0.1, 0.1, 0.1))
        solid = Solid(np.full((2, 3, 3), 800.0, np.float32), np.ones((2, 3, 3), np.uint8), (soft,))
        assert section_rigidity(solid, solid.filled).axial_n == pytest.approx(9 * 200.0)

    def test_it_mirrors(self) -> None:
        rng = np.random.default_rng(5)
        modulus = rng.uniform(10.0, 1000.0, (5, 6, 7)).astype(np.float32)
        material = (rng.random(modulus.shape) < 0.8).astype(np.uint8)
        one = section_rigidity(Solid(modulus, material), material > 0)
        other = section_rigidity(Solid(modulus[:, :, ::-1], material[:, :, ::-1]), material[:, :, ::-1] > 0)
        assert one.axial_n == pytest.approx(other.axial_n)
        assert one.about_j_n_mm2 == pytest.approx(other.about_j_n_mm2)
        assert one.centroid_mm[1] == pytest.approx(7.0 - other.centroid_mm[1])

    def test_no_body_and_a_body_of_another_shape_are_refused(self) -> None:
        solid = bar()
        with pytest.raises(ValueError, match="no material inside"):
            section_rigidity(solid, np.zeros(solid.shape, bool))
        with pytest.raises(ValueError, match="shape"):
            section_rigidity(solid, np.ones((2, 2, 2), bool))
        with pytest.raises(ValueError, match="share=0"):
            section_rigidity(solid, solid.filled, share=0.0)
        with pytest.raises(ValueError, match="yield_strain"):
            section_rigidity(solid, solid.filled).strength_n(0.002)
