"""The figures, each a function from presets and runs to a matplotlib Figure; none of them writes a file.

To add a figure, write its function into the file of its subject and name it in `FIGURES`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from matplotlib.figure import Figure

from gc2l.analysis.figures.agreement import reported_against_reproduced
from gc2l.analysis.figures.groups import error_against_groups
from gc2l.analysis.figures.loss import training_loss
from gc2l.analysis.figures.parameters import error_against_parameters
from gc2l.analysis.figures.schematic import schematic
from gc2l.analysis.figures.style import FILE_FORMATS, to_bytes
from gc2l.analysis.selection import RunIndex
from gc2l.cells import Preset

FIGURES: Mapping[str, Callable[[Mapping[str, Preset], RunIndex], Figure]] = MappingProxyType(
    {
        "schematic": lambda presets, index: schematic(),
        "fig4_loss": training_loss,
        "fig5_error_vs_groups": lambda presets, index: error_against_groups("table3", presets, index),
        "fig7_error_vs_groups": lambda presets, index: error_against_groups("table4", presets, index),
        "error_vs_parameters": error_against_parameters,
        "reported_vs_reproduced": reported_against_reproduced,
    }
)
"""Every figure by the name of its file."""

__all__ = ["FIGURES", "FILE_FORMATS", "to_bytes"]
