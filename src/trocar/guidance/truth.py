"""What truly happened in a simulated fluoroscopy, frame by frame: for judging whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.anatomy.levels import Level
from trocar.geometry import Pose, Vector, frozen
from trocar.guidance.carm import CArm
from trocar.injection.routes import Route

#: A leak's shadow are the pixels in which at least so much cement lies outside the body, mm along the ray.
LEAST_MM = 0.3
#: How far beyond the body's silhouette a leak's shadow reaches when it must be found, mm at the body.
REACH_MM = 3.0
#: In an image of frame numbers: never.
NEVER = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """One instant.

    ``displacement`` takes CT coordinates of every vertebra to where it is; ``isocentre_mm`` is where the C-arm's
    isocentre truly lies in the patient. ``tip_mm`` and ``direction`` are the needle's, LPS, None without one.
    ``leaked_ml`` is in the order of :attr:`Truth.routes`; ``reach_mm`` how far each leak's shadow reaches beyond the
    body's silhouette in this view (0: not), mm at the body's depth. ``events`` begin with this frame.
    """

    number: int
    time_s: float
    displacement: Pose
    isocentre_mm: Vector
    tip_mm: Vector | None
    direction: Vector | None
    injected_ml: float
    inside_ml: float
    leaked_ml: tuple[float, ...]
    reach_mm: tuple[float, ...]
    events: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Truth:
    """A whole film of one view.

    ``centre_mm`` is the middle of the vertebral body in the CT. ``silhouette`` is the body's shadow and ``seen_from``
    ``[route, row, column]`` the number of the frame from which on a leak's shadow covers a pixel (:data:`NEVER`), both
    as seen at rest by the C-arm of ``view``, with ``margin`` pixels more on every side than its detector has.
    """

    level: Level
    view: CArm
    source: str
    seed: int
    rate_hz: float
    centre_mm: Vector
    routes: tuple[Route, ...]
    frames: tuple[FrameTruth, ...]
    margin: int
    silhouette: NDArray[np.bool_]
    seen_from: NDArray[np.int32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "centre_mm", frozen(self.centre_mm))
        object.__setattr__(self, "silhouette", frozen(self.silhouette, np.bool_))
        object.__setattr__(self, "seen_from", frozen(self.seen_from, np.int32))

    def __eq__(self, other: object) -> bool:
        """Equal when all that is recorded is."""
        return isinstance(other, Truth) and same(self, other)

    __hash__ = None  # type: ignore[assignment]

    def onset(self, route: Route, reach_mm: float = REACH_MM) -> int | None:
        """The first frame at which a leak's shadow reaches so far beyond the silhouette; None where it never does."""
        at = self.routes.index(route)
        return next((f.number for f in self.frames if f.reach_mm[at] >= reach_mm), None)

    def onsets(self, reach_mm: float = REACH_MM) -> dict[Route, int | None]:
        """The same for every leak."""
        return {route: self.onset(route, reach_mm) for route in self.routes}

    def shift_px(self, number: int) -> NDArray[np.float64]:
        """Rows and columns by which the vertebra's middle is away from where it is at rest, in one frame."""
        now = self.frames[number].displacement.to_world(self.centre_mm)
        return self.view_at(number).project(now) - self.view.project(self.centre_mm)

    def view_at(self, number: int) -> CArm:
        """Where the C-arm truly was about the patient."""
        return replace(self.view, isocentre_mm=self.frames[number].isocentre_mm)

    def leak_mask(self, route: Route, number: int) -> NDArray[np.bool_]:
        """A leak's shadow in one frame, ``[row, column]`` of its image, to the nearest pixel."""
        return self._here(self.seen_from[self.routes.index(route)] <= number, number)

    def body_mask(self, number: int) -> NDArray[np.bool_]:
        """The body's silhouette in one frame, ``[row, column]`` of its image, to the nearest pixel."""
        return self._here(self.silhouette, number)

    def _here(self, mask: NDArray[np.bool_], number: int) -> NDArray[np.bool_]:
        row, column = self.margin - np.rint(self.shift_px(number)).astype(int)
        rows, columns = self.view.detector.shape
        return mask[row : row + rows, column : column + columns]


def reach_of(seen_from: NDArray[np.int32], beyond_mm: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """How far a leak's shadow has come beyond a silhouette by each of ``count`` frames, mm.

    ``beyond_mm`` is each pixel's distance from the silhouette, 0 within.
    """
    found = np.zeros(count)
    ever = seen_from < count
    np.maximum.at(found, seen_from[ever], beyond_mm[ever])
    return np.maximum.accumulate(found)


def beyond_mm(silhouette: NDArray[np.bool_], pixel_mm: tuple[float, float]) -> NDArray[np.float64]:
    """Distance of each pixel from a silhouette, mm; ``pixel_mm`` are lengths at the body."""
    return np.asarray(ndimage.distance_transform_edt(~silhouette, sampling=pixel_mm))


def same(one: Any, other: Any) -> bool:
    """Whether two values of the same type hold the same, arrays and nested records included."""
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one == other
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return bool(one == other)
