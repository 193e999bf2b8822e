"""Percutaneous vertebroplasty: a needle into the vertebral body, for cement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trocar.procedures.bone_access import BoneAccess


@dataclass(frozen=True)
class Vertebroplasty(BoneAccess):
    """Cement through a needle; one-sided to the centre of the body where that can be reached.

    Lumbar vertebrae are entered through the pedicle, thoracic ones beside it, between rib and
    transverse process. The target is the anterior-middle third of the body at the midline. Both
    sides and the two-sided plan are offered as ranked alternatives.
    """

    name: ClassVar[str] = "vertebroplasty"
    references: ClassVar[tuple[str, ...]] = (
        "Kim AK, Jensen ME, Dion JE, et al. Unilateral transpedicular percutaneous vertebroplasty: initial experience. "
        "Radiology 2002;222(3):737-741.",
        "Li H, Yang L, Tang J, et al. An MRI-based feasibility study of unilateral percutaneous vertebroplasty. "
        "BMC Musculoskelet Disord 2015;16:162. doi:10.1186/s12891-015-0619-x",
        "Yin S, Zhang Y, Du Y, et al. An imaging anatomical study on percutaneous vertebral augmentation for thoracic "
        "spine via the unilateral transverse process-pedicle approach. J Orthop Surg Res 2025;20:414. "
        "doi:10.1186/s13018-025-05824-x",
    )
