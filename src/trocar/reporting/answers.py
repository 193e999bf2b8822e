"""Stiffness and strength by scenario, read from the names of a simulation's measures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from trocar.measure import Measure
from trocar.reporting.words import sentence, title


class Question(Enum):
    """What is asked of the loaded vertebra; the value is how its measures' names begin.

    The strengths follow :class:`trocar.physics.strength.Criterion`.
    """

    STIFFNESS = "stiffness"
    BY_STIFFNESS = "strength_stiffness"
    BY_OFFSET = "strength_offset"
    BY_SECTION = "strength_section"

    @property
    def head(self) -> str:
        """The heading of its column."""
        return _HEADS[self]

    @property
    def meaning(self) -> str:
        """One sentence on what it is."""
        return _MEANINGS[self]


#: Strengths that are read from moduli, without letting anything yield.
FROM_MODULI = (Question.BY_STIFFNESS, Question.BY_SECTION)
STRENGTHS = (Question.BY_STIFFNESS, Question.BY_OFFSET, Question.BY_SECTION)

_HEADS = {
    Question.STIFFNESS: "Stiffness",
    Question.BY_STIFFNESS: "Strength from stiffness",
    Question.BY_OFFSET: "Strength at 0.2 % offset",
    Question.BY_SECTION: "Strength of the weakest section",
}
_MEANINGS = {
    Question.STIFFNESS: "The load for each millimetre of shortening, before anything yields.",
    Question.BY_STIFFNESS: "The load at a fixed shortening, from the stiffness: it holds if bone fails at one strain.",
    Question.BY_OFFSET: "The load at which bone that yields keeps a shortening of 0.2 % of its height.",
    Question.BY_SECTION: "The load at which the cross-section of least axial rigidity gives way, from the moduli "
    "alone, without finite elements. In published tests it predicts as well as they do; read it beside them.",
}

#: Scenarios in the words of the report; others are told by their name.
_SCENARIOS = {
    "as_is": "As scanned",
    "lysed": "With the lysis",
    "augmented": "With cement",
    "inflated": "Balloon full",
    "deflated": "Balloon empty",
}


def scenario_words(scenario: str) -> str:
    """A scenario as the reader sees it."""
    return _SCENARIOS.get(scenario, title(scenario))


@dataclass(frozen=True)
class Answers:
    """Every stiffness and strength, ``by[question][scenario]``, scenarios in the order they were computed."""

    by: dict[Question, dict[str, Measure]]

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Every scenario that has an answer."""
        return tuple(dict.fromkeys(s for found in self.by.values() for s in found))

    @property
    def reference(self) -> str:
        """What the others are compared with: the intact vertebra where there is one, else the first scenario."""
        return "intact" if "intact" in self.scenarios else self.scenarios[0]

    @property
    def measures(self) -> tuple[Measure, ...]:
        """All of them, question by question."""
        return tuple(m for found in self.by.values() for m in found.values())

    @property
    def ends(self) -> str:
        """Between which ends all were loaded, e.g. "between PMMA caps"; empty where the methods differ or say none."""
        found = {m[0] if (m := re.search(r"between [^,;.]+", measure.method)) else "" for measure in self.measures}
        return found.pop() if len(found) == 1 else ""

    @property
    def crushed(self) -> bool:
        """Whether there is crushed bone: strengths that are read from its moduli are too low."""
        return "fractured" in self.scenarios

    def share(self, question: Question, scenario: str) -> float | None:
        """An answer as a share of the reference's; None where either is missing."""
        found = self.by.get(question, {})
        if scenario not in found or self.reference not in found or found[self.reference].value <= 0.0:
            return None
        return found[scenario].value / found[self.reference].value


def answers(measures: Iterable[Measure]) -> Answers:
    """The stiffnesses and strengths among some measures.

    What ends in another scenario's name is none: ``stiffness_tilting_as_is`` is another measure of ``as_is``.
    """
    found = [(question, scenario, m) for m in measures for question, scenario in [_asked(m)] if question is not None]
    named = {scenario for _, scenario, _ in found}
    by: dict[Question, dict[str, Measure]] = {q: {} for q in Question}
    for question, scenario, measure in found:
        if not any(scenario.endswith(f"_{other}") for other in named):
            by[question][scenario] = measure
    return Answers({q: each for q, each in by.items() if each})


def _asked(measure: Measure) -> tuple[Question | None, str]:
    """What a measure answers and for which scenario; None where it is another kind of number."""
    question = next((q for q in Question if measure.name.startswith(f"{q.value}_")), None)
    return question, measure.name.removeprefix(f"{question.value}_") if question else ""


@dataclass(frozen=True)
class Told:
    """How answers were computed: what holds for all, for each scenario and for each question alone."""

    all: str
    scenario: dict[str, str]
    question: dict[Question, str]


def told(found: Answers) -> Told:
    """The sentences of all methods, each where it belongs."""
    start = _start(found.measures)
    common = [t for t in _common(found.measures) if t not in start]
    by_scenario = {s: _common(by[s] for by in found.by.values() if s in by) for s in found.scenarios}
    by_question = {q: _common(by.values()) for q, by in found.by.items()}
    return Told(
        " ".join(common),
        {s: " ".join(t for t in sentences if t not in common) for s, sentences in by_scenario.items()},
        {q: " ".join(t for t in sentences if t not in (*common, *start)) for q, sentences in by_question.items()},
    )


def _start(measures: Iterable[Measure]) -> list[str]:
    """What the methods of all begin with, if more follows: the vertebra that every scenario starts from."""
    each = [_sentences(m) for m in measures]
    same = [len(set(sentences)) == 1 for sentences in zip(*each, strict=False)]
    start = each[0][: (*same, False).index(False)] if each else []
    return start if all(len(sentences) > len(start) for sentences in each) else []


def _common(measures: Iterable[Measure]) -> list[str]:
    """The sentences that the methods of all the measures share."""
    each = [_sentences(m) for m in measures]
    return [s for s in dict.fromkeys(each[0]) if all(s in sentences for sentences in each)] if each else []


def spread(found: Answers) -> str:
    """What the intervals of the answers mean; one that another says too, and more, is left out."""
    told = dict.fromkeys(m.interval for m in found.measures if m.interval)
    return "; ".join(t for t in told if not any(o != t and o.startswith(t) for o in told))


def spread_words(found: Answers) -> str:
    """What an interval is and what it is not; empty without one."""
    told = spread(found)
    return told and (
        f"{sentence(told)}. A spread of published laws of bone and limits of cement, not a confidence interval: the "
        "default law is often the lowest of them, and the calibration's own uncertainty is not in it."
    )


def methods(measures: Iterable[Measure]) -> str:
    """How some measures were computed: each sentence once."""
    return " ".join(dict.fromkeys(s for m in measures for s in _sentences(m)))


def shared_methods(rows: Sequence[Iterable[Measure]]) -> tuple[tuple[str, ...], str]:
    """How each of some rows was computed, without what holds for all of them, and that."""
    told = [dict.fromkeys(s for m in row for s in _sentences(m)) for row in rows]
    common = [s for s in (told[0] if len(told) > 1 else ()) if all(s in row for row in told)]
    return tuple(" ".join(s for s in row if s not in common) for row in told), " ".join(common)


def grouped_methods(rows: Mapping[str, Iterable[Measure]], known: Iterable[str]) -> tuple[tuple[str, ...], str]:
    """How each of some named rows was computed, each sentence once: in its row where it is of that row alone, else
    after the names of its rows. What is ``known`` (said elsewhere) is left out.
    """
    said = {s for text in known for s in split_sentences(text)}
    told = {name: [s for s in dict.fromkeys(t for m in row for t in _sentences(m)) if s not in said]
            for name, row in rows.items()}  # fmt: skip
    groups: dict[tuple[str, ...], list[str]] = {}
    for text in dict.fromkeys(s for row in told.values() for s in row):
        groups.setdefault(tuple(n for n, row in told.items() if text in row), []).append(text)
    shared = (f"{', '.join(names)}: {' '.join(texts)}" for names, texts in groups.items() if len(names) > 1)
    alone = tuple(" ".join(groups.get((name,), ())) for name in rows)
    return alone, " ".join(shared)


def _sentences(measure: Measure) -> list[str]:
    return split_sentences(f"{sentence(measure.method).rstrip('.')}." if measure.method else "")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, each with its full stop."""
    return [s for s in re.split(r"(?<=[.])\s+(?=[A-Z0-9])", text) if s]
