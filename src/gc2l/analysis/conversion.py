"""What the record of conversions says, as a page."""

from collections.abc import Iterable

from gc2l.analysis.labels import mean_text
from gc2l.analysis.statistics import mean_interval
from gc2l.analysis.text import markdown_grid
from gc2l.records.conversion import Conversion, ConversionRecord

_HEADERS = ("convolution", "weights", "converted", "statistics re-estimated", "after one epoch")


def conversion_page(record: ConversionRecord) -> str:
    """The test errors after each step, means over the seeds with half the 95 % interval, as Markdown."""

    def percent(errors: Iterable[int]) -> str:
        return mean_text(mean_interval([100 * count / record.images for count in errors]))

    ways: dict[tuple[str, str], list[Conversion]] = {}
    for one in record.conversions:
        ways.setdefault((one.convolution, one.weights), []).append(one)
    rows = [
        (*way, *(percent(getattr(one, step) for one in found) for step in ("converted", "renewed", "tuned")))
        for way, found in ways.items()
    ]
    trained = {one.seed: one.trained for one in record.conversions}
    return (
        f"# Conversion of a trained network\n\nThe standard network of the preset {record.preset}, trained for "
        f"{record.epochs} epochs, errs {percent(trained.values())} %. All its convolutions but the stem are converted "
        f"with n = {record.groups}, the statistics of its batch norms are re-estimated, and it is trained for one "
        f"epoch (one-cycle, peak rate {record.learning_rate:g}). Test errors in %, mean over the seeds "
        f"{', '.join(map(str, sorted(trained)))} ± half the 95 % interval. Measured at commit {record.commit}.\n\n"
        f"{markdown_grid(rows, _HEADERS, right=(2, 3, 4))}\n"
    )
