"""Results are written whole or not at all, and never over the input."""

from __future__ import annotations

from pathlib import Path

import pytest

from trocar.errors import OutputError
from trocar.io.case_folder import check_folder, write_files


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
