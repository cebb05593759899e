"""The end of a rank-local network: dropout of the pooled features, and the logits."""

from torch import Tensor, nn
from torch.nn import functional as F

from gc2l.parallel.collectives import sum_over_ranks
from gc2l.parallel.link import Link


class SummedLinear(nn.Module):
    """Linear classifier of the own features: the logits are the sum over the ranks of W_j f_j, plus the bias.

    Forward: W_j f_j, all-reduce, and the bias added once. Every rank then has all logits and computes the same loss,
    so the gradient of the logits is alike on all ranks and needs no communication. Input gradient: of the own features,
    complete. Weight gradients: those of the own columns, complete, and that of the bias, alike on all ranks.
    Each rank holds W_j (classes, c/p) and all of the bias (classes).

    Args:
        linear: the whole layer.
        link: to the other channel ranks.

    Shape:
        input (N, c/p), output (N, classes), alike on all ranks.
    """

    def __init__(self, linear: nn.Linear, link: Link) -> None:
        super().__init__()
        self.weight = nn.Parameter(link.own(linear.weight, 1), requires_grad=linear.weight.requires_grad)
        self.bias = None
        if linear.bias is not None:
            self.bias = nn.Parameter(linear.bias.detach().clone(), requires_grad=linear.bias.requires_grad)
        self.link = link

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, classes) of the own features (N, c/p)."""
        logits = sum_over_ranks(F.linear(features, self.weight), self.link)
        return logits if self.bias is None else logits + self.bias


class SharedDropout(nn.Module):
    """Dropout of the own features, equal to that of the whole network.

    Every rank draws for the features of all ranks and keeps its share: the ranks have equally seeded generators, so
    that drawing for the own features only would drop the same ones on every rank.

    Args:
        dropout: the whole layer.
        link: to the other channel ranks.

    Shape:
        input and output (N, c/p).
    """

    def __init__(self, dropout: nn.Dropout, link: Link) -> None:
        super().__init__()
        self.p = dropout.p
        self.link = link
        self.train(dropout.training)

    def forward(self, features: Tensor) -> Tensor:
        """Drop features (N, c/p) while training."""
        if not self.training or self.p == 0:
            return features
        rows, channels = features.shape
        factors = F.dropout(features.new_ones(rows, channels * self.link.size), self.p)
        return features * self.link.own(factors, 1)
