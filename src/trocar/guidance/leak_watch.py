"""The watch over one view of one vertebra: frames are brought onto the reference, evidence gathered, leaks told."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trocar.guidance.cement_image import SLIP_MM, Cement, Dilution, without_background
from trocar.guidance.frames import Alarm, AlarmKind, Frame, Intensity
from trocar.guidance.leak_evidence import CAP, DRIFT_SD, FARTHEST_MM, GROUND, Evidence, Region
from trocar.guidance.leak_learning import Learning
from trocar.guidance.leak_picture import picture
from trocar.guidance.leak_place import Places
from trocar.guidance.leak_state import Leak, Phase, Sight, State
from trocar.guidance.leak_stream import alarm_of
from trocar.guidance.leak_told import Told
from trocar.guidance.leak_zones import NEAR_MM, UNDECIDABLE_SHARE
from trocar.guidance.motion import Aligner, Motion, Patch, Reference, Window, blurred
from trocar.guidance.needle_shadow import AHEAD_MM, BESIDE_MM, USUAL_MM, NeedleShadow, all_of, found, strip
from trocar.guidance.silhouette import EDGE_MM, Silhouette
from trocar.guidance.vision import opencv
from trocar.measure import Finding, Range, Severity

#: The blur in which a leak is looked for, standard deviation, mm: about half the width of the thinnest.
LOOK_MM = 0.6
#: What everything may be off by that no noise tells of, line integral: a tenth of a millimetre of cement.
FLOOR = 0.02
#: The vertebra is compared with the reference within this of its outline, mm.
COMPARED_MM = 6.0
#: Faster than this from frame to frame nothing is judged: the pulse blurs the image, mm.
MOVES_MM = 3.0
#: After a movement of the table by more than this the vertebra is seen from elsewhere: it is learned anew from so many
#: frames that each lie within so much of the one before, mm.
ANEW_MM, ANEW_FRAMES, RESTS_MM = 8.0, 8, 0.5
#: Until then what lies 20 mm before or behind the middle of the vertebra, 620 mm from the source, slips by this share
#: of the movement beyond what breathing has taught, mm.
PARALLAX, BREATHES_MM = 20.0 / 620.0, 4.0
#: What changes farther than this from the outline while the table moves is put down to the move, mm.
NEARBY_MM = 8.0
#: Below this share of the learned likeness the vertebra is not found.
FOUND_SHARE = 0.6
#: Images before the injection that are less alike than this, as a median, do not show one vertebra: frames of noise
#: have 0.06 to 0.14, a simulated vertebra 0.98 and more. Ours.
ALIKE = 0.5
#: A change of line integral beyond this, touching the window's rim, is a shutter or something laid into the beam.
SHUTTER = 1.2
#: So much of the surroundings must be watched.
WATCHED_SHARE = 0.85
#: Below this share of the threshold a region is taken for gone.
GONE_SHARE = 0.3
#: At most so many leaks are kept with their pictures; further ones still alarm.
MOST_LEAKS = 16


@dataclass(frozen=True)
class Settings:
    """How the monitor judges.

    ``learns``: frames before the injection; breathing should show in them. ``threshold``: evidence that alarms
    (docs/leak_alarm.md has the curve). ``dilution``: how attenuation becomes thickness.
    """

    learns: int = 30
    threshold: float = 9.0
    dilution: Dilution = field(default_factory=Dilution)

    def __post_init__(self) -> None:
        Range(5, 300).check("learns", self.learns, "the leak monitor")
        Range(1.0, CAP).check("threshold", self.threshold, "the leak monitor")


class Watch:
    """One view of one vertebra, from the first frame on."""

    def __init__(self, outline: Silhouette, frame: Frame, settings: Settings) -> None:
        self.outline, self.settings = outline, settings
        self.window = Window.around(outline)
        self.distance = self._distance()
        self.outside = (self.distance > EDGE_MM) & (self.distance < FARTHEST_MM)
        self.weight = (self.distance < COMPARED_MM).astype(np.float32)
        self.learning: Learning | None = Learning(self.window, self.weight, frame)
        self._first = frame
        self.detector_mm = self.window.mm_per_pixel / self.window.factor
        self._still_mm = np.zeros(2)  # how far the table had been moved when the vertebra was learned
        self._anew: list[tuple[NDArray[np.float64], Patch, NDArray[np.bool_]]] = []
        self._since: tuple[int, float, NDArray[np.uint8]] | None = None
        self._told: set[str] = set()
        self._told_leaks, self._told_needles = Told(), Told()

    def _distance(self) -> Patch:
        """Signed distance from the outline on the window's pixels."""
        w, f = self.window, self.window.factor
        part = self.outline.distance_mm[: w.shape[0] * f, : w.shape[1] * f]
        return np.asarray(opencv().resize(part, w.shape[::-1], interpolation=opencv().INTER_AREA))

    @property
    def sigma_px(self) -> float:
        """The blur of the look-out, window's pixels."""
        return LOOK_MM / self.window.mm_per_pixel

    def step(self, frame: Frame, leaks: tuple[Leak, ...]) -> State:
        """Judge one frame that is of the right kind."""
        if self.learning is not None:
            return self._learn(frame, leaks)
        before = self.aligner.last.copy()
        motion, aligned, held = self.aligner.align(frame.image, frame.intensity)
        if motion.likeness < self.aligner.trusted:
            return self._state(frame, Phase.LOST, motion, leaks)
        moved_mm = np.hypot(*(np.array(motion.shift_px) - before)) * self.detector_mm
        if moved_mm > MOVES_MM:
            return self._state(frame, Phase.MOVING, motion, leaks)
        return self._judge(frame, motion, aligned, held > 0, leaks)

    def _learn(self, frame: Frame, leaks: tuple[Leak, ...]) -> State:
        learning = self.learning
        assert learning is not None
        motion = learning.add(frame) if frame is not self._first else Motion((0.0, 0.0))
        alarms: tuple[Alarm, ...] = ()
        if len(learning.kept) >= self.settings.learns:
            alarms = self._begin_if_alike(learning, frame)
        return self._state(frame, Phase.LEARNING, motion, leaks, alarms)

    def _begin_if_alike(self, learning: Learning, frame: Frame) -> tuple[Alarm, ...]:
        """Watch from now on; where the images do not show one vertebra, learn again and say so."""
        alike = learning.alike
        if alike >= ALIKE:
            self._begin(learning, frame.intensity)
            return ()
        # the outline belongs to the first image: all others are brought onto it, now as before
        self.learning = Learning(self.window, self.weight, self._first)
        text = (
            f"Do not inject: the first image and those after it do not show the same vertebra (likeness {alike:.2f}, at"
            f" least {ALIKE} is needed). It is learned again; if this is said again, start anew on an image of it."
        )
        kind = AlarmKind.UNRELIABLE
        return (Alarm(kind, frame.time_s, frame.number, frame.source, Finding(Severity.STOP, text, kind.value)),)

    def _begin(self, learning: Learning, intensity: Intensity) -> None:
        """Turn what was learned into a reference."""
        mean, self.overlay, self.noise = learning.finish(self.sigma_px)
        self.reference = Reference(mean, self.weight, self.window.mm_per_pixel)
        self.needle = self._needles(mean)
        self.reference.ignore(self.needle.shaft)
        self.weight = self.reference.weight
        likeness = float(np.median(learning.likeness))
        self.aligner = Aligner(self.window, self.reference, FOUND_SHARE * likeness)
        self.aligner.usual = likeness
        self.aligner.last = learning.aligner.last
        self.open = learning.held
        self.places = Places(self.outline, self.window, self.needle.shaft)
        self.cement = Cement(self.window.shape, self.window.mm_per_pixel, self.settings.dilution)
        self.evidence = Evidence(self.distance, self.window.mm_per_pixel)
        self.learning = None

    def _needles(self, mean: Patch) -> NeedleShadow:
        w, told = self.window, self.outline.needle_px
        shadows = found(mean, w.mm_per_pixel)
        if told is not None and not shadows:
            ends = (np.asarray(told) - (w.row, w.column)) / w.factor - 0.5 * (1 - 1 / w.factor)
            half = (0.5 * USUAL_MM + BESIDE_MM) / w.mm_per_pixel
            shadows.append(strip(w.shape, ends[0], ends[1], half, AHEAD_MM / w.mm_per_pixel))
        return all_of(w.shape, shadows)

    def _judge(
        self, frame: Frame, motion: Motion, aligned: Patch, held: NDArray[np.bool_], leaks: tuple[Leak, ...]
    ) -> State:
        here_mm = np.array(motion.shift_px) * self.detector_mm
        self._learn_anew(here_mm, aligned, held)
        far_mm = max(float(np.hypot(*(here_mm - self._still_mm))) - BREATHES_MM, 0.0)
        along_mm = self.overlay.along_mm(here_mm - self._still_mm)
        raw = aligned - self.reference.image - self.overlay.at(along_mm)
        held = held & self.open & ~self._shuttered(raw)
        quiet = held & (self.evidence.sum < 3.0) & (self.distance > EDGE_MM) & ~self.needle.shaft
        difference = without_background(raw, quiet.astype(np.float32), self.window.mm_per_pixel)
        # fewer quanta, more noise; a brighter image may only have been amplified
        darker = np.float32(max(np.exp(0.5 * motion.offset), 1.0))
        self.cement.update(
            difference, held, darker * self.noise.plain, self.reference.steepness / self.window.mm_per_pixel
        )
        self._leave_out()
        watched = held & self.outside & ~self.needle.shaft
        self.spread = self._spread(darker, along_mm, SLIP_MM + PARALLAX * far_mm)
        if far_mm > 0.0:
            self.spread = np.where(self.distance > NEARBY_MM, np.float32(1.0 + far_mm) * self.spread, self.spread)
        look = self._look(difference, watched)
        self.evidence.add(look / self.spread, watched)
        self.overlay.follow(difference, along_mm, self.noise.plain, watched & (self.evidence.sum < GROUND))
        regions = self.evidence.regions(self.needle.ahead, self.needle.shaft)
        leaks, alarms = self._told_of(frame, aligned, regions, leaks)
        share = float((watched | self.needle.shaft)[self.outside].mean())
        alarms += self._narrowed(frame, share)
        return self._state(frame, Phase.WATCHING, motion, leaks, tuple(alarms), tuple(regions), share)

    def _shuttered(self, raw: Patch) -> NDArray[np.bool_]:
        """What a shutter, or something laid into the beam, has covered or bared: it comes in from the rim."""
        cv2 = opencv()
        far = (np.abs(raw) > SHUTTER).astype(np.uint8)
        if not far.any():
            return far > 0
        number, label = cv2.connectedComponents(far)
        rim = np.unique(np.concatenate((label[0], label[-1], label[:, 0], label[:, -1])))
        touching = np.zeros(number, np.uint8)
        touching[rim] = 1
        touching[0] = 0
        return cv2.dilate(touching[label], np.ones((9, 9), np.uint8)) > 0

    def _learn_anew(self, here_mm: NDArray[np.float64], aligned: Patch, held: NDArray[np.bool_]) -> None:
        """After the table has brought the vertebra elsewhere and rests: what it looks like from there."""
        if np.hypot(*(here_mm - self._still_mm)) <= ANEW_MM:
            self._anew = []
            return
        if self._anew and np.hypot(*(here_mm - self._anew[-1][0])) > RESTS_MM:
            self._anew = []
        self._anew.append((here_mm, aligned, held))
        if len(self._anew) < ANEW_FRAMES:
            return
        seen = self.cement.mask | (self.evidence.sum > GROUND)
        far_off = self.distance > NEARBY_MM
        known = (opencv().dilate(seen.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0) & ~far_off
        self.evidence.sum[far_off] = 0.0
        change = np.mean([image for _, image, _ in self._anew], axis=0) - self.reference.image
        # no more is learned than another direction of view explains: cement that came meanwhile is left to be seen
        far_mm = float(np.hypot(*(here_mm - self._still_mm)))
        steep = opencv().dilate(self.reference.steepness, np.ones((5, 5), np.uint8)) / self.window.mm_per_pixel
        bound = np.where(far_off, np.float32(np.inf), np.float32(PARALLAX * far_mm) * steep + np.float32(FLOOR))
        change = np.minimum(change, bound)
        self.reference.replace(self.reference.image + np.where(known, np.float32(0.0), change))
        self.open = np.all([h for _, _, h in self._anew], axis=0)
        self._still_mm = np.mean([place for place, _, _ in self._anew], axis=0)
        self.overlay.begin_here()
        self._anew = []

    def _leave_out(self) -> None:
        """Compare the vertebra with its reference where there is no cement."""
        grown = opencv().dilate(self.cement.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        self.reference.weight = np.where(grown, np.float32(0.0), self.weight)

    def _look(self, difference: Patch, watched: NDArray[np.bool_]) -> Patch:
        """The blurred difference, from watched pixels only: cement inside casts no blur outside."""
        w = watched.astype(np.float32)
        seen = np.maximum(blurred(w, self.sigma_px), np.float32(0.2))
        return (blurred(difference * w, self.sigma_px) / seen).astype(np.float32)

    def _spread(self, darker: np.float32, along_mm: float, slip_mm: float) -> Patch:
        """What a pixel's blurred difference is off by for other reasons than cement, standard deviation."""
        slip = np.float32(slip_mm / self.window.mm_per_pixel) * self.reference.steepness
        doubt = self.overlay.doubt(along_mm)
        variance: Patch = (darker * self.noise.smooth) ** 2 + slip**2 + doubt**2 + np.float32(FLOOR**2)
        return np.sqrt(variance).astype(np.float32)

    def _told_of(
        self, frame: Frame, aligned: Patch, regions: list[Region], leaks: tuple[Leak, ...]
    ) -> tuple[tuple[Leak, ...], list[Alarm]]:
        """New leaks among the regions, with their alarms."""
        alarms: list[Alarm] = []
        strong = [r for r in regions if r.score >= GONE_SHARE * self.settings.threshold]
        if not strong:
            self._since = None
        elif self._since is None:
            shown = picture(aligned, self.distance, self.cement.mask, strong[0].mask)
            self._since = (frame.number, frame.time_s, shown)
        for region in regions:
            if region.score < self.settings.threshold:
                continue
            if region.needle_like:
                alarms += self._needle_moved(frame, region)
                continue
            why = self._told_leaks.asks_again(region, self.places.of(region.mask)[0], frame.time_s)
            if why:
                told = self._leak(frame, aligned, region, why)
                leaks = (*leaks, told) if len(leaks) < MOST_LEAKS else leaks
                alarms.append(told.alarm)
        if not any(r.needle_like and r.score >= GONE_SHARE * self.settings.threshold for r in regions):
            self._told_needles.forget()
        return leaks, alarms

    def _needle_moved(self, frame: Frame, region: Region) -> list[Alarm]:
        """Something narrow in the needle's line ahead of its tip: said of each, and again when it has grown."""
        zone, _ = self.places.of(region.mask)
        if not self._told_needles.asks_again(region, zone, frame.time_s):
            return []
        text = (
            "Something narrow appeared ahead of the needle's tip: the needle was pushed on, or cement runs in its line,"
            f" {zone.value}, {region.reach_mm:.0f} mm beyond the outline. Look at it: it is not judged as a leak."
        )
        return [alarm_of(frame, AlarmKind.UNRELIABLE, text)]

    def _leak(self, frame: Frame, aligned: Patch, region: Region, why: str) -> Leak:
        zone, also = self.places.of(region.mask)
        others = f"; from this side it could also lie {', or '.join(z.value for z in also)}" if also else ""
        now = "" if why == "new" else "now "
        text = f"Stop: cement {now}{zone.value}, {region.reach_mm:.0f} mm beyond the outline{others}."
        since = self._since or (frame.number, frame.time_s, np.zeros((1, 1, 3), np.uint8))
        return Leak(
            zone, also, since[0], since[1], alarm_of(frame, AlarmKind.LEAK, text), region.reach_mm, region.area_mm2,
            region.mask, since[2], picture(aligned, self.distance, self.cement.mask, region.mask),
        )  # fmt: skip

    def _narrowed(self, frame: Frame, share: float) -> list[Alarm]:
        """Told when too little of the surroundings is watched, and again after it was better."""
        if share >= WATCHED_SHARE:
            self._told.discard("narrowed")
            return []
        if "narrowed" in self._told:
            return []
        self._told.add("narrowed")
        text = f"Only {100 * share:.0f} % of what surrounds the vertebra is in view: what leaks elsewhere is not seen."
        return [alarm_of(frame, AlarmKind.UNRELIABLE, text)]

    def _sight(self, share: float) -> Sight:
        near = self.outside & (self.distance < EDGE_MM + NEAR_MM) & ~self.needle.shaft
        spread = float(np.median(self.spread[near][::7])) if near.any() else float("nan")
        thin = (DRIFT_SD + self.settings.threshold / 10.0) * spread / self.settings.dilution.seen_per_mm
        hidden = {z: s.hidden_mm3 / 1000.0 for z, s in self.outline.shadow.items() if s.hidden > UNDECIDABLE_SHARE}
        return Sight(thin, thin * 9.0 / 1000.0, share, tuple(hidden), hidden)

    def _state(
        self,
        frame: Frame,
        phase: Phase,
        motion: Motion,
        leaks: tuple[Leak, ...],
        alarms: tuple[Alarm, ...] = (),
        regions: tuple[Region, ...] = (),
        share: float | None = None,
    ) -> State:
        seen = share is not None
        score = max((r.score for r in regions if not r.needle_like), default=0.0)
        return State(
            frame.number, frame.time_s, frame.source, phase, motion, score, self.settings.threshold,
            self.cement.volume() if seen else None, self.cement.volume(self.outside) if seen else None,
            self._sight(share) if share is not None else None, alarms, leaks, regions,
        )  # fmt: skip
