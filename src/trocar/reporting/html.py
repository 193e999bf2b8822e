"""The report as one HTML file that opens offline: no request leaves it, images and styles are inside."""

from __future__ import annotations

import base64
from importlib.resources import files

from trocar.reporting.content import Report


def html(report: Report) -> str:
    """The whole page as text."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = _data_uri
    source = files("trocar.reporting").joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(report=report)


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
