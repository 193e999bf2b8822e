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


def references_for(plan: Plan) -> tuple[Reference, ...]:
    """The publications behind a plan: first the procedure's own, then those of the methods it used.

    Needs no images: what was used is read from the plan itself.
    """
    own = tuple(Reference(text, plan.procedure.name or "procedure") for text in plan.procedure.references)
    return own + tuple(reference for used, reference in _REGISTRY if used(plan))


def every_reference() -> tuple[Reference, ...]:
    """The publications of all methods, whatever plan used them: the bibliography of the documentation."""
    return tuple(reference for _, reference in _REGISTRY)


# --- when a method was used ---------------------------------------------------------------------


def _scheme(*starts: str) -> Callable[[Plan], bool]:
    return lambda plan: plan.provenance.scheme.lower().startswith(starts)


def _measured(word: str) -> Callable[[Plan], bool]:
    return lambda plan: any(word in m.name.lower() for m in plan.measures)


def _asked(word: str) -> Callable[[Plan], bool]:
    """A margin was asked for something of that name."""
    return lambda plan: any(
        word in c.structure for option in plan.options for t in option.trajectories for c in t.clearances
    )


def _with_path(plan: Plan) -> bool:
    return bool(plan.options)


def _with_breach(plan: Plan) -> bool:
    return any(t.breach_probability is not None for option in plan.options for t in option.trajectories)


def _with_images(plan: Plan) -> bool:
    return bool(plan.provenance.files)


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
            "using a two-phase approach to multi-class semantic and instance segmentation. Eur Radiol 2024. "
            "doi:10.1007/s00330-024-11155-y",
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
        _measured("kyphosis"),
        Reference(
            "Cobb JR. Outline for the study of scoliosis. Instr Course Lect 1948;5:261-275.",
            "local kyphosis",
        ),
    ),
    (
        _with_path,
        Reference(
            "Saito T, Toriwaki JI. New algorithms for Euclidean distance transformation of an n-dimensional digitized "
            "picture with applications. Pattern Recognit 1994;27(11):1551-1565. doi:10.1016/0031-3203(94)90133-3",
            "distance maps, axis by axis",
        ),
    ),
    (
        _with_path,
        Reference(
            "Raya SP, Udupa JK. Shape-based interpolation of multidimensional objects. IEEE Trans Med Imaging "
            "1990;9(1):32-42. doi:10.1109/42.52980",
            "the bone's surface between slices",
        ),
    ),
    (
        _asked("pedicle_wall"),
        Reference(
            "Kaur K, Singh R, Prasath V, Magu S, Tanwar M. Computed tomographic-based morphometric study of thoracic "
            "spine and its relevance to anaesthetic and spinal surgical procedures. J Clin Orthop Trauma "
            "2016;7(2):101-108. doi:10.1016/j.jcot.2015.12.002",
            "1 mm of bone on either side of an instrument",
        ),
    ),
    (
        _asked("canal"),
        Reference(
            "Gertzbein SD, Robbins SE. Accuracy of pedicular screw placement in vivo. Spine 1990;15(1):11-14. "
            "doi:10.1097/00007632-199001000-00004",
            "margin to the canal",
        ),
    ),
    (
        _asked("foramen"),
        Reference(
            "Lien SB, Liou NH, Wu SS. Analysis of anatomic morphometry of the pedicles and the safe zone for "
            "through-pedicle procedures in the thoracic and lumbar spine. Eur Spine J 2007;16(8):1215-1222. "
            "doi:10.1007/s00586-006-0245-2",
            "margin to the nerve root",
        ),
    ),
    (
        _with_breach,
        Reference(
            "Joe S, Kuo FY. Constructing Sobol sequences with better two-dimensional projections. SIAM J Sci Comput "
            "2008;30(5):2635-2654. doi:10.1137/070709359",
            "sampling of the hand error",
        ),
    ),
    (
        _with_breach,
        Reference(
            "Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc "
            "1927;22(158):209-212. doi:10.1080/01621459.1927.10502953",
            "interval of the breach probability",
        ),
    ),
    (
        _with_images,
        Reference(
            "National Electrical Manufacturers Association. Digital Imaging and Communications in Medicine (DICOM), "
            "PS3.3: Information Object Definitions.",
            "patient coordinates, position and orientation",
        ),
    ),
    (
        _with_path,
        Reference(
            "Lewiner T, Lopes H, Vieira AW, Tavares G. Efficient implementation of marching cubes' cases with "
            "topological guarantees. J Graph Tools 2003;8(2):1-15. doi:10.1080/10867651.2003.10487582",
            "surface views",
        ),
    ),
)
