"""What a box of cells conducts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The fields of :class:`Faces`, in the order of the axes.
NAMES = ("k", "j", "i", "ground")


@dataclass(frozen=True, eq=False)
class Faces:
    """Conductances of a box of cells, each ``[k, j, i]`` (float32 or float64).

    ``k``, ``j`` and ``i`` are between a cell and the next along that axis (what the last plane, row or place holds is
    ignored), ``ground`` is between a cell and a reservoir at 0. In any unit: a source in the unit of conductance times
    that of the potential.
    """

    k: NDArray[Any]
    j: NDArray[Any]
    i: NDArray[Any]
    ground: NDArray[Any]

    def alike(self) -> dict[str, NDArray[Any]]:
        """All four by name, in one precision and in the order of storage."""
        arrays = {name: np.asarray(getattr(self, name)) for name in NAMES}
        precision = np.float32 if all(a.dtype == np.float32 for a in arrays.values()) else np.float64
        return {name: np.ascontiguousarray(a, precision) for name, a in arrays.items()}

    def unsound(self, name: str) -> str:
        """The sentence on the first conductance of that name which can be none."""
        array = np.asarray(getattr(self, name))
        wrong = ~(np.isfinite(array) & (array >= 0.0))
        if name != "ground":
            axis = NAMES.index(name)
            wrong = wrong.take(range(array.shape[axis] - 1), axis)
        cell = first_cell(wrong)
        return f"the conductance {name} of cell {cell} is {array[cell]:g}; it must be 0 or more, and finite."


def first_cell(where: NDArray[np.bool_]) -> tuple[int, ...]:
    """The first place that is marked."""
    return tuple(int(n) for n in np.argwhere(where)[0])
