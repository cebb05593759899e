"""What is to be run: a cell is one run, a preset scales the paper's runs to a budget, a grid is a table's cells."""

from gc2l.cells.cell import Cell, DataConfig, ModelConfig, TrainingConfig
from gc2l.cells.grid import table_cells
from gc2l.cells.preset import Column, Preset, read_preset, read_presets

__all__ = [
    "Cell",
    "Column",
    "DataConfig",
    "ModelConfig",
    "Preset",
    "TrainingConfig",
    "read_preset",
    "read_presets",
    "table_cells",
]
