"""The command line as a user meets it: what it writes, and one clear sentence for each thing it refuses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner, Result
from pydicom import Dataset
from pydicom.sr.coding import Code

from trocar.anatomy.levels import Level
from trocar.anatomy.phantom import PhantomSpec, phantom
from trocar.cli import main
from trocar.cli.export import with_bone
from trocar.io.ct import read_ct
from trocar.io.phantom_files import write_phantom
from trocar.io.plan_file import read_case_id, read_plan
from trocar.io.simulation_file import read_simulation
from trocar.measure import Finding, Measure, Severity, Status
from trocar.planning.instrument import BALLOONS, PSI_MPA
from trocar.procedures.kyphoplasty import Kyphoplasty
from trocar.procedures.vertebroplasty import Vertebroplasty
from trocar.treatment import Means, Plan, Procedure, Simulation
from trocar.volume import Volume

from .io.dicom_fixtures import Edit, ct_series, tilted, write
from .io.label_fixtures import described, dicom_seg

SCHEME = "totalseg-v2"


@dataclass(frozen=True)
class Files:
    """A phantom as NIfTI and as a DICOM folder, and its labels."""

    scan: Path
    labels: Path
    dicom: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("phantom")
    patient = phantom(PhantomSpec(levels=(Level.L1, Level.L2, Level.L3), focus=Level.L2, voxel_mm=(2.5, 1.0, 1.0)))
    scan, labels = write_phantom(patient, folder)
    hu = np.rint(patient.ct.array).astype(np.int16)
    return Files(scan, labels, write(ct_series(hu, patient.ct.affine), folder / "CT"))


def trocar(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def plan_arguments(files: Files, out: Path, *more: object) -> tuple[object, ...]:
    return ("plan", files.scan, "--labels", files.labels, "--scheme", SCHEME, "--level", "L2", "--out", out, *more)


def test_plan_writes_report_plan_and_figures(files: Files, tmp_path: Path) -> None:
    result = trocar(*plan_arguments(files, tmp_path / "out"))
    assert result.exit_code == 0, result.output
    written = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"report.html", "report.pdf", "plan.json", "figures"} <= written
    document = json.loads((tmp_path / "out" / "plan.json").read_text())
    path = document["options"][0]["trajectories"][0]
    assert path["level"] == "L2"
    assert path["approach"] in ("transpedicular", "extrapedicular")
    assert all(len(path[name]) == 3 for name in ("skin_mm", "entry_mm", "target_mm"))
    assert path["instrument"]["outer_diameter_mm"] == 3.048
    assert "canal" in path["clearance_mm"]
    assert 0.0 <= path["breach_probability"] <= 1.0
    assert "NOT CHECKED" in result.stdout
    assert "small bowel" in result.stdout.replace("_", " ")
    assert "not a medical device" in result.stdout


def test_a_plan_read_back_is_equal_and_replays(files: Files, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert trocar(*plan_arguments(files, out)).exit_code == 0
    replay = trocar("replay", out / "plan.json", files.scan, "--labels", files.labels, "--scheme", SCHEME)
    assert replay.exit_code == 0, replay.output
    assert "same plan" in replay.stdout
    cite = trocar("cite", out / "plan.json")
    assert cite.exit_code == 0
    assert len(cite.stdout.splitlines()) >= 3
    assert read_plan(out) == read_plan(out / "plan.json")


def test_a_plan_of_other_files_does_not_replay(files: Files, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert trocar(*plan_arguments(files, out)).exit_code == 0
    result = trocar("replay", out, files.dicom, "--labels", files.labels, "--scheme", SCHEME)
    assert result.exit_code == 1
    assert "not the files" in result.stderr


def test_dicom_and_nifti_of_one_scan_give_one_path(files: Files, tmp_path: Path) -> None:
    for source in (files.scan, files.dicom):
        arguments = ("plan", source, "-s", files.labels, "--scheme", SCHEME, "--level", "L2")
        assert trocar(*arguments, "-o", tmp_path / source.name).exit_code == 0
    one, two = (read_plan(tmp_path / source.name).best.trajectories[0] for source in (files.scan, files.dicom))
    np.testing.assert_allclose(one.target_mm, two.target_mm, atol=1e-3)
    np.testing.assert_allclose(one.entry_mm, two.entry_mm, atol=1e-3)


def test_info_lists_what_is_whole_and_measured(files: Files) -> None:
    result = trocar("info", files.scan, "--labels", files.labels, "--scheme", SCHEME, "--json")
    assert result.exit_code == 0, result.output
    level = json.loads(result.stdout)["levels"]["L2"]
    assert level["whole"]
    assert any("hu" in m["name"] or "trabecular" in m["name"] for m in level["measures"])


@pytest.fixture(scope="module")
def planned(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("planned") / "out"
    assert trocar(*plan_arguments(files, out)).exit_code == 0
    return out


def simulate_arguments(files: Files, planned: Path, *more: object) -> tuple[object, ...]:
    return ("simulate", planned / "plan.json", files.scan, "--labels", files.labels, *more)


@pytest.fixture
def simulating(monkeypatch: pytest.MonkeyPatch) -> Callable[[Status], None]:
    """Vertebroplasty that ends at once, as it is told to."""

    def ends(status: Status) -> None:
        def simulate(procedure: Vertebroplasty, plan: Plan, means: Means) -> Simulation:
            means.progress("loading it as scanned")
            grid = plan.anatomy.vertebra(plan.procedure.level).mask
            field = Volume(np.where(grid.array, 0.004, 0.0).astype(np.float32), grid.affine, unit="1")
            stiffness = Measure("stiffness_as_is", 11240.0, "N/mm", 8100.0, 14700.0, "bone laws", "PMMA caps")
            volume = Measure("cement_volume", 4.0, "mL")
            worry = Finding(Severity.CAUTION, "It tilts.")
            return Simulation(plan, status, {"effective_strain_as_is": field}, {}, (volume, stiffness), (worry,))

        monkeypatch.setattr(Vertebroplasty, "simulate", simulate)

    return ends


def test_simulate_writes_what_it_found_beside_the_plan(files: Files, planned: Path, simulating) -> None:
    simulating(Status.SUCCESS)
    before = (planned / "plan.json").read_bytes()
    result = trocar(*simulate_arguments(files, planned, "--fields"))
    assert result.exit_code == 0, result.output
    assert "As scanned: stiffness 11\N{NARROW NO-BREAK SPACE}240" in result.stdout
    assert "Cement volume: 4.0 mL" in result.stdout
    assert "caution: It tilts." in result.stdout
    assert "simulating vertebroplasty of L2 ...\n  loading it as scanned" in result.stderr
    assert (planned / "plan.json").read_bytes() == before
    assert "Bone that carries load" in (planned / "report.html").read_text(encoding="utf-8")
    assert (planned / "figures" / "effective_strain_as_is_planes.png").is_file()
    simulation = read_simulation(planned, read_plan(planned))
    assert simulation.measures[1].value == 11240.0
    assert simulation.volumes["effective_strain_as_is"].array.max() == np.float32(0.004)


def test_simulate_tells_programs_and_writes_elsewhere(files: Files, planned: Path, tmp_path: Path, simulating) -> None:
    simulating(Status.SUCCESS)
    result = trocar(*simulate_arguments(files, planned, "--json", "-q", "--out", tmp_path / "sim", "--case", "c-7"))
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert document["out"] == str(tmp_path / "sim")
    assert document["simulation"]["measures"][1]["name"] == "stiffness_as_is"
    assert {"plan.json", "simulation.json", "report.html", "report.pdf"} <= {
        p.name for p in (tmp_path / "sim").iterdir()
    }
    assert not (tmp_path / "sim" / "fields").exists()
    assert "c-7" in (tmp_path / "sim" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("status", [Status.NOT_CONVERGED, Status.INJECTOR_LIMIT])
def test_a_simulation_that_fails_is_written_marked_as_failed(
    files: Files, planned: Path, tmp_path: Path, simulating, status: Status
) -> None:
    simulating(status)
    result = trocar(*simulate_arguments(files, planned, "--out", tmp_path / "sim"))
    assert result.exit_code == 1
    assert result.stderr.endswith(f"trocar: {status.value}\n")
    assert result.stdout == ""
    written = json.loads((tmp_path / "sim" / "simulation.json").read_text(encoding="utf-8"))
    assert written["status"] == status.name
    assert written["findings"][0]["severity"] == "stop"
    assert written["findings"][0]["text"] == f"This simulation failed. {status.value}"
    assert "This simulation failed." in (tmp_path / "sim" / "report.html").read_text(encoding="utf-8")


def test_a_simulation_that_is_stopped_keeps_its_runs_for_the_next_time(
    files: Files, planned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    def slow(procedure: Vertebroplasty, plan: Plan, means: Means) -> Simulation:
        begun.append(len(means.kept))
        means.kept[f"run-{len(begun)}"] = {"leaked_ml": np.zeros(3)}
        if len(begun) == 1:
            raise KeyboardInterrupt
        return Simulation(plan, Status.SUCCESS)

    monkeypatch.setattr(Vertebroplasty, "simulate", slow)
    arguments = simulate_arguments(files, planned, "--out", tmp_path / "sim")
    stopped = trocar(*arguments)
    assert stopped.exit_code == 130
    assert f"1 finished run(s) are kept in {tmp_path / 'sim' / 'simulation-runs'}" in stopped.stderr
    assert not (tmp_path / "sim" / "report.html").exists()
    resumed = trocar(*arguments)
    assert resumed.exit_code == 0
    assert begun == [0, 1]
    assert (tmp_path / "sim" / "report.html").exists()
    assert not (tmp_path / "sim" / "simulation-runs").exists()


def test_what_the_anatomy_refuses_is_no_usage_error(
    files: Files, planned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(procedure: Vertebroplasty, plan: Plan, means: Means) -> Simulation:
        raise ValueError("cement_volume_ml=15 is more than the 9.1 mL that this body holds.")

    monkeypatch.setattr(Vertebroplasty, "simulate", too_much)
    result = trocar(*simulate_arguments(files, planned, "--out", tmp_path / "sim"))
    assert result.exit_code == 1
    assert result.stderr.endswith("trocar: cement_volume_ml=15 is more than the 9.1 mL that this body holds.\n")
    assert "Usage" not in result.stderr
    assert not (tmp_path / "sim").exists()


Document = dict[str, Any]


def _paths(document: Document) -> list[Document]:
    return [t for option in document["options"] for t in option["trajectories"]]


def _shifted(by_mm: float) -> Callable[[Document], None]:
    """Every point of every path moved towards the patient's left."""

    def shift(document: Document) -> None:
        for path in _paths(document):
            for name in ("skin_mm", "entry_mm", "target_mm"):
                path[name][0] += by_mm

    return shift


def _bent(document: Document) -> None:
    """The skin's point aside: the three are on no line."""
    for path in _paths(document):
        path["skin_mm"][0] += 3.0


def _deeper(document: Document) -> None:
    """The tip 3 mm on along the needle, the same entry and skin."""
    for path in _paths(document):
        way = np.subtract(path["target_mm"], path["skin_mm"])
        path["target_mm"] = list(np.add(path["target_mm"], 3.0 * way / np.linalg.norm(way)))


def _skin_nearer(document: Document) -> None:
    """The skin 5 mm nearer the bone, on the same line."""
    for path in _paths(document):
        way = np.subtract(path["target_mm"], path["skin_mm"])
        path["skin_mm"] = list(np.add(path["skin_mm"], 5.0 * way / np.linalg.norm(way)))


def _kinder(document: Document) -> None:
    """A clearance written 0.1 mm larger than it is."""
    for path in _paths(document):
        path["clearances"][0]["value_mm"] += 0.1


def _thinner(document: Document) -> None:
    for path in _paths(document):
        path["instrument"]["outer_diameter_mm"] -= 1.0


def _silent(document: Document) -> None:
    """The canal's clearance left out."""
    for path in _paths(document):
        path["clearances"] = [c for c in path["clearances"] if c["structure"] != "canal"]


def _looser(document: Document) -> None:
    """Each clearance beside a margin that nobody asked for."""
    for path in _paths(document):
        for clearance in path["clearances"]:
            clearance["margin_mm"] = -1.0


def _nowhere(document: Document) -> None:
    for path in _paths(document):
        path["target_mm"][2] = float("nan")


CHANGED: dict[str, tuple[Callable[[Document], object], str]] = {
    "shifted by 8 mm": (_shifted(8.0), "does not have the clearances it states"),
    "shifted by 100 mm": (_shifted(100.0), "does not have the clearances it states"),
    "bent": (_bent, "not run on one line"),
    "deeper": (_deeper, "does not have the clearances it states"),
    "the skin nearer": (_skin_nearer, "does not leave the skin where it says"),
    "a kinder number": (_kinder, "mm to the "),
    "a thinner needle": (_thinner, "mm to the "),
    "a margin nobody asked for": (_looser, "states a margin of -1 mm to the "),
    "a margin asked for later": (
        lambda d: d["procedure"].update(canal_margin_mm=1.0),
        "to the canal where 1 mm is asked",
    ),
    "a clearance left out": (_silent, "states no clearance to the canal"),
    "a point that is none": (_nowhere, "has a point that is none"),
    "an unknown approach": (lambda d: [t.update(approach="frontal") for t in _paths(d)], "approach='frontal'"),
    "another level": (lambda d: d["procedure"].update(level="L1"), "a plan of L1 with a path to L2"),
    "no option": (lambda d: d.update(options=[]), "holds no path"),
    "an option without a path": (lambda d: d["options"][0].update(trajectories=[]), "holds no path"),
}


@pytest.mark.parametrize("command", ["simulate", "export"])
@pytest.mark.parametrize("how", CHANGED)
def test_a_changed_plan_is_noticed(
    files: Files, planned: Path, tmp_path: Path, simulating, how: str, command: str
) -> None:
    simulating(Status.SUCCESS)
    change, said = CHANGED[how]
    document = json.loads((planned / "plan.json").read_text(encoding="utf-8"))
    change(document)
    (tmp_path / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    out = tmp_path / ("sim" if command == "simulate" else "model.inp")
    result = trocar(command, tmp_path / "plan.json", files.scan, "--labels", files.labels, "--out", out, "-q")
    assert result.exit_code == 1, result.output
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_the_last_bits_of_a_plan_are_no_change(files: Files, planned: Path, tmp_path: Path, simulating) -> None:
    simulating(Status.SUCCESS)
    document = json.loads((planned / "plan.json").read_text(encoding="utf-8"))
    for path in _paths(document):
        for name in ("skin_mm", "entry_mm", "target_mm"):
            path[name] = [round(x, 6) for x in path[name]]
    (tmp_path / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    result = trocar(*simulate_arguments(files, tmp_path, "-q"))
    assert result.exit_code == 0, result.output


def test_the_pseudonym_stays_with_the_plan(files: Files, tmp_path: Path, simulating) -> None:
    simulating(Status.SUCCESS)
    assert trocar(*plan_arguments(files, tmp_path / "out", "--case", "c-0042")).exit_code == 0
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["case"] == "c-0042"
    assert trocar(*simulate_arguments(files, tmp_path / "out")).exit_code == 0
    assert "c-0042" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert read_case_id(tmp_path / "out") == "c-0042"
    assert trocar(*simulate_arguments(files, tmp_path / "out", "--case", "d-1")).exit_code == 0
    assert "c-0042" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert read_case_id(tmp_path / "out") == "d-1"


def test_a_simulation_never_goes_over_another_plan(files: Files, planned: Path, tmp_path: Path, simulating) -> None:
    simulating(Status.SUCCESS)
    other = tmp_path / "other"
    assert trocar(*plan_arguments(files, other, "--canal-margin-mm", "1.9")).exit_code == 0
    before = _contents(other)
    result = trocar(*simulate_arguments(files, planned, "--out", other))
    assert result.exit_code == 1
    assert "holds another plan" in result.stderr
    assert _contents(other) == before
    assert trocar(*simulate_arguments(files, other, "--out", other)).exit_code == 0


def test_a_plan_never_goes_over_a_simulation(files: Files, tmp_path: Path, simulating) -> None:
    simulating(Status.SUCCESS)
    out = tmp_path / "out"
    assert trocar(*plan_arguments(files, out)).exit_code == 0
    assert trocar(*plan_arguments(files, out)).exit_code == 0  # a plan over a plan is what planning is
    assert trocar(*simulate_arguments(files, out, "--fields")).exit_code == 0
    before = _contents(out)
    result = trocar(*plan_arguments(files, out, "--canal-margin-mm", "1.9"))
    assert result.exit_code == 1
    assert "holds the simulation of an earlier plan" in result.stderr
    assert "reading" not in result.stderr
    assert _contents(out) == before


def _contents(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("command", ["plan", "simulate", "export"])
def test_a_folder_that_cannot_be_is_found_before_anything_is_read(
    files: Files, planned: Path, tmp_path: Path, command: str
) -> None:
    out = _file(tmp_path / "afile") / "sub" / "model.inp"
    source = {"plan": plan_arguments(files, out), "simulate": simulate_arguments(files, planned, "--out", out)}
    arguments = source.get(command, ("export", *simulate_arguments(files, planned, "--out", out)[1:]))
    result = trocar(*arguments)
    assert result.exit_code == 1
    assert "cannot be written to" in result.stderr
    assert "reading" not in result.stderr


def test_a_simulation_on_other_images_is_refused(files: Files, planned: Path, tmp_path: Path, simulating) -> None:
    simulating(Status.SUCCESS)
    arguments = ("simulate", planned, files.dicom, "--labels", files.labels, "--out", tmp_path / "sim")
    result = trocar(*arguments)
    assert result.exit_code == 1
    assert "not the files the plan was made from" in result.stderr
    assert not (tmp_path / "sim").exists()


def test_export_hands_the_model_to_another_solver_with_the_answer(files: Files, planned: Path, tmp_path: Path) -> None:
    deck = tmp_path / "L2.inp"
    result = trocar("export", planned, files.scan, "--labels", files.labels, "--out", deck, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["compression_mm"] == 0.2
    assert answer["residual"] <= 1e-6
    assert "PMMA caps" in answer["condition"]
    assert 200.0 < answer["force_n"] < 20_000.0
    text = deck.read_text()
    assert "*NODE" in text
    assert "*BOUNDARY" in text


def test_export_takes_the_planned_cement_along(files: Files, planned: Path, tmp_path: Path) -> None:
    def force(*more: object) -> float:
        deck = tmp_path / f"L2-{len(more)}.inp"
        result = trocar("export", planned, files.scan, "--labels", files.labels, "--out", deck, "--json", *more)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)["force_n"]

    assert force("--cement") > 1.1 * force()


def test_the_cement_of_a_cavity_nobody_has_made_is_refused() -> None:
    with pytest.raises(click.UsageError, match="kyphoplasty lies is known once it is simulated"):
        with_bone(Kyphoplasty("L2"), cement=True)  # type: ignore[arg-type]


def test_an_export_nobody_reads_is_refused(planned: Path) -> None:
    result = trocar("export", planned, "nowhere", "--labels", "nothing", "--out", "model.stl")
    assert result.exit_code == 2
    assert "neither .inp (CalculiX) nor .h5 (ParOSol)" in result.stderr


def test_a_procedure_without_bone_has_nothing_to_export() -> None:
    with pytest.raises(click.UsageError, match="Procedure has no model of the bone"):
        with_bone(Procedure("L2"), cement=False)  # type: ignore[arg-type]


def test_a_procedure_that_only_plans_is_refused_before_anything_is_read(
    planned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Vertebroplasty, "simulate", Procedure.simulate)
    result = trocar("simulate", planned, "nowhere", "--labels", "nothing")
    assert result.exit_code == 2
    assert "vertebroplasty cannot be simulated" in result.stderr


def test_a_pressure_that_can_be_asked_for_is_one_that_every_balloon_takes() -> None:
    """The field's limit and the makers' 400 psi are one number in different units."""
    limit = next(f for f in dataclasses.fields(Kyphoplasty) if f.name == "balloon_pressure_limit_mpa").metadata["range"]
    for balloon in BALLOONS.values():
        assert limit.high <= balloon.max_pressure_mpa <= 1.001 * 400.0 * PSI_MPA


@pytest.mark.parametrize("what", ["levels", "schemes", "procedures", "instruments", "approaches"])
def test_list(what: str) -> None:
    assert trocar("list", what).stdout.strip()
    assert json.loads(trocar("list", what, "--json").stdout)[what]


# --- what is refused: (how the input is spoiled, exit code, what the sentence must say) -----------

Spoil = Callable[[Files, Path], tuple[object, ...]]


def _plan(
    files: Files, out: Path, *more: object, scan: object = None, labels: object = None,
    scheme: str | None = SCHEME, level: str = "L2",
) -> tuple[object, ...]:  # fmt: skip
    named = ("--scheme", scheme) if scheme else ()
    return (
        "plan", scan or files.scan, "--labels", labels or files.labels, *named, "--level", level, "--out", out, *more,
    )  # fmt: skip


def _image(array: np.ndarray, like: Path, path: Path) -> Path:
    source = sitk.ReadImage(str(like))
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(source)
    sitk.WriteImage(image, str(path))
    return path


def _affine(files: Files) -> np.ndarray:
    volume = sitk.ReadImage(str(files.scan))
    affine = np.diag([*volume.GetSpacing(), 1.0])
    affine[:3, 3] = volume.GetOrigin()
    return affine


def _dicom(
    files: Files, tmp: Path, keep: Callable[[int], bool] = lambda k: True, edit: Edit | None = None, **tags: object
) -> Path:
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(files.scan)))
    series = ct_series(array, _affine(files), edit, **tags)
    return write([d for k, d in enumerate(series) if keep(k)], tmp / "spoiled")


def _uneven(files: Files, tmp: Path) -> Path:
    """Every slice from the twentieth on a third of a step too high: no multiple, so no missing slice."""

    def lift(dataset: Dataset, k: int) -> None:
        x, y, z = (float(v) for v in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y, z + (0.8 if k >= 20 else 0.0)]

    return _dicom(files, tmp, edit=lift)


def _twice(files: Files, tmp: Path) -> Path:
    """Two different images at one place: the slice above is stored there once more."""
    folder = _dicom(files, tmp)
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(files.scan)))
    here, above = ct_series(array, _affine(files))[20:22]
    above.ImagePositionPatient = here.ImagePositionPatient
    above.SOPInstanceUID += ".1"
    above.file_meta.MediaStorageSOPInstanceUID = above.SOPInstanceUID
    write([above], folder, ["again.dcm"])
    return folder


def _other_frame(files: Files, tmp: Path) -> Path:
    """A DICOM SEG that names another frame of reference than the scan."""
    hu = sitk.GetArrayFromImage(sitk.ReadImage(str(files.scan)))
    labels = (sitk.GetArrayFromImage(sitk.ReadImage(str(files.labels))) == 30).astype(np.uint8)
    seg = dicom_seg(hu, _affine(files), labels, [described(1, "L2", Code("14293000", "SCT", "L2 vertebra"))])
    seg.FrameOfReferenceUID = "1.2.3.4.5"
    seg.save_as(tmp / "seg.dcm")
    return tmp / "seg.dcm"


def _two_series(files: Files, tmp: Path) -> Path:
    folder = _dicom(files, tmp)
    other = ct_series(np.zeros((4, 8, 8), np.int16), np.diag([1.0, 1.0, 2.0, 1.0]), SeriesInstanceUID="1.2.3.4")
    write(other, folder, [f"other{n}.dcm" for n in range(4)])
    return folder


def _moved(files: Files, tmp: Path, by_mm: float) -> Path:
    image = sitk.ReadImage(str(files.labels))
    to = tmp / "moved.nii.gz"
    x, y, z = image.GetOrigin()
    image.SetOrigin((x, y + by_mm, z + 3.0 * by_mm))
    sitk.WriteImage(image, str(to))
    return to


def _empty(files: Files, tmp: Path) -> Path:
    return _image(
        np.zeros_like(sitk.GetArrayFromImage(sitk.ReadImage(str(files.labels)))), files.labels, tmp / "e.nii.gz"
    )


def _cut(files: Files, tmp: Path, below_mm: float) -> Path:
    """The scan, and beside it its labels, with the lowest ``below_mm`` removed."""
    for path in (files.scan, files.labels):
        image = sitk.ReadImage(str(path))
        k = round(below_mm / image.GetSpacing()[2])
        sitk.WriteImage(image[:, :, k:], str(tmp / path.name))
    return tmp / files.scan.name


def _colour(files: Files, tmp: Path) -> Path:
    image = sitk.Compose([sitk.Image(8, 8, 8, sitk.sitkUInt8)] * 3)
    sitk.WriteImage(image, str(tmp / "colour.nii.gz"))
    return tmp / "colour.nii.gz"


THICK = ("--outer-diameter-mm", "6", "--canal-margin-mm", "10", "--approach", "transpedicular")

REFUSALS: dict[str, tuple[Spoil, int, str]] = {
    "no such scan": (lambda f, t: _plan(f, t / "out", scan=t / "nowhere"), 1, "nowhere"),
    "an empty folder": (lambda f, t: _plan(f, t / "out", scan=_made(t / "empty")), 1, "no "),
    "several series": (lambda f, t: _plan(f, t / "out", scan=_two_series(f, t)), 1, "--series"),
    "a missing slice": (lambda f, t: _plan(f, t / "out", scan=_dicom(f, t, lambda k: k != 20)), 1, "missing"),
    "uneven spacing": (lambda f, t: _plan(f, t / "out", scan=_uneven(f, t)), 1, "spac"),
    "two images at one place": (lambda f, t: _plan(f, t / "out", scan=_twice(f, t)), 1, "differ"),
    "labels of another frame": (
        lambda f, t: _plan(f, t / "out", scan=f.dicom, labels=_other_frame(f, t), scheme="dicom-seg"), 1, "1.2.3.4.5",
    ),
    "colour": (lambda f, t: _plan(f, t / "out", scan=_colour(f, t)), 1, "colour"),
    "an MR scan": (lambda f, t: _plan(f, t / "out", scan=_dicom(f, t, Modality="MR")), 1, "CT"),
    "an empty mask": (lambda f, t: _plan(f, t / "out", labels=_empty(f, t)), 1, "no "),
    "a mask elsewhere": (lambda f, t: _plan(f, t / "out", labels=_moved(f, t, 400.0)), 1, "overlap"),
    "a mask off the bone": (lambda f, t: _plan(f, t / "out", labels=_moved(f, t, -12.0)), 1, "bone"),
    "no scheme": (lambda f, t: _plan(f, t / "out", scheme=None), 1, "--scheme"),
    "a wrong scheme": (lambda f, t: _plan(f, t / "out", scheme="totalseg-v1"), 1, "totalseg-v2"),
    "an unknown scheme": (lambda f, t: _plan(f, t / "out", scheme="mine"), 2, "mine"),
    "two schemes for one file": (lambda f, t: _plan(f, t / "out", "--scheme", "verse"), 2, "one for each"),
    "an absent level": (lambda f, t: _plan(f, t / "out", level="T3"), 1, "T3"),
    "no level": (lambda f, t: _plan(f, t / "out", level="X9"), 2, "X9"),
    "a level cut by the scan": (
        lambda f, t: _plan(f, t / "out", scan=_cut(f, t, 25.0), labels=t / "labels.nii.gz", level="L3"), 1, "not whole",
    ),
    "an unknown procedure": (lambda f, t: _plan(f, t / "out", "--procedure", "magic"), 2, "magic"),
    "a value out of range": (lambda f, t: _plan(f, t / "out", "--canal-margin-mm", "40"), 2, "0 to 10"),
    "a name for a pseudonym": (lambda f, t: _plan(f, t / "out", "--case", "Jane Doe"), 2, "pseudonym"),
    "a needle too thick": (lambda f, t: _plan(f, t / "out", *THICK), 1, "in the way"),
    "results over a file": (lambda f, t: _plan(f, _file(t / "out")), 1, "is a file"),
    "results over the input": (lambda f, t: _plan(f, f.dicom, scan=f.dicom), 1, "is the input"),
    "results within the input": (lambda f, t: _plan(f, f.dicom / "out", scan=f.dicom), 1, "inside"),
    "no labels": (lambda f, t: ("plan", f.scan, "--level", "L2", "--out", t / "out"), 2, "--labels"),
    "no scan": (lambda f, t: ("plan", "--labels", f.labels, "--level", "L2", "--out", t / "out"), 2, "scan"),
    "a plan that is none": (lambda f, t: ("cite", _file(t / "plan.json")), 1, "JSON"),
    "no name for the results": (lambda f, t: _plan(f, ""), 2, "empty path"),
    "no name for the labels": (lambda f, t: _plan(f, t / "out", "--labels", ""), 2, "empty path"),
    "no plan to simulate": (
        lambda f, t: ("simulate", t / "plan.json", f.scan, "--labels", f.labels), 1, "cannot be read",
    ),
    "a name for the pseudonym of a simulation": (
        lambda f, t: ("simulate", t, f.scan, "--labels", f.labels, "--case", "Jane Doe"), 2, "pseudonym",
    ),
    "no plan": (lambda f, t: ("cite", t / "plan.json"), 1, "cannot be read"),
}  # fmt: skip


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _file(path: Path) -> Path:
    path.write_text("mine")
    return path


def _tree(*folders: Path) -> dict[Path, int]:
    return {p: p.stat().st_size for folder in folders for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_is_refused_is_said_and_writes_nothing(files: Files, tmp_path: Path, what: str) -> None:
    spoil, code, sentence = REFUSALS[what]
    arguments = spoil(files, tmp_path)
    before = _tree(tmp_path, files.dicom)
    result = trocar(*arguments)
    assert result.exit_code == code, result.output
    assert sentence in result.stderr
    assert "Traceback" not in result.output
    assert ".;" not in result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert _tree(tmp_path, files.dicom) == before


def test_what_is_handled_is_told(files: Files, tmp_path: Path) -> None:
    """A tilted gantry and a slice stored twice are mended, and the findings say so."""
    upright, slanted = read_ct(files.scan), tilted(_affine(files), 3.0)
    kji = np.stack(np.meshgrid(*map(range, upright.shape), indexing="ij"), axis=-1)
    array = upright.sample(kji[..., ::-1] @ slanted[:3, :3].T + slanted[:3, 3], outside=-1000.0)
    series, copies = (ct_series(array.round().astype(np.int16), slanted) for _ in range(2))
    again = copies[10]
    again.SOPInstanceUID += ".1"
    again.file_meta.MediaStorageSOPInstanceUID = again.SOPInstanceUID
    folder = write([*series, again], tmp_path / "CT")
    result = trocar("info", folder, "--labels", files.labels, "--scheme", SCHEME, "--json")
    assert result.exit_code == 0, result.output
    told = " ".join(json.loads(result.stdout)["findings"])
    assert "tilt" in told
    assert "twice" in told


def test_ctrl_c_is_no_refusal(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trocar.cli.plan.search_levels", stopped)
    result = trocar(*plan_arguments(files, tmp_path / "out"))
    assert result.exit_code == 130
    assert "nothing more was written" in result.stderr
    assert not list(tmp_path.iterdir())


def test_all_levels_names_those_that_are_cut(files: Files, tmp_path: Path) -> None:
    scan = _cut(files, tmp_path, 25.0)
    result = trocar(*_plan(files, tmp_path / "out", scan=scan, labels=tmp_path / "labels.nii.gz", level="all"))
    assert result.exit_code == 0, result.output
    assert "L3 was left out:" in result.stdout
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"L1", "L2"}


def test_demo_compares_with_the_truth(tmp_path: Path) -> None:
    result = trocar("demo", "--out", tmp_path / "demo", "-q")
    assert result.exit_code == 0, result.output
    assert "Compared with the drawing of L1" in result.stdout
    assert "trocar simulate" in result.stdout
    assert (tmp_path / "demo" / "report.pdf").read_bytes().startswith(b"%PDF")
    assert result.stderr == ""
