"""The search: the optimum of what is written, the same in a mirror and elsewhere, and refusals that say why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from block import grid, mirrored, moved, patient
from scipy.ndimage import map_coordinates

from trocar.anatomy.levels import Level
from trocar.anatomy.vertebra import Part
from trocar.errors import NoSafeTrajectory
from trocar.geometry import Pose, Side
from trocar.measure import Range
from trocar.planning import rays
from trocar.planning.access import EXTRAPEDICULAR, TRANSPEDICULAR, Kind, Margins
from trocar.planning.appraisal import SLIPPERY_DEG, incidence_deg
from trocar.planning.candidates import BEHIND_ISTHMUS_MM, TIP_STEP_MM, WORKING_MM, Site, TargetZone, body_depth
from trocar.planning.corridor import best_first, find_corridors, survey
from trocar.planning.instrument import Needle
from trocar.planning.trajectory import Grade

NEEDLE = Needle.of_gauge(11)
AORTA = {"aorta": lambda x, y, z: np.hypot(x - 8, y + 28) < 10}


@pytest.fixture(scope="module")
def block():
    return patient(structures=AORTA)


@pytest.fixture(scope="module")
def site(block):
    return Site.of(block, Level.L3)


# -- brute force ------------------------------------------------------------------------------------------------------


def brute_force(site: Site, side: Side, approach, margins: Margins, target: TargetZone):
    """The written objective over the written grid in plain NumPy, one path at a time: best J, its tip and direction."""
    front, back = body_depth(site)
    pedicle = site.pedicle(side)
    ideal = front + target.ideal_depth * (back - front)
    low, high = (front + f * (back - front) for f in (target.depth.low, target.depth.high))
    depths = [ideal + n * TIP_STEP_MM for n in range(-20, 21) if low <= ideal + n * TIP_STEP_MM <= high]
    width, height, step = pedicle.width.value / 2, pedicle.height.value / 2, approach.gate_step_mm
    reach = height + approach.gate_height_mm
    wide = (
        max(width + approach.gate_lateral_mm.low, -width - approach.gate_height_mm),
        width + approach.gate_lateral_mm.high,
    )
    across = [n * step for n in range(-60, 61) if wide[0] <= n * step <= wide[1]]
    upward = [n * step for n in range(-60, 61) if -reach <= n * step <= reach]
    best = (-np.inf, None, None)
    for x in np.arange(-target.across_mm, target.aside_mm + 1e-9, TIP_STEP_MM):
        for y in depths:
            for z in np.arange(-target.updown_mm, target.updown_mm + 1e-9, TIP_STEP_MM):
                tip = np.array([side.sign * x, y, z])  # the block's frame is the patient's, its middle height is 0
                for a in across:
                    for u in upward:
                        way = pedicle.axis.point_mm + np.array([side.sign * a, 0.0, u]) - tip
                        gate = np.linalg.norm(way)
                        way = way / gate
                        transverse = np.degrees(np.arctan2(side.sign * way[0], way[1]))
                        sagittal = np.degrees(np.arctan2(-way[2], way[1]))
                        if not (approach.transverse_deg.low <= transverse <= approach.transverse_deg.high):
                            continue
                        if not (approach.sagittal_deg.low <= sagittal <= approach.sagittal_deg.high):
                            continue
                        slack, length = plain_slack(site, pedicle, tip, way, gate, approach, margins)
                        if slack is None:
                            continue
                        worth = 2 * slack if slack < 0 else min(slack, 2.0) + max(slack - 2.0, 0.0) / 4
                        tilt = abs(np.degrees(np.arcsin(way[2])))
                        j = worth - 0.3 * abs(x) - 0.1 * abs(y - ideal) - 0.1 * abs(z) - 0.01 * length - 0.03 * tilt
                        if j > best[0] + 1e-4:
                            best = (j, tip, way)
    return best


def plain_slack(site, pedicle, tip, way, gate, approach, margins):
    """Slack of one path, or None where a term is short by more than half a voxel, and its length to the skin."""
    maps, radius = site.maps, NEEDLE.radius_mm
    ends = np.array([tip[2], (tip + WORKING_MM * way)[2]])
    plates = [13.0 - ends.max() - radius - margins.endplate_mm, ends.min() + 13.0 - radius - margins.endplate_mm]
    cortex = maps.sample(tip) - margins.anterior_cortex_mm
    if min(*plates, cortex) < -0.5:
        return None, None
    s = np.arange(0.0, 140.0, rays.STEP_MM)
    index = (tip + s[:, None] * way) @ maps.to_index()[:, :3].T + maps.to_index()[:, 3]
    s = s[np.all((index >= 0) & (index <= np.array(maps.values.shape[1:]) - 1), axis=1)]
    index = index[: len(s)]
    depth = map_coordinates(maps.values[0], index.T, output=np.float64, order=1)
    wall = WORKING_MM
    if approach.through_pedicle:
        wall = ((tip - pedicle.axis.point_mm) @ pedicle.axis.direction + BEHIND_ISTHMUS_MM) / -(
            way @ pedicle.axis.direction
        )
    slack = min(*plates, cortex, rays.AMPLE_MM)
    asked = {0: margins.pedicle_wall_mm, **{1 + n: margins.of(k) for n, k in enumerate(maps.kinds)}}
    for channel, margin in asked.items():
        value = map_coordinates(maps.values[channel], index.T, output=np.float64, order=1) - radius - margin
        for n in np.flatnonzero((value < 0) & ((s <= wall) | (channel > 0))):
            if value[n] + plain_half_voxel(maps, channel, index[n]) < rays.MAP_ERROR_MM:
                return None, None
            bone = channel and maps.kinds[channel - 1] is Kind.BONE
            if channel and value[n] + margin < (-rays.BRUSH_MM if bone else rays.CONTACT_MM):
                return None, None
        slack = min(slack, value[s <= wall].min() if channel == 0 else value.min())
    out = int(np.argmax(depth <= 0))
    if depth[0] <= 0 or not (depth <= 0).any() or s[out] > gate + approach.entry_behind_mm:
        return None, None
    clear = out + int(np.argmax(depth[out:] <= -radius))
    if (depth[out:clear] > 0.0).any() or (depth[clear:] > min(rays.BRUSH_MM - radius, 0.0)).any():
        return None, None
    if plain_returns(site, tip, way, s[out]):
        return None, None
    skin = np.arange(0.0, 140.0, rays.SKIN_STEP_MM)
    inside = site.anatomy.skin.sample(tip + skin[:, None] * way, order=0) > 0.5
    return slack, skin[int(np.argmin(inside))]


def plain_returns(site, tip, way, out):
    """Whether the axis is in its own bone again beyond the sample ``out``: under the surface, or in any voxel of it."""
    mask = site.vertebra.mask
    s = out - rays.STEP_MM + np.arange(0.0, 140.0, rays.RETURN_STEP_MM)
    points = tip + s[:, None] * way
    index = mask.index_kji(points)
    under = site.maps.sample(points) > 0.0
    under &= np.all((index > -0.5) & (index < np.array(mask.shape) - 0.5), axis=1)
    left = s[under & (s <= out)][-1]
    voxel = (mask.sample(points, order=0) > 0.5) & (s > left + np.linalg.norm(mask.spacing_mm) / 2)
    return bool((under & (s > out)).any() or voxel.any())


def plain_half_voxel(maps, channel, index):
    step = np.eye(3)
    ends = np.stack([index + step, index - step]).reshape(-1, 3)
    up = map_coordinates(maps.values[channel], ends.T, output=np.float64, order=1, mode="nearest").reshape(2, 3)
    slope = (up[0] - up[1]) / maps.node_mm
    norm = np.linalg.norm(slope)
    return 0.5 * (np.abs(slope) @ maps.voxel_mm / norm if norm > 1e-6 else maps.voxel_mm.min())


@pytest.mark.parametrize(("side", "approach"), [(Side.LEFT, TRANSPEDICULAR), (Side.RIGHT, EXTRAPEDICULAR)])
def test_the_search_returns_the_optimum_that_plain_numpy_finds(side: Side, approach) -> None:
    """Same candidates, same best value to rounding, same tip and direction."""
    ct = grid((2.0, 2.0, 2.0), sideways=100, forward=40, backward=76, updown=30)
    site = Site.of(patient(ct, AORTA), Level.L3)
    target = TargetZone(aside_mm=4.0, across_mm=0.0, updown_mm=2.0, depth=Range(0.3, 0.4))
    coarse = replace(approach, gate_step_mm=2.0)
    margins = approach.margins
    best, tip, way = brute_force(site, side, coarse, margins, target)
    found = survey(site, side, coarse, NEEDLE, target=target)
    objective = found.judged.objective(found.weights)
    top = int(best_first(objective)[0])
    assert objective[top] == pytest.approx(best, abs=1e-4)
    assert found.judged.candidates.tips_mm[top] == pytest.approx(tip, abs=1e-9)
    assert found.judged.candidates.ways[top] == pytest.approx(way, abs=1e-9)
    first = find_corridors(site, side, coarse, NEEDLE, target=target)[0]
    assert first.objective == objective[top]


# -- what a path is ---------------------------------------------------------------------------------------------------


def test_the_usual_lumbar_path_ends_on_the_midline_and_keeps_every_margin(site: Site) -> None:
    """C20, C22 to C24: one needle, its tip in the anterior-middle third at the midline."""
    best = find_corridors(site, Side.LEFT, TRANSPEDICULAR, NEEDLE)[0]
    t = best.trajectory
    assert t.grade is Grade.SAFE
    assert best.reaches_midline
    assert -16 + 32 / 6 <= t.target_mm[1] <= 0.0
    assert t.skin_mm[1] == pytest.approx(70.0, abs=1.0)
    assert t.entry_mm[1] == pytest.approx(37.0, abs=1.0)  # the rear face of the articular mass
    for name in (
        "canal",
        "aorta",
        "pedicle_wall_medial",
        "pedicle_wall_caudal",
        "endplate_superior",
        "anterior_cortex",
    ):
        assert t.clearance(name).value_mm > t.clearance(name).margin_mm


def test_clearances_are_those_of_plain_geometry(site: Site) -> None:
    """The canal's voxels against dense points on the needle's axis; the axis against the elliptic pedicle."""
    t = find_corridors(site, Side.RIGHT, TRANSPEDICULAR, NEEDLE)[0].trajectory
    axis = t.target_mm + np.linspace(0, t.length_mm, 4001)[:, None] * -t.direction
    voxels = site.vertebra.part(Part.CANAL).points_mm()
    gap = min(np.linalg.norm(np.maximum(np.abs(voxels - p) - 0.5, 0), axis=1).min() for p in axis[::8])
    assert t.clearance("canal").value_mm == pytest.approx(gap - NEEDLE.radius_mm, abs=0.02)
    assert t.clearance("endplate_superior").value_mm == pytest.approx(
        13.0 - max(t.target_mm[2], (t.target_mm - WORKING_MM * t.direction)[2]) - NEEDLE.radius_mm, abs=1e-6
    )
    pedicle = site.pedicle(Side.RIGHT).axis
    near = axis[np.abs((axis - pedicle.point_mm) @ pedicle.direction) <= BEHIND_ISTHMUS_MM]
    lateral = np.cross(pedicle.direction, [0, 0, 1.0])
    off = (near - pedicle.point_mm) @ lateral
    rise = (near - pedicle.point_mm)[:, 2]
    half = 6.0 * np.sqrt(1 - (rise / 8.0) ** 2)
    walls = sorted((half.min() - np.abs(off).max(), (half + np.abs(off)).min()))
    told = sorted(t.clearance(f"pedicle_wall_{n}").value_mm for n in ("medial", "lateral"))
    assert told[0] == pytest.approx(walls[0] - NEEDLE.radius_mm, abs=0.8)
    assert told[1] > told[0]


def test_beside_the_pedicle_the_needle_stays_off_the_canal_side(site: Site) -> None:
    t = find_corridors(site, Side.LEFT, EXTRAPEDICULAR, NEEDLE)[0].trajectory
    pedicle = site.pedicle(Side.LEFT)
    at_isthmus = t.target_mm + t.direction * (pedicle.axis.point_mm[1] - t.target_mm[1]) / t.direction[1]
    assert at_isthmus[0] >= pedicle.axis.point_mm[0] + pedicle.width.value / 2 + EXTRAPEDICULAR.gate_lateral_mm.low
    assert t.clearance("canal").grade is Grade.SAFE
    assert any(
        "root beyond its foramen" in f.text for f in find_corridors(site, Side.LEFT, EXTRAPEDICULAR, NEEDLE)[0].findings
    )


def test_alternatives_are_distinct_and_none_beats_the_first_in_everything(site: Site) -> None:
    found = find_corridors(site, Side.LEFT, TRANSPEDICULAR, NEEDLE)
    assert 2 <= len(found) <= 4
    first = found[0]
    for other in found[1:]:
        assert other.objective <= first.objective
        better = (
            other.slack_mm > first.slack_mm,
            other.off_midline_mm < first.off_midline_mm,
            other.trajectory.length_mm < first.trajectory.length_mm,
            abs(other.tilt_deg) < abs(first.tilt_deg),
        )
        assert any(better)


def test_a_needle_never_crosses_another_bone() -> None:
    """Contact is allowed, a needle through a rib is not: half a millimetre into its voxels at most."""
    rib = {"rib_left_3": lambda x, y, z: (np.abs(x - 30) < 6) & (np.abs(y - 42) < 3) & (np.abs(z) < 30)}
    plain, ribbed = (
        find_corridors(Site.of(patient(structures=s, level=Level.T9), Level.T9), Side.LEFT, EXTRAPEDICULAR, NEEDLE)
        for s in (None, rib)
    )
    assert all(c.trajectory.clearance("ribs").value_mm >= -rays.BRUSH_MM - 0.1 for c in ribbed)
    assert ribbed[0].objective < plain[0].objective


def test_wider_margins_never_make_a_better_path(site: Site) -> None:
    best = [
        find_corridors(site, Side.LEFT, TRANSPEDICULAR, NEEDLE, margins=Margins(canal_mm=m))[0].objective
        for m in (1.0, 2.0, 3.0, 4.0)
    ]
    assert best == sorted(best, reverse=True)
    assert best[0] > best[-1]


def test_a_thinner_needle_has_at_least_the_clearance(site: Site) -> None:
    thick, thin = (find_corridors(site, Side.LEFT, TRANSPEDICULAR, Needle.of_gauge(g))[0].objective for g in (10, 13))
    assert thin > thick


# -- symmetry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("approach", [TRANSPEDICULAR, EXTRAPEDICULAR])
def test_a_mirrored_patient_gets_the_mirrored_plan(block, site: Site, approach) -> None:
    other = Site.of(mirrored(block), Level.L3)
    flip = np.array([-1.0, 1.0, 1.0])
    for side in Side:
        a = find_corridors(site, side, approach, NEEDLE)
        b = find_corridors(other, side.other, approach, NEEDLE)
        assert len(a) == len(b)
        for mine, theirs in zip(a, b, strict=True):
            for name in ("skin_mm", "entry_mm", "target_mm"):
                assert getattr(mine.trajectory, name) * flip == pytest.approx(
                    getattr(theirs.trajectory, name), abs=1e-6
                )
            assert mine.trajectory.clearance_mm == pytest.approx(theirs.trajectory.clearance_mm, abs=1e-6)
            assert mine.trajectory.breach_probability == theirs.trajectory.breach_probability


def test_a_patient_who_lies_turned_elsewhere_gets_the_same_plan(block, site: Site) -> None:
    """A turn about the long axis of the scan, on which the tilt does not depend."""
    turn = np.radians(7.0)
    axes = np.array([[np.cos(turn), -np.sin(turn), 0.0], [np.sin(turn), np.cos(turn), 0.0], [0.0, 0.0, 1.0]])
    pose = Pose([120.0, -40.0, 900.0], axes)
    other = find_corridors(Site.of(moved(block, pose), Level.L3), Side.LEFT, TRANSPEDICULAR, NEEDLE)[0]
    mine = find_corridors(site, Side.LEFT, TRANSPEDICULAR, NEEDLE)[0]
    assert other.objective == pytest.approx(mine.objective, abs=1e-4)
    assert pose.to_world(mine.trajectory.target_mm) == pytest.approx(other.trajectory.target_mm, abs=1e-4)
    assert pose.to_world(mine.trajectory.entry_mm) == pytest.approx(other.trajectory.entry_mm, abs=1e-3)


def test_other_voxels_change_the_objective_by_less_than_they_leave_open() -> None:
    fine, coarse = (
        find_corridors(Site.of(patient(grid(v), AORTA), Level.L3), Side.LEFT, TRANSPEDICULAR, NEEDLE)[0].objective
        for v in ((1.0, 1.0, 1.0), (2.0, 1.0, 1.0))
    )
    assert coarse == pytest.approx(fine, abs=1.0)


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_pedicle_too_narrow_is_named_with_the_path_that_would_do() -> None:
    """The nearest path is computed: planned by itself it exists."""
    site = Site.of(patient(width=4.2, height=14.0), Level.L3)
    thick = Needle(5.0, 125.0, None, "5 mm cannula")
    with pytest.raises(NoSafeTrajectory, match=r"No transpedicular path to L3 from the left keeps its margins") as told:
        find_corridors(site, Side.LEFT, TRANSPEDICULAR, thick)
    error = told.value
    assert error.structure in ("bone_wall", "pedicle_wall_lateral", "pedicle_wall_medial")
    assert 0.0 < error.shortfall_mm < 5.0
    near = error.nearest
    assert near is not None
    approach = TRANSPEDICULAR if near.approach == "transpedicular" else EXTRAPEDICULAR
    again = find_corridors(site, near.side, approach, near.instrument)[0].trajectory
    assert again.target_mm == pytest.approx(near.target_mm)


@pytest.mark.parametrize("approach", [TRANSPEDICULAR, EXTRAPEDICULAR])
def test_what_is_named_instead_keeps_the_margins_that_were_asked(approach) -> None:
    """An approach that would do only with its own usual margins is not offered to one who asked for wider ones."""
    lungs = {"lung_left": lambda x, y, z: (x > 38) & (y > 16), "lung_right": lambda x, y, z: (x < -38) & (y > 16)}
    site = Site.of(patient(structures=lungs), Level.L3)
    asked = replace(approach.margins, canal_mm=10.0, lung_mm=10.0)
    for other in (TRANSPEDICULAR, EXTRAPEDICULAR):
        assert find_corridors(site, Side.LEFT, other, NEEDLE)  # with its usual margins it would do
    with pytest.raises(NoSafeTrajectory, match="No thinner needle, other approach or other side") as told:
        find_corridors(site, Side.LEFT, replace(approach, margins=asked), NEEDLE)
    assert told.value.nearest is None


def test_an_approach_named_instead_does_with_the_margins_that_were_asked(site: Site) -> None:
    """A canal margin that no pedicle leaves is no bar beside it; one that was narrowed widens no other's choice."""
    asked = replace(TRANSPEDICULAR.margins, canal_mm=10.0, vessel_mm=6.0, root_mm=1.0)
    with pytest.raises(NoSafeTrajectory, match="Nearest that would do: extrapedicular") as told:
        find_corridors(site, Side.LEFT, TRANSPEDICULAR, NEEDLE, margins=asked)
    near = told.value.nearest
    assert near is not None
    assert (near.clearance("canal").margin_mm, near.clearance("aorta").margin_mm) == (10.0, 6.0)


def test_a_structure_across_every_way_is_named() -> None:
    wall = {
        "kidney_left": lambda x, y, z: (y > 45) & (y < 50) & (x > 0),
        "kidney_right": lambda x, y, z: (y > 45) & (y < 50) & (x <= 0),
    }
    site = Site.of(patient(structures=wall), Level.L3)
    with pytest.raises(NoSafeTrajectory, match="kidney") as told:
        find_corridors(site, Side.LEFT, TRANSPEDICULAR, NEEDLE)
    assert told.value.structure.startswith("kidney")
    assert told.value.shortfall_mm == pytest.approx(5.0 + NEEDLE.radius_mm - 0.5, abs=0.6)
    assert told.value.nearest is None
    assert "No thinner needle, other approach or other side" in str(told.value)


def test_a_target_too_deep_for_any_needle_is_said(block) -> None:
    deep = replace(block, skin=replace(block.skin, array=np.ones(block.skin.shape, bool)))
    found = find_corridors(Site.of(deep, Level.L3), Side.LEFT, TRANSPEDICULAR, NEEDLE)[0]
    assert any("not in the scan" in f.text for f in found.findings)
    assert found.trajectory.skin_mm[1] == pytest.approx(80.0, abs=1.5)


def test_a_short_needle_is_told_not_refused(site: Site) -> None:
    found = find_corridors(site, Side.LEFT, TRANSPEDICULAR, Needle.of_gauge(11, 60.0))[0]
    assert found.trajectory.instrument.length_mm == 100.0
    assert any("60 mm needle does not reach: take 100 mm" in f.text for f in found.findings)


def test_the_angle_to_the_bone_is_the_angle_to_its_normal(site: Site) -> None:
    """C10: the more oblique the surface, the more a needle slips. On a flat rear face it is the needle's own angle."""
    flat = np.array([19.0, 37.0, 4.0])  # on the rear face of the articular mass, whose normal is posterior
    for angle in (0.0, 20.0, 45.0, 70.0):
        way = np.array([0.0, np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        assert incidence_deg(site.maps, flat, way) == pytest.approx(angle, abs=2.0)
    slippery = [
        f.text for c in find_corridors(site, Side.LEFT, TRANSPEDICULAR, NEEDLE) for f in c.findings if "slide" in f.text
    ]
    steep = [
        m.value
        for c in find_corridors(site, Side.LEFT, TRANSPEDICULAR, NEEDLE)
        for m in c.trajectory.measures
        if m.name == "incidence"
    ]
    assert len(slippery) == sum(v > SLIPPERY_DEG for v in steep)


def test_a_margin_beyond_the_reach_of_the_maps_is_refused(site: Site) -> None:
    cannula = Needle(9.0, 125.0, None, "cannula")
    with pytest.raises(ValueError, match=r"a margin of 10 mm around a needle of 9 mm is beyond the 14 mm"):
        find_corridors(site, Side.LEFT, TRANSPEDICULAR, cannula, margins=Margins(vessel_mm=10.0))


def test_what_lies_beyond_the_maps_region_still_bars_a_path() -> None:
    """A structure behind a tall patient's region is met by the exact measure."""
    ct = grid((2.0, 2.0, 2.0), sideways=130, forward=50, backward=110, updown=40)
    far = {"liver": lambda x, y, z: (np.abs(x) > 92) & (y > 40)}
    wide = replace(EXTRAPEDICULAR, transverse_deg=Range(46.0, 70.0, "deg"))
    anatomy = patient(ct, far, skin_mm=100.0)
    with pytest.raises(NoSafeTrajectory):
        find_corridors(Site.of(anatomy, Level.L3), Side.LEFT, wide, NEEDLE)
    free = find_corridors(Site.of(patient(ct, skin_mm=100.0), Level.L3), Side.LEFT, wide, NEEDLE)
    assert free[0].trajectory.skin_mm[0] > 90.0
