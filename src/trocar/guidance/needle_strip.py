"""A needle in a strip of the image along it: its axis and its ends, finer than a pixel.

The strip's rows run along the needle, its columns across. A needle is a cylinder: across, its density is that of a
round shaft of known width, blurred by the detector, on a background that may slope. Where along the strip that shaft
stands out, and where it ends, is fitted; the standard errors come from what the fit leaves over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.guidance.needle_cover import covered
from trocar.guidance.needle_end import BLUR_PX, CORE_WIDTHS, PLACE_PX, End
from trocar.guidance.needle_lines import MAD_SD, Image, Piece
from trocar.guidance.needle_sampling import STEP_PX, Strip, sampled

#: The strip reaches this many widths to either side.
_REACH_WIDTHS = 2.0
#: Widths of shafts that are tried against the image, as shares of the expected one.
_SCALES = np.arange(0.5, 1.81, 0.1)
#: The axis is fitted again until it stays.
_ROUNDS = 4
#: Residuals beyond this many standard deviations are pulled in (Huber, Ann Math Stat 35:73, 1964).
_HUBER = 1.345
#: A shaft that is followed to this many widths from the image's border runs out of it there.
_BORDER_WIDTHS = 2.0
#: An end is fitted within this many widths to either side of it.
_END_WIDTHS = 5.0
#: The shaft goes on where it has this share of the contrast it had a little before; gaps up to so many widths are
#: bridged.
_SEEN_SHARE, _GAP_WIDTHS = 0.4, 4
#: Less than a fifth of the dose beside the shaft a little before is the dark behind a shutter (natural logarithm).
DARK_LOG = 1.6
#: Falls that are so many widths longer than the needle's own end are tried, for what adjoins it (a little cement); one
#: is believed where it explains this much more (twice the logarithm of the likelihoods' ratio), from so many widths
#: before the end to so many beyond it.
_DRAWN_WIDTHS, _DRAWN_GAIN, _NEAR_WIDTHS = np.array((0.0, 0.25, 0.5, 0.75, 1.0)), 9.0, (2.0, 2.0)
#: Fewer samples tell no shape.
_LEAST_SAMPLES = 12
#: The contrast a little before is that of so many widths.
_LEVEL_WIDTHS = 8
#: What a model of a straight round shaft leaves out, pixels: added to every standard error (ours, see
#: docs/tracking.md).
MODEL_PX = 0.1
#: The fall of a slanted end is known to this share of its length (ours, see docs/tracking.md): hardening and scatter.
SLANT_SHARE = 0.1

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """What a needle looks like in an image: its width, its bore as a share of that, the length of its flat end there.

    ``exponent`` is what the beam meets in the steel along its middle (attenuation times thickness); ``logarithmic``
    whether the image's values are its natural logarithm, so that scatter can be told from them.
    """

    width_px: float
    bore_share: float = 0.0
    slant_px: float = 0.0
    exponent: float = 3.0
    logarithmic: bool = True


@dataclass(frozen=True, eq=False)
class Shaft:
    """A shaft as fitted: its line with both ends, and how sure that is.

    ``across_se_px`` and ``angle_se_rad`` are standard errors of the axis at its middle, ``ends_se_px`` of both ends
    along it. ``contrast`` is its height in the density image, ``noise`` the residual there, ``scale`` its width as a
    share of the expected one, ``seen_share`` how much of its length stands out, ``lesser`` by how much from the side it
    stands out from less. ``beyond`` says how much denser the
    image is behind each end than beside the shaft before it; ``edge`` whether an end lies at the image's border;
    ``covered`` whether something dense and wider than the needle lies about it (:mod:`trocar.guidance.needle_cover`).
    """

    line: Piece
    across_se_px: float
    angle_se_rad: float
    ends_se_px: tuple[float, float]
    contrast: float
    noise: float
    scale: float
    seen_share: float
    lesser: float
    beyond: tuple[float, float]
    edge: tuple[bool, bool]
    covered: tuple[bool, bool]


def fitted(dense: Image, start: Piece, kind: Kind) -> Shaft | None:
    """The shaft nearest to a piece of line; None where no shaft of about that width stands out there."""
    line, width, spread = start, kind.width_px, (math.inf, math.inf)
    for _ in range(_ROUNDS):
        moved, spread = _straightened(sampled(dense, line, width, _REACH_WIDTHS), line, width)
        if moved is None:
            return None
        line = moved
    strip = sampled(dense, line, width, _REACH_WIDTHS, whole=True)
    height = _heights(strip.values, strip.across, width)
    run = _run(height, _ground(strip, width), strip.along, line, width)
    if run is None:
        return None
    return _described(dense, strip, height, line, run, spread, kind)


def profile(across: Vector, width: float, bore_share: float = 0.0) -> Vector:
    """The density of a round rod across it, at most 1, blurred by the detector; with a bore, that of a tube."""
    fine = np.linspace(-0.5, 0.5, 11) * STEP_PX
    at = 2.0 * (across[:, None] + fine) / width
    chord = np.sqrt(np.maximum(1.0 - at**2, 0.0)) - np.sqrt(np.maximum(bore_share**2 - at**2, 0.0))
    return ndimage.gaussian_filter1d(chord.mean(axis=1), BLUR_PX / STEP_PX)


def _filters(across: Vector, width: float, shifts: Vector, bore_share: float = 0.0) -> NDArray[np.float64]:
    """For each shift the weights whose sum with a profile is the height of a shaft there (least squares)."""
    ground = np.stack((np.ones_like(across), across / np.abs(across).max()))
    return np.stack([np.linalg.pinv(np.vstack((profile(across - d, width, bore_share), ground)).T)[0] for d in shifts])


def _heights(values: NDArray[np.float64], across: Vector, width: float, bore_share: float = 0.0) -> Vector:
    """The shaft's height at each place along the strip's middle."""
    return np.asarray(values @ _filters(across, width, np.zeros(1), bore_share)[0])


def _straightened(strip: Strip, line: Piece, width: float) -> tuple[Piece | None, tuple[float, float]]:
    """The line moved onto the shaft in the strip, and the standard errors of its place and angle."""
    block = max(2, round(max(width, 4.0) / STEP_PX))
    n = len(strip.along) // block
    if n < 4:
        return None, (math.inf, math.inf)
    values = strip.values[: n * block].reshape(n, block, -1).mean(axis=1)
    at = strip.along[: n * block].reshape(n, block).mean(axis=1)
    reach = 1.0 * width
    shifts = np.arange(-reach, reach + 1e-9, 0.25)
    scores = values @ _filters(strip.across, width, shifts).T
    offsets, heights = _peaks(scores, shifts)
    usual = float(np.median(heights))
    if usual <= 0.0:
        return None, (math.inf, math.inf)
    seen = (heights > _SEEN_SHARE * usual) & (np.abs(offsets) < reach)
    if seen.sum() < 4:
        return None, (math.inf, math.inf)
    a, b, spread = _robust_line(at[seen], offsets[seen])
    middle = 0.5 * (line.low + line.high)
    turn = math.atan(b)
    way = math.cos(turn) * line.way + math.sin(turn) * line.normal
    point = line.point + middle * line.way + (a + b * middle) * line.normal
    half = 0.5 * line.length
    return Piece(point, way, -half, half), spread


def _peaks(scores: NDArray[np.float64], shifts: Vector) -> tuple[Vector, Vector]:
    """Where each row is highest, between its samples (parabola), and how high."""
    best = np.clip(scores.argmax(axis=1), 1, len(shifts) - 2)
    rows = np.arange(len(scores))
    before, here, after = (scores[rows, best + d] for d in (-1, 0, 1))
    bend = before - 2.0 * here + after
    part = np.where(bend < 0.0, 0.5 * (before - after) / np.where(bend < 0.0, bend, -1.0), 0.0)
    return shifts[best] + np.clip(part, -1.0, 1.0) * (shifts[1] - shifts[0]), here


def _robust_line(x: Vector, y: Vector) -> tuple[float, float, tuple[float, float]]:
    """Offset and slope of ``y`` over ``x``, and the standard errors of the offset at the middle and of the slope."""
    weights = np.ones_like(x)
    for _ in range(8):
        slope, offset = np.polyfit(x, y, 1, w=np.sqrt(weights))
        rest = y - offset - slope * x
        sd = max(MAD_SD * float(np.median(np.abs(rest))), 1e-3)
        weights = np.minimum(1.0, _HUBER * sd / np.maximum(np.abs(rest), 1e-12))
    n = float(weights.sum())
    about = x - np.average(x, weights=weights)
    across = math.hypot(sd / math.sqrt(n), MODEL_PX)
    reach = float(np.sqrt(np.sum(weights * about**2)))
    return float(offset), float(slope), (across, math.hypot(sd / reach, MODEL_PX / max(float(np.ptp(x)), 1.0)))


def _ground(strip: Strip, width: float) -> Vector:
    """How dense it is beside the shaft, along the strip."""
    return np.asarray(strip.values[:, np.abs(strip.across) > 0.9 * width].mean(axis=1))


def _run(height: Vector, ground: Vector, along: Vector, line: Piece, width: float) -> tuple[int, int] | None:
    """First and last sample of the shaft: followed from within the line that was found, to either side.

    Scatter makes the same steel stand out less behind more tissue: what counts is the contrast a little before.
    """
    block = max(2, round(width / STEP_PX))
    own = np.flatnonzero((along >= line.low) & (along <= line.high))
    if len(own) < 2 * block:
        return None
    smooth = ndimage.uniform_filter1d(height, _LEVEL_WIDTHS * block // 2)
    # the line that was found may reach beyond the shaft: start where most of it stands out
    out = own[smooth[own] > 0.5 * np.percentile(smooth[own], 75)]
    least = 3.0 * _noise(height) * math.sqrt(2.0 / block)
    if len(out) == 0 or smooth[out[len(out) // 2]] <= least:
        return None
    start = int(out[len(out) // 2])
    level = float(smooth[start])
    first = _follow(height[start::-1], ground[start::-1], block, level, least)
    last = _follow(height[start:], ground[start:], block, level, least)
    return start - first, start + last


def _follow(height: Vector, ground: Vector, block: int, level: float, least: float) -> int:
    """The last sample of a shaft that stands out by about ``level`` at the first one.

    Where all at once hardly any dose arrives (a shutter) nothing is followed: what is seen there is noise.
    """
    means, beside = (v[: len(v) // block * block].reshape(-1, block).mean(axis=1) for v in (height, ground))
    last, recent = 0, [level]
    for n, mean in enumerate(means):
        if beside[n] - np.median(beside[max(0, n - _LEVEL_WIDTHS) : n + 1]) > DARK_LOG:
            break
        if mean > max(_SEEN_SHARE * float(np.median(recent)), least):
            last = n
            recent = [*recent, float(mean)][-_LEVEL_WIDTHS:]
        elif n - last > _GAP_WIDTHS:
            break
    return min((last + 1) * block, len(height) - 1)


def _described(
    dense: Image,
    strip: Strip,
    height: Vector,
    line: Piece,
    run: tuple[int, int],
    spread: tuple[float, float],
    kind: Kind,
) -> Shaft:
    first, last = run
    width = kind.width_px
    scale, hollow = _scale(np.median(strip.values[first : last + 1], axis=0), strip.across, kind)
    low, low_se = _end(strip, first, -1, hollow, kind)
    high, high_se = _end(strip, last, 1, hollow, kind)
    usual = float(np.median(height[first : last + 1]))
    body = Piece(line.point, line.way, low, high)
    return Shaft(
        body,
        *spread,
        (low_se, high_se),
        usual,
        _noise(height),
        scale,
        float((height[first : last + 1] > 0.5 * _SEEN_SHARE * usual).mean()),
        _lesser(strip, first, last, width),
        (_behind(strip, first, -1, width), _behind(strip, last, 1, width)),
        (low - strip.along[0] < width, strip.along[-1] - high < width),
        covered(dense, body, width, usual),
    )


def _middle(strip: Strip, width: float) -> Vector:
    """How much denser than both flanks the middle is, along the strip."""
    off = np.abs(strip.across)
    core, flank = off <= max(CORE_WIDTHS * width, STEP_PX), (off >= 0.8 * width) & (off <= 1.6 * width)
    return np.asarray(strip.values[:, core].mean(axis=1) - strip.values[:, flank].mean(axis=1))


def _noise(height: Vector) -> float:
    """The standard deviation of one sample of the heights, from the differences of samples a few pixels apart."""
    lag = round(2.0 / STEP_PX)
    return MAD_SD * float(np.median(np.abs(height[lag:] - height[:-lag]))) / math.sqrt(2.0)


def _end(strip: Strip, near: int, sense: int, hollow: bool, kind: Kind) -> tuple[float, float]:
    """Where the shaft ends near sample ``near``, and its standard error: the end's shape, fitted by least squares."""
    width = kind.width_px
    border = len(strip.along) - 1 if sense > 0 else 0
    if abs(border - near) * STEP_PX < _BORDER_WIDTHS * width:
        return float(strip.along[border]), math.inf
    # a tube shows at its walls, a solid shaft best in its middle, where it is equally thick
    values = _heights(strip.values, strip.across, width, kind.bore_share) if hollow else _middle(strip, width)
    reach = round(_END_WIDTHS * max(width, 3.0) / STEP_PX)
    before = slice(max(0, near - reach), near + 1) if sense > 0 else slice(near, near + reach + 1)
    shown = float(np.median(values[before]))
    full = kind.exponent * ((1.0 - kind.bore_share) if hollow else 1.0)
    part = slice(max(0, near - reach), min(len(values), near + reach + 1))
    s, h = sense * strip.along[part], values[part]
    shapes = [
        End.of(kind.slant_px + x, width, full, shown if kind.logarithmic else full) for x in _DRAWN_WIDTHS * width
    ]
    found = _fitted_end(s, h, shapes[0])
    close = (s > found.place - _NEAR_WIDTHS[0] * width) & (s < found.place + _NEAR_WIDTHS[1] * width)
    drawn = _drawn_px(s[close], h[close], shapes, width) if close.sum() > _LEAST_SAMPLES else 0.0
    return sense * found.place, math.hypot(found.se, MODEL_PX, SLANT_SHARE * kind.slant_px, 0.5 * drawn)


def _drawn_px(s: Vector, h: Vector, shapes: list[End], width: float) -> float:
    """By how much the fall is longer than the needle's own end, pixels, where that explains it clearly better."""
    rests = [max(_fitted_end(s, h, shape).rest, 1e-12) for shape in shapes]
    best = int(np.argmin(rests))
    # neighbouring samples share pixels: the information is that of one sample a pixel
    gain = len(s) * STEP_PX * math.log(rests[0] / rests[best])
    return float(_DRAWN_WIDTHS[best] * width) if gain > _DRAWN_GAIN else 0.0


@dataclass(frozen=True)
class _EndFit:
    """Where an end is along the strip, outwards, its standard error by the fit alone, and the mean square left over."""

    place: float
    se: float
    rest: float


def _fitted_end(s: Vector, h: Vector, shape: End) -> _EndFit:
    """The end's place by least squares; ``s`` runs outwards."""
    places = np.arange(min(s[0], s[-1]), max(s[0], s[-1]), PLACE_PX)
    step = shape.at(s - places[:, None])
    # two unknown levels: what remains after the best of them, for every place at once
    centred = step - step.mean(axis=1, keepdims=True)
    power = np.maximum(np.sum(centred**2, axis=1), 1e-9)
    rise = np.maximum(centred @ h / power, 0.0)
    gain = rise * rise * power
    best = int(np.clip(gain.argmax(), 1, len(places) - 2))
    before, here, after = gain[best - 1 : best + 2]
    bend = before - 2.0 * here + after
    place = places[best] + (0.5 * PLACE_PX * (before - after) / bend if bend < 0.0 else 0.0)
    rest = float(np.mean((h - h.mean() - rise[best] * centred[best]) ** 2))
    # neighbouring samples share pixels: the information is that of one sample a pixel
    slope = rise[best] ** 2 * float(np.sum(np.gradient(step[best], STEP_PX) ** 2)) * STEP_PX
    return _EndFit(float(place), math.sqrt(rest / slope) if slope > 0.0 else math.inf, rest)


def _scale(shape: Vector, across: Vector, kind: Kind) -> tuple[float, bool]:
    """The width that leaves least over, as a share of the expected one, and whether a tube fits better than a rod."""
    ground = np.stack((np.ones_like(across), across / np.abs(across).max()))

    def left(scale: float, bore: float) -> float:
        basis = np.vstack((profile(across, scale * kind.width_px, bore), ground)).T
        return float(np.sum((shape - basis @ np.linalg.lstsq(basis, shape, rcond=None)[0]) ** 2))

    tried = {(s, b): left(s, b) for s in _SCALES for b in {0.0, kind.bore_share}}
    scale, bore = min(tried, key=lambda k: tried[k])
    return float(scale), bore > 0.0


def _lesser(strip: Strip, first: int, last: int, width: float) -> float:
    """How much the middle stands out from the flank that is more like it: nothing at the edge of something."""
    off, body = strip.across, strip.values[first : last + 1]
    core = np.median(body[:, np.abs(off) <= max(CORE_WIDTHS * width, STEP_PX)])
    flanks = [np.median(body[:, (side * off >= 0.8 * width) & (side * off <= 1.6 * width)]) for side in (-1.0, 1.0)]
    return float(core - max(flanks))


def _behind(strip: Strip, end: int, sense: int, width: float) -> float:
    """How much denser the image is beyond an end, on the axis, than the flanks before it; infinite beyond the image."""
    n, skip = round(3.0 * width / STEP_PX), round(1.5 * width / STEP_PX)
    beyond = slice(end + skip, end + skip + n) if sense > 0 else slice(max(0, end - skip - n), max(0, end - skip))
    before = slice(max(0, end - n), end) if sense > 0 else slice(end, end + n)
    flank, middle = np.abs(strip.across) > 0.9 * width, np.abs(strip.across) < 0.3 * width
    if strip.values[beyond].size == 0:
        return math.inf
    return float(np.median(strip.values[beyond][:, middle]) - np.median(strip.values[before][:, flank]))
