"""From command-line arguments to a cell; what the scripts that train one cell and those that sweep over many share."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from gc2l.campaign.script import find_preset
from gc2l.cells import Cell, Preset
from gc2l.records import RunStore


def choose_template(arguments: Sequence[str], presets: Path) -> tuple[Preset, Cell]:
    """The preset and the cell that the other arguments start from.

    `--preset`, `--data.name` and `--model.network` choose a column of a preset. `--convolution gc2l-n4` stands for
    `--model.variant gc2l --model.groups 4` where only one parameter can be given: a grid of a W&B sweep cannot say
    that the standard convolution has one group only.

    Args:
        arguments: of the command line; other flags are left alone.
        presets: folder of the presets.

    Raises:
        ValueError: an unknown choice, or a convolution together with its parts.
    """
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument("--preset", default="digits")
    for flag in ("--data.name", "--model.network", "--convolution", "--model.variant", "--model.groups"):
        chooser.add_argument(flag)
    chosen = vars(chooser.parse_known_args(arguments)[0])
    preset = find_preset(chosen["preset"], presets)
    template = preset.column(dataset=chosen["data.name"], network=chosen["model.network"]).template
    if chosen["convolution"] is None:
        return preset, template
    for flag in ("model.variant", "model.groups"):
        if chosen[flag] is not None:
            raise ValueError(
                f"--convolution {chosen['convolution']} and --{flag} {chosen[flag]} exclude each other: "
                "the first gives both variant and groups"
            )
    variant, groups = parse_convolution(chosen["convolution"])
    return preset, replace(template, model=replace(template.model, variant=variant, groups=groups))


def parse_convolution(text: str) -> tuple[str, int]:
    """Variant and number of groups of a convolution such as "gc2l-n4".

    Raises:
        ValueError: another form.
    """
    match = re.fullmatch(r"(\w+)-n(\d+)", text, re.ASCII)
    if match is None:
        raise ValueError(f"convolution={text!r} must be a variant and a number of groups, such as 'gc2l-n4' or 'sc-n1'")
    return match[1], int(match[2])


def own_cell(cell: Cell, preset: Preset) -> Cell:
    """`cell` under the name of `preset`, or as "custom" if it is none of the preset's own."""
    return replace(cell, preset=preset.name if preset.claims(cell) else "custom")


def read_cell(arguments: Sequence[str], presets: Path) -> tuple[Cell, RunStore]:
    """The cell that `experiments/train.py` would train with these arguments, and where its record belongs.

    Args:
        arguments: each as `--name=value`; those of the execution and of the ranks change nothing here.
        presets: folder of the presets.

    Raises:
        ValueError: see `choose_template`.
        SystemExit: an unknown flag or a value of the wrong type, after a message.
    """
    preset, template = choose_template(arguments, presets)

    def cell_and_store(
        cell: Annotated[Cell, tyro.conf.arg(name="")] = template,
        convolution: str | None = None,
        runs: Path = Path("results/runs"),
    ) -> tuple[Cell, RunStore]:
        return own_cell(cell, preset), RunStore(runs)

    return tyro.cli(
        cell_and_store, args=[entry for entry in arguments if not entry.startswith(("--execution.", "--parallel."))]
    )
