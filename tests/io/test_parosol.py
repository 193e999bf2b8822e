"""The ParOSol file says what the solid says, and refuses what it cannot. ParOSol itself reads it in test_peers."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trocar.errors import ToolError
from trocar.io.parosol import write_parosol
from trocar.physics.solid import Boundary, Material, Solid

if os.environ.get("TROCAR_PEERS") == "required":
    import h5py
else:
    h5py = pytest.importorskip("h5py", reason="h5py is not here: pip install 'trocar[peers]'")


def body() -> Solid:
    rng = np.random.default_rng(5)
    material = rng.integers(0, 3, (5, 4, 3)).astype(np.uint8)
    material[0] = 1
    half = Material("half", (0.5,) * 3, (0.5 / 2.8,) * 3, (0.4,) * 3)
    return Solid(50.0 + 300.0 * rng.random(material.shape), material, (Material.isotropic("bone"), half), (0.6,) * 3)


def squeeze(solid: Solid) -> Boundary:
    k = np.indices(solid.nodes)[0]
    return Boundary.displace(k == 0, 0, 0.25) + Boundary.load((k == 0) & (np.indices(solid.nodes)[2] == 1), 2, 1.5)


def test_the_image_and_what_is_prescribed_come_back(tmp_path: Path) -> None:
    solid, boundary = body(), squeeze(body())
    with h5py.File(write_parosol(solid, boundary, tmp_path / "a.h5")) as file:
        found = {name: data[...] for name, data in file["Image_Data"].items()}
    relative = np.where(solid.material == 2, 0.5, 1.0)
    assert found["Image"] == pytest.approx(np.where(solid.filled, solid.modulus_mpa * relative, 0.0) / 1000.0)
    assert np.all(found["Poissons_ratio_Image"][solid.material == 2] == 0.4)
    assert np.all(found["Poissons_ratio_Image"][solid.material == 1] == 0.3)
    assert found["Voxelsize"] == 0.6
    for kind, dof, value in (
        ("Fixed_Displacement", boundary.displaced, boundary.displacement_mm),
        ("Loaded_Nodes", boundary.loaded, boundary.force_n),
    ):
        *place, direction = found[f"{kind}_Coordinates"].astype(int).T
        assert np.array_equal(np.ravel_multi_index((2 - direction, *place), (3, *solid.nodes)), dof)
        assert np.array_equal(found[f"{kind}_Values"], value)


def test_voxels_that_are_no_cubes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cubes only.*1 x 1 x 2 mm"):
        write_parosol(replace(body(), spacing_mm=(1.0, 1.0, 2.0)), squeeze(body()), tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


UNEVEN = {
    "young": Material("bone", (1.0, 0.5, 0.5)),
    "shear": Material("bone", shear=(0.3, 0.3, 0.3)),
    "poisson": Material("bone", poisson=(0.3, 0.3, 0.2)),
}


@pytest.mark.parametrize("what", UNEVEN)
def test_bone_that_differs_along_its_axes_is_refused_by_name(what: str, tmp_path: Path) -> None:
    solid = replace(body(), materials=(UNEVEN[what], Material.isotropic("tumour")))
    with pytest.raises(ValueError, match="same along every axis only: bone is not"):
        write_parosol(solid, squeeze(solid), tmp_path / "a.h5")


def test_a_law_that_no_voxel_has_may_differ_along_its_axes(tmp_path: Path) -> None:
    solid = replace(body(), materials=(*body().materials, UNEVEN["young"]))
    assert write_parosol(solid, squeeze(solid), tmp_path / "a.h5").is_file()


def test_a_box_beyond_sixteen_bits_is_refused(tmp_path: Path) -> None:
    solid = Solid(np.ones((32768, 1, 1)), np.ones((32768, 1, 1), np.uint8))
    with pytest.raises(ValueError, match="32767 voxels along an axis; this box has 32768"):
        write_parosol(solid, Boundary(solid.nodes), tmp_path / "a.h5")


def test_without_h5py_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ToolError, match=r"h5py: pip install 'trocar\[peers\]'"):
        write_parosol(body(), squeeze(body()), tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []
