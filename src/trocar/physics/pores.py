"""What a fluid feels in the pores of a medium that it seeps through."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.measure import Range

#: Indices of shear thinning: from nearly none of it left to none at all.
SHEAR_INDEX_RANGE = Range(0.1, 1.0)
#: Shear over the flow's own scale in straight tubes of a medium's permeability and porosity: ``4 / sqrt(8)``. Averaging
#: viscosity over capillaries foretold cement in foam best (Trivedi et al., Biomech Model Mechanobiol 22:1253, 2023),
#: and a tube of trabecular bone's permeability is about as wide as its pores are.
TUBE_SHEAR = 2.0**0.5
#: The same in sandstone, where pores wind and narrow (Cannella, Huh & Seright, SPE 18089, 1988).
ROCK_SHEAR = 6.0


def shear_rate_per_s(
    speed_mm_s: ArrayLike,
    permeability_mm2: ArrayLike,
    porosity: ArrayLike,
    n: float,
    shape: float = TUBE_SHEAR,
) -> NDArray[np.float64]:
    """Shear rate a fluid of index ``n`` feels when it seeps at ``speed_mm_s`` (flow over the whole area), arrays.

    ``shape ((3n + 1) / 4n)^(n / (n - 1)) speed / sqrt(permeability porosity)``, by its limit where n is 1: with the
    viscosity at this rate Darcy's law holds in a bundle of tubes. Cannella, Huh & Seright, SPE 18089 (1988).
    """
    SHEAR_INDEX_RANGE.check("n", n)
    excess = (1.0 - n) / (4.0 * n)
    profile = np.exp(-0.25 * (np.log1p(excess) / excess if excess > 0.0 else 1.0))
    scale = np.sqrt(np.asarray(permeability_mm2, dtype=float) * np.asarray(porosity, dtype=float))
    return shape * profile * np.abs(np.asarray(speed_mm_s, dtype=float)) / scale
