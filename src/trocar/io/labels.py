"""Reading label maps: any format in, masks on the CT's grid out, checked against the geometry."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from trocar.anatomy.labels import Labels, merge, split
from trocar.anatomy.plausibility import advice, check_scheme
from trocar.anatomy.schemes import Scheme, own_scheme, scheme
from trocar.errors import FrameMismatchError, ImageError, LabelSchemeError
from trocar.volume import Volume, canonical

#: Label numbers above this are no labels: the largest any scheme here knows is 228.
LARGEST_NUMBER = 65535

Source = Any


def read_labels(source: Source, on: Volume, scheme: Any = None) -> Labels:
    """The structures that one or several label files mark on the CT ``on``.

    ``source`` is a path, a ``Volume``, an array on the CT's own grid, or a list of them; ``scheme`` is the name of
    a built-in scheme, the path of your own JSON, or a list with one for each source. Raises
    :class:`LabelSchemeError` when the scheme does not fit the geometry.
    """
    sources = list(source) if isinstance(source, (list, tuple)) else [source]
    named = list(scheme) if isinstance(scheme, (list, tuple)) else [scheme] * len(sources)
    if len(named) != len(sources):
        raise ValueError(f"{len(sources)} label files need as many schemes, not {len(named)}.")
    found = merge([_read_one(s, on, n) for s, n in zip(sources, named, strict=True)])
    if not found.vertebrae:
        raise ImageError(f"no vertebra is labelled ({found.scheme}): give a label file that has vertebrae by level.")
    return found


def _read_one(source: Source, on: Volume, named: Any) -> Labels:
    labels, digests = _open(source, on)
    if not labels.array.any():
        raise ImageError(f"{_title(source)} is empty: it marks no voxel.")
    meaning = _scheme(named, labels)
    labels = _on_grid(labels, on)
    if meaning.levels:
        check_scheme(labels, meaning)
    return replace(split(labels, meaning), digests=digests)


def _open(source: Source, on: Volume) -> tuple[Volume, tuple[tuple[str, str], ...]]:
    if isinstance(source, Volume):
        array, affine = canonical(_whole_numbers(source.array), source.affine)
        return Volume(array, affine, source.frame_of_reference, "label"), ()
    if isinstance(source, np.ndarray):
        return Volume(_whole_numbers(source), on.affine, on.frame_of_reference, "label"), ()
    path = Path(source)
    if not path.is_file():
        raise ImageError(f"label file {path} does not exist.")
    image = sitk.ReadImage(str(path))
    if image.GetNumberOfComponentsPerPixel() != 1 or image.GetDimension() != 3:
        raise ImageError(f"{path.name} is not a label map: it has colours or more than three axes.")
    array, affine = canonical(_whole_numbers(sitk.GetArrayFromImage(image)), _affine(image))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Volume(array, affine, None, "label"), ((path.name, digest),)


def _affine(image: sitk.Image) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return affine


def _whole_numbers(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype == np.uint8 or array.dtype == np.uint16:
        return array
    if array.dtype.kind == "f" and not np.array_equal(array, np.rint(array)):
        raise ImageError("the label map holds fractions: labels are whole numbers.")
    if array.min() < 0 or array.max() > LARGEST_NUMBER:
        raise ImageError(
            f"the label map holds {array.min():g} to {array.max():g}: labels run from 0 to {LARGEST_NUMBER}."
        )
    return array.astype(np.uint16)


def _scheme(named: Any, labels: Volume) -> Scheme:
    if isinstance(named, Scheme):
        return named
    if named is None:
        raise LabelSchemeError(f"name the label scheme with --scheme. {advice(labels)}")
    if str(named).endswith(".json"):
        return own_scheme(Path(named).read_text(encoding="utf-8"), Path(named).name)
    return scheme(str(named))


def _on_grid(labels: Volume, on: Volume) -> Volume:
    labels.check_frame(on)
    if labels.same_grid(on):
        return replace(labels, affine=on.affine, frame_of_reference=on.frame_of_reference)
    moved = labels.onto(on)
    if not moved.array.any():
        raise FrameMismatchError("the labels lie outside the CT: they belong to another scan.")
    return moved


def _title(source: Source) -> str:
    return "the label map" if isinstance(source, (Volume, np.ndarray)) else Path(source).name
