"""docs/tools.md says what other tools do with the layers, and it is so."""

import pytest
import torch
from outside_tools import LAYERS, PAGE, TOOLS, VERDICTS, installed, rows, table

from gc2l.paper import TABLES, reported_rows


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text(encoding="utf-8")


def test_the_page_has_every_tool_and_layer(page):
    assert set(LAYERS) == {row.variant for table in TABLES for row in reported_rows(table)} - {"sc"}
    verdicts = rows(page)
    assert f"\n{table(verdicts)}\n" in page, "refresh: python tests/outside_tools.py"
    assert {verdict for tool in TOOLS for verdict in verdicts[tool.name]} <= set(VERDICTS)


@pytest.mark.filterwarnings("ignore")  # of the tools, many of which are old
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_it_is_as_the_page_says(tool, page):
    if not installed(tool):
        pytest.skip(f"{tool.distribution} is not installed")
    torch.compiler.reset()
    assert [tool.check(variant) for variant in LAYERS] == rows(page)[tool.name]
