"""``plan.json``: there and back to an equal plan, and what is no plan."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.errors import CaseFileError
from trocar.geometry import Side
from trocar.io.plan_file import SCHEMA, from_json, read_case_id, read_plan, to_json, with_images
from trocar.io.simulation_file import digest
from trocar.measure import Code, Finding, Measure, Severity
from trocar.planning.instrument import Needle
from trocar.planning.trajectory import Clearance, Grade, Trajectory
from trocar.procedures.vertebroplasty import Vertebroplasty
from trocar.treatment import Option, Plan, Provenance
from trocar.volume import Acquisition, Volume


def made() -> Plan:
    rng = np.random.default_rng(5)
    path = Trajectory(
        Level.T12,
        Side.RIGHT,
        "extrapedicular",
        Needle.of_gauge(13),
        *(rng.normal(scale=100.0, size=3) for _ in range(3)),
        clearances=(Clearance("canal", 1.0 / 3.0, 0.7, 2.0), Clearance("lung_right", 6.1, 0.5, 3.0)),
        breach_probability=Measure("breach_probability", 0.1, "1", 0.05, 0.2, "95 %", "1024 Sobol points"),
        measures=(Measure("length", 99.5, "mm"),),
    )
    finding = Finding(Severity.CAUTION, "Abstand 3 mm: «eng»", "Maß")
    return Plan(
        Vertebroplasty(level=Level.T12, canal_margin_mm=2.5, position="FFP"),
        None,
        (Option((path, path), "Best.", (Measure("slack", 0.1 + 0.2, "mm"),), (finding,)),),
        ("aorta", "lung_left"),
        (Measure("body_width", 31.0, "mm", code=Code("SCT", "123", "width")),),
        (finding,),
        Provenance((("a.dcm", "00ff"),), "totalseg-v2", "1.2", "1.3", "FFS", (2.5, 0.7, 0.7), ("spinal_canal",)),
    )


def test_a_plan_comes_back_equal_to_the_last_bit() -> None:
    plan = made()
    assert from_json(to_json(plan)) == plan
    assert to_json(from_json(to_json(plan))) == to_json(plan)


def test_another_plan_is_not_equal() -> None:
    text = to_json(made())
    moved = text.replace('"value_mm": 6.1', '"value_mm": 6.1000000000000005')
    assert moved != text
    assert from_json(moved) != made()


def test_the_layout_others_read() -> None:
    d = json.loads(to_json(made()))
    assert d["schema"] == SCHEMA == "trocar-plan/1"
    assert d["not_checked"] == ["aorta", "lung_left"]
    path = d["options"][0]["trajectories"][1]
    assert [len(path[name]) for name in ("skin_mm", "entry_mm", "target_mm")] == [3, 3, 3]
    assert (path["side"], path["level"], path["approach"]) == ("right", "T12", "extrapedicular")
    assert path["instrument"]["outer_diameter_mm"] == 2.413
    assert path["clearance_mm"] == {"canal": 1.0 / 3.0, "lung_right": 6.1}
    assert path["breach_probability"] == 0.1
    assert path["grade"] == Grade.SHORT.value


def test_a_plan_without_its_images_says_so() -> None:
    with pytest.raises(ValueError, match="read without its images"):
        _ = from_json(to_json(made())).anatomy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[1, 2]", "names no schema"),
        ("[" * 100_000, "nested too deeply"),
        ('{"schema": "trocar-plan/2"}', "schema 'trocar-plan/2' is not 'trocar-plan/1'"),
        ('{"schema": "trocar-plan/1"}', "damaged"),
        (to_json(made()).replace('"right"', '"middle"'), "damaged"),
        (to_json(made()).replace("vertebroplasty", "magic"), "damaged"),
        (to_json(made()).replace('"canal_margin_mm": 2.5', '"canal_margin_mm": 250'), "outside 0 to 10"),
    ],
)
def test_what_is_no_plan_is_refused(text: str, said: str) -> None:
    with pytest.raises(CaseFileError, match=said):
        from_json(text)


#: Words that only a programmer knows.
PYTHON = ("Errno", "KeyError", "TypeError", "ValueError", "AttributeError", "codec", "__init__", "argument", "object")


def _without(name: str) -> str:
    document = json.loads(to_json(made()))
    if name in document:
        del document[name]
    else:
        del document["options"][0]["trajectories"][0]["instrument"][name]
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (_without("provenance"), "'provenance' is missing"),
        (_without("outer_diameter_mm"), "an entry is missing"),
        (
            to_json(made()).replace('"level": "T12",\n    "side": "any"', '"level": null'),
            "level=None is not a vertebra",
        ),
        (to_json(made()).replace('"options": [', '"options": 7, "other": ['), "an entry is missing"),
        (
            to_json(made()).replace('"canal_margin_mm"', '"canal_margin"'),
            "'canal_margin' is no field of vertebroplasty",
        ),
    ],
)
def test_what_is_damaged_is_said_in_plain_words(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "plan.json").write_text(text, encoding="utf-8")
    with pytest.raises(CaseFileError, match=r"plan\.json is damaged") as refused:
        read_plan(tmp_path)
    assert said in str(refused.value)
    assert not any(word in str(refused.value) for word in PYTHON)


def test_the_pseudonym_is_beside_the_plan_and_not_in_it(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(to_json(made(), "c-0042"), encoding="utf-8")
    assert read_case_id(tmp_path) == "c-0042"
    assert read_plan(tmp_path) == made()
    assert digest(read_plan(tmp_path)) == digest(made())
    with pytest.raises(ValueError, match="not a pseudonym"):
        to_json(made(), "Jane Doe")


def test_a_plan_without_a_pseudonym_reads(tmp_path: Path) -> None:
    """As files were written before it was kept."""
    (tmp_path / "plan.json").write_text(to_json(made()), encoding="utf-8")
    assert "case" not in json.loads(to_json(made()))
    assert read_case_id(tmp_path) is None


@pytest.mark.parametrize("case_id", ['"Jane Doe"', "7", '["c"]'])
def test_what_is_no_pseudonym_is_refused(tmp_path: Path, case_id: str) -> None:
    text = to_json(made(), "c-0042").replace('"c-0042"', case_id)
    (tmp_path / "plan.json").write_text(text, encoding="utf-8")
    with pytest.raises(CaseFileError, match="not a pseudonym: name another with --case"):
        read_case_id(tmp_path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        CaseFileError, match=r"none\.json cannot be read \(there is no such file\): give the plan\.json"
    ):
        read_plan(tmp_path / "none.json")
    (tmp_path / "plan.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CaseFileError, match="cannot be read, it is no text: give"):
        read_plan(tmp_path)


def patient(**digests: str) -> Anatomy:
    ct = Volume(np.zeros((1, 1, 1), np.float32), np.eye(4), acquisition=Acquisition(digests=digests))
    return Anatomy(ct, {}, {}, ct)


def test_a_plan_finds_its_images_whatever_they_are_called_now() -> None:
    plan = made()
    images = patient(renamed="00ff")
    assert with_images(plan, images).anatomy is images
    assert from_json(to_json(plan), images) == plan


@pytest.mark.parametrize("digests", [{}, {"a.dcm": "00fe"}, {"a.dcm": "00ff", "b.dcm": "00ff"}])
def test_a_plan_refuses_the_images_of_another(digests: dict[str, str]) -> None:
    with pytest.raises(CaseFileError, match="not the files the plan was made from"):
        from_json(to_json(made()), patient(**digests))
