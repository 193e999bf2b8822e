"""The parts a report is made of: rows, tables, badges, paths. Plain text and symbols; no looks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from trocar.measure import Severity
from trocar.planning.trajectory import Grade
from trocar.reporting.figures import Picture
from trocar.treatment import Plan, Simulation


class Tone(Enum):
    """How a word is dressed; the word and its symbol carry the meaning, the colour repeats it."""

    GOOD = "good"
    DOUBT = "doubt"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Badge:
    """A symbol and a word."""

    symbol: str
    word: str
    tone: Tone


GRADES = {
    Grade.SAFE: Badge("✓", "safe", Tone.GOOD),
    Grade.BORDERLINE: Badge("▲", "borderline", Tone.DOUBT),
    Grade.SHORT: Badge("✗", "short", Tone.BAD),
    Grade.NOT_CHECKED: Badge("?", "not checked", Tone.UNKNOWN),
}
SEVERITIES = {
    Severity.STOP: Badge("■", "STOP", Tone.BAD),
    Severity.CAUTION: Badge("▲", "CAUTION", Tone.DOUBT),
    Severity.NOTE: Badge("●", "NOTE", Tone.UNKNOWN),
}


@dataclass(frozen=True)
class Row:
    """A name and what it is, with a remark in small print (how it was measured, where it comes from)."""

    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """A titled table: ``columns`` of headings and ``rows`` of the same length.

    ``numeric`` columns align right. ``widths`` shares the page among the columns: 0 is as wide as the
    content, other numbers split what is left; without it the last column takes what is left.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | Badge, ...], ...]
    numeric: tuple[int, ...] = ()
    remark: str = ""
    widths: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.widths:
            object.__setattr__(self, "widths", (0.0,) * (len(self.columns) - 1) + (1.0,))
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row of {len(row)} cells in a table of {len(self.columns)} columns: {row!r}.")


@dataclass(frozen=True)
class Concern:
    """A finding as it is shown."""

    badge: Badge
    text: str
    because: str


@dataclass(frozen=True)
class Path:
    """One needle: what it is, in numbers, how far from what is near, and in sentences for the table side."""

    title: str
    numbers: tuple[Row, ...]
    clearances: Table
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Chapter:
    """A part of the report that stands on its own: what it is about, pictures, tables, what worries.

    ``headline`` is its main result in one line, for the first page.
    """

    title: str
    lead: str
    pictures: tuple[Picture, ...]
    tables: tuple[Table, ...]
    concerns: tuple[Concern, ...]
    headline: str = ""


@dataclass(frozen=True)
class Report:
    """Everything a report says, in the order it says it. ``plan`` and ``simulation`` are what it was made from.

    ``screen`` is what the C-arm will show (empty without images), ``chapters`` are about what was simulated.
    """

    plan: Plan
    simulation: Simulation | None
    title: str
    notice: str
    identity: tuple[Row, ...]
    verdict: Badge
    verdict_text: str
    paths: tuple[Path, ...]
    concerns: tuple[Concern, ...]
    not_checked: tuple[str, ...]
    not_checked_text: str
    pictures: tuple[Picture, ...]
    screen: tuple[Chapter, ...]
    chapters: tuple[Chapter, ...]
    alternatives: Table
    sections: tuple[Table, ...]
    references: tuple[str, ...]
    footer: str

    @property
    def moves(self) -> bool:
        """Whether a figure can be moved through on a screen."""
        return any(p.slides for c in self.chapters for p in c.pictures)

    @property
    def figures(self) -> dict[str, bytes]:
        """The figures as PNG by name."""
        chapters = (*self.screen, *self.chapters)
        return {p.name: p.png for p in (*self.pictures, *(p for c in chapters for p in c.pictures))}
