"""Names and numbers as a reader sees them: one decimal, the unit, no underscores."""

from __future__ import annotations

import math
import re

from trocar.measure import ROUNDING, SMALL, Measure, unit_text

#: American names in label schemes, in the spelling of the report.
_BRITISH = {"esophagus": "oesophagus"}


def plain(name: str) -> str:
    """A name for people: ``lung_left`` becomes "left lung", ``rib_left_9`` "left rib 9"."""
    match = re.fullmatch(r"(.+?)_(left|right)(_.+)?", name)
    if match:
        name = f"{match[2]}_{match[1]}{match[3] or ''}"
    return " ".join(_BRITISH.get(word, word) for word in name.split("_"))


def title(name: str) -> str:
    """The same with a capital."""
    text = plain(name)
    return text[:1].upper() + text[1:]


#: Units whose numbers run to thousands: no decimals, a thin space before every third digit.
_LARGE = {"N", "N/mm", "N.mm2", "N.mm2/mm2"}
_THIN = "\N{NARROW NO-BREAK SPACE}"


def number(value: float, unit: str = "mm") -> str:
    """One decimal; forces, counts and grades without any, ratios two; two digits of what is small. Never "-0.0"."""
    if not math.isfinite(value):
        return "–"
    if unit in _LARGE:
        return f"{value + 0.0:,.0f}".replace(",", _THIN) if abs(value) >= 0.5 else "0"
    if unit == "1":
        if 0.0 < abs(value) < 0.1:
            return f"{value:.2g}"
        return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}"
    if ROUNDING < abs(value) < SMALL:
        return f"{value:.{1 - math.floor(math.log10(abs(value)))}f}".rstrip("0")
    return f"{value:.1f}" if abs(value) >= SMALL else "0.0"


def unit_words(unit: str) -> str:
    """A UCUM unit as it is printed, squares and cubes raised."""
    for ascii_, printed in (("Cel", "°C"), ("m2", "m²"), ("m3", "m³"), ("N.m/deg", "N m/°")):
        unit = unit.replace(ascii_, printed)
    return unit_text(unit)


def amount(measure: Measure) -> str:
    """A measure's value with its interval and unit; probabilities as percentages."""
    if is_probability(measure):
        return percent(measure)
    text = number(measure.value, measure.unit)
    if bounds := bounds_words(measure):
        text += f" ({bounds})"
    unit = unit_words(measure.unit)
    return f"{text}{'' if unit in ('', '°') else ' '}{unit}"


def bounds_words(measure: Measure) -> str:
    """The interval without brackets and unit; empty without one, and where it prints as the value itself."""
    if measure.low is None or measure.high is None:
        return ""
    value, low, high = (number(v, measure.unit) for v in (measure.value, measure.low, measure.high))
    return "" if low == value == high else f"{low} to {high}"


def phrase(text: str) -> str:
    """Words of others with units as the tables write them: "mL", "mm²", "°C"."""
    for written, printed in ((r"\bml\b", "mL"), (r"\bdegC\b", "°C"), (r"\bmm2\b", "mm²"), (r"\bmm3\b", "mm³")):
        text = re.sub(written, printed, text)
    return text


def sentence(text: str) -> str:
    """The same with a capital."""
    return phrase(text[:1].upper() + text[1:])


def is_probability(measure: Measure) -> bool:
    """Whether a measure is a chance between 0 and 1."""
    return "probability" in measure.name and measure.unit == "1"


def percent(measure: Measure) -> str:
    """A probability as a percentage with its interval."""
    text = f"{100.0 * measure.value:.1f} %"
    if measure.low is not None and measure.high is not None:
        text += f" ({100.0 * measure.low:.1f} to {100.0 * measure.high:.1f})"
    return text
