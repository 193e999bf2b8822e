"""A case: a pseudonym and what was planned, simulated, done and found later."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trocar.treatment import Plan, Simulation

#: Letters, digits, dot, dash and underscore; nothing that could be a name with a space, or a path.
PSEUDONYM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Case:
    """One patient's treatment under a pseudonym."""

    id: str
    plan: Plan
    simulation: Simulation | None = None

    def __post_init__(self) -> None:
        check_id(self.id)
        if self.simulation is not None and self.simulation.plan != self.plan:
            raise ValueError(f"the simulation of case {self.id} is of another plan: simulate the plan of this case.")


def check_id(case_id: str) -> str:
    """Return ``case_id``, or raise ``ValueError`` when it is not a pseudonym."""
    if not PSEUDONYM.fullmatch(case_id):
        raise ValueError(
            f"id={case_id!r} is not a pseudonym: use up to 64 letters, digits, dots, dashes and underscores."
        )
    return case_id
