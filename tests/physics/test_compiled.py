"""Compiled code where nothing can be kept."""

from __future__ import annotations

import numpy as np
import pytest
from numba.core.caching import CacheImpl

from trocar.physics.compiled import compiled


def _sum(values: np.ndarray) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def test_where_nothing_can_be_written_it_compiles_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    function = compiled(_sum)
    assert function(np.arange(4.0)) == 6.0
    assert not function.stats.cache_path


def test_another_refusal_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(CacheImpl, "__init__", refuse)
    with pytest.raises(RuntimeError, match="something else"):
        compiled(_sum)
