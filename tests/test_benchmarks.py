"""Every benchmark runs and says what it measured in the form that programs read. No time is asserted here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda script: script.stem)
def test_it_prints_figures(script: Path, tmp_path: Path) -> None:
    command = [sys.executable, script, "--quick", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])["figures"]
    assert figures
    for figure in figures:
        assert {"name", "value", "unit"} <= figure.keys()
        assert figure["value"] >= 0
