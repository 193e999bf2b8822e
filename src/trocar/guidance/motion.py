"""How far a vertebra has moved in the image, and how bright the image is, against a reference.

An image is taken to line integrals (its logarithm), within a window around the vertebra, on pixels of about half a
millimetre. Three steps, each for what the one before cannot hold: a weighted least-squares polish from where the
vertebra last was; the enhanced correlation coefficient (Evangelidis & Psarakis, IEEE TPAMI 30:1858, 2008; OpenCV's) on
band-passed images; and a search of the whole image. Whole-image correlation is no substitute: what overlies the
vertebra moves otherwise, and cement, needles and shutters change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.guidance.frames import Intensity
from trocar.guidance.silhouette import Silhouette
from trocar.guidance.vision import opencv

Patch = NDArray[np.float32]

#: Pixels are taken together to about this size at the vertebra, mm: finer is noise, coarser loses the edge.
PIXEL_MM = 0.4
#: The vertebra's own detail lies between these scales, standard deviations, mm.
FINE_MM, BROAD_MM = 0.6, 5.0
#: Band-passed detail is cut here, in line integral, so that a needle or a shutter does not outweigh the bone.
DETAIL_TOP = 0.15
#: A step of the polish this small ends it, patch pixels; steps at most.
STEP_PX, STEPS = 0.02, 6
#: Residuals beyond this many robust standard deviations lose weight (Huber's 1.345, 95 % efficient).
HUBER = 1.345
#: A robust standard deviation from a median absolute deviation.
MAD_TO_SIGMA = 1.4826
#: Below this share of the usual likeness the next step is tried too.
UNUSUAL = 0.93
#: Polish that leaves its start by more than this has not found the vertebra, patch pixels.
POLISH_PX = 4.0


@dataclass(frozen=True)
class Motion:
    """Where the vertebra is against the reference.

    ``shift_px`` is rows and columns of the *detector*; ``offset`` is what this image's line integrals are above the
    reference's (an exposure doubled: -ln 2). ``likeness`` is the correlation of band-passed detail, 1 at best.
    ``how`` is the step that found it.
    """

    shift_px: tuple[float, float]
    offset: float = 0.0
    likeness: float = 1.0
    how: str = "polished"


@dataclass(frozen=True)
class Window:
    """The part of the detector that is watched: first row and column, and how many patch pixels of ``factor``."""

    row: int
    column: int
    shape: tuple[int, int]
    factor: int
    mm_per_pixel: float

    @classmethod
    def around(cls, outline: Silhouette) -> Window:
        """The window of an outline with its surroundings; it is cut at the detector's rim."""
        mm = float(np.mean(outline.mm_per_pixel))
        factor = max(1, round(PIXEL_MM / mm))
        rows, columns = outline.box
        shape = ((rows.stop - rows.start) // factor, (columns.stop - columns.start) // factor)
        return cls(rows.start, columns.start, shape, factor, mm * factor)

    def bare(self, image: NDArray[Any], shift: tuple[int, int] = (0, 0)) -> tuple[Patch, NDArray[np.uint8]]:
        """Mean pixel values of the window moved by ``shift`` (detector pixels), and which of them the image holds."""
        cv2, f = opencv(), self.factor
        row, column = self.row + shift[0], self.column + shift[1]
        height, width = self.shape[0] * f, self.shape[1] * f
        top, left = max(row, 0), max(column, 0)
        bottom, right = min(row + height, image.shape[0]), min(column + width, image.shape[1])
        held = np.zeros(self.shape, np.uint8)
        if bottom - top < f or right - left < f:
            return np.ones(self.shape, np.float32), held
        part = image[top:bottom, left:right].astype(np.float32)
        border = (top - row, row + height - bottom, left - column, column + width - right)
        if any(border):
            part = cv2.copyMakeBorder(part, *border, cv2.BORDER_REPLICATE)
        first = (-(-border[0] // f), -(-border[2] // f))
        last = (self.shape[0] - -(-border[1] // f), self.shape[1] - -(-border[3] // f))
        held[first[0] : last[0], first[1] : last[1]] = 1
        return cv2.resize(part, self.shape[::-1], interpolation=cv2.INTER_AREA), held

    def reduced(self, mask: NDArray[Any]) -> Patch:
        """A mask or picture of the whole detector on the window's pixels."""
        return self.bare(mask.astype(np.float32))[0]


def line_integrals_of(values: Patch, intensity: Intensity) -> Patch:
    """Pixel values as line integrals, up to an offset; logarithmic ones up to the maker's factor too.

    A logarithmic scale is taken to span its type: 65535 steps are ln 65536, 255 steps ln 256.
    """
    if intensity in (Intensity.LINEAR, Intensity.DISPLAYED):
        return -np.log(np.maximum(values, np.float32(0.5)))
    top = np.float32(255.0 if values.max() <= 255.0 else 65535.0)
    dense = values if intensity is Intensity.LOG else -values
    return dense * np.float32(np.log1p(top) / top)


def blurred(image: Patch, sigma_px: float) -> Patch:
    """Gaussian blur."""
    return opencv().GaussianBlur(image, (0, 0), sigma_px, borderType=opencv().BORDER_REPLICATE)


def moved(image: Patch, shift: NDArray[np.float64] | tuple[float, float], cubic: bool = True) -> Patch:
    """``image`` at each place plus ``shift`` (row, column): what lay there comes here. Cubic between pixels."""
    cv2 = opencv()
    matrix = np.array([[1.0, 0.0, shift[1]], [0.0, 1.0, shift[0]]])
    how = (cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, image.shape[::-1], flags=how, borderMode=cv2.BORDER_REPLICATE)


def detail(image: Patch, mm_per_pixel: float) -> Patch:
    """The band in which bone has its detail, cut at :data:`DETAIL_TOP`."""
    # the broad blur on a quarter of the pixels: it has no detail to lose
    cv2 = opencv()
    small = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    broad = cv2.resize(blurred(small, BROAD_MM / mm_per_pixel / 4.0), image.shape[::-1])
    return np.clip(blurred(image, FINE_MM / mm_per_pixel) - broad, -DETAIL_TOP, DETAIL_TOP)


class Reference:
    """What the vertebra looked like: line integrals ``[row, column]`` of a window, and what of it counts.

    ``weight`` (0 to 1) is where it is compared; :meth:`ignore` takes places out for good (cement, the needle's way).
    """

    def __init__(self, image: Patch, weight: Patch, mm_per_pixel: float) -> None:
        self.mm_per_pixel = mm_per_pixel
        self.weight = weight.astype(np.float32)
        self.replace(image)

    def replace(self, image: Patch) -> None:
        """Take another picture for the reference, in the same place."""
        self.image = image
        self.steepness = np.hypot(*np.gradient(blurred(image, FINE_MM / self.mm_per_pixel)))
        self.detail = detail(image, self.mm_per_pixel)
        self.slope = (np.gradient(self.detail, axis=0), np.gradient(self.detail, axis=1))

    def ignore(self, where: NDArray[np.bool_]) -> None:
        """Compare these places no longer."""
        self.weight = np.where(where, np.float32(0.0), self.weight)

    def likeness(self, aligned: Patch, held: NDArray[np.uint8]) -> float:
        """Correlation of the band-passed detail of an aligned image with the reference's."""
        w = self.weight * held
        total = float(w.sum())
        if total < 100.0:
            return 0.0
        a, b = detail(aligned, self.mm_per_pixel), self.detail
        a, b = a - float((w * a).sum()) / total, b - float((w * b).sum()) / total
        power = float((w * a * a).sum()) * float((w * b * b).sum())
        return float((w * a * b).sum()) / np.sqrt(power) if power > 0.0 else 0.0

    def polish(self, patch: Patch, held: NDArray[np.uint8], start: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shift (patch pixels) by weighted least squares from ``start``, on the bone's detail."""
        own = detail(patch, self.mm_per_pixel)
        part = np.s_[::2, ::2]
        weight, target = self.weight[part].ravel(), self.detail[part].ravel()
        columns = np.stack([self.slope[0][part].ravel(), self.slope[1][part].ravel(), np.ones_like(target)])
        shift = np.array(start, dtype=np.float64)
        for _ in range(STEPS):
            there = moved(own, shift)[part].ravel()
            seen = moved(held.astype(np.float32), shift, cubic=False)[part].ravel() > 0.99
            step = _solved(columns, there - target, weight * seen)
            shift -= step
            if np.hypot(*step) < STEP_PX:
                break
        return shift

    def offset(self, aligned: Patch, held: NDArray[np.uint8]) -> float:
        """How much denser an aligned image is as a whole: another exposure."""
        part = np.s_[::3, ::3]
        counted = (self.weight[part] * held[part]) > 0.5
        return float(np.median((aligned - self.image)[part][counted])) if counted.any() else 0.0


def _solved(
    columns: NDArray[np.float32], rest: NDArray[np.float32], weight: NDArray[np.float32]
) -> NDArray[np.float64]:
    """One robust step (row, column) that explains the rest."""
    counted = weight > 0.5
    if not counted.any():
        return np.zeros(2)
    off = np.abs(rest - np.median(rest[counted]))
    scale = max(MAD_TO_SIGMA * float(np.median(off[counted])), 1e-6)
    w = weight * np.minimum(1.0, HUBER * scale / np.maximum(off, 1e-9)).astype(np.float32)
    weighted = columns * w
    # a hair against a patch without any structure
    normal = (weighted @ columns.T).astype(np.float64) + np.diag([1e-4, 1e-4, 1e-9])
    step = np.linalg.solve(normal, (weighted @ rest).astype(np.float64))
    return np.asarray(np.clip(step[:2], -2.0, 2.0))


class Aligner:
    """Finds one vertebra again in each image of a stream; it holds where it was last, and nothing that grows."""

    def __init__(self, window: Window, reference: Reference, trusted: float = 0.5) -> None:
        self.window, self.reference = window, reference
        #: Below this likeness the vertebra is not found; it is set from the reference frames themselves.
        self.trusted = trusted
        self.usual = trusted
        self.last = np.zeros(2)

    def align(self, image: NDArray[Any], intensity: Intensity) -> tuple[Motion, Patch, NDArray[np.uint8]]:
        """Motion, the image's line integrals brought onto the reference, and which of them are within the image."""
        best = self._from(image, intensity, self.last, "polished")
        if best[0].likeness < UNUSUAL * self.usual:
            best = max(best, self._correlated(image, intensity), key=lambda b: b[0].likeness)
        if best[0].likeness < self.trusted:
            # the neighbour looks much alike: elsewhere it must be as like as the vertebra was
            elsewhere = self._searched(image, intensity)
            best = elsewhere if elsewhere[0].likeness >= UNUSUAL * self.usual else best
        if best[0].likeness >= self.trusted:
            self.last = np.array(best[0].shift_px)
            self.usual += 0.1 * (best[0].likeness - self.usual)
        return best

    def _cut(self, image: NDArray[Any], intensity: Intensity, at: NDArray[np.float64]) -> tuple[Any, ...]:
        """The patch around a place, what of it is held, and the whole shift that it was cut at."""
        whole = np.rint(at).astype(int)
        values, held = self.window.bare(image, (int(whole[0]), int(whole[1])))
        return line_integrals_of(values, intensity), held, whole

    def _from(
        self, image: NDArray[Any], intensity: Intensity, start: NDArray[np.float64], how: str
    ) -> tuple[Motion, Patch, NDArray[np.uint8]]:
        patch, held, whole = self._cut(image, intensity, start)
        f = self.window.factor
        first = (start - whole) / f
        shift = self.reference.polish(patch, held, first)
        shift = first if np.hypot(*(shift - first)) > POLISH_PX else shift
        aligned = moved(patch, shift)
        kept = (moved(held.astype(np.float32), shift, cubic=False) > 0.99).astype(np.uint8)
        offset = self.reference.offset(aligned, kept)
        likeness = self.reference.likeness(aligned, kept)
        at = whole + f * shift
        return Motion((float(at[0]), float(at[1])), offset, likeness, how), aligned - np.float32(offset), kept

    def _correlated(self, image: NDArray[Any], intensity: Intensity) -> tuple[Motion, Patch, NDArray[np.uint8]]:
        """From the enhanced correlation coefficient."""
        cv2 = opencv()
        patch, _, whole = self._cut(image, intensity, self.last)
        matrix = np.eye(2, 3, dtype=np.float32)
        ends = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-3)
        mask = (self.reference.weight > 0.5).astype(np.uint8)
        try:
            _, matrix = cv2.findTransformECC(
                self.reference.detail,
                detail(patch, self.window.mm_per_pixel),
                matrix,
                cv2.MOTION_TRANSLATION,
                ends,
                mask,
                5,
            )
        except cv2.error:  # it says so where it does not converge: the search is next
            matrix = np.eye(2, 3, dtype=np.float32)
        start = whole + self.window.factor * np.array([matrix[1, 2], matrix[0, 2]], dtype=np.float64)
        return self._from(image, intensity, start, "correlated")

    def _searched(self, image: NDArray[Any], intensity: Intensity) -> tuple[Motion, Patch, NDArray[np.uint8]]:
        """From wherever in the whole image the reference's detail fits best."""
        cv2, w = opencv(), self.window
        coarse = 4 * w.factor
        whole = cv2.resize(
            image.astype(np.float32),
            (image.shape[1] // coarse, image.shape[0] // coarse),
            interpolation=cv2.INTER_AREA,
        )
        scene = detail(line_integrals_of(whole, intensity), 4.0 * w.mm_per_pixel)
        template = cv2.resize(self.reference.detail, (w.shape[1] // 4, w.shape[0] // 4), interpolation=cv2.INTER_AREA)
        edge = max(template.shape) // 2
        scene = cv2.copyMakeBorder(scene, edge, edge, edge, edge, cv2.BORDER_CONSTANT)
        weight = cv2.resize(self.reference.weight, template.shape[::-1], interpolation=cv2.INTER_AREA)
        fit = cv2.matchTemplate(scene, template * weight, cv2.TM_CCORR)
        row, column = np.unravel_index(int(np.argmax(fit)), fit.shape)
        start = coarse * np.array([row - edge, column - edge], dtype=np.float64) - (w.row, w.column)
        return self._from(image, intensity, start, "searched")
