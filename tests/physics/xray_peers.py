"""Other programs that project a CT, run on the same rays: RTK from ``make peers``, plastimatch from Debian."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trocar.physics.xray import Beam

from .peers import PEERS, needed

PYTHON = PEERS / "bin" / "python"
SCRIPT = Path(__file__).with_name("xray_rtk.py")
#: Plastimatch prints integrals over centimetres.
MM_PER_CM = 10.0


@dataclass(frozen=True, eq=False)
class Projected:
    """A peer's image ``[row, column]``, and the seconds (clock, processors) of the projection alone where it tells."""

    image: np.ndarray
    seconds: float = float("nan")
    cpu_s: float = float("nan")


def rtk() -> Path | None:
    """The interpreter that has itk-rtk."""
    return PYTHON if any(PEERS.glob("lib/python*/site-packages/itk_rtk-*.dist-info")) else None


def need_rtk() -> Path:
    return needed(rtk(), "RTK (itk-rtk)", "make peers")


def plastimatch() -> Path | None:
    found = shutil.which("plastimatch")
    return Path(found) if found else None


def need_plastimatch() -> Path:
    return needed(plastimatch(), "plastimatch", "apt-get install plastimatch")


@dataclass(frozen=True, eq=False)
class Problem:
    """A volume ``[k, j, i]``, its spacing, and the rays through it."""

    volume: np.ndarray
    spacing_mm: tuple[float, ...]
    beam: Beam


def run_rtk(python: Path, problems: list[Problem], folder: Path, threads: int = 2, repeats: int = 1) -> list[Projected]:
    """RTK's Joseph projections of the same rays, in one process; seconds are the least of so many repeats."""
    paths = [folder / f"problem{n}.npz" for n in range(len(problems))]
    for path, p in zip(paths, problems, strict=True):
        vectors = {
            "source": p.beam.source_mm,
            "corner": p.beam.corner_mm,
            "down": p.beam.down_mm,
            "right": p.beam.right_mm,
        }
        np.savez(path, volume=p.volume, spacing_mm=p.spacing_mm, shape=p.beam.shape, **vectors)
    call([python, SCRIPT, str(threads), str(repeats), *paths], folder)
    return [answered(path) for path in paths]


def answered(problem: Path) -> Projected:
    with np.load(f"{problem}.answer.npz") as answer:
        return Projected(answer["image"], float(answer["seconds"]), float(answer["cpu_s"]))


def run_plastimatch(program: Path, problem: Problem, folder: Path, algorithm: str = "exact") -> Projected:
    """Plastimatch's projection of the same rays. The volume's axes are head, back, left; its middle the isocentre.

    The beam must be square to the detector's middle, as that of a C-arm is. Plastimatch shows it as seen from the
    source, and leaves out the last voxel of each ray: what is projected must end within the box.
    """
    volume, spacing_mm, beam = problem.volume, problem.spacing_mm, problem.beam
    write_mha(folder / "volume.mha", volume, spacing_mm)
    rows, columns = beam.shape
    height, width = np.linalg.norm(beam.down_mm), np.linalg.norm(beam.right_mm)
    middle = beam.corner_mm + (rows - 1) / 2 * beam.down_mm + (columns - 1) / 2 * beam.right_mm
    axis = (middle - beam.source_mm) / np.linalg.norm(middle - beam.source_mm)
    isocentre = (np.array(volume.shape) - 1) / 2 * spacing_mm
    options = {
        "-A": "cpu", "-i": algorithm, "-P": "none", "-t": "pfm", "-r": f"{rows} {columns}",
        "-z": f"{rows * height:.9g} {columns * width:.9g}", "-o": xyz(isocentre), "-n": xyz(-axis),
        "--vup": xyz(-beam.down_mm / height), "--sad": f"{(isocentre - beam.source_mm) @ axis:.9g}",
        "--sid": f"{(middle - beam.source_mm) @ axis:.9g}", "-O": "image", "-I": "volume.mha",
    }  # fmt: skip
    call([program, "drr", *(word for option in options.items() for word in option)], folder)
    return Projected(MM_PER_CM * np.fliplr(read_pfm(next(folder.glob("image*.pfm")))))


def call(command: list[str | Path], folder: Path) -> None:
    """Run to the end; a peer that fails is a failure here."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def xyz(kji: np.ndarray) -> str:
    return " ".join(f"{x:.12g}" for x in kji[::-1])


def write_mha(path: Path, volume: np.ndarray, spacing_mm: tuple[float, ...]) -> None:
    """A MetaImage whose first voxel's centre is the origin."""
    header = [
        "ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False", "Offset = 0 0 0",
        "TransformMatrix = 1 0 0 0 1 0 0 0 1", f"ElementSpacing = {xyz(np.array(spacing_mm))}",
        f"DimSize = {' '.join(str(n) for n in volume.shape[::-1])}", "ElementType = MET_FLOAT",
        "ElementDataFile = LOCAL",
    ]  # fmt: skip
    path.write_bytes("\n".join(header).encode() + b"\n" + np.ascontiguousarray(volume, "<f4").tobytes())


def read_pfm(path: Path) -> np.ndarray:
    """A portable float map as plastimatch writes it: its rows run down."""
    with path.open("rb") as file:
        kind, size, scale = (file.readline().split() for _ in range(3))
        assert kind == [b"Pf"], kind
        columns, rows = (int(n) for n in size)
        numbers = np.frombuffer(file.read(), "<f4" if float(scale[0]) < 0 else ">f4")
    return numbers.reshape(rows, columns).astype(np.float32)
