"""Between the skin and its entry a needle's axis meets no bone of the vertebra it is for: read from the mask alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from block import patient

import trocar
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.geometry import Side, unit
from trocar.planning import rays
from trocar.planning.access import EXTRAPEDICULAR, TRANSPEDICULAR, approaches_for
from trocar.planning.appraisal import scrape_mm
from trocar.planning.candidates import Site
from trocar.planning.corridor import survey
from trocar.planning.instrument import Needle
from trocar.planning.ranking import ways_in
from trocar.planning.trajectory import Trajectory

SCANS = {
    "L1": ("lidc0001/lidc0001_lower_dicom.zip", "lidc0001/lidc0001_lower_totalseg_mask.nii.gz", "totalseg-v2"),
    "L3": ("ts_example/example_ct.nii.gz", "ts_example/example_seg_full_v1labels.nii.gz", "totalseg-v1"),
}
STEP_MM = 0.25


def own_bone_mm(t: Trajectory, anatomy: Anatomy) -> float:
    """Length of the axis inside voxels of its own vertebra, from the skin to 1 mm and one voxel before the entry."""
    mask = anatomy.vertebra(t.level).mask
    along = np.arange(0.0, t.skin_to_bone_mm - 1.0 - max(mask.spacing_mm), STEP_MM)
    inside = mask.sample(t.skin_mm + along[:, None] * t.direction, order=0) > 0.5
    return float(inside.sum()) * STEP_MM


@pytest.mark.parametrize("level", SCANS)
def test_no_way_goes_through_its_own_vertebra_before_its_entry(shared_data: Path, level: str) -> None:
    ct, labels, scheme = SCANS[level]
    anatomy = trocar.read_anatomy(shared_data / labels, on=trocar.read_ct(shared_data / ct), scheme=scheme)
    asked = [approaches_for(Level(level)), *((a,) for a in approaches_for(Level(level)))]
    paths = [
        t
        for approaches in asked
        for sides in (tuple(Side), (Side.LEFT,), (Side.RIGHT,))
        for choice in ways_in(anatomy, Level(level), approaches=approaches, sides=sides)
        for t in choice.trajectories
    ]
    assert {(t.side, t.approach) for t in paths} == {(s, a.name) for s in Side for a in approaches_for(Level(level))}
    for t in paths:
        assert own_bone_mm(t, anatomy) == 0.0, f"{t.approach} from the {t.side.value}"


@pytest.mark.parametrize("approach", [TRANSPEDICULAR, EXTRAPEDICULAR])
def test_every_candidate_that_is_kept_stays_out_of_the_surface_too(approach) -> None:
    """Not the offered few alone: every candidate of the search, against the maps and the mask by plain NumPy."""
    site = Site.of(patient(), Level.L3)
    judged = survey(site, Side.LEFT, approach, Needle.of_gauge(11)).judged
    assert len(judged.slack_mm) > 100
    rng = np.random.default_rng(1)
    for row in rng.choice(len(judged.slack_mm), 100, replace=False):
        found = judged.found(int(row))
        along = np.arange(found.bone_mm, abs(found.length_mm), STEP_MM)
        points = found.tip_mm + along[:, None] * found.way
        assert np.all(site.maps.sample(points) <= 1e-6)
        beyond = along > found.bone_mm + 1.0
        assert not np.any(site.vertebra.mask.sample(points[beyond], order=0) > 0.5)


def slab(gap_voxels: int) -> tuple[np.ndarray, np.ndarray]:
    """Depth map and mask on one grid of 1 mm: bone below 20.5, and one voxel of it beyond a gap."""
    mask = np.zeros((60, 9, 9), bool)
    mask[:21] = True
    mask[20 + gap_voxels + 1 if gap_voxels else 20] = True
    depth = 20.5 - np.arange(60.0)
    return np.ascontiguousarray(np.broadcast_to(depth[None, :, None, None], (1, 60, 9, 9))).astype(np.float32), mask


@pytest.mark.parametrize(("gap", "expected"), [(0, False), (1, True), (15, True)])
def test_one_voxel_of_its_own_bone_on_the_way_bars_a_path(gap: int, expected: bool) -> None:
    """Even where the interpolated surface does not show it, and none where the needle leaves bone but once."""
    depth, mask = slab(gap)
    tip, way = np.array([[10.0, 4.0, 4.0]]), np.array([[1.0, 0.0, 0.0]])
    eye = np.eye(3, 4)
    assert rays.returns(depth, eye, mask, eye, tip, way, np.array([11.0]), 0.5 * np.sqrt(3.0))[0] == expected


@pytest.mark.parametrize("angle", [0.0, 30.0, 60.0, 75.0])
def test_on_flat_bone_the_side_touches_as_far_as_plane_geometry_says(angle: float) -> None:
    """An axis that meets a plane at an angle a from square comes within a radius r of it r / cos a before."""
    site = Site.of(patient(), Level.L3)
    entry = np.array([19.0, 37.0, 4.0])  # on the rear face of the articular mass
    way = unit([0.0, np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    radius = 1.0
    found = scrape_mm(site.maps, entry, way, radius, 60.0)
    assert found == pytest.approx(radius / np.cos(np.radians(angle)), abs=0.6)
