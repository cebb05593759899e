"""Write Tables 1, 3 and 4 again from the records that there are; nothing is trained."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from gc2l.cells import read_presets
from gc2l.command_line import run_script
from gc2l.publish import publish_table
from gc2l.records import RunStore

PRESETS = Path(__file__).parent / "presets"
TABLES = ("table1", "table3", "table4")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Where to read and write.

    Attributes:
        runs: folder of the records.
        output: folder of the tables.
    """

    runs: Path = Path("results/runs")
    output: Path = Path("results/tables")


def main() -> int:
    """Publish every table."""
    arguments = tyro.cli(Arguments, description=__doc__)
    presets, store = read_presets(PRESETS), RunStore(arguments.runs)
    for table in TABLES:
        print(publish_table(table, presets, store, arguments.output))
    return 0


if __name__ == "__main__":
    run_script(main)
