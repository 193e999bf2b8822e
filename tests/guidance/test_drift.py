"""Where the mark should be when the vertebra has moved, in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.anatomy.levels import Level
from trocar.errors import ImageError
from trocar.geometry import Pose, Side
from trocar.guidance.carm import AT_REST
from trocar.guidance.confidence import Confidence
from trocar.guidance.drift import drift, words
from trocar.guidance.registration import Registration
from trocar.guidance.rigid_motion import LEVER_MM, motion, shift
from trocar.measure import Finding, Severity
from trocar.planning.instrument import Needle
from trocar.planning.trajectory import Trajectory

SKIN, ENTRY, TARGET = np.array((40.0, 100.0, 0.0)), np.array((25.0, 55.0, 0.0)), np.array((10.0, 10.0, 0.0))
STOP = Finding(Severity.STOP, "L1 was not found.")


def path(level: Level = Level.L1) -> Trajectory:
    return Trajectory(level, Side.LEFT, "transpedicular", Needle(3.05), SKIN, ENTRY, TARGET)


def found(displacement: Pose, sigma_mm: float = 0.3, findings: tuple[Finding, ...] = ()) -> Registration:
    sure = Confidence(np.array((0.0, 30.0, 0.0)), sigma_mm**2 * np.diag((1.0, 1.0, 1.0, 0.0, 0.0, 0.0)))
    return Registration(Level.L1, displacement, (), sure, (), 0.0, (), findings)


def test_nothing_moved_is_said_to_need_no_move() -> None:
    d = drift(path(), found(AT_REST))
    assert np.allclose(d.mark_mm, SKIN)
    assert d.findings[0].severity is Severity.NOTE
    assert "needs no move" in d.findings[0].text


def test_a_shift_along_the_skin_moves_the_mark_with_the_bone() -> None:
    d = drift(path(), found(shift((4.0, 0.0, 2.1))), skin_normal=np.array((0.0, 1.0, 0.0)))
    assert d.mark_mm == pytest.approx(np.add(SKIN, (4.0, 0.0, 2.1)))
    assert d.path.target_mm == pytest.approx(np.add(TARGET, (4.0, 0.0, 2.1)))
    assert "4.0 mm to the patient's left, 2.1 mm towards the head" in d.findings[0].text
    assert d.findings[0].severity is Severity.CAUTION


def test_a_shift_along_the_path_leaves_the_mark_and_moves_the_target() -> None:
    along = 5.0 * (TARGET - SKIN) / np.linalg.norm(TARGET - SKIN)
    d = drift(path(), found(shift(along)), skin_normal=np.array((0.0, 1.0, 0.0)))
    assert d.mark_mm == pytest.approx(SKIN)
    assert d.moved_mm["target"] == pytest.approx(along)


def test_a_turn_moves_the_mark_by_its_lever() -> None:
    turn = motion(TARGET, (0, 0, 0, 0, 0, np.radians(3.0) * LEVER_MM))
    d = drift(path(), found(turn), skin_normal=np.array((0.0, 1.0, 0.0)))
    # about the head's direction: what is behind goes to the right, on the skin's plane by the tangent
    angle = np.arctan2(SKIN[0] - TARGET[0], SKIN[1] - TARGET[1]) - np.radians(3.0)
    assert d.mark_mm == pytest.approx((TARGET[0] + 90.0 * np.tan(angle), SKIN[1], 0.0))
    assert next(m.value for m in d.measures if m.name == "path_turn") == pytest.approx(3.0)
    assert "patient's right" in d.findings[0].text


def test_left_and_right_change_places_in_the_mirrored_patient() -> None:
    assert words(np.array((3.0, 0.0, 0.0))) == "3.0 mm to the patient's left"
    assert words(np.array((-3.0, 1.0, -2.0))) == (
        "3.0 mm to the patient's right, 1.0 mm towards the back, 2.0 mm towards the feet"
    )
    assert words(np.zeros(3)) == "by less than 0.5 mm in any direction"


def test_a_drift_within_its_uncertainty_is_not_told_from_none() -> None:
    normal = np.array((0.0, 1.0, 0.0))
    unsure = drift(path(), found(shift((4.0, 0.0, 0.0)), sigma_mm=3.0), skin_normal=normal)
    assert "needs no move that could be told" in unsure.findings[0].text
    m = next(m for m in unsure.measures if m.name == "mark_drift_left")
    assert (m.low, m.high) == pytest.approx((-2.0, 10.0))


def test_a_target_that_may_not_have_moved_is_not_said_to_have() -> None:
    unsure = drift(path(), found(shift((4.0, 0.0, 0.0)), sigma_mm=3.0))
    assert "Whether the target has moved cannot be told: 4.0 mm, ±6.0 mm" in unsure.findings[1].text
    assert (
        "has moved 4.0 mm to the patient's left (±0.6 mm)"
        in drift(path(), found(shift((4.0, 0.0, 0.0)))).findings[1].text
    )


def test_a_move_that_is_sure_and_small_is_said_in_a_whole_sentence() -> None:
    d = drift(path(), found(shift((0.4, 0.0, 0.3)), sigma_mm=0.05), skin_normal=np.array((0.0, 1.0, 0.0)))
    assert d.findings[0].text == "The mark should be within half a millimetre of where it was planned (±0.1 mm)."


def test_another_level_an_unreliable_registration_and_a_path_along_the_skin_are_refused() -> None:
    with pytest.raises(ValueError, match="does not move with"):
        drift(path(Level.L2), found(AT_REST))
    with pytest.raises(ImageError, match="was not found"):
        drift(path(), replace(found(AT_REST), findings=(STOP,)))
    with pytest.raises(ValueError, match="along the skin"):
        drift(path(), found(AT_REST), skin_normal=np.array((0.0, 0.0, 1.0)))
