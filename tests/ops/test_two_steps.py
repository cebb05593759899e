import pytest
import torch
from nn.layers import random_input

from gc2l.ops import two_steps
from gc2l.ops.geometry import Geometry
from gc2l.ops.reference import two_level


@pytest.mark.parametrize("coarse_channels", [1, 2])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [((3, 3), (1, 1), (1, 1), (1, 1)), ((3, 2), (2, 1), (0, 2), (1, 3)), ((1, 1), (2, 2), (0, 0), (1, 1))],
)
def test_the_two_steps_make_the_layer(kernel, stride, padding, dilation, groups, coarse_channels):
    geometry = Geometry(stride, padding, dilation, groups)
    coarse = groups * coarse_channels
    x = random_input(2, 6, 7, 8).contiguous(memory_format=torch.channels_last)
    shapes = (9, 6 // groups, *kernel), (coarse, 6 // groups, *kernel), (9, coarse, 1, 1), (9,)
    tensors = [tensor.requires_grad_() for tensor in (x, *(random_input(*shape) for shape in shapes))]

    def in_two_steps(x, weight, restriction, c, bias):
        z = two_steps.restrict(x, restriction, geometry)
        y = geometry.convolve(x, weight, bias).contiguous(memory_format=torch.channels_last)
        return two_steps.add_coarse(y, z, c)

    expected, found = two_level(*tensors, geometry), in_two_steps(*tensors)
    upstream = random_input(*expected.shape)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(y, tensors, upstream) for y in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_the_restriction_of_an_input_in_the_usual_format():
    """Padding that convolutions cannot do leaves x so; single precision is what the compiled passes take."""
    geometry = Geometry((1, 1), (1, 1), (1, 1), 3)
    x, r = random_input(2, 6, 7, 8).float().requires_grad_(), random_input(3, 2, 3, 3).float().requires_grad_()
    found, expected = two_steps.restrict(x, r, geometry), geometry.convolve(x, r, None).movedim(1, 0)
    upstream = random_input(*expected.shape).float()
    gradients = [torch.autograd.grad(z, (x, r), upstream) for z in (found, expected)]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)
