import subprocess
import sys


def test_records_and_analysis_do_without_torch():
    code = (
        "import sys, gc2l.records, gc2l.analysis; "
        "print([name for name in ('torch', 'pytorch_lightning', 'gc2l.training') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "[]"
