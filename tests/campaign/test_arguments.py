import json
from pathlib import Path

import pytest

from gc2l.campaign.arguments import (
    check_stored,
    choose_template,
    parse_convolution,
    read_cell,
    split_agents_arguments,
)

PRESETS = Path(__file__).parents[2] / "experiments" / "presets"


def test_a_convolution_is_a_variant_and_its_groups():
    assert parse_convolution("gc2l-n4") == ("gc2l", 4)
    assert parse_convolution("sc-n1") == ("sc", 1)


@pytest.mark.parametrize("text", ["gc2l", "gc2l-4", "gc2l-n", "gc2l-n4.0", "gc2l-n-4", "-n4", "gc2l-n4 ", ""])
def test_another_form_is_refused(text):
    with pytest.raises(ValueError, match="must be a variant and a number of groups"):
        parse_convolution(text)


@pytest.mark.parametrize(
    "parts", [["--model.variant", "gc"], ["--model.groups=2"], ["--model.variant=gc2l", "--model.groups=4"]]
)
def test_a_convolution_and_its_parts_exclude_each_other(parts):
    with pytest.raises(ValueError, match=r"--convolution gc2l-n4 and --model\.(variant|groups) \w+ exclude each other"):
        choose_template(["--convolution=gc2l-n4", *parts], PRESETS)


@pytest.mark.parametrize(("convolution", "message"), [("sc-n2", "variant='sc'"), ("conv-n2", "variant='conv'")])
def test_a_convolution_that_does_not_exist_is_refused(convolution, message):
    with pytest.raises(ValueError, match=message):
        choose_template(["--convolution", convolution], PRESETS)


def test_both_ways_of_naming_a_convolution_mean_one_cell():
    column = ["--preset=paper", "--data.name=cifar100", "--seed=2"]
    together, _ = read_cell([*column, "--convolution=flgc-n8"], PRESETS)
    apart, _ = read_cell([*column, "--model.variant=flgc", "--model.groups=8"], PRESETS)
    assert together == apart
    assert (together.preset, together.data.name, together.seed) == ("paper", "cifar100", 2)


def test_a_changed_cell_is_custom_and_its_execution_changes_nothing(tmp_path):
    plain, store = read_cell([f"--runs={tmp_path}", "--execution.device=cpu"], PRESETS)
    assert (plain.preset, store.folder) == ("digits", tmp_path)
    changed, _ = read_cell(["--training.epochs=3"], PRESETS)
    assert (changed.preset, changed.training.epochs) == ("custom", 3)


def test_an_unknown_flag_is_told(capsys):
    with pytest.raises(SystemExit):
        read_cell(["--model.grupos=4"], PRESETS)
    assert "--model.grupos" in capsys.readouterr().err


def resumed(cell, **changes):
    """The words of W&B's agent (0.31) for a run of `cell` to be resumed: str(value) of each key that the server has."""
    # Numbers have been through JSON, where 2.0 may have become 2.
    stored = json.loads(json.dumps({"preset": cell.preset, **cell.configuration()}).replace("2.0,", "2,"))
    stored |= {"_wandb": {"cli_version": "0.31", "m": [], "t": {"1": [1, None, True]}}, **changes}
    return [f"--{name}={stored[name]}" for name in sorted(stored)]


FLAGS = [["--seed=2", "--convolution=gc2l-n4"], ["--convolution=sc-n1", "--seed=2", "--training.epochs=3"]]


@pytest.mark.parametrize("flags", FLAGS)
def test_a_resumed_run_is_the_cell_of_its_flags(flags):
    cell, _ = read_cell(flags, PRESETS)
    words = resumed(cell)
    assert any("'image_size': None" in word and "'width': 2," in "".join(words) for word in words)
    assert read_cell([*flags, *words], PRESETS)[0] == cell
    quoted = json.dumps({"cli_version": "0.31"})  # a value may also come as JSON
    assert (
        read_cell([*flags, f"--_wandb={quoted}", f"--data={json.dumps(cell.configuration()['data'])}"], PRESETS)[0]
        == cell
    )


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("training.epochs", 11, "training.epochs: the W&B run to resume logged 11, this command trains 10"),
        ("model.width", 4, r"model.width: the W&B run to resume logged 4, this command trains 2\.0"),
        (
            "training.milestones",
            [1, 2],
            r"training.milestones: .* logged \[1, 2\], this command trains \[60, 120, 160\]",
        ),
        ("data.image_size", 32, "data.image_size: .* logged 32, this command trains None"),
        ("model.kernel", 5, "model.kernel: .* logged 5, this command trains nothing"),
    ],
)
def test_what_a_resumed_run_logged_otherwise_is_named(field, value, told):
    cell, _ = read_cell(FLAGS[0], PRESETS)
    part, name = field.split(".")
    with pytest.raises(ValueError, match=told):
        read_cell([*FLAGS[0], *resumed(cell, **{part: cell.configuration()[part] | {name: value}})], PRESETS)


def test_a_field_that_was_not_logged_and_a_preset_that_was_another_are_named():
    cell, _ = read_cell(FLAGS[0], PRESETS)
    fields = cell.configuration()["data"]
    del fields["image_size"]
    with pytest.raises(ValueError, match=r"data.image_size: .* logged nothing, this command trains None"):
        check_stored(cell, {"data": str(fields)})
    with pytest.raises(ValueError, match=r"preset: .* logged 'custom', this command trains 'digits'"):
        read_cell([*FLAGS[0], *resumed(cell, preset="custom")], PRESETS)


@pytest.mark.parametrize(
    "text", ["4", "gc2l", "{'a': nan}", "__import__('os').getcwd()", "", "[1]", "{[]: 1}", "(" * 10_000]
)
def test_what_no_run_logs_is_told_with_the_remedy(text):
    with pytest.raises(ValueError, match=r"--model=.* is not what a run logs, a dictionary; .* --model\.FIELD"):
        read_cell([f"--model={text}"], PRESETS)


def test_other_keys_are_refused_by_name(capsys):
    with pytest.raises(SystemExit):
        read_cell(["--seed=1", "--nodes={'a': 1}"], PRESETS)
    assert "--nodes" in capsys.readouterr().err


def test_values_as_the_agent_writes_them():
    written = {"data.image_size": None, "training.milestones": [30, 60], "training.gamma": 0.5, "seed": 3}
    cell, _ = read_cell([f"--{name}={value}" for name, value in written.items()], PRESETS)
    assert (cell.data.image_size, cell.training.milestones, cell.training.gamma) == (None, (30, 60), 0.5)
    assert read_cell(["--training.milestones=[]"], PRESETS)[0].training.milestones == ()
    assert split_agents_arguments(["--runs=[x]", "--execution.compile=True"])[0] == [
        "--runs=[x]",
        "--execution.compile=True",
    ]
