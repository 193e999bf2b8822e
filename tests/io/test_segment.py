"""External programs: what they are asked, what they are kept from, and what is said when they fail.

Each program is a small script that the test puts on the PATH; it writes down how it was called.
"""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from trocar.anatomy.schemes import scheme
from trocar.errors import OutputError, ToolError
from trocar.io.ct import read_ct
from trocar.io.labels import read_labels
from trocar.io.nifti import read_nifti
from trocar.io.segment import segment

from ..anatomy.spine import numbered, numbers_of, spine
from .label_fixtures import write_image, write_named_nifti

CT, MASKS = spine("T12", "L2")
AFFINE = np.array(CT.affine)


class Place:
    """A folder with a scan, fake programs, labels for them to hand out, and a home."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.home = folder / "home" / ".totalsegmentator"
        self.scan = write_image(folder / "ct.nii.gz", np.array(CT.array), AFFINE)
        self.out = folder / "labels.nii.gz"
        self.weights = self.home / "nnunet" / "results"
        self.weights.mkdir(parents=True)
        (self.weights / "Dataset291").mkdir()
        self.programs.mkdir()
        monkeypatch.setenv("PATH", str(self.programs))
        monkeypatch.setenv("HOME", str(folder / "home"))
        for name in ("TOTALSEG_HOME_DIR", "TOTALSEG_WEIGHTS_PATH", "SPINEPS_SEGMENTOR_MODELS"):
            monkeypatch.delenv(name, raising=False)

    def program(self, name: str, body: str) -> None:
        """A program that notes its arguments, surroundings and configuration, then runs ``body``."""
        path = self.programs / name
        path.write_text(
            f"#!{sys.executable} -S\n"
            "import json, os, pathlib, shutil, sys\n"
            f"note = pathlib.Path({str(self.folder / 'note.json')!r})\n"
            "home = pathlib.Path(os.environ.get('TOTALSEG_HOME_DIR', '/absent')) / 'config.json'\n"
            "config = json.loads(home.read_text()) if home.exists() else None\n"
            "note.write_text(json.dumps({'argv': sys.argv[1:], 'env': dict(os.environ), 'config': config}))\n"
            "scan = pathlib.Path(sys.argv[sys.argv.index('-i') + 1])\n" + body
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    @property
    def note(self) -> dict:
        return json.loads((self.folder / "note.json").read_text())

    def labels(self, name: str, array: np.ndarray | None = None, named: bool = True) -> Path:
        """Labels of version 2, with names in the header or without."""
        array = numbered(MASKS, numbers_of(scheme("totalseg-v2").levels)) if array is None else array
        names = {n: f"vertebrae_{v}" for n, v in scheme("totalseg-v2").levels.items()}
        path = self.folder / name
        return write_named_nifti(path, array, AFFINE, names) if named else write_image(path, array, AFFINE)

    def untouched(self) -> bool:
        """Nothing was written, and nothing left behind."""
        return not self.out.exists() and not list(self.folder.glob(".trocar*"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def copies(labels: Path) -> str:
    return f"shutil.copy({str(labels)!r}, sys.argv[sys.argv.index('-o') + 1])\n"


@pytest.mark.parametrize("fast", [False, True])
def test_totalsegmentator(place: Place, fast: bool):
    place.program("TotalSegmentator", copies(place.labels("made.nii.gz")))
    done = segment(place.scan, place.out, fast=fast)
    assert done.paths == (place.out,)
    assert str(done) == f"--labels {place.out} --scheme totalseg-v2"
    assert [str(v) for v in read_labels(place.out, read_ct(place.scan), done.scheme).vertebrae] == ["T12", "L1", "L2"]
    asked = place.note["argv"]
    assert asked[4:] == ["--ml", "--task", "total", *(["--fast"] if fast else [])]
    assert not list(place.folder.glob(".trocar*"))


def test_no_statistics_no_network_and_the_users_configuration_stays(place: Place):
    config = {"totalseg_id": "totalseg_X", "send_usage_stats": True, "prediction_counter": 7, "license_number": "aca_1"}
    (place.home / "config.json").write_text(json.dumps(config))
    place.program("TotalSegmentator", copies(place.labels("made.nii.gz")))
    segment(place.scan, place.out)
    note = place.note
    assert note["config"] == config | {"send_usage_stats": False}
    assert note["env"]["TOTALSEG_HOME_DIR"] != str(place.home)
    assert note["env"]["TOTALSEG_WEIGHTS_PATH"] == str(place.weights)
    assert note["env"]["https_proxy"] == note["env"]["HTTP_PROXY"] == "http://127.0.0.1:9"
    assert json.loads((place.home / "config.json").read_text()) == config


@pytest.mark.parametrize("config", [None, "{damaged", "[]"])
def test_without_a_configuration_nothing_is_sent_either(place: Place, config: str | None):
    if config is not None:
        (place.home / "config.json").write_text(config)
    place.program("TotalSegmentator", copies(place.labels("made.nii.gz")))
    segment(place.scan, place.out)
    assert place.note["config"]["send_usage_stats"] is False


def test_weights_elsewhere(place: Place, monkeypatch: pytest.MonkeyPatch):
    elsewhere = place.folder / "weights"
    (elsewhere / "Dataset291").mkdir(parents=True)
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(elsewhere))
    place.program("TotalSegmentator", copies(place.labels("made.nii.gz")))
    segment(place.scan, place.out)
    assert place.note["env"]["TOTALSEG_WEIGHTS_PATH"] == str(elsewhere)


def test_the_program_sees_hounsfield_units_and_no_header(place: Place):
    keep = place.folder / "seen.nii.gz"
    place.program("TotalSegmentator", f"shutil.copy(scan, {str(keep)!r})\n" + copies(place.labels("made.nii.gz")))
    segment(place.scan, place.out)
    seen, ct = read_nifti(keep), read_ct(place.scan)
    volume = seen.volume("HU", -1024.0)
    assert volume.same_grid(ct)
    np.testing.assert_allclose(volume.array, ct.array, atol=0.5)  # whole Hounsfield units


SPINEPS = """
folder = scan.parent / 'derivatives_seg'
folder.mkdir()
shutil.copy({vert!r}, folder / 'sub-trocar_mod-ct_seg-vert_msk.nii.gz')
"""


def test_spineps_writes_two_files(place: Place):
    vert = place.labels("v.nii.gz", numbered(MASKS, numbers_of(scheme("spineps-vert").levels)), named=False)
    parts = np.where(np.any(list(MASKS.values()), axis=0), 50, 0).astype(np.uint8)
    spine_file = place.labels("s.nii.gz", parts, named=False)
    more = f"shutil.copy({str(spine_file)!r}, folder / 'sub-trocar_mod-ct_seg-spine_msk.nii.gz')\n"
    place.program("spineps", SPINEPS.format(vert=str(vert)) + more)
    done = segment(place.scan, place.out, tool="spineps")
    assert [path.name for path in done.paths] == ["labels_seg-vert_msk.nii.gz", "labels_seg-spine_msk.nii.gz"]
    found = read_labels(list(done.paths), read_ct(place.scan), done.scheme)
    assert [str(v) for v in found.vertebrae] == ["T12", "L1", "L2"]
    assert set(found.subregions) == {"body"}
    assert place.note["argv"][0] == "sample"
    assert place.note["argv"][3:] == ["-ms", "ct", "-mv", "ct_instance", "-ml", "ct_labeling"]


def test_spineps_with_one_file_of_two_writes_none(place: Place):
    vert = place.labels("v.nii.gz", named=False)
    place.program("spineps", SPINEPS.format(vert=str(vert)))
    with pytest.raises(ToolError, match="wrote no spine labels"):
        segment(place.scan, place.out, tool="spineps")
    assert not list(place.folder.glob("labels*"))


@pytest.mark.parametrize("tool", ["totalsegmentator", "spineps"])
def test_a_program_that_is_not_installed(place: Place, tool: str):
    with pytest.raises(ToolError, match="is not installed here, or not on the PATH: install it"):
        segment(place.scan, place.out, tool=tool)
    assert place.untouched()


def test_missing_weights(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.program("TotalSegmentator", copies(place.labels("made.nii.gz")))
    (place.weights / "Dataset291").rmdir()
    with pytest.raises(ToolError, match=r"the weights of TotalSegmentator are not here: put them at .*results"):
        segment(place.scan, place.out)
    place.program("spineps", "")
    monkeypatch.setenv("SPINEPS_SEGMENTOR_MODELS", str(place.folder / "absent"))
    with pytest.raises(ToolError, match="set SPINEPS_SEGMENTOR_MODELS to where they are"):
        segment(place.scan, place.out, tool="spineps")
    assert place.untouched()


def test_a_program_that_wanted_the_network(place: Place):
    place.program("TotalSegmentator", "sys.exit('requests.exceptions.ConnectionError: HTTPSConnectionPool')\n")
    with pytest.raises(ToolError, match="wanted to download something, most likely weights that are missing at"):
        segment(place.scan, place.out)
    assert place.untouched()


def test_a_program_that_fails(place: Place):
    place.program("TotalSegmentator", "print('working'); sys.exit('CUDA out of memory')\n")
    with pytest.raises(ToolError, match=r"TotalSegmentator failed \(exit code 1\): CUDA out of memory"):
        segment(place.scan, place.out)
    place.program("TotalSegmentator", "sys.exit(3)\n")
    with pytest.raises(ToolError, match=r"failed \(exit code 3\): it said nothing"):
        segment(place.scan, place.out)
    assert place.untouched()


def test_a_program_that_cannot_be_started(place: Place):
    path = place.programs / "TotalSegmentator"
    path.write_text("#!/absent/interpreter\n")
    path.chmod(0o755)
    with pytest.raises(ToolError, match="could not be started"):
        segment(place.scan, place.out)
    assert place.untouched()


def test_a_program_that_writes_nothing_or_nonsense(place: Place):
    place.program("TotalSegmentator", "")
    with pytest.raises(ToolError, match="ended without an error but wrote no labels"):
        segment(place.scan, place.out)
    place.program("TotalSegmentator", "open(sys.argv[sys.argv.index('-o') + 1], 'w').write('x')\n")
    with pytest.raises(ToolError, match="wrote labels that cannot be read"):
        segment(place.scan, place.out)
    place.program("TotalSegmentator", copies(place.labels("none.nii.gz", np.zeros(CT.shape, np.uint8))))
    with pytest.raises(ToolError, match="labelled nothing in this scan"):
        segment(place.scan, place.out)
    assert place.untouched()


def test_version_1_is_refused(place: Place):
    """Its numbers mean other things, and its files do not name them."""
    place.program("TotalSegmentator", copies(place.labels("made.nii.gz", named=False)))
    with pytest.raises(ToolError, match="not named as version 2 names them: update it"):
        segment(place.scan, place.out)
    assert place.untouched()


def test_nothing_is_written_over(place: Place):
    place.program("TotalSegmentator", copies(place.labels("made.nii.gz")))
    before = place.scan.read_bytes()
    with pytest.raises(OutputError, match="is there already and is not written over"):
        segment(place.scan, place.scan)
    assert place.scan.read_bytes() == before
    with pytest.raises(OutputError, match="there is no folder"):
        segment(place.scan, place.folder / "absent" / "labels.nii.gz")
    (place.folder / "labels_seg-spine_msk.nii.gz").write_text("corrected by hand")
    with pytest.raises(OutputError, match="labels_seg-spine_msk"):
        segment(place.scan, place.out, tool="spineps")
    assert not (place.folder / "note.json").exists()


def test_callers_mistakes(place: Place):
    with pytest.raises(ValueError, match="tool='nnunet' is not known: use totalsegmentator or spineps"):
        segment(place.scan, place.out, tool="nnunet")
    with pytest.raises(ValueError, match="fast=True is a mode of totalsegmentator"):
        segment(place.scan, place.out, tool="spineps", fast=True)
    with pytest.raises(ValueError, match=r"out=labels.nrrd must end in \.nii\.gz"):
        segment(place.scan, place.folder / "labels.nrrd")
