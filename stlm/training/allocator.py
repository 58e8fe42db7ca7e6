"""Memory that is freed in one step and needed again in the next: kept, on CPUs, rather than given back in between."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""The names of glibc's `mallopt` for what is given back of the heap's end, and for blocks outside of the heap."""


def keep_large_blocks() -> bool:
    """Tell glibc's allocator to keep large blocks for the next step; return whether it listens.

    By default, a block of some megabytes is mapped for each tensor and unmapped when the tensor is gone, so that every
    step pays for the same pages again, one fault and 4 KiB of zeros at a time. The process holds what it has used at
    its peak from then on. Other allocators know no such call, and nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
