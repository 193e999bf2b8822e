"""A recording holds everything to the last whole record, and replays to the same alarms."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from trocar.errors import ImageError, OutputError
from trocar.geometry import Pose
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.frames import (
    Alarm,
    AlarmKind,
    Event,
    Frame,
    Intensity,
    Note,
    Points,
    Reading,
    Slab,
    Stamped,
    ToolPose,
)
from trocar.guidance.stream import checked
from trocar.guidance.watchdog import Rules
from trocar.io import recording_format
from trocar.io.lossless import DTYPES, packed, unpacked
from trocar.io.recording import Recorder, watched
from trocar.io.recording_items import flat
from trocar.io.replay import read_recording, replayed
from trocar.measure import Finding, Severity, Topic
from trocar.volume import Volume

RNG = np.random.default_rng(2)
TURN = np.array(((0.36, 0.48, -0.8), (-0.8, 0.6, 0.0), (0.48, 0.64, 0.6)))
VIEW = CArm(np.array((1.5, -2.0, 700.0)), 30.0, -10.0, detector=Detector(6, 9, 0.3, 0.4, (2.0, 5.0)), mirrored=True)


def everything() -> list[Stamped | Alarm]:
    finding = Finding(Severity.STOP, "cement in the canal", "30 frames", Topic.CEMENT)
    volume = Volume(
        RNG.integers(-1000, 2000, (2, 5, 4)).astype(np.int16),
        np.array([[0.7, 0, 0, 1], [0, 0.7, 0, 2], [0, 0, 3.0, 3], [0, 0, 0, 1]]),
        "1.2.3",
        "HU",
        findings=(finding,),
    )
    return [
        Frame(3, 0.1 + 0.2, "C-arm", RNG.integers(0, 65536, (6, 9)).astype(np.uint16), VIEW, Intensity.LOG_BRIGHT),
        Frame(4, 1 / 3, "C-arm", RNG.normal(size=(6, 9)).astype(np.float32)),
        Frame(5, 1e9 + 1 / 3, "C-arm", RNG.integers(0, 256, (6, 9)).astype(np.uint8)),
        Slab(1, 2.0, "CT", volume),
        ToolPose(7, 2.5, "tracker", "needle", Pose(np.array((1 / 3, 2 / 7, 1e-9)), TURN)),
        Reading(8, 3.0, "pump", "pressure", 101.3, "kPa"),
        Note(9, 3.1, "tracker", "status", "Ω fine"),
        Points(10, 3.2, "Slicer", ("tip", "hub"), np.array(((1.0, 2.0, 3.0), (4.0, 5.0, 6.5)))),
        Alarm(AlarmKind.LEAK, 3.3, 12, "C-arm", finding),
        Alarm(AlarmKind.SILENT, 3.4, 13, "C-arm", Finding(Severity.NOTE, "well"), over=True),
    ]


def plain(items: Iterable[Stamped | Alarm | None]) -> list[object]:
    """What two lists of items are compared by: every value, and every pixel with its type."""
    out: list[object] = []
    for item in items:
        if item is None:
            out.append(None)
            continue
        meta, arrays = flat(item)
        out.append((meta, [(a.dtype.name, a.shape, a.tobytes()) for a in arrays]))
    return out


def session(seconds: float = 12.0) -> list[Event]:
    """A tracker and a C-arm with everything that can go wrong: gaps, silence, a frozen image, a jump back."""
    rng = np.random.default_rng(1)
    events = []
    for n in range(int(seconds * 20)):
        at = n / 20
        if 3.0 <= at < 4.0:
            events.append(Event(at))  # nothing comes
            continue
        if n % 13:
            pose = Pose(np.array((n, 0.1 * n, -n)), TURN)
            events.append(Event(at, ToolPose(n, 1e9 + at - (2.0 if at > 8.0 else 0.0), "tracker", "needle", pose)))
        image = np.full((8, 8), 7, np.uint16) if 5 < at < 6 else rng.integers(0, 99, (8, 8)).astype(np.uint16)
        events.append(Event(at + 0.001, Frame(n, at, "C-arm", image[: 4 if at > 10 else 8])))
    return events


def test_everything_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    items = everything()
    with Recorder(tmp_path / "a.rec") as recorder:
        for n, item in enumerate(items):
            recorder.write(Event(n / 7, item))
            recorder.write(Event(n / 7 + 0.05))
        recorder.sync()
    recording = read_recording(tmp_path / "a.rec")
    events = list(recording.events())
    assert recording.cut is None
    assert recording.records == len(events) == 2 * len(items)
    assert [e.at_s for e in events] == [t for n in range(len(items)) for t in (n / 7, n / 7 + 0.05)]
    assert plain(e.item for e in events) == plain(thing for item in items for thing in (item, None))
    view = events[0].item.view
    assert (view.detector, view.mirrored, view.primary_angle_deg) == (VIEW.detector, True, 30.0)
    assert np.array_equal(view.isocentre_mm, VIEW.isocentre_mm)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 4, 6)])
def test_packing_is_lossless_for_every_type(dtype: str, shape: tuple[int, ...]) -> None:
    kind = np.dtype(dtype)
    noise = RNG.integers(0, 256, np.prod(shape) * kind.itemsize).astype(np.uint8)
    array = noise.view(kind).reshape(shape)
    again = unpacked(packed(array), shape, dtype)
    assert again.tobytes() == array.tobytes()
    assert (again.dtype, again.shape) == (kind, shape)
    swapped = array.astype(kind.newbyteorder())
    assert unpacked(packed(swapped), shape, dtype).tobytes() == array.tobytes()


def test_an_image_that_would_fill_the_memory_is_not_unpacked() -> None:
    data = packed(np.zeros((1000, 1000), np.uint16))
    with pytest.raises(ValueError, match="larger than"):
        unpacked(data, (10**6, 10**6), "uint16")
    with pytest.raises(ValueError, match="holds"):
        unpacked(data, (10, 10), "uint16")
    with pytest.raises(ValueError, match="holds"):
        unpacked(data[:-20], (1000, 1000), "uint16")
    with pytest.raises(ValueError, match="damaged"):
        unpacked(b"nonsense", (10, 10), "uint16")
    with pytest.raises(ValueError, match="none that was packed"):
        unpacked(data, (10, 10), "object")
    with pytest.raises(ValueError, match="bool"):
        packed(np.zeros((2, 2), bool))


def test_replay_gives_the_same_alarms(tmp_path: Path) -> None:
    rules = {"tracker": Rules(silent_s=0.4, rate_hz=20.0)}
    with Recorder(tmp_path / "a.rec", rules, Rules(silent_s=0.6), ("C-arm", "nobody")) as recorder:
        live = list(watched(session(), recorder))
    again = list(replayed(tmp_path / "a.rec"))
    assert plain(again) == plain(live)
    alarms = [thing for thing in live if isinstance(thing, Alarm)]
    assert {a.kind for a in alarms} == {AlarmKind.SILENT, AlarmKind.OUT_OF_ORDER, AlarmKind.LOST, AlarmKind.CHANGED}
    assert plain(read_recording(tmp_path / "a.rec").told()) == plain(alarms)
    other = checked(read_recording(tmp_path / "a.rec").events(), default=Rules(silent_s=None))
    assert plain(t for t in other if isinstance(t, Alarm)) != plain(alarms)


def test_cut_at_every_byte_the_whole_records_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    ends = []
    with Recorder(path) as recorder:
        first = path.stat().st_size
        for n, item in enumerate(everything()[4:8]):
            recorder.write(Event(float(n), item))
            recorder.write(Event(n + 0.5))
            ends += [path.stat().st_size - recording_format.HEAD.size - 4, path.stat().st_size]
    data, items = path.read_bytes(), plain(e.item for e in read_recording(path).events())
    for size in range(first, len(data)):
        path.write_bytes(data[:size])
        recording = read_recording(path)
        whole = sum(end <= size for end in ends)
        assert plain(e.item for e in recording.events()) == items[:whole]
        assert (recording.cut is None) == (size in (first, *ends))
    path.write_bytes(data + bytes(1000))
    assert "last 1000 bytes" in read_recording(path).cut.text


@pytest.mark.parametrize("size", [0, 5, 19, 40])
def test_a_file_cut_before_its_first_record_is_refused(tmp_path: Path, size: int) -> None:
    with Recorder(tmp_path / "a.rec"):
        pass
    (tmp_path / "a.rec").write_bytes((tmp_path / "a.rec").read_bytes()[:size])
    with pytest.raises(ImageError, match=r"not a recording|ends before"):
        read_recording(tmp_path / "a.rec")


def test_a_damaged_record_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    with Recorder(path) as recorder:
        starts = []
        for n in range(5):
            starts.append(path.stat().st_size)
            recorder.write(Event(float(n), Reading(n, float(n), "pump", "pressure", float(n), "kPa")))
    data = bytearray(path.read_bytes())
    data[starts[2] + 60] ^= 1
    path.write_bytes(data)
    things = [event.item for event in read_recording(path).events()]
    assert [t.number for t in things if isinstance(t, Reading)] == [0, 1, 3, 4]
    assert f"at byte {starts[2]}: its checksum does not fit" in things[2].finding.because
    data[starts[4] + 60] ^= 1
    path.write_bytes(data)
    assert read_recording(path).cut is not None


#: What the child has recorded after more than a round, on a slow machine too, bytes.
MUCH = 6_000_000
CHILD = """
import sys, time
import numpy as np
from trocar.guidance.frames import Event
from trocar.io.recording import Recorder, watched
sys.path.insert(0, sys.argv[2])
import test_recording as t
with Recorder(sys.argv[1], default=t.Rules(silent_s=0.3, still_s=0.2)) as recorder:
    def endless():
        n = 0
        while True:
            for event in t.session(3.0):
                yield Event(n * 3.0 + event.at_s, event.item)
            for size in range(9):
                image = np.random.default_rng(n + size).integers(0, 4000, (512, 512)).astype(np.uint16)
                yield Event(n * 3.0 + 2.9, t.Frame(n * 9 + size, n * 3.0 + size / 15, "big", image))
            n += 1
    for thing in watched(endless(), recorder):
        pass
"""


@pytest.mark.parametrize("after_s", [0.11, 0.23])
def test_a_killed_recorder_leaves_a_recording_that_replays_to_its_alarms(tmp_path: Path, after_s: float) -> None:
    path = tmp_path / "killed.rec"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path), str(Path(__file__).parent)])
    try:
        until = time.monotonic() + 30.0
        while not (path.exists() and path.stat().st_size > MUCH) and time.monotonic() < until:
            assert child.poll() is None
            time.sleep(0.005)
        time.sleep(after_s)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(10.0)
    recording = read_recording(path)
    assert recording.records > 50
    again = [thing for thing in replayed(path) if isinstance(thing, Alarm)]
    told = plain(recording.told())
    # an alarm is told after its event is recorded: the kill may come between the two
    assert len(told) > 5
    assert plain(again)[: len(told)] == told
    assert len(again) - len(told) <= 3


def test_an_existing_file_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.rec").write_text("precious")
    with pytest.raises(OutputError, match="never written over"):
        Recorder(tmp_path / "a.rec")
    assert (tmp_path / "a.rec").read_text() == "precious"


def test_a_place_that_refuses_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be recorded to"):
        Recorder(tmp_path / "absent" / "a.rec")
    with pytest.raises(ImageError, match="cannot be read"):
        read_recording(tmp_path / "absent")
    (tmp_path / "x").write_bytes(b"P5 something else entirely")
    with pytest.raises(ImageError, match="not a recording"):
        read_recording(tmp_path / "x")


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes 2000 bytes and half of what comes then."""
    room = [2000]
    real = os.write

    def write(file: int, data: bytes | memoryview) -> int:
        if room[0] <= 0:
            raise OSError(28, "No space left on device")
        taken = min(len(data), room[0])
        room[0] -= taken
        return real(file, bytes(data[:taken]))

    monkeypatch.setattr("trocar.io.recording.os.write", write)


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_ends_the_recording_and_not_the_watch(tmp_path: Path) -> None:
    events = session()
    with Recorder(tmp_path / "a.rec") as recorder:
        things = list(watched(events, recorder))
    items = [thing for thing in things if not isinstance(thing, Alarm)]
    assert len(items) == sum(event.item is not None for event in events)
    stopped = [thing for thing in things if isinstance(thing, Alarm) and thing.source == "recorder"]
    assert len(stopped) == 1
    assert "No space left on device" in stopped[0].finding.because
    recording = read_recording(tmp_path / "a.rec")
    assert recording.cut is None  # the half record was cut off again
    assert recording.records > 3


@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_is_full_at_someone_elses_alarm_is_told_by_the_chain(tmp_path: Path) -> None:
    leak = Alarm(AlarmKind.LEAK, 0.1, 1, "monitor", Finding(Severity.STOP, "Stop: cement in the disc above."))
    stopped: list[Alarm] = []
    with Recorder(tmp_path / "a.rec") as recorder:
        for thing in watched(session(), recorder):
            stopped += [thing] if isinstance(thing, Alarm) and thing.source == "recorder" else []
            while recorder.refused is None:
                with suppress(OutputError):
                    recorder.tell(leak)
    assert len(stopped) == 1
    assert "No space left on device" in stopped[0].finding.because


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_is_an_output_error_every_time(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.rec") as recorder:
        filling = (recorder.write(event) for event in session())
        with pytest.raises(OutputError, match="holds everything up to here"):
            list(filling)
        with pytest.raises(OutputError, match="cannot go on"):
            recorder.write(Event(0.0))


def test_a_closed_recorder_refuses(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.rec") as recorder:
        pass
    with pytest.raises(ValueError, match="closed"):
        recorder.write(Event(0.0))


def test_a_recording_can_be_read_while_it_grows(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.rec") as recorder:
        recorder.write(Event(0.0))
        assert read_recording(tmp_path / "a.rec").records == 1
        recorder.write(Event(0.1))
        assert read_recording(tmp_path / "a.rec").records == 2
