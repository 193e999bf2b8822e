"""What phantom to draw, and how to scan it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from trocar.anatomy.levels import Level
from trocar.anatomy.morphometry import MEASURED_LEVELS
from trocar.anatomy.phantom_spine import Collapse
from trocar.measure import Range

#: A crush beyond this would drive the arches of neighbours into each other.
CRUSH_MOST_PERCENT = 40.0


class Fracture(Enum):
    """How the focus body has collapsed; the percentage is lost in front, in the middle, or everywhere."""

    NONE = "none"
    WEDGE = "wedge"
    BICONCAVE = "biconcave"
    CRUSH = "crush"


class LesionKind(Enum):
    """What a lesion does to bone."""

    LYTIC = "lytic"
    BLASTIC = "blastic"


@dataclass(frozen=True)
class PhantomLesion:
    """A round lesion in the focus body.

    ``place`` is its centre as shares of the body's half-size towards left, posterior and superior
    (-1 to 1 each; 0, 0, 0 is the body's centre).
    """

    kind: LesionKind = LesionKind.LYTIC
    diameter_mm: float = 15.0
    place: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", LesionKind(self.kind))
        Range(3.0, 40.0, "mm").check("diameter_mm", self.diameter_mm, "a lesion")
        for share in self.place:
            Range(-1.0, 1.0).check("place", share, "a lesion")


@dataclass(frozen=True)
class PhantomSpec:
    """What patient to draw, and how to scan it.

    ``levels`` (T1 to L5, in one run) lie whole in the field of view; ``focus`` is the one that is
    fractured or diseased and the apex of a scoliosis. ``fracture_percent`` of height is lost.
    ``broken_posterior_wall`` opens the focus body's posterior wall and puts soft tissue into the
    canal. ``trabecular`` scales trabecular HU (0.5 is severe osteoporosis), ``pedicle_share`` the
    width of all pedicles (a variant). ``scoliosis_deg`` is a Cobb angle. ``voxel_mm`` is slice, row,
    column; ``field_of_view_mm`` likewise, centred on the focus body, None for one that holds all
    levels and the skin of the back. ``noise_hu`` is one standard deviation. ``mirror`` gives the
    exact mirror image of the patient.
    """

    levels: tuple[Level, ...] = (Level.T12, Level.L1, Level.L2)
    focus: Level = Level.L1
    fracture: Fracture = Fracture.NONE
    fracture_percent: float = 30.0
    lesion: PhantomLesion | None = None
    broken_posterior_wall: bool = False
    scoliosis_deg: float = 0.0
    trabecular: float = 1.0
    pedicle_share: float = 1.0
    contrast: bool = False
    voxel_mm: tuple[float, float, float] = (1.25, 0.8, 0.8)
    field_of_view_mm: tuple[float, float, float] | None = None
    noise_hu: float = 12.0
    seed: int = 0
    mirror: bool = False

    def __post_init__(self) -> None:
        levels = sorted({Level.parse(v) for v in self.levels}, key=lambda v: v.order)
        object.__setattr__(self, "levels", tuple(levels))
        object.__setattr__(self, "focus", Level.parse(self.focus))
        object.__setattr__(self, "fracture", Fracture(self.fracture))
        self._check_levels()
        most = CRUSH_MOST_PERCENT if self.fracture is Fracture.CRUSH else 70.0
        Range(5.0, most, "%").check("fracture_percent", self.fracture_percent, f"a {self.fracture.value} fracture")
        Range(-45.0, 45.0, "deg").check("scoliosis_deg", self.scoliosis_deg, "the phantom")
        Range(0.2, 1.6).check("trabecular", self.trabecular, "the phantom")
        Range(0.4, 1.4).check("pedicle_share", self.pedicle_share, "the phantom")
        Range(0.0, 80.0, "HU").check("noise_hu", self.noise_hu, "the phantom")
        for size in self.voxel_mm:
            Range(0.3, 5.0, "mm").check("voxel_mm", size, "the phantom")
        for size in self.field_of_view_mm or ():
            Range(10.0, 900.0, "mm").check("field_of_view_mm", size, "the phantom")

    def _check_levels(self) -> None:
        outside = [str(v) for v in self.levels if v not in MEASURED_LEVELS]
        if outside or not self.levels:
            raise ValueError(f"levels={', '.join(outside) or 'none'}: the phantom has T1 to L5.")
        run = [MEASURED_LEVELS.index(v) for v in self.levels]
        if run != list(range(run[0], run[-1] + 1)):
            raise ValueError(f"levels={', '.join(map(str, self.levels))} are not one run of neighbours.")
        if self.focus not in self.levels:
            raise ValueError(f"focus={self.focus} is not among levels={', '.join(map(str, self.levels))}.")

    @property
    def collapse(self) -> Collapse:
        """The shares of height lost by the focus body."""
        share = self.fracture_percent / 100.0
        return Collapse(**{} if self.fracture is Fracture.NONE else {self.fracture.value: share})
