"""What ``trocar`` shows is what it offers, and every name it offers can be had."""

from __future__ import annotations

import pkgutil
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


def test_no_name_is_also_a_module() -> None:
    """Importing a module binds its name on the package, and would replace what was offered under it."""
    modules = {m.name for m in pkgutil.iter_modules(trocar.__path__)}
    assert not modules & set(trocar.__all__)


def test_a_name_that_is_not_offered_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'read_everything'"):
        trocar.read_everything  # noqa: B018


def test_a_procedure_is_had_by_its_name_wherever_its_file_is() -> None:
    import trocar.procedures as folder
    from trocar.treatment import procedures

    for procedure in procedures().values():
        assert getattr(folder, procedure.__name__) is procedure
    with pytest.raises(AttributeError, match="no procedure 'Bloodletting'"):
        folder.Bloodletting  # noqa: B018


def test_importing_the_package_loads_no_library() -> None:
    """``trocar --help`` must not wait for numpy, SimpleITK or a compiler."""
    heavy = ("numpy", "scipy", "numba", "SimpleITK", "pydicom", "matplotlib", "skimage")
    code = f"import sys, trocar; print(sorted(set({heavy!r}) & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
