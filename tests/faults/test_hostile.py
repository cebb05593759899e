"""Files made to run code, or to write elsewhere: nothing executes, and the refusal says which file it is."""

import ast
import json
import pickle
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

import pytest
import torch
import yaml
from analysis.samples import CIFAR
from analysis.test_report import page_of
from faults.test_corruption import RUN, _save_two
from parallel.ranks import run_on_ranks
from records.samples import record

from gc2l.campaign.sweep import read_sweep
from gc2l.cells import Cell
from gc2l.data import cifar
from gc2l.data.cifar import load_cifar
from gc2l.files import sha256, write_checked, write_sums
from gc2l.parallel.checkpoint import _Reader, check_sharded
from gc2l.records import RunStore, environment, read_record
from gc2l.records.schema import from_json, to_json
from gc2l.training.checkpoints import newest_readable

CELL = Cell(preset="tiny")


class Touch:
    """Pickled, it creates a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path):
    path = tmp_path / "executed"
    yield path
    assert not path.exists()


def test_the_payload_works(tmp_path):
    pickle.loads(pickle.dumps(Touch(tmp_path / "executed")))
    assert (tmp_path / "executed").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")  # of torch, before it refuses
def test_pickles_in_checkpoints(trials, marker, tmp_path):
    folder = tmp_path / "checkpoints"

    def trial(rng):
        content = {"cell": RUN.identity, "state": rng.choice([Touch(marker), [Touch(marker)], {1: Touch(marker)}])}
        path = folder / "0001.ckpt"
        folder.mkdir(exist_ok=True)
        if rng.random() < 0.5:
            torch.save(content, path)
        else:
            path.write_bytes(pickle.dumps(content))
        write_checked(path, path.read_bytes())  # whoever makes such a file also makes its checksum
        with pytest.warns(UserWarning, match=r"0001\.ckpt cannot be used"):
            assert newest_readable(folder, RUN.identity) is None

    trials.run("pickle payload in a checkpoint, checksum right: not executed", trial, short=3, long=20)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")  # of torch, before it refuses
def test_pickles_in_sharded_checkpoints(trials, marker, tmp_path):
    run_on_ranks(_save_two, 2, tmp_path / "own")
    folder = tmp_path / "copy"

    def trial(rng):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "own", folder)
        newest = folder / "0002.ckpt"
        name = rng.choice([".metadata", "progress.pt"])
        (newest / name).write_bytes(pickle.dumps(Touch(marker)))
        write_sums(newest, {path.name: sha256(path) for path in newest.iterdir() if path.name != "SHA256SUMS"})
        check_sharded(newest)
        with (
            pytest.raises(ValueError, match=r"names pathlib\.Path\b")
            if name == ".metadata"
            else pytest.warns(UserWarning, match=r"0002\.ckpt cannot be used")
        ):
            if name == ".metadata":
                _Reader(newest).read_metadata()
            else:
                newest_readable(folder, RUN.identity)

    trials.run("pickle payload in a sharded checkpoint: not executed", trial, short=3, long=20)


@pytest.mark.parametrize("folder", ["src", "experiments"])
def test_every_torch_load_takes_weights_only(folder):
    for path in (Path(__file__).parents[2] / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                options = {option.arg: ast.unparse(option.value) for option in node.keywords}
                assert options.get("weights_only") == "True", f"{path}, line {node.lineno}"


def test_pickles_in_place_of_cifar(marker, tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file, _ in [*cifar._SOURCES["cifar10"].train_list, *cifar._SOURCES["cifar10"].test_list]:
        (folder / file).write_bytes(pickle.dumps(Touch(marker)))
    (folder / "batches.meta").write_bytes(pickle.dumps(Touch(marker)))
    with pytest.raises(ValueError, match=r"data_batch_1 is missing, truncated or altered"):
        load_cifar("cifar10", tmp_path)


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:pathlib.Path.touch", "!!python/object/apply:os.system", "!!python/name:os.system"]
)
def test_yaml_tags_in_sweeps(tag, marker, tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(f"name: {tag} ['touch {marker}']\nprogram: train.py\n")
    with pytest.raises(ValueError, match=r"sweep\.yaml"):
        read_sweep(path)


def test_the_words_of_a_sweep_are_words(marker, tmp_path):
    content = {
        "program": "train.py", "method": "grid", "command": ["${program}", "${args}"],
        "parameters": {"seed": {"value": f"1; touch {marker}"}},
    }  # fmt: skip
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(content))
    sweep = read_sweep(path)
    assert sweep.command_line(sweep.points()[0]) == ["train.py", f"--seed=1; touch {marker}"]


HOSTILE = [
    "<script>document.title='x'</script>", "</td><img src=x onerror=alert(1)>", '" onmouseover="alert(1)',
    "\\input{/etc/hostname}", "\\write18{touch executed}", "\\end{tabular}", "100 % & more_ $x^2$ #1 ~",
    "{{ 7 * 7 }}",
    "{% include 'x' %}", "[link](javascript:alert(1))",
]  # fmt: skip


def test_html_and_latex_in_a_records_strings(trials, tmp_path):
    """A record with signs of a markup language in a name is not read; its message, which is free, is shown as text."""
    store, whole = RunStore(tmp_path / "runs"), record(CELL)
    good = [record(CIFAR.cell("gc", 2, 1), errors=500), record(CIFAR.cell("gc2l", 2, 1), errors=None)]
    plain = Shown(page_of(good)).tags

    def trial(rng):
        text = "".join(rng.sample(HOSTILE, 2))
        content = json.loads(to_json(whole))
        place = rng.choice([content, content["hardware"], content["execution"], content["versions"]])
        place[rng.choice([key for key, value in place.items() if isinstance(value, str)])] = text
        write_checked(store.path(CELL), json.dumps(content))
        with pytest.raises(ValueError, match=store.path(CELL).name):
            store.find(CELL)
        page = Shown(page_of([good[0], good[1].model_copy(update={"message": text})]))
        assert page.tags == plain
        for name in (text, "\n".join(HOSTILE)):
            machine = describe_machine(name)
            assert from_json(to_json(whole.model_copy(update={"hardware": machine}))).hardware == machine

    trials.run("HTML, Markdown, LaTeX, Jinja in a record: not read, or shown as text", trial, short=2, long=100)


def describe_machine(name):
    """The hardware of a machine whose processor has such a name."""
    with mock.patch.object(environment, "_processor", return_value=name):
        return environment.describe_environment(None).hardware


class Shown(HTMLParser):
    """The tags of a page with the names of their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, *sorted(name for name, _ in attrs)))


@pytest.mark.parametrize("preset", ["../../elsewhere", "/tmp/elsewhere", "a/b", ".."])
def test_path_parts_in_a_records_strings(preset, tmp_path):
    with pytest.raises(ValueError, match="preset"):
        RunStore(tmp_path / "runs").save(replace(CELL, preset=preset), record(CELL))
    text = to_json(record(CELL)).replace('"preset": "tiny"', f'"preset": "{preset}"')
    path = tmp_path / "runs" / "tiny" / f"{CELL.slug}-{CELL.identity}.json"
    write_checked(path, text)
    with pytest.raises(ValueError, match="path says otherwise"):
        read_record(path)
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == [path.name, path.stem + ".sha256"]
