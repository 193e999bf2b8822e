"""What a report says, before anyone decides how it looks. HTML and PDF are drawn from this and nothing else."""

from __future__ import annotations

from trocar.case import Case
from trocar.measure import Finding, Severity
from trocar.reporting import appendix, cement, first_page, fluoroscopy, mechanics
from trocar.reporting.cite import references_for
from trocar.reporting.content import Chapter, Report
from trocar.reporting.figures import Picture
from trocar.reporting.words import title
from trocar.treatment import Plan, Simulation

__all__ = ["NOTICE", "Report", "report"]

NOTICE = "Research software, not a medical device; not for clinical decisions."


def report(of: Plan | Case) -> Report:
    """The report of a plan, or of a case, with its simulation where it has one.

    A plan that was read back without its images gives the same text, without figures and without
    the mark on the skin.
    """
    plan, case_id, simulation = (of, None, None) if isinstance(of, Plan) else (of.plan, of.id, of.simulation)
    marks = first_page.marks(plan)
    about_marks = tuple(f for mark in marks if mark for f in mark.findings)
    views = fluoroscopy.views_of(plan)
    concerns = first_page.concerns(plan.findings + about_marks + fluoroscopy.grave(views) + _grave(simulation))
    verdict, verdict_text = first_page.headline(plan, concerns)
    return Report(
        plan=plan,
        simulation=simulation,
        title=f"{(plan.procedure.name or type(plan.procedure).__name__).capitalize()}, {plan.procedure.level}",
        notice=NOTICE,
        identity=first_page.identity(plan, case_id),
        verdict=verdict,
        verdict_text=verdict_text,
        paths=first_page.paths(plan, marks),
        concerns=concerns,
        not_checked=tuple(title(n) for n in plan.not_checked),
        not_checked_text=first_page.not_checked_text(plan),
        pictures=_pictures(plan),
        screen=() if views is None else (fluoroscopy.chapter(views),),
        chapters=() if simulation is None else _chapters(simulation),
        alternatives=appendix.alternatives(plan),
        sections=appendix.sections(plan),
        references=_references(plan, simulation),
        footer=f"{NOTICE} Trocar {plan.version}.",
    )


def _grave(simulation: Simulation | None) -> tuple[Finding, ...]:
    """What of a simulation belongs on the first page: all but its notes, which stand in its chapter."""
    found = () if simulation is None else simulation.findings
    return tuple(f for f in found if f.severity is not Severity.NOTE)


def _chapters(simulation: Simulation) -> tuple[Chapter, ...]:
    """The loaded bone; before it the cement, where it was made to flow."""
    if not cement.simulated(simulation):
        return (mechanics.chapter(simulation),)
    return cement.chapter(simulation), mechanics.chapter(cement.without_cement(simulation))


def _references(plan: Plan, simulation: Simulation | None) -> tuple[str, ...]:
    own = () if simulation is None else simulation.references
    return (*(str(r) for r in references_for(plan)), *(f"{text} [simulation]" for text in dict.fromkeys(own)))


def _pictures(plan: Plan) -> tuple[Picture, ...]:
    if plan.images is None or not plan.options:
        return ()
    from trocar.reporting.gallery import pictures

    return pictures(plan)
