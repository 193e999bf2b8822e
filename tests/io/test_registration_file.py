"""A registration on disk: what later commands need comes back, and what is damaged or marked is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trocar.anatomy.levels import Level
from trocar.errors import CaseFileError, ImageError
from trocar.geometry import Pose
from trocar.guidance.carm import CArm
from trocar.guidance.confidence import Confidence
from trocar.guidance.registration import Registration, ViewFit
from trocar.io.registration_file import SCHEMA, Registered, read_registration, scan_digest, to_json
from trocar.measure import Finding, Measure, Severity
from trocar.volume import Acquisition, Volume

STOP = Finding(Severity.STOP, "The image is inverted.", "bone is bright")
CAUTION = Finding(Severity.CAUTION, "One view.", "depth is not known well")


def turned() -> Pose:
    """Turned about the axis to the head by 5 degrees, and moved otherwise along each axis."""
    c, s = np.cos(np.radians(5.0)), np.sin(np.radians(5.0))
    return Pose(np.array((1.5, -2.25, 7.125)), np.array(((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0))))


def registration(*findings: Finding, sd_mm: tuple[float, float, float] = (0.5, 3.0, 1.0)) -> Registration:
    covariance = np.diag(np.array((*sd_mm, 9.0, 9.0, 9.0)) ** 2)
    sure = Confidence(np.zeros(3), covariance)
    fit = ViewFit(CArm(np.zeros(3)), 0.75, 1.0, ())
    measures = (Measure("fit", float("nan"), "1"),)
    return Registration(Level.L2, turned(), (fit,), sure, (), float("inf"), measures, findings)


def written(folder: Path, found: Registration, edit: Callable[[dict[str, Any]], Any] = lambda d: None) -> Path:
    document = json.loads(to_json(found, {"ap": 3}, scan="a" * 64))
    edit(document)
    path = folder / "registration.json"
    path.write_text(json.dumps(document))
    return path


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    found = read_registration(written(tmp_path, registration(CAUTION)))
    point = np.array((10.0, 20.0, 30.0))
    np.testing.assert_array_equal(found.displacement.to_world(point), turned().to_world(point))
    assert found.level is Level.L2
    assert found.sd_mm == pytest.approx(3.0)  # the worst direction's
    assert found.findings == (CAUTION,)
    assert found.scan == "a" * 64
    found.require_reliable()


def test_the_file_says_how_to_use_it_and_is_plain_json(tmp_path: Path) -> None:
    document = json.loads(written(tmp_path, registration()).read_text())
    assert document["schema"] == SCHEMA
    assert document["runs"] == {"ap": 3}
    assert document["lead"] is document["measures"][0]["value"] is None
    moved = np.array(document["rotation"]) @ (10.0, 20.0, 30.0) + document["origin_mm"]
    np.testing.assert_allclose(moved, turned().to_world((10.0, 20.0, 30.0)))


def test_an_unreliable_one_is_written_marked_and_refused(tmp_path: Path) -> None:
    path = written(tmp_path, registration(CAUTION, STOP, sd_mm=(50.0, 1.0, 1.0)))
    assert json.loads(path.read_text())["reliable"] is False
    found = read_registration(path)
    assert found.stops == (STOP.text,)
    with pytest.raises(ImageError, match=r"unreliable: The image is inverted"):
        found.require_reliable()


def test_without_a_registration_it_is_as_scanned_with_a_caution() -> None:
    found = Registered.as_scanned(Level.L1)
    np.testing.assert_array_equal(found.displacement.to_world((1.0, 2.0, 3.0)), (1.0, 2.0, 3.0))
    assert [f.severity for f in found.findings] == [Severity.CAUTION]
    found.require_reliable()


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.pop("rotation"),
        lambda d: d.pop("scan_sha256"),
        lambda d: d.update(origin_mm=[1.0, 2.0]),
        lambda d: d.update(origin_mm=[1.0, 2.0, None]),
        lambda d: d.update(origin_mm=[1.0, 2.0, float("inf")]),
        lambda d: d.update(rotation=[[1, 0, 0], [0, 1, 0], [0, 0, -1]]),
        lambda d: d.update(rotation=[[2, 0, 0], [0, 1, 0], [0, 0, 1]]),
        lambda d: d.update(sd_mm=-0.1),
        lambda d: d.update(sd_mm=25.0),
        lambda d: d.update(sd_mm=None),
        lambda d: d.update(level="L9"),
        lambda d: d.update(reliable=False),
        lambda d: d.update(reliable="false"),
        lambda d: d.update(findings=[{"severity": "stop", "text": "no", "because": ""}]),
        lambda d: d.update(findings=[{"severity": "grave", "text": "no", "because": ""}]),
        lambda d: d.update(findings="none"),
    ],
)
def test_damage_is_told(tmp_path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(CaseFileError, match=r"damaged .*register again"):
        read_registration(written(tmp_path, registration(), edit))


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "not JSON"), ("[]", "no schema"), ('{"schema": "trocar-registration/9"}', "trocar-registration/9")],
)
def test_what_is_no_registration_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "registration.json"
    path.write_text(text)
    with pytest.raises(CaseFileError, match=says):
        read_registration(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseFileError, match="no such file"):
        read_registration(tmp_path / "registration.json")


def test_a_scan_is_known_by_its_files_whatever_their_names() -> None:
    def of(digests: dict[str, str]) -> str:
        zeros = np.zeros((2, 2, 2), np.float32)
        return scan_digest(Volume(zeros, np.eye(4), "HU", acquisition=Acquisition(digests=digests)))

    assert of({"a": "1", "b": "2"}) == of({"c": "2", "d": "1"}) != ""
    assert of({"a": "1"}) != of({"a": "2"})
    assert of({}) == ""
