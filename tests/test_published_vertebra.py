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

from trocar.physics.strength import section_rigidity, stiffness_strength_n

ROOT = Path(__file__).parents[1]


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


def documented(row: str) -> float:
    """The stiffness that the documentation's table has in this row, N/mm."""
    text = (ROOT / "docs" / "published_vertebra.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| {re.escape(row)} \| ([\d ]+) \|", text, re.MULTILINE)
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
