"""Cement into a vertebra: how long one injection, many of them and the curing take, and how exact they are.

    python benchmarks/cement.py [--scan lidc | phantom] [--quick] [--json]

The scan ``lidc`` is the 512 x 512 x 70 one at ../shared/data, L1; without it, and with ``--quick``, the phantom.
Compiled kernels are in their caches before anything is timed. The peers of one pressure solve are those of SciPy on
the same coefficients: a direct solver, and conjugate gradients with a diagonal preconditioner.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import cg, spsolve

import trocar
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.phantom import phantom
from trocar.injection.ensemble import run
from trocar.injection.heat_site import heat_site
from trocar.injection.heat_source import cement_after
from trocar.injection.heating import heating
from trocar.injection.nominal import Nominal, nominal
from trocar.injection.site import Site
from trocar.physics.diffusion import Diffusion
from trocar.physics.faces import Faces
from trocar.physics.front import conductances
from trocar.physics.porous import Injection, Medium, Outlet, Stroke, inject
from trocar.procedures.vertebroplasty import Vertebroplasty
from trocar.treatment import Plan

LIDC = Path(__file__).resolve().parents[2] / "shared" / "data" / "lidc0001"
LEVEL, VOLUME_ML, SEED, WORKERS = "L1", 4.0, 1, 2
#: Voxels of one injection and of the ensemble, mm.
FINE_MM, COARSE_MM = 1.0, 1.5
RUNS, QUICK_RUNS = 100, 8
#: What the peers of a pressure solve are given: cement and marrow of one viscosity each, Pa s; residual to solve to.
CEMENT_PA_S, MARROW_PA_S, TOLERANCE = 300.0, 0.13, 1e-8
#: The ball of the exact problem: radius and tip, mm; permeability, mm2; porosity; what is pushed in, mm3 and mm3/s.
BALL_MM, TIP_MM, BALL_MM2, BALL_PORES, BALL_MM3, BALL_MM3_S = 15.0, 1.5, 0.04, 0.8, 3000.0, 16.0
BALL_CEMENT_PA_S, BALL_MARROW_PA_S = 100.0, 0.1

Row = dict[str, Any]


def patient(scan: str) -> Anatomy:
    """The anatomy of the scan of that name."""
    if scan == "phantom":
        drawn = phantom()
        return trocar.read_anatomy(drawn.labels, on=drawn.ct, scheme="totalseg-v2")
    ct = trocar.read_ct(next(LIDC.glob("*.zip")))
    return trocar.read_anatomy(next(LIDC.glob("*.nii.gz")), on=ct, scheme="totalseg-v2")


def planned(scan: str) -> Plan:
    """One-sided vertebroplasty of the level."""
    return trocar.plan(patient(scan), Vertebroplasty(level=LEVEL))


def site_of(plan: Plan, voxel_mm: float) -> Site:
    """The best option of a plan, at a voxel."""
    procedure = plan.procedure
    assert isinstance(procedure, Vertebroplasty)
    return procedure.site(plan, plan.best.trajectories, voxel_mm, VOLUME_ML)[0]


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall and processor seconds, and what came out."""
    wall, processor = time.perf_counter(), time.process_time()
    out = work()
    return time.perf_counter() - wall, time.process_time() - processor, out


def figure(name: str, value: float, unit: str, most: float | None = None, note: str = "") -> Row:
    """A figure, its upper bound where one was asked for, and what it was measured on."""
    row: Row = {"name": name, "value": float(f"{value:.4g}"), "unit": unit}
    return row | ({"asked": {"max": most}} if most else {}) | ({"note": note} if note else {})


def measure(scan: str, quick: bool) -> list[Row]:
    """One figure for each row of the table."""
    plan = planned(scan)
    coarse = site_of(plan, COARSE_MM)
    nominal(coarse)
    fine = coarse if quick else site_of(plan, FINE_MM)
    rows, found = one_injection(scan, fine)
    rows += many_injections(scan, coarse, QUICK_RUNS if quick else RUNS)
    rows += curing(plan, found)
    return [*rows, *radial(), *balances(found, coarse), *peers(found, quick)]


def grid(site: Site) -> str:
    """The grid in words."""
    shape, wet = site.model.solid.shape, int((site.nominal.porosity > 0.0).sum())
    return (
        f"{' x '.join(map(str, shape))} voxels of {site.model.solid.spacing_mm[0]:g} mm, {wet} of them flowed through"
    )


def one_injection(scan: str, site: Site) -> tuple[list[Row], Nominal]:
    """The planned injection with every unknown at its middle."""
    grid(site)  # builds the medium, which the site keeps
    wall, processor, found = timed(lambda: nominal(site))
    solves, fine = len(found.injection.time_s), site.model.solid.spacing_mm[0] == FINE_MM
    name = f"{scan} {LEVEL}: one injection of {VOLUME_ML:g} ml at {site.model.solid.spacing_mm[0]:g} mm"
    return [
        figure(name, wall, "s", 10.0 if fine else None, grid(site)),
        figure("    of which processor", processor, "s"),
        figure("    pressure solves", solves, "1"),
        figure("    pressure solves in a second", solves / wall, "1/s"),
        figure("    iterations to a solve", found.injection.iterations / solves, "1"),
    ], found


def many_injections(scan: str, site: Site, count: int) -> list[Row]:
    """The ensemble, and the most memory that the process has held by then."""
    wall, processor, outcome = timed(lambda: run(site, count, SEED, WORKERS))
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    voxel = site.model.solid.spacing_mm[0]
    name = f"{scan} {LEVEL}: {count} injections varied at {voxel:g} mm, {WORKERS} workers"
    return [
        figure(name, wall, "s", 300.0 if count == RUNS else None, grid(site)),
        figure("    of which processor", processor, "s"),
        figure("    one of them", wall / count, "s"),
        figure("    most memory of the process, scan and plan included", peak_gb, "GB", 2.0),
        figure("    runs that failed", len(outcome.runs) - len(outcome.counted), "1"),
    ]


def curing(plan: Plan, found: Nominal) -> list[Row]:
    """Twenty minutes of curing after that injection."""
    around = heat_site(found.site.model, plan.anatomy.structures)
    content, age_s = cement_after(around, found.injection, found.site.ways)
    wall, processor, heat = timed(lambda: heating(around, content, age_s, found.site.cement))
    shape = f"{' x '.join(map(str, around.tissue.shape))} voxels of {around.spacing_mm[0]:g} mm"
    return [
        figure(f"curing, {heat.time_s[-1] / 60.0:.0f} min in {len(heat.time_s) - 1} steps", wall, "s", note=shape),
        figure("    of which processor", processor, "s"),
    ]


class _Plain:
    """A fluid of one viscosity that ages as fast as the clock."""

    ageing = ageing_outside = shear_index = 1.0

    def viscosity_pa_s(self, age_s: ArrayLike, shear_per_s: ArrayLike) -> NDArray[np.float64]:
        return np.full(np.shape(age_s), BALL_CEMENT_PA_S)


def _ball(h: float) -> tuple[Medium, NDArray[np.float64]]:
    """A ball that lets go over its whole surface, and the distance of each voxel from its middle, mm."""
    n = round(2.0 * BALL_MM / h) + 2
    axis = (np.arange(n) + 0.5) * h - 0.5 * n * h
    k, j, i = np.meshgrid(axis, axis, axis, indexing="ij")
    far = np.sqrt(k * k + j * j + i * i)
    inside = far < BALL_MM
    near = np.pad(inside, 1)
    faces = sum((~np.roll(near, s, a)[1:-1, 1:-1, 1:-1]).astype(int) for a in range(3) for s in (1, -1)) * inside
    cells = np.flatnonzero(faces)
    out = Outlet("surface", cells, 2.0 * BALL_MM2 * h * np.ravel(faces)[cells])
    pores = np.where(inside, BALL_PORES, 0.0).astype(np.float32)
    return Medium(
        pores, np.where(inside, BALL_MM2, 0.0).astype(np.float32) * np.ones((3, 1, 1, 1)), (h, h, h), (out,)
    ), far


def radial() -> list[Row]:
    """Injection into the middle of a ball: R^3 = 3 V / (4 pi porosity), and the pressure by Darcy's law in shells."""
    rows = []
    for h in (2.0, 1.0):
        medium, far = _ball(h)
        middle = 0.5 * h * np.array(medium.porosity.shape)
        found = inject(
            medium, middle, _Plain(), [Stroke(BALL_MM3, BALL_MM3_S)], resident_pa_s=BALL_MARROW_PA_S,
            tip_radius_mm=TIP_MM,
        )  # fmt: skip
        front = float(np.cbrt(3.0 * BALL_MM3 / (4.0 * np.pi * BALL_PORES)))
        cement, marrow = (far[m] for m in (found.saturation >= 0.5, (found.saturation < 0.5) & (far < BALL_MM)))
        off = max(float(cement.max()) - front, front - float(marrow.min()), 0.0)
        resists = BALL_CEMENT_PA_S * (1 / TIP_MM - 1 / front) + BALL_MARROW_PA_S * (1 / front - 1 / BALL_MM)
        exact = BALL_MM3_S / (4.0 * np.pi * BALL_MM2) * resists
        rows += [
            figure(f"radial front at {h:g} mm, farthest off", off, "mm", 0.5 * h, "middles of voxels"),
            figure("    pressure at the tip, off by", 100.0 * abs(found.tip_pa[-1] / exact - 1.0), "%"),
            figure("    cement not accounted for", imbalance(found), "1", 1e-6),
        ]
    return rows


def imbalance(found: Injection) -> float:
    """Share of what was pushed in that neither lies in the medium nor left it."""
    there = float(found.content_mm3.sum(dtype=np.float64)) + float(found.leaked_mm3[-1].sum())
    return abs(there / float(found.injected_mm3[-1]) - 1.0)


def balances(found: Nominal, site: Site) -> list[Row]:
    """Mass balance of the planned injection, and the worst of a few that were varied."""
    drawn = (site.spread.draw(np.random.default_rng([SEED, n]), site.ways) for n in range(4))
    worst = max(imbalance(site.inject(d)) for d in drawn)
    return [
        figure("planned injection, cement not accounted for", imbalance(found.injection), "1", 1e-6),
        figure("    worst of four varied ones", worst, "1", 1e-6),
    ]


@dataclass(frozen=True, eq=False)
class Equations:
    """The pressure of a site: conductances, and so much pushed in where the cement is fullest."""

    faces: Faces
    source: NDArray[np.float64]

    @classmethod
    def of(cls, found: Nominal) -> Equations:
        """With the cement where an injection left it."""
        medium = found.site.nominal
        full = np.minimum(found.injection.saturation, 1.0).astype(np.float64)
        viscosity = full * CEMENT_PA_S + (1.0 - full) * MARROW_PA_S
        between, ground, source = np.zeros((3, *full.shape)), np.zeros(full.shape), np.zeros(full.shape)
        conductances(medium.permeability_mm2.astype(np.float64), viscosity, np.array(medium.spacing_mm), between)
        for out in medium.outlets:
            np.add.at(ground.reshape(-1), out.cells, out.conductance_mm3 / viscosity.reshape(-1)[out.cells])
        source.reshape(-1)[int(full.argmax())] = found.site.rate_ml_min * 1000.0 / 60.0
        return cls(Faces(between[0], between[1], between[2], ground), source)

    def matrix(self) -> tuple[csr_array, NDArray[np.int64]]:
        """The same as a sparse matrix over the cells that conduct, and which those are."""
        size, strides = self.source.size, (self.source[0].size, self.source.shape[2], 1)
        diagonal, whole = self.faces.ground.reshape(-1).copy(), csr_array((size, size))
        for given, stride in zip((self.faces.k, self.faces.j, self.faces.i), strides, strict=True):
            flow = given.reshape(-1)[: size - stride]
            diagonal[:-stride] += flow
            diagonal[stride:] += flow
            whole = whole - diags_array([flow, flow], offsets=[stride, -stride], shape=(size, size))
        kept = np.flatnonzero(diagonal)
        return csr_array(whole + diags_array(diagonal)).tocsr()[kept][:, kept], kept


def peers(found: Nominal, quick: bool) -> list[Row]:
    """One pressure solve from nothing, beside SciPy's."""
    equations = Equations.of(found)
    solver = Diffusion(equations.source.shape)
    solver.solve(equations.faces, equations.source, tolerance=TOLERANCE)
    wall, _, own = timed(lambda: solver.solve(equations.faces, equations.source, tolerance=TOLERANCE))
    matrix, kept = equations.matrix()
    pushed = equations.source.reshape(-1)[kept]
    jacobi = diags_array(1.0 / matrix.diagonal())
    limit = 50 * len(kept)
    rows = [figure(f"one pressure solve from nothing to {TOLERANCE:g}", wall, "s", note=grid(found.site))]
    rows.append(figure("    iterations", own.iterations, "1"))
    solvers: dict[str, Callable[[], NDArray[np.float64]]] = {
        "SciPy cg, diagonal": lambda: cg(matrix, pushed, rtol=TOLERANCE, M=jacobi, maxiter=limit)[0]
    }
    if not quick:
        solvers["SciPy spsolve"] = lambda: spsolve(matrix.tocsc(), pushed)
    for name, solve in solvers.items():
        peer_wall, _, pressure = timed(solve)
        apart = float(np.abs(own.value.reshape(-1)[kept] - pressure).max() / np.abs(pressure).max())
        rows += [
            figure(f"    {name}, times as long", peer_wall / wall, "1"),
            figure(f"    {name}, pressures differ by, of the highest", apart, "1"),
        ]
    return rows


def main() -> None:
    """Print the table, or its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", choices=("lidc", "phantom"), default="lidc" if LIDC.is_dir() else "phantom")
    parser.add_argument("--quick", action="store_true", help="the phantom, coarse, and a few injections: within 40 s")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    given = parser.parse_args()
    figures = measure("phantom" if given.quick else given.scan, given.quick)
    for f in figures:
        asked = f"asked at most {f['asked']['max']:g}" if "asked" in f else ""
        print(f"{f['name']:62s} {f['value']:12,.4g} {f['unit']:4s} {asked:20s} {f.get('note', '')}".rstrip())
    if given.json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
