"""The phantom as files, so that it is read through the same door as a patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from trocar.anatomy.phantom import Phantom
from trocar.volume import Volume

SCAN, LABELS = "scan.nii.gz", "labels.nii.gz"


def write_phantom(patient: Phantom, folder: Path) -> tuple[Path, Path]:
    """Write the scan (whole HU) and its labels as NIfTI into an existing folder; returns both paths."""
    scan, labels = folder / SCAN, folder / LABELS
    sitk.WriteImage(_image(patient.ct, np.int16), str(scan), useCompression=True, compressionLevel=1)
    sitk.WriteImage(_image(patient.labels, np.uint8), str(labels), useCompression=True, compressionLevel=1)
    return scan, labels


def _image(volume: Volume, dtype: Any) -> Any:
    image = sitk.GetImageFromArray(np.rint(volume.array).astype(dtype))
    steps = np.linalg.norm(volume.affine[:3, :3], axis=0)
    image.SetSpacing(steps.tolist())
    image.SetDirection((volume.affine[:3, :3] / steps).ravel().tolist())
    image.SetOrigin(volume.affine[:3, 3].tolist())
    return image
