"""The report as PDF, set by typst. The same report gives the same bytes."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from enum import Enum
from importlib.resources import files
from pathlib import Path
from typing import Any

from trocar.reporting.content import Report

_TEMPLATE = "report.typ"
#: Fields of a report that say what it was made from; the page is set from all others.
_SOURCES = ("plan", "simulation")


def pdf(report: Report) -> bytes:
    """The whole report as the bytes of a PDF file, A4.

    typst reads its figures from files: they are handed over in a temporary folder. Fonts are those
    that come with matplotlib (DejaVu), so that the page looks the same on a machine without any.
    """
    import typst

    with tempfile.TemporaryDirectory(prefix="trocar-") as name:
        folder = Path(name)
        (folder / _TEMPLATE).write_bytes(files("trocar.reporting").joinpath(f"templates/{_TEMPLATE}").read_bytes())
        (folder / "report.json").write_text(json.dumps(_content(report), ensure_ascii=False), encoding="utf-8")
        for picture, png in report.figures.items():
            (folder / f"{picture}.png").write_bytes(png)
        return typst.compile(
            str(folder / _TEMPLATE),
            root=str(folder),
            font_paths=[str(_fonts())],
            ignore_system_fonts=True,
            format="pdf",
            timestamp=0,
        )


def _fonts() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def _content(report: Report) -> dict[str, Any]:
    fields = {f.name: getattr(report, f.name) for f in dataclasses.fields(report) if f.name not in _SOURCES}
    return {name: _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries, enums as their values; bytes are left out (they lie beside as files)."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, bytes) else value
