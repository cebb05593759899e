import numpy as np
import pytest
import torch
from nn.layers import make_layer, random_input
from torch.nn import functional as F

from gc2l.nn import GroupConv2d, LearnableGroupConv2d


def hard_rows(logits):
    """One-hot rows of the largest logit."""
    rows = np.zeros_like(logits)
    rows[np.arange(len(logits)), logits.argmax(1)] = 1
    return rows


def softmax_backward(logits, gradient):
    """The gradient to the logits of rows p = softmax(logits): p (g - <g, p>)."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return p * (gradient - (gradient * p).sum(1, keepdims=True))


@pytest.mark.parametrize(("c_in", "c_out", "groups"), [(6, 4, 2), (5, 7, 3), (3, 2, 16), (4, 4, 1)])
def test_mask_is_the_product_of_the_hard_assignments(c_in, c_out, groups):
    layer = make_layer("flgc", c_in, c_out, 3, groups=groups)
    input_rows, output_rows = (hard_rows(p.detach().numpy()) for p in (layer.input_logits, layer.output_logits))
    assert np.array_equal(layer.mask().detach().numpy(), output_rows @ input_rows.T)


@pytest.mark.parametrize(("c_in", "c_out", "groups"), [(6, 4, 2), (5, 7, 3), (3, 2, 16)])
def test_gradients_pass_straight_through_the_mask(c_in, c_out, groups):
    """Closed form: with D = sum over the taps of W dL/d(W M), dL/dT = D S and dL/dS = D^T T, then the softmax."""
    layer = make_layer("flgc", c_in, c_out, (3, 2), groups=groups, padding=1)
    x = random_input(2, c_in, 5, 4)
    y = layer(x)
    cotangent = random_input(*y.shape, seed=2)
    y.backward(cotangent)

    shape = layer.weight.shape
    dense_gradient = torch.nn.grad.conv2d_weight(x, shape, cotangent, padding=1).numpy()
    weight, s, t = (p.detach().numpy() for p in (layer.weight, layer.input_logits, layer.output_logits))
    d = (weight * dense_gradient).sum((2, 3))  # (c_out, c_in), the gradient to the mask
    mask = hard_rows(t) @ hard_rows(s).T
    expected = {
        "weight": dense_gradient * mask[:, :, None, None],
        "output_logits": softmax_backward(t, d @ hard_rows(s)),
        "input_logits": softmax_backward(s, d.T @ hard_rows(t)),
        "bias": cotangent.sum((0, 2, 3)).numpy(),
    }
    for name, gradient in expected.items():
        np.testing.assert_allclose(layer.get_parameter(name).grad.numpy(), gradient, rtol=1e-11, atol=1e-11)
    assert np.abs(expected["output_logits"]).max() > 0.01


def test_gradients_reach_the_logits_of_weights_that_are_masked_out():
    """Else a channel could never move to another group."""
    layer = make_layer("flgc", 2, 2, 1, groups=2)
    with torch.no_grad():
        layer.input_logits.copy_(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        layer.output_logits.copy_(torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
    layer(random_input(2, 2, 3, 3)).sum().backward()
    assert not layer.mask().any()
    assert layer.input_logits.grad.all() and layer.output_logits.grad.all()


def test_learns_to_connect_the_channels_that_a_target_connects():
    torch.manual_seed(0)
    layer = LearnableGroupConv2d(2, 2, 1, groups=2, bias=False)
    with torch.no_grad():  # output 1 sees input 2 and output 2 input 1, the target has it the other way round
        layer.input_logits.copy_(torch.tensor([[0.1, 0.0], [0.0, 0.1]]))
        layer.output_logits.copy_(torch.tensor([[0.0, 0.1], [0.1, 0.0]]))
        layer.weight.fill_(0.5)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    x = random_input(64, 2, 1, 1, dtype=torch.float32)
    for _ in range(200):
        optimiser.zero_grad()
        F.mse_loss(layer(x), x).backward()
        optimiser.step()
    assert torch.equal(layer.mask(), torch.eye(2))
    torch.testing.assert_close(layer.dense_weight()[:, :, 0, 0], torch.eye(2), atol=1e-2, rtol=0)


def test_empty_groups():
    """All inputs in one group and all outputs in another leave the bias; the first group of all is the dense layer."""
    layer = make_layer("flgc", 3, 5, 3, groups=4, padding=1)
    x = random_input(2, 3, 4, 4)
    first, last = F.one_hot(torch.tensor(0), 4).double(), F.one_hot(torch.tensor(3), 4).double()
    with torch.no_grad():
        layer.input_logits.copy_(first.expand(3, 4))
        layer.output_logits.copy_(last.expand(5, 4))
        assert torch.equal(layer(x), layer.bias[:, None, None].expand(2, 5, 4, 4))
        layer.output_logits.copy_(first.expand(5, 4))
        assert torch.equal(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1))


@pytest.mark.parametrize(
    ("c_in", "c_out", "groups", "bias", "expected"),
    [(6, 4, 3, False, 72), (6, 4, 3, True, 76), (5, 7, 4, False, 79), (5, 7, 4, True, 86), (5, 7, 16, False, 20)],
)
def test_nominal_parameter_count_is_rounded(c_in, c_out, groups, bias, expected):
    """9 * 5 * 7 / 4 = 78.75 and 9 * 5 * 7 / 16 = 19.69."""
    layer = LearnableGroupConv2d(c_in, c_out, 3, groups=groups, bias=bias)
    assert layer.nominal_parameter_count() == expected


def test_reset_draws_weights_and_logits_anew():
    torch.manual_seed(0)
    layer = LearnableGroupConv2d(4, 4, 3, groups=2)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.reset_parameters()
    after = layer.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in set(after) - {"bias"})


def test_aligned_and_frozen_it_is_the_group_convolution_through_training():
    torch.manual_seed(0)
    layer = LearnableGroupConv2d(6, 9, 3, groups=3, assignment="frozen", start="aligned", dtype=torch.float64)
    conv = GroupConv2d(6, 9, 3, groups=3, dtype=torch.float64)
    conv.set_nearest(layer.dense_weight(), layer.bias)
    assert torch.equal(conv.dense_weight(), layer.dense_weight())
    for network in (layer, conv):
        optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        for step in range(3):
            optimiser.zero_grad()
            network(random_input(4, 6, 5, 5, seed=step)).square().mean().backward()
            optimiser.step()
    torch.testing.assert_close(layer.dense_weight(), conv.dense_weight(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer.bias, conv.bias, rtol=1e-12, atol=1e-12)


def test_a_frozen_assignment_stays_and_has_the_names_and_values_of_a_learned_one():
    torch.manual_seed(0)
    frozen = LearnableGroupConv2d(5, 7, 3, groups=3, assignment="frozen")
    torch.manual_seed(0)
    learned = LearnableGroupConv2d(5, 7, 3, groups=3)
    assert [name for name, _ in frozen.named_parameters()] == ["weight", "bias"]
    assert {name for name, _ in frozen.named_buffers()} == {"input_logits", "output_logits"}
    assert all(torch.equal(value, learned.state_dict()[name]) for name, value in frozen.state_dict().items())
    frozen.load_state_dict(learned.state_dict())
    frozen(random_input(2, 5, 4, 4, dtype=torch.float32)).sum().backward()
    assert frozen.nominal_parameter_count() == learned.nominal_parameter_count()
    assert repr(frozen).endswith("groups=3, assignment=frozen)")


@pytest.mark.parametrize(("c_in", "c_out", "groups"), [(6, 9, 3), (5, 7, 3), (3, 2, 4)])
def test_an_aligned_start_permutes_the_logits_of_a_random_one(c_in, c_out, groups):
    torch.manual_seed(0)
    aligned = LearnableGroupConv2d(c_in, c_out, 3, groups=groups, start="aligned")
    torch.manual_seed(0)
    random = LearnableGroupConv2d(c_in, c_out, 3, groups=groups)
    assert torch.equal(aligned.weight, random.weight)
    for name, channels in (("input_logits", c_in), ("output_logits", c_out)):
        ours, theirs = aligned.state_dict()[name], random.state_dict()[name]
        assert ours.argmax(1).tolist() == [c * groups // channels for c in range(channels)]
        assert torch.equal(ours.sort(1).values, theirs.sort(1).values)
    assert {name for name, _ in aligned.named_parameters()} == {"weight", "bias", "input_logits", "output_logits"}


@pytest.mark.parametrize("option", [{"assignment": "fixed"}, {"start": "even"}])
def test_options_that_are_none(option):
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=f"^{name}='{value}' is unknown; choose one of"):
        LearnableGroupConv2d(4, 4, 3, groups=2, **option)
