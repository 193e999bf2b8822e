"""A needle in one or a few slices of CT-fluoroscopy: its axis, its tip, and whether the tip may lie outside them.

Steel saturates a CT: a voxel counts as far as its number lies between soft tissue and metal, so that a voxel half
filled counts half. The axis is the weighted principal axis of the largest such object, the tip the place where its
weight along the axis falls to half. Across the slices a place is known no better than the slices are thick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.geometry import Vector, unit
from trocar.guidance.frames import Slab
from trocar.guidance.tip import Tip
from trocar.planning.instrument import Needle
from trocar.planning.trajectory import Trajectory
from trocar.volume import Volume

#: From where on a voxel holds metal, and where it is full of it, HU: dense bone ends near 1800 (teeth and cortex up to
#: about 2000), and 12-bit scanners clip at 3071.
METAL_HU, FULL_HU = 1900.0, 3000.0
#: What surrounds a needle, HU: a voxel's share of metal counts from here once metal is found.
TISSUE_HU = 200.0
#: Voxels that metal reaches beyond the threshold; gaps of twice as many are bridged.
_BRIDGED = 2
#: An object shorter than this is no needle, mm, nor one whose length is less than so many times its breadth.
SHORTEST_MM, SLENDER = 8.0, 3.0
#: A standard deviation of an even distribution of width one.
_EVEN_SD = 1.0 / math.sqrt(12.0)
#: Weights along the axis are summed in steps of, mm.
_STEP_MM = 0.25
#: A tip within this many slices of the slab's first or last face may lie beyond it.
_FACE_SLICES = 0.5
#: A needle that leaves a slice at a slant fades over its width over the slant; one that fades over more than this many
#: voxels in the slice was cut by the slice, not ended by its tip.
_FADE_VOXELS = 3.0
#: What voxels leave open of a step's place, as a share of the voxel: found by simulation, see docs/tracking.md.
_STEP_SHARE = 0.2


class Unclear(Enum):
    """Why a needle, or its tip, cannot be told from slices; the value is the sentence for the user."""

    ABSENT = "No needle is seen in these slices: move the table to where it is."
    SHORT = "Too little of the needle lies in these slices to tell its direction: take more slices."
    OUTSIDE = "The needle leaves these slices: its tip may lie outside them; scan further along it."
    SEVERAL = "Two needles are seen in these slices: give the planned path."


@dataclass(frozen=True, eq=False)
class SlabSighting:
    """A needle in slices. ``tip`` is the visible end; ``concern`` says what is unclear about it, if anything."""

    tip: Tip
    length_mm: float
    concern: Unclear | None


def find_in_slices(slab: Slab, needle: Needle, planned: Trajectory) -> SlabSighting | Unclear:
    """The needle in a slab, in the patient's coordinates; which end is its tip follows from the plan."""
    volume = slab.volume
    objects = _metal(volume, needle)
    if not objects:
        return Unclear.ABSENT
    lines = [_line(volume, weights, needle) for weights in objects]
    long = [x for x in lines if x is not None]
    if not long:
        return Unclear.SHORT
    near = sorted(long, key=lambda x: _off_mm(x, planned))
    if len(near) > 1 and _off_mm(near[1], planned) < 2.0 * _off_mm(near[0], planned) + needle.outer_diameter_mm:
        return Unclear.SEVERAL
    return _sighting(slab, near[0], needle, planned)


@dataclass(frozen=True, eq=False)
class _Line:
    """Metal along an axis: its middle, direction, points (LPS) and weights."""

    middle: Vector
    way: Vector
    points: NDArray[np.float64]
    weights: NDArray[np.float64]
    length_mm: float


def _metal(volume: Volume, needle: Needle) -> list[NDArray[np.float64]]:
    """The share of metal in each voxel, one array for every connected object, the heaviest first.

    A thin needle in thick slices never fills a voxel: the threshold falls with the share that it can fill.
    """
    array = np.asarray(volume.array, dtype=np.float64)
    fill = min(1.0, needle.outer_diameter_mm / max(volume.spacing_mm))
    seed = TISSUE_HU + fill * (METAL_HU - TISSUE_HU)
    seed = max(seed, 0.5 * (METAL_HU + TISSUE_HU))
    full = TISSUE_HU + fill * (FULL_HU - TISSUE_HU)
    # a thin needle between two voxels fades in both: what is broken by a voxel or two is one object
    cube = np.ones((3, 3, 3))
    found, n = ndimage.label(ndimage.binary_dilation(array > seed, cube, iterations=_BRIDGED), structure=cube)
    share = np.clip((array - TISSUE_HU) / (full - TISSUE_HU), 0.0, 1.0)
    out = []
    for m in range(1, n + 1):
        out.append(np.where(found == m, share, 0.0))
    return sorted(out, key=lambda w: -float(w.sum()))[:8]


def _line(volume: Volume, weights: NDArray[np.float64], needle: Needle) -> _Line | None:
    """The principal axis of an object; None for one that is no needle."""
    index = np.argwhere(weights > 0.0)
    w = weights[weights > 0.0]
    points = volume.world_mm(index)
    middle = np.average(points, axis=0, weights=w)
    moments = np.cov((points - middle).T, aweights=w)
    sizes, axes = np.linalg.eigh(moments)
    way = axes[:, 2]
    # an even rod of length l has a variance of l^2 / 12 along it
    length = math.sqrt(12.0 * float(sizes[2]))
    broad = math.sqrt(12.0 * float(sizes[1]))
    if length < SHORTEST_MM or length < SLENDER * min(broad, 2.0 * needle.outer_diameter_mm):
        return None
    return _Line(middle, way, points, w, length)


def _off_mm(line: _Line, planned: Trajectory) -> float:
    """How far an object's middle lies from the planned path."""
    return float(planned.axis.distance_mm(line.middle))


def _sighting(slab: Slab, line: _Line, needle: Needle, planned: Trajectory) -> SlabSighting:
    volume = slab.volume
    way = line.way if float(line.way @ planned.direction) > 0.0 else -line.way
    end, fade = _end_mm(line, way)
    tip = line.middle + end * way
    covariance, turn = _errors(volume, line, way)
    concern = _concern(volume, tip, way, fade)
    return SlabSighting(
        Tip(slab.time_s, tip, way, covariance, turn, slab.source, *_unseen(volume)), line.length_mm, concern
    )


def _end_mm(line: _Line, way: Vector) -> tuple[float, float]:
    """Where the weight along the axis falls to half of the usual, mm from the middle, and over what length it falls."""
    at = (line.points - line.middle) @ way
    edges = np.arange(at.min() - 1.0, at.max() + 1.0 + _STEP_MM, _STEP_MM)
    # each voxel's weight spread over about its own size, so that the sum does not depend on the grid
    size = max(1.0, float(np.median(np.diff(np.unique(np.round(at, 3)))) if len(at) > 1 else 1.0))
    summed = ndimage.gaussian_filter1d(np.histogram(at, edges, weights=line.weights)[0], size / _STEP_MM)
    middle = 0.5 * (edges[:-1] + edges[1:])
    usual = float(np.median(summed[summed > 0.3 * summed.max()]))
    level = [_crossing(middle, summed, share * usual) for share in (0.75, 0.5, 0.25)]
    return level[1], level[2] - level[0]


def _crossing(at: Vector, values: Vector, level: float) -> float:
    """The last place where values fall through a level."""
    last = int(np.flatnonzero(values >= level)[-1])
    if last + 1 >= len(at):
        return float(at[-1])
    drop = values[last] - values[last + 1]
    return float(at[last] + (at[last + 1] - at[last]) * (values[last] - level) / drop)


def _errors(volume: Volume, line: _Line, way: Vector) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The tip's and the direction's covariance.

    Along each axis of the grid a place is open by an even distribution over a voxel, made better by the number of
    voxel layers that the needle crosses there, and at least by one: a needle within one slice may lie anywhere in it.
    """
    axes = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    sizes = np.asarray(volume.spacing_mm)[::-1]
    crossed = np.maximum(np.abs(axes.T @ way) * line.length_mm / sizes, 1.0)
    across = np.diag((sizes * _EVEN_SD) ** 2 / crossed)
    place = axes @ across @ axes.T
    turn = 12.0 / max(line.length_mm, SHORTEST_MM) ** 2 * place
    turn = _without(turn, way)
    along = (_STEP_SHARE * float(np.abs(axes.T @ way) @ sizes)) ** 2
    # the axis is surest at the middle; the tip lies half a length ahead
    return place + 0.25 * line.length_mm**2 * turn + along * np.outer(way, way), turn


def _without(matrix: NDArray[np.float64], way: Vector) -> NDArray[np.float64]:
    """A covariance less what lies along a direction."""
    p = np.eye(3) - np.outer(way, way)
    return np.asarray(p @ matrix @ p)


def _unseen(volume: Volume) -> tuple[Vector | None, str]:
    """One slice alone says nothing of where in its thickness the needle lies."""
    if volume.shape[0] > 1:
        return None, ""
    normal = unit(volume.affine[:3, 2])
    return normal, f"one slice of {volume.spacing_mm[0]:g} mm: the needle is taken to lie in its middle"


def _concern(volume: Volume, tip: Vector, way: Vector, fade_mm: float) -> Unclear | None:
    """Whether what looks like the tip may be where the needle leaves the slab."""
    k, j, i = volume.index_kji(tip)
    ahead = volume.index_kji(tip + way) - volume.index_kji(tip)
    for at, n, step in zip((k, j, i), volume.shape, ahead, strict=True):
        near_last = at >= n - 0.5 - _FACE_SLICES - 0.5 and step > 0.02
        near_first = at <= -0.5 + _FACE_SLICES + 0.5 and step < -0.02
        if n > 1 and (near_last or near_first):
            return Unclear.OUTSIDE
    in_slice = min(volume.spacing_mm[1:])
    return Unclear.OUTSIDE if fade_mm > _FADE_VOXELS * in_slice + 1.0 else None
