"""A preset small enough to write its tables down, and parameter counts that no network has."""

from gc2l.cells import Cell, Column, DataConfig, ModelConfig, Preset, TrainingConfig
from gc2l.paper import TABLES, reported_rows
from gc2l.paper.parameter_count import ParameterCount

CIFAR = Column(
    network="wide_resnet_28_10",
    dataset="cifar10",
    template=Cell(
        preset="tiny",
        model=ModelConfig(depth=10, width=2),
        data=DataConfig(name="digits"),
        training=TrainingConfig(epochs=1),
    ),
)
IMAGENET = Column(
    network="mobilenet_v2",
    dataset="imagenet",
    template=Cell(
        preset="tiny",
        model=ModelConfig(network="mobilenet_v2", depth=None, width=0.25),
        data=DataConfig(name="digits", image_size=32),
        training=TrainingConfig(epochs=2),
    ),
)
TINY = Preset(name="tiny", description="for tests", columns=(CIFAR, IMAGENET))
PRESETS = {"tiny": TINY}

COMPUTED = {
    (row.network, row.variant, row.groups): ParameterCount(
        total=round(1e6 * row.parameters_millions), per_processor=round(1e6 * row.parameters_millions / row.groups)
    )
    for table in TABLES
    for row in reported_rows(table)
}
