"""What every command shares: how it tells, what it takes for a patient, and how a refusal becomes an exit code."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trocar.errors import SimulationError, TrocarError

if TYPE_CHECKING:
    from trocar.anatomy.levels import Level
    from trocar.anatomy.patient import Anatomy
    from trocar.treatment import Plan

NOTICE = "Research software, not a medical device: do not base a treatment on it."
#: Exit codes: the world refuses; the user pressed Ctrl-C (128 + SIGINT, as shells count). Misuse is click's 2.
REFUSED, INTERRUPTED = 1, 130
DEFAULT_CASE = "case"


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


def with_its_images(plan: Plan, named: Images, progress: Progress) -> Plan:
    """A plan that was read back, with the patient the shared options name; the scheme is the plan's own by default."""
    from trocar.io.plan_file import with_images

    named = dataclasses.replace(named, scheme=named.scheme or (plan.provenance.scheme,))
    return with_images(plan, read_patient(named, progress))
