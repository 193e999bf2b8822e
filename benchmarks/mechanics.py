"""What-ifs on a vertebra of a real scan: how long a user waits before and after cement, and for twenty fillings.

    python benchmarks/mechanics.py [--scan lidc | phantom] [--quick] [--json]

The scan ``lidc`` is the 512 x 512 x 70 one at ../shared/data, L1 at 1 mm; without it, and with ``--quick``, the
phantom. Compiled kernels are in their caches before anything is timed. "Before and after" builds the model from the
CT and answers for the vertebra without and with cement: stiffness, the three strengths (with bone that yields), load
share. Last comes what the ends between which it is loaded make of its stiffness, and of what cement adds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trocar
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.phantom import phantom
from trocar.mechanics.answers import Loaded, load_share, press, stiffness
from trocar.mechanics.crush import crush
from trocar.mechanics.filling import central
from trocar.mechanics.model import BoneModel, Ends, bone_model
from trocar.mechanics.scenario import as_is, augmented
from trocar.mechanics.sweep import fillings, sweep

LIDC = Path(__file__).resolve().parents[2] / "shared" / "data" / "lidc0001"
LEVEL = "L1"
FILL_PERCENT = 20.0
#: Cement whose gain is told for each kind of ends.
ENDS_FILL_PERCENT = 15.0
SWEPT_PERCENT = (5.0, 10.0, 15.0, 20.0, 25.0)


def patient(scan: str) -> Anatomy:
    """The anatomy of the scan of that name."""
    if scan == "phantom":
        drawn = phantom()
        return trocar.read_anatomy(drawn.labels, on=drawn.ct, scheme="totalseg-v2")
    ct = trocar.read_ct(next(LIDC.glob("*.zip")))
    return trocar.read_anatomy(next(LIDC.glob("*.nii.gz")), on=ct, scheme="totalseg-v2")


def answer(model: BoneModel) -> Loaded:
    """Stiffness, three strengths and load share of one model."""
    loaded = press(model)
    curve = crush(loaded)
    stiffness(loaded), curve.strengths(loaded), load_share(loaded)
    return loaded


def before_and_after(anatomy: Anatomy) -> BoneModel:
    """From the CT to the answers without and with cement."""
    model = bone_model(anatomy, LEVEL)
    answer(model)
    answer(as_is(model).then(augmented, central(model, percent=FILL_PERCENT)).model)
    return model


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall and processor seconds, and what came out."""
    wall, processor = time.perf_counter(), time.process_time()
    out = work()
    return time.perf_counter() - wall, time.process_time() - processor, out


def measure(scan: str, quick: bool) -> list[dict[str, Any]]:
    """One figure for each wait."""
    anatomy = patient(scan)
    before_and_after(anatomy)
    wall, processor, model = timed(lambda: before_and_after(anatomy))
    elastic, _, _ = timed(lambda: press(model))
    figures = [
        figure(f"{scan} {LEVEL}: CT to answers before and after cement", wall, "s", 5.0),
        figure("    of which processor", processor, "s"),
        figure("    one elastic solve", elastic, "s"),
        figure("    voxels of material", float(model.solid.filled.sum()), "1"),
    ]
    scenarios = fillings(as_is(model), percent=SWEPT_PERCENT[:2] if quick else SWEPT_PERCENT)
    for name, tilt in (("stiffness and strength", False), ("and tilt", True)):
        wall, _, swept = timed(lambda: sweep(scenarios, tilt=tilt))  # noqa: B023
        asked = 60.0 if not quick else None
        figures.append(figure(f"sweep of {len(scenarios)} fillings, {name}", wall, "s", asked))
        figures.append(
            figure("    iterations to a filling", sum(r.iterations for r in swept.rows) / len(scenarios), "1")
        )
    return figures + [f for ends in Ends for f in between(anatomy, ends)]


def between(anatomy: Anatomy, ends: Ends) -> list[dict[str, Any]]:
    """Stiffness between some ends, and how many times as much with central cement."""
    model = bone_model(anatomy, LEVEL, ends=ends)
    filled = augmented(model, central(model, percent=ENDS_FILL_PERCENT)).model
    bare = press(model).stiffness
    return [
        figure(f"stiffness, {ends.value}", bare, "N/mm"),
        figure(
            f"    with {ENDS_FILL_PERCENT:g} % cement in the middle, times as stiff",
            press(filled).stiffness / bare,
            "1",
        ),
    ]


def figure(name: str, value: float, unit: str, most: float | None = None) -> dict[str, Any]:
    """A figure and, where one was asked for, its upper bound."""
    return {"name": name, "value": round(value, 3), "unit": unit} | ({"asked": {"max": most}} if most else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", choices=("lidc", "phantom"), default="lidc" if LIDC.is_dir() else "phantom")
    parser.add_argument("--quick", action="store_true", help="the phantom and eight fillings: within 40 s")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    given = parser.parse_args()
    figures = measure("phantom" if given.quick else given.scan, given.quick)
    for f in figures:
        asked = f"asked at most {f['asked']['max']:g}" if "asked" in f else ""
        print(f"{f['name']:58s} {f['value']:12,.3f} {f['unit']:4s} {asked}")
    if given.json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
