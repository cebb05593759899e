"""Write the tables: computed from records and networks, rendered in every format."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gc2l.analysis import FORMATS, comparison_table, to_terminal
from gc2l.analysis.coarse_level import coarse_level_tables
from gc2l.analysis.conversion import conversion_page
from gc2l.analysis.figures import FILE_FORMATS, to_bytes
from gc2l.analysis.figures.coarse_level import coarse_level
from gc2l.analysis.figures.inference import inference_against_groups
from gc2l.analysis.inference import inference_tables
from gc2l.analysis.scaling import TablePart, parts_of_table2, to_csv, to_latex, to_text
from gc2l.analysis.scaling.figure import speedup_against_groups
from gc2l.cells import Preset
from gc2l.models import paper_parameter_counts
from gc2l.paper import reported_rows
from gc2l.records import (
    CoarseLevelRecord,
    ConversionRecord,
    InferenceRecord,
    RunStore,
    ScalingRecord,
    read_coarse_level,
    read_conversion,
    read_inference,
    write_atomically,
)


def publish_table(table: str, presets: Mapping[str, Preset], store: RunStore, folder: Path) -> str:
    """Write `table` from all records of `store` to folder/<table>.{md,csv,tex} and return it for the terminal.

    Raises:
        ValueError: an unknown table, or a record that cannot be read.
    """
    comparison = comparison_table(table, presets, store.all(), computed=paper_parameter_counts(reported_rows(table)))
    for suffix, render in FORMATS.items():
        write_atomically(folder / f"{table}.{suffix}", render(comparison))
    return to_terminal(comparison)


def publish_table2(records: Sequence[ScalingRecord], folder: Path, figures: Path) -> str:
    """Write the parts of Table 2 to folder/table2.{md,csv,tex} and its figures, and return the parts for the terminal.

    Raises:
        ValueError: nothing has been measured.
    """
    parts = parts_of_table2(records)
    for suffix, text in table2_texts(parts).items():
        write_atomically(folder / f"table2.{suffix}", text)
    for record in records:
        figure = speedup_against_groups(record)
        for file_format in FILE_FORMATS:
            path = figures / f"table2_speedup_{record.device}.{file_format}"
            write_atomically(path, to_bytes(figure, file_format))
    return to_text(parts, "simple")


def publish_inference(record: InferenceRecord, folder: Path, figures: Path, name: str = "inference") -> str:
    """Write what was measured of inference to folder/<name>.md and its figure, and return the page."""
    write_atomically(folder / f"{name}.md", page := _inference_page(record))
    write_atomically(figures / f"{name}_vs_groups.svg", to_bytes(inference_against_groups(record), "svg"))
    return page


def publish_coarse_level(record: CoarseLevelRecord, folder: Path, figures: Path) -> str:
    """Write what was measured of the coarse level to folder/coarse_level.md and its figure, and return the page."""
    write_atomically(folder / "coarse_level.md", page := _coarse_level_page(record))
    write_atomically(figures / "coarse_level.svg", to_bytes(coarse_level(record), "svg"))
    return page


def publish_conversion(record: ConversionRecord, folder: Path) -> str:
    """Write what was measured of conversions to folder/conversion.md and return the page."""
    write_atomically(folder / "conversion.md", page := conversion_page(record))
    return page


def measurement_pages(measured: Path, tables: Path) -> dict[Path, str]:
    """What the pages of the measurements that there are should say, by path.

    Args:
        measured: folder of the results.
        tables: folder of the tables.

    Raises:
        ValueError: a measurement that cannot be read.
    """
    pages = {}
    if inference := read_inference(measured / "inference.json"):
        pages[tables / "inference.md"] = _inference_page(inference)
    if coarse := read_coarse_level(measured / "coarse_level.json"):
        pages[tables / "coarse_level.md"] = _coarse_level_page(coarse)
    if conversion := read_conversion(measured / "beyond/conversion.json"):
        pages[measured / "beyond/conversion.md"] = conversion_page(conversion)
    return pages


def _inference_page(record: InferenceRecord) -> str:
    return _as_page("Inference of one image on the CPU", record.commit, inference_tables(record))


def _coarse_level_page(record: CoarseLevelRecord) -> str:
    return _as_page("The coarse level of trained networks", record.commit, coarse_level_tables(record))


def _as_page(title: str, commit: str, text: str) -> str:
    return f"# {title}\n\nMeasured at commit {commit}.\n\n```text\n{text.rstrip()}\n```\n"


def table2_texts(parts: Sequence[TablePart]) -> dict[str, str]:
    """The parts of Table 2 in every format, by suffix."""
    title = "# Table 2. Channel-parallel training of WideResNet-28-k on CIFAR-10"
    return {"md": f"{title}\n\n{to_text(parts, 'pipe')}", "csv": to_csv(parts), "tex": to_latex(parts)}
