"""The house stands on its floors: a module imports from lower floors or from its own room, and files open upstairs.

Everything is read from the syntax tree, so that an import inside a function, a relative import or a literal given to
``importlib`` counts like any other. What each rule refuses is planted below and seen refused.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "trocar"

#: Lowest floor first. A floor holds rooms, a room the modules that may import one another.
FLOORS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("errors", "measure"),),
    (("geometry", "volume", "anatomy"), ("physics",)),
    (("planning",), ("assessment",)),
    (("treatment",), ("mechanics", "injection")),
    (("procedures",), ("guidance",), ("case",)),
    (("reporting",),),
    (("io",), ("registry",)),
    (("cli", "__main__"), ("web",), ("cohort",)),
)
FLOOR = {name: number for number, rooms in enumerate(FLOORS, 1) for room in rooms for name in room}
ROOM = {name: room for rooms in FLOORS for room in rooms for name in room}

#: The first floor that may open a user's file or a socket.
FILES_FLOOR = 7
#: The first floor that may use what ``trocar/__init__`` offers, which reaches up to the floor below it.
ROOT_FLOOR = 8
#: The one import against the order: ``treatment.procedures`` scans that folder and knows no procedure by name.
SCANS = frozenset({("treatment", "procedures")})

#: Calls that reach the disk, by the last part of their name, whatever they are called on.
FILE_CALLS = frozenset(
    {"open", "fdopen", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "unlink", "rename"}
    | {"ReadImage", "WriteImage", "ImageFileReader", "ImageSeriesReader", "ImageFileWriter", "dcmread", "dcmwrite"}
    | {"imread", "imsave", "imwrite", "loadtxt", "genfromtxt", "fromfile", "tofile", "memmap"}
    | {"savetxt", "savez", "savez_compressed"}
)
#: Calls that reach the disk when called on one of these names.
LOADERS = frozenset({"np", "numpy", "nib", "nibabel"})
LOADER_CALLS = frozenset({"load", "save"})
#: Modules whose only use is to reach a network or a data base.
OUTSIDE = frozenset({"socket", "urllib", "http", "ftplib", "smtplib", "requests", "httpx", "sqlite3"})


def imports(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything ``tree`` imports; ``package`` is where the module lies."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = [*package[: len(package) - level + 1]] if level else []
                stem = ".".join([*base, *([module] if module else [])])
                yield from ((node.lineno, f"{stem}.{alias.name}") for alias in names)
            case ast.Call(args=[first, *rest]) if _last_name(node.func) in ("import_module", "__import__"):
                name = _literal(first)
                anchor = _literal(rest[0]) if rest else ".".join(package)
                yield node.lineno, f"{anchor}{name}" if name.startswith(".") else name


def _literal(node: ast.expr) -> str:
    """The text of a string, or the fixed beginning of an f-string; empty when it is neither."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0] if isinstance(node.values[0], ast.Constant) else node
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _without_type_checking(tree: ast.Module) -> ast.Module:
    """The tree without what stands under ``if TYPE_CHECKING``."""

    class Drop(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
            return node.orelse if _last_name(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    return ast.fix_missing_locations(Drop().visit(tree))


def import_violations(name: str, tree: ast.Module, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """What the module in room ``name`` imports from above, or from another room of its floor."""
    if name == "errors":  # the tree of refusals names the types it carries, for the type checker only
        tree = _without_type_checking(tree)
    for line, target in imports(tree, package):
        parts = target.split(".")
        if parts[0] != "trocar":
            continue
        other = parts[1] if len(parts) > 1 else ""
        if other == "__version__" or other in ROOM[name] or ((name, other) in SCANS and len(parts) == 2):
            continue
        if other not in FLOOR:
            if FLOOR[name] < ROOT_FLOOR:
                yield line, f"{name} imports from the roof ({target})"
        elif FLOOR[other] > FLOOR[name]:
            yield line, f"{name} (floor {FLOOR[name]}) imports {other} (floor {FLOOR[other]})"
        elif FLOOR[other] == FLOOR[name]:
            yield line, f"{name} imports {other}, another room of floor {FLOOR[name]}"


def file_violations(name: str, tree: ast.Module, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Where a module below ``FILES_FLOOR`` opens a file or a socket."""
    if FLOOR[name] >= FILES_FLOOR:
        return
    for line, target in imports(tree, package):
        if target.split(".")[0] in OUTSIDE:
            yield line, f"{name} imports {target}"
    scratch = _scratch(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _opens(node) and node not in scratch:
            yield node.lineno, f"{name} calls {ast.unparse(node.func)}()"


def _opens(call: ast.Call) -> bool:
    last = _last_name(call.func)
    on = call.func.value if isinstance(call.func, ast.Attribute) else None
    if last in LOADER_CALLS and on is not None:
        return _last_name(on) in LOADERS
    return last in FILE_CALLS and not (on is not None and _is_package_data(on))


def _scratch(tree: ast.Module) -> set[ast.AST]:
    """What is written inside ``with TemporaryDirectory()``, to hand it to a program that reads files: nobody's file."""
    return {
        call
        for block in ast.walk(tree)
        if isinstance(block, ast.With)
        and any(
            isinstance(item.context_expr, ast.Call) and _last_name(item.context_expr.func) == "TemporaryDirectory"
            for item in block.items
        )
        for call in ast.walk(block)
        if isinstance(call, ast.Call) and _last_name(call.func) in ("write_text", "write_bytes")
    }


def _is_package_data(node: ast.expr) -> bool:
    """Whether the receiver is built on ``importlib.resources.files(...)``."""
    return any(isinstance(n, ast.Call) and _last_name(n.func) == "files" for n in ast.walk(node))


def violations(package: Path) -> list[str]:
    """Every breach of the floors under ``package``, as ``path:line: what``."""
    found = []
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        name = inside.parts[0].removesuffix(".py")
        if name == "__init__":
            continue
        if name not in FLOOR:
            found.append(f"{inside}:1: {name} has no floor: give it one in FLOORS")
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        where = ("trocar", *inside.parts[:-1])
        breaches = [*import_violations(name, tree, where), *file_violations(name, tree, where)]
        found += [f"{inside}:{line}: {what}" for line, what in sorted(breaches)]
    return found


def test_the_house_stands_on_its_floors() -> None:
    assert violations(PACKAGE) == []


def test_every_module_was_looked_at() -> None:
    rooms = {p.name.removesuffix(".py") for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert rooms - {"__init__"} <= set(FLOOR)
    assert {"errors", "geometry", "anatomy", "planning", "treatment", "io"} <= rooms


PLANTED = {
    "upward": ("measure.py", "from trocar.volume import Volume", "measure (floor 1) imports volume (floor 2)"),
    "in a function": ("planning/search.py", "def f():\n    import trocar.io.ct", "planning (floor 3) imports io"),
    "relative": ("anatomy/bone.py", "from ..reporting import report", "anatomy (floor 2) imports reporting"),
    "relative package": ("anatomy/bone.py", "from .. import treatment", "anatomy (floor 2) imports treatment"),
    "importlib": ("case.py", "import importlib\nimportlib.import_module('trocar.cli')", "case (floor 5) imports cli"),
    "importlib, f-string": ("case.py", "import_module(f'trocar.io.{x}')", "case (floor 5) imports io"),
    "importlib, relative": ("case.py", "import_module('.io', 'trocar')", "case (floor 5) imports io"),
    "__import__": ("geometry.py", "__import__('trocar.io')", "geometry (floor 2) imports io"),
    "for types only": (
        "planning/a.py",
        "if TYPE_CHECKING:\n    from trocar.treatment import Plan",
        "planning (floor 3) imports treatment",
    ),
    "one procedure": (
        "treatment.py",
        "from trocar.procedures import ablation",
        "treatment (floor 4) imports procedures",
    ),
    "errors at run time": ("errors.py", "from trocar.geometry import Line", "errors (floor 1) imports geometry"),
    "physics knows no patient": ("physics/heat.py", "from trocar.volume import Volume", "another room of floor 2"),
    "the patient no physics": ("anatomy/bone.py", "import trocar.physics.heat", "another room of floor 2"),
    "next room": ("registry/store.py", "from trocar.io import ct", "registry imports io, another room of floor 7"),
    "the roof": ("reporting/report.py", "from trocar import read_ct", "reporting imports from the roof"),
    "the whole roof": ("reporting/report.py", "import trocar", "reporting imports from the roof"),
    "no floor": ("helpers.py", "", "helpers has no floor"),
    "open": ("planning/a.py", "with open('x') as f: pass", "planning calls open()"),
    "Path.open": ("planning/a.py", "Path('x').open()", "planning calls Path('x').open()"),
    "read_text": ("reporting/a.py", "path.read_text()", "reporting calls path.read_text()"),
    "write_bytes": ("reporting/a.py", "path.write_bytes(b'')", "reporting calls path.write_bytes()"),
    "reading beside scratch": (
        "reporting/a.py",
        "with TemporaryDirectory() as t:\n    scan.read_bytes()",
        "reporting calls scan.read_bytes()",
    ),
    "np.load": ("physics/a.py", "np.load('x.npy')", "physics calls np.load()"),
    "ReadImage": ("anatomy/a.py", "sitk.ReadImage('x')", "anatomy calls sitk.ReadImage()"),
    "dcmread by name": ("anatomy/a.py", "from pydicom import dcmread\ndcmread('x')", "anatomy calls dcmread()"),
    "socket": ("guidance/stream.py", "import socket", "guidance imports socket"),
    "urllib": ("case.py", "from urllib.request import urlopen", "case imports urllib.request.urlopen"),
}


@pytest.mark.parametrize(("path", "source", "says"), PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_seen(path: str, source: str, says: str, tmp_path: Path) -> None:
    found = violations(_house_with(tmp_path, path, source))
    assert len(found) == 1
    assert says in found[0]
    assert found[0].startswith(f"{path}:")


ALLOWED = {
    "downward": ("io/ct.py", "from trocar.treatment import Plan\nfrom trocar.errors import ImageError"),
    "own room": ("volume.py", "from trocar.geometry import frozen"),
    "own package": ("io/ct.py", "from trocar.io.dicom import read\nfrom . import dicom"),
    "scan": ("treatment.py", "import trocar.procedures as folder"),
    "version": ("treatment.py", "from trocar import __version__"),
    "errors for types": ("errors.py", "if TYPE_CHECKING:\n    from trocar.planning.trajectory import Trajectory"),
    "roof from the top floor": ("cli.py", "import trocar\nfrom trocar import read_ct"),
    "package data": ("planning/a.py", "resources.files('trocar').joinpath('needles.json').read_text()"),
    "scratch": ("reporting/a.py", "with tempfile.TemporaryDirectory() as t:\n    (Path(t) / 'a').write_bytes(b'')"),
    "files upstairs": ("io/ct.py", "import socket\nopen('x')\nsitk.ReadImage('x')"),
    "other load": ("planning/a.py", "json.loads('{}')\nmodel.load('x')"),
}


@pytest.mark.parametrize(("path", "source"), ALLOWED.values(), ids=ALLOWED)
def test_what_is_allowed_is_let_through(path: str, source: str, tmp_path: Path) -> None:
    assert violations(_house_with(tmp_path, path, source)) == []


def _house_with(root: Path, path: str, source: str) -> Path:
    package = root / "trocar"
    (package / path).parent.mkdir(parents=True, exist_ok=True)
    (package / path).write_text(source, encoding="utf-8")
    return package
