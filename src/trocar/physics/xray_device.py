"""The interpolated projection on whatever device JAX finds: a graphics card, or the processor.

The same rule as :mod:`trocar.physics.xray` (Method.INTERPOLATED) in float32, written with arrays: every ray samples
every plane across one axis, and what lies outside the box counts nothing. It can be differentiated and compiled
together with what uses it::

    image = project(volume, spacing_mm, beam)                        # float32 array on the device
    rays = Projector(volume, spacing_mm, beam.shape)                 # the volume stays on the device
    image = rays(jnp.stack(vectors(beam)))                           # [4, 3]: source, corner, down, right
    slope = jax.jacfwd(lambda v: rays(v))(...)                       # by any of the twelve numbers

JAX comes with ``pip install 'trocar[gpu]'``, its part for a card with JAX's own ``jax[cuda12]``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.errors import ToolError
from trocar.physics.xray import Beam, checked, refuse_unless_finite, vectors

#: Rays that are worked on together: what bounds the memory, four samples of float32 each for a block of planes.
RAYS_AT_ONCE = 1 << 16


def jax_library() -> Any:
    """The module ``jax``; raises :class:`trocar.errors.ToolError` where it is not installed."""
    try:
        import jax
    except ImportError as absent:
        raise ToolError(
            "JAX is not installed, and projecting on a graphics card needs it: pip install 'trocar[gpu]'."
        ) from absent
    return jax


def device() -> str:
    """The device that JAX computes on, in its own words."""
    return str(jax_library().devices()[0])


def project(volume: NDArray[Any], spacing_mm: tuple[float, float, float], beam: Beam) -> NDArray[np.float32]:
    """The image ``[row, column]`` of a volume ``[k, j, i]``: :func:`trocar.physics.xray.line_integrals`, on the device.

    Relative to it the image is within 1e-5 (L2), as the tests ask on the processor.
    """
    image = np.asarray(Projector(volume, spacing_mm, beam.shape)(np.stack(vectors(beam))))
    refuse_unless_finite(image)
    return image


class Projector:
    """A volume that stays on the device, called with the beam's vectors ``[4, 3]`` (source, corner, down, right; mm).

    The result is a JAX array ``[row, column]``, differentiable by the vectors and by nothing else.
    """

    def __init__(self, volume: NDArray[Any], spacing_mm: tuple[float, float, float], shape: tuple[int, int]) -> None:
        jax = jax_library()
        values, spacing = checked(volume, spacing_mm)
        self.volume = jax.numpy.asarray(values)
        self._image = jax.jit(partial(_image, jax, spacing_mm=tuple(spacing.tolist()), shape=shape))

    def __call__(self, beam_vectors: Any) -> Any:
        """The image of the beam with these vectors."""
        return self._image(self.volume, beam_vectors)


def _image(jax: Any, volume: Any, beam_vectors: Any, *, spacing_mm: tuple[float, ...], shape: tuple[int, int]) -> Any:
    """All rays, a block at a time."""
    jnp = jax.numpy
    spacing = jnp.asarray(spacing_mm, dtype=jnp.float32)
    # relative to the volume's middle, so that float32 spends its digits where the voxels are
    middle = jnp.asarray([(n - 1) / 2 for n in volume.shape], dtype=jnp.float32)
    source, corner, down, right = (jnp.asarray(v, dtype=jnp.float32) / spacing for v in beam_vectors)
    count = shape[0] * shape[1]
    block = min(RAYS_AT_ONCE, count)

    def rays(pixels: Any) -> Any:
        row, column = (pixels // shape[1])[:, None], (pixels % shape[1])[:, None]
        step = corner - source + row * down + column * right
        return _followed(jax, volume, spacing, source - middle, step)

    blocks = jnp.arange(-(-count // block) * block).reshape(-1, block)
    return jax.lax.map(rays, blocks).reshape(-1)[:count].reshape(shape)


def _followed(jax: Any, volume: Any, spacing: Any, start: Any, step: Any) -> Any:
    """Integrals along rays from ``start`` by ``step`` ``[ray, 3]``, voxels about the middle."""
    jnp = jax.numpy
    half = jnp.asarray([(n - 1) / 2 if n > 1 else 0.5 for n in volume.shape], dtype=jnp.float32)
    moving = step != 0.0
    safe = jnp.where(moving, step, 1.0)
    t, u = (-half - start) / safe, (half - start) / safe
    beside = jnp.abs(start) <= half
    near = jnp.where(moving, jnp.minimum(t, u), jnp.where(beside, -jnp.inf, jnp.inf)).max(axis=1)
    far = jnp.where(moving, jnp.maximum(t, u), jnp.where(beside, jnp.inf, -jnp.inf)).min(axis=1)
    near, far = jnp.maximum(near, 0.0), jnp.minimum(far, 1.0)
    length = jnp.sqrt(jnp.sum((step * spacing) ** 2, axis=1))
    steepest = jnp.argmax(jnp.abs(step), axis=1)
    total = jnp.zeros(len(step), dtype=jnp.float32)
    for a in range(3):
        mine = (steepest == a) & (near < far)
        # a detector sees the volume from one side: two of the three axes are rarely needed
        total += jax.lax.cond(
            jnp.any(mine),
            partial(_along, jax, a=a),
            lambda *given: jnp.zeros(len(given[2]), dtype=jnp.float32),
            volume, start, jnp.where(mine[:, None], step, 1.0), jnp.where(mine, near, 0.0), jnp.where(mine, far, 0.0),
        )  # fmt: skip
    return total * length


def _along(jax: Any, volume: Any, start: Any, step: Any, near: Any, far: Any, *, a: int) -> Any:
    """Sum over the planes across axis ``a``, in shares of the whole way."""
    jnp = jax.numpy
    b, d = (n for n in range(3) if n != a)
    p, q = start[a] + near * step[:, a], start[a] + far * step[:, a]
    p, q = jnp.minimum(p, q), jnp.maximum(p, q)
    middles = [jnp.float32((n - 1) / 2) for n in volume.shape]

    def plane(n: Any, total: Any) -> Any:
        at = n - middles[a]
        weight = jnp.clip(jnp.minimum(q, at + 0.5) - jnp.maximum(p, at - 0.5), 0.0)
        way = (at - start[a]) / step[:, a]
        layer = jax.lax.dynamic_index_in_dim(volume, n, axis=a, keepdims=False)
        x, y = (start[c] + way * step[:, c] + middles[c] for c in (b, d))
        return total + weight * _bilinear(jnp, layer, x, y)

    planes = jnp.arange(volume.shape[a])
    total, _ = jax.lax.scan(lambda sum_, n: (plane(n, sum_), None), jnp.zeros_like(near), planes)
    return total / jnp.abs(step[:, a])


def _bilinear(jnp: Any, layer: Any, x: Any, y: Any) -> Any:
    """Values of a layer at fractional places, the nearest within beyond its border."""
    x, y = jnp.clip(x, 0.0, layer.shape[0] - 1.0), jnp.clip(y, 0.0, layer.shape[1] - 1.0)
    i = jnp.clip(jnp.floor(x).astype(jnp.int32), 0, max(layer.shape[0] - 2, 0))
    j = jnp.clip(jnp.floor(y).astype(jnp.int32), 0, max(layer.shape[1] - 2, 0))
    k, m = jnp.minimum(i + 1, layer.shape[0] - 1), jnp.minimum(j + 1, layer.shape[1] - 1)
    u, v = x - i, y - j
    return (1.0 - u) * ((1.0 - v) * layer[i, j] + v * layer[i, m]) + u * ((1.0 - v) * layer[k, j] + v * layer[k, m])
