"""A simulated injection, not solved but drawn, so that what is told of it is known: more to one side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import distance_transform_edt

from trocar.geometry import Side
from trocar.measure import Finding, Measure, Severity, Status, Topic
from trocar.treatment import Plan, Simulation
from trocar.volume import Volume

VOXEL_MM = 1.5
INJECTED_ML = 4.0
#: How much farther the cement runs to one side than to the other.
ASIDE = 2.0
#: From so much on, a drop lies in the canal.
LEAKS_FROM_ML = 2.9
#: Of a voxel of bone, what cement fills.
PORES = 0.85
ENSEMBLE = "95 %"


def make_injected(plan: Plan, side: Side = Side.LEFT) -> Simulation:
    """Everything that a report can tell of cement, on a grid in the vertebra's own frame; more on one side."""
    arrival = make_arrival(plan, side)
    body = make_grid(plan)[0]
    cement = arrival.array > 0.0
    beyond = np.where(cement, arrival.array, 1.4 * INJECTED_ML)
    reach = np.where(body, 1.0 / (1.0 + np.exp(2.0 * (beyond - 0.8 * INJECTED_ML))), 0.0)
    warm = 37.0 + 25.0 * np.exp(-distance_transform_edt(~cement, sampling=VOXEL_MM) / 4.0)
    volumes = {
        "temperature_peak": Volume(warm.astype(np.float32), arrival.affine, arrival.frame_of_reference, "Cel"),
        "cement": Volume(cement, arrival.affine, arrival.frame_of_reference, "mask"),
        "cement_arrival": arrival,
        "cement_reach": Volume(reach.astype(np.float32), arrival.affine, arrival.frame_of_reference, "1"),
    }
    return Simulation(
        plan, Status.SUCCESS, volumes, make_series(), make_measures(), make_findings(), ("A book (2001).",)
    )


def make_grid(plan: Plan) -> tuple[np.ndarray, np.ndarray, Volume]:
    """Body and canal on a grid about the vertebra's origin, and that grid."""
    vertebra = plan.anatomy.vertebra(plan.procedure.level)
    half = np.array([14, 26, 24])
    affine = np.eye(4)
    affine[:3, :3] = vertebra.frame.axes * VOXEL_MM
    affine[:3, 3] = vertebra.frame.origin_mm - affine[:3, :3] @ half[::-1]
    grid = Volume(np.zeros(tuple(2 * half + 1), bool), affine, plan.anatomy.ct.frame_of_reference, "mask")
    body, canal = (part.onto(grid).array.astype(bool) for part in (vertebra.body, vertebra.canal))
    return body, canal, grid


def make_arrival(plan: Plan, side: Side = Side.LEFT) -> Volume:
    """An ellipsoid about the tip, longer towards one side; late on, a drop on that side of the canal."""
    vertebra = plan.anatomy.vertebra(plan.procedure.level)
    body, canal, grid = make_grid(plan)
    at = vertebra.frame.to_local(grid.world_mm(np.moveaxis(np.indices(grid.shape), 0, -1)))
    tip = vertebra.frame.to_local(plan.best.trajectories[0].target_mm)
    away = at - tip
    away[..., 0] /= np.where(side.sign * away[..., 0] > 0.0, ASIDE, 1.0)
    order = np.argsort(np.where(body, np.linalg.norm(away, axis=-1), np.inf), axis=None)[: int(body.sum())]
    arrival = np.zeros(grid.shape, np.float32)
    arrival.flat[order] = PORES * grid.voxel_ml * (np.arange(len(order)) + 1.0)
    arrival[arrival > INJECTED_ML] = 0.0
    aside = side.sign * at[..., 0]
    arrival[canal & (aside > 2.0) & (aside < 9.0) & (np.abs(at[..., 2] - tip[2]) < 5.0)] = LEAKS_FROM_ML
    return replace(grid, array=arrival, unit="mL")


def make_series() -> dict[str, dict[str, list[object]]]:
    """Curves and tables of the injection, the ensemble, the heat and the paste."""
    ml = np.linspace(0.0, INJECTED_ML, 41)
    minutes = np.linspace(0.0, 16.0, 65)
    after = np.linspace(0.0, 30.0, 61)
    rise = {"canal": 3.5, "posterior_wall": 9.5, "superior_endplate": 17.0, "tumour_rim": 22.0}
    warm = (after / 6.0) * np.exp(1.0 - after / 6.0)
    risk = {"any": 0.34, "disc": 0.21, "epidural": 0.12, "venous": 0.07}
    volume = np.linspace(0.0, INJECTED_ML, 25)
    return {
        "injection": {
            "time_s": (30.0 * ml).tolist(),
            "injected_ml": ml.tolist(),
            "tip_kpa": (60.0 + 14.0 * ml**2).tolist(),
            "driving_kpa": (400.0 + 130.0 * ml**1.5).tolist(),
            "viscosity_pa_s": (60.0 * np.exp(0.35 * ml)).tolist(),
            "leaked_ml": np.maximum(0.0, 0.2 * (ml - 2.9)).tolist(),
        },
        "leaks": {
            "way": ["gap in the posterior wall"],
            "leads_to": ["epidural"],
            "leaked_ml": [0.22],
            "starts_at_ml": [2.9],
            "starts_at_s": [87.0],
        },
        "ways_out": {
            "way": ["basivertebral foramen", "gap in the posterior wall", "crack in the upper endplate"],
            "leads_to": ["epidural", "epidural", "disc"],
            "place": ["middle of the back", "left", "left"],
            "basis": ["expected from published frequency", "seen in the images", "expected from published frequency"],
            "present_percent": [100.0, 100.0, 24.0],
            "size": ["radius 1.1 mm", "31 mm²", "width 0.6 mm"],
            "distance_to_tip_mm": [12.3, 15.1, 10.4],
            "source": ["Antonacci 1998", "CT of this patient", "Lin 2004"],
        },
        "leak_risk": {
            "volume_ml": volume.tolist(),
            **{n: (top / (1.0 + np.exp(-1.8 * (volume - 2.8)))).tolist() for n, top in risk.items()},
        },
        "leak_changes": {
            "change": ["as planned", "2.5 mL instead of 4.0 mL", "tip 5 mm forward", "wait 2 min more"],
            "any_percent": [31.0, 15.0, 24.0, 22.0],
            "epidural_percent": [11.0, 4.0, 6.0, 7.0],
            "disc_percent": [19.0, 9.0, 17.0, 13.0],
            "venous_percent": [6.0, 3.0, 5.0, 3.0],
            "difference_points": [0.0, -16.0, -7.0, -9.0],
            "low": [0.0, -25.0, -15.0, -17.0],
            "high": [0.0, -7.0, 2.0, -1.0],
            "cement_ml_median": [3.9, 2.5, 3.9, 3.9],
        },
        "heating": {
            "time_min": after.tolist(),
            **{n: (37.0 + top * warm).tolist() for n, top in rise.items()},
        },
        "viscosity": {"minutes": minutes.tolist(), "pa_s": (20.0 * np.exp(0.42 * minutes)).tolist()},
    }  # fmt: skip


def make_measures() -> tuple[Measure, ...]:
    """The numbers that go with them, and one answer of the loaded bone."""
    share = {"any": (0.31, 0.22, 0.41), "epidural": (0.11, 0.06, 0.18), "disc": (0.19, 0.12, 0.28),
             "venous": (0.06, 0.02, 0.13), "arterial": (0.0, 0.0, 0.04)}  # fmt: skip
    published = {"any": (0.33, 0.27, 0.40, "118 of 357 vertebrae"), "disc": (0.21, 0.12, 0.25, "80 of 381 vertebrae")}
    heat = {"canal": (40.5, 0.0, 0.0, 0.6), "posterior_wall": (46.5, 4.1, 0.0, 31.0),
            "superior_endplate": (54.0, 12.5, 6.3, 1000.0)}  # fmt: skip
    leaking, capped = "5 to 95 % of the leaking draws", "Warmest voxel. Told up to 1000 min."
    return (
        Measure("cement_volume", 3.8, "mL", method="In the vertebra at the end of the planned injection"),
        Measure("fill_share", 14.2, "%", method="Of the volume of the vertebral body"),
        *(Measure(f"leak_probability_{n}", v, "1", lo, hi, ENSEMBLE) for n, (v, lo, hi) in share.items()),
        Measure("leak_volume_epidural", 0.22, "mL", 0.05, 0.6, leaking),
        Measure("leak_onset_volume_epidural", 2.9, "mL", 2.1, 3.8, leaking),
        Measure("leak_onset_epidural", 87.0, "s", 60.0, 110.0, leaking),
        Measure("leak_stop_volume_epidural", 3.1, "mL", method="Where the probability passes 5 %"),
        *(
            Measure(f"leak_rate_{n}_published", v, "1", lo, hi, "lowest and highest series", method)
            for n, (v, lo, hi, method) in published.items()
        ),
        Measure("injection_start", 6.5, "min", method="Since mixing."),
        Measure("injection_time", 2.0, "min", method="At 2 ml a minute."),
        Measure("cement_planned", 4.0, "mL", method="What should go in, all needles together."),
        Measure("cement_injected", 4.0, "mL", method="Through all needles together."),
        Measure("injection_pressure_peak", 1440.0, "kPa", method="Before the cannula, every unknown at its middle."),
        Measure("tip_pressure_peak", 284.0, "kPa", method="At the needle's tip, every unknown at its middle."),
        Measure(
            "injection_pressure_over_draws",
            1500.0,
            "kPa",
            900.0,
            2300.0,
            "5 to 95 % of the draws",
            "Before the cannula.",
        ),
        Measure(
            "injection_unfinished_probability",
            0.02,
            "1",
            0.005,
            0.07,
            "95 %",
            "More than 5 MPa would have been needed.",
        ),
        Measure(
            "working_window_start",
            5.5,
            "min",
            method="Since mixing; medium viscosity cement, mixed and waiting at 21 degC.",
        ),
        Measure(
            "working_window_end",
            12.0,
            "min",
            method="Since mixing; medium viscosity cement, mixed and waiting at 21 degC.",
        ),
        Measure("cement_off_centre_left", 6.4, "mm", method="Centroid from the middle of the body"),
        Measure("cement_off_centre_posterior", -2.1, "mm", method="Centroid from the middle of the body"),
        Measure("cement_off_centre_superior", 0.3, "mm", method="Centroid from the middle of the body"),
        Measure("cement_beyond_midline", 21.0, "%", method="Of the cement, on the side away from the needle"),
        Measure("cement_to_posterior_wall", 4.6, "mm", 3.9, 5.3, "voxel"),
        Measure("cement_on_superior_endplate", 122.0, "mm2"),
        Measure("heating_peak", 71.2, "Cel"),
        *(
            m
            for n, (peak, over_45, over_50, dose) in heat.items()
            for m in (
                Measure(f"heating_{n}_peak", peak, "Cel"),
                Measure(f"heating_{n}_above_45_c", over_45, "min"),
                Measure(f"heating_{n}_above_50_c", over_50, "min"),
                Measure(f"heating_{n}_cem43", dose, "min", method=capped if dose == 1000.0 else ""),
            )
        ),
        Measure("heating_tumour_rim_cem43", 412.0, "min", 38.0, 1000.0, "10 to 90 % of the rim"),
        Measure("stiffness_as_is", 9000.0, "N/mm", method="Axial; a law."),
        Measure("stiffness_augmented", 11000.0, "N/mm", method="Axial; a law."),
        Measure("tilt_forward_as_is", 0.1, "deg"),
    )


def make_findings() -> tuple[Finding, ...]:
    """One of the cement's way, one of the loaded bone."""
    return (
        Finding(
            Severity.CAUTION,
            "Stop at 3.1 mL: the epidural probability passes 5 % there.",
            "the posterior wall has a gap of 31 mm2",
            Topic.CEMENT,
        ),
        Finding(Severity.NOTE, "No phantom was scanned: density rests on fat and muscle.", "internal calibration"),
    )
