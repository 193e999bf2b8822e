"""What is kept of one injection out of many: who leaked how much when, and where the cement came to lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.injection.risk import LEAK_ML
from trocar.injection.ways_out import Route
from trocar.measure import Status
from trocar.physics.porous import HALF, Injection

#: The order of all arrays by route.
ROUTES: tuple[Route, ...] = tuple(Route)
_MM3_PER_ML = 1000.0


@dataclass(frozen=True, eq=False)
class Run:
    """One injection of an ensemble, reduced.

    ``leaked_ml`` is ``[way, node]``: what had left by each way out of the site when so much of the planned volume was
    in, held where the injection ended early. ``onset_ml`` (of the planned volume) and ``onset_s`` ``[route]``
    (:data:`ROUTES`) say when a route had taken :data:`trocar.injection.risk.LEAK_ML`, ``inf`` where it never did; the
    clock starts with the injection. ``injected_ml`` is what did leave the tips.
    ``reached`` holds one bit for each voxel in the order of ``[k, j, i]``: at least half filled at the end.
    """

    number: int
    status: Status
    injected_ml: float
    duration_s: float
    peak_pa: float
    leaked_ml: NDArray[np.float64]
    onset_ml: NDArray[np.float64]
    onset_s: NDArray[np.float64]
    reached: NDArray[np.uint8]

    @property
    def inside_ml(self) -> float:
        """What stays in the bone."""
        return self.injected_ml - float(self.leaked_ml[:, -1].sum()) if self.leaked_ml.size else self.injected_ml

    def reach(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """The voxels that were reached, ``[k, j, i]``."""
        return np.unpackbits(self.reached, count=int(np.prod(shape))).astype(bool).reshape(shape)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The run as named arrays, to be kept in a file."""
        numbers = np.array([self.injected_ml, self.duration_s, self.peak_pa])
        fields = {"leaked_ml": self.leaked_ml, "onset_ml": self.onset_ml, "onset_s": self.onset_s}
        return {"status": np.array(self.status.name), "numbers": numbers, "reached": self.reached, **fields}

    @classmethod
    def of_arrays(cls, number: int, arrays: Mapping[str, NDArray[Any]]) -> Run:
        """The run that :meth:`arrays` came from; raises ``KeyError`` or ``ValueError`` for any others."""
        injected_ml, duration_s, peak_pa = (float(v) for v in arrays["numbers"])
        fields = (arrays[name] for name in ("leaked_ml", "onset_ml", "onset_s", "reached"))
        return cls(number, Status[str(arrays["status"])], injected_ml, duration_s, peak_pa, *fields)


def reduced(
    number: int,
    injection: Injection,
    ways: Sequence[tuple[str, Route]],
    nodes_ml: NDArray[np.float64],
    volume_factor: float = 1.0,
) -> Run:
    """What is kept of an injection.

    ``ways`` are name and route of every way out of the site in order; a draw may lack some of them. An outlet of
    another name must let nothing through. Raises ``ValueError`` for one that did. ``volume_factor`` is what left the
    tip over what was planned: the volumes on the axis of a curve are planned ones.
    """
    injected_ml, by_way = injection.injected_mm3 / _MM3_PER_ML, _by_way(injection, [name for name, _ in ways])
    if not injected_ml.size:  # it failed before its first step
        injected_ml, by_way = np.zeros(1), np.zeros((len(ways), 1))
    time_s = injection.time_s if injection.time_s.size else np.zeros(1)
    rate_ml_s = injection.rate_mm3_s / _MM3_PER_ML
    leaked = np.array([np.interp(nodes_ml * volume_factor, injected_ml, way) for way in by_way]).reshape(
        len(ways), len(nodes_ml)
    )
    of_route = np.array([[route is r for _, route in ways] for r in ROUTES], np.float64).reshape(len(ROUTES), len(ways))
    onsets = [_onset(injected_ml, time_s, total, rate_ml_s) for total in of_route @ by_way]
    return Run(
        number,
        injection.status,
        float(injected_ml[-1]),
        float(time_s[-1]),
        float(injection.driving_pa.max(initial=0.0)),
        leaked,
        np.array([ml / volume_factor for ml, _ in onsets]),
        np.array([s for _, s in onsets]),
        np.packbits(injection.saturation >= HALF),
    )


def _by_way(injection: Injection, names: Sequence[str]) -> NDArray[np.float64]:
    """What had left by each way at each step, ml, ``[way, step]``."""
    out = np.zeros((len(names), len(injection.injected_mm3)))
    for outlet, leaked in zip(injection.medium.outlets, injection.leaked_mm3.T, strict=True):
        if outlet.name in names:
            out[names.index(outlet.name)] += leaked / _MM3_PER_ML
        elif leaked.any():
            raise ValueError(f"{leaked[-1]:.3g} mm³ left by {outlet.name!r}, which is no way out of the site.")
    return out


def _onset(
    injected_ml: NDArray[np.float64],
    time_s: NDArray[np.float64],
    leaked_ml: NDArray[np.float64],
    rate_ml_s: NDArray[np.float64],
) -> tuple[float, float]:
    """The volume injected and the time at which a leak had grown to what counts; ``inf`` where it never had.

    Within a step both grow evenly. A pause comes after the step, so that the time follows the volume.
    """
    late = np.flatnonzero(leaked_ml > LEAK_ML)
    if not late.size:
        return np.inf, np.inf
    n = max(int(late[0]), 1)
    share = (LEAK_ML - leaked_ml[n - 1]) / (leaked_ml[n] - leaked_ml[n - 1])
    at_ml = injected_ml[n - 1] + share * (injected_ml[n] - injected_ml[n - 1])
    return float(at_ml), float(time_s[n - 1] + (at_ml - injected_ml[n - 1]) / rate_ml_s[n - 1])
