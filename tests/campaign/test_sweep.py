from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from gc2l.campaign.agent import open_jobs
from gc2l.campaign.arguments import read_cell
from gc2l.campaign.sweep import read_sweep
from gc2l.cells import read_presets, table_cells
from gc2l.paper import TABLES

ROOT = Path(__file__).parents[2]
PRESETS = ROOT / "experiments" / "presets"
FILES = sorted((ROOT / "sweeps").glob("*.yaml"))
MINIMAL = {
    "program": "experiments/train.py",
    "method": "grid",
    "command": ["${env}", "${interpreter}", "${program}", "${args}"],
    "parameters": {"seed": {"values": [1, 2]}, "preset": {"value": "digits"}},
}


@pytest.fixture(autouse=True)
def _no_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def cells_of(sweep):
    return [job.cell for job in open_jobs(sweep, PRESETS)]


def written(tmp_path, content):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_every_table_has_a_sweep_for_each_preset_that_has_its_columns():
    assert {path.stem for path in FILES} == {
        f"{table}-{name}"
        for name, preset in read_presets(PRESETS).items()
        for table in TABLES
        if table_cells([table], preset, [1])
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_sweep_lists_exactly_the_cells_of_its_table_seed_by_seed(path):
    table, _, preset = path.stem.partition("-")
    sweep = read_sweep(path)
    assert sweep.name == path.stem
    cells = cells_of(sweep)
    expected = table_cells([table], read_presets(PRESETS)[preset], [1, 2, 3])
    assert len(cells) == len({cell.identity for cell in cells}) == len(expected)
    assert set(cells) == set(expected)
    seeds = [cell.seed for cell in cells]
    assert seeds == sorted(seeds)


def test_a_missing_or_doubled_convolution_is_found():
    sweep = read_sweep(ROOT / "sweeps" / "table1-digits.yaml")
    expected = set(table_cells(["table1"], read_presets(PRESETS)["digits"], [1, 2, 3]))
    convolutions = sweep.parameters["convolution"]
    assert set(cells_of(with_parameters(sweep, convolution=convolutions[1:]))) < expected
    with pytest.raises(ValueError, match="lists digits-wide_resnet_cifar-10x2-sc-n1-seed1 more than once"):
        cells_of(with_parameters(sweep, convolution=(*convolutions, "sc-n1")))


@pytest.mark.parametrize("seeds", [(3, 11), ("4", 5), (0,)])
def test_cells_are_those_that_the_program_reads_from_its_arguments(seeds):
    sweep = with_parameters(read_sweep(ROOT / "sweeps" / "table1-digits.yaml"), seed=seeds)
    assert cells_of(sweep) == [read_cell(sweep.arguments(point), PRESETS)[0] for point in sweep.points()]


def with_parameters(sweep, **parameters):
    return replace(sweep, parameters={**sweep.parameters, **parameters})


def test_the_command_line_is_the_agents(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "/somewhere/python")
    sweep = read_sweep(written(tmp_path, MINIMAL))
    assert [sweep.command_line(point) for point in sweep.points()] == [
        ["/usr/bin/env", "/somewhere/python", "experiments/train.py", "--preset=digits", f"--seed={seed}"]
        for seed in (1, 2)
    ]
    assert sweep.arguments(sweep.points()[1]) == ["--preset=digits", "--seed=2"]


def test_words_of_the_command_itself_reach_the_program(tmp_path):
    command = ["${interpreter}", "experiments/train.py", "--execution.device=cpu", "${args}", "--runs=elsewhere"]
    sweep = read_sweep(written(tmp_path, {**MINIMAL, "command": command}))
    arguments = sweep.arguments(sweep.points()[0])
    assert arguments == ["--execution.device=cpu", "--preset=digits", "--seed=1", "--runs=elsewhere"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "bayes"}, "method='bayes'"),
        ({"parameters": {"seed": {"min": 1, "max": 3}}}, "the parameter 'seed' is"),
        ({"parameters": {"seed": {"values": []}}}, "the parameter 'seed' is"),
        ({"parameters": {"seed": {"value": 1, "values": [1]}}}, "the parameter 'seed' is"),
        ({"parameters": {"seed": 1}}, "the parameter 'seed' is 1"),
        ({"command": ["${program}"]}, "must have"),
        ({"command": ["python", "${args}"]}, "name its program"),
        ({"command": ["${program}", "${args_json}", "${args}"]}, "args_json"),
    ],
)
def test_what_cannot_be_run_without_the_server_is_refused(change, message, tmp_path):
    with pytest.raises(ValueError, match=message) as refused:
        read_sweep(written(tmp_path, MINIMAL | change))
    assert "sweep.yaml" in str(refused.value)


@pytest.mark.parametrize("missing", sorted(MINIMAL))
def test_a_missing_key_is_named(missing, tmp_path):
    content = {key: value for key, value in MINIMAL.items() if key != missing}
    with pytest.raises(ValueError, match=f"the key '{missing}' is missing"):
        read_sweep(written(tmp_path, content))


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [", "name"])
def test_a_file_that_is_no_sweep_is_refused(text, tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"sweep\.yaml"):
        read_sweep(path)
