"""What things are made of: bone from its density by named laws, and the other tissues and implants as constants.

A density is a number and a *kind*: 0.15 g/cc is 450 MPa if a K2HPO4 phantom gave it, 245 MPa if it is the mass of the
wet bone in its volume, 49 MPa if it is that of its ash. A law therefore knows the kind it was fitted with, is always
told the kind it is given, and converts by a named relation or refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.measure import Range
from trocar.physics.solid import LARGEST_POISSON, Material

#: No voxel of bone is softer than this, MPa: fat, marrow and noise carry nothing, but a modulus of zero is a mechanism.
#: It is 0.2 % of trabecular bone. The linear law of Kopperdahl is negative below 10.7 mg/cc and ends here.
SOFTEST_MPA = 1.0
#: No voxel is stiffer than cortical bone, MPa: what is brighter in a CT is metal, cement or a fit beyond its range.
STIFFEST_MPA = 12000.0
#: Permanent strain that defines yield: where the curve meets a line offset by the usual 0.2 % of mechanical testing.
#: A stress below modulus times it is no yield stress. The linear law of Kopperdahl for the yield stress falls below it
#: at 37 mg/cc (and below zero at 30 mg/cc).
OFFSET_STRAIN = 0.002
#: Strain at which vertebral trabecular bone yields in compression. Morgan & Keaveny, J Biomech 34:569 (2001),
#: 0.77 %: from memory, unverified. Kopperdahl's two laws together give 0.86 % at 0.15 g/cc. For the laws of modulus
#: alone (Morgan's, Keller's); a cross-section is read with ``strength.SECTION_YIELD_STRAIN``, see there.
YIELD_STRAIN = 0.0077
#: A yield stress over its modulus, where only the modulus is known: the strain at yield less the offset.
ELASTIC_AT_YIELD = YIELD_STRAIN - OFFSET_STRAIN


class Density(Enum):
    """What a density counts, always in g/cc of the whole volume, pores and marrow included."""

    K2HPO4 = "K2HPO4"
    """Dipotassium phosphate in water with the same attenuation: a CT with a liquid phantom."""
    HYDROXYAPATITE = "hydroxyapatite"
    """Hydroxyapatite with the same attenuation: a CT with a solid phantom."""
    ASH = "ash"
    """Mass of what remains when the bone is burnt."""
    APPARENT_WET = "wet apparent"
    """Mass of the wet bone without its marrow."""
    APPARENT_DRY = "dry apparent"
    """Mass of the dried, defatted bone. No relation to the others is known here."""


@dataclass(frozen=True)
class Relation:
    """``to = slope * of + intercept`` in g/cc, with the source."""

    of: Density
    to: Density
    slope: float
    intercept: float
    source: str


#: How one kind of density follows from another. Each is also used backwards.
RELATIONS = (
    Relation(
        Density.HYDROXYAPATITE,
        Density.K2HPO4,
        0.835,
        0.0,
        "Goodsitt, Bone Miner 19:145 (1992): 0.86 at 80 kV and 0.81 at 140 kV in bodies of three sizes, intercept "
        "near 0; the middle is taken",
    ),
    Relation(
        Density.K2HPO4,
        Density.ASH,
        1.06,
        0.0389,
        "1.06 K2HPO4 + 38.9 mg/cc, attributed to Keyak et al., J Biomed Mater Res 28:1329 (1994): attribution from "
        "memory, unverified. Femurs are also read with 1.22 K2HPO4 + 52.3 mg/cc (Knowles et al., J Exp Orthop 3:36, "
        "2016, table 1)",
    ),
    Relation(
        Density.ASH,
        Density.APPARENT_WET,
        1.0 / 0.6,
        0.0,
        "ash / apparent = 0.6 (Knowles et al., J Exp Orthop 3:36, 2016, table 1)",
    ),
)


def converted(density_g_cc: ArrayLike, of: Density, to: Density) -> NDArray[np.float64]:
    """A density of one kind as another, by :data:`RELATIONS`, in one step or several.

    The relations come from femurs. In the vertebra the chain from K2HPO4 to wet apparent density seems high by about
    half: one bone has one modulus, and two laws of one laboratory (Kopperdahl 2002, Morgan 2003) give 344 MPa at
    0.117 g/cc K2HPO4 and at 0.186 g/cc apparent, where the chain makes 0.27 of 0.117. Raises ``ValueError`` where no
    relation is known.
    """
    value = np.asarray(density_g_cc, np.float64)
    for slope, intercept in _path(of, to):
        value = slope * value + intercept
    return value


def _path(of: Density, to: Density) -> list[tuple[float, float]]:
    """Slopes and intercepts that lead from one kind to another, in order."""
    chain = [RELATIONS[0].of, *(r.to for r in RELATIONS)]
    if of is to:
        return []
    if of not in chain or to not in chain:
        raise ValueError(
            f"a {of.value} density cannot be turned into a {to.value} density: no relation is known; "
            f"give one of {', '.join(k.value for k in chain)}."
        )
    a, b = chain.index(of), chain.index(to)
    if a < b:
        return [(r.slope, r.intercept) for r in RELATIONS[a:b]]
    return [(1.0 / r.slope, -r.intercept / r.slope) for r in reversed(RELATIONS[b:a])]


@dataclass(frozen=True)
class Curve:
    """``constant + factor * density ** power`` in MPa of a density in g/cc; a negative density counts as none."""

    constant: float
    factor: float
    power: float = 1.0

    def __call__(self, density_g_cc: NDArray[np.float64]) -> NDArray[np.float64]:
        """The curve, MPa; may be negative."""
        return self.constant + self.factor * np.maximum(density_g_cc, 0.0) ** self.power

    def scaled(self, by: float) -> Curve:
        """The curve times a number."""
        return Curve(by * self.constant, by * self.factor, self.power)


#: Isotropic bone.
ISOTROPIC_BONE = Material.isotropic("bone", 0.3)
#: Trabecular bone of a vertebra, stiff along k (the vertebra's superior axis): E/3 across, shear 0.121 E in the
#: transverse plane and 0.157 E in the upright ones. Crawford et al., Bone 33:744 (2003), the shares as in two public
#: programs; Poisson's ratios 0.381 in the transverse plane and 0.104 (across on along) from memory, unverified.
ORTHOTROPIC_BONE = Material(
    "orthotropic bone", (1.0, 1.0 / 3.0, 1.0 / 3.0), (0.121, 0.157, 0.157), (0.381, 3 * 0.104, 3 * 0.104)
)


@dataclass(frozen=True)
class BoneLaw:
    """From density to modulus and yield stress.

    ``density`` is the kind the law was fitted with; ``modulus`` (along k) and ``yield_`` are its curves, ``material``
    its shape; ``valid_g_cc`` is the range of the specimens in ``density``; ``standardised`` says that the specimens
    were glued into end caps, so that the modulus is free of the soft layer at a cut end.
    """

    name: str
    density: Density
    modulus: Curve
    yield_: Curve
    valid_g_cc: Range
    source: str
    standardised: bool = True
    material: Material = ISOTROPIC_BONE

    def evaluate(self, density_g_cc: ArrayLike, kind: Density) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Modulus and yield stress, MPa, float32 of the shape of ``density_g_cc``, a density of the kind ``kind``.

        The modulus lies between :data:`SOFTEST_MPA` and :data:`STIFFEST_MPA`, the yield stress is at least
        :data:`OFFSET_STRAIN` times the modulus. Raises ``ValueError`` for a density that is not a number, and for a
        kind from which there is no way to the law's.
        """
        own = self._own(density_g_cc, kind)
        modulus = np.clip(self.modulus(own), SOFTEST_MPA, STIFFEST_MPA)
        strength = np.maximum(self.yield_(own), OFFSET_STRAIN * modulus)
        return modulus.astype(np.float32), strength.astype(np.float32)

    def within(self, density_g_cc: ArrayLike, kind: Density) -> NDArray[np.bool_]:
        """Where the law is used inside the range of its specimens."""
        own = self._own(density_g_cc, kind)
        return (own >= self.valid_g_cc.low) & (own <= self.valid_g_cc.high)

    def _own(self, density_g_cc: ArrayLike, kind: Density) -> NDArray[np.float64]:
        density = np.asarray(density_g_cc, np.float64)
        if not np.all(np.isfinite(density)):
            bad = np.argwhere(~np.isfinite(np.atleast_1d(density)))
            raise ValueError(f"the density at {bad[0].tolist()} is not a number ({len(bad)} such places), g/cc.")
        return converted(density, kind, self.density)


_MORGAN = Curve(0.0, 4730.0, 1.56)
_KELLER = Curve(0.0, 1890.0, 1.92)
_KOPPERDAHL = "Kopperdahl, Morgan & Keaveny, J Orthop Res 20:801 (2002)"

#: The laws by name. The ranges are from memory, unverified; the coefficients of Kopperdahl, Morgan and Keller are as
#: in two public programs.
LAWS: Mapping[str, BoneLaw] = MappingProxyType(
    {
        law.name: law
        for law in (
            BoneLaw(
                "kopperdahl-2002-linear",
                Density.K2HPO4,
                Curve(-34.7, 3230.0),
                Curve(-0.75, 24.9),
                Range(0.05, 0.25, "g/cc"),
                _KOPPERDAHL,
            ),
            BoneLaw(
                "kopperdahl-2002-power",
                Density.K2HPO4,
                Curve(0.0, 2980.0, 1.05),
                Curve(0.0, 37.4, 1.39),
                Range(0.05, 0.25, "g/cc"),
                _KOPPERDAHL,
            ),
            BoneLaw(
                "morgan-2003-vertebra",
                Density.APPARENT_WET,
                _MORGAN,
                _MORGAN.scaled(ELASTIC_AT_YIELD),
                Range(0.11, 0.35, "g/cc"),
                "Morgan, Bayraktar & Keaveny, J Biomech 36:897 (2003), 61 vertebral specimens; yield by strain",
            ),
            BoneLaw(
                "keller-1994-spine",
                Density.ASH,
                _KELLER,
                _KELLER.scaled(ELASTIC_AT_YIELD),
                Range(0.03, 0.25, "g/cc"),
                "Keller, J Biomech 27:1159 (1994), between platens, which read too soft; yield by strain",
                standardised=False,
            ),
        )
    }
)
#: The law that is used unless another is named.
DEFAULT_LAW = LAWS["kopperdahl-2002-power"]


def spread_mpa(density_g_cc: ArrayLike, kind: Density) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lowest and highest modulus, MPa, that the laws give: the interval that the choice of a law leaves open.

    Only laws from standardised tests count: protocols that differ spread the reported modulus by 400 %, one protocol by
    10 % (Öhman-Mägi et al., JOR Spine 4:e1176, 2021). The conversion between kinds of density has its share in it, see
    :func:`converted`.
    """
    some = [law.evaluate(density_g_cc, kind)[0] for law in LAWS.values() if law.standardised]
    return np.min(some, axis=0), np.max(some, axis=0)


@dataclass(frozen=True)
class Substance:
    """A material of one modulus: its value and the range it is reported in, MPa, and the stress it yields at."""

    modulus_mpa: float
    range_mpa: Range
    material: Material
    source: str
    yield_mpa: float = np.inf

    def __post_init__(self) -> None:
        self.range_mpa.check("modulus_mpa", self.modulus_mpa, self.material.name)

    @property
    def name(self) -> str:
        """What it is."""
        return self.material.name


def _substance(
    name: str, mpa: float, poisson: float, source: str, low: float = 0.0, high: float = 0.0, yield_mpa: float = np.inf
) -> Substance:
    between = Range(low or mpa, high or mpa, "MPa")
    return Substance(mpa, between, Material.isotropic(name, poisson), source, yield_mpa)


#: Where the models of the lumbar spine that later work quotes took their constants; read in papers that cite them.
_SPINE_MODELS = "as in published finite-element models of the lumbar spine"

CORTEX = _substance("cortex", 12000.0, 0.3, _SPINE_MODELS, 8040.0)
CORTEX_OSTEOPOROTIC = _substance(
    "osteoporotic cortex", 8040.0, 0.3, f"{_SPINE_MODELS}: 67 % of normal", 4700.0, 12000.0
)
POSTERIOR_ELEMENTS = _substance("posterior elements", 3500.0, 0.25, _SPINE_MODELS, 2800.0)
ANNULUS = _substance("annulus", 4.2, 0.45, _SPINE_MODELS)
#: The nucleus is nearly incompressible (published with 0.499). Eight-node elements lock there and come out far too
#: stiff, so it is taken at the largest ratio that does not lock: its bulk modulus is then 3.3 instead of 167 MPa.
NUCLEUS = _substance("nucleus", 1.0, LARGEST_POISSON, _SPINE_MODELS)
#: Bone cement. Yield 70 MPa in compression.
PMMA = _substance(
    "PMMA", 2500.0, 0.3, "2100 to 3100 MPa published; ISO 5833 tests 1937 with SD 478", 2100.0, 3100.0, 70.0
)
#: Cement made softer to spare the neighbours: 954 with SD 141 MPa. Its yield stress is not known here.
PMMA_LOW_MODULUS = _substance("low-modulus PMMA", 954.0, 0.3, "ISO 5833 tests, SD 141 MPa", 813.0, 1095.0)
TITANIUM = _substance("titanium", 110000.0, 0.3, _SPINE_MODELS)
#: Lytic tumour, Poisson's ratio 0.4 to 0.45: to be swept. From memory, unverified.
LYTIC_TUMOUR = _substance("lytic tumour", 10.0, 0.4, "5 to 20 MPa, from memory, unverified", 5.0, 20.0)

#: All of them by name.
SUBSTANCES: Mapping[str, Substance] = MappingProxyType(
    {
        s.name: s
        for s in (
            CORTEX,
            CORTEX_OSTEOPOROTIC,
            POSTERIOR_ELEMENTS,
            ANNULUS,
            NUCLEUS,
            PMMA,
            PMMA_LOW_MODULUS,
            TITANIUM,
            LYTIC_TUMOUR,
        )
    }
)
