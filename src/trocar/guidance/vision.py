"""The library for images that guidance leans on, where it is installed."""

from __future__ import annotations

from typing import Any

from trocar.errors import ToolError


def opencv() -> Any:
    """The module ``cv2``; raises :class:`trocar.errors.ToolError` where it is not installed."""
    try:
        import cv2
    except ImportError as absent:
        raise ToolError(
            "OpenCV is not installed, and images from a C-arm need it: pip install 'trocar[live]'."
        ) from absent
    return cv2
