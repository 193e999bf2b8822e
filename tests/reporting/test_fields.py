"""Fields in colour: on the right side, on one scale, nowhere else than in the bone."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from trocar.reporting.chart import WIDE_PIXELS
from trocar.reporting.fields import (
    CEMENT,
    NO_FIELD_RGB,
    ColourScale,
    planes,
    scale_of,
    surface_colours,
    surface_picture,
    surface_values,
    surface_views,
    tinted,
)
from trocar.reporting.figures import ct_pixels
from trocar.reporting.mechanics import chapter
from trocar.reporting.surface import mesh_of
from trocar.treatment import Plan, Simulation
from trocar.volume import Volume

from .conftest import CEMENT_MM, make_simulation

PIXELS = 160


@pytest.fixture(scope="module")
def strain(simulation: Simulation) -> Volume:
    return simulation.volumes["effective_strain_as_is"]


@pytest.fixture(scope="module")
def views(plan: Plan, simulation: Simulation):
    return planes(plan.anatomy.vertebra(plan.procedure.level), (CEMENT, simulation.volumes["cement"]))


def _coloured(picture: np.ndarray) -> np.ndarray:
    """Pixels that are not grey."""
    return np.ptp(picture.astype(int), axis=-1) > 20


def test_planes_are_the_vertebras_own_and_pass_through_the_cement(views):
    sagittal, coronal, axial = views
    assert abs(sagittal.centre_mm[0]) < 1e-9
    assert coronal.centre_mm[1] == pytest.approx(CEMENT_MM[1], abs=0.3)
    assert axial.centre_mm[2] == pytest.approx(CEMENT_MM[2], abs=0.3)
    assert [v.letters for v in views] == [("A", "P", "H", "F"), ("R", "L", "H", "F"), ("R", "L", "A", "P")]


def test_without_cement_the_planes_pass_through_the_middle(plan: Plan, simulation: Simulation):
    none = simulation.volumes["cement"]
    for region in (None, (CEMENT, Volume(np.zeros(none.shape, bool), none.affine, unit="mask"))):
        _, coronal, axial = planes(plan.anatomy.vertebra(plan.procedure.level), region)
        assert "middle" in axial.title
        assert axial.centre_mm == pytest.approx(np.zeros(3), abs=1.1)
        assert coronal.size_mm == axial.size_mm


@pytest.mark.parametrize("number", [1, 2], ids=["coronal", "axial"])
def test_what_grows_to_the_patients_left_grows_to_the_images_right(plan, strain, views, number):
    """Viridis grows brighter, and in its green most of all."""
    mask = plan.anatomy.vertebra(plan.procedure.level).mask
    picture = tinted(plan.anatomy.ct, mask, strain, scale_of([strain], "strain"), views[number], PIXELS)
    rows, columns = np.nonzero(_coloured(picture))
    green = picture[rows, columns, 1].astype(float)
    assert np.corrcoef(columns, green)[0, 1] > 0.9


def test_a_turned_grid_shows_the_same_field_at_the_same_place(plan: Plan, views):
    """The field is a function of the place: on a grid turned otherwise it makes the same picture, edges apart."""
    mask = plan.anatomy.vertebra(plan.procedure.level).mask
    pictures = []
    for turn in (0.0, 17.0):
        field = make_simulation(plan, turn_deg=turn).volumes["effective_strain_as_is"]
        scale = ColourScale("strain", 0.8, 100.0)
        pictures.append(tinted(plan.anatomy.ct, mask, field, scale, views[2], PIXELS).astype(int))
    both = _coloured(pictures[0]) & _coloured(pictures[1])
    assert both.sum() > 0.95 * max(_coloured(p).sum() for p in pictures)
    assert np.abs(pictures[0] - pictures[1])[both].max() <= 6


def test_outside_bone_and_model_the_ct_is_untouched(plan: Plan, strain, views):
    mask = plan.anatomy.vertebra(plan.procedure.level).mask
    view = views[2]
    picture = tinted(plan.anatomy.ct, mask, strain, scale_of([strain], "strain"), view, PIXELS)
    outside = mask.sample(view.points_mm(PIXELS)) < 0.5
    np.testing.assert_array_equal(
        picture[outside], np.repeat(ct_pixels(plan.anatomy.ct, view, PIXELS)[outside, None], 3, 1)
    )


def test_one_scale_holds_every_scenario_and_ends_on_a_round_number(simulation: Simulation):
    fields = [simulation.volumes[f"effective_strain_{s}"] for s in ("as_is", "augmented")]
    scale = scale_of(fields, "effective strain")
    assert scale.label == "effective strain, %"
    tops = [100.0 * np.quantile(f.array[f.array > 0], 0.98) for f in fields]
    assert max(tops) <= scale.high <= 1.5 * max(tops)
    assert scale.high in (0.6, 0.8)
    energy = scale_of([simulation.volumes["strain_energy_as_is"]], "energy")
    assert energy.label == "energy, mJ/mm³"


def test_an_empty_field_has_a_scale():
    nothing = Volume(np.zeros((2, 2, 2), np.float32), np.eye(4), unit="MPa")
    assert scale_of([nothing], "x").high == 1.0


def test_colours_lie_on_the_scale():
    scale = ColourScale("x", 2.0, 100.0)
    np.testing.assert_allclose(
        scale.rgb(np.array([0.0, 0.02, 5.0])), [[0.267, 0.005, 0.329], *[[0.993, 0.906, 0.144]] * 2], atol=1e-3
    )


def test_the_surface_takes_the_colour_of_the_bone_under_it(plan: Plan, strain):
    """Closed form: strain 0.004 + 0.00012 x; where no model lies under the surface it is grey."""
    vertebra = plan.anatomy.vertebra(plan.procedure.level)
    mesh, scale = mesh_of(vertebra.mask), ColourScale("x", 0.8, 100.0)
    assert mesh is not None
    colours = surface_colours(surface_values(mesh, strain), scale)
    grey = np.all(np.isclose(colours, NO_FIELD_RGB), axis=-1)
    arch = mesh.points_mm[:, 1] > 26.0
    assert grey[arch].all()
    front = (mesh.points_mm[:, 1] < 8.0) & ~grey
    assert front.mean() > 0.3
    expected = scale.rgb(0.004 + 0.00012 * mesh.points_mm[front, 0])
    assert np.abs(colours[front] - expected).max() < 0.08


def test_the_surface_is_seen_from_the_front_with_left_on_the_right(plan: Plan):
    for view in surface_views(plan.anatomy.vertebra(plan.procedure.level)):
        assert view.normal[1] > 0.5  # into the picture runs to the back
        assert view.right[0] > 0.5
    right, front, left = surface_views(plan.anatomy.vertebra(plan.procedure.level))
    assert right.normal[0] > 0.3 > left.normal[0] + 0.6  # one who looks from the right looks to the left
    assert abs(front.normal[0]) < 1e-12


def test_an_empty_vertebra_cannot_be_drawn(plan: Plan, simulation: Simulation, strain):
    vertebra = plan.anatomy.vertebra(plan.procedure.level)
    mask = replace(vertebra.mask, array=np.zeros(vertebra.mask.shape, bool))
    anatomy = replace(plan.anatomy, vertebrae={vertebra.level: replace(vertebra, mask=mask)})
    with pytest.raises(ValueError, match="nothing to draw"):
        surface_picture(replace(plan, images=anatomy), [("x", strain)], "x")


def test_pictures_are_as_wide_as_the_report_and_hold_their_scale(simulation: Simulation):
    made = {p.name: p for p in chapter(simulation).pictures}
    names = ("effective_strain_as_is_planes", "effective_strain_augmented_planes", "strain_energy_surface")
    for name in names:
        image = np.asarray(Image.open(io.BytesIO(made[name].png)).convert("RGB"), dtype=int)
        assert image.shape[1] == WIDE_PIXELS
        ramp = image[-84 + 30, 20:470]  # the bar of colours: from violet to yellow
        assert ramp[0, 2] > ramp[0, 1]
        assert ramp[-1, 1] > 200 > ramp[-1, 2]
