"""Sphinx: warnings are errors, and no page asks anything of another machine."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import reference  # noqa: E402

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
