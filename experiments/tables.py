"""Write all tables again from the existing records; trains and measures nothing."""

from dataclasses import dataclass
from pathlib import Path

from gc2l.campaign.script import run_script

import tyro

from gc2l.cells import read_presets
from gc2l.evidence.publish import (
    publish_coarse_level,
    publish_conversion,
    publish_inference,
    publish_table,
    publish_table2,
)
from gc2l.records import RunStore, read_coarse_level, read_conversion, read_inference, read_scaling

PRESETS = Path(__file__).parent / "presets"
TABLES = ("table1", "table3", "table4")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Input and output paths.

    Attributes:
        runs: folder of the records.
        measured: folder of what make table2, make edge and make coarse measured.
        output: folder of the tables.
        figures: folder of the figures.
        beyond: folder of the page of conversions.
    """

    runs: Path = Path("results/runs")
    measured: Path = Path("results")
    output: Path = Path("results/tables")
    figures: Path = Path("results/figures")
    beyond: Path = Path("results/beyond")


def main() -> int:
    """Publish every table."""
    arguments = tyro.cli(Arguments, description=__doc__)
    presets, store = read_presets(PRESETS), RunStore(arguments.runs)
    for table in TABLES:
        print(publish_table(table, presets, store, arguments.output))
    if scaling := read_scaling(arguments.measured / "table2"):
        print(publish_table2(scaling, arguments.output, arguments.figures))
    if inference := read_inference(arguments.measured / "inference.json"):
        print(publish_inference(inference, arguments.output, arguments.figures))
    if coarse := read_coarse_level(arguments.measured / "coarse_level.json"):
        print(publish_coarse_level(coarse, arguments.output, arguments.figures))
    if conversion := read_conversion(arguments.measured / "beyond/conversion.json"):
        print(publish_conversion(conversion, arguments.beyond))
    return 0


if __name__ == "__main__":
    run_script(main)
