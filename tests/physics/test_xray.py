"""Line integrals against closed forms, their order, symmetries, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.physics.xray import Beam, Method, line_integrals

from .xray_scenes import Gaussians, apart, c_arm, directions, gaussians, in_box, in_sphere, moved, pixels_mm

BOTH = pytest.mark.parametrize("method", list(Method))
VIEWS = pytest.mark.parametrize(
    "view", [(0.0, 0.0), (25.0, 15.0), (90.0, 0.0), (-70.0, -20.0), (180.0, 5.0), (3.0, 80.0)]
)
SHAPE, SPACING = (14, 18, 22), (2.0, 1.5, 1.0)
REFERENCE_SHAPE, REFERENCE_SPACING = (200, 512, 512), (1.25, 0.8, 0.8)
#: Float32 values and sums.
ROUNDING = 2e-6


def random_volume(shape: tuple[int, int, int] = SHAPE, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@VIEWS
def test_a_uniform_box_ends_half_a_voxel_beyond_its_centres_on_the_exact_path(view: tuple[float, float]) -> None:
    beam = c_arm(SHAPE, SPACING, *view, pixel_mm=1.2)
    truth = in_box(beam, -0.5 * np.array(SPACING), (np.array(SHAPE) - 0.5) * SPACING)
    image = line_integrals(np.ones(SHAPE, np.float32), SPACING, beam, Method.EXACT)
    assert 0 < np.count_nonzero(truth == 0.0) < truth.size
    np.testing.assert_allclose(image, truth, atol=ROUNDING * truth.max())


@VIEWS
def test_a_uniform_box_ends_at_its_centres_on_the_interpolated_path(view: tuple[float, float]) -> None:
    beam = c_arm(SHAPE, SPACING, *view, pixel_mm=1.2)
    truth = in_box(beam, np.zeros(3), (np.array(SHAPE) - 1) * SPACING)
    image = line_integrals(np.ones(SHAPE, np.float32), SPACING, beam)
    assert 0 < np.count_nonzero(truth == 0.0) < truth.size
    np.testing.assert_allclose(image, truth, atol=ROUNDING * truth.max())


@VIEWS
def test_the_exact_path_adds_up_boxes_voxel_by_voxel(view: tuple[float, float]) -> None:
    """Each voxel is a box of its own, whose closed form is summed."""
    shape, spacing = (3, 4, 5), (2.0, 1.5, 1.0)
    volume, beam = random_volume(shape), c_arm(shape, spacing, *view, pixels=32, pixel_mm=0.37)
    truth = sum(
        volume[at] * in_box(beam, (np.array(at) - 0.5) * spacing, (np.array(at) + 0.5) * spacing)
        for at in np.ndindex(shape)
    )
    image = line_integrals(volume, spacing, beam, Method.EXACT)
    np.testing.assert_allclose(image, truth, atol=ROUNDING * truth.max())


@VIEWS
def test_a_linear_field_is_interpolated_without_error(view: tuple[float, float]) -> None:
    """The middle of the way within the box times its length; to first order in where the ray is cut."""
    shape, spacing = (40, 40, 40), (1.0, 1.0, 1.0)
    beam = moved(c_arm(shape, spacing, *view, pixels=16, pixel_mm=0.5), np.array((0.3, -0.2, 0.1)))
    slope = np.array((0.3, -0.1, 0.2))
    volume = (5.0 + np.moveaxis(np.indices(shape), 0, -1) @ slope).astype(np.float32)
    low, high, d = np.zeros(3), np.array(shape) - 1.0, directions(beam)
    with np.errstate(divide="ignore"):
        t, u = (low - beam.source_mm) / d, (high - beam.source_mm) / d
    near, far = np.minimum(t, u).max(-1), np.maximum(t, u).min(-1)
    middle = beam.source_mm + 0.5 * (near + far)[..., None] * d
    truth = (5.0 + middle @ slope) * (far - near)
    assert apart(line_integrals(volume, spacing, beam), truth) < 1e-4


def test_a_step_wedge_by_both_paths() -> None:
    """Steps of 4 voxels each along i, whose height along j grows by 5 mm; rays within a step see its height."""
    volume = np.zeros((16, 60, 40), np.float32)
    for step in range(8):
        volume[:, 10 : 10 + 5 * (step + 1), 5 * step : 5 * step + 5] = 1.0
    source = np.array((7.5, -1e6, 19.5))  # so far that rays are parallel within a hundredth of a voxel
    beam = Beam(source, np.array((7.0, 100.0, 0.0)), np.array((1.0, 0.0, 0.0)), np.array((0.0, 0.0, 1.0)), (2, 40))
    for method in Method:
        image = line_integrals(volume, (1.0, 1.0, 1.0), beam, method)
        np.testing.assert_allclose(image[:, 2::5], np.tile(5.0 * np.arange(1, 9), (2, 1)), rtol=1e-4)


@pytest.fixture(scope="module")
def reference() -> tuple[Gaussians, np.ndarray]:
    """512 x 512 x 200 voxels of 0.8 x 0.8 x 1.25 mm and 61 Gaussians."""
    scene = gaussians(REFERENCE_SHAPE, REFERENCE_SPACING, 61, (8.0, 24.0))
    return scene, scene.volume(REFERENCE_SHAPE, REFERENCE_SPACING)


@BOTH
@pytest.mark.parametrize("view", [(0.0, 0.0), (25.0, 15.0)])
def test_gaussians_at_the_reference_case_within_what_is_promised(
    view: tuple[float, float], method: Method, reference: tuple[Gaussians, np.ndarray]
) -> None:
    """Every fourth row and column of the 512 x 512 pixels of 0.6 mm."""
    scene, volume = reference
    beam = c_arm(REFERENCE_SHAPE, REFERENCE_SPACING, *view, pixels=128, pixel_mm=2.4)
    image = line_integrals(volume, REFERENCE_SPACING, beam, method)
    assert apart(image, scene.projected(beam)) < {Method.INTERPOLATED: 6e-4, Method.EXACT: 2e-3}[method]


@pytest.mark.parametrize(("method", "order"), [(Method.INTERPOLATED, 2.0), (Method.EXACT, 1.0)])
def test_the_error_falls_with_the_voxel_as_the_method_promises(method: Method, order: float) -> None:
    errors = []
    for n in (24, 48, 96):
        spacing = (96.0 / n,) * 3
        scene = gaussians((97, 97, 97), (1.0, 1.0, 1.0), 9, (6.0, 7.0))
        beam = c_arm((97, 97, 97), (1.0, 1.0, 1.0), 25.0, 15.0)
        errors.append(
            apart(line_integrals(scene.volume((n + 1,) * 3, spacing), spacing, beam, method), scene.projected(beam))
        )
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] > order - 0.15


@BOTH
def test_a_sphere_converges(method: Method) -> None:
    errors = []
    for n in (30, 60, 120):
        h, middle = 60.0 / n, 30.0
        x = (np.arange(n) * h + 0.5 * h - middle) ** 2
        volume = ((x[:, None, None] + x[:, None] + x) <= 20.0**2).astype(np.float32)
        beam = c_arm((n, n, n), (h, h, h), 20.0, 10.0, pixel_mm=1.3)
        errors.append(
            apart(line_integrals(volume, (h, h, h), beam, method), in_sphere(beam, np.full(3, middle - 0.5 * h), 20.0))
        )
    # a staircase of voxels: the error falls as the voxel at worst
    assert errors[2] < 0.6 * errors[1] < 0.36 * errors[0]
    assert errors[2] < 0.02


@BOTH
@VIEWS
def test_it_is_linear(method: Method, view: tuple[float, float]) -> None:
    beam, a, b = c_arm(SHAPE, SPACING, *view), random_volume(), random_volume(seed=6)
    sum_of_images = 2.0 * line_integrals(a, SPACING, beam, method) - line_integrals(b, SPACING, beam, method)
    image = line_integrals(2.0 * a - b, SPACING, beam, method)
    np.testing.assert_allclose(image, sum_of_images, atol=4 * ROUNDING * np.abs(image).max())


@BOTH
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_volume_in_a_mirrored_beam_gives_the_same_image(method: Method, axis: int) -> None:
    beam, volume = c_arm(SHAPE, SPACING, 25.0, 15.0), random_volume()
    sign, last = np.ones(3), np.zeros(3)
    sign[axis], last[axis] = -1.0, (SHAPE[axis] - 1) * SPACING[axis]
    mirrored = Beam(
        sign * beam.source_mm + last,
        sign * beam.corner_mm + last,
        sign * beam.down_mm,
        sign * beam.right_mm,
        beam.shape,
    )
    image = line_integrals(volume, SPACING, beam, method)
    again = line_integrals(np.flip(volume, axis), SPACING, mirrored, method)
    np.testing.assert_allclose(again, image, atol=ROUNDING * image.max())
    assert apart(np.fliplr(image), image) > 0.01


@BOTH
@pytest.mark.parametrize("order", [(1, 2, 0), (2, 0, 1), (0, 2, 1)])
def test_the_order_of_the_axes_does_not_matter(method: Method, order: tuple[int, int, int]) -> None:
    beam, volume = c_arm(SHAPE, SPACING, 25.0, 15.0), random_volume()
    turn = list(order)
    turned = Beam(beam.source_mm[turn], beam.corner_mm[turn], beam.down_mm[turn], beam.right_mm[turn], beam.shape)
    image = line_integrals(volume, SPACING, beam, method)
    again = line_integrals(np.ascontiguousarray(volume.transpose(turn)), np.array(SPACING)[turn], turned, method)
    np.testing.assert_allclose(again, image, atol=ROUNDING * image.max())


@VIEWS
def test_both_methods_agree_where_the_volume_is_smooth(view: tuple[float, float]) -> None:
    shape, spacing = (48, 60, 60), (1.25, 0.8, 0.8)
    volume = gaussians(shape, spacing, 9, (4.0, 5.0)).volume(shape, spacing)
    beam = c_arm(shape, spacing, *view, pixels=48, pixel_mm=0.9)
    exact, interpolated = (line_integrals(volume, spacing, beam, m) for m in (Method.EXACT, Method.INTERPOLATED))
    # of a Gaussian 4 mm wide a voxel of 1.25 mm sees its value at up to 0.16 of the width from where it is
    assert 0.0 < apart(exact, interpolated) < 0.04


@BOTH
def test_rays_that_miss_are_exactly_zero(method: Method) -> None:
    beam = c_arm(SHAPE, SPACING, pixels=8)
    volume = np.ones(SHAPE, np.float32)
    assert not line_integrals(volume, SPACING, moved(beam, np.array((200.0, 0.0, 0.0))), method).any()
    behind = moved(beam, np.array((0.0, -700.0, 0.0)))  # the volume lies behind the source
    assert not line_integrals(volume, SPACING, behind, method).any()


@BOTH
def test_a_ray_begins_at_a_source_and_ends_at_a_detector_within_the_volume(method: Method) -> None:
    volume, spacing = np.ones((21, 21, 21), np.float32), (1.0, 1.0, 1.0)
    source = np.array((10.0, 4.25, 10.0))
    down, right = np.array((0.02, 0.0, 0.0)), np.array((0.0, 0.0, 0.02))
    beam = Beam(source, np.array((10.0, 11.75, 10.0)), down, right, (3, 3))
    lengths = np.linalg.norm(pixels_mm(beam) - source, axis=-1)
    np.testing.assert_allclose(line_integrals(volume, spacing, beam, method), lengths, rtol=1e-6)


@BOTH
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("view", [(0.0, 0.0), (90.0, 0.0), (0.0, 90.0), (40.0, 30.0)])
def test_an_axis_of_one_voxel_is_as_thick_as_the_voxel(method: Method, axis: int, view: tuple[float, float]) -> None:
    shape = list(SHAPE)
    shape[axis] = 1
    beam = c_arm(tuple(shape), SPACING, *view, pixels=24)
    outside = 0.5 * (np.array(shape) == 1) if method is Method.INTERPOLATED else np.full(3, 0.5)
    truth = in_box(beam, -outside * SPACING, (np.array(shape) - 1 + outside) * SPACING)
    image = line_integrals(np.ones(shape, np.float32), SPACING, beam, method)
    assert truth.max() > 0.0
    np.testing.assert_allclose(image, truth, atol=ROUNDING * truth.max())


@BOTH
def test_what_lies_in_memory_behind_the_volume_is_not_read(method: Method) -> None:
    """Rays along the outermost centres of a view whose surroundings are not numbers."""
    around = np.full((12, 12, 12), np.nan, np.float32)
    volume = around[2:9, 2:9, 2:9]
    volume[...] = 1.0
    corner = np.array((0.0, 100.0, 0.0))
    for k in (0.0, 6.0):
        beam = Beam(
            np.array((k, -1e5, 6.0)),
            corner + np.array((k, 0.0, 6.0)),
            np.array((1e-9, 0, 0)),
            np.array((0, 0, 1e-9)),
            (1, 1),
        )
        assert line_integrals(volume, (1.0, 1.0, 1.0), beam, method)[0, 0] in (pytest.approx(6.0), pytest.approx(7.0))


@BOTH
def test_layout_type_mask_and_threads_change_nothing(method: Method) -> None:
    beam, volume = c_arm(SHAPE, SPACING, 25.0, 15.0, pixels=70), random_volume()
    image = line_integrals(volume, SPACING, beam, method, threads=1)
    large = np.zeros((20, 30, 40), np.float32)
    large[3 : 3 + SHAPE[0], 4 : 4 + SHAPE[1], 5 : 5 + SHAPE[2]] = volume
    part = large[3 : 3 + SHAPE[0], 4 : 4 + SHAPE[1], 5 : 5 + SHAPE[2]]
    same = [part, np.asfortranarray(volume), volume.astype(np.float64), np.flip(np.flip(volume, 1).copy(), 1)]
    for other in same:
        np.testing.assert_array_equal(line_integrals(other, SPACING, beam, method, threads=3), image)
    where = np.random.default_rng(1).random(beam.shape) < 0.3
    np.testing.assert_array_equal(
        line_integrals(volume, SPACING, beam, method, where=where), np.where(where, image, np.float32(0.0))
    )


def test_voxels_that_are_on_or_off_are_counted() -> None:
    beam = c_arm(SHAPE, SPACING)
    mask = random_volume() > 0.5
    np.testing.assert_array_equal(
        line_integrals(mask, SPACING, beam), line_integrals(mask.astype(np.float32), SPACING, beam)
    )


@pytest.mark.parametrize(
    ("volume", "spacing", "says"),
    [
        (np.ones((3, 3)), SPACING, r"three axes k, j, i.*shape is \(3, 3\)"),
        (np.ones((3, 0, 3)), SPACING, r"voxels in each.*\(3, 0, 3\)"),
        (np.ones((3, 3, 3)), (1.0, 0.0, 1.0), r"spacing_mm=\(1.0, 0.0, 1.0\) must be three positive"),
        (np.ones((3, 3, 3)), (1.0, 1.0), r"three positive"),
        (np.ones((3, 3, 3)), (1.0, np.nan, 1.0), r"three positive"),
        (np.full(SHAPE, np.nan), SPACING, r"not finite: \d+ of 4096 rays meet one"),
        (np.where(np.indices(SHAPE)[0] == 7, np.inf, 1.0), SPACING, "not finite"),
    ],
)
def test_a_volume_that_is_none_is_refused(volume: np.ndarray, spacing: tuple[float, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        line_integrals(volume, spacing, c_arm(SHAPE, SPACING))  # type: ignore[arg-type]


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(TypeError, match="real numbers; this one's type is complex"):
        line_integrals(np.ones(SHAPE, complex), SPACING, c_arm(SHAPE, SPACING))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source_mm": np.array((np.nan, 0.0, 0.0))}, "source_mm=.* three finite numbers"),
        ({"corner_mm": np.zeros(2)}, "corner_mm=.* three finite numbers"),
        ({"shape": (0, 4)}, "detector of 0 x 4 pixels is none"),
        ({"down_mm": np.array((0.0, 0.0, 1.2))}, "have no area"),
        ({"right_mm": np.zeros(3)}, "have no area"),
    ],
)
def test_a_beam_that_is_none_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(c_arm(SHAPE, SPACING), **change)


def test_a_source_in_the_detector_is_refused() -> None:
    beam = c_arm(SHAPE, SPACING)
    with pytest.raises(ValueError, match="in the plane of the detector"):
        replace(beam, source_mm=beam.corner_mm + 3.0 * beam.down_mm + 2.0 * beam.right_mm)


def test_a_mask_of_another_size_and_no_threads_are_refused() -> None:
    with pytest.raises(ValueError, match=r"where has the shape \(3, 3\), the detector \(64, 64\)"):
        line_integrals(random_volume(), SPACING, c_arm(SHAPE, SPACING), where=np.ones((3, 3), bool))
    with pytest.raises(ValueError, match="threads=0"):
        line_integrals(random_volume(), SPACING, c_arm(SHAPE, SPACING), threads=0)
