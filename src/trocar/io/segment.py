"""Making labels with TotalSegmentator or SPINEPS, as external programs where they are installed.

They are run, never imported: their dependencies stay their own. No usage statistics leave the
machine and nothing is downloaded; weights are put in place by the user.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trocar.anatomy.schemes import scheme
from trocar.errors import ImageError, OutputError, ToolError
from trocar.io.ct import read_ct
from trocar.io.nifti import read_nifti, write_nifti
from trocar.io.nifti_names import header_names
from trocar.volume import Volume

#: A proxy at which nothing listens (port 9, "discard"): who asks for the network through the usual variables gets none.
_NOWHERE = "http://127.0.0.1:9"
OFFLINE = {
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _NOWHERE),
    **dict.fromkeys(("no_proxy", "NO_PROXY"), ""),
    "HF_HUB_OFFLINE": "1",
}

#: Words in a program's last output that mean it wanted to download its weights.
_WANTED_NETWORK = ("ConnectionError", "ProxyError", "Max retries", "urlopen error", "Download", "download")


@dataclass(frozen=True)
class Segmented:
    """The label files that were written, and the scheme to read them with."""

    paths: tuple[Path, ...]
    scheme: str

    def __str__(self) -> str:
        labels = " ".join(f"--labels {path}" for path in self.paths)
        return f"{labels} --scheme {self.scheme}"


def segment(
    ct_path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    tool: str = "totalsegmentator",
    *,
    fast: bool = False,
    series: str | None = None,
) -> Segmented:
    """Label a scan with an external program; the files appear whole or not at all.

    ``out`` ends in ``.nii.gz`` and must not exist. SPINEPS writes two files, named after it. ``fast``
    is TotalSegmentator's 3 mm model. Raises :class:`ToolError` when the program, its weights or its
    output is missing, and :class:`OutputError` when ``out`` cannot be written.
    """
    if tool not in _TOOLS:
        raise ValueError(f"tool={tool!r} is not known: use {' or '.join(_TOOLS)}.")
    if fast and tool != "totalsegmentator":
        raise ValueError(f"fast=True is a mode of totalsegmentator; {tool} has none.")
    target = _target(Path(out), tool)
    program = _program(tool)
    ct = read_ct(ct_path, series=series)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".trocar-segment-") as folder:
        return _TOOLS[tool](program, ct, Path(folder), target, fast)


def _target(out: Path, tool: str) -> Path:
    """``out``, once it is known that it can be written and is nobody's file."""
    if not out.name.endswith(".nii.gz"):
        raise ValueError(f"out={out.name} must end in .nii.gz.")
    if not out.parent.is_dir():
        raise OutputError(f"there is no folder {out.parent}: make it first.")
    for path in _spineps_targets(out).values() if tool == "spineps" else [out]:
        if path.exists():
            raise OutputError(f"{path} is there already and is not written over: choose another name.")
    return out


def _spineps_targets(out: Path) -> dict[str, Path]:
    stem = out.name.removesuffix(".nii.gz")
    return {kind: out.with_name(f"{stem}_seg-{kind}_msk.nii.gz") for kind in ("vert", "spine")}


#: Each tool's program, and how a user comes by it.
_PROGRAMS = {
    "totalsegmentator": ("TotalSegmentator", "pip install TotalSegmentator"),
    "spineps": ("spineps", "pip install spineps"),
}


def _program(tool: str) -> str:
    name, install = _PROGRAMS[tool]
    found = shutil.which(name)
    if found is None:
        raise ToolError(
            f"{name} is not installed here, or not on the PATH: install it in an environment of its own ({install}), "
            "or give labels made elsewhere with --labels."
        )
    return found


def _totalsegmentator(program: str, ct: Volume, folder: Path, out: Path, fast: bool) -> Segmented:
    home = Path(os.environ.get("TOTALSEG_HOME_DIR") or Path(os.path.expanduser("~")) / ".totalsegmentator")
    weights = Path(os.environ.get("TOTALSEG_WEIGHTS_PATH") or home / "nnunet" / "results")
    _check_weights(weights, "TotalSegmentator", "TOTALSEG_WEIGHTS_PATH")
    _private_home(home, folder / "home")
    scan, labels = write_nifti(ct, folder / "ct.nii.gz", np.int16), folder / "labels.nii.gz"
    command = [program, "-i", str(scan), "-o", str(labels), "--ml", "--task", "total", *(["--fast"] if fast else [])]
    settings = {"TOTALSEG_HOME_DIR": str(folder / "home"), "TOTALSEG_WEIGHTS_PATH": str(weights)}
    _run(command, "TotalSegmentator", settings, weights)
    _check_labels(labels, "TotalSegmentator")
    _check_version(labels)
    os.replace(labels, out)
    return Segmented((out,), "totalseg-v2")


def _private_home(home: Path, private: Path) -> None:
    """The user's configuration (with a licence, where there is one) beside which nothing is counted or sent."""
    config: dict[str, Any] = {"totalseg_id": "", "prediction_counter": 0}
    # no configuration yet, or a damaged one: the defaults do
    with contextlib.suppress(OSError, ValueError, TypeError):
        config |= json.loads((home / "config.json").read_text(encoding="utf-8"))
    private.mkdir()
    (private / "config.json").write_text(json.dumps(config | {"send_usage_stats": False}), encoding="utf-8")


def _check_version(labels: Path) -> None:
    """Version 2 writes its names into the header; the numbers of version 1 mean other things."""
    says = header_names(labels)
    expected = scheme("totalseg-v2").labels
    if not says or any(says.get(n) != expected[n] for n in scheme("totalseg-v2").levels):
        raise ToolError(
            "TotalSegmentator wrote labels that are not named as version 2 names them: update it to version 2 or "
            "later, or run it yourself and name the scheme of its version."
        )


def _spineps(program: str, ct: Volume, folder: Path, out: Path, fast: bool) -> Segmented:
    models = os.environ.get("SPINEPS_SEGMENTOR_MODELS")
    if models:
        _check_weights(Path(models), "SPINEPS", "SPINEPS_SEGMENTOR_MODELS")
    scan = write_nifti(ct, folder / "sub-trocar_ct.nii.gz", np.int16)
    models_ct = ["-ms", "ct", "-mv", "ct_instance", "-ml", "ct_labeling"]
    place = Path(models) if models else None
    _run([program, "sample", "-i", str(scan), *models_ct], "SPINEPS", {}, place)
    targets = _spineps_targets(out)
    found = {kind: _spineps_output(folder, kind) for kind in targets}
    for kind, path in targets.items():
        os.replace(found[kind], path)
    return Segmented(tuple(targets.values()), "spineps")


def _spineps_output(folder: Path, kind: str) -> Path:
    found = sorted(folder.rglob(f"*_seg-{kind}_msk.nii.gz"))
    if not found:
        raise ToolError(f"SPINEPS ended without an error but wrote no {kind} labels: run it by hand to see why.")
    _check_labels(found[0], "SPINEPS")
    return found[0]


def _check_weights(folder: Path, name: str, variable: str) -> None:
    if not folder.is_dir() or not any(folder.iterdir()):
        raise ToolError(
            f"the weights of {name} are not here: put them at {folder}, or set {variable} to where they are. "
            "Trocar downloads nothing."
        )


def _run(command: list[str], name: str, settings: Mapping[str, str], weights: Path | None) -> None:
    """Run a program without a network; raises :class:`ToolError` with its last words when it fails."""
    try:
        done = subprocess.run(
            command, env={**os.environ, **OFFLINE, **settings}, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise ToolError(f"{name} could not be started ({error.strerror}): check its installation.") from error
    if done.returncode == 0:
        return
    words = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
    if any(sign in line for line in words for sign in _WANTED_NETWORK):
        place = f"at {weights}" if weights else "where SPINEPS_SEGMENTOR_MODELS points"
        raise ToolError(
            f"{name} wanted to download something, most likely weights that are missing {place}: put them there. "
            "Trocar gives it no network."
        )
    raise ToolError(f"{name} failed (exit code {done.returncode}): {words[-1][:300]}")


def _check_labels(path: Path, name: str) -> None:
    if not path.is_file():
        raise ToolError(f"{name} ended without an error but wrote no labels: run it by hand to see why.")
    try:
        empty = not read_nifti(path).array.any()
    except ImageError as error:
        raise ToolError(f"{name} wrote labels that cannot be read: {error}") from error
    if empty:
        raise ToolError(f"{name} labelled nothing in this scan: check that it shows the spine.")


_TOOLS = {"totalsegmentator": _totalsegmentator, "spineps": _spineps}
