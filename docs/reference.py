"""The parts of the documentation that the code already says: commands, procedures, schemes, margins, needles.

``conf.py`` writes them at every build, so that they cannot drift from what runs.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import NormalDist

import click

import trocar
from trocar.anatomy.levels import Level
from trocar.anatomy.morphometry import sources
from trocar.anatomy.schemes import schemes
from trocar.cli import main
from trocar.injection.leak_series import RATES
from trocar.injection.medium import Spread
from trocar.injection.references import REFERENCES
from trocar.injection.risk import STOP_AT
from trocar.physics.cannula import INJECTORS
from trocar.physics.cement import CEMENTS
from trocar.physics.marrow import LogNormal
from trocar.planning.access import APPROACHES, Approach
from trocar.planning.instrument import OUTER_DIAMETER_MM
from trocar.procedures.cement_access import CementAccess
from trocar.reporting.cite import every_reference
from trocar.treatment import Procedure, procedures

PACKAGE = Path(trocar.__file__).parent
#: A value that is longer than this is a table: it is read in the source.
LONGEST_VALUE = 90
#: degC of the room whose working windows are listed: what a plan takes unless told otherwise.
ROOM_C = CementAccess.room_temperature_c
#: Two-sided 95 % of a normal distribution, in standard deviations.
Z95 = NormalDist().inv_cdf(0.975)
#: What each number of a spread belongs to; one that is missing here ends the build.
VARIED = {
    "permeability_sd": "permeability of the bone as a whole",
    "grain_sd": "permeability from place to place, alike over a few millimetres",
    "transverse_sd": "permeability across against along the body's axis",
    "cortex_sd": "permeability of intact cortex, to marrow alone",
    "marrow_pa_s": "viscosity of marrow",
    "cement_sd": "viscosity of the cement: another batch, another mix",
    "volume_sd": "volume that leaves the needle",
    "tip_sd_mm": "place of the tip, along each axis, by the hand error that was planned with",
}


def write(folder: Path) -> None:
    """Write every generated part into ``folder``, touching only what changed."""
    folder.mkdir(exist_ok=True)
    for name, text in parts().items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def parts() -> dict[str, str]:
    """Every generated part by name, as Markdown."""
    return {
        "commands": commands(),
        "procedures": "\n\n".join(procedure(p) for p in procedures().values()) + "\n",
        "schemes": scheme_list(),
        "numbers": number_table(),
        "approaches": "\n\n".join(approach(a) for a in APPROACHES) + "\n",
        "constants": constants(),
        "bibliography": bibliography(),
        "cements": cements(),
        "injectors": injectors(),
        "spread": spread(),
        "leaks": leaks(),
        "needles": table(("gauge", "outer diameter, mm"), ((f"{g}G", d) for g, d in OUTER_DIAMETER_MM.items())),
    }


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def commands() -> str:
    """Every command with its usage, what it says of itself and all it takes."""
    with click.Context(main, info_name="trocar", **main.context_settings) as top:
        return "\n".join(command(name, what, top) for name, what in every_command(main))


def every_command(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Each command by its name, those of a group under both names, as they are typed."""
    for name, what in group.commands.items():
        if isinstance(what, click.Group):
            yield from every_command(what, f"{before}{name} ")
        else:
            yield before + name, what


def command(name: str, what: click.Command, top: click.Context) -> str:
    """One command as a section."""
    with click.Context(what, info_name=name, parent=top) as ctx:
        usage = what.get_usage(ctx).removeprefix("Usage: ")
        rows = [p.get_help_record(ctx) for p in options(what, ctx)]
    text = f"## trocar {name}\n\n{' '.join((what.help or '').split())}\n\n```text\n{usage}\n```\n"
    return text + "\n" + table(("option", "meaning"), ((f"`{flags}`", meaning) for flags, meaning in rows))


def options(what: click.Command, ctx: click.Context) -> list[click.Option]:
    """The options of a command, without ``--help``."""
    return [p for p in what.get_params(ctx) if isinstance(p, click.Option) and p.name != "help"]


def procedure(what: type[Procedure]) -> str:
    """One procedure: what it is and the fields of its prescription."""
    doc = inspect.cleandoc(what.__doc__ or "")
    rows = [
        (f"`{f.name}`", f"`{f.default}`", allowed(f), f.metadata.get("help", ""))
        for f in dataclasses.fields(what)
        if f.name != "level"
    ]
    return f"## {what.name}\n\n{doc}\n\n" + table(("field", "default", "allowed", "meaning"), rows)


def allowed(field: dataclasses.Field) -> str:
    """The values a field may take."""
    if bounds := field.metadata.get("range"):
        return f"{bounds.low:g} to {bounds.high:g} {bounds.unit}".strip()
    return ", ".join(field.metadata.get("options", ()))


def scheme_list() -> str:
    """The built-in label schemes and what each is."""
    return table(("scheme", "what it is"), ((f"`{s.name}`", s.meaning) for s in schemes().values()))


def number_table() -> str:
    """The number of each level in each scheme that numbers whole vertebrae."""
    numbering = {s.name: {level: n for n, level in s.levels.items()} for s in schemes().values() if s.levels}
    rows = ((level, *(of.get(level, "") for of in numbering.values())) for level in Level)
    return table(("level", *(f"`{name}`" for name in numbering)), rows)


def approach(what: Approach) -> str:
    """One approach: its landmark, its angles and the margins it asks for, with what each rests on."""
    rows = [
        (f"`{f.name}`", f"{getattr(what.margins, f.name):g}", f.metadata["source"])
        for f in dataclasses.fields(what.margins)
    ]
    return (
        f"### {what.name}\n\n"
        f"Landmark: {what.landmark}. Angle to the vertebra's midline {span(what.transverse_deg)}, "
        f"to its endplates {span(what.sagittal_deg)} ({what.source}).\n\n"
        + table(("margin", "mm", "what the default rests on"), rows)
    )


def cements() -> str:
    """The named cements: examples, when each may be injected, and what its curve rests on."""
    rows = []
    for c in CEMENTS.values():
        window = c.working_window(ROOM_C)
        minutes = f"{window.start_s / 60.0:.0f} to {window.end_s / 60.0:.0f}"
        rows.append((c.name, ", ".join(c.examples), minutes, f"{c.setting_s / 60.0:.0f}", c.source))
    head = ("cement", "products called so", f"window at {ROOM_C:g} °C, min", "sets at 23 °C, min", "rests on")
    return table(head, rows)


def injectors() -> str:
    """What pushes the cement, and the pressure that ends the injection."""
    rows = ((i.name, f"{1e-6 * i.limit_pa:.1f}", i.source) for i in INJECTORS.values())
    return table(("injector", "limit, MPa", "rests on"), rows)


def spread() -> str:
    """What is drawn anew for each injection of an ensemble, and how widely."""
    usual = Spread()
    rows = [(VARIED[f.name], drawn(f.name, getattr(usual, f.name))) for f in dataclasses.fields(usual)]
    return table(("what varies", "95 % lie"), rows)


def drawn(name: str, value: float | LogNormal) -> str:
    """Where 95 % of the draws lie, in words."""
    if isinstance(value, LogNormal):
        low, high = (value.median * math.exp(sign * Z95 * value.sd) for sign in (-1.0, 1.0))
        return f"from {low:.2g} to {high:.2g} Pa s"
    if name.endswith("_mm"):
        return f"within {Z95 * value:.1f} mm"
    return f"within a factor of {math.exp(Z95 * value):.2g}"


def leaks() -> str:
    """Where leaked cement may lie, and the probability at which a report says stop."""
    return table(("leak", "stop at"), ((route.value, f"{100.0 * limit:.0f} %") for route, limit in STOP_AT.items()))


def constants() -> str:
    """Every named constant that its source explains, by module."""
    return "\n".join(
        f"## {module}\n\n" + table(("name", "value", "meaning and source"), rows)
        for path in sorted(PACKAGE.rglob("*.py"))
        if (rows := list(explained(path.read_text(encoding="utf-8"))))
        for module in [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)]
    )


def explained(source: str) -> Iterator[tuple[str, str, str]]:
    """Name, value and ``#:`` comment of each public constant in a module's source."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        name = ast.unparse(targets[0]) if targets else ""
        text = comment_above(lines, node.lineno)
        if text and name.strip("()").isupper() and not name.startswith("_"):
            value = " ".join(ast.unparse(node.value).split())
            yield f"`{name.strip('()')}`", f"`{value}`" if len(value) <= LONGEST_VALUE else "(in the source)", text


def comment_above(lines: list[str], number: int) -> str:
    """The ``#:`` comment that ends on the line before line ``number``."""
    first = number - 1
    while first > 0 and lines[first - 1].startswith("#:"):
        first -= 1
    return " ".join(line.removeprefix("#:").strip() for line in lines[first : number - 1])


def bibliography() -> str:
    """Every publication that a procedure, a method or a table of the package names."""
    methods = (f"{r.text} ({r.used_for})" for r in every_reference())
    own = (f"{text} ({p.name})" for p in procedures().values() for text in p.references)
    tables = (f"{name}: {text}" for name, text in sources().items())
    series = dict.fromkeys(rate.study.source for rate in RATES)
    groups = {
        "Methods": methods,
        "Procedures": own,
        "Cement on its way": REFERENCES,
        "Published leaks": series,
        "Measurements the phantom is drawn from": tables,
    }
    return "\n".join(f"## {title}\n\n" + "".join(f"- {line}\n" for line in lines) for title, lines in groups.items())


def span(bounds: object) -> str:
    """A range of angles for people."""
    return f"{bounds.low:g}° to {bounds.high:g}°"
