"""Which figures a plan gets, in which order, and what is said under them."""

from __future__ import annotations

from trocar.planning.trajectory import Trajectory
from trocar.reporting.figures import WINDOW_LEVEL_HU, WINDOW_WIDTH_HU, Picture, slice_picture
from trocar.reporting.profile import profile_picture
from trocar.reporting.surface import from_behind, from_the_side, scene, surface_picture
from trocar.reporting.views import View, across, along, orthogonal
from trocar.reporting.words import plain
from trocar.treatment import Plan

_DIRECTIONS = {"L": "left", "R": "right", "A": "front", "P": "back", "H": "head", "F": "feet"}


def pictures(plan: Plan) -> tuple[Picture, ...]:
    """Slices along and through each needle of the best option, and the surface from two sides."""
    trajectories = plan.best.trajectories
    drawn: list[Picture] = []
    for trajectory in trajectories:
        others = tuple(t for t in trajectories if t is not trajectory)
        tag = f"_{trajectory.side.value}" if others else ""
        for view in (*along(trajectory), *orthogonal(trajectory.target_mm), _across(plan, trajectory)):
            drawn.append(_slice(plan, trajectory, view, others, tag))
        drawn.append(_profile(plan, trajectory, tag))
    return (*drawn, *_surfaces(plan, trajectories))


def _slice(plan: Plan, trajectory: Trajectory, view: View, others: tuple[Trajectory, ...], tag: str) -> Picture:
    title = view.title if not tag else f"{view.title} ({trajectory.side.value} needle)"
    return Picture(
        view.name + tag,
        title,
        _caption(view),
        _alt(trajectory, view),
        slice_picture(plan, trajectory, view, others),
    )


def _across(plan: Plan, trajectory: Trajectory) -> View:
    pedicle = plan.anatomy.vertebra(trajectory.level).pedicles.get(trajectory.side)
    return across(trajectory, pedicle.axis.point_mm if pedicle else trajectory.entry_mm)


def _profile(plan: Plan, trajectory: Trajectory, tag: str) -> Picture:
    title = "Clearance along the needle" + (f" ({trajectory.side.value} needle)" if tag else "")
    return Picture(
        f"clearance{tag}",
        title,
        "Band: voxel uncertainty. Dot: nearest point; short dashed line below it: the margin asked for there. Shaded: "
        "bone around the needle in its thinnest direction. Right: chance of a breach by a hand error, any and each "
        "alone; line: 95 % interval.",
        f"{title}: free space between needle and nearby structures against depth from the skin. "
        + "; ".join(f"{plain(c.structure)} {c.value_mm:.1f} mm" for c in trajectory.clearances[:6])
        + ".",
        profile_picture(plan.anatomy, trajectory),
        wide=True,
    )


def _caption(view: View) -> str:
    if view.name.startswith("along"):
        shown = "The whole needle lies in this plane and is drawn at its true diameter."
    elif view.name == "across":
        shown = "At right angles to the needle, which is cut at its true diameter; left and head as in a coronal slice."
    else:
        shown = (
            "Filled: where the needle meets this plane. Dashed: its projection from in front of or behind the plane."
        )
    return f"{_plane(view)} {shown} {_window()}"


def _plane(view: View) -> str:
    x, y, z = view.centre_mm
    if view.name == "axial":
        return f"Plane at {_axis(z, 'H', 'F')}."
    if view.name == "sagittal":
        return f"Plane at {_axis(x, 'L', 'R')}."
    if view.name == "coronal":
        return f"Plane at {_axis(y, 'P', 'A')}."
    return f"Centre at {_axis(x, 'L', 'R')}, {_axis(y, 'P', 'A')}, {_axis(z, 'H', 'F')}."


def _axis(value: float, positive: str, negative: str) -> str:
    return f"{positive if value >= 0 else negative} {abs(value):.1f} mm"


def _window() -> str:
    return f"Bone window W {WINDOW_WIDTH_HU:.0f} L {WINDOW_LEVEL_HU:.0f}."


def _alt(trajectory: Trajectory, view: View) -> str:
    left, right, top, bottom = ("/".join(_DIRECTIONS[c] for c in letters) for letters in view.letters)
    return (
        f"{view.title}: CT of {trajectory.level} with the {trajectory.side.value} {trajectory.approach} needle. "
        f"Image left is the patient's {left}, image right the patient's {right}, top {top}, bottom {bottom}."
    )


def _surfaces(plan: Plan, trajectories: tuple[Trajectory, ...]) -> tuple[Picture, ...]:
    surface = scene(plan)
    first = trajectories[0]
    return tuple(
        Picture(
            view.name,
            view.title,
            "Bone is translucent where needle or canal lie behind it. Smoothed for display: do not measure on it.",
            f"{view.title}: surface of {first.level} with spinal canal and needle.",
            surface_picture(surface, trajectories, view),
        )
        for view in (from_behind(plan, first), from_the_side(plan, first))
    )
