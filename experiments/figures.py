"""The figures, from the records of every preset: results/figures/<name>.{svg,pdf,png}. Trains nothing."""

from dataclasses import dataclass
from pathlib import Path

from gc2l.campaign.script import run_script

import tyro

from gc2l.analysis import RunIndex
from gc2l.analysis.claims import read_approximations
from gc2l.analysis.figures import FIGURES, FILE_FORMATS, to_bytes
from gc2l.cells import read_presets
from gc2l.records import RunStore, write_atomically

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Input and output paths.

    Attributes:
        runs: folder of the records.
        approximation: what was measured on trained weights.
        output: folder of the figures.
    """

    runs: Path = Path("results/runs")
    approximation: Path = Path("results/approximation.csv")
    output: Path = Path("results/figures")


def main() -> int:
    """Draw and write every figure, print the paths."""
    arguments = tyro.cli(Arguments, description=__doc__)
    presets, index = read_presets(PRESETS), RunIndex(RunStore(arguments.runs).all())
    approximations = read_approximations(arguments.approximation)
    for name, draw in FIGURES.items():
        figure = draw(presets, index, approximations)
        for file_format in FILE_FORMATS:
            path = arguments.output / f"{name}.{file_format}"
            write_atomically(path, to_bytes(figure, file_format))
            print(path)
    return 0


if __name__ == "__main__":
    run_script(main)
