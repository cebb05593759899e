"""PyTorch's transforms of a layer, and of its backward pass alone: `vmap`, and several gradients at once."""

import copy

import pytest
import torch
from nn.layers import layer_class, make_layer, random_input
from torch.autograd import forward_ad
from torch.func import functional_call, linearize, stack_module_state, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from gc2l.variants import VARIANTS

CASES = [
    (variant, algorithm)
    for variant in VARIANTS
    for algorithm in getattr(layer_class(variant), "ALGORITHMS", ("auto",))
    if algorithm != "triton"
]
FORMATS = [torch.contiguous_format, torch.channels_last]


def layers(variant, algorithm):
    """Layers with 1 x 1 and larger kernels, with and without a stride."""
    kernels = [1] if algorithm == "matmul" and not variant.startswith("gc2l") else [1, 3]
    for kernel in kernels:
        layer = make_layer(variant, 6, 12, kernel, groups=2, padding=kernel // 2, stride=(1, 2))
        layer.algorithm = algorithm
        yield layer


def assert_all_close(ours, expected):
    for mine, right in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(("variant", "algorithm"), CASES)
def test_several_gradients_at_once_are_those_one_by_one(variant, algorithm, memory_format):
    for layer in layers(variant, algorithm):
        x = random_input(2, 6, 4, 5).contiguous(memory_format=memory_format).requires_grad_()
        y, inputs = layer(x), [x, *layer.parameters()]
        upstream = random_input(3, *y.shape, seed=2)

        def gradients(of, *, y=y, inputs=inputs, **options):
            return torch.autograd.grad(y, inputs, of, retain_graph=True, **options)

        one_by_one = [torch.stack(of) for of in zip(*map(gradients, upstream), strict=True)]
        assert_all_close(gradients(upstream, is_grads_batched=True), one_by_one)
        assert_all_close(gradients(upstream, is_grads_batched=True, create_graph=True), one_by_one)
        assert_all_close(vmap(gradients)(upstream), one_by_one)


# torch.func.jvp still compiles its decompositions with torch.jit.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(("variant", "algorithm"), CASES)
def test_a_backward_pass_alone_can_be_differentiated_forward(variant, algorithm, memory_format):
    for layer in layers(variant, algorithm):
        x = random_input(2, 6, 4, 5).contiguous(memory_format=memory_format).requires_grad_()
        y = layer(x)
        upstream, direction = random_input(2, *y.shape, seed=2)
        expected = [torch.autograd.grad(y, x, of, retain_graph=True)[0] for of in (upstream, direction)]
        with forward_ad.dual_level():
            (found,) = torch.autograd.grad(y, x, forward_ad.make_dual(upstream, direction))
            assert_all_close(forward_ad.unpack_dual(found), expected)  # linear in the gradient of y


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_vectorised_jacobian(variant, strategy):
    layer = make_layer(variant, 4, 6, 3, groups=2, padding=1, dtype=torch.float32)  # "auto" is fast in single precision
    x = random_input(1, 4, 3, 3, dtype=torch.float32)
    found = torch.autograd.functional.jacobian(layer, x, vectorize=True, strategy=strategy)
    dense = copy.deepcopy(layer).double().to_dense()
    expected = torch.autograd.functional.jacobian(dense, x.double())
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize(("variant", "algorithm"), CASES)
def test_vmap(variant, algorithm, gradients):
    for layer in layers(variant, algorithm):
        dense, batches = layer.to_dense(), random_input(2, 3, 6, 4, 5)
        with torch.set_grad_enabled(gradients):
            for memory_format in FORMATS:
                x = batches.flatten(0, 1).contiguous(memory_format=memory_format).unflatten(0, (2, 3))
                assert_all_close(vmap(layer)(x), map(dense, batches))
            assert_all_close(vmap(layer)(batches[0]), map(dense, batches[0]))


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_ensemble_of_layers(variant):
    members = [make_layer(variant, 6, 12, 3, groups=2) for _ in range(2)]
    with torch.no_grad():
        members[1].weight.mul_(2)
    parameters, buffers = stack_module_state(members)
    x = random_input(2, 6, 4, 5)
    found = vmap(lambda p, b: functional_call(members[0], (p, b), (x,)))(parameters, buffers)
    assert_all_close(found, [member.to_dense()(x) for member in members])


@pytest.mark.parametrize(("variant", "algorithm"), CASES)
def test_a_graph_of_make_fx_has_values_and_gradients(variant, algorithm):
    for layer, memory_format in zip(layers(variant, algorithm), FORMATS, strict=False):
        x, other = (random_input(2, 6, 4, 5, seed=seed).contiguous(memory_format=memory_format) for seed in (1, 2))
        graph = make_fx(layer)(x)
        results = []
        for apply in (graph, layer):
            values = other.clone().requires_grad_()
            y = apply(values)
            results.append((y, torch.autograd.grad(y.square().sum(), values)[0]))
        assert_all_close(*results)


# torch.func.jvp still compiles its decompositions with torch.jit.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated", "ignore:Attempted to insert a get_attr Node")
@pytest.mark.parametrize("variant", VARIANTS)
def test_linearize(variant):
    layer = make_layer(variant, 4, 6, 3, groups=2)
    x, direction = random_input(2, 2, 4, 4, 5)
    y, linear = linearize(layer, x)
    dense = layer.to_dense()
    assert_all_close([y, linear(direction)], [dense(x), dense(direction) - dense(torch.zeros_like(x))])
