"""Speed, as ratios of running times measured alternately in one process; (a) to (e) are the tables of `make bench`."""

import gc2l.models.torchvision_import  # noqa: F401  Lightning imports torchvision, which needs this first
