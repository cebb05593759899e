"""Trained standard networks converted with the nearest and with fresh weights: conversion.json and conversion.md.

Trains the standard network of the preset's first column (or takes the weights that a training left), converts it, and
trains the result for one epoch.
"""

from pathlib import Path

from gc2l.campaign.script import find_preset, run_script

import tyro

from gc2l.campaign.fine_tuning import LEARNING_RATE, convert_and_tune, trained_network
from gc2l.data import dataset_info
from gc2l.evidence.publish import publish_conversion
from gc2l.models.conversion import Weights
from gc2l.records import ConversionRecord, RunStore, describe_environment, save_measurement
from gc2l.records.conversion import check_replaces
from gc2l.training import Execution

PRESETS = Path(__file__).parent / "presets"
CONVERSIONS = {
    "GC": ("gc", {}),
    "GC-2L, m = 1": ("gc2l", {}),
    "GC-2L, m = 2": ("gc2l", {"coarse_channels": 2}),
    "GC-2L, m = 4": ("gc2l", {"coarse_channels": 4}),
}
WEIGHTS: tuple[Weights, ...] = ("nearest", "fresh")


def main(
    preset: str = "digits",
    groups: int = 4,
    seeds: int = 5,
    runs: Path = Path("results/runs"),
    scratch: Path = Path(".scratch"),
    output: Path = Path("results/beyond"),
) -> int:
    """Convert, fine-tune, write the record and its page.

    Args:
        preset: its first column's standard network is converted.
        groups: n.
        seeds: uses the seeds 1 to this number.
        runs: folder of the records; none is written, but its locks keep others from training the same networks.
        scratch: folder of checkpoints and final weights.
        output: folder of the record and the page.

    Raises:
        ValueError: an earlier record there has more than this run would make; it stays as it is.
    """
    environment = describe_environment()
    column = find_preset(preset, PRESETS).columns[0]
    cells = [column.cell("sc", 1, seed) for seed in range(1, seeds + 1)]
    path, epochs = output / "conversion.json", column.template.training.epochs
    ways = {(label, weights, cell.seed) for label in CONVERSIONS for weights in WEIGHTS for cell in cells}
    check_replaces(path, ways, preset=preset, epochs=epochs, groups=groups)
    networks = [trained_network(cell, RunStore(runs), Execution(scratch=scratch)) for cell in cells]
    conversions = [
        convert_and_tune(network, cell, label, variant, groups, weights, options)
        for label, (variant, options) in CONVERSIONS.items()
        for weights in WEIGHTS
        for network, cell in zip(networks, cells, strict=True)
    ]
    record = ConversionRecord(
        commit=environment.commit,
        dirty=environment.dirty,
        versions=environment.versions,
        preset=preset,
        epochs=epochs,
        groups=groups,
        learning_rate=LEARNING_RATE,
        images=dataset_info(cells[0].data.name).test_rows,
        conversions=tuple(conversions),
    )
    save_measurement(record, path)
    print(publish_conversion(record, output), end="")
    return 0


if __name__ == "__main__":
    run_script(lambda: tyro.cli(main, description=__doc__))
