"""Every notebook, executed from top to bottom, and committed without what an execution leaves behind."""

import importlib.util
import json
import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

REPOSITORY = Path(__file__).parents[1]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
SECONDS = 300  # for one cell, on a machine that does other things too


@pytest.fixture
def execute(python, tmp_path, monkeypatch):
    """Execute a notebook with this interpreter and give it with its outputs."""
    monkeypatch.delenv("MPLBACKEND", raising=False)  # conftest's would draw no figure into the notebook
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]))
    # The user's kernels have no part in it.
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    kernel = tmp_path / "JUPYTER_DATA_DIR" / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": command, "display_name": "Python", "language": "python"}))
    logging.getLogger("traitlets").setLevel(logging.ERROR)

    def run(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
        place = {"metadata": {"path": str(REPOSITORY / "notebooks")}}
        return NotebookClient(notebook, kernel_name="python3", timeout=SECONDS, resources=place).execute()

    return run


def read(path: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    assert notebook.nbformat == 4
    nbformat.validate(notebook)
    return notebook


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_the_notebooks_are_found():
    assert {"figures", "two_level", "your_network"} <= {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_without_outputs(path):
    notebook = read(path)
    assert outputs(notebook) == []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(cell.execution_count is None for cell in code)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom_without_a_warning(path, execute):
    shown = outputs(execute(read(path)))
    assert [output.text for output in shown if output.output_type == "stream" and output.name == "stderr"] == []
    assert any("image/png" in output.get("data", {}) or "image/svg+xml" in output.get("data", {}) for output in shown)


def test_it_runs_in_this_interpreter_and_an_error_is_one(execute):
    right = nbformat.v4.new_code_cell(f"import sys\nassert sys.executable == {sys.executable!r}")
    wrong = nbformat.v4.new_code_cell("assert 1 + 1 == 3")
    with pytest.raises(CellExecutionError, match="1 \\+ 1 == 3"):
        execute(nbformat.v4.new_notebook(cells=[right, wrong]))


def test_your_network_installs_the_package_only_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (cell, *_) = (cell for cell in read(REPOSITORY / "notebooks/your_network.ipynb").cells if cell.cell_type == "code")
    installed = []
    shell = SimpleNamespace(run_line_magic=lambda *words: installed.append(words))
    code = compile(TransformerManager().transform_cell(cell.source), "cell", "exec")
    exec(code, {"get_ipython": lambda: shell})
    assert installed == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AssertionError, match="upload the wheel"):  # no package index has it
        exec(code, {"get_ipython": lambda: shell})
    (tmp_path / "gc2l-0.1.0-py3-none-any.whl").touch()
    names: dict[str, object] = {"get_ipython": lambda: shell}
    exec(code, names)
    assert installed == [("pip", 'install --quiet "{wheel}[suite]"')]  # IPython puts in the variable
    assert str(names["wheel"]) == "gc2l-0.1.0-py3-none-any.whl"
