import subprocess
import sys


def test_records_claims_and_figures_do_without_torch():
    code = (
        "import sys, gc2l.records, gc2l.analysis.claims, gc2l.analysis.figures; "
        "print({'torch', 'pytorch_lightning', 'matplotlib.pyplot', 'gc2l.training'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "set()"
