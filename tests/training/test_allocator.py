import multiprocessing
import os
import platform
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gc2l.training import allocator, memory


def in_a_process(function, *arguments):
    """What it returns in a process that has asked nothing of its C library yet."""
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        return pool.apply(function, arguments)


def page_faults(keep: bool) -> int:
    if keep:
        assert allocator.keep_freed_memory()
    for turn in range(12):
        if turn == 8:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_a_freed_block_is_used_again_without_page_faults():
    faults = {keep: in_a_process(page_faults, keep) for keep in (True, False)}
    assert faults[True] < faults[False] / 4, faults


@pytest.fixture
def c_library(monkeypatch):
    """A stand-in for the C library; gives what has been asked of it, as `granted` allows."""

    def make(name, granted=lambda option, value: True):
        calls = []

        def mallopt(option, value):
            calls.append((option, value))
            return int(granted(option, value))

        loaded = SimpleNamespace(mallopt=mallopt, malloc_trim=lambda pad: calls.append("trim"))
        monkeypatch.setattr(platform, "libc_ver", lambda: (name, "2.0"))
        monkeypatch.setattr(allocator.ctypes, "CDLL", lambda path: loaded)
        return calls

    return make


def test_glibc_is_asked_and_another_library_is_left_alone(c_library):
    calls = c_library("glibc")
    assert allocator.keep_freed_memory()
    allocator.release_freed_memory()
    assert calls == [(-3, 2**31 - 1), (-1, 2**31 - 1), (-2, 2**29), "trim"]
    calls = c_library("musl")
    assert not allocator.keep_freed_memory()
    allocator.release_freed_memory()
    assert calls == []


def test_an_older_glibc_is_asked_for_what_it_grants(c_library):
    calls = c_library("glibc", lambda option, value: option != -3 or value <= 2**25)
    assert allocator.keep_freed_memory()
    assert (-3, 2**25) in calls
    c_library("glibc", lambda option, value: False)
    assert not allocator.keep_freed_memory()


def test_the_peak_is_the_devices_or_what_the_system_tells(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 123)
    resets = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: resets.append("cuda"))
    memory.reset_peak_memory("cuda")
    assert (memory.peak_memory_bytes("cuda"), resets) == (123, ["cuda"])

    def refused(self, *_, **__):
        raise PermissionError(self)

    # Neither to be read nor to be written: not Linux, or a container that does not allow it.
    monkeypatch.setattr(Path, "read_text", refused)
    monkeypatch.setattr(Path, "write_text", refused)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=2000))
    memory.reset_peak_memory("cpu")
    for system, peak in (("linux", 2000 * 1024), ("darwin", 2000)):
        monkeypatch.setattr(sys, "platform", system)
        assert memory.peak_memory_bytes("cpu") == peak


def peaks() -> tuple[int, int]:
    """By how much the peak grows with 512 MiB, and by how much it is then still larger in the next run."""
    assert allocator.keep_freed_memory()
    memory.reset_peak_memory("cpu")
    before = memory.peak_memory_bytes("cpu")
    torch.ones(2**27)
    grown = memory.peak_memory_bytes("cpu") - before
    memory.reset_peak_memory("cpu")
    return grown, memory.peak_memory_bytes("cpu") - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak cannot be reset here")
def test_kept_memory_is_no_part_of_the_next_runs_peak():
    grown, left = in_a_process(peaks)
    assert grown > 0.9 * 2**29
    assert left < 0.1 * 2**29
