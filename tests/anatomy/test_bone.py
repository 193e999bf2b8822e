"""From CT numbers to density: lines with a known answer, drawn patients, a published calibration, real scans."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trocar.anatomy.attenuation import ABSORBERS, K2HPO4, WATER, Reference, expected_hu
from trocar.anatomy.bone import (
    DISPLACED_HU,
    PHANTOM_SPREAD,
    ZERO_HU,
    Calibration,
    Kind,
    Mineral,
    calibrated,
    density,
    effective_energy_kev,
    internal,
)
from trocar.anatomy.labels import split
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy, build_anatomy
from trocar.anatomy.phantom import PhantomSpec, phantom
from trocar.anatomy.references import reference_hu
from trocar.anatomy.schemes import scheme
from trocar.errors import ImageError
from trocar.io.ct import read_ct
from trocar.io.labels import read_labels
from trocar.measure import Severity
from trocar.physics.materials import Density
from trocar.volume import Volume

#: Mass attenuation of K2HPO4 and water, cm2/g, from xraydb 4.5.8 (Elam's tables, by element): another source than ours.
XRAYDB = {55: (0.45838, 0.21494), 65: (0.33887, 0.19871), 70: (0.30152, 0.19285), 97: (0.20284, 0.17237)}


@pytest.mark.parametrize("energy_kev", XRAYDB)
def test_attenuation_between_the_tables(energy_kev: float) -> None:
    assert (K2HPO4.at(energy_kev), WATER.at(energy_kev)) == pytest.approx(XRAYDB[energy_kev], rel=1e-3)


def test_water_and_air_are_the_ends_of_the_scale() -> None:
    assert expected_hu(Reference.AIR, 70.0) == pytest.approx(-1000.0, abs=1.5)
    assert WATER.linear_per_cm(60.0) == 0.2059
    with pytest.raises(ValueError, match=r"energy_kev=30.0 is outside 40 to 150 keV"):
        WATER.at(30.0)


def test_a_published_calibration_uses_the_same_attenuation(shared_data: Path) -> None:
    """Ogo's internal calibration of a VerSe scan prints its coefficients at 97 keV, to three digits.

    Its tables are interpolated linearly, which lies up to 1 % above the curve between 80 and 100 keV.
    """
    text = (shared_data / "bonelab_verse004_L2" / "calibration.txt").read_text().split("Mass Attenuation")[1]
    names = {"Adipose": "FAT", "Air": "AIR", "Blood": "BLOOD", "Cortical Bone": "CORTICAL_BONE"}
    printed = {n: float(re.search(rf"{n} +([\d.]+)", text)[1]) for n in (*names, "Skeletal Muscle", "K2HPO4", "Water")}
    ours = {n: ABSORBERS[Reference[r]].at(97.0) for n, r in names.items()}
    ours |= {
        "Skeletal Muscle": ABSORBERS[Reference.MUSCLE].at(97.0),
        "K2HPO4": K2HPO4.at(97.0),
        "Water": WATER.at(97.0),
    }
    for name, value in printed.items():
        assert ours[name] == pytest.approx(value, rel=0.012), name


def test_that_calibration_in_trabecular_bone(shared_data: Path) -> None:
    """At 100 to 200 HU our straight line through its CT numbers and its own curve agree to 11 %.

    Its curve: share of K2HPO4 in fat from the mass attenuation, times the density, both linear in HU.
    """
    text = (shared_data / "bonelab_verse004_L2" / "calibration.txt").read_text()
    rows = {"Adipose": "FAT", "Air": "AIR", "Blood": "BLOOD", "Skeletal Muscle": "MUSCLE"}
    hu = {Reference[r]: float(re.search(rf"{n} +(-?[\d.]+) +[\d.]+ +\d+", text)[1]) for n, r in rows.items()}
    line = Calibration.from_tissues(hu)
    x = np.array([100.0, 150.0, 200.0])
    theirs = (0.000016 * x + 0.171240 - 0.170) / (0.205 - 0.170) * (0.000893 * x + 0.968731)
    np.testing.assert_allclose(line.density(x), theirs, rtol=0.11)


def test_rods_on_a_line() -> None:
    rods = np.array([0.0, 0.05, 0.1, 0.2])
    line = Calibration.from_phantom(1250.0 * rods - 3.0, rods, mineral=Mineral.HYDROXYAPATITE)
    assert (line.slope, line.intercept) == (pytest.approx(1 / 1250.0), pytest.approx(3.0 / 1250.0))
    assert line.spread == PHANTOM_SPREAD
    assert Density(line.mineral.value) is Density.HYDROXYAPATITE


def test_rods_of_a_liquid_phantom() -> None:
    """Five rods as on a certificate (mg/cc): HU + 1000 = water + s_ref K2HPO4 + b_ref; patient: s_ref - 0.2174."""
    mineral = np.array([-51.8, -53.4, 58.9, 157.0, 375.8]) / 1000.0
    water = np.array([1012.2, 1057.0, 1103.6, 1119.5, 923.2]) / 1000.0
    hu = 1000.0 * water + 1500.0 * mineral + 2.0 - 1000.0
    line = Calibration.from_phantom(hu, mineral, water)
    assert line.slope == pytest.approx(1.0 / (1500.0 - 1000.0 * DISPLACED_HU))
    assert line.density(2.0 + ZERO_HU) == pytest.approx(0.0, abs=1e-9)
    assert line.spread == PHANTOM_SPREAD
    noisy = Calibration.from_phantom(hu + np.array([8.0, -8.0, 8.0, -8.0, 8.0]), mineral, water)
    assert PHANTOM_SPREAD < noisy.spread < 0.05


def test_rods_that_say_nothing() -> None:
    with pytest.raises(ValueError, match="two or more different rods"):
        Calibration.from_phantom([100.0, 101.0], [0.1, 0.1])
    with pytest.raises(ValueError, match="must be numbers"):
        Calibration.from_phantom([100.0, np.nan], [0.1, 0.2])


def test_a_line_in_mg_is_refused() -> None:
    with pytest.raises(ValueError, match=r"slope=0.8 is outside 0.0003 to 0.002 g/cc per HU"):
        Calibration.from_scanner(0.8, 0.0, "a scanner")
    with pytest.raises(ValueError, match=r"intercept=-5 g/cc"):
        Calibration.from_scanner(0.0008, -5.0, "a scanner")


def test_a_scanner_s_line_is_kept_and_named() -> None:
    line = Calibration.from_scanner(0.0008, -0.004, "Siemens, 120 kV, May")
    assert (line.kind, line.density(100.0)) == (Kind.SCANNER, pytest.approx(0.076))
    assert "Siemens, 120 kV, May" in line.how
    low, high = line.interval(100.0)
    assert (low, high) == (pytest.approx(0.92 * 0.076), pytest.approx(1.08 * 0.076))


def test_the_default_line_says_that_it_is_one() -> None:
    line = Calibration.default()
    assert line.kind is Kind.DEFAULT
    assert line.findings[0].severity is Severity.CAUTION
    assert "default line" in line.findings[0].text
    assert 0.0006 < line.slope < 0.0009


@pytest.mark.parametrize("energy_kev", [60.0, 70.0, 90.0])
@pytest.mark.parametrize(("gain", "zero"), [(1.0, 0.0), (0.96, -6.0), (1.03, 9.0)])
def test_a_scanner_with_a_fault_is_set_right(energy_kev: float, gain: float, zero: float) -> None:
    """Closed form: 0.15 g/cc of K2HPO4 in water, seen by a scanner of wrong scale and zero, is 0.15 g/cc again."""
    hu = {r: gain * expected_hu(r, energy_kev) + zero for r in Reference}
    line = Calibration.from_tissues(hu, energy_kev)
    true_hu = 0.15 * 1000.0 * (K2HPO4.at(energy_kev) / WATER.at(energy_kev) - DISPLACED_HU) + ZERO_HU
    assert line.density(gain * true_hu + zero) == pytest.approx(0.15, rel=1e-5)
    assert effective_energy_kev(hu) == pytest.approx(energy_kev, abs=0.05)


def test_bone_is_not_on_the_line_and_air_weighs_more() -> None:
    """Weighted normal equations, 1/5 HU for air and 1/8 HU for the rest; a cortex of any HU changes nothing."""
    hu = {Reference.AIR: -990.0, Reference.FAT: -120.0, Reference.MUSCLE: 60.0, Reference.BLOOD: 40.0}
    x = np.array([[expected_hu(r, 70.0), 1.0] for r in hu])
    w = np.diag([1 / 25.0, 1 / 64.0, 1 / 64.0, 1 / 64.0])
    gain, zero = np.linalg.solve(x.T @ w @ x, x.T @ w @ np.array(list(hu.values())))
    line = Calibration.from_tissues(hu)
    assert line.slope == pytest.approx(Calibration.default().slope / gain, rel=1e-9)
    assert line.density(zero + gain * ZERO_HU) == pytest.approx(0.0, abs=1e-7)
    assert Calibration.from_tissues({**hu, Reference.CORTICAL_BONE: 600.0}) == line


def test_references_that_do_not_suffice() -> None:
    with pytest.raises(ValueError, match="air and a soft tissue are needed; got fat"):
        Calibration.from_tissues({Reference.FAT: -100.0})
    with pytest.raises(ValueError, match="air, a soft tissue and cortical bone are needed; got air, fat"):
        effective_energy_kev({Reference.AIR: -1000.0, Reference.FAT: -100.0})
    with pytest.raises(ValueError, match="must be numbers; got"):
        Calibration.from_tissues({Reference.AIR: -1000.0, Reference.FAT: np.nan})


GAIN, ZERO = 0.97, 5.0


def block_patient(blood_hu: float | None = None, noise_hu: float = 10.0, mirror: bool = False) -> Anatomy:
    """A box of fat with two muscles and an aorta in air, seen at 70 keV by a scanner of gain 0.97 and zero 5 HU."""
    shape, parts = (12, 60, 80), {}
    hu = np.full(shape, expected_hu(Reference.AIR, 70.0))
    skin = np.zeros(shape, bool)
    skin[:, 18:55, 15:65] = True
    hu[skin] = expected_hu(Reference.FAT, 70.0)
    for name, columns in (("autochthon_right", slice(20, 33)), ("autochthon_left", slice(47, 60))):
        parts[name] = (slice(None), slice(36, 50), columns)
        hu[parts[name]] = expected_hu(Reference.MUSCLE, 70.0)
    parts["aorta"] = (slice(None), slice(20, 30), slice(40, 50))
    hu[parts["aorta"]] = expected_hu(Reference.BLOOD, 70.0) if blood_hu is None else blood_hu
    hu = GAIN * hu + ZERO + np.random.default_rng(5).normal(0.0, noise_hu, shape)
    masks = {name: np.zeros(shape, bool) for name in parts}
    for name, part in parts.items():
        masks[name][part] = True
    flip = (slice(None), slice(None), slice(None, None, -1 if mirror else 1))
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    ct = Volume(hu[flip].astype(np.float32), affine)
    return Anatomy(
        ct, {}, {n: Volume(m[flip], affine, unit="mask") for n, m in masks.items()}, Volume(skin[flip], affine)
    )


def test_references_are_found_in_a_patient() -> None:
    """Noise of 10 HU, wrong scale and zero: the line comes back to 1 % and 2 mg/cc."""
    line = internal(block_patient())
    assert line.kind is Kind.INTERNAL
    assert not line.findings
    assert line.slope * GAIN == pytest.approx(Calibration.default().slope, rel=0.01)
    assert line.density(ZERO) == pytest.approx(0.0, abs=0.002)


def test_neither_gas_nor_padding_is_room_air() -> None:
    """Bowel gas of -920 HU inside the body, and most of the outside padded with -1024 HU."""
    patient = block_patient(noise_hu=3.0)
    plain, _ = reference_hu(patient)
    hu = patient.ct.array.copy()
    hu[:, 18:34, 17:37] = -920.0
    hu[:, :, 66:] = hu[:, :14, 12:] = -1024.0
    found, _ = reference_hu(replace(patient, ct=replace(patient.ct, array=hu)))
    assert found[Reference.AIR] == pytest.approx(plain[Reference.AIR], abs=1.0)


def test_a_crumb_of_an_aorta_is_not_blood() -> None:
    patient = block_patient()
    crumb = np.zeros(patient.ct.shape, bool)
    crumb[:, 22:27, 42:47] = True
    small = {**patient.structures, "aorta": Volume(crumb, patient.ct.affine, unit="mask")}
    hu, _ = reference_hu(replace(patient, structures=small))
    assert set(hu) == {Reference.AIR, Reference.FAT, Reference.MUSCLE}


def test_a_mirrored_patient_has_the_same_line() -> None:
    one, other = internal(block_patient()), internal(block_patient(mirror=True))
    assert (one.slope, one.intercept) == (other.slope, other.intercept)


def test_contrast_is_left_out_and_told() -> None:
    plain, enhanced = internal(block_patient()), internal(block_patient(blood_hu=250.0))
    assert [f.severity for f in enhanced.findings] == [Severity.CAUTION]
    assert "contrast medium" in enhanced.findings[0].text
    assert "blood" not in enhanced.how
    assert enhanced.slope == pytest.approx(plain.slope, rel=0.01)


def test_without_an_aorta_contrast_cannot_be_excluded() -> None:
    patient = block_patient()
    no_aorta = {n: m for n, m in patient.structures.items() if n != "aorta"}
    line = internal(replace(patient, structures=no_aorta))
    assert [f.severity for f in line.findings] == [Severity.NOTE]
    assert "no aorta is labelled" in line.findings[0].text


def test_what_is_missing_is_named() -> None:
    patient = block_patient()
    with pytest.raises(ImageError, match="too little usable muscle and blood"):
        internal(replace(patient, structures={}))
    narrow = patient.ct.crop((0, 20, 17), (12, 53, 63))
    inside = Anatomy(
        narrow,
        {},
        {n: m.onto(narrow) for n, m in patient.structures.items()},
        Volume(np.ones(narrow.shape, bool), narrow.affine),
    )
    with pytest.raises(ImageError, match="too little usable air;"):
        internal(inside)


def test_a_scan_without_references_gets_the_default_and_the_reason() -> None:
    line = calibrated(replace(block_patient(), structures={}))
    assert line.kind is Kind.DEFAULT
    assert [f.severity for f in line.findings] == [Severity.CAUTION, Severity.NOTE]
    assert "muscle and blood" in line.findings[1].text
    assert calibrated(block_patient()).kind is Kind.INTERNAL


def test_a_volume_stays_in_its_place() -> None:
    ct = block_patient().ct
    out = density(ct, Calibration.default())
    assert isinstance(out, Volume)
    assert out.same_grid(ct)
    assert (out.unit, out.array.dtype) == ("g/cm3", np.float32)
    np.testing.assert_array_equal(out.array, density(ct.array, Calibration.default()))
    with pytest.raises(ValueError, match="unit='g/cm3' of the volume"):
        density(out, Calibration.default())


def test_muscle_behind_the_spine_when_none_is_labelled() -> None:
    """The drawn back muscles are 55 HU: found by where they lie when only vertebrae are labelled. Fat: -95 and -90."""
    drawn = phantom(PhantomSpec(voxel_mm=(2.5, 1.5, 1.5)))
    labels = split(drawn.labels, scheme("totalseg-v2"))
    patient = build_anatomy(drawn.ct, replace(labels, structures={}))
    hu, findings = reference_hu(patient)
    assert hu[Reference.MUSCLE] == pytest.approx(55.0, abs=2.0)
    assert -97.0 < hu[Reference.FAT] < -88.0
    assert "no aorta" in findings[0].text
    in_front = drawn.ct.world_mm(np.argwhere(np.ones(drawn.ct.shape, bool)))[:, 1].reshape(drawn.ct.shape)
    in_front = in_front < patient.vertebra("L1").frame.origin_mm[1] + 15.0
    brighter = replace(patient, ct=replace(drawn.ct, array=drawn.ct.array + np.float32(25.0) * in_front))
    assert reference_hu(brighter)[0][Reference.MUSCLE] == hu[Reference.MUSCLE]
    labelled, _ = reference_hu(build_anatomy(drawn.ct, labels))
    assert labelled[Reference.BLOOD] == pytest.approx(42.0, abs=2.0)
    assert labelled[Reference.MUSCLE] == pytest.approx(55.0, abs=2.0)


def trabecular_g_cc(anatomy: Anatomy, line: Calibration) -> dict[Level, float]:
    """Density of the bodies' cores, g/cc."""
    measures = {v: {m.name: m.value for m in x.measures} for v, x in anatomy.vertebrae.items()}
    return {v: float(line.density(m["trabecular_hu"])) for v, m in measures.items() if "trabecular_hu" in m}


def test_a_lumbar_scan_of_three_millimetres(shared_data: Path) -> None:
    """Without contrast and with all references: the bodies are as dense as old patients' are, 0.08 to 0.10 g/cc."""
    ct = read_ct(shared_data / "ts_example" / "example_ct.nii.gz")
    labels = read_labels([shared_data / "ts_example" / "example_seg_full_v1labels.nii.gz"], ct, ["totalseg-v1"])
    patient = build_anatomy(ct, labels)
    line = internal(patient)
    assert not line.findings
    assert all(name in line.how for name in ("air", "fat", "muscle", "blood"))
    assert line.slope == pytest.approx(Calibration.default().slope, rel=0.03)
    found = trabecular_g_cc(patient, line)
    assert set(found) >= {Level.L1, Level.L2, Level.L3, Level.L4, Level.L5}
    assert all(0.05 < g < 0.25 for g in found.values())


@pytest.mark.slow
def test_a_chest_scan_with_contrast(shared_data: Path, tmp_path: Path) -> None:
    """LIDC-IDRI-0001: the aorta at 400 HU is told and not used; padding of -1024 HU is not taken for air."""
    folder = shared_data / "lidc0001"
    zipfile.ZipFile(folder / "lidc0001_lower_dicom.zip").extractall(tmp_path)
    ct = read_ct(tmp_path)
    patient = build_anatomy(ct, read_labels([folder / "lidc0001_lower_totalseg_mask.nii.gz"], ct, ["totalseg-v2"]))
    hu, findings = reference_hu(patient)
    assert Reference.BLOOD not in hu
    assert "aorta 399 HU" in findings[0].text
    assert hu[Reference.AIR] == pytest.approx(-1000.0, abs=8.0)
    found = trabecular_g_cc(patient, internal(patient))
    assert all(0.05 < found[v] < 0.25 for v in (Level.T9, Level.T10, Level.T11, Level.T12, Level.L1))
