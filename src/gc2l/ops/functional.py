"""The convolutions as functions, each computed in one of several ways that give the same numbers.

Shapes are those of `gc2l.ops.reference`. A hand-written way serves ordinary backpropagation of batches (N, c_in, H, W);
single images, empty batches, complex numbers, compilers, export and the transforms of `torch.func` get a differentiable
formula.
"""

from torch import Tensor

from gc2l.names import unknown
from gc2l.ops import coarse_products, dense_restriction, folded, fused, matrix_products, one_kernel, reference
from gc2l.ops.autograd import GroupConvolution, TwoLevelConvolution
from gc2l.ops.cuda import on_card
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import is_channels_last, pointwise_input, to_channels_last
from gc2l.ops.transforms import autocast, needs_formula

GROUP_WAYS = ("grouped", "direct", "channels_last", "folded", "matmul", "triton")
TWO_LEVEL_WAYS = ("separate", "direct", "fused", "dense_restriction", "matmul", "folded", "triton")

_WHOLE_GROUP = {"folded": folded.group, "triton": on_card.group}
_FORMULAS = {
    "fused": fused.formula,
    "dense_restriction": dense_restriction.formula,
    "folded": folded.two_level,
}
_HAND_WRITTEN = {
    "direct": one_kernel.TWO_LEVEL,
    "fused": fused.WAY,
    "dense_restriction": dense_restriction.WAY,
    "matmul": coarse_products.WAY,
}


def check_way(way: str, known: tuple[str, ...]) -> None:
    """Check the name of a way, or "auto".

    Raises:
        ValueError: it is neither.
    """
    if way not in ("auto", *known):
        raise unknown("algorithm", way, ("auto", *known))


def _needs_formula(x: Tensor) -> bool:
    # The backward passes written here are those of real numbers.
    return needs_formula() or x.dim() != 4 or not x.numel() or x.is_complex()


def group_conv(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, way: str) -> Tensor:
    """Group convolution by one of `GROUP_WAYS`, in the memory format of x.

    Raises:
        ValueError: "matmul" for a kernel other than 1 x 1.
    """
    if way == "matmul" and weight.shape[2:] != (1, 1):
        size = tuple(weight.shape[2:])
        raise ValueError(f"algorithm='matmul' of a group convolution needs kernel_size=1, not {size}")
    if way in _WHOLE_GROUP:
        return _WHOLE_GROUP[way](x, weight, bias, geometry)
    if _needs_formula(x):
        return reference.group(x, weight, bias, geometry)
    if way == "matmul":
        return matrix_products.group(x, weight, bias, geometry)
    if way == "channels_last" and not is_channels_last(x):
        return reference.group(to_channels_last(x), weight, bias, geometry).contiguous()
    if way == "direct":
        x, weight, bias = autocast(x, weight, bias)
        if one_kernel.can_group(x, weight, geometry):
            return GroupConvolution.apply(one_kernel.GROUP, x, weight, bias, geometry)
    return reference.group(x, weight, bias, geometry)


def two_level_conv(
    x: Tensor,
    weight: Tensor,
    restriction: Tensor,
    coarse: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    way: str,
) -> Tensor:
    """Two-level group convolution by one of `TWO_LEVEL_WAYS`, in the memory format of x."""
    if way == "triton":
        return on_card.two_level(x, weight, restriction, coarse, bias, geometry)
    if way not in _HAND_WRITTEN or _needs_formula(x):
        return _FORMULAS.get(way, reference.two_level)(x, weight, restriction, coarse, bias, geometry)
    read, *tensors = autocast(x, weight, restriction, coarse, bias)
    if way == "matmul" and weight.shape[2:] == (1, 1):
        read = pointwise_input(read, geometry)
        geometry = geometry._replace(stride=(1, 1), padding=(0, 0))
    # Copied here, not by the autograd function: for second derivatives it has to save its own inputs.
    y = TwoLevelConvolution.apply(_HAND_WRITTEN[way], to_channels_last(read), *tensors, geometry)
    return y if is_channels_last(x) else y.contiguous()
