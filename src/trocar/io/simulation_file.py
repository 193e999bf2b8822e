"""``simulation.json``: what a simulation found as text, its fields beside it, and back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.errors import CaseFileError
from trocar.io.case_text import damage, read_document, read_text
from trocar.io.nifti import nifti_bytes, read_nifti
from trocar.io.plan_file import to_json as plan_to_json
from trocar.io.records import finite, plain, read_findings, read_measures
from trocar.measure import Status
from trocar.treatment import Plan, Simulation
from trocar.volume import Volume

#: Name and version of the layout. A change that an old reader would misread gets a new number.
SCHEMA = "trocar-simulation/1"
_WANTED = "the simulation.json of a simulation"
#: Units whose voxels are whole numbers, and the type they are stored as; all others are 32-bit floats.
_STORED = {"mask": np.uint8, "label": np.int16}


def to_json(simulation: Simulation, fields: bool = False) -> str:
    """The simulation as indented JSON text; ``fields`` names the file of each volume, see :func:`field_files`."""
    plan = simulation.plan
    document = {
        "schema": SCHEMA,
        "trocar_version": simulation.version,
        "research_use_only": True,
        "frame": "LPS, mm",
        "procedure": {"name": plan.procedure.name, "level": str(plan.procedure.level)},
        "plan_sha256": digest(plan),
        "status": simulation.status.name,
        "measures": plain(simulation.measures),
        "findings": plain(simulation.findings),
        "references": list(simulation.references),
        "series": finite(plain(simulation.series)),
        "volumes": {name: _volume(name, v, fields) for name, v in simulation.volumes.items()},
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def field_files(simulation: Simulation) -> dict[str, bytes]:
    """Every volume as the bytes of a NIfTI file, by its name in a case folder."""
    return {
        _file(name): nifti_bytes(v, _STORED.get(v.unit, np.float32), compressed=True, says=_says(name, v.unit))
        for name, v in simulation.volumes.items()
    }


def read_simulation(path: str | Path, plan: Plan) -> Simulation:
    """Read ``simulation.json``, or the one in a case folder, with the fields that lie beside it.

    Raises :class:`CaseFileError` where it is no simulation, is of another plan, or a field it names is missing.
    """
    path = Path(path)
    path = path / "simulation.json" if path.is_dir() else path
    document = read_document(read_text(path, _WANTED), SCHEMA, _WANTED)
    try:
        if document["plan_sha256"] != digest(plan):
            raise CaseFileError(f"{path} is the simulation of another plan: simulate this one.")
        return _simulation(document, plan, path.parent)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CaseFileError(f"{path} is damaged ({damage(error)}): simulate again.") from error


#: Units of fields as they are said in a NIfTI, which has no place for the unit of a voxel's value.
_SAID = {"1": "fraction, 0.01 is 1 %", "mask": "1 inside, 0 outside", "label": "label numbers"}


def _says(name: str, unit: str) -> str:
    """A field's name and unit."""
    return f"{name} [{_SAID.get(unit, unit)}]"


def digest(plan: Plan) -> str:
    """SHA-256 of the plan as text, without its pseudonym: equal plans have equal digests."""
    return hashlib.sha256(plan_to_json(plan).encode()).hexdigest()


def _file(name: str) -> str:
    return f"fields/{name}.nii.gz"


def _volume(name: str, volume: Volume, written: bool) -> dict[str, Any]:
    return {
        "unit": volume.unit,
        "shape_kji": list(volume.shape),
        "affine_ijk_to_lps_mm": volume.affine.tolist(),
        "frame_of_reference": volume.frame_of_reference,
        "file": _file(name) if written else None,
    }


def _simulation(d: dict[str, Any], plan: Plan, folder: Path) -> Simulation:
    return Simulation(
        plan,
        Status[d["status"]],
        {name: _read_volume(v, folder) for name, v in d["volumes"].items() if v["file"]},
        d["series"],
        read_measures(d["measures"]),
        read_findings(d["findings"]),
        tuple(d["references"]),
        d["trocar_version"],
    )


def _read_volume(d: dict[str, Any], folder: Path) -> Volume:
    path = folder / d["file"]
    if not path.is_file():
        raise CaseFileError(f"{path} is missing: simulate again with --fields.")
    array: NDArray[Any] = read_nifti(path).array
    affine = np.array(d["affine_ijk_to_lps_mm"])  # NIfTI keeps it in single precision only
    return Volume(array.astype(bool) if d["unit"] == "mask" else array, affine, d["frame_of_reference"], d["unit"])
