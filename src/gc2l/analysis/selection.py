"""Find the runs that reproduce a row of the paper."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gc2l.cells import Column, Preset
from gc2l.cells.cell import configuration_hash
from gc2l.paper import reported_rows
from gc2l.records import Record


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A column of the preset named `preset`, which reproduces one network and data set of the paper."""

    preset: str
    column: Column


class RunIndex:
    """The records by preset and by configuration without its seed.

    Args:
        records: of any presets; records with a configuration that no preset has are ignored.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._runs: dict[tuple[str, str], dict[int, Record]] = defaultdict(dict)
        for record in records:
            runs = self._runs[record.preset, _seedless_hash(record.configuration)]
            if record.seed in runs:
                raise ValueError(f"two records of preset {record.preset!r} have the identity {record.identity}")
            runs[record.seed] = record

    def runs(self, column: Column, variant: str, groups: int) -> tuple[Record, ...]:
        """The runs of a preset's column with the given convolution, by seed; empty when there are none."""
        cell = column.cell(variant, groups, seed=1)
        runs = self._runs.get((cell.preset, _seedless_hash(cell.configuration())), {})
        return tuple(runs[seed] for seed in sorted(runs))

    def scales(self, presets: Mapping[str, Preset], table: str) -> tuple[Scale, ...]:
        """The columns of all presets that reproduce a column of `table` and have at least one record.

        Raises:
            ValueError: an unknown table.
        """
        rows = reported_rows(table)
        return tuple(
            Scale(preset=name, column=column)
            for name, preset in presets.items()
            for column in preset.columns
            if any(
                self.runs(column, row.variant, row.groups)
                for row in rows
                if (row.network, row.dataset) == (column.network, column.dataset)
            )
        )


def execution_name(record: Record) -> str:
    """Device and precision of a run, such as "cpu, float32", and into how many parts its batches were divided.

    Each part of a divided batch has its own batch statistics, so such a run computes something else.
    """
    name = f"{record.hardware.accelerator or record.execution.device}, {record.execution.precision}"
    parts = 1 if record.parallel is None else 1 + max(rank.data for rank in record.parallel.ranks)
    return name if parts == 1 else f"{name}, batches in {parts} parts"


def execution_and_images(record: Record) -> str:
    """The `execution_name` with the first digits of the images' fingerprint."""
    return f"{execution_name(record)}, images {record.data_fingerprint[:8]}"


def seeds_by_execution(records: Iterable[Record]) -> dict[str, tuple[int, ...]]:
    """The seeds of each `execution_name`, such as {"cpu, float32": (1,)}, the one with most seeds first.

    Where not all have the same images (a data set can come from several sources), the name tells these, too.
    """
    records = list(records)
    names = map(execution_name, records)
    if len({record.data_fingerprint for record in records}) > 1:
        names = map(execution_and_images, records)
    seeds: dict[str, set[int]] = defaultdict(set)
    for name, record in zip(names, records, strict=True):
        seeds[name].add(record.seed)
    return {name: tuple(sorted(of)) for name, of in sorted(seeds.items(), key=lambda entry: -len(entry[1]))}


def ran_alike(records: Iterable[Record]) -> bool:
    """Whether all have the same `execution_and_images`: only such runs are compared with each other."""
    return len(seeds_by_execution(records)) == 1


def _seedless_hash(configuration: dict[str, Any]) -> str:
    return configuration_hash({name: value for name, value in configuration.items() if name != "seed"})
