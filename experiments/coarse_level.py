"""What the coarse level of the released GC-2L networks does: results/coarse_level.json, with
results/tables/coarse_level.md and figures/coarse_level.svg.

Measured on the test images, which have to be on this machine (GC2L_DATA).
"""

from pathlib import Path

from gc2l.campaign.script import run_script

import tyro

from gc2l.cells import DataConfig
from gc2l.evidence import list_released, load_released
from gc2l.evidence.coarse_level import measure_coarse_level
from gc2l.evidence.publish import publish_coarse_level
from gc2l.evidence.released import recorded_cell
from gc2l.records import CoarseLevelRecord, save_measurement
from gc2l.records.environment import describe_environment


def main(results: Path = Path("results"), data_root: Path | None = None) -> int:
    """Measure, write, print.

    Args:
        results: folder of the released weights, the record, the table and the figure.
        data_root: folder of the data sets, by default that of the variable GC2L_DATA.

    Raises:
        ValueError: no GC-2L network is released there; an earlier record stays as it is.
    """
    root = data_root or DataConfig().root
    found = [released for released in list_released(results) if released.cell.model.variant == "gc2l"]
    if not found:
        raise ValueError(f"results={results} has no released GC-2L network to measure; make weights releases them")
    environment = describe_environment()
    networks = tuple(
        measure_coarse_level(load_released(one.name, results), recorded_cell(one.record, root)) for one in found
    )
    record = CoarseLevelRecord(
        commit=environment.commit, dirty=environment.dirty, versions=environment.versions, networks=networks
    )
    save_measurement(record, results / "coarse_level.json")
    print(publish_coarse_level(record, results / "tables", results / "figures"), end="")
    return 0


if __name__ == "__main__":
    run_script(lambda: tyro.cli(main, description=__doc__))
