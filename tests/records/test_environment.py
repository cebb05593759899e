import platform
import subprocess
from pathlib import Path

import psutil
import pytest

import gc2l
from gc2l.records import describe_environment


def git(folder, *arguments):
    # Independent of the user's own configuration.
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    git(tmp_path, "init", "--quiet")
    for name in ("src/code.py", "results/runs/a.json", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_a_clean_checkout(checkout):
    environment = describe_environment(checkout)
    assert (environment.commit, environment.dirty) == (git(checkout, "rev-parse", "HEAD"), False)


@pytest.mark.parametrize("name", ["results/runs/a.json", "results/runs/new.json", "README.md"])
def test_results_and_notes_do_not_make_the_code_dirty(checkout, name):
    (checkout / name).write_text("2\n")
    assert not describe_environment(checkout).dirty


@pytest.mark.parametrize("name", ["src/code.py", "src/new.py", "experiments/presets/new.toml", "constraints.txt"])
def test_changed_and_new_code_is_dirty(checkout, name):
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text("2\n")
    assert describe_environment(checkout).dirty


def test_without_the_root_of_a_checkout_the_commit_is_unknown(checkout, tmp_path_factory):
    for repository in (tmp_path_factory.mktemp("plain"), checkout / "src", checkout / "missing"):
        environment = describe_environment(repository)
        assert (environment.commit, environment.dirty) == ("unknown", True)


def test_versions_and_hardware(checkout):
    environment = describe_environment(checkout)
    assert set(environment.versions) == {"python", "torch", "torchvision", "pytorch_lightning", "numpy", "gc2l"}
    assert environment.versions["python"] == platform.python_version()
    assert environment.versions["gc2l"] == gc2l.__version__
    assert environment.hardware.processor
    assert environment.hardware.accelerator is None
    named = describe_environment(checkout, accelerator="Example GPU").hardware
    assert named == environment.hardware.model_copy(update={"accelerator": "Example GPU"})


def test_cores_are_those_that_the_process_may_use(checkout, monkeypatch):
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0, 7], raising=False)
    assert describe_environment(checkout).hardware.cores == 2
    monkeypatch.delattr(psutil.Process, "cpu_affinity")  # as on macOS
    for count, cores in ((12, 12), (None, 1)):
        monkeypatch.setattr(psutil, "cpu_count", lambda count=count: count)
        assert describe_environment(checkout).hardware.cores == cores


@pytest.mark.parametrize(
    ("listing", "vague", "processor"),
    [
        ("processor : 0\nmodel name : Fast 9000\nmodel name : Fast 9000\n", "x86_64", "Fast 9000"),
        ("processor : 0\nCPU part : 0xd40\n", "aarch64", "aarch64"),
        (None, "arm", "arm"),
        (None, "", "unknown"),
    ],
    ids=["Linux", "Linux on ARM", "macOS", "nothing known"],
)
def test_the_processor_is_named_as_well_as_the_machine_knows(checkout, monkeypatch, listing, vague, processor):
    read_text, exists = Path.read_text, Path.exists
    there = {Path("/proc/cpuinfo"): listing}
    monkeypatch.setattr(Path, "exists", lambda self: there[self] is not None if self in there else exists(self))
    monkeypatch.setattr(
        Path, "read_text", lambda self, **given: there[self] if self in there else read_text(self, **given)
    )
    monkeypatch.setattr(platform, "processor", lambda: vague)
    assert describe_environment(checkout).hardware.processor == processor
