"""Where the cement lies when an injection has ended, and how old it is there: what heats the vertebra from then on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from trocar.injection.heat_site import HeatSite, Region
from trocar.injection.ways_out import Route, WayOut
from trocar.physics.porous import Injection

#: Where leaked cement lies beside nerves. What leaks elsewhere warms none and is left out.
BESIDE_NERVES = {Route.EPIDURAL: Region.CANAL, Route.FORAMINAL: Region.ROOTS}


def cement_after(
    site: HeatSite, injection: Injection, ways: Iterable[WayOut]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of each voxel that is cement, and its age in its own seconds, ``[k, j, i]`` on the site's grid.

    What left by an epidural or foraminal way lies as a lump at its exits, which is the worst it can do: a film over the
    dura would be cooler. It is as old as the rest on average, and at most as much as the region holds.
    """
    voxel_mm3 = float(np.prod(injection.medium.spacing_mm))
    share = site.of_model(np.minimum(injection.content_mm3 / voxel_mm3, 1.0).astype(np.float64))
    age = site.of_model(np.where(injection.content_mm3 > 0.0, injection.age_s, 0.0).astype(np.float64))
    within = share > 0.0
    middle_s = float(np.average(age[within], weights=share[within])) if within.any() else 0.0
    leaked = _leaked_mm3(injection)
    for way in (w for w in ways if leaked.get(w.name, 0.0) > 0.0 and w.route in BESIDE_NERVES):
        region = site.regions.get(BESIDE_NERVES[way.route])
        if region is not None:
            volume = min(leaked[way.name], site.room_mm3(share, region))
            share = site.deposited(share, site.of_model(way.exits), volume, region)
    return share, np.where(within, age, middle_s * (share > 0.0))


def _leaked_mm3(injection: Injection) -> dict[str, float]:
    """What left by each outlet in the end, by its name."""
    if not len(injection.leaked_mm3):
        return {}
    ends = zip(injection.medium.outlets, injection.leaked_mm3[-1], strict=True)
    return {outlet.name: float(volume) for outlet, volume in ends}
