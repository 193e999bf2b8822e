"""``simulation.json`` and its fields: there and back, and what is none."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from trocar.errors import CaseFileError
from trocar.io.simulation_file import SCHEMA, field_files, read_simulation, to_json
from trocar.io.whole import write_files
from trocar.measure import Finding, Measure, Severity, Status, Topic
from trocar.treatment import Simulation
from trocar.volume import Volume

from .test_plan_file import made


def turned() -> np.ndarray:
    """A grid turned about two axes, as the model of a vertebra is."""
    c, s = np.cos(0.3), np.sin(0.3)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) * 1.1
    affine[:3, 3] = (-31.25, 7.0, 400.0)
    return affine


def simulated() -> Simulation:
    rng = np.random.default_rng(3)
    energy = rng.random((3, 4, 5)).astype(np.float32)
    volumes = {
        "strain_energy_as_is": Volume(energy, turned(), "1.2", "mJ/mm3"),
        "cement": Volume(energy > 0.5, turned(), "1.2", "mask"),
    }
    measures = (Measure("stiffness_as_is", 1.0 / 3.0, "N/mm", 0.1, 0.7, "bone laws", "PMMA caps"),)
    findings = (Finding(Severity.CAUTION, "tilts", "0.6°"),)
    series = {"sweep": {"place": ["central"], "fill_percent": [5.0]}}
    return Simulation(made(), Status.SUCCESS, volumes, series, measures, findings, ("A book.",))


def saved(folder: Path, simulation: Simulation, fields: bool = True) -> Path:
    files = {"simulation.json": to_json(simulation, fields).encode()}
    write_files(folder, files | (field_files(simulation) if fields else {}))
    return folder


def test_a_simulation_comes_back_equal_with_its_fields(tmp_path: Path) -> None:
    before = simulated()
    after = read_simulation(saved(tmp_path / "out", before), before.plan)
    assert replace(after, volumes={}) == replace(before, volumes={})
    assert list(after.volumes) == list(before.volumes)
    for name, volume in before.volumes.items():
        found = after.volumes[name]
        np.testing.assert_array_equal(found.array, volume.array)
        np.testing.assert_array_equal(found.affine, volume.affine)
        assert (found.unit, found.frame_of_reference) == (volume.unit, volume.frame_of_reference)
        assert found.array.dtype == volume.array.dtype


def test_the_topic_of_a_finding_comes_back_and_older_files_had_none(tmp_path: Path) -> None:
    before = simulated()
    leak = Finding(Severity.NOTE, "spreads", topic=Topic.CEMENT)
    text = to_json(replace(before, findings=(*before.findings, leak)), False)
    rows = json.loads(text)["findings"]
    assert [row.get("topic") for row in rows] == [None, "cement"]
    path = tmp_path / "simulation.json"
    path.write_text(text, encoding="utf-8")
    assert [f.topic for f in read_simulation(path, before.plan).findings] == [Topic.GENERAL, Topic.CEMENT]


def test_without_fields_the_numbers_come_back(tmp_path: Path) -> None:
    before = simulated()
    after = read_simulation(saved(tmp_path / "out", before, fields=False) / "simulation.json", before.plan)
    assert after == replace(before, volumes={})


def test_others_find_a_field_where_it_lies(tmp_path: Path) -> None:
    """nibabel's RAS: left and posterior change sign."""
    before = simulated()
    path = saved(tmp_path / "out", before) / "fields" / "strain_energy_as_is.nii.gz"
    image = nibabel.nifti1.Nifti1Image.from_filename(path)
    np.testing.assert_allclose(image.affine, np.diag([-1, -1, 1, 1]) @ turned(), atol=1e-4)
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, before.volumes["strain_energy_as_is"].array)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert bytes(image.header["descrip"]).rstrip(b"\0") == b"strain_energy_as_is [mJ/mm3]"
    mask = nibabel.nifti1.Nifti1Image.from_filename(path.parent / "cement.nii.gz")
    assert bytes(mask.header["descrip"]).rstrip(b"\0") == b"cement [1 inside, 0 outside]"


def test_a_field_says_that_strain_is_a_fraction() -> None:
    simulation = simulated()
    strain = replace(simulation.volumes["strain_energy_as_is"], unit="1")
    files = field_files(replace(simulation, volumes={"effective_strain_as_is": strain}))
    said = gzip.decompress(files["fields/effective_strain_as_is.nii.gz"])[148:228].rstrip(b"\0")
    assert said == b"effective_strain_as_is [fraction, 0.01 is 1 %]"


def test_the_layout_others_read() -> None:
    d = json.loads(to_json(simulated(), fields=True))
    assert d["schema"] == SCHEMA == "trocar-simulation/1"
    assert d["procedure"] == {"name": "vertebroplasty", "level": "T12"}
    assert d["status"] == "SUCCESS"
    assert d["measures"][0]["method"] == "PMMA caps"
    field = d["volumes"]["strain_energy_as_is"]
    assert (field["unit"], field["shape_kji"], field["file"]) == (
        "mJ/mm3",
        [3, 4, 5],
        "fields/strain_energy_as_is.nii.gz",
    )
    assert json.loads(to_json(simulated()))["volumes"]["cement"]["file"] is None


def test_what_is_not_a_number_is_null() -> None:
    gaps = replace(simulated(), series={"section": {"height_mm": np.array([0.0, np.nan]), "deep": [{"x": np.inf}]}})
    assert json.loads(to_json(gaps))["series"] == {"section": {"height_mm": [0.0, None], "deep": [{"x": None}]}}


def test_a_value_that_was_not_found_is_null_and_comes_back_as_none_found(tmp_path: Path) -> None:
    lost = Measure("middle_height_inflated", np.nan, "mm", np.nan, np.inf, "laws")
    before = replace(simulated(), measures=(lost, *simulated().measures))
    written = json.loads(to_json(before))["measures"][0]
    assert (written["value"], written["low"], written["high"], written["unit"]) == (None, None, None, "mm")
    found, *others = read_simulation(saved(tmp_path / "out", before), made()).measures
    assert np.isnan(found.value)
    assert (found.name, found.low, found.high) == (lost.name, None, None)
    assert tuple(others) == simulated().measures


def test_the_simulation_of_another_plan_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "out", simulated())
    with pytest.raises(CaseFileError, match="of another plan"):
        read_simulation(folder, replace(made(), not_checked=()))


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "out", simulated())
    (folder / "fields" / "cement.nii.gz").unlink()
    with pytest.raises(CaseFileError, match=r"cement\.nii\.gz is missing"):
        read_simulation(folder, made())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[]", "names no schema"),
        ('{"schema": "trocar-simulation/2"}', "'trocar-simulation/2' is not 'trocar-simulation/1'"),
        ('{"schema": "trocar-simulation/1"}', "damaged"),
        (to_json(simulated()).replace('"SUCCESS"', '"DONE"'), "damaged"),
    ],
)
def test_what_is_no_simulation_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "simulation.json").write_text(text, encoding="utf-8")
    with pytest.raises(CaseFileError, match=said):
        read_simulation(tmp_path, made())


def test_a_simulation_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CaseFileError, match="cannot be read"):
        read_simulation(tmp_path, made())
