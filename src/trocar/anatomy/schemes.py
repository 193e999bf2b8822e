"""Label schemes: which number, code or name means which structure.

The numbers and codes live in ``data/schemes.json``. The same number means different things in
different schemes (26 is S1, L6, the sacrum or T9), so a scheme is named by the user or read from
what a file says of itself, and never guessed from numbers.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Any

from trocar.anatomy.levels import Level
from trocar.errors import LabelSchemeError

#: Structures that some schemes divide and the planner wants whole.
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

#: SNOMED CT: the left, and the right, half of the body.
LATERALITY = {"7771000": "left", "24028007": "right"}


class Kind(Enum):
    """What a label is: a whole vertebra, a part of vertebrae, or anything else."""

    VERTEBRA = "vertebra"
    SUBREGION = "subregion"
    STRUCTURE = "structure"


@dataclass(frozen=True)
class Meaning:
    """What one label stands for: a level's name for a vertebra, otherwise a structure's name."""

    kind: Kind
    name: str

    @property
    def level(self) -> Level:
        """The level of a vertebra; raises ``ValueError`` for anything else."""
        return Level.parse(self.name)


@dataclass(frozen=True)
class Scheme:
    """A numbering: ``labels`` maps a number to what it stands for; ``meaning`` is one sentence about it."""

    name: str
    labels: dict[int, Meaning] = field(default_factory=dict)
    meaning: str = ""

    @property
    def levels(self) -> dict[int, Level]:
        """The numbers that stand for whole vertebrae."""
        return {n: m.level for n, m in self.labels.items() if m.kind is Kind.VERTEBRA}


def scheme(name: str) -> Scheme:
    """The built-in scheme of that name; raises ``ValueError`` listing the names there are."""
    if name not in schemes():
        raise ValueError(
            f"label scheme {name!r} is not known: use one of {', '.join(schemes())}, or the path of your own JSON file."
        )
    return schemes()[name]


@cache
def schemes() -> dict[str, Scheme]:
    """All built-in schemes by name; those without numbers read what the file says of itself."""
    return {name: _built_in(name, entry) for name, entry in _data().items()}


@cache
def _data() -> dict[str, Any]:
    return json.loads(files("trocar.anatomy").joinpath("data/schemes.json").read_text(encoding="utf-8"))


def _built_in(name: str, entry: dict[str, Any]) -> Scheme:
    sections = {Kind.VERTEBRA: "vertebrae", Kind.STRUCTURE: "structures", Kind.SUBREGION: "subregions"}
    labels = {
        number: Meaning(kind, label)
        for kind, section in sections.items()
        for label, numbers in entry[section].items()
        for number in (numbers if isinstance(numbers, list) else [numbers])
    }
    return Scheme(name, labels, entry["about"])


@cache
def _subregion_names() -> frozenset[str]:
    return frozenset(m.name for s in schemes().values() for m in s.labels.values() if m.kind is Kind.SUBREGION)


def by_name(text: str) -> Meaning:
    """What a name stands for: "L1", "vertebrae_L1" and "L1 vertebra" a level; "left kidney" is "kidney_left"."""
    plain = re.sub(r"[\s_-]+", "_", text.strip().lower())
    stem = re.sub(r"^vertebrae?_|_vertebrae?$", "", plain)
    try:
        return Meaning(Kind.VERTEBRA, str(Level.parse(stem)))
    except ValueError:
        plain = re.sub(r"^(left|right)_(.+)$", r"\2_\1", plain)
        kind = Kind.SUBREGION if plain in _subregion_names() else Kind.STRUCTURE
        return Meaning(kind, JOINED.get(plain, plain))


def by_code(value: str, side: str | None = None) -> Meaning | None:
    """What a SNOMED CT code stands for, or None; ``side`` is the code of a laterality (see ``LATERALITY``)."""
    name = _names_by_code().get(value)
    if name is None:
        return None
    where = LATERALITY.get(side or "")
    if where and not name.endswith(("_left", "_right")):
        number = re.fullmatch(r"rib_(\d+)", name)
        name = f"rib_{where}_{number[1]}" if number else f"{name}_{where}"
    return by_name(name)


@cache
def _names_by_code() -> dict[str, str]:
    return {code: name for name, code in _data()["dicom-seg"]["codes"].items()}


def code_values() -> tuple[str, ...]:
    """Every SNOMED CT code that is known here, lateralities included."""
    return (*_names_by_code(), *LATERALITY)


def is_known(meaning: Meaning) -> bool:
    """Whether a name is a vertebra, or one that a built-in scheme uses."""
    return meaning.kind is not Kind.STRUCTURE or meaning.name in _structure_names()


@cache
def _structure_names() -> frozenset[str]:
    numbered = {m.name for s in schemes().values() for m in s.labels.values()}
    return frozenset(numbered | {by_name(name).name for name in _names_by_code().values()} | {"spinal_canal"})


def looks_like_level(text: str) -> bool:
    """Whether a name that is no vertebra was meant as one: "L7", "vertebra_X"."""
    return bool(re.fullmatch(r"(vertebrae?[\s_-].*)|((c|th?|d|l|s)\s*\d+([\s_-]vertebrae?)?)", text.strip().lower()))


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
    check_unique(meanings, where)
    return Scheme(str(entry.get("name") or where), meanings, f"your own scheme {where}")


def _unrepeated(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise LabelSchemeError(f"{where} names {key!r} twice: keep one.")
        seen[key] = value
    return seen


def _number(key: str, where: str) -> int:
    if not (key.isascii() and key.isdecimal()) or int(key) == 0:
        raise LabelSchemeError(f"{where}: label {key!r} is not a whole number of 1 or more.")
    return int(key)


def _own_meaning(key: str, value: Any, where: str) -> Meaning:
    if not isinstance(value, str) or not value.strip():
        raise LabelSchemeError(f'{where}: label {key} must be a name such as "L1" or "aorta", not {value!r}.')
    found = by_name(value)
    if found.kind is not Kind.VERTEBRA and looks_like_level(value):
        raise LabelSchemeError(
            f"{where}: label {key} is {value!r}, which is not a vertebra: use C1 to C7, T1 to T13, L1 to L6 or S1."
        )
    return found


def check_unique(labels: dict[int, Meaning], where: str) -> None:
    """Raise :class:`LabelSchemeError` when two labels say the same vertebra."""
    first: dict[str, int] = {}
    for number, found in labels.items():
        if found.kind is Kind.VERTEBRA and found.name in first:
            raise LabelSchemeError(f"{where}: labels {first[found.name]} and {number} both say {found.name}: keep one.")
        first.setdefault(found.name, number)
