import shutil
import subprocess
from functools import cache
from html.parser import HTMLParser

import pytest
from analysis.claims_evidence import evidence
from analysis.samples import CIFAR, COMPUTED, IMAGENET, PRESETS
from records.samples import record

from gc2l.analysis import RunIndex, comparison_table
from gc2l.analysis.claims import CLAIMS, evaluate
from gc2l.analysis.costs import preset_costs
from gc2l.analysis.figures import FIGURES, to_bytes
from gc2l.analysis.report import report_page
from gc2l.paper import TABLES, reported_rows

RECORDS = [
    record(CIFAR.cell("gc", 2, 1), errors=500),
    record(CIFAR.cell("gc", 2, 2), errors=520),
    record(CIFAR.cell("gc2l", 2, 1), errors=None),
    record(IMAGENET.cell("sc", 1, 1), errors=3000),
]


class Page(HTMLParser):
    """The addresses, identifiers and rows of cells of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]
        self.ids.add(attributes.get("id", ""))
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        self._in_cell = self._in_cell and tag != "td"

    def handle_data(self, data):
        if self._in_cell:
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())


@pytest.fixture(scope="module")
def text():
    return page_of(RECORDS)


@cache
def drawn():
    return to_bytes(FIGURES["schematic"](PRESETS, RunIndex([]), ()), "svg")


def page_of(records):
    return report_page(
        tables=[comparison_table(table, PRESETS, records, computed=COMPUTED) for table in TABLES],
        findings=evaluate(evidence(CIFAR, records)),
        figures=dict.fromkeys(FIGURES, drawn()),
        records=records,
        link=lambda record: f"../runs/{record.preset}/{record.identity}.json",
    )


def test_it_needs_no_network(text):
    page = Page(text)
    for address in page.links:
        assert address.startswith(("#", "data:,", "../runs/tiny/")), address
    assert "@import" not in text
    assert "url(http" not in text


def test_every_claim_and_figure_is_there(text):
    page = Page(text)
    told = [row[0].split()[0] for row in page.rows if len(row) == 5 and row[0].split()[0] in {c.id for c in CLAIMS}]
    assert set(told) == {claim.id for claim in CLAIMS}
    assert {f"figure-{name}" for name in FIGURES} <= page.ids
    assert text.count("<svg") == len(FIGURES)
    assert "<?xml" not in text


def test_it_opens_on_the_verdicts_before_figures_and_tables(text):
    places = [text.index(f'id="{name}"') for name in ("verdicts", "figures", "tables", "cost", "commands")]
    assert places == sorted(places)
    first = text.index("<table")
    assert text[first:].startswith('<table class="verdicts">')
    assert "<svg" not in text[:first]


def test_every_printed_row_is_there_with_difference_and_link(text):
    page = Page(text)
    printed = {(str(row.groups), f"{row.error_percent:.2f}") for table in TABLES for row in reported_rows(table)}
    shown = {(row[0], cell) for row in page.rows if len(row) >= 6 for cell in row[5:]}
    assert printed <= shown
    (gc, *_) = (row for row in page.rows if row[:3] == ["2", "GC", "18.25"])
    # Errors of 5.00 and 5.20 % against the paper's 4.61; t of one degree of freedom is 12.706.
    assert gc[5:8] == ["4.61", "5.10 ± 1.27 seed 1 2", "+0.49"]
    (two_level, *_) = (row for row in page.rows if row[:3] == ["2", "GC-2L", "18.35"])
    assert two_level[6:8] == ["1 diverged seed 1", ""]
    for made in RECORDS:
        assert f"../runs/tiny/{made.identity}.json" in page.links


def test_commands_name_the_preset_and_the_convolution(text):
    assert (
        "python experiments/train.py --preset tiny --data.name digits --model.network wide_resnet_cifar "
        "--convolution gc2l-n2 --seed 1"
    ) in text


def test_costs_are_summed_by_preset_and_hardware():
    (cost,) = preset_costs(RECORDS).itertuples()
    assert cost.runs == len(RECORDS)
    assert cost.hours == pytest.approx(len(RECORDS) * 12.5 / 3600)
    assert cost.images_per_second == 100
    assert cost.peak_memory_gib == pytest.approx(2**20 / 2**30)
    assert cost.hardware == "Example 3000, 2 cores"
    assert preset_costs([]).empty


def test_it_says_so_when_there_is_no_record():
    assert "made from 0 recorded runs" in page_of([])


def test_a_browser_shows_it_without_errors(text, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    (tmp_path / "index.html").write_text(text, encoding="utf-8")
    script = "<script>document.querySelector('figure button').click(); document.title = 'clicked';</script></body>"
    (tmp_path / "clicked.html").write_text(text.replace("</body>", script), encoding="utf-8")
    for name in ("index.html", "clicked.html"):
        shown = subprocess.run(
            [
                *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
                *("--disable-component-update", "--disable-sync", "--no-first-run", "--enable-logging=stderr", "--v=0"),
                *(f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", (tmp_path / name).as_uri()),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert "CONSOLE" not in shown.stderr
        assert shown.stdout.count("<table") == text.count("<table")
        opened = Page(shown.stdout)
        assert len(opened.rows) == len(Page(text).rows)
    assert "<title>clicked</title>" in shown.stdout
    assert shown.stdout.count("<svg") == text.count("<svg") + 1  # the enlarged copy
