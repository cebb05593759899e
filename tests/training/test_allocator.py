import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from gc2l.training.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for turn in range(12):
    if turn == 8:
        before = faults()
    torch.ones(2**24)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_a_freed_block_is_used_again_without_page_faults():
    faults = {
        mode: int(subprocess.run([sys.executable, "-c", SCRIPT, mode], check=True, capture_output=True).stdout)
        for mode in ("keep", "return")
    }
    assert faults["keep"] < faults["return"] / 4, faults


PEAK_SCRIPT = """
import torch
from gc2l.training import peak_memory_bytes, reset_peak_memory
from gc2l.training.allocator import keep_freed_memory
assert keep_freed_memory()
reset_peak_memory("cpu")
before = peak_memory_bytes("cpu")
torch.ones(2**27)
grown = peak_memory_bytes("cpu") - before
reset_peak_memory("cpu")
print(grown, peak_memory_bytes("cpu") - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak can be reset on Linux only")
def test_kept_memory_is_no_part_of_the_next_runs_peak():
    done = subprocess.run([sys.executable, "-c", PEAK_SCRIPT], check=True, capture_output=True)
    grown, left = map(int, done.stdout.split())
    assert grown > 0.9 * 2**29
    assert left < 0.1 * 2**29
