"""DICOM X-ray runs (XA, RF and their enhanced forms): frames with the C-arm that made them, read one at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.errors import ImageError
from trocar.guidance.carm import CArm
from trocar.guidance.carm_position import PatientPosition
from trocar.guidance.frames import Frame, Intensity
from trocar.io.frames import number_or_none
from trocar.io.xa_collimation import Collimation, collimation
from trocar.io.xa_file import XRayFile, as_numbers, open_x_ray
from trocar.io.xa_geometry import Geometry, geometry
from trocar.measure import Finding, Severity

#: Outside the collimator there is little but scatter; an image that is brighter there, in the mean, is inverted.
COLLIMATED_PIXELS = 64


@dataclass(frozen=True, eq=False)
class XA:
    """An X-ray run.

    ``times_s`` counts from the first frame; NaN where the file does not say. ``positions`` has the C-arm for each frame
    about an isocentre at the origin, with the patient's axes; it is empty where the file does not say enough.
    ``isocentres_mm`` ``(n, 3)`` places them in the CT that ``frame_of_reference`` names, where the file says so.
    ``inverted`` is set where stored values fall with the dose and are turned round on reading.
    """

    file: XRayFile
    times_s: NDArray[np.float64]
    intensity: Intensity
    positions: tuple[CArm, ...]
    isocentres_mm: NDArray[np.float64] | None
    frame_of_reference: str | None
    patient: PatientPosition | None
    collimation: Collimation | None
    tube_voltage_kv: float | None
    inverted: bool
    findings: tuple[Finding, ...]

    def __len__(self) -> int:
        return self.file.count

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.file.shape

    def view(self, number: int) -> CArm | None:
        """The C-arm at one frame (counted from 0) in the CT; None where the file does not place it there."""
        if not self.positions or self.isocentres_mm is None:
            return None
        return self.positions[number].about(self.isocentres_mm[number])

    def about(self, isocentre_mm: ArrayLike) -> XA:
        """The same run with its isocentre here, LPS mm: known from a registration, for instance."""
        return replace(self, isocentres_mm=np.tile(np.asarray(isocentre_mm, dtype=np.float64), (len(self), 1)))

    def frames(self) -> Iterator[Frame]:
        """The frames in order, each read and decoded when it is asked for, so that memory stays flat."""
        view, last = self.view(0), 0
        for number, image in enumerate(self.file.images()):
            if self._moved(last, number):
                view, last = self.view(number), number
            pixels = self._turned_round(image)
            yield Frame(number, float(self.times_s[number]), self.file.name, pixels, view, self.intensity)

    def _moved(self, a: int, b: int) -> bool:
        if not self.positions or self.isocentres_mm is None:
            return False
        return self.positions[a] is not self.positions[b] or bool(
            (self.isocentres_mm[a] != self.isocentres_mm[b]).any()
        )

    def _turned_round(self, image: NDArray[Any]) -> NDArray[Any]:
        values = image.astype(np.uint8 if image.dtype.itemsize == 1 else np.uint16, copy=False)
        return np.asarray(self._highest - values, dtype=values.dtype) if self.inverted else values

    @property
    def _highest(self) -> int:
        return (1 << int(self.file.header.BitsStored)) - 1


def read_xa(path: str | os.PathLike[str], *, needs_geometry: bool = False) -> XA:
    """The X-ray run in a DICOM file; its pixels are read later, frame by frame.

    What the file lacks or says against itself is in ``findings``, and the views are then unknown; with
    ``needs_geometry`` that is refused. Raises :class:`ImageError` for anything that is no whole X-ray run.
    """
    file = open_x_ray(path)
    if file.number("PixelRepresentation"):
        raise ImageError(
            f"{file.name} has negative pixel values: it is a difference, not an image. Give the run itself."
        )
    found = geometry(file)
    if needs_geometry and not found.positions:
        raise ImageError(
            f"{found.findings[0].text.rstrip('.')}. Give a run with its geometry, or place the view yourself."
        )
    intensity, inverted, of_values = _intensity(file)
    times, of_times = _times(file)
    run = _run(file, found, intensity, inverted, times)
    return replace(run, findings=(*found.findings, *of_values, *of_times, *_seen_inverted(run)))


def _run(file: XRayFile, found: Geometry, intensity: Intensity, inverted: bool, times: NDArray[np.float64]) -> XA:
    return XA(
        file,
        times,
        intensity,
        found.positions,
        found.isocentres_mm,
        str(file.header.get("FrameOfReferenceUID") or "") or None,
        found.patient,
        collimation(file),
        file.number("KVP"),
        inverted,
        (),
    )


def _intensity(file: XRayFile) -> tuple[Intensity, bool, tuple[Finding, ...]]:
    """What values mean, whether they are to be turned round, and what to tell (PS3.3 C.8.7.1.1.2, C.8.11.3.1.2)."""
    relation = str(file.value("PixelIntensityRelationship") or "")
    sign = file.number("PixelIntensityRelationshipSign")
    falls = sign is not None and sign < 0
    told = _monochrome(file, sign)
    if relation == "LOG":
        return (Intensity.LOG if falls else Intensity.LOG_BRIGHT), False, told
    if falls:
        text = f"Values of {file.name} fall with the dose: they were turned round, bright where much arrived."
        told = (*told, Finding(Severity.NOTE, text, "Pixel Intensity Relationship Sign (0028,1041) is -1"))
    if relation == "LIN":
        return Intensity.LINEAR, falls, told
    if relation != "DISP":
        text = f"{file.name} does not say how its values follow the dose: they are taken as processed for display."
        told = (*told, Finding(Severity.CAUTION, text, f'Pixel Intensity Relationship (0028,1040) is "{relation}"'))
    return Intensity.DISPLAYED, falls, told


def _monochrome(file: XRayFile, sign: float | None) -> tuple[Finding, ...]:
    if file.header.PhotometricInterpretation == "MONOCHROME2" or sign is not None:
        return ()
    text = (
        f"{file.name} is to be shown inverted and does not say how its values follow the dose: check that bone is dark."
    )
    return (Finding(Severity.CAUTION, text, "MONOCHROME1 without Pixel Intensity Relationship Sign (0028,1041)"),)


def _seen_inverted(run: XA) -> tuple[Finding, ...]:
    """A stop where the first image is brighter outside its collimator than inside, against what its header says."""
    if run.collimation is None or run.intensity is Intensity.LOG:
        return ()
    inside = run.collimation.mask(run.shape)
    if inside.sum() < COLLIMATED_PIXELS or (~inside).sum() < COLLIMATED_PIXELS:
        return ()
    image = next(run.frames()).image
    if image[~inside].mean() <= image[inside].mean():
        return ()
    text = f"{run.file.name} looks inverted: it is brighter outside the collimator than inside."
    return (
        Finding(Severity.STOP, text, "little but scatter arrives outside; Pixel Intensity Relationship says otherwise"),
    )


# --- time ----------------------------------------------------------------------------------------


def _times(file: XRayFile) -> tuple[NDArray[np.float64], tuple[Finding, ...]]:
    """Seconds since the first frame, by Frame Time Vector, Frame Time, each frame's own clock, or the cine rate."""
    n = file.count
    if n == 1:
        return np.zeros(1), ()
    for found in (_by_steps(file), _by_clock(file), _by_rate(file)):
        if found is not None:
            return found, ()
    text = f"{file.name} does not say when its frames were taken: nothing in time can be told from it."
    told = Finding(Severity.CAUTION, text, "neither Frame Time (0018,1063) nor Frame Time Vector (0018,1065)")
    return np.full(n, np.nan), (told,)


def _by_steps(file: XRayFile) -> NDArray[np.float64] | None:
    vector = as_numbers(file.header.get("FrameTimeVector"))
    if vector is not None and len(vector) == file.count:
        return np.asarray(np.cumsum(np.r_[0.0, vector[1:]]) / 1000.0, dtype=np.float64)
    step = file.number("FrameTime")
    return np.arange(file.count, dtype=np.float64) * step / 1000.0 if step else None


def _by_clock(file: XRayFile) -> NDArray[np.float64] | None:
    texts = [str(file.value("FrameAcquisitionDateTime", n) or "") for n in range(file.count)]
    try:
        clock = [datetime.strptime(t[:21], "%Y%m%d%H%M%S.%f" if "." in t else "%Y%m%d%H%M%S") for t in texts]
    except ValueError:
        return None
    return np.array([(c - clock[0]).total_seconds() for c in clock])


def _by_rate(file: XRayFile) -> NDArray[np.float64] | None:
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        if rate := number_or_none(file.header.get(keyword)):
            return np.arange(file.count) / rate
    return None
