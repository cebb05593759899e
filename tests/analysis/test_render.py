import csv
import io
from dataclasses import replace

import pytest
from analysis.samples import CIFAR, COMPUTED, IMAGENET, PRESETS, TINY
from records.samples import record

from gc2l.analysis import FORMATS, comparison_table, to_csv, to_latex, to_markdown, to_terminal
from gc2l.paper import TABLES, reported_rows


def made(table, records, presets=PRESETS):
    return comparison_table(table, presets, records, computed=COMPUTED)


def cifar_records():
    """SC: 4, 5, 6 %; GC, n = 2: one seed of 7.5 %; GC-2L, n = 2: 6, 8 % and one diverged; GC, n = 4: diverged."""
    runs = [("sc", 1, (400, 500, 600)), ("gc", 2, (750,)), ("gc2l", 2, (600, None, 800)), ("gc", 4, (None,))]
    return [
        record(CIFAR.cell(variant, groups, seed), errors=errors)
        for variant, groups, several in runs
        for seed, errors in enumerate(several, start=1)
    ]


BLOCK = """\
WideResNet-28-10

              parameters                      CIFAR-10                                       CIFAR-100
  n  variant       paper  counted  per proc.     paper                                 tiny      paper
 ─────────────────────────────────────────────────────────────────────────────────────────────────────
  1  SC            36.48    36.48     36.480      4.19                    5.00 ± 2.48 (k=3)      18.95

  2  GC            18.25    18.25      9.125      4.61                           7.50 (k=1)      20.77
  2  GC-2L         18.35    18.35      9.175      4.12  7.00 ± 12.71 (k=2), 1 of 3 diverged      19.80

  4  GC             9.14     9.14      2.285      5.32                      1 of 1 diverged      24.31
  4  GC-2L          9.25     9.25      2.312      4.34                                    -      20.90
"""


def test_terminal_block():
    assert BLOCK in to_terminal(made("table1", cifar_records()))


def test_markdown_rows():
    lines = to_markdown(made("table1", cifar_records())).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    header, alignment, *body = rows[:11]
    assert header == [
        "n",
        "variant",
        "parameters<br>paper",
        "parameters<br>counted",
        "parameters<br>per proc.",
        "CIFAR-10<br>paper",
        "CIFAR-10<br>tiny",
        "CIFAR-100<br>paper",
    ]
    assert [cell.endswith(":") for cell in alignment] == [True, False, *[True] * 6]
    assert body[:5] == [
        # 1 / sqrt(3) times the t quantile 4.3027 is 2.48; for two values of distance 2 it is the quantile 12.71 itself.
        ["1", "SC", "36.48", "36.48", "36.480", "4.19", "5.00 ± 2.48 (k=3)", "18.95"],
        ["2", "GC", "18.25", "18.25", "9.125", "4.61", "7.50 (k=1)", "20.77"],
        ["2", "GC-2L", "18.35", "18.35", "9.175", "4.12", "7.00 ± 12.71 (k=2), 1 of 3 diverged", "19.80"],
        ["4", "GC", "9.14", "9.14", "2.285", "5.32", "1 of 1 diverged", "24.31"],
        ["4", "GC-2L", "9.25", "9.25", "2.312", "4.34", "-", "20.90"],
    ]


def test_the_notes_say_which_run_stands_for_which():
    records = [*cifar_records(), record(IMAGENET.cell("sc", 1, 1))]
    expected = {
        "table1": "Preset tiny in place of WideResNet-28-10 on CIFAR-10: WideResNet-10-2 on Digits, 1 epoch; "
        "seeds 1-3 on cpu, 32-true.",
        "table4": "Preset tiny in place of MobileNetV2 on ImageNet: MobileNetV2 x 0.25 on Digits at 32 px, 2 epochs; "
        "seed 1 on cpu, 32-true.",
    }
    for name, note in expected.items():
        for render in (to_terminal, to_markdown, to_latex):
            assert note in " ".join(render(made(name, records)).split())


def test_latex_rows_and_escapes():
    underscore = replace(CIFAR, template=replace(CIFAR.template, preset="a_b"))
    presets = {"a_b": replace(TINY, name="a_b", columns=(underscore,))}
    text = to_latex(made("table1", [record(underscore.cell("gc", 2, 1), errors=750)], presets))
    assert r"2 & GC & 18.25 & 18.25 & 9.125 & 4.61 & 7.50 (k=1) & 20.77 \\" in text
    assert r"& paper & a\_b & paper \\" in text
    assert r"Preset a\_b in place of" in text
    assert r"95 \% interval" in text
    assert r"\multicolumn{2}{c}{CIFAR-10}" in text
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}", r"\end{tabular}"):
        assert text.count(rule) == 2
    assert text.count("{") == text.count("}")


def test_csv_has_a_line_for_each_number_and_preset_in_full_precision():
    other = replace(CIFAR, template=replace(CIFAR.template, preset="other"))
    presets = PRESETS | {"other": replace(TINY, name="other", columns=(other,))}
    records = [*cifar_records(), record(other.cell("sc", 1, 1), errors=1, rows=3)]
    lines = list(csv.DictReader(io.StringIO(to_csv(made("table1", records, presets)))))
    # Two presets beside each of the nine CIFAR-10 numbers, none beside the other 18.
    assert len(lines) == 2 * 9 + 18
    first, second, third = lines[:3]
    assert (first["variant"], first["dataset"], first["preset"], first["preset_network"]) == (
        "sc",
        "cifar10",
        "tiny",
        "WideResNet-10-2",
    )
    assert (first["parameters"], first["reported_error_percent"], first["seeds_finished"]) == ("36480000", "4.19", "3")
    assert float(first["error_percent_high"]) - float(first["error_percent_low"]) == pytest.approx(4.968275, abs=1e-6)
    assert (second["preset"], float(second["error_percent"])) == ("other", 100 / 3)
    assert second["error_percent_low"] == ""
    assert (third["dataset"], third["preset"], third["error_percent"]) == ("cifar100", "", "")
    diverged = next(line for line in lines if (line["variant"], line["groups"]) == ("gc", "4"))
    assert (diverged["seeds_finished"], diverged["seeds_diverged"], diverged["error_percent"]) == ("0", "1", "")


@pytest.mark.parametrize("name", TABLES)
def test_every_format_has_every_printed_error(name):
    table = made(name, [])
    for render in (to_terminal, to_markdown, to_latex):
        words = render(table).replace("|", " ").replace("&", " ").split()
        for row in reported_rows(name):
            same = [other for other in reported_rows(name) if other.error_percent == row.error_percent]
            assert words.count(f"{row.error_percent:.2f}") >= len(same), (render.__name__, row)


def test_the_terminal_fits_120_columns():
    other = replace(CIFAR, template=replace(CIFAR.template, preset="other"))
    presets = PRESETS | {"other": replace(TINY, name="other", columns=(other,))}
    records = [*cifar_records(), *(record(other.cell("sc", 1, seed)) for seed in (1, 2, 3))]
    assert max(map(len, to_terminal(made("table1", records, presets)).splitlines())) <= 120


def test_the_formats_are_the_files_kinds():
    assert set(FORMATS) == {"md", "csv", "tex"}
