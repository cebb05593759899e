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
