"""Pictures of live images: fluoroscopy as a screen shows it, with outlines, paths and needles drawn on it.

A picture is RGB ``[row, column, 3]``, 8 bits. Colours are those of the report's figures.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from io import BytesIO

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from trocar.guidance.carm_edges import side_word
from trocar.guidance.frames import Frame
from trocar.guidance.motion import line_integrals_of
from trocar.guidance.vision import opencv

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

#: RGB of what was planned, what was measured, what is told, and what alarms.
PLANNED, MEASURED, TOLD, ALARMING = (90, 200, 255), (255, 210, 0), (255, 255, 255), (255, 60, 60)
#: Edge of a picture, pixels; a larger image is shown smaller, a smaller one larger.
EDGE = 512
#: Brightness runs between these percentiles of the image's middle.
DARKEST, BRIGHTEST = 1.0, 99.0
#: A point of a contour is given in whole pixels times two to this power (``cv2.polylines``).
_SHIFT = 4
_LETTERS = 18
#: Size of a caption, pixels, and the width of a letter for its size.
FONT, WIDE = 14, 0.55


def shown(frame: Frame) -> tuple[Picture, float]:
    """The image as a screen shows it, dark where dense, and the picture's pixels for one of the detector's."""
    scale = EDGE / max(frame.image.shape)
    depth = line_integrals_of(np.asarray(frame.image, dtype=np.float32), frame.intensity)
    rows, columns = frame.image.shape
    middle = depth[rows // 4 : -(rows // 4) or None, columns // 4 : -(columns // 4) or None]
    low, high = np.percentile(middle, (DARKEST, BRIGHTEST))
    grey = np.clip(255.0 * (high - depth) / max(float(high - low), 1e-6), 0, 255).astype(np.uint8)
    cv2 = opencv()
    size = (round(columns * scale), round(rows * scale))
    big = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    picture = np.asarray(cv2.cvtColor(big, cv2.COLOR_GRAY2RGB))
    if frame.view is not None:
        right, down = frame.view.axes
        _letter(picture, [side_word(way) for way in (-right, right, -down, down)])
    return picture, scale


def _letter(picture: Picture, letters: Sequence[str]) -> None:
    """Letters of the patient's directions at the middle of the edges: left, right, top, bottom."""
    rows, columns = picture.shape[:2]
    places = (
        (rows / 2, _LETTERS),
        (rows / 2, columns - _LETTERS),
        (_LETTERS, columns / 2),
        (rows - _LETTERS, columns / 2),
    )
    image = Image.fromarray(picture)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(_LETTERS)
    for text, (row, column) in zip(letters, places, strict=True):
        draw.text((column, row), text, TOLD, font, "mm", stroke_width=2, stroke_fill=(0, 0, 0))
    picture[:] = np.asarray(image)


def outline(
    picture: Picture,
    mask: NDArray[np.bool_],
    scale: float,
    colour: Colour,
    shift_px: ArrayLike = (0, 0),
    width: int = 1,
) -> bool:
    """Draw the contour of a mask on the detector's pixels, moved by ``shift_px`` (rows, columns) of them.

    Returns whether any of it lies in the picture.
    """
    lines, _ = opencv().findContours(mask.astype(np.uint8), opencv().RETR_EXTERNAL, opencv().CHAIN_APPROX_NONE)
    row, column = np.asarray(shift_px, dtype=np.float64)
    drawn = [polyline(picture, line[:, 0, ::-1] + (row, column), scale, colour, True, width) for line in lines]
    return any(drawn)


def polyline(
    picture: Picture, points_px: ArrayLike, scale: float, colour: Colour, closed: bool = False, width: int = 1
) -> bool:
    """Draw a line through pixels ``(n, 2)`` (row, column) of the detector, and return whether any of it is seen.

    What lies outside the picture is left out, and so are the two pieces at a point that is NaN (one that cannot be
    projected): whoever calls has to say so in words.
    """
    points = (np.asarray(points_px, dtype=np.float64)[:, ::-1] + 0.5) * scale - 0.5
    after = np.roll(points, -1, axis=0)
    ends = np.stack((points, after), axis=1) if closed else np.stack((points[:-1], after[:-1]), axis=1)
    pieces = _within(ends, np.array(picture.shape[1::-1]) - 1.0)
    fixed = np.rint(pieces * 2**_SHIFT).astype(np.int32)
    cv2 = opencv()
    cv2.polylines(picture, list(fixed), False, colour, width, cv2.LINE_AA, _SHIFT)
    return bool(len(pieces))


def _within(ends: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """The parts of lines ``(n, 2 ends, 2)`` between 0 and ``high``; those that lie outside are left out.

    Line clipping by parameter (Liang and Barsky 1984).
    """
    start, way = ends[:, 0], ends[:, 1] - ends[:, 0]
    still = way == 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        low_at, high_at = -start / way, (high - start) / way
    enters = np.where(still, -np.inf, np.minimum(low_at, high_at)).max(axis=1, initial=0.0)
    leaves = np.where(still, np.inf, np.maximum(low_at, high_at)).min(axis=1, initial=1.0)
    beside = (still & ~((start >= 0.0) & (start <= high))).any(axis=1)
    seen = (enters <= leaves) & ~beside  # NaN is in no order, and so is not seen
    share = np.stack((enters, leaves), axis=1)[seen, :, None]
    return np.asarray(start[seen, None] + share * way[seen, None])


def cross(picture: Picture, at_px: ArrayLike, scale: float, colour: Colour, arm_px: float = 7.0) -> None:
    """Mark one pixel (row, column) of the detector with a cross of a fixed size in the picture."""
    row, column = np.asarray(at_px, dtype=np.float64)
    arm = arm_px / scale
    polyline(picture, [(row - arm, column - arm), (row + arm, column + arm)], scale, colour, width=2)
    polyline(picture, [(row - arm, column + arm), (row + arm, column - arm)], scale, colour, width=2)


def captioned(picture: Picture, lines: Iterable[tuple[str, Colour]], rows: int | None = None) -> Picture:
    """The picture with a strip of lines below it, each in its colour; a long one goes on in the next.

    All pictures of a film are of one size: they give the number of ``rows`` that all have, and what is more is cut.
    """
    font = ImageFont.load_default(FONT)
    room = int((picture.shape[1] - 16) / (FONT * WIDE))
    lines = [(part, colour) for text, colour in lines for part in textwrap.wrap(text, room) or [""]]
    lines = lines if rows is None else (lines + [("", TOLD)] * rows)[:rows]
    strip = Image.new("RGB", (picture.shape[1], 8 + 22 * len(lines)))
    draw = ImageDraw.Draw(strip)
    for n, (text, colour) in enumerate(lines):
        draw.text((8, 4 + 22 * n), text, fill=colour, font=font)
    return np.vstack((picture, np.asarray(strip)))


def png(picture: Picture) -> bytes:
    """The picture as PNG."""
    out = BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()
