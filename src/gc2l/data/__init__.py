"""The images: where they come from, how they are checked, ordered and augmented."""

from gc2l.data.facts import DatasetFacts, dataset_facts
from gc2l.data.module import make_data_module
from gc2l.models import torchvision_import  # noqa: F401 - first: PyTorch Lightning imports torchvision

__all__ = ["DatasetFacts", "dataset_facts", "make_data_module"]
