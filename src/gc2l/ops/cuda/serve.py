"""Where the Triton kernels can be used, and one line in the log where they cannot. Imports no Triton."""

import logging
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from gc2l.ops.geometry import Geometry
from gc2l.ops.transforms import is_observed

_LEAST_CAPABILITY = (8, 0)  # matrix units for bfloat16 and tf32, and loads that go past the registers
_MOST_PIXELS = 2**31 - 2**16  # pixels are counted in 32 bits, numbers in 64
_log = logging.getLogger(__name__)


def obstacle(x: Tensor, weight: Tensor, geometry: Geometry) -> str | None:
    """Why the kernels cannot convolve x (N, c_in, H, W) with these weights; None if they can."""
    found = obstacle_of_device(x, weight)
    if found is not None:
        return found
    if x.dtype not in (torch.bfloat16, torch.float16, torch.float32):
        return f"there is none for {x.dtype}"
    if x.shape[1] != geometry.in_channels(weight):  # an error, the framework's
        return f"x has {x.shape[1]} channels, the weights are for {geometry.in_channels(weight)}"
    size = geometry.output_size((x.shape[2], x.shape[3]), (weight.shape[2], weight.shape[3]))
    if not x.numel() or not weight.numel() or min(size) < 1:
        return "there is nothing to compute"
    if any(stride > 1 and dilation > 1 for stride, dilation in zip(geometry.stride, geometry.dilation, strict=True)):
        return f"stride={geometry.stride} together with dilation={geometry.dilation} is not among their shapes"
    pixels = max(len(x) * x.shape[2] * x.shape[3], len(x) * size[0] * size[1])
    return "the batch has too many pixels" if pixels > _MOST_PIXELS else None


def obstacle_of_device(x: Tensor, weight: Tensor) -> str | None:
    """Why no kernel of ours can run where x is, or with such tensors; None if they can."""
    if not has_triton():
        return "Triton is not installed"
    if is_observed(x, weight):
        return "a tensor subclass or a mode has to see every operation"
    if not x.is_cuda:
        return None if _interpreted() else f"x is on {x.device}, not on a CUDA card"
    capability = torch.cuda.get_device_capability(x.device)
    if capability < _LEAST_CAPABILITY:
        return f"{torch.cuda.get_device_name(x.device)} has compute capability {capability}, they need (8, 0)"
    return None


@cache
def has_triton() -> bool:
    """Whether Triton is installed."""
    return find_spec("triton") is not None


@cache
def report(reason: str) -> None:
    """Say once that the framework's kernels take the place of ours."""
    _log.warning("the framework's convolution takes the place of the Triton kernels: %s", reason)


def _interpreted() -> bool:
    import triton  # noqa: PLC0415

    return bool(triton.knobs.runtime.interpret)
