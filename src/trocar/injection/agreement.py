"""Whether a model's leaks are as frequent as published ones, and what it means where they are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trocar.injection.risk import Share
from trocar.measure import Finding, Measure, Severity

#: What to do with a volume to stop at that comes from a model which leaks otherwise than patients do.
READ_AS = "read its stop volumes as comparisons, not as safe volumes"
#: The same in a few words, beside such a volume.
BRIEFLY = "the model's leaks are not as frequent as published: a comparison, not a safe volume"


@dataclass(frozen=True)
class Apart:
    """A kind of leak whose interval in the model and whose published one have nothing in common."""

    kind: str
    model: Share
    published: Measure

    @property
    def less(self) -> bool:
        """Whether the model leaks less often."""
        return self.model.value < self.published.value

    def __str__(self) -> str:
        name = "any leak" if self.kind == "any" else self.kind
        own = _percent(self.model.value, *self.model.interval)
        return f"{name} {own} against {_percent(self.published.value, *_bounds(self.published))}"


def apart(shares: Mapping[str, Share], published: Iterable[Measure]) -> tuple[Apart, ...]:
    """The kinds of leak that do not agree, in the order of ``shares``.

    ``shares`` are the model's by kind, ``published`` the measures of :func:`trocar.injection.published.measures`. A
    kind that nobody published, or that the model does not have, is left out.
    """
    found = {m.name: m for m in published}
    pairs = ((kind, share, found.get(f"leak_rate_{kind}_published")) for kind, share in shares.items())
    return tuple(Apart(kind, share, m) for kind, share, m in pairs if m is not None and _disjoint(share, m))


def disagreement(found: Iterable[Apart]) -> tuple[Finding, ...]:
    """One finding for all of them; none where there is none."""
    less, more = ([a for a in found if a.less is side] for side in (True, False))
    told = {"less": less, "more": more}
    parts = [f"{word} often than published: {'; '.join(map(str, each))}" for word, each in told.items() if each]
    if not parts:
        return ()
    text = f"This model leaks {'. It leaks '.join(parts)}. {READ_AS[:1].upper()}{READ_AS[1:]}."
    because = "the computed and the published intervals have nothing in common; the model is not fitted to them"
    return (Finding(Severity.CAUTION, text, because),)


def _disjoint(share: Share, measure: Measure) -> bool:
    """Whether they have no whole percent in common: so that what is told apart also reads so."""
    (low, high), (least, most) = ([round(100.0 * b) for b in bounds] for bounds in (share.interval, _bounds(measure)))
    return high < least or most < low


def _bounds(measure: Measure) -> tuple[float, float]:
    """The interval; the value twice where there is none."""
    low, high = (measure.value if bound is None else bound for bound in (measure.low, measure.high))
    return low, high


def _percent(value: float, low: float, high: float) -> str:
    return f"{100.0 * value:.0f} % ({100.0 * low:.0f} to {100.0 * high:.0f})"
