"""Gas in a vertebral body: the sign of a cleft, into which cement runs first.

CT shows a cleft by its gas (the intravertebral vacuum phenomenon). One filled with fluid looks like soft marrow or a
lytic lesion and is not told here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as components

#: Gas in a voxel, HU: fat is not below -120, and half a voxel of gas in marrow of 100 HU is at -450.
GAS_HU = -200.0
#: Less gas than this is not called a cleft, ml. Ours: a bubble 3.6 mm across.
CLEFT_ML = 0.025


def gas_cleft(
    hu: NDArray[np.float32], body: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """The pieces of gas in a body that are large enough for a cleft; ``hu`` and ``body`` are one box ``[k, j, i]``."""
    region, count = components(body & (hu < GAS_HU), np.ones((3, 3, 3), bool))
    sizes_ml = np.bincount(region.ravel(), minlength=count + 1) * float(np.prod(spacing_mm)) / 1000.0
    large = np.flatnonzero(sizes_ml >= CLEFT_ML)
    return np.isin(region, large[large > 0])
