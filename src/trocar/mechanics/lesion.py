"""Lesions in a model: where one is, and where one might be."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, label

from trocar.anatomy.lesion import CORE_DEPTH_MM, LESION_BLUR_MM, LESION_ML
from trocar.anatomy.vertebra import Part
from trocar.mechanics.filling import SHELL_MM, Mask, body_of, ellipsoid_mm, filled, inside
from trocar.mechanics.model import BoneModel, Tissue

#: A lytic region lies at least this far below the median of the core, g/cc: 60 HU at 0.75 mg/cc for 1 HU.
LYTIC_G_CC = -0.045


def lesion_at(model: BoneModel, place: tuple[float, float, float], percent: float, shell_mm: float = SHELL_MM) -> Mask:
    """A ball of a share of the body about ``place``, clipped inside it.

    ``place`` are shares of the body's extent upwards, from its front backwards, and from its right to its left.
    """
    if not all(0.0 <= p <= 1.0 for p in place):
        raise ValueError(f"place={place} must be three shares between 0 and 1 of the body's extent.")
    cells = np.argwhere(body_of(model))
    first, last = cells.min(axis=0), cells.max(axis=0) + 1
    centre = (first + np.asarray(place) * (last - first)) * np.asarray(model.solid.spacing_mm)
    size = ellipsoid_mm(model, centre, (1.0, 1.0, 1.0))
    return filled("lesion", model, size, percent=percent, shell_mm=shell_mm).region


def lytic_region(model: BoneModel) -> Mask:
    """The largest region of the body's core that is much less dense than the rest; empty where there is none.

    The same rule as for the lytic volume of :mod:`trocar.anatomy.lesion`, on density in place of CT numbers: deeper
    than 4 mm, smoothed over 1.5 mm, 0.045 g/cc below the core's median, at least 0.5 ml.
    """
    core = inside(model, CORE_DEPTH_MM) & model.tissue(Tissue.BONE)
    if not core.any():
        return np.zeros(model.solid.shape, bool)
    bone = (model.parts == Part.BODY) & model.tissue(Tissue.BONE)
    sigma = [LESION_BLUR_MM / s for s in model.solid.spacing_mm]
    weight = gaussian_filter(bone.astype(np.float64), sigma)
    smooth = gaussian_filter(np.where(bone, model.density_g_cc, 0.0).astype(np.float64), sigma)
    low = core & (smooth < (np.median(model.density_g_cc[core]) + LYTIC_G_CC) * np.maximum(weight, 1e-6))
    return _largest(low, 1000.0 * LESION_ML / model.solid.voxel_mm3)


def _largest(found: Mask, least_voxels: float) -> Mask:
    region, count = label(found)
    sizes = np.bincount(region.ravel(), minlength=count + 1)[1:]
    if count == 0 or sizes.max() < least_voxels:
        return np.zeros(found.shape, bool)
    return np.isin(region, np.flatnonzero(sizes == sizes.max()) + 1)
