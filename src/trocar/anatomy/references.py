"""Where a scan shows air, fat, muscle and blood, and what CT numbers they have there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from trocar.anatomy.attenuation import Reference
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.skin import scanned_region, slid
from trocar.anatomy.vertebra import Vertebra
from trocar.geometry import POSTERIOR
from trocar.measure import Finding, Severity
from trocar.volume import Volume

#: Blood above this holds contrast medium, HU: without it an aorta is 35 to 60.
CONTRAST_HU = 80.0
#: A region counts from this size: ml, and voxels.
LEAST_ML, LEAST_VOXELS = 0.5, 50
#: CT numbers are averaged over this length before a window is laid on them, mm: noise must not choose.
SMOOTHED_MM = 4.0
#: Windows of the averaged CT numbers, HU.
AIR_HU, FAT_HU, MUSCLE_HU = (-1100.0, -900.0), (-150.0, -50.0), (20.0, 90.0)
#: The lowest CT number of a scan, where it lies below this, is padding or the end of the scanner's scale, HU.
PADDING_HU = -1010.0
#: A region keeps this far from its border, mm.
AIR_INSIDE_MM, INSIDE_MM = 6.0, 3.0
#: Muscles that labels name.
MUSCLES = ("autochthon", "iliopsoas", "gluteus_maximus", "gluteus_medius", "gluteus_minimus")
#: Without such labels muscle is sought this far behind the vertebral bodies' centres and to either side, mm.
BEHIND_MM, BESIDE_MM = 25.0, 45.0


def reference_hu(anatomy: Anatomy) -> tuple[dict[Reference, float], tuple[Finding, ...]]:
    """Median CT numbers of the references that the scan holds enough of, and what is to be said about its blood.

    Blood that holds contrast medium is left out, with a caution; a note tells where that could not be seen.
    """
    ct = anatomy.ct
    smooth = _smoothed(ct)
    regions = {
        Reference.AIR: _air(anatomy, smooth),
        Reference.FAT: _inside(anatomy.skin.array & _between(smooth, FAT_HU), ct),
        Reference.MUSCLE: _inside(_muscle(anatomy) & _between(smooth, MUSCLE_HU), ct),
        Reference.BLOOD: _inside(_labelled(anatomy, ("aorta",)), ct),
    }
    found = {r: float(np.median(ct.array[m])) for r, m in regions.items() if _enough(m, ct)}
    return _without_contrast(found)


def _without_contrast(found: dict[Reference, float]) -> tuple[dict[Reference, float], tuple[Finding, ...]]:
    """The references without blood that holds contrast medium, and what is to be said about it."""
    blood = found.get(Reference.BLOOD)
    if blood is None:
        text = "whether the blood holds contrast medium is not known: no aorta is labelled."
        return found, (Finding(Severity.NOTE, text, "contrast in the marrow reads as mineral"),)
    if blood <= CONTRAST_HU:
        return found, ()
    text = f"the blood holds contrast medium (aorta {blood:.0f} HU): density, stiffness and strength come out high."
    why = "contrast in the marrow reads as mineral; blood was left out of the calibration"
    rest: dict[Reference, float] = {r: v for r, v in found.items() if r is not Reference.BLOOD}
    return rest, (Finding(Severity.CAUTION, text, why),)


def _smoothed(ct: Volume) -> NDArray[np.float32]:
    """CT numbers averaged over about ``SMOOTHED_MM`` along every axis, over an odd count of voxels."""
    size = [2 * round((SMOOTHED_MM / s - 1.0) / 2.0) + 1 if s < SMOOTHED_MM else 1 for s in ct.spacing_mm]
    return np.asarray(uniform_filter(ct.array.astype(np.float32), size=size))


def _between(hu: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.bool_]:
    return (hu > window[0]) & (hu < window[1])


def _inside(region: NDArray[np.bool_], ct: Volume, mm: float = INSIDE_MM) -> NDArray[np.bool_]:
    """What of a region keeps ``mm`` from its border, and at least one voxel."""
    reach = [max(1, round(mm / s)) for s in ct.spacing_mm]
    out = np.pad(region, [(n, n) for n in reach])  # beyond the scan nothing is known
    for axis, n in enumerate(reach):
        out = slid(out, axis, 2 * n + 1, np.logical_and)
    return out


def _air(anatomy: Anatomy, smooth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Room air: scanned, away from the body and whatever lies on or under it, and not the scanner's padding."""
    ct = anatomy.ct
    open_air = ~anatomy.skin.array & scanned_region(ct) & _between(smooth, AIR_HU) & _between(ct.array, AIR_HU)
    return _inside(open_air, ct, AIR_INSIDE_MM) & (ct.array > min(float(ct.array.min()), PADDING_HU))


def _labelled(anatomy: Anatomy, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """The union of the structures whose name begins with one of ``names``, on the CT's grid."""
    out = np.zeros(anatomy.ct.shape, bool)
    for name, mask in anatomy.structures.items():
        if name.startswith(names):
            out |= mask.onto(anatomy.ct).array.astype(bool)
    return out


def _muscle(anatomy: Anatomy) -> NDArray[np.bool_]:
    """The labelled muscles; without any, what lies behind and beside the vertebral bodies and is no bone."""
    labelled = _labelled(anatomy, MUSCLES)
    if labelled.any():
        return labelled
    out = np.zeros(anatomy.ct.shape, bool)
    for vertebra in anatomy.vertebrae.values():
        out[_behind(vertebra, anatomy.ct)] = True
    return out & anatomy.skin.array


def _behind(vertebra: Vertebra, ct: Volume) -> tuple[slice, slice, slice]:
    """The back behind a vertebra, as high as its mask: where the erector muscles lie, on the CT's grid."""
    _, row, column = ct.index_kji(vertebra.frame.origin_mm + BEHIND_MM * POSTERIOR)
    bottom = ct.index_kji(vertebra.mask.world_mm((0, 0, 0)))[0]
    beside = BESIDE_MM / ct.spacing_mm[2]
    starts = np.ceil([bottom - 0.5, row, column - beside])
    stops = np.floor([bottom - 0.5 + vertebra.mask.shape[0], ct.shape[1], column + beside + 1.0])
    k, j, i = (slice(max(0, int(a)), max(0, int(b))) for a, b in zip(starts, stops, strict=True))
    return (k, j, i)


def _enough(region: NDArray[np.bool_], ct: Volume) -> bool:
    count = int(region.sum())
    return count >= LEAST_VOXELS and count * ct.voxel_ml >= LEAST_ML
