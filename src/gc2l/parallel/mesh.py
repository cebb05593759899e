"""The ranks as a mesh of (data, channel), and the check that all of them run the same thing."""

import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

DATA, CHANNEL = "data", "channel"
"""Names of the two dimensions of the mesh."""


def make_mesh(channels: int, *, device: str = "cpu") -> DeviceMesh:
    """Arrange all ranks of the process group as (world size / channels, channels).

    Ranks with consecutive numbers, which usually share a machine, divide the channels; the others hold the same
    channels and process other images.

    Args:
        channels: p, the ranks that divide the channels.
        device: "cpu" or "cuda".

    Raises:
        ValueError: channels < 1, or the number of ranks is no multiple of it.
    """
    world = dist.get_world_size()
    if channels < 1 or world % channels:
        choices = ", ".join(str(number) for number in range(1, world + 1) if world % number == 0)
        raise ValueError(f"channels={channels} does not divide the {world} ranks of this job; choose one of {choices}")
    return init_device_mesh(device, (world // channels, channels), mesh_dim_names=(DATA, CHANNEL))


def check_same_on_all_ranks(what: str, value: str, group: dist.ProcessGroup | None = None) -> None:
    """Check that all ranks have the same `value`, such as the hash of their configuration; a collective call.

    Args:
        what: names the value in the message.
        value: this rank's.
        group: the ranks; by default all.

    Raises:
        ValueError: on every rank, if they differ; the message lists who has which.
    """
    values: list[str | None] = [None] * dist.get_world_size(group)
    dist.all_gather_object(values, value, group=group)
    if len(set(values)) > 1:
        have = ", ".join(f"rank {dist.get_global_rank(group, i) if group else i}: {v}" for i, v in enumerate(values))
        raise ValueError(f"the {what} differs between the ranks ({have}); start all of them with the same arguments")
