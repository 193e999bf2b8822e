"""What must hold for the repository itself: pins, addresses, paths, versions, and the two commands."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import trocar

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
LARGEST_FILE_BYTES = 1_500_000

#: Hosts of package registries, put together here so that this file does not name them.
REGISTRIES = re.compile("|".join(re.escape(f"{a}.{b}") for a, b in (
    ("pypi", "org"), ("pythonhosted", "org"), ("registry.npmjs", "org"), ("registry.yarnpkg", "com"),
    ("conda.anaconda", "org"), ("repo.anaconda", "com"),
)))  # fmt: skip
#: Where people's and machines' own files lie.
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:home|root|Users|work|farm|mnt|opt)/\w")


def requirements(text: str) -> dict[str, str]:
    """Each requirement of a pinned file with everything that belongs to it, by its normalised name."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    return {normalised(re.split(r"[=<>!~; \[]", line, maxsplit=1)[0]): line for line in joined.splitlines() if line}


def normalised(name: str) -> str:
    """A distribution's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def loose(text: str) -> list[str]:
    """What in a requirements file is not an exact version with a hash, or says where to fetch it from."""
    unpinned = [line for line in requirements(text).values() if "==" not in line or "--hash=sha256:" not in line]
    addressed = [line for line in text.splitlines() if "://" in line or re.match(r"\s*-(?!-hash)", line)]
    return unpinned + addressed


def tracked_files() -> list[Path]:
    """The files that git would hand to someone else."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def pyproject() -> dict[str, dict]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_are_pinned_hashed_and_free_of_addresses(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert len(requirements(text)) > 10
    assert loose(text) == []


@pytest.mark.parametrize(
    "planted",
    [
        "numpy==2.4.6",
        "numpy>=2 --hash=sha256:00",
        "numpy",
        "--index-url https://somewhere/simple",
        "-f wheels",
        "numpy @ https://somewhere/numpy.whl --hash=sha256:00",
    ],
)
def test_a_loose_requirement_is_seen(planted: str) -> None:
    assert loose(f"scipy==1.17.1 \\\n    --hash=sha256:00\n    # via trocar\n{planted}\n")


def test_every_declared_dependency_is_pinned() -> None:
    project = pyproject()
    declared = {normalised(re.split(r"[<>=]", d)[0]) for d in project["project"]["dependencies"]}
    development = {normalised(re.split(r"[<>=]", d)[0]) for d in project["dependency-groups"]["dev"]} | optional()
    run, dev = (set(requirements((ROOT / n).read_text(encoding="utf-8"))) for n in REQUIREMENTS)
    assert declared <= run <= dev
    assert development <= dev


#: Distributions that are imported under another name.
IMPORTED_AS = {
    "opencv-python-headless": "cv2",
    "scikit-image": "skimage",
    "jinja2": "jinja2",
    "pillow": "PIL",
    "simpleitk": "SimpleITK",
}


def optional() -> set[str]:
    """Everything an extra brings, by its normalised name."""
    extras = pyproject()["project"].get("optional-dependencies", {})
    return {normalised(re.split(r"[<>=]", d)[0]) for packages in extras.values() for d in packages}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    """What an extra brings may be absent: only the function that needs it imports it."""
    declared = {normalised(re.split(r"[<>=]", d)[0]) for d in pyproject()["project"]["dependencies"]}
    declared = {IMPORTED_AS.get(d, d) for d in declared}
    extra = {IMPORTED_AS.get(d, d) for d in optional()}
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "src").rglob("*.py")]
    known = {*sys.stdlib_module_names, "trocar"}
    assert {name for tree in trees for name in _imports(tree)} - known == declared | extra
    assert {name for tree in trees for name in _imports(_without_functions(tree))} & extra == set()


@pytest.mark.parametrize(
    ("source", "at_the_start"),
    [
        ("import h5py", {"h5py"}),
        ("try:\n    from h5py import File\nexcept ImportError: pass", {"h5py"}),
        ("class A:\n    import h5py.h5", {"h5py"}),
        ("def f():\n    import h5py", set()),
        ("class A:\n    def f(self):\n        from h5py import File", set()),
    ],
)
def test_an_import_at_the_start_is_told_from_one_in_a_function(source: str, at_the_start: set[str]) -> None:
    assert _imports(ast.parse(source)) == {"h5py"}
    assert _imports(_without_functions(ast.parse(source))) == at_the_start


def _without_functions(tree: ast.Module) -> ast.Module:
    """What runs when the module is imported."""

    class Drop(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

    return Drop().visit(tree)


def _imports(tree: ast.Module) -> set[str]:
    plain = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    return plain | {
        n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module and not n.level
    }


def test_no_registry_address_and_no_path_of_a_machine_is_tracked() -> None:
    found = []
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [
            f"{path.relative_to(ROOT)}: {m[0]}" for rule in (REGISTRIES, MACHINE_PATH) for m in rule.finditer(text)
        ]
    assert found == []


@pytest.mark.parametrize(
    "planted", ["https://files.python" + "hosted.org/x", "py" + "pi.org", "open('/ho" + "me/ann/ct')"]
)
def test_a_planted_address_or_path_is_seen(planted: str) -> None:
    assert REGISTRIES.search(planted) or MACHINE_PATH.search(planted)


def test_no_lock_file_with_addresses_and_no_large_file_is_tracked() -> None:
    files = tracked_files()
    assert not {p.name for p in files} & {"uv.lock", "pylock.toml", "poetry.lock", "Pipfile.lock"}
    assert [str(p) for p in files if p.stat().st_size > LARGEST_FILE_BYTES] == []


def test_the_wheel_holds_the_whole_package_and_its_licence(tmp_path: Path) -> None:
    """Tables and templates are files that an import never misses, and a wheel easily does."""
    pytest.importorskip("hatchling", reason="the build tool is not installed: make test installs it")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("trocar-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    shipped = {str(p.relative_to(ROOT / "src")) for p in tracked_files() if p.is_relative_to(ROOT / "src")}
    assert shipped <= held
    assert {Path(name).name for name in held} >= {"LICENSE", "NOTICE", "entry_points.txt"}


def test_the_changelog_tells_of_this_version() -> None:
    first = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first is not None
    assert first[1] in ("Unreleased", trocar.__version__)


def test_the_machine_runs_what_the_readme_names() -> None:
    script = ROOT / ".ci" / "run"
    commands = [line for line in script.read_text(encoding="utf-8").splitlines() if line.startswith("make ")]
    assert commands == ["make check", "make test"]
    assert "export TROCAR_PEERS=required" in script.read_text(encoding="utf-8")  # nothing compared may be skipped
    assert os.access(script, os.X_OK)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(command in readme for command in ("make demo", "make test", "make check"))


def test_the_readme_says_what_it_is_not_for() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "not a medical device" in readme


def test_the_licence_is_apache() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert pyproject()["project"]["license"] == "Apache-2.0"
