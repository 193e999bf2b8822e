"""Why a vertebra is treated, as far as published frequencies of leaks depend on it."""

from __future__ import annotations

from enum import Enum


class Aetiology(Enum):
    """What weakened the vertebra."""

    OSTEOPOROTIC = "osteoporotic fracture"
    METASTASIS = "metastasis"
    MYELOMA = "myeloma"
