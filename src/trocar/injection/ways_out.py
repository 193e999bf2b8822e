"""The ways by which cement can leave a vertebra, as far as CT and labels show them and beyond that as published.

::

    model = bone_model(anatomy, "L1", arch=True, ends=Ends.EMBEDDED, spacing_mm=1.5)
    found = ways_out(anatomy, model, option.trajectories, Aetiology.OSTEOPOROTIC)
    found.ways, found.findings, found.table()

What is *seen* comes from this patient's CT: walls without cortex, endplates that are interrupted or pressed in, gas
clefts, a foramen of the basivertebral vein wide enough to show, a planned path that pierces a wall. What is *expected*
is anatomy that everyone has (veins) or that published series found in some (cracks, loose cannulas). ``present`` is how
often the way is there, not how often cement takes it: that is what the injection is simulated for. Where a series tells
only leaks, their frequency stands for that of the way, a lower bound; each constant says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trocar.anatomy.cleft import gas_cleft
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.injection.accounts import Account, Teller
from trocar.injection.aetiology import Aetiology
from trocar.injection.bearings import Bearings
from trocar.injection.cracks import endplate_cracks, wall_cracks
from trocar.injection.openings import cortex_of, gaps, judged
from trocar.injection.routes import Basis, Route, Shape, WayOut, told_apart
from trocar.injection.tracts import breaches, tracts
from trocar.injection.veins import basivertebral, segmental, tumour_vessels
from trocar.injection.walls import porous_region, skin_of
from trocar.measure import Finding, Severity
from trocar.mechanics.filling import Mask, body_of
from trocar.mechanics.model import BoneModel
from trocar.mechanics.resample import hu_on
from trocar.planning.robustness import HandError
from trocar.planning.trajectory import Trajectory
from trocar.volume import Volume

__all__ = [
    "Account",
    "Aetiology",
    "Basis",
    "Route",
    "Shape",
    "WayOut",
    "WaysOut",
    "porous_region",
    "ways_out",
]


#: Whoever's hand it is, unless a plan says.
USUAL_HAND = HandError()
#: Where cement that leaves lies, for a sentence.
GOES = {
    Route.EPIDURAL: "into the canal",
    Route.FORAMINAL: "into a root foramen",
    Route.DISC: "into the disc",
    Route.ANTERIOR: "in front of the spine",
    Route.LATERAL: "beside the spine",
    Route.VENOUS: "into veins",
    Route.TRACT: "along the needle",
    Route.ARTERIAL: "into an artery",
}


@dataclass(frozen=True, eq=False)
class WaysOut:
    """The ways out of one vertebra, those that were seen first, with an account of each and what worries us.

    ``cleft`` marks gas in the body, ``[k, j, i]`` on the model's grid.
    """

    ways: tuple[WayOut, ...]
    accounts: tuple[Account, ...]
    cleft: Mask
    findings: tuple[Finding, ...] = ()

    def table(self) -> dict[str, list[Any]]:
        """One row for each way, as columns by name."""
        return {
            "way": [w.name for w in self.ways],
            "leads_to": [w.route.value for w in self.ways],
            "basis": [w.basis.value for w in self.ways],
            "place": [a.place for a in self.accounts],
            "present_percent": [100.0 * w.present for w in self.ways],
            "size": [a.size for a in self.accounts],
            "distance_to_tip_mm": [a.distance_to_tip_mm for a in self.accounts],
            "source": [w.source for w in self.ways],
        }


def ways_out(
    anatomy: Anatomy,
    model: BoneModel,
    trajectories: Sequence[Trajectory],
    aetiology: Aetiology,
    hand: HandError = USUAL_HAND,
) -> WaysOut:
    """Every way by which cement injected through these paths can leave the vertebra of a model.

    ``model`` is that of the whole vertebra (``arch=True``), ``hand`` the one that the paths were planned for.
    Raises ``ValueError`` for a model without posterior elements or paths of another level, and
    :class:`trocar.errors.LevelError` where nothing faces a canal.
    """
    paths = _of_level(trajectories, model.level)
    skin = skin_of(model, anatomy)
    bearings = Bearings.of(model, anatomy, skin)
    cortex = cortex_of(model, anatomy, skin)
    cleft = _cleft(model, anatomy)
    seen = gaps(cortex, bearings)
    found = (
        *seen,
        *endplate_cracks(model, skin, bearings, seen, anatomy.vertebra(model.level).heights, cleft),
        *wall_cracks(model, skin, bearings, seen, aetiology, bool(cleft.any())),
        basivertebral(model, cortex, bearings),
        *segmental(model, cortex, bearings),
        *(() if aetiology is Aetiology.OSTEOPOROTIC else tumour_vessels(model, cortex, bearings)),
        *tracts(model, skin, bearings, paths),
        *breaches(model, skin, bearings, paths, hand),
    )
    ways = told_apart(sorted((w for w in found if w.exits.any()), key=_seen_first))
    tell = Teller(model, anatomy, cortex, bearings, paths)
    accounts = tuple(tell.account(w) for w in ways)
    return WaysOut(ways, accounts, cleft, (*judged(model, cortex), *_told(ways, accounts, cleft, model)))


def _seen_first(way: WayOut) -> tuple[bool, int]:
    return way.basis is not Basis.SEEN, tuple(Route).index(way.route)


def _of_level(trajectories: Sequence[Trajectory], level: Level) -> tuple[Trajectory, ...]:
    other = [t.level for t in trajectories if t.level is not level]
    if other:
        raise ValueError(f"a path to {other[0]} does not belong to the model of {level}.")
    return tuple(trajectories)


def _cleft(model: BoneModel, anatomy: Anatomy) -> Mask:
    grid = Volume(np.zeros(model.solid.shape, bool), model.affine, unit="mask")
    return gas_cleft(hu_on(grid, anatomy.ct), body_of(model), model.solid.spacing_mm)


def _told(ways: Sequence[WayOut], accounts: Sequence[Account], cleft: Mask, model: BoneModel) -> tuple[Finding, ...]:
    """What a clinician wants to know before the injection: gaps that were seen, and a cleft."""
    out = [
        Finding(
            Severity.CAUTION,
            f"{model.level}: {w.name} ({a.place}; {a.size}): cement may leave there, {GOES[w.route]}.",
            w.source,
        )
        for w, a in zip(ways, accounts, strict=True)
        if w.basis is Basis.SEEN and w.shape is Shape.OPENING
    ]
    if cleft.any():
        ml = float(cleft.sum()) * model.solid.voxel_mm3 / 1000.0
        text = f"the body of {model.level} has a cleft with {ml:.1f} ml of gas: cement fills it first."
        out.append(Finding(Severity.CAUTION, text))
    return tuple(out)
