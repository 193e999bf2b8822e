"""``trocar guide`` as a user meets it: the whole way from films to an alarm, live watching, and every refusal."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from trocar.anatomy.levels import Level
from trocar.anatomy.phantom import Fracture, PhantomSpec, phantom
from trocar.cli import main
from trocar.cli.guide import leak, watch_live
from trocar.cli.guide.shared import CAPTION_ROWS
from trocar.cli.guide.simulate import LEAK_NAMES
from trocar.errors import OutputError
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.frames import Alarm, AlarmKind, Event, Frame, Intensity
from trocar.guidance.live import Live
from trocar.guidance.simulated_case import LEAKS
from trocar.guidance.truth import Truth
from trocar.guidance.vision import opencv
from trocar.injection.routes import Route
from trocar.io.igtl import listen
from trocar.io.phantom_files import write_phantom
from trocar.io.replay import read_recording, replayed
from trocar.io.truth_file import read_truth
from trocar.io.xa import read_xa
from trocar.io.xa_write import About, write_xa

LEVELS = (Level.T12, Level.L1, Level.L2)
#: A live test that has not ended by then is ended, s.
LONGEST_S = 40.0


def trocar(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@dataclass(frozen=True)
class Patient:
    """A planned phantom: its files, and the arguments that name them."""

    folder: Path
    scan: Path
    labels: Path
    centre_mm: tuple[float, float, float]

    @property
    def named(self) -> tuple[object, ...]:
        return (self.folder / "plan" / "plan.json", self.scan, "--labels", self.labels)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    folder = tmp_path_factory.mktemp("guide")
    # a wedge: bodies of one form can be taken for one another, and registration rightly says so
    drawn = phantom(PhantomSpec(LEVELS, focus=Level.L1, fracture=Fracture.WEDGE, voxel_mm=(2.0, 1.0, 1.0)))
    scan, labels = write_phantom(drawn, folder)
    done = trocar("plan", scan, "-s", labels, "--scheme", "totalseg-v2", "--level", "L1", "-o", folder / "plan")
    assert done.exit_code == 0, done.output
    x, y, z = (float(x) for x in drawn.truth.vertebrae[Level.L1].frame.origin_mm)
    return Patient(folder, scan, labels, (x, y, z))


@dataclass(frozen=True)
class Films:
    """Two runs of one injection, and what truly happens in them."""

    ap: Path
    lateral: Path
    truths: dict[str, Truth]
    said: Result


@pytest.fixture(scope="module")
def films(patient: Patient) -> Films:
    out = patient.folder / "films"
    options = (
        "--leak",
        "disc",
        "--leak-ml",
        1.2,
        "--seconds",
        8,
        "--seed",
        3,
        "--disturbances",
        0,
        "--no-film",
        "--json",
    )
    said = trocar("guide", "simulate", *patient.named, "-o", out, *options)
    assert said.exit_code == 0, said.output
    truths = {name: read_truth(out / f"{name}.truth.json") for name in ("ap", "lateral")}
    return Films(out / "ap.dcm", out / "lateral.dcm", truths, said)


@pytest.fixture(scope="module")
def day(patient: Patient, films: Films) -> tuple[Path, Result]:
    """The folder of the day with its registration, and what was printed."""
    out = patient.folder / "day"
    return out, trocar("guide", "register", *patient.named, "-r", films.ap, "-r", films.lateral, "-o", out, "--json")


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


def film_images(path: Path) -> list[np.ndarray]:
    reader = opencv().VideoCapture(str(path))
    images = []
    while (read := reader.read())[0]:
        images.append(read[1])
    reader.release()
    return images


# --- the whole way -------------------------------------------------------------------------------


@pytest.mark.slow
def test_simulated_runs_are_told_as_one_object(films: Films) -> None:
    told = json.loads(films.said.stdout)
    assert [film["view"] for film in told["films"]] == ["ap", "lateral"]
    assert told["films"][1]["leak_onset_frame"]["disc"] == films.truths["lateral"].onset(Route.DISC)
    assert "exposing ap" in films.said.stderr
    for run in (films.ap, films.lateral):
        assert len(read_xa(run)) == 120
        assert read_xa(run).shape == (512, 512)


@pytest.mark.slow
def test_the_vertebra_is_found_where_it_truly_is(patient: Patient, films: Films, day: tuple[Path, Result]) -> None:
    out, said = day
    assert said.exit_code == 0, said.output
    document = json.loads(said.stdout)
    assert document == json.loads((out / "registration.json").read_text())
    assert document["reliable"] is True
    assert document["runs"] == {"ap": 0, "lateral": 0}
    found = np.array(document["rotation"]) @ patient.centre_mm + document["origin_mm"]
    truly = films.truths["ap"].frames[0].displacement.to_world(patient.centre_mm)
    assert np.linalg.norm(found - truly) < 1.0
    for name in ("ap", "lateral"):
        assert picture_size(out / f"{name}-registered.png") == (512, 512 + 8 + 3 * 22)


@pytest.mark.slow
def test_the_tip_is_found_where_it_truly_is(patient: Patient, films: Films, day: tuple[Path, Result]) -> None:
    out, _ = day
    runs = ("-r", films.ap, "-r", films.lateral, "--registration", out / "registration.json")
    said = trocar("guide", "track", *patient.named, *runs, "--until", 0.9, "-o", out, "--json")
    assert said.exit_code == 0, said.output
    document = json.loads(said.stdout)
    assert document == json.loads((out / "track.json").read_text())
    placed = json.loads((out / "registration.json").read_text())
    rows = [row for row in document["updates"] if row["source"] == "lateral" and row["tip_mm"] is not None]
    assert len(rows) >= 12
    here = np.array([row["tip_mm"] for row in rows]) @ np.array(placed["rotation"]).T + placed["origin_mm"]
    truly = np.array([films.truths["lateral"].frames[row["number"]].tip_mm for row in rows])
    off_mm = np.linalg.norm(here - truly, axis=1)
    # a single tip is told to within 0.9 mm (95 %) along the needle
    assert np.median(off_mm) < 0.5
    assert off_mm.max() < 1.0
    assert picture_size(out / "lateral-tracked.png") == (512, 512 + 8 + CAPTION_ROWS * 22)
    images = film_images(out / "ap-tracked.mp4")
    assert len(images) == 5
    assert images[0].shape == (512 + 8 + CAPTION_ROWS * 22, 512, 3)
    assert {row["number"] for row in document["updates"]} == set(range(14))


@pytest.mark.slow
def test_the_leak_is_told_when_it_comes(patient: Patient, films: Films, day: tuple[Path, Result]) -> None:
    out, _ = day
    placed = ("--registration", out / "registration.json")
    said = trocar("guide", "leak", *patient.named, "-r", films.lateral, *placed, "-o", out, "--json")
    assert said.exit_code == 0, said.output
    document = json.loads(said.stdout)
    assert document == json.loads((out / "leak.json").read_text())
    truth = films.truths["lateral"]
    begins, onset = truth.onset(Route.DISC, 0.1), truth.onset(Route.DISC)
    assert begins is not None
    assert onset is not None
    told = [alarm for alarm in document["alarms"] if alarm["kind"] == AlarmKind.LEAK.value]
    assert begins <= told[0]["number"] <= onset + 10
    assert "ALARM" in said.stderr  # while it happens, not only in the end
    assert "do not inject yet" in said.stderr
    assert document["leaks"][0]["zone"].startswith("in the disc")
    for name in document["leaks"][0]["pictures"]:
        assert min(picture_size(out / name)) > 100
    images = film_images(out / "lateral-watched.mp4")
    assert len(images) >= 40
    assert images[0].shape == (512 + 8 + CAPTION_ROWS * 22, 512, 3)
    red = [int(((image[..., 2] > 200) & (image[..., 1] < 110)).sum()) for image in images]
    assert red[0] == 0 < red[-1]


# --- refusals ------------------------------------------------------------------------------------


def arm(patient: Patient, **changes: Any) -> CArm:
    """A lateral C-arm of 96 x 96 pixels about the vertebra."""
    usual = CArm(np.array(patient.centre_mm), primary_angle_deg=90.0, detector=Detector(96, 96, 2.0, 2.0))
    return replace(usual, **changes)


def run(path: Path, view: CArm | None, count: int = 3, shape: tuple[int, int] = (96, 96), **about: Any) -> Path:
    """A run of noise: enough for what is refused."""
    rng = np.random.default_rng(0)
    frames = [
        Frame(n, n / 15.0, "a", rng.integers(900, 1100, shape).astype(np.uint16), view, Intensity.LINEAR)
        for n in range(count)
    ]
    write_xa(path, frames, About(**about))
    return path


@pytest.fixture(scope="module")
def noise(patient: Patient) -> Path:
    return run(patient.folder / "noise.dcm", arm(patient))


@pytest.fixture(scope="module")
def lost(patient: Patient, noise: Path) -> tuple[Path, Result]:
    """What comes of registering noise."""
    out = patient.folder / "lost"
    return out, trocar("guide", "register", *patient.named, "-r", noise, "-o", out)


def assert_refused(result: Result, code: int, *says: str) -> None:
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    for text in says:
        assert text in result.stderr


def test_noise_is_not_relied_on(lost: tuple[Path, Result]) -> None:
    out, said = lost
    assert_refused(said, 1)
    assert "NOT RELIABLE" in said.stdout
    document = json.loads((out / "registration.json").read_text())
    assert document["reliable"] is False
    assert any(finding["severity"] == "stop" for finding in document["findings"])
    assert picture_size(out / "noise-registered.png") == (512, 512 + 8 + 3 * 22)


@pytest.mark.parametrize("command", ["track", "leak"])
def test_an_unreliable_registration_is_not_taken(
    command: str, patient: Patient, noise: Path, lost: tuple[Path, Result], tmp_path: Path
) -> None:
    placed = ("--registration", lost[0] / "registration.json")
    said = trocar("guide", command, *patient.named, "-r", noise, *placed, "-o", tmp_path / "out")
    assert_refused(said, 1, "marked unreliable")
    assert not (tmp_path / "out").exists()


def edited(lost: tuple[Path, Result], path: Path, **changes: Any) -> Path:
    document = json.loads((lost[0] / "registration.json").read_text())
    reliable = {"reliable": True, "findings": [], "sd_mm": 0.5}
    path.write_text(json.dumps({**document, **reliable, **changes}))
    return path


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"level": "L2"}, 2, "is of L2, the plan of L1"),
        ({"scan_sha256": "0" * 64}, 1, "registered to another scan"),
        ({"rotation": None}, 1, "damaged"),
        ({"schema": "trocar-registration/7"}, 1, "trocar-registration/7"),
    ],
)
def test_a_registration_that_is_not_of_this_is_refused(
    changes: dict[str, Any],
    code: int,
    says: str,
    patient: Patient,
    noise: Path,
    lost: tuple[Path, Result],
    tmp_path: Path,
) -> None:
    path = edited(lost, tmp_path / "registration.json", **changes)
    said = trocar("guide", "leak", *patient.named, "-r", noise, "--registration", path, "-o", tmp_path / "out")
    assert_refused(said, code, says)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["register", "track"])
def test_one_or_two_runs_are_wanted(command: str, patient: Patient, noise: Path, tmp_path: Path) -> None:
    for count in (0, 3):
        said = trocar("guide", command, *patient.named, *["-r", noise] * count, "-o", tmp_path / "out")
        assert_refused(said, 2, f"{count} runs were given")


@pytest.mark.parametrize("other", ["noise.dcm", "Noise.ima"])
def test_two_runs_of_one_name_are_refused(other: str, patient: Patient, noise: Path, tmp_path: Path) -> None:
    twin = tmp_path / other
    twin.write_bytes(noise.read_bytes())
    said = trocar("guide", "register", *patient.named, "-r", noise, "-r", twin, "-o", tmp_path / "out")
    assert_refused(said, 2, "both runs are called")


def test_a_run_that_cannot_be_used_is_refused(patient: Patient, tmp_path: Path) -> None:
    nothing = run(tmp_path / "bare.dcm", None)
    text = tmp_path / "text.dcm"
    text.write_text("no image")
    for path, says in ((nothing, "geometry"), (text, "text.dcm"), (tmp_path / "none.dcm", "none.dcm")):
        for command in ("register", "track", "leak"):
            said = trocar("guide", command, *patient.named, "-r", path, "-o", tmp_path / "out")
            assert_refused(said, 1, says)
            assert len(said.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_image_beyond_the_run_is_refused(patient: Patient, noise: Path, tmp_path: Path) -> None:
    for number, says in ((3, "images 0 to 2"), (-1, "--frame")):
        options = ("--frame", number, "-o", tmp_path / "out")
        assert_refused(trocar("guide", "register", *patient.named, "-r", noise, *options), 2, says)


def test_a_vertebra_outside_the_image_is_not_found(patient: Patient, tmp_path: Path) -> None:
    x, y, z = patient.centre_mm
    away = run(tmp_path / "away.dcm", arm(patient, isocentre_mm=np.array((x, y, z + 400.0))))
    said = trocar("guide", "register", *patient.named, "-r", away, "-o", tmp_path / "reg")
    assert_refused(said, 1)
    marked = tmp_path / "reg" / "registration.json"
    assert not marked.exists() or json.loads(marked.read_text())["reliable"] is False
    said = trocar("guide", "leak", *patient.named, "-r", away, "-o", tmp_path / "leak")
    assert isinstance(said.exception, SystemExit | None)
    assert "outside this view" in said.output
    assert "Nothing has been seen" not in said.output  # what is not judged is not called unseen


@pytest.mark.parametrize("command", ["simulate", "register", "track", "leak"])
def test_results_do_not_go_among_the_images(command: str, patient: Patient, noise: Path) -> None:
    runs = () if command == "simulate" else ("-r", noise)
    out = patient.scan if command == "simulate" else noise
    said = trocar("guide", command, *patient.named, *runs, "-o", out)
    assert_refused(said, 1, "name a folder for the results")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--leak", "upwards"), "'upwards' is not one of"),
        (("--seconds", 2), "'--seconds': 2.0 is not in the range"),
        (("--seconds", "nan"), "duration_s=nan is outside 8 to 3600 s"),
        (("--leak", "disc", "--leak-ml", -1), "'--leak-ml': -1.0 is not in the range"),
        (("--leak", "disc", "--leak-ml", 99), "'--leak-ml': 99.0 is not in the range"),
        (("--seed", -1), "--seed"),
        (("--disturbances", 11), "0<=x<=10"),
        (("--pixels", 300), "--pixels"),
    ],
)
def test_what_cannot_be_simulated_is_a_usage_error(
    options: tuple[object, ...], says: str, patient: Patient, tmp_path: Path
) -> None:
    said = trocar("guide", "simulate", *patient.named, "-o", tmp_path / "out", *options)
    assert_refused(said, 2, says)
    assert not (tmp_path / "out").exists()


def test_the_names_of_leaks_are_the_librarys() -> None:
    assert set(LEAK_NAMES) == {"none", *LEAKS}


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_following_until_nothing_is_a_usage_error(seconds: str, patient: Patient, noise: Path, tmp_path: Path) -> None:
    said = trocar("guide", "track", *patient.named, "-r", noise, "--until", seconds, "-o", tmp_path / "out")
    assert_refused(said, 2, "--until")


def test_a_needle_that_is_not_seen_is_said_not_to_be(patient: Patient, noise: Path, tmp_path: Path) -> None:
    said = trocar("guide", "track", *patient.named, "-r", noise, "-o", tmp_path / "out", "--no-film")
    assert_refused(said, 0)
    assert "needle measured in 0 of 3 images" in said.stdout
    assert "nobody has looked where it is" in said.stdout
    assert picture_size(tmp_path / "out" / "noise-tracked.png")[0] == 512
    assert not (tmp_path / "out" / "noise-tracked.mp4").exists()


@pytest.mark.parametrize(("command", "result"), [("track", "track.json"), ("leak", "leak.json")])
def test_a_film_that_cannot_be_written_costs_no_result(
    command: str, result: str, patient: Patient, noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(path: Path, pictures: Iterator[np.ndarray], pace_hz: float) -> None:
        next(pictures)
        raise OutputError("the disk is full.")

    monkeypatch.setattr("trocar.io.film.write_film", refuses)
    said = trocar("guide", command, *patient.named, "-r", noise, "-o", tmp_path / "out")
    assert_refused(said, 0)
    assert f"There is no film noise-{'tracked' if command == 'track' else 'watched'}.mp4" in said.stdout
    document = json.loads((tmp_path / "out" / result).read_text())
    if command == "leak":
        assert document["views"]["noise"]["frames"] == 3


# --- live ----------------------------------------------------------------------------------------


class Ends:
    """A live source at which Ctrl-C is pressed after so many images, or when it has lasted too long."""

    def __init__(self, source: Live, frames: int) -> None:
        self.source, self.left, self.name = source, frames, source.name

    def events(self) -> Iterator[Event]:
        began = time.monotonic()
        for event in self.source.events():
            yield event
            self.left -= isinstance(event.item, Frame)
            if self.left <= 0 or time.monotonic() - began > LONGEST_S:
                raise KeyboardInterrupt

    def __enter__(self) -> Ends:
        self.source.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.source.__exit__(*error)


@pytest.fixture
def pressed_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Press Ctrl-C after so many images."""

    def arrange(frames: int) -> None:
        open_source = watch_live.live_source
        monkeypatch.setattr(leak, "live_source", lambda *named: Ends(open_source(*named), frames))

    return arrange


def writes(folder: Path, count: int, shape: tuple[int, int] = (96, 96), first: Path | None = None) -> threading.Thread:
    """A frame grabber: writes images into a folder once the watch has begun."""
    rng = np.random.default_rng(1)
    images = [rng.integers(90, 110, shape).astype(np.uint8) for _ in range(count)]

    def write() -> None:
        time.sleep(0.3)
        if first is not None:
            (folder / "image-0000.dcm").write_bytes(first.read_bytes())
        for number, image in enumerate(images, 1):
            Image.fromarray(image).save(folder / f"image-{number:04d}.png")
            time.sleep(0.02)

    thread = threading.Thread(target=write, daemon=True)
    return thread


def late(folder: Path, thread: threading.Thread, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin to write only when the folder is watched."""
    open_source = watch_live.live_source

    def opened(*named: Any) -> Live:
        source = open_source(*named)
        thread.start()
        return source

    monkeypatch.setattr(watch_live, "live_source", opened)


def test_a_folder_is_watched_until_ctrl_c_and_recorded(
    patient: Patient,
    noise: Path,
    tmp_path: Path,
    pressed_after: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    incoming, out, record = tmp_path / "incoming", tmp_path / "out", tmp_path / "watch.rec"
    incoming.mkdir()
    late(incoming, writes(incoming, 12, first=noise), monkeypatch)
    pressed_after(15)
    options = ("--folder", incoming, "--geometry", noise, "--record", record, "-o", out)
    said = trocar("guide", "leak", *patient.named, *options)
    assert_refused(said, 0)
    document = json.loads((out / "leak.json").read_text())
    assert document["views"]["incoming"]["frames"] == 15  # three of the run, and twelve pictures
    assert "The monitor is learning" in said.stdout
    recording = read_recording(record)
    assert recording.cut is None
    again = [thing for thing in replayed(record) if isinstance(thing, Alarm)]
    assert again
    told = {alarm.finding.text for alarm in recording.told()}
    assert {alarm.finding.text for alarm in again} <= told
    assert {alarm["finding"]["text"] for alarm in document["alarms"]} == told


def test_images_of_another_size_are_told_once_and_not_watched(
    patient: Patient,
    noise: Path,
    tmp_path: Path,
    pressed_after: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    late(incoming, writes(incoming, 4, shape=(64, 80)), monkeypatch)
    pressed_after(4)
    options = ("--folder", incoming, "--geometry", noise, "-o", tmp_path / "out")
    said = trocar("guide", "leak", *patient.named, *options)
    assert_refused(said, 0)
    assert said.stdout.count("have 64 x 80 pixels, the run given as --geometry 96 x 96") == 1
    assert "no image was watched" in said.stdout
    assert json.loads((tmp_path / "out" / "leak.json").read_text())["views"] == {}


def test_images_that_come_by_igtl_are_watched_whatever_the_device_calls_itself(
    patient: Patient, noise: Path, tmp_path: Path, pressed_after: Callable[[int], None]
) -> None:
    rng = np.random.default_rng(2)
    pressed_after(8)
    stop = threading.Event()
    with listen(0) as server:

        def send() -> None:
            number = 0
            while not stop.wait(0.05):
                image = rng.integers(90, 110, (96, 96)).astype(np.uint8)
                server.send(Frame(number, time.time(), "../c", image, None, Intensity.DISPLAYED), "../c")
                number += 1

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        options = ("--igtl", f"127.0.0.1:{server.port}", "--geometry", noise, "-o", tmp_path / "out", "--json")
        said = trocar("guide", "leak", *patient.named, *options)
        stop.set()
        sender.join(5.0)
    assert_refused(said, 0)
    document = json.loads(said.stdout)
    assert [view["frames"] for view in document["views"].values()] == [8]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["leak.json"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "give what to watch once"),
        (("--folder", ".", "--camera", "0"), "give what to watch once"),
        (("--folder", "."), "--geometry"),
        (("--camera", "0"), "--geometry"),
        (("--igtl", "host:port", "--geometry", "NOISE"), "write host or host:port"),
        (("--igtl", "host:70000", "--geometry", "NOISE"), "write host or host:port"),
        (("--igtl", ":18944", "--geometry", "NOISE"), "write host or host:port"),
        (("--igtl", "host:", "--geometry", "NOISE"), "write host or host:port"),
        (("--run", "NOISE", "--folder", "."), "give what to watch once"),
        (("--run", "NOISE", "--geometry", "NOISE"), "--geometry is for"),
        (("--run", "NOISE", "--record", "a.rec"), "--record is for"),
    ],
)
def test_sources_that_do_not_go_together_are_a_usage_error(
    options: tuple[str, ...], says: str, patient: Patient, noise: Path, tmp_path: Path
) -> None:
    given = [noise if option == "NOISE" else option for option in options]
    assert_refused(trocar("guide", "leak", *patient.named, *given, "-o", tmp_path / "out"), 2, says)
    assert not (tmp_path / "out").exists()


def test_live_sources_that_are_not_there_are_refused(patient: Patient, noise: Path, tmp_path: Path) -> None:
    record = tmp_path / "old.rec"
    record.write_bytes(b"an earlier injection")
    (tmp_path / "incoming").mkdir()
    watched = ("--folder", tmp_path / "incoming", "--geometry", noise)
    for options, says in (
        (("--folder", tmp_path / "none", "--geometry", noise), "is no folder"),
        ((*watched, "--record", record), "is there already"),
    ):
        said = trocar("guide", "leak", *patient.named, *options, "-o", tmp_path / "out")
        assert_refused(said, 1, says)
    assert record.read_bytes() == b"an earlier injection"
    inside = trocar("guide", "leak", *patient.named, *watched, "-o", tmp_path / "incoming" / "out")
    assert_refused(inside, 1, "inside it")
