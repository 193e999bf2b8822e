"""Implicit surfaces: signed distances of rods, vertebral bodies and tubes, and how they melt together.

Negative inside, millimetres, exact to first order at the surface. A *rod* is a straight piece of
elliptical section with ellipsoidal ends, which may taper and may flare away from a waist: processes,
pedicles, ribs and roots are rods. A *body* is a waisted superelliptic drum with bowls for endplates.
A *tube* is an ellipse in each axial slice: vessels, muscles, cord, skin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.geometry import Pose, Vector, unit

Distances = NDArray[np.float32]

#: Rods are evaluated within this distance of their surface; farther away nothing depends on them.
BAND_MM = 5.0
#: Distance given where nothing was evaluated.
FAR_MM = 1.0e3
#: Columns of a rod: start 3, axis 3, across 3, along 3, length, radii 4, cap, flare, waist, reach, blend.
ROD_COLUMNS = 22


def rod(
    start: ArrayLike,
    stop: ArrayLike,
    radii: tuple[float, float],
    radii_stop: tuple[float, float] | None = None,
    *,
    across: ArrayLike = (1.0, 0.0, 0.0),
    cap_mm: float | None = None,
    flare: float = 0.0,
    waist_mm: float = 0.0,
    reach_mm: float = 1.0,
    blend_mm: float = 2.0,
) -> NDArray[np.float64]:
    """One rod from ``start`` to ``stop``, mm, as a row for :class:`Shape`.

    ``radii`` are the half-axes of the section, the first along ``across`` (made perpendicular to
    the axis), the second perpendicular to both; they taper to ``radii_stop``. With ``flare`` they
    grow by that fraction, quadratically, at ``reach_mm`` to either side of the point ``waist_mm``
    from the start. ``cap_mm`` is how far the rounded ends reach beyond both points. ``blend_mm``
    is the distance over which it melts into what is already there.
    """
    a, b = np.asarray(start, dtype=float), np.asarray(stop, dtype=float)
    length = float(np.linalg.norm(b - a))
    axis = unit(b - a) if length > 0.0 else np.array([0.0, 0.0, 1.0])
    sideways = np.asarray(across, dtype=float)
    u = unit(sideways - (sideways @ axis) * axis)
    v = np.cross(axis, u)
    end = radii if radii_stop is None else radii_stop
    cap = min(*radii, *end) if cap_mm is None else cap_mm
    return np.array([*a, *axis, *u, *v, length, *radii, *end, cap, flare, waist_mm, reach_mm, blend_mm])


def ellipsoid(centre: ArrayLike, half_axes: tuple[float, float, float], axis: ArrayLike) -> NDArray[np.float64]:
    """A rod of no length: an ellipsoid with half-axes across, through and along ``axis``."""
    return rod(centre, np.asarray(centre, dtype=float) + 1e-3 * unit(axis), half_axes[:2], cap_mm=half_axes[2])


@dataclass(frozen=True)
class BodyForm:
    """A vertebral body in its own frame, mm. Half-widths and half-depths at the two rims; ``waist``
    is the fraction of the rims' mean that remains at mid-height; ``top`` and ``bottom`` are the
    rims' heights at the centre, ``*_slope`` their rise per mm towards the back, ``*_bowl`` the depth
    of the endplate below its rim. ``notch`` hollows the posterior wall (kidney shape); ``squareness``
    is the exponent of the outline; ``rounding`` the blend at the rims. ``wedge`` is how far the
    superior endplate has sunk at ``front``, nothing at ``back``; ``sink`` how far each endplate has
    sunk halfway between them.
    """

    half_width_top: float
    half_width_bottom: float
    half_depth_top: float
    half_depth_bottom: float
    waist: float
    top: float
    top_slope: float
    top_bowl: float
    bottom: float
    bottom_slope: float
    bottom_bowl: float
    notch: float
    squareness: float
    rounding: float
    wedge: float
    front: float
    back: float
    sink: float

    def row(self) -> NDArray[np.float64]:
        """The fields as one array."""
        return np.array([getattr(self, name) for name in self.__dataclass_fields__], dtype=float)

    def endplates_mm(self, x: float, y: float) -> tuple[float, float]:
        """Heights of the inferior and the superior endplate at ``(x, y)`` in the body's frame."""
        row = self.row()
        return float(_endplate(row, x, y, False)), float(_endplate(row, x, y, True))


@dataclass(frozen=True, eq=False)
class Shape:
    """A union of an optional body and rods, less some rods, placed in the patient."""

    pose: Pose
    rods: NDArray[np.float64]
    body: BodyForm | None = None
    carved: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, ROD_COLUMNS)))

    def distance_mm(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Signed distance, negative inside, at points ``(..., 3)`` in the shape's own frame."""
        points = np.asarray(points_mm, dtype=np.float64)
        flat = np.ascontiguousarray(points.reshape(-1, 3))
        out = np.asarray(_at_points(flat, self._body_row(), self.rods, self.carved))
        return out.reshape(points.shape[:-1])

    def _body_row(self) -> NDArray[np.float64]:
        return np.empty(0) if self.body is None else self.body.row()

    def bounds_mm(self) -> tuple[Vector, Vector]:
        """Corners of a world box that holds the shape."""
        boxes = [_rod_bounds(row) for row in self.rods]
        if self.body is not None:
            b = self.body
            w, d = max(b.half_width_top, b.half_width_bottom), max(b.half_depth_top, b.half_depth_bottom)
            z = max(abs(b.top), abs(b.bottom)) + d * max(abs(b.top_slope), abs(b.bottom_slope))
            boxes.append((np.array([-w, -d, -z]), np.array([w, d, z])))
        return _turned_bounds(self.pose, boxes)

    def render(self, grid: Grid) -> Distances:
        """Signed distance at the voxel centres of ``grid``; :data:`FAR_MM` away from the surface."""
        out = np.full(grid.shape, FAR_MM, dtype=np.float32)
        place = np.concatenate([self.pose.origin_mm, self.pose.axes.ravel()])
        if self.body is not None:
            _render_body(out, grid.x, grid.y, grid.z, place, self.body.row())
        _render_rods(out, grid.x, grid.y, grid.z, place, self.rods, False)
        _render_rods(out, grid.x, grid.y, grid.z, place, self.carved, True)
        return out


def _rod_bounds(row: NDArray[np.float64]) -> tuple[Vector, Vector]:
    start = row[0:3]
    stop = start + row[12] * row[3:6]
    radius = max(row[13:17].max() * (1.0 + row[18]), row[17])
    return np.minimum(start, stop) - radius, np.maximum(start, stop) + radius


def _turned_bounds(pose: Pose, boxes: list[tuple[Vector, Vector]]) -> tuple[Vector, Vector]:
    corners = []
    for low, high in boxes:
        ends = np.array([low, high])
        picks = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T
        corners.append(pose.to_world(np.stack([ends[picks[:, a], a] for a in range(3)], axis=1)))
    points = np.concatenate(corners)
    return points.min(axis=0), points.max(axis=0)


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxel centres along the patient's left, posterior and superior axes, mm, ascending."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    z: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along k, j, i."""
        return (len(self.z), len(self.y), len(self.x))

    def window(self, low_mm: ArrayLike, high_mm: ArrayLike, margin_mm: float) -> tuple[slice, slice, slice] | None:
        """Slices ``[k, j, i]`` of the voxels in a world box with a margin, or None when it is outside."""
        low, high = np.asarray(low_mm) - margin_mm, np.asarray(high_mm) + margin_mm
        cuts = []
        for centres, a, b in ((self.z, low[2], high[2]), (self.y, low[1], high[1]), (self.x, low[0], high[0])):
            start, stop = int(np.searchsorted(centres, a)), int(np.searchsorted(centres, b, side="right"))
            if stop <= start:
                return None
            cuts.append(slice(start, stop))
        return (cuts[0], cuts[1], cuts[2])

    def part(self, window: tuple[slice, slice, slice]) -> Grid:
        """The sub-grid of a window."""
        return Grid(self.x[window[2]], self.y[window[1]], self.z[window[0]])


@dataclass(frozen=True, eq=False)
class Tube:
    """An ellipse in every axial slice: nodes ``(n, 5)`` of z, x, y, half-width, half-depth, mm.

    Smooth (monotone cubic) between nodes; ends where they end.
    """

    nodes: NDArray[np.float64]

    def sections(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Centre and half-axes ``(len(z), 4)``; not a number beyond the tube's ends."""
        from scipy.interpolate import PchipInterpolator

        nodes = self.nodes[np.argsort(self.nodes[:, 0])]
        return np.asarray(PchipInterpolator(nodes[:, 0], nodes[:, 1:], extrapolate=False)(z))

    def bounds_mm(self) -> tuple[Vector, Vector]:
        """Corners of a world box that holds the tube."""
        z, x, y, a, b = self.nodes.T
        return (
            np.array([(x - a).min(), (y - b).min(), z.min()]),
            np.array([(x + a).max(), (y + b).max(), z.max()]),
        )

    def render(self, grid: Grid) -> Distances:
        """Signed distance within each slice; :data:`FAR_MM` beyond the ends."""
        out = np.full(grid.shape, FAR_MM, dtype=np.float32)
        _render_tube(out, grid.x, grid.y, self.sections(grid.z))
        return out


# --- kernels ------------------------------------------------------------------------------------

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
compiled: Callable[[Kernel], Kernel] = numba.njit(cache=True)


@compiled
def _melt(a: float, b: float, k: float) -> float:
    """Smooth minimum; differs from the minimum only where ``|a - b| < k``."""
    h = max(k - abs(a - b), 0.0)
    return min(a, b) - (h * h / (4.0 * k) if k > 0.0 else 0.0)


@compiled
def _rod_distance(r: Any, x: float, y: float, z: float) -> float:
    px, py, pz = x - r[0], y - r[1], z - r[2]
    t = px * r[3] + py * r[4] + pz * r[5]
    u = px * r[6] + py * r[7] + pz * r[8]
    v = px * r[9] + py * r[10] + pz * r[11]
    tc = min(max(t, 0.0), r[12])
    w = t - tc
    f = tc / r[12]
    s = min(abs(tc - r[19]) / r[20], 1.0)
    grow = 1.0 + r[18] * s * s
    a = (r[13] + (r[15] - r[13]) * f) * grow
    b = (r[14] + (r[16] - r[14]) * f) * grow
    c = r[17]
    u, v, w = u / a, v / b, w / c
    k0 = np.sqrt(u * u + v * v + w * w)
    if k0 < 1e-3:
        return -min(a, b)
    u, v, w = u / a, v / b, w / c
    return k0 * (k0 - 1.0) / np.sqrt(u * u + v * v + w * w)


@compiled
def _endplate(b: Any, x: float, y: float, superior: bool) -> float:
    """Height of an endplate at (x, y); the columns are those of BodyForm."""
    width = b[0] if superior else b[1]
    depth = b[2] if superior else b[3]
    bowl = max(0.0, 1.0 - (x / width) ** 2 - (y / depth) ** 2)
    half = 0.5 * (b[16] - b[15])
    middle = 0.5 * (b[16] + b[15])
    sink = b[17] * max(0.0, 1.0 - ((y - middle) / half) ** 2) * max(0.0, 1.0 - (x / width) ** 2)
    if superior:
        wedge = b[14] * min(max((b[16] - y) / (b[16] - b[15]), 0.0), 1.25)
        return b[5] + b[6] * y - b[7] * bowl - sink - wedge
    return b[8] + b[9] * y + b[10] * bowl + sink


@compiled
def _wall_distance(b: Any, x: float, y: float, z: float) -> float:
    s = (2.0 * z - b[5] - b[8]) / (b[5] - b[8])
    s = min(max(s, -1.0), 1.0)
    e = s * s
    waist_w, waist_d = 0.5 * b[4] * (b[0] + b[1]), 0.5 * b[4] * (b[2] + b[3])
    width = waist_w + ((b[0] if s > 0.0 else b[1]) - waist_w) * e
    depth = waist_d + ((b[2] if s > 0.0 else b[3]) - waist_d) * e
    hollow = b[11] * np.exp(-((x / (0.45 * width)) ** 2)) * min(max(y / depth, 0.0), 1.0)
    ax, ay = abs(x) / width, abs(y + hollow) / depth
    n = b[12]
    gx, gy = ax ** (n - 1.0), ay ** (n - 1.0)
    rho = (gx * ax + gy * ay) ** (1.0 / n)
    if rho < 0.05:
        return -min(width, depth) * (1.0 - rho)
    return (rho - 1.0) * rho ** (n - 1.0) / np.sqrt((gx / width) ** 2 + (gy / depth) ** 2)


@compiled
def _body_distance(b: Any, x: float, y: float, z: float) -> float:
    wall = _wall_distance(b, x, y, z)
    top = z - _endplate(b, x, y, True)
    bottom = _endplate(b, x, y, False) - z
    return -_melt(_melt(-wall, -top, b[13]), -bottom, b[13])


@compiled
def _at_points(points: Any, body: Any, rods: Any, carved: Any) -> Any:
    out = np.empty(len(points))
    for n in range(len(points)):
        x, y, z = points[n]
        d = _body_distance(body, x, y, z) if len(body) else FAR_MM
        for r in rods:
            d = _melt(d, _rod_distance(r, x, y, z), r[21])
        for r in carved:
            d = -_melt(-d, _rod_distance(r, x, y, z), r[21])
        out[n] = d
    return out


@compiled
def _render_body(out: Any, xs: Any, ys: Any, zs: Any, place: Any, body: Any) -> None:
    width = max(body[0], body[1]) + BAND_MM
    depth = max(body[2], body[3]) + BAND_MM
    height = max(abs(body[5]), abs(body[8])) + depth * max(abs(body[6]), abs(body[9])) + BAND_MM
    for k in range(len(zs)):
        for j in range(len(ys)):
            for i in range(len(xs)):
                px, py, pz = xs[i] - place[0], ys[j] - place[1], zs[k] - place[2]
                x = place[3] * px + place[6] * py + place[9] * pz
                y = place[4] * px + place[7] * py + place[10] * pz
                z = place[5] * px + place[8] * py + place[11] * pz
                if abs(x) < width and abs(y) < depth and abs(z) < height:
                    out[k, j, i] = _body_distance(body, x, y, z)


@compiled
def _span(centres: Any, low: float, high: float) -> Any:
    return np.searchsorted(centres, low), np.searchsorted(centres, high, side="right")


@compiled
def _render_rods(out: Any, xs: Any, ys: Any, zs: Any, place: Any, rods: Any, carve: bool) -> None:
    axes = place[3:].reshape(3, 3)
    for r in rods:
        radius = max(max(max(r[13], r[14]), max(r[15], r[16])) * (1.0 + r[18]), r[17]) + BAND_MM
        a = place[:3] + axes[:, 0] * r[0] + axes[:, 1] * r[1] + axes[:, 2] * r[2]
        b = a + (axes[:, 0] * r[3] + axes[:, 1] * r[4] + axes[:, 2] * r[5]) * r[12]
        i0, i1 = _span(xs, min(a[0], b[0]) - radius, max(a[0], b[0]) + radius)
        j0, j1 = _span(ys, min(a[1], b[1]) - radius, max(a[1], b[1]) + radius)
        k0, k1 = _span(zs, min(a[2], b[2]) - radius, max(a[2], b[2]) + radius)
        for k in range(k0, k1):
            for j in range(j0, j1):
                for i in range(i0, i1):
                    px, py, pz = xs[i] - place[0], ys[j] - place[1], zs[k] - place[2]
                    x = place[3] * px + place[6] * py + place[9] * pz
                    y = place[4] * px + place[7] * py + place[10] * pz
                    z = place[5] * px + place[8] * py + place[11] * pz
                    d = _rod_distance(r, x, y, z)
                    if carve:
                        out[k, j, i] = -_melt(-out[k, j, i], d, r[21])
                    else:
                        out[k, j, i] = _melt(out[k, j, i], d, r[21])


@compiled
def _render_tube(out: Any, xs: Any, ys: Any, sections: Any) -> None:
    for k in range(out.shape[0]):
        cx, cy, a, b = sections[k]
        if not a > 0.0:
            continue
        for j in range(len(ys)):
            v = (ys[j] - cy) / b
            for i in range(len(xs)):
                u = (xs[i] - cx) / a
                k0 = np.sqrt(u * u + v * v)
                if k0 < 1e-3:
                    out[k, j, i] = -min(a, b)
                else:
                    out[k, j, i] = k0 * (k0 - 1.0) / np.sqrt((u / a) ** 2 + (v / b) ** 2)


@compiled
def blend(hu: Any, distance: Any, value: Any, depth_mm: float, voxel_mm: Any, blur_mm: float) -> None:
    """Paint ``value`` (an array like ``hu``) where ``distance + depth_mm`` is negative, by share of voxel.

    ``hu`` and ``distance`` are float32 ``[k, j, i]``, ``voxel_mm`` the spacing in that order. The
    share is that of a box of the voxel's size cut by a plane of the surface's slope, blurred by
    ``blur_mm``. Works in place.
    """
    nk, nj, ni = hu.shape
    limit = voxel_mm[0] + voxel_mm[1] + voxel_mm[2]
    for k in range(nk):
        for j in range(nj):
            for i in range(ni):
                d = distance[k, j, i] + depth_mm
                if d > limit:
                    continue
                gk = distance[min(k + 1, nk - 1), j, i] - distance[max(k - 1, 0), j, i]
                gj = distance[k, min(j + 1, nj - 1), i] - distance[k, max(j - 1, 0), i]
                gi = distance[k, j, min(i + 1, ni - 1)] - distance[k, j, max(i - 1, 0)]
                ramp = min(0.5 * (abs(gk) + abs(gj) + abs(gi)), limit)
                ramp = np.sqrt(ramp * ramp + blur_mm * blur_mm)
                share = min(max(0.5 - d / ramp, 0.0), 1.0)
                hu[k, j, i] += share * (value[k, j, i] - hu[k, j, i])
