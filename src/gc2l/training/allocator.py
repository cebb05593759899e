"""Keep freed memory in the process, since every step needs as much again and new pages from the kernel are slow."""

import ctypes
import platform

# The numbers of glibc's malloc.h, and limits that fit an int.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST = 2**31 - 1
_GROWTH = 2**29


def keep_freed_memory() -> bool:
    """Ask the C library to reuse large blocks in place of returning each to the kernel; for the whole process.

    By default glibc maps every block over 32 MiB anew and unmaps it when it is freed: each activation then costs a page
    fault for every 4 KiB, in every step.

    Returns:
        Whether it was done; False where the C library is not glibc, and nothing has changed.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # Older versions refuse thresholds above 32 MiB, hence the order: the smallest step that is granted counts.
    mapped = mallopt(_MMAP_THRESHOLD, _LARGEST) or mallopt(_MMAP_THRESHOLD, 2**25)
    return bool(mapped and mallopt(_TRIM_THRESHOLD, _LARGEST) and mallopt(_TOP_PAD, _GROWTH))


def release_freed_memory() -> None:
    """Return to the kernel what `keep_freed_memory` has kept, so that the resident memory is what is in use."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
