"""Fluoroscopy written as a DICOM X-ray angiographic run, with the C-arm that made it."""

from __future__ import annotations

import itertools
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite

from trocar.guidance.carm import CArm
from trocar.guidance.frames import Frame
from trocar.io.whole import written_whole
from trocar.io.xa_header import About, Run, header

__all__ = ["LONGEST_PIXELS", "About", "write_xa"]

#: Pixel Data in one piece is shorter than this, bytes.
LONGEST_PIXELS = 2**32 - 2


def write_xa(path: str | Path, frames: Iterable[Frame], about: About | None = None) -> None:
    """Write one run as a DICOM X-ray angiographic image, whole or not at all; memory stays flat.

    Images of 8 or 16 bits are kept as they are; others must hold 0 to 65535 and are rounded. All frames have one
    shape, one meaning, and either all a view or none. Distances, detector, roll and mirror are those of all frames;
    angles and isocentre may change. Raises ``ValueError`` for what cannot be written so, and
    :class:`trocar.errors.OutputError` where the disk refuses. The same frames give the same file.
    """
    about = about or About()
    with written_whole(path) as target:
        pixels = target.with_name(f"{target.name}.pixels")
        with pixels.open("wb") as spool:
            run = _spooled(frames, spool)
        head = header(run, about)
        with target.open("wb") as out, pixels.open("rb") as spool:
            dcmwrite(out, head, enforce_file_format=True)
            out.write(_pixel_head(run, head))
            shutil.copyfileobj(spool, out)
        pixels.unlink()


def _pixel_head(run: Run, head: Dataset) -> bytes:
    """Pixel Data (7FE0,0010) before its bytes: tag, kind where the file names it, length."""
    kind = b"OB\0\0" if run.kind == np.uint8 else b"OW\0\0"
    named = b"" if head.file_meta.TransferSyntaxUID.is_implicit_VR else kind
    return b"\xe0\x7f\x10\x00" + named + struct.pack("<I", run.bytes_written)


# --- frames --------------------------------------------------------------------------------------


def _spooled(frames: Iterable[Frame], spool: IO[bytes]) -> Run:
    stream = iter(frames)
    first = next(stream, None)
    if first is None:
        raise ValueError("a run without a frame cannot be written.")
    run = Run(first, np.dtype(np.uint8) if first.image.dtype == np.uint8 else np.dtype("<u2"))
    for number, frame in enumerate(itertools.chain((first,), stream)):
        _check_alike(run, frame, number)
        data = _stored(frame.image, run.kind, number).tobytes()
        spool.write(data)
        run.digest.update(data)
        run.bytes_written += len(data)
        if run.bytes_written > LONGEST_PIXELS:
            raise ValueError(f"{number + 1} frames are more than the 4 GB one file holds: write several.")
        run.times_s.append(frame.time_s)
        if frame.view is not None:  # one object for all frames of a view that stays
            run.views.append(run.views[-1] if run.views and _same(run.views[-1], frame.view) else frame.view)
    if run.bytes_written % 2:
        spool.write(b"\0")
        run.bytes_written += 1
    return run


def _stored(image: NDArray[Any], kind: np.dtype[Any], number: int) -> NDArray[Any]:
    if image.dtype == kind:
        return np.ascontiguousarray(image)
    low, high = float(np.min(image)), float(np.max(image))
    if not (low >= 0.0 and high <= np.iinfo(kind).max):
        raise ValueError(f"frame {number} has values from {low:g} to {high:g}: they must lie in 0 to 65535.")
    return np.rint(image).astype(kind)


def _check_alike(run: Run, frame: Frame, number: int) -> None:
    first = run.first
    if frame.image.shape != first.image.shape or frame.image.ndim != 2:
        raise ValueError(f"frame {number} is {frame.image.shape}, the first {first.image.shape}: a run has one size.")
    if (frame.image.dtype == np.uint8) != (first.image.dtype == np.uint8) or frame.intensity is not first.intensity:
        raise ValueError(f"frame {number} has other values than the first: a run has one kind of pixel.")
    if not np.isfinite(frame.time_s) or (run.times_s and frame.time_s <= run.times_s[-1]):
        raise ValueError(f"frame {number} is of {frame.time_s} s, not later than the one before it.")
    if (frame.view is None) != (first.view is None):
        raise ValueError(f"frame {number} and the first do not both have a view: all have one, or none.")
    if frame.view is not None and first.view is not None:
        _check_view(frame.view, first.view, frame.image.shape, number)


def _check_view(view: CArm, first: CArm, shape: tuple[int, ...], number: int) -> None:
    if view.detector.shape != shape:
        raise ValueError(f"frame {number} has {shape} pixels, its view's detector {view.detector.shape}.")
    fixed = ("source_to_detector_mm", "source_to_isocentre_mm", "detector", "roll_deg", "mirrored")
    changed = [name for name in fixed if getattr(view, name) != getattr(first, name)]
    if changed:
        raise ValueError(f"{', '.join(changed)} changes at frame {number}: one run has one; write a file for each.")


def _same(a: CArm, b: CArm) -> bool:
    angles = (a.primary_angle_deg, a.secondary_angle_deg) == (b.primary_angle_deg, b.secondary_angle_deg)
    return angles and bool((a.isocentre_mm == b.isocentre_mm).all())
