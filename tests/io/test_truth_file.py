"""The truth of a simulated fluoroscopy on disk: what is read is what was written, and damage is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trocar.anatomy.levels import Level
from trocar.errors import CaseFileError
from trocar.geometry import Pose
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.truth import NEVER, FrameTruth, Truth
from trocar.injection.routes import Route
from trocar.io.truth_file import SCHEMA, from_json, read_truth, to_json, write_truth


def truth(tip: bool = True) -> Truth:
    rng = np.random.default_rng(0)
    frames = tuple(
        FrameTruth(
            n,
            n / 15.0,
            Pose(rng.standard_normal(3), np.eye(3)[[1, 2, 0]]),
            rng.standard_normal(3),
            rng.standard_normal(3) if tip else None,
            np.array((0.0, -1.0, 0.0)) if tip else None,
            0.1 * n,
            0.08 * n,
            (0.02 * n, 0.0),
            (1.3 * n, 0.0),
            ("table moves 6 mm",) if n == 1 else (),
        )
        for n in range(4)
    )
    seen = np.full((2, 14, 16), NEVER, np.int32)
    seen[0, 3, 4:6] = (2, 3)
    view = CArm((1.0, 2.0, 3.0), 90.0, -5.0, detector=Detector(10, 12, 0.3, 0.4, (4.0, 5.5)), mirrored=True)
    silhouette = np.zeros((14, 16), bool)
    silhouette[4:9, 5:11] = True
    routes = (Route.DISC, Route.EPIDURAL)
    return Truth(Level.L1, view, "lateral", 7, 15.0, np.array((0.5, 0.0, 1.0)), routes, frames, 2, silhouette, seen)


@pytest.mark.parametrize("tip", [True, False])
def test_what_is_read_is_what_was_written(tmp_path: Path, tip: bool) -> None:
    written = truth(tip)
    write_truth(tmp_path / "truth.json", written)
    found = read_truth(tmp_path / "truth.json")
    assert found == written
    assert found.onset(Route.DISC) == written.onset(Route.DISC) == 3
    assert np.array_equal(found.leak_mask(Route.DISC, 3), written.leak_mask(Route.DISC, 3))


def test_another_truth_is_another() -> None:
    one = truth()
    frames = (*one.frames[:-1], replace(one.frames[-1], inside_ml=0.5))
    assert from_json(to_json(replace(one, frames=frames))) != one
    assert from_json(to_json(replace(one, margin=1))) != one


def test_the_file_says_its_schema_frame_and_units() -> None:
    document = json.loads(to_json(truth()))
    assert document["schema"] == SCHEMA
    assert document["frame"] == "LPS, mm"
    assert document["units"]["volume"] == "ml"
    assert document["onset_frames"] == {"disc": 3, "epidural": None}
    assert document["frames"]["time_s"] == [n / 15.0 for n in range(4)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("view"),
        lambda d: d["frames"]["time_s"].pop(),
        lambda d: d["silhouette"].update(zlib_base64="no such thing"),
        lambda d: d["silhouette"].update(type="|O"),
        lambda d: d["seen_from"].update(shape=[1, 2]),
        lambda d: d.update(routes=["upwards"]),
    ],
)
def test_damage_is_told(damage: object) -> None:
    document = json.loads(to_json(truth()))
    damage(document)  # type: ignore[operator]
    with pytest.raises(CaseFileError, match="damaged"):
        from_json(json.dumps(document))


def test_what_is_no_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseFileError, match="no such file"):
        read_truth(tmp_path / "none.json")
    with pytest.raises(CaseFileError, match="schema"):
        from_json('{"schema": "another/1"}')
