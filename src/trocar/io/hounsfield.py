"""What the values of a CT can be: numbers, air and up, with fat and bone in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.errors import ImageError
from trocar.measure import Finding, Severity

#: Air, HU. Scanners pad what lies outside their round field with -2000, -2048 or -3024; nothing
#: measured is less dense than air, which 12-bit scanners store as -1024.
AIR_HU = -1024.0

#: Every CT of a trunk has fat (-150 to -50 HU, lower with noise) or air below this; MR, PET, label
#: maps and CT stored with an offset start at 0.
FAT_HU = -100.0

#: And bone above this: the trabecular bone of the old begins near 50 HU, cortex at 300 HU.
BONE_HU = 150.0

#: A CT cut off below this level has lost its cortical bone (300 to 2000 HU).
CORTEX_HU = 1000.0

#: A share of voxels at the very highest value that only clipping explains.
CLIPPED_SHARE = 1e-4


def hounsfield(array: NDArray[Any], name: str) -> tuple[NDArray[np.float32], tuple[Finding, ...]]:
    """``array`` as float32 HU with all below air made air, and what to tell.

    Raises :class:`ImageError`, calling the scan ``name``, for values that are not numbers or cannot
    be Hounsfield units. Writes in place where ``array`` is float32 and writeable.
    """
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused
        values = array.astype(np.float32, copy=False)
    lowest, highest = float(values.min()), float(values.max())
    if not np.isfinite([lowest, highest]).all():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        raise ImageError(f"{name} has {bad} voxels that are not numbers: export or convert it again.")
    if lowest > FAT_HU or highest < BONE_HU:
        _refuse(name, lowest, highest)
    told = (*_below_air(values, lowest), *_clipped(values, highest))
    if lowest < AIR_HU:
        values = np.maximum(values, np.float32(AIR_HU), out=values if values.flags.writeable else None)
    return values, told


def _refuse(name: str, lowest: float, highest: float) -> None:
    lacks = "no air or fat" if lowest > FAT_HU else "no bone"
    raise ImageError(
        f"{name} is not in Hounsfield units: its values run from {lowest:g} to {highest:g}, with {lacks}. "
        "Give the CT as scanned, not an MR, a mask or a rescaled image."
    )


def _below_air(values: NDArray[np.float32], lowest: float) -> tuple[Finding, ...]:
    if lowest >= AIR_HU:
        return ()
    share = 100.0 * np.count_nonzero(values < AIR_HU) / values.size
    text = f"{share:.2g} % of the voxels were below air (down to {lowest:.0f} HU), as padding is; they are read as air."
    return (Finding(Severity.NOTE, text, f"air is {AIR_HU:.0f} HU"),)


def _clipped(values: NDArray[np.float32], highest: float) -> tuple[Finding, ...]:
    """A caution where the brightest values were cut off below cortical bone."""
    if highest >= CORTEX_HU or np.count_nonzero(values == highest) < CLIPPED_SHARE * values.size:
        return ()
    text = f"Values seem cut off at {highest:.0f} HU: bone density and cortical thickness cannot be trusted."
    return (Finding(Severity.CAUTION, text, "many voxels share the highest value"),)
