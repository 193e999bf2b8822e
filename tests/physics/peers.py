"""Peer solvers, run as programs on the files that ``trocar.io`` writes, and what they print, read back.

CalculiX is Debian's ``calculix-ccx``; ParOSol is the executable in the package ``parosol-py``, which ``make peers``
puts into ``build/peers``, an environment of its own. Both are under the GNU General Public Licence: neither is
imported, neither is shipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from trocar.io.calculix import Equations, write_calculix
from trocar.io.parosol import write_parosol
from trocar.physics.solid import Boundary, Solid

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "build" / "peers"
#: Set to ``required`` where a missing peer is a failure and not a reason to skip.
VARIABLE = "TROCAR_PEERS"
#: Relative residual ParOSol is asked for: far below the agreement that is tested.
PAROSOL_TOLERANCE = 1e-9
#: How often a running peer is asked how large it has grown.
POLL_S = 0.01
ONE_THREAD = {"OMP_NUM_THREADS": "1", "CCX_NPROC_EQUATION_SOLVER": "1", "OPENBLAS_NUM_THREADS": "1"}


def ccx() -> Path | None:
    found = shutil.which("ccx")
    return Path(found) if found else None


@cache
def parosol() -> Path | None:
    return next(PEERS.glob("lib/python*/site-packages/parosol_py/bin/parosol"), None)


def needed(program: Path | None, name: str, how: str) -> Path:
    """The program, or the test skips with a reason, or fails where peers are required."""
    if program is not None:
        return program
    missing = f"{name} is not here: {how}"
    if os.environ.get(VARIABLE) == "required":
        pytest.fail(missing)
    pytest.skip(missing)


def need_ccx() -> Path:
    return needed(ccx(), "CalculiX", "apt-get install calculix-ccx")


def need_parosol() -> Path:
    try:
        import h5py  # noqa: F401
    except ImportError:
        needed(None, "h5py", "pip install 'trocar[peers]'")
    return needed(parosol(), "ParOSol", "make peers")


@dataclass(frozen=True)
class Cost:
    """What a program took, from its start to its end: reading its file and writing its answer are part of it."""

    cpu_s: float
    peak_bytes: int
    printed: str


@dataclass(frozen=True, eq=False)
class Answer:
    """Reactions (N) at ``boundary.displaced``, displacements (mm) at ``boundary.loaded``; nan where there is none."""

    reaction_n: np.ndarray
    displacement_mm: np.ndarray
    cost: Cost


def run(command: list[str | Path], folder: Path, env: dict[str, str]) -> Cost:
    """Run to the end; a peer that fails is a failure here.

    The peak is asked for while it runs: what the kernel tells a parent afterwards includes the parent itself.
    """
    with (folder / "printed.txt").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=os.environ | ONE_THREAD | env
        )
        peak, ended, status = 0, 0, 0
        while not ended:
            peak = max(peak, high_water(process.pid))
            time.sleep(POLL_S)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
    text = (folder / "printed.txt").read_text(encoding="utf-8", errors="replace")
    assert process.returncode == 0, text[-3000:]
    return Cost(usage.ru_utime + usage.ru_stime, peak, text)


def high_water(pid: int | str) -> int:
    """Greatest resident size (bytes) of a running process since it began; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return 1024 * int(found[1]) if found else 0


def run_calculix(
    program: Path, solid: Solid, boundary: Boundary, folder: Path, equations: Equations = Equations.DIRECT
) -> Answer:
    write_calculix(solid, boundary, folder / "model.inp", equations)
    cost = run([program, "model"], folder, {})
    found = printed((folder / "model.dat").read_text(encoding="ascii"))
    force, displacement = (at(found.get(what, {}), solid) for what in ("forces", "displacements"))
    return Answer(force[boundary.displaced], displacement[boundary.loaded], cost)


def printed(text: str) -> dict[str, dict[int, list[float]]]:
    """What CalculiX printed: quantity -> node number -> x, y, z."""
    found: dict[str, dict[int, list[float]]] = {}
    what = ""
    for line in text.splitlines():
        heading = re.match(r"\s*(forces|displacements|total force)", line)
        what = heading[1] if heading else what
        row = line.split()
        if len(row) == 4 and row[0].isdigit():
            found.setdefault(what, {})[int(row[0])] = [float(value) for value in row[1:]]
    return found


def at(rows: dict[int, list[float]], solid: Solid) -> np.ndarray:
    """Vectors x, y, z of numbered nodes as a flat array of degrees of freedom ``[c, k, j, i]``; nan where none."""
    size = int(np.prod(solid.nodes))
    field = np.full((3, size), np.nan)
    for number, (x, y, z) in rows.items():
        field[:, number - 1] = z, y, x
    return field.reshape(-1)


def run_parosol(
    program: Path, solid: Solid, boundary: Boundary, folder: Path, tolerance: float = PAROSOL_TOLERANCE
) -> Answer:
    path = write_parosol(solid, boundary, folder / "model.h5")
    cost = run([program, "--tol", f"{tolerance:g}", path], folder, one_rank(program))
    force, displacement = read_parosol(path, solid)
    return Answer(force[boundary.displaced], displacement[boundary.loaded], cost)


def one_rank(program: Path) -> dict[str, str]:
    """The environment in which the packaged executable starts alone, with the message passing it was built with."""
    prefix = program.parent / "openmpi"
    return {
        "OPAL_PREFIX": str(prefix),
        "LD_LIBRARY_PATH": str(prefix / "lib"),
        "OPAL_MCA_mca_base_component_path": str(prefix / "lib" / "openmpi"),
        "OMPI_MCA_ess_singleton_isolated": "1",
        "OMPI_MCA_pml": "ob1",
        "OMPI_MCA_btl": "self",
    }


def read_parosol(path: Path, solid: Solid) -> list[np.ndarray]:
    """Forces (N) and displacements (mm) as flat arrays of degrees of freedom ``[c, k, j, i]``; nan where none."""
    import h5py

    with h5py.File(path) as file:
        place = np.rint(file["Mesh/Coordinates"][...] / solid.spacing_mm[0]).astype(np.int64)
        fields = [file["Solution/force"][...], file["Solution/disp"][...]]
    number = np.ravel_multi_index(tuple(place[:, ::-1].T), solid.nodes) + 1
    return [at(dict(zip(number.tolist(), xyz.tolist(), strict=True)), solid) for xyz in fields]
