"""A vertebra of blocks and tubes in a box of flesh, small enough to reckon with by hand.

The body is 44 wide, 32 deep, 26 high with its centre at the origin; the canal is a tube of radius 8
behind it, the pedicles are elliptic bars from the body to a posterior ring, the skin is a flat plane
70 mm behind the centre.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Heights, Part, Pedicle, Vertebra
from trocar.geometry import Line, Plane, Pose, Side, unit
from trocar.measure import Measure
from trocar.volume import Volume

BACK_MM, SKIN_MM = 16.0, 70.0
PEDICLE_X_MM, PEDICLE_Z_MM = 14.0, 4.0
CANAL_R_MM = 8.0


def grid(voxel_mm=(1.0, 1.0, 1.0), sideways=96, forward=50, backward=80, updown=36, shift=(0.0, 0.0, 0.0)):
    """A HU volume of zeros around the origin, symmetric in the left-right direction."""
    half = np.array([sideways, 0, updown])
    low = np.array([-half[0], -forward, -half[2]], dtype=float)
    high = np.array([half[0], backward, half[2]], dtype=float)
    size = np.array(voxel_mm[::-1])
    n = np.round((high - low) / size).astype(int)
    affine = np.diag([*size, 1.0])
    affine[:3, 3] = low + size / 2 + shift
    return Volume(np.zeros(n[::-1], np.int16), affine, "1.2.3", "HU")


def vertebra(ct, level=Level.L3, width=12.0, height=16.0, angle_deg=12.0, side_shift=0.0):
    """The block vertebra on the CT's grid."""
    p = ct.world_mm(np.stack(np.meshgrid(*[np.arange(n) for n in ct.shape], indexing="ij"), axis=-1))
    x, y, z = p[..., 0], p[..., 1], p[..., 2]
    body = (np.abs(x) <= 22) & (np.abs(y) <= BACK_MM) & (np.abs(z) <= 13)
    canal = (x**2 + (y - BACK_MM - CANAL_R_MM) ** 2 <= CANAL_R_MM**2) & (np.abs(z) <= 13)
    parts = np.zeros(ct.shape, np.uint8)
    ring = (np.hypot(x, y - BACK_MM - CANAL_R_MM) <= CANAL_R_MM + 5) & (y > BACK_MM + CANAL_R_MM) & (z < 12) & (z > -10)
    mass = (np.abs(np.abs(x) - 19) <= 9) & (np.abs(y - 31) <= 6) & (np.abs(z - PEDICLE_Z_MM) <= 9)
    parts[ring | mass] = Part.ARCH
    pedicles = {}
    for side in Side:
        centre = np.array([side.sign * PEDICLE_X_MM, BACK_MM + 6.0, PEDICLE_Z_MM])
        turn = np.radians(angle_deg)
        way = unit([-side.sign * np.sin(turn), -np.cos(turn), 0.0])
        d = p - centre
        along = d @ way
        across = np.hypot(d[..., 0] - along * way[0], d[..., 1] - along * way[1])
        bar = ((across / (width / 2)) ** 2 + (d[..., 2] / (height / 2)) ** 2 <= 1) & (np.abs(along) <= 10)
        parts[bar & (parts == 0)] = Part.PEDICLE_LEFT if side is Side.LEFT else Part.PEDICLE_RIGHT
        mm = [Measure(n, v, u) for n, v, u in (("width", width, "mm"), ("height", height, "mm"),
              ("transverse", angle_deg, "deg"), ("sagittal", 0.0, "deg"))]  # fmt: skip
        pedicles[side] = Pedicle(side, Line(centre, way), *mm)
    parts[body] = Part.BODY
    parts[canal] = Part.CANAL
    mask = Volume((parts > 0) & (parts != Part.CANAL), ct.affine, ct.frame_of_reference, "mask")
    parts = Volume(parts, ct.affine, ct.frame_of_reference, "label")
    plates = {"superior": Plane([0, 0, 13.0], [0, 0, 1.0]), "inferior": Plane([0, 0, -13.0], [0, 0, -1.0])}
    h = [Measure(n, 26.0, "mm") for n in ("anterior", "middle", "posterior")]
    return Vertebra(level, mask, parts, Pose([0.0, 0.0, 0.0], np.eye(3)), pedicles, plates, Heights(*h))


def patient(ct=None, structures=None, level=Level.L3, skin_mm=SKIN_MM, **shape):
    """One block vertebra, flesh up to a flat back, and further masks ``{name: predicate(x, y, z)}``."""
    ct = ct or grid()
    p = ct.world_mm(np.stack(np.meshgrid(*[np.arange(n) for n in ct.shape], indexing="ij"), axis=-1))
    xyz = (p[..., 0], p[..., 1], p[..., 2])
    masks = {n: Volume(f(*xyz), ct.affine, ct.frame_of_reference, "mask") for n, f in (structures or {}).items()}
    skin = Volume(xyz[1] <= skin_mm, ct.affine, ct.frame_of_reference, "mask")
    return Anatomy(ct, {level: vertebra(ct, level, **shape)}, masks, skin)


def _swapped(parts):
    out = parts.copy()
    out[parts == Part.PEDICLE_LEFT] = Part.PEDICLE_RIGHT
    out[parts == Part.PEDICLE_RIGHT] = Part.PEDICLE_LEFT
    return out


def mirrored(anatomy):
    """The same patient in a mirror: left and right exchanged, on a grid whose middle is at x = 0."""
    flip = np.array([-1.0, 1.0, 1.0])

    def volume(v, change=lambda a: a):
        return replace(v, array=np.ascontiguousarray(change(v.array)[:, :, ::-1]))

    def bone(v):
        pedicles = {
            s.other: replace(p, side=s.other, axis=Line(p.axis.point_mm * flip, p.axis.direction * flip))
            for s, p in v.pedicles.items()
        }
        plates = {n: Plane(p.point_mm * flip, p.normal * flip) for n, p in v.endplates.items()}
        return replace(v, mask=volume(v.mask), parts=volume(v.parts, _swapped), pedicles=pedicles, endplates=plates)

    return replace(
        anatomy,
        ct=volume(anatomy.ct),
        vertebrae={n: bone(v) for n, v in anatomy.vertebrae.items()},
        structures={n: volume(v) for n, v in anatomy.structures.items()},
        skin=volume(anatomy.skin),
    )


def moved(anatomy, pose):
    """The same patient elsewhere: every affine, plane, line and frame carried by ``pose``."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = pose.axes, pose.origin_mm

    def volume(v):
        return replace(v, affine=matrix @ v.affine)

    def bone(v):
        pedicles = {
            s: replace(p, axis=Line(pose.to_world(p.axis.point_mm), pose.axes @ p.axis.direction))
            for s, p in v.pedicles.items()
        }
        plates = {n: Plane(pose.to_world(p.point_mm), pose.axes @ p.normal) for n, p in v.endplates.items()}
        frame = Pose(pose.to_world(v.frame.origin_mm), pose.axes @ v.frame.axes)
        return replace(v, mask=volume(v.mask), parts=volume(v.parts), frame=frame, pedicles=pedicles, endplates=plates)

    return replace(
        anatomy,
        ct=volume(anatomy.ct),
        vertebrae={n: bone(v) for n, v in anatomy.vertebrae.items()},
        structures={n: volume(v) for n, v in anatomy.structures.items()},
        skin=volume(anatomy.skin),
    )
