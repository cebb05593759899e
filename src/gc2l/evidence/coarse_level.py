"""What the coarse level of a trained network does: its share of the output, the rank of C, means in place of r."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from gc2l.cells import Cell
from gc2l.evidence.released import count_test_errors, labelled_batches
from gc2l.nn import TwoLevelGroupConv2d
from gc2l.nn.convolution import keep_padding
from gc2l.ops.weights import channel_means
from gc2l.records.coarse_level import CoarseLayer, CoarseNetwork


def measure_coarse_level(network: nn.Module, cell: Cell) -> CoarseNetwork:
    """Everything of one trained network on the test set of `cell`.

    Raises:
        ValueError: no GC-2L layer with more than one group.
        FileNotFoundError: the images are not under the cell's root; nothing is downloaded.
    """
    layers = coarse_layers(network)
    shares, means = measure_layers(network, (images for images, _ in labelled_batches(cell)))

    def errors(changed: dict[str, Callable[[TwoLevelGroupConv2d], None]]) -> int:
        other = copy.deepcopy(network)
        for name, change in changed.items():
            change(coarse_layers(other)[name])
        return count_test_errors(other, cell)[0]

    as_mean = {name: _restricting_by(means[name]) for name in layers}
    wrong, images = count_test_errors(network, cell)
    return CoarseNetwork(
        slug=cell.slug,
        identity=cell.identity,
        images=images,
        errors=wrong,
        mean_errors=errors(as_mean),
        removed_errors=errors(dict.fromkeys(layers, _without_coarse_level)),
        layers=tuple(
            CoarseLayer(
                name=name,
                share=shares[name],
                effective_rank=effective_rank(layer.coarse_weight.detach().flatten(1)),
                coarse_channels=layer.coarse_weight.shape[1],
                mean_errors=errors({name: as_mean[name]}),
            )
            for name, layer in layers.items()
        ),
    )


def coarse_layers(network: nn.Module) -> dict[str, TwoLevelGroupConv2d]:
    """The GC-2L layers with more than one group, by name, in order.

    Raises:
        ValueError: there is none.
    """
    modules: Iterable[tuple[str, Any]] = network.named_modules()
    found = {name: part for name, part in modules if isinstance(part, TwoLevelGroupConv2d) and part.groups > 1}
    if not found:
        raise ValueError("network has no GC-2L layer with groups > 1")
    return found


def measure_layers(network: nn.Module, batches: Iterable[Tensor]) -> tuple[dict[str, float], dict[str, Tensor]]:
    """For each GC-2L layer the share of C z in its output, and the r that takes means of channels.

    The share is the energy (sum of squares) of C z over that of A x + C z. Both parts can cancel each other, so that
    it may exceed 1. The other r of a coarse channel gives the mean of the group's channels at the kernel's middle,
    times the factor with which this is nearest, in the least squares sense over the batches, to z.

    Returns:
        by the layer's name: the share, and r of the size of `restriction_weight`.
    """
    sums: dict[str, list[Tensor]] = {}
    layers = coarse_layers(network)
    hooks = [layer.register_forward_hook(_adding_to(sums.setdefault(name, []))) for name, layer in layers.items()]
    with torch.inference_mode():
        for images in batches:
            network(images)
    for hook in hooks:
        hook.remove()
    shares, means = {}, {}
    for name, layer in layers.items():
        coarse, whole, products, squares = sums[name]
        shares[name] = float(coarse / whole)
        means[name] = channel_means(layer.restriction_weight) * (products / squares).float()[:, None, None, None]
    return shares, means


def effective_rank(matrix: Tensor) -> float:
    """exp of the entropy of the singular values over their sum, between 1 and the rank (Roy, Vetterli 2007)."""
    values = torch.linalg.svdvals(matrix.double())
    return float(torch.special.entr(values / values.sum()).sum().exp())


def _adding_to(sums: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
    """A hook that adds up energies, of C z and of the output, and for each coarse channel z u and u u, u the mean."""

    def hook(layer: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        (x,) = inputs
        z, mean = (
            _restricted(layer, filters, x).double()
            for filters in (layer.restriction_weight, channel_means(layer.restriction_weight))
        )
        coarse = nn.functional.conv2d(z, layer.coarse_weight.double())
        bias = layer.dense_bias()
        whole = output.double() if bias is None else output.double() - bias.double()[:, None, None]
        axes = (0, 2, 3)
        found = [coarse.square().sum(), whole.square().sum(), (z * mean).sum(axes), mean.square().sum(axes)]
        sums[:] = [before + more for before, more in zip(sums, found, strict=True)] if sums else found

    return hook


def _restricted(layer: TwoLevelGroupConv2d, filters: Tensor, x: Tensor) -> Tensor:
    """r x with these filters (n m, c_in/n, k_h, k_w)."""
    c_in, groups = layer.in_channels, layer.groups
    mode: Any = layer.padding_mode
    restriction = nn.Conv2d(
        c_in, len(filters), layer.kernel_size, layer.stride, layer.padding, layer.dilation, groups, bias=False,
        padding_mode=mode, device="meta",
    )  # fmt: skip
    keep_padding(restriction, layer)
    restriction.weight = nn.Parameter(filters.detach(), requires_grad=False)
    found: Tensor = restriction(x)
    return found


def _restricting_by(filters: Tensor) -> Callable[[TwoLevelGroupConv2d], None]:
    def change(layer: TwoLevelGroupConv2d) -> None:
        layer.restriction_weight.data.copy_(filters)

    return change


def _without_coarse_level(layer: TwoLevelGroupConv2d) -> None:
    layer.coarse_weight.data.zero_()
