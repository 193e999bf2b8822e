"""Vertebral levels: names, order, neighbours."""

from __future__ import annotations

import re
from enum import Enum


class Level(Enum):
    """C1 to S1 from head to foot, and the transitional T13 and L6."""

    C1, C2, C3, C4, C5, C6, C7 = (f"C{n}" for n in range(1, 8))
    T1, T2, T3, T4, T5, T6, T7, T8, T9, T10, T11, T12, T13 = (f"T{n}" for n in range(1, 14))
    L1, L2, L3, L4, L5, L6 = (f"L{n}" for n in range(1, 7))
    S1 = "S1"

    def __str__(self) -> str:
        return self.value

    @property
    def order(self) -> int:
        """0 for C1, growing towards the feet; T13 follows T12 and L6 follows L5."""
        return _ORDER[self]

    @property
    def region(self) -> str:
        """The region: "cervical", "thoracic", "lumbar" or "sacral"."""
        return {"C": "cervical", "T": "thoracic", "L": "lumbar", "S": "sacral"}[self.value[0]]

    @classmethod
    def parse(cls, text: str | Level) -> Level:
        """Read ``"L1"``, ``"l1"``, ``"Th12"``, ``"D12"``, ``"vertebrae_L1"``; raises ``ValueError``."""
        if isinstance(text, Level):
            return text
        match = re.fullmatch(r"(?:vertebrae?[_ ])?(C|TH|T|D|L|S)\s*0*(\d+)", str(text).strip().upper(), re.IGNORECASE)
        if match:
            letter = {"TH": "T", "D": "T"}.get(match[1].upper(), match[1].upper())
            name = f"{letter}{int(match[2])}"
            if name in cls.__members__:
                return cls[name]
        raise ValueError(f"level={text!r} is not a vertebra: use C1 to C7, T1 to T13, L1 to L6 or S1.")


_ORDER = {level: n for n, level in enumerate(Level)}


def neighbours(level: Level, present: set[Level] | frozenset[Level]) -> tuple[Level | None, Level | None]:
    """The next level above and below ``level`` among ``present``, only if directly adjacent.

    T13 and L6 count as adjacent where they are present and are skipped where they are not.
    """
    return _step(level, -1, present), _step(level, +1, present)


def _step(level: Level, by: int, present: set[Level] | frozenset[Level]) -> Level | None:
    levels = list(Level)
    n = level.order + by
    while 0 <= n < len(levels):
        if levels[n] in present:
            return levels[n]
        if levels[n] not in (Level.T13, Level.L6):
            return None
        n += by
    return None
