"""Voxel finite elements beside the solvers that a user would otherwise take, in one run.

    python benchmarks/elasticity.py [--quick] [--json]

Every solve is a process of its own on one thread, asked for a relative residual of 1e-6. Ours counts CPU seconds and
memory from the call to ``deform`` on, with kernels compiled and the problem in memory before; a peer that is a program
(CalculiX, ParOSol) counts from its start to its end, with reading the model, and its memory less what it takes for a
model of 2 x 2 x 2 voxels. Peers run at the sizes they can hold; one that is absent is left out: ``make peers`` brings
them. The random field and the phantom are those of the tests (tests/physics/peer_problems.py). Memory of processes is
read from /proc: Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trocar.io.calculix import Equations
from trocar.measure import Status
from trocar.physics.elasticity import TOLERANCE, deform
from trocar.physics.solid import Solid, nodes_of

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1] / "tests" / "physics"))

import peer_problems  # noqa: E402
import peers  # noqa: E402

#: What our solver is asked to reach.
DOF_PER_CPU_S, BYTES_PER_DOF, ITERATIONS, AGREEMENT = 1e6, 70.0, 12, 1e-5
LIMIT = {"min": "least", "max": "most"}
#: How often our solver solves the same problem; the median of the CPU time counts.
RUNS = 3
#: Voxels along an edge of the smallest model, whose memory is what a program takes for itself.
SMALLEST = 2
PROBLEMS: dict[str, Callable[[int], Solid]] = {"random": peer_problems.random_cube, "phantom": peer_problems.phantom}


@dataclass(frozen=True)
class Solve:
    """What one solve took, and the force on the upper face along k."""

    dof: int
    cpu_s: float
    bytes: float
    force_n: float
    iterations: int = 0
    wall_s: float = 0.0

    @property
    def rate(self) -> float:
        return self.dof / self.cpu_s


def ours(problem: str, n: int, folder: Path, threads: int = 1) -> Solve:
    """Our solver in a fresh process; the median CPU time of several, each from nothing, and the least wall time."""
    solid = PROBLEMS[problem](n)
    np.savez(folder / "solid.npz", modulus=solid.modulus_mpa, material=solid.material)
    command = [sys.executable, HERE, "--solve", folder / "solid.npz", "--threads", str(threads)]
    # No thread of a library beside ours: only what deform does is counted.
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | peers.ONE_THREAD)
    if done.returncode:
        sys.exit(f"the solve of {problem} {n} failed:\n{done.stderr}")
    return Solve(**json.loads(done.stdout))


def solve(path: Path, threads: int) -> Solve:
    """Runs in the process of its own."""
    with np.load(path) as file:
        solid = Solid(file["modulus"], file["material"], peer_problems.ALIKE)
    small = peer_problems.phantom(12)
    deform(small, peer_problems.moved(small), threads=threads)
    boundary = peer_problems.moved(solid)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the greatest size is counted from here on
    before = peers.high_water("self")
    runs = []
    for _ in range(RUNS):
        result = None  # one solution at a time counts
        wall, cpu = time.perf_counter(), time.process_time()
        result = deform(solid, boundary, threads=threads)
        runs.append((time.process_time() - cpu, time.perf_counter() - wall))
    if result.status is not Status.SUCCESS:
        sys.exit(result.status.value)
    cpu_s, wall_s = sorted(runs)[RUNS // 2][0], min(wall for _, wall in runs)
    force = result.force_n(peer_problems.top(solid))[0]
    dof = 3 * int(nodes_of(solid.filled).sum())
    return Solve(dof, cpu_s, peers.high_water("self") - before, float(force), result.iterations, wall_s)


def calculix(equations: Equations) -> Callable[[int, Path], Solve]:
    def run(n: int, folder: Path) -> Solve:
        program = peers.ccx()
        assert program is not None
        return of_program(lambda solid, boundary: peers.run_calculix(program, solid, boundary, folder, equations), n)

    return run


def parosol(n: int, folder: Path) -> Solve:
    program = peers.parosol()
    assert program is not None
    return of_program(lambda solid, boundary: peers.run_parosol(program, solid, boundary, folder, TOLERANCE), n)


def of_program(answer: Callable[..., peers.Answer], n: int) -> Solve:
    """A program's solve of the random field, its memory less that of the smallest model."""
    small, solid = (peer_problems.random_cube(size) for size in (SMALLEST, n))
    own = answer(small, peer_problems.moved(small)).cost.peak_bytes
    boundary = peer_problems.moved(solid)
    found = answer(solid, boundary)
    high = np.isin(boundary.displaced, np.flatnonzero(peer_problems.top(solid)))
    cost = found.cost
    return Solve(3 * (n + 1) ** 3, cost.cpu_s, cost.peak_bytes - own, float(found.reaction_n[high].sum()))


def scikit_fem(n: int, folder: Path) -> Solve:
    np.save(folder / "cube.npy", peer_problems.random_mpa(n))
    python, script = peers.PEERS / "bin" / "python", HERE.parent / "peers" / "scikit_fem.py"
    command = [python, script, folder / "cube.npy", f"{TOLERANCE:g}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | peers.ONE_THREAD)
    return Solve(**json.loads(done.stdout))


@dataclass(frozen=True)
class Peer:
    """A solver, the size it is asked for, and whether it is here."""

    name: str
    run: Callable[[int, Path], Solve]
    n: int
    quick_n: int
    present: bool


def known_peers() -> list[Peer]:
    has_ccx, has_parosol = peers.ccx() is not None, peers.parosol() is not None
    has_skfem = any(peers.PEERS.glob("lib/python*/site-packages/skfem"))
    try:
        import h5py  # noqa: F401
    except ImportError:
        has_parosol = False
    return [
        Peer("CalculiX direct", calculix(Equations.DIRECT), 40, 16, has_ccx),
        Peer("CalculiX iterative", calculix(Equations.SCALING), 100, 16, has_ccx),
        Peer("scikit-fem with pyamg", scikit_fem, 64, 16, has_skfem),
        Peer("ParOSol", parosol, 100, 40, has_parosol),
    ]


def figures_of(quick: bool, folder: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Everything that is measured, in the order it is shown."""
    largest = 40 if quick else 100
    ours("phantom", 12, folder)  # compiles what is not compiled yet
    solved: dict[int, Solve] = {}

    def at(n: int) -> Solve:
        if n not in solved:
            say(f"Trocar, random field {n}")
            solved[n] = ours("random", n, folder)
        return solved[n]

    figures = own_figures(at(largest), largest, folder, quick)
    for peer in (p for p in known_peers() if p.present):
        n = peer.quick_n if quick else peer.n
        say(f"{peer.name}, random field {n}")
        figures += beside(at(n), peer, peer.run(n, folder), n)
    return figures


def own_figures(one: Solve, n: int, folder: Path, quick: bool) -> list[dict[str, Any]]:
    two = ours("random", n, folder, threads=2)
    found = [
        figure(f"random field {n}, one thread", one.rate, "DOF/CPU-s", asked={"min": DOF_PER_CPU_S}),
        figure(f"random field {n}, memory", one.bytes / one.dof, "B/DOF", asked={"max": BYTES_PER_DOF}),
        figure(f"random field {n}, iterations", one.iterations, ""),
        against("two threads, wall time", two.wall_s, "s", "one thread", one.wall_s),
    ]
    for size in (32,) if quick else (32, 64, 100):
        body = ours("phantom", size, folder)
        name = f"void, tumour and cement {size}"
        found.append(figure(f"{name}, iterations", body.iterations, "", asked={"max": ITERATIONS}))
        found.append(figure(f"{name}, one thread", body.rate, "DOF/CPU-s"))
        found.append(figure(f"{name}, memory", body.bytes / body.dof, "B/DOF"))
    return found


def beside(one: Solve, peer: Peer, theirs: Solve, n: int) -> list[dict[str, Any]]:
    name = f"random field {n}"
    apart = abs(one.force_n - theirs.force_n) / abs(theirs.force_n)
    exact = {"asked": {"max": AGREEMENT}} if peer.name != "CalculiX iterative" else {}
    return [
        against(f"{name}, one thread", one.rate, "DOF/CPU-s", peer.name, theirs.rate),
        against(f"{name}, memory", one.bytes / one.dof, "B/DOF", peer.name, theirs.bytes / theirs.dof),
        figure(f"{name}, force apart from {peer.name}", apart, "", **exact),
    ]


def figure(name: str, value: float, unit: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": rounded(value), "unit": unit, **more}


def against(name: str, value: float, unit: str, peer: str, peer_value: float) -> dict[str, Any]:
    ratio = rounded(value / peer_value)
    return figure(name, value, unit, peer=peer, peer_value=rounded(peer_value), ratio=ratio)


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


def show(figures: list[dict[str, Any]]) -> None:
    for entry in figures:
        bounds = [f"asked: at {LIMIT[key]} {bound:g}" for key, bound in entry.get("asked", {}).items()]
        if "peer" in entry:
            bounds.append(f"{entry['peer']}: {entry['peer_value']:g}, ratio {entry['ratio']:g}")
        print(f"{entry['name']:<62}{entry['value']:>11g} {entry['unit']:<10} {'; '.join(bounds)}".rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes; ends within 40 s")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--solve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.solve:
        print(json.dumps(vars(solve(given.solve, given.threads))))
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = figures_of(given.quick, Path(folder), lambda text: print(text, file=sys.stderr))
    show(figures)
    if given.json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
