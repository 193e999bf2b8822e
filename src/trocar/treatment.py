"""Procedure, Plan, Simulation; ``plan()`` and ``simulate()``. Read this first.

A :class:`Procedure` is a prescription: a frozen dataclass whose fields carry units and ranges. It
says where it goes (``trajectories``), what worries it (``review``) and what it does (``simulate``).
:func:`plan` asks it the first two and returns a :class:`Plan`; nothing here knows any particular
procedure. The classes in ``trocar.procedures`` are found by :func:`procedures`, which scans that
folder: a new procedure is one file.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from numpy.typing import NDArray

from trocar import __version__
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.errors import SimulationError
from trocar.measure import Finding, Measure, Range, Severity, Status
from trocar.planning.access import Approach, Margins
from trocar.planning.skin import SkinMark, mark_of
from trocar.planning.trajectory import Trajectory
from trocar.volume import Acquisition, Volume

#: Told in words what is being computed.
Progress = Callable[[str], None]


#: Finished parts of a long computation by a name that says all they depend on: a ``dict``, or one kept on disk.
Kept = MutableMapping[str, Mapping[str, NDArray[Any]]]


def silent(what: str) -> None:
    """The progress of whoever does not want to be told."""


@dataclass(frozen=True, eq=False)
class Means:
    """What a simulation is carried out with; no answer depends on it.

    ``progress`` is told in words what is being computed, ``kept`` holds the parts that are finished, so that a
    computation that was stopped goes on from there, and ``workers`` is how many parts may be computed side by side.
    """

    progress: Progress = silent
    kept: Kept = field(default_factory=dict)
    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers={self.workers} must be 1 or more.")


def quantity(default: float, low: float, high: float, unit: str, help: str) -> Any:
    """A numeric field of a procedure: its default, its allowed range, its UCUM unit, one line of help."""
    return field(default=default, metadata={"range": Range(low, high, unit), "help": help})


def choice(default: str, options: tuple[str, ...], help: str) -> Any:
    """A field of a procedure with a closed set of values."""
    return field(default=default, metadata={"options": options, "help": help})


@dataclass(frozen=True)
class Option:
    """One way to carry the plan out: a path, or several that belong together, and why it ranks here."""

    trajectories: tuple[Trajectory, ...]
    reason: str
    measures: tuple[Measure, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def name(self) -> str:
        """For people: "one-sided, left, transpedicular"."""
        sides = [t.side.value for t in self.trajectories]
        count = {1: "one-sided", 2: "two-sided"}.get(len(sides), f"{len(sides)} paths")
        approaches = " and ".join(dict.fromkeys(t.approach for t in self.trajectories))
        return f"{count}, {' and '.join(sides)}, {approaches}"


@dataclass(frozen=True)
class Procedure:
    """Base of every procedure: checks each field against its declared range, whoever constructs it."""

    name: ClassVar[str] = ""
    references: ClassVar[tuple[str, ...]] = ()

    level: Level

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", Level.parse(self.level))
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if "range" in f.metadata:
                f.metadata["range"].check(f.name, value, type(self).__name__)
            allowed = f.metadata.get("options")
            if allowed and value not in allowed:
                raise ValueError(f"{f.name}={value!r} is not one of {', '.join(allowed)} for {type(self).__name__}.")

    def trajectories(self, anatomy: Anatomy) -> tuple[Option, ...]:
        """Ranked ways to carry it out; raises ``NoSafeTrajectory`` when there is none."""
        raise TypeError(f"{type(self).__name__} has no needle path to plan.")

    def margins(self, approach: Approach) -> Margins:
        """The margins it keeps on an approach: the approach's own, unless it asks for others."""
        return approach.margins

    def not_checked(self, anatomy: Anatomy) -> tuple[str, ...]:
        """Names of the structures that matter here and that the labels lack."""
        return ()

    def mark(self, trajectory: Trajectory, anatomy: Anatomy) -> SkinMark:
        """The mark on the skin for one path, with the patient prone."""
        return mark_of(trajectory, anatomy)

    def review(self, anatomy: Anatomy, options: tuple[Option, ...]) -> tuple[Finding, ...]:
        """What worries it about this patient and these options."""
        return ()

    def simulate(self, plan: Plan, means: Means) -> Simulation:
        """What it does; ``means`` say whom to tell, what is finished already, and how many may work."""
        raise TypeError(f"{type(self).__name__} cannot be simulated in trocar {__version__}.")


@dataclass(frozen=True)
class Provenance:
    """Where the images of a plan came from: enough to recognise them again.

    ``files`` are (name, SHA-256) pairs of the scan and of the labels; ``spacing_mm`` is along k, j, i.
    """

    files: tuple[tuple[str, str], ...] = ()
    scheme: str = ""
    frame_of_reference: str | None = None
    series_uid: str | None = None
    patient_position: str | None = None
    spacing_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    derived: tuple[str, ...] = ()

    @classmethod
    def of(cls, anatomy: Anatomy) -> Provenance:
        """The provenance of a patient's images."""
        ct = anatomy.ct
        acquisition = ct.acquisition or Acquisition()
        return cls(
            files=(*sorted(acquisition.digests.items()), *anatomy.digests),
            scheme=anatomy.scheme,
            frame_of_reference=ct.frame_of_reference,
            series_uid=acquisition.series_uid,
            patient_position=acquisition.patient_position,
            spacing_mm=ct.spacing_mm,
            derived=tuple(sorted(anatomy.derived)),
        )


@dataclass(frozen=True)
class Plan:
    """What was planned: ``options`` ranked best first, ``not_checked`` what nobody could look at.

    ``images`` is the patient it was planned on. It is None in a plan read back from ``plan.json``
    alone, and two plans are equal whether or not they have it at hand.
    """

    procedure: Procedure
    images: Anatomy | None = field(compare=False, repr=False)
    options: tuple[Option, ...] = ()
    not_checked: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    findings: tuple[Finding, ...] = ()
    provenance: Provenance = Provenance()
    version: str = __version__

    @property
    def anatomy(self) -> Anatomy:
        """The patient; raises ``ValueError`` for a plan that was read without its images."""
        if self.images is None:
            raise ValueError("this plan was read without its images: read it again with the scan and its labels.")
        return self.images

    @property
    def best(self) -> Option:
        """The first option; raises ``IndexError`` where a procedure has none (a pump)."""
        return self.options[0]


@dataclass(frozen=True)
class Simulation:
    """What a procedure is expected to do, and how the computation ended."""

    plan: Plan
    status: Status
    volumes: dict[str, Volume] = field(default_factory=dict)
    series: dict[str, Any] = field(default_factory=dict)
    measures: tuple[Measure, ...] = ()
    findings: tuple[Finding, ...] = ()
    references: tuple[str, ...] = ()
    version: str = __version__


def plan(anatomy: Anatomy, procedure: Procedure) -> Plan:
    """Plan a procedure on a patient.

    Raises :class:`trocar.errors.LevelError` for a level that is absent or cut, and
    :class:`trocar.errors.NoSafeTrajectory` when every path breaks a hard margin.
    """
    vertebra = anatomy.vertebra(procedure.level)
    options = procedure.trajectories(anatomy)
    findings = (*anatomy.findings, *vertebra.findings, *procedure.review(anatomy, options))
    if options:
        marks = [procedure.mark(t, anatomy) for t in options[0].trajectories]
        findings += options[0].findings + tuple(f for m in marks for f in m.findings)
        options = (_marked(options[0], marks), *options[1:])
    ranked = tuple(sorted(dict.fromkeys(findings), key=lambda f: -f.severity.rank))
    return Plan(
        procedure,
        anatomy,
        options,
        procedure.not_checked(anatomy),
        vertebra.measures,
        ranked,
        Provenance.of(anatomy),
    )


def _marked(option: Option, marks: list[SkinMark]) -> Option:
    """The option with the numbers of its marks on the skin among the measures of its paths."""
    pairs = zip(option.trajectories, marks, strict=True)
    return replace(option, trajectories=tuple(replace(t, measures=t.measures + m.measures()) for t, m in pairs))


def simulate(plan: Plan, progress: Progress = silent, *, kept: Kept | None = None, workers: int = 1) -> Simulation:
    """Simulate a plan; raises :class:`trocar.errors.SimulationError` unless the status is a success.

    ``progress`` is called with what is being computed, in words. With ``kept`` (a mapping that outlives the call) what
    is finished is kept, and a simulation that was stopped goes on from there; ``workers`` may compute side by side,
    with the same result. The error of a simulation that failed carries what was computed.
    """
    means = Means(progress, {} if kept is None else kept, workers)
    simulation = plan.procedure.simulate(plan, means)
    if simulation.status is not Status.SUCCESS:
        raise SimulationError(simulation.status.value, _failed(simulation))
    return simulation


def _failed(simulation: Simulation) -> Simulation:
    """The same with its failure before all else, wherever its findings are told."""
    text = f"This simulation failed. {simulation.status.value}"
    failure = Finding(Severity.STOP, text, "what had been computed until then follows: do not act on it")
    return replace(simulation, findings=(failure, *simulation.findings))


def procedures() -> dict[str, type[Procedure]]:
    """Every procedure by its name, found by scanning ``trocar.procedures``."""
    import trocar.procedures as folder

    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{folder.__name__}.{module.name}")
    found = [c for c in _subclasses(Procedure) if c.name]
    return {c.name: c for c in sorted(found, key=lambda c: c.name)}


def _subclasses(cls: type[Procedure]) -> list[type[Procedure]]:
    direct = cls.__subclasses__()
    return direct + [s for c in direct for s in _subclasses(c)]
