"""The case folder: report, plan, simulation and figures, written whole or not at all, never over the input."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from trocar.errors import CaseFileError, OutputError
from trocar.io import simulation_file
from trocar.io.plan_file import read_plan, to_json
from trocar.io.whole import write_files
from trocar.reporting.html import html
from trocar.reporting.pdf import pdf
from trocar.reporting.report import Report
from trocar.treatment import Plan


def check_folder(folder: str | Path, inputs: Iterable[str | Path] = ()) -> Path:
    """``folder`` as a path that may be written to.

    Raises :class:`OutputError` when it is a file, is one of ``inputs``, or lies inside one of them:
    results do not go among the images.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file: name a folder for the results.")
    here = folder.resolve()
    for source in map(Path, inputs):
        there = source.resolve()
        if here == there or there in here.parents:
            raise OutputError(f"{folder} is the input, or inside it: name another folder for the results.")
    return folder


def check_unsimulated(folder: str | Path) -> None:
    """Raise :class:`OutputError` where ``folder`` holds a simulation: a new plan would make it one of another plan."""
    if (Path(folder) / "simulation.json").exists():
        raise OutputError(
            f"{folder} holds the simulation of an earlier plan: name another folder, or remove that one first."
        )


def check_same_plan(folder: str | Path, plan: Plan) -> None:
    """Raise :class:`OutputError` where ``folder`` holds another plan than ``plan``."""
    if not (Path(folder) / "plan.json").exists():
        return
    try:
        same = simulation_file.digest(read_plan(folder)) == simulation_file.digest(plan)
    except CaseFileError:
        same = False
    if not same:
        raise OutputError(f"{folder} holds another plan than the one given: name another folder for the results.")


def check_writable(folder: str | Path) -> None:
    """Raise :class:`OutputError` where ``folder`` cannot be made or written to, before anything is computed.

    Tried, not asked: a folder is made and removed in ``folder`` or the nearest one above it that exists, and where it
    exists also beside it, where results are put together.
    """
    folder = Path(folder)
    nearest = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    for place in (nearest, folder.absolute().parent) if nearest == folder else (nearest,):
        try:
            Path(tempfile.mkdtemp(prefix=".trocar-", dir=place)).rmdir()
        except OSError as error:
            raise OutputError(f"{folder} cannot be written to ({error.strerror}): name another folder.") from None


def write(
    report: Report,
    folder: str | Path,
    inputs: Iterable[str | Path] = (),
    fields: bool = False,
    case_id: str | None = None,
) -> Path:
    """Write ``report.html``, ``report.pdf``, ``plan.json`` and ``figures/`` into ``folder``.

    A report with a simulation also gives ``simulation.json``, and with ``fields`` every volume of it as NIfTI in
    ``fields/``. ``case_id`` is the pseudonym that ``plan.json`` keeps. Everything is made in a temporary folder beside
    the target first; a failure leaves what was there before. Returns the folder.
    """
    folder = check_folder(folder, inputs)
    files: dict[str, bytes] = {
        "plan.json": to_json(report.plan, case_id).encode(),
        "report.html": html(report).encode(),
        "report.pdf": pdf(report),
    }
    files |= {f"figures/{name}.png": data for name, data in report.figures.items()}
    if report.simulation is not None:
        files["simulation.json"] = simulation_file.to_json(report.simulation, fields).encode()
        files |= simulation_file.field_files(report.simulation) if fields else {}
    write_files(folder, files)
    return folder
