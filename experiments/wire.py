"""Bytes that one training step sends between the channel ranks, per variant: the closed form, measured and predicted.

    python experiments/wire.py --network wide_resnet_28_10 --images 128

First a small network takes one training step on two gloo processes of this machine, with every collective of
torch.distributed wrapped, and the bytes are compared with the closed form. Then the closed form gives, for a network
of the paper on p = n ranks, what one rank receives, and GC-2L's traffic relative to SC's and Shuffle's. The counts are
kept in results/wire.json; they are the same for every network that the closed form is asked for.
"""

from collections import defaultdict
from pathlib import Path
from typing import Literal

from gc2l.campaign.script import run_script

import torch
import tyro
from tabulate import tabulate

from gc2l.data import dataset_info
from gc2l.models import build_model, paper_network
from gc2l.paper import reported_rows
from gc2l.parallel import LayerShape, layer_shapes, network_traffic, parallel_variants
from gc2l.records import WireRecord, save_measurement
from gc2l.scaling import count_wire
from gc2l.variants import VARIANTS

COUNTED_GROUPS = (2, 4, 8, 16)
MEBIBYTE = 2**20


def main(
    network: Literal["wide_resnet_28_10", "wide_resnet_34_2", "mobilenet_v2"] = "wide_resnet_28_10",
    images: int = 128,
    groups: tuple[int, ...] | None = None,
    element: int = 4,
    layers: int = 0,
    output: Path = Path("results/wire.json"),
) -> int:
    """Measure, then print the closed form.

    Args:
        network: one of the paper's, with the images and classes of its (first) data set there.
        images: batch size.
        groups: numbers of groups n of the closed form, each on p = n ranks; by default those of the paper's tables.
        element: bytes of a number.
        layers: also print every layer's traffic for this number of groups.
        output: file of the counts.
    """
    reported = [row for table in ("table1", "table4") for row in reported_rows(table) if row.network == network]
    dataset = reported[0].dataset
    rows = []
    for n in groups or sorted({row.groups for row in reported} - {1}):
        received = {
            variant: _received(_shapes(network, dataset, variant, n), n, images, element)
            for variant in parallel_variants()
        }
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
    record = count_wire(COUNTED_GROUPS)
    save_measurement(record, output)
    _print_counts(record)
    print(
        f"{network} on {dataset}, {images} images, {element} bytes a number, p = n ranks; "
        "MiB that one rank receives in a step\n"
    )
    headers = ("n = p", "variant", "calls", "forward", "backward", "of SC's", "of Shuffle's")
    print(tabulate(rows, headers, disable_numparse=True, colalign=("right", "left", *["right"] * 5)))
    if layers:
        _print_layers(network, dataset, layers, images, element)
    return 0 if all(count.equal for count in record.counts) else 1


def _print_counts(record: WireRecord) -> None:
    rows = [
        (
            count.groups,
            VARIANTS[count.variant].label,
            count.calls,
            count.forward_bytes,
            count.backward_bytes,
            count.forward_bytes + count.backward_bytes,
            count.expected_bytes,
            "equal" if count.equal else "DIFFERS",
        )
        for count in record.counts
    ]
    print(
        f"{record.network}, {record.images} images, 4 bytes a number, {record.ranks} gloo ranks; "
        "bytes of the tensors on one rank\n"
    )
    headers = ("n", "variant", "calls", "forward", "backward", "measured", "closed form", "each collective")
    print(tabulate(rows, headers, intfmt=","), end="\n\n")


def _shapes(network: str, dataset: str, variant: str, groups: int) -> list[LayerShape]:
    info = dataset_info(dataset)
    with torch.device("meta"):
        config = paper_network(network, variant, 1 if variant == "sc" else groups)
        model = build_model(config, info.num_classes).eval()
        return layer_shapes(model, torch.empty(1, 3, info.image_size, info.image_size))


def _received(shapes: list[LayerShape], ranks: int, images: int, element: int) -> tuple[int, int, int]:
    """Bytes that rank 0 receives forward and backward, and the number of collectives."""
    traffic = network_traffic(shapes, ranks=ranks, images=images, element=element)
    forward = sum(one.received for one in traffic if one.direction == "forward")
    return forward, sum(one.received for one in traffic) - forward, len(traffic)


def _print_layers(network: str, dataset: str, n: int, images: int, element: int) -> None:
    table: dict[str, dict[str, int]] = defaultdict(dict)
    variants = parallel_variants()
    for variant in variants:
        for shape in _shapes(network, dataset, variant, n):
            traffic = network_traffic([shape], ranks=n, images=images, element=element)
            table[shape.layer][variant] = sum(one.volume for one in traffic)
    print(f"\nbytes of all collectives' tensors on one rank, forward and backward, n = p = {n}\n")
    rows = [(layer, *(f"{found[variant]:,}" for variant in variants)) for layer, found in table.items()]
    headers = ("layer", *(VARIANTS[variant].label for variant in variants))
    print(tabulate(rows, headers, disable_numparse=True, colalign=("left", *["right"] * len(variants))))


if __name__ == "__main__":
    run_script(lambda: tyro.cli(main, description=__doc__))
