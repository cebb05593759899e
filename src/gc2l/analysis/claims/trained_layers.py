"""Claim A6: how well GC and GC-2L could stand for the layers of a trained standard network."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from gc2l.analysis.claims.approximation import approximation_errors
from gc2l.analysis.claims.claim import Claim, Evidence, Finding, ScaleRuns
from gc2l.analysis.claims.verdict import Claimed, Part, decide, p_against
from gc2l.analysis.statistics import Estimate, mean_interval, paired_difference
from gc2l.paper import TABLES
from gc2l.records import Record

ABOVE = Claimed(">", 0)


def network_errors(weights: dict[str, np.ndarray], groups: int) -> tuple[float, float]:
    """The relative squared errors of the best GC and GC-2L (one coarse channel) over all layers of a network.

    The layers are the convolutions whose channel counts both are multiples of `groups`: the stem (3 input channels)
    and depthwise ones (1) are no candidates. Each layer counts by its squared norm.

    Args:
        weights: the state of a network with standard convolutions, by name.
        groups: n >= 2.

    Raises:
        ValueError: no layer that can have this many groups.
    """
    layers = [w for w in weights.values() if w.ndim == 4 and w.shape[0] % groups == 0 and w.shape[1] % groups == 0]
    if not layers:
        raise ValueError(f"no convolution can have groups={groups}")
    norms = [float(np.square(layer, dtype=np.float64).sum()) for layer in layers]
    errors = [approximation_errors(layer, groups) for layer in layers]
    group, two_level = np.average(np.array(errors), axis=0, weights=norms)
    return float(group), float(two_level)


def random_like(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights without structure: normal numbers in the same shapes, with the same norms."""
    random = np.random.default_rng(1)
    drawn = {name: random.standard_normal(weight.shape) for name, weight in weights.items()}
    return {name: draw * (np.linalg.norm(weights[name]) / np.linalg.norm(draw)) for name, draw in drawn.items()}


def find_weights(record: Record, folders: Sequence[Path]) -> Path | None:
    """The final weights of a run in the first folder that has them, by the identity at the end of the name."""
    found = (path for folder in folders for path in sorted(folder.glob(f"*-{record.identity}.safetensors")))
    return next(found, None)


def _a6(evidence: Evidence) -> tuple[Finding, ...]:
    findings: dict[tuple[str, str], Finding] = {}
    for runs in (runs for table in TABLES for runs in evidence.scales(table)):
        # Tables share their SC runs: the first table that has them speaks for all.
        network = runs.scale.preset, runs.scale.column.template.identity
        standard = runs.finished(("sc", 1))
        paths = {seed: find_weights(record, evidence.weights) for seed, record in standard.items()}
        present = {seed: path for seed, path in paths.items() if path is not None}
        if present and network not in findings:
            states = {seed: load_file(path) for seed, path in present.items()}
            identities = tuple(standard[seed].identity for seed in states)
            findings[network] = Finding(scale=runs.scale, parts=_parts(runs, states, identities))
    folders = " or ".join(map(str, evidence.weights))
    nothing = Finding(missing=f"final weights of a recorded SC run, *-<identity>.safetensors in {folders}")
    return tuple(findings.values()) or (nothing,)


def _parts(runs: ScaleRuns, states: dict[int, dict[str, np.ndarray]], identities: tuple[str, ...]) -> tuple[Part, ...]:
    errors = {n: [network_errors(state, n) for state in states.values()] for n in runs.groups}
    unstructured = random_like(next(iter(states.values())))
    parts = []
    for before, n in zip((None, *runs.groups), runs.groups, strict=False):
        group, two_level = ([100 * pair[kind] for pair in errors[n]] for kind in (0, 1))
        by_chance = network_errors(unstructured, n)
        note = (
            f"errors of GC {np.mean(group):.2f} %, GC-2L {np.mean(two_level):.2f} %; for random weights "
            f"{100 * by_chance[0]:.2f} %, {100 * by_chance[1]:.2f} %"
        )
        if before is not None:
            growth = paired_difference(group, [100 * pair[0] for pair in errors[before]])
            name = f"n = {n}: error of GC - that at n = {before}"
            parts.append(_part(name, growth, "percent of the squared norm", states, identities, note))
        restored = [100 * (1 - two / one) for one, two in zip(group, two_level, strict=True)]
        name = f"n = {n}: share of GC's error that the coarse level restores"
        parts.append(_part(name, mean_interval(restored), "percent of GC's error", states, identities, note))
    return tuple(parts)


def _part(
    name: str, effect: Estimate, unit: str, seeds: dict[int, dict], identities: tuple[str, ...], note: str
) -> Part:
    return Part(
        name=name,
        verdict=decide(effect, ABOVE),
        claimed=ABOVE,
        unit=unit,
        effect=effect.value,
        interval=effect.interval,
        p_against=p_against(effect, ABOVE),
        seeds=tuple(seeds),
        runs=identities,
        note=note,
    )


CLAIMS = (
    Claim(
        id="A6",
        source="Section 2",
        statement="Block Jacobi (GC) approximates worse as n grows, and the coarse level restores part of it.",
        test="best approximation, in squared Frobenius norm, of the trained SC layers by GC and by GC-2L, over the "
        "seeds: GC's error grows with each n, the share restored is above 0. Neither can be negative, for reasons of "
        "algebra: what is measured is their size, to be read beside that for random weights (note)",
        evaluate=_a6,
    ),
)
