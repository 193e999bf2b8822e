"""Where the real scans lie, for the tests that use them."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("the real scans are not here: put them at ../shared/data beside the checkout")
    return SHARED_DATA
