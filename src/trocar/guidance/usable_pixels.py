"""What of an image may be compared: its density, without shutters, metal and what the caller leaves out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.guidance.frames import Frame, Intensity

#: The least dose that a logarithm is taken of, as a share of the brightest: a pixel that saw nothing is not infinite.
LEAST_DOSE = 1e-4
#: Shutters are looked for on blocks of about this many to a side.
BLOCKS = 64
#: Behind a shutter the image is flat: its spread within the image's by this share; and it ends with a jump of at least
#: this share of the image's spread. Ours, on simulated shutters that let 2 % pass.
FLAT_SHARE, JUMP_SHARE = 0.3, 0.2
#: No shutter closes more than this share of the image from one side.
MOST_CLOSED = 0.45
#: A needle is no wider than this where it is (mm), and denser than its surroundings by this exponent (11 G steel has
#: 2.5 at 60 keV; a bone's edge of that width stays below); on other scales by so many robust deviations.
NEEDLE_MM, NEEDLE_EXPONENT, NEEDLE_DEVIATIONS = 6.0, 0.6, 10.0
#: What is left out around metal, mm where it is: the detector's blur and the reach of a fine gradient.
AROUND_METAL_MM = 2.0

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


def binned(image: NDArray[np.floating], usable: Mask, factor: int) -> tuple[Image, Mask]:
    """Means over blocks of usable pixels, and the blocks of which at least half is usable."""
    rows, columns = (n // factor for n in image.shape)
    cut = (slice(0, rows * factor), slice(0, columns * factor))
    blocks = (rows, factor, columns, factor)
    share = usable[cut].reshape(blocks).mean(axis=(1, 3))
    sums = np.where(usable, image, 0.0)[cut].reshape(blocks).mean(axis=(1, 3))
    return (sums / np.maximum(share, 1e-6)).astype(np.float32), share >= 0.5


def density(frame: Frame, usable: Mask, factor: int) -> tuple[Image, Mask]:
    """The image as *bright where dense* on blocks of ``factor`` x ``factor`` pixels, and which blocks are usable.

    Dose is averaged before its logarithm is taken. Unusable blocks hold the value of the nearest usable one.
    """
    image, usable = binned(np.asarray(frame.image, dtype=np.float32), usable, factor)
    if not usable.any():
        return np.zeros_like(image), usable
    if frame.intensity is Intensity.LINEAR:
        image = -np.log(np.maximum(image, LEAST_DOSE * float(np.percentile(image[usable], 99.0)) + 1e-12))
    elif frame.intensity is not Intensity.LOG:
        image = -image
    nearest = ndimage.distance_transform_edt(~usable, return_distances=False, return_indices=True)
    return image[tuple(nearest)].astype(np.float32), usable


def open_field(frame: Frame) -> Mask:
    """The pixels that no straight shutter covers; all where no shutter is found."""
    out = np.ones(frame.image.shape, dtype=bool)
    factor = max(1, min(frame.image.shape) // BLOCKS)
    blocks, _ = density(frame, out, factor)
    rows, columns = slice(0, blocks.shape[0]), slice(0, blocks.shape[1])
    for _ in range(2):  # the columns' spread is that of the open rows, and the other way round
        columns = slice(_closed(blocks[rows]), blocks.shape[1] - _closed(blocks[rows, ::-1]))
        rows = slice(_closed(blocks[:, columns].T), blocks.shape[0] - _closed(blocks[::-1, columns].T))
    kept = tuple(
        slice(part.start * factor, part.stop * factor if part.stop < size else None)
        for part, size in zip((rows, columns), blocks.shape, strict=True)
    )
    out[:] = False
    out[kept] = True
    return out


def _closed(blocks: Image) -> int:
    """How many columns from the left are behind a shutter, with the one that it crosses."""
    low, high = np.percentile(blocks, (10.0, 90.0))
    spread = float(high - low)
    middle = np.median(blocks, axis=0)
    width = np.subtract(*np.percentile(blocks, (90.0, 10.0), axis=0))
    flat = (width <= FLAT_SHARE * spread) & (np.abs(middle - middle[0]) <= FLAT_SHARE * spread)
    count = int(np.argmin(flat)) if not flat.all() else 0
    if not 0 < count <= MOST_CLOSED * blocks.shape[1] or count + 1 >= blocks.shape[1]:
        return 0
    jump = np.median(np.abs(blocks[:, count + 1] - middle[count - 1]))
    return count + 1 if jump >= JUMP_SHARE * spread else 0


def metal(frame: Frame, usable: Mask, pixel_mm: float) -> Mask:
    """Pixels on and near what is narrow and very dense; ``pixel_mm`` is a pixel's size where the patient is."""
    factor = max(1, round(1.0 / pixel_mm))
    dense, open_blocks = density(frame, usable, factor)
    size = max(3, round(NEEDLE_MM / (pixel_mm * factor)))
    narrow = dense - ndimage.grey_opening(dense, size=(size, size))
    least = NEEDLE_DEVIATIONS * 1.4826 * float(np.median(np.abs(narrow - np.median(narrow))))
    if frame.intensity is Intensity.LINEAR:
        least = max(least, NEEDLE_EXPONENT)
    reach = max(1, round(AROUND_METAL_MM / (pixel_mm * factor)))
    found = ndimage.binary_dilation((narrow > least) & open_blocks, iterations=reach)
    out = np.zeros(frame.image.shape, dtype=bool)
    grown = np.kron(found, np.ones((factor, factor), dtype=bool))
    out[: grown.shape[0], : grown.shape[1]] = grown
    return out
