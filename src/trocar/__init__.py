"""Trocar: image-guided, minimally invasive treatment of the spine and bone. Research software.

::

    ct      = trocar.read_ct("CT/")
    anatomy = trocar.read_anatomy("labels.nii.gz", on=ct, scheme="totalseg-v2")
    plan    = trocar.plan(anatomy, Vertebroplasty(level="L1"))
    trocar.write(trocar.report(trocar.Case("c-0042", plan)), "out/")

Names are loaded when first used, so that ``trocar --help`` does not wait for the libraries behind them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from trocar.anatomy.levels import Level as Level
    from trocar.anatomy.patient import Anatomy as Anatomy
    from trocar.case import Case as Case
    from trocar.errors import TrocarError as TrocarError
    from trocar.io.case_folder import write as write
    from trocar.io.ct import read_ct as read_ct
    from trocar.io.patient import read_anatomy as read_anatomy
    from trocar.io.plan_file import read_plan as read_plan
    from trocar.measure import Finding as Finding
    from trocar.measure import Measure as Measure
    from trocar.reporting.report import report as report
    from trocar.treatment import Plan as Plan
    from trocar.treatment import plan as plan
    from trocar.treatment import simulate as simulate
    from trocar.volume import Volume as Volume

_HOME = {
    "Anatomy": "trocar.anatomy.patient",
    "Case": "trocar.case",
    "Finding": "trocar.measure",
    "Level": "trocar.anatomy.levels",
    "Measure": "trocar.measure",
    "Plan": "trocar.treatment",
    "TrocarError": "trocar.errors",
    "Volume": "trocar.volume",
    "plan": "trocar.treatment",
    "read_anatomy": "trocar.io.patient",
    "read_ct": "trocar.io.ct",
    "read_plan": "trocar.io.plan_file",
    "report": "trocar.reporting.report",
    "simulate": "trocar.treatment",
    "write": "trocar.io.case_folder",
}

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'trocar' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
