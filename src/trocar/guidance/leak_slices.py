"""The leak monitor on slices: CT-fluoroscopy during the injection, compared with the first slices or the planning CT.

A slice shows what a projection hides: cement in front of the body, in the canal, in a foramen. Dense voxels outside the
bone that were not dense before are cement, unless they are a needle's. Only what the slab covers is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.anatomy.vertebra import Vertebra
from trocar.geometry import Line, Pose
from trocar.guidance.carm import AT_REST
from trocar.guidance.frames import Alarm, AlarmKind, Slab
from trocar.guidance.leak_stream import Base, Order
from trocar.guidance.leak_zones import Surroundings, Zone, surroundings
from trocar.measure import Finding, Measure, Severity
from trocar.volume import Volume

#: Cement is what became denser than before by this, HU: PMMA with 30 % barium sulphate has 2000 HU and more, and a
#: third of a voxel of it stands out so (from memory, unverified).
DENSER_HU = 600.0
#: Steel's shadow and streaks: voxels this near to the needle's axis are not judged, mm.
NEEDLE_MM = 3.0
#: Within this of the bone's surface cement counts as inside, mm: the registration's error.
EDGE_MM = 1.0
#: Bone and slab are compared within this of the body, mm.
REACH_MM = 25.0
#: The smallest volume that is told, mm3, and in how many slabs one after another.
LEAST_MM3, SLABS = 8.0, 2
#: What of the slab's noise must stay below the threshold: so many standard deviations.
NOISE_SD = 5.0


@dataclass(frozen=True, eq=False)
class SliceLeak:
    """Cement outside the bone in a slab: its zone, its volume (ml) and its mask ``[k, j, i]`` on the slab's grid."""

    zone: Zone
    volume_ml: float
    mask: NDArray[np.bool_]
    alarm: Alarm


@dataclass(frozen=True, eq=False)
class SliceState:
    """One slab's answer: cement within it, ml, what lies outside the bone, and what it can tell of."""

    number: int
    time_s: float
    source: str
    cement: Measure | None
    leaks: tuple[SliceLeak, ...]
    alarms: tuple[Alarm, ...]
    text: str


class SliceMonitor:
    """Watches one vertebra in slabs of CT-fluoroscopy.

    ``before`` is the planning CT (HU); ``displacement`` takes its coordinates to the live patient. ``needle`` is its
    axis now, LPS, and may be changed at any time. What is held does not grow.
    """

    def __init__(
        self,
        vertebra: Vertebra,
        before: Volume,
        structures: Mapping[str, Volume] | None = None,
        displacement: Pose = AT_REST,
        needle: Line | None = None,
    ) -> None:
        if before.unit != "HU":
            raise ValueError(f"the volume to compare with is in {before.unit!r}: CT-fluoroscopy needs HU.")
        self.vertebra, self.before, self.displacement, self.needle = vertebra, before, displacement, needle
        self.around: Surroundings = surroundings(vertebra, structures, None)
        self._base = Base()
        self._seen: dict[Zone, int] = {}
        self._told: set[Zone] = set()
        self.leaks: tuple[SliceLeak, ...] = ()

    def step(self, slab: Slab) -> SliceState:
        """Judge one slab."""
        fault = self._fault(slab)
        if fault is not None:
            return SliceState(slab.number, slab.time_s, slab.source, None, self.leaks, (fault,), fault.finding.text)
        points = self.displacement.to_local(slab.volume.world_mm(np.moveaxis(np.indices(slab.volume.shape), 0, -1)))
        known = self._known(points)
        denser = self._denser(slab.volume, points, known)
        if denser is None:
            alarm = _alarm(slab, AlarmKind.UNRELIABLE, f"The slices do not show {self.vertebra.level}: move the table.")
            return SliceState(slab.number, slab.time_s, slab.source, None, self.leaks, (alarm,), alarm.finding.text)
        outside = denser & (self._from_bone(slab.volume, points) > EDGE_MM)
        alarms = self._judge(slab, outside, points)
        cement = Measure("cement_in_slices", float(denser.sum()) * slab.volume.voxel_ml, "ml", method="Voxels counted.")
        return SliceState(
            slab.number, slab.time_s, slab.source, cement, self.leaks, tuple(alarms), self._text(slab, known, cement)
        )

    def _fault(self, slab: Slab) -> Alarm | None:
        """What is wrong with the stream."""
        if slab.volume.unit != "HU":
            return _alarm(slab, AlarmKind.CHANGED, f"The slices are in {slab.volume.unit!r}, not in HU.")
        order = self._base.goes_on(slab)
        if order is Order.ASTRAY:
            return _alarm(slab, AlarmKind.OUT_OF_ORDER, "The slices repeat themselves or jump back in time.")
        if not np.isfinite(slab.volume.array).all():
            return _alarm(slab, AlarmKind.UNRELIABLE, "The slices hold values that are no numbers.")
        return None

    def _known(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the planning CT has at each voxel near the body, HU; no number where it has none or it is far off."""
        body = self.vertebra.body.points_mm()
        near = np.all((points > body.min(axis=0) - REACH_MM) & (points < body.max(axis=0) + REACH_MM), axis=-1)
        known = np.full(near.shape, np.nan)
        known[near] = self.before.sample(points[near], outside=np.nan)
        return known

    def _denser(
        self, volume: Volume, points: NDArray[np.float64], known: NDArray[np.float64]
    ) -> NDArray[np.bool_] | None:
        """Voxels that became dense near the body; None where nothing can be compared."""
        near = np.isfinite(known)
        if not near.any():
            return None
        change = np.asarray(volume.array[near], dtype=np.float64) - known[near]
        noise = 1.4826 * float(np.median(np.abs(change - np.median(change))))
        out = np.zeros(volume.shape, dtype=bool)
        out[near] = change > max(DENSER_HU, NOISE_SD * noise)
        if self.needle is not None:
            live = self.displacement.to_world(points)
            out &= self.needle.distance_mm(live) > NEEDLE_MM
        return out

    def _from_bone(self, volume: Volume, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of each voxel from the vertebra's bone, mm; 0 within."""
        bone = self.vertebra.mask.sample(points, order=0) > 0.5
        # what the marrow space's mask leaves open inside the body is bone too
        bone = np.stack([ndimage.binary_fill_holes(b) if b.any() else b for b in bone])
        bone &= ~(self.vertebra.canal.sample(points, order=0) > 0.5)
        if not bone.any():
            return np.full(volume.shape, np.inf)
        return np.asarray(ndimage.distance_transform_edt(~bone, sampling=volume.spacing_mm))

    def _judge(self, slab: Slab, outside: NDArray[np.bool_], points: NDArray[np.float64]) -> list[Alarm]:
        """Regions outside the bone that stay for some slabs are told, each zone once."""
        label, count = ndimage.label(outside, np.ones((3, 3, 3)))
        found: dict[Zone, NDArray[np.bool_]] = {}
        for n in range(1, count + 1):
            region = label == n
            if float(region.sum()) * slab.volume.voxel_ml * 1000.0 >= LEAST_MM3:
                zone = self._zone(points[region])
                found[zone] = found.get(zone, np.zeros_like(region)) | region
        self._seen = {zone: self._seen.get(zone, 0) + 1 for zone in found}
        alarms = []
        for zone, region in found.items():
            if self._seen[zone] >= SLABS and zone not in self._told:
                self._told.add(zone)
                ml = float(region.sum()) * slab.volume.voxel_ml
                alarm = _alarm(slab, AlarmKind.LEAK, f"Stop: cement {zone.value}, {ml:.2f} ml in these slices.")
                self.leaks = (*self.leaks, SliceLeak(zone, ml, region, alarm))
                alarms.append(alarm)
        return alarms

    def _zone(self, points: NDArray[np.float64]) -> Zone:
        zones = self.around.zone_at(points[:: max(1, len(points) // 200)])
        return max(dict.fromkeys(zones), key=zones.count)

    def _text(self, slab: Slab, known: NDArray[np.float64], cement: Measure) -> str:
        if self.leaks:
            return " ".join(leak.alarm.finding.text for leak in self.leaks)
        least = max(LEAST_MM3, slab.volume.voxel_ml * 1000.0) / 1000.0
        along = slab.volume.world_mm(np.argwhere(np.isfinite(known)))[:, 2]
        steel = f" Within {NEEDLE_MM:.0f} mm of the needle nothing is judged." if self.needle is not None else ""
        return (
            f"Cement in these slices: {cement}. Nothing has been seen outside the bone where slices and planning CT"
            f" were compared, {along.min():.0f} to {along.max():.0f} mm along the patient; less than {least:.3f} ml, or"
            f" anything elsewhere, is not seen.{steel}"
        )


def _alarm(slab: Slab, kind: AlarmKind, text: str) -> Alarm:
    severity = Severity.STOP if kind is AlarmKind.LEAK else Severity.CAUTION
    return Alarm(kind, slab.time_s, slab.number, slab.source, Finding(severity, text, kind.value))
