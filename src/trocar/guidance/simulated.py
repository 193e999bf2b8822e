"""Simulated fluoroscopy of a patient whose truth is known: breathing, needle, cement, leaks, and all that disturbs.

::

    scene = Scene.of(anatomy, "L1")
    film = simulate_fluoroscopy(Layers.of(scene, view), Script(leaks=(Leak(Route.DISC),)), seed=7, path=trajectory)
    for frame in film:                      # 15 a second, made one by one, always the same
        ...
    film.truth.onset(Route.DISC)            # the first frame in which it reaches 3 mm beyond the body

Frames tell the view they began with: a C-arm does not know that the table moved. The truth does.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Vector, unit
from trocar.guidance.breathing import shifted
from trocar.guidance.carm import CArm
from trocar.guidance.cement_inside import blob
from trocar.guidance.cement_shadow import Shadow
from trocar.guidance.escape import Escape, escape
from trocar.guidance.exposure import CEMENT_PER_MM, Image, Technique, counts, open_counts, recorded, soft_per_mm
from trocar.guidance.frames import Frame
from trocar.guidance.growth import NO_CEMENT, Course
from trocar.guidance.rods import Rod, add_rod
from trocar.guidance.scene import Layers
from trocar.guidance.script import Script
from trocar.guidance.truth import LEAST_MM, FrameTruth, Truth, beyond_mm, reach_of
from trocar.injection.routes import Route
from trocar.planning.trajectory import Trajectory

#: Streams of random numbers that hang on one seed: the cement's way inside, the leaks' shapes, the noise.
_INSIDE, _OUTSIDE, _NOISE = 1, 2, 3
#: Less cement than this is none, ml.
_NO_ML = 1e-6


@dataclass(frozen=True, eq=False)
class Fluoroscopy:
    """A film of one view: iterate over it for its frames, as often as wanted; ``truth`` is what happens in it."""

    layers: Layers
    script: Script
    technique: Technique
    seed: int
    path: Trajectory | None
    inside: Course
    escapes: tuple[Escape, ...]
    source: str = "simulated"

    @property
    def view(self) -> CArm:
        """The view that the film begins with."""
        return self.layers.view

    def __len__(self) -> int:
        return len(self.script.times_s)

    def __iter__(self) -> Iterator[Frame]:
        """The frames in order."""
        bone, state = np.array(self.layers.spine), [0] * (1 + len(self.escapes))
        open_field: float | None = None
        for number, time_s in enumerate(self.script.times_s):
            self._fill(bone, state, number)
            met, seen, technique = self._exponents(bone, number), self._seen(number), self._technique(time_s)
            open_field = open_counts(met, technique) if open_field is None else open_field
            mean = counts(met, seen, technique, open_field * self.script.exposure(time_s).dose)
            image = recorded(mean, technique, self._noise(number))
            yield Frame(number, float(time_s), self.source, image, self.view, technique.intensity)

    @cached_property
    def truth(self) -> Truth:
        """What happens, frame by frame."""
        wide = self.layers.wide
        size = (wide.detector.row_spacing_mm, wide.detector.column_spacing_mm)
        away = float((self.layers.scene.centre_mm - wide.source_mm) @ wide.toward_detector)
        scale = away / wide.source_to_detector_mm
        off = beyond_mm(self.layers.silhouette, (size[0] * scale, size[1] * scale))
        full = self._full[1:]
        seen = [s.seen_from(wide.detector.shape, f, LEAST_MM) for s, f in zip(self._shadows[1:], full, strict=True)]
        reach = np.array([reach_of(s, off, len(self)) for s in seen]).reshape(len(seen), len(self))
        return Truth(
            self.layers.scene.level,
            self.view,
            self.source,
            self.seed,
            self.script.rate_hz,
            self.layers.scene.centre_mm,
            tuple(e.route for e in self.escapes),
            tuple(self._truth_of(n, reach[:, n]) for n in range(len(self))),
            self.layers.margin,
            self.layers.silhouette,
            np.array(seen, np.int32).reshape(len(seen), *wide.detector.shape),
        )

    @cached_property
    def _leaked_ml(self) -> NDArray[np.float64]:
        return self.script.leaked_ml(self.script.times_s)

    @cached_property
    def _injected_ml(self) -> NDArray[np.float64]:
        return self.script.injected_ml(self.script.times_s)

    @cached_property
    def _shadows(self) -> tuple[Shadow, ...]:
        """Of the cement inside, then of each leak."""
        return tuple(Shadow.of(c, self.layers.wide) for c in (self.inside, *(e.course for e in self.escapes)))

    @cached_property
    def _full(self) -> tuple[NDArray[np.int64], ...]:
        """How many cubes of each course are full in each frame."""
        inside = self._injected_ml - self._leaked_ml.sum(axis=0)
        outside = (e.course.count(ml) for e, ml in zip(self.escapes, self._leaked_ml, strict=True))
        return (self.inside.count(inside), *outside)

    @cached_property
    def _spine_mm(self) -> NDArray[np.float64]:
        return self.script.breathing.spine_mm(self.script.times_s)

    @cached_property
    def _organs_mm(self) -> NDArray[np.float64]:
        return self.script.breathing.organs_mm(self.script.times_s)

    @cached_property
    def _isocentres_mm(self) -> NDArray[np.float64]:
        return self.view.isocentre_mm + self.script.isocentre_shift_mm(self.script.times_s)

    def _fill(self, bone: Image, state: list[int], number: int) -> None:
        """Add the cement that came since the last frame to the spine's layer."""
        weight = CEMENT_PER_MM - soft_per_mm()
        for n, (shadow, full) in enumerate(zip(self._shadows, self._full, strict=True)):
            last = int(full[number])
            shadow.add(bone, state[n], last, weight)
            state[n] = last

    def _seen(self, number: int) -> CArm:
        """Where the C-arm truly is."""
        return replace(self.view, isocentre_mm=self._isocentres_mm[number])

    def _exponents(self, bone: Image, number: int) -> Image:
        """What the beam meets in one frame."""
        seen = self._seen(number)
        met = self.layers.exponents(bone, seen, self._spine_mm[number], self._organs_mm[number])
        for rod in self._rods(number):
            add_rod(met, rod, seen, rod.per_mm - soft_per_mm())
        return met

    def farthest_px(self, number: int) -> float:
        """How far any shadow is shifted in one frame, along rows or columns."""
        moved = self.layers.shifts_px(self._seen(number), self._spine_mm[number], self._organs_mm[number])
        return float(np.abs(moved).max())

    def _technique(self, time_s: float) -> Technique:
        """The technique at an instant."""
        gain = self.technique.gain * self.script.exposure(time_s).gain
        return replace(self.technique, gain=gain, shutters=self.script.shutters(time_s) or self.technique.shutters)

    def _noise(self, number: int) -> np.random.Generator:
        """The noise of one frame: of this seed, this source and this number."""
        return np.random.default_rng((self.seed, _NOISE, zlib.crc32(self.source.encode()), number))

    def needle(self, number: int) -> tuple[Vector, Vector] | None:
        """Tip (LPS) and direction of the needle in one frame; it goes with the vertebra."""
        if self.path is None:
            return None
        tip = _pushed(self.path, self.script, float(self.script.times_s[number]))
        return tip + self._spine_mm[number], unit(tip - self.path.skin_mm)

    def _rods(self, number: int) -> tuple[Rod, ...]:
        """The needle: with its stylet before any cement is to come, else a tube with cement in it."""
        found = self.needle(number)
        if self.path is None or found is None:
            return ()
        stylet = self.script.injecting is None
        steel = Rod.of(self.path.instrument, *found, stylet=stylet)
        return (steel,) if stylet else (steel, steel.filled(CEMENT_PER_MM))

    def _truth_of(self, number: int, reach_mm: NDArray[np.float64]) -> FrameTruth:
        tip, direction = self.needle(number) or (None, None)
        leaked, time_s = self._leaked_ml[:, number], self.script.times_s
        until = time_s[number + 1] if number + 1 < len(self) else np.inf
        return FrameTruth(
            number,
            float(time_s[number]),
            shifted(self._spine_mm[number]),
            self._isocentres_mm[number],
            tip,
            direction,
            float(self._injected_ml[number]),
            float(self._injected_ml[number] - leaked.sum()),
            tuple(float(ml) for ml in leaked),
            tuple(float(mm) for mm in reach_mm),
            tuple(what for at, what in self.script.events() if time_s[number] <= at < until),
        )


def simulate_fluoroscopy(
    layers: Layers,
    script: Script,
    technique: Technique | None = None,
    seed: int = 0,
    *,
    path: Trajectory | None = None,
    inside: Course | None = None,
    escapes: Sequence[Escape] | None = None,
    source: str = "simulated",
) -> Fluoroscopy:
    """A film of one view; films of other views with the same script, seed and path show the same patient.

    ``inside`` is the cement in the bone (drawn as a blob from the needle's tip where none is given, no flow model),
    ``escapes`` the shapes of the script's leaks in order (:func:`shapes` draws them). Raises ``ValueError`` where they
    do not belong to the script, or where it moves shadows beyond the layers' room, and
    :class:`trocar.errors.SimulationError` for a leak this anatomy has no room for.
    """
    near = layers.scene.near
    outside = shapes(layers, script, seed, path) if escapes is None else tuple(escapes)
    wanted = tuple(leak.route for leak in script.leaks)
    if tuple(e.route for e in outside) != wanted:
        raise ValueError(f"{len(outside)} shapes of leaks do not belong to the script's {len(wanted)}, in its order.")
    kept = _kept_ml(script)
    if inside is None:
        start = _tip_at_start(layers, script, path)
        inside = blob(near, kept, np.random.default_rng((seed, _INSIDE)), start) if kept > _NO_ML else NO_CEMENT
    if inside.total_ml < kept - _NO_ML:
        raise ValueError(f"the script puts {kept:.2f} ml into the bone, the course given holds {inside.total_ml:.2f}.")
    film = Fluoroscopy(layers, script, technique or Technique(), seed, path, inside, outside, source)
    _check_room(film)
    return film


def _check_room(film: Fluoroscopy) -> None:
    """Refuse a script that moves shadows farther than their margin."""
    farthest = max(film.farthest_px(number) for number in range(len(film)))
    if farthest > film.layers.margin - 2:
        raise ValueError(
            f"the script moves shadows by {farthest:.0f} px and the layers have room for {film.layers.margin - 2} px: "
            "cast them with a larger room_mm."
        )


def shapes(layers: Layers, script: Script, seed: int, path: Trajectory | None = None) -> tuple[Escape, ...]:
    """A shape for each of the script's leaks; the same seed gives the same, in every view."""
    near, routes = layers.scene.near, list(Route)
    return tuple(
        escape(near, leak.route, leak.ml, _stream(seed, routes.index(leak.route)), side=leak.side, path=path)
        for leak in script.leaks
    )


def _pushed(path: Trajectory, script: Script, time_s: float) -> Vector:
    """The needle's tip at an instant, the vertebra at rest, LPS."""
    push = script.advance
    if push is None:
        return path.target_mm
    done = float(push.done(np.array([time_s]))[0])
    short = push.from_mm + done * (push.to_mm - push.from_mm)
    return np.asarray(path.target_mm - short * path.direction + done * np.array(push.aside_mm))


def _tip_at_start(layers: Layers, script: Script, path: Trajectory | None) -> Vector:
    """Where the first cement comes out; in the middle of the body without a needle."""
    if path is None or script.injecting is None:
        return layers.scene.centre_mm
    return _pushed(path, script, script.injecting.start_s)


def _stream(seed: int, route: int) -> np.random.Generator:
    return np.random.default_rng((seed, _OUTSIDE, route))


def _kept_ml(script: Script) -> float:
    """How much the script leaves in the bone at most."""
    times = script.times_s
    return float((script.injected_ml(times) - script.leaked_ml(times).sum(axis=0)).max())
