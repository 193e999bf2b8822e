"""Sphinx: warnings are errors, and no page asks anything of another machine."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import reference  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

import trocar  # noqa: E402

project = "Trocar"
copyright = "2026, the Trocar developers"
version = release = trocar.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_generated"]

html_theme = "furo"
html_title = f"Trocar {version}"
html_copy_source = False
html_show_sourcelink = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
highlight_language = "text"

# What the code already says is written down from the code, at every build, and included by the pages.
reference.write(HERE / "_generated")


def formulas_stand(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """An indented block in a docstring is a formula or a drawing: show it as it stands."""
    for n in range(len(lines) - 1, 0, -1):
        above = next((line for line in reversed(lines[:n]) if line), "")
        if not lines[n - 1] and lines[n].startswith("    ") and not above.startswith(" ") and not above.endswith("::"):
            lines[n:n] = ["::", ""]


def setup(app: Sphinx) -> None:
    """Hooks into the build."""
    app.connect("autodoc-process-docstring", formulas_stand)
