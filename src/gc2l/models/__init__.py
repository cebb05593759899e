"""The networks of the paper with any of the convolutions, the conversion of any other network, parameter counts."""

from gc2l.models.build import build_model, paper_network
from gc2l.models.compact import compact_state, load_compact_state
from gc2l.models.conversion import Decision, convert, plan_conversion
from gc2l.models.fusion import fuse_batch_norm
from gc2l.models.mobilenet import mobilenet_v2
from gc2l.models.parameters import count_parameters, model_parameter_count, paper_parameter_counts
from gc2l.models.torchvision_operators import declare_missing_operators
from gc2l.models.wide_resnet import WideResNet, wide_resnet_cifar, wide_resnet_imagenet

declare_missing_operators()

__all__ = [
    "Decision",
    "WideResNet",
    "build_model",
    "compact_state",
    "convert",
    "count_parameters",
    "fuse_batch_norm",
    "load_compact_state",
    "mobilenet_v2",
    "model_parameter_count",
    "paper_network",
    "paper_parameter_counts",
    "plan_conversion",
    "wide_resnet_cifar",
    "wide_resnet_imagenet",
]
