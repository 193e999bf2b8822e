"""Where one vertebra is during fluoroscopy: 2D/3D registration of one or two images to the CT.

::

    found = register(frames, anatomy, "L1")
    found.displacement.to_world(points_of_the_ct)    # where those points are now
    found.reliable, found.findings                   # and whether to believe it

Each vertebra is registered for itself, as patients bend. The way there:

1. at three millimetres, the vertebra with the bones around it is looked for where the C-arm's angles say, and one and
   two vertebrae above and below (:mod:`trocar.guidance.level_check`), over all shifts and a few turns; where the last
   of them fits best, further;
2. at two, the vertebra itself moves before the bones around it, and its neighbours after it;
3. the rest of the patient, ribs and soft tissue, is put in place behind them, where it explains the image;
4. at one, the vertebra is refined before all that, and the surface of similarity says how sure that is.

Similarity is that of edges (:mod:`trocar.guidance.similarity`); shutters, metal and what the caller leaves out are not
compared. What the image shows of levels is compared with the CT's labels: whether those are right is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.errors import ImageError
from trocar.geometry import Pose
from trocar.guidance.articulation import alone, articulate, backed, settled, unbent
from trocar.guidance.bone_parts import BoneParts, bone_parts
from trocar.guidance.carm import AT_REST, CArm
from trocar.guidance.confidence import Confidence, confidence
from trocar.guidance.edge_view import EdgeView, edge_view
from trocar.guidance.frames import Frame
from trocar.guidance.image_faults import Read, fault, readings
from trocar.guidance.level_check import (
    FARTHEST_OFF,
    LEAST_FIT,
    LEVELS_OFF,
    Place,
    lead,
    ranked,
    seen_fit,
    step_mm,
)
from trocar.guidance.pose_search import search
from trocar.guidance.refinement import Optimum, normal, refine
from trocar.guidance.registration_verdict import Evidence, findings, measures
from trocar.guidance.rigid_motion import after, shift
from trocar.guidance.usable_pixels import Mask, metal, open_field
from trocar.measure import Finding, Measure, Severity

#: Pixels at the isocentre, mm: to look for levels, to part the bones, to measure.
COARSE_MM, MIDDLE_MM, FINE_MM = 3.0, 2.0, 1.0
#: How far about each place a bone is looked for, mm; how many of the places found are refined, by so many steps.
REACH_MM, KEPT, STEPS = 12.0, 2, 5
#: Errors are larger than patches disagree by this factor: those of the voxels, the mask and the C-arm's model pull all
#: patches alike. Set on earlier runs and looked at on nine articulated ones of seed 314, other ones than those whose
#: figures docs/registration.md tells: simulated images, on which errors are still up to 1.4 times as large as told.
SHARED_ERRORS = 1.5
#: A place that fits less than this share as well as the best is not looked at more closely.
WORTH_A_LOOK = 0.6


@dataclass(frozen=True, eq=False)
class ViewFit:
    """How one image fits: its C-arm, similarity (-1 to 1), the share of the silhouette that was compared, the ways it
    was read, best first."""

    view: CArm
    similarity: float
    usable: float
    read: tuple[Read, ...]


@dataclass(frozen=True, eq=False)
class Registration:
    """Where a vertebra is, and how far that can be believed.

    ``displacement.to_world`` takes the CT's coordinates to where that bone is during fluoroscopy (LPS, mm).
    ``confidence`` holds its covariance. ``tried`` are the places that were compared, best first; ``lead`` is by how
    much the first fits better than the next. ``residual`` is what similarity lacks of 1, its views' mean.
    """

    level: Level
    displacement: Pose
    views: tuple[ViewFit, ...]
    confidence: Confidence
    tried: tuple[Place, ...]
    lead: float
    measures: tuple[Measure, ...]
    findings: tuple[Finding, ...]

    @property
    def reliable(self) -> bool:
        """Whether nothing speaks against using it; the findings say what does."""
        return all(f.severity is not Severity.STOP for f in self.findings)

    @property
    def similarity(self) -> float:
        """The views' mean similarity."""
        return float(np.mean([v.similarity for v in self.views]))

    @property
    def residual(self) -> float:
        """What similarity lacks of 1."""
        return 1.0 - self.similarity

    @property
    def levels_off(self) -> int:
        """How many vertebrae too low the start was taken to be (negative: too high); 0 where it was right."""
        return -self.tried[0].levels_off

    def require_reliable(self) -> None:
        """Raise :class:`trocar.errors.ImageError` with the reason where the registration is not to be used."""
        stops = [f.text for f in self.findings if f.severity is Severity.STOP]
        if stops:
            raise ImageError(stops[0])


@dataclass(frozen=True, eq=False)
class _Scales:
    coarse: tuple[EdgeView, ...]
    middle: tuple[EdgeView, ...]
    fine: tuple[EdgeView, ...]


def register(
    frames: Sequence[Frame],
    anatomy: Anatomy,
    level: Level | str,
    start: Pose = AT_REST,
    *,
    exclude: Sequence[Mask | None] = (),
    threads: int = 2,
) -> Registration:
    """Register one vertebra to one or two images.

    Each frame carries its C-arm as the machine reports it. ``start`` is where the vertebra is thought to be: by default
    where the CT has it. ``exclude`` holds, frame by frame, pixels ``[row, column]`` not to be compared (cement, a
    needle that is known); shutters and metal are found without. Raises :class:`trocar.errors.ImageError` for an image
    without geometry and :class:`trocar.errors.LevelError` for a level that is absent or cut.
    """
    arms = _checked(frames, exclude)
    bones = bone_parts(anatomy, anatomy.vertebra(level))
    scales = _scales(frames, arms, exclude)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        places = _places(scales, bones, anatomy, start, pool)
        around = places[0].together.displacement if places[0].fit >= LEAST_FIT else start
        read = tuple(pool.map(lambda view: readings(view, bones.all, around), scales.coarse))
    best, sure = _measured(scales, bones, places[0])
    return _registration(arms, bones, best, sure, places, read)


def _registration(
    arms: tuple[CArm, ...],
    bones: BoneParts,
    best: Optimum,
    sure: Confidence,
    places: list[Place],
    read: tuple[tuple[Read, ...], ...],
) -> Registration:
    """The answer and the verdict on it."""
    fits = tuple(ViewFit(*v) for v in zip(arms, best.similarity, best.usable, read, strict=True))
    faults = tuple(fault(r) for r in read)
    evidence = Evidence(bones.vertebra, arms, best, sure, tuple(places), lead(places), faults)
    return Registration(
        level=bones.vertebra.level,
        displacement=best.displacement,
        views=fits,
        confidence=sure,
        tried=tuple(places),
        lead=lead(places),
        measures=measures(evidence),
        findings=findings(evidence),
    )


def _checked(frames: Sequence[Frame], exclude: Sequence[Mask | None]) -> tuple[CArm, ...]:
    if not 1 <= len(frames) <= 2:
        raise ValueError(f"{len(frames)} frames: registration takes one image, or two of different directions.")
    if exclude and len(exclude) != len(frames):
        raise ValueError(f"{len(exclude)} masks to leave out for {len(frames)} frames: one each, or None.")
    arms = []
    for frame in frames:
        if frame.view is None:
            raise ImageError(
                f"image {frame.number} of {frame.source} does not say where the C-arm stood: "
                "registration needs its angles and distances."
            )
        if frame.image.shape != frame.view.detector.shape:
            raise ImageError(
                f"image {frame.number} of {frame.source} has {frame.image.shape[0]} x {frame.image.shape[1]} pixels, "
                f"its detector {frame.view.detector.rows} x {frame.view.detector.columns}."
            )
        arms.append(frame.view)
    return tuple(arms)


def _scales(frames: Sequence[Frame], arms: tuple[CArm, ...], exclude: Sequence[Mask | None]) -> _Scales:
    """Every image at every scale, without what must not be compared."""
    masks = [
        _usable(frame, arm, left_out)
        for frame, arm, left_out in zip(frames, arms, exclude or [None] * len(arms), strict=True)
    ]
    return _Scales(
        *(
            tuple(edge_view(f, a, m, size) for f, a, m in zip(frames, arms, masks, strict=True))
            for size in (COARSE_MM, MIDDLE_MM, FINE_MM)
        )
    )


def _usable(frame: Frame, arm: CArm, left_out: Mask | None) -> NDArray[np.bool_]:
    usable = open_field(frame)
    if left_out is not None:
        if left_out.shape != frame.image.shape:
            raise ValueError(f"a mask of {left_out.shape} pixels for an image of {frame.image.shape}.")
        usable &= ~left_out
    return usable & ~metal(frame, usable, arm.detector.row_spacing_mm / arm.magnification)


def _places(scales: _Scales, bones: BoneParts, anatomy: Anatomy, start: Pose, pool: ThreadPoolExecutor) -> list[Place]:
    """The places of the levels that were tried, the best first."""

    # a start that took this vertebra for its neighbour is put right by the way back from there: spines are curved
    ways = range(-FARTHEST_OFF, FARTHEST_OFF + 1)
    steps = {n: -start.axes @ step_mm(anatomy, bones.vertebra, -n) for n in ways}
    begin = start.to_world(bones.own.centre_mm)

    def look(levels: int) -> Place:
        found = _together(scales, bones, after(shift(steps[levels]), start))
        # a search may end at the next level's place: it is named by where it ended
        moved = found.displacement.to_world(bones.own.centre_mm) - begin
        return Place(min(steps, key=lambda n: float(np.linalg.norm(moved - steps[n]))), found)

    def closer(place: Place) -> Place:
        own = alone(scales.middle, bones, place.together.displacement).own
        return Place(place.levels_off, place.together, own)

    rough = ranked(list(pool.map(look, LEVELS_OFF)), bones.own.centre_mm)
    worth = WORTH_A_LOOK * seen_fit(rough[0].together)
    close = list(pool.map(closer, [p for p in rough if seen_fit(p.together) >= worth]))
    places = ranked(close + [p for p in rough if seen_fit(p.together) < worth], bones.own.centre_mm)
    for further in range(max(LEVELS_OFF) + 1, FARTHEST_OFF + 1):
        if abs(places[0].levels_off) < further - 1:
            break
        # the best is the last that was tried on its side: what lies beyond may fit better still
        beyond = look(further if places[0].levels_off > 0 else -further)
        places = ranked([*places, closer(beyond)], bones.own.centre_mm)
    return places


def _together(scales: _Scales, bones: BoneParts, start: Pose) -> Optimum:
    """The vertebra and the bones around it as one, near a start."""
    part = bones.all
    starts = search(scales.coarse, part.coarse, part.centre_mm, start, REACH_MM, KEPT)
    found = [refine(scales.coarse, part.coarse, part.centre_mm, s.displacement, STEPS) for s in starts]
    return max(found, key=seen_fit)


def _measured(scales: _Scales, bones: BoneParts, place: Place) -> tuple[Optimum, Confidence]:
    """The vertebra at the finest scale, before the bones around it, and how sure that is."""
    together = place.together.displacement
    apart = unbent(bones, together, place.own or alone(scales.middle, bones, together).own)
    apart = backed(scales.middle, bones, articulate(scales.middle, bones, apart), sweeps=2)
    views, best = settled(scales.fine, bones, apart)
    about = best.displacement.to_world(bones.own.centre_mm)
    problem = normal(views, bones.own.fine, best.displacement, about, keep=True)
    sure = confidence(views, problem, about)
    return best, Confidence(about, SHARED_ERRORS**2 * sure.covariance_mm2)
