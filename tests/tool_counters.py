"""How many multiplications tools count in a layer: one check for each."""

# ruff: noqa: PLC0415  (most of the tools are not installed: each check imports its own)

from collections.abc import Callable

from tool_checks import make_input, make_layer
from torch import Tensor, nn

FORMULA = {"gc": "grouped", "gc2l": "separate", "shuffle": "grouped"}
"""The algorithm that does what the formula says, and no more: the others may compute as a dense convolution."""


def counted(count: Callable[[nn.Module, Tensor], float]) -> Callable[[str], str]:
    """The check of what counts the multiplications of a forward pass."""

    def check(variant: str) -> str:
        algorithm = {"algorithm": FORMULA[variant]} if variant in FORMULA else {}
        layer, x = make_layer(variant, bias=False, **algorithm), make_input()[:1]
        # Stride 1: each weight is multiplied once for each pixel. The logits of FLGC make a mask, up to 2 % more.
        weights = sum(value.numel() for name, value in layer.named_parameters() if "logits" not in name)
        ratio = count(nn.Sequential(layer), x) / (weights * x.shape[2] * x.shape[3])
        return "right" if 1 <= ratio < 1.02 else "wrong"

    return check


def flop_counter(network: nn.Module, x: Tensor) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(x)
    return counter.get_total_flops() / 2


def fvcore(network: nn.Module, x: Tensor) -> float:
    from fvcore.nn import FlopCountAnalysis

    return FlopCountAnalysis(network, x).unsupported_ops_warnings(False).total()


def calflops(network: nn.Module, x: Tensor) -> float:
    from calflops import calculate_flops

    shape = tuple(x.shape)
    return calculate_flops(network, input_shape=shape, print_results=False, output_as_string=False)[1]


def ptflops(backend: str) -> Callable[[nn.Module, Tensor], float]:
    def count(network: nn.Module, x: Tensor) -> float:
        from ptflops import get_model_complexity_info

        options = {"as_strings": False, "print_per_layer_stat": False, "backend": backend}
        return get_model_complexity_info(network, tuple(x.shape[1:]), **options)[0]

    return count


def thop(network: nn.Module, x: Tensor) -> float:
    from thop import profile

    return profile(network, (x,), verbose=False)[0]


def torchinfo(network: nn.Module, x: Tensor) -> float:
    from torchinfo import summary

    return summary(network, input_data=x, verbose=0).total_mult_adds


def torch_pruning_count(network: nn.Module, x: Tensor) -> float:
    from torch_pruning.utils import count_ops_and_params

    return count_ops_and_params(network, x)[0]
