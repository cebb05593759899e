"""The pages of the grids `ablations` and `beyond`, as the records give them; nothing is trained."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gc2l.analysis.ablations import ablation_table, movement_table
from gc2l.analysis.beyond import beyond_table
from gc2l.campaign.ablations import ABLATIONS, Ablation, ablation_cells
from gc2l.campaign.beyond import REFERENCE, beyond_cells, beyond_columns
from gc2l.cells import Cell, Column, Preset
from gc2l.records import Record, RunStore


def ablations_page(
    preset: Preset, column: Column, store: RunStore, *, ablations: Mapping[str, Ablation] = ABLATIONS, seeds: int = 1
) -> str:
    """The tables of one column of a preset, with the seeds 1 to `seeds` and further ones that have records.

    Raises:
        ValueError: a record that cannot be read.
    """
    parts = [f"# Ablations: preset {preset.name}\n"]
    grids = [(ablation, n) for ablation in ablations.values() for n in ablation.groups]
    shown = recorded_seeds(
        lambda seed: (
            cell
            for ablation, n in grids
            for cells in ablation_cells(ablation, column, preset, n, [seed]).values()
            for cell in cells
        ),
        store,
        seeds,
    )
    for ablation in ablations.values():
        runs = {n: _records(ablation_cells(ablation, column, preset, n, shown), store) for n in ablation.groups}
        parts += [ablation_table(ablation.title, column.template, runs, ablation.reference), movement_table(runs)]
    return "\n".join(part for part in parts if part)


def beyond_page(preset: Preset, store: RunStore, *, seeds: int = 1) -> str:
    """The tables of all columns of a preset, with the seeds 1 to `seeds` and further ones that have records.

    Raises:
        ValueError: a record that cannot be read.
    """
    parts = [f"# Beyond the paper: preset {preset.name}\n"]
    for column in beyond_columns(preset):

        def of_seed(seed: int, column: Column = column) -> Iterable[Cell]:
            return (cell for (cell,) in beyond_cells(column, preset, [seed]).values())

        grid = beyond_cells(column, preset, recorded_seeds(of_seed, store, seeds))
        parts.append(beyond_table(grid[REFERENCE][0], _records(grid, store), REFERENCE))
    return "\n".join(parts)


def grid_pages(presets: Iterable[Preset], store: RunStore, folder: Path) -> dict[Path, str]:
    """What the pages of both grids that there are in the folder of the results should say, by path.

    Raises:
        ValueError: a record that cannot be read.
    """
    pages = {}
    for preset in presets:
        for column in preset.columns:
            path = folder / "ablations" / ablations_name(preset, column)
            if path.exists() and path not in pages and column.template.model.network.startswith("wide_resnet"):
                pages[path] = ablations_page(preset, column, store)
        path = folder / "beyond" / f"{preset.name}.md"
        if path.exists():
            pages[path] = beyond_page(preset, store)
    return pages


def ablations_name(preset: Preset, column: Column) -> str:
    """The name of a column's page: that of the preset, for other columns than its first with the data set."""
    return f"{preset.name}.md" if column is preset.columns[0] else f"{preset.name}-{column.template.data.name}.md"


def recorded_seeds(cells_of: Callable[[int], Iterable[Cell]], store: RunStore, asked: int) -> range:
    """The seeds 1 to `asked` of a grid, and those that follow as long as any of its cells has a record.

    So a table that was made with more seeds does not lose them when it is made again with fewer.
    """
    last = asked
    while any(store.find(cell) for cell in cells_of(last + 1)):
        last += 1
    return range(1, last + 1)


def _records(grid: Mapping[str, list[Cell]], store: RunStore) -> dict[str, list[Record]]:
    return {label: [found for cell in cells if (found := store.find(cell))] for label, cells in grid.items()}
