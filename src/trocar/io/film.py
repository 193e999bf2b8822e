"""Images as a film: MP4 with VP9, which browsers play and which is free of royalties, or GIF.

VP9 is encoded by the libraries that come within OpenCV's wheel. Where a build of OpenCV lacks it, MP4 falls back to
MPEG-4 part 2, which players know but browsers do not. :func:`write_film` says which it was.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trocar.errors import OutputError, ToolError
from trocar.guidance.vision import opencv
from trocar.io.whole import written_whole

#: GIF counts the time of a frame in hundredths of a second.
GIF_TICKS_PER_S = 100

#: Viewers show a GIF whose frames last less than two ticks at a pace of their own.
GIF_FASTEST_HZ = 50.0

#: Grey values are shown over this share of the first image's pixels where no window is given: its darkest and brightest
#: half percent are left out, as displays of angiography systems do.
SHOWN_SHARE = 0.99


class Codec(Enum):
    """How a film is encoded."""

    VP9 = "VP9"
    MPEG4 = "MPEG-4 part 2"
    GIF = "GIF"


#: The four letters OpenCV asks a codec by, in order of preference.
FOURCC = {Codec.VP9: "vp09", Codec.MPEG4: "mp4v"}


def write_film(
    path: str | Path,
    images: Iterable[NDArray[Any]],
    rate_hz: float,
    window: tuple[float, float] | None = None,
    codec: Codec | None = None,
) -> Codec:
    """Write images as a film, whole or not at all, one at a time; returns how it was encoded.

    The ending decides: ``.mp4`` or ``.gif``. An image is grey ``[row, column]`` or coloured
    ``[row, column, 3]`` (red, green, blue, 8 bits). ``window`` is the grey values shown as black and as white; it may
    be turned round to show the image inverted. Without one, 8-bit images are shown as they are, others over the range
    of the first. Video needs even sizes: a last odd row or column is repeated. ``codec`` takes one of the two of an
    ``.mp4``: VP9 is preferred, but MPEG-4 is written many times faster. Raises ``ValueError`` for images of several
    sizes, an unknown ending, or none at all.
    """
    path = Path(path)
    _check(path, rate_hz, window)
    codecs = _codecs(path, codec)
    shown = _shown(iter(images), window)
    with written_whole(path) as target:
        return (
            _write_gif(target, shown, rate_hz)
            if path.suffix == ".gif"
            else _write_video(target, shown, rate_hz, codecs)
        )


def _check(path: Path, rate_hz: float, window: tuple[float, float] | None) -> None:
    if path.suffix not in (".mp4", ".gif"):
        raise ValueError(f'a film called "{path.name}" is of no known kind: end it in .mp4 or .gif.')
    if not 0.0 < rate_hz < math.inf:
        raise ValueError(f"rate_hz={rate_hz} must be positive.")
    if path.suffix == ".gif" and rate_hz > GIF_FASTEST_HZ:
        raise ValueError(f"rate_hz={rate_hz} is more than the {GIF_FASTEST_HZ:g} a GIF shows: take .mp4.")
    if window is not None and not (all(map(math.isfinite, window)) and window[0] != window[1]):
        raise ValueError(f"window={window} must be two different grey values.")


def _codecs(path: Path, codec: Codec | None) -> dict[Codec, str]:
    """What to try, in this order."""
    if codec is None or (codec is Codec.GIF) == (path.suffix == ".gif"):
        return FOURCC if codec not in FOURCC else {codec: FOURCC[codec]}
    raise ValueError(f"{path.name} cannot hold {codec.value}: leave the codec to the ending.")


# --- grey values to pixels -----------------------------------------------------------------------


def _shown(images: Iterator[NDArray[Any]], window: tuple[float, float] | None) -> Iterator[NDArray[np.uint8]]:
    """Each image as 8 bits, all of one shape; raises where they are not."""
    first = next(images, None)
    if first is None:
        raise ValueError("a film without an image cannot be written.")
    grey = window or _range(first)
    for number, image in enumerate(itertools.chain((first,), images)):
        if image.shape != first.shape:
            raise ValueError(f"image {number} is {image.shape}, the first {first.shape}: a film has one size.")
        yield _pixels(image, grey, number)


def _range(image: NDArray[Any]) -> tuple[float, float]:
    if image.dtype == np.uint8:
        return 0.0, 255.0
    low, high = np.quantile(image, ((1.0 - SHOWN_SHARE) / 2.0, (1.0 + SHOWN_SHARE) / 2.0))
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def _pixels(image: NDArray[Any], window: tuple[float, float], number: int) -> NDArray[np.uint8]:
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        return image
    if image.ndim != 2:
        raise ValueError(f"image {number} is {image.shape} of {image.dtype}: give [row, column], or 8-bit colour.")
    black, white = window
    if (black, white) == (0.0, 255.0) and image.dtype == np.uint8:
        return image
    share = (np.asarray(image, dtype=np.float32) - np.float32(black)) / np.float32(white - black)
    return np.rint(255.0 * np.clip(np.nan_to_num(share, nan=0.0), 0.0, 1.0)).astype(np.uint8)


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows, columns = image.shape[0] % 2, image.shape[1] % 2
    return np.pad(image, ((0, rows), (0, columns), *[(0, 0)] * (image.ndim - 2)), mode="edge")


# --- files ---------------------------------------------------------------------------------------


def _write_video(target: Path, images: Iterator[NDArray[np.uint8]], rate_hz: float, codecs: dict[Codec, str]) -> Codec:
    first = _even(next(images))
    size = (first.shape[1], first.shape[0])
    codec, writer = _opened(target, rate_hz, size, codecs)
    try:
        for image in itertools.chain((first,), map(_even, images)):
            # always colour: a player need not know grey video
            writer.write(
                np.ascontiguousarray(image[..., ::-1] if image.ndim == 3 else np.repeat(image[..., None], 3, 2))
            )
    finally:
        writer.release()
    if not target.exists() or not target.stat().st_size:
        raise OutputError(f"{target.name} could not be written by OpenCV: the disk may be full. Name another place.")
    return codec


def _opened(target: Path, rate_hz: float, size: tuple[int, int], codecs: dict[Codec, str]) -> tuple[Codec, Any]:
    """The first codec of this build of OpenCV that takes the film."""
    cv2 = opencv()
    for codec, letters in codecs.items():
        writer = cv2.VideoWriter(str(target), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*letters), rate_hz, size)
        if writer.isOpened():
            return codec, writer
        writer.release()
    raise ToolError("this OpenCV cannot write .mp4 films: write a .gif, or install opencv-python-headless.")


#: A GIF's screen without a palette of its own: each frame brings one, of 8 bits a colour.
_NO_SHARED_PALETTE = 0x70

#: The extension that makes players begin again at the end, without a limit.
_FOR_EVER = b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"


def _write_gif(target: Path, images: Iterator[NDArray[np.uint8]], rate_hz: float) -> Codec:
    """One frame after the other; grey ones keep every grey value, coloured ones take the colours of the first.

    Pillow's own writer of several frames keeps them all until the last has come, and leaves out those that equal the
    one before.
    """
    first = next(images)
    as_picture = _picture(first)
    rows, columns = first.shape[:2]
    with target.open("wb") as out:
        out.write(b"GIF89a" + struct.pack("<HHBBB", columns, rows, _NO_SHARED_PALETTE, 0, 0) + _FOR_EVER)
        for number, image in enumerate(itertools.chain((first,), images)):
            lasts = _tick(number + 1, rate_hz) - _tick(number, rate_hz)
            out.write(b"!\xf9\x04" + struct.pack("<BHBB", 0, lasts, 0, 0) + _one_frame(as_picture(image)))
        out.write(b";")
    return Codec.GIF


def _tick(number: int, rate_hz: float) -> int:
    """When a frame begins, on the grid of hundredths of a second that GIF has, so that no pace is lost over time."""
    return round(number * GIF_TICKS_PER_S / rate_hz)


def _picture(first: NDArray[np.uint8]) -> Callable[[NDArray[np.uint8]], Image.Image]:
    """How an image becomes one of at most 256 colours."""
    if first.ndim == 2:
        return Image.fromarray
    like = Image.fromarray(first).quantize(256)
    return lambda image: Image.fromarray(image).quantize(palette=like, dither=Image.Dither.NONE)


def _one_frame(picture: Image.Image) -> bytes:
    """The image out of a GIF of this one picture, with that file's palette as its own."""
    buffer = BytesIO()
    picture.save(buffer, format="GIF", optimize=False, interlace=False)
    data = buffer.getvalue()
    depth = data[10] & 7
    start = 13 + (6 << depth)
    palette, at = data[13:start], start
    while data[at] == ord("!"):  # extensions: a kind, then pieces that begin with their length, to an empty one
        at += 2
        while data[at]:
            at += data[at] + 1
        at += 1
    return data[at : at + 9] + bytes((0x80 | depth,)) + palette + data[at + 10 : -1]
