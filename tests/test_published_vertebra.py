"""A published L2 comes out as published with the published recipe; without it, it differs as documented."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from trocar.physics.strength import offset_strength_n, section_rigidity, stiffness_strength_n

ROOT = Path(__file__).parents[1]
#: The documented curve up to where it has met the offset line.
TO_OFFSET_MM = (0.05, 0.1, 0.15, 0.2, 0.25)


@pytest.fixture(scope="module")
def published() -> ModuleType:
    """The script that measures the documented table."""
    spec = importlib.util.spec_from_file_location("published_vertebra", ROOT / "benchmarks" / "published_vertebra.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scan(published: ModuleType) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    if not published.SCAN.is_dir():
        pytest.skip(f"the published vertebra is not here: put it at {published.SCAN}")
    return published.load_scan()


@pytest.fixture(scope="module")
def as_published(published: ModuleType, scan: tuple) -> float:
    return published.stiffness_n_mm(published.Recipe(), *scan)


@pytest.fixture(scope="module")
def plain(published: ModuleType, scan: tuple) -> float:
    return published.stiffness_n_mm(published.PLAIN, *scan)


def documented(row: str, column: int = 1) -> float:
    """The number that the documentation's tables have in this row, N/mm or N."""
    text = (ROOT / "docs" / "published_vertebra.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| {re.escape(row)} \|{' [^|]+ [|]' * (column - 1)} ([\d ]+) \|", text, re.MULTILINE)
    assert found is not None, row
    return float(found[1].replace(" ", ""))


def test_a_bar_under_the_same_plates_is_the_textbook_bar(published: ModuleType) -> None:
    assert published.bar_stiffness_n_mm() == pytest.approx(300.0 * 36.0 / 12.0, rel=1e-6)


def test_the_plates_have_the_nodes_of_the_published_log(published: ModuleType, scan: tuple) -> None:
    bottom, top = published.plates(scan[1])
    assert (int(top.sum()), int(bottom.sum())) == (1432, 1413)


def test_the_published_recipe_gives_the_published_stiffness(published: ModuleType, as_published: float) -> None:
    # Five per cent is asked for; a thousandth is what the same model and two right solvers owe each other.
    assert as_published == pytest.approx(published.STIFFNESS_N_MM, rel=1e-3)
    assert as_published * published.SHORTENING_MM == pytest.approx(published.REACTION_N, rel=1e-3)
    assert stiffness_strength_n(as_published, published.HEIGHT_MM) == pytest.approx(published.LINEAR_N, rel=1e-3)


def test_the_difference_without_it_is_as_documented(published: ModuleType, as_published: float, plain: float) -> None:
    assert as_published == pytest.approx(documented(list(published.STEPS)[-1]), abs=1.0)
    assert plain == pytest.approx(documented(next(iter(published.STEPS))), abs=1.0)
    assert 0.84 < plain / published.STIFFNESS_N_MM < 0.86


def test_the_weakest_section_is_no_end_whichever_share_makes_a_section(published: ModuleType, scan: tuple) -> None:
    solid, body = published.PLAIN.solid(*scan), np.isin(scan[1], published.BODY)
    found = [section_rigidity(solid, body, share) for share in (0.6, 0.75, 0.9)]
    layers = np.flatnonzero(body.any((1, 2)))
    middle = (found[1].weakest - layers[0]) / (layers[-1] - layers[0])
    assert 0.2 < middle < 0.8
    assert {f.weakest for f in found} == {found[1].weakest}
    # The published load is that of a yielding model of stiffer bone; the two are beside each other, not equal.
    assert 0.8 < found[1].strength_n() / published.NONLINEAR_N < 1.4


def test_the_load_of_yielding_bone_is_as_documented_and_embraces_the_published_one(
    published: ModuleType, scan: tuple, as_published: float
) -> None:
    """Tresca's condition lies between von Mises' and the same with sqrt(3)/2 of the yield stress; so does the load."""
    offset = []
    for column, share in ((1, 1.0), (2, published.SHEAR)):
        load = published.plastic_load_n(published.Recipe(), *scan, share, TO_OFFSET_MM)
        offset.append(offset_strength_n(TO_OFFSET_MM, load, as_published, published.HEIGHT_MM))
        assert offset[-1] == pytest.approx(documented("at the 0.2 % offset", column), rel=2e-3)
        assert load[-1] == pytest.approx(documented("at 0.25 mm", column), rel=2e-3)
    assert offset[1] < published.NONLINEAR_N < offset[0]


def test_a_bar_of_the_recipes_bone_bears_its_yield_stress(published: ModuleType) -> None:
    """300 mg/cc, each voxel its own density: 37.4 x 0.3^1.39 = 7.02 MPa; its discs bear ten times that."""
    labels = np.ones((24, 4, 4), np.uint8)
    labels[:2], labels[-2:] = published.BOTTOM, published.TOP
    density = np.full(labels.shape, 300.0)
    load = published.plastic_load_n(published.PLAIN, density, labels, 1.0, (0.01, 0.4))
    strength = 37.4 * 0.3**1.39
    assert strength == pytest.approx(7.02, abs=0.01)
    # Elastic first; then the bar flows at its own stress between its ends, which the stiffer discs hold together.
    assert load[-1] == pytest.approx(16.0 * strength, rel=0.02)
    assert load[0] < 0.6 * load[-1]
