"""Check all committed results against each other and against the code; exit with status 1 when something is wrong.

Records and measurements: the SHA-256 written beside each. Records: schema, configuration hash, curve, file name.
Networks: the counted parameters. Presets: they still contain these runs. Images: the fingerprint, if the images are on
this machine. Tables 1 to 4, the pages of measurements, ablations and beyond: they follow from the records. Released
weights: SHA-256, and the number of test errors, which must be the record's. Claims and figures are not checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from gc2l.campaign.script import run_script

import tyro

from gc2l.campaign.pages import grid_pages
from gc2l.cells import DataConfig, Preset, read_presets
from gc2l.evidence.publish import measurement_pages
from gc2l.evidence.verification import Check, check_files, check_pages, measured_files, verify
from gc2l.records import RunStore, WeightsFolder, read_scaling

PRESETS = Path(__file__).parent / "presets"
GRIDS = "pages of ablations and beyond"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to check.

    Attributes:
        runs: folder of the records.
        tables: folder of the tables.
        weights: folder of the released weights.
        measured: folder of what was measured beside the runs.
        data_root: folder of the data sets; nothing is downloaded.
    """

    runs: Path = Path("results/runs")
    tables: Path = Path("results/tables")
    weights: Path = Path("results/weights")
    measured: Path = Path("results")
    data_root: Path = field(default_factory=lambda: DataConfig().root)


def main() -> int:
    """Check everything, print the result, return the exit status."""
    arguments = tyro.cli(Arguments, description=__doc__)
    store, weights = RunStore(arguments.runs), WeightsFolder(arguments.weights)
    wrong = 0
    measured = check_files(measured_files(arguments.measured))
    scaling = [] if measured.failures else read_scaling(arguments.measured / "table2")
    pages = {} if measured.failures else measurement_pages(arguments.measured, arguments.tables)
    presets = read_presets(PRESETS)
    checks = verify(presets, store, arguments.tables, weights, arguments.data_root, scaling)
    grids = check_grids(presets, store, arguments.measured)
    for check in chain([measured, check_pages(pages), grids], checks):
        print(check, flush=True)
        wrong += len(check.failures)
    print("everything that was checked is right" if wrong == 0 else f"{wrong} WRONG")
    return 0 if wrong == 0 else 1


def check_grids(presets: Mapping[str, Preset], store: RunStore, folder: Path) -> Check:
    """Compare the pages of the ablations and of convolutions beyond the paper with what the records give."""
    try:
        pages = grid_pages(presets.values(), store, folder)
    except ValueError:  # the check of the records names the one that cannot be read
        return Check(name=GRIDS, passed=0, failures=("a record cannot be read",))
    return check_pages(pages, name=GRIDS, refresh="make ablations beyond JOBS=0, see CONTRIBUTING.md")


if __name__ == "__main__":
    run_script(main)
