"""The patient as the planner sees it: CT, vertebrae, the structures around them, the skin."""

from __future__ import annotations

from dataclasses import dataclass

from trocar.anatomy.levels import Level
from trocar.anatomy.vertebra import Vertebra
from trocar.errors import LevelError
from trocar.measure import Finding
from trocar.volume import Volume


@dataclass(frozen=True)
class Anatomy:
    """A CT and what is known to lie in it.

    ``structures`` maps a name ("aorta", "lung_left", "spinal_canal", "rib_left_9" ...) to a mask on
    a cropped grid of its own. ``derived`` names the structures that no label file gave and the
    software worked out (always the canal and the root foramina, unless labelled).
    ``skin`` is the body without table and clothes, on the CT's grid. ``findings`` are about
    the images and the labels; each vertebra carries its own. ``scheme`` is the label scheme used.
    """

    ct: Volume
    vertebrae: dict[Level, Vertebra]
    structures: dict[str, Volume]
    skin: Volume
    derived: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()
    scheme: str = ""
    digests: tuple[tuple[str, str], ...] = ()

    def vertebra(self, level: Level | str) -> Vertebra:
        """The whole vertebra at ``level``; raises :class:`LevelError` when absent or cut."""
        level = Level.parse(level)
        if level not in self.vertebrae:
            have = ", ".join(str(v) for v in sorted(self.vertebrae, key=lambda v: v.order)) or "no vertebra"
            raise LevelError(f"level {level} is not in the labels, which have {have}: name one of those.")
        vertebra = self.vertebrae[level]
        if not vertebra.whole:
            why = "; ".join(f.text for f in vertebra.findings) or "the field of view cuts it"
            raise LevelError(f"level {level} is not whole ({why}): scan further, or choose a whole level.")
        return vertebra

    @property
    def whole_levels(self) -> tuple[Level, ...]:
        """Levels that can be planned, head to foot."""
        return tuple(sorted((v for v, x in self.vertebrae.items() if x.whole), key=lambda v: v.order))
