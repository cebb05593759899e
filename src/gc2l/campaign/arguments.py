"""From command-line arguments to a cell, for the scripts that train one cell or sweep over many."""

import argparse
import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from gc2l.campaign.script import find_preset

import tyro

from gc2l.cells import Cell, Preset
from gc2l.records import RunStore

LOGGED = ("model", "data", "training")
"""The parts of a configuration that a run logs to W&B as one value; the command line has a flag for each field."""

CUSTOM = "custom"
"""In records and W&B, the preset of a cell that no preset has."""


def split_agents_arguments(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Split a command line into flags and the configuration that W&B stored of the run.

    To run a point of the sweep, W&B's agent writes each parameter as `--name=value` with Python's str(value). To resume
    a run, it does so with every key of the run's stored configuration: the parameters, `LOGGED` as Python dictionaries,
    the preset perhaps as `CUSTOM`, and `_wandb`, which belongs to W&B's client and is left out here.

    Returns:
        The flags, that of a list such as `[60, 120]` followed by a word for each number; and the stored parts by key,
        for `check_stored`.
    """
    flags: list[str] = []
    stored: dict[str, str] = {}
    for argument in arguments:
        name, _, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--") and (name in LOGGED or argument == f"--preset={CUSTOM}"):
            stored[name] = value
        elif argument.startswith("--") and re.fullmatch(r"\[[\d, ]*\]", value):
            flags += [f"--{name}", *re.findall(r"\d+", value)]
        elif not argument.startswith("--_wandb="):
            flags.append(argument)
    return flags, stored


def check_stored(cell: Cell, stored: Mapping[str, str]) -> None:
    """Check that a resumed W&B run is the run of `cell`.

    Args:
        cell: what the flags say, see `own_cell`.
        stored: of the run, see `split_agents_arguments`.

    Raises:
        ValueError: a field that the run logged otherwise; the message names it with both values.
    """
    own = _fields({"preset": cell.preset, **cell.configuration()})
    logged = _fields({key: text if key == "preset" else _mapping(key, text) for key, text in stored.items()})
    for name in sorted(logged | own):
        if name.partition(".")[0] in stored and (name not in logged or name not in own or logged[name] != own[name]):
            there, here = (repr(fields[name]) if name in fields else "nothing" for fields in (logged, own))
            raise ValueError(
                f"{name}: the W&B run to resume logged {there}, this command trains {here}; resume it with the code "
                f"that it was started with, or start the cell anew without --{name.partition('.')[0]}"
            )


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
    """`cell` named after `preset` if it is one of its cells, else after `CUSTOM`."""
    return replace(cell, preset=preset.name if preset.claims(cell) else CUSTOM)


def read_cell(arguments: Sequence[str], presets: Path) -> tuple[Cell, RunStore]:
    """The cell that `experiments/train.py` would train with these arguments, and where its record belongs.

    Args:
        arguments: each as `--name=value`; those of the execution and of the ranks have no effect here.
        presets: folder of the presets.

    Raises:
        ValueError: see `choose_template` and `check_stored`.
        SystemExit: an unknown flag or a value of the wrong type, after a message.
    """
    flags, stored = split_agents_arguments(arguments)
    preset, template = choose_template(flags, presets)

    def cell_and_store(
        cell: Annotated[Cell, tyro.conf.arg(name="")] = template,
        convolution: str | None = None,
        runs: Path = Path("results/runs"),
    ) -> tuple[Cell, RunStore]:
        return own_cell(cell, preset), RunStore(runs)

    cell, store = tyro.cli(
        cell_and_store, args=[entry for entry in flags if not entry.startswith(("--execution.", "--parallel."))]
    )
    check_stored(cell, stored)
    return cell, store


def _fields(parts: Mapping[str, object]) -> dict[str, object]:
    """The fields of nested mappings by dotted name."""
    return {
        f"{key}.{name}" if name else key: value
        for key, part in parts.items()
        for name, value in (part.items() if isinstance(part, dict) else [("", part)])
    }


def _mapping(key: str, text: str) -> dict[str, object]:
    for read in (ast.literal_eval, json.loads):
        try:
            value = read(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # everything that literal_eval raises
            continue
        if isinstance(value, dict):
            return value
    raise ValueError(f"--{key}={text} is not what a run logs, a dictionary; to change a field, name it: --{key}.FIELD")
