"""How a person calls what a source delivers, and an alarm about it."""

from __future__ import annotations

from trocar.guidance.frames import Alarm, AlarmKind, Frame, Points, Reading, Slab, Stamped, ToolPose
from trocar.measure import Finding, Severity

#: One and several of each.
WORDS: dict[type[Stamped], tuple[str, str]] = {
    Frame: ("image", "images"),
    Slab: ("CT image", "CT images"),
    ToolPose: ("position", "positions"),
    Reading: ("reading", "readings"),
    Points: ("set of points", "sets of points"),
}


def one(item: Stamped) -> str:
    """For instance "image"."""
    return WORDS.get(type(item), ("message", "messages"))[0]


def several(item: Stamped) -> str:
    """For instance "images"."""
    return WORDS.get(type(item), ("message", "messages"))[1]


def counted(count: int, item: Stamped) -> str:
    """For instance "3 images"."""
    return f"{count} {one(item) if count == 1 else several(item)}"


def origin(item: Stamped) -> str:
    """From where: the source, or the tool or reading of it."""
    name = item.tool if isinstance(item, ToolPose) else item.name if isinstance(item, Reading) else item.source
    return item.source if name == item.source else f"{name} ({item.source})"


def alarm(
    kind: AlarmKind, now_s: float, item: Stamped, severity: Severity, text: str, because: str = "", over: bool = False
) -> Alarm:
    """An alarm at ``now_s`` of our clock about an item, or about what should have followed it."""
    return Alarm(kind, now_s, item.number, item.source, Finding(severity, text, because), over)
