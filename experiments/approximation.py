"""How well GC and GC-2L approximate the layers of every trained SC network (claim A6): results/approximation.csv.

Measures the recorded SC runs that are not in the file yet and whose final weights are on this machine. What the file
has of runs whose records are not here stays.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gc2l.campaign.script import run_script

import tyro
from safetensors.numpy import load

from gc2l.analysis import RunIndex
from gc2l.analysis.claims.network_approximation import Approximation, approximate, read_approximations, to_csv
from gc2l.cells import Cell, Preset, read_presets
from gc2l.files import write_checked
from gc2l.paper import TABLES, reported_rows
from gc2l.records import Record, RunStore, read_final_weights

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Input and output paths.

    Attributes:
        runs: folder of the records.
        weights: folder of the final weights that training writes.
        output: the file.
    """

    runs: Path = Path("results/runs")
    weights: Path = Path(".scratch/weights")
    output: Path = Path("results/approximation.csv")


def main() -> int:
    """Measure, merge, write."""
    arguments = tyro.cli(Arguments, description=__doc__)
    presets, index = read_presets(PRESETS), RunIndex(RunStore(arguments.runs).all())
    known = read_approximations(arguments.output)
    kept: list[Approximation] = []
    recorded = set()
    for cell, groups, record in standard_runs(presets.values(), index):
        recorded.add((cell.preset, cell.identity))
        weights = record.weights_sha256 or ""
        own = [one for one in known if (one.preset, one.identity) == (cell.preset, cell.identity)]
        measured = [one for one in own if one.weights_sha256 == weights]
        path = arguments.weights / f"{cell.slug}-{cell.identity}.safetensors"
        if measured:
            kept += measured
        elif path.exists():
            try:
                content = read_final_weights(path, record)
            except ValueError as error:
                print(f"{cell.slug} is not measured: {error}")
                continue
            kept += approximate(load(content), groups, record)
            print(path)
        elif own:
            print(f"{cell.slug} is dropped: it was measured before it was trained again, and {path} is missing")
    others = [one for one in known if (one.preset, one.identity) not in recorded]
    if others:
        names = ", ".join(dict.fromkeys(f"{one.preset}/{one.identity}" for one in others))
        print(f"kept without a record in {arguments.runs}: {names}")
    kept += others
    write_checked(arguments.output, to_csv(kept))
    print(f"{arguments.output}: {len({(one.preset, one.identity) for one in kept})} networks")
    return 0


def standard_runs(presets: Iterable[Preset], index: RunIndex) -> Iterator[tuple[Cell, list[int], Record]]:
    """Every finished SC run of the presets, the numbers of groups that the paper has in its column, and its record."""
    for preset in presets:
        for column in preset.columns:
            rows = [row for table in TABLES for row in reported_rows(table)]
            printed = {row.groups for row in rows if (row.network, row.dataset) == (column.network, column.dataset)}
            for record in index.runs(column, "sc", 1):
                if record.status == "finished":
                    yield column.cell("sc", 1, record.seed), sorted(printed - {1}), record


if __name__ == "__main__":
    run_script(main)
