"""Parameter counts: every network of Tables 1-4, built without memory and counted, beside the printed number.

A row is a network, a variant and a number of groups of one table; CIFAR-10 and CIFAR-100 share one. Counts are rounded
to the nearest number with the digits that the table prints; exits with status 1 when one then differs from it.
"""

from gc2l.campaign.script import run_script

from tabulate import tabulate

from gc2l.models import paper_parameter_counts
from gc2l.paper import PARAMETER_DECIMALS, TABLES, reported_rows
from gc2l.variants import VARIANTS

HEADERS = ("table", "network", "variant", "n", "printed (M)", "counted (M)", "", "counted", "on one of n processors")


def main() -> int:
    """Count, print, compare."""
    lines = []
    for table in TABLES:
        rows = {(row.network, row.variant, row.groups): row for row in reported_rows(table)}
        counts = paper_parameter_counts(rows.values())
        for (network, variant, groups), row in rows.items():
            count = counts[network, variant, groups]
            decimals = PARAMETER_DECIMALS[table]
            printed, counted = f"{row.parameters_millions:.{decimals}f}", f"{count.total / 1e6:.{decimals}f}"
            verdict = "equal" if printed == counted else "DIFFERS"
            label = VARIANTS[variant].label
            exact = f"{count.total:,}", f"{count.per_processor:,}"
            lines.append((table, network, label, groups, printed, counted, verdict, *exact))
    aligned = ("left", "left", "left", "right", "right", "right", "left", "right", "right")
    print(tabulate(lines, HEADERS, disable_numparse=True, colalign=aligned))
    equal = sum(line[6] == "equal" for line in lines)
    print(f"\n{equal} of {len(lines)}")
    return 0 if equal == len(lines) else 1


if __name__ == "__main__":
    run_script(main)
