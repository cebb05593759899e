"""Table 2 from the measurements of `gc2l.scaling`: the measured times, and a cost model that predicts the others."""

from gc2l.analysis.scaling.cost_model import LINKS, CostModel, Link, fit_cost_model
from gc2l.analysis.scaling.least_squares import Range, fit_times
from gc2l.analysis.scaling.predictions import Prediction, predict_speedups
from gc2l.analysis.scaling.table_part import TablePart, to_csv, to_latex, to_text
from gc2l.analysis.scaling.tables import parts_of_table2

__all__ = [
    "LINKS",
    "CostModel",
    "Link",
    "Prediction",
    "Range",
    "TablePart",
    "fit_cost_model",
    "fit_times",
    "parts_of_table2",
    "predict_speedups",
    "to_csv",
    "to_latex",
    "to_text",
]
