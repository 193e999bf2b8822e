"""How a vertebra is loaded: what is prescribed at its two ends, and what force and moment come back.

The ends are node sets (:func:`end_nodes`): the flat face of a cap, the bone embedded at an endplate, or where a plate
touches. The lower end stands still. The upper end moves as a rigid plate: down along k in :attr:`Load.AXIAL`, or
turned about an axis through the body's modulus-weighted centre in bending.

- Axial load under caps or embedded ends is **glued**: the plate holds its nodes in its plane too, as a testing machine
  does. Under plates it **slides**.
- Bending **slides** by default: only k is prescribed, so that no shear force can arise and the moment is the same at
  every height. A glued plate turned about its own centre would also be held sideways, and a slender beam so held
  answers with four times the moment. The rotation is prescribed and the moment reported. :func:`pure_bending` adds
  the axial displacement that leaves no axial force.

Moments are about the patient's own axes: a positive moment about i bends forward, about j to the left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.vertebra import Part
from trocar.measure import Status
from trocar.mechanics.ends import Endplate, endplates
from trocar.mechanics.model import BoneModel, Ends, Tissue
from trocar.physics.elasticity import Deformation, deform
from trocar.physics.solid import Boundary, Solid, nodes_of

#: Axial compression unless another is asked for, mm: that of the published VerSe models (Bonelab, spineFE-benchmark).
COMPRESSION_MM = 0.2
#: Rotation in bending unless another is asked for, degrees.
ROTATION_DEG = 1.0
#: Embedded endplates are held over this depth of bone.
EMBEDDED_MM = 2.0
#: A plate that has settled on an endplate touches bone up to this far below its highest point (at least one voxel).
TOUCH_MM = 2.0

Bools = NDArray[np.bool_]
Solve = Callable[[Solid, Boundary], Deformation]


class Load(Enum):
    """What is done to the upper end."""

    AXIAL = "axial compression"
    FLEXION = "flexion"
    EXTENSION = "extension"
    BENDING_LEFT = "bending to the left"
    BENDING_RIGHT = "bending to the right"


class Contact(Enum):
    """Whether the ends can move in their plane."""

    GLUED = "glued"
    SLIDING = "sliding"


#: Rotation about (j, i) that each bending is, per unit angle; a positive one about i lowers the front.
_TURN = {
    Load.FLEXION: (0.0, 1.0),
    Load.EXTENSION: (0.0, -1.0),
    Load.BENDING_LEFT: (1.0, 0.0),
    Load.BENDING_RIGHT: (-1.0, 0.0),
}


@dataclass(frozen=True)
class Resultant:
    """What the support does to the body: ``force_n`` along k, j, i and ``moment_n_mm`` about k, j, i.

    The moment is about ``about_mm``, a point (k, j, i) in mm from the corner of the box, and right-handed in the
    patient (left, posterior, superior).
    """

    force_n: tuple[float, float, float]
    moment_n_mm: tuple[float, float, float]
    about_mm: tuple[float, float, float]

    def against(self, load: Load) -> float:
        """The part that works against a load's motion: N for axial compression, N mm for bending; positive."""
        if load is Load.AXIAL:
            return -self.force_n[0]
        about_j, about_i = _TURN[load]
        return about_j * self.moment_n_mm[1] + about_i * self.moment_n_mm[2]


def default_contact(ends: Ends, load: Load) -> Contact:
    """Glued for axial load under caps or embedded ends; otherwise sliding."""
    return Contact.GLUED if load is Load.AXIAL and ends is not Ends.PLATES else Contact.SLIDING


def boundary(
    model: BoneModel, load: Load = Load.AXIAL, amount: float | None = None, *, contact: Contact | None = None
) -> Boundary:
    """What a load prescribes at the ends of a model.

    ``amount`` is the compression in mm (default 0.2) or the rotation in degrees (default 1), of the upper end against
    the lower. ``contact`` overrides :func:`default_contact`.
    """
    top, bottom = end_nodes(model)
    motion = _motion(model, load, _amount(load, amount), top)
    prescribed = Boundary.displace(top, 0, motion[0]) + Boundary.displace(bottom, 0, 0.0)
    if (contact or default_contact(model.ends, load)) is Contact.SLIDING:
        return prescribed + _just_held(bottom)
    for c in (1, 2):
        prescribed += Boundary.displace(top, c, motion[c]) + Boundary.displace(bottom, c, 0.0)
    return prescribed


def end_nodes(model: BoneModel) -> tuple[Bools, Bools]:
    """The nodes ``[k, j, i]`` of the upper and of the lower end."""
    if model.ends is Ends.CAPS:
        return _cap_faces(model.tissue(Tissue.CAP))
    upper, lower = endplates(model.body, model.solid.spacing_mm)
    held = _embedded if model.ends is Ends.EMBEDDED else _touched
    return held(model, upper), held(model, lower)


def centre_mm(model: BoneModel) -> tuple[float, float]:
    """The body's modulus-weighted centre along j and i, mm from the corner of the box."""
    body = (model.parts == Part.BODY) & model.solid.filled
    weight = np.where(body, model.solid.modulus_mpa, 0.0).sum(axis=0, dtype=np.float64)
    _, hj, hi = model.solid.spacing_mm
    j, i = (np.arange(n) + 0.5 for n in weight.shape)
    total = weight.sum()
    return float(hj * (weight.sum(axis=1) @ j) / total), float(hi * (weight.sum(axis=0) @ i) / total)


def resultant(model: BoneModel, deformation: Deformation) -> Resultant:
    """Force and moment of the upper end on the body, about the axis that :func:`boundary` turns it about."""
    top, _ = end_nodes(model)
    about = _pivot(model, top)
    component, node = np.divmod(deformation.boundary.displaced, top.size)
    chosen = top.reshape(-1)[node]
    arm = _places_mm(model.solid, node[chosen]) - np.array(about)
    force = np.zeros((int(chosen.sum()), 3))
    force[np.arange(len(force)), component[chosen]] = deformation.reaction_n[chosen]
    moment = _moment(arm, force)
    k, j, i = force.sum(axis=0)
    return Resultant((float(k), float(j), float(i)), moment, about)


def pure_bending(
    model: BoneModel,
    load: Load,
    degrees: float = ROTATION_DEG,
    *,
    contact: Contact | None = None,
    solve: Solve = deform,
) -> Deformation:
    """Bending without an axial force: a rotation, and the axial displacement that takes its force away.

    Two solves, superposed; the numbers of the second are added to those of the first. Raises ``ValueError`` for
    :attr:`Load.AXIAL`.
    """
    if load is Load.AXIAL:
        raise ValueError("axial compression is no bending: take boundary() for it.")
    held = contact or default_contact(model.ends, load)
    turned = solve(model.solid, boundary(model, load, degrees, contact=held))
    pressed = solve(model.solid, boundary(model, Load.AXIAL, contact=held))
    share = -resultant(model, turned).force_n[0] / resultant(model, pressed).force_n[0]
    return _superposed(turned, pressed, share)


def _superposed(one: Deformation, other: Deformation, share: float) -> Deformation:
    """``one`` + ``share`` times ``other``, which prescribe the same degrees of freedom."""
    mm = one.boundary.displacement_mm + share * other.boundary.displacement_mm
    failed = [d.status for d in (one, other) if d.status is not Status.SUCCESS]
    return replace(
        one,
        boundary=replace(one.boundary, displacement_mm=mm),
        displacement_mm=one.displacement_mm + share * other.displacement_mm,
        reaction_n=one.reaction_n + share * other.reaction_n,
        iterations=one.iterations + other.iterations,
        residual=max(one.residual, other.residual),
        imbalance=max(one.imbalance, other.imbalance),
        status=failed[0] if failed else Status.SUCCESS,
    )


def _amount(load: Load, amount: float | None) -> float:
    """Millimetres or radians."""
    if load is Load.AXIAL:
        return COMPRESSION_MM if amount is None else amount
    return float(np.radians(ROTATION_DEG if amount is None else amount))


def _motion(model: BoneModel, load: Load, amount: float, top: Bools) -> tuple[NDArray[np.float64], ...]:
    """The displacement along k, j, i of a rigid upper end, mm, each broadcastable to the nodes."""
    if load is Load.AXIAL:
        return np.full((1, 1, 1), -amount), np.zeros((1, 1, 1)), np.zeros((1, 1, 1))
    turn_j, turn_i = (amount * share for share in _TURN[load])
    axes = zip(top.shape, model.solid.spacing_mm, _pivot(model, top), strict=True)
    k, j, i = np.meshgrid(*[h * np.arange(n) - c for n, h, c in axes], indexing="ij", sparse=True)
    return turn_i * j - turn_j * i, -turn_i * k, turn_j * k


def _pivot(model: BoneModel, top: Bools) -> tuple[float, float, float]:
    """The point the upper end turns about: the body's centre, at the mean height of the end's nodes; k, j, i in mm."""
    k = np.flatnonzero(top.any(axis=(1, 2)))
    height = float(np.average(k, weights=top.sum(axis=(1, 2))[k]))
    return (model.solid.spacing_mm[0] * height, *centre_mm(model))


def _moment(arm: NDArray[np.float64], force: NDArray[np.float64]) -> tuple[float, float, float]:
    """The sum of arm x force about k, j, i; (i, j, k) is right-handed."""
    moment = np.cross(arm[:, ::-1], force[:, ::-1]).sum(axis=0)[::-1]
    return (float(moment[0]), float(moment[1]), float(moment[2]))


def _places_mm(solid: Solid, node: NDArray[np.int64]) -> NDArray[np.float64]:
    """Places ``(n, 3)`` of flat node numbers along k, j, i, mm from the corner of the box."""
    return np.stack(np.unravel_index(node, solid.nodes), axis=1) * np.array(solid.spacing_mm)


def _cap_faces(caps: Bools) -> tuple[Bools, Bools]:
    """The nodes on the outer faces of the highest and of the lowest layer of cap."""
    layers = np.flatnonzero(caps.any(axis=(1, 2)))
    if not len(layers):
        raise ValueError("the model has no caps, although its ends are PMMA caps: build it with caps.")
    faces = []
    for layer, plane in ((layers[-1], layers[-1] + 1), (layers[0], layers[0])):
        nodes = np.zeros(tuple(n + 1 for n in caps.shape), bool)
        nodes[plane] = nodes_of(caps[layer][None])[0]
        faces.append(nodes)
    return faces[0], faces[1]


def _embedded(model: BoneModel, endplate: Endplate) -> Bools:
    """All nodes of the bone within :data:`EMBEDDED_MM` of an endplate's surface."""
    depth = max(1, round(EMBEDDED_MM / model.solid.spacing_mm[0]))
    k = np.arange(model.solid.shape[0])[:, None, None]
    surface = endplate.surface
    near = (k < surface) & (k >= surface - depth) if endplate.outward > 0 else (k >= surface) & (k < surface + depth)
    return nodes_of(near & endplate.footprint & model.body)


def _touched(model: BoneModel, endplate: Endplate) -> Bools:
    """The nodes on the outer faces of the columns that a settled plate touches."""
    reach = max(TOUCH_MM, model.solid.spacing_mm[0])
    highest = endplate.above_mm[endplate.footprint].max()
    touched = endplate.footprint & (endplate.above_mm > highest - reach)
    nodes = np.zeros(model.solid.nodes, bool)
    for j, i in np.argwhere(touched):
        nodes[endplate.surface[j, i], j : j + 2, i : i + 2] = True
    return nodes


def _just_held(nodes: Bools) -> Boundary:
    """Three supports in the plane that keep a sliding body in place and carry no force.

    The node nearest the middle is held along j and i, and the one farthest from it on its own row along j.
    """
    where = np.argwhere(nodes)
    middle = where[np.argmin(np.sum((where[:, 1:] - where[:, 1:].mean(axis=0)) ** 2, axis=1))]
    aside = where[np.argmax(np.abs(where[:, 2] - middle[2]))]
    anchor, arm = np.zeros((2, *nodes.shape), bool)
    anchor[tuple(middle)] = arm[tuple(aside)] = True
    return Boundary.displace(anchor | arm, 1, 0.0) + Boundary.displace(anchor, 2, 0.0)
