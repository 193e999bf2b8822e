"""A folder into which a frame grabber writes: each new image, once it is whole, in the order of the names' numbers.

A file is taken when it has stopped growing and decodes to its last pixel; one that is being written is waited for, and
so are those after it. A name's last number is the image's number, so a file that is missing is a known loss; names
without numbers are counted here. The stamp is that of the file's last writing or, with ``sidecars``, the ``time_s``
(and ``number``) in a JSON file of the same name beside it, which is then waited for too.
"""

from __future__ import annotations

import json
import os
import re
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from trocar.errors import ImageError
from trocar.guidance.carm import CArm
from trocar.guidance.frames import AlarmKind, Frame, Intensity
from trocar.guidance.live import Clock, Live
from trocar.io.xa import read_xa
from trocar.measure import Severity

PICTURES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"})
DICOM = frozenset({".dcm", ".dicom", ".ima"})
#: How often is looked, s; how long a file must have kept its size; after how long an unfinished one is left out.
LOOK_S, SETTLE_S, GIVE_UP_S = 0.02, 0.06, 2.0
#: How often a folder is read again after its time of change: a file system's clock may tick more slowly than we look.
RESCANS = 10
#: What a PNG ends with: such a file is whole at once.
PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
#: The largest file and the largest image that are opened, bytes and pixels.
MOST_BYTES, MOST_PIXELS = 256 * 2**20, 64 * 2**20
#: Names that are remembered, to know one that comes late from one that was there.
REMEMBERED = 1024

Key = tuple[tuple[int, str], ...]


class Unfinished(ValueError):
    """A file that is not whole yet."""


@dataclass(frozen=True)
class _Look:
    """How a file was when last looked at, and since when it is so."""

    size: int
    written_ns: int
    since_s: float


NEVER = _Look(-1, -1, 0.0)


class FolderFrames(Live):
    """New images in a folder; a context manager, ``events()`` yields what comes.

    ``existing`` takes those that are there already first. Raises :class:`ImageError` where there is no such folder.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        existing: bool = False,
        sidecars: bool = False,
        view: CArm | None = None,
        intensity: Intensity = Intensity.DISPLAYED,
        name: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ImageError(f"{self.folder} is no folder: name the one that the frame grabber writes to.")
        super().__init__(name or self.folder.name, clock)
        self._sidecars, self._view, self._intensity = sidecars, view, intensity
        self._count = 0
        self._changed_ns, self._looks_left = -1, RESCANS
        self._lost = False
        self._pending: dict[str, _Look] = {}
        self._done: deque[Key] = deque(maxlen=REMEMBERED)
        if not existing:
            self._done.extend(sorted(key(name) for name in self._names()))
        self._feeder.start()

    def _receive(self, stop: threading.Event) -> None:
        while not stop.wait(LOOK_S):
            for name in self._ready(self._new()):
                if stop.is_set():
                    return
                self._take(name)

    def _names(self) -> Iterator[str]:
        with os.scandir(self.folder) as entries:
            for entry in entries:
                suffix = os.path.splitext(entry.name)[1].lower()
                if suffix in PICTURES | DICOM and not entry.name.startswith("."):
                    yield entry.name

    def _new(self) -> list[str]:
        """Names that were not taken yet, in order; the folder is read only where it has changed."""
        try:
            changed_ns = self.folder.stat().st_mtime_ns
            self._looks_left = RESCANS if changed_ns != self._changed_ns else self._looks_left - 1
            self._changed_ns = changed_ns
            if self._looks_left > 0 or self._pending:
                first = min(self._done) if len(self._done) == REMEMBERED else ()
                done = set(self._done)
                new = [name for name in self._names() if key(name) > first and key(name) not in done]
                self._pending = {name: self._pending.get(name, NEVER) for name in new}
        except OSError as error:
            self._gone(error)
            return []
        if self._lost:
            self._lost = False
            self._tell(AlarmKind.SILENT, Severity.NOTE, f"The folder {self.name} is there again.", over=True)
        return sorted(self._pending, key=key)

    def _gone(self, error: OSError) -> None:
        if not self._lost:
            text = f"The folder {self.name} cannot be read: no new images can come."
            self._tell(AlarmKind.SILENT, Severity.STOP, text, error.strerror or str(error))
        self._lost, self._changed_ns = True, -1

    def _ready(self, names: list[str]) -> Iterator[str]:
        """The names whose files have settled, up to the first that has not: those after it wait for it."""
        for name in names:
            path, now_s, before = self.folder / name, self._clock(), self._pending[name]
            try:
                found = path.stat()
                ended = name.lower().endswith(".png") and _ending(path) == PNG_END
            except OSError:  # moved away again since the folder was read
                del self._pending[name]
                continue
            if (found.st_size, found.st_mtime_ns) != (before.size, before.written_ns):
                self._pending[name] = before = _Look(found.st_size, found.st_mtime_ns, now_s)
            if ended or now_s - before.since_s >= SETTLE_S:
                yield name
            if name in self._pending:
                return

    def _take(self, name: str) -> None:
        """One file's frames into the mailbox; where it is not whole, later."""
        look = self._pending[name]
        try:
            frames = self._frames(name, look)
        except Unfinished as why:
            if self._clock() - look.since_s >= GIVE_UP_S:
                text = f"{name} was never finished, or is no image: it was left out."
                self._tell(AlarmKind.LOST, Severity.CAUTION, text, str(why))
                self._finished(name)
            return
        for frame in frames:
            self._mailbox.put(frame)
        self._finished(name)

    def _finished(self, name: str) -> None:
        self._done.append(key(name))
        del self._pending[name]

    def _frames(self, name: str, look: _Look) -> list[Frame]:
        """The frames in a file, stamped; raises :class:`Unfinished`."""
        path = self.folder / name
        said = sidecar(path) if self._sidecars else {}
        time_s = float(said.get("time_s", look.written_ns * 1e-9))
        plain = path.suffix.lower() not in DICOM
        frames = [Frame(0, 0.0, "", picture(path), self._view, self._intensity)] if plain else run(path)
        number = int(said.get("number", self._number(name)))
        if len(frames) == 1:
            return [replace(frames[0], number=number, time_s=time_s, source=self.name)]
        offsets = [frame.time_s if np.isfinite(frame.time_s) else 0.0 for frame in frames]
        self._count += len(frames) - 1
        return [
            replace(frame, number=number + n, time_s=time_s + offset, source=self.name)
            for n, (frame, offset) in enumerate(zip(frames, offsets, strict=True))
        ]

    def _number(self, name: str) -> int:
        """The last number in a name; where there is none, how many came before."""
        self._count += 1
        digits = re.findall(r"\d{1,18}", os.path.splitext(name)[0])
        return int(digits[-1]) if digits else self._count


def key(name: str) -> Key:
    """What names are ordered by: their numbers as numbers, so that 10 comes after 9."""
    parts = re.split(r"(\d+)", name)
    return tuple((int(part[:18]), part) if n % 2 else (-1, part) for n, part in enumerate(parts))


def picture(path: Path) -> NDArray[Any]:
    """The grey values of an image file, uint8, uint16 or float32; raises :class:`Unfinished` where it is not whole."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise Unfinished(f"a file of more than {MOST_BYTES} bytes")
        # Pillow remarks on a cut file before it refuses it
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(data)) as image:
            if image.width * image.height > MOST_PIXELS:
                raise Unfinished(f"an image of {image.width} x {image.height} pixels")
            grey = image if image.mode in ("L", "I", "F") or image.mode.startswith("I;") else image.convert("L")
            array = np.array(grey)
    except (OSError, SyntaxError, ValueError, EOFError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise Unfinished(str(error)) from error
    if array.dtype.kind == "i" and array.size and array.min() >= 0 and array.max() < 2**16:
        return array.astype(np.uint16)  # Pillow opens some 16-bit files as 32
    return array.astype(array.dtype.newbyteorder("=") if array.dtype.itemsize <= 2 else np.float32, copy=False)


def run(path: Path) -> list[Frame]:
    """The frames of a DICOM X-ray file; raises :class:`Unfinished` where it is not whole."""
    try:
        return list(read_xa(path).frames())
    except (ImageError, OSError) as error:
        raise Unfinished(str(error)) from error


def sidecar(path: Path) -> dict[str, float]:
    """What the JSON file beside an image says of it; raises :class:`Unfinished` where it says nothing usable yet."""
    try:
        with path.with_suffix(".json").open("rb") as file:
            said = json.loads(file.read(2**16))
        # int() refuses what JSON calls Infinity and NaN, which no image is numbered by
        return {name: kind(said[name]) for name, kind in (("time_s", float), ("number", int)) if name in said}
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Unfinished(f"its sidecar: {error}") from error


def _ending(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - len(PNG_END)))
        return file.read()
