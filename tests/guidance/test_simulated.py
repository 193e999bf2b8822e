"""Simulated fluoroscopy: what is in the image is where and as much as the truth says, and always the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

import trocar
from trocar.errors import ImageError, SimulationError
from trocar.geometry import Pose, Side
from trocar.guidance.breathing import Breathing, shifted
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.cement_inside import blob, flowed
from trocar.guidance.cement_shadow import Shadow
from trocar.guidance.exposure import CEMENT_PER_MM, IDEAL, Shutters, Technique, soft_per_mm
from trocar.guidance.growth import Course
from trocar.guidance.scene import Layers, add_shifted
from trocar.guidance.script import (
    Advance,
    Collimation,
    Exposure,
    Injecting,
    Leak,
    Pan,
    Script,
    drawn,
)
from trocar.guidance.simulated import Fluoroscopy, shapes, simulate_fluoroscopy
from trocar.guidance.simulated_case import SimulatedCase, simulated_case
from trocar.guidance.truth import LEAST_MM, reach_of
from trocar.injection.routes import Route
from trocar.io.xa import read_xa
from trocar.io.xa_write import write_xa
from trocar.measure import Status
from trocar.procedures.vertebroplasty import Vertebroplasty
from trocar.treatment import Option, Plan, Simulation
from trocar.volume import Volume

from .simulated_cases import DETECTOR, layers, near, path, patient, scene

STILL = Breathing(depth_mm=0.0)
QUICK = Injecting(0.2, 60.0, 1.5)


def script(leaks: Sequence[Leak] = (), **more: object) -> Script:
    given = {"duration_s": 2.0, "breathing": STILL, "injecting": QUICK, "leaks": tuple(leaks)} | more
    return Script(**given)


def exponents(film: Fluoroscopy, number: int) -> NDArray[np.float32]:
    """What the beam meets in one frame of an ideal film whose exposure does not change, up to a constant."""
    return -np.log(list(film)[number].image)


@cache
def leaking(primary_deg: float = 0.0) -> Fluoroscopy:
    plot = script([Leak(Route.LATERAL, 0.1, 0.6, 0.7, Side.LEFT)])
    return simulate_fluoroscopy(layers(primary_deg), plot, IDEAL, 3, path=path(), source=f"{primary_deg:g}")


# cement: volume, place, truth


def test_a_blobs_shadow_adds_up_to_its_volume() -> None:
    """Sum of thickness times area of a pixel over the square of the magnification is the volume."""
    view = CArm(scene().centre_mm, 25.0, 10.0, detector=DETECTOR)
    course = blob(near(), 2.0, np.random.default_rng(0), path().target_mm)
    image = np.zeros(DETECTOR.shape, np.float32)
    Shadow.of(course, view).add(image, 0, len(course.each_ml))
    depth = (course.points_mm - view.source_mm) @ view.toward_detector
    scale = view.source_to_detector_mm / depth
    cosine = depth / np.linalg.norm(course.points_mm - view.source_mm, axis=1)
    expected = (course.each_ml * scale**2 / cosine).sum() * 1000.0
    assert image.sum(dtype=float) * 1.2**2 == pytest.approx(expected, rel=1e-5)
    # with one magnification for all of it: a body is 3 cm deep at 62 cm from the source
    assert image.sum(dtype=float) * 1.2**2 / view.magnification**2 == pytest.approx(2000.0, rel=0.03)


def test_a_balls_shadow_is_that_of_a_ball() -> None:
    """Against the closed form 2 sqrt(r2 - d2): within a cube's edge everywhere, on average within 3 % of the middle."""
    grid = Volume(np.zeros((41, 41, 41), bool), np.diag((0.5, 0.5, 0.5, 1.0)), unit="mask")
    where = grid.world_mm(np.argwhere(~grid.array))
    centre, radius = np.array((10.0, 10.0, 10.0)), 7.0
    inside = where[np.linalg.norm(where - centre, axis=1) <= radius]
    course = Course(inside, np.full(len(inside), 0.125e-3), 0.5)
    view = CArm(centre, 90.0, detector=replace(DETECTOR, row_spacing_mm=0.3, column_spacing_mm=0.3))
    image = np.zeros(DETECTOR.shape, np.float32)
    Shadow.of(course, view).add(image, 0, len(inside))
    pixels = np.stack(np.meshgrid(*[np.arange(n) for n in DETECTOR.shape], indexing="ij"), axis=-1)
    rays = view.on_detector_mm(pixels) - view.source_mm
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    off = np.linalg.norm(np.cross(centre - view.source_mm, rays), axis=-1)
    exact = 2.0 * np.sqrt(np.maximum(radius**2 - off**2, 0.0))
    smooth = off < radius - 1.5
    assert np.abs(image - exact)[smooth].max() < 0.9  # a cube and a half along the ray
    assert np.abs(image - exact)[smooth].mean() < 0.03 * 2.0 * radius
    assert not image[off > radius + 1.0].any()


@pytest.mark.parametrize("primary_deg", [0.0, 90.0])
def test_the_cement_in_the_image_is_the_cement_of_the_truth(primary_deg: float) -> None:
    film = leaking(primary_deg)
    last = len(film) - 1
    more = exponents(film, last) - exponents(film, 0)
    truth = film.truth.frames[last]
    assert truth.injected_ml == pytest.approx(1.5)
    assert truth.leaked_ml[0] == pytest.approx(0.6, rel=1e-6)
    area = (1.2 / film.view.magnification) ** 2 / 1000.0
    found_ml = (more - np.median(more)).sum(dtype=float) / (CEMENT_PER_MM - soft_per_mm()) * area
    # parallax over the body's depth, and cubes that are not yet full
    assert found_ml == pytest.approx(1.5, rel=0.05)


def test_a_leak_on_the_left_appears_on_the_right_of_an_image_seen_from_the_front() -> None:
    film = leaking()
    mask = film.truth.leak_mask(Route.LATERAL, len(film) - 1)
    body = film.truth.body_mask(0)
    assert mask.any()
    assert np.nonzero(mask)[1].mean() > np.nonzero(body)[1].mean() + 5.0
    behind = simulate_fluoroscopy(layers(180.0), film.script, IDEAL, 3, path=path())
    assert np.nonzero(behind.truth.leak_mask(Route.LATERAL, len(film) - 1))[1].mean() < np.nonzero(body)[1].mean() - 5.0


def test_the_mirrored_patient_gives_the_mirrored_image() -> None:
    centre = scene().centre_mm * np.array((-1.0, 1.0, 1.0))
    one = layers(0.0).exponents(layers(0.0).spine, layers(0.0).view, np.zeros(3), np.zeros(3))
    view = CArm(centre, detector=DETECTOR)
    other_layers = Layers.of(scene(True), view, binning=1)
    other = other_layers.exponents(other_layers.spine, view, np.zeros(3), np.zeros(3))
    difference = np.abs(one - other[:, ::-1])
    # masks are read from the labels anew: a voxel here and there falls to the other part
    assert np.median(difference) < 1e-3
    assert np.percentile(difference, 99.0) < 0.02 * one.max()


def test_masks_grow_and_lie_where_cement_is() -> None:
    film = leaking()
    truth, last = film.truth, len(film) - 1
    areas = [truth.leak_mask(Route.LATERAL, n).sum() for n in range(len(film))]
    assert areas[0] == 0
    assert areas[-1] > 50
    assert np.all(np.diff(areas) >= 0)
    more = (exponents(film, last) - exponents(film, 0)) / (CEMENT_PER_MM - soft_per_mm())
    inside_mask = truth.leak_mask(Route.LATERAL, last)
    assert (more - np.median(more))[inside_mask].min() > 0.6 * LEAST_MM


def test_the_onset_is_the_first_frame_at_which_the_shadow_reaches_so_far() -> None:
    truth = leaking().truth
    onset = truth.onset(Route.LATERAL, 2.0)
    assert onset is not None
    reach = [f.reach_mm[0] for f in truth.frames]
    assert reach[onset] >= 2.0 > reach[onset - 1]
    # measured anew from the masks of that frame
    pixel = 1.2 / truth.view.magnification
    off = ndimage.distance_transform_edt(~truth.body_mask(onset)) * pixel
    assert off[truth.leak_mask(Route.LATERAL, onset)].max() == pytest.approx(reach[onset], abs=0.05)
    assert truth.onset(Route.LATERAL, 50.0) is None


def test_reach_counts_a_pixel_from_its_frame_on() -> None:
    seen = np.array([[0, 2], [7, np.iinfo(np.int32).max]], np.int32)
    off = np.array([[1.0, 3.0], [9.0, 20.0]])
    np.testing.assert_array_equal(reach_of(seen, off, 4), (1.0, 1.0, 3.0, 3.0))


# what moves


@pytest.mark.parametrize("number", [0, 11, 29])
def test_the_needles_tip_in_the_image_is_where_the_truth_projects_it(number: int) -> None:
    """Half of the steel's step along its axis, to a tenth of a pixel of 0.25 mm, breathing, pushed and panned."""
    breathing, pan = Breathing(3.0, 2.0), Pan(0.2, 1.0, (4.0, 0.0, -5.0))
    push = Advance(0.1, 1.5, 8.0, 0.0, (1.0, 0.0, 1.0))
    plot = script(injecting=None, breathing=breathing, pans=(pan,), advance=push)
    bare = replace(plot, advance=None)
    time_s, done = plot.times_s[number], min(max((plot.times_s[number] - 0.1) / 1.5, 0.0), 1.0)
    film = simulate_fluoroscopy(close_up(), plot, IDEAL, 1, path=path())
    truth = film.truth.frames[number]
    tip = path().target_mm - (8.0 - 8.0 * done) * path().direction + done * np.array((1.0, 0.0, 1.0))
    np.testing.assert_allclose(truth.tip_mm, tip + breathing.spine_mm(np.array([time_s]))[0], atol=1e-9)
    steel = exponents(film, number) - exponents(simulate_fluoroscopy(close_up(), bare, IDEAL, 1), number)
    along = np.arange(-4.0, 2.0, 0.01)
    line = film.truth.view_at(number).project(truth.tip_mm + along[:, None] * truth.direction)
    step = ndimage.map_coordinates(steel - np.median(steel), line.T, order=1)
    half = 0.5 * (step[:50].mean() + step[-50:].mean())
    found = along[np.flatnonzero(step > half)[-1]]
    assert step[:50].mean() > 1.0
    assert abs(found) * close_up().view.magnification / 0.25 < 0.1


@cache
def close_up() -> Layers:
    """A lateral view of small pixels about the body."""
    detector = Detector(320, 320, 0.25, 0.25)
    return Layers.of(scene(), CArm(scene().centre_mm, 90.0, detector=detector), room_mm=20.0)


def test_masks_go_with_the_patient_when_it_breathes_and_the_table_moves() -> None:
    moves = {"breathing": Breathing(3.0, 2.0), "pans": (Pan(0.2, 1.0, (0.0, 0.0, 12.0)),)}
    plot = script([Leak(Route.LATERAL, 0.0, 1.5, 1.0, Side.LEFT)], **moves)
    film = simulate_fluoroscopy(layers(), plot, IDEAL, 3)
    later = replace(plot, injecting=replace(QUICK, start_s=100.0))
    dry = simulate_fluoroscopy(layers(), later, IDEAL, 3, escapes=film.escapes)
    for number in (14, 29):
        more = exponents(film, number) - exponents(dry, number)
        seen = (more - np.median(more)) / (CEMENT_PER_MM - soft_per_mm()) > LEAST_MM
        mask = film.truth.leak_mask(Route.LATERAL, number)
        assert (seen & mask).sum() > 0.85 * (seen | mask).sum()
        assert np.abs(film.truth.shift_px(number)).max() > 10.0


@pytest.mark.parametrize(
    ("primary_deg", "pan_mm", "tolerance_mm"), [(0.0, 0.0, 0.1), (90.0, 0.0, 0.1), (0.0, 10.0, 0.4), (90.0, 10.0, 0.4)]
)
def test_a_shifted_shadow_is_near_the_vertebra_projected_anew(
    primary_deg: float, pan_mm: float, tolerance_mm: float
) -> None:
    """Breathing of 3 mm without and with 10 mm of table: how far every corner of the body is from its shifted shadow.

    The body alone; a transverse process is farther from the middle than a corner of the body is.
    """
    view, centre = layers(primary_deg).view, scene().centre_mm
    away = np.array((0.0, 1.2, -3.0))
    seen = replace(view, isocentre_mm=view.isocentre_mm + pan_mm * np.array((0.6, 0.0, -0.8)))
    corners = near().frame.to_world(np.stack(np.meshgrid(*near().extent_mm), axis=-1).reshape(-1, 3))
    shift = layers(primary_deg).shift_px(away, centre, seen)
    off_px = seen.project(corners + away) - (view.project(corners) + shift)
    off_mm = np.linalg.norm(off_px, axis=1) * DETECTOR.row_spacing_mm / view.magnification
    assert 0.0 < off_mm.max() < tolerance_mm


def test_shifts_are_exact_for_whole_pixels_and_bilinear_between() -> None:
    layer = np.random.default_rng(0).random((30, 32)).astype(np.float32)
    out = np.zeros((20, 22), np.float32)
    add_shifted(out, layer, 5, np.array((2.0, -3.0)))
    assert np.array_equal(out, layer[3:23, 8:30])
    ramp = np.add.outer(np.arange(30.0), 2.0 * np.arange(32.0)).astype(np.float32)
    out[:] = 0.0
    add_shifted(out, ramp, 5, np.array((0.25, 0.5)))
    np.testing.assert_allclose(out, ramp[5:25, 5:27] - 0.25 - 1.0, atol=1e-4)
    with pytest.raises(ValueError, match="more than the layer's margin"):
        add_shifted(out, layer, 5, np.array((6.0, 0.0)))


def test_breathing_keeps_its_depth_and_direction() -> None:
    breath = Breathing(3.0, 4.0, uneven=0.0)
    times = np.linspace(0.0, 20.0, 2001)
    moved = breath.spine_mm(times)
    assert np.ptp(moved[:, 2]) == pytest.approx(3.0, rel=1e-4)
    assert moved[:, 2].max() <= 0.0  # inspiration leads to the feet
    assert np.ptp(moved[:, 1]) == pytest.approx(1.2, rel=1e-4)
    assert breath.inspired(np.array([2.0]))[0] == pytest.approx(1.0)
    assert breath.inspired(np.array([1.0]))[0] == pytest.approx(0.125)  # the sixth power of sin 45 degrees
    assert np.abs(np.diff(moved[:, 2])).max() < 0.1  # no jump from breath to breath
    uneven = Breathing(3.0, 4.0, uneven=0.2, phase=0.3).inspired(times)
    assert np.abs(np.diff(uneven)).max() < 0.05
    # a breath is the same however long one looks
    np.testing.assert_array_equal(Breathing(3.0, 4.0, uneven=0.2, phase=0.3).inspired(times[:700]), uneven[:700])
    assert Breathing(depth_mm=0.0).spine_mm(times).any() == np.False_


def test_organs_move_farther_than_the_spine() -> None:
    made = layers(0.0)
    rest = made.exponents(made.spine, made.view, np.zeros(3), np.zeros(3))
    organs = made.exponents(made.spine, made.view, np.zeros(3), np.array((0.0, 0.0, -15.0)))
    # nothing but what lies in front of the spine moved: the bone's own layer is the same
    assert np.abs(rest - organs).max() > 0.05
    assert np.array_equal(made.exponents(made.spine, made.view, np.zeros(3), np.zeros(3)), rest)


# what the script does


def test_an_exposure_jump_changes_signal_and_noise_as_dose_and_gain_do() -> None:
    plot = script(injecting=None, exposures=(Exposure(1.0, dose=2.0, gain=0.5),))
    technique = Technique(bits=None, electronic=0.0)
    frames = [f.image for f in simulate_fluoroscopy(layers(), plot, technique, 4)]
    before, after = frames[5], frames[20]
    middle = np.s_[100:150, 100:150]
    assert after[middle].mean() / before[middle].mean() == pytest.approx(1.0, abs=0.01)
    noise = [np.std(b[middle] - a[middle]) for a, b in ((frames[5], frames[6]), (frames[20], frames[21]))]
    # twice the dose at half the gain: noise by the root of two less
    assert noise[1] / noise[0] == pytest.approx(np.sqrt(0.5), rel=0.06)


def test_collimation_closes_and_a_pan_moves_the_patient() -> None:
    plot = script(
        injecting=None,
        collimations=(Collimation(1.0, Shutters.closing(0.5)),),
        pans=(Pan(0.0, 0.5, (10.0, 0.0, 0.0)),),
    )
    film = simulate_fluoroscopy(layers(), plot, Technique(bits=None), 4, path=path())
    frames = list(film)
    assert frames[20].image[10, 10] < 0.1 * np.median(frames[20].image[100:150, 100:150])
    assert frames[2].image[10, 10] > frames[20].image[10, 10]
    # the arm looks 10 mm farther to the patient's left, so that the vertebra goes to the image's left
    np.testing.assert_allclose(film.truth.shift_px(12), (0.0, -10.0 * film.view.magnification / 1.2), atol=0.1)
    assert frames[12].view is film.view  # the C-arm does not know


def test_the_same_seed_gives_the_same_film_and_another_other_noise() -> None:
    plot = replace(script([Leak(Route.DISC, 0.1, 0.2)]), duration_s=0.3)
    one, again, other = (
        [f.image for f in simulate_fluoroscopy(layers(), plot, seed=s, path=path())] for s in (7, 7, 8)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])
    film = simulate_fluoroscopy(layers(), plot, seed=7, path=path())
    assert all(np.array_equal(a.image, b.image) for a, b in zip(film, film, strict=True))
    assert film.truth == simulate_fluoroscopy(layers(), plot, seed=7, path=path()).truth
    assert film.truth != simulate_fluoroscopy(layers(), plot, seed=8, path=path()).truth


def test_two_views_show_the_same_patient() -> None:
    plot = script([Leak(Route.EPIDURAL, 0.1, 0.3)])
    ap, lateral = (simulate_fluoroscopy(layers(a), plot, seed=2, path=path()) for a in (0.0, 90.0))
    assert np.array_equal(ap.inside.points_mm, lateral.inside.points_mm)
    assert np.array_equal(ap.escapes[0].course.points_mm, lateral.escapes[0].course.points_mm)
    # in the canal: in front of nothing but the body in AP, behind it from the side
    last = len(ap) - 1
    assert ap.truth.frames[last].reach_mm[0] < 1.0 < lateral.truth.frames[last].reach_mm[0]


def test_cement_goes_in_as_the_script_has_it() -> None:
    plot = script([Leak(Route.DISC, 0.5, 0.2, 0.5), Leak(Route.VENOUS, 0.5, 0.9, 0.6)])
    times = np.linspace(0.0, 3.0, 61)
    injected, leaked = plot.injected_ml(times), plot.leaked_ml(times)
    np.testing.assert_allclose(injected, np.clip(times - 0.2, 0.0, 1.5), atol=1e-12)
    assert np.all(leaked.sum(axis=0) <= injected + 1e-12)
    assert not leaked[:, injected <= 0.5].any()
    assert leaked[0].max() == pytest.approx(0.2)


def test_a_drawn_script_is_within_what_is_stated_and_the_same_again() -> None:
    for seed in range(40):
        made = drawn(np.random.default_rng(seed), (Leak(Route.DISC),))
        assert made == drawn(np.random.default_rng(seed), (Leak(Route.DISC),))
        assert 1.0 <= made.breathing.depth_mm <= 3.0
        disturbances = len(made.exposures) + len(made.collimations) + len(made.pans) + (made.advance is not None)
        assert disturbances == 3
        assert all(2.0 <= at <= made.duration_s for at, what in made.events() if what != "injection starts")
    assert drawn(np.random.default_rng(0), disturbances=0).events() == ((2.0, "injection starts"),)


# refusals


def test_a_view_that_misses_the_vertebra_is_refused() -> None:
    with pytest.raises(ImageError, match="L1 is not whole in this view"):
        Layers.of(scene(), CArm(scene().centre_mm + np.array((140.0, 0.0, 0.0)), detector=DETECTOR))


def test_what_does_not_fit_together_is_refused() -> None:
    plot = script([Leak(Route.DISC, 0.1, 0.2)])
    with pytest.raises(ValueError, match="do not belong to the script"):
        simulate_fluoroscopy(layers(), plot, escapes=())
    other = shapes(layers(), script([Leak(Route.ANTERIOR, 0.1, 0.2)]), 0)
    with pytest.raises(ValueError, match="do not belong to the script"):
        simulate_fluoroscopy(layers(), plot, escapes=other)
    with pytest.raises(ValueError, match=r"puts 1\.30 ml into the bone"):
        simulate_fluoroscopy(layers(), plot, inside=blob(near(), 0.5, np.random.default_rng(0), scene().centre_mm))
    with pytest.raises(SimulationError, match="needs a needle"):
        simulate_fluoroscopy(layers(), script([Leak(Route.TRACT, 0.1, 0.2)]))
    with pytest.raises(ValueError, match=r"room for \d+ px: cast them with a larger room_mm"):
        simulate_fluoroscopy(layers(), script(pans=(Pan(0.1, 1.0, (0.0, 0.0, 90.0)),)))
    with pytest.raises(ValueError, match="needs an injection"):
        script([Leak(Route.DISC)], injecting=None)
    with pytest.raises(ValueError, match="one leak of each route"):
        script([Leak(Route.DISC), Leak(Route.DISC)])


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Injecting, {"ml": -1.0}),
        (Injecting, {"rate_ml_min": 0.0}),
        (Leak, {"route": Route.DISC, "share": 0.0}),
        (Exposure, {"time_s": 0.0, "dose": 0.0}),
        (Pan, {"start_s": 0.0, "duration_s": 0.0, "by_mm": (0.0, 0.0, 0.0)}),
        (Breathing, {"depth_mm": 50.0}),
        (Script, {"rate_hz": 0.0}),
    ],
)
def test_numbers_out_of_range_are_refused(kind: type, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="outside"):
        kind(**wrong)


def test_a_displacement_without_a_turn_is_one() -> None:
    moved = shifted(np.array((1.0, 2.0, 3.0)))
    assert isinstance(moved, Pose)
    np.testing.assert_array_equal(moved.to_world(np.zeros(3)), (1.0, 2.0, 3.0))


# a whole case


def planned() -> Plan:
    procedure = Vertebroplasty(level="L1")
    return Plan(procedure, patient(), (Option((path(),), "a test"),))


@cache
def case(flow: bool = False) -> SimulatedCase:
    arm = CArm(np.zeros(3), detector=DETECTOR)
    given = simulation() if flow else None
    return simulated_case(planned(), Route.EPIDURAL, 5, arm=arm, duration_s=8.0, simulation=given)


def test_a_case_is_seen_from_behind_and_from_the_left_and_shows_its_leak_where_it_can() -> None:
    ap, lateral = case().films["ap"], case().films["lateral"]
    assert ap.view.toward_detector @ near().frame.posterior > 0.99
    assert lateral.view.toward_detector @ near().frame.left > 0.99
    assert case().truths["ap"].onset(Route.EPIDURAL) is None  # a canal leak is behind the body there
    assert case().truths["lateral"].onset(Route.EPIDURAL) is not None
    assert ap.truth.frames[-1].injected_ml == pytest.approx(3.0)


def test_a_case_goes_to_multi_frame_x_ray_files_and_back(tmp_path: Path) -> None:
    film = case().films["lateral"]
    write_xa(tmp_path / "lateral.dcm", film)
    read = read_xa(tmp_path / "lateral.dcm")
    frames = list(film)
    found = list(read.frames())
    assert len(found) == len(frames)
    assert np.array_equal(found[10].image, frames[10].image)
    assert found[10].time_s == pytest.approx(frames[10].time_s, abs=1e-3)
    np.testing.assert_allclose(
        found[10].view.project(scene().centre_mm), film.view.project(scene().centre_mm), atol=0.05
    )


def simulation(with_leak: bool = True) -> Simulation:
    """What a flow model would hand over: 2 ml in the bone by distance from the tip, 0.4 ml out into the disc."""
    body = near().vertebra.body
    where = body.world_mm(np.moveaxis(np.indices(body.shape), 0, -1))
    far = np.linalg.norm(where - path().target_mm, axis=-1)
    arrival = np.where(body.array & (far < 8.0), 0.01 + (far / 8.0) ** 3 * 2.4, 0.0).astype(np.float32)
    course = {"time_s": [0.0, 120.0], "injected_ml": [0.0, 2.4], "leaked_ml": [0.0, 0.4 if with_leak else 0.0]}
    row = ("crack", "disc", 0.4, 1.0)
    names = ("way", "leads_to", "leaked_ml", "starts_at_ml")
    leaks = {name: [value] if with_leak else [] for name, value in zip(names, row, strict=True)}
    volumes = {"cement_arrival": Volume(arrival, body.affine, unit="mL")}
    return Simulation(planned(), Status.SUCCESS, volumes, {"injection": course, "leaks": leaks})


def test_the_flow_models_cement_comes_in_its_own_order_with_its_own_leaks() -> None:
    course, pace, leaks = flowed(simulation())
    assert course.total_ml == pytest.approx(2.0)
    far = np.linalg.norm(course.points_mm - path().target_mm, axis=1)
    assert np.all(np.diff(far) >= -1e-6)
    assert pace.rate_ml_min == pytest.approx(1.2)
    (leak,) = leaks
    assert (leak.route, leak.ml, leak.after_ml) == (Route.DISC, 0.4, 1.0)
    assert leak.leaked_ml(np.array([2.4]))[0] == pytest.approx(0.4)
    assert flowed(simulation(with_leak=False))[2] == ()
    made = case(flow=True)
    assert [leak.route for leak in made.script.leaks] == [Route.DISC, Route.EPIDURAL]
    assert made.films["ap"].inside.total_ml == pytest.approx(2.0)


def test_a_simulation_or_plan_with_nothing_to_show_is_refused() -> None:
    with pytest.raises(ValueError, match="no needle path"):
        simulated_case(replace(planned(), options=()))
    with pytest.raises(ValueError, match="duration_s"):
        simulated_case(planned(), duration_s=3.0)
    with pytest.raises(ValueError, match="holds no cement"):
        flowed(replace(simulation(), volumes={}))
    empty = Volume(np.zeros((2, 2, 2), np.float32), np.eye(4), unit="mL")
    with pytest.raises(ValueError, match="no cement got into the bone"):
        flowed(replace(simulation(), volumes={"cement_arrival": empty}))


@pytest.mark.slow
def test_on_a_real_scan_a_leak_darkens_the_image_where_the_truth_has_it(shared_data: Path) -> None:
    ct = trocar.read_ct(shared_data / "lidc0001" / "lidc0001_lower_dicom.zip")
    labels = shared_data / "lidc0001" / "lidc0001_lower_totalseg_mask.nii.gz"
    plan = trocar.plan(trocar.read_anatomy(labels, on=ct, scheme="totalseg-v2"), Vertebroplasty(level="T12"))
    arm = CArm(
        np.zeros(3), detector=replace(DETECTOR, rows=384, columns=384, row_spacing_mm=0.8, column_spacing_mm=0.8)
    )
    made = simulated_case(plan, Route.LATERAL, 3, leak_ml=0.8, duration_s=8.0, disturbances=0, arm=arm)
    film = made.films["ap"]
    frames = [f for f in film if f.number in (0, len(film) - 1)]
    mask = film.truth.leak_mask(Route.LATERAL, len(film) - 1) & ~film.truth.body_mask(len(film) - 1)
    beside = np.roll(mask, 40, axis=0) & ~film.truth.body_mask(len(film) - 1)
    darker = frames[1].image.astype(float) / frames[0].image
    assert mask.sum() > 30
    assert np.median(darker[mask]) < 0.85
    assert np.median(darker[beside]) > 0.93
