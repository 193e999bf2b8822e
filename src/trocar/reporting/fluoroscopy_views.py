"""The fluoroscopic views of a plan: where the C-arm belongs, the simulated image, and what is drawn on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.vertebra import Vertebra
from trocar.geometry import POSTERIOR, Side
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.carm_position import PatientPosition
from trocar.guidance.carm_reach import out_of_reach
from trocar.guidance.checkpoints import Checkpoints, TwoViews, checkpoints
from trocar.guidance.exposure import attenuation
from trocar.guidance.view_drawing import ViewDrawing, draw
from trocar.guidance.views import DetectorAt, PlannedView, down_the_barrel, oblique, true_ap, true_lateral
from trocar.measure import Finding
from trocar.physics.xray import line_integrals
from trocar.planning.access import APPROACHES
from trocar.planning.trajectory import Trajectory
from trocar.reporting.views import CLOSE_MM
from trocar.treatment import Plan
from trocar.volume import Volume

#: Edge of an image at the depth of the vertebra, mm, and its pixels: finer than any CT behind it.
FIELD_MM, DETECTOR_PIXELS = CLOSE_MM, 400
#: What is wider than this is taken off the image by half, mm at the detector: as C-arms do, so that bone shows both
#: over the lung and over the liver.
WIDE_MM, WIDE_SHARE = 16.0, 0.85
#: Shares of the pixels that are black and white, within this share of the image's edge about its middle.
DARKEST, BRIGHTEST, MIDDLE = 0.01, 0.99, 0.6
#: The brightest grey: what is drawn in yellow must show on it.
TOP_GREY = 190.0


@dataclass(frozen=True, eq=False)
class Views:
    """The views of a plan's best option.

    ``barrels`` and ``obliques`` have one entry for the side of each needle, the latter where its pedicle was found;
    ``checked`` are the checkpoints of each.
    """

    plan: Plan
    ap: PlannedView
    lateral: PlannedView
    barrels: dict[Side, PlannedView]
    obliques: dict[Side, PlannedView]
    checked: tuple[Checkpoints, ...]
    findings: tuple[Finding, ...]

    @property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """The needles of the best option."""
        return self.plan.best.trajectories

    @property
    def vertebra(self) -> Vertebra:
        """The vertebra that is looked at."""
        return self.ap.vertebra

    @cached_property
    def canal(self) -> Volume | None:
        """The canal of the labels beside this vertebra, where they have it."""
        canal = self.plan.anatomy.structures.get("spinal_canal")
        return None if canal is None else _beside(canal, self.vertebra)

    def drawing(self, view: PlannedView, trajectories: Sequence[Trajectory] | None = None) -> ViewDrawing:
        """What is drawn on one view: all needles, unless some are given."""
        needles = self.trajectories if trajectories is None else tuple(trajectories)
        return draw(view, needles, self.canal, self.checked[0].views.marks)

    def images(self) -> dict[str, NDArray[np.uint8]]:
        """Simulated images ``[row, column]`` by the view's name: "ap", "lateral", "barrel_left" ..."""
        named = self.named
        wanted = list(named.values())
        volume = attenuation(seen_by([v.arm for v in wanted], self.plan.anatomy.ct))
        return {name: shown(volume, view.arm) for name, view in named.items()}

    @property
    def named(self) -> dict[str, PlannedView]:
        """The views that are shown by name: AP, lateral, down each needle; for a single one the oblique as well."""
        found = {"ap": self.ap, "lateral": self.lateral}
        found |= {f"barrel_{side.value}": view for side, view in self.barrels.items()}
        if len(self.trajectories) == 1:
            found |= {f"oblique_{side.value}": view for side, view in self.obliques.items()}
        return found


def views_of(plan: Plan, arm: CArm | None = None) -> Views | None:
    """The views of a plan's best option; None without images, needle or vertebral body.

    The detector stands on the side that the needles come from, away from the tube, and at the patient's left for the
    lateral. ``arm`` gives other distances and another detector than those of :func:`reporting_arm`.
    """
    if plan.images is None or not plan.options or not plan.best.trajectories:
        return None
    needles = plan.best.trajectories
    vertebra = plan.images.vertebrae.get(needles[0].level)
    if vertebra is None or not vertebra.body.array.any():
        return None
    arm = reporting_arm() if arm is None else arm
    at = DetectorAt.BEHIND if needles[0].direction @ POSTERIOR < 0.0 else DetectorAt.FRONT
    ap, lateral = true_ap(vertebra, at, arm), true_lateral(vertebra, Side.LEFT, arm)
    barrels = {t.side: down_the_barrel(vertebra, t, at, arm) for t in needles}
    obliques = {t.side: oblique(vertebra, t.side, at, arm=arm) for t in needles if t.side in vertebra.pedicles}
    checked = tuple(_checked(plan, vertebra, t, ap, lateral) for t in needles)
    prone = PatientPosition.HFP if at is DetectorAt.BEHIND else PatientPosition.HFS
    reach = (out_of_reach(v.arm, prone) for v in (ap, lateral, *barrels.values()))
    findings = (*(f for c in checked for f in c.findings), *(f for f in reach if f is not None))
    return Views(plan, ap, lateral, barrels, obliques, checked, tuple(dict.fromkeys(findings)))


def reporting_arm() -> CArm:
    """A C-arm whose detector shows :data:`FIELD_MM` at the isocentre."""
    usual = CArm(np.zeros(3))
    pixel = FIELD_MM * usual.magnification / DETECTOR_PIXELS
    return replace(usual, detector=Detector(DETECTOR_PIXELS, DETECTOR_PIXELS, pixel, pixel))


def _checked(
    plan: Plan, vertebra: Vertebra, trajectory: Trajectory, ap: PlannedView, lateral: PlannedView
) -> Checkpoints:
    approach = next((a for a in APPROACHES if a.name == trajectory.approach), None)
    balloon = getattr(plan.procedure, "balloon", None)
    return checkpoints(
        vertebra,
        trajectory,
        plan.anatomy.structures.get("spinal_canal"),
        TwoViews.of(vertebra, trajectory.side, ap, lateral),
        None if approach is None else plan.procedure.margins(approach),
        0.0 if balloon is None else balloon.length_mm,
    )


def _beside(canal: Volume, vertebra: Vertebra) -> Volume:
    """The part of a canal that lies beside one vertebra: the rest would cover its neighbours."""
    height = vertebra.frame.to_local(vertebra.body.points_mm())[:, 2]
    points = vertebra.frame.to_local(canal.points_mm())[:, 2]
    array = canal.array.astype(bool).copy()
    array[array] = (points >= height.min()) & (points <= height.max())
    return replace(canal, array=array)


# --- the image ----------------------------------------------------------------------------------


def seen_by(arms: Sequence[CArm], ct: Volume) -> Volume:
    """The slices of a CT that the beams of some arms pass: what else there is need not be looked at."""
    last = np.array(ct.shape) - 1.0
    touched = []
    for arm in arms:
        rows, columns = arm.detector.shape
        ends = arm.on_detector_mm([[0, 0], [0, columns - 1], [rows - 1, 0], [rows - 1, columns - 1]])
        along = np.linspace(0.0, 1.0, 200)[:, None, None]
        index = ct.index_kji(arm.source_mm + along * (ends - arm.source_mm)).reshape(-1, 3)
        # a corner's ray may pass beside what others meet: sideways the whole width counts
        inside = (index[:, 1] > -0.25 * last[1]) & (index[:, 1] < 1.25 * last[1])
        inside &= (index[:, 2] > -0.25 * last[2]) & (index[:, 2] < 1.25 * last[2])
        touched += [index[inside, 0].min(), index[inside, 0].max()] if inside.any() else [0.0, last[0]]
    low, high = int(np.clip(min(touched) - 2.0, 0.0, last[0])), int(np.clip(max(touched) + 3.0, 1.0, last[0] + 1.0))
    return ct.crop((low, 0, 0), (max(high, low + 1), *ct.shape[1:]))


def shown(volume: Volume, arm: CArm) -> NDArray[np.uint8]:
    """The image a C-arm displays of a volume of attenuation per mm ``[row, column]``: dark where much is in the way.

    Without noise and scatter; what is wide is taken off by half.
    """
    from scipy.ndimage import gaussian_filter

    depth = line_integrals(volume.array, volume.spacing_mm, arm.beam(volume))
    pixel = arm.detector.row_spacing_mm
    flat = depth - WIDE_SHARE * gaussian_filter(depth, WIDE_MM / pixel, mode="nearest")
    rows, columns = (slice(int(n * (1.0 - MIDDLE) / 2.0), int(n * (1.0 + MIDDLE) / 2.0)) for n in flat.shape)
    low, high = np.quantile(flat[rows, columns], (1.0 - BRIGHTEST, 1.0 - DARKEST))
    share = np.clip((flat - low) / max(float(high - low), 1e-6), 0.0, 1.0)
    return np.asarray(TOP_GREY * (1.0 - share), dtype=np.uint8)
