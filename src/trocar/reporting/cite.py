"""The references of the methods a plan used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trocar.treatment import Plan


@dataclass(frozen=True)
class Reference:
    """A publication and what it was used for."""

    text: str
    used_for: str

    def __str__(self) -> str:
        return f"{self.text} [{self.used_for}]"


def _always(plan: Plan) -> bool:
    return True


def _scheme(*starts: str) -> Callable[[Plan], bool]:
    return lambda plan: plan.provenance.scheme.lower().startswith(starts)


def _measured(word: str) -> Callable[[Plan], bool]:
    return lambda plan: any(word in m.name.lower() for m in plan.measures)


#: Each publication with the plans it belongs to, in the order they are printed.
_REGISTRY: tuple[tuple[Callable[[Plan], bool], Reference], ...] = (
    (
        _scheme("totalseg"),
        Reference(
            "Wasserthal J, Breit HC, Meyer MT, et al. TotalSegmentator: robust segmentation of 104 anatomic "
            "structures in CT images. Radiol Artif Intell 2023;5(5):e230024. doi:10.1148/ryai.230024",
            "label scheme",
        ),
    ),
    (
        _scheme("verse"),
        Reference(
            "Sekuboyina A, Husseini ME, Bayat A, et al. VerSe: a vertebrae labelling and segmentation benchmark for "
            "multi-detector CT images. Med Image Anal 2021;73:102166. doi:10.1016/j.media.2021.102166",
            "label scheme",
        ),
    ),
    (
        _scheme("spineps", "tptbox"),
        Reference(
            "Möller H, Graf R, Schmitt J, et al. SPINEPS: automatic whole spine segmentation of T2-weighted MR images "
            "using a two-phase approach to multi-class semantic and instance segmentation. "
            "Eur Radiol 2025;35(3):1178-1189. doi:10.1007/s00330-024-11155-y",
            "label scheme",
        ),
    ),
    (
        _measured("genant"),
        Reference(
            "Genant HK, Wu CY, van Kuijk C, Nevitt MC. Vertebral fracture assessment using a semiquantitative "
            "technique. J Bone Miner Res 1993;8(9):1137-1148. doi:10.1002/jbmr.5650080915",
            "fracture grade",
        ),
    ),
    (
        _always,
        Reference(
            "Maurer CR, Qi R, Raghavan V. A linear time algorithm for computing exact Euclidean distance transforms of "
            "binary images in arbitrary dimensions. IEEE Trans Pattern Anal Mach Intell 2003;25(2):265-270. "
            "doi:10.1109/TPAMI.2003.1177156",
            "distance maps behind every clearance",
        ),
    ),
    (
        _always,
        Reference(
            "Lewiner T, Lopes H, Vieira AW, Tavares G. Efficient implementation of marching cubes' cases with "
            "topological guarantees. J Graph Tools 2003;8(2):1-15. doi:10.1080/10867651.2003.10487582",
            "surface views",
        ),
    ),
    (
        _always,
        Reference(
            "National Electrical Manufacturers Association. Digital Imaging and Communications in Medicine (DICOM), "
            "PS3.3: Information Object Definitions.",
            "patient coordinates, position and orientation",
        ),
    ),
)


def references_for(plan: Plan) -> tuple[Reference, ...]:
    """The publications behind a plan: first the procedure's own, then those of the methods it used."""
    own = tuple(Reference(text, plan.procedure.name or "procedure") for text in plan.procedure.references)
    return own + tuple(reference for used, reference in _REGISTRY if used(plan))


def every_reference() -> tuple[Reference, ...]:
    """The publications of all methods, whatever plan used them."""
    return tuple(reference for _, reference in _REGISTRY)
