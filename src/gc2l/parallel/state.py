"""The state of a rank-local network as distributed tensors, and the whole network's state from it."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard

from gc2l.parallel.classifier import SummedLinear
from gc2l.parallel.mesh import CHANNEL


def placements(network: nn.Module) -> dict[str, Placement]:
    """How the channel ranks divide each parameter and persistent buffer of a rank-local network, by name.

    All are divided evenly along their first dimension, the output channels or groups, but for the classifier: its
    weight is divided along the features, and every rank has its bias. Counters, which have no dimension, are alike.
    """
    found: dict[str, Placement] = {name: Shard(0) for name in network.state_dict()}
    for name, value in network.state_dict().items():
        if value.dim() == 0:
            found[name] = Replicate()
    for path, layer in network.named_modules():
        if isinstance(layer, SummedLinear):
            found[f"{path}.weight"] = Shard(1)
            if layer.bias is not None:
                found[f"{path}.bias"] = Replicate()
    return found


def distribute(values: Mapping[str, Tensor], network: nn.Module, mesh: DeviceMesh) -> dict[str, DTensor]:
    """Own shares of named tensors, such as `network.state_dict()` or its gradients, as distributed tensors.

    `torch.distributed.checkpoint` saves these, and loads them at another number of ranks. They are not to compute with:
    PyTorch 2.13's `conv2d` is wrong for weights sharded so (`findings/torch_dtensor_conv_shards.sh`).

    Args:
        values: tensors with the names and shapes of the parameters or buffers of `network`; memory is shared.
        network: the rank-local network.
        mesh: of (data, channel).
    """
    where, ranks = placements(network), mesh[CHANNEL]
    return {
        name: DTensor.from_local(value.detach(), ranks, [where[name]], run_check=False)
        for name, value in values.items()
    }


def consolidate(network: nn.Module, mesh: DeviceMesh) -> dict[str, Tensor]:
    """The state of the whole network, on every rank: what `load_state_dict` of the network in one process takes.

    Every channel rank has to call it. With more than one data rank, call `average_buffers` before.
    """
    return {name: value.full_tensor() for name, value in distribute(network.state_dict(), network, mesh).items()}
