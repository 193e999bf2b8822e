"""A patient from files: the scan, its labels, and what the vertebrae look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trocar.anatomy.patient import Anatomy, build_anatomy
from trocar.io.labels import read_labels
from trocar.volume import Volume


def read_anatomy(source: Any, *, on: Volume, scheme: str | Path | Sequence[str | Path] | None = None) -> Anatomy:
    """Read labels, check them against the scan and their own geometry, and measure the vertebrae.

    ``source`` is a path, or a list of paths with one scheme each; ``on`` is the CT they belong to.
    Raises ``ImageError``, ``FrameMismatchError`` or ``LabelSchemeError`` with what to do.
    """
    return build_anatomy(on, read_labels(source, on, scheme))
