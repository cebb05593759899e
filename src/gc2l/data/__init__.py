"""The images: where they come from, how they are checked, ordered and augmented."""

import gc2l.models.torchvision_import  # noqa: F401  Lightning imports torchvision, which needs this first
from gc2l.data.info import DatasetInfo, dataset_info
from gc2l.data.module import make_data_module

__all__ = ["DatasetInfo", "dataset_info", "make_data_module"]
