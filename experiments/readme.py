"""Update the numbers in README.md, results/README.md and docs/faults.md from the records; `make report` runs this."""

from dataclasses import dataclass
from pathlib import Path

from gc2l.campaign.script import run_script

import tyro

from gc2l.analysis import RunIndex, comparison_table
from gc2l.analysis.claims import evaluate, read_approximations
from gc2l.analysis.readme import (
    contradicted_parts,
    cost_table,
    coverage,
    error_grid,
    replace_block,
    verdict_summary,
    verdict_table,
)
from gc2l.analysis.trials import trials_table
from gc2l.cells import read_presets
from gc2l.evidence.exact import gather_evidence
from gc2l.models import paper_parameter_counts
from gc2l.paper import TABLES, reported_rows
from gc2l.records import RunStore, read_trials, write_atomically

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The repository.

    Attributes:
        root: folder of the repository.
    """

    root: Path = Path()


def main() -> int:
    """Compute the blocks and insert them."""
    arguments = tyro.cli(Arguments, description=__doc__)
    for path, text in readmes(arguments.root).items():
        write_atomically(path, text)
        print(path)
    return 0


def readmes(root: Path) -> dict[Path, str]:
    """These pages as they should be."""
    presets, results = read_presets(PRESETS), root / "results"
    records = RunStore(results / "runs").all()
    approximations = read_approximations(results / "approximation.csv")
    findings = evaluate(gather_evidence(presets, RunIndex(records), approximations, results))
    counts = paper_parameter_counts(row for table in TABLES for row in reported_rows(table))
    tables = {table: comparison_table(table, presets, records, computed=counts) for table in TABLES}
    blocks = {
        root / "README.md": {
            "verdicts in short": verdict_summary(findings),
            "table 1": error_grid(tables["table1"]),
        },
        results / "README.md": {
            "verdicts": verdict_table(findings),
            "against": contradicted_parts(findings),
            "coverage": coverage(list(tables.values())),
            "cost": cost_table(records),
        },
        root / "docs" / "faults.md": {"trials": trials_table(read_trials(results / "faults.json").rows)},
    }
    texts = {}
    for path, contents in blocks.items():
        texts[path] = path.read_text(encoding="utf-8")
        for name, content in contents.items():
            texts[path] = replace_block(texts[path], name, content)
    return texts


if __name__ == "__main__":
    run_script(main)
