"""Evidence whose true answer is built in: records with chosen test errors and training losses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from analysis.samples import CIFAR, COMPUTED
from records.samples import curve, fields

from gc2l.analysis import RunIndex
from gc2l.analysis.claims import CLAIMS, Deviation, Evidence, Finding
from gc2l.cells import Column, Preset
from gc2l.records import Record

ROWS = 1000
Errors = Mapping[tuple[str, int], Sequence[int | None]]
"""For each convolution the wrong answers in ROWS of seeds 1, 2, ...; None diverges."""


def column(network: str = "wide_resnet_28_10", dataset: str = "cifar10", epochs: int = 1) -> Column:
    training = replace(CIFAR.template.training, epochs=epochs)
    return Column(network=network, dataset=dataset, template=replace(CIFAR.template, training=training))


def run(place: Column, variant: str, groups: int, seed: int, errors: int | None, loss: float | None = None) -> Record:
    """A run; `loss` is the mean training loss of its last two epochs, half and half as much again; the others have 100.

    So the differences of the last epoch alone are others than those of both.
    """
    values = fields(place.cell(variant, groups, seed), errors=errors, rows=ROWS)
    if loss is not None:
        points = curve(place.template.training.epochs)
        losses = [100.0] * (len(points) - 2) + [0.5 * loss, 1.5 * loss]
        values["curve"] = tuple(
            point.model_copy(update={"train_loss": value}) for point, value in zip(points, losses, strict=True)
        )
    return Record(**values)


def evidence(place: Column, records: Sequence[Record], **changes: object) -> Evidence:
    whole = Evidence(
        presets={"tiny": Preset(name="tiny", description="for tests", columns=(place,))},
        index=RunIndex(records),
        parameters={row: count.total for row, count in COMPUTED.items()},
        deviations={claim: (Deviation(name="same", value=0.0, tolerance=1e-12),) for claim in ("A5", "B4")},
        approximations=(),
    )
    return replace(whole, **changes)


def of_errors(place: Column, errors: Errors) -> Evidence:
    records = [
        run(place, variant, groups, seed, wrong)
        for (variant, groups), of_seed in errors.items()
        for seed, wrong in enumerate(of_seed, start=1)
    ]
    return evidence(place, records)


def judge(claim: str, given: Evidence) -> tuple[Finding, ...]:
    return next(entry for entry in CLAIMS if entry.id == claim).evaluate(given)


def only(claim: str, given: Evidence) -> Finding:
    (finding,) = judge(claim, given)
    return finding
