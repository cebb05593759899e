"""The report: verdicts, figures, tables, costs and commands on one page, results/report/index.html. Trains nothing."""

import os
from dataclasses import dataclass
from pathlib import Path

from gc2l.campaign.script import run_script

import tyro

from gc2l.analysis import RunIndex, comparison_table
from gc2l.analysis.claims import evaluate, read_approximations
from gc2l.analysis.figures import FIGURES, to_bytes
from gc2l.analysis.report import report_page
from gc2l.cells import read_presets
from gc2l.evidence.exact import gather_evidence
from gc2l.models import paper_parameter_counts
from gc2l.paper import TABLES, reported_rows
from gc2l.records import RunStore, write_atomically

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Input and output paths.

    Attributes:
        runs: folder of the records.
        approximation: what was measured on trained weights.
        measured: folder of what make table2, make wire and make edge measured.
        output: the page.
    """

    runs: Path = Path("results/runs")
    approximation: Path = Path("results/approximation.csv")
    measured: Path = Path("results")
    output: Path = Path("results/report/index.html")


def main() -> int:
    """Gather everything, render, write."""
    arguments = tyro.cli(Arguments, description=__doc__)
    presets, store = read_presets(PRESETS), RunStore(arguments.runs)
    records = store.all()
    index = RunIndex(records)
    approximations = read_approximations(arguments.approximation)
    counts = paper_parameter_counts(row for table in TABLES for row in reported_rows(table))
    files = {(record.preset, record.identity): path for path, record in zip(store.paths(), records, strict=True)}
    page = report_page(
        tables=[comparison_table(table, presets, records, computed=counts) for table in TABLES],
        findings=evaluate(gather_evidence(presets, index, approximations, arguments.measured)),
        figures={name: to_bytes(draw(presets, index, approximations), "svg") for name, draw in FIGURES.items()},
        records=records,
        link=lambda record: Path(
            os.path.relpath(files[record.preset, record.identity], arguments.output.parent)
        ).as_posix(),
    )
    write_atomically(arguments.output, page)
    print(arguments.output)
    return 0


if __name__ == "__main__":
    run_script(main)
