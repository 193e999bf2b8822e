"""Steps across a needle in the patient's words: towards the head or the feet, medially or laterally."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trocar.geometry import Pose, Vector, unit
from trocar.guidance.carm import AT_REST
from trocar.planning.trajectory import Trajectory

#: Parts of a step smaller than this share of it are not named.
_NAMED_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Bearing:
    """Two unit vectors (LPS) across a needle, ``head`` and ``aside``, and what aside and its opposite are called."""

    head: Vector
    aside: Vector
    aside_names: tuple[str, str]

    @classmethod
    def of(cls, path: Trajectory, frame: Pose = AT_REST) -> Bearing:
        """Across a planned path, in the words of a vertebra's own ``frame`` (or of the scan's)."""
        way, outwards = path.direction, path.side.sign * frame.left
        head = unit(frame.superior - float(frame.superior @ way) * way)
        aside = np.cross(head, way)
        if abs(float(aside @ frame.left)) >= abs(float(aside @ frame.posterior)):
            aside = aside if float(aside @ outwards) > 0.0 else -aside
            return cls(head, aside, (f"laterally ({path.side.value})", f"medially ({path.side.other.value})"))
        aside = aside if float(aside @ frame.posterior) > 0.0 else -aside
        return cls(head, aside, ("towards the back", "towards the front"))

    def parts(self, step: Vector) -> tuple[float, float]:
        """How much of a step goes towards the head and how much aside, in the step's own unit."""
        return float(np.asarray(step) @ self.head), float(np.asarray(step) @ self.aside)

    def words(self, step: Vector, unit_text: str, least: float) -> str:
        """A step as text, e.g. "2.1 mm towards the feet and 1.3 mm medially (right)"; empty below ``least``."""
        head, aside = self.parts(step)
        floor = max(least, _NAMED_SHARE * float(np.hypot(head, aside)))
        said = []
        if abs(head) >= floor:
            said.append(f"{abs(head):.1f}{unit_text} towards the {'head' if head > 0 else 'feet'}")
        if abs(aside) >= floor:
            said.append(f"{abs(aside):.1f}{unit_text} {self.aside_names[0 if aside > 0 else 1]}")
        return " and ".join(said)
