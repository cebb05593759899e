"""Check that the committed results agree with each other and with the code; changes nothing."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gc2l.analysis import FORMATS, comparison_table
from gc2l.analysis.scaling import parts_of_table2
from gc2l.cells import Cell, DataConfig, Preset
from gc2l.data import dataset_info, make_data_module
from gc2l.evidence.publish import table2_texts
from gc2l.evidence.released import count_test_errors, recorded_cell, trained_network, why_not_exact
from gc2l.files import DamagedError, check_file
from gc2l.models import model_parameter_count, paper_parameter_counts
from gc2l.paper import TABLES, reported_rows
from gc2l.records import Record, RunStore, ScalingRecord, WeightsFolder, read_record


@dataclass(frozen=True, kw_only=True)
class Check:
    """The result of one group of checks.

    Attributes:
        name: what was checked.
        passed: files that are right.
        failures: one message for each wrong file.
        unchecked: what this machine cannot check, and why.
    """

    name: str
    passed: int
    failures: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line, and one more for each failure."""
        parts = [f"{self.passed} right"]
        if self.failures:
            parts.append(f"{len(self.failures)} WRONG")
        parts += [f"not checked: {what}" for what in self.unchecked]
        return "\n".join([f"{self.name}: {'; '.join(parts)}", *(f"  {failure}" for failure in self.failures)])


@dataclass(frozen=True)
class Run:
    """A readable record with its path and its cell."""

    path: Path
    record: Record
    cell: Cell


def verify(
    presets: Mapping[str, Preset],
    store: RunStore,
    tables: Path,
    weights: WeightsFolder,
    data_root: Path,
    scaling: Sequence[ScalingRecord] = (),
) -> Iterator[Check]:
    """Check everything, one group after the other; the last, which tests networks again, takes longest.

    Args:
        presets: those there are.
        store: the records.
        tables: folder of the written tables.
        weights: the released weights.
        data_root: where the images are looked for.
        scaling: the measurements for Table 2.
    """
    runs, check = read_runs(store, data_root)
    yield check
    yield _check_each("counted parameters", runs, _parameters_problem)
    yield _check_each("runs of their presets", runs, lambda run: _preset_problem(run, presets))
    yield check_data(runs)
    yield check_tables(presets, [run.record for run in runs], tables, scaling)
    yield check_weights(runs, weights)


def read_runs(store: RunStore, data_root: Path) -> tuple[list[Run], Check]:
    """Read every record of the folder; check SHA-256, schema, hash, curve, name and that the code knows the cell."""
    runs, failures = [], []
    for path in sorted(store.folder.rglob("*.json")):
        try:
            record = read_record(path)
            cell = recorded_cell(record, data_root)
            if cell.configuration() != record.configuration:
                raise ValueError(f"{path}: this code gives the cell another configuration: {cell.configuration()}")
            if store.path(cell) != path:
                raise ValueError(f"{path} should be {store.path(cell)}")
            if record.test is not None:
                _check_last_epoch(path, record, record.test.error_percent)
            runs.append(Run(path, record, cell))
        except ValueError as error:
            failures.append(str(error) if str(path) in str(error) else f"{path}: {error}")
    return runs, Check(name="records", passed=len(runs), failures=tuple(failures))


def check_data(runs: Iterable[Run]) -> Check:
    """Compare the fingerprint of the images of each run with that of the images here; nothing is downloaded."""
    fingerprints: dict[DataConfig, str] = {}
    unchecked: dict[str, str] = {}
    failures, passed = [], 0
    for run in runs:
        data = replace(run.cell.data, image_size=None)  # the fingerprint is taken before resizing
        if data.name in unchecked:
            continue
        if data not in fingerprints:
            module = make_data_module(data, batch_size=1, seed=0)
            try:
                module.setup("test")
            except FileNotFoundError:
                unchecked[data.name] = f"{data.name}, images not found under {data.root}"
                continue
            fingerprints[data] = module.fingerprint
        if run.record.data_fingerprint == fingerprints[data]:
            passed += 1
        else:
            failures.append(
                f"{run.path}: trained on images with the fingerprint {run.record.data_fingerprint}, {data.name} here "
                f"has {fingerprints[data]}: altered, or of another source"
            )
    return Check(name="images", passed=passed, failures=tuple(failures), unchecked=tuple(unchecked.values()))


def measured_files(folder: Path) -> list[Path]:
    """What was measured and is no run, below the folder of the results."""
    names = ("approximation.csv", "coarse_level.json", "faults.json", "inference.json", "wire.json")
    single = [path for path in (folder / name for name in names) if path.exists()]
    folders = ("beyond", "bench", "table2")
    return [*single, *(path for name in folders for path in sorted(folder.glob(f"{name}/*.json")))]


def check_files(paths: Iterable[Path]) -> Check:
    """Compare each file with the SHA-256 that was written beside it."""
    failures, passed = [], 0
    for path in paths:
        try:
            check_file(path)
            passed += 1
        except DamagedError as error:
            failures.append(str(error))
    return Check(name="measurements", passed=passed, failures=tuple(failures))


def check_pages(pages: Mapping[Path, str], name: str = "pages of measurements", refresh: str = "make tables") -> Check:
    """Compare what is written, by path, with what the measurements or records give now.

    Args:
        pages: what should stand there.
        name: of the check.
        refresh: the command that writes the pages.
    """
    wrong = [path for path, text in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    failures = tuple(f"{path} is not what was measured; refresh with: {refresh}" for path in wrong)
    return Check(name=name, passed=len(pages) - len(wrong), failures=failures)


def check_tables(
    presets: Mapping[str, Preset], records: list[Record], folder: Path, scaling: Sequence[ScalingRecord] = ()
) -> Check:
    """Render each written table again from the records and compare."""
    failures, passed = [], 0
    for table in TABLES:
        paths = {suffix: folder / f"{table}.{suffix}" for suffix in FORMATS}
        if not any(path.exists() for path in paths.values()):
            continue
        texts = _texts(table, presets, records, scaling)
        for suffix, path in paths.items():
            if not path.exists():
                failures.append(f"{path} is missing beside its other formats; refresh with: make tables")
            elif path.read_text(encoding="utf-8") != texts.get(suffix):
                failures.append(f"{path} is not what the records give; refresh with: make tables")
            else:
                passed += 1
    return Check(name="tables", passed=passed, failures=tuple(failures))


def _texts(
    table: str, presets: Mapping[str, Preset], records: list[Record], scaling: Sequence[ScalingRecord]
) -> Mapping[str, str]:
    if table == "table2":
        return table2_texts(parts_of_table2(scaling)) if scaling else {}
    comparison = comparison_table(table, presets, records, computed=paper_parameter_counts(reported_rows(table)))
    return {suffix: render(comparison) for suffix, render in FORMATS.items()}


def check_weights(runs: Iterable[Run], weights: WeightsFolder) -> Check:
    """Compare the released files with their list, and their test errors with their records."""
    failures, unchecked, passed = weights.problems(), [], 0
    by_name = {weights.path(run.cell).name: run for run in runs}
    for path in weights.files():
        run = by_name.get(path.name)
        if run is None:
            failures.append(f"{path} belongs to no record")
            continue
        try:
            problem = _weights_problem(run, path)
        except FileNotFoundError:
            unchecked.append(f"errors of {path.name}, images not found under {run.cell.data.root}")
            continue
        except ValueError as error:
            problem = str(error)
        if problem is None:
            passed += 1
        else:
            failures.append(problem)
    name = "released weights, tested again in float32 on the CPU"
    return Check(name=name, passed=passed, failures=tuple(failures), unchecked=tuple(unchecked))


def _check_last_epoch(path: Path, record: Record, error_percent: float) -> None:
    last = record.curve[-1].test_error_percent
    if not math.isclose(last, error_percent, abs_tol=1e-9):
        raise ValueError(f"{path}: the curve ends at {last} % test error, the result is {error_percent} %")


def _check_each(name: str, runs: Iterable[Run], problem: Callable[[Run], str | None]) -> Check:
    found = [(run, problem(run)) for run in runs]
    failures = tuple(f"{run.path}: {text}" for run, text in found if text is not None)
    return Check(name=name, passed=len(found) - len(failures), failures=failures)


def _parameters_problem(run: Run) -> str | None:
    counted = model_parameter_count(run.cell.model, dataset_info(run.cell.data.name).num_classes)
    recorded = run.record.parameters, run.record.parameters_per_processor
    if recorded == (counted.total, counted.per_processor):
        return None
    return f"it has {recorded} parameters in all and on one processor, the code {counted.total, counted.per_processor}"


def _preset_problem(run: Run, presets: Mapping[str, Preset]) -> str | None:
    name = run.record.preset
    if name == "custom":
        return None
    if name not in presets:
        return f"there is no preset {name!r}"
    return None if presets[name].claims(run.cell) else f"preset {name!r} has no such run any more"


def _weights_problem(run: Run, path: Path) -> str | None:
    if (reason := why_not_exact(run.record)) is not None:
        return f"{path} should not be released: {reason}"
    assert run.record.test is not None  # why_not_exact names such a run
    errors, rows = count_test_errors(trained_network(run.cell, path), run.cell)
    recorded = run.record.test
    if (errors, rows) == (recorded.errors, recorded.rows):
        return None
    return f"{path}: {errors} errors in {rows} images, the record {run.path} has {recorded.errors} in {recorded.rows}"
