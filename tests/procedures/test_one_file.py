"""A new procedure is one file in the folder: it appears everywhere, and its ranges hold with one sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from trocar.cli import main
from trocar.treatment import procedures

SOURCE = '''
"""A core of bone."""
from dataclasses import dataclass
from typing import ClassVar

from trocar.treatment import Procedure, choice, quantity


@dataclass(frozen=True)
class TestCore(Procedure):
    """A core of bone from the vertebral body."""

    name: ClassVar[str] = "test-core"
    references: ClassVar[tuple[str, ...]] = ("Nobody, Nowhere 1:1 (2000).",)

    core_mm: float = quantity(20.0, 5.0, 40.0, "mm", "Length of the core.")
    bevel: str = choice("none", ("none", "up", "down"), "Where the bevel points.")
'''
TOO_LONG = "core_mm=99.0 is outside 5 to 40 mm for TestCore."


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """The folder of procedures with one file more, for the time of a test."""
    import trocar.procedures as folder

    (tmp_path / "test_core.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    found = procedures()["test-core"]
    yield found
    found.name = ""  # a class lives on until it is collected; without a name it is in no list
    monkeypatch.delattr(folder, "test_core")
    del sys.modules[found.__module__]


def trocar(*arguments: str) -> tuple[int, str]:
    """Exit code and output of a command."""
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, " ".join(result.output.split())


def test_it_appears_in_python(core: type) -> None:
    from trocar import procedures as folder

    assert folder.TestCore is core
    assert core(level="L1").core_mm == 20.0


def test_it_appears_on_the_command_line(core: type) -> None:
    assert "test-core" in trocar("list", "procedures")[1]
    shown = trocar("plan", "--help")[1]
    assert "--core-mm FLOAT Length of the core. Allowed: 5 to 40 mm; default 20.0." in shown
    assert "--bevel [none|up|down]" in shown


def test_a_value_out_of_range_is_refused_with_one_sentence(core: type, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="core_mm") as refused:
        core(level="L1", core_mm=99.0)
    assert str(refused.value) == TOO_LONG
    out = tmp_path / "out"
    asked = ("--labels", "b", "--level", "L1", "--out", str(out), "--procedure", "test-core", "--core-mm", "99")
    code, shown = trocar("plan", "a", *asked)
    assert (code, out.exists()) == (2, False)
    assert TOO_LONG in shown


def test_a_field_of_another_procedure_is_refused(core: type, tmp_path: Path) -> None:
    code, shown = trocar(
        "plan", "a", "--labels", "b", "--level", "L1", "--out", str(tmp_path / "out"), "--core-mm", "9"
    )
    assert code == 2
    assert "core_mm is not a field of vertebroplasty." in shown


def test_without_a_path_it_says_so(core: type) -> None:
    with pytest.raises(TypeError, match="TestCore has no needle path to plan"):
        core(level="L1").trajectories(None)
