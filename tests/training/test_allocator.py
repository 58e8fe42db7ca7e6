"""Blocks that are freed and needed again are not given back to the system in between."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from stlm.training.allocator import keep_large_blocks

if sys.argv[1] == "kept":
    assert keep_large_blocks()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def use(times):
    for _ in range(times):
        torch.ones(2**24)  # 64 MiB

use(10)  # until the blocks have found their places
before = faults()
use(10)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told")
def test_large_blocks_are_kept():
    def faults(how):
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    given_back, kept = faults("given back"), faults("kept")
    assert kept < given_back / 4
