"""A planned injection as it would be seen: films of a true AP and a true lateral, with or without a leak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from trocar.geometry import Side
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.cement_inside import flowed
from trocar.guidance.exposure import Technique
from trocar.guidance.scene import Layers, Scene
from trocar.guidance.script import Injecting, Leak, Script, drawn
from trocar.guidance.simulated import Fluoroscopy, simulate_fluoroscopy
from trocar.guidance.truth import Truth
from trocar.guidance.views import DetectorAt, true_ap, true_lateral
from trocar.injection.routes import Route
from trocar.measure import Range
from trocar.treatment import Plan, Simulation

#: A flat detector of 30 cm, 1024 x 1024 pixels, on a usual C-arm.
USUAL_ARM = CArm(np.zeros(3), detector=Detector(1024, 1024, 0.3, 0.3))
#: How a person calls a leak, and its route.
LEAKS: dict[str, Route] = {
    "disc": Route.DISC,
    "canal": Route.EPIDURAL,
    "foramen": Route.FORAMINAL,
    "front": Route.ANTERIOR,
    "side": Route.LATERAL,
    "vessel": Route.VENOUS,
    "tract": Route.TRACT,
}
#: Cement of a film without a flow model, and when the leak that was asked for begins, ml; seconds before the cement.
USUAL_ML, AFTER_ML, BEFORE_S = 3.0, 0.8, 2.0
#: How long such a film may be.
DURATION = Range(8.0, 3600.0, "s")
_S_PER_MIN = 60.0


@dataclass(frozen=True, eq=False)
class SimulatedCase:
    """Films by the name of their view: "ap" and "lateral"; each is made frame by frame while it is iterated over."""

    films: Mapping[str, Fluoroscopy]

    @property
    def script(self) -> Script:
        """What happens in all of them."""
        return next(iter(self.films.values())).script

    @property
    def truths(self) -> dict[str, Truth]:
        """What truly happens, by view."""
        return {name: film.truth for name, film in self.films.items()}


def simulated_case(
    plan: Plan,
    leak: Route | None = None,
    seed: int = 0,
    *,
    simulation: Simulation | None = None,
    leak_ml: float = 0.6,
    side: Side | None = None,
    duration_s: float = 16.0,
    disturbances: int = 2,
    technique: Technique | None = None,
    arm: CArm = USUAL_ARM,
) -> SimulatedCase:
    """Films of a plan's best option in a true AP (detector behind) and a true lateral (at the left).

    Cement comes from ``simulation`` (its own leaks included) or from the quick stand-in; with ``leak`` there is a leak
    of ``leak_ml`` by that route besides, in place of one that the flow model has there. Either is played so fast that
    it is over with the film. Breathing and ``disturbances`` are drawn from ``seed``. Only the option's first needle is
    shown. Raises ``ValueError`` for a plan without images or needle, :class:`trocar.errors.SimulationError` for a leak
    that this anatomy has no room for.
    """
    if not plan.options:
        raise ValueError("this plan has no needle path: there is nothing to show.")
    DURATION.check("duration_s", duration_s, "a film")
    path = plan.best.trajectories[0]
    inside, injecting, leaks = (None, Injecting(ml=USUAL_ML), ()) if simulation is None else flowed(simulation)
    pace = _S_PER_MIN * injecting.ml / (duration_s - 2.0 * BEFORE_S)
    injecting = replace(injecting, start_s=BEFORE_S, rate_ml_min=pace)
    if leak is not None:
        asked = Leak(leak, min(AFTER_ML, 0.3 * injecting.ml), leak_ml, 0.5, side)
        leaks = (*(found for found in leaks if found.route is not leak), asked)
    script = drawn(np.random.default_rng(seed), leaks, duration_s, disturbances, injecting)
    how = technique or Technique()
    scene = Scene.of(plan.anatomy, path.level, how)
    vertebra = scene.near.vertebra
    views = {
        "ap": true_ap(vertebra, DetectorAt.BEHIND, arm).arm,
        "lateral": true_lateral(vertebra, Side.LEFT, arm).arm,
    }
    films = {
        name: simulate_fluoroscopy(Layers.of(scene, view), script, how, seed, path=path, inside=inside, source=name)
        for name, view in views.items()
    }
    return SimulatedCase(films)
