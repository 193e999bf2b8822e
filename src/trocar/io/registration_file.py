"""``registration.json``: where a vertebra is during fluoroscopy, for the commands that follow."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trocar.anatomy.levels import Level
from trocar.errors import CaseFileError, ImageError
from trocar.geometry import Pose
from trocar.guidance.carm import AT_REST
from trocar.guidance.registration import Registration
from trocar.io.case_text import damage, read_document, read_text
from trocar.io.records import finite, plain
from trocar.measure import Finding, Measure, Severity
from trocar.volume import Volume

#: Name and version of the layout.
SCHEMA = "trocar-registration/1"
#: How far a vertebra is from where the CT has it when nobody has looked, standard deviation, mm. Ours: a patient who
#: was laid anew lies elsewhere by half a centimetre and more.
UNCHECKED_SD_MM = 5.0
#: A vertebra that is not known to within this is not registered, whatever a file says, mm.
WORST_SD_MM = 20.0
_WANTED = "the registration.json that 'trocar guide register' wrote"


@dataclass(frozen=True, eq=False)
class Registered:
    """What later steps need of a registration.

    ``displacement.to_world`` takes the CT's coordinates to where the bone is (LPS, mm); ``sd_mm`` is one standard
    deviation of the body's centre in the worst direction; ``stops`` say why it must not be used, if anything does.
    ``scan`` is the :func:`scan_digest` of the CT that was registered.
    """

    level: Level
    displacement: Pose
    sd_mm: float
    stops: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    scan: str = ""

    @classmethod
    def as_scanned(cls, level: Level) -> Registered:
        """The vertebra where the CT has it, which nobody has checked."""
        text = (
            f"{level} is taken to lie as in the CT, give or take {UNCHECKED_SD_MM:g} mm: nobody has looked where it "
            "is. Run 'trocar guide register' and give its registration.json."
        )
        return cls(level, AT_REST, UNCHECKED_SD_MM, (), (Finding(Severity.CAUTION, text, "no registration was given"),))

    def require_reliable(self) -> None:
        """Raise :class:`trocar.errors.ImageError` where it must not be used."""
        if self.stops:
            raise ImageError(f"this registration is marked unreliable: {self.stops[0]}")


def scan_digest(ct: Volume) -> str:
    """SHA-256 of the digests of a CT's files: the same for the same scan, whatever its labels and its plan."""
    digests = ct.acquisition.digests if ct.acquisition is not None else {}
    return hashlib.sha256("".join(sorted(digests.values())).encode()).hexdigest() if digests else ""


def to_json(found: Registration, runs: dict[str, int], measures: tuple[Measure, ...] = (), scan: str = "") -> str:
    """A registration as JSON text, reliable or not.

    ``runs`` are the images it rests on, each with its frame; ``scan`` is the CT's :func:`scan_digest`.
    """
    spread = np.linalg.eigvalsh(found.confidence.covariance_mm2[:3, :3])
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "research_use_only": True,
        "frame": "LPS, mm: x = rotation * x_in_ct + origin_mm",
        "level": str(found.level),
        "scan_sha256": scan,
        "reliable": found.reliable,
        "rotation": plain(found.displacement.axes),
        "origin_mm": plain(found.displacement.origin_mm),
        "sd_mm": float(np.sqrt(max(spread[-1], 0.0))),
        "similarity": found.similarity,
        "lead": found.lead,
        "runs": runs,
        "measures": plain((*found.measures, *measures)),
        "findings": plain(found.findings),
    }
    return json.dumps(finite(document), indent=1, ensure_ascii=False, allow_nan=False)


def read_registration(path: str | Path) -> Registered:
    """What was written; raises :class:`trocar.errors.CaseFileError` where the file holds none."""
    document = read_document(read_text(Path(path), _WANTED), SCHEMA, _WANTED)
    try:
        return _registered(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CaseFileError(f"registration.json is damaged ({damage(error)}): register again.") from error


def _registered(d: dict[str, Any]) -> Registered:
    findings = tuple(Finding(Severity(f["severity"]), f["text"], f["because"]) for f in d["findings"])
    stops = tuple(f.text for f in findings if f.severity is Severity.STOP)
    if d["reliable"] is not (not stops):
        raise ValueError("it calls itself reliable or not, and its findings say otherwise")
    origin, sd_mm = np.array(d["origin_mm"], dtype=np.float64), float(d["sd_mm"])
    if origin.shape != (3,) or not np.isfinite(origin).all() or not (stops or 0.0 <= sd_mm <= WORST_SD_MM):
        raise ValueError("a place or its error is none")
    pose = Pose(origin, np.array(d["rotation"], dtype=np.float64))
    return Registered(Level.parse(d["level"]), pose, sd_mm, stops, findings, str(d["scan_sha256"]))
