"""Sites of simple shape: the elliptic vertebra of the mechanics tests with a hole in a wall, and runs made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.vertebra import Part
from trocar.injection.medium import Spread
from trocar.injection.run import ROUTES, Run
from trocar.injection.site import Site
from trocar.injection.ways_out import Basis, Route, Shape, WayOut
from trocar.measure import Status
from trocar.mechanics.model import BoneModel
from trocar.physics.cement import CEMENTS
from trocar.physics.porous import Tube

from ..mechanics import body_models as bodies

#: The voxel of these models, mm.
VOXEL_MM = 3.0
#: A tip at the midline in the back of the body, and one near its left wall, mm along k, j, i from the box's corner.
MIDDLE, LEFT = (13.0, 24.0, 24.0), (13.0, 17.0, 37.0)
STILL = Spread(0.0, 0.0, 0.0, 0.0, Spread().marrow_pa_s, 0.0, 0.0, 0.0)


def model() -> BoneModel:
    """Of one density throughout: a wall that is missing leads out of spongy bone."""
    return bodies.vertebra(VOXEL_MM, trabecular=300.0, shell=300.0, caps=0)


def way(model: BoneModel, name: str, route: Route, exits: NDArray[np.bool_], present: float = 1.0) -> WayOut:
    basis = Basis.SEEN if present == 1.0 else Basis.EXPECTED
    nowhere = np.zeros(model.solid.shape, bool)
    return WayOut(name, route, basis, Shape.OPENING, nowhere, exits & (model.parts == Part.BODY), present)


def ways(model: BoneModel, side_present: float = 1.0) -> tuple[WayOut, ...]:
    """A hole in the posterior wall at the midline, and one in the left side wall."""
    _, j, i = np.indices(model.solid.shape)
    body = model.parts == Part.BODY
    back = j == np.flatnonzero(body.any(axis=(0, 2)))[-1]
    left = i == np.flatnonzero(body.any(axis=(0, 1)))[-1]
    wall = way(model, "posterior wall", Route.EPIDURAL, back)
    side = way(model, "left wall", Route.LATERAL, left, side_present)
    return wall, side


def site(**changes: object) -> Site:
    own = model()
    wanted = {"ways": ways(own), "tips_mm": [MIDDLE], "cement": CEMENTS["low viscosity"], "cannula": Tube(1.2, 120.0)}
    return Site(own, **(wanted | {"volume_ml": 4.0, "minutes": 8.0} | changes))  # type: ignore[arg-type]


def mirrored(site: Site) -> Site:
    """The same with left and right exchanged."""
    own = bodies.mirrored(site.model)
    width = own.solid.shape[2] * own.solid.spacing_mm[2]
    over = tuple(replace(w, channel=w.channel[:, :, ::-1], exits=w.exits[:, :, ::-1]) for w in site.ways)
    tips = site.tips_mm * (1.0, 1.0, -1.0) + (0.0, 0.0, width)
    return replace(site, model=own, ways=over, tips_mm=tips)


def made_up(site: Site, seed: int, number: int) -> Run:
    """A run without flow: leaks begin at a random volume and grow evenly, one in ten stops half-way."""
    rng = np.random.default_rng([seed, number])
    nodes, starts = site.nodes_ml, rng.uniform(0.0, 2.0 * site.volume_ml, len(site.ways))
    stopped = rng.random() < 0.1
    end = 0.5 * site.volume_ml if stopped else site.volume_ml
    leaked = np.maximum(np.minimum(nodes, end) - starts[:, None], 0.0) * 0.2
    onset = np.full(len(ROUTES), np.inf)
    for way, start in zip(site.ways, starts, strict=True):
        if start + 0.25 < end:
            onset[ROUTES.index(way.route)] = start + 0.25
    status = Status.INJECTOR_LIMIT if stopped else Status.SUCCESS
    reached = np.packbits(rng.random(site.model.solid.shape) < 0.3)
    seconds = 60.0 / site.rate_ml_min
    return Run(number, status, end, end * seconds, 1e6 * rng.random(), leaked, onset, onset * seconds, reached)
