"""The header of an X-ray angiographic run (PS3.3 A.14) that this program writes.

Where the isocentre lies in the CT has no place in legacy XA. It is written as Isocenter Position (300A,012C), which RT
images define as just that, beside the CT's Frame of Reference UID. What legacy XA cannot say at all goes into a private
block (group 0029, "TROCAR C-ARM"): isocentres that move from frame to frame, a central ray off the middle of the image,
a roll that is no quarter turn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, XRayAngiographicImageStorage, generate_uid
from pydicom.valuerep import DSfloat

from trocar.guidance.carm import CArm
from trocar.guidance.carm_edges import patient_orientation
from trocar.guidance.carm_position import PatientPosition
from trocar.guidance.frames import Frame, Intensity
from trocar.io.xa_collimation import EDGES, Collimation
from trocar.io.xa_private import ISOCENTRES, PRINCIPAL, PRIVATE_CREATOR, PRIVATE_GROUP, ROLL

#: Pixel Intensity Relationship (0028,1040) and its sign (0028,1041).
RELATIONS = {
    Intensity.LINEAR: ("LIN", 1),
    Intensity.LOG: ("LOG", -1),
    Intensity.LOG_BRIGHT: ("LOG", 1),
    Intensity.DISPLAYED: ("DISP", 1),
}

#: Frame times that fit an even step this well, in seconds, are written as one Frame Time.
EVEN_WITHIN_S = 1e-6

#: A roll nearer than this to a quarter turn is one, degrees.
QUARTER_WITHIN_DEG = 1e-6

#: Elements of a file that names their kind (explicit VR) are no longer than this, bytes; each frame adds to them a
#: decimal with a mark after it, or three 64-bit numbers.
LONGEST_EXPLICIT, LONGEST_DECIMAL, LONGEST_PLACE = 65534, 17, 24


@dataclass(frozen=True)
class About:
    """What a run is of, beside its frames.

    ``frame_of_reference`` is the UID of the CT whose frame the isocentre lies in. ``pseudonym`` stands for patient and
    name. ``derivation`` says how images that no detector took came about; it makes them derived images.
    """

    frame_of_reference: str | None = None
    position: PatientPosition | None = None
    collimation: Collimation | None = None
    tube_voltage_kv: float | None = None
    pseudonym: str = ""
    study_uid: str | None = None
    series_uid: str | None = None
    acquired: datetime | None = None
    derivation: str = ""
    description: str = ""


@dataclass
class Run:
    """What is known of the frames once they have passed: all but their pixels, which are on the disk."""

    first: Frame
    kind: np.dtype[Any]
    times_s: list[float] = field(default_factory=list)
    views: list[CArm] = field(default_factory=list)
    bytes_written: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


def header(run: Run, about: About) -> Dataset:
    """All but the pixels, and how these are encoded (file meta information)."""
    out = Dataset()
    _identity(out, run, about)
    _pixels(out, run)
    _timing(out, run)
    _acquisition(out, about)
    if about.collimation is not None:
        _collimator(out, about.collimation)
    out.PatientOrientation, out.PositionerMotion = "", "STATIC"
    out.PositionerPrimaryAngle = out.PositionerSecondaryAngle = None
    if run.views:
        _geometry(out, run.views, about)
    out.file_meta = FileMetaDataset()
    fits = max(LONGEST_DECIMAL, LONGEST_PLACE) * len(run.times_s) <= LONGEST_EXPLICIT
    out.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if fits else ImplicitVRLittleEndian
    out.file_meta.MediaStorageSOPClassUID = out.SOPClassUID
    out.file_meta.MediaStorageSOPInstanceUID = out.SOPInstanceUID = _uid("image", out.to_json(), run.digest.hexdigest())
    return out


def _uid(*sources: str) -> str:
    """One that follows from what it names: chance has no part in it."""
    return generate_uid(entropy_srcs=list(sources))


def _identity(out: Dataset, run: Run, about: About) -> None:
    out.SpecificCharacterSet = "ISO_IR 192"
    out.ImageType = ["DERIVED" if about.derivation else "ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    out.SOPClassUID = XRayAngiographicImageStorage
    when = about.acquired
    out.StudyDate = out.ContentDate = f"{when:%Y%m%d}" if when else ""
    out.StudyTime = out.ContentTime = f"{when:%H%M%S.%f}" if when else ""
    out.AccessionNumber = out.ReferringPhysicianName = out.PatientBirthDate = out.PatientSex = ""
    out.Modality, out.Manufacturer = "XA", "Trocar"
    out.SeriesDescription, out.DerivationDescription = about.description, about.derivation
    out.PatientName = out.PatientID = about.pseudonym
    out.StudyInstanceUID = about.study_uid or _uid("study", run.digest.hexdigest())
    out.SeriesInstanceUID = about.series_uid or _uid("series", run.digest.hexdigest())
    out.StudyID, out.Laterality, out.SeriesNumber, out.InstanceNumber = "", "", 1, 1
    if not about.derivation:
        del out.DerivationDescription
    if about.frame_of_reference:
        out.FrameOfReferenceUID, out.PositionReferenceIndicator = about.frame_of_reference, ""


def _pixels(out: Dataset, run: Run) -> None:
    out.SamplesPerPixel, out.PhotometricInterpretation = 1, "MONOCHROME2"
    out.Rows, out.Columns = run.first.image.shape
    if len(run.times_s) > 1:
        out.NumberOfFrames = len(run.times_s)
    out.BitsAllocated = out.BitsStored = 8 * run.kind.itemsize
    out.HighBit, out.PixelRepresentation = out.BitsStored - 1, 0
    out.PixelIntensityRelationship, sign = RELATIONS[run.first.intensity]
    out.PixelIntensityRelationshipSign = sign
    if out.PixelIntensityRelationship == "LOG":  # which asks for a way back to the dose; its scale is not known here
        out.RescaleIntercept, out.RescaleSlope, out.RescaleType = 0, 1, "US"


def _timing(out: Dataset, run: Run) -> None:
    times = np.array(run.times_s) - run.times_s[0]
    if len(times) == 1:
        return
    step = times[-1] / (len(times) - 1)
    if np.abs(times - step * np.arange(len(times))).max() <= EVEN_WITHIN_S:
        out.FrameTime, out.FrameIncrementPointer = _decimal(1000.0 * step), 0x00181063
    else:
        out.FrameTimeVector = _decimals(1000.0 * np.diff(times, prepend=times[0]))
        out.FrameIncrementPointer = 0x00181065


def _acquisition(out: Dataset, about: About) -> None:
    """Type 2 elements of X-Ray Acquisition (C.8.7.2) are there, empty where unknown."""
    out.KVP = None if about.tube_voltage_kv is None else _decimal(about.tube_voltage_kv)
    out.RadiationSetting = "SC"  # low dose: fluoroscopy
    out.XRayTubeCurrent = out.ExposureTime = out.Exposure = None
    out.PatientPosition = about.position.value if about.position else ""


def _collimator(out: Dataset, open_to: Collimation) -> None:
    out.CollimatorShape = ["RECTANGULAR", "CIRCULAR"] if open_to.circle else "RECTANGULAR"
    for keyword, edge in zip(EDGES, (open_to.top, open_to.bottom, open_to.left, open_to.right), strict=True):
        setattr(out, keyword, edge + 1)
    if open_to.circle:
        row, column, radius = open_to.circle
        out.CenterOfCircularCollimator = [round(row) + 1, round(column) + 1]
        out.RadiusOfCircularCollimator = round(radius)


def _geometry(out: Dataset, views: Sequence[CArm], about: About) -> None:
    first, detector = views[0], views[0].detector
    out.DistanceSourceToDetector = _decimal(first.source_to_detector_mm)
    out.DistanceSourceToPatient = _decimal(first.source_to_isocentre_mm)
    out.EstimatedRadiographicMagnificationFactor = _decimal(first.magnification)
    out.ImagerPixelSpacing = _decimals((detector.row_spacing_mm, detector.column_spacing_mm))
    out.PositionerType = "CARM"
    out.PatientOrientation = list(patient_orientation(first))
    _angles(out, views)
    _isocentres(out, views)
    _turn(out, first, about.position)
    if detector.principal is not None:
        _private(out, PRINCIPAL, detector.principal)


def _angles(out: Dataset, views: Sequence[CArm]) -> None:
    primary = np.array([v.primary_angle_deg for v in views])
    secondary = np.array([v.secondary_angle_deg for v in views])
    out.PositionerPrimaryAngle, out.PositionerSecondaryAngle = _decimals((primary[0], secondary[0]))
    still = np.ptp(primary) == np.ptp(secondary) == 0.0
    out.PositionerMotion = "STATIC" if still else "DYNAMIC"
    if not still:
        out.PositionerPrimaryAngleIncrement = _decimals(primary - primary[0])
        out.PositionerSecondaryAngleIncrement = _decimals(secondary - secondary[0])


def _isocentres(out: Dataset, views: Sequence[CArm]) -> None:
    places = np.array([v.isocentre_mm for v in views])
    out.IsocenterPosition = _decimals(places[0])
    still = not np.ptp(places, axis=0).any()
    out.TableMotion = "STATIC" if still else "DYNAMIC"
    if not still:  # which way a table's own increments count depends on how the patient lies; the places do not
        out.TableVerticalIncrement = out.TableLongitudinalIncrement = out.TableLateralIncrement = None
        _private(out, ISOCENTRES, places.ravel())


def _turn(out: Dataset, view: CArm, position: PatientPosition | None) -> None:
    """Field of View Rotation counts clockwise from an unturned detector, on which feet first is feet up."""
    unturned = 180.0 if position is not None and position.value.startswith("FF") else 0.0
    quarter, rest = divmod(view.roll_deg - unturned + 45.0, 90.0)
    out.FieldOfViewOrigin = [0, 0]
    out.FieldOfViewHorizontalFlip = "YES" if view.mirrored else "NO"
    out.FieldOfViewRotation = int(quarter) % 4 * 90
    if abs(rest - 45.0) > QUARTER_WITHIN_DEG:
        _private(out, ROLL, (view.roll_deg,))


def _private(out: Dataset, element: int, values: Iterable[float]) -> None:
    block = out.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
    block.add_new(element, "FD", [float(v) for v in values])


def _decimal(value: float) -> DSfloat:
    return DSfloat(float(value), auto_format=True)


def _decimals(values: Iterable[float]) -> list[DSfloat]:
    return [_decimal(v) for v in values]
