"""Many injections of one site with the uncertain numbers drawn anew for each: stopped, resumed, on several workers.

A run is a pure function of the site, the seed and its number, so that it does not matter who computes it and when. Each
is reduced at once to a small record (:class:`trocar.injection.run.Run`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar import __version__
from trocar.injection.digest import digest
from trocar.injection.outcome import Outcome
from trocar.injection.risk import LEAK_ML
from trocar.injection.run import ROUTES, Run, reduced
from trocar.injection.site import Site

#: Where finished runs are kept: arrays by name under a key. What ``treatment`` calls by the same name goes in here;
#: neither may import the other, and the type checker holds the two together.
Kept = MutableMapping[str, Mapping[str, NDArray[Any]]]
#: One injection: of a site, with a seed, by its number.
One = Callable[[Site, int, int], Run]
#: Told how many runs of how many are done.
Counting = Callable[[int, int], None]
#: Changes when a record means something else than before: older ones are then run again.
RECORD = 1


def unheard(done: int, of: int) -> None:
    """The progress of whoever does not want to be told."""


def one(site: Site, seed: int, number: int) -> Run:
    """The run with a number: draw, inject, reduce. A pure function of its arguments."""
    draw = site.spread.draw(np.random.default_rng([seed, number]), site.ways)
    ways = [(way.name, way.route) for way in site.ways]
    return reduced(number, site.inject(draw), ways, site.nodes_ml, draw.volume)


def run(
    site: Site,
    count: int,
    seed: int,
    workers: int = 1,
    progress: Counting = unheard,
    kept: Kept | None = None,
    one: One = one,
) -> Outcome:
    """``count`` runs of a site with a seed: the same whatever the workers, stopped and resumed or in one go.

    Finished runs go into ``kept`` under a key that names all they depend on, and those that are there already are not
    run again; whatever stops the computation goes through to the caller after that. ``progress`` is told of those too.
    Raises ``ValueError`` for less than one run or worker, or a negative seed.
    """
    _check(count, seed, workers)
    kept = {} if kept is None else kept
    keys = [f"{name_of(site, seed)}-{number:05d}" for number in range(count)]
    runs = {n: found for n, key in enumerate(keys) if (found := _found(kept, key, n, site)) is not None}
    if runs:
        progress(len(runs), count)
    lock = Lock()

    def work(number: int) -> None:
        fresh = one(site, seed, number)
        with lock:
            kept[keys[number]] = fresh.arrays()
            runs[number] = fresh
            progress(len(runs), count)

    _each([n for n in range(count) if n not in runs], workers, work)
    return Outcome(site, seed, tuple(runs[n] for n in range(count)))


def name_of(site: Site, seed: int) -> str:
    """What every run of a site with a seed depends on, besides its number, in a few letters."""
    return digest(RECORD, __version__, LEAK_ML, seed, site)


def _check(count: int, seed: int, workers: int) -> None:
    for name, value, least in (("count", count, 1), ("workers", workers, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name}={value} must be {least} or more.")


def _found(kept: Kept, key: str, number: int, site: Site) -> Run | None:
    """The run that was kept, unless it is none of this site's."""
    if key not in kept:
        return None
    try:
        found = Run.of_arrays(number, kept[key])
    except (KeyError, ValueError):
        return None
    whole = found.leaked_ml.shape == (len(site.ways), len(site.nodes_ml)) and found.onset_ml.shape == (len(ROUTES),)
    return found if whole and found.reached.size == -(-site.model.parts.size // 8) else None


def _each(numbers: Sequence[int], workers: int, work: Callable[[int], None]) -> None:
    """Do some work for each number; when something stops it, what is under way is finished first."""
    if workers == 1:
        for number in numbers:
            work(number)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        for future in as_completed([pool.submit(work, number) for number in numbers]):
            future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
