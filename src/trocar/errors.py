"""What can go wrong in the world, as a tree.

::

    TrocarError                 the world's refusal: what was found and what to do
    ├── ImageError              a scan or label file that cannot be used as it is
    ├── FrameMismatchError      two images that do not lie in one frame of reference
    ├── LabelSchemeError        numbers in a label map that do not mean what was said
    ├── LevelError              a level that is absent, or cut by the field of view
    ├── NoSafeTrajectory        every path meets a structure that must not be met
    ├── SimulationError         a computation that did not end in success
    ├── ToolError               an external program that is missing, or failed
    ├── OutputError             a place that cannot or must not be written to
    ├── CaseFileError           a plan.json that cannot be read, or is of another version
    └── RegistryError           the outcome store refuses

The caller's own mistakes are ``ValueError`` and ``TypeError``; clinical concerns are
:class:`trocar.measure.Finding` and are never raised.
"""

from __future__ import annotations

from typing import Any


class TrocarError(Exception):
    """Base of every refusal by the world. Its text says what was found and what to do."""


class ImageError(TrocarError):
    """A scan or label file that cannot be used as it is."""


class FrameMismatchError(TrocarError):
    """Two images that do not lie in one frame of reference."""


class LabelSchemeError(TrocarError):
    """Label numbers that do not mean what the named scheme says."""


class LevelError(TrocarError):
    """A vertebral level that is absent, or not whole within the field of view."""


class NoSafeTrajectory(TrocarError):
    """No path keeps every hard margin.

    ``structure`` is what stands in the way, ``shortfall_mm`` by how much the best path misses
    the margin it needs, ``nearest`` the path that would do with the least concession (or None).
    """

    def __init__(
        self,
        text: str,
        *,
        structure: str,
        shortfall_mm: float,
        nearest: Any = None,
    ) -> None:
        super().__init__(text)
        self.structure = structure
        self.shortfall_mm = shortfall_mm
        self.nearest = nearest


class SimulationError(TrocarError):
    """A simulation that did not end in success; ``simulation`` holds what was computed."""

    def __init__(self, text: str, simulation: Any = None) -> None:
        super().__init__(text)
        self.simulation = simulation


class ToolError(TrocarError):
    """An external program that is missing, lacks its weights, or failed."""


class OutputError(TrocarError):
    """A place that cannot, or must not, be written to."""


class CaseFileError(TrocarError):
    """A ``plan.json`` that cannot be read, or whose schema this version does not know."""


class RegistryError(TrocarError):
    """The outcome store refuses."""
