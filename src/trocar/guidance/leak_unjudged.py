"""How long no image has been judged, and when that must be said.

Time without a judged image is added up, time with one taken off: a vertebra that is found now and then counts as not
watched. Whatever the reason, once it is too long it is told, and again while it lasts.
"""

from __future__ import annotations

from trocar.guidance.leak_state import Phase

#: So long nothing may go unjudged before it is told, s; while the image moves: a table needs its time. Ours.
UNJUDGED_S, MOVING_S = 0.5, 2.0
#: While it lasts it is told again after this, s. Ours.
REPEATED_S = 5.0
#: What an image counts for where the clock stands or runs backwards, s.
NOMINAL_S = 1.0 / 15.0
#: Rounding of stamps, s.
HAIR_S = 1e-6

_TEXT = {
    Phase.LOST: "The vertebra is no longer found in the image: stop, and look. Was the table or the C-arm moved far?",
    Phase.MOVING: "The image does not stand still and nothing is judged: stop, and look.",
    Phase.BLIND: "No image can be used and nothing is judged: stop, and look.",
    Phase.WATCHING: "Most images cannot be judged: stop, and look.",
}


class Unjudged:
    """Adds up the time in which nothing was judged, by the images' stamps."""

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._lasts_s = 0.0
        self._told_ago_s: float | None = None

    def step(self, phase: Phase, time_s: float) -> str:
        """Take in one image; what must be said now, or nothing."""
        passed = NOMINAL_S if self._last_s is None or time_s <= self._last_s else time_s - self._last_s
        self._last_s = time_s
        if phase is Phase.LEARNING:
            self._lasts_s, self._told_ago_s = 0.0, None
            return ""
        if self._told_ago_s is not None:
            self._told_ago_s += passed
        share = {Phase.WATCHING: -1.0, Phase.MOVING: UNJUDGED_S / MOVING_S}.get(phase, 1.0)
        self._lasts_s = min(max(self._lasts_s + share * passed, 0.0), UNJUDGED_S)
        if self._lasts_s <= HAIR_S:
            self._told_ago_s = None
        return self._said(phase)

    def _said(self, phase: Phase) -> str:
        due = self._told_ago_s is None or self._told_ago_s >= REPEATED_S - HAIR_S
        if self._lasts_s < UNJUDGED_S - HAIR_S or not due:
            return ""
        self._told_ago_s = 0.0
        return _TEXT[phase]
