"""The command line: a thin face on the library. Results on standard output, progress on standard error."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trocar import __version__
from trocar.errors import LevelError, NoSafeTrajectory, SimulationError, TrocarError

if TYPE_CHECKING:
    from trocar.anatomy.levels import Level
    from trocar.anatomy.patient import Anatomy
    from trocar.anatomy.phantom import Phantom
    from trocar.io.run_folder import RunFolder
    from trocar.mechanics.answers import Loaded
    from trocar.physics.solid import Boundary, Solid
    from trocar.procedures.cement_access import CementAccess
    from trocar.treatment import Option, Plan, Procedure, Simulation

NOTICE = "Research software, not a medical device: do not base a treatment on it."
#: Exit codes: the world refuses; the user pressed Ctrl-C (128 + SIGINT, as shells count). Misuse is click's 2.
REFUSED, INTERRUPTED = 1, 130
DEFAULT_PROCEDURE = "vertebroplasty"
DEFAULT_CASE = "case"
#: Trabecular density of the drawn patient over a healthy one: bone that breaks.
OSTEOPOROTIC = 0.6


# --- what every command shares ------------------------------------------------------------------


class Progress:
    """Tells on standard error what is being done, and with ``-v`` how long it took."""

    def __init__(self, verbose: bool, quiet: bool) -> None:
        self.verbose, self.quiet = verbose, quiet

    @contextmanager
    def stage(self, what: str) -> Iterator[None]:
        """Announce a stage, and time it."""
        start = time.perf_counter()
        if not self.quiet:
            click.echo(f"{what} ...", err=True)
        yield
        if self.verbose:
            click.echo(f"    {time.perf_counter() - start:.2f} s", err=True)

    def step(self, what: str) -> None:
        """Tell of a step within a stage."""
        if not self.quiet:
            click.echo(f"  {what}", err=True)


@contextmanager
def callers_mistake() -> Iterator[None]:
    """Turn what the library refuses as the caller's mistake into a usage error, exit 2."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error


@contextmanager
def anatomy_refuses() -> Iterator[None]:
    """Turn what a computation on a patient refuses into exit 1: the command was understood, the anatomy refuses."""
    try:
        yield
    except ValueError as error:
        raise SimulationError(str(error)) from error


def options(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several click decorators as one, in the order they are read."""

    def apply(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


class PathName(click.Path):
    """A path that is not the empty string, which would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; an empty one is a usage error."""
        if not str(value):
            self.fail("an empty path was given: name a file or folder.", param, ctx)
        return super().convert(value, param, ctx)


A_PATH = PathName(path_type=Path)


_talk_options = options(
    click.option("-v", "--verbose", is_flag=True, help="Say how long each stage takes."),
    click.option("-q", "--quiet", is_flag=True, help="No progress on standard error."),
)
as_json = click.option("--json", "json_", is_flag=True, help="Print one JSON object instead of text.")
_image_options = options(
    click.argument("scan", required=False, type=A_PATH),
    click.option("-i", "--input", "input_", type=A_PATH, help="The scan, if not given as SCAN."),
    click.option("-s", "--labels", multiple=True, type=A_PATH, help="Label map; repeat for several files."),
    click.option("--scheme", multiple=True, help="What its numbers mean: a name from 'trocar list', or a JSON file."),
    click.option("--series", help="Series UID or number, where the folder holds several."),
)


@dataclasses.dataclass(frozen=True)
class Images:
    """The scan and its labels as they were named on the command line."""

    scan: Path | None = None
    input_: Path | None = None
    labels: tuple[Path, ...] = ()
    scheme: tuple[str, ...] = ()
    series: str | None = None

    @property
    def files(self) -> list[Path]:
        """Everything that was named."""
        return [p for p in (self.scan, self.input_, *self.labels) if p is not None]


def talk(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of how much is told, given to the command as its ``progress``."""

    @functools.wraps(command)
    def with_progress(*args: Any, verbose: bool, quiet: bool, **rest: Any) -> Any:
        return command(*args, progress=Progress(verbose, quiet), **rest)

    return _talk_options(with_progress)


def images(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name a scan and its labels, given to the command as its ``named``."""
    names = [f.name for f in dataclasses.fields(Images)]

    @functools.wraps(command)
    def with_images(*args: Any, **given: Any) -> Any:
        named = Images(**{name: given.pop(name) for name in names})
        return command(*args, named=named, **given)

    return _image_options(with_images)


def read_patient(named: Images, progress: Progress) -> Anatomy:
    """The patient the shared options name; a missing one is a usage error."""
    source = named.scan or named.input_
    if source is None or (named.scan and named.input_):
        raise click.UsageError("give the scan once: a DICOM folder or zip, or a NIfTI, NRRD or MetaImage file.")
    if not named.labels:
        raise click.UsageError("give --labels: a label map of the same scan. 'trocar segment' can make one.")
    from trocar.anatomy.patient import build_anatomy
    from trocar.io.ct import read_ct
    from trocar.io.labels import read_labels

    with callers_mistake():
        with progress.stage("reading the scan"):
            ct = read_ct(source, series=named.series)
        with progress.stage("reading the labels"):
            # one scheme is for every file; how many are needed otherwise is the reader's rule
            scheme = named.scheme[0] if len(named.scheme) == 1 else named.scheme or None
            structures = read_labels(list(named.labels), ct, scheme)
    with progress.stage("measuring the vertebrae"):
        return build_anatomy(ct, structures)


class Commands(click.Group):
    """Lists commands in the order a user meets them, and ends with an exit code that means something."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order they were declared."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; the world's refusal is one sentence and exit 1."""
        try:
            return super().invoke(ctx)
        except TrocarError as error:
            click.echo(f"trocar: {error}", err=True)
            ctx.exit(REFUSED)
        except KeyboardInterrupt:
            click.echo("trocar: stopped; nothing more was written.", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="trocar")
def main() -> None:
    """Plan image-guided, minimally invasive treatment of the spine from CT and labels.

    Research software, not a medical device. Exit codes: 0 done, 1 the images or the anatomy do not
    allow it, 2 the command was not understood.
    """


# --- plan ---------------------------------------------------------------------------------------


class ProcedureCommand(click.Command):
    """A command whose options are drawn from the fields of the procedures."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own options and one for each field of each procedure."""
        seen = {p.name for p in self.params}
        drawn: list[click.Parameter] = []
        for option in procedure_options():
            if option.name not in seen:
                seen.add(option.name)
                drawn.append(option)
        return [*super().get_params(ctx), *drawn]


def procedure_options() -> list[click.Option]:
    """One command line option for each field of each procedure."""
    from trocar.treatment import procedures

    return [
        click.Option([f"--{f.name.replace('_', '-')}"], type=_field_type(f), help=_field_help(f))
        for procedure in procedures().values()
        for f in dataclasses.fields(procedure)
        if f.name != "level"
    ]


def _field_type(f: dataclasses.Field[Any]) -> Any:
    if "options" in f.metadata:
        return click.Choice(f.metadata["options"])
    return {int: click.INT, str: click.STRING}.get(type(f.default), click.FLOAT)


def _field_help(f: dataclasses.Field[Any]) -> str:
    bounds = f.metadata.get("range")
    allowed = f" {bounds.low:g} to {bounds.high:g} {bounds.unit}".rstrip() + ";" if bounds else ""
    return f"{f.metadata.get('help', '')}{allowed and ' Allowed:'}{allowed or ' '} default {f.default}.".strip()


def build_procedure(name: str, level: Level, fields: dict[str, Any]) -> Procedure:
    """The prescription; an unknown name, a field of another procedure or a value out of range is a usage error."""
    from trocar.treatment import procedures

    known = procedures()
    if name not in known:
        raise click.UsageError(f"procedure {name!r} is not one of {', '.join(known)}.")
    given = {k: v for k, v in fields.items() if v is not None}
    foreign = sorted(given.keys() - {f.name for f in dataclasses.fields(known[name])})
    if foreign:
        raise click.UsageError(f"{', '.join(foreign)} is not a field of {name}.")
    with callers_mistake():
        return known[name](level=level, **given)


@main.command("plan", cls=ProcedureCommand)
@images
@click.option("--level", "level_names", multiple=True, required=True, help="Vertebra, e.g. L1; repeat, or 'all'.")
@click.option("-o", "--out", required=True, type=A_PATH, help="Folder for report and plan.")
@click.option("--case", "case_id", default=DEFAULT_CASE, show_default=True, help="Pseudonym printed on the report.")
@click.option("--procedure", "procedure_name", default=DEFAULT_PROCEDURE, show_default=True, help="What to plan.")
@as_json
@talk
def plan_command(
    named: Images,
    level_names: tuple[str, ...],
    out: Path,
    case_id: str,
    procedure_name: str,
    json_: bool,
    progress: Progress,
    **fields: Any,
) -> None:
    """Find the way in: write report.html, report.pdf, plan.json and figures into the OUT folder."""
    from trocar.io.case_folder import check_folder

    levels = None if "all" in level_names else parse_levels(level_names)
    # a bad prescription or pseudonym is refused before anything is read
    build_procedure(procedure_name, _any_level(levels), fields)
    check_pseudonym(case_id)
    check_folder(out, named.files)
    check_folders(out, levels or [])
    anatomy = read_patient(named, progress)
    chosen = list(anatomy.whole_levels) if levels is None else levels
    check_folders(out, chosen)
    if not chosen:
        why = " ".join(f"{level}: {reason}" for level, reason in cut_levels(anatomy))
        raise LevelError(f"no level is whole in this scan (body and both pedicles): scan further. {why}")
    plans, refused = search_levels(anatomy, chosen, procedure_name, fields, progress)
    written = write_plans(plans, case_id, out, len(chosen) > 1, named.files, progress)
    left_out = cut_levels(anatomy) if levels is None else []
    show_plans(written, refused, left_out, json_)
    if refused:
        sys.exit(REFUSED)


def parse_levels(names: tuple[str, ...]) -> list[Level]:
    """Levels from ``--level`` options, each of which may hold several separated by commas."""
    from trocar.anatomy.levels import Level

    with callers_mistake():
        return list(dict.fromkeys(Level.parse(n) for name in names for n in name.split(",")))


def check_pseudonym(case_id: str) -> None:
    """Refuse what is no pseudonym as a usage error."""
    from trocar.case import check_id

    with callers_mistake():
        check_id(case_id)


def _any_level(levels: list[Level] | None) -> Level:
    from trocar.anatomy.levels import Level

    return levels[0] if levels else Level.L1


def search_levels(
    anatomy: Anatomy, levels: list[Level], procedure_name: str, fields: dict[str, Any], progress: Progress
) -> tuple[list[Plan], list[tuple[Level, TrocarError]]]:
    """Plan each level; where several are asked for, one that is refused does not stop the others."""
    from trocar.treatment import plan

    plans: list[Plan] = []
    refused: list[tuple[Level, TrocarError]] = []
    for level in levels:
        try:
            with progress.stage(f"searching the way into {level}"):
                plans.append(plan(anatomy, build_procedure(procedure_name, level, fields)))
        except (NoSafeTrajectory, LevelError) as error:
            if len(levels) == 1:
                raise
            refused.append((level, error))
    return plans, refused


def write_plans(
    plans: list[Plan], case_id: str, out: Path, several: bool, inputs: list[Path], progress: Progress
) -> list[tuple[Path, Plan]]:
    """Report each plan, each into a folder of its level where several levels were asked for, else into ``out``."""
    from trocar.case import Case
    from trocar.io.case_folder import write
    from trocar.reporting.report import report

    written = []
    for plan in plans:
        folder = folder_of(out, plan.procedure.level, several)
        with progress.stage(f"writing {folder}"):
            write(report(Case(case_id, plan)), folder, inputs, case_id=case_id)
        written.append((folder, plan))
    return written


def folder_of(out: Path, level: Level, several: bool) -> Path:
    """Where the plan of a level goes: ``out``, or a folder of its own where there are several."""
    return out / str(level) if several else out


def check_folders(out: Path, levels: list[Level]) -> None:
    """Refuse folders that cannot be written to, or that hold a simulation which a new plan would make stale."""
    from trocar.io.case_folder import check_unsimulated, check_writable

    check_writable(out)
    for level in levels:
        check_unsimulated(folder_of(out, level, len(levels) > 1))


def cut_levels(anatomy: Anatomy) -> list[tuple[Level, str]]:
    """The labelled levels that are not whole, head to foot, and why."""
    cut = sorted((v for v, x in anatomy.vertebrae.items() if not x.whole), key=lambda v: v.order)
    return [(v, " ".join(f.text for f in anatomy.vertebrae[v].findings)) for v in cut]


def show_plans(
    written: list[tuple[Path, Plan]],
    refused: list[tuple[Level, TrocarError]],
    left_out: list[tuple[Level, str]],
    json_: bool,
) -> None:
    """Print what was planned, what was refused, and which levels could not be tried."""
    from trocar.io.plan_file import to_json

    if json_:
        plans = [{"out": str(folder), "plan": json.loads(to_json(plan))} for folder, plan in written]
        refusals = [{"level": str(level), "error": str(error)} for level, error in refused]
        cut = [{"level": str(level), "because": why} for level, why in left_out]
        click.echo(json.dumps({"plans": plans, "refused": refusals, "left_out": cut}, ensure_ascii=False))
        return
    for folder, plan in written:
        click.echo("\n".join(summary(plan)))
        click.echo(f"  report: {folder / 'report.html'}\n")
    for level, error in refused:
        click.echo(f"{level}: {error}")
    for level, why in left_out:
        click.echo(f"{level} was left out: {why}")
    click.echo(NOTICE)


def summary(plan: Plan) -> list[str]:
    """A plan in a few lines of text."""
    lines = [f"{plan.procedure.level}: {plan.procedure.name}"]
    for rank, option in enumerate(plan.options, 1):
        lines.append(f"  {rank}. {option.name}: {option.reason}")
        lines += [f"     {line}" for line in path_lines(option)] if rank == 1 else []
    lines += [f"  {finding}" for finding in plan.findings]
    if plan.not_checked:
        lines.append(f"  NOT CHECKED, the labels lack them: {', '.join(plan.not_checked)}")
    return lines


def path_lines(option: Option) -> list[str]:
    """The paths of an option: where, how deep, how close, how sure."""
    lines = []
    for t in option.trajectories:
        tight = min(t.clearances, key=lambda c: c.value_mm - c.margin_mm, default=None)
        lines.append(
            f"{t.side.value}: {t.instrument.name}, {t.skin_to_bone_mm:.0f} mm to bone, "
            f"{t.bone_to_target_mm:.0f} mm on to the target; {t.grade.value}"
        )
        if tight:
            lines.append(
                f"tightest: {tight.structure} {tight.value_mm:.1f} ± {tight.uncertainty_mm:.1f} mm "
                f"(margin {tight.margin_mm:g} mm)"
            )
        if t.breach_probability:
            lines.append(f"chance of a breach by hand error: {100 * t.breach_probability.value:.1f} %")
    return lines


# --- simulate -----------------------------------------------------------------------------------


@main.command("simulate")
@click.argument("plan_json", type=A_PATH)
@images
@click.option("-o", "--out", type=A_PATH, help="Folder for report and simulation; by default the plan's own.")
@click.option("--case", "case_id", help="Pseudonym printed on the report; by default the one the plan was given.")
@click.option("--fields", is_flag=True, help="Also write strain, energy, modulus and cement as NIfTI into fields/.")
@click.option("--workers", type=click.IntRange(min=1), help="Runs computed side by side; by default one a core.")
@as_json
@talk
def simulate_command(
    plan_json: Path,
    named: Images,
    out: Path | None,
    case_id: str | None,
    fields: bool,
    workers: int | None,
    json_: bool,
    progress: Progress,
) -> None:
    """Say what a plan would do: from its plan.json and the images it was made from.

    Writes simulation.json, and the report again with what was simulated, into the plan's folder or OUT. Where it is
    stopped (Ctrl-C), the runs that are finished stay in simulation-runs/ there, and the same command goes on from
    them. A simulation that fails is written too, marked as failed.
    """
    from trocar.io.case_folder import check_folder, check_same_plan, check_writable
    from trocar.io.plan_check import check_paths
    from trocar.io.plan_file import read_case_id, read_plan
    from trocar.io.run_folder import RunFolder

    if case_id is not None:
        check_pseudonym(case_id)
    before = read_plan(plan_json)
    case_id = case_id or read_case_id(plan_json) or DEFAULT_CASE
    check_simulated(before.procedure)
    folder = check_folder(out or (plan_json if plan_json.is_dir() else plan_json.parent), named.files)
    check_same_plan(folder, before)
    check_writable(folder)
    planned = check_paths(with_its_images(before, named, progress))
    kept = RunFolder(folder / "simulation-runs")
    with progress.stage(f"simulating {planned.procedure.name} of {planned.procedure.level}"), anatomy_refuses():
        simulation, failure = simulated(planned, kept, workers, progress)
    write_simulation(simulation, case_id, folder, named.files, fields, progress)
    kept.clear()
    if failure is not None:
        raise failure
    show_simulation(simulation, folder, json_)


def simulated(
    plan: Plan, kept: RunFolder, workers: int | None, progress: Progress
) -> tuple[Simulation, SimulationError | None]:
    """The simulation, and why it failed if it did; one that carries nothing is raised."""
    from trocar.physics.multigrid import cores
    from trocar.treatment import simulate

    try:
        return simulate(plan, progress.step, kept=kept, workers=workers or cores()), None
    except SimulationError as failure:
        if failure.simulation is None:
            raise
        return failure.simulation, failure
    except KeyboardInterrupt:
        if kept:
            progress.step(f"{len(kept)} finished run(s) are kept in {kept.folder}: the same command goes on from there")
        raise


def with_its_images(plan: Plan, named: Images, progress: Progress) -> Plan:
    """A plan that was read back, with the patient the shared options name; the scheme is the plan's own by default."""
    from trocar.io.plan_file import with_images

    named = dataclasses.replace(named, scheme=named.scheme or (plan.provenance.scheme,))
    return with_images(plan, read_patient(named, progress))


def check_simulated(procedure: Procedure) -> None:
    """Refuse a procedure that only plans as a usage error, before anything is read."""
    from trocar.treatment import Procedure, procedures

    if type(procedure).simulate is Procedure.simulate:
        can = [name for name, p in procedures().items() if p.simulate is not Procedure.simulate]
        raise click.UsageError(f"{procedure.name} cannot be simulated; these can: {', '.join(can) or 'none yet'}.")


def write_simulation(
    simulation: Simulation, case_id: str, folder: Path, inputs: list[Path], fields: bool, progress: Progress
) -> None:
    """Report a simulation with its plan."""
    from trocar.case import Case
    from trocar.io.case_folder import write
    from trocar.reporting.report import report

    with progress.stage(f"writing {folder}"):
        write(report(Case(case_id, simulation.plan, simulation)), folder, inputs, fields, case_id)


def show_simulation(simulation: Simulation, folder: Path, json_: bool) -> None:
    """Print what was simulated."""
    from trocar.io.simulation_file import to_json
    from trocar.reporting.lines import simulation_lines

    if json_:
        document = json.loads(to_json(simulation))
        click.echo(json.dumps({"out": str(folder), "simulation": document}, ensure_ascii=False))
        return
    procedure = simulation.plan.procedure
    click.echo(f"{procedure.level}: {procedure.name}, simulated")
    for line in simulation_lines(simulation):
        click.echo(f"  {line}")
    for finding in simulation.findings:
        click.echo(f"  {finding}")
    click.echo(f"  report: {folder / 'report.html'}\n")
    click.echo(NOTICE)


# --- export -------------------------------------------------------------------------------------


@main.command("export")
@click.argument("plan_json", type=A_PATH)
@images
@click.option("-o", "--out", required=True, type=A_PATH, help="File to write: .inp for CalculiX, .h5 for ParOSol.")
@click.option("--cement", is_flag=True, help="With the planned cement in it; otherwise as scanned.")
@as_json
@talk
def export_command(plan_json: Path, named: Images, out: Path, cement: bool, json_: bool, progress: Progress) -> None:
    """Write the planned vertebra under axial load for another solver, and print Trocar's own answer.

    So that a sceptic can check: same voxels, moduli and supports; the vertebra between PMMA caps.
    """
    from trocar.io.case_folder import check_writable
    from trocar.io.plan_check import check_paths
    from trocar.io.plan_file import read_plan

    write = peer_writer(out)
    before = read_plan(plan_json)
    procedure = with_bone(before.procedure, cement)
    check_writable(out.parent)
    planned = check_paths(with_its_images(before, named, progress))
    with progress.stage("building and loading the model"):
        loaded = loaded_vertebra(procedure, planned, cement)
    with progress.stage(f"writing {out}"), callers_mistake():
        write(loaded.model.solid, loaded.deformation.boundary, out)
    show_export(loaded, out, json_)


def peer_writer(out: Path) -> Callable[[Solid, Boundary, Path], Path]:
    """What writes the file, by the ending of its name; another ending is a usage error."""
    if out.suffix == ".inp":
        from trocar.io.calculix import write_calculix

        return write_calculix
    if out.suffix == ".h5":
        from trocar.io.parosol import write_parosol

        return write_parosol
    raise click.UsageError(f"{out.name!r} ends in neither .inp (CalculiX) nor .h5 (ParOSol).")


def with_bone(procedure: Procedure, cement: bool) -> CementAccess:
    """The procedure, if it has a model of the bone, and of its cement if asked for; another is a usage error."""
    from trocar.procedures.cement_access import CementAccess

    if not isinstance(procedure, CementAccess):
        raise click.UsageError(f"{procedure.name or type(procedure).__name__} has no model of the bone to export.")
    if cement and type(procedure).filling is CementAccess.filling:
        raise click.UsageError(f"--cement: where the cement of a {procedure.name} lies is known once it is simulated.")
    return procedure


def loaded_vertebra(procedure: CementAccess, plan: Plan, cement: bool) -> Loaded:
    """The planned vertebra between PMMA caps under axial compression, solved, with its cement if asked for."""
    from trocar.measure import Status
    from trocar.mechanics.answers import press
    from trocar.mechanics.model import Ends
    from trocar.mechanics.scenario import augmented

    model = procedure.bone(plan, Ends.CAPS)
    with anatomy_refuses():
        filling = procedure.filling(model, plan) if cement else None
        model = augmented(model, filling).model if filling else model
    loaded = press(model)
    if loaded.status is not Status.SUCCESS:
        raise SimulationError(loaded.status.value)
    return loaded


def show_export(loaded: Loaded, out: Path, json_: bool) -> None:
    """Print where the model lies and what Trocar answers, with as many digits as a comparison needs."""
    answer = {
        "file": str(out),
        "condition": loaded.condition,
        "force_n": loaded.resistance,
        "compression_mm": loaded.amount,
        "residual": loaded.deformation.residual,
    }
    if json_:
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    click.echo(f"{out}\n{loaded.condition}\nTrocar: {loaded.resistance:.6g} N at {loaded.amount:g} mm of compression.")


# --- demo ---------------------------------------------------------------------------------------


@main.command("demo")
@click.option(
    "-o",
    "--out",
    type=A_PATH,
    default=Path("out-demo"),
    show_default=True,
    help="Folder for the phantom's scan and labels and for the report.",
)
@click.option("--level", "level_name", default="L1", show_default=True, help="The fractured vertebra, T2 to L4.")
@talk
def demo_command(out: Path, level_name: str, progress: Progress) -> None:
    """Draw a patient of known truth, plan on it as on any scan, and compare with the truth.

    The phantom has a wedge fracture. Its scan and labels are written beside the report, so that every
    other command can be tried on them.
    """
    from trocar.anatomy.phantom import SCHEME, Fracture, PhantomSpec, phantom
    from trocar.io.case_folder import check_folder
    from trocar.io.phantom_files import write_phantom

    level = parse_levels((level_name,))[0]
    with callers_mistake():
        spec = PhantomSpec(
            levels=around(level), focus=level, fracture=Fracture.WEDGE, fracture_percent=25.0, trabecular=OSTEOPOROTIC
        )
    folder = check_folder(out)
    check_folders(out, [level])
    with progress.stage("drawing the phantom"):
        patient = phantom(spec)
        folder.mkdir(parents=True, exist_ok=True)
        scan, labels = write_phantom(patient, folder)
    anatomy = read_patient(Images(scan, labels=(labels,), scheme=(SCHEME,)), progress)
    plans, _ = search_levels(anatomy, [level], DEFAULT_PROCEDURE, {}, progress)
    written = write_plans(plans, "phantom", out, False, [], progress)
    show_plans(written, [], [], json_=False)
    for line in compare_with_truth(plans[0], patient):
        click.echo(line)
    files = f"{scan} --labels {labels}"
    click.echo(
        f"Try also: trocar info {files} --scheme {SCHEME}\n"
        f"          trocar simulate {out / 'plan.json'} {files}\n"
        f"          trocar plan {files} --scheme {SCHEME} --level {level} --out out/"
    )


def around(level: Level) -> tuple[Level, ...]:
    """A level and its neighbours, as the phantom can draw them."""
    from trocar.anatomy.morphometry import MEASURED_LEVELS

    if level not in MEASURED_LEVELS[1:-1]:
        raise click.UsageError(f"level={level}: the demo has {MEASURED_LEVELS[1]} to {MEASURED_LEVELS[-2]}.")
    n = MEASURED_LEVELS.index(level)
    return tuple(MEASURED_LEVELS[n - 1 : n + 2])


def compare_with_truth(plan: Plan, patient: Phantom) -> list[str]:
    """What was measured beside what was drawn."""
    from trocar.geometry import angle_deg

    level = plan.procedure.level
    truth, found = patient.truth.vertebrae[level], plan.anatomy.vertebra(level)
    lines = [f"Compared with the drawing of {level}:"]
    for side, pedicle in found.pedicles.items():
        drawn = truth.pedicles[side]
        lines.append(
            f"  {side.value} pedicle: width {pedicle.width.value:.1f} mm (drawn {drawn.width_mm:.1f}), "
            f"axis off by {float(pedicle.axis.distance_mm(drawn.axis.point_mm)):.1f} mm "
            f"and {angle_deg(pedicle.axis.direction, drawn.axis.direction):.1f}°"
        )
    heights = (found.heights.anterior, found.heights.middle, found.heights.posterior)
    both = ", ".join(f"{m.value:.1f} ({t:.1f})" for m, t in zip(heights, truth.heights_mm, strict=True))
    lines.append(f"  heights front, middle, back, mm (drawn): {both}")
    return lines


# --- info ---------------------------------------------------------------------------------------


@main.command("info")
@images
@as_json
@talk
def info_command(named: Images, json_: bool, progress: Progress) -> None:
    """Say which levels are whole, and their heights, angles, grades and density."""
    anatomy = read_patient(named, progress)
    levels = sorted(anatomy.vertebrae, key=lambda level: level.order)
    if json_:
        click.echo(json.dumps(info_document(anatomy, levels), ensure_ascii=False))
        return
    k, j, i = anatomy.ct.spacing_mm
    click.echo(
        f"scan: {anatomy.ct.shape[2]} x {anatomy.ct.shape[1]} x {anatomy.ct.shape[0]} voxels of "
        f"{i:.2f} x {j:.2f} x {k:.2f} mm; labels: {anatomy.scheme}"
    )
    for finding in anatomy.findings:
        click.echo(f"  {finding}")
    for level in levels:
        vertebra = anatomy.vertebrae[level]
        click.echo(f"{level}: {'whole' if vertebra.whole else 'NOT WHOLE'}")
        for m in vertebra.measures:
            click.echo(f"  {m.name.replace('_', ' ')}: {m}")
        for finding in vertebra.findings:
            click.echo(f"  {finding}")
    click.echo(NOTICE)


def info_document(anatomy: Anatomy, levels: list[Level]) -> dict[str, Any]:
    """What ``info --json`` prints."""
    from trocar.io.records import plain

    return {
        "scheme": anatomy.scheme,
        "spacing_mm": list(anatomy.ct.spacing_mm),
        "findings": [str(f) for f in anatomy.findings],
        "levels": {
            str(level): {
                "whole": anatomy.vertebrae[level].whole,
                "measures": plain(anatomy.vertebrae[level].measures),
                "findings": [str(f) for f in anatomy.vertebrae[level].findings],
            }
            for level in levels
        },
    }


# --- the rest -----------------------------------------------------------------------------------


@main.command("cite")
@click.argument("plan_json", type=A_PATH)
@as_json
def cite_command(plan_json: Path, json_: bool) -> None:
    """Print the references of the methods a plan used."""
    from trocar.io.plan_file import read_plan
    from trocar.reporting.cite import references_for

    references = references_for(read_plan(plan_json))
    if json_:
        click.echo(json.dumps({"references": [str(r) for r in references]}, ensure_ascii=False))
        return
    for n, reference in enumerate(references, 1):
        click.echo(f"{n}. {reference}")


@main.command("replay")
@click.argument("plan_json", type=A_PATH)
@images
@talk
def replay_command(plan_json: Path, named: Images, progress: Progress) -> None:
    """Plan again from a plan.json and its images, and say whether the same plan comes out."""
    from trocar.io.plan_file import read_plan
    from trocar.treatment import plan

    before = read_plan(plan_json)
    anatomy = with_its_images(before, named, progress).anatomy
    after = plan(anatomy, before.procedure)
    # the same files may have other names by now
    same = dataclasses.replace(after.provenance, files=before.provenance.files)
    if dataclasses.replace(after, provenance=same) != before:
        click.echo(f"trocar: another plan came out (written by {before.version}, now {after.version}).", err=True)
        sys.exit(REFUSED)
    click.echo("the same plan came out.")


@main.command("segment")
@click.argument("scan", type=A_PATH)
@click.option("-o", "--out", required=True, type=A_PATH, help="Label map to write (.nii.gz).")
@click.option(
    "--tool",
    type=click.Choice(["totalsegmentator", "spineps"]),
    default="totalsegmentator",
    show_default=True,
    help="External program; installed by you, with its weights.",
)
@click.option("--fast", is_flag=True, help="The tool's coarser, quicker model.")
def segment_command(scan: Path, out: Path, tool: str, fast: bool) -> None:
    """Make labels with an external program that is installed here (TotalSegmentator or SPINEPS)."""
    from trocar.io.segment import segment

    result = segment(scan, out, tool=tool, fast=fast)
    click.echo(str(result))


@main.command("list")
@click.argument("what", type=click.Choice(["levels", "schemes", "procedures", "instruments", "approaches"]))
@as_json
def list_command(what: str, json_: bool) -> None:
    """List the levels, schemes, procedures, instruments or approaches that can be named."""
    rows = listing(what)
    if json_:
        click.echo(json.dumps({what: rows}, ensure_ascii=False))
        return
    for name, meaning in rows.items():
        click.echo(f"{name}  {meaning}".rstrip())


def listing(what: str) -> dict[str, str]:
    """Name and meaning of everything of one kind."""
    if what == "levels":
        from trocar.anatomy.levels import Level

        return {str(level): level.region for level in Level}
    if what == "schemes":
        from trocar.anatomy.schemes import schemes

        return {name: scheme.meaning for name, scheme in schemes().items()}
    if what == "procedures":
        from trocar.treatment import procedures

        return {name: (p.__doc__ or "").splitlines()[0] for name, p in procedures().items()}
    if what == "instruments":
        from trocar.planning.instrument import OUTER_DIAMETER_MM

        return {f"{g}G": f"outer diameter {d} mm" for g, d in OUTER_DIAMETER_MM.items()}
    from trocar.planning.access import APPROACHES

    return {a.name: f"{', '.join(a.regions)}; entry at the {a.landmark}" for a in APPROACHES}


if __name__ == "__main__":
    main()
