"""Data parallelism beside channel parallelism: ranks with the same channels process different images.

Gradients are averaged over the dimension `data` of the mesh only; channel ranks exchange no gradients. With equal
shares of a batch the averaged gradient is that of the mean loss of the whole batch, but for batch norm: each data
rank normalises with the statistics of its own share, as data parallelism without synchronised batch norm does. The
running statistics hence differ between data ranks while they train; `average_buffers` makes them alike.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from gc2l.parallel.link import Link, Transfer
from gc2l.parallel.mesh import DATA


def average_gradients(network: nn.Module, mesh: DeviceMesh) -> None:
    """Replace every gradient by its mean over the data ranks; call it between backward pass and optimizer step.

    Raises:
        RankError: another rank died, or did not answer in time.
    """
    gradients = {name: value.grad for name, value in network.named_parameters() if value.grad is not None}
    _average(gradients, mesh)


def average_buffers(network: nn.Module, mesh: DeviceMesh) -> None:
    """Replace the running statistics by their means over the data ranks; call it before evaluating or saving.

    Raises:
        RankError: another rank died, or did not answer in time.
    """
    _average({name: value for name, value in network.named_buffers() if value.is_floating_point()}, mesh)


@torch.no_grad()
def _average(tensors: dict[str, Tensor], mesh: DeviceMesh) -> None:
    group: dist.ProcessGroup = mesh.get_group(DATA)
    if group.size() == 1:
        return
    transfers: list[Transfer] = []
    for name, tensor in tensors.items():
        tensor.div_(group.size())
        transfers.append(Link(group, name).start("all_reduce", tensor))
    for transfer in transfers:
        transfer.wait()
