"""The CalculiX deck says what the solid says, line by line; CalculiX itself reads it in test_peers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trocar.errors import OutputError
from trocar.io.calculix import Equations, write_calculix
from trocar.physics.solid import Boundary, Material, Solid

ORTHOTROPIC = Material("bone", (1.0, 0.45, 0.3), (0.13, 0.16, 0.2), (0.38, 0.24, 0.31))
SPACING_MM = (1.5, 0.7, 0.9)


def body() -> Solid:
    """Twelve by eleven by ten voxels, a third of them empty, two laws, moduli that are no round numbers."""
    rng = np.random.default_rng(3)
    material = rng.integers(0, 3, (12, 11, 10)).astype(np.uint8)
    material[0] = material[-1] = 1
    modulus = (50.0 + 100.0 / 3.0 * rng.integers(0, 40, material.shape)).astype(np.float32)
    return Solid(modulus, material, (ORTHOTROPIC, Material.isotropic("tumour", 0.4)), SPACING_MM)


def squeeze(solid: Solid) -> Boundary:
    k = np.indices(solid.nodes)[0]
    low, high = k == 0, k == solid.shape[0]
    boundary = Boundary.displace(low, 0, 0.0) + Boundary.displace(low, 1, 0.0) + Boundary.displace(low, 2, 0.0)
    return boundary + Boundary.displace(high, 0, -0.0123456789) + Boundary.load(high, 2, 1.0 / 3.0)


def blocks(path: Path) -> list[tuple[str, list[list[str]]]]:
    """Keyword line and the rows under it, in the deck's order."""
    found: list[tuple[str, list[list[str]]]] = []
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith("**"):
            continue
        if line.startswith("*"):
            found.append((line, []))
        else:
            found[-1][1].append([value.strip() for value in line.split(",")])
    return found


def named(path: Path, start: str) -> list[list[str]]:
    return [row for keyword, rows in blocks(path) if keyword.startswith(start) for row in rows]


@pytest.fixture(scope="module")
def deck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_calculix(body(), squeeze(body()), tmp_path_factory.mktemp("deck") / "model.inp")


def test_nodes_lie_where_their_number_says(deck: Path) -> None:
    rows = np.array(named(deck, "*NODE, NSET=NALL"), float)
    k, j, i = np.unravel_index(rows[:, 0].astype(int) - 1, body().nodes)
    assert rows[:, 1:] == pytest.approx(np.stack([0.9 * i, 0.7 * j, 1.5 * k], axis=1), rel=1e-11)
    assert len(np.unique(rows[:, 0])) == len(rows)


def test_every_voxel_of_material_is_an_element_that_fills_it(deck: Path) -> None:
    xyz = {int(row[0]): np.array(row[1:], float) for row in named(deck, "*NODE, NSET=NALL")}
    elements = np.array(named(deck, "*ELEMENT"), int)
    assert sorted(elements[:, 0] - 1) == np.flatnonzero(body().filled).tolist()
    for number, *nodes in elements[::17]:
        corners = np.array([xyz[n] for n in nodes])
        k, j, i = np.unravel_index(number - 1, body().shape)
        assert corners[0] == pytest.approx([0.9 * i, 0.7 * j, 1.5 * k])
        edges = corners[[1, 3, 4]] - corners[0]
        assert edges == pytest.approx(np.diag([0.9, 0.7, 1.5]))  # right-handed: CalculiX refuses it turned inside out
        assert corners[[2, 5, 6, 7]] - corners[0] == pytest.approx(
            np.array([edges[0] + edges[1], edges[0] + edges[2], edges.sum(axis=0), edges[1] + edges[2]])
        )
    assert {n for row in elements for n in row[1:]} == set(xyz)


def test_every_element_has_its_law_and_its_modulus(deck: Path) -> None:
    solid, found = body(), blocks(deck)
    group: dict[str, list[int]] = {}
    for keyword, rows in found:
        if keyword.startswith("*ELEMENT"):
            group[keyword.rpartition("=")[2]] = [int(row[0]) - 1 for row in rows]
    seen = 0
    for (material, _), (elastic, rows), (section, _) in zip(found, found[1:], found[2:], strict=False):
        if not material.startswith("*MATERIAL"):
            continue
        assert re.fullmatch(r"\*SOLID SECTION, ELSET=E(\d+), MATERIAL=M\1", section)
        assert material.endswith(f"=M{section.rpartition('=M')[2]}")
        voxels = group["E" + section.rpartition("=M")[2]]
        (law,) = set(solid.material.reshape(-1)[voxels])
        (modulus,) = set(solid.modulus_mpa.reshape(-1)[voxels])
        assert stiffness(elastic, rows) == pytest.approx(float(modulus) * in_xyz(solid.materials[law - 1]), rel=1e-9)
        seen += len(voxels)
    assert seen == solid.filled.sum()


def stiffness(keyword: str, rows: list[list[str]]) -> np.ndarray:
    """The 6x6 matrix (xx yy zz xy xz yz) that the lines under ``*ELASTIC`` mean."""
    values = [float(value) for row in rows for value in row]
    if "ENGINEERING" not in keyword:
        young, nu = values
        values = [young, young, young, nu, nu, nu, *(young / 2 / (1 + nu),) * 3]
    e1, e2, e3, nu12, nu13, nu23, *shear = values
    compliance = np.diag([1 / e1, 1 / e2, 1 / e3, *(1 / g for g in shear)])
    for (a, b), coupling in {(0, 1): -nu12 / e1, (0, 2): -nu13 / e1, (1, 2): -nu23 / e2}.items():
        compliance[a, b] = compliance[b, a] = coupling
    return np.linalg.inv(compliance)


def in_xyz(law: Material) -> np.ndarray:
    """Our matrix (kk jj ii ji ki kj) in CalculiX's order, ii jj kk ij ik jk."""
    order = [2, 1, 0, 3, 4, 5]
    return law.stiffness[np.ix_(order, order)]


def test_supports_and_forces_are_those_of_the_boundary(deck: Path) -> None:
    boundary, size = squeeze(body()), int(np.prod(body().nodes))
    rows = named(deck, "*BOUNDARY")
    dof = [(3 - int(axis)) * size + int(node) - 1 for node, axis, _, _ in rows]
    assert dof == boundary.displaced.tolist()
    assert [float(row[3]) for row in rows] == pytest.approx(boundary.displacement_mm, rel=1e-11)
    loads = named(deck, "*CLOAD")
    assert [(3 - int(axis)) * size + int(node) - 1 for node, axis, _ in loads] == boundary.loaded.tolist()
    assert [float(row[2]) for row in loads] == pytest.approx(boundary.force_n, rel=1e-11)


def test_two_forces_at_one_place_are_added_and_supports_of_nothing_left_out(tmp_path: Path) -> None:
    solid = Solid(np.ones((2, 2, 3)), np.array([[[1, 1, 0]] * 2] * 2, np.uint8))
    k, _, i = np.indices(solid.nodes)
    corner = (k == 2) & (i == 0)
    twice = Boundary.load(corner, 0, -1.0) + Boundary.load(corner, 0, -0.5)
    path = write_calculix(solid, Boundary.displace(k == 0, 0, 0.0) + twice, tmp_path / "a.inp")
    assert [row[2] for row in named(path, "*CLOAD")] == ["-1.5"] * 3
    assert len(named(path, "*BOUNDARY")) == 9


def test_fields_are_no_wider_than_calculix_reads(deck: Path) -> None:
    assert max(len(value) for _, rows in blocks(deck) for row in rows for value in row) <= 20


@pytest.mark.parametrize("equations", Equations)
def test_the_solver_is_named(equations: Equations, tmp_path: Path) -> None:
    path = write_calculix(body(), squeeze(body()), tmp_path / "a.inp", equations)
    assert f"*STATIC, SOLVER={equations.value}\n" in path.read_text(encoding="ascii")


def test_a_force_on_nothing_is_refused_with_its_place(tmp_path: Path) -> None:
    solid = Solid(np.ones((2, 2, 2)), np.array([[[1, 0], [0, 0]]] * 2, np.uint8))
    where = np.zeros(solid.nodes, bool)
    where[2, 2, 1] = True
    with pytest.raises(ValueError, match=r"force at node \[k, j, i\] = \[2, 2, 1\] pushes on nothing"):
        write_calculix(solid, Boundary.load(where, 1, 1.0), tmp_path / "a.inp")
    assert list(tmp_path.iterdir()) == []


def test_a_boundary_of_another_box_is_refused(tmp_path: Path) -> None:
    other = replace(body(), modulus_mpa=body().modulus_mpa[:5], material=body().material[:5])
    with pytest.raises(ValueError, match=r"\(6, 12, 11\) nodes, the solid's has \(13, 12, 11\)"):
        write_calculix(body(), squeeze(other), tmp_path / "a.inp")


def test_what_cannot_be_written_is_refused_and_a_failure_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        write_calculix(body(), squeeze(body()), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_calculix(body(), squeeze(body()), tmp_path / "file" / "a.inp")
    path = tmp_path / "a.inp"
    path.write_text("old", encoding="ascii")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trocar.io.calculix._write_elements", full)
    with pytest.raises(OutputError, match="No space left"):
        write_calculix(body(), squeeze(body()), path)
    assert path.read_text(encoding="ascii") == "old"
    assert {p.name for p in tmp_path.iterdir()} == {"a.inp", "file"}
