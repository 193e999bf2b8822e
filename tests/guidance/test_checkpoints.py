"""Where the tip stands, depth by depth: a block whose walls are known, its mirror image, and real paths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import trocar
from trocar.anatomy.vertebra import Part, Vertebra
from trocar.geometry import Side
from trocar.guidance.carm import CArm
from trocar.guidance.checkpoints import (
    AT_LINE_MM,
    Checkpoints,
    Event,
    TwoViews,
    Way,
    canal_free_mm,
    checkpoints,
)
from trocar.guidance.view_landmarks import landmarks_of
from trocar.guidance.views import true_ap, true_lateral
from trocar.measure import Severity
from trocar.planning.instrument import Needle
from trocar.planning.trajectory import Trajectory
from trocar.procedures.vertebroplasty import Vertebroplasty

from ..planning import block as blocks

#: A source so far away that its rays are parallel: closed forms then hold.
FAR = CArm(np.zeros(3), source_to_detector_mm=1e7 + 1.0, source_to_isocentre_mm=1e7)
#: The block's pedicle is 12 mm wide about x = 14 where its axis, 12 degrees from straight, has its narrowest place.
LEAN = np.cos(np.radians(12.0))
INNER_MM, OUTER_MM = 14.0 - 6.0 * LEAN, 14.0 + 6.0 * LEAN
WALL_MM, FRONT_MM = 16.0, -16.0


@pytest.fixture(scope="module")
def vertebra() -> Vertebra:
    return blocks.vertebra(blocks.grid())


def path(
    entry: tuple[float, float, float], target: tuple[float, float, float], approach: str = "transpedicular"
) -> Trajectory:
    """A 13 G needle along two points in the bone, from 40 mm outside it."""
    a, b = np.array(entry), np.array(target)
    out = (a - b) / np.linalg.norm(a - b)
    side = Side.LEFT if entry[0] > 0.0 else Side.RIGHT
    return Trajectory(blocks.Level.L3, side, approach, Needle.of_gauge(13), a + 40.0 * out, a, b)


#: Through the middle of the left pedicle: x = 19 at y = 36 to x = 4 at y = -8.
KEEPS = path((19.0, 36.0, 4.0), (4.0, -8.0, 4.0))
#: From the lamina through the canal.
BREAKS = path((9.0, 36.0, 4.0), (0.0, -8.0, 4.0))


def parallel(vertebra: Vertebra, side: Side = Side.LEFT) -> TwoViews:
    return TwoViews.of(vertebra, side, true_ap(vertebra, arm=FAR), true_lateral(vertebra, arm=FAR))


def depth_at(t: Trajectory, axis: int, value: float) -> float:
    """Where a path has a coordinate, mm from the skin: closed form."""
    return float((value - t.skin_mm[axis]) / t.direction[axis])


class TestClosedForm:
    def test_events_come_where_the_walls_are(self, vertebra: Vertebra) -> None:
        found = checkpoints(vertebra, KEEPS, views=parallel(vertebra))
        expected = {
            Event.DOCK: 40.0,
            Event.POSTERIOR_WALL: depth_at(KEEPS, 1, WALL_MM),
            Event.MEDIAL_BORDER: depth_at(KEEPS, 0, INNER_MM),
            Event.MID_BODY: depth_at(KEEPS, 1, 0.0),
            Event.TARGET: KEEPS.length_mm,
            Event.LIMIT: depth_at(KEEPS, 1, FRONT_MM + 3.0),
        }
        for event, depth in expected.items():
            place = found.event(event)
            assert place is not None, event
            assert place.depth_mm == pytest.approx(depth, abs=0.75), event  # voxels of 1 mm
            assert place.in_bone_mm == pytest.approx(place.depth_mm - 40.0)
        assert found.event(Event.MIDLINE) is None  # the target lies before it

    def test_the_room_at_the_posterior_wall_is_the_paths(self, vertebra: Vertebra) -> None:
        found = checkpoints(vertebra, KEEPS, views=parallel(vertebra))
        at_wall = KEEPS.skin_mm + depth_at(KEEPS, 1, WALL_MM) * KEEPS.direction
        assert found.spare_mm == pytest.approx(at_wall[0] - INNER_MM, abs=0.5)
        lead = depth_at(KEEPS, 0, INNER_MM) - depth_at(KEEPS, 1, WALL_MM)
        assert found.lead_mm == pytest.approx(lead, abs=1.5)  # the path runs at a narrow angle to that border

    def test_a_tip_stands_where_it_is(self, vertebra: Vertebra) -> None:
        tips = np.array([[14.0, 24.0, 4.0], [24.0, 30.0, 4.0], [2.0, 8.0, 4.0], [-3.0, -20.0, 4.0], [14.0, 24.0, 20.0]])
        s = parallel(vertebra).stand(tips)
        np.testing.assert_allclose(s.medial_mm, tips[:, 0] - INNER_MM, atol=0.4)
        np.testing.assert_allclose(s.midline_mm, tips[:, 0], atol=1e-3)
        np.testing.assert_allclose(s.wall_mm, tips[:, 1] - WALL_MM, atol=0.1)
        np.testing.assert_allclose(s.front_mm, tips[:, 1] - FRONT_MM, atol=0.1)
        np.testing.assert_allclose(s.body_share, (WALL_MM - tips[:, 1]) / 32.0, atol=0.01)
        np.testing.assert_allclose(s.above_mm, [0, 0, 0, 0, 8.0], atol=0.5)
        assert s.words(0) == "AP: middle third of the pedicle; lateral: 8 mm before the posterior wall"
        assert s.words(1).startswith("AP: 4 mm outside the lateral border of the pedicle; lateral: 14 mm before")
        assert s.words(2) == (
            "AP: 6 mm past the medial border of the pedicle, 2 mm from the midline; "
            "lateral: posterior third of the body, 8 mm past the posterior wall"
        )
        assert "3 mm from the midline, beyond it; lateral: 4 mm in front of the anterior wall" in s.words(3)
        assert "8 mm above it" in s.words(4)

    def test_a_cone_beam_shifts_what_lies_off_its_axis(self, vertebra: Vertebra) -> None:
        """A tip y behind the isocentre, the detector there: enlarged by 620 / (620 - y) against the isocentre."""
        tip = np.array([[14.0, 24.0, 0.0]])
        near = TwoViews.of(vertebra, Side.LEFT).stand(tip)
        assert near.midline_mm[0] == pytest.approx(14.0 * 620.0 / (620.0 + 24.0), abs=1e-6)

    def test_depth_and_advance_are_monotone(self, vertebra: Vertebra) -> None:
        for t in (KEEPS, BREAKS):
            found = checkpoints(vertebra, t)
            depths = [c.depth_mm for c in found.stations]
            assert np.allclose(np.diff(depths), 1.0)
            assert np.all(np.diff([c.wall_mm for c in found.stations]) < 0.0)
            assert np.all(np.diff([c.medial_mm for c in found.stations]) < 0.0)
            assert [c.depth_mm for c in found.events] == sorted(c.depth_mm for c in found.events)


class TestRule:
    def test_a_path_through_the_pedicle_keeps_it(self, vertebra: Vertebra) -> None:
        found = checkpoints(vertebra, KEEPS)
        assert found.way is Way.THROUGH
        assert found.kept is True
        assert not [f for f in found.findings if f.severity is not Severity.NOTE]
        parts = [c.part for c in found.stations]
        assert parts.index(Part.PEDICLE_LEFT) < parts.index(Part.BODY)
        assert Part.CANAL not in parts

    def test_a_path_through_the_canal_is_stopped(self, vertebra: Vertebra) -> None:
        found = checkpoints(vertebra, BREAKS)
        assert Part.CANAL in [c.part for c in found.stations]
        assert found.kept is False
        assert found.spare_mm < 0.0
        assert found.lead_mm < 0.0
        stops = [f for f in found.findings if f.severity is Severity.STOP]
        assert len(stops) == 1
        assert "crosses the medial border" in stops[0].text
        assert "canal" in stops[0].text

    @pytest.mark.parametrize("shift", np.arange(-8.0, 3.0, 1.0))
    def test_whatever_enters_the_canal_breaks_it(self, vertebra: Vertebra, shift: float) -> None:
        """The same path ever more medial: no tip in the canal without the rule being broken."""
        t = path((19.0 + shift, 36.0, 4.0), (4.0 + shift, -8.0, 4.0))
        found = checkpoints(vertebra, t)
        inside = any(c.part is Part.CANAL for c in found.stations)
        assert not (inside and found.kept)
        if inside:
            assert any(f.severity is Severity.STOP for f in found.findings)

    def test_a_broken_rule_with_the_canal_far_off_is_a_caution(self, vertebra: Vertebra) -> None:
        """Nobody can tell this path from a dangerous one on the two views, but the masks say where the canal is."""
        far = replace(vertebra.canal, array=np.roll(vertebra.canal.array, -20, axis=2))
        assert canal_free_mm(far, BREAKS) > 2.0
        found = checkpoints(vertebra, BREAKS, canal=far)
        assert [f.severity for f in found.findings if "medial border" in f.text] == [Severity.CAUTION]

    def test_a_tip_that_touches_the_line_is_told(self, vertebra: Vertebra) -> None:
        t = path((INNER_MM + 1.5, 40.0, 4.0), (INNER_MM + 0.2, -8.0, 4.0))
        found = checkpoints(vertebra, t, views=parallel(vertebra))
        assert found.kept is True
        assert 0.0 < found.spare_mm < 1.7
        assert any("touches that line" in f.text and f.severity is Severity.CAUTION for f in found.findings)

    def test_beside_the_pedicle_another_rule_is_told(self, vertebra: Vertebra) -> None:
        beside = path((24.0, 12.0, 4.0), (2.0, -8.0, 4.0), "extrapedicular")
        found = checkpoints(vertebra, beside)
        assert found.way is Way.BESIDE
        assert found.kept is True
        assert found.event(Event.POSTERIOR_WALL) is None  # already past it where bone begins
        assert "past the posterior wall" in found.event(Event.DOCK).words  # type: ignore[union-attr]
        inside = path((12.0, 36.0, 4.0), (2.0, -8.0, 4.0), "extrapedicular")
        said = [f for f in checkpoints(vertebra, inside).findings if "inside the pedicle's lateral border" in f.text]
        assert [f.severity for f in said] == [Severity.CAUTION]

    def test_an_approach_of_another_name_is_known_by_what_it_meets(self, vertebra: Vertebra) -> None:
        assert checkpoints(vertebra, replace(KEEPS, approach="freehand")).way is Way.THROUGH
        aside = path((30.0, 12.0, 4.0), (2.0, -8.0, 4.0), "freehand")
        assert checkpoints(vertebra, aside).way is Way.BESIDE

    def test_without_its_pedicle_nothing_is_said_to_hold(self, vertebra: Vertebra) -> None:
        bare = replace(vertebra, pedicles={})
        found = checkpoints(bare, KEEPS)
        assert found.kept is None
        assert [f.severity for f in found.findings] == [Severity.CAUTION]
        assert "cannot be checked" in found.findings[0].text

    def test_a_path_that_never_reaches_the_body_is_not_said_to_keep_it(self, vertebra: Vertebra) -> None:
        short = path((19.0, 60.0, 40.0), (19.0, 50.0, 40.0))
        found = checkpoints(vertebra, short)
        assert found.kept is None or found.event(Event.POSTERIOR_WALL) is None


class TestFront:
    def test_a_round_body_ends_before_the_lateral_shows_it(self) -> None:
        """A body cut off obliquely at its left front: the lateral sees the right front."""
        vertebra = blocks.vertebra(blocks.grid())
        p = vertebra.parts.world_mm(np.stack(np.indices(vertebra.parts.shape), axis=-1))
        cut = (vertebra.parts.array == Part.BODY) & (p[..., 1] < -10.0) & (p[..., 0] > 4.0)
        parts = replace(vertebra.parts, array=np.where(cut, Part.NONE, vertebra.parts.array))
        round_body = replace(vertebra, parts=parts, mask=replace(vertebra.mask, array=vertebra.mask.array & ~cut))
        t = path((18.0, 36.0, 4.0), (12.0, -4.0, 4.0))
        found = checkpoints(round_body, t)
        (said,) = [f for f in found.findings if "leave the body" in f.text]
        assert said.severity is Severity.NOTE
        limit = found.event(Event.LIMIT)
        assert limit is not None
        assert limit.depth_mm == pytest.approx(depth_at(t, 1, -10.0) - 3.0, abs=0.8)
        deeper = checkpoints(round_body, path((18.0, 36.0, 4.0), (12.0, -9.0, 4.0)))
        assert any("leave the body" in f.text and f.severity is Severity.CAUTION for f in deeper.findings)
        square = checkpoints(vertebra, t)
        assert not [f for f in square.findings if "leave the body" in f.text]

    def test_a_balloons_cannula_stops_its_length_before(self, vertebra: Vertebra) -> None:
        found = checkpoints(vertebra, KEEPS, cannula_back_mm=15.0)
        place = found.event(Event.CANNULA)
        assert place is not None
        assert place.depth_mm == pytest.approx(KEEPS.length_mm - 15.0)


def mirror_path(t: Trajectory) -> Trajectory:
    flip = np.array([-1.0, 1.0, 1.0])
    return replace(
        t, side=t.side.other, skin_mm=t.skin_mm * flip, entry_mm=t.entry_mm * flip, target_mm=t.target_mm * flip
    )


@pytest.mark.parametrize("t", [KEEPS, BREAKS])
def test_the_mirror_image_has_the_same_checkpoints(t: Trajectory) -> None:
    lopsided = blocks.patient(width=10.0)
    a = checkpoints(lopsided.vertebra("L3"), t)
    other = blocks.mirrored(lopsided).vertebra("L3")
    # the detector that stood at the left stands at the right
    views = TwoViews.of(other, t.side.other, lateral=true_lateral(other, Side.RIGHT))
    b = checkpoints(other, mirror_path(t), views=views)
    assert [c.event for c in a.events] == [c.event for c in b.events]
    np.testing.assert_allclose([c.depth_mm for c in a.events], [c.depth_mm for c in b.events], atol=1e-6)
    assert [c.words for c in a.stations] == [c.words for c in b.stations]
    assert (a.kept, a.way) == (b.kept, b.way)
    swapped = [f.text.replace("left", "right") for f in a.findings]
    assert swapped == [f.text for f in b.findings]


def test_planned_paths_of_a_real_scan_keep_it_and_shifted_ones_do_not(shared_data: Path) -> None:
    """L1 of the thoracolumbar scan. Every transpedicular path, then the same moved to the midline through the canal."""
    ct = trocar.read_ct(shared_data / "lidc0001" / "lidc0001_lower_dicom.zip")
    mask = shared_data / "lidc0001" / "lidc0001_lower_totalseg_mask.nii.gz"
    anatomy = trocar.read_anatomy(mask, on=ct, scheme="totalseg-v2")
    vertebra = anatomy.vertebra("L1")
    plan = trocar.plan(anatomy, Vertebroplasty(level="L1"))
    paths = [t for o in plan.options for t in o.trajectories if t.approach == "transpedicular"]
    assert {t.side for t in paths} == set(Side)
    canal = anatomy.structures["spinal_canal"]
    for t in paths:
        found = checkpoints(vertebra, t, canal)
        assert found.kept is True
        assert found.spare_mm > 1.0
        _in_order(found)
        aside = landmarks_of(vertebra).ovals[t.side].mean(axis=0) - vertebra.frame.origin_mm
        shift = -float(aside @ vertebra.frame.left) * vertebra.frame.left
        moved = replace(t, **{n: getattr(t, n) + shift for n in ("skin_mm", "entry_mm", "target_mm")})
        broken = checkpoints(vertebra, moved, canal)
        assert broken.kept is False
        assert any(f.severity is Severity.STOP for f in broken.findings)


def _in_order(found: Checkpoints) -> None:
    depths = {c.event: c.depth_mm for c in found.events}
    order = [Event.DOCK, Event.PEDICLE, Event.POSTERIOR_WALL, Event.MEDIAL_BORDER, Event.MID_BODY, Event.TARGET]
    known = [depths[e] for e in order if e in depths]
    assert known == sorted(known)
    at = found.event(Event.POSTERIOR_WALL)
    assert at is not None
    assert abs(at.wall_mm) < AT_LINE_MM
