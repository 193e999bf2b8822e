"""Films: as many images as were given, of their size, at their pace, and looking like them."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trocar.errors import OutputError, ToolError
from trocar.io import film
from trocar.io.film import Codec, write_film

ENDINGS = ["mp4", "gif"]


def sequence(count: int = 7, shape: tuple[int, int] = (48, 66)) -> Iterator[np.ndarray]:
    """A bright square that wanders to the right over a slope from dark to bright, 16 bits."""
    slope = np.linspace(0.0, 20000.0, shape[1])
    for n in range(count):
        image = np.tile(slope, (shape[0], 1))
        image[12:28, 4 + 5 * n : 20 + 5 * n] = 40000.0
        yield image.astype(np.uint16)


def read(path: Path) -> list[np.ndarray]:
    if path.suffix == ".gif":
        with Image.open(path) as gif:
            return [np.asarray((gif.seek(n), gif.convert("RGB"))[1]) for n in range(gif.n_frames)]
    cv2 = pytest.importorskip("cv2")
    video, frames = cv2.VideoCapture(str(path)), []
    while (got := video.read())[0]:
        frames.append(got[1][..., ::-1])
    video.release()
    return frames


def needs(ending: str) -> None:
    if ending != "gif":
        pytest.importorskip("cv2")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_film_has_all_images_and_looks_like_them(tmp_path: Path, ending: str) -> None:
    needs(ending)
    path = tmp_path / f"film.{ending}"
    codec = write_film(path, sequence(), 15.0, window=(0.0, 40000.0))
    assert codec is (Codec.GIF if ending == "gif" else Codec.VP9)
    frames = read(path)
    expected = [np.rint(image / 40000.0 * 255.0) for image in sequence()]
    assert [f.shape for f in frames] == [(48, 66, 3)] * 7
    error = np.abs(np.array(frames, float) - np.array(expected)[..., None]).mean()
    assert error < (1e-9 if ending == "gif" else 4.0)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", ENDINGS)
def test_frames_that_stay_the_same_are_all_kept(tmp_path: Path, ending: str) -> None:
    needs(ending)
    path = tmp_path / f"film.{ending}"
    write_film(path, [next(sequence())] * 9, 10.0)
    assert len(read(path)) == 9


@pytest.mark.parametrize("ending", ENDINGS)
def test_odd_sizes_are_shown(tmp_path: Path, ending: str) -> None:
    needs(ending)
    path = tmp_path / f"film.{ending}"
    write_film(path, sequence(shape=(47, 65)), 15.0)
    assert {f.shape for f in read(path)} == {(47, 65, 3) if ending == "gif" else (48, 66, 3)}


@pytest.mark.parametrize("ending", ENDINGS)
def test_red_stays_red_and_left_stays_left(tmp_path: Path, ending: str) -> None:
    needs(ending)
    path = tmp_path / f"film.{ending}"
    image = np.full((64, 96, 3), 90, np.uint8)
    image[:, :32] = (230, 20, 20)
    write_film(path, [image] * 3, 15.0)
    left, right = read(path)[1][8:56, 4:24].mean(axis=(0, 1)), read(path)[1][8:56, 60:90].mean(axis=(0, 1))
    np.testing.assert_allclose(left, (230, 20, 20), atol=12)
    np.testing.assert_allclose(right, (90, 90, 90), atol=12)


def test_the_faster_codec_can_be_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    path = tmp_path / "film.mp4"
    assert write_film(path, sequence(), 15.0, codec=Codec.MPEG4) is Codec.MPEG4
    assert len(read(path)) == 7
    assert write_film(tmp_path / "film.gif", sequence(), 15.0, codec=Codec.GIF) is Codec.GIF
    for name, wrong in (("film.mp4", Codec.GIF), ("film.gif", Codec.VP9)):
        with pytest.raises(ValueError, match="cannot hold"):
            write_film(tmp_path / name, sequence(), 15.0, codec=wrong)


def test_without_vp9_the_other_is_taken_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    monkeypatch.setitem(film.FOURCC, Codec.VP9, "zzzz")
    path = tmp_path / "film.mp4"
    assert write_film(path, sequence(), 15.0) is Codec.MPEG4
    assert len(read(path)) == 7
    with pytest.raises(ToolError, match=r"cannot write \.mp4"):
        write_film(path, sequence(), 15.0, codec=Codec.VP9)


def test_the_pace_of_a_video_is_told_in_it(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    write_film(tmp_path / "film.mp4", sequence(), 7.5)
    assert cv2.VideoCapture(str(tmp_path / "film.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(7.5)


def test_a_gif_keeps_its_pace_over_time(tmp_path: Path) -> None:
    """15 a second is 6.67 hundredths a frame: some last 6, some 7, and 45 frames last 3 seconds."""
    write_film(tmp_path / "film.gif", sequence(45), 15.0)
    with Image.open(tmp_path / "film.gif") as gif:
        lasts = [(gif.seek(n), gif.info["duration"])[1] for n in range(gif.n_frames)]
        assert gif.info["loop"] == 0
    assert set(lasts) == {60, 70}
    assert sum(lasts) == 3000


def test_a_window_turned_round_shows_the_image_inverted(tmp_path: Path) -> None:
    image = np.array([[0.0, 50.0, 100.0, 200.0, np.nan]], np.float32)
    for window, shown in (((0.0, 100.0), [0, 128, 255, 255, 0]), ((100.0, 0.0), [255, 128, 0, 0, 0])):
        write_film(tmp_path / "film.gif", [image], 10.0, window)
        assert read(tmp_path / "film.gif")[0][0, :, 0].tolist() == shown


def test_without_a_window_the_first_image_sets_the_range(tmp_path: Path) -> None:
    write_film(tmp_path / "film.gif", [np.linspace(-5.0, 5.0, 400).reshape(20, 20)], 10.0)
    shown = read(tmp_path / "film.gif")[0][..., 0]
    assert shown[0, 0] == 0
    assert shown[-1, -1] == 255
    write_film(tmp_path / "film.gif", [np.full((4, 4), 7.0)], 10.0)
    assert not read(tmp_path / "film.gif")[0].any()
    eight = np.arange(100, 116, dtype=np.uint8).reshape(4, 4)
    write_film(tmp_path / "film.gif", [eight], 10.0)
    np.testing.assert_array_equal(read(tmp_path / "film.gif")[0][..., 0], eight)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_long_film_is_written_in_little_memory(tmp_path: Path, ending: str) -> None:
    needs(ending)
    frame = np.random.default_rng(3).integers(0, 255, (256, 256), dtype=np.uint8)
    write_film(tmp_path / f"first.{ending}", [frame], 15.0)
    tracemalloc.start()
    write_film(tmp_path / f"film.{ending}", (np.roll(frame, n, axis=1) for n in range(40)), 15.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 15 * frame.nbytes  # forty are 40, and the encoder's output as many again


@pytest.mark.parametrize("ending", ENDINGS)
def test_mixed_sizes_leave_what_was_there(tmp_path: Path, ending: str) -> None:
    needs(ending)
    path = tmp_path / f"film.{ending}"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match=r"image 2 is \(10, 12\), the first \(48, 66\): a film has one size"):
        write_film(path, [*sequence(2), np.zeros((10, 12), np.uint16)], 15.0)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "rate", "window", "told"),
    [
        ("film.avi", 15.0, None, r"end it in \.mp4 or \.gif"),
        ("film", 15.0, None, "of no known kind"),
        ("film.mp4", 0.0, None, "rate_hz=0.0 must be positive"),
        ("film.mp4", float("nan"), None, "must be positive"),
        ("film.gif", 60.0, None, "more than the 50"),
        ("film.gif", 10.0, (5.0, 5.0), "two different grey values"),
        ("film.gif", 10.0, (0.0, float("inf")), "two different grey values"),
    ],
)
def test_what_cannot_be_a_film_is_refused(
    tmp_path: Path, name: str, rate: float, window: tuple[float, float] | None, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        write_film(tmp_path / name, sequence(), rate, window)
    assert not list(tmp_path.iterdir())


def test_no_image_or_a_strange_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without an image"):
        write_film(tmp_path / "film.gif", [], 10.0)
    with pytest.raises(ValueError, match=r"give \[row, column\]"):
        write_film(tmp_path / "film.gif", [np.zeros((4, 4, 3))], 10.0)
    with pytest.raises(OutputError, match="cannot be written"):
        write_film(Path(sys.executable) / "film.gif", sequence(), 10.0)


def test_without_opencv_a_gif_can_still_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ToolError, match="OpenCV is not installed"):
        write_film(tmp_path / "film.mp4", sequence(), 10.0)
    write_film(tmp_path / "film.gif", sequence(), 10.0)
    assert [p.name for p in tmp_path.iterdir()] == ["film.gif"]
