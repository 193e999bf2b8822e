"""The phantom: what it says is what it draws."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, label

from trocar.anatomy import phantom_surroundings as around
from trocar.anatomy.levels import Level
from trocar.anatomy.morphometry import MEASURED_LEVELS, morphometry, sources
from trocar.anatomy.phantom import (
    SCHEME,
    Fracture,
    LesionKind,
    Phantom,
    PhantomLesion,
    PhantomSpec,
    VertebraTruth,
    phantom,
    spine,
)
from trocar.anatomy.phantom_shapes import BodyForm, Grid, Shape, Tube, blend, ellipsoid, rod
from trocar.anatomy.schemes import scheme
from trocar.errors import LabelSchemeError
from trocar.geometry import Pose, Side, angle_deg, unit
from trocar.io.labels import read_labels
from trocar.volume import Volume

IDENTITY = Pose(np.zeros(3), np.eye(3))
NUMBERS = {m.name: n for n, m in scheme(SCHEME).labels.items()}
LUNGS = [n for n, m in scheme(SCHEME).labels.items() if m.name.startswith("lung")]

#: Published lumbar means of pedicle width differ twofold; these are their extremes, mm
#: (13 series, transcribed in CTSpinoPelvic1K pedicle_width_references.csv).
PUBLISHED_WIDTH_MM = {
    "L1": (5.5, 10.3),
    "L2": (5.8, 10.3),
    "L3": (7.3, 13.0),
    "L4": (9.0, 16.3),
    "L5": (11.8, 21.6),
}


@pytest.fixture(scope="module")
def whole() -> Phantom:
    """T1 to L5, without noise."""
    return phantom(PhantomSpec(levels=MEASURED_LEVELS, focus=Level.T9, voxel_mm=(2.0, 1.25, 1.25), noise_hu=0.0))


@pytest.fixture(scope="module")
def small() -> Phantom:
    """L1 with its neighbours, coarse."""
    return phantom(PhantomSpec(voxel_mm=(2.0, 1.5, 1.5)))


def mask(patient: Phantom, name: str) -> np.ndarray:
    return np.asarray(patient.labels.array == NUMBERS[name])


def square_to(truth: VertebraTruth, side: Side) -> tuple[np.ndarray, np.ndarray]:
    """Across and up: the directions in which a pedicle's width and height are defined."""
    d = truth.pedicles[side].axis.direction
    across = unit(truth.frame.left - (truth.frame.left @ d) * d)
    return across, np.cross(across, d)


def diameter_mm(truth: VertebraTruth, centre: np.ndarray, direction: np.ndarray) -> float:
    """Length of the chord through a point, on the drawn surface itself."""
    steps = np.arange(0.0, 20.0, 0.01)
    ends = []
    for sign in (1.0, -1.0):
        outside = truth.distance_mm(centre + sign * steps[:, None] * direction) > 0.0
        ends.append(steps[int(np.argmax(outside))] if outside.any() else np.inf)
    return float(sum(ends))


# --- the truth is what is drawn -----------------------------------------------------------------


@pytest.mark.parametrize("level", MEASURED_LEVELS, ids=str)
def test_pedicle_has_its_width_and_height_at_its_narrowest(whole: Phantom, level: Level) -> None:
    truth = whole.truth.vertebrae[level]
    for side, pedicle in truth.pedicles.items():
        across, up = square_to(truth, side)
        along = np.arange(-4.0, 4.1, 1.0)
        widths = [diameter_mm(truth, pedicle.axis.at(t), across) for t in along]
        heights = [diameter_mm(truth, pedicle.axis.at(t), up) for t in along]
        assert widths[4] == pytest.approx(pedicle.width_mm, abs=0.1)
        assert heights[4] == pytest.approx(pedicle.height_mm, abs=0.1)
        assert int(np.argmin(widths)) == int(np.argmin(heights)) == 4


@pytest.mark.parametrize("level", MEASURED_LEVELS, ids=str)
def test_pedicle_axis_is_the_centre_of_its_sections(whole: Phantom, level: Level) -> None:
    truth = whole.truth.vertebrae[level]
    for side, pedicle in truth.pedicles.items():
        across, up = square_to(truth, side)
        reach = np.arange(-12.0, 12.01, 0.25)
        u, v = np.meshgrid(reach, reach)
        inside = (u / pedicle.width_mm) ** 2 + (v / pedicle.height_mm) ** 2 < 0.4  # the section, not its neighbours
        for t in (-2.0, 0.0, 2.0):
            points = pedicle.axis.at(t) + u[..., None] * across + v[..., None] * up
            bone = (truth.distance_mm(points) < 0.0) & inside
            assert abs(float(u[bone].mean())) < 0.25
            assert abs(float(v[bone].mean())) < 0.25


@pytest.mark.parametrize("level", MEASURED_LEVELS, ids=str)
def test_angles_belong_to_the_axis_and_it_points_into_the_body(whole: Phantom, level: Level) -> None:
    truth = whole.truth.vertebrae[level]
    for side, pedicle in truth.pedicles.items():
        d = truth.frame.axes.T @ pedicle.axis.direction
        assert np.degrees(np.arctan2(-side.sign * d[0], -d[1])) == pytest.approx(pedicle.transverse_angle_deg, abs=1e-6)
        assert np.degrees(np.arcsin(d[2])) == pytest.approx(pedicle.sagittal_angle_deg, abs=1e-6)
        assert side.sign * truth.frame.to_local(pedicle.axis.point_mm)[0] > 0.0
        ahead = truth.frame.to_local(pedicle.axis.at(20.0))
        assert abs(ahead[1]) < 15.0
        assert truth.distance_mm(pedicle.axis.at(15.0)) < 0.0


@pytest.mark.parametrize("fracture", list(Fracture))
def test_heights_are_those_of_the_drawn_endplates(fracture: Fracture) -> None:
    patient = phantom(PhantomSpec(fracture=fracture, fracture_percent=35.0, field_of_view_mm=(40, 60, 60)))
    truth = patient.truth.vertebrae[Level.L1]
    for y, height in zip(truth.stations_mm, truth.heights_mm, strict=True):
        start = truth.frame.to_world([0.0, y, 0.0])
        assert diameter_mm(truth, start, truth.frame.superior) == pytest.approx(height, abs=0.05)
        assert truth.height_mm(y) == pytest.approx(height, abs=1e-9)
    for plane in truth.endplates.values():
        assert plane.height_mm(truth.frame.origin_mm) < 0.0
        for y in (truth.stations_mm[0], truth.stations_mm[2]):
            foot = truth.frame.to_world([0.0, y, 0.0])
            on_plane = foot - plane.height_mm(foot) / (plane.normal @ truth.frame.superior) * truth.frame.superior
            assert abs(float(truth.distance_mm(on_plane))) < 0.05


@pytest.mark.parametrize("level", [Level.T8, Level.L3], ids=str)
def test_fine_label_measures_the_width_of_the_truth(level: Level) -> None:
    """On 0.4 mm voxels, by chords through the labels within 0.6 mm of the isthmus's centre."""
    view = (30.0, 70.0, 70.0)
    patient = phantom(PhantomSpec((level,), level, voxel_mm=(0.4, 0.4, 0.4), field_of_view_mm=view, noise_hu=0.0))
    bone = replace(patient.labels, array=mask(patient, str(level)).astype(np.float32))
    truth = patient.truth.vertebrae[level]
    for side, pedicle in truth.pedicles.items():
        across, up = square_to(truth, side)
        for chord, shift, expected in ((across, up, pedicle.width_mm), (up, across, pedicle.height_mm)):
            lengths = [
                chord_mm(bone, pedicle.axis.at(t) + s * shift, chord)
                for t in np.linspace(-0.6, 0.6, 7)
                for s in np.linspace(-0.6, 0.6, 7)
            ]
            assert float(np.mean(lengths)) == pytest.approx(expected, abs=0.3)


def chord_mm(bone: Volume, centre: np.ndarray, direction: np.ndarray) -> float:
    """Length of bone through a point along a direction, from voxels."""
    steps = np.arange(-12.0, 12.0, 0.05)
    parts, _ = label(bone.sample(centre + steps[:, None] * direction) > 0.5)
    return 0.05 * float(np.sum(parts == parts[len(steps) // 2]))


# --- the numbers --------------------------------------------------------------------------------


def test_widths_follow_the_published_trend_and_range() -> None:
    widths = {str(v): morphometry(v).pedicle_width_mm for v in MEASURED_LEVELS}
    assert min(widths, key=widths.__getitem__) in ("T4", "T5")
    assert max(widths, key=widths.__getitem__) == "L5"
    for level, (low, high) in PUBLISHED_WIDTH_MM.items():
        assert low <= widths[level] <= high
    angles = [morphometry(v).transverse_angle_deg for v in MEASURED_LEVELS]
    assert angles[:12] == sorted(angles[:12], reverse=True)
    assert angles[-1] == max(angles[12:])


def test_every_number_has_a_source_and_what_is_interpolated_is_told(small: Phantom) -> None:
    table = json.loads(resources.files("trocar.anatomy").joinpath("data/morphometry.json").read_text("utf-8"))
    for quantity in table["quantities"].values():
        for row in quantity["rows"]:
            assert row["source"] in sources()
            assert row["status"] in ("read", "recalled", "chosen")
    t8 = morphometry(Level.T8)
    assert "pedicle_width_mm" in t8.interpolated
    assert morphometry(Level.T5).pedicle_width_mm < t8.pedicle_width_mm < morphometry(Level.T12).pedicle_width_mm
    told = " ".join(phantom_notes(Level.T8))
    assert "T8" in told
    assert "pedicle_width_mm" in told
    assert any("recalled" in note for note in small.truth.notes)


def phantom_notes(level: Level) -> tuple[str, ...]:
    return phantom(PhantomSpec(levels=(level,), focus=level, field_of_view_mm=(10, 10, 10))).truth.notes


def test_morphometry_stops_at_its_tables() -> None:
    with pytest.raises(ValueError, match="C7"):
        morphometry(Level.C7)


# --- the labels ---------------------------------------------------------------------------------


def test_every_vertebra_is_one_piece_and_they_stand_in_order(whole: Phantom) -> None:
    heights = []
    for level in MEASURED_LEVELS:
        bone = mask(whole, str(level))
        assert label(bone, np.ones((3, 3, 3)))[1] == 1
        assert whole.truth.vertebrae[level].whole
        heights.append(float(whole.labels.world_mm(np.argwhere(bone))[:, 2].mean()))
    assert heights == sorted(heights, reverse=True)
    assert np.all(np.diff(heights) < -15.0)


def test_canal_is_free_of_bone_and_holds_the_cord(whole: Phantom) -> None:
    canal, cord = whole.truth.canal.array, mask(whole, "spinal_cord")
    for level in MEASURED_LEVELS:
        assert not np.any(canal & mask(whole, str(level)))
    assert cord.any()
    assert not np.any(cord & ~canal)
    lowest = whole.labels.world_mm(np.argwhere(cord))[:, 2].min()
    l1 = whole.truth.vertebrae[Level.L1].frame.origin_mm[2]
    assert l1 - 20.0 < lowest < l1


def test_what_surrounds_the_spine_is_there_and_lies_apart(whole: Phantom) -> None:
    for name in ("aorta", "inferior_vena_cava", "kidney_left", "kidney_right", "rib_left_8", "rib_right_12"):
        assert mask(whole, name).sum() > 300, name
    for name in ("autochthon_left", "iliopsoas_right", "S1", "spinal_cord", "esophagus", "liver"):
        assert mask(whole, name).sum() > 300, name
    aorta, cava = (whole.labels.world_mm(np.argwhere(mask(whole, n))) for n in ("aorta", "inferior_vena_cava"))
    assert aorta[:, 0].mean() > 0.0 > cava[:, 0].mean()


def test_pleura_lies_close_to_the_rib_heads(whole: Phantom) -> None:
    """3 to 8 mm from head to pleura is what an extrapedicular needle passes (C21)."""
    to_lung = distance_transform_edt(~np.isin(whole.labels.array, LUNGS), sampling=whole.labels.spacing_mm)
    forms = spine(whole.spec)
    for level in MEASURED_LEVELS[1:11]:
        for side in Side:
            head = whole.labels.index_kji(around.rib_path(forms, level, side)[0])
            gap = float(to_lung[tuple(np.rint(head).astype(int))]) - around.RIB_RADII_MM[0]
            assert 2.5 <= gap <= 8.0, (level, side)


def test_neighbouring_bones_do_not_touch() -> None:
    forms = spine(PhantomSpec())
    rng = np.random.default_rng(1)
    for upper, lower in pairwise(MEASURED_LEVELS):
        low, high = forms[lower].shape.bounds_mm()
        points = rng.uniform(low, high, (40_000, 3))
        inside = points[forms[lower].shape.distance_mm(forms[lower].pose.to_local(points)) < 0.0]
        above = forms[upper]
        assert float(above.shape.distance_mm(above.pose.to_local(inside)).min()) > 0.4, (upper, lower)
        if lower.region == "thoracic":
            for side in Side:
                assert float(around.rib(forms, lower, side).distance_mm(inside).min()) > 0.4, (lower, side)


def test_landmarks_lie_where_a_finger_finds_them(whole: Phantom) -> None:
    """C07: lumbar, the junction of superior articular and transverse process; thoracic, between rib and process."""
    forms = spine(whole.spec)
    for level, truth in whole.truth.vertebrae.items():
        for side in Side:
            if level.region == "lumbar":
                point = truth.landmarks[f"articular_transverse_junction_{side.value}"]
                assert abs(float(truth.distance_mm(point))) < 0.1
                assert truth.distance_mm(point + 3.0 * truth.frame.posterior) > 0.0
            else:
                point = truth.landmarks[f"rib_transverse_notch_{side.value}"]
                to_rib = float(around.rib(forms, level, side).distance_mm(point))
                to_bone = float(truth.distance_mm(point))
                assert 0.3 < to_bone < 5.0
                assert to_rib == pytest.approx(to_bone, abs=0.6)
            assert side.sign * truth.frame.to_local(point)[0] > 8.0


def test_labels_pass_the_door_that_real_ones_pass(whole: Phantom) -> None:
    labels = read_labels(whole.labels, on=whole.ct, scheme=SCHEME)
    assert set(MEASURED_LEVELS) <= set(labels.vertebrae)
    assert {"spinal_cord", "aorta", "lung_left", "lung_right", "kidney_left", "rib_left_9"} <= set(labels.structures)
    with pytest.raises(LabelSchemeError, match="totalseg-v2"):
        read_labels(whole.labels, on=whole.ct, scheme="totalseg-v1")


# --- symmetry, seeds ----------------------------------------------------------------------------


def test_mirror_is_exact() -> None:
    spec = PhantomSpec(voxel_mm=(3.0, 2.0, 2.0), scoliosis_deg=12.0, lesion=PhantomLesion(place=(0.5, 0.0, 0.0)))
    plain, mirrored = phantom(spec), phantom(replace(spec, mirror=True))
    assert np.array_equal(mirrored.ct.array, plain.ct.array[:, :, ::-1])
    assert np.array_equal(mirrored.truth.lesion.array, plain.truth.lesion.array[:, :, ::-1])
    ends = plain.ct.world_mm([0, 0, plain.ct.shape[2] - 1]) * [-1, 1, 1]
    assert np.allclose(mirrored.ct.world_mm([0, 0, 0]), ends)
    for name, other in (("rib_left_12", "rib_right_12"), ("kidney_left", "kidney_right"), ("L1", "L1")):
        assert np.array_equal(mask(mirrored, name), mask(plain, other)[:, :, ::-1])
    assert mirrored.labels.world_mm(np.argwhere(mask(mirrored, "aorta")))[:, 0].mean() < 0.0


def test_mirrored_truth_describes_the_mirrored_bone() -> None:
    patient = phantom(PhantomSpec(voxel_mm=(3.0, 2.0, 2.0), scoliosis_deg=12.0, mirror=True))
    truth = patient.truth.vertebrae[Level.L1]
    plain = phantom(replace(patient.spec, mirror=False)).truth.vertebrae[Level.L1]
    assert truth.pedicles[Side.LEFT].width_mm == plain.pedicles[Side.RIGHT].width_mm
    for side, pedicle in truth.pedicles.items():
        assert side.sign * truth.frame.to_local(pedicle.axis.point_mm)[0] > 0.0
        assert diameter_mm(truth, pedicle.axis.point_mm, square_to(truth, side)[0]) == pytest.approx(
            pedicle.width_mm, abs=0.1
        )


def test_left_and_right_differ(small: Phantom) -> None:
    pedicles = small.truth.vertebrae[Level.L1].pedicles
    assert pedicles[Side.LEFT].width_mm - pedicles[Side.RIGHT].width_mm > 0.3


def test_same_seed_same_scan_and_another_seed_only_other_noise(small: Phantom) -> None:
    again, other = phantom(small.spec), phantom(replace(small.spec, seed=7))
    assert np.array_equal(again.ct.array, small.ct.array)
    assert not np.array_equal(other.ct.array, small.ct.array)
    assert np.array_equal(other.labels.array, small.labels.array)
    noise = small.ct.array - phantom(replace(small.spec, noise_hu=0.0)).ct.array
    inside = small.labels.array > 0  # air is clipped at -1024 HU
    assert float(noise[inside].std()) == pytest.approx(small.spec.noise_hu, rel=0.02)
    assert abs(float(noise[inside].mean())) < 0.2


# --- the scan -----------------------------------------------------------------------------------


def test_voxel_size_keeps_the_mass() -> None:
    """Partial volume: (HU + 1000) times volume is the same on coarse and fine voxels."""
    spec = PhantomSpec(field_of_view_mm=(60, 96, 96), noise_hu=0.0)
    masses = []
    for size in (0.75, 1.5, 3.0):
        ct = phantom(replace(spec, voxel_mm=(size, size, size))).ct
        masses.append(float(np.sum(ct.array + 1000.0, dtype=np.float64)) * ct.voxel_ml)
    assert masses[1] == pytest.approx(masses[0], rel=0.005)
    assert masses[2] == pytest.approx(masses[0], rel=0.015)


def test_cortex_of_the_pedicles_is_visible() -> None:
    spec = PhantomSpec(levels=("T8",), focus="T8", voxel_mm=(1.0, 0.7, 0.7), noise_hu=0.0)  # type: ignore[arg-type]
    patient = phantom(replace(spec, field_of_view_mm=(50, 90, 90)))
    truth = patient.truth.vertebrae[Level.T8]
    for side, pedicle in truth.pedicles.items():
        across, _ = square_to(truth, side)
        wall = [patient.ct.sample(pedicle.axis.at(0.0) + s * 0.5 * pedicle.width_mm * across) for s in (-0.85, 0.85)]
        assert min(wall) > 400.0
        assert float(patient.ct.sample(pedicle.axis.at(0.0))) < 0.75 * min(wall)


def test_skin_lies_where_it_is_told(small: Phantom) -> None:
    middle = small.ct.shape[2] // 2
    x = small.ct.world_mm([0, 0, middle])[0]
    assert abs(x) < 2.0
    for k in (5, small.ct.shape[0] // 2, small.ct.shape[0] - 5):
        line = small.ct.array[k, :, middle]
        last = int(np.max(np.flatnonzero(line > -550.0)))
        assert small.ct.world_mm([k, last, middle])[1] == pytest.approx(small.truth.back_skin_mm[k], abs=1.6)


# --- the options act ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fracture", "kept"),
    [(Fracture.WEDGE, (0.6, None, 1.0)), (Fracture.BICONCAVE, (1.0, 0.6, 1.0)), (Fracture.CRUSH, (0.6, 0.6, 0.6))],
)
def test_fracture_takes_the_height_it_says(fracture: Fracture, kept: tuple[float | None, ...]) -> None:
    spec = PhantomSpec(fracture=fracture, fracture_percent=40.0, field_of_view_mm=(60, 80, 80), voxel_mm=(2, 2, 2))
    patient, intact = phantom(spec), phantom(replace(spec, fracture=Fracture.NONE))
    truth = patient.truth.vertebrae[Level.L1]
    assert truth.intact_heights_mm == intact.truth.vertebrae[Level.L1].heights_mm
    for share, height, before in zip(kept, truth.heights_mm, truth.intact_heights_mm, strict=True):
        if share is not None:
            assert height == pytest.approx(share * before, abs=0.05)
    assert mask(patient, "L1").sum() < 0.95 * mask(intact, "L1").sum()
    assert patient.truth.vertebrae[Level.L2].heights_mm == intact.truth.vertebrae[Level.L2].heights_mm


def test_lesions_and_thin_bone_change_the_hu() -> None:
    spec = PhantomSpec(field_of_view_mm=(40, 60, 60), noise_hu=0.0)
    ball = PhantomLesion(LesionKind.LYTIC, 14.0, (0.3, -0.2, 0.0))
    lytic = phantom(replace(spec, lesion=ball))
    inside = lytic.truth.lesion.array
    core = distance_transform_edt(inside, sampling=lytic.ct.spacing_mm) > 2.0
    assert lytic.truth.lesion.voxel_ml * inside.sum() == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=0.05)
    blastic = phantom(replace(spec, lesion=replace(ball, kind=LesionKind.BLASTIC)))
    thin = phantom(replace(spec, trabecular=0.5))
    plain = phantom(spec)
    means = [float(p.ct.array[core].mean()) for p in (lytic, thin, plain, blastic)]
    assert means == sorted(means)
    assert means[0] == pytest.approx(42.0, abs=2.0)
    assert means[1] == pytest.approx(0.5 * means[2], rel=0.1)
    assert np.array_equal(lytic.labels.array, plain.labels.array)


def test_broken_posterior_wall_opens_bone_and_fills_the_canal() -> None:
    spec = PhantomSpec(field_of_view_mm=(40, 80, 60), broken_posterior_wall=True)
    broken, whole_wall = phantom(spec), phantom(replace(spec, broken_posterior_wall=False))
    gone = mask(whole_wall, "L1") & ~mask(broken, "L1")
    assert gone.sum() > 50
    assert np.all(broken.truth.lesion.array[gone])
    epidural = broken.truth.epidural.array
    assert epidural.sum() * broken.ct.voxel_ml > 0.05
    assert np.all(broken.truth.canal.array[epidural])
    assert not whole_wall.truth.epidural.array.any()


def test_variant_with_narrow_pedicles() -> None:
    """C13: anatomical variants."""
    spec = PhantomSpec(field_of_view_mm=(40, 60, 60), pedicle_share=0.5)
    truth = phantom(spec).truth.vertebrae[Level.L1]
    for side, pedicle in truth.pedicles.items():
        assert pedicle.width_mm == pytest.approx(0.5 * morphometry(Level.L1).pedicle_width_mm, rel=0.04)
        chord = diameter_mm(truth, pedicle.axis.point_mm, square_to(truth, side)[0])
        assert chord == pytest.approx(pedicle.width_mm, abs=0.1)


def test_scoliosis_has_its_cobb_angle() -> None:
    forms = spine(PhantomSpec(scoliosis_deg=30.0))
    lean = {v: np.degrees(np.arctan2(f.pose.superior[0], f.pose.superior[2])) for v, f in forms.items()}
    assert lean[Level.L1] == pytest.approx(0.0, abs=1e-6)
    assert abs(lean[Level.L4] - lean[Level.T10]) == pytest.approx(30.0, abs=1e-6)
    offset = [forms[v].pose.origin_mm[0] for v in (Level.T8, Level.L1, Level.L5)]
    assert abs(offset[1] - 0.5 * (offset[0] + offset[2])) > 8.0
    straight = spine(PhantomSpec())
    assert all(abs(f.pose.origin_mm[0]) < 1e-9 for f in straight.values())
    assert angle_deg(straight[Level.T5].pose.left, [1, 0, 0]) < 1e-6


def test_field_of_view_cuts_a_level() -> None:
    patient = phantom(PhantomSpec(field_of_view_mm=(30.0, 120.0, 120.0), voxel_mm=(2.0, 1.5, 1.5)))
    assert not patient.truth.vertebrae[Level.L1].whole
    bone = mask(patient, "L1")
    assert bone[0].any() or bone[-1].any()
    assert patient.ct.shape == (15, 80, 80)


def test_contrast_brightens_vessels(small: Phantom) -> None:
    bright = phantom(replace(small.spec, contrast=True))
    aorta = mask(small, "aorta")
    assert bright.ct.array[aorta].mean() > small.ct.array[aorta].mean() + 80.0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"levels": ("C7", "T1"), "focus": "T1"}, r"C7.*T1 to L5"),
        ({"levels": ("T12", "L2"), "focus": "L2"}, r"not one run"),
        ({"focus": "T9"}, r"focus=T9"),
        ({"levels": ()}, r"T1 to L5"),
        ({"fracture_percent": 90.0}, r"fracture_percent=90.0 is outside 5 to 70 %"),
        ({"fracture": "crush", "fracture_percent": 50.0}, r"fracture_percent=50.0 is outside 5 to 40 % for a crush"),
        ({"scoliosis_deg": 80.0}, r"scoliosis_deg=80.0 is outside -45 to 45 deg"),
        ({"trabecular": 0.0}, r"trabecular=0.0 is outside 0.2 to 1.6"),
        ({"pedicle_share": 0.1}, r"pedicle_share=0.1 is outside 0.4 to 1.4"),
        ({"noise_hu": -1.0}, r"noise_hu=-1.0 is outside 0 to 80 HU"),
        ({"voxel_mm": (0.1, 1.0, 1.0)}, r"voxel_mm=0.1 is outside 0.3 to 5 mm"),
        ({"field_of_view_mm": (5.0, 100.0, 100.0)}, r"field_of_view_mm=5.0 is outside 10 to 900 mm"),
        ({"fracture": "burst"}, r"burst"),
    ],
)
def test_refuses_what_it_cannot_draw(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        PhantomSpec(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"diameter_mm": 60.0}, {"place": (0.0, 2.0, 0.0)}, {"kind": "mixed"}])
def test_refuses_a_lesion_it_cannot_draw(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"diameter_mm=60.0|place=2.0|mixed"):
        PhantomLesion(**change)  # type: ignore[arg-type]


# --- the surfaces -------------------------------------------------------------------------------


def test_distances_of_a_ball_and_a_cylinder_are_exact() -> None:
    ball = Shape(IDENTITY, np.array([ellipsoid([1.0, 2.0, 3.0], (5.0, 5.0, 5.0), (0, 0, 1))]))
    points = np.random.default_rng(2).uniform(-8, 8, (200, 3))
    assert np.allclose(ball.distance_mm(points), np.linalg.norm(points - [1, 2, 3], axis=1) - 5.0, atol=2e-3)
    pipe = Shape(IDENTITY, np.array([rod([0, 0, -20], [0, 0, 20], (4.0, 4.0))]))
    assert np.allclose(pipe.distance_mm(points), np.hypot(points[:, 0], points[:, 1]) - 4.0, atol=1e-9)


def test_rendered_distances_are_those_at_the_points() -> None:
    form = spine(PhantomSpec(scoliosis_deg=20.0))[Level.L2]
    low, high = form.shape.bounds_mm()
    grid = Grid(*(np.arange(a, b, 3.1) for a, b in zip(low, high, strict=True)))
    z, y, x = np.meshgrid(grid.z, grid.y, grid.x, indexing="ij")
    exact = form.shape.distance_mm(form.pose.to_local(np.stack([x, y, z], axis=-1)))
    near = np.abs(exact) < 1.5
    assert near.sum() > 500
    assert np.allclose(form.shape.render(grid)[near], exact[near], atol=1e-5)


def test_blend_shares_a_voxel_by_the_plane_that_cuts_it() -> None:
    grid = Grid(np.arange(6.0), np.arange(5.0), np.arange(4.0))
    distance = np.broadcast_to(grid.x[None, None, :] - 2.25, grid.shape).astype(np.float32)
    hu = np.zeros(grid.shape, dtype=np.float32)
    blend(hu, distance, np.broadcast_to(np.float32(100.0), grid.shape), 0.0, np.ones(3), 0.0)
    assert np.allclose(hu[1, 2], [100.0, 100.0, 75.0, 0.0, 0.0, 0.0], atol=1e-3)


def test_tube_ends_where_its_nodes_end() -> None:
    tube = Tube(np.array([[0.0, 0.0, 0.0, 5.0, 5.0], [10.0, 0.0, 0.0, 5.0, 5.0]]))
    grid = Grid(np.arange(-8.0, 9.0), np.arange(-8.0, 9.0), np.arange(-3.0, 14.0))
    inside = tube.render(grid) < 0.0
    assert np.array_equal(np.flatnonzero(inside.any(axis=(1, 2))), np.arange(3, 14))


def test_a_body_is_hollow_at_its_endplates_and_waisted() -> None:
    form = spine(PhantomSpec())[Level.L3].body
    assert isinstance(form, BodyForm)
    bottom, top = form.endplates_mm(0.0, 0.0)
    assert top < form.top
    assert bottom > form.bottom
    alone = Shape(IDENTITY, np.empty((0, 22)), form)
    x = 0.95 * form.half_width_top
    assert alone.distance_mm([x, 0.0, 0.0]) > 0.0 > alone.distance_mm([x, 0.0, 0.85 * form.top])
