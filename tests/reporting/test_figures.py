"""The pictures themselves: what lies on the patient's left is found in the pixels where it belongs."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from trocar.anatomy.vertebra import Part
from trocar.reporting import palette
from trocar.reporting.figures import contours, ct_pixels, margins_shown, slice_picture
from trocar.reporting.panel import PIXELS
from trocar.reporting.views import View, along, orthogonal
from trocar.treatment import Plan
from trocar.volume import Volume

MARKER_MM = np.array([32.0, -28.0, 20.0])  # where conftest put it: left, in front, above


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=float)[:PIXELS]


def _needle(image: np.ndarray) -> np.ndarray:
    """Pixels at least half covered by the needle's yellow edge, whose red and green outweigh blue by 168."""
    return (image[..., 0] + image[..., 1]) / 2.0 - image[..., 2] > 84.0


@pytest.mark.parametrize(
    ("number", "row_half", "column_half"),
    [(0, "upper", "right"), (1, "upper", "left"), (2, "upper", "right")],
    ids=["axial: left is right, front is up", "sagittal: front is left, head is up", "coronal: left is right"],
)
def test_a_marker_on_the_left_front_top_is_where_radiologists_look_for_it(plan, number, row_half, column_half):
    through_marker = MARKER_MM.copy()
    view = orthogonal(np.zeros(3))[number]
    normal = np.abs(view.normal)
    view = View(view.name, view.title, normal * through_marker, view.right, view.down, view.size_mm)
    rows, columns = np.nonzero(ct_pixels(plan.anatomy.ct, view) > 250)
    assert len(rows) > 100
    assert (rows.mean() < PIXELS / 2) == (row_half == "upper")
    assert (columns.mean() > PIXELS / 2) == (column_half == "right")


def test_the_bone_window_is_linear_between_its_ends(plan: Plan):
    """W 1800 L 400: -500 HU is black, 1300 HU white, 40 HU a grey of 255 * 540 / 1800."""
    view = orthogonal(np.array([0.0, 0.0, 0.0]))[0]
    grey = ct_pixels(plan.anatomy.ct, view, 110)
    assert grey[55, 55] == int(255 * (350 + 500) / 1800)
    assert grey[55, 5] == int(255 * (40 + 500) / 1800)
    assert grey.min() == 0


@pytest.mark.parametrize("number", [0, 1])
def test_the_needle_is_drawn_at_its_true_diameter(plan: Plan, number):
    """Across the needle as many pixels are yellow as its outer diameter is long, within one."""
    trajectory = plan.best.trajectories[0]
    view = along(trajectory)[number]
    band = _needle(_pixels(slice_picture(plan, trajectory, view)))
    scale = PIXELS / view.size_mm
    middle = view.project(trajectory.skin_mm + 0.3 * (trajectory.target_mm - trajectory.skin_mm))[:2]
    d = trajectory.direction
    across = np.array([-(d @ view.down), d @ view.right])
    steps = np.arange(-12.0, 12.0, 0.25)
    at = ((middle / view.size_mm + 0.5) * PIXELS)[None, :] + steps[:, None] * across
    hits = band[at[:, 1].astype(int), at[:, 0].astype(int)]
    width = 0.25 * (np.flatnonzero(hits).max() - np.flatnonzero(hits).min() + 1)
    assert width == pytest.approx(trajectory.instrument.outer_diameter_mm * scale, abs=1.0)


def test_the_needle_comes_from_its_own_side(two_sided_plan: Plan):
    left, right = two_sided_plan.best.trajectories
    for trajectory, side in ((left, "right"), (right, "left")):
        view = along(trajectory)[0]
        columns = np.nonzero(_needle(_pixels(slice_picture(two_sided_plan, trajectory, view))))[1]
        tip = (view.project(trajectory.target_mm)[0] / view.size_mm + 0.5) * PIXELS
        assert (columns.mean() > tip) == (side == "right")


def test_an_outline_lies_on_the_edge_of_its_mask(plan: Plan):
    """The body is an ellipse of 22 by 16 mm: its outline is found there within half a voxel."""
    view = orthogonal(np.zeros(3))[0]
    lines = contours(plan.anatomy.vertebrae[plan.procedure.level].part(Part.BODY), view)
    points = np.concatenate(lines)
    assert np.abs(points[:, 0]).max() == pytest.approx(22.0, abs=0.6)
    assert points[:, 1].min() == pytest.approx(-16.0, abs=0.6)


def test_a_mask_elsewhere_has_no_outline(plan: Plan):
    view = orthogonal(np.array([0.0, 0.0, 400.0]))[0]
    assert contours(plan.anatomy.structures["aorta"], view) == []
    assert ct_pixels(plan.anatomy.ct, view, 16).max() == 0


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_mirrored_patient_gives_the_mirrored_picture(plan: Plan, number):
    ct, mirror = plan.anatomy.ct, np.diag([-1.0, 1.0, 1.0, 1.0])
    mirrored = Volume(ct.array[..., ::-1], mirror @ ct.affine @ _flip_i(ct.shape[2]))
    at = np.array([7.0, -3.0, 5.0])
    here = ct_pixels(ct, orthogonal(at)[number], 240).astype(int)
    there = ct_pixels(mirrored, orthogonal(at * (-1, 1, 1))[number], 240).astype(int)
    expected = here if number == 1 else here[:, ::-1]
    assert np.abs(there - expected).max() <= 1


def _flip_i(n: int) -> np.ndarray:
    """Index i counted from the other end."""
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    flip[0, 3] = n - 1
    return flip


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_order_in_which_voxels_are_stored_does_not_show(plan: Plan, number):
    ct = plan.anatomy.ct
    turned = Volume(ct.array.transpose(2, 0, 1), ct.affine[:, [1, 2, 0, 3]])
    view = orthogonal(np.array([7.0, -3.0, 5.0]))[number]
    assert np.abs(ct_pixels(turned, view, 240).astype(int) - ct_pixels(ct, view, 240)).max() <= 1


def test_only_margins_of_structures_in_the_panel_are_drawn(plan: Plan):
    trajectory = plan.best.trajectories[0]
    assert list(margins_shown(trajectory, {"spinal canal", "pedicle"})) == [1.0, 2.0]
    assert list(margins_shown(trajectory, {"aorta"})) == [5.0]
    assert margins_shown(trajectory, set()) == {}


def test_the_same_plan_gives_the_same_bytes(plan: Plan):
    trajectory = plan.best.trajectories[0]
    view = orthogonal(trajectory.target_mm)[0]
    assert slice_picture(plan, trajectory, view) == slice_picture(plan, trajectory, view)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("spinal_canal", "spinal canal"),
        ("lung_left", "lung"),
        ("foramen_right", "root foramen"),
        ("kidney_left", "kidney"),
        ("liver", "other organ"),
        ("canal_L1", "spinal canal"),
        ("iliac_artery_left", "other vessel"),
        ("pulmonary_trunk", "other vessel"),
    ],
)
def test_each_structure_has_its_stroke(name, label):
    stroke = palette.stroke(name)
    assert stroke is not None
    assert stroke.label == label


@pytest.mark.parametrize(
    "name",
    [
        "rib_left_9",
        "vertebrae_L1",
        "autochthon_left",
        "quadratus_lumborum_left",
        "sacrum",
        "neighbouring_vertebrae",
        "endplate_inferior",
        "bone_wall",
    ],
)
def test_bone_and_muscle_are_not_outlined(name):
    assert palette.stroke(name) is None


def test_strokes_stand_out_from_the_dark_panel():
    """WCAG asks for a contrast of 3 for graphics."""

    def luminance(colour: str) -> float:
        c = np.array(to_rgb(colour))
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    for colour in (palette.SKY, palette.GREEN, palette.YELLOW, palette.VERMILION, palette.PURPLE, palette.ORANGE):
        assert (luminance(colour) + 0.05) / (luminance(palette.PANEL) + 0.05) > 3.0
