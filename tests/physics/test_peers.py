"""Other programs solve the same equations: every reaction must agree.

CalculiX (direct) prints seven digits, ParOSol is run to a residual of 1e-9; both are run as programs on the files that
``trocar.io`` writes, so these tests hold the files to account as well.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trocar.physics.elasticity import deform
from trocar.physics.solid import Boundary, Material, Solid

from .peer_problems import ALIKE, DIFFERENT, ORTHOTROPIC, bottom, moved, phantom, pushed, random_cube, top
from .peers import VARIABLE, Answer, need_ccx, need_parosol, needed, run_calculix, run_parosol

#: What is asked of the reactions, relative to the greatest.
AGREEMENT = 1e-5
#: Our residual when single nodes are compared: well below what is asked of them.
FINE = 1e-8
#: Compression with shear along both other axes, so that no component can hide.
ASKEW = (-0.001, 0.0004, 0.0007)


def agree(solid: Solid, boundary: Boundary, theirs: Answer) -> None:
    """Resultants on both faces, every node's reaction, and the displacements of what is pushed."""
    ours = deform(solid, boundary, tolerance=FINE)
    reaction, displacement = np.nan_to_num(theirs.reaction_n), theirs.displacement_mm
    peer = replace(ours, reaction_n=reaction)
    for face in (bottom(solid), top(solid)):
        close(ours.force_n(face), peer.force_n(face), np.abs(peer.force_n(bottom(solid))).max())
    close(ours.reaction_n, reaction, np.abs(reaction).max())
    if len(boundary.loaded):
        close(ours.displacement_mm.reshape(-1)[boundary.loaded], displacement, np.abs(displacement).max())


def close(ours: np.ndarray, theirs: np.ndarray, scale: float) -> None:
    assert scale > 0.0
    assert np.abs(ours - theirs).max() <= AGREEMENT * scale


FIELDS = [(12, 7), (16, 8), (20, 9)]


@pytest.mark.parametrize(("n", "seed"), FIELDS)
def test_a_random_field_in_calculix(n: int, seed: int, tmp_path: Path) -> None:
    solid = random_cube(n, seed)
    boundary = moved(solid, ASKEW)
    agree(solid, boundary, run_calculix(need_ccx(), solid, boundary, tmp_path))


@pytest.mark.parametrize(("n", "seed"), [*FIELDS, (40, 7)])
def test_a_random_field_in_parosol(n: int, seed: int, tmp_path: Path) -> None:
    solid = random_cube(n, seed)
    boundary = moved(solid, ASKEW)
    agree(solid, boundary, run_parosol(need_parosol(), solid, boundary, tmp_path))


BODIES = {
    "void, tumour and cement": phantom(18),
    "without cement": phantom(18, cement=False),
    "different Poisson's ratios": phantom(18, DIFFERENT),
}
FOR_CALCULIX = BODIES | {
    "orthotropic bone": phantom(16, (ORTHOTROPIC, *ALIKE[1:])),
    "voxels that are not cubes": replace(phantom(16), spacing_mm=(1.5, 0.7, 0.9)),
    "orthotropic, not cubes": replace(phantom(16, (ORTHOTROPIC, *DIFFERENT[1:])), spacing_mm=(0.8, 1.3, 0.6)),
    "a box that is no cube": Solid(random_cube(14).modulus_mpa[:, :9, :12], np.ones((14, 9, 12), np.uint8)),
    "a law whose modulus is relative": phantom(14, (Material("bone", (0.5,) * 3, (0.5 / 2.6,) * 3), *ALIKE[1:])),
}


@pytest.mark.parametrize("name", FOR_CALCULIX)
def test_a_body_in_calculix(name: str, tmp_path: Path) -> None:
    solid = FOR_CALCULIX[name]
    boundary = moved(solid, ASKEW)
    agree(solid, boundary, run_calculix(need_ccx(), solid, boundary, tmp_path))


FOR_PAROSOL = BODIES | {
    name: FOR_CALCULIX[name] for name in ("a box that is no cube", "a law whose modulus is relative")
}


@pytest.mark.parametrize("name", FOR_PAROSOL)
def test_a_body_in_parosol(name: str, tmp_path: Path) -> None:
    solid = replace(FOR_PAROSOL[name], spacing_mm=(0.7, 0.7, 0.7))
    boundary = moved(solid, ASKEW)
    agree(solid, boundary, run_parosol(need_parosol(), solid, boundary, tmp_path))


def test_forces_in_calculix(tmp_path: Path) -> None:
    solid = replace(phantom(14, DIFFERENT), spacing_mm=(1.2, 0.8, 1.0))
    agree(solid, pushed(solid), run_calculix(need_ccx(), solid, pushed(solid), tmp_path))


def test_forces_in_parosol(tmp_path: Path) -> None:
    solid = replace(phantom(14), spacing_mm=(0.6, 0.6, 0.6))
    agree(solid, pushed(solid), run_parosol(need_parosol(), solid, pushed(solid), tmp_path))


def test_at_the_residual_users_get_the_resultants_agree(tmp_path: Path) -> None:
    solid = phantom(20)
    boundary = moved(solid)
    ours = deform(solid, boundary)
    theirs = replace(ours, reaction_n=np.nan_to_num(run_calculix(need_ccx(), solid, boundary, tmp_path).reaction_n))
    for face in (bottom(solid), top(solid)):
        close(ours.force_n(face), theirs.force_n(face), np.abs(theirs.force_n(face)).max())


def test_a_disagreement_would_be_seen(tmp_path: Path) -> None:
    solid = random_cube(8)
    boundary = moved(solid)
    theirs = run_calculix(need_ccx(), replace(solid, modulus_mpa=1.00002 * solid.modulus_mpa), boundary, tmp_path)
    with pytest.raises(AssertionError):
        agree(solid, boundary, theirs)


def test_a_missing_peer_is_skipped_with_a_reason_and_fails_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="ParOSol is not here: make peers"):
        needed(None, "ParOSol", "make peers")
    monkeypatch.setenv(VARIABLE, "required")
    with pytest.raises(pytest.fail.Exception, match="ParOSol is not here: make peers"):
        needed(None, "ParOSol", "make peers")
