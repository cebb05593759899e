"""What figures are drawn from: errors that grow with n at a pace of the variant's own, and differ between seeds."""

import math
import random
from functools import cache

from analysis.samples import CIFAR, IMAGENET, PRESETS
from matplotlib.figure import Figure
from records.samples import record

from gc2l.analysis import RunIndex
from gc2l.analysis.claims import Approximation
from gc2l.analysis.figures import FIGURES
from gc2l.paper import GROUPS
from gc2l.records import Record

PACES = {"gc": 90, "gc2l": 20, "shuffle": 35, "flgc": 160}


def errors_of(variant: str, groups: int, seed: int) -> int:
    """Wrong answers in 10 000."""
    noise = random.Random(f"{variant} {groups} {seed}").randint(-30, 30)
    return 600 + noise + (0 if variant == "sc" else round(PACES[variant] * math.log2(groups) ** 1.3))


def full(seeds=(1, 2, 3)) -> list[Record]:
    convolutions = [("sc", 1), *((variant, n) for variant in PACES for n in GROUPS[1:])]
    return [
        record(column.cell(variant, n, seed), errors=errors_of(variant, n, seed))
        for column in (CIFAR, IMAGENET)
        for variant, n in convolutions
        for seed in seeds
    ]


def partial() -> list[Record]:
    """No SC, one n with two seeds of which one diverged, one variant alone; on ImageNet's side nothing finished."""
    return [
        record(CIFAR.cell("gc", 2, 1), errors=700),
        record(CIFAR.cell("gc", 4, 1), errors=800),
        record(CIFAR.cell("gc", 4, 2), errors=None),
        record(CIFAR.cell("gc2l", 8, 1), errors=650),
        record(CIFAR.cell("gc2l", 8, 2), errors=660),
        record(IMAGENET.cell("gc", 2, 1), errors=None),
    ]


def approximated(records: list[Record]) -> tuple[Approximation, ...]:
    """Of every SC run: GC loses a seed's thousandth less than 1 - 1/n, GC-2L restores 10 % of it and a seed's percent.

    Of random weights GC loses 1 - 1/n, and GC-2L restores 5 %.
    """
    return tuple(
        Approximation(
            preset=run.preset,
            identity=run.identity,
            seed=run.seed,
            groups=n,
            gc=(1 - 0.001 * run.seed) * (1 - 1 / n),
            gc2l=(0.9 - 0.01 * run.seed) * (1 - 0.001 * run.seed) * (1 - 1 / n),
            random_gc=1 - 1 / n,
            random_gc2l=0.95 * (1 - 1 / n),
        )
        for run in records
        if run.configuration["model"]["variant"] == "sc"
        for n in GROUPS[1:]
    )


STORES = {"empty": list, "partial": partial, "full": full}


@cache
def drawn(name: str, kind: str) -> Figure:
    """A figure of the runs that `STORES` has by that name, drawn once for all tests that only look at it."""
    records = STORES[kind]()
    return FIGURES[name](PRESETS, RunIndex(records), approximated(records))
