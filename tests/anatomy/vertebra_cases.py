"""Scans turned and mirrored, and phantoms read, for the tests of what is understood of a vertebra."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.labels import Labels, split
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy, build_anatomy
from trocar.anatomy.phantom import Phantom, PhantomSpec, phantom
from trocar.anatomy.schemes import scheme
from trocar.io.ct import read_ct
from trocar.io.labels import read_labels
from trocar.volume import Volume

RUNS = (
    ("T1", "T2", "T3"),
    ("T4", "T5", "T6"),
    ("T7", "T8", "T9"),
    ("T10", "T11", "T12"),
    ("L1", "L2", "L3"),
    ("L4", "L5"),
)


def levels(*names: str) -> tuple[Level, ...]:
    return tuple(Level(n) for n in names)


def spec(*names: str, voxel_mm: tuple[float, float, float] = (2.5, 1.0, 1.0), **more: object) -> PhantomSpec:
    """Some neighbouring levels, the focus in their middle."""
    run = levels(*names)
    return PhantomSpec(levels=run, focus=run[len(run) // 2], voxel_mm=voxel_mm, **more)  # type: ignore[arg-type]


@cache
def read_phantom(what: PhantomSpec) -> tuple[Phantom, Anatomy]:
    """The phantom and what is understood of it."""
    drawn = phantom(what)
    return drawn, build_anatomy(drawn.ct, split(drawn.labels, scheme("totalseg-v2")))


#: The real scans: image, labels, scheme.
SCANS = {
    "chest": ("lidc0001/lidc0001_lower_dicom.zip", "lidc0001/lidc0001_lower_totalseg_mask.nii.gz", "totalseg-v2"),
    "abdomen": ("ts_example/example_ct.nii.gz", "ts_example/example_seg_full_v1labels.nii.gz", "totalseg-v1"),
    "abdomen, v2": ("ts_example/example_ct.nii.gz", "ts_example/totalseg_vertebrae_v2labels.nii.gz", "totalseg-v2"),
    "twenty slices": ("ts_dicom_20", "ts_dicom_20_seg_v2.nii.gz", "totalseg-v2"),
}


@cache
def read_scan(folder: Path, name: str) -> tuple[Labels, Anatomy]:
    """The labels of a real scan and what is understood of it."""
    image, mask, meaning = SCANS[name]
    ct = read_ct(folder / image)
    labels = read_labels(folder / mask, ct, meaning)
    return labels, build_anatomy(ct, labels)


def swapped(name: str) -> str:
    """The name of the other side."""
    return name.replace("left", "#").replace("right", "left").replace("#", "right")


def mirrored_volume(v: Volume) -> Volume:
    """The mirror image, in canonical order."""
    affine = v.affine.copy()
    affine[:3, 3] = v.affine[:3, 3] + v.affine[:3, 0] * (v.shape[2] - 1)
    affine[:3, 0] *= -1.0
    affine[0] *= -1.0
    return replace(v, array=np.ascontiguousarray(v.array[:, :, ::-1]), affine=affine)


def mirrored(ct: Volume, labels: Labels) -> tuple[Volume, Labels]:
    """The mirror image of a patient: what was left is right."""
    return mirrored_volume(ct), replace(
        labels,
        vertebrae={k: mirrored_volume(v) for k, v in labels.vertebrae.items()},
        structures={swapped(k): mirrored_volume(v) for k, v in labels.structures.items()},
    )


def turned_volume(v: Volume, rotation: NDArray[np.float64], shift_mm: NDArray[np.float64]) -> Volume:
    affine = v.affine.copy()
    affine[:3, :3] = rotation @ affine[:3, :3]
    affine[:3, 3] = rotation @ affine[:3, 3] + shift_mm
    return replace(v, affine=affine)


def turned(
    ct: Volume, labels: Labels, rotation: NDArray[np.float64], shift_mm: NDArray[np.float64]
) -> tuple[Volume, Labels]:
    """The patient lying otherwise in the scanner, with the voxels that go with it."""
    return turned_volume(ct, rotation, shift_mm), replace(
        labels,
        vertebrae={k: turned_volume(v, rotation, shift_mm) for k, v in labels.vertebrae.items()},
        structures={k: turned_volume(v, rotation, shift_mm) for k, v in labels.structures.items()},
    )
