"""A folder of finished runs: what goes in comes out, what is damaged counts as absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trocar.errors import OutputError
from trocar.io.run_folder import RunFolder

ARRAYS = {
    "leaked_ml": np.arange(12.0).reshape(3, 4) / 7.0,
    "reached": np.arange(5, dtype=np.uint8),
    "status": np.array("SUCCESS"),
    "onset_s": np.array([np.inf, np.nan, 3.0]),
}


def test_what_is_kept_comes_back_bit_for_bit(tmp_path: Path) -> None:
    RunFolder(tmp_path / "runs")["abc-0001"] = ARRAYS
    found = RunFolder(tmp_path / "runs")["abc-0001"]
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_it_is_a_mapping(tmp_path: Path) -> None:
    kept = RunFolder(tmp_path)
    assert len(kept) == 0
    for n in (2, 0, 1):
        kept[f"a-{n}"] = {"n": np.array(n)}
    assert list(kept) == ["a-0", "a-1", "a-2"]
    assert "a-1" in kept
    assert "a-9" not in kept
    kept["a-1"] = {"n": np.array(7)}
    assert int(kept["a-1"]["n"]) == 7
    del kept["a-1"]
    assert list(kept) == ["a-0", "a-2"]
    with pytest.raises(KeyError):
        del kept["a-1"]
    assert [p.suffix for p in tmp_path.iterdir()] == [".npz", ".npz"]  # nothing temporary stays


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    kept = RunFolder(tmp_path / "none")
    assert list(kept) == []
    assert "a" not in kept
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("damage", ["cut", "middle", "empty", "text"])
def test_a_damaged_file_is_absent_and_is_written_anew(damage: str, tmp_path: Path) -> None:
    kept = RunFolder(tmp_path)
    kept["a"], kept["b"] = ARRAYS, ARRAYS
    path = tmp_path / "a.npz"
    whole = path.read_bytes()
    middle = bytearray(whole)
    middle[len(whole) // 4 : len(whole) // 4 + 40] = bytes(40)
    path.write_bytes({"cut": whole[:-40], "middle": bytes(middle), "empty": b"", "text": b"not a run"}[damage])
    assert "a" not in kept
    assert list(kept) == ["b"]
    kept["a"] = ARRAYS
    np.testing.assert_array_equal(kept["a"]["leaked_ml"], ARRAYS["leaked_ml"])


def test_a_failed_writing_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = RunFolder(tmp_path)
    kept["a"] = {"n": np.array(1)}

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match="No space left"):
            kept["a"] = {"n": np.array(2)}
    assert int(kept["a"]["n"]) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("key", ["", "../a", "a/b", "a b", ".hidden", "x" * 200])
def test_a_key_that_is_no_file_name_is_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot name a run"):
        RunFolder(tmp_path)[key] = ARRAYS


def test_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="array of objects"):
        RunFolder(tmp_path)["a"] = {"n": np.array([object()])}
    assert list(tmp_path.iterdir()) == []


def test_clearing_takes_away_what_was_kept_or_read_here_and_nothing_of_anybody_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "my_experiment.npz", weights=np.ones(2))
    (tmp_path / "folder.npz").mkdir()
    RunFolder(tmp_path)["earlier"] = {"a": np.zeros(1)}
    RunFolder(tmp_path)["another"] = {"a": np.zeros(1)}
    runs = RunFolder(tmp_path)
    runs["own"] = {"a": np.zeros(1)}
    assert runs["earlier"]["a"].size == 1
    runs.clear()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["another.npz", "folder.npz", "my_experiment.npz"]


def test_clearing_leaves_no_empty_folder(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path / "runs")
    runs["own"] = {"a": np.zeros(1)}
    runs.clear()
    assert not (tmp_path / "runs").exists()
