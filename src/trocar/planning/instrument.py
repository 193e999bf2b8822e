"""Instruments with real sizes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from trocar.measure import Range

#: Nominal outer diameters, mm, Birmingham gauge (needle gauge table; brands deviate, so it stays editable).
OUTER_DIAMETER_MM = {8: 4.191, 10: 3.404, 11: 3.048, 13: 2.413, 15: 1.829, 18: 1.270, 20: 0.908, 22: 0.718}

OUTER_DIAMETER_RANGE = Range(0.3, 12.0, "mm")
LENGTH_RANGE = Range(20.0, 400.0, "mm")
#: Shaft of the usual vertebroplasty needle.
DEFAULT_LENGTH_MM = 125.0


@dataclass(frozen=True)
class Needle:
    """A straight rigid needle or cannula; ``gauge`` is None when its size is the user's own."""

    outer_diameter_mm: float
    length_mm: float = DEFAULT_LENGTH_MM
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
    def of_gauge(cls, gauge: int, length_mm: float = DEFAULT_LENGTH_MM) -> Needle:
        """A needle of a standard gauge; raises ``ValueError`` for one that is not in the table."""
        if gauge not in OUTER_DIAMETER_MM:
            known = ", ".join(f"{g}G" for g in OUTER_DIAMETER_MM)
            raise ValueError(f"gauge={gauge} is not in the table ({known}): give outer_diameter_mm instead.")
        return cls(OUTER_DIAMETER_MM[gauge], length_mm, gauge, f"{gauge}G needle")


#: Bone left on either side of a needle in the narrowest part of a pedicle, mm: feasible for screws (PMC4857161).
WALL_MM = 1.0
#: Needles used for vertebroplasty, thickest first.
VERTEBROPLASTY_GAUGES = (11, 13, 15)


def least_pedicle_mm(instrument: Needle, wall_mm: float = WALL_MM) -> float:
    """The narrowest pedicle that keeps ``wall_mm`` of bone on either side of the needle."""
    return instrument.outer_diameter_mm + 2.0 * wall_mm


def vertebroplasty_needle(
    region: str, pedicle_mm: float | None = None, length_mm: float = DEFAULT_LENGTH_MM, wall_mm: float = WALL_MM
) -> Needle:
    """The usual needle of a region (lumbar 11G, else 13G), thinner where the pedicle asks for it.

    ``pedicle_mm`` is the measured width of a pedicle that the needle must pass with ``wall_mm`` of bone
    on either side, or None where it passes beside it. The thinnest offered is 15G, whatever the pedicle.
    """
    usual = 11 if region == "lumbar" else 13
    needles = [Needle.of_gauge(g, length_mm) for g in VERTEBROPLASTY_GAUGES if g >= usual]
    fitting = [n for n in needles if pedicle_mm is None or least_pedicle_mm(n, wall_mm) <= pedicle_mm]
    return fitting[0] if fitting else needles[-1]


#: Shafts that vertebroplasty needles are sold with, mm (makers differ; the length stays editable).
STOCK_LENGTHS_MM = (100.0, 125.0, 150.0, 200.0)


def longest_mm(instrument: Needle) -> float:
    """The deepest target that a needle of this calibre reaches: its own length, or the longest sold."""
    return max(instrument.length_mm, STOCK_LENGTHS_MM[-1])


def reaching(instrument: Needle, path_mm: float) -> Needle:
    """The needle itself where it reaches ``path_mm``, else the same with the shortest shaft sold that does."""
    if instrument.length_mm >= path_mm:
        return instrument
    return replace(instrument, length_mm=min((n for n in STOCK_LENGTHS_MM if n >= path_mm), default=path_mm))
