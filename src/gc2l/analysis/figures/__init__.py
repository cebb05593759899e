"""The figures, each a function from presets, runs and approximations to a matplotlib Figure; none writes a file.

To add a figure, write its function into the file of its subject and name it in `FIGURES`.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from matplotlib.figure import Figure

from gc2l.analysis.claims.network_approximation import Approximation
from gc2l.analysis.figures.agreement import reported_against_reproduced
from gc2l.analysis.figures.approximation import layer_approximation
from gc2l.analysis.figures.groups import error_against_groups
from gc2l.analysis.figures.loss import training_loss
from gc2l.analysis.figures.parameters import error_against_parameters
from gc2l.analysis.figures.schematic import schematic
from gc2l.analysis.figures.style import FILE_FORMATS, to_bytes
from gc2l.analysis.selection import RunIndex
from gc2l.cells import Preset

Draw = Callable[[Mapping[str, Preset], RunIndex, Sequence[Approximation]], Figure]
FIGURES: Mapping[str, Draw] = MappingProxyType(
    {
        "schematic": lambda presets, index, approximations: schematic(),
        "fig4_loss": lambda presets, index, approximations: training_loss(presets, index),
        "fig5_error_vs_groups": lambda presets, index, approximations: error_against_groups("table3", presets, index),
        "fig7_error_vs_groups": lambda presets, index, approximations: error_against_groups("table4", presets, index),
        "error_vs_parameters": lambda presets, index, approximations: error_against_parameters(presets, index),
        "reported_vs_reproduced": lambda presets, index, approximations: reported_against_reproduced(presets, index),
        "layer_approximation": layer_approximation,
    }
)
"""Every figure by the name of its file."""

__all__ = ["FIGURES", "FILE_FORMATS", "to_bytes"]
