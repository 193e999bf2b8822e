"""Results are written whole or not at all, and never over the input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trocar.errors import OutputError
from trocar.io.case_folder import check_folder, check_same_plan, check_unsimulated, check_writable
from trocar.io.plan_file import to_json
from trocar.io.whole import write_files

from .test_plan_file import made


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_files_appear_together_and_nothing_else_stays(tmp_path: Path) -> None:
    write_files(tmp_path / "a" / "out", {"plan.json": b"1", "figures/x.png": b"2"})
    assert tree(tmp_path) == {"a/out/plan.json": b"1", "a/out/figures/x.png": b"2"}
    write_files(tmp_path / "a" / "out", {"plan.json": b"3"})
    assert tree(tmp_path) == {"a/out/plan.json": b"3", "a/out/figures/x.png": b"2"}


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    write_files(tmp_path / "out", {"plan.json": b"old"})
    (tmp_path / "out" / "figures").write_bytes(b"a file where a folder must be")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="cannot be written to"):
        write_files(tmp_path / "out", {"plan.json": b"new", "figures/x.png": b"2"})
    assert tree(tmp_path) == before


def test_a_name_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(OutputError, match="is a file"):
        check_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written to"):
        write_files(tmp_path / "file" / "out", {"plan.json": b"1"})
    assert tree(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("out", ["CT", "CT/out", "CT/a/b"])
def test_the_input_is_never_written_into(tmp_path: Path, out: str) -> None:
    (tmp_path / "CT").mkdir()
    with pytest.raises(OutputError, match="is the input, or inside it"):
        check_folder(tmp_path / out, [tmp_path / "CT", tmp_path / "labels.nii.gz"])
    assert check_folder(tmp_path / "out", [tmp_path / "CT"]) == tmp_path / "out"


@pytest.mark.parametrize("out", ["out", "out/a/b", "there"])
def test_a_folder_that_can_be_made_is_tried_without_a_trace(tmp_path: Path, out: str) -> None:
    (tmp_path / "there").mkdir()
    check_writable(tmp_path / out)
    assert [p.name for p in tmp_path.rglob("*")] == ["there"]


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"cannot be written to \(Not a directory\): name another folder"):
        check_writable(tmp_path / "file" / "sub")


def test_a_folder_the_system_refuses_to_make_is_refused() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("this system has no /proc")
    with pytest.raises(OutputError, match="/proc/nothing cannot be written to"):
        check_writable("/proc/nothing")


def test_another_plan_is_not_overwritten(tmp_path: Path) -> None:
    plan = made()
    check_same_plan(tmp_path, plan)
    (tmp_path / "plan.json").write_text(to_json(plan, "c-1"), encoding="utf-8")
    check_same_plan(tmp_path, plan)
    with pytest.raises(OutputError, match="holds another plan"):
        check_same_plan(tmp_path, replace(plan, not_checked=()))
    (tmp_path / "plan.json").write_text("{}", encoding="utf-8")
    with pytest.raises(OutputError, match="holds another plan"):
        check_same_plan(tmp_path, plan)


def test_a_simulation_is_not_left_to_another_plan(tmp_path: Path) -> None:
    check_unsimulated(tmp_path / "none")
    check_unsimulated(tmp_path)
    (tmp_path / "simulation.json").write_text("{}", encoding="utf-8")
    with pytest.raises(OutputError, match="holds the simulation of an earlier plan"):
        check_unsimulated(tmp_path)
