"""How often cement leaks according to published series, beside what a model says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from trocar.injection.leak_series import ANY, BESIDE, CANAL, DISC, RATES, VEINS, Augmentation, Modality, Rate, Unit
from trocar.injection.ways_out import Aetiology
from trocar.measure import Measure

#: The kinds of leak that a measure is given for: a word of its name, and the routes that a series must mean by it.
KINDS = (("any", ANY), ("epidural", CANAL), ("disc", DISC), ("venous", VEINS), ("paravertebral", BESIDE))


def published(aetiology: Aetiology, procedure: Augmentation) -> tuple[Rate, ...]:
    """The rates of series with this aetiology and procedure, those of mixed series last.

    Where no series of that aetiology had that procedure, the rates of the other procedure: each names its own.
    """
    of_kind = [r for r in RATES if r.study.aetiology is aetiology]
    own = [r for r in of_kind if _same(r, procedure)]
    mixed = [r for r in RATES if r.study.aetiology is None and (not own or _same(r, procedure))]
    return (*(own or of_kind), *mixed)


def _same(rate: Rate, procedure: Augmentation) -> bool:
    return Augmentation.EITHER in (procedure, rate.study.procedure) or rate.study.procedure is procedure


def measures(rates: Iterable[Rate]) -> tuple[Measure, ...]:
    """Published rates to stand beside a model's probabilities: ``leak_rate_any_published``, and one for each kind.

    The value is all events over all that were looked at. One series has its Wilson interval; of several the bounds are
    the lowest and highest rate, for they differ by more than chance. Counted per vertebra; without radiographs, which
    show too few; mixed series only where there is no other.
    """
    kept = [r for r in rates if r.study.unit is Unit.VERTEBRA and r.study.modality is not Modality.X_RAY]
    found = ((name, _alone([r for r in kept if r.routes == routes])) for name, routes in KINDS)
    return tuple(_measure(f"leak_rate_{name}_published", of_kind) for name, of_kind in found if of_kind)


def _alone(rates: list[Rate]) -> list[Rate]:
    """Without the mixed series, where there are others."""
    return [r for r in rates if r.study.aetiology is not None] or rates


def _measure(name: str, rates: list[Rate]) -> Measure:
    events, of = sum(r.events for r in rates), sum(r.study.n for r in rates)
    if len(rates) == 1:
        low, high, bounds = *rates[0].share.interval, "95 %"
    else:
        values = [r.share.value for r in rates]
        low, high, bounds = min(values), max(values), "lowest and highest series"
    method = f"Published, not this model: {events} of {of} vertebrae. " + " ".join(
        dict.fromkeys(f"{r.study.source.rstrip('.')}." for r in rates)
    )
    return Measure(name, events / of, "1", low, high, bounds, method)


def table(rates: Iterable[Rate]) -> Mapping[str, list[Any]]:
    """The rates as columns, for a report: what, where, how many of how many, percent with its interval, from where."""
    rows = list(rates)
    columns: dict[str, Callable[[Rate], Any]] = {
        "leak": lambda r: r.name,
        "events": lambda r: r.events,
        "of": lambda r: r.study.n,
        "unit": lambda r: r.study.unit.value,
        "rate_percent": lambda r: 100.0 * r.share.value,
        "low_percent": lambda r: 100.0 * r.share.interval[0],
        "high_percent": lambda r: 100.0 * r.share.interval[1],
        "modality": lambda r: r.study.modality.value,
        "treated": lambda r: r.study.aetiology.value if r.study.aetiology else "mixed",
        "procedure": lambda r: r.study.procedure.value,
        "note": lambda r: r.study.note,
        "source": lambda r: r.study.source,
        "verified": lambda r: r.study.verified,
    }
    return {name: [column(r) for r in rows] for name, column in columns.items()}
