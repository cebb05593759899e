import pytest
import torch

from gc2l.models import compact_state, load_compact_state, wide_resnet_cifar
from gc2l.nn import LearnableGroupConv2d
from gc2l.variants import VARIANTS

GROUPS = 4


def network(variant: str, seed: int = 1) -> torch.nn.Module:
    torch.manual_seed(seed)
    groups = GROUPS if VARIANTS[variant].dense_at_one_group and variant != "sc" else 1
    groups = GROUPS if variant == "flgc" else groups
    return wide_resnet_cifar(depth=10, widen_factor=1, variant=variant, groups=groups).eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_function_is_the_same_bit_for_bit(variant):
    original, other = network(variant), network(variant, seed=2)
    images = torch.randn(3, 3, 8, 8)
    with torch.inference_mode():
        assert not torch.equal(other(images), original(images))
        load_compact_state(other, compact_state(original))
        assert torch.equal(other(images), original(images))


@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - {"flgc"}))
def test_other_variants_keep_their_state(variant):
    state = compact_state(network(variant))
    expected = network(variant).state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_flgc_keeps_one_kernel_for_each_pair_of_a_group():
    original = network("flgc")
    layer = original.stages[0][0].conv1  # 16 to 16 channels
    with torch.no_grad():
        layer.input_logits.copy_(torch.eye(4).repeat_interleave(4, dim=0))
        layer.output_logits.copy_(torch.eye(4).repeat(4, 1))
    state = compact_state(original)
    prefix = "stages.0.0.conv1."
    assert state[prefix + "input_groups"].tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert state[prefix + "output_groups"].tolist() == [0, 1, 2, 3] * 4
    assert state[prefix + "weight"].shape == (64, 3, 3)
    assert torch.equal(state[prefix + "weight"][:8], layer.weight[:2].flatten(0, 1)[[0, 1, 2, 3, 20, 21, 22, 23]])
    assert prefix + "input_logits" not in state


def test_an_empty_group_is_no_special_case():
    original, other = network("flgc"), network("flgc", seed=2)
    with torch.no_grad():
        original.stages[1][0].conv2.input_logits[:, 0] = 9.0
        original.stages[1][0].conv2.output_logits[:, 1] = 9.0
    load_compact_state(other, compact_state(original))
    images = torch.randn(3, 3, 8, 8)
    assert torch.equal(other(images), original(images))


@pytest.mark.parametrize("kernel", [(1, 1), (3, 1), (1, 3), (2, 2)])
def test_the_state_of_another_kernel_is_refused(kernel):
    state, layer = compact_state(LearnableGroupConv2d(8, 8, kernel, groups=2)), LearnableGroupConv2d(8, 8, 3, groups=2)
    before = layer.weight.clone()
    with pytest.raises(RuntimeError, match=r"^weight has shape .* it has \(\d+, 3, 3\)$"):
        load_compact_state(layer, state)
    assert torch.equal(layer.weight, before)


def test_the_number_of_groups_need_not_be_the_same_if_it_is_enough():
    original, more = LearnableGroupConv2d(8, 8, 3, groups=2), LearnableGroupConv2d(8, 8, 3, groups=4)
    x = torch.randn(1, 8, 5, 5)
    load_compact_state(more, compact_state(original))
    assert torch.equal(more(x), original(x))
    with torch.no_grad():
        more.input_logits[0, 3] = 99
    with pytest.raises(RuntimeError):
        load_compact_state(original, compact_state(more))


def test_logits_that_the_softmax_rounds_to_one_number():
    original, other = (LearnableGroupConv2d(8, 8, 1, groups=4).eval() for _ in range(2))
    with torch.no_grad():
        for logits in (original.input_logits, original.output_logits):
            logits.copy_(torch.tensor([0.0, 1e-9, -1.0, -1.0]))  # the first two have the same softmax
    images = torch.randn(3, 8, 4, 4)
    load_compact_state(other, compact_state(original))
    assert compact_state(original)["input_groups"].tolist() == [0] * 8
    assert torch.equal(other(images), original(images))


def test_the_state_of_another_network_is_refused():
    with pytest.raises(RuntimeError, match="Missing key"):
        load_compact_state(network("gc2l"), compact_state(network("gc")))
    with pytest.raises(KeyError, match="input_groups"):
        load_compact_state(network("flgc"), compact_state(network("gc")))
