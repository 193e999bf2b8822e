"""The same cube with scikit-fem and pyamg, run as a program in the peers' environment: python scikit_fem.py cube.npy.

Eight-node hexahedra; conjugate gradients with smoothed aggregation that knows the six rigid motions, block Gauss-Seidel
smoothing. Prints seconds, memory, iterations and the force on the upper face as one JSON object.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pyamg
from skfem import Basis, BilinearForm, ElementHex1, ElementVector, MeshHex, condense
from skfem.helpers import ddot, sym_grad, trace

POISSON = 0.3
STRAIN = -0.001


@BilinearForm
def elasticity(u, v, w):
    e = w["young"]
    mu, la = e / (2 * (1 + POISSON)), e * POISSON / ((1 + POISSON) * (1 - 2 * POISSON))
    return 2 * mu * ddot(sym_grad(u), sym_grad(v)) + la * trace(sym_grad(u)) * trace(sym_grad(v))


def resident(key: str) -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.search(rf"{key}:\s+(\d+)", text)[1])


def rigid_motions(xyz: np.ndarray) -> np.ndarray:
    x, y, z = xyz - xyz.mean(axis=1, keepdims=True)
    modes = np.zeros((xyz.size, 6))
    for axis in range(3):
        modes[axis::3, axis] = 1.0
    modes[0::3, 3], modes[1::3, 3] = -y, x
    modes[1::3, 4], modes[2::3, 4] = -z, y
    modes[0::3, 5], modes[2::3, 5] = z, -x
    return modes


def main(path: str, tolerance: float) -> None:
    before, start = resident("VmRSS"), time.process_time()
    young = np.load(path)  # [k, j, i] = [z, y, x]
    n = len(young)
    line = np.arange(n + 1.0)
    mesh = MeshHex.init_tensor(line, line, line)
    basis = Basis(mesh, ElementVector(ElementHex1()), intorder=2)
    x, y, z = mesh.p[:, mesh.t].mean(axis=1).astype(int)
    matrix = elasticity.assemble(basis, young=np.repeat(young[z, y, x][:, None], basis.X.shape[1], axis=1))
    low, high = (basis.get_dofs(lambda p, at=at: np.isclose(p[2], at)) for at in (0.0, n))
    known = basis.zeros()
    known[high.nodal["u^3"]] = STRAIN * n
    fixed = np.concatenate([low.flatten(), high.flatten()])
    free, load, _, kept = condense(matrix, x=known, D=fixed)
    levels = pyamg.smoothed_aggregation_solver(
        free.tobsr((3, 3)), B=rigid_motions(mesh.p)[kept], smooth="energy",
        presmoother=("block_gauss_seidel", {"sweep": "symmetric"}),
        postsmoother=("block_gauss_seidel", {"sweep": "symmetric"}),
    )  # fmt: skip
    residuals: list[float] = []
    known[kept] = levels.solve(load, tol=tolerance, accel="cg", residuals=residuals)
    force = (matrix @ known)[high.nodal["u^3"]].sum()
    cost = {"cpu_s": time.process_time() - start, "bytes": resident("VmHWM") - before}
    print(json.dumps({**cost, "iterations": len(residuals) - 1, "force_n": force, "dof": 3 * (n + 1) ** 3}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
