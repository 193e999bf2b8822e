"""How often cement leaked in published series, by what was treated, how, and how one looked for it.

A rate depends as much on how it was counted as on the bone: CT shows half as many leaks again as radiographs do, a
patient with three levels leaks oftener than a level, and series that name a vein differ in which. So every row says
what was counted, and is kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from trocar.injection.risk import Share
from trocar.injection.ways_out import Aetiology, Route


class Augmentation(Enum):
    """What was done in a series; the values are the names of the procedures."""

    VERTEBROPLASTY = "vertebroplasty"
    KYPHOPLASTY = "kyphoplasty"
    EITHER = "vertebroplasty or kyphoplasty"


class Modality(Enum):
    """How leaks were looked for."""

    CT = "CT"
    X_RAY = "radiographs"
    UNSTATED = "not stated in the abstract"


class Unit(Enum):
    """What was counted."""

    VERTEBRA = "vertebra"
    PATIENT = "patient"


@dataclass(frozen=True)
class Study:
    """One published series. ``aetiology`` is None where fractures and tumours are counted together.

    ``verified`` says that the numbers were read in the paper's abstract or text and not only in another's table.
    """

    source: str
    aetiology: Aetiology | None
    procedure: Augmentation
    unit: Unit
    n: int
    modality: Modality
    note: str = ""
    verified: bool = True


@dataclass(frozen=True)
class Rate:
    """``events`` of the ``study.n`` had a leak of a kind.

    ``name`` is the kind in the paper's own words, ``routes`` which of ours it covers: all of them for any leak, and
    several where the paper does not tell them apart.
    """

    study: Study
    name: str
    routes: frozenset[Route]
    events: int

    @property
    def share(self) -> Share:
        """The rate with its 95 % Wilson interval."""
        return Share(self.events, self.study.n)

    @property
    def any_leak(self) -> bool:
        """Whether leaks of every kind are counted."""
        return self.routes == ANY


ANY = frozenset(Route)
DISC = frozenset({Route.DISC})
CANAL = frozenset({Route.EPIDURAL})
VEINS = frozenset({Route.VENOUS})
#: A vein of the vertebra: one paper's "vascular" is the basivertebral vein as much as the segmental ones.
VASCULAR = frozenset({Route.EPIDURAL, Route.VENOUS})
BESIDE = frozenset({Route.ANTERIOR, Route.LATERAL})
#: Through a gap in the cortex, wherever that is.
CORTICAL = BESIDE | DISC

_TANG = (
    "Tang B, Xu S, Chen X, et al. The impact of intravertebral cleft on cement leakage in percutaneous vertebroplasty "
    "for osteoporotic vertebral compression fractures: a case-control study. BMC Musculoskelet Disord 2021. "
    "doi:10.1186/s12891-021-04685-9"
)
#: The abstract gives percentages of 139; the counts are the whole numbers that round to them.
_COUNTED = "counts worked back from percentages"
_OSTEOPOROTIC, _METASTASIS = Aetiology.OSTEOPOROTIC, Aetiology.METASTASIS

TANG_SOLID = Study(
    _TANG, _OSTEOPOROTIC, Augmentation.VERTEBROPLASTY, Unit.VERTEBRA, 139, Modality.UNSTATED, f"no cleft; {_COUNTED}"
)
TANG_CLEFT = Study(
    _TANG,
    _OSTEOPOROTIC,
    Augmentation.VERTEBROPLASTY,
    Unit.VERTEBRA,
    139,
    Modality.UNSTATED,
    f"with a cleft; {_COUNTED}",
)
VENMANS = Study(
    "Venmans A, Klazen CA, van Rooij WJ, et al. Postprocedural CT for perivertebral cement leakage in percutaneous "
    "vertebroplasty is not necessary: results from VERTOS II. Neuroradiology 2011;53:19-22. "
    "doi:10.1007/s00234-010-0705-6",
    _OSTEOPOROTIC,
    Augmentation.VERTEBROPLASTY,
    Unit.VERTEBRA,
    80,
    Modality.CT,
    "perivertebral veins, four in five of them the anterior external plexus",
)
YEOM = (
    "Yeom JS, Kim WJ, Choy WS, et al. Leakage of cement in percutaneous transpedicular vertebroplasty for painful "
    "osteoporotic compression fractures. J Bone Joint Surg Br 2003;85(1):83-89. doi:10.1302/0301-620x.85b1.13026"
)
YEOM_CT = Study(
    YEOM, _OSTEOPOROTIC, Augmentation.VERTEBROPLASTY, Unit.VERTEBRA, 76, Modality.CT, "leaks counted, not vertebrae"
)
YEOM_X_RAY = Study(
    YEOM, _OSTEOPOROTIC, Augmentation.VERTEBROPLASTY, Unit.VERTEBRA, 76, Modality.X_RAY, "of 28 canal leaks seen on CT"
)
JOSR = Study(
    "Risk factors of postoperative bone cement leakage on osteoporotic vertebral compression fracture: a retrospective "
    "study. J Orthop Surg Res 2021. doi:10.1186/s13018-021-02337-1",
    _OSTEOPOROTIC,
    Augmentation.VERTEBROPLASTY,
    Unit.VERTEBRA,
    344,
    Modality.UNSTATED,
    _COUNTED,
)
AL_ALI = Study(
    "Al-Ali F, Barrow T, Luke K. Vertebroplasty: what is important and what is not. AJNR Am J Neuroradiol 2009.",
    _OSTEOPOROTIC,
    Augmentation.VERTEBROPLASTY,
    Unit.VERTEBRA,
    660,
    Modality.UNSTATED,
    f"veins, soft tissue or disc; {_COUNTED}",
)
NOMOGRAM = Study(
    "Zhang TY, Zhang PX, Xue F, et al. Risk factors for cement leakage and nomogram for predicting the intradiscal "
    "cement leakage after the vertebra augmented surgery. BMC Musculoskelet Disord 2020;21:792. "
    "doi:10.1186/s12891-020-03810-4",
    _OSTEOPOROTIC,
    Augmentation.EITHER,
    Unit.VERTEBRA,
    295,
    Modality.CT,
    _COUNTED,
)
FAN = Study(
    "Fan N, Wang T, Wang A, et al. A predictive nomogram for intradiscal cement leakage in percutaneous kyphoplasty "
    "for osteoporotic vertebral compression fractures combined with intravertebral cleft. Front Surg 2022. "
    "doi:10.3389/fsurg.2022.1005220",
    _OSTEOPOROTIC,
    Augmentation.KYPHOPLASTY,
    Unit.PATIENT,
    109,
    Modality.UNSTATED,
    f"all with a cleft; {_COUNTED}",
)
CHEN = Study(
    "Chen J, Chen Y, Zhang ZS, et al. Retrospective analysis of cement leakage in percutaneous kyphoplasty for "
    "osteoporotic vertebral compression fractures. Kunshan Hospital, patients of 2014 to 2016 (in Chinese).",
    _OSTEOPOROTIC,
    Augmentation.KYPHOPLASTY,
    Unit.VERTEBRA,
    370,
    Modality.UNSTATED,
)
PEREZ = Study(
    "Perez JL, Ozpinar A, Agarwal N, et al. Safety and efficacy of balloon kyphoplasty for vertebral fractures with "
    "posterior wall disruption. Int J Spine Surg 2021;15(2):353.",
    _OSTEOPOROTIC,
    Augmentation.KYPHOPLASTY,
    Unit.VERTEBRA,
    157,
    Modality.UNSTATED,
    "all with a broken posterior wall; benign fractures",
)
ZHANG = Study(
    "Cement leakage in percutaneous vertebroplasty for spinal metastases: a retrospective study of risk factors and "
    "clinical outcomes. World J Surg Oncol 2022. doi:10.1186/s12957-022-02583-5",
    _METASTASIS,
    Augmentation.VERTEBROPLASTY,
    Unit.VERTEBRA,
    113,
    Modality.CT,
)
CORCOS = Study(
    "Corcos G, Dbjay J, Mastier C, et al. Cement leakage in percutaneous vertebroplasty for spinal metastases: a "
    "retrospective evaluation of incidence and risk factors. Spine 2014;39(5). doi:10.1097/BRS.0000000000000134",
    _METASTASIS,
    Augmentation.VERTEBROPLASTY,
    Unit.VERTEBRA,
    81,
    Modality.UNSTATED,
    _COUNTED,
)
PEKING = Study(
    "Prediction of early vascular cement leakage following percutaneous vertebroplasty in spine metastases: the Peking "
    "University First Hospital Score (PUFHS). BMC Cancer 2021. doi:10.1186/s12885-021-08503-2",
    _METASTASIS,
    Augmentation.VERTEBROPLASTY,
    Unit.PATIENT,
    272,
    Modality.UNSTATED,
    "632 levels, two per patient in the median",
)
MAYO = Study(
    "Prevalence of extravertebral cement leakage after vertebroplasty: procedural documentation versus CT detection. "
    "Acta Radiol 2012;53(5):569-572. doi:10.1258/ar.2012.120222",
    None,
    Augmentation.VERTEBROPLASTY,
    Unit.PATIENT,
    181,
    Modality.CT,
    "277 levels",
)
SAAD = Study(
    "Saad A, Botchu R, James S. The rates of cement leakage following vertebroplasty in osteoporotic versus metastatic "
    "disease. Indian J Radiol Imaging 2022;32(1):46-50. doi:10.1055/s-0042-1744122",
    None,
    Augmentation.VERTEBROPLASTY,
    Unit.VERTEBRA,
    211,
    Modality.UNSTATED,
    "about equal in fractures and tumours",
)

#: Every rate, in the order of the studies. Types B, S, C and D are Yeom's classes, with D for the disc.
RATES: tuple[Rate, ...] = (
    Rate(TANG_SOLID, "any", ANY, 106),
    Rate(TANG_SOLID, "basivertebral vein (type B)", CANAL, 44),
    Rate(TANG_SOLID, "segmental vein (type S)", VEINS, 73),
    Rate(TANG_SOLID, "cortical defect (type C)", BESIDE, 17),
    Rate(TANG_SOLID, "disc (type D)", DISC, 9),
    Rate(TANG_CLEFT, "any", ANY, 94),
    Rate(TANG_CLEFT, "basivertebral vein (type B)", CANAL, 29),
    Rate(TANG_CLEFT, "segmental vein (type S)", VEINS, 34),
    Rate(TANG_CLEFT, "cortical defect (type C)", BESIDE, 36),
    Rate(TANG_CLEFT, "disc (type D)", DISC, 23),
    Rate(VENMANS, "any", ANY, 64),
    Rate(VENMANS, "perivertebral veins", VEINS, 56),
    Rate(VENMANS, "disc", DISC, 22),
    Rate(VENMANS, "soft tissue", BESIDE, 2),
    Rate(YEOM_CT, "spinal canal", CANAL, 28),
    Rate(YEOM_X_RAY, "spinal canal", CANAL, 2),
    Rate(JOSR, "basivertebral vein (type B)", CANAL, 98),
    Rate(JOSR, "segmental vein (type S)", VEINS, 118),
    Rate(JOSR, "cortical defect (type C)", CORTICAL, 84),
    Rate(AL_ALI, "any", ANY, 218),
    Rate(NOMOGRAM, "any", ANY, 96),
    Rate(FAN, "disc", DISC, 35),
    Rate(CHEN, "any", ANY, 77),
    Rate(CHEN, "basivertebral vein (type B)", CANAL, 9),
    Rate(CHEN, "segmental vein (type S)", VEINS, 5),
    Rate(CHEN, "cortical defect (type C)", CORTICAL, 52),
    Rate(CHEN, "pedicle and needle tract", frozenset({Route.TRACT}), 20),
    Rate(PEREZ, "any", ANY, 14),
    Rate(ZHANG, "any", ANY, 64),
    Rate(ZHANG, "spinal canal", CANAL, 18),
    Rate(ZHANG, "vessels around the vertebra", VEINS, 11),
    Rate(ZHANG, "disc and beside the vertebra", CORTICAL, 35),
    Rate(CORCOS, "any", ANY, 43),
    Rate(CORCOS, "vascular", VASCULAR, 20),
    Rate(CORCOS, "cortical", CORTICAL, 26),
    Rate(PEKING, "vascular", VASCULAR, 72),
    Rate(MAYO, "any", ANY, 149),
    Rate(MAYO, "endplate", DISC, 81),
    Rate(MAYO, "beside the vertebra", BESIDE, 64),
    Rate(MAYO, "epidural", CANAL, 36),
    Rate(MAYO, "prevertebral veins", VEINS, 32),
    Rate(SAAD, "any", ANY, 75),
)
