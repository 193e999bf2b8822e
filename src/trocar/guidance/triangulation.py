"""From the needle in one or two images to the needle in the patient.

Two views: the tip is the point whose images lie nearest to the tips seen, the direction the one whose images run along
the needle seen, each weighted by its standard error (least squares; Hartley & Zisserman, Multiple View Geometry, 2nd
ed., chapter 12). A line in two images fixes its plane in each, and the needle lies in both: where the two planes are
one, as with a needle at right angles to the spine in a true AP and a true lateral view, lines say nothing of its
direction within that plane. There its outer end helps, where both images show it, and else what was planned; the
standard error says which.

One view tells a ray, not a point. Where the needle lies along it is taken from the plan, and said to be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from trocar.errors import ImageError
from trocar.geometry import Line, Plane, Pose, Vector, angle_deg, unit
from trocar.guidance.carm import AT_REST, CArm
from trocar.guidance.needle_image import Sighting
from trocar.guidance.tip import Tip
from trocar.planning.trajectory import Trajectory

#: Views nearer to one another, or to opposite, than this: an error across the rays is three times as large along them.
LEAST_ANGLE_DEG = 20.0
#: Rays that miss one another by more than this many standard errors, and by more than this, mm, are not of one point.
GAP_SD, GAP_MM = 4.0, 1.5
#: How far a needle may point from where it was planned, standard deviation (free hand 3.4 deg, Korean J Radiol 2015,
#: widened); it only counts where the images say nothing.
PLANNED_SD_DEG = 6.0
#: How far a needle may lie off its planned plane where one view cannot tell, standard deviation, mm: the hand's error
#: at the entry, 6.1 mm free hand (Korean J Radiol 2015), after the view down the barrel was used. Our judgement.
OFF_PLANE_SD_MM = 4.0


@dataclass(frozen=True, eq=False)
class Look:
    """The needle as one view shows it. ``displacement`` takes the CT's coordinates to where the bone was then."""

    view: CArm
    seen: Sighting
    displacement: Pose = AT_REST

    @property
    def source_mm(self) -> Vector:
        """The focal spot in the CT's coordinates."""
        return np.asarray(self.displacement.to_local(self.view.source_mm))

    def project(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels of points given in the CT's coordinates."""
        return self.view.project(self.displacement.to_world(points_mm))

    def ray(self, pixel: NDArray[np.float64]) -> Line:
        """The ray to a pixel, in the CT's coordinates."""
        line = self.view.ray(pixel)
        return Line(self.displacement.to_local(line.point_mm), self.displacement.axes.T @ line.direction)

    @property
    def tip_ray(self) -> Line:
        """The ray to the tip."""
        return self.ray(self.seen.tip_px)

    @property
    def normal(self) -> Vector:
        """The normal of the plane that holds the source and the needle."""
        behind = self.ray(self.seen.tip_px - 0.5 * self.seen.length_px * self.seen.way)
        return unit(np.cross(self.tip_ray.direction, behind.direction))


def triangulate(
    first: Look, second: Look, *, planned: Vector | None = None, time_s: float = 0.0, source: str = "two views"
) -> Tip:
    """The needle from two views; ``planned`` is the direction it should have, for where the images cannot tell.

    Raises :class:`ImageError` for views too near to one another and for rays that do not meet.
    """
    apart = views_apart_deg(first, second)
    if apart < LEAST_ANGLE_DEG:
        raise ImageError(
            f"the two views are {apart:.0f}° apart, too few to tell depth ({LEAST_ANGLE_DEG:.0f}° at least): "
            "turn the C-arm further."
        )
    start = _nearest(first.tip_ray, second.tip_ray)
    guess = _direction(first, second, planned, start)
    frame = np.linalg.svd(guess[None])[2][1:]
    fit = least_squares(
        _residuals, np.zeros(5), args=((first, second), start, guess, frame, planned), method="lm", x_scale=_SCALE
    )
    _check_meeting(first, second)
    tip, direction = _unpacked(fit.x, start, guess, frame)
    covariance = np.linalg.pinv(fit.jac.T @ fit.jac, rcond=1e-14)
    turn = frame.T @ covariance[3:, 3:] @ frame
    return Tip(time_s, tip, direction, covariance[:3, :3], turn, source)


def views_apart_deg(first: Look, second: Look) -> float:
    """Angle between the two rays to the tip, 0 to 90 degrees: opposite views tell no more than equal ones."""
    angle = angle_deg(first.tip_ray.direction, second.tip_ray.direction)
    return min(angle, 180.0 - angle)


def gap_mm(first: Look, second: Look) -> tuple[float, float]:
    """How far the two rays to the tip miss one another, and the standard error of that, mm."""
    a, b = first.tip_ray, second.tip_ray
    across = unit(np.cross(a.direction, b.direction))
    gap = float((b.point_mm - a.point_mm) @ across)
    meeting = _nearest(a, b)
    variance = sum(_pixel_error_mm(look, meeting, across) ** 2 for look in (first, second))
    return abs(gap), math.sqrt(variance)


def _pixel_error_mm(look: Look, at_mm: Vector, along: Vector) -> float:
    """The tip's standard error in one view at the patient, along a direction across the ray."""
    # pixels per mm along that direction
    step = look.project(np.stack((at_mm, at_mm + along)))
    move = step[1] - step[0]
    scale = float(np.linalg.norm(move))
    a = move / scale
    return float(np.sqrt(a @ look.seen.covariance_px2 @ a)) / scale


def _check_meeting(first: Look, second: Look) -> None:
    gap, error = gap_mm(first, second)
    if gap > max(GAP_MM, GAP_SD * error):
        raise ImageError(
            f"the two views do not show one tip: their rays miss by {gap:.1f} mm. The patient moved between them, or "
            "another needle was taken for this one: take both again."
        )


def _nearest(a: Line, b: Line) -> Vector:
    """The point half-way between two lines where they come nearest."""
    d, e = a.direction, b.direction
    w = b.point_mm - a.point_mm
    cosine = float(d @ e)
    s = float(w @ (d - cosine * e)) / (1.0 - cosine**2)
    t = float(w @ (cosine * d - e)) / (1.0 - cosine**2)
    return 0.5 * (a.at(s) + b.at(t))


def _direction(first: Look, second: Look, planned: Vector | None, tip: Vector) -> Vector:
    """Where both planes meet; where they are nearly one, as planned, but in the first plane."""
    across = np.cross(first.normal, second.normal)
    if np.linalg.norm(across) < math.sin(math.radians(1.0)) and planned is not None:
        across = planned - float(planned @ first.normal) * first.normal
    way = unit(across)
    moved = first.project(np.stack((tip, tip + way)))
    return way if float((moved[1] - moved[0]) @ first.seen.way) > 0.0 else -way


#: Steps in which the five unknowns are of like size: mm and radians.
_SCALE = np.array((1.0, 1.0, 1.0, 0.01, 0.01))


def _unpacked(
    x: NDArray[np.float64], start: Vector, guess: Vector, frame: NDArray[np.float64]
) -> tuple[Vector, Vector]:
    return start + x[:3], unit(guess + x[3:] @ frame)


def _residuals(
    x: NDArray[np.float64],
    looks: tuple[Look, Look],
    start: Vector,
    guess: Vector,
    frame: NDArray[np.float64],
    planned: Vector | None,
) -> NDArray[np.float64]:
    """What is seen less what should be, in standard errors: per view along, across, angle; then the plan's."""
    tip, direction = _unpacked(x, start, guess, frame)
    out: list[float] = []
    for look in looks:
        here, behind = look.project(np.stack((tip, tip - direction)))
        off, way = here - look.seen.tip_px, unit(here - behind)
        out += [
            float(off @ look.seen.way) / look.seen.along_se_px,
            float(off @ look.seen.normal) / look.seen.across_se_px,
            math.atan2(float(way @ look.seen.normal), float(way @ look.seen.way)) / look.seen.angle_se_rad,
        ]
    if planned is not None:
        out += list((direction - unit(planned)) / math.radians(PLANNED_SD_DEG))
    return np.array(out)


def planned_plane(trajectory: Trajectory, look: Look) -> Plane:
    """The plane through a planned path that a view sees most squarely."""
    ray, axis = look.tip_ray.direction, trajectory.direction
    across = ray - float(ray @ axis) * axis
    if float(np.linalg.norm(across)) < 1e-6:
        raise ImageError("the planned path points straight at the source: one view cannot tell how deep the tip is.")
    return Plane(trajectory.target_mm, across)


def from_one_view(
    look: Look,
    trajectory: Trajectory,
    *,
    off_plane_sd_mm: float = OFF_PLANE_SD_MM,
    time_s: float = 0.0,
    source: str = "one view",
) -> Tip:
    """The needle from one view, *as if* it lay in the plane of its planned path that this view sees most squarely.

    ``unseen_along`` of the result is the ray: nothing was measured along it.
    """
    plane = planned_plane(trajectory, look)
    ray = look.tip_ray
    cosine = float(ray.direction @ plane.normal)
    tip = ray.at(float((plane.point_mm - ray.point_mm) @ plane.normal) / cosine)
    direction = _in_plane(look, plane, tip)
    measured = _across_ray(look, tip) + np.outer(ray.direction, ray.direction) * (off_plane_sd_mm / cosine) ** 2
    turn = math.radians(PLANNED_SD_DEG) ** 2 * np.outer(plane.normal, plane.normal)
    inside = unit(np.cross(plane.normal, direction))
    turn = turn + _angle_error(look, tip, direction, inside) ** 2 * np.outer(inside, inside)
    said = "one view: the needle is taken to lie in the plane of its planned path"
    return Tip(time_s, tip, direction, measured, turn, source, ray.direction, said)


def _in_plane(look: Look, plane: Plane, tip: Vector) -> Vector:
    """The needle's direction in a plane."""
    way = unit(np.cross(look.normal, plane.normal))
    moved = look.project(np.stack((tip, tip + way)))
    return way if float((moved[1] - moved[0]) @ look.seen.way) > 0.0 else -way


def _across_ray(look: Look, tip: Vector) -> NDArray[np.float64]:
    """The tip's covariance across the ray, mm2."""
    u, v = np.linalg.svd(look.tip_ray.direction[None])[2][1:]
    here, right, down = look.project(np.stack((tip, tip + u, tip + v)))
    back = np.linalg.inv(np.stack((right - here, down - here), axis=1))
    basis = np.stack((u, v))
    return np.asarray(basis.T @ back @ look.seen.covariance_px2 @ back.T @ basis)


def _angle_error(look: Look, tip: Vector, direction: Vector, turning: Vector) -> float:
    """The standard error of the direction within a plane, radians: the image's, over how much a turn shows."""
    small = 1e-4
    ends = look.project(np.stack((tip, tip - direction, tip - unit(direction + small * turning))))
    a, b = unit(ends[0] - ends[1]), unit(ends[0] - ends[2])
    shown = abs(math.asin(float(a[0] * b[1] - a[1] * b[0]))) / small
    return look.seen.angle_se_rad / max(shown, 1e-6)
