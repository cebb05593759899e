"""Every claim of the paper beside the evidence: reproduced, contradicted, inconclusive or not yet tested.

Trains nothing. Prints a summary and writes results/claims.md, with every comparison, and results/claims.json.
"""

from dataclasses import dataclass
from pathlib import Path

from gc2l.campaign.script import run_script

import tyro

from gc2l.analysis import RunIndex
from gc2l.analysis.claims import evaluate, read_approximations, to_json, to_markdown, to_terminal
from gc2l.cells import read_presets
from gc2l.evidence.exact import gather_evidence
from gc2l.records import RunStore, write_atomically

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Input and output paths.

    Attributes:
        runs: folder of the records.
        approximation: what was measured on trained weights.
        measured: folder of what make table2, make wire and make edge measured.
        output: folder of claims.md and claims.json.
    """

    runs: Path = Path("results/runs")
    approximation: Path = Path("results/approximation.csv")
    measured: Path = Path("results")
    output: Path = Path("results")


def main() -> int:
    """Gather the evidence, evaluate the claims, write."""
    arguments = tyro.cli(Arguments, description=__doc__)
    index = RunIndex(RunStore(arguments.runs).all())
    approximations = read_approximations(arguments.approximation)
    findings = evaluate(gather_evidence(read_presets(PRESETS), index, approximations, arguments.measured))
    write_atomically(arguments.output / "claims.md", to_markdown(findings))
    write_atomically(arguments.output / "claims.json", to_json(findings))
    print(to_terminal(findings), end="")
    return 0


if __name__ == "__main__":
    run_script(main)
