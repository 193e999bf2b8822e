"""A plan that was read back, held against its images before anything is built on it."""

from __future__ import annotations

from trocar.errors import CaseFileError
from trocar.planning.candidates import Site
from trocar.planning.remeasure import disagreement
from trocar.treatment import Plan, Procedure

_AGAIN = "the file was changed, or another version of trocar wrote it: plan again."


def check_paths(plan: Plan) -> Plan:
    """``plan`` itself, whose every path was measured again on its images.

    Raises :class:`CaseFileError` where a path is not what it states within 0.05 mm, was planned with other margins than
    the procedure asks for, is of another level, or where a procedure that needs a path has none. The images must be at
    hand, see :func:`trocar.io.plan_file.with_images`.
    """
    if type(plan.procedure).trajectories is Procedure.trajectories:
        return plan  # it has no path, and states none
    if not plan.options or not all(o.trajectories for o in plan.options):
        raise CaseFileError("plan.json holds no path: plan again.")
    level = plan.procedure.level
    paths = dict.fromkeys(t for o in plan.options for t in o.trajectories)
    for path in paths:
        if path.level is not level:
            raise CaseFileError(f"plan.json is a plan of {level} with a path to {path.level}: {_AGAIN}")
    site = Site.of(plan.anatomy, level)
    for path in paths:
        try:
            wrong = disagreement(site, path, plan.procedure.margins)
        except ValueError as error:  # a needle or an approach that cannot be
            raise CaseFileError(f"plan.json is damaged: {error} Plan again.") from error
        if wrong:
            raise CaseFileError(
                f"the {path.approach} path from the {path.side.value} in plan.json does not have the clearances it "
                f"states: it {wrong}. Most likely {_AGAIN}"
            )
    return plan
