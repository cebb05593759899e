"""From records to tables and statistics, without training, writing files or importing torch."""

from gc2l.analysis.render import FORMATS, to_csv, to_latex, to_markdown, to_terminal
from gc2l.analysis.selection import RunIndex
from gc2l.analysis.statistics import Estimate, mean_interval, paired_difference, slope
from gc2l.analysis.tables import ComparisonTable, Reproduction, comparison_table

__all__ = [
    "FORMATS",
    "ComparisonTable",
    "Estimate",
    "Reproduction",
    "RunIndex",
    "comparison_table",
    "mean_interval",
    "paired_difference",
    "slope",
    "to_csv",
    "to_latex",
    "to_markdown",
    "to_terminal",
]
