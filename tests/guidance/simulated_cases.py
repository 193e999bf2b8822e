"""A small phantom patient and a needle in it, for the tests of simulated fluoroscopy."""

from __future__ import annotations

from functools import cache

import numpy as np

import trocar
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.phantom import PhantomSpec, phantom
from trocar.geometry import Side
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.neighbourhood import Neighbourhood
from trocar.guidance.scene import Layers, Scene
from trocar.planning.instrument import Needle
from trocar.planning.trajectory import Trajectory

DETECTOR = Detector(256, 256, 1.2, 1.2)


@cache
def patient(mirror: bool = False) -> Anatomy:
    levels = (Level.T12, Level.L1, Level.L2)
    drawn = phantom(PhantomSpec(levels=levels, focus=Level.L1, voxel_mm=(1.5, 1.0, 1.0), noise_hu=0.0, mirror=mirror))
    return trocar.read_anatomy(drawn.labels, on=drawn.ct, scheme="totalseg-v2")


@cache
def near(mirror: bool = False) -> Neighbourhood:
    return Neighbourhood(patient(mirror), Level.L1)


@cache
def scene(mirror: bool = False) -> Scene:
    return Scene.of(patient(mirror), "L1")


@cache
def layers(primary_deg: float = 0.0, mirror: bool = False) -> Layers:
    return Layers.of(scene(mirror), CArm(scene(mirror).centre_mm, primary_deg, detector=DETECTOR), binning=1)


@cache
def path(side: Side = Side.LEFT) -> Trajectory:
    """Along the axis of a pedicle into the middle of the body."""
    vertebra = patient().vertebra("L1")
    axis = vertebra.pedicles[side].axis
    target, entry, skin = axis.at(22.0), axis.at(-12.0), axis.at(-60.0)
    return Trajectory(Level.L1, side, "transpedicular", Needle.of_gauge(11), skin, entry, target)


def local(points_mm: np.ndarray) -> np.ndarray:
    """In the vertebra's own frame."""
    return patient().vertebra("L1").frame.to_local(points_mm)
