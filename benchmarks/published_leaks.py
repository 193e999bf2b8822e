"""How often the model leaks and where to, beside what has been published; and what changes it, beside experiments.

    python benchmarks/published_leaks.py [--quick] [--json]

Prints the tables of docs/published_leaks.md. Vertebrae: T10 to L1 of the scan at ../shared/data (healthy bone; left out
where it is not there), and L1 of phantoms: sparse bone, a wedge fracture, the same with a cleft, a biconcave fracture,
and lytic lesions. Every table names its draws; what is compared within a table shares them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import trocar
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.phantom import Fracture, PhantomLesion, PhantomSpec, phantom
from trocar.injection.ensemble import run
from trocar.injection.heat_site import Region, heat_site
from trocar.injection.heat_source import cement_after
from trocar.injection.heating import heating
from trocar.injection.leak_series import ANY, BESIDE, CANAL, CORCOS, DISC, RATES, TANG_CLEFT, TANG_SOLID, VEINS, ZHANG
from trocar.injection.nominal import nominal
from trocar.injection.outcome import Outcome
from trocar.injection.risk import Share
from trocar.injection.routes import Route
from trocar.injection.run import ROUTES
from trocar.injection.site import Site, usual_start_min
from trocar.mechanics.filling import body_of
from trocar.mechanics.lesion import lytic_region
from trocar.physics.cement import CEMENTS, Cement
from trocar.physics.heat import BLOOD_C
from trocar.procedures.vertebroplasty import Vertebroplasty
from trocar.treatment import Plan

LIDC = Path(__file__).resolve().parents[2] / "shared" / "data" / "lidc0001"
SEED, RUNS, QUICK_RUNS, WORKERS, VOXEL_MM, QUICK_VOXEL_MM = 1, 100, 4, 2, 1.5, 2.5
GRIDS_MM = (2.5, 2.0, 1.5, 1.0)
THORACIC_ML, LUMBAR_ML = 3.0, 4.0
OSTEOPOROTIC, METASTASIS = "osteoporotic fracture", "metastasis"
#: Trabecular CT numbers of the osteoporotic phantoms, of those usual.
SPARSE = 0.6
#: A cleft: mm under the upper endplate from and to, half as wide and half as deep, HU. Ours.
CLEFT_FROM_MM, CLEFT_TO_MM, CLEFT_HALF_MM, CLEFT_HU = 3.0, 6.0, (12.0, 8.0), -700.0
#: Room of the experiments (ours: it is not in the abstract) and the usual one of a plan, degC.
BENCH_C, ROOM_C = 23.0, 21.0
KINDS = {
    "any": ANY,
    "canal (B)": CANAL,
    "vein (S)": VEINS,
    "front, side (C)": BESIDE,
    "disc (D)": DISC,
    "root foramen": frozenset({Route.FORAMINAL}),
    "needle tract": frozenset({Route.TRACT}),
    "artery": frozenset({Route.ARTERIAL}),
}
#: Kinds that a series tells.
TOLD = ("any", "canal (B)", "vein (S)", "front, side (C)", "disc (D)")

Row = dict[str, Any]


@dataclass(frozen=True)
class Bone:
    """One vertebra to inject: ``spec`` draws a phantom, None reads the scan."""

    name: str
    level: str
    volume_ml: float
    aetiology: str
    spec: PhantomSpec | None = None
    cleft: bool = False


def _drawn(trabecular: float = SPARSE, **fields: Any) -> PhantomSpec:
    return PhantomSpec(levels=("L1", "L2"), focus="L1", trabecular=trabecular, **fields)  # type: ignore[arg-type]


_LESION = PhantomLesion(diameter_mm=20.0)
_BEHIND = PhantomLesion(diameter_mm=20.0, place=(0.0, 0.4, 0.0))
SCANNED = tuple(
    Bone(f"scan, {level}", level, ml, OSTEOPOROTIC)
    for level, ml in (("T10", THORACIC_ML), ("T11", THORACIC_ML), ("T12", THORACIC_ML), ("L1", LUMBAR_ML))
)
SOUND = Bone("phantom, sparse bone", "L1", LUMBAR_ML, OSTEOPOROTIC, _drawn())
WEDGE = Bone("phantom, wedge fracture", "L1", LUMBAR_ML, OSTEOPOROTIC, _drawn(fracture=Fracture.WEDGE))
CLEFT = replace(WEDGE, name="phantom, wedge with a cleft", cleft=True)
PRESSED = Bone("phantom, biconcave fracture", "L1", LUMBAR_ML, OSTEOPOROTIC, _drawn(fracture=Fracture.BICONCAVE))
TUMOURS = (
    Bone("phantom, no lesion, as metastasis", "L1", LUMBAR_ML, METASTASIS, _drawn(1.0)),
    Bone("phantom, lytic lesion", "L1", LUMBAR_ML, METASTASIS, _drawn(1.0, lesion=_LESION)),
    Bone("phantom, lytic lesion at the back", "L1", LUMBAR_ML, METASTASIS, _drawn(1.0, lesion=_BEHIND)),
    Bone(
        "phantom, lytic lesion, posterior wall broken",
        "L1",
        LUMBAR_ML,
        METASTASIS,
        _drawn(1.0, lesion=_BEHIND, broken_posterior_wall=True),
    ),
)


@cache
def anatomy_of(spec: PhantomSpec | None) -> Anatomy:
    """A phantom, or the scan."""
    if spec is None:
        ct = trocar.read_ct(next(LIDC.glob("*.zip")))
        return trocar.read_anatomy(next(LIDC.glob("*.nii.gz")), on=ct, scheme="totalseg-v2")
    drawn = phantom(spec)
    return trocar.read_anatomy(drawn.labels, on=drawn.ct, scheme="totalseg-v2")


def with_cleft(anatomy: Anatomy, level: str) -> Anatomy:
    """The patient with a flat pocket of gas under the upper endplate, in front."""
    vertebra, ct = anatomy.vertebra(level), anatomy.ct
    points = ct.points_mm().reshape(*ct.shape, 3)
    under = -vertebra.endplates["superior"].height_mm(points)
    left, back, _ = np.moveaxis(vertebra.frame.to_local(points), -1, 0)
    wide, deep = CLEFT_HALF_MM
    flat = (left / wide) ** 2 + (back / deep) ** 2 <= 1.0
    gas = (under >= CLEFT_FROM_MM) & (under <= CLEFT_TO_MM) & flat
    return replace(anatomy, ct=replace(ct, array=np.where(gas, np.float32(CLEFT_HU), ct.array)))


@cache
def planned(bone: Bone) -> Plan:
    """One-sided vertebroplasty of a bone."""
    anatomy = anatomy_of(bone.spec)
    anatomy = with_cleft(anatomy, bone.level) if bone.cleft else anatomy
    procedure = Vertebroplasty(level=bone.level, aetiology=bone.aetiology)  # type: ignore[arg-type]
    return trocar.plan(anatomy, procedure)


@cache
def site_of(bone: Bone, voxel_mm: float) -> Site:
    """Where it is injected."""
    plan = planned(bone)
    procedure = plan.procedure
    assert isinstance(procedure, Vertebroplasty)
    return procedure.site(plan, plan.best.trajectories, voxel_mm, bone.volume_ml)[0]


@dataclass(frozen=True)
class Bench:
    """How much is computed."""

    runs: int
    voxel_mm: float

    def injected(self, bone: Bone, **changes: Any) -> Outcome:
        """The ensemble of a bone with something changed."""
        return run(replace(site_of(bone, self.voxel_mm), **changes), self.runs, SEED, WORKERS)


def share(outcome: Outcome, routes: Iterable[Route]) -> Share:
    """How many of the draws leak by any of some routes."""
    return outcome.share(list(routes))


def leaked_ml(outcome: Outcome) -> float:
    """Mean volume that leaks."""
    return float(np.mean([r.leaked_ml[:, -1].sum() for r in outcome.counted]))


def figure(
    name: str, value: float, unit: str, peer: str = "", low: float | None = None, high: float | None = None
) -> Row:
    """A number, and the published range that it should lie in."""
    row: Row = {"name": name, "value": float(f"{value:.4g}"), "unit": unit}
    return row | ({"peer": peer, "peer_low": low, "peer_high": high} if peer else {})


def by_route(bench: Bench, bones: Iterable[Bone]) -> tuple[list[Row], dict[str, Outcome]]:
    """Table 1: per cent of the draws that leak, by where to."""
    rows, found = [], {}
    print(f"\n| Percent of {bench.runs} draws that leak | ml | {' | '.join(KINDS)} |\n|{'---|' * (len(KINDS) + 2)}")
    for bone in bones:
        found[bone.name] = bench.injected(bone)
        percent = {kind: 100.0 * share(found[bone.name], routes).value for kind, routes in KINDS.items()}
        print(f"| {bone.name} | {bone.volume_ml:g} | {' | '.join(f'{p:.0f}' for p in percent.values())} |")
        rows += [figure(f"{bone.name}: {kind}", p, "%") for kind, p in percent.items()]
    return rows, found


def beside_series(found: Mapping[str, Outcome]) -> list[Row]:
    """Table 2: the same beside series of patients."""
    rows = []
    print(f"\n| Percent | {' | '.join(TOLD)} |\n|{'---|' * (len(TOLD) + 1)}")
    solid = [b.name for b in (SOUND, WEDGE, PRESSED)]
    pairs = (
        ("osteoporotic phantoms, no cleft", solid, "Tang 2021, no cleft", (TANG_SOLID,)),
        (CLEFT.name, [CLEFT.name], "Tang 2021, with a cleft", (TANG_CLEFT,)),
        ("lytic phantoms", [b.name for b in TUMOURS[1:]], "Zhang 2022 and Corcos 2014, metastasis", (ZHANG, CORCOS)),
    )
    for ours, names, theirs, studies in pairs:
        outcomes = [found[n] for n in names if n in found]
        model, series = {}, {}
        for kind in TOLD:
            shares = [share(o, KINDS[kind]) for o in outcomes]
            model[kind] = Share(sum(s.events for s in shares), sum(s.of for s in shares))
            rates = [r.share for r in RATES if r.study in studies and r.routes == KINDS[kind]]
            series[kind] = Share(sum(r.events for r in rates), sum(r.of for r in rates)) if rates else None
        print(f"| **{ours}** | {' | '.join(_percent(model[k]) for k in TOLD)} |")
        print(f"| {theirs} | {' | '.join(_percent(series[k]) for k in TOLD)} |")
        rows += [figure(f"{ours}: {k}", 100.0 * model[k].value, "%", theirs, *_bounds(series[k])) for k in TOLD]
    return rows


def _percent(share: Share | None) -> str:
    if share is None:
        return "not told"
    low, high = share.interval
    return f"{100.0 * share.value:.0f} ({100.0 * low:.0f}–{100.0 * high:.0f})"


def _bounds(share: Share | None) -> tuple[float | None, float | None]:
    return (None, None) if share is None else (100.0 * share.interval[0], 100.0 * share.interval[1])


def trends(bench: Bench) -> list[Row]:
    """Table 3: one thing changed at a time, on the wedge fracture."""
    site = site_of(WEDGE, bench.voxel_mm)
    print("\n| Wedge fracture, one thing changed | any, % | canal, % | vein, % | disc, % | leaks in the mean, ml |")
    print(f"|{'---|' * 6}")
    rows = []
    for name, changes in _changed(site).items():
        outcome = bench.injected(WEDGE, **changes)
        percent = [100.0 * share(outcome, KINDS[k]).value for k in ("any", "canal (B)", "vein (S)", "disc (D)")]
        print(f"| {name} | {' | '.join(f'{p:.0f}' for p in percent)} | {leaked_ml(outcome):.3f} |")
        rows += [figure(f"{name}: any", percent[0], "%"), figure(f"{name}: mean leak", leaked_ml(outcome), "mL")]
    return rows


def _changed(site: Site) -> dict[str, dict[str, Any]]:
    """What is varied, by name."""
    found: dict[str, dict[str, Any]] = {"as planned": {}}
    found |= {f"cement {f:g} times as thick": {"cement": site.cement.thickened(f)} for f in (0.01, 0.1, 10.0)}
    found |= {f"{ml:g} ml": {"volume_ml": ml} for ml in (1.0, 2.0, 6.0, 8.0)}
    found |= {f"{rate:g} ml a minute": {"rate_ml_min": rate} for rate in (0.5, 1.0, 4.0, 8.0)}
    found |= {
        f"tip {mm:g} mm {where}": {"tips_mm": site.tips_mm + np.array([0.0, sign * mm, 0.0])}
        for where, sign, mm in (("farther forward", -1.0, 5.0), ("farther back", 1.0, 5.0), ("farther back", 1.0, 10.0))
    }
    wide = tuple(replace(w, bore_mm=2.0 * w.bore_mm) if w.bore_mm else w for w in site.ways)
    return found | {"all veins and cracks twice as wide": {"ways": wide}}


def grids(bench: Bench) -> list[Row]:
    """The same draws on finer and coarser grids."""
    print("\n| Wedge fracture, voxel, mm | any, % | canal, % | vein, % | disc, % | leaks in the mean, ml |")
    print(f"|{'---|' * 6}")
    rows = []
    for voxel_mm in GRIDS_MM:
        outcome = replace(bench, voxel_mm=voxel_mm).injected(WEDGE)
        percent = [100.0 * share(outcome, KINDS[k]).value for k in ("any", "canal (B)", "vein (S)", "disc (D)")]
        print(f"| {voxel_mm:g} | {' | '.join(f'{p:.0f}' for p in percent)} | {leaked_ml(outcome):.3f} |")
        rows += [figure(f"voxels of {voxel_mm:g} mm: any", percent[0], "%")]
    return rows


def viscosities(bench: Bench) -> list[Row]:
    """Table 4: kinds and ages of cement, beside the bench of Habib 2010; and :func:`risks`."""
    low, high = CEMENTS["low viscosity"], CEMENTS["high viscosity"]
    habib = {
        ("low viscosity", 3.5): (4.0, 1.2), ("low viscosity", 9.5): (2.6, 1.2),
        ("high viscosity", 3.5): (1.5, 1.2), ("high viscosity", 6.5): (0.92, 0.6),
    }  # fmt: skip
    first, rows = 0.0, []
    print("\n| Cement, minutes after mixing | Habib 2010, g | of the first | leaks in the mean, ml | of the first |")
    print(f"|{'---|' * 5}")
    for (name, minutes), (grams, sd) in habib.items():
        outcome = bench.injected(WEDGE, cement=CEMENTS[name], minutes=minutes, room_c=BENCH_C)
        mean = leaked_ml(outcome)
        first = first or mean
        print(f"| {name}, {minutes:g} | {grams:g} ± {sd:g} | {grams / 4.0:.2f} | {mean:.3f} | {mean / first:.2f} |")
        rows.append(figure(f"{name}, {minutes:g} min: leak of the first", mean / first, "1", "Habib 2010", grams / 4.0))
    return rows + risks(bench, low, high)


def risks(bench: Bench, low: Cement, high: Cement) -> list[Row]:
    """Table 5: any leak, into the disc and into veins with a thick cement, over those with a thin one."""
    print("\n| Risk, high over low viscosity, each a minute into its window | meta-analysis | model |\n|---|---|---|")
    bones, rows = (SOUND, WEDGE, PRESSED), []
    thick, thin = (
        [bench.injected(b, cement=c, minutes=usual_start_min(c, ROOM_C)) for b in bones] for c in (high, low)
    )
    for kind, told, value in (
        ("any", "0.38 (0.29–0.51)", 0.38),
        ("disc (D)", "0.45", 0.45),
        ("vein (S)", "0.54 (0.35–0.85)", 0.54),
    ):
        counts = [sum(share(o, KINDS[kind]).events for o in outcomes) for outcomes in (thick, thin)]
        ratio = f"{counts[0] / counts[1]:.2f}" if counts[1] else "none"
        print(f"| {kind} | {told} | {ratio} ({counts[0]} and {counts[1]} of {bench.runs * len(bones)}) |")
        if counts[1]:
            rows.append(figure(f"high over low viscosity: {kind}", counts[0] / counts[1], "1", "meta-analysis", value))
    return rows


def pressures(bench: Bench) -> list[Row]:
    """Table 6: what the cannula takes, and the pressure at the tip."""
    print("\n| Pressure | published | model |\n|---|---|---|")
    found = nominal(site_of(WEDGE, bench.voxel_mm)).injection
    shares = 100.0 * (1.0 - found.tip_pa / found.driving_pa)
    print(f"| share of it that the cannula takes | about 95 % | {shares.min():.0f} to {shares.max():.0f} % |")
    rows = [figure("share of the pressure in the cannula", float(shares.min()), "%", "Baroud 2005", 95.0)]
    lytic = site_of(TUMOURS[2], bench.voxel_mm)
    fifth = 0.2 * float(body_of(lytic.model).sum()) * lytic.model.solid.voxel_mm3 / 1000.0
    lesion = lytic_region(lytic.model) & body_of(lytic.model)
    middle = (np.argwhere(lesion).mean(axis=0) + 0.5) * np.array(lytic.model.solid.spacing_mm)
    lytic = replace(lytic, tips_mm=middle[None])
    for name, told, cavity in (("full of tumour", 5.09, None), ("emptied", 1.20, lesion)):
        site = replace(lytic, volume_ml=fifth, rate_ml_min=3.0, cavity=cavity)
        tip = 1e-3 * float(nominal(site).injection.tip_pa.max())
        print(f"| at the tip, lesion {name}, 20 % of the body at 3 ml a minute | {told:g} kPa | {tip:.1f} kPa |")
        rows.append(figure(f"at the tip, lesion {name}", tip, "kPa", "Li 2015", told))
    return rows


def temperatures(bench: Bench) -> list[Row]:
    """Table 7: peaks while it cures, without blood as in a bath, and with."""
    print("\n| Peak, °C | published | 6 ml, no blood | 10 ml, no blood | 4 ml, blood flows |\n|---|---|---|---|---|")
    cases = (("6 ml", 6.0, False), ("10 ml", 10.0, False), ("4 ml with blood", 4.0, True))
    peaks = {name: _peaks(bench, ml, blood) for name, ml, blood in cases}
    told = {
        "hottest anywhere": "not told",
        "middle of the body": "49–112 (bath), 45–87 (patients)",
        "middle of the front wall": "44–113 (bath)",
        "spinal canal": "39–57, and up to 43 (baths)",
    }
    rows = []
    lump = BLOOD_C + CEMENTS["low viscosity"].adiabatic_rise_c
    for place, published in told.items():
        print(f"| {place} | {published} | {' | '.join(f'{peaks[case][place]:.0f}' for case in peaks)} |")
        rows += [figure(f"peak, {place}, {case}", peaks[case][place], "Cel") for case in peaks]
    print(f"\nA lump of this cement that kept all its heat would reach {lump:.0f} °C.")
    return [*rows, figure("a lump that keeps its heat", lump, "Cel")]


def _peaks(bench: Bench, volume_ml: float, blood: bool) -> dict[str, float]:
    """The highest temperature at some places of the phantom of sparse bone, with cement of low viscosity."""
    cement = CEMENTS["low viscosity"]
    planned_site = site_of(SOUND, bench.voxel_mm)
    site = replace(planned_site, volume_ml=volume_ml, cement=cement, minutes=usual_start_min(cement, ROOM_C))
    around = heat_site(site.model, planned(SOUND).anatomy.structures)
    content, age_s = cement_after(around, nominal(site).injection, site.ways)
    heat = heating(around, content, age_s, cement, perfused=blood)
    body = np.argwhere(around.of_model(body_of(site.model)))
    middle = np.round(0.5 * (body.min(axis=0) + body.max(axis=0))).astype(int)
    column = body[(body[:, 0] == middle[0]) & (body[:, 2] == middle[2])]
    front = (middle[0], int(column[:, 1].min()), middle[2])
    return {
        "hottest anywhere": float(heat.peak_c.max()),
        "middle of the body": float(heat.peak_c[tuple(middle)]),
        "middle of the front wall": float(heat.peak_c[front]),
        "spinal canal": float(heat.temperature_c[Region.CANAL].max()),
    }


def cleft_first(bench: Bench) -> list[Row]:
    """How much of the cleft is full when a quarter is in."""
    site = site_of(CLEFT, bench.voxel_mm)
    found = nominal(site)
    gas = found.injection.medium.porosity >= 0.999
    if not gas.any():
        raise SystemExit("the cleft does not show in the model")
    quarter = 250.0 * site.volume_ml
    full, body = (100.0 * float((found.injection.arrival_mm3[m] <= quarter).mean()) for m in (gas, body_of(site.model)))
    print(f"\nWith the first {0.001 * quarter:g} ml {full:.0f} % of the cleft is filled, and {body:.0f} % of the body.")
    return [figure("cleft filled with the first quarter", full, "%"), figure("body filled with it", body, "%")]


def measure(bench: Bench, quick: bool) -> list[Row]:
    """Every table, and the figures in it."""
    bones = (SOUND, WEDGE, CLEFT, PRESSED, *TUMOURS)
    bones = bones[1:3] if quick else (*(SCANNED if LIDC.is_dir() else ()), *bones)
    rows, found = by_route(bench, bones)
    if quick:
        return rows + cleft_first(bench)
    assert len(ROUTES) == len(frozenset().union(*(KINDS[k] for k in KINDS if k != "any")))
    rows += beside_series(found)
    for table in (cleft_first, trends, grids, viscosities, pressures, temperatures):
        rows += table(bench)
    return rows


def main() -> None:
    """Print the tables, or their figures as JSON too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two coarse phantoms and a few draws: within 40 s")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    given = parser.parse_args()
    bench = Bench(QUICK_RUNS, QUICK_VOXEL_MM) if given.quick else Bench(RUNS, VOXEL_MM)
    print(f"Voxels of {bench.voxel_mm:g} mm, {bench.runs} draws, seed {SEED}.")
    figures = measure(bench, given.quick)
    if given.json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
