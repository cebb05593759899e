"""From a network in one process to its rank-local form."""

import hashlib
from collections.abc import Callable
from pkgutil import resolve_name

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from gc2l.models import WideResNet
from gc2l.models.torchvision_import import torchvision
from gc2l.nn import Convolution, GroupConv2d, LearnableGroupConv2d, ShuffleGroupConv2d, TwoLevelGroupConv2d
from gc2l.nn.convolution import has_hooks
from gc2l.parallel.classifier import SharedDropout, SummedLinear
from gc2l.parallel.fake_group import FakeProcessGroup
from gc2l.parallel.learnable import GatheredLearnableConv2d
from gc2l.parallel.link import Link
from gc2l.parallel.local import local_batch_norm, local_convolution
from gc2l.parallel.mesh import CHANNEL, check_same_on_all_ranks
from gc2l.parallel.shuffle import ExchangedShuffleConv2d
from gc2l.parallel.standard import GatheredConv2d
from gc2l.parallel.two_level import GatheredTwoLevelConv2d
from gc2l.variants import VARIANTS

NETWORKS = (WideResNet, torchvision.models.MobileNetV2)
"""Networks whose forward functions treat every channel alike between the layers that are replaced."""


def parallel_variants() -> tuple[str, ...]:
    """The keys of `gc2l.variants.VARIANTS` whose layers have a channel-parallel form; `parallelize` refuses others."""
    return tuple(name for name, variant in VARIANTS.items() if resolve_name(variant.layer) in _CONVOLUTIONS)


def parallelize(network: nn.Module, mesh: DeviceMesh, *, overlap: bool = True) -> nn.Module:
    """Replace the layers of `network`, in place, by those of this rank; `consolidate` goes back.

    Rank j of p then holds channels j c/p to (j + 1) c/p - 1 of every activation and the parameters that produce them,
    under the names they had. Images and logits are alike on all channel ranks. Every channel rank must pass the same
    weights: seed alike before building the network.

    Args:
        network: one of `gc2l.models`: a wide residual network or MobileNetV2, with any variant.
        mesh: of (data, channel), see `make_mesh`.
        overlap: see `GatheredTwoLevelConv2d`.

    Returns:
        `network`.

    Raises:
        TypeError: another kind of network; a layer in it that has no channel-parallel form; a layer to be replaced that
            has hooks or a parametrization, as pruning and weight norm give it, or that stands in two places; or two
            layers with a parameter in common.
        ValueError: channel ranks that do not divide the groups or channels of a layer, or whose networks differ.
            The network is unchanged after either.
    """
    group = mesh.get_group(CHANNEL)
    _check_network(network, group.size())
    check_same_on_all_ranks("network (hash of its layers and weights)", _fingerprint(network), group)
    return _divide(network, group, overlap=overlap)


def rank_share(network: nn.Module, ranks: int) -> nn.Module:
    """Replace the layers of `network`, in place, by those of the first of `ranks` ranks, without the other ranks.

    The data of the others is synthetic, see `FakeProcessGroup`: such a network costs as much as the share of a rank,
    but computes other values. It serves to time one rank on hardware that cannot hold or run all of them. On the meta
    device it costs no memory.

    Args:
        network: as for `parallelize`.
        ranks: p.

    Returns:
        `network`.

    Raises:
        TypeError, ValueError: as `parallelize`.
    """
    _check_network(network, ranks)
    return _divide(network, FakeProcessGroup(ranks), overlap=False)


def _check_network(network: nn.Module, p: int) -> None:
    if not isinstance(network, NETWORKS):
        names = ", ".join(kind.__name__ for kind in NETWORKS)
        raise TypeError(f"network is a {type(network).__name__}; a channel-parallel form exists of {names}")
    for name, layer in network.named_modules():
        # Parametrized layers are among these.
        if list(layer.children()) and _tensors(layer):
            raise TypeError(
                f"layer {name!r} ({type(layer).__name__}) has parameters or buffers beside other layers, "
                "which has no channel-parallel form"
            )
    stem = _stem(network)
    for name, layer in _leaves(network).items():
        _check(name, layer, p, stem=name == stem)
    _check_places(network)


def _divide(network: nn.Module, group: dist.ProcessGroup | FakeProcessGroup, *, overlap: bool) -> nn.Module:
    stem = _stem(network)
    for name, layer in _leaves(network).items():
        network.set_submodule(name, _rank_local(layer, Link(group, name), stem=name == stem, overlap=overlap))
    return network


def _leaves(network: nn.Module) -> dict[str, nn.Module]:
    return {name: layer for name, layer in network.named_modules() if not list(layer.children())}


def _stem(network: nn.Module) -> str:
    return next(name for name, layer in _leaves(network).items() if isinstance(layer, nn.Conv2d | Convolution))


def _rank_local(layer: nn.Module, link: Link, *, stem: bool, overlap: bool) -> nn.Module:
    if isinstance(layer, TwoLevelGroupConv2d):
        return GatheredTwoLevelConv2d(layer, link, overlap=overlap)
    if isinstance(layer, nn.Conv2d) and type(layer) in (nn.Conv2d, GroupConv2d):
        return local_convolution(layer, link) if stem or layer.groups > 1 else GatheredConv2d(layer, link)
    form = _FORMS.get(type(layer))
    return layer if form is None else form(layer, link)


def _check(name: str, layer: nn.Module, p: int, *, stem: bool) -> None:
    if type(layer) in _KEPT:
        return
    if type(layer) not in _REPLACED:
        raise TypeError(f"layer {name!r} is a {type(layer).__name__}, which has no channel-parallel form")
    _check_whole(name, layer)
    counts = {}
    match layer:
        case TwoLevelGroupConv2d() if layer.halo:
            raise TypeError(f"layer {name!r} has overlap={layer.overlap}, which has no channel-parallel form")
        case LearnableGroupConv2d() if layer.assignment == "frozen":
            raise TypeError(f"layer {name!r} has assignment='frozen', which has no channel-parallel form")
        case nn.Conv2d() | Convolution():
            counts = {"out_channels": layer.out_channels}
            if not stem:
                counts["in_channels"] = layer.in_channels
            if layer.groups > 1 and not isinstance(layer, LearnableGroupConv2d):
                counts["groups"] = layer.groups
        case nn.BatchNorm2d():
            counts = {"num_features": layer.num_features}
        case nn.Linear():
            counts = {"in_features": layer.in_features}
    for what, count in counts.items():
        if count % p:
            raise ValueError(
                f"{what}={count} of layer {name!r} ({type(layer).__name__}) is not divisible by the {p} channel ranks"
            )


def _check_whole(name: str, layer: nn.Module) -> None:
    """Check that the arguments and the parameters of `layer` say all that it computes."""
    if has_hooks(layer):
        raise TypeError(
            f"layer {name!r} has hooks, or a forward of its own, which would be lost, with any weight that they set: "
            "remove them first"
        )
    # A frozen or computed weight may be a plain attribute or a buffer.
    wrong = [key for key, value in vars(layer).items() if isinstance(value, Tensor)]
    if not isinstance(layer, nn.Dropout) and getattr(layer, "affine", True):
        wrong += [key for key in getattr(layer, "ROWS", ("weight",)) if layer._parameters.get(key) is None]
    if wrong:
        raise TypeError(f"layer {name!r} has a {wrong[0]} that is no parameter, which has no channel-parallel form")


def _check_places(network: nn.Module) -> None:
    """Check that no layer that is replaced, and no parameter, stands in two places."""
    found: dict[nn.Module | Tensor, str] = {}
    for path, holder in network.named_modules():
        for key, layer in holder._modules.items():
            if layer is None or list(layer.children()) or type(layer) in _KEPT:
                continue
            name = f"{path}.{key}" if path else key
            for part in (layer, *_tensors(layer)):
                if part in found:
                    raise TypeError(
                        f"layer {name!r} is, or shares parameters with, layer {found[part]!r}; "
                        "there is no channel-parallel form of one layer in two places"
                    )
            found |= dict.fromkeys((layer, *_tensors(layer)), name)


def _tensors(layer: nn.Module) -> list[Tensor]:
    return [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]


_FORMS: dict[type[nn.Module], Callable[..., nn.Module]] = {
    ShuffleGroupConv2d: ExchangedShuffleConv2d,
    LearnableGroupConv2d: GatheredLearnableConv2d,
    nn.BatchNorm2d: local_batch_norm,
    nn.Linear: SummedLinear,
    nn.Dropout: SharedDropout,
}

_CONVOLUTIONS = (nn.Conv2d, GroupConv2d, TwoLevelGroupConv2d, ShuffleGroupConv2d, LearnableGroupConv2d)

# Of exactly these types: a subclass may compute something else.
_REPLACED = (*_CONVOLUTIONS, *_FORMS)
_KEPT = (nn.ReLU, nn.ReLU6, nn.MaxPool2d, nn.Identity)


def _fingerprint(network: nn.Module) -> str:
    """A hash of the layers, and of the sum and the sum of squares of each parameter and buffer."""
    digest = hashlib.sha256(str(network).encode())
    for name, value in network.state_dict().items():
        flat = value.detach().double()
        # Fewer digits than the sums have: other processors add in another order.
        sums = f"{float(flat.sum()):.6e} {float(flat.square().sum()):.6e}"
        digest.update(f"{name} {tuple(value.shape)} {value.dtype} {sums}".encode())
    return digest.hexdigest()[:12]
