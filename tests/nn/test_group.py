import pytest
import torch
from nn.layers import make_layer, random_input
from torch import nn

from gc2l.nn import GroupConv2d


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_is_the_block_diagonal_of_the_standard_convolution(groups):
    """The blocks A_jj of SC make a GC whose group j is what SC answers to the channels of group j alone."""
    standard = make_layer("sc", 6, 12, (3, 2), groups=1, padding=1, stride=2, bias=False)
    rows, columns = 12 // groups, 6 // groups
    conv = GroupConv2d(6, 12, (3, 2), groups=groups, padding=1, stride=2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        for j in range(groups):
            mine, theirs = slice(j * rows, (j + 1) * rows), slice(j * columns, (j + 1) * columns)
            conv.weight[mine] = standard.weight[mine, theirs]
    x = random_input(2, 6, 5, 4)
    y = conv(x)
    for j in range(groups):
        mine, theirs = slice(j * rows, (j + 1) * rows), slice(j * columns, (j + 1) * columns)
        alone = torch.zeros_like(x)
        alone[:, theirs] = x[:, theirs]
        torch.testing.assert_close(y[:, mine], standard(alone)[:, mine], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(conv.dense_weight()[mine, theirs], standard.weight[mine, theirs], rtol=0, atol=0)
    off_diagonal = 1 - torch.block_diag(*[torch.ones(rows, columns, dtype=torch.float64)] * groups)
    assert not (conv.dense_weight() * off_diagonal[:, :, None, None]).any()


def test_computes_what_pytorch_computes():
    ours = make_layer("gc", 8, 4, 3, groups=4, padding="same", dilation=2)
    theirs = nn.Conv2d(8, 4, 3, groups=4, padding="same", dilation=2, dtype=torch.float64)
    theirs.load_state_dict(ours.state_dict())
    x = random_input(2, 8, 6, 5)
    assert torch.equal(ours(x), theirs(x))
