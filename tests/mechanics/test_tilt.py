"""Free tilt of a rigid plate: against beam theory, left against right, and superposition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.geometry import Side
from trocar.mechanics.filling import central, one_sided, two_sided
from trocar.mechanics.loads import COMPRESSION_MM, resultant
from trocar.mechanics.model import BoneModel, Ends
from trocar.mechanics.scenario import augmented
from trocar.mechanics.tilt import MOTIONS, UNIT_DEG, middle_mm, platen

from .body_models import block, mirrored, vertebra

SOFT, STIFF = 300.0, 1200.0
UNITS = (COMPRESSION_MM, np.radians(UNIT_DEG), np.radians(UNIT_DEG))


def two_halves(shape: tuple[int, int, int], axis: int) -> BoneModel:
    """A block between sliding plates whose left half (axis 2) or back half (axis 1) is stiffer; no Poisson's effect."""
    modulus = np.full(shape, SOFT)
    half = [slice(None)] * 3
    half[axis] = slice(shape[axis] // 2, None)
    modulus[tuple(half)] = STIFF
    return block(shape, modulus, ends=Ends.PLATES)


def bar(width: float, depth: float, length: float) -> tuple[float, float]:
    """Sinking at the middle (mm) and tilt (rad) of a bar of two halves under 1000 N through its middle.

    Composite beam, y from the middle across the halves: EA e + ES c = N and ES e + EI c = 0, with
    EA = sum E A, ES = sum E A y and EI = sum E (I + A y^2).
    """
    area, inertia, y = 0.5 * width * depth, depth * (0.5 * width) ** 3 / 12.0, 0.25 * width
    ea, es = area * (SOFT + STIFF), area * y * (STIFF - SOFT)
    ei = (SOFT + STIFF) * (inertia + area * y * y)
    strain, curvature = np.linalg.solve([[ea, es], [es, ei]], [1000.0, 0.0])
    return strain * length, -curvature * length


@pytest.mark.parametrize("axis", [1, 2])
def test_a_bar_of_two_halves_tilts_as_a_composite_beam(axis: int) -> None:
    """Towards the softer half: to the right, or forward."""
    shape = (6, 6, 16) if axis == 2 else (6, 16, 6)
    plate = platen(two_halves(shape, axis))
    sink, tilt = bar(16.0, 6.0, 6.0)
    down, forward, left = plate.motion(1000.0)
    # sixteen elements across make the beam stiffer in bending by about 1 / 16^2
    assert plate.sink_mm(1000.0) == pytest.approx(sink, rel=5e-3)
    turned, other = (-left, forward) if axis == 2 else (forward, left)
    assert turned == pytest.approx(tilt, rel=1e-2)
    assert other == pytest.approx(0.0, abs=1e-3 * tilt)
    assert down < plate.sink_mm(1000.0)


def test_the_tilt_converges_with_the_square_of_the_grid() -> None:
    _, tilt = bar(8.0, 4.0, 4.0)
    errors = []
    for n in (1, 2, 4):
        modulus = np.full((4 * n, 4, 8 * n), SOFT)
        modulus[:, :, 4 * n :] = STIFF
        model = block(modulus.shape, modulus, ends=Ends.PLATES, spacing_mm=(1.0 / n, 1.0, 1.0 / n))
        errors.append(abs(-platen(model).motion(1000.0)[2] / tilt - 1.0))
    rates = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert rates == pytest.approx(2.0, abs=0.25)


def test_a_force_through_the_stiffness_centre_does_not_tilt() -> None:
    model = two_halves((5, 4, 8), 2)
    plate = platen(model)
    _, forward, left = plate.motion(1000.0, plate.about_mm)
    assert abs(forward) < 1e-9
    assert abs(left) < 1e-9
    assert plate.about_mm[1] == pytest.approx(4.0 + 2.0 * (STIFF - SOFT) / (STIFF + SOFT))


def test_no_moment_is_left_about_the_force() -> None:
    """The superposed solution carries the force through the stated place, and nothing else."""
    model = augmented(vertebra(mm=4.0), one_sided(vertebra(mm=4.0), Side.LEFT, percent=12.0)).model
    plate = platen(model)
    through = (15.0, 20.0)
    shares = plate.motion(700.0, through)
    found = [resultant(model, case) for case in plate.cases]
    force = sum(s / u * np.array(r.force_n) for s, u, r in zip(shares, UNITS, found, strict=True))
    moment = sum(s / u * np.array(r.moment_n_mm) for s, u, r in zip(shares, UNITS, found, strict=True))
    assert -force[0] == pytest.approx(700.0, rel=1e-4)
    _, j, i = found[0].about_mm
    about_force = moment[1:] - (-force[0]) * np.array([through[1] - i, -(through[0] - j)])
    assert np.abs(about_force).max() < 1e-3 * 700.0


def test_the_matrix_is_symmetric_before_it_is_made_so() -> None:
    """Betti: the force that belongs to one motion in another's case is that of the other in the first's."""
    model = augmented(vertebra(mm=4.0), one_sided(vertebra(mm=4.0), Side.RIGHT, percent=15.0)).model
    plate = platen(model)
    raw = np.array([[resultant(model, c).against(m) for c in plate.cases] for m in MOTIONS]) / UNITS
    scale = np.sqrt(np.outer(np.diag(raw), np.diag(raw)))
    assert np.abs(raw - raw.T).max() / scale.max() < 1e-5
    assert np.linalg.eigvalsh(plate.stiffness / scale)[0] > 0.0


def test_left_and_right_exchange_and_two_sides_do_not_toggle() -> None:
    """One-sided filling leans to the untreated side, as Liebschner et al. (Spine 2001;26:1547) found; two-sided not."""
    model = vertebra(mm=3.0, noise=0.2)
    tilts = {}
    for name, filling in (
        ("left", one_sided(model, Side.LEFT, percent=15.0)),
        ("right", one_sided(model, Side.RIGHT, percent=15.0)),
        ("two-sided", two_sided(model, percent=15.0)),
        ("central", central(model, percent=15.0)),
    ):
        tilts[name] = platen(augmented(model, filling).model).motion(1000.0)[1:]
    assert tilts["left"][1] < 0.0 < tilts["right"][1]
    assert tilts["left"][1] == pytest.approx(-tilts["right"][1], rel=1e-4)
    assert tilts["left"][0] == pytest.approx(tilts["right"][0], rel=1e-4)
    for even in ("two-sided", "central"):
        assert abs(tilts[even][1]) < 1e-3 * abs(tilts["left"][1])


def test_the_mirrored_model_mirrors_its_tilt() -> None:
    model = augmented(vertebra(mm=4.0), one_sided(vertebra(mm=4.0), Side.LEFT, ml=3.0)).model
    here, there = (platen(m) for m in (model, mirrored(model)))
    assert there.motion(500.0) == pytest.approx(here.motion(500.0) * [1.0, 1.0, -1.0], rel=1e-4)


def test_the_measures_say_what_was_done() -> None:
    model = two_halves((4, 4, 8), 2)
    plate = platen(model)
    forward, left, free, *_ = plate.measures()
    assert (forward.unit, left.unit, free.unit) == ("deg", "deg", "N/mm")
    assert left.value == pytest.approx(np.degrees(plate.motion(1000.0)[2]))
    assert free.value == pytest.approx(1000.0 / plate.sink_mm(1000.0))
    assert "1000 N" in left.method
    assert middle_mm(model) == (2.0, 4.0)


def test_a_beam_bends_with_its_own_stiffness_both_ways() -> None:
    """E I / L for each radian: 8 wide, 4 deep, 6 long, nu = 0. Eight elements across make it 3 % stiffer."""
    wide, deep = 16, 8
    plate = platen(block((6, deep, wide), 1000.0, ends=Ends.PLATES, spacing_mm=(1.0, 0.5, 0.5)))
    found = {m.name: m for m in plate.measures()}
    radian = np.radians(1.0)
    for name, across, along in (("bending_forward", 4.0, 8.0), ("bending_sideways", 8.0, 4.0)):
        beam = 1000.0 * along * across**3 / 12.0 / 6.0 * radian / 1000.0
        assert found[name].value == pytest.approx(beam, rel=0.04)
        assert found[name].unit == "N.m/deg"


def test_the_field_belongs_to_the_motion() -> None:
    """The node under the force goes down as the plate does."""
    model = two_halves((4, 4, 8), 2)
    plate = platen(model)
    field = plate.displacement_mm(1000.0)
    assert -field[0, -1, 2, 4] == pytest.approx(plate.sink_mm(1000.0), rel=1e-6)


@pytest.mark.parametrize("ends", Ends)
def test_every_kind_of_ends_tilts_to_the_softer_side(ends: Ends) -> None:
    model = replace(vertebra(mm=2.0), ends=ends)
    treated = augmented(model, one_sided(model, Side.RIGHT, percent=12.0)).model
    before, after = platen(model), platen(treated)
    assert after.motion(1000.0)[2] > 10.0 * abs(before.motion(1000.0)[2])
    assert after.sink_mm(1000.0) < before.sink_mm(1000.0)


def test_starting_from_another_solution_changes_nothing() -> None:
    model = vertebra(mm=3.0)
    treated = augmented(model, central(model, percent=15.0)).model
    cold, warm = platen(treated), platen(treated, start=platen(model))
    assert warm.stiffness == pytest.approx(cold.stiffness, rel=1e-4, abs=1e-6 * np.abs(cold.stiffness).max())
    assert sum(c.iterations for c in warm.cases) <= sum(c.iterations for c in cold.cases)
