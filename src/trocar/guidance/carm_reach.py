"""Which views a C-arm can be brought to: limits of the machine as data, and a finding where a view is beyond them."""

from __future__ import annotations

from dataclasses import dataclass

from trocar.guidance.carm import CArm
from trocar.guidance.carm_angles import angles_text
from trocar.guidance.carm_position import PatientPosition, in_room
from trocar.measure import Finding, Range, Severity

#: Displays show whole or tenths of degrees: a view that rounds to the limit is within it.
ROUNDING_DEG = 0.05


@dataclass(frozen=True)
class Reach:
    """How far a C-arm turns about a level, unturned table: angles in the room, degrees, and where they are from.

    Makes differ, and so do the two sides of one machine; what stands beside the table is not known here.
    """

    name: str
    primary: Range
    secondary: Range
    source: str

    def holds(self, primary_deg: float, secondary_deg: float) -> bool:
        """Whether the machine turns that far; angles in the room."""
        return _within(primary_deg, self.primary) and _within(secondary_deg, self.secondary)


def _within(angle_deg: float, limits: Range) -> bool:
    return limits.low - ROUNDING_DEG <= angle_deg <= limits.high + ROUNDING_DEG


#: Rounded down from what makers print for ceiling- and floor-mounted systems with the arm at the table's head.
#: From memory, unverified: replace by the figures of the machine in the room.
FIXED = Reach(
    "a fixed C-arm",
    Range(-110.0, 110.0, "deg"),
    Range(-45.0, 45.0, "deg"),
    "typical of ceiling- and floor-mounted angiography systems; from memory, unverified",
)

#: A mobile arm stands at the table's side: the orbit gives the primary angle, the tilt about its own arm the secondary.
#: The orbit ends with the tube over the table on one side only; here it is taken as the same on both.
#: From memory, unverified: replace by the figures of the machine in the room.
MOBILE = Reach(
    "a mobile C-arm",
    Range(-90.0, 90.0, "deg"),
    Range(-45.0, 45.0, "deg"),
    "typical of mobile C-arms; from memory, unverified",
)


def out_of_reach(view: CArm, position: PatientPosition, reach: Reach = FIXED) -> Finding | None:
    """A caution where the machine does not turn that far about a patient in this position; None where it does.

    Says where the same line can be had with tube and detector exchanged, if it can: such an image is mirrored.
    """
    room = in_room(view, position)
    if reach.holds(room.primary_deg, room.secondary_deg):
        return None
    other = view.facing(-view.toward_detector)
    back = in_room(other, position)
    way_out = "turn the patient or take another view"
    if reach.holds(back.primary_deg, back.secondary_deg):
        way_out = f"exchange tube and detector ({other} about the patient), where left and right change places"
    text = f"{reach.name.capitalize()} does not reach {view} with the patient {position.words}: {way_out}."
    return Finding(
        Severity.CAUTION, text, f"{angles_text(room.primary_deg, room.secondary_deg)} in the room; {_limits(reach)}"
    )


def _limits(reach: Reach) -> str:
    p, s = reach.primary, reach.secondary
    ends = f"{angles_text(p.low, s.low)} to {angles_text(p.high, s.high)}"
    return f"limits {ends}, {reach.source}"
