"""The page on the C-arm says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from trocar.guidance.carm import CArm
from trocar.guidance.carm_edges import patient_orientation
from trocar.guidance.carm_position import PatientPosition, RoomAngles, about_patient

PAGE = (Path(__file__).parents[2] / "docs" / "carm.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|]*) \| ((?:HF|FF)[SPDLR]+) \| ([^|]*) \| (\w) \| (\w) \|$", PAGE, re.MULTILINE)


def test_the_table_has_every_position() -> None:
    assert {row[1] for row in ROWS} == {p.value for p in PatientPosition}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_each_position_is_as_the_table_says(row: tuple[str, ...]) -> None:
    words, name, angles, right, lower = row
    position = PatientPosition[name]
    view = about_patient(CArm(np.zeros(3)), RoomAngles(0.0, 0.0), position)
    assert (position.words, str(view), *patient_orientation(view)) == (words, angles, right, lower)


def test_the_example_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)  # the page's own example
    printed = capsys.readouterr().out.splitlines()
    promised = [line.split("# ")[1] for line in code.splitlines() if line.startswith("print(")]
    assert printed[0] == promised[0]
    assert promised[1].startswith(printed[1])
    view = names["above"]
    assert isinstance(view, CArm)
    assert names["column"] < view.detector.middle[1]  # type: ignore[operator]
