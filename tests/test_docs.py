"""The documentation builds without a warning, asks nothing of another machine, and leaves no command untold."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import trocar
from trocar.cli import main
from trocar.injection.medium import Spread
from trocar.physics.cannula import INJECTORS
from trocar.physics.cement import CEMENTS
from trocar.treatment import Procedure, procedures

DOCS = Path(__file__).parents[1] / "docs"
README = DOCS.parent / "README.md"


def named(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """Each command by what is typed, those of a group under both names."""
    found: dict[str, click.Command] = {}
    for name, what in group.commands.items():
        found |= named(what, f"{before}{name} ") if isinstance(what, click.Group) else {before + name: what}
    return found


COMMANDS = named(main)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages; building them with warnings as errors is the first test."""
    out = tmp_path_factory.mktemp("html")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", out / "trees", DOCS, out]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_no_page_asks_anything_of_another_machine(pages: Path) -> None:
    html = sorted(pages.rglob("*.html"))
    assert len(html) > 10
    assert [f"{p.name}: {ask}" for p in html for ask in outside(p.read_text(encoding="utf-8"))] == []
    assert [str(p) for p in pages.rglob("*.css") if outside(p.read_text(encoding="utf-8"))] == []


def outside(text: str) -> list[str]:
    """What a browser would fetch from elsewhere; a link that a reader may follow is not among it."""
    tags = re.findall(
        r"<(?:script|img|iframe|link|source|video|audio)\b[^>]*(?:src|href)=[\"'](?:https?:)?//[^>]*>", text
    )
    return tags + re.findall(r"url\([\"']?(?:https?:)?//[^)]*\)|@import\s+[\"'](?:https?:)?//[^;]*", text)


@pytest.mark.parametrize(
    "planted",
    [
        '<script src="https://cdn.example/mathjax.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/a.css">',
        "body { background: url(https://example.org/a.png) }",
        '@import "https://example.org/a.css";',
    ],
)
def test_a_planted_request_is_seen(planted: str) -> None:
    assert outside(planted)
    assert not outside('<a href="https://example.org/paper">paper</a><script src="_static/a.js"></script>')


@pytest.mark.slow
def test_every_command_and_option_is_on_the_page(pages: Path) -> None:
    shown = (pages / "command-line.html").read_text(encoding="utf-8")
    for name, command in COMMANDS.items():
        assert f'id="trocar-{name.replace(" ", "-")}"' in shown
        assert all(p.opts[-1] in shown for p in options(command))


@pytest.mark.slow
def test_every_procedure_and_field_is_on_the_page(pages: Path) -> None:
    shown = (pages / "procedures.html").read_text(encoding="utf-8")
    for name, procedure in procedures().items():
        assert name in shown
        assert all(f.name in shown for f in dataclasses.fields(procedure) if f.name != "level")


@pytest.mark.slow
def test_every_cement_and_injector_is_on_the_page(pages: Path) -> None:
    shown = (pages / "procedures.html").read_text(encoding="utf-8")
    assert {name for name in (*CEMENTS, *INJECTORS) if f"<td><p>{name}</p></td>" not in shown} == set()


@pytest.mark.slow
def test_every_number_that_is_drawn_is_on_the_page(pages: Path) -> None:
    shown = (pages / "methods.html").read_text(encoding="utf-8")
    told = re.findall(r"<td><p>(?:within a factor of|within|from) [\d.]+", shown)
    assert len(told) == len(dataclasses.fields(Spread))


@pytest.mark.slow
def test_every_name_that_the_package_offers_is_on_the_page(pages: Path) -> None:
    shown = (pages / "api.html").read_text(encoding="utf-8")
    offered = set(trocar.__all__) - {"__version__"}
    assert {name for name in offered if not re.search(rf'id="trocar\.[\w.]+\.{name}"', shown)} == set()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_does(name: str) -> None:
    assert untold(COMMANDS[name]) == []
    assert f"trocar {name}" in README.read_text(encoding="utf-8"), f"the README does not name trocar {name}"


@pytest.mark.parametrize("page", [README, *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name)
def test_every_command_line_that_is_shown_is_understood(page: Path) -> None:
    assert misspelt(page.read_text(encoding="utf-8")) == []


def test_a_misspelt_command_line_is_seen() -> None:
    assert misspelt("trocar plan CT/ --lable x --out y\ntrocar paln CT/") == ["plan --lable", "paln"]


def misspelt(text: str) -> list[str]:
    """Commands, and options of commands, on lines that begin with ``trocar`` and that there are not."""
    wrong = []
    for line in re.findall(r"^trocar (.*?)(?:\s+#.*)?$", text, re.MULTILINE):
        name, *rest = line.split()
        if isinstance(main.commands.get(name), click.Group) and rest:
            name, rest = f"{name} {rest[0]}", rest[1:]
        known = {o for p in options(COMMANDS[name]) for o in p.opts} if name in COMMANDS else None
        if known is None:
            wrong.append(name)
        else:
            wrong += [f"{name} {word}" for word in rest if word.startswith("-") and word not in known]
    return wrong


@pytest.mark.parametrize("name", sorted(procedures()))
def test_every_procedure_says_what_it_is(name: str) -> None:
    procedure = procedures()[name]
    assert procedure.__doc__
    assert procedure.references
    assert unexplained(procedure) == []


def test_an_untold_command_is_seen() -> None:
    silent = click.Command("silent", params=[click.Option(["--loud"])])
    assert untold(silent) == ["silent", "--loud"]


def test_an_unexplained_field_is_seen() -> None:
    @dataclasses.dataclass(frozen=True)
    class Silent(Procedure):
        """No name, so that no list of procedures shows it."""

        volume_ml: float = 3.0

    assert unexplained(Silent) == ["volume_ml"]


def options(command: click.Command) -> list[click.Option]:
    """The options of a command, those drawn from procedures included."""
    with click.Context(command) as ctx:
        return [p for p in command.get_params(ctx) if isinstance(p, click.Option)]


def untold(command: click.Command) -> list[str]:
    """The command and those of its options that no word explains."""
    silent = [] if command.help else [str(command.name)]
    return silent + [p.opts[-1] for p in options(command) if not p.help]


def unexplained(procedure: type[Procedure]) -> list[str]:
    """Fields of a procedure without a word of help."""
    return [f.name for f in dataclasses.fields(procedure) if f.name != "level" and not f.metadata.get("help")]
