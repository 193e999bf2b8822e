"""Filling goals on blocks whose numbers are known, their mirror, and simulated cement as a filling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.anatomy.levels import Level
from trocar.anatomy.vertebra import Part
from trocar.geometry import Side
from trocar.injection.goals import FAR_MM, Goals, filling_goals, simulated_filling
from trocar.measure import Severity
from trocar.mechanics.model import BoneModel, Ends
from trocar.mechanics.scenario import augmented
from trocar.volume import Volume

PORES = 0.8


def body(mm: float = 1.0, wide_mm: float = 40.0) -> BoneModel:
    """A block 24 high, 30 deep and 40 wide (mm) with a canal behind its middle and an arch about it."""
    nk, nj, ni = (round(x / mm) for x in (24.0, 30.0, wide_mm))
    extra = round(12.0 / mm)
    parts = np.zeros((nk, nj + extra, ni), np.uint8)
    parts[:, :nj] = Part.BODY
    parts[:, nj:] = Part.ARCH
    parts[:, nj : nj + extra // 2, ni // 4 : ni - ni // 4] = Part.CANAL
    affine = np.diag([mm, mm, mm, 1.0])
    affine[:3, 3] = 0.5 * mm  # the box's corner lies at the origin, whatever the voxel
    return BoneModel.from_density(
        np.full(parts.shape, 0.1), parts, (mm, mm, mm), level=Level.L1, ends=Ends.EMBEDDED, affine=affine
    )


def full(model: BoneModel, where) -> tuple[np.ndarray, np.ndarray]:
    """Content and saturation of cement that fills the pores of some voxels."""
    saturation = np.zeros(model.solid.shape)
    saturation[where] = 1.0
    return saturation * PORES * model.solid.voxel_mm3, saturation


def values(goals: Goals) -> dict[str, float]:
    return {m.name: m.value for m in goals.measures}


def texts(goals: Goals) -> str:
    return " ".join(f.text for f in goals.findings)


def test_a_block_of_cement_has_the_numbers_that_can_be_counted() -> None:
    """10 by 12 by 8 mm, its middle 5 mm left, 4 mm in front and 1 mm above the body's."""
    model = body()
    found = values(filling_goals(model, *full(model, np.s_[8:18, 5:17, 21:29]), needle=Side.LEFT))
    assert found["cement_volume"] == pytest.approx(PORES * 0.96)
    assert found["fill_share"] == pytest.approx(100.0 * PORES * 960 / (24 * 30 * 40))
    assert found["cement_off_centre_left"] == pytest.approx(5.0)
    assert found["cement_off_centre_posterior"] == pytest.approx(-4.0)
    assert found["cement_off_centre_superior"] == pytest.approx(1.0)
    assert found["cement_beyond_midline"] == 0.0
    assert found["cement_in_left_half"] == pytest.approx(100.0 * PORES * 960 / (24 * 30 * 20))
    assert found["cement_in_right_half"] == 0.0
    assert found["cement_on_superior_endplate"] == found["cement_on_inferior_endplate"] == 0.0
    # 13 mm of bone lie between the block's back and the wall's
    assert found["cement_to_posterior_wall"] == pytest.approx(13.0)


def test_numbers_do_not_depend_on_the_voxel() -> None:
    """The same block in voxels of 1 and 0.5 mm."""
    coarse, fine = body(), body(0.5)
    one = values(filling_goals(coarse, *full(coarse, np.s_[8:24, 5:17, 12:24]), needle=Side.RIGHT))
    two = values(filling_goals(fine, *full(fine, np.s_[16:48, 10:34, 24:48]), needle=Side.RIGHT))
    assert two == pytest.approx(one)
    assert one["cement_beyond_midline"] == pytest.approx(100.0 / 3.0)


def test_what_lies_on_the_midline_counts_half_to_either_side() -> None:
    model = body(wide_mm=41.0)
    found = filling_goals(model, *full(model, np.s_[8:18, 5:17, 20:21]), needle=Side.LEFT)
    assert found.measure("cement_beyond_midline").value == pytest.approx(50.0)
    assert found.measure("cement_off_centre_left").value == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("layers", "superior", "inferior", "says"),
    [
        (np.s_[:, 5:15, 5:15], 100.0, 100.0, "touches both endplates"),
        (np.s_[10:24, 5:15, 5:15], 100.0, 0.0, "touches the superior endplate only"),
        (np.s_[1:12, 5:15, 5:15], 0.0, 100.0, "touches the inferior endplate only"),
        (np.s_[2:22, 5:15, 5:15], 0.0, 0.0, "touches neither endplate"),
        (np.s_[1:23, 5:15, 5:15], 100.0, 100.0, "touches both endplates"),
        (np.s_[:, 5:12, 5:12], 49.0, 49.0, "touches neither endplate"),
    ],
)
def test_endplates_are_touched_within_a_voxel(layers, superior: float, inferior: float, says: str) -> None:
    model = body()
    found = filling_goals(model, *full(model, layers))
    assert values(found)["cement_on_superior_endplate"] == superior
    assert values(found)["cement_on_inferior_endplate"] == inferior
    assert says in texts(found)


def test_a_dished_endplate_is_touched_where_it_is() -> None:
    """The middle of the upper endplate lies 3 mm deeper."""
    model = body()
    parts = np.array(model.parts)
    parts[21:, 10:20, 12:28] = Part.NONE
    dished = BoneModel.from_density(
        np.full(parts.shape, 0.1), parts, model.solid.spacing_mm, level=Level.L1, ends=Ends.EMBEDDED
    )
    found = filling_goals(dished, *full(dished, np.s_[10:21, 12:18, 14:24]))
    assert values(found)["cement_on_superior_endplate"] == 60.0


def test_crossing_is_told_in_words() -> None:
    model = body()
    across = filling_goals(model, *full(model, np.s_[8:18, 5:17, 10:30]), needle=Side.LEFT)
    assert "Cement crosses the midline: 50 % of it lies on the right, beyond the midline." in texts(across)
    aside = filling_goals(model, *full(model, np.s_[8:18, 5:17, 24:30]), needle=Side.LEFT)
    (told,) = (f for f in aside.findings if "halves" in f.text)
    assert told.severity is Severity.CAUTION
    assert told.text == "Cement does not fill both halves: 0 % of it lies on the right, beyond the midline."
    both = filling_goals(model, *full(model, np.s_[8:18, 5:17, 17:30]))
    assert both.measure("cement_beyond_midline").value == pytest.approx(100.0 * 3 / 13)
    assert "in the half with less" in texts(both)


def test_cement_near_the_posterior_wall_is_told() -> None:
    model = body()
    near = filling_goals(model, *full(model, np.s_[8:18, 10:26, 15:25]))
    assert near.measure("cement_to_posterior_wall").value == pytest.approx(4.0)
    assert "Cement ends 4.0 mm from the posterior wall." in texts(near)
    at = filling_goals(model, *full(model, np.s_[8:18, 10:30, 15:25]))
    assert at.measure("cement_to_posterior_wall").value == 0.0
    assert "posterior wall" not in texts(filling_goals(model, *full(model, np.s_[8:18, 10:25, 15:25])))


def test_a_voxel_counts_as_cement_from_half_on() -> None:
    model = body()
    content, share = full(model, np.s_[8:18, 10:20, 15:25])
    content[8:18, 20:28, 15:25] = 0.4 * PORES
    share[8:18, 20:28, 15:25] = 0.4
    assert filling_goals(model, content, share).measure("cement_to_posterior_wall").value == pytest.approx(10.0)


def test_vessels_are_told_with_their_distance_and_nothing_else_is() -> None:
    model = body()
    cement = np.s_[8:18, 5:17, 10:30]

    def block(j_mm: float) -> Volume:
        affine = np.diag([2.0, 2.0, 2.0, 1.0])
        affine[:3, 3] = (15.5, j_mm, 5.5)
        return Volume(np.ones((8, 3, 3), bool), affine, unit="mask")

    # the front of the cement lies at 5, the back of the vessel at -11 + 5
    structures = {"aorta": block(-11.0), "lung_left": block(-8.0), "iliac_artery_left": block(-90.0)}
    found = filling_goals(model, *full(model, cement), structures=structures)
    away = found.measure("cement_to_aorta")
    assert away.value == pytest.approx(11.0)
    assert (away.low, away.high) == pytest.approx((10.5, 11.5))
    assert not {"cement_to_lung_left", "cement_to_iliac_artery_left"} & set(values(found))
    assert FAR_MM < 80.0
    touching = filling_goals(model, *full(model, cement), structures={"aorta": block(1.0)})
    assert touching.measure("cement_to_aorta").value == 0.0


def test_left_and_right_exchange() -> None:
    model = body()
    content, share = full(model, np.s_[8:18, 5:17, 17:33])
    content[10:14] *= 0.5
    one = values(filling_goals(model, content, share, needle=Side.LEFT))
    two = values(filling_goals(model, content[..., ::-1], share[..., ::-1], needle=Side.RIGHT))
    swapped = {**two, "cement_off_centre_left": -two["cement_off_centre_left"]}
    swapped["cement_in_left_half"] = two["cement_in_right_half"]
    swapped["cement_in_right_half"] = two["cement_in_left_half"]
    assert swapped == pytest.approx(one, abs=1e-9)


def test_cement_outside_the_body_counts_in_the_volume_alone() -> None:
    model = body()
    content, share = full(model, np.s_[8:18, 5:17, 10:30])
    before = values(filling_goals(model, content, share))
    content[8:12, 37:40, :4], share[8:12, 37:40, :4] = PORES, 1.0
    after = values(filling_goals(model, content, share))
    assert after.pop("cement_volume") == pytest.approx(before.pop("cement_volume") + PORES * 0.048)
    assert after == before


def test_without_cement_in_the_body_that_is_said() -> None:
    model = body()
    none = filling_goals(model, np.zeros(model.solid.shape), np.zeros(model.solid.shape))
    assert values(none) == {"cement_volume": 0.0, "fill_share": 0.0}
    assert texts(none) == "No cement stays in the body of L1."
    thin = filling_goals(model, np.full(model.solid.shape, 0.1), np.full(model.solid.shape, 0.1))
    assert "cement_to_posterior_wall" not in values(thin)
    with pytest.raises(KeyError, match="cement_to_aorta"):
        none.measure("cement_to_aorta")


@pytest.mark.parametrize(
    ("content", "share", "says"),
    [
        (np.zeros((3, 3, 3)), None, r"content_mm3 \(3, 3, 3\) must lie on the model's grid"),
        (None, np.zeros((3, 3, 3)), r"saturation \(3, 3, 3\) must lie on the model's grid"),
        (1.5, None, "content_mm3 must lie between 0 and a voxel's 1 mm3"),
        (np.nan, None, "content_mm3 must lie between"),
        (None, 1.2, "saturation must lie between 0 and 1 everywhere; it goes up to 1.2"),
        (None, -0.1, "saturation must lie between 0 and 1"),
    ],
)
def test_fields_that_cannot_be_are_refused(content, share, says: str) -> None:
    model = body()
    fields = [np.zeros(model.solid.shape) if x is None else x for x in (content, share)]
    fields = [np.full(model.solid.shape, x) if np.isscalar(x) else x for x in fields]
    with pytest.raises(ValueError, match=says):
        filling_goals(model, *fields)


def ball(model: BoneModel, centre_mm: tuple[float, float, float], radius_mm: float) -> Volume:
    """Saturation of a ball with a soft edge, about a place k, j, i in mm from the box's corner."""
    h = model.solid.spacing_mm[0]
    away = np.sqrt(sum((h * (n + 0.5) - c) ** 2 for n, c in zip(np.indices(model.solid.shape), centre_mm, strict=True)))
    return model.volume(np.clip(0.5 + (radius_mm - away) / 2.0, 0.0, 1.0), "1")


@pytest.mark.parametrize("mm", [1.0, 0.75, 2.0])
def test_simulated_cement_keeps_its_volume_and_place_on_another_grid(mm: float) -> None:
    flow, solid = body(1.5), body(mm)
    soaked = ball(flow, (12.0, 13.0, 18.0), 8.0)
    found = simulated_filling(solid, soaked)
    assert found.ml == pytest.approx(
        float(soaked.array.sum()) * soaked.voxel_ml, abs=1.01 * solid.solid.voxel_mm3 / 1000
    )
    assert found.ml == pytest.approx(found.region.sum() * solid.solid.voxel_mm3 / 1000.0)
    middle = (np.argwhere(found.region).mean(axis=0) + 0.5) * mm
    assert middle == pytest.approx((12.0, 13.0, 18.0), abs=0.5 * mm)
    # a ball: its farthest voxel is hardly farther than its radius
    where = (np.argwhere(found.region) + 0.5) * mm - (12.0, 13.0, 18.0)
    assert np.linalg.norm(where, axis=1).max() < 8.0 + 1.5
    assert found.name == "as simulated"
    assert augmented(solid, found).changed.sum() == found.region.sum()


def test_simulated_cement_mirrors_and_on_its_own_grid_is_what_was_soaked() -> None:
    model = body()
    soaked = ball(model, (12.0, 13.0, 15.0), 7.0)
    one = simulated_filling(model, soaked).region
    other = simulated_filling(model, replace(soaked, array=soaked.array[..., ::-1])).region
    assert np.array_equal(one, other[..., ::-1])
    sharp = model.volume((soaked.array > 0.5).astype(float), "1")
    assert np.array_equal(simulated_filling(model, sharp).region, sharp.array > 0.0)


def test_a_thin_sheet_of_cement_is_not_lost_between_coarse_voxels() -> None:
    """Half a millimetre thick, between the middles of voxels of 2 mm: their region lies along it."""
    fine, coarse = body(0.5), body(2.0)
    array = np.zeros(fine.solid.shape)
    array[24, 12:40, 20:60] = 1.0
    found = simulated_filling(coarse, fine.volume(array, "1"))
    assert found.ml == pytest.approx(28 * 40 * 0.125 / 1000.0, abs=0.0081)
    k, j, i = (2.0 * (np.argwhere(found.region) + 0.5)).T
    assert np.all(np.abs(k - 12.25) < 2.0)
    assert np.all((j > 5.0) & (j < 21.0))
    assert np.all((i > 9.0) & (i < 31.0))


def test_only_cement_in_the_body_makes_a_filling() -> None:
    model = body()
    array = np.zeros(model.solid.shape)
    array[8:18, 26:34, :6] = 1.0
    found = simulated_filling(model, model.volume(array, "1"))
    assert found.ml == pytest.approx(10 * 4 * 6 / 1000.0)
    assert not found.region[:, 30:].any()
    array[:, :30] = 0.0
    with pytest.raises(ValueError, match="no cement lies in the body of L1"):
        simulated_filling(model, model.volume(array, "1"))
    with pytest.raises(ValueError, match="it goes up to 3"):
        simulated_filling(model, model.volume(3.0 * array, "1"))
