"""`make verify` and `make weights`, over a run trained for this and over the committed results."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from analysis.samples import CIFAR, COMPUTED, PRESETS
from records.samples import record
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_run import cell, execution

from gc2l.campaign.run import run_cell
from gc2l.cells import Cell, DataConfig, read_presets
from gc2l.evidence.publish import measurement_pages, publish_table
from gc2l.evidence.released import release, trained_network
from gc2l.evidence.verification import (
    check_data,
    check_files,
    check_pages,
    check_tables,
    measured_files,
    read_runs,
    verify,
)
from gc2l.files import checksum_path, write_checked
from gc2l.records import Record, RunStore, WeightsFolder
from gc2l.training.run import weights_path

REPOSITORY = Path(__file__).parents[2]
TRAINED = cell(epochs=1, variant="flgc", groups=4)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The run of an FLGC network, whose released weights are not simply the trained ones."""
    folder = tmp_path_factory.mktemp("finished")
    run_cell(TRAINED, RunStore(folder / "runs"), execution(folder))
    return folder


@pytest.fixture
def results(finished, tmp_path):
    """A copy of its record, and the weights released from it."""
    store, weights = RunStore(tmp_path / "runs"), WeightsFolder(tmp_path / "weights")
    found = RunStore(finished / "runs").find(TRAINED)
    store.save(TRAINED, found)
    release(TRAINED, found, weights_path(TRAINED, execution(finished)), weights)
    return store, weights


def outcome(results, data_root=Path("nowhere")) -> dict[str, object]:
    store, weights = results
    checks = verify({}, store, store.folder.parent / "tables", weights, data_root)
    return {check.name.partition(",")[0]: check for check in checks}


def consistent_record(wanted: Cell) -> Record:
    made_up = record(wanted)
    last = made_up.curve[-1].model_copy(update={"test_error_percent": made_up.test.error_percent})
    return made_up.model_copy(update={"curve": (*made_up.curve[:-1], last)})


def change(store: RunStore, change_fields) -> Path:
    path = store.path(TRAINED)
    content = json.loads(path.read_text())
    change_fields(content)
    write_checked(path, json.dumps(content))
    return path


def move(path: Path, target: Path) -> None:
    write_checked(target, path.read_bytes())
    path.unlink()
    checksum_path(path).unlink()


def test_a_fresh_run_and_its_weights_are_right(results):
    checks = outcome(results)
    assert [check.failures for check in checks.values()] == [()] * 6
    assert [check.unchecked for check in checks.values()] == [()] * 6
    assert {name: check.passed for name, check in checks.items()} == {
        "records": 1,
        "counted parameters": 1,
        "runs of their presets": 1,
        "images": 1,
        "tables": 0,
        "released weights": 1,
    }


def test_released_weights_are_smaller_and_give_the_recorded_errors_only_unaltered(results, finished):
    _, weights = results
    path = weights.path(TRAINED)
    assert path.stat().st_size < weights_path(TRAINED, execution(finished)).stat().st_size / 2
    state = load_file(path)
    state["classifier.weight"] = -state["classifier.weight"]
    save_file(state, path)
    failures = outcome(results)["released weights"].failures
    assert len(failures) == 2
    assert "has the SHA-256" in failures[0]
    assert f"{path}: " in failures[1] and " errors in 360 images, the record " in failures[1]


def test_released_weights_say_what_they_are_and_have_one_checksum(results, finished):
    store, weights = results
    path, found = weights.path(TRAINED), store.find(TRAINED)
    with safe_open(path, "pt") as content:
        metadata = content.metadata()
    assert metadata["record"] == TRAINED.identity and metadata["commit"] == found.commit
    assert (metadata["format"], metadata["variant"], metadata["groups"]) == ("pt", "flgc", "4")
    before = path.read_bytes()
    for _ in range(3):  # safetensors itself writes metadata in an order that changes
        release(TRAINED, found, weights_path(TRAINED, execution(finished)), weights)
        assert path.read_bytes() == before


def test_weights_of_another_network_are_named(results):
    _, weights = results
    path = weights.path(TRAINED)
    state = load_file(path)
    del state["norm.weight"]
    save_file(state, path)
    with pytest.raises(ValueError, match="does not hold the weights of") as caught:
        trained_network(TRAINED, path)
    assert str(path) in str(caught.value)
    assert any(str(path) in failure for failure in outcome(results)["released weights"].failures)


@pytest.mark.parametrize(
    ("fields", "group", "message"),
    [
        ({"seed": 7}, "records", "seed=7 is not the configuration's seed"),
        ({"identity": "0" * 12}, "records", "does not belong to the configuration"),
        ({"curve": []}, "records", "has 0 epochs"),
        ({"preset": "mini"}, "records", "its path says otherwise"),
        ({"parameters": 77_000}, "counted parameters", "it has (77000, "),
        ({"data_fingerprint": "f" * 64}, "images", "trained on images with the fingerprint ffff"),
    ],
)
def test_an_altered_record_fails_in_its_group(results, fields, group, message):
    path = change(results[0], lambda content: content.update(fields))
    failures = outcome(results)[group].failures
    assert len(failures) == 1
    assert str(path) in failures[0] and message in failures[0]


def test_a_record_edited_by_hand_fails(results):
    path = results[0].path(TRAINED)
    path.write_text(path.read_text().replace('"threads": 1', '"threads": 2'))
    (failure,) = outcome(results)["records"].failures
    assert f"{path} is not what was written" in failure


def test_an_altered_measurement_fails(tmp_path):
    paths = [tmp_path / name for name in ("right.json", "altered.json", "bare.csv")]
    for path in paths:
        write_checked(path, "{}")
    paths[1].write_text("{ }")
    checksum_path(paths[2]).unlink()
    check = check_files(paths)
    assert check.passed == 1
    assert [failure.partition(":")[0] for failure in check.failures] == [
        f"{paths[1]} is not what was written",
        f"{paths[2]} has no checksum",
    ]


def test_every_checked_measurement_and_its_page_is_verified(tmp_path):
    results = REPOSITORY / "results"
    expected = {path for path in results.rglob("*.sha256") if not {"runs", "weights"} & set(path.parts)}
    assert {checksum_path(path) for path in measured_files(results)} == expected
    pages = measurement_pages(results, results / "tables")
    assert {path.name for path in pages} == {"inference.md", "coarse_level.md", "conversion.md"}
    copies = {tmp_path / path.name: text for path, text in pages.items()}
    for path, text in copies.items():
        path.write_text(text)
    assert (check_pages(copies).passed, check_pages(copies).failures) == (3, ())
    page = tmp_path / "conversion.md"
    page.write_text(page.read_text().replace("GC-2L", "GC-3L"))
    assert check_pages(copies).failures == (f"{page} is not what was measured; refresh with: make tables",)


def test_a_wrong_number_of_errors_fails(results):
    def fewer(content):
        errors = content["test"]["errors"] - 1
        test = record(TRAINED, errors=errors, rows=360).test
        content["test"] = test.model_dump(mode="json")
        content["curve"][-1]["test_error_percent"] = test.error_percent

    path = change(results[0], fewer)
    checks = outcome(results)
    assert not checks["records"].failures
    (failure,) = checks["released weights"].failures
    assert str(path) in failure


def test_a_curve_that_ends_elsewhere_fails(results):
    path = change(results[0], lambda content: content["curve"][-1].update(test_error_percent=1.0))
    (failure,) = outcome(results)["records"].failures
    assert str(path) in failure and "the curve ends at 1.0 %" in failure


def test_a_wrong_file_name_or_folder_fails(results):
    store, _ = results
    path = store.path(TRAINED)
    renamed = path.with_name(f"other-{TRAINED.identity}.json")
    move(path, renamed)
    (failure,) = outcome(results)["records"].failures
    assert failure == f"{renamed} should be {path}"
    deeper = path.parent / "deeper" / TRAINED.preset / path.name
    move(renamed, deeper)
    (failure,) = outcome(results)["records"].failures
    assert failure == f"{deeper} should be {path}"


def test_a_preset_that_changed_or_is_gone_fails(tmp_path):
    store = RunStore(tmp_path / "runs")
    own = CIFAR.cell("gc", 2, seed=1)
    changed = replace(own, training=replace(own.training, epochs=2))
    gone = replace(own, preset="gone")
    for wanted in (own, changed, gone):
        store.save(wanted, consistent_record(wanted))
    checks = {check.name: check for check in verify(PRESETS, store, tmp_path, WeightsFolder(tmp_path), tmp_path)}
    check = checks["runs of their presets"]
    assert check.passed == 1
    assert set(check.failures) == {
        f"{store.path(changed)}: preset 'tiny' has no such run any more",
        f"{store.path(gone)}: there is no preset 'gone'",
    }


def test_images_that_are_not_here_are_not_checked(tmp_path):
    store = RunStore(tmp_path / "runs")
    for name in ("cifar10", "imagenette", "imagenet"):
        store.save(other := Cell(data=DataConfig(name=name)), consistent_record(other))
    runs, _ = read_runs(store, tmp_path / "empty")
    check = check_data(runs)
    assert (check.passed, check.failures, len(check.unchecked)) == (0, (), 3)
    assert f"not checked: cifar10, images not found under {tmp_path / 'empty'}" in str(check)
    assert not (tmp_path / "empty").exists()


def test_a_table_that_does_not_follow_from_the_records_is_named_with_the_remedy(tmp_path, monkeypatch):
    for module in ("evidence.publish", "evidence.verification"):  # to build the paper's networks takes seconds
        monkeypatch.setattr(f"gc2l.{module}.paper_parameter_counts", lambda rows: COMPUTED)
    store, tables = RunStore(tmp_path / "runs"), tmp_path / "tables"
    own = CIFAR.cell("gc", 2, seed=1)
    store.save(own, record(own))
    assert check_tables(PRESETS, store.all(), tables).passed == 0
    publish_table("table1", PRESETS, store, tables)
    assert check_tables(PRESETS, store.all(), tables).passed == 3
    csv = tables / "table1.csv"
    csv.write_text(csv.read_text().replace("4.17", "4.16"))
    check = check_tables(PRESETS, store.all(), tables)
    assert check.failures == (f"{csv} is not what the records give; refresh with: make tables",)
    store.save(another := CIFAR.cell("gc2l", 2, seed=1), record(another))
    assert len(check_tables(PRESETS, store.all(), tables).failures) == 3
    csv.unlink()
    assert f"{csv} is missing" in check_tables(PRESETS, store.all(), tables).failures[1]


def test_only_finished_float32_runs_on_a_cpu_are_released(results, finished):
    store, weights = results
    found, trained = store.find(TRAINED), weights_path(TRAINED, execution(finished))
    mixed = found.model_copy(update={"execution": found.execution.model_copy(update={"precision": "bfloat16"})})
    for wrong, message in (
        (None, "it has no record"),
        (record(TRAINED, errors=None), "the run diverged"),
        (mixed, "it ran in bfloat16 on cpu"),
        (found.model_copy(update={"weights_sha256": "0" * 64}), "is of another run than the record"),
    ):
        with pytest.raises(ValueError, match=message):
            release(TRAINED, wrong, trained, weights)
    with pytest.raises(FileNotFoundError, match="training left no weights here"):
        release(TRAINED, found, finished / "none.safetensors", weights)
    store.save(TRAINED, mixed)
    (failure,) = outcome(results)["released weights"].failures
    assert "should not be released" in failure


def test_the_scripts(results, tmp_path, monkeypatch, capsys):
    _, weights = results
    monkeypatch.syspath_prepend(str(REPOSITORY / "experiments"))

    def run(name: str, *arguments: str) -> tuple[int, str]:
        module = importlib.import_module(name)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        return module.main(), capsys.readouterr().out

    flags = [f"--{name}={tmp_path / name}" for name in ("runs", "tables", "weights")] + [f"--measured={tmp_path}"]
    status, out = run("verify", *flags)
    assert status == 0
    assert len(out.splitlines()) == 10 and out.endswith("everything that was checked is right\n")
    (page := tmp_path / "ablations/digits.md").parent.mkdir()
    page.write_text("old")
    status, out = run("verify", *flags)
    assert status == 1
    assert f"\n  {page} is not what was measured; refresh with: make ablations beyond JOBS=0" in out
    page.unlink()
    weights.path(TRAINED).unlink()
    status, out = run("verify", *flags)
    assert status == 1
    assert f"\n  {weights.path(TRAINED)} is listed in SHA256SUMS but missing\n1 WRONG" in out
    status, out = run("release_weights", "--preset=digits", f"--runs={tmp_path}/runs", f"--output={tmp_path}/weights")
    assert status == 0
    assert "digits-wide_resnet_cifar-10x2-gc2l-n16-seed1 is not released: it has no record\n" in out


def test_the_committed_records_are_right():
    presets = read_presets(REPOSITORY / "experiments" / "presets")
    results = REPOSITORY / "results"
    weights = WeightsFolder(results / "weights")
    # Tables may wait for more records, and to test every network again takes minutes: both are left to make verify.
    records, parameters, claimed, *_ = _first(3, verify(presets, RunStore(results / "runs"), results, weights, results))
    assert records.failures == parameters.failures == claimed.failures == ()
    assert weights.problems() == []
    assert check_files(measured_files(results)).failures == ()


def _first(count, checks):
    return [check for _, check in zip(range(count), checks, strict=False)]
