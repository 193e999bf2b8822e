"""Streams beside pyigtl's own client, in one run: what is lost, how late things come, and what recording costs.

    python benchmarks/streams.py [--quick] [--json]

One process serves transforms at 100 a second (a minute of them), then images of 1024 x 1024 x 16 bit at 15 a second, to
two others at once: our client, with the watchdog behind it, and pyigtl's, asked for one message after another as its
documentation shows. Late is the time of reception less the stamp, all on one computer's clock. Then messages are left
out on purpose, and every one must be told by number. The recorder writes noisy images to a temporary folder; beside it
the same bytes through zlib alone. All on the loopback; times are wall times, unless CPU is said.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trocar.geometry import Pose
from trocar.guidance.frames import Alarm, AlarmKind, Event, Frame, ToolPose
from trocar.guidance.stream import checked
from trocar.guidance.watchdog import Rules, Watch
from trocar.io.igtl import connect, listen
from trocar.io.igtl_items import Axes, message_of
from trocar.io.igtl_wire import stamped
from trocar.io.recording import Recorder, watched
from trocar.io.replay import read_recording, replayed

LIMIT = {"min": "at least", "max": "at most"}
DEVICE, END = "NeedleToTracker", "End"
#: What is asked: none lost unnoticed; the recorder keeps up with twice the fastest fluoroscopy, on one core.
UNKNOWN, FRAMES_PER_S = 0, 30.0
#: Messages left out on purpose: one in so many.
DROPPED_ONE_IN = 50


def pose(number: int, time_s: float) -> ToolPose:
    return ToolPose(number, time_s, DEVICE, DEVICE, Pose(np.array((number * 0.01, 2.0, 3.0)), np.eye(3)))


def images(count: int) -> list[np.ndarray]:
    """Low-dose images: a smooth shadow, and the noise of some hundred quanta in each pixel."""
    rng = np.random.default_rng(7)
    row, column = np.mgrid[0:1024, 0:1024] / 1024
    shadow = 400 + 2500 * np.exp(-((column - 0.5) ** 2) / 0.02) + 300 * np.sin(6 * row)
    return [rng.poisson(shadow).astype(np.uint16) for _ in range(count)]


def serve(kind: str, count: int, rate_hz: float) -> None:
    """The process that sends, once two have connected."""
    pictures = images(8) if kind == "image" else []
    with listen(0) as link:
        print(link.port, flush=True)
        while link.peers < 2:
            time.sleep(0.01)
        time.sleep(1.0)
        began = time.perf_counter()
        for n in range(count):
            time.sleep(max(0.0, began + n / rate_hz - time.perf_counter()))
            now = time.time()
            link.send(Frame(n, now, DEVICE, pictures[n % 8]) if pictures else pose(n, now))
        time.sleep(1.0)
        for _ in range(3):
            link.send("end", END)
            time.sleep(0.2)


def receive_ours(port: int) -> None:
    late, numbers, told = [], [], set()
    with connect(port=port) as link:
        for thing in checked(link.events()):
            if isinstance(thing, Alarm):
                if thing.kind is AlarmKind.LOST and not thing.over:
                    told |= set(missing(thing.finding.because))
            elif thing.source == END:
                break
            elif thing.source == DEVICE:
                late.append(time.time() - thing.time_s)
                numbers.append(thing.number)
    print(json.dumps({"late_s": late, "numbers": numbers, "told": sorted(told)}))


def receive_pyigtl(port: int) -> None:
    import pyigtl

    late, numbers = [], []
    client = pyigtl.OpenIGTLinkClient("127.0.0.1", port)
    while True:
        message = client.wait_for_message(DEVICE, timeout=2.0)
        if message is not None:
            late.append(time.time() - message.timestamp)
            numbers.append(int(message.metadata["TrocarNumber"]))
        elif numbers:
            break
    client.stop()
    print(json.dumps({"late_s": late, "numbers": numbers}))


def run(kind: str, count: int, rate_hz: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """What our client and pyigtl's received of the same server."""
    me = [sys.executable, str(Path(__file__).resolve())]
    server = subprocess.Popen([*me, "--serve", kind, str(count), str(rate_hz)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    clients = [
        subprocess.Popen([*me, "--receive", who, port], stdout=subprocess.PIPE, text=True) for who in ("ours", "pyigtl")
    ]
    try:
        outputs = [client.communicate(timeout=count / rate_hz + 60.0)[0] for client in clients]
    finally:
        for process in (*clients, server):
            process.kill()
            process.wait()
        server.stdout.close()
    ours, theirs = (json.loads(output) for output in outputs)
    return ours, theirs


def compared(what: str, kind: str, count: int, rate_hz: float) -> list[dict[str, Any]]:
    ours, theirs = run(kind, count, rate_hz)
    lost, their_lost = (set(range(1, count + 1)) - set(side["numbers"]) for side in (ours, theirs))
    found = [
        against(f"{what}, lost", len(lost), "messages", "pyigtl", len(their_lost)),
        figure(f"{what}, lost and not told", len(lost - set(ours["told"])), "messages", asked={"max": UNKNOWN}),
    ]
    for name, share in (("median", 50), ("95th percentile", 95), ("largest", 100)):
        ms, theirs_ms = (float(np.percentile(side["late_s"], share)) * 1e3 for side in (ours, theirs))
        found.append(against(f"{what}, late, {name}", ms, "ms", "pyigtl", theirs_ms))
    return found


def left_out(count: int) -> list[dict[str, Any]]:
    """Messages left out on purpose, at full speed: which are told, which not, and how fast they are taken."""
    rng = np.random.default_rng(3)
    dropped = set((np.flatnonzero(rng.random(count) < 1 / DROPPED_ONE_IN) + 1).tolist()) - {1, count}
    told: set[int] = set()
    with listen(0) as link, socket.create_connection(("127.0.0.1", link.port)) as peer:
        messages = [
            stamped(message_of(pose(n, n / 100), Axes.RAS)[0], DEVICE, n / 100, n)
            for n in range(1, count + 1)
            if n not in dropped
        ]
        sender = threading.Thread(target=lambda: [peer.sendall(m) for m in messages])
        began = time.perf_counter()
        sender.start()
        got = []
        for thing in checked(link.events(), default=Rules(silent_s=None, late_s=None)):
            if isinstance(thing, ToolPose):
                got.append(thing.number)
                if thing.number == count:
                    break
            elif isinstance(thing, Alarm) and thing.kind is AlarmKind.LOST and not thing.over:
                told |= set(missing(thing.finding.because))
        seconds = time.perf_counter() - began
        sender.join()
    return [
        figure("left out on purpose, told by number", len(told & dropped), f"of {len(dropped)}"),
        figure("left out on purpose, not told", len(dropped - told), "messages", asked={"max": UNKNOWN}),
        figure("told as lost, and not left out", len(told - dropped), "messages", asked={"max": 0}),
        figure("transforms taken, full speed", len(got) / seconds, "1/s"),
    ]


def missing(because: str) -> range:
    """The numbers in "numbers 5 to 7 never came"."""
    digits = [int(word) for word in because.split() if word.isdigit()]
    return range(digits[0], digits[-1] + 1)


def recorder(count: int, folder: Path) -> list[dict[str, Any]]:
    """The whole chain, recorded and checked; reading it back; and zlib on the same bytes."""
    pictures = images(8)
    path = folder / "run.rec"
    held: list[int] = []

    def events() -> Iterator[Event]:
        for n in range(count):
            held.append(held_bytes())
            yield Event(n / 15, Frame(n, n / 15, "C-arm", pictures[n % 8] ^ np.uint16(n & 1)))

    rules = {"C-arm": Rules(still_s=None)}
    wall, cpu = time.perf_counter(), time.process_time()
    with Recorder(path, rules) as to:
        done = sum(isinstance(thing, Frame) for thing in watched(events(), to))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    grown = held[-1] - held[count // 10]
    again = time.perf_counter()
    same = sum(np.array_equal(f.image, e.item.image) for f, e in zip(frames_of(path), events(), strict=True))
    again = time.perf_counter() - again
    if (done, same, read_recording(path).cut) != (count, count, None):
        sys.exit(f"the recording holds {same} of {count} images")
    plain = time.process_time()
    packed = [len(zlib.compress(p.tobytes(), 1)) for p in pictures]
    plain = (time.process_time() - plain) / len(pictures)
    watch = time.process_time()
    guard = Watch()
    for event in events():
        guard.see(event)
    watch = (time.process_time() - watch) / count
    size = path.stat().st_size / count
    return [
        figure("recorded and checked, 1024 x 1024 x 16 bit", count / cpu, "1/CPU-s", asked={"min": FRAMES_PER_S}),
        figure("recorded and checked, wall time", count / wall, "images/s"),
        figure("recorded, plain", count * pictures[0].nbytes / wall / 1e6, "MB/s"),
        against("recorded, CPU for an image", cpu / count * 1e3, "ms", "zlib level 1 alone", plain * 1e3),
        against("recorded, size of an image", size / 1e6, "MB", "zlib level 1 alone", float(np.mean(packed)) / 1e6),
        figure("read back", count / again, "images/s"),
        figure("checked, CPU for an image", watch * 1e3, "ms"),
        figure("memory that recording grew by", grown / 1e6, "MB"),
    ]


def held_bytes() -> int:
    """The memory that this process holds now; read from /proc: Linux only."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def frames_of(path: Path) -> Iterator[Frame]:
    return (thing for thing in replayed(path) if isinstance(thing, Frame))


def figures_of(quick: bool, folder: Path, say: Any) -> list[dict[str, Any]]:
    say("transforms")
    found = compared("100 transforms a second", "transform", 700 if quick else 6000, 100.0)
    say("images")
    found += compared("15 images a second", "image", 60 if quick else 450, 15.0)
    say("messages left out")
    found += left_out(3000 if quick else 20000)
    say("recorder")
    return found + recorder(60 if quick else 600, folder)


def figure(name: str, value: float, unit: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": rounded(value), "unit": unit, **more}


def against(name: str, value: float, unit: str, peer: str, peer_value: float) -> dict[str, Any]:
    ratio = rounded(value / peer_value) if peer_value else None
    return figure(name, value, unit, peer=peer, peer_value=rounded(peer_value), ratio=ratio)


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


def show(figures: list[dict[str, Any]]) -> None:
    for entry in figures:
        notes = [f"asked: {LIMIT[key]} {bound:g}" for key, bound in entry.get("asked", {}).items()]
        if "peer" in entry:
            notes.append(f"{entry['peer']}: {entry['peer_value']:g}")
        print(f"{entry['name']:<48}{entry['value']:>10g} {entry['unit']:<10} {'; '.join(notes)}".rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="seven seconds instead of a minute; ends within 40 s")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--receive", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve[0], int(given.serve[1]), float(given.serve[2]))
        return
    if given.receive:
        {"ours": receive_ours, "pyigtl": receive_pyigtl}[given.receive[0]](int(given.receive[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = figures_of(given.quick, Path(folder), lambda text: print(text, file=sys.stderr))
    show(figures)
    if given.json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
