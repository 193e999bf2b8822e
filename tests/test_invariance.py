"""The same patient, mirrored, stored otherwise, cropped or resampled, gets the same path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import trocar
from trocar.anatomy.labels import Labels
from trocar.anatomy.patient import Anatomy, build_anatomy
from trocar.io.labels import read_labels
from trocar.procedures.vertebroplasty import Vertebroplasty
from trocar.treatment import Plan
from trocar.volume import Volume

MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])

#: Points of two plans of one patient differ by no more than rounding.
ROUNDING_MM = 1e-3


def mirror(volume: Volume) -> Volume:
    affine = MIRROR @ volume.affine
    affine[:3, 3] += affine[:3, 0] * (volume.shape[2] - 1)
    affine[:3, 0] *= -1.0
    return replace(volume, array=volume.array[:, :, ::-1].copy(), affine=affine)


def swap(name: str) -> str:
    return name.replace("left", "\0").replace("right", "left").replace("\0", "right")


def mirror_labels(labels: Labels) -> Labels:
    return replace(
        labels,
        vertebrae={level: mirror(mask) for level, mask in labels.vertebrae.items()},
        structures={swap(name): mirror(mask) for name, mask in labels.structures.items()},
    )


def read(ct: Path, labels: Path, scheme: str) -> tuple[Volume, Labels]:
    volume = trocar.read_ct(ct)
    return volume, read_labels(labels, volume, scheme)


SCANS = {
    "lidc0001": ("lidc0001/lidc0001_lower_dicom.zip", "lidc0001/lidc0001_lower_totalseg_mask.nii.gz", "totalseg-v2"),
    "ts_example": ("ts_example/example_ct.nii.gz", "ts_example/example_seg_full_v1labels.nii.gz", "totalseg-v1"),
}


def same(a: Plan, b: Plan, mirrored: bool = False) -> None:
    sign = np.array([-1.0, 1.0, 1.0]) if mirrored else np.ones(3)
    assert len(a.options) == len(b.options)
    for x, y in zip(a.options, b.options, strict=True):
        names = [swap(t.side.value) if mirrored else t.side.value for t in x.trajectories]
        assert sorted(names) == sorted(t.side.value for t in y.trajectories)
        for t in x.trajectories:
            side = swap(t.side.value) if mirrored else t.side.value
            u = next(u for u in y.trajectories if u.side.value == side)
            for name in ("skin_mm", "entry_mm", "target_mm"):
                np.testing.assert_allclose(getattr(u, name), sign * getattr(t, name), atol=ROUNDING_MM)
            assert t.breach_probability is not None
            assert u.breach_probability is not None
            assert u.breach_probability.value == pytest.approx(t.breach_probability.value, abs=2e-3)
            theirs = {swap(k) if mirrored else k: v for k, v in u.clearance_mm.items()}
            assert theirs == pytest.approx(t.clearance_mm, abs=ROUNDING_MM)


@pytest.mark.parametrize(
    ("scan", "level"), [("lidc0001", "L1"), ("lidc0001", "T10"), ("ts_example", "L2"), ("ts_example", "L5")]
)
def test_a_mirrored_patient_gets_the_mirrored_plan(shared_data: Path, scan: str, level: str) -> None:
    ct_file, mask_file, scheme = SCANS[scan]
    ct, labels = read(shared_data / ct_file, shared_data / mask_file, scheme)
    plan = trocar.plan(build_anatomy(ct, labels), Vertebroplasty(level=level))
    there = trocar.plan(build_anatomy(mirror(ct), mirror_labels(labels)), Vertebroplasty(level=level))
    same(plan, there, mirrored=True)


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR", "LPI"])
def test_the_way_the_voxels_are_stored_does_not_matter(shared_data: Path, tmp_path: Path, orientation: str) -> None:
    ct_file, mask_file, scheme = SCANS["ts_example"]
    for name, source in (("ct", ct_file), ("mask", mask_file)):
        image = sitk.DICOMOrient(sitk.ReadImage(str(shared_data / source)), orientation)
        sitk.WriteImage(image, str(tmp_path / f"{name}.nii.gz"))
    before = planned(shared_data / ct_file, shared_data / mask_file, scheme)
    after = planned(tmp_path / "ct.nii.gz", tmp_path / "mask.nii.gz", scheme)
    same(before, after)


def planned(ct: Path, mask: Path, scheme: str) -> Plan:
    return trocar.plan(build_anatomy(*read(ct, mask, scheme)), Vertebroplasty(level="L3"))


def worst_slack(anatomy: Anatomy, level: str) -> tuple[float, float]:
    """Smallest spare clearance of the best option, and the voxel uncertainty that goes with it."""
    best = trocar.plan(anatomy, Vertebroplasty(level=level)).best
    spare = [(c.value_mm - c.margin_mm, c.uncertainty_mm) for t in best.trajectories for c in t.clearances]
    return min(spare)


def within(mask: Volume, small: Volume) -> Volume | None:
    """The part of a mask that lies in a smaller scan, cropped to itself."""
    points = mask.points_mm()
    index = small.index_kji(points)
    inside = np.all((index > -0.5) & (index < np.array(small.shape) - 0.5), axis=1)
    return mask.onto(small.crop_around(points[inside], 0.0)) if inside.any() else None


def test_a_cropped_scan_gets_an_equally_good_path(shared_data: Path) -> None:
    ct, labels = read(*(shared_data / f for f in SCANS["lidc0001"][:2]), SCANS["lidc0001"][2])
    small = ct.crop((4, 60, 80), (62, 470, 430))
    cropped = replace(
        labels,
        vertebrae={v: part for v, mask in labels.vertebrae.items() if (part := within(mask, small))},
        structures={name: part for name, mask in labels.structures.items() if (part := within(mask, small))},
    )
    slack, uncertainty = worst_slack(build_anatomy(ct, labels), "T12")
    again, _ = worst_slack(build_anatomy(small, cropped), "T12")
    assert again == pytest.approx(slack, abs=uncertainty)


@pytest.mark.parametrize("level", ["T10", "L1"])
def test_a_resampled_scan_gets_an_equally_good_path(shared_data: Path, level: str) -> None:
    ct, labels = read(*(shared_data / f for f in SCANS["lidc0001"][:2]), SCANS["lidc0001"][2])
    affine = np.diag([0.9, 0.9, 2.0, 1.0])
    affine[:3, 3] = ct.affine[:3, 3]
    shape = np.ceil(np.array(ct.shape) * ct.spacing_mm / (2.0, 0.9, 0.9)).astype(int)
    grid = Volume(np.zeros(tuple(shape), dtype=bool), affine, ct.frame_of_reference)
    there = replace(
        labels,
        vertebrae={v: mask.onto(grid.crop_around(mask.points_mm(), 3.0)) for v, mask in labels.vertebrae.items()},
        structures={n: mask.onto(grid.crop_around(mask.points_mm(), 3.0)) for n, mask in labels.structures.items()},
    )
    slack, uncertainty = worst_slack(build_anatomy(ct, labels), level)
    again, other = worst_slack(build_anatomy(ct.onto(grid, outside=-1024.0), there), level)
    assert again == pytest.approx(slack, abs=uncertainty + other)
