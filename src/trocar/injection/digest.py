"""A name for everything that a computation depends on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import numpy as np

#: Letters of a digest that are kept: 64 bits, enough to tell any two computations apart.
LETTERS = 16


def digest(*values: Any) -> str:
    """Sixteen letters that are the same for equal values, and for no others.

    Values are numbers, strings, enums, arrays, and dataclasses, tuples, lists and mappings of such, taken with their
    types, names and order. Raises ``TypeError`` for anything else, whose meaning its text may not show.
    """
    found = hashlib.sha256()
    for part in _parts(values):
        found.update(part)
        found.update(b"\x00")
    return found.hexdigest()[:LETTERS]


def _parts(value: Any) -> Iterator[bytes]:
    """A value as bytes, each after what kind it is."""
    match value:
        case np.ndarray() if not value.dtype.hasobject:
            yield f"array {value.dtype.str} {value.shape}".encode()
            yield np.ascontiguousarray(value).tobytes()
        case Enum():
            yield f"{type(value).__name__}.{value.name}".encode()
        case None | bool() | int() | float() | str() | np.generic():
            yield f"{type(value).__name__} {value!r}".encode()
        case tuple() | list():
            yield f"sequence {len(value)}".encode()
            for item in value:
                yield from _parts(item)
        case Mapping():
            yield f"mapping {len(value)}".encode()
            for key in value:
                yield from _parts((key, value[key]))
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield type(value).__name__.encode()
            for field in dataclasses.fields(value):
                yield field.name.encode()
                yield from _parts(getattr(value, field.name))
        case _:
            raise TypeError(f"{type(value).__name__} cannot be named by its content.")
