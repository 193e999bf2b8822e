"""A folder being written: whole files only, in order, each missing one known."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trocar.errors import ImageError
from trocar.guidance.frames import Alarm, AlarmKind, Event, Frame, Intensity, Stamped
from trocar.guidance.stream import checked, played
from trocar.io import frame_folder
from trocar.io.frame_folder import FolderFrames, key, picture
from trocar.io.xa import read_xa
from trocar.io.xa_write import write_xa
from trocar.measure import Severity

WAIT_S = 10.0
RNG = np.random.default_rng(4)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) - before == set()


def image(seed: int, kind: type = np.uint16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(kind).max, (24, 32)).astype(kind)


def encoded(array: np.ndarray, form: str = "PNG") -> bytes:
    out = BytesIO()
    Image.fromarray(array).save(out, form)
    return out.getvalue()


def until(events: Iterator[Event], done: Callable[[Stamped | Alarm], bool]) -> list[Stamped | Alarm]:
    found: list[Stamped | Alarm] = []
    give_up = time.monotonic() + WAIT_S
    for event in events:
        slow = isinstance(event.item, Alarm) and "This computer" in event.item.finding.text  # and so are the tests
        if event.item is not None and not slow:
            found.append(event.item)
            if done(event.item):
                return found
        assert time.monotonic() < give_up, found
    raise AssertionError(found)


def nothing(events: Iterator[Event], seconds: float) -> None:
    until_s = time.monotonic() + seconds
    for event in events:
        assert event.item is None
        if time.monotonic() > until_s:
            return


@pytest.mark.parametrize(("form", "suffix"), [("PNG", "png"), ("TIFF", "tif"), ("BMP", "bmp")])
def test_new_images_come_as_they_were_and_old_ones_do_not(tmp_path: Path, form: str, suffix: str) -> None:
    kind = np.uint8 if form == "BMP" else np.uint16
    (tmp_path / f"run_0001.{suffix}").write_bytes(encoded(image(1, kind), form))
    with FolderFrames(tmp_path, intensity=Intensity.LINEAR, name="grabber") as folder:
        events = folder.events()
        for n in range(2, 6):
            (tmp_path / f"run_{n:04d}.{suffix}").write_bytes(encoded(image(n, kind), form))
        frames = until(events, lambda i: i.number == 5)
    assert [f.number for f in frames] == [2, 3, 4, 5]
    for frame in frames:
        assert isinstance(frame, Frame)
        assert np.array_equal(frame.image, image(frame.number, kind))
        assert frame.image.dtype == kind
        assert (frame.source, frame.intensity) == ("grabber", Intensity.LINEAR)
        assert frame.time_s == pytest.approx(os.stat(tmp_path / f"run_{frame.number:04d}.{suffix}").st_mtime, abs=1e-5)


@pytest.mark.parametrize(("form", "suffix"), [("PNG", "png"), ("TIFF", "tif"), ("JPEG", "jpg")])
def test_a_half_written_file_is_waited_for_and_so_are_those_after_it(tmp_path: Path, form: str, suffix: str) -> None:
    data = encoded(image(1, np.uint8), form)
    with FolderFrames(tmp_path) as folder:
        events = folder.events()
        with (tmp_path / f"1.{suffix}").open("wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            (tmp_path / f"2.{suffix}").write_bytes(encoded(image(2, np.uint8), form))
            nothing(events, 0.3)
            file.write(data[len(data) // 2 :])
        assert [f.number for f in until(events, lambda i: i.number == 2)] == [1, 2]


def test_a_file_of_full_size_that_is_still_being_filled_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_folder, "SETTLE_S", 0.6)
    whole = bytearray(encoded(image(1), "TIFF"))
    place = bytes(whole).index(image(1).tobytes())
    with FolderFrames(tmp_path) as folder:
        for rows in range(0, 25, 4):
            filled = whole.copy()
            filled[place + rows * 64 : place + 24 * 64] = bytes(24 * 64 - rows * 64)
            (tmp_path / "1.tif").write_bytes(filled)
            time.sleep(0.03)
        (frame,) = until(folder.events(), lambda i: True)
    assert np.array_equal(frame.image, image(1))


def test_a_folder_that_was_quiet_for_long_is_still_looked_at(tmp_path: Path) -> None:
    with FolderFrames(tmp_path) as folder:
        events = folder.events()
        nothing(events, 2 * frame_folder.RESCANS * frame_folder.LOOK_S)
        (tmp_path / "1.png").write_bytes(encoded(image(1)))
        assert until(events, lambda i: True)[0].number == 1


def test_every_cut_of_a_file_is_seen(tmp_path: Path) -> None:
    """Not a pixel of a half-written image may pass for a whole one."""
    for form, suffix in (("PNG", "png"), ("TIFF", "tif")):
        data, path = encoded(image(1), form), tmp_path / f"a.{suffix}"
        for size in range(0, len(data), 7):
            path.write_bytes(data[:size])
            try:
                found = picture(path)
            except frame_folder.Unfinished:
                continue
            assert np.array_equal(found, image(1)), (form, size)
        path.write_bytes(data)
        assert np.array_equal(picture(path), image(1))


def test_a_file_that_is_never_finished_is_told_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_folder, "GIVE_UP_S", 0.3)
    with FolderFrames(tmp_path) as folder:
        (tmp_path / "1.png").write_bytes(encoded(image(1))[:200])
        (tmp_path / "2.png").write_bytes(encoded(image(2)))
        (tmp_path / "3.png").write_text("this is no image")
        (tmp_path / "4.png").write_bytes(encoded(image(4)))
        first, second, third, fourth = until(folder.events(), lambda i: i.number == 4)
    assert (first.kind, second.number, fourth.number) == (AlarmKind.LOST, 2, 4)
    assert "1.png was never finished" in first.finding.text
    assert "3.png" in third.finding.text


def test_a_missing_file_is_a_known_loss_and_ten_comes_after_nine(tmp_path: Path) -> None:
    with FolderFrames(tmp_path, existing=True) as folder:
        for n in (8, 9, 10, 12):
            (tmp_path / f"frame{n}.png").write_bytes(encoded(image(n)))
        found = until(folder.events(), lambda i: i.number == 12)
    things = list(checked(played(found)))
    assert [t.number for t in things if isinstance(t, Frame)] == [8, 9, 10, 12]
    (lost,) = (t for t in things if isinstance(t, Alarm) and t.kind is AlarmKind.LOST)
    assert lost.finding.because == "number 11 never came"


def test_names_are_ordered_by_their_numbers() -> None:
    names = ["b2", "a10", "a9", "a9b1", "x", "3"]
    assert sorted(names, key=key) == ["3", "a9", "a9b1", "a10", "b2", "x"]


def test_names_without_numbers_are_counted(tmp_path: Path) -> None:
    with FolderFrames(tmp_path) as folder:
        events = folder.events()
        for name in ("a", "b", "c"):
            (tmp_path / f"{name}.png").write_bytes(encoded(image(ord(name))))
            until(events, lambda i: True)
        (tmp_path / "d.png").write_bytes(encoded(image(9)))
        assert until(events, lambda i: True)[0].number == 4


def test_a_sidecar_is_waited_for_and_believed(tmp_path: Path) -> None:
    with FolderFrames(tmp_path, sidecars=True) as folder:
        events = folder.events()
        (tmp_path / "0007.png").write_bytes(encoded(image(7)))
        nothing(events, 0.2)
        (tmp_path / "0007.json").write_text("{")
        nothing(events, 0.1)
        (tmp_path / "0007.json").write_text(json.dumps({"time_s": 12.5, "number": 70}))
        (frame,) = until(events, lambda i: True)
    assert (frame.number, frame.time_s) == (70, 12.5)


@pytest.mark.parametrize("number", ["Infinity", "-1e999", "NaN"])
def test_a_sidecar_whose_number_is_none_ends_no_watch(tmp_path: Path, number: str) -> None:
    with FolderFrames(tmp_path, sidecars=True) as folder:
        events = folder.events()
        for name, said in (("0001", number), ("0002", "2")):
            (tmp_path / f"{name}.png").write_bytes(encoded(image(1)))
            (tmp_path / f"{name}.json").write_text(f'{{"time_s": 1.0, "number": {said}}}')
        found = until(events, lambda i: isinstance(i, Frame))
    assert [type(i) for i in found] == [Alarm, Frame]
    assert "0001.png was never finished" in found[0].finding.text
    assert found[1].number == 2


def test_a_run_in_dicom_comes_frame_by_frame(tmp_path: Path) -> None:
    frames = [Frame(n, n / 15, "x", image(n)) for n in range(4)]
    write_xa(tmp_path / "whole.dcm", frames)
    folder = tmp_path / "in"
    folder.mkdir()
    with FolderFrames(folder) as source:
        (folder / "5.dcm").write_bytes((tmp_path / "whole.dcm").read_bytes())
        found = until(source.events(), lambda i: i.number == 8)
    assert [f.number for f in found] == [5, 6, 7, 8]
    for frame, before in zip(found, frames, strict=True):
        assert np.array_equal(frame.image, before.image)
    assert found[3].time_s - found[0].time_s == pytest.approx(3 / 15, abs=1e-3)
    assert [a for a in checked(played(read_xa(tmp_path / "whole.dcm").frames())) if isinstance(a, Alarm)] == []


def test_colours_are_made_grey(tmp_path: Path) -> None:
    grey = image(1, np.uint8)
    (tmp_path / "a.png").write_bytes(encoded(np.repeat(grey[..., None], 3, axis=2)))
    assert np.array_equal(picture(tmp_path / "a.png"), grey)


def test_an_image_that_would_fill_the_memory_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_folder, "MOST_PIXELS", 24 * 32 - 1)
    (tmp_path / "a.png").write_bytes(encoded(image(1)))
    with pytest.raises(frame_folder.Unfinished, match="32 x 24 pixels"):
        picture(tmp_path / "a.png")
    monkeypatch.setattr(frame_folder, "MOST_BYTES", 100)
    with pytest.raises(frame_folder.Unfinished, match="more than 100 bytes"):
        picture(tmp_path / "a.png")


def test_a_folder_that_vanishes_is_told_and_so_is_its_return(tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    with FolderFrames(place) as folder:
        events = folder.events()
        place.rmdir()
        (gone,) = until(events, lambda i: True)
        assert (gone.kind, gone.finding.severity) == (AlarmKind.SILENT, Severity.STOP)
        nothing(events, 0.15)
        place.mkdir()
        (back,) = until(events, lambda i: True)
        assert back.over
        (place / "1.png").write_bytes(encoded(image(1)))
        assert until(events, lambda i: True)[0].number == 1
    with pytest.raises(ImageError, match="is no folder"):
        FolderFrames(tmp_path / "absent")


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_folder, "REMEMBERED", 3)
    for n in range(1, 11):
        (tmp_path / f"{n}.png").write_bytes(b"old")
    with FolderFrames(tmp_path) as folder:
        events = folder.events()
        for n in (11, 12):
            (tmp_path / f"{n}.png").write_bytes(encoded(image(n)))
        assert [f.number for f in until(events, lambda i: i.number == 12)] == [11, 12]
        nothing(events, 0.1)
        assert len(folder._done) == 3
