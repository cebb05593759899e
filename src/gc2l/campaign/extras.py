"""A package of the extra "suite" that is not installed: one line names the extra, in place of a traceback."""

import sys
from types import TracebackType

SUITE = frozenset(
    [
        "PIL",
        "filelock",
        "jinja2",
        "matplotlib",
        "numpy",
        "onnx",
        "onnxruntime",
        "onnxscript",
        "pandas",
        "psutil",
        "pyarrow",
        "pydantic",
        "pytorch_lightning",
        "rich",
        "safetensors",
        "scipy",
        "sklearn",
        "tabulate",
        "torchvision",
        "tyro",
        "wandb",
        "yaml",
    ]
)
"""The modules of the packages that pyproject.toml lists under "suite"."""

_report = sys.excepthook


def report_missing(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Report an exception that ends Python, as `sys.excepthook`; every other one as before."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in SUITE:
        remedy = 'pip install ".[suite]" in the checkout of gc2l'
        print(f"error: {error.name} is not installed; install it with: {remedy}", file=sys.stderr)
    else:
        _report(kind, error, traceback)
