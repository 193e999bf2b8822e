"""Which zone a region outside the outline lies in, as far as one view can tell."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trocar.guidance.leak_zones import GRAVEST, Zone, ZoneShadow
from trocar.guidance.motion import Window
from trocar.guidance.silhouette import EDGE_MM, Silhouette
from trocar.guidance.vision import opencv

#: Cement this close to the needle's strip over most of its region runs along the needle, mm; and the share.
ALONG_MM, ALONG_SHARE = 2.5, 0.6
#: A vessel: at least this long and this many times longer than wide, mm; at most this wide, mm. Ours.
VESSEL_LONG_MM, VESSEL_RATIO, VESSEL_WIDE_MM = 8.0, 3.0, 4.0
#: A zone is possible where it covers this share of the region, and probable where none fits better by this share.
COVERS, BETTER = 0.4, 0.8
#: Of a zone that is hidden by more than this share only what is left over can be meant.
MOSTLY_HIDDEN = 0.75


class Places:
    """The zones of an outline on the window's pixels."""

    def __init__(self, outline: Silhouette, window: Window, shaft: NDArray[np.bool_]) -> None:
        self.shadow: Mapping[Zone, ZoneShadow] = outline.shadow
        self.masks = {z: window.reduced(s.mask) > 0.5 for z, s in outline.shadow.items()}
        self.mm = window.mm_per_pixel
        cv2 = opencv()
        reach = 2 * int(np.ceil(ALONG_MM / self.mm)) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        self.along = cv2.dilate(shaft.astype(np.uint8), disc) > 0

    def of(self, region: NDArray[np.bool_]) -> tuple[Zone, tuple[Zone, ...]]:
        """The likeliest zone of a region, and the others that lie over it in this view, the gravest first."""
        covers = {z: float(m[region].mean()) for z, m in self.masks.items()}
        fit = {z: covers[z] * (1.0 - self.shadow[z].hidden) for z in covers}
        best = max(fit.values(), default=0.0)
        probable = [z for z in _ordered(fit) if best > 0.0 and fit[z] >= BETTER * best]
        possible = [z for z in _ordered(fit) if covers[z] >= COVERS and self.shadow[z].hidden < MOSTLY_HIDDEN]
        zone = probable[0] if probable else Zone.ELSEWHERE
        if float(self.along[region].mean()) >= ALONG_SHARE:
            zone = Zone.TRACT
        elif self._is_vessel(region):
            zone = Zone.VESSEL
            possible = [*probable[:1], *possible]
        return zone, tuple(dict.fromkeys(z for z in possible if z is not zone))

    def _is_vessel(self, region: NDArray[np.bool_]) -> bool:
        """Whether a region is long and thin."""
        places = np.argwhere(region) * self.mm
        if len(places) < 8:
            return False
        spread = np.sqrt(12.0 * np.maximum(np.linalg.eigvalsh(np.cov(places.T)), 1e-9))
        wide, long = float(len(places) * self.mm**2 / spread[1]), float(spread[1])
        return long + EDGE_MM >= VESSEL_LONG_MM and long >= VESSEL_RATIO * wide and wide <= VESSEL_WIDE_MM


def _ordered(zones: Mapping[Zone, float]) -> list[Zone]:
    return [z for z in (*GRAVEST, Zone.ELSEWHERE) if z in zones]
