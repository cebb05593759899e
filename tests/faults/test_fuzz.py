"""Whatever layers, `convert`, the command line and the parsers are given: they work, or raise what they document."""

import contextlib
import importlib
import json
import sys
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from records.samples import record
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from gc2l.campaign.sweep import read_sweep
from gc2l.cells import Cell
from gc2l.edge import compile_for_inference, kernel, load_compiled, save_compiled
from gc2l.files import write_checked
from gc2l.models import convert
from gc2l.nn import make_conv
from gc2l.records import read_record
from gc2l.records.schema import to_json
from gc2l.variants import VARIANTS

ROOT = Path(__file__).parents[2]
ODD = [0, -1, 1, 2, 3, 4, 7, 16, 2**31, 1.5, None, "2", True, [], float("nan"), (3, 1), "same", {}]


def test_layers(trials):
    def trial(rng):
        options = {
            name: rng.choice([*range(4), *ODD])
            for name in ("stride", "padding", "dilation", "bias")
            if rng.random() < 0.3
        }
        sizes = [rng.choice([4, 8, 12, 16]) if rng.random() < 0.7 else rng.choice(ODD) for _ in range(2)]
        kernel, groups = (rng.choice([1, 3, 5]) if rng.random() < 0.7 else rng.choice(ODD) for _ in range(2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with torch.device("meta"):
                    layer = make_conv(rng.choice(list(VARIANTS)), *sizes, kernel, groups=groups, **options)
                    layer(torch.empty(2, sizes[0], rng.randrange(0, 9), 8))
            except (ValueError, TypeError):
                pass
            except RuntimeError as error:  # the framework's own words, such as about a kernel larger than the image
                assert "Internal" not in str(error)

    trials.run("layers with odd arguments: documented exceptions only", trial, short=100, long=10_000)


def test_convert(trials):
    def trial(rng):
        network = nn.Sequential(
            nn.Conv2d(c := rng.choice([4, 6, 8]), 8, rng.choice([1, 3]), groups=rng.choice([1, 2])),
            rng.choice([nn.ReLU(), nn.BatchNorm2d(8), nn.Conv2d(8, 12, 1), nn.ConvTranspose2d(8, 4, 3)]),
        )
        variant, groups = rng.choice([*VARIANTS, "none", 3]), rng.choice([1, 2, 4, *ODD])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                convert(network, variant, groups)
                network(torch.zeros(1, c, 6, 6))
            except (ValueError, TypeError):
                pass

    trials.run("convert with odd networks and groups: documented exceptions only", trial, short=50, long=10_000)


def _mutate(text: str, rng) -> str:
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(text))
        piece = rng.choice(["", "\0", "}", "[", '"', "-1", "1e999", "null", "é", "\n", ": ", "!!x", "&a", "*a"])
        text = text[:place] + piece + text[place + rng.randrange(0, 3) :]
    return text


def test_records(trials, tmp_path):
    cell = Cell(preset="tiny")
    path = tmp_path / "tiny" / f"{cell.slug}-{cell.identity}.json"
    whole = to_json(record(cell))

    def trial(rng):
        if rng.random() < 0.5:
            text = _mutate(whole, rng)
        else:
            content = json.loads(whole)
            content[rng.choice(list(content))] = rng.choice(ODD[:13])
            text = json.dumps(content)
        write_checked(path, text)
        try:
            read_record(path)
        except ValueError as error:
            assert path.name in str(error)

    trials.run("mutated records: read, or refused by name", trial, short=40, long=10_000)


def _twist(rng, tensors, layers):
    """Change a tensor or a setting of one compiled layer."""
    name = rng.choice(sorted(layers))
    if rng.random() < 0.5:
        setting = rng.choice(sorted(layers[name]))
        layers[name][setting] = rng.choice([*ODD[:13], -2, [1], [2, 2], [0, 1], [1, 1, 1, 1], "reflect", [1.5, 1]])
        return
    own = rng.choice([key for key in sorted(tensors) if key.startswith(f"{name}.")])
    value = tensors[own]
    tensors[own] = rng.choice(
        [
            value[:-1], value[:1], value[:0], value[None], value.flatten(), torch.cat([value, value]),
            value.double(), value.to(torch.int32), value.long() + 3, value.long() - 5, -value,
        ]
    ).contiguous()  # fmt: skip
    if rng.random() < 0.2:
        del tensors[own]


def test_compiled_networks(trials, tmp_path):
    if kernel.library() is None:
        pytest.skip("files of compiled networks: no compiled library, or no AVX-512")
    network = nn.Sequential(make_conv("gc2l", 8, 8, 3, groups=4), make_conv("flgc", 8, 8, 1, groups=2))
    network.append(make_conv("shuffle", 8, 8, 3, groups=2, bias=True)).eval()
    whole, path = tmp_path / "whole.safetensors", tmp_path / "changed.safetensors"
    save_compiled(compile_for_inference(network, engine="c"), whole)
    with safe_open(whole, "pt") as file:
        metadata = file.metadata()

    def trial(rng):
        tensors, layers = load_file(whole), json.loads(metadata["layers"])
        _twist(rng, tensors, layers)
        text = _mutate(json.dumps(layers), rng) if rng.random() < 0.2 else json.dumps(layers)
        save_file(tensors, path, metadata | {"layers": text})
        try:
            loaded = load_compiled(path, network, engine="c")
            with torch.no_grad():
                loaded(torch.zeros(1, 8, 9, 9))
        except ValueError:
            pass
        except RuntimeError as error:  # the framework's own words, such as about a kernel larger than the image
            assert "Internal" not in str(error)

    trials.run("mutated files of compiled networks: run, or refused", trial, short=20, long=5000)


def test_sweeps(trials, tmp_path):
    whole = (ROOT / "sweeps" / "table1-digits.yaml").read_text()
    path = tmp_path / "sweep.yaml"

    def trial(rng):
        if rng.random() < 0.5:
            path.write_text(_mutate(whole, rng))
        else:
            content = yaml.safe_load(whole)
            content[rng.choice(list(content))] = rng.choice(ODD)
            path.write_text(yaml.safe_dump(content))
        try:
            sweep = read_sweep(path)
            sweep.arguments(sweep.points()[0])
        except ValueError as error:
            assert path.name in str(error)

    trials.run("mutated sweeps: read, or refused by name", trial, short=40, long=2000)


def test_command_line(trials, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    train = importlib.import_module("train")
    monkeypatch.setattr(train, "run_cell", lambda *_, **__: None)
    flags = [
        "--preset", "--convolution", "--model.variant", "--model.groups", "--model.width", "--data.name", "--seed",
        "--training.epochs", "--training.batch-size", "--training.learning-rate", "--execution.device", "--retrain",
        "--parallel.channels", "--what", "--execution.threads",
    ]  # fmt: skip
    values = ["digits", "gc2l-n4", "gc", "0", "-1", "1", "4", "nan", "inf", "1e999", "", "é", "cpu", "None", "2", "--"]

    def trial(rng):
        words = [word for _ in range(rng.randrange(1, 5)) for word in (rng.choice(flags), rng.choice(values))]
        monkeypatch.setattr(sys, "argv", ["train.py", *words])
        with contextlib.suppress(SystemExit, ValueError):
            train.main()
        capsys.readouterr()

    trials.run("command lines: accepted, or a clear end", trial, short=10, long=1000)
