"""What ``trocar`` shows is what it offers, and every name it offers can be had."""

from __future__ import annotations

import subprocess
import sys

import pytest

import trocar


def test_all_equals_what_is_visible() -> None:
    assert sorted(trocar.__all__) == sorted(dir(trocar))
    assert len(set(trocar.__all__)) == len(trocar.__all__)


@pytest.mark.parametrize("name", sorted(trocar.__all__))
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    thing = getattr(trocar, name)
    assert name == "__version__" or thing.__doc__


def test_a_name_that_is_not_offered_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'read_everything'"):
        trocar.read_everything  # noqa: B018


def test_importing_the_package_loads_no_library() -> None:
    """``trocar --help`` must not wait for numpy, SimpleITK or a compiler."""
    heavy = ("numpy", "scipy", "numba", "SimpleITK", "pydicom", "matplotlib", "skimage")
    code = f"import sys, trocar; print(sorted(set({heavy!r}) & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
