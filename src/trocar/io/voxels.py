"""The voxels of a stack of DICOM planes, in Hounsfield units."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.errors import ImageError
from trocar.io.frames import Frame
from trocar.io.hounsfield import AIR_HU
from trocar.io.pixels import stored_values
from trocar.io.stack import Stack
from trocar.measure import Finding, Severity

#: Reading threads: inflating and hashing run beside Python; more than this only costs memory.
THREADS = 4


@dataclass(frozen=True)
class _Loaded:
    """One file's digest, how many voxels were padding or only said so, and which planes differ from their twin."""

    name: str
    digest: str | None
    padded: int
    doubted: int
    unlike: tuple[tuple[int, Frame], ...] = ()


def voxels(stack: Stack) -> tuple[NDArray[np.float32], dict[str, str], tuple[Finding, ...]]:
    """Hounsfield units ``[k, j, i]`` in stack order, SHA-256 by file name, and what was met on the way.

    Raises :class:`ImageError` for files that are cut short or cannot be decoded, and where two
    different images lie at one position.
    """
    out = np.empty((len(stack.frames), *stack.frames[0].shape), dtype=np.float32)
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        kept = list(pool.map(lambda group: _fill(out, group), _by_instance(list(enumerate(stack.frames)))))
        again = list(pool.map(lambda group: _compare(out, group), _by_instance(list(stack.duplicates))))
    for k, other in (u for loaded in again for u in loaded.unlike):
        _refuse_duplicate(stack.frames[k], other)
    return out, _digests([*kept, *again]), (*_duplicates(stack), *_padding_told(kept, out.size))


def _by_instance(planes: list[tuple[int, Frame]]) -> list[list[tuple[int, Frame]]]:
    groups: dict[int, list[tuple[int, Frame]]] = {}
    for k, frame in planes:
        groups.setdefault(id(frame.instance), []).append((k, frame))
    return list(groups.values())


def _fill(out: NDArray[np.float32], group: list[tuple[int, Frame]]) -> _Loaded:
    """Write the planes of one file into ``out``."""
    values, sha = _values(group[0][1])
    counts = [_plane(values[frame.index], frame, out[k]) for k, frame in group]
    padded, doubted = (sum(column) for column in zip(*counts, strict=True))
    return _Loaded(group[0][1].instance.name, sha, padded, doubted)


def _compare(out: NDArray[np.float32], group: list[tuple[int, Frame]]) -> _Loaded:
    """Which planes of one file differ from the kept plane at the same place."""
    values, sha = _values(group[0][1])
    again = np.empty_like(out[0])
    unlike = []
    for k, frame in group:
        _plane(values[frame.index], frame, again)
        if not np.array_equal(again, out[k]):
            unlike.append((k, frame))
    return _Loaded(group[0][1].instance.name, sha, 0, 0, tuple(unlike))


def _plane(stored: NDArray[Any], frame: Frame, out: NDArray[np.float32]) -> tuple[int, int]:
    """One plane into ``out``: stored values times its own slope plus its own intercept, padding made air.

    Returns how many voxels were padding, and how many carry its value but are not believed to be.
    """
    np.multiply(stored, frame.slope, out=out, casting="unsafe")
    out += np.float32(frame.intercept)
    covered = _padding_mask(stored, frame)
    if covered is None:
        return 0, 0
    count = int(np.count_nonzero(covered))
    if not _frames_the_image(covered):
        return 0, count
    out[covered] = AIR_HU
    return count, 0


def _values(frame: Frame) -> tuple[NDArray[Any], str | None]:
    dataset, sha = frame.instance.load()
    values = stored_values(dataset, frame.instance.name)
    if values.shape[1:] != frame.shape or frame.index >= len(values):
        raise ImageError(f"{frame.instance.name} holds {values.shape} pixels where its header says otherwise.")
    return values, sha


def _padding_mask(stored: NDArray[Any], frame: Frame) -> NDArray[np.bool_] | None:
    """Voxels that carry the padding value, where that value would otherwise pass for air or tissue."""
    if frame.padding is None:
        return None
    low, high = frame.padding
    if frame.slope * high + frame.intercept <= AIR_HU:
        return None  # so low that no tissue has it: becomes air with everything else below air
    covered = (stored >= low) & (stored <= high)
    return covered if covered.any() else None


def _frames_the_image(covered: NDArray[np.bool_]) -> bool:
    """Whether padding reaches a corner, as everything outside a scanner's round field does."""
    return bool(covered[[0, 0, -1, -1], [0, -1, 0, -1]].any())


def _refuse_duplicate(kept: Frame, other: Frame) -> None:
    raise ImageError(
        f"two different images lie at the same position {np.round(kept.position_mm, 2).tolist()} mm: {kept.called} "
        f"({kept.instance.name}) and {other.called} ({other.instance.name}). Give one acquisition (phase) only."
    )


def _digests(loaded: list[_Loaded]) -> dict[str, str]:
    """SHA-256 by file name, in order of name; a name used twice gets a number."""
    out: dict[str, str] = {}
    for done in sorted((d for d in loaded if d.digest), key=lambda d: (d.name, d.digest or "")):
        name, n = done.name, 1
        while out.get(name, done.digest) != done.digest:
            n += 1
            name = f"{done.name} ({n})"
        out[name] = done.digest or ""
    return out


def _duplicates(stack: Stack) -> tuple[Finding, ...]:
    if not stack.duplicates:
        return ()
    which = ", ".join(str(f.number) for _, f in stack.duplicates[:8])
    text = f"Slices that were there twice, pixel for pixel, were read once: {len(stack.duplicates)} (instance {which})."
    return (Finding(Severity.NOTE, text),)


def _padding_told(loaded: list[_Loaded], size: int) -> tuple[Finding, ...]:
    padded, doubted = sum(d.padded for d in loaded), sum(d.doubted for d in loaded)
    found = []
    if padded:
        text = (
            f"{100.0 * padded / size:.1f} % of the voxels are padding outside the field of view; they are read as air."
        )
        found.append(Finding(Severity.NOTE, text, "Pixel Padding Value"))
    if doubted:
        text = f"{doubted} voxels inside slices carry the padding value; they are taken for measured values."
        found.append(Finding(Severity.CAUTION, text, "Pixel Padding Value"))
    return tuple(found)
