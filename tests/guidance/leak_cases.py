"""Cheap injections with truth: layers of one projected phantom that are shifted, cement drawn on top, noise.

An injection is 6 to 10 s at 15 frames a second. The bones with needle and cement move with breathing, what lies over
them moves by half as much; the table is moved, the exposure jumps, the needle is pushed on. A leak is a tongue that
grows out of the outline. Truth is known in each frame: how far the leak's projection reaches beyond the outline.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import trocar
from trocar.anatomy.labels import union
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.phantom import PhantomSpec, phantom
from trocar.geometry import Line, Side
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.exposure import (
    CEMENT_PER_MM,
    Technique,
    attenuation,
    counts,
    integrals,
    open_counts,
    parted,
    primary,
    soft_per_mm,
)
from trocar.guidance.frames import Frame
from trocar.guidance.leak import LeakMonitor, Settings
from trocar.guidance.leak_state import Phase
from trocar.guidance.leak_zones import Zone
from trocar.guidance.motion import Window
from trocar.guidance.rods import Rod, rod_mm
from trocar.guidance.silhouette import Silhouette, seen_from

LEVEL = "L1"
RATE_HZ = 15.0
#: A leak is counted from the frame in which it reaches this far beyond the outline, mm.
COUNTED_MM = 3.0
#: Cement thinner than this belongs to no projection, mm.
THINNEST_MM = 0.3
#: Seconds before the cement comes.
BEFORE_S = 2.5
#: The scene goes on so far beyond the detector, pixels: a table move brings it in.
MARGIN_PX = 128
#: What cement fills of the bone's volume.
FILLS = 0.7


class View(Enum):
    """From where."""

    AP = "ap"
    LATERAL = "lateral"


#: Which leaks each view can show.
SHOWN = {
    View.AP: (Zone.DISC_ABOVE, Zone.DISC_BELOW, Zone.LEFT, Zone.RIGHT, Zone.VESSEL),
    View.LATERAL: (Zone.DISC_ABOVE, Zone.DISC_BELOW, Zone.CANAL, Zone.FRONT, Zone.TRACT, Zone.VESSEL),
}


@dataclass(frozen=True, eq=False)
class Scene:
    """One view of the phantom in layers of line integrals ``[row, column]``, and the outline in it."""

    view: CArm
    outline: Silhouette
    rest: NDArray[np.float32]
    bone: NDArray[np.float32]
    scatter: NDArray[np.float32]
    unattenuated: float
    needle: Line


@lru_cache(maxsize=2)
def patient(mirror: bool = False) -> Anatomy:
    drawn = phantom(PhantomSpec(mirror=mirror))
    return trocar.read_anatomy(drawn.labels, on=drawn.ct, scheme="totalseg-v2")


@lru_cache(maxsize=4)
def scene(which: View, pixels: int = 512, mirror: bool = False, technique: Technique = Technique()) -> Scene:  # noqa: B008
    """A view on a detector of ``pixels``² of 0.3 mm, 0.18 mm at the vertebra, with :data:`MARGIN_PX` around it."""
    whole = patient(mirror)
    vertebra = whole.vertebra(LEVEL)
    angle = 0.0 if which is View.AP else 90.0
    pixels += 2 * MARGIN_PX
    detector = Detector(pixels, pixels, 0.3, 0.3)
    view = CArm(vertebra.frame.origin_mm, angle, 0.0, detector=detector)
    needle = needle_of(whole)
    bones = union([v.mask for v in whole.vertebrae.values()])
    rest, (bone,) = parted(attenuation(whole.ct, technique), [bones])
    under = CArm(vertebra.frame.origin_mm, angle, 0.0, detector=detector.binned(2))
    layers = [cv2.resize(integrals(v, under), (pixels, pixels), interpolation=cv2.INTER_CUBIC) for v in (rest, bone)]
    # the phantom ends above and below: the patient does not, and open field beside the bone is no one's practice
    layers[0] = np.maximum(layers[0], np.float32(np.median(layers[0]) - 0.7))
    met = layers[0] + layers[1]
    unattenuated = open_counts(met, technique)
    scattered = counts(met, view, technique, unattenuated) - primary(met, technique) * np.float32(unattenuated)
    outline = seen_from(view, vertebra, whole.structures, needle=needle)
    return Scene(view, outline, layers[0], layers[1], scattered, unattenuated, needle)


def needle_of(whole: Anatomy) -> Line:
    """Through the left pedicle, its point at the tip in the body."""
    axis = whole.vertebra(LEVEL).pedicles[Side.LEFT].axis
    return Line(axis.at(26.0), axis.direction)


@dataclass(frozen=True)
class Case:
    """One injection. ``leak`` None: it stays inside. ``pan_mm`` and ``push_mm`` are whole movements of table and
    needle; ``jumps`` are times (s) and factors of exposure. ``off_mm`` is the registration's error (row, column).
    """

    seed: int
    which: View = View.LATERAL
    leak: Zone | None = None
    thick_mm: float = 2.0
    wide_mm: float = 5.0
    speed_mm_s: float = 3.0
    starts_s: float = 4.0
    length_s: float = 8.0
    breath_mm: float = 3.0
    period_s: float = 4.0
    pan_mm: tuple[float, float] = (0.0, 0.0)
    pan_s: float = 5.0
    push_mm: float = 0.0
    push_s: float = 4.5
    jumps: tuple[tuple[float, float], ...] = ()
    off_mm: tuple[float, float] = (0.0, 0.0)
    told_needle: bool = False
    cement_ml_s: float = 0.4
    counts: float = 200.0


@dataclass(frozen=True)
class Truth:
    """What is so in one frame: how far the leak reaches beyond the outline, mm (below 0: none), and all cement."""

    reach_mm: float
    leaked_ml: float
    inside_ml: float


#: Zone to the direction in the image (row, column) in which a leak leaves the outline in a view.
_WAY = {
    (View.AP, Zone.DISC_ABOVE): (-1.0, 0.15),
    (View.AP, Zone.DISC_BELOW): (1.0, -0.1),
    (View.AP, Zone.LEFT): (0.1, 1.0),
    (View.AP, Zone.RIGHT): (-0.1, -1.0),
    (View.AP, Zone.VESSEL): (0.25, 1.0),
    (View.LATERAL, Zone.DISC_ABOVE): (-1.0, 0.1),
    (View.LATERAL, Zone.DISC_BELOW): (1.0, 0.1),
}

_FRONT = (0.05, -1.0)  # in the lateral view at +90 degrees the front is on the image's left
_BACK = (0.1, 1.0)


def _way(case: Case) -> NDArray[np.float64]:
    """The direction in which a leak leaves the outline, (row, column), length 1."""
    assert case.leak is not None
    lateral = {Zone.FRONT: _FRONT, Zone.CANAL: _BACK, Zone.TRACT: _BACK, Zone.VESSEL: (0.2, -1.0)}
    way = np.array(_WAY.get((case.which, case.leak)) or lateral[case.leak])
    return way / np.hypot(*way)


class Injection:
    """The frames of a case, each with its truth; every one of them is drawn anew, so that nothing is held."""

    def __init__(self, case: Case, pixels: int = 512, technique: Technique | None = None, mirror: bool = False) -> None:
        self.case, self.pixels = case, pixels
        self.technique = technique or Technique(counts=case.counts)
        self.scene = scene(case.which, pixels, mirror)
        self.rng = np.random.default_rng(case.seed)
        self.mm = self.scene.outline.mm_per_pixel[0]
        self._grid()
        self._blob()
        self.noise = _noise()
        self._pushed = -1.0

    @cached_property
    def outline(self) -> Silhouette:
        """The outline that the monitor is given: off by the registration's error, breathing as in the first frame."""
        by = np.array(self.case.off_mm) / self.mm + self.shift_px(0.0)
        by = np.rint(by).astype(int)
        own = self.scene.outline
        needle = own.needle_px + by - MARGIN_PX if self.case.told_needle and own.needle_px is not None else None
        shadow = {z: replace(x, mask=_cropped(np.roll(x.mask, by, (0, 1)))) for z, x in own.shadow.items()}
        view = replace(own.view, detector=Detector(self.pixels, self.pixels, 0.3, 0.3))  # type: ignore[type-var]
        mask = _cropped(np.roll(own.mask, by, (0, 1)))
        return replace(own, mask=mask, shadow=shadow, needle_px=needle, view=view)

    def _grid(self) -> None:
        """A grid of half the resolution over the watched box, in which cement is drawn."""
        rows, columns = self.scene.outline.box
        self.box = rows, columns
        r, c = np.arange(rows.start, rows.stop, 2), np.arange(columns.start, columns.stop, 2)
        self.place = np.stack(np.meshgrid(r, c, indexing="ij")).astype(np.float32)
        self.away = self.scene.outline.distance_mm[::2, ::2]

    def _blob(self) -> None:
        """Where the cement in the body grows from, and where the leak leaves."""
        rows, columns = np.nonzero(self.scene.outline.mask)
        middle = np.array([rows.mean(), columns.mean()])
        size = 0.25 * np.array([np.ptp(rows), np.ptp(columns)])
        self.seeds = [middle + self.rng.uniform(-0.6, 0.6, 2) * size for _ in range(3)]
        self.ripe = self.rng.uniform(0.6, 1.2, 3)
        if self.case.leak is None:
            return
        way = _way(self.case)
        start = middle + self.rng.uniform(-0.5, 0.5) * size * np.array([-way[1], way[0]])
        if self.case.leak is Zone.TRACT:
            hub, tip = self.scene.outline.needle_px  # type: ignore[misc]
            way = (hub - tip) / np.hypot(*(hub - tip))
            start = tip
        steps = start + np.arange(0.0, 400.0)[:, None] * way
        inside = [
            self.scene.outline.mask[tuple(np.clip(np.rint(p).astype(int), 0, len(self.scene.rest) - 1))] for p in steps
        ]
        last = max(i for i, x in enumerate(inside) if x)
        self.exit, self.way = steps[last], way

    def shift_px(self, time_s: float) -> NDArray[np.float64]:
        """Where the vertebra is, (row, column), detector pixels from its place in the scene."""
        return self.breath_px(time_s) + self.pan_px(time_s)

    def breath_px(self, time_s: float) -> NDArray[np.float64]:
        phase = 2.0 * np.pi * time_s / self.case.period_s + self.case.seed % 7
        return 0.5 * self.case.breath_mm / self.mm * np.sin(phase) * np.array([1.0, 0.25])

    def pan_px(self, time_s: float) -> NDArray[np.float64]:
        done = np.clip((time_s - self.case.pan_s) / 0.8, 0.0, 1.0)
        return np.array(self.case.pan_mm) / self.mm * done

    def inside_mm(self, time_s: float) -> NDArray[np.float32]:
        """Cement in the body: three balls that grow, cut by the outline; length along each ray, mm."""
        age = max(time_s - BEFORE_S, 0.0)
        volume = 1000.0 * self.case.cement_ml_s * age / 3.0
        out = np.zeros(self.away.shape, np.float32)
        for seed, ripe in zip(self.seeds, self.ripe, strict=True):
            radius = np.float32(np.cbrt(0.75 / np.pi / FILLS * volume * ripe))
            if radius > 0.5:
                square = ((self.place - seed[:, None, None].astype(np.float32)) ** 2).sum(axis=0) * np.float32(
                    self.mm**2
                )
                np.maximum(out, 2.0 * np.sqrt(np.maximum(radius**2 - square, 0.0)), out=out)
        return np.float32(FILLS) * out * np.clip(0.5 - self.away / 0.6, 0.0, 1.0)

    def leak_mm(self, time_s: float) -> NDArray[np.float32]:
        """Cement outside: a tongue from the outline's edge; length along each ray, mm."""
        case = self.case
        length = case.speed_mm_s * (time_s - case.starts_s)
        if case.leak is None or length <= 0.0:
            return np.zeros(self.away.shape, np.float32)
        d = (self.place - self.exit[:, None, None].astype(np.float32)) * np.float32(self.mm)
        along = d[0] * self.way[0] + d[1] * self.way[1]
        across = d[1] * self.way[0] - d[0] * self.way[1]
        if case.leak is Zone.VESSEL:
            across = across - 1.5 * np.sin(0.35 * along)
        along = along - np.clip(along, -3.0, max(length - 0.5 * case.wide_mm, -3.0))
        square = (along**2 + across**2) / (0.5 * case.wide_mm) ** 2
        return (case.thick_mm * np.sqrt(np.maximum(1.0 - square, 0.0))).astype(np.float32)

    def truth(self, time_s: float) -> Truth:
        leak = self.leak_mm(time_s)
        out = (leak > THINNEST_MM) & (self.away > 0.0)
        area = 4.0 * self.mm**2 / 1000.0
        reach = float(self.away[out].max()) if out.any() else -1.0
        return Truth(reach, float(leak[self.away > 0].sum()) * area, float(self.inside_mm(time_s).sum()) * area)

    def leak_in(self, window: Window, time_s: float) -> NDArray[np.bool_]:
        """The leak's projection on a monitor's window: in the place where the vertebra was in the first frame."""
        whole = np.zeros(self.scene.outline.mask.shape, np.float32)
        leak = ((self.leak_mm(time_s) > THINNEST_MM) & (self.away > 0.0)).astype(np.float32)
        whole[self.box] = cv2.resize(leak, whole[self.box].shape[::-1])
        return window.reduced(_cropped(np.roll(whole, np.rint(self.shift_px(0.0)).astype(int), (0, 1)))) > 0.3

    def gain(self, time_s: float) -> float:
        return float(np.prod([f for at, f in self.case.jumps if time_s >= at] or [1.0]))

    def _rod(self, time_s: float) -> NDArray[np.float32]:
        """The needle's line integral: it is pushed on in steps of 0.25 mm."""
        pushed = self.case.push_mm * float(np.clip((time_s - self.case.push_s) / 0.6, 0.0, 1.0))
        pushed = np.round(4.0 * pushed) / 4.0
        if pushed != self._pushed:
            n = self.scene.needle
            rod = Rod(n.at(-125.0 + pushed), n.at(pushed), 3.048, 2.388)
            self._steel = np.float32(rod.per_mm - soft_per_mm()) * rod_mm(rod, self.scene.view)
            self._pushed = pushed
        return self._steel

    def frame(self, number: int) -> tuple[Frame, Truth]:
        time_s = number / RATE_HZ
        s = self.scene
        bone = s.bone + self._rod(time_s)
        cement = self.inside_mm(time_s) + self.leak_mm(time_s)
        if cement.any():
            part = bone[self.box]
            part += np.float32(CEMENT_PER_MM - soft_per_mm()) * cv2.resize(cement, part.shape[::-1])
        met = _shifted(bone, self.shift_px(time_s)) + _shifted(
            s.rest, self.pan_px(time_s) + 0.5 * self.breath_px(time_s)
        )
        mean = primary(met, self.technique) * np.float32(s.unattenuated) + _cropped(s.scatter)
        mean *= np.float32(self.gain(time_s) * self.case.counts / 200.0)
        image = self._recorded(mean)
        return Frame(number, time_s, "simulated", image, self.outline.view), self.truth(time_s)

    def _recorded(self, mean: NDArray[np.float32]) -> NDArray[np.uint16]:
        """As :func:`trocar.guidance.exposure.recorded`, with normal numbers from a table for speed."""
        first = int(self.rng.integers(0, len(self.noise) - 2 * mean.size))
        white = self.noise[first : first + 2 * mean.size].reshape(2, *mean.shape)
        t = self.technique
        image = cv2.GaussianBlur(mean + np.sqrt(mean) * white[0], (0, 0), t.blur_px)
        image += np.float32(t.electronic) * white[1]
        return np.clip(image * np.float32(t.gain), 0, 65535).astype(np.uint16)

    def __iter__(self) -> Iterator[tuple[Frame, Truth]]:
        return (self.frame(n) for n in range(round(self.case.length_s * RATE_HZ)))


@lru_cache(maxsize=1)
def _noise() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(1 << 23, dtype=np.float32)


def _shifted(image: NDArray[np.float32], by: NDArray[np.float64]) -> NDArray[np.float32]:
    """The detector's part of a layer that is moved by so much."""
    matrix = np.array([[1.0, 0.0, by[1] - MARGIN_PX], [0.0, 1.0, by[0] - MARGIN_PX]])
    size = (image.shape[1] - 2 * MARGIN_PX, image.shape[0] - 2 * MARGIN_PX)
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _cropped(image: NDArray[Any]) -> NDArray[Any]:
    return image[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def drawn_cases(count: int, seed: int, tight_share: float = 0.4) -> list[Case]:
    """Seeded injections: views, leaks, sizes, speeds, disturbances drawn at random; ``tight_share`` without a leak."""
    return [_drawn(seed * 100_000 + n, n < tight_share * count, n) for n in range(count)]


def _drawn(seed: int, tight: bool, n: int) -> Case:
    rng = np.random.default_rng(seed)
    which = (View.LATERAL, View.AP)[n % 2]
    zones = SHOWN[which]
    leak = None if tight else zones[(n // 2) % len(zones)]
    vessel = leak is Zone.VESSEL
    return Case(
        seed=seed,
        which=which,
        leak=leak,
        thick_mm=float(rng.uniform(1.0, 2.5)),
        wide_mm=float(
            rng.uniform(2.0, 3.0) if vessel else rng.uniform(7.0, 9.0) if leak is Zone.TRACT else rng.uniform(3.0, 8.0)
        ),
        speed_mm_s=float(rng.uniform(4.0, 10.0) if vessel else rng.uniform(1.5, 6.0)),
        starts_s=float(rng.uniform(3.2, 4.2)),
        length_s=7.0,
        period_s=float(rng.uniform(3.0, 5.0)),
        pan_mm=tuple(rng.uniform(-20.0, 20.0, 2)) if rng.random() < 0.4 else (0.0, 0.0),  # type: ignore[arg-type]
        pan_s=float(rng.uniform(2.5, 6.0)),
        push_mm=float(rng.uniform(2.0, 10.0)) if rng.random() < 0.4 else 0.0,
        push_s=float(rng.uniform(2.5, 6.0)),
        jumps=tuple(
            (float(rng.uniform(2.2, 6.5)), float(np.exp(rng.uniform(-0.7, 0.7)))) for _ in range(rng.integers(0, 3))
        ),
        off_mm=tuple(np.clip(rng.normal(0.0, 0.5, 2), -1.0, 1.0)),  # type: ignore[arg-type]
        told_needle=bool(rng.random() < 0.5),
        cement_ml_s=float(rng.uniform(0.2, 0.8)),
    )


@dataclass(frozen=True, eq=False)
class Trace:
    """One injection as it was judged, frame by frame: what a threshold is later held against.

    ``true`` is the evidence of the regions that lie on the leak, ``false`` of others; ``reach_mm`` is the truth.
    ``veiled``: most of the leak lies on the needle's own line when it counts.
    """

    case: Case
    true: NDArray[np.float64]
    false: NDArray[np.float64]
    reach_mm: NDArray[np.float64]
    leaked_ml: NDArray[np.float64]
    watching: NDArray[np.bool_]
    zones: tuple[Zone, ...]
    veiled: bool = False

    def found(self, threshold: float) -> int | None:
        """Frames from when the leak counts until it was told (below 0: before); None where it was not."""
        counted, told = np.flatnonzero(self.reach_mm >= COUNTED_MM), np.flatnonzero(self.true >= threshold)
        return int(told[0] - counted[0]) if len(counted) and len(told) else None

    @property
    def counts(self) -> bool:
        """Whether the leak reaches as far as it must, with two thirds of a second left to find it."""
        reached = np.flatnonzero(self.reach_mm >= COUNTED_MM)
        return bool(len(reached) and reached[0] <= len(self.reach_mm) - 11)

    @property
    def counted_ml(self) -> float:
        """How much lies outside when the leak counts; -1 for none."""
        reached = np.flatnonzero(self.reach_mm >= COUNTED_MM)
        return float(self.leaked_ml[reached[0]]) if len(reached) else -1.0

    def false_alarms(self, threshold: float, apart: int = 15) -> int:
        """Alarms with nothing there: runs of frames, those within a second taken as one."""
        at = np.flatnonzero(self.false >= threshold)
        return int(len(at) > 0) + int(np.sum(np.diff(at) > apart))


def traced(case: Case, pixels: int = 512, settings: Settings | None = None) -> Trace:
    """Run the monitor over one injection."""
    injection = Injection(case, pixels)
    outline = injection.outline
    watch, window = LeakMonitor(outline, settings), Window.around(outline)
    rows: list[tuple[float, float, float, float, bool]] = []
    state, veiled = None, None
    for frame, truth in injection:
        state = watch.step(frame)
        if veiled is None and truth.reach_mm >= COUNTED_MM:
            veiled = _veiled(watch, injection.leak_in(window, frame.time_s))
        there = injection.leak_in(window, frame.time_s) if state.regions and truth.reach_mm > 0.0 else None
        own = [r for r in state.regions if there is not None and (r.mask & there).any()]
        others = [r.score for r in state.regions if not r.needle_like and not any(r is o for o in own)]
        true = max((r.score for r in own if not r.needle_like), default=0.0)
        rows.append((true, max(others, default=0.0), truth.reach_mm, truth.leaked_ml, state.phase is Phase.WATCHING))
    true, false, reach, leaked, watching = (np.array(x) for x in zip(*rows, strict=True))
    zones = tuple(leak.zone for leak in state.leaks) if state else ()
    return Trace(case, true, false, reach, leaked, watching.astype(bool), zones, bool(veiled))


def _veiled(watch: LeakMonitor, leak: NDArray[np.bool_]) -> bool:
    needle = watch.needle
    return needle is not None and bool((needle.shaft | needle.ahead)[leak].mean() > 0.5)
