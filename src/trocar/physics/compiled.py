"""Compiled functions that are kept from one run to the next, wherever there is room to keep them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba as nb


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function for use without the interpreter's lock.

    numba keeps the machine code beside the source or in the user's cache (``NUMBA_CACHE_DIR`` names another folder).
    Where it may write to neither, as in a read-only container, every run compiles anew. What is kept is renewed when
    the function's own file changes, and then only: whoever edits what kernels import (:mod:`trocar.physics.lanes`)
    clears it, see docs/architecture.md.
    """
    try:
        return nb.njit(cache=True, nogil=True)(function)
    except RuntimeError as refusal:
        if "cannot cache" not in str(refusal):
            raise
        return nb.njit(nogil=True)(function)
