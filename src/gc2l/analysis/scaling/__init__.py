"""Table 2 from the measurements of `gc2l.scaling`: what was measured, and a cost model that predicts the rest."""

from gc2l.analysis.scaling.cost_model import LINKS, CostModel, Link, fit_cost_model
from gc2l.analysis.scaling.figure import speedup_against_groups
from gc2l.analysis.scaling.predictions import Prediction, predict_speedups
from gc2l.analysis.scaling.tables import TablePart, parts_of_table2, to_csv, to_latex, to_text

__all__ = [
    "LINKS",
    "CostModel",
    "Link",
    "Prediction",
    "TablePart",
    "fit_cost_model",
    "parts_of_table2",
    "predict_speedups",
    "speedup_against_groups",
    "to_csv",
    "to_latex",
    "to_text",
]
