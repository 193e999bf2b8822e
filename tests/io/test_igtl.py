"""OpenIGTLink against pyigtl as the peer, both ways; against peers that lose, damage, vanish and attack."""

from __future__ import annotations

import signal
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trocar.errors import ToolError
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
from trocar.io import igtl_peer
from trocar.io.igtl import MOST_PEERS, connect, listen
from trocar.io.igtl_items import (
    FLIP,
    Axes,
    Meaning,
    items_of,
    matrix_of,
    message_of,
    pose_of,
    status_message,
    tracking_message,
)
from trocar.io.igtl_wire import HEADER, MOST_BODY, Broken, Header, Inbox, Refused, parse_header, raw_message, stamped
from trocar.io.recording import Recorder, watched
from trocar.io.replay import replayed
from trocar.measure import Finding, Severity
from trocar.volume import Volume

pyigtl = pytest.importorskip("pyigtl", reason="pyigtl is not installed: pip install 'trocar[live]'")

#: A turn about no axis of symmetry, and a place with three different numbers.
TURN = np.array(((0.36, 0.48, -0.8), (-0.8, 0.6, 0.0), (0.48, 0.64, 0.6)))
PLACE = np.array((10.0, -20.0, 35.0))
WAIT_S = 10.0
RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """pyigtl's own server leaves one that sleeps, by design; ours must leave none."""
    before = set(threading.enumerate())

    def left() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t not in before and "_print_host" not in t.name]

    yield
    until = time.monotonic() + WAIT_S
    while left() and time.monotonic() < until:
        time.sleep(0.01)
    assert left() == []


def tool(number: int, name: str = "Needle", time_s: float | None = None) -> ToolPose:
    return ToolPose(number, 1000.0 + number / 100 if time_s is None else time_s, name, name, Pose(PLACE + number, TURN))


def wire(number: int | None, device: str = "Needle", time_s: float | None = None) -> bytes:
    n = number or 0
    message, _ = message_of(tool(n), Axes.RAS)
    return stamped(message, device, 1000.0 + n / 100 if time_s is None else time_s, number)


def until(events: Iterator[Event], done: Callable[[Stamped | Alarm], bool]) -> list[Stamped | Alarm]:
    """What comes, up to what ``done`` waits for; fails where that does not come in time."""
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


def wait_for(condition: Callable[[], Any]) -> None:
    give_up = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def told(found: list[Stamped | Alarm], text: str) -> list[Alarm]:
    return [a for a in found if isinstance(a, Alarm) and text in f"{a.finding.text} {a.finding.because}"]


@contextmanager
def pyigtl_server() -> Iterator[Any]:
    handlers = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}
    server = pyigtl.OpenIGTLinkServer(port=0)
    try:
        yield server
    finally:
        server.stop()
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def raw_client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as connection:
        yield connection


def ras_matrix() -> np.ndarray:
    m = np.eye(4)
    m[:3, :3], m[:3, 3] = TURN, PLACE
    return m


def test_a_transform_in_ras_is_turned_on_both_sides() -> None:
    m = ras_matrix()
    pose = pose_of(m, Axes.RAS)
    assert pose.origin_mm == pytest.approx((-10.0, 20.0, 35.0))
    on_tool_ras = np.array((1.0, 2.0, 3.0, 1.0))
    assert pose.to_world((FLIP @ on_tool_ras)[:3]) == pytest.approx((FLIP @ m @ on_tool_ras)[:3])
    assert matrix_of(pose, Axes.RAS) == pytest.approx(m)
    same = pose_of(m, Axes.LPS)
    assert same.origin_mm == pytest.approx(PLACE)
    assert matrix_of(same, Axes.LPS) == pytest.approx(m)
    assert not np.allclose(same.axes, pose.axes)


def test_what_pyigtl_serves_is_received() -> None:
    image = RNG.integers(0, 65536, (1, 5, 7)).astype(np.uint16)
    with pyigtl_server() as server, connect(port=server.server_address[1]) as link:
        wait_for(server.is_connected)
        server.send_message(pyigtl.TransformMessage(ras_matrix(), device_name="NeedleToTracker", timestamp=1234.5))
        server.send_message(pyigtl.ImageMessage(image, device_name="C-arm", timestamp=1234.6))
        server.send_message(pyigtl.PointMessage([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], ["tip", "hub"], device_name="P"))
        server.send_message(pyigtl.StringMessage("hello", device_name="S"))
        pose, frame, points, note = until(link.events(), lambda item: isinstance(item, Note))
    assert isinstance(pose, ToolPose)
    assert (pose.source, pose.tool, pose.number) == ("NeedleToTracker", "NeedleToTracker", 1)
    assert pose.time_s == pytest.approx(1234.5, abs=1e-6)
    assert pose.pose.origin_mm == pytest.approx((-10.0, 20.0, 35.0))
    assert pose.pose.axes == pytest.approx(FLIP[:3, :3] @ TURN @ FLIP[:3, :3], abs=1e-6)
    assert isinstance(frame, Frame)
    assert np.array_equal(frame.image, image[0])
    assert (frame.image.dtype, frame.intensity) == (np.uint16, Intensity.DISPLAYED)
    assert isinstance(points, Points)
    assert points.names == ("tip", "hub")
    assert points.points_mm.tolist() == [[-1.0, -2.0, 3.0], [-4.0, -5.0, 6.0]]
    assert (note.name, note.text) == ("STRING", "hello")


def test_what_is_sent_is_received_by_pyigtl() -> None:
    image = RNG.integers(0, 65536, (6, 9)).astype(np.uint16)
    view = CArm(np.zeros(3), detector=Detector(6, 9, 0.3, 0.4))
    alarm = Alarm(AlarmKind.LEAK, 1.0, 7, "C-arm", Finding(Severity.STOP, "cement outside"))
    with listen(0) as link:
        client = pyigtl.OpenIGTLinkClient("127.0.0.1", link.port)
        try:
            wait_for(lambda: link.peers)
            assert link.send(tool(5), "NeedleToReference") == 1
            link.send(Frame(8, 2.0, "C-arm", image, view, Intensity.LOG))
            link.send(alarm, "TrocarAlarm")
            link.send(Points(1, 0.5, "marks", ("a",), np.array(((1.0, 2.0, 3.0),))))
            pose = client.wait_for_message("NeedleToReference", timeout=WAIT_S)
            picture = client.wait_for_message("C-arm", timeout=WAIT_S)
            sentence = client.wait_for_message("TrocarAlarm", timeout=WAIT_S)
            marks = client.wait_for_message("marks", timeout=WAIT_S)
        finally:
            client.stop()
    assert pose.matrix == pytest.approx(matrix_of(tool(5).pose, Axes.RAS), abs=1e-5)
    assert (pose.timestamp, pose.metadata["TrocarNumber"]) == (pytest.approx(1000.05, abs=1e-6), "1")
    assert np.array_equal(picture.image, image[None])
    assert np.diag(picture.ijk_to_world_matrix)[:3] == pytest.approx((0.4, 0.3, 1.0))
    assert picture.metadata["TrocarIntensity"] == "LOG"
    assert sentence.string == "STOP: cement outside"
    assert marks.positions == [(-1.0, -2.0, 3.0)]


@pytest.mark.parametrize("axes", list(Axes))
def test_everything_that_is_sent_comes_back_as_it_was(axes: Axes) -> None:
    volume = Volume(RNG.normal(size=(3, 5, 4)).astype(np.float32), np.diag((0.7, 0.8, 3.0, 1.0)))
    items = [
        tool(3),
        Frame(2, 5.0, "F", RNG.normal(size=(4, 6)).astype(np.float32), None, Intensity.LOG_BRIGHT),
        Frame(3, 5.5, "G", RNG.integers(0, 255, (1, 6)).astype(np.uint8)),
        Slab(1, 6.0, "CT", volume),
        Points(4, 7.0, "P", ("tip",), np.array(((1.5, -2.5, 3.5),))),
        Note(5, 8.0, "N", "STRING", "größer als 3 mm"),
    ]
    with listen(0, axes=axes) as server, connect(port=server.port, axes=axes, slabs={"CT"}) as client:
        wait_for(lambda: server.peers)
        for item in items:
            assert server.send(item) == 1
        got = [t for t in until(client.events(), lambda i: i.source == "N") if t.source != "Trocar"]
    pose, frame, small, slab, points, note = got
    assert pose.pose.origin_mm == pytest.approx(items[0].pose.origin_mm, abs=1e-5)
    assert pose.pose.axes == pytest.approx(items[0].pose.axes, abs=1e-6)
    assert np.array_equal(frame.image, items[1].image)
    assert frame.intensity is Intensity.LOG_BRIGHT
    assert np.array_equal(small.image, items[2].image)
    assert np.array_equal(slab.volume.array, volume.array)
    assert slab.volume.affine == pytest.approx(volume.affine, abs=1e-5)
    assert points.points_mm == pytest.approx(items[4].points_mm)
    assert note.text == "größer als 3 mm"
    assert [round(g.time_s, 6) for g in got] == [round(i.time_s, 6) for i in items]


def test_the_bytes_of_tdata_are_the_protocols() -> None:
    tools = [replace(tool(0), tool="Needle"), replace(tool(1), tool="Reference")]
    data = stamped(tracking_message(tools, Axes.LPS), "Tracker", 12.25, 9)
    kind, device, seconds, fraction = struct.unpack_from(">2x12s20sII", data)
    assert (kind.rstrip(b"\0"), device.rstrip(b"\0"), seconds, fraction) == (b"TDATA", b"Tracker", 12, 2**30)
    content = data[HEADER.size + 12 :]  # after the extended header
    name, sort, reserved, *numbers = struct.unpack_from(">20sBB12f", content, 70)
    assert (name.rstrip(b"\0"), sort, reserved) == (b"Reference", 2, 0)
    assert numbers[:3] == pytest.approx(TURN[:, 0])  # first column first, the place last
    assert numbers[9:] == pytest.approx(PLACE + 1)
    (header, body), = Inbox().feed(data)  # fmt: skip
    both = list(items_of(header, body, Meaning(Axes.LPS), lambda message: 9, 12.25))
    assert [(p.tool, p.number, p.source) for p in both] == [("Needle", 9, "Tracker"), ("Reference", 9, "Tracker")]


def test_tools_of_one_tdata_are_no_repetition() -> None:
    with listen(0) as server, connect(port=server.port) as client:
        wait_for(lambda: server.peers)
        for n in range(30):
            at = 50.0 + n / 100
            server.send_tools([replace(tool(n, time_s=at), tool=name) for name in ("Needle", "Reference")], "Tracker")
        server.send("end", "End")
        found = list(checked(Event(0.0, i) for i in until(client.events(), lambda i: i.source == "End")))
    assert [t for t in found if isinstance(t, Alarm) and t.kind is not AlarmKind.UNRELIABLE] == []
    assert sum(isinstance(t, ToolPose) for t in found) == 60


def test_a_hundred_a_second_lose_none() -> None:
    count = 300
    with listen(0) as server, connect(port=server.port) as client:
        wait_for(lambda: server.peers)

        def send() -> None:
            began = time.perf_counter()
            for n in range(1, count + 1):
                server.send(tool(n, time_s=time.time()))
                time.sleep(max(0.0, began + n / 100 - time.perf_counter()))
            server.send("end", "End")

        sender = threading.Thread(target=send)
        sender.start()
        found = until(client.events(), lambda i: i.source == "End")
        sender.join()
    assert [p.number for p in found if isinstance(p, ToolPose)] == list(range(1, count + 1))


def test_what_is_lost_on_the_way_is_known_by_number() -> None:
    lost = {5, 40, 41, 42, 99}
    with listen(0) as server, raw_client(server.port) as peer:
        for n in range(1, 121):
            if n not in lost:
                peer.sendall(wire(n))
        items = until(server.events(), lambda i: isinstance(i, ToolPose) and i.number == 120)
    alarms = [t for t in checked(Event(i.time_s, i) for i in items) if isinstance(t, Alarm)]
    assert [a.finding.because for a in alarms if a.kind is AlarmKind.LOST and not a.over] == [
        "number 5 never came",
        "numbers 40 to 42 never came",
        "number 99 never came",
    ]


def test_what_an_unnumbered_sender_lost_is_seen_by_its_rate() -> None:
    kept = [n for n in range(100) if n not in {30, 31, 60}]
    with listen(0) as server, raw_client(server.port) as peer:
        for n in kept:
            peer.sendall(wire(None, time_s=1000.0 + n / 100))
        items = until(server.events(), lambda i: isinstance(i, ToolPose) and i.number == len(kept))
    events = (Event(i.time_s, i) for i in items)
    alarms = [
        t for t in checked(events, rules={"Needle": Rules(rate_hz=100.0, still_pose_s=None)}) if isinstance(t, Alarm)
    ]
    assert [a.finding.text for a in alarms] == [
        "About 2 positions from Needle were lost.",
        "About 1 position from Needle was lost.",
    ]


def test_a_damaged_message_is_not_used_and_known_to_be_missing() -> None:
    with listen(0) as server, raw_client(server.port) as peer:
        for n in range(1, 6):
            data = bytearray(wire(None, time_s=float(n)))
            data[-10 if n == 3 else 1] ^= 0xFF if n == 3 else 0
            peer.sendall(data)
        found = until(server.events(), lambda i: isinstance(i, ToolPose) and i.number == 5)
    assert [p.number for p in found if isinstance(p, ToolPose)] == [1, 2, 4, 5]
    assert len(told(found, "came damaged")) == 1


def test_checksums_can_be_waived_for_a_sender_that_makes_none() -> None:
    data = bytearray(wire(1))
    data[HEADER.size - 8 : HEADER.size] = bytes(8)
    for checksums, expected in ((True, Alarm), (False, ToolPose)):
        with listen(0, checksums=checksums) as server, raw_client(server.port) as peer:
            peer.sendall(data)
            assert isinstance(until(server.events(), lambda i: True)[0], expected)


def test_a_wrong_device_name_is_told() -> None:
    with listen(0) as server, raw_client(server.port) as peer:
        peer.sendall(wire(1, "NeedleToTracker"))
        items = until(server.events(), lambda i: isinstance(i, ToolPose))
    events = [Event(t / 10, items[0] if t == 0 else None) for t in range(30)]
    (absent,) = (
        t for t in checked(events, default=Rules(silent_s=None), expected=("NeedleToTrakcer",)) if isinstance(t, Alarm)
    )
    assert "Nothing has come from NeedleToTrakcer" in absent.finding.text
    assert "NeedleToTracker" in absent.finding.because


def test_a_server_that_vanishes_is_told_and_found_again() -> None:
    first = listen(0)
    port = first.port
    with connect(port=port) as client:
        events = client.events()
        wait_for(lambda: first.peers)
        first.send(tool(1))
        until(events, lambda i: isinstance(i, ToolPose))
        first.close()
        found = until(events, lambda i: isinstance(i, Alarm))
        assert (found[-1].kind, found[-1].finding.severity, found[-1].over) == (AlarmKind.SILENT, Severity.STOP, False)
        with listen(port) as second:
            wait_for(lambda: second.peers)
            second.send(tool(1))
            found = until(events, lambda i: isinstance(i, ToolPose))
    assert [a.over for a in found if isinstance(a, Alarm)] == [True]


def test_a_live_link_replays_to_the_same_alarms(tmp_path: Path) -> None:
    """Losses, a bad message, silence and a lost connection, recorded as they came, and read back."""

    def told_by(things: Iterator[Stamped | Alarm] | list[Stamped | Alarm]) -> list[tuple[Any, ...]]:
        alarms = (t for t in things if isinstance(t, Alarm))
        return [(a.kind, a.time_s, a.number, a.source, a.finding, a.over) for a in alarms]

    server = listen(0)
    path = tmp_path / "run.rec"
    recorder = Recorder(path, expected=("Needel",))
    with recorder, connect(port=server.port) as client, ended_after(client):
        things = watched(client.events(), recorder)
        wait_for(lambda: server.peers)
        for n in range(1, 6):
            server.send(tool(n))
        server._sent["Needle"] += 3  # three that were never sent
        server.send(tool(9))
        server.send(Points(1, 1.0, "bad", ("x",), np.full((1, 3), np.nan)))
        live = until_thing(things, lambda t: isinstance(t, Alarm) and "No position" in t.finding.text)
        server.close()
        live += until_thing(things, lambda t: isinstance(t, Alarm) and "was lost" in t.finding.text)
        live += until_thing(things, lambda t: isinstance(t, Alarm) and "Needel" in t.finding.text)
        things.close()
    again = list(replayed(path))
    assert told_by(again)[: len(told_by(live))] == told_by(live)
    assert [t.number for t in again if isinstance(t, ToolPose)] == [1, 2, 3, 4, 5, 9]
    assert {"numbers 6 to 8 never came"} <= {a.finding.because for a in again if isinstance(a, Alarm)}
    assert told(again, "is not used")


@contextmanager
def ended_after(link: Any, seconds: float = 2 * WAIT_S) -> Iterator[None]:
    """No test may hang: where what is waited for does not come, the stream ends."""
    timer = threading.Timer(seconds, link.close)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def until_thing(things: Iterator[Stamped | Alarm], done: Callable[[Stamped | Alarm], bool]) -> list[Stamped | Alarm]:
    found = []
    for thing in things:
        found.append(thing)
        if done(thing):
            break
    return found


def test_a_server_that_is_not_there_is_told_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with connect(port=port) as client:
        events = client.events()
        found = until(events, lambda i: isinstance(i, Alarm))
        assert "No connection to 127.0.0.1" in found[0].finding.text
        began = time.monotonic()
        for event in events:
            assert event.item is None
            if time.monotonic() - began > 1.2:
                break


def test_a_client_that_leaves_is_told() -> None:
    with listen(0) as server:
        with raw_client(server.port):
            wait_for(lambda: server.peers)
        found = until(server.events(), lambda i: isinstance(i, Alarm))
        assert "no longer connected" in found[-1].finding.text
        assert server.peers == 0


def test_two_senders_of_one_name_are_not_mixed() -> None:
    with listen(0) as server, raw_client(server.port) as one:
        one.sendall(wire(1))
        events = server.events()
        until(events, lambda i: isinstance(i, ToolPose))
        with raw_client(server.port) as other:
            other.sendall(wire(700))
            found = until(events, lambda i: isinstance(i, Alarm))
            assert "comes from two senders" in found[-1].finding.text
            one.sendall(wire(2))
            assert until(events, lambda i: isinstance(i, ToolPose))[-1].number == 2


def test_too_many_peers_are_turned_away() -> None:
    with listen(0) as server:
        peers = [socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) for _ in range(MOST_PEERS + 1)]
        found = until(server.events(), lambda i: isinstance(i, Alarm))
        assert "turned away" in found[-1].finding.text
        assert server.peers == MOST_PEERS
        for peer in peers:
            peer.close()


def _with(data: bytes, place: int, form: str, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(form, changed, place, value)
    return bytes(changed)


BROKEN = {
    "noise": (b"\xff" * 256, "header version"),
    "http": (b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n" + b" " * 58, "header version"),
    "huge": (_with(wire(1), 42, ">Q", 2**63), "at most"),
    "huge transform": (_with(wire(1), 42, ">Q", 2**21), "at most 1048576"),
    "huge image": (_with(_with(wire(1), 42, ">Q", MOST_BODY + 1), 2, ">6s", b"IMAGE\0"), f"at most {MOST_BODY}"),
}


@pytest.mark.parametrize(("data", "says"), BROKEN.values(), ids=BROKEN)
def test_bytes_that_are_no_message_end_the_connection(data: bytes, says: str) -> None:
    with listen(0) as server, raw_client(server.port) as peer:
        peer.sendall(data)
        found = until(server.events(), lambda i: isinstance(i, Alarm))
        assert told(found, says)
        assert server.peers == 0


def test_a_length_alone_takes_no_memory() -> None:
    header = _with(_with(wire(1), 42, ">Q", MOST_BODY), 2, ">6s", b"IMAGE\0")[: HEADER.size]
    tracemalloc.start()
    boxes = [Inbox() for _ in range(20)]
    assert [list(box.feed(header)) for box in boxes] == [[]] * 20
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1e6
    assert all(box.within for box in boxes)


def test_a_peer_that_stops_in_mid_message_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(igtl_peer, "STALL_S", 0.2)
    with listen(0) as server, raw_client(server.port) as peer:
        peer.sendall(wire(1)[:70])
        found = until(server.events(), lambda i: isinstance(i, Alarm))
    assert told(found, "stopped in the middle")


def _content(kind: str, content: bytes, **metadata: str) -> bytes:
    return stamped(raw_message()(kind, content), "Needle", 5.0, 1, metadata)


def _numbers(*values: float) -> bytes:
    return struct.pack(">12f", *values)


def _image(components: int, scalar: int, size: tuple[int, int, int], pixels: bytes, part: int = 0) -> bytes:
    head = struct.pack(">HBBBB3H12f6H", 1, components, scalar, 2, 1, *size, *([1.0] * 12), part, 0, 0, *size)
    return _content("IMAGE", head + pixels)


SCALED = (2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0)
MIRRORED = (-1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
REFUSED = {
    "short transform": (_content("TRANSFORM", bytes(20)), "malformed"),
    "no numbers": (_content("TRANSFORM", _numbers(*[float("nan")] * 12)), "not a number"),
    "scaled": (_content("TRANSFORM", _numbers(*SCALED)), "scales, shears or mirrors"),
    "mirrored": (_content("TRANSFORM", _numbers(*MIRRORED)), "scales, shears or mirrors"),
    "half a tool": (_content("TDATA", bytes(75)), "no whole number of tools"),
    "no tool": (_content("TDATA", b""), "no whole number of tools"),
    "pixels that lack": (_image(1, 5, (4, 4, 1), bytes(10)), "malformed"),
    "many pixels claimed": (_image(255, 11, (65535, 65535, 65535), bytes(16)), "malformed"),
    "unknown scalar": (_image(1, 99, (4, 4, 1), bytes(16)), "malformed"),
    "no pixels": (_image(1, 3, (0, 0, 1), b""), "slices"),
    "part of an image": (_image(1, 3, (4, 4, 1), bytes(16), part=1), "malformed"),
    "several slices": (_image(1, 3, (4, 4, 3), bytes(48)), "3 slices where one image"),
    "short status": (_content("STATUS", bytes(5)), "STATUS"),
    "short string": (_content("STRING", bytes(1)), "STRING"),
    "unknown kind": (_content("POLYDATA", bytes(100)), "not understood"),
    "unseen tool": (_content("TRANSFORM", _numbers(*[0.0] * 12), TransformStatus="OUT_OF_VIEW"), "OUT_OF_VIEW"),
    "extended header too long": (_with(wire(1), 58 + 4, ">I", 10**6), "exceed"),
    "extended header too short": (_with(wire(1), 58, ">H", 3), "exceed"),
    "meta data that lacks": (_with(wire(1), len(wire(1)) - 1 - 12 - 10, ">H", 60000), "entries of meta data"),
}


@pytest.mark.parametrize(("data", "says"), REFUSED.values(), ids=REFUSED)
def test_a_message_that_cannot_be_used_is_told_and_the_next_is_read(data: bytes, says: str) -> None:
    body = data[HEADER.size :]
    crc = pyigtl.messages.CRC64(body)
    with listen(0) as server, raw_client(server.port) as peer:
        peer.sendall(_with(data, 50, ">Q", crc) + wire(2))
        found = until(server.events(), lambda i: isinstance(i, ToolPose))
    assert told(found, says)
    assert found[-1].number == 2
    assert len(found) == 2


def test_a_flood_of_bad_messages_is_no_flood_of_alarms() -> None:
    with listen(0) as server, raw_client(server.port) as peer:
        peer.sendall(_content("POLYDATA", bytes(10)) * 5000 + wire(2))
        found = until(server.events(), lambda i: isinstance(i, ToolPose))
    assert 1 <= len(found) - 1 <= WAIT_S


def test_complaints_of_one_sort_are_gathered() -> None:
    with socket.socket() as unused:
        peer = igtl_peer.Peer(unused, "peer", 0.0)
        assert [peer.told("sum", t) for t in (0.0, 0.5, 0.9, 1.1, 1.2, 2.5)] == [1, 0, 0, 3, 0, 2]
        assert [peer.told(f"new {n}", 3.0) for n in range(1000)] == [1] * 1000
        assert len(peer._complaints) <= igtl_peer.MOST_COMPLAINTS


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_bytes_bring_the_reader_down(data: st.DataObject) -> None:
    """A message with some of its bytes changed, in pieces: an item, a refusal or a broken stream, and nothing else."""
    kind = data.draw(st.sampled_from(["TRANSFORM", "TDATA", "IMAGE", "STRING", "STATUS", "POINT", "WHAT"]))
    good = bytearray(_content(kind, data.draw(st.binary(max_size=300)), Status="OK"))
    for _ in range(data.draw(st.integers(0, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    box = Inbox()
    try:
        for piece in (bytes(good[:cut]), bytes(good[cut:])):
            for header, body in box.feed(piece):
                list(items_of(header, body, Meaning(slabs=frozenset({"Needle"})), lambda message: 1, 0.0))
    except (Refused, Broken):
        pass


@given(st.lists(st.integers(1, 200), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_messages_are_cut_alike_however_they_are_chopped(sizes: list[int]) -> None:
    data = b"".join(wire(n) for n in range(1, 6)) + stamped(status_message("ok"), "S", 1.0, 1)
    box, place, got = Inbox(), 0, []
    for size in [*sizes, len(data)]:
        got += list(box.feed(data[place : place + size]))
        place += size
    assert [(h.kind, h.device) for h, _ in got] == [("TRANSFORM", "Needle")] * 5 + [("STATUS", "S")]
    assert not box.within


def test_a_name_from_the_network_cannot_write_on_the_screen() -> None:
    header = parse_header(HEADER.pack(1, b"STRING", b"\x1b[2J\xffevil\n", 1, 0, 0, 0))
    assert header.device == "?[2J\ufffdevil"
    assert isinstance(header, Header)


def test_images_of_other_forms_are_understood() -> None:
    def received(message: Any, **meaning: Any) -> Stamped:
        (header, body), = Inbox().feed(stamped(message, "C-arm", 1.0, 1))  # fmt: skip
        (item,) = items_of(header, body, Meaning(**meaning), lambda m: 1, 1.0)
        return item

    flat = RNG.integers(0, 255, (4, 6)).astype(np.uint8)
    assert np.array_equal(received(pyigtl.ImageMessage(flat)).image, flat)  # pyigtl sends its rows as slices
    grey = np.repeat(flat[None, :, :, None], 3, axis=3)
    assert np.array_equal(received(pyigtl.ImageMessage(grey)).image, flat)
    big_endian = bytearray(_image(1, 5, (6, 4, 1), flat.astype(">u2").tobytes())[HEADER.size :])
    big_endian[12 + 4] = 1
    header = Header(2, "IMAGE", "C-arm", 1.0, len(big_endian), 0)
    (swapped,) = items_of(header, bytes(big_endian), Meaning(), lambda m: 1, 1.0)
    assert np.array_equal(swapped.image, flat)
    assert (swapped.image.dtype, swapped.image.dtype.isnative) == (np.uint16, True)
    assert received(pyigtl.ImageMessage(flat[None].astype(np.int16))).image.dtype == np.float32
    # a CT whose first axis runs to the patient's right: canonical, and the voxel stays where it is
    block = RNG.integers(0, 99, (2, 4, 6)).astype(np.int16)
    affine = np.array([[2.0, 0, 0, 5], [0, 3.0, 0, 6], [0, 0, 4.0, 7], [0, 0, 0, 1]])
    for counted, to_lps in (("ras", FLIP), ("lps", np.eye(4))):
        slab = received(pyigtl.ImageMessage(block, affine, counted), slabs=frozenset({"C-arm"}))
        assert slab.volume.spacing_mm == pytest.approx((4.0, 3.0, 2.0))
        at_lps = (to_lps @ affine @ (3, 2, 1, 1))[:3]
        k, j, i = np.round(slab.volume.index_kji(at_lps)).astype(int)
        assert slab.volume.array[k, j, i] == block[1, 2, 3]


def test_a_slow_peer_holds_nobody_up_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(igtl_peer, "MOST_UNSENT", 3_000_000)
    image = Frame(1, 1.0, "C-arm", np.zeros((1024, 1024), np.uint16))
    with listen(0) as server, raw_client(server.port) as peer:
        wait_for(lambda: server.peers)
        began = time.monotonic()
        for _ in range(20):
            server.send(image)
        assert time.monotonic() - began < 5.0  # the peer has read nothing
        peer.settimeout(0.5)
        box, numbers = Inbox(), []
        while not numbers or numbers[-1] < 20:
            for header, body in box.feed(peer.recv(2**20)):
                if header.kind == "IMAGE":
                    list(
                        items_of(header, body, Meaning(), lambda m: numbers.append(int(m.metadata["TrocarNumber"])), 0)
                    )
        found = until(server.events(), lambda i: isinstance(i, Alarm))
    assert told(found, "too slowly")
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 20


def test_only_this_computer_is_let_in_unless_asked() -> None:
    for host in ("0.0.0.0", "", "192.168.0.1", "::", "127.0.0.1.example.org", "10.0.0.1"):
        with pytest.raises(ValueError, match="anybody=True"):
            listen(0, host)
    with listen(0) as link, pytest.raises(ToolError, match="cannot be listened to"):
        listen(link.port)


@pytest.mark.parametrize("name", ["", "x" * 21, "größe", "a\nb"])
def test_a_name_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="device name"):
        stamped(status_message("ok"), name, 1.0, 1)


def test_what_has_no_message_or_no_time_is_refused() -> None:
    with listen(0) as link:
        with pytest.raises(TypeError, match="Reading"):
            link.send(Reading(1, 1.0, "pump", "p", 1.0, "kPa"))
        with pytest.raises(ValueError, match="time_s"):
            link.send(tool(1, time_s=-1.0))
        with pytest.raises(TypeError, match="int64"):
            link.send(Frame(1, 1.0, "C-arm", np.zeros((2, 2), np.int64)))


def test_closing_twice_and_sending_afterwards_do_no_harm() -> None:
    link = listen(0)
    link.close()
    link.close()
    assert link.send(tool(1)) == 0
    assert list(link.events()) == []
