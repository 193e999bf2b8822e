"""Every example runs as it is printed in the documentation, and says what it is there to show."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from trocar.anatomy.phantom import PhantomSpec, phantom
from trocar.io.phantom_files import write_phantom

EXAMPLES = Path(__file__).parents[1] / "examples"


def ran(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The names that an example leaves behind, run in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


@pytest.mark.slow
def test_one_case(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The target lies within 3 mm of the drawn vertebra's midline."""
    left = ran("one_case", monkeypatch, tmp_path)
    assert {p.name for p in (tmp_path / "out" / "one-case").iterdir()} >= {"report.html", "report.pdf", "plan.json"}
    truth = left["patient"].truth.vertebrae[left["plan"].procedure.level]
    assert abs(truth.frame.to_local(left["path"].target_mm)[0]) < 3.0


@pytest.mark.slow
def test_check_labels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    left = ran("check_labels", monkeypatch, tmp_path)
    assert "totalseg-v2" in left["refusal"]
    assert [str(level) for level in left["anatomy"].whole_levels] == ["L1", "L2", "L3"]


@pytest.mark.slow
def test_how_steady(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A steadier hand breaches less."""
    chances = ran("how_steady", monkeypatch, tmp_path)["chances"]
    assert chances["CT laser"] < chances["default"] < chances["free hand"]


@pytest.mark.slow
def test_the_readme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The seven lines of the README run as they stand, but for the scan's name."""
    text = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len([line for line in lines.splitlines() if line]) == 7
    write_phantom(phantom(PhantomSpec(levels=("T12", "L1", "L2"), focus="L1")), tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(lines.replace('"CT/"', '"scan.nii.gz"'), {})
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {
        "report.html",
        "report.pdf",
        "plan.json",
        "simulation.json",
        "figures",
    }


def test_every_example_has_a_test() -> None:
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= tests
