"""Colours and lines of the report: Okabe and Ito's colour-blind-safe set, one meaning per colour.

Okabe M, Ito K. Color Universal Design, University of Tokyo (2008). No meaning rests on colour alone:
every structure also has its own line pattern and its name in the legend, every grade a word and a symbol.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from trocar.planning.access import Kind, kind_of

ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#2FC79B"  # Okabe-Ito's bluish green, lightened for a dark panel
YELLOW = "#F0E442"
VERMILION = "#FF7A33"  # lightened likewise
PURPLE = "#D98CB8"  # lightened likewise
GREY = "#B8C0C8"

NEEDLE = YELLOW
PANEL = "#0D1117"
PANEL_INK = "#E8EDF2"
INK = "#1B232C"


@dataclass(frozen=True)
class Stroke:
    """How a structure is outlined: its name for people, colour, matplotlib dash pattern, line width in points."""

    label: str
    colour: str
    dashes: tuple[float, ...] = ()
    width_pt: float = 1.2


BODY = Stroke("vertebral body", SKY)
PEDICLE = Stroke("pedicle", GREEN)
CANAL = Stroke("spinal canal", VERMILION, width_pt=1.5)
VESSEL = Stroke("other vessel", PURPLE, (1, 1.4), 1.5)
ORGAN = Stroke("other organ", GREY, (1, 1.4))
BONE = Stroke("arch, processes", SKY, (1, 1.6), 0.9)

_STROKES = (
    (r"spinal_cord", Stroke("spinal cord", ORANGE, (4, 1.5))),
    (r"aorta", Stroke("aorta", PURPLE, width_pt=1.5)),
    (r"inferior_vena_cava", Stroke("inferior vena cava", PURPLE, (4, 1.5), 1.5)),
    (r"heart", ORGAN),
    (r"kidney_(left|right)", Stroke("kidney", GREY, (3, 1.5))),
)

#: The rest by what they are to a needle. What it may pass, and other bones, are not outlined: they guide nobody's
#: needle here, or are drawn as bone already.
_OF_KIND = {
    Kind.CANAL: CANAL,
    Kind.ROOT: Stroke("root foramen", ORANGE, (1, 1.4), 1.5),
    Kind.LUNG: Stroke("lung", GREY, (6, 1.5, 1, 1.5), 1.4),
    Kind.VESSEL: VESSEL,
    Kind.ORGAN: ORGAN,
}

#: Clearances that are of the vertebra itself, or of several bones together: no structure's names.
_NO_STRUCTURE = re.compile(r"(pedicle|bone_wall|endplate|anterior_cortex|neighbouring|ribs).*")


def stroke(structure: str) -> Stroke | None:
    """The stroke of a named structure, or None where it is not outlined."""
    for pattern, found in _STROKES:
        if re.fullmatch(pattern, structure):
            return found
    kind = None if _NO_STRUCTURE.fullmatch(structure) else kind_of(structure)
    return _OF_KIND.get(kind) if kind else None
