"""The state of a network without the numbers that cannot reach its output.

Only FLGC has any: its weight is dense, but counts only where the groups of input and output channel agree, and of its
logits only the largest of each row counts. A compact state holds the numbers that count, about one in n, and gives the
same function bit for bit, if all logits are finite. Training cannot be continued from it. A layer of more groups has
the same function, with groups that are empty.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gc2l.nn import LearnableGroupConv2d


def compact_state(network: nn.Module) -> dict[str, Tensor]:
    """The state of `network`, by name, in which an FLGC layer has

    - `weight` (kept, k_h, k_w): the kernels of the pairs (output, input) of one group, in the dense order,
    - `input_groups` (c_in), `output_groups` (c_out): the group of each channel, in place of the logits.
    """
    state = {name: value.detach() for name, value in network.state_dict().items()}
    for prefix, layer in _learnable_layers(network):
        inputs = _hard_groups(state.pop(f"{prefix}input_logits"))
        outputs = _hard_groups(state.pop(f"{prefix}output_logits"))
        state[f"{prefix}weight"] = layer.weight.detach()[outputs[:, None] == inputs]
        state |= {f"{prefix}input_groups": inputs, f"{prefix}output_groups": outputs}
    return state


def load_compact_state(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give `network` the function that `state` of `compact_state` describes.

    Raises:
        KeyError, IndexError, RuntimeError: the state of another network.
    """
    full = dict(state)
    for prefix, layer in _learnable_layers(network):
        inputs, outputs = full.pop(f"{prefix}input_groups"), full.pop(f"{prefix}output_groups")
        weight, kept = torch.zeros_like(layer.weight), full[f"{prefix}weight"]
        mask = outputs[:, None] == inputs
        right = int(mask.sum()), *weight.shape[2:]
        if kept.shape != right:  # which could be broadcast
            raise RuntimeError(
                f"{prefix}weight has shape {tuple(kept.shape)}; of a kernel of {right[1:]} for these groups "
                f"it has {right}"
            )
        weight[mask] = kept
        full[f"{prefix}weight"] = weight
        for name, groups in (("input_logits", inputs), ("output_logits", outputs)):
            full[f"{prefix}{name}"] = F.one_hot(groups.long(), layer.groups).to(weight.dtype)
    network.load_state_dict(full)


def _learnable_layers(network: nn.Module) -> Iterator[tuple[str, LearnableGroupConv2d]]:
    for name, layer in network.named_modules():
        if isinstance(layer, LearnableGroupConv2d):
            yield f"{name}." if name else "", layer


def _hard_groups(logits: Tensor) -> Tensor:
    # Of the softmax, as the layer does: it can round two logits to the same number.
    return logits.softmax(dim=1).argmax(dim=1).int()
