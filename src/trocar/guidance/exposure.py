"""One exposed image: what a C-arm's detector records of a patient, needles and cement, with its noise.

::

    frame = expose(ct, view, Technique(), rng, rods=(Rod.along(trajectory),))

Three steps, each usable alone: :func:`exponents` (what the beam meets on its way), :func:`counts` (what arrives: a
spectrum of two lines, scatter, shutters, the detector's blur) and :func:`recorded` (noise, gain, whole numbers).
This serves to test software; it is no dosimetry. Scatter is a share of the blurred primary, see docs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.geometry import Pose
from trocar.guidance.blurs import blurred, scattered
from trocar.guidance.carm import AT_REST, CArm
from trocar.guidance.frames import Frame, Intensity
from trocar.guidance.rods import BEAM_KEV, Rod, rod_mm
from trocar.measure import Range
from trocar.physics.attenuation import CORTICAL_BONE, WATER, bone_cement, water_and_bone
from trocar.physics.xray import line_integrals
from trocar.volume import Volume

#: Water, and PMMA cement with 30 % of barium sulphate, per mm.
WATER_PER_MM = float(WATER.per_mm(BEAM_KEV))
CEMENT_PER_MM = float(bone_cement().per_mm(BEAM_KEV))
#: What stands in the place of bone that is moved: muscle, HU.
SOFT_HU = 40.0
#: The value of a pixel on logarithmic scales that are stored unrounded.
LOG_TOP = 65535.0

Image = NDArray[np.float32]
Stored = NDArray[np.float32] | NDArray[np.uint16] | NDArray[np.uint8]


@dataclass(frozen=True)
class Shutters:
    """The open rectangle of the field, as shares of the detector's rows (from above) and columns (from the left)."""

    top: float = 0.0
    bottom: float = 1.0
    left: float = 0.0
    right: float = 1.0

    def __post_init__(self) -> None:
        for low, high, names in ((self.top, self.bottom, "top, bottom"), (self.left, self.right, "left, right")):
            if not 0.0 <= low < high <= 1.0:
                raise ValueError(f"shutters at {names} = {low}, {high} leave nothing open: 0 <= first < second <= 1.")

    @classmethod
    def closing(cls, share: float) -> Shutters:
        """A central rectangle of the detector's shape, with ``share`` (0 to 1) of its area closed."""
        edge = 0.5 * (1.0 - np.sqrt(1.0 - Range(0.0, 0.95).check("share", share)))
        return cls(edge, 1.0 - edge, edge, 1.0 - edge)

    def opening(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """The open rows and columns of a detector of ``shape``."""
        rows, columns = shape
        return (
            slice(round(self.top * rows), max(round(self.bottom * rows), round(self.top * rows) + 1)),
            slice(round(self.left * columns), max(round(self.right * columns), round(self.left * columns) + 1)),
        )


@dataclass(frozen=True)
class Technique:
    """How an image is taken.

    ``counts`` is the mean number of quanta a pixel detects behind the patient (median over the middle of the open
    field), scatter included, ``scatter`` the ratio of scatter to primary there, ``hardening`` the half distance of the
    two spectral lines from their mean (0: one energy), ``bone`` a factor on what bone adds to soft tissue. ``blur_px``
    is the detector's blur, ``quantum`` a factor on quantum noise (0: none) and ``electronic`` the detector's own,
    standard deviations in pixels and quanta. ``gain`` is the pixel value of one quantum, ``bits`` the depth of the
    stored image (None: floating point, unrounded), ``intensity`` what its values mean. Behind the shutters remains
    ``leakage`` of the open beam's mean.
    """

    counts: float = 200.0
    scatter: float = 0.5
    hardening: float = 0.12
    bone: float = 1.0
    blur_px: float = 0.7
    quantum: float = 1.0
    electronic: float = 3.0
    gain: float = 8.0
    bits: int | None = 16
    intensity: Intensity = Intensity.LINEAR
    shutters: Shutters = field(default_factory=Shutters)
    leakage: float = 0.02

    def __post_init__(self) -> None:
        Range(1.0, 1e7).check("counts", self.counts, "a technique")
        Range(0.0, 10.0).check("scatter", self.scatter, "a technique")
        Range(0.0, 0.5).check("hardening", self.hardening, "a technique")
        Range(0.1, 5.0).check("bone", self.bone, "a technique")
        Range(0.0, 10.0, "px").check("blur_px", self.blur_px, "a technique")
        Range(0.0, 10.0).check("quantum", self.quantum, "a technique")
        Range(0.0, 1e4).check("electronic", self.electronic, "a technique")
        Range(1e-6, 1e6).check("gain", self.gain, "a technique")
        Range(0.0, 1.0).check("leakage", self.leakage, "a technique")
        if self.bits not in (None, 8, 10, 12, 14, 16):
            raise ValueError(f"bits={self.bits} is not one of 8, 10, 12, 14, 16 or None.")


#: Neither noise nor anything else between the line integral and the pixel but Beer's law: for tests.
IDEAL = Technique(
    counts=1.0,
    scatter=0.0,
    hardening=0.0,
    blur_px=0.0,
    quantum=0.0,
    electronic=0.0,
    gain=1.0,
    bits=None,
    leakage=0.0,
)


def attenuation(ct: Volume, technique: Technique | None = None) -> Volume:
    """HU as linear attenuation per mm at :data:`trocar.guidance.rods.BEAM_KEV` (unit "/mm"), padding as air.

    Mixtures of air and water, of water and cortical bone (:func:`trocar.physics.attenuation.water_and_bone`);
    ``technique.bone`` scales what bone adds to water. Raises ``ValueError`` for another unit.
    """
    if ct.unit != "HU":
        raise ValueError(f"a volume in {ct.unit!r} is no CT: attenuation needs HU.")
    water, bone = water_and_bone(ct.array)
    added = (1.0 if technique is None else technique.bone) * (float(CORTICAL_BONE.per_mm(BEAM_KEV)) - WATER_PER_MM)
    mu = np.float32(WATER_PER_MM) * (water + bone) + np.float32(added) * bone
    return Volume(mu, ct.affine, ct.frame_of_reference, "/mm")


def soft_per_mm(technique: Technique | None = None) -> float:
    """The attenuation of soft tissue (:data:`SOFT_HU`), per mm."""
    one = Volume(np.full((1, 1, 1), SOFT_HU, np.float32), np.eye(4))
    return float(attenuation(one, technique).array[0, 0, 0])


def expose(
    patient: Volume,
    view: CArm,
    technique: Technique | None = None,
    rng: np.random.Generator | None = None,
    *,
    rods: Sequence[Rod] = (),
    cement: Sequence[Volume] = (),
    displacement: Pose = AT_REST,
    moved: Sequence[tuple[Volume, Pose]] = (),
    number: int = 0,
    time_s: float = 0.0,
    source: str = "simulated",
) -> Frame:
    """One image of a patient (a CT in HU, or its :func:`attenuation`); without ``rng`` the mean of many.

    The other arguments are those of :func:`exponents`.
    """
    technique = technique or Technique()
    mu = patient if patient.unit == "/mm" else attenuation(patient, technique)
    met = exponents(mu, view, rods=rods, cement=cement, displacement=displacement, moved=moved)
    image = recorded(counts(met, view, technique, open_counts(met, technique)), technique, rng)
    return Frame(number, time_s, source, image, view, technique.intensity)


def exponents(
    mu: Volume,
    view: CArm,
    *,
    rods: Sequence[Rod] = (),
    cement: Sequence[Volume] = (),
    displacement: Pose = AT_REST,
    moved: Sequence[tuple[Volume, Pose]] = (),
) -> Image:
    """What attenuates along each ray, ``[row, column]``: line integrals of attenuation, added up.

    ``cement`` are volumes of the share of each voxel that cement fills (0 to 1); it lies where the CT is, displaced
    like it. ``displacement`` takes all of the CT to where it is now. ``moved`` are bones by their mask, each with a
    displacement of its own *instead*: soft tissue is left in their place. Rods lie where they are, in LPS.
    """
    rest, parts = parted(mu, [mask for mask, _ in moved])
    met = integrals(rest, view, displacement)
    for part, (_, pose) in zip(parts, moved, strict=True):
        met += integrals(part, view, pose)
    for filled in cement:
        met += np.float32(CEMENT_PER_MM - soft_per_mm()) * integrals(filled, view, displacement)
    for rod in rods:
        met += np.float32(rod.per_mm - soft_per_mm()) * rod_mm(rod, view)
    return met


def integrals(volume: Volume, view: CArm, displacement: Pose = AT_REST) -> Image:
    """Line integrals of a volume in one view, ``[row, column]``."""
    return line_integrals(volume.array, volume.spacing_mm, view.beam(volume, displacement))


def parted(mu: Volume, masks: Sequence[Volume]) -> tuple[Volume, tuple[Volume, ...]]:
    """The patient with soft tissue in place of some bones, and what each bone adds to it, cropped.

    A bone's rim, blurred by the scanner beyond its mask, goes with it: one voxel, as far as it is denser than soft
    tissue.
    """
    if not masks:
        return mu, ()
    soft, rest, parts = np.float32(soft_per_mm()), np.array(mu.array, dtype=np.float32), []
    for mask in masks:
        own = mask.onto(mu).array.astype(bool)
        if not own.any():
            raise ValueError("a bone that is to be moved has no voxel within the CT.")
        box = _around(own)
        own, here = own[box], rest[box]
        rim = ndimage.binary_dilation(own) & ~own
        more = np.where(own, here - soft, np.where(rim, np.maximum(here - soft, 0.0), 0.0)).astype(np.float32)
        here -= more
        affine = mu.affine.copy()
        affine[:3, 3] = mu.world_mm([s.start for s in box])
        parts.append(Volume(more, affine, mu.frame_of_reference, "/mm"))
    return Volume(rest, mu.affine, mu.frame_of_reference, "/mm"), tuple(parts)


def _around(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The box of a mask with one voxel more on every side, within the grid."""
    found = ndimage.find_objects(mask.view(np.uint8))[0]
    return tuple(slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(found, mask.shape, strict=True))


def primary(met: Image, technique: Technique) -> Image:
    """The share of the beam that passes: a spectrum of two lines whose mean is the exponent's energy."""
    h = np.float32(technique.hardening)
    if h == 0.0:
        return np.exp(-met)
    return np.float32(0.5) * (np.exp((h - 1) * met) + np.exp((-h - 1) * met))


def open_counts(met: Image, technique: Technique) -> float:
    """Quanta per pixel without a patient that make ``technique.counts`` behind one: the automatic exposure's answer.

    It looks at the middle half of the open rows and columns, as a C-arm's measuring field does.
    """
    part = met[technique.shutters.opening(met.shape)]
    r, c = part.shape[0] // 4, part.shape[1] // 4
    passed = primary(part[r : part.shape[0] - r, c : part.shape[1] - c], technique)
    return technique.counts / (float(np.median(passed)) * (1.0 + technique.scatter))


def counts(met: Image, view: CArm, technique: Technique, unattenuated: float) -> Image:
    """The mean number of quanta in each pixel: primary, scatter and shutters, before the detector."""
    passed = primary(met, technique) * np.float32(unattenuated)
    if technique.scatter > 0.0:
        passed = passed + np.float32(technique.scatter) * scattered(passed, view)
    return shuttered(passed, technique)


def shuttered(passed: Image, technique: Technique) -> Image:
    """The image with only ``leakage`` of the open field's mean behind the shutters."""
    opening = technique.shutters.opening(passed.shape)
    if passed[opening].size == passed.size:
        return passed
    out = np.full_like(passed, technique.leakage * float(passed[opening].mean()))
    out[opening] = passed[opening]
    return out


def recorded(mean: Image, technique: Technique, rng: np.random.Generator | None = None) -> Stored:
    """The stored image of mean counts; without ``rng`` no noise is added.

    Quanta scatter about their mean as Poisson's law has it (by a Gaussian of the same variance), then the detector
    blurs signal and noise alike, and its electronics add noise that is white. Variance of a flat field, in quanta:
    ``quantum**2 * mean * blur_share(technique) + electronic**2``.
    """
    image: NDArray[Any] = mean
    if rng is not None and technique.quantum > 0.0:
        image = image + np.float32(technique.quantum) * np.sqrt(image) * rng.standard_normal(
            image.shape, dtype=np.float32
        )
    if technique.blur_px > 0.0:
        image = blurred(image, blur_weights(technique).astype(np.float32))
    if rng is not None and technique.electronic > 0.0:
        image = image + np.float32(technique.electronic) * rng.standard_normal(image.shape, dtype=np.float32)
    return stored(image, technique)


def blur_weights(technique: Technique) -> NDArray[np.float64]:
    """The detector's blur along one axis: a Gaussian's weights, three standard deviations to either side."""
    reach = max(1, int(np.ceil(3.0 * technique.blur_px)))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / technique.blur_px) ** 2) if technique.blur_px else None
    return np.ones(1) if weights is None else weights / weights.sum()


def blur_share(technique: Technique) -> float:
    """What the blur leaves of the variance of white noise."""
    return float(np.sum(blur_weights(technique) ** 2) ** 2)


def stored(quanta: Image, technique: Technique) -> Stored:
    """Detected quanta as pixel values: gain, meaning, depth."""
    values = np.maximum(quanta, 0.0) * np.float32(technique.gain)
    top = np.float32(LOG_TOP if technique.bits is None else 2.0**technique.bits - 1.0)
    if technique.intensity is Intensity.DISPLAYED:
        values = top * np.sqrt(np.minimum(values / top, 1.0))
    elif technique.intensity is not Intensity.LINEAR:
        light = np.log1p(values) / np.log1p(top)
        values = top * (light if technique.intensity is Intensity.LOG_BRIGHT else 1.0 - light)
    if technique.bits is None:
        return values.astype(np.float32)
    whole = np.clip(np.rint(values), 0.0, top)
    return whole.astype(np.uint8) if technique.bits == 8 else whole.astype(np.uint16)


def mirrored_untold(frame: Frame) -> Frame:
    """The image with left and right exchanged and nothing said about it: bad input, for tests."""
    return replace(frame, image=frame.image[:, ::-1].copy())


def inverted_untold(frame: Frame) -> Frame:
    """The image with black and white exchanged and nothing said about it: bad input, for tests."""
    image: NDArray[Any] = frame.image
    top = image.max() if image.dtype == np.float32 else np.iinfo(image.dtype).max
    return replace(frame, image=(top - image).astype(image.dtype))
