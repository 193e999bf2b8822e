"""What registration is made of, against closed forms: motions, edges, the search, the refinement, the confidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.geometry import Pose
from trocar.guidance.bone_parts import BonePart, coarser
from trocar.guidance.carm import AT_REST, CArm, Detector
from trocar.guidance.confidence import Confidence, confidence
from trocar.guidance.edge_view import EdgeView, Window, edge_view
from trocar.guidance.exposure import Shutters, Technique, shuttered
from trocar.guidance.frames import Frame, Intensity
from trocar.guidance.image_faults import Reading, read_as
from trocar.guidance.pose_search import search
from trocar.guidance.refinement import evaluate, normal, refine
from trocar.guidance.rigid_motion import LEVER_MM, after, inverse, motion, moved_mm, shift, turn_deg
from trocar.guidance.similarity import correlation, gradients, saturated
from trocar.guidance.usable_pixels import metal, open_field
from trocar.volume import Volume

CENTRE = np.zeros(3)
VIEWS = ((0.0, 0.0), (90.0, 0.0))
DETECTOR = Detector(140, 140, 1.6, 1.6)


def bone(mirror: bool = False) -> BonePart:
    """A body, two unlike pedicles and a spinous process of Gaussians, 2 mm voxels, at the origin."""
    k, j, i = np.meshgrid(*[np.arange(-40.0, 41.0, 2.0)] * 3, indexing="ij")
    x, y, z = (-i if mirror else i), j, k
    blobs = (
        (0, -12, 0, 14, 11, 10),
        (12, 8, 6, 4, 6, 5),
        (-13, 9, 4, 5, 6, 4),
        (2, 24, -6, 3, 7, 6),
        (16, 12, 4, 8, 3, 3),
    )
    mu = sum(0.02 * (((x - a) / p) ** 2 + ((y - b) / q) ** 2 + ((z - c) / r) ** 2 < 1.0) for a, b, c, p, q, r in blobs)
    affine = np.diag((2.0, 2.0, 2.0, 1.0))
    affine[:3, 3] = -40.0
    return BonePart(Volume(mu.astype(np.float32), affine, unit="/mm"), CENTRE)


def frame(part: BonePart, view: tuple[float, float], truth: Pose, rng: np.random.Generator | None = None) -> Frame:
    arm = CArm(CENTRE, *view, detector=DETECTOR)
    blank = EdgeView(arm, np.zeros((2, 140, 140), np.float32), np.ones((140, 140), np.float32), np.zeros(()))
    dense = blank.shadow(part.volume, truth, Window(0, 0, 140, 140))
    noise = 0.0 if rng is None else rng.normal(0.0, 0.05, dense.shape)
    return Frame(0, 0.0, "drawn", (dense + noise).astype(np.float32), arm, Intensity.LOG)


def views(part: BonePart, truth: Pose, rng: np.random.Generator | None = None, angles=VIEWS) -> list[EdgeView]:
    frames = [frame(part, v, truth, rng) for v in angles]
    return [edge_view(f, f.view, np.ones(f.image.shape, bool), 1.0) for f in frames]


def off(a: Pose, b: Pose) -> float:
    """The largest distance between where two displacements put the corners of a vertebra, mm."""
    corners = 20.0 * np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    return float(np.linalg.norm(a.to_world(corners) - b.to_world(corners), axis=1).max())


def test_motions_chain_and_go_back() -> None:
    a, b = motion((1.0, 2.0, 3.0), (4, -3, 2, 1, 5, -2)), motion((9.0, 0.0, 1.0), (1, 1, 1, 3, 0, 2))
    point = np.array((3.0, -7.0, 11.0))
    assert after(b, a).to_world(point) == pytest.approx(b.to_world(a.to_world(point)))
    assert inverse(a).to_world(a.to_world(point)) == pytest.approx(point)
    assert turn_deg(motion(CENTRE, (0, 0, 0, 0, np.radians(7.0) * LEVER_MM, 0))) == pytest.approx(7.0)


def test_points_move_as_the_derivative_says() -> None:
    points, h = np.array([[10.0, -5.0, 3.0], [0.0, 30.0, 7.0]]), 1e-4
    slopes = moved_mm(points, (1.0, 1.0, 1.0))
    for n, e in enumerate(np.eye(6)):
        step = motion((1.0, 1.0, 1.0), h * e).to_world(points) - points
        assert slopes[:, :, n] == pytest.approx(step / h, abs=1e-4)


def test_edges_ignore_offset_and_slow_slopes_and_similarity_ignores_scale() -> None:
    image = np.random.default_rng(0).normal(size=(60, 70)).astype(np.float32)
    plain = gradients(image)[:, 15:-15, 15:-15]
    sloped = gradients(image + 5.0 + 0.0 * image)[:, 15:-15, 15:-15]
    assert sloped == pytest.approx(plain, abs=1e-4)
    ramp = np.broadcast_to(np.arange(70.0, dtype=np.float32), (60, 70)).copy()
    # a slope keeps its sign at both scales: what the broad one takes off leaves 1 - BROAD's share of it
    assert np.abs(gradients(ramp)[1, 15:-15, 15:-15]).max() < 0.2
    weight = np.ones((60, 70), np.float32)
    field = gradients(image)
    assert correlation(field, 3.0 * field, weight) == pytest.approx(1.0, abs=1e-5)
    assert correlation(field, -field, weight) == pytest.approx(-1.0, abs=1e-5)
    assert np.sqrt(np.sum(saturated(100.0 * field, 0.1) ** 2, axis=0)).max() <= 1.0


def test_a_coarser_volume_keeps_its_mass_and_its_place() -> None:
    fine = bone().volume
    coarse = coarser(fine, 4.0)
    fine, coarse = (replace(v, array=v.array.astype(np.float64)) for v in (fine, coarse))
    centre = [np.einsum("nd,n->d", v.world_mm(np.argwhere(v.array >= 0)), v.array.ravel()) for v in (fine, coarse)]
    centre = [c / v.array.sum() for c, v in zip(centre, (fine, coarse), strict=True)]
    assert coarse.spacing_mm == (4.0, 4.0, 4.0)
    assert coarse.array.sum() * 8 == pytest.approx(fine.array.sum(), rel=1e-5)
    # how the mass lies within a voxel is lost, a shift by half a voxel would be 2 mm
    assert centre[1] == pytest.approx(centre[0], abs=0.05)


def test_identity_stays_identity() -> None:
    part = bone()
    found = refine(views(part, AT_REST), part.volume, CENTRE, AT_REST, 5)
    # the image's own saturation is that of its mostly empty ground: not one, but near
    assert found.mean > 0.95
    assert off(found.displacement, AT_REST) < 0.1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_known_displacement_is_found_by_search_and_refinement(seed: int) -> None:
    part, rng = bone(), np.random.default_rng(seed)
    truth = motion(CENTRE, np.append(rng.uniform(-10, 10, 3), np.radians(rng.uniform(-10, 10, 3)) * LEVER_MM))
    seen = views(part, truth)
    starts = search(seen, part.volume, CENTRE, AT_REST, 12.0, 2)
    found = max((refine(seen, part.volume, CENTRE, s.displacement, 20) for s in starts), key=lambda o: o.mean)
    assert off(found.displacement, truth) < 0.1


def test_the_mirror_image_of_a_patient_is_found_at_the_mirrored_place() -> None:
    """Left stays left: the shift and the turns of the mirrored patient are mirrored."""
    parts = np.array((4.0, -3.0, 2.0, 1.5, -2.0, 1.0))
    sign = np.array((-1.0, 1.0, 1.0, 1.0, -1.0, -1.0))
    results = []
    for mirror, six in ((False, parts), (True, sign * parts)):
        part = bone(mirror)
        seen = views(part, motion(CENTRE, six))
        results.append(refine(seen, part.volume, CENTRE, AT_REST, 20).displacement)
    flip = np.diag((-1.0, 1.0, 1.0))
    assert results[1].origin_mm == pytest.approx(flip @ results[0].origin_mm, abs=0.05)
    assert results[1].axes == pytest.approx(flip @ results[0].axes @ flip, abs=2e-3)


def test_the_slope_is_that_of_similarity() -> None:
    part = bone()
    seen = views(part, motion(CENTRE, (1.0, -0.5, 0.7, 0.4, 0.3, -0.6)))
    problem, h = normal(seen, part.volume, AT_REST, CENTRE), 0.05
    ends = [
        [sum(evaluate(seen, part.volume, motion(CENTRE, s * h * e)).similarity) for s in (1.0, -1.0)] for e in np.eye(6)
    ]
    numeric = [(up - down) / (2.0 * h) for up, down in ends]
    assert problem.slope == pytest.approx(numeric, abs=0.1 * np.abs(numeric).max())


def test_the_covariance_is_that_of_drawn_noise() -> None:
    """30 draws of white noise: each of the six spreads within a factor of two of what the mean covariance says."""
    part, rng = bone(), np.random.default_rng(5)
    places, said = [], []
    for _ in range(30):
        seen = views(part, AT_REST, rng)
        best = refine(seen, part.volume, CENTRE, AT_REST, 8)
        about = best.displacement.to_world(CENTRE)
        said.append(
            np.diag(confidence(seen, normal(seen, part.volume, best.displacement, about, True), about).covariance_mm2)
        )
        turn = best.displacement.axes
        small = np.array((turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1])) / 2.0
        places.append(np.append(about, small * LEVER_MM))
    ratio = np.std(places, axis=0) / np.sqrt(np.mean(said, axis=0))
    assert np.all((ratio > 0.5) & (ratio < 2.0)), ratio


def test_one_view_is_least_sure_along_its_ray() -> None:
    part = bone()
    seen = views(part, AT_REST, np.random.default_rng(0), angles=VIEWS[:1])
    sure = confidence(seen, normal(seen, part.volume, AT_REST, CENTRE, True), CENTRE)
    assert sure.along_mm((0.0, 1.0, 0.0)) > 3.0 * max(sure.along_mm((1.0, 0.0, 0.0)), sure.along_mm((0.0, 0.0, 1.0)))
    assert sure.expected_mm(np.zeros((1, 3)), across=(0.0, 1.0, 0.0)) < sure.expected_mm(np.zeros((1, 3)))


def test_a_shift_and_a_turn_add_up_at_a_distance() -> None:
    sure = Confidence(CENTRE, np.diag((0.09, 0.0, 0.0, 0.0, 0.0, 0.25)))
    away = np.array([[0.0, 2.0 * LEVER_MM, 0.0]])
    assert sure.expected_mm(CENTRE[None]) == pytest.approx(0.3)
    # a turn of 0.5 mm on the lever about the head's direction moves what is two levers behind by 1 mm sideways
    assert sure.expected_mm(away) == pytest.approx(np.hypot(0.3, 1.0))


@pytest.mark.parametrize("intensity", [Intensity.LINEAR, Intensity.DISPLAYED])
def test_shutters_are_found_and_an_open_image_is_left_whole(intensity: Intensity) -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:256, :256] / 256.0
    image = (400.0 * np.exp(-rows - 0.7 * np.sin(5.0 * columns))).astype(np.float32)
    closed = shuttered(image, Technique(shutters=Shutters(0.1, 1.0, 0.2, 0.9)))
    one, other = (Frame(0, 0.0, "drawn", rng.poisson(i).astype(np.float32), None, intensity) for i in (image, closed))
    assert open_field(one).all()
    found = open_field(other)
    assert not found[:25].any()
    assert not found[:, :51].any()
    assert not found[:, 231:].any()
    assert found[35:, 64:222].all()


def test_a_needle_is_left_out_and_bone_is_not() -> None:
    rows, columns = np.mgrid[:200, :200]
    dense = 2.0 + 0.5 * (np.abs(rows - 100) < 40) + 2.0 * (np.abs(columns - rows / 2.0 - 30.0) < 3.0)
    image = (2000.0 * np.exp(-dense)).astype(np.float32)
    frame = Frame(0, 0.0, "drawn", image, None)
    found = metal(frame, np.ones_like(image, dtype=bool), 0.5)
    assert found[np.abs(columns - rows / 2.0 - 30.0) < 3.0].mean() > 0.95
    assert found[np.abs(columns - rows / 2.0 - 30.0) > 14.0].mean() == 0.0


@pytest.mark.parametrize("reading", [r for r in Reading if r is not Reading.AS_GIVEN])
def test_reading_an_image_otherwise_twice_is_reading_it_as_given(reading: Reading) -> None:
    seen = views(bone(), AT_REST)[0]
    twice = read_as(read_as(seen, reading), reading)
    assert np.array_equal(twice.field, seen.field)
    assert not np.array_equal(read_as(seen, reading).field, seen.field)


def test_a_mirrored_image_read_as_mirrored_has_the_edges_of_the_image() -> None:
    f = frame(bone(), VIEWS[0], AT_REST)
    usable = np.ones(f.image.shape, bool)
    untold = replace(f, image=f.image[:, ::-1].copy())
    plain, flipped = (edge_view(g, f.view, usable, 1.6 / f.view.magnification) for g in (f, untold))
    assert read_as(flipped, Reading.MIRRORED).field == pytest.approx(plain.field, abs=1e-4)


def test_a_shift_is_only_that() -> None:
    assert shift((1.0, 2.0, 3.0)).to_world(np.ones(3)) == pytest.approx((2.0, 3.0, 4.0))
