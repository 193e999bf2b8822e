"""How alike two images are in their edges: correlation of band-passed, saturated gradients.

Gradients are taken at one scale less those at a three times broader one: what soft tissue adds to an image is broad,
and goes. They are saturated, ``g / sqrt(g^2 + k^2)``, so that a few strong edges (a needle's rest, the diaphragm) do
not outvote many weak ones. The sum of products over both directions, normalised, is gradient correlation (Penney et
al., IEEE Trans Med Imaging 17:586, 1998) with the saturation of normalised gradient fields (Haber & Modersitzki,
MICCAI 2006).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

from trocar.guidance.edge_kernels import band_passed

#: The scale of the gradients and the broader one that is taken off, standard deviations in pixels.
SCALE_PX, BROAD_PX = 1.0, 3.0
#: The gradient that counts half is this share of the median gradient.
SATURATION = 0.5
#: Beyond this many pixels nothing reaches a gradient.
REACH_PX = 9

Image = NDArray[np.float32]


def gradients(images: Image) -> Image:
    """Band-passed gradients ``[..., 2, row, column]`` of images ``[..., row, column]``: down, then right."""
    stack = np.ascontiguousarray(images.reshape(-1, *images.shape[-2:]), dtype=np.float32)
    out = np.zeros((len(stack), 2, *stack.shape[1:]), np.float32)
    smooth, slope = _weights(SCALE_PX)
    broad_smooth, broad_slope = _weights(BROAD_PX)
    share = np.float32(SCALE_PX / BROAD_PX)
    band_passed(stack, smooth, slope, broad_smooth, -share * broad_slope, out)
    return out.reshape(*images.shape[:-2], 2, *images.shape[-2:])


@lru_cache(maxsize=8)
def _weights(scale_px: float) -> tuple[Image, Image]:
    """A Gaussian's weights, and those of its slope times the scale, three standard deviations to either side."""
    d = np.arange(-np.ceil(3.0 * scale_px), np.ceil(3.0 * scale_px) + 1.0)
    smooth = np.exp(-0.5 * (d / scale_px) ** 2)
    smooth /= smooth.sum()
    return smooth.astype(np.float32), (d / scale_px * smooth).astype(np.float32)


def saturated(gradient: Image, half: float) -> Image:
    """Gradients ``[..., 2, row, column]`` whose length never exceeds one: half weight at about ``half``."""
    return gradient / np.sqrt(np.sum(gradient * gradient, axis=-3, keepdims=True) + np.float32(half * half + 1e-20))


def typical(gradient: Image, where: NDArray[np.bool_]) -> float:
    """The gradient that counts half: a share of the median length where it is asked for."""
    length = np.sqrt(np.sum(gradient * gradient, axis=-3))[where]
    return SATURATION * float(np.median(length)) if length.size else 1.0


def correlation(seen: Image, drawn: Image, weight: Image) -> float:
    """Similarity, -1 to 1, of two fields ``[2, row, column]`` under a weight ``[row, column]``."""
    energy = float(np.sum(weight * seen * seen)) * float(np.sum(weight * drawn * drawn))
    return float(np.sum(weight * seen * drawn)) / np.sqrt(energy) if energy > 0.0 else 0.0


class SeenSpectra:
    """The transforms of a seen field, from which its similarity to a template at every place follows at once."""

    def __init__(self, seen: Image, usable: Image, template: tuple[int, int]) -> None:
        self.shape = (
            next_fast_len(seen.shape[1] + template[0], True),
            next_fast_len(seen.shape[2] + template[1], True),
        )
        parts = (seen[0], seen[1], np.sum(seen * seen, axis=0), usable)
        self._parts = [rfft2(part, self.shape) for part in parts]

    def similarity_map(self, drawn: Image, weight: Image, least_usable: float) -> tuple[Image, Image]:
        """Similarity and usable share with the template's corner at each pixel; indices wrap around.

        0 where less than ``least_usable`` of the template's weight falls on usable pixels.
        """
        field = drawn * weight
        parts = (field[0], field[1], weight, np.sum(field * drawn, axis=0))
        t = [np.conj(rfft2(part, self.shape)) for part in parts]
        s = self._parts
        product = irfft2(s[0] * t[0] + s[1] * t[1], self.shape)
        seen_energy, own_energy = irfft2(s[2] * t[2], self.shape), irfft2(s[3] * t[3], self.shape)
        share = irfft2(s[3] * t[2], self.shape) / max(float(weight.sum()), 1e-9)
        size = np.sqrt(np.maximum(seen_energy * own_energy, 1e-9))
        return np.where(share >= least_usable, product / size, 0.0).astype(np.float32), share
