"""Instruments with real sizes."""

from __future__ import annotations

from dataclasses import dataclass

from trocar.measure import Range

#: Nominal outer diameters, mm, Birmingham gauge (needle gauge table; brands deviate, so it stays editable).
OUTER_DIAMETER_MM = {8: 4.191, 10: 3.404, 11: 3.048, 13: 2.413, 15: 1.829, 18: 1.270, 20: 0.908, 22: 0.718}

OUTER_DIAMETER_RANGE = Range(0.3, 12.0, "mm")
LENGTH_RANGE = Range(20.0, 400.0, "mm")


@dataclass(frozen=True)
class Needle:
    """A straight rigid needle or cannula; ``gauge`` is None when its size is the user's own."""

    outer_diameter_mm: float
    length_mm: float = 125.0
    gauge: int | None = None
    name: str = "needle"

    def __post_init__(self) -> None:
        OUTER_DIAMETER_RANGE.check("outer_diameter_mm", self.outer_diameter_mm, self.name)
        LENGTH_RANGE.check("length_mm", self.length_mm, self.name)

    @property
    def radius_mm(self) -> float:
        """Half the outer diameter."""
        return self.outer_diameter_mm / 2.0

    @classmethod
    def of_gauge(cls, gauge: int, length_mm: float = 125.0) -> Needle:
        """A needle of a standard gauge; raises ``ValueError`` for one that is not in the table."""
        if gauge not in OUTER_DIAMETER_MM:
            known = ", ".join(f"{g}G" for g in OUTER_DIAMETER_MM)
            raise ValueError(f"gauge={gauge} is not in the table ({known}): give outer_diameter_mm instead.")
        return cls(OUTER_DIAMETER_MM[gauge], length_mm, gauge, f"{gauge}G needle")
