"""Which way in at which level, what it must keep clear of, and what nobody looked at."""

from __future__ import annotations

import pytest

from trocar.anatomy.levels import Level
from trocar.errors import LevelError
from trocar.planning.access import (
    EXTRAPEDICULAR,
    TRANSPEDICULAR,
    Kind,
    Margins,
    approaches_for,
    kind_of,
    not_checked,
)


@pytest.mark.parametrize("level", [v for v in Level if v.region in ("thoracic", "lumbar")])
def test_the_usual_approach_is_through_the_pedicle_below_and_beside_it_above(level: Level) -> None:
    """C21: lumbar by the pedicle, thoracic paraspinal."""
    usual = approaches_for(level)[0]
    assert usual is (TRANSPEDICULAR if level.region == "lumbar" else EXTRAPEDICULAR)


@pytest.mark.parametrize("level", [Level.C1, Level.C7, Level.S1])
def test_levels_without_a_posterior_way_are_refused_with_what_can_be_planned(level: Level) -> None:
    with pytest.raises(LevelError, match=rf"{level} has no posterior approach here.*T1 to L6"):
        approaches_for(level)


def test_the_published_angles_lie_within_the_approaches_limits() -> None:
    """Unilateral lumbar 19.5 to 48.9 deg; thoracic mid angle 24.3 to 40.8; intercostovertebral 20 to 30."""
    for angle in (19.5, 48.9):
        assert TRANSPEDICULAR.transverse_deg.low <= angle <= TRANSPEDICULAR.transverse_deg.high
    for angle in (20.0, 24.3, 30.0, 40.8):
        assert EXTRAPEDICULAR.transverse_deg.low <= angle <= EXTRAPEDICULAR.transverse_deg.high


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("spinal_cord", Kind.CANAL),
        ("spinal_canal", Kind.CANAL),
        ("canal_L1", Kind.CANAL),
        ("foramen_L1_left", Kind.ROOT),
        ("lung_right", Kind.LUNG),
        ("aorta", Kind.VESSEL),
        ("inferior_vena_cava", Kind.VESSEL),
        ("iliac_artery_left", Kind.VESSEL),
        ("kidney_left", Kind.ORGAN),
        ("esophagus", Kind.ORGAN),
        ("something_a_user_labelled", Kind.ORGAN),
        ("rib_left_9", Kind.BONE),
        ("vertebra_L2", Kind.BONE),
        ("sacrum", Kind.BONE),
        ("autochthon_left", None),
        ("iliopsoas_right", None),
        ("intervertebral_discs", None),
    ],
)
def test_a_structure_is_known_by_its_name(name: str, kind: Kind | None) -> None:
    assert kind_of(name) is kind


def test_a_margin_beyond_the_maps_reach_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lung_mm=12.0 is outside -2 to 10 mm"):
        Margins(lung_mm=12.0)


def test_every_margin_says_what_it_rests_on() -> None:
    assert all(f.metadata["source"] for f in Margins.__dataclass_fields__.values())


def test_what_the_labels_lack_is_listed_and_never_clear() -> None:
    assert not_checked(Level.L3, {"vertebra_L2"}) == (
        "spinal_cord", "aorta", "inferior_vena_cava", "kidney_left", "kidney_right", "colon", "small_bowel", "liver",
        "spleen", "vertebra_L4",
    )  # fmt: skip
    assert {"lung_left", "rib_left_12", "rib_right_12"} <= set(not_checked(Level.L1, set()))
    assert {"iliac_vena_left", "hip_left", "hip_right", "sacrum"} <= set(not_checked(Level.L5, set()))
    assert "sacrum" not in not_checked(Level.L5, {"vertebra_S1"})
    seen = {"spinal_cord", "lung_left", "rib_left_9", "aorta", "vertebra_T8"}
    missing = not_checked(Level.T9, seen)
    assert {"lung_right", "rib_right_9", "rib_left_10", "vertebra_T10"} <= set(missing)
    assert not seen & set(missing)


def test_a_rib_without_its_side_counts_for_both() -> None:
    assert not {"rib_left_9", "rib_right_9"} & set(not_checked(Level.T9, {"rib_9"}))
