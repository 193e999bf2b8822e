"""What a way out of a vertebra is: where it leads, how it is known, what it is like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class Route(Enum):
    """Where leaked cement lies: the classes that are told apart."""

    EPIDURAL = "epidural"
    FORAMINAL = "foraminal"
    DISC = "disc"
    ANTERIOR = "anterior paravertebral"
    LATERAL = "lateral paravertebral"
    VENOUS = "venous"
    TRACT = "needle tract"
    ARTERIAL = "arterial"


class Basis(Enum):
    """Whether a way out was seen in this patient's images, or is only known to be common."""

    SEEN = "seen in the images"
    EXPECTED = "expected from published frequency"


class Shape(Enum):
    """What it is like: a vein is a tube of a radius, a crack a slit of a width, a missing wall is open."""

    TUBE = "tube"
    SLIT = "slit"
    OPENING = "opening"


@dataclass(frozen=True, eq=False)
class WayOut:
    """One way out of the vertebra, on the grid of a bone model, ``[k, j, i]``.

    ``channel`` marks voxels of bone that it runs through (may be empty), ``exits`` those from which it leaves.
    ``present`` is the probability that this patient has it: 1 where it was seen. ``bore_mm`` is the median radius of a
    tube or width of a slit, ``bore_spread`` its standard deviation on a logarithmic scale; an opening has neither.
    ``source`` says where these numbers are from, in one line.
    """

    name: str
    route: Route
    basis: Basis
    shape: Shape
    channel: NDArray[np.bool_]
    exits: NDArray[np.bool_]
    present: float = 1.0
    bore_mm: float = 0.0
    bore_spread: float = 0.0
    source: str = ""


def told_apart(ways: Sequence[WayOut]) -> tuple[WayOut, ...]:
    """The ways with a number after every name that another has too: "gap (1)", "gap (2)"."""
    often, seen = Counter(way.name for way in ways), Counter[str]()
    out = []
    for way in ways:
        seen[way.name] += 1
        out.append(replace(way, name=f"{way.name} ({seen[way.name]})") if often[way.name] > 1 else way)
    return tuple(out)
