import pytest
import torch
from nn.layers import make_layer, random_input

from gc2l.nn import GroupConv2d
from gc2l.ops import reference
from gc2l.ops.channel_shuffle import shuffle
from gc2l.ops.geometry import Geometry


@pytest.mark.parametrize(("groups", "order"), [(2, [0, 3, 1, 4, 2, 5]), (3, [0, 2, 4, 1, 3, 5])])
def test_is_the_group_convolution_with_its_channels_reordered(groups, order):
    layer = make_layer("shuffle", 6, 6, 3, groups=groups, padding=1)
    conv = GroupConv2d(6, 6, 3, groups=groups, padding=1, dtype=torch.float64)
    conv.load_state_dict(layer.state_dict())
    x = random_input(2, 6, 4, 5)
    assert torch.equal(layer(x), conv(x)[:, order])
    assert torch.equal(layer.dense_weight(), conv.dense_weight()[order])
    assert torch.equal(layer.to_dense().bias, conv.bias[order])


@pytest.mark.parametrize("groups", [1, 6])
def test_one_group_and_one_channel_a_group_leave_the_order(groups):
    layer = make_layer("shuffle", 6, 6, 1, groups=groups)
    x = random_input(1, 6, 2, 2)
    assert torch.equal(layer(x), reference.group(x, layer.weight, layer.bias, Geometry(groups=groups)))


def test_both_memory_formats_give_the_same_channels():
    layer = make_layer("shuffle", 4, 6, 3, groups=2)
    x = random_input(2, 4, 6, 5)
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(layer(x), layer(last), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("channels", "groups"), [(6, 1), (6, 2), (6, 3), (6, 6), (48, 16)])
def test_kernel_moves_values_and_gradients_as_indices_do(channels, groups, memory_format):
    y = random_input(2, channels, 3, 5).contiguous(memory_format=memory_format).requires_grad_()
    order = [group * (channels // groups) + place for place in range(channels // groups) for group in range(groups)]
    shuffled = shuffle(y, groups)
    upstream = random_input(5, 3, 2, channels).permute(2, 3, 1, 0)  # neither memory format
    (gradient,) = torch.autograd.grad(shuffled, y, upstream)
    assert torch.equal(shuffled, y[:, order])
    assert torch.equal(shuffled, reference.shuffle(y, groups, 1))
    assert torch.equal(gradient[:, order], upstream)
    for tensor in (shuffled, gradient):
        assert tensor.is_contiguous(memory_format=memory_format)
    assert torch.autograd.gradgradcheck(lambda y: shuffle(y, groups) ** 2, y[:, :, :1, :2].detach().requires_grad_())


def test_two_layers_in_a_row_carry_every_input_to_every_output():
    first, second = (make_layer("shuffle", 4, 4, 1, groups=2) for _ in range(2))
    through_both = second.dense_weight()[:, :, 0, 0] @ first.dense_weight()[:, :, 0, 0]
    assert through_both.all()
