"""A sweep of four cells whose program writes records that were prepared, in place of training."""

import hashlib
import importlib
import json
import sys
from pathlib import Path

import pytest
import yaml

from gc2l.campaign.agent import open_jobs
from gc2l.campaign.sweep import read_sweep
from gc2l.files import checksum_path
from gc2l.records.schema import Record, to_json

ROOT = Path(__file__).parents[2]
PRESETS = ROOT / "experiments" / "presets"
PROGRAM = """
import json, os, socket, sys, time
from pathlib import Path
from filelock import FileLock

slug, lock, record, content, checksum = json.loads(Path("plan.json").read_text())[" ".join(sys.argv[1:])]
Path(lock).parent.mkdir(parents=True, exist_ok=True)
with FileLock(lock):
    Path(lock).write_text(f"{os.getpid()}\\n{socket.gethostname()}\\n")
    with Path("trained").open("a") as log:
        log.write(slug + "\\n")
    if Path("hang").exists():
        time.sleep(600)
    if Path("fail").exists():
        sys.exit(1)
    time.sleep(0.5)
    Path(record).parent.mkdir(parents=True, exist_ok=True)
    sums, line = checksum
    Path(sums).write_text(line)
    Path(record).write_text(content)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with sweep.yaml, program.py and, once cells have been run, the list `trained`."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "records"))
    samples = importlib.import_module("samples")
    monkeypatch.delitem(sys.modules, "samples")
    content = {
        "name": "small",
        "program": "program.py",
        "method": "grid",
        "command": ["${env}", "${interpreter}", "${program}", "${args}"],
        "parameters": {"seed": {"values": [1, 2]}, "convolution": {"values": ["sc-n1", "gc-n2"]}},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    plan = {
        " ".join(job.command[3:]): (
            job.cell.slug,
            str(job.store.folder / ".locks" / f"{job.cell.identity}.lock"),
            str(path := job.store.path(job.cell)),
            text := to_json(Record(**samples.fields(job.cell))),
            (str(checksum_path(path)), f"{hashlib.sha256(text.encode()).hexdigest()}  {path.name}\n"),
        )
        for job in open_jobs(read_sweep(tmp_path / "sweep.yaml"), PRESETS)
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    return tmp_path
