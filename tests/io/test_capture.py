"""Cameras and films by OpenCV: a served stream that stops and comes back, and a film that is read to its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from trocar.errors import ImageError
from trocar.guidance.frames import Alarm, AlarmKind, Event, Frame, Stamped
from trocar.guidance.stream import checked, played
from trocar.io import capture
from trocar.io.capture import Capture, grey, video_frames
from trocar.measure import Severity

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed: pip install 'trocar[live]'")
WAIT_S = 20.0


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    until = time.monotonic() + WAIT_S
    while set(threading.enumerate()) - before and time.monotonic() < until:
        time.sleep(0.01)
    assert set(threading.enumerate()) - before == set()


def picture(n: int) -> np.ndarray:
    """A bar that moves, in an image that compresses well."""
    image = np.full((120, 160), 60, np.uint8)
    image[:, (8 * n) % 150 : (8 * n) % 150 + 8] = 200
    return image


class Stream:
    """Motion JPEG over HTTP on the loopback, as many network cameras serve it."""

    def __init__(self) -> None:
        self.number, self.frozen, self.mute, self.stop = 0, False, False, False
        stream = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
                self.end_headers()
                while not stream.stop:
                    if not stream.mute:
                        stream.number += not stream.frozen
                        data = cv2.imencode(".jpg", picture(stream.number))[1].tobytes()
                        part = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
                        try:
                            self.wfile.write(part + data + b"\r\n")
                        except OSError:
                            return
                    time.sleep(0.03)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.stop = True
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def stream() -> Iterator[Stream]:
    served = Stream()
    yield served
    served.close()


@contextmanager
def ended_after(camera: Capture, seconds: float = WAIT_S) -> Iterator[Capture]:
    """No test may hang: where what is waited for does not come, the stream ends."""
    timer = threading.Timer(seconds, camera.close)
    timer.start()
    try:
        with camera:
            yield camera
    finally:
        timer.cancel()
        timer.join()


def until(things: Iterator[Stamped | Alarm | Event], done: Callable[[object], bool]) -> list[object]:
    found = []
    give_up = time.monotonic() + WAIT_S
    for thing in things:
        found.append(thing)
        if done(thing):
            return found
        assert time.monotonic() < give_up, found[-5:]
    raise AssertionError(found[-5:])


def test_a_served_stream_comes_freezes_and_goes_on(stream: Stream) -> None:
    with ended_after(Capture(stream.address, name="C-arm")) as camera:
        things = checked(camera.events())
        frames = [t for t in until(things, lambda t: isinstance(t, Frame) and t.number == 10) if isinstance(t, Frame)]
        assert [f.number for f in frames] == list(range(1, 11))
        assert frames[0].image.shape == (120, 160)
        assert frames[0].image.dtype == np.uint8
        assert float(np.mean(frames[0].image)) == pytest.approx(float(np.mean(picture(0))), abs=3.0)
        stream.frozen = True
        frozen = until(things, lambda t: isinstance(t, Alarm) and "stands still" in t.finding.text)[-1]
        assert frozen.finding.severity is Severity.STOP
        stream.frozen = False
        until(things, lambda t: isinstance(t, Alarm) and t.over and "new again" in t.finding.text)


def test_a_stream_that_falls_mute_is_silent_and_one_that_dies_is_opened_again(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "READ_MS", 800)
    monkeypatch.setattr(capture, "RETRY_S", 0.1)
    with ended_after(Capture(stream.address, name="C-arm")) as camera:
        things = checked(camera.events())
        until(things, lambda t: isinstance(t, Frame) and t.number == 3)
        stream.mute = True
        silent = until(things, lambda t: isinstance(t, Alarm) and t.kind is AlarmKind.SILENT)[-1]
        assert (silent.finding.severity, silent.over) == (Severity.STOP, False)
        told = until(things, lambda t: isinstance(t, Alarm) and "trying again" in t.finding.text)[-1]
        assert told.finding.because == "it delivers no more images"
        stream.mute = False
        back = until(things, lambda t: isinstance(t, Alarm) and "delivers images again" in t.finding.text)
        assert back[-1].over


def test_a_source_that_cannot_be_opened_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "RETRY_S", 0.05)
    with Capture("http://127.0.0.1:9/", name="C-arm") as camera:
        began, alarms = time.monotonic(), []
        for event in camera.events():
            alarms += [event.item] if event.item else []
            if time.monotonic() - began > 1.0:
                break
    assert [a.finding.because for a in alarms] == ["it cannot be opened"]


def test_a_film_is_read_to_its_end_with_its_times(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 12.5, (160, 120), False)
    assert writer.isOpened()
    for n in range(20):
        writer.write(picture(n))
    writer.release()
    frames = list(video_frames(path))
    assert len(frames) == 20
    assert [f.time_s for f in frames] == pytest.approx([n / 12.5 for n in range(20)])
    assert all(np.array_equal(f.image, picture(f.number)) for f in frames)
    assert [a for a in checked(played(iter(frames[:18]))) if isinstance(a, Alarm)] == []


def test_what_is_no_film_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no film")
    for name in ("a.mp4", "absent.mp4"):
        with pytest.raises(ImageError, match="no video that can be read"):
            list(video_frames(tmp_path / name))


def test_equal_colours_are_kept_exactly_and_others_weighed() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(grey(np.repeat(ramp[..., None], 3, axis=2)), ramp)
    assert np.array_equal(grey(ramp), ramp)
    blue = np.zeros((2, 2, 3), np.uint8)
    blue[..., 0] = 255
    assert int(grey(blue)[0, 0]) == 29  # ITU-R BT.601: 0.114 of blue
