"""What a label map says, freed from its numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from trocar.anatomy.levels import Level
from trocar.measure import Finding
from trocar.volume import Volume


@dataclass(frozen=True)
class Labels:
    """The structures of one patient, each a mask (unit "mask") cropped to its bounding box.

    All masks lie on sub-grids of the CT's grid. ``vertebrae`` are whole bones by level.
    ``structures`` use TotalSegmentator's names with the lobes joined ("lung_left", "lung_right",
    "aorta", "inferior_vena_cava", "kidney_left", "spinal_cord", "spinal_canal", "rib_left_9",
    "sacrum", "intervertebral_discs" ...). ``subregions`` are parts of vertebrae that some schemes give, not
    split by level ("body", "arch", "spinous_process", "superior_articular_left" ...).
    """

    scheme: str
    vertebrae: dict[Level, Volume]
    structures: dict[str, Volume] = field(default_factory=dict)
    subregions: dict[str, Volume] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    digests: tuple[tuple[str, str], ...] = ()
