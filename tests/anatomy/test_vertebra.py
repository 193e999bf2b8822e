"""Axes, widths, heights and angles of a vertebra: closed forms, the phantom's truth, published ranges."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from trocar.anatomy.frame import exit_mm
from trocar.anatomy.heights import body_heights, cobb_deg, wedge_angle_deg
from trocar.anatomy.labels import Labels
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy, build_anatomy
from trocar.anatomy.reading import Layout, lay_out
from trocar.anatomy.surface import Surface, voxels_in
from trocar.geometry import Plane, Pose, Side, angle_deg
from trocar.volume import Volume

from .block_vertebra import BlockVertebra
from .block_vertebra import turned as pose_turned
from .vertebra_cases import RUNS, mirrored, read_phantom, read_scan, spec, swapped, turned, turned_volume

#: Means of published series of pedicle width, lowest and highest, mm (13 series, transcribed in
#: CTSpinoPelvic1K pedicle_width_references.csv; names mix outer and endosteal widths).
PUBLISHED_WIDTH_MM = {
    Level.L1: (5.5, 10.3),
    Level.L2: (5.8, 10.3),
    Level.L3: (7.3, 13.0),
    Level.L4: (9.0, 16.3),
    Level.L5: (11.8, 21.6),
}
#: Widest spread of those means within one series, as the standard deviation of one person (L5, Zindrick), mm.
PERSON_SD_MM = 4.1


def laid_out(shape: BlockVertebra, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Layout:
    found = lay_out(shape.bone(spacing_mm))
    assert isinstance(found, Layout), found
    return found


def slab(spacing_mm: tuple[float, float, float]) -> Volume:
    """Bone between x = -5.2 and 6.8 mm."""
    affine = np.diag([*spacing_mm[::-1], 1.0])
    affine[:3, 3] = -20.0
    grid = Volume(np.zeros([int(40 / s) for s in spacing_mm], dtype=bool), affine, unit="mask")
    x = grid.world_mm(np.stack(np.indices(grid.shape), axis=-1))[..., 0]
    return Volume((x > -5.2) & (x < 6.8), affine, unit="mask")


class TestClosedForms:
    @pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7), (3.0, 3.0, 3.0)])
    def test_a_wall_between_two_voxels_is_found_midway(self, spacing_mm: tuple[float, float, float]) -> None:
        surface = Surface.of(slab(spacing_mm))
        right = exit_mm(surface, np.zeros((1, 3)), np.array([-1.0, 0.0, 0.0]))[0]
        left = exit_mm(surface, np.zeros((1, 3)), np.array([1.0, 0.0, 0.0]))[0]
        assert right == pytest.approx(5.2, abs=spacing_mm[2] / 2)
        assert left == pytest.approx(6.8, abs=spacing_mm[2] / 2)
        assert left + right == pytest.approx(round(12.0 / spacing_mm[2]) * spacing_mm[2], abs=0.01 + spacing_mm[2] / 2)

    def test_voxels_seen_from_a_frame(self) -> None:
        """The quick sums equal the products they stand for."""
        volume = turned_volume(slab((2.5, 0.7, 1.1)), pose_turned((5.0, 7.0, -9.0)).axes, np.array([3.0, 1.0, -4.0]))
        pose = pose_turned((12.0, -8.0, 10.0))
        direct = pose.to_local(volume.world_mm(np.indices(volume.shape).reshape(3, -1).T))
        assert np.allclose(voxels_in(pose, volume), direct, atol=1e-9)

    @pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (12.0, -8.0, 10.0), (-20.0, 5.0, -12.0), (25.0, 15.0, 0.0)])
    def test_the_frame_follows_the_bone(self, turn: tuple[float, float, float]) -> None:
        shape = BlockVertebra(pose=pose_turned(turn))
        found = laid_out(shape)
        assert angle_deg(found.pose.superior, shape.pose.superior) < 0.5
        assert angle_deg(found.pose.left, shape.pose.left) < 0.5
        assert np.max(np.abs(found.pose.origin_mm - shape.pose.origin_mm)) < 0.5

    @pytest.mark.parametrize(("transverse", "sagittal"), [(0.0, 0.0), (10.0, -8.0), (20.0, 5.0), (30.0, 10.0)])
    @pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (12.0, -8.0, 10.0)])
    def test_pedicles_of_known_angles(
        self, transverse: float, sagittal: float, turn: tuple[float, float, float]
    ) -> None:
        shape = BlockVertebra(transverse_deg=transverse, sagittal_deg=sagittal, pose=pose_turned(turn))
        found = laid_out(shape)
        for side in Side:
            isthmus = found.isthmuses[side]
            centre = shape.pose.to_world(shape.isthmus(side))
            assert isthmus.axis.distance_mm(centre) < 0.5
            assert angle_deg(isthmus.axis.direction, shape.pose.axes @ shape.direction(side)) < 2.0
            assert 2 * shape.radii[0] - 1.0 <= isthmus.width_mm <= 2 * shape.radii[0] + 0.5
            assert 2 * shape.radii[1] - 1.0 <= isthmus.height_mm <= 2 * shape.radii[1] + 0.5

    @pytest.mark.parametrize("wedge_mm", [0.0, 4.0, 9.0])
    @pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.5, 0.8, 0.8)])
    def test_endplates_and_heights_of_a_wedge(self, wedge_mm: float, spacing_mm: tuple[float, float, float]) -> None:
        shape = BlockVertebra(wedge_mm=wedge_mm)
        bone = shape.bone(spacing_mm)
        found = lay_out(bone)
        assert isinstance(found, Layout)
        tilt = np.degrees(np.arctan2(wedge_mm, shape.depth))
        between = angle_deg(found.plates["superior"].normal, -found.plates["inferior"].normal)
        assert between == pytest.approx(tilt, abs=1.5)
        assert wedge_angle_deg(found.plates, found.pose) == pytest.approx(tilt, abs=1.5)
        heights = body_heights(bone.surface, found.pose, found.plan)
        # heights run along the axis between the endplates, which leans by half the wedge
        lean = np.cos(np.radians(0.5 * tilt))
        stations = (-shape.wall + 3.0, 0.0, shape.wall - 3.0)
        for measured, y in zip((heights.anterior, heights.middle, heights.posterior), stations, strict=True):
            assert measured.value == pytest.approx(shape.height_at(y) * lean, abs=spacing_mm[0])
            assert measured.low is not None
            assert measured.high is not None
            assert measured.low < measured.value < measured.high
            assert measured.interval == "voxel"

    @pytest.mark.parametrize("angle", [-20.0, 0.0, 35.0])
    def test_kyphosis_is_positive(self, angle: float) -> None:
        """Two endplates leaning towards each other in front by a known angle."""
        half = np.radians(angle / 2)
        upper = Plane(np.zeros(3), np.array([0.0, -np.sin(half), np.cos(half)]))
        lower = Plane(np.zeros(3), -np.array([0.0, np.sin(half), np.cos(half)]))
        assert cobb_deg(upper, lower, Pose(np.zeros(3), np.eye(3))) == pytest.approx(angle)

    def test_finer_voxels_bring_the_width_nearer(self) -> None:
        """Convergence: the error of a pedicle's width falls with the voxel."""
        true = 2 * BlockVertebra().radii[0]
        errors = []
        for step in (2.0, 1.0, 0.7):
            found = laid_out(BlockVertebra(pose=pose_turned((3.0, 4.0, 5.0))), (step, step, step))
            errors.append(np.mean([abs(i.width_mm - true) for i in found.isthmuses.values()]))
        assert errors[2] < errors[0]
        assert errors[2] < 0.3


class TestPhantom:
    @pytest.mark.parametrize("run", RUNS, ids=lambda r: f"{r[0]}-{r[-1]}")
    def test_axes_within_1_mm_and_2_deg_and_heights_within_a_voxel(self, run: tuple[str, ...]) -> None:
        """T1 to L5 at 1 x 1 x 2.5 mm; the axis is judged at the true centre of the isthmus."""
        what = spec(*run)
        drawn, anatomy = read_phantom(what)
        for level in what.levels:
            truth, found = drawn.truth.vertebrae[level], anatomy.vertebra(level)
            for side in Side:
                measured, true = found.pedicles[side], truth.pedicles[side]
                assert measured.axis.distance_mm(true.axis.point_mm) < 1.0
                assert angle_deg(measured.axis.direction, true.axis.direction) < 2.0
                assert true.width_mm - 1.0 < measured.width.value < true.width_mm + 0.6
                assert abs(measured.height.value - true.height_mm) < what.voxel_mm[0]
            heights = (found.heights.anterior, found.heights.middle, found.heights.posterior)
            for height, true_mm in zip(heights, truth.heights_mm, strict=True):
                assert abs(height.value - true_mm) < what.voxel_mm[0]
            assert angle_deg(found.frame.superior, truth.frame.superior) < 3.0
            assert angle_deg(found.frame.left, truth.frame.left) < 2.0

    def test_widths_are_not_rounded_up(self) -> None:
        """Over all levels the mean error is not positive: a pedicle must not be read too wide."""
        errors = []
        for run in RUNS:
            drawn, anatomy = read_phantom(spec(*run))
            for level, truth in drawn.truth.vertebrae.items():
                if level in anatomy.whole_levels:
                    pairs = ((anatomy.vertebra(level).pedicles[s], truth.pedicles[s]) for s in Side)
                    errors += [p.width.value - t.width_mm for p, t in pairs]
        assert np.mean(errors) <= 0.05

    @pytest.mark.parametrize("cobb", [-35.0, 25.0])
    def test_scoliosis(self, cobb: float) -> None:
        drawn, anatomy = read_phantom(spec("T11", "T12", "L1", scoliosis_deg=cobb))
        for level in drawn.spec.levels:
            truth, found = drawn.truth.vertebrae[level], anatomy.vertebra(level)
            assert angle_deg(found.frame.superior, truth.frame.superior) < 3.0
            assert angle_deg(found.frame.left, truth.frame.left) < 2.0
            for side in Side:
                assert angle_deg(found.pedicles[side].axis.direction, truth.pedicles[side].axis.direction) < 2.0

    def test_a_collapse_bends_the_spine_forwards(self) -> None:
        plain = read_phantom(spec("T11", "T12", "L1"))[1]
        bent = read_phantom(spec("T11", "T12", "L1", fracture="wedge", fracture_percent=40.0))[1]
        straight = plain.vertebra("T12").measure("local_kyphosis").value
        assert bent.vertebra("T12").measure("local_kyphosis").value - straight > 10.0
        assert bent.vertebra("T12").measure("wedge_angle").value > 12.0

    @pytest.mark.parametrize("run", [("T10", "T11", "T12"), ("L1", "L2", "L3")])
    def test_landmarks(self, run: tuple[str, ...]) -> None:
        """The crease and the notch within 2.5 mm, a slice."""
        drawn, anatomy = read_phantom(spec(*run))
        for level in drawn.spec.levels:
            truth = drawn.truth.vertebrae[level].landmarks
            names = [n for n in truth if n.startswith(("articular_transverse_junction", "rib_transverse_notch"))]
            assert len(names) == 2
            for name in names:
                assert np.linalg.norm(anatomy.vertebra(level).landmarks[name] - truth[name]) < 2.5


def same_in_the_mirror(one: Anatomy, other: Anatomy) -> None:
    flip = np.diag([-1.0, 1.0, 1.0])
    assert one.vertebrae.keys() == other.vertebrae.keys()
    for level, a in one.vertebrae.items():
        b = other.vertebrae[level]
        assert a.whole == b.whole
        assert np.allclose(flip @ a.frame.origin_mm, b.frame.origin_mm, atol=1e-6)
        if not a.endplates:
            continue
        assert np.allclose(flip @ a.frame.left, -b.frame.left, atol=1e-6)
        assert np.allclose(flip @ a.frame.superior, b.frame.superior, atol=1e-6)
        for side, p in a.pedicles.items():
            q = b.pedicles[side.other]
            assert np.allclose(flip @ p.axis.point_mm, q.axis.point_mm, atol=1e-5)
            assert np.allclose(flip @ p.axis.direction, q.axis.direction, atol=1e-6)
            assert p.width.value == pytest.approx(q.width.value, abs=1e-5)
        for name, point in a.landmarks.items():
            assert np.allclose(flip @ point, b.landmarks[swapped(name)], atol=1e-4)
        assert {swapped(m.name) for m in a.measures} == {m.name for m in b.measures}
        for m in a.measures:
            assert m.value == pytest.approx(b.measure(swapped(m.name)).value, abs=1e-3)


class TestSymmetry:
    def test_the_mirrored_phantom_gives_the_mirror_image(self) -> None:
        same_in_the_mirror(
            read_phantom(spec("T12", "L1", "L2"))[1], read_phantom(spec("T12", "L1", "L2", mirror=True))[1]
        )

    def test_the_mirrored_scan_gives_the_mirror_image(self, lumbar: tuple[Volume, Labels, Anatomy]) -> None:
        ct, labels, anatomy = lumbar
        same_in_the_mirror(anatomy, build_anatomy(*mirrored(ct, labels)))

    def test_a_patient_who_lies_otherwise_has_the_same_vertebrae(self, lumbar: tuple[Volume, Labels, Anatomy]) -> None:
        ct, labels, anatomy = lumbar
        rotation = Rotation.from_euler("xyz", [12.0, -8.0, 15.0], degrees=True).as_matrix()
        shift = np.array([40.0, -13.0, 7.0])
        other = build_anatomy(*turned(ct, labels, rotation, shift))
        assert anatomy.whole_levels == other.whole_levels
        for level in anatomy.whole_levels:
            a, b = anatomy.vertebra(level), other.vertebra(level)
            assert np.allclose(rotation @ a.frame.origin_mm + shift, b.frame.origin_mm, atol=1e-6)
            assert np.allclose(rotation @ a.frame.axes, b.frame.axes, atol=1e-6)
            for side, p in a.pedicles.items():
                q = b.pedicles[side]
                assert np.allclose(rotation @ p.axis.point_mm + shift, q.axis.point_mm, atol=1e-5)
                assert angle_deg(rotation @ p.axis.direction, q.axis.direction) < 1e-4


@pytest.fixture(scope="module")
def lumbar(shared_data: Path) -> tuple[Volume, Labels, Anatomy]:
    """A 3 mm scan with L1 to L5 whole."""
    labels, anatomy = read_scan(shared_data, "abdomen")
    return anatomy.ct, labels, anatomy


@pytest.fixture(scope="module")
def thoracic(shared_data: Path) -> Anatomy:
    """A chest scan of 0.7 x 0.7 x 2.5 mm with T9 to L2 whole."""
    return read_scan(shared_data, "chest")[1]


def mean_of_sides(anatomy: Anatomy, level: Level | str, name: str) -> float:
    return float(np.mean([getattr(p, name).value for p in anatomy.vertebra(level).pedicles.values()]))


class TestPublishedMorphometry:
    """Published means differ twofold between series, so: the trend, and the range, and no one mean."""

    def test_lumbar_widths_lie_in_the_published_range(self, lumbar: tuple[Volume, Labels, Anatomy]) -> None:
        """Widened by half a voxel and by one person's standard deviation."""
        anatomy = lumbar[2]
        for level, (low, high) in PUBLISHED_WIDTH_MM.items():
            assert low - 1.5 <= mean_of_sides(anatomy, level, "width") <= high + 1.5 + PERSON_SD_MM

    def test_lumbar_widths_rise_and_L5_is_widest(self, lumbar: tuple[Volume, Labels, Anatomy]) -> None:
        """Within the voxel (3 mm) every level is at least as wide as the one above; L5 is the widest."""
        widths = [mean_of_sides(lumbar[2], level, "width") for level in PUBLISHED_WIDTH_MM]
        assert all(below > above - 1.5 for above, below in pairwise(widths))
        assert widths[4] == max(widths)
        assert widths[4] > widths[0] + 3.0

    def test_lumbar_angles_rise(self, lumbar: tuple[Volume, Labels, Anatomy]) -> None:
        """10.9 deg at L1 to 27.8 deg at L5 in the published series."""
        angles = [mean_of_sides(lumbar[2], level, "transverse_angle") for level in PUBLISHED_WIDTH_MM]
        assert angles[4] == max(angles)
        assert angles[4] > angles[0] + 10.0
        assert 15.0 < angles[4] < 45.0
        assert 0.0 < angles[0] < 20.0

    def test_thoracic_pedicles_grow_downwards_and_stand_straight(self, thoracic: Anatomy) -> None:
        """Width falls from T12 to T9 (published 8.3 to about 6 mm); T12 hardly converges, T9 does."""
        assert mean_of_sides(thoracic, "T9", "width") < mean_of_sides(thoracic, "T12", "width") - 1.0
        assert 4.0 < mean_of_sides(thoracic, "T9", "width") < 9.0
        assert abs(mean_of_sides(thoracic, "T12", "transverse_angle")) < 10.0
        assert mean_of_sides(thoracic, "T9", "transverse_angle") > mean_of_sides(thoracic, "T12", "transverse_angle")

    def test_pedicles_are_taller_than_wide(self, thoracic: Anatomy) -> None:
        """T9 to L2: 11 to 19 mm tall (published 11 to 17, tallest at T11)."""
        for level in thoracic.whole_levels:
            for p in thoracic.vertebra(level).pedicles.values():
                assert p.height.value > p.width.value
                assert 10.0 < p.height.value < 21.0

    def test_bodies_grow_downwards(self, thoracic: Anatomy) -> None:
        widths = [thoracic.vertebra(level).measure("body_width").value for level in thoracic.whole_levels]
        assert widths == sorted(widths)
        back = [thoracic.vertebra(level).heights.posterior.value for level in thoracic.whole_levels]
        assert back[-1] > back[0] + 5.0

    def test_what_was_read_by_hand(self, thoracic: Anatomy) -> None:
        """Read with a ruler off the slices of the chest scan, to 1.5 mm."""
        l1 = thoracic.vertebra("L1")
        assert l1.measure("body_width").value == pytest.approx(34.0, abs=1.5)
        assert l1.measure("body_depth").value == pytest.approx(27.0, abs=1.5)
        assert l1.measure("canal_width").value == pytest.approx(22.0, abs=1.5)
        assert l1.heights.posterior.value == pytest.approx(26.5, abs=1.5)

    def test_every_measure_says_how(self, thoracic: Anatomy) -> None:
        for level in thoracic.whole_levels:
            v = thoracic.vertebra(level)
            sizes = [m for p in v.pedicles.values() for m in (p.width, p.height, p.transverse_angle, p.sagittal_angle)]
            for m in (*v.measures, *sizes, v.heights.anterior, v.heights.middle, v.heights.posterior):
                assert m.method.endswith(".")
                assert np.isfinite(m.value)
