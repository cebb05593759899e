"""What the record of the coarse level says, as text."""

from tabulate import tabulate

from gc2l.records.coarse_level import CoarseLevelRecord, CoarseNetwork


def coarse_level_tables(record: CoarseLevelRecord) -> str:
    """A table for each network: shares, ranks, test errors with means in place of r x."""
    return "\n".join(_table(network) for network in record.networks)


def _table(network: CoarseNetwork) -> str:
    lines = [
        (
            layer.name,
            f"{100 * layer.share:.1f}",
            f"{layer.effective_rank:.1f} of {layer.coarse_channels}",
            f"{error_percent(network, layer.mean_errors):.2f}",
        )
        for layer in network.layers
    ]
    header = ("layer", "C z, % of energy", "effective rank of C", "test error, its r a mean (%)")
    whole, mean, removed = (
        error_percent(network, errors) for errors in (network.errors, network.mean_errors, network.removed_errors)
    )
    return (
        f"{network.slug}: test error {whole:.2f} %, all r means {mean:.2f} %, C = 0 {removed:.2f} %\n"
        + tabulate(lines, header, disable_numparse=True)
        + "\n"
    )


def error_percent(network: CoarseNetwork, errors: int) -> float:
    """So many wrong answers in percent of the test images."""
    return 100 * errors / network.images
