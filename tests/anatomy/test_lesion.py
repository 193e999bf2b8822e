"""Fracture grades with their exact bands, lesions, and broken walls."""

from __future__ import annotations

import pytest

from trocar.anatomy.heights import uncertain
from trocar.anatomy.lesion import Deformity, fracture, genant_grade
from trocar.anatomy.phantom import LesionKind, PhantomLesion
from trocar.anatomy.vertebra import Heights, Vertebra
from trocar.measure import Severity

from .vertebra_cases import read_phantom, spec


def heights(front: float, middle: float, back: float) -> Heights:
    return Heights(*(uncertain(n, v, 0.5, "Given.") for n, v in (("a", front), ("m", middle), ("p", back))))


@pytest.mark.parametrize(
    ("loss", "grade"),
    [(0.0, 0), (19.999, 0), (20.0, 1), (24.999, 1), (25.0, 2), (40.0, 2), (40.001, 3), (80.0, 3), (-5.0, 0)],
)
def test_genant_bands(loss: float, grade: int) -> None:
    """Genant 1993: mild from 20 %, moderate from 25 to 40 %, severe above."""
    assert genant_grade(loss) == grade


@pytest.mark.parametrize(
    ("given", "reference", "kind", "grade", "loss"),
    [
        ((25.0, 25.0, 26.0), 26.0, Deformity.NONE, 0, 3.846),
        ((15.6, 23.0, 26.0), 26.0, Deformity.WEDGE, 2, 40.0),
        ((24.0, 20.0, 26.0), 26.0, Deformity.BICONCAVE, 1, 23.077),
        ((14.0, 14.0, 14.0), 26.0, Deformity.CRUSH, 3, 46.154),
        ((14.0, 14.0, 14.0), None, Deformity.NONE, 0, 0.0),
    ],
)
def test_kind_and_grade(
    given: tuple[float, float, float], reference: float | None, kind: Deformity, grade: int, loss: float
) -> None:
    found = fracture(heights(*given), reference)
    assert found is not None
    assert (found.deformity, found.grade) == (kind, grade)
    assert found.loss_percent == pytest.approx(loss, abs=0.001)
    assert ("neighbours'" in found.method) == (reference is not None)


def test_no_grade_without_a_height() -> None:
    assert fracture(heights(float("nan"), 20.0, 20.0), 20.0) is None


@pytest.mark.parametrize(
    ("kind", "percent", "grades"),
    [
        ("wedge", 30.0, {2}),
        ("wedge", 55.0, {3}),
        ("biconcave", 55.0, {3}),
        ("crush", 30.0, {2}),
        ("crush", 40.0, {2, 3}),
    ],
)
def test_fractures_of_the_phantom(kind: str, percent: float, grades: set[int]) -> None:
    """The kind by name, the loss within what one voxel (2.5 mm of 24 mm) leaves open."""
    found = read_phantom(spec("T11", "T12", "L1", fracture=kind, fracture_percent=percent))[1].vertebra("T12")
    assert found.measure("height_loss").value == pytest.approx(percent, abs=10.0)
    assert int(found.measure("genant_grade").value) in grades
    assert found.graded
    assert any(f.severity is Severity.CAUTION and f"{kind} deformity" in f.text for f in found.findings)


def test_intact_bodies_have_no_grade() -> None:
    anatomy = read_phantom(spec("T11", "T12", "L1"))[1]
    for level in anatomy.whole_levels:
        assert anatomy.vertebra(level).measure("genant_grade").value == 0.0
        assert not anatomy.vertebra(level).graded
        assert not any("deformity" in f.text for f in anatomy.vertebra(level).findings)


def l2(**what: object) -> Vertebra:
    return read_phantom(spec("L2", field_of_view_mm=(70.0, 190.0, 130.0), **what))[1].vertebra("L2")


@pytest.mark.parametrize("voxel_mm", [(2.5, 1.0, 1.0), (1.25, 0.8, 0.8)])
def test_a_broken_posterior_wall_is_told(voxel_mm: tuple[float, float, float]) -> None:
    """The drawn hole is an ellipse of 13.6 x 12.5 mm, 133 mm2."""
    broken, sound = l2(voxel_mm=voxel_mm, broken_posterior_wall=True), l2(voxel_mm=voxel_mm)
    assert broken.measure("posterior_wall_hole").value == pytest.approx(133.0, rel=0.4)
    assert sound.measure("posterior_wall_hole").value < 30.0
    assert any("posterior wall of L2 shows no cortex" in f.text for f in broken.findings)
    assert not any("posterior wall" in f.text for f in sound.findings)


def test_a_lytic_lesion_is_told_and_left_out_of_the_density() -> None:
    """A ball of 15 mm is 1.77 ml; its blurred edge is not counted."""
    sick, well = l2(lesion=PhantomLesion()), l2()
    assert sick.measure("lytic_volume").value == pytest.approx(1.77, abs=0.7)
    assert well.measure("lytic_volume").value == 0.0
    assert sick.measure("trabecular_hu").value == pytest.approx(well.measure("trabecular_hu").value, abs=15.0)
    assert any("darker" in f.text for f in sick.findings)


def test_a_blastic_lesion_is_told() -> None:
    sick = l2(lesion=PhantomLesion(kind=LesionKind.BLASTIC))
    assert sick.measure("blastic_volume").value == pytest.approx(1.77, abs=0.8)
    assert any("brighter" in f.text for f in sick.findings)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_density_is_the_drawn_one(share: float) -> None:
    """165 HU in health, half of it in osteoporosis."""
    assert l2(trabecular=share).measure("trabecular_hu").value == pytest.approx(165.0 * share, abs=12.0)


def test_thick_slices_show_no_lesion_where_none_is() -> None:
    """Slices of 5 mm smear the endplates into the core."""
    found = read_phantom(spec("L1", "L2", "L3", voxel_mm=(5.0, 0.8, 0.8)))[1].vertebra("L2")
    assert found.measure("blastic_volume").value == 0.0
    assert found.measure("lytic_volume").value == 0.0


@pytest.mark.parametrize(("row_mm", "judged"), [(1.0, True), (5.0, False)])
def test_a_coarse_scan_does_not_judge_walls(row_mm: float, judged: bool) -> None:
    found = l2(voxel_mm=(5.0, row_mm, row_mm), trabecular=1.6)
    assert ("posterior_wall_hole" in {m.name for m in found.measures}) == judged
    assert any("too coarse to tell whether the walls" in f.text for f in found.findings) != judged
