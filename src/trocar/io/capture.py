"""A camera, a frame grabber, an RTSP or HTTP stream, or a video file, by OpenCV.

A live source is read in a thread; it is opened again whenever it fails, and what fails is an alarm. Images are counted
and stamped on arrival: neither cameras nor OpenCV say what they lost, so give the source a ``rate_hz`` in its rules. A
camera that hangs or delivers the same image again and again is seen by the checks every source goes through.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.errors import ImageError
from trocar.guidance.carm import CArm
from trocar.guidance.frames import AlarmKind, Frame, Intensity
from trocar.guidance.live import Clock, Live
from trocar.guidance.vision import opencv
from trocar.measure import Severity

#: How long opening a stream, and waiting for its next image, may take, ms.
OPEN_MS, READ_MS = 3000, 2000
#: How long to wait before a source that failed is opened again, s.
RETRY_S = 0.5


class Capture(Live):
    """A live source of images; a context manager, ``events()`` yields what comes.

    ``source`` is a device's number, or an address that OpenCV opens ("rtsp://...", "http://..."). ``view`` and
    ``intensity`` are what the images do not say of themselves.
    """

    def __init__(
        self,
        source: int | str,
        *,
        view: CArm | None = None,
        intensity: Intensity = Intensity.DISPLAYED,
        name: str = "camera",
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name, clock)
        opencv()  # an absent library is told here and now
        self._source, self._view, self._intensity = source, view, intensity
        self._number = 0
        self._failing = False
        self._feeder.start()

    def _receive(self, stop: threading.Event) -> None:
        while not stop.is_set():
            camera = self._opened()
            why = "it cannot be opened"
            try:
                while camera.isOpened() and not stop.is_set():
                    found, image = camera.read()
                    if not found:
                        why = "it delivers no more images"
                        break
                    self._take(image)
            finally:
                camera.release()
            if not stop.is_set():
                self._failed(why)
                stop.wait(RETRY_S)

    def _opened(self) -> Any:
        cv = opencv()
        if isinstance(self._source, int):
            return cv.VideoCapture(self._source)
        limits = [cv.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_MS, cv.CAP_PROP_READ_TIMEOUT_MSEC, READ_MS]
        return cv.VideoCapture(self._source, cv.CAP_FFMPEG, limits)

    def _take(self, image: NDArray[Any]) -> None:
        if self._failing:
            self._failing = False
            self._tell(AlarmKind.SILENT, Severity.NOTE, f"{self.name} delivers images again.", over=True)
        self._number += 1
        self._mailbox.put(Frame(self._number, self._clock(), self.name, grey(image), self._view, self._intensity))

    def _failed(self, why: str) -> None:
        if not self._failing:
            self._tell(AlarmKind.SILENT, Severity.STOP, f"No images from {self.name}: trying again.", why)
        self._failing = True


def video_frames(
    path: str | os.PathLike[str],
    *,
    view: CArm | None = None,
    intensity: Intensity = Intensity.DISPLAYED,
) -> Iterator[Frame]:
    """The frames of a video file, stamped with their place in it, s; for :func:`trocar.guidance.stream.played`.

    Raises :class:`ImageError` where it is none. A lossy film is not what the C-arm saw: its grey values are near it.
    """
    cv = opencv()
    path = Path(path)
    film = cv.VideoCapture(os.fspath(path), cv.CAP_FFMPEG) if path.is_file() else cv.VideoCapture()
    try:
        if not film.isOpened():
            raise ImageError(f"{path} is no video that can be read: give another file.")
        rate_hz = film.get(cv.CAP_PROP_FPS) or 1.0
        number = 0
        while True:
            found, image = film.read()
            if not found:
                return
            yield Frame(number, number / rate_hz, path.name, grey(image), view, intensity)
            number += 1
    finally:
        film.release()


def grey(image: NDArray[Any]) -> NDArray[Any]:
    """``[row, column]`` of an image; where its colours are equal, one of them, so that no grey value is rounded."""
    if image.ndim == 2:
        return image
    if image.shape[2] == 1 or (
        np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(image[..., 0], image[..., 2])
    ):
        return np.ascontiguousarray(image[..., 0])
    return np.asarray(opencv().cvtColor(image, opencv().COLOR_BGR2GRAY))
