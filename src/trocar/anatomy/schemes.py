"""Label schemes: which number, or which code, means which structure.

The numbers live in ``data/schemes.json``. The same number means different things in different
schemes (26 is S1, L6, the sacrum or T9), so a scheme is always named, never guessed from numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Any

from trocar.anatomy.levels import Level
from trocar.errors import LabelSchemeError

#: Structures that some schemes split and the planner wants whole.
JOINED = {
    "lung_upper_lobe_left": "lung_left",
    "lung_lower_lobe_left": "lung_left",
    "lung_upper_lobe_right": "lung_right",
    "lung_middle_lobe_right": "lung_right",
    "lung_lower_lobe_right": "lung_right",
    "heart_myocardium": "heart",
    "heart_atrium_left": "heart",
    "heart_ventricle_left": "heart",
    "heart_atrium_right": "heart",
    "heart_ventricle_right": "heart",
}


class Kind(Enum):
    """What a label is: a whole vertebra, a part of vertebrae, or anything else."""

    VERTEBRA = "vertebra"
    SUBREGION = "subregion"
    STRUCTURE = "structure"


@dataclass(frozen=True)
class Meaning:
    """What one number stands for: a level's name for a vertebra, otherwise a structure's name."""

    kind: Kind
    name: str

    @property
    def level(self) -> Level:
        """The level of a vertebra; raises ``ValueError`` for anything else."""
        return Level.parse(self.name)


@dataclass(frozen=True)
class Scheme:
    """A numbering: ``meanings`` maps a label's number to what it stands for."""

    name: str
    meanings: dict[int, Meaning] = field(default_factory=dict)
    about: str = ""

    @property
    def levels(self) -> dict[int, Level]:
        """The numbers that stand for whole vertebrae."""
        return {n: m.level for n, m in self.meanings.items() if m.kind is Kind.VERTEBRA}


def scheme(name: str) -> Scheme:
    """The built-in scheme of that name; raises :class:`LabelSchemeError` listing the names there are."""
    known = schemes()
    if name not in known:
        raise LabelSchemeError(
            f"label scheme {name!r} is not known: use one of {', '.join(known)}, or the path of your own JSON file."
        )
    return known[name]


@cache
def schemes() -> dict[str, Scheme]:
    """All built-in schemes by name."""
    text = files("trocar.anatomy").joinpath("data/schemes.json").read_text(encoding="utf-8")
    return {name: _built_in(name, entry) for name, entry in json.loads(text).items()}


def _built_in(name: str, entry: dict[str, Any]) -> Scheme:
    sections = {Kind.VERTEBRA: "vertebrae", Kind.STRUCTURE: "structures", Kind.SUBREGION: "subregions"}
    meanings = {
        number: Meaning(kind, label)
        for kind, section in sections.items()
        for label, numbers in entry[section].items()
        for number in (numbers if isinstance(numbers, list) else [numbers])
    }
    return Scheme(name, meanings, entry["about"])


def meaning(name: str) -> Meaning:
    """What a structure's name stands for: "L1" or "vertebrae_L1" a vertebra, "lung_upper_lobe_left" a part of a lung."""
    try:
        return Meaning(Kind.VERTEBRA, str(Level.parse(name)))
    except ValueError:
        plain = name.strip().lower().replace(" ", "_")
        kind = Kind.SUBREGION if plain in subregion_names() else Kind.STRUCTURE
        return Meaning(kind, JOINED.get(plain, plain))


@cache
def subregion_names() -> frozenset[str]:
    """The names of parts of vertebrae that any built-in scheme gives."""
    return frozenset(m.name for s in schemes().values() for m in s.meanings.values() if m.kind is Kind.SUBREGION)


def own_scheme(text: str, where: str) -> Scheme:
    """A user's scheme from JSON: ``{"name": "ours", "labels": {"7": "L1", "12": "aorta"}}``.

    ``where`` names the file in the sentences of a :class:`LabelSchemeError`.
    """
    try:
        entry = json.loads(text, object_pairs_hook=lambda pairs: _unrepeated(pairs, where))
    except json.JSONDecodeError as error:
        raise LabelSchemeError(f"{where} is not JSON (line {error.lineno}: {error.msg}).") from error
    labels = entry.get("labels") if isinstance(entry, dict) else None
    if not isinstance(labels, dict) or not labels:
        raise LabelSchemeError(f'{where} lacks its labels: write {{"name": "ours", "labels": {{"7": "L1"}}}}.')
    meanings = {_number(key, where): _own_meaning(key, value, where) for key, value in labels.items()}
    _check_unique(meanings, where)
    return Scheme(str(entry.get("name") or where), meanings)


def _unrepeated(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise LabelSchemeError(f"{where} names {key!r} twice: keep one.")
        seen[key] = value
    return seen


def _number(key: str, where: str) -> int:
    if not key.strip().isdecimal() or int(key) == 0:
        raise LabelSchemeError(f"{where}: label {key!r} is not a whole number of 1 or more.")
    return int(key)


def _own_meaning(key: str, value: Any, where: str) -> Meaning:
    if not isinstance(value, str) or not value.strip():
        raise LabelSchemeError(f'{where}: label {key} must be a name such as "L1" or "aorta", not {value!r}.')
    found = meaning(value)
    if found.kind is not Kind.VERTEBRA and _looks_like_level(found.name):
        raise LabelSchemeError(
            f"{where}: label {key} is {value!r}, which is not a vertebra: use C1 to C7, T1 to T13, L1 to L6 or S1."
        )
    return found


def _looks_like_level(name: str) -> bool:
    stem = name.removeprefix("vertebrae_").removeprefix("vertebra_")
    return stem != name or (stem.rstrip("0123456789") in ("c", "t", "th", "d", "l", "s") and stem[-1].isdigit())


def _check_unique(meanings: dict[int, Meaning], where: str) -> None:
    first: dict[str, int] = {}
    for number, found in meanings.items():
        if found.kind is Kind.VERTEBRA and found.name in first:
            raise LabelSchemeError(f"{where}: {first[found.name]} and {number} both say {found.name}: keep one.")
        first.setdefault(found.name, number)
