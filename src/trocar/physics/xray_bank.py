"""Projections made beforehand, and what lies between them.

A sweep (breathing along its path, an arm that turns, a pan) asks for many images that differ little. Here the line
integrals are made once at places along one parameter, and interpolated between by the cubic
through the four nearest (Lagrange): an image then costs four passes over its pixels.

The interpolation's error is not guessed: :func:`bank` projects half way between its places as well and keeps the
greatest difference found there, relative to the images' range, as ``error``; :func:`refined` halves the distances
until it is as small as asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A cubic needs two places on either side.
FEWEST = 4
#: Where refinement stops: images in memory.
MOST = 1025

Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Bank:
    """Images ``[n, row, column]`` at evenly spaced places from ``low`` to ``high`` of one parameter.

    ``error`` is the greatest difference between a projection and what is interpolated, seen half way between places,
    relative to the range of the images.
    """

    images: NDArray[np.float32]
    low: float
    high: float
    error: float

    @property
    def step(self) -> float:
        """From one place to the next."""
        return (self.high - self.low) / (len(self.images) - 1)

    def at(self, place: float) -> Image:
        """The image there, float32; a place outside the bank is refused."""
        if not self.low <= place <= self.high:
            raise ValueError(f"the bank reaches from {self.low:g} to {self.high:g}; {place:g} lies outside.")
        return between(self.images, (place - self.low) / self.step)


def bank(project: Callable[[float], Image], low: float, high: float, count: int) -> Bank:
    """The images of ``project`` at ``count`` places from ``low`` to ``high``, and the error half way between them."""
    images = _made(project, low, high, count)
    return Bank(images, low, high, _error(images, _half_way(project, low, high, count)))


def refined(project: Callable[[float], Image], low: float, high: float, error: float, count: int = FEWEST + 1) -> Bank:
    """The first bank, its distances halved again and again, whose error is at most ``error``.

    The images half way become images of the next bank: nothing is projected twice. Raises ``ValueError`` where
    :data:`MOST` images do not suffice.
    """
    if not error > 0.0:
        raise ValueError(f"error={error} must be positive.")
    images = _made(project, low, high, count)
    while True:
        halves = _half_way(project, low, high, len(images))
        left = _error(images, halves)
        if left <= error:
            return Bank(images, low, high, left)
        if len(images) + len(halves) > MOST:
            raise ValueError(f"{len(images)} images leave an error of {left:.2g}, more than {error:g}.")
        both = np.empty((len(images) + len(halves), *images.shape[1:]), dtype=np.float32)
        both[::2], both[1::2] = images, halves
        images = both


def between(images: NDArray[np.float32], place: float) -> Image:
    """The cubic through the four images nearest to a fractional index; at the ends the one through the last four."""
    first = int(np.clip(np.floor(place) - 1, 0, len(images) - 4))
    x = place - first
    out = np.zeros_like(images[0])
    for n in range(4):
        others = [m for m in range(4) if m != n]
        weight = np.prod([(x - m) / (n - m) for m in others])
        out += np.float32(weight) * images[first + n]
    return out


def _error(images: NDArray[np.float32], halves: NDArray[np.float32]) -> float:
    span = float(images.max() - images.min())
    worst = max(float(np.abs(between(images, n + 0.5) - half).max()) for n, half in enumerate(halves))
    return worst / span if span > 0.0 else 0.0


def _made(project: Callable[[float], Image], low: float, high: float, count: int) -> NDArray[np.float32]:
    if not (np.isfinite((low, high)).all() and low < high):
        raise ValueError(f"a bank reaches from low={low} to a greater high={high}.")
    if not FEWEST <= count <= MOST:
        raise ValueError(f"count={count} must be {FEWEST} to {MOST} images.")
    return np.stack([project(float(place)) for place in np.linspace(low, high, count)])


def _half_way(project: Callable[[float], Image], low: float, high: float, count: int) -> NDArray[np.float32]:
    places = np.linspace(low, high, count)
    return np.stack([project(float(place)) for place in 0.5 * (places[1:] + places[:-1])])
