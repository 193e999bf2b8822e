"""What a loaded vertebra says: stiffness, strength by every criterion, energy, and who carries the load.

Every answer is a :class:`Measure` whose method names the load and the ends, because they move it by per cents. What
the material laws leave open is found by solving again under the others (:func:`variants`, :func:`bounded`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.anatomy.vertebra import Part
from trocar.measure import Measure, Status
from trocar.mechanics.filling import Mask, body_of, inside
from trocar.mechanics.loads import (
    COMPRESSION_MM,
    ROTATION_DEG,
    Contact,
    Load,
    Solve,
    boundary,
    default_contact,
    resultant,
)
from trocar.mechanics.model import SUBSTANCE, BoneModel, Tissue, named_law
from trocar.physics.elasticity import Deformation, deform
from trocar.physics.materials import LAWS, Density
from trocar.physics.strength import Criterion, offset_strength_n, section_rigidity, stiffness_strength_n

#: The force under which strains, displacements and tilts are told, N. Our choice: round, and near body weight.
TOLD_N = 1000.0
#: The share of the body's bone with the highest effective strain is told by its lower end. The share is that of
#: Pistoia W, et al., Bone 30:842-848 (2002); their criterion, fitted to the wrist, is not used for a vertebra.
STRAINED_MOST = 0.02
#: The parts behind the body.
POSTERIOR = (Part.PEDICLE_LEFT, Part.PEDICLE_RIGHT, Part.ARCH)
#: Load share is told over this share of the body's height, around its middle.
MIDDLE_SHARE = 1.0 / 3.0


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model under a load: ``amount`` is mm of compression, or degrees of rotation."""

    model: BoneModel
    load: Load
    amount: float
    contact: Contact
    deformation: Deformation

    @property
    def status(self) -> Status:
        """How the solve ended."""
        return self.deformation.status

    @property
    def resistance(self) -> float:
        """What the vertebra answers with: N against compression, N mm against rotation."""
        return resultant(self.model, self.deformation).against(self.load)

    @property
    def stiffness(self) -> float:
        """N/mm against compression, N mm per degree against rotation."""
        return self.resistance / self.amount

    @property
    def condition(self) -> str:
        """The load and the ends in words, for the method of a measure."""
        unit = "mm" if self.load is Load.AXIAL else "degrees"
        ends = f"{self.model.ends.value}, {self.contact.value}"
        return f"{self.load.value.capitalize()} of {self.amount:g} {unit} between {ends} ends; {self.model.law}."


def press(
    model: BoneModel,
    load: Load = Load.AXIAL,
    amount: float | None = None,
    *,
    contact: Contact | None = None,
    solve: Solve = deform,
) -> Loaded:
    """Load a model and solve; ``amount`` is mm of compression (default 0.2) or degrees (default 1)."""
    given = (COMPRESSION_MM if load is Load.AXIAL else ROTATION_DEG) if amount is None else amount
    if not (np.isfinite(given) and given > 0.0):
        raise ValueError(f"amount={given} of {load.value} must be positive.")
    held = contact or default_contact(model.ends, load)
    return Loaded(model, load, given, held, solve(model.solid, boundary(model, load, given, contact=held)))


def stiffness(loaded: Loaded) -> Measure:
    """Resistance over motion: N/mm in compression, N m per degree in bending."""
    if loaded.load is Load.AXIAL:
        return Measure("stiffness", loaded.stiffness, "N/mm", method=loaded.condition)
    return Measure("bending_stiffness", loaded.stiffness / 1000.0, "N.m/deg", method=loaded.condition)


def strengths(loaded: Loaded, curve: tuple[ArrayLike, ArrayLike] | None = None) -> tuple[Measure, ...]:
    """The load the vertebra bears, by every criterion that can be read, side by side.

    From the stiffness and from the weakest section always; by the 0.2 % offset where ``curve`` (displacement in mm and
    load in N, compression positive, of the same model with plastic bone) is given and meets the line.
    """
    if loaded.load is not Load.AXIAL:
        raise ValueError(f"strength is read from axial compression, not from {loaded.load.value}.")
    height = height_mm(loaded.model)
    section = section_rigidity(loaded.model.solid, body_of(loaded.model)).strength_n()
    found = {
        Criterion.STIFFNESS: stiffness_strength_n(loaded.stiffness, height),
        Criterion.SECTION: section,
        Criterion.OFFSET: None if curve is None else offset_strength_n(*curve, loaded.stiffness, height),
    }
    return tuple(
        Measure(f"strength_{c.name.lower()}", n, "N", method=f"By {c.value}. {loaded.condition}")
        for c, n in found.items()
        if n is not None
    )


def height_mm(model: BoneModel) -> float:
    """Height of the body without caps: the mean of its columns, those at the rim left out.

    The mean, because a median of whole voxels jumps by one when the grid is turned a little.
    """
    body = body_of(model)
    columns = body.sum(axis=0)
    return float(np.mean(columns[columns > 0.5 * columns.max()])) * model.solid.spacing_mm[0]


def strain_energy(loaded: Loaded) -> Measure:
    """The work that the load did, mJ."""
    done = 0.5 * float(loaded.deformation.reaction_n @ loaded.deformation.boundary.displacement_mm)
    return Measure("strain_energy", done, "mJ", method=loaded.condition)


def strained_most(loaded: Loaded, force_n: float = TOLD_N) -> Measure:
    """The effective strain that 2 % of the body's bone exceed under a force, %.

    Effective strain: the uniaxial strain that stores the same energy. Pistoia W, et al. Bone 2002;30(6):842-848.
    """
    bone = loaded.model.body & loaded.model.tissue(Tissue.BONE)
    strain = loaded.deformation.effective_strain[bone].astype(np.float64) * abs(force_n / loaded.resistance)
    value = 100.0 * float(np.quantile(strain, 1.0 - STRAINED_MOST))
    method = f"Exceeded by {100 * STRAINED_MOST:g} % of the bone of the body at {force_n:g} N. {loaded.condition}"
    return Measure("effective_strain", value, "%", method=method)


@dataclass(frozen=True, eq=False)
class LoadShare:
    """Who carries the axial force: ``force_n[k]`` in every layer for each carrier; compression is positive.

    In each layer the forces of all carriers add up to the load.
    """

    force_n: dict[str, NDArray[np.float64]]
    middle: NDArray[np.bool_]

    def percent(self, carrier: str) -> float:
        """Share of the load that a carrier takes in the middle third of the body's height."""
        whole = sum(float(f[self.middle].sum()) for f in self.force_n.values())
        return 100.0 * float(self.force_n[carrier][self.middle].sum()) / whole

    def measures(self) -> tuple[Measure, ...]:
        """The shares of the carriers that there are."""
        how = "Share of the axial force in the middle third of the body's height, from the stress in every voxel."
        there = (c for c, f in self.force_n.items() if np.any(f[self.middle]))
        return tuple(Measure(f"load_share_{c.replace(' ', '_')}", self.percent(c), "%", method=how) for c in there)


def load_share(loaded: Loaded) -> LoadShare:
    """The axial force in every layer, by what carries it.

    The stress at an element's middle is its mean over the element, so that the layers add up to the load as well as
    that is solved. The shell is the bone of the body up to 2 mm under its surface, endplates included.
    """
    stress, (_, h_j, h_i) = loaded.deformation.stress_mpa[0], loaded.model.solid.spacing_mm
    force = {c: -stress.sum(axis=(1, 2), where=where, dtype=np.float64) for c, where in carriers(loaded.model).items()}
    body = np.flatnonzero(body_of(loaded.model).any(axis=(1, 2)))
    middle, half = 0.5 * (body[0] + body[-1]), 0.5 * MIDDLE_SHARE * len(body)
    layers = np.arange(loaded.model.solid.shape[0])
    return LoadShare({c: h_j * h_i * f for c, f in force.items()}, np.abs(layers - middle) <= half)


def carriers(model: BoneModel) -> dict[str, Mask]:
    """What can carry load, by name; every filled voxel belongs to one ("other": caps, discs, a neighbour's bone)."""
    bone, body = model.tissue(Tissue.BONE), model.parts == Part.BODY
    shell = bone & body & ~inside(model)
    out = {
        "shell": shell,
        "trabecular bone": bone & body & ~shell,
        "posterior elements": bone & np.isin(model.parts, POSTERIOR),
        "cement": model.tissue(Tissue.CEMENT),
        "tumour": model.tissue(Tissue.TUMOUR),
    }
    out["other"] = model.solid.filled & ~np.logical_or.reduce(list(out.values()))
    return out


def under_law(model: BoneModel, law: str) -> BoneModel:
    """The model with its bone's moduli and yield stresses by another law; what a scenario changed stays changed."""
    old, new = (named_law(name) for name in (model.law, law))
    bone, solid = model.tissue(Tissue.BONE), model.solid
    before, after = (named.evaluate(model.density_g_cc[bone], Density.K2HPO4) for named in (old, new))
    modulus = solid.modulus_mpa.copy()
    modulus[bone] *= after[0] / before[0]
    yields = None if solid.yield_mpa is None else solid.yield_mpa.copy()
    if yields is not None:
        yields[bone] *= after[1] / before[1]
    laws = (new.material, *solid.materials[1:])
    return replace(model, law=law, solid=replace(solid, modulus_mpa=modulus, yield_mpa=yields, materials=laws))


def variants(model: BoneModel) -> dict[str, BoneModel]:
    """The model under every other law of standardised tests, and with cement and tumour at their published limits.

    One thing at a time; the names say which.
    """
    out = {law.name: under_law(model, law.name) for law in LAWS.values() if law.standardised and law.name != model.law}
    for tissue in (Tissue.CEMENT, Tissue.TUMOUR):
        substance, where = SUBSTANCE[tissue], model.tissue(tissue)
        for limit in (substance.range_mpa.low, substance.range_mpa.high) if where.any() else ():
            scaled = np.where(where, model.solid.modulus_mpa * limit / substance.modulus_mpa, model.solid.modulus_mpa)
            solid = replace(model.solid, modulus_mpa=scaled.astype(np.float32))
            out[f"{substance.name} {limit:g} MPa"] = replace(model, solid=solid)
    return out


def bounded(best: Sequence[Measure], others: Iterable[Sequence[Measure]], interval: str) -> tuple[Measure, ...]:
    """``best`` with the lowest and highest value of each measure among itself and the ``others``, by name.

    A measure that no other has stays without an interval.
    """
    values = {m.name: [m.value] for m in best}
    for measures in others:
        for m in measures:
            values.get(m.name, []).append(m.value)
    return tuple(_between(m, values[m.name], interval) for m in best)


def _between(measure: Measure, values: list[float], interval: str) -> Measure:
    if len(values) < 2:
        return measure
    return replace(measure, low=min(values), high=max(values), interval=interval)


def spread_text(others: Iterable[str]) -> str:
    """What the bounds of an interval mean."""
    return "lowest and highest under " + ", ".join(others)
