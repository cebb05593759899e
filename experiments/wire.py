"""Bytes that one training step sends between the channel ranks, per variant: the closed form, measured and predicted.

    python experiments/wire.py --network wide_resnet_28_10 --images 128

First a small network takes one training step on two gloo processes of this machine, with every collective of
torch.distributed wrapped, and the bytes are compared with the closed form. Then the closed form gives, for a network
of the paper on p = n ranks, what one rank receives, and GC-2L's share of what SC and Shuffle move.
"""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import tyro
from tabulate import tabulate

from gc2l.cells import ModelConfig
from gc2l.command_line import run_script
from gc2l.models import build_model, paper_network
from gc2l.parallel import LayerShape, Traffic, layer_shapes, make_mesh, network_traffic, parallelize, record_traffic
from gc2l.variants import VARIANTS

SIZES = {"wide_resnet_28_10": 32, "wide_resnet_34_2": 224, "mobilenet_v2": 224}
MEBIBYTE = 2**20
MEASURED, MEASURED_RANKS = "wide_resnet_10_2", 2


def main(
    network: Literal["wide_resnet_28_10", "wide_resnet_34_2", "mobilenet_v2"] = "wide_resnet_28_10",
    images: int = 128,
    groups: tuple[int, ...] = (2, 4, 8, 16),
    element: int = 4,
    layers: int = 0,
) -> int:
    """Measure, then print the closed form.

    Args:
        network: one of the paper's.
        images: batch size.
        groups: numbers of groups n, each on p = n ranks.
        element: bytes of a number.
        layers: also print every layer's traffic for this number of groups.
    """
    equal = _measure(groups)
    rows = []
    for n in groups:
        received = {variant: _received(_shapes(network, variant, n), n, images, element) for variant in VARIANTS}
        for variant, (forward, backward, calls) in received.items():
            shares = [100 * sum(received["gc2l"][:2]) / sum(received[other][:2]) for other in ("sc", "shuffle")]
            mine = variant == "gc2l"
            rows.append(
                (
                    n,
                    VARIANTS[variant].label,
                    calls,
                    f"{forward / MEBIBYTE:.2f}",
                    f"{backward / MEBIBYTE:.2f}",
                    *(f"{share:.2f} %" if mine else "" for share in shares),
                )
            )
    print(f"{network}, {images} images, {element} bytes a number, p = n ranks; MiB that one rank receives in a step\n")
    headers = ("n = p", "variant", "calls", "forward", "backward", "of SC's", "of Shuffle's")
    print(tabulate(rows, headers, disable_numparse=True, colalign=("right", "left", *["right"] * 5)))
    if layers:
        _print_layers(network, layers, images, element)
    return 0 if equal else 1


def _measure(groups: Iterable[int]) -> bool:
    """Print measured beside predicted bytes; tell whether all are equal."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_measure_on_rank, (Path(folder), groups), nprocs=MEASURED_RANKS)
        found = torch.load(Path(folder) / "found", weights_only=False)
    for (variant, n), (measured, predicted) in found.items():
        amounts = [sum(t.volume for t in measured.elements() if t.direction == way) for way in ("forward", "backward")]
        verdict = "equal" if measured == predicted else "DIFFERS"
        predicted_bytes = sum(t.volume for t in predicted.elements())
        rows.append((n, VARIANTS[variant].label, measured.total(), *amounts, sum(amounts), predicted_bytes, verdict))
    print(f"{MEASURED}, 3 images, 4 bytes a number, {MEASURED_RANKS} gloo ranks; bytes of the tensors on one rank\n")
    headers = ("n", "variant", "calls", "forward", "backward", "measured", "closed form", "each collective")
    print(tabulate(rows, headers, intfmt=","), end="\n\n")
    return all(row[-1] == "equal" for row in rows)


def _measure_on_rank(rank: int, folder: Path, groups: Iterable[int]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=MEASURED_RANKS)
    mesh = make_mesh(MEASURED_RANKS)
    found: dict[tuple[str, int], tuple[Counter[Traffic], Counter[Traffic]]] = {}
    for variant, n in [(variant, n) for n in groups for variant in VARIANTS]:
        torch.manual_seed(0)
        network = build_model(_config(MEASURED, variant, n), num_classes=10)
        images = torch.randn(3, 3, 32, 32)
        shapes = layer_shapes(network.eval(), images)
        predicted = network_traffic(shapes, ranks=MEASURED_RANKS, images=3, element=4, rank=rank)
        parallelize(network.train(), mesh)
        with record_traffic() as measured:
            network(images).logsumexp(dim=1).sum().backward()
        found[variant, n] = Counter(measured), Counter(predicted)
    if rank == 0:
        torch.save(found, folder / "found")
    dist.destroy_process_group()


def _config(name: str, variant: str, groups: int) -> ModelConfig:
    return paper_network(name, variant, 1 if variant == "sc" else groups)


def _shapes(name: str, variant: str, groups: int) -> list[LayerShape]:
    with torch.device("meta"):
        side = SIZES[name]
        network = build_model(_config(name, variant, groups), num_classes=10)
        return layer_shapes(network.eval(), torch.empty(1, 3, side, side))


def _received(shapes: list[LayerShape], ranks: int, images: int, element: int) -> tuple[int, int, int]:
    """Bytes that rank 0 receives forward and backward, and the number of collectives."""
    traffic = network_traffic(shapes, ranks=ranks, images=images, element=element)
    forward = sum(one.received for one in traffic if one.direction == "forward")
    return forward, sum(one.received for one in traffic) - forward, len(traffic)


def _print_layers(network: str, n: int, images: int, element: int) -> None:
    table: dict[str, dict[str, int]] = defaultdict(dict)
    for variant in VARIANTS:
        for shape in _shapes(network, variant, n):
            traffic = network_traffic([shape], ranks=n, images=images, element=element)
            table[shape.layer][variant] = sum(one.volume for one in traffic)
    print(f"\nbytes of all collectives' tensors on one rank, forward and backward, n = p = {n}\n")
    rows = [(layer, *(f"{found[variant]:,}" for variant in VARIANTS)) for layer, found in table.items()]
    headers = ("layer", *(variant.label for variant in VARIANTS.values()))
    print(tabulate(rows, headers, disable_numparse=True, colalign=("left", *["right"] * len(VARIANTS))))


if __name__ == "__main__":
    run_script(lambda: tyro.cli(main, description=__doc__))
