from pathlib import Path

import pytest

from gc2l.campaign.arguments import choose_template, parse_convolution, read_cell

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
