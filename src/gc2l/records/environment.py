"""The environment of a run: the commit of the code, the package versions, the machine."""

import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

import gc2l
from gc2l.records.schema import Hardware, plain_name

UNKNOWN = "unknown"
_PACKAGES = ("torch", "torchvision", "pytorch_lightning", "numpy")
# Only the files that affect training: results change while a grid runs, and notes and tests do not train.
_CODE = ("src", "experiments", "pyproject.toml", "constraints.txt")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a run happens; the attributes are the record's fields of the same names.

    The accelerator of `hardware` is None here: only the run itself knows which device it uses.
    """

    commit: str
    dirty: bool
    versions: dict[str, str]
    hardware: Hardware


def describe_environment(repository: Path | None) -> Environment:
    """Describe code, packages and machine, without importing torch.

    Args:
        repository: the root of the checkout that the code is run from. For None, or a folder that is not the root of a
            git checkout, the commit is "unknown" and the code counts as dirty.
    """
    commit, dirty = _describe_code(repository)
    versions = {"python": platform.python_version(), "gc2l": gc2l.__version__}
    versions |= {package: version(package) for package in _PACKAGES}
    return Environment(commit=commit, dirty=dirty, versions=versions, hardware=_describe_hardware())


def _describe_code(repository: Path | None) -> tuple[str, bool]:
    if repository is None:
        return UNKNOWN, True
    try:
        root, commit = _git(repository, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        # An unpacked archive may lie inside the checkout of another project.
        if not repository.samefile(root):
            return UNKNOWN, True
        changes = _git(repository, "status", "--porcelain", "--untracked-files=all", "--", *_CODE)
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN, True
    return commit, bool(changes)


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _describe_hardware() -> Hardware:
    process = psutil.Process()
    # macOS has no affinity, there a process may use every core.
    cores = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1
    return Hardware(
        platform=plain_name(platform.platform()),
        machine=plain_name(platform.machine()),
        processor=plain_name(_processor()),
        cores=cores,
        memory_bytes=psutil.virtual_memory().total,
        accelerator=None,
    )


def _processor() -> str:
    """The processor's model; `platform.processor` is empty or vague on Linux."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or UNKNOWN
