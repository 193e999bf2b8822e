"""What the C-arm will show: the chapter of the report with the views, the checkpoints and the rule of the two views."""

from __future__ import annotations

import math

from trocar.guidance.carm_angles import angles_text
from trocar.guidance.checkpoints import Checkpoint, Checkpoints, Event
from trocar.guidance.view_quality import trueness
from trocar.guidance.views import Kind, PlannedView, position_words
from trocar.measure import Finding, Severity
from trocar.planning.trajectory import Trajectory
from trocar.reporting.content import Chapter, Table
from trocar.reporting.figures import Picture
from trocar.reporting.first_page import concerns
from trocar.reporting.fluoroscopy_pictures import SHORT, checkpoint_picture, shown_events, view_picture
from trocar.reporting.fluoroscopy_views import Views, views_of
from trocar.reporting.views import View
from trocar.reporting.words import sentence

__all__ = ["Views", "chapter", "grave", "pictures", "views_of"]

TITLE = "What the C-arm will show"
#: Every so many millimetres a row in the table of depths.
ROW_MM = 2
CAUTION = (
    "Images are simulated from the CT, without noise and scatter; they are bright where the scan ends. They hold for "
    "the patient as scanned: on the table the spine bends, and the true views are found by their marks, not by these "
    "angles alone."
)
_DIRECTIONS = {"L": "left", "R": "right", "A": "front", "P": "back", "H": "head", "F": "feet"}


def chapter(views: Views) -> Chapter:
    """The views, the checkpoints as pictures and as numbers, and whether the rule of the two views holds."""
    return Chapter(
        TITLE,
        _lead(views),
        pictures(views),
        (_positions(views), *(_events(views, c) for c in views.checked), *(_depths(views, c) for c in views.checked)),
        concerns(views.findings),
    )


def grave(views: Views | None) -> tuple[Finding, ...]:
    """What of it belongs on the first page: all but notes."""
    return () if views is None else tuple(f for f in views.findings if f.severity is not Severity.NOTE)


def _lead(views: Views) -> str:
    said = []
    for way in dict.fromkeys(c.way for c in views.checked):
        said.append(way.value)
    said += [_kept(views, c) for c in views.checked]
    return " ".join((*said, CAUTION))


def _kept(views: Views, checked: Checkpoints) -> str:
    which = f"The {checked.trajectory.side.value} needle" if len(views.checked) > 1 else "The planned path"
    if checked.kept is None:
        return f"{which} cannot be checked by it."
    if not checked.kept:
        return f"{which} breaks it: see below."
    where = "at the posterior wall" if checked.event(Event.POSTERIOR_WALL) else "where it meets the bone"
    more = "" if math.isinf(checked.lead_mm) else f", and crosses that border {checked.lead_mm:.0f} mm deeper"
    return f"{which} keeps it: {where} its tip is {checked.spare_mm:.0f} mm lateral of the medial border{more}."


# --- tables -------------------------------------------------------------------------------------


def _positions(views: Views) -> Table:
    tagged = len(views.trajectories) > 1
    rows = [_position("True AP", views.ap), _position("True lateral", views.lateral)]
    for kind, planned in (("Down the needle", views.barrels), ("Oblique, along the pedicle", views.obliques)):
        rows += [_position(f"{kind} ({s.value})" if tagged else kind, view) for s, view in planned.items()]
    arm = views.ap.arm
    return Table(
        "Where the C-arm belongs",
        ("View", "Angles about the patient", "Detector", "Turn of the picture"),
        tuple(rows),
        remark="DICOM's angles: LAO and RAO to the patient's left and right, CRA and CAU to head and feet, 0 in front. "
        "About the centre of the body; down the needle, about its axis. The picture is turned clockwise (+) to set the "
        f"vertebra upright. Source to detector {arm.source_to_detector_mm:.0f} mm, to isocentre "
        f"{arm.source_to_isocentre_mm:.0f} mm: enlarged {arm.magnification:.2f} times.",
        widths=(0, 0, 1, 0),
    )


def _position(name: str, view: PlannedView) -> tuple[str, ...]:
    arm = view.arm
    words = position_words(arm).removeprefix("detector ")
    turn = round(arm.roll_deg)
    return (
        name,
        angles_text(round(arm.primary_angle_deg), round(arm.secondary_angle_deg)),
        sentence(words),
        f"{turn:+d}°" if turn else "none",
    )


def _events(views: Views, checked: Checkpoints) -> Table:
    return Table(
        f"Checkpoints{_of(views, checked)}",
        ("From the skin, mm", "In bone, mm", "Checkpoint", "What both views show"),
        tuple(
            (f"{c.depth_mm:.0f}", f"{c.in_bone_mm:.0f}", sentence(c.event.value if c.event else ""), c.words)
            for c in checked.events
        ),
        (0, 1),
        "Depths are along the needle. Lengths on the views are millimetres at the depth of the vertebra.",
        (0, 0, 1, 1.4),
    )


def _depths(views: Views, checked: Checkpoints) -> Table:
    rows = tuple(_depth_row(c) for n, c in enumerate(checked.stations) if n % ROW_MM == 0)
    return Table(
        f"Tip by depth{_of(views, checked)}",
        ("Depth, mm", "In bone, mm", "AP, mm", "Lateral, mm", "What both views show"),
        rows,
        (0, 1, 2, 3),
        "Depth from the skin along the needle. AP: how far the tip lies lateral of the medial border of the pedicle; "
        "lateral: how far it lies before the posterior wall; negative past them.",
        (0, 0, 0, 0, 1),
    )


def _depth_row(c: Checkpoint) -> tuple[str, ...]:
    aside = "" if math.isnan(c.medial_mm) else f"{_signed(c.medial_mm)}"
    return f"{c.depth_mm:.0f}", f"{c.in_bone_mm:.0f}", aside, _signed(c.wall_mm), c.words


def _signed(value: float) -> str:
    return f"{value:.1f}".replace("-0.0", "0.0").replace("-", "\N{MINUS SIGN}")


def _of(views: Views, checked: Checkpoints) -> str:
    return f", {checked.trajectory.side.value} needle" if len(views.checked) > 1 else ""


# --- pictures -----------------------------------------------------------------------------------


def pictures(views: Views) -> tuple[Picture, ...]:
    """AP, lateral, down each needle, the oblique of a single one, and each needle's checkpoints, as PNG."""
    images = views.images()
    out = [
        _picture(views, "ap", views.ap, images["ap"], views.trajectories),
        _picture(views, "lateral", views.lateral, images["lateral"], views.trajectories),
    ]
    for trajectory in views.trajectories:
        name = f"barrel_{trajectory.side.value}"
        out.append(_picture(views, name, views.barrels[trajectory.side], images[name], (trajectory,)))
    for name in (n for n in images if n.startswith("oblique")):
        out.append(_picture(views, name, views.named[name], images[name], views.trajectories))
    out += [_checkpoints(views, c, images) for c in views.checked]
    return tuple(out)


def _picture(views: Views, name: str, view: PlannedView, image, needles: tuple[Trajectory, ...]) -> Picture:  # type: ignore[no-untyped-def]
    title = view.title[:1].upper() + view.title[1:]
    if view.kind is Kind.BARREL and len(views.trajectories) > 1:
        title = f"{title} ({needles[0].side.value} needle)"
    return Picture(
        f"fluoroscopy_{name}",
        title,
        f"{_angles(view)} {_true(view)}",
        f"Simulated fluoroscopy. {title}, {position_words(view.arm)}. {_edges(view)} "
        f"Drawn: {_needles(needles)} with the outlines of body, pedicles and canal.",
        view_picture(views, view, image, needles),
    )


def _angles(view: PlannedView) -> str:
    arm = view.arm
    return f"{angles_text(round(arm.primary_angle_deg), round(arm.secondary_angle_deg))}, {position_words(arm)}."


def _true(view: PlannedView) -> str:
    """What makes it a true view, with what the vertebra's own shape leaves."""
    if view.kind is Kind.OBLIQUE:
        return "Endplates as in the AP, turned until the pedicle is seen along its axis."
    if view.kind is Kind.BARREL:
        return "The needle is a point, drawn at its largest enlargement; dashed, its margins."
    found = trueness(view.arm, view.vertebra, view.kind)
    plates = ", ".join(f"{name} {mm:.0f} mm" for name, mm in found.endplates_mm.items())
    if view.kind is Kind.LATERAL:
        return f"True when both endplates are lines (here rims {plates} thick) and the pedicles lie over each other."
    off = found.spinous_off_mm
    side = "left" if off > 0.0 else "right"
    tip = "" if math.isnan(off) else f"; the tip of the spinous process lies {abs(off):.0f} mm {side} of their middle"
    return (
        f"True when both endplates are lines (here rims {plates} thick), the pedicles level and the spinous process "
        f"midway between them{tip}."
    )


def _edges(view: PlannedView) -> str:
    right, down = view.arm.axes
    edges = View("", "", view.arm.isocentre_mm, right, down, 1.0).letters
    left, right_, top, bottom = ("/".join(_DIRECTIONS[c] for c in letters) for letters in edges)
    return f"Image left is the patient's {left}, image right the patient's {right_}, top {top}, bottom {bottom}."


def _needles(needles: tuple[Trajectory, ...]) -> str:
    return " and ".join(f"the {t.side.value} {t.approach} needle to {t.level}" for t in needles)


def _checkpoints(views: Views, checked: Checkpoints, images) -> Picture:  # type: ignore[no-untyped-def]
    side = checked.trajectory.side.value
    told = "; ".join(f"{c.depth_mm:.0f} mm, {SHORT[c.event]}: {c.words}" for c in shown_events(checked) if c.event)
    return Picture(
        f"fluoroscopy_checkpoints_{side}",
        f"Checkpoints of the {side} needle" if len(views.checked) > 1 else "Checkpoints",
        "Depth from the skin along the needle. Above: AP with the pedicle and its medial border. Below: lateral with "
        "the body and its posterior wall. The tip must be in front of the wall before it is medial of the border.",
        f"The needle's tip at each checkpoint, on AP and lateral: {told}.",
        checkpoint_picture(views, checked, images["ap"], images["lateral"]),
        wide=True,
    )
