"""A C-arm: a point source, a flat detector, and where both stand about the patient.

Everything lies in the patient: LPS, millimetres. Angles are DICOM's positioner angles (PS3.3 C.8.7.5), which are
those of the detector about the *patient* however the patient lies: the primary angle is 0 with the detector in front of
the chest and +90 degrees at the patient's left (LAO positive); the secondary is positive towards the head (cranial).
With the detector behind a prone patient the primary angle is 180 degrees.

An image is seen from the detector towards the source: with the detector in front, the patient's left is on the image's
right and the head is up. ``roll_deg`` and ``mirrored`` say how an image that is shown otherwise differs from that.

How a table and a room come in is told in :mod:`trocar.guidance.carm_position`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.geometry import Line, Pose, Vector, frozen, unit
from trocar.guidance.carm_angles import angles_of, angles_text, direction_of
from trocar.physics.xray import Beam
from trocar.volume import Volume

#: A patient who lies as in the CT.
AT_REST = Pose(np.zeros(3), np.eye(3))


@dataclass(frozen=True)
class Detector:
    """A flat detector: its pixels and their size on the detector (Imager Pixel Spacing, 0018,1164), mm.

    ``principal`` is the (row, column) where the central ray meets it; without one, its middle.
    """

    rows: int = 512
    columns: int = 512
    row_spacing_mm: float = 0.6
    column_spacing_mm: float = 0.6
    principal: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if min(self.rows, self.columns) < 1:
            raise ValueError(f"a detector of {self.rows} x {self.columns} pixels is none.")
        if not min(self.row_spacing_mm, self.column_spacing_mm) > 0.0:
            raise ValueError(f"pixels of {self.row_spacing_mm} x {self.column_spacing_mm} mm: both must be positive.")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (self.rows, self.columns)

    @property
    def middle(self) -> tuple[float, float]:
        """Row and column where the central ray meets the detector (pixel centres are whole numbers)."""
        return self.principal or ((self.rows - 1) / 2, (self.columns - 1) / 2)

    def binned(self, factor: int) -> Detector:
        """The same detector with ``factor`` x ``factor`` pixels taken together; a rest at the end is cut."""
        if not 1 <= factor <= min(self.shape):
            raise ValueError(f"factor={factor} is outside 1 to {min(self.shape)}, the pixels of the shorter side.")
        row, column = self.middle
        return Detector(
            self.rows // factor,
            self.columns // factor,
            self.row_spacing_mm * factor,
            self.column_spacing_mm * factor,
            ((row + 0.5) / factor - 0.5, (column + 0.5) / factor - 0.5),
        )


@dataclass(frozen=True, eq=False)
class CArm:
    """One position of a C-arm about the patient.

    ``isocentre_mm`` is the point (LPS) that the arm turns about; ``source_to_detector_mm`` is DICOM 0018,1110 and
    ``source_to_isocentre_mm`` the distance from the source to that point (0018,9402). ``roll_deg`` turns the image
    clockwise on the screen; ``mirrored`` exchanges its left and right, after the roll.
    """

    isocentre_mm: Vector
    primary_angle_deg: float = 0.0
    secondary_angle_deg: float = 0.0
    source_to_detector_mm: float = 1020.0
    source_to_isocentre_mm: float = 620.0
    detector: Detector = field(default_factory=Detector)
    roll_deg: float = 0.0
    mirrored: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "isocentre_mm", frozen(self.isocentre_mm))
        if self.isocentre_mm.shape != (3,) or not np.all(np.isfinite(self.isocentre_mm)):
            raise ValueError(f"isocentre_mm={self.isocentre_mm.tolist()} must be three finite numbers, LPS.")
        if not np.all(np.isfinite((self.primary_angle_deg, self.roll_deg))):
            raise ValueError(f"primary_angle_deg={self.primary_angle_deg} and roll_deg={self.roll_deg} must be finite.")
        if not -90.0 <= self.secondary_angle_deg <= 90.0:
            raise ValueError(f"secondary_angle_deg={self.secondary_angle_deg} is outside -90 to 90.")
        if not 0.0 < self.source_to_isocentre_mm < self.source_to_detector_mm:
            raise ValueError(
                f"source_to_isocentre_mm={self.source_to_isocentre_mm} must lie between 0 and "
                f"source_to_detector_mm={self.source_to_detector_mm}."
            )

    @cached_property
    def toward_detector(self) -> Vector:
        """Unit vector of the central ray, from the source to the detector, LPS."""
        return frozen(direction_of(self.primary_angle_deg, self.secondary_angle_deg))

    @cached_property
    def axes(self) -> tuple[Vector, Vector]:
        """Unit vectors (LPS) in which the image's columns and its rows grow: to its right, and down."""
        a, b, r = np.radians((self.primary_angle_deg, self.secondary_angle_deg, self.roll_deg))
        right = np.array((np.cos(a), np.sin(a), 0.0))
        down = np.array((np.sin(a) * np.sin(b), -np.cos(a) * np.sin(b), -np.cos(b)))
        # an image turned clockwise: what was right is down
        right, down = np.cos(r) * right - np.sin(r) * down, np.sin(r) * right + np.cos(r) * down
        return frozen(-right if self.mirrored else right), frozen(down)

    @cached_property
    def source_mm(self) -> Vector:
        """The focal spot, LPS."""
        return frozen(self.isocentre_mm - self.source_to_isocentre_mm * self.toward_detector)

    @property
    def magnification(self) -> float:
        """How much larger things at the isocentre appear on the detector (0018,1114)."""
        return self.source_to_detector_mm / self.source_to_isocentre_mm

    @cached_property
    def projection_matrix(self) -> NDArray[np.float64]:
        """``P``, 3x4, with ``P @ (left, posterior, superior, 1) = w * (column, row, 1)`` and ``w`` the depth, mm.

        Column before row, as OpenCV, VTK and most books have it. The determinant of its left 3x3 block is *negative*
        (unless ``mirrored``): an image seen from the detector is the mirror image of what a camera at the source sees.
        Who takes P apart into a camera and a rotation must exchange left and right of the image first.
        """
        right, down = self.axes
        row, column = self.detector.middle
        of_column = self.source_to_detector_mm / self.detector.column_spacing_mm * right + column * self.toward_detector
        of_row = self.source_to_detector_mm / self.detector.row_spacing_mm * down + row * self.toward_detector
        rotated = np.stack((of_column, of_row, self.toward_detector))
        return frozen(np.column_stack((rotated, -rotated @ self.source_mm)))

    def depth_mm(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Distance of LPS points ``(..., 3)`` from the source, measured along the central ray."""
        return np.asarray((np.asarray(points_mm, dtype=np.float64) - self.source_mm) @ self.toward_detector)

    def mm_per_pixel(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """What one row and one column ``(..., 2)`` measure at the depth of LPS points ``(..., 3)``.

        A length in the image, in pixels, times this is a length in the patient, if it lies across the central ray.
        NaN for a point beside or behind the source.
        """
        depth = self.depth_mm(points_mm)
        shrunk = np.where(depth > 0.0, depth, np.nan)[..., None] / self.source_to_detector_mm
        return np.asarray(shrunk * (self.detector.row_spacing_mm, self.detector.column_spacing_mm))

    def project(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Row and column ``(..., 2)`` where LPS points ``(..., 3)`` of the patient appear.

        Fractional, and outside the detector where they miss it. NaN for a point beside or behind the source.
        """
        d = np.asarray(points_mm, dtype=np.float64) - self.source_mm
        depth = d @ self.toward_detector
        scale = self.source_to_detector_mm / np.where(depth > 0.0, depth, np.nan)
        right, down = self.axes
        row, column = self.detector.middle
        return np.stack(
            (
                row + scale * (d @ down) / self.detector.row_spacing_mm,
                column + scale * (d @ right) / self.detector.column_spacing_mm,
            ),
            axis=-1,
        )

    def on_detector_mm(self, pixels: ArrayLike) -> NDArray[np.float64]:
        """LPS positions ``(..., 3)`` of pixels ``(..., 2)``, row and column, on the detector's plane."""
        p = np.asarray(pixels, dtype=np.float64) - self.detector.middle
        right, down = self.axes
        plane = self.source_mm + self.source_to_detector_mm * self.toward_detector
        rows, columns = p[..., :1] * self.detector.row_spacing_mm, p[..., 1:] * self.detector.column_spacing_mm
        return np.asarray(plane + rows * down + columns * right)

    def ray(self, pixel: ArrayLike) -> Line:
        """The ray from the source to one pixel (row, column)."""
        return Line(self.source_mm, unit(self.on_detector_mm(pixel) - self.source_mm))

    def beam(self, volume: Volume, displacement: Pose = AT_REST) -> Beam:
        """This beam in the volume's own frame, for :mod:`trocar.physics.xray`.

        ``displacement`` takes the place of each point in the CT to where it is during fluoroscopy.
        """
        first, below, beside = self.on_detector_mm([[0, 0], [1, 0], [0, 1]])
        corners = displacement.to_local(np.stack((self.source_mm, first, below, beside)))
        source, first, below, beside = volume.index_kji(corners) * volume.spacing_mm
        return Beam(source, first, below - first, beside - first, self.detector.shape)

    def binned(self, factor: int) -> CArm:
        """The same view on a detector whose pixels are taken together."""
        return replace(self, detector=self.detector.binned(factor))

    def facing(self, direction: ArrayLike) -> CArm:
        """The same C-arm with its detector in this direction (LPS, any length) from the isocentre.

        To look along a needle towards its tip, face the way it came from: ``facing(entry_mm - target_mm)``.
        """
        primary, secondary = angles_of(direction)
        return replace(self, primary_angle_deg=primary, secondary_angle_deg=secondary)

    def about(self, isocentre_mm: ArrayLike) -> CArm:
        """The same C-arm about another point: what the patient's table was moved for."""
        return replace(self, isocentre_mm=np.asarray(isocentre_mm, dtype=np.float64))

    def sees(self, points_mm: ArrayLike) -> NDArray[np.bool_]:
        """Which LPS points ``(..., 3)`` appear on the detector, to the outer edge of its outer pixels."""
        pixels = self.project(points_mm)
        with np.errstate(invalid="ignore"):
            inside = (pixels >= -0.5) & (pixels <= np.asarray(self.detector.shape) - 0.5)
        return np.asarray(np.all(inside, axis=-1))

    def __str__(self) -> str:
        return angles_text(self.primary_angle_deg, self.secondary_angle_deg)
