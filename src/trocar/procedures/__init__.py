"""One file per procedure; the folder is scanned by :func:`trocar.treatment.procedures`. Floor 5."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """A procedure by its class's name, whichever file it lives in: ``from trocar.procedures import Vertebroplasty``."""
    from trocar.treatment import procedures

    for procedure in procedures().values():
        if procedure.__name__ == name:
            return procedure
    raise AttributeError(f"module {__name__!r} has no procedure {name!r}")
