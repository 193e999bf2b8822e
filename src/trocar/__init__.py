"""Trocar: image-guided, minimally invasive treatment of the spine and bone. Research software."""

__version__ = "0.1.0"
