"""Bad input, and data parallelism beside channel parallelism."""

import copy
import math

import pytest
import torch
import torch.distributed as dist
from parallel.networks import Case, backward, batch, distance, gradients
from parallel.ranks import run_on_ranks
from torch import nn
from torch.nn.utils import prune

from gc2l.models import wide_resnet_cifar
from gc2l.nn import TwoLevelGroupConv2d
from gc2l.parallel import (
    average_buffers,
    average_gradients,
    check_same_on_all_ranks,
    consolidate,
    distribute,
    make_mesh,
    parallel_variants,
    parallelize,
    placements,
    rank_share,
)


def _message(kind, function, *args):
    with pytest.raises(kind) as caught:
        function(*args)
    return str(caught.value)


def _errors() -> dict[str, str]:
    mesh, rank = make_mesh(4), dist.get_rank()
    two_groups = Case("gc2l", 2).build()
    before = copy.deepcopy(two_groups.state_dict())
    found = {
        "mesh": _message(ValueError, make_mesh, 3),
        "no ranks": _message(ValueError, make_mesh, 0),
        "groups": _message(ValueError, parallelize, two_groups, mesh),
        "seed": _message(ValueError, parallelize, Case("gc2l", 4).build(seed=rank == 2), mesh),
        "variant": _message(ValueError, parallelize, Case("gc2l", 8 if rank == 1 else 4).build(), mesh),
        "configuration": _message(ValueError, check_same_on_all_ranks, "configuration", f"hash{rank % 2}"),
        "network": _message(TypeError, parallelize, nn.Sequential(nn.Conv2d(3, 16, 3)), mesh),
        "layer": _message(TypeError, parallelize, _with_softmax(), mesh),
    }
    assert distance(two_groups.state_dict(), before) == 0  # refused, and left as it was
    return found


def _with_softmax() -> nn.Module:
    network = wide_resnet_cifar(10, 1, "gc", 4)
    network.stem = nn.Sequential(network.stem, nn.Softmax(dim=1))
    return network


def _data_parallel() -> dict[str, float]:
    """Two data ranks of two channel ranks against the two shares of the batch in one process."""
    mesh, case = make_mesh(2), Case("gc2l", 4)
    images, labels = batch(0, images=6)
    shares = list(zip(images.chunk(2), labels.chunk(2), strict=True))
    whole = [case.build() for _ in shares]
    for network, share in zip(whole, shares, strict=True):
        backward(network, *share)
    local = parallelize(case.build(), mesh)
    backward(local, *shares[mesh["data"].get_local_rank()])
    average_gradients(local, mesh)
    average_buffers(local, mesh)
    own = distribute(gradients(local), local, mesh)
    pairs = zip(*(gradients(network).items() for network in whole), strict=True)
    expected = {name: (first + second) / 2 for (name, first), (_, second) in pairs}
    buffers = zip(*(dict(network.named_buffers()).items() for network in whole), strict=True)
    running = {name: (a + b) / 2 for (name, a), (_, b) in buffers if a.is_floating_point()}
    state = consolidate(local, mesh)
    return {
        "gradients": distance({name: value.full_tensor() for name, value in own.items()}, expected),
        "buffers": distance({name: state[name] for name in running}, running),
    }


def _shares() -> dict[str, int]:
    """Numbers on this rank, and those of the network in one process."""
    found = {}
    for variant in parallel_variants():
        whole = Case(variant, 1 if variant == "sc" else 4).build()
        total = sum(value.numel() for value in whole.parameters())
        local = parallelize(whole, make_mesh(4))
        found[variant] = total, sum(value.numel() for value in local.parameters()), len(placements(local))
    return found


def _norms() -> dict[str, float]:
    """Logits after a training step and in evaluation, with batch norms that keep their statistics or none."""
    images, labels = batch(0)
    found = {}
    for name in ("never kept", "no longer kept"):
        whole = Case("gc2l", 4).build()
        for path, norm in list(whole.named_modules()):
            if isinstance(norm, nn.BatchNorm2d) and name == "never kept":
                whole.set_submodule(path, nn.BatchNorm2d(norm.num_features, 0.1, track_running_stats=False).double())
            elif isinstance(norm, nn.BatchNorm2d):
                nn.init.uniform_(norm.running_var, 0.5, 2)
                norm.track_running_stats = False
        local = parallelize(copy.deepcopy(whole), make_mesh(4))
        for network in (whole, local):
            backward(network.train(), images, labels)
        logits = [network.eval()(images).detach() for network in (whole, local)]
        found[name] = max(
            distance({"logits": logits[1]}, {"logits": logits[0]}),
            distance(consolidate(local, make_mesh(4)), whole.state_dict()),
        )
    return found


def _everything() -> dict:
    return {"errors": _errors(), "data": _data_parallel(), "shares": _shares(), "norms": _norms()}


@pytest.fixture(scope="module")
def found():
    return run_on_ranks(_everything, 4)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("mesh", "channels=3 does not divide the 4 ranks of this job; choose one of 1, 2, 4"),
        ("no ranks", "channels=0 does not divide"),
        ("groups", "groups=2 of layer 'stages.0.0.conv1' (TwoLevelGroupConv2d) is not divisible by the 4 channel"),
        ("seed", "the network (hash of its layers and weights) differs between the ranks (rank 0: "),
        ("variant", "the network (hash of its layers and weights) differs between the ranks (rank 0: "),
        ("configuration", "rank 0: hash0, rank 1: hash1, rank 2: hash0, rank 3: hash1"),
        ("network", "network is a Sequential; a channel-parallel form exists of WideResNet, MobileNetV2"),
        ("layer", "layer 'stem.1' is a Softmax, which has no channel-parallel form"),
    ],
)
def test_bad_input_is_refused_on_every_rank(what, message, found):
    for rank in found:
        assert message in rank["errors"][what]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"variant": "gc2l", "overlap": 0.5},
            "layer 'stages.0.0.conv1' has overlap=0.5, which has no channel-parallel",
        ),
        ({"variant": "flgc", "assignment": "frozen"}, "has assignment='frozen', which has no channel-parallel form"),
        ({"variant": "scc"}, "is a SlidingChannelConv2d, which has no channel-parallel form"),
        ({"variant": "gc2l_shuffle"}, "is a ShuffleTwoLevelGroupConv2d, which has no channel-parallel form"),
    ],
)
def test_layers_without_a_channel_parallel_form_are_named(options, message):
    network = wide_resnet_cifar(10, 1, groups=4, **options)
    state = [type(layer) for layer in network.modules()]
    with pytest.raises(TypeError, match=message):
        rank_share(network, 2)
    assert [type(layer) for layer in network.modules()] == state


def _parametrized(layer: nn.Module) -> None:
    nn.utils.parametrizations.weight_norm(layer)


def _with_plain_weight(layer: nn.Module) -> None:
    weight = layer.weight.detach()
    del layer.weight
    layer.weight = weight


def _with_frozen_weight(layer: nn.Module) -> None:
    weight = layer.weight.detach()
    del layer.weight
    layer.register_buffer("weight", weight)


def _with_own_forward(layer: nn.Module) -> None:
    layer.forward = lambda x, forward=layer.forward: 2 * forward(x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda layer: prune.random_unstructured(layer, "weight", amount=0.5), "has hooks, or a forward of its own"),
        (lambda layer: layer.register_forward_hook(lambda _, __, y: 2 * y), "has hooks, or a forward of its own"),
        (lambda layer: layer.register_forward_pre_hook(lambda _, x: 2 * x[0]), "has hooks, or a forward of its own"),
        (_with_own_forward, "has hooks, or a forward of its own"),
        (_parametrized, "has parameters or buffers beside other layers"),
        (_with_plain_weight, "has a weight that is no parameter"),
        (_with_frozen_weight, "has a weight that is no parameter"),
    ],
)
@pytest.mark.parametrize("where", ["stem", "stages.0.0.conv1", "norm", "classifier"])
def test_what_a_share_would_lose_is_refused_before_anything_changes(where, change, message):
    network = wide_resnet_cifar(10, 1, "gc2l", 4)
    change(network.get_submodule(where))
    _assert_refused(network, f"layer '{where}.*' .*{message}")


class _Doubled(nn.Module):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("stem", nn.Conv2d),
        ("stages.0.0.conv1", TwoLevelGroupConv2d),
        ("norm", nn.BatchNorm2d),
        ("classifier", nn.Linear),
    ],
)
def test_subclasses_are_refused(where, kind):
    network = wide_resnet_cifar(10, 1, "gc2l", 4)
    network.get_submodule(where).__class__ = type("Doubled", (_Doubled, kind), {})
    _assert_refused(network, f"layer '{where}' is a Doubled, which has no channel-parallel form")


def test_one_layer_in_two_places_is_refused():
    network = wide_resnet_cifar(10, 1, "gc2l", 4)
    network.stages[0][0].conv2 = network.stages[0][0].conv1
    _assert_refused(network, "layer 'stages.0.0.conv2' is, or shares .* with, layer 'stages.0.0.conv1'")


def test_layers_with_a_common_parameter_are_refused():
    network = wide_resnet_cifar(10, 1, "gc2l", 4)
    network.stages[0][0].conv2.weight = network.stages[0][0].conv1.weight
    _assert_refused(network, "layer 'stages.0.0.conv2' .* shares parameters with, layer 'stages.0.0.conv1'")


def test_hooks_of_parts_that_stay_are_kept():
    network = wide_resnet_cifar(10, 1, "gc2l", 4)
    seen = []
    network.stages[0][0].register_forward_hook(lambda _, __, y: seen.append(y.shape))
    rank_share(network, 2)(torch.randn(1, 3, 8, 8))
    assert seen == [(1, 8, 8, 8)]  # of this rank's channels


def _assert_refused(network, message):
    before = {name: type(layer) for name, layer in network.named_modules(remove_duplicate=False)}
    with pytest.raises(TypeError, match=message):
        rank_share(network, 2)
    assert {name: type(layer) for name, layer in network.named_modules(remove_duplicate=False)} == before


def test_batch_norms_without_statistics_equal_those_of_the_whole_network(found):
    for rank in found:
        assert rank["norms"].keys() == {"never kept", "no longer kept"}
        assert max(rank["norms"].values()) < 1e-10


def test_gradients_are_averaged_over_the_data_ranks_only(found):
    for rank in found:
        assert rank["data"]["gradients"] < 1e-10
        assert rank["data"]["buffers"] < 1e-10


def test_a_rank_holds_its_share_of_the_parameters(found):
    for rank in found:
        for total, own, _ in rank["shares"].values():
            # 5 biases of the classifier are on every rank
            assert own == (total - 5) // 4 + 5
            assert math.isclose(own, total / 4, rel_tol=0.01)


@pytest.mark.parametrize("variant", parallel_variants())
def test_what_a_changed_padding_of_other_modes_does_is_kept(variant):
    # PyTorch keeps the padding of the beginning.
    network = wide_resnet_cifar(10, 1, variant, 1 if variant == "sc" else 4)
    padded = {name: conv for name, conv in network.named_modules() if getattr(conv, "padding", None) == (1, 1)}
    for conv in padded.values():
        conv.padding_mode, conv.padding = "reflect", (2, 2)
    local = rank_share(network, 2)
    images = torch.randn(1, 3, 8, 8)
    sizes = {}
    for name in padded:
        layer = local.get_submodule(name)
        layer.register_forward_hook(lambda _, x, y, name=name: sizes.update({name: (x[0].shape[2:], y.shape[2:])}))
    local(images)
    for name, (before, after) in sizes.items():
        assert [-(-side // step) for side, step in zip(before, padded[name].stride, strict=True)] == list(after)
    assert len(sizes) == len(padded) > 5
