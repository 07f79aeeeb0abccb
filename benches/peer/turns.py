"""What the versions in plain PyTorch have in common: one thread, a steady allocator, and work that is done when asked for.

glibc hands freed memory of a few MB back to the system, or not, depending on what happens to lie above it: the same code
then ran 0.4 to 3.6 times a millisecond, the difference being page faults (0 or 700 a sample). Here memory is kept."""

import ctypes
import sys
import time

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
ROUND = 0.2  # seconds


def keep_memory():
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
    libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)


def serve(make):
    """Reads names, prints for each the samples per millisecond of processor time over a round. `make(name)` sets the work up
    once and gives a function that does some of it and returns how many samples that were."""
    keep_memory()
    torch.set_num_threads(1)
    torch.manual_seed(7)
    works = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in works:
            works.clear()
            works[name] = make(name)
            works[name]()
        start, samples = time.thread_time(), 0
        while time.thread_time() - start < ROUND:
            samples += works[name]()
        print(samples / (time.thread_time() - start) / 1e3, flush=True)
