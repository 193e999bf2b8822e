"""The spinal canal and the root foramina: never smaller than the real ones, never bone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, distance_transform_edt, label

from trocar.anatomy.labels import split
from trocar.anatomy.patient import Anatomy, build_anatomy
from trocar.anatomy.schemes import scheme
from trocar.geometry import Side
from trocar.volume import Volume

from .vertebra_cases import RUNS, read_phantom, read_scan, spec

#: Holes of an axial ring smaller than this are no canal, mm2; larger than this a disc inside its rim.
RING_MM2 = (60.0, 700.0)


@pytest.fixture(scope="module", params=["chest", "abdomen"])
def scan(request: pytest.FixtureRequest, shared_data: Path) -> Anatomy:
    return read_scan(shared_data, request.param)[1]


def on_ct(anatomy: Anatomy, mask: Volume) -> NDArray[np.bool_]:
    whole = replace(anatomy.ct, array=np.zeros(anatomy.ct.shape, dtype=bool), unit="mask")
    return np.asarray(mask.onto(whole).array)


def rings(anatomy: Anatomy) -> list[tuple[int, NDArray[np.bool_]]]:
    """The soft-tissue holes inside the axial rings of each vertebra: slice and mask, found without the tube."""
    out = []
    area = anatomy.ct.spacing_mm[1] * anatomy.ct.spacing_mm[2]
    for vertebra in anatomy.vertebrae.values():
        if not vertebra.whole:
            continue
        bone = on_ct(anatomy, vertebra.mask)
        centre = anatomy.ct.index_kji(vertebra.landmarks["posterior_wall"])
        for k in np.unique(np.nonzero(bone)[0]):
            region, count = label(binary_fill_holes(bone[k]) & ~bone[k])
            for n in range(1, count + 1):
                hole = region == n
                behind = np.argwhere(hole)[:, 0].mean() > centre[1] - 2.0
                if RING_MM2[0] < hole.sum() * area < RING_MM2[1] and behind:
                    out.append((int(k), hole))
    return out


def test_rings_of_the_scan_lie_in_the_canal(scan: Anatomy) -> None:
    canal = on_ct(scan, scan.structures["spinal_canal"])
    found = rings(scan)
    assert len(found) >= 5
    for k, hole in found:
        assert not np.any(hole & ~canal[k])


def test_the_canal_is_no_bone_and_derived(scan: Anatomy) -> None:
    canal = on_ct(scan, scan.structures["spinal_canal"])
    cord = scan.structures.get("spinal_cord")
    free = canal if cord is None else canal & ~on_ct(scan, cord)
    for vertebra in scan.vertebrae.values():
        assert not np.any(free & on_ct(scan, vertebra.mask))
    assert "spinal_canal" in scan.derived


def test_the_canal_runs_through_without_a_gap(scan: Anatomy) -> None:
    """One piece, present in every slice from the first whole vertebra to the last."""
    canal = scan.structures["spinal_canal"]
    region, _ = label(canal.array, np.ones((3, 3, 3)))
    sizes = np.bincount(region.ravel())[1:]
    assert sizes.max() > 0.99 * sizes.sum()
    whole = [scan.vertebra(v) for v in scan.whole_levels]
    k = [round(float(canal.index_kji(v.landmarks["posterior_wall"])[0])) for v in whole]
    area = canal.array.sum(axis=(1, 2)) * canal.spacing_mm[1] * canal.spacing_mm[2]
    assert area[min(k) : max(k) + 1].min() > 100.0
    assert area[min(k) : max(k) + 1].max() < 900.0


def test_the_cord_lies_in_the_canal(shared_data: Path) -> None:
    anatomy = read_scan(shared_data, "chest")[1]
    cord = on_ct(anatomy, anatomy.structures["spinal_cord"])
    assert cord.sum() > 1000
    assert not np.any(cord & ~on_ct(anatomy, anatomy.structures["spinal_canal"]))


@pytest.mark.parametrize("run", [RUNS[0], RUNS[2], RUNS[4], RUNS[5]], ids=lambda r: f"{r[0]}-{r[-1]}")
def test_the_phantoms_canal_is_never_larger(run: tuple[str, ...]) -> None:
    """Between the first and the last body the drawn canal lies in the derived one, but for voxels on its edge."""
    drawn, anatomy = read_phantom(spec(*run))
    k = [drawn.ct.index_kji(drawn.truth.vertebrae[v].frame.origin_mm)[0] for v in drawn.spec.levels]
    span = slice(int(min(k)), int(max(k)) + 1)
    true, found = drawn.truth.canal.array[span], on_ct(anatomy, anatomy.structures["spinal_canal"])[span]
    missed = true & ~found
    assert missed.sum() < 0.002 * true.sum()
    away = distance_transform_edt(~found, sampling=drawn.ct.spacing_mm)
    assert away[missed].max(initial=0.0) <= 1.5
    beyond = distance_transform_edt(~true, sampling=drawn.ct.spacing_mm)[found & ~true]
    assert np.quantile(beyond, 0.95) < 6.0


def test_foramina_of_the_phantom() -> None:
    """One on each side below each pedicle, beside the canal, below its own pedicle and above the next."""
    drawn, anatomy = read_phantom(spec("L1", "L2", "L3"))
    canal = on_ct(anatomy, anatomy.structures["spinal_canal"])
    for upper, lower in (("L1", "L2"), ("L2", "L3")):
        top, bottom = anatomy.vertebra(upper), anatomy.vertebra(lower)
        for side in Side:
            name = f"foramen_{upper}_{side.value}"
            assert name in anatomy.derived
            points = anatomy.structures[name].points_mm()
            own = top.frame.to_local(points)
            over = top.frame.to_local(top.pedicles[side].axis.point_mm)
            under = bottom.frame.to_local(bottom.pedicles[side].axis.point_mm)
            assert np.all(side.sign * own[:, 0] > 0)
            assert own[:, 2].max() < over[2]
            assert bottom.frame.to_local(points)[:, 2].min() > under[2]
            mask = on_ct(anatomy, anatomy.structures[name])
            assert 0.3 < mask.sum() * drawn.ct.voxel_ml < 6.0
            assert not any(np.any(mask & on_ct(anatomy, v.mask)) for v in anatomy.vertebrae.values())
            near = distance_transform_edt(~canal, sampling=drawn.ct.spacing_mm)
            assert near[mask].min() <= 2.5


def test_the_nerve_root_leaves_through_the_foramen() -> None:
    """At the middle between two pedicles, just outside the canal's edge, lies the foramen."""
    _, anatomy = read_phantom(spec("L1", "L2", "L3"))
    upper, lower = anatomy.vertebra("L1"), anatomy.vertebra("L2")
    for side in Side:
        middle = 0.5 * (upper.pedicles[side].axis.point_mm + lower.pedicles[side].axis.point_mm)
        foramen = anatomy.structures[f"foramen_L1_{side.value}"]
        assert foramen.sample(middle, order=0) == 1.0


def test_a_labelled_canal_stays() -> None:
    drawn, _ = read_phantom(spec("L1", "L2", "L3"))
    given = Volume(drawn.truth.canal.array, drawn.ct.affine, drawn.ct.frame_of_reference, "mask")
    labels = split(drawn.labels, scheme("totalseg-v2"))
    anatomy = build_anatomy(drawn.ct, replace(labels, structures={**labels.structures, "spinal_canal": given}))
    assert "spinal_canal" not in anatomy.derived
    assert np.array_equal(anatomy.structures["spinal_canal"].array, given.array)
