"""Trained standard networks converted with the nearest and with fresh weights: results/beyond/conversion.md.

Trains the standard network of the digits preset (or takes the weights that its run left), converts it, and trains the
result for one epoch. Errors are means over the seeds with half the 95 % interval.
"""

from collections.abc import Sequence
from pathlib import Path

from gc2l.campaign.script import find_preset, run_script

import tyro
from tabulate import tabulate

from gc2l.analysis.labels import mean_text
from gc2l.analysis.statistics import mean_interval
from gc2l.campaign.fine_tuning import LEARNING_RATE, convert_and_tune, trained_network
from gc2l.records import RunStore, write_atomically
from gc2l.training import Execution

PRESETS = Path(__file__).parent / "presets"
CONVERSIONS = {
    "GC": ("gc", {}),
    "GC-2L, m = 1": ("gc2l", {}),
    "GC-2L, m = 2": ("gc2l", {"coarse_channels": 2}),
    "GC-2L, m = 4": ("gc2l", {"coarse_channels": 4}),
}
HEADERS = ("convolution", "weights", "converted", "statistics re-estimated", "after one epoch")


def main(
    preset: str = "digits",
    groups: int = 4,
    seeds: int = 5,
    runs: Path = Path("results/runs"),
    output: Path = Path("results/beyond/conversion.md"),
) -> int:
    """Convert, fine-tune, write the table.

    Args:
        preset: its first column's standard network is converted.
        groups: n.
        seeds: uses the seeds 1 to this number.
        runs: folder of the records; none is written, but its locks keep others from training the same networks.
        output: the file.
    """
    column = find_preset(preset, PRESETS).columns[0]
    cells = [column.cell("sc", 1, seed) for seed in range(1, seeds + 1)]
    networks = [trained_network(cell, RunStore(runs), Execution()) for cell in cells]
    rows, trained = [], []
    for label, (variant, options) in CONVERSIONS.items():
        for weights in ("nearest", "fresh"):
            found = [
                convert_and_tune(network, cell, variant, groups, weights, options)
                for network, cell in zip(networks, cells, strict=True)
            ]
            trained = [one.trained for one in found]
            errors = zip(*((one.converted, one.renewed, one.tuned) for one in found), strict=True)
            rows.append((label, weights, *map(_mean, errors)))
    alignment = ("left", "left", *["right"] * 3)
    grid = tabulate(rows, HEADERS, tablefmt="pipe", disable_numparse=True, colalign=alignment)
    text = (
        f"# Conversion of a trained network\n\nThe standard network of the preset {preset}, trained for "
        f"{cells[0].training.epochs} epochs, errs {_mean(trained)} %. All its convolutions but the stem are converted "
        f"with n = {groups}, the statistics of its batch norms are re-estimated, and it is trained for one epoch "
        f"(one-cycle, peak rate {LEARNING_RATE:g}). Test errors in %, mean over the seeds 1 to {seeds} ± half the 95 % "
        f"interval.\n\n{grid}\n"
    )
    write_atomically(output, text)
    print(text)
    return 0


def _mean(values: Sequence[float]) -> str:
    return mean_text(mean_interval(values))


if __name__ == "__main__":
    run_script(lambda: tyro.cli(main))
