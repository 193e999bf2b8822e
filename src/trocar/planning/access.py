"""Approaches: what bone a needle may cross, from where, within which angles, and what it must keep clear of.

An approach is data. Angles are in the vertebra's own frame: the transverse angle is positive where
the needle converges to the midline in front, the sagittal angle where it rises in front.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum

from trocar.anatomy.levels import Level, neighbours
from trocar.errors import LevelError
from trocar.measure import Range
from trocar.planning.instrument import WALL_MM


class Kind(Enum):
    """What a structure is to a needle; the value is what a margin is called for."""

    CANAL = "canal"
    ROOT = "root"
    LUNG = "lung"
    VESSEL = "vessel"
    ORGAN = "organ"
    BONE = "bone"


#: Structures a needle passes on its way in, by the beginning of their names.
_PASSABLE = (
    "autochthon", "iliopsoas", "psoas", "gluteus", "erector_spinae", "transversospinalis", "quadratus_lumborum",
    "trapezius", "latissimus", "rectus_abdominis", "serratus", "pectoralis", "external_oblique", "internal_oblique",
    "muscle", "skeletal_muscle", "subcutaneous_fat", "torso_fat", "fat", "skin", "body", "intervertebral_disc", "disc",
    "endplate", "abdominal_cavity", "thoracic_cavity", "mediastinum", "metal",
)  # fmt: skip
_BONES = (
    "rib_", "sacrum", "hip_", "scapula", "sternum", "clavicula", "humerus", "femur", "skull", "costal_cartilage",
    "vertebra", "unlabelled_bone",
)  # fmt: skip
_VESSELS = ("aorta", "vena", "vein", "artery", "arteries", "iliac", "trunk", "heart", "atrial", "pulmonary")


def kind_of(structure: str) -> Kind | None:
    """What a structure of this name is to a needle; None for what may be passed (muscle, fat, disc).

    A name that is not known counts as an organ: what somebody labelled is not pierced unasked.
    """
    name = structure.lower()
    if name.startswith(("spinal_cord", "spinal_canal", "canal", "dura", "thecal")):
        return Kind.CANAL
    if "foramen" in name or "foramina" in name or "root" in name:
        return Kind.ROOT
    if name.startswith(("lung", "pleura", "unlabelled_air")):
        return Kind.LUNG
    if name.startswith(_BONES):
        return Kind.BONE
    if name.startswith(_PASSABLE):
        return None
    return Kind.VESSEL if any(word in name for word in _VESSELS) else Kind.ORGAN


def _margin(default: float, source: str) -> float:
    value: float = field(default=default, metadata={"source": source})
    return value


@dataclass(frozen=True)
class Margins:
    """Free space asked for between the needle's surface and each kind of structure, mm.

    No published set exists; these are our proposals for a clinician to change, with what they rest
    on beside each. A margin of 0 allows contact, a negative one allows that much overlap.
    """

    pedicle_wall_mm: float = _margin(WALL_MM, "1.0 mm per side judged feasible for screws, PMC4857161")
    canal_mm: float = _margin(2.0, "medial breach above 2 mm is the significant one (Gertzbein-Robbins)")
    root_mm: float = _margin(2.0, "root lies 2.4 to 9.6 mm lateral of the pedicle (Lien 2007)")
    lung_mm: float = _margin(5.0, "our judgement")
    vessel_mm: float = _margin(5.0, "our judgement")
    organ_mm: float = _margin(5.0, "our judgement")
    bone_mm: float = _margin(0.0, "ribs and neighbouring vertebrae may be touched, not crossed")
    endplate_mm: float = _margin(2.0, "our judgement; the tip's last 10 mm")
    anterior_cortex_mm: float = _margin(3.0, "tip 3 to 5 mm behind the anterior cortex, our judgement")

    def __post_init__(self) -> None:
        for f in fields(self):
            MARGIN_RANGE.check(f.name, getattr(self, f.name), "Margins")

    def of(self, kind: Kind) -> float:
        """The margin to one kind of structure, mm."""
        value: float = getattr(self, f"{kind.value}_mm")
        return value


#: Above 10 mm the distance maps would have to reach further than they do.
MARGIN_RANGE = Range(-2.0, 10.0, "mm")


@dataclass(frozen=True)
class Approach:
    """One way in.

    ``through_pedicle``: the axis stays in bone from its entry on and keeps the wall margin through
    the whole pedicle. Otherwise the axis passes the pedicle on its lateral side and enters bone at
    the pedicle's lateral wall or the posterolateral body. Gates are where the axis may cross the
    coronal plane through the pedicle's isthmus: ``gate_lateral_mm`` is counted outwards from the
    pedicle's outer wall (negative: within the pedicle, at most to its inner wall), ``gate_height_mm``
    beyond its roof and floor and its inner wall, ``gate_step_mm`` is the step of their grid. Bone is
    entered at most ``entry_behind_mm`` behind the gate, along the needle.
    ``landmark`` is what a finger finds at the entry, ``landmark_key`` its name among a vertebra's
    landmarks, less the side. ``unseen`` says, by region, what lies on this way that no label shows.
    """

    name: str
    through_pedicle: bool
    regions: tuple[str, ...]
    transverse_deg: Range
    sagittal_deg: Range
    gate_lateral_mm: Range
    gate_height_mm: float
    gate_step_mm: float
    entry_behind_mm: float
    margins: Margins
    landmark: str
    landmark_key: str
    source: str
    unseen: Mapping[str, str]


TRANSPEDICULAR = Approach(
    name="transpedicular",
    through_pedicle=True,
    regions=("lumbar", "thoracic"),
    transverse_deg=Range(0.0, 50.0, "deg"),
    sagittal_deg=Range(-30.0, 30.0, "deg"),
    gate_lateral_mm=Range(-30.0, 1.0, "mm"),
    gate_height_mm=1.0,
    gate_step_mm=1.0,
    entry_behind_mm=math.inf,
    margins=Margins(),
    landmark="junction of superior articular and transverse process",
    landmark_key="articular_transverse_junction",
    source="unilateral transpedicular lumbar range 19.5 to 48.9 deg over 200 CTs; 0 allows the straight two-sided path",
    unseen={},
)

EXTRAPEDICULAR = Approach(
    name="extrapedicular",
    through_pedicle=False,
    regions=("thoracic", "lumbar"),
    transverse_deg=Range(15.0, 60.0, "deg"),
    sagittal_deg=Range(-30.0, 30.0, "deg"),
    gate_lateral_mm=Range(-2.0, 12.0, "mm"),
    gate_height_mm=6.0,
    gate_step_mm=1.5,
    # farther behind, the needle would have gone in through the transverse process
    entry_behind_mm=5.0,
    # The pleura lies 2 to 6 mm from the costovertebral joint: 5 mm, asked elsewhere, is more than many
    # spines have. On a real scan 3 mm asked left 4.3 to 7.5 mm at T9 to T12. A rib may be brushed.
    margins=Margins(lung_mm=3.0, bone_mm=-0.5),
    landmark="notch between rib and transverse process",
    landmark_key="rib_transverse_notch",
    source="thoracic mid angle 24.3 to 40.8 deg over 1200 vertebrae; intercostovertebral 20 to 30 deg; ends widened",
    unseen={
        "thoracic": "intercostal vessels and nerve under the rib",
        "lumbar": "the root beyond its foramen, the plexus in psoas and the segmental vessels",
    },
)

APPROACHES = (TRANSPEDICULAR, EXTRAPEDICULAR)


def approaches_for(level: Level) -> tuple[Approach, ...]:
    """The approaches offered at a level, the usual one first.

    Lumbar: transpedicular; thoracic: extrapedicular (paraspinal, between rib and transverse
    process). Raises :class:`LevelError` for cervical and sacral levels.
    """
    found = [a for a in APPROACHES if level.region in a.regions]
    if not found:
        raise LevelError(
            f"{level} has no posterior approach here: cervical and sacral vertebrae need a specialist's own path. "
            "T1 to L6 can be planned."
        )
    return tuple(sorted(found, key=lambda a: a.regions[0] != level.region))


#: What should be labelled before a path at this region can be called clear.
_EXPECTED = {
    "thoracic": (
        "spinal_cord", "lung_left", "lung_right", "aorta", "inferior_vena_cava", "esophagus", "liver", "spleen",
        "kidney_left", "kidney_right",
    ),
    "lumbar": ("spinal_cord", "aorta", "inferior_vena_cava", "kidney_left", "kidney_right", "colon", "small_bowel"),
}  # fmt: skip
#: What only some lumbar paths come near: the lung's recess reaches down to about L2, liver and spleen to L3, the
#: great vessels divide at L4, where the iliac wings begin to stand beside the spine.
_EXPECTED_FROM_TO = (
    ("L1", "L2", ("rib_left_12", "rib_right_12", "lung_left", "lung_right")),
    ("L1", "L3", ("liver", "spleen")),
    ("L4", "L6", ("iliac_artery_left", "iliac_artery_right", "iliac_vena_left", "iliac_vena_right")),
    ("L4", "L6", ("hip_left", "hip_right", "sacrum")),
)
#: The last level with ribs.
_RIBS = 12


def expected_structures(level: Level) -> tuple[str, ...]:
    """Structures that matter to a path at this level, by their names in the labels.

    At thoracic levels the level's own ribs and the next lower pair are among them, and everywhere the
    vertebrae above and below.
    """
    near = (names for a, b, names in _EXPECTED_FROM_TO if Level(a).order <= level.order <= Level(b).order)
    return _EXPECTED.get(level.region, ()) + tuple(n for names in near for n in names) + _ribs(level) + _beside(level)


def _ribs(level: Level) -> tuple[str, ...]:
    if level.region != "thoracic":
        return ()
    own = int(level.value[1:])
    return tuple(f"rib_{side}_{n}" for n in (own, own + 1) if n <= _RIBS for side in ("left", "right"))


def _beside(level: Level) -> tuple[str, ...]:
    """The vertebrae above and below, T13 and L6 only where they are present (see :func:`not_checked`)."""
    above, below = neighbours(level, frozenset(Level) - {Level.T13, Level.L6})
    return tuple(f"vertebra_{v}" for v in (above, below) if v is not None and v is not Level.S1)


def not_checked(level: Level, structures: frozenset[str] | set[str]) -> tuple[str, ...]:
    """Expected structures that ``structures`` lacks: nobody looked at them.

    ``structures`` are names, those of vertebrae as "vertebra_T12". A rib labelled without its side
    counts for both, the first sacral vertebra for the sacrum.
    """

    def there(name: str) -> bool:
        if name.startswith("rib_"):
            return name in structures or f"rib_{name.rsplit('_', 1)[1]}" in structures
        return name in structures or (name == "sacrum" and "vertebra_S1" in structures)

    return tuple(name for name in expected_structures(level) if not there(name))
