"""A patient of known truth: CT, labels, and the numbers that drew them.

::

    patient = phantom(PhantomSpec(levels=("T12", "L1", "L2"), focus="L1"))
    patient.ct, patient.labels           # canonical volumes, HU and TotalSegmentator v2 numbers
    patient.truth.vertebrae[Level.L1]    # pose, pedicle axes, widths, heights, landmarks

Sizes come level by level from ``data/morphometry.json``; what lies between published levels is
interpolated, and ``truth.notes`` tells it. Every shape is an implicit surface
(:mod:`trocar.anatomy.phantom_shapes`) and the truth is read from the same parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy import phantom_surroundings as around
from trocar.anatomy.phantom_scan import SCHEME, Canvas, label_numbers, spine
from trocar.anatomy.phantom_spec import Fracture, LesionKind, PhantomLesion, PhantomSpec
from trocar.anatomy.phantom_truth import (
    PedicleTruth,
    Truth,
    VertebraTruth,
    mirror_vertebra,
    notes,
    swap_side,
    vertebra_truth,
)
from trocar.anatomy.schemes import scheme
from trocar.geometry import frozen
from trocar.volume import Volume

__all__ = [
    "SCHEME",
    "Fracture",
    "LesionKind",
    "PedicleTruth",
    "Phantom",
    "PhantomLesion",
    "PhantomSpec",
    "Truth",
    "VertebraTruth",
    "phantom",
    "spine",
]


@dataclass(frozen=True, eq=False)
class Phantom:
    """A drawn patient. ``labels`` uses TotalSegmentator v2 numbers on the CT's grid."""

    spec: PhantomSpec
    ct: Volume
    labels: Volume
    truth: Truth


def phantom(spec: PhantomSpec | None = None) -> Phantom:
    """Draw and scan a patient; about two seconds for three levels at the default voxel size."""
    spec = PhantomSpec() if spec is None else spec
    canvas = Canvas(spec, spine(spec))
    canvas.paint()
    patient = _finished(canvas)
    return _mirrored(patient) if spec.mirror else patient


def _finished(canvas: Canvas) -> Phantom:
    """The painted patient with its truth."""
    levels = [v for v in canvas.forms if np.any(canvas.labels == label_numbers(str(v))[0])]
    truth = Truth(
        {v: vertebra_truth(canvas.forms, v, canvas.grid) for v in levels},
        canvas.volume(canvas.canal, "mask"),
        canvas.volume(canvas.discs, "mask"),
        canvas.volume(canvas.lesion, "mask"),
        canvas.volume(canvas.epidural, "mask"),
        frozen(_back_skin_mm(canvas)),
        notes(canvas.spec),
    )
    ct = replace(canvas.volume(canvas.hu, "HU"), acquisition=canvas.acquisition())
    return Phantom(canvas.spec, ct, canvas.volume(canvas.labels, "label"), truth)


def _back_skin_mm(canvas: Canvas) -> NDArray[np.float64]:
    x, y, a, b = around.skin(canvas.forms).sections(canvas.grid.z).T
    middle = canvas.forms[canvas.spec.focus].pose.origin_mm[0]
    return y + b * np.sqrt(np.maximum(1.0 - ((middle - x) / a) ** 2, 0.0))


def _mirrored(plain: Phantom) -> Phantom:
    """The mirror image: arrays flipped left to right, names of sides exchanged, truth reflected."""
    affine = plain.ct.affine.copy()
    affine[0, 3] = -(affine[0, 3] + (plain.ct.shape[2] - 1) * affine[0, 0])

    def flipped(volume: Volume) -> Volume:
        return replace(volume, array=np.ascontiguousarray(volume.array[:, :, ::-1]), affine=affine)

    labels = flipped(replace(plain.labels, array=_swapped_sides()[plain.labels.array]))
    truth = plain.truth
    return Phantom(
        plain.spec,
        flipped(plain.ct),
        labels,
        replace(
            truth,
            vertebrae={v: mirror_vertebra(t) for v, t in truth.vertebrae.items()},
            canal=flipped(truth.canal),
            discs=flipped(truth.discs),
            lesion=flipped(truth.lesion),
            epidural=flipped(truth.epidural),
        ),
    )


def _swapped_sides() -> NDArray[np.uint8]:
    """Label number -> number of its other side; the right lung's middle lobe goes to the left's upper one."""
    table = np.arange(256, dtype=np.uint8)
    for number, meaning in scheme(SCHEME).labels.items():
        mine, other = label_numbers(meaning.name), label_numbers(swap_side(meaning.name)) or (number,)
        place = mine.index(number)
        table[number] = other[-1] if number == mine[-1] else other[min(place, max(len(other) - 2, 0))]
    return table
