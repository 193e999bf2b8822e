"""Which number means what, and what a user's own scheme may say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trocar.anatomy.levels import Level
from trocar.anatomy.schemes import Kind, by_code, by_name, code_values, looks_like_level, own_scheme, scheme, schemes
from trocar.errors import LabelSchemeError

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "labels.json"


def test_26_means_four_things():
    names = {name: scheme(name).labels[26].name for name in ("totalseg-v1", "totalseg-v2", "totalseg-v3", "verse")}
    assert names == {"totalseg-v1": "T9", "totalseg-v2": "S1", "totalseg-v3": "L6", "verse": "sacrum"}


@pytest.mark.parametrize(
    ("name", "column"),
    [("totalseg-v1", "totalseg_v1_total"), ("totalseg-v2", "totalseg_v2_total"), ("verse", "verse")],
)
def test_levels_are_those_read_from_the_packages(name: str, column: str):
    if not REFERENCE.is_file():
        pytest.skip("the table read from the packages is not here: ../shared/reference/labels.json")
    table = json.loads(REFERENCE.read_text())["vertebrae"]
    expected = {row[column]: level for level, row in table.items() if row[column] and level not in ("sacrum", "COCC")}
    assert {n: str(v) for n, v in scheme(name).levels.items()} == expected


@pytest.mark.parametrize(
    ("name", "table"), [("totalseg-v1", "totalseg_v1_total"), ("totalseg-v2", "totalseg_v2_total")]
)
def test_every_structure_of_the_packages_is_named(name: str, table: str):
    if not REFERENCE.is_file():
        pytest.skip("the table read from the packages is not here: ../shared/reference/labels.json")
    expected = json.loads(REFERENCE.read_text())[table]
    assert {n: by_name(text) for n, text in ((int(k), v) for k, v in expected.items())} == scheme(name).labels


def test_lobes_are_joined():
    labels = scheme("totalseg-v2").labels
    assert {labels[n].name for n in (10, 11)} == {"lung_left"}
    assert {labels[n].name for n in (12, 13, 14)} == {"lung_right"}


def test_spineps_files_use_40_to_53_for_different_things():
    """The reason why the two files need two schemes."""
    vert, spine = scheme("spineps-vert").labels, scheme("spineps-spine").labels
    assert (vert[42].name, vert[42].kind) == ("rib_3", Kind.STRUCTURE)
    assert (spine[42].name, spine[42].kind) == ("spinous_process", Kind.SUBREGION)
    assert spine[49] == spine[50]
    assert vert[119].name == "intervertebral_discs"
    assert vert[219].name == "endplate"
    assert (spine[60].name, spine[61].name) == ("spinal_cord", "spinal_canal")


def test_transitional_levels():
    assert scheme("verse").levels[28] is Level.T13
    assert scheme("verse").levels[25] is Level.L6
    assert scheme("spineps-vert").labels[53].name == "rib_13"


def test_every_scheme_says_what_it_is():
    assert all(s.meaning for s in schemes().values())


@pytest.mark.parametrize("name", ["L1", "l1", "vertebrae_L1", "vertebra L1", "L1 vertebra", "L1_vertebra"])
def test_names_of_a_level(name: str):
    assert by_name(name).level is Level.L1


@pytest.mark.parametrize(
    ("text", "name"),
    [("left kidney", "kidney_left"), ("Kidney_Right", "kidney_right"), ("lung_upper_lobe_left", "lung_left")],
)
def test_names_of_structures(text: str, name: str):
    assert by_name(text).name == name


def test_codes():
    assert by_code("66794005").level is Level.L1
    assert by_code("15825003").name == "aorta"
    assert by_code("22565002", "7771000").name == "rib_left_9"
    assert by_code("64033007", "24028007").name == "kidney_right"
    assert by_code("90572001", "7771000").name == "lung_left"
    assert by_code("3572006").kind is Kind.SUBREGION
    assert by_code("0") is None


def test_level_codes_agree_with_pydicom():
    """Against the SNOMED CT dictionary that pydicom carries."""
    from pydicom.sr.codedict import codes

    for level in (v for v in Level if v not in (Level.T13, Level.L6, Level.S1)):
        assert by_code(getattr(codes.SCT, f"{level}Vertebra").value).level is level
    assert by_code(codes.SCT.InferiorVenaCava.value).name == "inferior_vena_cava"
    assert by_code(codes.SCT.SpinalCord.value).name == "spinal_cord"
    assert len(set(code_values())) == len(code_values())


def test_unknown_scheme_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match=r"'totalseg' is not known: use one of totalseg-v2, totalseg-v1"):
        scheme("totalseg")


def test_own_scheme():
    own = own_scheme('{"name": "ours", "labels": {"7": "L1", "12": "aorta", "13": "left kidney"}}', "ours.json")
    assert own.name == "ours"
    assert own.levels == {7: Level.L1}
    assert own.labels[13].name == "kidney_left"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"labels": ', r"ours.json is not JSON \(line 1"),
        ("[]", "ours.json lacks its labels"),
        ('{"name": "ours"}', "ours.json lacks its labels"),
        ('{"labels": {}}', "ours.json lacks its labels"),
        ('{"labels": {"7": "L9"}}', "label 7 is 'L9', which is not a vertebra"),
        ('{"labels": {"7": "vertebrae_X"}}', "which is not a vertebra"),
        ('{"labels": {"7": "L1", "7": "L2"}}', "names '7' twice"),
        ('{"labels": {"7": "L1", "8": "vertebrae_L1"}}', "labels 7 and 8 both say L1"),
        ('{"labels": {"seven": "L1"}}', "label 'seven' is not a whole number"),
        ('{"labels": {"7.5": "L1"}}', "label '7.5' is not a whole number"),
        ('{"labels": {"0": "L1"}}', "label '0' is not a whole number of 1 or more"),
        ('{"labels": {"7": 1}}', "label 7 must be a name"),
        ('{"labels": {"7": " "}}', "label 7 must be a name"),
    ],
)
def test_malformed_own_schemes_are_refused(text: str, sentence: str):
    with pytest.raises(LabelSchemeError, match=sentence):
        own_scheme(text, "ours.json")


@pytest.mark.parametrize(
    ("text", "is_one"), [("L7", True), ("T14 vertebra", True), ("liver", False), ("lesion 2", False)]
)
def test_what_was_meant_as_a_level(text: str, is_one: bool):
    assert looks_like_level(text) is is_one
