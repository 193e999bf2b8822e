"""Sweeps: the table, its progress and its failures, and the trends that others have published."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import trocar
import trocar.mechanics.sweep as sweeping
from trocar.geometry import Side
from trocar.measure import Status
from trocar.mechanics.answers import press, spread_text, stiffness, strain_energy, strengths, variants
from trocar.mechanics.crush import crush
from trocar.mechanics.filling import central, one_sided, two_sided
from trocar.mechanics.loads import Load
from trocar.mechanics.model import bone_model
from trocar.mechanics.scenario import as_is, augmented, fractured, intact, lysed
from trocar.mechanics.sweep import Sweep, fillings, sweep
from trocar.mechanics.tilt import platen
from trocar.mechanics.wall import bulge_mm, wall_measures

from .body_models import vertebra


@pytest.fixture(scope="module")
def table() -> Sweep:
    model = vertebra(mm=3.0, noise=0.2)
    crushed = fractured(model)
    return sweep((as_is(model), crushed, *fillings(crushed, percent=(20.0, 8.0), kinds=(central, two_sided))))


def test_the_rows_are_the_scenarios_in_their_order(table: Sweep) -> None:
    assert table.names == (
        "as it is",
        "fractured",
        "fractured, cement central 8 %",
        "fractured, cement central 20 %",
        "fractured, cement two-sided 8 %",
        "fractured, cement two-sided 20 %",
    )
    assert table.status is Status.SUCCESS
    assert table.column("cement_percent") == pytest.approx([0.0, 0.0, 8.0, 20.0, 8.0, 20.0], abs=0.6)
    assert table.rows[3].method.endswith("bone inside the cement carries nothing.")


def test_a_row_says_what_a_single_question_says(table: Sweep) -> None:
    """Starting from another scenario's solution changes the way, not the answer."""
    model = vertebra(mm=3.0, noise=0.2)
    scenario = fractured(model).then(augmented, central(model, percent=20.0))
    row = table.rows[3]
    assert row.value("stiffness") == pytest.approx(press(scenario.model).stiffness, rel=1e-5)
    tilt = {m.name: m.value for m in platen(scenario.model).measures()}
    assert row.value("tilt_forward") == pytest.approx(tilt["tilt_forward"], rel=1e-3)


def test_columns_and_ratios(table: Sweep) -> None:
    ratio = table.relative("stiffness", "as it is")
    assert ratio[0] == 1.0
    assert ratio == pytest.approx(table.column("stiffness") / table.rows[0].value("stiffness"))
    assert np.isnan(table.column("load_share_cement")[:2]).all()
    assert (table.column("load_share_cement")[2:] > 0.0).all()
    with pytest.raises(ValueError, match="no scenario is called 'whole'"):
        table.relative("stiffness", "whole")


def test_three_strengths_stand_in_every_row(table: Sweep) -> None:
    model = vertebra(mm=3.0, noise=0.2)
    loaded = press(model)
    single = {m.name: m.value for m in crush(loaded).strengths(loaded)}
    for name in ("strength_stiffness", "strength_section", "strength_offset"):
        assert table.rows[0].value(name) == pytest.approx(single[name], rel=1e-3)
        assert np.isfinite(table.column(name)).all()
    short = sweep((as_is(model),), tilt=False, offset=False).rows[0]
    assert np.isnan(short.value("strength_offset"))
    rigid = replace(model, solid=replace(model.solid, yield_mpa=None))
    assert np.isnan(sweep((as_is(rigid),), tilt=False).rows[0].value("strength_offset"))


def test_progress_is_told_row_by_row() -> None:
    model = vertebra(mm=4.0)
    told: list[tuple[int, int, str]] = []
    sweep((as_is(model), fractured(model)), tilt=False, progress=lambda *a: told.append(a))
    assert told == [(1, 2, "as it is"), (2, 2, "fractured")]


def test_what_did_not_converge_is_a_row_without_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    model = vertebra(mm=4.0)
    real = sweeping.press

    def stuck(given, **kwargs):
        loaded = real(given, **kwargs)
        if given is not model:
            return loaded
        return replace(loaded, deformation=replace(loaded.deformation, status=Status.NOT_CONVERGED))

    monkeypatch.setattr(sweeping, "press", stuck)
    found = sweep((as_is(model), fractured(model)), tilt=False)
    assert [r.status for r in found.rows] == [Status.NOT_CONVERGED, Status.SUCCESS]
    assert found.status is Status.NOT_CONVERGED
    assert found.rows[0].measures == ()
    assert np.isnan(found.column("stiffness")[0])
    assert found.column("stiffness")[1] == pytest.approx(press(fractured(model).model).stiffness, rel=1e-5)


def test_intervals_are_those_of_single_questions() -> None:
    model = augmented(vertebra(mm=4.0), central(vertebra(mm=4.0), percent=15.0)).model
    (row,) = sweep((as_is(model),), intervals=True).rows
    others = variants(model)
    single = [_elastic(m) for m in (model, *others.values())]
    for m in row.measures:
        if m.name in single[0]:
            values = [each[m.name] for each in single]
            assert (m.low, m.high) == pytest.approx((min(values), max(values)), rel=1e-4)
            assert m.interval == spread_text(others)
            assert m.low <= m.value <= m.high
    assert next(m for m in row.measures if m.name == "tilt_left").low is None
    assert single[0].keys() < {m.name for m in row.measures}
    assert len(single[0]) == 4


def _elastic(model):
    loaded = press(model)
    return {m.name: m.value for m in (stiffness(loaded), *strengths(loaded), strain_energy(loaded))}


def test_a_curve_that_did_not_converge_costs_its_own_strength_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(loaded):
        curve = crush(loaded, (0.002,))
        return replace(curve, status=Status.NOT_CONVERGED)

    monkeypatch.setattr(sweeping, "crush", stuck)
    (row,) = sweep((as_is(vertebra(mm=4.0)),), tilt=False).rows
    assert row.status is Status.NOT_CONVERGED
    assert np.isnan(row.value("strength_offset"))
    assert row.value("stiffness") > 0.0


def test_nothing_to_sweep_and_two_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one scenario"):
        sweep(())
    with pytest.raises(ValueError, match="sweep scenarios of one model"):
        sweep((as_is(vertebra(mm=4.0)), as_is(vertebra(mm=3.0))))


def test_more_cement_is_stiffer_whatever_its_kind() -> None:
    """Each filling contains the one before, and the cement is stiffer than the bone: the energy bound is monotone."""
    before = fractured(vertebra(mm=3.0))
    for kind in (central, partial(one_sided, side=Side.LEFT), two_sided):
        found = sweep((before, *fillings(before, percent=(5.0, 10.0, 15.0, 20.0, 30.0), kinds=(kind,))), tilt=False)
        assert np.all(np.diff(found.column("stiffness")) > 0.0)
        assert np.all(np.diff(found.column("strength_section")) >= 0.0)


def test_published_trends_of_filling() -> None:
    """On a body of 44 x 32 x 26 mm at 1 mm, 29 ml, crushed by a wedge of 30 % of the height.

    - Kim et al. 2012 (T12): a filling of 30 % is as stiff as normal: here 0.99 of intact.
    - 4.4 ml in cadavers (J Orthop Surg Res 2020): stiffer than fractured, softer than intact: here 0.82.
    - Liebschner et al. (Spine 2001;26:1547, from memory, unverified): one side is about as stiff as two, but leans to
      the untreated side: here it leans so, and is 7 % stiffer, since one tall lobe comes nearer to both endplates.
      Their 14 % that restore stiffness are not reproduced (0.81 to 0.88 here, from 0.74): the cement stays 2 mm from
      the endplate, where most of the crushed bone lies.
    - Molloy et al. 2003 (from memory, unverified): strength is back at 16 %, before stiffness. Not by the criteria
      read from moduli, which take crushed bone for weak; by the 0.2 % offset, see ``test_crush``.
    """
    model = vertebra(mm=1.0, noise=0.2)
    crushed = fractured(model)
    named = {
        "central 30": central(model, percent=30.0),
        "central 4.4 ml": central(model, ml=4.4),
        "one side": one_sided(model, Side.LEFT, percent=14.0),
        "two sides": two_sided(model, percent=14.0),
    }
    found = sweep((as_is(model), crushed, *(crushed.then(augmented, f) for f in named.values())), tilt=False)
    ratio = dict(zip(("intact", "crushed", *named), found.relative("stiffness", "as it is"), strict=True))
    assert ratio["central 30"] == pytest.approx(1.0, abs=0.1)
    assert ratio["crushed"] < ratio["central 4.4 ml"] < 1.0
    assert ratio["one side"] == pytest.approx(ratio["two sides"], abs=0.12)
    one, two = (platen(crushed.then(augmented, named[n]).model).motion(1000.0)[2] for n in ("one side", "two sides"))
    assert one < 0.0
    assert abs(two) < 0.01 * abs(one)


def test_published_trends_of_lysis() -> None:
    """Lytic lesions in axial compression.

    - Micro finite elements of a whole vertebra, holes of 4 to 35 % of its volume: 3 to 30 % of stiffness lost, linear
      in the size, hardly dependent on the place. Here 4 to 24 %, within 4 % of one another at one size.
    - Salvatore et al. 2018: bulge grows with the lesion, from none to 15 % to 30 %. Here by a third and by 78 %; there
      by 178 % and again by 88 %, in a segment with discs, whose bulging nucleus loads the middle of the endplate.
    - Tschirhart et al. 2006: 800 N of compression bulge the wall 27 times as much as 1 N m of flexion. Here 11 times,
      between caps.
    """
    model = vertebra(mm=1.0, noise=0.2)
    sound = press(model)
    sizes, lost = np.array([4.0, 10.0, 20.0, 35.0]), []
    for percent in sizes:
        lost.append(100.0 * (1.0 - press(lysed(model, percent=percent).model).stiffness / sound.stiffness))
    assert 2.0 < lost[0] < 6.0
    assert 18.0 < lost[-1] < 32.0
    assert np.corrcoef(sizes, lost)[0, 1] ** 2 > 0.97
    front = press(lysed(model, percent=20.0, place=(0.5, 0.3, 0.5)).model)
    assert 100.0 * (1.0 - front.stiffness / sound.stiffness) == pytest.approx(lost[2], abs=4.0)
    half, whole = (wall_measures(press(lysed(model, percent=p).model))[0].value for p in (15.0, 30.0))
    assert wall_measures(sound)[0].value < half < whole
    flexed = press(model, Load.FLEXION)
    axial = 800.0 / sound.resistance * np.nanmax(bulge_mm(sound))
    assert axial > 5.0 * 1000.0 / flexed.resistance * np.nanmax(bulge_mm(flexed))


def test_filling_the_lesion_gives_back_what_it_took() -> None:
    model = vertebra(mm=3.0)
    sick = lysed(model, percent=15.0)
    found = sweep((sick, sick.then(intact), sick.then(augmented, central(model, percent=15.0))), tilt=False)
    lysed_, healed, cemented = found.relative("stiffness", sick.name)
    assert healed == pytest.approx(press(model).stiffness / press(sick.model).stiffness, rel=0.02)
    assert lysed_ < healed
    assert lysed_ < cemented


@pytest.mark.slow
def test_a_real_vertebra_takes_cement_as_cadavers_did(shared_data: Path) -> None:
    """L1 of a chest CT, its body between caps, crushed by a wedge.

    Liebschner et al. (Spine 2001;26:1547, from memory, unverified): 14 % restore the stiffness, 30 % exceed it by half.
    """
    ct = trocar.read_ct(shared_data / "lidc0001" / "lidc0001_lower_dicom.zip")
    labels = shared_data / "lidc0001" / "lidc0001_lower_totalseg_mask.nii.gz"
    model = bone_model(trocar.read_anatomy(labels, on=ct, scheme="totalseg-v2"), "L1")
    crushed = fractured(model)
    found = sweep((as_is(model), crushed, *fillings(crushed, percent=(14.0, 30.0), kinds=(central, two_sided))))
    assert found.status is Status.SUCCESS
    ratio = found.relative("stiffness", "as it is")
    assert ratio[1] < 0.95
    assert ratio[[2, 4]] == pytest.approx(1.0, abs=0.2)
    assert np.all(ratio[[3, 5]] > 1.4)
    strength = found.relative("strength_offset", "as it is")
    assert strength[1] == pytest.approx(0.95, abs=0.05)
    assert np.all(strength[2:] > 1.1)
