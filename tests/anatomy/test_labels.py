"""From numbers to masks, and whether the masks can be the vertebrae they are called."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from trocar.anatomy.labels import Labels, merge, split, union
from trocar.anatomy.levels import Level
from trocar.anatomy.placement import CONTRAST_MIN, placement
from trocar.anatomy.plausibility import (
    Piece,
    advice,
    concerns,
    fitting,
    in_one_piece,
    misfits,
    piece,
    rival,
    swapped_sides,
)
from trocar.anatomy.schemes import scheme
from trocar.measure import Severity
from trocar.volume import Volume

from .spine import numbered, numbers_of, spine

CT, MASKS = spine()


def labelled(name: str, masks: dict[Level, np.ndarray] = MASKS) -> Volume:
    return Volume(numbered(masks, numbers_of(scheme(name).levels)), CT.affine, unit="label")


def pieces(first: str, last: str) -> dict[Level, Piece]:
    ct, masks = spine(first, last)
    volume = Volume(numbered(masks, numbers_of(scheme("totalseg-v2").levels)), ct.affine, unit="label")
    return {v: piece(m, ct) for v, m in split(volume, scheme("totalseg-v2")).vertebrae.items()}


def voxels(mask: Volume, grid: Volume) -> np.ndarray:
    return mask.onto(grid).array


def test_split_gives_back_the_masks():
    """Round trip: every mask, cropped, holds the voxels it came from and no others."""
    found = split(labelled("verse"), scheme("verse"))
    assert list(found.vertebrae) == [Level.T11, Level.T12, Level.L1, Level.L2, Level.L3]
    for level, mask in found.vertebrae.items():
        np.testing.assert_array_equal(voxels(mask, CT), MASKS[level])
        assert mask.array.shape != CT.shape


def test_split_joins_lobes():
    array = np.zeros(CT.shape, np.uint8)
    array[2:5, 3:8, 4:9] = 10
    array[9:12, 3:8, 40:45] = 11
    found = split(Volume(array, CT.affine, unit="label"), scheme("totalseg-v2"))
    np.testing.assert_array_equal(voxels(found.structures["lung_left"], CT), array > 0)


def test_unknown_numbers_are_told_with_their_voxels():
    array = labelled("verse").array.copy()
    array[0, 0, :7] = 118
    found = split(Volume(array, CT.affine, unit="label"), scheme("verse"))
    assert "118 (7 voxels)" in found.findings[0].text
    assert found.findings[0].severity is Severity.NOTE


def test_union_of_masks_in_any_order():
    a, b = (Volume(MASKS[v], CT.affine, unit="mask").crop((0, 0, 0), CT.shape) for v in (Level.T11, Level.L3))
    trimmed = split(labelled("verse"), scheme("verse")).vertebrae
    one = union([trimmed[Level.T11], trimmed[Level.L3]])
    other = union([trimmed[Level.L3], trimmed[Level.T11]])
    np.testing.assert_array_equal(voxels(one, CT), a.array | b.array)
    np.testing.assert_array_equal(voxels(one, CT), voxels(other, CT))


def test_merge_joins_and_tells():
    whole = split(labelled("verse"), scheme("verse"))
    upper = replace(whole, scheme="upper", vertebrae={Level.T11: whole.vertebrae[Level.T11]})
    both = merge([upper, whole])
    assert both.scheme == "upper + verse"
    assert list(both.vertebrae) == list(whole.vertebrae)
    assert "T11" in both.findings[-1].text
    assert merge([whole]) is whole


def test_a_right_spine_fits():
    assert misfits(pieces("T11", "L3")) == []
    assert misfits(pieces("T1", "S1")) == []


def test_a_spine_fits_scaled_to_small_and_tall_adults():
    """Heights of adults differ by some 15 % from the mean: the brackets must hold them."""
    for factor in (0.85, 1.15):
        scaled = {
            v: Piece(p.volume_ml * factor**3, p.centroid_mm * factor, p.sides_mm * factor, p.cut)
            for v, p in pieces("T7", "S1").items()
        }
        assert misfits(scaled) == []


def test_order_from_foot_to_head_is_a_misfit():
    found = pieces("T11", "L3")
    turned = dict(zip(found, reversed(found.values()), strict=True))
    assert any("would lie above" in text for text in misfits(turned))


def test_size_and_spacing_misfits():
    found = pieces("T11", "L3")
    one = found[Level.L1]
    assert misfits(found | {Level.L1: replace(one, volume_ml=400.0)}) == ["L1 would have 400 ml (16 to 140 is usual)"]
    assert misfits(found | {Level.L1: replace(one, volume_ml=2.0)}) == ["L1 would have 2 ml (16 to 140 is usual)"]
    assert "mm long" in misfits(found | {Level.L1: replace(one, sides_mm=np.array([20.0, 20.0, 150.0]))})[0]
    far = replace(one, centroid_mm=one.centroid_mm + np.array([200.0, 0.0, 0.0]))
    assert any("mm apart" in text for text in misfits(found | {Level.L1: far}))
    assert misfits({}) == ["no label would be a vertebra"]


def test_a_cut_vertebra_may_be_small():
    found = pieces("T11", "L3")
    top = replace(found[Level.T11], volume_ml=2.0, cut=True)
    assert misfits(found | {Level.T11: top}) == []


def test_a_lost_level_is_told_and_a_wrong_gap_is_a_misfit():
    found = pieces("T11", "L3")
    without = {v: p for v, p in found.items() if v is not Level.L1}
    assert misfits(without) == []
    assert any("lack L1 between T12 and L2" in f.text for f in concerns(without))
    # the same bones named with a gap that the distance does not have
    closed = dict(zip((Level.T8, Level.T9, Level.L1, Level.L2, Level.L3), found.values(), strict=True))
    assert any("T9 and L1" in text for text in misfits(closed))


def test_eleven_ribs_are_a_variant():
    """T12 absent, its neighbours at one step: told, not refused."""
    found = pieces("T10", "L3")
    levels = [Level.T9, Level.T10, Level.T11, Level.L1, Level.L2, Level.L3]
    eleven = dict(zip(levels, found.values(), strict=True))
    assert misfits(eleven) == []
    assert any("lack T12" in f.text for f in concerns(eleven))


def test_transitional_levels_stand_beside_their_neighbours():
    found = pieces("T11", "L3")
    assert "T13 would stand without T12 or L1" in misfits({Level.T13: found[Level.L2]})
    assert "L6 would stand without L5" in misfits({Level.L6: found[Level.L2]})
    six = dict(zip((Level.L2, Level.L3, Level.L4, Level.L5, Level.L6), pieces("L1", "L5").values(), strict=True))
    assert misfits(six) == []
    assert any("L6, a transitional vertebra" in f.text for f in concerns(six))


def test_unequal_neighbours_and_a_lone_vertebra_are_told():
    found = pieces("T11", "L3")
    mixed = found | {Level.L2: replace(found[Level.L2], volume_ml=2.2 * found[Level.L1].volume_ml)}
    assert any("its neighbour" in f.text for f in concerns(mixed))
    assert concerns(pieces("L1", "L5")) == []
    assert "the only vertebra" in concerns({Level.L1: found[Level.L1]})[0].text


@pytest.mark.parametrize("name", ["totalseg-v1", "totalseg-v2", "verse"])
def test_the_scheme_that_fits_is_found(name: str):
    assert name in advice(labelled(name))
    wrong = {"totalseg-v1", "totalseg-v2", "verse"} - {name}
    best = [n for n, count in fitting(labelled(name)).items() if count == 5]
    assert not wrong & set(best)


def test_nothing_fits_noise():
    array = np.zeros(CT.shape, np.uint8)
    array[::4] = 200
    assert "No built-in scheme fits" in advice(Volume(array, CT.affine, unit="label"))


def test_a_rival_scheme_is_looked_for_when_few_vertebrae_were_found():
    volume = labelled("totalseg-v2")
    assert rival(volume, 1) == "totalseg-v2"
    assert rival(volume, 5) == ""


def test_islands_are_dropped_and_two_parts_told():
    mask = MASKS[Level.L1].copy()
    mask[0, 0, 0] = True
    labels = Labels("verse", {Level.L1: Volume(mask, CT.affine, unit="mask")})
    cleaned = in_one_piece(labels, Volume(np.zeros((400, *CT.shape[1:])), CT.affine))
    # the island touches the corner of the grid: that is no cut vertebra once it is gone
    np.testing.assert_array_equal(voxels(cleaned.vertebrae[Level.L1], CT), MASKS[Level.L1])
    assert "in 1 island" in cleaned.findings[0].text

    both = Labels("verse", {Level.L1: Volume(MASKS[Level.L1] | MASKS[Level.L3], CT.affine, unit="mask")})
    trimmed = replace(both, vertebrae={Level.L1: both.vertebrae[Level.L1].crop((4, 4, 4), np.array(CT.shape) - 4)})
    told = in_one_piece(trimmed, CT).findings
    assert [f.severity for f in told] == [Severity.CAUTION]
    assert "2 parts that do not touch" in told[0].text


def test_sides():
    def box(x: int) -> Volume:
        array = np.zeros(CT.shape, bool)
        array[5:15, 10:30, x : x + 15] = True
        return Volume(array, CT.affine, unit="mask").crop((5, 10, x), (15, 30, x + 15))

    right = Labels("", {}, {"kidney_left": box(55), "kidney_right": box(5)})
    assert swapped_sides(right) == ([], 1)
    wrong = Labels(
        "", {}, {"kidney_left": box(5), "kidney_right": box(55), "rib_left_9": box(50), "rib_right_9": box(8)}
    )
    assert swapped_sides(wrong) == (["kidney"], 2)


def test_labels_on_their_bone_beat_every_other_place():
    bones = list(split(labelled("verse"), scheme("verse")).vertebrae.values())
    found = placement(bones, CT)
    assert found.contrast > 0.9
    assert found.on_bone
    assert found.elsewhere < found.contrast


@pytest.mark.parametrize("shift_mm", [(10.0, 0.0, 0.0), (0.0, 10.0, 0.0), (0.0, 0.0, 10.0), (0.0, 0.0, 24.0)])
def test_displaced_labels_are_not_on_bone(shift_mm: tuple[float, float, float]):
    step = np.diag([1.0, 1.0, 1.0, 1.0])
    step[:3, 3] = shift_mm
    on_grid = Volume(labelled("verse").array, step @ CT.affine, unit="label").onto(CT)
    bones = list(split(on_grid, scheme("verse")).vertebrae.values())
    assert not placement(bones, CT).on_bone


@pytest.mark.parametrize("axis", [0, 2])
def test_mirrored_labels_are_not_on_bone(axis: int):
    flipped = Volume(np.flip(labelled("verse").array, axis), CT.affine, unit="label")
    bones = list(split(flipped, scheme("verse")).vertebrae.values())
    found = placement(bones, CT)
    assert not found.on_bone
    assert f"{CONTRAST_MIN:.2f} is needed" in found.sentence
    assert "mirrored" in found.sentence or "turned head to foot" in found.sentence


def test_placement_is_the_same_for_a_mirrored_patient():
    """Mirror CT and labels together: the same contrast, so that no side is favoured."""
    bones = list(split(labelled("verse"), scheme("verse")).vertebrae.values())
    other_ct = replace(CT, array=CT.array[:, :, ::-1])
    other = Volume(labelled("verse").array[:, :, ::-1], CT.affine, unit="label")
    mirrored = list(split(other, scheme("verse")).vertebrae.values())
    assert placement(bones, CT).contrast == pytest.approx(placement(mirrored, other_ct).contrast, abs=0.01)


def test_the_spine_of_these_tests_runs_down():
    heights = [p.centroid_mm[2] for p in pieces("C3", "S1").values()]
    assert all(a > b for a, b in pairwise(heights))
